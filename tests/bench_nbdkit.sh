#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The nbdkit plugin beside nbdkit's own luks filter and its plain file plugin, in one run: nbdcopy
# there and back, fio sequential and random.  MB/s, and ratios to the luks filter.
#
# usage: BUILD=build tests/bench_nbdkit.sh [--quick]
# DIR: where the images are, build/ by default.  Servers take turns, round by round; the best counts.
set -euo pipefail
BUILD=$(cd "${BUILD:-build}" && pwd)
PATH=$BUILD:$PATH
size_mib=256 seconds=2 rounds=3
if [ "${1:-}" = --quick ]; then size_mib=64 seconds=1 rounds=1; fi

for program in nbdkit nbdcopy fio qemu-img python3; do
    command -v $program >/dev/null || { echo "bench_nbdkit: $program is missing: make deps deps-ci" >&2; exit 1; }
done
work=$(mktemp -d "${DIR:-$BUILD}/bench-nbdkit.XXXXXX")
server=''
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"
uri='nbd+unix:///?socket=socket'

servers='file luks envol-xts envol-gcm envol-gcm-atomic'
workloads='copy-write copy-read seq-read-64k seq-write-64k rand-read-4k rand-write-4k rand-read-64k rand-write-64k'

head -c "${size_mib}M" /dev/urandom >content
envol keygen cmk.key >/dev/null
printf 'a passphrase' >passphrase
truncate -s "${size_mib}M" file.img
qemu-img create -q -f luks --object secret,data='a passphrase',id=secret \
    -o key-secret=secret,iter-time=100 luks.img "${size_mib}M"

# What nbdkit is started with, server by server.
arguments() {
    local plugin=$BUILD/nbdkit-envol-plugin.so
    case $1 in
    file) echo "file file.img" ;;
    luks) echo "file luks.img --filter=luks passphrase=+passphrase" ;;
    envol-xts) echo "$plugin xts.vol cmk=file:cmk.key suite=aes-256-xts" ;;
    envol-gcm) echo "$plugin gcm.vol cmk=file:cmk.key suite=aes-256-gcm atomic=false" ;;
    envol-gcm-atomic) echo "$plugin atomic.vol cmk=file:cmk.key suite=aes-256-gcm" ;;
    esac
}
start() {
    rm -f socket
    # shellcheck disable=SC2046 # words
    nbdkit -f -U socket $(arguments "$1") "${@:2}" &
    server=$!
    until [ -S socket ] && nbdinfo --size "$uri" >/dev/null 2>&1; do sleep 0.05; done
}
stop() {
    kill "$server"
    wait "$server" || :
    server=''
}

# MB/s of one workload on the server that runs.
copy() {
    local begun=$EPOCHREALTIME
    nbdcopy "$@"
    echo $((size_mib * 1048576 / (${EPOCHREALTIME/./} - ${begun/./})))
}
measure() {
    local how=${1%-*}
    case $1 in
    copy-write) copy content "$uri" ;;
    copy-read) copy "$uri" null: ;;
    *)
        how=${how#seq-} how=${how/rand-/rand}
        fio --name="$1" --ioengine=nbd --uri="$uri" --rw="$how" --bs="${1##*-}" --iodepth=16 \
            --size="${size_mib}M" --time_based --runtime="$seconds" --output-format=json |
            python3 -c 'import json, sys
text = sys.stdin.read()
job = json.loads(text[text.index("{"):])["jobs"][0]
print(max(job["read"]["bw_bytes"], job["write"]["bw_bytes"]) // 1000000)'
        ;;
    esac
}

for name in $servers; do
    case $name in envol-*) start "$name" create=true size="${size_mib}M" && stop ;; esac
done
for round in $(seq "$rounds"); do
    for name in $servers; do
        start "$name"
        for workload in $workloads; do echo "$name $workload $(measure "$workload")" >>results; done
        stop
    done
    echo "round $round of $rounds" >&2
done

python3 - "$servers" "$workloads" <<'PYTHON'
import collections
import sys

servers, workloads = (argument.split() for argument in sys.argv[1:])
best = collections.defaultdict(int)
for line in open("results", encoding="ascii"):
    server, workload, rate = line.split()
    best[server, workload] = max(best[server, workload], int(rate))
print("MB/s (ratio to luks)" + "".join(f"{server:>20}" for server in servers))
for workload in workloads:
    luks = best["luks", workload]
    print(f"{workload:20}" + "".join(
        f"{best[server, workload]:12} ({best[server, workload] / max(luks, 1):5.2f})"
        for server in servers))
PYTHON
