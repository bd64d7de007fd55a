/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins: what the caller knows from elsewhere decides what an unauthenticated header may name.  An
 * attacker's header names the attacker's own CMK, under a MAC that is valid for the attacker's DEK.
 */
#include "base/error.h"
#include "base/sized.h"
#include "header/header.h"

#include <string.h>

/* The caller's pins, whole; what they point to stays the caller's. */
static bool take_pins(const struct envol_pins *given, struct envol_pins *pins)
{
    struct envol_anchor anchor;

    return given != NULL && ENVOL_TAKE(pins, given, pins) &&
           ENVOL_TAKE(anchor, pins->anchor, &anchor) &&
           (pins->cmks != NULL || pins->cmk_count == 0);
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
    struct envol_pins whole;
    enum envol_status status = ENVOL_OK;

    if (header == NULL || !take_pins(pins, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (whole.uuid != NULL && memcmp(whole.uuid, header->uuid, ENVOL_UUID_BYTES) != 0)
        return envol_fail(error, ENVOL_E_POLICY, "this is volume %s, not the one expected",
                          header->uuid_text);
    if (whole.suites != 0 && (whole.suites >> header->suite & 1) == 0)
        return envol_fail(error, ENVOL_E_POLICY, "the volume's suite is not an allowed one");
    if (whole.anchor != NULL)
        status = envol_anchor_check(header, whole.anchor, error);
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
    struct envol_pins whole;

    if (!ENVOL_FITS(slot, slot))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(slot);
    if (pin != NULL)
        *pin = 0;
    if (header == NULL || !take_pins(pins, &whole) || cursor == NULL)
        return ENVOL_E_ARGUMENT;
    for (; *cursor < header->slot_count; ++*cursor) {
        const struct envol_slot *candidate = header->slots[*cursor];
        for (size_t i = 0; i < whole.cmk_count; i++) {
            if (!envol_pin_allows(&whole.cmks[i], candidate))
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
