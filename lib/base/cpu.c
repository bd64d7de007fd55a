/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU features by CPUID (Intel SDM volume 2, CPUID; volume 1, 13.3 for XCR0) or the auxiliary
 * vector. A feature whose registers the operating system does not save is not there.
 */
#include "base/cpu.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Features, and a bit that says that they have been looked for. */
#define KNOWN (1u << 31)
static _Atomic uint32_t published;

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* CPUID leaf 1, ecx */
#define LEAF1_PCLMULQDQ (1u << 1)
#define LEAF1_SSE41     (1u << 19)
#define LEAF1_SSE42     (1u << 20)
#define LEAF1_AES       (1u << 25)
#define LEAF1_OSXSAVE   (1u << 27)
/* CPUID leaf 7, subleaf 0, ebx */
#define LEAF7_AVX2     (1u << 5)
#define LEAF7_AVX512F  (1u << 16)
#define LEAF7_AVX512DQ (1u << 17)
#define LEAF7_AVX512BW (1u << 30)
#define LEAF7_AVX512VL (1u << 31)
/* CPUID leaf 7, subleaf 0, ecx */
#define LEAF7_VAES       (1u << 9)
#define LEAF7_VPCLMULQDQ (1u << 10)
/* XCR0: sse and ymm; those, mask registers, upper halves of zmm0-15, and zmm16-31 */
#define XCR0_YMM 0x06u
#define XCR0_ZMM 0xe6u

static bool all(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

/* Written out, because the intrinsic needs a compiler flag for the whole file. */
static uint32_t read_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static uint32_t decode_aes(const struct envol_cpu_answers *cpu)
{
    if (!all(cpu->leaf1_ecx, LEAF1_AES | LEAF1_PCLMULQDQ | LEAF1_SSE41))
        return 0;
    if (!all(cpu->leaf1_ecx, LEAF1_OSXSAVE) || !all(cpu->xcr0, XCR0_YMM) ||
        !all(cpu->leaf7_ebx, LEAF7_AVX2) || !all(cpu->leaf7_ecx, LEAF7_VAES | LEAF7_VPCLMULQDQ))
        return ENVOL_CPU_AESNI;
    if (!all(cpu->xcr0, XCR0_ZMM) ||
        !all(cpu->leaf7_ebx, LEAF7_AVX512F | LEAF7_AVX512BW | LEAF7_AVX512DQ | LEAF7_AVX512VL))
        return ENVOL_CPU_AESNI | ENVOL_CPU_VAES256;
    return ENVOL_CPU_AESNI | ENVOL_CPU_VAES256 | ENVOL_CPU_VAES512;
}

uint32_t envol_cpu_decode(const struct envol_cpu_answers *cpu)
{
    return decode_aes(cpu) | (all(cpu->leaf1_ecx, LEAF1_SSE42) ? ENVOL_CPU_CRC32C : 0);
}

/* xgetbv is an instruction where OSXSAVE says so. */
static uint32_t detect(void)
{
    struct envol_cpu_answers cpu = {0};
    uint32_t eax, ebx, edx;

    if (!__get_cpuid(1, &eax, &ebx, &cpu.leaf1_ecx, &edx))
        return 0;
    if (all(cpu.leaf1_ecx, LEAF1_OSXSAVE))
        cpu.xcr0 = read_xcr0();
    if (!__get_cpuid_count(7, 0, &eax, &cpu.leaf7_ebx, &cpu.leaf7_ecx, &edx))
        cpu.leaf7_ebx = cpu.leaf7_ecx = 0;
    return envol_cpu_decode(&cpu);
}

#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

static uint32_t detect(void)
{
    unsigned long aes = HWCAP_AES | HWCAP_PMULL, known = getauxval(AT_HWCAP);

    return ((known & aes) == aes ? ENVOL_CPU_ARMV8 : 0) |
           ((known & HWCAP_CRC32) != 0 ? ENVOL_CPU_CRC32C : 0);
}

#else

static uint32_t detect(void)
{
    return 0;
}

#endif

uint32_t envol_cpu_features(void)
{
    uint32_t features = atomic_load_explicit(&published, memory_order_relaxed);

    /* Threads that race here find the same word. */
    if (features == 0) {
        features = detect() | KNOWN;
        atomic_store_explicit(&published, features, memory_order_relaxed);
    }
    return features & ~KNOWN;
}

void envol_cpu_mask(uint32_t mask)
{
    atomic_store_explicit(&published, (detect() & mask) | KNOWN, memory_order_relaxed);
}
