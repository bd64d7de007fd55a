/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library promises itself, held against the rows of one run.  A budget that is short is
 * said, and fails nothing: machines are shared, and not all are of the kind it was made for.
 */
#include "bench.h"

#include <string.h>

/* In place of a page size: the size of bench_sizes that does worst. */
#define WORST 0u

/*
 * The times of up to two rows, and so many ns more, must be at least `share` of the row's time.
 * "*" is the kernel in use.
 */
struct budget {
    const char *row;
    uint32_t page_bytes;
    const char *against[2];
    double more_ns;
    double share;
};

static const struct budget budgets[] = {
    /* XTS page kernel, VAES-512, of the limit */
    {"xts-enc/vaes512", WORST, {"limit/vaes512"}, 0, 0.93},
    {"xts-dec/vaes512", WORST, {"limit/vaes512"}, 0, 0.93},
    /* GCM page kernel, key ready */
    {"gcm-enc/vaes512", 4096, {"limit/vaes512"}, 0, 0.80},
    {"gcm-enc/vaes512", 16384, {"limit/vaes512"}, 0, 0.90},
    {"gcm-dec/vaes512", 4096, {"limit/vaes512"}, 0, 0.80},
    {"gcm-dec/vaes512", 16384, {"limit/vaes512"}, 0, 0.90},
    /* GCM unseal, every page a new salt */
    {"gcm-dec-newsalt/vaes512", 4096, {"limit/vaes512"}, 0, 0.60},
    {"gcm-dec-newsalt/vaes512", 16384, {"limit/vaes512"}, 0, 0.80},
    /* a machine with AES-NI alone */
    {"xts-enc/aesni", WORST, {"limit/aesni"}, 0, 0.90},
    {"xts-dec/aesni", WORST, {"limit/aesni"}, 0, 0.90},
    {"gcm-enc/aesni", WORST, {"limit/aesni"}, 0, 0.70},
    {"gcm-dec/aesni", WORST, {"limit/aesni"}, 0, 0.70},
    /* against Debian 12's libraries */
    {"xts-enc/*", 4096, {"xts-enc/libcrypto"}, 0, 2.2},
    {"xts-dec/*", 4096, {"xts-dec/libcrypto"}, 0, 2.2},
    {"gcm-enc/*", 4096, {"gcm-enc/libcrypto"}, 0, 2.7},
    {"gcm-dec/*", 4096, {"gcm-dec/libcrypto"}, 0, 2.7},
    {"gcm-enc/*", 4096, {"gcm-enc/libsodium"}, 0, 5.0},
    {"gcm-dec/*", 4096, {"gcm-dec/libsodium"}, 0, 5.0},
    /* single-page GCM seal, fresh nonce and all */
    {"seal-gcm", 4096, {"gcm-enc/*", "getrandom"}, 150, 1.0},
    {"seal-gcm", 16384, {"gcm-enc/*", "getrandom"}, 150, 1.0},
    /* 16 pages through a cached file, of 1/(1/raw I/O + 1/kernel) */
    {"read16-gcm", WORST, {"raw-read16", "gcm-dec/*"}, 0, 0.9},
    {"read16-xts", WORST, {"raw-read16", "xts-dec/*"}, 0, 0.9},
    {"write16-gcm", WORST, {"raw-write16", "gcm-enc/*"}, 0, 0.9},
    {"write16-xts", WORST, {"raw-write16", "xts-enc/*"}, 0, 0.9},
    /* rotating a file in the page cache, of the same calls without it; reads beside that */
    {"rotate-gcm", 16384, {"raw-copy-gcm"}, 0, 0.5},
    {"rotate-xts", 16384, {"raw-copy-xts"}, 0, 0.5},
    {"read-beside-rotate-gcm", 16384, {"read-alone-gcm"}, 0, 0.5},
    {"read-beside-rotate-xts", 16384, {"read-alone-xts"}, 0, 0.5},
    /* the same of reads beside the rotation of another volume: what locks cost, and no processor */
    {"read-beside-rotate-gcm", 16384, {"read-beside-other-gcm"}, 0, 0.75},
    {"read-beside-rotate-xts", 16384, {"read-beside-other-xts"}, 0, 0.75},
    /* appending to a log in the page cache, of the same writes without it */
    {"log-append-256", 304, {"raw-append-256"}, 0, 0.7},
    {"log-append-8k", 8240, {"raw-append-8k"}, 0, 0.7},
    {"log-append16-256", 304, {"raw-append16-256"}, 0, 0.7},
    {"log-append16-8k", 8240, {"raw-append16-8k"}, 0, 0.7},
    /* four threads that commit to a disk of 1 ms, of one */
    {"log-commit4", 304, {"log-commit1"}, 0, 3.0},
    /* two threads on two physical cores */
    {"threads2-gcm", WORST, {"threads1-gcm"}, 0, 1.9},
    {"threads2-xts", WORST, {"threads1-xts"}, 0, 1.9},
};

/* Cold random page write, O_DIRECT: bytes at the device over the stride. */
#define DEVICE_SHARE_MAX 1.05

/* The row of a pattern and size, or the one that has no sizes; NULL: not measured. */
static const struct bench_row *find(const char *pattern, uint32_t page_bytes)
{
    char name[BENCH_NAME_BYTES];
    const char *star = strchr(pattern, '*');
    size_t plain = star != NULL ? (size_t)(star - pattern) : strlen(pattern);
    const struct bench_row *row;

    snprintf(name, sizeof(name), "%.*s%s", (int)plain, pattern,
             star != NULL ? bench_kernel_in_use(strncmp(pattern, "xts", 3) == 0) : "");
    row = bench_find(name, page_bytes);
    for (size_t i = 0; row == NULL && bench_at(i) != NULL; i++)
        if (strcmp(bench_at(i)->name, name) == 0 && bench_find(name, bench_sizes[0]) == NULL)
            row = bench_at(i);
    return row;
}

/* What is held against share; negative where a row is missing. */
static double figure(const struct budget *budget, uint32_t page_bytes)
{
    const struct bench_row *row = find(budget->row, page_bytes);
    double sum = budget->more_ns;

    for (size_t i = 0; i < 2 && budget->against[i] != NULL; i++) {
        const struct bench_row *other = find(budget->against[i], page_bytes);
        if (other == NULL)
            return -1;
        sum += other->ns;
    }
    return row != NULL ? sum / row->ns : -1;
}

static uint32_t worst_size(const struct budget *budget)
{
    uint32_t worst = bench_sizes[0];

    for (size_t i = 1; i < BENCH_SIZES; i++)
        if (figure(budget, bench_sizes[i]) < figure(budget, worst))
            worst = bench_sizes[i];
    return worst;
}

static const char *verdict(bool holds)
{
    return holds ? "ok" : "short";
}

static void print_budget(FILE *to, const struct budget *budget)
{
    uint32_t page_bytes = budget->page_bytes != WORST ? budget->page_bytes : worst_size(budget);
    const struct bench_row *row = find(budget->row, page_bytes);
    double got = figure(budget, page_bytes);

    if (row == NULL || got < 0)
        fprintf(to, "-      not measured        %s, %u, of ", budget->row, page_bytes);
    else
        fprintf(to, "%-6s %5.2f, budget %4.2f:  %s, %u, of ", verdict(got >= budget->share), got,
                budget->share, row->name, page_bytes);
    for (size_t i = 0; i < 2 && budget->against[i] != NULL; i++)
        fprintf(to, "%s%s", i > 0 ? " + " : "", budget->against[i]);
    if (budget->more_ns > 0)
        fprintf(to, " + %.0f ns", budget->more_ns);
    if (row != NULL && row->disturbed > row->rounds / 2)
        fprintf(to, " (other processes had these cores too)");
    fputc('\n', to);
}

static void print_device(FILE *to, const char *name)
{
    double worst = 0;

    for (size_t i = 0; i < BENCH_SIZES; i++) {
        const struct bench_row *row = bench_find(name, bench_sizes[i]);
        double share = row != NULL && row->counted > 0
                           ? row->device_bytes / (double)row->counted / row->page_bytes
                           : 0;
        worst = share > worst ? share : worst;
    }
    if (worst > 0)
        fprintf(to, "%-6s %5.3f, at most %.2f: %s, bytes at the device of the stride\n",
                verdict(worst <= DEVICE_SHARE_MAX), worst, DEVICE_SHARE_MAX, name);
    else
        fprintf(to, "-      not measured        %s, bytes at the device\n", name);
}

void bench_print_budgets(FILE *to)
{
    fprintf(to, "\nbudgets (* is %s)\n", bench_kernel_in_use(false));
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
        print_budget(to, &budgets[i]);
    print_device(to, "write1-direct-gcm");
    print_device(to, "write1-direct-xts");
    if (bench_open_calls() > 0)
        fprintf(to, "%-6s %5u, at most    1: provider calls of an open\n",
                verdict(bench_open_calls() == 1), bench_open_calls());
    else
        fprintf(to, "-      not measured        provider calls of an open\n");
}
