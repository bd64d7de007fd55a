#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# find_package(envol) in a real CMake build, from a tree that was moved after it was installed.
# shellcheck source=tests/expect.sh
. "$(dirname "$0")/expect.sh"
PROVIDERS=${PROVIDERS:-}
if ! command -v cmake >/dev/null; then
    echo 'SKIP find_package: cmake is not installed'
    finish
    exit
fi
version=$(sed -n 's/^#define ENVOL_VERSION_[A-Z]* //p' include/envol/types.h | paste -sd .)
major=${version%%.*}

# A multiarch directory, as CMake looks there too.
triplet=$($CC -dumpmachine)
expect 'make install' "$MAKE" BUILD="$BUILD" CC="$CC" install DESTDIR="$work/root" PREFIX=/usr \
    LIBDIR="/usr/lib/$triplet"
mkdir "$work/moved"
mv "$work/root/usr" "$work/moved/tree"
config=$work/moved/tree/lib/$triplet/cmake/envol

# ask DIR ARGUMENTS...: configures the project with our tree, wherever a system has one of its own.
ask() {
    local dir=$work/$1
    shift
    cmake -S tests/cmake -B "$dir" -DCMAKE_C_COMPILER="$CC" -DCMAKE_LIBRARY_ARCHITECTURE="$triplet" \
        -DCMAKE_PREFIX_PATH="$work/moved/tree" -DCMAKE_C_FLAGS='-Wall -Werror' "$@"
}
# request ARGUMENTS...: find_package without a language, which takes no compiler to be tried.
request() {
    rm -rf "$work/request"
    mkdir "$work/request"
    printf '%s\n' 'cmake_minimum_required(VERSION 3.13)' 'project(request NONE)' \
        "find_package(envol $* PATHS $config NO_DEFAULT_PATH)" \
        >"$work/request/CMakeLists.txt"
    cmake -S "$work/request" -B "$work/request/build" 2>&1 | tee "$work/request/log"
}

expect 'configure' ask build -DREQUEST="$version" -DPROVIDERS="${PROVIDERS// /;}"
expect 'it is our tree that was found' grep -q "^envol_DIR:PATH=$config\$" "$work/build/CMakeCache.txt"
expect 'build' cmake --build "$work/build" --parallel
for way in envol envol_static $PROVIDERS; do
    expect "program with envol::$way" test "$("$work/build/with_$way")" = "$version"
done
needs() {
    readelf -d "$work/build/with_$1" | grep -q "NEEDED.*\[$2\.so\.$major\]"
}
expect 'the shared library is needed by its SONAME' needs envol libenvol
refuse 'the archive makes it needless' needs envol_static libenvol
for name in $PROVIDERS; do
    expect "libenvol-$name is needed" needs "$name" "libenvol-$name"
done
refuse 'no path of the build is in the files' grep -rqF -e "$work" -e "$PWD" "$config"

expect 'any version' request REQUIRED
expect 'the very version' request "$version" EXACT REQUIRED
expect 'an older one' request "$major.0.0" REQUIRED
refuse 'a newer one is refused' request "$major.99" REQUIRED
refuse 'another SONAME is refused' request "$((major + 1))" REQUIRED
refuse 'an unknown component is refused' request REQUIRED COMPONENTS teleport
expect 'an optional one is not' request REQUIRED OPTIONAL_COMPONENTS teleport
rm -f "$work/moved/tree/lib/$triplet"/libenvol-kms.so*
refuse 'a component that is not there is refused' request REQUIRED COMPONENTS kms
expect 'it says which' grep -q 'no envol::kms' "$work/request/log"

finish
