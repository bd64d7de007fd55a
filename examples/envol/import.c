/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol import: a file, or a stream of unknown length, into the pages of a volume.  How the bytes
 * lie there, and why an import that was cut off cannot pass for a whole one, stands in record.c;
 * how one goes through the volume's log, in import_log.c.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct import {
    const struct options *options;
    struct session session;
    struct import_log log;
    struct import_record was; /* what page 0 says before */
    struct batch batch;
    struct progress progress;
    const char *source_name;
    int source;
    uint64_t bytes; /* imported so far */
};

static bool is_logged(const struct import *import)
{
    return (import->options->given & TAKES_LOG) != 0;
}

static int fail_import(struct import *import, enum envol_status status,
                       const struct envol_error *error)
{
    progress_hide(&import->progress);
    return fail(import->options, status, error);
}

/* All that can be wrong with the source is found before the volume loses what it holds. */
static int open_source(struct import *import, struct stat *about)
{
    const struct options *options = import->options;

    import->source = STDIN_FILENO;
    import->source_name = "standard input";
    if (options->file != NULL) {
        import->source = open(options->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        import->source_name = options->file;
    }
    if (import->source < 0 || fstat(import->source, about) != 0)
        return fail_errno(options, import->source_name, errno);
    if (S_ISDIR(about->st_mode))
        return fail_errno(options, import->source_name, EISDIR);
    if ((fcntl(import->source, F_GETFL) & O_ACCMODE) == O_WRONLY)
        return fail_errno(options, import->source_name, EBADF);
    if (is_named_file(options, about))
        return fail_usage(options, "%s is the volume itself or its key", import->source_name);
    return STATUS_OK;
}

/* What the volume holds must not be lost by a slip. */
static int check_content(struct import *import)
{
    enum envol_status status = record_read(&import->session, &import->was);

    if (import->options->given & TAKES_FORCE)
        return STATUS_OK;
    if (status != ENVOL_OK)
        return fail(import->options, status, NULL);
    if (import->was.content == CONTENT_WHOLE)
        return fail_text(import->options, ENVOL_E_STATE,
                         "the volume holds an import of %" PRIu64 " bytes; --force replaces it",
                         import->was.bytes);
    if (import->was.content == CONTENT_FOREIGN)
        return fail_text(import->options, ENVOL_E_STATE,
                         "the volume holds pages that no import wrote; --force replaces them");
    return STATUS_OK;
}

static int begin(struct import *import)
{
    const struct import_record begun = {.content = CONTENT_PARTIAL};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = ENVOL_OK;

    if (is_logged(import)) {
        status = import_log_begin(&import->log, &import->was, &error);
        return status == ENVOL_OK ? STATUS_OK : fail(import->options, status, &error);
    }
    if (envol_volume_pages(import->session.volume) > 0)
        status = envol_volume_truncate(import->session.volume, 0, &error);
    if (status == ENVOL_OK)
        status = record_write(&import->session, &begun);
    return status == ENVOL_OK ? STATUS_OK : fail(import->options, status, &error);
}

/* Fills the batch; fewer bytes only at the end of the source. */
static int read_batch(struct import *import, size_t *got)
{
    size_t room = import->batch.capacity * import->batch.page_bytes;

    *got = 0;
    while (*got < room) {
        ssize_t n = read_until_signal(import->source, import->batch.bytes + *got, room - *got);
        if (n < 0) {
            progress_hide(&import->progress);
            return is_cancelled() ? check_cancelled(import->options)
                                  : fail_errno(import->options, import->source_name, errno);
        }
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return STATUS_OK;
}

static int write_batch(struct import *import, size_t bytes)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct batch *batch = &import->batch;
    size_t pages = (size_t)content_pages(&import->session, bytes);
    enum envol_status status = ENVOL_OK;

    memset(batch->bytes + bytes, 0, pages * batch->page_bytes - bytes);
    batch_aim(batch, CONTENT_FIRST_PAGE + import->bytes / batch->page_bytes, pages);
    if (is_logged(import))
        status = import_log_pages(&import->log, batch, &pages, &error);
    if (status == ENVOL_OK && pages > 0)
        status = envol_page_write_batch(import->session.volume, batch->ios, pages, &error);
    if (status != ENVOL_OK)
        return fail_import(import, status, &error);
    import->bytes += bytes;
    progress_add(&import->progress, bytes);
    return STATUS_OK;
}

static int copy_content(struct import *import)
{
    size_t room = import->batch.capacity * import->batch.page_bytes;
    size_t got = room;
    int exit_status = STATUS_OK;

    while (exit_status == STATUS_OK && got == room) {
        exit_status = read_batch(import, &got);
        if (exit_status == STATUS_OK && got > 0)
            exit_status = write_batch(import, got);
    }
    return exit_status;
}

static enum envol_status complete_unlogged(struct import *import)
{
    const struct import_record whole = {.content = CONTENT_WHOLE, .bytes = import->bytes};
    enum envol_status status = envol_volume_sync(import->session.volume);

    if (status == ENVOL_OK)
        status = record_write(&import->session, &whole);
    return status == ENVOL_OK ? envol_volume_sync(import->session.volume) : status;
}

static int complete(struct import *import)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = is_logged(import)
                                   ? import_log_end(&import->log, import->bytes, &error)
                                   : complete_unlogged(import);

    return status == ENVOL_OK ? STATUS_OK : fail_import(import, status, &error);
}

/* What came before the failure is of no use, and may fill the disk.  The record of it stays, and so
 * does what the log does not have: a replay goes on from pages that the import kept. */
static void cut_back(const struct import *import)
{
    struct envol_volume *volume = import->session.volume;
    bool keeps_pages = is_logged(import) && import->log.keeps_pages;

    if (!keeps_pages && envol_volume_pages(volume) > CONTENT_FIRST_PAGE)
        (void)!envol_volume_truncate(volume, CONTENT_FIRST_PAGE, NULL);
}

static int import_content(struct import *import, const struct stat *source)
{
    uint64_t total = S_ISREG(source->st_mode) ? (uint64_t)source->st_size : 0;
    int exit_status = check_content(import);

    if (exit_status == STATUS_OK)
        exit_status =
            batch_alloc(&import->batch, import->options, import->session.geometry.page_bytes);
    if (exit_status == STATUS_OK && is_logged(import))
        exit_status =
            import_log_open(&import->log, &import->session, import->options, &import->batch);
    if (exit_status == STATUS_OK)
        exit_status = begin(import);
    if (exit_status != STATUS_OK)
        return exit_status;
    progress_start(&import->progress, "import", total);
    exit_status = copy_content(import);
    if (exit_status != STATUS_OK)
        cut_back(import);
    else
        exit_status = complete(import); /* if that fails, a record may say whole all the same */
    if (exit_status == STATUS_OK)
        progress_done(&import->progress);
    return exit_status;
}

int run_import(const struct options *options)
{
    struct import import = {
        .options = options,
        .log.options = options,
        .source = -1,
        .session.makes_space = (options->given & TAKES_LOG) != 0,
    };
    struct stat source;
    int exit_status = open_source(&import, &source);

    if (exit_status == STATUS_OK)
        exit_status = session_open(&import.session, options, 0);
    if (exit_status == STATUS_OK)
        exit_status = import_content(&import, &source);
    if (is_logged(&import))
        exit_status = import_log_finish(&import.log, exit_status);
    /* A point that a replay can go back to, once all of it is safe. */
    if (is_logged(&import) && exit_status == STATUS_OK)
        printf("%" PRIu64 "\n", import.log.record.lsn);
    exit_status = session_finish(&import.session, options, exit_status);
    batch_free(&import.batch);
    if (options->file != NULL && import.source >= 0)
        close(import.source);
    return exit_status;
}
