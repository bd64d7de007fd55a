/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The write-ahead log.  SQLite's file is a header of 32 bytes and frames of 24 bytes and a page;
 * ours is the same with everything sealed, and 48 bytes longer:
 *
 *       0  sealed header 32 | trailer 48
 *      80  frame 0: sealed { frame header 24 | page but for its reserved bytes } | trailer 48
 *      80 + n x (24 + page size)  frame n
 *
 * Each is bound to its number.  A frame is sealed once, when SQLite writes it, and again only while
 * its transaction is not committed: where SQLite writes a page of it anew, or its checksum.
 *
 * New frames are kept until a run of them is full, or one is a commit: one draw of randomness and
 * one write serve a run.  Until the commit only the connection that wrote them reads frames, from
 * the run too, and a process that is killed loses nothing that counts.  What was undone is dropped
 * and never written, as others may write frames of these numbers: a commit that failed, frames that
 * come again after ROLLBACK TO, and what is left at the next lock of the log, which SQLite neither
 * takes nor gives up within a transaction once it has written a frame.
 */
#ifndef SQLITE_WAL_H
#define SQLITE_WAL_H

#include "database.h"

enum {
    WAL_HEADER_BYTES = 32,
    WAL_HEADER_RECORD_BYTES = WAL_HEADER_BYTES + ENVOL_TRAILER_BYTES,
    FRAME_HEADER_BYTES = 24,
    WAL_RUN_BYTES = 8 * 4120,
    WAL_RUN_MAX = WAL_RUN_BYTES / 1048 /* of the smallest pages */
};

struct wal {
    struct file file;
    struct database *database;
    const char *path;
    int page_bytes, frame_bytes; /* 0: not known yet */
    sqlite3_int64 pending;       /* the frame whose header came and whose page did not, or -1 */
    sqlite3_int64 at;            /* the frame that was read last, in plain, or -1 */
    uint8_t pending_header[FRAME_HEADER_BYTES];
    uint8_t *frame;      /* one, sealed and unsealed in place */
    sqlite3_int64 first; /* of the run's frames */
    int count, room;
    uint8_t *run, *record; /* room for as many frames each; allocated together */
};

/* Drops frames that were not written, and the header of one whose page did not come. */
void wal_forget(struct wal *wal);

extern const sqlite3_io_methods wal_methods;

#endif
