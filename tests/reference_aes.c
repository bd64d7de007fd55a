/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-256, GCM and XTS written from the standards, byte by byte; no table but those it computes. */
#include "reference_aes.h"

#include <string.h>

static uint8_t times_x(uint8_t a)
{
    return (uint8_t)(a << 1 ^ (0x1b & -(a >> 7)));
}

static uint8_t multiply(uint8_t a, uint8_t b)
{
    uint8_t product = 0;

    for (; b != 0; b >>= 1, a = times_x(a))
        product ^= (uint8_t)(a & -(b & 1));
    return product;
}

/* FIPS 197, 5.1.1, the affine map after the inverse in GF(2^8). */
static uint8_t affine(uint8_t a)
{
    uint8_t s = 0x63;

    for (int i = 0; i < 5; i++)
        s ^= (uint8_t)(a << i | a >> (8 - i));
    return s;
}

/* Computed anew for each key or message: no state, any thread. */
struct boxes {
    uint8_t forward[256], backward[256];
};

/* x + 1 (3) generates the field's group, f6 is its inverse: so the two run over all pairs. */
static void make_boxes(struct boxes *boxes)
{
    uint8_t a = 1, inverse = 1;

    boxes->forward[0] = affine(0);
    do {
        boxes->forward[a] = affine(inverse);
        a = multiply(a, 3);
        inverse = multiply(inverse, 0xf6);
    } while (a != 1);
    for (int i = 0; i < 256; i++)
        boxes->backward[boxes->forward[i]] = (uint8_t)i;
}

static void expand(const struct boxes *boxes, const uint8_t key[32], uint8_t round_keys[15][16])
{
    uint8_t *w = &round_keys[0][0], rcon = 1, t[4];

    memcpy(w, key, 32);
    for (size_t i = 8; i < 60; i++) {
        memcpy(t, w + 4 * (i - 1), 4);
        if (i % 8 == 0) {
            uint8_t first = t[0];
            for (int j = 0; j < 4; j++)
                t[j] = boxes->forward[j < 3 ? t[j + 1] : first];
            t[0] ^= rcon;
            rcon = times_x(rcon);
        } else if (i % 8 == 4) {
            for (int j = 0; j < 4; j++)
                t[j] = boxes->forward[t[j]];
        }
        for (size_t j = 0; j < 4; j++)
            w[4 * i + j] = w[4 * (i - 8) + j] ^ t[j];
    }
}

void reference_expand(const uint8_t key[32], uint8_t round_keys[15][16])
{
    struct boxes boxes;

    make_boxes(&boxes);
    expand(&boxes, key, round_keys);
}

/* Each column times the polynomial whose coefficients are given for its first row. */
static void mix_columns(uint8_t s[16], const uint8_t row[4])
{
    uint8_t t[16];

    for (size_t c = 0; c < 4; c++)
        for (size_t r = 0; r < 4; r++) {
            t[4 * c + r] = 0;
            for (size_t k = 0; k < 4; k++)
                t[4 * c + r] ^= multiply(s[4 * c + k], row[(k + 4 - r) % 4]);
        }
    memcpy(s, t, 16);
}

static const uint8_t mix[4] = {2, 3, 1, 1}, unmix[4] = {14, 11, 13, 9};

void reference_inverse_keys(const uint8_t round_keys[15][16], uint8_t inverse[13][16])
{
    memcpy(inverse, round_keys[1], 13 * 16);
    for (size_t i = 0; i < 13; i++)
        mix_columns(inverse[i], unmix);
}

static void add(uint8_t s[16], const uint8_t k[16])
{
    for (size_t i = 0; i < 16; i++)
        s[i] ^= k[i];
}

/* ShiftRows and SubBytes; by is 1 forward, 3 backward. */
static void shift_and_substitute(uint8_t s[16], const uint8_t box[256], size_t by)
{
    uint8_t t[16];

    for (size_t c = 0; c < 4; c++)
        for (size_t r = 0; r < 4; r++)
            t[4 * c + r] = box[s[4 * ((c + by * r) % 4) + r]];
    memcpy(s, t, 16);
}

/* A cipher ready for many blocks. */
struct cipher {
    struct boxes boxes;
    uint8_t k[15][16];
};

static void cipher_init(struct cipher *cipher, const uint8_t key[32])
{
    make_boxes(&cipher->boxes);
    expand(&cipher->boxes, key, cipher->k);
}

static void encrypt(const struct cipher *cipher, const uint8_t in[16], uint8_t out[16])
{
    uint8_t s[16];

    memcpy(s, in, 16);
    add(s, cipher->k[0]);
    for (size_t round = 1; round <= 14; round++) {
        shift_and_substitute(s, cipher->boxes.forward, 1);
        if (round < 14)
            mix_columns(s, mix);
        add(s, cipher->k[round]);
    }
    memcpy(out, s, 16);
}

void reference_encrypt(const uint8_t key[32], const uint8_t in[16], uint8_t out[16])
{
    struct cipher cipher;

    cipher_init(&cipher, key);
    encrypt(&cipher, in, out);
}

void reference_decrypt(const uint8_t key[32], const uint8_t in[16], uint8_t out[16])
{
    struct cipher cipher;

    cipher_init(&cipher, key);
    memmove(out, in, 16);
    for (size_t round = 14; round >= 1; round--) {
        add(out, cipher.k[round]);
        if (round < 14)
            mix_columns(out, unmix);
        shift_and_substitute(out, cipher.boxes.backward, 3);
    }
    add(out, cipher.k[0]);
}

/* SP 800-38D, 6.3: bit 0 is the first one, the highest of byte 0. */
static void ghash_block(uint8_t y[16], const uint8_t h[16], const uint8_t *block, size_t bytes)
{
    uint8_t v[16], z[16] = {0};

    for (size_t i = 0; i < bytes; i++)
        y[i] ^= block[i];
    memcpy(v, h, 16);
    for (size_t bit = 0; bit < 128; bit++) {
        uint8_t lost = v[15] & 1;
        if (y[bit / 8] >> (7 - bit % 8) & 1)
            add(z, v);
        for (size_t i = 15; i > 0; i--)
            v[i] = (uint8_t)(v[i] >> 1 | v[i - 1] << 7);
        v[0] = (uint8_t)(v[0] >> 1 ^ (0xe1 & -lost));
    }
    memcpy(y, z, 16);
}

static void ghash(uint8_t y[16], const uint8_t h[16], const uint8_t *data, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 16)
        ghash_block(y, h, data + done, bytes - done < 16 ? bytes - done : 16);
}

static void store64be(uint8_t *out, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        out[i] = (uint8_t)v;
}

void reference_gcm(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad,
                   size_t aad_bytes, const uint8_t *in, size_t bytes, uint8_t *out, uint8_t tag[16])
{
    uint8_t h[16] = {0}, y[16] = {0}, counter[16] = {0}, stream[16], lengths[16];
    struct cipher cipher;
    uint32_t n = 1;

    cipher_init(&cipher, key);
    encrypt(&cipher, h, h);
    memcpy(counter, nonce, 12);
    for (size_t i = 0; i < bytes; i++) {
        if (i % 16 == 0) {
            n++;
            for (int j = 0; j < 4; j++)
                counter[15 - j] = (uint8_t)(n >> 8 * j);
            encrypt(&cipher, counter, stream);
        }
        out[i] = in[i] ^ stream[i % 16];
    }
    ghash(y, h, aad, aad_bytes);
    ghash(y, h, out, bytes);
    store64be(lengths, (uint64_t)aad_bytes * 8);
    store64be(lengths + 8, (uint64_t)bytes * 8);
    ghash_block(y, h, lengths, 16);
    memcpy(counter + 12, "\0\0\0\1", 4);
    encrypt(&cipher, counter, tag);
    add(tag, y);
}

/* One block of XEX: IEEE 1619, 5.3.1. */
static void xts_block(const struct cipher *cipher, const uint8_t t[16], const uint8_t in[16],
                      uint8_t out[16])
{
    uint8_t s[16];

    memcpy(s, in, 16);
    add(s, t);
    encrypt(cipher, s, s);
    add(s, t);
    memcpy(out, s, 16);
}

/* The tweak of the next block: times alpha, little-endian, IEEE 1619, 5.2. */
static void next_tweak(uint8_t t[16])
{
    uint8_t carry = (uint8_t)(0x87 & -(t[15] >> 7));

    for (size_t i = 15; i > 0; i--)
        t[i] = (uint8_t)(t[i] << 1 | t[i - 1] >> 7);
    t[0] = (uint8_t)(t[0] << 1 ^ carry);
}

void reference_xts(const uint8_t key[64], const uint8_t tweak[16], const uint8_t *in, size_t bytes,
                   uint8_t *out)
{
    size_t whole = bytes / 16, rest = bytes % 16;
    struct cipher data, tweaks;
    uint8_t t[16], last[16];

    cipher_init(&data, key);
    cipher_init(&tweaks, key + 32);
    encrypt(&tweaks, tweak, t);
    for (size_t i = 0; i < whole; i++, next_tweak(t))
        xts_block(&data, t, in + 16 * i, out + 16 * i);
    if (rest == 0)
        return;
    /* Ciphertext stealing, 5.3.2: the last partial block takes the tail of the one before. */
    memcpy(last, out + 16 * (whole - 1), 16);
    memcpy(out + 16 * whole, last, rest);
    memcpy(last, in + 16 * whole, rest);
    xts_block(&data, t, last, out + 16 * (whole - 1));
}
