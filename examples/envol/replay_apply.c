/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second pass of envol log replay: page 0 says begun, and how far it goes; then records are
 * applied to the pages, or handed to the engine's program; when all of that is safe, page 0 says
 * what the pages are.
 */
#include "replay.h"

#include <string.h>

static enum envol_status flush(struct replay *replay, struct envol_error *error)
{
    size_t count = replay->batched;

    replay->batched = 0;
    return count == 0
               ? ENVOL_OK
               : envol_page_write_batch(replay->session.volume, replay->batch.ios, count, error);
}

static enum envol_status put_page(struct replay *replay, const struct redo *redo,
                                  struct envol_error *error)
{
    struct batch *batch = &replay->batch;
    uint8_t *page = batch->bytes + replay->batched * batch->page_bytes;

    memcpy(page, redo->image, batch->page_bytes);
    batch->ios[replay->batched++] = (struct envol_page_io){.page_no = redo->number, .page = page};
    return replay->batched == batch->capacity ? flush(replay, error) : ENVOL_OK;
}

static enum envol_status cut(struct replay *replay, uint64_t pages, struct envol_error *error)
{
    struct envol_volume *volume = replay->session.volume;
    enum envol_status status = flush(replay, error);

    if (status != ENVOL_OK || envol_volume_pages(volume) <= pages)
        return status;
    return envol_volume_truncate(volume, pages, error);
}

static enum envol_status apply_redo(struct replay *replay, const struct redo *redo,
                                    struct envol_error *error)
{
    if (redo->kind == REDO_PAGE)
        return put_page(replay, redo, error);
    if (redo->kind == REDO_END)
        return cut(replay, CONTENT_FIRST_PAGE + content_pages(&replay->session, redo->number),
                   error);
    /* An import that goes on from another one may write a page that waits here once more. */
    return redo->number == 0 ? cut(replay, CONTENT_FIRST_PAGE, error) : flush(replay, error);
}

static int apply_record(void *ctx, const struct envol_log_record *record)
{
    struct replay *replay = ctx;
    struct envol_error error = ENVOL_ERROR_INIT;
    struct redo redo = {.kind = REDO_NONE};
    enum envol_status status = ENVOL_OK;

    if (is_cancelled())
        return 1;
    if (!replay->is_engines)
        status = redo_decode(record, replay->session.geometry.page_bytes, &redo);
    if (status == ENVOL_OK && redo.kind != REDO_NONE)
        status = apply_redo(replay, &redo, &error);
    else if (status == ENVOL_OK)
        status = applier_hand(&replay->applier, record, &error);
    if (status != ENVOL_OK)
        replay->exit_status = is_cancelled() ? check_cancelled(replay->options)
                                             : fail(replay->options, status, &error);
    return status != ENVOL_OK;
}

static enum envol_status write_record(struct replay *replay, const struct import_record *record)
{
    enum envol_status status = envol_volume_sync(replay->session.volume);

    if (status == ENVOL_OK)
        status = record_write(&replay->session, record);
    return status == ENVOL_OK ? envol_volume_sync(replay->session.volume) : status;
}

/* from: the record of page 0, which stays what it says but for "begun". */
static int begin(struct replay *replay, const struct import_record *from)
{
    struct import_record begun = *from;
    enum envol_status status;

    if (replay->redos == 0)
        return STATUS_OK;
    begun.content = CONTENT_PARTIAL;
    begun.bytes = 0;
    begun.mark = replay->last;
    status = write_record(replay, &begun);
    return status == ENVOL_OK
               ? batch_alloc(&replay->batch, replay->options, replay->session.geometry.page_bytes)
               : fail(replay->options, status, NULL);
}

static int apply_records(struct replay *replay, uint64_t start)
{
    const struct options *options = replay->options;
    struct envol_error error = ENVOL_ERROR_INIT, end_error = ENVOL_ERROR_INIT;
    enum envol_status status = ENVOL_OK, end;

    if (options->apply != NULL)
        status = applier_start(&replay->applier, options->apply, &error);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    status = envol_log_replay(replay->source.volume, replay->source.space, start, replay->last,
                              apply_record, replay, &error);
    end = applier_finish(&replay->applier, &end_error);
    if (replay->exit_status != STATUS_OK)
        return replay->exit_status;
    if (status != ENVOL_OK)
        return log_fail(&replay->of_log, status, &error);
    return end == ENVOL_OK ? STATUS_OK : fail(options, end, &end_error);
}

static int finish(struct replay *replay)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = ENVOL_OK;

    if (!replay->is_engines) {
        status = flush(replay, &error);
        if (status == ENVOL_OK)
            status = write_record(replay, &replay->at);
    }
    return status == ENVOL_OK ? STATUS_OK : fail(replay->options, status, &error);
}

int replay_apply(struct replay *replay, const struct import_record *from)
{
    int exit_status = begin(replay, from);

    if (exit_status == STATUS_OK)
        exit_status = apply_records(replay, from->lsn + 1);
    if (exit_status == STATUS_OK)
        exit_status = finish(replay);
    batch_free(&replay->batch);
    return exit_status;
}
