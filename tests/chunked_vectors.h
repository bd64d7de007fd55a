/* SPDX-License-Identifier: BSD-2-Clause */
/* Cobblestone-256 messages published by Project Wycheproof. */
#ifndef ENVOL_TESTS_CHUNKED_VECTORS_H
#define ENVOL_TESTS_CHUNKED_VECTORS_H

#include <envol/status.h>

/* Of testvectors_v1/c2sp_chunked_encryption_aes_256_gcm_test.json, which has 35. */
struct chunked_vector {
    int number;
    const char *key, *context, *parts[5];
    enum envol_status status; /* of opening it */
    const char *plain_sha512; /* its first 32 bytes; NULL: the plaintext is "chunked" */
};

/* Up to one without a key. */
extern const struct chunked_vector chunked_vectors[];

/* Writes the message, and answers its length. */
size_t chunked_vector_message(const struct chunked_vector *vector, uint8_t *message,
                              size_t capacity);

#endif
