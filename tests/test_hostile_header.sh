#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A header that names paths, URLs and commands, with a right CRC, makes envol open, connect to and
# start nothing that it does not with an honest header: system calls traced by strace.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tree=$(cd "$OLDPWD" && pwd)
PROVIDERS=${PROVIDERS-}

# hostile NAME PROVIDER KEYREF...: NAME.0.vol, NAME.1.vol and so on are honest.vol with a slot that says
# so, in both copies, CRC included.
hostile() {
    python3 - "$tree/tests" "$@" <<'PYTHON'
import struct
import sys

sys.path.insert(0, sys.argv[1])
import format1

honest = open("honest.vol", "rb").read()
for i, words in enumerate(zip(sys.argv[3::2], sys.argv[4::2])):
    copy = bytearray(honest[:format1.COPY])
    (number, time, texts), = format1.slots(copy, 1)
    texts[0:2] = [word.encode() for word in words]
    body = b"".join(texts)
    size = (24 + len(body) + 7) // 8 * 8
    slot = struct.pack("<IIQ4H", size, number, time, *map(len, texts)) + body
    copy[format1.SLOT_AREA:format1.MAC] = slot.ljust(format1.MAC - format1.SLOT_AREA, b"\0")
    struct.pack_into("<I", copy, 12, format1.crc32c(format1.without_crc(copy)))
    open(f"{sys.argv[2]}.{i}.vol", "wb").write(copy + copy + honest[2 * format1.COPY:])
PYTHON
}

# calls FILE COMMAND...: FILE gets each call once that opens, asks for, connects to or starts something,
# without what differs from run to run: process numbers, addresses, exit statuses.
calls() {
    local into=$1
    shift
    run strace -f -o trace -e trace=file,network,process "$@"
    grep -v -e '^[0-9 ]*+++ ' -e ' exit_group(' -e ' exit(' trace |
        sed -e 's/^[0-9]* *//' -e 's/0x[0-9a-f]*/ADDRESS/g' -e 's/[{]parent_tid=.*//' |
        sort -u >"$into"
}

# same_calls WHAT: the hostile header, x.vol, makes no call that the honest one does not make.
same_calls() {
    comm -13 honest.calls hostile.calls >more.calls
    if [ -s hostile.calls ] && [ ! -s more.calls ]; then
        good
    else
        bad "$1: $(head -n 3 more.calls)"
    fi
}

# What the command does with the honest header, under the same name.
learn() {
    cp honest.vol x.vol
    calls honest.calls "$@"
    holds grep -q '^openat(.*"x\.vol"' honest.calls
}

# Of each provider: what its key references may be, and what a shell, a library of HTTP, of modules
# or of formats would make of others.
# shellcheck disable=SC2016 # nothing is to be expanded
named=(
    file /etc/passwd
    file ../k.key
    file '|touch${IFS}touched'
    passphrase passphrase:file=/etc/passwd
    passphrase '$(touch${IFS}touched)'
    pkcs11 'pkcs11:token=t;object=o?module-path=/nowhere/module.so&pin-source=/etc/passwd'
    pkcs11 'pkcs11:object=o?pin-source=%7Ctouch%20touched'
    aws-kms http://127.0.0.1:1/
    aws-kms arn:aws:kms:eu-central-1:111122223333:key/1
    aws-kms 'arn:aws:kms:x.invalid/:111122223333:key/1'
    vault https://127.0.0.1:1/v1/transit/keys/k
    unknown '%s%n;touch${IFS}touched'
)

# each COMMAND...: with each of them.
each() {
    local i
    learn "$@"
    for ((i = 0; 2 * i < ${#named[@]}; i++)); do
        cp "named.$i.vol" x.vol
        calls hostile.calls "$@"
        same_calls "${named[*]:2*i:2}: $*"
        # It was read, and what it names was seen: not merely no header at all.
        lacks grep -q -e ENVOL_E_FORMAT -e ENVOL_E_CORRUPT err
        seen "${named[2 * i + 1]}"
    done
    lacks ls touch*
}

test_info() {
    seen() { holds grep -qF -- "$1" out; }
    each envol info x.vol
}

test_verify() {
    seen() { holds grep -qE 'ENVOL_E_(NO_PROVIDER|KEY_NOT_FOUND)' err; }
    each envol verify x.vol --cmk file:k.key
}

# The same search finds what is named by who may name it.
test_controls() {
    learn envol verify x.vol --cmk file:k.key
    calls hostile.calls envol verify x.vol --cmk file:/etc/passwd
    holds grep -q '^openat(.*"/etc/passwd"' hostile.calls
    comm -13 honest.calls hostile.calls >more.calls
    holds grep -q '"/etc/passwd"' more.calls
    if [[ " $PROVIDERS " == *' kms '* ]]; then
        calls hostile.calls env VAULT_ADDR=https://127.0.0.1:1 VAULT_TOKEN=t \
            envol create y.vol --cmk vault:transit/k
        comm -13 honest.calls hostile.calls >more.calls
        holds grep -q '^connect(.*127\.0\.0\.1' more.calls
    fi
    calls hostile.calls sh -c 'touch started; envol verify x.vol --cmk file:k.key'
    comm -13 honest.calls hostile.calls >more.calls
    holds grep -q '^execve(.*touch' more.calls
}

envol keygen k.key
envol create honest.vol --cmk file:k.key
envol import honest.vol --cmk file:k.key cmk.txt
hostile named "${named[@]}"
if strace -o trace -e trace=none true 2>/dev/null; then
    run_parts info verify controls
else
    echo 'SKIP hostile headers: strace(1) is missing or may not trace'
    run_parts
fi
