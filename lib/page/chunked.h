/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cobblestone-256 (c2sp.org/chunked-encryption: HKDF-Expand with SHA-512, AEAD_AES_256_GCM): key
 * committing encryption of a message of any length under a 32-byte key, with a context.
 * Message = salt 24 | commitment 32 | chunks of 16 KiB each with its tag, the last one shorter.
 */
#ifndef ENVOL_PAGE_CHUNKED_H
#define ENVOL_PAGE_CHUNKED_H

#include "aes/kernel.h"

#define ENVOL_CHUNKED_SALT_BYTES       24u
#define ENVOL_CHUNKED_COMMITMENT_BYTES 32u
#define ENVOL_CHUNKED_HEADER_BYTES     56u
#define ENVOL_CHUNK_BYTES              16384u
#define ENVOL_CHUNKED_TAG_BYTES        16u

/* What a DEK's wrapping under a local key takes (envol(5)): 56 + 64 + 16. */
#define ENVOL_LOCAL_WRAP_BYTES 136u

/* Length of the message for so many bytes of plaintext. */
uint64_t envol_chunked_bytes(uint64_t plain_bytes);

/* A message being sealed or opened, chunk by chunk.  Holds key material: arena, or wipe it. */
struct envol_chunked {
    const struct envol_aes_kernel *kernel;
    uint64_t next; /* number of the next chunk */
    uint8_t base_nonce[12];
    bool ended; /* a short chunk was processed */
    _Alignas(64) uint8_t gcm_key[ENVOL_AES_KEY_MAX];
};

/* Draws a salt and writes the 56-byte header of a new message. */
enum envol_status envol_chunked_seal_start(struct envol_chunked *message, const uint8_t key[32],
                                           const void *context, size_t context_bytes,
                                           uint8_t header[ENVOL_CHUNKED_HEADER_BYTES]);
/* Checks the commitment of a message's header: ENVOL_E_WRONG_KEY. */
enum envol_status envol_chunked_open_start(struct envol_chunked *message, const uint8_t key[32],
                                           const void *context, size_t context_bytes,
                                           const uint8_t header[ENVOL_CHUNKED_HEADER_BYTES]);
/*
 * The next chunk: 16 KiB of plaintext, or fewer for the last one (in == out works).  seal writes
 * bytes + 16; open is given sealed_bytes (16 to 16,400) and writes 16 fewer.  After a short chunk
 * the message has ended: ENVOL_E_STATE.  open: ENVOL_E_CORRUPT, and zeros.
 */
enum envol_status envol_chunk_seal(struct envol_chunked *message, const uint8_t *in, size_t bytes,
                                   uint8_t *out);
enum envol_status envol_chunk_open(struct envol_chunked *message, const uint8_t *in,
                                   size_t sealed_bytes, uint8_t *out);

/*
 * Whole messages in memory; buffers do not overlap.  seal writes envol_chunked_bytes(plain_bytes);
 * open at most message_bytes - 72, and nothing if that is below zero.  On failure what was written
 * holds zeros, and *plain_bytes is 0: ENVOL_E_WRONG_KEY (commitment), ENVOL_E_CORRUPT (a chunk),
 * ENVOL_E_TRUNCATED (no short last chunk, or no valid length).
 */
enum envol_status envol_chunked_seal(const uint8_t key[32], const void *context,
                                     size_t context_bytes, const void *plain, size_t plain_bytes,
                                     void *message);
enum envol_status envol_chunked_open(const uint8_t key[32], const void *context,
                                     size_t context_bytes, const void *message,
                                     size_t message_bytes, void *plain, size_t *plain_bytes);

#endif
