/* SPDX-License-Identifier: BSD-2-Clause */
/* Keccak-f[1600] and SHAKE128, written from FIPS 202. */
#include "shake128.h"

#include <string.h>

#define RATE_BYTES 168u

static uint64_t rotate(uint64_t lane, unsigned by)
{
    return by == 0 ? lane : lane << by | lane >> (64 - by);
}

static void theta(uint64_t a[25])
{
    uint64_t column[5];

    for (size_t x = 0; x < 5; x++)
        column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    for (size_t x = 0; x < 5; x++)
        for (size_t y = 0; y < 25; y += 5)
            a[x + y] ^= column[(x + 4) % 5] ^ rotate(column[(x + 1) % 5], 1);
}

/* Both at once: 3.2.2's walk over the lanes is the one along which 3.2.3 moves them. */
static void rho_and_pi(uint64_t a[25])
{
    uint64_t moving = a[1];
    size_t x = 1, y = 0;

    for (unsigned t = 0; t < 24; t++) {
        size_t next = (2 * x + 3 * y) % 5;
        uint64_t displaced = a[y + 5 * next];
        a[y + 5 * next] = rotate(moving, (t + 1) * (t + 2) / 2 % 64);
        moving = displaced;
        x = y;
        y = next;
    }
}

static void chi(uint64_t a[25])
{
    for (size_t y = 0; y < 25; y += 5) {
        uint64_t row[5];
        memcpy(row, a + y, sizeof(row));
        for (size_t x = 0; x < 5; x++)
            a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
    }
}

/* 3.2.5: the shift register of algorithm 5 gives bits 2^j - 1 of each round's constant. */
static uint64_t round_constant(uint8_t *bits)
{
    uint64_t constant = 0;

    for (unsigned j = 0; j <= 6; j++) {
        if (*bits & 1)
            constant |= UINT64_C(1) << ((1u << j) - 1);
        *bits = (uint8_t)(*bits << 1 ^ (0x71 & -(*bits >> 7)));
    }
    return constant;
}

static void permute(uint64_t a[25])
{
    uint8_t bits = 1;

    for (int round = 0; round < 24; round++) {
        theta(a);
        rho_and_pi(a);
        chi(a);
        a[0] ^= round_constant(&bits);
    }
}

static void add_byte(struct shake128 *shake, size_t at, uint8_t byte)
{
    shake->lanes[at / 8] ^= (uint64_t)byte << 8 * (at % 8);
}

void shake128_absorb(struct shake128 *shake, const void *data, size_t bytes)
{
    const uint8_t *from = data;

    for (size_t i = 0; i < bytes; i++) {
        add_byte(shake, shake->at++, from[i]);
        if (shake->at == RATE_BYTES) {
            permute(shake->lanes);
            shake->at = 0;
        }
    }
}

void shake128_squeeze(struct shake128 *shake, void *out, size_t bytes)
{
    uint8_t *to = out;

    /* 6.2: four bits of suffix, and the padding's first and last. */
    if (!shake->squeezing) {
        add_byte(shake, shake->at, 0x1f);
        add_byte(shake, RATE_BYTES - 1, 0x80);
        shake->squeezing = true;
        shake->at = RATE_BYTES;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (shake->at == RATE_BYTES) {
            permute(shake->lanes);
            shake->at = 0;
        }
        to[i] = (uint8_t)(shake->lanes[shake->at / 8] >> 8 * (shake->at % 8));
        shake->at++;
    }
}
