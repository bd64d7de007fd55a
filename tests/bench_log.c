/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows log-*: records of 256 bytes sealed and unsealed by the public calls, one at a time and
 * sixteen, and what the kernel alone takes for the same.
 */
#include "bench_pages.h"

#include "page/keyring.h"
#include <stdlib.h>
#include <string.h>

enum { DATA_BYTES = 256, SEALED_BYTES = 304, RUN_RECORDS = 1 << 26 };

struct work {
    struct bench_ring ring;
    struct envol_log_run *run;
    uint32_t index;
    uint8_t data[DATA_BYTES], sealed[BENCH_BATCH * SEALED_BYTES], plain[DATA_BYTES];
    uint8_t nonce[12], tag[16];
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
};

static struct envol_log_record next(struct work *w)
{
    struct envol_log_record record = {.lsn = UINT64_C(1) + w->index,
                                      .index = w->index,
                                      .durable = w->index / 2,
                                      .data = w->data,
                                      .bytes = DATA_BYTES};

    w->index++;
    return record;
}

/* No run has as many records as a long measurement wants. */
static void begin(const struct bench_row *row, struct work *w)
{
    const struct envol_log_run_params params = {
        .struct_size = sizeof(params), .run = 1, .start_lsn = 1};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];

    if (w->run != NULL && w->index < RUN_RECORDS)
        return;
    envol_log_run_close(w->run);
    w->index = 0;
    bench_ok(row, envol_log_run_begin(w->ring.keyring, &params, header, &w->run));
}

static const char *setup(struct bench_row *row)
{
    struct bench_row page = {.page_bytes = 4096};
    struct work *w = bench_alloc(sizeof(*w));
    const char *why = bench_ring_open(&page, ENVOL_SUITE_AES_256_GCM, &w->ring);
    struct envol_log_record record;

    if (why != NULL) {
        free(w);
        return why;
    }
    bench_fill(w->data, sizeof(w->data));
    bench_ok(row, w->ring.keyring->kernel->gcm_init(w->key, w->data));
    begin(row, w);
    record = next(w);
    bench_ok(row, envol_log_record_seal(w->run, &record, w->sealed));
    row->state = w;
    return NULL;
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;

    envol_log_run_close(w->run);
    bench_ring_close(&w->ring);
    free(w);
}

static void run_seal(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    begin(row, w);
    for (size_t i = 0; i < steps; i++) {
        const struct envol_log_record record = next(w);
        bench_ok(row, envol_log_record_seal(w->run, &record, w->sealed));
    }
}

static void run_seal_batch(struct bench_row *row, size_t steps)
{
    struct envol_log_record records[BENCH_BATCH];
    struct work *w = row->state;

    begin(row, w);
    for (size_t i = 0; i < steps; i++) {
        for (size_t k = 0; k < BENCH_BATCH; k++)
            records[k] = next(w);
        bench_ok(row, envol_log_record_seal_batch(w->run, records, BENCH_BATCH, w->sealed));
    }
}

static void run_unseal(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    for (size_t i = 0; i < steps; i++)
        bench_ok(row, envol_log_record_unseal(w->run, 0, w->sealed, SEALED_BYTES, w->plain, NULL));
}

static void run_kernel(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    struct envol_gcm_job job = {.nonce = w->nonce,
                                .aad = w->data,
                                .aad_bytes = ENVOL_LOG_RECORD_HEADER_BYTES,
                                .in = w->data,
                                .out = w->sealed,
                                .bytes = DATA_BYTES,
                                .tag = w->tag};

    for (size_t i = 0; i < steps; i++)
        bench_ok(row, w->ring.keyring->kernel->gcm_seal(w->key, &job, 1));
}

#define VERB(row_name, row_pages, row_run)                                                         \
    {                                                                                              \
        .name = row_name, .pages = row_pages, .aside = true, .setup = setup, .run = row_run,       \
        .teardown = teardown                                                                       \
    }

void bench_log_rows(void)
{
    static const struct bench_verb verbs[] = {
        VERB("log-kernel", 1, run_kernel),
        VERB("log-seal", 1, run_seal),
        VERB("log-seal-batch", BENCH_BATCH, run_seal_batch),
        VERB("log-unseal", 1, run_unseal),
    };

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        bench_add(&verbs[i], NULL, NULL, DATA_BYTES, NULL);
}
