#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The ABI against earlier releases: nothing that a release exported may be gone or change.
#
# tests/abi/LIBRARY-VERSION.symbols lists what LIBRARY exported in release VERSION, "name@@NODE" a
# line, written by `check_abi.sh record`; LIBRARY-VERSION.abi is abidw's description of its types,
# compared where abidiff is installed.
set -eu
BUILD=${BUILD:-build}
export LC_ALL=C
work=$BUILD/tests/abi
mkdir -p "$work"
passed=0 failed=0

record() {
    mkdir -p tests/abi
    cp "$work/symbols" "tests/abi/$library-${shared##*.so.}.symbols"
    if command -v abidw >/dev/null; then
        abidw --headers-dir include --out-file "tests/abi/$library-${shared##*.so.}.abi" "$shared"
    fi
}

compare_symbols() {
    for list in tests/abi/"$library"-[0-9]*.symbols; do
        [ -f "$list" ] || continue
        comm -23 "$list" "$work/symbols" >"$work/gone"
        if [ -s "$work/gone" ]; then
            echo "$list: exported by that release, and no more:"
            cat "$work/gone"
            failed=$((failed + 1))
        else
            passed=$((passed + 1))
        fi
    done
}

compare_types() {
    for description in tests/abi/"$library"-[0-9]*.abi; do
        [ -f "$description" ] || continue
        if ! command -v abidiff >/dev/null; then
            echo "SKIP $description: abidiff is not installed"
        elif abidiff --headers-dir2 include --no-added-syms "$description" "$shared"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
        fi
    done
}

for provider in '' ${PROVIDERS:-}; do
    library=libenvol${provider:+-$provider}
    shared=$(readlink -e "$BUILD/$library.so")
    nm -D --defined-only "$shared" | awk '$2 != "A" { print $3 }' | sort >"$work/symbols"
    if [ "${1:-}" = record ]; then
        record
    else
        compare_symbols
        compare_types
    fi
done
if [ "${1:-}" = record ]; then
    exit 0
fi

# Structs that callers fill may grow at their end only, so each has to begin with its size.
sized=$(python3 - <<'PY'
import re
import sys

sys.path.insert(0, "tests")
import public_api

# Elements of caller's arrays, whose size is fixed for good.
FIXED = {"envol_cmk", "envol_context_pair", "envol_pin", "envol_page_io", "envol_page_op",
         "envol_slot_outcome", "envol_ledger_epoch", "envol_ledger_slot",
         "envol_header_snapshot", "envol_log_entry", "envol_log_record"}
for header in public_api.headers():
    for name, body in re.findall(r"struct (envol_\w+) \{(.*?)\n\}", public_api.read(header), re.S):
        if name not in FIXED and not body.split(";")[0].split() == ["size_t", "struct_size"]:
            print(f"{header}: struct {name} does not begin with struct_size")
PY
)
if [ -n "$sized" ]; then
    echo "$sized"
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi

echo "check_abi: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
