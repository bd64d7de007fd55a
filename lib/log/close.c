/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left of a log's calls: its end, its state, its segments' beginning and end. */
#include "log/log.h"

#include "base/error.h"
#include "base/sized.h"

#include <string.h>

/* --- Closing --- */

static enum envol_status seal_end(struct envol_log *log, struct envol_error *error)
{
    struct envol_log_seal seal = log->seal;

    seal.kind = ENVOL_LOG_SEAL_SEALED;
    seal.last_run = log->run_no;
    seal.next_lsn = log->next_lsn;
    seal.end_offset = log->offset;
    seal.last_run_records = log->index;
    memcpy(seal.last_tag, log->tag, sizeof(seal.last_tag));
    return envol_volume_set_log_seal(log->volume, &seal, error);
}

enum envol_status envol_log_close(struct envol_log *log, struct envol_error *error)
{
    enum envol_status status;

    if (log == NULL)
        return ENVOL_OK;
    if (envol_log_check(log, NULL) != ENVOL_OK) {
        envol_log_free(log);
        return ENVOL_OK;
    }
    pthread_mutex_lock(&log->lock);
    envol_log_stop(log);
    status = envol_log_failure(log, error);
    pthread_mutex_unlock(&log->lock);
    if (status == ENVOL_OK)
        status = envol_log_flush(log, error);
    if (status == ENVOL_OK)
        status = seal_end(log, error);
    envol_log_free(log);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* --- What it is --- */

enum envol_status envol_log_status(struct envol_log *log, struct envol_log_info *info)
{
    struct envol_log_info whole;
    enum envol_status status;

    if (!ENVOL_FITS(log_info, info))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(info);
    status = envol_log_check(log, NULL);
    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&log->admin);
    pthread_mutex_lock(&log->lock);
    whole = (struct envol_log_info){
        .failed = log->failed,
        .oldest_segment = log->seal.oldest_segment,
        .newest_segment = log->seal.newest_segment,
        .first_lsn = log->seal.first_lsn,
        .next_lsn = log->next_lsn,
        .durable_lsn = log->durable_lsn,
        .run = log->run_no,
        .segment_bytes = log->offset,
        .epoch = log->epoch,
    };
    memcpy(whole.log_id, log->seal.log_id, sizeof(whole.log_id));
    pthread_mutex_unlock(&log->lock);
    pthread_mutex_unlock(&log->admin);
    ENVOL_GIVE(log_info, info, &whole);
    return ENVOL_OK;
}

/* --- Segments --- */

/* One whose run is under an older DEK keeps that DEK in need, with or without a record. */
static bool is_as_new(const struct envol_log *log)
{
    return log->offset == ENVOL_LOG_RUN_HEADER_BYTES &&
           log->epoch == envol_keyring_epoch(log->keyring);
}

enum envol_status envol_log_next_segment(struct envol_log *log, struct envol_error *error)
{
    enum envol_status status = envol_log_check(log, error);

    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&log->lock);
    while (log->switching)
        envol_log_wait(log);
    status = envol_log_failure(log, error);
    if (status == ENVOL_OK && !is_as_new(log))
        status = envol_log_change(log, true, error);
    pthread_mutex_unlock(&log->lock);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* The LSN and epoch that a segment begins with. */
static enum envol_status look_at(struct envol_log *log, uint64_t number, uint64_t *lsn,
                                 uint32_t *epoch, struct envol_error *error)
{
    struct envol_log_cursor cursor = {.keyring = log->keyring, .has_id = true};
    struct envol_store *store;
    enum envol_status status =
        envol_log_segment_open(log->space, number, ENVOL_SPACE_READ_ONLY, &store, error);

    memcpy(cursor.log_id, log->seal.log_id, sizeof(cursor.log_id));
    if (status == ENVOL_OK)
        status = envol_log_cursor_begin(&cursor, number, store, error);
    *lsn = cursor.start_lsn;
    *epoch = cursor.epoch;
    envol_log_cursor_end(&cursor);
    if (status == ENVOL_E_RANGE || status == ENVOL_E_UNWRITTEN)
        status = envol_fail(error, ENVOL_E_CORRUPT, "segment %llu of the log is missing",
                            (unsigned long long)number);
    return status;
}

/* Moves the seal's beginning on to the last segment that begins at or below an LSN. */
static enum envol_status find_oldest(struct envol_log *log, uint64_t below_lsn,
                                     struct envol_log_seal *seal, struct envol_error *error)
{
    while (seal->oldest_segment < seal->newest_segment) {
        uint64_t lsn;
        uint32_t epoch;
        enum envol_status status = look_at(log, seal->oldest_segment + 1, &lsn, &epoch, error);

        if (status != ENVOL_OK)
            return status;
        if (lsn > below_lsn)
            break;
        seal->oldest_segment++;
        seal->first_lsn = lsn;
        seal->lowest_epoch = epoch;
    }
    return ENVOL_OK;
}

static enum envol_status retire(struct envol_log *log, uint64_t number, struct envol_error *error)
{
    char from[ENVOL_LOG_NAME_BYTES], to[ENVOL_LOG_NAME_BYTES];
    enum envol_status status;

    if (log->spares >= log->recycle)
        return envol_log_segment_remove(log->space, number, error);
    envol_log_name(number, from);
    envol_log_name(log->seal.newest_segment + 1 + log->spares, to);
    status = envol_space_rename(log->space, from, to, error);
    if (status == ENVOL_OK)
        log->spares++;
    return status;
}

static enum envol_status truncate_below(struct envol_log *log, uint64_t below_lsn,
                                        struct envol_error *error)
{
    struct envol_log_seal seal = log->seal;
    uint64_t gone = seal.oldest_segment;
    enum envol_status status = find_oldest(log, below_lsn, &seal, error);

    if (status != ENVOL_OK || seal.oldest_segment == gone)
        return status;
    status = envol_volume_set_log_seal(log->volume, &seal, error);
    if (status != ENVOL_OK)
        return status;
    log->seal = seal;
    for (; gone < seal.oldest_segment && status == ENVOL_OK; gone++)
        status = retire(log, gone, error);
    return status;
}

enum envol_status envol_log_truncate(struct envol_log *log, uint64_t below_lsn,
                                     struct envol_error *error)
{
    enum envol_status status = envol_log_check(log, error);

    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&log->lock);
    status = envol_log_failure(log, error);
    pthread_mutex_unlock(&log->lock);
    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&log->admin);
    status = truncate_below(log, below_lsn, error);
    pthread_mutex_unlock(&log->admin);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
