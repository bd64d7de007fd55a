/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Template, over a tier's vectors: AES-256 (FIPS 197), key expansion and whole blocks.
 *
 * No table and no branch depends on a key.  SubWord is the AES unit's own last round on a block of
 * four equal words; the instruction made for key expansion is several times slower on Intel.
 */
#define ROUNDS 14

/* Round keys in the order in which they are used. */
struct cipher {
    block key[ROUNDS + 1];
};

/* FIPS 197, 5.2 and figure 11, with Nk = 8; rcon is the constant of each second round key.  first
 * and second are the halves of the key. */
INLINE void cipher_expand(struct cipher *cipher, block first, block second)
{
    block *k = cipher->key;
    uint64_t rcon = UINT64_C(0x0000000100000001);

    k[0] = first;
    k[1] = second;
#pragma GCC unroll 16
    for (size_t i = 2; i <= ROUNDS; i++) {
        if (i % 2 == 1) {
            k[i] = block_substitute(block_last_word(k[i - 1]), block_ripple(k[i - 2]));
            continue;
        }
        k[i] = block_substitute(block_last_word_rotated(k[i - 1]),
                                block_xor(block_ripple(k[i - 2]), block_of(rcon, rcon)));
        rcon <<= 1;
    }
}

/* Round keys of the equivalent inverse cipher, FIPS 197, 5.3.5. */
INLINE void cipher_invert(struct cipher *inverse, const struct cipher *cipher)
{
    inverse->key[0] = cipher->key[ROUNDS];
    for (size_t i = 1; i < ROUNDS; i++)
        inverse->key[i] = block_inverse_mix(cipher->key[ROUNDS - i]);
    inverse->key[ROUNDS] = cipher->key[0];
}

INLINE block cipher_block(const struct cipher *cipher, block a)
{
    const block *k = cipher->key;

    a = block_begin(a, k[0]);
#pragma GCC unroll 16
    for (size_t i = 1; i < ROUNDS; i++)
        a = block_round(a, k[i - 1], k[i]);
    return block_end(a, k[ROUNDS - 1], k[ROUNDS]);
}

INLINE block cipher_unblock(const struct cipher *inverse, block a)
{
    const block *k = inverse->key;

    a = block_begin(a, k[0]);
#pragma GCC unroll 16
    for (size_t i = 1; i < ROUNDS; i++)
        a = block_unround(a, k[i - 1], k[i]);
    return block_unend(a, k[ROUNDS - 1], k[ROUNDS]);
}

INLINE vec cipher_key(const struct cipher *cipher, size_t i)
{
    return vec_repeat(block_load(&cipher->key[i]));
}

/* Round i, 1 to 13, of `count` vectors side by side. */
INLINE void cipher_round(const struct cipher *cipher, size_t i, bool encrypt, vec *state,
                         size_t count)
{
    vec before = cipher_key(cipher, i - 1), key = cipher_key(cipher, i);

#pragma GCC unroll 16
    for (size_t j = 0; j < count; j++)
        state[j] = encrypt ? vec_round(state[j], before, key) : vec_unround(state[j], before, key);
#pragma GCC unroll 16
    for (size_t j = 0; j < count; j++)
        vec_pin(&state[j]);
}

/* A vector on its own, but for the last round, to whose result x is added. */
INLINE vec cipher_vector(const struct cipher *cipher, bool encrypt, vec state, vec x)
{
    vec before = cipher_key(cipher, ROUNDS - 1), last = vec_xor(cipher_key(cipher, ROUNDS), x);

    state = vec_begin(state, cipher_key(cipher, 0));
#pragma GCC unroll 16
    for (size_t i = 1; i < ROUNDS; i++)
        cipher_round(cipher, i, encrypt, &state, 1);
    return encrypt ? vec_end(state, before, last) : vec_unend(state, before, last);
}
