/* SPDX-License-Identifier: BSD-2-Clause */
/* Backups as files, and recovery to a point in time: a backup, then a log up to an LSN. */
#include "net.h"
#include "say.h"
#include "sides.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- save ---*/

static enum envol_status copy(struct incoming *incoming, FILE *file, const char *path,
                              struct envol_error *error)
{
    uint8_t bytes[16384];
    size_t count;

    do {
        if (incoming_read(incoming, bytes, sizeof bytes, &count) != 0)
            return incoming->status;
        if (fwrite(bytes, 1, count, file) != count)
            return fail(error, ENVOL_E_IO, "%.200s", path);
    } while (count > 0);
    return fflush(file) == 0 && fsync(fileno(file)) == 0 ? ENVOL_OK
                                                         : fail(error, ENVOL_E_IO, "%.200s", path);
}

static enum envol_status save(struct session *session, const char *path, struct envol_error *error)
{
    struct incoming incoming = {.session = session, .error = error};
    FILE *file = fopen(path, "wx");
    enum envol_status status;

    if (file == NULL)
        return fail(error, ENVOL_E_IO, "%.200s", path);
    status = copy(&incoming, file, path, error);
    fclose(file);
    if (status != ENVOL_OK)
        unlink(path);
    return status;
}

/* A follower that has nothing, and goes when it has the backup. */
enum envol_status backup_save(const struct side_options *options, struct envol_error *error)
{
    struct session session = {0};
    int fd;
    enum envol_status status = net_connect(options->address, &fd, error);

    if (status != ENVOL_OK)
        return status;
    status = follower_join(&session, fd, &options->engine.cmk, NULL, error);
    if (status == ENVOL_OK)
        status = save(&session, options->path, error);
    session_close(&session);
    close(fd);
    return status;
}

/* --- recover ---*/

static int read_file(void *ctx, void *bytes, size_t capacity, size_t *count)
{
    *count = fread(bytes, 1, capacity, ctx);
    return ferror((FILE *)ctx) ? EIO : 0;
}

static enum envol_status restore_file(const struct side_options *options, const char *path,
                                      struct envol_error *error)
{
    FILE *file = fopen(path, "r");
    enum envol_status status;

    if (file == NULL)
        return fail(error, ENVOL_E_IO, "%.200s", path);
    status = engine_restore(options->path, &options->engine, read_file, file, error);
    fclose(file);
    return status;
}

struct replay {
    struct engine *engine;
    struct batch batch;
    enum envol_status status;
    struct envol_error error;
};

/* The engine's way to take records: what was in their pages before does not matter to it. */
static int replay_one(void *ctx, const struct envol_log_record *record)
{
    struct replay *replay = ctx;

    replay->status =
        batch_add(&replay->batch, record->lsn, record->data, record->bytes, &replay->error);
    if (replay->status == ENVOL_OK && replay->batch.count == PUT_MAX)
        replay->status = batch_put(&replay->batch, replay->engine, &replay->error);
    return replay->status != ENVOL_OK;
}

static enum envol_status replay_log(const struct side_options *options, struct replay *replay,
                                    struct envol_space *space, struct envol_volume *volume,
                                    struct envol_error *error)
{
    struct engine *engine = replay->engine;
    enum envol_status status;

    if (options->until != 0 && options->until < engine->lsn)
        return fail(error, ENVOL_E_RANGE, "the backup is of LSN %llu already",
                    (unsigned long long)engine->lsn);
    status =
        envol_log_replay(volume, space, engine->lsn + 1, options->until, replay_one, replay, error);
    if (status == ENVOL_E_CANCELLED) {
        *error = replay->error;
        return replay->status;
    }
    if (status == ENVOL_OK)
        status = batch_put(&replay->batch, engine, error);
    if (status == ENVOL_OK && engine->lsn < options->until)
        status = fail(error, ENVOL_E_RANGE, "the log ends with LSN %llu",
                      (unsigned long long)engine->lsn);
    return status;
}

static enum envol_status read_history(const char *path, const struct envol_cmk *cmk,
                                      struct control *control, struct envol_error *error)
{
    struct reader reader;
    enum envol_status status = reader_open(&reader, path, cmk, error);

    if (status == ENVOL_OK)
        status = control_read(reader.volume, control, error);
    reader_close(&reader);
    return status;
}

/* LSNs of another history say something else: a log of a follower that was promoted goes on with
 * other records under those that the primary had.  Asked before what was restored begins its own.
 */
static enum envol_status check_history(const struct side_options *options,
                                       struct envol_error *error)
{
    struct control restored, other;
    enum envol_status status = read_history(options->path, &options->engine.cmk, &restored, error);

    if (status == ENVOL_OK)
        status = read_history(options->log_of, &options->other_cmk, &other, error);
    if (status == ENVOL_OK && memcmp(restored.history, other.history, HISTORY_BYTES) != 0)
        status =
            fail(error, ENVOL_E_STATE, "the log of %.200s is of another history", options->log_of);
    return status;
}

/* The log is read under the keys of the volume that it is of. */
static enum envol_status replay_from(const struct side_options *options, struct engine *engine,
                                     struct envol_error *error)
{
    struct reader of;
    struct envol_space *space = NULL;
    struct replay *replay = calloc(1, sizeof *replay);
    char *files = path_in(options->log_of, "files");
    enum envol_status status = reader_open(&of, options->log_of, &options->other_cmk, error);

    if (status == ENVOL_OK && (files == NULL || replay == NULL))
        status = fail(error, ENVOL_E_NO_MEMORY, "a log");
    if (status == ENVOL_OK)
        status = envol_directory_space_open(files, 0, &space, error);
    if (status == ENVOL_OK) {
        replay->engine = engine;
        status = replay_log(options, replay, space, of.volume, error);
    }
    envol_space_close(space);
    reader_close(&of);
    free(files);
    free(replay);
    return status;
}

/* A primary from here on: with a history of its own, as its past ends where others' went on. */
static enum envol_status recover(const struct side_options *options, struct envol_error *error)
{
    struct envol_error close_error = ENVOL_ERROR_INIT;
    struct engine engine;
    enum envol_status closed, status = engine_open(&engine, options->path, &options->engine, error);

    if (status == ENVOL_OK && options->log_of != NULL)
        status = replay_from(options, &engine, error);
    if (status == ENVOL_OK)
        say("recovered, at LSN %llu", (unsigned long long)engine.lsn);
    closed = engine_close(&engine, &close_error);
    if (status == ENVOL_OK && (status = closed) != ENVOL_OK)
        *error = close_error;
    return status;
}

enum envol_status backup_recover(const struct side_options *options, const char *file,
                                 struct envol_error *error)
{
    struct envol_error remove_error = ENVOL_ERROR_INIT;
    enum envol_status status;

    if (path_exists(options->path))
        return fail(error, ENVOL_E_STATE, "%.200s is there already", options->path);
    status = restore_file(options, file, error);
    if (status == ENVOL_OK && options->log_of != NULL)
        status = check_history(options, error);
    if (status == ENVOL_OK)
        status = recover(options, error);
    if (status != ENVOL_OK && path_remove(options->path, &remove_error) != ENVOL_OK)
        complain("removing what was half recovered", remove_error.status, &remove_error);
    return status;
}
