/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol restore: a new volume of a full backup and the incremental ones that follow it.  One that
 * was stopped is gone on with by the same call.
 */
#include "command.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Where a backup names itself (envol(5), BACKUP STREAM). */
enum { BACKUP_UUID_AT = 16, BACKUP_START_BYTES = 32 };

struct restoring {
    const struct options *options;
    struct session session; /* the CMKs of the new volume, and its store */
    struct cmk_sources from;
    struct progress progress;
    struct envol_restore *restore;
    bool created; /* the file is ours */
};

static int fail_restore(struct restoring *r, enum envol_status status,
                        const struct envol_error *error, const char *name)
{
    progress_hide(&r->progress);
    if (is_cancelled())
        return fail_text(r->options, ENVOL_E_CANCELLED,
                         "stopped by a signal; run it again to go on");
    if (name == NULL || error->message[0] == '\0')
        return fail(r->options, status, error);
    return fail_text(r->options, status, "%s: %s", name, error->message);
}

static int open_store(struct restoring *r)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status =
        envol_file_store_open(r->options->path, ENVOL_FILE_CREATE, &r->session.store, &error);

    r->created = status == ENVOL_OK;
    if (status == ENVOL_E_STATE)
        status = envol_file_store_open(r->options->path, 0, &r->session.store, &error);
    return status == ENVOL_OK ? STATUS_OK : fail(r->options, status, &error);
}

/* How many of the files an earlier call restored whole, as far as files and header say: what they
 * say here nobody vouches for. */
static size_t count_restored(struct restoring *r, uint8_t applied[ENVOL_UUID_BYTES])
{
    const struct options *options = r->options;
    struct envol_header_info info = {.struct_size = sizeof info};
    uint8_t start[BACKUP_START_BYTES];

    if (envol_volume_inspect(r->session.store, &info, NULL, NULL) != ENVOL_OK || !info.restoring)
        return 0;
    memcpy(applied, info.restore_applied, ENVOL_UUID_BYTES);
    for (size_t i = options->file_count; i > 0; i--) {
        struct stream stream;
        size_t n = 0;
        stream_init(&stream);
        if (access(options->files[i - 1], R_OK) == 0 &&
            stream_open(&stream, options, options->files[i - 1]) == STATUS_OK)
            n = stream_peek(&stream, start, sizeof start);
        stream_close(&stream);
        if (n == sizeof start && memcmp(start + BACKUP_UUID_AT, applied, ENVOL_UUID_BYTES) == 0)
            return i;
    }
    return 0;
}

/* The backup was made all the same, and says so. */
static void say_bad(struct restoring *r, const char *name, const struct envol_backup_result *result)
{
    if (result->bad == 0)
        return;
    progress_hide(&r->progress);
    fputs("envol: restore: ", stderr);
    print_text(stderr, name);
    fprintf(stderr,
            ": %" PRIu64 " pages did not read when it was made, the first %" PRIu64
            ": it left them unwritten\n",
            result->bad, result->first_bad);
}

/* Reads a backup into the volume; or one that is there already, for what it says of itself. */
static int take(struct restoring *r, const char *path, bool applies,
                struct envol_backup_result *result)
{
    const struct envol_restore_options how = {.struct_size = sizeof how,
                                              .cancel_flag = &cancel_flag};
    const struct envol_cmk *cmks = r->from.cmks;
    struct envol_error error = ENVOL_ERROR_INIT;
    struct stream stream;
    enum envol_status status;
    int exit_status;

    stream_init(&stream);
    exit_status = stream_open(&stream, r->options, path);
    if (exit_status == STATUS_OK) {
        stream_show(&stream, &r->progress, applies ? "restore" : "verify");
        status = applies ? envol_restore_apply(r->restore, cmks, r->from.count, stream_read,
                                               &stream, result, &error)
                         : envol_backup_verify(cmks, r->from.count, &how, stream_read, &stream,
                                               result, &error);
        if (status != ENVOL_OK) {
            exit_status = fail_restore(r, status, &error, stream.name);
        } else {
            progress_done(&r->progress);
            if (applies)
                say_bad(r, stream.name, result);
        }
    }
    stream_close(&stream);
    return exit_status;
}

static int apply(struct restoring *r, const char *path)
{
    struct envol_backup_result result = {.struct_size = sizeof result};

    return take(r, path, true, &result);
}

static int apply_all(struct restoring *r, size_t first)
{
    const struct options *options = r->options;
    int exit_status = STATUS_OK;

    if (options->file_count == 0)
        return apply(r, "-");
    for (size_t i = first; exit_status == STATUS_OK && i < options->file_count; i++)
        exit_status = apply(r, options->files[i]);
    return exit_status;
}

/* With a file to apply its parent shows that those before it are there.  Without, the files have to
 * show it themselves: each follows the one before, and the last one is what the volume has. */
static int verify_all(struct restoring *r, const uint8_t applied[ENVOL_UUID_BYTES])
{
    const struct options *options = r->options;
    uint8_t before[ENVOL_UUID_BYTES] = {0};

    for (size_t i = 0; i < options->file_count; i++) {
        struct envol_backup_result result = {.struct_size = sizeof result};
        int exit_status = take(r, options->files[i], false, &result);

        if (exit_status != STATUS_OK)
            return exit_status;
        if (memcmp(result.parent, before, sizeof before) != 0)
            return fail_text(options, ENVOL_E_STALE, "%s: does not follow the one before",
                             options->files[i]);
        memcpy(before, result.uuid, sizeof before);
    }
    return memcmp(before, applied, sizeof before) == 0
               ? STATUS_OK
               : fail_text(options, ENVOL_E_STALE, "the last file is not what was restored last");
}

static int restore(struct restoring *r)
{
    uint8_t applied[ENVOL_UUID_BYTES] = {0};
    const struct envol_restore_options how = {.struct_size = sizeof how,
                                              .cancel_flag = &cancel_flag};
    struct envol_error error = ENVOL_ERROR_INIT;
    size_t first = count_restored(r, applied);
    enum envol_status status = envol_restore_begin(r->session.store, r->session.cmks,
                                                   r->session.cmk_count, &how, &r->restore, &error);
    int exit_status;

    if (status != ENVOL_OK)
        return fail_restore(r, status, &error, NULL);
    exit_status =
        first > 0 && first == r->options->file_count ? verify_all(r, applied) : apply_all(r, first);
    if (exit_status != STATUS_OK)
        return exit_status;
    status = envol_restore_finish(r->restore, &error);
    return status == ENVOL_OK ? STATUS_OK : fail_restore(r, status, &error, NULL);
}

/* A file of ours in which no volume came to be is of no use to anybody. */
static void remove_empty(const struct restoring *r)
{
    struct stat about;

    if (r->created && stat(r->options->path, &about) == 0 && about.st_size == 0)
        unlink(r->options->path);
}

int run_restore(const struct options *options)
{
    struct restoring r = {.options = options};
    int exit_status;

    if (options->from_count == 0)
        return fail_usage(options, "--from URI is missing");
    exit_status = session_providers(&r.session, options);
    if (exit_status == STATUS_OK)
        exit_status = cmk_sources_open(&r.from, options, options->froms, options->from_count);
    if (exit_status == STATUS_OK)
        exit_status = open_store(&r);
    if (exit_status == STATUS_OK)
        exit_status = restore(&r);
    envol_restore_close(r.restore);
    remove_empty(&r);
    exit_status = session_finish(&r.session, options, exit_status);
    cmk_sources_close(&r.from);
    return exit_status;
}
