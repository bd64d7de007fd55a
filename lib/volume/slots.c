/* SPDX-License-Identifier: BSD-2-Clause */
/* Adding and removing slots, and what every change of them has in common. */
#include "volume/slots.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "page/revoke.h"

#include <string.h>

static enum envol_status enter_writer(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);

    if (status == ENVOL_OK && !envol_volume_is_own(volume)) {
        envol_volume_leave(volume);
        return envol_fail(error, ENVOL_E_FORKED, "a forked child cannot change the header");
    }
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

enum envol_status envol_slots_lock(struct envol_volume *volume, uint32_t epoch,
                                   struct envol_error *error)
{
    enum envol_status status = enter_writer(volume, error);

    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&volume->growth);
    if (epoch == 0 || volume->header->epoch == epoch)
        return ENVOL_OK;
    envol_slots_unlock(volume);
    return envol_fail(error, ENVOL_E_STALE, "the volume has another DEK now");
}

void envol_slots_unlock(struct envol_volume *volume)
{
    pthread_mutex_unlock(&volume->growth);
    envol_volume_leave(volume);
}

struct envol_slot_list envol_slots_of(const struct envol_volume *volume)
{
    struct envol_slot_list list = {.count = volume->header->slot_count};

    memcpy(list.slots, volume->header->slots, sizeof(list.slots));
    return list;
}

static void put(struct envol_volume *volume, const struct envol_slot_list *slots)
{
    volume->header->slot_count = slots->count;
    memcpy(volume->header->slots, slots->slots, sizeof(slots->slots));
}

/* A failed update leaves one of the two headers on the disk; the next one settles which. */
enum envol_status envol_slots_commit(struct envol_volume *volume,
                                     const struct envol_slot_list *slots, struct envol_error *error)
{
    const struct envol_slot_list old = envol_slots_of(volume);
    enum envol_status status;

    put(volume, slots);
    if (envol_slots_encode(volume->header, NULL) > ENVOL_SLOT_AREA_BYTES)
        status = envol_fail(error, ENVOL_E_RANGE, "the wrapped DEKs do not fit the header");
    else
        status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    if (status != ENVOL_OK)
        put(volume, &old);
    return status;
}

/* The header's strings may be those of another epoch by the time that the provider reads them. */
static void copy_binding(const struct envol_header *header, struct envol_slot_change *change)
{
    const char *values[3] = {change->epoch_text, header->context[1].value, change->uuid_text};

    memcpy(change->uuid_text, header->uuid_text, sizeof(change->uuid_text));
    memcpy(change->epoch_text, header->epoch_text, sizeof(change->epoch_text));
    for (size_t i = 0; i < 3; i++)
        change->pairs[i] = (struct envol_context_pair){header->context[i].key, values[i]};
    change->binding = (struct envol_key_binding){change->pairs, 3};
    change->epoch = header->epoch;
}

static enum envol_status copy_from(struct envol_volume *volume, struct envol_slot_change *change,
                                   struct envol_error *error)
{
    enum envol_status status = envol_slots_lock(volume, 0, error);

    if (status != ENVOL_OK)
        return status;
    copy_binding(volume->header, change);
    status = envol_keyring_hold(volume->keyring, NULL);
    if (status == ENVOL_OK) {
        memcpy(change->dek, volume->keyring->entry[0].keys->dek, ENVOL_DEK_BYTES);
        envol_keyring_release(volume->keyring, NULL);
    }
    envol_slots_unlock(volume);
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

enum envol_status envol_slot_change_begin(struct envol_volume *volume, const struct envol_cmk *cmk,
                                          const struct envol_volume_options *options,
                                          struct envol_slot_change *change,
                                          struct envol_error *error)
{
    struct envol_volume_options whole;
    enum envol_status status;

    *change = (struct envol_slot_change){.volume = volume};
    if (volume == NULL || !envol_volume_options_take(options, ENVOL_OPEN_DISCOVER, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    status = envol_key_call_make(cmk, cmk == NULL ? 0 : 1, &whole, &change->call, error);
    if (status != ENVOL_OK)
        return status;
    change->call.flags |= volume->keyring->flags;
    change->wrapped = envol_alloc(sizeof(*change->wrapped), _Alignof(struct envol_wrapped_dek));
    if (change->wrapped == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    change->wrapped->struct_size = sizeof(*change->wrapped);
    status =
        envol_arena_alloc(ENVOL_DEK_BYTES, change->call.flags & ENVOL_KEYRING_FLAGS, &change->dek);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    return copy_from(volume, change, error);
}

void envol_slot_change_end(struct envol_slot_change *change)
{
    envol_arena_free(change->dek, ENVOL_DEK_BYTES);
    envol_free(change->wrapped);
}

enum envol_status envol_slot_change_wrap(struct envol_slot_change *change,
                                         const struct envol_cmk *cmk, struct envol_error *error)
{
    const struct envol_key_request request =
        envol_keys_request(&change->call, &change->binding, cmk->key_ref, NULL);

    return envol_provider_wrap(cmk->provider, &request, change->dek, change->wrapped, error);
}

static enum envol_status append(struct envol_slot_change *change, struct envol_slot *slot,
                                struct envol_error *error)
{
    struct envol_volume *volume = change->volume;
    struct envol_slot_list next;
    enum envol_status status = envol_slots_lock(volume, change->epoch, error);

    if (status != ENVOL_OK)
        return status;
    next = envol_slots_of(volume);
    status = envol_keys_check_unique(volume->header, slot, 0, error);
    if (status == ENVOL_OK && next.count == ENVOL_SLOTS_MAX)
        status = envol_fail(error, ENVOL_E_RANGE, "the volume has %u slots", ENVOL_SLOTS_MAX);
    if (status != ENVOL_OK)
        goto out;
    slot->id = envol_slot_unused_id(volume->header);
    next.slots[next.count++] = slot;
    status = envol_slots_commit(volume, &next, error);
out:
    envol_slots_unlock(volume);
    return status;
}

static enum envol_status add(struct envol_slot_change *change, const struct envol_cmk *cmk,
                             uint32_t *id, struct envol_error *error)
{
    struct envol_slot *copy = NULL;
    struct envol_slot slot;
    enum envol_status status = envol_slot_change_wrap(change, cmk, error);

    if (status != ENVOL_OK)
        return status;
    slot = envol_keys_slot(cmk->provider, change->wrapped);
    status =
        envol_keys_prove(&change->call, &change->binding, cmk->provider, &slot, change->dek, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_slot_copy(&slot, &copy);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = append(change, copy, error);
    if (status == ENVOL_OK && id != NULL)
        *id = copy->id;
    if (status != ENVOL_OK)
        envol_free(copy);
    return status;
}

enum envol_status envol_volume_add_slot(struct envol_volume *volume, const struct envol_cmk *cmk,
                                        const struct envol_volume_options *options, uint32_t *id,
                                        struct envol_error *error)
{
    struct envol_slot_change change;
    enum envol_status status = envol_slot_change_begin(volume, cmk, options, &change, error);

    if (id != NULL)
        *id = 0;
    if (status == ENVOL_OK)
        status = add(&change, cmk, id, error);
    envol_slot_change_end(&change);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* Takes the slot of that id out of a list; NULL if there is none. */
static struct envol_slot *take_out(struct envol_slot_list *list, uint32_t id)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct envol_slot *found = list->slots[i];
        if (found->id != id)
            continue;
        list->count--;
        memmove(&list->slots[i], &list->slots[i + 1], (list->count - i) * sizeof(list->slots[0]));
        return found;
    }
    return NULL;
}

enum envol_status envol_volume_remove_slot(struct envol_volume *volume, uint32_t id,
                                           struct envol_error *error)
{
    struct envol_slot_list next;
    struct envol_slot *gone;
    enum envol_status status = envol_slots_lock(volume, 0, error);

    if (status != ENVOL_OK)
        return status;
    next = envol_slots_of(volume);
    gone = take_out(&next, id);
    if (gone == NULL)
        status = envol_fail(error, ENVOL_E_ARGUMENT, "there is no slot %u", id);
    else if (next.count == 0)
        status = envol_fail(error, ENVOL_E_STATE,
                            "the last slot: without it nobody could open the volume");
    else
        status = envol_slots_commit(volume, &next, error);
    if (status == ENVOL_OK) {
        envol_free(gone);
        envol_error_clear(error);
    }
    envol_slots_unlock(volume);
    return status;
}
