/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Atomic pages: what a store sees of them, stores that fail, four threads, forked children, and a
 * double-write area that somebody tampered with.
 */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "children.h"
#include "crash_store.h"
#include "header/header.h"
#include "support.h"
#include "volume/area.h"
#include "volume_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct volume_shape shapes[] = {
    {"gcm 512", ENVOL_SUITE_AES_256_GCM, 512, 0, 0},
    {"gcm in 16384", ENVOL_SUITE_AES_256_GCM, 0, 16384, 0},
    {"gcm sparse", ENVOL_SUITE_AES_256_GCM, 0, 4096, 1},
    {"xts 4096", ENVOL_SUITE_AES_256_XTS, 4096, 0, 0},
    {"xts sparse", ENVOL_SUITE_AES_256_XTS, 4096, 0, 1},
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), VERSIONS = 200 };

static bool create(struct volume_fixture *f, int shape)
{
    struct envol_store *store;
    struct watched_store *watched = watched_store_new(&store);

    if (!volume_fixture_create_atomic(f, &shapes[shape], store))
        return false;
    f->watched = watched;
    return true;
}

static void put_all(struct volume_fixture *f, uint64_t pages, unsigned version)
{
    for (uint64_t i = 0; i < pages; i++)
        volume_page_put(f, i, version);
}

/* Slot, sync, home: one sync for each call, and none for growth. */
START_TEST(what_it_costs)
{
    struct volume_fixture f;
    unsigned syncs, writes;

    if (!create(&f, _i))
        return;
    ck_assert_int_eq(volume_info_of(&f).header.atomic_pages, 1);
    put_all(&f, 8, 1);
    ck_ok(envol_volume_sync(f.volume));
    syncs = watched_calls(f.watched, WATCHED_SYNC);
    writes = watched_calls(f.watched, WATCHED_WRITE);
    for (unsigned i = 0; i < 12; i++)
        volume_page_put(&f, i % 8, 2);
    ck_assert_uint_eq(watched_calls(f.watched, WATCHED_SYNC), syncs + 12);
    ck_assert_uint_eq(watched_calls(f.watched, WATCHED_WRITE), writes + 36);
    volume_fixture_reopen(&f);
    for (uint64_t i = 0; i < 8; i++)
        volume_page_expect(&f, i, 2);
    volume_fixture_free(&f);
}
END_TEST

static int child_body(void *argument)
{
    struct volume_fixture *f = argument;

    child_expects(ck_note(envol_page_read(f->volume, 1, f->other)) == ENVOL_OK);
    child_expects(volume_page_version(f, 1, 3, f->other) == 1);
    child_expects(ck_note(envol_page_write(f->volume, 1, f->page)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_page_trim(f->volume, 1, 1)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_sync(f->volume)) == ENVOL_OK);
    child_expects(ck_note(envol_volume_close(f->volume)) == ENVOL_OK);
    return 0;
}

/* Readers and forked children read; the area is the writer's. */
START_TEST(readers_and_children)
{
    struct volume_fixture f;

    if (!create(&f, _i))
        return;
    put_all(&f, 3, 1);
    volume_fixture_close(&f);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_page_expect(&f, 2, 1);
    ck_status(envol_page_write(f.volume, 0, f.page), ENVOL_E_READ_ONLY);
    volume_fixture_close(&f);
    volume_fixture_open(&f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    ck_assert_int_eq(test_in_child(child_body, &f), 0);
    volume_page_put(&f, 1, 2);
    volume_page_expect(&f, 1, 2);
    volume_fixture_free(&f);
}
END_TEST

/* --- A store that fails --- */

enum { PAGES = 6 };

/* Each page is of one of these versions, whole; 0: a hole. */
static void expect_one_of(struct volume_fixture *f, uint64_t page_no, unsigned low, unsigned high,
                          const char *when)
{
    enum envol_status status = ck_note(envol_page_read(f->volume, page_no, f->other));
    unsigned version = volume_page_version(f, page_no, high, f->other);
    bool hole = status == ENVOL_E_UNWRITTEN ||
                (status == ENVOL_OK && !f->gcm && envol_is_zero(f->other, f->page_bytes));

    ck_assert_msg((low == 0 && hole) ||
                      (status == ENVOL_OK && version >= low && version <= high && version > 0),
                  "%s: page %llu %s: %s, version %u", f->shape->name, (unsigned long long)page_no,
                  when, envol_status_name(status), version);
}

struct ordeal {
    struct volume_fixture f;
    struct crash_store *crash;
    size_t first_call;
    unsigned images;
};

/* Overwrites and trims; the versions that a page may have go up only when all went well. */
static void strain(struct volume_fixture *f)
{
    static const unsigned pages[] = {0, 1, 1, 2, 0, 5};

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        volume_page_fill(f, pages[i], 2, f->page);
        (void)ck_note(envol_page_write(f->volume, pages[i], f->page));
    }
    (void)ck_note(envol_page_trim(f->volume, 3, 2));
    (void)ck_note(envol_volume_sync(f->volume));
    volume_page_fill(f, 1, 3, f->page);
    (void)ck_note(envol_page_write(f->volume, 1, f->page));
}

static void expect_whole(struct volume_fixture *f, const char *when)
{
    for (uint64_t i = 0; i < PAGES; i++)
        expect_one_of(f, i, i == 3 || i == 4 ? 0 : 1, 3, when);
}

static void check_ordeal(const struct crash_image *image, void *ctx)
{
    struct ordeal *o = ctx;
    struct volume_fixture g = o->f;

    if (++o->images % 32 != 1)
        return;
    crash_store_new(image->bytes, image->size, &g.store);
    volume_fixture_open(&g, 0, ENVOL_OK);
    expect_whole(&g, image->story);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

static bool try_ordeal(int shape, unsigned nth, enum crash_fault fault, bool replays)
{
    const struct crash_options options = {.sector_bytes = 4096};
    struct ordeal o = {.images = 0};
    struct envol_store *store;
    bool failed;

    o.crash = crash_store_new(NULL, 0, &store);
    if (!volume_fixture_create_atomic(&o.f, &shapes[shape], store))
        return false;
    put_all(&o.f, PAGES, 1);
    ck_ok(envol_volume_sync(o.f.volume));
    crash_store_settle(o.crash);
    crash_store_fail(o.crash, nth, fault);
    strain(&o.f);
    failed = crash_store_failed(o.crash);
    crash_store_fail(o.crash, 0, fault);
    expect_whole(&o.f, "in the same handle");
    if (nth % 2 == 0)
        (void)ck_note(envol_volume_close(o.f.volume));
    else
        envol_volume_free(o.f.volume); /* as if the process was killed */
    o.f.volume = NULL;
    volume_fixture_open(&o.f, 0, ENVOL_OK);
    expect_whole(&o.f, "opened again");
    volume_page_put(&o.f, 1, 3);
    if (replays)
        crash_store_replay(o.crash, &options, check_ordeal, &o);
    volume_fixture_free(&o.f);
    return failed;
}

START_TEST(a_store_that_fails)
{
    enum crash_fault fault = (enum crash_fault)(_i / SHAPES);
    unsigned nth = 1;

    while (try_ordeal(_i % SHAPES, nth, fault, (nth + 4 * fault) % 12 == 3))
        nth++;
    if (envol_aes_kernel(shapes[_i % SHAPES].suite == ENVOL_SUITE_AES_256_XTS) != NULL)
        ck_assert_uint_gt(nth, 30);
}
END_TEST

/* The disk holds back one page's home for good: others are refused too, as nothing newer may go by,
 * and all is well when it relents. */
START_TEST(a_home_that_fails_twice)
{
    struct volume_fixture f;

    if (!create(&f, _i))
        return;
    put_all(&f, 3, 1);
    ck_ok(envol_volume_sync(f.volume));
    watched_fail(f.watched, WATCHED_WRITE, 3, ENVOL_E_IO);
    volume_page_fill(&f, 0, 2, f.page);
    ck_status(envol_page_write(f.volume, 0, f.page), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_write(f.volume, 1, f.page), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    ck_status(envol_volume_sync(f.volume), ENVOL_E_IO);
    volume_page_expect(&f, 0, 2);
    volume_page_expect(&f, 1, 1);
    volume_page_put(&f, 0, 3);
    volume_fixture_reopen(&f);
    volume_page_expect(&f, 0, 3);
    volume_fixture_free(&f);
}
END_TEST

/* --- Four threads --- */

enum { THREADS = 4, ROUNDS = 40, OWN = 4, SHARED = THREADS * OWN };

struct worker {
    struct volume_fixture *f;
    struct crash_store *crash;
    unsigned number, seed;
    unsigned version[OWN];         /* of its pages, the last one written */
    size_t calls[OWN][ROUNDS * 2]; /* of the store, when that version had returned */
    uint8_t *page, *other;
    char complaint[160];
};

struct crew {
    struct volume_fixture f;
    struct crash_store *crash;
    struct worker workers[THREADS];
    unsigned images;
};

static void complain(struct worker *w, const char *what, enum envol_status status)
{
    if (w->complaint[0] == '\0')
        snprintf(w->complaint, sizeof(w->complaint), "thread %u: %s: %s", w->number, what,
                 envol_status_name(status));
}

/* Pages of its own one by one and as a run, one page that all write, and one that it appends. */
static void *work(void *argument)
{
    struct worker *w = argument;
    size_t bytes = w->f->page_bytes;

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned first = (unsigned)rand_r(&w->seed) % OWN, n = round % 3 == 0 ? OWN - first : 1;
        struct envol_page_io ios[OWN];
        enum envol_status status;
        for (unsigned i = 0; i < n; i++) {
            uint64_t page_no = (uint64_t)w->number * OWN + first + i;
            ios[i] = (struct envol_page_io){.page_no = page_no, .page = w->page + i * bytes};
            volume_page_fill(w->f, page_no, w->version[first + i] + 1, ios[i].page);
        }
        status = ck_note(envol_page_write_batch(w->f->volume, ios, n, NULL));
        for (unsigned i = first; i < first + n; i++)
            w->calls[i][++w->version[i]] = crash_store_calls(w->crash);
        if (status != ENVOL_OK)
            complain(w, "write", status);
        volume_page_fill(w->f, SHARED, w->number + 1, w->page);
        status = ck_note(envol_page_write(w->f->volume, SHARED, w->page));
        if (status == ENVOL_OK)
            status = ck_note(envol_page_read(w->f->volume, ios[0].page_no, w->other));
        if (status != ENVOL_OK ||
            volume_page_version(w->f, ios[0].page_no, VERSIONS, w->other) != w->version[first])
            complain(w, "what it wrote", status);
        if (round % 8 == w->number &&
            ck_note(envol_page_write(w->f->volume, SHARED + 1 + round * THREADS + w->number,
                                     w->page)) != ENVOL_OK)
            complain(w, "growth", ENVOL_OK);
    }
    return NULL;
}

static bool crew_new(struct crew *c, int shape)
{
    struct envol_store *store;

    memset(c, 0, sizeof(*c));
    c->crash = crash_store_new(NULL, 0, &store);
    if (!volume_fixture_create_atomic(&c->f, &shapes[shape], store))
        return false;
    put_all(&c->f, SHARED + 1, 1);
    ck_ok(envol_volume_sync(c->f.volume));
    crash_store_settle(c->crash);
    for (unsigned n = 0; n < THREADS; n++) {
        struct worker *w = &c->workers[n];
        *w = (struct worker){.f = &c->f, .crash = c->crash, .number = n};
        w->seed = (unsigned)test_random();
        w->page = malloc((size_t)OWN * c->f.page_bytes);
        w->other = malloc(c->f.page_bytes);
        ck_assert(w->page != NULL && w->other != NULL);
        for (unsigned i = 0; i < OWN; i++)
            w->version[i] = 1;
    }
    return true;
}

static void crew_free(struct crew *c)
{
    for (unsigned n = 0; n < THREADS; n++) {
        free(c->workers[n].page);
        free(c->workers[n].other);
    }
    volume_fixture_free(&c->f);
}

/* Under XTS the area has what a write that returned has written; GCM may keep an older page that is
 * whole. */
static void check_crew(const struct crash_image *image, void *ctx)
{
    struct crew *c = ctx;
    struct volume_fixture g = c->f;

    if (++c->images % (test_tool() == NULL ? 16 : 256) != 1)
        return;
    crash_store_new(image->bytes, image->size, &g.store);
    volume_fixture_open(&g, 0, ENVOL_OK);
    for (uint64_t i = 0; i < SHARED; i++) {
        const struct worker *w = &c->workers[i / OWN];
        unsigned least = 1;
        for (unsigned v = 2; !g.gcm && v <= w->version[i % OWN]; v++)
            if (w->calls[i % OWN][v] <= image->calls)
                least = v;
        expect_one_of(&g, i, least, VERSIONS, image->story);
    }
    expect_one_of(&g, SHARED, 1, THREADS, image->story);
    volume_fixture_close(&g);
    envol_store_close(g.store);
}

START_TEST(four_threads)
{
    const struct crash_options options = {.sector_bytes = 1 << 20};
    pthread_t threads[THREADS];
    struct crew c;

    if (!crew_new(&c, _i))
        return;
    for (unsigned n = 0; n < THREADS; n++)
        ck_assert_int_eq(pthread_create(&threads[n], NULL, work, &c.workers[n]), 0);
    for (unsigned n = 0; n < THREADS; n++)
        pthread_join(threads[n], NULL);
    for (unsigned n = 0; n < THREADS; n++)
        ck_assert_msg(c.workers[n].complaint[0] == '\0', "%s", c.workers[n].complaint);
    crash_store_replay(c.crash, &options, check_crew, &c);
    for (int again = 0; again < 2; again++) {
        for (uint64_t i = 0; i < SHARED; i++)
            volume_page_expect(&c.f, i, c.workers[i / OWN].version[i % OWN]);
        volume_fixture_reopen(&c.f);
    }
    crew_free(&c);
}
END_TEST

/* --- An area that somebody tampered with --- */

/* A volume as a crash left it: page 1 torn at home, and whole in the first slot that has one. */
struct wreck {
    struct volume_fixture f;
    uint8_t *bytes;
    size_t size;
    size_t slot; /* offset of the slot */
};

static bool wreck_new(struct wreck *w, int shape)
{
    struct envol_store *store;
    uint64_t half;

    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    if (!volume_fixture_create_atomic(&w->f, &shapes[shape], store))
        return false;
    put_all(&w->f, 4, 1);
    volume_fixture_reopen(&w->f);
    volume_page_put(&w->f, 1, 2);
    w->slot = ENVOL_HEADER_BYTES;
    half = w->f.stride_bytes / 2;
    memset(w->f.other, 0x5a, w->f.page_bytes);
    volume_store_put(store, volume_record_at(&w->f, 1), w->f.other, half);
    w->size = (size_t)volume_store_bytes(store);
    w->bytes = malloc(w->size);
    ck_assert_ptr_nonnull(w->bytes);
    volume_store_get(store, 0, w->bytes, w->size);
    volume_fixture_kill(&w->f);
    ck_assert_mem_eq(w->bytes + w->slot, "ENVOLDW1", 8);
    return true;
}

static void wreck_free(struct wreck *w)
{
    free(w->bytes);
    volume_fixture_free(&w->f);
}

/* Opens it, which works.  Pages 0, 2 and 3 are what they were; whether page 1 is, too. */
static bool heals(struct wreck *w, const char *what, size_t at)
{
    struct volume_fixture g = w->f;
    enum envol_status status;
    bool healed;

    ck_assert_int_eq(envol_memory_store_open(&g.store), ENVOL_OK);
    volume_store_put(g.store, 0, w->bytes, w->size);
    volume_fixture_open(&g, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(g.volume), 4);
    ck_assert_uint_eq(volume_store_bytes(g.store), w->size);
    for (uint64_t i = 0; i < 4; i += i == 0 ? 2 : 1)
        expect_one_of(&g, i, 1, 1, what);
    status = ck_note(envol_page_read(g.volume, 1, g.other));
    healed = status == ENVOL_OK && volume_page_version(&g, 1, 3, g.other) == 2;
    if (!healed && g.gcm)
        ck_assert_msg(status == ENVOL_E_CORRUPT, "%s at %zu: %s", what, at,
                      envol_status_name(status));
    volume_fixture_close(&g);
    envol_store_close(g.store);
    return healed;
}

static void seal_slot(struct wreck *w)
{
    uint8_t *head = w->bytes + w->slot;

    envol_store32(head + 8, 0);
    envol_store32(head + 8,
                  envol_crc32c(0, head, ENVOL_AREA_HEAD_BYTES + (size_t)w->f.stride_bytes));
}

/* Every bit of the head, and some of the record: the slot is none, and nothing else happens. */
START_TEST(flipped_bits)
{
    const unsigned bits = test_tool() == NULL ? 8 : 1;
    struct wreck w;
    size_t end;

    if (!wreck_new(&w, _i))
        return;
    ck_assert(heals(&w, "untouched", 0));
    end = ENVOL_AREA_HEAD_BYTES + w.f.stride_bytes;
    for (size_t at = 0; at < end; at += at < 96 ? 1 : test_tool() == NULL ? 37 : 1021)
        for (unsigned bit = 0; bit < (at < 96 ? bits : 1); bit++) {
            w.bytes[w.slot + at] ^= (uint8_t)(1u << bit);
            ck_assert(!heals(&w, "flipped", at));
            w.bytes[w.slot + at] ^= (uint8_t)(1u << bit);
        }
    ck_assert(heals(&w, "mended", 0));
    wreck_free(&w);
}
END_TEST

/* With a checksum that is right, as by somebody who knows the format.  GCM: no page becomes what it
 * never was.  (Under XTS he can write the pages themselves: nothing worse happens.) */
START_TEST(forged_heads)
{
    const unsigned bits = test_tool() == NULL ? 8 : 1;
    struct wreck w;

    if (!wreck_new(&w, _i))
        return;
    for (size_t at = 0; at < 96; at++)
        for (unsigned bit = 0; bit < bits; bit++) {
            uint8_t *byte = w.bytes + w.slot + at;
            bool healed, kept = at < 16 ? at >= 8 && at < 12 : at < 24;
            if (!w.f.gcm && at >= 48 && at < 64)
                continue;
            *byte ^= (uint8_t)(1u << bit);
            seal_slot(&w);
            healed = heals(&w, "forged", at);
            /* The number itself, or the checksum: nothing else may differ. */
            ck_assert_msg(!healed || kept, "byte %zu, bit %u", at, bit);
            *byte ^= (uint8_t)(1u << bit);
        }
    seal_slot(&w);
    ck_assert(heals(&w, "mended", 0));
    wreck_free(&w);
}
END_TEST

/* The slot of another time is put back: a page that is sound stays what it is. */
START_TEST(old_slots)
{
    struct wreck w;
    struct volume_fixture g;

    if (!wreck_new(&w, _i))
        return;
    g = w.f;
    ck_assert_int_eq(envol_memory_store_open(&g.store), ENVOL_OK);
    volume_store_put(g.store, 0, w.bytes, w.size);
    volume_fixture_open(&g, 0, ENVOL_OK);
    volume_page_put(&g, 1, 3);
    volume_fixture_close(&g);
    volume_store_put(g.store, ENVOL_HEADER_BYTES, w.bytes + ENVOL_HEADER_BYTES,
                     (size_t)(4 * envol_area_slot_bytes(g.stride_bytes)));
    volume_fixture_open(&g, 0, ENVOL_OK);
    volume_page_expect(&g, 1, 3);
    volume_fixture_close(&g);
    envol_store_close(g.store);
    wreck_free(&w);
}
END_TEST

/* What an open could not do the next one does. */
START_TEST(a_store_that_fails_at_open)
{
    struct wreck w;
    bool failed = true;
    unsigned nth;

    if (!wreck_new(&w, _i))
        return;
    for (nth = 1; failed; nth++) {
        const struct envol_volume_options options = {.struct_size = sizeof(options)};
        struct volume_fixture g = w.f;
        struct crash_store *crash = crash_store_new(w.bytes, w.size, &g.store);
        enum envol_status status;
        crash_store_fail(crash, nth, CRASH_FAULT_HALF);
        status = ck_note(envol_volume_open(g.store, &g.cmk, 1, &options, &g.volume, &g.error));
        failed = crash_store_failed(crash);
        crash_store_fail(crash, 0, CRASH_FAULT_HALF);
        if (status == ENVOL_OK)
            envol_volume_free(g.volume);
        volume_fixture_open(&g, 0, ENVOL_OK);
        for (uint64_t i = 0; i < 4; i++)
            expect_one_of(&g, i, i == 1 ? 2 : 1, i == 1 ? 2 : 1, "at last");
        volume_fixture_close(&g);
        envol_store_close(g.store);
    }
    ck_assert_uint_gt(nth, 10);
    wreck_free(&w);
}
END_TEST

/* No sequence number goes by the last one. */
START_TEST(the_last_sequence)
{
    struct wreck w;
    struct volume_fixture g;

    if (!wreck_new(&w, 0))
        return;
    envol_store64(w.bytes + w.slot + 16, ENVOL_AREA_SEQUENCE_MAX);
    seal_slot(&w);
    g = w.f;
    ck_assert_int_eq(envol_memory_store_open(&g.store), ENVOL_OK);
    volume_store_put(g.store, 0, w.bytes, w.size);
    volume_fixture_open(&g, 0, ENVOL_E_CORRUPT);
    envol_store_close(g.store);
    wreck_free(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("atomic_pages");
    TCase *tcase = tcase_create("atomic_pages"), *threads = tcase_create("threads");

    tcase_set_timeout(tcase, 600);
    tcase_set_timeout(threads, 600);
    tcase_add_loop_test(tcase, what_it_costs, 0, SHAPES);
    tcase_add_loop_test(tcase, readers_and_children, 0, SHAPES);
    tcase_add_loop_test(tcase, a_store_that_fails, 0, 3 * SHAPES);
    tcase_add_loop_test(tcase, a_home_that_fails_twice, 0, SHAPES);
    tcase_add_loop_test(threads, four_threads, 0, SHAPES);
    tcase_add_loop_test(tcase, flipped_bits, 0, SHAPES);
    tcase_add_loop_test(tcase, forged_heads, 0, SHAPES);
    tcase_add_loop_test(tcase, old_slots, 0, 3); /* GCM */
    tcase_add_loop_test(tcase, a_store_that_fails_at_open, 0, SHAPES);
    tcase_add_test(tcase, the_last_sequence);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, threads);
    return test_run(suite);
}
