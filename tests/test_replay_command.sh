#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Recovery to a point in time by the command: imports through a log, a backup, and envol log replay
# up to each LSN; what it refuses, before it changes anything; and both of them killed half-way.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

one=(--cmk file:one.key)
new=(--cmk file:new.key)
replay=(--cmk file:new.key --from file:one.key)

# restored BACKUP: n.vol, of it.
restored() {
    rm -rf n.vol n.vol.d
    ok envol restore n.vol "${new[@]}" --from file:backup.key "$1"
}

content_is() {
    run envol export n.vol "${new[@]}"
    if [ "$status" -eq 0 ] && cmp -s out "$1"; then good; else bad "n.vol is not $1"; fi
    : >out
}

# refused_untouched ENVOL_E_NAME WORDS COMMAND...: with these words, and n.vol is what it was.
refused_untouched() {
    local name=$1 words=$2
    shift 2
    cp n.vol before.vol
    refused "$name" "$@"
    holds grep -qF -e "$words" err
    holds cmp -s n.vol before.vol
}

# other_log NAME: a copy of v.vol and its log, to which the records of the frames on standard input
# are appended.
other_log() {
    rm -rf "$1" "$1.d"
    cp v.vol "$1"
    cp -r v.vol.d "$1.d"
    envol log append "$1" "${one[@]}" --framed >/dev/null
}

# redo [KIND NUMBER BYTES VERSION]...: records as envol(5) has them, with an image of so many bytes.
redo() {
    python3 -c 'import struct, sys
for kind, number, image, version in zip(*[iter(map(int, sys.argv[1:]))] * 4):
    data = b"ENVOLRDO" + struct.pack("<IIQ", version, kind, number) + bytes(image)
    sys.stdout.buffer.write(struct.pack("<QII", 0, len(data), 2) + data)' "$@"
}

# Three contents of v.vol, one.txt to three.txt, and backups behind the first two; ends holds the LSNs.
make_history() {
    rm -rf v.vol v.vol.d b1 b2 list
    envol create v.vol --page-size 4096 --suite "$1" "${one[@]}"
    ends=("$(envol import v.vol --log "${one[@]}" one.txt)")
    envol backup v.vol "${one[@]}" --to file:backup.key b1
    ends+=("$(envol import v.vol --log --force "${one[@]}" two.txt)")
    envol backup v.vol "${one[@]}" --to file:backup.key b2
    ends+=("$(envol import v.vol --log --force "${one[@]}" - <three.txt)")
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
        holds json <(envol info n.vol --json "${new[@]}") 'j["pages"] == 6'
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

test_apply() {
    other_log a.vol < <(python3 -c 'import struct, sys
for data in b"first", b"second":
    sys.stdout.buffer.write(struct.pack("<QII", 0, len(data), 2) + data)')
    ok envol import a.vol --log --force "${one[@]}" one.txt
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

# Its program kills the replay when pages are half changed: it is what nobody takes for whole, goes
# on from where it began, and nowhere before what it may have done.
test_killed_replay() {
    restored b1
    # shellcheck disable=SC2016 # for its own shell
    { run envol log replay n.vol a.vol "${replay[@]}" --apply 'head -c 21 >/dev/null; kill -9 $PPID'; } \
        2>/dev/null
    holds test "$status" = 137
    refused ENVOL_E_STATE envol export n.vol "${new[@]}"
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
    for _ in $(seq 100); do
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

for key in one new backup; do envol keygen $key.key; done
yes 'a line of text that was imported' | head -c 32000 >one.txt
cp one.txt two.txt
printf 'five' | dd of=two.txt bs=1 seek=18000 conv=notrunc status=none
head -c 20000 two.txt >three.txt
run_parts usage points wrong_points without_the_volume wrong_log wrong_cmk gap unlogged rotated \
    hostile_records apply engine killed_replay killed_import
