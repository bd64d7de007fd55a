/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages of retained epochs: unsealed, re-sealed, and refused once their epoch is gone. */
#include "base/memory.h"
#include "page_fixture.h"
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE    512u
#define STRIDE  576u
#define EPOCH   9u
#define LOWEST  7u
#define PAGE_NO 33u

static int draws_left = -1;

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    if (draws_left-- != 0)
        return syscall(SYS_getrandom, out, bytes, flags);
    errno = EIO;
    return -1;
}

/* Epochs 5 to 9 are in the ring, 7 to 9 are accepted. */
static struct page_fixture ring(enum envol_suite suite)
{
    const struct page_wish wish = {.suite = suite,
                                   .page_bytes = PAGE,
                                   .gap_bytes = 16,
                                   .epoch = EPOCH,
                                   .lowest = LOWEST,
                                   .retained = 4};
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    return f;
}

/* A record of any epoch, of the type given. */
static void old_record(const struct page_fixture *f, uint32_t epoch, uint8_t type,
                       const uint8_t page[PAGE], uint8_t record[STRIDE])
{
    struct oracle o = page_fixture_oracle_of(f, PAGE_NO, EPOCH - epoch);

    o.type = type;
    test_fill(o.nonce, sizeof(o.nonce));
    if (o.suite == ORACLE_XTS)
        oracle_xts_record(&o, page, record);
    else
        oracle_gcm_record(&o, page, record);
}

static uint32_t epoch_of(const uint8_t record[STRIDE])
{
    uint32_t epoch = 0;

    ck_ok(envol_trailer_epoch(record + STRIDE - ENVOL_TRAILER_BYTES, &epoch));
    return epoch;
}

/* --- GCM --- */

START_TEST(retained_epochs_unseal)
{
    struct page_fixture f = ring(ENVOL_SUITE_AES_256_GCM);
    uint8_t page[PAGE], record[STRIDE], got[PAGE];

    test_fill(page, PAGE);
    for (uint32_t epoch = 5; epoch <= EPOCH; epoch++) {
        old_record(&f, epoch, ORACLE_PAGE, page, record);
        ck_status(envol_page_unseal(f.object, f.lane, PAGE_NO, record, got),
                  epoch < LOWEST ? ENVOL_E_CORRUPT : ENVOL_OK);
        if (epoch < LOWEST)
            ck_assert(envol_is_zero(got, PAGE));
        else
            ck_assert_mem_eq(got, page, PAGE);
    }
    page_fixture_close(&f);
}
END_TEST

START_TEST(resealed_under_the_current_epoch)
{
    struct page_fixture f = ring(ENVOL_SUITE_AES_256_GCM);
    uint8_t page[PAGE], record[STRIDE], apart[STRIDE], got[PAGE];

    test_fill(page, PAGE);
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t epoch = LOWEST + i % 3;
        bool in_place = i / 3 % 2;
        struct envol_lane *lane = i < 6 ? f.lane : NULL;
        uint8_t *out = in_place ? record : apart;

        old_record(&f, epoch, ORACLE_PAGE, page, record);
        memset(apart, 0xee, STRIDE);
        ck_ok(envol_page_reseal(f.object, lane, PAGE_NO, i % 2 ? epoch : 0, record, out));
        ck_assert_uint_eq(epoch_of(out), EPOCH);
        ck_assert(envol_is_zero(out + PAGE, 16));
        ck_ok(envol_page_unseal(f.object, lane, PAGE_NO, out, got));
        ck_assert_mem_eq(got, page, PAGE);
        ck_assert(in_place || epoch_of(record) == epoch);
    }
    page_fixture_close(&f);
}
END_TEST

START_TEST(holes_stay_holes)
{
    struct page_fixture f = ring(ENVOL_SUITE_AES_256_GCM);
    uint8_t zeros[PAGE] = {0}, record[STRIDE], out[STRIDE];

    old_record(&f, LOWEST, ORACLE_HOLE, zeros, record);
    ck_ok(envol_page_reseal(f.object, f.lane, PAGE_NO, LOWEST, record, out));
    ck_assert_uint_eq(epoch_of(out), EPOCH);
    ck_status(envol_page_unseal(f.object, f.lane, PAGE_NO, out, record), ENVOL_E_UNWRITTEN);
    page_fixture_close(&f);
}
END_TEST

static void check_refusal(const struct page_fixture *f, uint32_t from_epoch, const uint8_t *record,
                          enum envol_status expected)
{
    uint8_t before[STRIDE], out[STRIDE];

    memset(out, 0xee, STRIDE);
    memcpy(before, record, STRIDE);
    ck_status(envol_page_reseal(f->object, f->lane, PAGE_NO, from_epoch, record, out), expected);
    ck_assert(envol_is_zero(out, f->stride_bytes));
    ck_assert_mem_eq(record, before, STRIDE);
}

START_TEST(what_does_not_authenticate_is_not_resealed)
{
    struct page_fixture f = ring(ENVOL_SUITE_AES_256_GCM);
    uint8_t page[PAGE] = {1}, record[STRIDE];

    old_record(&f, 8, ORACLE_PAGE, page, record);
    for (size_t bit = 0; bit < 8 * STRIDE; bit += 3) {
        /* A flipped epoch may be one above the current: it is STALE below. */
        if (bit / 8 - (STRIDE - ENVOL_TRAILER_BYTES) < 4)
            continue;
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_refusal(&f, 0, record, ENVOL_E_CORRUPT);
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    check_refusal(&f, 9, record, ENVOL_E_CORRUPT);
    check_refusal(&f, 7, record, ENVOL_E_CORRUPT);
    old_record(&f, 6, ORACLE_PAGE, page, record);
    check_refusal(&f, 0, record, ENVOL_E_CORRUPT);
    check_refusal(&f, 6, record, ENVOL_E_CORRUPT);
    record[STRIDE - ENVOL_TRAILER_BYTES] = EPOCH + 1;
    check_refusal(&f, 0, record, ENVOL_E_STALE);
    old_record(&f, 8, ORACLE_BLOB, page, record);
    check_refusal(&f, 0, record, ENVOL_E_CORRUPT);
    memset(record, 0, STRIDE);
    check_refusal(&f, 0, record, ENVOL_E_CORRUPT);
    page_fixture_close(&f);
}
END_TEST

/* One salt under two epochs, as nobody draws it: a lane must tell their keys apart. */
START_TEST(one_salt_under_all_epochs)
{
    struct page_fixture f = ring(ENVOL_SUITE_AES_256_GCM);
    uint8_t page[3][PAGE], record[3][STRIDE], got[3][PAGE];
    struct envol_page_op ops[3];

    test_fill(page, sizeof(page));
    for (uint32_t i = 0; i < 3; i++) {
        struct oracle o = page_fixture_oracle_of(&f, PAGE_NO, i);

        memset(o.nonce, 0x55, sizeof(o.nonce));
        oracle_gcm_record(&o, page[i], record[i]);
        ops[i] = (struct envol_page_op){.page_no = PAGE_NO, .page = got[i], .record = record[i]};
    }
    for (int i = 0; i < 3; i++) {
        ck_ok(envol_page_unseal_batch(f.object, i ? f.lane : NULL, ops, 3));
        ck_assert_mem_eq(got, page, sizeof(page));
    }
    page_fixture_close(&f);
}
END_TEST

/* --- failures in the middle: the output has held plaintext by then --- */

static const struct envol_aes_kernel *whole;

static enum envol_status no_gcm(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    (void)key;
    (void)jobs;
    (void)count;
    return ENVOL_E_NO_MEMORY;
}

static enum envol_status no_xts(const void *key, const struct envol_xts_job *jobs, size_t count)
{
    (void)key;
    (void)jobs;
    (void)count;
    return ENVOL_E_NO_MEMORY;
}

static void check_sealing_fails(struct page_fixture *f, uint32_t from_epoch)
{
    struct envol_aes_kernel broken = *f->keyring->kernel;
    uint8_t page[PAGE], record[STRIDE] = {0};

    test_fill(page, PAGE);
    whole = f->keyring->kernel;
    broken.gcm_seal = no_gcm;
    broken.xts_encrypt = no_xts;
    old_record(f, 8, ORACLE_PAGE, page, record);
    f->keyring->kernel = &broken;
    check_refusal(f, from_epoch, record, ENVOL_E_NO_MEMORY);
    ck_status(envol_page_reseal(f->object, f->lane, PAGE_NO, from_epoch, record, record),
              ENVOL_E_NO_MEMORY);
    ck_assert(envol_is_zero(record, f->stride_bytes));
    f->keyring->kernel = whole;
}

START_TEST(sealing_fails)
{
    struct page_fixture f = ring(ENVOL_SUITE_AES_256_GCM);

    check_sealing_fails(&f, 0);
    page_fixture_close(&f);
    if (!page_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    f = ring(ENVOL_SUITE_AES_256_XTS);
    check_sealing_fails(&f, 8);
    page_fixture_close(&f);
}
END_TEST

START_TEST(randomness_fails)
{
    struct page_fixture f = ring(ENVOL_SUITE_AES_256_GCM);
    uint8_t page[PAGE], record[STRIDE], blob[PAGE + ENVOL_TRAILER_BYTES];

    test_fill(page, PAGE);
    old_record(&f, 8, ORACLE_PAGE, page, record);
    draws_left = 0;
    check_refusal(&f, 0, record, ENVOL_E_RANDOM);
    ck_ok(envol_blob_seal(f.object, f.lane, NULL, 0, page, PAGE, blob));
    draws_left = 0;
    ck_status(envol_blob_reseal(f.object, f.lane, NULL, 0, blob, sizeof(blob), blob),
              ENVOL_E_RANDOM);
    ck_assert(envol_is_zero(blob, sizeof(blob)));
    ck_ok(envol_page_reseal(f.object, f.lane, PAGE_NO, 0, record, record));
    page_fixture_close(&f);
}
END_TEST

/* --- XTS --- */

START_TEST(xts_resealed_from_each_epoch)
{
    struct page_fixture f;
    uint8_t page[PAGE], record[STRIDE] = {0}, out[STRIDE], expected[STRIDE];

    if (!page_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    f = ring(ENVOL_SUITE_AES_256_XTS);
    test_fill(page, PAGE);
    old_record(&f, EPOCH, ORACLE_PAGE, page, expected);
    for (uint32_t i = 0; i < 6; i++) {
        struct envol_lane *lane = i < 3 ? f.lane : NULL;
        uint32_t epoch = LOWEST + i % 3;

        old_record(&f, epoch, ORACLE_PAGE, page, record);
        ck_ok(envol_page_reseal(f.object, lane, PAGE_NO, epoch, record, out));
        ck_assert_mem_eq(out, expected, PAGE);
        ck_ok(envol_page_reseal(f.object, lane, PAGE_NO, epoch, record, record));
        ck_assert_mem_eq(record, expected, PAGE);
    }
    check_refusal(&f, 0, record, ENVOL_E_ARGUMENT);
    check_refusal(&f, LOWEST - 1, record, ENVOL_E_CORRUPT);
    check_refusal(&f, EPOCH + 1, record, ENVOL_E_STALE);
    page_fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reseal");
    TCase *tcase = tcase_create("reseal");

    tcase_add_test(tcase, retained_epochs_unseal);
    tcase_add_test(tcase, resealed_under_the_current_epoch);
    tcase_add_test(tcase, holes_stay_holes);
    tcase_add_test(tcase, what_does_not_authenticate_is_not_resealed);
    tcase_add_test(tcase, one_salt_under_all_epochs);
    tcase_add_test(tcase, sealing_fails);
    tcase_add_test(tcase, randomness_fails);
    tcase_add_test(tcase, xts_resealed_from_each_epoch);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
