#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What `make deps` runs: nothing is done where all is there, one installation where something is not.
set -uo pipefail
passed=0 failed=0
if ! command -v dpkg-query >/dev/null; then
    echo 'SKIP packages: no dpkg here'
    echo 'test_packages: 0 passed, 0 failed'
    exit 0
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/packages-XXXXXX")
trap 'rm -rf "$dir"' EXIT
# Stand-ins that only take notes; the second one stands for being root elsewhere.
# shellcheck disable=SC2016 # expanded when they run
printf '#!/bin/sh\necho "apt-get $*" >>"%s/calls"\nexit ${APT_FAILS:-0}\n' "$dir" >"$dir/apt-get"
printf '#!/bin/sh\nexec "$@"\n' >"$dir/sudo"
chmod +x "$dir/apt-get" "$dir/sudo"

# holds WHAT COMMAND...
holds() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$what: does not hold"
        cat "$dir/calls" "$dir/out" 2>/dev/null
    fi
}
packages() {
    rm -f "$dir/calls"
    PATH=$dir:$PATH sh .ci/packages "$@" >"$dir/out" 2>&1
}
calls() { cat "$dir/calls" 2>/dev/null; }

holds 'all are there' packages dpkg coreutils
holds 'nothing is called' test ! -e "$dir/calls"
holds 'it says so' grep -q 'all 2 are installed' "$dir/out"
holds 'one is missing' packages dpkg no-such-package coreutils
holds 'only that is installed' grep -q 'apt-get install .* no-such-package$' <(calls)
holds 'not what is there' test "$(calls | grep -c coreutils)" -eq 0
export APT_FAILS=100
holds 'a failure is a failure' test "$(packages no-such-package && echo success)" = ''

echo "test_packages: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
