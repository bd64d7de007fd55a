/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of the catalog of backups: an entry more, or all that counts in a new file. */
#include "volume/catalog.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "store/space.h"

#include <inttypes.h>
#include <string.h>

/* Void entries that are kept beside as many as count. */
#define VOID_MAX 64u

/* The header goes on to say so. */
static enum envol_status commit(struct envol_volume *volume,
                                const struct envol_catalog_record *record,
                                struct envol_error *error)
{
    const struct envol_catalog_record before = volume->header->catalog;
    enum envol_status status;

    envol_header_set_catalog(volume->header, record);
    status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    /* Should the disk have it, the next update takes it back, and comes before any other change. */
    if (status != ENVOL_OK)
        envol_header_set_catalog(volume->header, &before);
    return status;
}

/* Room for the entry's head before the payload, and for zeros behind it. */
static uint8_t *frame(const uint8_t *payload, uint32_t bytes)
{
    uint8_t *framed = envol_alloc((size_t)envol_chain_bytes(bytes), ENVOL_CHAIN_ALIGN);

    if (framed != NULL)
        memcpy(framed + ENVOL_CHAIN_HEAD_BYTES, payload, bytes);
    return framed;
}

/* --- One entry more --- */

static enum envol_status append(struct envol_volume *volume, struct envol_catalog *catalog,
                                uint32_t kind, const uint8_t *payload, uint32_t bytes,
                                struct envol_error *error)
{
    struct envol_catalog_record record = volume->header->catalog;
    uint8_t *framed = frame(payload, bytes);
    enum envol_status status;

    if (framed == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_chain_append(&catalog->chain, kind, record.epoch, framed, bytes, bytes, error);
    envol_free(framed);
    record.entries = catalog->chain.entries;
    return status == ENVOL_OK ? commit(volume, &record, error) : status;
}

/* --- A new file --- */

static enum envol_status add_all(const struct envol_catalog *from, struct envol_catalog *to,
                                 uint32_t epoch, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < from->count; i++) {
        const struct envol_catalog_item *item = from->items[i];
        uint8_t *framed = frame(item->payload, item->payload_bytes);
        if (framed == NULL)
            return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
        status = envol_chain_add(&to->chain, ENVOL_CATALOG_BACKUP, epoch, framed,
                                 item->payload_bytes, item->payload_bytes, error);
        envol_free(framed);
    }
    return status == ENVOL_OK ? envol_chain_settle(&to->chain, error) : status;
}

/* What an update that failed left under the name is nobody's by now: the header was written since.
 */
static enum envol_status create_file(struct envol_volume *volume, uint64_t serial,
                                     const struct envol_catalog *from, uint64_t *entries,
                                     struct envol_error *error)
{
    struct envol_catalog to = {.count = 0};
    char name[ENVOL_CATALOG_NAME_BYTES];
    struct envol_store *store;
    enum envol_status status;

    envol_catalog_name(serial, name);
    status = envol_space_remove(volume->space, name, error);
    if (status == ENVOL_OK)
        status = envol_space_store(volume->space, name, ENVOL_SPACE_CREATE, &store, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_catalog_begin(volume, serial, store, &to, error);
    if (status == ENVOL_OK)
        status = add_all(from, &to, volume->header->epoch, error);
    *entries = to.chain.entries;
    envol_catalog_free(&to);
    if (status != ENVOL_OK)
        (void)envol_space_remove(volume->space, name, NULL);
    return status;
}

static void remove_file(struct envol_volume *volume, uint64_t serial)
{
    char name[ENVOL_CATALOG_NAME_BYTES];

    if (serial == 0 || volume->space == NULL)
        return;
    envol_catalog_name(serial, name);
    (void)envol_space_remove(volume->space, name, NULL); /* else the next writer's open does */
}

static enum envol_status rewrite(struct envol_volume *volume, const struct envol_catalog *catalog,
                                 struct envol_error *error)
{
    uint64_t before = volume->header->catalog.serial;
    struct envol_catalog_record record = {.serial = 0};
    enum envol_status status = ENVOL_OK;

    if (catalog->count > 0) {
        record.serial = volume->header->id.generation + 1; /* of the header that names it first */
        record.epoch = volume->header->epoch;
        status = create_file(volume, record.serial, catalog, &record.entries, error);
    }
    if (status == ENVOL_OK)
        status = commit(volume, &record, error);
    if (status == ENVOL_OK)
        remove_file(volume, before);
    return status;
}

/* --- Changes --- */

static bool needs_file(const struct envol_volume *volume, const struct envol_catalog *catalog)
{
    const struct envol_catalog_record *record = &volume->header->catalog;

    return catalog->count == 0 || record->serial == 0 || record->epoch != volume->header->epoch ||
           catalog->chain.entries + 1 - catalog->count > catalog->count + VOID_MAX;
}

/* Holds access alone. */
static enum envol_status change(struct envol_volume *volume, uint32_t kind, const uint8_t *payload,
                                uint32_t bytes, struct envol_error *error)
{
    struct envol_catalog catalog;
    enum envol_status status = envol_catalog_read(volume, true, &catalog, error);

    if (status != ENVOL_OK)
        goto out;
    if (kind != ENVOL_CATALOG_BACKUP && envol_catalog_find(&catalog, payload) == catalog.count)
        status = envol_fail(error, ENVOL_E_RANGE, "the catalog has no such backup");
    else if (kind == ENVOL_CATALOG_BACKUP && catalog.count == ENVOL_BACKUPS_MAX)
        status =
            envol_fail(error, ENVOL_E_RANGE,
                       "the catalog has %u backups: forget those that are gone", ENVOL_BACKUPS_MAX);
    if (status != ENVOL_OK)
        goto out;
    status = envol_catalog_apply(&catalog, kind, payload, bytes);
    if (status != ENVOL_OK)
        envol_fail(error, status, NULL);
    else if (needs_file(volume, &catalog))
        status = rewrite(volume, &catalog, error);
    else
        status = append(volume, &catalog, kind, payload, bytes, error);
out:
    envol_catalog_free(&catalog);
    return status;
}

/* Access alone, of a volume that has a space. */
static enum envol_status enter(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (volume->space != NULL)
        return ENVOL_OK;
    envol_volume_leave(volume);
    return envol_fail(error, ENVOL_E_STATE, "the volume was opened without a space");
}

static enum envol_status change_alone(struct envol_volume *volume, uint32_t kind,
                                      const uint8_t *payload, uint32_t bytes,
                                      struct envol_error *error)
{
    enum envol_status status = enter(volume, error);

    if (status != ENVOL_OK)
        return status;
    status = change(volume, kind, payload, bytes, error);
    envol_volume_leave(volume);
    return status;
}

void envol_catalog_take_cmks(const struct envol_header *header, struct envol_backup_entry *entry)
{
    entry->cmk_count = header->slot_count;
    for (uint32_t i = 0; i < header->slot_count; i++)
        entry->cmks[i] = (struct envol_backup_cmk){.provider = header->slots[i]->provider,
                                                   .key_ref = header->slots[i]->key_ref,
                                                   .key_version = header->slots[i]->key_version};
}

/* What only access alone keeps still. */
static void fill_in(const struct envol_volume *volume, struct envol_backup_entry *entry)
{
    const struct envol_header *header = volume->header;

    entry->generation = header->id.generation;
    entry->epoch = header->epoch;
    if (entry->form != ENVOL_BACKUP_RAW)
        return;
    entry->lowest_epoch = header->lowest_epoch;
    entry->volume_pages = atomic_load(&volume->pages);
    envol_catalog_take_cmks(header, entry);
}

enum envol_status envol_catalog_add(struct envol_volume *volume, struct envol_backup_entry *entry,
                                    struct envol_error *error)
{
    struct envol_catalog_item *item;
    enum envol_status status = enter(volume, error);

    if (status != ENVOL_OK)
        return status;
    fill_in(volume, entry);
    item = envol_catalog_item_new(entry);
    status = item == NULL
                 ? envol_fail(error, ENVOL_E_NO_MEMORY, NULL)
                 : change(volume, ENVOL_CATALOG_BACKUP, item->payload, item->payload_bytes, error);
    envol_volume_leave(volume);
    envol_free(item);
    return status;
}

enum envol_status envol_catalog_finish(struct envol_volume *volume,
                                       const uint8_t uuid[ENVOL_UUID_BYTES], uint64_t pages,
                                       uint64_t bytes, struct envol_error *error)
{
    uint8_t payload[ENVOL_CATALOG_FINISHED_BYTES];

    memcpy(payload, uuid, ENVOL_UUID_BYTES);
    envol_store64(payload + 16, pages);
    envol_store64(payload + 24, bytes);
    return change_alone(volume, ENVOL_CATALOG_FINISHED, payload, sizeof(payload), error);
}

/* Whatever the file is like, and wherever. */
static enum envol_status forget_all(struct envol_volume *volume, struct envol_error *error)
{
    const struct envol_catalog nothing = {.count = 0};
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (volume->header->catalog.serial != 0)
        status = rewrite(volume, &nothing, error);
    envol_volume_leave(volume);
    return status;
}

enum envol_status envol_catalog_forget(struct envol_volume *volume,
                                       const uint8_t uuid[ENVOL_UUID_BYTES],
                                       struct envol_error *error)
{
    if (uuid == NULL)
        return forget_all(volume, error);
    return change_alone(volume, ENVOL_CATALOG_FORGOTTEN, uuid, ENVOL_UUID_BYTES, error);
}

enum envol_status envol_catalog_move(struct envol_volume *volume, struct envol_error *error)
{
    const struct envol_catalog_record *record = &volume->header->catalog;
    struct envol_catalog catalog;
    enum envol_status status;

    if (record->serial == 0 || record->epoch == volume->header->epoch || volume->space == NULL)
        return ENVOL_OK;
    status = envol_catalog_read(volume, true, &catalog, error);
    if (status == ENVOL_OK)
        status = rewrite(volume, &catalog, error);
    envol_catalog_free(&catalog);
    return status;
}
