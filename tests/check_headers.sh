#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each public header stands alone, twice included, in C99 and C++, with every compiler found.
set -eu
BUILD=${BUILD:-build}
work=$BUILD/tests/headers
mkdir -p "$work"
passed=0 failed=0

# try COMPILER LANGUAGE FLAGS...: compiles the header that $work/one.c includes.
try() {
    compiler=$1 language=$2
    shift 2
    if "$compiler" -x "$language" -fsyntax-only -Iinclude -Wall -Wextra -Werror "$@" \
        "$work/one.c" 2>"$work/log"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$header: $compiler $*"
        cat "$work/log"
    fi
}

for header in include/*.h include/*/*.h; do
    name=${header#include/}
    printf '#include <%s>\n#include <%s>\nint envol_check_headers;\n' "$name" "$name" \
        >"$work/one.c"
    for pair in gcc:g++ clang:clang++; do
        c=${pair%:*} cxx=${pair#*:}
        if command -v "$c" >/dev/null; then
            try "$c" c -std=c99 -pedantic-errors -Wstrict-prototypes
            try "$c" c -std=c11 -pedantic-errors -Wundef -Wconversion
        elif [ "$header" = include/envol.h ]; then
            echo "SKIP headers with $c: not installed"
        fi
        if command -v "$cxx" >/dev/null; then
            # C++98 has neither variadic macros nor long long; every compiler accepts them.
            try "$cxx" c++ -std=c++98 -pedantic -Wno-variadic-macros -Wno-long-long
            try "$cxx" c++ -std=c++17 -pedantic-errors
        elif [ "$header" = include/envol.h ]; then
            echo "SKIP headers with $cxx: not installed"
        fi
    done
done

echo "check_headers: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
