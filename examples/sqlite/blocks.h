/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of bytes over sealed blocks: rollback and super-journals, and temporary files.
 *
 * Block n is the record at n x 4148: sealed { used u32, data[4096] } and its trailer, bound to n.
 * `used` of the last block is where the file ends; its bit 31 is set in a journal's header that
 * was written anew, to count records, when all else had been synced (synchronous=FULL).
 * Blocks are written whole.  What is appended is kept until a run of blocks is full, or
 * blocks_flush: one draw of randomness and one write serve a run.  What changes older bytes is
 * written at once.
 *
 * Whoever kills the process must not undo what SQLite takes for written, synced or not: that a
 * page's former content is in the journal when the page changes.  So the database flushes its
 * journal before each of its writes, and before a commit, for a super-journal's name; until then
 * nothing hangs on what is kept, as a journal that ends early covers all that was changed.
 *
 * SQLite syncs journals, and counts on what it synced: bytes that are written later must not put
 * it at risk.  They cannot, as SQLite begins a new sector after each sync, and a sector of the
 * database is a block here (xSectorSize).  What is rewritten in place is a journal's header alone,
 * at a time when all that it covers is still in the database too.
 */
#ifndef SQLITE_BLOCKS_H
#define SQLITE_BLOCKS_H

#include "vfs.h"

enum {
    BLOCK_BYTES = 4096,
    BLOCK_PLAIN_BYTES = 4 + BLOCK_BYTES,
    BLOCK_RECORD_BYTES = BLOCK_PLAIN_BYTES + ENVOL_TRAILER_BYTES,
    RUN_BLOCKS = 8
};

struct database;

/* The blocks that are kept, the one at hand behind them; and room to seal them. */
struct block_run {
    uint8_t plain[RUN_BLOCKS][BLOCK_PLAIN_BYTES], record[RUN_BLOCKS][BLOCK_RECORD_BYTES];
};

struct blocks {
    struct file file;
    struct database *database; /* whose journal it is, and whose keys; or NULL */
    struct keys *keys;         /* of a super-journal: held */
    const struct envol_object *object;
    struct envol_object *own_object; /* of a file without a database: closed with it */
    struct envol_lane *lane, *own_lane;
    const char *path;
    bool is_journal;     /* torn blocks have a meaning */
    bool is_strict;      /* what the header that was read last counts was synced before it */
    bool is_synced;      /* nothing was written since the last sync */
    bool is_measured;    /* count is known */
    sqlite3_int64 count; /* blocks in the file, the one at hand included */
    sqlite3_int64 at;    /* the block at hand, or -1 */
    bool is_dirty;
    int kept; /* full blocks before it that the file below does not have yet */
    struct block_run *run;
};

extern const sqlite3_io_methods blocks_methods;
/* The same struct for a file that is read as it is, and not written. */
extern const sqlite3_io_methods plain_methods;

/* What was appended, to the file below. */
int blocks_flush(struct blocks *blocks);

#endif
