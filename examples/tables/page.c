/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows in a page. */
#include "page.h"
#include "common/bytes.h"

#include <string.h>

enum { AT_USED = 0 };

void page_init(uint8_t *page)
{
    memset(page, 0, PAGE_BYTES);
}

static size_t used(const uint8_t *page)
{
    return load(page + AT_USED, 4);
}

size_t row_bytes(const struct row *row)
{
    return ROW_HEAD_BYTES + row->key_bytes + (row->is_long ? sizeof row->offset : row->value_bytes);
}

bool page_has_room(const uint8_t *page, size_t bytes)
{
    return used(page) <= PAGE_BYTES - PAGE_HEAD_BYTES &&
           bytes <= PAGE_BYTES - PAGE_HEAD_BYTES - used(page);
}

enum envol_status page_next(const uint8_t *page, struct row *row)
{
    size_t at = row->at == 0 ? PAGE_HEAD_BYTES : row->at + row_bytes(row);
    size_t end = PAGE_HEAD_BYTES + used(page);
    const uint8_t *from = page + at;

    if (used(page) > PAGE_BYTES - PAGE_HEAD_BYTES)
        return ENVOL_E_CORRUPT;
    if (at == end)
        return ENVOL_E_UNWRITTEN;
    if (at > end || end - at < ROW_HEAD_BYTES)
        return ENVOL_E_CORRUPT;
    *row = (struct row){.at = at,
                        .key = (const char *)from + ROW_HEAD_BYTES,
                        .key_bytes = load(from, 2),
                        .is_long = load(from + 2, 2) != 0,
                        .value_bytes = load(from + 4, 4)};
    if (row->value_bytes > VALUE_BYTES_MAX || row_bytes(row) > end - at)
        return ENVOL_E_CORRUPT;
    if (row->is_long)
        row->offset = load(from + ROW_HEAD_BYTES + row->key_bytes, 8);
    else
        row->value = from + ROW_HEAD_BYTES + row->key_bytes;
    return ENVOL_OK;
}

enum envol_status page_find(const uint8_t *page, const char *key, struct row *row)
{
    size_t bytes = strlen(key);
    enum envol_status status;

    *row = (struct row){.at = 0};
    while ((status = page_next(page, row)) == ENVOL_OK) {
        if (row->key_bytes == bytes && memcmp(row->key, key, bytes) == 0)
            return ENVOL_OK;
    }
    return status;
}

void page_add(uint8_t *page, const struct row *row)
{
    uint8_t *to = page + PAGE_HEAD_BYTES + used(page);

    store(to, 2, row->key_bytes);
    store(to + 2, 2, row->is_long);
    store(to + 4, 4, row->value_bytes);
    memcpy(to + ROW_HEAD_BYTES, row->key, row->key_bytes);
    if (row->is_long)
        store(to + ROW_HEAD_BYTES + row->key_bytes, 8, row->offset);
    else if (row->value_bytes > 0)
        memcpy(to + ROW_HEAD_BYTES + row->key_bytes, row->value, row->value_bytes);
    store(page + AT_USED, 4, used(page) + row_bytes(row));
}

void page_remove(uint8_t *page, const struct row *row)
{
    size_t bytes = row_bytes(row), end = PAGE_HEAD_BYTES + used(page);

    memmove(page + row->at, page + row->at + bytes, end - row->at - bytes);
    memset(page + end - bytes, 0, bytes);
    store(page + AT_USED, 4, used(page) - bytes);
}

uint32_t page_number(const uint8_t *head, size_t at)
{
    return (uint32_t)load(head + at, 4);
}

void page_set_number(uint8_t *head, size_t at, uint32_t number)
{
    store(head + at, 4, number);
}
