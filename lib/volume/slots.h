/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing the slots of a volume that is in use.  First what the change needs is copied, under the
 * locks; then the key service is asked, under none; then the header is changed, under the locks
 * again, if it is still the one that the change is about.
 */
#ifndef ENVOL_VOLUME_SLOTS_H
#define ENVOL_VOLUME_SLOTS_H

#include "header/header.h"
#include "volume/keys.h"
#include "volume/volume.h"

#include <envol/slots.h>

struct envol_slot_change {
    struct envol_volume *volume;
    struct envol_key_call call;
    struct envol_key_binding binding; /* of the next three */
    struct envol_context_pair pairs[3];
    char uuid_text[ENVOL_UUID_TEXT_BYTES];
    char epoch_text[11];
    uint32_t epoch;                    /* whose DEK it is */
    struct envol_wrapped_dek *wrapped; /* for a provider's answer */
    void *dek;                         /* in the arena */
};

/* The slots of a header, as pointers that it owns. */
struct envol_slot_list {
    uint32_t count;
    struct envol_slot *slots[ENVOL_SLOTS_MAX];
};

/*
 * Copies what calls of the provider of cmk need.  options as of envol_volume_add_slot.  Ended by
 * envol_slot_change_end whatever is returned.
 * ENVOL_E_ARGUMENT, ENVOL_E_FORKED, ENVOL_E_READ_ONLY, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY.
 */
enum envol_status envol_slot_change_begin(struct envol_volume *volume, const struct envol_cmk *cmk,
                                          const struct envol_volume_options *options,
                                          struct envol_slot_change *change,
                                          struct envol_error *error);
void envol_slot_change_end(struct envol_slot_change *change);

/* Has a CMK wrap the DEK. */
enum envol_status envol_slot_change_wrap(struct envol_slot_change *change,
                                         const struct envol_cmk *cmk, struct envol_error *error);

/* The locks under which slots are changed.  epoch is checked unless 0: ENVOL_E_STALE. */
enum envol_status envol_slots_lock(struct envol_volume *volume, uint32_t epoch,
                                   struct envol_error *error);
void envol_slots_unlock(struct envol_volume *volume);
struct envol_slot_list envol_slots_of(const struct envol_volume *volume);
/*
 * Writes a header with these slots instead; whoever calls owns those that are in one list and not
 * in the other.  On failure the header has its old ones again.  ENVOL_E_RANGE: they do not fit.
 */
enum envol_status envol_slots_commit(struct envol_volume *volume,
                                     const struct envol_slot_list *slots,
                                     struct envol_error *error);

#endif
