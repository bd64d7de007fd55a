#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Snapshots and catalogs of backups that the command writes against tests/chain1.py, which was
# written from envol(5) alone.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$(cd "$OLDPWD" && cd "$(dirname "$0")" && pwd)

one=(--cmk file:one.key)
stride=16384

# chain FILE ARGUMENT...: as the reader of the layout sees it.
chain() { python3 "$tests/chain1.py" s.vol "$(reveal_dek s.vol one.key)" "$@"; }
# Its DEK is no output that is searched for secrets.
read_chain() {
    status=0
    chain "$@" >out 2>err || status=$?
}
sound() {
    read_chain "$@"
    if [ "$status" -eq 0 ]; then good; else bad "exit $status: $*"; fi
}
unsound() {
    read_chain "$@"
    if [ "$status" -eq 1 ] && grep -q '^refused' out; then good; else bad "exit $status: $*"; fi
}

# The image's records are those that the volume had.
is_the_image() {
    local pages
    pages=$(($(stat -c %s image) / stride))
    holds test "$pages" -gt 100
    holds cmp -n "$((pages * stride))" -i 0:65536 image before
}

test_snapshots() {
    for suite in aes-256-gcm aes-256-xts; do
        rm -rf s.vol s.vol.d
        envol create s.vol "${one[@]}" --suite $suite
        envol import s.vol "${one[@]}" large
        cp s.vol before
        ok envol snapshot create s.vol "${one[@]}"
        file=s.vol.d/snapshot-$(cat out)
        sound "$file" --image image
        holds grep -q '^manifest [0-9]* 1 ' out
        is_the_image
        ok envol import s.vol "${one[@]}" --force cmk.txt
        sound "$file" --image image
        holds grep -q '^chunk 0 16$' out
        is_the_image
        cp "$file" kept
        printf '\001' | dd of="$file" bs=1 seek=150 conv=notrunc status=none
        unsound "$file"
        cp kept "$file"
        truncate -s 400 "$file"
        unsound "$file"
        cp kept "$file"
    done
}

# Entries under a DEK that is retained for them.
test_rotated() {
    rm -rf s.vol s.vol.d
    envol create s.vol "${one[@]}"
    envol import s.vol "${one[@]}" large
    cp s.vol before
    ok envol snapshot create s.vol "${one[@]}"
    file=s.vol.d/snapshot-$(cat out)
    ok envol rotate s.vol "${one[@]}"
    sound "$file" --image image
    holds grep -q '^manifest [0-9]* 1 ' out
    is_the_image
}

test_catalogs() {
    ok envol backup s.vol "${one[@]}" --to file:backup.key --record first
    ok envol backup s.vol "${one[@]}" --to file:backup.key --to file:one.key --record second
    ok envol backup s.vol "${one[@]}" --raw --record third
    sound s.vol.d/backups-*
    grep '^backup' out | cut -d ' ' -f 2 >layout
    holds grep -q '^catalog [0-9]* 2$' out
    holds grep -q " 1 1 .* $(stat -c %s second) 2 0 second\$" out
    holds grep -q ' 2 0 .* 0 0 2 1 third$' out
    holds test "$(grep -c '^cmk file ' out)" -eq 4
    ok envol catalog list s.vol "${one[@]}"
    holds cmp layout <(sed -n 's/^backup  *\([^,]*\),.*/\1/p' out)
    ok envol catalog forget s.vol "$(head -n 1 layout)" "${one[@]}"
    sound s.vol.d/backups-*
    holds cmp <(tail -n +2 layout) <(grep '^backup' out | cut -d ' ' -f 2)
    ok envol rotate s.vol "${one[@]}"
    sound s.vol.d/backups-*
    holds grep -q '^catalog [0-9]* 3$' out
    holds cmp <(tail -n +2 layout) <(grep '^backup' out | cut -d ' ' -f 2)
    truncate -s -16 s.vol.d/backups-*
    unsound s.vol.d/backups-*
}

test_golden() {
    rm -rf s.vol
    unpack space-volume s.vol
    for name in space-snapshot space-backups backup-full backup-incremental; do unpack $name $name; done
    cp one.key kept.key
    unpack cmk one.key
    sound space-snapshot --image image
    holds grep -q '^manifest 6 1 golden$' out
    holds grep -q '^chunk 0 6$' out
    holds test "$(stat -c %s image)" -eq $((6 * 560))
    sound space-backups
    holds grep -q ' 1 1 .* 2 0 full$' out
    holds grep -q ' 1 1 .* 2 0 incremental$' out
    run python3 "$tests/backup1.py" one.key backup-full backup-incremental
    holds test "$status" -eq 0
    holds grep -q "^note b'golden note'\$" out
    mv kept.key one.key
}

envol keygen one.key
envol keygen backup.key
head -c 3000000 /dev/urandom >large
run_parts snapshots rotated catalogs golden
