/* SPDX-License-Identifier: BSD-2-Clause */
/* HMAC-SHA-512 (FIPS 198-1) and HKDF-Expand with it (RFC 5869, 2.3). */
#ifndef ENVOL_BASE_KDF_H
#define ENVOL_BASE_KDF_H

#include <stddef.h>
#include <stdint.h>

/* Data of several parts, put one after the other. */
struct envol_part {
    const void *data;
    size_t bytes;
};

void envol_hmac_sha512(const void *key, size_t key_bytes, const struct envol_part *data,
                       size_t parts, uint8_t mac[64]);

/* out_bytes at most 255 x 64. */
void envol_hkdf_expand(const void *prk, size_t prk_bytes, const struct envol_part *info,
                       size_t parts, void *out, size_t out_bytes);

#endif
