/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XTS objects stay at the epoch at which they were opened, whatever their keyring goes on to; page
 * calls say so when it is gone.
 */
#include "base/memory.h"
#include "children.h"
#include "epoch_rings.h"
#include "failing_mlock.h"
#include "page/revoke.h"
#include "page_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static bool heap_refuses;

static void *heap_alloc(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    if (heap_refuses)
        return NULL;
    return aligned_alloc(align < 16 ? 16 : align, (bytes + 4095) / 4096 * 4096);
}

static void heap_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static struct epoch_rings rings;
static struct envol_keyring *keyring;
static struct envol_lane *lane;
static uint8_t page[RING_PAGE], record[RING_PAGE], got[RING_PAGE];

static bool open_xts(uint32_t epoch, uint32_t lowest, uint32_t flags)
{
    if (!page_suite(ENVOL_SUITE_AES_256_XTS)) {
        test_skip("XTS objects at epochs", "no kernel does XTS");
        return false;
    }
    epoch_rings_init(&rings, ENVOL_SUITE_AES_256_XTS, flags);
    keyring = epoch_ring(&rings, epoch, lowest);
    ck_ok(envol_lane_open(keyring, &lane));
    test_fill(page, sizeof(page));
    return true;
}

static void close_xts(void)
{
    envol_lane_close(lane);
    envol_keyring_close(keyring);
}

static struct envol_object *at(uint32_t epoch)
{
    struct envol_object *object;

    ck_ok(envol_object_open_at(keyring, rings.id, epoch, &object));
    return object;
}

/* What a keyring of that epoch alone makes of the page. */
static void seal_alone(uint32_t epoch, uint64_t page_no, uint8_t *sealed)
{
    struct envol_keyring *alone = epoch_ring(&rings, epoch, epoch);
    struct envol_object *object;

    ck_ok(envol_object_open(alone, rings.id, &object));
    ck_ok(envol_page_seal(object, NULL, page_no, page, sealed));
    envol_object_close(object);
    envol_keyring_close(alone);
}

/* Both directions agree with an object that never saw another epoch; the second segment too. */
static void expect_at(const struct envol_object *object, uint32_t epoch)
{
    static const uint64_t page_nos[] = {0, 9, (UINT64_C(1) << 40) / RING_PAGE};
    uint8_t expected[RING_PAGE];

    for (size_t i = 0; i < 3; i++) {
        seal_alone(epoch, page_nos[i], expected);
        for (int with_lane = 0; with_lane < 2; with_lane++) {
            struct envol_lane *with = with_lane ? lane : NULL;
            ck_ok(envol_page_seal(object, with, page_nos[i], page, record));
            ck_assert_mem_eq(record, expected, sizeof(record));
            ck_ok(envol_page_unseal(object, with, page_nos[i], record, got));
            ck_assert_mem_eq(got, page, sizeof(page));
        }
    }
}

START_TEST(each_at_its_epoch)
{
    struct envol_object *first, *second, *current;

    if (!open_xts(1, 1, 0))
        return;
    ck_ok(envol_object_open(keyring, rings.id, &first));
    expect_at(first, 1);
    epoch_move(&rings, keyring, 2, 1);
    expect_at(first, 1);
    second = at(2);
    current = at(0);
    expect_at(second, 2);
    expect_at(current, 2);
    envol_object_close(current);
    current = at(1);
    expect_at(current, 1);
    expect_at(first, 1);
    envol_object_close(first);
    envol_object_close(second);
    envol_object_close(current);
    close_xts();
}
END_TEST

/* What a sweep does: from the old epoch to that of the object. */
START_TEST(resealed_to_the_epoch_of_the_object)
{
    struct envol_object *older, *newer;
    uint8_t expected[RING_PAGE];

    if (!open_xts(2, 1, 0))
        return;
    older = at(1);
    newer = at(2);
    ck_ok(envol_page_seal(older, lane, 9, page, record));
    ck_ok(envol_page_reseal(newer, lane, 9, 1, record, record));
    seal_alone(2, 9, expected);
    ck_assert_mem_eq(record, expected, sizeof(record));
    ck_ok(envol_page_reseal(older, lane, 9, 2, record, record));
    seal_alone(1, 9, expected);
    ck_assert_mem_eq(record, expected, sizeof(record));
    envol_object_close(older);
    envol_object_close(newer);
    close_xts();
}
END_TEST

static void expect_stale(const struct envol_object *object, struct envol_lane *with)
{
    struct envol_page_op op = {.page_no = 9, .page = got, .record = record};

    memset(record, 1, sizeof(record));
    ck_status(envol_page_seal(object, with, 9, page, record), ENVOL_E_STALE);
    ck_assert(envol_is_zero(record, sizeof(record)));
    memset(got, 1, sizeof(got));
    ck_status(envol_page_unseal(object, with, 9, record, got), ENVOL_E_STALE);
    ck_assert(envol_is_zero(got, sizeof(got)));
    ck_status(envol_page_seal_detached(object, with, 9, page, record, NULL), ENVOL_E_STALE);
    ck_status(envol_page_unseal_detached(object, with, 9, record, NULL, got), ENVOL_E_STALE);
    ck_status(envol_page_seal_batch(object, with, &op, 1), ENVOL_E_STALE);
    ck_assert_int_eq(op.status, ENVOL_E_STALE);
    ck_status(envol_page_unseal_batch(object, with, &op, 1), ENVOL_E_STALE);
    ck_assert_int_eq(op.status, ENVOL_E_STALE);
    memset(record, 1, sizeof(record));
    ck_status(envol_page_reseal(object, with, 9, 2, record, record), ENVOL_E_STALE);
    ck_assert(envol_is_zero(record, sizeof(record)));
    ck_status(envol_page_reseal(object, with, 9, 1, record, record), ENVOL_E_CORRUPT);
}

START_TEST(an_epoch_that_is_gone)
{
    struct envol_object *older, *newer;

    if (!open_xts(2, 1, 0))
        return;
    older = at(1);
    newer = at(2);
    ck_ok(envol_page_seal(older, lane, 9, page, record)); /* its key is in the lane */
    ck_assert(!envol_is_zero(older->xts_raw, 64));
    epoch_move(&rings, keyring, 2, 2);
    ck_assert(envol_is_zero(older->xts_raw, 64));
    expect_stale(older, lane);
    expect_stale(older, NULL);
    expect_at(newer, 2);
    envol_object_close(older);
    envol_object_close(newer);
    close_xts();
}
END_TEST

/* A lease takes the keys, and they come back to each object as they were. */
START_TEST(revoked_and_restored)
{
    struct envol_object *older, *newer;
    struct envol_keyring *back;

    if (!open_xts(2, 1, 0))
        return;
    older = at(1);
    newer = at(2);
    envol_keyring_revoke(keyring);
    ck_status(envol_page_seal(older, lane, 9, page, record), ENVOL_E_KEY_REVOKED);
    back = epoch_ring(&rings, 2, 1);
    ck_assert_int_eq(envol_keyring_restore(keyring, back), ENVOL_OK);
    envol_keyring_close(back);
    expect_at(older, 1);
    expect_at(newer, 2);
    envol_object_close(older);
    envol_object_close(newer);
    close_xts();
}
END_TEST

/* --- What is refused --- */

static void expect_refused(uint32_t epoch, enum envol_status status)
{
    struct envol_object *object = (void *)&rings;

    ck_status(envol_object_open_at(keyring, rings.id, epoch, &object), status);
    ck_assert_ptr_null(object);
}

START_TEST(refused)
{
    struct envol_object *object = (void *)&rings;

    if (!open_xts(3, 2, 0))
        return;
    expect_refused(1, ENVOL_E_STALE);
    expect_refused(4, ENVOL_E_STALE);
    expect_refused(UINT32_MAX, ENVOL_E_STALE);
    ck_status(envol_object_open_at(NULL, rings.id, 2, &object), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(object);
    ck_status(envol_object_open_at(keyring, NULL, 2, &object), ENVOL_E_ARGUMENT);
    ck_status(envol_object_open_at(keyring, rings.id, 2, NULL), ENVOL_E_ARGUMENT);
    envol_keyring_revoke(keyring);
    expect_refused(2, ENVOL_E_KEY_REVOKED);
    expect_refused(0, ENVOL_E_KEY_REVOKED);
    close_xts();
}
END_TEST

START_TEST(gcm_follows_its_keyring)
{
    epoch_rings_init(&rings, ENVOL_SUITE_AES_256_GCM, 0);
    keyring = epoch_ring(&rings, 3, 2);
    expect_refused(2, ENVOL_E_UNSUPPORTED);
    expect_refused(3, ENVOL_E_UNSUPPORTED);
    envol_object_close(at(0));
    envol_keyring_close(keyring);
}
END_TEST

static int is_refused(void *argument)
{
    struct envol_object *object = (void *)&rings;
    enum envol_status expected = *(const enum envol_status *)argument;

    child_expects(ck_note(envol_object_open_at(keyring, rings.id, 2, &object)) == expected);
    child_expects(object == NULL);
    return 0;
}

START_TEST(children)
{
    enum envol_status expected = _i == 0 ? ENVOL_E_FORKED : ENVOL_E_LOCKED_MEMORY;

    if (!open_xts(3, 2, _i == 0 ? 0 : ENVOL_OPEN_INHERIT))
        return;
    mlock_fails = true;
    ck_assert_int_eq(test_in_child(is_refused, &expected), 0);
    mlock_fails = false;
    close_xts();
}
END_TEST

START_TEST(no_memory)
{
    static const struct envol_allocator heap = {
        .struct_size = sizeof(heap), .alloc = heap_alloc, .free = heap_free};

    ck_ok(envol_set_allocator(&heap));
    if (open_xts(3, 2, 0)) {
        heap_refuses = true;
        expect_refused(2, ENVOL_E_NO_MEMORY);
        heap_refuses = false;
        envol_object_close(at(2));
        close_xts();
    }
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("object_epoch");
    TCase *tcase = tcase_create("epochs");

    tcase_add_test(tcase, each_at_its_epoch);
    tcase_add_test(tcase, resealed_to_the_epoch_of_the_object);
    tcase_add_test(tcase, an_epoch_that_is_gone);
    tcase_add_test(tcase, revoked_and_restored);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, gcm_follows_its_keyring);
    tcase_add_loop_test(tcase, children, 0, 2);
    tcase_add_test(tcase, no_memory);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
