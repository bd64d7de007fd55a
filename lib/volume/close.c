/* SPDX-License-Identifier: BSD-2-Clause */
/* Making pages durable, and leaving a volume clean. */
#include "base/error.h"
#include "volume/area.h"
#include "volume/rotation.h"
#include "volume/snapshot.h"

/* So many seals may a crash lose from the header's estimate: a 2^21st of what a DEK may see. */
#define SEALS_DUE (UINT64_C(1) << 24)

static uint64_t seals_due(const struct envol_volume *volume)
{
    return envol_keyring_seals(volume->keyring) - volume->seals;
}

/* Pages are on stable storage; the header follows where it must, and what growth that failed left
 * behind goes: a crash must not make pages of it after this sync. */
static enum envol_status settle_header(struct envol_volume *volume, uint64_t pages)
{
    enum envol_status status = ENVOL_OK;
    bool is_news;

    pthread_mutex_lock(&volume->growth);
    if (volume->cut_due)
        status = envol_volume_cut_store(volume, NULL);
    if (status != ENVOL_OK)
        goto out;
    /* News once: from here on whatever fails is an update, which is repeated. */
    is_news = envol_rotation_note_end(volume, pages);
    if (atomic_exchange(&volume->raise_due, false)) {
        status = envol_volume_raise_mark(volume, NULL);
        if (status != ENVOL_OK)
            atomic_store(&volume->raise_due, true);
    } else if (volume->header_due || is_news || seals_due(volume) >= SEALS_DUE)
        status = envol_volume_commit(volume, volume->mark, volume->clean, NULL);
out:
    pthread_mutex_unlock(&volume->growth);
    return status;
}

static enum envol_status flush_pages(struct envol_volume *volume)
{
    enum envol_status status = envol_area_settle(volume, NULL);

    return status == ENVOL_OK ? envol_volume_flush(volume, NULL) : status;
}

/* Whether the header has to follow pages that were synced. */
static bool is_header_due(struct envol_volume *volume)
{
    bool due;

    pthread_mutex_lock(&volume->growth);
    due = volume->header_due || volume->raise_due || volume->cut_due;
    pthread_mutex_unlock(&volume->growth);
    return due;
}

/* Without keys: records that were written are sealed, and can be made durable; a header, which is
 * no forked child's anyway, cannot. */
static enum envol_status sync_in_the_dark(struct envol_volume *volume)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);

    if (status != ENVOL_OK)
        return status;
    if (!volume->read_only)
        status = flush_pages(volume);
    if (status == ENVOL_OK && envol_volume_is_own(volume) && is_header_due(volume))
        status = ENVOL_E_KEY_REVOKED;
    envol_volume_leave(volume);
    return status;
}

enum envol_status envol_volume_sync(struct envol_volume *volume)
{
    uint64_t pages;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);

    if (status == ENVOL_E_KEY_REVOKED)
        return sync_in_the_dark(volume);
    if (status == ENVOL_E_READ_ONLY)
        return ENVOL_OK; /* nothing was written */
    if (status != ENVOL_OK)
        return status;
    pages = atomic_load(&volume->pages);
    status = flush_pages(volume);
    if (status == ENVOL_OK && envol_volume_is_own(volume))
        status = settle_header(volume, pages);
    envol_volume_leave(volume);
    return status;
}

/* Syncs, and writes the exact mark: the next open has nothing to search.  A sweep goes on where it
 * came to. */
static enum envol_status leave_clean(struct envol_volume *volume)
{
    uint64_t pages = atomic_load(&volume->pages);
    bool is_news;
    enum envol_status status = envol_area_retire(volume, NULL);

    if (status == ENVOL_OK)
        status = envol_volume_flush(volume, NULL);
    if (status == ENVOL_OK && volume->cut_due)
        status = envol_volume_cut_store(volume, NULL);
    if (status != ENVOL_OK)
        return status;
    is_news = envol_rotation_note_end(volume, pages);
    is_news |= envol_rotation_note_sweep(volume);
    is_news |= envol_snapshots_note(volume);
    if (volume->clean && volume->mark == pages && !volume->header_due && seals_due(volume) == 0 &&
        !is_news)
        return ENVOL_OK;
    return envol_volume_commit(volume, pages, true, NULL);
}

enum envol_status envol_volume_close(struct envol_volume *volume)
{
    enum envol_status status = ENVOL_OK;

    if (volume == NULL)
        return ENVOL_OK;
    envol_lease_stop(volume->lease);
    if (envol_volume_is_own(volume)) {
        envol_volume_close_lanes(volume); /* they tell the keyring of their last seals */
        if (!volume->read_only)
            status = leave_clean(volume);
    }
    envol_volume_free(volume);
    return status;
}
