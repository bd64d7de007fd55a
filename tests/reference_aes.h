/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-256, GCM and XTS written from the standards, slow and plain: what kernels are held against.
 */
#ifndef ENVOL_TESTS_REFERENCE_AES_H
#define ENVOL_TESTS_REFERENCE_AES_H

#include <stddef.h>
#include <stdint.h>

/* Fifteen round keys of 16 bytes, FIPS 197, 5.2. */
void reference_expand(const uint8_t key[32], uint8_t round_keys[15][16]);
/* Those of the equivalent inverse cipher (FIPS 197, 5.3.5): InvMixColumns of round keys 1 to 13. */
void reference_inverse_keys(const uint8_t round_keys[15][16], uint8_t inverse[13][16]);

void reference_encrypt(const uint8_t key[32], const uint8_t in[16], uint8_t out[16]);
void reference_decrypt(const uint8_t key[32], const uint8_t in[16], uint8_t out[16]);

/* SP 800-38D with a nonce of 12 bytes. */
void reference_gcm(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad,
                   size_t aad_bytes, const uint8_t *in, size_t bytes, uint8_t *out,
                   uint8_t tag[16]);

/* IEEE 1619; at least 16 bytes. */
void reference_xts(const uint8_t key[64], const uint8_t tweak[16], const uint8_t *in, size_t bytes,
                   uint8_t *out);

#endif
