/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The database file.  SQLite's page n, from 1 on, is the record at 65536 + (n - 1) x page size:
 * all of the page but its last 48 bytes, which SQLite reserves for us, and the trailer in their
 * place.  Before the first record stands the envelope header.
 */
#ifndef SQLITE_DATABASE_H
#define SQLITE_DATABASE_H

#include "keys.h"
#include "page_run.h"
#include "read_ahead.h"
#include "vfs.h"

struct blocks;
struct wal;

struct database {
    struct file file;
    const char *path, *cmk_uri; /* of SQLite, as long as the file is open */
    char *own_cmk_uri;          /* after a rewrap, the new one; freed */
    struct keys *keys;          /* NULL: no database yet, or locked */
    struct envol_lane *lane;    /* of this connection, for journal and WAL too */
    uint8_t *record;
    struct page_run run; /* written, and not in the file yet */
    struct read_ahead ahead;
    sqlite3 *connection; /* NULL before SQLite has told */
    sqlite3_int64 end;   /* pages that the file has at least, under the present lock */
    int lock_level;
    bool was_locked;  /* SQLite knows of the reserve, and the log of files in clear */
    bool has_counter; /* what SQLite reads of page 1 at each lock, and that record's trailer */
    uint8_t counter[16], counter_trailer[RESERVED_BYTES];
    struct wal *wal;             /* the write-ahead log, while it is open, or NULL */
    struct blocks *journal;      /* the rollback journal, while it is open, or NULL */
    char message[MESSAGE_BYTES]; /* why the keys are not there, or "" */
};

extern const sqlite3_io_methods database_methods;

/* Finds the keys; without a database (keys stay NULL) that is no failure. */
int database_unlock(struct database *database);

/*
 * Before something is written for the database: finds the keys, or makes them.  What is written
 * (a page, or the header of a journal or WAL) has the page size at so many bytes, big-endian, or
 * is a page of that many bytes itself if at is -1.
 */
int database_prepare(struct database *database, const void *from, int bytes, int at);

/* SQLITE_FCNTL_PRAGMA: pragma.c. */
int database_pragma(struct database *database, char **arguments);

#endif
