#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Keys in tokens in the command, with SoftHSM 2: PINs from a file, the environment and the terminal;
# a volume that goes dark with its token and comes back.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$OLDPWD/tests
pin=24681357
export SOFTHSM2_CONF=$work/softhsm2.conf

if [[ " ${PROVIDERS:-} " != *' pkcs11 '* ]]; then
    echo "SKIP $program: this build has no libenvol-pkcs11"
    echo "$program: 0 passed, 0 failed"
    exit 0
fi
unset ENVOL_PKCS11_PIN
module=/nowhere
for place in /usr/lib/softhsm /usr/lib64/pkcs11 /usr/lib64/softhsm /usr/local/lib/softhsm; do
    if [ -r "$place/libsofthsm2.so" ]; then module=$place/libsofthsm2.so; fi
done
cmk="pkcs11:token=envol%20test;object=cmk?module-path=$module"

make_token() {
    mkdir tokens
    echo "directories.tokendir = $work/tokens" >softhsm2.conf
    # softhsm2-util takes the file for text: it cuts a value at its first NUL or newline.
    head -c 4096 /dev/urandom | LC_ALL=C tr -dc a-zA-Z0-9 | head -c 32 >value
    softhsm2-util --init-token --free --label 'envol test' --so-pin 12345678 --pin "$pin" &&
        softhsm2-util --import value --aes --token 'envol test' --label cmk --id 01 --pin "$pin"
}

test_uris() {
    misused 'the key is missing' envol info v --cmk pkcs11:
    misused 'names no key' envol create v --cmk pkcs11:token=a
    misused 'PKCS#11 URI' envol create v --cmk pkcs11:id=%zz
    misused 'absolute' envol create v --cmk 'pkcs11:id=%01?module-path=softhsm.so'
    misused 'pin-source' envol create v --cmk 'pkcs11:id=%01?pin-source=%7Cid&module-path=/x'
    refused ENVOL_E_PROVIDER envol create v --cmk 'pkcs11:id=%01?module-path=/nowhere/x.so'
    lacks test -e v
    run envol --help
    holds grep -q 'pkcs11:object=LABEL' out
}

test_pins() {
    printf '%s\n' "$pin" >pin && chmod 600 pin
    ok envol create v --cmk "$cmk&pin-source=file:$work/pin"
    ok env ENVOL_PKCS11_PIN="$pin" envol import v --cmk "$cmk" cmk.txt
    ok envol export v --cmk "$cmk&pin-value=$pin"
    holds cmp out cmk.txt
    refused ENVOL_E_CREDENTIALS env ENVOL_PKCS11_PIN=00000000 envol verify v --cmk "$cmk"
    refused ENVOL_E_CREDENTIALS env ENVOL_PKCS11_PIN="$(printf %0300d 0)" envol verify v --cmk "$cmk"
    refused ENVOL_E_CREDENTIALS setsid -w envol verify v --cmk "$cmk"
    refused ENVOL_E_CREDENTIALS envol verify v --cmk "$cmk&pin-source=file:$work/missing"
    chmod 644 pin
    refused ENVOL_E_CREDENTIALS envol verify v --cmk "$cmk&pin-source=file:$work/pin"
    run python3 "$tests/typist.py" typed.log "$pin" -- envol verify v --cmk "$cmk"
    holds test "$status" -eq 0
    holds grep -q 'PIN (envol test)' typed.log
    lacks grep -q "$pin" typed.log
}

test_slots() {
    run envol info --json v
    holds json out 'j["slots"][0]["provider"] == "pkcs11"'
    holds json out 'j["slots"][0]["key_ref"].startswith("pkcs11:serial=")'
    holds json out 'j["slots"][0]["key_ref"].endswith(";id=%01")'
    holds json out 'j["slots"][0]["wrapped_bytes"] == 94'
}

# The token is put away, as a smart card is, and put back.
test_revocation() {
    export ENVOL_PKCS11_PIN=$pin
    mv tokens away && mkdir tokens
    refused ENVOL_E_UNREACHABLE envol verify v --cmk "$cmk"
    rmdir tokens && mv away tokens
    ok envol verify v --cmk "$cmk"
    refused ENVOL_E_KEY_NOT_FOUND envol verify v --cmk "${cmk/object=cmk/object=another}"
    lacks grep -q 'key file' err
    ok envol keygen a.key
    refused ENVOL_E_NO_PROVIDER envol verify v --cmk file:a.key
    ok envol create two --cmk "$cmk" --cmk file:a.key
    ok envol verify two --cmk file:a.key
    ok envol verify two --cmk "$cmk"
}

# All that was said, on whichever stream.
test_secrets() {
    lacks grep -q "$pin" everything
    lacks grep -qi "$(od -An -tx1 value | tr -d ' \n')" everything
    lacks grep -q "$pin" v
    lacks grep -q libsofthsm2 v
}

if make_token >token.log 2>&1; then
    run_parts uris pins slots revocation secrets
else
    cat token.log
    echo "$program: 0 passed, 1 failed"
    exit 1
fi
