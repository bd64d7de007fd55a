/* SPDX-License-Identifier: BSD-2-Clause */
/* HMAC-SHA-512 and HKDF-Expand, on libsodium's HMAC; every state that saw the key is wiped. */
#include "base/kdf.h"

#include "base/memory.h"
#include <sodium.h>
#include <string.h>

enum { MAC_BYTES = 64 };

void envol_hmac_sha512(const void *key, size_t key_bytes, const struct envol_part *data,
                       size_t parts, uint8_t mac[64])
{
    crypto_auth_hmacsha512_state state;

    crypto_auth_hmacsha512_init(&state, key, key_bytes);
    for (size_t i = 0; i < parts; i++)
        crypto_auth_hmacsha512_update(&state, data[i].data, data[i].bytes);
    crypto_auth_hmacsha512_final(&state, mac);
    envol_wipe(&state, sizeof(state));
}

/* T(i) = HMAC(PRK, T(i - 1) | info | i), where T(0) is empty (RFC 5869, 2.3). */
static void expand_block(const crypto_auth_hmacsha512_state *keyed, const struct envol_part *info,
                         size_t parts, uint8_t index, uint8_t block[MAC_BYTES])
{
    crypto_auth_hmacsha512_state state = *keyed;

    if (index > 1)
        crypto_auth_hmacsha512_update(&state, block, MAC_BYTES);
    for (size_t i = 0; i < parts; i++)
        crypto_auth_hmacsha512_update(&state, info[i].data, info[i].bytes);
    crypto_auth_hmacsha512_update(&state, &index, sizeof(index));
    crypto_auth_hmacsha512_final(&state, block);
    envol_wipe(&state, sizeof(state));
}

void envol_hkdf_expand(const void *prk, size_t prk_bytes, const struct envol_part *info,
                       size_t parts, void *out, size_t out_bytes)
{
    crypto_auth_hmacsha512_state keyed;
    uint8_t block[MAC_BYTES];
    uint8_t *next = out;
    uint8_t index = 0;

    crypto_auth_hmacsha512_init(&keyed, prk, prk_bytes);
    while (out_bytes > 0) {
        size_t take = out_bytes < MAC_BYTES ? out_bytes : MAC_BYTES;

        expand_block(&keyed, info, parts, ++index, block);
        memcpy(next, block, take);
        next += take;
        out_bytes -= take;
    }
    envol_wipe(block, sizeof(block));
    envol_wipe(&keyed, sizeof(keyed));
}
