/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Beginning runs and segments.  What a run follows is synced before its header is written, and the
 * header is synced before a record of the run is: so a run that is there has all that it follows
 * before it, and a record that is there has its run's header.  A segment counts from when the
 * volume's header names it, and no record is written to it before.
 */
#include "log/log.h"

#include "base/error.h"
#include "page/revoke.h"

#include <string.h>

/* What a segment that is used again holds from former times ends here: of a header that is written
 * over it, a half could look like one that was damaged. */
static enum envol_status cut(struct envol_log *log, struct envol_error *error)
{
    uint64_t size;
    enum envol_status status = envol_store_size(log->store, &size, error);

    if (status == ENVOL_OK && size > log->offset)
        status = envol_store_resize(log->store, log->offset, error);
    return status;
}

enum envol_status envol_log_flush(struct envol_log *log, struct envol_error *error)
{
    enum envol_status status;

    if (log->durable_offset == log->offset && !log->stray)
        return ENVOL_OK;
    status = log->stray ? cut(log, error) : ENVOL_OK;
    if (status == ENVOL_OK)
        status = envol_store_sync(log->store, error);
    if (status != ENVOL_OK)
        return envol_log_harm(status, error);
    log->stray = false;
    log->durable_offset = log->offset;
    log->durable_lsn = log->next_lsn - 1;
    log->durable = log->index;
    return ENVOL_OK;
}

enum envol_status envol_log_write_run(struct envol_log *log, struct envol_store *store,
                                      uint64_t offset, struct envol_log_run **run,
                                      uint8_t tag[ENVOL_LOG_TAG_BYTES], struct envol_error *error)
{
    struct envol_log_run_params params = {
        .struct_size = sizeof(params),
        .run = log->run_no + 1,
        .start_lsn = log->next_lsn,
    };
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    enum envol_status status;

    memcpy(params.log_id, log->seal.log_id, sizeof(params.log_id));
    memcpy(params.previous_tag, log->tag, sizeof(params.previous_tag));
    status = envol_log_run_begin(log->keyring, &params, header, run);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_store_write(store, offset, header, sizeof(header), error);
    if (status == ENVOL_OK)
        status = envol_store_sync(store, error);
    if (status != ENVOL_OK) {
        envol_log_run_close(*run);
        *run = NULL;
        return status;
    }
    memcpy(tag, header + ENVOL_LOG_AT_COMMITMENT, ENVOL_LOG_TAG_BYTES);
    return ENVOL_OK;
}

static void enter(struct envol_log *log, uint64_t offset, struct envol_log_run *run,
                  const uint8_t tag[ENVOL_LOG_TAG_BYTES])
{
    envol_log_run_close(log->run);
    log->run = run;
    log->run_no++;
    log->epoch = run->epoch;
    log->ended = log->stray = false;
    log->offset = offset + ENVOL_LOG_RUN_HEADER_BYTES;
    log->index = log->tag_index = 0;
    memcpy(log->tag, tag, sizeof(log->tag));
    log->durable_offset = log->offset;
    log->durable_lsn = log->next_lsn - 1;
    log->durable = 0;
}

/* The volume's header tells of a run before a record is in it: a run that is missing with all of
 * its records is missed. */
static enum envol_status announce(struct envol_log *log, bool segment, struct envol_error *error)
{
    struct envol_log_seal seal = log->seal;
    enum envol_status status;

    seal.last_run = log->run_no + 1;
    seal.newest_segment += segment;
    status = envol_volume_set_log_seal(log->volume, &seal, error);
    if (status == ENVOL_OK)
        log->seal = seal;
    return status;
}

/* A header that was written and not announced is followed by an open that searches the end, and
 * must not be there when the header says where the end is. */
enum envol_status envol_log_begin_run(struct envol_log *log, struct envol_error *error)
{
    uint64_t offset = envol_log_run_place(log->offset);
    uint8_t tag[ENVOL_LOG_TAG_BYTES];
    struct envol_log_run *run = NULL;
    enum envol_status status = envol_log_flush(log, error);

    if (status == ENVOL_OK)
        status = cut(log, error);
    if (status == ENVOL_OK) {
        log->stray = true;
        status = envol_log_write_run(log, log->store, offset, &run, tag, error);
    }
    if (status == ENVOL_OK)
        status = announce(log, false, error);
    if (status == ENVOL_OK)
        enter(log, offset, run, tag);
    else
        envol_log_run_close(run);
    return status;
}

/* An index is used once: what was sealed is written, or the log has failed. */
static enum envol_status write_end(struct envol_log *log, struct envol_error *error)
{
    const struct envol_log_record record = {
        .lsn = log->next_lsn,
        .index = log->index,
        .durable = log->durable,
        .flags = ENVOL_LOG_FILLER | ENVOL_LOG_END,
    };
    uint8_t sealed[64];
    size_t bytes = envol_log_record_bytes(0);
    enum envol_status status = envol_keyring_hold(log->keyring, NULL);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = log->run->state;
    if (status != ENVOL_OK) {
        envol_keyring_release(log->keyring, NULL);
        return envol_fail(error, status, NULL);
    }
    status = envol_log_records_seal_held(log->run, &record, 1, sealed);
    envol_keyring_release(log->keyring, NULL);
    if (status != ENVOL_OK)
        return envol_log_harm(envol_fail(error, status, NULL), error);
    log->ended = true;
    log->index++;
    log->tag_index = log->index;
    memcpy(log->tag, sealed + bytes - sizeof(log->tag), sizeof(log->tag));
    log->offset += bytes;
    status = envol_store_write(log->store, log->offset - bytes, sealed, bytes, error);
    return envol_log_harm(status, error);
}

static enum envol_status open_next(struct envol_log *log, struct envol_store **store,
                                   struct envol_log_run **run, uint8_t tag[ENVOL_LOG_TAG_BYTES],
                                   struct envol_error *error)
{
    enum envol_status status = envol_log_segment_next(log, store, error);

    if (status == ENVOL_OK)
        status = envol_log_write_run(log, *store, 0, run, tag, error);
    if (status == ENVOL_OK)
        status = announce(log, true, error);
    if (status == ENVOL_OK)
        log->spares--;
    return status;
}

enum envol_status envol_log_begin_segment(struct envol_log *log, struct envol_error *error)
{
    uint8_t tag[ENVOL_LOG_TAG_BYTES];
    struct envol_store *store = NULL;
    struct envol_log_run *run = NULL;
    /* A run of before the log was opened is not added to. */
    enum envol_status status = log->ended || log->run == NULL ? ENVOL_OK : write_end(log, error);

    if (status == ENVOL_OK)
        status = envol_log_flush(log, error);
    if (status == ENVOL_OK)
        status = open_next(log, &store, &run, tag, error);
    if (status != ENVOL_OK) {
        envol_log_run_close(run);
        envol_store_close(store);
        return status;
    }
    envol_store_close(log->store);
    log->store = store;
    log->segment = log->seal.newest_segment;
    enter(log, 0, run, tag);
    return ENVOL_OK;
}
