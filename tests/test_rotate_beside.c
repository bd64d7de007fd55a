/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page I/O beside one run of an XTS sweep, with the store halted in each of its writes and syncs:
 * who reads does not wait for them, who writes does, and each gets what it should.
 */
#include "support.h"
#include "volume_fixture.h"

#include <envol/rotate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGES = 20, SWEPT = 3, RUN = 8, BATCH = 12 };

/* A call in a thread of its own. */
struct call {
    struct volume_fixture *f;
    pthread_t thread;
    uint64_t page_no;
    uint8_t *pages;
    enum envol_status status;
    _Atomic bool done;
};

static void *step(void *argument)
{
    struct call *c = argument;

    c->status = ck_note(envol_volume_rotate_step(c->f->volume, RUN, NULL, NULL));
    atomic_store(&c->done, true);
    return NULL;
}

static void *write_page(void *argument)
{
    struct call *c = argument;

    volume_page_fill(c->f, c->page_no, 2, c->pages);
    c->status = ck_note(envol_page_write(c->f->volume, c->page_no, c->pages));
    atomic_store(&c->done, true);
    return NULL;
}

static enum envol_status read_batch(struct volume_fixture *f, uint64_t first, uint8_t *pages)
{
    struct envol_page_io ios[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        ios[i] =
            (struct envol_page_io){.page_no = first + i, .page = pages + (size_t)i * f->page_bytes};
    return ck_note(envol_page_read_batch(f->volume, ios, BATCH, NULL));
}

static void *read_pages(void *argument)
{
    struct call *c = argument;

    c->status = read_batch(c->f, c->page_no, c->pages);
    atomic_store(&c->done, true);
    return NULL;
}

static void start(struct call *c, struct volume_fixture *f, void *(*what)(void *), uint64_t page_no)
{
    *c = (struct call){.f = f, .page_no = page_no};
    c->pages = malloc((size_t)BATCH * f->page_bytes);
    ck_assert_ptr_nonnull(c->pages);
    ck_assert_int_eq(pthread_create(&c->thread, NULL, what, c), 0);
}

static void end(struct call *c, enum envol_status expected)
{
    pthread_join(c->thread, NULL);
    free(c->pages);
    ck_assert_int_eq(c->status, expected);
}

/* Long enough for what does not wait to be done. */
static bool waits(const struct call *c)
{
    const struct timespec pause = {.tv_nsec = 30000000};

    (void)nanosleep(&pause, NULL);
    return !atomic_load(&c->done);
}

/* --- A volume with a rotation that has come to page SWEPT --- */

/* XTS, with a hole in the run of the sparse one, and one with a double-write area. */
static const int shapes[] = {5, 6, 8, 5};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), ATOMIC = 3, HOLE = 6 };

static bool begin(struct volume_fixture *f, int which)
{
    const struct volume_shape *shape = &volume_shapes[shapes[which]];
    struct envol_store *store;
    struct watched_store *watched = watched_store_new(&store);

    if (!(which == ATOMIC ? volume_fixture_create_atomic(f, shape, store)
                          : volume_fixture_create_on(f, shape, store)))
        return false;
    f->watched = watched;
    for (uint64_t p = 0; p < PAGES; p++)
        volume_page_put(f, p, 1);
    if (shape->sparse)
        ck_ok(envol_page_trim(f->volume, HOLE, 1));
    ck_ok(envol_volume_sync(f->volume));
    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
    ck_ok(envol_volume_rotate_step(f->volume, SWEPT, NULL, &f->error));
    return true;
}

static void expect(struct volume_fixture *f, uint64_t page_no)
{
    if (f->shape->sparse && page_no == HOLE)
        volume_page_expect_status(f, page_no, ENVOL_E_UNWRITTEN);
    else
        volume_page_expect(f, page_no, 1);
}

static void expect_batch(struct volume_fixture *f, uint64_t first, const uint8_t *pages)
{
    for (unsigned i = 0; i < BATCH; i++)
        if (!f->shape->sparse || first + i != HOLE)
            ck_assert_uint_eq(
                volume_page_version(f, first + i, 2, pages + (size_t)i * f->page_bytes), 1);
}

/* Each page alone, and the run with what is before and after it. */
static void expect_all(struct volume_fixture *f)
{
    uint8_t *pages = malloc((size_t)BATCH * f->page_bytes);
    enum envol_status expected = f->shape->sparse ? ENVOL_E_UNWRITTEN : ENVOL_OK;

    ck_assert_ptr_nonnull(pages);
    for (uint64_t p = 0; p < PAGES; p++)
        expect(f, p);
    for (uint64_t first = 0; first <= HOLE; first++) {
        ck_assert_int_eq(read_batch(f, first, pages), expected);
        expect_batch(f, first, pages);
    }
    free(pages);
}

/* Rotated to its end, the volume holds what was written. */
static void finish(struct volume_fixture *f, uint64_t written)
{
    ck_ok(envol_volume_rotate_run(f->volume, 0, NULL, NULL, NULL, &f->error));
    ck_ok(envol_volume_rotate_finish(f->volume, 0, &f->error));
    for (int i = 0; i < 2; i++) {
        for (uint64_t p = 0; p < PAGES; p++)
            if (p != written)
                expect(f, p);
        volume_page_expect(f, written, 2);
        volume_fixture_reopen(f);
    }
}

/* --- Halted in each call --- */

/* Reads and writes while the nth call of a kind is halted; false: the step had none. */
static bool halted_in(int which, enum watched_call kind, unsigned nth, uint64_t written)
{
    struct volume_fixture f;
    struct call sweep, writer;
    bool is_there;

    if (!begin(&f, which))
        return false;
    watched_halt(f.watched, kind, nth);
    start(&sweep, &f, step, 0);
    is_there = watched_await_halt(f.watched, kind, &sweep.done);
    if (is_there) {
        expect_all(&f);
        start(&writer, &f, write_page, written);
        ck_assert_msg(waits(&writer), "%s: %u of %d: a write into the run", f.shape->name, nth,
                      kind);
        expect_all(&f);
        volume_page_put(&f, 0, 1);
        volume_page_put(&f, SWEPT + RUN, 1);
    }
    watched_go_on(f.watched, kind);
    end(&sweep, ENVOL_OK);
    if (is_there) {
        end(&writer, ENVOL_OK);
        finish(&f, written);
    }
    volume_fixture_free(&f);
    return is_there;
}

/* Journal, two copies of the header, the run, two copies again: each with its sync. */
START_TEST(reads_do_not_wait)
{
    unsigned writes = 1, syncs = 1;

    while (halted_in(_i, WATCHED_WRITE, writes, SWEPT + (writes % 2) * (RUN - 1)))
        writes++;
    while (halted_in(_i, WATCHED_SYNC, syncs, SWEPT + 1))
        syncs++;
    if (writes > 1 || syncs > 1) {
        ck_assert_uint_gt(writes, 6);
        ck_assert_uint_gt(syncs, 6);
    }
}
END_TEST

/* --- Readers that take their time --- */

/* One that is at the store, with records as they were: the run is not written before it has gone.
 */
START_TEST(a_reader_at_the_store)
{
    struct volume_fixture f;
    struct call sweep, reader;
    unsigned writes;

    if (!begin(&f, _i))
        return;
    watched_halt(f.watched, WATCHED_READ, 1);
    start(&reader, &f, read_pages, SWEPT - 2);
    ck_assert(watched_await_halt(f.watched, WATCHED_READ, &reader.done));
    volume_page_put(&f, PAGES - 1, 1); /* an area has nothing to write for the sweep then */
    writes = watched_calls(f.watched, WATCHED_WRITE);
    start(&sweep, &f, step, 0);
    ck_assert(waits(&sweep));
    if (_i != ATOMIC)
        ck_assert_uint_eq(watched_calls(f.watched, WATCHED_WRITE), writes);
    expect(&f, SWEPT + 1);
    watched_go_on(f.watched, WATCHED_READ);
    pthread_join(reader.thread, NULL);
    expect_batch(&f, SWEPT - 2, reader.pages);
    free(reader.pages);
    end(&sweep, ENVOL_OK);
    expect_all(&f);
    volume_fixture_free(&f);
}
END_TEST

/* One that is given a copy: its memory is used for nothing else before it has gone, be the run done
 * or half-way. */
static void read_copy(int which, bool fails)
{
    struct volume_fixture f;
    struct call sweep, reader;

    if (!begin(&f, which))
        return;
    watched_halt(f.watched, WATCHED_SYNC, 4);
    start(&sweep, &f, step, 0);
    ck_assert(watched_await_halt(f.watched, WATCHED_SYNC, &sweep.done));
    watched_halt(f.watched, WATCHED_READ, 1);
    start(&reader, &f, read_pages, SWEPT - 2);
    ck_assert(watched_await_halt(f.watched, WATCHED_READ, &reader.done));
    if (fails)
        watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    watched_go_on(f.watched, WATCHED_SYNC);
    ck_assert(waits(&sweep));
    watched_go_on(f.watched, WATCHED_READ);
    pthread_join(reader.thread, NULL);
    expect_batch(&f, SWEPT - 2, reader.pages);
    free(reader.pages);
    end(&sweep, fails ? ENVOL_E_IO : ENVOL_OK);
    if (fails) {
        volume_page_expect_status(&f, SWEPT, ENVOL_E_IO);
        ck_ok(envol_volume_rotate_step(f.volume, 1, NULL, &f.error));
    }
    expect_all(&f);
    volume_page_put(&f, SWEPT + 2, 2);
    finish(&f, SWEPT + 2);
    volume_fixture_free(&f);
}

START_TEST(a_reader_of_the_copy)
{
    read_copy(_i / 2, _i % 2 == 1);
}
END_TEST

/* --- Growth that a step lets in before it fails --- */

struct failure {
    enum watched_call kind;
    unsigned nth; /* after the journal was written */
    enum envol_status growth;
};

/* The header: a growing call writes it again itself.  The run: its journal is where growth would
 * go.  A sync that failed: no header can be written any more. */
static const struct failure failures[] = {
    {WATCHED_WRITE, 1, ENVOL_OK},  {WATCHED_WRITE, 2, ENVOL_OK},  {WATCHED_WRITE, 3, ENVOL_E_IO},
    {WATCHED_WRITE, 4, ENVOL_OK},  {WATCHED_WRITE, 5, ENVOL_OK},  {WATCHED_SYNC, 2, ENVOL_E_IO},
    {WATCHED_SYNC, 3, ENVOL_E_IO}, {WATCHED_SYNC, 4, ENVOL_E_IO}, {WATCHED_SYNC, 5, ENVOL_E_IO},
};
enum { FAILURES = sizeof(failures) / sizeof(failures[0]) };

/* A write beyond the end that waits for a step that then fails; false: no kernel. */
static bool grow_beside(struct volume_fixture *f, int which, const struct failure *failure,
                        uint64_t page_no)
{
    struct call sweep, writer;
    unsigned nth = failure->nth;

    if (!begin(f, which))
        return false;
    if (f->shape->sparse && failure->kind == WATCHED_WRITE && nth > 3)
        nth++; /* a run with a hole is written in two pieces */
    watched_halt(f->watched, WATCHED_WRITE, 1);
    start(&sweep, f, step, 0);
    ck_assert(watched_await_halt(f->watched, WATCHED_WRITE, &sweep.done));
    start(&writer, f, write_page, page_no);
    ck_assert(waits(&writer));
    watched_fail(f->watched, failure->kind, nth, ENVOL_E_IO);
    watched_go_on(f->watched, WATCHED_WRITE);
    end(&sweep, ENVOL_E_IO);
    end(&writer, failure->growth);
    return true;
}

static void expect_grown(struct volume_fixture *f, const struct failure *failure, uint64_t page_no)
{
    for (uint64_t p = 0; p < PAGES; p++)
        expect(f, p);
    if (failure->growth == ENVOL_OK)
        volume_page_expect(f, page_no, 2);
    else
        volume_page_expect_status(f, page_no, ENVOL_E_RANGE);
}

/* In the process that it happened in, and in the next one. */
START_TEST(growth_beside_a_failing_step)
{
    const struct failure *failure = &failures[_i / SHAPES];
    uint64_t page_no = (_i + _i / SHAPES) % 2 == 0 ? PAGES : PAGES + 3;
    struct volume_fixture f;

    if (grow_beside(&f, _i % SHAPES, failure, page_no)) {
        if (failure->kind != WATCHED_SYNC)
            ck_ok(envol_volume_sync(f.volume));
        volume_fixture_kill(&f);
        volume_fixture_open(&f, 0, ENVOL_OK);
        expect_grown(&f, failure, page_no);
        volume_page_put(&f, page_no, 2);
        finish(&f, page_no);
        volume_fixture_free(&f);
    }
    if (failure->kind != WATCHED_SYNC && grow_beside(&f, _i % SHAPES, failure, page_no)) {
        ck_ok(envol_volume_rotate_step(f.volume, 1, NULL, &f.error));
        expect_grown(&f, failure, page_no);
        volume_page_put(&f, page_no, 2);
        finish(&f, page_no);
        volume_fixture_free(&f);
    }
}
END_TEST

/* The end of the store is to be cut off, and the header on disk, which cannot be written, names the
 * journal that lies there. */
START_TEST(a_journal_is_not_cut_off)
{
    struct volume_fixture f;
    struct envol_volume *volume;

    if (!begin(&f, _i))
        return;
    volume_page_fill(&f, PAGES, 2, f.page);
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_write(f.volume, PAGES, f.page), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_WRITE, 3, ENVOL_E_IO);
    ck_status(envol_volume_rotate_step(f.volume, RUN, NULL, &f.error), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    volume = f.volume;
    f.volume = NULL;
    ck_status(envol_volume_close(volume), ENVOL_E_BUSY);
    volume_fixture_open(&f, 0, ENVOL_OK);
    for (uint64_t p = 0; p < PAGES; p++)
        expect(&f, p);
    volume_page_put(&f, PAGES, 2);
    finish(&f, PAGES);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate beside");
    TCase *halts = tcase_create("halts");
    TCase *growth = tcase_create("growth");

    tcase_set_timeout(halts, 60);
    tcase_add_loop_test(halts, reads_do_not_wait, 0, SHAPES);
    tcase_add_loop_test(halts, a_reader_at_the_store, 0, SHAPES);
    tcase_add_loop_test(halts, a_reader_of_the_copy, 0, 2 * SHAPES);
    suite_add_tcase(s, halts);
    tcase_set_timeout(growth, 60);
    tcase_add_loop_test(growth, growth_beside_a_failing_step, 0, FAILURES * SHAPES);
    tcase_add_loop_test(growth, a_journal_is_not_cut_off, 0, SHAPES);
    suite_add_tcase(s, growth);
    return s;
}

int main(void)
{
    return test_run(suite());
}
