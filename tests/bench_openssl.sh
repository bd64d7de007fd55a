#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Holds the benchmark's libcrypto rows at 4 KiB against openssl speed: both ought to find the same.
# Turns alternate, and the best of each counts, as other load only makes them slower.
# GCM is compared with messages of their own (-aead), which have a nonce and a tag each, as pages do.
#
# usage: BUILD=build tests/bench_openssl.sh
set -uo pipefail
BUILD=${BUILD:-build}
ROUNDS=${ROUNDS:-5}

if ! command -v openssl >/dev/null; then
    echo 'SKIP bench-openssl: the openssl command is not installed'
    exit 0
fi

# Both print GB/s.
ours() {
    "$BUILD/tests/bench" --tsv --rounds 15 --only "$1" |
        awk -F'\t' -v name="$1" '$1 == name && $2 == 4096 {print $4}'
}
theirs() {
    openssl speed -mr -seconds 1 -bytes 4096 "$@" 2>/dev/null |
        awk -F: '/^[+]F:/ {print $NF / 1e9}'
}

compare() {
    local row=$1
    shift
    for ((i = 0; i < ROUNDS; i++)); do
        echo "$(ours "$row") $(theirs "$@")"
    done | awk -v row="$row" '
        NF == 2 {if ($1 > ours) ours = $1; if ($2 > theirs) theirs = $2}
        END {
            if (!ours || !theirs) {print "SKIP bench-openssl: no figures of " row; exit}
            ratio = ours / theirs
            verdict = (ratio >= 0.9 && ratio <= 1.1) ? "ok" : "off"
            printf("%-4s %s: %.2f GB/s, openssl speed %.2f, ratio %.3f\n",
                   verdict, row, ours, theirs, ratio)
        }'
}

compare xts-enc/libcrypto -evp aes-256-xts
compare gcm-enc/libcrypto -aead -evp aes-256-gcm
