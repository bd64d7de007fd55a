/* SPDX-License-Identifier: BSD-2-Clause */
/* Every call of a kernel once, with all that is secret in one place: for tests that look at memory.
 */
#ifndef ENVOL_TESTS_AES_CALLS_H
#define ENVOL_TESTS_AES_CALLS_H

#include "aes/kernel.h"
#include "page/xaes.h"

#define CALLS_TEXT_BYTES 1000u

/* Keys lie in a mapping of their own, where no scan looks. */
struct vault {
    _Alignas(64) uint8_t block_key[ENVOL_AES_KEY_MAX];
    _Alignas(64) uint8_t gcm_key[ENVOL_AES_KEY_MAX];
    _Alignas(64) uint8_t xts_key[ENVOL_AES_KEY_MAX];
    struct envol_xaes_key xaes;
    uint8_t raw[64], other[64];
};

/* A mapping of so many bytes that begins with a vault: raw and other are random, all else is zero.
 * Never freed: a test is a process. */
void *vault_new(size_t bytes);

/* Zeros before the first call; text and tag are whatever the last one left. */
struct calls {
    const struct envol_aes_kernel *kernel;
    struct vault *vault;
    uint8_t nonce[12], tag[16], text[CALLS_TEXT_BYTES];
    unsigned failures;
};

/* Each function of the kernel under vault->raw; tag[0] ends up with a bit turned, and refused. */
void call_all(struct calls *c);

#endif
