#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What the suites of the command envol share; sourced by them.  A directory of its own with a key
# (cmk.key), a text (cmk.txt), random bytes (random) and what is no key (foreign.key); expectations,
# which count; and the search of all that was printed for keys.
set -uo pipefail
BUILD=${BUILD:-build}
program=$(basename "$0" .sh)
mkdir -p "$BUILD/tests/tmp"
BUILD=$(cd "$BUILD" && pwd)
golden=$(cd "$(dirname "$0")" && pwd)/golden
work=$(mktemp -d "$BUILD/tests/tmp/$program.XXXXXX")
children=()
# shellcheck disable=SC2317 # called by the trap
leave() {
    if [ ${#children[@]} -gt 0 ]; then kill -9 "${children[@]}" 2>/dev/null; fi
    rm -rf "$work"
}
trap leave EXIT
cd "$work" || exit 1
PATH=$BUILD:$PATH
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
unset ENVOL_CMK
umask 022
passed=0 failed=0

good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "line ${BASH_LINENO[1]}: $*"
    sed 's/^/    out: /' out | head -n 5
    sed 's/^/    err: /' err
}

# Runs a command; its output goes to out and err, and to what is searched for secrets at the end.
run() {
    status=0
    "$@" >out 2>err || status=$?
    cat out err >>everything
}

# ok COMMAND...: succeeds and says nothing on standard error.
ok() {
    run "$@"
    if [ "$status" -eq 0 ] && [ ! -s err ]; then good; else bad "exit $status, not 0: $*"; fi
}

# refused ENVOL_E_NAME COMMAND...: exit 1, and one line that ends with the status.
refused() {
    local name=$1
    shift
    run "$@"
    if [ "$status" -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q "^envol: .*($name)\$" err; then
        good
    else
        bad "exit $status, not 1 and one line with $name: $*"
    fi
}

# misused WORDS COMMAND...: exit 2, and one line that holds the words; nothing else anywhere.
misused() {
    local words=$1
    shift
    run "$@"
    if [ "$status" -eq 2 ] && [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ] &&
        grep -q '^envol: ' err && grep -qF -e "$words" err; then
        good
    else
        bad "exit $status, not 2 and one line with '$words': $*"
    fi
}

# holds COMMAND...: a condition.
holds() {
    if "$@" >/dev/null 2>&1; then good; else bad "does not hold: $*"; fi
}
lacks() {
    if "$@" >/dev/null 2>&1; then bad "holds, but must not: $*"; else good; fi
}

# rotates VOL: waits until a rotation of it has begun.
rotates() {
    for _ in {1..600}; do
        if envol info "$1" 2>/dev/null | grep '^rotation  *unfinished' >/dev/null; then return; fi
        sleep 0.05
    done
    bad "no rotation of $1 begins"
}

# json FILE EXPRESSION: of the parsed object j, true.
json() {
    python3 -c 'import calendar, json, sys, time
def seconds(text): return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
j = json.load(open(sys.argv[1]))
sys.exit(not eval(sys.argv[2]))' "$@"
}

# flip FILE OFFSET: changes one byte.
flip() {
    python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 1]))' "$@"
}

mode() { stat -c %a "$1"; }

# search_secrets [VOLUME KEY]...: nothing printed so far holds a key, raw or in hexadecimal; with keys
# planted in it, the same search finds them.
search_secrets() {
    if python3 - "$@" <<'PYTHON'
import glob
import subprocess
import sys

printed = open("everything", "rb").read()
secrets = [open(name, "rb").read()[56:88] for name in glob.glob("*.key") if name != "foreign.key"]
for volume, key in zip(sys.argv[1::2], sys.argv[2::2]):
    dek = subprocess.run(["reveal_dek", volume, key], capture_output=True, check=True).stdout
    secrets.append(bytes.fromhex(dek.decode()))


def found(text):
    return any(s in text or s.hex().encode() in text.lower() for s in secrets)


sys.exit(len(printed) < 10000 or found(printed) or not found(printed + secrets[-1])
         or not found(secrets[0].hex().upper().encode() + printed))
PYTHON
    then
        good
    else
        bad 'a key was printed'
    fi
}

# run_parts NAME...: runs test_NAME, each in its turn, and prints the counts.
run_parts() {
    local part
    for part in "$@"; do "test_$part"; done
    echo "$program: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

head -c 8000000 /dev/urandom >random
echo 'not a key file' >foreign.key
chmod 600 foreign.key
echo 'a few words that were imported' >cmk.txt
: >everything
: >out
: >err

# unpack NAME FILE: of tests/golden/.
unpack() {
    python3 - "$golden/$1.hex" >"$2" <<'END'
import sys
data = bytearray()
for line in open(sys.argv[1], encoding="ascii"):
    offset, text = line.split()
    if offset == "END":
        data = data.ljust(int(text), b"\0")
    else:
        data = data.ljust(int(offset), b"\0") + bytes.fromhex(text)
sys.stdout.buffer.write(data)
END
}
