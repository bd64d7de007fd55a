/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeping records before they are overwritten (snapshot.h).
 *
 * One thread at a time is `busy`: it takes what the others wait for along, reads the chunks, and
 * appends them to each file that lacks them, with one sync for each.  Everybody then looks again
 * whether all that it is to overwrite is kept; a failure so is met by each of them by itself.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "volume/snapshot.h"

#include <string.h>

/* Chunks that a thread is to overwrite; on its stack. */
struct envol_preserve_request {
    struct envol_preserve_request *next;
    uint64_t first, end; /* first moves on past those that are kept */
};

/* What whoever is busy is at. */
struct work {
    struct envol_volume *volume;
    uint32_t chunk_pages;
    size_t chunk_bytes;
    uint32_t count;
    uint64_t chunk[ENVOL_ENTRY_CHUNKS]; /* numbers */
    uint64_t n[ENVOL_ENTRY_CHUNKS];     /* how many records of each are read */
    uint8_t *records;                   /* of all of them */
    uint8_t *entry;
    struct envol_error *error;
};

/* Whether the snapshot has no records of a chunk of its own. */
static bool lacks(const struct envol_snapshot *snapshot, uint64_t chunk)
{
    return chunk < (snapshot->record.pages + snapshot->chunk_pages - 1) / snapshot->chunk_pages &&
           envol_chunks_find(&snapshot->chunks, chunk) == 0;
}

/* A snapshot's records of a chunk: the last one is short. */
static uint64_t records_of(const struct envol_snapshot *snapshot, uint64_t chunk)
{
    uint64_t left = snapshot->record.pages - chunk * snapshot->chunk_pages;

    return left < snapshot->chunk_pages ? left : snapshot->chunk_pages;
}

/* How many records of a chunk are to be kept; 0: all are. */
static uint64_t lacking(const struct envol_snapshots *set, uint64_t chunk)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct envol_snapshot *snapshot = set->snapshot[i];
        if (lacks(snapshot, chunk) && records_of(snapshot, chunk) > most)
            most = records_of(snapshot, chunk);
    }
    return most;
}

/* --- By the busy thread, without the lock --- */

/* As they are in the volume: nobody writes there before they are kept.  What cannot be read cannot
 * be kept, and stays as it is. */
static enum envol_status read_chunks(struct work *work)
{
    struct envol_volume *volume = work->volume;
    enum envol_status status = ENVOL_OK;

    for (uint32_t i = 0; status == ENVOL_OK && i < work->count; i++) {
        uint64_t first = work->chunk[i] * work->chunk_pages;
        status = envol_store_read_full(volume->store, envol_volume_offset(volume, first),
                                       work->records + i * work->chunk_bytes,
                                       (size_t)work->n[i] * volume->stride_bytes, work->error);
        if (status == ENVOL_E_TRUNCATED)
            status = envol_fail(work->error, ENVOL_E_IO,
                                "the store ends within records that a snapshot needs");
        if (status != ENVOL_OK)
            envol_error_set_page(work->error, first);
    }
    return status;
}

/* The chunks that a snapshot lacks: extents, then their records; how many.  Nobody else changes
 * its index meanwhile. */
static uint32_t fill_entry(const struct work *work, const struct envol_snapshot *snapshot,
                           uint64_t *bytes)
{
    uint8_t *extents = work->entry + ENVOL_CHAIN_HEAD_BYTES, *at;
    uint32_t count = 0;

    for (uint32_t i = 0; i < work->count; i++)
        count += lacks(snapshot, work->chunk[i]);
    at = extents + (size_t)count * ENVOL_EXTENT_BYTES;
    count = 0;
    for (uint32_t i = 0; i < work->count; i++) {
        uint64_t n;
        if (!lacks(snapshot, work->chunk[i]))
            continue;
        n = records_of(snapshot, work->chunk[i]);
        envol_store64(extents, work->chunk[i] * work->chunk_pages);
        envol_store32(extents + 8, (uint32_t)n);
        envol_store32(extents + 12, 0);
        extents += ENVOL_EXTENT_BYTES;
        memcpy(at, work->records + i * work->chunk_bytes, (size_t)n * snapshot->stride_bytes);
        at += n * snapshot->stride_bytes;
        count++;
    }
    *bytes = (uint64_t)(at - work->entry) - ENVOL_CHAIN_HEAD_BYTES;
    return count;
}

static void name_failure(const struct envol_snapshot *snapshot, enum envol_status status,
                         const struct envol_error *details, struct envol_error *error)
{
    char name[ENVOL_SNAPSHOT_NAME_BYTES];

    envol_snapshot_name(snapshot->record.uuid, name);
    envol_fail(error, status, "what %s needs could not be kept: %s", name, details->message);
    envol_error_set_errno(error, details->os_errno);
}

static enum envol_status append(struct work *work, struct envol_snapshot *snapshot)
{
    struct envol_snapshots *set = work->volume->snapshots;
    struct envol_error details = ENVOL_ERROR_INIT;
    uint64_t bytes, at = snapshot->chain.end + ENVOL_CHAIN_HEAD_BYTES;
    uint32_t count;
    enum envol_status status;

    count = fill_entry(work, snapshot, &bytes);
    if (count == 0)
        return ENVOL_OK;
    status = envol_chain_append(&snapshot->chain, ENVOL_SNAPSHOT_CHUNKS, snapshot->record.epoch,
                                work->entry, bytes, count * ENVOL_EXTENT_BYTES, &details);
    if (status != ENVOL_OK) {
        name_failure(snapshot, status, &details, work->error);
        return status;
    }
    pthread_mutex_lock(&set->lock);
    envol_snapshot_put(snapshot, work->entry + ENVOL_CHAIN_HEAD_BYTES, count,
                       at + (uint64_t)count * ENVOL_EXTENT_BYTES);
    snapshot->entries = snapshot->chain.entries;
    snapshot->bytes = snapshot->chain.end;
    pthread_mutex_unlock(&set->lock);
    return ENVOL_OK;
}

/* One buffer for records and entry, kept for the next time. */
static bool get_memory(struct work *work)
{
    struct envol_snapshots *set = work->volume->snapshots;
    size_t records = work->count * work->chunk_bytes;
    size_t bytes = 2 * records + ENVOL_CHAIN_HEAD_BYTES + ENVOL_CHAIN_ALIGN +
                   ENVOL_ENTRY_CHUNKS * ENVOL_EXTENT_BYTES;

    if (set->buffer_bytes < bytes) {
        envol_free(set->buffer);
        set->buffer = envol_alloc(bytes, ENVOL_BUFFER_ALIGN);
        set->buffer_bytes = set->buffer != NULL ? bytes : 0;
    }
    work->records = set->buffer;
    work->entry = set->buffer + records;
    return set->buffer != NULL;
}

static enum envol_status keep(struct work *work)
{
    struct envol_snapshots *set = work->volume->snapshots;
    enum envol_status status;

    if (!get_memory(work))
        return envol_fail(work->error, ENVOL_E_NO_MEMORY, NULL);
    status = read_chunks(work);
    for (uint32_t i = 0; status == ENVOL_OK && i < set->count; i++)
        status = append(work, set->snapshot[i]);
    return status;
}

/* --- By any thread, with the lock --- */

static bool is_taken(const struct work *work, uint64_t chunk)
{
    for (uint32_t i = 0; i < work->count; i++)
        if (work->chunk[i] == chunk)
            return true;
    return false;
}

static void take(struct work *work, uint64_t chunk, uint64_t n)
{
    work->n[work->count] = n;
    work->chunk[work->count++] = chunk;
}

/* The thread's own first, then what others wait for. */
static void take_chunks(struct work *work, const struct envol_snapshots *set,
                        const struct envol_preserve_request *own)
{
    uint32_t most = ENVOL_ENTRY_CHUNKS;
    uint64_t n;

    if (ENVOL_ENTRY_BYTES / work->chunk_bytes < most)
        most = (uint32_t)(ENVOL_ENTRY_BYTES / work->chunk_bytes);
    most = most > 0 ? most : 1;
    for (uint64_t chunk = own->first; chunk < own->end && work->count < most; chunk++)
        if ((n = lacking(set, chunk)) > 0)
            take(work, chunk, n);
    for (const struct envol_preserve_request *r = set->queue; r != NULL; r = r->next)
        for (uint64_t chunk = r->first; chunk < r->end && work->count < most; chunk++)
            if (!is_taken(work, chunk) && (n = lacking(set, chunk)) > 0)
                take(work, chunk, n);
}

/* What is noted once it is durable cannot fail for want of memory. */
static bool reserve(struct envol_snapshots *set, uint32_t count)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (!envol_chunks_reserve(&set->snapshot[i]->chunks, count))
            return false;
    return true;
}

static enum envol_status lead(struct envol_volume *volume, const struct envol_preserve_request *own,
                              struct envol_error *error)
{
    struct envol_snapshots *set = volume->snapshots;
    struct work work = {.volume = volume,
                        .chunk_pages = set->snapshot[0]->chunk_pages,
                        .chunk_bytes = (size_t)set->snapshot[0]->chunk_pages * volume->stride_bytes,
                        .error = error};
    enum envol_status status;

    take_chunks(&work, set, own);
    if (!reserve(set, work.count))
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    set->busy = true;
    pthread_mutex_unlock(&set->lock);
    status = keep(&work);
    pthread_mutex_lock(&set->lock);
    set->busy = false;
    pthread_cond_broadcast(&set->changed);
    return status;
}

static void queue(struct envol_snapshots *set, struct envol_preserve_request *request)
{
    request->next = set->queue;
    set->queue = request;
}

static void unqueue(struct envol_snapshots *set, struct envol_preserve_request *request)
{
    struct envol_preserve_request **at = &set->queue;

    while (*at != request)
        at = &(*at)->next;
    *at = request->next;
}

enum envol_status envol_volume_preserve_first(struct envol_volume *volume, uint64_t first,
                                              uint64_t n, struct envol_error *error)
{
    struct envol_snapshots *set = volume->snapshots;
    uint64_t pages = atomic_load(&volume->preserved_end), chunk_pages;
    struct envol_preserve_request request;
    enum envol_status status = ENVOL_OK;

    /* Its parent would know nothing of it, and may hold the lock. */
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED,
                          "a forked child cannot change pages that snapshots may need");
    if (n == 0)
        return ENVOL_OK;
    chunk_pages = set->snapshot[0]->chunk_pages;
    request.first = first / chunk_pages;
    request.end = ((n < pages - first ? first + n : pages) - 1) / chunk_pages + 1;
    pthread_mutex_lock(&set->lock);
    queue(set, &request);
    while (status == ENVOL_OK) {
        while (request.first < request.end && lacking(set, request.first) == 0)
            request.first++;
        if (request.first == request.end)
            break;
        if (set->busy)
            pthread_cond_wait(&set->changed, &set->lock);
        else
            status = lead(volume, &request, error);
    }
    unqueue(set, &request);
    pthread_mutex_unlock(&set->lock);
    return status;
}
