/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a log: appends, batches, LSNs, segments, truncation. */
#include "log_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 64 << 10 };

static struct log_fixture f;

START_TEST(what_is_appended_is_read)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 15, 16, 17, 255, 4096, 10000, 100000};
    uint64_t last = 0;

    log_fixture_create(&f, 0);
    log_expect(&f, 0, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        last = log_put(&f, sizes[i]);
    log_expect(&f, 0, last);
    log_sync(&f);
    ck_assert_uint_eq(log_info(&f).durable_lsn, last);
    log_fixture_reopen(&f);
    ck_assert_uint_eq(log_info(&f).next_lsn, last + 1);
    ck_assert_uint_eq(log_info(&f).run, 2);
    log_expect(&f, 0, last);
    last = log_put(&f, 33);
    log_expect(&f, 0, last);
    log_expect(&f, 5, last);
    log_expect(&f, last, last);
    log_fixture_free(&f);
}
END_TEST

START_TEST(it_goes_on_after_every_open)
{
    uint64_t last = 0;

    log_fixture_create(&f, SMALL);
    for (unsigned i = 0; i < 40; i++) {
        if (i % 3 != 0)
            last = log_put(&f, 100 * i);
        if (i % 4 == 1)
            log_sync(&f);
        if (i % 2)
            log_fixture_kill(&f);
        else
            log_fixture_close(&f);
        volume_fixture_reopen(&f.v);
        log_fixture_open(&f, ENVOL_OK);
        ck_assert_uint_eq(log_info(&f).next_lsn, last + 1);
        ck_assert_uint_eq(log_info(&f).run, i + 2);
        log_expect(&f, 0, last);
    }
    log_fixture_free(&f);
}
END_TEST

START_TEST(batches_are_whole)
{
    log_fixture_create(&f, SMALL);
    log_put_batch(&f, 1, 10);
    log_put_batch(&f, 8, 0);
    log_put_batch(&f, 9, 100);
    log_put_batch(&f, 300, 150);
    (void)log_put(&f, 1);
    log_put_batch(&f, 100, 2000);
    log_expect(&f, 0, 419);
    log_fixture_kill(&f);
    log_fixture_open(&f, ENVOL_OK);
    log_expect(&f, 0, 419);
    log_expect(&f, 400, 419);
    log_fixture_free(&f);
}
END_TEST

/* The last record of a batch says so, and readers see nothing before it is there. */
START_TEST(batches_have_a_last_record)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;

    log_fixture_create(&f, 0);
    log_put_batch(&f, 3, 10);
    (void)log_put(&f, 10);
    ck_ok(envol_log_reader_open(f.v.volume, f.space, 0, &reader, NULL));
    for (unsigned i = 0; i < 4; i++) {
        ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
        ck_assert_uint_eq(record.flags, i >= 2 ? ENVOL_LOG_LAST : 0);
        ck_assert_uint_eq(record.index, i);
    }
    envol_log_reader_close(reader);
    log_fixture_free(&f);
}
END_TEST

START_TEST(lsns_are_the_callers)
{
    struct envol_log_entry entries[2] = {{.lsn = 2000, .data = "a", .bytes = 1},
                                         {.lsn = 1999, .data = "b", .bytes = 1}};
    struct envol_log_reader *reader;
    struct envol_log_record record;
    uint64_t lsn = 1000;

    log_fixture_create(&f, 0);
    ck_ok(envol_log_append(f.log, "x", 1, &lsn, NULL));
    ck_assert_uint_eq(lsn, 1000);
    ck_status(envol_log_append(f.log, "x", 1, &lsn, &f.error), ENVOL_E_RANGE);
    ck_assert_uint_eq(lsn, 1000);
    lsn = 0;
    ck_ok(envol_log_append(f.log, "x", 1, &lsn, NULL));
    ck_assert_uint_eq(lsn, 1001);
    ck_status(envol_log_append_batch(f.log, entries, 2, &f.error), ENVOL_E_RANGE);
    ck_assert_uint_eq(entries[1].lsn, 1999);
    entries[1].lsn = 0;
    ck_ok(envol_log_append_batch(f.log, entries, 2, &f.error));
    ck_assert_uint_eq(entries[1].lsn, 2001);
    ck_status(envol_log_sync(f.log, 2002, NULL), ENVOL_E_RANGE);
    ck_ok(envol_log_sync(f.log, 1500, NULL));
    lsn = UINT64_MAX;
    ck_status(envol_log_append(f.log, "x", 1, &lsn, NULL), ENVOL_E_RANGE);
    lsn = UINT64_MAX - 1;
    ck_ok(envol_log_append(f.log, "x", 1, &lsn, NULL));
    ck_status(envol_log_append(f.log, "x", 1, NULL, NULL), ENVOL_E_RANGE);
    ck_ok(envol_log_sync(f.log, 0, NULL));
    log_fixture_reopen(&f);
    ck_assert_uint_eq(log_info(&f).next_lsn, UINT64_MAX);
    ck_ok(envol_log_next_segment(f.log, NULL)); /* beyond the last LSN there is */
    for (unsigned i = 0; i < 2; i++) {
        ck_ok(envol_log_reader_open(f.v.volume, f.space, 2001, &reader, NULL));
        ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
        ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
        ck_assert_uint_eq(record.lsn, UINT64_MAX - 1);
        ck_status(envol_log_reader_next(reader, 0, &record, NULL), ENVOL_E_TIMEOUT);
        envol_log_reader_close(reader);
        log_fixture_reopen(&f);
    }
    log_fixture_free(&f);
}
END_TEST

START_TEST(segments_follow_each_other)
{
    struct envol_log_info info;

    log_fixture_create(&f, SMALL);
    log_put_many(&f, 200, 2000);
    info = log_info(&f);
    ck_assert_uint_eq(info.oldest_segment, 1);
    ck_assert_uint_ge(info.newest_segment, 6);
    ck_assert_uint_le(info.segment_bytes, SMALL);
    log_expect(&f, 0, 200);
    for (uint64_t from = 1; from <= 200; from += 7)
        log_expect(&f, from, 200);
    ck_ok(envol_log_next_segment(f.log, NULL));
    ck_assert_uint_eq(log_info(&f).newest_segment, info.newest_segment + 1);
    ck_ok(envol_log_next_segment(f.log, NULL));
    ck_assert_uint_eq(log_info(&f).newest_segment, info.newest_segment + 1);
    log_fixture_reopen(&f);
    log_put_many(&f, 3, 70000);
    log_expect(&f, 0, 203);
    log_fixture_kill(&f);
    log_fixture_open(&f, ENVOL_OK);
    log_expect(&f, 0, 203);
    log_fixture_free(&f);
}
END_TEST

static unsigned count_segments(void)
{
    struct envol_log_segments segments;
    unsigned count;

    ck_assert_int_eq(envol_log_list(f.space, &segments, NULL), ENVOL_OK);
    count = (unsigned)segments.count;
    envol_log_segments_free(&segments);
    return count;
}

/* Recycled or removed: what is left reads the same, and old records never come back. */
START_TEST(truncation_gives_up_whole_segments)
{
    enum envol_status status;
    struct envol_log_info info;

    log_fixture_create(&f, SMALL);
    log_fixture_close(&f);
    f.options.recycle = (uint32_t)_i;
    log_fixture_open(&f, ENVOL_OK);
    for (unsigned round = 0; round < 4; round++) {
        uint64_t last;

        log_put_many(&f, 200, 2000);
        info = log_info(&f);
        last = info.next_lsn - 1;
        ck_ok(envol_log_truncate(f.log, last - 60, NULL));
        info = log_info(&f);
        ck_assert_uint_gt(info.first_lsn, last - 100);
        ck_assert_uint_le(info.first_lsn, last - 60);
        log_expect(&f, 0, last);
        log_expect(&f, info.first_lsn, last);
        ck_assert_uint_eq(log_read(&f, info.first_lsn - 1, &status), 0);
        ck_assert_int_eq(status, ENVOL_E_RANGE);
        ck_assert_uint_eq(count_segments(),
                          info.newest_segment - info.oldest_segment + 1 + (unsigned)_i);
        if (round % 2)
            log_fixture_close(&f);
        else
            log_fixture_kill(&f);
        log_fixture_open(&f, ENVOL_OK);
        ck_assert_uint_eq(log_info(&f).next_lsn, last + 1);
        log_expect(&f, 0, last);
    }
    ck_ok(envol_log_truncate(f.log, UINT64_MAX, NULL));
    info = log_info(&f);
    ck_assert_uint_eq(info.oldest_segment, info.newest_segment);
    log_fixture_free(&f);
}
END_TEST

START_TEST(the_largest_record)
{
    size_t bytes = ENVOL_LOG_DATA_MAX;
    uint64_t lsn = 7;

    log_fixture_create(&f, 0);
    (void)log_put(&f, bytes);
    (void)log_put(&f, 1);
    ck_status(envol_log_append(f.log, &lsn, bytes + 1, &lsn, &f.error), ENVOL_E_RANGE);
    ck_assert_uint_eq(lsn, 7);
    (void)log_put(&f, bytes);
    log_expect(&f, 0, 3);
    log_fixture_kill(&f);
    log_fixture_open(&f, ENVOL_OK);
    log_expect(&f, 0, 3);
    log_fixture_free(&f);
}
END_TEST

/* A run ends before it has as many records as its index can count. */
START_TEST(runs_end_in_time)
{
    log_fixture_create(&f, 0);
    f.log->run_records = 5;
    log_put_many(&f, 23, 10);
    ck_assert_uint_eq(log_info(&f).run, 6);
    log_put_batch(&f, 4, 10);
    ck_status(envol_log_append_batch(f.log, (struct envol_log_entry[5]){{0}}, 5, NULL),
              ENVOL_E_RANGE);
    log_put_many(&f, 2, 10);
    ck_ok(envol_log_next_segment(f.log, NULL));
    log_put_many(&f, 1, 10);
    log_expect(&f, 0, 30);
    log_fixture_kill(&f);
    log_fixture_open(&f, ENVOL_OK);
    log_expect(&f, 0, 30);
    log_fixture_free(&f);
}
END_TEST

/* No more than that waits for a sync. */
START_TEST(appends_sync_by_themselves)
{
    log_fixture_create(&f, 0);
    log_fixture_close(&f);
    f.options.unsynced_bytes = 10000;
    log_fixture_open(&f, ENVOL_OK);
    for (unsigned i = 0; i < 50; i++) {
        (void)log_put(&f, 1000);
        ck_assert_uint_le(f.log->offset - f.log->durable_offset, 10000);
    }
    (void)log_put(&f, 50000);
    (void)log_put(&f, 50000);
    ck_assert_uint_eq(log_info(&f).durable_lsn, 51);
    log_expect(&f, 0, 52);
    log_fixture_free(&f);
}
END_TEST

START_TEST(one_log_a_volume)
{
    struct envol_log *other = f.log;

    log_fixture_create(&f, 0);
    ck_status(envol_log_create(f.v.volume, f.space, NULL, &other, NULL), ENVOL_E_BUSY);
    ck_assert_ptr_null(other);
    ck_status(envol_log_open(f.v.volume, f.space, NULL, &other, NULL), ENVOL_E_BUSY);
    ck_status(envol_log_delete(f.v.volume, f.space, NULL), ENVOL_E_BUSY);
    log_put_many(&f, 3, 3);
    log_fixture_close(&f);
    ck_status(envol_log_create(f.v.volume, f.space, NULL, &other, &f.error), ENVOL_E_STATE);
    ck_ok(envol_log_delete(f.v.volume, f.space, NULL));
    ck_assert_uint_eq(count_segments(), 0);
    ck_status(envol_log_delete(f.v.volume, f.space, NULL), ENVOL_E_STATE);
    log_fixture_open(&f, ENVOL_E_STATE);
    ck_ok(envol_log_create(f.v.volume, f.space, NULL, &f.log, NULL));
    ck_assert_uint_eq(log_info(&f).next_lsn, 1);
    log_expect(&f, 0, 0);
    log_fixture_free(&f);
}
END_TEST

/* As if all before had been truncated. */
START_TEST(a_first_lsn_of_choice)
{
    const struct envol_log_options options = {.struct_size = sizeof(options), .first_lsn = 1000};
    const struct envol_log_options last = {.struct_size = sizeof(last),
                                           .first_lsn = UINT64_MAX - 1};
    const struct envol_log_options beyond = {.struct_size = sizeof(beyond),
                                             .first_lsn = UINT64_MAX};
    struct envol_log_reader *reader;
    uint64_t lsn = 0;

    log_fixture_create(&f, 0);
    log_fixture_close(&f);
    ck_ok(envol_log_delete(f.v.volume, f.space, NULL));
    ck_status(envol_log_create(f.v.volume, f.space, &beyond, &f.log, NULL), ENVOL_E_RANGE);
    ck_ok(envol_log_create(f.v.volume, f.space, &options, &f.log, NULL));
    ck_assert_uint_eq(log_info(&f).first_lsn, 1000);
    ck_assert_uint_eq(log_info(&f).next_lsn, 1000);
    ck_assert_uint_eq(log_info(&f).durable_lsn, 999);
    log_fixture_reopen(&f);
    ck_assert_uint_eq(log_info(&f).next_lsn, 1000);
    ck_assert_uint_eq(log_put(&f, 100), 1000);
    log_fixture_kill(&f);
    log_fixture_open(&f, ENVOL_OK);
    lsn = 999;
    ck_status(envol_log_append(f.log, "x", 1, &lsn, NULL), ENVOL_E_RANGE);
    ck_assert_uint_eq(log_put(&f, 100), 1001);
    log_expect(&f, 0, 1001);
    log_expect(&f, 1000, 1001);
    ck_status(envol_log_reader_open(f.v.volume, f.space, 999, &reader, NULL), ENVOL_E_RANGE);
    log_fixture_close(&f);
    ck_ok(envol_log_delete(f.v.volume, f.space, NULL));
    ck_ok(envol_log_create(f.v.volume, f.space, &last, &f.log, NULL));
    ck_assert_uint_eq(log_put(&f, 1), UINT64_MAX - 1);
    ck_status(envol_log_append(f.log, "x", 1, NULL, NULL), ENVOL_E_RANGE);
    log_fixture_reopen(&f);
    log_fixture_free(&f);
}
END_TEST

/* Somebody else's files are not removed. */
START_TEST(the_space_of_another_volume)
{
    struct log_fixture g;
    struct envol_log *log;

    log_fixture_create(&f, 0);
    log_fixture_create(&g, 0);
    log_fixture_close(&g);
    ck_ok(envol_log_delete(g.v.volume, g.space, NULL));
    ck_status(envol_log_create(g.v.volume, f.space, NULL, &log, &g.error), ENVOL_E_STATE);
    log_put_many(&f, 3, 3);
    log_expect(&f, 0, 3);
    log_fixture_free(&g);
    log_fixture_free(&f);
}
END_TEST

/* Nor with a log that is deleted, which stays as it is; what is damaged is nobody's. */
START_TEST(deleted_in_the_space_of_another_volume)
{
    struct envol_log_segments segments;
    struct log_fixture g;

    log_fixture_create(&f, 0);
    log_fixture_create(&g, 0);
    log_put_many(&g, 3, 3);
    log_fixture_close(&g);
    ck_status(envol_log_delete(g.v.volume, f.space, &g.error), ENVOL_E_STATE);
    log_put_many(&f, 3, 3);
    log_expect(&f, 0, 3);
    log_expect(&g, 0, 3);
    log_segment_flip(g.space, 1, 0, 1);
    ck_ok(envol_log_delete(g.v.volume, g.space, NULL));
    ck_assert_int_eq(envol_log_list(g.space, &segments, NULL), ENVOL_OK);
    ck_assert_uint_eq(segments.count, 0);
    envol_log_segments_free(&segments);
    log_fixture_free(&g);
    log_fixture_free(&f);
}
END_TEST

START_TEST(arguments_are_checked)
{
    struct envol_log_options bad = {.struct_size = 8};
    struct envol_log_info info = {.struct_size = 8};
    struct envol_log_reader *reader;
    struct envol_log_record record;
    struct envol_log *log;

    log_fixture_create(&f, 0);
    ck_status(envol_log_create(NULL, f.space, NULL, &log, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_create(f.v.volume, f.space, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_open(f.v.volume, NULL, NULL, &log, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_open(f.v.volume, f.space, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_open(f.v.volume, f.space, &bad, &log, NULL), ENVOL_E_ARGUMENT);
    bad = (struct envol_log_options){.struct_size = sizeof(bad), .segment_bytes = 1};
    ck_status(envol_log_open(f.v.volume, f.space, &bad, &log, NULL), ENVOL_E_RANGE);
    bad = (struct envol_log_options){.struct_size = sizeof(bad), .first_lsn = UINT64_MAX};
    ck_status(envol_log_open(f.v.volume, f.space, &bad, &log, NULL), ENVOL_E_RANGE);
    bad = (struct envol_log_options){.struct_size = sizeof(bad), .unsynced_bytes = 1u << 31};
    ck_status(envol_log_open(f.v.volume, f.space, &bad, &log, NULL), ENVOL_E_RANGE);
    ck_status(envol_log_append(NULL, "x", 1, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_append(f.log, NULL, 1, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_ok(envol_log_append(f.log, NULL, 0, NULL, NULL));
    ck_status(envol_log_append_batch(f.log, NULL, 1, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_append_batch(f.log, (struct envol_log_entry[1]){{0}}, 0, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_log_sync(NULL, 0, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_status(f.log, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_status(f.log, &info), ENVOL_E_ARGUMENT);
    ck_status(envol_log_next_segment(NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_truncate(NULL, 0, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_delete(NULL, f.space, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_reader_open(NULL, f.space, 0, &reader, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_reader_open(f.v.volume, f.space, 0, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_reader_open_archive(NULL, f.space, 0, &reader, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_reader_next(NULL, 0, &record, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_replay(f.v.volume, f.space, 0, 0, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_ok(envol_log_close(NULL, NULL));
    envol_log_reader_close(NULL);
    log_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, what_is_appended_is_read);
    tcase_add_test(tcase, it_goes_on_after_every_open);
    tcase_add_test(tcase, batches_are_whole);
    tcase_add_test(tcase, batches_have_a_last_record);
    tcase_add_test(tcase, lsns_are_the_callers);
    tcase_add_test(tcase, segments_follow_each_other);
    tcase_add_loop_test(tcase, truncation_gives_up_whole_segments, 0, 3);
    tcase_add_test(tcase, the_largest_record);
    tcase_add_test(tcase, runs_end_in_time);
    tcase_add_test(tcase, appends_sync_by_themselves);
    tcase_add_test(tcase, one_log_a_volume);
    tcase_add_test(tcase, a_first_lsn_of_choice);
    tcase_add_test(tcase, the_space_of_another_volume);
    tcase_add_test(tcase, deleted_in_the_space_of_another_volume);
    tcase_add_test(tcase, arguments_are_checked);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
