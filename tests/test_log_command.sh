#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol log: verify, of the golden log, whose DEK was rotated since; append, read and truncate, of
# lines and of frames.  What a replay makes of a log is test_replay_command's.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

one=(--cmk file:one.key)

# says [LINE]...: the last command printed exactly these.
says() { holds cmp -s out <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; fi); }

# frames [LSN FLAGS TEXT]...: as envol(1) has them.
frames() {
    python3 -c 'import struct, sys
for lsn, flags, text in zip(*[iter(sys.argv[1:])] * 3):
    data = text.encode()
    sys.stdout.buffer.write(struct.pack("<QII", int(lsn), len(data), int(flags)) + data)' "$@"
}

append() { run envol log append "$@" <in; }
appended() {
    append "$@"
    if [ "$status" -eq 0 ] && [ ! -s err ]; then good; else bad "exit $status: append $*"; fi
}

test_usage() {
    misused 'log: append, read, replay, truncate or verify?' envol log
    misused 'log explode: unknown verb' envol log explode v.vol
    for verb in append read truncate verify; do
        misused 'VOL is missing' envol log $verb "${one[@]}"
        misused 'ENVOL_CMK is not set' envol log $verb v.vol
        ok envol log $verb --help
    done
    misused 'not an LSN' envol log read v.vol "${one[@]}" --start x
    misused 'count from 1' envol log read v.vol "${one[@]}" --until 0
    misused 'not an LSN' envol log read v.vol "${one[@]}" --until 18446744073709551616
    misused 'given twice' envol log read v.vol "${one[@]}" --until 1 --until 2
    misused 'LSN is missing' envol log truncate v.vol "${one[@]}"
    misused 'not an LSN' envol log truncate v.vol 1x "${one[@]}"
    misused '--follow does not apply' envol log verify v.vol --follow "${one[@]}"
}

test_verify() {
    unpack space-volume v.vol
    mkdir v.vol.d
    unpack space-log v.vol.d/log-0000000000000001
    ok envol log verify v.vol "${one[@]}"
    holds grep -q '^5 records sound, LSN 1 to 5, 18 bytes$' out
    ok envol info v.vol "${one[@]}" --json
    holds json out 'j["log"] != None'
    mv v.vol.d elsewhere
    refused ENVOL_E_STATE envol log verify v.vol "${one[@]}"
    ok envol log verify v.vol "${one[@]}" --space elsewhere
    mv elsewhere v.vol.d
    flip v.vol.d/log-0000000000000001 200
    refused ENVOL_E_CORRUPT envol log verify v.vol "${one[@]}"
    refused ENVOL_E_CORRUPT envol log read v.vol "${one[@]}"
    rm v.vol.d/log-0000000000000001
    refused ENVOL_E_CORRUPT envol log verify v.vol "${one[@]}"
    envol create w.vol "${one[@]}"
    refused ENVOL_E_STATE envol log read w.vol "${one[@]}"
    mkdir w.vol.d
    refused ENVOL_E_STATE envol log verify w.vol "${one[@]}"
    refused ENVOL_E_STATE envol log read w.vol "${one[@]}"
    refused ENVOL_E_STATE envol log truncate w.vol 1 "${one[@]}"
}

test_lines() {
    envol create l.vol "${one[@]}"
    printf 'first\n\nback\\slash\t\303\251\nno newline' >in
    appended l.vol "${one[@]}"
    says 1 2 3 4
    ok envol log read l.vol "${one[@]}"
    holds cmp -s out <(printf '1\tfirst\n2\t\n3\tback\\\\slash\\x09\\xc3\\xa9\n4\tno newline\n')
    ok envol log read l.vol "${one[@]}" --start 2 --until 3
    holds grep -q '^2' out
    holds test "$(wc -l <out)" = 2
    ok envol log read l.vol "${one[@]}" --start 5
    says
    : >in
    appended l.vol "${one[@]}"
    says
    lacks grep -rqa 'no newline' l.vol l.vol.d
    refused ENVOL_E_KEY_NOT_FOUND envol log read l.vol --cmk file:two.key
    append l.vol --cmk file:two.key
    holds grep -q ENVOL_E_KEY_NOT_FOUND err
    # Longer than what one read brings, and longer than a record may be.
    head -c 300000 /dev/zero | tr '\0' x >in
    appended l.vol "${one[@]}"
    says 5
    ok envol log verify l.vol "${one[@]}"
    holds grep -q '^5 records sound, LSN 1 to 5, 300028 bytes$' out
    head -c 67108865 /dev/zero | tr '\0' x >in
    append l.vol "${one[@]}"
    holds grep -q 'too long.*(ENVOL_E_RANGE)$' err
    says
    rm in
}

test_frames() {
    envol create f.vol "${one[@]}"
    frames 0 2 alone 7 0 'two of' 0 2 'a batch' 0 2 '' >in
    appended f.vol "${one[@]}" --framed
    says 1 7 8 9
    ok envol log read f.vol "${one[@]}" --framed
    holds cmp -s out <(frames 1 2 alone 7 0 'two of' 8 2 'a batch' 9 2 '')
    # What was read can be appended elsewhere.
    cp out in
    envol create g.vol "${one[@]}"
    appended g.vol "${one[@]}" --framed
    ok envol log read g.vol "${one[@]}" --framed
    holds cmp -s out in
    frames 9 2 'an LSN that is there' >in
    append f.vol "${one[@]}" --framed
    holds grep -q '(ENVOL_E_RANGE)$' err
    # Half of a batch is not appended, what stands before it is.
    frames 0 2 whole 0 0 half >in
    append f.vol "${one[@]}" --framed
    holds test "$status" = 1
    holds grep -q 'within a frame or a batch.*(ENVOL_E_TRUNCATED)$' err
    says 10
    frames 0 2 cut | head -c 17 >in
    append f.vol "${one[@]}" --framed
    holds grep -q '(ENVOL_E_TRUNCATED)$' err
    frames 0 4 flags >in
    append f.vol "${one[@]}" --framed
    holds grep -q 'no frame (ENVOL_E_FORMAT)$' err
    ok envol log verify f.vol "${one[@]}"
    holds grep -q '^5 records sound, LSN 1 to 10' out
}

# What would pass for a record of the command's own is not appended, however it comes.
test_reserved() {
    envol create r.vol "${one[@]}"
    echo 'ENVOLRDO and more' >in
    append r.vol "${one[@]}"
    holds grep -q 'begins with ENVOLRDO.*(ENVOL_E_ARGUMENT)$' err
    frames 0 0 first 0 2 ENVOLRDO >in
    append r.vol "${one[@]}" --framed
    holds grep -q 'begins with ENVOLRDO.*(ENVOL_E_ARGUMENT)$' err
    says
    # What stands before it in the same read is appended, and said to be.
    printf 'before\nENVOLRDO\nbehind\n' >in
    append r.vol "${one[@]}"
    holds grep -q 'begins with ENVOLRDO.*(ENVOL_E_ARGUMENT)$' err
    says 1
    ok envol log verify r.vol "${one[@]}"
    holds grep -q '^1 records sound' out
    printf 'ENVOLRD\n ENVOLRDO\n' >in
    appended r.vol "${one[@]}"
    says 2 3
    # Nor what was read of an import.
    envol import r.vol --log "${one[@]}" cmk.txt >/dev/null
    envol log read r.vol "${one[@]}" --framed >in
    envol create s.vol "${one[@]}"
    append s.vol "${one[@]}" --framed
    holds test "$status" = 1
    holds grep -q '(ENVOL_E_ARGUMENT)$' err
}

# LSNs are printed as soon as a line is safe, and a follower has it.
test_follow() {
    envol create t.vol "${one[@]}"
    mkfifo pipe
    envol log append t.vol "${one[@]}" <pipe >lsns &
    exec 3>pipe
    echo one >&3
    for _ in {1..600}; do
        if [ -s lsns ]; then break; fi
        sleep 0.05
    done
    holds test "$(cat lsns)" = 1
    timeout 10 envol log read t.vol "${one[@]}" --follow --until 3 >followed &
    reader=$!
    printf 'two\nthree\nfour\n' >&3
    wait $reader
    holds test $? = 0
    holds cmp -s followed <(printf '1\tone\n2\ttwo\n3\tthree\n')
    refused ENVOL_E_BUSY envol log truncate t.vol 2 "${one[@]}"
    exec 3>&-
    wait
    holds cmp -s lsns <(seq 4)
    # A signal that comes twice, as that of timeout(1), is one request.
    envol log read t.vol "${one[@]}" --follow >out 2>err &
    reader=$!
    for _ in {1..600}; do [ "$(wc -l <out)" -ge 4 ] && break; sleep 0.05; done
    kill -TERM $reader
    kill -TERM $reader 2>/dev/null
    wait $reader
    holds test $? = 1
    cat out err >>everything
    holds grep -q '(ENVOL_E_CANCELLED)$' err
    holds test "$(wc -l <out)" = 4
}

# Nobody takes what is printed: one line says so.
test_output() {
    local how
    envol create o.vol "${one[@]}"
    seq 10 | run envol log append o.vol "${one[@]}"
    for how in append read 'read --framed' 'read --follow'; do
        # shellcheck disable=SC2086 # words
        run sh -c 'echo 11 | "$@" >/dev/full' sh envol log $how o.vol "${one[@]}"
        holds test "$status" = 1
        holds test "$(wc -l <err)" = 1
        holds grep -q ': standard output: .*(ENVOL_E_IO)$' err
    done
}

# A log of a newer DEK than the volume's: an old copy of the volume beside it.
test_newer_log() {
    envol create n.vol "${one[@]}"
    seq 3 >in
    appended n.vol "${one[@]}"
    head -c 65536 n.vol >old.vol
    ok envol rotate n.vol --force "${one[@]}"
    appended n.vol "${one[@]}"
    refused ENVOL_E_STALE timeout 10 envol log read old.vol "${one[@]}" --space n.vol.d
    refused ENVOL_E_STALE timeout 10 envol log read old.vol "${one[@]}" --space n.vol.d --follow
}

test_truncate() {
    envol create c.vol "${one[@]}"
    seq 10 >in
    appended c.vol "${one[@]}"
    ok envol log truncate c.vol 5 "${one[@]}" # within a segment, which stays
    says 1
    appended c.vol "${one[@]}"
    ok envol log truncate c.vol 11 "${one[@]}"
    says 11
    refused ENVOL_E_RANGE envol log read c.vol "${one[@]}" --start 10
    ok envol log read c.vol "${one[@]}" --start 11
    holds test "$(wc -l <out)" = 10
    ok envol log read c.vol "${one[@]}"
    holds test "$(head -n 1 out)" = $'11\t1'
}

envol keygen one.key
envol keygen two.key
unpack cmk golden.key
cp golden.key one.key
chmod 600 one.key
run_parts usage verify lines frames reserved follow output newer_log truncate
