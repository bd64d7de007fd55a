/* SPDX-License-Identifier: BSD-2-Clause */
/* A header's slots and the application's CMKs: who wraps, who unwraps. */
#ifndef ENVOL_VOLUME_KEYS_H
#define ENVOL_VOLUME_KEYS_H

#include <envol/volume.h>
#include <stdbool.h>

/* What holds for all provider calls of one open or create. */
struct envol_key_call {
    const struct envol_cmk *cmks;
    size_t cmk_count;
    uint32_t flags;       /* ENVOL_OPEN_* */
    uint64_t deadline_ms; /* CLOCK_MONOTONIC, 0: none */
    const int *cancel_flag;
    struct envol_slot_outcomes *outcomes; /* NULL: nobody wants to know */
    const struct envol_provider **winner; /* set to whose unwrapping succeeded; may be NULL */
};

/* What the wrappings of a DEK are bound to; borrowed. */
struct envol_key_binding {
    const struct envol_context_pair *pairs;
    size_t count;
};

/* The caller's options, whole; NULL: zeros.  false: of another size, flags that are not among
 * those, or outcomes of another size. */
bool envol_volume_options_take(const struct envol_volume_options *given, uint32_t flags,
                               struct envol_volume_options *options);

/* ENVOL_E_ARGUMENT: no CMK, too many, one without provider, or one that needs a key reference. */
enum envol_status envol_key_call_make(const struct envol_cmk *cmks, size_t cmk_count,
                                      const struct envol_volume_options *options,
                                      struct envol_key_call *call, struct envol_error *error);

/* Whether the CMK could be asked about anything: what a call without a key reference needs. */
bool envol_cmk_is_pinned(const struct envol_cmk *cmk, uint32_t flags);
/* A request of this call: key_version NULL for a new wrapping. */
struct envol_key_request envol_keys_request(const struct envol_key_call *call,
                                            const struct envol_key_binding *binding,
                                            const char *key_ref, const char *key_version);

/* Unwraps a slot, which must give dek: a wrapping counts when the service has given the same DEK
 * back for it.  Otherwise ENVOL_E_PROVIDER. */
enum envol_status envol_keys_prove(const struct envol_key_call *call,
                                   const struct envol_key_binding *binding,
                                   const struct envol_provider *provider,
                                   const struct envol_slot *slot,
                                   const uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error);
/* A slot's fields, id 0, of what a provider wrapped now; wrapped and provider are borrowed. */
struct envol_slot envol_keys_slot(const struct envol_provider *provider,
                                  const struct envol_wrapped_dek *wrapped);
/* A slot other than `except` that names this key already: ENVOL_E_STATE.  It would never be tried,
 * or answer as the other one does. */
enum envol_status envol_keys_check_unique(const struct envol_header *header,
                                          const struct envol_slot *slot, uint32_t except,
                                          struct envol_error *error);

/* Passes on what is known of a failure; returns status. */
enum envol_status envol_keys_answer(enum envol_status status, const struct envol_error *answer,
                                    struct envol_error *error);

/*
 * Has the first CMK generate a DEK and the others wrap it; each wrapping is unwrapped once and
 * becomes a slot of the header.  dek lies in locked memory.
 */
enum envol_status envol_keys_create(const struct envol_key_call *call, struct envol_header *header,
                                    uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error);

/* Has the first CMK wrap a DEK that there is, which must then unwrap, for one more slot. */
enum envol_status envol_keys_wrap(const struct envol_key_call *call, struct envol_header *header,
                                  uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error);

/*
 * Unwraps the DEK: slots in their order, for each the CMKs that it may name, until one succeeds.
 * Of the slots of providers with ENVOL_PROVIDER_ONE_TRY at most one is tried.  On failure the first
 * answer that says more than that a key service does not know the key.
 */
enum envol_status envol_keys_unwrap(const struct envol_key_call *call,
                                    const struct envol_header *header, uint8_t dek[ENVOL_DEK_BYTES],
                                    uint32_t *slot_id, struct envol_error *error);

/* header_keys.c: both, and the header is sealed or unlocked with what they give. */
enum envol_status envol_keys_seal(const struct envol_key_call *call, struct envol_header *header,
                                  void *bytes, struct envol_keyring **keyring,
                                  struct envol_error *error);
enum envol_status envol_keys_unlock(const struct envol_key_call *call, struct envol_header *header,
                                    const struct envol_anchor *anchor, uint32_t *slot_id,
                                    struct envol_keyring **keyring, struct envol_error *error);

#endif
