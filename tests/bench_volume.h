/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes on files under a CMK in a key file, for the benchmark's rows with I/O. */
#ifndef ENVOL_TESTS_BENCH_VOLUME_H
#define ENVOL_TESTS_BENCH_VOLUME_H

#include "bench.h"

/* Of the pages of each file.  All files together stay in the page cache of a small machine. */
#define BENCH_FILE_BYTES (8u << 20)

struct bench_volume {
    struct envol_provider *provider;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_cmk cmk;
    uint64_t pages;
};

/*
 * A volume in the scratch directory, all its pages written and synced.  row->page_bytes is the
 * stride.  flags: ENVOL_FILE_DIRECT, BENCH_ATOMIC.  NULL, or why it cannot be.
 */
#define BENCH_ATOMIC 0x10000u /* with atomic pages */
const char *bench_volume_create(const struct bench_row *row, enum envol_suite suite,
                                const char *name, uint32_t flags, struct bench_volume *volume);
/* NULL members are ignored. */
void bench_volume_close(struct bench_volume *volume);

/*
 * Pages in an order without locality that is the same for each row: page i of it, the first of a
 * run of `run` pages that lies at a multiple of it.
 */
uint64_t bench_page_at(uint64_t pages, uint64_t run, uint64_t i);

#endif
