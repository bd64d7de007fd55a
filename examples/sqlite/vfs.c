/* SPDX-License-Identifier: BSD-2-Clause */
/* The VFS "envol" and its extension: each file that SQLite opens, by what it is for. */
#include "vfs.h"
#include "blocks.h"
#include "database.h"
#include "super.h"
#include "wal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

SQLITE_EXTENSION_INIT1

/* Ours, behind which the VFS below has its own. */
union any_file {
    struct database database;
    struct wal wal;
    struct blocks blocks;
};
enum { OUR_BYTES = (sizeof(union any_file) + 15) / 16 * 16 };

static sqlite3_vfs *below_of(const sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

/* --- What went wrong ---*/

int code_of(enum envol_status status)
{
    switch (status) {
    case ENVOL_OK:
        return SQLITE_OK;
    case ENVOL_E_NO_MEMORY:
    case ENVOL_E_LOCKED_MEMORY:
        return SQLITE_NOMEM;
    case ENVOL_E_IO:
        return SQLITE_IOERR;
    case ENVOL_E_CORRUPT:
        return SQLITE_IOERR_DATA;
    case ENVOL_E_FORMAT:
    case ENVOL_E_VERSION:
        return SQLITE_NOTADB;
    case ENVOL_E_BUSY:
        return SQLITE_BUSY;
    case ENVOL_E_ARGUMENT:
    case ENVOL_E_UNREACHABLE:
    case ENVOL_E_TIMEOUT:
    case ENVOL_E_THROTTLED:
        return SQLITE_CANTOPEN;
    case ENVOL_E_WRONG_KEY:
    case ENVOL_E_NO_PROVIDER:
    case ENVOL_E_KEY_NOT_FOUND:
    case ENVOL_E_KEY_DISABLED:
    case ENVOL_E_KEY_PENDING_DELETION:
    case ENVOL_E_KEY_DENIED:
    case ENVOL_E_KEY_REVOKED:
    case ENVOL_E_CREDENTIALS:
        return SQLITE_AUTH;
    default:
        return SQLITE_IOERR;
    }
}

int complain(int code, const char *path, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    sqlite3_vsnprintf(sizeof text, text, format, arguments);
    va_end(arguments);
    sqlite3_log(code, "envolvfs: %s: %s", path != NULL ? path : "a temporary file", text);
    return code;
}

/* --- Opening ---*/

static int open_database(struct database *database, const char *path)
{
    const char *cmk = sqlite3_uri_parameter(path, "cmk");

    database->path = path;
    database->cmk_uri = cmk != NULL ? cmk : getenv("ENVOL_CMK");
    database->file.base.pMethods = &database_methods;
    return SQLITE_OK;
}

/* SQLite tells of a journal or WAL whose it is. */
static struct database *owner_of(const char *path)
{
    sqlite3_file *file = sqlite3_database_file_object(path);

    return file != NULL && file->pMethods == &database_methods ? (struct database *)file : NULL;
}

static int open_journal(struct blocks *blocks, const char *path)
{
    blocks->database = owner_of(path);
    if (blocks->database == NULL)
        return complain(SQLITE_CANTOPEN, path, "a journal of no database of ours");
    blocks->database->journal = blocks;
    blocks->path = path;
    blocks->is_journal = true;
    blocks->at = -1;
    blocks->file.base.pMethods = &blocks_methods;
    return SQLITE_OK;
}

static int open_wal(struct wal *wal, const char *path)
{
    wal->database = owner_of(path);
    if (wal->database == NULL)
        return complain(SQLITE_CANTOPEN, path, "a write-ahead log of no database of ours");
    wal->database->wal = wal;
    wal->path = path;
    wal->pending = wal->at = -1;
    wal->file.base.pMethods = &wal_methods;
    return SQLITE_OK;
}

/* Of no database: under a key of the process, each file an object of its own. */
static int open_temporary(struct blocks *blocks)
{
    const struct envol_keyring *keyring = keys_of_process();
    uint8_t id[ENVOL_OBJECT_BYTES];
    enum envol_status status;

    if (keyring == NULL)
        return SQLITE_CANTOPEN;
    sqlite3_randomness(sizeof id, id);
    status = envol_object_open(keyring, id, &blocks->own_object);
    if (status == ENVOL_OK)
        status = envol_lane_open(keyring, &blocks->own_lane);
    if (status != ENVOL_OK) {
        envol_object_close(blocks->own_object);
        return complain(code_of(status), NULL, "%s", envol_status_message(status));
    }
    blocks->object = blocks->own_object;
    blocks->lane = blocks->own_lane;
    blocks->at = -1;
    blocks->file.base.pMethods = &blocks_methods;
    return SQLITE_OK;
}

static int open_by_kind(union any_file *any, const char *path, int flags)
{
    if (flags & SQLITE_OPEN_MAIN_DB)
        return open_database(&any->database, path);
    if (flags & SQLITE_OPEN_MAIN_JOURNAL)
        return open_journal(&any->blocks, path);
    if (flags & SQLITE_OPEN_WAL)
        return open_wal(&any->wal, path);
    if (flags & SQLITE_OPEN_SUPER_JOURNAL)
        return super_open(&any->blocks, path, flags);
    return open_temporary(&any->blocks);
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                    int *out_flags)
{
    union any_file *any = (union any_file *)base;
    sqlite3_file *below = (sqlite3_file *)((char *)base + OUR_BYTES);
    int code;

    memset(any, 0, OUR_BYTES);
    below->pMethods = NULL;
    code = below_of(vfs)->xOpen(below_of(vfs), path, below, flags, out_flags);
    if (code != SQLITE_OK)
        return code;
    file_of(base)->below = below;
    code = open_by_kind(any, path, flags);
    if (code != SQLITE_OK) {
        (void)below->pMethods->xClose(below);
        base->pMethods = NULL;
    }
    return code;
}

/* --- The rest is the VFS's below ---*/

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_directory)
{
    return below_of(vfs)->xDelete(below_of(vfs), path, sync_directory);
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *result)
{
    return below_of(vfs)->xAccess(below_of(vfs), path, flags, result);
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *path, int bytes, char *out)
{
    return below_of(vfs)->xFullPathname(below_of(vfs), path, bytes, out);
}

static void *vfs_dlopen(sqlite3_vfs *vfs, const char *path)
{
    return below_of(vfs)->xDlOpen(below_of(vfs), path);
}

static void vfs_dlerror(sqlite3_vfs *vfs, int bytes, char *message)
{
    below_of(vfs)->xDlError(below_of(vfs), bytes, message);
}

static void (*vfs_dlsym(sqlite3_vfs *vfs, void *handle, const char *name))(void)
{
    return below_of(vfs)->xDlSym(below_of(vfs), handle, name);
}

static void vfs_dlclose(sqlite3_vfs *vfs, void *handle)
{
    below_of(vfs)->xDlClose(below_of(vfs), handle);
}

static int vfs_randomness(sqlite3_vfs *vfs, int bytes, char *out)
{
    return below_of(vfs)->xRandomness(below_of(vfs), bytes, out);
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    return below_of(vfs)->xSleep(below_of(vfs), microseconds);
}

static int vfs_current_time(sqlite3_vfs *vfs, double *now)
{
    return below_of(vfs)->xCurrentTime(below_of(vfs), now);
}

static int vfs_last_error(sqlite3_vfs *vfs, int bytes, char *message)
{
    return below_of(vfs)->xGetLastError(below_of(vfs), bytes, message);
}

static int vfs_current_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *now)
{
    return below_of(vfs)->xCurrentTimeInt64(below_of(vfs), now);
}

static sqlite3_vfs envol_vfs = {
    .iVersion = 2,
    .zName = "envol",
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_pathname,
    .xDlOpen = vfs_dlopen,
    .xDlError = vfs_dlerror,
    .xDlSym = vfs_dlsym,
    .xDlClose = vfs_dlclose,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_current_time,
    .xGetLastError = vfs_last_error,
    .xCurrentTimeInt64 = vfs_current_time_ms,
};

sqlite3_vfs *vfs_below(void)
{
    return below_of(&envol_vfs);
}

/* --- The extension ---*/

/* The first whose sqlite3_db_name reserve.c needs. */
enum { SQLITE_VERSION_MIN = 3039000 };

/* The VFS below is the default one, whichever that is when we are loaded. */
static int register_vfs(char **message)
{
    sqlite3_vfs *below = sqlite3_vfs_find(NULL);

    if (sqlite3_vfs_find(envol_vfs.zName) != NULL)
        return SQLITE_OK;
    if (sqlite3_libversion_number() < SQLITE_VERSION_MIN || below == NULL || below->iVersion < 2) {
        *message = sqlite3_mprintf("envolvfs needs SQLite 3.39 or newer");
        return SQLITE_ERROR;
    }
    envol_vfs.pAppData = below;
    envol_vfs.mxPathname = below->mxPathname;
    envol_vfs.szOsFile = OUR_BYTES + below->szOsFile;
    return sqlite3_vfs_register(&envol_vfs, 0);
}

__attribute__((visibility("default"))) int
sqlite3_envolvfs_init(sqlite3 *connection, char **message, const sqlite3_api_routines *api);

/* It stays: files of databases are open under it. */
int sqlite3_envolvfs_init(sqlite3 *connection, char **message, const sqlite3_api_routines *api)
{
    int code;

    (void)connection;
    SQLITE_EXTENSION_INIT2(api);
    code = register_vfs(message);
    return code == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : code;
}
