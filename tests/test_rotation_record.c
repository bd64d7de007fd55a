/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rotation record: where each field of it stands, that a forged one is never looked at, and
 * what one is refused for that has a MAC.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "header_rotation.h"
#include "page_fixture.h"
#include "support.h"

#include <string.h>

static struct header_fixture f;

/* A rotation of a volume of 1,000 pages that is unfinished. */
static bool setup_suite(enum envol_suite suite)
{
    if (!page_suite(suite)) {
        test_skip("rotation records", "no kernel does the suite");
        return false;
    }
    header_fixture_open(&f, suite);
    ck_ok(envol_header_set_pages(f.header, 1000, 0, 0));
    header_update(&f);
    header_rotate_all(&f);
    return true;
}

static struct envol_rotation_record of_pages(void)
{
    struct envol_rotation_record record = {.kind = ENVOL_ROTATION_PAGES,
                                           .from_epoch = 1,
                                           .next_page = 0x0102,
                                           .bad_pages = 0x1112131415161718,
                                           .first_bad = 0x2122232425262728,
                                           .hot_first = 0x0102,
                                           .hot_count = 0x0304,
                                           .pages = 0x050607,
                                           .journal_page = 0x090a0b0c};

    for (unsigned i = 0; i < sizeof(record.commitment); i++)
        record.commitment[i] = (uint8_t)(0x80 + i);
    return record;
}

/* --- Layout --- */

START_TEST(a_record_of_a_sweep)
{
    static const uint8_t expected[ENVOL_ROTATION_BYTES] = {
        1, 0, 0, 0, 1, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 6, 5,
    };

    if (!setup_suite(_i == 0 ? ENVOL_SUITE_AES_256_GCM : ENVOL_SUITE_AES_256_XTS))
        return;
    ck_ok(envol_header_set_sweep(f.header, 0x0102030405060708, 3, 0x0506));
    header_update(&f);
    ck_assert_mem_eq(f.bytes + ENVOL_AT_ROTATION, expected, sizeof(expected));
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_fixture_close(&f);
}
END_TEST

START_TEST(a_record_of_pages)
{
    static const char expected[] =
        "02000000"
        "01000000"
        "0201000000000000"
        "1817161514131211"
        "2827262524232221"
        "0201000000000000"
        "0403000000000000"
        "0706050000000000"
        "0c0b0a0900000000"
        "808182838485868788898a8b8c8d8e8f"
        "909192939495969798999a9b9c9d9e9f"
        "0000000000000000000000000000000000000000000000000000000000000000";
    const struct envol_rotation_record record = of_pages();
    struct envol_header *header;
    struct envol_keyring *keyring;

    if (!setup_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_OK);
    header_update(&f);
    ck_mem_hex(f.bytes + ENVOL_AT_ROTATION, expected);
    header = header_again(&f, &keyring);
    ck_assert_mem_eq(&header->rotation, &record, sizeof(record));
    envol_keyring_close(keyring);
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

/* --- Without the DEK --- */

/* Every bit of it is under the MAC: no other status shows that something was looked at. */
START_TEST(every_byte_flipped)
{
    const struct envol_rotation_record record = of_pages();

    if (!setup_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    if (_i == 1)
        ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_OK);
    header_update(&f);
    for (size_t at = 0; at < ENVOL_ROTATION_BYTES; at++) {
        for (size_t copy = 0; copy < sizeof(f.bytes); copy += ENVOL_HEADER_COPY_BYTES) {
            f.bytes[copy + ENVOL_AT_ROTATION + at] ^= (uint8_t)(1u << at % 8);
            header_make_crc(f.bytes + copy);
        }
        ck_assert_msg(header_try(&f, f.bytes) == ENVOL_E_WRONG_KEY, "byte %zu", at);
        for (size_t copy = 0; copy < sizeof(f.bytes); copy += ENVOL_HEADER_COPY_BYTES) {
            f.bytes[copy + ENVOL_AT_ROTATION + at] ^= (uint8_t)(1u << at % 8);
            header_make_crc(f.bytes + copy);
        }
    }
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_fixture_close(&f);
}
END_TEST

/* CVE-2021-4122 was a record that anybody could write into a header where none was. */
static void write_a_record(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_ROTATION, ENVOL_ROTATION_SWEEP);
    envol_store32(copy + ENVOL_AT_ROTATION + ENVOL_ROTATION_AT_FROM, 1);
}

static void clear_the_record(uint8_t *copy)
{
    memset(copy + ENVOL_AT_ROTATION, 0, ENVOL_ROTATION_BYTES);
}

START_TEST(written_or_cleared_by_anybody)
{
    header_fixture_open(&f, 0);
    header_forge(&f, write_a_record, false);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_WRONG_KEY);
    header_forge(&f, clear_the_record, false);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_rotate_all(&f);
    header_forge(&f, clear_the_record, false);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_WRONG_KEY);
    header_fixture_close(&f);
}
END_TEST

/* --- With the DEK --- */

static const struct bad {
    const char *what;
    uint32_t kind;
    size_t at, bytes;
    uint64_t value;
    enum envol_status status;
} bads[] = {
    {"kind 3", 0, 0, 4, 3, ENVOL_E_VERSION},
    {"the last kind", 0, 0, 4, UINT32_MAX, ENVOL_E_VERSION},
    {"kind 0 and an epoch", 0, 0, 4, 0, ENVOL_E_CORRUPT},
    {"spare", 1, 96, 1, 1, ENVOL_E_VERSION},
    {"the last spare", 2, 127, 1, 0x80, ENVOL_E_VERSION},
    {"the current epoch", 1, 4, 4, 2, ENVOL_E_CORRUPT},
    {"no epoch", 1, 4, 4, 0, ENVOL_E_CORRUPT},
    {"an epoch to come", 2, 4, 4, 3, ENVOL_E_CORRUPT},
    {"a first of no bad pages", 1, 24, 8, 1, ENVOL_E_CORRUPT},
    {"a sweep's hot first", 1, 32, 8, 1, ENVOL_E_CORRUPT},
    {"a sweep's hot count", 1, 40, 8, 1, ENVOL_E_CORRUPT},
    {"a sweep's pages", 1, 48, 8, 1, ENVOL_E_CORRUPT},
    {"a sweep's journal", 1, 56, 8, 1, ENVOL_E_CORRUPT},
    {"a sweep's commitment", 1, 95, 1, 1, ENVOL_E_CORRUPT},
    {"beyond the pages", 2, 8, 8, 0x050608, ENVOL_E_CORRUPT},
    {"another hot range", 2, 32, 8, 0x0103, ENVOL_E_CORRUPT},
    {"a hot range beyond the pages", 2, 40, 8, 0x050607 - 0x0102 + 1, ENVOL_E_CORRUPT},
    {"a hot range that wraps", 2, 40, 8, UINT64_MAX, ENVOL_E_CORRUPT},
    {"no hot range but its place", 2, 40, 8, 0, ENVOL_E_CORRUPT},
    {"fewer pages than swept", 2, 48, 8, 0x0101, ENVOL_E_CORRUPT},
    {"more pages than before the journal", 2, 48, 8, 0x090a0b0d, ENVOL_E_CORRUPT},
    {"more pages than offsets", 2, 48, 8, UINT64_C(1) << 51, ENVOL_E_CORRUPT},
    {"a journal among the pages", 2, 56, 8, 0x050606, ENVOL_E_CORRUPT},
    {"a journal beyond 2^63", 2, 56, 8, UINT64_C(1) << 51, ENVOL_E_CORRUPT},
};
enum { BADS = sizeof(bads) / sizeof(bads[0]) };

static const struct bad *bad;

static void apply_bad(uint8_t *copy)
{
    uint8_t *at = copy + ENVOL_AT_ROTATION + bad->at;

    if (bad->bytes == 1)
        *at = (uint8_t)bad->value;
    else if (bad->bytes == 4)
        envol_store32(at, (uint32_t)bad->value);
    else
        envol_store64(at, bad->value);
}

START_TEST(out_of_bounds)
{
    const struct envol_rotation_record record = of_pages();

    bad = &bads[_i];
    if (!setup_suite(bad->kind == ENVOL_ROTATION_PAGES ? ENVOL_SUITE_AES_256_XTS
                                                       : ENVOL_SUITE_AES_256_GCM))
        return;
    if (bad->kind == ENVOL_ROTATION_PAGES)
        ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_OK);
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_forge(&f, apply_bad, true);
    ck_assert_msg(header_try(&f, f.bytes) == bad->status, "%s", bad->what);
    header_fixture_close(&f);
}
END_TEST

static void of_kind_pages(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_ROTATION, ENVOL_ROTATION_PAGES);
}

/* GCM has trailers, and no use for a journal. */
START_TEST(pages_of_gcm)
{
    if (!setup_suite(ENVOL_SUITE_AES_256_GCM))
        return;
    header_forge(&f, of_kind_pages, true);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_CORRUPT);
    header_fixture_close(&f);
}
END_TEST

static void drop_the_old_dek(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_RETAINED_COUNT, 0);
    memset(copy + ENVOL_AT_RETAINED, 0, ENVOL_RETAINED_BYTES);
}

START_TEST(the_dek_that_is_left_is_not_there)
{
    if (!setup_suite(ENVOL_SUITE_AES_256_GCM))
        return;
    header_forge(&f, drop_the_old_dek, true);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_CORRUPT);
    header_fixture_close(&f);
}
END_TEST

/* --- The volume's own hands --- */

START_TEST(set_rotation_refuses)
{
    struct envol_rotation_record record = of_pages(), none = {0};

    if (!setup_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    ck_assert_int_eq(envol_header_set_rotation(f.header, &none), ENVOL_E_STATE);
    record.hot_count = UINT64_MAX;
    ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_E_RANGE);
    ck_assert_uint_eq(f.header->rotation.kind, ENVOL_ROTATION_SWEEP);
    record = of_pages();
    ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_OK);
    ck_status(envol_header_set_sweep(f.header, 7, 0, 0), ENVOL_E_STATE);
    ck_status(envol_header_retire(f.header, 0), ENVOL_E_STATE); /* a hot range */
    record.hot_first = record.hot_count = 0;
    memset(record.commitment, 0, sizeof(record.commitment));
    ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_OK);
    ck_status(envol_header_retire(f.header, ENVOL_RETIRE_KEEP), ENVOL_E_STATE); /* not at the end */
    record.next_page = record.pages;
    ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_OK);
    ck_ok(envol_header_retire(f.header, 0));
    ck_assert_int_eq(envol_header_set_rotation(f.header, &record), ENVOL_E_STATE);
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rotation_record");
    TCase *tcase = tcase_create("record");

    tcase_add_loop_test(tcase, a_record_of_a_sweep, 0, 2);
    tcase_add_test(tcase, a_record_of_pages);
    tcase_add_loop_test(tcase, every_byte_flipped, 0, 2);
    tcase_add_test(tcase, written_or_cleared_by_anybody);
    tcase_add_loop_test(tcase, out_of_bounds, 0, BADS);
    tcase_add_test(tcase, pages_of_gcm);
    tcase_add_test(tcase, the_dek_that_is_left_is_not_there);
    tcase_add_test(tcase, set_rotation_refuses);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
