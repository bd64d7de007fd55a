#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Exported symbols, the version map, the public headers and the manuals name the same functions.
set -eu
BUILD=${BUILD:-build}
work=$BUILD/tests/symbols
mkdir -p "$work"
passed=0 failed=0

# same WHAT LEFT RIGHT LEFT_NAME RIGHT_NAME: two sorted lists of names are equal.
same() {
    if cmp -s "$2" "$3"; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "$1:"
    comm -23 "$2" "$3" | sed "s/^/    only $4: /"
    comm -13 "$2" "$3" | sed "s/^/    only $5: /"
}

export LC_ALL=C

# check_exports LIBRARY MAP NODE PREFIX: one library exports what its header and map say, under
# version nodes NODE_x.y; PREFIX begins what its files share among themselves.
check_exports() {
    shared=$(readlink -e "$BUILD/$1.so")
    # "name@@VERSION"; the version nodes themselves are absolute symbols.
    nm -D --defined-only "$shared" | awk '$2 != "A" { print $3 }' | sort >"$work/exported.full"
    sed 's/@.*//' "$work/exported.full" | sort -u >"$work/exported"
    python3 tests/public_api.py "$1" | sort >"$work/declared"
    sed -n 's/^ *\(envol_[a-z0-9_]*\);.*/\1/p' "$2" | sort >"$work/mapped"

    grep '^envol_' "$work/exported" >"$work/ours" || :
    same 'exported symbols have the prefix envol_' "$work/exported" "$work/ours" 'in the library' 'here'
    same 'exported and declared with ENVOL_API' "$work/exported" "$work/declared" \
        'in the library' 'in the headers'
    same 'exported and in the map' "$work/exported" "$work/mapped" 'in the library' 'in the map'

    grep -E "@@$3"'_[0-9]+\.[0-9]+$' "$work/exported.full" >"$work/versioned" || :
    same 'every symbol has a version' "$work/exported.full" "$work/versioned" 'without' 'here'

    # A name in the map twice would move between versions unnoticed.
    uniq "$work/mapped" >"$work/mapped.once"
    same 'each name is in the map once' "$work/mapped" "$work/mapped.once" 'repeated' 'here'

    # The static library's own symbols cannot clash with an application's, nor with another library's.
    nm -g --defined-only "$BUILD/$1.a" | awk 'NF == 3 { print $3 }' | sort -u >"$work/static"
    comm -23 "$work/static" "$work/exported" >"$work/static.internal"
    grep "^$4" "$work/static.internal" >"$work/static.prefixed" || :
    same "internal symbols of $1.a have the prefix $4" "$work/static.internal" \
        "$work/static.prefixed" "in $1.a" 'here'

    soname=$(readelf -d "$shared" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
    major=$(sed -n 's/^#define ENVOL_VERSION_MAJOR //p' include/envol/types.h)
    if [ "$soname" = "$1.so.$major" ]; then
        passed=$((passed + 1))
    else
        echo "SONAME is '$soname'"
        failed=$((failed + 1))
    fi
}

check_exports libenvol lib/libenvol.map ENVOL envol_
for name in ${PROVIDERS:-}; do
    check_exports "libenvol-$name" "lib/$name/libenvol-$name.map" \
        "ENVOL_$(echo "$name" | tr a-z- A-Z_)" "envol_$(echo "$name" | tr - _)_"
done

for library in libenvol $(find lib -name 'libenvol-*.map' -exec basename {} .map \;); do
    python3 tests/public_api.py "$library"
done | sort >"$work/declared"
if [ -n "$(find man -name '*.3' 2>/dev/null)" ]; then
    sed -n '/^\.Sh NAME/,/^\.Sh LIBRARY\|^\.Sh SYNOPSIS/s/^\.Nm \([^ ]*\).*/\1/p' man/*.3 |
        grep '^envol_' | sort >"$work/named.all"
    sort -u "$work/named.all" >"$work/named"
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.F[no] \([^ ]*\).*/\1/p' man/*.3 |
        sort >"$work/manuals"
    # A page that is named after its subject, envol_volume(3) say, is no function.
    comm -12 "$work/named" "$work/declared" >"$work/named.functions"
    same 'declared and in the SYNOPSIS of one manual' "$work/declared" "$work/manuals" \
        'in the headers' 'in the manuals (or twice)'
    same 'declared and in the NAME of a manual' "$work/declared" "$work/named.functions" \
        'in the headers' 'here'
fi

echo "check_symbols: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
