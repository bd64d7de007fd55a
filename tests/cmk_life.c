/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a volume, see cmk_life.h. */
#include "cmk_life.h"

#include <envol/audit.h>
#include <envol/lease.h>
#include <envol/slots.h>
#include <stdio.h>
#include <string.h>

enum { INTERVAL_MS = 1000, GRACE_MS = 3000, PAGE_BYTES = ENVOL_STRIDE_BYTES_DEFAULT };

struct living {
    const struct cmk_life *life;
    struct envol_cmk first, second;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_lease *lease;
    uint64_t now_ms; /* the lease's clock */
    struct envol_error error;
    char page[PAGE_BYTES], back[PAGE_BYTES];
    char uses[64];
};

static void note_use(void *ctx, const struct envol_audit_event *event)
{
    char *uses = ctx;
    size_t length = strlen(uses);

    snprintf(uses + length, 64 - length, "%s ", envol_key_operation_name(event->operation));
}

static void listen(struct living *l, envol_audit_callback *callback)
{
    ck_ok(envol_provider_set_audit(l->life->providers[0], callback, l->uses));
    ck_ok(envol_provider_set_audit(l->life->providers[1], callback, l->uses));
}

static void ck_readable(struct living *l)
{
    memset(l->back, 0, sizeof(l->back));
    ck_ok(envol_page_read(l->volume, 0, l->back));
    ck_assert_mem_eq(l->back, l->page, PAGE_BYTES - ENVOL_TRAILER_BYTES);
}

static void ck_opens(struct living *l, const struct envol_cmk *cmk)
{
    ck_ok(envol_volume_open(l->store, cmk, 1, NULL, &l->volume, &l->error));
    ck_readable(l);
}

static void ck_refused(struct living *l, const struct envol_cmk *cmk, enum envol_status expected)
{
    struct envol_volume *volume = NULL;

    ck_status(envol_volume_open(l->store, cmk, 1, NULL, &volume, &l->error), expected);
    ck_assert_ptr_null(volume);
}

static void create(struct living *l)
{
    ck_ok(envol_memory_store_open(&l->store));
    ck_ok(envol_volume_create(l->store, &l->first, 1, NULL, &l->volume, &l->error));
    test_fill(l->page, sizeof(l->page));
    ck_ok(envol_page_write(l->volume, 0, l->page));
    ck_ok(envol_volume_close(l->volume));
}

static void start_lease(struct living *l)
{
    const struct envol_lease_options options = {.struct_size = sizeof(options),
                                                .flags = ENVOL_LEASE_NO_JITTER,
                                                .interval_ms = INTERVAL_MS,
                                                .grace_ms = GRACE_MS};

    l->now_ms = 1000000;
    ck_ok(envol_lease_start(l->volume, &options, &l->lease, &l->error));
}

/* One check. */
static void ck_lease(struct living *l, enum envol_lease_state expected)
{
    const bool dark = expected == ENVOL_LEASE_INACCESSIBLE;
    struct envol_lease_info info = {.struct_size = sizeof(info)};
    uint64_t next_ms;

    l->now_ms += dark ? GRACE_MS : INTERVAL_MS;
    ck_status(envol_lease_poll(l->lease, l->now_ms, &next_ms),
              dark ? ENVOL_E_KEY_REVOKED : ENVOL_OK);
    ck_ok(envol_lease_info(l->lease, &info));
    ck_assert_int_eq(info.state, expected);
    ck_assert_int_eq(info.last_status,
                     expected == ENVOL_LEASE_AVAILABLE ? ENVOL_OK : l->life->revoked);
}

/* While the volume is open: the lease follows the slot, and the first key is not needed. */
static void rewrap(struct living *l)
{
    const struct cmk_life *life = l->life;
    const bool inside = life->providers[0] == life->providers[1];

    ck_lease(l, ENVOL_LEASE_AVAILABLE);
    listen(l, note_use);
    ck_ok(
        envol_volume_rewrap(l->volume, 0, inside ? &l->first : NULL, &l->second, NULL, &l->error));
    listen(l, NULL);
    ck_assert_str_eq(l->uses, life->rewrap);
    life->revoke(&l->first);
    ck_lease(l, ENVOL_LEASE_AVAILABLE);
    ck_readable(l);
}

static void go_dark_and_come_back(struct living *l)
{
    const struct envol_cmk *cmk = &l->second;

    l->life->revoke(cmk);
    ck_lease(l, ENVOL_LEASE_SUSPECT);
    ck_readable(l);
    ck_lease(l, ENVOL_LEASE_INACCESSIBLE);
    ck_status(envol_page_read(l->volume, 0, l->back), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_unlock(l->volume, cmk, 1, NULL, &l->error), l->life->revoked);
    l->life->restore(cmk);
    ck_ok(envol_volume_unlock(l->volume, cmk, 1, NULL, &l->error));
    ck_readable(l);
    ck_lease(l, ENVOL_LEASE_AVAILABLE);
}

void cmk_life(const struct cmk_life *life)
{
    static struct living l;

    l = (struct living){.life = life,
                        .first = {life->providers[0], life->key_refs[0]},
                        .second = {life->providers[1], life->key_refs[1]},
                        .error = ENVOL_ERROR_INIT};
    create(&l);
    ck_opens(&l, &l.first);
    start_lease(&l);
    rewrap(&l);
    go_dark_and_come_back(&l);
    ck_ok(envol_volume_close(l.volume));
    ck_refused(&l, &l.first, life->left);
    life->revoke(&l.second);
    ck_refused(&l, &l.second, life->revoked);
    life->restore(&l.second);
    ck_opens(&l, &l.second);
    ck_ok(envol_volume_close(l.volume));
    envol_store_close(l.store);
}
