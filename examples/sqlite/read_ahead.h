/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records that follow those that SQLite just read, in one read of the file below.
 *
 * They are ciphertext, as good as the file for as long as nobody writes the pages that SQLite may
 * ask for: while the lock is held under which they were read, or the WAL's read mark, which keeps
 * checkpoints off the pages that a reader takes from the database.  So they are dropped whenever
 * a lock is taken or given up, and when this connection writes.
 */
#ifndef SQLITE_READ_AHEAD_H
#define SQLITE_READ_AHEAD_H

#include "vfs.h"

struct database;

enum { READ_AHEAD_BYTES = 32768 };

struct read_ahead {
    sqlite3_int64 next;  /* the page behind the one that was read last */
    sqlite3_int64 first; /* of those that are here */
    int count;
    uint8_t *records;
};

/* The page's record, if SQLite is reading one page after the other, or NULL: then the page is read
 * alone, as it is at the end of the file, and where this fails. */
const uint8_t *read_ahead_find(struct database *database, sqlite3_int64 page);
void read_ahead_drop(struct read_ahead *ahead);
void read_ahead_free(struct read_ahead *ahead);

#endif
