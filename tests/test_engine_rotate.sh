#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/tables changes its DEK: all of its files are sealed again, through its own journal, while
# rows are put; what does not read keeps the old DEK; and a process that ends anywhere loses nothing.
# shellcheck source=tests/engine_rotation.sh
. "$(dirname "$0")/engine_rotation.sh"

# More pages than a commit takes, long values that are more than one takes, and 300 tables.
test_all() {
    done_by_tables create d
    done_by_tables fill d 300
    for i in {1..1900}; do printf 'many\tkey%d\t%0500d\n' "$i" "$i"; done >rows
    for i in {1..12}; do printf 'long\tkey%d\t%0120000d\n' "$i" "$i"; done >>rows
    for i in {1..280}; do printf 'values\tkey%d\t%0600d\n' "$i" "$i"; done >>rows
    tables load d --cmk "$cmk" <rows >out
    holds grep -qx "synced $(wc -l <rows)" out
    done_by_tables check d
    holds test "$(figure pages_of_1)" -gt 500
    holds test "$(figure values_of_1)" -eq 292
    cp -r d old
    done_by_tables rotate d
    cat out
    # One call opens, one generates the DEK, one proves it.
    holds test "$(figure provider_calls)" -eq 3
    holds test "$(figure resealed_pages)" -gt 500
    holds test "$(figure resealed_values)" -eq 292
    rotated 2
    holds test ! -s d/journal
    holds test "$(stat -c %s d/values)" -eq "$(stat -c %s old/values)"
    for table in many long values; do
        done_by_tables scan d $table
        holds cmp <(sort out) <(grep "^$table" rows | cut -f 2- | sort)
    done
    gives 'this is table-00300' table-00300 about
}

# Copies of what was there before: the keys that open them are gone.
test_old_copies() {
    local one
    one=$(file_of table-00007)
    cp "$one" saved
    cp "old/$(basename "$one")" "$one"
    refused_by_tables ENVOL_E_CORRUPT get d table-00007 about
    finds_bad table-00007 ENVOL_E_CORRUPT
    cp saved "$one"
    cp d/values saved
    cp old/values d/values
    refused_by_tables ENVOL_E_CORRUPT get d long key1
    cp saved d/values
    cp d/catalog saved
    cp old/catalog d/catalog
    refused_by_tables ENVOL_E_CORRUPT check d
    cp saved d/catalog
    rotated 2
}

# figure_of_check NAME: whatever else check has to say.
figure_of_check() {
    tables check d --cmk "$cmk" 2>/dev/null | sed -n "s/.*\b$1=\([0-9]*\).*/\1/p"
}

# claim EPOCH: what the trailer of the first long value says.
claim() {
    python3 -c 'import sys
with open("d/values", "r+b") as f:
    f.seek(120000); f.write(int(sys.argv[1]).to_bytes(4, "little"))' "$1"
}

# A page 0, a page, a long value, a file: each keeps the DEK that its copy needs.
test_damage() {
    local one pages lowest=2
    one=$(file_of table-00009)
    cp "$one" saved
    flip "$one" 1000
    pages=$(($(figure_of_check pages) - 1))
    kept_by_damage table-00009 "$pages"
    # Again, and nothing but that is left to be done; the key service is asked to open, no more.
    kept_by_damage table-00009 0
    holds test "$(figure provider_calls)" -eq 1
    finds_bad table-00009 ENVOL_E_CORRUPT
    holds test "$(figure swept) $(figure pages_of_2) $(figure pages_of_3)" = "0 0 $pages"
    # Rows are put meanwhile, in other tables and in new ones.
    run tables load d --rotate --cmk "$cmk" < <(for i in {1..90}; do printf 'r\tk\t%d\n\n' "$i"; done)
    holds test "$status" -eq 0
    holds grep -qx 'synced 90' out
    lacks grep -q rotated out
    holds grep -q '^tables: table table-00009, .*(ENVOL_E_CORRUPT)$' err
    holds test "$(wc -l <err)" -eq 1
    done_by_tables put d table-00010 about 'put meanwhile'
    done_by_tables put d another about "$(printf '%01000d' 3)"
    # The copy opens, as its DEK is there still.
    cp saved "$one"
    done_by_tables get d table-00009 touched
    done_by_tables rotate d
    holds test "$(figure resealed_pages) $(figure resealed_values) $(figure provider_calls)" = '1 0 1'
    rotated 3
    gives 'put meanwhile' table-00010 about
    lowest=3
    one=$(file_of many)
    flip "$one" $((4096 * 200 + 5))
    pages=$(($(figure_of_check pages) - 1))
    kept_by_damage many $pages
    finds_bad many ENVOL_E_CORRUPT
    holds test "$(figure swept) $(figure pages_of_4)" = "3 $pages"
    flip "$one" $((4096 * 200 + 5))
    done_by_tables rotate d
    holds test "$(figure resealed_pages)" = 1
    rotated 4
    lowest=4
    flip d/values 100
    kept_by_damage long $((pages + 1))
    holds test "$(figure resealed_values)" = 292
    flip d/values 100
    done_by_tables rotate d
    holds test "$(figure resealed_pages) $(figure resealed_values)" = '0 1'
    rotated 5
    # What claims to be of the new epoch already is no better for that.
    lowest=5
    claim 6
    kept_by_damage long $((pages + 1))
    claim 5
    done_by_tables rotate d
    holds test "$(figure resealed_pages) $(figure resealed_values)" = '0 1'
    rotated 6
    lowest=6
    one=$(file_of table-00011)
    mv "$one" saved
    kept_by_damage table-00011 $pages
    mv saved "$one"
    done_by_tables rotate d
    rotated 7
}

# Steps between commits of rows that go into tables which were swept, and which were not.
test_beside() {
    for i in {1..150}; do
        printf 'table-%05d\tbeside\t%0*d\n' "$i" $((i * 5)) "$i"
        printf 'table-%05d\tbeside\t%0*d\n' $((301 - i)) $((i * 3)) "$i"
        [ $((i % 10)) -ne 0 ] || printf 'm-new-%d\tabout\t%d\n' "$i" "$i"
        echo
    done >rows
    tables load d --rotate --cmk "$cmk" <rows >out 2>err
    holds test $? -eq 0
    holds test ! -s err
    holds grep -qx 'rotated to epoch 8' out
    holds test "$(grep -n rotated out | cut -d : -f 1)" -lt "$(wc -l <out)"
    rotated 8
    for i in 1 75 150; do
        gives "$(printf '%0*d' $((i * 5)) "$i")" "$(printf 'table-%05d' "$i")" beside
        gives "$(printf '%0*d' $((i * 3)) "$i")" "$(printf 'table-%05d' $((301 - i)))" beside
    done
    gives 150 m-new-150 about
}

# Every slot needs its CMK, and a second one has none here.
test_slots() {
    ok envol keygen other.key
    ok envol slot add d/keyring --cmk "$cmk" --to file:other.key
    refused_by_tables ENVOL_E_KEY_NOT_FOUND rotate d
    rotated 8
    run tables load d --rotate --cmk "$cmk" </dev/null
    holds test "$status" -eq 1
    ok envol key disable cmk.key
    refused_by_tables ENVOL_E_KEY_DISABLED rotate d
    ok envol key enable cmk.key
    rotated 8
}

# What is synced before what: the journal before the pages, all before the old DEK goes.
test_order() {
    if ! strace -o calls true 2>/dev/null; then
        echo "SKIP $program: strace does not run here"
        return
    fi
    small_engine
    run strace -y -qq -o calls -e trace=pwrite64,fsync,fdatasync,ftruncate tables rotate d --cmk "$cmk"
    sed -nE 's,^([a-z]*)[0-9]*\([0-9]+<.*/(t-|values|journal|catalog|keyring).*,\1 \2,p' calls |
        uniq | paste -sd , - >order
    cat order
    holds grep -qE "^((pwrite|fdatasync) keyring,)+pwrite journal,fsync journal,((pwrite t-,fsync t-|pwrite values,fsync values),)+pwrite catalog,fsync catalog,ftruncate journal,fsync journal(,(pwrite|fdatasync) keyring)+," \
        order
}

# The journal has all of it when the first record is on its way home: what a machine that stops then
# tears is whole after the next open.
test_torn() {
    local n one
    [ -s order ] || return # test_order said so
    n=$(grep ^pwrite64 calls | grep -nE '^pwrite64\([0-9]+<.*/(t-|values)' | head -n 1 | cut -d : -f 1)
    rm -rf d
    cp -r small d
    run sh -c '"$@"; exit $?' sh strace -qq -o calls -e trace=pwrite64 \
        -e inject=pwrite64:signal=SIGKILL:when="$n" tables rotate d --cmk "$cmk"
    holds grep -q 'killed by' calls
    holds test "$(stat -c %s d/values)" -eq 1048
    for one in d/t-*; do head -c 4096 /dev/zero >"$one"; done
    head -c 1048 /dev/zero >d/values
    after_end_anywhere
}

test_each_call() { ends_at_each_call 50; }
test_kills() { ends_at_random "$cmk" 45; }

ok envol keygen cmk.key
run_parts all old_copies damage beside slots order torn each_call kills
