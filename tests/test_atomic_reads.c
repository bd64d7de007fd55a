/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads of atomic pages beside writes that fail. */
#include "support.h"
#include "volume_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static const struct volume_shape shapes[] = {
    {"gcm 512", ENVOL_SUITE_AES_256_GCM, 512, 0, 0},
    {"gcm in 16384", ENVOL_SUITE_AES_256_GCM, 0, 16384, 0},
    {"gcm sparse", ENVOL_SUITE_AES_256_GCM, 0, 4096, 1},
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

struct reading {
    struct volume_fixture *f;
    enum envol_status status;
    _Atomic bool done;
};

static void *read_page_0(void *argument)
{
    struct reading *r = argument;

    r->status = ck_note(envol_page_read(r->f->volume, 0, r->f->other));
    atomic_store(&r->done, true);
    return NULL;
}

/* A read that found the page torn finds it so at home once more, and whole in the area. */
START_TEST(a_home_that_fails_beside_a_read)
{
    struct volume_fixture f;
    struct reading r = {.f = &f};
    struct watched_store *watched;
    struct envol_store *store;
    pthread_t reader;

    watched = watched_store_new(&store);
    if (!volume_fixture_create_atomic(&f, &shapes[_i], store))
        return;
    f.watched = watched;
    for (uint64_t i = 0; i < 3; i++)
        volume_page_put(&f, i, 1);
    ck_ok(envol_volume_sync(f.volume));
    watched_tear_reads(f.watched, envol_volume_offset(f.volume, 0), f.volume->stride_bytes, 1);
    watched_halt(f.watched, WATCHED_READ, 1);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_page_0, &r), 0);
    ck_assert(watched_await_halt(f.watched, WATCHED_READ, &r.done));
    watched_fail(f.watched, WATCHED_WRITE, 3, ENVOL_E_IO);
    volume_page_fill(&f, 0, 2, f.page);
    ck_status(envol_page_write(f.volume, 0, f.page), ENVOL_E_IO);
    watched_go_on(f.watched, WATCHED_READ);
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
    ck_assert_int_eq(r.status, ENVOL_OK);
    ck_assert_uint_eq(volume_page_version(&f, 0, 3, f.other), 2);
    volume_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("atomic_reads");
    TCase *tcase = tcase_create("reads");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_home_that_fails_beside_a_read, 0, SHAPES);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
