/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that are read while they are being written, and pages that are damaged for good. */
#include "support.h"
#include "volume_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Pauses are counted in this program, and taken only where a test says so. */
static _Atomic long slept_ms;
static bool sleeps;

int nanosleep(const struct timespec *pause, struct timespec *left)
{
    atomic_fetch_add(&slept_ms, pause->tv_sec * 1000 + pause->tv_nsec / 1000000);
    return sleeps ? (int)syscall(SYS_nanosleep, pause, left) : 0;
}

static bool begin(struct volume_fixture *f, int shape, uint64_t pages, uint32_t flags)
{
    atomic_store(&slept_ms, 0);
    if (!volume_fixture_create(f, &volume_shapes[shape]))
        return false;
    for (uint64_t i = 0; i < pages; i++)
        volume_page_put(f, i, 1);
    volume_fixture_close(f);
    volume_fixture_open(f, flags, ENVOL_OK);
    return true;
}

static void tear(struct volume_fixture *f, unsigned times)
{
    watched_tear_reads(f->watched, volume_record_at(f, 1), f->stride_bytes, times);
}

/* Readers, and those who share keys with other processes, cannot know who writes. */
START_TEST(pages_are_read_again)
{
    static const uint32_t flags[] = {ENVOL_OPEN_READ_ONLY, ENVOL_OPEN_INHERIT};
    static const long expected_ms[] = {0, 0, 1, 11, 111};
    struct volume_fixture f;

    if (!begin(&f, _i / 2, 2, flags[_i % 2]))
        return;
    for (unsigned times = 0; times <= 4; times++) {
        atomic_store(&slept_ms, 0);
        tear(&f, times);
        volume_page_expect(&f, 1, 1);
        ck_assert_int_eq(atomic_load(&slept_ms), expected_ms[times]);
    }
    tear(&f, 5);
    volume_page_expect_status(&f, 1, ENVOL_E_CORRUPT);
    volume_page_expect(&f, 1, 1);
    volume_fixture_free(&f);
}
END_TEST

/* A record that is another one at each reading is being written, and not damaged. */
START_TEST(pages_that_are_written_all_the_time)
{
    struct volume_fixture f;

    if (!begin(&f, _i, 2, ENVOL_OPEN_READ_ONLY))
        return;
    watched_tear_anew(f.watched, true);
    for (unsigned times = 5; times <= 20; times += 5) {
        tear(&f, times);
        volume_page_expect(&f, 1, 1);
    }
    tear(&f, 21); /* there is an end to it */
    volume_page_expect_status(&f, 1, ENVOL_E_CORRUPT);
    volume_page_expect(&f, 1, 1);
    watched_tear_anew(f.watched, false);
    tear(&f, 5);
    volume_page_expect_status(&f, 1, ENVOL_E_CORRUPT);
    volume_fixture_free(&f);
}
END_TEST

/* A handle that knows of all writes does not wait when there are none. */
START_TEST(a_quiet_writer_does_not_wait)
{
    struct volume_fixture f;

    if (!begin(&f, _i, 2, 0))
        return;
    tear(&f, 1);
    volume_page_expect(&f, 1, 1);
    tear(&f, 2);
    volume_page_expect_status(&f, 1, ENVOL_E_CORRUPT);
    ck_assert_int_eq(atomic_load(&slept_ms), 0);
    volume_fixture_free(&f);
}
END_TEST

/* Beyond the known end, what stays torn is no page yet. */
START_TEST(torn_pages_beyond_the_end)
{
    struct volume_fixture f, writer;

    if (!begin(&f, _i, 1, ENVOL_OPEN_READ_ONLY))
        return;
    writer = f;
    writer.store = watched_store_share(f.watched);
    volume_fixture_close(&f);
    volume_fixture_open(&writer, 0, ENVOL_OK);
    volume_page_put(&writer, 1, 1);
    ck_ok(envol_page_trim(writer.volume, 1, 1));
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_page_put(&writer, 2, 1);
    watched_tear_reads(f.watched, volume_record_at(&f, 2), f.stride_bytes, 4);
    volume_page_expect(&f, 2, 1);
    watched_tear_reads(f.watched, volume_record_at(&f, 2), f.stride_bytes, 5);
    volume_page_expect_status(&f, 2, ENVOL_E_RANGE);
    volume_fixture_close(&writer);
    envol_store_close(writer.store);
    volume_fixture_free(&f);
}
END_TEST

/* Above the mark a reader looks for pages, and does without the one that it cannot read. */
START_TEST(a_bad_sector_above_the_mark)
{
    struct volume_fixture f, writer;

    if (!begin(&f, _i, 1, ENVOL_OPEN_READ_ONLY))
        return;
    writer = f;
    writer.store = watched_store_share(f.watched);
    volume_fixture_close(&f);
    volume_fixture_open(&writer, 0, ENVOL_OK);
    for (uint64_t i = 1; i < 5; i++)
        volume_page_put(&writer, i, 1);
    watched_bad_sector(f.watched, volume_record_at(&f, 2) + 7);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 5);
    volume_page_expect_status(&f, 2, ENVOL_E_IO);
    volume_page_expect(&f, 4, 1);
    watched_bad_sector(f.watched, 0);
    volume_page_expect(&f, 2, 1);
    volume_fixture_close(&writer);
    envol_store_close(writer.store);
    volume_fixture_free(&f);
}
END_TEST

static void *write_page(void *argument)
{
    struct volume_fixture *f = argument;

    volume_page_fill(f, 1, 2, f->page);
    ck_ok(envol_page_write(f->volume, 1, f->page));
    return NULL;
}

/* A thread that loses its processor in the middle of a record. */
START_TEST(a_slow_write_of_another_thread)
{
    struct volume_fixture f;
    pthread_t thread;
    enum envol_status status;

    if (!begin(&f, _i, 2, 0))
        return;
    sleeps = true;
    watched_slow_writes(f.watched, 7);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_page, &f), 0);
    while (!watched_has_waited(f.watched))
        ;
    status = ck_note(envol_page_read(f.volume, 1, f.other));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    sleeps = false;
    ck_assert_int_eq(status, ENVOL_OK);
    ck_assert_uint_eq(volume_page_version(&f, 1, 5, f.other), 2);
    watched_slow_writes(f.watched, 0);
    volume_fixture_free(&f);
}
END_TEST

static int count(void *ctx, uint64_t page_no, enum envol_status status)
{
    ck_assert_int_eq(status, ENVOL_E_CORRUPT);
    ck_assert_uint_eq(page_no % 64, 5);
    ++*(unsigned *)ctx;
    return 0;
}

/* A bad page in each of 80 transfers: the pauses are bounded, and what heals renews the patience.
 */
START_TEST(a_damaged_disk_is_verified_in_time)
{
    struct volume_fixture f;
    unsigned bad = 0;

    if (!begin(&f, 0, 80 * 64, ENVOL_OPEN_READ_ONLY))
        return;
    for (uint64_t i = 5; i < 80 * 64; i += 64)
        volume_store_put(f.store, volume_record_at(&f, i) + 9, "damaged", 7);
    ck_status(envol_volume_verify(f.volume, count, &bad, NULL, &f.error), ENVOL_E_CORRUPT);
    ck_assert_uint_eq(bad, 80);
    ck_assert_int_ge(atomic_load(&slept_ms), ENVOL_PATIENCE_MS);
    ck_assert_int_le(atomic_load(&slept_ms), ENVOL_PATIENCE_MS + 111 + 80);
    atomic_store(&slept_ms, 0);
    volume_page_expect_status(&f, 5, ENVOL_E_CORRUPT);
    ck_assert_int_eq(atomic_load(&slept_ms), 1);
    tear(&f, 2);
    volume_page_expect(&f, 1, 1);
    atomic_store(&slept_ms, 0);
    volume_page_expect_status(&f, 5, ENVOL_E_CORRUPT);
    ck_assert_int_eq(atomic_load(&slept_ms), 111);
    volume_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torn_reads");
    TCase *tcase = tcase_create("torn_reads");

    tcase_add_loop_test(tcase, pages_are_read_again, 0, 2 * VOLUME_GCM_SHAPES);
    tcase_add_loop_test(tcase, pages_that_are_written_all_the_time, 0, VOLUME_GCM_SHAPES);
    tcase_add_loop_test(tcase, a_quiet_writer_does_not_wait, 0, VOLUME_GCM_SHAPES);
    tcase_add_loop_test(tcase, torn_pages_beyond_the_end, 0, VOLUME_GCM_SHAPES);
    tcase_add_loop_test(tcase, a_bad_sector_above_the_mark, 0, VOLUME_GCM_SHAPES);
    tcase_add_loop_test(tcase, a_slow_write_of_another_thread, 0, VOLUME_GCM_SHAPES);
    tcase_add_test(tcase, a_damaged_disk_is_verified_in_time);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
