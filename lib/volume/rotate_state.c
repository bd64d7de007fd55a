/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a rotation is: taken from the header, shown, saved, paused. */
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "volume/rotation.h"

bool envol_rotation_is_on(const struct envol_volume *volume)
{
    return volume->header->rotation.kind != 0;
}

bool envol_rotation_is_xts(const struct envol_volume *volume)
{
    return volume->header->rotation.kind == ENVOL_ROTATION_PAGES;
}

enum envol_status envol_sweep_open_object(struct envol_volume *volume)
{
    if (volume->sweep.swept != NULL)
        return ENVOL_OK;
    return envol_object_open(volume->keyring, envol_volume_own_pages, &volume->sweep.swept);
}

/* Under XTS pages that were not visited, from next on, are under the epoch that is being left.  In
 * a volume without pages none is, and those to come are of the new one. */
static enum envol_status open_objects(struct envol_volume *volume, uint64_t next)
{
    const struct envol_rotation_record *record = &volume->header->rotation;
    struct envol_object *object = volume->object;
    uint32_t epoch = envol_rotation_is_xts(volume) ? record->from_epoch : volume->keyring->epoch;
    enum envol_status status;

    if (object->epoch != epoch) {
        status =
            envol_object_open_at(volume->keyring, envol_volume_own_pages, epoch, &volume->object);
        if (status != ENVOL_OK) {
            volume->object = object;
            return status;
        }
        envol_object_close(object);
    }
    if (!envol_rotation_is_xts(volume)) {
        envol_object_close(volume->sweep.swept);
        volume->sweep.swept = NULL;
    } else if (next > 0) {
        return envol_sweep_open_object(volume);
    }
    return ENVOL_OK;
}

enum envol_status envol_rotation_measure(struct envol_volume *volume, struct envol_error *error)
{
    const struct envol_rotation_record *record = &volume->header->rotation;
    struct envol_sweep *sweep = &volume->sweep;
    uint64_t next = record->next_page;
    enum envol_status status = ENVOL_OK;

    if (volume->read_only && record->hot_count > 0)
        return envol_fail(error, ENVOL_E_STATE,
                          "a rotation was interrupted: a writer has to open the volume first");
    if (envol_rotation_is_xts(volume) && record->hot_count == 0 && next == record->pages)
        next = ENVOL_SWEEP_DONE;
    sweep->is_open = envol_rotation_is_on(volume) && !volume->read_only &&
                     (volume->keyring->flags & ENVOL_OPEN_INHERIT) == 0;
    sweep->saved = next;
    atomic_store(&sweep->next, next);
    atomic_store(&sweep->bad, record->bad_pages);
    atomic_store(&sweep->first_bad, record->bad_pages > 0 ? record->first_bad : ENVOL_NO_PAGE);
    if (!volume->gcm)
        status = open_objects(volume, next);
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

enum envol_status envol_rotation_clear_end(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (!envol_rotation_is_xts(volume))
        return status;
    if (atomic_load(&volume->header_due))
        status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    if (status == ENVOL_OK && volume->header->rotation.hot_count > 0)
        status = envol_fail(error, ENVOL_E_IO, "a step of the rotation failed: repeat it first");
    return status;
}

/* When all pages were visited those that came since are of the new epoch too. */
void envol_rotation_cut(struct envol_volume *volume, uint64_t pages)
{
    struct envol_rotation_record *record = &volume->header->rotation;
    struct envol_sweep *sweep = &volume->sweep;
    bool is_done = atomic_load(&sweep->next) == ENVOL_SWEEP_DONE;

    if (!envol_rotation_is_xts(volume))
        return;
    record->pages = record->journal_page = pages;
    if (record->next_page < pages && !is_done)
        return;
    record->next_page = pages;
    if (!is_done)
        atomic_store(&sweep->next, pages);
}

/* A sync may come late, and its pages be fewer than those of another.  What is not synced yet is
 * never told: a crash would leave pages that the store ends before.  While a run is half-way there
 * is no growth to tell of, and its journal stays where the header says that it is. */
bool envol_rotation_note_end(struct envol_volume *volume, uint64_t pages)
{
    struct envol_rotation_record *record = &volume->header->rotation;

    if (!envol_rotation_is_xts(volume) || record->hot_count > 0 || record->pages >= pages)
        return false;
    record->pages = record->journal_page = pages;
    if (atomic_load(&volume->sweep.next) == ENVOL_SWEEP_DONE)
        record->next_page = pages;
    return true;
}

/* XTS: each run of a sweep tells the header itself. */
bool envol_rotation_note_sweep(struct envol_volume *volume)
{
    struct envol_sweep *sweep = &volume->sweep;
    uint64_t next = atomic_load(&sweep->next);

    if (!sweep->is_open || !volume->gcm || next == sweep->saved)
        return false;
    sweep->saved = next;
    return envol_header_set_sweep(volume->header, next, atomic_load(&sweep->bad),
                                  atomic_load(&sweep->first_bad)) == ENVOL_OK;
}

void envol_rotation_note_bad(struct envol_volume *volume, uint64_t page_no)
{
    if (atomic_fetch_add(&volume->sweep.bad, 1) == 0)
        atomic_store(&volume->sweep.first_bad, page_no);
}

static enum envol_rotation_state state_of(const struct envol_sweep *sweep, uint64_t next)
{
    if (next == ENVOL_SWEEP_DONE)
        return ENVOL_ROTATION_SWEPT;
    return atomic_load(&sweep->paused) ? ENVOL_ROTATION_PAUSED : ENVOL_ROTATION_RUNNING;
}

void envol_rotation_show(struct envol_volume *volume, struct envol_rotation *rotation)
{
    const struct envol_sweep *sweep = &volume->sweep;
    uint64_t next = atomic_load(&sweep->next);
    bool is_own = envol_volume_is_own(volume);

    *rotation = (struct envol_rotation){.struct_size = sizeof(*rotation)};
    if (is_own)
        pthread_mutex_lock(&volume->growth);
    rotation->epoch = volume->header->epoch;
    rotation->first_bad = ENVOL_NO_PAGE;
    rotation->pages = atomic_load(&volume->pages);
    if (envol_rotation_is_on(volume)) {
        rotation->state = state_of(sweep, next);
        rotation->from_epoch = volume->header->rotation.from_epoch;
        rotation->done = next < rotation->pages ? next : rotation->pages;
        rotation->bad = atomic_load(&sweep->bad);
        rotation->first_bad = atomic_load(&sweep->first_bad);
    }
    if (is_own)
        pthread_mutex_unlock(&volume->growth);
}

enum envol_status envol_rotation_save(struct envol_volume *volume, uint64_t next,
                                      struct envol_error *error)
{
    struct envol_sweep *sweep = &volume->sweep;
    enum envol_status status = envol_volume_flush(volume, error);

    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&volume->growth);
    status = envol_header_set_sweep(volume->header, next, atomic_load(&sweep->bad),
                                    atomic_load(&sweep->first_bad));
    if (status == ENVOL_OK)
        status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    else
        envol_fail(error, status, NULL);
    pthread_mutex_unlock(&volume->growth);
    if (status == ENVOL_OK)
        sweep->saved = next;
    return status;
}

/* A lease's callback, which its holder of turn called, cannot wait for that. */
static enum envol_status lock_turns(struct envol_volume *volume,
                                    const struct envol_patience *patience,
                                    struct envol_error *error)
{
    enum envol_status status = envol_wait_mutex(&volume->turn, patience);

    if (status == ENVOL_E_STATE)
        return envol_fail(error, status, "a lease's callback cannot rotate the DEK");
    if (status != ENVOL_OK)
        return envol_fail(error, status, "while the lease was checked, or the volume unlocked");
    status = envol_wait_mutex(&volume->sweep.turn, patience);
    if (status == ENVOL_OK)
        return status;
    pthread_mutex_unlock(&volume->turn);
    return envol_fail(error, status, "while a step of a sweep went on");
}

enum envol_status envol_rotation_lock(struct envol_volume *volume,
                                      const struct envol_patience *patience,
                                      struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    envol_volume_leave(volume);
    if (volume->read_only)
        return envol_fail(error, ENVOL_E_READ_ONLY, NULL);
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED, "a forked child cannot rotate the DEK");
    status = lock_turns(volume, patience, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);
    if (status == ENVOL_OK)
        return status;
    pthread_mutex_unlock(&volume->sweep.turn);
    pthread_mutex_unlock(&volume->turn);
    return envol_fail(error, status, NULL);
}

void envol_rotation_unlock(struct envol_volume *volume)
{
    envol_volume_leave(volume);
    pthread_mutex_unlock(&volume->sweep.turn);
    pthread_mutex_unlock(&volume->turn);
}

enum envol_status envol_volume_rotate_status(struct envol_volume *volume,
                                             struct envol_rotation *rotation)
{
    struct envol_rotation whole;
    enum envol_status status;

    if (!ENVOL_FITS(rotation, rotation))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(rotation);
    status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);
    if (status != ENVOL_OK)
        return status;
    envol_rotation_show(volume, &whole);
    envol_volume_leave(volume);
    ENVOL_GIVE(rotation, rotation, &whole);
    return ENVOL_OK;
}

static enum envol_status set_paused(struct envol_volume *volume, bool paused)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);

    if (status != ENVOL_OK)
        return status;
    if (volume->read_only)
        status = ENVOL_E_READ_ONLY;
    else if (!envol_volume_is_own(volume))
        status = ENVOL_E_FORKED;
    else if (!volume->sweep.is_open)
        status = ENVOL_E_STATE;
    else
        atomic_store(&volume->sweep.paused, paused);
    envol_volume_leave(volume);
    return status;
}

enum envol_status envol_volume_rotate_pause(struct envol_volume *volume)
{
    enum envol_status status = set_paused(volume, true);

    if (status != ENVOL_OK)
        return status;
    /* A step in progress ends before its next transfer. */
    pthread_mutex_lock(&volume->sweep.turn);
    pthread_mutex_unlock(&volume->sweep.turn);
    return ENVOL_OK;
}

enum envol_status envol_volume_rotate_resume(struct envol_volume *volume)
{
    return set_paused(volume, false);
}
