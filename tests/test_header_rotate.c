/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rotating the DEK with header calls alone: what opens before, on the way and afterwards, and what
 * a commit accepts.
 */
#include "base/memory.h"
#include "header_rotation.h"
#include "support.h"

#include <string.h>

enum { PAGE = 4096, RECORD = PAGE + ENVOL_TRAILER_BYTES };

static struct header_fixture f;
static uint8_t page[PAGE], got[PAGE], copy[ENVOL_HEADER_COPY_BYTES];
static const uint8_t object_id[ENVOL_OBJECT_BYTES] = {1, 2, 3};

static void setup(void)
{
    header_fixture_open(&f, 0);
    test_fill(page, sizeof(page));
}

static void teardown(void)
{
    header_fixture_close(&f);
}

static struct envol_header_info info_of(const struct envol_header *header)
{
    struct envol_header_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_header_info(header, &info));
    return info;
}

static void seal(const struct envol_keyring *keyring, uint8_t *record)
{
    struct envol_object *object;

    ck_ok(envol_object_open(keyring, object_id, &object));
    ck_ok(envol_page_seal(object, NULL, 5, page, record));
    envol_object_close(object);
}

static void expect_unseal(const struct envol_keyring *keyring, const uint8_t *record,
                          enum envol_status status)
{
    struct envol_object *object;

    ck_ok(envol_object_open(keyring, object_id, &object));
    ck_status(envol_page_unseal(object, NULL, 5, record, got), status);
    if (status == ENVOL_OK)
        ck_assert_mem_eq(got, page, sizeof(page));
    envol_object_close(object);
}

/* A process that comes later, with the DEK of the slot that it finds. */
static void expect_later(const uint8_t *record, enum envol_status status)
{
    struct envol_keyring *keyring;
    struct envol_header *header = header_again(&f, &keyring);

    expect_unseal(keyring, record, status);
    envol_keyring_close(keyring);
    envol_header_free(header);
}

static void expect_old_dek_is_nothing(const uint8_t *old_dek)
{
    struct envol_header *header;
    struct envol_keyring *keyring;

    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_status(envol_header_unlock(header, old_dek, 0, NULL, &keyring), ENVOL_E_WRONG_KEY);
    envol_header_free(header);
}

/* --- All the way --- */

START_TEST(from_begin_to_end)
{
    uint8_t old_dek[ENVOL_DEK_BYTES], record[RECORD], newer[RECORD];
    struct envol_keyring *again;
    struct envol_header_info info;

    memcpy(old_dek, f.dek, sizeof(old_dek));
    ck_ok(envol_header_set_pages(f.header, 77, 0, 1000));
    header_update(&f);
    seal(f.keyring, record);
    header_rotate_all(&f);
    expect_old_dek_is_nothing(old_dek);
    expect_later(record, ENVOL_OK);
    seal(f.keyring, newer);
    expect_later(newer, ENVOL_OK);

    ck_ok(envol_header_set_sweep(f.header, 60, 2, 3));
    header_update(&f);
    envol_header_free(f.header);
    envol_keyring_close(f.keyring);
    f.header = header_again(&f, &f.keyring);
    info = info_of(f.header);
    ck_assert_uint_eq(info.rotation, ENVOL_ROTATION_SWEEP);
    ck_assert_uint_eq(info.rotation_from_epoch, 1);
    ck_assert_uint_eq(info.rotation_next_page, 60);
    ck_assert_uint_eq(info.rotation_bad_pages, 2);
    ck_assert_uint_eq(info.rotation_first_bad, 3);
    ck_assert_uint_eq(info.retained_epochs, 1);

    ck_ok(envol_header_retire(f.header, 0));
    header_update(&f);
    ck_ok(envol_header_unlock_with(f.header, f.keyring, NULL, &again));
    ck_ok(envol_keyring_adopt(f.keyring, again));
    envol_keyring_close(again);
    ck_assert_uint_eq(envol_keyring_lowest_epoch(f.keyring), 2);
    expect_unseal(f.keyring, record, ENVOL_E_CORRUPT);
    expect_unseal(f.keyring, newer, ENVOL_OK);
    expect_later(record, ENVOL_E_CORRUPT);
    expect_later(newer, ENVOL_OK);
    info = info_of(f.header);
    ck_assert_uint_eq(info.rotation, 0);
    ck_assert_uint_eq(info.rotation_from_epoch, 0);
    ck_assert_uint_eq(info.retained_epochs, 0);
    ck_assert_uint_eq(info.epoch, 2);
    ck_assert_uint_eq(info.lowest_epoch, 2);
    ck_assert(envol_is_zero(f.bytes + ENVOL_AT_ROTATION, ENVOL_ROTATION_BYTES));
    ck_assert(envol_is_zero(f.bytes + ENVOL_AT_RETAINED, 4 * ENVOL_RETAINED_BYTES));
}
END_TEST

/* What is about pages stays, what is about the DEK does not. */
START_TEST(the_header_of_the_next_epoch)
{
    struct header_rotation r;
    struct envol_header_info info;
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    const struct envol_context_pair *context;
    size_t pairs;

    ck_ok(envol_header_set_pages(f.header, 77, 0, 1000));
    header_update(&f);
    header_rotation_begin(&f, &r);
    info = info_of(r.next);
    ck_assert_int_eq(info.verified, 0);
    ck_assert_uint_eq(info.epoch, 2);
    ck_assert_uint_eq(info.lowest_epoch, 1);
    ck_assert_uint_eq(info.generation, 2);
    ck_assert_uint_eq(info.high_water, 77);
    ck_assert_int_eq(info.clean, 0);
    ck_assert_uint_eq(info.seal_estimate, 0);
    ck_assert_uint_eq(info.slots, 1);
    context = envol_header_context(r.next, &pairs);
    ck_assert_uint_eq(pairs, 3);
    ck_assert_str_eq(context[0].value, "2");
    ck_assert_str_eq(envol_header_context(f.header, NULL)[0].value, "1");
    ck_status(envol_header_anchor(r.next, &anchor), ENVOL_E_STATE);
    ck_assert_uint_eq(r.keyring->epoch, 2);
    ck_assert_uint_eq(r.keyring->entries, 2);
    header_rotation_drop(&r);
    ck_assert_uint_eq(info_of(f.header).seal_estimate, 1000);
    header_update(&f); /* nothing was changed by it */
}
END_TEST

/* One more anchor of an engine's: the old one allows the new header, and not the other way. */
START_TEST(anchors)
{
    struct envol_anchor old = {.struct_size = sizeof(old)}, anchor = old;
    struct envol_header *header;
    struct envol_keyring *keyring;
    static uint8_t before[ENVOL_HEADER_BYTES];
    uint8_t old_dek[ENVOL_DEK_BYTES];

    ck_ok(envol_header_anchor(f.header, &old));
    memcpy(before, f.bytes, sizeof(before));
    memcpy(old_dek, f.dek, sizeof(old_dek));
    header_rotate_all(&f);
    ck_ok(envol_header_anchor(f.header, &anchor));
    ck_assert_uint_eq(anchor.epoch, 2);
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_ok(envol_header_unlock(header, f.dek, 0, &old, &keyring));
    envol_keyring_close(keyring);
    envol_header_free(header);
    ck_ok(envol_header_decode(before, 0, &header, NULL));
    ck_status(envol_header_unlock(header, old_dek, 0, &anchor, &keyring), ENVOL_E_STALE);
    envol_header_free(header);
}
END_TEST

/* Retained directly under the newest one, four at most; then one has to go. */
START_TEST(a_chain_of_epochs)
{
    static uint8_t records[6][RECORD];
    struct envol_header *next = (void *)&f;

    for (uint32_t i = 0; i < 5; i++) {
        seal(f.keyring, records[i]);
        if (i == 4)
            break;
        header_rotate_all(&f);
        ck_ok(envol_header_retire(f.header, ENVOL_RETIRE_KEEP));
        header_update(&f);
        for (uint32_t j = 0; j <= i; j++)
            expect_later(records[j], ENVOL_OK);
        ck_assert_uint_eq(info_of(f.header).retained_epochs, i + 1);
        ck_assert_uint_eq(info_of(f.header).rotation, 0);
    }
    ck_status(envol_header_next_epoch(f.header, &next), ENVOL_E_RANGE);
    ck_assert_ptr_null(next);
    ck_ok(envol_header_retire(f.header, 0)); /* later, and without a rotation */
    header_update(&f);
    for (uint32_t i = 0; i < 4; i++)
        expect_later(records[i], ENVOL_E_CORRUPT);
    expect_later(records[4], ENVOL_OK);
    ck_ok(envol_header_next_epoch(f.header, &next));
    envol_header_free(next);
}
END_TEST

/* An engine's own files: its records and blobs move to the new epoch, then the old DEK goes. */
START_TEST(records_and_blobs_of_an_engine)
{
    uint8_t record[RECORD], blob[RECORD];
    struct envol_object *object;
    struct envol_keyring *again;

    ck_ok(envol_object_open(f.keyring, object_id, &object));
    ck_ok(envol_page_seal(object, NULL, 5, page, record));
    ck_ok(envol_blob_seal(object, NULL, "b", 1, page, PAGE, blob));
    header_rotate_all(&f);
    ck_ok(envol_page_reseal(object, NULL, 5, 1, record, record));
    ck_ok(envol_blob_reseal(object, NULL, "b", 1, blob, sizeof(blob), blob));
    ck_ok(envol_header_retire(f.header, 0));
    header_update(&f);
    ck_ok(envol_header_unlock_with(f.header, f.keyring, NULL, &again));
    ck_ok(envol_keyring_adopt(f.keyring, again));
    envol_keyring_close(again);
    ck_ok(envol_page_unseal(object, NULL, 5, record, got));
    ck_assert_mem_eq(got, page, PAGE);
    ck_ok(envol_blob_unseal(object, NULL, "b", 1, blob, sizeof(blob), got));
    ck_assert_mem_eq(got, page, PAGE);
    envol_object_close(object);
}
END_TEST

/* --- What a commit accepts --- */

static void expect_prepare(struct envol_header *header, const struct envol_keyring *keyring,
                           enum envol_status status)
{
    uint32_t first;

    memset(copy, 1, sizeof(copy));
    ck_status(envol_header_prepare(header, keyring, f.bytes, copy, &first), status);
    if (status != ENVOL_OK)
        ck_assert(envol_is_zero(copy, sizeof(copy)));
}

START_TEST(exactly_the_new_keyring)
{
    struct header_rotation r, other;
    struct envol_header *bare;

    header_rotation_begin(&f, &r);
    header_rotation_begin(&f, &other);
    expect_prepare(r.next, f.keyring, ENVOL_E_STATE);         /* the old DEK */
    expect_prepare(r.next, other.keyring, ENVOL_E_WRONG_KEY); /* another one of that epoch */
    expect_prepare(f.header, r.keyring, ENVOL_E_STATE);
    ck_ok(envol_header_next_epoch(f.header, &bare));
    expect_prepare(bare, r.keyring, ENVOL_E_STATE); /* without a DEK */
    header_add_slot(bare, HEADER_KEY_REF, 136);
    expect_prepare(bare, r.keyring, ENVOL_E_STATE);
    expect_prepare(r.next, r.keyring, ENVOL_OK);
    envol_header_free(bare);
    header_rotation_drop(&other);
    header_rotation_drop(&r);
}
END_TEST

START_TEST(no_header_without_slots)
{
    struct header_rotation r = {0};

    test_fill(r.dek, sizeof(r.dek));
    ck_ok(envol_header_next_epoch(f.header, &r.next));
    ck_ok(envol_header_rotate(r.next, f.keyring, r.dek, 0, &r.keyring));
    expect_prepare(r.next, r.keyring, ENVOL_E_STATE);
    header_add_slot(r.next, HEADER_KEY_REF, 136);
    expect_prepare(r.next, r.keyring, ENVOL_OK);
    header_rotation_drop(&r);
}
END_TEST

/* Somebody else changed the header since; or this one did, behind the rotation's back. */
START_TEST(a_race)
{
    struct header_rotation r;

    header_rotation_begin(&f, &r);
    if (_i == 0)
        header_update(&f);
    else
        header_rotate_all(&f);
    expect_prepare(r.next, r.keyring, ENVOL_E_STALE);
    header_rotation_drop(&r);
}
END_TEST

/* The other handle finds a header that it does not know. */
START_TEST(the_older_header_is_stale)
{
    struct envol_keyring *keyring, *again = (void *)&f;
    struct envol_header *older = header_again(&f, &keyring), *newer;

    header_rotate_all(&f);
    expect_prepare(older, keyring, ENVOL_E_STALE);
    ck_ok(envol_header_decode(f.bytes, 0, &newer, NULL));
    ck_status(envol_header_unlock_with(newer, keyring, NULL, &again), ENVOL_E_STALE);
    ck_assert_ptr_null(again);
    envol_header_free(newer);
    envol_header_free(older);
    envol_keyring_close(keyring);
}
END_TEST

/* --- Unlocking with a keyring --- */

START_TEST(unlocked_with_a_keyring)
{
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    struct envol_keyring *again = (void *)&f;
    struct envol_header *header;
    uint8_t record[RECORD];

    ck_ok(envol_header_anchor(f.header, &anchor));
    ck_ok(envol_header_set_pages(f.header, 9, 1, 0));
    header_update(&f);
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_status(envol_header_unlock_with(NULL, f.keyring, NULL, &again), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(again);
    ck_status(envol_header_unlock_with(header, NULL, NULL, &again), ENVOL_E_ARGUMENT);
    ck_status(envol_header_unlock_with(header, f.keyring, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_ok(envol_header_unlock_with(header, f.keyring, &anchor, &again));
    ck_assert_int_eq(info_of(header).verified, 1);
    seal(again, record);
    expect_unseal(f.keyring, record, ENVOL_OK);
    envol_keyring_close(again);
    anchor.generation = 9;
    ck_status(envol_header_unlock_with(header, f.keyring, &anchor, &again), ENVOL_E_STALE);
    anchor.uuid[3] ^= 1;
    ck_status(envol_header_unlock_with(header, f.keyring, &anchor, &again), ENVOL_E_POLICY);
    header->uuid[3] ^= 1;
    ck_status(envol_header_unlock_with(header, f.keyring, NULL, &again), ENVOL_E_STATE);
    envol_header_free(header);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_rotate");
    TCase *c = tcase_create("rotation");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, from_begin_to_end);
    tcase_add_test(c, the_header_of_the_next_epoch);
    tcase_add_test(c, anchors);
    tcase_add_test(c, a_chain_of_epochs);
    tcase_add_test(c, records_and_blobs_of_an_engine);
    tcase_add_test(c, unlocked_with_a_keyring);
    suite_add_tcase(s, c);
    c = tcase_create("commit");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, exactly_the_new_keyring);
    tcase_add_test(c, no_header_without_slots);
    tcase_add_loop_test(c, a_race, 0, 2);
    tcase_add_test(c, the_older_header_is_stale);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
