/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots of an open volume: which CMKs open it, and changing that while it is in use.
 * envol_volume_slots(3).
 *
 * All of it may run beside page I/O of other threads, which waits for a header update at most, not
 * for a key service.  Two changes at once are done one after the other.
 */
#ifndef ENVOL_SLOTS_H
#define ENVOL_SLOTS_H

#include <envol/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A slot, copied out of the header; and what its key service says of its CMK. */
struct envol_slot_info {
    size_t struct_size;
    uint32_t id;
    int opened; /* 1: this one opened the volume */
    char provider[ENVOL_PROVIDER_NAME_MAX + 1];
    char key_ref[ENVOL_KEY_REF_MAX + 1];
    char key_version[ENVOL_KEY_VERSION_MAX + 1];
    size_t wrapped_bytes;
    uint64_t created_at_s;
    enum envol_status described; /* what describe answered; ENVOL_E_NO_PROVIDER: nobody was asked */
    enum envol_key_state state;  /* if described is ENVOL_OK, else 0; so too the next two */
    char newest_version[ENVOL_KEY_VERSION_MAX + 1];
    int outdated; /* 1: the service has a newer version than the slot's: rewrap */
};

/*
 * Lists the slots in their order of trial.  slots is an array of capacity structs; the struct_size
 * of the first is the size of each.  For slots that one of the CMKs may open (cmks NULL, cmk_count
 * 0: none) the CMK is described, which takes one provider call each; a failure of that stands in
 * `described` and fails nothing.  Of options flags (ENVOL_OPEN_DISCOVER), timeout and cancel flag
 * count; NULL is allowed.  *count is how many there are, else 0.
 * On failure the structs hold zeros but for struct_size.  ENVOL_E_ARGUMENT, ENVOL_E_RANGE (more
 * than capacity: *count says how many; ENVOL_SLOTS_MAX is enough), ENVOL_E_NO_MEMORY,
 * ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_slots(struct envol_volume *volume, const struct envol_cmk *cmks, size_t cmk_count,
                   const struct envol_volume_options *options, struct envol_slot_info *slots,
                   size_t capacity, size_t *count, struct envol_error *error);

/*
 * Adds a slot: the CMK wraps the DEK, and has to unwrap it once before the header names it.  *id
 * (may be NULL) is the new slot's, 0 on failure.  options as above.  A failure leaves the slots as
 * they were; after ENVOL_E_IO the disk may hold either until the next header update.
 * ENVOL_E_STATE (a slot names this key already), ENVOL_E_RANGE (8 slots, or they do not fit),
 * ENVOL_E_READ_ONLY, ENVOL_E_STALE, ENVOL_E_ARGUMENT, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED, those of
 * provider and store.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_add_slot(struct envol_volume *volume, const struct envol_cmk *cmk,
                      const struct envol_volume_options *options, uint32_t *id,
                      struct envol_error *error);

/*
 * Removes a slot, from both copies of the header.  No provider is called.  Whoever kept an older
 * copy of the header can still use what it wraps.
 * ENVOL_E_STATE (the last one), ENVOL_E_ARGUMENT (there is none of that id), and as above.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_remove_slot(struct envol_volume *volume, uint32_t id, struct envol_error *error);

/*
 * CMK rotation: the CMK `to` wraps the DEK for slot id (0: the one that opened the volume), in
 * place of its old wrapping, which is then in neither copy of the header.  from, the slot's CMK,
 * lets a provider that rewraps do it without the DEK leaving its service, if `to` is of the same
 * provider handle; NULL, and any other pair: the DEK in memory is wrapped, and the old CMK is not
 * asked.  Two provider calls, the last of which unwraps the new wrapping once (three, where a
 * provider turns out not to rewrap these two keys).  No page is touched.  options and failures as
 * above. ENVOL_E_NO_PROVIDER (from is not the slot's CMK), ENVOL_E_STALE (the slot was changed
 * meanwhile), ENVOL_E_STATE (another slot names that key), and those of envol_volume_add_slot.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_rewrap(struct envol_volume *volume, uint32_t id, const struct envol_cmk *from,
                    const struct envol_cmk *to, const struct envol_volume_options *options,
                    struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
