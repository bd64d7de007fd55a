/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes at any moment of a volume's life, unsynced writes lost, reordered or torn: what was
 * synced is there, and everything else is old, new, unwritten, out of range or corrupt.
 */
#include "base/memory.h"
#include "crash_store.h"
#include "support.h"
#include "volume_fixture.h"

#include <stdlib.h>
#include <string.h>

/* --- A history, and what had been promised at each moment of it --- */

enum { EVENTS = 6000, PROMISES = 32, VERSIONS = 15, HOLE = 0, GONE = 255 };

/* A page's next state: a version from 1, HOLE or GONE. */
struct event {
    uint64_t page_no;
    unsigned state;
};

/* From `calls` on, the first `events` events are on stable storage, and the volume has pages. */
struct promise {
    size_t calls, events;
    uint64_t pages;
};

struct history {
    struct volume_fixture f;
    struct crash_store *crash;
    struct event events[EVENTS];
    struct promise promises[PROMISES];
    size_t count, promised;
    unsigned version;
    unsigned images, checked; /* so far */
};

static void note(struct history *h, uint64_t page_no, unsigned state)
{
    ck_assert_uint_lt(h->count, EVENTS);
    h->events[h->count++] = (struct event){page_no, state};
}

static void promise(struct history *h)
{
    ck_assert_uint_lt(h->promised, PROMISES);
    h->promises[h->promised++] =
        (struct promise){crash_store_calls(h->crash), h->count, envol_volume_pages(h->f.volume)};
}

/* Consecutive pages, one transfer of the store or more. */
static void write_pages(struct history *h, uint64_t first, size_t n)
{
    struct volume_fixture *f = &h->f;
    struct envol_page_io ios[64];
    uint8_t *memory = malloc(n * f->page_bytes);

    ck_assert(memory != NULL && n <= 64);
    h->version = h->version % VERSIONS + 1;
    for (uint64_t i = envol_volume_pages(f->volume); i < first; i++)
        note(h, i, HOLE);
    for (size_t i = 0; i < n; i++) {
        ios[i] = (struct envol_page_io){.page_no = first + i, .page = memory + i * f->page_bytes};
        volume_page_fill(f, first + i, h->version, ios[i].page);
        note(h, first + i, h->version);
    }
    ck_ok(envol_page_write_batch(f->volume, ios, n, &f->error));
    free(memory);
}

static void trim(struct history *h, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        note(h, i, HOLE);
    ck_ok(envol_page_trim(h->f.volume, first, n));
}

static void sync_all(struct history *h)
{
    ck_ok(envol_volume_sync(h->f.volume));
    promise(h);
}

static void truncate_to(struct history *h, uint64_t pages)
{
    for (uint64_t i = pages; i < envol_volume_pages(h->f.volume); i++)
        note(h, i, GONE);
    for (uint64_t i = envol_volume_pages(h->f.volume); i < pages; i++)
        note(h, i, HOLE);
    ck_ok(envol_volume_truncate(h->f.volume, pages, &h->f.error));
    promise(h);
}

static void reopen(struct history *h)
{
    uint64_t pages = envol_volume_pages(h->f.volume);

    volume_fixture_close(&h->f);
    volume_fixture_open(&h->f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(h->f.volume), pages);
    promise(h);
}

/* --- Holding an image against it --- */

static const struct promise *promise_at(const struct history *h, size_t calls)
{
    const struct promise *found = NULL;

    for (size_t i = 0; i < h->promised && h->promises[i].calls <= calls; i++)
        found = &h->promises[i];
    ck_assert_ptr_nonnull(found);
    return found;
}

/* What page_no may be: as it was promised, or anything that happened to it since. */
struct allowed {
    unsigned promised; /* GONE if it did not exist */
    unsigned touched;  /* times since */
    bool states[256];  /* promised, and since */
};

static struct allowed allowed_of(const struct history *h, const struct promise *p, uint64_t page_no)
{
    struct allowed a = {.promised = GONE};

    for (size_t i = 0; i < h->count; i++) {
        if (h->events[i].page_no != page_no)
            continue;
        if (i < p->events) {
            a.promised = h->events[i].state;
            continue;
        }
        a.touched++;
        a.states[h->events[i].state] = true;
    }
    a.states[a.promised] = true;
    return a;
}

static bool is_allowed(const struct volume_fixture *f, const struct allowed *a, uint64_t page_no,
                       enum envol_status status)
{
    unsigned version;

    switch (status) {
    case ENVOL_OK:
        version = volume_page_version(f, page_no, VERSIONS, f->other);
        if (version >= 1 && version <= VERSIONS && a->states[version])
            return true;
        if (!f->gcm && a->states[HOLE] && envol_is_zero(f->other, f->page_bytes))
            return true;
        return !f->gcm && a->touched > 0; /* XTS: a mixture */
    case ENVOL_E_UNWRITTEN: /* or a page that was not promised, and others that followed it */
        return a->states[HOLE] || a->promised == GONE;
    case ENVOL_E_RANGE: /* nothing marks a sparse volume's holes for a reader in the window */
        return a->states[GONE] || (f->volume->read_only && f->shape->sparse && a->states[HOLE]);
    case ENVOL_E_CORRUPT:
    case ENVOL_E_STALE:
        return a->touched > 0;
    default:
        return false;
    }
}

static void check_pages(const struct history *h, struct volume_fixture *g,
                        const struct crash_image *image)
{
    const struct promise *p = promise_at(h, image->calls);
    uint64_t end = envol_volume_pages(g->volume), first = 0;

    if (end < p->pages)
        end = p->pages;
    if (end > 200)
        first = h->f.shape->page_bytes == 512 ? 990 : 0;
    for (uint64_t i = first; i < end; i++) {
        struct allowed a = allowed_of(h, p, i);
        enum envol_status status = ck_note(envol_page_read(g->volume, i, g->other));
        if (!is_allowed(g, &a, i, status))
            ck_abort_msg("%s: page %llu: %s, promised %u, touched %u; %s", g->shape->name,
                         (unsigned long long)i, envol_status_name(status), a.promised, a.touched,
                         image->story);
    }
}

static struct volume_fixture open_image(const struct history *h, const struct crash_image *image,
                                        struct crash_store **crash, uint32_t flags)
{
    struct volume_fixture g = h->f;

    *crash = crash_store_new(image->bytes, image->size, &g.store);
    volume_fixture_open(&g, flags, ENVOL_OK);
    return g;
}

/* A crash in the middle of recovering from one is like the first. */
struct again {
    const struct history *h;
    size_t calls; /* of the first history */
};

static void check_again(const struct crash_image *image, void *ctx)
{
    const struct again *again = ctx;
    struct crash_image same = *image;
    struct crash_store *crash;
    struct volume_fixture g;

    same.calls = again->calls;
    g = open_image(again->h, &same, &crash, 0);
    check_pages(again->h, &g, &same);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

/* What lies beyond the end is gone for good: growth does not bring it back. */
static void grow_over(struct volume_fixture *g)
{
    uint64_t end = envol_volume_pages(g->volume);

    volume_page_put(g, end + 3, 1);
    ck_ok(envol_volume_sync(g->volume));
    volume_fixture_kill(g);
    volume_fixture_open(g, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(g->volume), end + 4);
    volume_page_expect(g, end + 3, 1);
    for (uint64_t i = end; g->gcm && i < end + 3; i++)
        volume_page_expect_status(g, i, ENVOL_E_UNWRITTEN);
}

static void check_image(const struct crash_image *image, void *ctx)
{
    struct history *h = ctx;
    const struct crash_options coarse = {.sector_bytes = 1 << 20};
    struct crash_store *crash;
    struct volume_fixture g;
    struct again again = {h, image->calls};

    if (++h->images % crash_store_sample(29, 7, 3) != 0)
        return;
    h->checked++;
    if (h->checked % 8 == 1) {
        g = open_image(h, image, &crash, ENVOL_OPEN_READ_ONLY);
        check_pages(h, &g, image);
        volume_fixture_close(&g);
        envol_store_close(g.store);
    }
    g = open_image(h, image, &crash, 0);
    check_pages(h, &g, image);
    if (h->checked % 64 == 1)
        crash_store_replay(crash, &coarse, check_again, &again);
    if (h->checked % 8 == 2)
        grow_over(&g);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

/* --- Histories --- */

static const int shapes[] = {0, 1, 2, 4, 5, 6, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

/* The volume as it is now has always been so. */
static void settle(struct history *h)
{
    ck_ok(envol_volume_sync(h->f.volume));
    crash_store_settle(h->crash);
    h->promised = 0;
    promise(h);
}

static struct history *history_new(int i, size_t pages)
{
    struct history *h = calloc(1, sizeof(*h));
    struct envol_store *store;

    ck_assert_ptr_nonnull(h);
    h->crash = crash_store_new(NULL, 0, &store);
    if (!volume_fixture_create_on(&h->f, &volume_shapes[shapes[i]], store)) {
        free(h);
        return NULL;
    }
    for (uint64_t at = 0; at < pages; at += 50)
        write_pages(h, at, pages - at < 50 ? (size_t)(pages - at) : 50);
    settle(h);
    return h;
}

/* Sectors as large as they may be for the time that a test has. */
static void replay(struct history *h)
{
    const struct crash_options options = {.sector_bytes = h->f.stride_bytes < 4096 ? 512 : 4096};

    ck_assert_uint_gt(crash_store_replay(h->crash, &options, check_image, h), 5);
    volume_fixture_free(&h->f);
    free(h);
}

START_TEST(appending)
{
    struct history *h = history_new(_i, 0);

    if (h == NULL)
        return;
    write_pages(h, 0, 2);
    sync_all(h);
    write_pages(h, 2, 1);
    write_pages(h, 3, 2);
    write_pages(h, 7, 1);
    sync_all(h);
    write_pages(h, 8, 1);
    replay(h);
}
END_TEST

START_TEST(overwriting)
{
    struct history *h = history_new(_i, 4);

    if (h == NULL)
        return;
    reopen(h);
    write_pages(h, 1, 2);
    sync_all(h);
    write_pages(h, 0, 1);
    write_pages(h, 3, 1);
    write_pages(h, 2, 1);
    sync_all(h);
    replay(h);
}
END_TEST

/* The last page of all, synced and above the mark, torn when it is written again, stays a page. */
START_TEST(overwriting_the_tail)
{
    struct history *h = history_new(_i, 2);

    if (h == NULL)
        return;
    write_pages(h, 2, 2);
    sync_all(h);
    write_pages(h, 3, 1);
    write_pages(h, 4, 1);
    sync_all(h);
    write_pages(h, 3, 3);
    replay(h);
}
END_TEST

START_TEST(trimming)
{
    struct history *h = history_new(_i, 6);

    if (h == NULL)
        return;
    trim(h, 1, 2);
    sync_all(h);
    write_pages(h, 2, 1);
    trim(h, 4, 2);
    write_pages(h, 6, 1);
    sync_all(h);
    replay(h);
}
END_TEST

START_TEST(cutting_and_growing)
{
    struct history *h = history_new(_i, 6);

    if (h == NULL)
        return;
    truncate_to(h, 3);
    truncate_to(h, 5);
    write_pages(h, 4, 2);
    truncate_to(h, 2);
    replay(h);
}
END_TEST

START_TEST(closing_and_opening)
{
    struct history *h = history_new(_i, 2);

    if (h == NULL)
        return;
    write_pages(h, 2, 2);
    reopen(h);
    write_pages(h, 4, 1);
    reopen(h);
    replay(h);
}
END_TEST

/* The mark is raised when the window is full. */
START_TEST(crossing_the_window)
{
    struct history *h = history_new(_i, 1020);

    if (h == NULL)
        return;
    write_pages(h, 1020, 3);
    write_pages(h, 1023, 4);
    sync_all(h);
    write_pages(h, 1027, 1);
    replay(h);
}
END_TEST

/* Until create has returned there is no volume, or an empty one. */
static void check_creation(const struct crash_image *image, void *ctx)
{
    struct history *h = ctx;
    struct volume_fixture g = h->f;
    enum envol_status status;

    crash_store_new(image->bytes, image->size, &g.store);
    status = ck_note(envol_volume_open(g.store, &g.cmk, 1, NULL, &g.volume, &g.error));
    if (status == ENVOL_OK) {
        ck_assert_uint_eq(envol_volume_pages(g.volume), 0);
        volume_page_put(&g, 1, 1);
        volume_fixture_close(&g);
    } else {
        ck_assert_uint_lt(image->calls, h->promises[0].calls);
        ck_assert_msg(status == ENVOL_E_FORMAT || status == ENVOL_E_CORRUPT ||
                          status == ENVOL_E_TRUNCATED,
                      "%s: %s", envol_status_name(status), image->story);
    }
    envol_store_close(g.store);
}

START_TEST(creating)
{
    struct history *h = calloc(1, sizeof(*h));
    struct envol_store *store;

    ck_assert_ptr_nonnull(h);
    h->crash = crash_store_new(NULL, 0, &store);
    if (!volume_fixture_create_on(&h->f, &volume_shapes[shapes[_i]], store))
        return;
    promise(h);
    ck_ok(envol_volume_sync(h->f.volume));
    crash_store_replay(h->crash, NULL, check_creation, h);
    volume_fixture_free(&h->f);
    free(h);
}
END_TEST

/* A page that was never synced, and the write of it again failed half-way: it is damaged, not gone.
 */
START_TEST(a_failed_write_of_the_last_page)
{
    struct volume_fixture f;
    uint64_t generation;

    if (!volume_fixture_create(&f, &volume_shapes[_i / 2]))
        return;
    for (uint64_t i = 0; i < 10; i++)
        volume_page_put(&f, i, 1);
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    if (_i % 2 == 0)
        ck_status(envol_page_write(f.volume, 9, f.page), ENVOL_E_IO);
    else
        ck_status(envol_page_trim(f.volume, 9, 1), ENVOL_E_IO);
    volume_page_expect_status(&f, 9, ENVOL_E_CORRUPT);
    ck_ok(envol_volume_sync(f.volume));
    generation = volume_info_of(&f).header.generation;
    ck_ok(envol_volume_sync(f.volume)); /* once is enough */
    ck_assert_uint_eq(volume_info_of(&f).header.generation, generation);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 10);
    volume_page_expect(&f, 8, 1);
    volume_page_expect_status(&f, 9, ENVOL_E_CORRUPT);
    volume_fixture_free(&f);
}
END_TEST

/* What growth that failed left beyond the end does not come back as pages after a sync, on a store
 * of a fixed size either. */
START_TEST(growth_that_failed)
{
    struct volume_fixture f;
    struct envol_page_io ios[4];
    bool fixed = _i % 3 > 0;

    if (!volume_fixture_create(&f, &volume_shapes[_i / 3]))
        return;
    if (f.stride_bytes > 65536) {
        volume_fixture_free(&f);
        return;
    }
    if (fixed)
        ck_assert_int_eq(envol_store_resize(f.store, volume_record_at(&f, 6), NULL), ENVOL_OK);
    if (fixed)
        watched_fix_size(f.watched);
    if (_i % 3 == 2)
        watched_drop_discard(f.watched);
    for (uint64_t i = 0; i < 3; i++)
        volume_page_put(&f, i, 1);
    for (size_t i = 0; i < 4; i++)
        ios[i] = (struct envol_page_io){.page_no = 3 + i, .page = f.page};
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_write_batch(f.volume, ios, 4, &f.error), ENVOL_E_IO);
    ck_ok(envol_volume_sync(f.volume));
    ck_assert_uint_eq(envol_volume_pages(f.volume), 3);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 3);
    /* Nor when it cannot be removed at first: then the sync fails. */
    volume_page_put(&f, 3, 1);
    for (size_t i = 0; i < 4; i++)
        ios[i].page_no++;
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_write_batch(f.volume, ios, 4, &f.error), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_SIZE, 1, ENVOL_E_IO);
    ck_status(envol_volume_sync(f.volume), ENVOL_E_IO);
    ck_ok(envol_volume_sync(f.volume));
    volume_page_put(&f, 4, 2);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 5);
    volume_page_expect(&f, 4, 2);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("volume_crash");
    TCase *tcase = tcase_create("volume_crash");

    tcase_add_loop_test(tcase, creating, 0, SHAPES);
    tcase_add_loop_test(tcase, appending, 0, SHAPES);
    tcase_add_loop_test(tcase, overwriting, 0, SHAPES);
    tcase_add_loop_test(tcase, overwriting_the_tail, 0, SHAPES);
    tcase_add_loop_test(tcase, trimming, 0, SHAPES);
    tcase_add_loop_test(tcase, cutting_and_growing, 0, SHAPES);
    tcase_add_loop_test(tcase, closing_and_opening, 0, SHAPES);
    tcase_add_loop_test(tcase, crossing_the_window, 0, 1);
    tcase_add_loop_test(tcase, growth_that_failed, 0, 3 * VOLUME_GCM_SHAPES);
    tcase_add_loop_test(tcase, a_failed_write_of_the_last_page, 0, 2 * VOLUME_GCM_SHAPES);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
