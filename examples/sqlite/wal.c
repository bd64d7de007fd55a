/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of a write-ahead log, sealed at the size that they have. */
#include "wal.h"
#include "common/bytes.h"
#include "page_check.h"
#include "unshared.h"

#include <stdlib.h>
#include <string.h>

/* The header's number: that of no frame. */
#define HEADER_NUMBER UINT64_MAX

static struct wal *wal_of(sqlite3_file *base)
{
    return (struct wal *)base;
}

static int plain_bytes(const struct wal *wal)
{
    return wal->frame_bytes - RESERVED_BYTES;
}

/* The database comes before its WAL, and tells the size of pages. */
static int find_keys(struct wal *wal)
{
    int code;

    if (wal->frame_bytes > 0)
        return SQLITE_OK;
    code = database_unlock(wal->database);
    if (code != SQLITE_OK)
        return code;
    if (wal->database->keys == NULL)
        return complain(SQLITE_IOERR, wal->path, "a write-ahead log of no database");
    wal->page_bytes = (int)wal->database->keys->page_bytes;
    wal->frame = malloc((size_t)(FRAME_HEADER_BYTES + wal->page_bytes));
    if (wal->frame == NULL)
        return SQLITE_IOERR_NOMEM;
    wal->frame_bytes = FRAME_HEADER_BYTES + wal->page_bytes;
    wal->room = wal->frame_bytes < WAL_RUN_BYTES ? WAL_RUN_BYTES / wal->frame_bytes : 1;
    wal->at = wal->pending = -1;
    return SQLITE_OK;
}

/* --- Records ---*/

static int seal(struct wal *wal, uint64_t number, const void *plain, int bytes, void *record)
{
    uint8_t aad[8];
    enum envol_status status;

    store(aad, sizeof aad, number);
    status = envol_blob_seal(wal->database->keys->wal, wal->database->lane, aad, sizeof aad, plain,
                             (size_t)bytes, record);
    return status == ENVOL_OK
               ? SQLITE_OK
               : complain(code_of(status), wal->path, "%s", envol_status_message(status));
}

/* SQLITE_IOERR_DATA: it does not authenticate; nothing is logged, as it may be a torn end. */
static int unseal(struct wal *wal, uint64_t number, const void *record, int bytes, void *plain)
{
    uint8_t aad[8];
    enum envol_status status;

    store(aad, sizeof aad, number);
    status = envol_blob_unseal(wal->database->keys->wal, wal->database->lane, aad, sizeof aad,
                               record, (size_t)bytes + RESERVED_BYTES, plain);
    return status == ENVOL_E_CORRUPT ? SQLITE_IOERR_DATA : code_of(status);
}

static sqlite3_int64 place_of(const struct wal *wal, sqlite3_int64 frame)
{
    return WAL_HEADER_RECORD_BYTES + frame * wal->frame_bytes;
}

/* wal->frame holds it in plain afterwards, or nothing. */
static int read_frame(struct wal *wal, sqlite3_int64 frame)
{
    sqlite3_file *below = wal->file.below;
    int code;

    if (wal->at == frame)
        return SQLITE_OK;
    wal->at = -1;
    code = below->pMethods->xRead(below, wal->frame, wal->frame_bytes, place_of(wal, frame));
    if (code == SQLITE_OK)
        code = unseal(wal, (uint64_t)frame, wal->frame, plain_bytes(wal), wal->frame);
    if (code == SQLITE_OK)
        wal->at = frame;
    return code;
}

static int write_frame(struct wal *wal, sqlite3_int64 frame)
{
    sqlite3_file *below = wal->file.below;
    int code = seal(wal, (uint64_t)frame, wal->frame, plain_bytes(wal), wal->frame);

    wal->at = -1;
    if (code == SQLITE_OK)
        code = below->pMethods->xWrite(below, wal->frame, wal->frame_bytes, place_of(wal, frame));
    return code;
}

/* SQLite's frame header begins with the page's number, big-endian. */
static int check_page(const struct wal *wal, const uint8_t *header, const uint8_t *page)
{
    static const uint8_t first[] = {0, 0, 0, 1};

    return page_check(wal->database, page, memcmp(header, first, sizeof first) == 0);
}

/* --- Runs of new frames ---*/

static enum envol_status seal_run(struct wal *wal)
{
    struct envol_blob_op ops[WAL_RUN_MAX];
    uint8_t aad[WAL_RUN_MAX][8];

    for (int i = 0; i < wal->count; i++) {
        size_t at = (size_t)i * (size_t)wal->frame_bytes;

        store(aad[i], sizeof aad[i], (uint64_t)(wal->first + i));
        ops[i] = (struct envol_blob_op){.aad = aad[i],
                                        .aad_bytes = sizeof aad[i],
                                        .plain = wal->run + at,
                                        .plain_bytes = (size_t)plain_bytes(wal),
                                        .sealed = wal->record + at};
    }
    return envol_blob_seal_batch(wal->database->keys->wal, wal->database->lane, ops,
                                 (size_t)wal->count);
}

/* What could not be written stays. */
static int flush_run(struct wal *wal)
{
    sqlite3_file *below = wal->file.below;
    enum envol_status status;
    int code;

    if (wal->count == 0)
        return SQLITE_OK;
    status = seal_run(wal);
    if (status != ENVOL_OK)
        return complain(code_of(status), wal->path, "%s", envol_status_message(status));
    code = below->pMethods->xWrite(below, wal->record, wal->count * wal->frame_bytes,
                                   place_of(wal, wal->first));
    if (code == SQLITE_OK)
        wal->count = 0;
    return code;
}

void wal_forget(struct wal *wal)
{
    wal->pending = wal->at = -1;
    wal->count = 0;
}

/* A frame comes again when those from it on were undone, by ROLLBACK TO or a commit that failed. */
static void drop_from(struct wal *wal, sqlite3_int64 frame)
{
    if (frame <= wal->first)
        wal->count = 0;
    else if (frame < wal->first + wal->count)
        wal->count = (int)(frame - wal->first);
}

/* Its place in the run, or NULL. */
static uint8_t *find_in_run(const struct wal *wal, sqlite3_int64 frame)
{
    if (frame < wal->first || frame >= wal->first + wal->count)
        return NULL;
    return wal->run + (size_t)(frame - wal->first) * (size_t)wal->frame_bytes;
}

static int make_run(struct wal *wal)
{
    size_t bytes = (size_t)wal->room * (size_t)wal->frame_bytes;

    if (wal->run == NULL)
        wal->run = malloc(2 * bytes);
    if (wal->run == NULL)
        return SQLITE_IOERR_NOMEM;
    wal->record = wal->run + bytes;
    return SQLITE_OK;
}

static int add_to_run(struct wal *wal, const uint8_t *page, sqlite3_int64 frame)
{
    int code = make_run(wal);
    uint8_t *to;

    drop_from(wal, frame);
    if (code == SQLITE_OK && (frame != wal->first + wal->count || wal->count == wal->room))
        code = flush_run(wal);
    if (code != SQLITE_OK)
        return code;
    if (wal->count == 0)
        wal->first = frame;
    wal->count++;
    to = find_in_run(wal, frame);
    memcpy(to, wal->pending_header, FRAME_HEADER_BYTES);
    memcpy(to + FRAME_HEADER_BYTES, page, (size_t)(wal->page_bytes - RESERVED_BYTES));
    return SQLITE_OK;
}

/* A new frame, of the header that came before.  SQLite's field of a commit, the database's size in
 * pages, is the header's second.  A commit that fails is undone, and must not be written later. */
static int add_frame(struct wal *wal, const uint8_t *page, sqlite3_int64 frame)
{
    bool is_commit = load(wal->pending_header + 4, 4) != 0;
    int code = add_to_run(wal, page, frame);

    if (code == SQLITE_OK && is_commit)
        code = flush_run(wal);
    if (code != SQLITE_OK && is_commit)
        wal_forget(wal);
    return code;
}

/* --- Single frames ---*/

/* A header whose page did not follow belongs to a frame that is there. */
static int settle(struct wal *wal)
{
    sqlite3_int64 frame = wal->pending;
    int code;

    if (frame < 0)
        return SQLITE_OK;
    wal->pending = -1;
    code = flush_run(wal);
    if (code == SQLITE_OK)
        code = read_frame(wal, frame);
    if (code != SQLITE_OK)
        return complain(SQLITE_IOERR_WRITE, wal->path, "frame %lld is not there", (long long)frame);
    memcpy(wal->frame, wal->pending_header, FRAME_HEADER_BYTES);
    return write_frame(wal, frame);
}

/* --- Reading ---*/

static int read_header(struct wal *wal, uint8_t *to, int bytes, int in)
{
    uint8_t record[WAL_HEADER_RECORD_BYTES], plain[WAL_HEADER_BYTES];
    sqlite3_file *below = wal->file.below;
    int code = below->pMethods->xRead(below, record, sizeof record, 0);

    memset(to, 0, (size_t)bytes);
    if (code == SQLITE_OK)
        code = unseal(wal, HEADER_NUMBER, record, sizeof plain, plain);
    if (code == SQLITE_IOERR_DATA) /* torn: SQLite takes zeros for a log that did not begin */
        return SQLITE_OK;
    if (code == SQLITE_OK)
        memcpy(to, plain + in, (size_t)bytes);
    return code;
}

/* SQLite's reserved bytes are zeros. */
static void copy_part(const struct wal *wal, const uint8_t *frame, int in, uint8_t *to, int bytes)
{
    int sealed = plain_bytes(wal) - in;

    memset(to, 0, (size_t)bytes);
    if (sealed > 0)
        memcpy(to, frame + in, (size_t)(bytes < sealed ? bytes : sealed));
}

/*
 * Whole frames are read by a recovery, which goes on to the first that is not sound: a frame that
 * was torn reads as zeros, and is the end.  A page alone is read because the index says that it was
 * committed: then it must be there.
 */
static int read_frame_part(struct wal *wal, uint8_t *to, int bytes, sqlite3_int64 frame, int in)
{
    int code = read_frame(wal, frame);

    memset(to, 0, (size_t)bytes);
    if (code == SQLITE_IOERR_DATA && bytes == wal->frame_bytes)
        return SQLITE_OK;
    if (code == SQLITE_IOERR_DATA)
        return complain(code, wal->path, "frame %lld does not authenticate", (long long)frame);
    if (code == SQLITE_OK)
        copy_part(wal, wal->frame, in, to, bytes);
    return code;
}

static int read_bytes(sqlite3_file *base, void *to, int bytes, sqlite3_int64 offset)
{
    struct wal *wal = wal_of(base);
    sqlite3_int64 frame;
    const uint8_t *kept;
    int in, code = find_keys(wal);

    if (code == SQLITE_OK)
        code = settle(wal);
    if (code != SQLITE_OK)
        return code;
    if (offset + bytes <= WAL_HEADER_BYTES)
        return read_header(wal, to, bytes, (int)offset);
    frame = (offset - WAL_HEADER_BYTES) / wal->frame_bytes;
    in = (int)((offset - WAL_HEADER_BYTES) % wal->frame_bytes);
    if (offset < WAL_HEADER_BYTES || in + bytes > wal->frame_bytes)
        return complain(SQLITE_IOERR_READ, wal->path, "%d bytes at %lld are no frame", bytes,
                        (long long)offset);
    wal->at = -1; /* others may have written it since */
    kept = find_in_run(wal, frame);
    if (kept != NULL && in == FRAME_HEADER_BYTES) {
        copy_part(wal, kept, in, to, bytes);
        return SQLITE_OK;
    }
    if (kept != NULL) /* its header may be written anew, in its place */
        code = flush_run(wal);
    if (code != SQLITE_OK)
        return code;
    code = read_frame_part(wal, to, bytes, frame, in);
    if (bytes != wal->frame_bytes)
        wal->at = -1; /* SQLite reads a whole frame, and no part, to write its header anew */
    return code;
}

/* --- Writing ---*/

static int write_header(struct wal *wal, const void *from)
{
    uint8_t record[WAL_HEADER_RECORD_BYTES];
    sqlite3_file *below = wal->file.below;
    int code;

    wal_forget(wal); /* a log that begins anew has no frames */
    code = seal(wal, HEADER_NUMBER, from, WAL_HEADER_BYTES, record);
    return code == SQLITE_OK ? below->pMethods->xWrite(below, record, sizeof record, 0) : code;
}

/* A page without a header replaces that of an older frame. */
static int replace_page(struct wal *wal, const uint8_t *from, sqlite3_int64 frame)
{
    size_t bytes = (size_t)(wal->page_bytes - RESERVED_BYTES);
    uint8_t *kept;
    int code = settle(wal);

    kept = find_in_run(wal, frame);
    if (code == SQLITE_OK && kept != NULL) {
        code = check_page(wal, kept, from);
        if (code == SQLITE_OK)
            memcpy(kept + FRAME_HEADER_BYTES, from, bytes);
        return code;
    }
    if (code == SQLITE_OK)
        code = read_frame(wal, frame);
    wal->at = -1;
    if (code != SQLITE_OK)
        return complain(SQLITE_IOERR_WRITE, wal->path, "frame %lld is not there", (long long)frame);
    code = check_page(wal, wal->frame, from);
    if (code != SQLITE_OK)
        return code;
    memcpy(wal->frame + FRAME_HEADER_BYTES, from, bytes);
    return write_frame(wal, frame);
}

/* A page that follows its header is a new frame. */
static int write_page(struct wal *wal, const uint8_t *from, sqlite3_int64 frame)
{
    int code;

    if (wal->pending != frame)
        return replace_page(wal, from, frame);
    wal->pending = wal->at = -1; /* refused or not */
    code = check_page(wal, wal->pending_header, from);
    return code == SQLITE_OK ? add_frame(wal, from, frame) : code;
}

/* Of the frame that was just read, to make its checksum anew; or of a new one. */
static int write_frame_header(struct wal *wal, const uint8_t *from, sqlite3_int64 frame)
{
    int code = settle(wal);

    if (code != SQLITE_OK)
        return code;
    memcpy(wal->pending_header, from, FRAME_HEADER_BYTES);
    wal->pending = frame;
    return wal->at == frame ? settle(wal) : SQLITE_OK;
}

static int write_bytes(sqlite3_file *base, const void *from, int bytes, sqlite3_int64 offset)
{
    struct wal *wal = wal_of(base);
    sqlite3_int64 frame;
    int in, code = find_keys(wal);

    if (code != SQLITE_OK)
        return code;
    if (offset == 0 && bytes == WAL_HEADER_BYTES)
        return write_header(wal, from);
    frame = (offset - WAL_HEADER_BYTES) / wal->frame_bytes;
    in = (int)((offset - WAL_HEADER_BYTES) % wal->frame_bytes);
    if (offset >= WAL_HEADER_BYTES && in == 0 && bytes == FRAME_HEADER_BYTES)
        return write_frame_header(wal, from, frame);
    if (offset >= WAL_HEADER_BYTES && in == FRAME_HEADER_BYTES && bytes == wal->page_bytes)
        return write_page(wal, from, frame);
    return complain(SQLITE_IOERR_WRITE, wal->path, "%d bytes at %lld are no frame", bytes,
                    (long long)offset);
}

/* --- The rest ---*/

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
    sqlite3_file *below = file_of(base)->below;
    int code = settle(wal_of(base));

    if (code == SQLITE_OK)
        code = flush_run(wal_of(base));
    if (code == SQLITE_OK)
        code = below->pMethods->xFileSize(below, size);
    if (code == SQLITE_OK)
        *size = *size < WAL_HEADER_RECORD_BYTES ? 0 : *size - RESERVED_BYTES;
    return code;
}

static int truncate_to(sqlite3_file *base, sqlite3_int64 size)
{
    struct wal *wal = wal_of(base);
    sqlite3_file *below = wal->file.below;
    int code;

    wal->pending = wal->at = -1;
    if (size == 0)
        wal_forget(wal);
    code = flush_run(wal);
    if (code != SQLITE_OK)
        return code;
    return below->pMethods->xTruncate(below, size == 0 ? 0 : size + RESERVED_BYTES);
}

static int sync_file(sqlite3_file *base, int flags)
{
    sqlite3_file *below = file_of(base)->below;
    int code = settle(wal_of(base));

    if (code == SQLITE_OK)
        code = flush_run(wal_of(base));
    return code == SQLITE_OK ? below->pMethods->xSync(below, flags) : code;
}

static int close_file(sqlite3_file *base)
{
    struct wal *wal = wal_of(base);
    int code = wal->file.below->pMethods->xClose(wal->file.below); /* what is left was undone */

    wal->database->wal = NULL;
    free(wal->frame);
    free(wal->run);
    return code;
}

static int file_control(sqlite3_file *base, int op, void *argument)
{
    sqlite3_file *below = file_of(base)->below;

    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK;
    return below->pMethods->xFileControl(below, op, argument);
}

static int sector_size(sqlite3_file *base)
{
    sqlite3_file *below = file_of(base)->below;

    return below->pMethods->xSectorSize(below);
}

const sqlite3_io_methods wal_methods = {
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
