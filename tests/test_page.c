/* SPDX-License-Identifier: BSD-2-Clause */
/* GCM pages: what is bound into a record, what unseal makes of others, and where buffers may lie.
 */
#include "base/memory.h"
#include "page_calls.h"
#include "page_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define PAGE   512u
#define GAP    32u
#define STRIDE (PAGE + GAP + ENVOL_TRAILER_BYTES)

static const struct page_wish small = {.page_bytes = PAGE, .gap_bytes = GAP, .epoch = 5};

/* What a failed unseal must leave: zeros, and nothing beyond them. */
static void check_unseal(const struct page_fixture *f, uint64_t page_no, const uint8_t *record,
                         enum envol_status expected)
{
    struct envol_lane *lanes[2] = {NULL, f->lane};
    uint8_t got[PAGE + 1];

    for (size_t i = 0; i < 2; i++) {
        memset(got, 0xee, sizeof(got));
        ck_status(envol_page_unseal(f->object, lanes[i], page_no, record, got), expected);
        ck_assert(envol_is_zero(got, PAGE));
        ck_assert_uint_eq(got[PAGE], 0xee);
    }
}

static void seal_some(const struct page_fixture *f, uint64_t page_no, uint8_t page[PAGE],
                      uint8_t record[STRIDE])
{
    test_fill(page, PAGE);
    ck_ok(envol_page_seal(f->object, f->lane, page_no, page, record));
}

/* --- every bit --- */

/* An epoch above the keyring's is the one field that reads as something else: as a newer header's.
 */
static enum envol_status expected_of(const struct page_fixture *f, const uint8_t *record)
{
    const uint8_t *t = record + STRIDE - ENVOL_TRAILER_BYTES;
    uint32_t epoch =
        (uint32_t)t[0] | (uint32_t)t[1] << 8 | (uint32_t)t[2] << 16 | (uint32_t)t[3] << 24;

    return epoch > f->wish.epoch ? ENVOL_E_STALE : ENVOL_E_CORRUPT;
}

START_TEST(every_flipped_bit_is_detected)
{
    uint8_t page[PAGE], record[STRIDE], got[PAGE];
    struct page_fixture f;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    page_fixture_open(&f, &small);
    seal_some(&f, 77, page, record);
    for (size_t bit = 0; bit < 8 * STRIDE; bit++) {
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_unseal(&f, 77, record, expected_of(&f, record));
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_ok(envol_page_unseal(f.object, f.lane, 77, record, got));
    ck_assert_mem_eq(got, page, PAGE);
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

START_TEST(every_flipped_bit_of_a_hole_is_detected)
{
    struct page_fixture f;
    uint8_t record[STRIDE];

    page_fixture_open(&f, &small);
    ck_ok(envol_page_seal_hole(f.object, f.lane, 3, record));
    check_unseal(&f, 3, record, ENVOL_E_UNWRITTEN);
    check_unseal(&f, 4, record, ENVOL_E_CORRUPT);
    for (size_t bit = 0; bit < 8 * STRIDE; bit++) {
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_unseal(&f, 3, record, expected_of(&f, record));
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    page_fixture_close(&f);
}
END_TEST

/* --- every field that is bound --- */

/* Records that an attacker who holds the key might make: each authenticates, in another place. */
START_TEST(records_of_another_place_are_corrupt)
{
    static const uint64_t moves[] = {1, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 52};
    struct page_fixture f;
    uint8_t page[PAGE] = {1}, record[STRIDE], other[STRIDE];
    struct oracle o;

    page_fixture_open(&f, &small);
    o = page_fixture_oracle(&f, 10);
    test_fill(o.nonce, sizeof(o.nonce));
    oracle_gcm_record(&o, page, record);
    ck_ok(envol_page_unseal(f.object, f.lane, 10, record, other));
    for (size_t i = 0; i < 4; i++)
        check_unseal(&f, 10 ^ moves[i], record, ENVOL_E_CORRUPT);
    for (size_t byte = 0; byte < 16; byte++) {
        struct oracle moved = o;

        moved.object[byte] ^= 1;
        oracle_gcm_record(&moved, page, other);
        check_unseal(&f, 10, other, ENVOL_E_CORRUPT);
        moved = o;
        moved.uuid[byte] ^= 1;
        oracle_gcm_record(&moved, page, other);
        check_unseal(&f, 10, other, ENVOL_E_CORRUPT);
    }
    page_fixture_close(&f);
}
END_TEST

/* A record that says something unknown of itself, and authenticates. */
static void check_unknown(const struct page_fixture *f, struct oracle *o, void *field, int bit)
{
    uint8_t page[PAGE] = {2}, record[STRIDE];

    ((uint8_t *)field)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    oracle_gcm_record(o, page, record);
    check_unseal(f, o->page_no, record, ENVOL_E_CORRUPT);
    ((uint8_t *)field)[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

START_TEST(unknown_bits_are_corrupt_even_when_they_authenticate)
{
    struct page_fixture f;
    struct oracle o;

    page_fixture_open(&f, &small);
    o = page_fixture_oracle(&f, 10);
    for (int bit = 0; bit < 16; bit++)
        check_unknown(&f, &o, &o.flags, bit);
    for (int bit = 0; bit < 8; bit++)
        check_unknown(&f, &o, &o.format, bit);
    for (int bit = 1; bit < 8; bit++)
        check_unknown(&f, &o, &o.type, bit);
    page_fixture_close(&f);
}
END_TEST

/* Same DEK, UUID, object, page number and nonce: only the suite, epoch or size says no. */
START_TEST(other_suite_epoch_and_size_are_corrupt)
{
    uint8_t page[2 * PAGE] = {3}, record[2 * PAGE + ENVOL_TRAILER_BYTES];
    struct page_fixture f;
    struct oracle o;

    page_fixture_open(&f, &small);
    o = page_fixture_oracle(&f, 10);
    o.suite = ORACLE_XTS;
    oracle_gcm_record(&o, page, record);
    check_unseal(&f, 10, record, ENVOL_E_CORRUPT);
    o = page_fixture_oracle(&f, 10);
    o.page_bytes = PAGE + GAP;
    oracle_gcm_record(&o, page, record);
    check_unseal(&f, 10, record, ENVOL_E_CORRUPT);
    for (uint32_t epoch = 0; epoch < 8; epoch++) {
        o = page_fixture_oracle(&f, 10);
        o.epoch = epoch;
        oracle_gcm_record(&o, page, record);
        if (epoch != 5)
            check_unseal(&f, 10, record, epoch > 5 ? ENVOL_E_STALE : ENVOL_E_CORRUPT);
    }
    page_fixture_close(&f);
}
END_TEST

/* The trailer's epoch changed to one that is live too: the other DEK does not open the record. */
START_TEST(epochs_are_not_interchangeable)
{
    const struct page_wish wish = {.page_bytes = PAGE, .gap_bytes = GAP, .epoch = 5, .retained = 1};
    uint8_t page[PAGE] = {4}, record[STRIDE];
    struct page_fixture f;
    struct oracle o;

    page_fixture_open(&f, &wish);
    o = page_fixture_oracle_of(&f, 10, 1);
    oracle_gcm_record(&o, page, record);
    ck_ok(envol_page_unseal(f.object, f.lane, 10, record, page));
    record[STRIDE - ENVOL_TRAILER_BYTES] = 5;
    check_unseal(&f, 10, record, ENVOL_E_CORRUPT);
    page_fixture_close(&f);
}
END_TEST

/* --- records of zeros, torn ones, and blobs --- */

START_TEST(zeros_are_corrupt)
{
    uint8_t record[STRIDE] = {0};
    struct page_fixture f;

    page_fixture_open(&f, &small);
    check_unseal(&f, 0, record, ENVOL_E_CORRUPT);
    memset(record, 0xff, sizeof(record));
    check_unseal(&f, 0, record, ENVOL_E_CORRUPT);
    page_fixture_close(&f);
}
END_TEST

START_TEST(torn_records_are_corrupt)
{
    const struct page_wish wish = {.page_bytes = 4048};
    uint8_t page[4048], old[4096], new[4096], torn[4096];
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    memset(page, 1, sizeof(page));
    ck_ok(envol_page_seal(f.object, f.lane, 1, page, old));
    ck_ok(envol_page_seal(f.object, f.lane, 1, page, new));
    for (size_t edge = 512; edge < 4096; edge += 512) {
        memcpy(torn, new, edge);
        memcpy(torn + edge, old + edge, 4096 - edge);
        ck_status(envol_page_unseal(f.object, f.lane, 1, torn, page), ENVOL_E_CORRUPT);
        ck_assert(envol_is_zero(page, sizeof(page)));
    }
    page_fixture_close(&f);
}
END_TEST

/* A blob that is as long as a page, and the other way round. */
START_TEST(blobs_are_not_pages)
{
    const struct page_wish wish = {.page_bytes = PAGE};
    uint8_t page[PAGE] = {5}, record[PAGE + ENVOL_TRAILER_BYTES];
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    ck_ok(envol_blob_seal(f.object, f.lane, NULL, 0, page, PAGE, record));
    check_unseal(&f, 0, record, ENVOL_E_CORRUPT);
    ck_ok(envol_page_seal(f.object, f.lane, 0, page, record));
    ck_status(envol_blob_unseal(f.object, f.lane, NULL, 0, record, sizeof(record), page),
              ENVOL_E_CORRUPT);
    ck_assert(envol_is_zero(page, PAGE));
    page_fixture_close(&f);
}
END_TEST

START_TEST(trailers_tell_their_epoch)
{
    uint8_t page[PAGE], record[STRIDE], *trailer = record + STRIDE - ENVOL_TRAILER_BYTES;
    struct page_fixture f;
    uint32_t epoch = 99;

    page_fixture_open(&f, &small);
    seal_some(&f, 0, page, record);
    ck_ok(envol_trailer_epoch(trailer, &epoch));
    ck_assert_uint_eq(epoch, 5);
    ck_status(envol_trailer_epoch(NULL, &epoch), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(epoch, 0);
    ck_status(envol_trailer_epoch(trailer, NULL), ENVOL_E_ARGUMENT);
    trailer[6] = 1;
    epoch = 99;
    ck_status(envol_trailer_epoch(trailer, &epoch), ENVOL_E_CORRUPT);
    ck_assert_uint_eq(epoch, 0);
    page_fixture_close(&f);
}
END_TEST

/* --- where buffers lie --- */

/* Page and record at any alignment, in place and apart, whole and detached. */
START_TEST(any_alignment_in_place_and_apart)
{
    uint8_t buffer[STRIDE + 64], apart[STRIDE + 64], trailer[ENVOL_TRAILER_BYTES + 64];
    uint8_t page[PAGE];
    struct page_fixture f;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    page_fixture_open(&f, &small);
    for (size_t shift = 0; shift < 64; shift++) {
        uint8_t *p = buffer + shift, *q = apart + 63 - shift, *t = trailer + shift * 7 % 64;

        test_fill(page, PAGE);
        memset(buffer, 0xee, sizeof(buffer));
        memcpy(p, page, PAGE);
        ck_ok(envol_page_seal(f.object, f.lane, shift, p, p));
        ck_ok(envol_page_unseal(f.object, f.lane, shift, p, q));
        ck_assert_mem_eq(q, page, PAGE);
        ck_ok(envol_page_unseal(f.object, NULL, shift, p, p));
        ck_assert_mem_eq(p, page, PAGE);
        ck_ok(envol_page_seal_detached(f.object, f.lane, shift, p, q, t));
        ck_ok(envol_page_seal_detached(f.object, f.lane, shift, p, p, t));
        ck_ok(envol_page_unseal_detached(f.object, f.lane, shift, p, t, q));
        ck_assert_mem_eq(q, page, PAGE);
        ck_ok(envol_page_unseal_detached(f.object, f.lane, shift, p, t, p));
        ck_assert_mem_eq(p, page, PAGE);
        ck_assert(shift == 0 || buffer[shift - 1] == 0xee);
        ck_assert(buffer[shift + STRIDE] == 0xee);
    }
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

/* A record is its ciphertext, zeros and a detached trailer put together, and comes apart again. */
START_TEST(detached_is_the_same_record)
{
    uint8_t page[PAGE], record[STRIDE] = {0}, got[PAGE + 1];
    uint8_t *trailer = record + STRIDE - ENVOL_TRAILER_BYTES;
    struct page_fixture f;

    page_fixture_open(&f, &small);
    test_fill(page, PAGE);
    ck_ok(envol_page_seal_detached(f.object, f.lane, 8, page, record, trailer));
    ck_ok(envol_page_unseal(f.object, f.lane, 8, record, got));
    ck_assert_mem_eq(got, page, PAGE);
    seal_some(&f, 9, page, record);
    ck_ok(envol_page_unseal_detached(f.object, f.lane, 9, record, trailer, got));
    ck_assert_mem_eq(got, page, PAGE);
    got[PAGE] = 0xee;
    for (size_t bit = 0; bit < 8 * ENVOL_TRAILER_BYTES; bit++) {
        trailer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_status(envol_page_unseal_detached(f.object, f.lane, 9, record, trailer, got),
                  expected_of(&f, record));
        ck_assert(envol_is_zero(got, PAGE) && got[PAGE] == 0xee);
        trailer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    page_fixture_close(&f);
}
END_TEST

START_TEST(failures_in_place_leave_zeros)
{
    uint8_t page[PAGE], record[STRIDE];
    struct page_fixture f;

    page_fixture_open(&f, &small);
    seal_some(&f, 1, page, record);
    ck_status(envol_page_unseal(f.object, f.lane, 2, record, record), ENVOL_E_CORRUPT);
    ck_assert(envol_is_zero(record, PAGE));
    seal_some(&f, 1, page, record);
    record[PAGE + GAP - 1] = 1;
    ck_status(envol_page_unseal(f.object, f.lane, 1, record, record), ENVOL_E_CORRUPT);
    ck_assert(envol_is_zero(record, PAGE));
    page_fixture_close(&f);
}
END_TEST

/* --- sizes --- */

static const struct page_wish sizes[] = {
    {.page_bytes = ENVOL_PAGE_BYTES_MIN},
    {.page_bytes = ENVOL_PAGE_BYTES_MIN, .gap_bytes = 4095},
    {.page_bytes = 16336},
    {.page_bytes = 65536, .gap_bytes = 4048},
    {.page_bytes = (16u << 20) - 16, .gap_bytes = 1},
    {.page_bytes = ENVOL_PAGE_BYTES_MAX},
};

START_TEST(smallest_and_largest_pages)
{
    struct page_fixture f;
    uint8_t *page, *record;

    page_fixture_open(&f, &sizes[_i]);
    page = page_buffer(f.page_bytes);
    record = page_buffer(f.stride_bytes);
    test_fill(page, f.page_bytes);
    memcpy(record, page, f.page_bytes);
    ck_ok(envol_page_seal(f.object, f.lane, 5, record, record));
    ck_assert(memcmp(record, page, f.page_bytes) != 0);
    ck_assert(envol_is_zero(record + f.page_bytes, f.wish.gap_bytes));
    ck_ok(envol_page_unseal(f.object, f.lane, 5, record, record));
    ck_assert(memcmp(record, page, f.page_bytes) == 0);
    ck_ok(envol_page_seal(f.object, f.lane, 5, page, record));
    record[f.page_bytes - 1] ^= 0x80;
    ck_status(envol_page_unseal(f.object, f.lane, 5, record, page), ENVOL_E_CORRUPT);
    ck_assert(envol_is_zero(page, f.page_bytes));
    free(page);
    free(record);
    page_fixture_close(&f);
}
END_TEST

/* The same page twice: nothing in the two records is alike but what every trailer has. */
START_TEST(a_page_never_seals_to_the_same_bytes)
{
    uint8_t page[PAGE] = {0}, first[STRIDE], second[STRIDE];
    uint8_t *t = first + STRIDE - ENVOL_TRAILER_BYTES, *u = second + STRIDE - ENVOL_TRAILER_BYTES;
    struct page_fixture f;

    page_fixture_open(&f, &small);
    ck_ok(envol_page_seal(f.object, f.lane, 1, page, first));
    ck_ok(envol_page_seal(f.object, f.lane, 1, page, second));
    for (size_t i = 0; i < PAGE; i += 16)
        ck_assert(memcmp(first + i, second + i, 16) != 0);
    ck_assert_mem_eq(t, u, 8 + 12);
    ck_assert(memcmp(t + 20, u + 20, 12) != 0);
    ck_assert(memcmp(t + 32, u + 32, 16) != 0);
    page_fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page");
    TCase *tcase = tcase_create("page");

    tcase_add_loop_test(tcase, every_flipped_bit_is_detected, 0, page_kernels());
    tcase_add_test(tcase, every_flipped_bit_of_a_hole_is_detected);
    tcase_add_test(tcase, records_of_another_place_are_corrupt);
    tcase_add_test(tcase, unknown_bits_are_corrupt_even_when_they_authenticate);
    tcase_add_test(tcase, other_suite_epoch_and_size_are_corrupt);
    tcase_add_test(tcase, epochs_are_not_interchangeable);
    tcase_add_test(tcase, zeros_are_corrupt);
    tcase_add_test(tcase, torn_records_are_corrupt);
    tcase_add_test(tcase, blobs_are_not_pages);
    tcase_add_test(tcase, trailers_tell_their_epoch);
    tcase_add_loop_test(tcase, any_alignment_in_place_and_apart, 0, page_kernels());
    tcase_add_test(tcase, detached_is_the_same_record);
    tcase_add_test(tcase, failures_in_place_leave_zeros);
    tcase_add_loop_test(tcase, smallest_and_largest_pages, 0, sizeof(sizes) / sizeof(sizes[0]));
    tcase_add_test(tcase, a_page_never_seals_to_the_same_bytes);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
