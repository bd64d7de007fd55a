/* SPDX-License-Identifier: BSD-2-Clause */
/* Records and blobs from the written format, on libsodium's HMAC and the reference AES. */
#include "page_oracle.h"

#include "reference_aes.h"
#include <sodium.h>
#include <string.h>

static void put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

void oracle_key(const struct oracle *o, const char *purpose, const uint8_t *object, uint64_t aux,
                uint8_t *key, size_t bytes)
{
    /* RFC 5869, 2.3: T(1) = HMAC(PRK, info | 1). */
    uint8_t info[65] = "ENVOLv1", block[64];
    crypto_auth_hmacsha512_state state;

    memcpy(info + 8, purpose, 8);
    memcpy(info + 16, o->uuid, 16);
    if (object != NULL)
        memcpy(info + 32, object, 16);
    put(info + 48, o->suite, 2);
    put(info + 52, o->epoch, 4);
    put(info + 56, aux, 8);
    info[64] = 1;
    crypto_auth_hmacsha512_init(&state, o->dek, sizeof(o->dek));
    crypto_auth_hmacsha512_update(&state, info, sizeof(info));
    crypto_auth_hmacsha512_final(&state, block);
    memcpy(key, block, bytes);
}

void oracle_subkey(const uint8_t key[32], const uint8_t salt[12], uint8_t subkey[32])
{
    /* CMAC's K1 (SP 800-38B, 6.1), then the two messages of one block, SP 800-108. */
    uint8_t zeros[16] = {0}, l[16], k1[16], block[16];

    reference_encrypt(key, zeros, l);
    for (size_t i = 0; i < 16; i++)
        k1[i] = (uint8_t)(l[i] * 2 + (i < 15 ? l[i + 1] / 128 : 0));
    if (l[0] >= 128)
        k1[15] ^= 0x87;
    for (uint8_t n = 1; n <= 2; n++) {
        const uint8_t head[4] = {0, n, 'X', 0};

        memcpy(block, head, 4);
        memcpy(block + 4, salt, 12);
        for (size_t i = 0; i < 16; i++)
            block[i] ^= k1[i];
        reference_encrypt(key, block, subkey + 16 * (n - 1));
    }
}

/* Trailer with nonce, tag still to come. */
static void put_trailer(const struct oracle *o, uint8_t *trailer)
{
    put(trailer, o->epoch, 4);
    trailer[4] = o->format;
    trailer[5] = o->type;
    put(trailer + 6, o->flags, 2);
    memcpy(trailer + 8, o->nonce, 24);
}

void oracle_gcm_record(const struct oracle *o, const uint8_t *page, uint8_t *record)
{
    uint8_t key[32], subkey[32], aad[64] = "ENVOLPG1", *trailer = record + o->stride_bytes - 48;

    oracle_key(o, "page-gcm", NULL, 0, key, sizeof(key));
    oracle_subkey(key, o->nonce, subkey);
    memcpy(aad + 8, o->uuid, 16);
    memcpy(aad + 24, o->object, 16);
    put(aad + 40, o->page_no, 8);
    put(aad + 48, o->epoch, 4);
    put(aad + 52, o->suite, 2);
    aad[54] = o->format;
    aad[55] = o->type;
    put(aad + 56, o->page_bytes, 4);
    put(aad + 60, o->flags, 2);
    put(aad + 62, 0, 2);
    memset(record + o->page_bytes, 0, o->stride_bytes - o->page_bytes);
    put_trailer(o, trailer);
    reference_gcm(subkey, o->nonce + 12, aad, sizeof(aad), page, o->page_bytes, record,
                  trailer + 32);
}

void oracle_xts_record(const struct oracle *o, const uint8_t *page, uint8_t *record)
{
    uint8_t keys[64], tweak[16] = {0};

    oracle_key(o, "page-xts", o->object, o->page_no * o->page_bytes / (UINT64_C(1) << 40), keys,
               sizeof(keys));
    put(tweak, o->page_no, 8);
    reference_xts(keys, tweak, page, o->page_bytes, record);
}

void oracle_blob(const struct oracle *o, const uint8_t *aad, size_t aad_bytes, const uint8_t *plain,
                 size_t plain_bytes, uint8_t *sealed)
{
    uint8_t key[32], subkey[32], all[64 + 1024] = "ENVOLBL1", *trailer = sealed + plain_bytes;

    oracle_key(o, "blob-gcm", NULL, 0, key, sizeof(key));
    oracle_subkey(key, o->nonce, subkey);
    memcpy(all + 8, o->uuid, 16);
    memcpy(all + 24, o->object, 16);
    put(all + 40, o->epoch, 4);
    put(all + 44, o->suite, 2);
    all[46] = o->format;
    all[47] = o->type;
    put(all + 48, plain_bytes, 8);
    put(all + 56, aad_bytes, 8);
    if (aad_bytes > 0)
        memcpy(all + 64, aad, aad_bytes);
    put_trailer(o, trailer);
    reference_gcm(subkey, o->nonce + 12, all, 64 + aad_bytes, plain, plain_bytes, sealed,
                  trailer + 32);
}
