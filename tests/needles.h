/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Secrets in the forms that code keeps them in, 16 bytes each, and the search of bytes for them.
 * Whoever searches the memory of its own process keeps them in a mapping that is left out.
 */
#ifndef ENVOL_TESTS_NEEDLES_H
#define ENVOL_TESTS_NEEDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NEEDLES_MAX = 1024 };

struct needles {
    uint8_t needle[NEEDLES_MAX][16];
    size_t count;
    bool begins[256][256]; /* whether any needle begins with these two bytes */
    uint8_t scratch[32][16];
};

void needles_add(struct needles *needles, const uint8_t bytes[16]);
/* Each 16 of them; the last up to 15 are left out. */
void needles_add_text(struct needles *needles, const uint8_t *text, size_t bytes);
/* An AES key: 15 round keys of encryption, of which the first two are the key itself, 13 of
 * decryption, and H as it is, with its bytes turned round, and with those of its halves. */
enum { NEEDLES_OF_AES = 31, NEEDLES_ROUND_KEYS = 15 };
void needles_add_aes(struct needles *needles, const uint8_t key[32]);
/* A key of HMAC-SHA-512: itself and what HMAC makes of it, as bytes and as SHA-512's words. */
void needles_add_hmac(struct needles *needles, const uint8_t *key, size_t bytes);

/* Where in [from, to) the first needle lies, or NULL. */
const uint8_t *needles_find(const struct needles *needles, const uint8_t *from, const uint8_t *to);
/* Marks each needle that lies anywhere in [from, to), by its index; how many are marked now. */
size_t needles_mark(const struct needles *needles, const uint8_t *from, const uint8_t *to,
                    bool marked[NEEDLES_MAX]);

#endif
