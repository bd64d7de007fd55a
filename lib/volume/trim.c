/* SPDX-License-Identifier: BSD-2-Clause */
/* Making pages unwritten again: holes in their place, or none of the store's space. */
#include "base/error.h"
#include "volume/area.h"
#include "volume/rotation.h"

#include <string.h>

enum envol_status envol_volume_write_zeros(struct envol_volume *volume,
                                           struct envol_volume_lane *lane, uint64_t first,
                                           uint64_t count, struct envol_error *error)
{
    enum envol_status status = envol_volume_preserve(volume, first, count, error);

    memset(lane->records, 0, (size_t)volume->run * volume->stride_bytes);
    while (status == ENVOL_OK && count > 0) {
        uint64_t step = count < volume->run ? count : volume->run;
        status = envol_store_write(volume->store, envol_volume_offset(volume, first), lane->records,
                                   (size_t)step * volume->stride_bytes, error);
        first += step;
        count -= step;
    }
    return status;
}

/*
 * After a crash the last record that authenticates is the end: a trimmed tail above the mark would
 * no longer be counted, so the mark goes first.
 */
static enum envol_status settle_tail(struct envol_volume *volume, uint64_t last)
{
    enum envol_status status = ENVOL_OK;

    if (!volume->gcm)
        return ENVOL_OK;
    if (!envol_volume_is_own(volume))
        return last <= volume->mark ? ENVOL_OK : ENVOL_E_FORKED;
    pthread_mutex_lock(&volume->growth);
    if (last > volume->mark)
        status = envol_volume_raise_mark(volume, NULL);
    pthread_mutex_unlock(&volume->growth);
    return status;
}

enum envol_status envol_volume_discard(struct envol_volume *volume, struct envol_volume_lane *lane,
                                       uint64_t first, uint64_t count, struct envol_error *error)
{
    enum envol_status status = envol_volume_preserve(volume, first, count, error);

    if (status == ENVOL_OK)
        status = envol_store_discard(volume->store, envol_volume_offset(volume, first),
                                     count * volume->stride_bytes, error);
    return status == ENVOL_E_UNSUPPORTED
               ? envol_volume_write_zeros(volume, lane, first, count, error)
               : status;
}

static enum envol_status trim(struct envol_volume *volume, struct envol_volume_lane *lane,
                              uint64_t first, uint64_t count)
{
    struct envol_hot_guest guest;
    enum envol_status status = volume->sparse ? settle_tail(volume, first + count)
                                              : envol_volume_protect(volume, first, count, NULL);

    if (status == ENVOL_OK)
        status = envol_volume_preserve(volume, first, count, NULL);
    if (status == ENVOL_OK)
        status = envol_volume_visit(volume, &guest, first, count);
    if (status != ENVOL_OK)
        return status;
    if (!volume->sparse)
        status = envol_volume_fill(volume, lane, first, count, NULL);
    else if (volume->area != NULL)
        status = envol_area_discard(volume, lane, first, count, NULL);
    else
        status = envol_volume_discard(volume, lane, first, count, NULL);
    if (status != ENVOL_OK)
        envol_volume_note_torn(volume, first, count);
    envol_volume_depart(volume, &guest);
    return status;
}

enum envol_status envol_page_trim(struct envol_volume *volume, uint64_t first, uint64_t count)
{
    struct envol_volume_lane *lane;
    uint64_t end;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);

    if (status != ENVOL_OK)
        return status;
    end = atomic_load(&volume->pages);
    if (first > end || count > end - first) {
        status = ENVOL_E_RANGE;
        goto out;
    }
    if (count == 0)
        goto out;
    status = envol_volume_lane_take(volume, &lane);
    if (status != ENVOL_OK)
        goto out;
    atomic_fetch_add(&volume->writes_begun, 1);
    status = trim(volume, lane, first, count);
    atomic_fetch_add(&volume->writes_done, 1);
    envol_volume_lane_give(volume, lane);
out:
    envol_volume_leave(volume);
    return status;
}
