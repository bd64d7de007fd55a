/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks of 128 bits on AArch64, with its AES and PMULL instructions; see block_x86.h. */
#include <arm_neon.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TARGET __attribute__((target("+crypto")))
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef uint8x16_t block;

INLINE block block_zero(void)
{
    return vdupq_n_u8(0);
}

INLINE block block_load(const void *from)
{
    return vld1q_u8(from);
}

INLINE void block_store(void *to, block a)
{
    vst1q_u8(to, a);
}

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
    return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)));
}

INLINE block block_set_counter(block a, uint32_t word)
{
    return vreinterpretq_u8_u32(vsetq_lane_u32(word, vreinterpretq_u32_u8(a), 3));
}

INLINE block block_xor(block a, block b)
{
    return veorq_u8(a, b);
}

INLINE block block_and(block a, block b)
{
    return vandq_u8(a, b);
}

INLINE bool block_is_zero(block a)
{
    return vmaxvq_u8(a) == 0;
}

INLINE block block_reverse(block a)
{
    return vextq_u8(vrev64q_u8(a), vrev64q_u8(a), 8);
}

INLINE block block_swap(block a)
{
    return vextq_u8(a, a, 8);
}

INLINE block block_mul_low(block a, block b)
{
    return vreinterpretq_u8_p128(vmull_p64((poly64_t)vgetq_lane_u64(vreinterpretq_u64_u8(a), 0),
                                           (poly64_t)vgetq_lane_u64(vreinterpretq_u64_u8(b), 0)));
}

INLINE block block_mul_high(block a, block b)
{
    return vreinterpretq_u8_p128(vmull_high_p64(vreinterpretq_p64_u8(a), vreinterpretq_p64_u8(b)));
}

INLINE block block_mul_cross(block a, block b)
{
    return block_xor(block_mul_low(a, block_swap(b)), block_mul_high(a, block_swap(b)));
}

INLINE block block_double(block a, block *out)
{
    uint64x2_t tops = vshrq_n_u64(vreinterpretq_u64_u8(a), 63);

    *out = vreinterpretq_u8_u64(vdupq_laneq_u64(tops, 1));
    return vorrq_u8(vreinterpretq_u8_u64(vshlq_n_u64(vreinterpretq_u64_u8(a), 1)),
                    vextq_u8(block_zero(), vreinterpretq_u8_u64(tops), 8));
}

INLINE block block_negate(block a)
{
    return vreinterpretq_u8_u64(vsubq_u64(vdupq_n_u64(0), vreinterpretq_u64_u8(a)));
}

INLINE block block_ripple(block a)
{
    a = block_xor(a, vextq_u8(block_zero(), a, 12));
    return block_xor(a, vextq_u8(block_zero(), a, 8));
}

INLINE block block_last_word(block a)
{
    return vreinterpretq_u8_u32(vdupq_laneq_u32(vreinterpretq_u32_u8(a), 3));
}

INLINE block block_last_word_rotated(block a)
{
    return vqtbl1q_u8(a, vreinterpretq_u8_u32(vdupq_n_u32(0x0c0f0e0d)));
}

INLINE block block_substitute(block a, block b)
{
    return block_xor(vaeseq_u8(a, block_zero()), b);
}

INLINE block block_inverse_mix(block a)
{
    return vaesimcq_u8(a);
}

/* AESE adds the key of the round before, and leaves the last one to be added. */

INLINE block block_begin(block a, block key0)
{
    (void)key0;
    return a;
}

INLINE block block_round(block a, block before, block key)
{
    (void)key;
    return vaesmcq_u8(vaeseq_u8(a, before));
}

INLINE block block_end(block a, block before, block last)
{
    return block_xor(vaeseq_u8(a, before), last);
}

INLINE block block_unround(block a, block before, block key)
{
    (void)key;
    return vaesimcq_u8(vaesdq_u8(a, before));
}

INLINE block block_unend(block a, block before, block last)
{
    return block_xor(vaesdq_u8(a, before), last);
}

INLINE void block_pin(block *a)
{
    __asm__ volatile("" : "+w"(*a));
}

INLINE block block_add32(block a, block b)
{
    return vreinterpretq_u8_u32(vaddq_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}

INLINE block block_turn_counter(block a)
{
    return vqtbl1q_u8(a, block_of(UINT64_C(0x0c0d0e0f0b0a0908), UINT64_C(0x0706050403020100)));
}

INLINE block block_shift_left(block a, block bits)
{
    return vreinterpretq_u8_u64(vshlq_u64(vreinterpretq_u64_u8(a), vreinterpretq_s64_u8(bits)));
}

/* A negative count shifts right. */
INLINE block block_shift_right(block a, block bits)
{
    return block_shift_left(a, block_negate(bits));
}

INLINE block block_up_half(block a)
{
    return vextq_u8(block_zero(), a, 8);
}

INLINE block block_up_byte(block a)
{
    return vextq_u8(block_zero(), a, 15);
}

INLINE block block_down_15_bytes(block a)
{
    return vextq_u8(a, block_zero(), 15);
}
