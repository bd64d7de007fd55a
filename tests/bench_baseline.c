/* SPDX-License-Identifier: BSD-2-Clause */
/* What everything is held against: copying a page, and drawing a nonce from the kernel. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NONCE_BYTES 12u

struct buffers {
    uint8_t *in, *out;
};

static const char *setup_memcpy(struct bench_row *row)
{
    struct buffers *b = bench_alloc(sizeof(*b));

    b->in = bench_alloc(row->page_bytes);
    b->out = bench_alloc(row->page_bytes);
    bench_fill(b->in, row->page_bytes);
    row->state = b;
    return NULL;
}

static void run_memcpy(struct bench_row *row, size_t steps)
{
    struct buffers *b = row->state;

    for (size_t i = 0; i < steps; i++) {
        memcpy(b->out, b->in, row->page_bytes);
        __asm__ volatile("" : : "r"(b->out) : "memory"); /* or only the last copy is made */
    }
}

static void teardown_memcpy(struct bench_row *row)
{
    struct buffers *b = row->state;

    free(b->in);
    free(b->out);
    free(b);
}

static void run_getrandom(struct bench_row *row, size_t steps)
{
    uint8_t nonce[NONCE_BYTES];

    for (size_t i = 0; i < steps; i++)
        if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
            bench_die("%s failed", row->name);
}

static const struct bench_verb memcpy_verb = {
    .name = "memcpy",
    .pages = 1,
    .setup = setup_memcpy,
    .run = run_memcpy,
    .teardown = teardown_memcpy,
};
static const struct bench_verb getrandom_verb = {
    .name = "getrandom", .pages = 1, .run = run_getrandom};

void bench_baseline_rows(void)
{
    bench_add_sizes(&memcpy_verb, NULL, NULL, bench_limit_widest());
    bench_add(&getrandom_verb, NULL, NULL, NONCE_BYTES, NULL);
}
