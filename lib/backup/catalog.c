/* SPDX-License-Identifier: BSD-2-Clause */
/* The catalog of backups as callers see it: list, forget, and what goes into it. */
#include "backup/catalog.h"

#include "base/error.h"
#include "base/uuid.h"

#include <string.h>
#include <time.h>

bool envol_backup_label_is_sound(const char *label)
{
    return label == NULL || strnlen(label, ENVOL_BACKUP_LABEL_BYTES) < ENVOL_BACKUP_LABEL_BYTES;
}

/* --- Into it --- */

static enum envol_status add(struct envol_volume *volume, struct envol_backup_entry *entry,
                             const char *label, struct envol_error *error)
{
    entry->label = label != NULL ? label : "";
    return envol_catalog_add(volume, entry, error);
}

enum envol_status envol_backup_record(struct envol_volume *volume,
                                      const struct envol_backup_head *head, const char *label,
                                      struct envol_error *error)
{
    struct envol_backup_entry entry = {.form = ENVOL_BACKUP_STREAM,
                                       .created_at_s = head->created_at_s,
                                       .volume_pages = head->pages};

    memcpy(entry.uuid, head->header->uuid, ENVOL_UUID_BYTES);
    memcpy(entry.parent, head->parent, ENVOL_UUID_BYTES);
    envol_catalog_take_cmks(head->header, &entry);
    return add(volume, &entry, label, error);
}

enum envol_status envol_backup_note_raw(struct envol_volume *volume, const char *label,
                                        uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error)
{
    struct envol_backup_entry entry = {.form = ENVOL_BACKUP_RAW};
    enum envol_status status;

    if (uuid != NULL)
        memset(uuid, 0, ENVOL_UUID_BYTES);
    if (volume == NULL || uuid == NULL || !envol_backup_label_is_sound(label))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL volume or uuid, or a label of more than "
                          "63 bytes");
    entry.created_at_s = (uint64_t)time(NULL);
    status = envol_uuid_make(entry.uuid);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = add(volume, &entry, label, error);
    if (status != ENVOL_OK)
        return status;
    memcpy(uuid, entry.uuid, ENVOL_UUID_BYTES);
    envol_error_clear(error);
    return ENVOL_OK;
}

/* --- Out of it --- */

static enum envol_status read(struct envol_volume *volume, struct envol_catalog *catalog,
                              struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_READ);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_catalog_read(volume, false, catalog, error);
    envol_volume_leave(volume);
    return status;
}

enum envol_status envol_backup_list(struct envol_volume *volume,
                                    envol_backup_list_callback *callback, void *ctx,
                                    struct envol_error *error)
{
    struct envol_catalog catalog = {.count = 0};
    enum envol_status status;

    if (volume == NULL || callback == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL volume or callback");
    status = read(volume, &catalog, error);
    for (size_t i = 0; status == ENVOL_OK && i < catalog.count; i++)
        if (callback(ctx, &catalog.items[i]->entry) != 0)
            status = envol_fail(error, ENVOL_E_CANCELLED, "the callback stopped it");
    envol_catalog_free(&catalog);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

enum envol_status envol_backup_forget(struct envol_volume *volume,
                                      const uint8_t uuid[ENVOL_UUID_BYTES],
                                      struct envol_error *error)
{
    enum envol_status status;

    if (volume == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL volume");
    status = envol_catalog_forget(volume, uuid, error);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
