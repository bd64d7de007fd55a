#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Recovery to a point in time by the command: imports through a log, a backup, and envol log replay
# up to each LSN; and what it refuses, before it changes anything.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$(cd "$OLDPWD" && cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/replay_command.sh
. "$tests/replay_command.sh"

# refused_untouched ENVOL_E_NAME WORDS COMMAND...: with these words, and n.vol is what it was.
refused_untouched() {
    local name=$1 words=$2
    shift 2
    cp n.vol before.vol
    refused "$name" "$@"
    holds grep -qF -e "$words" err
    holds cmp -s n.vol before.vol
}

# redo [KIND NUMBER BYTES VERSION]...: records as envol(5) has them, with an image of so many bytes.
redo() {
    python3 -c 'import struct, sys
for kind, number, image, version in zip(*[iter(map(int, sys.argv[1:]))] * 4):
    data = b"ENVOLRDO" + struct.pack("<IIQ", version, kind, number) + bytes(image)
    sys.stdout.buffer.write(struct.pack("<QII", 0, len(data), 2) + data)' "$@"
}

test_usage() {
    misused 'VOL is missing' envol log replay "${replay[@]}"
    misused 'the log is of is missing' envol log replay n.vol "${replay[@]}"
    misused 'ENVOL_CMK is not set' envol log replay n.vol v.vol --from file:one.key
    misused 'not an LSN' envol log replay n.vol v.vol "${replay[@]}" --until 0
    misused 'goes with --apply' envol log replay n.vol v.vol "${replay[@]}" --start 1
    misused '--log does not apply' envol export v.vol --log "${one[@]}"
    ok envol log replay --help
}

test_points() {
    local suite lsn points='12 13'
    for suite in aes-256-xts aes-256-gcm; do
        make_history $suite
        holds test "${ends[*]}" = '10 13 16' # begin, 8 pages, end; begin, what changed, end; ...
        ok envol log read v.vol "${one[@]}"
        holds grep -q $'^11\tbegin of an import, follows LSN 10$' out
        holds grep -q $'^12\tpage 5$' out
        lacks grep -rqa 'a line of text' v.vol v.vol.d
        for lsn in $points; do
            restored b1
            ok envol log replay n.vol v.vol "${replay[@]}" --until "$lsn"
            holds grep -q "^at LSN $lsn," out
            case $lsn in
            10) content_is one.txt ;;
            13) content_is two.txt ;;
            16) content_is three.txt ;;
            *) refused ENVOL_E_STATE envol export n.vol "${new[@]}" ;;
            esac
            ok envol log replay n.vol v.vol "${replay[@]}" # on to the end, from wherever it is
            content_is three.txt
        done
        holds json <(envol info n.vol --json "${new[@]}") 'j["pages"] == 6 and j["content_lsn"] == 16'
        restored b2
        ok envol log replay n.vol v.vol "${replay[@]}"
        content_is three.txt
        points=$(seq 10 16)
        ok envol log replay n.vol v.vol "${replay[@]}" # nothing is left to do
        holds grep -q '^at LSN 16, an import of 20000 bytes$' out
    done
}

test_wrong_points() {
    restored b2
    refused_untouched ENVOL_E_RANGE 'at LSN 13 already' envol log replay n.vol v.vol "${replay[@]}" --until 12
    refused_untouched ENVOL_E_RANGE 'ends with LSN 16' envol log replay n.vol v.vol "${replay[@]}" --until 17
    ok envol log replay n.vol v.vol "${replay[@]}" --until 13
    content_is two.txt
}

# The volume is lost, but for a copy of its header and of its log.
test_without_the_volume() {
    head -c 65536 v.vol >header
    cp -r v.vol.d archive
    restored b1
    ok envol log replay n.vol header "${replay[@]}" --space archive --until 13
    content_is two.txt
}

test_wrong_log() {
    restored b1
    refused_untouched ENVOL_E_IO other.vol envol log replay n.vol other.vol "${replay[@]}"
    envol create other.vol --page-size 4096 "${one[@]}"
    refused_untouched ENVOL_E_STATE --space envol log replay n.vol other.vol "${replay[@]}"
    envol import other.vol --log "${one[@]}" one.txt >/dev/null
    refused_untouched ENVOL_E_STATE 'not of the log of other.vol' envol log replay n.vol other.vol "${replay[@]}"
    # A volume whose import is of no log, and one without an import.
    rm n.vol
    envol create n.vol "${new[@]}"
    refused ENVOL_E_STATE envol log replay n.vol v.vol "${replay[@]}"
    holds grep -q 'holds no import' err
    envol import n.vol "${new[@]}" one.txt
    refused_untouched ENVOL_E_STATE 'is of no log' envol log replay n.vol v.vol "${replay[@]}"
}

test_wrong_cmk() {
    restored b1
    refused_untouched ENVOL_E_KEY_NOT_FOUND '' envol log replay n.vol v.vol "${new[@]}"
    refused_untouched ENVOL_E_KEY_NOT_FOUND '' envol log replay n.vol v.vol "${one[@]}"
    envol key disable one.key
    refused_untouched ENVOL_E_KEY_DISABLED one.key envol log replay n.vol v.vol "${replay[@]}"
    envol key enable one.key
}

test_gap() {
    other_log t.vol </dev/null
    ok envol log truncate t.vol 17 "${one[@]}"
    restored b1
    refused_untouched ENVOL_E_RANGE t.vol envol log replay n.vol t.vol "${replay[@]}" --until 13
    other_log t.vol </dev/null
    flip t.vol.d/log-0000000000000001 40000
    refused_untouched ENVOL_E_CORRUPT t.vol envol log replay n.vol t.vol "${replay[@]}"
}

# Imports without a log are no part of the history; the next one with a log begins anew.
test_unlogged() {
    other_log u.vol </dev/null
    ok envol import u.vol --force "${one[@]}" two.txt
    ok envol import u.vol --log --force "${one[@]}" one.txt
    holds test "$(cat out)" = 26
    restored b1
    ok envol log replay n.vol u.vol "${replay[@]}" --until 16
    content_is three.txt
    ok envol log replay n.vol u.vol "${replay[@]}"
    content_is one.txt
    # The restored volume has a log of its own, and no more to do with the old one.
    ok envol import n.vol --log --force "${new[@]}" two.txt
    holds test "$(cat out)" = 10
    refused ENVOL_E_STATE envol log replay n.vol u.vol "${replay[@]}"
}

test_rotated() {
    other_log o.vol </dev/null
    ok envol rotate o.vol "${one[@]}"
    ok envol import o.vol --log --force "${one[@]}" one.txt
    restored b1
    ok envol log replay n.vol o.vol "${replay[@]}"
    content_is one.txt
}

test_hostile_records() {
    local record
    restored b1
    for record in 'ENVOL_E_FORMAT 9 0 0 1' 'ENVOL_E_FORMAT 2 1 4047 1' 'ENVOL_E_FORMAT 2 0 4048 1' \
        'ENVOL_E_FORMAT 1 0 16 1' 'ENVOL_E_VERSION 2 1 4048 2' 'ENVOL_E_FORMAT 2 1 4048 1' \
        'ENVOL_E_FORMAT 3 5 0 1' 'ENVOL_E_STATE 1 15 0 1'; do
        # shellcheck disable=SC2086 # words
        redo ${record#* } | other_log h.vol
        refused_untouched "${record%% *}" 'record 17 ' envol log replay n.vol h.vol "${replay[@]}"
    done
    ok envol log replay n.vol h.vol "${replay[@]}" --until 16
    content_is three.txt
}

# A begin record that a crash left alone may come again; behind pages, nothing goes on from before.
test_begins() {
    local bare
    redo 1 16 0 1 1 16 0 1 2 1 4048 1 2 1 4048 1 3 4048 0 1 | other_log h.vol
    restored b1
    ok envol log replay n.vol h.vol "${replay[@]}"
    head -c 4048 /dev/zero >zeros
    content_is zeros
    for bare in 17 18; do # from a volume that says no more than begun
        restored b1
        ok envol log replay n.vol h.vol "${replay[@]}" --until $bare
        ok envol log replay n.vol h.vol "${replay[@]}"
        content_is zeros
    done
    for bare in '1 16 0 1 2 1 4048 1 1 16 0 1' '1 16 0 1 1 13 0 1' '1 0 0 1 1 16 0 1' \
        '1 0 0 1 1 17 0 1' '1 16 0 1 3 20000 0 1 1 16 0 1'; do
        # shellcheck disable=SC2086 # words
        redo $bare | other_log h.vol
        restored b1
        refused_untouched ENVOL_E_STATE 'does not go on' envol log replay n.vol h.vol "${replay[@]}"
    done
}

# Pages lie behind one another: no record makes a gap, or an end of pages that no record brought.
test_gaps() {
    local records
    for records in '1 16 0 1 2 7 4048 1' '1 16 0 1 2 18446744073709551615 4048 1' '1 0 0 1 2 2 4048 1' \
        '1 16 0 1 3 20241 0 1' '1 16 0 1 3 18446744073709551615 0 1' '1 0 0 1 3 1 0 1'; do
        # shellcheck disable=SC2086 # words
        redo $records | other_log h.vol
        restored b1
        refused_untouched ENVOL_E_FORMAT 'record 18 leaves out pages' \
            envol log replay n.vol h.vol "${replay[@]}"
    done
    redo 1 16 0 1 2 6 4048 1 2 7 4048 1 3 28336 0 1 | other_log h.vol
    restored b1
    ok envol log replay n.vol h.vol "${replay[@]}"
    cp three.txt zeros
    truncate -s 28336 zeros
    content_is zeros
}

test_apply() {
    make_mixed
    restored b1
    refused_untouched ENVOL_E_UNSUPPORTED 'record 17 ' envol log replay n.vol a.vol "${replay[@]}"
    ok envol log replay n.vol a.vol "${replay[@]}" --until 16
    ok envol log replay n.vol a.vol "${replay[@]}" --apply 'cat >frames'
    content_is one.txt
    envol log read a.vol "${one[@]}" --start 17 --until 18 --framed >expected
    holds cmp -s frames expected
    restored b1
    refused ENVOL_E_CANCELLED envol log replay n.vol a.vol "${replay[@]}" --apply 'cat >frames; exit 7'
    holds grep -q 'ended with 7' err
    refused ENVOL_E_STATE envol export n.vol "${new[@]}"
    ok envol log replay n.vol a.vol "${replay[@]}" --apply 'cat >frames'
    content_is one.txt
    holds cmp -s frames expected
}

# A volume whose pages are an engine's: its program has it for itself, and takes all records.
test_engine() {
    rm -rf n.vol n.vol.d
    envol create n.vol "${new[@]}"
    ok envol log replay n.vol v.vol "${replay[@]}" --start 11 --until 13 \
        --apply 'cat >frames && envol import n.vol --cmk file:new.key one.txt'
    holds grep -q '^at LSN 13$' out
    envol log read v.vol "${one[@]}" --start 11 --until 13 --framed >expected
    holds cmp -s frames expected
    content_is one.txt
    refused ENVOL_E_STATE envol log replay n.vol v.vol "${replay[@]}" --start 11 --apply cat
    other_log t.vol </dev/null
    envol log truncate t.vol 17 "${one[@]}" >/dev/null
    rm -rf n.vol
    envol create n.vol "${new[@]}"
    refused ENVOL_E_RANGE envol log replay n.vol t.vol "${replay[@]}" --start 11 --apply 'cat >frames'
    refused ENVOL_E_RANGE envol log replay n.vol v.vol "${replay[@]}" --start 11 --until 17 --apply 'cat'
}

run_parts usage points wrong_points without_the_volume wrong_log wrong_cmk gap unlogged rotated \
    hostile_records begins gaps apply engine
