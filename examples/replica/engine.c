/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening, recovery and closing of the engine. */
#include "engine.h"
#include "common/bytes.h"
#include "say.h"

#include <stdlib.h>
#include <string.h>

/* Small, so that a log is given up in small steps. */
enum { SEGMENT_BYTES = 1 << 20 };

/* A header that says XTS is not one of ours, whoever wrote it. */
static const struct envol_pins pins = {.struct_size = sizeof pins,
                                       .suites = 1u << ENVOL_SUITE_AES_256_GCM};

/* --- create ---*/

static enum envol_status write_first(struct envol_volume *volume, struct envol_error *error)
{
    struct control control = {.role = ROLE_PRIMARY};
    enum envol_status status = control_new_history(&control, error);

    if (status == ENVOL_OK)
        status = control_write(volume, &control, error);
    return status;
}

static enum envol_status create_volume(const char *path, const struct envol_cmk *cmk,
                                       struct envol_error *error)
{
    const struct envol_header_params params = {.struct_size = sizeof params,
                                               .suite = ENVOL_SUITE_AES_256_GCM,
                                               .stride_bytes = STRIDE_BYTES};
    const struct envol_volume_options options = {.struct_size = sizeof options, .params = &params};
    struct envol_store *store = NULL;
    struct envol_volume *volume = NULL;
    enum envol_status closed,
        status = envol_file_store_open(path, ENVOL_FILE_CREATE, &store, error);

    if (status == ENVOL_OK)
        status = envol_volume_create(store, cmk, 1, &options, &volume, error);
    if (status == ENVOL_OK)
        status = write_first(volume, error);
    closed = envol_volume_close(volume); /* syncs */
    envol_store_close(store);
    return status == ENVOL_OK && closed != ENVOL_OK ? fail(error, closed, "%.200s", path) : status;
}

enum envol_status engine_create(const char *path, const struct envol_cmk *cmk,
                                struct envol_error *error)
{
    char *volume = path_in(path, "volume");
    enum envol_status status =
        volume != NULL ? path_make(path, error) : fail(error, ENVOL_E_NO_MEMORY, "a path");

    if (status == ENVOL_OK)
        status = create_volume(volume, cmk, error);
    free(volume);
    return status;
}

/* --- open ---*/

/* A thread of the library's calls it.  What does not go on ends soon, and closes the engine. */
static void key_changed(void *ctx, const struct envol_lease_change *change)
{
    struct engine *engine = ctx;

    if (change->to == ENVOL_LEASE_INACCESSIBLE)
        engine->is_dark = true;
}

/* Without grace: this engine loses nothing when its keys are wiped in the middle of its work. */
static enum envol_status start_lease(struct engine *engine, unsigned interval_ms,
                                     struct envol_error *error)
{
    const struct envol_lease_options options = {.struct_size = sizeof options,
                                                .flags = ENVOL_LEASE_THREAD | ENVOL_LEASE_NO_GRACE,
                                                .interval_ms = interval_ms,
                                                .callback = key_changed,
                                                .ctx = engine};
    struct envol_lease *lease; /* closing the volume ends it */

    return envol_lease_start(engine->volume, &options, &lease, error);
}

static enum envol_status open_files(struct engine *engine, const char *path,
                                    struct envol_error *error)
{
    char *volume = path_in(path, "volume"), *files = path_in(path, "files");
    enum envol_status status =
        volume != NULL && files != NULL ? ENVOL_OK : fail(error, ENVOL_E_NO_MEMORY, "a path");

    if (status == ENVOL_OK)
        status = envol_file_store_open(volume, 0, &engine->store, error);
    if (status == ENVOL_OK)
        status =
            envol_directory_space_open(files, ENVOL_SPACE_CREATE_DIRECTORY, &engine->space, error);
    free(volume);
    free(files);
    return status;
}

static enum envol_status open_volume(struct engine *engine, const struct envol_cmk *cmk,
                                     struct envol_error *error)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof options, .pins = &pins, .space = engine->space};
    struct envol_geometry geometry = {.struct_size = sizeof geometry};
    enum envol_status status =
        envol_volume_open(engine->store, cmk, 1, &options, &engine->volume, error);

    if (status == ENVOL_OK)
        status = envol_keyring_geometry(envol_volume_keyring(engine->volume), &geometry);
    if (status == ENVOL_OK && geometry.page_bytes != PAGE_BYTES)
        status = fail(error, ENVOL_E_UNSUPPORTED, "its pages are not of %d bytes", PAGE_BYTES);
    return status;
}

/* The header, which nobody can forge, says whether there is a log: a restored volume has none. */
static enum envol_status open_log(struct engine *engine, struct envol_error *error)
{
    const struct envol_log_options options = {
        .struct_size = sizeof options, .segment_bytes = SEGMENT_BYTES, .recycle = 1};
    struct envol_volume_info info = {.struct_size = sizeof info,
                                     .header.struct_size = sizeof info.header};
    enum envol_status status = envol_volume_info(engine->volume, &info);

    if (status != ENVOL_OK)
        return fail(error, status, "the volume");
    return info.header.log_seal == ENVOL_LOG_SEAL_NONE
               ? envol_log_create(engine->volume, engine->space, &options, &engine->log, error)
               : envol_log_open(engine->volume, engine->space, &options, &engine->log, error);
}

/* Of backups that were not finished: this engine has no others. */
static enum envol_status drop_snapshots(struct engine *engine, struct envol_error *error)
{
    struct envol_snapshot_info infos[ENVOL_SNAPSHOTS_MAX] = {{.struct_size = sizeof infos[0]}};
    size_t count;
    enum envol_status status =
        envol_snapshot_list(engine->volume, infos, ENVOL_SNAPSHOTS_MAX, &count, error);

    for (size_t i = 0; status == ENVOL_OK && i < count; i++)
        status = envol_snapshot_delete(engine->volume, infos[i].uuid, error);
    return status;
}

/* --- recovery ---*/

struct redo {
    struct engine *engine;
    enum envol_status status;
};

static int redo_one(void *ctx, const struct envol_log_record *record)
{
    struct redo *redo = ctx;
    const uint8_t *bytes = record->data;

    if (record->bytes != RECORD_BYTES || record->lsn != redo->engine->lsn + 1)
        redo->status = ENVOL_E_FORMAT;
    else
        redo->status = envol_page_write(
            redo->engine->volume, CONTROL_PAGES + load(bytes, RECORD_HEAD), bytes + RECORD_HEAD);
    if (redo->status != ENVOL_OK)
        return 1;
    redo->engine->lsn = record->lsn;
    return 0;
}

static enum envol_status recover(struct engine *engine, struct envol_error *error)
{
    struct redo redo = {.engine = engine};
    enum envol_status status;

    engine->lsn = engine->control.lsn;
    status =
        envol_log_replay(engine->volume, engine->space, engine->lsn + 1, 0, redo_one, &redo, error);
    if (status == ENVOL_E_CANCELLED)
        status =
            fail(error, redo.status, "record %llu of the log", (unsigned long long)engine->lsn + 1);
    return status;
}

/* Also says what the directory is now: one that followed and is a primary's from here on counts in
 * a history of its own. */
static enum envol_status settle(struct engine *engine, enum role role, struct envol_error *error)
{
    bool recovered = engine->lsn != engine->control.lsn;
    enum envol_status status = ENVOL_OK;

    if (engine->control.role == role && !recovered)
        return ENVOL_OK;
    if (engine->control.role == ROLE_FOLLOWER && role == ROLE_PRIMARY)
        status = control_new_history(&engine->control, error);
    engine->control.role = role;
    return status == ENVOL_OK ? engine_checkpoint(engine, error) : status;
}

enum envol_status engine_open(struct engine *engine, const char *path,
                              const struct engine_options *options, struct envol_error *error)
{
    enum envol_status status;

    *engine = (struct engine){.keep = options->keep};
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->moved, NULL);
    status = open_files(engine, path, error);
    if (status == ENVOL_OK)
        status = open_volume(engine, &options->cmk, error);
    if (status == ENVOL_OK)
        status = control_read(engine->volume, &engine->control, error);
    if (status == ENVOL_OK)
        status = open_log(engine, error);
    if (status == ENVOL_OK)
        status = drop_snapshots(engine, error);
    if (status == ENVOL_OK)
        status = recover(engine, error);
    if (status == ENVOL_OK)
        status = settle(engine, options->role, error);
    if (status == ENVOL_OK)
        status = start_lease(engine, options->check_key_ms, error);
    return status;
}

/* What cannot be said any more, without keys say, the next open finds out: as after a crash. */
enum envol_status engine_close(struct engine *engine, struct envol_error *error)
{
    bool fine = engine->log != NULL && engine_status(engine) == ENVOL_OK;
    enum envol_status closed, status = fine ? engine_checkpoint(engine, error) : ENVOL_OK;

    closed = envol_log_close(engine->log, NULL);
    if (fine && status == ENVOL_OK && closed != ENVOL_OK)
        status = fail(error, closed, "closing the log");
    closed = envol_volume_close(engine->volume);
    if (fine && status == ENVOL_OK && closed != ENVOL_OK)
        status = fail(error, closed, "closing the volume");
    envol_space_close(engine->space);
    envol_store_close(engine->store);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->moved);
    return status;
}
