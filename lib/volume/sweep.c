/* SPDX-License-Identifier: BSD-2-Clause */
/* A sweep over the pages: steps, and running them to the end at a rate. */
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "volume/rotation.h"

#include <time.h>

/* A crash costs the visiting of so many bytes again; each time the header says so anew, two syncs.
 */
#define SAVE_BYTES (64u << 20)
/* How long run sleeps before it looks whether it was paused. */
#define SLICE_MS 50u

uint8_t *envol_sweep_memory(struct envol_volume *volume, size_t bytes)
{
    struct envol_sweep *sweep = &volume->sweep;

    if (sweep->memory_bytes < bytes) {
        envol_free(sweep->memory);
        sweep->memory = envol_alloc(bytes, ENVOL_BUFFER_ALIGN);
        sweep->memory_bytes = sweep->memory != NULL ? bytes : 0;
    }
    return sweep->memory;
}

static enum envol_status check_open(const struct envol_volume *volume, struct envol_error *error)
{
    if (!envol_rotation_is_on(volume))
        return envol_fail(error, ENVOL_E_STATE, "no rotation was begun");
    if (!volume->sweep.is_open)
        return envol_fail(error, ENVOL_E_STATE,
                          "forked children that inherit the keys would write beside the rotation");
    if (atomic_load(&volume->sweep.paused))
        return envol_fail(error, ENVOL_E_STATE, "the rotation is paused");
    return ENVOL_OK;
}

/* The end is told to the header at once: what follows it is sealed under the new epoch. */
static enum envol_status visit_next(struct envol_volume *volume, struct envol_volume_lane *lane,
                                    uint64_t max, uint64_t *visited, struct envol_error *error)
{
    struct envol_sweep *sweep = &volume->sweep;
    enum envol_status status;

    if (!volume->gcm)
        return envol_sweep_xts(volume, lane, max, visited, error);
    status = envol_sweep_gcm(volume, lane, max, visited, error);
    if (status != ENVOL_OK)
        return status;
    if (atomic_load(&sweep->next) >= atomic_load(&volume->pages)) {
        status = envol_rotation_save(volume, ENVOL_SWEEP_DONE, error);
        if (status == ENVOL_OK)
            atomic_store(&sweep->next, ENVOL_SWEEP_DONE);
        return status;
    }
    if ((atomic_load(&sweep->next) - sweep->saved) * volume->stride_bytes >= SAVE_BYTES)
        status = envol_rotation_save(volume, atomic_load(&sweep->next), error);
    return status;
}

/* One transfer.  The gate is passed anew for each: whoever wants to be alone need not wait long. */
static enum envol_status transfer(struct envol_volume *volume, struct envol_volume_lane *lane,
                                  uint64_t max, uint64_t *visited, struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);

    *visited = 0;
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = check_open(volume, error);
    if (status == ENVOL_OK && atomic_load(&volume->sweep.next) != ENVOL_SWEEP_DONE) {
        atomic_fetch_add(&volume->writes_begun, 1);
        status = visit_next(volume, lane, max, visited, error);
        atomic_fetch_add(&volume->writes_done, 1);
    }
    envol_volume_leave(volume);
    return status;
}

static enum envol_status step(struct envol_volume *volume, uint64_t max_pages,
                              struct envol_error *error)
{
    struct envol_volume_lane *lane;
    uint64_t left = max_pages, visited;
    enum envol_status status = envol_volume_lane_take(volume, &lane);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    do {
        status = transfer(volume, lane, left, &visited, error);
        left -= visited;
    } while (status == ENVOL_OK && left > 0 && visited > 0);
    envol_volume_lane_give(volume, lane);
    return status;
}

/* Under XTS what seals pages under the new epoch: page I/O may look for it only when it is there.
 */
static enum envol_status open_object(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status;

    if (volume->gcm || volume->sweep.swept != NULL)
        return ENVOL_OK;
    status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (envol_rotation_is_on(volume))
        status = envol_sweep_open_object(volume);
    envol_volume_leave(volume);
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

/* Who may sweep at all, before any lock of the sweep's is touched. */
static enum envol_status check_handle(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    envol_volume_leave(volume);
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED, "a forked child cannot rotate the DEK");
    return ENVOL_OK;
}

static bool is_sound(const struct envol_rotation *rotation)
{
    return rotation == NULL || ENVOL_FITS(rotation, rotation);
}

/* The header is not another thread's to replace meanwhile. */
static enum envol_status show(struct envol_volume *volume, struct envol_rotation *rotation,
                              struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    envol_rotation_show(volume, rotation);
    envol_volume_leave(volume);
    return ENVOL_OK;
}

static enum envol_status step_and_show(struct envol_volume *volume, uint64_t max_pages,
                                       struct envol_rotation *rotation, struct envol_error *error)
{
    enum envol_status shown, status = check_handle(volume, error);

    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&volume->sweep.turn);
    status = open_object(volume, error);
    if (status == ENVOL_OK)
        status = step(volume, max_pages > 0 ? max_pages : volume->run, error);
    pthread_mutex_unlock(&volume->sweep.turn);
    shown = show(volume, rotation, status == ENVOL_OK ? error : NULL);
    return status == ENVOL_OK ? shown : status;
}

enum envol_status envol_volume_rotate_step(struct envol_volume *volume, uint64_t max_pages,
                                           struct envol_rotation *rotation,
                                           struct envol_error *error)
{
    struct envol_rotation shown = {.struct_size = sizeof(shown)};
    enum envol_status status;

    if (!is_sound(rotation))
        return envol_fail(error, ENVOL_E_ARGUMENT, "the struct_size of rotation is too small");
    status = step_and_show(volume, max_pages, &shown, error);
    if (rotation != NULL)
        ENVOL_GIVE(rotation, rotation, &shown);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* --- Running to the end --- */

struct pace {
    uint64_t bytes_per_second; /* 0: as fast as it goes */
    uint64_t due_ns;           /* when the next piece may begin, CLOCK_MONOTONIC */
};

/* Time that was lost is not made up for: a burst after a pause is what nobody wants. */
static void count(struct pace *pace, uint64_t bytes)
{
    uint64_t now = envol_now_ns();

    if (pace->bytes_per_second == 0)
        return;
    if (pace->due_ns < now)
        pace->due_ns = now;
    pace->due_ns += (uint64_t)((double)bytes * 1e9 / (double)pace->bytes_per_second);
}

static void sleep_until_due(const struct pace *pace, const struct envol_volume *volume)
{
    const uint64_t slice = SLICE_MS * UINT64_C(1000000);
    uint64_t now;

    while (pace->bytes_per_second != 0 && (now = envol_now_ns()) < pace->due_ns &&
           !atomic_load(&volume->sweep.paused)) {
        uint64_t left = pace->due_ns - now;
        const struct timespec pause = {.tv_nsec = (long)(left < slice ? left : slice)};
        nanosleep(&pause, NULL);
    }
}

/* What is visited between two callbacks, and between two rests: a twentieth of a second's worth. */
static uint64_t piece_pages(const struct envol_volume *volume, uint64_t bytes_per_second)
{
    uint64_t bytes = ENVOL_SWEEP_BYTES;

    if (bytes_per_second != 0 && bytes_per_second / 20 < bytes)
        bytes = bytes_per_second / 20;
    return bytes > volume->stride_bytes ? bytes / volume->stride_bytes : 1;
}

static enum envol_status run(struct envol_volume *volume, struct pace *pace,
                             envol_rotate_callback *callback, void *ctx,
                             struct envol_rotation *shown, struct envol_error *error)
{
    uint64_t pages = piece_pages(volume, pace->bytes_per_second);
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && shown->state != ENVOL_ROTATION_SWEPT) {
        sleep_until_due(pace, volume);
        count(pace, pages * volume->stride_bytes);
        status = step_and_show(volume, pages, shown, error);
        if (status == ENVOL_OK && callback != NULL && callback(ctx, shown) != 0)
            status = envol_fail(error, ENVOL_E_CANCELLED, "the callback stopped the rotation");
    }
    return status;
}

enum envol_status envol_volume_rotate_run(struct envol_volume *volume, uint64_t bytes_per_second,
                                          envol_rotate_callback *callback, void *ctx,
                                          struct envol_rotation *rotation,
                                          struct envol_error *error)
{
    struct envol_rotation shown = {.struct_size = sizeof(shown)};
    struct pace pace = {.bytes_per_second = bytes_per_second};
    enum envol_status status = ENVOL_E_ARGUMENT;

    if (is_sound(rotation) && volume != NULL)
        status = run(volume, &pace, callback, ctx, &shown, error);
    else
        envol_fail(error, status, "a NULL volume, or the struct_size of rotation is too small");
    if (rotation != NULL && is_sound(rotation))
        ENVOL_GIVE(rotation, rotation, &shown);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
