/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of build/tests/bench share.
 *
 * A row is one figure: a verb (what is done) by a subject (who does it) on pages of one size.  All
 * rows are set up; then each round visits every row for a slice of time, so that a change of the
 * core's frequency or of the machine's load hits all alike; a row's figure is its rounds' median.
 */
#ifndef ENVOL_TESTS_BENCH_H
#define ENVOL_TESTS_BENCH_H

#include <envol.h>
#include <stdbool.h>
#include <stdio.h>

#define BENCH_SIZES 4
extern const uint32_t bench_sizes[BENCH_SIZES]; /* 4096, 8192, 16384, 65536 */

#define BENCH_BATCH      16u
#define BENCH_NAME_BYTES 64

/*
 * BENCH_CPU, CLOCK_THREAD_CPUTIME_ID, for what only computes: it stands still while another process
 * has the core, and machines are shared.  BENCH_WALL, CLOCK_MONOTONIC, for what may wait: I/O, and
 * two threads at once.
 */
enum bench_clock { BENCH_CPU, BENCH_WALL };

/* Nanoseconds. */
double bench_now(enum bench_clock clock);
/* Sorts the samples. */
double bench_median(double *samples, size_t count);

struct bench_row;

/* What can be measured.  A step is what run repeats; it handles this many pages. */
struct bench_verb {
    const char *name; /* the row's, before the slash and the subject */
    enum bench_clock clock;
    size_t pages;
    bool aside; /* not in the table, which says in another way what it is for */
    /* NULL: nothing to do.  Returns NULL, or why this machine has no such row: a counted skip. */
    const char *(*setup)(struct bench_row *row);
    void (*run)(struct bench_row *row, size_t steps);
    double (*timed)(struct bench_row *row, size_t steps); /* instead of run: times itself, in ns */
    void (*teardown)(struct bench_row *row);              /* may be NULL */
};

struct bench_row {
    const struct bench_verb *verb;
    const void *subject; /* the part's own */
    char name[BENCH_NAME_BYTES];
    uint32_t page_bytes;
    char limit[BENCH_NAME_BYTES]; /* row that its speed is held against; empty: none */
    bool shown;                   /* chosen by the caller, not only needed by others */

    void *state;         /* setup's */
    size_t counted;      /* pages that reached the device while they were counted, */
    double device_bytes; /* and the bytes of them */
    size_t disturbed;    /* turns in which another process was in the way */

    size_t steps;      /* of a turn */
    double fastest_ns; /* of a step */
    double *samples;
    size_t rounds;
    double ns; /* a page's median */
};

/* --- The list of rows (bench_rows.c) --- */

/* Rows of which --only names a prefix are shown; those that ratios need run in any case. */
void bench_select(const char *prefix);
/* Adds a row for a page size, named VERB, or VERB/SUBJECT.  limit may be NULL. */
void bench_add(const struct bench_verb *verb, const char *subject_name, const void *subject,
               uint32_t page_bytes, const char *limit);
/* The same for each of bench_sizes. */
void bench_add_sizes(const struct bench_verb *verb, const char *subject_name, const void *subject,
                     const char *limit);
/* Row i, NULL behind the last one. */
struct bench_row *bench_at(size_t i);
/* A row that was measured, NULL if there is none. */
const struct bench_row *bench_find(const char *name, uint32_t page_bytes);
/* 1e9 bytes a second. */
double bench_gb_per_s(const struct bench_row *row);
/* Its speed over its limit's; 0 where there is none. */
double bench_ratio(const struct bench_row *row);
/* Sets up all rows, visits them `rounds` times, and finds the medians. */
void bench_measure(size_t rounds, double slice_ns);

/* --- Reports (bench_report.c, bench_budgets.c) --- */

void bench_print_tsv(FILE *to);
void bench_print_limits(FILE *to); /* whether the limits are what they should be */
void bench_print_table(FILE *to);
void bench_print_budgets(FILE *to);

/* --- What rows need (bench_tools.c) --- */

/* Ends the run with a message: what does not work has no speed. */
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);
/* Dies unless the status of a call made for the row is ENVOL_OK. */
void bench_ok(const struct bench_row *row, enum envol_status status);
/* Zeroed, aligned to a page of memory; never NULL.  free() takes it back. */
void *bench_alloc(size_t bytes);
/* Bytes that are the same in each run. */
void bench_fill(void *out, size_t bytes);
/* Says why something is not measured. */
void bench_skip(const char *what, const char *why);
/* Where files go; NULL: beside this program. */
void bench_set_directory(const char *directory);
/* A path in a fresh directory there, removed at exit.  Valid until the next call. */
const char *bench_path(const char *name);

/* --- Parts: each adds its rows --- */

void bench_limit_rows(void);
void bench_baseline_rows(void);
void bench_kernel_rows(void);
void bench_page_rows(void);
void bench_log_rows(void);
void bench_append_rows(void);
void bench_file_rows(void);
void bench_direct_rows(void);
void bench_open_rows(void);
void bench_thread_rows(void);
void bench_rotate_rows(void);

/* The widest limit of this machine, the limit of one kernel (its own, or else the widest): names of
 * rows; NULL on a machine without any. */
const char *bench_limit_widest(void);
const char *bench_limit_of(const char *kernel);
/* Name, in rows, of the kernel that the public calls use for a suite. */
const char *bench_kernel_in_use(bool xts);
/* Provider calls that one open made; 0: not measured. */
unsigned bench_open_calls(void);

#endif
