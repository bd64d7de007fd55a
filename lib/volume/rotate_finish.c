/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a rotation: the older DEKs go, or stay for pages that do not read, or for records that
 * are not the volume's. */
#include "base/error.h"
#include "base/memory.h"
#include "page/revoke.h"
#include "volume/catalog.h"
#include "volume/rotation.h"

#include <string.h>

/* What a retirement changes of a header, to undo it. */
struct before {
    struct envol_rotation_record rotation;
    uint32_t lowest_epoch, retained_count;
    struct envol_retained retained[ENVOL_RETAINED_MAX];
};

static struct before remember(const struct envol_header *header)
{
    struct before before = {.rotation = header->rotation,
                            .lowest_epoch = header->lowest_epoch,
                            .retained_count = header->retained_count};

    memcpy(before.retained, header->retained, sizeof(before.retained));
    return before;
}

static void undo(struct envol_header *header, const struct before *before)
{
    header->rotation = before->rotation;
    header->lowest_epoch = before->lowest_epoch;
    header->retained_count = before->retained_count;
    memcpy(header->retained, before->retained, sizeof(before->retained));
}

static enum envol_status check(const struct envol_volume *volume, uint32_t flags,
                               struct envol_error *error)
{
    bool inherits = (volume->keyring->flags & ENVOL_OPEN_INHERIT) != 0;

    if (inherits && volume->header->retained_count > 0)
        return envol_fail(error, ENVOL_E_STATE, "forked children may use the older DEK still");
    if (!envol_rotation_is_on(volume))
        return (flags & ENVOL_ROTATE_ABANDON_BAD) != 0 && volume->header->retained_count > 0
                   ? ENVOL_OK
                   : envol_fail(error, ENVOL_E_STATE, "there is no rotation to finish");
    if (atomic_load(&volume->sweep.next) != ENVOL_SWEEP_DONE)
        return envol_fail(error, ENVOL_E_STATE, "not every page was visited");
    return ENVOL_OK;
}

/* All pages are under one DEK again. */
static void close_sweep(struct envol_volume *volume)
{
    struct envol_sweep *sweep = &volume->sweep;

    if (sweep->swept != NULL) {
        envol_object_close(volume->object);
        volume->object = sweep->swept;
        sweep->swept = NULL;
    }
    envol_free(sweep->memory);
    sweep->memory = NULL;
    sweep->memory_bytes = 0;
    sweep->is_open = false;
    envol_sweep_unlock_readers(volume);
}

/* The keyring of the epochs that are left is made before the header goes over to it: from there on
 * nothing can fail, as nobody takes the keys away meanwhile. */
static enum envol_status retire(struct envol_volume *volume, bool keep, struct envol_error *error)
{
    struct envol_keyring *keyring;
    enum envol_status status = envol_header_retire(volume->header, keep ? ENVOL_RETIRE_KEEP : 0);

    if (status == ENVOL_E_STATE)
        return envol_fail(error, status, "every older DEK is needed still");
    if (status == ENVOL_OK)
        status = envol_header_unlock_with(volume->header, volume->keyring, NULL, &keyring);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    if (status == ENVOL_OK) {
        status = envol_keyring_adopt(volume->keyring, keyring);
        if (status != ENVOL_OK)
            envol_fail(error, status, NULL);
    }
    envol_keyring_close(keyring);
    return status;
}

static enum envol_status finish(struct envol_volume *volume, uint32_t flags,
                                struct envol_error *error)
{
    const struct before before = remember(volume->header);
    bool keep = (flags & ENVOL_ROTATE_KEEP_OLD) != 0 ||
                (atomic_load(&volume->sweep.bad) > 0 && (flags & ENVOL_ROTATE_ABANDON_BAD) == 0);
    uint64_t pages = atomic_load(&volume->pages);
    enum envol_status status = envol_volume_flush(volume, error);

    /* The journal's place goes before the store's size counts again. */
    if (status == ENVOL_OK && envol_rotation_is_xts(volume))
        status = envol_volume_cut_store(volume, error);
    if (status != ENVOL_OK)
        return status;
    envol_rotation_note_end(volume, pages);
    status = retire(volume, keep, error);
    if (status == ENVOL_OK)
        close_sweep(volume);
    else
        undo(volume->header, &before);
    return status;
}

enum envol_status envol_volume_rotate_finish(struct envol_volume *volume, uint32_t flags,
                                             struct envol_error *error)
{
    enum envol_status status;

    if (volume == NULL ||
        (flags != 0 && flags != ENVOL_ROTATE_ABANDON_BAD && flags != ENVOL_ROTATE_KEEP_OLD))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL volume, or flags that finish does not know or take together");
    status = envol_rotation_lock(volume, &(const struct envol_patience){0}, error);
    if (status != ENVOL_OK)
        return status;
    status = check(volume, flags, error);
    if (status == ENVOL_OK) /* without a space it stays, and its DEK too */
        status = envol_catalog_move(volume, error);
    if (status == ENVOL_OK)
        status = finish(volume, flags, error);
    envol_rotation_unlock(volume);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
