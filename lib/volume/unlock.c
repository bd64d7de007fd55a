/* SPDX-License-Identifier: BSD-2-Clause */
/* Bringing the keys of an open volume back after a lease took them. */
#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "page/revoke.h"
#include "volume/keys.h"
#include "volume/lease.h"
#include "volume/snapshot.h"
#include "volume/wait.h"

#include <string.h>

/* What unlocking found: a header as it is on the store, and a keyring of its own. */
struct found {
    struct envol_header *header;
    struct envol_keyring *keyring;
    const struct envol_provider *provider;
    uint32_t slot_id;
};

/* Nobody else is at the header while it is read: this handle may be the one that updates it. */
static enum envol_status read_header(struct envol_volume *volume, struct found *found,
                                     struct envol_error *error)
{
    enum envol_status status;

    pthread_rwlock_wrlock(&volume->access);
    status = envol_volume_read_header(volume->store, 0, true, &found->header, error);
    pthread_rwlock_unlock(&volume->access);
    return status;
}

/* As in an open: pins, one unwrapping, MAC. */
static enum envol_status unwrap(struct envol_volume *volume, struct envol_key_call *call,
                                struct found *found, struct envol_error *error)
{
    uint32_t flags = volume->keyring->flags;
    void *dek;
    enum envol_status status = envol_arena_alloc(ENVOL_DEK_BYTES, flags, &dek);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    call->winner = &found->provider;
    status = envol_keys_unwrap(call, found->header, dek, &found->slot_id, error);
    if (status == ENVOL_OK) {
        status = envol_header_unlock(found->header, dek, flags, NULL, &found->keyring);
        if (status != ENVOL_OK) {
            envol_fail(error, status, NULL);
            envol_error_set_slot(error, (int32_t)found->slot_id);
        }
    }
    envol_arena_free(dek, ENVOL_DEK_BYTES);
    return status;
}

/* The handle's own header, whose MAC it once verified, must be under the same DEK or one that is
 * kept beside a newer one: engines hold objects and epochs of that one. */
static enum envol_status check(const struct envol_volume *volume, const struct found *found)
{
    const struct envol_header *known = volume->header;
    const struct envol_epoch_keys *keys = envol_keyring_find(found->keyring, known->epoch);

    if (memcmp(found->header->uuid, known->uuid, sizeof(known->uuid)) != 0 || keys == NULL ||
        (!volume->read_only && found->header->epoch != known->epoch) ||
        found->header->id.generation < known->id.generation ||
        envol_header_verify_mac(known, keys->dek) != ENVOL_OK)
        return ENVOL_E_STALE;
    return ENVOL_OK;
}

/* A reader's header, whose writer rotated the DEK while it was dark. */
static enum envol_status follow(struct envol_volume *volume, struct found *found)
{
    struct envol_header *old = volume->header;
    enum envol_status status;

    if (found->header->epoch == old->epoch)
        return ENVOL_OK;
    status = envol_keyring_adopt(volume->keyring, found->keyring);
    if (status != ENVOL_OK)
        return status;
    volume->header = found->header;
    status = envol_volume_measure(volume, NULL);
    if (status != ENVOL_OK) {
        volume->header = old;
        return status;
    }
    found->header = NULL;
    envol_header_free(old);
    return ENVOL_OK;
}

/* Keys that were away come back, or stay away: a lease does not look after them before it is
 * renewed. */
static enum envol_status restore(struct envol_volume *volume, struct found *found)
{
    bool were_away = envol_keyring_check(volume->keyring) == ENVOL_E_KEY_REVOKED;
    enum envol_status status = envol_keyring_restore(volume->keyring, found->keyring);

    if (status != ENVOL_OK)
        return status;
    status = follow(volume, found);
    if (status != ENVOL_OK && were_away)
        envol_keyring_revoke(volume->keyring);
    return status;
}

static enum envol_status bring_back(struct envol_volume *volume, struct found *found)
{
    enum envol_status status;

    pthread_rwlock_wrlock(&volume->access);
    status = check(volume, found);
    if (status == ENVOL_OK)
        status = restore(volume, found);
    if (status == ENVOL_OK) {
        volume->opened_slot = found->slot_id;
        volume->opened_by = found->provider;
    }
    pthread_rwlock_unlock(&volume->access);
    return status;
}

/* Holds turn. */
static enum envol_status unlock(struct envol_volume *volume, struct envol_key_call *call,
                                struct envol_error *error)
{
    struct found found = {.header = NULL};
    enum envol_status status = read_header(volume, &found, error);

    if (status == ENVOL_OK)
        status = unwrap(volume, call, &found, error);
    if (status == ENVOL_OK) {
        status = bring_back(volume, &found);
        if (status != ENVOL_OK)
            envol_fail(error, status, NULL);
    }
    envol_keyring_close(found.keyring);
    envol_header_free(found.header);
    if (status == ENVOL_OK && volume->lease != NULL)
        envol_lease_renew(volume->lease);
    return status;
}

enum envol_status envol_volume_unlock(struct envol_volume *volume, const struct envol_cmk *cmks,
                                      size_t cmk_count, const struct envol_volume_options *options,
                                      struct envol_error *error)
{
    struct envol_volume_options whole;
    struct envol_key_call call;
    struct envol_patience patience;
    enum envol_status status;

    if (volume == NULL || !envol_volume_options_take(options, ~0u, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (!envol_volume_is_own(volume))
        return envol_fail(error, ENVOL_E_FORKED, NULL);
    if (envol_image_is_own(volume))
        return envol_fail(error, ENVOL_E_STATE, "an image has the keys of its volume: unlock that");
    status = envol_key_call_make(cmks, cmk_count, &whole, &call, error);
    if (status != ENVOL_OK)
        return status;
    patience = (struct envol_patience){call.deadline_ms, call.cancel_flag};
    status = envol_wait_mutex(&volume->turn, &patience);
    if (status == ENVOL_E_STATE)
        return envol_fail(error, status, "a lease's callback cannot unlock its volume");
    if (status != ENVOL_OK)
        return envol_fail(error, status, "while another check or unlocking went on");
    status = unlock(volume, &call, error);
    pthread_mutex_unlock(&volume->turn);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
