/* SPDX-License-Identifier: BSD-2-Clause */
/* Commits: to the log, a sync that threads share, then to memory. */
#include "store.h"

#include <stdlib.h>

/* The changes of a commit, in memory's form, and as records of the log, whose data they are. */
struct batch {
    struct entry **entries;
    struct envol_log_entry *records;
    size_t count;
};

static enum envol_status check(const struct kv *kv, const struct kv_change *changes, size_t count,
                               struct envol_error *error)
{
    if (!kv->is_writer)
        return kv_fail(error, ENVOL_E_READ_ONLY, "a snapshot does not change");
    if (count == 0 || count > KV_COMMIT_MAX)
        return kv_fail(error, ENVOL_E_RANGE, "a commit of %zu changes", count);
    for (size_t i = 0; i < count; i++) {
        if (changes[i].key.count == 0 || changes[i].key.count > KV_KEY_MAX ||
            changes[i].value.count > KV_VALUE_MAX)
            return kv_fail(error, ENVOL_E_RANGE, "a key of %zu bytes and a value of %zu",
                           changes[i].key.count, changes[i].value.count);
    }
    return ENVOL_OK;
}

static void drop(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->entries[i]);
    free(batch->entries);
    free(batch->records);
}

static enum envol_status fill(struct batch *batch, const struct kv_change *changes, size_t count,
                              struct envol_error *error)
{
    batch->entries = calloc(count, sizeof batch->entries[0]);
    batch->records = calloc(count, sizeof batch->records[0]);
    batch->count = 0;
    while (batch->entries != NULL && batch->records != NULL && batch->count < count) {
        const struct kv_change *change = &changes[batch->count];
        struct entry *entry = entry_new(change->key, change->value, 0);

        if (entry == NULL)
            break;
        batch->records[batch->count] =
            (struct envol_log_entry){.data = entry->item, .bytes = item_bytes(entry->item)};
        batch->entries[batch->count++] = entry;
    }
    return batch->count == count ? ENVOL_OK : kv_fail(error, ENVOL_E_NO_MEMORY, "a commit");
}

/* Before the log has them: afterwards nothing may fail any more. */
static enum envol_status reserve(struct kv *kv, size_t count, struct envol_error *error)
{
    enum envol_status status;

    pthread_rwlock_wrlock(&kv->state);
    status = kv->failed;
    if (status == ENVOL_OK && !list_reserve(&kv->memory, count))
        status = ENVOL_E_NO_MEMORY;
    pthread_rwlock_unlock(&kv->state);
    return status == ENVOL_OK ? ENVOL_OK : kv_fail(error, status, "the store has failed");
}

/* Appends write the batch in one go; threads that sync at a time share the sync. */
static enum envol_status log_batch(struct kv *kv, struct batch *batch, struct envol_error *error)
{
    enum envol_status status = envol_log_append_batch(kv->log, batch->records, batch->count, error);

    if (status == ENVOL_OK)
        status = envol_log_sync(kv->log, batch->records[batch->count - 1].lsn, error);
    return status;
}

/* Threads come back from a sync in any order: of two changes of a key, the log's order counts. */
static void remember(struct kv *kv, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        batch->entries[i]->number = batch->records[i].lsn;
        if (batch->records[i].lsn > kv->lsn)
            kv->lsn = batch->records[i].lsn;
        list_put(&kv->memory, batch->entries[i]);
    }
    batch->count = 0; /* memory has them now */
}

static enum envol_status commit(struct kv *kv, struct batch *batch, struct envol_error *error)
{
    enum envol_status status = reserve(kv, batch->count, error);

    if (status != ENVOL_OK)
        return status;
    status = log_batch(kv, batch, error);
    pthread_rwlock_wrlock(&kv->state);
    if (status == ENVOL_OK)
        remember(kv, batch);
    else
        kv->memory.reserved -= batch->count;
    pthread_rwlock_unlock(&kv->state);
    return status;
}

static bool is_full(struct kv *kv)
{
    bool full;

    pthread_rwlock_rdlock(&kv->state);
    full = kv->memory.count >= MEMORY_ITEMS || kv->memory.bytes >= MEMORY_BYTES;
    pthread_rwlock_unlock(&kv->state);
    return full;
}

/* Before a commit, so that a failure of it is one of a commit of which nothing is kept. */
static enum envol_status make_room(struct kv *kv, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (!is_full(kv))
        return ENVOL_OK;
    pthread_rwlock_wrlock(&kv->gate);
    if (is_full(kv)) /* no other thread did it meanwhile */
        status = kv->failed == ENVOL_OK ? flush(kv, error)
                                        : kv_fail(error, kv->failed, "the store has failed");
    pthread_rwlock_unlock(&kv->gate);
    return status;
}

enum envol_status kv_commit(struct kv *kv, const struct kv_change *changes, size_t count,
                            struct envol_error *error)
{
    struct batch batch = {.count = 0};
    enum envol_status status = check(kv, changes, count, error);

    if (status == ENVOL_OK)
        status = check_light(kv, error);
    if (status == ENVOL_OK)
        status = make_room(kv, error);
    if (status == ENVOL_OK)
        status = fill(&batch, changes, count, error);
    if (status == ENVOL_OK) {
        pthread_rwlock_rdlock(&kv->gate);
        status = commit(kv, &batch, error);
        pthread_rwlock_unlock(&kv->gate);
    }
    drop(&batch);
    return status;
}
