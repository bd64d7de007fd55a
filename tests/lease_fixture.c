/* SPDX-License-Identifier: BSD-2-Clause */
/* Leases for tests. */
#include "lease_fixture.h"

#include "base/memory.h"
#include "support.h"

static void note_change(void *ctx, const struct envol_lease_change *change)
{
    struct lease_fixture *l = ctx;

    ck_assert_uint_ge(change->struct_size, sizeof(*change));
    ck_assert_ptr_nonnull(change->answer);
    ck_assert_uint_lt(l->changes, LEASE_CHANGES);
    l->told[l->changes++] =
        (struct lease_told){change->from, change->to, change->answer->status, change->deadline_ms};
    if (l->during != NULL)
        l->during(l, change);
}

bool lease_fixture_open(struct lease_fixture *l, int shape, uint32_t flags)
{
    *l = (struct lease_fixture){.now_ms = 1000000};
    l->options = (struct envol_lease_options){
        .struct_size = sizeof(l->options),
        .flags = ENVOL_LEASE_NO_JITTER,
        .interval_ms = LEASE_INTERVAL,
        .grace_ms = LEASE_GRACE,
        .callback = note_change,
        .ctx = l,
    };
    if (!volume_fixture_create(&l->f, &volume_shapes[shape]))
        return false;
    for (uint64_t i = 0; i < LEASE_PAGES; i++)
        volume_page_put(&l->f, i, 1);
    volume_fixture_close(&l->f);
    volume_fixture_open(&l->f, flags, ENVOL_OK);
    return true;
}

void lease_fixture_start(struct lease_fixture *l)
{
    ck_ok(envol_lease_start(l->f.volume, &l->options, &l->lease, &l->f.error));
    ck_assert_ptr_nonnull(l->lease);
    ck_assert_int_eq(l->f.error.status, ENVOL_OK);
}

bool lease_fixture_begin(struct lease_fixture *l, int shape, uint32_t flags)
{
    if (!lease_fixture_open(l, shape, flags))
        return false;
    lease_fixture_start(l);
    return true;
}

void lease_fixture_free(struct lease_fixture *l)
{
    if (l->f.volume != NULL)
        volume_fixture_close(&l->f);
    volume_fixture_free(&l->f);
}

enum envol_status lease_tick(struct lease_fixture *l, uint64_t ms)
{
    l->now_ms += ms;
    return ck_note(envol_lease_poll(l->lease, l->now_ms, &l->next_ms));
}

void lease_go_dark(struct lease_fixture *l)
{
    fake_kms_set_state(l->f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    for (int i = 0; lease_tick(l, LEASE_INTERVAL) == ENVOL_OK; i++)
        ck_assert_int_lt(i, 20);
    ck_assert_int_eq(volume_info_of(&l->f).lease_state, ENVOL_LEASE_INACCESSIBLE);
}

void lease_come_back(struct lease_fixture *l)
{
    fake_kms_set_state(l->f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    ck_ok(envol_volume_unlock(l->f.volume, &l->f.cmk, 1, NULL, &l->f.error));
    ck_assert_int_eq(l->f.error.status, ENVOL_OK);
}

struct envol_lease_info lease_info_of(struct lease_fixture *l)
{
    struct envol_lease_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_lease_info(l->lease, &info));
    return info;
}

void lease_expect_told(struct lease_fixture *l, enum envol_lease_state from,
                       enum envol_lease_state to, enum envol_status status)
{
    struct lease_told last;

    ck_assert_uint_ge(l->changes, 1);
    last = l->told[--l->changes];
    ck_assert_int_eq(last.from, from);
    ck_assert_int_eq(last.to, to);
    ck_assert_int_eq(last.status, status);
    ck_assert_int_eq(last.deadline_ms != 0, to == ENVOL_LEASE_SUSPECT);
}

/* Without the list's lock: a lane that another thread makes meanwhile comes before its first, and
 * is wiped. */
__attribute__((no_sanitize("thread"))) bool lease_is_wiped(const struct envol_keyring *keyring)
{
    for (uint32_t i = 0; i < keyring->entries; i++)
        if (!envol_is_zero(keyring->entry[i].keys, sizeof(struct envol_epoch_keys)))
            return false;
    for (const struct envol_tenant *t = keyring->revocation.tenants; t != NULL; t = t->next)
        if (!envol_is_zero(t->keys, t->key_bytes))
            return false;
    return true;
}

void lease_expect_wiped(const struct envol_keyring *keyring)
{
    ck_assert_msg(lease_is_wiped(keyring), "keys are left in the arena");
}
