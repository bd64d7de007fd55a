/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a log ends, as a writer that opens it finds it.  A log that was closed ends where the
 * volume's header says, and nowhere else.  One that was not ends behind the last whole batch that
 * reads; what follows it must look like a torn end.
 *
 * What was not known to be durable may be in a cache only, and a sync that failed makes the kernel
 * forget that it has to be written: it is written again, byte for byte, and synced.
 */
#include "log/log.h"

#include "base/error.h"
#include "base/memory.h"

#include <string.h>

enum { COPY_BYTES = 1 << 20 };

static enum envol_status enter_newest(struct envol_log *log, struct envol_log_cursor *cursor,
                                      struct envol_error *error)
{
    uint64_t newest = log->seal.newest_segment;
    struct envol_store *store;
    enum envol_status status = envol_log_segment_open(log->space, newest, 0, &store, error);

    if (status == ENVOL_OK)
        status = envol_log_cursor_begin(cursor, newest, store, error);
    if (status == ENVOL_E_UNWRITTEN || status == ENVOL_E_RANGE)
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "segment %llu, the newest of the log, is not there, or not of this log",
                          (unsigned long long)newest);
    return status;
}

/* To the end of the segment's last run. */
static enum envol_status walk(struct envol_log_cursor *cursor, struct envol_error *error)
{
    enum envol_status status;

    do {
        do
            status = envol_log_cursor_batch(cursor, error);
        while (status == ENVOL_OK);
        if (status == ENVOL_E_UNWRITTEN)
            status = envol_log_cursor_next_run(cursor, error);
    } while (status == ENVOL_OK);
    return status == ENVOL_E_UNWRITTEN ? ENVOL_OK : status;
}

static enum envol_status check_seal(const struct envol_log *log,
                                    const struct envol_log_cursor *cursor,
                                    struct envol_error *error)
{
    const struct envol_log_seal *seal = &log->seal;
    const struct envol_log_place *at = &cursor->at;

    if (at->offset == seal->end_offset && cursor->run_no == seal->last_run &&
        at->index == seal->last_run_records && at->next_lsn == seal->next_lsn &&
        memcmp(at->tag, seal->last_tag, sizeof(at->tag)) == 0)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_CORRUPT,
                      "segment %llu of the log ends at %llu, and was closed with its end at %llu",
                      (unsigned long long)cursor->segment, (unsigned long long)at->offset,
                      (unsigned long long)seal->end_offset);
}

static enum envol_status copy_over(struct envol_store *store, uint64_t from, uint64_t to,
                                   struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;
    uint8_t *bytes = envol_alloc(COPY_BYTES, 64);

    if (bytes == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    while (status == ENVOL_OK && from < to) {
        size_t n = to - from < COPY_BYTES ? (size_t)(to - from) : COPY_BYTES;

        status = envol_store_read_full(store, from, bytes, n, error);
        if (status == ENVOL_OK)
            status = envol_store_write(store, from, bytes, n, error);
        from += n;
    }
    envol_free(bytes);
    return status;
}

static enum envol_status settle(struct envol_log_cursor *cursor, struct envol_error *error)
{
    uint64_t from = cursor->run_offset, end = cursor->at.offset, size = 0;
    enum envol_status status = ENVOL_OK;

    if (cursor->at.durable > 0)
        status = envol_log_cursor_find(cursor, cursor->at.durable, &from, error);
    if (status == ENVOL_OK)
        status = copy_over(cursor->store, from, end, error);
    if (status == ENVOL_OK)
        status = envol_store_size(cursor->store, &size, error);
    if (status == ENVOL_OK && size > end)
        status = envol_store_resize(cursor->store, end, error);
    return status == ENVOL_OK ? envol_store_sync(cursor->store, error) : status;
}

static void take_place(struct envol_log *log, struct envol_log_cursor *cursor)
{
    log->store = cursor->store;
    cursor->store = NULL;
    log->segment = cursor->segment;
    log->run_no = cursor->run_no;
    log->ended = cursor->at.ended;
    log->next_lsn = cursor->at.next_lsn;
    log->offset = log->durable_offset = cursor->at.offset;
    log->durable_lsn = log->next_lsn - 1;
    memcpy(log->tag, cursor->at.tag, sizeof(log->tag));
}

enum envol_status envol_log_recover(struct envol_log *log, struct envol_error *error)
{
    struct envol_log_cursor cursor = {.keyring = log->keyring, .has_id = true};
    enum envol_status status;

    memcpy(cursor.log_id, log->seal.log_id, sizeof(cursor.log_id));
    status = enter_newest(log, &cursor, error);
    if (status == ENVOL_OK)
        status = walk(&cursor, error);
    if (status == ENVOL_OK && cursor.run_no < log->seal.last_run)
        status =
            envol_fail(error, ENVOL_E_CORRUPT, "the log ends with run %llu, and run %llu had begun",
                       (unsigned long long)cursor.run_no, (unsigned long long)log->seal.last_run);
    if (status == ENVOL_OK && log->seal.kind == ENVOL_LOG_SEAL_SEALED)
        status = check_seal(log, &cursor, error);
    else if (status == ENVOL_OK && !cursor.at.ended)
        status = envol_log_cursor_search(&cursor, error);
    if (status == ENVOL_OK && log->seal.kind != ENVOL_LOG_SEAL_SEALED)
        status = settle(&cursor, error);
    if (status == ENVOL_OK)
        take_place(log, &cursor);
    envol_log_cursor_end(&cursor);
    return status;
}
