/* SPDX-License-Identifier: BSD-2-Clause */
/* GCM and XTS of every kernel: all lengths, alignments, in place, batches, threads. */
#include "aes/kernel.h"
#include "base/bytes.h"
#include "kernels.h"
#include "reference_aes.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH_MAX 1040u
#define AAD_MAX    80u
/* What surrounds an output; no test writes it. */
#define CANARY 0xa5

/* A GCM message with what the reference makes of it. */
struct message {
    uint8_t nonce[12], aad[AAD_MAX], plain[LENGTH_MAX], cipher[LENGTH_MAX], tag[16];
    size_t aad_bytes, bytes;
};

static void message_make(struct message *m, const uint8_t raw[32], size_t bytes, size_t aad_bytes)
{
    test_fill(m, sizeof(*m));
    m->bytes = bytes;
    m->aad_bytes = aad_bytes;
    reference_gcm(raw, m->nonce, m->aad, aad_bytes, m->plain, bytes, m->cipher, m->tag);
}

static struct envol_gcm_job job_of(const struct message *m, const uint8_t *in, uint8_t *out,
                                   uint8_t *tag)
{
    return (struct envol_gcm_job){
        .nonce = m->nonce,
        .aad = m->aad_bytes > 0 ? m->aad : NULL,
        .aad_bytes = m->aad_bytes,
        .in = in,
        .out = out,
        .bytes = m->bytes,
        .tag = tag,
    };
}

static void all_bytes(const uint8_t *p, size_t bytes, uint8_t value)
{
    size_t same = 0;

    /* One assertion: Check reports each to its parent process. */
    while (same < bytes && p[same] == value)
        same++;
    ck_assert_uint_eq(same, bytes);
}

/* Seals and opens between buffers at some alignment; the bytes around outputs stay as they are. */
static void gcm_apart(const struct envol_aes_kernel *kernel, const void *key,
                      const struct message *m, size_t shift)
{
    _Alignas(64) uint8_t in[LENGTH_MAX + 64], out[LENGTH_MAX + 128];
    uint8_t tag[16], *at = out + 16 + (shift * 7) % 32;
    struct envol_gcm_job job;

    memset(out, CANARY, sizeof(out));
    memcpy(in + shift, m->plain, m->bytes);
    job = job_of(m, in + shift, at, tag);
    ck_assert_int_eq(kernel->gcm_seal(key, &job, 1), ENVOL_OK);
    ck_assert_mem_eq(at, m->cipher, m->bytes);
    ck_assert_mem_eq(tag, m->tag, 16);

    memcpy(in + shift, m->cipher, m->bytes);
    job.failed = true;
    ck_assert_int_eq(kernel->gcm_open(key, &job, 1), ENVOL_OK);
    ck_assert(!job.failed);
    ck_assert_mem_eq(at, m->plain, m->bytes);
    ck_assert_mem_eq(tag, m->tag, 16);
    all_bytes(out, (size_t)(at - out), CANARY);
    all_bytes(at + m->bytes, sizeof(out) - (size_t)(at - out) - m->bytes, CANARY);
}

static void gcm_in_place(const struct envol_aes_kernel *kernel, const void *key,
                         const struct message *m, size_t shift)
{
    _Alignas(64) uint8_t buffer[LENGTH_MAX + 64];
    uint8_t tag[16], *at = buffer + shift;
    struct envol_gcm_job job;

    memset(buffer, CANARY, sizeof(buffer));
    memcpy(at, m->plain, m->bytes);
    job = job_of(m, at, at, tag);
    ck_assert_int_eq(kernel->gcm_seal(key, &job, 1), ENVOL_OK);
    ck_assert_mem_eq(at, m->cipher, m->bytes);
    ck_assert_mem_eq(tag, m->tag, 16);
    ck_assert_int_eq(kernel->gcm_open(key, &job, 1), ENVOL_OK);
    ck_assert(!job.failed);
    ck_assert_mem_eq(at, m->plain, m->bytes);

    /* Refused: one bit of the tag is other, and nothing of the text is left. */
    memcpy(at, m->cipher, m->bytes);
    tag[test_random() % 16] ^= (uint8_t)(1u << test_random() % 8);
    ck_assert_int_eq(kernel->gcm_open(key, &job, 1), ENVOL_OK);
    ck_assert(job.failed);
    all_bytes(at, m->bytes, 0);
    all_bytes(at + m->bytes, sizeof(buffer) - shift - m->bytes, CANARY);
}

/* Under a tool, in which the reference takes long, every fifth: still each rest of 16 and 64. */
static size_t length_step(void)
{
    return test_tool() == NULL ? 1 : 5;
}

START_TEST(gcm_every_length)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    uint8_t raw[32];
    struct message m;

    if (kernel == NULL)
        return;
    for (size_t bytes = 0; bytes <= LENGTH_MAX; bytes += length_step()) {
        if (bytes % 64 == 0) {
            test_fill(raw, sizeof(raw));
            ck_assert_int_eq(kernel->gcm_init(key, raw), ENVOL_OK);
        }
        message_make(&m, raw, bytes, (bytes * 5) % (AAD_MAX + 1));
        gcm_apart(kernel, key, &m, 0);
        gcm_apart(kernel, key, &m, 1 + bytes % 31);
        gcm_in_place(kernel, key, &m, 0);
        gcm_in_place(kernel, key, &m, 1 + bytes % 15);
    }
}
END_TEST

/* Any bit of nonce, associated data, text and tag counts. */
START_TEST(gcm_every_bit)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    uint8_t raw[32], out[48];
    struct message m;
    struct envol_gcm_job job;

    if (kernel == NULL)
        return;
    test_fill(raw, sizeof(raw));
    ck_assert_int_eq(kernel->gcm_init(key, raw), ENVOL_OK);
    message_make(&m, raw, 37, 21);
    job = job_of(&m, m.cipher, out, m.tag);
    struct {
        uint8_t *bytes;
        size_t count;
    } fields[] = {{m.nonce, 12}, {m.aad, 21}, {m.cipher, 37}, {m.tag, 16}};
    for (size_t f = 0; f < 4; f++)
        for (size_t bit = 0; bit < fields[f].count * 8; bit++) {
            memset(out, CANARY, sizeof(out));
            fields[f].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            ck_assert_int_eq(kernel->gcm_open(key, &job, 1), ENVOL_OK);
            fields[f].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            ck_assert(job.failed);
            all_bytes(out, 37, 0);
            all_bytes(out + 37, sizeof(out) - 37, CANARY);
        }
    ck_assert_int_eq(kernel->gcm_open(key, &job, 1), ENVOL_OK);
    ck_assert(!job.failed);
    ck_assert_mem_eq(out, m.plain, 37);
}
END_TEST

/* Jobs of mixed lengths under one key; one that fails does not touch its neighbours. */
START_TEST(gcm_batches)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    static struct message m[19];
    static uint8_t out[19][LENGTH_MAX], tags[19][16];
    struct envol_gcm_job jobs[19];
    uint8_t raw[32];

    if (kernel == NULL)
        return;
    test_fill(raw, sizeof(raw));
    ck_assert_int_eq(kernel->gcm_init(key, raw), ENVOL_OK);
    ck_assert_int_eq(kernel->gcm_seal(key, jobs, 0), ENVOL_OK);
    for (size_t i = 0; i < 19; i++)
        message_make(&m[i], raw, i % 4 == 3 ? 512 : test_random() % (LENGTH_MAX + 1), i * 4);
    for (size_t count = 1; count <= 19; count++) {
        size_t bad = test_random() % count;
        for (size_t i = 0; i < count; i++)
            jobs[i] = job_of(&m[i], m[i].plain, out[i], tags[i]);
        ck_assert_int_eq(kernel->gcm_seal(key, jobs, count), ENVOL_OK);
        for (size_t i = 0; i < count; i++) {
            ck_assert_mem_eq(out[i], m[i].cipher, m[i].bytes);
            ck_assert_mem_eq(tags[i], m[i].tag, 16);
            jobs[i].in = out[i];
        }
        tags[bad][3] ^= 1;
        ck_assert_int_eq(kernel->gcm_open(key, jobs, count), ENVOL_OK);
        for (size_t i = 0; i < count; i++) {
            ck_assert_int_eq(jobs[i].failed, i == bad);
            if (i == bad)
                all_bytes(out[i], m[i].bytes, 0);
            else
                ck_assert_mem_eq(out[i], m[i].plain, m[i].bytes);
        }
    }
}
END_TEST

/* --- XTS --- */

static void xts_both_ways(const struct envol_aes_kernel *kernel, const void *key,
                          const uint8_t tweak[16], const uint8_t *plain, const uint8_t *cipher,
                          size_t bytes, uint8_t *in, uint8_t *out)
{
    struct envol_xts_job job = {.in = in, .out = out, .bytes = bytes};

    memcpy(job.tweak, tweak, 16);
    memcpy(in, plain, bytes);
    ck_assert_int_eq(kernel->xts_encrypt(key, &job, 1), ENVOL_OK);
    ck_assert_mem_eq(out, cipher, bytes);
    memcpy(in, cipher, bytes);
    ck_assert_int_eq(kernel->xts_decrypt(key, &job, 1), ENVOL_OK);
    ck_assert_mem_eq(out, plain, bytes);
}

START_TEST(xts_every_length)
{
    const struct envol_aes_kernel *kernel = test_xts_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX], in[LENGTH_MAX + 64], out[LENGTH_MAX + 128];
    uint8_t raw[64], tweak[16], plain[LENGTH_MAX], cipher[LENGTH_MAX];

    if (kernel == NULL)
        return;
    for (size_t bytes = 16; bytes <= LENGTH_MAX; bytes += length_step()) {
        size_t shift = bytes % 33, from = 16 + bytes % 29;
        if (bytes % 64 == 16) {
            test_fill(raw, sizeof(raw));
            ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_OK);
        }
        test_fill(tweak, sizeof(tweak));
        test_fill(plain, bytes);
        reference_xts(raw, tweak, plain, bytes, cipher);
        memset(out, CANARY, sizeof(out));
        xts_both_ways(kernel, key, tweak, plain, cipher, bytes, in, out);
        all_bytes(out + bytes, sizeof(out) - bytes, CANARY);
        memset(out, CANARY, sizeof(out));
        xts_both_ways(kernel, key, tweak, plain, cipher, bytes, in + shift, out + from);
        all_bytes(out, from, CANARY);
        all_bytes(out + from + bytes, sizeof(out) - from - bytes, CANARY);
        xts_both_ways(kernel, key, tweak, plain, cipher, bytes, in, in);
        xts_both_ways(kernel, key, tweak, plain, cipher, bytes, in + shift, in + shift);
    }
}
END_TEST

START_TEST(xts_batches)
{
    const struct envol_aes_kernel *kernel = test_xts_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    static uint8_t plain[17][LENGTH_MAX], cipher[17][LENGTH_MAX], out[17][LENGTH_MAX];
    struct envol_xts_job jobs[17];
    uint8_t raw[64];

    if (kernel == NULL)
        return;
    test_fill(raw, sizeof(raw));
    test_fill(plain, sizeof(plain));
    ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_OK);
    ck_assert_int_eq(kernel->xts_encrypt(key, jobs, 0), ENVOL_OK);
    for (size_t i = 0; i < 17; i++) {
        jobs[i] = (struct envol_xts_job){.in = plain[i], .out = out[i]};
        jobs[i].bytes = i % 4 == 3 ? 512 : 16 + test_random() % (LENGTH_MAX - 15);
        test_fill(jobs[i].tweak, 16);
        reference_xts(raw, jobs[i].tweak, plain[i], jobs[i].bytes, cipher[i]);
    }
    for (size_t count = 1; count <= 17; count++) {
        for (size_t i = 0; i < count; i++)
            jobs[i].in = plain[i];
        ck_assert_int_eq(kernel->xts_encrypt(key, jobs, count), ENVOL_OK);
        for (size_t i = 0; i < count; i++) {
            ck_assert_mem_eq(out[i], cipher[i], jobs[i].bytes);
            jobs[i].in = out[i];
        }
        ck_assert_int_eq(kernel->xts_decrypt(key, jobs, count), ENVOL_OK);
        for (size_t i = 0; i < count; i++)
            ck_assert_mem_eq(out[i], plain[i], jobs[i].bytes);
    }
}
END_TEST

/* One block of a data unit, by IEEE 1619, 5.3.1, with a tweak multiplied by alpha^block. */
static void xts_reference_block(const uint8_t raw[64], const uint8_t tweak[16], size_t block,
                                const uint8_t in[16], uint8_t out[16])
{
    uint64_t t[2], carry;

    reference_encrypt(raw + 32, tweak, out);
    t[0] = envol_load64(out);
    t[1] = envol_load64(out + 8);
    for (; block > 0; block--) {
        carry = t[1] >> 63;
        t[1] = t[1] << 1 | t[0] >> 63;
        t[0] = t[0] << 1 ^ (0x87 & -carry);
    }
    envol_store64(out, envol_load64(in) ^ t[0]);
    envol_store64(out + 8, envol_load64(in + 8) ^ t[1]);
    reference_encrypt(raw, out, out);
    envol_store64(out, envol_load64(out) ^ t[0]);
    envol_store64(out + 8, envol_load64(out + 8) ^ t[1]);
}

/* The longest data unit, 2^20 blocks. */
START_TEST(xts_longest_unit)
{
    const struct envol_aes_kernel *kernel = test_xts_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    const size_t bytes = 16u << 20;
    uint8_t raw[64], head[LENGTH_MAX];
    struct envol_xts_job job = {.tweak = {1}, .bytes = bytes};
    uint8_t *plain, *out;

    if (kernel == NULL)
        return;
    plain = malloc(bytes);
    out = malloc(bytes);
    ck_assert(plain != NULL && out != NULL);
    test_fill(raw, sizeof(raw));
    test_fill(plain, bytes);
    job.in = plain;
    job.out = out;
    ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_OK);
    ck_assert_int_eq(kernel->xts_encrypt(key, &job, 1), ENVOL_OK);
    reference_xts(raw, job.tweak, plain, LENGTH_MAX, head);
    ck_assert_mem_eq(out, head, LENGTH_MAX);
    for (size_t at = bytes - 16; at > 1u << 20; at -= 3u << 20) {
        xts_reference_block(raw, job.tweak, at / 16, plain + at, head);
        ck_assert_mem_eq(out + at, head, 16);
    }
    job.in = out;
    ck_assert_int_eq(kernel->xts_decrypt(key, &job, 1), ENVOL_OK);
    ck_assert_mem_eq(out, plain, bytes);
    free(plain);
    free(out);
}
END_TEST

/* --- one key in many threads, and many keys --- */

struct worker {
    const struct envol_aes_kernel *kernel;
    const void *shared_key;
    const struct message *shared;
    struct message own;
    uint8_t raw[32];
    unsigned wrong;
};

static bool round_trip(const struct envol_aes_kernel *kernel, const void *key,
                       const struct message *m)
{
    uint8_t out[LENGTH_MAX], tag[16];
    struct envol_gcm_job job = job_of(m, m->plain, out, tag);

    if (kernel->gcm_seal(key, &job, 1) != ENVOL_OK || memcmp(out, m->cipher, m->bytes) != 0 ||
        memcmp(tag, m->tag, 16) != 0)
        return false;
    job.in = out;
    return kernel->gcm_open(key, &job, 1) == ENVOL_OK && !job.failed &&
           memcmp(out, m->plain, m->bytes) == 0;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];

    for (int i = 0; i < 300; i++) {
        if (w->kernel->gcm_init(key, w->raw) != ENVOL_OK)
            w->wrong++;
        w->wrong += !round_trip(w->kernel, key, &w->own);
        w->wrong += !round_trip(w->kernel, w->shared_key, w->shared);
    }
    return NULL;
}

START_TEST(four_threads)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    static struct worker workers[4];
    static struct message shared;
    pthread_t threads[4];
    uint8_t raw[32];

    if (kernel == NULL)
        return;
    test_fill(raw, sizeof(raw));
    message_make(&shared, raw, 777, 33);
    ck_assert_int_eq(kernel->gcm_init(key, raw), ENVOL_OK);
    for (size_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){.kernel = kernel, .shared_key = key, .shared = &shared};
        test_fill(workers[i].raw, 32);
        message_make(&workers[i].own, workers[i].raw, 512 + i, i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(workers[i].wrong, 0);
    }
}
END_TEST

/* --- lengths beyond int --- */

#define WINDOW_BYTES (2u << 20)
#define HUGE_BYTES   ((size_t)(1u << 30) + 12345)

/* Room for HUGE_BYTES of output in WINDOW_BYTES of memory, mapped over and over. */
static uint8_t *folded_output(size_t *mapped)
{
    int fd = memfd_create("output", MFD_CLOEXEC);
    size_t windows = HUGE_BYTES / WINDOW_BYTES + 1;
    uint8_t *area =
        mmap(NULL, windows * WINDOW_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_ptr_ne(area, MAP_FAILED);
    ck_assert_int_eq(ftruncate(fd, WINDOW_BYTES), 0);
    for (size_t i = 0; i < windows; i++)
        ck_assert_ptr_ne(mmap(area + i * WINDOW_BYTES, WINDOW_BYTES, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0),
                         MAP_FAILED);
    close(fd);
    *mapped = windows * WINDOW_BYTES;
    return area;
}

/* Zeros that take no memory, sealed by each kernel: all must agree on the tag and the end. */
START_TEST(gcm_longer_than_a_gigabyte)
{
    static uint8_t window[WINDOW_BYTES];
    size_t mapped, runs = 0;
    uint8_t tags[2][16], nonce[12] = {0}, raw[32] = {9}, *out = folded_output(&mapped);
    uint8_t *in =
        mmap(NULL, HUGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];

    ck_assert_ptr_ne(in, MAP_FAILED);
    madvise(in, HUGE_BYTES, MADV_HUGEPAGE); /* fewer faults where it is granted */
    for (int i = 0; test_kernel_at(i) != NULL; i++) {
        const struct envol_aes_kernel *kernel = test_kernel_at(i);
        struct envol_gcm_job job = {
            .nonce = nonce, .in = in, .out = out, .bytes = HUGE_BYTES, .tag = tags[runs > 0]};
        if (!kernel->usable())
            continue;
        ck_assert_int_eq(kernel->gcm_init(key, raw), ENVOL_OK);
        ck_assert_int_eq(kernel->gcm_seal(key, &job, 1), ENVOL_OK);
        if (runs++ == 0) {
            memcpy(window, out, WINDOW_BYTES);
            continue;
        }
        ck_assert_mem_eq(tags[1], tags[0], 16);
        ck_assert(memcmp(window, out, WINDOW_BYTES) == 0);
    }
    if (runs < 2)
        test_skip("gcm longer than a gigabyte", "only one kernel can run");
    munmap(in, HUGE_BYTES);
    munmap(out, mapped);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("aes_modes");
    TCase *gcm = tcase_create("gcm"), *xts = tcase_create("xts"), *huge = tcase_create("huge");
    TCase *threads = tcase_create("threads");
    int n = test_all_kernel_count();

    tcase_add_loop_test(gcm, gcm_every_length, 0, n);
    tcase_add_loop_test(gcm, gcm_every_bit, 0, n);
    tcase_add_loop_test(gcm, gcm_batches, 0, n);
    tcase_add_loop_test(threads, four_threads, 0, n);
    tcase_add_loop_test(xts, xts_every_length, 0, n);
    tcase_add_loop_test(xts, xts_batches, 0, n);
    tcase_add_loop_test(xts, xts_longest_unit, 0, n);
    /* Emulated and traced it takes minutes. */
    if (test_tool() != NULL)
        test_skip("gcm longer than a gigabyte", "too slow under this instrument");
    else
        tcase_add_test(huge, gcm_longer_than_a_gigabyte);
    tcase_set_timeout(gcm, 120);
    tcase_set_timeout(xts, 120);
    tcase_set_timeout(huge, 120);
    suite_add_tcase(s, gcm);
    suite_add_tcase(s, xts);
    suite_add_tcase(s, huge);
    suite_add_tcase(s, threads);
    return s;
}

int main(void)
{
    return test_run(suite());
}
