/* SPDX-License-Identifier: BSD-2-Clause */
/* The snapshots of a writer's handle: opened with it, counted, told to the header, closed. */
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "volume/catalog.h"
#include "volume/snapshot.h"

#include <string.h>

/* Files of no use that one open removes; the next one goes on. */
enum { ORPHANS_MAX = 32 };

enum envol_status envol_snapshots_begin(struct envol_volume *volume, struct envol_space *space)
{
    struct envol_snapshots *set;

    if (space == NULL)
        return ENVOL_OK;
    set = envol_alloc(sizeof(*set), _Alignof(struct envol_snapshots));
    if (set == NULL)
        return ENVOL_E_NO_MEMORY;
    set->space = space;
    if (pthread_mutex_init(&set->lock, NULL) != 0) {
        envol_free(set);
        return ENVOL_E_NO_MEMORY;
    }
    if (pthread_cond_init(&set->changed, NULL) != 0) {
        pthread_mutex_destroy(&set->lock);
        envol_free(set);
        return ENVOL_E_NO_MEMORY;
    }
    volume->snapshots = set;
    return ENVOL_OK;
}

void envol_snapshots_close(struct envol_snapshots *set, bool own)
{
    if (set == NULL)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        envol_snapshot_close(set->snapshot[i]);
    envol_free(set->buffer);
    if (own) {
        pthread_cond_destroy(&set->changed);
        pthread_mutex_destroy(&set->lock);
    }
    envol_free(set);
}

void envol_snapshots_measure(struct envol_volume *volume)
{
    const struct envol_snapshots *set = volume->snapshots;
    uint64_t end = 0;

    for (uint32_t i = 0; i < set->count; i++)
        if (set->snapshot[i]->record.pages > end)
            end = set->snapshot[i]->record.pages;
    atomic_store_explicit(&volume->preserved_end, end, memory_order_release);
}

struct envol_snapshot *envol_snapshots_get(const struct envol_snapshots *set,
                                           const uint8_t uuid[ENVOL_UUID_BYTES])
{
    for (uint32_t i = 0; i < set->count; i++)
        if (memcmp(set->snapshot[i]->record.uuid, uuid, ENVOL_UUID_BYTES) == 0)
            return set->snapshot[i];
    return NULL;
}

bool envol_snapshots_note(struct envol_volume *volume)
{
    struct envol_snapshots *set = volume->snapshots;
    struct envol_header *header = volume->header;
    bool is_news = false;

    if (set == NULL)
        return false;
    pthread_mutex_lock(&set->lock);
    for (uint32_t i = 0; i < header->snapshot_count; i++) {
        struct envol_snapshot_record *record = &header->snapshots[i];
        const struct envol_snapshot *snapshot = envol_snapshots_get(set, record->uuid);
        if (snapshot == NULL || snapshot->entries <= record->entries)
            continue;
        record->entries = snapshot->entries;
        is_news = true;
    }
    pthread_mutex_unlock(&set->lock);
    return is_news;
}

/* --- At open --- */

static enum envol_status open_one(struct envol_volume *volume,
                                  const struct envol_snapshot_record *record,
                                  struct envol_error *error)
{
    struct envol_snapshots *set = volume->snapshots;
    char name[ENVOL_SNAPSHOT_NAME_BYTES];
    struct envol_store *store;
    enum envol_status status;

    envol_snapshot_name(record->uuid, name);
    status = envol_space_store(set->space, name, 0, &store, error);
    if (status == ENVOL_E_RANGE)
        return envol_fail(error, ENVOL_E_STATE,
                          "the space does not have %s, which the volume needs", name);
    if (status != ENVOL_OK)
        return status;
    status = envol_snapshot_open_file(volume, store, record, &set->snapshot[set->count], error);
    set->count += status == ENVOL_OK;
    return status;
}

/*
 * Readers of an image would take for old what is written from here on: with their lock held there
 * are none.
 */
static enum envol_status lock_out_readers(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status =
        envol_store_lock(volume->store, ENVOL_LOCK_READERS, ENVOL_LOCK_EXCLUSIVE, 0, error);

    return status == ENVOL_E_BUSY
               ? envol_fail(error, status, "readers have the volume open, and maybe an image")
               : status;
}

/* Whatever the files are like, and wherever; those that are there go, as far as that can be. */
static void remove_files(struct envol_space *space, const struct envol_snapshot_record *records,
                         uint32_t count)
{
    for (uint32_t i = 0; space != NULL && i < count; i++) {
        char name[ENVOL_SNAPSHOT_NAME_BYTES];
        envol_snapshot_name(records[i].uuid, name);
        (void)envol_space_remove(space, name, NULL);
    }
}

/* All of them, or one that the header names. */
static enum envol_status abandon_some(struct envol_volume *volume, struct envol_space *space,
                                      const struct envol_snapshot_record *one,
                                      struct envol_error *error)
{
    struct envol_header *header = volume->header;
    struct envol_snapshot_record gone[ENVOL_SNAPSHOTS_MAX];
    uint32_t count = one != NULL ? 1 : header->snapshot_count;
    enum envol_status status = lock_out_readers(volume, error);

    if (status != ENVOL_OK)
        return status;
    memcpy(gone, one != NULL ? one : header->snapshots, count * sizeof(gone[0]));
    for (uint32_t i = 0; i < count; i++)
        envol_snapshots_remove(header, gone[i].uuid);
    status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    (void)envol_store_lock(volume->store, ENVOL_LOCK_READERS, ENVOL_LOCK_NONE, 0, NULL);
    if (status == ENVOL_OK)
        remove_files(space, gone, count);
    return status;
}

static enum envol_status abandon_named(struct envol_volume *volume, struct envol_space *space,
                                       const uint8_t *uuid, struct envol_error *error)
{
    const struct envol_snapshot_record *one = NULL;

    if (uuid != NULL) {
        one = envol_snapshots_find(volume->header, uuid);
        if (one == NULL)
            return envol_fail(error, ENVOL_E_RANGE, "the volume has no such snapshot");
    }
    return volume->header->snapshot_count > 0 ? abandon_some(volume, space, one, error) : ENVOL_OK;
}

struct orphans {
    const struct envol_header *header;
    uint32_t count;
    uint8_t uuid[ORPHANS_MAX][ENVOL_UUID_BYTES];
};

/* The text is what envol_uuid_format makes of the bytes, or no UUID. */
static bool parse(const char *text, uint8_t uuid[ENVOL_UUID_BYTES])
{
    char again[ENVOL_UUID_TEXT_BYTES];
    size_t n = 0;

    if (strlen(text) != ENVOL_UUID_TEXT_BYTES - 1)
        return false;
    memset(uuid, 0, ENVOL_UUID_BYTES);
    for (const char *c = text; *c != 0; c++) {
        int value = envol_hex_digit(*c);
        if (value < 0)
            continue;
        if (n == 2 * (size_t)ENVOL_UUID_BYTES)
            return false;
        uuid[n / 2] = (uint8_t)(uuid[n / 2] << 4 | value);
        n++;
    }
    envol_uuid_format(uuid, again);
    return strcmp(text, again) == 0;
}

static enum envol_status note_orphan(const char *name, void *ctx)
{
    struct orphans *orphans = ctx;

    if (strncmp(name, "snapshot-", 9) == 0 && orphans->count < ORPHANS_MAX &&
        parse(name + 9, orphans->uuid[orphans->count]) &&
        envol_snapshots_find(orphans->header, orphans->uuid[orphans->count]) == NULL)
        orphans->count++;
    return ENVOL_OK;
}

/* What a crash left of a creation or a deletion.  Another time will do, if it fails now. */
static void remove_orphans(struct envol_volume *volume, struct envol_space *space)
{
    struct orphans orphans = {.header = volume->header};

    if (envol_space_list(space, note_orphan, &orphans, NULL) != ENVOL_OK)
        return;
    for (uint32_t i = 0; i < orphans.count; i++) {
        char name[ENVOL_SNAPSHOT_NAME_BYTES];
        struct envol_store *store;
        bool is_orphan;
        envol_snapshot_name(orphans.uuid[i], name);
        if (envol_space_store(space, name, ENVOL_SPACE_READ_ONLY, &store, NULL) != ENVOL_OK)
            continue;
        is_orphan = envol_snapshot_is_orphan(volume, store, orphans.uuid[i]);
        envol_store_close(store);
        if (is_orphan)
            (void)envol_space_remove(space, name, NULL);
    }
}

enum envol_status envol_snapshots_open(struct envol_volume *volume, struct envol_space *space,
                                       bool abandon, const uint8_t *uuid, struct envol_error *error)
{
    const struct envol_header *header = volume->header;
    enum envol_status status = ENVOL_OK;

    if (abandon)
        status = abandon_named(volume, space, uuid, error);
    if (status != ENVOL_OK)
        return status;
    if (space == NULL && header->snapshot_count > 0)
        return envol_fail(error, ENVOL_E_STATE,
                          "the volume has snapshots: give the space that they are in");
    status = envol_snapshots_begin(volume, space);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    for (uint32_t i = 0; status == ENVOL_OK && i < header->snapshot_count; i++)
        status = open_one(volume, &header->snapshots[i], error);
    if (status != ENVOL_OK || space == NULL)
        return status;
    remove_orphans(volume, space);
    envol_catalog_remove_orphans(volume);
    envol_snapshots_measure(volume);
    return ENVOL_OK;
}
