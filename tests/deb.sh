#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The Debian packages that `make deb` built: what lintian says of them, what each holds, and whether
# programs are built and run with what they hold, unpacked and not installed.
#
# usage: BUILD=build bash tests/deb.sh      (make deb-check)
# shellcheck source=tests/expect.sh
. "$(dirname "$0")/expect.sh"
triplet=$($CC -dumpmachine)
lib=usr/lib/$triplet

# Every tag fails, of whatever severity; what is overridden says why in the package.
complaints() {
    lintian -EviI --pedantic --fail-on error,warning,info,pedantic,experimental "$BUILD"/deb/*.changes
}
expect 'lintian' complaints

# holds PACKAGE FILE...: exactly these files, but for those that every package has.
holds() {
    local package=$1
    shift
    diff <(printf '%s\n' "$@" | sort) <(dpkg-deb --fsys-tarfile "$BUILD/deb/$package"_*.deb | tar -t |
        sed -n 's|^\./||; /^$/d; /\/$/d; /^usr\/share\/doc\/[^/]*\/\(copyright\|changelog.gz\)$/d; p' | sort)
}
version=$(sed -n 's/^#define ENVOL_VERSION_[A-Z]* //p' include/envol/types.h | paste -sd .)
for pair in libenvol0:libenvol libenvol-kms0:libenvol-kms libenvol-pkcs11-0:libenvol-pkcs11; do
    library=$lib/${pair#*:}.so
    expect "${pair%:*} holds a library and its SONAME" holds "${pair%:*}" "$library.0" "$library.$version"
done
expect 'envol holds the command' holds envol usr/bin/envol usr/share/man/man1/envol.1.gz

# needs PACKAGE RELATION: it depends on another package so.
needs() {
    dpkg-deb --field "$BUILD/deb/$1"_*.deb Depends | tr , '\n' | sed 's/^ *//' | grep -qxF "$2"
}
for package in libenvol-kms0 libenvol-pkcs11-0 envol; do
    expect "$package depends on the library" needs $package 'libenvol0 (>= 0.1)'
done
for package in libenvol0 libenvol-kms0 libenvol-pkcs11-0; do
    expect "libenvol-dev depends on $package" needs libenvol-dev "$package (= $version)"
done

for package in "$BUILD"/deb/*.deb; do
    case $package in
    *-dbgsym_*) ;;
    *) expect "${package##*/} unpacks" dpkg-deb --extract "$package" "$work/root" ;;
    esac
done
expect 'no link dangles' test -z "$(find -L "$work/root" -type l)"
for page in 'envol.1' 'envol.5' 'envol.7' 'envol_volume_open.3' 'envol_aws_kms_provider_open.3'; do
    expect "$page is there" man -M "$work/root/usr/share/man" --where "${page##*.}" "${page%.*}"
done
# The packages' own test, as it runs where they are installed.
expect 'quickstart' sh .debian/tests/quickstart "$work/root"
if command -v cmake >/dev/null; then
    expect 'find_package' cmake -S tests/cmake -B "$work/cmake" -DPROVIDERS='kms;pkcs11' \
        -DCMAKE_LIBRARY_ARCHITECTURE="$triplet" -DCMAKE_PREFIX_PATH="$work/root/usr"
    expect 'cmake --build' cmake --build "$work/cmake"
    expect 'its program runs' "$work/cmake/with_pkcs11"
else
    echo 'SKIP find_package with the packages: cmake is not installed'
fi

finish
