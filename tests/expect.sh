#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What the scripts that install, package and document share; sourced by them.  A directory of their
# own, $work; expectations, which count; and make without another make's jobs and overrides.
set -uo pipefail
BUILD=${BUILD:-build} CC=${CC:-cc} MAKE=${MAKE:-make}
program=$(basename "$0" .sh)
mkdir -p "$BUILD/tests/tmp"
work=$(cd "$BUILD/tests/tmp" && mktemp -d "$PWD/$program.XXXXXX")
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS
passed=0 failed=0

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

# refuse WHAT COMMAND...: it fails.
refuse() {
    local what=$1
    shift
    expect "$what" not "$@"
}
not() {
    ! "$@"
}

# The counts, and the script's exit status.
finish() {
    echo "$program: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
