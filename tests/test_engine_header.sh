#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/tables with a header of its own, by header bytes alone: slots of two CMKs, a header file that
# is damaged or torn, and a rotation of the DEK that ends anywhere and leaves nothing of the old one.
# shellcheck source=tests/engine_rotation.sh
. "$(dirname "$0")/engine_rotation.sh"
other=file:other.key
more_cmks=(--cmk "$other") # a rotation needs both
kept_in=header
create_options=(--own-header)

test_usage() {
    run tables check d --cmk "$cmk" --own-header # of create alone
    holds test "$status" -eq 2
    run tables create d --own-header
    holds test "$status" -eq 2
    run tables create d --own-header --cmk "$cmk" --cmk cmk.key
    holds test "$status" -eq 2
    cmk=file:missing.key refused_by_tables ENVOL_E_KEY_NOT_FOUND create d --own-header
    refused_by_tables ENVOL_E_KEY_NOT_FOUND create d --own-header --cmk file:missing.key
    refused_by_tables ENVOL_E_STATE create d --own-header --cmk "$other" # twice
    lacks test -e d
}

# opens_with CMK: it alone.
opens_with() {
    local cmk=$1 more_cmks=()
    done_by_tables check d
}
# refused_with CMK ENVOL_E_NAME VERB...: by it alone.
refused_with() {
    local cmk=$1 more_cmks=()
    shift
    refused_by_tables "$@"
}

test_slots() {
    small_engine
    holds test -f d/header
    lacks test -e d/keyring
    holds test "$(stat -c '%s %a' d/header)" = '65536 600'
    opens_with "$cmk"
    holds test "$(figure provider_calls)" -eq 1
    opens_with "$other"
    ok envol keygen third.key
    refused_with file:third.key ENVOL_E_KEY_NOT_FOUND check d
    # One that is disabled says so, and the other opens.
    ok envol key disable cmk.key
    refused_with "$cmk" ENVOL_E_KEY_DISABLED check d
    opens_with "$other"
    done_by_tables check d
    refused_by_tables ENVOL_E_KEY_DISABLED rotate d
    ok envol key enable cmk.key
    refused_with "$cmk" ENVOL_E_KEY_NOT_FOUND rotate d
    refused_with "$other" ENVOL_E_KEY_NOT_FOUND rotate d
    done_by_tables check d
    holds test "$(figure epoch)" -eq 1
    # The file has the form of a volume.
    ok envol slot add d/header --cmk "$cmk" --to file:third.key
    opens_with file:third.key
    refused_by_tables ENVOL_E_KEY_NOT_FOUND rotate d
    done_by_tables rotate d --cmk file:third.key
    rotated 2
    for key in "$cmk" "$other" file:third.key; do opens_with "$key"; done
    ok envol slot remove d/header --cmk "$cmk" 3
    refused_with file:third.key ENVOL_E_KEY_NOT_FOUND check d
    ok envol rewrap d/header --cmk "$cmk" --to file:third.key
    refused_with "$cmk" ENVOL_E_KEY_NOT_FOUND check d
    opens_with file:third.key
    # What was sealed is told of: 5 pages and blobs at the least.
    ok envol info d/header --cmk "$other" --json
    holds json out '5 <= j["seal_estimate"] < 100 and j["clean"] and j["high_water"] == 0'
}

# One process at a time, and whoever changes slots is one.
test_lock() {
    small_engine
    coproc LOADER { exec tables load d --cmk "$cmk" 2>/dev/null; }
    children+=("$LOADER_PID")
    printf 't\tk\tv\n\n' >&"${LOADER[1]}"
    read -r -t 60 line <&"${LOADER[0]}"
    holds test "$line" = 'synced 1'
    refused_by_tables ENVOL_E_BUSY check d
    refused ENVOL_E_BUSY envol slot remove d/header --cmk "$cmk" 2
    ok envol info d/header --cmk "$cmk"
    kill -9 "$LOADER_PID" && wait "$LOADER_PID" 2>/dev/null
    done_by_tables check d
}

# wraps_are_gone HEADER FILE...: what wraps the DEK in a header, or the older one that it keeps, is in none
# of the files.
wraps_are_gone() {
    PYTHONPATH=$tests python3 - "$@" <<'PYTHON'
import sys
import format1

data = [open(name, "rb").read() for name in sys.argv[1:]]
copy = format1.choose(data[0])[1]
retained = [copy[368 + 144 * i + 8:368 + 144 * (i + 1)] for i in range(copy[104])]
wraps = retained or [texts[-1] for _, _, texts in format1.slots(copy, copy[100])]
assert wraps and all(len(w) == 136 and w in data[0] for w in wraps)
sys.exit(any(w[at:at + 32] in d for d in data[1:] for w in wraps for at in (0, 56, 104)))
PYTHON
}

# What the old header opened, it opens no more; and what wraps its DEK is in no file.
test_old_dek() {
    local old new one damaged
    small_engine
    old=$(reveal_dek d/header cmk.key)
    holds wraps_are_gone small/header cmk.key
    lacks wraps_are_gone small/header d/header
    done_by_tables rotate d
    # One call opens; two make and prove the DEK, and for the other slot one that fails, and two more.
    holds test "$(figure provider_calls)" -eq 6
    holds test "$(figure resealed_pages) $(figure resealed_values)" = '3 1'
    rotated 2
    new=$(reveal_dek d/header other.key)
    holds test "$new" = "$(reveal_dek d/header cmk.key)"
    holds test "$new" != "$old"
    holds wraps_are_gone small/header d/*
    # Each old file in its place is refused.
    for one in header catalog values "$(cd d && echo t-*)"; do
        # shellcheck disable=SC2086 # the tables, all of them
        (cd small && cp $one ../d)
        run tables check d --cmk "$cmk"
        holds test "$status" -eq 1
        holds grep -qE '\(ENVOL_E_(CORRUPT|STALE)\)$' err
        rm -rf d
        cp -r small d
        done_by_tables rotate d
    done
    # While something does not read, the old DEK is kept, under the new one.
    damaged=$(file_of table-00001)
    cp d/header older
    flip "$damaged" 1000
    lowest=2
    kept_by_damage table-00001 2
    ok envol info d/header --cmk "$cmk" --json
    holds json out 'j["rotation"] and j["rotation_bad"] == 1 and j["retained_epochs"] == 1'
    cp d/header unfinished
    kept_by_damage table-00001 0
    flip "$damaged" 1000
    done_by_tables rotate d
    rotated 3
    ok envol info d/header --cmk "$cmk" --json
    holds json out 'not j["rotation"]'
    holds wraps_are_gone older d/*
    holds wraps_are_gone unfinished d/*
}

# A copy that is damaged is made up for, two are not; and another engine's header opens nothing.
test_damage() {
    small_engine
    for at in 100 5000 32760 32868 40000 65500; do
        cp small/header d/header
        flip d/header $at
        after_end_anywhere
        ok envol info d/header --cmk "$cmk" --json
        holds json out 'j["whole_copies"] == 2'
        rm -rf d
        cp -r small d
    done
    flip d/header 5000
    flip d/header 40000
    refused_by_tables ENVOL_E_CORRUPT check d
    head -c 65536 /dev/zero >d/header
    refused_by_tables ENVOL_E_FORMAT check d
    head -c 65535 small/header >d/header
    refused_by_tables ENVOL_E_TRUNCATED check d
    rm d/header
    refused_by_tables ENVOL_E_IO check d # nor is there a keyring
    done_by_tables create another "${create_options[@]}"
    cp another/header d/header
    refused_by_tables ENVOL_E_CORRUPT check d
}

# The new header is synced, both copies, before a record is of its DEK; all of those are, before the
# old DEK goes; and the copy that is read back is the one that opens meanwhile.
test_order() {
    if ! strace -o calls true 2>/dev/null; then
        echo "SKIP $program: strace does not run here"
        return
    fi
    small_engine
    run strace -y -qq -o calls -e trace=pwrite64,fsync,ftruncate tables rotate d --cmk "$cmk" "${more_cmks[@]}"
    sed -nE 's,^([a-z]*)[0-9]*\([0-9]+<.*/(t-|values|journal|catalog|header).*,\1 \2,p' calls |
        uniq | paste -sd , - >order
    cat order
    holds grep -qE "^((pwrite header,fsync header,){3})pwrite journal,fsync journal,((pwrite t-,fsync t-|pwrite values,fsync values),)+pwrite catalog,fsync catalog,ftruncate journal,fsync journal(,pwrite header,fsync header){2}," \
        order
    # Where the copies lie that the change to the new DEK wrote: first the one that is not the newest.
    sed -nE 's,^pwrite64\([0-9]+<.*/header>.*\, 32768\, ([0-9]+)\).*,\1,p' calls | head -n 3 >places
    holds test "$(sort -u places | paste -sd ' ' -)" = '0 32768'
    holds test "$(sed -n 2p places)" != "$(sed -n 3p places)"
    holds test "$(sed -n 1p places)" = "$(sed -n 3p places)"
}

# A machine that stops in the middle of a write of the header: whichever copy, wherever it is torn.
test_torn() {
    local copy bytes n
    if ! strace -o calls true 2>/dev/null; then return; fi # test_order said so
    small_engine
    # Up to the first write of the journal: the header is that of the new DEK, and nothing else is.
    run sh -c '"$@"; exit $?' sh strace -qq -o calls -e trace=pwrite64 \
        -e inject=pwrite64:signal=SIGKILL:when=4 tables rotate d --cmk "$cmk" "${more_cmks[@]}"
    holds grep -q 'killed by' calls
    cp d/header new
    lacks cmp new small/header
    done_by_tables check d
    holds test "$(figure lowest) $(figure epoch)" = '1 2'
    for copy in 0 1; do
        for bytes in 512 4096 4608 32256 32768; do
            rm -rf d
            cp -r small d
            dd if=new of=d/header bs=512 skip=$((copy * 64)) seek=$((copy * 64)) \
                count=$((bytes / 512)) conv=notrunc status=none
            after_end_anywhere
            # The second copy, behind a first that is whole.
            rm -rf d
            cp -r small d
            cp new d/header
            dd if=small/header of=d/header bs=512 skip=$((copy * 64 + bytes / 512)) \
                seek=$((copy * 64 + bytes / 512)) count=$((64 - bytes / 512)) conv=notrunc status=none
            after_end_anywhere
        done
    done
}

test_each_call() { ends_at_each_call 60; }
test_kills() {
    ends_at_random "$cmk,$other" 24
    mv k d
    done_by_tables check d
    rotated "$(figure epoch)"
}

ok envol keygen cmk.key
ok envol keygen other.key
run_parts usage slots lock old_dek damage order torn each_call kills
