# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# A file system on an encrypted volume; sourced by rds.sh, which has $work, $BUILD and $uri.
#
#     ext4 on $mnt  -  a loop device  -  nbdfuse  -  nbdkit  -  the volume
#
# Each part is taken down by what is there of it, so device_down cleans up after any failure.
mnt=${work:?}/mnt
block=$work/block # the file that nbdfuse makes
loop='' nbdkit_pid='' fuse_pid=''

# why_not: what this machine lacks for it, or nothing.
why_not() {
    local program
    if [ "$(id -u)" -ne 0 ]; then echo 'not root'; return; fi
    for program in nbdkit nbdfuse nbdinfo nbdsh losetup mkfs.ext4 e2fsck runuser; do
        command -v $program >/dev/null || { echo "$program is missing: make deps"; return; }
    done
    [ -e "$BUILD/nbdkit-envol-plugin.so" ] || { echo 'the plugin is not built: make deps all'; return; }
    [ -c /dev/fuse ] || { echo 'no /dev/fuse'; return; }
    grep -qw ext4 /proc/filesystems || { echo 'the kernel has no ext4'; return; }
    losetup -f >/dev/null 2>&1 || { echo 'no loop devices'; return; }
}

# until_true SECONDS COMMAND...: waits for it.
until_true() {
    local tries=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.1
    done
}

# serve PLUGIN ARGUMENT...: nbdkit on $work/socket, its log in $work/nbdkit.log.
serve() {
    rm -f "$work/socket"
    nbdkit -f -v -D nbdkit.backend.datapath=0 -D nbdkit.backend.controlpath=0 -U "$work/socket" \
        "$@" >"$work/nbdkit.log" 2>&1 &
    nbdkit_pid=$!
    until_true 60 nbdinfo --size "${uri:?}"
}

# attach: a loop device that holds what the server serves.
attach() {
    : >"$block"
    nbdfuse "$block" "$uri" 2>"$work/nbdfuse.log" &
    fuse_pid=$!
    until_true 20 test -s "$block" || return 1
    # Sectors of a page: whole pages are all that the device ever sees.
    loop=$(losetup --find --show --sector-size 4096 "$block")
}

detach() {
    if mountpoint -q "$mnt"; then umount "$mnt" 2>/dev/null || umount -l "$mnt"; fi
    if [ -n "$loop" ]; then losetup -d "$loop"; fi
    if mountpoint -q "$block"; then umount "$block" 2>/dev/null || umount -l "$block"; fi
    if [ -n "$fuse_pid" ]; then
        kill "$fuse_pid" 2>/dev/null || :
        wait "$fuse_pid" 2>/dev/null || :
    fi
    loop='' fuse_pid=''
}

# device_up PLUGIN ARGUMENT...: served, attached and mounted; made first with make_file_system=1.
device_up() {
    serve "$@" || return 1
    attach || return 1
    if [ -n "${make_file_system:-}" ]; then
        mkfs.ext4 -q -b 4096 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 "$loop" || return 1
    fi
    mkdir -p "$mnt"
    mount "$loop" "$mnt"
}

device_down() {
    detach
    if [ -n "$nbdkit_pid" ]; then
        kill "$nbdkit_pid" 2>/dev/null || :
        wait "$nbdkit_pid" 2>/dev/null || :
    fi
    nbdkit_pid=''
}
