/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel "aesni": see vector_aesni.h for what it needs. */
#if defined(__x86_64__)

#include "aes/vector_aesni.h"

#define TIER_KERNEL   envol_aes_aesni
#define TIER_NAME     "aesni"
#define TIER_FEATURES ENVOL_CPU_AESNI
#include "aes/tier.h"

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int envol_aesni_absent;

#endif
