#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# RDS in a box: a real PostgreSQL whose data directory, WAL included, lives on an encrypted volume.
# The story of a database instance, told with real parts: users and Alice, a backup while she is
# there, a restart, a key that is disabled under load and enabled again, what a thief of the disk
# sees, a restore, and what encryption costs.
#
# usage: BUILD=build examples/rds/rds.sh [--quick]     (make rds builds first)
# It needs root, a loop device, FUSE and ext4: where they are missing it says so, exit status 77.
# SUITE: aes-256-gcm or aes-256-xts.  Everything happens in a temporary directory, and is taken down
# whatever happens.  The exit status is 0 only if every step came out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-build}" && pwd)
PATH=$BUILD:$PATH:/usr/sbin:/sbin
export LC_ALL=C.UTF-8
unset ENVOL_CMK
suite=${SUITE:-aes-256-gcm}
size=768M scale=8 load_s=10 bench_s=6 clients=4
if [ "${1:-}" = --quick ]; then size=128M scale=1 load_s=2 bench_s=0; fi

work=$(mktemp -d "${TMPDIR:-/tmp}/envol-rds.XXXXXX")
uri="nbd+unix:///?socket=$work/socket"
# shellcheck source=examples/rds/device.sh
. "$here/device.sh"
# shellcheck source=examples/rds/postgres.sh
. "$here/postgres.sh"
plugin=$BUILD/nbdkit-envol-plugin.so
bench_pid='' image_pid=''

# shellcheck disable=SC2317 # called by the trap
leave() {
    local status=$?
    set +e
    trap - EXIT HUP INT TERM
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        tail -n 5 "$work"/*.log "$work"/run/*.log "$work"/*.err 2>/dev/null | sed 's/^/    /' >&2
    fi
    if mountpoint -q image; then umount -l image; fi
    cluster_kill
    if [ -n "$bench_pid" ]; then wait "$bench_pid" 2>/dev/null; fi
    device_down
    rm -rf --one-file-system "$work"
    exit $status
}
trap leave EXIT
trap 'exit 1' HUP INT TERM

number=0
say() {
    number=$((number + 1))
    printf '%2d. %s\n' "$number" "$*"
}
die() {
    echo "rds: $*" >&2
    exit 1
}

reason=$(why_not)
[ -n "$bin" ] || reason=${reason:-'PostgreSQL is missing: make deps'}
if [ -n "$reason" ]; then
    echo "rds: this machine cannot do it: $reason"
    exit 77
fi
chmod 711 "$work"
install -d -o postgres -g postgres -m 700 "$work/run"
cd "$work"

# up [ARGUMENT...]: the encrypted device, mounted.
up() { device_up "$plugin" users.vol cmk=file:cmk.key space=users.d "$@"; }
canary=alice@wonderland.example
alice() {
    local found
    found=$(sql "SELECT name || ' <' || email || '>' FROM users")
    [ "$found" = "Alice <$canary>" ] || die "$1: SELECT answers '$found'"
    say "$1: SELECT name, email FROM users: $found"
}

# --- An instance, and Alice -----------------------------------------------------------------------
envol keygen cmk.key >/dev/null
make_file_system=1 up create=true "size=$size" "suite=$suite" || die 'no device'
say "users.vol, $suite, $size: nbdkit, nbdfuse, $loop, ext4"
cluster_make || die 'no cluster'
cluster_start || die 'PostgreSQL does not start'
sql 'CREATE TABLE users (name text, email text)'
sql "INSERT INTO users VALUES ('Alice', '$canary')"
say "$("$bin/postgres" --version) on it, WAL included: CREATE TABLE users, INSERT Alice"
alice 'the instance'

# --- A backup, of a snapshot, while the database runs ----------------------------------------------
envol keygen backup.key >/dev/null
# The snapshot is there as long as somebody is connected to the export of that name: nbdfuse, here.
: >image
nbdfuse image "nbd+unix:///snapshot?socket=$work/socket" 2>image.log &
image_pid=$!
until_true 20 test -s image || die 'no snapshot'
snapshot=$(envol snapshot list users.vol | grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' | tail -n 1)
envol backup users.vol --cmk file:cmk.key --to file:backup.key --space users.d --snapshot "$snapshot" \
    full.backup || die 'no backup'
umount image
wait $image_pid
envol backup --verify --from file:backup.key full.backup >/dev/null || die 'the backup is not whole'
say "a backup while it runs, of a snapshot: full.backup, $(($(stat -c %s full.backup) >> 20)) MiB, under backup.key"

# --- A restart ------------------------------------------------------------------------------------
down() {
    cluster_stop || die 'PostgreSQL does not stop'
    device_down
}
down
up lease=0 || die 'no device after the restart'
cluster_start || die 'PostgreSQL does not start again'
alice 'restarted'
down
calls=$(grep 'key service: ' nbdkit.log)
[ "$(wc -l <<<"$calls")" -eq 1 ] || die "more than one call of the key service: $calls"
say "all of that run with one call of the key service: ${calls##*key service: }"

# --- Load, and a key that is disabled under it ----------------------------------------------------
# A lease that a person can watch; by default it asks every 5 minutes, and goes on for 2 hours.
up lease=0.5 grace=2 || die 'no device with a lease'
cluster_start || die 'PostgreSQL does not start with a lease'
load -i -q -s $scale >pgbench-init.log 2>&1 || die 'pgbench -i'
load -c $clients -j 2 -T 600 >pgbench.out 2>pgbench.err &
bench_pid=$!
sleep $load_s
envol key disable cmk.key
say "pgbench, $clients clients, for $load_s s; then: envol key disable cmk.key"
status=0
wait $bench_pid || status=$?
bench_pid=''
[ $status -ne 0 ] || die 'pgbench ended as if nothing had happened'
committed=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' pgbench.out)
[ "${committed:-0}" -gt 0 ] || die 'pgbench committed nothing'
until_true 30 sh -c "! '$bin/pg_isready' -q -h '$work/run'" || die 'the database goes on'
say "the database stopped, at the lease: $(grep -o 'the lease is over, the keys are wiped' nbdkit.log | head -n 1);" \
    "pgbench: $committed transactions committed"
say "PostgreSQL: $(grep -m 1 -oE '(PANIC|FATAL|ERROR): .*' run/postgres.log)"
cluster_kill
detach
nbdinfo --size "$uri" >stolen 2>/dev/null && die 'a client gets in without the key'
say "a client who comes now: $(grep -o 'error: .*ENVOL_E_KEY_DISABLED.*' nbdkit.log | tail -n 1)"

# --- The key is enabled: unlock, check, mount, start ----------------------------------------------
envol key enable cmk.key
attach || die 'no device although the key is enabled'
say "envol key enable cmk.key; the next client brings the keys back, in the same nbdkit process"
status=0
e2fsck -fp "$loop" >e2fsck.log 2>&1 || status=$?
[ $status -le 1 ] || die "e2fsck: exit status $status"
mount "$loop" "$mnt"
say "e2fsck: exit status $status (0: clean, 1: mended): $(tail -n 1 e2fsck.log | sed "s|^$loop|device|")"
rm -f "$data/postmaster.pid"
cluster_start || die 'PostgreSQL does not recover'
alice 'recovered'
kept=$(sql 'SELECT count(*) FROM pgbench_history')
# What was in flight when the keys went may have been committed, one transaction a client.
if [ "$kept" -lt "$committed" ] || [ "$kept" -gt $((committed + clients)) ]; then
    die "pgbench_history has $kept rows for $committed committed transactions"
fi
sums=$(sql 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
    AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)')
[ "$sums" = t ] || die 'the balances do not add up'
say "pgbench: $committed transactions were committed, $kept rows are in pgbench_history, balances add up"
as_postgres "$bin/pg_amcheck" --all --install-missing -h "$work/run" >amcheck.log 2>&1 || die 'pg_amcheck finds damage'

# --- What a thief sees ----------------------------------------------------------------------------
sql CHECKPOINT
sync -f "$mnt"
for word in "$canary" pgbench_accounts PostgreSQL; do
    grep -qa "$word" "$loop" || die "the search does not even find $word on the device"
    for stolen in users.vol full.backup; do
        if grep -qa "$word" $stolen; then die "$word is in the bytes of $stolen"; fi
    done
done
say "a thief reads users.vol and full.backup: no $canary, no pgbench_accounts, no PostgreSQL" \
    'in them (the same search finds them on the device)'
down
if [ "$suite" = aes-256-gcm ]; then
    say "envol verify users.vol: $(envol verify users.vol --cmk file:cmk.key)"
fi

# --- The backup, restored under another key -------------------------------------------------------
envol keygen restored.key >/dev/null
envol restore restored.vol --cmk file:restored.key --from file:backup.key full.backup >/dev/null
device_up "$plugin" restored.vol cmk=file:restored.key || die 'the restored volume does not mount'
rm -f "$data/postmaster.pid"
cluster_start || die 'PostgreSQL does not start from the backup'
alice 'restored from the backup, under restored.key'
down
rm -f restored.vol full.backup
[ $bench_s -gt 0 ] || exit 0

# --- What it costs --------------------------------------------------------------------------------
# Read-only and read-write transactions, on each device in turn, round by round; the best counts, as
# the machine may be busy.
declare -A args=(
    [plain]='file plain.img'
    [gcm]="$plugin gcm.vol cmk=file:cmk.key suite=aes-256-gcm"
    [gcm-torn]="$plugin torn.vol cmk=file:cmk.key suite=aes-256-gcm atomic=false"
    [xts]="$plugin xts.vol cmk=file:cmk.key suite=aes-256-xts"
)
declare -A reads writes names=(
    [plain]="nbdkit's file plugin, no encryption"
    [gcm]='aes-256-gcm' [gcm-torn]='aes-256-gcm, atomic=false' [xts]='aes-256-xts'
)
# tps PGBENCH-ARGUMENT...: of a run.
tps() { load -c $clients -j 2 -T $bench_s "$@" 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p'; }
better() { echo $(($1 > $2 ? $1 : $2)); }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }

rm -f users.vol
for device in plain gcm gcm-torn xts; do
    create=()
    if [ $device = plain ]; then truncate -s "$size" plain.img; else create=(create=true "size=$size"); fi
    # shellcheck disable=SC2086 # words
    make_file_system=1 device_up ${args[$device]} "${create[@]}" || die "no device: ${names[$device]}"
    cluster_make || die "no cluster: ${names[$device]}"
    cluster_start || die "PostgreSQL does not start: ${names[$device]}"
    load -i -q -s $scale >/dev/null 2>&1
    down
    reads[$device]=0 writes[$device]=0
done
for _ in 1 2 3; do
    for device in plain gcm gcm-torn xts; do
        # shellcheck disable=SC2086 # words
        device_up ${args[$device]} || die "no device: ${names[$device]}"
        cluster_start || die "PostgreSQL does not start: ${names[$device]}"
        reads[$device]=$(better "$(tps -S)" "${reads[$device]}")
        writes[$device]=$(better "$(tps)" "${writes[$device]}")
        down
    done
done
for device in plain gcm gcm-torn xts; do
    say "pgbench on ${names[$device]}: -S ${reads[$device]} a second" \
        "($(ratio "${reads[$device]}" "${reads[plain]}")), read-write ${writes[$device]}" \
        "($(ratio "${writes[$device]}" "${writes[plain]}"))"
done
