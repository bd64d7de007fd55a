/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-256 key expansion and ECB with AES-NI: the template's, for kernels of libraries. */
#if defined(__x86_64__)

#include "aes/aesni_block.h"

#include "aes/vector_aesni.h"

#include "aes/cipher.h"

_Static_assert(sizeof(struct cipher) <= ENVOL_AESNI_KEY_BYTES, "the round keys fit");

TARGET void envol_aesni_expand(void *key, const uint8_t raw[32])
{
    cipher_expand(key, block_load(raw), block_load(raw + 16));
}

TARGET void envol_aesni_encrypt(const void *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    for (; blocks > 0; blocks--, in += 16, out += 16)
        block_store(out, cipher_block(key, block_load(in)));
}

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int envol_aesni_block_absent;

#endif
