/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a failed call is made again, as the AWS SDKs do in their standard mode: 3 attempts, full
 * jitter, and one bucket of tokens for the process, so that a service that is down is not called
 * three times as often as one that is up.  Pure, as the pace is.
 *
 * A throttled call is another matter: it costs no attempt and no token, and goes back into the line
 * that the pace lets through, as it is the pace that keeps it from being throttled again.  It stays
 * away for a moment before, longer each time, so that a lone caller is patient too.
 */
#ifndef ENVOL_PROVIDER_RETRY_H
#define ENVOL_PROVIDER_RETRY_H

#include <envol/status.h>
#include <stdbool.h>

#define ENVOL_RETRY_ATTEMPTS     3u
#define ENVOL_RETRY_WAIT_US      1000000u /* the first wait at most; doubled each time */
#define ENVOL_RETRY_WAIT_MAX_US  20000000u
#define ENVOL_RETRY_TOKENS       500u
#define ENVOL_RETRY_COST         5u
#define ENVOL_RETRY_TIMEOUT_COST 10u
/* In simulations of a hundred thousand calls at once none is throttled more than 5 times. */
#define ENVOL_RETRY_THROTTLES       10u
#define ENVOL_RETRY_THROTTLE_US     100000u /* the first such wait, with full jitter; doubled */
#define ENVOL_RETRY_THROTTLE_MAX_US 5000000u

/* The process's bucket, full when spent is 0. */
struct envol_retry_bucket {
    unsigned spent;
};

/* One call's history; zeroed at first. */
struct envol_retry {
    unsigned failures; /* that were retried */
    unsigned throttles;
    unsigned paid; /* tokens, for the attempt that is on */
};

/* Whether to call again after this status, and how long to wait before; chance is from [0, 1). */
bool envol_retry_again(struct envol_retry *retry, struct envol_retry_bucket *bucket,
                       enum envol_status status, double chance, uint64_t *wait_us);
/* A success gives back what its attempt cost, or one token if it was the first. */
void envol_retry_succeeded(const struct envol_retry *retry, struct envol_retry_bucket *bucket);
/* A retry that was paid for and not made, for deadline or cancel flag, costs nothing: made is the
 * history when the last attempt began. */
void envol_retry_withdraw(const struct envol_retry *retry, const struct envol_retry *made,
                          struct envol_retry_bucket *bucket);

#endif
