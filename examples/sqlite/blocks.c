/* SPDX-License-Identifier: BSD-2-Clause */
/* A file of bytes over sealed blocks. */
#include "blocks.h"
#include "common/bytes.h"
#include "database.h"
#include "unshared.h"

#include <stdlib.h>
#include <string.h>

static struct blocks *blocks_of(sqlite3_file *base)
{
    return (struct blocks *)base;
}

/* --- One block ---*/

#define AFTER_SYNC (UINT32_C(1) << 31)

/* The beginning of a journal's header, which SQLite writes anew to count the records that it has
 * synced.  Other headers count none yet, or with synchronous=OFF all that there are. */
enum { COUNT_WRITE_BYTES = 12 };

/* The block at hand. */
static uint8_t *plain_of(const struct blocks *blocks)
{
    return blocks->run->plain[blocks->kept];
}

static uint32_t used(const struct blocks *blocks)
{
    return (uint32_t)load(plain_of(blocks), 4) & ~AFTER_SYNC;
}

/* The keys of a journal are there once its database is: at the first write, at the latest. */
static int find_keys(struct blocks *blocks)
{
    int code;

    if (blocks->object != NULL)
        return SQLITE_OK;
    code = database_unlock(blocks->database);
    if (code != SQLITE_OK)
        return code;
    if (blocks->database->keys == NULL)
        return complain(SQLITE_IOERR, blocks->path, "a journal of no database");
    blocks->object = blocks->database->keys->journal;
    blocks->lane = blocks->database->lane;
    return SQLITE_OK;
}

static enum envol_status seal_run(struct blocks *blocks, sqlite3_int64 first, int count)
{
    struct envol_blob_op ops[RUN_BLOCKS];
    uint8_t aad[RUN_BLOCKS][8];

    for (int i = 0; i < count; i++) {
        store(aad[i], sizeof aad[i], (uint64_t)(first + i));
        ops[i] = (struct envol_blob_op){.aad = aad[i],
                                        .aad_bytes = sizeof aad[i],
                                        .plain = blocks->run->plain[i],
                                        .plain_bytes = BLOCK_PLAIN_BYTES,
                                        .sealed = blocks->run->record[i]};
    }
    return envol_blob_seal_batch(blocks->object, blocks->lane, ops, (size_t)count);
}

/* The run's blocks, from that number on. */
static int write_run(struct blocks *blocks, sqlite3_int64 first, int count)
{
    sqlite3_file *below = blocks->file.below;
    enum envol_status status = seal_run(blocks, first, count);

    if (status != ENVOL_OK)
        return complain(code_of(status), blocks->path, "%s", envol_status_message(status));
    return below->pMethods->xWrite(below, blocks->run->record, count * BLOCK_RECORD_BYTES,
                                   first * BLOCK_RECORD_BYTES);
}

/* What is kept, and the block at hand if it changed: which has no place in the run then. */
static int write_out(struct blocks *blocks)
{
    int count = blocks->kept + blocks->is_dirty;
    int code = count > 0 ? write_run(blocks, blocks->at - blocks->kept, count) : SQLITE_OK;

    if (code != SQLITE_OK)
        return code;
    blocks->kept = 0;
    blocks->is_dirty = false;
    return SQLITE_OK;
}

int blocks_flush(struct blocks *blocks)
{
    int kept = blocks->kept, code = write_out(blocks);

    if (code == SQLITE_OK && kept > 0)
        memcpy(blocks->run->plain[0], blocks->run->plain[kept], BLOCK_PLAIN_BYTES);
    return code;
}

/* SQLITE_IOERR_DATA: it is there, and does not authenticate. */
static int read_block(struct blocks *blocks, sqlite3_int64 number)
{
    sqlite3_file *below = blocks->file.below;
    int code = below->pMethods->xRead(below, blocks->run->record, BLOCK_RECORD_BYTES,
                                      number * BLOCK_RECORD_BYTES);
    enum envol_status status;
    uint8_t aad[8];

    if (code != SQLITE_OK)
        return code == SQLITE_IOERR_SHORT_READ ? SQLITE_IOERR_DATA : code;
    store(aad, sizeof aad, (uint64_t)number);
    status = envol_blob_unseal(blocks->object, blocks->lane, aad, sizeof aad, blocks->run->record,
                               BLOCK_RECORD_BYTES, plain_of(blocks));
    if (status == ENVOL_OK)
        return used(blocks) <= BLOCK_BYTES ? SQLITE_OK : SQLITE_IOERR_DATA;
    return status == ENVOL_E_CORRUPT ? SQLITE_IOERR_DATA : code_of(status);
}

/* The next one of a file that grows: the block at hand is done with, and kept if there is room. */
static bool is_next(const struct blocks *blocks, sqlite3_int64 number)
{
    return blocks->is_dirty && number == blocks->at + 1 && number == blocks->count &&
           blocks->kept + 1 < RUN_BLOCKS;
}

/* Makes a place for this block, in which there is nothing yet. */
static int make_room(struct blocks *blocks, sqlite3_int64 number)
{
    int code;

    if (is_next(blocks, number)) {
        blocks->kept++;
        blocks->is_dirty = false;
        blocks->at = number;
        return SQLITE_OK;
    }
    code = write_out(blocks);
    if (code == SQLITE_OK)
        blocks->at = -1;
    return code;
}

/* The block at hand becomes this one. */
static int turn_to(struct blocks *blocks, sqlite3_int64 number)
{
    int code;

    if (blocks->at == number)
        return SQLITE_OK;
    code = make_room(blocks, number);
    if (code != SQLITE_OK)
        return code;
    if (number < blocks->count)
        code = read_block(blocks, number);
    else
        memset(plain_of(blocks), 0, BLOCK_PLAIN_BYTES);
    if (code == SQLITE_OK)
        blocks->at = number;
    return code;
}

/* A part of a block counts: of a journal that a crash cut short, it is torn, and not absent. */
static int measure(struct blocks *blocks)
{
    sqlite3_file *below = blocks->file.below;
    sqlite3_int64 size;
    int code = find_keys(blocks);

    if (code != SQLITE_OK || blocks->is_measured)
        return code;
    if (blocks->run == NULL)
        blocks->run = malloc(sizeof *blocks->run);
    if (blocks->run == NULL)
        return SQLITE_IOERR_NOMEM;
    code = below->pMethods->xFileSize(below, &size);
    if (code != SQLITE_OK)
        return code;
    blocks->count = (size + BLOCK_RECORD_BYTES - 1) / BLOCK_RECORD_BYTES;
    blocks->at = -1;
    blocks->is_measured = true;
    return SQLITE_OK;
}

/* --- Reading ---*/

/*
 * A block of a journal that does not authenticate, to a read of so many bytes in it.  SQLite looks
 * at one byte to see whether there is a journal, and at eight to see whether one more header
 * follows: a header that was torn was never synced, and reads as none.  It looks at the last 16 for
 * the name of a super-journal, before all else: what ends in a torn block has none.  Records are
 * another matter: those that were synced before their header counted them must all be there, and a
 * rollback that left one out would ruin the database.  Without that sync the first torn block is
 * the end, as the database was not written yet (or, with synchronous=OFF, may be ruined anyway).
 */
static int read_torn(const struct blocks *blocks, sqlite3_int64 number, int in, int bytes,
                     uint8_t *to)
{
    bool is_header = in == 0 && (bytes == 1 || bytes == 8);
    bool is_name = number == blocks->count - 1 && in == BLOCK_BYTES - 16 && bytes == 4;

    memset(to, 0, (size_t)bytes);
    if (blocks->is_journal && (is_header || is_name))
        return SQLITE_OK;
    if (blocks->is_journal && !blocks->is_strict)
        return SQLITE_IOERR_SHORT_READ;
    return complain(SQLITE_IOERR_DATA, blocks->path, "a block of it does not authenticate");
}

static void note_header(struct blocks *blocks, int in, int bytes)
{
    if (blocks->is_journal && in == 0 && bytes == 8)
        blocks->is_strict = (load(plain_of(blocks), 4) & AFTER_SYNC) != 0;
}

/* Bytes of one block.  Behind the end of the file there are zeros, and SQLite is told so. */
static int read_piece(struct blocks *blocks, sqlite3_int64 number, int in, int bytes, uint8_t *to)
{
    bool is_last = number == blocks->count - 1;
    int code;

    if (number >= blocks->count && blocks->is_strict)
        return read_torn(blocks, number, in, bytes, to); /* it was cut */
    if (number >= blocks->count) {
        memset(to, 0, (size_t)bytes);
        return SQLITE_IOERR_SHORT_READ;
    }
    code = turn_to(blocks, number);
    if (code == SQLITE_IOERR_DATA)
        return read_torn(blocks, number, in, bytes, to);
    if (code != SQLITE_OK)
        return code;
    note_header(blocks, in, bytes);
    memcpy(to, plain_of(blocks) + 4 + in, (size_t)bytes);
    return is_last && (uint32_t)(in + bytes) > used(blocks) ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int read_bytes(sqlite3_file *base, void *to, int bytes, sqlite3_int64 offset)
{
    struct blocks *blocks = blocks_of(base);
    uint8_t *out = to;
    int code = measure(blocks);
    int seen = SQLITE_OK;

    while (code == SQLITE_OK && bytes > 0) {
        int in = (int)(offset % BLOCK_BYTES);
        int piece = bytes < BLOCK_BYTES - in ? bytes : BLOCK_BYTES - in;

        code = read_piece(blocks, offset / BLOCK_BYTES, in, piece, out);
        if (code == SQLITE_IOERR_SHORT_READ) {
            seen = code;
            code = SQLITE_OK;
        }
        out += piece;
        offset += piece;
        bytes -= piece;
    }
    return code == SQLITE_OK ? seen : code;
}

/* --- Writing ---*/

/* Blocks that were jumped over hold zeros, sealed: zeros that nobody sealed are no data. */
static int fill_up_to(struct blocks *blocks, sqlite3_int64 number)
{
    int code = SQLITE_OK;

    while (code == SQLITE_OK && blocks->count < number) {
        code = turn_to(blocks, blocks->count);
        if (code != SQLITE_OK)
            break;
        store(plain_of(blocks), 4, BLOCK_BYTES);
        blocks->is_dirty = true;
        blocks->count++;
    }
    return code;
}

/* A block that is written whole need not be read; nor one that a crash tore in a journal of old,
 * which SQLite now uses again. */
static int aim(struct blocks *blocks, sqlite3_int64 number, int bytes)
{
    int code = fill_up_to(blocks, number);

    if (code == SQLITE_OK && bytes == BLOCK_BYTES && blocks->at != number)
        code = make_room(blocks, number);
    else if (code == SQLITE_OK)
        code = turn_to(blocks, number);
    if (code == SQLITE_IOERR_DATA && blocks->is_journal) {
        memset(plain_of(blocks), 0, BLOCK_PLAIN_BYTES);
        code = SQLITE_OK;
    }
    if (code == SQLITE_OK)
        blocks->at = number;
    return code;
}

static int write_piece(struct blocks *blocks, sqlite3_int64 number, int in, int bytes,
                       const uint8_t *from)
{
    int code = aim(blocks, number, bytes);
    bool is_append, is_count;

    if (code != SQLITE_OK)
        return code;
    is_count = in == 0 && bytes == COUNT_WRITE_BYTES && blocks->is_synced;
    is_append =
        number >= blocks->count - 1 && (bytes == BLOCK_BYTES || (uint32_t)in >= used(blocks));
    memcpy(plain_of(blocks) + 4 + in, from, (size_t)bytes);
    if (bytes == BLOCK_BYTES || number < blocks->count - 1)
        store(plain_of(blocks), 4, BLOCK_BYTES);
    else if ((uint32_t)(in + bytes) > used(blocks))
        store(plain_of(blocks), 4, (uint64_t)(in + bytes));
    if (number >= blocks->count)
        blocks->count = number + 1;
    store(plain_of(blocks), 4, used(blocks) | (!is_append && is_count ? AFTER_SYNC : 0));
    blocks->is_synced = false;
    blocks->is_dirty = true;
    return is_append ? SQLITE_OK : blocks_flush(blocks);
}

static int write_bytes(sqlite3_file *base, const void *from, int bytes, sqlite3_int64 offset)
{
    struct blocks *blocks = blocks_of(base);
    const uint8_t *in_clear = from;
    int code =
        blocks->database != NULL ? database_prepare(blocks->database, from, bytes, 24) : SQLITE_OK;

    if (code == SQLITE_OK)
        code = measure(blocks);
    while (code == SQLITE_OK && bytes > 0) {
        int in = (int)(offset % BLOCK_BYTES);
        int piece = bytes < BLOCK_BYTES - in ? bytes : BLOCK_BYTES - in;

        code = write_piece(blocks, offset / BLOCK_BYTES, in, piece, in_clear);
        in_clear += piece;
        offset += piece;
        bytes -= piece;
    }
    return code;
}

/* --- Size ---*/

/* Of a last block that is torn nobody knows how much was used: all of it, so that what a synced
 * header counts is missed, if it was there. */
static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
    struct blocks *blocks = blocks_of(base);
    int code;

    *size = 0;
    /* A journal may be looked at before there is a database, and is empty then. */
    if (!blocks->is_measured && blocks->database != NULL) {
        code = blocks->file.below->pMethods->xFileSize(blocks->file.below, size);
        if (code != SQLITE_OK || *size == 0)
            return code;
    }
    code = measure(blocks);
    if (code != SQLITE_OK || blocks->count == 0)
        return code;
    code = turn_to(blocks, blocks->count - 1);
    *size = (blocks->count - 1) * BLOCK_BYTES + (code == SQLITE_OK ? used(blocks) : BLOCK_BYTES);
    return code == SQLITE_IOERR_DATA ? SQLITE_OK : code;
}

/* The last block ends after so much: SQLite finds a super-journal's name by where the file ends. */
static int end_last(struct blocks *blocks, uint32_t left)
{
    int code = turn_to(blocks, blocks->count - 1);

    if (code != SQLITE_OK || used(blocks) == left)
        return code;
    memset(plain_of(blocks) + 4 + left, 0, BLOCK_BYTES - left);
    store(plain_of(blocks), 4, left);
    blocks->is_dirty = true;
    return blocks_flush(blocks);
}

static int drop_from(struct blocks *blocks, sqlite3_int64 count)
{
    sqlite3_file *below = blocks->file.below;
    int code = count > 0 ? blocks_flush(blocks) : SQLITE_OK;

    if (code != SQLITE_OK)
        return code;
    blocks->kept = 0;
    blocks->is_dirty = false;
    if (blocks->at >= count)
        blocks->at = -1;
    blocks->count = count;
    return below->pMethods->xTruncate(below, count * BLOCK_RECORD_BYTES);
}

static int truncate_to(sqlite3_file *base, sqlite3_int64 size)
{
    struct blocks *blocks = blocks_of(base);
    sqlite3_int64 count = (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    int code;

    if (size == 0) /* no key is needed to empty a file */
        return drop_from(blocks, 0);
    code = measure(blocks);
    if (code == SQLITE_OK && count > blocks->count)
        code = fill_up_to(blocks, count);
    else if (code == SQLITE_OK && count < blocks->count)
        code = drop_from(blocks, count);
    return code == SQLITE_OK ? end_last(blocks, (uint32_t)(size - (count - 1) * BLOCK_BYTES))
                             : code;
}

/* --- The rest ---*/

static int sync_file(sqlite3_file *base, int flags)
{
    struct blocks *blocks = blocks_of(base);
    int code = blocks_flush(blocks);

    if (code == SQLITE_OK)
        code = blocks->file.below->pMethods->xSync(blocks->file.below, flags);
    blocks->is_synced = code == SQLITE_OK;
    return code;
}

/* Pages whose former content the file of the journal does not have must not change. */
static void leave_database(struct blocks *blocks, bool is_whole)
{
    struct database *database = blocks->database;

    if (database == NULL || database->journal != blocks)
        return;
    if (!is_whole)
        page_run_forget(&database->run);
    database->journal = NULL;
}

static int close_file(sqlite3_file *base)
{
    struct blocks *blocks = blocks_of(base);
    /* Of a file that goes with its process nothing need be kept. */
    int code = blocks->own_object == NULL ? blocks_flush(blocks) : SQLITE_OK;
    int closed = blocks->file.below->pMethods->xClose(blocks->file.below);

    leave_database(blocks, code == SQLITE_OK);
    envol_lane_close(blocks->own_lane);
    envol_object_close(blocks->own_object);
    keys_close(blocks->keys);
    free(blocks->run);
    return code == SQLITE_OK ? closed : code;
}

/* Hints of sizes are of bytes in clear, and mean nothing to the file below. */
static int file_control(sqlite3_file *base, int op, void *argument)
{
    struct blocks *blocks = blocks_of(base);

    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK;
    if (op == SQLITE_FCNTL_MMAP_SIZE)
        return SQLITE_NOTFOUND;
    return blocks->file.below->pMethods->xFileControl(blocks->file.below, op, argument);
}

static int sector_size(sqlite3_file *base)
{
    (void)base;
    return BLOCK_BYTES;
}

const sqlite3_io_methods blocks_methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_bytes,
    .xWrite = write_bytes,
    .xTruncate = truncate_to,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = unshared_lock,
    .xUnlock = unshared_lock,
    .xCheckReservedLock = unshared_check_lock,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = unshared_characteristics,
};
