/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes: log, sync, pages, now and then a checkpoint.  One lock for all of it, which keeps this
 * short; envol_log_sync lets threads share one sync if an engine wants more of them at a time.
 */
#include "common/bytes.h"
#include "engine.h"
#include "say.h"

#include <string.h>
#include <time.h>

/* Records after which a checkpoint comes without being asked for. */
enum { CHECKPOINT_RECORDS = 256 };

void record_fill(uint8_t record[RECORD_BYTES], uint64_t page_no, const void *bytes, size_t count)
{
    memset(record, 0, RECORD_BYTES);
    store(record, RECORD_HEAD, page_no);
    memcpy(record + RECORD_HEAD, bytes, count < PAGE_BYTES ? count : PAGE_BYTES);
}

/* Nothing is in the log that an open could not repeat. */
static enum envol_status check_entries(const struct engine *engine,
                                       const struct envol_log_entry *entries, size_t count,
                                       struct envol_error *error)
{
    if (count == 0 || count > PUT_MAX)
        return fail(error, ENVOL_E_RANGE, "a put of %zu records", count);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].bytes != RECORD_BYTES || load(entries[i].data, RECORD_HEAD) >= PAGES_MAX)
            return fail(error, ENVOL_E_RANGE, "what is to be put is no record");
        if (entries[i].lsn != 0 && entries[i].lsn != engine->lsn + 1 + i)
            return fail(error, ENVOL_E_STATE, "LSN %llu does not follow %llu",
                        (unsigned long long)entries[i].lsn, (unsigned long long)engine->lsn + i);
    }
    return ENVOL_OK;
}

static enum envol_status write_pages(struct engine *engine, const struct envol_log_entry *entries,
                                     size_t count, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < count; i++) {
        const uint8_t *bytes = entries[i].data;
        uint64_t page_no = load(bytes, RECORD_HEAD);

        status = envol_page_write(engine->volume, CONTROL_PAGES + page_no, bytes + RECORD_HEAD);
        if (status != ENVOL_OK)
            status = fail(error, status, "page %llu", (unsigned long long)page_no);
    }
    return status;
}

static enum envol_status log_and_write(struct engine *engine, struct envol_log_entry *entries,
                                       size_t count, struct envol_error *error)
{
    enum envol_status status;

    /* A new log begins where its volume's history is, not at 1: so LSNs are given, always. */
    for (size_t i = 0; i < count; i++)
        entries[i].lsn = engine->lsn + 1 + i;
    status = envol_log_append_batch(engine->log, entries, count, error);
    if (status == ENVOL_OK)
        status = envol_log_sync(engine->log, entries[count - 1].lsn, error);
    if (status == ENVOL_OK)
        status = write_pages(engine, entries, count, error);
    if (status == ENVOL_OK)
        engine->lsn += count;
    return status;
}

/* --- checkpoint ---*/

/* The oldest record that is still needed: by the next open, by followers, by the user's wish. */
static uint64_t first_needed(const struct engine *engine)
{
    uint64_t lsn = engine->control.lsn + 1;

    for (size_t i = 0; i < FOLLOWERS_MAX; i++) {
        if (engine->needed[i] != 0 && engine->needed[i] < lsn)
            lsn = engine->needed[i];
    }
    if (engine->lsn + 1 - lsn < engine->keep)
        lsn = engine->lsn + 1 > engine->keep ? engine->lsn + 1 - engine->keep : 0;
    return lsn;
}

static enum envol_status checkpoint(struct engine *engine, struct envol_error *error)
{
    struct control control = engine->control;
    enum envol_status status = envol_volume_sync(engine->volume);

    control.lsn = engine->lsn;
    if (status != ENVOL_OK)
        return fail(error, status, "syncing the pages");
    status = control_write(engine->volume, &control, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_volume_sync(engine->volume);
    if (status != ENVOL_OK)
        return fail(error, status, "syncing the control page");
    engine->control = control;
    return envol_log_truncate(engine->log, first_needed(engine), error);
}

static enum envol_status enter(struct engine *engine, struct envol_error *error)
{
    pthread_mutex_lock(&engine->lock);
    return engine->failed == ENVOL_OK ? ENVOL_OK
                                      : fail(error, engine->failed, "the engine has failed");
}

/* A failure in the middle leaves log and pages to be brought together by the next open. */
static enum envol_status leave(struct engine *engine, enum envol_status status)
{
    if (engine->failed == ENVOL_OK)
        engine->failed = status;
    pthread_cond_broadcast(&engine->moved);
    pthread_mutex_unlock(&engine->lock);
    return status;
}

enum envol_status engine_put(struct engine *engine, struct envol_log_entry *entries, size_t count,
                             struct envol_error *error)
{
    enum envol_status status = enter(engine, error);

    if (status != ENVOL_OK)
        return leave(engine, status);
    status = check_entries(engine, entries, count, error);
    if (status != ENVOL_OK) {
        (void)leave(engine, ENVOL_OK); /* nothing was done yet */
        return status;
    }
    status = log_and_write(engine, entries, count, error);
    if (status == ENVOL_OK && engine->lsn - engine->control.lsn >= CHECKPOINT_RECORDS)
        status = checkpoint(engine, error);
    return leave(engine, status);
}

enum envol_status batch_add(struct batch *batch, uint64_t lsn, const void *data, size_t bytes,
                            struct envol_error *error)
{
    uint8_t *record = batch->records[batch->count];

    if (bytes != RECORD_BYTES || lsn == 0)
        return fail(error, ENVOL_E_RANGE, "what came is no record");
    memcpy(record, data, bytes);
    batch->entries[batch->count++] = (struct envol_log_entry){lsn, record, bytes};
    return ENVOL_OK;
}

enum envol_status batch_put(struct batch *batch, struct engine *engine, struct envol_error *error)
{
    size_t count = batch->count;

    batch->count = 0;
    return count > 0 ? engine_put(engine, batch->entries, count, error) : ENVOL_OK;
}

enum envol_status engine_checkpoint(struct engine *engine, struct envol_error *error)
{
    enum envol_status status = enter(engine, error);

    if (status == ENVOL_OK)
        status = checkpoint(engine, error);
    return leave(engine, status);
}

enum envol_status engine_idle(struct engine *engine, struct envol_error *error)
{
    enum envol_status status = enter(engine, error);

    if (status == ENVOL_OK && engine->lsn == engine->idle_lsn && engine->lsn != engine->control.lsn)
        status = checkpoint(engine, error);
    engine->idle_lsn = engine->lsn;
    return leave(engine, status);
}

/* --- what others wait for ---*/

enum envol_status engine_status(struct engine *engine)
{
    enum envol_status status;

    pthread_mutex_lock(&engine->lock);
    status = engine->failed;
    pthread_mutex_unlock(&engine->lock);
    return status == ENVOL_OK && engine->is_dark ? ENVOL_E_KEY_REVOKED : status;
}

uint64_t engine_wait(struct engine *engine, uint64_t lsn, unsigned wait_ms)
{
    struct timespec until;
    uint64_t last;
    int waited = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)wait_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&engine->lock);
    while (waited == 0 && engine->lsn <= lsn && engine->failed == ENVOL_OK)
        waited = pthread_cond_timedwait(&engine->moved, &engine->lock, &until);
    last = engine->lsn;
    pthread_mutex_unlock(&engine->lock);
    return last;
}

/* --- followers ---*/

bool engine_knows(struct engine *engine, const uint8_t history[HISTORY_BYTES], uint64_t lsn)
{
    bool knows;

    pthread_mutex_lock(&engine->lock);
    knows = memcmp(engine->control.history, history, HISTORY_BYTES) == 0 && lsn <= engine->lsn;
    pthread_mutex_unlock(&engine->lock);
    return knows;
}

enum envol_status engine_hold(struct engine *engine, uint64_t lsn, unsigned *slot)
{
    enum envol_status status = ENVOL_E_BUSY;

    pthread_mutex_lock(&engine->lock);
    for (unsigned i = 0; status != ENVOL_OK && i < FOLLOWERS_MAX; i++) {
        if (engine->needed[i] == 0) {
            engine->needed[i] = lsn;
            *slot = i;
            status = ENVOL_OK;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return status;
}

void engine_hold_move(struct engine *engine, unsigned slot, uint64_t lsn)
{
    pthread_mutex_lock(&engine->lock);
    engine->needed[slot] = lsn;
    pthread_mutex_unlock(&engine->lock);
}

void engine_hold_drop(struct engine *engine, unsigned slot)
{
    engine_hold_move(engine, slot, 0);
}

/* The pages of the snapshot say themselves, in a control page, at which LSN they are. */
enum envol_status engine_snapshot(struct engine *engine, unsigned slot, uint64_t *lsn,
                                  uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error)
{
    enum envol_status made = ENVOL_OK, status = enter(engine, error);

    if (status == ENVOL_OK)
        status = checkpoint(engine, error);
    if (status == ENVOL_OK) {
        *lsn = engine->lsn;
        engine->needed[slot] = engine->lsn + 1;
        made = envol_snapshot_create(engine->volume, NULL, uuid, error);
    }
    (void)leave(engine, status);
    return status == ENVOL_OK ? made : status;
}
