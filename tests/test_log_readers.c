/* SPDX-License-Identifier: BSD-2-Clause */
/* Readers of a log that follow, in threads and processes; keys that go, come back and change. */
#include "log_fixture.h"
#include "page/revoke.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL = 64 << 10 };

static struct log_fixture f;

/* --- Readers --- */

static int count_to(void *ctx, const struct envol_log_record *record)
{
    uint64_t *last = ctx;

    ck_assert(log_data_is(record));
    *last = record->lsn;
    return record->lsn == 77;
}

START_TEST(replay_hands_out_a_range)
{
    uint64_t last = 0;

    log_fixture_create(&f, SMALL);
    log_put_many(&f, 100, 2000);
    ck_ok(envol_log_replay(f.v.volume, f.space, 10, 50, count_to, &last, NULL));
    ck_assert_uint_eq(last, 50);
    ck_ok(envol_log_replay(f.v.volume, f.space, 90, 0, count_to, &last, NULL));
    ck_assert_uint_eq(last, 100);
    ck_status(envol_log_replay(f.v.volume, f.space, 0, 0, count_to, &last, NULL),
              ENVOL_E_CANCELLED);
    ck_assert_uint_eq(last, 77);
    log_fixture_free(&f);
}
END_TEST

/* Segments alone, and a keyring. */
START_TEST(an_archive_is_read)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;
    uint64_t lsn = 0;

    log_fixture_create(&f, SMALL);
    log_put_many(&f, 200, 2000);
    log_fixture_close(&f);
    log_segment_remove(f.space, 1);
    ck_ok(
        envol_log_reader_open_archive(envol_volume_keyring(f.v.volume), f.space, 0, &reader, NULL));
    while (ck_note(envol_log_reader_next(reader, 0, &record, &f.error)) == ENVOL_OK) {
        ck_assert(lsn == 0 ? record.lsn > 1 : record.lsn == lsn + 1);
        ck_assert(log_data_is(&record));
        lsn = record.lsn;
    }
    ck_assert_int_eq(f.error.status, ENVOL_E_TIMEOUT);
    ck_assert_uint_eq(lsn, 200);
    envol_log_reader_close(reader);
    log_segment_remove(f.space, 4);
    ck_ok(
        envol_log_reader_open_archive(envol_volume_keyring(f.v.volume), f.space, 0, &reader, NULL));
    do
        lsn = record.lsn;
    while (ck_note(envol_log_reader_next(reader, 0, &record, &f.error)) == ENVOL_OK);
    ck_assert_int_eq(f.error.status, ENVOL_E_TIMEOUT);
    envol_log_reader_close(reader);
    for (uint64_t i = 1; i < 20; i++)
        log_segment_remove(f.space, i);
    ck_status(
        envol_log_reader_open_archive(envol_volume_keyring(f.v.volume), f.space, 0, &reader, NULL),
        ENVOL_E_STATE);
    volume_fixture_free(&f.v);
    envol_space_close(f.space);
}
END_TEST

struct follower {
    struct envol_volume *volume;
    struct envol_space *space;
    uint64_t until;
    enum envol_status status;
    bool sound;
};

static void *follow_it(void *argument)
{
    struct follower *mine = argument;
    struct envol_log_reader *reader;
    struct envol_log_record record = {.lsn = 0};
    uint64_t expected = 1;

    mine->sound = true;
    mine->status = envol_log_reader_open(mine->volume, mine->space, 0, &reader, NULL);
    while (mine->status == ENVOL_OK && record.lsn < mine->until) {
        mine->status = envol_log_reader_next(reader, 20000, &record, NULL);
        mine->sound &= mine->status != ENVOL_OK || (record.lsn == expected && log_data_is(&record));
        expected++;
    }
    envol_log_reader_close(reader);
    return NULL;
}

START_TEST(a_thread_follows)
{
    struct follower follower = {.until = 600};
    pthread_t thread;

    log_fixture_create(&f, SMALL);
    follower.volume = f.v.volume;
    follower.space = f.space;
    ck_assert_int_eq(pthread_create(&thread, NULL, follow_it, &follower), 0);
    for (unsigned i = 0; i < 30; i++) {
        log_put_many(&f, 10, 1000);
        log_put_batch(&f, 10, 500);
        if (i % 10 == 3)
            log_fixture_reopen(&f);
        if (i % 5 == 3)
            usleep(2000);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(follower.status, ENVOL_OK);
    ck_assert(follower.sound);
    log_fixture_free(&f);
}
END_TEST

/* Another process, with a volume handle and a space of its own, of files. */
START_TEST(a_process_follows)
{
    struct envol_store *store;
    struct envol_space *space;
    const char *path = test_path("follow"), *directory = test_path("follow.d");
    int result;
    pid_t child;

    ck_ok(envol_file_store_open(path, ENVOL_FILE_CREATE, &store, NULL));
    ck_ok(envol_directory_space_open(directory, ENVOL_SPACE_CREATE_DIRECTORY, &space, NULL));
    log_fixture_create_on(&f, SMALL, store, space);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct follower follower = {.until = 500};
        struct volume_fixture v = f.v;

        if (envol_file_store_open(path, ENVOL_FILE_READ_ONLY, &v.store, NULL) != ENVOL_OK ||
            envol_directory_space_open(directory, 0, &follower.space, NULL) != ENVOL_OK)
            _exit(3);
        volume_fixture_open(&v, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
        follower.volume = v.volume;
        (void)follow_it(&follower);
        _exit(follower.status == ENVOL_OK && follower.sound ? 0 : 1);
    }
    for (unsigned i = 0; i < 50; i++) {
        log_put_many(&f, 10, 1000);
        usleep(1000);
    }
    ck_assert_int_eq(waitpid(child, &result, 0), child);
    ck_assert_int_eq(result, 0);
    log_fixture_free(&f);
}
END_TEST

START_TEST(a_reader_is_overtaken_by_truncation)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;
    enum envol_status status;

    log_fixture_create(&f, SMALL);
    log_fixture_close(&f);
    f.options.recycle = (uint32_t)(2 * _i);
    log_fixture_open(&f, ENVOL_OK);
    log_put_many(&f, 100, 2000);
    ck_ok(envol_log_reader_open(f.v.volume, f.space, 0, &reader, NULL));
    ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
    log_put_many(&f, 100, 2000);
    ck_ok(envol_log_truncate(f.log, 190, NULL));
    log_put_many(&f, 100, 2000);
    do
        status = ck_note(envol_log_reader_next(reader, 0, &record, &f.error));
    while (status == ENVOL_OK);
    ck_assert_msg(status == ENVOL_E_RANGE, "%s", f.error.message);
    envol_log_reader_close(reader);
    log_fixture_free(&f);
}
END_TEST

START_TEST(a_reader_waits)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;

    log_fixture_create(&f, 0);
    ck_ok(envol_log_reader_open(f.v.volume, f.space, 0, &reader, NULL));
    ck_status(envol_log_reader_next(reader, 30, &record, &f.error), ENVOL_E_TIMEOUT);
    ck_assert_uint_eq(record.lsn, 0);
    (void)log_put(&f, 100);
    ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
    ck_assert(log_data_is(&record));
    ck_status(envol_log_reader_next(reader, 0, &record, &f.error), ENVOL_E_TIMEOUT);
    log_fixture_reopen(&f);
    (void)log_put(&f, 100);
    ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
    ck_assert_uint_eq(record.lsn, 2);
    envol_log_reader_close(reader);
    log_fixture_free(&f);
}
END_TEST

/* --- Keys and processes --- */

START_TEST(a_lease_ends_and_comes_back)
{
    struct envol_keyring *keyring;
    struct envol_log_reader *reader;
    struct envol_log_record record;
    struct envol_volume *other;

    log_fixture_create(&f, SMALL);
    (void)log_put(&f, 100);
    ck_ok(envol_log_reader_open(f.v.volume, f.space, 0, &reader, NULL));
    keyring = f.v.volume->keyring;
    envol_keyring_revoke(keyring);
    ck_status(envol_log_append(f.log, "x", 1, NULL, &f.error), ENVOL_E_KEY_REVOKED);
    ck_status(envol_log_next_segment(f.log, &f.error), ENVOL_E_KEY_REVOKED);
    ck_status(envol_log_reader_next(reader, 0, &record, NULL), ENVOL_E_KEY_REVOKED);
    ck_ok(envol_log_sync(f.log, 0, NULL));
    ck_assert_int_eq(log_info(&f).failed, ENVOL_OK);
    {
        const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                     .flags = ENVOL_OPEN_READ_ONLY};
        struct envol_store *again;

        ck_ok(envol_memory_store_share(f.v.store, &again));
        ck_ok(envol_volume_open(again, &f.v.cmk, 1, &options, &other, NULL));
        ck_assert_int_eq(envol_keyring_restore(keyring, other->keyring), ENVOL_OK);
        ck_ok(envol_volume_close(other));
        envol_store_close(again);
    }
    (void)log_put(&f, 100);
    ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
    ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
    ck_assert(log_data_is(&record));
    envol_log_reader_close(reader);
    log_put_many(&f, 100, 2000);
    log_expect(&f, 0, 102);
    envol_keyring_revoke(keyring);
    ck_status(envol_log_close(f.log, &f.error), ENVOL_E_KEY_REVOKED);
    f.log = NULL;
    volume_fixture_kill(&f.v);
    volume_fixture_open(&f.v, 0, ENVOL_OK);
    log_fixture_open(&f, ENVOL_OK);
    log_expect(&f, 0, 102);
    log_fixture_free(&f);
}
END_TEST

START_TEST(a_forked_child_has_no_log)
{
    int result;
    pid_t child;

    log_fixture_create(&f, 0);
    (void)log_put(&f, 100);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct envol_log_info info = {.struct_size = sizeof(info)};
        bool good = envol_log_append(f.log, "x", 1, NULL, NULL) == ENVOL_E_FORKED;

        good &= envol_log_sync(f.log, 0, NULL) == ENVOL_E_FORKED;
        good &= envol_log_status(f.log, &info) == ENVOL_E_FORKED;
        good &= envol_log_next_segment(f.log, NULL) == ENVOL_E_FORKED;
        good &= envol_log_truncate(f.log, 1, NULL) == ENVOL_E_FORKED;
        good &= envol_log_close(f.log, NULL) == ENVOL_OK;
        good &= envol_log_open(f.v.volume, f.space, NULL, &f.log, NULL) == ENVOL_E_FORKED;
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &result, 0), child);
    ck_assert_int_eq(result, 0);
    (void)log_put(&f, 100);
    log_expect(&f, 0, 2);
    log_fixture_free(&f);
}
END_TEST

/* A new DEK: a new run under it, and the old one is kept for as long as a segment needs it. */
START_TEST(the_dek_is_rotated)
{
    log_fixture_create(&f, SMALL);
    log_put_many(&f, 10, 2000);
    ck_assert_uint_eq(log_info(&f).epoch, 1);
    ck_ok(envol_volume_rotate_begin(f.v.volume, &f.v.cmk, 1, 0, NULL, NULL));
    log_put_many(&f, 10, 2000);
    ck_assert_uint_eq(log_info(&f).epoch, 2);
    ck_ok(envol_volume_rotate_run(f.v.volume, 0, NULL, NULL, NULL, NULL));
    ck_ok(envol_volume_rotate_finish(f.v.volume, 0, NULL));
    log_expect(&f, 0, 20);
    log_fixture_kill(&f);
    volume_fixture_reopen(&f.v);
    log_fixture_open(&f, ENVOL_OK);
    log_put_many(&f, 40, 2000);
    log_expect(&f, 0, 60);
    ck_status(envol_volume_rotate_finish(f.v.volume, ENVOL_ROTATE_ABANDON_BAD, NULL),
              ENVOL_E_STATE);
    ck_ok(envol_log_truncate(f.log, 60, NULL));
    ck_ok(envol_volume_rotate_finish(f.v.volume, ENVOL_ROTATE_ABANDON_BAD, NULL));
    log_expect(&f, 0, 60);
    log_fixture_free(&f);
}
END_TEST

/* An empty log needs the old DEK for its run's header only, until it goes over to a new segment. */
START_TEST(the_dek_of_an_empty_log_is_rotated)
{
    log_fixture_create(&f, SMALL);
    ck_ok(envol_log_next_segment(f.log, NULL));
    ck_assert_uint_eq(log_info(&f).newest_segment, 1);
    ck_ok(envol_volume_rotate_begin(f.v.volume, &f.v.cmk, 1, 0, NULL, NULL));
    for (unsigned i = 0; i < 2; i++) {
        ck_ok(envol_log_next_segment(f.log, NULL));
        ck_assert_uint_eq(log_info(&f).newest_segment, 2);
        ck_assert_uint_eq(log_info(&f).epoch, 2);
    }
    ck_ok(envol_log_truncate(f.log, 1, NULL));
    ck_ok(envol_volume_rotate_run(f.v.volume, 0, NULL, NULL, NULL, NULL));
    ck_ok(envol_volume_rotate_finish(f.v.volume, 0, NULL));
    ck_assert_ptr_null(envol_keyring_find(envol_volume_keyring(f.v.volume), 1));
    log_fixture_reopen(&f);
    log_put_many(&f, 3, 100);
    log_expect(&f, 0, 3);
    log_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_readers");
    TCase *tcase = tcase_create("log_readers");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, replay_hands_out_a_range);
    tcase_add_test(tcase, an_archive_is_read);
    tcase_add_test(tcase, a_thread_follows);
    tcase_add_test(tcase, a_process_follows);
    tcase_add_loop_test(tcase, a_reader_is_overtaken_by_truncation, 0, 2);
    tcase_add_test(tcase, a_reader_waits);
    tcase_add_test(tcase, a_lease_ends_and_comes_back);
    tcase_add_test(tcase, a_forked_child_has_no_log);
    tcase_add_test(tcase, the_dek_is_rotated);
    tcase_add_test(tcase, the_dek_of_an_empty_log_is_rotated);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
