/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealing XTS records again.  Nothing in a record tells its epoch, and one that is torn between two
 * is lost.  So a run goes over to the new one like this, each line on stable storage before the
 * next begins (envol(5), ROTATION):
 *
 *     journal   the new records, sealed, beyond the end of the pages
 *     header    the run, and the journal's commitment
 *     pages     the new records
 *     header    the run is done
 *
 * A crash after the first header leaves a run that is written again from the journal.  Growth is
 * held off meanwhile, as the journal is where it would go.
 *
 * Writers of these pages wait until all of that is done.  Readers do not: nothing in a record tells
 * whether it is a mixture, so from before the journal until the run is done they are given the new
 * records from memory, and nobody reads the store where it is written.
 */
#include "base/error.h"
#include "base/memory.h"
#include "volume/area.h"
#include "volume/journal.h"
#include "volume/rotation.h"

#include <string.h>

/* The run that goes over. */
struct move {
    struct envol_volume *volume;
    struct envol_volume_lane *lane;
    uint64_t first;
    size_t n, bytes;
    uint8_t *records; /* bytes */
    uint8_t *journal; /* envol_journal_bytes(bytes) */
    struct envol_error *error;
};

enum envol_status envol_sweep_lock_readers(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status;

    if (volume->sweep.has_readers)
        return ENVOL_OK;
    status = envol_store_lock(volume->store, ENVOL_LOCK_READERS, ENVOL_LOCK_EXCLUSIVE, 0, error);
    volume->sweep.has_readers = status == ENVOL_OK;
    if (status == ENVOL_E_BUSY)
        envol_fail(error, status, "readers have the volume open");
    return status;
}

void envol_sweep_unlock_readers(struct envol_volume *volume)
{
    if (!volume->sweep.has_readers)
        return;
    (void)envol_store_lock(volume->store, ENVOL_LOCK_READERS, ENVOL_LOCK_NONE, 0, NULL);
    volume->sweep.has_readers = false;
}

static struct envol_journal_run run_of(const struct envol_volume *volume, uint64_t first,
                                       uint64_t count)
{
    return (struct envol_journal_run){.from_epoch = volume->header->rotation.from_epoch,
                                      .epoch = volume->header->epoch,
                                      .first = first,
                                      .count = count};
}

/* --- Sealing again, in place --- */

static bool is_hole(const struct envol_volume *volume, const uint8_t *record)
{
    return volume->sparse && envol_is_zero(record, volume->stride_bytes);
}

static enum envol_status seal_some(struct move *move, size_t from, size_t n)
{
    struct envol_volume *volume = move->volume;
    struct envol_page_op ops[ENVOL_RUN_MAX];
    size_t count = 0;
    enum envol_status status;

    for (size_t i = from; i < from + n; i++) {
        uint8_t *record = move->records + i * volume->stride_bytes;
        if (!is_hole(volume, record))
            ops[count++] = (struct envol_page_op){
                .page_no = move->first + i, .page = record, .record = record};
    }
    status = envol_page_unseal_batch(volume->object, move->lane->lane, ops, count);
    if (status == ENVOL_OK)
        status = envol_page_seal_batch(volume->sweep.swept, move->lane->lane, ops, count);
    return status;
}

static enum envol_status seal_again(struct move *move)
{
    enum envol_status status = ENVOL_OK;
    size_t n;

    for (size_t i = 0; status == ENVOL_OK && i < move->n; i += n) {
        n = move->n - i < ENVOL_RUN_MAX ? move->n - i : ENVOL_RUN_MAX;
        status = seal_some(move, i, n);
    }
    if (status == ENVOL_OK)
        return status;
    envol_wipe(move->records, move->bytes);
    return envol_fail(move->error, status, NULL);
}

/* What cannot be read cannot go over, and would be read under the wrong epoch behind the sweep. */
static enum envol_status read_old(struct move *move)
{
    struct envol_volume *volume = move->volume;
    size_t stride = volume->stride_bytes;
    enum envol_status status =
        envol_store_read_full(volume->store, envol_volume_offset(volume, move->first),
                              move->records, move->bytes, move->error);

    for (size_t i = 0; status != ENVOL_OK && i < move->n; i++) {
        enum envol_status one =
            envol_store_read_full(volume->store, envol_volume_offset(volume, move->first + i),
                                  move->records + i * stride, stride, move->error);
        if (one == ENVOL_OK)
            continue;
        envol_error_set_page(move->error, move->first + i);
        return one;
    }
    return ENVOL_OK;
}

/* --- The four lines --- */

static enum envol_status write_journal(struct move *move, uint64_t journal_page)
{
    struct envol_volume *volume = move->volume;
    enum envol_status status =
        envol_store_write(volume->store, envol_volume_offset(volume, journal_page), move->journal,
                          envol_journal_bytes(move->bytes), move->error);

    return status == ENVOL_OK ? envol_volume_flush(volume, move->error) : status;
}

static enum envol_status commit(struct move *move, const struct envol_rotation_record *record)
{
    struct envol_volume *volume = move->volume;

    volume->header->rotation = *record;
    return envol_volume_commit(volume, volume->mark, volume->clean, move->error);
}

/* A hole stays one: zeros are there. */
static enum envol_status write_new(struct move *move)
{
    struct envol_volume *volume = move->volume;
    size_t stride = volume->stride_bytes, n;
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < move->n; i += n) {
        for (n = 0; i + n < move->n && !is_hole(volume, move->records + (i + n) * stride); n++)
            ;
        if (n > 0)
            status = envol_store_write(volume->store, envol_volume_offset(volume, move->first + i),
                                       move->records + i * stride, n * stride, move->error);
        n = n > 0 ? n : 1;
    }
    return status == ENVOL_OK ? envol_volume_flush(volume, move->error) : status;
}

/* The last two lines; of what a crash or a failure left half-way, too. */
static enum envol_status complete(struct move *move)
{
    struct envol_volume *volume = move->volume;
    struct envol_rotation_record record = volume->header->rotation;
    enum envol_status status = write_new(move);

    if (status != ENVOL_OK)
        return status;
    record.next_page = move->first + move->n;
    record.hot_first = record.hot_count = 0;
    memset(record.commitment, 0, sizeof(record.commitment));
    return commit(move, &record);
}

/* Holds growth.  *begun: the pages may have gone over in part. */
static enum envol_status go_over(struct move *move, bool *begun)
{
    struct envol_volume *volume = move->volume;
    struct envol_rotation_record before = volume->header->rotation, record = before;
    struct envol_journal_run run = run_of(volume, move->first, move->n);
    enum envol_status status;

    record.pages = record.journal_page = atomic_load(&volume->pages);
    record.hot_first = move->first;
    record.hot_count = move->n;
    status = envol_journal_seal(volume->keyring, &run, move->records, move->bytes, move->journal,
                                record.commitment);
    if (status != ENVOL_OK)
        return envol_fail(move->error, status, NULL);
    status = write_journal(move, record.journal_page);
    if (status != ENVOL_OK)
        return status;
    *begun = true;
    status = commit(move, &record);
    if (status == ENVOL_OK)
        return complete(move);
    /* No page was touched, and none is written before the next update says so. */
    volume->header->rotation = before;
    return status;
}

/* --- A step --- */

static bool get_memory(struct move *move)
{
    move->records =
        envol_sweep_memory(move->volume, move->bytes + envol_journal_bytes(move->bytes));
    move->journal = move->records + move->bytes;
    return move->records != NULL;
}

static enum envol_status move_claimed(struct move *move, bool *begun)
{
    enum envol_status status = read_old(move);

    if (status == ENVOL_OK)
        status = seal_again(move);
    if (status != ENVOL_OK)
        return status;
    envol_hot_serve(&move->volume->sweep.hot, move->records);
    pthread_mutex_lock(&move->volume->growth);
    status = go_over(move, begun);
    if (status == ENVOL_OK)
        atomic_store_explicit(&move->volume->sweep.next, move->first + move->n,
                              memory_order_release);
    pthread_mutex_unlock(&move->volume->growth);
    return status;
}

/* All pages went over: those to come are of the new epoch, once nobody is at one of the old. */
static enum envol_status end_sweep(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_sweep *sweep = &volume->sweep;
    uint64_t next = atomic_load(&sweep->next);
    enum envol_status status = ENVOL_OK;

    envol_hot_claim(&sweep->hot, next, UINT64_MAX);
    pthread_mutex_lock(&volume->growth);
    if (next == atomic_load(&volume->pages)) {
        status = envol_volume_flush(volume, error);
        if (status == ENVOL_OK && envol_rotation_note_end(volume, next))
            status = envol_volume_commit(volume, volume->mark, volume->clean, error);
        if (status == ENVOL_OK)
            atomic_store(&sweep->next, ENVOL_SWEEP_DONE);
    }
    pthread_mutex_unlock(&volume->growth);
    envol_hot_release(&sweep->hot);
    return status;
}

static enum envol_status move_next(struct envol_volume *volume, struct envol_volume_lane *lane,
                                   uint64_t max, uint64_t *visited, struct envol_error *error)
{
    struct envol_sweep *sweep = &volume->sweep;
    uint64_t end = atomic_load(&volume->pages), most = ENVOL_SWEEP_BYTES / volume->stride_bytes;
    struct move move = {
        .volume = volume, .lane = lane, .first = atomic_load(&sweep->next), .error = error};
    bool begun = false;
    enum envol_status status;

    most = most > 0 ? most : 1;
    max = max < most ? max : most;
    move.n = (size_t)(end - move.first < max ? end - move.first : max);
    move.bytes = move.n * volume->stride_bytes;
    if (!get_memory(&move))
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    envol_hot_claim_writes(&sweep->hot, move.first, move.first + move.n);
    /* A replay would bring back these pages as they were under the old DEK. */
    status = envol_area_retire(volume, error);
    if (status == ENVOL_OK)
        status = move_claimed(&move, &begun);
    if (status != ENVOL_OK && begun)
        envol_hot_keep(&sweep->hot);
    else
        envol_hot_release(&sweep->hot);
    if (status == ENVOL_OK)
        *visited = move.n;
    return status;
}

/* --- Half-way --- */

static bool is_sound(const struct envol_volume *volume)
{
    const struct envol_rotation_record *record = &volume->header->rotation;
    uint64_t most = ENVOL_SWEEP_BYTES / volume->stride_bytes;

    return record->hot_count <= (most > 0 ? most : 1) && record->journal_page <= volume->page_max;
}

static enum envol_status read_journal(struct move *move)
{
    struct envol_volume *volume = move->volume;
    const struct envol_rotation_record *record = &volume->header->rotation;
    struct envol_journal_run run = run_of(volume, move->first, move->n);
    size_t got;
    enum envol_status status =
        envol_store_read(volume->store, envol_volume_offset(volume, record->journal_page),
                         move->journal, envol_journal_bytes(move->bytes), &got, move->error);

    if (status != ENVOL_OK)
        return status;
    status = envol_journal_open(volume->keyring, &run, move->journal, record->commitment,
                                move->records, move->bytes);
    if (status == ENVOL_E_CORRUPT)
        return envol_fail(move->error, status,
                          "the journal of the rotation is not the one that the header names");
    return status == ENVOL_OK ? status : envol_fail(move->error, status, NULL);
}

/* Growth, or access alone. */
static enum envol_status redo(struct envol_volume *volume, struct envol_error *error)
{
    const struct envol_rotation_record *record = &volume->header->rotation;
    struct move move = {.volume = volume,
                        .first = record->hot_first,
                        .n = (size_t)record->hot_count,
                        .error = error};
    enum envol_status status;

    if (!is_sound(volume))
        return envol_fail(error, ENVOL_E_CORRUPT, "the rotation's run is out of bounds");
    move.bytes = move.n * volume->stride_bytes;
    if (!get_memory(&move))
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = read_journal(&move);
    if (status == ENVOL_OK)
        status = complete(&move);
    if (status != ENVOL_OK)
        return status;
    atomic_store(&volume->sweep.next, move.first + move.n);
    status = envol_sweep_open_object(volume);
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

enum envol_status envol_sweep_redo(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (volume->header->rotation.hot_count > 0)
        status = redo(volume, error);
    /* Journals, and pages that nobody synced. */
    return status == ENVOL_OK ? envol_volume_cut_store(volume, error) : status;
}

/* A run that a failure left half-way goes first: nobody else is let at it.  The header, which was
 * written again since if it had to be, says whether it went over. */
static enum envol_status settle(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_sweep *sweep = &volume->sweep;
    enum envol_status status = ENVOL_OK;

    if (!sweep->hot.stuck)
        return status;
    pthread_mutex_lock(&volume->growth);
    if (volume->header->rotation.hot_count > 0)
        status = redo(volume, error);
    else
        atomic_store(&sweep->next, volume->header->rotation.next_page);
    pthread_mutex_unlock(&volume->growth);
    if (status == ENVOL_OK)
        envol_hot_release(&sweep->hot);
    return status;
}

enum envol_status envol_sweep_xts(struct envol_volume *volume, struct envol_volume_lane *lane,
                                  uint64_t max, uint64_t *visited, struct envol_error *error)
{
    struct envol_sweep *sweep = &volume->sweep;
    enum envol_status status = envol_sweep_lock_readers(volume, error);

    if (status == ENVOL_OK)
        status = settle(volume, error);
    if (status != ENVOL_OK || atomic_load(&sweep->next) == ENVOL_SWEEP_DONE)
        return status;
    if (atomic_load(&sweep->next) < atomic_load(&volume->pages))
        status = move_next(volume, lane, max, visited, error);
    if (status == ENVOL_OK && atomic_load(&sweep->next) == atomic_load(&volume->pages))
        status = end_sweep(volume, error);
    return status;
}
