/* SPDX-License-Identifier: BSD-2-Clause */
/* A file of a plain database, which a recovery of several databases looks into: only read. */
#include "blocks.h"
#include "unshared.h"

static int close_file(sqlite3_file *base)
{
    sqlite3_file *below = file_of(base)->below;

    return below->pMethods->xClose(below);
}

static int read_bytes(sqlite3_file *base, void *to, int bytes, sqlite3_int64 offset)
{
    sqlite3_file *below = file_of(base)->below;

    return below->pMethods->xRead(below, to, bytes, offset);
}

static int refuse_write(sqlite3_file *base, const void *from, int bytes, sqlite3_int64 offset)
{
    (void)base;
    (void)from;
    (void)bytes;
    (void)offset;
    return SQLITE_READONLY;
}

static int refuse_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    (void)base;
    (void)size;
    return SQLITE_READONLY;
}

static int sync_file(sqlite3_file *base, int flags)
{
    (void)base;
    (void)flags;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
    sqlite3_file *below = file_of(base)->below;

    return below->pMethods->xFileSize(below, size);
}

static int file_control(sqlite3_file *base, int op, void *argument)
{
    (void)base;
    (void)op;
    (void)argument;
    return SQLITE_NOTFOUND;
}

const sqlite3_io_methods plain_methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_bytes,
    .xWrite = refuse_write,
    .xTruncate = refuse_truncate,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = unshared_lock,
    .xUnlock = unshared_lock,
    .xCheckReservedLock = unshared_check_lock,
    .xFileControl = file_control,
    .xSectorSize = unshared_characteristics,
    .xDeviceCharacteristics = unshared_characteristics,
};
