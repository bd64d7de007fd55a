/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes of a volume with atomic pages, at any moment of its life: every page that had been synced
 * once is, after the next writer has opened the volume, whole, with the content of then or a later
 * one.  Nothing is corrupt, and nothing is a mixture.
 */
#include "base/memory.h"
#include "crash_store.h"
#include "support.h"
#include "volume_fixture.h"

#include <stdlib.h>
#include <string.h>

enum { EVENTS = 512, PAGES = 160, VERSIONS = 31, HOLE = 0, GONE = 255 };

static const struct volume_shape shapes[] = {
    {"gcm 512", ENVOL_SUITE_AES_256_GCM, 512, 0, 0},
    {"gcm in 4096", ENVOL_SUITE_AES_256_GCM, 0, 4096, 0},
    {"gcm 8192 in 8256", ENVOL_SUITE_AES_256_GCM, 8192, 8256, 0},
    {"gcm in 16384", ENVOL_SUITE_AES_256_GCM, 0, 16384, 0},
    {"gcm sparse", ENVOL_SUITE_AES_256_GCM, 0, 4096, 1},
    {"xts 512", ENVOL_SUITE_AES_256_XTS, 512, 0, 0},
    {"xts 4096", ENVOL_SUITE_AES_256_XTS, 4096, 0, 0},
    {"xts 16384", ENVOL_SUITE_AES_256_XTS, 16384, 0, 0},
    {"xts sparse", ENVOL_SUITE_AES_256_XTS, 4096, 0, 1},
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

/* From call `calls` of the store on a page may be in this state; `promised`: it is in no older one.
 */
struct event {
    size_t calls;
    uint64_t page_no;
    unsigned state;
    bool promised;
};

struct history {
    struct volume_fixture f;
    struct crash_store *crash;
    bool atomic;
    struct event events[EVENTS];
    size_t count;
    unsigned now[PAGES]; /* state of each page */
    uint64_t pages, most;
    unsigned version;
    unsigned images, broken; /* seen; pages that were neither */
};

static void note(struct history *h, uint64_t page_no, unsigned state, bool promised)
{
    ck_assert(h->count < EVENTS && page_no < PAGES);
    h->events[h->count++] = (struct event){crash_store_calls(h->crash), page_no, state, promised};
    h->now[page_no] = state;
    if (page_no >= h->most)
        h->most = page_no + 1;
}

static void promise(struct history *h)
{
    h->pages = envol_volume_pages(h->f.volume);
    for (uint64_t i = 0; i < h->most; i++)
        note(h, i, h->now[i], true);
}

static void settle(struct history *h)
{
    ck_ok(envol_volume_sync(h->f.volume));
    crash_store_settle(h->crash);
    h->count = 0;
    promise(h);
}

static void expect_to_write(struct history *h, uint64_t first, size_t n)
{
    h->version = h->version % VERSIONS + 1;
    for (uint64_t i = h->pages; i < first; i++)
        note(h, i, HOLE, false);
    for (size_t i = 0; i < n; i++)
        note(h, first + i, h->version, false);
    if (first + n > h->pages)
        h->pages = first + n;
}

/* Consecutive pages in one call; what becomes of it is asserted unless the store is to fail. */
static enum envol_status try_write(struct history *h, uint64_t first, size_t n)
{
    struct volume_fixture *f = &h->f;
    struct envol_page_io ios[PAGES];
    uint8_t *memory = malloc(n * f->page_bytes);
    enum envol_status status;

    ck_assert_ptr_nonnull(memory);
    expect_to_write(h, first, n);
    for (size_t i = 0; i < n; i++) {
        ios[i] = (struct envol_page_io){.page_no = first + i, .page = memory + i * f->page_bytes};
        volume_page_fill(f, first + i, h->version, ios[i].page);
    }
    status = ck_note(envol_page_write_batch(f->volume, ios, n, &f->error));
    free(memory);
    return status;
}

static void write_pages(struct history *h, uint64_t first, size_t n)
{
    ck_assert_int_eq(try_write(h, first, n), ENVOL_OK);
}

static void trim(struct history *h, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        note(h, i, HOLE, false);
    ck_ok(envol_page_trim(h->f.volume, first, n));
}

static void sync_all(struct history *h)
{
    ck_ok(envol_volume_sync(h->f.volume));
    promise(h);
}

static void truncate_to(struct history *h, uint64_t pages)
{
    for (uint64_t i = pages; i < h->pages; i++)
        note(h, i, GONE, false);
    for (uint64_t i = h->pages; i < pages; i++)
        note(h, i, HOLE, false);
    ck_ok(envol_volume_truncate(h->f.volume, pages, &h->f.error));
    promise(h);
}

/* The process ends, the machine goes on: what was written is read, whether it was synced or not. */
static void kill_and_open(struct history *h)
{
    volume_fixture_kill(&h->f);
    volume_fixture_open(&h->f, 0, ENVOL_OK);
    promise(h);
}

/* --- Holding an image against it --- */

/* What a page may be after so many calls. */
struct allowed {
    bool states[256];
    bool is_new; /* it was no page when something was promised of it last */
};

static struct allowed allowed_of(const struct history *h, size_t calls, uint64_t page_no)
{
    struct allowed a = {.states = {[GONE] = true}, .is_new = true};

    for (size_t i = 0; i < h->count && h->events[i].calls <= calls; i++) {
        const struct event *event = &h->events[i];
        if (event->page_no != page_no)
            continue;
        if (event->promised)
            a = (struct allowed){.is_new = event->state == GONE};
        a.states[event->state] = true;
    }
    return a;
}

/* A page that is new, and was never synced, need not be whole yet: GCM makes a hole of it. */
static bool is_allowed(const struct volume_fixture *f, const struct allowed *a, uint64_t page_no,
                       enum envol_status status)
{
    unsigned version;

    if (status == ENVOL_E_RANGE)
        return a->states[GONE];
    if (status == ENVOL_E_UNWRITTEN)
        return a->states[HOLE] || a->is_new;
    if (status != ENVOL_OK)
        return false;
    version = volume_page_version(f, page_no, VERSIONS, f->other);
    if (version >= 1 && version <= VERSIONS && a->states[version])
        return true;
    return !f->gcm && (a->is_new || (a->states[HOLE] && envol_is_zero(f->other, f->page_bytes)));
}

static void check_pages(struct history *h, struct volume_fixture *g, size_t calls,
                        const char *story)
{
    for (uint64_t i = 0; i < h->most; i++) {
        struct allowed a = allowed_of(h, calls, i);
        enum envol_status status = ck_note(envol_page_read(g->volume, i, g->other));
        if (is_allowed(g, &a, i, status))
            continue;
        h->broken++;
        if (h->atomic)
            ck_abort_msg("%s: page %llu: %s, version %u; %s", g->shape->name, (unsigned long long)i,
                         envol_status_name(status), volume_page_version(g, i, VERSIONS, g->other),
                         story);
    }
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
    struct history *h;
    size_t calls; /* of the first history */
};

static void check_again(const struct crash_image *image, void *ctx)
{
    const struct again *again = ctx;
    struct crash_store *crash;
    struct volume_fixture g = open_image(again->h, image, &crash);

    again->h->images++;
    check_pages(again->h, &g, again->calls, image->story);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

/* What was whole in the area stays behind when pages change after the crash. */
static void go_on(struct history *h, struct volume_fixture *g)
{
    uint64_t end = envol_volume_pages(g->volume);

    for (uint64_t i = 0; i < end; i += 2)
        volume_page_put(g, i, VERSIONS);
    ck_ok(envol_volume_sync(g->volume));
    if (end > 1)
        ck_ok(envol_volume_truncate(g->volume, end - 1, &g->error));
    volume_fixture_kill(g);
    volume_fixture_open(g, 0, ENVOL_OK);
    for (uint64_t i = 0; i + 1 < end; i += 2)
        volume_page_expect(g, i, VERSIONS);
    if (h->f.gcm && end > 1)
        volume_page_expect_status(g, end - 1, ENVOL_E_RANGE);
}

static void check_image(const struct crash_image *image, void *ctx)
{
    const struct crash_options coarse = {.sector_bytes = 1 << 20};
    struct history *h = ctx;
    struct again again = {h, image->calls};
    struct crash_store *crash;
    struct volume_fixture g;

    if (++h->images % crash_store_sample(97, 29, 17) != 0)
        return;
    g = open_image(h, image, &crash);
    check_pages(h, &g, image->calls, image->story);
    if (h->images % 100 == 1)
        crash_store_replay(crash, &coarse, check_again, &again);
    if (h->images % 8 == 2)
        go_on(h, &g);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

/* --- Histories --- */

static struct history *history_new(const struct volume_shape *shape, bool atomic, size_t pages)
{
    struct history *h = calloc(1, sizeof(*h));
    struct envol_store *store;
    bool made;

    ck_assert_ptr_nonnull(h);
    h->crash = crash_store_new(NULL, 0, &store);
    h->atomic = atomic;
    made = atomic ? volume_fixture_create_atomic(&h->f, shape, store)
                  : volume_fixture_create_on(&h->f, shape, store);
    if (!made) {
        free(h);
        return NULL;
    }
    if (pages > 0)
        write_pages(h, 0, pages);
    settle(h);
    return h;
}

static void replay(struct history *h, bool coarse)
{
    uint32_t stride = h->f.stride_bytes;
    size_t sector = stride < 4096 ? 512 : stride < 8192 ? 1024 : stride < 16384 ? 4096 : 8192;
    const struct crash_options options = {.sector_bytes = coarse ? 16384 : sector};

    ck_assert_uint_gt(crash_store_replay(h->crash, &options, check_image, h), 5);
}

static void finish(struct history *h)
{
    volume_fixture_free(&h->f);
    free(h);
}

typedef void script(struct history *h);

/* Single pages and runs, over one another; the area is filled twice round. */
static void overwrite(struct history *h)
{
    for (uint64_t i = 0; i < 3; i++) {
        write_pages(h, i, 1);
        write_pages(h, 1, 3);
        write_pages(h, 2, 1);
    }
    sync_all(h);
    write_pages(h, 1, 1);
}

/* More than a slot holds. */
static void overwrite_many(struct history *h)
{
    write_pages(h, 0, h->f.volume->run + 6);
    write_pages(h, h->f.volume->run - 3, 5);
    sync_all(h);
}

/* Pages above the mark, among them the last one. */
static void overwrite_tail(struct history *h)
{
    write_pages(h, 2, 2);
    sync_all(h);
    write_pages(h, 3, 1);
    write_pages(h, 4, 1);
    write_pages(h, 4, 1);
    sync_all(h);
    write_pages(h, 3, 3);
    write_pages(h, 5, 1);
    sync_all(h);
}

static void trim_some(struct history *h)
{
    trim(h, 1, 2);
    write_pages(h, 2, 1);
    trim(h, 0, 4);
    sync_all(h);
    write_pages(h, 3, 2);
    trim(h, 4, 2);
    write_pages(h, 4, 1);
    trim(h, 2, 3);
}

/* What was cut off does not come back from the area. */
static void cut_and_grow(struct history *h)
{
    write_pages(h, 4, 2);
    truncate_to(h, 3);
    truncate_to(h, 5);
    write_pages(h, 4, 2);
    write_pages(h, 4, 1);
    truncate_to(h, 2);
    write_pages(h, 3, 2);
    write_pages(h, 1, 1);
    truncate_to(h, 6);
}

/* Growth beside overwrites, and both in one call. */
static void grow(struct history *h)
{
    write_pages(h, 5, 3);
    write_pages(h, 1, 1);
    write_pages(h, 10, 1);
    write_pages(h, 9, 1);
    sync_all(h);
    write_pages(h, 10, 3);
}

static void close_and_open(struct history *h)
{
    write_pages(h, 0, 2);
    volume_fixture_reopen(&h->f);
    promise(h);
    write_pages(h, 1, 2);
    volume_fixture_reopen(&h->f);
    promise(h);
}

static void die_and_open(struct history *h)
{
    write_pages(h, 0, 2);
    write_pages(h, 1, 1);
    kill_and_open(h);
    write_pages(h, 1, 2);
    kill_and_open(h);
    kill_and_open(h);
    write_pages(h, 0, 1);
    write_pages(h, 0, 1);
}

/* Growth whose sync fails is read after the next open, which counts its pages: then they are there.
 * Under XTS nothing tells a page that is. */
static void fail_and_open(struct history *h)
{
    write_pages(h, 2, 3);
    write_pages(h, 6, 1);
    if (!h->f.gcm)
        sync_all(h);
    crash_store_fail(h->crash, 1, CRASH_FAULT_NOTHING);
    ck_status(envol_volume_sync(h->f.volume), ENVOL_E_IO);
    ck_assert(atomic_load(&h->f.volume->sync_failed));
    kill_and_open(h);
    write_pages(h, 1, 1);
}

static const struct {
    script *run;
    size_t pages; /* at first */
    bool coarse;  /* torn at a few places only */
} scripts[] = {
    {overwrite, 5, false},      {overwrite_many, 72, true}, {overwrite_tail, 2, false},
    {trim_some, 6, false},      {cut_and_grow, 6, false},   {grow, 6, false},
    {close_and_open, 4, false}, {die_and_open, 4, false},   {fail_and_open, 2, false},
};
enum { SCRIPTS = sizeof(scripts) / sizeof(scripts[0]) };

static void run(int shape, int i, bool atomic, unsigned *broken)
{
    struct history *h = history_new(&shapes[shape], atomic, scripts[i].pages);

    if (h == NULL)
        return;
    scripts[i].run(h);
    replay(h, scripts[i].coarse);
    *broken = h->broken;
    finish(h);
}

START_TEST(each_page_old_or_new)
{
    unsigned broken = 0;

    run(_i % SHAPES, _i / SHAPES, true, &broken);
    ck_assert_uint_eq(broken, 0);
}
END_TEST

/* What all this is for: without the feature pages are torn, and this suite sees it. */
START_TEST(torn_without_it)
{
    static const int torn[] = {0, 1, 2, 3, 6, 7}; /* records that are no sector */
    unsigned broken = 1;

    run(torn[_i], 0, false, &broken);
    ck_assert_uint_gt(broken, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("atomic_crash");
    TCase *tcase = tcase_create("atomic_crash");

    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, each_page_old_or_new, 0, SHAPES * SCRIPTS);
    tcase_add_loop_test(tcase, torn_without_it, 0, 6);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
