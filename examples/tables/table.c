/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables: a row lies in the first page that had room for it, and is found by looking through them.
 * They are small, and many; what grows large wants an index, of pages sealed just so.
 */
#include "common/bytes.h"
#include "disk.h"
#include "engine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define NO_PAGE UINT32_MAX

void object_file(const uint8_t id[ENVOL_OBJECT_BYTES], char name[FILE_NAME_BYTES])
{
    char *to = name + sprintf(name, "t-");

    if (memcmp(id, values_id, ENVOL_OBJECT_BYTES) == 0)
        strcpy(name, "values");
    else
        for (int i = 0; i < ENVOL_OBJECT_BYTES; i++)
            to += sprintf(to, "%02x", id[i]);
}

/* --- Making ---*/

static enum envol_status write_first_page(struct engine *engine, const struct table *table,
                                          uint8_t *page)
{
    char name[FILE_NAME_BYTES];
    enum envol_status status;
    int fd;

    page_set_number(page, PAGE_COUNT, 1);
    page_set_number(page, PAGE_SWEPT, envol_keyring_epoch(engine->keyring));
    status = envol_page_seal(table->object, engine->lane, 0, page, page);
    if (status != ENVOL_OK)
        return status;
    object_file(table->id, name);
    fd = openat(engine->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ENVOL_E_IO;
    status = disk_write(fd, page, STRIDE_BYTES, 0);
    close(fd);
    return status;
}

enum envol_status table_make(struct engine *engine, const char *name, uint8_t *page,
                             struct table **table)
{
    struct table *made = calloc(1, sizeof *made);
    enum envol_status status = made == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;

    *table = NULL;
    if (strlen(name) > KEY_BYTES_MAX)
        status = ENVOL_E_RANGE;
    if (status == ENVOL_OK && getrandom(made->id, sizeof made->id, 0) != sizeof made->id)
        status = ENVOL_E_RANDOM;
    if (status == ENVOL_OK && (made->name = strdup(name)) == NULL)
        status = ENVOL_E_NO_MEMORY;
    if (status == ENVOL_OK)
        status = envol_object_open(engine->keyring, made->id, &made->object);
    if (status == ENVOL_OK)
        status = write_first_page(engine, made, page);
    if (status == ENVOL_OK)
        *table = made;
    else if (made != NULL)
        table_free(made);
    return status == ENVOL_OK ? ENVOL_OK : engine_fail(engine, status, "new table %.200s", name);
}

static enum envol_status find_or_make(struct engine *engine, const char *name, struct table **table)
{
    uint8_t page[STRIDE_BYTES];
    enum envol_status status;

    *table = catalog_find(engine, name);
    if (*table != NULL)
        return ENVOL_OK;
    page_init(page);
    status = table_make(engine, name, page, table);
    return status == ENVOL_OK ? catalog_add(engine, table, 1) : status;
}

/* --- Pages ---*/

static struct change *find_change(struct engine *engine, const struct table *table,
                                  uint32_t page_no)
{
    for (size_t i = 0; i < engine->change_count; i++) {
        struct change *change = &engine->changes[i];

        if (change->table == table && change->place == page_no)
            return change;
    }
    return NULL;
}

enum envol_status cursor_read(const struct cursor *cursor, uint32_t page_no,
                              uint8_t page[STRIDE_BYTES])
{
    const struct change *change = find_change(cursor->engine, cursor->table, page_no);
    enum envol_status status;

    if (change != NULL) {
        memcpy(page, change->bytes, PAGE_BYTES);
        return ENVOL_OK;
    }
    status = disk_read(cursor->fd, page, STRIDE_BYTES, (uint64_t)page_no * STRIDE_BYTES);
    if (status == ENVOL_OK)
        status =
            envol_page_unseal(cursor->table->object, cursor->engine->lane, page_no, page, page);
    if (status == ENVOL_E_UNWRITTEN)
        status = ENVOL_E_CORRUPT; /* a hole: this engine seals none */
    return status == ENVOL_OK ? ENVOL_OK
                              : engine_fail(cursor->engine, status, "table %.150s, page %u",
                                            cursor->table->name, page_no);
}

enum envol_status cursor_open(struct cursor *cursor, struct engine *engine,
                              const struct table *table)
{
    uint8_t page[STRIDE_BYTES];
    char name[FILE_NAME_BYTES];
    enum envol_status status;

    object_file(table->id, name);
    *cursor = (struct cursor){.engine = engine, .table = table};
    cursor->fd = openat(engine->dir, name, O_RDONLY | O_CLOEXEC);
    if (cursor->fd < 0)
        return engine_fail(engine, ENVOL_E_IO, "table %.200s", table->name);
    status = cursor_read(cursor, 0, page);
    if (status == ENVOL_OK) {
        cursor->pages = page_number(page, PAGE_COUNT);
        cursor->swept = page_number(page, PAGE_SWEPT);
    }
    return status;
}

void cursor_close(const struct cursor *cursor)
{
    if (cursor->fd >= 0)
        close(cursor->fd);
}

enum envol_status cursor_change(const struct cursor *cursor, uint32_t page_no, uint8_t **page)
{
    struct engine *engine = cursor->engine;
    struct change *change = find_change(engine, cursor->table, page_no);
    enum envol_status status = ENVOL_OK;

    if (change == NULL) {
        uint8_t *made = calloc(1, STRIDE_BYTES);

        status = made == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;
        if (status == ENVOL_OK && page_no < cursor->pages)
            status = cursor_read(cursor, page_no, made);
        if (status != ENVOL_OK) {
            free(made);
            return status;
        }
        change = change_add(engine, &(struct change){cursor->table, page_no, made, STRIDE_BYTES});
    }
    *page = change->bytes;
    return status;
}

/* --- Rows ---*/

/* Where a row of the key is, and the first page that has room for the new one. */
struct places {
    uint32_t old, room;
};

static enum envol_status look(const struct cursor *cursor, const struct row *row,
                              struct places *places)
{
    uint8_t page[STRIDE_BYTES];
    struct row old;
    enum envol_status status = ENVOL_OK;

    *places = (struct places){NO_PAGE, NO_PAGE};
    for (uint32_t page_no = 0; page_no < cursor->pages; page_no++) {
        status = cursor_read(cursor, page_no, page);
        if (status == ENVOL_OK && places->old == NO_PAGE) {
            status = page_find(page, row->key, &old);
            if (status == ENVOL_OK) {
                places->old = page_no;
                page_remove(page, &old); /* of this copy: its room counts */
            }
        }
        if (status != ENVOL_OK && status != ENVOL_E_UNWRITTEN)
            return status;
        if (places->room == NO_PAGE && page_has_room(page, row_bytes(row)))
            places->room = page_no;
        if (places->old != NO_PAGE && places->room != NO_PAGE)
            break;
    }
    return ENVOL_OK;
}

static enum envol_status remove_old(const struct cursor *cursor, uint32_t page_no, const char *key)
{
    uint8_t *page;
    struct row old;
    enum envol_status status = cursor_change(cursor, page_no, &page);

    if (status == ENVOL_OK)
        status = page_find(page, key, &old);
    if (status == ENVOL_OK)
        page_remove(page, &old);
    return status;
}

static enum envol_status grow(struct cursor *cursor, uint32_t *page_no)
{
    uint8_t *head, *page;
    enum envol_status status = cursor_change(cursor, 0, &head);

    if (status == ENVOL_OK)
        status = cursor_change(cursor, cursor->pages, &page);
    if (status == ENVOL_OK) {
        *page_no = cursor->pages++;
        page_set_number(head, PAGE_COUNT, cursor->pages);
    }
    return status;
}

static enum envol_status put_row(struct cursor *cursor, const struct row *row)
{
    struct places places;
    uint8_t *page;
    enum envol_status status = look(cursor, row, &places);

    if (status == ENVOL_OK && places.old != NO_PAGE)
        status = remove_old(cursor, places.old, row->key);
    if (status == ENVOL_OK && places.room == NO_PAGE)
        status = grow(cursor, &places.room);
    if (status == ENVOL_OK)
        status = cursor_change(cursor, places.room, &page);
    if (status == ENVOL_OK)
        page_add(page, row);
    return status;
}

enum envol_status engine_put(struct engine *engine, const char *name, const char *key,
                             const void *value, size_t value_bytes)
{
    struct row row = {.key = key,
                      .key_bytes = strlen(key),
                      .value = value,
                      .value_bytes = value_bytes,
                      .is_long = value_bytes > INLINE_BYTES_MAX};
    struct cursor cursor = {.fd = -1};
    struct table *table;
    enum envol_status status = ENVOL_OK;

    if (row.key_bytes > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX)
        status = engine_fail(engine, ENVOL_E_RANGE, "a key is up to %d bytes, a value up to %d",
                             KEY_BYTES_MAX, VALUE_BYTES_MAX);
    if (status == ENVOL_OK &&
        engine->change_count > CHANGES_MAX - 3) /* page 0, that of the old row, of the new one */
        status = engine_commit(engine);
    if (status == ENVOL_OK)
        status = find_or_make(engine, name, &table);
    if (status == ENVOL_OK && row.is_long)
        status = values_append(engine, value, value_bytes, &row.offset);
    if (status == ENVOL_OK)
        status = cursor_open(&cursor, engine, table);
    if (status == ENVOL_OK)
        status = put_row(&cursor, &row);
    cursor_close(&cursor);
    if (status != ENVOL_OK)
        engine_drop_changes(engine); /* of half a put, and what it would be committed with */
    return status;
}

static enum envol_status give_row(struct engine *engine, const struct row *row,
                                  row_callback *callback, void *ctx)
{
    void *value = NULL;
    enum envol_status status;

    if (!row->is_long)
        return callback(ctx, row, row->value);
    status = values_read(engine, engine->lane, row, &value);
    status = status == ENVOL_OK ? callback(ctx, row, value)
                                : engine_fail(engine, status, "a long value");
    free(value);
    return status;
}

static enum envol_status scan_page(const struct cursor *cursor, uint32_t page_no, const char *key,
                                   row_callback *callback, void *ctx)
{
    uint8_t page[STRIDE_BYTES];
    struct row row = {.at = 0};
    enum envol_status status = cursor_read(cursor, page_no, page);

    while (status == ENVOL_OK && (status = page_next(page, &row)) == ENVOL_OK) {
        if (key == NULL ||
            (row.key_bytes == strlen(key) && memcmp(row.key, key, row.key_bytes) == 0))
            status = give_row(cursor->engine, &row, callback, ctx);
    }
    return status == ENVOL_E_UNWRITTEN ? ENVOL_OK : status;
}

enum envol_status engine_scan(struct engine *engine, const char *name, const char *key,
                              row_callback *callback, void *ctx)
{
    const struct table *table = catalog_find(engine, name);
    struct cursor cursor;
    enum envol_status status;

    if (table == NULL)
        return engine_fail(engine, ENVOL_E_UNWRITTEN, "there is no table %.200s", name);
    status = cursor_open(&cursor, engine, table);
    for (uint32_t page_no = 0; status == ENVOL_OK && page_no < cursor.pages; page_no++)
        status = scan_page(&cursor, page_no, key, callback, ctx);
    cursor_close(&cursor);
    return status;
}
