#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envol log verify, of the golden log, whose DEK was rotated since.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"

one=(--cmk file:one.key)

test_usage() {
    misused 'log: append, read, replay, truncate or verify?' envol log
    misused 'log explode: unknown verb' envol log explode v.vol
    misused 'VOL is missing' envol log verify "${one[@]}"
    misused 'ENVOL_CMK is not set' envol log verify v.vol
}

test_verify() {
    unpack space-volume v.vol
    mkdir v.vol.d
    unpack space-log v.vol.d/log-0000000000000001
    ok envol log verify v.vol "${one[@]}"
    holds grep -q '^5 records sound, LSN 1 to 5, 18 bytes$' out
    ok envol info v.vol "${one[@]}" --json
    holds json out 'j["log"] != None'
    mv v.vol.d elsewhere
    refused ENVOL_E_STATE envol log verify v.vol "${one[@]}"
    ok envol log verify v.vol "${one[@]}" --space elsewhere
    mv elsewhere v.vol.d
    flip v.vol.d/log-0000000000000001 200
    refused ENVOL_E_CORRUPT envol log verify v.vol "${one[@]}"
    rm v.vol.d/log-0000000000000001
    refused ENVOL_E_CORRUPT envol log verify v.vol "${one[@]}"
    envol create w.vol "${one[@]}"
    mkdir w.vol.d
    refused ENVOL_E_STATE envol log verify w.vol "${one[@]}"
}

envol keygen one.key
unpack cmk one.key
run_parts usage verify
