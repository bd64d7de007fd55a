/* SPDX-License-Identifier: BSD-2-Clause */
/* Features of the processor: which there are by its answers, and by the operating system's state.
 */
#include "base/cpu.h"

#include "support.h"

#if defined(__x86_64__) || defined(__i386__)

/* Bits by their numbers in the Intel SDM (volume 2, CPUID; volume 1, 13.3), apart from cpu.c. */
#define BIT(n)   (UINT32_C(1) << (n))
#define AES      BIT(25)
#define PCLMUL   BIT(1)
#define SSE41    BIT(19)
#define SSE42    BIT(20)
#define OSXSAVE  BIT(27)
#define AVX2     BIT(5)
#define AVX512F  BIT(16)
#define AVX512DQ BIT(17)
#define AVX512BW BIT(30)
#define AVX512VL BIT(31)
#define VAES     BIT(9)
#define VPCLMUL  BIT(10)
/* XCR0 */
#define X87       BIT(0)
#define SSE       BIT(1)
#define AVX       BIT(2)
#define OPMASK    BIT(5)
#define ZMM_UPPER BIT(6)
#define ZMM_MORE  BIT(7)

#define ONES UINT32_MAX

#define NONE    0u
#define NARROW  ENVOL_CPU_AESNI
#define MIDDLE  (NARROW | ENVOL_CPU_VAES256)
#define WIDEST  (MIDDLE | ENVOL_CPU_VAES512)
#define LEAF1   (AES | PCLMUL | SSE41 | OSXSAVE)
#define AVX512S (AVX512F | AVX512DQ | AVX512BW | AVX512VL)
#define YMM     (X87 | SSE | AVX)
#define ZMM     (YMM | OPMASK | ZMM_UPPER | ZMM_MORE)

static const struct {
    const char *what;
    struct envol_cpu_answers cpu;
    uint32_t features;
} machines[] = {
    {"nothing", {0, 0, 0, 0}, NONE},
    {"all", {ONES, ONES, ONES, ONES}, WIDEST},
    {"all but SSE4.2", {ONES & ~SSE42, ONES, ONES, ONES}, WIDEST},
    {"SSE4.2 alone", {SSE42, 0, 0, 0}, NONE},
    {"just enough for the widest", {LEAF1, AVX2 | AVX512S, VAES | VPCLMUL, ZMM}, WIDEST},
    {"just enough for the middle", {LEAF1, AVX2, VAES | VPCLMUL, YMM}, MIDDLE},
    {"just enough for the narrowest", {AES | PCLMUL | SSE41, 0, 0, 0}, NARROW},

    {"no AES", {ONES & ~AES, ONES, ONES, ONES}, NONE},
    {"no PCLMULQDQ", {ONES & ~PCLMUL, ONES, ONES, ONES}, NONE},
    {"no SSE4.1", {ONES & ~SSE41, ONES, ONES, ONES}, NONE},

    /* CPUID is all for it, but the registers are not saved. */
    {"no OSXSAVE", {ONES & ~OSXSAVE, ONES, ONES, 0}, NARROW},
    {"no OSXSAVE, whatever XCR0 would be", {ONES & ~OSXSAVE, ONES, ONES, ONES}, NARROW},
    {"no state", {ONES, ONES, ONES, 0}, NARROW},
    {"x87 state alone", {ONES, ONES, ONES, X87}, NARROW},
    {"AVX state missing", {ONES, ONES, ONES, X87 | SSE}, NARROW},
    {"AVX state missing among others", {ONES, ONES, ONES, ONES & ~AVX}, NARROW},
    {"SSE state missing", {ONES, ONES, ONES, ONES & ~SSE}, NARROW},
    {"ZMM state missing", {ONES, ONES, ONES, YMM}, MIDDLE},
    {"mask registers missing", {ONES, ONES, ONES, ONES & ~OPMASK}, MIDDLE},
    {"upper halves missing", {ONES, ONES, ONES, ONES & ~ZMM_UPPER}, MIDDLE},
    {"zmm16 to zmm31 missing", {ONES, ONES, ONES, ONES & ~ZMM_MORE}, MIDDLE},

    /* The registers are saved, but an instruction set is missing. */
    {"no leaf 7", {ONES, 0, 0, ONES}, NARROW},
    {"VAES without AVX2", {ONES, ONES & ~AVX2, ONES, ONES}, NARROW},
    {"AVX2 without VAES", {ONES, ONES, ONES & ~VAES, ONES}, NARROW},
    {"no VPCLMULQDQ", {ONES, ONES, ONES & ~VPCLMUL, ONES}, NARROW},
    {"no AVX512F", {ONES, ONES & ~AVX512F, ONES, ONES}, MIDDLE},
    {"no AVX512DQ", {ONES, ONES & ~AVX512DQ, ONES, ONES}, MIDDLE},
    {"no AVX512BW", {ONES, ONES & ~AVX512BW, ONES, ONES}, MIDDLE},
    {"no AVX512VL", {ONES, ONES & ~AVX512VL, ONES, ONES}, MIDDLE},
};
enum { MACHINES = sizeof(machines) / sizeof(machines[0]) };

START_TEST(answers_say_which_features)
{
    uint32_t decoded = envol_cpu_decode(&machines[_i].cpu);
    uint32_t features = decoded & ~ENVOL_CPU_CRC32C;

    /* The checksum's instruction needs no state and no other. */
    ck_assert_int_eq((decoded & ENVOL_CPU_CRC32C) != 0, (machines[_i].cpu.leaf1_ecx & SSE42) != 0);
    ck_assert_msg(features == machines[_i].features, "%s: %u, not %u", machines[_i].what,
                  (unsigned)features, (unsigned)machines[_i].features);
}
END_TEST

#if defined(__x86_64__)
/* The compiler's runtime looks at the same registers in a way of its own. */
START_TEST(this_machine_as_the_compiler_sees_it)
{
    uint32_t features = envol_cpu_features();

    __builtin_cpu_init();
    ck_assert(!(features & ENVOL_CPU_AESNI) || __builtin_cpu_supports("pclmul"));
    ck_assert(!(features & ENVOL_CPU_VAES256) || __builtin_cpu_supports("avx2"));
    ck_assert(!(features & ENVOL_CPU_VAES512) || __builtin_cpu_supports("avx512bw"));
}
END_TEST
#endif

#endif

/* Features that are there can be masked, and come back; none can be made up. */
START_TEST(masked_features)
{
    uint32_t all = envol_cpu_features();

    for (uint32_t bit = 1; bit <= 0x80; bit <<= 1) {
        envol_cpu_mask(~bit);
        ck_assert_uint_eq(envol_cpu_features(), all & ~bit);
    }
    envol_cpu_mask(0);
    ck_assert_uint_eq(envol_cpu_features(), 0);
    envol_cpu_mask(UINT32_MAX);
    ck_assert_uint_eq(envol_cpu_features(), all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu");
    TCase *tcase = tcase_create("features");

#if defined(__x86_64__) || defined(__i386__)
    tcase_add_loop_test(tcase, answers_say_which_features, 0, MACHINES);
#endif
#if defined(__x86_64__)
    tcase_add_test(tcase, this_machine_as_the_compiler_sees_it);
#endif
    tcase_add_test(tcase, masked_features);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
