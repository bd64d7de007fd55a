/* SPDX-License-Identifier: BSD-2-Clause */
/* Syncs of a file store side by side: each covers what was written, and the sizes that were set,
 * before it, and a failure is every caller's. */
#include "store/store.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8 };

static _Atomic unsigned fsyncs, fdatasyncs;
static _Atomic bool held;         /* a sync does not return before this is false */
static _Atomic int fails;         /* errno of the next sync */
static void (*during_sync)(void); /* what another thread does before it returns, once */

static void wait_for(_Atomic unsigned *count, unsigned n)
{
    for (int i = 0; atomic_load(count) < n; i++) {
        ck_assert_int_lt(i, 10000);
        usleep(1000);
    }
}

static int finish(long call, int fd)
{
    void (*during)(void) = during_sync;
    int error = atomic_exchange(&fails, 0);

    during_sync = NULL;
    if (during != NULL)
        during();
    while (atomic_load(&held))
        usleep(1000);
    if (error == 0)
        return (int)syscall(call, fd);
    errno = error;
    return -1;
}

/* They stand in for the C library's in this program. */
int fsync(int fd)
{
    atomic_fetch_add(&fsyncs, 1);
    return finish(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    atomic_fetch_add(&fdatasyncs, 1);
    return finish(SYS_fdatasync, fd);
}

static struct envol_store *store;
static _Atomic unsigned asking;

static void sync_now(void)
{
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
}

static void resize(uint64_t bytes)
{
    ck_assert_int_eq(envol_store_resize(store, bytes, NULL), ENVOL_OK);
}

static void resize_again(void)
{
    resize(50);
}

static void open_store(void)
{
    ck_assert_int_eq(envol_file_store_open(test_path("x"), ENVOL_FILE_CREATE, &store, NULL),
                     ENVOL_OK);
    sync_now();
    fsyncs = fdatasyncs = 0;
}

static void *sync_thread(void *status)
{
    atomic_fetch_add(&asking, 1);
    *(enum envol_status *)status = envol_store_sync(store, NULL);
    return NULL;
}

/* The first is in the kernel when the others come. */
static void sync_side_by_side(enum envol_status statuses[THREADS])
{
    pthread_t threads[THREADS];

    asking = 0;
    atomic_store(&held, true);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sync_thread, &statuses[i]), 0);
        if (i == 0)
            wait_for(&fdatasyncs, 1);
    }
    wait_for(&asking, THREADS);
    usleep(50000); /* for what nobody can see: that they wait */
    atomic_store(&held, false);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* What the kernel tells one of them holds for all: the others' pages are among the lost ones. */
START_TEST(a_failure_beside_others)
{
    enum envol_status statuses[THREADS];

    open_store();
    fails = EIO;
    sync_side_by_side(statuses);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(statuses[i], ENVOL_E_IO);
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_E_IO);
    ck_assert_uint_eq(fdatasyncs, 1);
    envol_store_close(store);
}
END_TEST

/* Those that came too late for the first share another, two if the threads were slow to come. */
START_TEST(they_share)
{
    enum envol_status statuses[THREADS];

    open_store();
    sync_side_by_side(statuses);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(statuses[i], ENVOL_OK);
    ck_assert_uint_ge(fdatasyncs, 2);
    ck_assert_uint_le(fdatasyncs, 3);
    envol_store_close(store);
}
END_TEST

/* The second's failure is not the first's: that one's pages were written before. */
START_TEST(a_failure_after_a_sync)
{
    open_store();
    sync_now();
    fails = EIO;
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_E_IO);
    envol_store_close(store);
}
END_TEST

/* A resize's is remembered until a sync of that kind ended. */
START_TEST(a_resize_before_a_sync)
{
    open_store();
    resize(100);
    sync_now();
    ck_assert_uint_eq(fsyncs, 1);
    sync_now();
    ck_assert_uint_eq(fsyncs, 1);
    envol_store_close(store);
}
END_TEST

/* The sync that was in progress may not have seen it. */
START_TEST(a_resize_beside_a_sync)
{
    open_store();
    resize(100);
    during_sync = resize_again;
    sync_now();
    sync_now();
    ck_assert_uint_eq(fsyncs, 2);
    sync_now();
    ck_assert_uint_eq(fsyncs, 2);
    envol_store_close(store);
}
END_TEST

/* It does not wait for a thread that it has no copy of. */
START_TEST(a_child_forked_during_a_sync)
{
    enum envol_status status;
    pthread_t thread;
    pid_t child;
    int ended;

    open_store();
    atomic_store(&held, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, sync_thread, &status), 0);
    wait_for(&fdatasyncs, 1);
    child = fork();
    if (child == 0) {
        alarm(20);
        atomic_store(&held, false);
        status = envol_store_sync(store, NULL);
        envol_store_close(store);
        _exit(status == ENVOL_OK && fdatasyncs == 2 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert_int_eq(ended, 0);
    atomic_store(&held, false);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(status, ENVOL_OK);
    envol_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_syncs");
    TCase *tcase = tcase_create("syncs");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_failure_beside_others);
    tcase_add_test(tcase, they_share);
    tcase_add_test(tcase, a_failure_after_a_sync);
    tcase_add_test(tcase, a_resize_before_a_sync);
    tcase_add_test(tcase, a_resize_beside_a_sync);
    tcase_add_test(tcase, a_child_forked_during_a_sync);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
