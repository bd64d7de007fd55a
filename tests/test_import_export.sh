#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol import, export and verify: round trips of every size that is near a border, streams, imports
# that are cut off, full disks, files that must not be lost, and damage.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

# round BYTES: into r.vol and back, through files, and through pipes that tell no length.
round() {
    head -c "$1" random >in
    rm -f back
    ok envol import r.vol --cmk file:cmk.key --force in
    ok envol export r.vol --cmk file:cmk.key back
    holds cmp in back
    ok envol import --force r.vol --cmk file:cmk.key - < <(cat in)
    holds cmp in <(envol export r.vol --cmk file:cmk.key)
    ok envol info r.vol --cmk file:cmk.key
    holds grep -qx "content  *an import of $1 bytes" out
    holds grep -q '^high water .*, clean$' out
}

test_round_trips() {
    local suite size page batch bytes how
    for suite in aes-256-gcm aes-256-xts; do
        for size in 4096 16K 2M; do
            rm -f r.vol
            ok envol create r.vol --cmk file:cmk.key --suite $suite --page-size $size
            page=$(envol info --json r.vol | sed -n 's/.*"page_bytes": \([0-9]*\),/\1/p')
            batch=$((1048576 / page * page))
            for bytes in 0 1 $((page - 1)) "$page" $((page + 1)); do round "$bytes"; done
            # Pages larger than a batch go one by one.
            if [ $size = 2M ]; then batch=$((2 * page)); fi
            round "$batch"
            round $((batch + 1))
        done
        round 7340033
    done
    # The least of each suite, and a sparse volume.
    for how in 'aes-256-gcm --page-size 560' 'aes-256-xts --page-size 512' 'aes-256-gcm --sparse'; do
        rm -f r.vol
        # shellcheck disable=SC2086 # several words
        ok envol create r.vol --cmk file:cmk.key --suite $how
        round 100000
    done
}

test_import() {
    ok envol create i.vol --cmk file:cmk.key
    refused ENVOL_E_STATE envol export i.vol --cmk file:cmk.key out.none
    lacks test -e out.none
    ok envol import i.vol --cmk file:cmk.key cmk.txt
    cp i.vol before
    refused ENVOL_E_STATE envol import i.vol --cmk file:cmk.key in
    holds grep -q -- '--force replaces it' err
    refused ENVOL_E_IO envol import i.vol --cmk file:cmk.key --force missing
    refused ENVOL_E_IO envol import i.vol --cmk file:cmk.key --force .
    misused 'the volume itself' envol import i.vol --cmk file:cmk.key --force i.vol
    # shellcheck disable=SC2094 # that is the mistake
    misused 'the volume itself' envol import i.vol --cmk file:cmk.key --force <i.vol
    misused 'or its key' envol import i.vol --cmk file:cmk.key --force cmk.key
    refused ENVOL_E_IO envol import i.vol --cmk file:cmk.key --force <&-
    holds cmp before i.vol
    # Pages of another program.
    ok quickstart quick.key quick.vol
    holds grep -q Alice out
    refused ENVOL_E_STATE envol export quick.vol --cmk file:quick.key
    refused ENVOL_E_STATE envol import quick.vol --cmk file:quick.key cmk.txt
    ok envol info quick.vol --cmk file:quick.key --json
    holds json out 'j["content"] == "pages" and j["content_bytes"] is None and j["pages"] == 1'
    ok envol import quick.vol --cmk file:quick.key --force cmk.txt
    holds cmp cmk.txt <(envol export quick.vol --cmk file:quick.key)
}

# begin OPTION...: an import into c.vol that got 3 MiB and waits for more; its process is $import.
begin() {
    rm -f c.pipe && mkfifo c.pipe
    envol import c.vol --cmk file:cmk.key "$@" c.pipe >c.out 2>c.err &
    import=$!
    children+=("$import")
    exec 9>c.pipe
    head -c 3145728 random >&9
    for _ in {1..3000}; do
        [ "$(stat -c %s c.vol)" -gt 2097152 ] && return
        sleep 0.01
    done
    bad 'the import does not begin'
}

test_cut_off() {
    for suite in aes-256-gcm aes-256-xts; do
        rm -f c.vol
        ok envol create c.vol --cmk file:cmk.key --suite $suite
        begin
        refused ENVOL_E_BUSY envol import c.vol --cmk file:cmk.key cmk.txt
        refused ENVOL_E_STATE envol export c.vol --cmk file:cmk.key c.back
        kill -9 $import
        wait $import 2>/dev/null
        exec 9>&-
        refused ENVOL_E_STATE envol export c.vol --cmk file:cmk.key c.back
        lacks test -e c.back
        ok envol info c.vol --cmk file:cmk.key --json
        holds json out 'j["content"] == "partial-import" and j["content_bytes"] is None'
        holds json out 'not j["clean"] or j["suite"] == "aes-256-xts"'
        if [ $suite = aes-256-gcm ]; then
            ok envol verify c.vol --cmk file:cmk.key
            holds grep -q '^not clean: ' out
        fi
        ok envol import c.vol --cmk file:cmk.key cmk.txt
        holds cmp cmk.txt <(envol export c.vol --cmk file:cmk.key)
        # What was whole is gone as soon as another import begins, and neither comes back half.
        begin --force
        kill -9 $import
        wait $import 2>/dev/null
        exec 9>&-
        refused ENVOL_E_STATE envol export c.vol --cmk file:cmk.key c.back
        rm c.vol && envol create c.vol --cmk file:cmk.key --suite $suite
        begin
        kill -TERM $import
        wait $import
        holds test $? -eq 1
        exec 9>&-
        holds test "$(wc -l <c.err)" -eq 1
        holds grep -q '(ENVOL_E_CANCELLED)$' c.err
        # What had come is cut off: the header and the page of the record are left.
        holds test "$(stat -c %s c.vol)" -eq $((65536 + 16384))
        refused ENVOL_E_STATE envol export c.vol --cmk file:cmk.key
    done
}

# Files may not grow beyond the limit: as a full disk, at a place that is known.
test_full_disk() {
    limited() {
        # shellcheck disable=SC2016,SC2317 # the inner shell's; called by refused
        bash -c 'ulimit -f "$0" && exec "$@"' "$@"
    }
    refused ENVOL_E_IO limited 10 envol create f.vol --cmk file:cmk.key
    lacks test -e f.vol
    for suite in aes-256-gcm aes-256-xts; do
        rm -f f.vol
        ok envol create f.vol --cmk file:cmk.key --suite $suite
        refused ENVOL_E_IO limited 4000 envol import f.vol --cmk file:cmk.key random
        refused ENVOL_E_STATE envol export f.vol --cmk file:cmk.key f.out
        ok envol import f.vol --cmk file:cmk.key random
        refused ENVOL_E_IO limited 4000 envol export f.vol --cmk file:cmk.key f.out
        lacks test -e f.out
        ok envol export f.vol --cmk file:cmk.key f.out
        holds cmp random f.out
        rm f.out
    done
    holds test -z "$(find . -name '.envol-export-*')"
}

test_export() {
    ok envol create e.vol --cmk file:cmk.key
    ok envol import e.vol --cmk file:cmk.key random
    cp e.vol before
    echo old >e.out
    refused ENVOL_E_STATE envol export e.vol --cmk file:cmk.key e.out
    holds test "$(cat e.out)" = old
    ok envol export e.vol --cmk file:cmk.key --force e.out
    holds cmp random e.out
    holds test "$(mode e.out)" = 600
    mkdir e.dir
    ok envol export e.vol --cmk file:cmk.key e.dir/e.out
    holds cmp random e.dir/e.out
    refused ENVOL_E_IO envol export e.vol --cmk file:cmk.key e.dir
    refused ENVOL_E_IO envol export e.vol --cmk file:cmk.key nowhere/e.out
    refused ENVOL_E_IO envol export e.vol --cmk file:cmk.key "$(printf '%0256d' 0)"
    misused 'the volume itself' envol export e.vol --cmk file:cmk.key --force e.vol
    misused 'or its key' envol export e.vol --cmk file:cmk.key --force cmk.key
    run bash -c 'envol export e.vol --cmk file:cmk.key >>e.vol'
    holds test "$status" -eq 2
    holds cmp before e.vol
    ok envol export e.vol --cmk file:cmk.key --force /dev/null
    holds test -c /dev/null
    refused ENVOL_E_IO envol export e.vol --cmk file:cmk.key /dev/full
    refused ENVOL_E_IO bash -c 'envol export e.vol --cmk file:cmk.key >/dev/full'
    refused ENVOL_E_IO bash -c 'envol export e.vol --cmk file:cmk.key >&-'
    refused ENVOL_E_IO bash -c 'set -o pipefail; envol export e.vol --cmk file:cmk.key | head -c 1'
    refused ENVOL_E_IO bash -c 'envol info e.vol >/dev/full'
    refused ENVOL_E_IO bash -c 'envol --help >/dev/full'
    mkfifo e.pipe
    cat e.pipe >e.piped &
    ok envol export e.vol --cmk file:cmk.key e.pipe
    wait $!
    holds cmp random e.piped
    holds test -p e.pipe
    holds test -z "$(find . -name '.envol-export-*')"
}

test_damage() {
    local offset=65536
    ok envol create d.vol --cmk file:cmk.key
    ok envol import d.vol --cmk file:cmk.key random
    ok envol verify d.vol --cmk file:cmk.key
    holds grep -qx '[0-9]* pages sound, 0 unwritten, 0 bad' out
    cp d.vol whole.vol
    for page in 1 70 71; do flip d.vol $((offset + page * 16384 + 99)); done
    refused ENVOL_E_CORRUPT envol verify d.vol --cmk file:cmk.key
    holds test "$(grep -c '^page .*(ENVOL_E_CORRUPT)$' out)" -eq 3
    for page in 1 70 71; do holds grep -q "^page $page: " out; done
    holds grep -q ' 3 bad$' out
    echo old >d.out
    refused ENVOL_E_CORRUPT envol export d.vol --cmk file:cmk.key --force d.out
    holds grep -q 'page 1: ' err
    holds test "$(cat d.out)" = old
    holds test -z "$(find . -name '.envol-export-*')"
    # A page elsewhere, a page of zeros, the record itself, one header copy, both, a cut file.
    cp whole.vol d.vol
    dd if=whole.vol of=d.vol bs=16384 skip=10 seek=11 count=1 conv=notrunc 2>/dev/null
    refused ENVOL_E_CORRUPT envol verify d.vol --cmk file:cmk.key
    cp whole.vol d.vol
    dd if=/dev/zero of=d.vol bs=16384 seek=11 count=1 conv=notrunc 2>/dev/null
    refused ENVOL_E_CORRUPT envol export d.vol --cmk file:cmk.key
    cp whole.vol d.vol
    flip d.vol $offset
    refused ENVOL_E_CORRUPT envol export d.vol --cmk file:cmk.key
    ok envol info d.vol --cmk file:cmk.key
    holds grep -q 'content *unreadable.*ENVOL_E_CORRUPT' out
    refused ENVOL_E_CORRUPT envol import d.vol --cmk file:cmk.key cmk.txt
    ok envol import d.vol --cmk file:cmk.key --force cmk.txt
    cp whole.vol d.vol
    flip d.vol 100
    refused ENVOL_E_CORRUPT envol verify d.vol --cmk file:cmk.key
    holds grep -q 'one copy of the header is damaged' err
    holds grep -q ' 0 bad$' out
    ok envol export d.vol --cmk file:cmk.key --force d.out
    cp d.vol one.vol
    ok envol import one.vol --cmk file:cmk.key --force cmk.txt
    ok envol verify one.vol --cmk file:cmk.key
    flip d.vol $((32768 + 100))
    for verb in info verify export import; do
        refused ENVOL_E_CORRUPT envol $verb d.vol --cmk file:cmk.key --
    done
    refused ENVOL_E_CORRUPT envol info d.vol
    cp whole.vol d.vol
    truncate -s -20000 d.vol
    run envol verify d.vol --cmk file:cmk.key
    holds test "$status" -eq 1
    holds grep -q ENVOL_E_TRUNCATED err
    refused ENVOL_E_TRUNCATED envol export d.vol --cmk file:cmk.key d.cut
    lacks test -e d.cut
    for verb in info verify export; do refused ENVOL_E_FORMAT envol $verb random --cmk file:cmk.key; done
    refused ENVOL_E_IO envol info missing.vol
}

test_damage_xts() {
    ok envol create dx.vol --cmk file:cmk.key --suite aes-256-xts --page-size 4K
    ok envol import dx.vol --cmk file:cmk.key cmk.txt
    refused ENVOL_E_UNSUPPORTED envol verify dx.vol --cmk file:cmk.key
    holds test ! -s out
    cp dx.vol whole.vol
    flip dx.vol $((65536 + 20))
    refused ENVOL_E_CORRUPT envol export dx.vol --cmk file:cmk.key
    cp whole.vol dx.vol
    flip dx.vol 65536
    refused ENVOL_E_STATE envol export dx.vol --cmk file:cmk.key
    cp whole.vol dx.vol
    truncate -s 69632 dx.vol
    refused ENVOL_E_TRUNCATED envol export dx.vol --cmk file:cmk.key dx.out
    lacks test -e dx.out
}

# failing CALLS COMMAND...: runs the command with its first, second, ... of these system calls failing,
# until none is left to fail; after each, `outcome` looks at what is there, or `heals` where the
# command went on and succeeded.
heals() { false; }
failing() {
    local calls=$1 n
    shift
    for n in $(seq 100); do
        before
        run strace -o trace -f -e trace="$calls" -e inject="$calls:error=EIO:when=$n" "$@"
        if ! grep -q INJECTED trace; then
            if [ "$status" -eq 0 ] && [ "$n" -gt 2 ]; then good; else bad "only $n: $*"; fi
            return
        fi
        if [ "$status" -eq 127 ] && grep -q 'loading shared libraries' err; then
            continue # a call of the dynamic linker's
        elif [ "$status" -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && outcome; then
            good
        elif [ "$status" -eq 0 ] && heals; then
            good
        else
            bad "call $n of $calls fails, exit $status: $*"
        fi
    done
    bad "no end of calls: $*"
}

# shellcheck disable=SC2317 # before and outcome are called by failing
test_failing_calls() {
    if ! strace -o trace -e trace=none true 2>/dev/null; then
        echo 'SKIP failing system calls: strace(1) is missing or may not trace'
        return
    fi
    local suite store=pwrite64,pwritev,pwritev2,fsync,fdatasync,ftruncate
    head -c 1500000 random >part
    for suite in aes-256-gcm aes-256-xts; do
        before() { rm -f n.vol; }
        outcome() { test ! -e n.vol; }
        failing $store envol create n.vol --cmk file:cmk.key --suite $suite
        cp n.vol empty.vol
        before() { cp empty.vol n.vol; }
        # Whole or refused: what a failing sync leaves on a disk that works is for the library's tests.
        outcome() {
            rm -f n.out
            if envol export n.vol --cmk file:cmk.key n.out 2>n.err; then
                cmp part n.out
            else
                grep -q '(ENVOL_E_STATE)$' n.err && test ! -e n.out
            fi
        }
        failing $store envol import n.vol --cmk file:cmk.key part
        before() { rm -f n.out; }
        outcome() { test ! -e n.out && test -z "$(find . -name '.envol-export-*')"; }
        # What fails once among pages is read again, page by page.
        heals() { cmp part n.out; }
        failing pread64,preadv,preadv2 envol export n.vol --cmk file:cmk.key n.out
        heals() { false; }
        failing write envol export n.vol --cmk file:cmk.key n.out
    done
    before() { rm -f n.out; }
    # Once the file is in place, a directory that cannot be synced is reported, and the file stays.
    outcome() { test ! -e n.out || cmp part n.out; }
    failing fsync,fdatasync,renameat2 envol export n.vol --cmk file:cmk.key n.out
}

test_secrets() {
    search_secrets i.vol cmk.key quick.vol quick.key e.vol cmk.key
}

envol keygen cmk.key
run_parts round_trips import cut_off full_disk failing_calls export damage damage_xts secrets
