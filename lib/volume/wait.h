/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks that are waited for no longer than a call may take. */
#ifndef ENVOL_VOLUME_WAIT_H
#define ENVOL_VOLUME_WAIT_H

#include <envol/status.h>
#include <pthread.h>
#include <stdint.h>

/* A call's; zeros: it waits for as long as it takes. */
struct envol_patience {
    uint64_t deadline_ms;   /* CLOCK_MONOTONIC, 0: none */
    const int *cancel_flag; /* may be NULL */
};

/* ENVOL_E_CANCELLED and ENVOL_E_TIMEOUT if the lock was not to be had; a lock that is free is taken
 * all the same.  ENVOL_E_STATE: this thread holds the mutex, which is of the checking kind. */
enum envol_status envol_wait_mutex(pthread_mutex_t *mutex, const struct envol_patience *patience);
enum envol_status envol_wait_shared(pthread_rwlock_t *lock, const struct envol_patience *patience);

#endif
