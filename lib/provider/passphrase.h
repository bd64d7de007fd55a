/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DEK wrapped under a passphrase; numbers are little-endian (envol(5) shows the same table):
 *
 *   offset  size
 *        0     1  version, 1
 *        1     3  0
 *        4     4  memory of Argon2id, KiB: 19,456 to 1,048,576
 *        8     4  passes, 2 to 16
 *       12     4  lanes, 1
 *       16    16  salt
 *       32   136  the DEK, wrapped under the local key that Argon2id gives (page/chunked.h)
 */
#ifndef ENVOL_PROVIDER_PASSPHRASE_H
#define ENVOL_PROVIDER_PASSPHRASE_H

#include <envol/passphrase.h>

#define ENVOL_PASSPHRASE_BLOB_BYTES 168u

/* A passphrase in the arena. */
struct envol_passphrase {
    const uint8_t *bytes;
    size_t size;
};

struct envol_passphrase_cost {
    uint32_t memory_kib;
    uint32_t passes;
};

/* Whether the cost lies within the bounds of the format. */
int envol_passphrase_cost_fits(const struct envol_passphrase_cost *cost);

/*
 * Seals a DEK into blob, of ENVOL_PASSPHRASE_BLOB_BYTES, with a fresh salt; the context is the
 * canonical encoding of the request's.  flags as of envol_arena_alloc, for the key.
 * ENVOL_E_NO_MEMORY (Argon2id's), ENVOL_E_LOCKED_MEMORY, ENVOL_E_RANDOM, ENVOL_E_UNSUPPORTED.
 */
enum envol_status envol_passphrase_seal(const struct envol_passphrase *passphrase,
                                        const struct envol_passphrase_cost *cost, uint32_t flags,
                                        const struct envol_key_request *request,
                                        const uint8_t dek[ENVOL_DEK_BYTES], uint8_t *blob,
                                        struct envol_error *error);

/* Reads the cost that a blob asks for.  Allocates nothing.  ENVOL_E_CORRUPT, ENVOL_E_VERSION. */
enum envol_status envol_passphrase_read_cost(const uint8_t *blob, size_t blob_bytes,
                                             struct envol_passphrase_cost *cost,
                                             struct envol_error *error);

/* Opens a blob whose cost was read.  ENVOL_E_WRONG_KEY, and those of sealing but RANDOM. */
enum envol_status envol_passphrase_open(const struct envol_passphrase *passphrase,
                                        const struct envol_passphrase_cost *cost, uint32_t flags,
                                        const struct envol_key_request *request,
                                        const uint8_t *blob, uint8_t dek[ENVOL_DEK_BYTES],
                                        struct envol_error *error);

#endif
