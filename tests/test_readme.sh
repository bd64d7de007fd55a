#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What README.md shows is what works: its program is built with its own lines for pkg-config and CMake,
# its commands run, its links lead somewhere, and make knows the targets that it names.
# shellcheck source=tests/expect.sh
. "$(dirname "$0")/expect.sh"

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
done < <(grep -oE '(^    |`|&& (sudo )?)make( [a-z0-9-]+)+' README.md | sed 's/.*make //' | tr ' ' '\n' |
    sort -u)

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
refuse 'nothing readable is in it' grep -q Alice users.vol
refuse 'it overwrites none' ./program
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
refuse 'a volume whose CMK is disabled' envol verify users.vol --cmk file:cmk.key
expect 'its CMK is enabled' envol key enable cmk.key
expect 'the volume is back' envol export users.vol --cmk file:cmk.key back.db
expect 'with what was imported' cmp users.db back.db

finish
