/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes for the benchmark's rows with I/O. */
#include "bench_volume.h"

#include "aes/kernel.h"
#include <stdlib.h>

/* 2^64 over the golden ratio: its multiples spread evenly, and never near the last ones. */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

uint64_t bench_page_at(uint64_t pages, uint64_t run, uint64_t i)
{
    return (i * GOLDEN >> 32) % (pages / run) * run;
}

static struct envol_provider *open_provider(const struct bench_row *row)
{
    struct envol_provider *provider;
    const char *path = bench_path("cmk.key");
    enum envol_status status = envol_key_file_create(path, NULL);

    if (status != ENVOL_E_STATE) /* it is there from another volume */
        bench_ok(row, status);
    bench_ok(row, envol_file_provider_open(path, &provider));
    return provider;
}

static void write_pages(const struct bench_row *row, struct bench_volume *v)
{
    uint8_t *page = bench_alloc(row->page_bytes);

    bench_fill(page, row->page_bytes);
    for (uint64_t i = 0; i < v->pages; i++)
        bench_ok(row, envol_page_write(v->volume, i, page));
    bench_ok(row, envol_volume_sync(v->volume));
    free(page);
}

static const char *create(const struct bench_row *row, enum envol_suite suite, const char *path,
                          uint32_t flags, struct bench_volume *v)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params),
        .suite = suite,
        .page_bytes = suite == ENVOL_SUITE_AES_256_XTS ? row->page_bytes : 0,
        .stride_bytes = row->page_bytes,
        .atomic_pages = (flags & BENCH_ATOMIC) != 0,
    };
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status =
        envol_file_store_open(path, ENVOL_FILE_CREATE | (flags & ~BENCH_ATOMIC), &v->store, &error);

    if (status == ENVOL_E_UNSUPPORTED)
        return "the file system has no O_DIRECT";
    if (status == ENVOL_OK)
        status = envol_volume_create(v->store, &v->cmk, 1, &options, &v->volume, &error);
    if (status != ENVOL_OK)
        bench_die("%s: %s", row->name, error.message);
    return NULL;
}

const char *bench_volume_create(const struct bench_row *row, enum envol_suite suite,
                                const char *name, uint32_t flags, struct bench_volume *v)
{
    const char *why;

    if (envol_aes_kernel(suite == ENVOL_SUITE_AES_256_XTS) == NULL)
        return "no kernel does this suite here";
    *v = (struct bench_volume){.pages = BENCH_FILE_BYTES / row->page_bytes};
    v->provider = open_provider(row);
    v->cmk = (struct envol_cmk){v->provider, NULL};
    why = create(row, suite, bench_path(name), flags, v);
    if (why == NULL)
        write_pages(row, v);
    else
        bench_volume_close(v);
    return why;
}

void bench_volume_close(struct bench_volume *v)
{
    if (v->volume != NULL && envol_volume_close(v->volume) != ENVOL_OK)
        bench_die("a volume does not close");
    envol_store_close(v->store);
    envol_provider_close(v->provider);
    *v = (struct bench_volume){.pages = 0};
}
