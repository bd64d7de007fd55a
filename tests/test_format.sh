#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Headers as the library reads them against tests/format1.py, which was written from envol(5) alone:
# headers with known bytes, torn ones, changed ones, and the golden volumes.
set -uo pipefail
BUILD=${BUILD:-build}
suite=$BUILD/tests/test_header_golden
dir=$(mktemp -d "$BUILD/tests/format.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
dek=$(printf '%02x' {0..63})
other_dek=$(printf '%02x' {1..64})
passed=0 failed=0

# same WHAT FILE [DEK]: both print the same; of what both refuse, no more than that is compared.
same() {
    local what=$1
    shift
    "$suite" --print "$@" >"$dir/library" 2>&1
    python3 tests/format1.py "$@" >"$dir/layout" 2>&1
    sed -i 's/^refused: .*/refused/' "$dir/library" "$dir/layout"
    if [ -s "$dir/library" ] && cmp -s "$dir/library" "$dir/layout"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$what:"
        diff "$dir/library" "$dir/layout" | cut -c 1-200
    fi
}

# says WHAT TEXT: what was printed last has a line that ends like this.
says() {
    if grep -q -- "$2\$" "$dir/layout"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$1: no line ends in \"$2\""
    fi
}

# change FILE OFFSET BYTES: octal escapes for printf, in a copy of FILE.
change() {
    cp "$1" "$dir/changed"
    # shellcheck disable=SC2059
    printf "$3" | dd of="$dir/changed" bs=1 seek="$2" conv=notrunc status=none
}

"$suite" --write "$dir" || { echo "cannot write headers"; failed=1; }
for header in "$dir"/header-*.bin; do
    name=${header##*/}
    same "$name" "$header"
    says "$name" unchecked
    same "$name with its DEK" "$header" "$dek"
    says "$name with its DEK" right
    same "$name with another DEK" "$header" "$other_dek"
    says "$name with another DEK" wrong
    for at in 0 8 40 100 4120 32767; do
        change "$header" "$at" '\377'
        same "$name torn at $at" "$dir/changed" "$dek"
        says "$name torn at $at" '^copy 1'
        cp "$dir/changed" "$dir/both"
        dd if="$dir/both" of="$dir/changed" bs=32768 seek=1 count=1 status=none
        same "$name torn at $at in both copies" "$dir/changed" "$dek"
        says "$name torn at $at in both copies" refused
    done
    head -c 40000 "$header" >"$dir/changed"
    same "$name cut in the second copy" "$dir/changed" "$dek"
    says "$name cut in the second copy" right
done
for golden in tests/golden/gcm.hex tests/golden/xts.hex; do
    python3 -c 'import sys; sys.path.insert(0, "tests"); import format1
sys.stdout.buffer.write(format1.read(sys.argv[1]))' "$golden" >"$dir/changed"
    same "$golden" "$dir/changed"
    says "$golden" unchecked
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
