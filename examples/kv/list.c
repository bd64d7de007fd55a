/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorted lists: an array of pointers, as long as a memory or an index of this store is. */
#include "store.h"

#include <stdlib.h>

struct entry *entry_new(struct kv_slice key, struct kv_slice value, uint64_t number)
{
    struct entry *entry = malloc(sizeof *entry + ITEM_HEAD + key.count + value.count);

    if (entry == NULL)
        return NULL;
    entry->number = number;
    store(entry->item, 2, key.count);
    store(entry->item + 2, 2, value.bytes != NULL ? value.count : DELETED);
    memcpy(entry->item + ITEM_HEAD, key.bytes, key.count);
    if (value.count > 0)
        memcpy(entry->item + ITEM_HEAD + key.count, value.bytes, value.count);
    return entry;
}

bool list_reserve(struct list *list, size_t more)
{
    size_t needed = list->count + list->reserved + more;
    struct entry **entries = list->entries;

    if (needed > list->capacity) {
        entries = realloc(entries, 2 * needed * sizeof entries[0]);
        if (entries == NULL)
            return false;
        list->entries = entries;
        list->capacity = 2 * needed;
    }
    list->reserved += more;
    return true;
}

size_t list_find(const struct list *list, struct kv_slice key)
{
    size_t first = 0, end = list->count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (compare(item_key(list->entries[middle]->item), key) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

void list_put(struct list *list, struct entry *entry)
{
    size_t place = list_find(list, item_key(entry->item));
    struct entry **at = &list->entries[place], *old = NULL;

    list->reserved--;
    if (place < list->count && compare_items((*at)->item, entry->item) == 0) {
        /* Commits come here in any order; their LSNs say which one was the last. */
        bool is_newer = entry->number > (*at)->number;

        old = is_newer ? *at : entry;
        if (is_newer)
            *at = entry;
    } else {
        memmove(at + 1, at, (list->count - place) * sizeof *at);
        *at = entry;
        list->count++;
    }
    list->bytes += old != entry ? item_bytes(entry->item) : 0;
    list->bytes -= old != NULL && old != entry ? item_bytes(old->item) : 0;
    free(old);
}

bool list_add(struct list *list, struct kv_slice key, uint64_t number)
{
    struct entry *entry = entry_new(key, (struct kv_slice){"", 0}, number);

    if (entry == NULL || !list_reserve(list, 1)) {
        free(entry);
        return false;
    }
    list->reserved--;
    list->entries[list->count++] = entry;
    return true;
}

void list_clear(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->entries[i]);
    free(list->entries);
    *list = (struct list){.entries = NULL};
}
