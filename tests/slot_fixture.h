/* SPDX-License-Identifier: BSD-2-Clause */
/* A volume whose slots are changed: fake CMKs of one service, and one of another. */
#ifndef ENVOL_TESTS_SLOT_FIXTURE_H
#define ENVOL_TESTS_SLOT_FIXTURE_H

#include "volume_fixture.h"

#include <envol/slots.h>

enum { SLOT_KEYS = 8, SLOT_PAGES = 20 };

struct slot_fixture {
    struct volume_fixture f;
    struct envol_cmk cmks[SLOT_KEYS]; /* of f.kms; the first is f.cmk, which slot 1 is under */
    struct fake_kms *elsewhere;       /* another service, of one key that f.kms lacks */
    struct envol_provider *foreign;
    struct envol_cmk other;
};

/* A volume of SLOT_PAGES pages, version 1, open for writing, on a watched store in memory or on the
 * given one.  False: no kernel. */
bool slot_fixture_begin(struct slot_fixture *s, bool xts, struct envol_store *store);
void slot_fixture_end(struct slot_fixture *s);

/* Adds slots for cmks[1] to cmks[count - 1]. */
void slot_fixture_fill(struct slot_fixture *s, unsigned count);

/* The slots as envol_volume_slots lists them, nobody asked; a static array. */
const struct envol_slot_info *slot_list(struct slot_fixture *s, size_t *count);
/* Asserts ids and key references, in this order; the ids 0-terminated. */
void slot_expect(struct slot_fixture *s, const uint32_t *ids, const char *const *key_refs);

/* The open volume is read; then it is closed and opened with that CMK alone. */
void slot_reopen(struct slot_fixture *s, const struct envol_cmk *cmk, enum envol_status expected);

/* How often some bytes occur in the store's header. */
unsigned slot_store_holds(struct slot_fixture *s, const void *bytes, size_t size);

#endif
