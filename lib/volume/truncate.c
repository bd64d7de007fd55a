/* SPDX-License-Identifier: BSD-2-Clause */
/* Setting the number of pages. */
#include "base/error.h"
#include "volume/area.h"
#include "volume/rotation.h"

/*
 * A store of a fixed size would keep the records beyond the new end, and they would authenticate
 * when the end comes back to them.  Asked before anything is changed: such a store refuses to grow.
 */
static enum envol_status check_resizable(struct envol_volume *volume, struct envol_error *error)
{
    uint64_t bytes;
    enum envol_status status = envol_store_size(volume->store, &bytes, error);

    return status == ENVOL_OK ? envol_store_resize(volume->store, bytes + ENVOL_BUFFER_ALIGN, error)
                              : status;
}

/* A header that does not go over leaves the end where it was, and pages under the epochs that they
 * are of. */
static enum envol_status cut_rotating(struct envol_volume *volume, uint64_t pages,
                                      struct envol_error *error)
{
    const struct envol_rotation_record before = volume->header->rotation;
    uint64_t next = atomic_load(&volume->sweep.next);
    enum envol_status status;

    envol_rotation_cut(volume, pages);
    status = envol_volume_cut(volume, pages, error);
    if (atomic_load(&volume->pages) != pages) {
        volume->header->rotation = before;
        atomic_store(&volume->sweep.next, next);
    }
    return status;
}

static enum envol_status shrink(struct envol_volume *volume, uint64_t pages,
                                struct envol_error *error)
{
    /* What is cut off must not come back from the double-write area when the end does. */
    enum envol_status status = envol_area_retire(volume, error);

    if (status == ENVOL_OK)
        status = envol_volume_flush(volume, error);
    if (status == ENVOL_OK)
        status = envol_volume_preserve(volume, pages, atomic_load(&volume->pages) - pages, error);
    if (status != ENVOL_OK)
        return status;
    if (envol_rotation_is_xts(volume))
        return cut_rotating(volume, pages, error);
    if (!volume->gcm) { /* the store's size is the number of pages */
        status = envol_store_resize(volume->store, envol_volume_offset(volume, pages), error);
        if (status == ENVOL_OK)
            envol_volume_set_end(volume, pages);
    } else {
        status = check_resizable(volume, error);
    }
    return status == ENVOL_OK ? envol_volume_cut(volume, pages, error) : status;
}

static enum envol_status grow(struct envol_volume *volume, uint64_t pages,
                              struct envol_error *error)
{
    struct envol_volume_lane *lane;
    enum envol_status status = envol_volume_lane_take(volume, &lane);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_extend(volume, lane, pages, error);
    envol_volume_lane_give(volume, lane);
    if (status == ENVOL_OK)
        status = envol_volume_flush(volume, error);
    if (status == ENVOL_OK && volume->cut_due) /* no page came, so nothing was cut before it */
        status = envol_volume_cut_store(volume, error);
    if (status == ENVOL_OK)
        envol_rotation_note_end(volume, pages);
    return status == ENVOL_OK ? envol_volume_commit(volume, pages, true, error) : status;
}

enum envol_status envol_volume_truncate(struct envol_volume *volume, uint64_t pages,
                                        struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (volume->sweep.hot.stuck)
        status = envol_fail(error, ENVOL_E_IO, "a step of the rotation failed: repeat it first");
    else if (pages > volume->page_max)
        status = envol_fail(error, ENVOL_E_RANGE, NULL);
    else if (pages < atomic_load(&volume->pages))
        status = shrink(volume, pages, error);
    else
        status = grow(volume, pages, error);
    envol_volume_leave(volume);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
