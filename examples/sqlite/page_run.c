/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages of a database on their way to the file. */
#include "page_run.h"
#include "blocks.h"
#include "database.h"

#include <stdlib.h>
#include <string.h>

static int room_of(const struct database *database)
{
    int pages = PAGE_RUN_BYTES / (int)database->keys->page_bytes;

    return pages > 0 ? pages : 1;
}

static int allocate(struct database *database)
{
    size_t bytes = (size_t)room_of(database) * database->keys->page_bytes;
    struct page_run *run = &database->run;

    if (run->plain == NULL)
        run->plain = malloc(2 * bytes);
    if (run->plain == NULL)
        return SQLITE_IOERR_NOMEM;
    run->record = run->plain + bytes;
    return SQLITE_OK;
}

/* Where the page is, or would be. */
static int find(const struct page_run *run, sqlite3_int64 page)
{
    int i = 0;

    while (i < run->count && run->page[i] != page)
        i++;
    return i;
}

int page_run_add(struct database *database, sqlite3_int64 page, const void *from)
{
    struct page_run *run = &database->run;
    size_t bytes = database->keys->page_bytes;
    int i, code = allocate(database);

    if (code != SQLITE_OK)
        return code;
    i = find(run, page);
    if (i == room_of(database)) { /* it was not written then */
        code = page_run_flush(database);
        i = 0;
    }
    if (code != SQLITE_OK)
        return code;
    memcpy(run->plain + (size_t)i * bytes, from, bytes);
    run->page[i] = page;
    if (i == run->count)
        run->count++;
    return run->count < room_of(database) ? SQLITE_OK : page_run_flush(database);
}

static int seal(struct database *database)
{
    struct page_run *run = &database->run;
    struct envol_page_op ops[PAGE_RUN_MAX];
    enum envol_status status;

    for (int i = 0; i < run->count; i++) {
        size_t at = (size_t)i * database->keys->page_bytes;

        ops[i] = (struct envol_page_op){
            .page_no = (uint64_t)run->page[i], .page = run->plain + at, .record = run->record + at};
    }
    status = envol_page_seal_batch(database->keys->pages, database->lane, ops, (size_t)run->count);
    return status == ENVOL_OK
               ? SQLITE_OK
               : complain(code_of(status), database->path, "%s", envol_status_message(status));
}

/* Those from the i-th on whose places follow each other. */
static int neighbours(const struct page_run *run, int i)
{
    int count = 1;

    while (i + count < run->count && run->page[i + count] == run->page[i] + count)
        count++;
    return count;
}

static int write_records(struct database *database)
{
    struct page_run *run = &database->run;
    int bytes = (int)database->keys->page_bytes, code = SQLITE_OK;
    sqlite3_file *below = database->file.below;

    for (int i = 0, count; code == SQLITE_OK && i < run->count; i += count) {
        count = neighbours(run, i);
        code = below->pMethods->xWrite(below, run->record + (size_t)i * (size_t)bytes,
                                       count * bytes, DATA_OFFSET + run->page[i] * bytes);
    }
    return code;
}

int page_run_flush(struct database *database)
{
    int code = SQLITE_OK;

    if (database->run.count == 0)
        return SQLITE_OK;
    /* What the pages were is in the file of the journal before the first of them changes, synced or
     * not: a process may be killed at any time. */
    if (database->journal != NULL)
        code = blocks_flush(database->journal);
    if (code == SQLITE_OK)
        code = seal(database);
    if (code == SQLITE_OK)
        code = write_records(database);
    if (code == SQLITE_OK)
        database->run.count = 0;
    return code;
}

sqlite3_int64 page_run_end(const struct page_run *run)
{
    sqlite3_int64 end = 0;

    for (int i = 0; i < run->count; i++)
        if (run->page[i] >= end)
            end = run->page[i] + 1;
    return end;
}

void page_run_cut(struct database *database, sqlite3_int64 page)
{
    struct page_run *run = &database->run;
    size_t bytes = database->keys->page_bytes;
    int left = 0;

    for (int i = 0; i < run->count; i++) {
        if (run->page[i] >= page)
            continue;
        run->page[left] = run->page[i];
        memmove(run->plain + (size_t)left++ * bytes, run->plain + (size_t)i * bytes, bytes);
    }
    run->count = left;
}

void page_run_forget(struct page_run *run)
{
    run->count = 0;
}

void page_run_free(struct page_run *run)
{
    free(run->plain);
}
