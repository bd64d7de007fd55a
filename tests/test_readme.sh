#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What README.md shows is what works: its program is built with its own lines for pkg-config and CMake,
# its commands run, its links lead somewhere, and make knows the targets that it names.
set -uo pipefail
BUILD=${BUILD:-build} CC=${CC:-cc} MAKE=${MAKE:-make}
passed=0 failed=0
mkdir -p "$BUILD/tests/tmp"
work=$(cd "$BUILD/tests/tmp" && mktemp -d "$PWD/readme.XXXXXX")
trap 'rm -rf "$work"' EXIT

# expect WHAT COMMAND...: the command succeeds.
expect() {
    local what=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$what: $*"
        cat "$work/log"
    fi
}
# block LANGUAGE NUMBER: the text of a fenced block.
block() {
    awk -v fence="\`\`\`$1" -v number="$2" '
        $0 == "```" { inside = 0 }
        inside { print }
        $0 == fence && ++seen == number { inside = 1 }' README.md
}

while read -r target; do
    expect "the link to $target" test -e "$target"
done < <(grep -oE '\]\([^)#]+\)' README.md | sed 's/^](\(.*\))$/\1/' | grep -v '^[a-z]*://' | sort -u)
while read -r target; do
    expect "make $target" grep -q "^$target:" Makefile
done < <(grep -oE '(^    |`|&& (sudo )?)make( [a-z-]+)+' README.md | sed 's/.*make //' | tr ' ' '\n' |
    sort -u)

unset MAKEFLAGS MAKELEVEL MFLAGS
expect 'make install' "$MAKE" BUILD="$BUILD" CC="$CC" install PREFIX="$work/tree"
export PKG_CONFIG_PATH=$work/tree/lib/pkgconfig LD_LIBRARY_PATH=$work/tree/lib PATH=$work/tree/bin:$PATH

mkdir "$work/program" "$work/volume"
block c 1 >"$work/program/program.c"
block sh 1 >"$work/program/compile"
block sh 2 >"$work/volume/commands"
{
    echo 'cmake_minimum_required(VERSION 3.13)'
    echo 'project(readme C)'
    echo 'add_compile_options(-std=c99 -pedantic -Wall -Wextra -Werror)'
    echo 'add_executable(program program.c)'
    block cmake 1
} >"$work/program/CMakeLists.txt"
# Something to import, that can be found again.
seq 20000 >"$work/volume/users.db"

cd "$work/program" || exit 1
expect 'the program, as README compiles it' sh -e compile
expect 'the program runs' ./program
expect 'it leaves a volume that opens' envol verify users.vol --cmk file:cmk.key
expect 'nothing readable is in it' test "$(grep -c Alice users.vol)" -eq 0
expect 'a second run fails' test "$(./program 2>/dev/null || echo failed)" = failed
rm -f program cmk.key users.vol
if command -v cmake >/dev/null; then
    expect 'the program, as README configures it' cmake -B build -DCMAKE_PREFIX_PATH="$work/tree"
    expect 'cmake --build' cmake --build build
    expect 'this one runs' build/program
else
    echo "SKIP README's lines for CMake: cmake is not installed"
fi

cd "$work/volume" || exit 1
expect 'the commands' sh -e commands
expect 'a volume whose CMK is disabled' test "$(envol verify users.vol --cmk file:cmk.key \
    >/dev/null 2>&1 || echo refused)" = refused
expect 'its CMK is enabled' envol key enable cmk.key
expect 'the volume is back' envol export users.vol --cmk file:cmk.key back.db
expect 'with what was imported' cmp users.db back.db

echo "test_readme: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
