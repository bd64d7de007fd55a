/* SPDX-License-Identifier: BSD-2-Clause */
/* Handles of a log: made, freed, and what an open does around the search for its end. */
#include "log/log.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"

#include <string.h>

enum envol_status envol_log_claim(struct envol_volume *volume, const struct envol_space *space,
                                  struct envol_error *error)
{
    enum envol_status status;

    if (volume == NULL || space == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL volume or space");
    status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    envol_volume_leave(volume);
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED, "a forked child cannot write its parent's log");
    if (atomic_exchange(&volume->has_log, true))
        return envol_fail(error, ENVOL_E_BUSY, "the volume's log is open");
    return ENVOL_OK;
}

void envol_log_unclaim(struct envol_volume *volume)
{
    atomic_store(&volume->has_log, false);
}

/* Whole, of what the caller gave; NULL: zeros. */
static enum envol_status take_options(const struct envol_log_options *given,
                                      struct envol_log_options *options, struct envol_error *error)
{
    if (!ENVOL_TAKE(log_options, given, options))
        return envol_fail(error, ENVOL_E_ARGUMENT, "options of another size");
    if (options->segment_bytes != 0 && (options->segment_bytes < ENVOL_LOG_SEGMENT_BYTES_MIN ||
                                        options->segment_bytes > ENVOL_LOG_SEGMENT_BYTES_MAX))
        return envol_fail(error, ENVOL_E_RANGE, "segments of %llu bytes",
                          (unsigned long long)options->segment_bytes);
    if (options->unsynced_bytes > ENVOL_LOG_UNSYNCED_MAX)
        return envol_fail(error, ENVOL_E_RANGE, "%u bytes that are not synced",
                          (unsigned)options->unsynced_bytes);
    if (options->first_lsn == UINT64_MAX)
        return envol_fail(error, ENVOL_E_RANGE, "a first LSN that no record can have");
    return ENVOL_OK;
}

/* With these attributes none of them can fail on Linux. */
static void init_locks(struct envol_log *log)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&log->admin, NULL);
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&log->changed, NULL);
    pthread_cond_init(&log->gathered, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

enum envol_status envol_log_make(struct envol_volume *volume, struct envol_space *space,
                                 const struct envol_log_options *options, struct envol_log **log,
                                 struct envol_error *error)
{
    struct envol_log_options whole;
    enum envol_status status = take_options(options, &whole, error);
    struct envol_log *made;

    if (status == ENVOL_OK)
        status = envol_log_claim(volume, space, error);
    if (status != ENVOL_OK)
        return status;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_log));
    if (made == NULL) {
        envol_log_unclaim(volume);
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    }
    made->volume = volume;
    made->space = space;
    made->keyring = envol_volume_keyring(volume);
    made->generation = envol_process_generation();
    made->segment_bytes = whole.segment_bytes;
    made->unsynced_bytes = whole.unsynced_bytes;
    made->recycle = whole.recycle;
    if (made->segment_bytes == 0)
        made->segment_bytes = ENVOL_LOG_SEGMENT_BYTES_DEFAULT;
    if (made->unsynced_bytes == 0)
        made->unsynced_bytes = ENVOL_LOG_UNSYNCED_MAX;
    made->run_records = ENVOL_LOG_RECORDS_MAX;
    init_locks(made);
    *log = made;
    return ENVOL_OK;
}

/* A child's mutexes may be held by a thread that does not exist; the claim is the parent's. */
void envol_log_free(struct envol_log *log)
{
    bool own = log->generation == envol_process_generation();

    envol_log_run_close(log->run);
    envol_store_close(log->store);
    for (size_t i = 0; i < ENVOL_LOG_BUFFERS; i++)
        envol_free(atomic_load(&log->buffers[i]));
    if (own) {
        pthread_cond_destroy(&log->gathered);
        pthread_cond_destroy(&log->changed);
        pthread_mutex_destroy(&log->lock);
        pthread_mutex_destroy(&log->admin);
        envol_log_unclaim(log->volume);
    }
    envol_free(log);
}

static enum envol_status check_names(const struct envol_log *log,
                                     const struct envol_log_segments *segments,
                                     struct envol_error *error)
{
    for (uint64_t i = log->seal.oldest_segment; i <= log->seal.newest_segment; i++)
        if (!envol_log_segments_have(segments, i))
            return envol_fail(error, ENVOL_E_CORRUPT, "segment %llu of the log is missing",
                              (unsigned long long)i);
    return ENVOL_OK;
}

/* The run's DEK is newer than the header: so is the run, unless it says that it was before. */
static enum envol_status check_newer(const struct envol_log *log,
                                     const struct envol_log_cursor *cursor,
                                     struct envol_error *error)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    enum envol_status status =
        envol_store_read_full(cursor->store, 0, header, sizeof(header), error);

    if (status != ENVOL_OK)
        return status;
    if (envol_log_run_peek(header, &info) == ENVOL_OK && info.run <= log->run_no)
        return ENVOL_E_UNWRITTEN;
    return ENVOL_OK;
}

/* ENVOL_OK: there are records in it, or would be; ENVOL_E_UNWRITTEN: it was used before, is torn,
 * or of an older log. */
static enum envol_status look_for_records(const struct envol_log *log, uint64_t number,
                                          struct envol_log_cursor *cursor,
                                          struct envol_error *error)
{
    struct envol_store *store;
    enum envol_status status =
        envol_log_segment_open(log->space, number, ENVOL_SPACE_READ_ONLY, &store, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_log_cursor_begin(cursor, number, store, error);
    if (status == ENVOL_OK && cursor->run_no <= log->run_no)
        return ENVOL_E_UNWRITTEN;
    if (status == ENVOL_OK)
        return envol_log_cursor_batch(cursor, error);
    if (status == ENVOL_E_STALE)
        return check_newer(log, cursor, error);
    return status == ENVOL_E_CORRUPT || status == ENVOL_E_FORMAT ? ENVOL_E_UNWRITTEN : status;
}

/* A segment that the header never named has no record: one that has tells of a newer header. */
static enum envol_status check_unnamed(const struct envol_log *log, uint64_t number,
                                       struct envol_error *error)
{
    struct envol_log_cursor cursor = {.keyring = log->keyring, .has_id = true};
    enum envol_status status;

    memcpy(cursor.log_id, log->seal.log_id, sizeof(cursor.log_id));
    status = look_for_records(log, number, &cursor, error);
    envol_log_cursor_end(&cursor);
    if (status == ENVOL_OK)
        return envol_fail(error, ENVOL_E_STALE,
                          "segment %llu has records, and the volume's header, which is older, does "
                          "not know it",
                          (unsigned long long)number);
    return status == ENVOL_E_UNWRITTEN ? ENVOL_OK : status;
}

static enum envol_status check_all_unnamed(const struct envol_log *log,
                                           const struct envol_log_segments *segments,
                                           struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; i < segments->count && status == ENVOL_OK; i++)
        if (segments->numbers[i] > log->seal.newest_segment)
            status = check_unnamed(log, segments->numbers[i], error);
    return status;
}

/*
 * What a truncation that was cut short left behind goes, and what lies behind the newest segment: a
 * segment that never came into the header may hold runs of the same numbers as those to come.
 */
static enum envol_status tidy(struct envol_log *log, const struct envol_log_segments *segments,
                              struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; i < segments->count && status == ENVOL_OK; i++) {
        uint64_t number = segments->numbers[i];

        if (number < log->seal.oldest_segment || number > log->seal.newest_segment)
            status = envol_log_segment_remove(log->space, number, error);
    }
    return status;
}

/*
 * From here on a crash leaves a log that is open.  The header is written even if it says so: what
 * it says of the segments may have been read from a cache and not be on the disk, and records will
 * be promised that lie in them.
 */
static enum envol_status break_seal(struct envol_log *log, struct envol_error *error)
{
    struct envol_log_seal seal = {
        .struct_size = sizeof(seal),
        .kind = ENVOL_LOG_SEAL_OPEN,
        .lowest_epoch = log->seal.lowest_epoch,
        .oldest_segment = log->seal.oldest_segment,
        .newest_segment = log->seal.newest_segment,
        .last_run = log->run_no,
        .first_lsn = log->seal.first_lsn,
    };
    enum envol_status status;

    memcpy(seal.log_id, log->seal.log_id, sizeof(seal.log_id));
    status = envol_volume_set_log_seal(log->volume, &seal, error);
    if (status == ENVOL_OK)
        log->seal = seal;
    return status;
}

static enum envol_status open_log(struct envol_log *log, struct envol_error *error)
{
    struct envol_log_segments segments;
    enum envol_status status = envol_volume_log_seal(log->volume, &log->seal);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (log->seal.kind == ENVOL_LOG_SEAL_NONE)
        return envol_fail(error, ENVOL_E_STATE, "the volume has no log");
    status = envol_log_list(log->space, &segments, error);
    if (status != ENVOL_OK)
        return status;
    status = check_names(log, &segments, error);
    if (status == ENVOL_OK)
        status = envol_log_recover(log, error);
    if (status == ENVOL_OK)
        status = check_all_unnamed(log, &segments, error);
    if (status == ENVOL_OK)
        status = break_seal(log, error);
    if (status == ENVOL_OK)
        status = tidy(log, &segments, error);
    envol_log_segments_free(&segments);
    if (status != ENVOL_OK)
        return status;
    if (log->ended || envol_log_run_place(log->offset) >= log->segment_bytes)
        return envol_log_begin_segment(log, error);
    return envol_log_begin_run(log, error);
}

enum envol_status envol_log_open(struct envol_volume *volume, struct envol_space *space,
                                 const struct envol_log_options *options, struct envol_log **log,
                                 struct envol_error *error)
{
    struct envol_log *made;
    enum envol_status status;

    if (log == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    *log = NULL;
    status = envol_log_make(volume, space, options, &made, error);
    if (status != ENVOL_OK)
        return status;
    status = open_log(made, error);
    if (status != ENVOL_OK) {
        envol_log_free(made);
        return status;
    }
    *log = made;
    envol_error_clear(error);
    return ENVOL_OK;
}
