#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What the suites share that rotate the DEK of examples/tables; sourced by them.
# shellcheck source=tests/engine_command.sh
. "$(dirname "$0")/engine_command.sh"
tests=$OLDPWD/tests
kept_in=keyring   # the file in d that has the DEK
create_options=() # of engines that are made here
lowest=1          # live epoch, while damage keeps it

# rotated EPOCH: check finds everything sound, and of this epoch alone; envol says that there is no other.
rotated() {
    done_by_tables check d
    holds test "$(figure bad) $(figure epoch) $(figure lowest) $(figure swept)" = "0 $1 $1 $1"
    holds test "$(figure "pages_of_$1")" = "$(figure pages)"
    holds test "$(figure "values_of_$1")" = "$(figure values)"
    ok envol info "d/$kept_in" --cmk "$cmk" --json
    holds json out "j['epoch'] == j['lowest_epoch'] == $1 and j['retained_epochs'] == 0"
}

# kept_by_damage TABLE PAGES: a rotation says what does not read, seals PAGES again, and does not end.
kept_by_damage() {
    run tables rotate d --cmk "$cmk" "${more_cmks[@]}"
    holds test "$status" -eq 1
    holds test "$(wc -l <err)" -eq 2
    holds grep -q "^tables: table $1, .*(ENVOL_E_[A-Z]*)\$" err
    holds grep -q 'older DEK is kept.*(ENVOL_E_CORRUPT)$' err
    holds test "$(figure resealed_pages) $(figure bad) $(figure lowest)" = "$2 1 $lowest"
}

# small_engine: few files of each kind, in d and, to begin anew, in small.
small_engine() {
    rm -rf d small
    done_by_tables create d "${create_options[@]}"
    done_by_tables fill d 2
    done_by_tables put d long key "$(printf '%01000d' 1)"
    cp -r d small
}

# after_end_anywhere: everything is there, and the rotation goes on to its end.
after_end_anywhere() {
    done_by_tables check d
    holds test "$(figure bad) $(figure tables) $(figure values)" = '0 3 1'
    gives "$(printf '%01000d' 1)" long key
    gives 'this is table-00002' table-00002 about
    done_by_tables put d table-00001 about 'put meanwhile'
    done_by_tables rotate d
    done_by_tables check d
    holds test "$(figure bad) $(figure lowest)" = "0 $(figure epoch)"
    gives 'put meanwhile' table-00001 about
    gives "$(printf '%01000d' 1)" long key
}

# ends_at_each_call LEAST: each write, sync and renaming of a rotation is the last one, and each fails
# once; that is so many calls or more.
ends_at_each_call() {
    local call n how ends=0
    if ! strace -o calls true 2>/dev/null; then return; fi # the test of the order said so
    small_engine
    for how in signal=SIGKILL error=EIO; do
        for call in pwrite64 fsync,fdatasync ftruncate rename,renameat,renameat2; do
            for n in {1..99}; do
                rm -rf d
                cp -r small d
                # A shell between, which says of what died in its stead.
                run sh -c '"$@"; exit $?' sh strace -qq -o calls -e trace=$call -e inject=$call:$how:when="$n" \
                    tables rotate d --cmk "$cmk" "${more_cmks[@]}"
                grep -qE 'INJECTED|killed by' calls || break
                ends=$((ends + 1))
                after_end_anywhere
            done
            holds test "$n" -gt 1
        done
    done
    echo "a rotation ended at $ends calls, killed or with EIO"
    holds test $ends -ge "$1"
}

# ends_at_random CMKS ROUNDS: kill -9 at random moments, with rows put beside the rotation and between
# its processes.
ends_at_random() {
    local seed=${ENVOL_TEST_SEED:-$RANDOM}
    echo "ENVOL_TEST_SEED=$seed"
    if python3 "$tests/engine_kills.py" k "$1" "$seed" "$2" 1000 "${create_options[@]}" >out 2>err; then good; else bad kills; fi
    cat out
}
