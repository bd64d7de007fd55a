/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyrings of one volume at any epoch, each epoch with its own DEK, as rotations leave them. */
#ifndef ENVOL_TESTS_EPOCH_RINGS_H
#define ENVOL_TESTS_EPOCH_RINGS_H

#include "page/keyring.h"

enum { RING_PAGE = 512, RING_STRIDE = RING_PAGE + ENVOL_TRAILER_BYTES, RING_EPOCHS = 256 };

/* The volume that all rings of a test belong to; the same for every call with the same suite. */
struct epoch_rings {
    enum envol_suite suite;
    uint32_t flags;
    uint8_t uuid[ENVOL_UUID_BYTES], id[ENVOL_OBJECT_BYTES];
    uint8_t seed[ENVOL_DEK_BYTES];
};

void epoch_rings_init(struct epoch_rings *rings, enum envol_suite suite, uint32_t flags);
/* The epochs from lowest to epoch, at most five.  Fails the test when anything fails. */
struct envol_keyring *epoch_ring(const struct epoch_rings *rings, uint32_t epoch, uint32_t lowest);
/* What epoch_ring does, for threads: NULL when it fails. */
struct envol_keyring *epoch_ring_try(const struct epoch_rings *rings, uint32_t epoch,
                                     uint32_t lowest);
void epoch_dek(const struct epoch_rings *rings, uint32_t epoch, uint8_t dek[ENVOL_DEK_BYTES]);

/* keyring adopts a new ring, which is closed; fails the test when anything fails. */
void epoch_move(const struct epoch_rings *rings, struct envol_keyring *keyring, uint32_t epoch,
                uint32_t lowest);

#endif
