#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Passphrases in the command: typed on a terminal, in the environment, in a file; what the terminal
# shows; and the wrapped DEK against tests/format1.py.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$OLDPWD/tests
secret='correct horse battery staple'
cheap='memory=19M,passes=2'

# typed ANSWER... -- COMMAND...
typed() { python3 "$tests/typist.py" typed.log "$@"; }

test_uris() {
    misused 'unknown key service; known: file:PATH, passphrase:' envol info v --cmk passphrse:
    for bad in memory=18M memory=1025M memory=19456001 memory=1 memory= passes=1 passes=17 passes=x \
        label= env= file= env=A=B nonsense label=a,nonsense 'label=two
lines'; do
        misused 'is none of label=TEXT' envol create v --cmk "passphrase:$bad"
    done
    lacks test -e v
}

test_files() {
    printf '%s\n' "$secret" >pass.txt
    chmod 600 pass.txt
    ok envol create file.vol --cmk "passphrase:$cheap,file=pass.txt"
    ok envol import file.vol --cmk passphrase:file=pass.txt cmk.txt
    printf %s "$secret" >'bare,txt'
    chmod 400 'bare,txt'
    ok envol export file.vol --cmk passphrase:file=bare,txt
    holds cmp out cmk.txt
    ok env "OTHER=$secret" envol verify file.vol --cmk passphrase:env=OTHER
    misused 'its key' envol import file.vol --force --cmk passphrase:file=pass.txt pass.txt
    chmod 640 pass.txt
    refused ENVOL_E_KEY_DENIED envol verify file.vol --cmk passphrase:file=pass.txt
    chmod 600 pass.txt
    refused ENVOL_E_CREDENTIALS envol verify file.vol --cmk passphrase:file=missing.txt
    refused ENVOL_E_KEY_DENIED envol verify file.vol --cmk passphrase:file=.
    for text in '' $'\n' $'\n'"$secret"; do
        printf %s "$text" >bad.txt && chmod 600 bad.txt
        run envol verify file.vol --cmk passphrase:file=bad.txt
        holds test "$status" -eq 1
    done
    printf '%s\n\n' "$secret" >bad.txt
    refused ENVOL_E_ARGUMENT envol verify file.vol --cmk passphrase:file=bad.txt
    head -c 1025 /dev/zero | tr '\0' x >bad.txt
    refused ENVOL_E_ARGUMENT envol verify file.vol --cmk passphrase:file=bad.txt
    ok envol info --json file.vol --cmk passphrase:file=pass.txt
    holds json out '(j["slots"][0]["provider"], j["slots"][0]["key_ref"]) == ("passphrase",) * 2'
    holds json out 'j["slots"][0]["wrapped_bytes"] == 168 and j["slots"][0]["key_version"] == ""'
}

test_environment() {
    export PASS_ONE=$secret
    ok envol create env.vol --cmk "passphrase:$cheap,label=a label,env=PASS_ONE"
    ok envol info --json env.vol
    holds json out 'j["slots"][0]["key_ref"] == "a label"'
    ok envol verify env.vol --cmk passphrase:env=PASS_ONE
    ok env ENVOL_CMK='passphrase:label=a label,env=PASS_ONE' envol verify env.vol
    refused ENVOL_E_NO_PROVIDER envol verify env.vol --cmk file:cmk.key
    refused ENVOL_E_KEY_NOT_FOUND envol verify env.vol --cmk passphrase:label=other,env=PASS_ONE
    refused ENVOL_E_CREDENTIALS envol verify env.vol --cmk passphrase:env=PASS_TWO
    refused ENVOL_E_WRONG_KEY env PASS_ONE=x envol verify env.vol --cmk passphrase:env=PASS_ONE
    unset PASS_ONE
}

test_terminal() {
    ok typed "$secret" "$secret" -- envol create tty.vol --cmk "passphrase:$cheap,label=a "$'\xc2\x9b'b
    holds grep -q '^New passphrase (a ?b): ' typed.log
    holds grep -q '^The same again (a ?b): ' typed.log
    holds test "$(wc -l <typed.log)" -eq 2
    lacks grep -q horse typed.log
    ok typed "$secret" -- envol import tty.vol --cmk passphrase: cmk.txt
    holds grep -q '^Passphrase (' typed.log
    lacks grep -q horse typed.log
    ok typed "$secret" -- envol verify tty.vol --cmk passphrase:
    refused ENVOL_E_WRONG_KEY typed 'correct horse' -- envol verify tty.vol --cmk passphrase:
    refused ENVOL_E_ARGUMENT typed "$secret" 'correct horse' -- envol create v --cmk "passphrase:$cheap"
    holds grep -q 'passphrases differ' err
    refused ENVOL_E_CREDENTIALS typed '' -- envol verify tty.vol --cmk passphrase:
    refused ENVOL_E_CREDENTIALS typed ^D -- envol verify tty.vol --cmk passphrase:
    refused ENVOL_E_CANCELLED typed ^C -- envol verify tty.vol --cmk passphrase:
    refused ENVOL_E_CREDENTIALS setsid -w envol verify tty.vol --cmk passphrase:
    holds grep -q 'no terminal' err
    lacks test -e v
}

# The terminal is as it was, whatever ended the question.
test_echo() {
    # shellcheck disable=SC2016 # the inner shell's
    ok typed x -- sh -c 'envol verify tty.vol --cmk passphrase: 2>err2; stty -a </dev/tty >stty.out'
    holds grep -qw echo stty.out
    holds grep -q 'susp = ^Z' stty.out
    # shellcheck disable=SC2016
    ok typed ^C -- sh -c 'trap : INT; envol verify tty.vol --cmk passphrase: 2>err2; stty -a </dev/tty >stty.out'
    holds grep -qw echo stty.out
}

test_recovery() {
    envol keygen r.key
    ok envol create r.vol --cmk file:r.key --cmk "passphrase:$cheap,label=recovery,file=pass.txt"
    ok envol import r.vol --cmk file:r.key cmk.txt
    envol key disable r.key
    refused ENVOL_E_KEY_DISABLED envol export r.vol --cmk file:r.key
    ok envol export r.vol --cmk passphrase:file=pass.txt
    holds cmp out cmk.txt
}

# A reader that was written from envol(5) alone.
test_format() {
    if ! python3 -c 'import ctypes; ctypes.CDLL("libsodium.so.23")' 2>/dev/null; then
        echo 'SKIP Argon2id by another program: python3 does not find libsodium.so.23'
        return
    fi
    ok python3 "$tests/format1.py" r.vol --passphrase "$secret"
    holds grep -qx 'argon2id 2 19456 2 1 right' out
    ok python3 "$tests/format1.py" r.vol --passphrase "$secret "
    holds grep -qx 'argon2id 2 19456 2 1 wrong' out
}

test_secrets() {
    lacks grep -qF "$secret" everything
    for volume in *.vol; do lacks grep -qF "$secret" "$volume"; done
}

envol keygen cmk.key
run_parts uris files environment terminal echo recovery format secrets
