/* SPDX-License-Identifier: BSD-2-Clause */
/* What the steps of a rotation on header bytes refuse, and that they change nothing then. */
#include "base/arena.h"
#include "base/memory.h"
#include "children.h"
#include "failing_mlock.h"
#include "failing_random.h"
#include "header_rotation.h"
#include "page/revoke.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static struct header_fixture f;

static void setup(void)
{
    header_fixture_open(&f, 0);
}

static void teardown(void)
{
    header_fixture_close(&f);
}

/* --- Arguments and states --- */

START_TEST(next_epoch_refuses)
{
    struct envol_header *next = (void *)&f, *header;

    ck_status(envol_header_next_epoch(f.header, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_next_epoch(NULL, &next), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(next);
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_status(envol_header_next_epoch(header, &next), ENVOL_E_STATE); /* not unlocked */
    envol_header_free(header);
    f.header->epoch = UINT32_MAX;
    ck_status(envol_header_next_epoch(f.header, &next), ENVOL_E_RANGE);
    f.header->epoch = 1;
    header_rotate_all(&f);
    next = (void *)&f;
    ck_status(envol_header_next_epoch(f.header, &next), ENVOL_E_STATE); /* unfinished */
    ck_assert_ptr_null(next);
}
END_TEST

static void expect_no_rotation(struct envol_header *next, const struct envol_keyring *keyring,
                               const uint8_t *dek, uint32_t flags, enum envol_status status)
{
    struct envol_keyring *newer = (void *)&f;

    ck_status(envol_header_rotate(next, keyring, dek, flags, &newer), status);
    ck_assert_ptr_null(newer);
}

START_TEST(rotate_refuses)
{
    static const uint8_t zeros[ENVOL_DEK_BYTES];
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_header *next;
    struct envol_keyring *newer;
    static struct header_fixture other_fixture;
    struct header_fixture *other = &other_fixture;

    test_fill(dek, sizeof(dek));
    header_fixture_open(other, 0);
    ck_ok(envol_header_next_epoch(f.header, &next));
    ck_status(envol_header_rotate(next, f.keyring, dek, 0, NULL), ENVOL_E_ARGUMENT);
    expect_no_rotation(NULL, f.keyring, dek, 0, ENVOL_E_ARGUMENT);
    expect_no_rotation(next, NULL, dek, 0, ENVOL_E_ARGUMENT);
    expect_no_rotation(next, f.keyring, NULL, 0, ENVOL_E_ARGUMENT);
    expect_no_rotation(next, f.keyring, dek, 4, ENVOL_E_ARGUMENT);
    expect_no_rotation(next, f.keyring, zeros, 0, ENVOL_E_ARGUMENT);
    expect_no_rotation(next, f.keyring, f.dek, 0, ENVOL_E_ARGUMENT);
    expect_no_rotation(f.header, f.keyring, dek, 0, ENVOL_E_STATE);
    expect_no_rotation(next, other->keyring, dek, 0, ENVOL_E_STATE);
    memcpy(other->keyring->uuid, f.uuid, ENVOL_UUID_BYTES);
    expect_no_rotation(next, other->keyring, dek, 0, ENVOL_E_WRONG_KEY);
    next->retained_count = 1; /* a DEK that the keyring lacks */
    next->retained[0].epoch = 7;
    expect_no_rotation(next, f.keyring, dek, 0, ENVOL_E_STATE);
    ck_assert_uint_eq(next->retained_count, 1);
    next->retained_count = 0;
    ck_ok(envol_header_rotate(next, f.keyring, dek, 0, &newer));
    expect_no_rotation(next, f.keyring, dek, 0, ENVOL_E_STATE);
    envol_keyring_close(newer);
    envol_header_free(next);
    header_fixture_close(other);
}
END_TEST

/* It is not a new header, whatever is done to it. */
START_TEST(next_is_not_sealed_anew)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct header_rotation r;
    struct envol_keyring *keyring;

    header_rotation_begin(&f, &r);
    ck_status(envol_header_seal(r.next, r.dek, 0, bytes, &keyring), ENVOL_E_STATE);
    ck_status(envol_header_unlock(r.next, r.dek, 0, NULL, &keyring), ENVOL_E_STATE);
    ck_status(envol_header_unlock_with(r.next, r.keyring, NULL, &keyring), ENVOL_E_STATE);
    header_rotation_drop(&r);
}
END_TEST

START_TEST(progress_refuses)
{
    ck_status(envol_header_set_sweep(NULL, 1, 0, 0), ENVOL_E_ARGUMENT);
    ck_status(envol_header_retire(NULL, 0), ENVOL_E_ARGUMENT);
    ck_status(envol_header_retire(f.header, 2), ENVOL_E_ARGUMENT);
    ck_status(envol_header_set_sweep(f.header, 1, 0, 0), ENVOL_E_STATE);
    ck_status(envol_header_retire(f.header, 0), ENVOL_E_STATE);
    ck_status(envol_header_retire(f.header, ENVOL_RETIRE_KEEP), ENVOL_E_STATE);
    header_rotate_all(&f);
    ck_ok(envol_header_set_sweep(f.header, UINT64_MAX, 0, 9)); /* 9: of none */
    ck_assert_uint_eq(f.header->rotation.first_bad, 0);
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    ck_ok(envol_header_retire(f.header, ENVOL_RETIRE_KEEP));
    ck_status(envol_header_set_sweep(f.header, 1, 0, 0), ENVOL_E_STATE);
    ck_status(envol_header_retire(f.header, ENVOL_RETIRE_KEEP), ENVOL_E_STATE);
    ck_ok(envol_header_retire(f.header, 0));
    ck_status(envol_header_retire(f.header, 0), ENVOL_E_STATE);
}
END_TEST

/* --- Unlocking with a keyring --- */

static void an_unknown_feature(uint8_t *bytes)
{
    bytes[ENVOL_AT_INCOMPATIBLE + 3] = 0x80;
}

static void a_spare_byte(uint8_t *bytes)
{
    bytes[ENVOL_AT_INCOMPATIBLE + 3] = 0;
    bytes[ENVOL_AT_SPARE] = 1;
}

START_TEST(unlocked_with_a_keyring_behind_the_mac)
{
    static const struct {
        void (*edit)(uint8_t *bytes);
        bool with_mac;
        enum envol_status status;
    } cases[] = {
        {an_unknown_feature, false, ENVOL_E_WRONG_KEY},
        {an_unknown_feature, true, ENVOL_E_VERSION},
        {a_spare_byte, true, ENVOL_E_CORRUPT},
    };
    struct envol_keyring *again;
    struct envol_header *header;

    for (size_t i = 0; i < 3; i++) {
        header_forge(&f, cases[i].edit, cases[i].with_mac);
        ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
        ck_status(envol_header_unlock_with(header, f.keyring, NULL, &again), cases[i].status);
        ck_assert_ptr_null(again);
        envol_header_free(header);
    }
}
END_TEST

/* --- Keys that are away, memory and randomness that is not there --- */

static int refuses(void *argument)
{
    struct envol_header *next = argument;
    struct envol_keyring *newer = (void *)&f;
    enum envol_status expected =
        f.keyring->flags & ENVOL_OPEN_INHERIT ? ENVOL_E_LOCKED_MEMORY : ENVOL_E_FORKED;

    child_expects(ck_note(envol_header_rotate(next, f.keyring, f.dek, 0, &newer)) == expected);
    child_expects(newer == NULL);
    child_expects(ck_note(envol_header_unlock_with(f.header, f.keyring, NULL, &newer)) == expected);
    child_expects(newer == NULL);
    return 0;
}

START_TEST(children)
{
    struct envol_header *next;

    if (_i == 1) {
        envol_keyring_close(f.keyring);
        ck_ok(envol_header_unlock(f.header, f.dek, ENVOL_OPEN_INHERIT, NULL, &f.keyring));
    }
    ck_ok(envol_header_next_epoch(f.header, &next));
    mlock_fails = true;
    ck_assert_int_eq(test_in_child(refuses, next), 0);
    mlock_fails = false;
    envol_header_free(next);
}
END_TEST

START_TEST(revoked)
{
    struct envol_header *next;
    struct envol_keyring *again;
    uint8_t dek[ENVOL_DEK_BYTES] = {1};

    ck_ok(envol_header_next_epoch(f.header, &next));
    envol_keyring_revoke(f.keyring);
    expect_no_rotation(next, f.keyring, dek, 0, ENVOL_E_KEY_REVOKED);
    ck_status(envol_header_unlock_with(f.header, f.keyring, NULL, &again), ENVOL_E_KEY_REVOKED);
    envol_header_free(next);
}
END_TEST

/* After any failure next is what it was, and the rotation goes on. */
START_TEST(no_randomness)
{
    struct envol_header *next;
    struct envol_keyring *newer;
    uint8_t dek[ENVOL_DEK_BYTES] = {1};

    header_rotate_all(&f); /* something is retained already */
    ck_ok(envol_header_retire(f.header, ENVOL_RETIRE_KEEP));
    header_update(&f);
    ck_ok(envol_header_next_epoch(f.header, &next));
    random_fails = true;
    expect_no_rotation(next, f.keyring, dek, 0, ENVOL_E_RANDOM);
    random_fails = false;
    ck_assert_mem_eq(next->retained, f.header->retained, sizeof(next->retained));
    ck_assert_uint_eq(next->retained_count, 1);
    ck_ok(envol_header_rotate(next, f.keyring, dek, 0, &newer));
    ck_assert_uint_eq(next->retained_count, 2);
    envol_keyring_close(newer);
    envol_header_free(next);
}
END_TEST

START_TEST(no_locked_memory)
{
    struct envol_header *next;
    struct envol_keyring *newer;
    uint8_t dek[ENVOL_DEK_BYTES] = {1};
    void *memory;

    ck_ok(envol_header_next_epoch(f.header, &next));
    mlock_fails = true;
    while (envol_arena_alloc(64, 0, &memory) == ENVOL_OK && envol_arena_is_locked(memory))
        ;
    expect_no_rotation(next, f.keyring, dek, 0, ENVOL_E_LOCKED_MEMORY);
    ck_status(envol_header_unlock_with(f.header, f.keyring, NULL, &newer), ENVOL_E_LOCKED_MEMORY);
    ck_ok(envol_header_rotate(next, f.keyring, dek, ENVOL_OPEN_ALLOW_UNLOCKED, &newer));
    envol_keyring_close(newer);
    envol_header_free(next);
}
END_TEST

static unsigned allocations, fail_at;

static void *failing_alloc(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    if (++allocations == fail_at)
        return NULL;
    return aligned_alloc(align < 16 ? 16 : align, (bytes + 4095) / 4096 * 4096);
}

static void plain_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static enum envol_status rotate_and_unlock(void)
{
    struct envol_header *next;
    struct envol_keyring *newer = NULL, *again = NULL;
    const struct envol_slot slot = header_slot("key", 100);
    uint8_t dek[ENVOL_DEK_BYTES] = {1};
    enum envol_status status = ck_note(envol_header_next_epoch(f.header, &next));

    if (status == ENVOL_OK)
        status = ck_note(envol_header_rotate(next, f.keyring, dek, 0, &newer));
    if (status == ENVOL_OK)
        status = ck_note(envol_header_add_slot(next, &slot, NULL));
    if (status == ENVOL_OK)
        status = ck_note(envol_header_unlock_with(f.header, f.keyring, NULL, &again));
    envol_keyring_close(newer);
    envol_keyring_close(again);
    envol_header_free(next);
    return status;
}

START_TEST(each_allocation_fails)
{
    static const struct envol_allocator allocator = {
        .struct_size = sizeof(allocator), .alloc = failing_alloc, .free = plain_free};
    enum envol_status status;

    teardown();
    ck_ok(envol_set_allocator(&allocator));
    setup();
    for (fail_at = 1;; fail_at++) {
        allocations = 0;
        status = rotate_and_unlock();
        if (status == ENVOL_OK)
            break;
        ck_assert_int_eq(status, ENVOL_E_NO_MEMORY);
    }
    ck_assert_uint_ge(fail_at, 5); /* a header, a slot, two keyrings, none */
    fail_at = 0;
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotation_refusals");
    TCase *c = tcase_create("refusals");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, next_epoch_refuses);
    tcase_add_test(c, rotate_refuses);
    tcase_add_test(c, next_is_not_sealed_anew);
    tcase_add_test(c, progress_refuses);
    tcase_add_test(c, unlocked_with_a_keyring_behind_the_mac);
    tcase_add_loop_test(c, children, 0, 2);
    tcase_add_test(c, revoked);
    tcase_add_test(c, no_randomness);
    tcase_add_test(c, no_locked_memory);
    tcase_add_test(c, each_allocation_fails);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
