/* SPDX-License-Identifier: BSD-2-Clause */
/* Making snapshots, giving them up, listing them. */
#include "volume/snapshot.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "base/uuid.h"
#include "volume/area.h"
#include "volume/rotation.h"

#include <string.h>
#include <time.h>

/* --- Making --- */

static enum envol_status check_ready(const struct envol_volume *volume, struct envol_error *error)
{
    if (volume->snapshots == NULL)
        return envol_fail(error, ENVOL_E_STATE, "the volume was opened without a space");
    if ((volume->keyring->flags & ENVOL_OPEN_INHERIT) != 0)
        return envol_fail(error, ENVOL_E_STATE,
                          "forked children that inherit the keys would not keep what it needs");
    if (volume->header->snapshot_count == ENVOL_SNAPSHOTS_MAX)
        return envol_fail(error, ENVOL_E_RANGE, "there are %u snapshots already",
                          ENVOL_SNAPSHOTS_MAX);
    if (!volume->gcm && envol_rotation_is_on(volume))
        return envol_fail(error, ENVOL_E_STATE,
                          "a rotation is unfinished, and no XTS record tells its epoch");
    return ENVOL_OK;
}

/* Every page is at its place, on stable storage, and none is anywhere else. */
static enum envol_status settle_pages(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = envol_area_retire(volume, error);

    if (status == ENVOL_OK)
        status = envol_volume_flush(volume, error);
    if (status == ENVOL_OK && volume->cut_due)
        status = envol_volume_cut_store(volume, error);
    return status;
}

static uint32_t lowest_epoch(const struct envol_header *header)
{
    uint32_t lowest = header->epoch;

    for (uint32_t i = 0; i < header->retained_count; i++)
        if (header->retained[i].epoch < lowest)
            lowest = header->retained[i].epoch;
    return lowest;
}

/* The header goes on to name it: the image begins where that is on stable storage. */
static enum envol_status commit_new(struct envol_volume *volume,
                                    const struct envol_snapshot_record *record,
                                    struct envol_error *error)
{
    enum envol_status status = envol_snapshots_add(volume->header, record);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_commit(volume, record->pages, true, error);
    /* Should the disk have it, the next update takes it back, and comes before any page. */
    if (status != ENVOL_OK)
        envol_snapshots_remove(volume->header, record->uuid);
    return status;
}

static enum envol_status create(struct envol_volume *volume, const char *label,
                                struct envol_snapshot_record *record, struct envol_error *error)
{
    struct envol_snapshots *set = volume->snapshots;
    struct envol_snapshot *snapshot;
    enum envol_status status;

    record->generation = volume->header->id.generation + 1;
    record->pages = atomic_load(&volume->pages);
    record->created_at_s = (uint64_t)time(NULL);
    record->epoch = volume->header->epoch;
    record->lowest_epoch = lowest_epoch(volume->header);
    status = envol_snapshot_create_file(volume, set->space, record, label, &snapshot, error);
    if (status != ENVOL_OK)
        return status;
    status = commit_new(volume, record, error);
    if (status != ENVOL_OK) {
        /* The file stays: the disk may name it until the next update. */
        envol_snapshot_close(snapshot);
        return status;
    }
    atomic_store(&volume->synced, record->pages);
    set->snapshot[set->count++] = snapshot;
    envol_snapshots_measure(volume);
    return ENVOL_OK;
}

static bool take_label(const struct envol_snapshot_options *options, const char **label)
{
    struct envol_snapshot_options whole;

    if (!ENVOL_TAKE(snapshot_options, options, &whole))
        return false;
    *label = whole.label != NULL ? whole.label : "";
    return strnlen(*label, ENVOL_SNAPSHOT_LABEL_BYTES) < ENVOL_SNAPSHOT_LABEL_BYTES;
}

enum envol_status envol_snapshot_create(struct envol_volume *volume,
                                        const struct envol_snapshot_options *options,
                                        uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error)
{
    const char *label;
    struct envol_snapshot_record record = {.generation = 0};
    enum envol_status status;

    if (uuid != NULL)
        memset(uuid, 0, ENVOL_UUID_BYTES);
    if (uuid == NULL || !take_label(options, &label))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL uuid, options of another size, or a label that is too long");
    status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = check_ready(volume, error);
    if (status == ENVOL_OK) {
        status = envol_uuid_make(record.uuid);
        if (status != ENVOL_OK)
            envol_fail(error, status, NULL);
    }
    if (status == ENVOL_OK)
        status = settle_pages(volume, error);
    if (status == ENVOL_OK)
        status = create(volume, label, &record, error);
    envol_volume_leave(volume);
    if (status != ENVOL_OK)
        return status;
    memcpy(uuid, record.uuid, ENVOL_UUID_BYTES);
    envol_error_clear(error);
    return ENVOL_OK;
}

/* --- Giving up --- */

static void forget(struct envol_volume *volume, struct envol_snapshot *snapshot)
{
    struct envol_snapshots *set = volume->snapshots;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < set->count; i++)
        if (set->snapshot[i] != snapshot)
            set->snapshot[kept++] = set->snapshot[i];
    set->count = kept;
    envol_snapshots_measure(volume);
    envol_snapshot_close(snapshot);
}

/* Images in this process are counted; those of others hold the file's lock. */
static enum envol_status lock_out_images(struct envol_snapshots *set,
                                         struct envol_snapshot *snapshot, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&set->lock);
    if (snapshot->images > 0)
        status = ENVOL_E_BUSY;
    pthread_mutex_unlock(&set->lock);
    if (status == ENVOL_OK)
        status =
            envol_store_lock(snapshot->store, ENVOL_LOCK_READERS, ENVOL_LOCK_EXCLUSIVE, 0, error);
    return status == ENVOL_E_BUSY ? envol_fail(error, status, "an image of the snapshot is open")
                                  : status;
}

static enum envol_status remove_file(struct envol_snapshots *set, const char *name,
                                     struct envol_error *error)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status = envol_space_remove(set->space, name, &details);

    if (status == ENVOL_OK)
        return status;
    envol_fail(error, status, "the snapshot is gone, but its file is not: %s", details.message);
    envol_error_set_errno(error, details.os_errno);
    return status;
}

static enum envol_status delete_named(struct envol_volume *volume, struct envol_snapshot *snapshot,
                                      struct envol_error *error)
{
    struct envol_header *header = volume->header;
    struct envol_snapshots *set = volume->snapshots;
    struct envol_snapshot_record before[ENVOL_SNAPSHOTS_MAX];
    uint32_t count = header->snapshot_count;
    char name[ENVOL_SNAPSHOT_NAME_BYTES];
    enum envol_status status = lock_out_images(set, snapshot, error);

    if (status != ENVOL_OK)
        return status;
    memcpy(before, header->snapshots, sizeof(before));
    envol_snapshots_remove(header, snapshot->record.uuid);
    status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    if (status != ENVOL_OK) { /* the next update brings it back */
        memcpy(header->snapshots, before, sizeof(before));
        header->snapshot_count = count;
        header->read_only_compatible |= ENVOL_FEATURE_SNAPSHOTS;
        (void)envol_store_lock(snapshot->store, ENVOL_LOCK_READERS, ENVOL_LOCK_NONE, 0, NULL);
        return status;
    }
    envol_snapshot_name(snapshot->record.uuid, name);
    forget(volume, snapshot);
    return remove_file(set, name, error);
}

enum envol_status envol_snapshot_delete(struct envol_volume *volume,
                                        const uint8_t uuid[ENVOL_UUID_BYTES],
                                        struct envol_error *error)
{
    struct envol_snapshot *snapshot;
    enum envol_status status;

    if (uuid == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL uuid");
    status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (volume->snapshots == NULL)
        status = envol_fail(error, ENVOL_E_STATE, "the volume was opened without a space");
    else if ((snapshot = envol_snapshots_get(volume->snapshots, uuid)) == NULL)
        status = envol_fail(error, ENVOL_E_RANGE, "there is no such snapshot");
    else
        status = delete_named(volume, snapshot, error);
    envol_volume_leave(volume);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* --- Listing --- */

static struct envol_snapshot_info *at(struct envol_snapshot_info *infos, size_t i)
{
    return (struct envol_snapshot_info *)((uint8_t *)infos + i * infos->struct_size);
}

static void show(const struct envol_volume *volume, const struct envol_snapshot_record *record,
                 struct envol_snapshot_info *info)
{
    struct envol_snapshots *set = volume->snapshots;
    const struct envol_snapshot *snapshot;

    *info = (struct envol_snapshot_info){
        .generation = record->generation,
        .pages = record->pages,
        .created_at_s = record->created_at_s,
        .epoch = record->epoch,
        .lowest_epoch = record->lowest_epoch,
    };
    memcpy(info->uuid, record->uuid, ENVOL_UUID_BYTES);
    if (set == NULL || !envol_volume_is_own(volume))
        return;
    pthread_mutex_lock(&set->lock);
    snapshot = envol_snapshots_get(set, record->uuid);
    if (snapshot != NULL) {
        memcpy(info->label, snapshot->label, sizeof(info->label));
        info->kept_pages = snapshot->kept;
        info->file_bytes = snapshot->bytes;
    }
    pthread_mutex_unlock(&set->lock);
}

/* The header's table changes with access alone. */
static enum envol_status list(struct envol_volume *volume, struct envol_snapshot_info *infos,
                              size_t capacity, size_t *count, struct envol_error *error)
{
    const struct envol_header *header = volume->header;

    *count = header->snapshot_count;
    if (*count > capacity)
        return envol_fail(error, ENVOL_E_RANGE, "there are %u snapshots", header->snapshot_count);
    for (uint32_t i = 0; i < header->snapshot_count; i++) {
        struct envol_snapshot_info whole;
        show(volume, &header->snapshots[i], &whole);
        ENVOL_GIVE(snapshot_info, at(infos, i), &whole);
    }
    return ENVOL_OK;
}

static void clear(struct envol_snapshot_info *infos, size_t capacity)
{
    size_t size = infos->struct_size;

    for (size_t i = 0; i < capacity; i++) {
        struct envol_snapshot_info *info = (void *)((uint8_t *)infos + i * size);
        info->struct_size = size;
        envol_sized_clear(info);
    }
}

enum envol_status envol_snapshot_list(struct envol_volume *volume,
                                      struct envol_snapshot_info *infos, size_t capacity,
                                      size_t *count, struct envol_error *error)
{
    enum envol_status status;

    if (count != NULL)
        *count = 0;
    if (count == NULL || (infos == NULL && capacity > 0) ||
        (infos != NULL && (!ENVOL_FITS(snapshot_info, infos) ||
                           infos->struct_size % _Alignof(struct envol_snapshot_info) != 0)))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL count or infos, or the struct_size of infos is too small");
    if (capacity > 0)
        clear(infos, capacity);
    status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = list(volume, infos, capacity, count, error);
    envol_volume_leave(volume);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
