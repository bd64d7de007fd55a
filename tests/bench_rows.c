/* SPDX-License-Identifier: BSD-2-Clause */
/* The benchmark's rows: which there are, their turns, their figures. */
#include "bench.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX     1024u
#define PREFIXES_MAX 32u
#define STEPS_MAX    (UINT32_C(1) << 28)
/* Turns before the first round, each twice as long as the one before. */
#define CALIBRATIONS 5u

const uint32_t bench_sizes[BENCH_SIZES] = {4096, 8192, 16384, 65536};

static struct bench_row rows[ROWS_MAX];
static size_t row_count;
static const char *prefixes[PREFIXES_MAX];
static size_t prefix_count;

void bench_select(const char *prefix)
{
    if (prefix_count == PREFIXES_MAX)
        bench_die("more than %u prefixes", PREFIXES_MAX);
    prefixes[prefix_count++] = prefix;
}

static bool is_chosen(const char *name)
{
    bool chosen = prefix_count == 0;

    for (size_t i = 0; i < prefix_count; i++)
        chosen |= strncmp(name, prefixes[i], strlen(prefixes[i])) == 0;
    return chosen;
}

void bench_add(const struct bench_verb *verb, const char *subject_name, const void *subject,
               uint32_t page_bytes, const char *limit)
{
    struct bench_row row = {.verb = verb, .subject = subject, .page_bytes = page_bytes};
    const char *slash = subject_name != NULL ? "/" : "";

    snprintf(row.name, sizeof(row.name), "%s%s%s", verb->name, slash,
             subject_name != NULL ? subject_name : "");
    snprintf(row.limit, sizeof(row.limit), "%s", limit != NULL ? limit : "");
    row.shown = is_chosen(row.name);
    /* Every ratio needs the limits, and they are few. */
    if (!row.shown && strncmp(row.name, "limit", 5) != 0)
        return;
    if (row_count == ROWS_MAX)
        bench_die("more than %u rows", ROWS_MAX);
    rows[row_count++] = row;
}

void bench_add_sizes(const struct bench_verb *verb, const char *subject_name, const void *subject,
                     const char *limit)
{
    for (size_t i = 0; i < BENCH_SIZES; i++)
        bench_add(verb, subject_name, subject, bench_sizes[i], limit);
}

struct bench_row *bench_at(size_t i)
{
    return i < row_count ? &rows[i] : NULL;
}

const struct bench_row *bench_find(const char *name, uint32_t page_bytes)
{
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].page_bytes == page_bytes && strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

double bench_gb_per_s(const struct bench_row *row)
{
    return (double)row->page_bytes / row->ns;
}

double bench_ratio(const struct bench_row *row)
{
    const struct bench_row *limit =
        row->limit[0] != '\0' ? bench_find(row->limit, row->page_bytes) : NULL;

    return limit != NULL ? limit->ns / row->ns : 0;
}

/* Rows that cannot be set up here go; one line says so for all sizes of a row. */
static void set_up(void)
{
    const char *said = "";
    size_t kept = 0;

    for (size_t i = 0; i < row_count; i++) {
        const char *why = rows[i].verb->setup != NULL ? rows[i].verb->setup(&rows[i]) : NULL;
        if (why == NULL) {
            rows[kept++] = rows[i];
            continue;
        }
        if (strcmp(said, rows[i].name) != 0)
            bench_skip(rows[i].name, why);
        said = rows[i].name;
    }
    row_count = kept;
}

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* Ends by exit, not by the signal, so that no files stay behind. */
static double time_steps(struct bench_row *row, size_t steps)
{
    double begun;

    if (interrupted)
        bench_die("interrupted");
    if (row->verb->timed != NULL)
        return row->verb->timed(row, steps);
    begun = bench_now(row->verb->clock);
    row->verb->run(row, steps);
    return bench_now(row->verb->clock) - begun;
}

/*
 * The time of a step.  The fastest one decides how many make a turn: some of the first ones pay for
 * what is done once, or meet another process.
 */
static double take_steps(struct bench_row *row, double slice_ns)
{
    double step_ns = time_steps(row, row->steps) / (double)row->steps;

    if (row->fastest_ns == 0 || step_ns < row->fastest_ns)
        row->fastest_ns = step_ns;
    row->steps =
        slice_ns > row->fastest_ns * STEPS_MAX ? STEPS_MAX : (size_t)(slice_ns / row->fastest_ns);
    if (row->steps == 0)
        row->steps = 1;
    return step_ns;
}

/* What runs meanwhile warms caches and branch predictors, and counts for nothing else. */
static void calibrate(struct bench_row *row, double slice_ns)
{
    row->steps = 1;
    for (size_t i = 0; i < CALIBRATIONS; i++)
        take_steps(row, slice_ns / (double)(1u << (CALIBRATIONS - i)));
    row->counted = 0;
    row->device_bytes = 0;
    row->disturbed = 0;
}

static void take_turn(struct bench_row *row, double slice_ns)
{
    row->samples[row->rounds++] = take_steps(row, slice_ns) / (double)row->verb->pages;
}

void bench_measure(size_t rounds, double slice_ns)
{
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    set_up();
    for (size_t i = 0; i < row_count; i++) {
        rows[i].samples = bench_alloc(rounds * sizeof(double));
        calibrate(&rows[i], slice_ns);
    }
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < row_count; i++)
            take_turn(&rows[i], slice_ns);
    for (size_t i = 0; i < row_count; i++) {
        rows[i].ns = bench_median(rows[i].samples, rows[i].rounds);
        free(rows[i].samples);
        if (rows[i].verb->teardown != NULL)
            rows[i].verb->teardown(&rows[i]);
    }
}
