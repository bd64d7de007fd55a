/* SPDX-License-Identifier: BSD-2-Clause */
/* The benchmark's figures, for programs and for people. */
#include "bench.h"

#include <string.h>

/* Of a page that went to a device through O_DIRECT: the bytes that got there, over the page's. */
static double device_share(const struct bench_row *row)
{
    return row->device_bytes / (double)row->counted / row->page_bytes;
}

static void print_line(FILE *to, const char *prefix, const struct bench_row *row, double gb_per_s,
                       double ratio)
{
    fprintf(to, "%s%s\t%u\t%.1f\t%.5g\t", prefix, row->name, row->page_bytes, row->ns, gb_per_s);
    if (ratio > 0)
        fprintf(to, "%.4g\n", ratio);
    else
        fprintf(to, "-\n");
}

void bench_print_tsv(FILE *to)
{
    for (size_t i = 0; bench_at(i) != NULL; i++) {
        const struct bench_row *row = bench_at(i);
        if (!row->shown)
            continue;
        print_line(to, "", row, bench_gb_per_s(row), bench_ratio(row));
        if (row->counted > 0)
            print_line(to, "device/", row, bench_gb_per_s(row) * device_share(row),
                       device_share(row));
    }
}

/* One line for all sizes of a row; its first row stands for it. */
static void print_sizes(FILE *to, const struct bench_row *first)
{
    fprintf(to, "%-32s", first->name);
    for (size_t i = 0; i < BENCH_SIZES; i++) {
        const struct bench_row *row = bench_find(first->name, bench_sizes[i]);
        double ratio = row != NULL ? bench_ratio(row) : 0;

        if (i == 0)
            fprintf(to, " %9.0f", row != NULL ? row->ns : 0);
        fprintf(to, "  %6.2f", row != NULL ? bench_gb_per_s(row) : 0);
        if (ratio > 0)
            fprintf(to, " %5.2f", ratio);
        else
            fprintf(to, "     -");
    }
    fputc('\n', to);
}

static bool has_sizes(const struct bench_row *row)
{
    return bench_find(row->name, bench_sizes[1]) != NULL;
}

static void print_single(FILE *to, const struct bench_row *row)
{
    fprintf(to, "%-32s %9.3f us a call\n", row->name, row->ns / 1000);
}

static void print_device(FILE *to, const struct bench_row *row)
{
    if (row->counted > 0)
        fprintf(to, "%s, %u: %.0f bytes reached the device for a page, %.3f of it\n", row->name,
                row->page_bytes, row->device_bytes / (double)row->counted, device_share(row));
}

void bench_print_table(FILE *to)
{
    fprintf(to, "kernel in use: %s\n\n%-32s %9s", envol_kernel_name(), "page_bytes", "ns/page");
    for (size_t i = 0; i < BENCH_SIZES; i++)
        fprintf(to, "  %12u", bench_sizes[i]);
    fprintf(to, "\n%-32s %9u", "", bench_sizes[0]);
    for (size_t i = 0; i < BENCH_SIZES; i++)
        fprintf(to, "    GB/s ratio");
    fputc('\n', to);
    for (size_t i = 0; bench_at(i) != NULL; i++)
        if (bench_at(i)->shown && has_sizes(bench_at(i)) &&
            bench_find(bench_at(i)->name, bench_sizes[0]) == bench_at(i))
            print_sizes(to, bench_at(i));
    for (size_t i = 0; bench_at(i) != NULL; i++)
        if (bench_at(i)->shown && !bench_at(i)->verb->aside && !has_sizes(bench_at(i)))
            print_single(to, bench_at(i));
    fputc('\n', to);
    for (size_t i = 0; bench_at(i) != NULL; i++)
        print_device(to, bench_at(i));
    bench_print_limits(to);
    fprintf(
        to,
        "\nMedians over rounds that visit every row for a slice.  GB is 1e9 bytes; ratio is to "
        "the limit\nof the kernel's own name, else to the widest.  Times of write1-direct, atomic, "
        "threads, open, rotate and\nwhat stands beside it are CLOCK_MONOTONIC, all others "
        "CLOCK_THREAD_CPUTIME_ID: what other "
        "processes take is not counted.\n");
}
