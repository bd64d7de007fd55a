#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Imports through a log, and replays of it, killed at any write: what is left passes for nothing else,
# and the same command makes it good.  And what they sync before what, which kills cannot show.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$(cd "$OLDPWD" && cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/replay_command.sh
. "$tests/replay_command.sh"

# Its program kills the replay when pages are half changed: it is what nobody takes for whole, goes
# on from where it began, and nowhere before what it may have done.
test_killed_replay() {
    restored b1
    # shellcheck disable=SC2016 # for its own shell
    { run envol log replay n.vol a.vol "${replay[@]}" --apply 'head -c 21 >/dev/null; kill -9 $PPID'; } \
        2>/dev/null
    holds test "$status" = 137
    refused ENVOL_E_STATE envol export n.vol "${new[@]}"
    holds grep -q 'run envol log replay again' err
    refused ENVOL_E_RANGE envol log replay n.vol a.vol "${replay[@]}" --until 13
    holds grep -q 'was cut off.*restore it again' err
    refused ENVOL_E_STATE envol export n.vol "${new[@]}"
    ok envol log replay n.vol a.vol "${replay[@]}" --apply 'cat >frames'
    content_is one.txt
    holds test "$(stat -c %s frames)" = 43
}

# Half of an import is in the log, and some of it in the pages; the next one begins anew.
test_killed_import() {
    rm -rf k.vol k.vol.d b3
    envol create k.vol "${one[@]}"
    envol import k.vol --log "${one[@]}" one.txt >/dev/null
    envol backup k.vol "${one[@]}" --to file:backup.key b3
    mkfifo pipe
    envol import k.vol --log --force "${one[@]}" pipe 2>/dev/null &
    import=$!
    exec 3>pipe
    head -c 3000000 random >&3
    for _ in {1..600}; do
        if [ "$(stat -c %s k.vol.d/log-0000000000000001)" -gt 2000000 ]; then break; fi
        sleep 0.05
    done
    kill -9 $import
    exec 3>&-
    wait $import 2>/dev/null
    refused ENVOL_E_STATE envol export k.vol "${one[@]}"
    ok envol log verify k.vol "${one[@]}"
    middle=$(envol log read k.vol "${one[@]}" | tail -n 1 | cut -f 1)
    restored b3
    ok envol log replay n.vol k.vol "${replay[@]}"
    holds grep -q "^at LSN $middle, in the middle of an import$" out
    ok envol import k.vol --log "${one[@]}" three.txt
    holds test "$(envol log read k.vol "${one[@]}" --start $((middle + 1)) | head -n 1)" = \
        "$((middle + 1))"$'\tbegin of an import, no page stays'
    ok envol log replay n.vol k.vol "${replay[@]}"
    content_is three.txt
    restored b3
    ok envol log replay n.vol k.vol "${replay[@]}" --until "$middle"
    ok envol log replay n.vol k.vol "${replay[@]}"
    content_is three.txt
}

has_strace() {
    if strace -o calls true 2>/dev/null; then return; fi
    echo "SKIP $program: strace does not run here"
    return 1
}

# order: of the writes and syncs in calls, but for the header's: L, l of the log, P, p of pages.
order() {
    sed -nE -e '/"ENVOL(VOL|LOG)/{n;d}' -e 's,^pwrite64\([^"]*\.d/log-.*,L,p' -e 's,^pwrite64.*,P,p' \
        -e 's,^fdatasync\([^ ]*\.d/log-.*,l,p' -e 's,^fdatasync.*,p,p' calls | tr -d '\n'
}

test_order() {
    if ! has_strace; then return; fi
    make_history aes-256-gcm
    run strace -y -qq -o calls -e trace=pwrite64,fdatasync \
        envol import v.vol --log --force "${one[@]}" - <one.txt
    # Begin; page 0 begun; page records; pages; end; page 0 whole; and the close of both.
    holds grep -qE '^LlPpLlPpLlPpp*$' <(order)
    restored b1
    run strace -y -qq -o calls -e trace=pwrite64,fdatasync envol log replay n.vol v.vol "${replay[@]}"
    # Page 0 begun; pages; page 0 whole.
    holds grep -qE '^p*PpP[Pp]*pPpp*$' <(order)
    content_is one.txt
}

# killed_at CALL N COMMAND...: false if there are no more such calls.
killed_at() {
    local call=$1 n=$2
    shift 2
    # A shell between, which says of what died in its stead.
    run sh -c '"$@"; exit $?' sh strace -qq -o calls -e trace="$call" \
        -e inject="$call":signal=SIGKILL:when="$n" "$@"
    grep -q 'killed by' calls
}

# is_one_of VOLUME CMK FILE...: its content is, or nobody takes it for whole.
is_one_of() {
    local volume=$1 cmk=$2 file
    shift 2
    run envol export "$volume" --cmk "$cmk"
    for file in "$@"; do
        if [ "$status" -eq 0 ] && cmp -s out "$file"; then
            good
            return
        fi
    done
    holds grep -q ENVOL_E_STATE err
}

test_import_killed_anywhere() {
    local n=1
    if ! has_strace; then return; fi
    rm -rf v.vol v.vol.d
    envol create v.vol --page-size 4096 "${one[@]}"
    envol import v.vol --log "${one[@]}" one.txt >/dev/null
    envol backup v.vol "${one[@]}" --to file:backup.key --force b1
    other_log w.vol </dev/null
    while killed_at pwrite64 $n envol import w.vol --log --force "${one[@]}" two.txt; do
        is_one_of w.vol file:one.key one.txt two.txt
        restored b1
        ok envol log replay n.vol w.vol "${replay[@]}"
        is_one_of n.vol file:new.key one.txt two.txt
        ok envol import w.vol --log --force "${one[@]}" three.txt
        ok envol log replay n.vol w.vol "${replay[@]}"
        content_is three.txt
        other_log w.vol </dev/null
        n=$((n + 1))
    done
    holds test $n -ge 12
}

# failed_at CALL N COMMAND...: false if there are no more such calls.
failed_at() {
    local call=$1 n=$2
    shift 2
    run strace -qq -o calls -e trace="$call" -e inject="$call":error=EIO:when="$n" "$@"
    grep -q INJECTED calls
}

# An import that failed leaves the pages from which a replay goes on, whatever the log has of it.
test_import_failed_anywhere() {
    local call n
    if ! has_strace; then return; fi
    rm -rf v.vol v.vol.d
    envol create v.vol --page-size 4096 --suite aes-256-xts "${one[@]}"
    envol import v.vol --log "${one[@]}" one.txt >/dev/null
    for call in pwrite64 fdatasync; do
        n=1
        other_log w.vol </dev/null
        while failed_at $call $n envol import w.vol --log --force "${one[@]}" two.txt; do
            is_one_of w.vol file:one.key one.txt two.txt
            cp w.vol n.vol
            ok envol log replay n.vol w.vol "${one[@]}"
            is_one_of n.vol file:one.key one.txt two.txt
            ok envol import w.vol --log --force "${one[@]}" three.txt
            cp v.vol n.vol
            ok envol log replay n.vol w.vol "${one[@]}"
            is_one_of n.vol file:one.key three.txt
            other_log w.vol </dev/null
            n=$((n + 1))
        done
        holds test $n -ge 6
    done
}

test_replay_killed_anywhere() {
    local n=1
    if ! has_strace; then return; fi
    make_history aes-256-gcm
    restored b1
    cp n.vol fresh.vol
    while killed_at pwrite64 $n envol log replay n.vol v.vol "${replay[@]}"; do
        is_one_of n.vol file:new.key one.txt three.txt
        ok envol log replay n.vol v.vol "${replay[@]}"
        content_is three.txt
        cp fresh.vol n.vol
        n=$((n + 1))
    done
    holds test $n -ge 6
}

make_history aes-256-gcm
make_mixed
run_parts killed_replay killed_import order import_killed_anywhere \
    import_failed_anywhere replay_killed_anywhere
