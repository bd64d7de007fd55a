/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a call waits, for a service or for another thread: deadline and cancel flag. */
#ifndef ENVOL_KMS_PATIENCE_H
#define ENVOL_KMS_PATIENCE_H

#include <envol/provider.h>
#include <pthread.h>

/* A cancel flag is looked at this often, half of what is promised. */
enum { ENVOL_KMS_POLL_MS = 50 };

/* How long a call may take: of a request, and what is left of it for one exchange. */
struct envol_kms_patience {
    uint64_t deadline_ms; /* CLOCK_MONOTONIC; 0: none */
    const int *cancel_flag;
    uint32_t timeout_ms; /* of one exchange */
};

uint64_t envol_kms_now_ms(void);
/* ENVOL_E_CANCELLED, ENVOL_E_TIMEOUT. */
enum envol_status envol_kms_patience_check(const struct envol_kms_patience *patience,
                                           struct envol_error *error);
/* Locks a mutex, or gives up as above: a cancelled call does not wait for another one's login. */
enum envol_status envol_kms_patience_lock(const struct envol_kms_patience *patience,
                                          pthread_mutex_t *mutex, struct envol_error *error);

#endif
