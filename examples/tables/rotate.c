/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new DEK for all files, while rows are put.
 *
 *     begin     keys_rotate: from there on, whatever is sealed is of the new epoch
 *     step      some of the older pages and long values are sealed again, by way of the journal
 *     finish    the catalog and the journal follow; then keys_retire
 *
 * Whether the DEK is kept in a volume without pages, whose own part of the sweep is nothing, or in
 * a header of the engine's own, the old one would go at any time: that no record needs it is the
 * engine's to know.  What page 0 of
 * each table says is all that it needs for that, and it is durable with the records that it speaks
 * of; a process that was killed leaves nothing else behind.  A table that has a record that does
 * not read stays behind, and with it the old DEK: put back from a copy, the record opens again.
 *
 * Long values that no row names, and files that the catalog does not, are not swept: they end with
 * the old DEK.
 */
#include "disk.h"
#include "engine.h"

#include <stdlib.h>

/* Of a commit, but for one value: the journal is made in memory. */
enum { COMMIT_BYTES_MAX = 1 << 20 };

struct visit {
    struct engine *engine;
    bad_callback *callback;
    void *ctx;
    struct cursor cursor; /* of the table at hand */
    uint32_t epoch;       /* to come to */
};

/* What the store or the key does not give.  Anything else is this process's own trouble. */
static bool is_bad(enum envol_status status)
{
    return status == ENVOL_E_CORRUPT || status == ENVOL_E_STALE || status == ENVOL_E_TRUNCATED ||
           status == ENVOL_E_IO;
}

static enum envol_status tell_bad(struct visit *visit, const char *what, enum envol_status status)
{
    struct sweep *sweep = &visit->engine->sweep;

    if (!is_bad(status))
        return engine_fail(visit->engine, status, "table %.150s: %s", visit->cursor.table->name,
                           what);
    sweep->bad++;
    sweep->table_is_bad = true;
    visit->callback(visit->ctx, visit->cursor.table, sweep->page_no, what, status);
    return ENVOL_OK;
}

/* Takes the bytes. */
static enum envol_status add(struct visit *visit, const struct change *change)
{
    struct engine *engine = visit->engine;
    enum envol_status status = ENVOL_OK;

    if (engine->change_count == CHANGES_MAX || engine->change_bytes > COMMIT_BYTES_MAX)
        status = engine_commit(engine);
    if (status == ENVOL_OK)
        change_add(engine, change);
    else
        free(change->bytes);
    return status;
}

/* --- A page, and the long values of its rows ---*/

/* Sealed again before its epoch is looked at: what a trailer claims is not yet so. */
static enum envol_status visit_value(struct visit *visit, const struct row *row)
{
    uint8_t *record;
    uint32_t epoch;
    enum envol_status status = values_reseal(visit->engine, row, &record, &epoch);

    if (status != ENVOL_OK)
        return tell_bad(visit, "a long value", status);
    if (epoch == visit->epoch)
        return free(record), ENVOL_OK;
    visit->engine->sweep.values++;
    return add(visit, &(struct change){.place = row->offset,
                                       .bytes = record,
                                       .record_bytes = row->value_bytes + ENVOL_TRAILER_BYTES});
}

static enum envol_status visit_rows(struct visit *visit, const uint8_t *page)
{
    struct row row = {.at = 0};
    enum envol_status status;

    while ((status = page_next(page, &row)) == ENVOL_OK) {
        if (row.is_long)
            status = visit_value(visit, &row);
        if (status != ENVOL_OK)
            return status;
    }
    return status == ENVOL_E_UNWRITTEN ? ENVOL_OK : tell_bad(visit, "a row", status);
}

static enum envol_status visit_page(struct visit *visit)
{
    struct sweep *sweep = &visit->engine->sweep;
    uint8_t *page = malloc(STRIDE_BYTES);
    uint32_t epoch = 0;
    enum envol_status status =
        page == NULL ? ENVOL_E_NO_MEMORY : cursor_read(&visit->cursor, sweep->page_no, page);

    if (status == ENVOL_OK)
        status = envol_trailer_epoch(page + PAGE_BYTES, &epoch);
    if (status != ENVOL_OK)
        return free(page), tell_bad(visit, "a page", status);
    status = visit_rows(visit, page);
    if (status != ENVOL_OK || epoch == visit->epoch)
        return free(page), status;
    sweep->pages++;
    return add(visit, &(struct change){visit->cursor.table, sweep->page_no, page, STRIDE_BYTES});
}

/* --- A table ---*/

/* How many pages there are to visit.  A page 0 that does not read is no reason to leave the others
 * behind: the file says how many it has. */
static enum envol_status open_table(struct visit *visit, uint32_t *pages)
{
    struct cursor *cursor = &visit->cursor;
    enum envol_status status = cursor_open(cursor, visit->engine, visit->engine->sweep.table);
    uint64_t bytes = 0;

    *pages = cursor->pages;
    if (status == ENVOL_OK)
        return ENVOL_OK;
    if (cursor->fd < 0 || !is_bad(status) || disk_size(cursor->fd, &bytes) != ENVOL_OK)
        return tell_bad(visit, "the file", status);
    *pages = bytes < STRIDE_BYTES ? 1 : (uint32_t)(bytes / STRIDE_BYTES);
    return ENVOL_OK;
}

/* In the last commit: page 0 then says what is so. */
static enum envol_status note_swept(struct visit *visit)
{
    uint8_t *head;
    enum envol_status status = ENVOL_OK;

    if (visit->engine->change_count == CHANGES_MAX)
        status = engine_commit(visit->engine);
    if (status == ENVOL_OK)
        status = cursor_change(&visit->cursor, 0, &head);
    if (status == ENVOL_OK)
        page_set_number(head, PAGE_SWEPT, visit->epoch);
    return status;
}

/* Puts may have come between two steps.  They seal under the new epoch, and add pages behind. */
static enum envol_status visit_table(struct visit *visit, uint32_t max_pages, uint32_t *visited)
{
    struct sweep *sweep = &visit->engine->sweep;
    uint32_t pages;
    enum envol_status status = open_table(visit, &pages);

    ++*visited; /* page 0 was read, whatever follows */
    if (status == ENVOL_OK && visit->cursor.swept >= visit->epoch)
        sweep->table_is_done = true;
    for (; status == ENVOL_OK && !sweep->table_is_done && sweep->page_no < pages;
         sweep->page_no++, ++*visited) {
        if (*visited > max_pages)
            return ENVOL_OK;
        status = visit_page(visit);
    }
    if (status == ENVOL_OK && !sweep->table_is_done && !sweep->table_is_bad)
        status = note_swept(visit);
    sweep->table_is_done = status == ENVOL_OK;
    return status;
}

/* The table to go on with.  Those that were made meanwhile are of the new epoch, and need no visit;
 * they move the ones behind them, in the order of names, further back. */
static void choose_table(struct engine *engine)
{
    struct sweep *sweep = &engine->sweep;

    if (sweep->table != NULL) {
        while (engine->tables[sweep->at] != sweep->table)
            sweep->at++;
        if (!sweep->table_is_done)
            return;
        sweep->at++;
    }
    sweep->table = engine->tables[sweep->at];
    sweep->page_no = 0;
    sweep->table_is_done = sweep->table_is_bad = false;
}

/* --- The whole ---*/

enum envol_status engine_rotate_begin(struct engine *engine)
{
    engine->sweep = (struct sweep){0};
    return keys_rotate(engine);
}

bool engine_rotate_is_swept(const struct engine *engine)
{
    const struct sweep *sweep = &engine->sweep;

    return sweep->table == NULL
               ? engine->table_count == 0
               : sweep->table_is_done && sweep->table == engine->tables[engine->table_count - 1];
}

enum envol_status engine_rotate_step(struct engine *engine, uint32_t max_pages,
                                     bad_callback *callback, void *ctx)
{
    struct visit visit = {.engine = engine,
                          .callback = callback,
                          .ctx = ctx,
                          .epoch = envol_keyring_epoch(engine->keyring)};
    enum envol_status status = ENVOL_OK;
    uint32_t visited = 0;

    if (engine->change_count > 0)
        return engine_fail(engine, ENVOL_E_STATE, "rows are not committed");
    while (status == ENVOL_OK && visited < max_pages && !engine_rotate_is_swept(engine)) {
        choose_table(engine);
        status = visit_table(&visit, max_pages, &visited);
        cursor_close(&visit.cursor);
    }
    if (status == ENVOL_OK)
        status = engine_commit(engine);
    if (status != ENVOL_OK) {
        engine_drop_changes(engine);
        engine->sweep = (struct sweep){0}; /* what was visited is not what was written */
    }
    return status;
}

enum envol_status engine_rotate_finish(struct engine *engine)
{
    enum envol_status status;

    if (!engine_rotate_is_swept(engine) || engine->change_count > 0)
        return engine_fail(engine, ENVOL_E_STATE, "not every table was swept");
    if (engine->sweep.bad > 0) {
        status = keys_note_bad(engine, engine->table_count, engine->sweep.bad);
        return status == ENVOL_OK ? engine_fail(engine, ENVOL_E_CORRUPT,
                                                "the older DEK is kept, for what does not read")
                                  : status;
    }
    status = catalog_save(engine);
    if (status == ENVOL_OK)
        status = journal_clear(engine);
    return status == ENVOL_OK ? keys_retire(engine) : status;
}
