/* SPDX-License-Identifier: BSD-2-Clause */
/* All sealing and unsealing calls behind one, for tests of what they have in common. */
#ifndef ENVOL_TESTS_PAGE_CALLS_H
#define ENVOL_TESTS_PAGE_CALLS_H

#include "page_fixture.h"

enum page_call {
    CALL_SEAL,
    CALL_SEAL_DETACHED,
    CALL_SEAL_HOLE,
    CALL_SEAL_BATCH,
    CALL_UNSEAL,
    CALL_UNSEAL_DETACHED,
    CALL_UNSEAL_BATCH,
    CALL_RESEAL,
    CALL_BLOB_SEAL,
    CALL_BLOB_UNSEAL,
    CALL_BLOB_RESEAL,
    CALL_BLOB_SEAL_BATCH,
    CALLS
};

/*
 * in and out hold stride_bytes (pages) or page_bytes and a trailer (blobs), whichever way a call
 * goes.  Detached calls find the trailer in the last 48 bytes; a batch is one page or blob; a
 * blob is page_bytes long, its associated data the page number.
 */
struct page_io {
    const struct envol_object *object;
    struct envol_lane *lane;
    uint64_t page_no;
    uint32_t page_bytes, stride_bytes;
    const uint8_t *in;
    uint8_t *out;
};

const char *page_call_name(enum page_call call);
bool page_call_draws(enum page_call call, enum envol_suite suite);
bool page_call_seals(enum page_call call);   /* writes a record */
bool page_call_unseals(enum page_call call); /* reads one */
bool page_call_is_blob(enum page_call call);

/* Records the pair of function and status (ck_note); asserts nothing, so any thread or child. */
enum envol_status page_call(enum page_call call, const struct page_io *io);
/* The bare call: nothing is recorded, which would allocate and write. */
enum envol_status page_call_quietly(enum page_call call, const struct page_io *io);

/* What a call writes. */
size_t page_call_out_bytes(enum page_call call, const struct page_io *io);

/* For a fixture: an io with fresh buffers, in ready for the call (a record sealed, or a page). */
struct page_io page_io_new(enum page_call call, const struct page_fixture *f, uint64_t page_no);
void page_io_free(struct page_io *io);

#endif
