/* SPDX-License-Identifier: BSD-2-Clause */
/* What the library does with pages, once they hold everything: snapshots, backups, a new DEK. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

static const char backup_label[] = "backup";

/* Everything is in the base: what the pages say then is the whole store. */
static enum envol_status fold_what_there_is(struct kv *kv, struct envol_error *error)
{
    if (kv->failed != ENVOL_OK)
        return kv_fail(error, kv->failed, "the store has failed");
    return kv->memory.count > 0 || kv->root.run_count > 0 ? fold(kv, error) : ENVOL_OK;
}

static enum envol_status make_snapshot(struct kv *kv, const char *label,
                                       uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error)
{
    const struct envol_snapshot_options options = {.struct_size = sizeof options, .label = label};
    enum envol_status status;

    if (!kv->is_writer)
        return kv_fail(error, ENVOL_E_READ_ONLY, "a snapshot of a snapshot");
    pthread_rwlock_wrlock(&kv->gate); /* so that no commit comes between the two */
    status = fold_what_there_is(kv, error);
    if (status == ENVOL_OK)
        status = envol_snapshot_create(kv->volume, &options, uuid, error);
    pthread_rwlock_unlock(&kv->gate);
    return status;
}

enum envol_status kv_snapshot(struct kv *kv, uint8_t uuid[ENVOL_UUID_BYTES],
                              struct envol_error *error)
{
    return make_snapshot(kv, NULL, uuid, error);
}

enum envol_status kv_release(struct kv *kv, const uint8_t uuid[ENVOL_UUID_BYTES],
                             struct envol_error *error)
{
    return envol_snapshot_delete(kv->volume, uuid, error);
}

/* --- backup ---*/

/* The image is as good as a volume at rest, and no commit waits for who takes the stream. */
static enum envol_status write_image(struct kv *kv, const uint8_t uuid[ENVOL_UUID_BYTES],
                                     const struct envol_cmk *cmk, envol_backup_sink *sink,
                                     void *ctx, struct envol_error *error)
{
    struct envol_volume *image;
    enum envol_status status = envol_snapshot_open(kv->volume, uuid, &image, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_backup_write(image, cmk, 1, NULL, sink, ctx, NULL, error);
    (void)envol_volume_close(image); /* a reader has nothing to lose */
    return status;
}

enum envol_status kv_backup(struct kv *kv, const struct envol_cmk *cmk, envol_backup_sink *sink,
                            void *ctx, struct envol_error *error)
{
    struct envol_error release_error = ENVOL_ERROR_INIT;
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status released, status = make_snapshot(kv, backup_label, uuid, error);

    if (status != ENVOL_OK)
        return status;
    status = write_image(kv, uuid, cmk, sink, ctx, error);
    released = kv_release(kv, uuid, &release_error);
    if (status == ENVOL_OK && (status = released) != ENVOL_OK)
        *error = release_error;
    return status;
}

enum envol_status drop_unfinished_backups(struct kv *kv, struct envol_error *error)
{
    struct envol_snapshot_info infos[ENVOL_SNAPSHOTS_MAX] = {{.struct_size = sizeof infos[0]}};
    size_t count;
    enum envol_status status =
        envol_snapshot_list(kv->volume, infos, ENVOL_SNAPSHOTS_MAX, &count, error);

    for (size_t i = 0; status == ENVOL_OK && i < count; i++) {
        if (strcmp(infos[i].label, backup_label) == 0)
            status = kv_release(kv, infos[i].uuid, error);
    }
    return status;
}

/* --- restore ---*/

static enum envol_status restore_pages(struct envol_store *store, const struct envol_cmk *cmk,
                                       const struct envol_cmk *backup_cmk,
                                       envol_backup_source *source, void *ctx,
                                       struct envol_error *error)
{
    struct envol_restore *restore;
    enum envol_status status = envol_restore_begin(store, cmk, 1, NULL, &restore, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_restore_apply(restore, backup_cmk, 1, source, ctx, NULL, error);
    if (status == ENVOL_OK)
        status = envol_restore_finish(restore, error);
    envol_restore_close(restore);
    return status;
}

/* The pages are the whole store: its log is made by the first open, and it has no runs. */
enum envol_status kv_restore(const char *path, const struct envol_cmk *cmk,
                             const struct envol_cmk *backup_cmk, envol_backup_source *source,
                             void *ctx, struct envol_error *error)
{
    struct envol_store *store = NULL;
    enum envol_status status = make_directory(path, error);
    char *volume;

    if (status != ENVOL_OK)
        return status;
    if (asprintf(&volume, "%s/volume", path) < 0)
        return kv_fail(error, ENVOL_E_NO_MEMORY, "a path");
    status = envol_file_store_open(volume, ENVOL_FILE_CREATE, &store, error);
    if (status == ENVOL_OK)
        status = restore_pages(store, cmk, backup_cmk, source, ctx, error);
    envol_store_close(store);
    free(volume);
    return status;
}

/* --- a new DEK ---*/

/* From here on nothing is sealed under the old one, and of what this store seals itself nothing is
 * left under it: runs are folded, and the log is cut at a new segment. */
static enum envol_status begin(struct kv *kv, const struct envol_cmk *cmk,
                               struct envol_error *error)
{
    struct envol_rotation rotation = {.struct_size = sizeof rotation};
    enum envol_status status = envol_volume_rotate_status(kv->volume, &rotation);

    if (status != ENVOL_OK)
        return kv_fail(error, status, "the rotation");
    if (rotation.state == ENVOL_ROTATION_NONE)
        status = envol_volume_rotate_begin(kv->volume, cmk, 1, 0, NULL, error);
    if (status == ENVOL_OK)
        status = envol_log_next_segment(kv->log, error);
    return status == ENVOL_OK ? fold(kv, error) : status;
}

enum envol_status kv_rotate(struct kv *kv, const struct envol_cmk *cmk, struct envol_error *error)
{
    enum envol_status status;

    if (!kv->is_writer)
        return kv_fail(error, ENVOL_E_READ_ONLY, "a snapshot keeps its DEK");
    pthread_rwlock_wrlock(&kv->gate);
    status = kv->failed == ENVOL_OK ? begin(kv, cmk, error)
                                    : kv_fail(error, kv->failed, "the store has failed");
    pthread_rwlock_unlock(&kv->gate);
    if (status == ENVOL_OK)
        status = envol_volume_rotate_run(kv->volume, 0, NULL, NULL, NULL, error);
    return status == ENVOL_OK ? envol_volume_rotate_finish(kv->volume, 0, error) : status;
}
