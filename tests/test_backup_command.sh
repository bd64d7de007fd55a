#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol backup and envol restore: through files and pipes, incremental, raw, stopped and gone on
# with, and what is refused; and a reader of the format that knows envol(5) alone.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$(cd "$OLDPWD" && cd "$(dirname "$0")" && pwd)

from=(--from file:backup.key)
to=(--cmk file:one.key --to file:backup.key)

filled() {
    envol create "$1" "${@:2}" --cmk file:one.key && envol import "$1" --cmk file:one.key random
}

content_is_there() {
    run envol export "$1" --cmk "${2:-file:new.key}"
    if [ "$status" -eq 0 ] && cmp -s out "${3:-random}"; then good; else bad "$1 is not what it was"; fi
    : >out
}

test_usage() {
    misused 'VOL is missing' envol backup "${to[@]}"
    misused '--cmk URI is missing' envol backup v.vol --to file:backup.key b
    misused '--to URI is missing' envol backup v.vol --cmk file:one.key b
    misused 'do not go together' envol backup v.vol --raw --verify
    misused '--raw takes no' envol backup v.vol --raw --cmk file:one.key
    misused '--verify takes no' envol backup --verify "${from[@]}" --note x b
    misused '--from URI is missing' envol backup --verify b
    misused '--from goes with' envol backup v.vol "${to[@]}" "${from[@]}" b
    misused 'one operand too many' envol backup --verify "${from[@]}" b c
    misused 'one operand too many' envol backup v.vol "${to[@]}" b c
    misused '--raw takes no' envol backup v.vol --raw --snapshot 00000000-0000-4000-8000-000000000000 b
    misused '--raw takes no' envol backup v.vol --raw --space v.vol.d b
    misused '--verify takes no' envol backup --verify "${from[@]}" --snapshot 00000000-0000-4000-8000-000000000000 b
    misused '--verify takes no' envol backup --verify "${from[@]}" --space v.vol.d b
    misused '--verify takes no' envol backup --verify "${from[@]}" --force b
    misused 'named twice' envol backup v.vol "${to[@]}" --to file:backup.key b
    misused '--from URI is missing' envol restore v.vol --cmk file:new.key b
    misused 'VOL is missing' envol restore --cmk file:new.key "${from[@]}"
    misused '--to does not apply' envol restore v.vol --cmk file:new.key --to file:one.key
    ok envol backup --help
    ok envol restore --help
}

test_whole() {
    for suite in aes-256-gcm aes-256-xts; do
        rm -f v.vol n.vol b
        filled v.vol --suite $suite
        ok envol backup v.vol "${to[@]}" --note 'taken at noon' b
        holds test ! -s out
        holds test "$(mode b)" = 600
        refused ENVOL_E_STATE envol backup v.vol "${to[@]}" b
        ok envol backup v.vol "${to[@]}" --force b
        ok envol backup v.vol "${to[@]}" --force --note 'taken at noon' b
        ok envol backup --verify "${from[@]}" b
        holds grep -q '^kind  *full$' out
        holds grep -q '^note  *taken at noon$' out
        holds grep -q "^bytes  *$(stat -c %s b)\$" out
        ok envol restore n.vol --cmk file:new.key "${from[@]}" b
        content_is_there n.vol
        holds test "$(mode n.vol)" = 600
        refused ENVOL_E_KEY_NOT_FOUND envol verify n.vol --cmk file:one.key
        refused ENVOL_E_STATE envol restore n.vol --cmk file:new.key "${from[@]}" b
        content_is_there n.vol
        lacks cmp -s n.vol v.vol
    done
    ok envol info n.vol --json
    holds json out 'j["suite"] == "aes-256-xts"'
    holds test -z "$(find . -name '.envol-*')"
}

test_pipe() {
    rm -f v.vol n.vol
    filled v.vol --sparse
    envol backup v.vol "${to[@]}" - | envol restore n.vol --cmk file:new.key "${from[@]}" - >out 2>err
    ends=("${PIPESTATUS[@]}")
    holds test "${ends[*]}" = '0 0'
    content_is_there n.vol
    envol backup v.vol "${to[@]}" 2>err | envol backup --verify "${from[@]}" >out 2>>err
    holds grep -q '^page size .*sparse' out
    # The writing end is gone: nothing is finished, and nobody takes it for whole.
    rm -f n.vol
    envol backup v.vol "${to[@]}" 2>err | head -c 4000000 |
        envol restore n.vol --cmk file:new.key "${from[@]}" >out 2>err2
    holds grep -q 'damaged or cut short.*(ENVOL_E_CORRUPT)$' err2
    refused ENVOL_E_STATE envol verify n.vol --cmk file:new.key
    holds grep -q 'unfinished restore' err
    envol backup v.vol "${to[@]}" --force b
    refused ENVOL_E_STATE envol restore n.vol --cmk file:new.key "${from[@]}" b
    holds grep -q 'another backup is half restored' err
    rm n.vol
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b
    content_is_there n.vol
}

test_several_cmks() {
    rm -f v.vol b
    filled v.vol
    ok envol backup v.vol "${to[@]}" --to file:new.key --to file:one.key b
    for key in backup new one; do
        ok envol backup --verify --from file:$key.key b
    done
    refused ENVOL_E_KEY_NOT_FOUND envol backup --verify --from file:other.key b
    ok envol key disable backup.key
    ok envol backup --verify --from file:backup.key --from file:new.key b
    refused ENVOL_E_KEY_DISABLED envol backup --verify "${from[@]}" b
    rm -f n.vol
    refused ENVOL_E_KEY_DISABLED envol restore n.vol --cmk file:new.key "${from[@]}" b
    holds test ! -e n.vol
    refused ENVOL_E_KEY_DISABLED envol backup v.vol "${to[@]}" --force c
    holds test ! -e c
    ok envol key enable backup.key
}

test_incremental() {
    rm -f v.vol n.vol b? list
    filled v.vol
    ok envol backup v.vol "${to[@]}" --changes list b0
    holds test "$(mode list)" = 600
    ok envol backup v.vol "${to[@]}" --changes list b1
    holds test "$(stat -c %s b1)" -lt 2000
    head -c 100000 /dev/urandom >other
    ok envol import v.vol --cmk file:one.key --force other
    ok envol backup v.vol "${to[@]}" --changes list b2
    holds test "$(stat -c %s b2)" -lt 200000
    ok envol backup --verify "${from[@]}" b2
    holds grep -q '^kind  *incremental, follows ' out
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b0 b1 b2
    content_is_there n.vol file:new.key other
    rm n.vol
    refused ENVOL_E_STATE envol restore n.vol --cmk file:new.key "${from[@]}" b1
    holds test ! -e n.vol
    refused ENVOL_E_STALE envol restore n.vol --cmk file:new.key "${from[@]}" b0 b2
    refused ENVOL_E_STATE envol export n.vol --cmk file:new.key x
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b0 b1 b2 # goes on
    content_is_there n.vol file:new.key other
    # A file that is damaged, and then replaced by what is there already, is missed.
    rm n.vol
    head -c 100 b2 >begun
    refused ENVOL_E_TRUNCATED envol restore n.vol --cmk file:new.key "${from[@]}" b0 b1 begun
    refused ENVOL_E_STALE envol restore n.vol --cmk file:new.key "${from[@]}" b0 b1 b1
    { head -c 16 b2 && head -c 32 b1 | tail -c 16 && tail -c +33 b2; } >forged
    refused ENVOL_E_CORRUPT envol restore n.vol --cmk file:new.key "${from[@]}" b0 b1 forged
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b0 b1 # no more is wanted
    ok envol verify n.vol --cmk file:new.key
    ok envol rotate v.vol --cmk file:one.key
    run envol backup v.vol "${to[@]}" --changes list b3
    holds test "$status" -eq 0
    holds grep -q 'full, as the DEK was rotated' err
    ok envol backup v.vol "${to[@]}" --changes list b4
    rm n.vol
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b3 b4
    content_is_there n.vol file:new.key other
    # The backup and the list are two files.
    mkdir -p sub
    ln -sf good link
    misused 'both the backup and' envol backup v.vol "${to[@]}" --changes b5 b5
    misused 'both the backup and' envol backup v.vol "${to[@]}" --changes b5 ./sub/../b5
    cp list good
    misused 'both the backup and' envol backup v.vol "${to[@]}" --force --changes good link
    holds cmp list good
    holds test ! -e b5
    # A list that is damaged, of another volume, or none.
    flip list 100
    refused ENVOL_E_CORRUPT envol backup v.vol "${to[@]}" --changes list b5
    holds test ! -e b5
    rm -f w.vol
    filled w.vol
    refused ENVOL_E_STATE envol backup w.vol "${to[@]}" --changes good b5
    refused ENVOL_E_FORMAT envol backup v.vol "${to[@]}" --changes random b5
    rm -f x.vol
    filled x.vol --suite aes-256-xts
    refused ENVOL_E_UNSUPPORTED envol backup x.vol "${to[@]}" --changes new b5
    holds test ! -e new
    holds test -z "$(find . -name '.envol-*')"
}

test_raw() {
    rm -f v.vol r.vol
    filled v.vol
    ok envol backup v.vol --raw r.vol
    holds cmp v.vol r.vol
    content_is_there r.vol file:one.key
    refused ENVOL_E_FORMAT envol backup random --raw s.vol
    holds test ! -e s.vol
    envol rotate v.vol --cmk file:one.key --throttle 1 >/dev/null 2>&1 &
    children=($!)
    rotates v.vol
    refused ENVOL_E_BUSY envol backup v.vol --raw s.vol
    refused ENVOL_E_BUSY envol backup v.vol "${to[@]}" s.bak
    kill -9 "${children[0]}"
    wait "${children[0]}" 2>/dev/null
    children=()
}

# Killed at some moment, again and again, until it comes to its end.
test_killed() {
    local tries=0
    rm -f v.vol n.vol b
    filled v.vol
    envol backup v.vol "${to[@]}" b
    for i in 1 2 3 4 5 6; do
        (
            { head -c $((i * 1200000)) b && sleep 2; } |
                timeout -s KILL 1 envol restore n.vol --cmk file:new.key "${from[@]}"
            true
        ) >/dev/null 2>&1
        if [ -s n.vol ]; then
            refused ENVOL_E_STATE envol verify n.vol --cmk file:new.key
            tries=$((tries + 1))
        fi
    done
    holds test $tries -gt 2
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b
    content_is_there n.vol
}

# A snapshot is backed up beside a writer.
test_snapshot() {
    rm -rf v.vol v.vol.d n.vol b
    filled v.vol
    ok envol snapshot create v.vol --cmk file:one.key
    uuid=$(grep -Eo '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' out | head -n 1)
    tac random >backwards
    ok envol import v.vol --cmk file:one.key --force backwards
    envol rotate v.vol --cmk file:one.key --throttle 1 >/dev/null 2>&1 &
    children=($!)
    sleep 0.3
    ok envol backup v.vol "${to[@]}" --snapshot "$uuid" b
    kill -9 "${children[0]}"
    wait "${children[0]}" 2>/dev/null
    children=()
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b
    content_is_there n.vol
    refused ENVOL_E_RANGE envol backup v.vol "${to[@]}" --force --snapshot 00000000-0000-4000-8000-000000000000 b
}

test_damage() {
    rm -f v.vol n.vol b bad
    filled v.vol
    envol backup v.vol "${to[@]}" b
    cp b bad
    flip bad 4000000
    refused ENVOL_E_CORRUPT envol backup --verify "${from[@]}" bad
    refused ENVOL_E_CORRUPT envol restore n.vol --cmk file:new.key "${from[@]}" bad
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b
    content_is_there n.vol
    flip v.vol 200000
    run envol backup v.vol "${to[@]}" c
    holds grep -q '^envol: backup v.vol: page 8: .*(ENVOL_E_CORRUPT)$' err
    holds test ! -e c
    misused 'the volume itself' envol backup v.vol "${to[@]}" --force v.vol
    misused 'the volume itself' envol backup v.vol "${to[@]}" --force backup.key
    refused ENVOL_E_IO envol restore m.vol --cmk file:new.key "${from[@]}" missing
    holds test ! -e m.vol
    lacks grep -qF 'a few words that were imported' b
}

# One that was made all the same: a restore says what it lacks.
test_bad_pages() {
    if ! python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$BUILD/libenvol.so" 2>/dev/null; then
        echo "SKIP $program: the library does not load into Python"
        return
    fi
    rm -f v.vol n.vol b c
    filled v.vol
    flip v.vol 200000
    flip v.vol 400000
    ok python3 "$tests/backup_bad.py" "$BUILD/libenvol.so" v.vol one.key backup.key b
    run envol restore n.vol --cmk file:new.key "${from[@]}" b
    holds test "$status $(wc -l <err)" = '0 1'
    holds grep -q '^envol: restore: b: 2 pages did not read when it was made, the first 8: ' err
    run envol verify n.vol --cmk file:new.key
    holds grep -q ' 2 unwritten, 0 bad$' out
}

# From envol(5) alone.
test_format() {
    rm -f v.vol n.vol b? list
    envol create v.vol --cmk file:one.key
    envol import v.vol --cmk file:one.key cmk.txt
    envol backup v.vol "${to[@]}" --note 'in the clear' --changes list b0
    head -c 70000 random >other
    envol import v.vol --cmk file:one.key --force other
    envol backup v.vol "${to[@]}" --changes list b1
    ok python3 "$tests/backup1.py" backup.key b0
    holds grep -q '^head .* full$' out
    holds grep -q "^note b'in the clear'\$" out
    holds grep -q '^end 2$' out
    ok python3 "$tests/backup1.py" backup.key b1
    holds grep -q '^head .* follows ' out
    python3 "$tests/backup1.py" backup.key b0 b1 --pages pages >out 2>err
    ok envol restore n.vol --cmk file:new.key "${from[@]}" b0 b1
    envol export n.vol --cmk file:new.key exported
    holds cmp exported other
    # Page 0 is the import's record; the content follows.
    holds cmp <(tail -c +16337 pages | head -c 70000) other
    flip b1 2000
    run python3 "$tests/backup1.py" backup.key b1
    holds test "$status" -eq 1
}

for key in one backup new other; do envol keygen $key.key; done
run_parts usage whole pipe several_cmks incremental raw killed snapshot damage bad_pages format
