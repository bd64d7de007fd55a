/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of a log's runs: they go and come back with the keyring's, and stay out of children. */
#include "base/memory.h"
#include "children.h"
#include "failing_mlock.h"
#include "log_run_fixture.h"
#include "page/revoke.h"
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static struct log_run_fixture l;
static uint8_t data[256], sealed[320], plain[256];

static void setup(void)
{
    log_run_fixture_open(&l, NULL);
    test_fill(data, sizeof(data));
}

static void teardown(void)
{
    log_run_fixture_close(&l);
}

static enum envol_status try_seal(struct envol_log_run *run, uint32_t index)
{
    const struct envol_log_record record = log_record(index, data, sizeof(data));

    return ck_note(envol_log_record_seal(run, &record, sealed));
}

/* The same of two records at once. */
static enum envol_status try_batch(struct envol_log_run *run, uint32_t index)
{
    const struct envol_log_record records[2] = {log_record(index, data, 100),
                                                log_record(index + 1, data, 100)};
    enum envol_status status;

    memset(sealed, 0xee, sizeof(sealed));
    status = ck_note(envol_log_record_seal_batch(run, records, 2, sealed));
    ck_assert(status == ENVOL_OK || envol_is_zero(sealed, 288));
    return status;
}

static enum envol_status try_unseal(const struct envol_log_run *run, uint32_t index)
{
    memset(plain, 0xee, sizeof(plain));
    return ck_note(envol_log_record_unseal(run, index, sealed, 304, plain, NULL));
}

/* --- Keys that come and go --- */

static bool is_wiped(const struct envol_log_run *run)
{
    return envol_is_zero(run->keys, run->tenant.key_bytes);
}

static void ck_revoked(void)
{
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;

    ck_assert(is_wiped(l.run));
    ck_assert(is_wiped(l.reader));
    ck_assert_int_eq(try_unseal(l.reader, 0), ENVOL_E_KEY_REVOKED);
    ck_assert(envol_is_zero(plain, sizeof(plain)));
    ck_assert_int_eq(try_seal(l.run, 1), ENVOL_E_KEY_REVOKED);
    ck_assert(envol_is_zero(sealed, 304));
    ck_assert_int_eq(try_batch(l.run, 1), ENVOL_E_KEY_REVOKED);
    ck_status(envol_log_run_begin(l.f.keyring, &l.params, header, &run), ENVOL_E_KEY_REVOKED);
    ck_assert(envol_is_zero(header, sizeof(header)));
    ck_status(envol_log_run_open(l.f.keyring, l.header, NULL, &run), ENVOL_E_KEY_REVOKED);
}

/* The index that was refused meanwhile is there still. */
START_TEST(revoked_and_restored)
{
    struct page_fixture again;
    uint8_t first[304];

    page_fixture_again(&again, &l.f, NULL);
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    memcpy(first, sealed, sizeof(first));
    envol_keyring_revoke(l.f.keyring);
    ck_revoked();
    ck_assert_int_eq(envol_keyring_restore(l.f.keyring, again.keyring), ENVOL_OK);
    memcpy(sealed, first, sizeof(first));
    ck_assert_int_eq(try_unseal(l.reader, 0), ENVOL_OK);
    ck_assert_mem_eq(plain, data, sizeof(data));
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_E_STATE);
    ck_assert_int_eq(try_seal(l.run, 1), ENVOL_OK);
    ck_assert_int_eq(try_unseal(l.reader, 1), ENVOL_OK);
    page_fixture_close(&again);
}
END_TEST

/* A run whose DEK came back as another one is no run of it. */
START_TEST(restored_with_another_key)
{
    struct page_fixture other = l.f, again;
    uint8_t first[304];

    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    memcpy(first, sealed, sizeof(first));
    other.dek[0][0] ^= 1;
    page_fixture_again(&again, &other, NULL);
    envol_keyring_revoke(l.f.keyring);
    ck_assert_int_eq(envol_keyring_restore(l.f.keyring, again.keyring), ENVOL_OK);
    ck_assert_int_eq(try_seal(l.run, 1), ENVOL_E_WRONG_KEY);
    ck_assert(envol_is_zero(sealed, 304));
    ck_assert_int_eq(try_batch(l.run, 1), ENVOL_E_WRONG_KEY);
    memcpy(sealed, first, sizeof(first));
    ck_assert_int_eq(try_unseal(l.reader, 0), ENVOL_E_WRONG_KEY);
    ck_assert(is_wiped(l.run));
    page_fixture_close(&again);
}
END_TEST

/* A keyring at the next epoch, with or without the older one. */
static void adopt(uint32_t epoch, uint32_t retained)
{
    const struct page_wish wish = {.epoch = epoch, .retained = retained};
    struct page_fixture next = l.f, again;

    for (uint32_t i = retained; i > 0; i--)
        memcpy(next.dek[i], l.f.dek[0], ENVOL_DEK_BYTES);
    test_fill(next.dek[0], ENVOL_DEK_BYTES);
    page_fixture_again(&again, &next, &wish);
    ck_ok(envol_keyring_adopt(l.f.keyring, again.keyring));
    page_fixture_close(&again);
}

START_TEST(a_run_stays_at_its_epoch)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;

    adopt(2, 1);
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    ck_assert_int_eq(try_unseal(l.reader, 0), ENVOL_OK);
    ck_ok(envol_log_run_open(l.f.keyring, l.header, NULL, &run));
    envol_log_run_close(run);
    ck_ok(envol_log_run_begin(l.f.keyring, &l.params, header, &run));
    ck_ok(envol_log_run_peek(header, &info));
    ck_assert_uint_eq(info.epoch, 2);
    envol_log_run_close(run);
}
END_TEST

START_TEST(an_epoch_that_is_gone)
{
    struct envol_log_run *run;

    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    adopt(2, 0);
    ck_assert(is_wiped(l.run));
    ck_assert_int_eq(try_unseal(l.reader, 0), ENVOL_E_STALE);
    ck_assert(envol_is_zero(plain, sizeof(plain)));
    ck_assert_int_eq(try_seal(l.run, 1), ENVOL_E_STALE);
    ck_assert(envol_is_zero(sealed, 304));
    ck_assert_int_eq(try_batch(l.run, 1), ENVOL_E_STALE);
    ck_status(envol_log_run_open(l.f.keyring, l.header, NULL, &run), ENVOL_E_CORRUPT);
}
END_TEST

/* Sealing threads and a keyring whose keys are taken away and come back, over and over.  A thread
 * that is far ahead of another waits for it. */
enum { THREADS = 3, INDICES = 3000 };
static uint8_t by_threads[INDICES][304];
static _Atomic enum envol_status worst;

static void *seal_share(void *from)
{
    for (uint32_t i = (uint32_t)(uintptr_t)from; i < INDICES; i += THREADS) {
        const struct envol_log_record record = log_record(i, data, sizeof(data));
        enum envol_status status;
        do
            status = envol_log_record_seal(l.run, &record, by_threads[i]);
        while ((status == ENVOL_E_KEY_REVOKED || status == ENVOL_E_STATE) && sched_yield() == 0);
        if (status != ENVOL_OK)
            worst = status;
    }
    return NULL;
}

START_TEST(revoked_while_threads_seal)
{
    struct page_fixture again;
    pthread_t thread[THREADS];

    page_fixture_again(&again, &l.f, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, seal_share, (void *)i), 0);
    for (int i = 0; i < 20; i++) {
        envol_keyring_revoke(l.f.keyring);
        ck_assert(is_wiped(l.run));
        ck_assert_int_eq(envol_keyring_restore(l.f.keyring, again.keyring), ENVOL_OK);
        usleep(200);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_int_eq(worst, ENVOL_OK);
    for (uint32_t i = 0; i < INDICES; i++)
        ck_ok(envol_log_record_unseal(l.reader, i, by_threads[i], 304, plain, NULL));
    page_fixture_close(&again);
}
END_TEST

/* --- Forked children --- */

/* What a child is told; ENVOL_OK: it has inherited the keys. */
static int in_a_child(void *argument)
{
    enum envol_status expected = *(const enum envol_status *)argument;
    struct envol_log_record records[2] = {log_record(1, data, 100), log_record(2, data, 100)};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;

    child_expects(try_unseal(l.reader, 0) == expected);
    child_expects(try_unseal(l.run, 0) == expected);
    child_expects(expected == ENVOL_OK || envol_is_zero(plain, sizeof(plain)));
    child_expects(ck_note(envol_log_run_begin(l.f.keyring, &l.params, header, &run)) == expected);
    envol_log_run_close(run);
    child_expects(ck_note(envol_log_run_open(l.f.keyring, l.header, NULL, &run)) == expected);
    envol_log_run_close(run);
    /* Its parent seals other data under this index. */
    child_expects(ck_note(envol_log_record_seal(l.run, records, sealed)) == ENVOL_E_FORKED);
    child_expects(envol_is_zero(sealed, 144));
    child_expects(ck_note(envol_log_record_seal_batch(l.run, records, 2, sealed)) ==
                  ENVOL_E_FORKED);
    child_expects(envol_is_zero(sealed, 288));
    child_expects(expected != ENVOL_E_FORKED || is_wiped(l.run));
    log_run_fixture_close(&l);
    return 0;
}

START_TEST(forked)
{
    static const enum envol_status answers[] = {ENVOL_E_FORKED, ENVOL_OK, ENVOL_E_LOCKED_MEMORY};
    enum envol_status expected = answers[_i / 2];
    const struct page_wish wish = {.flags = expected == ENVOL_E_FORKED ? 0 : ENVOL_OPEN_INHERIT};

    log_run_fixture_open(&l, &wish);
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    mlock_fails = expected == ENVOL_E_LOCKED_MEMORY;
    if (_i % 2 == 0)
        ck_assert_int_eq(test_in_child(in_a_child, &expected), 0);
    else
        ck_assert_int_eq(test_in_raw_child(in_a_child, &expected), 0);
    mlock_fails = false;
    ck_assert_int_eq(try_seal(l.run, 1), ENVOL_OK);
    log_run_fixture_close(&l);
}
END_TEST

/* --- What fails --- */

START_TEST(locked_memory_is_short)
{
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *runs[200], *run;
    enum envol_status status = ENVOL_OK;
    size_t n = 0;

    mlock_fails = true;
    while (status == ENVOL_OK && n < 200)
        status = ck_note(envol_log_run_begin(l.f.keyring, &l.params, header, &runs[n++]));
    ck_assert_int_eq(status, ENVOL_E_LOCKED_MEMORY);
    ck_assert(envol_is_zero(header, sizeof(header)));
    ck_status(envol_log_run_open(l.f.keyring, l.header, NULL, &run), ENVOL_E_LOCKED_MEMORY);
    mlock_fails = false;
    for (size_t i = 0; i < n; i++)
        envol_log_run_close(runs[i]);
}
END_TEST

static enum envol_status no_init(void *key, const uint8_t *raw)
{
    (void)key;
    (void)raw;
    return ENVOL_E_NO_MEMORY;
}

/* Leaves the outputs as a library might that gave up in the middle. */
static enum envol_status no_gcm(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    (void)key;
    for (size_t i = 0; i < count; i++)
        jobs[i].failed = false;
    return ENVOL_E_NO_MEMORY;
}

START_TEST(a_kernel_that_fails)
{
    const struct envol_log_record records[2] = {log_record(1, data, 100), log_record(2, data, 100)};
    const struct envol_aes_kernel *whole = l.f.keyring->kernel;
    struct envol_aes_kernel broken = *whole;
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct page_fixture again;
    struct envol_log_run *run;

    page_fixture_again(&again, &l.f, NULL);
    broken.gcm_init = no_init;
    broken.gcm_seal = broken.gcm_open = no_gcm;
    l.f.keyring->kernel = &broken;
    ck_status(envol_log_run_begin(l.f.keyring, &l.params, header, &run), ENVOL_E_NO_MEMORY);
    ck_assert(envol_is_zero(header, sizeof(header)));
    ck_status(envol_log_run_open(l.f.keyring, l.header, NULL, &run), ENVOL_E_NO_MEMORY);
    memset(sealed, 0xee, sizeof(sealed));
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_E_NO_MEMORY);
    ck_assert(envol_is_zero(sealed, 304));
    memset(sealed, 0xee, sizeof(sealed));
    ck_status(envol_log_record_seal_batch(l.run, records, 2, sealed), ENVOL_E_NO_MEMORY);
    ck_assert(envol_is_zero(sealed, 288));
    l.f.keyring->kernel = whole;
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_E_STATE);
    ck_assert_int_eq(try_seal(l.run, 3), ENVOL_OK);
    l.f.keyring->kernel = &broken;
    ck_assert_int_eq(try_unseal(l.reader, 3), ENVOL_E_NO_MEMORY);
    ck_assert(envol_is_zero(plain, sizeof(plain)));
    l.f.keyring->kernel = whole;
    ck_assert_int_eq(try_unseal(l.reader, 3), ENVOL_OK);
    page_fixture_close(&again);
}
END_TEST

static TCase *with_fixture(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("log_keys");
    TCase *tcase = with_fixture(suite, "keys");

    tcase_add_test(tcase, revoked_and_restored);
    tcase_add_test(tcase, restored_with_another_key);
    tcase_add_test(tcase, a_run_stays_at_its_epoch);
    tcase_add_test(tcase, an_epoch_that_is_gone);
    tcase_add_test(tcase, revoked_while_threads_seal);
    tcase_add_test(tcase, locked_memory_is_short);
    tcase_add_test(tcase, a_kernel_that_fails);
    tcase = tcase_create("children");
    tcase_add_loop_test(tcase, forked, 0, 6);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
