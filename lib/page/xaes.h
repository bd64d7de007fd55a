/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key derivation of XAES-256-GCM (c2sp.org/XAES-256-GCM): the first 12 bytes of a 24-byte nonce
 * turn the input key into an AES-256-GCM key; the last 12 are that key's nonce.
 */
#ifndef ENVOL_PAGE_XAES_H
#define ENVOL_PAGE_XAES_H

#include "aes/kernel.h"

#define ENVOL_XAES_NONCE_BYTES 24u
#define ENVOL_XAES_SALT_BYTES  12u

/* An input key, ready: expanded AES key and CMAC subkey K1 (SP 800-38B, 6.1).  Key material. */
struct envol_xaes_key {
    _Alignas(64) uint8_t block_key[256];
    _Alignas(64) uint8_t k1[16];
};

enum envol_status envol_xaes_init(const struct envol_aes_kernel *kernel, struct envol_xaes_key *key,
                                  const uint8_t raw[32]);

/* Expands the GCM key of a salt (N[0..12)) into gcm_key, kernel->gcm_key_bytes of it. */
enum envol_status envol_xaes_derive(const struct envol_aes_kernel *kernel,
                                    const struct envol_xaes_key *key, const uint8_t salt[12],
                                    void *gcm_key);

#endif
