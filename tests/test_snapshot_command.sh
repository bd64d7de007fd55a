#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol snapshot, and export and verify of one.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

test_usage() {
    misused 'snapshot: create, list or delete?' envol snapshot
    misused 'snapshot explode: unknown verb' envol snapshot explode s.vol
    for verb in create list delete; do misused 'VOL is missing' envol snapshot $verb; done
    misused 'ENVOL_CMK is not set' envol snapshot create s.vol
    misused 'not the UUID of a snapshot' envol snapshot delete s.vol --cmk file:one.key
    misused 'not the UUID of a snapshot' envol snapshot delete s.vol 17 --cmk file:one.key
    misused 'not a UUID' envol verify s.vol --cmk file:one.key --snapshot 17
    misused 'space is empty' envol snapshot create s.vol --cmk file:one.key --space ''
    misused '--space: given twice' envol snapshot create s.vol --cmk file:one.key --space a --space b
}

test_life() {
    ok envol create s.vol --cmk file:one.key
    ok envol import s.vol --cmk file:one.key cmk.txt
    ok envol snapshot list s.vol --json
    holds json out 'j["snapshots"] == [] and not j["verified"]'
    holds test ! -e s.vol.d
    ok envol snapshot create s.vol --cmk file:one.key
    first=$(cat out)
    holds test -f "s.vol.d/snapshot-$first"
    ok envol import s.vol --cmk file:one.key --force other
    ok envol export s.vol --cmk file:one.key
    holds cmp out other
    ok envol export s.vol --cmk file:one.key --snapshot "$first"
    holds cmp out cmk.txt
    ok envol verify s.vol --cmk file:one.key --snapshot "$first"
    ok envol info s.vol
    holds grep -q "^snapshot     $first, .* pages, of " out
    ok envol info s.vol --cmk file:one.key --json
    holds json out "[s['uuid'] for s in j['snapshots']] == ['$first']"
    ok envol rotate s.vol --cmk file:one.key
    holds grep -q '; the DEK of epoch 1 is kept$' out
    ok envol export s.vol --cmk file:one.key --snapshot "$first"
    holds cmp out cmk.txt
    ok envol info s.vol --cmk file:one.key --ledger
    holds grep -q 'epoch 1: 0 pages, 0 holes, 1 snapshots; is needed' out
    ok envol info s.vol --cmk file:one.key --ledger --json
    holds json out '[e["snapshots"] for e in j["ledger"]["epochs"]] == [0, 1]'
    ok envol snapshot list s.vol --cmk file:one.key
    holds grep -q "$first" out
    refused ENVOL_E_RANGE envol snapshot delete s.vol "${first//[0-9]/a}" --cmk file:one.key
    refused ENVOL_E_RANGE envol verify s.vol --cmk file:one.key --snapshot "${first//[0-9]/a}"
    ok envol snapshot delete s.vol "$first" --cmk file:one.key
    holds test ! -e "s.vol.d/snapshot-$first"
    ok envol verify s.vol --cmk file:one.key
}

test_space() {
    ok envol create t.vol --cmk file:one.key
    ok envol import t.vol --cmk file:one.key cmk.txt
    ok envol snapshot create t.vol --cmk file:one.key --space elsewhere
    uuid=$(cat out)
    holds test ! -e t.vol.d
    refused ENVOL_E_STATE envol import t.vol --cmk file:one.key --force other
    holds grep -q 'give the space' err
    ok envol import t.vol --cmk file:one.key --force --space elsewhere cmk.txt
    ok envol export t.vol --cmk file:one.key
    holds cmp out cmk.txt
    ok envol verify t.vol --cmk file:one.key --space elsewhere --snapshot "$uuid"
    refused ENVOL_E_RANGE envol verify t.vol --cmk file:one.key --snapshot "$uuid"
}

test_damaged() {
    ok envol create d.vol --cmk file:one.key
    ok envol import d.vol --cmk file:one.key cmk.txt
    ok envol snapshot create d.vol --cmk file:one.key
    first=$(cat out)
    ok envol snapshot create d.vol --cmk file:one.key
    second=$(cat out)
    truncate -s 100 "d.vol.d/snapshot-$first"
    refused ENVOL_E_CORRUPT envol import d.vol --cmk file:one.key --force other
    refused ENVOL_E_CORRUPT envol snapshot delete d.vol "$first" --cmk file:one.key
    refused ENVOL_E_RANGE envol snapshot delete d.vol "${first//[0-9]/a}" --force --cmk file:one.key
    ok envol snapshot delete d.vol "$first" --force --cmk file:one.key
    holds test ! -e "d.vol.d/snapshot-$first"
    ok envol import d.vol --cmk file:one.key --force other
    ok envol export d.vol --cmk file:one.key --snapshot "$second"
    holds cmp out cmk.txt
}

test_secrets() { search_secrets s.vol one.key; }

envol keygen one.key
head -c 300000 /dev/urandom >other
run_parts usage life space damaged secrets
