/* SPDX-License-Identifier: BSD-2-Clause */
/* Leases of volumes whose slots change: they follow a rewrap, and nobody wraps a DEK that is gone.
 */
#include "slot_fixture.h"
#include "support.h"

#include <envol/lease.h>

enum { INTERVAL_MS = 1000, GRACE_MS = 3000 };

struct leased {
    struct slot_fixture s;
    struct envol_lease *lease;
    uint64_t now_ms;
};

static bool begin(struct leased *l)
{
    const struct envol_lease_options options = {.struct_size = sizeof(options),
                                                .flags = ENVOL_LEASE_NO_JITTER,
                                                .interval_ms = INTERVAL_MS,
                                                .grace_ms = GRACE_MS};

    l->now_ms = 1000000;
    if (!slot_fixture_begin(&l->s, false, NULL))
        return false;
    ck_ok(envol_lease_start(l->s.f.volume, &options, &l->lease, &l->s.f.error));
    return true;
}

/* So many checks; the state afterwards. */
static enum envol_lease_state after(struct leased *l, unsigned checks)
{
    struct envol_lease_info info = {.struct_size = sizeof(info)};
    uint64_t next_ms;

    for (; checks > 0; checks--) {
        l->now_ms += INTERVAL_MS;
        (void)!ck_note(envol_lease_poll(l->lease, l->now_ms, &next_ms));
    }
    ck_ok(envol_lease_info(l->lease, &info));
    return info.state;
}

/* To another key of the same service, and to another service. */
START_TEST(a_rewrap_is_followed)
{
    struct leased l;
    const struct envol_cmk *to;
    struct fake_kms *kms;

    if (!begin(&l))
        return;
    to = _i == 0 ? &l.s.cmks[1] : &l.s.other;
    kms = _i == 0 ? l.s.f.kms : l.s.elsewhere;
    ck_assert_int_eq(after(&l, 2), ENVOL_LEASE_AVAILABLE);
    ck_ok(envol_volume_rewrap(l.s.f.volume, 0, NULL, to, NULL, &l.s.f.error));
    fake_kms_set_state(l.s.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(after(&l, 10), ENVOL_LEASE_AVAILABLE);
    volume_page_put(&l.s.f, 3, 2);
    fake_kms_set_state(kms, to->key_ref, FAKE_KEY_DISABLED);
    ck_assert_int_eq(after(&l, 10), ENVOL_LEASE_INACCESSIBLE);
    ck_status(envol_page_read(l.s.f.volume, 3, l.s.f.page), ENVOL_E_KEY_REVOKED);
    fake_kms_set_state(kms, to->key_ref, FAKE_KEY_ENABLED);
    ck_ok(envol_volume_unlock(l.s.f.volume, to, 1, NULL, &l.s.f.error));
    volume_page_expect(&l.s.f, 3, 2);
    ck_assert_int_eq(after(&l, 2), ENVOL_LEASE_AVAILABLE);
    slot_fixture_end(&l.s);
}
END_TEST

struct move {
    struct slot_fixture *s;
    const struct envol_cmk *to;
};

/* An administrator's: the old CMK is of no use any more. */
static void move_slot(void *argument)
{
    const struct move *move = argument;

    ck_ok(envol_volume_rewrap(move->s->f.volume, 0, NULL, move->to, NULL, &move->s->f.error));
    fake_kms_set_state(move->s->f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
}

/* The refusal of a wrapping that the slot no longer has says nothing. */
START_TEST(a_rewrap_during_a_check)
{
    struct leased l;
    struct move move = {.s = &l.s};

    if (!begin(&l))
        return;
    move.to = _i == 0 ? &l.s.cmks[1] : &l.s.other;
    ck_assert_int_eq(after(&l, 2), ENVOL_LEASE_AVAILABLE);
    fake_kms_before(l.s.f.kms, move_slot, &move);
    ck_assert_int_eq(after(&l, 1), ENVOL_LEASE_AVAILABLE);
    ck_assert_int_eq(after(&l, 10), ENVOL_LEASE_AVAILABLE);
    fake_kms_set_state(_i == 0 ? l.s.f.kms : l.s.elsewhere, move.to->key_ref, FAKE_KEY_DISABLED);
    ck_assert_int_eq(after(&l, 1), ENVOL_LEASE_SUSPECT);
    fake_kms_set_state(_i == 0 ? l.s.f.kms : l.s.elsewhere, move.to->key_ref, FAKE_KEY_ENABLED);
    slot_fixture_end(&l.s);
}
END_TEST

/* Without keys no slot changes, and none is lost. */
START_TEST(nothing_is_wrapped_in_the_dark)
{
    struct leased l;
    uint32_t id;

    if (!begin(&l))
        return;
    fake_kms_set_state(l.s.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(after(&l, 10), ENVOL_LEASE_INACCESSIBLE);
    ck_status(envol_volume_add_slot(l.s.f.volume, &l.s.cmks[1], NULL, &id, &l.s.f.error),
              ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_rewrap(l.s.f.volume, 0, NULL, &l.s.other, NULL, &l.s.f.error),
              ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_remove_slot(l.s.f.volume, 1, &l.s.f.error), ENVOL_E_KEY_REVOKED);
    fake_kms_set_state(l.s.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    ck_ok(envol_volume_unlock(l.s.f.volume, &l.s.f.cmk, 1, NULL, &l.s.f.error));
    slot_reopen(&l.s, &l.s.f.cmk, ENVOL_OK);
    slot_fixture_end(&l.s);
}
END_TEST

/* The slot that opened the volume opens it for nobody any more. */
START_TEST(a_removed_slot_is_a_refusal)
{
    struct leased l;

    if (!begin(&l))
        return;
    slot_fixture_fill(&l.s, 2);
    ck_ok(envol_volume_remove_slot(l.s.f.volume, 1, &l.s.f.error));
    ck_assert_int_eq(after(&l, 10), ENVOL_LEASE_INACCESSIBLE);
    ck_ok(envol_volume_unlock(l.s.f.volume, &l.s.cmks[1], 1, NULL, &l.s.f.error));
    ck_assert_int_eq(after(&l, 10), ENVOL_LEASE_AVAILABLE);
    slot_fixture_end(&l.s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease_slots");
    TCase *tcase = tcase_create("slots");

    tcase_add_loop_test(tcase, a_rewrap_is_followed, 0, 2);
    tcase_add_loop_test(tcase, a_rewrap_during_a_check, 0, 2);
    tcase_add_test(tcase, nothing_is_wrapped_in_the_dark);
    tcase_add_test(tcase, a_removed_slot_is_a_refusal);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
