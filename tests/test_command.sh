#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The command envol: every verb and every way to use it wrongly, keys in each state, several slots,
# the environment, JSON, the progress bar, and what the output must not hold.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

test_usage() {
    misused 'a verb is missing' envol
    misused 'unknown verb' envol explode
    misused 'named twice' envol create v --cmk file:k --cmk file:k
    misused 'given twice' envol create v --cmk file:k --suite aes-256-gcm --suite aes-256-xts
    misused 'given twice' envol create v --cmk file:k --page-size 4K --page-size=8K
    misused 'unknown verb' envol create2 v
    misused 'show, disable, enable, rotate' envol key
    misused 'key explode: unknown verb' envol key explode k
    misused '--frob: unknown option' envol info --frob v
    misused '-x: unknown option' envol info --json -xh v
    misused '-@: unknown option' envol info -@ v
    misused '--cmk: its value is missing' envol info v --cmk
    misused '--json: takes no value' envol info v --json=yes
    misused '--help: takes no value' envol --help=me
    misused 'one operand too many' envol info v w
    misused 'one operand too many' envol import v --cmk file:k a b
    misused 'one operand too many' envol key show k b c d e f
    misused 'name of FILE is empty' envol import v --cmk file:k ''
    for verb in keygen 'key show' 'key disable' 'key enable' 'key rotate' 'key schedule-deletion'; do
        # shellcheck disable=SC2086 # one word or two
        misused 'FILE is missing' envol $verb
        # shellcheck disable=SC2086
        misused '--cmk does not apply' envol $verb k --cmk file:k
    done
    for verb in create import export info verify; do
        misused 'VOL is missing' envol $verb --cmk file:k
        misused 'VOL is missing' envol $verb '' --cmk file:k
        misused 'unknown key service; known: file:PATH' envol $verb v --cmk gcp-kms:x
        misused 'is file:cmk.key meant?' envol $verb v --cmk cmk.key
        misused 'the path is missing' envol $verb v --cmk file:
        [ $verb = info ] || misused 'ENVOL_CMK is not set' envol $verb v
        [ $verb = info ] || misused '--json does not apply' envol $verb v --json
    done
    misused '--force does not apply' envol create v --cmk file:k --force
    misused '--sparse does not apply' envol import v --cmk file:k --sparse
    misused '--suite does not apply' envol info v --suite aes-256-gcm
    misused '--page-size does not apply' envol verify v --page-size 4K
    misused 'there is aes-256-gcm and aes-256-xts' envol create v --cmk file:k --suite null
    for size in 0 '' 3 559 x 4K4 -4096 16M1 17M 99999999999 18446744073709555712; do
        misused '--page-size' envol create v --cmk file:k --page-size "$size"
    done
    for size in 511 513 12K 32M; do
        misused 'power of two' envol create v --cmk file:k --suite aes-256-xts --page-size $size
    done
    local nine=()
    for n in 1 2 3 4 5 6 7 8 9; do nine+=(--cmk "file:k$n"); done
    misused 'at most 8 slots' envol create v "${nine[@]}"
    misused 'unknown verb: two lines?' envol 'unknown verb: two lines
'
    lacks test -e v
    ok envol --help
    for verb in keygen create import export info verify 'key rotate'; do
        holds grep -q "envol $verb " out
    done
    ok envol import --help
    holds grep -q '^usage: envol import VOL' out
    ok envol --version
    holds grep -qx 'envol [0-9.]* (AES: .*)' out
}

test_keys() {
    ok envol keygen cmk.key
    holds test "$(mode cmk.key)" = 600
    cp cmk.key before
    refused ENVOL_E_STATE envol keygen cmk.key
    holds cmp before cmk.key
    refused ENVOL_E_IO envol keygen nowhere/cmk.key
    ok envol key show cmk.key
    holds grep -qx 'state        enabled' out
    ok envol key show --json file:cmk.key
    holds json out 'j["state"] == "enabled" and j["provider"] == "file" and j["key_version"] == "1"'
    ok envol key rotate cmk.key
    ok envol key disable file:cmk.key
    ok envol key show cmk.key --json
    holds json out 'j["state"] == "disabled" and j["key_version"] == "2" and len(j["key_ref"]) == 36'
    ok envol key schedule-deletion cmk.key
    ok envol key show --json cmk.key
    holds json out 'j["state"] == "pending-deletion"'
    ok envol key enable cmk.key
    holds test "$(mode cmk.key)" = 600
    ln -s cmk.key link.key
    ok envol key show link.key
    cp cmk.key open.key && chmod 644 open.key
    cp cmk.key torn.key && flip torn.key 60
    for verb in show disable enable rotate schedule-deletion; do
        refused ENVOL_E_KEY_NOT_FOUND envol key $verb missing.key
        refused ENVOL_E_FORMAT envol key $verb foreign.key
        refused ENVOL_E_KEY_DENIED envol key $verb open.key
        refused ENVOL_E_CORRUPT envol key $verb torn.key
        [ $verb = show ] || refused ENVOL_E_STATE envol key $verb link.key
    done
    rm link.key
}

test_create() {
    ok envol create a.vol --cmk file:cmk.key
    holds test "$(mode a.vol)" = 600
    holds test "$(stat -c %s a.vol)" -eq 65536
    cp a.vol before
    refused ENVOL_E_STATE envol create a.vol --cmk file:cmk.key
    holds cmp before a.vol
    refused ENVOL_E_IO envol create nowhere/v --cmk file:cmk.key
    refused ENVOL_E_KEY_NOT_FOUND envol create v --cmk file:missing.key
    refused ENVOL_E_KEY_NOT_FOUND envol create v --cmk file:cmk.key --cmk file:missing.key
    lacks test -e v
    ok envol create x.vol --suite aes-256-xts --page-size 64k --cmk=file:cmk.key
    ok envol info --json x.vol
    holds json out '(j["suite"], j["page_bytes"], j["stride_bytes"]) == ("aes-256-xts", 65536, 65536)'
    ok envol create --page-size 1M --sparse --cmk file:cmk.key -- -dash.vol
    ok envol info --json ./-dash.vol
    holds json out 'j["sparse"] and (j["page_bytes"], j["stride_bytes"]) == (1048528, 1048576)'
}

test_slots() {
    envol keygen two.key
    ok envol create two.vol --cmk file:cmk.key --cmk file:two.key
    ok envol import two.vol --cmk file:two.key cmk.txt
    ok envol export two.vol --cmk file:cmk.key two.out
    holds cmp cmk.txt two.out
    ok envol info two.vol --cmk file:two.key --json
    holds json out 'len(j["slots"]) == 2 and j["opened_slot"] == j["slots"][1]["id"]'
    ok envol key disable cmk.key
    refused ENVOL_E_KEY_DISABLED envol verify two.vol --cmk file:cmk.key
    ok envol verify two.vol --cmk file:cmk.key --cmk file:two.key
    ok envol key enable cmk.key
}

# same_id KEY OTHER: a key file of KEY's id with another key in it.
same_id() {
    python3 - "$1" "$2" <<'PYTHON'
import os
import sys

image = bytearray(open(sys.argv[1], "rb").read()[:-4])
image[56:88] = bytes(b ^ 255 for b in image[56:88])
crc = 0xFFFFFFFF
for byte in image:
    crc ^= byte
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
with open(sys.argv[2], "wb") as out:
    os.fchmod(out.fileno(), 0o600)
    out.write(image + (crc ^ 0xFFFFFFFF).to_bytes(4, "little"))
PYTHON
}

test_key_states() {
    envol keygen s.key
    ok envol create s.vol --cmk file:s.key
    ok envol import s.vol --cmk file:s.key cmk.txt
    envol keygen other.key
    same_id s.key wrong.key
    for verb in info export verify; do
        envol key disable s.key
        refused ENVOL_E_KEY_DISABLED envol $verb s.vol --cmk file:s.key
        holds grep -q 'envol key enable' err
        holds test ! -s out
        envol key schedule-deletion s.key
        refused ENVOL_E_KEY_PENDING_DELETION envol $verb s.vol --cmk file:s.key
        envol key enable s.key
        refused ENVOL_E_KEY_NOT_FOUND envol $verb s.vol --cmk file:other.key
        refused ENVOL_E_KEY_NOT_FOUND envol $verb s.vol --cmk file:missing.key
        refused ENVOL_E_WRONG_KEY envol $verb s.vol --cmk file:wrong.key
        refused ENVOL_E_FORMAT envol $verb s.vol --cmk file:foreign.key
        chmod 640 s.key
        refused ENVOL_E_KEY_DENIED envol $verb s.vol --cmk file:s.key
        chmod 600 s.key
    done
    envol key disable s.key
    refused ENVOL_E_KEY_DISABLED envol create s2.vol --cmk file:s.key
    lacks test -e s2.vol
    ok envol info s.vol
    envol key enable s.key
    ok envol key rotate s.key
    holds cmp cmk.txt <(envol export s.vol --cmk file:s.key)
}

# Root may lock what it likes, unless it lays that capability down.
test_locked_memory() {
    local drop=()
    if [ "$(id -u)" -eq 0 ]; then drop=(setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock); fi
    if ! "${drop[@]}" true 2>/dev/null; then
        echo 'SKIP limit on locked memory: setpriv(1) is missing or may not drop capabilities'
        return
    fi
    unlocked() {
        # shellcheck disable=SC2016,SC2317 # the inner shell's; called by refused
        "${drop[@]}" bash -c 'ulimit -l 0 && exec "$@"' - "$@"
    }
    for verb in verify export; do
        refused ENVOL_E_LOCKED_MEMORY unlocked envol $verb a.vol --cmk file:cmk.key
        holds grep -q 'ulimit -l' err
    done
    refused ENVOL_E_LOCKED_MEMORY unlocked envol create l.vol --cmk file:cmk.key
    lacks test -e l.vol
    refused ENVOL_E_LOCKED_MEMORY unlocked envol keygen l.key
    lacks test -e l.key
    ok unlocked envol info a.vol
}

test_environment() {
    ok env ENVOL_CMK=file:cmk.key envol create v.vol
    ok env ENVOL_CMK=file:cmk.key envol import v.vol cmk.txt
    ok env ENVOL_CMK=file:cmk.key envol verify v.vol
    ok env ENVOL_CMK=file:cmk.key envol export v.vol
    holds cmp out cmk.txt
    ok env ENVOL_CMK=file:cmk.key envol info v.vol --json
    holds json out 'j["verified"]'
    ok env ENVOL_CMK=file:missing.key envol verify v.vol --cmk file:cmk.key
    ok env ENVOL_CMK=nonsense envol key show cmk.key
    misused 'is file:nonsense meant?' env ENVOL_CMK=nonsense envol verify v.vol
    misused 'ENVOL_CMK is not set' env ENVOL_CMK= envol verify v.vol
    ok env ENVOL_CMK= envol info v.vol
    holds grep -q UNVERIFIED out
}

test_info() {
    local name=$'quo"te\\ \n\x1b[31m \xff \xc2\x9b \xc3\xa9.vol'
    ok envol create "$name" --cmk file:cmk.key
    ok envol import "$name" --cmk file:cmk.key cmk.txt
    ok envol info "$name" --json
    cp out unverified.json
    holds json out 'not j["verified"] and j["pages"] is None and j["content"] is None'
    holds json out '"quo\"te\\ \n\x1b[31m " in j["path"] and "\ufffd" in j["path"] and "\x9b" in j["path"]'
    ok envol info "$name" --json --cmk file:cmk.key
    cp out verified.json
    holds json out 'j["verified"] and j["pages"] == 2 and j["high_water"] == 2 and j["clean"]'
    holds json out '(j["epoch"], j["lowest_epoch"], j["retained_epochs"]) == (1, 1, 0)'
    holds json out 'j["seal_limit"] == 2 ** 45 and 3 <= j["seal_estimate"] < 10'
    holds json out 'j["generation"] > 1 and len(j["uuid"]) == 36 and j["data_offset"] == 65536'
    holds json out 'j["page_bytes"] == 16336 and j["stride_bytes"] == 16384 and not j["sparse"]'
    holds json out 'j["content"] == "import" and j["keys_locked"] is True and j["opened_slot"] == 1'
    holds json out '(j["lease_state"], j["lease_status"]) == ("available", "ENVOL_OK")'
    # Asked just now; again in 5 minutes, or up to a tenth earlier.
    holds json out '0 <= time.time() - seconds(j["lease_checked_at"]) < 60'
    holds json out '268 <= seconds(j["lease_next_check_at"]) - seconds(j["lease_checked_at"]) <= 301'
    holds json out 'j["lease_deadline_at"] is None'
    holds json unverified.json 'all(j["lease_" + m] is None for m in ("checked_at", "next_check_at", "deadline_at"))'
    holds json out '[s["provider"] for s in j["slots"]] == ["file"]'
    holds json out 'j["slots"][0]["key_version"] == "2" and j["slots"][0]["created_at"].endswith("Z")'
    holds python3 -c 'import json
a, b = (json.load(open(name)) for name in ("unverified.json", "verified.json"))
assert list(a) == list(b) and list(a["slots"][0]) == list(b["slots"][0])'
    refused ENVOL_E_KEY_NOT_FOUND envol info "$name" --cmk file:missing.key
    run env ENVOL_CMK=file:missing.key envol info "$name" --json
    holds test "$status" -eq 0
    holds grep -q 'ENVOL_E_KEY_NOT_FOUND' err
    holds json out 'not j["verified"] and j["slots"][0]["provider"] == "file"'
    holds json verified.json 'j["whole_copies"] == 2'
    printf damaged | dd of="$name" bs=1 seek=300 conv=notrunc status=none
    ok envol info "$name" --json
    holds json out 'j["whole_copies"] == 1'
    refused ENVOL_E_CORRUPT envol verify "$name" --cmk file:cmk.key
    rm "$name"
    # A hostile name stays one line, and harmless.
    refused ENVOL_E_IO envol info "$name"
    lacks grep -q $'\x1b' err
    ok envol info a.vol
    holds grep -q '^header  *UNVERIFIED' out
    ok envol info a.vol --cmk file:cmk.key
    holds grep -q '^header  *verified, by slot 1$' out
    holds grep -q '^lease  *available: .*: success$' out
    holds grep -Eq '^checked  *20[^ ]*Z, to be checked again at 20[^ ]*Z, in this process alone$' out
    holds grep -q '2^45' out
}

test_progress() {
    if ! script -qec true /dev/null </dev/null >/dev/null 2>&1; then
        echo 'SKIP progress bar: script(1) is missing or has no terminal'
        return
    fi
    for verb in 'import p.vol --force random' 'export p.vol --force p.out' 'verify p.vol'; do
        [ -e p.vol ] || envol create p.vol --cmk file:cmk.key
        run script -qec "envol $verb --cmk file:cmk.key" /dev/null </dev/null
        holds test "$status" -eq 0
        holds grep -q $'\r'"${verb%% *} \\[##*\\] 100 %" out
    done
    # Standard error in a pipe, the rest on a terminal.
    run script -qec 'envol import p.vol --force random --cmk file:cmk.key 2>p.err' /dev/null </dev/null
    holds test "$status" -eq 0
    holds test ! -s p.err
}

test_secrets() {
    search_secrets a.vol cmk.key s.vol s.key v.vol cmk.key two.vol two.key
}

run_parts usage keys create slots key_states locked_memory environment info progress secrets
