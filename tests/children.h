/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes of a test, forked with and without the C library's knowledge. */
#ifndef ENVOL_TESTS_CHILDREN_H
#define ENVOL_TESTS_CHILDREN_H

#include <stdbool.h>

/*
 * Runs body in a forked child, and waits.  Its result, at most 255, is the child's exit status: use
 * it, for assertions of a child reach nobody.  A child that a signal ended: -signal.
 */
int test_in_child(int (*body)(void *), void *argument);
/* The same by the clone system call alone: no handler of pthread_atfork runs. */
int test_in_raw_child(int (*body)(void *), void *argument);

/* For bodies: names what is wrong by its line. */
#define child_expects(condition)                                                                   \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return test_child_complains(__LINE__, #condition);                                     \
    } while (0)
int test_child_complains(int line, const char *condition);

#endif
