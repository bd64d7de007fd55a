#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/event_loop, which opens and makes volumes with the header calls and its own client of
# Transit, against the command with libenvol-kms: what one makes, the other opens.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$OLDPWD/tests

if [[ " ${PROVIDERS:-} " != *' kms '* ]]; then
    echo "SKIP $program: this build has no libenvol-kms"
    echo "$program: 0 passed, 0 failed"
    exit 0
fi
unset VAULT_NAMESPACE VAULT_CACERT VAULT_ROLE_ID VAULT_SECRET_ID "${!BAO_@}" "${!http@}" ALL_PROXY
export VAULT_TOKEN=test-token
page_bytes=16336 # of the default stride

start_service() {
    local port
    coproc SERVICE { exec python3 "$tests/kms_server.py" 2>service.log; }
    # shellcheck disable=SC2153 # coproc sets it
    children+=("$SERVICE_PID")
    read -r -t 30 port <&"${SERVICE[0]}" || return 1
    export VAULT_ADDR=http://127.0.0.1:$port
}

# service LINE...: a control line; its answer is in $answer.
service() {
    echo "$*" >&"${SERVICE[1]}"
    read -r -t 30 answer <&"${SERVICE[0]}"
}

# counted WHAT NUMBER: so many requests of a kind came since the last reset.
counted() {
    service count "$1"
    holds test "$answer" = "$2"
}

# done_by_loop VERB...: event_loop succeeds, and says nothing but its heartbeat.
done_by_loop() {
    run event_loop "$@"
    if [ "$status" -eq 0 ] && [ "$(grep -vc '^heartbeat: ' err)" -eq 0 ]; then
        good
    else
        bad "exit $status: event_loop $*"
    fi
}

# refused_by_loop ENVOL_E_NAME VERB...: it fails with this status.
refused_by_loop() {
    local name=$1
    shift
    run event_loop "$@"
    if [ "$status" -eq 1 ] && [ ! -s out ] && grep -q "^event_loop: .*($name)\$" err; then
        good
    else
        bad "exit $status, not 1 and $name: event_loop $*"
    fi
}

# wrappings FILE: how often wrappings of Transit's occur in it, by version.
wrappings() { grep -a -o 'vault:v[0-9]*:' "$1" | sort | uniq -c | tr -s ' \n' ' '; }

test_usage() {
    for words in '' create 'create v' 'read v transit/users' 'explode v transit/users'; do
        # shellcheck disable=SC2086 # words
        run event_loop $words
        holds test "$status" -eq 2
    done
    refused_by_loop ENVOL_E_IO read missing transit/users 0
    refused_by_loop ENVOL_E_ARGUMENT read loop.vol transit/users x
    refused_by_loop ENVOL_E_ARGUMENT create bad.vol nokey pages
    VAULT_ADDR=http://192.0.2.1 refused_by_loop ENVOL_E_ARGUMENT create bad.vol transit/users pages
    VAULT_ADDR=http://127.0.0.1.example.org refused_by_loop ENVOL_E_ARGUMENT read loop.vol transit/users 0
    lacks test -e bad.vol
}

test_create() {
    service reset
    done_by_loop create loop.vol transit/users pages
    counted datakey 1
    counted decrypt 1
    ok envol verify loop.vol --cmk vault:transit/users
    ok envol info loop.vol --cmk vault:transit/users --json
    holds json out 'j["verified"] and j["high_water"] == 3 and len(j["slots"]) == 1'
    holds json out '(j["slots"][0]["provider"], j["slots"][0]["key_ref"], j["slots"][0]["key_version"]) == ("vault", "transit/users", "1")'
    refused_by_loop ENVOL_E_IO create loop.vol transit/users pages
    refused_by_loop ENVOL_E_UNSUPPORTED create bad.vol transit/plain pages
    refused_by_loop ENVOL_E_KEY_NOT_FOUND create bad.vol transit/missing pages
    refused_by_loop ENVOL_E_IO create bad.vol transit/users missing
    # A wrapping that does not undo to the same DEK: that of the second call here, not of the third.
    service reset
    service fault other
    service times 2
    refused_by_loop ENVOL_E_WRONG_KEY create bad.vol transit/users pages
    counted decrypt 1
    lacks test -e bad.vol
}

test_read() {
    cp pages padded && truncate -s $((3 * page_bytes)) padded
    for page in 0 1 2; do
        done_by_loop read loop.vol transit/users $page
        holds cmp out <(tail -c +$((page * page_bytes + 1)) padded | head -c $page_bytes)
    done
    refused_by_loop ENVOL_E_RANGE read loop.vol transit/users 3
    refused_by_loop ENVOL_E_NO_PROVIDER read loop.vol transit/others 0
    cp loop.vol moved.vol && flip moved.vol 66000
    refused_by_loop ENVOL_E_CORRUPT read moved.vol transit/users 0
    # What the command makes, it opens too: page 1 is the first that was imported.
    ok envol create command.vol --cmk vault:transit/users
    ok envol import command.vol --cmk vault:transit/users pages
    service reset
    done_by_loop read command.vol transit/users 1
    counted decrypt 1
    holds cmp out <(head -c $page_bytes pages)
}

# The slot of a service that fails, and what is said of it.
test_failures() {
    service state users Disabled
    refused_by_loop ENVOL_E_KEY_DISABLED read loop.vol transit/users 0
    service state users Enabled
    VAULT_TOKEN=wrong refused_by_loop ENVOL_E_KEY_DENIED read loop.vol transit/users 0
    VAULT_ADDR=http://127.0.0.1:1 refused_by_loop ENVOL_E_UNREACHABLE read loop.vol transit/users 0
    service fault other
    refused_by_loop ENVOL_E_WRONG_KEY read loop.vol transit/users 0
    for fault in html empty array half twice members short base64; do
        service fault $fault
        refused_by_loop ENVOL_E_PROVIDER read loop.vol transit/users 0
    done
    for fault in cut cut-body oversized garbage; do
        service fault $fault
        refused_by_loop ENVOL_E_UNREACHABLE read loop.vol transit/users 0
    done
    service reset
    done_by_loop read loop.vol transit/users 0
}

# The timer goes on ticking while an answer is 1.5 seconds away; 75 ticks, if the machine is idle.
test_heartbeat() {
    local ticks
    service fault slow 1500
    service times 1
    done_by_loop read loop.vol transit/users 0
    ticks=$(sed -n 's/^heartbeat: .* \([0-9]*\) in calls.*/\1/p' err)
    holds test "${ticks:-0}" -ge 20
    service fault slow 300
    done_by_loop rewrap loop.vol transit/users
    ticks=$(sed -n 's/^heartbeat: .* \([0-9]*\) in calls.*/\1/p' err)
    holds test "${ticks:-0}" -ge 15
    service reset
}

test_rewrap() {
    cp loop.vol old.vol
    holds test "$(wrappings loop.vol)" = ' 2 vault:v1: '
    service rotate users
    service reset
    done_by_loop rewrap loop.vol transit/users
    counted rewrap 1
    counted decrypt 2
    # In both copies, and the old one in neither; the pages are as they were.
    holds test "$(wrappings loop.vol)" = ' 2 vault:v2: '
    holds cmp <(tail -c +65537 loop.vol) <(tail -c +65537 old.vol)
    service floor users 2
    ok envol verify loop.vol --cmk vault:transit/users
    done_by_loop read loop.vol transit/users 2
    refused ENVOL_E_KEY_DISABLED envol verify old.vol --cmk vault:transit/users
    refused_by_loop ENVOL_E_KEY_DISABLED read old.vol transit/users 0
    service floor users 1
    # A volume that the command made; and the command rewraps what this program did.
    done_by_loop rewrap command.vol transit/users
    ok envol export command.vol --cmk vault:transit/users
    holds cmp out pages
    ok envol rewrap loop.vol --cmk vault:transit/users --to vault:transit/users
    done_by_loop read loop.vol transit/users 0
}

test_slots() {
    local id
    service reset
    done_by_loop add loop.vol transit/users transit/others
    counted encrypt 1
    ok envol verify loop.vol --cmk vault:transit/others
    ok envol verify loop.vol --cmk vault:transit/users
    refused_by_loop ENVOL_E_UNSUPPORTED add loop.vol transit/users transit/plain
    done_by_loop rewrap loop.vol transit/others
    ok envol slot list loop.vol --json
    holds json out '[s["key_ref"] for s in j["slots"]] == ["transit/users", "transit/others"]'
    id=$(python3 -c 'import json; print(json.load(open("out"))["slots"][0]["id"])')
    cp loop.vol twice.vol
    ok envol slot remove loop.vol "$id" --cmk vault:transit/others
    refused_by_loop ENVOL_E_NO_PROVIDER read loop.vol transit/users 0
    done_by_loop read loop.vol transit/others 1
}

# What test_slots left: slots of users and of others, in two copies of the header.
test_remove() {
    local users others
    ok envol slot list twice.vol --json
    users=$(python3 -c 'import json; print(json.load(open("out"))["slots"][0]["id"])')
    others=$(python3 -c 'import json; print(json.load(open("out"))["slots"][1]["id"])')
    holds test "$(wrappings twice.vol | tr -s ' ' '\n' | grep -c vault)" -gt 0
    for words in "x" "" "-1" "$users "x "4294967296"; do
        refused_by_loop ENVOL_E_ARGUMENT remove twice.vol transit/users "$words"
    done
    refused_by_loop ENVOL_E_ARGUMENT remove twice.vol transit/users 77
    service reset
    service fault slow 300
    done_by_loop remove twice.vol transit/others "$users"
    service reset
    # Of neither copy is the slot; its key opens nothing, the other one all.
    ok envol slot list twice.vol --json
    holds json out '[s["key_ref"] for s in j["slots"]] == ["transit/others"]'
    lacks grep -aq transit/users twice.vol
    refused_by_loop ENVOL_E_NO_PROVIDER read twice.vol transit/users 0
    done_by_loop read twice.vol transit/others 2
    ok envol verify twice.vol --cmk vault:transit/others
    refused_by_loop ENVOL_E_STATE remove twice.vol transit/others "$others"
    done_by_loop read twice.vol transit/others 0
    # The key of a slot may be removed with that very slot, as long as another is left.
    done_by_loop add twice.vol transit/others transit/users
    done_by_loop remove twice.vol transit/others "$others"
    refused_by_loop ENVOL_E_NO_PROVIDER read twice.vol transit/others 0
    done_by_loop read twice.vol transit/users 0
}

# A volume that another process writes keeps its header.
test_locks() {
    local holder
    python3 - loop.vol <<'PYTHON' &
import fcntl, os, struct, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1 << 62, 1, 0))  # F_OFD_SETLK
open("locked", "w").close()
time.sleep(60)
PYTHON
    holder=$!
    children+=("$holder")
    for _ in {1..200}; do
        if [ -e locked ]; then break; fi
        sleep 0.05
    done
    refused_by_loop ENVOL_E_BUSY rewrap loop.vol transit/others
    done_by_loop read loop.vol transit/others 0
    kill "$holder" && wait "$holder" 2>/dev/null
    done_by_loop rewrap loop.vol transit/others
}

test_secrets() {
    lacks grep -q "$VAULT_TOKEN" everything
    lacks grep -q "$VAULT_TOKEN" loop.vol
}

head -c $((2 * page_bytes + 1000)) random >pages
if ! start_service; then
    cat service.log
    echo "$program: 0 passed, 1 failed"
    exit 1
fi
service key users derived
service key others derived
service key plain plain
run_parts usage create read failures heartbeat rewrap slots remove locks secrets
result=$?
# It ends with its input.
eval "exec ${SERVICE[1]}>&-"
wait "$SERVICE_PID"
[ "$result" -eq 0 ]
