/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate of every call on a volume: may this process and this handle do it, the locks, and a lane
 * for the time of the call.
 */
#include "base/arena.h"
#include "base/memory.h"
#include "page/revoke.h"
#include "volume/volume.h"

bool envol_volume_is_own(const struct envol_volume *volume)
{
    return volume->generation == envol_process_generation();
}

static bool is_alone(enum envol_access access)
{
    return access == ENVOL_ACCESS_ALONE || access == ENVOL_ACCESS_REFRESH;
}

/* Growth is held inside access by those who share it; a second taker finds nothing due. */
static enum envol_status settle_header(struct envol_volume *volume)
{
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&volume->growth);
    if (atomic_load(&volume->header_due))
        status = envol_volume_commit(volume, volume->mark, volume->clean, NULL);
    pthread_mutex_unlock(&volume->growth);
    return status;
}

enum envol_status envol_volume_enter(struct envol_volume *volume, enum envol_access access)
{
    enum envol_status status;

    if (volume == NULL)
        return ENVOL_E_ARGUMENT;
    status = access == ENVOL_ACCESS_LOOK ? envol_keyring_usable(volume->keyring)
                                         : envol_keyring_check(volume->keyring);
    if (status != ENVOL_OK)
        return status;
    if ((access == ENVOL_ACCESS_WRITE || access == ENVOL_ACCESS_ALONE) && volume->read_only)
        return ENVOL_E_READ_ONLY;
    if (!envol_volume_is_own(volume)) /* an image's index has a lock of its own */
        return is_alone(access) || volume->image != NULL ? ENVOL_E_FORKED : ENVOL_OK;
    if (is_alone(access))
        pthread_rwlock_wrlock(&volume->access);
    else
        pthread_rwlock_rdlock(&volume->access);
    if (atomic_load_explicit(&volume->header_due, memory_order_acquire) &&
        access != ENVOL_ACCESS_READ && access != ENVOL_ACCESS_LOOK && !volume->read_only) {
        status = settle_header(volume);
        if (status != ENVOL_OK)
            pthread_rwlock_unlock(&volume->access);
    }
    return status;
}

void envol_volume_leave(struct envol_volume *volume)
{
    if (envol_volume_is_own(volume))
        pthread_rwlock_unlock(&volume->access);
}

/* Where a thread looks first: threads have their own storage pages, so they differ in these bits.
 */
static size_t first_place(void)
{
    static _Thread_local char here;

    return ((uintptr_t)&here >> 12) % ENVOL_IDLE_LANES;
}

static void close_lane(struct envol_volume_lane *lane)
{
    envol_lane_close(lane->lane);
    envol_free(lane->records);
    envol_free(lane);
}

static enum envol_status open_lane(const struct envol_volume *volume,
                                   struct envol_volume_lane **lane)
{
    struct envol_volume_lane *made = envol_alloc(sizeof(*made), _Alignof(struct envol_volume_lane));
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (made == NULL)
        return status;
    made->records = envol_alloc((size_t)volume->run * volume->stride_bytes, ENVOL_BUFFER_ALIGN);
    if (made->records != NULL)
        status = envol_lane_open(volume->keyring, &made->lane);
    if (status != ENVOL_OK) {
        close_lane(made);
        return status;
    }
    *lane = made;
    return ENVOL_OK;
}

enum envol_status envol_volume_lane_take(struct envol_volume *volume,
                                         struct envol_volume_lane **lane)
{
    size_t first = first_place();

    for (size_t i = 0; i < ENVOL_IDLE_LANES; i++) {
        size_t place = (first + i) % ENVOL_IDLE_LANES;
        if (atomic_load_explicit(&volume->idle[place], memory_order_relaxed) == NULL)
            continue;
        *lane = atomic_exchange_explicit(&volume->idle[place], NULL, memory_order_acquire);
        if (*lane != NULL)
            return ENVOL_OK;
    }
    return open_lane(volume, lane);
}

void envol_volume_lane_give(struct envol_volume *volume, struct envol_volume_lane *lane)
{
    size_t first = first_place();

    for (size_t i = 0; i < ENVOL_IDLE_LANES; i++) {
        struct envol_volume_lane *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&volume->idle[(first + i) % ENVOL_IDLE_LANES],
                                                    &none, lane, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    close_lane(lane);
}

void envol_volume_close_lanes(struct envol_volume *volume)
{
    for (size_t i = 0; i < ENVOL_IDLE_LANES; i++) {
        struct envol_volume_lane *lane = atomic_exchange(&volume->idle[i], NULL);
        if (lane != NULL)
            close_lane(lane);
    }
}
