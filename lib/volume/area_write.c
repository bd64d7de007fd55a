/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages through the double-write area: slot, sync, home.
 *
 * One thread at a time is `busy`: it takes what is queued, fills the next slot and syncs, which
 * makes what was written home before durable as well.  Then each thread writes its own pages home.
 * Pages that are on their way home from one slot go into no later one before they are there, so
 * that an older content never overtakes a newer one.  A slot is filled again when its pages are at
 * home and synced.
 */
#include "base/crc32c.h"
#include "base/error.h"
#include "base/memory.h"
#include "volume/area.h"

/* What a thread wants written; lives on its stack. */
struct envol_area_request {
    struct envol_area_request *next;
    struct envol_extent extent;
    const uint8_t *records; /* NULL: zeros */
    bool done;
    uint32_t slot; /* that it went to */
    enum envol_status status;
    struct envol_error details;
};

static void begin(struct envol_area *area)
{
    pthread_mutex_lock(&area->lock);
    while (area->busy)
        pthread_cond_wait(&area->change, &area->lock);
    area->busy = true;
}

static void end(struct envol_area *area)
{
    area->busy = false;
    pthread_cond_broadcast(&area->change);
    pthread_mutex_unlock(&area->lock);
}

/* --- By the busy thread, which holds the lock but for I/O --- */

static enum envol_status sync_area(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_area *area = volume->area;
    uint64_t number = ++area->syncs_begun;
    enum envol_status status;

    pthread_mutex_unlock(&area->lock);
    status = envol_volume_flush(volume, error);
    pthread_mutex_lock(&area->lock);
    if (status == ENVOL_OK)
        area->syncs_done = number;
    return status;
}

static void await_home(struct envol_area *area, const struct envol_area_slot *slot)
{
    while (slot->homeward > 0)
        pthread_cond_wait(&area->change, &area->lock);
}

static enum envol_status redo_records(struct envol_volume *volume, uint32_t index, uint8_t *buffer,
                                      struct envol_error *error)
{
    const struct envol_area_slot *slot = &volume->area->slot[index];
    size_t bytes = envol_area_bytes(volume, slot);
    const uint8_t *records = buffer + ENVOL_AREA_HEAD_BYTES;
    enum envol_status status =
        envol_store_read_full(volume->store, envol_area_offset(volume->area, index), buffer,
                              ENVOL_AREA_HEAD_BYTES + bytes, error);

    if (status == ENVOL_OK && !envol_area_is_whole(buffer, bytes))
        status = envol_fail(error, ENVOL_E_CORRUPT,
                            "the double-write area does not hold what was written to it");
    for (uint32_t i = 0; status == ENVOL_OK && i < slot->extents; i++) {
        bytes = (size_t)slot->extent[i].count * volume->stride_bytes;
        status =
            envol_store_write(volume->store, envol_volume_offset(volume, slot->extent[i].first),
                              records, bytes, error);
        records += bytes;
    }
    return status;
}

static enum envol_status redo_zeros(struct envol_volume *volume, const struct envol_extent *extent,
                                    struct envol_error *error)
{
    struct envol_volume_lane *lane;
    enum envol_status status = envol_volume_lane_take(volume, &lane);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_discard(volume, lane, extent->first, extent->count, error);
    envol_volume_lane_give(volume, lane);
    return status;
}

/* All of the slot: nothing newer of its pages was let by meanwhile. */
static enum envol_status redo(struct envol_volume *volume, uint32_t index,
                              struct envol_error *error)
{
    const struct envol_area_slot *slot = &volume->area->slot[index];
    uint8_t *buffer;
    enum envol_status status;

    if (slot->kind == ENVOL_AREA_ZEROS)
        return redo_zeros(volume, &slot->extent[0], error);
    buffer = envol_area_buffer(volume->area);
    if (buffer == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = redo_records(volume, index, buffer, error);
    envol_free(buffer);
    return status;
}

static enum envol_status settle_slot(struct envol_volume *volume, uint32_t index,
                                     struct envol_error *error)
{
    struct envol_area *area = volume->area;
    struct envol_area_slot *slot = &area->slot[index];
    enum envol_status status;

    await_home(area, slot);
    if (!slot->owed)
        return ENVOL_OK;
    pthread_mutex_unlock(&area->lock);
    status = redo(volume, index, error);
    pthread_mutex_lock(&area->lock);
    if (status == ENVOL_OK) {
        slot->owed = false;
        slot->home_at = area->syncs_begun;
    }
    return status;
}

/* Those that are owed now; with all_home, when all are at home. */
static enum envol_status settle_slots(struct envol_volume *volume, bool all_home,
                                      struct envol_error *error)
{
    struct envol_area *area = volume->area;
    enum envol_status status = ENVOL_OK;

    for (uint32_t i = 0; status == ENVOL_OK && i < area->slots; i++)
        if (all_home || area->slot[i].owed)
            status = settle_slot(volume, i, error);
    return status;
}

/* Until the next slot may be filled: what it holds is at home and synced. */
static enum envol_status free_slot(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_area *area = volume->area;
    const struct envol_area_slot *slot = &area->slot[area->next];
    enum envol_status status = settle_slots(volume, false, error);

    if (status == ENVOL_OK)
        status = settle_slot(volume, area->next, error);
    if (status == ENVOL_OK && slot->extents > 0 && slot->home_at >= area->syncs_done)
        status = sync_area(volume, error);
    return status;
}

static bool overlap(const struct envol_extent *a, const struct envol_extent *b)
{
    return a->first < b->first + b->count && b->first < a->first + a->count;
}

/* Pages that are not at home yet, or that somebody asked for before. */
static bool is_blocked(const struct envol_area *area, const struct envol_area_request *request)
{
    for (uint32_t i = 0; i < area->slots; i++) {
        const struct envol_area_slot *slot = &area->slot[i];
        if ((slot->homeward > 0 || slot->owed) && envol_area_overlaps(slot, &request->extent))
            return true;
    }
    for (const struct envol_area_request *r = area->queue; r != request; r = r->next)
        if (overlap(&r->extent, &request->extent))
            return true;
    return false;
}

/* A slot has records or zeros, each page once, and no more than it holds. */
static bool fits(const struct envol_area *area, const struct envol_area_slot *slot, uint64_t room,
                 const struct envol_area_request *request)
{
    if (is_blocked(area, request) || envol_area_overlaps(slot, &request->extent))
        return false;
    if (request->records == NULL)
        return slot->extents == 0;
    return request->extent.count <= room && slot->extents < ENVOL_AREA_EXTENTS_MAX;
}

/* Moves what goes into the next slot from the queue into a group; NULL: all of it is blocked. */
static struct envol_area_request *take_group(struct envol_area *area)
{
    struct envol_area_slot *slot = &area->slot[area->next];
    struct envol_area_request *group = NULL, **tail = &group, **at = &area->queue;
    uint64_t room = area->records;

    slot->extents = 0;
    while (*at != NULL && (group == NULL || group->records != NULL)) {
        struct envol_area_request *request = *at;
        if (!fits(area, slot, room, request)) {
            at = &request->next;
            continue;
        }
        *at = request->next;
        request->next = NULL;
        *tail = request;
        tail = &request->next;
        slot->extent[slot->extents++] = request->extent;
        room -= request->records != NULL ? request->extent.count : 0;
    }
    return group;
}

static enum envol_status write_slot(struct envol_volume *volume,
                                    const struct envol_area_request *group,
                                    struct envol_error *error)
{
    struct envol_area *area = volume->area;
    uint64_t head_at = envol_area_offset(area, area->next), at = head_at + ENVOL_AREA_HEAD_BYTES;
    uint32_t crc = envol_area_encode(volume, &area->slot[area->next]);
    enum envol_status status = ENVOL_OK;

    for (; status == ENVOL_OK && group != NULL && group->records != NULL; group = group->next) {
        size_t bytes = (size_t)group->extent.count * volume->stride_bytes;
        crc = envol_crc32c(crc, group->records, bytes);
        status = envol_store_write(volume->store, at, group->records, bytes, error);
        at += bytes;
    }
    envol_area_seal_head(area, crc);
    return status == ENVOL_OK
               ? envol_store_write(volume->store, head_at, area->head, ENVOL_AREA_HEAD_BYTES, error)
               : status;
}

/*
 * Fills the next slot and syncs.  Should that fail, what is there is not known, and the same slot
 * is filled again: were another one taken, the whole ones would not follow one another.
 */
static enum envol_status fill_slot(struct envol_volume *volume, enum envol_area_kind kind,
                                   const struct envol_area_request *group,
                                   struct envol_error *error)
{
    struct envol_area *area = volume->area;
    struct envol_area_slot *slot = &area->slot[area->next];
    enum envol_status status;

    if (area->sequence == ENVOL_AREA_SEQUENCE_MAX)
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "the double-write area holds the last sequence number there is");
    slot->sequence = ++area->sequence;
    slot->kind = kind;
    area->dirty = true;
    pthread_mutex_unlock(&area->lock);
    status = write_slot(volume, group, error);
    pthread_mutex_lock(&area->lock);
    if (status == ENVOL_OK)
        status = sync_area(volume, error);
    area->stray = status != ENVOL_OK;
    if (status != ENVOL_OK)
        slot->extents = 0;
    else
        area->next = (area->next + 1) % area->slots;
    return status;
}

/* After this nothing older is replayed. */
static enum envol_status write_mark(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_area *area = volume->area;
    enum envol_status status = settle_slots(volume, true, error);

    if (status == ENVOL_OK)
        status = sync_area(volume, error);
    if (status != ENVOL_OK)
        return status;
    for (uint32_t i = 0; i < area->slots; i++)
        area->slot[i].extents = 0;
    status = fill_slot(volume, ENVOL_AREA_MARK, NULL, error);
    area->dirty = status != ENVOL_OK;
    return status;
}

static void note_due(struct envol_area *area)
{
    bool due = area->stray;

    for (uint32_t i = 0; i < area->slots; i++)
        due |= area->slot[i].owed;
    atomic_store(&area->due, due);
}

static void answer(struct envol_area_request *group, uint32_t slot, enum envol_status status,
                   const struct envol_error *details)
{
    while (group != NULL) {
        struct envol_area_request *next = group->next; /* it is gone once it is done */
        group->slot = slot;
        group->status = status;
        group->details = *details;
        group->done = true;
        group = next;
    }
}

/* Fills the next slot for all who wait and can go together.  Nobody is busy. */
static void lead(struct envol_volume *volume)
{
    struct envol_area *area = volume->area;
    uint32_t index = area->next;
    struct envol_error details = ENVOL_ERROR_INIT;
    struct envol_area_request *group = NULL;
    enum envol_status status;

    area->busy = true;
    status = free_slot(volume, &details);
    while (status == ENVOL_OK && (group = take_group(area)) == NULL) {
        pthread_cond_wait(&area->change, &area->lock);
        status = settle_slots(volume, false, &details);
    }
    if (status == ENVOL_OK) {
        status = fill_slot(volume, group->records != NULL ? ENVOL_AREA_RECORDS : ENVOL_AREA_ZEROS,
                           group, &details);
    } else {
        group = area->queue; /* nothing goes through an area that is stuck */
        area->queue = NULL;
    }
    if (status == ENVOL_OK)
        for (const struct envol_area_request *r = group; r != NULL; r = r->next)
            area->slot[index].homeward++;
    note_due(area);
    answer(group, index, status, &details);
    area->busy = false;
    pthread_cond_broadcast(&area->change);
}

/* --- By any thread --- */

/* Until the request is in the area and synced.  The pages are then written home, and go_home
 * called. */
static enum envol_status submit(struct envol_volume *volume, struct envol_area_request *request,
                                struct envol_error *error)
{
    struct envol_area *area = volume->area;
    struct envol_area_request **last = &area->queue;

    /* It could take no lock that a thread of its parent may hold, and its parent would know nothing
     * of what it wrote to the area. */
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED,
                          "a forked child cannot change a volume with atomic pages");
    pthread_mutex_lock(&area->lock);
    while (*last != NULL)
        last = &(*last)->next;
    *last = request;
    while (!request->done) {
        if (area->busy)
            pthread_cond_wait(&area->change, &area->lock);
        else
            lead(volume);
    }
    pthread_mutex_unlock(&area->lock);
    if (request->status != ENVOL_OK) {
        envol_fail(error, request->status, "%s", request->details.message);
        envol_error_set_errno(error, request->details.os_errno);
    }
    return request->status;
}

/* What failed is owed: the area has it. */
static void arrive(struct envol_area *area, uint32_t index, enum envol_status status)
{
    struct envol_area_slot *slot = &area->slot[index];

    pthread_mutex_lock(&area->lock);
    slot->homeward--;
    slot->home_at = area->syncs_begun;
    if (status != ENVOL_OK) {
        slot->owed = true;
        atomic_store(&area->due, true);
    }
    pthread_cond_broadcast(&area->change);
    pthread_mutex_unlock(&area->lock);
}

enum envol_status envol_area_write(struct envol_volume *volume, const uint8_t *records,
                                   uint64_t first, uint64_t n, struct envol_error *error)
{
    struct envol_area_request request = {
        .extent = {first, n}, .records = records, .details = ENVOL_ERROR_INIT};
    enum envol_status status = submit(volume, &request, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_store_write(volume->store, envol_volume_offset(volume, first), records,
                               (size_t)(n * volume->stride_bytes), error);
    arrive(volume->area, request.slot, status);
    return status;
}

enum envol_status envol_area_discard(struct envol_volume *volume, struct envol_volume_lane *lane,
                                     uint64_t first, uint64_t count, struct envol_error *error)
{
    struct envol_area_request request = {.extent = {first, count}, .details = ENVOL_ERROR_INIT};
    enum envol_status status = submit(volume, &request, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_volume_discard(volume, lane, first, count, error);
    arrive(volume->area, request.slot, status);
    return status;
}

enum envol_status envol_area_settle(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_area *area = volume->area;
    enum envol_status status;

    if (area == NULL || !atomic_load(&area->due) || !envol_volume_is_own(volume))
        return ENVOL_OK;
    begin(area);
    status = settle_slots(volume, false, error);
    /* What was half written to the area must not become pages after a sync that succeeds. */
    if (status == ENVOL_OK && area->stray)
        status = write_mark(volume, error);
    note_due(area);
    end(area);
    return status;
}

enum envol_status envol_area_retire(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_area *area = volume->area;
    enum envol_status status = ENVOL_OK;

    if (area == NULL)
        return ENVOL_OK;
    begin(area);
    if (area->dirty)
        status = write_mark(volume, error);
    note_due(area);
    end(area);
    return status;
}
