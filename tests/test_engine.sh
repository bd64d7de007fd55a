#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/tables, the engine that does its own I/O: ten thousand files under one keyring, what is in
# them, what becomes of files that somebody changed, and what a crash leaves.
# shellcheck source=tests/engine_command.sh
. "$(dirname "$0")/engine_command.sh"
top=$OLDPWD tests=$OLDPWD/tests

test_usage() {
    local words
    for words in '' create 'put d t k' 'get d t' 'explode d' 'check d extra'; do
        # shellcheck disable=SC2086 # words
        run tables $words --cmk "$cmk"
        holds test "$status" -eq 2
    done
    run tables check d
    holds test "$status" -eq 2
    run tables check d --cmk cmk.key
    holds test "$status" -eq 2
    run tables check d --cmk "$cmk" --rotate # of load alone
    holds test "$status" -eq 2
    refused_by_tables ENVOL_E_IO check missing
    refused_by_tables ENVOL_E_IO create missing/d
    cmk=file:missing.key refused_by_tables ENVOL_E_KEY_NOT_FOUND create d
    lacks test -e d
}

test_rows() {
    done_by_tables create d
    refused_by_tables ENVOL_E_IO create d
    done_by_tables put d users alice 'first of all'
    gives 'first of all' users alice
    done_by_tables put d users alice 'and another'
    gives 'and another' users alice
    done_by_tables put d users bob ''
    gives '' users bob
    refused_by_tables ENVOL_E_UNWRITTEN get d users carol
    refused_by_tables ENVOL_E_UNWRITTEN get d nobody alice
    refused_by_tables ENVOL_E_RANGE put d users "$(printf '%0256d' 1)" value
    refused_by_tables ENVOL_E_RANGE put d "$(printf '%0256d' 1)" key value
    done_by_tables put d "$(printf '%0255d' 1)" "$(printf '%0255d' 2)" 'long names'
    gives 'long names' "$(printf '%0255d' 1)" "$(printf '%0255d' 2)"
    # The last that lies in a page, the first that does not, and one of many pages.
    for bytes in 512 513 100000; do
        done_by_tables put d long k$bytes "$(base64 -w0 random | head -c $bytes)"
        gives "$(base64 -w0 random | head -c $bytes)" long k$bytes
    done
    done_by_tables check d
    holds test "$(figure tables) $(figure values) $(figure bad)" = '3 2 0'
    # Many pages, and rows that grow out of theirs.
    for i in {1..300}; do printf 'many\tkey%d\tvalue %d\n' "$i" "$i"; done >rows
    for i in {1..300}; do printf 'many\tkey%d\t%0200d\n' "$i" "$i"; done >longer
    tables load d --cmk "$cmk" <rows >out
    holds grep -qx 'synced 300' out
    tables load d --cmk "$cmk" <longer >out
    holds grep -qx 'synced 300' out
    done_by_tables scan d many
    holds cmp <(sort out) <(cut -f 2- longer | sort)
    run tables load d --cmk "$cmk" < <(printf 'many\tkey1\tlost\n\nmany\tkey2\tdropped\nno tabs\n')
    holds test "$status" -eq 1
    holds grep -qx 'synced 1' out
    gives lost many key1
    gives "$(printf '%0200d' 2)" many key2
}

# The claim: one provider call and at most 1 MiB of locked memory, for ten thousand tables.
test_many() {
    done_by_tables fill d 10000
    (ulimit -l 1024 && exec tables check d --cmk "$cmk") >out 2>err
    holds test $? -eq 0
    holds test "$(figure tables)" -eq 10004
    holds test "$(figure pages)" -gt 10004
    holds test "$(figure bad)" -eq 0
    holds test "$(figure provider_calls)" -eq 1
    holds test "$(figure VmLck_KiB)" -gt 0
    holds test "$(figure VmLck_KiB)" -le 1024
    holds test "$(figure locked_bytes)" -le 1048576
    holds test "$(figure epoch) $(figure swept)" = '1 1'
    cat out
    for number in 00001 05000 10000; do gives "this is table-$number" table-$number about; done
    refused_by_tables ENVOL_E_STATE fill d 1
    refused_by_tables ENVOL_E_ARGUMENT fill d many
    # Each file is an object of its own, and none is named after what it holds.
    holds test "$(find d -name 't-*' | wc -l)" -eq 10004
    lacks ls d/*table* d/*users*
}

# Neither rows nor names nor keys are in any file; with them planted in one, the search finds them.
test_canary() {
    local words=(-e 'this is table' -e table-0 -e 'and another' -e touched)
    words+=(-e "$(base64 -w0 random | head -c 100)")
    lacks grep -raqF "${words[@]}" d
    for word in "${words[@]}"; do
        [ "$word" != -e ] || continue
        echo "$word" >d/planted
        holds grep -raqF "${words[@]}" d
    done
    rm d/planted
    holds python3 - <<'PYTHON'
import glob
import subprocess

secrets = [open("cmk.key", "rb").read()[56:88], bytes.fromhex(subprocess.run(
    ["reveal_dek", "d/keyring", "cmk.key"], capture_output=True, check=True).stdout.decode())]
files = [open(name, "rb").read() for name in glob.glob("d/*")]


def found(texts):
    return any(s in t or s.hex().encode() in t.lower() for s in secrets for t in texts)


raise SystemExit(len(files) < 10000 or found(files) or not found(files + secrets[:1])
                 or not found(files + [secrets[1].hex().encode()]))
PYTHON
}

# Files that somebody changed, each put back afterwards.
test_changed() {
    local one other size
    one=$(file_of table-00001) other=$(file_of table-00002)
    holds test "$one" != "$other"
    cp "$one" saved
    cp "$other" "$one" # a page of another table
    refused_by_tables ENVOL_E_CORRUPT get d table-00001 about
    finds_bad table-00001 ENVOL_E_CORRUPT
    flip saved 100
    cp saved "$one"
    finds_bad table-00001 ENVOL_E_CORRUPT
    head -c 4096 /dev/zero >"$one"
    finds_bad table-00001 ENVOL_E_CORRUPT
    : >"$one"
    finds_bad table-00001 ENVOL_E_TRUNCATED
    flip saved 100
    cp saved "$one"
    # Of a table of many pages: the last one gone, two exchanged.
    one=$(file_of many)
    cp "$one" saved
    truncate -s -4096 "$one"
    finds_bad many ENVOL_E_TRUNCATED
    refused_by_tables ENVOL_E_TRUNCATED scan d many
    cp saved "$one"
    tail -c +4097 saved | head -c 4096 | dd of="$one" bs=4096 seek=2 conv=notrunc status=none
    finds_bad many ENVOL_E_CORRUPT
    cp saved "$one"
    # Long values are bound to their places.
    cp d/values saved
    flip d/values 600
    finds_bad long ENVOL_E_CORRUPT
    cp saved d/values
    truncate -s -1 d/values
    finds_bad long ENVOL_E_TRUNCATED
    cp saved d/values
    # Two of one length, exchanged; both tables' pages are as they were.
    size=$(stat -c %s d/values)
    done_by_tables put d swapped one "$(printf '%01000d' 1)"
    done_by_tables put d swapped two "$(printf '%01000d' 2)"
    holds test "$(stat -c %s d/values)" -eq $((size + 2 * 1048))
    cp d/values saved
    { head -c "$size" saved; tail -c 1048 saved; tail -c 2096 saved | head -c 1048; } >d/values
    refused_by_tables ENVOL_E_CORRUPT get d swapped one
    refused_by_tables ENVOL_E_CORRUPT get d swapped two
    cp saved d/values
    gives "$(printf '%01000d' 2)" swapped two
    for name in catalog journal keyring values; do
        mv d/$name saved
        refused_by_tables ENVOL_E_IO check d
        mv saved d/$name
    done
    cp d/catalog saved
    flip d/catalog 1000
    refused_by_tables ENVOL_E_CORRUPT check d
    : >d/catalog
    refused_by_tables ENVOL_E_TRUNCATED check d
    cp saved d/catalog
    done_by_tables check d
    holds test "$(figure bad)" = 0
}

test_keys() {
    ok envol keygen other.key
    cmk=file:other.key refused_by_tables ENVOL_E_KEY_NOT_FOUND get d users alice
    ok envol key disable cmk.key
    refused_by_tables ENVOL_E_KEY_DISABLED get d users alice
    ok envol key enable cmk.key
    gives 'and another' users alice
    # The keyring is a volume as any other.
    ok envol slot add d/keyring --cmk "$cmk" --to file:other.key
    cmk=file:other.key gives 'and another' users alice
    ok envol info d/keyring --cmk "$cmk" --json
    holds json out 'j["verified"] and j["high_water"] == 0 and len(j["slots"]) == 2'
    holds json out 'j["seal_estimate"] > 10000'
}

# A loader that stays: rows are its input, and what it says comes back.
start_loader() {
    coproc LOADER { exec tables load d --cmk "$cmk" 2>err; }
    loader=$LOADER_PID
    children+=("$loader")
}
load() {
    printf '%s\t%s\t%s\n\n' "$@" >&"${LOADER[1]}"
    read -r -t 60 line <&"${LOADER[0]}" && [[ $line = synced* ]]
}
kill_loader() { kill -9 "$loader" && wait "$loader" 2>/dev/null; }

# What a machine that stops may do to the writes behind the journal, done by hand.
test_crash() {
    local one
    one=$(file_of crash)
    done_by_tables put d crash key before
    cp "$one" before
    start_loader
    holds load crash key after
    refused_by_tables ENVOL_E_BUSY get d crash key # one process at a time
    kill_loader
    cp "$one" after
    cp d/journal whole
    lacks cmp before after
    # Lost, torn, or there already: the journal brings them back.
    cp before "$one"
    gives after crash key
    holds test ! -s d/journal
    for bytes in 512 2048 4095; do
        cp whole d/journal
        { head -c $bytes after; tail -c +$((bytes + 1)) before; } >"$one"
        gives after crash key
    done
    cp whole d/journal
    gives after crash key
    # A journal that was torn was never said to be synced: the page is as it was.
    for bytes in 1 7 8 600 $(($(stat -c %s whole) - 1)); do
        cp before "$one"
        head -c "$bytes" whole >d/journal
        gives before crash key
        cp before "$one"
        cp whole d/journal
        flip d/journal "$bytes"
        gives before crash key
    done
}

# What kill -9 cannot show: what is synced before what.
test_order() {
    if ! strace -o calls true 2>/dev/null; then
        echo "SKIP $program: strace does not run here"
        return
    fi
    done_by_tables put d ordered key value
    run strace -y -qq -o calls -e trace=pwrite64,fsync \
        tables put d ordered key "$(printf '%01000d' 1)" --cmk "$cmk"
    holds test "$(sed -nE 's,^([a-z]*)[0-9]*\([0-9]+<.*/(t-|values|journal).*,\1 \2,p' calls | paste -sd , -)" = \
        'pwrite values,fsync values,pwrite journal,fsync journal,pwrite t-,fsync t-'
    # A new table: all of it, then the catalog under another name, then that name.
    run strace -y -qq -o calls -e trace=pwrite64,fsync,syncfs,renameat,renameat2 \
        tables put d another key value --cmk "$cmk"
    holds test "$(grep -oE '^(syncfs|rename|fsync\([0-9]+<[^>]*/(catalog.new|d)>)' calls |
        sed 's/(.*[/]/ /' | paste -sd , -)" = 'syncfs,fsync catalog.new>,rename,fsync d>'
}

# Each write and each sync of a put fails once: it says so, and the row is the old or the new one.
test_failing() {
    local old=old new call n failures=0
    if ! strace -o calls true 2>/dev/null; then return; fi # test_order said so
    done_by_tables put d failing key $old
    for call in pwrite64 fsync; do
        for n in 1 2 3 4; do
            new=$call-$n
            run strace -qq -o calls -e trace=$call -e inject=$call:error=EIO:when=$n \
                tables put d failing key "$new" --cmk "$cmk"
            if grep -q INJECTED calls; then
                failures=$((failures + 1))
                holds grep -q '^tables: .*(ENVOL_E_IO)$' err
                holds test "$status" -eq 1
            fi
            done_by_tables get d failing key
            holds grep -qxE "$old|$new" out
            old=$(cat out)
            done_by_tables check d
        done
    done
    holds test $failures -ge 6
}

# A new table whose catalog could not be sealed: the engine goes on, and has no such table.
test_put_again() {
    local sanitizers
    sanitizers=$(grep -oE -e '-fsanitize=[^ ]*|--coverage' "$BUILD/flags" | sort -u)
    # shellcheck disable=SC2046,SC2086 # words
    ok "${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -pthread $sanitizers -Wl,--wrap=envol_blob_seal \
        -I"$top/include" -I"$top/examples" -o put_again "$tests/tables/put_again.c" \
        $(find "$BUILD/obj/examples/tables" -name '*.o' -not -name main.o) "$BUILD/libenvol.a" \
        $(cat "$BUILD/packages.libs")
    ok ./put_again d cmk.key again key 'put twice'
    holds test "$(cat out)" = ENVOL_E_RANDOM$'\n'ENVOL_OK
    gives 'put twice' again key
}

# kill -9 at random moments, round after round in one engine.
test_kills() {
    local seed=${ENVOL_TEST_SEED:-$RANDOM}
    echo "ENVOL_TEST_SEED=$seed"
    if python3 "$tests/engine_kills.py" k "$cmk" "$seed" 20 >out 2>err; then good; else bad kills; fi
    cat out
}

ok envol keygen cmk.key
run_parts usage rows many canary changed keys crash order failing put_again kills
