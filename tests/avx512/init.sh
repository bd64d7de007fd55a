#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The first and only program of the emulated machine: runs what /tests/list names, a line each
# "PROGRAM CASE TOOL KERNEL" ("-" where there is none), says on the serial line what came of it, and
# switches the machine off.
# shellcheck shell=dash

busybox=/bin/busybox
for directory in proc dev tmp; do $busybox mkdir -p /$directory; done
$busybox mount -t proc proc /proc
$busybox mount -t devtmpfs dev /dev
$busybox mount -t tmpfs tmp /tmp
export ENVOL_BUILD=/tmp/build
$busybox mkdir -p $ENVOL_BUILD/tests/covered $ENVOL_BUILD/tests/tmp

run() {
    if [ "$2" = - ]; then unset CK_RUN_CASE; else export CK_RUN_CASE="$2"; fi
    if [ "$3" = - ]; then unset ENVOL_TEST_TOOL; else export ENVOL_TEST_TOOL="$3"; fi
    if [ "$4" = - ]; then unset ENVOL_TEST_KERNEL; else export ENVOL_TEST_KERNEL="$4"; fi
    input=/tests/$1.input
    [ -e "$input" ] || input=/dev/null
    echo "=== begin $1 $2"
    "/tests/$1" <"$input" 2>&1
    echo "=== end $?"
}

while read -r program case tool kernel; do
    run "$program" "$case" "$tool" "$kernel"
done </tests/list
echo '=== off'
# It waits for what is still to be sent.
$busybox stty -echo
$busybox sleep 1
$busybox poweroff -f
