/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes at any moment of a restore, unsynced writes lost, reordered or torn: the volume is
 * unfinished or whole, it is never taken for the other, and an unfinished one can be gone on with.
 */
#include "backup_fixture.h"
#include "crash_store.h"
#include "header/header.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { TAPES = 3, MOST = 1200 };

/* A restore of full and incremental backups, and when it had come how far. */
struct history {
    struct backup_fixture b;
    struct tape tapes[TAPES], lists[TAPES];
    uint64_t pages;
    uint8_t *content; /* pages of page_bytes, as they are in the end */
    enum envol_status statuses[MOST];
    struct crash_store *crash;
    size_t created, finished; /* calls by then */
    unsigned thin;            /* one of so many images is looked at */
    unsigned images, checked, whole, unfinished, resumed;
};

static bool begin(struct history *h, int shape, int atomic, uint64_t pages)
{
    struct envol_store *store;

    if (!backup_fixture_create(&h->b, &volume_shapes[shape], atomic))
        return false;
    h->crash = crash_store_new(NULL, 0, &store);
    backup_fixture_empty(&h->b, store);
    for (uint64_t i = 0; i < pages; i++)
        if (i % 9 != 4)
            volume_page_put(&h->b.f, i, 1);
    return true;
}

static void take(struct history *h, size_t i)
{
    bool gcm = h->b.f.gcm;

    backup_take(&h->b, &h->tapes[i], i > 0 ? &h->lists[i - 1] : NULL, gcm ? &h->lists[i] : NULL);
}

static void remember(struct history *h)
{
    struct volume_fixture *f = &h->b.f;

    h->pages = envol_volume_pages(f->volume);
    ck_assert_uint_le(h->pages, MOST);
    h->content = calloc((size_t)h->pages, f->page_bytes);
    ck_assert_ptr_nonnull(h->content);
    for (uint64_t i = 0; i < h->pages; i++)
        h->statuses[i] = envol_page_read(f->volume, i, h->content + i * f->page_bytes);
}

static void finish(struct history *h)
{
    for (size_t i = 0; i < TAPES; i++) {
        tape_clear(&h->tapes[i]);
        tape_clear(&h->lists[i]);
    }
    free(h->content);
    backup_fixture_free(&h->b);
    free(h);
}

/* The volume holds what was backed up last. */
static void expect_whole(struct history *h, struct volume_fixture *g, const char *story)
{
    ck_assert_msg(envol_volume_pages(g->volume) == h->pages, "%s: %llu pages; %s", g->shape->name,
                  (unsigned long long)envol_volume_pages(g->volume), story);
    for (uint64_t i = 0; i < h->pages; i++) {
        enum envol_status status = envol_page_read(g->volume, i, g->other);
        ck_assert_msg(status == h->statuses[i] &&
                          memcmp(g->other, h->content + i * g->page_bytes, g->page_bytes) == 0,
                      "%s: page %llu: %s; %s", g->shape->name, (unsigned long long)i,
                      envol_status_name(status), story);
    }
}

/* The tapes that are left, in the store of g. */
static void go_on(struct history *h, struct volume_fixture *g, const char *story)
{
    struct backup_fixture b = h->b;
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_restore *restore;
    size_t next = 0;

    b.g = *g;
    ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_OK);
    ck_assert_int_eq(envol_volume_inspect(g->store, &info, NULL, NULL), ENVOL_OK);
    /* Which was the last whole one the header says. */
    for (size_t i = 0; i < TAPES; i++)
        if (h->tapes[i].count > 0 &&
            memcmp(info.restore_applied, h->tapes[i].bytes + 16, ENVOL_UUID_BYTES) == 0)
            next = i + 1;
    for (; next < TAPES && h->tapes[next].count > 0; next++)
        ck_assert_msg(restore_apply(&b, restore, &h->tapes[next]) == ENVOL_OK, "%s; %s",
                      b.g.error.message, story);
    ck_ok(envol_restore_finish(restore, NULL));
    envol_restore_close(restore);
    volume_fixture_open(g, 0, ENVOL_OK);
    expect_whole(h, g, story);
    volume_fixture_close(g);
    h->resumed++;
}

static void check_image(const struct crash_image *image, void *ctx)
{
    struct history *h = ctx;
    struct volume_fixture g = h->b.g;
    enum envol_status status;

    if (++h->images % (h->thin * crash_store_sample(29, 7, 3)) != 0)
        return;
    h->checked++;
    crash_store_new(image->bytes, image->size, &g.store);
    g.volume = NULL;
    status = envol_volume_open(g.store, &g.cmk, 1, NULL, &g.volume, &g.error);
    if (status == ENVOL_OK) {
        ck_assert_msg(image->calls >= h->created, "%s", image->story);
        expect_whole(h, &g, image->story);
        volume_fixture_close(&g);
        h->whole++;
    } else if (status == ENVOL_E_STATE) {
        ck_assert_msg(h->finished == 0 || image->calls < h->finished, "%s", image->story);
        h->unfinished++;
        if (h->unfinished % 11 == 1)
            go_on(h, &g, image->story);
    } else {
        /* Before there was a volume. */
        ck_assert_msg(image->calls < h->created, "%s; %s", envol_status_name(status), image->story);
    }
    envol_store_close(g.store);
}

static void replay(struct history *h, bool is_finished)
{
    /* Where there are many pages few of the images are looked at, and are not made either. */
    const struct crash_options options = {.sector_bytes = h->thin > 3 ? 1 << 20 : 4096};

    crash_store_replay(h->crash, &options, check_image, h);
    if (test_tool() != NULL)
        return;
    ck_assert_uint_gt(h->unfinished, 5);
    ck_assert_uint_gt(h->resumed, 0);
    ck_assert_int_eq(h->whole > 0, is_finished);
}

/* The header is there once the first backup has begun. */
static int note_created(void *ctx, uint64_t done, uint64_t pages)
{
    struct history *h = ctx;

    (void)done;
    (void)pages;
    if (h->created == 0)
        h->created = crash_store_calls(h->crash);
    return 0;
}

static void restore(struct history *h, bool to_the_end)
{
    const struct envol_restore_options options = {
        .struct_size = sizeof(options), .progress = note_created, .progress_ctx = h};
    struct envol_restore *going;

    ck_ok(envol_restore_begin(h->b.g.store, &h->b.g.cmk, 1, &options, &going, &h->b.g.error));
    for (size_t i = 0; i < TAPES && h->tapes[i].count > 0; i++)
        ck_assert_int_eq(restore_apply(&h->b, going, &h->tapes[i]), ENVOL_OK);
    if (to_the_end)
        ck_ok(envol_restore_finish(going, NULL));
    envol_restore_close(going);
    if (to_the_end)
        h->finished = crash_store_calls(h->crash);
}

/* Those of GCM first. */
static const int shapes[] = {0, 2, 4, 5, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), GCM_SHAPES = 3 };

static struct history *history_new(int i, int count, uint64_t pages)
{
    struct history *h = calloc(1, sizeof(*h));

    ck_assert_ptr_nonnull(h);
    h->thin = 3;
    if (begin(h, shapes[i % count], i >= count, pages))
        return h;
    free(h);
    return NULL;
}

START_TEST(full)
{
    struct history *h = history_new(_i, SHAPES, 40);

    if (h == NULL)
        return;
    take(h, 0);
    remember(h);
    restore(h, true);
    replay(h, true);
    finish(h);
}
END_TEST

/* More than one window of growth, so that the mark moves in the middle. */
START_TEST(long_enough_for_the_mark_to_move)
{
    struct history *h = history_new(0, SHAPES, 1100);

    if (h == NULL)
        return;
    h->thin = 5;
    take(h, 0);
    remember(h);
    restore(h, true);
    replay(h, true);
    finish(h);
}
END_TEST

START_TEST(incrementals)
{
    struct history *h = history_new(_i, GCM_SHAPES, 30);

    if (h == NULL)
        return;
    take(h, 0);
    volume_page_put(&h->b.f, 3, 2);
    ck_ok(envol_page_trim(h->b.f.volume, 10, 3));
    volume_page_put(&h->b.f, 40, 2);
    take(h, 1);
    ck_ok(envol_volume_truncate(h->b.f.volume, 20, NULL));
    volume_page_put(&h->b.f, 19, 3);
    take(h, 2);
    remember(h);
    restore(h, _i % 2 == 0);
    replay(h, _i % 2 == 0);
    finish(h);
}
END_TEST

/* A failure of any call of the store, and then the same stream again. */
static void fail_and_repeat(struct history *h, unsigned nth, enum crash_fault fault, bool *failed)
{
    struct backup_fixture *b = &h->b;
    struct envol_store *store;
    struct crash_store *crash = crash_store_new(NULL, 0, &store);
    struct envol_restore *going;
    enum envol_status status;

    backup_fixture_empty(b, store);
    crash_store_fail(crash, nth, fault);
    status = restore_begin(b, &going);
    if (status == ENVOL_OK)
        status = restore_apply(b, going, &h->tapes[0]);
    if (status == ENVOL_OK)
        status = ck_note(envol_restore_finish(going, &b->g.error));
    envol_restore_close(going);
    *failed = crash_store_failed(crash) != 0;
    crash_store_fail(crash, 0, fault);
    if (status != ENVOL_OK) {
        ck_assert(*failed);
        status = envol_volume_open(store, &b->g.cmk, 1, NULL, &b->g.volume, &b->g.error);
        if (status == ENVOL_E_STATE)
            go_on(h, &b->g, "after a fault");
        else /* no volume; or the last step failed, and yet was done */
            ck_assert(status == ENVOL_OK || status == ENVOL_E_FORMAT);
    } else {
        volume_fixture_open(&b->g, 0, ENVOL_OK);
    }
    if (b->g.volume != NULL)
        expect_whole(h, &b->g, "after a fault");
}

START_TEST(each_call_fails)
{
    struct history *h = history_new(_i, SHAPES, 40);
    bool failed = true;

    if (h == NULL)
        return;
    take(h, 0);
    remember(h);
    for (unsigned nth = 1; failed; nth += crash_store_sample(7, 3, 1)) {
        fail_and_repeat(h, nth, CRASH_FAULT_NOTHING, &failed);
        if (failed)
            fail_and_repeat(h, nth, CRASH_FAULT_HALF, &failed);
    }
    finish(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restore_crash");
    TCase *tcase = tcase_create("crash");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, full, 0, 2 * SHAPES);
    tcase_add_test(tcase, long_enough_for_the_mark_to_move);
    tcase_add_loop_test(tcase, incrementals, 0, 2 * GCM_SHAPES);
    tcase_add_loop_test(tcase, each_call_fails, 0, 2 * SHAPES);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
