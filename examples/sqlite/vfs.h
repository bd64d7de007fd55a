/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envolvfs: a VFS for SQLite under which nothing of a database lies readable on the disk.
 *
 *     SQLite
 *       | pages, journal records, WAL frames, in clear
 *     envol (this)           vfs.c        opens files, each by its kind
 *       |                    database.c   pages: envol_page_seal, each at its place
 *       |                    wal.c        frames: envol_blob_seal, of the same size as before
 *       |                    blocks.c     journals and temporary files: sealed blocks
 *       |                    keys.c       the header, and what it wraps: once for a process
 *       | records
 *     the VFS below (unix)   reads, writes, locks, syncs, shared memory
 *
 * The engine's own locks serve as they are: this adds none but one for changes of the header.
 * envolvfs(7) has the formats.
 */
#ifndef SQLITE_VFS_H
#define SQLITE_VFS_H

#include <envol.h>
#include <sqlite3ext.h>
#include <stdbool.h>

/* sqlite3ext.h makes each sqlite3_ call one through this, which is set when SQLite loads us. */
extern const sqlite3_api_routines *sqlite3_api;

/* A page keeps its size: what the trailer takes is what SQLite reserves at the end of each. */
enum { RESERVED_BYTES = ENVOL_TRAILER_BYTES };

/* What is open.  The VFS below has its own struct behind the largest of ours. */
struct file {
    sqlite3_file base; /* methods, as SQLite expects them first */
    sqlite3_file *below;
};

static inline struct file *file_of(sqlite3_file *base)
{
    return (struct file *)base;
}

/* The VFS below. */
sqlite3_vfs *vfs_below(void);

/* What SQLite is told for a status of the library. */
int code_of(enum envol_status status);

/* A line for SQLite's error log, which is where programs look; returns the code. */
int complain(int code, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
