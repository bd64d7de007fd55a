/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel "vaes256": see vector_vaes256.h for what it needs. */
#if defined(__x86_64__)

#include "aes/vector_vaes256.h"

#define TIER_KERNEL   envol_aes_vaes256
#define TIER_NAME     "vaes256"
#define TIER_FEATURES ENVOL_CPU_VAES256
#include "aes/tier.h"

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int envol_vaes256_absent;

#endif
