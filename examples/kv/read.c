/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads: one key, a range, and all there is. */
#include "store.h"

#include <stdlib.h>

/* --- one key ---*/

/* The key's item in the page where it has to be; NULL if it is not there. */
static enum envol_status find_in_table(struct kv *kv, const struct table *table,
                                       struct kv_slice key, uint8_t *page, const uint8_t **item,
                                       struct envol_error *error)
{
    struct envol_lane *lane;
    enum envol_status status;

    *item = NULL;
    if (table->index.count == 0)
        return ENVOL_OK;
    lane = lane_take(kv);
    status = table_read(kv, table, table->index.entries[table_place(table, key)]->number, lane,
                        page, error);
    lane_give(kv, lane);
    if (status != ENVOL_OK)
        return status;
    *item = page_first(page);
    while (*item != NULL && compare(item_key(*item), key) < 0)
        *item = page_next(page, *item);
    if (*item != NULL && compare(item_key(*item), key) != 0)
        *item = NULL;
    return ENVOL_OK;
}

/* From the newest to the oldest; a deleted item ends the search as any other does.  What does not
 * read ends it too: what lies below may be out of date. */
static enum envol_status find(struct kv *kv, struct kv_slice key, uint8_t *page,
                              const uint8_t **item, struct envol_error *error)
{
    size_t place = list_find(&kv->memory, key);
    enum envol_status status = ENVOL_OK;

    *item = place < kv->memory.count ? kv->memory.entries[place]->item : NULL;
    if (*item != NULL && compare(item_key(*item), key) != 0)
        *item = NULL;
    for (size_t i = kv->root.run_count; status == ENVOL_OK && *item == NULL && i-- > 0;)
        status = find_in_table(kv, kv->runs[i], key, page, item, error);
    if (status == ENVOL_OK && *item == NULL)
        status = find_in_table(kv, &kv->base, key, page, item, error);
    return status;
}

enum envol_status kv_get(struct kv *kv, struct kv_slice key, void *value, size_t *value_bytes,
                         bool *found, struct envol_error *error)
{
    uint8_t page[STRIDE_BYTES];
    const uint8_t *item = NULL;
    enum envol_status status;

    *value_bytes = 0;
    *found = false;
    pthread_rwlock_rdlock(&kv->state);
    status = check_light(kv, error);
    if (status == ENVOL_OK)
        status = find(kv, key, page, &item, error);
    if (status == ENVOL_OK && item != NULL && !item_is_deleted(item)) {
        *found = true;
        *value_bytes = item_value(item).count;
        memcpy(value, item_value(item).bytes, *value_bytes);
    }
    pthread_rwlock_unlock(&kv->state);
    return status;
}

/* --- a range ---*/

static enum envol_status scan(struct kv *kv, struct kv_slice from, struct kv_slice to,
                              kv_callback *callback, void *ctx, struct envol_error *error)
{
    struct cursor *cursor;
    enum envol_status status = cursor_open(kv, from, true, &cursor, error);

    while (status == ENVOL_OK && cursor->item != NULL &&
           (to.bytes == NULL || compare(item_key(cursor->item), to) < 0)) {
        if (!item_is_deleted(cursor->item))
            status = callback(ctx, item_key(cursor->item), item_value(cursor->item));
        if (status == ENVOL_OK)
            status = cursor_next(cursor, error);
    }
    cursor_close(cursor);
    return status;
}

enum envol_status kv_scan(struct kv *kv, struct kv_slice from, struct kv_slice to,
                          kv_callback *callback, void *ctx, struct envol_error *error)
{
    enum envol_status status = check_light(kv, error);

    if (status != ENVOL_OK)
        return status;
    pthread_rwlock_rdlock(&kv->state);
    status = scan(kv, from, to, callback, ctx, error);
    pthread_rwlock_unlock(&kv->state);
    return status;
}

/* --- all there is ---*/

static int count_bad(void *ctx, uint64_t page_no, enum envol_status status)
{
    struct kv_figures *figures = ctx;

    (void)page_no, (void)status;
    figures->bad++;
    return 0;
}

static enum envol_status count_key(void *ctx, struct kv_slice key, struct kv_slice value)
{
    struct kv_figures *figures = ctx;

    (void)key, (void)value;
    figures->keys++;
    return ENVOL_OK;
}

/* Each page of the runs, and on past bad ones. */
static void check_runs(struct kv *kv, struct kv_figures *figures, enum envol_status *first,
                       struct envol_error *error)
{
    for (size_t i = 0; i < kv->root.run_count; i++) {
        for (uint64_t page_no = 0; page_no < kv->root.runs[i].pages; page_no++) {
            struct envol_error one = ENVOL_ERROR_INIT;
            uint8_t page[STRIDE_BYTES];
            enum envol_status status = table_read(kv, kv->runs[i], page_no, NULL, page, &one);

            figures->pages++;
            figures->bad += status != ENVOL_OK;
            if (status != ENVOL_OK && *first == ENVOL_OK) {
                *first = status;
                *error = one;
            }
        }
    }
}

enum envol_status kv_check(struct kv *kv, struct kv_figures *figures, struct envol_error *error)
{
    struct envol_verify_result result = {.struct_size = sizeof result};
    enum envol_status status;

    *figures = (struct kv_figures){.keys = 0};
    status = check_light(kv, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_volume_verify(kv->volume, count_bad, figures, &result, error);
    pthread_rwlock_rdlock(&kv->state);
    figures->pages = result.pages;
    figures->runs = kv->root.run_count;
    check_runs(kv, figures, &status, error);
    if (status == ENVOL_OK)
        status = scan(kv, (struct kv_slice){NULL, 0}, (struct kv_slice){NULL, 0}, count_key,
                      figures, error);
    pthread_rwlock_unlock(&kv->state);
    return status;
}
