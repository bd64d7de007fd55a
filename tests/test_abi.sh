#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The gate of the ABI tells what breaks programs from what adds to it: a copy of the headers is changed,
# a change at a time.
set -uo pipefail
BUILD=$(realpath "${BUILD:-build}")
export BUILD PROVIDERS='' PYTHONDONTWRITEBYTECODE=1
passed=0 failed=0
mkdir -p "$BUILD/tests/tmp"
work=$(mktemp -d "$BUILD/tests/tmp/abi.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/build"
ln -s "$BUILD/libenvol.so" "$work/build"

afresh() {
    rm -rf "$work/include" "$work/tests"
    mkdir "$work/tests"
    cp -r include "$work"
    cp -r tests/abi tests/check_abi.py tests/public_api.py "$work/tests"
}
gate() {
    (cd "$work" && BUILD=build python3 tests/check_abi.py "$@") >"$work/out" 2>&1
}
# holds WHAT COMMAND...
holds() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$what: does not hold"
        cat "$work/out"
    fi
}
# change HEADER SED: a header that is not as it was.
change() {
    afresh
    sed -i "$2" "$work/include/envol/$1"
    ! cmp -s "include/envol/$1" "$work/include/envol/$1"
}
breaks() { grep -q 'which breaks programs' "$work/out"; }
meant() { ABI_BREAK=1 gate record; }
refused() { ! gate "$@"; }

# broken WHAT HEADER SED: not recorded, as it breaks programs.
broken() {
    holds "$1: changed" change "$2" "$3"
    holds "$1: not recorded" refused record
    holds "$1: called a break" breaks
}
# added WHAT HEADER SED: fails as long as it is not recorded, but is no break.
added() {
    holds "$1: changed" change "$2" "$3"
    holds "$1: refused" refused
    holds "$1: not called a break" test "$(breaks && echo break)" = ''
}

afresh
holds 'what was recorded' gate
added 'one more constant' types.h '/^enum envol_suite {/s/$/\n    ENVOL_SUITE_NEW = 77,/'
holds 'it is recorded' gate record
holds 'and then accepted' gate
broken 'a member in the middle' header.h '/^struct envol_slot {/,/^}/s/uint32_t id;/&\n    uint64_t more;/'
holds 'it is recorded on purpose' meant
holds 'and then accepted' gate
broken 'a member at the end' header.h '/^struct envol_slot {/,/^}/s/^}/    uint64_t more;\n}/'
broken 'a member in the padding at the end' provider.h \
    '/^struct envol_key_request {/,/^}/s/^}/    uint32_t more;\n}/'
broken 'a member of another type' lease.h \
    '/^struct envol_lease_options {/,/^}/s/uint32_t \(\w*\);/int32_t \1;/'
broken 'an element of arrays that grew' types.h \
    '/^struct envol_context_pair {/,/^}/s/^}/    const char *more;\n}/'
broken 'a constant of another value' store.h 's/ENVOL_LOCK_HEADER = 2/ENVOL_LOCK_HEADER = 3/'
broken 'a macro of another value' types.h 's/^\(#define ENVOL_UUID_TEXT_BYTES\) 37/\1 38/'
broken 'a parameter of another type' page.h '/ENVOL_API/,/;/s/uint64_t page_no/uint32_t page_no/'
broken 'a callback of another type' backup.h '/^typedef/s/size_t count/int count/'
holds 'a parameter renamed' change page.h \
    '/ENVOL_API/,/;/s/uint64_t page_no\b/uint64_t number/'
holds 'that is no part of it' gate
afresh
echo 'symbol envol_withdrawn@@ENVOL_0.1' >>"$work/tests/abi/libenvol.abi"
holds 'a symbol that is gone: refused' refused
holds 'a symbol that is gone: a break' breaks

echo "test_abi: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
