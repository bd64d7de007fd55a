/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench: how fast pages go through the kernels, the public calls and files, beside what the
 * processor allows, other libraries and bare I/O.  bench.h says how it measures.
 */
#include "bench.h"

#include "aes/kernel.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_DEFAULT 41u
#define ROUNDS_QUICK   15u
#define ROUNDS_MAX     100000u
#define SLICE_US       4000u
#define SLICE_US_MAX   10000000u

struct options {
    size_t rounds;
    double slice_ns;
    bool tsv;
    const char *save;
};

static const char usage[] =
    "usage: bench [options]\n"
    "  --only PREFIX    rows whose name begins so; may be given several times\n"
    "  --rounds N       how often each row has its turn (41)\n"
    "  --slice-us N     how long a turn lasts (4000)\n"
    "  --quick          15 rounds\n"
    "  --tsv            name, page_bytes, ns_per_page, GB_per_s, ratio_to_limit instead of a "
    "table\n"
    "  --save FILE      the same to a file, beside the table\n"
    "  --kernel NAME    the kernel that the public calls use\n"
    "  --dir DIR        where files go (beside this program)\n"
    "Rows device/NAME: the last two are bytes at the device, per ns and per byte of the page.\n"
    "limit-clock: adds per ns in a dependent chain, the core's GHz.\n";

static size_t parse_number(const char *option, const char *text, size_t max)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < 1 || value > max)
        bench_die("--%s: not a number from 1 to %zu: %s", option, max, text);
    return value;
}

static void force_kernel(const char *name)
{
    if (!envol_aes_kernel_force(name))
        bench_die("--kernel: %s is not in this build, or cannot run here", name);
}

/* False: the options are not understood. */
static bool take_option(struct options *options, int option, const char *text)
{
    switch (option) {
    case 'o':
        bench_select(text);
        return true;
    case 'r':
        options->rounds = parse_number("rounds", text, ROUNDS_MAX);
        return true;
    case 's':
        options->slice_ns = (double)parse_number("slice-us", text, SLICE_US_MAX) * 1000;
        return true;
    case 'q':
        options->rounds = ROUNDS_QUICK;
        return true;
    case 't':
        options->tsv = true;
        return true;
    case 'f':
        options->save = text;
        return true;
    case 'k':
        force_kernel(text);
        return true;
    case 'd':
        bench_set_directory(text);
        return true;
    default:
        return false;
    }
}

static struct options parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"only", required_argument, NULL, 'o'},
        {"rounds", required_argument, NULL, 'r'},
        {"slice-us", required_argument, NULL, 's'},
        {"quick", no_argument, NULL, 'q'},
        {"tsv", no_argument, NULL, 't'},
        {"save", required_argument, NULL, 'f'},
        {"kernel", required_argument, NULL, 'k'},
        {"dir", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.rounds = ROUNDS_DEFAULT, .slice_ns = SLICE_US * 1000.0};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        }
        if (!take_option(&options, option, optarg)) {
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        exit(2);
    }
    return options;
}

static void save(const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        bench_die("%s: %s", path, strerror(errno));
    bench_print_tsv(file);
    if (ferror(file) != 0 || fclose(file) != 0)
        bench_die("%s: cannot be written", path);
}

int main(int argc, char **argv)
{
    static void (*const parts[])(void) = {
        bench_limit_rows,  bench_baseline_rows, bench_kernel_rows, bench_page_rows,
        bench_log_rows,    bench_file_rows,     bench_direct_rows, bench_open_rows,
        bench_thread_rows, bench_rotate_rows,   bench_append_rows,
    };
    struct options options = parse(argc, argv);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        parts[i]();
    bench_measure(options.rounds, options.slice_ns);
    if (options.save != NULL)
        save(options.save);
    if (options.tsv) {
        bench_print_tsv(stdout);
    } else {
        bench_print_table(stdout);
        bench_print_budgets(stdout);
    }
    return ferror(stdout) != 0 || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
