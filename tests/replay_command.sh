#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What the suites of envol log replay share; sourced by them after tests/command.sh.  Keys, and three
# contents of a volume, one.txt to three.txt; its history in backups and a log; restored volumes.
# shellcheck disable=SC2034,SC2154 # for those who source it, and of tests/command.sh

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

# other_log NAME: a copy of v.vol and its log, to which the records of the frames on standard input
# are appended.
other_log() {
    rm -rf "$1" "$1.d"
    cp v.vol "$1"
    cp -r v.vol.d "$1.d"
    python3 "$tests/append_frames.py" "$BUILD/libenvol.so" "$1" one.key
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

# a.vol: v.vol with two records of another program, and an import of one.txt behind them.
make_mixed() {
    other_log a.vol < <(python3 -c 'import struct, sys
for data in b"first", b"second":
    sys.stdout.buffer.write(struct.pack("<QII", 0, len(data), 2) + data)')
    envol import a.vol --log --force "${one[@]}" one.txt >/dev/null
}

for key in one new backup; do envol keygen $key.key; done
yes 'a line of text that was imported' | head -c 32000 >one.txt
cp one.txt two.txt
printf 'five' | dd of=two.txt bs=1 seek=18000 conv=notrunc status=none
head -c 20000 two.txt >three.txt
