/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plaintext of a table's page: a head, and rows one after the other.
 *
 *     0  used u32     bytes of rows
 *     4  pages u32    of the table; page 0 only, as a file may be cut short behind its back
 *     8  swept u32    page 0 only: no record of the table is of an older epoch (engine.h)
 *    12  0 u32
 *    16  rows: key_bytes u16 | is_long u16 | value_bytes u32 | key | the value, or the u64 offset
 *        of a long one in the file of values
 */
#ifndef TABLES_PAGE_H
#define TABLES_PAGE_H

#include <envol.h>
#include <stdbool.h>

enum {
    STRIDE_BYTES = 4096, /* a block of most devices: a write touches no other record */
    PAGE_BYTES = STRIDE_BYTES - ENVOL_TRAILER_BYTES,
    PAGE_COUNT = 4,
    PAGE_SWEPT = 8,
    PAGE_HEAD_BYTES = 16,
    ROW_HEAD_BYTES = 8,
    KEY_BYTES_MAX = 255,
    INLINE_BYTES_MAX = 512, /* longer values do not fill pages: they have a file of their own */
    VALUE_BYTES_MAX = 16 << 20
};

struct row {
    const char *key;
    size_t key_bytes;
    const void *value; /* of a long one: NULL */
    size_t value_bytes;
    uint64_t offset; /* of a long one */
    bool is_long;
    size_t at; /* where it stands in the page; 0: before the first */
};

void page_init(uint8_t *page);
size_t row_bytes(const struct row *row);
bool page_has_room(const uint8_t *page, size_t bytes);

/* The row behind this one.  ENVOL_E_UNWRITTEN at the end, ENVOL_E_CORRUPT for what is no row: what
 * authenticates may still be the work of a bug. */
enum envol_status page_next(const uint8_t *page, struct row *row);

/* ENVOL_E_UNWRITTEN if there is none. */
enum envol_status page_find(const uint8_t *page, const char *key, struct row *row);

/* The page has room; the row is none of its own. */
void page_add(uint8_t *page, const struct row *row);
void page_remove(uint8_t *page, const struct row *row);

/* The numbers at PAGE_COUNT and PAGE_SWEPT of page 0. */
uint32_t page_number(const uint8_t *head, size_t at);
void page_set_number(uint8_t *head, size_t at, uint32_t number);

#endif
