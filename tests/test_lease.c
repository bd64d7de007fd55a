/* SPDX-License-Identifier: BSD-2-Clause */
/* What makes a lease go from one state to the next, and when: by a clock of the test's. */
#include "lease_fixture.h"
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const enum envol_status refusals[] = {
    ENVOL_E_KEY_DISABLED,  ENVOL_E_KEY_DENIED, ENVOL_E_KEY_PENDING_DELETION,
    ENVOL_E_KEY_NOT_FOUND, ENVOL_E_WRONG_KEY,
};
enum { REFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

/* All else that a provider may answer. */
static const enum envol_status others[] = {
    ENVOL_E_ARGUMENT,  ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_IO,
    ENVOL_E_RANDOM,    ENVOL_E_FORKED,    ENVOL_E_FORMAT,        ENVOL_E_VERSION,
    ENVOL_E_CORRUPT,   ENVOL_E_THROTTLED, ENVOL_E_UNREACHABLE,   ENVOL_E_TIMEOUT,
    ENVOL_E_CANCELLED, ENVOL_E_PROVIDER,  ENVOL_E_CREDENTIALS,   ENVOL_E_UNSUPPORTED,
};
enum { OTHERS = sizeof(others) / sizeof(others[0]) };

static unsigned unwraps(struct lease_fixture *l)
{
    return fake_kms_calls(l->f.kms, FAKE_UNWRAP);
}

static void expect_works(struct lease_fixture *l)
{
    volume_page_expect(&l->f, 2, 1);
    volume_page_put(&l->f, 2, 1);
}

/* --- Timing --- */

START_TEST(nothing_is_done_before_it_is_due)
{
    struct lease_fixture l;
    unsigned calls;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    calls = unwraps(&l);
    ck_assert_uint_eq(lease_info_of(&l).next_check_ms, 0);
    /* The first poll starts the clock. */
    ck_assert_int_eq(lease_tick(&l, 0), ENVOL_OK);
    ck_assert_uint_eq(l.next_ms, l.now_ms + LEASE_INTERVAL);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL - 1), ENVOL_OK);
    ck_assert_uint_eq(unwraps(&l), calls);
    ck_assert_uint_eq(l.next_ms, l.now_ms + 1);
    ck_assert_int_eq(lease_tick(&l, 1), ENVOL_OK);
    ck_assert_uint_eq(unwraps(&l), calls + 1);
    ck_assert_uint_eq(l.next_ms, l.now_ms + LEASE_INTERVAL);
    /* Late is late: one check, not one for each that was missed. */
    ck_assert_int_eq(lease_tick(&l, 100 * LEASE_INTERVAL), ENVOL_OK);
    ck_assert_uint_eq(unwraps(&l), calls + 2);
    ck_assert_int_eq(ck_note(envol_lease_poll(l.lease, l.now_ms + LEASE_INTERVAL, NULL)), ENVOL_OK);
    ck_assert_uint_eq(unwraps(&l), calls + 3);
    ck_assert_uint_eq(fake_kms_calls(l.f.kms, FAKE_DESCRIBE), 0);
    ck_assert_uint_eq(l.changes, 0);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(checks_come_up_to_a_tenth_early)
{
    struct lease_fixture l;
    uint64_t least = UINT64_MAX, most = 0;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.options.flags = 0;
    lease_fixture_start(&l);
    for (int i = 0; i < 300; i++) {
        uint64_t wait;
        ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
        wait = l.next_ms - l.now_ms;
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    ck_assert_uint_ge(least, LEASE_INTERVAL - LEASE_INTERVAL / 10);
    ck_assert_uint_le(most, LEASE_INTERVAL);
    /* 300 draws of 101 values. */
    ck_assert_uint_lt(least, LEASE_INTERVAL - LEASE_INTERVAL / 20);
    ck_assert_uint_gt(most, LEASE_INTERVAL - LEASE_INTERVAL / 20);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(defaults)
{
    struct lease_fixture l;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    ck_ok(envol_lease_start(l.f.volume, NULL, &l.lease, NULL));
    ck_assert_int_eq(lease_tick(&l, 0), ENVOL_OK);
    ck_assert_uint_ge(l.next_ms, l.now_ms + 270000);
    ck_assert_uint_le(l.next_ms, l.now_ms + 300000);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(lease_tick(&l, 300000), ENVOL_OK);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_SUSPECT);
    ck_assert_uint_eq(lease_info_of(&l).deadline_ms, l.now_ms + 7200000);
    ck_assert_int_eq(lease_tick(&l, 7199999), ENVOL_OK);
    expect_works(&l);
    ck_assert_int_eq(lease_tick(&l, 1), ENVOL_E_KEY_REVOKED);
    lease_come_back(&l);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(the_machines_own_clock)
{
    struct lease_fixture l;
    struct timespec now;
    uint64_t before_ms;
    struct envol_lease_info info;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.options.flags |= ENVOL_LEASE_AT_ONCE;
    lease_fixture_start(&l);
    clock_gettime(CLOCK_MONOTONIC, &now);
    before_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    ck_ok(envol_lease_poll(l.lease, 0, &l.next_ms));
    info = lease_info_of(&l);
    ck_assert_uint_eq(info.checks, 1);
    ck_assert_uint_ge(info.last_check_ms, before_ms);
    ck_assert_uint_le(info.last_check_ms, before_ms + 60000);
    ck_assert_uint_eq(info.last_success_ms, info.last_check_ms);
    ck_assert_uint_eq(info.next_check_ms, info.last_check_ms + LEASE_INTERVAL);
    ck_assert_uint_eq(l.next_ms, info.next_check_ms);
    ck_assert_uint_le(info.last_check_at_s, (uint64_t)time(NULL));
    ck_assert_uint_ge(info.last_check_at_s, (uint64_t)time(NULL) - 60);
    lease_fixture_free(&l);
}
END_TEST

/* --- Answers --- */

static void expect_suspect(struct lease_fixture *l, enum envol_status status)
{
    struct envol_lease_info info = lease_info_of(l);

    ck_assert_int_eq(info.state, ENVOL_LEASE_SUSPECT);
    ck_assert_int_eq(info.last_status, status);
    ck_assert_uint_eq(info.last_check_ms, l->now_ms);
    lease_expect_told(l, ENVOL_LEASE_AVAILABLE, ENVOL_LEASE_SUSPECT, status);
}

START_TEST(a_refusal_and_no_more)
{
    struct lease_fixture l;
    uint64_t deadline_ms;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, refusals[_i]);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    deadline_ms = l.told[0].deadline_ms;
    ck_assert_uint_eq(deadline_ms, l.now_ms + LEASE_GRACE);
    expect_suspect(&l, refusals[_i]);
    ck_assert_uint_eq(lease_info_of(&l).deadline_ms, deadline_ms);
    ck_assert_int_eq(volume_info_of(&l.f).lease_state, ENVOL_LEASE_SUSPECT);
    ck_assert_int_eq(volume_info_of(&l.f).lease_status, refusals[_i]);
    ck_assert_uint_eq(volume_info_of(&l.f).lease_checked_ms, l.now_ms);
    ck_assert_uint_le((uint64_t)time(NULL) - volume_info_of(&l.f).lease_checked_at_s, 60);
    ck_assert_uint_eq(volume_info_of(&l.f).lease_next_ms, l.next_ms);
    ck_assert_uint_eq(volume_info_of(&l.f).lease_deadline_ms, deadline_ms);
    expect_works(&l);
    /* The key is back. */
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    lease_expect_told(&l, ENVOL_LEASE_SUSPECT, ENVOL_LEASE_AVAILABLE, ENVOL_OK);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    ck_assert_uint_eq(lease_info_of(&l).deadline_ms, 0);
    ck_assert_uint_eq(volume_info_of(&l.f).lease_deadline_ms, 0);
    ck_assert_int_eq(lease_tick(&l, 2 * LEASE_GRACE), ENVOL_OK);
    ck_assert_uint_eq(l.changes, 0);
    expect_works(&l);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(refusals_until_the_deadline)
{
    struct lease_fixture l;
    unsigned calls;
    uint64_t deadline_ms;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, refusals[_i]);
    (void)lease_tick(&l, LEASE_INTERVAL);
    expect_suspect(&l, refusals[_i]);
    deadline_ms = lease_info_of(&l).deadline_ms;
    while (l.now_ms + LEASE_INTERVAL / 2 < deadline_ms) {
        fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, refusals[_i]);
        ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL / 2), ENVOL_OK);
        ck_assert_uint_le(l.next_ms, deadline_ms);
        /* Later refusals do not move it. */
        ck_assert_uint_eq(lease_info_of(&l).deadline_ms, deadline_ms);
        expect_works(&l);
    }
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, refusals[_i]);
    ck_assert_int_eq(lease_tick(&l, deadline_ms - l.now_ms), ENVOL_E_KEY_REVOKED);
    lease_expect_told(&l, ENVOL_LEASE_SUSPECT, ENVOL_LEASE_INACCESSIBLE, refusals[_i]);
    ck_assert_uint_eq(l.next_ms, UINT64_MAX);
    ck_assert_uint_eq(l.changes, 0);
    lease_expect_wiped(l.f.volume->keyring);
    volume_page_expect_status(&l.f, 2, ENVOL_E_KEY_REVOKED);
    /* Nothing is asked any more, however long it takes: unlocking is somebody's decision. */
    calls = unwraps(&l);
    ck_assert_int_eq(lease_tick(&l, 1000 * LEASE_INTERVAL), ENVOL_E_KEY_REVOKED);
    ck_assert_uint_eq(unwraps(&l), calls);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_INACCESSIBLE);
    ck_assert_uint_eq(lease_info_of(&l).next_check_ms, 0);
    lease_come_back(&l);
    lease_expect_told(&l, ENVOL_LEASE_INACCESSIBLE, ENVOL_LEASE_AVAILABLE, ENVOL_OK);
    expect_works(&l);
    /* And the next one is due an interval after the next poll. */
    ck_assert_int_eq(lease_tick(&l, 1), ENVOL_OK);
    ck_assert_uint_eq(l.next_ms, l.now_ms + LEASE_INTERVAL);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(without_grace)
{
    struct lease_fixture l;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.options.flags |= ENVOL_LEASE_NO_GRACE;
    l.options.grace_ms = 0;
    lease_fixture_start(&l);
    (void)lease_tick(&l, 0);
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, refusals[_i]);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_E_KEY_REVOKED);
    lease_expect_told(&l, ENVOL_LEASE_SUSPECT, ENVOL_LEASE_INACCESSIBLE, refusals[_i]);
    lease_expect_told(&l, ENVOL_LEASE_AVAILABLE, ENVOL_LEASE_SUSPECT, refusals[_i]);
    lease_come_back(&l);
    lease_fixture_free(&l);
}
END_TEST

/* However often, and for however long. */
START_TEST(other_failures_change_nothing)
{
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    for (int i = 0; i < 50; i++) {
        fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, others[_i]);
        ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
        ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
        ck_assert_int_eq(lease_info_of(&l).last_status, others[_i]);
    }
    ck_assert_uint_eq(l.changes, 0);
    expect_works(&l);
    lease_fixture_free(&l);
}
END_TEST

/* But they are no success either: a refusal stands until there is one. */
START_TEST(other_failures_do_not_stop_the_deadline)
{
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, ENVOL_E_KEY_DENIED);
    (void)lease_tick(&l, LEASE_INTERVAL);
    for (int i = 0; i < LEASE_GRACE / LEASE_INTERVAL - 1; i++) {
        fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, others[_i]);
        ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
        expect_works(&l);
    }
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, others[_i]);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_E_KEY_REVOKED);
    lease_expect_told(&l, ENVOL_LEASE_SUSPECT, ENVOL_LEASE_INACCESSIBLE, others[_i]);
    lease_come_back(&l);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(unchecked_for_too_long)
{
    const uint32_t most = 3500;
    struct lease_fixture l;
    uint64_t last_ms;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.options.max_unchecked_ms = most;
    lease_fixture_start(&l);
    (void)lease_tick(&l, 0);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    last_ms = l.now_ms;
    while (l.next_ms < last_ms + most) {
        fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, others[_i]);
        ck_assert_int_eq(lease_tick(&l, l.next_ms - l.now_ms), ENVOL_OK);
        ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    }
    /* It is asked once more when the time is over. */
    ck_assert_uint_eq(l.next_ms, last_ms + most);
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, others[_i]);
    ck_assert_int_eq(lease_tick(&l, l.next_ms - l.now_ms), ENVOL_OK);
    expect_suspect(&l, others[_i]);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    lease_expect_told(&l, ENVOL_LEASE_SUSPECT, ENVOL_LEASE_AVAILABLE, ENVOL_OK);
    lease_fixture_free(&l);
}
END_TEST

/* --- What else a service may do --- */

START_TEST(another_dek)
{
    static const enum fake_misbehaviour ways[] = {FAKE_DEK_GARBAGE, FAKE_DEK_OTHER};
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    for (int i = 0; i < 2; i++) { /* the DEK before the last one is then not ours */
        struct envol_store *store;
        struct envol_volume *second;
        watched_store_new(&store);
        ck_ok(envol_volume_create(store, &l.f.cmk, 1, NULL, &second, NULL));
        ck_ok(envol_volume_close(second));
        envol_store_close(store);
    }
    fake_kms_misbehave(l.f.kms, ways[_i]);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    expect_suspect(&l, ENVOL_E_WRONG_KEY);
    ck_assert_int_eq(lease_tick(&l, LEASE_GRACE), ENVOL_E_KEY_REVOKED);
    fake_kms_misbehave(l.f.kms, FAKE_HONEST);
    lease_come_back(&l);
    expect_works(&l);
    lease_fixture_free(&l);
}
END_TEST

/* A provider's broken answers are its own failure, and say nothing of the key. */
START_TEST(a_provider_that_breaks_its_contract)
{
    static const enum fake_misbehaviour ways[] = {
        FAKE_DEK_31,         FAKE_DEK_65,         FAKE_DEK_ZERO,      FAKE_NO_OUTPUT,
        FAKE_STATUS_UNKNOWN, FAKE_STATUS_FOREIGN, FAKE_STATUS_REVOKED};
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        fake_kms_misbehave(l.f.kms, ways[i]);
        ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
        ck_assert_int_eq(lease_info_of(&l).last_status, ENVOL_E_PROVIDER);
        ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    }
    fake_kms_misbehave(l.f.kms, FAKE_HONEST);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(states_of_the_fake_key)
{
    static const struct {
        enum fake_key_state state;
        enum envol_status status;
    } cases[] = {
        {FAKE_KEY_DISABLED, ENVOL_E_KEY_DISABLED},
        {FAKE_KEY_PENDING_DELETION, ENVOL_E_KEY_PENDING_DELETION},
        {FAKE_KEY_DENIED, ENVOL_E_KEY_DENIED},
        {FAKE_KEY_GONE, ENVOL_E_KEY_NOT_FOUND},
    };
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, cases[_i].state);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    expect_suspect(&l, cases[_i].status);
    ck_assert_int_eq(lease_tick(&l, LEASE_GRACE), ENVOL_E_KEY_REVOKED);
    lease_come_back(&l);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(a_check_that_hangs_times_out)
{
    struct lease_fixture l;
    struct timespec before, after;
    double waited;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.options.timeout_ms = 150;
    lease_fixture_start(&l);
    (void)lease_tick(&l, 0);
    fake_kms_hang(l.f.kms, true);
    clock_gettime(CLOCK_MONOTONIC, &before);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    clock_gettime(CLOCK_MONOTONIC, &after);
    waited =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    ck_assert_double_ge(waited, 0.149);
    ck_assert_double_le(waited, 5);
    ck_assert_int_eq(lease_info_of(&l).last_status, ENVOL_E_TIMEOUT);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    fake_kms_hang(l.f.kms, false);
    lease_fixture_free(&l);
}
END_TEST

/* --- Arguments, and calls at the wrong time --- */

START_TEST(wrong_arguments)
{
    static const struct envol_lease_options bad[] = {
        {.struct_size = sizeof(bad[0]) - 1},
        {.struct_size = sizeof(bad[0]), .flags = 16},
        {.struct_size = sizeof(bad[0]), .flags = ENVOL_LEASE_NO_GRACE, .grace_ms = 1},
        {.struct_size = sizeof(bad[0]), .interval_ms = 100, .max_unchecked_ms = 99},
        {.struct_size = sizeof(bad[0]), .max_unchecked_ms = 299999},
    };
    struct envol_lease *lease = (struct envol_lease *)bad;
    struct envol_lease_info info = {.struct_size = sizeof(info), .checks = 9};
    struct lease_fixture l;
    uint64_t next_ms = 7;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        lease = (struct envol_lease *)bad;
        ck_status(envol_lease_start(l.f.volume, &bad[i], &lease, &l.f.error), ENVOL_E_ARGUMENT);
        ck_assert_ptr_null(lease);
        ck_assert_int_eq(l.f.error.status, ENVOL_E_ARGUMENT);
    }
    ck_status(envol_lease_start(NULL, NULL, &lease, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_lease_start(l.f.volume, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_lease_poll(NULL, 1, &next_ms), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(next_ms, 0);
    ck_status(envol_lease_info(NULL, &info), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(info.checks, 0);
    envol_lease_stop(NULL);
    lease_fixture_start(&l);
    ck_status(envol_lease_info(l.lease, NULL), ENVOL_E_ARGUMENT);
    info.struct_size--;
    ck_status(envol_lease_info(l.lease, &info), ENVOL_E_ARGUMENT);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(one_lease_at_a_time)
{
    struct lease_fixture l;
    struct envol_lease *second;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    ck_status(envol_lease_start(l.f.volume, NULL, &second, &l.f.error), ENVOL_E_STATE);
    ck_assert_ptr_null(second);
    ck_assert_int_eq(volume_info_of(&l.f).lease_state, ENVOL_LEASE_AVAILABLE);
    envol_lease_stop(l.lease);
    ck_assert_int_eq(volume_info_of(&l.f).lease_state, ENVOL_LEASE_NONE);
    lease_fixture_start(&l);
    lease_go_dark(&l);
    /* Stopping changes nothing for the keys. */
    envol_lease_stop(l.lease);
    volume_page_expect_status(&l.f, 2, ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(volume_info_of(&l.f).lease_state, ENVOL_LEASE_INACCESSIBLE);
    ck_status(envol_lease_start(l.f.volume, NULL, &l.lease, &l.f.error), ENVOL_E_KEY_REVOKED);
    lease_come_back(&l);
    ck_assert_int_eq(volume_info_of(&l.f).lease_state, ENVOL_LEASE_NONE);
    expect_works(&l);
    lease_fixture_free(&l);
}
END_TEST

/* An allocator that has nothing. */
static bool starved;
static void *starving_alloc(void *ctx, size_t bytes, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    return starved || posix_memalign(&memory, align, bytes) != 0 ? NULL : memory;
}
static void starving_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

START_TEST(out_of_memory)
{
    static const struct envol_allocator starving = {sizeof(starving), NULL, starving_alloc,
                                                    starving_free};
    struct lease_fixture l;

    ck_ok(envol_set_allocator(&starving));
    if (!lease_fixture_open(&l, 0, 0))
        return;
    starved = true;
    ck_status(envol_lease_start(l.f.volume, &l.options, &l.lease, &l.f.error), ENVOL_E_NO_MEMORY);
    starved = false;
    lease_fixture_start(&l);
    (void)lease_tick(&l, 0);
    starved = true;
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    starved = false;
    ck_assert_int_eq(lease_info_of(&l).last_status, ENVOL_E_NO_MEMORY);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    lease_fixture_free(&l);
}
END_TEST

/* --- The callback --- */

static void checkpoint(struct lease_fixture *l, const struct envol_lease_change *change)
{
    struct envol_lease *second;
    uint64_t next_ms;

    if (change->to != ENVOL_LEASE_SUSPECT)
        return;
    for (uint64_t i = 0; i < LEASE_PAGES; i++)
        volume_page_put(&l->f, i, 2);
    ck_ok(envol_volume_sync(l->f.volume));
    ck_assert_int_eq(volume_info_of(&l->f).lease_state, ENVOL_LEASE_SUSPECT);
    ck_assert_uint_eq(lease_info_of(l).deadline_ms, change->deadline_ms);
    l->during_status[0] = ck_note(envol_lease_poll(l->lease, l->now_ms, &next_ms));
    l->during_status[1] = ck_note(envol_volume_unlock(l->f.volume, &l->f.cmk, 1, NULL, NULL));
    l->during_status[2] = ck_note(envol_lease_start(l->f.volume, NULL, &second, NULL));
}

START_TEST(a_checkpoint_before_the_deadline)
{
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, _i, 0))
        return;
    l.during = checkpoint;
    lease_go_dark(&l);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(l.during_status[i], ENVOL_E_STATE);
    /* The process ends here: what the checkpoint synced is there. */
    envol_lease_stop(l.lease);
    volume_fixture_kill(&l.f);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    volume_fixture_open(&l.f, 0, ENVOL_OK);
    for (uint64_t i = 0; i < LEASE_PAGES; i++)
        volume_page_expect(&l.f, i, 2);
    lease_fixture_free(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease");
    TCase *tests = tcase_create("states");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, nothing_is_done_before_it_is_due);
    tcase_add_test(tests, checks_come_up_to_a_tenth_early);
    tcase_add_test(tests, defaults);
    tcase_add_test(tests, the_machines_own_clock);
    tcase_add_loop_test(tests, a_refusal_and_no_more, 0, REFUSALS);
    tcase_add_loop_test(tests, refusals_until_the_deadline, 0, REFUSALS);
    tcase_add_loop_test(tests, without_grace, 0, REFUSALS);
    tcase_add_loop_test(tests, other_failures_change_nothing, 0, OTHERS);
    tcase_add_loop_test(tests, other_failures_do_not_stop_the_deadline, 0, OTHERS);
    tcase_add_loop_test(tests, unchecked_for_too_long, 0, OTHERS);
    tcase_add_loop_test(tests, another_dek, 0, 2);
    tcase_add_test(tests, a_provider_that_breaks_its_contract);
    tcase_add_loop_test(tests, states_of_the_fake_key, 0, 4);
    tcase_add_test(tests, a_check_that_hangs_times_out);
    tcase_add_test(tests, wrong_arguments);
    tcase_add_test(tests, one_lease_at_a_time);
    tcase_add_test(tests, out_of_memory);
    tcase_add_loop_test(tests, a_checkpoint_before_the_deadline, 0, VOLUME_SHAPES);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
