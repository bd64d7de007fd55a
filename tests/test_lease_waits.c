/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks and other calls that wait for one another: none waits longer than it may. */
#include "lease_fixture.h"
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};

    nanosleep(&pause, NULL);
}

static void wait_until(const _Atomic bool *done)
{
    for (int i = 0; !atomic_load(done); i++) {
        ck_assert_int_lt(i, 10000);
        pause_ms(1);
    }
}

/* --- For a check --- */

struct waiting {
    struct lease_fixture *l;
    bool rotates;
    uint32_t timeout_ms;
    int cancel;
    enum envol_status status;
    _Atomic bool done;
};

static void *wait_for_turn(void *argument)
{
    struct waiting *w = argument;
    const struct envol_volume_options options = {
        .struct_size = sizeof(options), .timeout_ms = w->timeout_ms, .cancel_flag = &w->cancel};
    struct volume_fixture *f = &w->l->f;

    w->status = w->rotates
                    ? ck_note(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, &options, NULL))
                    : ck_note(envol_volume_unlock(f->volume, &f->cmk, 1, &options, NULL));
    atomic_store(&w->done, true);
    return NULL;
}

/* A check may take long: time-out and cancel flag hold for the wait for its end as well. */
START_TEST(calls_wait_no_longer_than_they_may)
{
    struct lease_fixture l;
    struct waiting w = {.l = &l, .rotates = _i % 2 == 1, .timeout_ms = _i < 2 ? 100 : 0};
    pthread_t thread;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    ck_assert_int_eq(pthread_mutex_lock(&l.f.volume->turn), 0); /* as a check does */
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_turn, &w), 0);
    if (w.timeout_ms == 0) {
        pause_ms(100);
        ck_assert(!atomic_load(&w.done));
        __atomic_store_n(&w.cancel, 1, __ATOMIC_RELEASE);
    }
    wait_until(&w.done);
    ck_assert_int_eq(w.status, w.timeout_ms == 0 ? ENVOL_E_CANCELLED : ENVOL_E_TIMEOUT);
    ck_assert_int_eq(pthread_mutex_unlock(&l.f.volume->turn), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    volume_page_put(&l.f, 1, 1);
    lease_fixture_free(&l);
}
END_TEST

/* How many threads this process has. */
static size_t threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t n = 0;

    ck_assert_ptr_nonnull(tasks);
    while (readdir(tasks) != NULL)
        n++;
    closedir(tasks);
    return n;
}

static void *stop_lease(void *lease)
{
    envol_lease_stop(lease);
    return NULL;
}

/* Somebody unlocks the volume, which takes long: the lease's thread does not wait for that. */
START_TEST(a_thread_that_is_stopped_meanwhile)
{
    struct lease_fixture l;
    pthread_t thread;
    size_t with_it;
    unsigned calls;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.options.flags = ENVOL_LEASE_THREAD;
    l.options.interval_ms = 10;
    lease_fixture_start(&l);
    ck_assert_int_eq(pthread_mutex_lock(&l.f.volume->turn), 0);
    calls = fake_kms_calls(l.f.kms, FAKE_UNWRAP);
    with_it = threads();
    pause_ms(50);
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_lease, l.lease), 0);
    for (int i = 0; threads() > with_it || i < 100; i++) { /* one came, and one went */
        ck_assert_int_lt(i, 5000);
        pause_ms(1);
    }
    ck_assert_int_eq(pthread_mutex_unlock(&l.f.volume->turn), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(fake_kms_calls(l.f.kms, FAKE_UNWRAP), calls);
    volume_page_expect(&l.f, 1, 1);
    lease_fixture_free(&l);
}
END_TEST

/* --- A check that waits --- */

struct holder {
    struct envol_volume *volume;
    bool growth;
    _Atomic bool holds, ends;
};

static void *hold(void *argument)
{
    struct holder *h = argument;

    if (h->growth)
        pthread_mutex_lock(&h->volume->growth);
    else
        pthread_rwlock_wrlock(&h->volume->access);
    atomic_store(&h->holds, true);
    wait_until(&h->ends);
    if (h->growth)
        pthread_mutex_unlock(&h->volume->growth);
    else
        pthread_rwlock_unlock(&h->volume->access);
    return NULL;
}

/* A disk that hangs keeps the locks: the keys go at the deadline all the same. */
START_TEST(a_check_that_cannot_look)
{
    struct holder h = {.growth = _i == 1};
    struct lease_fixture l;
    pthread_t thread;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    l.options.timeout_ms = 100;
    lease_fixture_start(&l);
    (void)lease_tick(&l, 0);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_SUSPECT);
    h.volume = l.f.volume;
    ck_assert_int_eq(pthread_create(&thread, NULL, hold, &h), 0);
    wait_until(&h.holds);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_int_eq(lease_info_of(&l).last_status, ENVOL_E_TIMEOUT);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_SUSPECT);
    ck_assert_int_eq(lease_tick(&l, LEASE_GRACE), ENVOL_E_KEY_REVOKED);
    lease_expect_wiped(l.f.volume->keyring);
    atomic_store(&h.ends, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    lease_come_back(&l);
    volume_page_expect(&l.f, 1, 1);
    lease_fixture_free(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease_waits");
    TCase *tests = tcase_create("waits");

    tcase_set_timeout(tests, 30);
    tcase_add_loop_test(tests, calls_wait_no_longer_than_they_may, 0, 4);
    tcase_add_test(tests, a_thread_that_is_stopped_meanwhile);
    tcase_add_loop_test(tests, a_check_that_cannot_look, 0, 2);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
