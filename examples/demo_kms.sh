#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The demo's last part with a customer managed key in AWS KMS: a volume, a SQLite database, the key
# disabled and enabled again.  The service is moto's, on a loopback port, in the virtual environment
# that `make deps-kms` makes; with AWS's own, only the endpoint and the credentials are others.
# moto keeps a key's state without heeding it: what AWS answers for a key that is disabled or pending
# deletion is added by tests/moto_kms.py.
#
# usage: BUILD=build MOTO=build/moto sh examples/demo_kms.sh     (make demo-kms builds first)
# Everything happens in a temporary directory.  The exit status is 0 only if every step came out.
set -eu
BUILD=$(cd "${BUILD:-build}" && pwd)
python=$(cd "${MOTO:-build/moto}" && pwd)/bin/python3
service=$(cd tests && pwd)/moto_kms.py
PATH=$BUILD:$PATH
unset ENVOL_CMK
work=$(mktemp -d "${TMPDIR:-/tmp}/envol-demo-kms.XXXXXX")
cd "$work"
server=
number=0

# The service ends with its input.
finish() {
    exec 3>&-
    [ -z "$server" ] || wait "$server" || :
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

say() {
    number=$((number + 1))
    printf '%2d. %s\n' "$number" "$*"
}

die() {
    echo "demo-kms: $*" >&2
    exit 1
}

for program in envol sqlite3; do
    command -v $program >/dev/null || die "$program is missing: make deps demo-kms"
done

mkfifo commands answers
"$python" "$service" <commands >answers 3>&- 2>service.log &
server=$!
exec 3>commands 4<answers
read -r port <&4 || die "moto did not start: $(cat service.log)"

# tell VERB [WORD]...: one line to the service's administration, and its answer.
tell() {
    echo "$*" >&3
    read -r answer <&4 || die "moto ended: $(cat service.log)"
    echo "$answer"
}

export AWS_ENDPOINT_URL_KMS="http://127.0.0.1:$port" AWS_REGION=eu-central-1
export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo AWS_EC2_METADATA_DISABLED=true
unset AWS_SESSION_TOKEN AWS_PROFILE
say "AWS KMS (moto's) at $AWS_ENDPOINT_URL_KMS"

key=$(tell create)
say "customer managed key $key"
envol create users.vol --cmk "aws-kms:$key"
slot=$(envol info users.vol | sed -n 's/^slot [0-9]* *//p')
say "users.vol: its DEK comes from GenerateDataKey, and is wrapped: $slot"

sqlite3 users.db "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('Alice');"
envol import users.vol --cmk "aws-kms:$key" users.db
if grep -aq "Alice" users.vol; then die "'Alice' lies open in users.vol"; fi
grep -aq "Alice" users.db || die 'the search finds nothing anywhere'
say "INSERT INTO users VALUES ('Alice'): the database is in users.vol, and 'Alice' is not in its bytes"
mv users.db original.db

read_back() {
    envol export users.vol --cmk "aws-kms:$key" --force users.db
    cmp original.db users.db || die 'users.db came back changed'
    row=$(sqlite3 users.db 'SELECT name FROM users')
    [ "$row" = Alice ] || die "SELECT answers '$row'"
    say "$1: read back byte for byte after one Decrypt, SELECT name FROM users: $row"
}

# refused STATUS WHEN
refused() {
    status=0
    envol export users.vol --cmk "aws-kms:$key" >stolen 2>refusal || status=$?
    [ $status -eq 1 ] || die "export ended with $status: $2"
    [ ! -s stolen ] || die 'users.vol gave data away'
    grep -q "$1" refusal || die "another refusal: $(cat refusal)"
    say "$2: $(cat refusal)"
}

read_back 'restart, a new process'
tell disable "$key" >/dev/null
refused ENVOL_E_KEY_DISABLED 'key disabled'
tell enable "$key" >/dev/null
read_back 'key enabled again'
tell schedule "$key" >/dev/null
refused ENVOL_E_KEY_PENDING_DELETION 'deletion of the key scheduled'
tell cancel "$key" >/dev/null
tell enable "$key" >/dev/null
read_back 'deletion cancelled, key enabled'

# CMK rotation: to another key, without the DEK leaving KMS.  The first one is then of no use to it.
first=$key
key=$(tell create)
envol rewrap users.vol --cmk "aws-kms:$first" --to "aws-kms:$key" --audit uses
grep -q '"operation": "rewrap".*"status": "ENVOL_OK"' uses || die "no ReEncrypt: $(cat uses)"
say "rewrapped by ReEncrypt to $key"
tell disable "$first" >/dev/null
read_back 'the first key disabled'
tell disable "$key" >/dev/null
refused ENVOL_E_KEY_DISABLED 'the second key disabled too'
tell enable "$key" >/dev/null
read_back 'the second key enabled again'
