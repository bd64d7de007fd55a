/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages, of a run, of the base and of the base's index, in plaintext:
 *
 *     bytes of items u32 | 0 u32 | link u64 | items, sorted | zeros
 *
 * The value of an index's item is the number of the page that begins with its key.
 */
#include "store.h"

#include <stdlib.h>

enum { PAGE_HEAD = 16, PAGE_ROOM = PAGE_BYTES - PAGE_HEAD };

uint8_t *buffer_extend(struct buffer *buffer, size_t count)
{
    size_t needed = buffer->count + count;
    uint8_t *bytes = buffer->bytes;

    if (needed > buffer->capacity) {
        bytes = realloc(bytes, 2 * needed);
        if (bytes == NULL)
            return NULL;
        buffer->bytes = bytes;
        buffer->capacity = 2 * needed;
    }
    bytes += buffer->count;
    buffer->count = needed;
    return memset(bytes, 0, count);
}

bool buffer_add(struct buffer *buffer, const uint8_t *item)
{
    uint8_t *to = buffer_extend(buffer, item_bytes(item));

    if (to != NULL)
        memcpy(to, item, item_bytes(item));
    return to != NULL;
}

/* How many bytes of items the next page takes. */
static size_t fill(const uint8_t *items, size_t bytes, size_t wanted)
{
    size_t used = 0;

    while (used < bytes && used < wanted && used + item_bytes(items + used) <= PAGE_ROOM)
        used += item_bytes(items + used);
    return used;
}

bool pack(struct buffer *pages, const struct buffer *items)
{
    size_t least = (items->count + PAGE_ROOM - 1) / PAGE_ROOM, used;

    for (size_t at = 0; at < items->count; at += used) {
        uint8_t *page = buffer_extend(pages, STRIDE_BYTES);

        if (page == NULL)
            return false;
        used = fill(items->bytes + at, items->count - at, items->count / least);
        store(page, 4, used);
        memcpy(page + PAGE_HEAD, items->bytes + at, used);
    }
    return true;
}

enum envol_status page_check(const uint8_t *page)
{
    size_t bytes = load(page, 4);
    const uint8_t *item = page + PAGE_HEAD, *last = NULL;

    if (bytes > PAGE_ROOM)
        return ENVOL_E_CORRUPT;
    for (; bytes > 0; last = item, bytes -= item_bytes(item), item += item_bytes(item)) {
        if (!item_is_sound(item, bytes) || (last != NULL && compare_items(last, item) >= 0))
            return ENVOL_E_CORRUPT;
    }
    return ENVOL_OK;
}

const uint8_t *page_first(const uint8_t *page)
{
    return load(page, 4) > 0 ? page + PAGE_HEAD : NULL;
}

const uint8_t *page_next(const uint8_t *page, const uint8_t *item)
{
    const uint8_t *next = item + item_bytes(item);

    return next < page + PAGE_HEAD + load(page, 4) ? next : NULL;
}

uint64_t page_link(const uint8_t *page)
{
    return load(page + 8, 8);
}

void page_set_link(uint8_t *page, uint64_t page_no)
{
    store(page + 8, 8, page_no);
}
