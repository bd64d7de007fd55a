#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol backup --record, envol catalog, and what envol info --ledger makes of both.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

to=(--cmk file:one.key --to file:backup.key)
one=(--cmk file:one.key)

test_usage() {
    misused 'catalog: list or forget?' envol catalog
    misused 'catalog explode: unknown verb' envol catalog explode v.vol
    misused 'VOL is missing' envol catalog list "${one[@]}"
    misused 'ENVOL_CMK is not set' envol catalog list v.vol
    misused 'not the UUID of a backup' envol catalog forget v.vol "${one[@]}"
    misused 'not the UUID of a backup' envol catalog forget v.vol 17 "${one[@]}"
    misused 'do not go together' envol catalog forget v.vol 17 --all "${one[@]}"
    misused '--verify takes no --record' envol backup --verify --record --from file:backup.key b
    misused '--cmk URI is missing' envol backup v.vol --raw --record b
    misused '--snapshot only reads it' envol backup v.vol "${to[@]}" --record b \
        --snapshot 00000000-0000-4000-8000-000000000000
}

# fails_at CALL PATH OUT COMMAND...: the command, and then again with its last such call on PATH failing;
# OUT is removed before each.
fails_at() {
    local call=$1 path=$2 out=$3 n
    shift 3
    rm -f "$out"
    ok strace -f -y -qq -o calls -e trace="$call" "$@"
    n=$(grep "$call" calls | grep -n "<[^>]*/$path>" | tail -n 1 | cut -d : -f 1)
    rm -f "$out"
    run strace -f -qq -o calls -e trace="$call" -e inject="$call:error=EIO:when=$n" "$@"
    holds test "$status" -eq 1
    holds grep -q INJECTED calls
}

# The catalog keeps what came to its place, and says it if it has what did not.
test_places() {
    if ! strace -o calls true 2>/dev/null; then
        echo "SKIP $program: strace does not run here"
        return
    fi
    local want=2 form
    mkdir there
    envol create f.vol "${one[@]}" && envol import f.vol "${one[@]}" cmk.txt
    envol backup f.vol "${one[@]}" --raw --record before
    for form in --to=file:backup.key --raw; do
        fails_at fsync there there/b envol backup f.vol "${one[@]}" $form --record there/b
        holds test -e there/b
        ok envol catalog list f.vol "${one[@]}"
        holds test "$(grep -c ', b$' out)" -eq "$want"
        want=$((want + 2))
    done
    fails_at fdatasync f.vol there/b envol backup f.vol --raw --record "${one[@]}" there/b
    holds test ! -e there/b
    holds grep -q '^envol: backup: the catalog has it all the same: envol catalog forget f.vol ' err
}

test_life() {
    envol create v.vol "${one[@]}" && envol import v.vol "${one[@]}" random
    ok envol catalog list v.vol "${one[@]}" --json
    holds json out 'j["backups"] == []'
    ok envol backup v.vol "${to[@]}" plain
    holds test ! -e v.vol.d
    ok envol backup v.vol "${to[@]}" --to file:one.key --record --changes list first
    ok envol backup v.vol "${to[@]}" --record --changes list second
    ok envol catalog list v.vol "${one[@]}" --json
    holds json out '[(b["form"], b["label"]) for b in j["backups"]] == [("full", "first"), ("incremental", "second")]'
    holds json out 'all(b["finished"] for b in j["backups"])'
    holds json out 'j["backups"][1]["parent"] == j["backups"][0]["uuid"]'
    holds json out "j['backups'][0]['bytes'] == $(stat -c %s first)"
    holds json out '[len(b["cmks"]) for b in j["backups"]] == [2, 1]'
    first=$(python3 -c 'import json; print(json.load(open("out"))["backups"][0]["uuid"])')
    ok envol catalog list v.vol "${one[@]}"
    holds grep -q "^backup       $first, full, of .*, first\$" out
    refused ENVOL_E_RANGE envol catalog forget v.vol "${first//[0-9]/a}" "${one[@]}"
}

test_ledger() {
    ok envol info v.vol "${one[@]}" --ledger
    holds grep -q '^ledger       2 backups$' out
    holds grep -q 'no slot, 2 backups; is needed$' out
    holds grep -q 'slot 1, .*, 1 backups; is needed$' out
    ok envol slot add v.vol "${to[@]}"
    ok envol info v.vol "${one[@]}" --ledger --json
    holds json out '[s["backups"] for s in j["ledger"]["slots"]] == [1, 2]'
    holds json out '[s["may_retire"] for s in j["ledger"]["slots"]] == [False, False]'
    holds json out 'j["ledger"]["backups"] == 2 and j["ledger"]["backup_cmks"] == []'
    ok envol catalog forget v.vol "$first" "${one[@]}"
    ok envol info v.vol "${one[@]}" --ledger --json
    holds json out '[s["may_retire"] for s in j["ledger"]["slots"]] == [True, False]'
    ok envol info v.vol "${one[@]}" --ledger --space empty --json
    holds json out 'j["ledger"]["catalog"] == "ENVOL_E_STATE"'
    holds json out 'not any(s["may_retire"] for s in j["ledger"]["slots"])'
    ok envol slot remove v.vol 2 "${one[@]}"
}

test_raw() {
    ok envol backup v.vol --raw --record "${one[@]}" copy
    holds cmp -n 4096 -i 65536 copy v.vol
    ok envol catalog list v.vol "${one[@]}" --json
    holds json out '[b["form"] for b in j["backups"]] == ["incremental", "raw copy"]'
    ok envol info v.vol "${one[@]}" --ledger
    holds grep -q 'epoch 1, the current one: .* 1 raw copies; is needed$' out
    refused ENVOL_E_STATE envol backup v.vol --raw --record "${one[@]}" copy
    ok envol catalog list v.vol "${one[@]}" --json
    holds json out 'len(j["backups"]) == 2'
}

test_rotation() {
    ok envol rotate v.vol "${one[@]}"
    ok envol catalog list v.vol "${one[@]}" --json
    holds json out 'len(j["backups"]) == 2'
    holds test "$(find v.vol.d -type f | wc -l)" -eq 1
    truncate -s -1 v.vol.d/backups-*
    refused ENVOL_E_CORRUPT envol catalog list v.vol "${one[@]}"
    refused ENVOL_E_CORRUPT envol backup v.vol "${to[@]}" --record third
    holds test ! -e third
    ok envol export v.vol "${one[@]}"
    holds cmp out random
    ok envol catalog forget v.vol --all "${one[@]}"
    ok envol catalog list v.vol "${one[@]}"
    holds test ! -s out
    holds test -z "$(find v.vol.d -type f)"
    : >out
}

# What does not come to its place is not in the catalog.
test_failures() {
    mkdir -p closed
    refused ENVOL_E_IO envol backup v.vol "${to[@]}" --record /dev/full
    ok envol catalog list v.vol "${one[@]}"
    holds test ! -s out
}

test_secrets() { search_secrets v.vol one.key; }

envol keygen one.key
envol keygen backup.key
mkdir empty
run_parts usage life ledger raw rotation failures places secrets
