#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/kv, the store of envol-embedding(7): against a dict, through kills at every write and sync,
# with snapshots, backups, a new DEK, a CMK that is disabled, and files that somebody changed.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$OLDPWD/tests
cmk=file:cmk.key
# Where a sync costs nothing, which is most of the time of what is killed again and again.
quick=$work
if [ "$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)" -gt 300000 ]; then
    quick=$(mktemp -d /dev/shm/envol-kv.XXXXXX) || exit 1
fi
trap 'rm -rf "$quick"; leave' EXIT
cd "$quick" || exit 1
touch everything out err
seed=${ENVOL_TEST_SEED:-$RANDOM}

done_by_kv() { ok kv "$@" --cmk "$cmk"; }
refused_by_kv() { # ENVOL_E_NAME COMMAND...
    local name=$1
    shift
    run kv "$@" --cmk "$cmk"
    if [ "$status" -eq 1 ] && tail -n 1 err | grep -q "^kv: .*($name)\$"; then
        good
    else
        bad "exit $status, not 1 and $name: kv $*"
    fi
}
gives() { # VALUE DIR KEY [OPTION...]
    done_by_kv get "${@:2}"
    holds test "$(cat out)" = "$1"
}
figure() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" out; }
# lines COUNT TEXT: to be loaded.
lines() { awk -v n="$1" -v text="$2" 'BEGIN { for (i = 1; i <= n; i++) printf "key%05d\t%s %d canary\n", i, text, i }'; }
drive() { # WHAT DIR
    done_by_kv create "$2"
    ok python3 "$tests/kv_driver.py" "$1" "$2" "$cmk" "$seed"
    echo "$1, seed $seed: $(cat out)"
    done_by_kv check "$2"
    holds test "$(figure bad)" = 0
}

test_usage() {
    local words
    ok envol keygen cmk.key
    for words in '' create 'put d k' 'get d' 'explode d' 'check d extra' 'backup d' 'load d --to file:k' \
        'scan d --threads 0' 'get d k --snapshot 12' 'get d k --backup file'; do
        # shellcheck disable=SC2086 # words
        run kv $words --cmk "$cmk"
        holds test "$status" -eq 2
    done
    run kv check d
    holds test "$status" -eq 2
    ok kv --help
    refused_by_kv ENVOL_E_IO check missing
    cmk=file:missing.key refused_by_kv ENVOL_E_KEY_NOT_FOUND create d
    lacks test -e d
    cmk=vault:missing refused_by_kv ENVOL_E_UNSUPPORTED create d
}

test_basics() {
    done_by_kv create d
    refused_by_kv ENVOL_E_IO create d
    done_by_kv scan d
    holds test ! -s out
    refused_by_kv ENVOL_E_UNWRITTEN get d Alice
    done_by_kv put d Alice 'the first canary'
    done_by_kv put d Alice 'the second canary'
    gives 'the second canary' d Alice
    done_by_kv put d Bob ''
    gives '' d Bob
    done_by_kv delete d Alice
    refused_by_kv ENVOL_E_UNWRITTEN get d Alice
    done_by_kv delete d Carol
    refused_by_kv ENVOL_E_RANGE put d '' value
    refused_by_kv ENVOL_E_RANGE put d "$(printf '%0256d' 1)" value
    refused_by_kv ENVOL_E_RANGE put d key "$(printf '%04001d' 1)"
    done_by_kv put d "$(printf '%0255d' 1)" "$(printf '%04000d' 2)"
    gives "$(printf '%04000d' 2)" d "$(printf '%0255d' 1)"
    run kv load d --cmk "$cmk" < <(printf 'key\tvalue\nno tab\n')
    holds grep -q ENVOL_E_ARGUMENT err
    lines 9000 first >all
    run kv load d --cmk "$cmk" --threads 3 <all
    holds test "$status $(sort -n out | tail -n 1)" = '0 9000'
    done_by_kv scan d key00100 key08000
    holds cmp out <(sed -n '100,7999p' all)
    gives 'first 8999 canary' d key08999
    done_by_kv check d
    holds test "$(figure keys) $(figure runs) $(figure bad)" = '9003 2 0'
    printf 'put\tk\tv\nbegin\nput\tk\tlost\n' | kv shell d --cmk "$cmk" >out
    holds test "$(tr '\n' ' ' <out)" = 'ok ok ok '
    gives v d k
}

test_model() { drive model model; }
test_kills() { drive kills kills; }
test_threads() { drive threads "$work/threads"; }
test_snapshot() { drive snapshot snapshot; }

# --- Kills and failures at each call that writes, syncs or removes.

# at_each HOW DIR EVERY COMMAND...: the command on a copy of DIR, and HOW befalls one of its calls; then
# all that was there before is there, and what was put under "last" too, if it was said so.
calls=(pwrite64 write fsync fdatasync unlinkat)
at_each() {
    local how=$1 from=$2 every=$3 call n ended there tried=0 wrong=0
    shift 3
    done_by_kv scan "$from"
    cp out "$from.scan"
    for call in "${calls[@]}"; do
        for ((n = 1; n < 100; n += every)); do
            rm -rf copy
            cp -r "$from" copy
            run sh -c '"$@"; exit $?' sh strace -f -qq -o calls -e trace="$call" \
                -e inject="$call:$how:when=$n" kv "$@" --cmk "$cmk"
            ended=$status
            grep -q -e INJECTED -e 'killed by' calls || break
            tried=$((tried + 1))
            # It goes on, and nothing that a crash left stays.
            printf '%s\n' scan rotate 'put	last	again' check | kv shell copy --cmk "$cmk" >out
            there=$(grep -c '^last	' out)
            sed '/^ok$/,$d; /^last	/d' out | cmp -s - "$from.scan" || wrong=$((wrong + 1))
            [ "$ended" -ne 0 ] || [ "$1" != put ] || [ "$there" -eq 1 ] || wrong=$((wrong + 1))
            [ "$(figure bad) $(figure runs)" = "0 $(find copy -name 'run-*' | wc -l)" ] || wrong=$((wrong + 1))
        done
    done
    holds test "$wrong" = 0
    holds test "$tried" -ge 8
    echo "$how at $tried calls of $1, $from"
}

test_each_call() {
    if ! strace -o calls true 2>/dev/null; then
        echo "SKIP $program: strace does not run here"
        return
    fi
    done_by_kv create full # memory is full: the next put makes a run
    # Its log is of two segments, the first of which goes then.
    lines 4000 "$(printf '%0400d' 1)" | kv load full --batch 2000 --cmk "$cmk" >/dev/null
    holds test "$(find full/volume.d -name 'log-*' | wc -l)" = 2
    cp -r full runs # and here it folds eight runs
    for i in {2..9}; do lines 4096 "$i" | sed "s/^key/key$((i % 3))/" | kv load runs --batch 4096 --cmk "$cmk" >/dev/null; done
    done_by_kv check runs
    holds test "$(figure runs)" = 8
    at_each signal=KILL full 1 put copy last 'the last canary'
    at_each error=EIO full 4 put copy last 'the last canary'
    at_each signal=KILL runs 5 put copy last 'the last canary'
    at_each signal=KILL runs 8 rotate copy
    # Whatever was unfinished, the next rotation ended: one DEK opens all.
    ok envol info copy/volume --cmk "$cmk" --ledger
    holds test "$(grep -c '^ledger .*epoch' out)" = 1
}

# traced DIR: what writes, syncs and removes, and in which file, when a put to a copy of DIR flushes.
traced() {
    rm -rf copy
    cp -r "$1" copy
    run strace -f -y -qq -o calls -e trace="$(IFS=,; echo "${calls[*]}")" kv put copy last value --cmk "$cmk"
    sed -E 's/^[0-9]+ +//; s/^([a-z]+)[0-9]*\([0-9]+<[^>]*\/([a-z]+)[^>]*>.*/\1 \2/' calls | uniq
}
# Each is synced before the next: what nobody names; the root; its copy; then the log is cut, which the
# header is told first, or what is named no more is removed.
test_order() {
    if ! strace -o calls true 2>/dev/null; then return; fi
    local named=('pwrite volume' 'fdatasync volume' 'pwrite volume' 'fdatasync volume')
    traced full >order
    holds cmp <(sed -n '/ run/,$p' order | head -n 9) \
        <(printf '%s\n' 'write run' 'fsync run' 'fsync copy' "${named[@]}" 'pwrite volume' 'fdatasync volume')
    traced runs >order
    holds cmp <(sed '/unlinkat/q' order | tail -n 7) \
        <(printf '%s\n' 'pwrite volume' 'fdatasync volume' "${named[@]}" 'unlinkat copy')
}

# --- The store as a whole.

test_backup() {
    ok envol keygen backup.key
    ok envol keygen other.key
    done_by_kv scan d
    cp out d.scan
    run kv backup d --cmk "$cmk" --to file:backup.key
    holds test "$status" -eq 0
    mv out b
    : >out
    ok kv restore r --cmk file:other.key --from file:backup.key <b
    cmk=file:other.key done_by_kv scan r
    holds cmp out d.scan
    refused_by_kv ENVOL_E_KEY_NOT_FOUND get r Bob
    # Its log begins anew, and what is put is there afterwards.
    cmk=file:other.key done_by_kv put r Alice restored
    cmk=file:other.key gives restored r Alice
    cmk=file:other.key done_by_kv snapshot r
    cmk=file:other.key gives restored r Alice
    # Another CMK, a stream that was cut, one that was changed.
    run kv restore r2 --cmk file:other.key --from file:other.key <b
    holds grep -q ENVOL_E_KEY_NOT_FOUND err
    run kv restore r3 --cmk file:other.key --from file:backup.key < <(head -c -1 b)
    holds test "$status" -eq 1
    run kv check r3 --cmk file:other.key
    holds grep -q ENVOL_E_STATE err
    cp b changed
    flip changed $(($(stat -c %s b) / 2))
    run kv restore r4 --cmk file:other.key --from file:backup.key <changed
    holds grep -q ENVOL_E_CORRUPT err
    # While four threads commit: each commit is in it as a whole, or not at all.
    lines 20000 beside | kv load d --cmk "$cmk" --threads 4 --batch 10 --backup beside --to file:backup.key >out
    holds test "$(wc -l <out)" -eq 20000
    ok kv restore r5 --cmk file:other.key --from file:backup.key <beside
    cmk=file:other.key done_by_kv scan r5 key
    # shellcheck disable=SC2016 # awk's
    holds awk '/\tbeside / { n[int(($3 - 1) / 10)]++ } END { for (i in n) if (n[i] != 10) exit 1 }' out
    cmk=file:other.key done_by_kv check r5
    holds test "$(figure bad)" = 0
}

test_rotate() {
    local store
    # Of a store without a record too, new or just restored, nothing is left under the old DEK.
    done_by_kv create empty
    ok kv restore restored --cmk "$cmk" --from file:backup.key <b
    for store in empty restored; do
        done_by_kv rotate "$store"
        ok envol info "$store/volume" --cmk "$cmk" --ledger
        holds grep -q 'epoch 2, the current one' out
        lacks grep -q 'epoch 1' out
    done
    done_by_kv rotate d
    done_by_kv scan d key00100 key00101
    holds test "$(cat out)" = 'key00100	beside 100 canary'
    ok envol info d/volume --cmk "$cmk" --ledger
    holds grep -q 'epoch 2, the current one' out
    lacks grep -q 'epoch 1' out
    done_by_kv put d Alice 'under the second DEK'
    gives 'under the second DEK' d Alice
}

say_to() {
    local IFS=$'\t'
    echo "$*" >&"${shell[1]}"
}
hear() { read -r -t 10 heard <&"${shell[0]}"; }
test_disabled() {
    coproc shell { exec kv shell d --cmk "$cmk" --check-key 50 2>>everything; }
    children+=("$shell_PID")
    say_to put Alice before
    hear
    holds test "$heard" = ok
    ok envol key disable cmk.key
    for _ in {1..100}; do
        say_to get Alice
        hear
        [ "$heard" = before ] || break
        hear
        sleep 0.05
    done
    holds test "${heard%% *}" = ENVOL_E_KEY_REVOKED
    for words in 'put Alice meanwhile' 'get Bob' scan check snapshot rotate; do
        # shellcheck disable=SC2086 # words
        say_to $words
        hear
        [ "$words" != check ] || hear
        holds test "${heard%% *}" = ENVOL_E_KEY_REVOKED
    done
    say_to unlock
    hear
    holds test "${heard%% *}" = ENVOL_E_KEY_DISABLED
    run kv get r Alice --cmk file:other.key # others are no concern of it
    holds test "$status" -eq 0
    ok envol key enable cmk.key
    say_to unlock
    hear
    holds test "$heard" = ok
    say_to get Alice
    hear
    holds test "$heard" = before
    hear
    say_to put Alice after
    hear
    holds test "$heard" = ok
    eval "exec ${shell[1]}>&-"
    wait "$shell_PID"
    ok envol key disable cmk.key
    refused_by_kv ENVOL_E_KEY_DISABLED get d Alice
    ok envol key enable cmk.key
    gives after d Alice
}

page_at() { echo $((65536 + $1 * 8192 + 1000)); }
# damaged ENVOL_E_NAME KEY: a copy of a store does not give the key, which it gave.
test_damage() {
    local run other
    done_by_kv create v
    lines 8193 damage | kv load v --batch 4096 --cmk "$cmk" >/dev/null
    cp -r v w
    done_by_kv snapshot w >/dev/null # all is in the base
    # A page of the base: that one is not given, the others are, and nothing is folded over it.
    flip w/volume "$(page_at 2)"
    refused_by_kv ENVOL_E_CORRUPT get w key00001
    gives 'damage 8193 canary' w key08193
    run kv check w --cmk "$cmk"
    holds test "$status $(figure bad)" = '1 1'
    done_by_kv put w key00001 'over it'
    gives 'over it' w key00001
    refused_by_kv ENVOL_E_CORRUPT snapshot w
    refused_by_kv ENVOL_E_CORRUPT get w key00002
    # A run: changed, cut, another one's.
    run=$(find v -name 'run-*' | sort | head -n 1) other=$(find v -name 'run-*' | sort | tail -n 1)
    holds test "$run" != "$other"
    cp "$run" saved
    flip "$run" 9000
    refused_by_kv ENVOL_E_CORRUPT get v key00001
    truncate -s -1 "$run"
    flip "$run" 9000
    refused_by_kv ENVOL_E_TRUNCATED get v key00001
    cp "$other" "$run"
    refused_by_kv ENVOL_E_CORRUPT get v key00001
    cp saved "$run"
    gives 'damage 1 canary' v key00001
    # One copy of the root is made from the other; without both there is nothing.
    flip v/volume "$(page_at 0)"
    gives 'damage 1 canary' v key00001
    flip v/volume "$(page_at 1)"
    gives 'damage 1 canary' v key00001
    flip v/volume "$(page_at 0)"
    flip v/volume "$(page_at 1)"
    refused_by_kv ENVOL_E_CORRUPT get v key00001
}

# An older record of a page, put back in its place, authenticates.  Here the values look like numbers of
# pages: whatever the store finds in its index then, it does not follow it beyond the volume.
test_replayed() {
    local i page wrong=0
    done_by_kv create y
    for i in 1 2 3 4 5; do
        lines $((6000 / i)) x | sed $'s/\t.*/\t\xff\xff\xff\xff\xff\xff\xff\xff/' | LC_ALL=C kv load y --cmk "$cmk" --batch 2000 >/dev/null
        kv release y "$(kv snapshot y --cmk "$cmk")" --cmk "$cmk" # all is in the base
        cp y/volume "old.$i"
    done
    for i in 1 2 3 4; do
        for page in {2..24}; do
            rm -rf z
            cp -r y z
            dd if="old.$i" of=z/volume bs=8192 skip=$((8 + page)) seek=$((8 + page)) count=1 conv=notrunc 2>/dev/null
            run kv get z key00001 --cmk "$cmk"
            [ "$status" -le 1 ] || wrong=$((wrong + 1))
        done
    done
    holds test "$wrong" = 0
    gives $'\xff\xff\xff\xff\xff\xff\xff\xff' y key00001
}

test_canary() {
    # Longer than "key0", which 100 MB of random bytes hold once in forty runs.
    local words='canary|key0[0-9]{4}|Alice.{0,8}the '
    for word in canary 'Alice the last' key08999; do
        echo "$word" >planted
        holds grep -aqE "$words" planted
    done
    lacks grep -raqE "$words" d r r5 v w "$work/threads" b beside \
        model kills snapshot full runs copy
}

run_parts usage basics model kills threads snapshot each_call order backup rotate disabled damage replayed canary
