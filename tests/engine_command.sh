#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What the suites of examples/tables share; sourced by them.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
cmk=file:cmk.key
more_cmks=() # and words to give others

# done_by_tables VERB...: it succeeds, and says nothing on standard error.
done_by_tables() { ok tables "$@" --cmk "$cmk" "${more_cmks[@]}"; }

# gives VALUE TABLE KEY: of the engine in d.
gives() {
    done_by_tables get d "$2" "$3"
    holds test "$(cat out)" = "$1"
}

# refused_by_tables ENVOL_E_NAME VERB...: exit 1; the last line says this status.
refused_by_tables() {
    local name=$1
    shift
    run tables "$@" --cmk "$cmk" "${more_cmks[@]}"
    if [ "$status" -eq 1 ] && tail -n 1 err | grep -q "^tables: .*($name)\$"; then
        good
    else
        bad "exit $status, not 1 and $name: tables $*"
    fi
}

# figure NAME: of the line that check printed.
figure() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" out; }

# finds_bad TABLE ENVOL_E_NAME: check tells of one bad thing, and of which table.
finds_bad() {
    run tables check d --cmk "$cmk" "${more_cmks[@]}"
    if [ "$status" -eq 1 ] && [ "$(figure bad)" = 1 ] && [ "$(wc -l <err)" -eq 2 ] &&
        grep -q "^tables: table $1, .*($2)\$" err; then
        good
    else
        bad "exit $status: no $2 of $1 alone"
    fi
}

# file_of TABLE: its file, which is the one that a change of a row changes.
file_of() {
    touch -d '1 hour ago' d/t-*
    tables put d "$1" touched "$RANDOM" --cmk "$cmk"
    find d -name 't-*' -mmin -30
}
