/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * getrandom that fails on request.  For one source file of a test program: it stands in for the C
 * library's, so it must not be in a library of helpers.
 */
#ifndef ENVOL_TESTS_FAILING_RANDOM_H
#define ENVOL_TESTS_FAILING_RANDOM_H

#include <errno.h>
#include <stdbool.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool random_fails;

ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    if (!random_fails)
        return syscall(SYS_getrandom, out, bytes, flags);
    errno = EIO;
    return -1;
}

#endif
