/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An item: a key with its value, or the note that it is deleted.  It looks the same in memory, as a
 * record of the log and in pages:
 *
 *     key_bytes u16 | value_bytes u16, or DELETED | key | value            little-endian
 */
#ifndef KV_ITEM_H
#define KV_ITEM_H

#include "common/bytes.h"
#include "kv.h"

#include <string.h>

enum { ITEM_HEAD = 4, DELETED = 0xffff };

static inline struct kv_slice item_key(const uint8_t *item)
{
    return (struct kv_slice){item + ITEM_HEAD, load(item, 2)};
}

static inline bool item_is_deleted(const uint8_t *item)
{
    return load(item + 2, 2) == DELETED;
}

/* bytes is NULL if it is deleted. */
static inline struct kv_slice item_value(const uint8_t *item)
{
    if (item_is_deleted(item))
        return (struct kv_slice){NULL, 0};
    return (struct kv_slice){item + ITEM_HEAD + load(item, 2), load(item + 2, 2)};
}

static inline size_t item_bytes(const uint8_t *item)
{
    return ITEM_HEAD + item_key(item).count + item_value(item).count;
}

/* What was read may be anything, even if it authenticates: of another version of this store. */
static inline bool item_is_sound(const uint8_t *item, size_t room)
{
    return room > ITEM_HEAD && item_bytes(item) <= room && item_key(item).count >= 1 &&
           item_key(item).count <= KV_KEY_MAX && item_value(item).count <= KV_VALUE_MAX;
}

static inline int compare(struct kv_slice a, struct kv_slice b)
{
    int order = memcmp(a.bytes, b.bytes, a.count < b.count ? a.count : b.count);

    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

static inline int compare_items(const uint8_t *a, const uint8_t *b)
{
    return compare(item_key(a), item_key(b));
}

#endif
