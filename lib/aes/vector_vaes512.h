/* SPDX-License-Identifier: BSD-2-Clause */
/* Vectors of four blocks: VAES and VPCLMULQDQ on the registers of AVX-512. */
#define TARGET                                                                                     \
    __attribute__((target("aes,pclmul,avx2,avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq")))
#include "aes/block_x86.h"

#define VEC_BLOCKS 4
#define VEC_BYTES  64
/* Its carry-less multiplier is as fast as its shuffles: a product saved is not worth a shuffle. */
#define VEC_KARATSUBA 0
#define VEC_GROUP     8

typedef __m512i vec;

INLINE vec vec_zero(void)
{
    return _mm512_setzero_si512();
}

INLINE vec vec_load(const void *from)
{
    return _mm512_loadu_si512(from);
}

INLINE void vec_store(void *to, vec a)
{
    _mm512_storeu_si512(to, a);
}

/* The lowest 1 to 63 bytes. */
INLINE __mmask64 vec_part(size_t bytes)
{
    return UINT64_MAX >> (64 - bytes);
}

INLINE vec vec_load_part(const uint8_t *from, size_t bytes)
{
    return _mm512_maskz_loadu_epi8(vec_part(bytes), from);
}

INLINE void vec_store_part(uint8_t *to, vec a, size_t bytes)
{
    _mm512_mask_storeu_epi8(to, vec_part(bytes), a);
}

INLINE vec vec_repeat(block a)
{
    return _mm512_broadcast_i32x4(a);
}

INLINE vec vec_xor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

/* 0x96: the truth table of a ^ b ^ c. */
INLINE void vec_pin(vec *a)
{
    __asm__ volatile("" : "+v"(*a));
}

INLINE vec vec_xor3(vec a, vec b, vec c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

INLINE vec vec_and(vec a, vec b)
{
    return _mm512_and_si512(a, b);
}

INLINE block vec_fold(vec a)
{
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));

    return block_xor(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

INLINE block vec_get_first(vec a)
{
    return _mm512_castsi512_si128(a);
}

INLINE vec vec_put(vec a, block b, size_t place)
{
    return _mm512_mask_broadcast_i32x4(a, (__mmask16)(0xfu << 4 * place), b);
}

INLINE vec vec_reverse(vec a)
{
    return _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                                                      10, 11, 12, 13, 14, 15)));
}

INLINE vec vec_swap(vec a)
{
    return _mm512_shuffle_epi32(a, _MM_PERM_BADC);
}

INLINE vec vec_mul_low(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x00);
}

INLINE vec vec_mul_high(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x11);
}

INLINE vec vec_mul_low_high(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x10);
}

INLINE vec vec_mul_high_low(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x01);
}

INLINE vec vec_begin(vec a, vec key0)
{
    return vec_xor(a, key0);
}

INLINE vec vec_round(vec a, vec before, vec key)
{
    (void)before;
    return _mm512_aesenc_epi128(a, key);
}

INLINE vec vec_end(vec a, vec before, vec last)
{
    (void)before;
    return _mm512_aesenclast_epi128(a, last);
}

INLINE vec vec_unround(vec a, vec before, vec key)
{
    (void)before;
    return _mm512_aesdec_epi128(a, key);
}

INLINE vec vec_unend(vec a, vec before, vec last)
{
    (void)before;
    return _mm512_aesdeclast_epi128(a, last);
}

INLINE vec vec_add32(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

INLINE vec vec_turn_counter(vec a)
{
    return _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8,
                                                                      7, 6, 5, 4, 3, 2, 1, 0)));
}

INLINE vec vec_shift_left(vec a, vec bits)
{
    return _mm512_sllv_epi64(a, bits);
}

INLINE vec vec_shift_right(vec a, vec bits)
{
    return _mm512_srlv_epi64(a, bits);
}

INLINE vec vec_up_half(vec a)
{
    return _mm512_bslli_epi128(a, 8);
}

INLINE vec vec_up(vec a)
{
    return _mm512_bslli_epi128(a, VEC_BLOCKS);
}

INLINE vec vec_down_rest(vec a)
{
    return _mm512_bsrli_epi128(a, 16 - VEC_BLOCKS);
}
