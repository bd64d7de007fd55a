/* SPDX-License-Identifier: BSD-2-Clause */
/* A merge of memory, runs and base: the newest item of each key, in the order of keys. */
#include "store.h"

#include <stdlib.h>

/* --- one source ---*/

/* The first item of the page at source->place. */
static enum envol_status load_page(struct cursor *cursor, struct source *source,
                                   struct envol_error *error)
{
    const struct list *index = &source->table->index;
    enum envol_status status;

    source->item = NULL;
    if (source->place >= index->count)
        return ENVOL_OK;
    status = table_read(cursor->kv, source->table, index->entries[source->place]->number,
                        cursor->lane, source->page, error);
    if (status == ENVOL_OK)
        source->item = page_first(source->page);
    return status;
}

static enum envol_status step(struct cursor *cursor, struct source *source,
                              struct envol_error *error)
{
    if (source->list != NULL) {
        source->place++;
        source->item =
            source->place < source->list->count ? source->list->entries[source->place]->item : NULL;
        return ENVOL_OK;
    }
    source->item = page_next(source->page, source->item);
    if (source->item != NULL)
        return ENVOL_OK;
    source->place++;
    return load_page(cursor, source, error);
}

static enum envol_status seek(struct cursor *cursor, struct source *source, struct kv_slice from,
                              struct envol_error *error)
{
    enum envol_status status;

    if (source->list != NULL) {
        source->place = list_find(source->list, from) - 1; /* and one step on */
        return step(cursor, source, error);
    }
    source->place = table_place(source->table, from);
    status = load_page(cursor, source, error);
    while (status == ENVOL_OK && source->item != NULL && compare(item_key(source->item), from) < 0)
        status = step(cursor, source, error);
    return status;
}

/* --- all of them ---*/

/* Of equal keys the first source has the newest. */
static void choose(struct cursor *cursor)
{
    cursor->item = NULL;
    for (size_t i = 0; i < cursor->count; i++) {
        const uint8_t *item = cursor->sources[i].item;

        if (item != NULL && (cursor->item == NULL || compare_items(item, cursor->item) < 0))
            cursor->item = item;
    }
}

enum envol_status cursor_next(struct cursor *cursor, struct envol_error *error)
{
    bool is_passed[RUNS_MAX + 2];
    enum envol_status status = ENVOL_OK;

    /* All are compared before one steps, as the item lies in a source's page. */
    for (size_t i = 0; i < cursor->count; i++) {
        const uint8_t *item = cursor->sources[i].item;

        is_passed[i] = item != NULL && compare_items(item, cursor->item) == 0;
    }
    for (size_t i = 0; status == ENVOL_OK && i < cursor->count; i++) {
        if (is_passed[i])
            status = step(cursor, &cursor->sources[i], error);
    }
    if (status == ENVOL_OK)
        choose(cursor);
    return status;
}

enum envol_status cursor_open(struct kv *kv, struct kv_slice from, bool with_base,
                              struct cursor **out, struct envol_error *error)
{
    struct cursor *cursor = *out = malloc(sizeof *cursor);
    enum envol_status status = ENVOL_OK;

    if (cursor == NULL)
        return kv_fail(error, ENVOL_E_NO_MEMORY, "a cursor");
    cursor->kv = kv;
    cursor->lane = lane_take(kv);
    cursor->item = NULL;
    cursor->count = 0;
    cursor->sources[cursor->count++].list = &kv->memory;
    for (size_t i = kv->root.run_count; i-- > 0; cursor->count++) {
        cursor->sources[cursor->count].list = NULL;
        cursor->sources[cursor->count].table = kv->runs[i];
    }
    if (with_base) {
        cursor->sources[cursor->count].list = NULL;
        cursor->sources[cursor->count++].table = &kv->base;
    }
    if (from.bytes == NULL)
        from = (struct kv_slice){"", 0};
    for (size_t i = 0; status == ENVOL_OK && i < cursor->count; i++)
        status = seek(cursor, &cursor->sources[i], from, error);
    if (status == ENVOL_OK)
        choose(cursor);
    return status;
}

void cursor_close(struct cursor *cursor)
{
    if (cursor == NULL)
        return;
    lane_give(cursor->kv, cursor->lane);
    free(cursor);
}
