/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows limit/NAME: what AES-256 could reach if nothing but its 14 rounds cost time.  A loop of
 * independent aesenc, twelve in flight: two units with a latency of 4 cycles, the most there is,
 * need eight.  limit-clock, a chain of dependent adds, gives the core's frequency beside it.
 *
 * In assembly, because the figure is about these instructions, whatever the compiler makes of
 * intrinsics.  A page is page_bytes / 16 blocks of 14 rounds; the last one, aesenclast, costs the
 * same.
 */
#include "bench.h"

#include "base/cpu.h"
#include <string.h>

#if defined(__x86_64__)

#define IN_FLIGHT 12u
#define ROUNDS    14u
#define CHAIN     64u /* adds of one turn of the loop */

struct limit {
    const char *kernel;
    const char *row;
    uint32_t feature;
    unsigned lanes;
    void (*loop)(size_t times); /* of IN_FLIGHT vectors through ROUNDS */
};

/* What is in the registers does not matter: aesenc's time does not depend on it. */
#define AES_LOOP(instruction)                                                                      \
    "1:\n\t"                                                                                       \
    ".rept 14\n\t"                                                                                 \
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t" instruction "\n\t"                          \
    ".endr\n\t"                                                                                    \
    ".endr\n\t"                                                                                    \
    "dec %0\n\t"                                                                                   \
    "jnz 1b\n\t"
#define REGISTERS                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm15", "cc"

static void loop_vaes512(size_t times)
{
    __asm__ volatile(AES_LOOP("vaesenc %%zmm15, %%zmm\\n, %%zmm\\n") "vzeroupper"
                     : "+r"(times)
                     :
                     : REGISTERS);
}

static void loop_vaes256(size_t times)
{
    __asm__ volatile(AES_LOOP("vaesenc %%ymm15, %%ymm\\n, %%ymm\\n") "vzeroupper"
                     : "+r"(times)
                     :
                     : REGISTERS);
}

static void loop_aesni(size_t times)
{
    __asm__ volatile(AES_LOOP("aesenc %%xmm15, %%xmm\\n") : "+r"(times) : : REGISTERS);
}

/* Widest first. */
static const struct limit limits[] = {
    {"vaes512", "limit/vaes512", ENVOL_CPU_VAES512, 4, loop_vaes512},
    {"vaes256", "limit/vaes256", ENVOL_CPU_VAES256, 2, loop_vaes256},
    {"aesni", "limit/aesni", ENVOL_CPU_AESNI, 1, loop_aesni},
};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

static void run_limit(struct bench_row *row, size_t steps)
{
    const struct limit *limit = row->subject;
    size_t vectors = steps * row->page_bytes / (16 * limit->lanes);

    limit->loop((vectors + IN_FLIGHT - 1) / IN_FLIGHT);
}

/* A step adds page_bytes times, so that the column of GB/s says GHz.  A register is added, because
 * some cores add small constants before they execute anything. */
static void run_clock(struct bench_row *row, size_t steps)
{
    size_t sum = 0, addend = steps, times = steps * row->page_bytes / CHAIN;

    __asm__ volatile("1:\n\t"
                     ".rept 64\n\t"
                     "add %2, %0\n\t"
                     ".endr\n\t"
                     "dec %1\n\t"
                     "jnz 1b"
                     : "+r"(sum), "+r"(times)
                     : "r"(addend)
                     : "cc");
}

static const struct bench_verb limit_verb = {.name = "limit", .pages = 1, .run = run_limit};
static const struct bench_verb clock_verb = {
    .name = "limit-clock", .pages = 1, .aside = true, .run = run_clock};

const char *bench_limit_widest(void)
{
    for (size_t i = 0; i < LIMITS; i++)
        if ((envol_cpu_features() & limits[i].feature) != 0)
            return limits[i].row;
    return NULL;
}

const char *bench_limit_of(const char *kernel)
{
    for (size_t i = 0; i < LIMITS; i++)
        if (strcmp(limits[i].kernel, kernel) == 0)
            return limits[i].row;
    return bench_limit_widest();
}

void bench_limit_rows(void)
{
    for (size_t i = 0; i < LIMITS; i++)
        if ((envol_cpu_features() & limits[i].feature) != 0)
            bench_add_sizes(&limit_verb, limits[i].kernel, &limits[i], bench_limit_widest());
    if (bench_limit_widest() != NULL)
        bench_add(&clock_verb, NULL, NULL, bench_sizes[0], NULL);
}

static void print_check(FILE *to, const struct limit *limit, const struct bench_row *row,
                        double ghz)
{
    double vector = 16.0 * limit->lanes / ROUNDS; /* bytes done by one aesenc */
    double rate = bench_gb_per_s(row) / ghz / vector;
    unsigned whole = rate < 1.5 ? 1 : (unsigned)(rate + 0.5); /* units start whole ones a cycle */
    double share = rate / whole;

    fprintf(to, "%s: %.3f of %u lanes x 16 bytes x %u aesenc a cycle / 14 at %.2f GHz: %s\n",
            limit->row, share, limit->lanes, whole, ghz,
            share >= 0.97 && share <= 1.03 ? "within 3 %" : "not within 3 %: a busy machine?");
}

void bench_print_limits(FILE *to)
{
    const struct bench_row *adds = bench_find("limit-clock", bench_sizes[0]);

    for (size_t i = 0; adds != NULL && i < LIMITS; i++) {
        const struct bench_row *row = bench_find(limits[i].row, bench_sizes[0]);
        if (row != NULL)
            print_check(to, &limits[i], row, bench_gb_per_s(adds));
    }
}

#else

/* Other processors have no limit rows: no instruction of theirs is a whole round. */
const char *bench_limit_widest(void)
{
    return NULL;
}

const char *bench_limit_of(const char *kernel)
{
    (void)kernel;
    return NULL;
}

void bench_limit_rows(void)
{
}

void bench_print_limits(FILE *to)
{
    (void)to;
}

#endif
