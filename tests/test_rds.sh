#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# RDS in a box in its short form: PostgreSQL on an encrypted device.  A machine without the parts of
# the kernel that it needs counts a skip, anything else has to come out.
set -uo pipefail
passed=0 failed=0 status=0
log=$(mktemp "${TMPDIR:-/tmp}/test-rds.XXXXXX")
trap 'rm -f "$log"' EXIT

holds() {
    if "$@" >/dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "does not hold: $*"
        cat "$log"
    fi
}

loops() { losetup --list --noheadings --output BACK-FILE 2>/dev/null | grep -c envol-rds; }

timeout 300 examples/rds/rds.sh --quick >"$log" 2>&1 || status=$?
if [ "$status" -eq 77 ]; then
    echo "SKIP rds: $(tail -n 1 "$log")"
else
    holds test "$status" -eq 0
    for line in 'the instance: .*Alice' 'a backup while it runs' 'all of that run with one call' \
        'the database stopped, at the lease' 'recovered: .*Alice' 'pgbench: .*balances add up' \
        'a thief reads' 'restored from the backup.*Alice'; do
        holds grep -q "^ *[0-9]*\. $line" "$log"
    done
    # Nothing of it is left.
    holds test "$(grep -c envol-rds /proc/mounts)" -eq 0
    holds test "$(loops)" -eq 0
fi
echo "test_rds: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
