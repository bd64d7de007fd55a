#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Installs into a scratch DESTDIR as a packager does, builds C99 and C++ programs against it with
# pkg-config, both ways of linking, loads the library with dlopen, and looks for what uninstall leaves
# behind, or takes along.
# shellcheck source=tests/expect.sh
. "$(dirname "$0")/expect.sh"
CXX=${CXX:-c++} PKG_CONFIG=${PKG_CONFIG:-pkg-config}
root=$work/root prefix=/usr/local
# A packager's directory for libraries; the .pc file has to follow it.
libdir=$prefix/lib/triplet

make_here() {
    $MAKE BUILD="$BUILD" DESTDIR="$root" PREFIX="$prefix" LIBDIR="$libdir" CC="$CC" "$@"
}

# A neighbour in each directory of ours is not ours to remove.
neighbours=("$prefix/include/envol/mine.h" "$libdir/cmake/envol/mine.cmake" "$libdir/libenvolution.a"
    "$prefix/share/doc/libenvol/mine" "$prefix/share/doc/libenvol/examples/envol/mine.c"
    "$prefix/share/man/man3/mine.3" "$prefix/bin/mine")
for file in "${neighbours[@]}"; do
    install -D -m 644 /dev/null "$root$file"
done

expect 'make install' make_here install
expect 'make install, again' make_here install
export PKG_CONFIG_PATH=$root$libdir/pkgconfig
# With a sysroot that holds our tree alone: it goes before our directories, and only those.
ours() {
    PKG_CONFIG_SYSROOT_DIR=$root "$PKG_CONFIG" "$@" libenvol
}
expect 'the .pc file is valid' "$PKG_CONFIG" --validate libenvol
version=$(sed -n 's/^#define ENVOL_VERSION_[A-Z]* //p' include/envol/types.h | paste -sd .)
expect 'version of the .pc file' test "$("$PKG_CONFIG" --modversion libenvol)" = "$version"

cat >"$work/program.c" <<'C'
#include <envol.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct envol_store *store = NULL;
    enum envol_status status = envol_memory_store_open(&store);

    envol_store_close(store);
    puts(envol_version());
    return status != ENVOL_OK || strcmp(envol_status_name(status), "ENVOL_OK") != 0;
}
C
cp "$work/program.c" "$work/program.cpp"
cat >"$work/load.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void *versioned = library ? dlvsym(library, "envol_version", "ENVOL_0.1") : NULL;

    if (versioned == NULL || dlsym(library, "envol_volume_open") == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    /* An internal symbol that crosses files must not be reachable. */
    if (dlsym(library, "envol_zero") != NULL || dlsym(library, "envol_arena_alloc") != NULL)
        return 2;
    return dlclose(library) != 0;
}
C

read -ra cflags < <(ours --cflags)
read -ra libs < <(ours --libs)
read -ra static < <(ours --libs --static)
expect 'the flags name our tree' grep -q "$root" <<<"${cflags[*]} ${libs[*]}"
expect 'dynamic linking needs our library alone' test -z \
    "$(tr ' ' '\n' <<<"${libs[*]}" | grep -E '^-l' | grep -v -x -e -lenvol)"

expect 'C99, shared' "$CC" -std=c99 -pedantic -Wall -Wextra -Werror "${cflags[@]}" \
    -o "$work/shared" "$work/program.c" "${libs[@]}"
expect 'C99, shared, runs' env LD_LIBRARY_PATH="$root$libdir" "$work/shared"
expect 'it needs the SONAME' grep -q 'libenvol\.so\.[0-9]*\]' <(readelf -d "$work/shared")

# --static lists what the archive needs; the archive is taken by its name, as both are there.
expect 'C99, static archive' "$CC" -std=c99 "${cflags[@]}" -o "$work/archive" "$work/program.c" \
    "${static[@]/#-lenvol/-l:libenvol.a}"
expect 'C99, static archive, runs' "$work/archive"
expect 'it does not need the shared library' test -z \
    "$(readelf -d "$work/archive" 2>/dev/null | grep 'NEEDED.*libenvol')"
expect 'C99, fully static' "$CC" -static -std=c99 "${cflags[@]}" -o "$work/static" \
    "$work/program.c" "${static[@]}"
expect 'C99, fully static, runs' "$work/static"

if command -v "$CXX" >/dev/null; then
    for standard in c++98 c++17; do
        expect "$standard, shared" "$CXX" -std=$standard -Wall -Wextra -Werror "${cflags[@]}" \
            -o "$work/cxx" "$work/program.cpp" "${libs[@]}"
        expect "$standard, shared, runs" env LD_LIBRARY_PATH="$root$libdir" "$work/cxx"
    done
    expect 'C++, static archive' "$CXX" "${cflags[@]}" -o "$work/cxx" "$work/program.cpp" \
        "${static[@]/#-lenvol/-l:libenvol.a}"
    expect 'C++, static archive, runs' "$work/cxx"
else
    echo "SKIP C++ against the installed tree: no $CXX"
fi

expect 'dlopen program' "$CC" -D_GNU_SOURCE -Wall -Wextra -o "$work/load" "$work/load.c" -ldl
expect 'dlopen' "$work/load" "$root$libdir/libenvol.so"

# installed_library NAME: a program that uses the provider library alone, linked both ways.
installed_library() {
    local pc=libenvol-$1 provider_cflags provider_libs provider_static needed
    printf '#include <envol-%s.h>\n#include <envol.h>\n%s\n' "$1" \
        'int main(void) { return envol_version() == NULL; }' >"$work/$1.c"
    expect "$pc: the .pc file is valid" "$PKG_CONFIG" --validate "$pc"
    expect "$pc: its version" test "$("$PKG_CONFIG" --modversion "$pc")" = "$version"
    # Of the two libraries only ours has to be in this tree.
    read -ra provider_cflags < <(PKG_CONFIG_SYSROOT_DIR=$root "$PKG_CONFIG" --cflags "$pc")
    read -ra provider_libs < <(PKG_CONFIG_SYSROOT_DIR=$root "$PKG_CONFIG" --libs "$pc")
    read -ra provider_static < <(PKG_CONFIG_SYSROOT_DIR=$root "$PKG_CONFIG" --libs-only-L "$pc")
    expect "$pc: C99, shared" "$CC" -std=c99 -pedantic -Wall -Wextra -Werror \
        "${provider_cflags[@]}" -o "$work/$1" "$work/$1.c" -Wl,--no-as-needed "${provider_libs[@]}"
    expect "$pc: runs" env LD_LIBRARY_PATH="$root$libdir" "$work/$1"
    expect "$pc: dynamic linking needs no other library" test -z \
        "$(tr ' ' '\n' <<<"${provider_libs[*]}" | grep -E '^-l' | grep -v -x -e -lenvol -e "-lenvol-$1")"
    expect "$pc: it needs the SONAME" grep -q "$pc\.so\.[0-9]*\]" <(readelf -d "$work/$1")
    # What the archives need: the packages that both .pc files name as private.
    read -ra needed < <("$PKG_CONFIG" --libs "$(sed -n 's/^Requires.private: *//p' \
        "$root$libdir/pkgconfig/$pc.pc" "$root$libdir/pkgconfig/libenvol.pc" | paste -sd ,)")
    expect "$pc: C99, our archives" "$CC" -std=c99 "${provider_cflags[@]}" -o "$work/$1" \
        "$work/$1.c" "${provider_static[@]}" "-l:$pc.a" -l:libenvol.a -Wl,--as-needed \
        "${needed[@]}" -pthread -ldl
    expect "$pc: runs with our archives" "$work/$1"
    expect "$pc: dlopen" "$work/open" "$root$libdir/$pc.so"
}
cat >"$work/open.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc == 2 && dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) != NULL)
        return 0;
    fprintf(stderr, "%s\n", dlerror());
    return 1;
}
C
if [ -n "${PROVIDERS:-}" ]; then
    expect 'dlopen program of the provider libraries' "$CC" -Wall -Wextra -o "$work/open" \
        "$work/open.c" -ldl
    export LD_LIBRARY_PATH=$root$libdir
    for name in $PROVIDERS; do
        installed_library "$name"
    done
    unset LD_LIBRARY_PATH
fi

if [ -f examples/envol.c ] || [ -d examples/envol ]; then
    expect 'the installed command runs' "$root$prefix/bin/envol" --help
fi
for page in man/*.[1-8]; do
    [ -f "$page" ] || continue
    expect "$page is installed" cmp "$page" "$root$prefix/share/man/man${page##*.}/${page##*/}"
done
doc=$root$prefix/share/doc/libenvol
for file in README.md COPYING examples/quickstart.c examples/tables/engine.h; do
    expect "$file is installed" cmp "$file" "$doc/$file"
done
expect 'all examples are installed' test "$(find examples -name '*.[ch]' | wc -l)" -eq \
    "$(find "$doc/examples" -name '*.[ch]' -not -name mine.c | wc -l)"
expect 'quickstart, as its first lines say' "$CC" -o "$work/quickstart" \
    "$doc/examples/quickstart.c" "${cflags[@]}" "${libs[@]}"
expect 'quickstart runs' env LD_LIBRARY_PATH="$root$libdir" "$work/quickstart" "$work/cmk.key" \
    "$work/users.vol"
expect 'only the command and shared libraries may be executed' test -z "$(find "$root" -type f \
    -perm /111 -not -name '*.so' -not -name '*.so.*' -not -path "$root$prefix/bin/envol")"
expect 'nothing lies outside the prefix' test -z \
    "$(find "$root" -mindepth 1 -not -type d -not -path "$root$prefix/*")"
expect 'no link dangles' test -z "$(find -L "$root" -type l)"
expect 'no path of this build is installed' test -z "$(grep -rlF "$work" "$root" || :)"

expect 'make uninstall' make_here uninstall
expect 'uninstall removes what install put there, and no more' diff \
    <(cd "$root" && find . -not -type d | sed 's/^\.//' | sort) \
    <(printf '%s\n' "${neighbours[@]}" | sort)
expect 'make install, once more' make_here install
for file in "${neighbours[@]}"; do
    rm "$root$file"
done
expect 'make uninstall, alone' make_here uninstall
expect 'uninstall leaves no file' test -z "$(find "$root" -not -type d)"
expect 'uninstall leaves no directory of ours' test -z "$(find "$root" -name '*envol*')"
expect 'uninstall of nothing' make_here uninstall

finish
