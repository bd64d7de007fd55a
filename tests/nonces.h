/* SPDX-License-Identifier: BSD-2-Clause */
/* Nonces collected from many records, and whether any is there twice. */
#ifndef ENVOL_TESTS_NONCES_H
#define ENVOL_TESTS_NONCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NONCE_BYTES 24
#define SALT_BYTES  12

/* Sorts them.  The first that is equal to its successor in its first `bytes` bytes, or NULL. */
const uint8_t *nonces_repeated(uint8_t (*nonces)[NONCE_BYTES], size_t count, size_t bytes);

/* How many different salts there are, and how many nonces the most used one has.  Sorts. */
size_t nonces_salts(uint8_t (*nonces)[NONCE_BYTES], size_t count, size_t *most);

#endif
