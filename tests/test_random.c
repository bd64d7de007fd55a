/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's random source as it should be, and failing, interrupted, short or stuck. */
#include "base/memory.h"
#include "base/random.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

enum source {
    HONEST,
    FAILING,
    INTERRUPTED,
    SHORT,
    FAILING_LATE,
    NOTHING,
    TOO_MUCH,
    CONSTANT,
    BLOCK
};

static struct {
    enum source source;
    int calls;
    uint8_t block[256];
} fake;

static ssize_t fail_with(int os_errno)
{
    errno = os_errno;
    return -1;
}

static ssize_t honest(void *out, size_t bytes, unsigned flags)
{
    return syscall(SYS_getrandom, out, bytes, flags);
}

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    int call = fake.calls++;

    switch (fake.source) {
    case FAILING:
        return fail_with(ENOSYS);
    case INTERRUPTED:
        return call % 3 < 2 ? fail_with(EINTR) : honest(out, bytes, flags);
    case SHORT:
        return honest(out, bytes < 5 ? bytes : 5, flags);
    case FAILING_LATE:
        return call % 2 == 0 ? honest(out, bytes / 2, flags) : fail_with(EIO);
    case NOTHING:
        return 0;
    case TOO_MUCH:
        return (ssize_t)bytes + 1;
    case CONSTANT:
        memset(out, fake.block[0], bytes);
        return (ssize_t)bytes;
    case BLOCK:
        memcpy(out, fake.block, bytes);
        return (ssize_t)bytes;
    case HONEST:
        break;
    }
    return honest(out, bytes, flags);
}

static void use(enum source source)
{
    fake.source = source;
    fake.calls = 0;
}

static void expect_failure(size_t bytes)
{
    uint8_t out[256];

    memset(out, 0xee, sizeof(out));
    ck_assert_int_eq(envol_random(out, bytes), ENVOL_E_RANDOM);
    ck_assert_msg(envol_is_zero(out, bytes), "%zu bytes: not zeroed", bytes);
    ck_assert_uint_eq(out[bytes], 0xee);
}

START_TEST(draws_fill_and_differ)
{
    uint8_t one[101], other[101];

    for (size_t bytes = 12; bytes <= 100; bytes++) {
        memset(one, 0xee, sizeof(one));
        ck_assert_int_eq(envol_random(one, bytes), ENVOL_OK);
        ck_assert_int_eq(envol_random(other, bytes), ENVOL_OK);
        ck_assert_mem_ne(one, other, bytes);
        ck_assert_uint_eq(one[bytes], 0xee);
    }
    one[0] = 0xee;
    ck_assert_int_eq(envol_random(one, 0), ENVOL_OK);
    ck_assert_uint_eq(one[0], 0xee);
}
END_TEST

/* Every byte of a draw takes many values: none is left as it was. */
START_TEST(interrupted_and_short_reads_go_on)
{
    uint8_t out[100], seen[100] = {0};

    use((enum source)_i);
    for (int round = 0; round < 64; round++) {
        memset(out, 0, sizeof(out));
        ck_assert_int_eq(envol_random(out, sizeof(out)), ENVOL_OK);
        for (size_t i = 0; i < sizeof(out); i++)
            seen[i] |= out[i];
    }
    /* By chance: 800 bits, each zero 64 times. */
    for (size_t i = 0; i < sizeof(seen); i++)
        ck_assert_uint_eq(seen[i], 0xff);
    ck_assert_int_gt(fake.calls, 64);
}
END_TEST

/* Sources that fail at once, half way, or break their own contract. */
START_TEST(failed_reads_leave_zeros)
{
    static const enum source sources[] = {FAILING, FAILING_LATE, NOTHING, TOO_MUCH};

    use(sources[_i]);
    expect_failure(1);
    expect_failure(12);
    expect_failure(64);
    use(HONEST);
    ck_assert_int_eq(envol_random(fake.block, 64), ENVOL_OK);
}
END_TEST

START_TEST(constant_bytes_are_refused)
{
    use(CONSTANT);
    for (unsigned value = 0; value < 256; value++) {
        fake.block[0] = (uint8_t)value;
        for (size_t bytes = 12; bytes <= 64; bytes += 4)
            expect_failure(bytes);
    }
}
END_TEST

/* Also when the second draw is longer or shorter than the first. */
START_TEST(same_block_twice_is_refused)
{
    static const size_t lengths[] = {8, 12, 24, 32, 64};
    uint8_t out[64];

    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++) {
            test_fill(fake.block, sizeof(fake.block));
            use(BLOCK);
            ck_assert_int_eq(envol_random(out, lengths[i]), ENVOL_OK);
            ck_assert_mem_eq(out, fake.block, lengths[i]);
            expect_failure(lengths[j]);
            expect_failure(lengths[j]);
            use(HONEST);
            ck_assert_int_eq(envol_random(out, 12), ENVOL_OK);
        }
    }
}
END_TEST

/* Short draws repeat by chance. */
START_TEST(short_draws_may_repeat)
{
    uint8_t out[8];

    test_fill(fake.block, sizeof(fake.block));
    use(BLOCK);
    for (size_t bytes = 1; bytes < 8; bytes++) {
        ck_assert_int_eq(envol_random(out, bytes), ENVOL_OK);
        ck_assert_int_eq(envol_random(out, bytes), ENVOL_OK);
    }
    use(CONSTANT);
    ck_assert_int_eq(envol_random(out, 7), ENVOL_OK);
    ck_assert_uint_eq(out[6], fake.block[0]);
}
END_TEST

static void *draw_once(void *status)
{
    uint8_t out[12];

    *(enum envol_status *)status = envol_random(out, sizeof(out));
    return NULL;
}

static enum envol_status draw_elsewhere(void)
{
    enum envol_status status = ENVOL_E_STATE;
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, draw_once, &status), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return status;
}

/* The first draw of a thread, too, is held against what another one drew. */
START_TEST(threads_do_not_draw_the_same)
{
    uint8_t out[12];

    test_fill(fake.block, sizeof(fake.block));
    use(BLOCK);
    ck_assert_int_eq(envol_random(out, sizeof(out)), ENVOL_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(draw_elsewhere(), ENVOL_E_RANDOM);
    expect_failure(12);
    use(HONEST);
    ck_assert_int_eq(draw_elsewhere(), ENVOL_OK);
}
END_TEST

/* A sequence begins beside all other draws, and is then held against itself. */
START_TEST(sequences)
{
    uint64_t one, two = 0;
    uint8_t out[24];

    test_fill(fake.block, sizeof(fake.block));
    use(BLOCK);
    ck_assert_int_eq(envol_random_first(out, 24, &one), ENVOL_OK);
    ck_assert_int_eq(envol_random_first(out, 24, &two), ENVOL_E_RANDOM);
    ck_assert(envol_is_zero(out, 24));
    ck_assert_int_eq(envol_random_next(out, 12, &one), ENVOL_E_RANDOM);
    ck_assert(envol_is_zero(out, 12));
    use(HONEST);
    ck_assert_int_eq(envol_random_first(out, 24, &two), ENVOL_OK);
    use(BLOCK);
    ck_assert_int_eq(envol_random_next(out, 12, &two), ENVOL_OK);
    ck_assert_mem_eq(out, fake.block, 12);
    ck_assert_int_eq(envol_random_next(out, 12, &two), ENVOL_E_RANDOM);
    use(CONSTANT);
    ck_assert_int_eq(envol_random_next(out, 12, &two), ENVOL_E_RANDOM);
    use(FAILING_LATE);
    ck_assert_int_eq(envol_random_next(out, 12, &two), ENVOL_E_RANDOM);
    ck_assert(envol_is_zero(out, 12));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *tcase = tcase_create("random");

    tcase_add_test(tcase, draws_fill_and_differ);
    tcase_add_loop_test(tcase, interrupted_and_short_reads_go_on, INTERRUPTED, SHORT + 1);
    tcase_add_loop_test(tcase, failed_reads_leave_zeros, 0, 4);
    tcase_add_test(tcase, constant_bytes_are_refused);
    tcase_add_test(tcase, same_block_twice_is_refused);
    tcase_add_test(tcase, short_draws_may_repeat);
    tcase_add_test(tcase, threads_do_not_draw_the_same);
    tcase_add_test(tcase, sequences);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
