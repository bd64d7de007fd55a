/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One call, at least, for each public struct that begins with its size, with what the call needs
 * around it.
 */
#ifndef ENVOL_TESTS_SIZED_CALLS_H
#define ENVOL_TESTS_SIZED_CALLS_H

#include <envol/volume.h>

/* How a call meets the struct. */
enum sized_way { TAKES, FILLS };

struct sized {
    const char *name;
    enum sized_way way;
    size_t known, first;
    enum envol_status (*call)(void *given);
    void (*fill)(void *whole); /* what a call that takes it needs; NULL: zeros will do */
};
enum { SIZED_COUNT = 46 };
extern const struct sized sized[SIZED_COUNT];

/* Volume, log, header and stores of these calls, for one test. */
void sized_setup(void);
void sized_teardown(void);
struct envol_volume *sized_volume(void);

#endif
