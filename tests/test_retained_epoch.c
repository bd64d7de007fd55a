/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DEK that is kept for a log or a snapshot: what is under it opens as long as it is kept, at its
 * own place alone, and not any longer.  Pages have no bound of their own: a record under a kept DEK
 * that is put back is an old version of its page (envol(7)), and counted by the ledger.
 */
#include "base/uuid.h"
#include "snapshot_fixture.h"
#include "store/space.h"
#include "support.h"

#include <envol/log.h>
#include <envol/rotate.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 6, EPOCHS = 4 };

static struct snapshot_fixture s;
static struct snapshot_model then;
static uint8_t uuid[ENVOL_UUID_BYTES];
static uint8_t *records[EPOCHS]; /* of all pages, as they were in the epochs from 1 */
static struct envol_ledger ledger;

static bool begin(void)
{
    if (!snapshot_fixture_create(&s, &volume_shapes[0], false))
        return false;
    snapshot_put(&s, 0, PAGES);
    return true;
}

static void keep_records(unsigned epoch)
{
    size_t bytes = (size_t)PAGES * s.f.stride_bytes;

    ck_ok(envol_volume_sync(s.f.volume));
    records[epoch] = malloc(bytes);
    ck_assert_ptr_nonnull(records[epoch]);
    volume_store_get(s.f.store, volume_record_at(&s.f, 0), records[epoch], bytes);
}

static void end(void)
{
    for (unsigned i = 0; i < EPOCHS; i++)
        free(records[i]);
    snapshot_fixture_free(&s);
}

static void rotate(void)
{
    ck_ok(envol_volume_rotate_begin(s.f.volume, &s.f.cmk, 1, 0, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_finish(s.f.volume, 0, &s.f.error));
}

static void make_log(void)
{
    struct envol_log *log;

    ck_ok(envol_log_create(s.f.volume, s.space, NULL, &log, &s.f.error));
    ck_ok(envol_log_append(log, "a record", 8, NULL, &s.f.error));
    ck_ok(envol_log_close(log, &s.f.error));
}

static int count_record(void *ctx, const struct envol_log_record *record)
{
    ck_assert_mem_eq(record->data, "a record", 8);
    ++*(unsigned *)ctx;
    return 0;
}

static void expect_log(void)
{
    unsigned count = 0;

    ck_ok(envol_log_replay(s.f.volume, s.space, 0, 0, count_record, &count, &s.f.error));
    ck_assert_uint_eq(count, 1);
}

/* A record of an epoch, from one place to one. */
static void put_back(unsigned epoch, uint64_t from, uint64_t to)
{
    volume_store_put(s.f.store, volume_record_at(&s.f, to),
                     records[epoch] + from * s.f.stride_bytes, s.f.stride_bytes);
}

static void expect_page(uint64_t page_no, enum envol_status expected)
{
    ck_status(envol_page_read(s.f.volume, page_no, s.f.other), expected);
    if (expected == ENVOL_OK)
        ck_assert_uint_eq(volume_page_version(&s.f, page_no, 250, s.f.other),
                          s.model.version[page_no]);
}

static const struct envol_ledger_epoch *ledger_of(uint32_t epoch)
{
    ledger = (struct envol_ledger){.struct_size = sizeof(ledger)};
    ck_ok(envol_volume_ledger(s.f.volume, &ledger, &s.f.error));
    for (uint32_t i = 0; i < ledger.epoch_count; i++)
        if (ledger.epochs[i].epoch == epoch)
            return &ledger.epochs[i];
    return NULL;
}

static enum envol_status give_up(void)
{
    return ck_note(envol_volume_rotate_finish(s.f.volume, ENVOL_ROTATE_ABANDON_BAD, &s.f.error));
}

/* --- As long as something needs it, and when nothing does --- */

static void drop_snapshot(void)
{
    ck_ok(envol_snapshot_delete(s.f.volume, uuid, &s.f.error));
}

static void drop_log(void)
{
    ck_ok(envol_log_delete(s.f.volume, s.space, &s.f.error));
}

START_TEST(kept_and_given_up)
{
    if (!begin())
        return;
    keep_records(1);
    make_log();
    snapshot_make(&s, uuid);
    then = s.model;
    rotate();
    ck_assert_uint_eq(volume_info_of(&s.f).header.lowest_epoch, 1);
    snapshot_expect_image(&s, uuid, &then, "of the old epoch");
    expect_log();
    put_back(1, 2, 2);
    expect_page(2, ENVOL_OK);
    put_back(1, 2, 3);
    expect_page(3, ENVOL_E_CORRUPT);
    snapshot_put(&s, 3, 1);
    ck_assert_uint_eq(ledger_of(1)->pages, 1);
    snapshot_put(&s, 2, 1); /* every write is under the current one */
    ck_assert_uint_eq(ledger_of(1)->pages, 0);
    ck_assert_int_eq(give_up(), ENVOL_E_STATE);
    if (_i == 0)
        drop_snapshot();
    else
        drop_log();
    ck_assert_int_eq(ledger_of(1)->may_retire, 0);
    ck_assert_int_eq(give_up(), ENVOL_E_STATE);
    if (_i == 0)
        expect_log();
    else
        snapshot_expect_image(&s, uuid, &then, "alone");
    if (_i == 0)
        drop_log();
    else
        drop_snapshot();
    ck_assert_int_eq(ledger_of(1)->may_retire, 1);
    ck_assert_int_eq(give_up(), ENVOL_OK);
    ck_assert_ptr_null(ledger_of(1));
    put_back(1, 2, 2);
    expect_page(2, ENVOL_E_CORRUPT);
    snapshot_fixture_reopen(&s);
    expect_page(2, ENVOL_E_CORRUPT);
    snapshot_put(&s, 2, 1);
    snapshot_expect(&s, s.f.volume, &s.model, "all are of the new epoch");
    end();
}
END_TEST

/* An epoch between the lowest and the current one that nothing needs is gone, although it is not
 * below the lowest. */
START_TEST(gaps_between_kept_ones)
{
    if (!begin())
        return;
    keep_records(1);
    snapshot_make(&s, uuid);
    then = s.model;
    rotate();
    keep_records(2);
    rotate();
    keep_records(3);
    ck_assert_uint_eq(volume_info_of(&s.f).header.lowest_epoch, 1);
    ck_assert_uint_eq(volume_info_of(&s.f).header.retained_epochs, 1);
    put_back(2, 1, 1);
    expect_page(1, ENVOL_E_CORRUPT);
    put_back(1, 1, 1);
    expect_page(1, ENVOL_OK);
    put_back(3, 1, 1);
    expect_page(1, ENVOL_OK);
    snapshot_expect_image(&s, uuid, &then, "two rotations later");
    end();
}
END_TEST

/* The snapshot needs the oldest, the log one after it: each goes with what needs it. */
START_TEST(one_goes_before_the_other)
{
    if (!begin())
        return;
    keep_records(1);
    snapshot_make(&s, uuid);
    rotate();
    keep_records(2);
    make_log();
    rotate();
    keep_records(3);
    ck_assert_uint_eq(volume_info_of(&s.f).header.retained_epochs, 2);
    drop_snapshot();
    ck_assert_int_eq(ledger_of(1)->may_retire, 1);
    ck_assert_int_eq(ledger_of(2)->may_retire, 0);
    ck_assert_int_eq(give_up(), ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&s.f).header.lowest_epoch, 2);
    put_back(1, 4, 4);
    expect_page(4, ENVOL_E_CORRUPT);
    put_back(2, 4, 4);
    expect_page(4, ENVOL_OK);
    put_back(3, 4, 4);
    expect_log();
    drop_log();
    ck_assert_int_eq(give_up(), ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&s.f).header.lowest_epoch, 3);
    put_back(2, 4, 4);
    expect_page(4, ENVOL_E_CORRUPT);
    put_back(3, 4, 4);
    snapshot_expect(&s, s.f.volume, &s.model, "at the end");
    end();
}
END_TEST

/* Files of what was given up do not come back. */
START_TEST(files_that_are_put_back)
{
    struct envol_store *file;
    struct envol_volume *image;
    char name[64] = "snapshot-";
    uint8_t *bytes;
    size_t size;

    if (!begin())
        return;
    snapshot_make(&s, uuid);
    snapshot_put(&s, 0, 1);
    envol_uuid_format(uuid, name + 9);
    ck_assert_int_eq(envol_space_store(s.space, name, 0, &file, NULL), ENVOL_OK);
    size = (size_t)volume_store_bytes(file);
    bytes = malloc(size);
    ck_assert_ptr_nonnull(bytes);
    volume_store_get(file, 0, bytes, size);
    envol_store_close(file);
    drop_snapshot();
    rotate();
    ck_assert_int_eq(envol_space_store(s.space, name, ENVOL_SPACE_CREATE, &file, NULL), ENVOL_OK);
    volume_store_put(file, 0, bytes, size);
    envol_store_close(file);
    free(bytes);
    ck_status(envol_snapshot_open(s.f.volume, uuid, &image, &s.f.error), ENVOL_E_RANGE);
    volume_fixture_close(&s.f);
    ck_assert_int_eq(snapshot_image_try(&s, s.f.store, s.space, uuid, &s.f.volume), ENVOL_E_RANGE);
    snapshot_fixture_open(&s, 0, ENVOL_OK);
    snapshot_expect(&s, s.f.volume, &s.model, "at the end");
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retained_epoch");
    TCase *tcase = tcase_create("retained_epoch");

    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, kept_and_given_up, 0, 2);
    tcase_add_test(tcase, gaps_between_kept_ones);
    tcase_add_test(tcase, one_goes_before_the_other);
    tcase_add_test(tcase, files_that_are_put_back);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
