/* SPDX-License-Identifier: BSD-2-Clause */
/* Verifying a volume: it goes on past bad pages, counts them, and holds nobody up meanwhile. */
#include "support.h"
#include "volume_fixture.h"

#include <errno.h>

struct seen {
    struct volume_fixture *f;
    uint64_t pages[8];
    size_t count, stop_at;
};

/* The callback may use the volume: nothing is held while it runs. */
static int see(void *ctx, uint64_t page_no, enum envol_status status)
{
    struct seen *seen = ctx;

    ck_assert_int_eq(status, ck_note(envol_page_read(seen->f->volume, page_no, seen->f->other)));
    ck_ok(envol_volume_truncate(seen->f->volume, envol_volume_pages(seen->f->volume), NULL));
    seen->pages[seen->count++] = page_no;
    return seen->count == seen->stop_at;
}

START_TEST(verify_goes_on)
{
    struct volume_fixture f;
    struct seen seen = {.f = &f};
    struct envol_verify_result result = {.struct_size = sizeof(result)};

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    for (uint64_t i = 0; i < 70; i++)
        volume_page_put(&f, i, 1);
    ck_ok(envol_page_trim(f.volume, 3, 2));
    ck_ok(envol_volume_verify(f.volume, see, &seen, &result, &f.error));
    ck_assert_uint_eq(result.pages, 70);
    ck_assert_uint_eq(result.unwritten, 2);
    ck_assert_uint_eq(result.bad, 0);
    for (uint64_t i = 7; i < 70; i += 29)
        volume_store_put(f.store, volume_record_at(&f, i) + 9, "damaged", 7);
    ck_status(envol_volume_verify(f.volume, see, &seen, &result, &f.error), ENVOL_E_CORRUPT);
    ck_assert_uint_eq(f.error.page_no, 7);
    ck_assert_uint_eq(result.pages, 70);
    ck_assert_uint_eq(result.bad, 3);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_uint_eq(seen.pages[1], 36);
    seen.count = 0;
    seen.stop_at = 2;
    ck_status(envol_volume_verify(f.volume, see, &seen, NULL, &f.error), ENVOL_E_CANCELLED);
    ck_assert_uint_eq(seen.count, 2);
    /* One bad sector is one bad page, and not those that are read together with it. */
    watched_bad_sector(f.watched, volume_record_at(&f, 5) + 100);
    ck_status(envol_volume_verify(f.volume, NULL, NULL, &result, &f.error), ENVOL_E_IO);
    ck_assert_int_eq(f.error.os_errno, EIO);
    ck_assert_uint_eq(f.error.page_no, 5);
    ck_assert_uint_eq(result.pages, 70);
    ck_assert_uint_eq(result.bad, 4);
    watched_bad_sector(f.watched, 0);
    result.struct_size--;
    ck_status(envol_volume_verify(f.volume, NULL, NULL, &result, &f.error), ENVOL_E_ARGUMENT);
    volume_fixture_close(&f);
    ck_assert_int_eq(envol_store_resize(f.store, volume_record_at(&f, 5), NULL), ENVOL_OK);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_status(envol_volume_verify(f.volume, NULL, NULL, NULL, &f.error), ENVOL_E_TRUNCATED);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(xts_cannot_be_verified)
{
    struct volume_fixture f;
    struct envol_verify_result result = {.struct_size = sizeof(result), .pages = 9};

    if (!volume_fixture_create(&f, &volume_shapes[5 + _i]))
        return;
    volume_page_put(&f, 0, 1);
    ck_status(envol_volume_verify(f.volume, NULL, NULL, &result, &f.error), ENVOL_E_UNSUPPORTED);
    ck_assert_uint_eq(result.pages, 0);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("verify");
    TCase *tcase = tcase_create("verify");

    tcase_add_loop_test(tcase, verify_goes_on, 0, 3);
    tcase_add_loop_test(tcase, xts_cannot_be_verified, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
