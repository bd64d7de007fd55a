/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of other databases.  sqlite3_backup, and VACUUM by its means, copies pages as they are, and
 * page 1 with them, which says how large all of them are and what each reserves.  Where that is not
 * as the keys' header has it, the copy would be one that nobody can open.
 */
#include "page_check.h"

/* 1 stands for 65536; 0 is a page 1 with nothing in it. */
static uint32_t page_bytes_of(const uint8_t *page)
{
    return (uint32_t)page[AT_PAGE_SIZE] << 8 | (uint32_t)page[AT_PAGE_SIZE + 1] << 16;
}

/* What is there would be replaced by the trailer. */
static bool tail_is_free(const uint8_t *page, uint32_t page_bytes)
{
    uint8_t any = 0;

    for (uint32_t i = page_bytes - RESERVED_BYTES; i < page_bytes; i++)
        any |= page[i];
    return any == 0;
}

int page_check(struct database *database, const uint8_t *page, bool is_first)
{
    uint32_t ours = database->keys->page_bytes, theirs = is_first ? page_bytes_of(page) : 0;

    if (theirs != 0 && page[AT_RESERVED] == RESERVED_BYTES && theirs != ours)
        return complain(SQLITE_IOERR_WRITE, database->path,
                        "its pages are of %u bytes, those of this database of %u: a database is "
                        "not copied by its pages into one of another page size; VACUUM INTO makes "
                        "a copy",
                        theirs, ours);
    if (!tail_is_free(page, ours) || (theirs != 0 && page[AT_RESERVED] != RESERVED_BYTES))
        return complain(SQLITE_IOERR_WRITE, database->path,
                        "these pages do not reserve 48 bytes: a plain database is not copied into "
                        "an encrypted one by its pages; VACUUM INTO does it");
    return SQLITE_OK;
}
