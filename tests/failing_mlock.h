/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mlock that fails on request: root may lock all it likes.  For one source file of a test program:
 * it stands in for the C library's, so it must not be in a library of helpers.
 */
#ifndef ENVOL_TESTS_FAILING_MLOCK_H
#define ENVOL_TESTS_FAILING_MLOCK_H

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool mlock_fails;

int mlock(const void *address, size_t bytes)
{
    if (!mlock_fails)
        return (int)syscall(SYS_mlock, address, bytes);
    errno = ENOMEM;
    return -1;
}

#endif
