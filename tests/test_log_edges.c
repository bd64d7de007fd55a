/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes wrong at the edge of a log: a sync that is refused, a handle of before a truncation, a
 * run that was begun and that the volume's header was not told of. */
#include "log_fixture.h"
#include "support.h"

enum { SMALL = 64 << 10 };

static struct log_fixture f;
static struct watched_store *watched; /* the volume's */

/* Three segments: records 1 to 3, 4 to 6, 7 to 16. */
static void begin(void)
{
    struct envol_store *store;
    struct envol_space *space;

    watched = watched_store_new(&store);
    ck_ok(envol_memory_space_open(&space));
    log_fixture_create_on(&f, SMALL, store, space);
    for (unsigned i = 0; i < 2; i++) {
        log_put_many(&f, 3, 1000);
        ck_ok(envol_log_next_segment(f.log, NULL));
    }
    log_put_many(&f, 10, 1000);
}

/* The store may have failed. */
static void finish(void)
{
    log_fixture_kill(&f);
    volume_fixture_kill(&f.v);
    log_fixture_free(&f);
}

/* --- A sync that fails for a reason that is harmless elsewhere --- */

static enum envol_status sync_is_busy(void *state)
{
    (void)state;
    return ENVOL_E_BUSY;
}

/* Nobody knows what reached the disk: it is no matter of trying again. */
START_TEST(a_sync_that_is_busy)
{
    begin();
    f.log->store->vtable.sync = sync_is_busy;
    ck_status(envol_log_sync(f.log, 0, &f.error), ENVOL_E_IO);
    ck_status(envol_log_append(f.log, "x", 1, NULL, &f.error), ENVOL_E_IO);
    ck_assert_int_eq(log_info(&f).failed, ENVOL_E_IO);
    finish();
}
END_TEST

/* --- A handle of before a truncation --- */

/* It learns of that, unless it would have to ask for the newer DEK. */
START_TEST(truncated_since_the_volume_was_opened)
{
    static const enum envol_status expected[] = {ENVOL_OK, ENVOL_E_RANGE, ENVOL_E_STALE,
                                                 ENVOL_E_CORRUPT};
    struct envol_log_reader *other;
    struct envol_log_record record;
    struct volume_fixture v;

    begin();
    v = f.v;
    v.store = watched_store_share(watched);
    volume_fixture_open(&v, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    if (_i == 2)
        ck_ok(envol_volume_rotate_begin(f.v.volume, &f.v.cmk, 1, 0, NULL, NULL));
    if (_i == 3)
        log_segment_remove(f.space, 1);
    else
        ck_ok(envol_log_truncate(f.log, 7, NULL));
    ck_status(envol_log_reader_open(v.volume, f.space, _i == 1 ? 2 : 0, &other, NULL),
              expected[_i]);
    if (_i == 0) {
        ck_ok(envol_log_reader_next(other, 0, &record, NULL));
        ck_assert_uint_eq(record.lsn, 7);
    }
    envol_log_reader_close(other);
    volume_fixture_kill(&v);
    envol_store_close(v.store);
    finish();
}
END_TEST

/* --- A run whose header is written, and that the volume's header is not told of --- */

static void ck_closed_and_opened(uint64_t last)
{
    struct envol_log_seal seal;

    log_fixture_close(&f);
    ck_assert_int_eq(envol_volume_log_seal(f.v.volume, &seal), ENVOL_OK);
    ck_assert_uint_eq(seal.kind, ENVOL_LOG_SEAL_SEALED);
    log_fixture_open(&f, ENVOL_OK);
    log_expect(&f, 0, last);
}

/* The log is closed then, goes on after all, goes over to a new segment, or is left by its
 * writer. */
START_TEST(a_run_that_was_not_announced)
{
    struct envol_log_reader *other;
    struct envol_log_record record;

    begin();
    ck_ok(envol_volume_rotate_begin(f.v.volume, &f.v.cmk, 1, 0, NULL, NULL));
    watched_fail(watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    ck_status(envol_log_append(f.log, "x", 1, NULL, &f.error), ENVOL_E_BUSY);
    ck_ok(envol_log_reader_open(f.v.volume, f.space, 16, &other, NULL));
    ck_ok(envol_log_reader_next(other, 0, &record, NULL));
    ck_status(envol_log_reader_next(other, 0, &record, NULL), ENVOL_E_TIMEOUT);
    if (_i == 2)
        ck_ok(envol_log_next_segment(f.log, NULL));
    if (_i == 3) {
        log_fixture_kill(&f);
        log_fixture_open(&f, ENVOL_OK);
        log_expect(&f, 0, 16);
    }
    if (_i > 0)
        (void)log_put(&f, 100);
    ck_closed_and_opened(_i > 0 ? 17 : 16);
    if (_i == 0)
        (void)log_put(&f, 100);
    if (_i != 2) {
        ck_ok(envol_log_reader_next(other, 0, &record, NULL));
        ck_assert_uint_eq(record.lsn, 17);
    }
    log_expect(&f, 0, 17);
    envol_log_reader_close(other);
    finish();
}
END_TEST

/* What the run before has room for goes into the new one too. */
START_TEST(a_run_that_is_over)
{
    struct envol_log_entry entries[8] = {{.bytes = 0}};

    begin();
    f.log->run_records = 16; /* it has 10 */
    watched_fail(watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    ck_status(envol_log_append_batch(f.log, entries, 8, &f.error), ENVOL_E_BUSY);
    (void)log_put(&f, 100);
    ck_assert_uint_eq(log_info(&f).run, 4);
    ck_closed_and_opened(17);
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_edges");
    TCase *tcase = tcase_create("log_edges");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_sync_that_is_busy);
    tcase_add_loop_test(tcase, truncated_since_the_volume_was_opened, 0, 4);
    tcase_add_loop_test(tcase, a_run_that_was_not_announced, 0, 4);
    tcase_add_test(tcase, a_run_that_is_over);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
