/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading batches of a run, through a window of sealed bytes. */
#include "log/cursor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"

#include <string.h>

enum { BLOCK_BYTES = 4096, WINDOW_BYTES = 256 << 10, FIRST_RECORDS = 16, DATA_ALIGN = 16 };

void envol_log_cursor_end(struct envol_log_cursor *cursor)
{
    envol_log_run_close(cursor->run);
    envol_store_close(cursor->store);
    envol_free(cursor->window);
    if (cursor->plain != NULL)
        envol_wipe(cursor->plain, cursor->plain_room);
    envol_free(cursor->plain);
    envol_free(cursor->records);
    envol_free(cursor->starts);
    *cursor = (struct envol_log_cursor){.keyring = NULL};
}

void envol_log_cursor_forget(struct envol_log_cursor *cursor)
{
    cursor->window_bytes = 0;
}

static enum envol_status no_memory(struct envol_error *error)
{
    return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
}

static bool has_window(const struct envol_log_cursor *cursor, uint64_t offset, size_t bytes)
{
    return offset >= cursor->window_offset &&
           offset - cursor->window_offset <= cursor->window_bytes &&
           bytes <= cursor->window_bytes - (offset - cursor->window_offset);
}

static enum envol_status make_room(struct envol_log_cursor *cursor, size_t bytes,
                                   struct envol_error *error)
{
    uint8_t *window;

    if (bytes <= cursor->window_room)
        return ENVOL_OK;
    window = envol_alloc(bytes, BLOCK_BYTES);
    if (window == NULL)
        return no_memory(error);
    envol_free(cursor->window);
    cursor->window = window;
    cursor->window_room = bytes;
    cursor->window_bytes = 0;
    return ENVOL_OK;
}

/* The segment's bytes from offset on: at least as many as asked for, or as there are. */
static enum envol_status fetch(struct envol_log_cursor *cursor, uint64_t offset, size_t bytes,
                               const uint8_t **sealed, size_t *got, struct envol_error *error)
{
    uint64_t start = offset / BLOCK_BYTES * BLOCK_BYTES;
    size_t lead = (size_t)(offset - start), need = lead + bytes;
    enum envol_status status = ENVOL_OK;

    *sealed = NULL;
    *got = 0;
    if (!has_window(cursor, offset, bytes)) {
        need = (need + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        status = make_room(cursor, need > WINDOW_BYTES ? need : WINDOW_BYTES, error);
        if (status != ENVOL_OK)
            return status;
        cursor->window_offset = start;
        cursor->window_bytes = 0;
        status = envol_store_read(cursor->store, start, cursor->window, cursor->window_room,
                                  &cursor->window_bytes, error);
        if (status != ENVOL_OK || cursor->window_bytes <= lead)
            return status;
    }
    lead = (size_t)(offset - cursor->window_offset);
    *sealed = cursor->window + lead;
    *got = cursor->window_bytes - lead;
    return ENVOL_OK;
}

/* --- Batches --- */

/* Room for the data of one record more, behind that of the others of the batch. */
static enum envol_status plain_room(struct envol_log_cursor *cursor, size_t bytes,
                                    struct envol_error *error)
{
    size_t need = cursor->plain_bytes + bytes, room = cursor->plain_room;
    uint8_t *plain;

    if (need <= room)
        return ENVOL_OK;
    room = need > 2 * room ? need : 2 * room;
    /* plain_bytes is rounded up behind each record. */
    room = (room + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
    plain = envol_alloc(room, DATA_ALIGN);
    if (plain == NULL)
        return no_memory(error);
    if (cursor->plain != NULL) {
        memcpy(plain, cursor->plain, cursor->plain_bytes);
        envol_wipe(cursor->plain, cursor->plain_room);
        envol_free(cursor->plain);
    }
    cursor->plain = plain;
    cursor->plain_room = room;
    return ENVOL_OK;
}

static enum envol_status record_room(struct envol_log_cursor *cursor, struct envol_error *error)
{
    size_t room = cursor->record_room > 0 ? 2 * cursor->record_room : FIRST_RECORDS;
    struct envol_log_record *records;
    size_t *starts;

    if (cursor->record_count < cursor->record_room)
        return ENVOL_OK;
    records = envol_alloc(room * sizeof(*records), _Alignof(struct envol_log_record));
    starts = envol_alloc(room * sizeof(*starts), _Alignof(size_t));
    if (records == NULL || starts == NULL) {
        envol_free(records);
        envol_free(starts);
        return no_memory(error);
    }
    if (cursor->record_count > 0) {
        memcpy(records, cursor->records, cursor->record_count * sizeof(*records));
        memcpy(starts, cursor->starts, cursor->record_count * sizeof(*starts));
    }
    envol_free(cursor->records);
    envol_free(cursor->starts);
    cursor->records = records;
    cursor->starts = starts;
    cursor->record_room = room;
    return ENVOL_OK;
}

/* What can be the next record of the run, as far as its header tells.  A filler behind the last
 * LSN that a record can have is numbered beyond it. */
static bool fits(const struct envol_log_place *at, const struct envol_log_record *record)
{
    return record->index == at->index && record->lsn >= at->next_lsn &&
           (record->lsn < UINT64_MAX || (record->flags & ENVOL_LOG_FILLER) != 0);
}

static enum envol_status unseal(struct envol_log_cursor *cursor, const struct envol_log_place *at,
                                struct envol_log_record *record, uint8_t tag[ENVOL_LOG_TAG_BYTES],
                                struct envol_error *error)
{
    size_t bytes = envol_log_record_bytes(record->bytes), data_bytes = record->bytes, got;
    const uint8_t *sealed;
    enum envol_status status = fetch(cursor, at->offset, bytes, &sealed, &got, error);

    if (status == ENVOL_OK && got < bytes)
        return ENVOL_E_UNWRITTEN;
    if (status == ENVOL_OK)
        status = plain_room(cursor, data_bytes + 1, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_log_record_unseal(cursor->run, at->index, sealed, bytes,
                                     cursor->plain + cursor->plain_bytes, record);
    if (status == ENVOL_E_CORRUPT)
        return ENVOL_E_UNWRITTEN;
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    memcpy(tag, sealed + bytes - ENVOL_LOG_TAG_BYTES, ENVOL_LOG_TAG_BYTES);
    return ENVOL_OK;
}

/* A length that is not authenticated must not make memory be asked for beyond the segment's end. */
static enum envol_status is_within(const struct envol_log_cursor *cursor, uint64_t offset,
                                   size_t bytes, struct envol_error *error)
{
    uint64_t size;
    enum envol_status status;

    if (has_window(cursor, offset, bytes))
        return ENVOL_OK;
    status = envol_store_size(cursor->store, &size, error);
    if (status == ENVOL_OK && (offset > size || bytes > size - offset))
        status = ENVOL_E_UNWRITTEN;
    return status;
}

/* Moves at behind the record. */
static enum envol_status read_record(struct envol_log_cursor *cursor, struct envol_log_place *at,
                                     struct envol_log_record *record, struct envol_error *error)
{
    const uint8_t *sealed;
    size_t got, bytes;
    enum envol_status status =
        fetch(cursor, at->offset, ENVOL_LOG_RECORD_HEADER_BYTES, &sealed, &got, error);

    if (status != ENVOL_OK)
        return status;
    if (got < ENVOL_LOG_RECORD_HEADER_BYTES || envol_log_record_peek(sealed, record) != ENVOL_OK ||
        !fits(at, record))
        return ENVOL_E_UNWRITTEN;
    bytes = envol_log_record_bytes(record->bytes);
    status = is_within(cursor, at->offset, bytes, error);
    if (status == ENVOL_OK)
        status = unseal(cursor, at, record, at->tag, error);
    if (status != ENVOL_OK)
        return status;
    at->offset += bytes;
    at->index++;
    at->durable = record->durable > at->durable ? record->durable : at->durable;
    at->ended = (record->flags & ENVOL_LOG_END) != 0;
    if ((record->flags & ENVOL_LOG_FILLER) == 0)
        at->next_lsn = record->lsn + 1;
    return ENVOL_OK;
}

static enum envol_status keep(struct envol_log_cursor *cursor,
                              const struct envol_log_record *record, struct envol_error *error)
{
    enum envol_status status = record_room(cursor, error);

    if (status != ENVOL_OK)
        return status;
    cursor->records[cursor->record_count] = *record;
    cursor->starts[cursor->record_count++] = cursor->plain_bytes;
    cursor->plain_bytes += (record->bytes + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
    return ENVOL_OK;
}

static bool is_whole(const struct envol_log_cursor *cursor, const struct envol_log_record *record)
{
    return (record->flags & ENVOL_LOG_LAST) != 0 ||
           ((record->flags & ENVOL_LOG_FILLER) != 0 && cursor->record_count == 0);
}

static enum envol_status read_batch(struct envol_log_cursor *cursor, struct envol_log_place *at,
                                    struct envol_error *error)
{
    struct envol_log_record record = {.flags = 0};
    enum envol_status status = ENVOL_OK;

    cursor->record_count = 0;
    cursor->plain_bytes = 0;
    do {
        if (at->ended || cursor->plain_bytes > ENVOL_LOG_UNSYNCED_MAX)
            return ENVOL_E_UNWRITTEN;
        status = read_record(cursor, at, &record, error);
        if (status == ENVOL_OK && (record.flags & ENVOL_LOG_FILLER) == 0)
            status = keep(cursor, &record, error);
    } while (status == ENVOL_OK && !is_whole(cursor, &record));
    return status;
}

enum envol_status envol_log_cursor_batch(struct envol_log_cursor *cursor, struct envol_error *error)
{
    struct envol_log_place at = cursor->at;
    enum envol_status status = read_batch(cursor, &at, error);

    /* The window may have been read before the record was written. */
    if (status == ENVOL_E_UNWRITTEN) {
        envol_log_cursor_forget(cursor);
        at = cursor->at;
        status = read_batch(cursor, &at, error);
    }
    if (status != ENVOL_OK) {
        cursor->record_count = 0;
        cursor->bad = at;
        return status;
    }
    for (size_t i = 0; i < cursor->record_count; i++)
        cursor->records[i].data = cursor->plain + cursor->starts[i];
    cursor->at = at;
    return ENVOL_OK;
}

enum envol_status envol_log_cursor_find(struct envol_log_cursor *cursor, uint32_t index,
                                        uint64_t *offset, struct envol_error *error)
{
    *offset = cursor->run_offset + ENVOL_LOG_RUN_HEADER_BYTES;
    for (uint32_t i = 0; i < index; i++) {
        struct envol_log_record record;
        const uint8_t *sealed;
        size_t got;
        enum envol_status status =
            fetch(cursor, *offset, ENVOL_LOG_RECORD_HEADER_BYTES, &sealed, &got, error);

        if (status != ENVOL_OK)
            return status;
        if (got < ENVOL_LOG_RECORD_HEADER_BYTES ||
            envol_log_record_peek(sealed, &record) != ENVOL_OK || record.index != i)
            return envol_fail(error, ENVOL_E_CORRUPT, "the log changed while it was read");
        *offset += envol_log_record_bytes(record.bytes);
    }
    return ENVOL_OK;
}

/* --- The search behind a bad record --- */

/* A record of another run or of old times does not look as if it could be one; few get so far that
 * they are authenticated. */
static enum envol_status is_evidence(struct envol_log_cursor *cursor, uint64_t offset,
                                     const uint8_t *head, uint64_t *work, struct envol_error *error)
{
    struct envol_log_place at = {.offset = offset};
    struct envol_log_record record;
    uint8_t tag[ENVOL_LOG_TAG_BYTES];
    enum envol_status status;

    if (envol_log_record_peek(head, &record) != ENVOL_OK || record.durable <= cursor->bad.index ||
        record.lsn < cursor->bad.next_lsn)
        return ENVOL_E_UNWRITTEN;
    at.index = record.index;
    status = is_within(cursor, offset, envol_log_record_bytes(record.bytes), error);
    if (status != ENVOL_OK)
        return status;
    /* So much that looks right and is wrong is no chance. */
    if (*work < record.bytes)
        return ENVOL_OK;
    *work -= record.bytes;
    return unseal(cursor, &at, &record, tag, error);
}

/* A writer leaves no more than that unsynced, so that whatever begins behind it knows of the bad
 * record whether it was durable. */
static uint64_t search_end(const struct envol_log_cursor *cursor)
{
    return cursor->bad.offset + ENVOL_LOG_UNSYNCED_MAX +
           2 * envol_log_record_bytes(ENVOL_LOG_DATA_MAX);
}

static enum envol_status found_evidence(const struct envol_log_cursor *cursor,
                                        struct envol_error *error)
{
    return envol_fail(error, ENVOL_E_CORRUPT,
                      "segment %llu of the log: the record at %llu does not authenticate, and a "
                      "later one says that it was synced",
                      (unsigned long long)cursor->segment, (unsigned long long)cursor->bad.offset);
}

enum envol_status envol_log_cursor_search(struct envol_log_cursor *cursor,
                                          struct envol_error *error)
{
    uint64_t offset = cursor->bad.offset, end = search_end(cursor);
    uint64_t work = 4 * (uint64_t)ENVOL_LOG_UNSYNCED_MAX;
    enum envol_status status = ENVOL_OK;

    cursor->record_count = 0;
    cursor->plain_bytes = 0;
    while (offset < end) {
        const uint8_t *head;
        size_t got, at = 0;

        status = fetch(cursor, offset, ENVOL_LOG_RECORD_HEADER_BYTES, &head, &got, error);
        if (status != ENVOL_OK || got < ENVOL_LOG_RECORD_HEADER_BYTES)
            return status;
        /* Flags and the two zeros behind them sort nearly everything out. */
        while (at + ENVOL_LOG_RECORD_HEADER_BYTES <= got && envol_load32(head + at + 4) > 7)
            at += 16;
        if (at + ENVOL_LOG_RECORD_HEADER_BYTES <= got) {
            status = is_evidence(cursor, offset + at, head + at, &work, error);
            if (status == ENVOL_OK)
                return found_evidence(cursor, error);
            if (status != ENVOL_E_UNWRITTEN)
                return status;
            at += 16;
        }
        offset += at;
    }
    return ENVOL_OK;
}
