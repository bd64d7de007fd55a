/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking over what a writer in another handle changed. */
#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "volume/follow.h"
#include "volume/snapshot.h"

#include <string.h>

/* --- A header of the DEK in use --- */

static bool has_other_epochs(const struct envol_header *a, const struct envol_header *b)
{
    return a->epoch != b->epoch || a->lowest_epoch != b->lowest_epoch ||
           a->retained_count != b->retained_count;
}

/* Only a header of the same DEK can be verified without the key service. */
static enum envol_status verify(const struct envol_volume *volume, struct envol_header *header,
                                struct envol_keyring **keyring)
{
    const struct envol_header *known = volume->header;
    enum envol_status status;

    *keyring = NULL;
    if (memcmp(header->uuid, known->uuid, sizeof(header->uuid)) != 0 ||
        header->id.generation < known->id.generation)
        return ENVOL_E_STALE;
    status = envol_header_unlock_with(header, volume->keyring, NULL, keyring);
    if (status == ENVOL_E_WRONG_KEY)
        return ENVOL_E_STALE;
    if (status == ENVOL_OK && header->id.generation == known->id.generation &&
        memcmp(header->id.mac, known->id.mac, sizeof(header->id.mac)) != 0)
        return ENVOL_E_STALE;
    return status;
}

/* A writer's own header is the newest there is, unless somebody changed it behind its back. */
static enum envol_status compare(const struct envol_volume *volume,
                                 const struct envol_header *header)
{
    return header->id.generation == volume->header->id.generation ? ENVOL_OK : ENVOL_E_STALE;
}

/* Keys first: what the header says of pages is looked at with them.  Takes the header. */
static enum envol_status take_over(struct envol_volume *volume, struct envol_header *header,
                                   struct envol_keyring *keyring, struct envol_error *error)
{
    struct envol_header *old = volume->header;
    enum envol_status status = ENVOL_OK;

    if (has_other_epochs(old, header))
        status = envol_keyring_adopt(volume->keyring, keyring);
    if (status == ENVOL_E_WRONG_KEY)
        status = ENVOL_E_STALE;
    if (status != ENVOL_OK) {
        envol_header_free(header);
        return envol_fail(error, status, NULL);
    }
    volume->header = header;
    status = envol_volume_measure(volume, error);
    if (status != ENVOL_OK) {
        volume->header = old;
        envol_header_free(header);
        return status;
    }
    envol_header_free(old);
    return ENVOL_OK;
}

/* Access alone; takes the header. */
static enum envol_status take_known(struct envol_volume *volume, struct envol_header *header,
                                    struct envol_error *error)
{
    struct envol_keyring *keyring;
    enum envol_status status = verify(volume, header, &keyring);

    if (status == ENVOL_OK && !volume->read_only)
        status = compare(volume, header);
    if (status != ENVOL_OK || !volume->read_only) {
        envol_header_free(header);
        if (status != ENVOL_OK)
            envol_fail(error, status, NULL);
    } else {
        status = take_over(volume, header, keyring, error);
    }
    envol_keyring_close(keyring);
    return status;
}

/* --- A header of a newer one --- */

static const struct envol_slot *opened_slot(const struct envol_volume *volume)
{
    const struct envol_header *header = volume->header;

    for (uint32_t i = 0; i < header->slot_count; i++)
        if (header->slots[i]->id == volume->opened_slot)
            return header->slots[i];
    return NULL;
}

/* Access alone; takes the header. */
static enum envol_status note_newer(const struct envol_volume *volume, struct envol_header *header,
                                    struct envol_newer *newer, struct envol_error *error)
{
    const struct envol_slot *slot = opened_slot(volume);
    size_t bytes = slot != NULL ? strlen(slot->key_ref) + 1 : 0;

    newer->header = header;
    newer->provider = volume->opened_by;
    if (slot == NULL || header->id.generation < volume->header->id.generation)
        return envol_fail(error, ENVOL_E_STALE, NULL);
    newer->key_ref = envol_alloc(bytes, 1);
    if (newer->key_ref == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    memcpy(newer->key_ref, slot->key_ref, bytes);
    return ENVOL_OK;
}

static void end_newer(struct envol_newer *newer)
{
    envol_header_free(newer->header);
    envol_free(newer->key_ref);
    *newer = (struct envol_newer){.header = NULL};
}

enum envol_status envol_volume_look(struct envol_volume *volume, bool may_take,
                                    struct envol_newer *newer, struct envol_error *error)
{
    struct envol_header *header = NULL;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_REFRESH);

    *newer = (struct envol_newer){.header = NULL};
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_read_header(volume->store, 0, true, &header, error);
    if (status == ENVOL_OK && volume->read_only && header->epoch > volume->header->epoch)
        status = note_newer(volume, header, newer, error);
    else if (status == ENVOL_OK && may_take)
        status = take_known(volume, header, error);
    else
        envol_header_free(header);
    envol_volume_leave(volume);
    if (status != ENVOL_OK)
        end_newer(newer);
    return status;
}

static enum envol_status unwrap(struct envol_volume *volume, const struct envol_newer *newer,
                                struct envol_key_call *call, uint32_t *slot_id,
                                struct envol_keyring **keyring, struct envol_error *error)
{
    uint32_t flags = volume->keyring->flags;
    void *dek;
    enum envol_status status = envol_arena_alloc(ENVOL_DEK_BYTES, flags, &dek);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_keys_unwrap(call, newer->header, dek, slot_id, error);
    if (status == ENVOL_E_NO_PROVIDER)
        status = envol_fail(error, ENVOL_E_STALE,
                            "the slot that opened the volume was not taken over to its new DEK");
    if (status == ENVOL_OK) {
        status = envol_header_unlock(newer->header, dek, flags, NULL, keyring);
        if (status != ENVOL_OK) {
            envol_fail(error, status, NULL);
            envol_error_set_slot(error, (int32_t)*slot_id);
        }
    }
    envol_arena_free(dek, ENVOL_DEK_BYTES);
    return status;
}

/* Somebody else may have come first; and the header may have been written again since. */
static enum envol_status install(struct envol_volume *volume, struct envol_newer *newer,
                                 struct envol_keyring *keyring, uint32_t slot_id,
                                 struct envol_error *error)
{
    const struct envol_header *known;
    struct envol_header *header = newer->header;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_REFRESH);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    known = volume->header;
    if (memcmp(header->uuid, known->uuid, sizeof(known->uuid)) != 0) {
        status = envol_fail(error, ENVOL_E_STALE, NULL);
    } else if (header->id.generation > known->id.generation) {
        newer->header = NULL;
        status = take_over(volume, header, keyring, error);
        if (status == ENVOL_OK)
            volume->opened_slot = slot_id;
    }
    envol_volume_leave(volume);
    return status;
}

enum envol_status envol_volume_follow(struct envol_volume *volume, struct envol_newer *newer,
                                      uint64_t deadline_ms, const int *cancel_flag,
                                      struct envol_error *error)
{
    const struct envol_cmk cmk = {newer->provider, newer->key_ref};
    struct envol_key_call call = {
        .cmks = &cmk,
        .cmk_count = 1,
        .flags = volume->keyring->flags,
        .deadline_ms = deadline_ms,
        .cancel_flag = cancel_flag,
    };
    struct envol_keyring *keyring = NULL;
    uint32_t slot_id = 0;
    enum envol_status status = unwrap(volume, newer, &call, &slot_id, &keyring, error);

    if (status == ENVOL_OK)
        status = install(volume, newer, keyring, slot_id, error);
    envol_keyring_close(keyring);
    end_newer(newer);
    return status;
}

/* An image stays as it is, and the keys are the writer's. */
enum envol_status envol_volume_reread(struct envol_volume *volume)
{
    struct envol_newer newer;
    enum envol_status status;

    if (envol_image_is_own(volume))
        return ENVOL_OK;
    status = envol_volume_look(volume, true, &newer, NULL);
    if (status == ENVOL_OK && newer.header != NULL)
        status = ENVOL_E_STALE;
    end_newer(&newer);
    return status;
}

enum envol_status envol_volume_refresh(struct envol_volume *volume, struct envol_error *error)
{
    struct envol_newer newer;
    enum envol_status status;

    if (volume != NULL && envol_image_is_own(volume)) {
        status = envol_volume_enter(volume, ENVOL_ACCESS_REFRESH);
        if (status != ENVOL_OK)
            return envol_fail(error, status, NULL);
        envol_volume_leave(volume); /* an image stays as it is, and the keys are the writer's */
        envol_error_clear(error);
        return ENVOL_OK;
    }
    status = envol_volume_look(volume, true, &newer, error);
    if (status == ENVOL_OK && newer.header != NULL)
        status = envol_volume_follow(volume, &newer, 0, NULL, error);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
