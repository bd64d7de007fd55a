/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening: one provider call for the keyring, then everything else is an object under it. */
#include "engine.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names of the objects that there is one of; those of tables are random. */
static const uint8_t catalog_id[] = "tables/catalog\0", journal_id[] = "tables/journal\0";
const uint8_t values_id[] = "tables/values\0\0";
_Static_assert(sizeof catalog_id == ENVOL_OBJECT_BYTES && sizeof values_id == ENVOL_OBJECT_BYTES &&
                   sizeof journal_id == ENVOL_OBJECT_BYTES,
               "an id is 16 bytes");

enum envol_status engine_fail(struct engine *engine, enum envol_status status, const char *format,
                              ...)
{
    int os_errno = status == ENVOL_E_IO ? errno : 0;
    va_list arguments;

    engine->error.status = status;
    engine->error.os_errno = os_errno;
    va_start(arguments, format);
    vsnprintf(engine->error.message, sizeof engine->error.message, format, arguments);
    va_end(arguments);
    return status;
}

static enum envol_status check_geometry(struct engine *engine)
{
    struct envol_geometry geometry = {.struct_size = sizeof geometry};
    enum envol_status status = envol_keyring_geometry(engine->keyring, &geometry);

    if (status == ENVOL_OK &&
        (geometry.stride_bytes != STRIDE_BYTES || geometry.page_bytes != PAGE_BYTES))
        status = engine_fail(engine, ENVOL_E_UNSUPPORTED, "the keyring's pages are not of %d bytes",
                             PAGE_BYTES);
    return status;
}

/* What lives as long as the engine: the singletons' objects, a lane, two files. */
static enum envol_status open_parts(struct engine *engine, int flags)
{
    enum envol_status status = check_geometry(engine);

    if (status == ENVOL_OK)
        status = envol_lane_open(engine->keyring, &engine->lane);
    if (status == ENVOL_OK)
        status = envol_object_open(engine->keyring, catalog_id, &engine->catalog);
    if (status == ENVOL_OK)
        status = envol_object_open(engine->keyring, values_id, &engine->values);
    if (status == ENVOL_OK)
        status = envol_object_open(engine->keyring, journal_id, &engine->journal);
    if (status != ENVOL_OK)
        return status;
    engine->values_fd = openat(engine->dir, "values", O_RDWR | O_CLOEXEC | flags, 0600);
    engine->journal_fd = openat(engine->dir, "journal", O_RDWR | O_CLOEXEC | flags, 0600);
    if (engine->values_fd < 0 || engine->journal_fd < 0)
        return engine_fail(engine, ENVOL_E_IO, "the files of values and of the journal");
    return disk_size(engine->values_fd, &engine->values_end);
}

static void init(struct engine *engine)
{
    *engine = (struct engine){
        .dir = -1, .values_fd = -1, .journal_fd = -1, .header.fd = -1, .journal_needed = true};
    engine->error = (struct envol_error)ENVOL_ERROR_INIT;
}

static enum envol_status open_directory(struct engine *engine, const char *path)
{
    engine->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return engine->dir >= 0 ? ENVOL_OK : engine_fail(engine, ENVOL_E_IO, "%s", path);
}

/* A new directory is on stable storage when the one that holds it is. */
static enum envol_status sync_parent(const struct engine *engine)
{
    int fd = openat(engine->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum envol_status status = fd < 0 ? ENVOL_E_IO : disk_sync(fd);

    if (fd >= 0)
        close(fd);
    return status;
}

/* The catalog comes last: without one, nothing opens. */
static enum envol_status create_in(struct engine *engine, const char *path,
                                   const struct key_files *files, bool has_own_header)
{
    enum envol_status status = open_directory(engine, path);

    if (status == ENVOL_OK)
        status = keys_create(engine, path, files, has_own_header);
    if (status == ENVOL_OK)
        status = open_parts(engine, O_CREAT | O_EXCL);
    if (status == ENVOL_OK)
        status = catalog_save(engine);
    return status == ENVOL_OK ? sync_parent(engine) : status;
}

static void remove_created(const struct engine *engine, const char *path)
{
    static const char *const names[] = {"keyring", "header",  "values",
                                        "journal", "catalog", "catalog.new"};

    for (size_t i = 0; i < sizeof names / sizeof names[0] && engine->dir >= 0; i++)
        (void)unlinkat(engine->dir, names[i], 0);
    (void)rmdir(path);
}

enum envol_status engine_create(struct engine *engine, const char *path,
                                const struct key_files *files, bool has_own_header)
{
    enum envol_status status;

    init(engine);
    if (mkdir(path, 0700) != 0)
        return engine_fail(engine, ENVOL_E_IO, "%s", path);
    status = create_in(engine, path, files, has_own_header);
    if (status != ENVOL_OK)
        remove_created(engine, path);
    return status;
}

enum envol_status engine_open(struct engine *engine, const char *path,
                              const struct key_files *files)
{
    enum envol_status status;

    init(engine);
    status = open_directory(engine, path);
    if (status == ENVOL_OK)
        status = keys_open(engine, path, files);
    if (status == ENVOL_OK)
        status = open_parts(engine, 0);
    if (status == ENVOL_OK)
        status = journal_recover(engine);
    return status == ENVOL_OK ? catalog_load(engine) : status;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

/*
 * Lanes and objects first: they borrow the keyring, and a lane tells it of its last seals, which
 * are then added to the estimate in the header.  An engine that runs for months calls
 * envol_volume_sync now and then, which does that too.
 */
enum envol_status engine_close(struct engine *engine)
{
    enum envol_status status;

    engine_drop_changes(engine);
    /* The next open has nothing to repeat; and if it has, that does no harm. */
    if (engine->journal_fd >= 0 && !engine->journal_needed && ftruncate(engine->journal_fd, 0) != 0)
        engine->journal_needed = true;
    for (size_t i = 0; i < engine->table_count; i++)
        table_free(engine->tables[i]);
    free(engine->tables);
    envol_object_close(engine->catalog);
    envol_object_close(engine->values);
    envol_object_close(engine->journal);
    envol_lane_close(engine->lane);
    status = keys_close(engine);
    close_fd(engine->values_fd);
    close_fd(engine->journal_fd);
    close_fd(engine->dir);
    return status;
}
