/* SPDX-License-Identifier: BSD-2-Clause */
/* Forked children and copies: no two of them ever seal under one (salt, nonce), or one salt. */
#include "base/memory.h"
#include "children.h"
#include "nonces.h"
#include "page_fixture.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE     512u
#define STRIDE   (PAGE + ENVOL_TRAILER_BYTES)
#define CHILDREN 64
#define SEALS    60 /* of each child, and of the parent meanwhile */

static struct page_fixture inheriting(void)
{
    const struct page_wish wish = {.page_bytes = PAGE, .flags = ENVOL_OPEN_INHERIT, .retained = 1};
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    return f;
}

/* A page, a batch, a blob, in turn; the nonce of each.  False when a call fails. */
static bool seal_all(const struct page_fixture *f, struct envol_lane *lane,
                     uint8_t nonces[SEALS][NONCE_BYTES])
{
    uint8_t page[PAGE] = {0}, record[STRIDE], again[STRIDE], got[PAGE];
    struct envol_page_op ops[2] = {{.page_no = 1, .page = page, .record = record},
                                   {.page_no = 2, .page = page, .record = again}};

    for (size_t i = 0; i + 4 <= SEALS; i += 4) {
        if (envol_page_seal_batch(f->object, lane, ops, 2) != ENVOL_OK)
            return false;
        memcpy(nonces[i], record + PAGE + 8, NONCE_BYTES);
        memcpy(nonces[i + 1], again + PAGE + 8, NONCE_BYTES);
        if (envol_page_unseal(f->object, lane, 2, again, got) != ENVOL_OK ||
            memcmp(got, page, PAGE) != 0 ||
            envol_page_seal_hole(f->object, lane, 3, record) != ENVOL_OK ||
            envol_blob_seal(f->object, lane, NULL, 0, page, PAGE, again) != ENVOL_OK)
            return false;
        memcpy(nonces[i + 2], record + PAGE + 8, NONCE_BYTES);
        memcpy(nonces[i + 3], again + PAGE + 8, NONCE_BYTES);
    }
    return true;
}

/* --- 64 children at once --- */

/* Waits until the parent closes the other end, then seals and writes all nonces to a pipe. */
static void child_seals(const struct page_fixture *f, int start, int out)
{
    uint8_t nonces[SEALS][NONCE_BYTES];
    char byte;

    if (read(start, &byte, 1) != 0 || !seal_all(f, f->lane, nonces))
        _exit(1);
    _exit(write(out, nonces, sizeof(nonces)) == (ssize_t)sizeof(nonces) ? 0 : 1);
}

static void read_all(int fd, uint8_t *to, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = read(fd, to, bytes);

        ck_assert_int_gt(got, 0);
        to += got;
        bytes -= (size_t)got;
    }
}

static void start_children(const struct page_fixture *f, bool raw, int results[CHILDREN],
                           pid_t pids[CHILDREN])
{
    int start[2], out[2];

    ck_assert_int_eq(pipe(start), 0);
    for (size_t i = 0; i < CHILDREN; i++) {
        ck_assert_int_eq(pipe(out), 0);
        pids[i] = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();
        ck_assert_int_ge(pids[i], 0);
        if (pids[i] == 0) {
            close(start[1]);
            child_seals(f, start[0], out[1]);
        }
        close(out[1]);
        results[i] = out[0];
    }
    close(start[0]);
    close(start[1]);
}

static void collect(int results[CHILDREN], pid_t pids[CHILDREN],
                    uint8_t (*nonces)[SEALS][NONCE_BYTES])
{
    int status;

    for (size_t i = 0; i < CHILDREN; i++) {
        read_all(results[i], &nonces[i][0][0], sizeof(nonces[i]));
        close(results[i]);
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_int_eq(status, 0);
    }
}

/* Each process has two salts: one of pages, one of blobs.  The parent kept its own. */
static void check_all_differ(uint8_t (*nonces)[NONCE_BYTES], size_t count, size_t processes)
{
    size_t most;

    ck_assert_uint_eq(nonces_salts(nonces, count, &most), 2 * processes);
    ck_assert_ptr_null(nonces_repeated(nonces, count, NONCE_BYTES));
}

START_TEST(children_seal_at_once)
{
    static uint8_t nonces[CHILDREN + 2][SEALS][NONCE_BYTES];
    struct page_fixture f;
    int results[CHILDREN];
    pid_t pids[CHILDREN];

    /* A thread sanitizer does not survive a clone that it does not see. */
    if (_i == 1 && test_tool() != NULL) {
        test_skip("raw clone", test_tool());
        return;
    }
    f = inheriting();
    ck_assert(seal_all(&f, f.lane, nonces[CHILDREN]));
    start_children(&f, _i == 1, results, pids);
    ck_assert(seal_all(&f, f.lane, nonces[CHILDREN + 1]));
    ck_assert_mem_eq(nonces[CHILDREN][0], nonces[CHILDREN + 1][0], SALT_BYTES);
    collect(results, pids, nonces);
    check_all_differ(&nonces[0][0], (size_t)(CHILDREN + 2) * SEALS, CHILDREN + 1);
    page_fixture_close(&f);
}
END_TEST

/* --- generations: each process seals, then forks the next with its lane in use --- */

enum { GENERATIONS = 5 };

struct line {
    struct page_fixture f;
    uint8_t (*nonces)[SEALS][NONCE_BYTES]; /* shared memory */
    int depth;
};

static int seals_and_forks(void *argument)
{
    struct line *line = argument, next = *line;

    child_expects(seal_all(&line->f, line->f.lane, line->nonces[2 * line->depth]));
    next.depth++;
    if (next.depth < GENERATIONS)
        child_expects(test_in_child(seals_and_forks, &next) == 0);
    child_expects(seal_all(&line->f, line->f.lane, line->nonces[2 * line->depth + 1]));
    return 0;
}

START_TEST(every_generation_has_its_own_salts)
{
    size_t bytes = sizeof(uint8_t[2 * GENERATIONS][SEALS][NONCE_BYTES]);
    struct line line = {.f = inheriting()};

    line.nonces = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(line.nonces, MAP_FAILED);
    ck_assert_int_eq(seals_and_forks(&line), 0);
    check_all_differ(line.nonces[0], (size_t)2 * GENERATIONS * SEALS, GENERATIONS);
    munmap(line.nonces, bytes);
    page_fixture_close(&line.f);
}
END_TEST

/* --- a child reads what its parent sealed, of each epoch, and goes on under its own keys --- */

struct legacy {
    struct page_fixture f;
    uint8_t page[PAGE], current[STRIDE], retained[STRIDE];
};

static int reads_on(void *argument)
{
    struct legacy *legacy = argument;
    const struct page_fixture *f = &legacy->f;
    uint8_t got[PAGE], record[STRIDE];

    for (int i = 0; i < 2; i++) {
        child_expects(envol_page_unseal(f->object, f->lane, 1, legacy->current, got) == ENVOL_OK);
        child_expects(memcmp(got, legacy->page, PAGE) == 0);
        child_expects(envol_page_unseal(f->object, f->lane, 1, legacy->retained, got) == ENVOL_OK);
        child_expects(memcmp(got, legacy->page, PAGE) == 0);
        child_expects(envol_page_reseal(f->object, f->lane, 1, 0, legacy->retained, record) ==
                      ENVOL_OK);
        child_expects(memcmp(record + PAGE + 8, legacy->current + PAGE + 8, SALT_BYTES) != 0);
    }
    return 0;
}

START_TEST(a_child_reads_its_parents_pages)
{
    struct legacy legacy = {.f = inheriting()};
    struct oracle o = page_fixture_oracle_of(&legacy.f, 1, 1);

    test_fill(legacy.page, PAGE);
    test_fill(o.nonce, sizeof(o.nonce));
    oracle_gcm_record(&o, legacy.page, legacy.retained);
    ck_ok(envol_page_seal(legacy.f.object, legacy.f.lane, 1, legacy.page, legacy.current));
    ck_assert_int_eq(test_in_child(reads_on, &legacy), 0);
    page_fixture_close(&legacy.f);
}
END_TEST

/* The thread that a lane belonged to may have been in the middle of filling a key. */
static struct {
    const struct envol_aes_kernel *whole;
    int inits;
} counting;

static enum envol_status count_gcm(void *key, const uint8_t raw[32])
{
    counting.inits++;
    return counting.whole->gcm_init(key, raw);
}

static enum envol_status count_xts(void *key, const uint8_t raw[64])
{
    counting.inits++;
    return counting.whole->xts_init(key, raw);
}

struct kept {
    struct page_fixture f;
    uint8_t record[STRIDE];
    int expected; /* keys derived */
};

static int unseals_thrice(void *argument)
{
    const struct kept *kept = argument;
    uint8_t got[PAGE];

    counting.inits = 0;
    for (int i = 0; i < 3; i++)
        child_expects(envol_page_unseal(kept->f.object, kept->f.lane, 1, kept->record, got) ==
                      ENVOL_OK);
    child_expects(counting.inits == kept->expected);
    return 0;
}

START_TEST(a_child_derives_its_keys_anew)
{
    struct page_wish wish = {.page_bytes = PAGE, .flags = ENVOL_OPEN_INHERIT};
    uint8_t page[PAGE] = {0};
    struct envol_aes_kernel kernel;
    struct kept kept;

    wish.suite = _i == 2 ? ENVOL_SUITE_AES_256_XTS : ENVOL_SUITE_AES_256_GCM;
    if (!page_suite(wish.suite))
        return;
    page_fixture_open(&kept.f, &wish);
    counting.whole = kept.f.keyring->kernel;
    kernel = *counting.whole;
    kernel.gcm_derive = NULL; /* block_encrypt and gcm_init then do it */
    kernel.gcm_init = count_gcm;
    kernel.xts_init = count_xts;
    kept.f.keyring->kernel = &kernel;
    /* The lane's own salt, or one that it has only read; XTS knows no difference. */
    ck_ok(envol_page_seal(kept.f.object, _i == 0 ? kept.f.lane : NULL, 1, page, kept.record));
    kept.expected = _i == 0 ? 0 : 1;
    ck_assert_int_eq(unseals_thrice(&kept), 0);
    kept.expected = 0;
    ck_assert_int_eq(unseals_thrice(&kept), 0);
    kept.expected = 1;
    ck_assert_int_eq(test_in_child(unseals_thrice, &kept), 0);
    kept.f.keyring->kernel = counting.whole;
    page_fixture_close(&kept.f);
}
END_TEST

/* A child's own handles are not its parent's: it opens and closes some beside those inherited. */
static int opens_its_own(void *argument)
{
    const struct page_fixture *parents = argument;
    uint8_t nonces[SEALS][NONCE_BYTES];
    struct page_fixture own;

    page_fixture_again(&own, parents, &parents->wish);
    child_expects(seal_all(&own, own.lane, nonces));
    page_fixture_close(&own);
    child_expects(seal_all(parents, parents->lane, nonces));
    return 0;
}

START_TEST(a_child_opens_its_own)
{
    struct page_fixture f = inheriting();

    ck_assert_int_eq(test_in_child(opens_its_own, &f), 0);
    page_fixture_close(&f);
}
END_TEST

/* --- forks while other threads seal --- */

struct busy {
    const struct page_fixture *f;
    _Atomic bool *stop;
    bool failed;
};

static void *seals_until_told(void *argument)
{
    struct busy *busy = argument;
    uint8_t nonces[SEALS][NONCE_BYTES];
    struct envol_lane *lane = NULL;

    busy->failed = envol_lane_open(busy->f->keyring, &lane) != ENVOL_OK;
    while (!busy->failed && !atomic_load(busy->stop))
        busy->failed = !seal_all(busy->f, lane, nonces);
    envol_lane_close(lane);
    return NULL;
}

static int child_seals_once(void *argument)
{
    const struct page_fixture *f = argument;
    uint8_t nonces[SEALS][NONCE_BYTES];

    child_expects(seal_all(f, f->lane, nonces));
    child_expects(seal_all(f, NULL, nonces));
    return 0;
}

START_TEST(forks_beside_busy_threads)
{
    struct page_fixture f = inheriting();
    _Atomic bool stop = false;
    struct busy busy[3];
    pthread_t threads[3];

    for (size_t i = 0; i < 3; i++) {
        busy[i] = (struct busy){&f, &stop, false};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, seals_until_told, &busy[i]), 0);
    }
    for (int i = 0; i < (test_tool() != NULL ? 10 : 60); i++)
        ck_assert_int_eq(test_in_child(child_seals_once, &f), 0);
    atomic_store(&stop, true);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!busy[i].failed);
    }
    page_fixture_close(&f);
}
END_TEST

/* --- two copies of one volume, opened apart: a million pages --- */

enum { COPY_BATCH = 1 << 12 };

static enum envol_status seal_nothing(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    (void)key;
    (void)jobs;
    (void)count;
    return ENVOL_OK;
}

static void seal_copy(const struct page_fixture *f, uint8_t (*nonces)[NONCE_BYTES], size_t pages)
{
    static struct envol_page_op ops[COPY_BATCH];
    static uint8_t page[PAGE], record[PAGE], trailers[COPY_BATCH][ENVOL_TRAILER_BYTES];

    for (size_t done = 0; done < pages; done += COPY_BATCH) {
        for (size_t i = 0; i < COPY_BATCH; i++)
            ops[i] = (struct envol_page_op){
                .page_no = done + i, .page = page, .record = record, .trailer = trailers[i]};
        ck_ok(envol_page_seal_batch(f->object, f->lane, ops, COPY_BATCH));
        for (size_t i = 0; i < COPY_BATCH; i++)
            memcpy(nonces[done + i], trailers[i] + 8, NONCE_BYTES);
    }
}

START_TEST(copies_share_no_nonce)
{
    /* Emulation sorts slowly. */
    size_t pages = test_tool() != NULL ? 1 << 15 : 1 << 19, most;
    uint8_t(*nonces)[NONCE_BYTES] = calloc(2 * pages, NONCE_BYTES);
    struct page_fixture first = inheriting(), second;
    struct envol_aes_kernel fast = *first.keyring->kernel;

    ck_assert_ptr_nonnull(nonces);
    fast.gcm_seal = seal_nothing;
    page_fixture_again(&second, &first, &first.wish);
    first.keyring->kernel = second.keyring->kernel = &fast;
    seal_copy(&first, nonces, pages);
    seal_copy(&second, nonces + pages, pages);
    ck_assert_uint_eq(nonces_salts(nonces, 2 * pages, &most), 2);
    ck_assert_uint_eq(most, pages);
    ck_assert_ptr_null(nonces_repeated(nonces, 2 * pages, NONCE_BYTES));
    page_fixture_close(&first);
    page_fixture_close(&second);
    free(nonces);
}
END_TEST

/* The comparison finds what is there twice. */
START_TEST(repeated_nonces_are_found)
{
    uint8_t nonces[500][NONCE_BYTES];

    test_fill(nonces, sizeof(nonces));
    ck_assert_ptr_null(nonces_repeated(nonces, 500, SALT_BYTES));
    memcpy(nonces[321], nonces[12], SALT_BYTES);
    ck_assert_ptr_null(nonces_repeated(nonces, 500, NONCE_BYTES));
    ck_assert_ptr_nonnull(nonces_repeated(nonces, 500, SALT_BYTES));
    memcpy(nonces[7], nonces[400], NONCE_BYTES);
    ck_assert_ptr_nonnull(nonces_repeated(nonces, 500, NONCE_BYTES));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_fork");
    TCase *tcase = tcase_create("fork");

    tcase_add_loop_test(tcase, children_seal_at_once, 0, 2);
    tcase_add_test(tcase, every_generation_has_its_own_salts);
    tcase_add_test(tcase, a_child_reads_its_parents_pages);
    tcase_add_loop_test(tcase, a_child_derives_its_keys_anew, 0, 3);
    tcase_add_test(tcase, a_child_opens_its_own);
    tcase_add_test(tcase, forks_beside_busy_threads);
    tcase_add_test(tcase, copies_share_no_nonce);
    tcase_add_test(tcase, repeated_nonces_are_found);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
