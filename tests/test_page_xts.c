/* SPDX-License-Identifier: BSD-2-Clause */
/* XTS pages: tweak, segments of 1 TiB, objects' own keys, and what is refused. */
#include "base/memory.h"
#include "page_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define PAGE    4096u
#define SEGMENT ((UINT64_C(1) << 40) / PAGE) /* pages */

static const struct page_wish xts = {.suite = ENVOL_SUITE_AES_256_XTS, .page_bytes = PAGE};

static void check_page(const struct page_fixture *f, struct envol_lane *lane, uint64_t page_no)
{
    struct oracle o = page_fixture_oracle(f, page_no);
    uint8_t page[PAGE], record[PAGE], expected[PAGE];

    test_fill(page, PAGE);
    oracle_xts_record(&o, page, expected);
    ck_ok(envol_page_seal(f->object, lane, page_no, page, record));
    ck_assert_mem_eq(record, expected, PAGE);
    ck_ok(envol_page_unseal(f->object, lane, page_no, record, record));
    ck_assert_mem_eq(record, page, PAGE);
}

/* Both sides of segment edges, back and forth, so that keys in a lane are found and replaced. */
START_TEST(segment_edges)
{
    static const uint64_t edges[] = {1, 2, 3, 5, 100, 5, 1, 255, UINT64_C(1) << 22, 1};
    struct page_fixture f;

    page_fixture_open(&f, &xts);
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        check_page(&f, f.lane, edges[i] * SEGMENT - 1);
        check_page(&f, f.lane, edges[i] * SEGMENT);
        check_page(&f, NULL, edges[i] * SEGMENT - 1);
        check_page(&f, NULL, edges[i] * SEGMENT);
    }
    check_page(&f, f.lane, (UINT64_C(1) << 63) / PAGE - 1);
    page_fixture_close(&f);
}
END_TEST

START_TEST(batches_cross_segments)
{
    enum { COUNT = 40 };
    static uint8_t page[COUNT][PAGE], record[COUNT][PAGE], expected[PAGE];
    struct envol_page_op ops[COUNT];
    struct page_fixture f;

    page_fixture_open(&f, &xts);
    test_fill(page, sizeof(page));
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t segment = i < 20 ? 7 : test_random() % 8 + 1;
        ops[i] = (struct envol_page_op){.page_no = segment * SEGMENT - 10 + i,
                                        .page = page[i],
                                        .record = record[i],
                                        .status = ENVOL_E_STATE};
    }
    ck_ok(envol_page_seal_batch(f.object, _i ? f.lane : NULL, ops, COUNT));
    for (size_t i = 0; i < COUNT; i++) {
        struct oracle o = page_fixture_oracle(&f, ops[i].page_no);
        oracle_xts_record(&o, page[i], expected);
        ck_assert_mem_eq(record[i], expected, PAGE);
        ops[i].page = record[i];
    }
    ck_ok(envol_page_unseal_batch(f.object, _i ? f.lane : NULL, ops, COUNT));
    ck_assert_mem_eq(record, page, sizeof(page));
    page_fixture_close(&f);
}
END_TEST

/* One lane, many objects: each has its own key. */
START_TEST(objects_have_their_own_keys)
{
    enum { OBJECTS = 9 };
    static uint8_t record[OBJECTS][PAGE];
    struct envol_object *object[OBJECTS];
    uint8_t page[PAGE] = {0}, got[PAGE], expected[PAGE];
    struct page_fixture f;

    page_fixture_open(&f, &xts);
    for (size_t i = 0; i < OBJECTS; i++) {
        struct oracle o = page_fixture_oracle(&f, 5);

        o.object[i] ^= 0x80;
        ck_ok(envol_object_open(f.keyring, o.object, &object[i]));
        ck_ok(envol_page_seal(object[i], f.lane, 5, page, record[i]));
        oracle_xts_record(&o, page, expected);
        ck_assert_mem_eq(record[i], expected, PAGE);
    }
    for (size_t round = 0; round < 60; round++) {
        size_t i = test_random() % OBJECTS, j = (i + 1) % OBJECTS;

        ck_ok(envol_page_unseal(object[i], f.lane, 5, record[i], got));
        ck_assert(envol_is_zero(got, PAGE));
        /* Of another object: garbage, and no status says so. */
        ck_ok(envol_page_unseal(object[i], f.lane, 5, record[j], got));
        ck_assert(!envol_is_zero(got, PAGE));
    }
    for (size_t i = 0; i < OBJECTS; i++)
        envol_object_close(object[i]);
    page_fixture_close(&f);
}
END_TEST

/* What XTS cannot do, as documented: nothing authenticates, and the same page seals to the same. */
START_TEST(content_never_fails)
{
    uint8_t page[PAGE] = {0}, first[PAGE], second[PAGE];
    struct page_fixture f;

    page_fixture_open(&f, &xts);
    ck_ok(envol_page_unseal(f.object, f.lane, 3, page, first));
    ck_assert(!envol_is_zero(first, PAGE));
    ck_ok(envol_page_seal(f.object, f.lane, 3, page, first));
    ck_ok(envol_page_seal(f.object, f.lane, 3, page, second));
    ck_assert_mem_eq(first, second, PAGE);
    first[100] ^= 1;
    ck_ok(envol_page_unseal(f.object, f.lane, 3, first, second));
    ck_assert(envol_is_zero(second, 96) && !envol_is_zero(second + 96, 16) &&
              envol_is_zero(second + 112, PAGE - 112));
    page_fixture_close(&f);
}
END_TEST

/* A detached call needs no trailer, and does not touch one. */
START_TEST(detached)
{
    uint8_t page[PAGE], whole[PAGE], apart[PAGE], trailer[ENVOL_TRAILER_BYTES];
    struct page_fixture f;

    page_fixture_open(&f, &xts);
    test_fill(page, PAGE);
    memset(trailer, 0xee, sizeof(trailer));
    ck_ok(envol_page_seal(f.object, f.lane, 3, page, whole));
    ck_ok(envol_page_seal_detached(f.object, f.lane, 3, page, apart, NULL));
    ck_assert_mem_eq(whole, apart, PAGE);
    ck_ok(envol_page_seal_detached(f.object, f.lane, 3, page, apart, trailer));
    ck_assert_mem_eq(whole, apart, PAGE);
    ck_ok(envol_page_unseal_detached(f.object, f.lane, 3, apart, NULL, apart));
    ck_assert_mem_eq(page, apart, PAGE);
    ck_assert_uint_eq(trailer[0], 0xee);
    ck_assert_uint_eq(trailer[ENVOL_TRAILER_BYTES - 1], 0xee);
    page_fixture_close(&f);
}
END_TEST

/* No DEK is known that derives equal halves: they are written over an object's keys. */
START_TEST(equal_halves_are_refused)
{
    uint8_t page[PAGE] = {1}, record[PAGE];
    struct page_fixture f;

    page_fixture_open(&f, &xts);
    memcpy(f.object->xts_raw + 32, f.object->xts_raw, 32);
    for (int with_lane = 0; with_lane < 2; with_lane++) {
        struct envol_lane *lane = with_lane ? f.lane : NULL;

        memset(record, 0xee, PAGE);
        ck_status(envol_page_seal(f.object, lane, 0, page, record), ENVOL_E_ARGUMENT);
        ck_assert(envol_is_zero(record, PAGE));
        memset(record, 0xee, PAGE);
        ck_status(envol_page_unseal(f.object, lane, 0, page, record), ENVOL_E_ARGUMENT);
        ck_assert(envol_is_zero(record, PAGE));
        ck_ok(envol_page_seal(f.object, lane, SEGMENT, page, record));
    }
    page_fixture_close(&f);
}
END_TEST

START_TEST(smallest_and_largest_pages)
{
    const struct page_wish wish = {.suite = ENVOL_SUITE_AES_256_XTS,
                                   .page_bytes = _i ? ENVOL_PAGE_BYTES_MAX : ENVOL_PAGE_BYTES_MIN};
    struct page_fixture f;
    uint8_t *page, *record;

    page_fixture_open(&f, &wish);
    page = page_buffer(f.page_bytes);
    record = page_buffer(f.stride_bytes);
    test_fill(page, f.page_bytes);
    ck_ok(envol_page_seal(f.object, f.lane, 3, page, record));
    ck_assert(memcmp(page, record, f.page_bytes) != 0);
    ck_ok(envol_page_unseal(f.object, NULL, 3, record, record));
    ck_assert(memcmp(page, record, f.page_bytes) == 0);
    free(page);
    free(record);
    page_fixture_close(&f);
}
END_TEST

START_TEST(any_alignment)
{
    uint8_t page[512], buffer[512 + 64], apart[512 + 64];
    const struct page_wish wish = {.suite = ENVOL_SUITE_AES_256_XTS, .page_bytes = 512};
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    for (size_t shift = 0; shift < 64; shift++) {
        uint8_t *p = buffer + shift, *q = apart + 63 - shift;

        test_fill(page, sizeof(page));
        memcpy(p, page, sizeof(page));
        ck_ok(envol_page_seal(f.object, f.lane, shift, p, q));
        ck_ok(envol_page_seal(f.object, f.lane, shift, p, p));
        ck_assert_mem_eq(p, q, sizeof(page));
        ck_ok(envol_page_unseal(f.object, f.lane, shift, p, p));
        ck_assert_mem_eq(p, page, sizeof(page));
    }
    page_fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_xts");
    TCase *tcase = tcase_create("xts");

    if (page_suite(ENVOL_SUITE_AES_256_XTS)) {
        tcase_add_test(tcase, segment_edges);
        tcase_add_loop_test(tcase, batches_cross_segments, 0, 2);
        tcase_add_test(tcase, objects_have_their_own_keys);
        tcase_add_test(tcase, content_never_fails);
        tcase_add_test(tcase, detached);
        tcase_add_test(tcase, equal_halves_are_refused);
        tcase_add_loop_test(tcase, smallest_and_largest_pages, 0, 2);
        tcase_add_test(tcase, any_alignment);
    }
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
