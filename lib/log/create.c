/* SPDX-License-Identifier: BSD-2-Clause */
/* A log's beginning and its removal. */
#include "log/log.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"

#include <string.h>

/* A file that is not this volume's is not removed: the space may be another's.  That of a log that
 * there is may be damaged. */
static enum envol_status check_file(const struct envol_log *log, uint64_t number, bool may_be_bad,
                                    struct envol_error *error)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_store *store;
    size_t got = 0;
    enum envol_status status =
        envol_log_segment_open(log->space, number, ENVOL_SPACE_READ_ONLY, &store, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_store_read(store, 0, header, sizeof(header), &got, error);
    envol_store_close(store);
    if (status != ENVOL_OK || got < sizeof(header) || envol_is_zero(header, sizeof(header)))
        return status;
    if (envol_log_run_peek(header, &info) != ENVOL_OK
            ? may_be_bad
            : memcmp(info.uuid, log->keyring->uuid, sizeof(info.uuid)) == 0)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_STATE, "segment %llu in the space is not of this volume",
                      (unsigned long long)number);
}

static enum envol_status check_files(const struct envol_log *log, bool may_be_bad,
                                     struct envol_error *error)
{
    struct envol_log_segments segments;
    enum envol_status status = envol_log_list(log->space, &segments, error);

    for (size_t i = 0; i < segments.count && status == ENVOL_OK; i++)
        status = check_file(log, segments.numbers[i], may_be_bad, error);
    envol_log_segments_free(&segments);
    return status;
}

static enum envol_status clear(const struct envol_log *log, struct envol_error *error)
{
    struct envol_log_segments segments;
    enum envol_status status = envol_log_list(log->space, &segments, error);

    for (size_t i = 0; i < segments.count && status == ENVOL_OK; i++)
        status = envol_log_segment_remove(log->space, segments.numbers[i], error);
    envol_log_segments_free(&segments);
    return status;
}

/* The header names the segment when that is there, with its first run.  Who reads from below the
 * first LSN is told that nothing is there, as of what was truncated. */
static enum envol_status begin(struct envol_log *log, uint64_t first_lsn, struct envol_error *error)
{
    struct envol_log_seal seal = {
        .struct_size = sizeof(seal),
        .kind = ENVOL_LOG_SEAL_OPEN,
        .oldest_segment = 1,
        .newest_segment = 1,
        .last_run = 1,
        .first_lsn = first_lsn > 1 ? first_lsn : 0,
    };
    uint8_t tag[ENVOL_LOG_TAG_BYTES];
    enum envol_status status = envol_random(seal.log_id, sizeof(seal.log_id));

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    log->seal = seal;
    log->next_lsn = first_lsn > 1 ? first_lsn : 1;
    log->durable_lsn = log->next_lsn - 1;
    status = envol_log_segment_open(log->space, 1, ENVOL_SPACE_CREATE, &log->store, error);
    if (status == ENVOL_OK)
        status = envol_log_write_run(log, log->store, 0, &log->run, tag, error);
    if (status != ENVOL_OK)
        return status;
    log->seal.lowest_epoch = log->epoch = log->run->epoch;
    status = envol_volume_set_log_seal(log->volume, &log->seal, error);
    log->segment = log->run_no = 1;
    memcpy(log->tag, tag, sizeof(log->tag));
    log->offset = log->durable_offset = ENVOL_LOG_RUN_HEADER_BYTES;
    return status;
}

static enum envol_status check_kind(const struct envol_log *log, bool exists,
                                    struct envol_error *error)
{
    struct envol_log_seal seal;
    enum envol_status status = envol_volume_log_seal(log->volume, &seal);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if ((seal.kind != ENVOL_LOG_SEAL_NONE) == exists)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_STATE,
                      exists ? "the volume has no log" : "the volume has a log");
}

enum envol_status envol_log_create(struct envol_volume *volume, struct envol_space *space,
                                   const struct envol_log_options *options, struct envol_log **log,
                                   struct envol_error *error)
{
    struct envol_log *made;
    enum envol_status status;

    if (log == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    *log = NULL;
    status = envol_log_make(volume, space, options, &made, error);
    if (status != ENVOL_OK)
        return status;
    status = check_kind(made, false, error);
    /* A crash after an earlier log was taken out of the header, or before this one came into it. */
    if (status == ENVOL_OK)
        status = check_files(made, false, error);
    if (status == ENVOL_OK)
        status = clear(made, error);
    if (status == ENVOL_OK)
        status = begin(made, options != NULL ? options->first_lsn : 0, error);
    if (status != ENVOL_OK) {
        envol_log_free(made);
        return status;
    }
    *log = made;
    envol_error_clear(error);
    return ENVOL_OK;
}

enum envol_status envol_log_delete(struct envol_volume *volume, struct envol_space *space,
                                   struct envol_error *error)
{
    const struct envol_log_seal none = {.struct_size = sizeof(none)};
    struct envol_log *log;
    enum envol_status status = envol_log_make(volume, space, NULL, &log, error);

    if (status != ENVOL_OK)
        return status;
    status = check_kind(log, true, error);
    if (status == ENVOL_OK)
        status = check_files(log, true, error);
    if (status == ENVOL_OK)
        status = envol_volume_set_log_seal(volume, &none, error);
    if (status == ENVOL_OK)
        status = clear(log, error);
    envol_log_free(log);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
