/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels touch nothing around what they are given: raw and expanded keys, nonces, associated data,
 * texts, tags, and the jobs themselves, in which tweaks lie.  Each of them ends where a page ends
 * behind which nobody may read, and then begins where one begins.
 */
#include "aes/kernel.h"
#include "base/memory.h"
#include "children.h"
#include "kernels.h"
#include "reference_aes.h"
#include "support.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEXT_MAX 4096u
#define AAD_MAX  320u
#define BATCH    17u
/* Of a message: nonce, associated data, two texts and a tag; and beside them keys and jobs. */
#define FENCES (5u * BATCH + 8u)

static const size_t text_lengths[] = {0,   1,   15,  16,  17,  31,   32,   33,   47,   63,   64,
                                      65,  95,  127, 128, 129, 191,  255,  257,  383,  511,  512,
                                      513, 767, 768, 769, 999, 1023, 1024, 1025, 4080, 4095, 4096};
#define TEXT_LENGTHS (sizeof(text_lengths) / sizeof(text_lengths[0]))

static const size_t aad_lengths[] = {0,  1,  12, 15, 16, 17,  31,  32,  33,
                                     47, 48, 63, 64, 65, 127, 128, 129, AAD_MAX};
#define AAD_LENGTHS (sizeof(aad_lengths) / sizeof(aad_lengths[0]))

/* Pages that all may touch, and around each of them one that nobody may. */
struct fences {
    uint8_t *area;
    size_t page, used;
    bool at_end; /* buffers end with their page; else they begin with it */
};

static struct fences fences_new(void)
{
    struct fences f = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    size_t pages = 2 * FENCES + 1;

    f.area = mmap(NULL, pages * f.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(f.area, MAP_FAILED);
    for (size_t i = 1; i < pages; i += 2)
        ck_assert_int_eq(mprotect(f.area + i * f.page, f.page, PROT_READ | PROT_WRITE), 0);
    return f;
}

static void fences_free(struct fences *f)
{
    munmap(f->area, (2 * FENCES + 1) * f->page);
}

/* The buffers there were are gone; the next ones lie at this end of their pages. */
static void fences_reuse(struct fences *f, bool at_end)
{
    f->used = 0;
    f->at_end = at_end;
}

static void *fenced(struct fences *f, size_t bytes)
{
    uint8_t *page = f->area + (2 * f->used++ + 1) * f->page;

    ck_assert_uint_le(f->used, FENCES);
    ck_assert_uint_le(bytes, f->page);
    return f->at_end ? page + f->page - bytes : page;
}

static void *fenced_random(struct fences *f, size_t bytes)
{
    void *buffer = fenced(f, bytes);

    test_fill(buffer, bytes);
    return buffer;
}

/* --- GCM --- */

/* What the reference makes of each message. */
static struct {
    size_t bytes, aad_bytes;
    uint8_t plain[TEXT_MAX], cipher[TEXT_MAX], tag[16];
} expected[BATCH];

static void gcm_make(struct fences *f, const uint8_t *raw, size_t i, bool in_place,
                     struct envol_gcm_job *job)
{
    uint8_t *in = fenced_random(f, expected[i].bytes);

    *job = (struct envol_gcm_job){
        .nonce = fenced_random(f, 12),
        .aad = fenced_random(f, expected[i].aad_bytes),
        .aad_bytes = expected[i].aad_bytes,
        .in = in,
        .out = in_place ? in : fenced(f, expected[i].bytes),
        .bytes = expected[i].bytes,
        .tag = fenced(f, 16),
    };
    memcpy(expected[i].plain, in, job->bytes);
    reference_gcm(raw, job->nonce, job->aad, job->aad_bytes, in, job->bytes, expected[i].cipher,
                  expected[i].tag);
}

/* Sealed, opened where it lies now, and refused. */
static void gcm_run(const struct envol_aes_kernel *kernel, const void *key,
                    struct envol_gcm_job *jobs, size_t count)
{
    size_t bad = test_random() % count;

    ck_assert_int_eq(kernel->gcm_seal(key, jobs, count), ENVOL_OK);
    for (size_t i = 0; i < count; i++) {
        ck_assert_mem_eq(jobs[i].out, expected[i].cipher, jobs[i].bytes);
        ck_assert_mem_eq(jobs[i].tag, expected[i].tag, 16);
        jobs[i].in = jobs[i].out;
    }
    ck_assert_int_eq(kernel->gcm_open(key, jobs, count), ENVOL_OK);
    for (size_t i = 0; i < count; i++) {
        ck_assert(!jobs[i].failed);
        ck_assert_mem_eq(jobs[i].out, expected[i].plain, jobs[i].bytes);
        memcpy(jobs[i].out, expected[i].cipher, jobs[i].bytes);
    }
    jobs[bad].tag[15] ^= 1;
    ck_assert_int_eq(kernel->gcm_open(key, jobs, count), ENVOL_OK);
    ck_assert(jobs[bad].failed);
    ck_assert(envol_is_zero(jobs[bad].out, jobs[bad].bytes));
}

/* The messages whose lengths are in expected, with all that they need behind fences. */
static void gcm_fenced(struct fences *f, const struct envol_aes_kernel *kernel, size_t count,
                       bool in_place)
{
    for (int at_end = 0; at_end <= 1; at_end++) {
        uint8_t *raw, *key;
        struct envol_gcm_job *jobs;

        fences_reuse(f, at_end == 1);
        raw = fenced_random(f, 32);
        key = fenced(f, kernel->gcm_key_bytes);
        jobs = fenced(f, count * sizeof(*jobs));
        ck_assert_int_eq(kernel->gcm_init(key, raw), ENVOL_OK);
        for (size_t i = 0; i < count; i++)
            gcm_make(f, raw, i, in_place, &jobs[i]);
        gcm_run(kernel, key, jobs, count);
    }
}

START_TEST(gcm_alone)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    struct fences f = fences_new();

    if (kernel == NULL)
        return;
    for (size_t i = 0; i < TEXT_LENGTHS; i++) {
        expected[0].bytes = text_lengths[i];
        expected[0].aad_bytes = aad_lengths[i % AAD_LENGTHS];
        gcm_fenced(&f, kernel, 1, i % 2 == 1);
    }
    for (size_t i = 0; i < AAD_LENGTHS; i++) {
        expected[0].bytes = 48;
        expected[0].aad_bytes = aad_lengths[i];
        gcm_fenced(&f, kernel, 1, i % 2 == 1);
    }
    fences_free(&f);
}
END_TEST

START_TEST(gcm_batches)
{
    static const size_t counts[] = {2, 3, 8, 16, BATCH};
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    struct fences f = fences_new();

    if (kernel == NULL)
        return;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (size_t j = 0; j < counts[i]; j++) {
            expected[j].bytes = text_lengths[test_random() % TEXT_LENGTHS];
            expected[j].aad_bytes = aad_lengths[test_random() % AAD_LENGTHS];
        }
        gcm_fenced(&f, kernel, counts[i], i % 2 == 1);
    }
    fences_free(&f);
}
END_TEST

/* --- blocks, and keys made of blocks --- */

START_TEST(blocks)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    struct fences f = fences_new();
    uint8_t block[16];

    if (kernel == NULL)
        return;
    for (size_t i = 0; i < 2 * 20; i++) {
        size_t count = 1 + i / 2;
        uint8_t *raw, *key, *in, *out;

        fences_reuse(&f, i % 2 == 1);
        raw = fenced_random(&f, 32);
        key = fenced(&f, kernel->block_key_bytes);
        in = fenced_random(&f, count * 16);
        out = fenced(&f, count * 16);
        ck_assert_int_eq(kernel->block_init(key, raw), ENVOL_OK);
        ck_assert_int_eq(kernel->block_encrypt(key, in, out, count), ENVOL_OK);
        reference_encrypt(raw, in + (count - 1) * 16, block);
        ck_assert_mem_eq(out + (count - 1) * 16, block, 16);
    }
    fences_free(&f);
}
END_TEST

START_TEST(derived_keys)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    struct fences f = fences_new();

    if (kernel == NULL || kernel->gcm_derive == NULL)
        return;
    for (int at_end = 0; at_end <= 1; at_end++) {
        uint8_t *raw, *in, *block_key, *key, derived[32];
        struct envol_gcm_job *job;

        fences_reuse(&f, at_end == 1);
        raw = fenced_random(&f, 32);
        in = fenced_random(&f, 32);
        block_key = fenced(&f, kernel->block_key_bytes);
        key = fenced(&f, kernel->gcm_key_bytes);
        job = fenced(&f, sizeof(*job));
        ck_assert_int_eq(kernel->block_init(block_key, raw), ENVOL_OK);
        ck_assert_int_eq(kernel->gcm_derive(key, block_key, in), ENVOL_OK);
        reference_encrypt(raw, in, derived);
        reference_encrypt(raw, in + 16, derived + 16);
        expected[0].bytes = 100;
        expected[0].aad_bytes = 20;
        gcm_make(&f, derived, 0, false, job);
        gcm_run(kernel, key, job, 1);
    }
    fences_free(&f);
}
END_TEST

/* --- XTS --- */

static void xts_make(struct fences *f, const uint8_t *raw, size_t i, bool in_place,
                     struct envol_xts_job *job)
{
    uint8_t *in = fenced_random(f, expected[i].bytes);

    *job = (struct envol_xts_job){
        .in = in, .out = in_place ? in : fenced(f, expected[i].bytes), .bytes = expected[i].bytes};
    test_fill(job->tweak, sizeof(job->tweak));
    memcpy(expected[i].plain, in, job->bytes);
    reference_xts(raw, job->tweak, in, job->bytes, expected[i].cipher);
}

static void xts_run(const struct envol_aes_kernel *kernel, const void *key,
                    struct envol_xts_job *jobs, size_t count)
{
    ck_assert_int_eq(kernel->xts_encrypt(key, jobs, count), ENVOL_OK);
    for (size_t i = 0; i < count; i++) {
        ck_assert_mem_eq(jobs[i].out, expected[i].cipher, jobs[i].bytes);
        jobs[i].in = jobs[i].out;
    }
    ck_assert_int_eq(kernel->xts_decrypt(key, jobs, count), ENVOL_OK);
    for (size_t i = 0; i < count; i++)
        ck_assert_mem_eq(jobs[i].out, expected[i].plain, jobs[i].bytes);
}

static void xts_fenced(struct fences *f, const struct envol_aes_kernel *kernel, size_t count,
                       bool in_place)
{
    for (int at_end = 0; at_end <= 1; at_end++) {
        uint8_t *raw, *key;
        struct envol_xts_job *jobs;

        fences_reuse(f, at_end == 1);
        raw = fenced_random(f, 64);
        key = fenced(f, kernel->xts_key_bytes);
        jobs = fenced(f, count * sizeof(*jobs));
        ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_OK);
        for (size_t i = 0; i < count; i++)
            xts_make(f, raw, i, in_place, &jobs[i]);
        xts_run(kernel, key, jobs, count);
    }
}

START_TEST(xts_alone)
{
    const struct envol_aes_kernel *kernel = test_xts_kernel(_i);
    struct fences f = fences_new();

    if (kernel == NULL)
        return;
    for (size_t i = 0; i < TEXT_LENGTHS; i++) {
        expected[0].bytes = text_lengths[i];
        if (text_lengths[i] < 16)
            continue;
        xts_fenced(&f, kernel, 1, false);
        xts_fenced(&f, kernel, 1, true);
    }
    fences_free(&f);
}
END_TEST

START_TEST(xts_batches)
{
    static const size_t counts[] = {2, 3, 8, 16, BATCH};
    const struct envol_aes_kernel *kernel = test_xts_kernel(_i);
    struct fences f = fences_new();

    if (kernel == NULL)
        return;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (size_t j = 0; j < counts[i]; j++)
            do
                expected[j].bytes = text_lengths[test_random() % TEXT_LENGTHS];
            while (expected[j].bytes < 16);
        xts_fenced(&f, kernel, counts[i], i % 2 == 1);
    }
    fences_free(&f);
}
END_TEST

/* --- the fences hold --- */

static int read_byte(void *at)
{
    /* Sanitizers have a handler of their own. */
    signal(SIGSEGV, SIG_DFL);
    return *(const volatile uint8_t *)at == 0;
}

START_TEST(fences_hold)
{
    struct fences f = fences_new();
    uint8_t *buffer;

    for (int at_end = 0; at_end <= 1; at_end++) {
        fences_reuse(&f, at_end == 1);
        buffer = fenced(&f, 10);
        ck_assert_int_eq(test_in_child(read_byte, buffer), 1);
        ck_assert_int_eq(test_in_child(read_byte, buffer + 9), 1);
        ck_assert_int_eq(test_in_child(read_byte, at_end ? buffer + 10 : buffer - 1), -SIGSEGV);
    }
    fences_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("aes_guard");
    TCase *fences = tcase_create("fences"), *kernels = tcase_create("kernels");
    int n = test_all_kernel_count();

    tcase_add_test(fences, fences_hold);
    tcase_add_loop_test(kernels, blocks, 0, n);
    tcase_add_loop_test(kernels, derived_keys, 0, n);
    tcase_add_loop_test(kernels, gcm_alone, 0, n);
    tcase_add_loop_test(kernels, gcm_batches, 0, n);
    tcase_add_loop_test(kernels, xts_alone, 0, n);
    tcase_add_loop_test(kernels, xts_batches, 0, n);
    tcase_set_timeout(kernels, 120);
    suite_add_tcase(s, fences);
    suite_add_tcase(s, kernels);
    return s;
}

int main(void)
{
    return test_run(suite());
}
