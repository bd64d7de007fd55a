/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keyrings that exchange their epochs: what changes hands, what is wiped, what is refused, and what
 * forked children see of it.
 */
#include "base/memory.h"
#include "children.h"
#include "epoch_rings.h"
#include "failing_mlock.h"
#include "page/lane.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static struct epoch_rings rings;
static struct envol_keyring *keyring;
static struct envol_object *object;
static struct envol_lane *lane;
static uint8_t page[RING_PAGE], record[RING_STRIDE], got[RING_PAGE];

static void open_at(uint32_t epoch, uint32_t lowest, uint32_t flags)
{
    epoch_rings_init(&rings, ENVOL_SUITE_AES_256_GCM, flags);
    keyring = epoch_ring(&rings, epoch, lowest);
    ck_ok(envol_object_open(keyring, rings.id, &object));
    ck_ok(envol_lane_open(keyring, &lane));
    test_fill(page, sizeof(page));
}

static void close_all(void)
{
    envol_lane_close(lane);
    envol_object_close(object);
    envol_keyring_close(keyring);
}

static uint32_t epoch_of(const uint8_t *sealed)
{
    uint32_t epoch;

    ck_ok(envol_trailer_epoch(sealed + RING_PAGE, &epoch));
    return epoch;
}

/* A ring that was made for it, and derives everything anew, opens the record. */
static void expect_opens_with(uint32_t epoch, const uint8_t *sealed)
{
    struct envol_keyring *alone = epoch_ring(&rings, epoch, epoch);
    struct envol_object *view;

    ck_ok(envol_object_open(alone, rings.id, &view));
    ck_ok(envol_page_unseal(view, NULL, 9, sealed, got));
    ck_assert_mem_eq(got, page, sizeof(page));
    envol_object_close(view);
    envol_keyring_close(alone);
}

/* --- What changes hands --- */

START_TEST(objects_and_lanes_follow)
{
    struct envol_lane *with;
    uint8_t newer[RING_STRIDE];
    struct envol_keyring *from;

    open_at(1, 1, 0);
    with = _i == 0 ? NULL : lane;
    ck_ok(envol_page_seal(object, with, 9, page, record));
    ck_ok(envol_page_unseal(object, with, 9, record, got));
    from = epoch_ring(&rings, 2, 1);
    ck_ok(envol_keyring_adopt(keyring, from));
    ck_assert_uint_eq(envol_keyring_epoch(keyring), 2);
    ck_assert_uint_eq(envol_keyring_lowest_epoch(keyring), 1);
    ck_assert_uint_eq(envol_keyring_epoch(from), 1);
    envol_keyring_close(from);
    ck_ok(envol_page_seal(object, with, 9, page, newer));
    ck_assert_uint_eq(epoch_of(record), 1);
    ck_assert_uint_eq(epoch_of(newer), 2);
    expect_opens_with(2, newer);
    ck_ok(envol_page_unseal(object, with, 9, record, got));
    ck_assert_mem_eq(got, page, sizeof(page));
    ck_ok(envol_page_reseal(object, with, 9, 1, record, record));
    expect_opens_with(2, record);
    close_all();
}
END_TEST

START_TEST(dropped_epochs_do_not_open)
{
    struct envol_lane *with;

    open_at(1, 1, 0);
    with = _i == 0 ? NULL : lane;
    ck_ok(envol_page_seal(object, with, 9, page, record));
    ck_ok(envol_page_unseal(object, with, 9, record, got));
    epoch_move(&rings, keyring, 2, 1);
    ck_ok(envol_page_unseal(object, with, 9, record, got));
    epoch_move(&rings, keyring, 2, 2);
    ck_status(envol_page_unseal(object, with, 9, record, got), ENVOL_E_CORRUPT);
    ck_assert(envol_is_zero(got, sizeof(got)));
    ck_status(envol_page_reseal(object, with, 9, 1, record, record), ENVOL_E_CORRUPT);
    close_all();
}
END_TEST

START_TEST(blobs_follow)
{
    uint8_t sealed[RING_STRIDE];

    open_at(3, 2, 0);
    ck_ok(envol_blob_seal(object, lane, "at 1", 4, page, sizeof(page), sealed));
    epoch_move(&rings, keyring, 4, 2);
    ck_ok(envol_blob_reseal(object, lane, "at 1", 4, sealed, sizeof(sealed), sealed));
    ck_assert_uint_eq(epoch_of(sealed), 4);
    epoch_move(&rings, keyring, 4, 4);
    ck_ok(envol_blob_unseal(object, lane, "at 1", 4, sealed, sizeof(sealed), got));
    ck_assert_mem_eq(got, page, sizeof(page));
    close_all();
}
END_TEST

/* The count is of the new epoch alone: a lane that did not report yet keeps nothing back. */
START_TEST(the_count_of_seals_starts_over)
{
    open_at(1, 1, 0);
    for (int i = 0; i < 1500; i++)
        ck_ok(envol_page_seal(object, lane, 9, page, record));
    ck_assert_uint_eq(envol_keyring_seals(keyring), 1024);
    epoch_move(&rings, keyring, 1, 1);
    ck_assert_uint_eq(envol_keyring_seals(keyring), 1024); /* the same epoch */
    epoch_move(&rings, keyring, 2, 1);
    ck_assert_uint_eq(envol_keyring_seals(keyring), 0);
    if (_i == 0)
        ck_ok(envol_page_seal(object, lane, 9, page, record));
    envol_lane_close(lane);
    lane = NULL;
    ck_assert_uint_eq(envol_keyring_seals(keyring), _i == 0 ? 1 : 0);
    close_all();
}
END_TEST

/* Every key of the arena that came from a dropped DEK is gone: the ring's, a lane's. */
START_TEST(dropped_keys_are_wiped)
{
    const struct envol_tenant *tenant;
    struct envol_keyring *from;
    const void *old;

    open_at(1, 1, 0);
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    ck_ok(envol_page_unseal(object, lane, 9, record, got));
    old = keyring->entry[0].keys;
    tenant = keyring->revocation.tenants;
    ck_assert(!envol_is_zero(tenant->keys, tenant->key_bytes));
    from = epoch_ring(&rings, 2, 2);
    ck_ok(envol_keyring_adopt(keyring, from));
    ck_assert(envol_is_zero(tenant->keys, tenant->key_bytes));
    ck_assert_ptr_eq(from->entry[0].keys, old);
    ck_assert(!envol_is_zero(old, sizeof(struct envol_epoch_keys)));
    envol_keyring_close(from);
    ck_assert(envol_is_zero(old, sizeof(struct envol_epoch_keys)));
    close_all();
}
END_TEST

/* --- What is refused: nothing changes --- */

static void expect_refused(struct envol_keyring *from, enum envol_status status)
{
    ck_status(envol_keyring_adopt(keyring, from), status);
    ck_assert_uint_eq(envol_keyring_epoch(keyring), 3);
    ck_assert_uint_eq(envol_keyring_lowest_epoch(keyring), 2);
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    ck_assert_uint_eq(epoch_of(record), 3);
    envol_keyring_close(from);
}

START_TEST(refused)
{
    struct envol_keyring *from;
    struct epoch_rings other;

    open_at(3, 2, 0);
    expect_refused(NULL, ENVOL_E_ARGUMENT);
    ck_status(envol_keyring_adopt(NULL, keyring), ENVOL_E_ARGUMENT);
    ck_status(envol_keyring_adopt(keyring, keyring), ENVOL_E_ARGUMENT);
    expect_refused(epoch_ring(&rings, 2, 2), ENVOL_E_STALE);
    expect_refused(epoch_ring(&rings, 3, 1), ENVOL_E_STALE);
    expect_refused(epoch_ring(&rings, 4, 1), ENVOL_E_STALE);
    other = rings;
    other.seed[20] ^= 1;
    expect_refused(epoch_ring(&other, 3, 2), ENVOL_E_WRONG_KEY);
    expect_refused(epoch_ring(&other, 4, 3), ENVOL_E_WRONG_KEY);
    other = rings;
    other.uuid[0] ^= 1;
    expect_refused(epoch_ring(&other, 4, 3), ENVOL_E_ARGUMENT);
    other = rings;
    other.flags = ENVOL_OPEN_INHERIT;
    expect_refused(epoch_ring(&other, 4, 3), ENVOL_E_ARGUMENT);
    from = epoch_ring(&rings, 4, 3);
    from->page_bytes -= 16;
    expect_refused(from, ENVOL_E_ARGUMENT);
    from = epoch_ring(&rings, 4, 3);
    from->stride_bytes += 16;
    expect_refused(from, ENVOL_E_ARGUMENT);
    from = epoch_ring(&rings, 4, 3);
    from->suite = ENVOL_SUITE_AES_256_XTS;
    expect_refused(from, ENVOL_E_ARGUMENT);
    close_all();
}
END_TEST

START_TEST(keys_that_are_away)
{
    struct envol_keyring *from, *back;

    open_at(3, 2, 0);
    from = epoch_ring(&rings, 4, 2);
    envol_keyring_revoke(from);
    expect_refused(from, ENVOL_E_KEY_REVOKED);
    from = epoch_ring(&rings, 4, 2);
    back = epoch_ring(&rings, 3, 2);
    envol_keyring_revoke(keyring);
    ck_status(envol_keyring_adopt(keyring, from), ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(envol_keyring_restore(keyring, back), ENVOL_OK);
    ck_ok(envol_keyring_adopt(keyring, from));
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    ck_assert_uint_eq(epoch_of(record), 4);
    envol_keyring_close(from);
    envol_keyring_close(back);
    close_all();
}
END_TEST

/* Taken away after an exchange, they come back as those of the new epoch. */
START_TEST(revoked_and_restored_afterwards)
{
    struct envol_keyring *back;

    open_at(3, 2, 0);
    epoch_move(&rings, keyring, 4, 3);
    envol_keyring_revoke(keyring);
    ck_status(envol_page_seal(object, lane, 9, page, record), ENVOL_E_KEY_REVOKED);
    back = epoch_ring(&rings, 4, 3);
    ck_assert_int_eq(envol_keyring_restore(keyring, back), ENVOL_OK);
    envol_keyring_close(back);
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    expect_opens_with(4, record);
    close_all();
}
END_TEST

/* --- An exchange that waits for a call --- */

/* A thread that is inside, and one that wants to exchange. */
static struct waiting {
    _Atomic int inside, leave, done;
    enum envol_status held, adopted;
    struct envol_keyring *from;
} waiting;

static void nap(void)
{
    const struct timespec ms = {.tv_nsec = 1000000};

    nanosleep(&ms, NULL);
}

static void *stay_inside(void *with)
{
    waiting.held = envol_lane_enter(object, with);
    atomic_store(&waiting.inside, 1);
    while (!atomic_load(&waiting.leave))
        nap();
    envol_lane_leave(object, with);
    return NULL;
}

static void *adopt(void *argument)
{
    waiting.adopted = ck_note(envol_keyring_adopt(keyring, waiting.from));
    atomic_store(&waiting.done, 1);
    return argument;
}

static pthread_t insider, adopter;

/* Returns when the mark is there: the call in progress holds the exchange up. */
static void begin_to_wait(struct envol_lane *with)
{
    waiting.from = epoch_ring(&rings, 4, 3);
    ck_assert_int_eq(pthread_create(&insider, NULL, stay_inside, with), 0);
    while (!atomic_load(&waiting.inside))
        nap();
    ck_assert_int_eq(waiting.held, ENVOL_OK);
    ck_assert_int_eq(pthread_create(&adopter, NULL, adopt, NULL), 0);
    while (atomic_load(&keyring->revocation.valid) >> 63 == 0)
        nap();
    for (int i = 0; i < 20; i++)
        nap();
    ck_assert_int_eq(atomic_load(&waiting.done), 0);
}

static void end_to_wait(enum envol_status expected)
{
    atomic_store(&waiting.leave, 1);
    ck_assert_int_eq(pthread_join(insider, NULL), 0);
    ck_assert_int_eq(pthread_join(adopter, NULL), 0);
    ck_assert_int_eq(waiting.adopted, expected);
    envol_keyring_close(waiting.from);
}

START_TEST(waits_for_who_is_inside)
{
    open_at(3, 3, 0);
    begin_to_wait(_i == 0 ? NULL : lane);
    ck_assert_uint_eq(envol_keyring_epoch(keyring), 3);
    end_to_wait(ENVOL_OK);
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    ck_assert_uint_eq(epoch_of(record), 4);
    close_all();
}
END_TEST

/* A revocation that comes while it waits, from another process say: nothing is exchanged. */
START_TEST(revoked_while_it_waits)
{
    struct envol_keyring *back;

    open_at(3, 3, 0);
    begin_to_wait(_i == 0 ? NULL : lane);
    (void)atomic_fetch_add(keyring->revocation.ended, 1);
    end_to_wait(ENVOL_E_KEY_REVOKED);
    ck_assert_uint_eq(envol_keyring_epoch(keyring), 3);
    ck_status(envol_page_seal(object, lane, 9, page, record), ENVOL_E_KEY_REVOKED);
    ck_assert(envol_is_zero(keyring->entry[0].keys, sizeof(struct envol_epoch_keys)));
    back = epoch_ring(&rings, 3, 3);
    ck_assert_int_eq(envol_keyring_restore(keyring, back), ENVOL_OK);
    envol_keyring_close(back);
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    expect_opens_with(3, record);
    close_all();
}
END_TEST

/* --- Children --- */

static int cannot_adopt(void *argument)
{
    struct envol_keyring *from = argument;
    enum envol_status expected = ENVOL_E_FORKED;

    if ((keyring->flags & ENVOL_OPEN_INHERIT) != 0)
        expected = ENVOL_E_LOCKED_MEMORY;
    child_expects(ck_note(envol_keyring_adopt(keyring, from)) == expected);
    child_expects(envol_keyring_epoch(keyring) == 3);
    return 0;
}

START_TEST(a_child_that_may_not)
{
    struct envol_keyring *from;

    open_at(3, 3, _i == 0 ? 0 : ENVOL_OPEN_INHERIT);
    from = epoch_ring(&rings, 4, 3);
    mlock_fails = true;
    ck_assert_int_eq(test_in_child(cannot_adopt, from), 0);
    mlock_fails = false;
    envol_keyring_close(from);
    close_all();
}
END_TEST

static int seals_as_before(void *argument)
{
    uint32_t epoch;

    (void)argument;
    for (int i = 0; i < 2; i++) {
        child_expects(envol_page_seal(object, i == 0 ? lane : NULL, 9, page, record) == ENVOL_OK);
        child_expects(envol_trailer_epoch(record + RING_PAGE, &epoch) == ENVOL_OK && epoch == 3);
    }
    return 0;
}

static int adopts_for_itself(void *argument)
{
    struct envol_keyring *from = epoch_ring_try(&rings, 4, 3);
    uint32_t epoch;

    child_expects(seals_as_before(argument) == 0);
    child_expects(from != NULL);
    child_expects(ck_note(envol_keyring_adopt(keyring, from)) == ENVOL_OK);
    envol_keyring_close(from);
    child_expects(envol_page_seal(object, lane, 9, page, record) == ENVOL_OK);
    child_expects(envol_trailer_epoch(record + RING_PAGE, &epoch) == ENVOL_OK && epoch == 4);
    return 0;
}

/* Its keys are its own: what one process exchanges does not reach the other. */
START_TEST(a_child_adopts_for_itself)
{
    open_at(3, 3, ENVOL_OPEN_INHERIT);
    ck_assert_int_eq(test_in_child(adopts_for_itself, NULL), 0);
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    ck_assert_uint_eq(epoch_of(record), 3);
    close_all();
}
END_TEST

static int (*const ways_to_fork[])(int (*)(void *), void *) = {test_in_child, test_in_raw_child};

/* Forked off in the middle: in the child there is no exchange, and nobody to end one. */
START_TEST(a_child_of_the_middle)
{
    open_at(3, 3, ENVOL_OPEN_INHERIT);
    begin_to_wait(NULL);
    ck_assert_int_eq(ways_to_fork[_i](seals_as_before, NULL), 0);
    ck_assert_int_eq(test_in_child(adopts_for_itself, NULL), 0);
    end_to_wait(ENVOL_OK);
    ck_ok(envol_page_seal(object, lane, 9, page, record));
    ck_assert_uint_eq(epoch_of(record), 4);
    close_all();
}
END_TEST

static int is_cut_off(void *argument)
{
    (void)argument;
    child_expects(envol_page_seal(object, lane, 9, page, record) == ENVOL_E_KEY_REVOKED);
    child_expects(envol_is_zero(keyring->entry[0].keys, sizeof(struct envol_epoch_keys)));
    return 0;
}

START_TEST(a_child_of_the_middle_that_is_cut_off)
{
    open_at(3, 3, ENVOL_OPEN_INHERIT);
    begin_to_wait(NULL);
    (void)atomic_fetch_add(keyring->revocation.ended, 1);
    ck_assert_int_eq(test_in_child(is_cut_off, NULL), 0);
    end_to_wait(ENVOL_E_KEY_REVOKED);
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("adopt");
    TCase *tcase = tcase_create("adopt");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, objects_and_lanes_follow, 0, 2);
    tcase_add_loop_test(tcase, dropped_epochs_do_not_open, 0, 2);
    tcase_add_test(tcase, blobs_follow);
    tcase_add_loop_test(tcase, the_count_of_seals_starts_over, 0, 2);
    tcase_add_test(tcase, dropped_keys_are_wiped);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, keys_that_are_away);
    tcase_add_test(tcase, revoked_and_restored_afterwards);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("waiting");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, waits_for_who_is_inside, 0, 2);
    tcase_add_loop_test(tcase, revoked_while_it_waits, 0, 2);
    tcase_add_loop_test(tcase, a_child_that_may_not, 0, 2);
    tcase_add_test(tcase, a_child_adopts_for_itself);
    tcase_add_loop_test(tcase, a_child_of_the_middle, 0, 2);
    tcase_add_test(tcase, a_child_of_the_middle_that_is_cut_off);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
