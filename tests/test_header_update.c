/* SPDX-License-Identifier: BSD-2-Clause */
/* Updates step by step: edits, who may prepare one, what counts as the same header. */
#include "base/bytes.h"
#include "base/memory.h"
#include "children.h"
#include "failing_mlock.h"
#include "header_fixture.h"
#include "support.h"

#include <string.h>

static struct header_fixture f;
static uint8_t copy[ENVOL_HEADER_COPY_BYTES];

static void setup(void)
{
    header_fixture_open(&f, 0);
}

static void teardown(void)
{
    header_fixture_close(&f);
}

static uint8_t *disk(uint32_t which)
{
    return f.bytes + (size_t)which * ENVOL_HEADER_COPY_BYTES;
}

static struct envol_header_info info_of(const struct envol_header *header)
{
    struct envol_header_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_header_info(header, &info));
    return info;
}

static void expect_prepare(enum envol_status expected)
{
    uint32_t first = 9;

    memset(copy, 1, sizeof(copy));
    ck_status(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first), expected);
    if (expected == ENVOL_OK)
        return;
    ck_assert(envol_is_zero(copy, sizeof(copy)));
    ck_assert_uint_eq(first, 0);
}

/* Prepares and writes the first copy alone, as a crash or failure would leave it. */
static void half_update(void)
{
    uint32_t first;

    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    memcpy(disk(first), copy, sizeof(copy));
}

START_TEST(step_by_step)
{
    uint32_t first = 9;

    ck_ok(envol_header_set_pages(f.header, 12, 0, 34));
    ck_assert_uint_eq(info_of(f.header).high_water, 12);
    ck_assert_int_eq(info_of(f.header).clean, 0);
    ck_assert_uint_eq(info_of(f.header).seal_estimate, 34);
    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    ck_assert_uint_eq(first, 1); /* of two equal copies the first is the newest */
    ck_assert_uint_eq(info_of(f.header).generation, 1);
    ck_assert_uint_eq(envol_load64(copy + ENVOL_AT_GENERATION), 2);
    ck_assert_uint_eq(envol_load64(copy + ENVOL_AT_HIGH_WATER), 12);
    memcpy(disk(1), copy, sizeof(copy));
    ck_ok(envol_header_committed(f.header, copy));
    ck_assert_uint_eq(info_of(f.header).generation, 2);
    /* Now the second is newer, and the first is the one to be written. */
    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    ck_assert_uint_eq(first, 0);
    memcpy(disk(0), copy, sizeof(copy));
    ck_ok(envol_header_committed(f.header, copy));
    ck_assert_uint_eq(info_of(f.header).generation, 3);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
}
END_TEST

START_TEST(a_torn_copy_is_written_first)
{
    uint32_t first = 9;

    disk((uint32_t)_i)[777] ^= 1;
    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    ck_assert_uint_eq(first, (uint32_t)_i);
}
END_TEST

START_TEST(arguments)
{
    uint32_t first = 9;

    copy[3] = 1;
    ck_status(envol_header_prepare(NULL, f.keyring, f.bytes, copy, &first), ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(copy, sizeof(copy)));
    ck_assert_uint_eq(first, 0);
    ck_status(envol_header_prepare(f.header, NULL, f.bytes, copy, &first), ENVOL_E_ARGUMENT);
    ck_status(envol_header_prepare(f.header, f.keyring, NULL, copy, &first), ENVOL_E_ARGUMENT);
    ck_status(envol_header_prepare(f.header, f.keyring, f.bytes, NULL, &first), ENVOL_E_ARGUMENT);
    ck_status(envol_header_prepare(f.header, f.keyring, f.bytes, copy, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_committed(NULL, copy), ENVOL_E_ARGUMENT);
    ck_status(envol_header_committed(f.header, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_set_pages(NULL, 0, 1, 0), ENVOL_E_ARGUMENT);
}
END_TEST

START_TEST(pages_and_seals)
{
    const uint64_t last = ((UINT64_C(1) << 63) - 1 - 65536) / 4144;

    ck_ok(envol_header_set_pages(f.header, last, 7, UINT64_MAX - 5));
    ck_assert_int_eq(info_of(f.header).clean, 1);
    ck_assert_uint_eq(info_of(f.header).high_water, last);
    ck_status(envol_header_set_pages(f.header, last + 1, 0, 1), ENVOL_E_RANGE);
    ck_status(envol_header_set_pages(f.header, UINT64_MAX, 0, 1), ENVOL_E_RANGE);
    ck_assert_uint_eq(info_of(f.header).high_water, last);
    ck_assert_int_eq(info_of(f.header).clean, 1);
    ck_assert_uint_eq(info_of(f.header).seal_estimate, UINT64_MAX - 5);
    ck_ok(envol_header_set_pages(f.header, 0, 0, 5));
    ck_assert_uint_eq(info_of(f.header).seal_estimate, UINT64_MAX);
    /* An estimate that starts over would hide that the DEK is due for rotation. */
    ck_ok(envol_header_set_pages(f.header, 0, 0, 1));
    ck_assert_uint_eq(info_of(f.header).seal_estimate, UINT64_MAX);
}
END_TEST

/* --- Who may ---------------------------------------------------------------------------------- */

START_TEST(not_unlocked)
{
    struct envol_header *header;
    uint32_t first;

    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_status(envol_header_prepare(header, f.keyring, f.bytes, copy, &first), ENVOL_E_STATE);
    envol_header_free(header);
    header = header_new(&f, 0);
    ck_status(envol_header_prepare(header, f.keyring, f.bytes, copy, &first), ENVOL_E_STATE);
    envol_header_free(header);
}
END_TEST

/* A MAC under a foreign DEK would lock everybody out: the bytes read back would be the same. */
START_TEST(a_foreign_keyring)
{
    static struct header_fixture other;
    struct envol_header *header;
    struct envol_keyring *keyring = f.keyring;
    uint8_t *bytes = other.bytes;

    header_fixture_open(&other, 0);
    f.keyring = other.keyring;
    expect_prepare(ENVOL_E_STATE);
    /* One that has even the UUID. */
    header = header_new(&f, 0);
    header_add_slot(header, "key", 9);
    ck_ok(envol_header_seal(header, other.dek, 0, bytes, &f.keyring));
    expect_prepare(ENVOL_E_WRONG_KEY);
    envol_keyring_close(f.keyring);
    envol_header_free(header);
    f.keyring = keyring;
    f.keyring->epoch = 2;
    expect_prepare(ENVOL_E_STATE);
    f.keyring->epoch = 1;
    expect_prepare(ENVOL_OK);
    header_fixture_close(&other);
}
END_TEST

static int prepare_in_child(void *argument)
{
    enum envol_status expected = *(const enum envol_status *)argument;
    uint32_t first;

    mlock_fails = expected == ENVOL_E_LOCKED_MEMORY;
    child_expects(ck_note(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first)) ==
                  expected);
    return 0;
}

static void expect_in_child(uint32_t flags, enum envol_status expected)
{
    struct envol_header *header;

    header_fixture_close(&f);
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    f.header = header;
    ck_ok(envol_header_unlock(f.header, f.dek, flags, NULL, &f.keyring));
    ck_assert_int_eq(test_in_child(prepare_in_child, &expected), 0);
}

START_TEST(in_a_forked_child)
{
    expect_in_child(0, ENVOL_E_FORKED);
    expect_in_child(ENVOL_OPEN_INHERIT, ENVOL_OK);
    expect_in_child(ENVOL_OPEN_INHERIT, ENVOL_E_LOCKED_MEMORY);
    expect_prepare(ENVOL_OK);
}
END_TEST

/* --- The same header, and another ------------------------------------------------------------- */

START_TEST(someone_else_was_here)
{
    static uint8_t before[ENVOL_HEADER_BYTES];
    struct header_fixture other = {.keyring = NULL};

    memcpy(before, f.bytes, sizeof(before));
    memcpy(&other, &f, sizeof(other));
    other.header = header_again(&f, &other.keyring);
    ck_ok(envol_header_set_pages(other.header, 5, 0, 0));
    header_update(&other);
    memcpy(f.bytes, other.bytes, sizeof(f.bytes));
    expect_prepare(ENVOL_E_STALE);
    /* Half of it, too, and a pair rolled back under a handle that knows better. */
    memcpy(disk(0), before, ENVOL_HEADER_COPY_BYTES);
    expect_prepare(ENVOL_E_STALE);
    memcpy(f.bytes, before, sizeof(before));
    expect_prepare(ENVOL_OK);
    envol_keyring_close(f.keyring);
    envol_header_free(f.header);
    f.header = other.header;
    f.keyring = other.keyring;
    expect_prepare(ENVOL_E_STALE);
}
END_TEST

START_TEST(no_header_to_update)
{
    disk(1)[ENVOL_AT_HIGH_WATER] ^= 1;
    header_make_mac(disk(1), f.dek);
    expect_prepare(ENVOL_E_STALE); /* one generation twice */
    memset(disk(1), 0, ENVOL_HEADER_COPY_BYTES);
    expect_prepare(ENVOL_OK);
    memset(disk(0), 0, ENVOL_HEADER_COPY_BYTES);
    expect_prepare(ENVOL_E_STALE);
}
END_TEST

static void last_generation(uint8_t *bytes)
{
    envol_store64(bytes + ENVOL_AT_GENERATION, UINT64_MAX);
}

/* The next one would be 0, which no reader takes. */
START_TEST(the_last_generation)
{
    header_forge(&f, last_generation, true);
    header_fixture_close(&f);
    f.header = header_again(&f, &f.keyring);
    expect_prepare(ENVOL_E_RANGE);
}
END_TEST

START_TEST(committed_takes_what_was_prepared)
{
    static uint8_t changed[ENVOL_HEADER_COPY_BYTES];
    uint32_t first;

    ck_status(envol_header_committed(f.header, f.bytes), ENVOL_E_STATE);
    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    ck_status(envol_header_committed(f.header, f.bytes), ENVOL_E_STATE);
    memcpy(changed, copy, sizeof(copy));
    changed[5000] ^= 1;
    ck_status(envol_header_committed(f.header, changed), ENVOL_E_STATE);
    ck_ok(envol_header_committed(f.header, copy));
    ck_status(envol_header_committed(f.header, copy), ENVOL_E_STATE);
}
END_TEST

/* --- Attempts that failed --------------------------------------------------------------------- */

START_TEST(nothing_of_it_was_written)
{
    uint32_t first;

    ck_ok(envol_header_set_pages(f.header, 1, 0, 0));
    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    ck_ok(envol_header_set_pages(f.header, 2, 0, 0));
    header_update(&f);
    ck_assert_uint_eq(info_of(f.header).generation, 2);
    ck_assert_uint_eq(envol_load64(f.bytes + ENVOL_AT_HIGH_WATER), 2);
}
END_TEST

START_TEST(half_of_it_was_written)
{
    ck_ok(envol_header_set_pages(f.header, 1, 0, 0));
    half_update();
    ck_assert_uint_eq(info_of(f.header).generation, 1);
    ck_ok(envol_header_set_pages(f.header, 2, 0, 0));
    header_update(&f);
    ck_assert_uint_eq(info_of(f.header).generation, 3);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
}
END_TEST

/* Each of several attempts may be the last that reached the disk. */
START_TEST(several_attempts)
{
    static uint8_t after_first[ENVOL_HEADER_BYTES];

    half_update();
    memcpy(after_first, f.bytes, sizeof(after_first));
    half_update();
    half_update();
    expect_prepare(ENVOL_OK);
    memcpy(f.bytes, after_first, sizeof(after_first));
    expect_prepare(ENVOL_E_STALE); /* two attempts before: the disk went back */
    header_fixture_close(&f);
    f.header = header_again(&f, &f.keyring);
    half_update();
    memcpy(after_first, f.bytes, sizeof(after_first));
    for (unsigned i = 0; i < 3; i++) { /* what follows is lost each time */
        expect_prepare(ENVOL_OK);
        memcpy(f.bytes, after_first, sizeof(after_first));
    }
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_update");
    TCase *c = tcase_create("update");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, step_by_step);
    tcase_add_loop_test(c, a_torn_copy_is_written_first, 0, 2);
    tcase_add_test(c, arguments);
    tcase_add_test(c, pages_and_seals);
    tcase_add_test(c, not_unlocked);
    tcase_add_test(c, a_foreign_keyring);
    tcase_add_test(c, in_a_forked_child);
    tcase_add_test(c, someone_else_was_here);
    tcase_add_test(c, no_header_to_update);
    tcase_add_test(c, the_last_generation);
    tcase_add_test(c, committed_takes_what_was_prepared);
    tcase_add_test(c, nothing_of_it_was_written);
    tcase_add_test(c, half_of_it_was_written);
    tcase_add_test(c, several_attempts);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
