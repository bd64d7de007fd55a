/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vectors of VEC_BLOCKS blocks, 2 or 4, made of one-block instructions: with them the text of the
 * wide kernels runs, and is watched by memcheck, on any machine with AES-NI.  The includer defines
 * VEC_BLOCKS, and VEC_KARATSUBA and VEC_GROUP as the tier that it stands for has them.
 *
 * What no machine without VAES runs, and no memcheck that does not know it, is then the intrinsics
 * of vector_vaes256.h and vector_vaes512.h alone, each of which works on its places alike.
 */
/* The sanitizers would check each access to an array of blocks, and take minutes to compile: these
 * kernels have their guard pages. */
#define TARGET __attribute__((target("aes,pclmul,sse4.1"), no_sanitize("address", "undefined")))
#include "aes/block_x86.h"

#define VEC_BYTES (16 * VEC_BLOCKS)

struct places {
    block at[VEC_BLOCKS];
};

typedef struct places vec;

/* Functions that do in each place what one of blocks does. */
#define IN_EACH_PLACE(statement)                                                                   \
    _Pragma("GCC unroll 4") for (size_t i = 0; i < VEC_BLOCKS; i++)                                \
    {                                                                                              \
        statement;                                                                                 \
    }                                                                                              \
    return a;
#define OF_ONE(name, each)                                                                         \
    INLINE vec name(vec a)                                                                         \
    {                                                                                              \
        IN_EACH_PLACE(a.at[i] = each(a.at[i]))                                                     \
    }
#define OF_TWO(name, each)                                                                         \
    INLINE vec name(vec a, vec b)                                                                  \
    {                                                                                              \
        IN_EACH_PLACE(a.at[i] = each(a.at[i], b.at[i]))                                            \
    }
#define OF_THREE(name, each)                                                                       \
    INLINE vec name(vec a, vec b, vec c)                                                           \
    {                                                                                              \
        IN_EACH_PLACE(a.at[i] = each(a.at[i], b.at[i], c.at[i]))                                   \
    }

OF_ONE(vec_reverse, block_reverse)
OF_ONE(vec_swap, block_swap)
OF_ONE(vec_turn_counter, block_turn_counter)
OF_ONE(vec_up_half, block_up_half)
OF_TWO(vec_xor, block_xor)
OF_TWO(vec_and, block_and)
OF_TWO(vec_mul_low, block_mul_low)
OF_TWO(vec_mul_high, block_mul_high)
OF_TWO(vec_begin, block_begin)
OF_TWO(vec_add32, block_add32)
OF_TWO(vec_shift_left, block_shift_left)
OF_TWO(vec_shift_right, block_shift_right)
OF_THREE(vec_round, block_round)
OF_THREE(vec_end, block_end)
OF_THREE(vec_unround, block_unround)
OF_THREE(vec_unend, block_unend)

INLINE vec vec_repeat(block b)
{
    vec a;

    IN_EACH_PLACE(a.at[i] = b)
}

INLINE vec vec_zero(void)
{
    return vec_repeat(block_zero());
}

INLINE vec vec_load(const void *from)
{
    vec a;

    IN_EACH_PLACE(a.at[i] = block_load((const uint8_t *)from + 16 * i))
}

INLINE void vec_store(void *to, vec a)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < VEC_BLOCKS; i++)
        block_store((uint8_t *)to + 16 * i, a.at[i]);
}

INLINE vec vec_load_part(const uint8_t *from, size_t bytes)
{
    vec a = vec_zero();
    size_t whole = bytes / 16;

    for (size_t i = 0; i < whole; i++)
        a.at[i] = block_load(from + 16 * i);
    if (bytes % 16 > 0)
        a.at[whole] = block_load_part(from + 16 * whole, bytes % 16);
    return a;
}

INLINE void vec_store_part(uint8_t *to, vec a, size_t bytes)
{
    size_t whole = bytes / 16;

    for (size_t i = 0; i < whole; i++)
        block_store(to + 16 * i, a.at[i]);
    if (bytes % 16 > 0)
        block_store_part(to + 16 * whole, a.at[whole], bytes % 16);
}

INLINE void vec_pin(vec *a)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < VEC_BLOCKS; i++)
        block_pin(&a->at[i]);
}

INLINE vec vec_xor3(vec a, vec b, vec c)
{
    return vec_xor(vec_xor(a, b), c);
}

INLINE block vec_fold(vec a)
{
    block sum = a.at[0];

#pragma GCC unroll 4
    for (size_t i = 1; i < VEC_BLOCKS; i++)
        sum = block_xor(sum, a.at[i]);
    return sum;
}

INLINE block vec_get_first(vec a)
{
    return a.at[0];
}

INLINE vec vec_put(vec a, block b, size_t place)
{
    a.at[place] = b;
    return a;
}

#if !VEC_KARATSUBA
INLINE vec vec_mul_low_high(vec a, vec b)
{
    return vec_mul_low(a, vec_swap(b));
}

INLINE vec vec_mul_high_low(vec a, vec b)
{
    return vec_mul_low(vec_swap(a), b);
}
#endif

INLINE vec vec_up(vec a){IN_EACH_PLACE(a.at[i] = _mm_slli_si128(a.at[i], VEC_BLOCKS))}

INLINE vec vec_down_rest(vec a)
{
    IN_EACH_PLACE(a.at[i] = _mm_srli_si128(a.at[i], 16 - VEC_BLOCKS))
}
