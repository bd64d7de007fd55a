/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an answer does to a lease:
 *
 *   AVAILABLE --refusal--> SUSPECT --deadline, and no success--> INACCESSIBLE
 *       ^                     |                                       |
 *       +------success--------+               envol_volume_unlock     |
 *       +-------------------------------------------------------------+
 */
#include "volume/lease.h"

#include "base/error.h"
#include "base/random.h"
#include "page/revoke.h"

#include <time.h>

/* Volumes that were opened together drift apart: each check comes up to a tenth early. */
#define JITTER_PART 10

static uint64_t jitter(const struct envol_lease *lease)
{
    uint64_t most = lease->options.interval_ms / JITTER_PART;
    uint64_t drawn;

    if (most == 0 || (lease->options.flags & ENVOL_LEASE_NO_JITTER) != 0 ||
        envol_random(&drawn, sizeof(drawn)) != ENVOL_OK)
        return 0;
    return drawn % (most + 1);
}

/* Holds lock.  The grace, and the time without a success, end with a check. */
static void schedule(struct envol_lease *lease, uint64_t now_ms)
{
    struct envol_lease_info *info = &lease->info;
    uint64_t next_ms = now_ms + lease->options.interval_ms - jitter(lease);
    uint64_t end_ms = UINT64_MAX;

    if (info->state == ENVOL_LEASE_SUSPECT)
        end_ms = info->deadline_ms;
    else if (lease->options.max_unchecked_ms != 0)
        end_ms = info->last_success_ms + lease->options.max_unchecked_ms;
    info->next_check_ms = next_ms < end_ms ? next_ms : end_ms;
    if (info->state == ENVOL_LEASE_INACCESSIBLE)
        info->next_check_ms = 0;
    lease->scheduled = true;
}

/* Whether a check is due; starts the clock of a lease that is new or renewed. */
static bool is_due(struct envol_lease *lease, uint64_t now_ms)
{
    bool due;

    pthread_mutex_lock(&lease->lock);
    if (!lease->scheduled) {
        bool first = lease->info.checks == 0 && lease->info.last_success_ms == 0;
        lease->info.last_success_ms = now_ms;
        schedule(lease, now_ms);
        if (first && (lease->options.flags & ENVOL_LEASE_AT_ONCE) != 0)
            lease->info.next_check_ms = now_ms;
    }
    due = lease->info.state != ENVOL_LEASE_INACCESSIBLE && now_ms >= lease->info.next_check_ms;
    pthread_mutex_unlock(&lease->lock);
    return due;
}

/* Keys go before anybody is told that they are gone. */
static void change(struct envol_lease *lease, enum envol_lease_state to, uint64_t now_ms,
                   const struct envol_error *answer)
{
    struct envol_lease_change told = {.struct_size = sizeof(told), .to = to, .answer = answer};

    if (to == ENVOL_LEASE_INACCESSIBLE)
        envol_keyring_revoke(lease->volume->keyring);
    if (to == ENVOL_LEASE_SUSPECT)
        told.deadline_ms = now_ms + lease->options.grace_ms;
    pthread_mutex_lock(&lease->lock);
    told.from = lease->info.state;
    lease->info.state = to;
    lease->info.deadline_ms = told.deadline_ms;
    schedule(lease, now_ms);
    pthread_mutex_unlock(&lease->lock);
    if (lease->options.callback != NULL)
        lease->options.callback(lease->options.ctx, &told);
}

static void note(struct envol_lease *lease, uint64_t now_ms, enum envol_status status)
{
    struct envol_lease_info *info = &lease->info;

    pthread_mutex_lock(&lease->lock);
    info->checks++;
    info->last_status = status;
    info->last_check_ms = now_ms;
    info->last_check_at_s = (uint64_t)time(NULL);
    if (status == ENVOL_OK)
        info->last_success_ms = now_ms;
    schedule(lease, now_ms);
    pthread_mutex_unlock(&lease->lock);
}

/* Nobody but the holder of turn changes what is read here. */
static bool counts_as_refusal(const struct envol_lease *lease, uint64_t now_ms,
                              enum envol_status status)
{
    uint64_t most = lease->options.max_unchecked_ms;

    return envol_lease_is_refusal(status) ||
           (most != 0 && now_ms >= lease->info.last_success_ms + most);
}

static void judge(struct envol_lease *lease, uint64_t now_ms, const struct envol_error *answer)
{
    const struct envol_lease_info *info = &lease->info;

    note(lease, now_ms, answer->status);
    if (answer->status == ENVOL_OK) {
        if (info->state != ENVOL_LEASE_AVAILABLE)
            change(lease, ENVOL_LEASE_AVAILABLE, now_ms, answer);
        return;
    }
    if (info->state == ENVOL_LEASE_AVAILABLE && counts_as_refusal(lease, now_ms, answer->status))
        change(lease, ENVOL_LEASE_SUSPECT, now_ms, answer);
    if (info->state == ENVOL_LEASE_SUSPECT && now_ms >= info->deadline_ms)
        change(lease, ENVOL_LEASE_INACCESSIBLE, now_ms, answer);
}

void envol_lease_run(struct envol_lease *lease, uint64_t now_ms)
{
    struct envol_error answer = ENVOL_ERROR_INIT;
    uint64_t then_ms = now_ms;

    if (!is_due(lease, now_ms != 0 ? now_ms : envol_lease_clock()))
        return;
    answer.status = envol_lease_check(lease, &answer);
    if (answer.status == ENVOL_E_CANCELLED && __atomic_load_n(&lease->cancel, __ATOMIC_ACQUIRE))
        return; /* it is being stopped */
    if (then_ms == 0)
        then_ms = envol_lease_clock(); /* the check may have taken long */
    judge(lease, then_ms, &answer);
}

void envol_lease_renew(struct envol_lease *lease)
{
    struct envol_error answer = ENVOL_ERROR_INIT;
    uint64_t now_ms = envol_lease_clock();

    note(lease, now_ms, ENVOL_OK);
    if (lease->info.state != ENVOL_LEASE_AVAILABLE)
        change(lease, ENVOL_LEASE_AVAILABLE, now_ms, &answer);
    /* Whose clock the next poll goes by is not known here. */
    pthread_mutex_lock(&lease->lock);
    lease->scheduled = false;
    pthread_cond_signal(&lease->wake);
    pthread_mutex_unlock(&lease->lock);
}
