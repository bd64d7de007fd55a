/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins: what the caller knows from elsewhere decides what an unauthenticated header may name.  An
 * attacker's header names the attacker's own CMK, under a MAC that is valid for the attacker's DEK.
 */
#include "base/error.h"
#include "header/header.h"

#include <string.h>

static bool pins_are_sound(const struct envol_pins *pins)
{
    if (pins == NULL || pins->struct_size < sizeof(*pins))
        return false;
    if (pins->anchor != NULL && pins->anchor->struct_size < sizeof(*pins->anchor))
        return false;
    return pins->cmks != NULL || pins->cmk_count == 0;
}

enum envol_status envol_anchor_check(const struct envol_header *header,
                                     const struct envol_anchor *anchor, struct envol_error *error)
{
    if (memcmp(anchor->uuid, header->uuid, ENVOL_UUID_BYTES) != 0)
        return envol_fail(error, ENVOL_E_POLICY, "the anchor is of another volume");
    if (header->id.generation < anchor->generation || header->epoch < anchor->epoch)
        return envol_fail(error, ENVOL_E_STALE,
                          "the header is older than the anchor: generation %llu, anchor %llu",
                          (unsigned long long)header->id.generation,
                          (unsigned long long)anchor->generation);
    return ENVOL_OK;
}

enum envol_status envol_header_check(const struct envol_header *header,
                                     const struct envol_pins *pins, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (header == NULL || !pins_are_sound(pins))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (pins->uuid != NULL && memcmp(pins->uuid, header->uuid, ENVOL_UUID_BYTES) != 0)
        return envol_fail(error, ENVOL_E_POLICY, "this is volume %s, not the one expected",
                          header->uuid_text);
    if (pins->suites != 0 && (pins->suites >> header->suite & 1) == 0)
        return envol_fail(error, ENVOL_E_POLICY, "the volume's suite is not an allowed one");
    if (pins->anchor != NULL)
        status = envol_anchor_check(header, pins->anchor, error);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

bool envol_pin_allows(const struct envol_pin *pin, const struct envol_slot *slot)
{
    return pin->provider != NULL && strcmp(pin->provider, slot->provider) == 0 &&
           (pin->key_ref == NULL || strcmp(pin->key_ref, slot->key_ref) == 0);
}

enum envol_status envol_header_next_slot(const struct envol_header *header,
                                         const struct envol_pins *pins, uint32_t *cursor,
                                         struct envol_slot *slot, size_t *pin)
{
    if (slot == NULL || slot->struct_size < sizeof(*slot))
        return ENVOL_E_ARGUMENT;
    *slot = (struct envol_slot){.struct_size = slot->struct_size};
    if (pin != NULL)
        *pin = 0;
    if (header == NULL || !pins_are_sound(pins) || cursor == NULL)
        return ENVOL_E_ARGUMENT;
    for (; *cursor < header->slot_count; ++*cursor) {
        const struct envol_slot *candidate = header->slots[*cursor];
        for (size_t i = 0; i < pins->cmk_count; i++) {
            if (!envol_pin_allows(&pins->cmks[i], candidate))
                continue;
            ++*cursor;
            envol_slot_show(candidate, slot);
            if (pin != NULL)
                *pin = i;
            return ENVOL_OK;
        }
    }
    return ENVOL_E_NO_PROVIDER;
}
