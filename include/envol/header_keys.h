/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Headers of engines that keep the bytes themselves, and let the library speak to the key services:
 * the calls of <envol/header.h> that take a DEK, with CMKs instead.  The DEK is made, wrapped,
 * unwrapped and wiped in locked memory and nowhere else.  envol_header_seal_by(3).
 *
 * Each may wait for a service.  A header is used by one thread at a time.  Of options flags
 * (ENVOL_OPEN_INHERIT, _ALLOW_UNLOCKED, _DISCOVER), timeout_ms, cancel_flag and outcomes count, and
 * pins where it says so; options and error may be NULL.  Providers are borrowed for the call.
 */
#ifndef ENVOL_HEADER_KEYS_H
#define ENVOL_HEADER_KEYS_H

#include <envol/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * envol_header_seal for a header of envol_header_new: the first CMK generates the DEK, the others
 * wrap it, each wrapping is unwrapped once and becomes a slot.  bytes has room for
 * ENVOL_HEADER_BYTES.  On failure bytes holds zeros, *keyring is NULL, and the header may have
 * slots: free it.
 * ENVOL_E_STATE (the header has slots or was sealed; two CMKs are one key), ENVOL_E_RANGE (the
 * wrapped DEKs do not fit), ENVOL_E_ARGUMENT, those of envol_header_seal and of the providers.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_seal_by(struct envol_header *header, const struct envol_cmk *cmks, size_t cmk_count,
                     const struct envol_volume_options *options, void *bytes,
                     struct envol_keyring **keyring, struct envol_error *error);

/*
 * envol_header_unlock: pins of options (UUID, suites, anchor), then slots that match one of the
 * CMKs, in their order until one unwraps, as in envol_volume_open.  *keyring is NULL on failure.
 * ENVOL_E_NO_PROVIDER, ENVOL_E_POLICY, ENVOL_E_STALE, ENVOL_E_ARGUMENT, those of
 * envol_header_unlock and of the providers.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_unlock_by(struct envol_header *header, const struct envol_cmk *cmks, size_t cmk_count,
                       const struct envol_volume_options *options, struct envol_keyring **keyring,
                       struct envol_error *error);

/*
 * envol_header_add_slot for the DEK that the keyring holds, which must be that of the header: the
 * CMK wraps it, and has to unwrap it once.  *id (may be NULL) is 0 on failure.  It counts when the
 * header is committed; envol_header_remove_slot of the older slot before that, and it is a rewrap.
 * ENVOL_E_STATE (a slot names this key already; the keyring is of another header, or of another
 * epoch), ENVOL_E_RANGE (8 slots, or they do not fit), ENVOL_E_KEY_REVOKED, ENVOL_E_FORKED,
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, those of the provider.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_add_slot_by(struct envol_header *header, const struct envol_keyring *keyring,
                         const struct envol_cmk *cmk, const struct envol_volume_options *options,
                         uint32_t *id, struct envol_error *error);

/*
 * envol_header_rotate: next is of envol_header_next_epoch(header), and keyring that of header.  A
 * new DEK is wrapped for each slot of header, under its id, by the CMK that it is under; each
 * wrapping is unwrapped once.  Commit as there.  On failure *new_keyring is NULL, and next may have
 * slots: free it.
 * ENVOL_E_NO_PROVIDER (none of the CMKs is a slot's), ENVOL_E_STATE (next has slots, too),
 * ENVOL_E_ARGUMENT, those of envol_header_rotate and of the providers.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_rotate_by(struct envol_header *next, const struct envol_header *header,
                       const struct envol_keyring *keyring, const struct envol_cmk *cmks,
                       size_t cmk_count, const struct envol_volume_options *options,
                       struct envol_keyring **new_keyring, struct envol_error *error);

/*
 * A keyring under a DEK that is drawn here, and neither wrapped nor stored: for temporary files,
 * which nobody can read any more when it is closed or the process ends.  params as of
 * envol_header_new (suite, geometry, UUID; NULL: the defaults), flags ENVOL_OPEN_INHERIT and
 * ENVOL_OPEN_ALLOW_UNLOCKED.  *keyring is NULL on failure.
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_RANDOM, ENVOL_E_UNSUPPORTED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_keyring_temporary(const struct envol_header_params *params, uint32_t flags,
                        struct envol_keyring **keyring);

#ifdef __cplusplus
}
#endif
#endif
