/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Template, over a tier's vectors: AES-256-XTS (IEEE 1619-2018).
 *
 * The tweak of block n is E(K2, data unit number) times x^n, x being a bit of GF(2^128) with the
 * modulus x^128 + x^7 + x^2 + x + 1 (5.2), little-endian.  A stripe's tweaks come from the
 * first one by shifts, each place with its own count; those of the next stripe are V bytes further.
 */
#define STRIPE 8

/* Data units whose first tweaks are made together. */
#define XTS_AHEAD 16

struct xts_key {
    struct cipher data, inverse, tweak;
};

/* x^7 + x^2 + x + 1 */
#define XTS_MODULUS UINT64_C(0x87)

#define TWICE(n)                                                                                   \
    {                                                                                              \
        (n), (n)                                                                                   \
    }
#define EIGHT(at)                                                                                  \
    TWICE(at), TWICE((at) + 1), TWICE((at) + 2), TWICE((at) + 3), TWICE((at) + 4),                 \
        TWICE((at) + 5), TWICE((at) + 6), TWICE((at) + 7)
#define EIGHT_LESS(at)                                                                             \
    TWICE(64 - (at)), TWICE(63 - (at)), TWICE(62 - (at)), TWICE(61 - (at)), TWICE(60 - (at)),      \
        TWICE(59 - (at)), TWICE(58 - (at)), TWICE(57 - (at))

/* Shift counts of the blocks of a stripe, and what is left of 64. */
static const uint64_t tweak_counts[32][2] = {EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24)};
static const uint64_t tweak_rests[32][2] = {EIGHT_LESS(0), EIGHT_LESS(8), EIGHT_LESS(16),
                                            EIGHT_LESS(24)};

/* a times x^counts, in each half of each block the same; rests = 64 - counts. */
INLINE vec tweak_times(vec a, vec counts, vec rests)
{
    vec over = vec_shift_right(a, rests), modulus = vec_repeat(block_of(XTS_MODULUS, 0));

    return vec_xor3(vec_shift_left(a, counts), vec_up_half(over), vec_mul_high(over, modulus));
}

INLINE void stripe_tweaks(block first, vec tweak[STRIPE])
{
#pragma GCC unroll 8
    for (size_t j = 0; j < STRIPE; j++)
        tweak[j] = tweak_times(vec_repeat(first), vec_load(tweak_counts[j * VEC_BLOCKS]),
                               vec_load(tweak_rests[j * VEC_BLOCKS]));
}

/* a times x^8V, the tweak of the same place in the next stripe. */
INLINE vec tweak_next(vec a)
{
    vec modulus = vec_repeat(block_of(0, XTS_MODULUS));

    return vec_xor(vec_up(a), vec_mul_low(vec_down_rest(a), modulus));
}

INLINE block tweak_double(block a)
{
    block out;

    a = block_double(a, &out);
    return block_xor(a, block_and(block_negate(out), block_of(0, XTS_MODULUS)));
}

INLINE void xts_stripe(const struct cipher *cipher, bool encrypt, vec tweak[STRIPE],
                       const uint8_t *in, uint8_t *out)
{
    vec state[STRIPE], key = cipher_key(cipher, 0), before, next[STRIPE];

#pragma GCC unroll 16
    for (size_t j = 0; j < STRIPE; j++)
        state[j] = vec_begin(vec_xor(tweak[j], vec_load(in + j * VEC_BYTES)), key);
#pragma GCC unroll 16
    for (size_t i = 1; i < ROUNDS; i++) {
        cipher_round(cipher, i, encrypt, state, STRIPE);
        if (i <= STRIPE)
            next[i - 1] = tweak_next(tweak[i - 1]);
    }
    before = cipher_key(cipher, ROUNDS - 1);
    key = cipher_key(cipher, ROUNDS);
#pragma GCC unroll 16
    for (size_t j = 0; j < STRIPE; j++) {
        vec last = vec_xor(key, tweak[j]);
        vec_store(out + j * VEC_BYTES,
                  encrypt ? vec_end(state[j], before, last) : vec_unend(state[j], before, last));
        tweak[j] = next[j];
    }
}

INLINE block xts_block(const struct cipher *cipher, bool encrypt, block tweak, block a)
{
    a = block_xor(a, tweak);
    a = encrypt ? cipher_block(cipher, a) : cipher_unblock(cipher, a);
    return block_xor(a, tweak);
}

/* The last whole block and the `bytes` behind it, IEEE 1619, 5.3.2 and 5.4.2: ciphertext stealing.
 */
INLINE void xts_steal(const struct cipher *cipher, bool encrypt, block tweak, const uint8_t *in,
                      uint8_t *out, size_t bytes)
{
    block after = tweak_double(tweak), whole;
    uint8_t part[16];

    whole = xts_block(cipher, encrypt, encrypt ? tweak : after, block_load(in));
    block_store(part, whole);
    memcpy(part, in + 16, bytes);
    block_store_part(out + 16, whole, bytes);
    block_store(out, xts_block(cipher, encrypt, encrypt ? after : tweak, block_load(part)));
}

/* Less than a stripe, and what is stolen. */
INLINE void xts_tail(const struct cipher *cipher, bool encrypt, vec first, const uint8_t *in,
                     uint8_t *out, size_t bytes)
{
    size_t stolen = bytes % 16, whole = stolen > 0 ? bytes - 16 - stolen : bytes;
    vec one_vector = vec_repeat(block_of(VEC_BLOCKS, VEC_BLOCKS));
    vec rest = vec_repeat(block_of(64 - VEC_BLOCKS, 64 - VEC_BLOCKS));
    block tweak;

    for (; whole >= VEC_BYTES; whole -= VEC_BYTES, in += VEC_BYTES, out += VEC_BYTES) {
        vec state = vec_xor(first, vec_load(in));
        vec_store(out, cipher_vector(cipher, encrypt, state, first));
        first = tweak_times(first, one_vector, rest);
    }
    tweak = vec_get_first(first);
    for (; whole > 0; whole -= 16, in += 16, out += 16) {
        block_store(out, xts_block(cipher, encrypt, tweak, block_load(in)));
        tweak = tweak_double(tweak);
    }
    if (stolen > 0)
        xts_steal(cipher, encrypt, tweak, in, out, stolen);
}

WORK void xts_expand(struct xts_key *key, const uint8_t raw[64])
{
    cipher_expand(&key->data, block_load(raw), block_load(raw + 16));
    cipher_invert(&key->inverse, &key->data);
    cipher_expand(&key->tweak, block_load(raw + 32), block_load(raw + 48));
}

INLINE void xts_job(const struct cipher *cipher, bool encrypt, block first,
                    const struct envol_xts_job *job)
{
    size_t stolen = job->bytes % 16 > 0 ? 16 + job->bytes % 16 : 0, bytes = job->bytes;
    const uint8_t *in = job->in;
    uint8_t *out = job->out;
    vec tweak[STRIPE];

    stripe_tweaks(first, tweak);
    for (; bytes >= STRIPE * VEC_BYTES + stolen; bytes -= STRIPE * VEC_BYTES) {
        xts_stripe(cipher, encrypt, tweak, in, out);
        in += STRIPE * VEC_BYTES;
        out += STRIPE * VEC_BYTES;
    }
    if (bytes > 0)
        xts_tail(cipher, encrypt, tweak[0], in, out, bytes);
}

/* The first tweaks of several jobs side by side. */
INLINE void xts_jobs(const struct xts_key *key, bool encrypt, const struct envol_xts_job *jobs,
                     size_t count)
{
    const struct cipher *cipher = encrypt ? &key->data : &key->inverse;
    block first[XTS_AHEAD];

    for (size_t i = 0; i < count; i++)
        first[i] = cipher_block(&key->tweak, block_load(jobs[i].tweak));
    for (size_t i = 0; i < count; i++)
        xts_job(cipher, encrypt, first[i], &jobs[i]);
}

WORK void xts_encrypt_jobs(const struct xts_key *key, const struct envol_xts_job *jobs,
                           size_t count)
{
    xts_jobs(key, true, jobs, count);
}

WORK void xts_decrypt_jobs(const struct xts_key *key, const struct envol_xts_job *jobs,
                           size_t count)
{
    xts_jobs(key, false, jobs, count);
}
