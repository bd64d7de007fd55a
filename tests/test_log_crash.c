/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes at any moment of a log's life, of it and of the volume that it belongs to: it opens, to
 * exactly what was synced or more, in whole batches, never to less and never as corrupt; and it
 * goes on from there.
 */
#include "crash_space.h"
#include "log_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 64 << 10, MOMENTS = 400, LSN_MAX = 1000 };

/* What was true when so many calls had been made. */
struct moment {
    size_t calls;
    uint64_t durable;  /* LSN that was synced */
    uint64_t appended; /* LSN that was given out */
    uint64_t below;    /* was truncated */
};

struct history {
    struct log_fixture f;
    struct crash_store *crash;
    struct moment moments[MOMENTS];
    size_t count, created;
    struct moment now;
    bool ends[LSN_MAX]; /* a batch's last record */
    unsigned images, sample, checked;
};

static void note(struct history *h)
{
    ck_assert_uint_lt(h->count, MOMENTS);
    h->now.calls = crash_store_calls(h->crash);
    h->moments[h->count++] = h->now;
}

/* --- Making a history; any call may fail, and is followed by a new open then --- */

static void reopen_all(struct history *h)
{
    struct log_fixture *f = &h->f;

    if (f->log != NULL)
        log_fixture_kill(f);
    volume_fixture_kill(&f->v);
    volume_fixture_open(&f->v, 0, ENVOL_OK);
    log_fixture_open(f, ENVOL_OK);
    h->now.durable = h->now.appended = log_info(f).next_lsn - 1;
    note(h);
}

/* What failed may be there or not; what is there after the open is durable. */
static bool is_fine(struct history *h, enum envol_status status)
{
    if (status == ENVOL_OK)
        return true;
    ck_assert_msg(status == ENVOL_E_IO, "%s: %s", envol_status_name(status), h->f.error.message);
    ck_assert(crash_store_failed(h->crash));
    note(h);
    reopen_all(h);
    return false;
}

static void put(struct history *h, unsigned count, size_t bytes)
{
    struct envol_log_entry entries[16] = {{0}};
    uint8_t *data = malloc(16 * bytes + 1);
    uint64_t next = log_info(&h->f).next_lsn;

    ck_assert(data != NULL && count <= 16 && next + count < LSN_MAX);
    for (unsigned i = 0; i < count; i++) {
        log_data_fill(next + i, data + i * bytes, bytes);
        entries[i].data = data + i * bytes;
        entries[i].bytes = bytes;
        h->ends[next + i] = i + 1 == count;
    }
    h->now.appended = next + count - 1;
    note(h); /* from its first call on it may be there */
    if (is_fine(h, envol_log_append_batch(h->f.log, entries, count, &h->f.error)))
        note(h);
    free(data);
}

static void sync_it(struct history *h)
{
    uint64_t last = log_info(&h->f).next_lsn - 1;

    if (is_fine(h, envol_log_sync(h->f.log, 0, &h->f.error))) {
        h->now.durable = last;
        note(h);
    }
}

static void truncate_it(struct history *h, uint64_t below)
{
    h->now.below = below;
    note(h);
    if (is_fine(h, envol_log_truncate(h->f.log, below, &h->f.error)))
        note(h);
}

static void close_and_open(struct history *h)
{
    uint64_t last = log_info(&h->f).next_lsn - 1;
    struct envol_log *log = h->f.log;

    h->f.log = NULL;
    if (!is_fine(h, envol_log_close(log, &h->f.error)))
        return;
    h->now.durable = last;
    note(h);
    if (is_fine(h,
                envol_log_open(h->f.v.volume, h->f.space, &h->f.options, &h->f.log, &h->f.error)))
        note(h);
}

static void begin(struct history *h, uint32_t recycle)
{
    struct envol_store *store;
    struct envol_space *space;

    *h = (struct history){.count = 0};
    h->sample = crash_store_sample(97, 53, 11);
    h->crash = crash_store_new(NULL, 0, &store);
    space = crash_space_new(h->crash, NULL);
    log_fixture_create_on(&h->f, SMALL, store, space);
    log_fixture_close(&h->f);
    h->f.options.recycle = recycle;
    log_fixture_open(&h->f, ENVOL_OK);
    h->created = crash_store_calls(h->crash);
    note(h);
}

/* Natively too one image of so many is enough where histories are many or long: the first-th is,
 * from 0.  A prime, so that it is not the same outcome of the last call each time. */
static void thin(struct history *h, unsigned sample, unsigned first)
{
    if (h->sample == 1)
        h->sample = sample;
    h->images = h->sample - first % h->sample;
}

/* --- Holding an image against it --- */

static const struct moment *before(const struct history *h, size_t calls)
{
    const struct moment *found = &h->moments[0];

    for (size_t i = 0; i < h->count && h->moments[i].calls <= calls; i++)
        found = &h->moments[i];
    return found;
}

/* The call that was in progress may have done all of its work. */
static const struct moment *after(const struct history *h, size_t calls)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->moments[i].calls > calls)
            return &h->moments[i];
    return &h->moments[h->count - 1];
}

static uint64_t first_of(struct log_fixture *g)
{
    struct envol_log_reader *reader;
    struct envol_log_record record = {.lsn = 0};

    ck_ok(envol_log_reader_open(g->v.volume, g->space, 0, &reader, NULL));
    (void)ck_note(envol_log_reader_next(reader, 0, &record, NULL));
    envol_log_reader_close(reader);
    return record.lsn;
}

static void check_contents(const struct history *h, struct log_fixture *g, size_t calls)
{
    const struct moment *promised = before(h, calls), *possible = after(h, calls);
    enum envol_status status;
    uint64_t first = first_of(g), last = log_read(g, 0, &status);

    ck_assert_msg(status == ENVOL_E_TIMEOUT, "%s", g->error.message);
    if (last == 0)
        last = log_info(g).next_lsn - 1;
    ck_assert_uint_ge(last, promised->durable);
    ck_assert_uint_le(last, promised->appended > possible->appended ? promised->appended
                                                                    : possible->appended);
    ck_assert(last == 0 || h->ends[last]);
    if (first != 0)
        ck_assert_uint_le(first, possible->below > 0 ? possible->below : 1);
    ck_assert_uint_eq(log_info(g).next_lsn, last + 1);
}

static void check(const struct crash_image *image, void *ctx)
{
    struct history *h = ctx;
    struct log_fixture g = h->f;
    struct crash_store *crash;
    uint64_t last;

    if (h->images++ % h->sample != 0)
        return;
    h->checked++;
    crash = crash_store_new(image->bytes, image->size, &g.v.store);
    g.space = crash_space_new(crash, image);
    volume_fixture_open(&g.v, 0, ENVOL_OK);
    g.log = NULL;
    if (ck_note(envol_log_open(g.v.volume, g.space, &g.options, &g.log, &g.error)) != ENVOL_OK)
        ck_abort_msg("%s: %s", image->story, g.error.message);
    check_contents(h, &g, image->calls);
    last = log_info(&g).next_lsn - 1;
    (void)log_put(&g, 300);
    log_put_batch(&g, 2, 50);
    log_fixture_kill(&g);
    volume_fixture_reopen(&g.v);
    log_fixture_open(&g, ENVOL_OK);
    ck_assert_uint_eq(log_info(&g).next_lsn, last + 4);
    log_fixture_close(&g);
    volume_fixture_close(&g.v);
    envol_space_close(g.space);
    envol_store_close(g.v.store);
}

/* Headers are torn in whole pages: there are many of them, and suites of their own. */
static void replay(struct history *h, size_t sector_bytes)
{
    const struct crash_options options = {.first_call = h->created, .sector_bytes = sector_bytes};

    ck_assert_uint_gt(crash_store_replay(h->crash, &options, check, h), 0);
    ck_assert_uint_gt(h->checked, 0);
}

static void end(struct history *h)
{
    if (h->f.log != NULL)
        log_fixture_kill(&h->f);
    volume_fixture_kill(&h->f.v);
    log_fixture_free(&h->f);
}

static struct history h;

/* --- Histories --- */

START_TEST(appends_and_syncs)
{
    begin(&h, 0);
    for (unsigned i = 0; i < 4; i++) {
        put(&h, 1, 100);
        put(&h, 3, 700);
        sync_it(&h);
        put(&h, 1, 5000);
    }
    put(&h, 2, 10);
    sync_it(&h);
    replay(&h, 512);
    end(&h);
}
END_TEST

START_TEST(more_is_not_synced_than_is_combined)
{
    begin(&h, 0);
    put(&h, 1, 100);
    sync_it(&h);
    for (unsigned i = 0; i < 12; i++)
        put(&h, 1 + i % 3, 400);
    replay(&h, 512);
    end(&h);
}
END_TEST

START_TEST(segments_change_and_are_truncated)
{
    begin(&h, (uint32_t)_i);
    thin(&h, 3, (unsigned)_i); /* other ones in each */
    for (unsigned i = 0; i < 5; i++) {
        put(&h, 3, 15000);
        put(&h, 1, 10);
        if (i == 1)
            sync_it(&h);
        put(&h, 1, 20000);
        if (i >= 2)
            truncate_it(&h, log_info(&h.f).next_lsn - 6);
    }
    replay(&h, 4096);
    end(&h);
}
END_TEST

START_TEST(closed_and_opened)
{
    begin(&h, 1);
    for (unsigned i = 0; i < 3; i++) {
        put(&h, 2, 900);
        close_and_open(&h);
        put(&h, 1, 3000);
        put(&h, 1, 50);
        reopen_all(&h);
    }
    thin(&h, 3, 0);
    replay(&h, 4096);
    end(&h);
}
END_TEST

/* Segments used again, and a crash in the middle of each. */
START_TEST(old_records_lie_behind_the_end)
{
    begin(&h, 2);
    for (unsigned i = 0; i < 8; i++) {
        put(&h, 4, 14000);
        if (i >= 3)
            truncate_it(&h, log_info(&h.f).next_lsn - 5);
        put(&h, 1, 100);
        if (i % 3 == 2)
            reopen_all(&h);
        put(&h, 2, 100);
        sync_it(&h);
    }
    h.created = h.moments[h.count / 2].calls;
    thin(&h, 3, 0);
    replay(&h, 4096);
    end(&h);
}
END_TEST

/* Each call in turn fails; then the log is opened again, and goes on. */
static unsigned fail_at(unsigned nth, enum crash_fault fault, bool replay_it)
{
    begin(&h, 1);
    put(&h, 1, 100);
    sync_it(&h);
    h.created = crash_store_calls(h.crash);
    crash_store_fail(h.crash, nth, fault);
    put(&h, 2, 900);
    sync_it(&h);
    put(&h, 3, 18000);
    put(&h, 1, 18000); /* the next segment */
    sync_it(&h);
    put(&h, 1, 40000);
    truncate_it(&h, 4);
    close_and_open(&h);
    put(&h, 1, 70);
    if (crash_store_failed(h.crash) && replay_it) {
        h.sample = crash_store_sample(997, 499, 199);
        thin(&h, 47, nth); /* others each time */
        replay(&h, 4096);
    }
    nth = crash_store_failed(h.crash) ? nth + 1 : 0;
    crash_store_fail(h.crash, 0, fault);
    reopen_all(&h);
    log_expect(&h.f, 0, h.now.appended);
    end(&h);
    return nth;
}

START_TEST(every_call_fails)
{
    static const enum crash_fault faults[] = {CRASH_FAULT_NOTHING, CRASH_FAULT_HALF,
                                              CRASH_FAULT_ALL};
    unsigned nth = 1, tool = crash_store_sample(5, 3, 1);

    while (nth != 0)
        nth = fail_at(nth, faults[_i], nth % tool == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_crash");
    TCase *tcase = tcase_create("log_crash");

    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, appends_and_syncs);
    tcase_add_test(tcase, more_is_not_synced_than_is_combined);
    tcase_add_loop_test(tcase, segments_change_and_are_truncated, 0, 3);
    tcase_add_test(tcase, closed_and_opened);
    tcase_add_test(tcase, old_records_lie_behind_the_end);
    tcase_add_loop_test(tcase, every_call_fails, 0, 3);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
