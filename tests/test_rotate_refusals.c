/* SPDX-License-Identifier: BSD-2-Clause */
/* What keeps a rotation from beginning, going on and ending. */
#include "children.h"
#include "failing_mlock.h"
#include "faults.h"
#include "rotate_fixture.h"
#include "support.h"

#include <time.h>

/* --- Calls that make no sense --- */

START_TEST(arguments)
{
    struct slot_fixture s;
    struct envol_volume_options options = {.struct_size = 1};
    struct envol_slot_outcomes outcomes = {.struct_size = 1};
    struct envol_rotation r = {.struct_size = 1};
    struct envol_ledger ledger = {.struct_size = 1};
    const struct envol_cmk none = {NULL, NULL};

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_status(envol_volume_rotate_begin(NULL, s.cmks, 1, 0, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rotate_begin_with(&s, NULL, 0, 0, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rotate_begin_with(&s, &none, 1, 0, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rotate_begin_with(&s, s.cmks, 1, 4, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rotate_begin_with(&s, s.cmks, 1, 0, &options), ENVOL_E_ARGUMENT);
    options = (struct envol_volume_options){.struct_size = sizeof(options),
                                            .flags = ENVOL_OPEN_READ_ONLY};
    ck_assert_int_eq(rotate_begin_with(&s, s.cmks, 1, 0, &options), ENVOL_E_ARGUMENT);
    options.flags = 0;
    options.outcomes = &outcomes;
    ck_assert_int_eq(rotate_begin_with(&s, s.cmks, 1, 0, &options), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_step(NULL, 1, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_step(s.f.volume, 1, &r, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_run(NULL, 0, NULL, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, &r, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_pause(NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_resume(NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_finish(NULL, 0, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rotate_finish(&s, 1), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_status(s.f.volume, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rotate_status(s.f.volume, &r), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_ledger(s.f.volume, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_ledger(s.f.volume, &ledger, NULL), ENVOL_E_ARGUMENT);
    ledger.struct_size = sizeof(ledger);
    ck_status(envol_volume_ledger(NULL, &ledger, NULL), ENVOL_E_ARGUMENT);
    slot_fixture_end(&s);
}
END_TEST

static int stop_at_once(void *ctx, const struct envol_rotation *rotation)
{
    (void)rotation;
    ++*(int *)ctx;
    return 1;
}

static int pause_at_once(void *ctx, const struct envol_rotation *rotation)
{
    (void)rotation;
    return envol_volume_rotate_pause(ctx) != ENVOL_OK;
}

START_TEST(states)
{
    struct slot_fixture s;
    int seen = 0;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_assert_int_eq(rotate_step(&s, 1), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_run(&s), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_E_STATE);
    ck_status(envol_volume_rotate_pause(s.f.volume), ENVOL_E_STATE);
    ck_status(envol_volume_rotate_resume(s.f.volume), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_E_STATE);
    ck_ok(envol_volume_rotate_pause(s.f.volume));
    ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_PAUSED);
    ck_assert_int_eq(rotate_step(&s, 1), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_run(&s), ENVOL_E_STATE);
    rotate_expect_all(&s);
    ck_ok(envol_volume_rotate_resume(s.f.volume));
    ck_assert_int_eq(rotate_step(&s, 1), ENVOL_OK);
    /* So slow that a piece is a page. */
    ck_status(envol_volume_rotate_run(s.f.volume, 100000, stop_at_once, &seen, NULL, &s.f.error),
              ENVOL_E_CANCELLED);
    ck_assert_int_eq(seen, 1);
    ck_status(
        envol_volume_rotate_run(s.f.volume, 100000, pause_at_once, s.f.volume, NULL, &s.f.error),
        ENVOL_E_STATE);
    ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_PAUSED);
    ck_assert_uint_lt(rotate_status(&s).done, SLOT_PAGES);
    ck_ok(envol_volume_rotate_resume(s.f.volume));
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_step(&s, 0), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_E_STATE);
    rotate_expect_all(&s);
    slot_fixture_end(&s);
}
END_TEST

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

START_TEST(a_rate_is_kept)
{
    struct slot_fixture s;
    double begun;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    begun = seconds();
    ck_ok(envol_volume_rotate_run(s.f.volume, s.f.stride_bytes * SLOT_PAGES * 2, NULL, NULL, NULL,
                                  &s.f.error));
    /* The first piece is free, and so is none after it. */
    ck_assert_double_ge(seconds() - begun, 0.4);
    slot_fixture_end(&s);
}
END_TEST

static int child_of_a_rotation(void *argument)
{
    struct slot_fixture *s = argument;
    struct envol_rotation r = {.struct_size = sizeof(r)};
    struct envol_ledger ledger = {.struct_size = sizeof(ledger)};

    child_expects(rotate_begin(s) == ENVOL_E_FORKED);
    child_expects(rotate_step(s, 1) == ENVOL_E_FORKED);
    child_expects(rotate_run(s) == ENVOL_E_FORKED);
    child_expects(rotate_finish(s, 0) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_rotate_pause(s->f.volume)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_rotate_resume(s->f.volume)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_rotate_status(s->f.volume, &r)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_ledger(s->f.volume, &ledger, NULL)) == ENVOL_E_FORKED);
    return 0;
}

START_TEST(forked_children)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(test_in_child(child_of_a_rotation, &s), 0);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

/* Inherited keys that the child cannot lock again. */
static int child_without_locks(void *argument)
{
    struct slot_fixture *s = argument;
    struct envol_rotation r = {.struct_size = sizeof(r)};
    struct envol_ledger ledger = {.struct_size = sizeof(ledger)};

    mlock_fails = true;
    child_expects(rotate_begin(s) == ENVOL_E_LOCKED_MEMORY);
    child_expects(rotate_step(s, 1) == ENVOL_E_LOCKED_MEMORY);
    child_expects(rotate_run(s) == ENVOL_E_LOCKED_MEMORY);
    child_expects(rotate_finish(s, 0) == ENVOL_E_LOCKED_MEMORY);
    child_expects(ck_note(envol_volume_rotate_pause(s->f.volume)) == ENVOL_E_LOCKED_MEMORY);
    child_expects(ck_note(envol_volume_rotate_resume(s->f.volume)) == ENVOL_E_LOCKED_MEMORY);
    child_expects(ck_note(envol_volume_rotate_status(s->f.volume, &r)) == ENVOL_E_LOCKED_MEMORY);
    child_expects(ck_note(envol_volume_ledger(s->f.volume, &ledger, NULL)) ==
                  ENVOL_E_LOCKED_MEMORY);
    return 0;
}

static int child_that_inherits(void *argument)
{
    struct slot_fixture *s = argument;
    const struct envol_ledger *ledger = rotate_ledger(s);

    child_expects(ledger->pages == SLOT_PAGES && ledger->epochs[0].pages == SLOT_PAGES / 2);
    child_expects(rotate_begin(s) == ENVOL_E_FORKED);
    child_expects(rotate_step(s, 1) == ENVOL_E_FORKED);
    child_expects(rotate_finish(s, 0) == ENVOL_E_FORKED);
    return 0;
}

/* Children with keys of their own would write beside the sweep, or under the older DEK. */
START_TEST(inherited_keys)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_step(&s, SLOT_PAGES / 2), ENVOL_OK);
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    rotate_expect_all(&s);
    ck_assert_int_eq(rotate_step(&s, 1), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_run(&s), ENVOL_E_STATE);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_E_STATE);
    ck_status(envol_volume_rotate_pause(s.f.volume), ENVOL_E_STATE);
    ck_assert_int_eq(test_in_child(child_that_inherits, &s), 0);
    ck_assert_int_eq(test_in_child(child_without_locks, &s), 0);
    volume_fixture_kill(&s.f);
    envol_store_close(s.f.store);
    s.f.store = NULL;
    slot_fixture_end(&s);
}
END_TEST

START_TEST(inherited_keys_begin_none)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_E_STATE);
    volume_fixture_kill(&s.f);
    envol_store_close(s.f.store);
    s.f.store = NULL;
    slot_fixture_end(&s);
}
END_TEST

START_TEST(readers)
{
    struct slot_fixture s;
    struct envol_rotation r;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_step(&s, 8), ENVOL_OK);
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    rotate_expect_all(&s);
    r = rotate_status(&s);
    ck_assert_int_eq(r.state, ENVOL_ROTATION_RUNNING);
    ck_assert_uint_eq(r.done, 8);
    ck_assert_uint_eq(r.pages, SLOT_PAGES);
    ck_assert_uint_eq(rotate_ledger(&s)->epochs[1].pages, SLOT_PAGES - 8);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_E_READ_ONLY);
    ck_assert_int_eq(rotate_step(&s, 1), ENVOL_E_READ_ONLY);
    ck_assert_int_eq(rotate_run(&s), ENVOL_E_READ_ONLY);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_E_READ_ONLY);
    ck_status(envol_volume_rotate_pause(s.f.volume), ENVOL_E_READ_ONLY);
    ck_status(envol_volume_rotate_resume(s.f.volume), ENVOL_E_READ_ONLY);
    slot_fixture_end(&s);
}
END_TEST

/* --- Memory, and headers that are not what was written --- */

static enum envol_status call(struct slot_fixture *s, int which)
{
    struct envol_ledger ledger = {.struct_size = sizeof(ledger)};

    switch (which) {
    case 0:
        return rotate_begin(s);
    case 1:
        return rotate_step(s, 5);
    case 2:
        return ck_note(envol_volume_ledger(s->f.volume, &ledger, NULL));
    case 3:
        return rotate_run(s);
    default:
        return rotate_finish(s, 0);
    }
}

START_TEST(each_allocation_fails)
{
    struct slot_fixture s;

    faults_set_allocator();
    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    for (int which = 0; which < 5; which++) {
        enum envol_status status = ENVOL_E_NO_MEMORY;
        for (unsigned nth = 1; status != ENVOL_OK; nth++) {
            envol_volume_close_lanes(s.f.volume);
            faults_arm(FAULT_ALLOC, nth, false);
            status = call(&s, which);
            faults_disarm();
            if (status != ENVOL_E_NO_MEMORY)
                ck_assert_int_eq(status, ENVOL_OK);
            /* Under XTS the run that a step was at is out of reach until it is repeated. */
            if (_i == 0 || status == ENVOL_OK)
                rotate_expect_all(&s);
        }
    }
    volume_fixture_reopen(&s.f);
    rotate_expect_all(&s);
    ck_assert_uint_eq(volume_info_of(&s.f).header.epoch, 2);
    slot_fixture_end(&s);
}
END_TEST

/* Somebody put an older header back; what was written does not read back. */
START_TEST(updates_that_cannot_be)
{
    static uint8_t old[ENVOL_HEADER_BYTES];
    static const enum envol_status expected[2] = {ENVOL_E_STALE, ENVOL_E_CORRUPT};

    for (int which = 0; which < 5; which++) {
        struct slot_fixture s;
        if (which == 2 || !slot_fixture_begin(&s, false, NULL))
            continue;
        volume_store_get(s.f.store, 0, old, sizeof(old));
        slot_fixture_fill(&s, 2);
        volume_fixture_reopen(&s.f); /* no page is above the mark then */
        if (which > 0)
            ck_assert_int_eq(rotate_begin_with(&s, s.cmks, 2, 0, NULL), ENVOL_OK);
        if (which > 3)
            ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
        if (_i == 0)
            volume_store_put(s.f.store, 0, old, sizeof(old));
        else
            watched_tear_reads(s.f.watched, ENVOL_HEADER_COPY_BYTES, 100, 2);
        if (which == 0)
            ck_assert_int_eq(rotate_begin_with(&s, s.cmks, 2, 0, NULL), expected[_i]);
        else if (which == 1)
            ck_assert_int_eq(rotate_step(&s, SLOT_PAGES), expected[_i]);
        else
            ck_assert_int_eq(call(&s, which), expected[_i]);
        volume_fixture_kill(&s.f);
        slot_fixture_end(&s);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate refusals");
    TCase *calls = tcase_create("calls");
    TCase *memory = tcase_create("memory");

    tcase_set_timeout(calls, 60);
    tcase_add_loop_test(calls, arguments, 0, 2);
    tcase_add_loop_test(calls, states, 0, 2);
    tcase_add_loop_test(calls, a_rate_is_kept, 0, 2);
    tcase_add_loop_test(calls, forked_children, 0, 2);
    tcase_add_loop_test(calls, inherited_keys, 0, 2);
    tcase_add_loop_test(calls, inherited_keys_begin_none, 0, 2);
    tcase_add_loop_test(calls, readers, 0, 2);
    suite_add_tcase(s, calls);
    tcase_set_timeout(memory, 60);
    tcase_add_loop_test(memory, each_allocation_fails, 0, 2);
    tcase_add_loop_test(memory, updates_that_cannot_be, 0, 2);
    suite_add_tcase(s, memory);
    return s;
}

int main(void)
{
    return test_run(suite());
}
