/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes at any moment of a snapshot's life, of volume and space together: either it is there and
 * its image is exact, or it is not there; and the volume's own pages are as was promised.
 */
#include "base/memory.h"
#include "crash_space.h"
#include "snapshot_fixture.h"
#include "store/space.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* Chunks of two pages, and of all that there are. */
static const struct volume_shape crash_shapes[] = {
    {"gcm 128 KiB", ENVOL_SUITE_AES_256_GCM, 0, 131072, 0},
    {"gcm 512", ENVOL_SUITE_AES_256_GCM, 512, 0, 0},
    {"gcm 128 KiB sparse", ENVOL_SUITE_AES_256_GCM, 0, 131072, 1},
    {"xts 128 KiB", ENVOL_SUITE_AES_256_XTS, 131072, 0, 0},
};
enum { SHAPES = sizeof(crash_shapes) / sizeof(crash_shapes[0]), KINDS = SHAPES + 1 };

enum { EVENTS = 512, PROMISES = 64, SNAPSHOTS = 3, GONE = 255 };

struct event {
    uint64_t page_no;
    unsigned state; /* a version, SNAPSHOT_HOLE or GONE */
};

struct promise {
    size_t calls, events;
};

struct life {
    uint8_t uuid[ENVOL_UUID_BYTES];
    struct snapshot_model model;
    size_t made, deleting, deleted; /* calls: when it had been made, and so on; 0: never */
};

struct history {
    struct snapshot_fixture s;
    struct crash_store *crash;
    struct event events[EVENTS];
    struct promise promises[PROMISES];
    struct life lives[SNAPSHOTS];
    struct snapshot_model before;
    size_t count, promised, born;
    bool atomic;
    unsigned images, checked;
};

/* --- A history --- */

static unsigned state_of(const struct snapshot_model *model, uint64_t page_no)
{
    return page_no < model->pages ? model->version[page_no] : GONE;
}

/* What changed in the model since the last time happened. */
static void note(struct history *h)
{
    uint64_t end = h->before.pages > h->s.model.pages ? h->before.pages : h->s.model.pages;

    for (uint64_t i = 0; i < end; i++) {
        if (state_of(&h->before, i) == state_of(&h->s.model, i))
            continue;
        ck_assert_uint_lt(h->count, EVENTS);
        h->events[h->count++] = (struct event){i, state_of(&h->s.model, i)};
    }
    h->before = h->s.model;
}

static void promise(struct history *h)
{
    ck_assert_uint_lt(h->promised, PROMISES);
    h->promises[h->promised++] = (struct promise){crash_store_calls(h->crash), h->count};
}

static void put(struct history *h, uint64_t first, uint64_t n)
{
    struct snapshot_model after;
    struct snapshot_fixture *s = &h->s;

    /* The event comes before the call: a crash may be in its middle. */
    after = s->model;
    while (after.pages < first + n)
        after.version[after.pages++] = SNAPSHOT_HOLE;
    for (uint64_t i = first; i < first + n; i++)
        after.version[i] = (unsigned char)(s->version + 1);
    s->model = after;
    note(h);
    snapshot_put(s, first, n);
    ck_assert_mem_eq(&s->model, &after, sizeof(after));
}

static void trim(struct history *h, uint64_t first, uint64_t n)
{
    memset(h->s.model.version + first, SNAPSHOT_HOLE, n);
    note(h);
    snapshot_trim(&h->s, first, n);
}

static void truncate_to(struct history *h, uint64_t pages)
{
    snapshot_truncate(&h->s, pages);
    note(h);
    promise(h);
}

static void sync_all(struct history *h)
{
    ck_ok(envol_volume_sync(h->s.f.volume));
    promise(h);
}

static void reopen(struct history *h)
{
    snapshot_fixture_reopen(&h->s);
    promise(h);
}

static struct life *make(struct history *h)
{
    struct life *life = &h->lives[h->born++];

    ck_assert_uint_le(h->born, SNAPSHOTS);
    snapshot_make(&h->s, life->uuid);
    life->model = h->s.model;
    life->made = crash_store_calls(h->crash);
    promise(h);
    return life;
}

static void give_up(struct history *h, struct life *life)
{
    life->deleting = crash_store_calls(h->crash);
    ck_ok(envol_snapshot_delete(h->s.f.volume, life->uuid, &h->s.f.error));
    life->deleted = crash_store_calls(h->crash);
    promise(h);
}

static bool begin(struct history *h, int i, uint64_t pages)
{
    struct envol_store *store;
    struct envol_space *space;

    memset(h, 0, sizeof(*h));
    h->atomic = i == SHAPES;
    h->crash = crash_store_new(NULL, 0, &store);
    space = crash_space_new(h->crash, NULL);
    if (!snapshot_fixture_create_on(&h->s, &crash_shapes[i % SHAPES], h->atomic, store, space))
        return false;
    put(h, 0, pages);
    ck_ok(envol_volume_sync(h->s.f.volume));
    crash_store_settle(h->crash);
    h->promised = 0;
    promise(h);
    return true;
}

/* --- Holding an image against it --- */

static const struct promise *promise_at(const struct history *h, size_t calls)
{
    const struct promise *found = &h->promises[0];

    for (size_t i = 0; i < h->promised && h->promises[i].calls <= calls; i++)
        found = &h->promises[i];
    return found;
}

static bool page_is_allowed(const struct history *h, const struct promise *p,
                            struct snapshot_fixture *g, uint64_t page_no)
{
    struct volume_fixture *f = &g->f;
    enum envol_status status = ck_note(envol_page_read(f->volume, page_no, f->other));
    unsigned states[EVENTS + 1] = {GONE}, count = 1, version;

    for (size_t i = 0; i < h->count; i++) {
        if (h->events[i].page_no != page_no)
            continue;
        if (i < p->events)
            states[0] = h->events[i].state;
        else
            states[count++] = h->events[i].state;
    }
    version = status == ENVOL_OK ? volume_page_version(f, page_no, 250, f->other) : 0;
    for (unsigned i = 0; i < count; i++) {
        if (states[i] == GONE && status == ENVOL_E_RANGE)
            return true;
        /* A page that was not promised, and others that followed it. */
        if ((states[i] == SNAPSHOT_HOLE || states[0] == GONE) && status == ENVOL_E_UNWRITTEN)
            return true;
        if (states[i] == SNAPSHOT_HOLE && !f->gcm && status == ENVOL_OK &&
            envol_is_zero(f->other, f->page_bytes))
            return true;
        if (status == ENVOL_OK && states[i] == version)
            return true;
    }
    if (h->atomic || count == 1)
        return false;
    return f->gcm ? status == ENVOL_E_CORRUPT : status == ENVOL_OK;
}

static void check_pages(const struct history *h, struct snapshot_fixture *g,
                        const struct crash_image *image)
{
    const struct promise *p = promise_at(h, image->calls);

    for (uint64_t i = 0; i < 60; i++)
        ck_assert_msg(page_is_allowed(h, p, g, i), "%s: page %llu; %s", g->f.shape->name,
                      (unsigned long long)i, image->story);
}

static bool is_listed(struct snapshot_fixture *g, const uint8_t *uuid)
{
    struct envol_volume_info info = volume_info_of(&g->f);

    for (uint32_t i = 0; i < info.header.snapshots; i++)
        if (memcmp(info.header.snapshot[i].uuid, uuid, ENVOL_UUID_BYTES) == 0)
            return true;
    return false;
}

static void check_own_image(struct snapshot_fixture *g, const struct life *life, const char *story)
{
    struct envol_volume *volume;

    ck_ok(envol_snapshot_open(g->f.volume, life->uuid, &volume, &g->f.error));
    snapshot_expect(g, volume, &life->model, story);
    ck_ok(envol_volume_close(volume));
}

static void check_snapshots(const struct history *h, struct snapshot_fixture *g,
                            const struct crash_image *image)
{
    unsigned there = 0, files = 0;

    for (size_t i = 0; i < h->born; i++) {
        const struct life *life = &h->lives[i];
        bool listed = is_listed(g, life->uuid);
        if (life->made <= image->calls && (life->deleted == 0 || image->calls <= life->deleting))
            ck_assert_msg(listed, "snapshot %zu is not there; %s", i, image->story);
        if (life->deleted != 0 && life->deleted <= image->calls)
            ck_assert_msg(!listed, "snapshot %zu is still there; %s", i, image->story);
        if (!listed)
            continue;
        check_own_image(g, life, image->story);
        there++;
    }
    ck_assert_uint_eq(volume_info_of(&g->f).header.snapshots, there);
    ck_assert_int_eq(envol_space_list(g->space, snapshot_count_name, &files, NULL), ENVOL_OK);
    ck_assert_msg(files == there, "%u files of %u snapshots; %s", files, there, image->story);
}

static struct snapshot_fixture open_image(const struct history *h, const struct crash_image *image,
                                          struct crash_store **crash)
{
    struct snapshot_fixture g = h->s;

    *crash = crash_store_new(image->bytes, image->size, &g.f.store);
    g.space = crash_space_new(*crash, image);
    return g;
}

static void close_image(struct snapshot_fixture *g)
{
    if (g->f.volume != NULL)
        volume_fixture_close(&g->f);
    envol_space_close(g->space);
    envol_store_close(g->f.store);
}

/* Before any writer has mended anything: a snapshot that was promised is there, and exact. */
static void check_reader(const struct history *h, const struct crash_image *image)
{
    struct crash_store *crash;
    struct snapshot_fixture g = open_image(h, image, &crash);

    for (size_t i = 0; i < h->born; i++) {
        const struct life *life = &h->lives[i];
        enum envol_status status =
            snapshot_image_try(&g, g.f.store, g.space, life->uuid, &g.f.volume);
        if (life->made <= image->calls && (life->deleted == 0 || image->calls <= life->deleting))
            ck_assert_msg(status == ENVOL_OK, "snapshot %zu: %s: %s; %s", i,
                          envol_status_name(status), g.f.error.message, image->story);
        if (status != ENVOL_OK)
            continue;
        snapshot_expect(&g, g.f.volume, &life->model, image->story);
        volume_fixture_close(&g.f);
    }
    close_image(&g);
}

struct again {
    const struct history *h;
    size_t calls;
};

/* A crash in the middle of recovering from one. */
static void check_again(const struct crash_image *image, void *ctx)
{
    const struct again *again = ctx;
    struct crash_image same = *image;
    struct crash_store *crash;
    struct snapshot_fixture g = open_image(again->h, image, &crash);

    same.calls = again->calls;
    snapshot_fixture_open(&g, 0, ENVOL_OK);
    check_pages(again->h, &g, &same);
    check_snapshots(again->h, &g, &same);
    close_image(&g);
}

/* Everything is overwritten, and the images are what they were. */
static void overwrite_all(const struct history *h, struct snapshot_fixture *g,
                          const struct crash_image *image)
{
    g->version = 220;
    for (uint64_t i = 0; i < envol_volume_pages(g->f.volume); i++)
        volume_page_put(&g->f, i, 250);
    for (size_t i = 0; i < h->born; i++)
        if (is_listed(g, h->lives[i].uuid))
            check_own_image(g, &h->lives[i], image->story);
}

static void check_image(const struct crash_image *image, void *ctx)
{
    struct history *h = ctx;
    const struct crash_options coarse = {.sector_bytes = 1 << 20};
    struct again again = {h, image->calls};
    struct crash_store *crash;
    struct snapshot_fixture g;

    if (++h->images % crash_store_sample(97, 23, 11) != 0)
        return;
    if (++h->checked % 4 == 1)
        check_reader(h, image);
    g = open_image(h, image, &crash);
    snapshot_fixture_open(&g, 0, ENVOL_OK);
    check_pages(h, &g, image);
    check_snapshots(h, &g, image);
    if (h->checked % 64 == 2)
        crash_store_replay(crash, &coarse, check_again, &again);
    if (h->checked % 4 == 3)
        overwrite_all(h, &g, image);
    close_image(&g);
}

static void replay(struct history *h)
{
    const struct crash_options options = {.sector_bytes = h->s.f.stride_bytes < 4096 ? 512 : 65536};

    ck_assert_uint_gt(crash_store_replay(h->crash, &options, check_image, h), 20);
    snapshot_fixture_free(&h->s);
    free(h);
}

static struct history *history_new(int i, uint64_t pages)
{
    struct history *h = calloc(1, sizeof(*h));

    ck_assert_ptr_nonnull(h);
    if (begin(h, i, pages))
        return h;
    free(h);
    return NULL;
}

/* --- Histories --- */

START_TEST(making_and_overwriting)
{
    struct history *h = history_new(_i, 5);

    if (h == NULL)
        return;
    put(h, 1, 1);
    make(h);
    put(h, 0, 1);
    put(h, 1, 1);
    sync_all(h);
    put(h, 4, 3);
    sync_all(h);
    replay(h);
}
END_TEST

START_TEST(making_and_deleting)
{
    struct history *h = history_new(_i, 3);
    struct life *life;

    if (h == NULL)
        return;
    life = make(h);
    put(h, 2, 1);
    give_up(h, life);
    put(h, 0, 1);
    sync_all(h);
    replay(h);
}
END_TEST

START_TEST(two_and_reopening)
{
    struct history *h = history_new(_i, 4);
    struct life *life;

    if (h == NULL)
        return;
    life = make(h);
    put(h, 0, 1);
    make(h);
    put(h, 0, 3);
    reopen(h);
    put(h, 3, 1);
    give_up(h, life);
    put(h, 1, 1);
    reopen(h);
    replay(h);
}
END_TEST

START_TEST(trimming_and_cutting)
{
    struct history *h = history_new(_i, 6);

    if (h == NULL)
        return;
    make(h);
    trim(h, 1, 2);
    truncate_to(h, 3);
    put(h, 4, 1);
    make(h);
    truncate_to(h, 1);
    truncate_to(h, 4);
    sync_all(h);
    replay(h);
}
END_TEST

/* The write of an entry, and of nothing before it, fails. */
static void fail_to_keep(struct history *h, uint64_t page_no)
{
    struct volume_fixture *f = &h->s.f;
    size_t calls = crash_store_calls(h->crash);

    for (unsigned nth = 1; crash_store_calls(h->crash) == calls; nth++) {
        crash_store_fail(h->crash, nth, CRASH_FAULT_ALL);
        ck_status(envol_page_write(f->volume, page_no, f->page), ENVOL_E_IO);
    }
    ck_assert(crash_store_failed(h->crash));
}

/* A chunk of two pages, and then one of one page in its place: should the cut between them be lost,
 * the second one is not where the file ends, and whether it is torn is not looked at. */
START_TEST(a_smaller_entry_after_one_that_failed)
{
    struct history *h = history_new(_i * (SHAPES - 1), 5);

    if (h == NULL)
        return;
    make(h);
    fail_to_keep(h, 0);
    put(h, 4, 1);
    sync_all(h);
    put(h, 0, 1);
    sync_all(h);
    replay(h);
}
END_TEST

static Suite *suite(void)
{
    Suite *made = suite_create("snapshot_crash");
    TCase *crashes = tcase_create("crashes");

    tcase_set_timeout(crashes, 120);
    tcase_add_loop_test(crashes, making_and_overwriting, 0, KINDS);
    tcase_add_loop_test(crashes, making_and_deleting, 0, KINDS);
    tcase_add_loop_test(crashes, two_and_reopening, 0, KINDS);
    tcase_add_loop_test(crashes, trimming_and_cutting, 0, KINDS);
    tcase_add_loop_test(crashes, a_smaller_entry_after_one_that_failed, 0, 2);
    suite_add_tcase(made, crashes);
    return made;
}

int main(void)
{
    return test_run(suite());
}
