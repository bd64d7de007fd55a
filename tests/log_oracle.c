/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs and records from envol(5), on libsodium's HMAC and the reference AES. */
#include "log_oracle.h"

#include "reference_aes.h"
#include <sodium.h>
#include <string.h>

static void put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

/* RFC 5869, 2.3, in so many words: T(1) | T(2). */
static void expand(const uint8_t prk[64], const uint8_t *info, size_t bytes, uint8_t out[128])
{
    const uint8_t one = 1, two = 2;
    crypto_auth_hmacsha512_state state;

    crypto_auth_hmacsha512_init(&state, prk, 64);
    crypto_auth_hmacsha512_update(&state, info, bytes);
    crypto_auth_hmacsha512_update(&state, &one, 1);
    crypto_auth_hmacsha512_final(&state, out);
    crypto_auth_hmacsha512_init(&state, prk, 64);
    crypto_auth_hmacsha512_update(&state, out, 64);
    crypto_auth_hmacsha512_update(&state, info, bytes);
    crypto_auth_hmacsha512_update(&state, &two, 1);
    crypto_auth_hmacsha512_final(&state, out + 64);
}

struct log_oracle log_oracle_run(const struct oracle *o, const uint8_t header[104])
{
    uint8_t root[64], info[112] = "ENVOLLG1", all[128];
    struct log_oracle run;

    oracle_key(o, "log-root", NULL, 0, root, sizeof(root));
    memcpy(info + 8, header, 104);
    expand(root, info, sizeof(info), all);
    memcpy(run.key, all, 32);
    memcpy(run.base, all + 32, 12);
    memcpy(run.commitment, all + 44, 32);
    return run;
}

size_t log_oracle_record(const struct log_oracle *run, const struct log_fields *fields,
                         uint32_t nonce_index, const uint8_t *data, uint8_t *out)
{
    uint8_t nonce[12];
    size_t end = 24 + fields->bytes, padded = end % 16 == 0 ? end : end + 16 - end % 16;

    put(out, fields->bytes, 4);
    put(out + 4, fields->flags, 2);
    put(out + 6, fields->spare, 2);
    put(out + 8, fields->lsn, 8);
    put(out + 16, fields->index, 4);
    put(out + 20, fields->durable, 4);
    memcpy(nonce, run->base, 12);
    for (size_t i = 0; i < 4; i++)
        nonce[8 + i] ^= (uint8_t)(nonce_index >> (24 - 8 * i));
    memset(out + end, 0, padded - end);
    reference_gcm(run->key, nonce, out, 24, data, fields->bytes, out + 24, out + padded);
    return padded + 16;
}
