/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes at any moment of a rotation, unsynced writes lost, reordered or torn: the volume opens,
 * every page is its old or its new content, and the rotation can be completed.
 */
#include "base/memory.h"
#include "crash_store.h"
#include "header/header.h"
#include "support.h"
#include "volume/rotation.h"
#include "volume_fixture.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES_MAX = 40, WRITES_MAX = 8, NEVER = 0 };

/* What a page was given, and when. */
struct page_life {
    size_t visited; /* call at which the sweep came to it, 0: not yet */
    size_t settled; /* call by which what it wrote was synced, 0: not yet */
    unsigned count;
    struct {
        unsigned version; /* 0: a hole */
        size_t begun, synced;
    } writes[WRITES_MAX];
};

struct history {
    struct volume_fixture f;
    struct crash_store *crash;
    struct page_life pages[PAGES_MAX];
    bool atomic;            /* the volume has atomic pages */
    uint64_t swept;         /* pages that steps have visited */
    size_t begun, finished; /* calls: rotate_begin was called, and finish had returned */
    unsigned images, checked;
};

static size_t calls(const struct history *h)
{
    return crash_store_calls(h->crash);
}

static void note_write(struct history *h, uint64_t page_no, unsigned version)
{
    struct page_life *life = &h->pages[page_no];

    ck_assert_uint_lt(life->count, WRITES_MAX);
    life->writes[life->count].version = version;
    life->writes[life->count++].begun = calls(h) + 1;
}

static void note_sync(struct history *h)
{
    for (size_t i = 0; i < PAGES_MAX; i++) {
        struct page_life *life = &h->pages[i];
        if (life->visited != 0 && life->settled == 0)
            life->settled = calls(h);
        for (unsigned k = 0; k < life->count; k++)
            if (life->writes[k].synced == 0)
                life->writes[k].synced = calls(h);
    }
}

static void put(struct history *h, uint64_t page_no, unsigned version)
{
    for (uint64_t i = envol_volume_pages(h->f.volume); i < page_no; i++)
        note_write(h, i, 0);
    note_write(h, page_no, version);
    volume_page_put(&h->f, page_no, version);
}

static void sync_all(struct history *h)
{
    ck_ok(envol_volume_sync(h->f.volume));
    note_sync(h);
}

static void begin(struct history *h)
{
    h->begun = calls(h);
    ck_ok(envol_volume_rotate_begin(h->f.volume, &h->f.cmk, 1, 0, NULL, &h->f.error));
    note_sync(h);
}

/* Returns whether pages are left. */
static bool step(struct history *h, uint64_t n)
{
    struct envol_rotation r = {.struct_size = sizeof(r)};

    for (uint64_t i = h->swept; i < h->swept + n && i < PAGES_MAX; i++)
        h->pages[i].visited = calls(h) + 1;
    ck_ok(envol_volume_rotate_step(h->f.volume, n, &r, &h->f.error));
    h->swept += n;
    if (!h->f.gcm || r.state == ENVOL_ROTATION_SWEPT)
        note_sync(h); /* each step syncs under XTS; the last one does in any case */
    return r.state != ENVOL_ROTATION_SWEPT;
}

static void finish(struct history *h)
{
    ck_ok(envol_volume_rotate_finish(h->f.volume, 0, &h->f.error));
    h->finished = calls(h);
    note_sync(h);
}

/* --- Holding an image against it --- */

static bool is_in_flight(const struct page_life *life, size_t at)
{
    if (life->visited != 0 && life->visited <= at && (life->settled == 0 || life->settled > at))
        return true;
    for (unsigned k = 0; k < life->count; k++)
        if (life->writes[k].begun <= at &&
            (life->writes[k].synced == 0 || life->writes[k].synced > at))
            return true;
    return false;
}

static bool was_written_since(const struct page_life *life, size_t at)
{
    for (unsigned k = 0; k < life->count; k++)
        if (life->writes[k].begun <= at &&
            (life->writes[k].synced == 0 || life->writes[k].synced > at))
            return true;
    return false;
}

/* The last version that was synced, or any after it. */
static bool may_hold(const struct page_life *life, size_t at, unsigned version)
{
    unsigned oldest = 0;

    for (unsigned k = 0; k < life->count; k++)
        if (life->writes[k].synced != 0 && life->writes[k].synced <= at)
            oldest = k;
    for (unsigned k = oldest; k < life->count; k++)
        if (life->writes[k].begun <= at && life->writes[k].version == version)
            return true;
    return false;
}

static bool must_exist(const struct page_life *life, size_t at)
{
    for (unsigned k = 0; k < life->count; k++)
        if (life->writes[k].synced != 0 && life->writes[k].synced <= at)
            return true;
    return false;
}

static bool is_allowed(const struct history *h, struct volume_fixture *g, uint64_t page_no,
                       size_t at, enum envol_status status)
{
    const struct page_life *life = &h->pages[page_no];
    unsigned version;

    switch (status) {
    case ENVOL_OK:
        version = volume_page_version(g, page_no, 9, g->other);
        if (version >= 1 && version <= 9)
            return may_hold(life, at, version);
        if (!g->gcm && may_hold(life, at, 0) && envol_is_zero(g->other, g->page_bytes))
            return true;
        if (h->atomic && must_exist(life, at) && !g->volume->read_only)
            return false;
        return !g->gcm && was_written_since(life, at); /* a mixture of the writer's own making */
    case ENVOL_E_UNWRITTEN:
        return may_hold(life, at, 0) || !must_exist(life, at) ||
               (g->shape->sparse && was_written_since(life, at));
    case ENVOL_E_CORRUPT:
        /* Readers do not look into the double-write area. */
        return g->gcm && is_in_flight(life, at) && (!h->atomic || g->volume->read_only);
    case ENVOL_E_RANGE:
        return !must_exist(life, at);
    default:
        return false;
    }
}

static unsigned check_pages(const struct history *h, struct volume_fixture *g,
                            const struct crash_image *image)
{
    unsigned bad = 0;

    for (uint64_t i = 0; i < PAGES_MAX; i++) {
        enum envol_status status = ck_note(envol_page_read(g->volume, i, g->other));
        if (!is_allowed(h, g, i, image->calls, status))
            ck_abort_msg("%s: page %llu: %s, version %u, at %zu; %s", g->shape->name,
                         (unsigned long long)i, envol_status_name(status),
                         volume_page_version(g, i, 9, g->other), image->calls, image->story);
        bad += status == ENVOL_E_CORRUPT && i < envol_volume_pages(g->volume);
    }
    return bad;
}

static struct envol_rotation status_of(struct volume_fixture *g)
{
    struct envol_rotation r = {.struct_size = sizeof(r)};

    ck_ok(envol_volume_rotate_status(g->volume, &r));
    return r;
}

static void check_state(const struct history *h, struct volume_fixture *g,
                        const struct crash_image *image)
{
    struct envol_rotation r = status_of(g);

    if (image->calls <= h->begun) {
        ck_assert_int_eq(r.state, ENVOL_ROTATION_NONE);
        ck_assert_uint_eq(r.epoch, 1);
    }
    if (h->finished != 0 && image->calls >= h->finished) {
        ck_assert_int_eq(r.state, ENVOL_ROTATION_NONE);
        ck_assert_uint_eq(r.epoch, 2);
        ck_assert_uint_eq(volume_info_of(g).header.lowest_epoch, 2);
    }
}

/* From wherever it is to the end; what cannot be read is reported, and stays diagnosable. */
static void complete(const struct history *h, struct volume_fixture *g,
                     const struct crash_image *image, unsigned bad)
{
    struct envol_rotation r = status_of(g);

    if (r.state == ENVOL_ROTATION_NONE) {
        if (r.epoch == 2)
            return;
        ck_ok(envol_volume_rotate_begin(g->volume, &g->cmk, 1, 0, NULL, &g->error));
    }
    ck_ok(envol_volume_rotate_run(g->volume, 0, NULL, NULL, &r, &g->error));
    /* A page that was torn when it was written behind the sweep is under the new DEK. */
    ck_assert_uint_le(r.bad, bad);
    ck_assert_uint_eq(check_pages(h, g, image), bad);
    ck_ok(envol_volume_rotate_finish(g->volume, 0, &g->error));
    ck_assert_uint_eq(volume_info_of(g).header.retained_epochs, r.bad > 0 ? 1 : 0);
    ck_assert_uint_eq(check_pages(h, g, image), bad);
    volume_fixture_reopen(g);
    check_pages(h, g, image);
}

static struct volume_fixture open_image(const struct history *h, const struct crash_image *image,
                                        struct crash_store **crash)
{
    struct volume_fixture g = h->f;

    *crash = crash_store_new(image->bytes, image->size, &g.store);
    volume_fixture_open(&g, 0, ENVOL_OK);
    return g;
}

struct again {
    const struct history *h;
    size_t calls;
};

/* A crash in the middle of opening after one. */
static void check_again(const struct crash_image *image, void *ctx)
{
    const struct again *again = ctx;
    struct crash_image same = *image;
    struct crash_store *crash;
    struct volume_fixture g;

    same.calls = again->calls;
    g = open_image(again->h, &same, &crash);
    check_pages(again->h, &g, &same);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

/* A reader, who may be told that a run is half-way; then he may not read on. */
static void check_reader(struct history *h, const struct crash_image *image)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .flags = ENVOL_OPEN_READ_ONLY};
    struct volume_fixture g = h->f;
    enum envol_status status;

    crash_store_new(image->bytes, image->size, &g.store);
    status = ck_note(envol_volume_open(g.store, &g.cmk, 1, &options, &g.volume, &g.error));
    if (status == ENVOL_OK) {
        check_pages(h, &g, image);
        volume_fixture_close(&g);
    } else {
        ck_assert_int_eq(status, ENVOL_E_STATE);
        ck_assert(!g.gcm);
    }
    envol_store_close(g.store);
}

static void check_image(const struct crash_image *image, void *ctx)
{
    struct history *h = ctx;
    const struct crash_options coarse = {.sector_bytes = 1 << 20};
    struct crash_store *crash;
    struct volume_fixture g;
    struct again again = {h, image->calls};
    unsigned bad;

    if (++h->images % crash_store_sample(97, 29, 11) != 0)
        return;
    h->checked++;
    if (h->checked % 4 == 1)
        check_reader(h, image);
    g = open_image(h, image, &crash);
    check_state(h, &g, image);
    bad = check_pages(h, &g, image);
    if (h->checked % 64 == 1)
        crash_store_replay(crash, &coarse, check_again, &again);
    if (h->checked % 5 == 0)
        complete(h, &g, image, bad);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

/* --- Histories --- */

static const int shapes[] = {0, 1, 4, 5, 6, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static struct history *history_new(int i, uint64_t pages)
{
    struct history *h = calloc(1, sizeof(*h));
    const struct volume_shape *shape = &volume_shapes[shapes[i % SHAPES]];
    struct envol_store *store;

    ck_assert_ptr_nonnull(h);
    h->atomic = i >= SHAPES;
    h->crash = crash_store_new(NULL, 0, &store);
    if (!(h->atomic ? volume_fixture_create_atomic : volume_fixture_create_on)(&h->f, shape,
                                                                               store)) {
        free(h);
        return NULL;
    }
    for (uint64_t p = 0; p < pages; p++)
        if (p != 2)
            put(h, p, 1);
    volume_fixture_reopen(&h->f);
    crash_store_settle(h->crash);
    memset(h->pages, 0, sizeof(h->pages));
    for (uint64_t p = 0; p < pages; p++) {
        note_write(h, p, p == 2 ? 0 : 1);
        h->pages[p].writes[0].begun = h->pages[p].writes[0].synced = 0;
    }
    /* Synced before the first call: any count will do. */
    for (uint64_t p = 0; p < pages; p++)
        h->pages[p].writes[0].synced = 1;
    return h;
}

static void replay(struct history *h)
{
    const struct crash_options options = {.sector_bytes = h->f.stride_bytes < 4096 ? 2048 : 4096,
                                          .first_call = 1};

    ck_assert_uint_gt(crash_store_replay(h->crash, &options, check_image, h), 100);
    volume_fixture_free(&h->f);
    free(h);
}

START_TEST(from_begin_to_finish)
{
    struct history *h = history_new(_i, 7);

    if (h == NULL)
        return;
    begin(h);
    while (step(h, 3))
        ;
    finish(h);
    replay(h);
}
END_TEST

START_TEST(beside_writes)
{
    struct history *h = history_new(_i, 8);

    if (h == NULL)
        return;
    begin(h);
    put(h, 6, 2);
    step(h, 3);
    put(h, 1, 2);
    put(h, 5, 3);
    step(h, 3);
    sync_all(h);
    put(h, 0, 3);
    while (step(h, 3))
        ;
    put(h, 7, 4);
    finish(h);
    replay(h);
}
END_TEST

START_TEST(beside_growth)
{
    struct history *h = history_new(_i, 4);

    if (h == NULL)
        return;
    begin(h);
    step(h, 3);
    put(h, 4, 1);
    put(h, 6, 1);
    sync_all(h);
    put(h, 7, 1);
    step(h, 3);
    put(h, 9, 2);
    while (step(h, 3))
        ;
    put(h, 11, 1);
    sync_all(h);
    put(h, 13, 1);
    finish(h);
    replay(h);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate crash");
    TCase *crash = tcase_create("crash");

    tcase_set_timeout(crash, 600);
    tcase_add_loop_test(crash, from_begin_to_finish, 0, 2 * SHAPES);
    tcase_add_loop_test(crash, beside_writes, 0, 2 * SHAPES);
    tcase_add_loop_test(crash, beside_growth, 0, 2 * SHAPES);
    suite_add_tcase(s, crash);
    return s;
}

int main(void)
{
    return test_run(suite());
}
