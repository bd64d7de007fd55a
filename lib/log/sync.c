/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Group commit: whoever finds nobody syncing becomes the leader and syncs for all whose records
 * were written by then.
 *
 * A thread whose record was just synced comes back with the next one in no time; a leader that went
 * off at once would miss it, and threads would split into two groups that sync in turn.  So the
 * leader waits until as many as at the end of the last sync are there, a quarter of what a sync
 * takes at most.
 */
#include "log/log.h"

#include "base/clock.h"
#include "base/error.h"

#include <time.h>

enum { GATHER_NS_MIN = 100000, GATHER_NS_MAX = 2000000 };

static void gather(struct envol_log *log)
{
    uint64_t patience = log->sync_ns / 4, until;
    struct timespec at;

    if (log->sync_ns < GATHER_NS_MIN || log->waiting + 1 >= log->crowd)
        return;
    until = envol_now_ns() + (patience < GATHER_NS_MAX ? patience : GATHER_NS_MAX);
    at = (struct timespec){.tv_sec = (time_t)(until / 1000000000u),
                           .tv_nsec = (long)(until % 1000000000u)};
    while (log->waiting + 1 < log->crowd &&
           pthread_cond_timedwait(&log->gathered, &log->lock, &at) == 0)
        ;
}

/* The moving average forgets a slow one within some syncs. */
static void note_time(struct envol_log *log, uint64_t took)
{
    log->sync_ns = log->sync_ns == 0 ? took : log->sync_ns - log->sync_ns / 4 + took / 4;
}

static void await_writes(struct envol_log *log, uint64_t ticket)
{
    while (log->oldest != NULL && log->oldest->ticket <= ticket)
        envol_log_wait(log);
}

static enum envol_status lead(struct envol_log *log, struct envol_error *error)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    uint64_t offset, lsn, began;
    uint32_t index;
    enum envol_status status;

    log->syncing = true;
    gather(log);
    offset = log->offset;
    lsn = log->next_lsn - 1;
    index = log->index;
    await_writes(log, log->ticket);
    status = envol_log_failure(log, error);
    if (status == ENVOL_OK) {
        pthread_mutex_unlock(&log->lock);
        began = envol_now_ns();
        status = envol_log_harm(envol_store_sync(log->store, &details), &details);
        began = envol_now_ns() - began;
        pthread_mutex_lock(&log->lock);
        note_time(log, began);
        if (status != ENVOL_OK) {
            envol_log_note(log, status, &details);
            envol_fail(error, status, "%s", details.message);
            envol_error_set_errno(error, details.os_errno);
        }
    }
    if (status == ENVOL_OK) {
        log->durable_offset = offset;
        log->durable_lsn = lsn;
        log->durable = index;
    }
    /* Those who wait count themselves anew: some of them are about to go. */
    log->crowd = log->waiting + 1;
    log->waiting = 0;
    log->syncs++;
    log->syncing = false;
    pthread_cond_broadcast(&log->changed);
    return status;
}

enum envol_status envol_log_sync_to(struct envol_log *log, uint64_t lsn, struct envol_error *error)
{
    enum envol_status status = envol_log_failure(log, error);
    uint64_t counted = UINT64_MAX; /* before which sync this thread was */

    /* What a change of the run or segment is about to say of the end is not looked at before it is
     * done. */
    while (status == ENVOL_OK && (log->switching || log->durable_lsn < lsn)) {
        if (log->syncing || log->switching) {
            if (counted != log->syncs) {
                counted = log->syncs;
                log->waiting++;
                pthread_cond_signal(&log->gathered);
            }
            envol_log_wait(log);
            status = envol_log_failure(log, error);
        } else {
            status = lead(log, error);
        }
    }
    return status;
}

enum envol_status envol_log_sync(struct envol_log *log, uint64_t lsn, struct envol_error *error)
{
    enum envol_status status = envol_log_check(log, error);

    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&log->lock);
    while (log->switching)
        envol_log_wait(log);
    if (lsn == 0)
        lsn = log->next_lsn - 1;
    if (lsn >= log->next_lsn)
        status =
            envol_fail(error, ENVOL_E_RANGE, "no record has LSN %llu yet", (unsigned long long)lsn);
    else
        status = envol_log_sync_to(log, lsn, error);
    pthread_mutex_unlock(&log->lock);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
