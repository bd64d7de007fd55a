#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The command with keys of AWS KMS and of Vault, in the tests' own services: what a rewrap asks of
# them, by its audit, and that the old key is then needed no more.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
server=$OLDPWD/$(dirname "$0")/kms_server.py
region=arn:aws:kms:eu-central-1:111122223333:key
far=arn:aws:kms:us-east-1:111122223333:key/far

# tell LINE: to the services, which answer each.
tell() {
    echo "$*" >&3
    read -r answer <&4
}

# uses FILE: of providers, a word each.
uses() {
    python3 -c 'import json, sys
print(*(json.loads(line)["operation"] for line in open(sys.argv[1])))' "$1"
}

# rewraps FROM TO USES: of volume k.vol, with an audit of its own.
rewraps() {
    rm -f k.log
    ok envol rewrap k.vol --cmk "$1" --to "$2" --audit k.log
    holds test "$(uses k.log)" = "$3"
}

test_aws() {
    ok envol create k.vol --cmk "aws-kms:$region/one"
    ok envol import k.vol --cmk "aws-kms:$region/one" cmk.txt
    rewraps "aws-kms:$region/one" "aws-kms:$region/two" 'unwrap rewrap unwrap'
    tell count ReEncrypt
    holds test "$answer" = 1
    tell state one Disabled
    refused ENVOL_E_NO_PROVIDER envol verify k.vol --cmk "aws-kms:$region/one"
    ok envol export k.vol --cmk "aws-kms:$region/two"
    holds cmp out cmk.txt
    tell state two Disabled
    refused ENVOL_E_KEY_DISABLED envol verify k.vol --cmk "aws-kms:$region/two"
    tell state two Enabled
    # Refused at the check that follows the opening: what the lease of a program would do now.
    tell error 400 DisabledException
    tell after 1
    ok envol info k.vol --cmk "aws-kms:$region/two" --json
    tell reset
    holds json out '(j["lease_state"], j["lease_status"]) == ("suspect", "ENVOL_E_KEY_DISABLED")'
    holds json out '0 <= time.time() - seconds(j["lease_checked_at"]) < 60'
    holds json out '7199 <= seconds(j["lease_deadline_at"]) - seconds(j["lease_checked_at"]) <= 7201'
    holds json out '268 <= seconds(j["lease_next_check_at"]) - seconds(j["lease_checked_at"]) <= 301'
    # Another Region is another service, and a handle of other options another handle.
    rewraps "aws-kms:$region/two" "aws-kms:$far" 'unwrap rewrap wrap unwrap'
    rewraps "aws-kms:$far" "aws-kms:$region/two?region=eu-central-1" 'unwrap wrap unwrap'
    rewraps "aws-kms:$region/two" "aws-kms:$region/two" 'unwrap rewrap unwrap'
}

test_vault() {
    tell key one derived
    tell key two derived
    rm k.vol
    ok envol create k.vol --cmk vault:transit/one
    tell rotate one
    ok envol info k.vol --cmk vault:transit/one --json
    holds json out 'j["slots"][0]["outdated"]'
    rewraps vault:transit/one vault:transit/one 'unwrap rewrap unwrap'
    ok envol info k.vol --cmk vault:transit/one --json
    holds json out 'not j["slots"][0]["outdated"]'
    tell floor one 2
    ok envol verify k.vol --cmk vault:transit/one
    rewraps vault:transit/one vault:transit/two 'unwrap rewrap wrap unwrap'
    tell state one Disabled
    ok envol verify k.vol --cmk vault:transit/two
}

# From one service to the other.
test_both() {
    rewraps vault:transit/two "aws-kms:$region/two" 'unwrap wrap unwrap'
    ok envol verify k.vol --cmk "aws-kms:$region/two"
    refused ENVOL_E_NO_PROVIDER envol verify k.vol --cmk vault:transit/two
}

if [[ " ${PROVIDERS:-} " != *' kms '* ]]; then
    echo "SKIP $program: this build has no libenvol-kms"
    echo "$program: 0 passed, 0 failed"
    exit 0
fi
mkfifo commands answers
python3 "$server" <commands >answers 3>&- &
exec 3>commands 4<answers
read -r port <&4
export AWS_ENDPOINT_URL_KMS="http://127.0.0.1:$port" AWS_REGION=eu-central-1
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
export AWS_EC2_METADATA_DISABLED=true VAULT_ADDR="http://127.0.0.1:$port" VAULT_TOKEN=test-token
unset AWS_SESSION_TOKEN AWS_PROFILE VAULT_NAMESPACE
run_parts aws vault both
