/* SPDX-License-Identifier: BSD-2-Clause */
/* A keyring, and one thread's lane and pages under it, for the benchmark's rows without I/O. */
#ifndef ENVOL_TESTS_BENCH_PAGES_H
#define ENVOL_TESTS_BENCH_PAGES_H

#include "bench.h"

struct bench_ring {
    struct envol_keyring *keyring;
    struct envol_object *object;
    uint32_t page_bytes, stride_bytes;
};

/* row->page_bytes is the stride: a GCM page is 48 bytes smaller.  NULL, or why it cannot be. */
const char *bench_ring_open(const struct bench_row *row, enum envol_suite suite,
                            struct bench_ring *ring);
void bench_ring_close(struct bench_ring *ring);

/* BENCH_BATCH pages and records. */
struct bench_side {
    struct envol_lane *lane;
    uint8_t *pages, *records;
    struct envol_page_op ops[BENCH_BATCH];
};

/* The records are sealed when it returns. */
void bench_side_open(const struct bench_row *row, const struct bench_ring *ring,
                     struct bench_side *side);
void bench_side_close(struct bench_side *side);

/* Seals one page, again and again under other page numbers. */
void bench_side_seal(const struct bench_row *row, const struct bench_ring *ring,
                     struct bench_side *side, size_t steps);

#endif
