/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel "vaes512": see vector_vaes512.h for what it needs. */
#if defined(__x86_64__)

#include "aes/vector_vaes512.h"

#define TIER_KERNEL   envol_aes_vaes512
#define TIER_NAME     "vaes512"
#define TIER_FEATURES ENVOL_CPU_VAES512
#include "aes/tier.h"

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int envol_vaes512_absent;

#endif
