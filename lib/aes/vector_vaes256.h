/* SPDX-License-Identifier: BSD-2-Clause */
/* Vectors of two blocks: VAES and VPCLMULQDQ on the registers of AVX2. */
#define TARGET __attribute__((target("aes,pclmul,avx2,vaes,vpclmulqdq")))
#include "aes/block_x86.h"

#define VEC_BLOCKS    2
#define VEC_BYTES     32
#define VEC_KARATSUBA 1
#define VEC_GROUP     6

typedef __m256i vec;

INLINE vec vec_zero(void)
{
    return _mm256_setzero_si256();
}

INLINE vec vec_load(const void *from)
{
    return _mm256_loadu_si256(from);
}

INLINE void vec_store(void *to, vec a)
{
    _mm256_storeu_si256(to, a);
}

INLINE vec vec_load_part(const uint8_t *from, size_t bytes)
{
    if (bytes < 16)
        return _mm256_inserti128_si256(vec_zero(), block_load_part(from, bytes), 0);
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(block_load(from)),
        bytes == 16 ? block_zero() : block_load_part(from + 16, bytes - 16), 1);
}

INLINE void vec_store_part(uint8_t *to, vec a, size_t bytes)
{
    if (bytes < 16) {
        block_store_part(to, _mm256_castsi256_si128(a), bytes);
        return;
    }
    block_store(to, _mm256_castsi256_si128(a));
    if (bytes > 16)
        block_store_part(to + 16, _mm256_extracti128_si256(a, 1), bytes - 16);
}

INLINE vec vec_repeat(block a)
{
    return _mm256_broadcastsi128_si256(a);
}

INLINE vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

INLINE void vec_pin(vec *a)
{
    __asm__ volatile("" : "+x"(*a));
}

INLINE vec vec_xor3(vec a, vec b, vec c)
{
    return vec_xor(vec_xor(a, b), c);
}

INLINE vec vec_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

INLINE block vec_fold(vec a)
{
    return block_xor(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}

INLINE block vec_get_first(vec a)
{
    return _mm256_castsi256_si128(a);
}

INLINE vec vec_put(vec a, block b, size_t place)
{
    if (place == 0)
        return _mm256_inserti128_si256(a, b, 0);
    return _mm256_inserti128_si256(a, b, 1);
}

INLINE vec vec_reverse(vec a)
{
    return _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(_mm_set_epi8(
                                      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

INLINE vec vec_swap(vec a)
{
    return _mm256_shuffle_epi32(a, 0x4e);
}

INLINE vec vec_mul_low(vec a, vec b)
{
    return _mm256_clmulepi64_epi128(a, b, 0x00);
}

INLINE vec vec_mul_high(vec a, vec b)
{
    return _mm256_clmulepi64_epi128(a, b, 0x11);
}

INLINE vec vec_begin(vec a, vec key0)
{
    return vec_xor(a, key0);
}

INLINE vec vec_round(vec a, vec before, vec key)
{
    (void)before;
    return _mm256_aesenc_epi128(a, key);
}

INLINE vec vec_end(vec a, vec before, vec last)
{
    (void)before;
    return _mm256_aesenclast_epi128(a, last);
}

INLINE vec vec_unround(vec a, vec before, vec key)
{
    (void)before;
    return _mm256_aesdec_epi128(a, key);
}

INLINE vec vec_unend(vec a, vec before, vec last)
{
    (void)before;
    return _mm256_aesdeclast_epi128(a, last);
}

INLINE vec vec_add32(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

INLINE vec vec_turn_counter(vec a)
{
    return _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(_mm_set_epi8(
                                      12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)));
}

INLINE vec vec_shift_left(vec a, vec bits)
{
    return _mm256_sllv_epi64(a, bits);
}

INLINE vec vec_shift_right(vec a, vec bits)
{
    return _mm256_srlv_epi64(a, bits);
}

INLINE vec vec_up_half(vec a)
{
    return _mm256_slli_si256(a, 8);
}

INLINE vec vec_up(vec a)
{
    return _mm256_slli_si256(a, VEC_BLOCKS);
}

INLINE vec vec_down_rest(vec a)
{
    return _mm256_srli_si256(a, 16 - VEC_BLOCKS);
}
