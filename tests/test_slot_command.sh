#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol slot, and what the command says of slots: of an open that fails, of newer key versions.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
cheap='memory=19M,passes=2'

test_usage() {
    misused 'slot: list, add or remove?' envol slot
    misused 'slot explode: unknown verb' envol slot explode s.vol
    for verb in list add remove; do misused 'VOL is missing' envol slot $verb; done
    misused '--to URI is missing' envol slot add s.vol --cmk file:one.key
    misused 'is file:two.key meant?' envol slot add s.vol --cmk file:one.key --to two.key
    misused 'unknown key service' envol slot add s.vol --cmk file:one.key --to nowhere:x
    misused 'ENVOL_CMK is not set' envol slot add s.vol --to file:two.key
    misused '--to does not apply' envol slot remove s.vol 1 --cmk file:one.key --to file:two.key
    for id in '' x 0 -1 1x 99999999999; do
        run envol slot remove s.vol --cmk file:one.key -- "$id"
        holds test "$status" -eq 2
    done
    misused 'not the number of a slot' envol slot remove s.vol --cmk file:one.key
}

test_changes() {
    ok envol create s.vol --cmk file:one.key
    ok envol import s.vol --cmk file:one.key cmk.txt
    ok envol slot add s.vol --cmk file:one.key --to file:two.key
    holds grep -qx 'slot 2' out
    refused ENVOL_E_STATE envol slot add s.vol --cmk file:two.key --to file:one.key
    holds grep -q 'slot 1 is under this CMK already; envol rewrap renews it' err
    refused ENVOL_E_KEY_NOT_FOUND envol slot add s.vol --cmk file:one.key --to file:missing.key
    ok env "PASS=a passphrase" envol slot add s.vol --cmk file:two.key --to "passphrase:$cheap,env=PASS"
    ok envol slot list s.vol --json
    holds json out '[(s["id"], s["provider"]) for s in j["slots"]] == [(1, "file"), (2, "file"), (3, "passphrase")]'
    holds json out 'not j["verified"] and j["slots"][0]["state"] is None and j["slots"][0]["outdated"] is None'
    ok envol slot list s.vol
    holds grep -q '^UNVERIFIED' out
    ok env "PASS=a passphrase" envol export s.vol --cmk passphrase:env=PASS
    holds cmp out cmk.txt
    ok envol slot remove s.vol 1 --cmk file:two.key
    refused ENVOL_E_KEY_NOT_FOUND envol verify s.vol --cmk file:one.key
    ok envol verify s.vol --cmk file:two.key
    refused ENVOL_E_ARGUMENT envol slot remove s.vol 1 --cmk file:two.key
    ok envol slot remove s.vol 3 --cmk file:two.key
    refused ENVOL_E_STATE envol slot remove s.vol 2 --cmk file:two.key
    ok envol verify s.vol --cmk file:two.key
}

test_versions() {
    ok envol create v.vol --cmk file:one.key --cmk file:two.key
    envol key rotate two.key
    envol key disable one.key
    ok envol slot list v.vol --cmk file:one.key --cmk file:two.key --json
    holds json out 'j["verified"] and [s["state"] for s in j["slots"]] == ["disabled", "enabled"]'
    holds json out '[s["newest_version"] for s in j["slots"]] == ["1", "2"]'
    holds json out '[s["outdated"] for s in j["slots"]] == [False, True]'
    ok envol info v.vol --cmk file:two.key --json
    holds json out '[s["outdated"] for s in j["slots"]] == [None, True]'
    ok envol info v.vol --cmk file:two.key
    holds grep -q '^slot 2 .*, enabled, rewrap it: the newest version is 2$' out
    ok envol slot list v.vol --cmk file:one.key --cmk file:two.key
    holds grep -q '^slot 1 .*, disabled$' out
    envol key enable one.key
}

test_rewrap() {
    misused '--to URI is missing' envol rewrap w.vol --cmk file:one.key
    envol keygen w.key
    ok envol create w.vol --cmk file:w.key
    ok envol import w.vol --cmk file:w.key cmk.txt
    envol key rotate w.key
    ok envol info w.vol --cmk file:w.key --json
    holds json out 'j["slots"][0]["key_version"] == "1" and j["slots"][0]["outdated"]'
    cp w.vol old.vol
    ok envol rewrap w.vol --cmk file:w.key --to file:w.key
    ok envol info w.vol --cmk file:w.key --json
    holds json out 'j["slots"][0]["key_version"] == "2" and not j["slots"][0]["outdated"]'
    # The old wrapping is in neither copy.
    holds python3 -c 'old, new = (open(name, "rb").read() for name in ("old.vol", "w.vol"))
at = old.index(b"file", 4096) + 41; wrapped = old[at:at + 136]
assert old.count(wrapped) == 2 and new.count(wrapped) == 0 and len(new) == len(old)
assert new[65536:] == old[65536:]'
    ok envol rewrap w.vol --cmk file:w.key --to file:two.key
    refused ENVOL_E_KEY_NOT_FOUND envol verify w.vol --cmk file:w.key
    ok env "PASS=a passphrase" envol rewrap w.vol --cmk file:two.key --to "passphrase:$cheap,env=PASS"
    ok env "PASS=a passphrase" "NEW=another" envol rewrap w.vol --cmk passphrase:env=PASS --to "passphrase:$cheap,env=NEW"
    refused ENVOL_E_WRONG_KEY env "PASS=a passphrase" envol verify w.vol --cmk passphrase:env=PASS
    ok env "NEW=another" envol export w.vol --cmk passphrase:env=NEW
    holds cmp out cmk.txt
    # Two keys are given, and the slot is the second's.
    envol create x.vol --cmk file:two.key
    ok envol rewrap x.vol --cmk file:one.key --cmk file:two.key --to file:one.key
    ok envol verify x.vol --cmk file:one.key
    envol key disable one.key
    refused ENVOL_E_KEY_DISABLED env "NEW=another" envol rewrap w.vol --cmk passphrase:env=NEW --to file:one.key
    envol key enable one.key
    ok env "NEW=another" envol verify w.vol --cmk passphrase:env=NEW
    ok env "NEW=another" envol slot add w.vol --cmk passphrase:env=NEW --to file:one.key
    refused ENVOL_E_STATE env "NEW=another" envol rewrap w.vol --cmk passphrase:env=NEW --to file:one.key
}

# "None opened" says why for each, in one line.
test_outcomes() {
    envol keygen three.key
    ok env "PASS=x" envol create o.vol --cmk file:one.key --cmk file:two.key --cmk "passphrase:$cheap,env=PASS"
    envol key disable one.key
    chmod 640 two.key
    refused ENVOL_E_KEY_DISABLED env "PASS=y" envol verify o.vol --cmk file:one.key --cmk file:two.key --cmk passphrase:env=PASS
    holds grep -q 'no slot opens: slot 1 (file): one.key: the key is disabled; slot 2 (file): ' err
    holds grep -q 'two.key: mode is 0640.*; slot 3 (passphrase): the passphrase is not the one' err
    refused ENVOL_E_KEY_DISABLED envol verify o.vol --cmk file:one.key
    holds grep -q 'envol key enable' err
    chmod 600 two.key
    ok envol verify o.vol --cmk file:one.key --cmk file:two.key
    envol key enable one.key
}

test_secrets() { search_secrets s.vol two.key v.vol one.key; }

envol keygen one.key
envol keygen two.key
head -c 12000 /dev/zero >>everything
run_parts usage changes versions rewrap outcomes secrets
