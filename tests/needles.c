/* SPDX-License-Identifier: BSD-2-Clause */
/* Round keys and the like of a secret, and where they lie. */
#include "needles.h"

#include "reference_aes.h"

#include <check.h>
#include <string.h>

void needles_add(struct needles *needles, const uint8_t bytes[16])
{
    ck_assert_uint_lt(needles->count, NEEDLES_MAX);
    memcpy(needles->needle[needles->count++], bytes, 16);
    needles->begins[bytes[0]][bytes[1]] = true;
}

void needles_add_text(struct needles *needles, const uint8_t *text, size_t bytes)
{
    for (size_t at = 0; at + 16 <= bytes; at += 16)
        needles_add(needles, text + at);
}

void needles_add_aes(struct needles *needles, const uint8_t key[32])
{
    uint8_t(*keys)[16] = needles->scratch, (*inverse)[16] = needles->scratch + 15;
    uint8_t *h = needles->scratch[28], *turned = needles->scratch[29];
    uint8_t *swapped = needles->scratch[30];

    reference_expand(key, keys);
    reference_inverse_keys((const uint8_t(*)[16])keys, inverse);
    memset(h, 0, 16);
    reference_encrypt(key, h, h);
    for (size_t i = 0; i < 16; i++) {
        turned[i] = h[15 - i];
        swapped[i] = h[i ^ 7];
    }
    needles_add_text(needles, keys[0], (size_t)NEEDLES_OF_AES * 16);
}

/* FIPS 198-1, steps 4 and 7: the key, and the key with each of two pads.  What pads make of the
 * zeros behind a short key is no secret. */
void needles_add_hmac(struct needles *needles, const uint8_t *key, size_t bytes)
{
    static const uint8_t pads[3] = {0, 0x36, 0x5c};
    uint8_t *padded = needles->scratch[0], *words = needles->scratch[1];

    for (size_t pad = 0; pad < 3; pad++) {
        for (size_t at = 0; at + 16 <= bytes; at += 16) {
            for (size_t i = 0; i < 16; i++)
                padded[i] = key[at + i] ^ pads[pad];
            for (size_t i = 0; i < 16; i++)
                words[i] = padded[i ^ 7];
            needles_add(needles, padded);
            needles_add(needles, words);
        }
    }
}

/* The index of a needle that lies at p, or the count of all. */
static inline size_t needle_at(const struct needles *needles, const uint8_t *p)
{
    size_t i = 0;

    if (!needles->begins[p[0]][p[1]])
        return needles->count;
    while (i < needles->count && memcmp(p, needles->needle[i], 16) != 0)
        i++;
    return i;
}

const uint8_t *needles_find(const struct needles *needles, const uint8_t *from, const uint8_t *to)
{
    for (const uint8_t *p = from; p + 16 <= to; p++)
        if (needle_at(needles, p) < needles->count)
            return p;
    return NULL;
}

size_t needles_mark(const struct needles *needles, const uint8_t *from, const uint8_t *to,
                    bool marked[NEEDLES_MAX])
{
    size_t count = 0;

    for (const uint8_t *p = from; p + 16 <= to; p++) {
        size_t found = needle_at(needles, p);
        if (found < needles->count)
            marked[found] = true;
    }
    for (size_t i = 0; i < needles->count; i++)
        count += marked[i];
    return count;
}
