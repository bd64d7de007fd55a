/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The catalog: which tables there are.  One blob, as its names are nobody's business either:
 *
 *     count u32, then for each: id 16 | name_bytes u16 | name
 *
 * It is read as a whole and replaced as a whole.  A file that it does not name was on its way when
 * the machine stopped; nobody deletes it, as a catalog that somebody put back would then delete the
 * tables that it does not know.
 */
#include "common/bytes.h"
#include "disk.h"
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char aad[] = "tables catalog 1";
enum { COUNT_BYTES = 4, ENTRY_BYTES = ENVOL_OBJECT_BYTES + 2 };

void table_free(struct table *table)
{
    envol_object_close(table->object);
    free(table->name);
    free(table);
}

static int compare(const void *a, const void *b)
{
    const struct table *const *one = a, *const *other = b;

    return strcmp((*one)->name, (*other)->name);
}

static int compare_name(const void *name, const void *table)
{
    return strcmp(name, (*(struct table *const *)table)->name);
}

struct table *catalog_find(const struct engine *engine, const char *name)
{
    struct table **found = engine->table_count == 0
                               ? NULL
                               : bsearch(name, engine->tables, engine->table_count,
                                         sizeof *engine->tables, compare_name);

    return found == NULL ? NULL : *found;
}

/* Opens the table that an entry names; *at goes behind it. */
static enum envol_status load_table(struct engine *engine, const uint8_t **at, const uint8_t *end,
                                    struct table **table)
{
    struct table *made = calloc(1, sizeof *made);
    enum envol_status status = made == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;
    size_t name_bytes;

    if (end - *at < ENTRY_BYTES ||
        (size_t)(end - *at) - ENTRY_BYTES < (name_bytes = load(*at + ENVOL_OBJECT_BYTES, 2)))
        status = ENVOL_E_CORRUPT;
    if (status == ENVOL_OK) {
        memcpy(made->id, *at, sizeof made->id);
        made->name = strndup((const char *)*at + ENTRY_BYTES, name_bytes);
        *at += ENTRY_BYTES + name_bytes;
        status = made->name == NULL ? ENVOL_E_NO_MEMORY
                                    : envol_object_open(engine->keyring, made->id, &made->object);
    }
    if (status == ENVOL_OK)
        *table = made;
    else if (made != NULL)
        table_free(made);
    return status;
}

static enum envol_status load_tables(struct engine *engine, const uint8_t *from, size_t bytes)
{
    const uint8_t *at = from + COUNT_BYTES, *end = from + bytes;
    size_t count = bytes < COUNT_BYTES ? 0 : load(from, 4);
    enum envol_status status = ENVOL_OK;

    /* What authenticates may still be the work of a bug: a count is believed as far as it fits. */
    if (bytes < COUNT_BYTES || count > bytes / ENTRY_BYTES)
        return ENVOL_E_CORRUPT;
    engine->tables = calloc(count + 1, sizeof *engine->tables);
    if (engine->tables == NULL)
        return ENVOL_E_NO_MEMORY;
    while (status == ENVOL_OK && engine->table_count < count) {
        status = load_table(engine, &at, end, &engine->tables[engine->table_count]);
        engine->table_count += status == ENVOL_OK;
    }
    return status;
}

enum envol_status catalog_load(struct engine *engine)
{
    void *bytes;
    size_t count;
    enum envol_status status = disk_load(engine->dir, "catalog", &bytes, &count);

    if (status == ENVOL_OK && count < ENVOL_TRAILER_BYTES)
        status = ENVOL_E_TRUNCATED;
    if (status == ENVOL_OK)
        status =
            envol_blob_unseal(engine->catalog, engine->lane, aad, sizeof aad, bytes, count, bytes);
    if (status == ENVOL_OK)
        status = load_tables(engine, bytes, count - ENVOL_TRAILER_BYTES);
    free(bytes);
    return status == ENVOL_OK ? ENVOL_OK : engine_fail(engine, status, "the catalog");
}

static size_t plain_bytes(const struct engine *engine)
{
    size_t bytes = COUNT_BYTES;

    for (size_t i = 0; i < engine->table_count; i++)
        bytes += ENTRY_BYTES + strlen(engine->tables[i]->name);
    return bytes;
}

static void encode(const struct engine *engine, uint8_t *to)
{
    store(to, 4, engine->table_count);
    to += COUNT_BYTES;
    for (size_t i = 0; i < engine->table_count; i++) {
        const struct table *table = engine->tables[i];
        size_t name_bytes = strlen(table->name);

        memcpy(to, table->id, sizeof table->id);
        store(to + ENVOL_OBJECT_BYTES, 2, name_bytes);
        memcpy(to + ENTRY_BYTES, table->name, name_bytes);
        to += ENTRY_BYTES + name_bytes;
    }
}

enum envol_status catalog_save(struct engine *engine)
{
    size_t bytes = plain_bytes(engine);
    uint8_t *blob = malloc(bytes + ENVOL_TRAILER_BYTES);
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (blob != NULL) {
        encode(engine, blob);
        status = envol_blob_seal(engine->catalog, engine->lane, aad, sizeof aad, blob, bytes, blob);
    }
    if (status == ENVOL_OK)
        status = disk_replace(engine->dir, "catalog", blob, bytes + ENVOL_TRAILER_BYTES);
    free(blob);
    return status == ENVOL_OK ? ENVOL_OK : engine_fail(engine, status, "the catalog");
}

/*
 * The files and their names, then the catalog that has them.  One call syncs all that are new, ten
 * thousand of them may be; it takes other programs' files along, and reports errors since
 * Linux 5.8.
 */
static enum envol_status sync_and_save(struct engine *engine)
{
    return syncfs(engine->dir) == 0 ? catalog_save(engine)
                                    : engine_fail(engine, ENVOL_E_IO, "a new table");
}

/* A table that no catalog has is none of the engine's: its rows would be lost.  After ENVOL_E_IO
 * nobody knows which catalog is there, and the engine is opened again. */
enum envol_status catalog_add(struct engine *engine, struct table **tables, size_t count)
{
    struct table **before = engine->tables;
    size_t count_before = engine->table_count;
    struct table **grown = reallocarray(NULL, count_before + count, sizeof *grown);
    enum envol_status status =
        grown == NULL ? engine_fail(engine, ENVOL_E_NO_MEMORY, "a new table") : ENVOL_OK;

    if (status == ENVOL_OK) {
        if (count_before > 0)
            memcpy(grown, before, count_before * sizeof *grown);
        memcpy(grown + count_before, tables, count * sizeof *grown);
        qsort(grown, count_before + count, sizeof *grown, compare);
        engine->tables = grown;
        engine->table_count = count_before + count;
        status = sync_and_save(engine);
    }
    if (status == ENVOL_OK || status == ENVOL_E_IO) {
        free(before);
        return status;
    }
    engine->tables = before;
    engine->table_count = count_before;
    free(grown);
    for (size_t i = 0; i < count; i++)
        table_free(tables[i]);
    return status;
}
