/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A header that is in a cache and not on the disk: an update's call fails, the volume is closed and
 * opened again, which reads what the cache has, and then comes the crash.  What the writer did on
 * the word of that header must not need it.
 */
#include "crash_space.h"
#include "snapshot_fixture.h"
#include "support.h"

#include <envol/rotate.h>

enum { PAGES = 10, LEFT = 4 };

struct history {
    const struct change *change;
    struct snapshot_fixture s;
    struct crash_store *crash;
    uint8_t snapshot[ENVOL_UUID_BYTES];
    size_t promised; /* call by which every page was synced */
};

/* What is interrupted.  before makes ready, and succeeds.  (But for a rotation the store's size
 * alone says how many pages an XTS volume has: no header of that is awaited.) */
struct change {
    const char *name;
    int shape;
    void (*before)(struct history *h);
    enum envol_status (*run)(struct history *h);
};

static void nothing(struct history *h)
{
    (void)h;
}

static enum envol_status begin(struct history *h)
{
    struct volume_fixture *f = &h->s.f;

    return ck_note(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
}

static void begun(struct history *h)
{
    ck_assert_int_eq(begin(h), ENVOL_OK);
}

static enum envol_status step(struct history *h)
{
    return ck_note(envol_volume_rotate_step(h->s.f.volume, 3, NULL, &h->s.f.error));
}

static void swept(struct history *h)
{
    begun(h);
    ck_ok(envol_volume_rotate_run(h->s.f.volume, 0, NULL, NULL, NULL, &h->s.f.error));
}

static enum envol_status finish(struct history *h)
{
    return ck_note(envol_volume_rotate_finish(h->s.f.volume, 0, &h->s.f.error));
}

/* Pages that the store has, and the header has not heard of. */
static void grown(struct history *h)
{
    begun(h);
    snapshot_put(&h->s, PAGES, 3);
    ck_assert_int_eq(envol_store_sync(h->s.f.store, NULL), ENVOL_OK);
}

static enum envol_status shut(struct history *h)
{
    enum envol_status status = ck_note(envol_volume_close(h->s.f.volume));

    h->s.f.volume = NULL;
    return status;
}

static enum envol_status cut(struct history *h)
{
    return ck_note(envol_volume_truncate(h->s.f.volume, LEFT, &h->s.f.error));
}

static void kept(struct history *h)
{
    snapshot_make(&h->s, h->snapshot);
    snapshot_put(&h->s, 2, 2);
    ck_ok(envol_volume_sync(h->s.f.volume));
}

static enum envol_status make(struct history *h)
{
    return ck_note(envol_snapshot_create(h->s.f.volume, NULL, h->snapshot, &h->s.f.error));
}

static enum envol_status give_up(struct history *h)
{
    return ck_note(envol_snapshot_delete(h->s.f.volume, h->snapshot, &h->s.f.error));
}

/* Of 512-byte pages, GCM and XTS. */
static const struct change changes[] = {
    {"begin, GCM", 0, nothing, begin},   {"begin, XTS", 5, nothing, begin},
    {"step, XTS", 5, begun, step},       {"finish, GCM", 0, swept, finish},
    {"finish, XTS", 5, swept, finish},   {"close, XTS", 5, grown, shut},
    {"cut, GCM", 0, nothing, cut},       {"cut, XTS", 5, begun, cut},
    {"snapshot, GCM", 0, nothing, make}, {"snapshot, XTS", 5, nothing, make},
    {"delete, GCM", 0, kept, give_up},   {"delete, XTS", 5, kept, give_up},
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

static bool history_begin(struct history *h, const struct change *change)
{
    struct envol_store *store;

    *h = (struct history){.change = change};
    h->crash = crash_store_new(NULL, 0, &store);
    if (!snapshot_fixture_create_on(&h->s, &volume_shapes[change->shape], false, store,
                                    crash_space_new(h->crash, NULL)))
        return false;
    snapshot_put(&h->s, 0, PAGES);
    snapshot_fixture_reopen(&h->s);
    change->before(h);
    crash_store_settle(h->crash);
    return true;
}

/* Whatever the header says now of how many there are holds from here on. */
static void go_on(struct history *h)
{
    struct snapshot_fixture *s = &h->s;

    if (s->f.volume != NULL)
        (void)shut(h);
    snapshot_fixture_open(s, 0, ENVOL_OK);
    s->model.pages = envol_volume_pages(s->f.volume);
    snapshot_expect(s, s->f.volume, &s->model, h->change->name);
    snapshot_put(s, 1, 2);
    ck_ok(envol_volume_sync(s->f.volume));
    h->promised = crash_store_calls(h->crash);
}

static void check_image(const struct crash_image *image, void *ctx)
{
    const struct history *h = ctx;
    struct snapshot_fixture g = h->s;

    g.space = crash_space_new(crash_store_new(image->bytes, image->size, &g.f.store), image);
    snapshot_fixture_open(&g, 0, ENVOL_OK);
    snapshot_expect(&g, g.f.volume, &g.model, image->story);
    volume_fixture_close(&g.f);
    envol_space_close(g.space);
    envol_store_close(g.f.store);
}

/* The n-th call of the change fails; whether it has so many. */
static bool fail_one(const struct change *change, unsigned nth, enum crash_fault fault)
{
    struct history h;
    struct crash_options options = {.sector_bytes = 1 << 20};
    bool failed;

    if (!history_begin(&h, change))
        return false;
    crash_store_fail(h.crash, nth, fault);
    (void)change->run(&h);
    failed = crash_store_failed(h.crash) != 0;
    crash_store_fail(h.crash, 0, fault);
    go_on(&h);
    options.first_call = h.promised;
    ck_assert_uint_gt(crash_store_replay(h.crash, &options, check_image, &h), 0);
    snapshot_fixture_free(&h.s);
    return failed;
}

START_TEST(a_call_of_an_update_fails)
{
    const struct change *change = &changes[_i / 2];
    unsigned nth = 1;

    while (fail_one(change, nth, _i % 2 == 0 ? CRASH_FAULT_NOTHING : CRASH_FAULT_ALL))
        nth++;
}
END_TEST

/* A volume that was left in good order costs no update of the header. */
START_TEST(nothing_to_settle)
{
    struct history h;
    uint64_t generation;

    if (!history_begin(&h, &changes[_i]))
        return;
    volume_fixture_close(&h.s.f);
    snapshot_fixture_open(&h.s, 0, ENVOL_OK);
    generation = volume_info_of(&h.s.f).header.generation;
    for (int i = 0; i < 3; i++)
        snapshot_fixture_reopen(&h.s);
    ck_assert_uint_eq(volume_info_of(&h.s.f).header.generation, generation);
    snapshot_fixture_free(&h.s);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("open unsynced");
    TCase *c = tcase_create("open unsynced");

    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_call_of_an_update_fails, 0, 2 * CHANGES);
    tcase_add_loop_test(c, nothing_to_settle, 0, CHANGES);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
