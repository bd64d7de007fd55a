/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages of a database, sealed at their places. */
#include "database.h"
#include "blocks.h"
#include "page_check.h"
#include "reserve.h"
#include "temporary.h"
#include "wal.h"

#include <stdlib.h>
#include <string.h>

/* What SQLite reads of a database before it knows anything of it. */
enum { HEADER_READ_BYTES = 100, AT_COUNTER = 24 };

static struct database *database_of(sqlite3_file *base)
{
    return (struct database *)base;
}

/* --- Keys ---*/

static int refuse(struct database *database, int code, const char *message)
{
    if (message != database->message)
        sqlite3_snprintf(sizeof database->message, database->message, "%s", message);
    return complain(code, database->path, "%s", database->message);
}

/* What a connection has of its own beside the keys. */
static int take_keys(struct database *database, enum envol_status status)
{
    if (status == ENVOL_OK)
        status = envol_lane_open(database->keys->keyring, &database->lane);
    if (status == ENVOL_OK) {
        database->record = malloc(database->keys->page_bytes);
        if (database->record == NULL)
            status = ENVOL_E_NO_MEMORY;
    }
    if (status == ENVOL_OK) {
        database->message[0] = '\0';
        return SQLITE_OK;
    }
    envol_lane_close(database->lane);
    keys_close(database->keys);
    database->lane = NULL;
    database->keys = NULL;
    return refuse(database, code_of(status),
                  database->message[0] != '\0' ? database->message : envol_status_message(status));
}

int database_unlock(struct database *database)
{
    sqlite3_file *below = database->file.below;

    if (database->keys != NULL)
        return SQLITE_OK;
    switch (keys_look(below)) {
    case HEADER_NONE:
        return SQLITE_OK;
    case HEADER_ENVOL:
        return take_keys(database, keys_open(&database->keys, below, database->path,
                                             database->cmk_uri, database->message));
    case HEADER_FOREIGN:
        return refuse(
            database, SQLITE_NOTADB,
            "no database of envolvfs: it is not encrypted, or not a database; VACUUM INTO "
            "makes an encrypted copy of a plain one");
    default:
        return refuse(database, SQLITE_IOERR_READ, "the header cannot be read");
    }
}

static uint32_t big_endian(const uint8_t *from, int bytes)
{
    uint32_t number = 0;

    for (int i = 0; i < bytes; i++)
        number = number << 8 | from[i];
    return number;
}

/* The first that is written for a new database is a page, or the header of its journal. */
int database_prepare(struct database *database, const void *from, int bytes, int at)
{
    uint32_t page_bytes = (uint32_t)bytes;
    int code = database_unlock(database);

    if (code != SQLITE_OK || database->keys != NULL)
        return code;
    if (at >= 0)
        page_bytes = at + 4 <= bytes ? big_endian((const uint8_t *)from + at, 4) : 0;
    if (page_bytes < PAGE_BYTES_MIN || page_bytes > PAGE_BYTES_MAX ||
        (page_bytes & (page_bytes - 1)) != 0)
        return refuse(database, SQLITE_IOERR_WRITE, "the page size must be 1024 to 65536 bytes");
    return take_keys(database, keys_create(&database->keys, database->file.below, database->path,
                                           database->cmk_uri, page_bytes, database->message));
}

/* --- Reading ---*/

static sqlite3_int64 place_of(const struct database *database, sqlite3_int64 page)
{
    return DATA_OFFSET + page * database->keys->page_bytes;
}

/* Into SQLite's buffer, in which the record may be.  A page that SQLite never wrote is a hole, and
 * zeros; what does not authenticate is zeros, too. */
static enum envol_status unseal_page(const struct database *database, sqlite3_int64 page,
                                     const uint8_t *record, uint8_t *to)
{
    enum envol_status status =
        envol_page_unseal(database->keys->pages, database->lane, (uint64_t)page, record, to);

    memset(to + database->keys->page_bytes - RESERVED_BYTES, 0, RESERVED_BYTES);
    return status == ENVOL_E_UNWRITTEN ? ENVOL_OK : status;
}

/* A whole page, in place: the buffer takes the record first. */
static int read_page(struct database *database, sqlite3_int64 page, uint8_t *to)
{
    uint32_t bytes = database->keys->page_bytes;
    sqlite3_file *below = database->file.below;
    enum envol_status status;
    int code = below->pMethods->xRead(below, to, (int)bytes, place_of(database, page));

    if (code != SQLITE_OK) {
        memset(to, 0, bytes);
        return code;
    }
    status = unseal_page(database, page, to, to);
    if (status == ENVOL_OK)
        return SQLITE_OK;
    return complain(code_of(status), database->path, "page %lld: %s", (long long)page + 1,
                    envol_status_message(status));
}

/* What was read ahead and does not authenticate is not believed either way: the file is. */
static int read_whole_page(struct database *database, sqlite3_int64 page, uint8_t *to)
{
    const uint8_t *record = NULL;

    if (database->lock_level >= SQLITE_LOCK_SHARED)
        record = read_ahead_find(database, page);
    if (record != NULL && unseal_page(database, page, record, to) == ENVOL_OK)
        return SQLITE_OK;
    return read_page(database, page, to);
}

/* Before there is a lock, or a rollback, page 1 may be torn or locked, or not there yet though the
 * keys are: what SQLite is told then is the shape of the pages, and it asks again. */
static int describe(const struct database *database, uint8_t *to)
{
    uint32_t bytes = database->keys == NULL ? 0 : database->keys->page_bytes;

    memset(to, 0, HEADER_READ_BYTES);
    if (bytes == 0)
        return SQLITE_IOERR_SHORT_READ;
    to[AT_PAGE_SIZE] = (uint8_t)(bytes >> 8);
    to[AT_PAGE_SIZE + 1] = (uint8_t)(bytes >> 16);
    to[AT_RESERVED] = RESERVED_BYTES;
    return SQLITE_OK;
}

/* Parts of pages: their first 100 bytes, the counter of changes, and what is read by another page
 * size before SQLite has seen ours. */
static int read_parts(struct database *database, uint8_t *to, int bytes, sqlite3_int64 offset)
{
    int page_bytes = (int)database->keys->page_bytes;
    int code = SQLITE_OK;

    while ((code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ) && bytes > 0) {
        int in = (int)(offset % page_bytes);
        int piece = bytes < page_bytes - in ? bytes : page_bytes - in;

        code = read_page(database, offset / page_bytes, database->record);
        memcpy(to, database->record + in, (size_t)piece);
        to += piece;
        offset += piece;
        bytes -= piece;
    }
    return code;
}

/*
 * The counter of changes, which SQLite compares whenever it takes a lock, to see whether its cache
 * is still good.  Each seal has a nonce of its own: while page 1 has the trailer that it had, it
 * has the content that was authenticated with it, and need not be read.
 */
static int read_counter(struct database *database, uint8_t *to)
{
    uint8_t trailer[RESERVED_BYTES];
    sqlite3_file *below = database->file.below;
    int code = below->pMethods->xRead(below, trailer, sizeof trailer,
                                      place_of(database, 1) - (sqlite3_int64)sizeof trailer);

    if (code == SQLITE_OK && database->has_counter &&
        memcmp(trailer, database->counter_trailer, sizeof trailer) == 0) {
        memcpy(to, database->counter, sizeof database->counter);
        return SQLITE_OK;
    }
    database->has_counter = false;
    code = read_parts(database, to, sizeof database->counter, AT_COUNTER);
    if (code == SQLITE_OK && database->lock_level >= SQLITE_LOCK_SHARED) { /* nobody writes it */
        memcpy(database->counter, to, sizeof database->counter);
        memcpy(database->counter_trailer, trailer, sizeof trailer);
        database->has_counter = true;
    }
    return code;
}

/*
 * SQLite takes what lies behind the end for zeros.  Without a WAL it knows the size from the file,
 * and asks for nothing there.  With one it goes by the size of the last commit: a page that is not
 * in the WAL was in the file, and somebody cut it off.
 */
static int refuse_cut(const struct database *database, sqlite3_int64 page, int code)
{
    if (code != SQLITE_IOERR_SHORT_READ || database->wal == NULL)
        return code;
    return complain(SQLITE_IOERR_DATA, database->path, "page %lld is not there",
                    (long long)page + 1);
}

static int read_unlocked(struct database *database, uint8_t *to, int bytes, sqlite3_int64 offset)
{
    int page_bytes = (int)database->keys->page_bytes;

    if (bytes == page_bytes && offset % page_bytes == 0)
        return refuse_cut(database, offset / page_bytes,
                          read_whole_page(database, offset / page_bytes, to));
    if (offset == AT_COUNTER && bytes == (int)sizeof database->counter)
        return read_counter(database, to);
    return read_parts(database, to, bytes, offset);
}

static int read_bytes(sqlite3_file *base, void *to, int bytes, sqlite3_int64 offset)
{
    struct database *database = database_of(base);
    bool is_description = offset == 0 && bytes == HEADER_READ_BYTES;
    int code = database_unlock(database);

    if (code == SQLITE_OK)
        code = page_run_flush(database);
    if (code == SQLITE_OK && database->keys != NULL) {
        code = read_unlocked(database, to, bytes, offset);
        if (code == SQLITE_OK || (code == SQLITE_IOERR_SHORT_READ && !is_description))
            return code;
    } else if (code == SQLITE_OK) {
        memset(to, 0, (size_t)bytes);
        return SQLITE_IOERR_SHORT_READ;
    }
    if (is_description)
        return describe(database, to);
    memset(to, 0, (size_t)bytes);
    return code;
}

/* --- Writing ---*/

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
    struct database *database = database_of(base);
    sqlite3_file *below = database->file.below;
    sqlite3_int64 end = page_run_end(&database->run);
    int code = below->pMethods->xFileSize(below, size);

    if (code != SQLITE_OK)
        return code;
    *size = *size > DATA_OFFSET ? *size - DATA_OFFSET : 0;
    if (end > 0 && end * database->keys->page_bytes > *size)
        *size = end * database->keys->page_bytes;
    return SQLITE_OK;
}

/* Pages up to this one that nobody writes are holes: zeros that somebody else put there are not
 * taken for them. */
static int seal_holes(struct database *database, sqlite3_int64 page)
{
    sqlite3_file *below = database->file.below;
    sqlite3_int64 size;
    int code = page_run_flush(database);

    if (code == SQLITE_OK)
        code = file_size(&database->file.base, &size);
    if (code != SQLITE_OK)
        return code;
    database->end = size / database->keys->page_bytes;
    for (; code == SQLITE_OK && database->end < page; database->end++) {
        enum envol_status status = envol_page_seal_hole(database->keys->pages, database->lane,
                                                        (uint64_t)database->end, database->record);

        code =
            status == ENVOL_OK
                ? below->pMethods->xWrite(below, database->record, (int)database->keys->page_bytes,
                                          place_of(database, database->end))
                : complain(code_of(status), database->path, "%s", envol_status_message(status));
    }
    return code;
}

static int check_page(struct database *database, sqlite3_int64 page, const uint8_t *from, int bytes,
                      sqlite3_int64 offset)
{
    uint32_t page_bytes = database->keys->page_bytes;

    if ((uint32_t)bytes != page_bytes || offset % page_bytes != 0)
        return refuse(database, SQLITE_IOERR_WRITE,
                      "the page size of an encrypted database is fixed: VACUUM INTO makes one with "
                      "another");
    return page_check(database, from, page == 0);
}

static int write_page(struct database *database, sqlite3_int64 page, const void *from)
{
    sqlite3_file *below = database->file.below;
    enum envol_status status = envol_page_seal(database->keys->pages, database->lane,
                                               (uint64_t)page, from, database->record);

    if (status != ENVOL_OK)
        return complain(code_of(status), database->path, "page %lld: %s", (long long)page + 1,
                        envol_status_message(status));
    return below->pMethods->xWrite(below, database->record, (int)database->keys->page_bytes,
                                   place_of(database, page));
}

static int write_bytes(sqlite3_file *base, const void *from, int bytes, sqlite3_int64 offset)
{
    struct database *database = database_of(base);
    sqlite3_int64 page;
    int code = database_prepare(database, from, bytes, -1);

    if (code != SQLITE_OK)
        return code;
    read_ahead_drop(&database->ahead);
    page = offset / database->keys->page_bytes;
    code = check_page(database, page, from, bytes, offset);
    if (code == SQLITE_OK && page > database->end)
        code = seal_holes(database, page);
    if (code == SQLITE_OK)
        code = database->wal != NULL ? write_page(database, page, from)
                                     : page_run_add(database, page, from);
    if (code == SQLITE_OK && page >= database->end)
        database->end = page + 1;
    return code;
}

/* --- Size ---*/

/* The header stays: a database that was emptied is one with its keys. */
static int truncate_to(sqlite3_file *base, sqlite3_int64 size)
{
    struct database *database = database_of(base);
    sqlite3_file *below = database->file.below;
    sqlite3_int64 now, page;
    int code = database_unlock(database);

    if (code == SQLITE_OK)
        code = file_size(base, &now);
    if (code != SQLITE_OK || size == now || database->keys == NULL)
        return code;
    if (size % database->keys->page_bytes != 0)
        return refuse(database, SQLITE_IOERR_TRUNCATE, "the file would end within a page");
    read_ahead_drop(&database->ahead);
    page = size / database->keys->page_bytes;
    if (size > now)
        return seal_holes(database, page);
    page_run_cut(database, page); /* before the others: a full disk has no place for these */
    code = page_run_flush(database);
    if (code == SQLITE_OK)
        code = below->pMethods->xTruncate(below, DATA_OFFSET + size);
    database->end = 0;
    return code;
}

/* --- Locks: those of the VFS below.  Others may change the file whenever one is given up ---*/

static void forget(struct database *database)
{
    database->end = 0;
    read_ahead_drop(&database->ahead);
}

/* Once for a file.  A database that has pages has their reserve with them. */
static int meet_connection(struct database *database)
{
    sqlite3_int64 size;
    int code = file_size(&database->file.base, &size);

    if (code != SQLITE_OK)
        return code;
    database->was_locked = true;
    temporary_warn(database);
    return size == 0 ? reserve_bytes(database) : SQLITE_OK;
}

static int lock_file(sqlite3_file *base, int level)
{
    struct database *database = database_of(base);
    int code = database->file.below->pMethods->xLock(database->file.below, level);

    forget(database);
    if (code != SQLITE_OK)
        return code;
    if (database->lock_level < level)
        database->lock_level = level;
    code = database_unlock(database);
    if (code == SQLITE_OK && !database->was_locked)
        code = meet_connection(database);
    if (code != SQLITE_OK && level == SQLITE_LOCK_SHARED) {
        (void)database->file.below->pMethods->xUnlock(database->file.below, SQLITE_LOCK_NONE);
        database->lock_level = SQLITE_LOCK_NONE;
    }
    return code;
}

static int unlock_file(sqlite3_file *base, int level)
{
    struct database *database = database_of(base);

    /* What was to stay was written by SQLITE_FCNTL_SYNC.  What is left is of a commit that failed,
     * and of a rollback that did: the journal may not reach its file, so these must not, either. */
    page_run_forget(&database->run);
    forget(database);
    if (database->lock_level > level)
        database->lock_level = level;
    return database->file.below->pMethods->xUnlock(database->file.below, level);
}

static int check_lock(sqlite3_file *base, int *is_locked)
{
    sqlite3_file *below = file_of(base)->below;

    return below->pMethods->xCheckReservedLock(below, is_locked);
}

static int shm_map(sqlite3_file *base, int region, int bytes, int extend, void volatile **memory)
{
    sqlite3_file *below = file_of(base)->below;

    return below->pMethods->xShmMap(below, region, bytes, extend, memory);
}

static int shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    struct database *database = database_of(base);
    sqlite3_file *below = database->file.below;

    forget(database);
    if (database->wal != NULL)
        wal_forget(database->wal);
    return below->pMethods->xShmLock(below, offset, count, flags);
}

static void shm_barrier(sqlite3_file *base)
{
    sqlite3_file *below = file_of(base)->below;

    below->pMethods->xShmBarrier(below);
}

static int shm_unmap(sqlite3_file *base, int is_last)
{
    sqlite3_file *below = file_of(base)->below;

    return below->pMethods->xShmUnmap(below, is_last);
}

/* --- The rest ---*/

static int sync_file(sqlite3_file *base, int flags)
{
    sqlite3_file *below = file_of(base)->below;
    int code = page_run_flush(database_of(base));

    return code == SQLITE_OK ? below->pMethods->xSync(below, flags) : code;
}

static int close_file(sqlite3_file *base)
{
    struct database *database = database_of(base);
    int code = database->file.below->pMethods->xClose(database->file.below);

    page_run_free(&database->run);
    read_ahead_free(&database->ahead);
    envol_lane_close(database->lane);
    keys_close(database->keys);
    free(database->record);
    free(database->own_cmk_uri);
    return code;
}

/* Before a commit, whatever is synced: also the journal of pages that were all written before, as
 * the name of a super-journal came last, and decides which of them a crash undoes. */
static int flush_commit(struct database *database)
{
    int code = page_run_flush(database);

    return code == SQLITE_OK && database->journal != NULL ? blocks_flush(database->journal) : code;
}

static int file_control(sqlite3_file *base, int op, void *argument)
{
    struct database *database = database_of(base);
    sqlite3_file *below = database->file.below;
    int code;

    switch (op) {
    case SQLITE_FCNTL_SYNC:
        code = flush_commit(database);
        if (code != SQLITE_OK)
            return code;
        break;
    case SQLITE_FCNTL_PDB:
        database->connection = *(sqlite3 **)argument;
        break;
    case SQLITE_FCNTL_SIZE_HINT: /* sizes of pages in clear, and room that no page was sealed in */
    case SQLITE_FCNTL_CHUNK_SIZE:
        return SQLITE_OK;
    case SQLITE_FCNTL_MMAP_SIZE: /* what lies there is nothing to look at */
        return SQLITE_NOTFOUND;
    case SQLITE_FCNTL_PRAGMA:
        code = page_run_flush(database);
        if (code == SQLITE_OK)
            code = database_pragma(database, argument);
        if (code != SQLITE_NOTFOUND)
            return code;
        break;
    default:
        break;
    }
    code = below->pMethods->xFileControl(below, op, argument);
    if (op == SQLITE_FCNTL_VFSNAME && code == SQLITE_OK)
        *(char **)argument = sqlite3_mprintf("envol/%z", *(char **)argument);
    return code;
}

/* A block of the journal: see blocks.h. */
static int sector_size(sqlite3_file *base)
{
    (void)base;
    return BLOCK_BYTES;
}

/*
 * A record is not written by one sector, and a page of it is torn as a whole.  That a write leaves
 * its neighbours alone (POWERSAFE_OVERWRITE) is as true of records as of what is below; but SQLite
 * then makes sectors of 512 bytes, and the journal needs those of a block.  It asks again when it
 * opens a WAL, which it would fill up to a sector's end otherwise, and sync within a frame: but
 * that is one record, and written at once.
 */
static int characteristics(sqlite3_file *base)
{
    sqlite3_file *below = file_of(base)->below;
    int kept =
        SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN | SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_IMMUTABLE;
    int of_wal = database_of(base)->wal != NULL ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;

    return (below->pMethods->xDeviceCharacteristics(below) & kept) | of_wal;
}

const sqlite3_io_methods database_methods = {
    .iVersion = 2, /* no xFetch: pages are not mapped */
    .xClose = close_file,
    .xRead = read_bytes,
    .xWrite = write_bytes,
    .xTruncate = truncate_to,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};
