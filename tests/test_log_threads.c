/* SPDX-License-Identifier: BSD-2-Clause */
/* Many threads append, sync, truncate and read one log. */
#include "log_fixture.h"
#include "page/revoke.h"
#include "support.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 6, EACH = 150, SMALL = 64 << 10 };

static struct log_fixture f;
static _Atomic bool stop;

/* First the thread, then the count of its records: a record says who wrote it, and when. */
struct body {
    uint32_t thread, number;
    uint8_t rest[200];
};

struct writer {
    uint32_t thread;
    enum envol_status status;
    uint64_t last;
};

static void *write_records(void *argument)
{
    struct writer *mine = argument;
    struct body bodies[3];

    memset(bodies, (int)mine->thread, sizeof(bodies));
    for (uint32_t i = 0; i < EACH && mine->status == ENVOL_OK; i++) {
        struct envol_log_entry entries[3];
        uint64_t lsn = 0;

        for (uint32_t j = 0; j < 3; j++) {
            bodies[j].thread = mine->thread;
            bodies[j].number = 3 * i + j;
            entries[j] = (struct envol_log_entry){0, &bodies[j], sizeof(bodies[j])};
        }
        if (i % 2) {
            mine->status = envol_log_append_batch(f.log, entries, 3, NULL);
            lsn = entries[2].lsn;
        }
        for (uint32_t j = 0; i % 2 == 0 && j < 3 && mine->status == ENVOL_OK; j++) {
            lsn = 0;
            mine->status = envol_log_append(f.log, &bodies[j], sizeof(bodies[j]), &lsn, NULL);
        }
        if (mine->status == ENVOL_OK && i % 3 == 0)
            mine->status = envol_log_sync(f.log, lsn, NULL);
        mine->last = lsn;
    }
    return NULL;
}

static void *read_along(void *argument)
{
    enum envol_status *status = argument;
    struct envol_log_reader *reader;
    struct envol_log_record record;
    uint64_t count = 0;

    *status = envol_log_reader_open(f.v.volume, f.space, 0, &reader, NULL);
    while (*status == ENVOL_OK && count < WRITERS * EACH * 3) {
        *status = envol_log_reader_next(reader, 30000, &record, NULL);
        count++;
        if (*status == ENVOL_OK && record.lsn != count)
            *status = ENVOL_E_STATE;
    }
    envol_log_reader_close(reader);
    return NULL;
}

static void *look_on(void *argument)
{
    (void)argument;
    while (!stop) {
        (void)log_info(&f);
        (void)ck_note(envol_log_next_segment(f.log, NULL));
        usleep(3000);
    }
    return NULL;
}

/* Everyone's records are there, each in its order. */
static void check_all(void)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;
    uint32_t numbers[WRITERS] = {0};

    ck_ok(envol_log_reader_open(f.v.volume, f.space, 0, &reader, NULL));
    for (unsigned i = 0; i < WRITERS * EACH * 3; i++) {
        struct body body;

        ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
        ck_assert_uint_eq(record.lsn, i + 1);
        ck_assert_uint_eq(record.bytes, sizeof(body));
        memcpy(&body, record.data, sizeof(body));
        ck_assert_uint_lt(body.thread, WRITERS);
        ck_assert_uint_eq(body.number, numbers[body.thread]++);
    }
    ck_status(envol_log_reader_next(reader, 0, &record, NULL), ENVOL_E_TIMEOUT);
    envol_log_reader_close(reader);
}

START_TEST(all_at_once)
{
    struct writer writers[WRITERS];
    enum envol_status read = ENVOL_OK;
    pthread_t threads[WRITERS + 2];

    log_fixture_create(&f, SMALL);
    f.log->run_records = 97;
    stop = false;
    ck_assert_int_eq(pthread_create(&threads[WRITERS], NULL, read_along, &read), 0);
    ck_assert_int_eq(pthread_create(&threads[WRITERS + 1], NULL, look_on, NULL), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.thread = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_records, &writers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(writers[i].status, ENVOL_OK);
    }
    stop = true;
    ck_assert_int_eq(pthread_join(threads[WRITERS], NULL), 0);
    ck_assert_int_eq(pthread_join(threads[WRITERS + 1], NULL), 0);
    ck_assert_int_eq(read, ENVOL_OK);
    check_all();
    log_fixture_reopen(&f);
    check_all();
    log_fixture_free(&f);
}
END_TEST

/* The keys go while threads append: each call ends well or says so, and what ended well is there.
 */
static void *append_until_dark(void *argument)
{
    uint64_t *last = argument;
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK) {
        uint64_t lsn = 0;

        status = envol_log_append(f.log, "0123456789", 10, &lsn, NULL);
        if (status == ENVOL_OK)
            *last = lsn;
    }
    return status == ENVOL_E_KEY_REVOKED ? NULL : last;
}

START_TEST(keys_are_taken_meanwhile)
{
    uint64_t last[WRITERS] = {0}, most = 0;
    pthread_t threads[WRITERS];

    log_fixture_create(&f, 0);
    for (unsigned i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_until_dark, &last[i]), 0);
    usleep(20000);
    envol_keyring_revoke(f.v.volume->keyring);
    for (unsigned i = 0; i < WRITERS; i++) {
        void *result;

        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_null(result);
        most = last[i] > most ? last[i] : most;
    }
    ck_ok(envol_log_sync(f.log, 0, NULL));
    ck_assert_uint_eq(log_info(&f).next_lsn, most + 1);
    log_fixture_kill(&f);
    volume_fixture_kill(&f.v);
    volume_fixture_open(&f.v, 0, ENVOL_OK);
    log_fixture_open(&f, ENVOL_OK);
    ck_assert_uint_eq(log_info(&f).next_lsn, most + 1);
    log_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_threads");
    TCase *tcase = tcase_create("log_threads");

    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, all_at_once);
    tcase_add_test(tcase, keys_are_taken_meanwhile);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
