/* SPDX-License-Identifier: BSD-2-Clause */
/* Lanes: where nonces come from, how long a salt lives, and any number of threads beside another.
 */
#include "base/memory.h"
#include "nonces.h"
#include "page/lane.h"
#include "page_fixture.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE   512u
#define STRIDE (PAGE + ENVOL_TRAILER_BYTES)

static const struct page_wish small = {.page_bytes = PAGE};

/* What was asked of the source, and when it is to fail. */
static struct {
    _Atomic unsigned draws;
    _Atomic size_t last_bytes;
    _Atomic int failing; /* counts down to the draw that fails */
    _Atomic bool stuck;  /* every draw gives the same bytes */
} source = {.failing = -1};

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    atomic_fetch_add(&source.draws, 1);
    atomic_store(&source.last_bytes, bytes);
    if (atomic_load(&source.failing) >= 0 && atomic_fetch_sub(&source.failing, 1) == 0) {
        errno = EIO;
        return -1;
    }
    if (atomic_load(&source.stuck)) {
        for (size_t i = 0; i < bytes; i++)
            ((uint8_t *)out)[i] = (uint8_t)(7 * i + 1);
        return (ssize_t)bytes;
    }
    return syscall(SYS_getrandom, out, bytes, flags);
}

/* --- a stuck source --- */

struct sealing {
    const struct page_fixture *f;
    struct envol_lane *lane; /* NULL: one of its own */
    enum envol_status status;
};

static void *seal_in_thread(void *argument)
{
    struct sealing *sealing = argument;
    struct envol_lane *lane = sealing->lane;
    uint8_t page[PAGE] = {0}, record[STRIDE];

    if (sealing->lane == NULL)
        ck_ok(envol_lane_open(sealing->f->keyring, &lane));
    sealing->status = ck_note(envol_page_seal(sealing->f->object, lane, 1, page, record));
    if (sealing->status != ENVOL_OK)
        ck_assert(envol_is_zero(record, STRIDE));
    if (sealing->lane == NULL)
        envol_lane_close(lane);
    return NULL;
}

static enum envol_status seal_elsewhere(const struct page_fixture *f, struct envol_lane *lane)
{
    struct sealing sealing = {f, lane, ENVOL_E_STATE};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, seal_in_thread, &sealing), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return sealing.status;
}

/* No two threads get one salt, and a lane gets no nonce twice, whoever has it. */
START_TEST(a_source_that_is_stuck)
{
    struct page_fixture f;
    struct envol_lane *lane, *fresh;

    page_fixture_open(&f, &small);
    ck_ok(envol_lane_open(f.keyring, &lane));
    ck_ok(envol_lane_open(f.keyring, &fresh));
    ck_assert_int_eq(seal_elsewhere(&f, lane), ENVOL_OK);
    atomic_store(&source.stuck, true);
    ck_assert_int_eq(seal_elsewhere(&f, lane), ENVOL_OK); /* its salt was drawn before */
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(seal_elsewhere(&f, lane), ENVOL_E_RANDOM);
    ck_assert_int_eq(seal_elsewhere(&f, NULL), ENVOL_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(seal_elsewhere(&f, NULL), ENVOL_E_RANDOM);
    ck_assert_int_eq(seal_elsewhere(&f, fresh), ENVOL_E_RANDOM);
    atomic_store(&source.stuck, false);
    ck_assert_int_eq(seal_elsewhere(&f, lane), ENVOL_OK);
    ck_assert_int_eq(seal_elsewhere(&f, fresh), ENVOL_OK);
    envol_lane_close(lane);
    envol_lane_close(fresh);
    page_fixture_close(&f);
}
END_TEST

/* --- one lane --- */

static void seal_one(const struct page_fixture *f, struct envol_lane *lane, uint8_t nonce[24])
{
    uint8_t page[PAGE] = {0}, record[STRIDE];

    ck_ok(envol_page_seal(f->object, lane, 1, page, record));
    memcpy(nonce, record + PAGE + 8, NONCE_BYTES);
}

static void seal_blob(const struct page_fixture *f, struct envol_lane *lane, uint8_t nonce[24])
{
    uint8_t sealed[ENVOL_TRAILER_BYTES];

    ck_ok(envol_blob_seal(f->object, lane, NULL, 0, NULL, 0, sealed));
    memcpy(nonce, sealed + 8, NONCE_BYTES);
}

START_TEST(a_salt_is_kept_and_the_rest_is_drawn)
{
    uint8_t first[24], nonce[24];
    struct page_fixture f;

    page_fixture_open(&f, &small);
    seal_one(&f, f.lane, first);
    ck_assert_uint_eq(source.draws, 1);
    ck_assert_uint_eq(source.last_bytes, 24);
    for (unsigned i = 2; i < 100; i++) {
        seal_one(&f, f.lane, nonce);
        ck_assert_mem_eq(nonce, first, SALT_BYTES);
        ck_assert(memcmp(nonce + SALT_BYTES, first + SALT_BYTES, 12) != 0);
        ck_assert_uint_eq(source.draws, i);
        ck_assert_uint_eq(source.last_bytes, 12);
        memcpy(first, nonce, sizeof(first));
    }
    page_fixture_close(&f);
}
END_TEST

START_TEST(without_a_lane_all_is_drawn)
{
    uint8_t nonces[200][24];
    struct page_fixture f;

    page_fixture_open(&f, &small);
    for (size_t i = 0; i < 200; i += 2) {
        seal_one(&f, NULL, nonces[i]);
        seal_blob(&f, NULL, nonces[i + 1]);
        ck_assert_uint_eq(source.last_bytes, 24);
    }
    ck_assert_uint_eq(source.draws, 200);
    ck_assert_ptr_null(nonces_repeated(nonces, 200, SALT_BYTES));
    page_fixture_close(&f);
}
END_TEST

/* Pages and blobs have keys of their own, so salts of their own; unsealing draws none. */
START_TEST(salts_of_pages_and_blobs)
{
    uint8_t page[2][24], blob[2][24], plain[PAGE] = {0}, record[STRIDE];
    struct page_fixture f;

    page_fixture_open(&f, &small);
    for (int i = 0; i < 2; i++) {
        seal_one(&f, f.lane, page[i]);
        seal_blob(&f, f.lane, blob[i]);
    }
    ck_assert_mem_eq(page[0], page[1], SALT_BYTES);
    ck_assert_mem_eq(blob[0], blob[1], SALT_BYTES);
    ck_assert(memcmp(page[0], blob[0], SALT_BYTES) != 0);
    ck_ok(envol_page_seal(f.object, NULL, 1, plain, record));
    atomic_store(&source.draws, 0);
    ck_ok(envol_page_unseal(f.object, f.lane, 1, record, plain));
    ck_ok(envol_page_unseal(f.object, NULL, 1, record, plain));
    ck_assert_uint_eq(source.draws, 0);
    seal_one(&f, f.lane, page[1]);
    ck_assert_mem_eq(page[0], page[1], SALT_BYTES);
    page_fixture_close(&f);
}
END_TEST

/* A page and a blob under one nonce, as nobody draws it: a lane must tell their keys apart. */
START_TEST(one_salt_of_a_page_and_a_blob)
{
    uint8_t plain[PAGE] = {7}, page[STRIDE], blob[STRIDE], got[PAGE];
    struct page_fixture f;
    struct oracle o;

    page_fixture_open(&f, &small);
    o = page_fixture_oracle(&f, 1);
    test_fill(o.nonce, sizeof(o.nonce));
    oracle_gcm_record(&o, plain, page);
    o.type = ORACLE_BLOB;
    oracle_blob(&o, NULL, 0, plain, PAGE, blob);
    for (int i = 0; i < 3; i++) {
        ck_ok(envol_page_unseal(f.object, f.lane, 1, page, got));
        ck_assert_mem_eq(got, plain, PAGE);
        ck_ok(envol_blob_unseal(f.object, f.lane, NULL, 0, blob, STRIDE, got));
        ck_assert_mem_eq(got, plain, PAGE);
    }
    page_fixture_close(&f);
}
END_TEST

START_TEST(nonces_are_added_to_big_endian)
{
    static const struct {
        const char *from;
        uint32_t add;
        const char *to;
    } sums[] = {
        {"000000000000000000000000", 0, "000000000000000000000000"},
        {"0000000000000000000000ff", 1, "000000000000000000000100"},
        {"00000000ffffffffffffffff", 1, "000000010000000000000000"},
        {"00000000ffffffff00000001", 0xffffffff, "000000010000000000000000"},
        {"ffffffffffffffffffffffff", 1, "000000000000000000000000"},
        {"ffffffffffffffffffffff00", 0xfffff, "0000000000000000000ffeff"},
    };
    uint8_t nonce[24], sum[24];

    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        memset(nonce, 0xa5, SALT_BYTES);
        test_unhex(sums[i].from, nonce + SALT_BYTES, 12);
        envol_nonce_add(nonce, sums[i].add, sum);
        ck_assert_mem_eq(sum, nonce, SALT_BYTES);
        ck_mem_hex(sum + SALT_BYTES, sums[i].to);
    }
}
END_TEST

/* --- a million pages --- */

/* A kernel that derives keys and seals nothing: a million pages take no time. */
static enum envol_status seal_nothing(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    (void)key;
    (void)jobs;
    (void)count;
    return ENVOL_OK;
}

#define MILLION (1u << 20) /* pages, as envol(5) says */
#define BATCH   4096u

/* A writer of many pages that keeps their nonces. */
struct stream {
    const struct page_fixture *f;
    struct envol_lane *lane;
    uint8_t page[PAGE], record[PAGE];
    uint8_t (*trailers)[ENVOL_TRAILER_BYTES];
    struct envol_page_op *ops;
    uint8_t (*nonces)[NONCE_BYTES];
    size_t sealed;
};

static struct stream stream_new(const struct page_fixture *f, struct envol_lane *lane,
                                size_t capacity)
{
    struct stream s = {.f = f, .lane = lane};

    s.trailers = calloc(BATCH, sizeof(*s.trailers));
    s.ops = calloc(BATCH, sizeof(*s.ops));
    s.nonces = calloc(capacity, sizeof(*s.nonces));
    ck_assert(s.trailers != NULL && s.ops != NULL && s.nonces != NULL);
    return s;
}

static void stream_free(struct stream *s)
{
    free(s->trailers);
    free(s->ops);
    free(s->nonces);
}

/* One batch of at most BATCH. */
static enum envol_status seal_batch(struct stream *s, size_t count)
{
    enum envol_status status;

    for (size_t i = 0; i < count; i++)
        s->ops[i] = (struct envol_page_op){
            .page_no = i, .page = s->page, .record = s->record, .trailer = s->trailers[i]};
    status = envol_page_seal_batch(s->f->object, s->lane, s->ops, count);
    for (size_t i = 0; i < count; i++)
        if (s->ops[i].status == ENVOL_OK)
            memcpy(s->nonces[s->sealed++], s->trailers[i] + 8, NONCE_BYTES);
    return status;
}

static enum envol_status seal_many(struct stream *s, size_t count)
{
    enum envol_status status = ENVOL_OK;

    for (size_t n; count > 0 && status == ENVOL_OK; count -= n) {
        n = count < BATCH ? count : BATCH;
        status = seal_batch(s, n);
    }
    return status;
}

static struct envol_aes_kernel fast;

static void fast_fixture(struct page_fixture *f)
{
    page_fixture_open(f, &small);
    fast = *f->keyring->kernel;
    fast.gcm_seal = seal_nothing;
    f->keyring->kernel = &fast;
}

START_TEST(a_batch_is_split_at_the_salts_end)
{
    struct page_fixture f;
    struct stream s;

    fast_fixture(&f);
    s = stream_new(&f, f.lane, MILLION + BATCH);
    ck_assert_int_eq(seal_many(&s, MILLION - 10), ENVOL_OK);
    atomic_store(&source.draws, 0);
    ck_assert_int_eq(seal_batch(&s, 25), ENVOL_OK);
    ck_assert_uint_eq(source.draws, 2);
    ck_assert_uint_eq(source.last_bytes, 24);
    for (size_t i = MILLION - 10; i < MILLION; i++)
        ck_assert_mem_eq(s.nonces[i], s.nonces[0], SALT_BYTES);
    for (size_t i = MILLION; i < MILLION + 15; i++) {
        ck_assert(memcmp(s.nonces[i], s.nonces[0], SALT_BYTES) != 0);
        ck_assert_mem_eq(s.nonces[i], s.nonces[MILLION], SALT_BYTES);
    }
    stream_free(&s);
    page_fixture_close(&f);
}
END_TEST

/* Exactly at the end, by single calls; a blob's count is its own. */
START_TEST(a_salt_ends_after_its_last_page)
{
    struct page_fixture f;
    struct stream s;
    uint8_t first[24], blob[24], nonce[24];

    fast_fixture(&f);
    s = stream_new(&f, f.lane, MILLION);
    seal_one(&f, f.lane, first);
    seal_blob(&f, f.lane, blob);
    ck_assert_int_eq(seal_many(&s, MILLION - 2), ENVOL_OK);
    seal_one(&f, f.lane, nonce);
    ck_assert_mem_eq(nonce, first, SALT_BYTES);
    ck_assert_uint_eq(source.last_bytes, 12);
    seal_one(&f, f.lane, nonce);
    ck_assert(memcmp(nonce, first, SALT_BYTES) != 0);
    ck_assert_uint_eq(source.last_bytes, 24);
    seal_blob(&f, f.lane, nonce);
    ck_assert_mem_eq(nonce, blob, SALT_BYTES);
    stream_free(&s);
    page_fixture_close(&f);
}
END_TEST

/* One call beyond a salt, without a lane too. */
START_TEST(one_batch_of_more_than_a_salt)
{
    enum { COUNT = MILLION + 5 };
    struct page_fixture f;
    struct envol_page_op *ops = calloc(COUNT, sizeof(*ops));
    uint8_t(*trailers)[ENVOL_TRAILER_BYTES] = calloc(COUNT, sizeof(*trailers));
    uint8_t page[PAGE] = {0}, record[PAGE];

    fast_fixture(&f);
    ck_assert(ops != NULL && trailers != NULL);
    for (size_t i = 0; i < COUNT; i++)
        ops[i] = (struct envol_page_op){
            .page_no = i, .page = page, .record = record, .trailer = trailers[i]};
    ck_ok(envol_page_seal_batch(f.object, _i ? f.lane : NULL, ops, COUNT));
    ck_assert_uint_eq(source.draws, 2);
    for (size_t i = 1; i < COUNT; i++)
        ck_assert((memcmp(trailers[i] + 8, trailers[i - 1] + 8, SALT_BYTES) == 0) ==
                  (i != MILLION));
    free(ops);
    free(trailers);
    page_fixture_close(&f);
}
END_TEST

START_TEST(no_randomness_at_the_salts_end)
{
    struct page_fixture f;
    struct stream s;
    uint8_t before[24], after[24];

    fast_fixture(&f);
    s = stream_new(&f, f.lane, MILLION + BATCH);
    ck_assert_int_eq(seal_many(&s, MILLION - 10), ENVOL_OK);
    memcpy(before, s.nonces[0], sizeof(before));
    atomic_store(&source.failing, 1);
    ck_assert_int_eq(seal_batch(&s, 25), ENVOL_E_RANDOM);
    ck_assert_uint_eq(s.sealed, MILLION);
    for (size_t i = 0; i < 25; i++) {
        ck_assert_int_eq(s.ops[i].status, i < 10 ? ENVOL_OK : ENVOL_E_RANDOM);
        ck_assert(i < 10 || envol_is_zero(s.trailers[i], ENVOL_TRAILER_BYTES));
    }
    seal_one(&f, f.lane, after);
    ck_assert(memcmp(before, after, SALT_BYTES) != 0);
    stream_free(&s);
    page_fixture_close(&f);
}
END_TEST

static enum envol_status no_init(void *key, const uint8_t *raw)
{
    (void)key;
    (void)raw;
    return ENVOL_E_NO_MEMORY;
}

/* A salt whose key could not be derived is never used. */
START_TEST(derivation_fails)
{
    struct page_fixture f;
    uint8_t page[PAGE] = {1}, record[STRIDE], got[PAGE];
    struct envol_aes_kernel broken;
    const struct envol_aes_kernel *whole;

    page_fixture_open(&f, &small);
    whole = f.keyring->kernel;
    broken = *whole;
    broken.gcm_derive = NULL; /* block_encrypt and gcm_init then do it */
    broken.gcm_init = no_init;
    f.keyring->kernel = &broken;
    ck_status(envol_page_seal(f.object, f.lane, 1, page, record), ENVOL_E_NO_MEMORY);
    ck_assert(envol_is_zero(record, STRIDE));
    f.keyring->kernel = whole;
    atomic_store(&source.failing, 0);
    ck_status(envol_page_seal(f.object, f.lane, 1, page, record), ENVOL_E_RANDOM);
    ck_ok(envol_page_seal(f.object, f.lane, 1, page, record));
    ck_assert_uint_eq(source.last_bytes, 24);
    /* Reading: a lane whose entry could not be filled fills it later. */
    ck_ok(envol_page_seal(f.object, NULL, 1, page, record));
    f.keyring->kernel = &broken;
    ck_status(envol_page_unseal(f.object, f.lane, 1, record, got), ENVOL_E_NO_MEMORY);
    f.keyring->kernel = whole;
    ck_ok(envol_page_unseal(f.object, f.lane, 1, record, got));
    ck_assert_mem_eq(got, page, PAGE);
    page_fixture_close(&f);
}
END_TEST

/* --- threads --- */

enum { THREADS = 4, ROUNDS = 200 };

struct worker {
    const struct page_fixture *f;
    size_t rounds;
    uint8_t (*nonces)[NONCE_BYTES];
    unsigned faults;
};

/* One page of its own and one of the pages that all read. */
static void *work(void *argument)
{
    struct worker *w = argument;
    uint8_t page[PAGE], record[STRIDE], got[PAGE];
    struct envol_lane *lane = NULL;

    w->faults += envol_lane_open(w->f->keyring, &lane) != ENVOL_OK;
    for (size_t i = 0; i < w->rounds; i++) {
        test_fill(page, PAGE);
        w->faults +=
            envol_page_seal(w->f->object, i % 5 ? lane : NULL, i, page, record) != ENVOL_OK;
        memcpy(w->nonces[i], record + PAGE + 8, NONCE_BYTES);
        w->faults +=
            envol_page_unseal(w->f->object, i % 3 ? lane : NULL, i, record, got) != ENVOL_OK ||
            memcmp(got, page, PAGE) != 0;
        record[i % STRIDE] ^= 2;
        w->faults += envol_page_unseal(w->f->object, lane, i, record, got) == ENVOL_OK;
        w->faults += envol_keyring_epoch(w->f->keyring) != 1;
    }
    envol_lane_close(lane);
    return NULL;
}

static void run_workers(void *(*body)(void *), struct worker workers[THREADS])
{
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, body, &workers[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(workers[i].faults, 0);
    }
}

START_TEST(threads_share_an_object)
{
    static uint8_t nonces[THREADS * ROUNDS][NONCE_BYTES];
    struct worker workers[THREADS];
    struct page_fixture f;
    size_t most;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    page_fixture_open(&f, &small);
    for (size_t i = 0; i < THREADS; i++)
        workers[i] = (struct worker){&f, ROUNDS, nonces + i * ROUNDS, 0};
    run_workers(work, workers);
    ck_assert_uint_eq(envol_keyring_seals(f.keyring), THREADS * ROUNDS);
    /* A salt for each lane, and one for each seal without. */
    ck_assert_uint_eq(nonces_salts(nonces, THREADS * ROUNDS, &most), THREADS * (1 + ROUNDS / 5));
    ck_assert_uint_eq(most, ROUNDS - ROUNDS / 5);
    ck_assert_ptr_null(nonces_repeated(nonces, THREADS * ROUNDS, NONCE_BYTES));
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

static void *stream_work(void *argument)
{
    struct worker *w = argument;
    struct envol_lane *lane = NULL;
    struct stream s;

    w->faults += envol_lane_open(w->f->keyring, &lane) != ENVOL_OK;
    s = stream_new(w->f, lane, 1);
    free(s.nonces);
    s.nonces = w->nonces;
    w->faults += seal_many(&s, w->rounds) != ENVOL_OK;
    s.nonces = NULL;
    stream_free(&s);
    envol_lane_close(lane);
    return NULL;
}

/* One thread's nonces, as they came: a million under a salt, the rest under another. */
static void check_stream(uint8_t (*nonces)[NONCE_BYTES], size_t rounds)
{
    for (size_t i = 1; i < rounds; i++)
        ck_assert((memcmp(nonces[i], nonces[i - 1], SALT_BYTES) == 0) == (i != MILLION));
}

/* Each thread crosses the end of a salt while the others write. */
START_TEST(salts_roll_over_in_all_threads)
{
    enum { SAMPLE = 64 };
    size_t rounds = MILLION + 1000, samples = 0, most;
    uint8_t(*nonces)[NONCE_BYTES] = calloc(THREADS * rounds, NONCE_BYTES);
    struct worker workers[THREADS];
    struct page_fixture f;

    ck_assert_ptr_nonnull(nonces);
    fast_fixture(&f);
    for (size_t i = 0; i < THREADS; i++)
        workers[i] = (struct worker){&f, rounds, nonces + i * rounds, 0};
    run_workers(stream_work, workers);
    ck_assert_uint_eq(envol_keyring_seals(f.keyring), THREADS * rounds);
    for (size_t i = 0; i < THREADS; i++)
        check_stream(workers[i].nonces, rounds);
    /* Calls are longer than a sample's distance: two that overlap show. */
    for (size_t i = 0; i < THREADS * rounds; i += SAMPLE)
        memcpy(nonces[samples++], nonces[i], NONCE_BYTES);
    ck_assert_uint_eq(nonces_salts(nonces, samples, &most), 2 * THREADS);
    ck_assert_ptr_null(nonces_repeated(nonces, samples, NONCE_BYTES));
    free(nonces);
    page_fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lane");
    TCase *tcase = tcase_create("lane"), *threads = tcase_create("threads");

    tcase_add_test(threads, a_source_that_is_stuck);
    tcase_add_test(tcase, a_salt_is_kept_and_the_rest_is_drawn);
    tcase_add_test(tcase, without_a_lane_all_is_drawn);
    tcase_add_test(tcase, salts_of_pages_and_blobs);
    tcase_add_test(tcase, one_salt_of_a_page_and_a_blob);
    tcase_add_test(tcase, nonces_are_added_to_big_endian);
    tcase_add_test(tcase, a_batch_is_split_at_the_salts_end);
    tcase_add_test(tcase, a_salt_ends_after_its_last_page);
    tcase_add_loop_test(tcase, one_batch_of_more_than_a_salt, 0, 2);
    tcase_add_test(tcase, no_randomness_at_the_salts_end);
    tcase_add_test(tcase, derivation_fails);
    tcase_add_loop_test(threads, threads_share_an_object, 0, page_kernels());
    tcase_add_test(threads, salts_roll_over_in_all_threads);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, threads);
    return test_run(suite);
}
