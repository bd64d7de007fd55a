/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a writer does at open with what the last one left in the double-write area.
 *
 * The newest copy of each page is what counts; older ones are passed over.  Under XTS nothing tells
 * a torn record, so it is written home in any case.  Under GCM it is written over a record that
 * does not authenticate, if it authenticates itself: whoever puts an old slot into the area changes
 * no page that is sound.  A sound record at home is written again as it is, because after a
 * failed sync it may be read and yet not be on the disk.
 */
#include "base/error.h"
#include "base/memory.h"
#include "volume/area.h"

#include <string.h>

struct replay {
    struct envol_volume *volume;
    struct envol_volume_lane *lane;
    uint8_t *slot;  /* as on the store */
    uint8_t *page;  /* plaintext of one page */
    uint64_t limit; /* the first page that cannot be there */
    uint64_t done;  /* slots with a lower sequence were not looked at yet */
    struct envol_error *error;
};

static enum envol_status read_heads(struct replay *r)
{
    struct envol_area *area = r->volume->area;
    size_t got;

    for (uint32_t i = 0; i < area->slots; i++) {
        enum envol_status status =
            envol_store_read(r->volume->store, envol_area_offset(area, i), area->head,
                             ENVOL_AREA_HEAD_BYTES, &got, r->error);
        if (status != ENVOL_OK)
            return status;
        envol_area_decode(r->volume, area->head, &area->slot[i]);
    }
    return ENVOL_OK;
}

/* The newest slot that was not looked at, or as many as there are slots. */
static uint32_t newest(const struct replay *r)
{
    const struct envol_area *area = r->volume->area;
    uint32_t found = area->slots;

    for (uint32_t i = 0; i < area->slots; i++)
        if (area->slot[i].sequence > 0 && area->slot[i].sequence < r->done &&
            (found == area->slots || area->slot[i].sequence > area->slot[found].sequence))
            found = i;
    return found;
}

/* A slot that is not whole is as good as none, and hides no page of an older one. */
static enum envol_status read_slot(struct replay *r, uint32_t index)
{
    struct envol_area *area = r->volume->area;
    struct envol_area_slot *slot = &area->slot[index];
    size_t got, bytes = envol_area_bytes(r->volume, slot);
    enum envol_status status =
        envol_store_read(r->volume->store, envol_area_offset(area, index), r->slot,
                         ENVOL_AREA_HEAD_BYTES + bytes, &got, r->error);

    if (status == ENVOL_OK && !envol_area_is_whole(r->slot, bytes))
        slot->sequence = 0;
    return status;
}

/* Whether a newer slot has the page; *next is the page after the extent then, else the first page
 * above it that a newer slot has.  Slots that were looked at are newer. */
static bool is_covered(const struct replay *r, uint64_t page_no, uint64_t *next)
{
    const struct envol_area *area = r->volume->area;

    *next = UINT64_MAX;
    for (uint32_t i = 0; i < area->slots; i++) {
        const struct envol_area_slot *slot = &area->slot[i];
        for (uint32_t j = 0; slot->sequence >= r->done && j < slot->extents; j++) {
            const struct envol_extent *extent = &slot->extent[j];
            if (extent->first <= page_no && page_no - extent->first < extent->count) {
                *next = extent->first + extent->count;
                return true;
            }
            if (extent->first > page_no && extent->first < *next)
                *next = extent->first;
        }
    }
    return false;
}

/* OK: it authenticates, or is a hole.  CORRUPT: it does not. */
static enum envol_status examine(struct replay *r, uint64_t page_no, const uint8_t *record)
{
    const struct envol_volume *volume = r->volume;
    enum envol_status status =
        envol_page_unseal(volume->object, r->lane->lane, page_no, record, r->page);

    if (status == ENVOL_E_UNWRITTEN)
        return ENVOL_OK;
    if (status != ENVOL_E_CORRUPT && status != ENVOL_E_STALE)
        return status;
    if (volume->sparse && envol_is_zero(record, volume->stride_bytes))
        return ENVOL_OK;
    return ENVOL_E_CORRUPT;
}

/* What goes home under GCM: what is there, if it authenticates, or else what the area has, if that
 * does. */
static enum envol_status pick(struct replay *r, uint64_t page_no, uint8_t *record, bool *due)
{
    const struct envol_volume *volume = r->volume;
    size_t got, stride = volume->stride_bytes;
    enum envol_status status = envol_store_read(volume->store, envol_volume_offset(volume, page_no),
                                                r->lane->records, stride, &got, NULL);

    *due = false;
    /* A sector that cannot be read may be written, and be sound then. */
    if (status == ENVOL_OK && got == stride) {
        status = examine(r, page_no, r->lane->records);
        if (status == ENVOL_OK)
            memcpy(record, r->lane->records, stride);
        *due = status == ENVOL_OK;
        if (status != ENVOL_E_CORRUPT)
            return status;
    }
    status = examine(r, page_no, record);
    *due = status == ENVOL_OK;
    return status == ENVOL_E_CORRUPT ? ENVOL_OK : status;
}

/* Whether a page of a slot goes home. */
static enum envol_status choose(struct replay *r, uint64_t page_no, uint8_t *record, bool *due)
{
    uint64_t next;
    enum envol_status status = ENVOL_OK;

    *due = page_no < r->limit && !is_covered(r, page_no, &next);
    if (*due && r->volume->gcm)
        status = pick(r, page_no, record, due);
    return status == ENVOL_OK ? status : envol_fail(r->error, status, NULL);
}

static enum envol_status put_home(struct replay *r, uint64_t first, size_t n,
                                  const uint8_t *records)
{
    struct envol_volume *volume = r->volume;
    enum envol_status status = envol_volume_preserve(volume, first, n, r->error);

    return status != ENVOL_OK ? status
                              : envol_store_write(volume->store, envol_volume_offset(volume, first),
                                                  records, n * volume->stride_bytes, r->error);
}

/* In as few writes as there are gaps between the pages that are due. */
static enum envol_status redo_extent(struct replay *r, const struct envol_extent *extent,
                                     uint8_t *records)
{
    const struct envol_volume *volume = r->volume;
    enum envol_status status = ENVOL_OK;
    size_t run = 0;

    for (size_t i = 0; status == ENVOL_OK && i < extent->count; i++) {
        bool due;
        status = choose(r, extent->first + i, records + i * volume->stride_bytes, &due);
        if (status != ENVOL_OK)
            break;
        run += due;
        if (run > 0 && (!due || i + 1 == extent->count)) {
            size_t from = due ? i + 1 - run : i - run;
            status = put_home(r, extent->first + from, run, records + from * volume->stride_bytes);
            run = 0;
        }
    }
    return status;
}

static enum envol_status redo_records(struct replay *r, const struct envol_area_slot *slot)
{
    uint8_t *records = r->slot + ENVOL_AREA_HEAD_BYTES;
    enum envol_status status = ENVOL_OK;

    for (uint32_t i = 0; status == ENVOL_OK && i < slot->extents; i++) {
        status = redo_extent(r, &slot->extent[i], records);
        records += slot->extent[i].count * r->volume->stride_bytes;
    }
    return status;
}

/* As far as there are pages, and the store holds their records. */
static enum envol_status end_of(struct replay *r, const struct envol_extent *extent, uint64_t *end)
{
    const struct envol_volume *volume = r->volume;
    uint64_t bytes, held = 0;
    enum envol_status status = envol_store_size(volume->store, &bytes, r->error);

    if (status == ENVOL_OK && bytes > volume->data_offset)
        held = (bytes - volume->data_offset) / volume->stride_bytes;
    *end = extent->first + extent->count;
    *end = *end < r->limit ? *end : r->limit;
    *end = *end < held ? *end : held;
    return status;
}

/* Zeros are due wherever nothing newer was written. */
static enum envol_status redo_zeros(struct replay *r, const struct envol_extent *extent)
{
    uint64_t end, next;
    enum envol_status status = end_of(r, extent, &end);

    for (uint64_t at = extent->first; status == ENVOL_OK && at < end; at = next) {
        if (is_covered(r, at, &next))
            continue;
        next = next < end ? next : end;
        status = envol_volume_discard(r->volume, r->lane, at, next - at, r->error);
    }
    return status;
}

/* From the newest slot to the mark, or to the oldest; *live: how many had pages. */
static enum envol_status redo_slots(struct replay *r, uint32_t *live)
{
    struct envol_area *area = r->volume->area;
    enum envol_status status = ENVOL_OK;
    bool first = true;

    *live = 0;
    for (uint32_t i = newest(r); status == ENVOL_OK && i < area->slots; i = newest(r)) {
        struct envol_area_slot *slot = &area->slot[i];
        status = read_slot(r, i);
        if (status != ENVOL_OK || slot->sequence == 0)
            continue;
        /* Of the newest it is not known whether it is on the disk or in a cache.  The others can be
         * counted on: each was synced before the next one was filled. */
        if (first) {
            area->sequence = slot->sequence;
            area->next = (i + 1) % area->slots;
            status = envol_store_write(r->volume->store, envol_area_offset(area, i), r->slot,
                                       ENVOL_AREA_HEAD_BYTES + envol_area_bytes(r->volume, slot),
                                       r->error);
        }
        first = false;
        if (status != ENVOL_OK || slot->kind == ENVOL_AREA_MARK)
            return status;
        r->done = slot->sequence + 1; /* this one is not newer than itself */
        status = slot->kind == ENVOL_AREA_ZEROS ? redo_zeros(r, &slot->extent[0])
                                                : redo_records(r, slot);
        r->done = slot->sequence;
        ++*live;
    }
    return status;
}

static enum envol_status open_replay(struct replay *r)
{
    struct envol_volume *volume = r->volume;
    enum envol_status status;

    r->slot = envol_area_buffer(volume->area);
    r->page = envol_alloc(volume->page_bytes, ENVOL_BUFFER_ALIGN);
    if (r->slot == NULL || r->page == NULL)
        return envol_fail(r->error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_volume_lane_take(volume, &r->lane);
    return status == ENVOL_OK ? status : envol_fail(r->error, status, NULL);
}

static void close_replay(struct replay *r)
{
    struct envol_volume *volume = r->volume;

    if (r->lane != NULL)
        envol_volume_lane_give(volume, r->lane);
    envol_volume_close_lanes(volume); /* nobody uses it yet: no locked memory for that */
    if (r->page != NULL)
        envol_wipe(r->page, volume->page_bytes);
    envol_free(r->page);
    envol_free(r->slot);
}

/* Above the mark only records that authenticate are pages, and while it is exact none is. */
static uint64_t limit_of(const struct envol_volume *volume)
{
    uint64_t limit = atomic_load(&volume->pages);

    if (volume->gcm && !volume->clean)
        limit = volume->mark + envol_volume_window(volume->mark);
    return limit < volume->page_max ? limit : volume->page_max;
}

enum envol_status envol_area_replay(struct envol_volume *volume, struct envol_error *error)
{
    struct replay r = {
        .volume = volume, .limit = limit_of(volume), .done = UINT64_MAX, .error = error};
    struct envol_area *area = volume->area;
    uint32_t live = 0;
    enum envol_status status;

    if (area == NULL)
        return ENVOL_OK;
    status = open_replay(&r);
    if (status == ENVOL_OK)
        status = read_heads(&r);
    if (status == ENVOL_OK)
        status = redo_slots(&r, &live);
    close_replay(&r);
    /* For the next one they hold nothing that has to come home. */
    for (uint32_t i = 0; i < area->slots; i++)
        area->slot[i].extents = 0;
    if (status == ENVOL_OK && area->sequence > 0)
        status = envol_volume_flush(volume, error);
    area->dirty = live > 0;
    return status == ENVOL_OK ? envol_area_retire(volume, error) : status;
}
