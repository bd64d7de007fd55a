/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Template, over a tier's vectors: GHASH (SP 800-38D, 6.4), in the form of POLYVAL (RFC 8452,
 * appendix A): blocks are reversed, H is multiplied by x once, and the product of two elements is
 * their carry-less product times x^-128, which two more carry-less multiplications reduce to.
 *
 * Lanes.  A vector holds V = VEC_BLOCKS blocks, and each place in it is hashed on its own: with
 * vectors A1, A2, ... the state is
 *
 *     S = (... (A1 H^V + A2) H^V + A3) ...     in each place
 *
 * so that a group of n vectors needs the powers H^V, H^2V, ... H^nV, the same for all places, and
 * one reduction:  S' = S H^nV + A1 H^(n-1)V + ... + An.  Only the end tells places apart: with m
 * last blocks (m <= V) behind S, place p of S is multiplied by H^(V-p+m), and last block i by
 * H^(m-i); all that is one more reduction, and its places are added.
 */

/* Vectors whose products are added before they are reduced. */
#define GROUP VEC_GROUP

struct ghash_key {
    block last[2 * VEC_BLOCKS]; /* H^2V, ... H^2, H */
    block step[GROUP];          /* H^V, H^2V, ... */
#if VEC_KARATSUBA
    block last_sum[2 * VEC_BLOCKS]; /* sums of the halves of the above, in both halves */
    block step_sum[GROUP];
#endif
};

/* x^127 + x^126 + x^121 + 1 without the 1: in a half, what a reduction multiplies by. */
#define POLYVAL_HALF UINT64_C(0xc200000000000000)

struct product {
    vec low, cross, high;
};

INLINE void product_add(struct product *sum, vec a, vec power, vec power_sum)
{
    sum->low = vec_xor(sum->low, vec_mul_low(a, power));
    sum->high = vec_xor(sum->high, vec_mul_high(a, power));
#if VEC_KARATSUBA
    sum->cross = vec_xor(sum->cross, vec_mul_low(vec_xor(a, vec_swap(a)), power_sum));
#else
    (void)power_sum;
    sum->cross = vec_xor3(sum->cross, vec_mul_low_high(a, power), vec_mul_high_low(a, power));
#endif
}

/* Adds multiples of the modulus that clear the lowest half, and then the next one. */
INLINE vec product_reduce(const struct product *sum)
{
    vec modulus = vec_repeat(block_of(0, POLYVAL_HALF)), cross = sum->cross;

#if VEC_KARATSUBA
    cross = vec_xor3(cross, sum->low, sum->high);
#endif
    cross = vec_xor3(cross, vec_swap(sum->low), vec_mul_low(sum->low, modulus));
    return vec_xor3(sum->high, vec_swap(cross), vec_mul_low(cross, modulus));
}

INLINE block block_reduce(block low, block cross, block high)
{
    block modulus = block_of(0, POLYVAL_HALF);

    cross = block_xor(cross, block_xor(block_swap(low), block_mul_low(low, modulus)));
    return block_xor(high, block_xor(block_swap(cross), block_mul_low(cross, modulus)));
}

INLINE block block_multiply(block a, block b)
{
    return block_reduce(block_mul_low(a, b), block_mul_cross(a, b), block_mul_high(a, b));
}

/* The products of different halves cancel each other. */
INLINE block block_square(block a)
{
    return block_reduce(block_mul_low(a, a), block_zero(), block_mul_high(a, a));
}

/* Power i of those below it, power[0] being the first. */
INLINE block block_power(const block *power, size_t i)
{
    if (i % 2 == 0)
        return block_square(power[i / 2 - 1]);
    return block_multiply(power[i / 2 - 1], power[i / 2]);
}

/* h is the block of zeros, encrypted.  No product waits for more than the log of its exponent. */
INLINE void ghash_init(struct ghash_key *key, block h)
{
    block power[2 * VEC_BLOCKS], out;

    h = block_double(block_reverse(h), &out);
    power[0] = block_xor(h, block_and(block_negate(out), block_of(POLYVAL_HALF, 1)));
#pragma GCC unroll 8
    for (size_t i = 2; i <= 2 * VEC_BLOCKS; i++)
        power[i - 1] = block_power(power, i);
#pragma GCC unroll 8
    for (size_t i = 1; i <= 2 * VEC_BLOCKS; i++)
        key->last[2 * VEC_BLOCKS - i] = power[i - 1];
    key->step[0] = power[VEC_BLOCKS - 1];
    key->step[1] = power[2 * VEC_BLOCKS - 1];
#pragma GCC unroll 8
    for (size_t i = 3; i <= GROUP; i++)
        key->step[i - 1] = block_power(key->step, i);
#if VEC_KARATSUBA
#pragma GCC unroll 8
    for (size_t i = 0; i < GROUP; i++)
        key->step_sum[i] = block_xor(key->step[i], block_swap(key->step[i]));
#pragma GCC unroll 8
    for (size_t i = 0; i < 2 * VEC_BLOCKS; i++)
        key->last_sum[i] = block_xor(key->last[i], block_swap(key->last[i]));
#endif
}

/* Adds a H^nV. */
INLINE void ghash_step(const struct ghash_key *key, struct product *sum, vec a, size_t n)
{
#if VEC_KARATSUBA
    product_add(sum, a, vec_repeat(key->step[n - 1]), vec_repeat(key->step_sum[n - 1]));
#else
    product_add(sum, a, vec_repeat(key->step[n - 1]), a);
#endif
}

/* A group of n vectors, 1 to GROUP. */
INLINE vec ghash_group(const struct ghash_key *key, vec state, const uint8_t *from, size_t n)
{
    struct product sum = {vec_zero(), vec_zero(), vec_zero()};

    ghash_step(key, &sum, state, n);
    for (; n > 1; n--, from += VEC_BYTES)
        ghash_step(key, &sum, vec_reverse(vec_load(from)), n - 1);
    return vec_xor(product_reduce(&sum), vec_reverse(vec_load(from)));
}

/* The power of each place when the exponent of the first is n. */
INLINE void ghash_last_step(const struct ghash_key *key, struct product *sum, vec a, size_t n)
{
    size_t i = 2 * VEC_BLOCKS - n;

#if VEC_KARATSUBA
    product_add(sum, a, vec_load(&key->last[i]), vec_load(&key->last_sum[i]));
#else
    product_add(sum, a, vec_load(&key->last[i]), a);
#endif
}

/* A vector that is not in memory as it is to be hashed. */
INLINE vec ghash_vector(const struct ghash_key *key, vec state, vec a)
{
    struct product sum = {vec_zero(), vec_zero(), vec_zero()};

    ghash_step(key, &sum, state, 1);
    return vec_xor(product_reduce(&sum), a);
}

/*
 * The end: m last blocks, 1 to V, in the first places of `last`, zeros in the others.  Powers that
 * are read beyond H are of the array behind, and multiply zeros.
 */
INLINE block ghash_end(const struct ghash_key *key, vec state, vec last, size_t m)
{
    struct product sum = {vec_zero(), vec_zero(), vec_zero()};

    ghash_last_step(key, &sum, state, VEC_BLOCKS + m);
    ghash_last_step(key, &sum, last, m);
    return block_reverse(vec_fold(product_reduce(&sum)));
}
