/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting in slices, between which deadline and cancel flag are looked at. */
#include "kms/patience.h"

#include "kms/fail.h"
#include <time.h>

uint64_t envol_kms_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

enum envol_status envol_kms_patience_check(const struct envol_kms_patience *patience,
                                           struct envol_error *error)
{
    if (patience->cancel_flag != NULL && __atomic_load_n(patience->cancel_flag, __ATOMIC_ACQUIRE))
        return envol_kms_fail(error, ENVOL_E_CANCELLED, "", "cancelled");
    if (patience->deadline_ms != 0 && envol_kms_now_ms() >= patience->deadline_ms)
        return envol_kms_fail(error, ENVOL_E_TIMEOUT, "", "the deadline passed");
    return ENVOL_OK;
}

/* The clock of the system's time is the one that every C library locks by; a slice is short. */
enum envol_status envol_kms_patience_lock(const struct envol_kms_patience *patience,
                                          pthread_mutex_t *mutex, struct envol_error *error)
{
    for (;;) {
        struct timespec until;
        enum envol_status status = envol_kms_patience_check(patience, error);

        if (status != ENVOL_OK)
            return status;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += ENVOL_KMS_POLL_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        if (pthread_mutex_timedlock(mutex, &until) == 0)
            return ENVOL_OK;
    }
}
