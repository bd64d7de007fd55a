/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CMK rotation: a slot's wrapping is replaced by another one of the same DEK.  Both copies of the
 * header are written, so that the old wrapping is gone from the volume.
 */
#include "volume/slots.h"

#include "base/error.h"
#include "base/memory.h"
#include "provider/check.h"

#include <string.h>

/* Place of a slot in a list; its count if there is none of that id. */
static uint32_t find(const struct envol_slot_list *list, uint32_t id)
{
    uint32_t i = 0;

    while (i < list->count && list->slots[i]->id != id)
        i++;
    return i;
}

/* The slot as it is now, for calls that take their time. */
static enum envol_status copy_slot(struct envol_slot_change *change, uint32_t id,
                                   struct envol_slot **copy, struct envol_error *error)
{
    struct envol_volume *volume = change->volume;
    struct envol_slot_list list;
    uint32_t place;
    enum envol_status status = envol_slots_lock(volume, change->epoch, error);

    *copy = NULL;
    if (status != ENVOL_OK)
        return status;
    list = envol_slots_of(volume);
    id = id != 0 ? id : volume->opened_slot;
    place = find(&list, id);
    if (place == list.count) {
        status = envol_fail(error, ENVOL_E_ARGUMENT, "there is no slot %u", id);
    } else {
        status = envol_slot_copy(list.slots[place], copy);
        if (status != ENVOL_OK)
            envol_fail(error, status, NULL);
    }
    envol_slots_unlock(volume);
    return status;
}

/* The old CMK is the one of the slot, and may be asked. */
static enum envol_status check_from(const struct envol_slot_change *change,
                                    const struct envol_cmk *from, const struct envol_slot *slot,
                                    struct envol_error *error)
{
    struct envol_pin pin;

    if (from == NULL)
        return ENVOL_OK;
    if (from->provider == NULL || !envol_cmk_is_pinned(from, change->call.flags))
        return envol_fail(error, ENVOL_E_ARGUMENT, "the old CMK has no provider, or no reference");
    pin = (struct envol_pin){envol_provider_name(from->provider), from->key_ref};
    if (envol_pin_allows(&pin, slot))
        return ENVOL_OK;
    envol_fail(error, ENVOL_E_NO_PROVIDER, "slot %u is not under the old CMK", slot->id);
    envol_error_set_slot(error, (int32_t)slot->id);
    return ENVOL_E_NO_PROVIDER;
}

/* Within one service the DEK need not leave it; ENVOL_E_UNSUPPORTED where that is not so. */
static enum envol_status rewrap_there(struct envol_slot_change *change,
                                      const struct envol_cmk *from, const struct envol_cmk *to,
                                      const struct envol_slot *slot, struct envol_error *error)
{
    struct envol_key_request old, new;

    if (from == NULL || from->provider != to->provider ||
        (envol_provider_capabilities(to->provider) & ENVOL_PROVIDER_REWRAPS) == 0)
        return ENVOL_E_UNSUPPORTED;
    old = envol_keys_request(&change->call, &change->binding, slot->key_ref, slot->key_version);
    new = envol_keys_request(&change->call, &change->binding, to->key_ref, NULL);
    return envol_provider_rewrap_inside(to->provider, &old, slot->wrapped, slot->wrapped_bytes,
                                        &new, change->wrapped, error);
}

static bool same_wrapping(const struct envol_slot *a, const struct envol_slot *b)
{
    return a->wrapped_bytes == b->wrapped_bytes &&
           memcmp(a->wrapped, b->wrapped, a->wrapped_bytes) == 0;
}

/* In the old one's place, if that is still what it was; takes slot on success. */
static enum envol_status replace(struct envol_slot_change *change, const struct envol_cmk *to,
                                 const struct envol_slot *old, struct envol_slot *slot,
                                 struct envol_error *error)
{
    struct envol_volume *volume = change->volume;
    struct envol_slot *gone = NULL;
    struct envol_slot_list next;
    uint32_t place;
    enum envol_status status = envol_slots_lock(volume, change->epoch, error);

    if (status != ENVOL_OK)
        return status;
    next = envol_slots_of(volume);
    place = find(&next, old->id);
    if (place == next.count || !same_wrapping(next.slots[place], old))
        status = envol_fail(error, ENVOL_E_STALE, "slot %u was changed meanwhile", old->id);
    else
        status = envol_keys_check_unique(volume->header, slot, old->id, error);
    if (status == ENVOL_OK) {
        gone = next.slots[place];
        next.slots[place] = slot;
        status = envol_slots_commit(volume, &next, error);
    }
    /* A lease follows the slot that opened the volume to its new CMK. */
    if (status == ENVOL_OK && old->id == volume->opened_slot)
        volume->opened_by = to->provider;
    envol_slots_unlock(volume);
    if (status == ENVOL_OK)
        envol_free(gone);
    return status;
}

/* The wrapping in change->wrapped has to be unwrapped once before it counts. */
static enum envol_status prove_and_replace(struct envol_slot_change *change,
                                           const struct envol_cmk *to, const struct envol_slot *old,
                                           struct envol_error *error)
{
    struct envol_slot slot = envol_keys_slot(to->provider, change->wrapped);
    struct envol_slot *copy = NULL;
    enum envol_status status;

    slot.id = old->id;
    status =
        envol_keys_prove(&change->call, &change->binding, to->provider, &slot, change->dek, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_slot_copy(&slot, &copy);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = replace(change, to, old, copy, error);
    if (status != ENVOL_OK)
        envol_free(copy);
    return status;
}

static enum envol_status rewrap(struct envol_slot_change *change, const struct envol_cmk *from,
                                const struct envol_cmk *to, const struct envol_slot *old,
                                struct envol_error *error)
{
    enum envol_status status = check_from(change, from, old, error);

    if (status != ENVOL_OK)
        return status;
    status = rewrap_there(change, from, to, old, error);
    if (status == ENVOL_E_UNSUPPORTED)
        status = envol_slot_change_wrap(change, to, error);
    return status == ENVOL_OK ? prove_and_replace(change, to, old, error) : status;
}

enum envol_status envol_volume_rewrap(struct envol_volume *volume, uint32_t id,
                                      const struct envol_cmk *from, const struct envol_cmk *to,
                                      const struct envol_volume_options *options,
                                      struct envol_error *error)
{
    struct envol_slot_change change;
    struct envol_slot *old = NULL;
    enum envol_status status = envol_slot_change_begin(volume, to, options, &change, error);

    if (status == ENVOL_OK)
        status = copy_slot(&change, id, &old, error);
    if (status == ENVOL_OK)
        status = rewrap(&change, from, to, old, error);
    envol_free(old);
    envol_slot_change_end(&change);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
