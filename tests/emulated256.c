/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel "emulated256", for tests: the text of "vaes256" over vectors that need no VAES. */
#include "kernels.h"

#if defined(__x86_64__)

/* As vector_vaes256.h has them. */
#define VEC_BLOCKS    2
#define VEC_KARATSUBA 1
#define VEC_GROUP     6
#include "vector_emulated.h"

#define TIER_KERNEL   test_emulated256
#define TIER_NAME     "emulated256"
#define TIER_FEATURES ENVOL_CPU_AESNI
#include "aes/tier.h"

#endif
