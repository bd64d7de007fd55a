/* SPDX-License-Identifier: BSD-2-Clause */
/* Backups of a directory, and a directory out of one: nothing of the old one but its pages. */
#include "engine.h"
#include "say.h"

#include <stdlib.h>

/* --- backup ---*/

/* The image is as good as a volume at rest, and nobody waits for who takes the stream. */
static enum envol_status write_image(struct engine *engine, const uint8_t uuid[ENVOL_UUID_BYTES],
                                     const struct envol_cmk *cmk, envol_backup_sink *sink,
                                     void *ctx, struct envol_error *error)
{
    struct envol_volume *image;
    enum envol_status status = envol_snapshot_open(engine->volume, uuid, &image, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_backup_write(image, cmk, 1, NULL, sink, ctx, NULL, error);
    (void)envol_volume_close(image); /* a reader has nothing to lose */
    return status;
}

enum envol_status engine_backup(struct engine *engine, unsigned slot, const struct envol_cmk *cmk,
                                envol_backup_sink *sink, void *ctx, uint64_t *lsn,
                                struct envol_error *error)
{
    struct envol_error delete_error = ENVOL_ERROR_INIT;
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status deleted, status = engine_snapshot(engine, slot, lsn, uuid, error);

    if (status != ENVOL_OK)
        return status;
    status = write_image(engine, uuid, cmk, sink, ctx, error);
    deleted = envol_snapshot_delete(engine->volume, uuid, &delete_error);
    if (status == ENVOL_OK && (status = deleted) != ENVOL_OK)
        *error = delete_error;
    return status;
}

/* --- restore ---*/

static enum envol_status restore_pages(struct envol_store *store, const struct envol_cmk *cmk,
                                       envol_backup_source *source, void *ctx,
                                       struct envol_error *error)
{
    struct envol_restore *restore;
    enum envol_status status = envol_restore_begin(store, cmk, 1, NULL, &restore, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_restore_apply(restore, cmk, 1, source, ctx, NULL, error);
    if (status == ENVOL_OK)
        status = envol_restore_finish(restore, error);
    envol_restore_close(restore);
    return status;
}

static enum envol_status restore_volume(const char *path, const struct envol_cmk *cmk,
                                        envol_backup_source *source, void *ctx,
                                        struct envol_error *error)
{
    char *name = path_in(path, "volume");
    struct envol_store *store = NULL;
    enum envol_status status;

    if (name == NULL)
        return fail(error, ENVOL_E_NO_MEMORY, "a path");
    status = envol_file_store_open(name, ENVOL_FILE_CREATE, &store, error);
    if (status == ENVOL_OK)
        status = restore_pages(store, cmk, source, ctx, error);
    envol_store_close(store);
    free(name);
    return status;
}

/* The control page says that it is a primary's, as it was: until it was opened as a follower's. */
static enum envol_status open_once(const char *path, const struct engine_options *options,
                                   struct envol_error *error)
{
    struct engine_options follower = *options;
    struct engine engine;
    enum envol_status closed, status;

    follower.role = ROLE_FOLLOWER;
    status = engine_open(&engine, path, &follower, error);
    if (status == ENVOL_OK)
        return engine_close(&engine, error);
    closed = engine_close(&engine, &(struct envol_error)ENVOL_ERROR_INIT);
    (void)closed; /* the first failure is the one to tell */
    return status;
}

enum envol_status engine_restore(const char *path, const struct engine_options *options,
                                 envol_backup_source *source, void *ctx, struct envol_error *error)
{
    enum envol_status status = path_make(path, error);

    if (status == ENVOL_OK)
        status = restore_volume(path, &options->cmk, source, ctx, error);
    return status == ENVOL_OK ? open_once(path, options, error) : status;
}
