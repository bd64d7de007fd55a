#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The story of an encrypted database instance, told with real parts, a line a step: a customer
# managed key, volumes, a SQLite database, what a thief of the disk sees, a restart, a key that is
# disabled and enabled again, under a running program too, snapshots, backups and a read replica.
#
# usage: BUILD=build sh examples/demo.sh     (make demo builds first)
# Everything happens in a temporary directory.  The exit status is 0 only if every step came out.
set -eu
BUILD=$(cd "${BUILD:-build}" && pwd)
PATH=$BUILD:$PATH
unset ENVOL_CMK
work=$(mktemp -d "${TMPDIR:-/tmp}/envol-demo.XXXXXX")
server=
follower=
trap 'kill $server $follower 2>/dev/null || :; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"
number=0

say() {
    number=$((number + 1))
    printf '%2d. %s\n' "$number" "$*"
}

die() {
    echo "demo: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || die "$1 is missing: make deps demo"
}

# search FILE HEX: says "found" or "absent"; a search that fails says neither.
search() {
    python3 - "$1" "$2" <<'PYTHON'
import mmap
import sys

with open(sys.argv[1], "rb") as file:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        print("absent" if image.find(bytes.fromhex(sys.argv[2])) < 0 else "found")
PYTHON
}

# A 64-byte piece of a file that has too many different bytes in it to be anywhere by chance.
sample() {
    python3 - "$1" <<'PYTHON'
import sys

with open(sys.argv[1], "rb") as file:
    image = file.read()
pieces = (image[at:at + 64] for at in range(len(image) // 2, len(image) - 64, 64))
print(next(piece for piece in pieces if len(set(piece)) >= 32).hex())
PYTHON
}

# in_hex FILE [OFFSET LENGTH]
in_hex() {
    od -An -v -tx1 ${2:+-j "$2" -N "$3"} "$1" | tr -d ' \n'
}

# proof WHAT HEX PLAIN VOLUME: the search finds the bytes where they lie open, and not in the volume.
proof() {
    [ "$(search "$3" "$2")" = found ] || die "the search does not even find $1 in $3"
    [ "$(search "$4" "$2")" = absent ] || die "$1 is in the bytes of $4"
    say "a thief reads $4: $1 is not in it (the same search finds it in $3)"
}

# Some tens of MB that any machine with a compiler has.
large_file() {
    for file in "$(gcc -print-prog-name=cc1 2>/dev/null)" "$(readlink -f "$(command -v python3)")" \
        "$(command -v gdb)" "$BUILD/libenvol.a"; do
        if [ -f "$file" ]; then
            echo "$file"
            return
        fi
    done
}

for program in envol reveal_dek lease sqlite3 python3; do need "$program"; done
large=$(large_file)
[ -n "$large" ] || die 'no large file found'
large_mib=$(($(wc -c <"$large") / 1048576))

envol keygen cmk.key
key=$(envol key show cmk.key | sed -n 's/^key  *//p')
say "customer managed key $key, in cmk.key, mode $(stat -c %a cmk.key)"

envol create users.vol --cmk file:cmk.key
slot=$(envol info users.vol | sed -n 's/^slot [0-9]* *//p')
say "users.vol: aes-256-gcm, its DEK wrapped by that key: $slot"
envol create large.vol --cmk file:cmk.key --suite aes-256-xts
say "large.vol: the same key, a DEK of its own, aes-256-xts"

sqlite3 users.db "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('Alice');"
envol import users.vol --cmk file:cmk.key users.db
say "INSERT INTO users VALUES ('Alice'): a SQLite database of $(wc -c <users.db) bytes is in users.vol"
envol import large.vol --cmk file:cmk.key "$large"
say "$large, $large_mib MiB, is in large.vol"

proof "'Alice'" "$(printf Alice | in_hex -)" users.db users.vol
proof 'a piece of it' "$(sample "$large")" "$large" large.vol
# In the key file, the key is 32 bytes at offset 56 (envol(5)).
for volume in users.vol large.vol; do
    proof 'the CMK' "$(in_hex cmk.key 56 32)" cmk.key $volume
    # A demonstration tool asks the CMK for the DEK; the control is the volume with the DEK behind it.
    dek=$(reveal_dek $volume cmk.key)
    { cat $volume && printf %s "$dek" | python3 -c \
        'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))'; } >leaky.copy
    proof 'the DEK' "$dek" leaky.copy $volume
done
rm leaky.copy

mv users.db original.db
# read_back WHEN: in processes that know nothing but the volume and the key.
read_back() {
    envol export users.vol --cmk file:cmk.key --force users.db
    cmp original.db users.db || die 'users.db came back changed'
    envol export large.vol --cmk file:cmk.key | cmp - "$large" || die "$large came back changed"
    row=$(sqlite3 users.db 'SELECT name FROM users')
    [ "$row" = Alice ] || die "SELECT answers '$row'"
    say "$1: both volumes read back byte for byte, SELECT name FROM users: $row"
}
read_back 'restart, a new process'

envol key disable cmk.key
for volume in users.vol large.vol; do
    status=0
    envol export $volume --cmk file:cmk.key --force users.db >stolen 2>refusal || status=$?
    [ $status -eq 1 ] || die "export from $volume ended with $status although the key is disabled"
    [ ! -s stolen ] || die "$volume gave data away"
    grep -q ENVOL_E_KEY_DISABLED refusal || die "another refusal: $(cat refusal)"
    say "key disabled: $(cat refusal)"
done

envol key enable cmk.key
read_back 'key enabled again'
envol verify users.vol --cmk file:cmk.key >verified
grep -q '^[1-9][0-9]* pages sound, 0 unwritten, 0 bad$' verified || die "verify says: $(cat verified)"
say "envol verify users.vol: $(cat verified)"

# A program that has the volume open, with a lease: it asks for its key ten times a second, and may
# go on for 0.3 s when it is refused (defaults: every 5 minutes, 2 hours).
: >story
lease users.vol cmk.key >story &
server=$!
# told WHAT: waits for a line of the server's that begins so, and says it.
told() {
    tries=0
    until line=$(grep "^$1" story); do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || die "the server never said '$1'"
        sleep 0.1
    done
    say "$2: $line"
}
told 'reading' 'a server has users.vol open, with a lease'
envol key disable cmk.key
told 'suspect' 'key disabled under it'
told 'inaccessible' 'the grace is over'
told 'dark' 'the server'
envol key enable cmk.key
told 'available' 'key enabled again, envol_volume_unlock'
wait $server || die 'the server failed'
server=
follower=
say "the server: $(tail -n 1 story)"

# Snapshots, backups under another CMK, and a restore under a third one.
snapshot=$(envol snapshot create users.vol --cmk file:cmk.key)
say "envol snapshot create users.vol: $snapshot"
snapshot=$(envol snapshot list users.vol --json | python3 -c \
    'import json, sys; print(json.load(sys.stdin)["snapshots"][0]["uuid"])')
sqlite3 users.db "UPDATE users SET name = 'Mallory'"
envol import users.vol --cmk file:cmk.key --force users.db
envol export users.vol --cmk file:cmk.key --snapshot "$snapshot" --force image.db
cmp original.db image.db || die 'the image of the snapshot changed with the volume'
say "SELECT name FROM users: $(sqlite3 users.db 'SELECT name FROM users') in the volume now," \
    "$(sqlite3 image.db 'SELECT name FROM users') in the snapshot's image"

envol keygen backup.key >/dev/null
envol keygen restored.key >/dev/null
envol backup users.vol --cmk file:cmk.key --to file:backup.key --record --changes users.list full.backup
sqlite3 users.db "UPDATE users SET name = 'Bob'"
envol import users.vol --cmk file:cmk.key --force users.db
envol backup users.vol --cmk file:cmk.key --to file:backup.key --record --changes users.list next.backup
for backup in full.backup next.backup; do
    [ "$(search $backup "$(in_hex original.db 0 64)")" = absent ] || die "$backup holds plaintext"
    envol backup --verify --from file:backup.key $backup >/dev/null || die "$backup is not whole"
done
say "a full backup of $(wc -c <full.backup) bytes and one of what changed," \
    "$(wc -c <next.backup), both under backup.key, verified"
say "may backup.key be retired? $(envol info users.vol --cmk file:cmk.key --ledger | grep 'no slot')"
envol restore restored.vol --cmk file:restored.key --from file:backup.key full.backup next.backup
envol export restored.vol --cmk file:restored.key --force restored.db
cmp users.db restored.db || die 'the restored database is another one'
envol export restored.vol --cmk file:cmk.key --force stolen 2>refusal &&
    die "the source's key opens the restored volume"
say "restored under restored.key, another UUID and DEK: $(sqlite3 restored.db 'SELECT name FROM users')"
envol snapshot delete users.vol "$snapshot" --cmk file:cmk.key >/dev/null

# A point in time: a backup, and the transaction log up to the moment before a mistake.
envol import users.vol --cmk file:cmk.key --log --force users.db >/dev/null
envol backup users.vol --cmk file:cmk.key --to file:backup.key base.backup
sqlite3 users.db "UPDATE users SET name = 'Carol'"
lsn=$(envol import users.vol --cmk file:cmk.key --log --force users.db)
cp users.db good.db
sqlite3 users.db 'DELETE FROM users'
mistake=$(envol import users.vol --cmk file:cmk.key --log --force users.db)
[ "$(search users.vol.d/log-0000000000000001 "$(printf Carol | in_hex -)")" = absent ] ||
    die 'the log holds plaintext'
say "UPDATE is in the log up to LSN $lsn, DELETE FROM users up to $mistake"
envol restore back.vol --cmk file:restored.key --from file:backup.key base.backup
reached=$(envol log replay back.vol users.vol --cmk file:restored.key --from file:cmk.key --until "$lsn")
envol export back.vol --cmk file:restored.key back.db
cmp good.db back.db || die 'the recovered database is another one'
say "the backup, and the log replayed: $reached, SELECT name FROM users:" \
    "$(sqlite3 back.db 'SELECT name FROM users')"

# A primary and its replica, two processes with a key each: pages and a transaction log.
envol keygen primary.key >/dev/null
envol keygen replica.key >/dev/null
replica create primary --cmk file:primary.key >/dev/null
# converged: both copies reach the same LSN and hold the same pages.
converged() {
    for _ in $(seq 100); do
        [ "$(replica sum primary --cmk file:primary.key 2>/dev/null)" = \
            "$(replica sum copy --cmk file:replica.key 2>/dev/null)" ] && return
        sleep 0.1
    done
    die 'the replica did not converge'
}
replica primary primary --cmk file:primary.key --follower-cmk file:replica.key \
    --listen unix:socket --load 200 --check-key 100 >primary.out 2>&1 &
server=$!
replica follow copy --cmk file:replica.key --connect unix:socket --check-key 100 >copy.out 2>&1 &
follower=$!
sleep 1
kill -9 $follower
wait $follower 2>/dev/null || :
replica follow copy --cmk file:replica.key --connect unix:socket --check-key 100 >>copy.out 2>&1 &
follower=$!
converged
say "a replica, killed and started again: $(replica sum copy --cmk file:replica.key), as the primary"
envol key disable replica.key
kill $follower
wait $follower 2>/dev/null || :
if replica get copy 1 --cmk file:replica.key >stolen 2>refusal; then
    die 'the replica reads without its key'
fi
replica sum primary --cmk file:primary.key >/dev/null || die "the replica's key stopped the primary"
say "the replica's key disabled: it stops, and the primary goes on"
kill $server
wait $server || die 'the primary failed'
server=
follower=
