/* SPDX-License-Identifier: BSD-2-Clause */
/* One volume, four threads: reading, writing, growing, trimming, cutting and syncing it at once. */
#include "base/memory.h"
#include "handles.h"
#include "support.h"
#include "volume_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, SHARED_PAGES = 64, ROUNDS = 160 };

/* Assertions of Check belong to the main thread: others report their first complaint. */
struct worker {
    struct volume_fixture *f;
    unsigned number;
    unsigned seed;
    char complaint[160];
    unsigned *mine; /* version of each page of its own, by page_no / THREADS */
    uint8_t *page, *other;
};

struct crew {
    struct volume_fixture f;
    struct worker workers[THREADS];
};

static void complain(struct worker *w, const char *what, uint64_t page_no, enum envol_status status)
{
    if (w->complaint[0] == '\0')
        snprintf(w->complaint, sizeof(w->complaint), "thread %u: %s of page %llu: %s", w->number,
                 what, (unsigned long long)page_no, envol_status_name(status));
}

static unsigned pick(struct worker *w, unsigned bound)
{
    return (unsigned)rand_r(&w->seed) % bound;
}

static void write_own(struct worker *w, uint64_t page_no)
{
    unsigned version = ++w->mine[page_no / THREADS];
    enum envol_status status;

    volume_page_fill(w->f, page_no, version, w->page);
    status = ck_note(envol_page_write(w->f->volume, page_no, w->page));
    if (status != ENVOL_OK)
        complain(w, "write", page_no, status);
}

/* Own pages hold what this thread wrote last. */
static void read_own(struct worker *w, uint64_t page_no)
{
    unsigned version = w->mine[page_no / THREADS];
    enum envol_status status = ck_note(envol_page_read(w->f->volume, page_no, w->other));

    if (version == 0 && (status == ENVOL_E_UNWRITTEN || status == ENVOL_E_RANGE))
        return;
    if (version == 0 && status == ENVOL_OK && !w->f->gcm &&
        envol_is_zero(w->other, w->f->page_bytes))
        return;
    volume_page_fill(w->f, page_no, version, w->page);
    if (status != ENVOL_OK || memcmp(w->page, w->other, w->f->page_bytes) != 0)
        complain(w, "read", page_no, status);
}

/* Other threads write them meanwhile: a whole page of any version, or none. */
static void read_others(struct worker *w, uint64_t page_no)
{
    enum envol_status status = ck_note(envol_page_read(w->f->volume, page_no, w->other));

    if (status == ENVOL_E_UNWRITTEN || status == ENVOL_E_RANGE)
        return;
    if (status != ENVOL_OK) {
        complain(w, "read of another's", page_no, status);
        return;
    }
    if (w->f->gcm && volume_page_version(w->f, page_no, ROUNDS, w->other) > ROUNDS)
        complain(w, "a mixture", page_no, status);
}

static void upkeep(struct worker *w, uint64_t page_no)
{
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    enum envol_status status = ENVOL_OK;

    switch (pick(w, 5)) {
    case 0:
        status = ck_note(envol_volume_sync(w->f->volume));
        break;
    case 1:
        status = ck_note(envol_volume_info(w->f->volume, &info));
        break;
    case 2:
        status = ck_note(envol_volume_anchor(w->f->volume, &anchor));
        break;
    case 3:
        status = ck_note(envol_volume_refresh(w->f->volume, NULL));
        break;
    default:
        if (page_no < envol_volume_pages(w->f->volume)) {
            status = ck_note(envol_page_trim(w->f->volume, page_no, 1));
            w->mine[page_no / THREADS] = 0;
        }
    }
    if (status != ENVOL_OK)
        complain(w, "upkeep", page_no, status);
}

static void *work(void *argument)
{
    struct worker *w = argument;
    uint64_t range = SHARED_PAGES;

    for (unsigned round = 0; round < ROUNDS && w->complaint[0] == '\0'; round++) {
        uint64_t page_no = pick(w, (unsigned)range / THREADS) * THREADS + w->number;

        range = SHARED_PAGES + (uint64_t)round * SHARED_PAGES / 8;
        write_own(w, page_no);
        read_own(w, page_no);
        read_own(w, pick(w, (unsigned)range / THREADS) * THREADS + w->number);
        if (round % 4 == 0)
            read_others(w, pick(w, (unsigned)range));
        if (round % 8 == 0)
            upkeep(w, page_no);
    }
    return NULL;
}

static bool crew_new(struct crew *c, int i)
{
    static const int shapes[] = {0, 1, 4, 5, 8};
    const struct volume_shape *shape = &volume_shapes[shapes[i % 5]];
    bool made = i < 5 ? volume_fixture_create(&c->f, shape)
                      : volume_fixture_create_on(&c->f, shape, test_store_new(1));

    if (made && i < 5)
        watched_hold_rules(c->f.watched);
    for (unsigned n = 0; made && n < THREADS; n++) {
        struct worker *w = &c->workers[n];
        *w = (struct worker){.f = &c->f, .number = n, .seed = (unsigned)test_random()};
        w->mine = calloc(SHARED_PAGES * (ROUNDS / 8 + 2) / THREADS, sizeof(*w->mine));
        w->page = malloc(c->f.page_bytes);
        w->other = malloc(c->f.page_bytes);
        ck_assert(w->mine != NULL && w->page != NULL && w->other != NULL);
    }
    return made;
}

static void crew_run(struct crew *c, void *(*body)(void *))
{
    pthread_t threads[THREADS];

    for (unsigned n = 0; n < THREADS; n++)
        ck_assert_int_eq(pthread_create(&threads[n], NULL, body, &c->workers[n]), 0);
    for (unsigned n = 0; n < THREADS; n++)
        pthread_join(threads[n], NULL);
    for (unsigned n = 0; n < THREADS; n++)
        ck_assert_msg(c->workers[n].complaint[0] == '\0', "%s", c->workers[n].complaint);
}

static void crew_free(struct crew *c)
{
    for (unsigned n = 0; n < THREADS; n++) {
        free(c->workers[n].mine);
        free(c->workers[n].page);
        free(c->workers[n].other);
    }
    volume_fixture_free(&c->f);
}

/* All that the threads wrote is there, now and after the volume was opened again. */
START_TEST(all_at_once)
{
    struct crew c;

    if (!crew_new(&c, _i))
        return;
    crew_run(&c, work);
    for (int again = 0; again < 2; again++) {
        for (uint64_t i = 0; i < envol_volume_pages(c.f.volume); i++)
            read_own(&c.workers[i % THREADS], i);
        for (unsigned n = 0; n < THREADS; n++)
            ck_assert_msg(c.workers[n].complaint[0] == '\0', "%s", c.workers[n].complaint);
        volume_fixture_reopen(&c.f);
    }
    if (c.f.gcm)
        ck_ok(envol_volume_verify(c.f.volume, NULL, NULL, NULL, &c.f.error));
    crew_free(&c);
}
END_TEST

/* All write one page: it holds one of them whole. */
static void *write_same(void *argument)
{
    struct worker *w = argument;

    for (unsigned round = 0; round < ROUNDS; round++) {
        enum envol_status status;
        volume_page_fill(w->f, 0, w->number + 1, w->page);
        status = ck_note(envol_page_write(w->f->volume, 0, w->page));
        if (status != ENVOL_OK)
            complain(w, "write", 0, status);
    }
    return NULL;
}

START_TEST(one_page_of_all)
{
    struct crew c;
    unsigned matches = 0;

    if (!crew_new(&c, _i))
        return;
    crew_run(&c, write_same);
    ck_assert_uint_eq(envol_volume_pages(c.f.volume), 1);
    ck_ok(envol_page_read(c.f.volume, 0, c.f.other));
    for (unsigned version = 1; version <= THREADS; version++) {
        volume_page_fill(&c.f, 0, version, c.f.page);
        matches += memcmp(c.f.page, c.f.other, c.f.page_bytes) == 0;
    }
    ck_assert_uint_eq(matches, 1);
    crew_free(&c);
}
END_TEST

/* While one cuts and grows the volume, others see a page whole, unwritten, or out of range. */
static void *write_and_cut(void *argument)
{
    struct worker *w = argument;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t page_no = pick(w, SHARED_PAGES);
        enum envol_status status;
        if (w->number == 0) {
            status = ck_note(envol_volume_truncate(w->f->volume, page_no, NULL));
        } else {
            volume_page_fill(w->f, page_no, w->number, w->page);
            status = ck_note(envol_page_write(w->f->volume, page_no, w->page));
            read_others(w, pick(w, SHARED_PAGES));
        }
        if (status != ENVOL_OK)
            complain(w, "write or cut", page_no, status);
    }
    return NULL;
}

START_TEST(cuts_between_writes)
{
    struct crew c;

    if (!crew_new(&c, _i))
        return;
    crew_run(&c, write_and_cut);
    if (c.f.gcm)
        ck_ok(envol_volume_verify(c.f.volume, NULL, NULL, NULL, &c.f.error));
    crew_free(&c);
}
END_TEST

/* More threads than idle lanes. */
START_TEST(many_threads)
{
    enum { MANY = ENVOL_IDLE_LANES + 8 };
    struct crew c;
    struct worker workers[MANY];
    pthread_t threads[MANY];

    if (!crew_new(&c, 0))
        return;
    for (unsigned n = 0; n < MANY; n++) {
        workers[n] = (struct worker){.f = &c.f, .number = n % THREADS, .seed = n};
        workers[n].page = malloc(c.f.page_bytes);
        workers[n].other = malloc(c.f.page_bytes);
        ck_assert_int_eq(pthread_create(&threads[n], NULL, write_same, &workers[n]), 0);
    }
    for (unsigned n = 0; n < MANY; n++) {
        pthread_join(threads[n], NULL);
        ck_assert_msg(workers[n].complaint[0] == '\0', "%s", workers[n].complaint);
        free(workers[n].page);
        free(workers[n].other);
    }
    volume_fixture_reopen(&c.f);
    ck_assert_uint_eq(volume_info_of(&c.f).header.seal_estimate, (uint64_t)MANY * ROUNDS);
    crew_free(&c);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("threads");
    TCase *tcase = tcase_create("threads");

    tcase_add_loop_test(tcase, all_at_once, 0, 10);
    tcase_add_loop_test(tcase, one_page_of_all, 0, 10);
    tcase_add_loop_test(tcase, cuts_between_writes, 0, 10);
    tcase_add_test(tcase, many_threads);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
