/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol export: exactly the bytes that were imported, into a file that appears whole or not at all,
 * or to standard output.
 */
#include "command.h"

#include <inttypes.h>

struct export
{
    const struct options *options;
    struct session session;
    struct batch batch;
    struct progress progress;
    uint64_t bytes; /* of the import */
    struct target target;
};

static int find_content(struct export *export)
{
    struct import_record record;
    enum envol_status status = record_read(&export->session, &record);

    export->bytes = record.bytes;
    if (status != ENVOL_OK)
        return fail(export->options, status, NULL);
    if (record.content == CONTENT_NONE)
        return fail_text(export->options, ENVOL_E_STATE,
                         "the volume is empty; fill it with envol import");
    if (record.content == CONTENT_FOREIGN)
        return fail_text(export->options, ENVOL_E_STATE,
                         "the volume's pages are not an import; read them with their own program");
    if (record.content == CONTENT_PARTIAL && record.mark != 0)
        return fail_text(
            export->options, ENVOL_E_STATE,
            "a replay of a log was cut off, or still runs; run envol log replay again");
    if (record.content == CONTENT_PARTIAL)
        return fail_text(export->options, ENVOL_E_STATE,
                         "the import was cut off, or still runs; run envol import again");
    return STATUS_OK;
}

static int fail_page(struct export *export, enum envol_status status,
                     const struct envol_error *error)
{
    progress_hide(&export->progress);
    if (status == ENVOL_E_RANGE || status == ENVOL_E_TRUNCATED)
        return fail_text(export->options, ENVOL_E_TRUNCATED,
                         "page %" PRIu64 ": the volume ends before the import of %" PRIu64
                         " bytes does; restore it from a backup",
                         error->page_no, export->bytes);
    if (error->page_no == ENVOL_NO_PAGE)
        return fail(export->options, status, error);
    return fail_text(export->options, status, "page %" PRIu64 ": %s; restore it from a backup",
                     error->page_no, envol_status_message(status));
}

static int read_batch(struct export *export, uint64_t first, size_t pages)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct batch *batch = &export->batch;
    enum envol_status status;
    size_t i = 0;

    batch_aim(batch, first, pages);
    status = envol_page_read_batch(export->session.volume, batch->ios, pages, &error);
    if (status == ENVOL_OK)
        return STATUS_OK;
    while (i < pages && batch->ios[i].status == ENVOL_OK)
        i++;
    if (i < pages)
        error.page_no = batch->ios[i].page_no;
    return fail_page(export, status, &error);
}

static int copy_content(struct export *export)
{
    struct batch *batch = &export->batch;
    size_t room = batch->capacity * batch->page_bytes;
    uint64_t left = export->bytes;
    uint64_t first = CONTENT_FIRST_PAGE;
    int exit_status = STATUS_OK;

    while (exit_status == STATUS_OK && left > 0) {
        size_t bytes = left < room ? (size_t)left : room;
        size_t pages = (size_t)content_pages(&export->session, bytes);
        exit_status = read_batch(export, first, pages);
        if (exit_status == STATUS_OK)
            exit_status = target_write(&export->target, batch->bytes, bytes);
        first += pages;
        left -= bytes;
        progress_add(&export->progress, bytes);
    }
    return exit_status;
}

static int export_content(struct export *export)
{
    int exit_status = find_content(export);

    if (exit_status == STATUS_OK)
        exit_status =
            batch_alloc(&export->batch, export->options, export->session.geometry.page_bytes);
    if (exit_status == STATUS_OK)
        exit_status = target_open(&export->target, export->options, export->options->file);
    if (exit_status != STATUS_OK)
        return exit_status;
    progress_start(&export->progress, "export", export->bytes);
    exit_status = copy_content(export);
    if (exit_status == STATUS_OK)
        exit_status = target_publish(&export->target);
    if (exit_status == STATUS_OK)
        progress_done(&export->progress);
    return exit_status;
}

int run_export(const struct options *options)
{
    struct export export = {.options = options};
    int exit_status;

    target_init(&export.target, &export.progress);
    exit_status = session_open(&export.session, options, ENVOL_OPEN_READ_ONLY);
    if (exit_status == STATUS_OK)
        exit_status = export_content(&export);
    exit_status = target_close(&export.target, exit_status);
    exit_status = session_finish(&export.session, options, exit_status);
    batch_free(&export.batch);
    return exit_status;
}
