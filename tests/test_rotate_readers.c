/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rotation beside readers in other handles: stale, then refreshed, with one provider call for
 * each new DEK and none on the way of a page; leases, and keys that went meanwhile.
 */
#include "faults.h"
#include "header/header.h"
#include "support.h"
#include "volume/rotation.h"
#include "volume_fixture.h"

#include <string.h>

enum { PAGES = 12 };

/* A writer with pages of version 1, and a reader of the same memory. */
struct pair {
    struct volume_fixture writer, reader;
    struct envol_store *shared;
};

static bool begin_pair(struct pair *p, int shape)
{
    struct envol_store *store;

    memset(p, 0, sizeof(*p));
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_memory_store_share(store, &p->shared));
    if (!volume_fixture_create_on(&p->writer, &volume_shapes[shape], store)) {
        envol_store_close(p->shared);
        return false;
    }
    for (uint64_t i = 0; i < PAGES; i++)
        volume_page_put(&p->writer, i, 1);
    ck_ok(envol_volume_sync(p->writer.volume));
    p->reader = p->writer;
    p->reader.store = p->shared;
    volume_fixture_open(&p->reader, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    return true;
}

static void end_pair(struct pair *p)
{
    if (p->reader.volume != NULL)
        ck_ok(envol_volume_close(p->reader.volume));
    envol_store_close(p->shared);
    volume_fixture_free(&p->writer);
}

static enum envol_status rotate_begin(struct pair *p)
{
    return ck_note(
        envol_volume_rotate_begin(p->writer.volume, &p->writer.cmk, 1, 0, NULL, &p->writer.error));
}

static void rotate_run(struct pair *p)
{
    ck_ok(envol_volume_rotate_run(p->writer.volume, 0, NULL, NULL, NULL, &p->writer.error));
}

static void rotate_finish(struct pair *p)
{
    ck_ok(envol_volume_rotate_finish(p->writer.volume, 0, &p->writer.error));
}

static unsigned calls(struct pair *p)
{
    return fake_kms_calls(p->writer.kms, FAKE_ANY);
}

static void refresh(struct pair *p)
{
    ck_ok(envol_volume_refresh(p->reader.volume, &p->reader.error));
}

START_TEST(a_reader_is_stale_then_follows)
{
    struct pair p;
    unsigned before;

    if (!begin_pair(&p, _i))
        return;
    ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
    volume_page_put(&p.writer, 2, 2);
    before = calls(&p);
    volume_page_expect(&p.reader, 1, 1);
    volume_page_expect_status(&p.reader, 2, ENVOL_E_STALE);
    ck_assert_uint_eq(calls(&p), before);
    refresh(&p);
    ck_assert_uint_eq(calls(&p), before + 1);
    volume_page_expect(&p.reader, 2, 2);
    refresh(&p);
    rotate_run(&p);
    for (uint64_t i = 0; i < PAGES; i++)
        volume_page_expect(&p.reader, i, i == 2 ? 2 : 1);
    refresh(&p);
    rotate_finish(&p);
    volume_page_expect(&p.reader, 5, 1);
    refresh(&p);
    volume_page_expect(&p.reader, 5, 1);
    ck_assert_uint_eq(calls(&p), before + 1);
    ck_assert_uint_eq(volume_info_of(&p.reader).header.retained_epochs, 0);
    ck_assert_uint_eq(envol_keyring_lowest_epoch(envol_volume_keyring(p.reader.volume)), 2);
    end_pair(&p);
}
END_TEST

/* A reader that slept through several. */
START_TEST(a_reader_skips_epochs)
{
    struct pair p;

    if (!begin_pair(&p, 0))
        return;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
        rotate_run(&p);
        rotate_finish(&p);
    }
    volume_page_expect_status(&p.reader, 0, ENVOL_E_STALE);
    refresh(&p);
    volume_page_expect(&p.reader, 0, 1);
    ck_assert_uint_eq(volume_info_of(&p.reader).header.epoch, 4);
    end_pair(&p);
}
END_TEST

START_TEST(following_needs_the_key)
{
    static const enum envol_status answers[] = {
        ENVOL_E_KEY_NOT_FOUND, ENVOL_E_KEY_PENDING_DELETION,
        ENVOL_E_KEY_DENIED,    ENVOL_E_WRONG_KEY,
        ENVOL_E_PROVIDER,      ENVOL_E_THROTTLED,
        ENVOL_E_UNREACHABLE,   ENVOL_E_CREDENTIALS,
        ENVOL_E_TIMEOUT,
    };
    struct pair p;

    if (!begin_pair(&p, 0))
        return;
    ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        fake_kms_fail(p.writer.kms, FAKE_UNWRAP, 1, answers[i]);
        ck_status(envol_volume_refresh(p.reader.volume, &p.reader.error), answers[i]);
        volume_page_expect(&p.reader, 0, 1);
    }
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_status(envol_volume_refresh(p.reader.volume, &p.reader.error), ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(p.reader.error.status, ENVOL_E_KEY_DISABLED);
    volume_page_expect(&p.reader, 0, 1);
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    refresh(&p);
    volume_page_expect(&p.reader, 0, 1);
    end_pair(&p);
}
END_TEST

/* The slot that the reader came by was given up. */
START_TEST(a_dropped_slot_leads_nowhere)
{
    struct pair p;
    struct envol_cmk second = {.key_ref = "arn:fake:key/2"};

    if (!begin_pair(&p, 0))
        return;
    fake_kms_add_key(p.writer.kms, second.key_ref);
    second.provider = p.writer.provider;
    ck_ok(envol_volume_add_slot(p.writer.volume, &second, NULL, NULL, &p.writer.error));
    ck_ok(envol_volume_rotate_begin(p.writer.volume, &second, 1, ENVOL_ROTATE_DROP_SLOTS, NULL,
                                    &p.writer.error));
    ck_status(envol_volume_refresh(p.reader.volume, &p.reader.error), ENVOL_E_STALE);
    volume_page_expect(&p.reader, 0, 1);
    ck_ok(envol_volume_close(p.reader.volume));
    ck_ok(envol_volume_open(
        p.shared, &second, 1,
        &(struct envol_volume_options){.struct_size = sizeof(struct envol_volume_options),
                                       .flags = ENVOL_OPEN_READ_ONLY},
        &p.reader.volume, &p.reader.error));
    volume_page_expect(&p.reader, 0, 1);
    end_pair(&p);
}
END_TEST

/* --- Leases --- */

static struct envol_lease *start_lease(struct volume_fixture *f, unsigned grace_ms)
{
    const struct envol_lease_options options = {
        .struct_size = sizeof(options),
        .flags = ENVOL_LEASE_NO_JITTER,
        .interval_ms = 1000,
        .grace_ms = grace_ms,
        .timeout_ms = 10000,
    };
    struct envol_lease *lease;

    ck_ok(envol_lease_start(f->volume, &options, &lease, &f->error));
    ck_ok(envol_lease_poll(lease, 1, NULL));
    return lease;
}

START_TEST(a_lease_follows)
{
    struct pair p;
    struct envol_lease *lease;
    unsigned before;

    if (!begin_pair(&p, 0))
        return;
    lease = start_lease(&p.reader, 1000);
    ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
    rotate_run(&p);
    rotate_finish(&p);
    before = calls(&p);
    ck_ok(envol_lease_poll(lease, 2001, NULL));
    ck_assert_uint_eq(calls(&p), before + 1);
    volume_page_expect(&p.reader, 3, 1);
    ck_ok(envol_lease_poll(lease, 4001, NULL));
    ck_assert_uint_eq(calls(&p), before + 2);
    ck_assert_int_eq(volume_info_of(&p.reader).lease_state, ENVOL_LEASE_AVAILABLE);
    end_pair(&p);
}
END_TEST

/* The new wrapping is refused as the old one would be. */
START_TEST(a_lease_is_refused_the_new_dek)
{
    struct pair p;
    struct envol_lease *lease;

    if (!begin_pair(&p, 0))
        return;
    lease = start_lease(&p.reader, 1000);
    ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_ok(envol_lease_poll(lease, 2001, NULL));
    ck_assert_int_eq(volume_info_of(&p.reader).lease_state, ENVOL_LEASE_SUSPECT);
    ck_status(envol_lease_poll(lease, 5001, NULL), ENVOL_E_KEY_REVOKED);
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    rotate_run(&p);
    ck_ok(envol_volume_unlock(p.reader.volume, &p.reader.cmk, 1, NULL, &p.reader.error));
    for (uint64_t i = 0; i < PAGES; i++)
        volume_page_expect(&p.reader, i, 1);
    ck_assert_int_eq(volume_info_of(&p.reader).lease_state, ENVOL_LEASE_AVAILABLE);
    end_pair(&p);
}
END_TEST

/* The service gives the keys, and what follows fails: they are away as before. */
START_TEST(dark_readers_follow_or_stay_dark)
{
    struct pair p;
    struct envol_lease *lease;
    enum envol_status status = ENVOL_E_NO_MEMORY;

    faults_set_allocator();
    if (!begin_pair(&p, 0))
        return;
    lease = start_lease(&p.reader, 1000);
    ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_ok(envol_lease_poll(lease, 2001, NULL));
    ck_status(envol_lease_poll(lease, 5001, NULL), ENVOL_E_KEY_REVOKED);
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    volume_page_put(&p.writer, PAGES, 1); /* the end is to be searched for */
    for (unsigned nth = 1; status != ENVOL_OK; nth++) {
        envol_volume_close_lanes(p.reader.volume);
        faults_arm(FAULT_ALLOC, nth, false);
        status =
            ck_note(envol_volume_unlock(p.reader.volume, &p.reader.cmk, 1, NULL, &p.reader.error));
        faults_disarm();
        if (status == ENVOL_OK)
            break;
        ck_assert_int_eq(status, ENVOL_E_NO_MEMORY);
        volume_page_expect_status(&p.reader, 1, ENVOL_E_KEY_REVOKED);
        ck_assert_int_eq(volume_info_of(&p.reader).lease_state, ENVOL_LEASE_INACCESSIBLE);
    }
    for (uint64_t i = 0; i <= PAGES; i++)
        volume_page_expect(&p.reader, i, 1);
    ck_assert_int_eq(volume_info_of(&p.reader).lease_state, ENVOL_LEASE_AVAILABLE);
    ck_assert_uint_eq(volume_info_of(&p.reader).header.epoch, 2);
    end_pair(&p);
}
END_TEST

struct called {
    struct pair *p;
    unsigned times;
};

static void rotate_in_callback(void *ctx, const struct envol_lease_change *change)
{
    struct called *called = ctx;

    (void)change;
    called->times++;
    ck_assert_int_eq(rotate_begin(called->p), ENVOL_E_STATE);
    ck_status(envol_volume_rotate_finish(called->p->writer.volume, 0, &called->p->writer.error),
              ENVOL_E_STATE);
}

/* Whoever calls back has its turn, which a rotation would wait for. */
START_TEST(a_callback_cannot_rotate)
{
    struct pair p;
    struct called called = {.p = &p};
    const struct envol_lease_options options = {
        .struct_size = sizeof(options),
        .flags = ENVOL_LEASE_NO_JITTER,
        .interval_ms = 1000,
        .grace_ms = 5000,
        .timeout_ms = 10000,
        .callback = rotate_in_callback,
        .ctx = &called,
    };
    struct envol_lease *lease;

    if (!begin_pair(&p, 0))
        return;
    ck_ok(envol_lease_start(p.writer.volume, &options, &lease, &p.writer.error));
    ck_ok(envol_lease_poll(lease, 1, NULL));
    fake_kms_fail(p.writer.kms, FAKE_UNWRAP, 1, ENVOL_E_KEY_DENIED);
    ck_ok(envol_lease_poll(lease, 2001, NULL));
    ck_assert_uint_eq(called.times, 1);
    end_pair(&p);
}
END_TEST

/* A writer's lease goes on with the slot's new wrapping; dark, nothing is rotated. */
START_TEST(a_writer_with_a_lease)
{
    struct pair p;
    struct envol_lease *lease;
    struct envol_rotation r = {.struct_size = sizeof(r)};
    struct envol_ledger ledger = {.struct_size = sizeof(ledger)};
    bool xts = _i >= 5;

    if (!begin_pair(&p, _i))
        return;
    if (xts) {
        ck_ok(envol_volume_close(p.reader.volume));
        p.reader.volume = NULL;
    }
    lease = start_lease(&p.writer, 1000);
    ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
    ck_ok(envol_volume_rotate_step(p.writer.volume, 3, &r, &p.writer.error));
    ck_ok(envol_lease_poll(lease, 2001, NULL));
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_ok(envol_lease_poll(lease, 4001, NULL));
    ck_status(envol_lease_poll(lease, 6001, NULL), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_rotate_step(p.writer.volume, 3, &r, &p.writer.error),
              ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_rotate_run(p.writer.volume, 0, NULL, NULL, NULL, &p.writer.error),
              ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_rotate_finish(p.writer.volume, 0, &p.writer.error), ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(rotate_begin(&p), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_ledger(p.writer.volume, &ledger, &p.writer.error), ENVOL_E_KEY_REVOKED);
    ck_ok(envol_volume_rotate_pause(p.writer.volume));
    ck_ok(envol_volume_rotate_resume(p.writer.volume));
    ck_ok(envol_volume_rotate_status(p.writer.volume, &r));
    ck_assert_uint_eq(r.done, 3);
    fake_kms_set_state(p.writer.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    ck_ok(envol_volume_unlock(p.writer.volume, &p.writer.cmk, 1, NULL, &p.writer.error));
    rotate_run(&p);
    rotate_finish(&p);
    for (uint64_t i = 0; i < PAGES; i++)
        volume_page_expect(&p.writer, i, 1);
    end_pair(&p);
}
END_TEST

/* --- XTS --- */

START_TEST(xts_is_rotated_alone)
{
    struct pair p;
    unsigned before;

    if (!begin_pair(&p, _i))
        return;
    before = fake_kms_calls(p.writer.kms, FAKE_UNWRAP);
    ck_assert_int_eq(rotate_begin(&p), ENVOL_E_BUSY);
    ck_assert_uint_gt(fake_kms_calls(p.writer.kms, FAKE_UNWRAP), before);
    volume_page_expect(&p.reader, 1, 1);
    ck_ok(envol_volume_close(p.reader.volume));
    ck_assert_int_eq(rotate_begin(&p), ENVOL_OK);
    p.reader.volume = NULL;
    volume_fixture_open(&p.reader, ENVOL_OPEN_READ_ONLY, ENVOL_E_BUSY);
    ck_ok(envol_volume_rotate_step(p.writer.volume, 5, NULL, &p.writer.error));
    volume_page_put(&p.writer, 1, 2);
    volume_page_put(&p.writer, 9, 2);
    volume_fixture_close(&p.writer);
    /* Half-way, a reader reads both. */
    volume_fixture_open(&p.reader, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    for (uint64_t i = 0; i < PAGES; i++)
        volume_page_expect(&p.reader, i, i == 1 || i == 9 ? 2 : 1);
    volume_fixture_open(&p.writer, 0, ENVOL_OK);
    ck_status(envol_volume_rotate_step(p.writer.volume, 5, NULL, &p.writer.error), ENVOL_E_BUSY);
    ck_status(envol_volume_rotate_run(p.writer.volume, 0, NULL, NULL, NULL, &p.writer.error),
              ENVOL_E_BUSY);
    volume_page_put(&p.writer, PAGES + 3, 1);
    ck_ok(envol_volume_sync(p.writer.volume));
    refresh(&p);
    volume_page_expect(&p.reader, PAGES + 3, 1);
    ck_ok(envol_volume_close(p.reader.volume));
    p.reader.volume = NULL;
    rotate_run(&p);
    rotate_finish(&p);
    volume_fixture_open(&p.reader, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_page_expect(&p.reader, 9, 2);
    volume_page_expect(&p.reader, PAGES + 3, 1);
    end_pair(&p);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate readers");
    TCase *readers = tcase_create("readers");

    tcase_set_timeout(readers, 60);
    tcase_add_loop_test(readers, a_reader_is_stale_then_follows, 0, VOLUME_GCM_SHAPES + 1);
    tcase_add_test(readers, a_reader_skips_epochs);
    tcase_add_test(readers, following_needs_the_key);
    tcase_add_test(readers, a_dropped_slot_leads_nowhere);
    tcase_add_test(readers, a_lease_follows);
    tcase_add_test(readers, a_lease_is_refused_the_new_dek);
    tcase_add_test(readers, dark_readers_follow_or_stay_dark);
    tcase_add_test(readers, a_callback_cannot_rotate);
    tcase_add_loop_test(readers, a_writer_with_a_lease, 0, VOLUME_SHAPES);
    tcase_add_loop_test(readers, xts_is_rotated_alone, 5, VOLUME_SHAPES);
    suite_add_tcase(s, readers);
    return s;
}

int main(void)
{
    return test_run(suite());
}
