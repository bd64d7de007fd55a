#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol --audit FILE: a line for each use of a key service, appended, and no secret in any.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
secret='a passphrase, and a secret'

# lines FILE EXPRESSION: of the parsed lines l, true.
lines() {
    python3 -c 'import json, sys
l = [json.loads(line) for line in open(sys.argv[1])]
sys.exit(not eval(sys.argv[2]))' "$@"
}

test_lines() {
    ok envol create a.vol --cmk file:a.key --audit a.log
    holds test "$(mode a.log)" = 600
    holds lines a.log '[e["operation"] for e in l] == ["generate", "unwrap"]'
    ok envol import a.vol --cmk file:a.key cmk.txt --audit a.log
    ok envol slot add a.vol --cmk file:a.key --to file:b.key --audit a.log
    ok envol rewrap a.vol --cmk file:a.key --to file:a.key --audit a.log
    ok envol info a.vol --cmk file:a.key --audit a.log
    holds lines a.log '[e["operation"] for e in l[2:]] == ["unwrap", "unwrap", "wrap", "unwrap", "unwrap", "rewrap", "unwrap", "unwrap", "unwrap", "describe", "describe"]'
    holds lines a.log '[e["verb"] for e in l[2:5]] == ["import", "slot add", "slot add"]'
    holds lines a.log 'all(e["status"] == "ENVOL_OK" for e in l[:-1]) and l[-1]["status"] == "ENVOL_E_KEY_NOT_FOUND"'
    holds lines a.log 'all(e["attempts"] == 1 and 0 < e["duration_us"] < 6e7 for e in l)'
    holds lines a.log 'all(set(e["context"]) == {"envol:epoch", "envol:purpose", "envol:volume"} for e in l[:-2])'
    holds lines a.log 'all(e["path"] == "a.vol" and e["provider"] == "file" and len(e["key_ref"]) == 36 for e in l)'
    holds lines a.log 'list(l[0]) == ["time", "verb", "path", "operation", "provider", "key_ref", "key_version", "to_key_ref", "context", "status", "provider_code", "attempts", "duration_us"]'
    holds lines a.log 'l[7]["to_key_ref"] == l[7]["key_ref"] and l[0]["to_key_ref"] == ""'
}

test_failures() {
    misused '--audit: its value is missing' envol verify a.vol --cmk file:a.key --audit
    misused '--audit does not apply' envol keygen c.key --audit a.log
    # What it would be appended to, or would make, is none of these.
    cp a.vol a.before
    cp a.key a.key.before
    misused 'the volume itself' envol verify a.vol --cmk file:a.key --audit ./a.vol
    misused 'the volume itself' envol verify a.vol --cmk file:a.key --audit a.key
    misused 'the volume itself' envol slot add a.vol --cmk file:b.key --to file:a.key --audit a.key
    misused 'the volume itself' envol restore r.vol --cmk file:b.key --from file:a.key --audit a.key
    misused 'the volume itself' envol create new.vol --cmk file:a.key --audit ./new.vol
    holds cmp a.vol a.before
    holds cmp a.key a.key.before
    holds test ! -e new.vol
    envol key disable a.key
    refused ENVOL_E_KEY_DISABLED envol verify a.vol --cmk file:a.key --audit b.log
    holds lines b.log '[e["status"] for e in l] == ["ENVOL_E_KEY_DISABLED", "ENVOL_E_KEY_NOT_FOUND"]'
    envol key enable a.key
    refused ENVOL_E_IO envol verify a.vol --cmk file:a.key --audit nowhere/b.log
    if [ -w /dev/full ]; then
        refused ENVOL_E_IO envol info a.vol --cmk file:a.key --audit /dev/full
    fi
}

test_secrets() {
    ok env "PASS=$secret" envol create p.vol --cmk "passphrase:memory=19M,passes=2,env=PASS" --audit p.log
    ok env "PASS=$secret" envol import p.vol --cmk passphrase:env=PASS cmk.txt --audit p.log
    holds lines p.log 'l[0]["provider"] == "passphrase" and l[0]["key_ref"] == "passphrase"'
    lacks grep -qF "$secret" p.log
    cat ./*.log >>everything
    head -c 12000 /dev/zero >>everything
    search_secrets a.vol a.key
}

envol keygen a.key
envol keygen b.key
run_parts lines failures secrets
