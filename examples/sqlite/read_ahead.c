/* SPDX-License-Identifier: BSD-2-Clause */
/* Records on their way from the file, before SQLite asks. */
#include "read_ahead.h"
#include "database.h"

#include <stdlib.h>

/* A scan of a table passes over pages of another that grew with it. */
enum { SKIPPED_MAX = 2 };

static bool is_sequel(const struct read_ahead *ahead, sqlite3_int64 page)
{
    return page >= ahead->next && page <= ahead->next + SKIPPED_MAX;
}

/* As many as fit, from this one on, all of which are in the file. */
static void fill(struct database *database, sqlite3_int64 page)
{
    struct read_ahead *ahead = &database->ahead;
    sqlite3_file *below = database->file.below;
    int bytes = (int)database->keys->page_bytes, pages = READ_AHEAD_BYTES / bytes;

    ahead->count = 0;
    if (pages < 2)
        return;
    if (ahead->records == NULL)
        ahead->records = malloc(READ_AHEAD_BYTES);
    if (ahead->records == NULL || below->pMethods->xRead(below, ahead->records, pages * bytes,
                                                         DATA_OFFSET + page * bytes) != SQLITE_OK)
        return;
    ahead->first = page;
    ahead->count = pages;
}

static const uint8_t *record_of(const struct database *database, sqlite3_int64 page)
{
    const struct read_ahead *ahead = &database->ahead;

    if (page < ahead->first || page >= ahead->first + ahead->count)
        return NULL;
    return ahead->records + (size_t)(page - ahead->first) * database->keys->page_bytes;
}

const uint8_t *read_ahead_find(struct database *database, sqlite3_int64 page)
{
    struct read_ahead *ahead = &database->ahead;
    const uint8_t *record = record_of(database, page);

    if (record == NULL && ahead->next > 0 && is_sequel(ahead, page)) {
        fill(database, page);
        record = record_of(database, page);
    }
    ahead->next = page + 1;
    return record;
}

void read_ahead_drop(struct read_ahead *ahead)
{
    ahead->next = 0;
    ahead->count = 0;
}

void read_ahead_free(struct read_ahead *ahead)
{
    free(ahead->records);
}
