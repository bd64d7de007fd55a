/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys that are taken away and brought back under the hands of threads that seal, unseal, read and
 * write; and the lease's own thread.
 */
#include "base/memory.h"
#include "lease_fixture.h"
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void pause_us(long us)
{
    const struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    nanosleep(&pause, NULL);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- Revocations under load --- */

enum { WORKERS = 4, PAGES_EACH = 6, GROWTH = 400 };

struct worker {
    struct lease_fixture *l;
    unsigned number;
    _Atomic bool *stop;
    pthread_t thread;
    unsigned written[PAGES_EACH]; /* version of the last write that succeeded */
    unsigned tried[PAGES_EACH];   /* and of one after it that did not, or the same */
    uint64_t next_page;           /* worker 0 appends */
    struct envol_object *object;  /* an engine's, and its lane */
    struct envol_lane *lane;
    _Atomic unsigned long succeeded, revoked;
    _Atomic enum envol_status
        wrong; /* the first other status, or ENVOL_E_CORRUPT for other contents */
};

static void judge(struct worker *w, enum envol_status status)
{
    if (status == ENVOL_OK)
        w->succeeded++;
    else if (status == ENVOL_E_KEY_REVOKED)
        w->revoked++;
    else if (w->wrong == ENVOL_OK)
        w->wrong = status;
}

static uint64_t page_of(const struct worker *w, unsigned i)
{
    return (uint64_t)w->number * PAGES_EACH + i;
}

static void write_one(struct worker *w, unsigned i, uint8_t *page)
{
    enum envol_status status;

    w->tried[i]++;
    volume_page_fill(&w->l->f, page_of(w, i), w->tried[i], page);
    status = ck_note(envol_page_write(w->l->f.volume, page_of(w, i), page));
    judge(w, status);
    if (status == ENVOL_OK)
        w->written[i] = w->tried[i];
}

static bool holds_either(const struct worker *w, unsigned i, const uint8_t *page)
{
    uint64_t page_no = page_of(w, i);

    for (unsigned version = w->written[i]; version <= w->tried[i]; version++) {
        static _Thread_local uint8_t expected[16384];
        volume_page_fill(&w->l->f, page_no, version, expected);
        if (memcmp(expected, page, w->l->f.page_bytes) == 0)
            return true;
    }
    return false;
}

static void read_one(struct worker *w, unsigned i, uint8_t *page)
{
    enum envol_status status = ck_note(envol_page_read(w->l->f.volume, page_of(w, i), page));

    judge(w, status);
    if (status == ENVOL_OK && !holds_either(w, i, page))
        w->wrong = ENVOL_E_CORRUPT;
    if (status != ENVOL_OK && !envol_is_zero(page, w->l->f.page_bytes))
        w->wrong = ENVOL_E_STATE;
}

/* At the volume's end, where the header is updated too. */
static void append_one(struct worker *w, uint8_t *page)
{
    enum envol_status status;

    volume_page_fill(&w->l->f, w->next_page, 1, page);
    status = envol_page_write(w->l->f.volume, w->next_page, page);
    judge(w, status);
    if (status == ENVOL_OK && w->next_page < WORKERS * PAGES_EACH + GROWTH)
        w->next_page++;
}

/* In memory, as an engine does: what was sealed unseals to what it was, sooner or later. */
static void seal_one(struct worker *w, struct envol_lane *lane, uint8_t *page, uint8_t *record)
{
    const struct envol_object *object = w->object;
    uint64_t page_no = 1000 + w->number;
    enum envol_status status;

    volume_page_fill(&w->l->f, page_no, 3, page);
    status = ck_note(envol_page_seal(object, lane, page_no, page, record));
    judge(w, status);
    if (status != ENVOL_OK)
        return;
    do {
        status = ck_note(envol_page_unseal(object, lane, page_no, record, page));
        judge(w, status);
    } while (status == ENVOL_E_KEY_REVOKED && !atomic_load(w->stop));
    if (status == ENVOL_OK && volume_page_version(&w->l->f, page_no, 3, page) != 3)
        w->wrong = ENVOL_E_CORRUPT;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    uint8_t *page = malloc(w->l->f.stride_bytes), *record = malloc(w->l->f.stride_bytes);

    if (page == NULL || record == NULL)
        w->wrong = ENVOL_E_NO_MEMORY;
    for (unsigned i = 0; w->wrong == ENVOL_OK && !atomic_load(w->stop); i = (i + 1) % PAGES_EACH) {
        write_one(w, i, page);
        read_one(w, i, page);
        seal_one(w, i % 2 == 0 ? w->lane : NULL, page, record);
        if (w->number == 0)
            append_one(w, page);
        if (w->number == 1 && i == 0)
            judge(w, ck_note(envol_volume_sync(w->l->f.volume)));
    }
    free(record);
    free(page);
    return NULL;
}

static void begin_work(struct lease_fixture *l, struct worker *workers, _Atomic bool *stop)
{
    for (uint64_t i = 0; i < WORKERS * PAGES_EACH; i++)
        volume_page_put(&l->f, i, 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        uint8_t id[ENVOL_OBJECT_BYTES] = {(uint8_t)(i + 1)};
        memset(w, 0, sizeof(*w));
        w->l = l;
        w->number = i;
        w->stop = stop;
        w->next_page = WORKERS * PAGES_EACH;
        ck_ok(envol_object_open(l->f.volume->keyring, id, &w->object));
        ck_ok(envol_lane_open(l->f.volume->keyring, &w->lane));
    }
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
}

static void wait_until(struct worker *workers, bool revoked)
{
    for (unsigned i = 0; i < WORKERS; i++)
        while (atomic_load(revoked ? &workers[i].revoked : &workers[i].succeeded) == 0 &&
               workers[i].wrong == ENVOL_OK)
            pause_us(1000);
}

static bool all_saw_both(struct worker *workers)
{
    for (unsigned i = 0; i < WORKERS; i++)
        if (workers[i].wrong == ENVOL_OK &&
            (atomic_load(&workers[i].revoked) == 0 || atomic_load(&workers[i].succeeded) == 0))
            return false;
    return true;
}

static void end_work(struct worker *workers, _Atomic bool *stop)
{
    wait_until(workers, true);
    atomic_store(stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        ck_assert_msg(workers[i].wrong == ENVOL_OK, "worker %u: %s", i,
                      envol_status_name(workers[i].wrong));
        ck_assert_uint_gt(workers[i].succeeded, 0);
        envol_lane_close(workers[i].lane);
        envol_object_close(workers[i].object);
    }
}

/* Every page that a write succeeded for is there, and none that was not written. */
static void expect_nothing_lost(struct lease_fixture *l, const struct worker *workers)
{
    for (unsigned w = 0; w < WORKERS; w++)
        for (unsigned i = 0; i < PAGES_EACH; i++) {
            ck_ok(envol_page_read(l->f.volume, page_of(&workers[w], i), l->f.other));
            ck_assert(holds_either(&workers[w], i, l->f.other));
        }
    for (uint64_t i = WORKERS * PAGES_EACH; i < workers[0].next_page; i++)
        volume_page_expect(&l->f, i, 1);
}

static void take_and_give(struct lease_fixture *l)
{
    lease_go_dark(l);
    lease_expect_wiped(l->f.volume->keyring);
    pause_us(1000);
    lease_come_back(l);
    l->changes = 0;
}

START_TEST(four_threads)
{
    static const int shapes[] = {0, 2, 4, 5, 6, 8};
    static struct worker workers[WORKERS];
    _Atomic bool stop = false;
    struct lease_fixture l;
    double end = seconds() + (test_tool() == NULL ? 1.5 : 4);
    unsigned rounds = 0;

    if (!lease_fixture_begin(&l, shapes[_i], 0))
        return;
    begin_work(&l, workers, &stop);
    for (; seconds() < end || rounds < 5 || !all_saw_both(workers); rounds++) {
        take_and_give(&l);
        pause_us(2000);
    }
    end_work(workers, &stop);
    expect_nothing_lost(&l, workers);
    volume_fixture_reopen(&l.f);
    expect_nothing_lost(&l, workers);
    lease_fixture_free(&l);
}
END_TEST

/* The same, and the end comes in the dark. */
START_TEST(four_threads_and_a_crash)
{
    static struct worker workers[WORKERS];
    _Atomic bool stop = false;
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, _i == 0 ? 0 : 5, 0))
        return;
    begin_work(&l, workers, &stop);
    for (int i = 0; i < 5; i++)
        take_and_give(&l);
    wait_until(workers, false);
    lease_go_dark(&l);
    end_work(workers, &stop);
    ck_assert_int_ne(ck_note(envol_volume_sync(l.f.volume)), ENVOL_E_IO);
    envol_lease_stop(l.lease);
    volume_fixture_kill(&l.f);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    volume_fixture_open(&l.f, 0, ENVOL_OK);
    expect_nothing_lost(&l, workers);
    lease_fixture_free(&l);
}
END_TEST

/* Handles that come and go meanwhile are found, or hold nothing. */
struct churn {
    const struct envol_keyring *keyring;
    _Atomic bool *stop;
    enum envol_status wrong;
};

static void *churn(void *argument)
{
    struct churn *c = argument;
    uint8_t id[ENVOL_OBJECT_BYTES] = "churn", page[512] = {1}, record[2048];

    while (!atomic_load(c->stop)) {
        struct envol_object *object = NULL;
        struct envol_lane *lane = NULL;
        enum envol_status status = envol_object_open(c->keyring, id, &object);
        if (status == ENVOL_OK)
            status = envol_lane_open(c->keyring, &lane);
        if (status == ENVOL_OK)
            status = envol_page_seal(object, lane, 3, page, record);
        if (status != ENVOL_OK && status != ENVOL_E_KEY_REVOKED)
            c->wrong = status;
        envol_lane_close(lane);
        envol_object_close(object);
    }
    return NULL;
}

START_TEST(objects_and_lanes_come_and_go)
{
    _Atomic bool stop = false;
    struct churn c = {.stop = &stop};
    struct lease_fixture l;
    pthread_t threads[2];

    if (!lease_fixture_begin(&l, _i == 0 ? 0 : 5, 0))
        return;
    c.keyring = l.f.volume->keyring;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, &c), 0);
    for (int i = 0; i < 100; i++) {
        lease_go_dark(&l);
        pause_us(100);
        lease_come_back(&l);
        l.changes = 0;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(c.wrong, ENVOL_OK);
    lease_fixture_free(&l);
}
END_TEST

/* --- The thread of a lease --- */

static bool wait_for_state(struct lease_fixture *l, enum envol_lease_state state, double limit)
{
    double end = seconds() + limit;

    while (lease_info_of(l).state != state) {
        if (seconds() > end)
            return false;
        pause_us(1000);
    }
    return true;
}

static void start_thread(struct lease_fixture *l, uint32_t interval_ms, uint32_t grace_ms)
{
    l->options.flags = ENVOL_LEASE_THREAD;
    l->options.interval_ms = interval_ms;
    l->options.grace_ms = grace_ms;
    lease_fixture_start(l);
}

START_TEST(it_polls_by_itself)
{
    struct lease_fixture l;
    double disabled, dark;

    if (!lease_fixture_open(&l, _i == 0 ? 0 : 5, 0))
        return;
    start_thread(&l, 20, 100);
    ck_status(envol_lease_poll(l.lease, 0, NULL), ENVOL_E_STATE);
    volume_page_expect(&l.f, 1, 1);
    for (int round = 0; round < 3; round++) {
        fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
        disabled = seconds();
        ck_assert(wait_for_state(&l, ENVOL_LEASE_INACCESSIBLE, 20));
        dark = seconds() - disabled;
        ck_assert_double_ge(dark, 0.099);
        volume_page_expect_status(&l.f, 1, ENVOL_E_KEY_REVOKED);
        lease_expect_wiped(l.f.volume->keyring);
        lease_come_back(&l);
        volume_page_expect(&l.f, 1, 1);
        ck_assert(wait_for_state(&l, ENVOL_LEASE_AVAILABLE, 20));
    }
    ck_assert_uint_ge(lease_info_of(&l).checks, 6);
    volume_fixture_close(&l.f); /* stops it */
    ck_assert_uint_eq(l.changes, 9);
    lease_fixture_free(&l);
}
END_TEST

/* Idle, in the middle of a check that hangs, and in the dark. */
START_TEST(it_stops_at_once)
{
    struct lease_fixture l;
    double before, took;
    unsigned calls;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    calls = fake_kms_calls(l.f.kms, FAKE_UNWRAP);
    start_thread(&l, _i == 0 ? 3600000 : 20, 10);
    if (_i == 1) {
        fake_kms_hang(l.f.kms, true);
        while (fake_kms_calls(l.f.kms, FAKE_UNWRAP) < calls + 1)
            pause_us(1000);
    }
    if (_i == 2) {
        fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
        ck_assert(wait_for_state(&l, ENVOL_LEASE_INACCESSIBLE, 20));
    }
    pause_us(20000);
    before = seconds();
    envol_lease_stop(l.lease);
    took = seconds() - before;
    if (test_tool() == NULL)
        ck_assert_double_le(took, 2); /* the next check is an hour away, a hanging one takes 10 s */
    fake_kms_hang(l.f.kms, false);
    /* A check that was cancelled so says nothing of the key. */
    if (_i == 2) {
        volume_page_expect_status(&l.f, 1, ENVOL_E_KEY_REVOKED);
        lease_come_back(&l);
    }
    volume_page_expect(&l.f, 1, 1);
    lease_fixture_free(&l);
}
END_TEST

/* Information never waits for a check. */
START_TEST(a_check_that_hangs_holds_nobody_up)
{
    struct lease_fixture l;
    double before;
    unsigned calls;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    calls = fake_kms_calls(l.f.kms, FAKE_UNWRAP);
    start_thread(&l, 10, 10);
    fake_kms_hang(l.f.kms, true);
    while (fake_kms_calls(l.f.kms, FAKE_UNWRAP) < calls + 1)
        pause_us(1000);
    before = seconds();
    volume_page_expect(&l.f, 1, 1);
    volume_page_put(&l.f, LEASE_PAGES, 1);
    ck_ok(envol_volume_sync(l.f.volume));
    (void)lease_info_of(&l);
    (void)volume_info_of(&l.f);
    ck_ok(envol_volume_truncate(l.f.volume, 3, NULL));
    ck_assert_double_le(seconds() - before, 3);
    lease_fixture_free(&l);
}
END_TEST

/* Name and blocked signals of the thread that is called "envol-lease". */
static bool describe_thread(uint64_t *blocked)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    char path[300], line[256];
    bool found = false;

    ck_assert_ptr_nonnull(tasks);
    while (!found && (entry = readdir(tasks)) != NULL) {
        FILE *status;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        status = fopen(path, "re");
        while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
            if (strncmp(line, "Name:", 5) == 0)
                found = strcmp(line, "Name:\tenvol-lease\n") == 0;
            if (found && strncmp(line, "SigBlk:", 7) == 0)
                *blocked = strtoull(line + 7, NULL, 16);
        }
        if (status != NULL)
            fclose(status);
    }
    closedir(tasks);
    return found;
}

START_TEST(its_name_and_its_signals)
{
    struct lease_fixture l;
    uint64_t blocked = 0;
    sigset_t mine;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    start_thread(&l, 20, 100);
    for (int i = 0; !describe_thread(&blocked); i++) {
        ck_assert_int_lt(i, 5000);
        pause_us(1000);
    }
    for (int sig = 1; sig < 32; sig++) {
        if (sig != SIGKILL && sig != SIGSTOP)
            ck_assert_msg((blocked >> (sig - 1) & 1) != 0, "signal %d is not blocked", sig);
    }
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &mine), 0);
    ck_assert_int_eq(sigismember(&mine, SIGTERM), 0);
    envol_lease_stop(l.lease);
    for (int i = 0; describe_thread(&blocked); i++) {
        ck_assert_int_lt(i, 5000);
        pause_us(1000);
    }
    lease_fixture_free(&l);
}
END_TEST

/* Against the rules, and harmless. */
static void stop_it(struct lease_fixture *l, const struct envol_lease_change *change)
{
    if (change->to == ENVOL_LEASE_SUSPECT)
        envol_lease_stop(l->lease);
}

START_TEST(stopped_by_its_own_callback)
{
    struct lease_fixture l;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.during = stop_it;
    if (_i == 0) {
        start_thread(&l, 20, 40);
        fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
        ck_assert(wait_for_state(&l, ENVOL_LEASE_INACCESSIBLE, 20));
    } else {
        lease_fixture_start(&l);
        lease_go_dark(&l);
    }
    lease_come_back(&l);
    lease_fixture_free(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease_threads");
    TCase *tests = tcase_create("threads");

    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, four_threads, 0, 6);
    tcase_add_loop_test(tests, four_threads_and_a_crash, 0, 2);
    tcase_add_loop_test(tests, objects_and_lanes_come_and_go, 0, 2);
    tcase_add_loop_test(tests, it_polls_by_itself, 0, 2);
    tcase_add_loop_test(tests, it_stops_at_once, 0, 3);
    tcase_add_test(tests, a_check_that_hangs_holds_nobody_up);
    tcase_add_test(tests, its_name_and_its_signals);
    tcase_add_loop_test(tests, stopped_by_its_own_callback, 0, 2);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
