/* SPDX-License-Identifier: BSD-2-Clause */
/* Rotating the DEK of a header fixture, as an engine does it that keeps the header bytes. */
#ifndef ENVOL_TESTS_HEADER_ROTATION_H
#define ENVOL_TESTS_HEADER_ROTATION_H

#include "header_fixture.h"

/* The header of the next epoch and its keyring, which are not on f->bytes yet. */
struct header_rotation {
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_header *next;
    struct envol_keyring *keyring;
};

/* A new DEK, one slot.  Fails the test when anything fails. */
void header_rotation_begin(const struct header_fixture *f, struct header_rotation *r);
/* next takes f->header's place, after a commit that is the caller's, and f->keyring adopts. */
void header_rotation_adopt(struct header_fixture *f, struct header_rotation *r);
/* What was not committed. */
void header_rotation_drop(struct header_rotation *r);
/* All of it, on f->bytes. */
void header_rotate_all(struct header_fixture *f);

#endif
