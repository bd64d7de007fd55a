/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel "armv8": AES and PMULL of Armv8's cryptographic extensions, little-endian. */
#include "aes/kernels.h"

#if defined(ENVOL_AES_ARMV8)

#include "aes/block_armv8.h"

#include "aes/vector_one.h"

#define TIER_KERNEL   envol_aes_armv8
#define TIER_NAME     "armv8"
#define TIER_FEATURES ENVOL_CPU_ARMV8
#include "aes/tier.h"

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int envol_armv8_absent;

#endif
