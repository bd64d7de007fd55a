#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Manuals are lint clean, their prototypes are the headers', their C examples compile and link, and
# their excerpts are in the sources.
set -eu
BUILD=${BUILD:-build} CC=${CC:-cc} PKG_CONFIG=${PKG_CONFIG:-pkg-config}
export PYTHONDONTWRITEBYTECODE=1
work=$BUILD/tests/manuals
rm -rf "$work"
mkdir -p "$work"
passed=0 failed=0

# verdict STATUS WHAT LOG
verdict() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$2:"
        cat "$3"
    fi
}

set -- man/*.[1-8]
if [ ! -f "$1" ]; then
    echo "SKIP manuals: there are none yet"
    echo "check_manuals: 0 passed, 0 failed"
    exit 0
fi

# mandoc knows the libraries of its own system only, so our .Lb is unknown to it.
excused='unknown library name: Lb libenvol'
# library_of SOURCE: name of the provider library whose header it includes, if any.
library_of() {
    sed -n 's|^#include <envol-\([a-z0-9-]*\)\.h>.*|\1|p' "$1" | head -n 1
}
for page in "$@"; do
    mandoc -T lint -W warning "$page" 2>&1 | grep -v "$excused" >"$work/log" || :
    status=0
    test ! -s "$work/log" || status=1
    verdict "$status" "$page" "$work/log"
done

# mdoc takes a heading's word that is a macro's name for that macro.
grep -nE '^\.S[sh] (.* )?(A[cdnopqrtu]|B[cdfklqtx]|C[dm]|D[cdlqtvx]|E[cdfklmnorsvx]|F[acdlnort]|Hf|I[cnt]|L[bikp]|M[st]|N[dmosx]|O[copstx]|P[acfopq]|Q[clq]|R[esv]|S[chmqstxy]|T[an]|U[dx]|V[at]|X[cor])( |$)' \
    "$@" /dev/null >"$work/log" || :
status=0
test ! -s "$work/log" || status=1
verdict "$status" 'headings' "$work/log"

# Nothing may refer to a page of ours that is not there.
: >"$work/log"
for page in "$@"; do
    sed -n 's/^\.\(.* \)\{0,1\}Xr \(envol[a-z0-9_-]*\) \([1-8]\).*/\2 \3/p' "$page" | sort -u |
        while read -r name number; do
            test -f "man/$name.$number" ||
                grep -qsE "^\.Nm $name( ,)?$" man/*."$number" ||
                echo "$page: no page $name($number)"
        done >>"$work/log"
done
status=0
test ! -s "$work/log" || status=1
verdict "$status" 'cross references' "$work/log"

status=0
python3 tests/manuals.py synopsis man/*.3 >"$work/log" 2>&1 || status=1
verdict "$status" 'prototypes' "$work/log"
status=0
python3 tests/manuals.py examples "$work" "$@" >"$work/log" 2>&1 || status=1
verdict "$status" 'examples' "$work/log"
status=0
python3 tests/manuals.py excerpts "$@" >"$work/log" 2>&1 || status=1
verdict "$status" 'excerpts' "$work/log"

# Linked with the shared library: an example can use nothing that is not exported.
for source in "$work"/*.c; do
    [ -f "$source" ] || continue
    program=${source%.c}
    link=
    grep -qw main "$source" || link=-c
    library=$(library_of "$source")
    case " ${PROVIDERS:-} " in
    *" $library "*) ;;
    *)
        if [ -n "$library" ]; then
            echo "SKIP ${source##*/}: this build has no libenvol-$library"
            continue
        fi
        ;;
    esac
    status=0
    # shellcheck disable=SC2086 # words: compiler, flags
    $CC -std=c99 -D_POSIX_C_SOURCE=200809L -pedantic -Wall -Wextra -Werror -Iinclude $link \
        -o "$program" "$source" ${link:--L$BUILD ${library:+-lenvol-$library} -lenvol} \
        >"$work/log" 2>&1 || status=1
    verdict "$status" "$source" "$work/log"
done

echo "check_manuals: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
