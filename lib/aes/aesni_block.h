/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-256 of single blocks with AES-NI, for kernels whose library gives modes only. */
#ifndef ENVOL_AES_AESNI_BLOCK_H
#define ENVOL_AES_AESNI_BLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Fifteen round keys, and what rounds their size up to the alignment of expanded keys. */
#define ENVOL_AESNI_KEY_BYTES 256u

/* Both need ENVOL_CPU_AESNI, and key aligned to 16 bytes. */
void envol_aesni_expand(void *key, const uint8_t raw[32]);
void envol_aesni_encrypt(const void *key, const uint8_t *in, uint8_t *out, size_t blocks);

#endif
