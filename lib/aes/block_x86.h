/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of 128 bits on x86-64, the same for every tier.  The includer defines TARGET, the
 * instruction sets that its functions may use: AES-NI, PCLMULQDQ and SSE4.1 at least.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef __m128i block;

INLINE block block_zero(void)
{
    return _mm_setzero_si128();
}

INLINE block block_load(const void *from)
{
    return _mm_loadu_si128(from);
}

INLINE void block_store(void *to, block a)
{
    _mm_storeu_si128(to, a);
}

/* Less than a block: what is not there reads as zeros. */
INLINE block block_load_part(const uint8_t *from, size_t bytes)
{
    uint8_t whole[16] = {0};

    memcpy(whole, from, bytes);
    return block_load(whole);
}

INLINE void block_store_part(uint8_t *to, block a, size_t bytes)
{
    uint8_t whole[16];

    block_store(whole, a);
    memcpy(to, whole, bytes);
}

INLINE block block_of(uint64_t high, uint64_t low)
{
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

/* The last word of a counter block (SP 800-38D, 6.5), given as it lies in memory. */
INLINE block block_set_counter(block a, uint32_t word)
{
    return _mm_insert_epi32(a, (int)word, 3);
}

INLINE block block_xor(block a, block b)
{
    return _mm_xor_si128(a, b);
}

INLINE block block_and(block a, block b)
{
    return _mm_and_si128(a, b);
}

INLINE bool block_is_zero(block a)
{
    return _mm_testz_si128(a, a);
}

/* Bytes in reverse order. */
INLINE block block_reverse(block a)
{
    return _mm_shuffle_epi8(a, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* The halves change places. */
INLINE block block_swap(block a)
{
    return _mm_shuffle_epi32(a, 0x4e);
}

/* Carry-less products of halves: low by low, high by high, and the sum of the two others. */
INLINE block block_mul_low(block a, block b)
{
    return _mm_clmulepi64_si128(a, b, 0x00);
}

INLINE block block_mul_high(block a, block b)
{
    return _mm_clmulepi64_si128(a, b, 0x11);
}

INLINE block block_mul_cross(block a, block b)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
}

/* Shifted left by one bit; *out gets the bit that falls out, in both halves. */
INLINE block block_double(block a, block *out)
{
    block tops = _mm_srli_epi64(a, 63);

    *out = _mm_unpackhi_epi64(tops, tops);
    return _mm_or_si128(_mm_slli_epi64(a, 1), _mm_slli_si128(tops, 8));
}

/* Each half negated as a number: 1 becomes all ones. */
INLINE block block_negate(block a)
{
    return _mm_sub_epi64(_mm_setzero_si128(), a);
}

/* Words w0..w3 become w0, w0^w1, w0^w1^w2, w0^w1^w2^w3: FIPS 197, figure 11. */
INLINE block block_ripple(block a)
{
    a = _mm_xor_si128(a, _mm_slli_si128(a, 4));
    return _mm_xor_si128(a, _mm_slli_si128(a, 8));
}

/* The last word in all four places, and the same after RotWord (FIPS 197, 5.2). */
INLINE block block_last_word(block a)
{
    return _mm_shuffle_epi32(a, 0xff);
}

INLINE block block_last_word_rotated(block a)
{
    return _mm_shuffle_epi8(a, _mm_set1_epi32(0x0c0f0e0d));
}

/* SubBytes, plus b, of a block whose columns are equal: ShiftRows leaves such a one as it is. */
INLINE block block_substitute(block a, block b)
{
    return _mm_aesenclast_si128(a, b);
}

/* InvMixColumns, for the round keys of the equivalent inverse cipher (FIPS 197, 5.3.5). */
INLINE block block_inverse_mix(block a)
{
    return _mm_aesimc_si128(a);
}

/*
 * AES in steps that leave open whether an instruction adds its round key first (Arm) or last (x86):
 * a round is given the key before it and its own.  What `end` is given as its own key is added to
 * the result: the last round key, and what else is to be added.
 */
INLINE block block_begin(block a, block key0)
{
    return _mm_xor_si128(a, key0);
}

INLINE block block_round(block a, block before, block key)
{
    (void)before;
    return _mm_aesenc_si128(a, key);
}

INLINE block block_end(block a, block before, block last)
{
    (void)before;
    return _mm_aesenclast_si128(a, last);
}

INLINE block block_unround(block a, block before, block key)
{
    (void)before;
    return _mm_aesdec_si128(a, key);
}

INLINE block block_unend(block a, block before, block last)
{
    (void)before;
    return _mm_aesdeclast_si128(a, last);
}

/* What vectors of one block need beside the above. */

INLINE void block_pin(block *a)
{
    __asm__ volatile("" : "+x"(*a));
}

INLINE block block_add32(block a, block b)
{
    return _mm_add_epi32(a, b);
}

INLINE block block_turn_counter(block a)
{
    return _mm_shuffle_epi8(a, _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}

INLINE block block_shift_left(block a, block bits)
{
    return _mm_sll_epi64(a, bits);
}

INLINE block block_shift_right(block a, block bits)
{
    return _mm_srl_epi64(a, bits);
}

INLINE block block_up_half(block a)
{
    return _mm_slli_si128(a, 8);
}

INLINE block block_up_byte(block a)
{
    return _mm_slli_si128(a, 1);
}

INLINE block block_down_15_bytes(block a)
{
    return _mm_srli_si128(a, 15);
}
