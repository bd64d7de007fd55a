/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adding, removing and listing slots of a volume that is in use: what opens it afterwards, what
 * fails, what is left then, and what an open says of each slot.
 */
#include "base/memory.h"
#include "children.h"
#include "crash_store.h"
#include "failing_mlock.h"
#include "faults.h"
#include "header/header.h"
#include "slot_fixture.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const key_refs[] = {VOLUME_KEY, "arn:fake:key/2", "arn:fake:key/3"};

static enum envol_status add(struct slot_fixture *s, unsigned key)
{
    uint32_t id = 99;
    enum envol_status status =
        ck_note(envol_volume_add_slot(s->f.volume, &s->cmks[key], NULL, &id, &s->f.error));

    ck_assert_int_eq(id == 0, status != ENVOL_OK);
    ck_assert_int_eq(s->f.error.status, status);
    return status;
}

static enum envol_status drop(struct slot_fixture *s, uint32_t id)
{
    enum envol_status status = ck_note(envol_volume_remove_slot(s->f.volume, id, &s->f.error));

    ck_assert_int_eq(s->f.error.status, status);
    return status;
}

static unsigned calls(struct slot_fixture *s)
{
    return fake_kms_calls(s->f.kms, FAKE_ANY);
}

/* --- Changing --- */

START_TEST(any_slot_opens)
{
    struct slot_fixture s;
    unsigned before;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    before = calls(&s);
    slot_fixture_fill(&s, 3);
    ck_assert_uint_eq(calls(&s), before + 4); /* wrapped, and unwrapped once, each */
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 0}, key_refs);
    ck_ok(envol_volume_add_slot(s.f.volume, &s.other, NULL, NULL, &s.f.error));
    for (size_t i = 0; i < 3; i++)
        slot_reopen(&s, &s.cmks[i], ENVOL_OK);
    slot_reopen(&s, &s.other, ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&s.f).opened_slot, 4);
    fake_kms_set_state(s.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    slot_reopen(&s, &s.cmks[0], ENVOL_E_KEY_DISABLED);
    slot_reopen(&s, &s.cmks[2], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(a_removed_slot_is_gone)
{
    struct slot_fixture s;
    const struct envol_slot *slot;
    uint8_t wrapped[200];
    size_t bytes;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 3);
    slot = s.f.volume->header->slots[0];
    bytes = slot->wrapped_bytes;
    memcpy(wrapped, slot->wrapped, bytes);
    ck_assert_uint_eq(slot_store_holds(&s, wrapped, bytes), 2);
    ck_assert_int_eq(drop(&s, 1), ENVOL_OK);
    ck_assert_uint_eq(slot_store_holds(&s, wrapped, bytes), 0);
    slot_expect(&s, (const uint32_t[]){2, 3, 0}, key_refs + 1);
    ck_assert_int_eq(drop(&s, 1), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(drop(&s, 0), ENVOL_E_ARGUMENT);
    slot_reopen(&s, &s.cmks[0], ENVOL_E_NO_PROVIDER);
    slot_reopen(&s, &s.cmks[1], ENVOL_OK);
    ck_assert_int_eq(drop(&s, 3), ENVOL_OK);
    ck_assert_int_eq(drop(&s, 2), ENVOL_E_STATE);
    slot_reopen(&s, &s.cmks[1], ENVOL_OK);
    slot_expect(&s, (const uint32_t[]){2, 0}, key_refs + 1);
    slot_fixture_end(&s);
}
END_TEST

/* Ids are unique, not in order; the order of trial is that of their making. */
START_TEST(ids_are_used_again)
{
    struct slot_fixture s;
    static const char *const order[] = {VOLUME_KEY, "arn:fake:key/3", "arn:fake:key/2"};

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 3);
    ck_assert_int_eq(drop(&s, 2), ENVOL_OK);
    ck_assert_int_eq(add(&s, 1), ENVOL_OK);
    slot_expect(&s, (const uint32_t[]){1, 3, 2, 0}, order);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(what_does_not_fit)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    ck_assert_int_eq(add(&s, 0), ENVOL_E_STATE);
    ck_assert_int_eq(s.f.error.slot, 1);
    slot_fixture_fill(&s, 8);
    ck_status(envol_volume_add_slot(s.f.volume, &s.other, NULL, NULL, &s.f.error), ENVOL_E_RANGE);
    for (uint32_t id = 2; id <= 8; id++)
        ck_assert_int_eq(drop(&s, id), ENVOL_OK);
    fake_kms_misbehave(s.f.kms, FAKE_BLOB_6144);
    for (unsigned key = 1; key <= 4; key++)
        ck_assert_int_eq(add(&s, key), ENVOL_OK);
    ck_assert_int_eq(add(&s, 5), ENVOL_E_RANGE);
    fake_kms_misbehave(s.f.kms, FAKE_HONEST);
    slot_reopen(&s, &s.cmks[4], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(arguments)
{
    struct slot_fixture s;
    struct envol_volume_options bad = {.struct_size = sizeof(bad) - 1};
    struct envol_cmk none = {NULL, NULL};

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    none.provider = s.f.provider;
    ck_status(envol_volume_add_slot(NULL, &s.cmks[1], NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_add_slot(s.f.volume, NULL, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_add_slot(s.f.volume, &none, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_add_slot(s.f.volume, &s.cmks[1], &bad, NULL, NULL), ENVOL_E_ARGUMENT);
    bad.struct_size++;
    bad.flags = ENVOL_OPEN_INHERIT;
    ck_status(envol_volume_add_slot(s.f.volume, &s.cmks[1], &bad, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_remove_slot(NULL, 1, NULL), ENVOL_E_ARGUMENT);
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_assert_int_eq(add(&s, 1), ENVOL_E_READ_ONLY);
    ck_assert_int_eq(drop(&s, 1), ENVOL_E_READ_ONLY);
    slot_fixture_end(&s);
}
END_TEST

static int change_in_child(void *fixture)
{
    struct slot_fixture *s = fixture;
    struct envol_slot_info slots[1] = {{.struct_size = sizeof(slots[0])}};
    bool inherits = s->f.volume->keyring->flags != 0;
    size_t count;

    child_expects(add(s, 1) == ENVOL_E_FORKED);
    child_expects(drop(s, 1) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_slots(s->f.volume, NULL, 0, NULL, slots, 1, &count, NULL)) ==
                  (inherits ? ENVOL_OK : ENVOL_E_FORKED));
    return 0;
}

START_TEST(forked_children)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    ck_assert_int_eq(test_in_child(change_in_child, &s), 0);
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    ck_assert_int_eq(test_in_child(change_in_child, &s), 0);
    ck_assert_int_eq(add(&s, 1), ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

static int change_unlocked(void *fixture)
{
    struct slot_fixture *s = fixture;
    struct envol_slot_info slots[1] = {{.struct_size = sizeof(slots[0])}};
    size_t count;

    child_expects(add(s, 1) == ENVOL_E_LOCKED_MEMORY);
    child_expects(drop(s, 1) == ENVOL_E_LOCKED_MEMORY);
    child_expects(ck_note(envol_volume_slots(s->f.volume, NULL, 0, NULL, slots, 1, &count, NULL)) ==
                  ENVOL_E_LOCKED_MEMORY);
    return 0;
}

START_TEST(children_that_cannot_lock)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    mlock_fails = true;
    ck_assert_int_eq(test_in_child(change_unlocked, &s), 0);
    mlock_fails = false;
    slot_fixture_end(&s);
}
END_TEST

/* --- Failing --- */

static const enum envol_status provider_says[] = {
    ENVOL_E_ARGUMENT,     ENVOL_E_NO_MEMORY,   ENVOL_E_LOCKED_MEMORY,
    ENVOL_E_IO,           ENVOL_E_RANDOM,      ENVOL_E_FORKED,
    ENVOL_E_FORMAT,       ENVOL_E_VERSION,     ENVOL_E_CORRUPT,
    ENVOL_E_WRONG_KEY,    ENVOL_E_KEY_DENIED,  ENVOL_E_KEY_NOT_FOUND,
    ENVOL_E_KEY_DISABLED, ENVOL_E_THROTTLED,   ENVOL_E_KEY_PENDING_DELETION,
    ENVOL_E_UNREACHABLE,  ENVOL_E_TIMEOUT,     ENVOL_E_CANCELLED,
    ENVOL_E_CREDENTIALS,  ENVOL_E_UNSUPPORTED, ENVOL_E_PROVIDER,
};

START_TEST(what_the_key_service_says)
{
    static const enum fake_operation at[] = {FAKE_WRAP, FAKE_UNWRAP};
    static const enum fake_misbehaviour broken[] = {FAKE_DEK_OTHER, FAKE_DEK_GARBAGE, FAKE_DEK_31,
                                                    FAKE_BLOB_EMPTY, FAKE_REF_ESCAPE};
    struct slot_fixture s;
    unsigned writes;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_reopen(&s, &s.cmks[0], ENVOL_OK);
    writes = watched_calls(s.f.watched, WATCHED_WRITE);
    for (size_t i = 0; i < sizeof(provider_says) / sizeof(provider_says[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            fake_kms_fail(s.f.kms, at[j], 1, provider_says[i]);
            ck_assert_int_eq(add(&s, 1), provider_says[i]);
        }
    }
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        fake_kms_misbehave(s.f.kms, broken[i]);
        ck_assert_int_eq(add(&s, 1), ENVOL_E_PROVIDER);
    }
    fake_kms_misbehave(s.f.kms, FAKE_HONEST);
    ck_assert_uint_eq(watched_calls(s.f.watched, WATCHED_WRITE), writes);
    slot_expect(&s, (const uint32_t[]){1, 0}, key_refs);
    ck_assert_int_eq(add(&s, 1), ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

/* Whatever call of the store fails: the slots are as before, and the next update says so. */
START_TEST(what_the_store_says)
{
    static const enum watched_call failing[] = {WATCHED_READ, WATCHED_WRITE, WATCHED_SYNC,
                                                WATCHED_LOCK};

    for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
        enum envol_status status = ENVOL_E_IO;
        for (unsigned nth = 1; status != ENVOL_OK; nth++) {
            struct slot_fixture s;
            if (!slot_fixture_begin(&s, false, NULL))
                return;
            slot_fixture_fill(&s, 2);
            watched_fail(s.f.watched, failing[i], nth, ENVOL_E_IO);
            status = _i == 0 ? add(&s, 2) : drop(&s, 1);
            watched_fail(s.f.watched, failing[i], 0, ENVOL_OK);
            if (status != ENVOL_OK) {
                ck_assert_int_eq(status, ENVOL_E_IO);
                slot_expect(&s, (const uint32_t[]){1, 2, 0}, key_refs);
            }
            if (status != ENVOL_OK && failing[i] == WATCHED_SYNC)
                volume_fixture_kill(&s.f); /* it says so from then on */
            slot_reopen(&s, &s.cmks[1], ENVOL_OK);
            if (status != ENVOL_OK && failing[i] != WATCHED_SYNC)
                slot_expect(&s, (const uint32_t[]){1, 2, 0}, key_refs);
            slot_fixture_end(&s);
        }
    }
}
END_TEST

/* Somebody put an older header back; what was written does not read back. */
START_TEST(updates_that_cannot_be)
{
    struct slot_fixture s;
    static uint8_t old[ENVOL_HEADER_BYTES];

    for (int change = 0; change < 2; change++) {
        if (!slot_fixture_begin(&s, false, NULL))
            return;
        volume_store_get(s.f.store, 0, old, sizeof(old));
        slot_fixture_fill(&s, 2);
        if (_i == 0)
            volume_store_put(s.f.store, 0, old, sizeof(old));
        else
            watched_tear_reads(s.f.watched, ENVOL_HEADER_COPY_BYTES, 100, 2);
        ck_assert_int_eq(change == 0 ? add(&s, 2) : drop(&s, 1),
                         _i == 0 ? ENVOL_E_STALE : ENVOL_E_CORRUPT);
        volume_fixture_kill(&s.f);
        slot_fixture_end(&s);
    }
}
END_TEST

START_TEST(each_allocation_fails)
{
    struct slot_fixture s;
    struct envol_slot_info slots[ENVOL_SLOTS_MAX] = {{.struct_size = sizeof(slots[0])}};
    enum envol_status status;
    size_t count, held;

    faults_set_allocator();
    if (!slot_fixture_begin(&s, false, NULL))
        return;
    held = faults_allocations();
    for (int change = 0; change < 3; change++) {
        status = ENVOL_E_NO_MEMORY;
        for (unsigned nth = 1; status != ENVOL_OK; nth++) {
            faults_arm(FAULT_ALLOC, nth, false);
            status = change == 0 ? add(&s, 1)
                     : change == 1
                         ? ck_note(envol_volume_slots(s.f.volume, s.cmks, 2, NULL, slots,
                                                      ENVOL_SLOTS_MAX, &count, &s.f.error))
                         : drop(&s, 2);
            faults_disarm();
            ck_assert(status == ENVOL_OK || status == ENVOL_E_NO_MEMORY);
            ck_assert_uint_eq(faults_allocations(), held + (change == 2   ? status != ENVOL_OK
                                                            : change == 1 ? 1
                                                                          : status == ENVOL_OK));
        }
    }
    slot_expect(&s, (const uint32_t[]){1, 0}, key_refs);
    slot_fixture_end(&s);
}
END_TEST

/* --- Crashes --- */

struct crash {
    struct slot_fixture *s;
    size_t changed; /* calls until the change had returned */
    const struct envol_cmk *before, *after;
    unsigned images;
};

static enum envol_status open_image(const struct crash_image *image, const struct envol_cmk *cmk)
{
    struct volume_fixture f = ((struct volume_fixture){.error = ENVOL_ERROR_INIT});
    enum envol_status status;

    crash_store_new(image->bytes, image->size, &f.store);
    status = ck_note(envol_volume_open(f.store, cmk, 1, NULL, &f.volume, &f.error));
    if (status == ENVOL_OK)
        ck_ok(envol_volume_close(f.volume));
    envol_store_close(f.store);
    return status;
}

/* One or the other opens it at any moment, and the new one alone when the call has returned. */
static void check_image(const struct crash_image *image, void *ctx)
{
    struct crash *crash = ctx;
    enum envol_status before = open_image(image, crash->before);
    enum envol_status after = open_image(image, crash->after);

    crash->images++;
    ck_assert_msg(before == ENVOL_OK || after == ENVOL_OK, "%s, %s: %s", envol_status_name(before),
                  envol_status_name(after), image->story);
    if (image->calls >= crash->changed)
        ck_assert_msg(after == ENVOL_OK, "%s: %s", envol_status_name(after), image->story);
}

START_TEST(crashes)
{
    struct slot_fixture s;
    struct envol_store *store;
    struct crash_store *log = crash_store_new(NULL, 0, &store);
    struct crash crash = {.s = &s};
    const struct crash_options options = {.sector_bytes = 4096};

    if (!slot_fixture_begin(&s, _i == 1, store))
        return;
    crash.before = &s.cmks[0];
    crash.after = &s.cmks[1];
    crash_store_settle(log);
    ck_assert_int_eq(add(&s, 1), ENVOL_OK);
    crash.changed = crash_store_calls(log);
    crash_store_replay(log, &options, check_image, &crash);
    crash_store_settle(log);
    crash.after = &s.cmks[1];
    ck_assert_int_eq(drop(&s, 1), ENVOL_OK);
    crash.changed = crash_store_calls(log);
    crash_store_replay(log, &options, check_image, &crash);
    ck_assert_uint_gt(crash.images, 20);
    slot_fixture_end(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("slots");
    TCase *tcase = tcase_create("slots");

    tcase_add_loop_test(tcase, any_slot_opens, 0, 2);
    tcase_add_test(tcase, a_removed_slot_is_gone);
    tcase_add_test(tcase, ids_are_used_again);
    tcase_add_test(tcase, what_does_not_fit);
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, forked_children);
    tcase_add_test(tcase, children_that_cannot_lock);
    tcase_add_test(tcase, what_the_key_service_says);
    tcase_add_loop_test(tcase, what_the_store_says, 0, 2);
    tcase_add_loop_test(tcase, updates_that_cannot_be, 0, 2);
    tcase_add_test(tcase, each_allocation_fails);
    tcase_add_loop_test(tcase, crashes, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
