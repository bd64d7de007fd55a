/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel "emulated512", for tests: the text of "vaes512" over vectors that need no VAES. */
#include "kernels.h"

#if defined(__x86_64__)

/* As vector_vaes512.h has them. */
#define VEC_BLOCKS    4
#define VEC_KARATSUBA 0
#define VEC_GROUP     8
#include "vector_emulated.h"

#define TIER_KERNEL   test_emulated512
#define TIER_NAME     "emulated512"
#define TIER_FEATURES ENVOL_CPU_AESNI
#include "aes/tier.h"

#endif
