/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rotation beside four threads that read, write, grow, trim, cut and sync: each page holds what
 * was written to it last; and with a store that fails at each of its calls.
 */
#include "base/memory.h"
#include "header/header.h"
#include "support.h"
#include "volume/journal.h"
#include "volume/rotation.h"
#include "volume_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, PAGES = 96, VERSIONS = 200 };

struct worker {
    struct volume_fixture *f;
    atomic_bool *stop;
    unsigned number, seed;
    unsigned versions[PAGES]; /* of its own pages */
    uint64_t rounds;
    uint8_t *page, *other;
    char complaint[160];
};

static void complain(struct worker *w, const char *what, uint64_t page_no, enum envol_status status)
{
    if (w->complaint[0] == '\0')
        snprintf(w->complaint, sizeof(w->complaint), "thread %u: %s of page %llu: %s", w->number,
                 what, (unsigned long long)page_no, envol_status_name(status));
}

static uint64_t pick(struct worker *w)
{
    return (uint64_t)rand_r(&w->seed) % (PAGES / THREADS) * THREADS + w->number;
}

static void write_own(struct worker *w, uint64_t page_no)
{
    unsigned version = w->versions[page_no] % VERSIONS + 1;
    enum envol_status status;

    volume_page_fill(w->f, page_no, version, w->page);
    status = ck_note(envol_page_write(w->f->volume, page_no, w->page));
    if (status != ENVOL_OK)
        complain(w, "write", page_no, status);
    w->versions[page_no] = version;
}

static void trim_own(struct worker *w, uint64_t page_no)
{
    enum envol_status status = ck_note(envol_page_trim(w->f->volume, page_no, 1));

    if (status == ENVOL_OK)
        w->versions[page_no] = 0;
    else if (status != ENVOL_E_RANGE)
        complain(w, "trim", page_no, status);
}

static void read_own(struct worker *w, uint64_t page_no)
{
    unsigned version = w->versions[page_no];
    enum envol_status status = ck_note(envol_page_read(w->f->volume, page_no, w->other));

    if (version == 0 && (status == ENVOL_E_UNWRITTEN || status == ENVOL_E_RANGE))
        return;
    if (version == 0 && !w->f->gcm && status == ENVOL_OK &&
        envol_is_zero(w->other, w->f->page_bytes))
        return;
    volume_page_fill(w->f, page_no, version, w->page);
    if (status != ENVOL_OK || memcmp(w->page, w->other, w->f->page_bytes) != 0)
        complain(w, "read", page_no, status);
}

static void read_others(struct worker *w, uint64_t page_no)
{
    enum envol_status status = ck_note(envol_page_read(w->f->volume, page_no, w->other));

    if (status == ENVOL_E_UNWRITTEN || status == ENVOL_E_RANGE)
        return;
    if (status != ENVOL_OK)
        complain(w, "read of another's", page_no, status);
    else if (w->f->gcm && volume_page_version(w->f, page_no, VERSIONS, w->other) > VERSIONS)
        complain(w, "a mixture", page_no, status);
}

static void *work(void *argument)
{
    struct worker *w = argument;

    for (; !atomic_load(w->stop) && w->complaint[0] == '\0'; w->rounds++) {
        uint64_t page_no = pick(w);
        unsigned what = (unsigned)rand_r(&w->seed) % 16;
        if (what < 6)
            write_own(w, page_no);
        else if (what < 10)
            read_own(w, page_no);
        else if (what < 13)
            read_others(w, (page_no + 1) % PAGES);
        else if (what < 14)
            trim_own(w, page_no);
        else if (what == 14 && ck_note(envol_volume_sync(w->f->volume)) != ENVOL_OK)
            complain(w, "sync", page_no, ENVOL_E_IO);
    }
    return NULL;
}

struct crew {
    struct volume_fixture f;
    atomic_bool stop;
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
};

static void crew_start(struct crew *c)
{
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *w = &c->workers[i];
        w->f = &c->f;
        w->stop = &c->stop;
        w->number = i;
        w->seed = (unsigned)test_random();
        w->page = malloc(c->f.page_bytes);
        w->other = malloc(c->f.page_bytes);
        ck_assert(w->page != NULL && w->other != NULL);
        ck_assert_int_eq(pthread_create(&c->threads[i], NULL, work, w), 0);
    }
}

static void crew_stop(struct crew *c)
{
    atomic_store(&c->stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(c->threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++)
        if (c->workers[i].complaint[0] != '\0')
            ck_abort_msg("%s", c->workers[i].complaint);
}

static void crew_check(struct crew *c)
{
    for (uint64_t p = 0; p < PAGES; p++)
        read_own(&c->workers[p % THREADS], p);
    for (unsigned i = 0; i < THREADS; i++)
        if (c->workers[i].complaint[0] != '\0')
            ck_abort_msg("%s", c->workers[i].complaint);
}

static void rotate(struct crew *c)
{
    struct envol_rotation r = {.struct_size = sizeof(r)};

    ck_ok(envol_volume_rotate_begin(c->f.volume, &c->f.cmk, 1, 0, NULL, &c->f.error));
    do
        ck_ok(envol_volume_rotate_step(c->f.volume, 5, &r, &c->f.error));
    while (r.state != ENVOL_ROTATION_SWEPT);
    ck_assert_uint_eq(r.bad, 0);
    ck_ok(envol_volume_rotate_finish(c->f.volume, 0, &c->f.error));
}

static const int shapes[] = {0, 1, 4, 5, 6, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

START_TEST(beside_four_threads)
{
    struct crew *c = calloc(1, sizeof(*c));
    int rounds = test_tool() == NULL ? 12 : 3;

    ck_assert_ptr_nonnull(c);
    if (!volume_fixture_create(&c->f, &volume_shapes[shapes[_i]])) {
        free(c);
        return;
    }
    volume_page_put(&c->f, 0, 1);
    c->workers[0].versions[0] = 1;
    crew_start(c);
    for (int i = 0; i < rounds; i++)
        rotate(c);
    crew_stop(c);
    crew_check(c);
    volume_fixture_reopen(&c->f);
    crew_check(c);
    ck_assert_uint_eq(volume_info_of(&c->f).header.epoch, (unsigned)rounds + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        free(c->workers[i].page);
        free(c->workers[i].other);
    }
    volume_fixture_free(&c->f);
    free(c);
}
END_TEST

/* --- Cutting and growing beside it --- */

START_TEST(cut_and_grown)
{
    struct volume_fixture f;
    struct envol_rotation r = {.struct_size = sizeof(r)};

    if (!volume_fixture_create(&f, &volume_shapes[shapes[_i]]))
        return;
    for (uint64_t p = 0; p < 40; p++)
        volume_page_put(&f, p, 1);
    ck_ok(envol_volume_rotate_begin(f.volume, &f.cmk, 1, 0, NULL, &f.error));
    ck_ok(envol_volume_rotate_step(f.volume, 20, &r, &f.error));
    ck_ok(envol_volume_truncate(f.volume, 12, &f.error));
    ck_ok(envol_volume_truncate(f.volume, 16, &f.error));
    volume_page_put(&f, 18, 2);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_ge(envol_volume_pages(f.volume), 16);
    for (uint64_t p = 0; p < 12; p++)
        volume_page_expect(&f, p, 1);
    volume_page_put(&f, 30, 3);
    ck_ok(envol_volume_rotate_step(f.volume, 10, &r, &f.error));
    ck_ok(envol_volume_truncate(f.volume, 50, &f.error));
    volume_page_put(&f, 45, 4);
    ck_ok(envol_volume_rotate_run(f.volume, 0, NULL, NULL, &r, &f.error));
    ck_assert_uint_eq(r.bad, 0);
    ck_ok(envol_volume_truncate(f.volume, 46, &f.error));
    ck_ok(envol_volume_truncate(f.volume, 48, &f.error));
    volume_page_put(&f, 60, 5);
    volume_fixture_reopen(&f);
    ck_ok(envol_volume_rotate_finish(f.volume, 0, &f.error));
    volume_fixture_reopen(&f);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 61);
    for (uint64_t p = 0; p < 12; p++)
        volume_page_expect(&f, p, 1);
    volume_page_expect(&f, 30, 3);
    volume_page_expect(&f, 45, 4);
    volume_page_expect(&f, 60, 5);
    if (f.gcm || f.shape->sparse)
        volume_page_expect_status(&f, 47, ENVOL_E_UNWRITTEN);
    volume_fixture_free(&f);
}
END_TEST

/* --- Steps beside beginnings and ends --- */

struct stepper {
    struct volume_fixture *f;
    atomic_bool stop;
    enum envol_status status; /* the first that is not one of those to expect */
};

static void *step_on_and_on(void *argument)
{
    struct stepper *stepper = argument;

    while (!atomic_load(&stepper->stop) && stepper->status == ENVOL_OK) {
        struct envol_rotation r = {.struct_size = sizeof(r)};
        enum envol_status status =
            ck_note(envol_volume_rotate_step(stepper->f->volume, 3, &r, NULL));
        if (status != ENVOL_E_STATE) /* between two rotations */
            stepper->status = status;
    }
    return NULL;
}

/* What a step shows is of the header that there is. */
START_TEST(steps_beside_beginnings)
{
    struct volume_fixture f;
    struct stepper stepper = {.f = &f};
    pthread_t thread;

    if (!volume_fixture_create(&f, &volume_shapes[_i == 1 ? 5 : 0]))
        return;
    for (uint64_t p = 0; p < 20; p++)
        volume_page_put(&f, p, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, step_on_and_on, &stepper), 0);
    for (unsigned i = 0; i < 20; i++) {
        ck_ok(envol_volume_rotate_begin(f.volume, &f.cmk, 1, 0, NULL, &f.error));
        ck_ok(envol_volume_rotate_run(f.volume, 0, NULL, NULL, NULL, &f.error));
        ck_ok(envol_volume_rotate_finish(f.volume, 0, &f.error));
    }
    atomic_store(&stepper.stop, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(stepper.status, ENVOL_OK);
    for (uint64_t p = 0; p < 20; p++)
        volume_page_expect(&f, p, 1);
    volume_fixture_free(&f);
}
END_TEST

/* --- A store that fails --- */

static enum envol_status try_all(struct volume_fixture *f)
{
    struct envol_rotation r = {.struct_size = sizeof(r)};
    enum envol_status status;

    ck_ok(envol_volume_rotate_status(f->volume, &r));
    if (r.state == ENVOL_ROTATION_NONE) {
        status = ck_note(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
        if (status != ENVOL_OK)
            return status;
    }
    status = ck_note(envol_volume_rotate_step(f->volume, 7, NULL, &f->error));
    if (status != ENVOL_OK)
        return status;
    status = ck_note(envol_volume_rotate_run(f->volume, 0, NULL, NULL, NULL, &f->error));
    if (status != ENVOL_OK)
        return status;
    return ck_note(envol_volume_rotate_finish(f->volume, 0, &f->error));
}

/* Pages that a failed write left torn under GCM are written again by the next step. */
static void expect_all(struct volume_fixture *f, unsigned nth)
{
    for (uint64_t p = 0; p < 20; p++) {
        enum envol_status status = ck_note(envol_page_read(f->volume, p, f->other));
        if (status != ENVOL_OK || volume_page_version(f, p, 1, f->other) != 1)
            ck_abort_msg("%s, call %u: page %llu: %s", f->shape->name, nth, (unsigned long long)p,
                         envol_status_name(status));
    }
}

static void fail_each(int shape, enum watched_call call)
{
    for (unsigned nth = 1;; nth++) {
        struct volume_fixture f;
        enum envol_status status;
        if (!volume_fixture_create(&f, &volume_shapes[shape]))
            return;
        for (uint64_t p = 0; p < 20; p++)
            volume_page_put(&f, p, 1);
        ck_ok(envol_volume_sync(f.volume));
        watched_fail(f.watched, call, nth, ENVOL_E_IO);
        status = try_all(&f);
        watched_fail(f.watched, call, 0, ENVOL_OK);
        if (nth % 2 == 0 || call == WATCHED_SYNC) {
            volume_fixture_kill(&f);
            volume_fixture_open(&f, 0, ENVOL_OK);
        }
        if (status != ENVOL_OK) {
            if (call != WATCHED_READ)
                ck_assert_int_eq(status, ENVOL_E_IO);
            ck_assert_int_eq(try_all(&f), ENVOL_OK);
        }
        expect_all(&f, nth);
        volume_fixture_reopen(&f);
        expect_all(&f, nth);
        ck_assert_uint_ge(volume_info_of(&f).header.epoch, 2);
        volume_fixture_free(&f);
        if (status == ENVOL_OK && nth > 40)
            return;
    }
}

START_TEST(each_call_fails)
{
    static const enum watched_call failing[] = {WATCHED_READ, WATCHED_WRITE,  WATCHED_SYNC,
                                                WATCHED_LOCK, WATCHED_RESIZE, WATCHED_SIZE};

    fail_each(_i % 2 == 0 ? 0 : 5, failing[_i / 2]);
}
END_TEST

/* --- Journals of an XTS rotation --- */

/* A rotation that fails in the middle of writing pages 3 to 7, and the process then ends. */
static bool interrupt(struct volume_fixture *f)
{
    if (!volume_fixture_create(f, &volume_shapes[5]))
        return false;
    for (uint64_t p = 0; p < 20; p++)
        volume_page_put(f, p, 1);
    ck_ok(envol_volume_sync(f->volume));
    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
    ck_ok(envol_volume_rotate_step(f->volume, 3, NULL, &f->error));
    /* Journal, two copies of the header, pages. */
    watched_fail(f->watched, WATCHED_WRITE, 4, ENVOL_E_IO);
    ck_status(envol_volume_rotate_step(f->volume, 5, NULL, &f->error), ENVOL_E_IO);
    return true;
}

/* In the process that it happened in: that run is out of reach until the step is repeated. */
START_TEST(a_run_is_stuck)
{
    struct volume_fixture f;

    if (!interrupt(&f))
        return;
    volume_page_expect(&f, 2, 1);
    volume_page_expect(&f, 8, 1);
    volume_page_expect_status(&f, 4, ENVOL_E_IO);
    volume_page_fill(&f, 4, 2, f.page);
    ck_status(envol_page_write(f.volume, 4, f.page), ENVOL_E_IO);
    ck_status(envol_page_write(f.volume, 25, f.page), ENVOL_E_IO);
    ck_status(envol_page_trim(f.volume, 4, 2), ENVOL_E_IO);
    ck_status(envol_volume_truncate(f.volume, 10, &f.error), ENVOL_E_IO);
    volume_page_put(&f, 9, 2);
    ck_ok(envol_volume_sync(f.volume));
    ck_ok(envol_volume_rotate_step(f.volume, 1, NULL, &f.error));
    volume_page_expect(&f, 4, 1);
    volume_page_put(&f, 25, 1);
    ck_ok(envol_volume_rotate_run(f.volume, 0, NULL, NULL, NULL, &f.error));
    ck_ok(envol_volume_rotate_finish(f.volume, 0, &f.error));
    volume_fixture_reopen(&f);
    for (uint64_t p = 0; p < 20; p++)
        volume_page_expect(&f, p, p == 9 ? 2 : 1);
    volume_fixture_free(&f);
}
END_TEST

static void flip(struct volume_fixture *f, uint64_t at)
{
    uint8_t byte;

    volume_store_get(f->store, at, &byte, 1);
    byte ^= 0x10;
    volume_store_put(f->store, at, &byte, 1);
}

/* Nothing of a journal that is not the one is used; with the right one all is there. */
START_TEST(a_journal_is_forged)
{
    struct volume_fixture f;
    uint64_t journal, bytes, size;
    uint8_t *before, *after, *whole;

    if (!interrupt(&f))
        return;
    journal = volume_record_at(&f, 20);
    bytes = envol_chunked_bytes(5 * f.stride_bytes); /* zeros follow it */
    volume_fixture_kill(&f);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_E_STATE);
    size = volume_store_bytes(f.store);
    before = malloc((size_t)size);
    after = malloc((size_t)size);
    whole = malloc((size_t)bytes);
    ck_assert(before != NULL && after != NULL && whole != NULL);
    for (uint64_t at = 0; at < bytes; at += at < 60 ? 1 : 97) {
        flip(&f, journal + at);
        volume_store_get(f.store, 0, before, (size_t)size);
        volume_fixture_open(&f, 0, ENVOL_E_CORRUPT);
        volume_store_get(f.store, 0, after, (size_t)size);
        ck_assert_mem_eq(before, after, (size_t)size);
        flip(&f, journal + at);
    }
    /* Cut off, and put back. */
    volume_store_get(f.store, journal, whole, (size_t)bytes);
    ck_assert_int_eq(envol_store_resize(f.store, journal + bytes / 2, NULL), ENVOL_OK);
    volume_fixture_open(&f, 0, ENVOL_E_CORRUPT);
    ck_assert_uint_eq(volume_store_bytes(f.store), journal + bytes / 2);
    volume_store_put(f.store, journal, whole, (size_t)bytes);
    volume_fixture_open(&f, 0, ENVOL_OK);
    for (uint64_t p = 0; p < 20; p++)
        volume_page_expect(&f, p, 1);
    ck_ok(envol_volume_rotate_run(f.volume, 0, NULL, NULL, NULL, &f.error));
    ck_ok(envol_volume_rotate_finish(f.volume, 0, &f.error));
    for (uint64_t p = 0; p < 20; p++)
        volume_page_expect(&f, p, 1);
    free(before);
    free(after);
    free(whole);
    volume_fixture_free(&f);
}
END_TEST

/* A device of a fixed size has no room for one. */
START_TEST(a_store_that_cannot_grow)
{
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i == 1 ? 5 : 0]))
        return;
    for (uint64_t p = 0; p < 20; p++)
        volume_page_put(&f, p, 1);
    ck_ok(envol_volume_sync(f.volume));
    watched_fix_size(f.watched);
    ck_status(envol_volume_rotate_begin(f.volume, &f.cmk, 1, 0, NULL, &f.error),
              _i == 1 ? ENVOL_E_UNSUPPORTED : ENVOL_OK);
    if (_i == 0) {
        ck_ok(envol_volume_rotate_run(f.volume, 0, NULL, NULL, NULL, &f.error));
        ck_ok(envol_volume_rotate_finish(f.volume, 0, &f.error));
    }
    volume_fixture_reopen(&f);
    for (uint64_t p = 0; p < 20; p++)
        volume_page_expect(&f, p, 1);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate threads");
    TCase *threads = tcase_create("threads");
    TCase *store = tcase_create("store");

    tcase_set_timeout(threads, 240);
    tcase_add_loop_test(threads, beside_four_threads, 0, SHAPES);
    tcase_add_loop_test(threads, cut_and_grown, 0, SHAPES);
    tcase_add_loop_test(threads, steps_beside_beginnings, 0, 2);
    suite_add_tcase(s, threads);
    tcase_set_timeout(store, 240);
    tcase_add_loop_test(store, each_call_fails, 0, 12);
    tcase_add_test(store, a_run_is_stuck);
    tcase_add_test(store, a_journal_is_forged);
    tcase_add_loop_test(store, a_store_that_cannot_grow, 0, 2);
    suite_add_tcase(s, store);
    return s;
}

int main(void)
{
    return test_run(suite());
}
