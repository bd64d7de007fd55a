/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DEKs between a header and the key services: made, wrapped for each slot, unwrapped.  All calls of
 * providers that an engine with its own header makes are here; each may wait for a service, and
 * none of them is on the way of a page.
 */
#ifndef TABLES_WRAP_H
#define TABLES_WRAP_H

#include <envol.h>

/* The CMKs of the caller's choice.  A header names others as it likes: they are not asked. */
struct cmks {
    struct envol_cmk cmk[ENVOL_SLOTS_MAX];
    size_t count;
};

/* A DEK, and what a wrapping of it unwraps to. */
struct secret {
    uint8_t dek[ENVOL_DEK_BYTES], proof[ENVOL_DEK_BYTES];
};

/* Zeros, locked, and in no core dump; NULL if no more memory can be locked. */
struct secret *secret_alloc(void);
void secret_free(struct secret *secret);

/* A DEK for a header without slots, and a slot for each CMK.  One call makes it, one each wraps it
 * for the others, and one each proves what will be written. */
enum envol_status wrap_new(struct envol_header *header, const struct cmks *cmks,
                           struct secret *secret, struct envol_error *error);
/* The same for the header of the next epoch: a slot for each one of the old header.  Each needs its
 * CMK, as whoever opens with it today has to open with it tomorrow. */
enum envol_status wrap_next(struct envol_header *next, const struct envol_header *old,
                            const struct cmks *cmks, struct secret *secret,
                            struct envol_error *error);
/* The header's DEK, of the first slot that one of the CMKs unwraps. */
enum envol_status unwrap(const struct envol_header *header, const struct cmks *cmks,
                         struct secret *secret, struct envol_error *error);

#endif
