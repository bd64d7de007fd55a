/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A check: the slot that opened the volume is unwrapped again, and the DEK compared with the one in
 * use, which the arena holds anyway.  No lock of the volume is held while the key service works.
 */
#include "volume/lease.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "page/revoke.h"
#include "volume/follow.h"
#include "volume/wait.h"

#include <string.h>

/* The slot as it stands in the header, and what its wrapping is bound to. */
struct probe {
    const struct envol_provider *provider; /* who unwraps it */
    struct envol_slot *slot;
    uint32_t epoch;
    char uuid[ENVOL_UUID_TEXT_BYTES], epoch_text[sizeof(((struct envol_header *)0)->epoch_text)];
    struct envol_context_pair context[3];
};

bool envol_lease_is_refusal(enum envol_status status)
{
    return status == ENVOL_E_KEY_DISABLED || status == ENVOL_E_KEY_DENIED ||
           status == ENVOL_E_KEY_PENDING_DELETION || status == ENVOL_E_KEY_NOT_FOUND ||
           status == ENVOL_E_WRONG_KEY;
}

static const struct envol_slot *find_slot(const struct envol_header *header, uint32_t id)
{
    for (uint32_t i = 0; i < header->slot_count; i++)
        if (header->slots[i]->id == id)
            return header->slots[i];
    return NULL;
}

static void copy_context(const struct envol_header *header, struct probe *probe)
{
    probe->epoch = header->epoch;
    memcpy(probe->uuid, header->uuid_text, sizeof(probe->uuid));
    memcpy(probe->epoch_text, header->epoch_text, sizeof(probe->epoch_text));
    memcpy(probe->context, header->context, sizeof(probe->context));
    for (size_t i = 0; i < sizeof(probe->context) / sizeof(probe->context[0]); i++) {
        if (probe->context[i].value == header->uuid_text)
            probe->context[i].value = probe->uuid;
        else if (probe->context[i].value == header->epoch_text)
            probe->context[i].value = probe->epoch_text;
    }
}

/* Access and growth: somebody may hold them for as long as a disk hangs. */
static enum envol_status lock(struct envol_volume *volume, const struct envol_patience *patience)
{
    enum envol_status status = envol_wait_shared(&volume->access, patience);

    if (status != ENVOL_OK)
        return status;
    status = envol_wait_mutex(&volume->growth, patience);
    if (status != ENVOL_OK)
        pthread_rwlock_unlock(&volume->access);
    return status;
}

/* A slot that somebody removed opens the volume for nobody any more. */
static enum envol_status take_probe(struct envol_volume *volume,
                                    const struct envol_patience *patience, struct probe *probe,
                                    struct envol_error *error)
{
    const struct envol_slot *slot;
    enum envol_status status = lock(volume, patience);

    probe->slot = NULL;
    if (status != ENVOL_OK)
        return envol_fail(error, status, "another call held the volume");
    status = ENVOL_E_KEY_NOT_FOUND;
    slot = find_slot(volume->header, volume->opened_slot);
    if (slot != NULL) {
        copy_context(volume->header, probe);
        probe->provider = volume->opened_by;
        status = envol_slot_copy(slot, &probe->slot);
    }
    pthread_mutex_unlock(&volume->growth);
    pthread_rwlock_unlock(&volume->access);
    if (status == ENVOL_E_KEY_NOT_FOUND)
        return envol_fail(error, status, "the header has no slot %u any more", volume->opened_slot);
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

/* Another DEK than the one in use proves nothing of the CMK's holder: as bad as a refusal. */
static enum envol_status compare(const struct envol_keyring *keyring, uint32_t epoch,
                                 const uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error)
{
    const struct envol_epoch_keys *keys;
    enum envol_status status = envol_keyring_hold(keyring, NULL);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    keys = envol_keyring_find(keyring, epoch);
    if (keys == NULL) /* the epoch went while the service was asked */
        status = envol_fail(error, ENVOL_E_STALE, NULL);
    else if (!envol_equal(dek, keys->dek, ENVOL_DEK_BYTES))
        status = envol_fail(error, ENVOL_E_WRONG_KEY,
                            "the slot unwraps to another DEK than the volume's");
    envol_keyring_release(keyring, NULL);
    return status;
}

static enum envol_status ask(struct envol_volume *volume, const struct envol_patience *patience,
                             const struct probe *probe, struct envol_error *error)
{
    const struct envol_slot *slot = probe->slot;
    uint32_t memory_flags = volume->keyring->flags;
    const struct envol_key_request request = {
        .struct_size = sizeof(request),
        .key_ref = slot->key_ref,
        .key_version = slot->key_version,
        .context = probe->context,
        .context_pairs = sizeof(probe->context) / sizeof(probe->context[0]),
        .deadline_ms = patience->deadline_ms,
        .cancel_flag = patience->cancel_flag,
        .flags = memory_flags & ENVOL_KEY_ALLOW_UNLOCKED,
    };
    void *dek;
    enum envol_status status = envol_arena_alloc(ENVOL_DEK_BYTES, memory_flags, &dek);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_provider_unwrap(probe->provider, &request, slot->wrapped, slot->wrapped_bytes,
                                   dek, error);
    if (status == ENVOL_OK)
        status = compare(volume->keyring, probe->epoch, dek, error);
    if (status != ENVOL_OK)
        envol_error_set_slot(error, (int32_t)slot->id);
    envol_arena_free(dek, ENVOL_DEK_BYTES);
    return status;
}

/*
 * Whether the DEK was wrapped anew since: by this handle, under whatever key, or by a writer in
 * another one, under the same key, as a reader has no provider for another.
 */
static bool is_rewrapped(const struct envol_volume *volume, const struct probe *old,
                         const struct probe *probe)
{
    const struct envol_slot *a = old->slot, *b = probe->slot;
    bool same_key = old->provider == probe->provider && strcmp(a->key_ref, b->key_ref) == 0;

    if (!same_key)
        return !volume->read_only;
    return a->wrapped_bytes != b->wrapped_bytes ||
           memcmp(a->wrapped, b->wrapped, a->wrapped_bytes) != 0;
}

/* A reader's. */
static bool refresh(struct envol_volume *volume, const struct envol_patience *patience)
{
    struct envol_newer newer;

    if (envol_volume_look(volume, true, &newer, NULL) != ENVOL_OK)
        return false;
    return newer.header == NULL || envol_volume_follow(volume, &newer, patience->deadline_ms,
                                                       patience->cancel_flag, NULL) == ENVOL_OK;
}

/* The old wrapping may have been retired by whoever made the new one: its refusal is no reason to
 * go dark. */
static enum envol_status ask_again(struct envol_volume *volume,
                                   const struct envol_patience *patience, const struct probe *old,
                                   enum envol_status status, struct envol_error *error)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    struct probe probe;

    if ((!volume->read_only || refresh(volume, patience)) &&
        take_probe(volume, patience, &probe, &details) == ENVOL_OK) {
        if (is_rewrapped(volume, old, &probe))
            status = ask(volume, patience, &probe, error);
        envol_free(probe.slot);
    }
    return status;
}

/*
 * A reader whose writer rotated the DEK meanwhile: the CMK is asked for the new one, which is as
 * good a check.  What keeps it from being followed is no answer about the key, and the old slot is
 * asked then.
 */
static bool follows(struct envol_volume *volume, const struct envol_patience *patience,
                    enum envol_status *status, struct envol_error *error)
{
    struct envol_newer newer;

    if (!volume->read_only || envol_volume_look(volume, false, &newer, NULL) != ENVOL_OK ||
        newer.header == NULL)
        return false;
    *status =
        envol_volume_follow(volume, &newer, patience->deadline_ms, patience->cancel_flag, error);
    return *status != ENVOL_E_STALE;
}

enum envol_status envol_lease_check(struct envol_lease *lease, struct envol_error *error)
{
    struct envol_volume *volume = lease->volume;
    const struct envol_patience patience = {envol_lease_clock() + lease->options.timeout_ms,
                                            &lease->cancel};
    struct probe probe;
    enum envol_status status;

    if (follows(volume, &patience, &status, error)) {
        if (status == ENVOL_OK)
            envol_error_clear(error);
        return status;
    }
    status = take_probe(volume, &patience, &probe, error);
    if (status != ENVOL_OK)
        return status;
    status = ask(volume, &patience, &probe, error);
    if (envol_lease_is_refusal(status))
        status = ask_again(volume, &patience, &probe, status, error);
    envol_free(probe.slot);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
