/* SPDX-License-Identifier: BSD-2-Clause */
/* The retry policy and its bucket. */
#include "provider/retry.h"

/* Full jitter: anything up to a wait that doubles from the first time to the n-th. */
static uint64_t jitter(uint64_t wait_us, unsigned n, uint64_t max_us, double chance)
{
    for (unsigned i = 1; i < n && wait_us < max_us; i++)
        wait_us *= 2;
    return (uint64_t)(chance * (double)(wait_us < max_us ? wait_us : max_us));
}

bool envol_retry_again(struct envol_retry *retry, struct envol_retry_bucket *bucket,
                       enum envol_status status, double chance, uint64_t *wait_us)
{
    unsigned cost = status == ENVOL_E_TIMEOUT ? ENVOL_RETRY_TIMEOUT_COST : ENVOL_RETRY_COST;

    *wait_us = 0;
    if (status == ENVOL_E_THROTTLED) {
        *wait_us = jitter(ENVOL_RETRY_THROTTLE_US, ++retry->throttles, ENVOL_RETRY_THROTTLE_MAX_US,
                          chance);
        return retry->throttles < ENVOL_RETRY_THROTTLES;
    }
    if (!envol_status_is_retryable(status) || retry->failures + 1 >= ENVOL_RETRY_ATTEMPTS ||
        bucket->spent + cost > ENVOL_RETRY_TOKENS)
        return false;
    bucket->spent += cost;
    retry->paid = cost;
    retry->failures++;
    *wait_us = jitter(ENVOL_RETRY_WAIT_US, retry->failures, ENVOL_RETRY_WAIT_MAX_US, chance);
    return true;
}

static void give_back(struct envol_retry_bucket *bucket, unsigned tokens)
{
    bucket->spent -= tokens < bucket->spent ? tokens : bucket->spent;
}

void envol_retry_succeeded(const struct envol_retry *retry, struct envol_retry_bucket *bucket)
{
    give_back(bucket, retry->paid > 0 ? retry->paid : 1);
}

void envol_retry_withdraw(const struct envol_retry *retry, const struct envol_retry *made,
                          struct envol_retry_bucket *bucket)
{
    if (retry->failures > made->failures)
        give_back(bucket, retry->paid);
}
