/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the pages, and how it moves forwards (envol(7), CRASHES).
 *
 * The header's mark says how many pages exist; it need not follow each page, as a writer that opens
 * after a crash looks for more in the window above it.  Two rules make that search enough: `clean`
 * is cleared on disk before the first record above the mark is written, and nothing is written
 * beyond the window before the mark is raised, which happens after the pages below it are synced.
 */
#include "base/error.h"
#include "page/seal.h"
#include "volume/area.h"
#include "volume/rotation.h"

#include <string.h>

#define WINDOW_MIN 1024u
#define WINDOW_MAX 65536u

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t envol_volume_offset(const struct envol_volume *volume, uint64_t page_no)
{
    return volume->data_offset + page_no * volume->stride_bytes;
}

uint64_t envol_volume_window(uint64_t mark)
{
    uint64_t window = mark / 8 < WINDOW_MAX ? mark / 8 : WINDOW_MAX;

    return window > WINDOW_MIN ? window : WINDOW_MIN;
}

/* Seals unwritten pages into the lane's buffer. */
static enum envol_status seal_unwritten(struct envol_volume *volume, struct envol_volume_lane *lane,
                                        uint64_t first, size_t n)
{
    struct envol_page_op ops[ENVOL_RUN_MAX];
    enum envol_status status;

    memset(lane->records, 0, n * volume->stride_bytes);
    for (size_t i = 0; i < n; i++) {
        uint8_t *record = lane->records + i * volume->stride_bytes;
        ops[i] = (struct envol_page_op){.page_no = first + i, .page = record, .record = record};
    }
    if (!volume->gcm)
        return envol_volume_seal(volume, lane->lane, ops, n);
    status = envol_lane_enter(volume->object, lane->lane);
    if (status != ENVOL_OK)
        return status;
    envol_gcm_seal_pages(volume->object, lane->lane, ENVOL_RECORD_HOLE, ops, n);
    envol_lane_leave(volume->object, lane->lane);
    return envol_ops_status(ops, n);
}

/* Pages that exist go through the double-write area. */
static enum envol_status put_run(struct envol_volume *volume, const uint8_t *records,
                                 uint64_t first, size_t n, struct envol_error *error)
{
    if (volume->area != NULL && first + n <= atomic_load(&volume->pages))
        return envol_area_write(volume, records, first, n, error);
    return envol_store_write(volume->store, envol_volume_offset(volume, first), records,
                             n * volume->stride_bytes, error);
}

enum envol_status envol_volume_fill(struct envol_volume *volume, struct envol_volume_lane *lane,
                                    uint64_t first, uint64_t n, struct envol_error *error)
{
    enum envol_status status = envol_volume_preserve(volume, first, n, error);

    while (status == ENVOL_OK && n > 0) {
        size_t step = n < volume->run ? (size_t)n : volume->run;
        status = seal_unwritten(volume, lane, first, step);
        if (status != ENVOL_OK)
            return envol_fail(error, status, NULL);
        status = put_run(volume, lane->records, first, step, error);
        first += step;
        n -= step;
    }
    return status;
}

enum envol_status envol_volume_raise_mark(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = envol_volume_flush(volume, error);

    return status != ENVOL_OK
               ? status
               : envol_volume_commit(volume, atomic_load(&volume->pages), false, error);
}

void envol_volume_set_end(struct envol_volume *volume, uint64_t pages)
{
    atomic_store_explicit(&volume->pages, pages, memory_order_release);
    atomic_store_explicit(&volume->limit, pages, memory_order_release);
}

static uint64_t window_end(const struct envol_volume *volume)
{
    return volume->gcm ? volume->mark + envol_volume_window(volume->mark) : UINT64_MAX;
}

/* Before the first of the records that follow the end: the two rules. */
static enum envol_status open_window(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = volume->cut_due || volume->cut_before_growth
                                   ? envol_volume_cut_store(volume, error)
                                   : ENVOL_OK;

    if (status == ENVOL_OK && volume->gcm && volume->clean)
        status = envol_volume_commit(volume, volume->mark, false, error);
    if (status == ENVOL_OK && atomic_load(&volume->pages) >= window_end(volume))
        status = envol_volume_raise_mark(volume, error);
    return status;
}

/* What a store of a fixed size holds between the end and the page `to` is not ours: zeros first. */
static enum envol_status clear_gap(struct envol_volume *volume, struct envol_volume_lane *lane,
                                   uint64_t to, struct envol_error *error)
{
    uint64_t bytes, whole, end = atomic_load(&volume->pages);
    enum envol_status status = envol_store_size(volume->store, &bytes, error);

    if (status != ENVOL_OK || bytes <= envol_volume_offset(volume, end))
        return status;
    whole = min(to, (bytes - volume->data_offset) / volume->stride_bytes);
    if (whole > end)
        status = envol_volume_discard(volume, lane, end, whole - end, error);
    if (status == ENVOL_OK && whole < to && bytes > envol_volume_offset(volume, whole))
        status = envol_volume_write_zeros(volume, lane, whole, 1, error);
    return status;
}

/* In a sparse volume a gap is what the store leaves behind, and may be of any width: the mark goes
 * to its end at once. */
static enum envol_status extend_sparse(struct envol_volume *volume, struct envol_volume_lane *lane,
                                       uint64_t pages, struct envol_error *error)
{
    uint64_t bytes = 0;
    enum envol_status status = open_window(volume, error);

    if (status == ENVOL_OK)
        status = clear_gap(volume, lane, pages, error);
    if (status == ENVOL_OK)
        status = envol_store_size(volume->store, &bytes, error);
    if (status == ENVOL_OK && bytes < envol_volume_offset(volume, pages))
        status = envol_store_resize(volume->store, envol_volume_offset(volume, pages), error);
    if (status == ENVOL_OK && volume->gcm)
        status = envol_volume_flush(volume, error);
    if (status == ENVOL_OK && volume->gcm)
        status = envol_volume_commit(volume, pages, false, error);
    if (status == ENVOL_OK)
        envol_volume_set_end(volume, pages);
    return status;
}

enum envol_status envol_volume_extend(struct envol_volume *volume, struct envol_volume_lane *lane,
                                      uint64_t pages, struct envol_error *error)
{
    uint64_t end = atomic_load(&volume->pages);
    enum envol_status status = ENVOL_OK;

    if (volume->sparse && pages > end)
        return extend_sparse(volume, lane, pages, error);
    while (status == ENVOL_OK && end < pages) {
        uint64_t next;
        status = open_window(volume, error);
        if (status != ENVOL_OK)
            return status;
        next = min(pages, window_end(volume));
        status = envol_volume_fill(volume, lane, end, next - end, error);
        if (status == ENVOL_OK)
            envol_volume_set_end(volume, end = next);
        else
            envol_volume_note_cut(volume, next);
    }
    return status;
}

/* What was to be pages is cut off; the write may have begun with pages that exist. */
static void note_failed(struct envol_volume *volume, uint64_t first, uint64_t to)
{
    uint64_t end = atomic_load(&volume->pages);

    if (first < end)
        envol_volume_note_torn(volume, first, end - first);
    envol_volume_note_cut(volume, to);
}

static enum envol_status append(struct envol_volume *volume, const uint8_t *records, uint64_t first,
                                uint64_t n, struct envol_error *error)
{
    while (n > 0) {
        uint64_t step;
        enum envol_status status = open_window(volume, error);
        if (status != ENVOL_OK)
            return status;
        step = min(n, window_end(volume) - first);
        status = envol_store_write(volume->store, envol_volume_offset(volume, first), records,
                                   (size_t)(step * volume->stride_bytes), error);
        if (status != ENVOL_OK) {
            note_failed(volume, first, first + step);
            return status;
        }
        records += step * volume->stride_bytes;
        first += step;
        n -= step;
        if (first > atomic_load(&volume->pages))
            envol_volume_set_end(volume, first);
    }
    return ENVOL_OK;
}

/* Within the window a sparse volume's gap needs no mark: what the store leaves there is a hole. */
static bool gap_is_free(const struct envol_volume *volume, uint64_t first)
{
    return volume->sparse && first < window_end(volume);
}

/* The gap's holes are sealed in a buffer of their own: the caller's records lie in its lane's. */
static enum envol_status close_gap(struct envol_volume *volume, uint64_t first,
                                   struct envol_error *error)
{
    struct envol_volume_lane *lane;
    enum envol_status status = envol_volume_lane_take(volume, &lane);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (gap_is_free(volume, first))
        status = clear_gap(volume, lane, first, error);
    else
        status = envol_volume_extend(volume, lane, first, error);
    envol_volume_lane_give(volume, lane);
    return status;
}

enum envol_status envol_volume_protect(struct envol_volume *volume, uint64_t first, uint64_t n,
                                       struct envol_error *error)
{
    uint64_t end = min(first + n, atomic_load_explicit(&volume->synced, memory_order_acquire));
    enum envol_status status = ENVOL_OK;

    /* What a crash tears there is whole again before the end is searched. */
    if (volume->area != NULL)
        return ENVOL_OK;
    /* A child cannot: its parent's pages above the mark are at that risk (envol(7)). */
    if (!volume->gcm || first >= end || end <= atomic_load(&volume->mark) ||
        !envol_volume_is_own(volume))
        return ENVOL_OK;
    pthread_mutex_lock(&volume->growth);
    if (end > atomic_load(&volume->mark))
        status = envol_volume_raise_mark(volume, error);
    pthread_mutex_unlock(&volume->growth);
    return status;
}

void envol_volume_note_torn(struct envol_volume *volume, uint64_t first, uint64_t n)
{
    if (volume->gcm && first + n > atomic_load(&volume->mark))
        atomic_store(&volume->raise_due, true);
}

static enum envol_status overwrite(struct envol_volume *volume, const uint8_t *records,
                                   uint64_t first, uint64_t n, struct envol_error *error)
{
    enum envol_status status = put_run(volume, records, first, (size_t)n, error);

    if (status != ENVOL_OK)
        envol_volume_note_torn(volume, first, n);
    return status;
}

/* What of the records goes over pages that exist, when those before them are to be atomic. */
static enum envol_status overwrite_start(struct envol_volume *volume, const uint8_t **records,
                                         uint64_t *first, uint64_t *n, struct envol_error *error)
{
    uint64_t end = atomic_load(&volume->pages);
    uint64_t over = *first < end ? min(*n, end - *first) : 0;
    enum envol_status status = ENVOL_OK;

    if (volume->area == NULL || over == 0)
        return ENVOL_OK;
    status = envol_area_write(volume, *records, *first, over, error);
    *records += over * volume->stride_bytes;
    *first += over;
    *n -= over;
    return status;
}

enum envol_status envol_volume_place(struct envol_volume *volume, const uint8_t *records,
                                     uint64_t first, uint64_t n, struct envol_error *error)
{
    enum envol_status status = envol_volume_preserve(volume, first, n, error);

    if (status == ENVOL_OK)
        status = envol_volume_protect(volume, first, n, error);
    if (status != ENVOL_OK)
        return status;
    if (first + n <= atomic_load_explicit(&volume->pages, memory_order_acquire))
        return overwrite(volume, records, first, n, error);
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED, "a forked child cannot grow the volume");
    pthread_mutex_lock(&volume->growth);
    /* A step that was in progress when this call was let in may have failed since. */
    status = envol_rotation_clear_end(volume, error);
    if (status != ENVOL_OK)
        goto out;
    if (first > atomic_load(&volume->pages))
        status = close_gap(volume, first, error);
    else
        status = overwrite_start(volume, &records, &first, &n, error);
    if (status == ENVOL_OK)
        status = append(volume, records, first, n, error);
out:
    pthread_mutex_unlock(&volume->growth);
    return status;
}
