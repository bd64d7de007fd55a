/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Row open: opening and closing a reader of a volume with cached header, its CMK in a key file. Its
 * page is the header's two copies.  One open before is through a provider that counts its calls.
 */
#include "bench_volume.h"

#include <stdlib.h>

static unsigned calls;

unsigned bench_open_calls(void)
{
    return calls;
}

/* Provider "counting file": the file provider, each call of which is counted. */
static enum envol_status counted_generate(void *state, const struct envol_key_request *request,
                                          uint8_t dek[ENVOL_DEK_BYTES],
                                          struct envol_wrapped_dek *wrapped,
                                          struct envol_error *error)
{
    calls++;
    return envol_provider_generate(state, request, dek, wrapped, error);
}

static enum envol_status counted_wrap(void *state, const struct envol_key_request *request,
                                      const uint8_t dek[ENVOL_DEK_BYTES],
                                      struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    calls++;
    return envol_provider_wrap(state, request, dek, wrapped, error);
}

static enum envol_status counted_unwrap(void *state, const struct envol_key_request *request,
                                        const void *wrapped, size_t wrapped_bytes, uint8_t *dek,
                                        size_t dek_capacity, size_t *dek_bytes,
                                        struct envol_error *error)
{
    (void)dek_capacity; /* at least ENVOL_DEK_BYTES */
    calls++;
    *dek_bytes = ENVOL_DEK_BYTES;
    return envol_provider_unwrap(state, request, wrapped, wrapped_bytes, dek, error);
}

static enum envol_status counted_describe(void *state, const struct envol_key_request *request,
                                          struct envol_key_info *info, struct envol_error *error)
{
    calls++;
    return envol_provider_describe(state, request, info, error);
}

static const struct envol_provider_vtable counting = {
    .struct_size = sizeof(counting),
    .name = "file", /* it opens the file provider's slots */
    .capabilities = ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_SINGLE_KEY,
    .generate = counted_generate,
    .wrap = counted_wrap,
    .unwrap = counted_unwrap,
    .describe = counted_describe,
};

struct work {
    struct bench_volume volume; /* closed, but for its provider */
    struct envol_store *store;
};

static void open_once(const struct bench_row *row, struct work *w, const struct envol_cmk *cmk)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof(options),
        .flags = ENVOL_OPEN_READ_ONLY,
    };
    struct envol_volume *volume;

    bench_ok(row, envol_volume_open(w->store, cmk, 1, &options, &volume, NULL));
    bench_ok(row, envol_volume_close(volume));
}

static void count_calls(const struct bench_row *row, struct work *w)
{
    struct envol_provider *provider;
    struct envol_cmk cmk;

    bench_ok(row, envol_provider_open(&counting, w->volume.provider, &provider));
    cmk = (struct envol_cmk){provider, NULL};
    calls = 0;
    open_once(row, w, &cmk);
    envol_provider_close(provider);
}

static const char *setup(struct bench_row *row)
{
    static const char name[] = "open.vol";
    const struct bench_row shape = {.name = "open", .page_bytes = ENVOL_STRIDE_BYTES_DEFAULT};
    struct work *w = bench_alloc(sizeof(*w));
    const char *why = bench_volume_create(&shape, ENVOL_SUITE_AES_256_GCM, name, 0, &w->volume);

    if (why != NULL) {
        free(w);
        return why;
    }
    bench_ok(row, envol_volume_close(w->volume.volume));
    w->volume.volume = NULL;
    bench_ok(row, envol_file_store_open(bench_path(name), ENVOL_FILE_READ_ONLY, &w->store, NULL));
    count_calls(row, w);
    row->state = w;
    return NULL;
}

static void run(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    for (size_t i = 0; i < steps; i++)
        open_once(row, w, &w->volume.cmk);
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;

    envol_store_close(w->store);
    bench_volume_close(&w->volume);
    free(w);
}

static const struct bench_verb verb = {
    .name = "open",
    .clock = BENCH_WALL,
    .pages = 1,
    .setup = setup,
    .run = run,
    .teardown = teardown,
};

void bench_open_rows(void)
{
    bench_add(&verb, NULL, NULL, ENVOL_HEADER_BYTES, NULL);
}
