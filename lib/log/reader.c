/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readers: they follow a writer in this process or another, and find what it made of the files by
 * reading them again.  Whatever looks wrong may be in the middle of being written, or used again
 * for a new segment since: it is looked at again before anything is said.
 */
#include "log/log.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"

#include <string.h>
#include <time.h>

/* How often a reader looks again, and how long it waits in between; and how long the search behind
 * an end that is there to stay is not repeated. */
enum { LOOKS = 4, PAUSE_MS = 1, PAUSE_MS_MAX = 50, SEARCH_MS = 1000 };

struct envol_log_reader {
    struct envol_volume *volume; /* NULL: an archive */
    struct envol_space *space;
    uint64_t from_lsn;
    struct envol_log_seal seal; /* as the volume knew it last */
    struct envol_log_cursor cursor;
    size_t next;          /* record of the batch */
    uint64_t searched_at; /* offset of the last search */
    uint64_t searched_ms; /* and when it was */
};

static void sleep_ms(uint64_t ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_nsec = (long)(ms % 1000 * 1000000)};

    nanosleep(&pause, NULL);
}

/* --- Opening: the segment to begin with --- */

static enum envol_status look_at_volume(struct envol_log_reader *reader, struct envol_error *error)
{
    enum envol_status status;

    if (reader->volume == NULL)
        return ENVOL_OK;
    status = envol_volume_log_seal(reader->volume, &reader->seal);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (reader->seal.kind == ENVOL_LOG_SEAL_NONE)
        return envol_fail(error, ENVOL_E_STATE, "the volume has no log");
    return ENVOL_OK;
}

static struct envol_log_cursor nowhere(const struct envol_log_reader *reader)
{
    struct envol_log_cursor cursor = {.keyring = reader->cursor.keyring};

    cursor.has_id = reader->volume != NULL;
    memcpy(cursor.log_id, reader->seal.log_id, sizeof(cursor.log_id));
    return cursor;
}

/* To a segment's first run, if the segment is one of the log. */
static enum envol_status try_segment(const struct envol_log_reader *reader, uint64_t number,
                                     struct envol_log_cursor *found, struct envol_error *error)
{
    struct envol_store *store;
    enum envol_status status =
        envol_log_segment_open(reader->space, number, ENVOL_SPACE_READ_ONLY, &store, error);

    if (status != ENVOL_OK)
        return status == ENVOL_E_RANGE ? ENVOL_E_UNWRITTEN : status;
    return envol_log_cursor_begin(found, number, store, error);
}

static enum envol_status missing(uint64_t number, struct envol_error *error)
{
    return envol_fail(error, ENVOL_E_CORRUPT, "segment %llu is missing, or not of this log",
                      (unsigned long long)number);
}

static enum envol_status first_number(struct envol_log_reader *reader, uint64_t *number,
                                      struct envol_error *error)
{
    struct envol_log_segments segments;
    enum envol_status status = ENVOL_OK;

    *number = reader->seal.oldest_segment;
    if (reader->volume != NULL)
        return ENVOL_OK;
    status = envol_log_list(reader->space, &segments, error);
    if (status != ENVOL_OK)
        return status;
    if (segments.count == 0)
        status = envol_fail(error, ENVOL_E_STATE, "there is no segment of a log in the space");
    else
        *number = segments.numbers[0];
    envol_log_segments_free(&segments);
    return status;
}

/* The last segment that begins at or below from_lsn, as records of that LSN may be in it. */
static enum envol_status seek(struct envol_log_reader *reader, uint64_t number,
                              struct envol_error *error)
{
    struct envol_log_cursor found;
    enum envol_status status = try_segment(reader, number, &reader->cursor, error);

    if (status == ENVOL_E_UNWRITTEN)
        return missing(number, error);
    while (status == ENVOL_OK && (reader->volume == NULL || number < reader->seal.newest_segment)) {
        found = nowhere(reader);
        status = try_segment(reader, ++number, &found, error);
        /* One that waits to be used again has a lower run. */
        if (status == ENVOL_OK && found.run_no > reader->cursor.run_no &&
            found.start_lsn <= reader->from_lsn) {
            envol_log_cursor_end(&reader->cursor);
            reader->cursor = found;
            continue;
        }
        envol_log_cursor_end(&found);
        if (status == ENVOL_E_UNWRITTEN && reader->volume != NULL)
            return missing(number, error);
        /* What is wrong behind the place is told when the reader comes there. */
        return status == ENVOL_E_UNWRITTEN || status == ENVOL_E_CORRUPT ? ENVOL_OK : status;
    }
    return status;
}

static enum envol_status find_place(struct envol_log_reader *reader, struct envol_error *error)
{
    uint64_t number = 0;
    enum envol_status status = look_at_volume(reader, error);

    if (status == ENVOL_OK && reader->from_lsn != 0 && reader->from_lsn < reader->seal.first_lsn)
        status = envol_fail(error, ENVOL_E_RANGE, "records below %llu were truncated",
                            (unsigned long long)reader->seal.first_lsn);
    if (status != ENVOL_OK)
        return status;
    reader->cursor = nowhere(reader);
    status = first_number(reader, &number, error);
    return status == ENVOL_OK ? seek(reader, number, error) : status;
}

/* What seems to be missing may be truncated, and the volume's handle from before that. */
static enum envol_status open_reader(struct envol_log_reader *reader, struct envol_error *error)
{
    struct envol_log_seal seal;
    enum envol_status status = find_place(reader, error), reread;

    if (status != ENVOL_E_CORRUPT || reader->volume == NULL || !reader->volume->read_only)
        return status;
    reread = envol_volume_reread(reader->volume);
    if (reread == ENVOL_E_STALE)
        return envol_fail(error, reread, "the volume's handle is older than its DEK");
    if (reread != ENVOL_OK || envol_volume_log_seal(reader->volume, &seal) != ENVOL_OK ||
        seal.oldest_segment == reader->seal.oldest_segment)
        return status;
    envol_log_cursor_end(&reader->cursor);
    reader->cursor.keyring = envol_volume_keyring(reader->volume);
    return find_place(reader, error);
}

static enum envol_status make_reader(struct envol_volume *volume,
                                     const struct envol_keyring *keyring, struct envol_space *space,
                                     uint64_t from_lsn, struct envol_log_reader **reader,
                                     struct envol_error *error)
{
    struct envol_log_reader *made = envol_alloc(sizeof(*made), _Alignof(struct envol_log_reader));
    enum envol_status status;

    if (made == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    made->volume = volume;
    made->space = space;
    made->from_lsn = from_lsn;
    made->cursor.keyring = keyring;
    status = open_reader(made, error);
    if (status != ENVOL_OK) {
        envol_log_reader_close(made);
        return status;
    }
    *reader = made;
    envol_error_clear(error);
    return ENVOL_OK;
}

enum envol_status envol_log_reader_open(struct envol_volume *volume, struct envol_space *space,
                                        uint64_t from_lsn, struct envol_log_reader **reader,
                                        struct envol_error *error)
{
    if (reader != NULL)
        *reader = NULL;
    if (volume == NULL || space == NULL || reader == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL volume or space");
    return make_reader(volume, envol_volume_keyring(volume), space, from_lsn, reader, error);
}

enum envol_status envol_log_reader_open_archive(const struct envol_keyring *keyring,
                                                struct envol_space *space, uint64_t from_lsn,
                                                struct envol_log_reader **reader,
                                                struct envol_error *error)
{
    if (reader != NULL)
        *reader = NULL;
    if (keyring == NULL || space == NULL || reader == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL keyring or space");
    return make_reader(NULL, keyring, space, from_lsn, reader, error);
}

void envol_log_reader_close(struct envol_log_reader *reader)
{
    if (reader == NULL)
        return;
    envol_log_cursor_end(&reader->cursor);
    envol_free(reader);
}

/* --- The next batch --- */

/* Behind the run's last batch: the run, or the segment, that follows. */
static enum envol_status follow(struct envol_log_reader *reader, struct envol_error *error)
{
    struct envol_log_cursor *cursor = &reader->cursor;
    struct envol_store *store;
    enum envol_status status = envol_log_cursor_next_run(cursor, error);

    if (status != ENVOL_E_UNWRITTEN)
        return status;
    status = envol_log_segment_open(reader->space, cursor->segment + 1, ENVOL_SPACE_READ_ONLY,
                                    &store, error);
    if (status != ENVOL_OK)
        return status == ENVOL_E_RANGE ? ENVOL_E_UNWRITTEN : status;
    status = envol_log_cursor_next_segment(cursor, store, error);
    if (status != ENVOL_OK)
        envol_store_close(store);
    return status;
}

/* Nothing follows: may that be?  The volume's header may tell of more. */
static enum envol_status judge(struct envol_log_reader *reader, struct envol_error *error)
{
    const struct envol_log_cursor *cursor = &reader->cursor;
    const struct envol_log_place *at = &cursor->at;
    enum envol_status status = look_at_volume(reader, error);
    const struct envol_log_seal *seal = &reader->seal;
    bool is_last;

    if (status != ENVOL_OK || reader->volume == NULL)
        return status;
    is_last = cursor->segment == seal->newest_segment;
    if (cursor->segment < seal->newest_segment)
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "segment %llu of the log ends at %llu, and the next one does not follow",
                          (unsigned long long)cursor->segment, (unsigned long long)at->offset);
    if (cursor->run_no < seal->last_run)
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "the log ends with run %llu, and run %llu had begun",
                          (unsigned long long)cursor->run_no, (unsigned long long)seal->last_run);
    if (seal->kind == ENVOL_LOG_SEAL_SEALED && is_last &&
        (at->offset < seal->end_offset ||
         (at->offset == seal->end_offset && memcmp(at->tag, seal->last_tag, sizeof(at->tag)) != 0)))
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "segment %llu of the log ends at %llu, and was closed with its end at "
                          "%llu",
                          (unsigned long long)cursor->segment, (unsigned long long)at->offset,
                          (unsigned long long)seal->end_offset);
    return ENVOL_OK;
}

static enum envol_status search(struct envol_log_reader *reader, struct envol_error *error)
{
    struct envol_log_cursor *cursor = &reader->cursor;
    uint64_t now = envol_now_ms();
    enum envol_status status;

    if (cursor->at.ended ||
        (reader->searched_at == cursor->bad.offset && now - reader->searched_ms < SEARCH_MS))
        return ENVOL_OK;
    status = envol_log_cursor_search(cursor, error);
    reader->searched_at = status == ENVOL_OK ? cursor->bad.offset : 0;
    reader->searched_ms = now;
    return status;
}

/* ENVOL_E_UNWRITTEN: there is no more yet. */
static enum envol_status step(struct envol_log_reader *reader, struct envol_error *error)
{
    enum envol_status status;

    do {
        status = envol_log_cursor_batch(&reader->cursor, error);
        if (status != ENVOL_E_UNWRITTEN)
            return status;
        status = follow(reader, error);
    } while (status == ENVOL_OK);
    if (status != ENVOL_E_UNWRITTEN)
        return status;
    status = judge(reader, error);
    if (status == ENVOL_OK)
        status = search(reader, error);
    return status == ENVOL_OK ? ENVOL_E_UNWRITTEN : status;
}

/*
 * A segment that was truncated meanwhile is gone, or has another number and other contents.  And a
 * run that no record was read of may have been begun anew, after a crash of its writer: *renewed.
 */
static bool is_gone(struct envol_log_reader *reader, bool *renewed)
{
    struct envol_store *store;
    enum envol_status status = envol_log_segment_open(reader->space, reader->cursor.segment,
                                                      ENVOL_SPACE_READ_ONLY, &store, NULL);

    *renewed = status == ENVOL_OK && envol_log_cursor_renew(&reader->cursor, store);
    return status == ENVOL_E_RANGE;
}

static enum envol_status next_batch(struct envol_log_reader *reader, struct envol_error *error)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status = ENVOL_E_CORRUPT;
    bool gone = false, renewed = false;

    for (unsigned look = 0; look < LOOKS && (status == ENVOL_E_CORRUPT || renewed); look++) {
        if (look > 0 && !renewed)
            sleep_ms(PAUSE_MS);
        envol_log_cursor_forget(&reader->cursor);
        status = step(reader, &details);
        if (status == ENVOL_E_CORRUPT || status == ENVOL_E_UNWRITTEN)
            gone = is_gone(reader, &renewed);
        else
            renewed = false;
    }
    if (status == ENVOL_OK || status == ENVOL_E_UNWRITTEN) {
        reader->next = 0;
        if (status == ENVOL_OK || !gone)
            return status;
    }
    if ((status == ENVOL_E_CORRUPT || status == ENVOL_E_UNWRITTEN) && gone)
        return envol_fail(error, ENVOL_E_RANGE,
                          "the log was truncated beyond the reader's place in segment %llu",
                          (unsigned long long)reader->cursor.segment);
    envol_fail(error, status, "%s", details.message);
    envol_error_set_errno(error, details.os_errno);
    return status;
}

static enum envol_status await_batch(struct envol_log_reader *reader, uint32_t wait_ms,
                                     struct envol_error *error)
{
    uint64_t began = envol_now_ms(), pause = 1;
    enum envol_status status = next_batch(reader, error);

    while (status == ENVOL_E_UNWRITTEN) {
        uint64_t waited = envol_now_ms() - began;

        if (waited >= wait_ms)
            return envol_fail(error, ENVOL_E_TIMEOUT, "the log has no more records yet");
        sleep_ms(pause < wait_ms - waited ? pause : wait_ms - waited);
        pause = 2 * pause < PAUSE_MS_MAX ? 2 * pause : PAUSE_MS_MAX;
        status = next_batch(reader, error);
    }
    return status;
}

enum envol_status envol_log_reader_next(struct envol_log_reader *reader, uint32_t wait_ms,
                                        struct envol_log_record *record, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (record != NULL)
        *record = (struct envol_log_record){.lsn = 0};
    if (reader == NULL || record == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL reader or record");
    for (;;) {
        const struct envol_log_cursor *cursor = &reader->cursor;

        while (reader->next < cursor->record_count &&
               cursor->records[reader->next].lsn < reader->from_lsn)
            reader->next++;
        if (reader->next < cursor->record_count)
            break;
        status = await_batch(reader, wait_ms, error);
        if (status != ENVOL_OK)
            return status;
    }
    *record = reader->cursor.records[reader->next++];
    envol_error_clear(error);
    return ENVOL_OK;
}

/* --- All of it --- */

static enum envol_status replay(struct envol_log_reader *reader, uint64_t to_lsn,
                                envol_log_replay_callback *callback, void *ctx,
                                struct envol_error *error)
{
    struct envol_log_record record;

    for (;;) {
        enum envol_status status = envol_log_reader_next(reader, 0, &record, error);

        if (status == ENVOL_E_TIMEOUT || (status == ENVOL_OK && to_lsn != 0 && record.lsn > to_lsn))
            return ENVOL_OK;
        if (status != ENVOL_OK)
            return status;
        if (callback(ctx, &record) != 0)
            return envol_fail(error, ENVOL_E_CANCELLED, NULL);
    }
}

enum envol_status envol_log_replay(struct envol_volume *volume, struct envol_space *space,
                                   uint64_t from_lsn, uint64_t to_lsn,
                                   envol_log_replay_callback *callback, void *ctx,
                                   struct envol_error *error)
{
    struct envol_log_reader *reader;
    enum envol_status status;

    if (callback == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a replay without a callback");
    status = envol_log_reader_open(volume, space, from_lsn, &reader, error);
    if (status != ENVOL_OK)
        return status;
    status = replay(reader, to_lsn, callback, ctx, error);
    envol_log_reader_close(reader);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
