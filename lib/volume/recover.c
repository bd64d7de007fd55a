/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a writer does at open (envol(7), CRASHES).  After a crash the window above the mark is
 * searched: the last record there that authenticates is the end, and records before it that never
 * reached the disk become holes.
 */
#include "base/error.h"
#include "base/memory.h"
#include "volume/rotation.h"

#include <string.h>

/* What the store holds is never cut off because a read of it came back short. */
static enum envol_status check_end(const struct envol_volume *volume, uint64_t end,
                                   struct envol_error *error)
{
    uint64_t bytes;
    enum envol_status status = envol_store_size(volume->store, &bytes, error);

    if (status == ENVOL_OK && bytes > end)
        status = envol_fail(error, ENVOL_E_IO, "the store gave fewer bytes than it holds");
    return status;
}

/* Reads up to one transfer of records; *n of them are wholly there. */
static enum envol_status read_records(struct envol_volume *volume, struct envol_volume_lane *lane,
                                      uint64_t first, uint64_t end, size_t *n,
                                      struct envol_error *error)
{
    size_t want = end - first < volume->run ? (size_t)(end - first) : volume->run;
    uint64_t offset = envol_volume_offset(volume, first);
    size_t got;
    enum envol_status status = envol_store_read(volume->store, offset, lane->records,
                                                want * volume->stride_bytes, &got, error);

    *n = got / volume->stride_bytes;
    /* Beside a writer the end moves between the two calls. */
    if (status == ENVOL_OK && *n < want && !volume->read_only)
        status = check_end(volume, offset + got, error);
    return status;
}

/* Whether an unsealing says that there is no page: an epoch to come is but a torn trailer here. */
static bool is_no_page(enum envol_status status)
{
    return status == ENVOL_E_CORRUPT || status == ENVOL_E_STALE;
}

/* Index after the last of n records that authenticates, 0 if none does.  A record that could not be
 * examined is no reason to cut it off. */
static enum envol_status last_sound(struct envol_volume *volume, struct envol_volume_lane *lane,
                                    uint64_t first, size_t n, size_t *sound)
{
    enum envol_status status = ENVOL_OK;

    *sound = 0;
    for (size_t i = 0; status == ENVOL_OK && i < n; i++) {
        uint8_t *record = lane->records + i * volume->stride_bytes;
        status = envol_page_unseal(volume->object, lane->lane, first + i, record, record);
        if (status == ENVOL_OK || status == ENVOL_E_UNWRITTEN)
            *sound = i + 1;
        if (status == ENVOL_E_UNWRITTEN || is_no_page(status))
            status = ENVOL_OK;
    }
    /* Pages were unsealed in place, and this buffer outlives the call. */
    envol_wipe(lane->records, (size_t)volume->run * volume->stride_bytes);
    return status;
}

/*
 * A reader does without what it cannot read: whatever it is, the page answers ENVOL_E_IO if it is
 * asked for.  A writer would cut it off, and does not go on.
 */
static enum envol_status read_what_reads(struct envol_volume *volume,
                                         struct envol_volume_lane *lane, uint64_t first,
                                         uint64_t end, size_t *n, struct envol_error *error)
{
    size_t want = end - first < volume->run ? (size_t)(end - first) : volume->run;
    enum envol_status status = read_records(volume, lane, first, end, n, error);

    if (status != ENVOL_E_IO || !volume->read_only)
        return status;
    memset(lane->records, 0, want * volume->stride_bytes);
    for (size_t i = 0; i < want; i++) {
        uint8_t *record = lane->records + i * volume->stride_bytes;
        size_t got;
        if (envol_store_read(volume->store, envol_volume_offset(volume, first + i), record,
                             volume->stride_bytes, &got, NULL) != ENVOL_OK)
            memset(record, 0, volume->stride_bytes);
    }
    *n = want;
    return ENVOL_OK;
}

static enum envol_status search_window(struct envol_volume *volume, struct envol_volume_lane *lane,
                                       uint64_t mark, uint64_t from, uint64_t *end,
                                       struct envol_error *error)
{
    uint64_t limit = mark + envol_volume_window(mark);
    size_t n = 1;

    *end = from;
    limit = limit < volume->page_max ? limit : volume->page_max;
    for (uint64_t first = from; first < limit && n > 0; first += n) {
        size_t sound;
        enum envol_status status = read_what_reads(volume, lane, first, limit, &n, error);
        if (status != ENVOL_OK)
            return status;
        status = last_sound(volume, lane, first, n, &sound);
        if (status != ENVOL_OK)
            return envol_fail(error, status, NULL);
        if (sound > 0)
            *end = first + sound;
    }
    return ENVOL_OK;
}

enum envol_status envol_volume_find_end(struct envol_volume *volume, uint64_t mark, uint64_t from,
                                        uint64_t *end, struct envol_error *error)
{
    struct envol_volume_lane *lane;
    enum envol_status status = envol_volume_lane_take(volume, &lane);

    *end = from;
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = search_window(volume, lane, mark, from, end, error);
    envol_volume_lane_give(volume, lane);
    return status;
}

/*
 * Whether a crash took the page before it was synced: its record is zeros.  Where pages are atomic
 * one that is torn is of that kind too, as those that had been synced are whole again by now.
 */
static bool is_lost(const struct envol_volume *volume, const struct envol_volume_lane *lane,
                    uint64_t page_no, uint8_t *record)
{
    if (envol_is_zero(record, volume->stride_bytes))
        return !volume->sparse;
    return volume->area != NULL &&
           is_no_page(envol_page_unseal(volume->object, lane->lane, page_no, record, record));
}

/*
 * Records that were found may be in a cache only, after a sync that failed, and no later sync saves
 * them.  A page that counts has to be whole where pages are atomic, so they are written again as
 * they are.  Holes of a sparse volume stay holes.
 */
static enum envol_status write_again(struct envol_volume *volume,
                                     const struct envol_volume_lane *lane, uint64_t first, size_t n,
                                     struct envol_error *error)
{
    size_t stride = volume->stride_bytes, run;
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < n; i += run + 1) {
        for (run = 0; i + run < n && !envol_is_zero(lane->records + (i + run) * stride, stride);)
            run++;
        if (run > 0)
            status = envol_store_write(volume->store, envol_volume_offset(volume, first + i),
                                       lane->records + i * stride, run * stride, error);
    }
    return status;
}

/* Which of n records are lost, as bits. */
static uint64_t find_lost(const struct envol_volume *volume, const struct envol_volume_lane *lane,
                          uint64_t first, size_t n)
{
    uint64_t lost = 0;

    for (size_t i = 0; i < n; i++)
        if (is_lost(volume, lane, first + i, lane->records + i * volume->stride_bytes))
            lost |= UINT64_C(1) << i;
    if (volume->area != NULL) /* pages were unsealed in place */
        envol_wipe(lane->records, (size_t)volume->run * volume->stride_bytes);
    return lost;
}

_Static_assert(ENVOL_RUN_MAX <= 64, "a bit for each record of a transfer");

static enum envol_status fill_lost(struct envol_volume *volume, struct envol_volume_lane *lane,
                                   uint64_t end, struct envol_error *error)
{
    size_t n = 1;

    for (uint64_t first = volume->mark; first < end && n > 0; first += n) {
        uint64_t lost;
        enum envol_status status = read_records(volume, lane, first, end, &n, error);
        if (status == ENVOL_OK && volume->area != NULL)
            status = write_again(volume, lane, first, n, error);
        if (status != ENVOL_OK)
            return status;
        lost = find_lost(volume, lane, first, n);
        for (size_t i = 0; status == ENVOL_OK && i < n; i++)
            if ((lost >> i & 1) != 0)
                status = envol_volume_fill(volume, lane, first + i, 1, error);
        if (status != ENVOL_OK)
            return status;
    }
    return ENVOL_OK;
}

/* A store of a fixed size cannot be cut: zeros over what this handle left beyond the end.  Nobody
 * else left anything there, as such a store refuses to shrink a volume. */
static enum envol_status wipe_leftovers(struct envol_volume *volume, uint64_t bytes,
                                        struct envol_error *error)
{
    uint64_t pages = atomic_load(&volume->pages);
    uint64_t end = (bytes - volume->data_offset) / volume->stride_bytes;
    struct envol_volume_lane *lane;
    enum envol_status status;

    end = end < volume->cut_end ? end : volume->cut_end;
    if (!volume->gcm || end <= pages)
        return ENVOL_OK;
    status = envol_volume_lane_take(volume, &lane);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_discard(volume, lane, pages, end - pages, error);
    envol_volume_lane_give(volume, lane);
    return status == ENVOL_OK ? envol_volume_flush(volume, error) : status;
}

static enum envol_status shorten_store(struct envol_volume *volume, struct envol_error *error)
{
    uint64_t bytes, want = envol_volume_offset(volume, atomic_load(&volume->pages));
    enum envol_status status = envol_store_size(volume->store, &bytes, error);

    if (status != ENVOL_OK || bytes <= want)
        return status;
    status = envol_store_resize(volume->store, want, error);
    if (status == ENVOL_E_UNSUPPORTED)
        return wipe_leftovers(volume, bytes, error);
    return status == ENVOL_OK ? envol_volume_flush(volume, error) : status;
}

void envol_volume_note_cut(struct envol_volume *volume, uint64_t to)
{
    volume->cut_due = true;
    volume->cut_end = to > volume->cut_end ? to : volume->cut_end;
}

enum envol_status envol_volume_cut_store(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status;

    volume->cut_due = true;
    if (volume->header->rotation.hot_count > 0)
        return ENVOL_OK; /* the journal is there: after the next step, or at the next open */
    status = envol_rotation_clear_end(volume, error);
    if (status == ENVOL_OK)
        status = shorten_store(volume, error);
    volume->cut_due = status != ENVOL_OK;
    if (status == ENVOL_OK) {
        volume->cut_end = 0;
        volume->cut_before_growth = false;
    }
    return status;
}

enum envol_status envol_volume_cut(struct envol_volume *volume, uint64_t pages,
                                   struct envol_error *error)
{
    enum envol_status status = envol_volume_commit(volume, pages, true, error);

    if (status != ENVOL_OK)
        return status;
    envol_volume_set_end(volume, pages);
    atomic_store(&volume->synced, pages);
    return envol_volume_cut_store(volume, error);
}

static enum envol_status search(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_volume_lane *lane;
    uint64_t end;
    enum envol_status status = envol_volume_lane_take(volume, &lane);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = search_window(volume, lane, volume->mark, volume->mark, &end, error);
    if (status == ENVOL_OK && (!volume->sparse || volume->area != NULL))
        status = fill_lost(volume, lane, end, error);
    /* A volume that nobody uses yet keeps no lane, and no locked memory for it. */
    envol_volume_lane_give(volume, lane);
    envol_volume_close_lanes(volume);
    if (status == ENVOL_OK)
        status = envol_volume_flush(volume, error);
    return status == ENVOL_OK ? envol_volume_cut(volume, end, error) : status;
}

enum envol_status envol_volume_recover(struct envol_volume *volume, struct envol_error *error)
{
    if (!volume->gcm)
        return envol_rotation_is_xts(volume) ? envol_sweep_redo(volume, error) : ENVOL_OK;
    if (!volume->clean)
        return search(volume, error);
    /* Behind the header of a volume without pages may lie what is the engine's own. */
    volume->cut_before_growth = atomic_load(&volume->pages) == 0;
    return volume->cut_before_growth ? ENVOL_OK : envol_volume_cut_store(volume, error);
}
