/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol import --log: what an import changes goes to the volume's log first (redo.c), then to the
 * pages.  A backup of the volume and the log together give back each import in between.
 *
 * Order: a begin record is synced; page 0 says begun, with the LSN before it, and is synced; then,
 * a batch at a time, page records are synced before the pages are written; pages are synced, then
 * an end record is, and page 0 says whole, with its LSN.  So pages never hold what the log does
 * not, and page 0 tells from which LSN on a replay has to begin.
 *
 * If page 0 says that the last import is whole and of this log, only pages that differ are written,
 * and the begin record names its end.  Otherwise pages may hold what no log has, or not hold what
 * this one has: they are cut away first, and the begin record says so.
 */
#include "log.h"

#include <stdlib.h>
#include <string.h>

int import_log_open(struct import_log *log, struct session *session, const struct options *options,
                    const struct batch *batch)
{
    size_t record_bytes = REDO_HEAD_BYTES + batch->page_bytes;
    int exit_status;

    log->options = options;
    log->session = session;
    log->entries = calloc(batch->capacity, sizeof *log->entries);
    log->records = malloc(batch->capacity * record_bytes);
    if (log->entries == NULL || log->records == NULL)
        return fail(options, ENVOL_E_NO_MEMORY, NULL);
    exit_status = batch_alloc(&log->before, options, batch->page_bytes);
    return exit_status == STATUS_OK ? log_open(session, options, true, &log->log) : exit_status;
}

static enum envol_status append(struct import_log *log, enum redo_kind kind, uint64_t number,
                                uint64_t *lsn, struct envol_error *error)
{
    uint8_t head[REDO_HEAD_BYTES];
    enum envol_status status;

    *lsn = 0;
    redo_encode(head, kind, number);
    status = envol_log_append(log->log, head, sizeof head, lsn, error);
    return status == ENVOL_OK ? envol_log_sync(log->log, *lsn, error) : status;
}

static enum envol_status write_record(struct import_log *log)
{
    enum envol_status status = record_write(log->session, &log->record);

    return status == ENVOL_OK ? envol_volume_sync(log->session->volume) : status;
}

static enum envol_status cut(struct import_log *log, uint64_t pages, struct envol_error *error)
{
    struct envol_volume *volume = log->session->volume;

    return envol_volume_pages(volume) > pages ? envol_volume_truncate(volume, pages, error)
                                              : ENVOL_OK;
}

enum envol_status import_log_begin(struct import_log *log, const struct import_record *was,
                                   struct envol_error *error)
{
    struct envol_log_info info = {.struct_size = sizeof info};
    enum envol_status status = envol_log_status(log->log, &info);
    uint64_t lsn;

    if (status != ENVOL_OK)
        return status;
    log->keeps_pages = was->content == CONTENT_WHOLE && was->is_logged &&
                       memcmp(was->log_id, info.log_id, sizeof info.log_id) == 0;
    status = append(log, REDO_BEGIN, log->keeps_pages ? was->mark : 0, &lsn, error);
    if (status != ENVOL_OK)
        return status;
    log->record =
        (struct import_record){.content = CONTENT_PARTIAL, .is_logged = true, .lsn = lsn - 1};
    memcpy(log->record.log_id, info.log_id, sizeof info.log_id);
    status = write_record(log);
    if (status == ENVOL_OK && !log->keeps_pages)
        status = cut(log, CONTENT_FIRST_PAGE, error);
    return status;
}

/* What the batch's pages hold now; statuses say which do not read, or are not there. */
static void read_before(struct import_log *log, const struct batch *batch, size_t count)
{
    struct batch *before = &log->before;

    batch_aim(before, batch->ios[0].page_no, count);
    for (size_t i = 0; i < count; i++)
        before->ios[i].status = ENVOL_E_UNWRITTEN; /* should the call fail before it reads */
    (void)!envol_page_read_batch(log->session->volume, before->ios, count, NULL);
}

static bool differs(const struct import_log *log, const struct batch *batch, size_t i)
{
    const struct envol_page_io *before = &log->before.ios[i];

    return !log->keeps_pages || before->status != ENVOL_OK ||
           memcmp(before->page, batch->ios[i].page, batch->page_bytes) != 0;
}

enum envol_status import_log_pages(struct import_log *log, struct batch *batch, size_t *count,
                                   struct envol_error *error)
{
    size_t record_bytes = REDO_HEAD_BYTES + batch->page_bytes, kept = 0;
    enum envol_status status;

    if (log->keeps_pages)
        read_before(log, batch, *count);
    for (size_t i = 0; i < *count; i++) {
        uint8_t *record = log->records + kept * record_bytes;
        if (!differs(log, batch, i))
            continue;
        batch->ios[kept] = batch->ios[i];
        redo_encode(record, REDO_PAGE, batch->ios[kept].page_no);
        memcpy(record + REDO_HEAD_BYTES, batch->ios[kept].page, batch->page_bytes);
        log->entries[kept] = (struct envol_log_entry){0, record, record_bytes};
        kept++;
    }
    *count = kept;
    if (kept == 0)
        return ENVOL_OK;
    status = envol_log_append_batch(log->log, log->entries, kept, error);
    return status == ENVOL_OK ? envol_log_sync(log->log, 0, error) : status;
}

enum envol_status import_log_end(struct import_log *log, uint64_t bytes, struct envol_error *error)
{
    enum envol_status status = envol_volume_sync(log->session->volume);
    uint64_t lsn = 0;

    if (status == ENVOL_OK)
        status = append(log, REDO_END, bytes, &lsn, error);
    if (status == ENVOL_OK)
        status = cut(log, CONTENT_FIRST_PAGE + content_pages(log->session, bytes), error);
    if (status != ENVOL_OK)
        return status;
    log->record.content = CONTENT_WHOLE;
    log->record.bytes = bytes;
    log->record.lsn = log->record.mark = lsn;
    return write_record(log);
}

int import_log_finish(struct import_log *log, int exit_status)
{
    exit_status = log_finish(log->log, log->options, exit_status);
    batch_free(&log->before);
    free(log->entries);
    free(log->records);
    return exit_status;
}
