/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows xts-enc/K to gcm-dec-newsalt/K: pages through each kernel that this machine can run, and
 * through the libraries that Debian ships.  One page a call, its key ready; GCM with the 64 bytes
 * of associated data that a page of ours has; newsalt derives the page's key from a salt first.
 */
#include "bench_kernels.h"
#include "bench.h"

#include "page/xaes.h"
#include <stdlib.h>
#include <string.h>

#define AAD_BYTES       64u
#define CONTESTANTS_MAX 32u

/* One row's work.  Keys are aligned as kernels ask, the buffers as pages in memory are. */
struct work {
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    struct envol_xaes_key xaes;
    uint8_t raw[64], aad[AAD_BYTES], nonce[ENVOL_XAES_NONCE_BYTES], tag[16];
    uint8_t *in, *out;
    struct envol_gcm_job gcm;
    struct envol_xts_job xts;
};

static const struct envol_aes_kernel *kernel_of(const struct bench_row *row)
{
    return ((const struct bench_contestant *)row->subject)->kernel;
}

static struct work *work_new(struct bench_row *row)
{
    struct work *w = row->state = bench_alloc(sizeof(*w));

    bench_fill(w->raw, sizeof(w->raw));
    bench_fill(w->aad, sizeof(w->aad));
    bench_fill(w->nonce, sizeof(w->nonce));
    w->in = bench_alloc(row->page_bytes);
    w->out = bench_alloc(row->page_bytes);
    bench_fill(w->in, row->page_bytes);
    return w;
}

static void teardown(struct bench_row *row)
{
    const struct bench_contestant *contestant = row->subject;
    struct work *w = row->state;

    if (contestant->forget != NULL) {
        contestant->forget(w->key);
        contestant->forget(w->xaes.block_key);
    }
    free(w->in);
    free(w->out);
    free(w);
}

static const char *setup_xts(struct bench_row *row)
{
    struct work *w = work_new(row);

    w->xts = (struct envol_xts_job){.in = w->in, .out = w->out, .bytes = row->page_bytes};
    bench_ok(row, kernel_of(row)->xts_init(w->key, w->raw));
    return NULL;
}

static void gcm_job(struct bench_row *row, struct work *w)
{
    w->gcm = (struct envol_gcm_job){
        .nonce = w->nonce + ENVOL_XAES_SALT_BYTES,
        .aad = w->aad,
        .aad_bytes = AAD_BYTES,
        .in = w->in,
        .out = w->out,
        .bytes = row->page_bytes,
        .tag = w->tag,
    };
}

static const char *setup_gcm_enc(struct bench_row *row)
{
    struct work *w = work_new(row);

    gcm_job(row, w);
    bench_ok(row, kernel_of(row)->gcm_init(w->key, w->raw));
    return NULL;
}

/* What is opened was sealed before, in place. */
static void seal_input(struct bench_row *row, struct work *w)
{
    gcm_job(row, w);
    w->gcm.out = w->in;
    bench_ok(row, kernel_of(row)->gcm_seal(w->key, &w->gcm, 1));
    gcm_job(row, w);
}

static const char *setup_gcm_dec(struct bench_row *row)
{
    setup_gcm_enc(row);
    seal_input(row, row->state);
    return NULL;
}

static void derive(struct bench_row *row, struct work *w)
{
    bench_ok(row, envol_xaes_derive(kernel_of(row), &w->xaes, w->nonce, w->key));
}

static const char *setup_newsalt(struct bench_row *row)
{
    struct work *w = work_new(row);

    bench_ok(row, envol_xaes_init(kernel_of(row), &w->xaes, w->raw));
    derive(row, w);
    seal_input(row, w);
    return NULL;
}

static void run_xts(struct bench_row *row, size_t steps,
                    enum envol_status (*crypt)(const void *key, const struct envol_xts_job *jobs,
                                               size_t count))
{
    struct work *w = row->state;

    for (size_t i = 0; i < steps; i++) {
        memcpy(w->xts.tweak, &i, sizeof(i));
        bench_ok(row, crypt(w->key, &w->xts, 1));
    }
}

static void run_xts_enc(struct bench_row *row, size_t steps)
{
    run_xts(row, steps, kernel_of(row)->xts_encrypt);
}

static void run_xts_dec(struct bench_row *row, size_t steps)
{
    run_xts(row, steps, kernel_of(row)->xts_decrypt);
}

static void run_gcm_enc(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;

    for (size_t i = 0; i < steps; i++) {
        memcpy(w->nonce + ENVOL_XAES_SALT_BYTES, &i, sizeof(i));
        bench_ok(row, kernel_of(row)->gcm_seal(w->key, &w->gcm, 1));
    }
}

static void open_page(struct bench_row *row, struct work *w)
{
    bench_ok(row, kernel_of(row)->gcm_open(w->key, &w->gcm, 1));
    bench_ok(row, w->gcm.failed ? ENVOL_E_CORRUPT : ENVOL_OK);
}

static void run_gcm_dec(struct bench_row *row, size_t steps)
{
    for (size_t i = 0; i < steps; i++)
        open_page(row, row->state);
}

/* The salt is the same each time, but nothing on this floor remembers one. */
static void run_newsalt(struct bench_row *row, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        derive(row, row->state);
        open_page(row, row->state);
    }
}

static const struct bench_verb xts_verbs[] = {
    {.name = "xts-enc", .pages = 1, .setup = setup_xts, .run = run_xts_enc, .teardown = teardown},
    {.name = "xts-dec", .pages = 1, .setup = setup_xts, .run = run_xts_dec, .teardown = teardown},
};
static const struct bench_verb gcm_verbs[] = {
    {.name = "gcm-enc",
     .pages = 1,
     .setup = setup_gcm_enc,
     .run = run_gcm_enc,
     .teardown = teardown},
    {.name = "gcm-dec",
     .pages = 1,
     .setup = setup_gcm_dec,
     .run = run_gcm_dec,
     .teardown = teardown},
};
static const struct bench_verb newsalt_verb = {
    .name = "gcm-dec-newsalt",
    .pages = 1,
    .setup = setup_newsalt,
    .run = run_newsalt,
    .teardown = teardown,
};

/* The library's kernels, each under its name, unless a library's direct rows have that. */
static void name_kernel(struct bench_contestant *contestant, const struct envol_aes_kernel *kernel)
{
    const struct bench_contestant *direct[] = {bench_direct_libcrypto(), bench_direct_libsodium()};
    const char *prefix = "";

    for (size_t i = 0; i < sizeof(direct) / sizeof(direct[0]); i++)
        if (direct[i] != NULL && strcmp(direct[i]->name, kernel->name) == 0)
            prefix = "kernel-";
    *contestant = (struct bench_contestant){.kernel = kernel};
    snprintf(contestant->name, sizeof(contestant->name), "%s%s", prefix, kernel->name);
}

static void add_rows(const struct bench_contestant *contestant)
{
    const struct envol_aes_kernel *kernel = contestant->kernel;
    const char *limit = bench_limit_of(kernel->name);

    if (!kernel->usable())
        return;
    for (size_t i = 0; kernel->xts_key_bytes > 0 && i < 2; i++)
        bench_add_sizes(&xts_verbs[i], contestant->name, contestant, limit);
    for (size_t i = 0; kernel->gcm_key_bytes > 0 && i < 2; i++)
        bench_add_sizes(&gcm_verbs[i], contestant->name, contestant, limit);
    if (kernel->gcm_key_bytes > 0 && kernel->block_key_bytes > 0)
        bench_add_sizes(&newsalt_verb, contestant->name, contestant, limit);
}

const char *bench_kernel_in_use(bool xts)
{
    static struct bench_contestant contestant;
    const struct envol_aes_kernel *kernel = envol_aes_kernel(xts);

    if (kernel == NULL)
        return "none";
    name_kernel(&contestant, kernel);
    return contestant.name;
}

void bench_kernel_rows(void)
{
    static struct bench_contestant ours[CONTESTANTS_MAX];
    const struct bench_contestant *direct[] = {bench_direct_libcrypto(), bench_direct_libsodium()};

    for (size_t i = 0; envol_aes_kernels[i] != NULL && i < CONTESTANTS_MAX; i++) {
        name_kernel(&ours[i], envol_aes_kernels[i]);
        add_rows(&ours[i]);
    }
    for (size_t i = 0; i < sizeof(direct) / sizeof(direct[0]); i++)
        if (direct[i] != NULL)
            add_rows(direct[i]);
}
