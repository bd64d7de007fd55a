/* SPDX-License-Identifier: BSD-2-Clause */
/* Vectors of one block, whatever the instruction set. */
#define VEC_BLOCKS    1
#define VEC_BYTES     16
#define VEC_KARATSUBA 1
#define VEC_GROUP     6

typedef block vec;

#define vec_zero         block_zero
#define vec_load         block_load
#define vec_store        block_store
#define vec_load_part    block_load_part
#define vec_store_part   block_store_part
#define vec_pin          block_pin
#define vec_xor          block_xor
#define vec_and          block_and
#define vec_reverse      block_reverse
#define vec_swap         block_swap
#define vec_mul_low      block_mul_low
#define vec_mul_high     block_mul_high
#define vec_begin        block_begin
#define vec_round        block_round
#define vec_end          block_end
#define vec_unround      block_unround
#define vec_unend        block_unend
#define vec_add32        block_add32
#define vec_turn_counter block_turn_counter
#define vec_shift_left   block_shift_left
#define vec_shift_right  block_shift_right
#define vec_up_half      block_up_half
#define vec_up           block_up_byte
#define vec_down_rest    block_down_15_bytes

INLINE vec vec_repeat(block a)
{
    return a;
}

INLINE block vec_get_first(vec a)
{
    return a;
}

INLINE block vec_fold(vec a)
{
    return a;
}

INLINE vec vec_put(vec a, block b, size_t place)
{
    (void)a;
    (void)place;
    return b;
}

INLINE vec vec_xor3(vec a, vec b, vec c)
{
    return block_xor(block_xor(a, b), c);
}
