/* SPDX-License-Identifier: BSD-2-Clause */
/* Time, waiting and chance for the calls of providers; tests put their own in the place of these.
 */
#ifndef ENVOL_PROVIDER_CLOCK_H
#define ENVOL_PROVIDER_CLOCK_H

#include <pthread.h>
#include <stdint.h>

/* Longest step of a wait that a cancel flag may end: it is honoured within 100 ms. */
#define ENVOL_CANCEL_STEP_US 50000u

struct envol_clock {
    /* CLOCK_MONOTONIC, microseconds. */
    uint64_t (*now_us)(void);
    /* Waits for cond (made by envol_cond_init) until a time, or earlier. */
    void (*wait)(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us);
    void (*sleep)(uint64_t until_us);
    /* From 0 to below 1. */
    double (*chance)(void);
};

/* NULL: the real one.  For tests, while no call is in progress. */
void envol_clock_set(const struct envol_clock *clock);
const struct envol_clock *envol_clock(void);

/* False: out of memory. */
int envol_cond_init(pthread_cond_t *cond);

#endif
