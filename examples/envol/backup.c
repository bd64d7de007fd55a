/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol backup: a volume's pages into a stream under other CMKs, its bytes as they are, or a stream
 * read to its end.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

struct backup {
    const struct options *options;
    struct session session;
    struct cmk_sources to;
    struct progress progress;
    struct target target, list;         /* the backup; the new list of changes */
    struct stream before;               /* the last list */
    uint64_t done;                      /* pages, or bytes, that the bar was told of */
    uint8_t recorded[ENVOL_UUID_BYTES]; /* what the catalog has of it; has_entry: it is there */
    bool has_entry;
};

static int put(void *ctx, const void *bytes, size_t count)
{
    return target_put(ctx, bytes, count);
}

static int advance(struct backup *backup, uint64_t done, uint64_t unit_bytes)
{
    progress_add(&backup->progress, (done - backup->done) * unit_bytes);
    backup->done = done;
    return is_cancelled();
}

static int advance_pages(void *ctx, uint64_t done, uint64_t pages)
{
    struct backup *backup = ctx;

    (void)pages;
    return advance(backup, done, backup->session.geometry.stride_bytes);
}

static int advance_bytes(void *ctx, uint64_t done, uint64_t bytes)
{
    struct backup *backup = ctx;

    if (backup->progress.total_bytes == 0)
        progress_start(&backup->progress, "backup", bytes);
    return advance(backup, done, 1);
}

static int fail_backup(struct backup *backup, enum envol_status status,
                       const struct envol_error *error)
{
    progress_hide(&backup->progress);
    if (is_cancelled())
        return check_cancelled(backup->options);
    if (error->page_no != ENVOL_NO_PAGE)
        return fail_text(backup->options, status, "page %" PRIu64 ": %s; envol verify lists all",
                         error->page_no, envol_status_message(status));
    /* "Restore it from a backup" is no advice here. */
    if ((backup->options->given & TAKES_VERIFY) != 0 &&
        (status == ENVOL_E_CORRUPT || status == ENVOL_E_TRUNCATED))
        return fail_text(backup->options, status, "%s", error->message);
    return fail(backup->options, status, error);
}

/* --- The catalog --- */

static bool records(const struct backup *backup)
{
    return (backup->options->given & TAKES_RECORD) != 0;
}

/* Where the backup is to be found, for people. */
static void make_label(const struct options *options, char label[ENVOL_BACKUP_LABEL_BYTES])
{
    const char *name = options->file == NULL ? "" : strrchr(options->file, '/');

    if (name == NULL)
        name = options->file;
    else if (*name == '/')
        name++;
    snprintf(label, ENVOL_BACKUP_LABEL_BYTES, "%s", name);
}

static void note_entry(struct backup *backup, const uint8_t uuid[ENVOL_UUID_BYTES])
{
    memcpy(backup->recorded, uuid, ENVOL_UUID_BYTES);
    backup->has_entry = true;
}

/* A backup that did not come to its place is none. */
static void take_back_entry(struct backup *backup)
{
    enum envol_status status;

    if (!backup->has_entry || backup->target.is_in_place)
        return;
    status = backup->session.volume == NULL /* a raw copy's: closed, so that it could be made */
                 ? ENVOL_E_STATE
                 : envol_backup_forget(backup->session.volume, backup->recorded, NULL);
    if (status == ENVOL_OK)
        return;
    fputs("envol: backup: the catalog has it all the same: envol catalog forget ", stderr);
    print_text(stderr, backup->options->path);
    putc(' ', stderr);
    print_uuid(stderr, backup->recorded);
    putc('\n', stderr);
}

/* --- Of the pages --- */

/* No list yet: the backup is full, and makes one. */
static int open_lists(struct backup *backup)
{
    const char *path = backup->options->changes;

    if (path == NULL)
        return STATUS_OK;
    backup->list.replaces = true;
    if (access(path, F_OK) == 0 || errno != ENOENT) {
        int exit_status = stream_open(&backup->before, backup->options, path);
        if (exit_status != STATUS_OK)
            return exit_status;
    }
    return target_open(&backup->list, backup->options, path);
}

static int write_stream(struct backup *backup)
{
    const struct options *options = backup->options;
    bool has_list = options->changes != NULL;
    bool follows = backup->before.fd >= 0;
    char label[ENVOL_BACKUP_LABEL_BYTES];
    const struct envol_backup_options how = {
        .struct_size = sizeof how,
        .flags = records(backup) ? ENVOL_BACKUP_RECORD : 0,
        .label = label,
        .note = options->note,
        .note_bytes = options->note == NULL ? 0 : strlen(options->note),
        .changes = follows ? stream_read : NULL,
        .changes_ctx = &backup->before,
        .new_changes = has_list ? put : NULL,
        .new_changes_ctx = &backup->list,
        .progress = advance_pages,
        .progress_ctx = backup,
        .cancel_flag = &cancel_flag,
    };
    struct envol_backup_result result = {.struct_size = sizeof result};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;

    make_label(options, label);
    progress_start(&backup->progress, "backup",
                   envol_volume_pages(backup->session.volume) *
                       backup->session.geometry.stride_bytes);
    status = envol_backup_write(backup->session.volume, backup->to.cmks, backup->to.count, &how,
                                put, &backup->target, &result, &error);
    if (status != ENVOL_OK)
        return fail_backup(backup, status, &error);
    if (records(backup))
        note_entry(backup, result.uuid);
    if (result.recorded != ENVOL_OK) {
        progress_hide(&backup->progress);
        fprintf(stderr, "envol: backup: whole, but the catalog has it as unfinished: %s\n",
                envol_status_message(result.recorded));
    }
    if (result.rotated) {
        progress_hide(&backup->progress);
        fprintf(stderr, "envol: backup: full, as the DEK was rotated since the last one\n");
    }
    return STATUS_OK;
}

/* Of a snapshot, beside its writer; else as a writer, though nothing is written: nobody else writes
 * meanwhile then. */
static int back_up_pages(struct backup *backup)
{
    const struct options *options = backup->options;
    uint32_t flags = options->snapshot != NULL ? ENVOL_OPEN_READ_ONLY : 0;
    int exit_status = session_open(&backup->session, options, flags);

    if (exit_status == STATUS_OK)
        exit_status = cmk_sources_open(&backup->to, options, options->tos, options->to_count);
    if (exit_status == STATUS_OK)
        exit_status = target_open(&backup->target, options, options->file);
    if (exit_status == STATUS_OK)
        exit_status = open_lists(backup);
    if (exit_status == STATUS_OK)
        exit_status = write_stream(backup);
    /* The list speaks of a backup that is there. */
    if (exit_status == STATUS_OK) {
        exit_status = target_publish(&backup->target);
        if (exit_status != STATUS_OK)
            take_back_entry(backup);
    }
    if (exit_status == STATUS_OK)
        exit_status = target_publish(&backup->list);
    if (exit_status == STATUS_OK)
        progress_done(&backup->progress);
    return exit_status;
}

/* --- Of the bytes --- */

/* With a key, which the copy itself does without, and before there is a copy. */
static int record_raw(struct backup *backup)
{
    const struct options *options = backup->options;
    struct envol_error error = ENVOL_ERROR_INIT;
    char label[ENVOL_BACKUP_LABEL_BYTES];
    uint8_t uuid[ENVOL_UUID_BYTES];
    int exit_status = session_open(&backup->session, options, 0);
    enum envol_status status;

    make_label(options, label);
    if (exit_status == STATUS_OK) {
        status = envol_backup_note_raw(backup->session.volume, label, uuid, &error);
        if (status != ENVOL_OK)
            exit_status = fail_backup(backup, status, &error);
        else
            note_entry(backup, uuid);
    }
    return session_finish(&backup->session, options, exit_status);
}

static int copy_bytes(struct backup *backup)
{
    const struct options *options = backup->options;
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status =
        envol_file_store_open(options->path, ENVOL_FILE_READ_ONLY, &backup->session.store, &error);

    if (status != ENVOL_OK)
        return fail(options, status, &error);
    status = envol_backup_raw(backup->session.store, put, &backup->target, advance_bytes, backup,
                              &error);
    return status == ENVOL_OK ? target_publish(&backup->target)
                              : fail_backup(backup, status, &error);
}

static int back_up_bytes(struct backup *backup)
{
    int exit_status = target_open(&backup->target, backup->options, backup->options->file);

    if (exit_status == STATUS_OK && records(backup))
        exit_status = record_raw(backup);
    if (exit_status == STATUS_OK)
        exit_status = copy_bytes(backup);
    if (exit_status == STATUS_OK)
        progress_done(&backup->progress);
    else
        take_back_entry(backup);
    return exit_status;
}

/* --- Reading one --- */

static void print_result(const struct envol_backup_result *result, const char *note)
{
    char created[TIME_BYTES];

    printf("backup      ");
    print_uuid(stdout, result->uuid);
    printf("\nkind        %s", result->incremental ? "incremental, follows " : "full");
    if (result->incremental)
        print_uuid(stdout, result->parent);
    printf("\ncreated     %s\n", format_time(result->created_at_s, created) ? created : "?");
    printf("suite       %s\npage size   %" PRIu32 " in %" PRIu32 "%s%s\n",
           suite_name(result->suite), result->page_bytes, result->stride_bytes,
           result->sparse ? ", sparse" : "", result->atomic_pages ? ", atomic" : "");
    printf("volume      %" PRIu64 " pages\nholds       %" PRIu64 " pages, %" PRIu64 " unwritten",
           result->volume_pages, result->pages, result->holes);
    if (result->bad > 0)
        printf(", %" PRIu64 " that did not read, the first %" PRIu64, result->bad,
               result->first_bad);
    printf("\nbytes       %" PRIu64 "\n", result->bytes);
    if (result->note_bytes > 0) {
        printf("note        ");
        print_text(stdout, note);
        putchar('\n');
    }
}

static int verify(struct backup *backup)
{
    static char note[ENVOL_BACKUP_NOTE_MAX + 1];
    const struct options *options = backup->options;
    const struct envol_restore_options how = {.struct_size = sizeof how,
                                              .cancel_flag = &cancel_flag};
    struct envol_backup_result result = {
        .struct_size = sizeof result, .note = note, .note_capacity = sizeof note - 1};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    int exit_status = cmk_sources_open(&backup->to, options, options->froms, options->from_count);

    if (exit_status == STATUS_OK)
        exit_status = stream_open(&backup->before, options, options->path);
    if (exit_status != STATUS_OK)
        return exit_status;
    stream_show(&backup->before, &backup->progress, "verify");
    status = envol_backup_verify(backup->to.cmks, backup->to.count, &how, stream_read,
                                 &backup->before, &result, &error);
    if (status != ENVOL_OK)
        return fail_backup(backup, status, &error);
    progress_done(&backup->progress);
    print_result(&result, note);
    return STATUS_OK;
}

/* Which of the three it is, and what goes with that one. */
static int check_options(const struct options *options)
{
    uint64_t ways = options->given & (TAKES_VERIFY | TAKES_RAW);
    bool records = (options->given & TAKES_RECORD) != 0;
    uint64_t writes = options->given & (TAKES_TO | TAKES_CHANGES | TAKES_NOTE | TAKES_SNAPSHOT);

    if (ways == (TAKES_VERIFY | TAKES_RAW))
        return fail_usage(options, "--verify and --raw do not go together");
    if (ways == TAKES_VERIFY && records)
        return fail_usage(options, "--verify takes no --record");
    if (ways != 0 && (((options->given & TAKES_CMK) != 0 && !records) || writes != 0))
        return fail_usage(options, "%s takes no --cmk, --to, --changes, --note or --snapshot",
                          ways == TAKES_RAW ? "--raw" : "--verify");
    if (ways == TAKES_RAW && (options->given & TAKES_SPACE) != 0 && !records)
        return fail_usage(options, "--raw takes no --space without --record");
    if (ways == TAKES_VERIFY && (options->given & (TAKES_SPACE | TAKES_FORCE)) != 0)
        return fail_usage(options, "--verify takes no --space or --force");
    if (ways != TAKES_VERIFY && options->from_count > 0)
        return fail_usage(options, "--from goes with --verify");
    if (ways == TAKES_VERIFY && options->from_count == 0)
        return fail_usage(options, "--from URI is missing");
    if (ways == TAKES_VERIFY && options->file_count > 0)
        return fail_usage(options, "%s: one operand too many", options->files[0]);
    if (records && options->snapshot != NULL)
        return fail_usage(options, "--record writes to the volume, --snapshot only reads it");
    if ((ways == 0 || records) && options->cmk_count == 0)
        return fail_usage(options, "--cmk URI is missing, and ENVOL_CMK is not set");
    if (ways == 0 && options->to_count == 0)
        return fail_usage(options, "--to URI is missing");
    if (options->changes != NULL && options->file != NULL &&
        is_one_file(options->file, options->changes))
        return fail_usage(options, "%s is both the backup and its list of changes", options->file);
    return STATUS_OK;
}

int run_backup(const struct options *options)
{
    struct backup backup = {
        .options = options,
        .session.makes_space = (options->given & TAKES_RECORD) != 0,
    };
    int exit_status = check_options(options);

    if (exit_status != STATUS_OK)
        return exit_status;
    target_init(&backup.target, &backup.progress);
    target_init(&backup.list, &backup.progress);
    stream_init(&backup.before);
    if ((options->given & TAKES_VERIFY) != 0)
        exit_status = verify(&backup);
    else if ((options->given & TAKES_RAW) != 0)
        exit_status = back_up_bytes(&backup);
    else
        exit_status = back_up_pages(&backup);
    stream_close(&backup.before);
    exit_status = target_close(&backup.list, exit_status);
    exit_status = target_close(&backup.target, exit_status);
    exit_status = session_finish(&backup.session, options, exit_status);
    cmk_sources_close(&backup.to);
    return exit_status;
}
