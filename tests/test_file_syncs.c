/* SPDX-License-Identifier: BSD-2-Clause */
/* Syncs of a file store side by side: each covers the sizes that were set before it. */
#include "store/store.h"
#include "support.h"

#include <sys/syscall.h>
#include <unistd.h>

static unsigned fsyncs;
static void (*during_fsync)(void); /* what other threads do before it returns, once */

/* Stands in for the C library's in this program. */
int fsync(int fd)
{
    void (*during)(void) = during_fsync;

    fsyncs++;
    during_fsync = NULL;
    if (during != NULL)
        during();
    return (int)syscall(SYS_fsync, fd);
}

static struct envol_store *store;

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
}

/* The first one's is not done yet: the second makes no do with less. */
START_TEST(a_sync_beside_another)
{
    open_store();
    resize(100);
    fsyncs = 0;
    during_fsync = sync_now;
    sync_now();
    ck_assert_uint_eq(fsyncs, 2);
    sync_now();
    ck_assert_uint_eq(fsyncs, 2);
    envol_store_close(store);
}
END_TEST

/* The sync that was in progress may not have seen it. */
START_TEST(a_resize_beside_a_sync)
{
    open_store();
    resize(100);
    fsyncs = 0;
    during_fsync = resize_again;
    sync_now();
    sync_now();
    ck_assert_uint_eq(fsyncs, 2);
    sync_now();
    ck_assert_uint_eq(fsyncs, 2);
    envol_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_syncs");
    TCase *tcase = tcase_create("syncs");

    tcase_add_test(tcase, a_sync_beside_another);
    tcase_add_test(tcase, a_resize_beside_a_sync);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
