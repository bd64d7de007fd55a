#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol rotate and envol info --ledger: both suites, stopped by signals, slots that are dropped, bad
# pages, and what is refused.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

test_usage() {
    misused 'VOL is missing' envol rotate --cmk file:one.key
    misused 'ENVOL_CMK is not set' envol rotate v.vol
    misused '--to does not apply' envol rotate v.vol --cmk file:one.key --to file:two.key
    misused '--resume does not apply' envol verify v.vol --cmk file:one.key --resume
    misused 'given twice' envol rotate v.vol --cmk file:one.key --throttle 1 --throttle 2
    misused '--drop-slots is of a' envol rotate v.vol --cmk file:one.key --resume --drop-slots
    misused '--ledger reads every page' envol info v.vol --ledger
    for rate in 0 '' -1 1.5 10M 10000000; do
        misused '--throttle' envol rotate v.vol --cmk file:one.key --throttle="$rate"
    done
    ok envol rotate --help
    holds grep -q -e '--abandon-bad' out
}

# filled VOL SUITE: 8 MB under one.key.
filled() {
    envol create "$1" --suite "$2" --cmk file:one.key && envol import "$1" --cmk file:one.key random
}

content_is_there() {
    run envol export "$1" --cmk "${2:-file:one.key}"
    if [ "$status" -eq 0 ] && cmp -s out random; then good; else bad "$1 is not what was imported"; fi
    : >out
}

test_whole() {
    for suite in aes-256-gcm aes-256-xts; do
        rm -f v.vol
        filled v.vol $suite
        refused ENVOL_E_STATE envol rotate v.vol --cmk file:one.key --resume
        holds grep -q 'no rotation is unfinished' err
        ok envol rotate v.vol --cmk file:one.key
        holds grep -Eq '^epoch 2: [0-9]+ pages, 0 bad; the DEK of epoch 1 is gone$' out
        ok envol rotate v.vol --cmk file:one.key --json
        holds json out '(j["epoch"], j["from_epoch"], j["resumed"], j["finished"]) == (3, 2, False, True)'
        holds json out '(j["older_dek_kept"], j["bad"], j["bad_pages"], j["dropped_slots"]) == (False, 0, [], [])'
        holds json out 'j["pages"] > 480'
        ok envol info v.vol --json --ledger --cmk file:one.key
        holds json out '(j["epoch"], j["lowest_epoch"], j["retained_epochs"], j["rotation"]) == (3, 3, 0, False)'
        holds json out '[(e["epoch"], e["pages"]) for e in j["ledger"]["epochs"]] == [(3, j["pages"])]'
        holds json out 'j["rotation_from_epoch"] is None and not j["ledger"]["slots"][0]["may_retire"]'
        content_is_there v.vol
    done
}

# What a signal leaves is read, described and gone on with; SIGKILL asks nobody.
test_signals() {
    for suite in aes-256-gcm aes-256-xts; do
        for signal in TERM KILL KILL; do
            rm -f s.vol
            filled s.vol $suite
            envol rotate s.vol --cmk file:one.key --throttle 4 >killed.out 2>killed.err &
            children=($!)
            rotates s.vol
            sleep 0.3
            kill -s $signal "${children[0]}"
            wait "${children[0]}" 2>/dev/null
            local ended=$?
            children=()
            if [ $signal = TERM ]; then
                holds test $ended -eq 1
                holds test "$(wc -l <killed.err)" -eq 1
                holds grep -q 'stopped at page [1-9].*--resume goes on (ENVOL_E_CANCELLED)$' killed.err
                ok envol info s.vol --json --cmk file:one.key --ledger
                holds json out 'j["rotation"] and j["rotation_from_epoch"] == 1 and j["epoch"] == 2'
                holds json out '0 < j["rotation_done"] < j["pages"] and j["retained_epochs"] == 1'
                holds json out 'len(j["ledger"]["epochs"]) == 2 and not any(e["may_retire"] for e in j["ledger"]["epochs"])'
                holds json out 'all(e["pages"] > 0 for e in j["ledger"]["epochs"])'
                content_is_there s.vol
                ok envol info s.vol
                holds grep -q '^rotation  *unfinished, from epoch 1$' out
            else
                holds test $ended -eq 137
            fi
            refused ENVOL_E_STATE envol rotate s.vol --cmk file:one.key
            holds grep -q 'to epoch 2 is unfinished.*--resume goes on' err
            ok envol info s.vol --cmk file:one.key
            holds grep -Eq '^rotation  *unfinished, from epoch 1: [0-9]+ of [0-9]+ pages visited' out
            ok envol rotate s.vol --cmk file:one.key --resume --json
            holds json out 'j["resumed"] and j["finished"] and j["epoch"] == 2'
            content_is_there s.vol
        done
    done
}

test_throttle() {
    filled t.vol aes-256-gcm
    local begun=$EPOCHREALTIME
    ok envol rotate t.vol --cmk file:one.key --throttle 8
    # 8.2 MB at 8 MB/s; the last piece is not waited for.
    holds test $(((${EPOCHREALTIME/./} - ${begun/./}) / 1000)) -ge 900
}

test_slots() {
    envol create m.vol --cmk file:one.key --cmk file:two.key --cmk file:three.key
    envol import m.vol --cmk file:one.key random
    ok env PASS=x envol create p.vol --cmk file:one.key --cmk 'passphrase:memory=19M,passes=2,env=PASS'
    ok envol import p.vol --cmk file:one.key cmk.txt
    refused ENVOL_E_NO_PROVIDER envol rotate p.vol --cmk file:one.key
    holds grep -q 'slot 2 (passphrase): no --cmk serves it; --drop-slots gives up' err
    ok env PASS=x envol rotate p.vol --cmk file:one.key --cmk passphrase:env=PASS
    refused ENVOL_E_KEY_NOT_FOUND envol rotate p.vol --cmk file:two.key --drop-slots
    ok envol rotate p.vol --cmk file:one.key --drop-slots
    holds grep -q '^slot 2 (passphrase) was dropped: no --cmk serves it (ENVOL_E_NO_PROVIDER)$' out
    refused ENVOL_E_KEY_NOT_FOUND envol rotate m.vol --cmk file:one.key --cmk file:two.key
    holds grep -q 'slot 3 (file): .*--drop-slots gives up' err
    envol key disable three.key
    refused ENVOL_E_KEY_DISABLED envol rotate m.vol --cmk file:one.key --cmk file:two.key --cmk file:three.key
    ok envol info m.vol --cmk file:one.key --json
    holds json out 'j["epoch"] == 1 and len(j["slots"]) == 3'
    ok envol rotate m.vol --cmk file:one.key --cmk file:two.key --cmk file:three.key --drop-slots
    holds grep -q '^slot 3 (file) was dropped: .*disabled (ENVOL_E_KEY_DISABLED)$' out
    envol key enable three.key
    refused ENVOL_E_KEY_NOT_FOUND envol verify m.vol --cmk file:three.key
    content_is_there m.vol file:two.key
    ok envol rotate m.vol --cmk file:two.key --drop-slots --json
    holds json out '[(s["id"], s["provider"]) for s in j["dropped_slots"]] == [(1, "file")]'
    content_is_there m.vol file:two.key
    ok envol info m.vol --cmk file:two.key --ledger
    holds grep -q '^ledger  *slot 2, .*, version 1; is needed$' out
}

test_bad_pages() {
    filled b.vol aes-256-gcm
    cp b.vol backup.vol
    flip b.vol $((65536 + 7 * 16384 + 99))
    flip b.vol $((65536 + 300 * 16384 + 99))
    refused ENVOL_E_CORRUPT envol rotate b.vol --cmk file:one.key
    holds grep -q '^page 7: .*(ENVOL_E_CORRUPT)$' out
    holds grep -q '^page 300: ' out
    holds grep -q ' 2 bad; the DEK of epoch 1 is kept$' out
    holds grep -q 'epoch 1 is kept for their repair' err
    ok envol info b.vol --cmk file:one.key --ledger
    holds grep -q '^ledger  *epoch 1: 0 pages, 0 holes; is needed$' out
    holds grep -q ' 2 bad, the first of them page 7$' out
    # One comes back from the backup, under the old DEK, and must not be given up by a slip.
    dd if=backup.vol of=b.vol bs=16384 skip=11 seek=11 count=1 conv=notrunc status=none
    refused ENVOL_E_STATE envol rotate b.vol --cmk file:one.key --resume --abandon-bad
    holds grep -q '1 pages under older DEKs read again; rotate without --resume' err
    refused ENVOL_E_CORRUPT envol rotate b.vol --cmk file:one.key --json
    holds json out 'j["bad_pages"] == [300] and j["older_dek_kept"] and j["epoch"] == 3'
    refused ENVOL_E_STATE envol rotate b.vol --cmk file:one.key --resume
    ok envol rotate b.vol --cmk file:one.key --resume --abandon-bad
    holds grep -q '^the older DEKs that were kept are gone$' out
    ok envol rotate b.vol --cmk file:one.key --abandon-bad
    holds grep -q ' 1 bad; the DEK of epoch 3 is gone$' out
    ok envol info b.vol --json
    holds json out '(j["epoch"], j["lowest_epoch"], j["retained_epochs"], j["ledger"]) == (4, 4, 0, None)'
}

# For records beside the pages; the next rotation that is not told so gives it up.
test_keep_old() {
    ok envol create keep.vol --cmk file:one.key
    ok envol import keep.vol --cmk file:one.key random
    run envol rotate keep.vol --cmk file:one.key --keep-old --abandon-bad
    holds grep -q -e '--abandon-bad gives them up' err
    ok envol rotate keep.vol --cmk file:one.key --keep-old
    holds grep -q ' 0 bad; the DEK of epoch 1 is kept$' out
    ok envol rotate keep.vol --cmk file:one.key --keep-old --json
    holds json out 'j["older_dek_kept"] and j["finished"] and j["epoch"] == 3'
    ok envol info keep.vol --json
    holds json out '(j["epoch"], j["lowest_epoch"], j["retained_epochs"]) == (3, 1, 2)'
    ok envol rotate keep.vol --cmk file:one.key --resume --abandon-bad
    holds grep -q '^the older DEKs that were kept are gone$' out
    ok envol rotate keep.vol --cmk file:one.key --keep-old
    ok envol rotate keep.vol --cmk file:one.key
    ok envol info keep.vol --json
    holds json out '(j["epoch"], j["lowest_epoch"], j["retained_epochs"]) == (5, 5, 0)'
    ok envol verify keep.vol --cmk file:one.key
}

# Whatever lies elsewhere under the old DEK is lost if it goes.
test_no_pages() {
    for suite in aes-256-gcm aes-256-xts; do
        rm -f k.vol
        envol create k.vol --suite $suite --cmk file:one.key
        refused ENVOL_E_STATE envol rotate k.vol --cmk file:one.key
        holds grep -q 'if an engine keeps its records elsewhere, it has to rotate' err
        ok envol rotate k.vol --cmk file:one.key --force
        holds grep -q '^epoch 2 began; the DEK of epoch 1 is kept until the engine' out
        ok envol rotate k.vol --cmk file:one.key --force --resume --json
        holds json out 'not j["finished"] and j["older_dek_kept"]'
        ok envol info k.vol --cmk file:one.key --json
        holds json out 'j["rotation"] and (j["lowest_epoch"], j["retained_epochs"]) == (1, 1)'
    done
}

test_refusals() {
    refused ENVOL_E_IO envol rotate nowhere.vol --cmk file:one.key
    refused ENVOL_E_KEY_NOT_FOUND envol rotate v.vol --cmk file:two.key
    envol key disable one.key
    refused ENVOL_E_KEY_DISABLED envol rotate v.vol --cmk file:one.key
    envol key enable one.key
    flip foreign.key 2
    refused ENVOL_E_FORMAT envol rotate foreign.key --cmk file:one.key
}

test_progress() {
    if ! script -qec true /dev/null </dev/null >/dev/null 2>&1; then
        echo 'SKIP progress bar: script(1) is missing or has no terminal'
        return
    fi
    run script -qec 'envol rotate v.vol --cmk file:one.key --throttle 6' /dev/null </dev/null
    holds test "$status" -eq 0
    holds grep -Eq 'rotate \[#+\.+\] +[0-9]+ %  [0-9.]+ MiB  [0-9.]+ MiB/s  0:0[0-9] left' out
    holds grep -q $'\r''rotate \[##*\] 100 %' out
}

test_secrets() { search_secrets v.vol one.key s.vol one.key m.vol two.key; }

for name in one two three; do envol keygen $name.key; done
head -c 12000 /dev/zero >>everything
run_parts usage whole signals throttle slots bad_pages keep_old no_pages refusals progress secrets
