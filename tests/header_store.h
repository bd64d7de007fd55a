/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers on a store, updated by envol_header_commit with hands that tests can hold back. */
#ifndef ENVOL_TESTS_HEADER_STORE_H
#define ENVOL_TESTS_HEADER_STORE_H

#include "header_fixture.h"

#include <envol/store.h>

struct header_hands {
    struct envol_store *store;
    enum envol_status lock_status; /* what lock answers; ENVOL_OK: what the store says */
    unsigned locks, unlocks, reads, writes, syncs;
    unsigned lie_at; /* the n-th read answers other bytes than were written; 0: none */
    bool unaligned;  /* a buffer was */
};

struct envol_header_io header_io(struct header_hands *hands);

/* Both copies, written and synced in one go, as at create. */
void header_put(struct envol_store *store, const uint8_t *bytes);
/* What the store holds, zeros beyond its end. */
void header_get(struct envol_store *store, uint8_t *bytes);
/* Decodes and unlocks what the store holds, or what bytes holds; both outputs NULL on failure. */
enum envol_status header_load(const struct header_fixture *f, const uint8_t *bytes,
                              struct envol_header **header, struct envol_keyring **keyring);
/* A commit through hands that do nothing special. */
enum envol_status header_commit(struct envol_header *header, const struct envol_keyring *keyring,
                                struct envol_store *store);

#endif
