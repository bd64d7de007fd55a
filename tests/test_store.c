/* SPDX-License-Identifier: BSD-2-Clause */
/* Every store alike: data, sizes, discards, and locks between handles; and the checked calls. */
#include "base/memory.h"
#include "handles.h"
#include "store/store.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* All offsets and lengths of the common cases are multiples of it: O_DIRECT's unit. */
enum { UNIT = 4096, LOCKS = ENVOL_LOCK_HEADER + 1, MODES = ENVOL_LOCK_EXCLUSIVE + 1 };

static _Alignas(UNIT) uint8_t data[64 * UNIT];
static _Alignas(UNIT) uint8_t back[64 * UNIT];

static uint64_t size_of(struct envol_store *store)
{
    uint64_t bytes = 1;

    ck_assert_int_eq(envol_store_size(store, &bytes, NULL), ENVOL_OK);
    return bytes;
}

static void put(struct envol_store *store, uint64_t offset, const void *from, size_t bytes)
{
    struct envol_error error = ENVOL_ERROR_INIT;

    ck_assert_msg(envol_store_write(store, offset, from, bytes, &error) == ENVOL_OK, "%s",
                  error.message);
}

static size_t get(struct envol_store *store, uint64_t offset, size_t bytes)
{
    size_t got = 1;

    memset(back, 0xee, sizeof(back));
    ck_assert_int_eq(envol_store_read(store, offset, back, bytes, &got, NULL), ENVOL_OK);
    ck_assert(envol_is_zero(back + got, bytes - got));
    return got;
}

/* --- data --- */

START_TEST(what_is_written_is_read)
{
    struct envol_store *store = test_store_new(_i), *other;

    if (store == NULL)
        return;
    test_fill(data, sizeof(data));
    ck_assert_uint_eq(size_of(store), 0);
    ck_assert_uint_eq(get(store, 0, UNIT), 0);
    put(store, 0, data, sizeof(data));
    ck_assert_uint_eq(size_of(store), sizeof(data));
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    other = test_store_again(_i, store);
    for (size_t at = 0; at < sizeof(data); at += 5 * UNIT) {
        size_t bytes = at + 7 * UNIT <= sizeof(data) ? 7 * UNIT : sizeof(data) - at;

        ck_assert_uint_eq(get(other, at, bytes), bytes);
        ck_assert_mem_eq(back, data + at, bytes);
    }
    put(store, 3 * UNIT, data, UNIT);
    envol_store_close(store); /* the other handle keeps it */
    ck_assert_uint_eq(get(other, 3 * UNIT, UNIT), UNIT);
    ck_assert_mem_eq(back, data, UNIT);
    ck_assert_uint_eq(get(other, 4 * UNIT, UNIT), UNIT);
    ck_assert_mem_eq(back, data + 4 * UNIT, UNIT);
    envol_store_close(other);
}
END_TEST

START_TEST(reads_end_at_the_end)
{
    struct envol_store *store = test_store_new(_i);
    struct envol_error error = ENVOL_ERROR_INIT;

    if (store == NULL)
        return;
    test_fill(data, sizeof(data));
    put(store, 0, data, 3 * UNIT);
    ck_assert_uint_eq(get(store, 2 * UNIT, 4 * UNIT), UNIT);
    ck_assert_mem_eq(back, data + 2 * UNIT, UNIT);
    ck_assert_uint_eq(get(store, 3 * UNIT, UNIT), 0);
    ck_assert_uint_eq(get(store, UINT64_C(1) << 50, UNIT), 0);
    ck_assert_uint_eq(get(store, ENVOL_STORE_END - 2 * UNIT, UNIT), 0);
    memset(back, 0xee, 2 * UNIT);
    ck_assert_int_eq(envol_store_read_full(store, 2 * UNIT, back, 2 * UNIT, &error),
                     ENVOL_E_TRUNCATED);
    ck_assert(envol_is_zero(back, 2 * UNIT));
    ck_assert_int_eq(error.status, ENVOL_E_TRUNCATED);
    ck_assert_int_eq(error.os_errno, 0);
    ck_assert_int_eq(envol_store_read_full(store, UNIT, back, 2 * UNIT, NULL), ENVOL_OK);
    ck_assert_mem_eq(back, data + UNIT, 2 * UNIT);
    ck_assert_int_eq(envol_store_read_full(store, 9 * UNIT, NULL, 0, NULL), ENVOL_OK);
    envol_store_close(store);
}
END_TEST

/* A store that does not end on its own alignment, as a file that was cut. */
START_TEST(an_odd_end)
{
    struct envol_store *store = test_store_new(_i);

    if (store == NULL)
        return;
    test_fill(data, sizeof(data));
    put(store, 0, data, 3 * UNIT);
    ck_assert_int_eq(envol_store_resize(store, 2 * UNIT + 1000, NULL), ENVOL_OK);
    ck_assert_uint_eq(size_of(store), 2 * UNIT + 1000);
    ck_assert_uint_eq(get(store, 0, 4 * UNIT), 2 * UNIT + 1000);
    ck_assert_mem_eq(back, data, 2 * UNIT + 1000);
    ck_assert_uint_eq(get(store, 2 * UNIT, UNIT), 1000);
    envol_store_close(store);
}
END_TEST

START_TEST(writes_beyond_the_end_grow_it_with_zeros)
{
    struct envol_store *store = test_store_new(_i);

    if (store == NULL)
        return;
    test_fill(data, sizeof(data));
    put(store, 0, data, UNIT);
    put(store, 200 * UNIT, data, UNIT);
    ck_assert_uint_eq(size_of(store), 201 * UNIT);
    ck_assert_uint_eq(get(store, UNIT, 60 * UNIT), 60 * UNIT);
    ck_assert(envol_is_zero(back, 60 * UNIT));
    ck_assert_uint_eq(get(store, 200 * UNIT, 2 * UNIT), UNIT);
    ck_assert_mem_eq(back, data, UNIT);
    put(store, 200 * UNIT, data, 0);
    ck_assert_uint_eq(size_of(store), 201 * UNIT);
    envol_store_close(store);
}
END_TEST

START_TEST(resize_cuts_and_grows_with_zeros)
{
    struct envol_store *store = test_store_new(_i);

    if (store == NULL)
        return;
    test_fill(data, sizeof(data));
    put(store, 0, data, 10 * UNIT);
    ck_assert_int_eq(envol_store_resize(store, 4 * UNIT, NULL), ENVOL_OK);
    ck_assert_uint_eq(size_of(store), 4 * UNIT);
    ck_assert_int_eq(envol_store_resize(store, 50 * UNIT, NULL), ENVOL_OK);
    ck_assert_uint_eq(size_of(store), 50 * UNIT);
    ck_assert_uint_eq(get(store, 0, 50 * UNIT), 50 * UNIT);
    ck_assert_mem_eq(back, data, 4 * UNIT);
    ck_assert(envol_is_zero(back + 4 * UNIT, 46 * UNIT));
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_resize(store, 0, NULL), ENVOL_OK);
    ck_assert_uint_eq(size_of(store), 0);
    ck_assert_uint_eq(get(store, 0, UNIT), 0);
    envol_store_close(store);
}
END_TEST

START_TEST(discarded_ranges_read_as_zeros)
{
    struct envol_store *store = test_store_new(_i);

    if (store == NULL)
        return;
    test_fill(data, sizeof(data));
    put(store, 0, data, 20 * UNIT);
    ck_assert_int_eq(envol_store_discard(store, 3 * UNIT, 9 * UNIT, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_discard(store, 15 * UNIT, 0, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_discard(store, 20 * UNIT, 0, NULL), ENVOL_OK);
    ck_assert_uint_eq(get(store, 0, 20 * UNIT), 20 * UNIT);
    ck_assert_mem_eq(back, data, 3 * UNIT);
    ck_assert(envol_is_zero(back + 3 * UNIT, 9 * UNIT));
    ck_assert_mem_eq(back + 12 * UNIT, data + 12 * UNIT, 8 * UNIT);
    ck_assert_uint_eq(size_of(store), 20 * UNIT);
    ck_assert_int_eq(envol_store_discard(store, 19 * UNIT, 2 * UNIT, NULL), ENVOL_E_RANGE);
    ck_assert_int_eq(envol_store_discard(store, 21 * UNIT, 0, NULL), ENVOL_E_RANGE);
    ck_assert_uint_eq(size_of(store), 20 * UNIT);
    envol_store_close(store);
}
END_TEST

START_TEST(odd_offsets_and_lengths)
{
    struct envol_store *store = test_store_new(_i);

    test_fill(data, sizeof(data));
    for (size_t i = 0; i < 1000; i++)
        put(store, i * 37, data + i * 37, 37);
    ck_assert_uint_eq(get(store, 13, 36000), 36000);
    ck_assert_mem_eq(back, data + 13, 36000);
    ck_assert_int_eq(envol_store_discard(store, 1001, 7777, NULL), ENVOL_OK);
    memset(data + 1001, 0, 7777);
    ck_assert_uint_eq(get(store, 0, 37000), 37000);
    ck_assert_mem_eq(back, data, 37000);
    envol_store_close(store);
}
END_TEST

/* --- ranges and alignment --- */

static void expect_of_range(struct envol_store *store, uint64_t offset, size_t bytes,
                            enum envol_status expected)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    size_t got = 1;

    ck_assert_int_eq(envol_store_write(store, offset, data, bytes, &error), expected);
    ck_assert_int_eq(error.status, expected);
    memset(back, 0xee, bytes);
    ck_assert_int_eq(envol_store_read(store, offset, back, bytes, &got, &error), expected);
    ck_assert_uint_eq(got, 0);
    ck_assert(envol_is_zero(back, bytes));
    ck_assert_int_eq(envol_store_discard(store, offset, bytes, &error), expected);
    ck_assert_uint_gt(strlen(error.message), 10);
}

START_TEST(ranges_end_below_two_to_the_63)
{
    struct envol_store *store = test_store_new(_i);
    struct envol_error error = ENVOL_ERROR_INIT;

    if (store == NULL)
        return;
    expect_of_range(store, ENVOL_STORE_END - UNIT, UNIT, ENVOL_E_RANGE);
    expect_of_range(store, ENVOL_STORE_END, UNIT, ENVOL_E_RANGE);
    expect_of_range(store, ENVOL_STORE_END, 0, ENVOL_E_RANGE);
    expect_of_range(store, UINT64_MAX - UNIT + 1, UNIT, ENVOL_E_RANGE);
    ck_assert_int_eq(envol_store_discard(store, UNIT, UINT64_MAX - UNIT + 1, NULL), ENVOL_E_RANGE);
    ck_assert_int_eq(envol_store_resize(store, ENVOL_STORE_END, &error), ENVOL_E_RANGE);
    ck_assert_int_eq(error.status, ENVOL_E_RANGE);
    ck_assert_uint_eq(size_of(store), 0);
    envol_store_close(store);
}
END_TEST

START_TEST(misaligned_direct_io_is_refused)
{
    struct envol_store *store = test_store_new(2);
    size_t got;

    if (store == NULL)
        return;
    ck_assert_uint_eq(store->alignment_bytes, UNIT);
    expect_of_range(store, 512, UNIT, ENVOL_E_ARGUMENT);
    expect_of_range(store, UNIT, UNIT + 512, ENVOL_E_ARGUMENT);
    ck_assert_int_eq(envol_store_write(store, 0, data + 512, UNIT, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(envol_store_write(store, 0, NULL, UNIT, NULL), ENVOL_E_ARGUMENT);
    memset(back, 0xee, 2 * UNIT);
    ck_assert_int_eq(envol_store_read(store, 0, back + 8, UNIT, &got, NULL), ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(back + 8, UNIT));
    ck_assert_uint_eq(back[UNIT + 8], 0xee);
    ck_assert_int_eq(envol_store_read(store, 0, NULL, UNIT, &got, NULL), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(size_of(store), 0);
    envol_store_close(store);
}
END_TEST

/* --- locks --- */

static enum envol_status lock(struct envol_store *store, int which, int mode)
{
    return envol_store_lock(store, (enum envol_store_lock)which, (enum envol_lock_mode)mode, 0,
                            NULL);
}

static bool in_conflict(int held, int wanted)
{
    return held != ENVOL_LOCK_NONE && wanted != ENVOL_LOCK_NONE &&
           (held == ENVOL_LOCK_EXCLUSIVE || wanted == ENVOL_LOCK_EXCLUSIVE);
}

/* Every lock, held in every mode, wanted in every mode by another handle; other locks are free. */
START_TEST(locks_between_two_handles)
{
    struct envol_store *one = test_store_new(_i), *two;

    if (one == NULL)
        return;
    two = test_store_again(_i, one);
    for (int which = 0; which < LOCKS; which++) {
        for (int pair = 0; pair < MODES * MODES; pair++) {
            int held = pair / MODES, wanted = pair % MODES;
            enum envol_status expected = in_conflict(held, wanted) ? ENVOL_E_BUSY : ENVOL_OK;

            ck_assert_int_eq(lock(one, which, held), ENVOL_OK);
            ck_assert_int_eq(lock(two, which, wanted), expected);
            ck_assert_int_eq(lock(two, (which + 1) % LOCKS, ENVOL_LOCK_EXCLUSIVE), ENVOL_OK);
            ck_assert_int_eq(lock(one, which, ENVOL_LOCK_NONE), ENVOL_OK);
            ck_assert_int_eq(lock(two, which, wanted), ENVOL_OK);
            ck_assert_int_eq(lock(two, which, ENVOL_LOCK_NONE), ENVOL_OK);
            ck_assert_int_eq(lock(two, (which + 1) % LOCKS, ENVOL_LOCK_NONE), ENVOL_OK);
        }
    }
    envol_store_close(one);
    envol_store_close(two);
}
END_TEST

/* A refused change leaves the lock as it was; closing lets go. */
START_TEST(locks_change_and_end_with_the_handle)
{
    struct envol_store *one = test_store_new(_i), *two;
    struct envol_error error = ENVOL_ERROR_INIT;

    if (one == NULL)
        return;
    two = test_store_again(_i, one);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED), ENVOL_OK);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED), ENVOL_OK);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE), ENVOL_OK);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE), ENVOL_OK);
    ck_assert_int_eq(lock(two, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED), ENVOL_E_BUSY);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED), ENVOL_OK);
    ck_assert_int_eq(lock(two, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED), ENVOL_OK);
    ck_assert_int_eq(lock(two, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE), ENVOL_E_BUSY);
    ck_assert_int_eq(envol_store_lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE, 0, &error),
                     ENVOL_E_BUSY);
    ck_assert_int_eq(error.status, ENVOL_E_BUSY);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_NONE), ENVOL_OK);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE), ENVOL_E_BUSY);
    envol_store_close(two);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE), ENVOL_OK);
    ck_assert_int_eq(lock(one, LOCKS, ENVOL_LOCK_SHARED), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(lock(one, -1, ENVOL_LOCK_SHARED), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_WRITER, MODES), ENVOL_E_ARGUMENT);
    envol_store_close(one);
}
END_TEST

struct waiter {
    struct envol_store *store;
    _Atomic bool has_it;
    enum envol_status status;
};

static void *wait_for_the_lock(void *argument)
{
    struct waiter *waiter = argument;

    waiter->status =
        envol_store_lock(waiter->store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 1, NULL);
    waiter->has_it = true;
    return NULL;
}

START_TEST(locks_are_waited_for)
{
    struct envol_store *one = test_store_new(_i);
    struct waiter waiter = {0};
    pthread_t thread;

    if (one == NULL)
        return;
    waiter.store = test_store_again(_i, one);
    ck_assert_int_eq(lock(one, ENVOL_LOCK_WRITER, ENVOL_LOCK_SHARED), ENVOL_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_the_lock, &waiter), 0);
    usleep(50000);
    ck_assert(!waiter.has_it);
    if (_i % 2)
        ck_assert_int_eq(lock(one, ENVOL_LOCK_WRITER, ENVOL_LOCK_NONE), ENVOL_OK);
    else
        envol_store_close(one);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(waiter.status, ENVOL_OK);
    if (_i % 2) {
        ck_assert_int_eq(lock(one, ENVOL_LOCK_WRITER, ENVOL_LOCK_SHARED), ENVOL_E_BUSY);
        envol_store_close(one);
    }
    envol_store_close(waiter.store);
}
END_TEST

/* --- threads: reads and writes of different bytes, while the store grows --- */

struct writer {
    struct envol_store *store;
    uint8_t number;
    enum envol_status status;
};

static void *write_stripes(void *argument)
{
    struct writer *writer = argument;
    uint8_t *mine = envol_alloc(2 * UNIT, UNIT);

    writer->status = mine == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;
    for (uint64_t i = 0; i < 100 && writer->status == ENVOL_OK; i++) {
        uint64_t offset = (4 * i + writer->number) * UNIT;

        memset(mine, writer->number + 1, UNIT);
        writer->status = envol_store_write(writer->store, offset, mine, UNIT, NULL);
        if (writer->status == ENVOL_OK)
            writer->status = envol_store_read_full(writer->store, offset, mine + UNIT, UNIT, NULL);
        if (writer->status == ENVOL_OK && memcmp(mine, mine + UNIT, UNIT) != 0)
            writer->status = ENVOL_E_CORRUPT;
    }
    envol_free(mine);
    return NULL;
}

START_TEST(threads_write_side_by_side)
{
    struct envol_store *store = test_store_new(_i);
    struct writer writers[4];
    pthread_t threads[4];

    if (store == NULL)
        return;
    for (uint8_t i = 0; i < 4; i++) {
        writers[i] = (struct writer){i % 2 ? store : test_store_again(_i, store), i, ENVOL_OK};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_stripes, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(writers[i].status, ENVOL_OK);
    }
    for (size_t i = 0; i < 400; i++) {
        ck_assert_uint_eq(get(store, i * UNIT, UNIT), UNIT);
        ck_assert_uint_eq(back[0], i % 4 + 1);
        ck_assert_mem_eq(back, back + 1, UNIT - 1);
    }
    envol_store_close(writers[0].store);
    envol_store_close(writers[2].store);
    envol_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tcase = tcase_create("store");

    tcase_add_loop_test(tcase, what_is_written_is_read, 0, TEST_STORES);
    tcase_add_loop_test(tcase, reads_end_at_the_end, 0, TEST_STORES);
    tcase_add_loop_test(tcase, an_odd_end, 0, TEST_STORES);
    tcase_add_loop_test(tcase, writes_beyond_the_end_grow_it_with_zeros, 0, TEST_STORES);
    tcase_add_loop_test(tcase, resize_cuts_and_grows_with_zeros, 0, TEST_STORES);
    tcase_add_loop_test(tcase, discarded_ranges_read_as_zeros, 0, TEST_STORES);
    tcase_add_loop_test(tcase, odd_offsets_and_lengths, 0, 2);
    tcase_add_loop_test(tcase, ranges_end_below_two_to_the_63, 0, TEST_STORES);
    tcase_add_test(tcase, misaligned_direct_io_is_refused);
    tcase_add_loop_test(tcase, locks_between_two_handles, 0, TEST_STORES);
    tcase_add_loop_test(tcase, locks_change_and_end_with_the_handle, 0, TEST_STORES);
    tcase_add_loop_test(tcase, locks_are_waited_for, 0, TEST_STORES);
    tcase_add_loop_test(tcase, threads_write_side_by_side, 0, TEST_STORES);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
