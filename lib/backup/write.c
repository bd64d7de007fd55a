/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing a backup: which pages, what they are, and how they go into the stream. */
#include "backup/catalog.h"
#include "backup/changes.h"
#include "backup/head.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "volume/snapshot.h"

#include <inttypes.h>
#include <string.h>

#define WRITE_FLAGS (ENVOL_OPEN_ALLOW_UNLOCKED | ENVOL_BACKUP_SKIP_BAD | ENVOL_BACKUP_RECORD)

struct writing {
    struct envol_volume *volume; /* the caller's, or an image of it */
    struct envol_volume *of;     /* the caller's, whose catalog it is */
    bool recorded;
    const struct envol_backup_options *options;
    struct envol_error *error;
    struct envol_message message;
    struct envol_backup_head head;
    struct envol_changes before, after;
    struct envol_backup_result result;
    uint8_t *pages; /* plaintext of one transfer */
    /* Pages of one kind that have no content, and are not written yet. */
    enum envol_item_kind gap;
    uint64_t gap_first, gap_count;
};

/* --- Items --- */

static enum envol_status put_item(struct writing *w, enum envol_item_kind kind, uint32_t count,
                                  uint64_t first)
{
    uint8_t item[ENVOL_ITEM_BYTES];

    envol_store32(item, kind);
    envol_store32(item + 4, count);
    envol_store64(item + 8, first);
    return envol_message_put(&w->message, item, sizeof(item));
}

static enum envol_status flush_gap(struct writing *w)
{
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && w->gap_count > 0) {
        uint32_t count = w->gap_count < UINT32_MAX ? (uint32_t)w->gap_count : UINT32_MAX;
        status = put_item(w, w->gap, count, w->gap_first);
        w->gap_first += count;
        w->gap_count -= count;
    }
    return status;
}

static enum envol_status add_gap(struct writing *w, enum envol_item_kind kind, uint64_t page_no)
{
    enum envol_status status = ENVOL_OK;

    if (w->gap_count > 0 && (w->gap != kind || w->gap_first + w->gap_count != page_no))
        status = flush_gap(w);
    if (w->gap_count == 0) {
        w->gap = kind;
        w->gap_first = page_no;
    }
    w->gap_count++;
    return status;
}

static enum envol_status put_pages(struct writing *w, const struct envol_page_io *ios, size_t n)
{
    enum envol_status status = flush_gap(w);

    if (status == ENVOL_OK)
        status = put_item(w, ENVOL_ITEM_PAGES, (uint32_t)n, ios[0].page_no);
    for (size_t i = 0; status == ENVOL_OK && i < n; i++)
        status = envol_message_put(&w->message, ios[i].page, w->volume->page_bytes);
    w->result.pages += n;
    return status;
}

static enum envol_status put_note(struct writing *w)
{
    const struct envol_backup_options *options = w->options;
    enum envol_status status;

    if (options->note == NULL || options->note_bytes == 0)
        return ENVOL_OK;
    w->result.note_bytes = options->note_bytes;
    status = put_item(w, ENVOL_ITEM_NOTE, (uint32_t)options->note_bytes, 0);
    return status == ENVOL_OK ? envol_message_put(&w->message, options->note, options->note_bytes)
                              : status;
}

/* --- Pages --- */

/* Whether a failure is the page's own. */
static bool is_bad(enum envol_status status)
{
    return status == ENVOL_E_CORRUPT || status == ENVOL_E_TRUNCATED || status == ENVOL_E_IO;
}

static enum envol_status put_unread(struct writing *w, const struct envol_page_io *io,
                                    const struct envol_error *details)
{
    if (io->status == ENVOL_E_UNWRITTEN) {
        w->result.holes++;
        return add_gap(w, ENVOL_ITEM_HOLES, io->page_no);
    }
    if (!is_bad(io->status) || (w->options->flags & ENVOL_BACKUP_SKIP_BAD) == 0) {
        envol_volume_tell(io, details, w->error);
        return io->status;
    }
    if (w->result.bad++ == 0)
        w->result.first_bad = io->page_no;
    return add_gap(w, ENVOL_ITEM_BAD, io->page_no);
}

static size_t run_of_pages(const struct envol_page_io *ios, size_t n)
{
    size_t run = 1;

    while (run < n && ios[run].status == ENVOL_OK && ios[run].page_no == ios[0].page_no + run)
        run++;
    return run;
}

/* Reads the pages of ios and puts them into the stream. */
static enum envol_status put_read(struct writing *w, struct envol_page_io *ios, size_t n)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status = envol_page_read_batch(w->volume, ios, n, &details);
    size_t done;

    if (status == ENVOL_OK)
        envol_error_clear(&details);
    status = ENVOL_OK;
    for (size_t i = 0; status == ENVOL_OK && i < n; i += done) {
        done = 1;
        if (ios[i].status != ENVOL_OK) {
            status = put_unread(w, &ios[i], &details);
            continue;
        }
        done = run_of_pages(ios + i, n - i);
        status = put_pages(w, ios + i, done);
    }
    return status;
}

/* A page that did not read is to be taken again by the next backup, whatever it is then. */
static void forget_bad(const struct envol_page_io *ios, size_t n, uint64_t first, uint8_t *nonces)
{
    for (size_t i = 0; i < n; i++)
        if (ios[i].status != ENVOL_OK && ios[i].status != ENVOL_E_UNWRITTEN)
            memset(nonces + (ios[i].page_no - first) * ENVOL_NONCE_BYTES, 0xff, ENVOL_NONCE_BYTES);
}

static bool is_unknown(const uint8_t *nonce)
{
    uint8_t unknown[ENVOL_NONCE_BYTES];

    memset(unknown, 0xff, sizeof(unknown));
    return memcmp(nonce, unknown, sizeof(unknown)) == 0;
}

/* Which pages of a run are to be read.  The nonces come before the pages: if one is written in
 * between, the next backup takes it again. */
static enum envol_status choose(struct writing *w, uint64_t first, size_t n, uint8_t *now,
                                struct envol_page_io *ios, size_t *chosen)
{
    uint8_t before[ENVOL_RUN_MAX * ENVOL_NONCE_BYTES];
    bool incremental = w->before.is_open;
    enum envol_status status = ENVOL_OK;

    if (incremental || w->after.is_open)
        status = envol_volume_read_nonces(w->volume, first, n, now, w->error);
    if (status == ENVOL_OK && incremental)
        status = envol_changes_get(&w->before, before, n);
    *chosen = 0;
    for (size_t i = 0; status == ENVOL_OK && i < n; i++) {
        const uint8_t *nonce = now + i * ENVOL_NONCE_BYTES;
        if (incremental && !is_unknown(nonce) &&
            memcmp(nonce, before + i * ENVOL_NONCE_BYTES, ENVOL_NONCE_BYTES) == 0)
            continue;
        ios[*chosen] = (struct envol_page_io){.page_no = first + i,
                                              .page = w->pages + *chosen * w->volume->page_bytes};
        ++*chosen;
    }
    return status;
}

static enum envol_status put_run(struct writing *w, uint64_t first, size_t n)
{
    uint8_t now[ENVOL_RUN_MAX * ENVOL_NONCE_BYTES] = {0};
    struct envol_page_io ios[ENVOL_RUN_MAX];
    size_t chosen;
    enum envol_status status = choose(w, first, n, now, ios, &chosen);

    if (status == ENVOL_OK && chosen > 0)
        status = put_read(w, ios, chosen);
    if (status != ENVOL_OK || !w->after.is_open)
        return status;
    forget_bad(ios, chosen, first, now);
    return envol_changes_put(&w->after, now, n);
}

static enum envol_status go_on(const struct writing *w, uint64_t done)
{
    const struct envol_backup_options *options = w->options;

    if ((options->cancel_flag != NULL && __atomic_load_n(options->cancel_flag, __ATOMIC_ACQUIRE)) ||
        (options->progress != NULL &&
         options->progress(options->progress_ctx, done, w->head.pages) != 0))
        return envol_fail(w->error, ENVOL_E_CANCELLED, "cancelled");
    return ENVOL_OK;
}

static enum envol_status put_all(struct writing *w)
{
    uint64_t pages = w->head.pages;
    size_t n;
    enum envol_status status = put_note(w);

    for (uint64_t first = 0; status == ENVOL_OK && first < pages; first += n) {
        n = pages - first < w->volume->run ? (size_t)(pages - first) : w->volume->run;
        status = put_run(w, first, n);
        if (status == ENVOL_OK)
            status = go_on(w, first + n);
    }
    if (status == ENVOL_OK)
        status = flush_gap(w);
    /* What was left out of the backup was so by a list that is whole. */
    if (status == ENVOL_OK && w->before.is_open)
        status = envol_changes_finish(&w->before);
    if (status == ENVOL_OK)
        status = put_item(w, ENVOL_ITEM_END, 0, pages);
    if (status == ENVOL_OK)
        status = envol_message_end(&w->message);
    /* A list that is whole speaks of a backup that is. */
    if (status == ENVOL_OK && w->after.is_open)
        status = envol_changes_end(&w->after);
    return status;
}

/* --- The whole --- */

static enum envol_status open_changes(struct writing *w)
{
    const struct envol_backup_options *options = w->options;
    bool rotated = false;
    enum envol_status status;

    if (options->changes == NULL)
        return ENVOL_OK;
    w->before.message.source = options->changes;
    w->before.message.ctx = options->changes_ctx;
    w->before.message.error = w->error;
    status = envol_changes_read(&w->before, w->volume, &rotated);
    w->result.rotated = rotated;
    if (status == ENVOL_OK && w->before.is_open)
        memcpy(w->head.parent, envol_changes_backup(&w->before), ENVOL_UUID_BYTES);
    return status;
}

static enum envol_status begin_changes(struct writing *w)
{
    const struct envol_backup_options *options = w->options;

    if (options->new_changes == NULL)
        return ENVOL_OK;
    w->after.message.sink = options->new_changes;
    w->after.message.ctx = options->new_changes_ctx;
    w->after.message.error = w->error;
    return envol_changes_write(&w->after, w->volume, w->head.header->uuid, w->head.pages);
}

/* Before the first byte: no backup is there that the catalog does not know. */
static enum envol_status record(void *ctx)
{
    struct writing *w = ctx;
    enum envol_status status;

    if ((w->options->flags & ENVOL_BACKUP_RECORD) == 0)
        return ENVOL_OK;
    status = envol_backup_record(w->of, &w->head, w->options->label, w->error);
    w->recorded = status == ENVOL_OK;
    return status;
}

/* A backup that failed is none; should the catalog keep it, it is one that was not finished. */
static void record_end(struct writing *w, enum envol_status written)
{
    const uint8_t *uuid = w->head.header->uuid;

    if (!w->recorded)
        return;
    if (written == ENVOL_OK)
        w->result.recorded =
            envol_catalog_finish(w->of, uuid, w->result.pages, w->message.bytes, NULL);
    else
        (void)envol_catalog_forget(w->of, uuid, NULL);
}

/* With access: a lease's check, or a refresh, replaces a reader's header. */
static enum envol_status make_head(struct writing *w)
{
    struct envol_volume *volume = w->volume;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_READ);

    if (status != ENVOL_OK)
        return envol_fail(w->error, status, NULL);
    status = envol_backup_head_new(&w->head, volume->header, envol_volume_pages(volume), w->error);
    envol_volume_leave(volume);
    return status;
}

static enum envol_status write_all(struct writing *w, const struct envol_key_call *call)
{
    size_t bytes = (size_t)w->volume->run * w->volume->page_bytes;
    enum envol_status status = make_head(w);

    if (status == ENVOL_OK)
        status = envol_message_open(&w->message, call->flags & ENVOL_KEYRING_FLAGS);
    if (status != ENVOL_OK)
        return status;
    w->pages = envol_alloc(bytes, ENVOL_BUFFER_ALIGN);
    if (w->pages == NULL)
        return envol_fail(w->error, ENVOL_E_NO_MEMORY, NULL);
    status = open_changes(w);
    if (status == ENVOL_OK)
        status = envol_backup_seal(call, &w->head, &w->message, record, w);
    if (status == ENVOL_OK)
        status = begin_changes(w);
    if (status == ENVOL_OK)
        status = go_on(w, 0);
    if (status == ENVOL_OK)
        status = put_all(w);
    record_end(w, status);
    envol_wipe(w->pages, bytes);
    return status;
}

/*
 * Of a writer that may make snapshots the backup is of one, so that it goes on writing meanwhile.
 * A snapshot that cannot be given up again is no reason to throw the backup away: it is listed, and
 * can be deleted.
 */
static enum envol_status write_image(struct writing *w, const struct envol_key_call *call)
{
    struct envol_volume *volume = w->volume;
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status status = envol_snapshot_create(
        volume,
        &(const struct envol_snapshot_options){.struct_size = sizeof(struct envol_snapshot_options),
                                               .label = "backup"},
        uuid, w->error);
    enum envol_status deleted;

    if (status != ENVOL_OK)
        return status;
    status = envol_snapshot_open(volume, uuid, &w->volume, w->error);
    if (status == ENVOL_OK) {
        status = write_all(w, call);
        (void)envol_volume_close(w->volume);
    }
    w->volume = volume;
    deleted = envol_snapshot_delete(volume, uuid, NULL);
    (void)deleted;
    return status;
}

static enum envol_status check(struct envol_volume *volume,
                               const struct envol_backup_options *options, envol_backup_sink *sink,
                               const struct envol_backup_result *result, struct envol_error *error)
{
    enum envol_status status;

    if (volume == NULL || sink == NULL || (options->flags & ~WRITE_FLAGS) != 0 ||
        (result != NULL && !ENVOL_FITS(backup_result, result)))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (options->note_bytes > ENVOL_BACKUP_NOTE_MAX ||
        (options->note == NULL && options->note_bytes > 0))
        return envol_fail(error, ENVOL_E_ARGUMENT, "a note of %zu bytes, at most %u",
                          options->note_bytes, ENVOL_BACKUP_NOTE_MAX);
    if (!envol_backup_label_is_sound(options->label))
        return envol_fail(error, ENVOL_E_ARGUMENT, "a label of more than %u bytes",
                          ENVOL_BACKUP_LABEL_BYTES - 1);
    status = envol_volume_enter(volume, ENVOL_ACCESS_READ);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    envol_volume_leave(volume);
    if (!volume->gcm && (options->changes != NULL || options->new_changes != NULL))
        return envol_fail(error, ENVOL_E_UNSUPPORTED,
                          "under XTS nothing tells which pages changed: make full backups");
    return ENVOL_OK;
}

static void show(struct writing *w, enum envol_status status, struct envol_backup_result *result)
{
    if (!ENVOL_FITS(backup_result, result))
        return;
    envol_sized_clear(result);
    if (status != ENVOL_OK)
        return;
    envol_backup_head_show(&w->head, &w->result);
    w->result.bytes = w->message.bytes;
    ENVOL_GIVE(backup_result, result, &w->result);
}

enum envol_status envol_backup_write(struct envol_volume *volume, const struct envol_cmk *cmks,
                                     size_t cmk_count, const struct envol_backup_options *options,
                                     envol_backup_sink *sink, void *ctx,
                                     struct envol_backup_result *result, struct envol_error *error)
{
    struct envol_backup_options whole;
    bool taken = ENVOL_TAKE(backup_options, options, &whole);
    struct envol_key_call call;
    struct writing w = {
        .volume = volume,
        .of = volume,
        .options = &whole,
        .error = error,
        .message = {.name = "the backup", .sink = sink, .ctx = ctx, .error = error},
        .result = {.first_bad = ENVOL_NO_PAGE},
    };
    enum envol_status status = taken
                                   ? check(volume, &whole, sink, result, error)
                                   : envol_fail(error, ENVOL_E_ARGUMENT, "options of another size");

    if (status == ENVOL_OK)
        status =
            envol_backup_call_make(cmks, cmk_count, w.options->flags & ENVOL_OPEN_ALLOW_UNLOCKED,
                                   w.options->timeout_ms, w.options->cancel_flag, &call, error);
    if (status == ENVOL_OK)
        status = volume->snapshots != NULL && envol_volume_is_own(volume) ? write_image(&w, &call)
                                                                          : write_all(&w, &call);
    show(&w, status, result);
    envol_changes_close(&w.before);
    envol_changes_close(&w.after);
    envol_message_close(&w.message);
    envol_backup_head_free(&w.head);
    envol_free(w.pages);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
