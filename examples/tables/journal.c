/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commits.  The journal holds one, the last: the length of a blob, u64, and the blob, which is
 *
 *     for each record: file's object 16 | offset u64 | bytes u32 | 0 u32 | the record, sealed
 *
 * Sealed as one, all of it is there or, after a crash in the middle of its writing, none.  It names
 * files and bytes only: it serves records of any kind and length, and is written home without their
 * keys.
 */
#include "common/bytes.h"
#include "disk.h"
#include "engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char aad[] = "tables journal 1";
enum { LENGTH_BYTES = 8, ENTRY_BYTES = ENVOL_OBJECT_BYTES + 16 };

/* --- Writing home ---*/

/* The file that is being written; entries of one stand together. */
struct home {
    int dir, fd;
    uint8_t id[ENVOL_OBJECT_BYTES];
};

static enum envol_status leave(struct home *home)
{
    enum envol_status status = home->fd < 0 ? ENVOL_OK : disk_sync(home->fd);

    if (home->fd >= 0)
        close(home->fd);
    home->fd = -1;
    return status;
}

static enum envol_status enter(struct home *home, const uint8_t id[ENVOL_OBJECT_BYTES])
{
    char name[FILE_NAME_BYTES];
    enum envol_status status;

    if (home->fd >= 0 && memcmp(home->id, id, sizeof home->id) == 0)
        return ENVOL_OK;
    status = leave(home);
    if (status != ENVOL_OK)
        return status;
    memcpy(home->id, id, sizeof home->id);
    object_file(id, name);
    home->fd = openat(home->dir, name, O_WRONLY | O_CLOEXEC);
    return home->fd < 0 ? ENVOL_E_IO : ENVOL_OK;
}

/* Doing it twice does no harm. */
static enum envol_status write_home(struct engine *engine, const uint8_t *at, size_t bytes)
{
    struct home home = {.dir = engine->dir, .fd = -1};
    enum envol_status status = ENVOL_OK, left;

    while (status == ENVOL_OK && bytes > 0) {
        size_t record_bytes = bytes < ENTRY_BYTES ? 0 : load(at + ENVOL_OBJECT_BYTES + 8, 4);

        if (bytes < ENTRY_BYTES || bytes - ENTRY_BYTES < record_bytes)
            return (void)leave(&home), ENVOL_E_CORRUPT;
        status = enter(&home, at);
        if (status == ENVOL_OK)
            status = disk_write(home.fd, at + ENTRY_BYTES, record_bytes,
                                load(at + ENVOL_OBJECT_BYTES, 8));
        at += ENTRY_BYTES + record_bytes;
        bytes -= ENTRY_BYTES + record_bytes;
    }
    left = leave(&home);
    return status == ENVOL_OK ? left : status;
}

/* --- Recovery ---*/

/* A journal that is torn was torn before any page was touched.  Its bytes may then claim any epoch,
 * one that the keyring does not know yet too (ENVOL_E_STALE). */
static bool is_torn(enum envol_status status)
{
    return status == ENVOL_E_CORRUPT || status == ENVOL_E_STALE;
}

static enum envol_status recover(struct engine *engine, uint8_t *journal, size_t bytes)
{
    uint64_t sealed_bytes = bytes < LENGTH_BYTES ? 0 : load(journal, 8);
    uint8_t *blob = journal + LENGTH_BYTES;
    enum envol_status status;

    if (sealed_bytes < ENVOL_TRAILER_BYTES || sealed_bytes > bytes - LENGTH_BYTES)
        return ENVOL_OK; /* none, or torn */
    status = envol_blob_unseal(engine->journal, engine->lane, aad, sizeof aad, blob,
                               (size_t)sealed_bytes, blob);
    if (status != ENVOL_OK)
        return is_torn(status) ? ENVOL_OK : status;
    return write_home(engine, blob, (size_t)sealed_bytes - ENVOL_TRAILER_BYTES);
}

enum envol_status journal_recover(struct engine *engine)
{
    void *journal;
    size_t bytes;
    enum envol_status status = disk_load(engine->dir, "journal", &journal, &bytes);

    if (status == ENVOL_OK)
        status = recover(engine, journal, bytes);
    free(journal);
    engine->journal_needed = status != ENVOL_OK;
    return status == ENVOL_OK ? ENVOL_OK : engine_fail(engine, status, "recovery");
}

/* --- Commit ---*/

static const uint8_t *change_file(const struct change *change)
{
    return change->table == NULL ? values_id : change->table->id;
}

struct change *change_add(struct engine *engine, const struct change *change)
{
    struct change *added = &engine->changes[engine->change_count++];

    *added = *change;
    engine->change_bytes += ENTRY_BYTES + change->record_bytes;
    return added;
}

static int compare(const void *a, const void *b)
{
    const struct change *one = a, *other = b;
    int order = memcmp(change_file(one), change_file(other), ENVOL_OBJECT_BYTES);

    return order != 0 ? order : (one->place > other->place) - (one->place < other->place);
}

static enum envol_status encode(struct engine *engine, uint8_t *to)
{
    enum envol_status status = ENVOL_OK;

    qsort(engine->changes, engine->change_count, sizeof engine->changes[0], compare);
    for (size_t i = 0; status == ENVOL_OK && i < engine->change_count; i++) {
        const struct change *change = &engine->changes[i];

        memcpy(to, change_file(change), ENVOL_OBJECT_BYTES);
        store(to + ENVOL_OBJECT_BYTES, 8,
              change->place * (change->table == NULL ? 1 : STRIDE_BYTES));
        store(to + ENVOL_OBJECT_BYTES + 8, 4, change->record_bytes);
        store(to + ENVOL_OBJECT_BYTES + 12, 4, 0);
        to += ENTRY_BYTES;
        if (change->table == NULL)
            memcpy(to, change->bytes, change->record_bytes);
        else
            status = envol_page_seal(change->table->object, engine->lane, change->place,
                                     change->bytes, to);
        to += change->record_bytes;
    }
    return status;
}

static enum envol_status write_journal(struct engine *engine, uint8_t *journal,
                                       const uint8_t *plain, size_t bytes)
{
    size_t sealed_bytes = bytes + ENVOL_TRAILER_BYTES;
    enum envol_status status = envol_blob_seal(engine->journal, engine->lane, aad, sizeof aad,
                                               plain, bytes, journal + LENGTH_BYTES);

    store(journal, 8, sealed_bytes);
    if (status == ENVOL_OK)
        status = disk_write(engine->journal_fd, journal, LENGTH_BYTES + sealed_bytes, 0);
    return status == ENVOL_OK ? disk_sync(engine->journal_fd) : status;
}

void engine_drop_changes(struct engine *engine)
{
    while (engine->change_count > 0)
        free(engine->changes[--engine->change_count].bytes);
    engine->change_bytes = 0;
}

/* After a sync that failed nobody knows what is on the disk: the changes are dropped, and the
 * program has to open the engine again. */
enum envol_status engine_commit(struct engine *engine)
{
    size_t bytes = engine->change_bytes;
    uint8_t *plain = malloc(bytes + 1);
    uint8_t *journal = malloc(LENGTH_BYTES + bytes + ENVOL_TRAILER_BYTES);
    enum envol_status status = plain == NULL || journal == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;

    if (status == ENVOL_OK && engine->values_unsynced)
        status = disk_sync(engine->values_fd);
    if (status == ENVOL_OK && engine->change_count > 0) {
        engine->journal_needed = true;
        status = encode(engine, plain);
        if (status == ENVOL_OK)
            status = write_journal(engine, journal, plain, bytes);
        if (status == ENVOL_OK)
            status = write_home(engine, plain, bytes);
    }
    if (status == ENVOL_OK)
        engine->values_unsynced = engine->journal_needed = false;
    engine_drop_changes(engine);
    free(plain);
    free(journal);
    return status == ENVOL_OK ? ENVOL_OK : engine_fail(engine, status, "a commit");
}

enum envol_status journal_clear(struct engine *engine)
{
    enum envol_status status = ftruncate(engine->journal_fd, 0) == 0 ? ENVOL_OK : ENVOL_E_IO;

    if (status == ENVOL_OK)
        status = disk_sync(engine->journal_fd);
    return status == ENVOL_OK ? ENVOL_OK : engine_fail(engine, status, "the journal");
}
