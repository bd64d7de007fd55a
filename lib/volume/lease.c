/* SPDX-License-Identifier: BSD-2-Clause */
/* Leases: started, polled, asked, stopped. */
#include "volume/lease.h"
#include "base/clock.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "page/revoke.h"
#include "volume/snapshot.h"

#include <time.h>

/*
 * Defaults.  Detection: DynamoDB asks again after 5 minutes, Azure SQL notices within 10; a check
 * of AWS KMS every 5 minutes is 8,640 requests a month, about 3 cents.  Grace: RDS stops an
 * instance two hours after it found that its key is gone.  A check: as long as a client waits for
 * AWS KMS with one retry.
 */
#define INTERVAL_MS (5u * 60 * 1000)
#define GRACE_MS    (2u * 3600 * 1000)
#define TIMEOUT_MS  (10u * 1000)

#define FLAGS                                                                                      \
    (ENVOL_LEASE_THREAD | ENVOL_LEASE_NO_GRACE | ENVOL_LEASE_NO_JITTER | ENVOL_LEASE_AT_ONCE)

uint64_t envol_lease_clock(void)
{
    return envol_now_ms();
}

/* Fills in the defaults.  An unchecked time below the interval would pass without any check. */
static bool take_options(const struct envol_lease_options *options,
                         struct envol_lease_options *taken)
{
    if (!ENVOL_TAKE(lease_options, options, taken) || (taken->flags & ~FLAGS) != 0 ||
        (taken->grace_ms != 0 && (taken->flags & ENVOL_LEASE_NO_GRACE) != 0))
        return false;
    if (taken->interval_ms == 0)
        taken->interval_ms = INTERVAL_MS;
    if (taken->grace_ms == 0 && (taken->flags & ENVOL_LEASE_NO_GRACE) == 0)
        taken->grace_ms = GRACE_MS;
    if (taken->timeout_ms == 0)
        taken->timeout_ms = TIMEOUT_MS;
    return taken->max_unchecked_ms == 0 || taken->max_unchecked_ms >= taken->interval_ms;
}

/* Waits by the clock that leases count by. */
static int init_wake(pthread_cond_t *wake)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);

    if (failed != 0)
        return failed;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    failed = pthread_cond_init(wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return failed;
}

static struct envol_lease *make(struct envol_volume *volume,
                                const struct envol_lease_options *options)
{
    struct envol_lease *made = envol_alloc(sizeof(*made), _Alignof(struct envol_lease));

    if (made == NULL)
        return NULL;
    made->volume = volume;
    made->options = *options;
    made->info = (struct envol_lease_info){.struct_size = sizeof(made->info),
                                           .state = ENVOL_LEASE_AVAILABLE};
    if (pthread_mutex_init(&made->lock, NULL) != 0) {
        envol_free(made);
        return NULL;
    }
    if (init_wake(&made->wake) != 0) {
        pthread_mutex_destroy(&made->lock);
        envol_free(made);
        return NULL;
    }
    return made;
}

static void unmake(struct envol_lease *lease)
{
    pthread_cond_destroy(&lease->wake);
    pthread_mutex_destroy(&lease->lock);
    envol_free(lease);
}

/* The volume's information is asked for under growth. */
static void attach(struct envol_volume *volume, struct envol_lease *lease)
{
    pthread_mutex_lock(&volume->growth);
    volume->lease = lease;
    pthread_mutex_unlock(&volume->growth);
}

/* Holds turn. */
static enum envol_status start(struct envol_volume *volume,
                               const struct envol_lease_options *options,
                               struct envol_lease **lease)
{
    struct envol_lease *made;
    enum envol_status status = volume->lease != NULL ? ENVOL_E_STATE : ENVOL_OK;

    if (status == ENVOL_OK)
        status = envol_keyring_check(volume->keyring);
    if (status != ENVOL_OK)
        return status;
    made = make(volume, options);
    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    if ((options->flags & ENVOL_LEASE_THREAD) != 0)
        status = envol_lease_thread_start(made);
    if (status != ENVOL_OK) {
        unmake(made);
        return status;
    }
    attach(volume, made);
    *lease = made;
    return ENVOL_OK;
}

enum envol_status envol_lease_start(struct envol_volume *volume,
                                    const struct envol_lease_options *options,
                                    struct envol_lease **lease, struct envol_error *error)
{
    struct envol_lease_options taken;
    enum envol_status status = ENVOL_E_STATE;

    if (lease != NULL)
        *lease = NULL;
    if (lease == NULL || volume == NULL || !take_options(options, &taken))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED, NULL);
    if (envol_image_is_own(volume))
        return envol_fail(error, status, "an image has the keys, and the lease, of its volume");
    /* The callback's: refused. */
    if (pthread_mutex_lock(&volume->turn) == 0) {
        status = start(volume, &taken, lease);
        pthread_mutex_unlock(&volume->turn);
    }
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    envol_error_clear(error);
    return ENVOL_OK;
}

/* What a poll answers, and when the next one is due. */
static enum envol_status outcome(struct envol_lease *lease, uint64_t *next_ms)
{
    bool dark;

    pthread_mutex_lock(&lease->lock);
    dark = lease->info.state == ENVOL_LEASE_INACCESSIBLE;
    if (next_ms != NULL)
        *next_ms = dark ? UINT64_MAX : lease->info.next_check_ms;
    pthread_mutex_unlock(&lease->lock);
    return dark ? ENVOL_E_KEY_REVOKED : ENVOL_OK;
}

enum envol_status envol_lease_poll(struct envol_lease *lease, uint64_t now_ms, uint64_t *next_ms)
{
    if (next_ms != NULL)
        *next_ms = 0;
    if (lease == NULL)
        return ENVOL_E_ARGUMENT;
    if (!envol_volume_is_own(lease->volume))
        return ENVOL_E_FORKED;
    if (lease->has_thread || pthread_mutex_lock(&lease->volume->turn) != 0)
        return ENVOL_E_STATE;
    envol_lease_run(lease, now_ms);
    pthread_mutex_unlock(&lease->volume->turn);
    return outcome(lease, next_ms);
}

enum envol_status envol_lease_info(struct envol_lease *lease, struct envol_lease_info *info)
{
    if (!ENVOL_FITS(lease_info, info))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(info);
    if (lease == NULL)
        return ENVOL_E_ARGUMENT;
    if (!envol_volume_is_own(lease->volume))
        return ENVOL_E_FORKED;
    pthread_mutex_lock(&lease->lock);
    ENVOL_GIVE(lease_info, info, &lease->info);
    pthread_mutex_unlock(&lease->lock);
    return ENVOL_OK;
}

void envol_lease_stop(struct envol_lease *lease)
{
    struct envol_volume *volume;

    if (lease == NULL)
        return;
    volume = lease->volume;
    /* A child has no thread to wait for, and mutexes that may be held for ever. */
    if (!envol_volume_is_own(volume)) {
        volume->lease = NULL;
        envol_free(lease);
        return;
    }
    /* The callback's, which must not: it would free what its caller stands on. */
    if (!envol_lease_thread_stop(lease) || pthread_mutex_lock(&volume->turn) != 0)
        return;
    attach(volume, NULL);
    pthread_mutex_unlock(&volume->turn);
    unmake(lease);
}
