/* SPDX-License-Identifier: BSD-2-Clause */
/* What slots an open volume has, and what their key services say of them. */
#include "volume/slots.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"

#include <string.h>

static struct envol_slot_info *at(struct envol_slot_info *slots, size_t index)
{
    return (struct envol_slot_info *)((char *)slots + index * slots->struct_size);
}

/* All of them have the size of the first. */
static void clear(struct envol_slot_info *slots, size_t capacity)
{
    size_t struct_size = slots->struct_size;

    for (size_t i = 0; i < capacity; i++) {
        at(slots, i)->struct_size = struct_size;
        envol_sized_clear(at(slots, i));
    }
}

static void show(const struct envol_slot *slot, uint32_t opened, struct envol_slot_info *given)
{
    struct envol_slot_info whole = {
        .id = slot->id,
        .opened = slot->id == opened,
        .wrapped_bytes = slot->wrapped_bytes,
        .created_at_s = slot->created_at_s,
        .described = ENVOL_E_NO_PROVIDER,
    };
    memcpy(whole.provider, slot->provider, strlen(slot->provider));
    memcpy(whole.key_ref, slot->key_ref, strlen(slot->key_ref));
    memcpy(whole.key_version, slot->key_version, strlen(slot->key_version));
    ENVOL_GIVE(slot_info, given, &whole);
}

/* The header may be replaced while a key service answers: all that is needed of it is copied. */
static enum envol_status copy_slots(struct envol_volume *volume, struct envol_slot_info *slots,
                                    size_t capacity, size_t *count, struct envol_error *error)
{
    bool own = envol_volume_is_own(volume);
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    clear(slots, capacity);
    if (own)
        pthread_mutex_lock(&volume->growth);
    *count = volume->header->slot_count;
    if (*count > capacity)
        status = envol_fail(error, ENVOL_E_RANGE, "the volume has %zu slots", *count);
    for (size_t i = 0; status == ENVOL_OK && i < *count; i++)
        show(volume->header->slots[i], volume->opened_slot, at(slots, i));
    if (own)
        pthread_mutex_unlock(&volume->growth);
    envol_volume_leave(volume);
    return status;
}

static void take_answer(const struct envol_key_info *answer, struct envol_slot_info *info)
{
    info->state = answer->state;
    memcpy(info->newest_version, answer->key_version, sizeof(info->newest_version));
    info->outdated = answer->key_version[0] != '\0' && info->key_version[0] != '\0' &&
                     strcmp(answer->key_version, info->key_version) != 0;
}

/* By the first CMK that may open the slot. */
static void describe(const struct envol_key_call *call, struct envol_key_info *answer,
                     struct envol_slot_info *info)
{
    const struct envol_key_binding unbound = {NULL, 0};
    const struct envol_slot slot = {.provider = info->provider, .key_ref = info->key_ref};

    for (size_t i = 0; i < call->cmk_count; i++) {
        const struct envol_cmk *cmk = &call->cmks[i];
        const struct envol_pin pin = {envol_provider_name(cmk->provider), cmk->key_ref};
        const struct envol_key_request request =
            envol_keys_request(call, &unbound, info->key_ref, NULL);
        if (!envol_pin_allows(&pin, &slot))
            continue;
        answer->struct_size = sizeof(*answer);
        info->described = envol_provider_describe(cmk->provider, &request, answer, NULL);
        if (info->described == ENVOL_OK) {
            take_answer(answer, info);
            return;
        }
    }
}

static enum envol_status describe_all(const struct envol_key_call *call,
                                      struct envol_slot_info *slots, size_t count,
                                      struct envol_error *error)
{
    struct envol_key_info *answer = envol_alloc(sizeof(*answer), _Alignof(struct envol_key_info));

    if (answer == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    for (size_t i = 0; i < count; i++)
        describe(call, answer, at(slots, i));
    envol_free(answer);
    return ENVOL_OK;
}

static bool arguments_are_sound(const struct envol_volume *volume, const struct envol_cmk *cmks,
                                size_t cmk_count, const struct envol_slot_info *slots,
                                size_t capacity)
{
    if (volume == NULL || capacity == 0 || !ENVOL_FITS(slot_info, slots) ||
        slots->struct_size % _Alignof(struct envol_slot_info) != 0)
        return false;
    return cmks != NULL || cmk_count == 0;
}

enum envol_status envol_volume_slots(struct envol_volume *volume, const struct envol_cmk *cmks,
                                     size_t cmk_count, const struct envol_volume_options *options,
                                     struct envol_slot_info *slots, size_t capacity, size_t *count,
                                     struct envol_error *error)
{
    struct envol_key_call call = {.cmk_count = 0};
    struct envol_volume_options whole;
    size_t found = 0;
    enum envol_status status = ENVOL_OK;

    if (count != NULL)
        *count = 0;
    if (count == NULL || !arguments_are_sound(volume, cmks, cmk_count, slots, capacity) ||
        !envol_volume_options_take(options, ENVOL_OPEN_DISCOVER, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (cmk_count > 0)
        status = envol_key_call_make(cmks, cmk_count, &whole, &call, error);
    if (status == ENVOL_OK)
        status = copy_slots(volume, slots, capacity, &found, error);
    if (status == ENVOL_E_RANGE)
        *count = found;
    if (status == ENVOL_OK && cmk_count > 0)
        status = describe_all(&call, slots, found, error);
    if (status != ENVOL_OK) {
        clear(slots, capacity);
        return status;
    }
    *count = found;
    envol_error_clear(error);
    return ENVOL_OK;
}
