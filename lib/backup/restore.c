/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Restoring: the volume is unfinished, and refused by every open, from its first byte until all
 * that was asked for is in it and on stable storage.
 */
#include "backup/reading.h"
#include "base/error.h"
#include "base/memory.h"
#include "volume/volume.h"

#include <string.h>

/* So much is done again after a crash, at most. */
#define SAVE_BYTES (UINT64_C(64) << 20)

struct envol_restore {
    struct envol_store *store;
    struct envol_cmk cmks[ENVOL_SLOTS_MAX]; /* of the new volume */
    size_t cmk_count;
    struct envol_restore_options options;
    struct envol_volume *volume; /* NULL: the store is empty, or the restore is finished */
    bool finished;
};

static struct envol_volume_options volume_options(const struct envol_restore *restore)
{
    return (struct envol_volume_options){
        .struct_size = sizeof(struct envol_volume_options),
        .flags = restore->options.flags,
        .timeout_ms = restore->options.timeout_ms,
        .cancel_flag = restore->options.cancel_flag,
    };
}

/* --- Begin --- */

/* A store that has no header yet is looked at when the volume is created. */
static enum envol_status open_unfinished(struct envol_restore *restore, struct envol_error *error)
{
    const struct envol_volume_options options = volume_options(restore);
    struct envol_header_info info = {.struct_size = sizeof(info)};
    enum envol_status status = envol_volume_inspect(restore->store, &info, NULL, error);

    if (status == ENVOL_E_FORMAT || status == ENVOL_E_TRUNCATED)
        return ENVOL_OK;
    if (status != ENVOL_OK)
        return status;
    if (!info.restoring)
        return envol_fail(error, ENVOL_E_STATE,
                          "the store holds a volume already: restore into an empty one");
    return envol_volume_open_restoring(restore->store, restore->cmks, restore->cmk_count, &options,
                                       &restore->volume, error);
}

enum envol_status envol_restore_begin(struct envol_store *store, const struct envol_cmk *cmks,
                                      size_t cmk_count, const struct envol_restore_options *options,
                                      struct envol_restore **restore, struct envol_error *error)
{
    struct envol_restore_options whole;
    struct envol_key_call call;
    struct envol_restore *made;
    enum envol_status status;

    if (restore != NULL)
        *restore = NULL;
    if (restore == NULL || store == NULL || !envol_restore_options_take(options, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    status = envol_backup_call_make(cmks, cmk_count, whole.flags, whole.timeout_ms,
                                    whole.cancel_flag, &call, error);
    if (status != ENVOL_OK)
        return status;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_restore));
    if (made == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    made->store = store;
    memcpy(made->cmks, cmks, cmk_count * sizeof(*cmks));
    made->cmk_count = cmk_count;
    made->options = whole;
    status = open_unfinished(made, error);
    if (status != ENVOL_OK) {
        envol_restore_close(made);
        return status;
    }
    envol_error_clear(error);
    *restore = made;
    return ENVOL_OK;
}

/* --- Apply --- */

/* One backup on its way into the volume. */
struct applying {
    struct envol_restore *restore;
    struct envol_reading *reading;
    struct envol_error *error;
    uint64_t there; /* pages before it were written by an earlier call */
    uint64_t saved; /* of them, and of those since, the header knows */
};

static struct envol_restore_record record_of(const struct applying *a)
{
    return a->restore->volume->header->restore;
}

static enum envol_status save(struct applying *a, uint64_t next)
{
    struct envol_restore_record record = record_of(a);
    enum envol_status status;

    memcpy(record.applying, a->reading->head.header->uuid, ENVOL_UUID_BYTES);
    record.next_page = next;
    status = envol_volume_set_restore(a->restore->volume, &record, a->error);
    a->saved = next;
    return status;
}

static enum envol_status save_sometimes(struct applying *a, uint64_t next)
{
    uint64_t due = SAVE_BYTES / a->restore->volume->stride_bytes;

    return next > a->saved && next - a->saved >= due ? save(a, next) : ENVOL_OK;
}

static enum envol_status write_pages(void *ctx, uint64_t first, size_t n, uint8_t *pages)
{
    struct applying *a = ctx;
    struct envol_volume *volume = a->restore->volume;
    struct envol_page_io ios[ENVOL_RUN_MAX];
    size_t skipped = a->there > first ? (a->there - first < n ? (size_t)(a->there - first) : n) : 0;
    enum envol_status status;

    for (size_t i = 0; i < n; i++)
        ios[i] =
            (struct envol_page_io){.page_no = first + i, .page = pages + i * volume->page_bytes};
    status = envol_page_write_batch(volume, ios + skipped, n - skipped, a->error);
    return status == ENVOL_OK ? save_sometimes(a, first + n) : status;
}

/* Pages that are not there yet become holes when what follows them is written. */
static enum envol_status trim_pages(void *ctx, uint64_t first, uint64_t count)
{
    struct applying *a = ctx;
    struct envol_volume *volume = a->restore->volume;
    uint64_t end = first + count, pages = envol_volume_pages(volume);
    enum envol_status status = ENVOL_OK;

    first = first < a->there ? a->there : first;
    end = end < pages ? end : pages;
    if (first < end)
        status = envol_page_trim(volume, first, end - first);
    if (status != ENVOL_OK)
        return envol_fail(a->error, status, NULL);
    /* What is not there is not said to be. */
    return save_sometimes(a, end);
}

static enum envol_status keep_pages(void *ctx, uint64_t next, uint64_t first)
{
    struct applying *a = ctx;

    (void)next;
    if (first <= envol_volume_pages(a->restore->volume))
        return ENVOL_OK;
    return envol_fail(a->error, ENVOL_E_CORRUPT,
                      "the backup leaves pages out that were not there before");
}

static bool same_geometry(const struct envol_header *a, const struct envol_header *b)
{
    return a->suite == b->suite && a->page_bytes == b->page_bytes &&
           a->stride_bytes == b->stride_bytes &&
           ((a->incompatible ^ b->incompatible) &
            (ENVOL_FEATURE_SPARSE | ENVOL_FEATURE_ATOMIC_PAGES)) == 0;
}

/* Whether this backup is the next one. */
static enum envol_status check_turn(const struct applying *a)
{
    static const struct envol_restore_record none;
    const struct envol_volume *volume = a->restore->volume;
    const struct envol_restore_record *record = volume != NULL ? &volume->header->restore : &none;
    const struct envol_backup_head *head = &a->reading->head;
    bool is_full = envol_is_zero(head->parent, ENVOL_UUID_BYTES);
    bool is_first = envol_is_zero(record->applied, ENVOL_UUID_BYTES);

    if (!envol_is_zero(record->applying, ENVOL_UUID_BYTES) &&
        memcmp(record->applying, head->header->uuid, ENVOL_UUID_BYTES) != 0)
        return envol_fail(a->error, ENVOL_E_STATE,
                          "another backup is half restored: give that one again first");
    if (is_first && !is_full)
        return envol_fail(a->error, ENVOL_E_STATE,
                          "the backup is incremental: restore the full one that it follows first");
    if (!is_first && is_full)
        return envol_fail(a->error, ENVOL_E_STATE,
                          "the backup is full, and another one was restored already");
    if (!is_full && memcmp(record->applied, head->parent, ENVOL_UUID_BYTES) != 0)
        return envol_fail(a->error, ENVOL_E_STALE,
                          "the backup does not follow the one that was restored last");
    if (volume != NULL && !same_geometry(volume->header, head->header))
        return envol_fail(a->error, ENVOL_E_CORRUPT, "the backup is of pages of another size");
    return ENVOL_OK;
}

static enum envol_status create(struct applying *a)
{
    struct envol_restore *restore = a->restore;
    const struct envol_header *shape = a->reading->head.header;
    const struct envol_header_params params = {
        .struct_size = sizeof(params),
        .suite = shape->suite,
        .page_bytes = shape->page_bytes,
        .stride_bytes = shape->stride_bytes,
        .sparse = (shape->incompatible & ENVOL_FEATURE_SPARSE) != 0,
        .atomic_pages = (shape->incompatible & ENVOL_FEATURE_ATOMIC_PAGES) != 0,
    };
    struct envol_volume_options options = volume_options(restore);

    options.params = &params;
    return envol_volume_create_restoring(restore->store, restore->cmks, restore->cmk_count,
                                         &options, &restore->volume, a->error);
}

/* All of the backup is there: the size first, then the word that it is whole. */
static enum envol_status settle(struct applying *a)
{
    struct envol_volume *volume = a->restore->volume;
    struct envol_restore_record record = {.kind = ENVOL_RESTORE_UNFINISHED};
    enum envol_status status = envol_volume_truncate(volume, a->reading->head.pages, a->error);

    memcpy(record.applied, a->reading->head.header->uuid, ENVOL_UUID_BYTES);
    return status == ENVOL_OK ? envol_volume_set_restore(volume, &record, a->error) : status;
}

static enum envol_status apply(struct envol_restore *restore, struct envol_reading *reading,
                               struct envol_error *error)
{
    struct applying a = {.restore = restore, .reading = reading, .error = error};
    const struct envol_reading_visitor visitor = {
        .ctx = &a, .pages = write_pages, .holes = trim_pages, .unchanged = keep_pages};
    enum envol_status status = check_turn(&a);

    if (status == ENVOL_OK && restore->volume == NULL)
        status = create(&a);
    if (status != ENVOL_OK)
        return status;
    a.there = a.saved = record_of(&a).next_page;
    if (envol_is_zero(record_of(&a).applying, ENVOL_UUID_BYTES))
        status = save(&a, 0);
    if (status == ENVOL_OK)
        status = envol_reading_run(reading, &visitor);
    return status == ENVOL_OK ? settle(&a) : status;
}

enum envol_status envol_restore_apply(struct envol_restore *restore, const struct envol_cmk *cmks,
                                      size_t cmk_count, envol_backup_source *source, void *ctx,
                                      struct envol_backup_result *result, struct envol_error *error)
{
    struct envol_reading reading;
    enum envol_status status;

    if (restore == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (restore->finished)
        return envol_fail(error, ENVOL_E_STATE, "the restore is finished");
    status = envol_reading_open(&reading, cmks, cmk_count, &restore->options, source, ctx, result,
                                error);
    if (status == ENVOL_OK)
        status = apply(restore, &reading, error);
    envol_reading_show(&reading, status, result);
    envol_reading_close(&reading);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* --- The end --- */

enum envol_status envol_restore_finish(struct envol_restore *restore, struct envol_error *error)
{
    static const struct envol_restore_record none;
    const struct envol_restore_record *record;
    enum envol_status status;

    if (restore == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (restore->finished)
        return envol_fail(error, ENVOL_E_STATE, "the restore is finished");
    if (restore->volume == NULL)
        return envol_fail(error, ENVOL_E_STATE, "no backup was restored");
    record = &restore->volume->header->restore;
    if (!envol_is_zero(record->applying, ENVOL_UUID_BYTES) ||
        envol_is_zero(record->applied, ENVOL_UUID_BYTES))
        return envol_fail(error, ENVOL_E_STATE, "a backup is half restored: give it again");
    status = envol_volume_set_restore(restore->volume, &none, error);
    if (status != ENVOL_OK)
        return status;
    /* All is synced: should the mark not become clean, the next open searches the end. */
    (void)envol_volume_close(restore->volume);
    restore->volume = NULL;
    restore->finished = true;
    envol_error_clear(error);
    return ENVOL_OK;
}

void envol_restore_close(struct envol_restore *restore)
{
    if (restore == NULL)
        return;
    (void)envol_volume_close(restore->volume); /* what counts was said by apply and finish */
    envol_free(restore);
}
