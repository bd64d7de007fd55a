/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The base: sorted pages of the volume, in any order of their numbers, and an index of their first
 * keys, which is in memory and in a chain of pages.  A fold writes pages that nobody names yet.
 */
#include "store.h"

#include <stdlib.h>

/* --- which pages are free ---*/

static bool make_room(struct kv *kv, uint64_t pages)
{
    uint8_t *used;

    if (pages <= kv->used_pages)
        return true;
    used = realloc(kv->used, 2 * pages);
    if (used == NULL)
        return false;
    memset(used + kv->used_pages, 0, 2 * pages - kv->used_pages);
    kv->used = used;
    kv->used_pages = 2 * pages;
    return true;
}

static bool use(struct kv *kv, uint64_t page_no)
{
    if (!make_room(kv, page_no + 1))
        return false;
    kv->used[page_no] = 1;
    return true;
}

enum envol_status base_find_free(struct kv *kv, struct envol_error *error)
{
    bool fits = make_room(kv, ROOT_PAGES);

    memset(kv->used, 0, kv->used_pages);
    for (uint64_t i = 0; fits && i < ROOT_PAGES; i++)
        fits = use(kv, i);
    for (size_t i = 0; fits && i < kv->base.chain_count; i++)
        fits = use(kv, kv->base.chain[i]);
    for (size_t i = 0; fits && i < kv->base.index.count; i++)
        fits = use(kv, kv->base.index.entries[i]->number);
    return fits ? ENVOL_OK : kv_fail(error, ENVOL_E_NO_MEMORY, "the map of free pages");
}

/* --- loading ---*/

static bool add_to_chain(struct table *base, uint64_t page_no)
{
    uint64_t *chain = realloc(base->chain, (base->chain_count + 1) * sizeof chain[0]);

    if (chain == NULL)
        return false;
    base->chain = chain;
    base->chain[base->chain_count++] = page_no;
    return true;
}

/* What authenticates was written by this store, but perhaps not as a page of this index. */
static enum envol_status add_items(struct list *index, const uint8_t *page, uint64_t pages)
{
    for (const uint8_t *item = page_first(page); item != NULL; item = page_next(page, item)) {
        uint64_t page_no = item_value(item).count == 8 ? load(item_value(item).bytes, 8) : 0;

        if (page_no < ROOT_PAGES || page_no >= pages)
            return ENVOL_E_CORRUPT;
        if (!list_add(index, item_key(item), page_no))
            return ENVOL_E_NO_MEMORY;
    }
    return ENVOL_OK;
}

enum envol_status base_load(struct kv *kv, struct envol_error *error)
{
    uint64_t page_no = kv->root.index_page, left = envol_volume_pages(kv->volume);
    enum envol_status status = ENVOL_OK;
    uint8_t page[STRIDE_BYTES];

    for (; status == ENVOL_OK && page_no != 0; page_no = page_link(page)) {
        status = table_read(kv, &kv->base, page_no, NULL, page, error);
        if (status != ENVOL_OK)
            return status;
        status = add_items(&kv->base.index, page, envol_volume_pages(kv->volume));
        if (status == ENVOL_OK && left-- == 0)
            status = ENVOL_E_CORRUPT; /* the chain has no end */
        if (status == ENVOL_OK && !add_to_chain(&kv->base, page_no))
            status = ENVOL_E_NO_MEMORY;
    }
    return status == ENVOL_OK ? base_find_free(kv, error)
                              : kv_fail(error, status, "the index of the base");
}

void base_clear(struct table *base)
{
    list_clear(&base->index);
    free(base->chain);
    *base = (struct table){.chain = NULL};
}

/* --- folding ---*/

struct fold {
    struct kv *kv;
    struct cursor *changes;
    struct list *index; /* of the new base */
    uint64_t hint;      /* no page below it is free */
    struct buffer items;
    struct envol_error *error;
};

static enum envol_status no_memory(const struct fold *fold)
{
    return kv_fail(fold->error, ENVOL_E_NO_MEMORY, "folding");
}

/* Library's I/O: numbers for the pages, and one call for all of them. */
static enum envol_status write_pages(struct fold *fold, const struct buffer *pages,
                                     const uint64_t *numbers)
{
    size_t count = pages->count / STRIDE_BYTES;
    struct envol_page_io *ios = calloc(count + 1, sizeof ios[0]);
    enum envol_status status;

    if (ios == NULL)
        return no_memory(fold);
    for (size_t i = 0; i < count; i++)
        ios[i] =
            (struct envol_page_io){.page_no = numbers[i], .page = pages->bytes + i * STRIDE_BYTES};
    status = envol_page_write_batch(fold->kv->volume, ios, count, fold->error);
    free(ios);
    return status;
}

/* Numbers of free pages, ascending; NULL without memory. */
static uint64_t *take_numbers(struct fold *fold, size_t count)
{
    uint64_t *numbers = calloc(count + 1, sizeof numbers[0]);

    for (size_t i = 0; numbers != NULL && i < count; i++) {
        while (fold->hint < fold->kv->used_pages && fold->kv->used[fold->hint])
            fold->hint++;
        numbers[i] = fold->hint;
        if (!use(fold->kv, fold->hint)) {
            free(numbers);
            return NULL;
        }
    }
    return numbers;
}

/* What was gathered becomes pages of the new base. */
static enum envol_status write_items(struct fold *fold)
{
    struct buffer pages = {.bytes = NULL};
    bool fits = pack(&pages, &fold->items);
    size_t count = pages.count / STRIDE_BYTES;
    uint64_t *numbers = fits ? take_numbers(fold, count) : NULL;
    enum envol_status status;

    fits = numbers != NULL;
    for (size_t i = 0; fits && i < count; i++)
        fits =
            list_add(fold->index, item_key(page_first(pages.bytes + i * STRIDE_BYTES)), numbers[i]);
    status = fits ? write_pages(fold, &pages, numbers) : no_memory(fold);
    free(numbers);
    free(pages.bytes);
    fold->items.count = 0;
    return status;
}

/* Changes below the key of the page behind; NULL: the last page takes all that are left. */
static bool is_within(const uint8_t *item, const struct entry *behind)
{
    return item != NULL && (behind == NULL || compare_items(item, behind->item) < 0);
}

/* The items of an old page, which may be none, and the changes that lie within it. */
static enum envol_status merge(struct fold *fold, const uint8_t *page, const struct entry *behind)
{
    const uint8_t *old = page != NULL ? page_first(page) : NULL;
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && (old != NULL || is_within(fold->changes->item, behind))) {
        const uint8_t *change = is_within(fold->changes->item, behind) ? fold->changes->item : NULL;
        int order = old == NULL ? 1 : change == NULL ? -1 : compare_items(old, change);
        const uint8_t *item = order < 0 ? old : change;

        if (!item_is_deleted(item) && !buffer_add(&fold->items, item))
            return no_memory(fold);
        if (order <= 0)
            old = page_next(page, old);
        if (order >= 0)
            status = cursor_next(fold->changes, fold->error);
    }
    return status == ENVOL_OK ? write_items(fold) : status;
}

static enum envol_status fold_page(struct fold *fold, size_t place)
{
    const struct list *index = &fold->kv->base.index;
    const struct entry *entry = index->entries[place],
                       *behind = place + 1 < index->count ? index->entries[place + 1] : NULL;
    uint8_t page[STRIDE_BYTES];
    enum envol_status status;

    if (!is_within(fold->changes->item, behind)) /* it stays as it is, where it is */
        return list_add(fold->index, item_key(entry->item), entry->number) ? ENVOL_OK
                                                                           : no_memory(fold);
    status = table_read(fold->kv, &fold->kv->base, entry->number, NULL, page, fold->error);
    return status == ENVOL_OK ? merge(fold, page, behind) : status;
}

static bool gather_index(struct fold *fold)
{
    bool fits = true;

    for (size_t i = 0; fits && i < fold->index->count; i++) {
        const struct entry *entry = fold->index->entries[i];
        uint8_t number[8];
        struct entry *item;

        store(number, sizeof number, entry->number);
        item = entry_new(item_key(entry->item), (struct kv_slice){number, sizeof number}, 0);
        fits = item != NULL && buffer_add(&fold->items, item->item);
        free(item);
    }
    return fits;
}

static enum envol_status write_index(struct fold *fold, struct table *base)
{
    struct buffer pages = {.bytes = NULL};
    bool fits = gather_index(fold) && pack(&pages, &fold->items);
    size_t count = pages.count / STRIDE_BYTES;
    uint64_t *numbers = fits ? take_numbers(fold, count) : NULL;
    enum envol_status status;

    for (size_t i = 0; numbers != NULL && i + 1 < count; i++)
        page_set_link(pages.bytes + i * STRIDE_BYTES, numbers[i + 1]);
    status = numbers != NULL ? write_pages(fold, &pages, numbers) : no_memory(fold);
    base->chain = numbers;
    base->chain_count = numbers != NULL ? count : 0;
    free(pages.bytes);
    return status;
}

enum envol_status base_fold(struct kv *kv, struct table *base, struct envol_error *error)
{
    struct fold fold = {.kv = kv, .index = &base->index, .error = error};
    enum envol_status status =
        cursor_open(kv, (struct kv_slice){NULL, 0}, false, &fold.changes, error);

    for (size_t i = 0; status == ENVOL_OK && i < kv->base.index.count; i++)
        status = fold_page(&fold, i);
    if (status == ENVOL_OK) /* an empty base has no page to merge them with */
        status = merge(&fold, NULL, NULL);
    if (status == ENVOL_OK)
        status = write_index(&fold, base);
    if (status == ENVOL_OK && (status = envol_volume_sync(kv->volume)) != ENVOL_OK)
        (void)kv_fail(error, status, "syncing the base");
    cursor_close(fold.changes);
    free(fold.items.bytes);
    return status;
}
