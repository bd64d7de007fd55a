/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU features that the AES kernels and the checksum ask for, with the operating system's register
 * state checked. */
#ifndef ENVOL_BASE_CPU_H
#define ENVOL_BASE_CPU_H

#include <stdint.h>

#define ENVOL_CPU_AESNI   1u  /* AES-NI, PCLMULQDQ, SSE4.1 */
#define ENVOL_CPU_VAES256 2u  /* VAES, VPCLMULQDQ, AVX2, and ymm state */
#define ENVOL_CPU_VAES512 4u  /* the same, AVX-512 F, BW, DQ, VL, and zmm state */
#define ENVOL_CPU_ARMV8   8u  /* Armv8 AES and PMULL */
#define ENVOL_CPU_CRC32C  16u /* SSE4.2 of x86-64, or Armv8's CRC32 */

#if defined(__x86_64__) || defined(__i386__)
/* What the processor says, by CPUID and in XCR0; zeros where it does not. */
struct envol_cpu_answers {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_ecx, xcr0;
};

/* The features that are there by these answers. */
uint32_t envol_cpu_decode(const struct envol_cpu_answers *cpu);
#endif

/* Found once; the same answer in every thread. */
uint32_t envol_cpu_features(void);

/* For tests: the features that envol_cpu_features answers from now on are those also in mask. */
void envol_cpu_mask(uint32_t mask);

#endif
