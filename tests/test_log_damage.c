/* SPDX-License-Identifier: BSD-2-Clause */
/* Logs that were cut, changed, and shuffled: what is a torn end, and what is not. */
#include "faults.h"
#include "log_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 64 << 10 };

static struct log_fixture f;

/* Two batches that are synced, two records that know of it, and one more. */
static void make_one(bool close_it)
{
    log_fixture_create(&f, SMALL);
    (void)log_put(&f, 40);
    log_put_batch(&f, 2, 20);
    log_sync(&f);
    (void)log_put(&f, 10);
    log_sync(&f);
    (void)log_put(&f, 30);
    if (close_it)
        log_fixture_close(&f);
    else
        log_fixture_kill(&f);
}

static enum envol_status try_open(void)
{
    enum envol_status status =
        ck_note(envol_log_open(f.v.volume, f.space, &f.options, &f.log, &f.error));

    if (status == ENVOL_OK)
        log_fixture_kill(&f);
    return status;
}

/* Where each record ends. */
static const uint64_t ends[] = {144 + 80, 144 + 80 + 64, 144 + 80 + 64 + 64,
                                144 + 80 + 64 + 64 + 64, 144 + 80 + 64 + 64 + 64 + 80};

static uint64_t whole_at(size_t bytes)
{
    uint64_t last = 0;

    for (uint64_t i = 0; i < 5; i++)
        if (ends[i] <= bytes && i != 1)
            last = i + 1;
    return last;
}

static struct envol_log_seal seal_of(void)
{
    struct envol_log_seal seal;

    ck_assert_int_eq(envol_volume_log_seal(f.v.volume, &seal), ENVOL_OK);
    return seal;
}

/* The volume's header as it was. */
static void put_seal(const struct envol_log_seal *seal)
{
    ck_assert_int_eq(envol_volume_set_log_seal(f.v.volume, seal, &f.error), ENVOL_OK);
}

/* A log that is not closed may be cut between two batches; anything else is its torn end. */
START_TEST(cut_at_every_byte)
{
    struct envol_log_seal seal;
    size_t bytes;
    uint8_t *image;

    make_one(_i != 0);
    seal = seal_of();
    image = log_segment_get(f.space, 1, &bytes);
    ck_assert_uint_eq(bytes, ends[4]);
    for (size_t cut = 0; cut < bytes; cut++) {
        enum envol_status status;
        uint64_t last;

        log_segment_put(f.space, 1, image, cut);
        last = log_read(&f, 0, &status);
        if (_i != 0 || cut < 144) {
            ck_assert_int_eq(status, ENVOL_E_CORRUPT);
            ck_assert_int_eq(try_open(), ENVOL_E_CORRUPT);
            continue;
        }
        ck_assert_msg(status == ENVOL_E_TIMEOUT, "%s", f.error.message);
        ck_assert_uint_eq(last, whole_at(cut));
        ck_assert_int_eq(try_open(), ENVOL_OK);
        log_expect(&f, 0, whole_at(cut));
        put_seal(&seal);
    }
    free(image);
    log_fixture_free(&f);
}
END_TEST

/* Of what is durable, and of which a later record knows so, every bit counts. */
START_TEST(every_bit_is_flipped)
{
    size_t bytes;
    uint8_t *image;

    make_one(_i != 0);
    image = log_segment_get(f.space, 1, &bytes);
    for (size_t at = 0; at < (_i != 0 ? ends[4] : ends[3]); at++) {
        uint8_t bits = (uint8_t)(1u << (at % 8));
        enum envol_status status;

        log_segment_flip(f.space, 1, at, bits);
        (void)log_read(&f, 0, &status);
        ck_assert_msg(status == ENVOL_E_CORRUPT || (at >= 56 && at < 60 && status == ENVOL_E_STALE),
                      "reading, byte %zu: %s", at, envol_status_name(status));
        status = try_open();
        ck_assert_msg(status == ENVOL_E_CORRUPT || (at >= 56 && at < 60 && status == ENVOL_E_STALE),
                      "opening, byte %zu: %s", at, envol_status_name(status));
        log_segment_flip(f.space, 1, at, bits);
    }
    log_segment_put(f.space, 1, image, bytes);
    ck_assert_int_eq(try_open(), ENVOL_OK);
    log_expect(&f, 0, 5);
    free(image);
    log_fixture_free(&f);
}
END_TEST

/* The header of a later run, likewise: without it all that follows would be gone. */
START_TEST(every_bit_of_a_later_run)
{
    make_one(false);
    log_fixture_open(&f, ENVOL_OK);
    (void)log_put(&f, 20);
    log_sync(&f);
    (void)log_put(&f, 20);
    log_fixture_kill(&f);
    for (size_t at = 0; at < 8 * 144; at++) {
        enum envol_status status;

        log_segment_flip(f.space, 1, 4096 + at / 8, (uint8_t)(1u << at % 8));
        (void)log_read(&f, 0, &status);
        ck_assert_msg(status == ENVOL_E_CORRUPT ||
                          (at / 8 >= 56 && at / 8 < 60 && status == ENVOL_E_STALE),
                      "bit %zu: %s", at, envol_status_name(status));
        status = try_open();
        ck_assert(status == ENVOL_E_CORRUPT || status == ENVOL_E_STALE);
        log_segment_flip(f.space, 1, 4096 + at / 8, (uint8_t)(1u << at % 8));
        if (at % 8 == 0)
            at += 4;
    }
    log_expect(&f, 0, 7);
    log_fixture_free(&f);
}
END_TEST

static void make_segments(bool close_it)
{
    log_fixture_create(&f, SMALL);
    log_put_many(&f, 150, 2000);
    if (close_it)
        log_fixture_close(&f);
    else
        log_fixture_kill(&f);
}

static void ck_corrupt(void)
{
    enum envol_status status;

    (void)log_read(&f, 0, &status);
    ck_assert_msg(status == ENVOL_E_CORRUPT, "%s", envol_status_name(status));
}

START_TEST(a_segment_is_missing)
{
    size_t bytes;
    uint8_t *image;

    make_segments(_i != 0);
    for (uint64_t number = 1; number <= 5; number++) {
        image = log_segment_get(f.space, number, &bytes);
        log_segment_remove(f.space, number);
        ck_assert_int_eq(try_open(), ENVOL_E_CORRUPT);
        if (number > 1)
            ck_corrupt();
        log_segment_put(f.space, number, image, bytes);
        free(image);
    }
    log_expect(&f, 0, 150);
    log_fixture_free(&f);
}
END_TEST

START_TEST(segments_are_doubled_and_swapped)
{
    size_t bytes[4];
    uint8_t *image[4];

    make_segments(_i != 0);
    for (unsigned i = 1; i < 4; i++)
        image[i] = log_segment_get(f.space, i, &bytes[i]);
    log_segment_put(f.space, 3, image[2], bytes[2]);
    ck_corrupt();
    log_segment_put(f.space, 2, image[3], bytes[3]);
    ck_corrupt();
    log_segment_put(f.space, 3, image[3], bytes[3]);
    log_segment_put(f.space, 2, image[1], bytes[1]);
    ck_corrupt();
    log_segment_put(f.space, 2, image[2], bytes[2]);
    /* Cut at the end of a record, in the middle of the log. */
    log_segment_put(f.space, 2, image[2], bytes[2] - 48);
    ck_corrupt();
    log_segment_put(f.space, 2, image[2], bytes[2]);
    log_expect(&f, 0, 150);
    for (unsigned i = 1; i < 4; i++)
        free(image[i]);
    log_fixture_free(&f);
}
END_TEST

START_TEST(the_log_of_another_volume)
{
    struct log_fixture other;
    size_t bytes;
    uint8_t *image;

    make_one(_i != 0);
    image = log_segment_get(f.space, 1, &bytes);
    other = f;
    make_one(_i != 0);
    log_segment_put(f.space, 1, image, bytes);
    ck_corrupt();
    ck_assert_int_eq(try_open(), ENVOL_E_CORRUPT);
    free(image);
    log_fixture_free(&f);
    f = other;
    log_expect(&f, 0, 5);
    log_fixture_free(&f);
}
END_TEST

/* Records of before lie behind the end of a segment that is used again, and stay there. */
START_TEST(a_recycled_segment_holds_older_records)
{
    size_t bytes;
    uint8_t *image;

    log_fixture_create(&f, SMALL);
    log_fixture_close(&f);
    f.options.recycle = 2;
    log_fixture_open(&f, ENVOL_OK);
    log_put_many(&f, 100, 2000);
    ck_ok(envol_log_truncate(f.log, 100, NULL));
    ck_ok(envol_log_next_segment(f.log, NULL));
    for (unsigned i = 0; i < 10; i++) {
        (void)log_put(&f, 1000 + 16 * i);
        image = log_segment_get(f.space, log_info(&f).newest_segment, &bytes);
        ck_assert_uint_gt(bytes, 60000);
        free(image);
        log_expect(&f, 0, 101 + i);
    }
    log_fixture_kill(&f);
    log_fixture_open(&f, ENVOL_OK);
    log_expect(&f, 0, 110);
    log_fixture_free(&f);
}
END_TEST

/* Nothing of what is appended lies anywhere as it is. */
START_TEST(no_plaintext_is_written)
{
    static const char canary[] = "canary-in-the-coal-mine-7391";
    struct envol_log_segments segments;
    char data[3000];

    log_fixture_create(&f, SMALL);
    for (size_t i = 0; i + sizeof(canary) <= sizeof(data); i += sizeof(canary))
        memcpy(data + i, canary, sizeof(canary));
    for (unsigned i = 0; i < 60; i++)
        ck_ok(envol_log_append(f.log, data, sizeof(data) - i, NULL, NULL));
    ck_ok(envol_log_truncate(f.log, 30, NULL));
    log_fixture_close(&f);
    ck_assert_int_eq(envol_log_list(f.space, &segments, NULL), ENVOL_OK);
    ck_assert_uint_gt(segments.count, 1);
    for (size_t i = 0; i < segments.count; i++) {
        size_t bytes;
        uint8_t *image = log_segment_get(f.space, segments.numbers[i], &bytes);

        ck_assert_ptr_null(memmem(image, bytes, canary, 8));
        free(image);
    }
    envol_log_segments_free(&segments);
    log_fixture_free(&f);
}
END_TEST

/* What is synced in a later run is not given up with a bad record before it, or with its header. */
START_TEST(a_later_run_is_missed)
{
    static const uint64_t places[] = {144 + 5, 4096 + 5};
    static const uint8_t zeros[512];
    enum envol_status status;
    size_t bytes;
    uint8_t *image;

    log_fixture_create(&f, SMALL);
    log_put_many(&f, 10, 40);
    log_sync(&f);
    log_fixture_kill(&f);
    log_fixture_open(&f, ENVOL_OK);
    log_put_many(&f, 10, 40);
    log_sync(&f);
    log_fixture_kill(&f);
    image = log_segment_get(f.space, 1, &bytes);
    memcpy(image + places[_i] / 512 * 512, zeros, sizeof(zeros));
    log_segment_put(f.space, 1, image, bytes);
    (void)log_read(&f, 0, &status);
    ck_assert_int_eq(status, ENVOL_E_CORRUPT);
    ck_assert_int_eq(try_open(), ENVOL_E_CORRUPT);
    free(image);
    log_fixture_free(&f);
}
END_TEST

/* An older segment in the newest one's place begins with a run of its own. */
START_TEST(an_older_segment_is_the_newest)
{
    size_t bytes;
    uint8_t *image;

    log_fixture_create(&f, SMALL);
    (void)log_put(&f, 40);
    ck_ok(envol_log_next_segment(f.log, &f.error));
    (void)log_put(&f, 40);
    log_sync(&f);
    log_fixture_kill(&f);
    image = log_segment_get(f.space, 1, &bytes);
    log_segment_put(f.space, 2, image, bytes);
    ck_assert_int_eq(try_open(), ENVOL_E_CORRUPT);
    free(image);
    log_fixture_free(&f);
}
END_TEST

/* With an older header the log goes on where that knew it to be, were it not for what follows. */
START_TEST(the_header_is_older)
{
    struct envol_log_seal seal;

    log_fixture_create(&f, SMALL);
    (void)log_put(&f, 40);
    seal = seal_of();
    ck_ok(envol_log_next_segment(f.log, &f.error));
    (void)log_put(&f, 40);
    log_sync(&f);
    log_fixture_kill(&f);
    put_seal(&seal);
    ck_assert_int_eq(try_open(), ENVOL_E_STALE);
    seal.newest_segment = 2;
    put_seal(&seal);
    ck_assert_int_eq(try_open(), ENVOL_OK);
    log_expect(&f, 0, 2);
    log_fixture_free(&f);
}
END_TEST

/* The same where memory is short while the segment that is not known is looked at. */
START_TEST(the_header_is_older_and_memory_is_short)
{
    enum envol_status status = ENVOL_E_NO_MEMORY;
    struct envol_log_seal seal;

    faults_set_allocator();
    log_fixture_create(&f, SMALL);
    (void)log_put(&f, 40);
    seal = seal_of();
    ck_ok(envol_log_next_segment(f.log, &f.error));
    (void)log_put(&f, 40);
    log_sync(&f);
    log_fixture_kill(&f);
    put_seal(&seal);
    for (unsigned nth = 1; status == ENVOL_E_NO_MEMORY; nth++) {
        faults_arm(FAULT_ALLOC, nth, false);
        status = try_open();
        (void)faults_disarm();
    }
    ck_assert_int_eq(status, ENVOL_E_STALE);
    log_fixture_free(&f);
}
END_TEST

/* The same with a DEK that the older header does not know. */
START_TEST(the_header_is_older_than_the_dek)
{
    static uint8_t header[ENVOL_HEADER_BYTES];

    log_fixture_create(&f, SMALL);
    (void)log_put(&f, 40);
    volume_store_get(f.v.store, 0, header, sizeof(header));
    ck_ok(envol_volume_rotate_begin(f.v.volume, &f.v.cmk, 1, 0, NULL, NULL));
    ck_ok(envol_log_next_segment(f.log, &f.error));
    (void)log_put(&f, 40);
    log_sync(&f);
    log_fixture_kill(&f);
    volume_fixture_kill(&f.v);
    volume_store_put(f.v.store, 0, header, sizeof(header));
    volume_fixture_open(&f.v, 0, ENVOL_OK);
    ck_assert_int_eq(try_open(), ENVOL_E_STALE);
    /* Nothing but the segment tells of it. */
    log_segment_remove(f.space, 2);
    ck_assert_int_eq(try_open(), ENVOL_OK);
    log_expect(&f, 0, 1);
    log_fixture_free(&f);
}
END_TEST

/* A reader is in a segment that no header names yet when its writer is gone. */
START_TEST(a_segment_is_begun_anew)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;
    struct envol_log_seal seal;

    log_fixture_create(&f, SMALL);
    (void)log_put(&f, 40);
    seal = seal_of();
    ck_ok(envol_log_next_segment(f.log, &f.error));
    ck_ok(envol_log_reader_open(f.v.volume, f.space, 0, &reader, &f.error));
    ck_ok(envol_log_reader_next(reader, 0, &record, &f.error));
    ck_assert_int_eq(envol_log_reader_next(reader, 0, &record, &f.error), ENVOL_E_TIMEOUT);
    log_fixture_kill(&f);
    put_seal(&seal);
    log_fixture_open(&f, ENVOL_OK);
    (void)log_put(&f, 40);
    ck_ok(envol_log_reader_next(reader, 0, &record, &f.error));
    ck_assert_uint_eq(record.lsn, 2);
    envol_log_reader_close(reader);
    log_fixture_close(&f);
    log_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_damage");
    TCase *tcase = tcase_create("log_damage");

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, cut_at_every_byte, 0, 2);
    tcase_add_loop_test(tcase, every_bit_is_flipped, 0, 2);
    tcase_add_test(tcase, every_bit_of_a_later_run);
    tcase_add_loop_test(tcase, a_segment_is_missing, 0, 2);
    tcase_add_loop_test(tcase, segments_are_doubled_and_swapped, 0, 2);
    tcase_add_loop_test(tcase, the_log_of_another_volume, 0, 2);
    tcase_add_test(tcase, a_recycled_segment_holds_older_records);
    tcase_add_test(tcase, no_plaintext_is_written);
    tcase_add_loop_test(tcase, a_later_run_is_missed, 0, 2);
    tcase_add_test(tcase, an_older_segment_is_the_newest);
    tcase_add_test(tcase, the_header_is_older);
    tcase_add_test(tcase, the_header_is_older_and_memory_is_short);
    tcase_add_test(tcase, the_header_is_older_than_the_dek);
    tcase_add_test(tcase, a_segment_is_begun_anew);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
