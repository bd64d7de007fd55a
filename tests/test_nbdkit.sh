#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The nbdkit plugin under the real nbdkit, with libnbd, nbdcopy and fio as its clients; and where the
# machine has what that takes, ext4 on a loop device over nbdfuse.
root=$(cd "$(dirname "$0")/.." && pwd)
plugin=$(cd "${BUILD:-build}" && pwd)/nbdkit-envol-plugin.so
if [ ! -e "$plugin" ]; then
    echo 'SKIP nbdkit: this build has no plugin (nbdkit-plugin-dev)'
    echo 'test_nbdkit: 0 passed, 0 failed'
    exit 0
fi
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
server=

# serve ARGUMENT...: a server of dev.vol in the background; waits until it can be connected to.
serve() {
    rm -f socket
    command nbdkit -f -U socket "$plugin" "$@" 2>server.err &
    server=$!
    children+=("$server")
    await
}
await() {
    for _ in $(seq 200); do
        timeout 5 nbdinfo --size "$uri" >/dev/null 2>&1 && return
        sleep 0.05
    done
    return 1
}
stop() {
    kill "${1:--TERM}" "$server"
    wait "$server" 2>/dev/null
}
client() { timeout 60 /usr/bin/python3 "$root/tests/nbd_client.py" "$@"; }
nbdkit() { timeout 60 nbdkit "$@"; }
uri='nbd+unix:///?socket=socket'

# The words of a new device: SUITE [MORE]...; a later size= replaces this one.
new() { echo "dev.vol cmk=file:cmk.key create=true size=4M suite=$*"; }
suites='aes-256-gcm aes-256-xts'

test_parameters() {
    local wrong
    for wrong in '' 'cmk=file:cmk.key' 'dev.vol' 'dev.vol cmk=cmk.key' 'dev.vol cmk=gcp:x' \
        'dev.vol cmk=file:cmk.key create=true' 'dev.vol cmk=file:cmk.key create=true size=1M page=100' \
        'dev.vol cmk=file:cmk.key create=true size=1M suite=none' 'dev.vol cmk=file:cmk.key lease=x' \
        'dev.vol cmk=file:cmk.key create=true size=1000' 'dev.vol cmk=file:cmk.key color=red' \
        'random cmk=file:cmk.key' 'absent.vol cmk=file:cmk.key' \
        'dev.vol cmk=file:absent.key create=true size=1M'; do
        # shellcheck disable=SC2086 # words
        run nbdkit -U - "$plugin" $wrong --run true
        if [ "$status" -ne 0 ] && grep -q '^nbdkit: .*error: ' err; then good; else bad "taken: $wrong"; fi
        lacks test -e dev.vol
    done
    holds grep -q 'is file:cmk.key meant' <(nbdkit "$plugin" dev.vol cmk=cmk.key 2>&1)
    ok nbdkit "$plugin" --help
    holds grep -q 'volume=PATH' out
    ok nbdkit --dump-plugin "$plugin"
    holds grep -q '^thread_model=parallel$' out
}

# Made, served, and served again; nothing of its content is in the volume's bytes.
test_copies() {
    local suite
    cat random random random | head -c 16777216 >disk
    printf 'a canary that nobody may read' | dd of=disk bs=1 seek=5000 conv=notrunc 2>/dev/null
    for suite in $suites; do
        rm -f dev.vol
        # shellcheck disable=SC2016,SC2046 # for nbdkit's shell; words
        ok nbdkit -U - "$plugin" $(new "$suite" size=16M) --run 'nbdcopy disk "$uri"'
        # shellcheck disable=SC2016
        ok nbdkit -U - "$plugin" dev.vol cmk=file:cmk.key --run 'nbdcopy "$uri" back'
        holds cmp disk back
        holds grep -q canary disk
        lacks grep -q canary dev.vol
        run nbdkit -U - "$plugin" dev.vol cmk=file:cmk.key create=true size=16M --run true
        holds grep -q 'never overwritten' err
        # shellcheck disable=SC2016
        run nbdkit -U - "$plugin" dev.vol cmk=file:cmk.key size=20M --run 'nbdinfo --size "$uri"'
        holds grep -qx 20971520 out
        # shellcheck disable=SC2016
        run nbdkit -U - "$plugin" dev.vol cmk=file:cmk.key size=16M --run 'nbdinfo --size "$uri"'
        holds grep -q 'never cut' err
        lacks grep -q 16777216 out
    done
}

# What was never written is told, and copied by nobody; under XTS only a sparse volume can tell.
test_extents() {
    local kind expected
    head -c 1048576 /dev/urandom >disk
    truncate -s 8M disk
    for kind in aes-256-gcm 'aes-256-gcm sparse=true' 'aes-256-xts sparse=true' aes-256-xts; do
        rm -f dev.vol
        expected='data:1048576 hole,zero:7340032'
        [ "$kind" = aes-256-xts ] && expected='data:8388608'
        # shellcheck disable=SC2016,SC2046,SC2086 # for nbdkit's shell; words
        ok nbdkit -U - "$plugin" $(new $kind size=8M) \
            --run 'nbdcopy disk "$uri" && nbdinfo --map "$uri" >map && nbdcopy "$uri" back'
        holds test "$(awk '{ printf "%s%s:%s", sep, $4, $2; sep = " " }' map)" = "$expected"
        holds cmp disk back
    done
}

test_requests() {
    local kind
    for kind in aes-256-gcm aes-256-xts 'aes-256-gcm sparse=true' 'aes-256-xts sparse=true' \
        'aes-256-gcm atomic=false page=16K' 'aes-256-xts page=512'; do
        rm -f dev.vol
        # shellcheck disable=SC2046,SC2086 # words
        serve $(new $kind)
        ok client semantics "$uri"
        ok client model "$uri" "${ENVOL_TEST_SEED:-$RANDOM}" 0.7
        stop
        holds grep -q ' clean$' <(envol info dev.vol)
    done
    # A volume that was not made for it: pages of 16,336 bytes.
    rm -f dev.vol
    ok envol create dev.vol --cmk file:cmk.key
    serve dev.vol cmk=file:cmk.key size=4182016
    ok client model "$uri" "${ENVOL_TEST_SEED:-$RANDOM}" 0.7
    stop
}

# syncs WHAT: how often the volume is synced when one request is served.
syncs() {
    timeout 60 strace -f -qq -e trace=fsync,fdatasync -o trace nbdkit -U - "$plugin" dev.vol \
        cmk=file:cmk.key --run "/usr/bin/python3 '$root/tests/nbd_client.py' once \"\$uri\" $1" >&2
    grep -c 'sync(' trace
}
test_durable() {
    local plain
    rm -f dev.vol
    # shellcheck disable=SC2046 # words
    ok nbdkit -U - "$plugin" $(new aes-256-xts) --run true
    if ! strace -o trace true 2>/dev/null; then
        echo 'SKIP flush and FUA reach the disk: strace may not trace here'
        return
    fi
    plain=$(syncs plain)
    holds test "$(syncs fua)" -eq $((plain + 1))
    holds test "$(syncs flush)" -eq $((plain + 1))
}

# What fio wrote it finds again; several jobs, many requests at once.
test_fio() {
    local suite
    for suite in $suites; do
        rm -f dev.vol
        # shellcheck disable=SC2046 # words
        serve $(new "$suite" size=16M)
        run fio --name=verify --ioengine=nbd --uri="$uri" --rw=randrw --bsrange=4k-64k --iodepth=16 \
            --size=16M --verify=crc32c --verify_fatal=1 --randseed=7 --output-format=terse
        if [ "$status" -eq 0 ]; then good; else bad "fio: $suite"; fi
        stop
    done
    rm -f local-verify-*
}

# Killed with requests in flight, both suites; then another server finds all that was answered.
test_kill() {
    local suite
    for suite in $suites; do
        rm -f dev.vol told
        # shellcheck disable=SC2046 # words
        serve $(new "$suite")
        client load "$uri" told &
        local loader=$!
        for _ in {1..600}; do [ "$(wc -l 2>/dev/null <told)" -ge 40 ] 2>/dev/null && break; sleep 0.05; done
        stop -KILL
        wait "$loader"
        serve dev.vol cmk=file:cmk.key
        ok client check "$uri" told
        stop
        [ "$suite" = aes-256-xts ] || ok envol verify dev.vol --cmk file:cmk.key
    done
}

# A record that was changed on the disk fails alone.
test_damage() {
    local offset
    rm -f dev.vol
    # shellcheck disable=SC2046 # words
    ok nbdkit -U - "$plugin" $(new aes-256-gcm) --run true
    offset=$(envol info dev.vol | sed -n 's/^page .*from offset //p')
    flip dev.vol $((offset + 100 * 4144 + 17))
    flip dev.vol $((offset + 200 * 4144 + 4143))
    serve dev.vol cmk=file:cmk.key
    ok client bad "$uri" 100 200
    stop
    holds grep -q 'page 100: .*ENVOL_E_CORRUPT' server.err
}

# Keys are opened after the fork; a relative path is one of the directory that nbdkit was started in.
test_daemon() {
    rm -f dev.vol socket
    # shellcheck disable=SC2046 # words
    ok nbdkit -P pid -U socket "$plugin" $(new aes-256-gcm) lease=0.2
    holds await
    ok client model "$uri" 3 0.5
    # shellcheck disable=SC2016 # for nbdkit's shell
    run nbdkit -U - "$plugin" dev.vol cmk=file:cmk.key --run 'nbdinfo --size "$uri"'
    holds grep -q ENVOL_E_BUSY err
    holds test "$status" -ne 0
    kill "$(cat pid)"
    for _ in {1..600}; do kill -0 "$(cat pid)" 2>/dev/null || break; sleep 0.05; done
    ok envol verify dev.vol --cmk file:cmk.key
    holds grep -q ' clean$' <(envol info dev.vol)
}

# One call of the key service for a start, whatever is done then.
test_key_calls() {
    serve dev.vol cmk=file:cmk.key -v -D nbdkit.backend.datapath=0
    ok client model "$uri" 4 0.2
    stop
    holds test "$(grep -c 'key service: file: unwrap .*: ENVOL_OK' server.err)" -eq 1
    holds test "$(grep -c 'key service: ' server.err)" -eq 1
}

# Disabled: requests fail when the grace is over.  Enabled: whoever connects brings the keys back.
test_lease() {
    serve dev.vol cmk=file:cmk.key lease=0.1 grace=0.3
    client dark "$uri" enabled >out 2>err &
    local reader=$!
    for _ in {1..600}; do [ -e enabled.light ] && break; sleep 0.05; done
    envol key disable cmk.key
    for _ in {1..600}; do [ -e enabled.dark ] && break; sleep 0.05; done
    holds test -e enabled.dark
    envol key enable cmk.key
    touch enabled
    wait "$reader"
    holds test $? -eq 0
    stop
    holds grep -q ENVOL_E_KEY_DISABLED server.err
    holds test "$(grep -c 'read.*ENVOL_E_KEY_REVOKED' server.err)" -le 1
}

test_snapshot() {
    local suite holder
    for suite in $suites; do
        rm -rf dev.vol kept
        # shellcheck disable=SC2046 # words
        serve $(new "$suite") space=kept
        ok client snapshot "$uri"
        holds grep -q 'export="snapshot"' <(nbdinfo --list "$uri")
        stop
        lacks grep -q '^snapshot' <(envol info dev.vol)
        holds test -z "$(ls kept)"
        # That of a client whose server was killed goes at the next start.
        serve dev.vol cmk=file:cmk.key space=kept
        rm -f held
        client hold "$uri" >held 2>&1 &
        holder=$!
        for _ in {1..600}; do [ -s held ] && break; sleep 0.05; done
        stop -KILL
        wait "$holder"
        holds test $? -eq 0
        holds grep -q '^snapshot' <(envol info dev.vol)
        serve dev.vol cmk=file:cmk.key space=kept
        stop
        lacks grep -q '^snapshot' <(envol info dev.vol)
        holds test -z "$(ls kept)"
    done
}

# Started while its key is refused, it waits for a client who comes when it is not.
test_late_key() {
    envol key disable cmk.key
    rm -f socket
    command nbdkit -f -U socket "$plugin" dev.vol cmk=file:cmk.key 2>server.err &
    server=$!
    children+=("$server")
    for _ in {1..600}; do [ -e socket ] && break; sleep 0.05; done
    lacks timeout 10 nbdinfo --size "$uri"
    holds grep -q ENVOL_E_KEY_DISABLED server.err
    envol key enable cmk.key
    holds timeout 10 nbdinfo --size "$uri"
    stop
}

# A file system on it, on a loop device, over nbdfuse.
test_file_system() {
    local why='' loop fuse
    for what in nbdfuse losetup mkfs.ext4 e2fsck; do command -v $what >/dev/null || why="no $what"; done
    [ "$(id -u)" -eq 0 ] || why='not root'
    [ -e /dev/fuse ] || why='no /dev/fuse'
    loop=$(losetup -f 2>/dev/null) || why='no loop device'
    grep -qw ext4 /proc/filesystems || why='no ext4'
    if [ -n "$why" ]; then
        echo "SKIP ext4 over nbdfuse: $why"
        return
    fi
    rm -rf dev.vol mnt
    mkdir mnt
    : >block
    # shellcheck disable=SC2046 # words
    serve $(new aes-256-gcm size=16M)
    nbdfuse block "$uri" >fuse.err 2>&1 &
    fuse=$!
    children+=("$fuse")
    for _ in $(seq 100); do [ -s block ] && break; sleep 0.05; done
    loop=$(losetup --sector-size 4096 --find --show block)
    holds mkfs.ext4 -q -b 4096 -E nodiscard "$loop"
    if mount "$loop" mnt 2>err; then
        head -c 4000000 disk >mnt/canary
        head -c 5000000 random >mnt/random
        sync mnt/random
        umount mnt
        holds e2fsck -fn "$loop"
        mount -o ro "$loop" mnt
        holds cmp -n 5000000 random mnt/random
        umount mnt
    else
        echo "SKIP ext4 over nbdfuse: $(cat err)"
    fi
    losetup -d "$loop"
    umount block || umount -l block
    wait "$fuse"
    lacks grep -q canary dev.vol
    stop
    ok envol verify dev.vol --cmk file:cmk.key
}

test_secrets() {
    # shellcheck disable=SC2154 # of command.sh
    cat server.err >>everything
    head -c 10000 /dev/zero >>everything
    search_secrets dev.vol cmk.key
}

envol keygen cmk.key >/dev/null
run_parts parameters copies extents requests durable fio kill damage daemon key_calls lease late_key snapshot file_system secrets
