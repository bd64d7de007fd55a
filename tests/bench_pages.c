/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows seal-SUITE and unseal-SUITE: the public calls with a lane, one page a call, and sixteen.
 * They run on the kernel that the library chooses.
 */
#include "bench_pages.h"

#include "page/keyring.h"
#include <stdlib.h>

const char *bench_ring_open(const struct bench_row *row, enum envol_suite suite,
                            struct bench_ring *ring)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = {'b', 'e', 'n', 'c', 'h'};
    uint8_t dek[ENVOL_DEK_BYTES], uuid[ENVOL_UUID_BYTES] = {1};
    uint32_t trailer = suite == ENVOL_SUITE_AES_256_GCM ? ENVOL_TRAILER_BYTES : 0;
    const struct envol_keyring_params params = {
        .uuid = uuid,
        .suite = suite,
        .page_bytes = row->page_bytes - trailer,
        .stride_bytes = row->page_bytes,
        .epoch = 1,
        .lowest = 1,
    };

    if (envol_aes_kernel(suite == ENVOL_SUITE_AES_256_XTS) == NULL)
        return "no kernel does this suite here";
    bench_fill(dek, sizeof(dek));
    *ring = (struct bench_ring){.page_bytes = params.page_bytes, .stride_bytes = row->page_bytes};
    bench_ok(row, envol_keyring_make(&params, dek, &ring->keyring));
    bench_ok(row, envol_object_open(ring->keyring, id, &ring->object));
    return NULL;
}

void bench_ring_close(struct bench_ring *ring)
{
    envol_object_close(ring->object);
    envol_keyring_close(ring->keyring);
}

void bench_side_open(const struct bench_row *row, const struct bench_ring *ring,
                     struct bench_side *side)
{
    side->pages = bench_alloc((size_t)BENCH_BATCH * ring->stride_bytes);
    side->records = bench_alloc((size_t)BENCH_BATCH * ring->stride_bytes);
    bench_fill(side->pages, (size_t)BENCH_BATCH * ring->stride_bytes);
    bench_ok(row, envol_lane_open(ring->keyring, &side->lane));
    for (size_t i = 0; i < BENCH_BATCH; i++)
        side->ops[i] = (struct envol_page_op){
            .page_no = i,
            .page = side->pages + i * ring->stride_bytes,
            .record = side->records + i * ring->stride_bytes,
        };
    bench_ok(row, envol_page_seal_batch(ring->object, side->lane, side->ops, BENCH_BATCH));
}

void bench_side_close(struct bench_side *side)
{
    envol_lane_close(side->lane);
    free(side->pages);
    free(side->records);
}

void bench_side_seal(const struct bench_row *row, const struct bench_ring *ring,
                     struct bench_side *side, size_t steps)
{
    for (size_t i = 0; i < steps; i++)
        bench_ok(row, envol_page_seal(ring->object, side->lane, i, side->pages, side->records));
}

struct work {
    struct bench_ring ring;
    struct bench_side side;
};

static const char *setup(struct bench_row *row)
{
    struct work *w = bench_alloc(sizeof(*w));
    const char *why = bench_ring_open(row, *(const enum envol_suite *)row->subject, &w->ring);

    if (why != NULL) {
        free(w);
        return why;
    }
    bench_side_open(row, &w->ring, &w->side);
    row->state = w;
    return NULL;
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;

    bench_side_close(&w->side);
    bench_ring_close(&w->ring);
    free(w);
}

static void run_seal(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    bench_side_seal(row, &w->ring, &w->side, steps);
}

static void run_unseal(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    for (size_t i = 0; i < steps; i++)
        bench_ok(row, envol_page_unseal(w->ring.object, w->side.lane, 0, w->side.records,
                                        w->side.pages));
}

static void run_seal_batch(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    for (size_t i = 0; i < steps; i++)
        bench_ok(row,
                 envol_page_seal_batch(w->ring.object, w->side.lane, w->side.ops, BENCH_BATCH));
}

static void run_unseal_batch(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    for (size_t i = 0; i < steps; i++)
        bench_ok(row,
                 envol_page_unseal_batch(w->ring.object, w->side.lane, w->side.ops, BENCH_BATCH));
}

#define VERB(row_name, row_pages, row_run)                                                         \
    {                                                                                              \
        .name = row_name, .pages = row_pages, .setup = setup, .run = row_run, .teardown = teardown \
    }

static const struct {
    enum envol_suite suite;
    struct bench_verb verbs[4];
} suites[] = {
    {ENVOL_SUITE_AES_256_GCM,
     {VERB("seal-gcm", 1, run_seal), VERB("unseal-gcm", 1, run_unseal),
      VERB("seal-gcm-batch16", BENCH_BATCH, run_seal_batch),
      VERB("unseal-gcm-batch16", BENCH_BATCH, run_unseal_batch)}},
    {ENVOL_SUITE_AES_256_XTS,
     {VERB("seal-xts", 1, run_seal), VERB("unseal-xts", 1, run_unseal),
      VERB("seal-xts-batch16", BENCH_BATCH, run_seal_batch),
      VERB("unseal-xts-batch16", BENCH_BATCH, run_unseal_batch)}},
};

void bench_page_rows(void)
{
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
        for (size_t j = 0; j < 4; j++)
            bench_add_sizes(&suites[i].verbs[j], NULL, &suites[i].suite, bench_limit_widest());
}
