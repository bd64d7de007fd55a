/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DEK rotation of a volume in use: begin, step, run, pause, finish; what is read meanwhile and
 * afterwards, what is left of the older DEK, what fails and what is then as it was.
 */
#include "base/memory.h"
#include "header/header.h"
#include "support.h"
#include "volume/rotation.h"
#include "volume_fixture.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 70, HOLE_AT = 65 };

/* A volume of PAGES pages of version 1 and, under GCM, a hole. */
static bool begin_volume(struct volume_fixture *f, int i)
{
    if (!volume_fixture_create(f, &volume_shapes[i]))
        return false;
    for (uint64_t p = 0; p < PAGES; p++)
        if (p != HOLE_AT)
            volume_page_put(f, p, 1);
    ck_ok(envol_volume_sync(f->volume));
    return true;
}

static struct envol_rotation status_of(struct volume_fixture *f)
{
    struct envol_rotation rotation = {.struct_size = sizeof(rotation)};

    ck_ok(envol_volume_rotate_status(f->volume, &rotation));
    return rotation;
}

static void begin(struct volume_fixture *f)
{
    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
}

static struct envol_rotation step(struct volume_fixture *f, uint64_t pages)
{
    struct envol_rotation rotation = {.struct_size = sizeof(rotation)};

    ck_ok(envol_volume_rotate_step(f->volume, pages, &rotation, &f->error));
    return rotation;
}

static struct envol_rotation run(struct volume_fixture *f)
{
    struct envol_rotation rotation = {.struct_size = sizeof(rotation)};

    ck_ok(envol_volume_rotate_run(f->volume, 0, NULL, NULL, &rotation, &f->error));
    ck_assert_int_eq(rotation.state, ENVOL_ROTATION_SWEPT);
    return rotation;
}

static void finish(struct volume_fixture *f)
{
    ck_ok(envol_volume_rotate_finish(f->volume, 0, &f->error));
}

static void expect_all(struct volume_fixture *f, unsigned version)
{
    for (uint64_t p = 0; p < PAGES; p++)
        if (p != HOLE_AT)
            volume_page_expect(f, p, version);
        else if (f->gcm || f->shape->sparse)
            volume_page_expect_status(f, p, ENVOL_E_UNWRITTEN);
    ck_assert_uint_eq(envol_volume_pages(f->volume), PAGES);
}

/* --- The whole of it --- */

START_TEST(a_volume_moves_to_a_new_dek)
{
    struct volume_fixture f;
    struct envol_rotation r;
    uint8_t dek[ENVOL_DEK_BYTES], newer[ENVOL_DEK_BYTES];

    if (!begin_volume(&f, _i))
        return;
    ck_assert(fake_kms_last_dek(f.kms, dek));
    r = status_of(&f);
    ck_assert_int_eq(r.state, ENVOL_ROTATION_NONE);
    ck_assert_uint_eq(r.epoch, 1);
    begin(&f);
    ck_assert(fake_kms_last_dek(f.kms, newer));
    ck_assert_mem_ne(dek, newer, sizeof(dek));
    r = status_of(&f);
    ck_assert_int_eq(r.state, ENVOL_ROTATION_RUNNING);
    ck_assert_uint_eq(r.epoch, 2);
    ck_assert_uint_eq(r.from_epoch, 1);
    ck_assert_uint_eq(r.pages, PAGES);
    ck_assert_uint_eq(r.done, 0);
    expect_all(&f, 1);
    r = step(&f, 7);
    ck_assert_uint_eq(r.done, 7);
    expect_all(&f, 1);
    volume_page_put(&f, 3, 2);
    volume_page_put(&f, 20, 2);
    r = run(&f);
    ck_assert_uint_eq(r.done, PAGES);
    ck_assert_uint_eq(r.bad, 0);
    volume_page_expect(&f, 3, 2);
    volume_page_expect(&f, 20, 2);
    volume_page_put(&f, 3, 1);
    volume_page_put(&f, 20, 1);
    expect_all(&f, 1);
    finish(&f);
    expect_all(&f, 1);
    volume_fixture_reopen(&f);
    expect_all(&f, 1);
    ck_assert_uint_eq(volume_info_of(&f).header.epoch, 2);
    ck_assert_uint_eq(volume_info_of(&f).header.lowest_epoch, 2);
    ck_assert_uint_eq(volume_info_of(&f).header.retained_epochs, 0);
    ck_assert_int_eq(status_of(&f).state, ENVOL_ROTATION_NONE);
    volume_fixture_free(&f);
}
END_TEST

/* Closed or killed after any number of pages, and opened again. */
START_TEST(it_goes_on_where_it_was)
{
    struct volume_fixture f;

    if (!begin_volume(&f, _i))
        return;
    begin(&f);
    for (uint64_t done = 0; done < PAGES; done += 9) {
        struct envol_rotation r;
        if (done % 2 == 0)
            volume_fixture_reopen(&f);
        else {
            volume_fixture_kill(&f);
            volume_fixture_open(&f, 0, ENVOL_OK);
        }
        expect_all(&f, 1);
        r = status_of(&f);
        ck_assert_int_eq(r.state, ENVOL_ROTATION_RUNNING);
        ck_assert_uint_eq(r.epoch, 2);
        ck_assert_uint_ge(step(&f, 9).done, r.done + 5);
    }
    run(&f);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_int_eq(status_of(&f).state, ENVOL_ROTATION_SWEPT);
    finish(&f);
    expect_all(&f, 1);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate");
    TCase *whole = tcase_create("whole");

    tcase_set_timeout(whole, 120);
    tcase_add_loop_test(whole, a_volume_moves_to_a_new_dek, 0, VOLUME_SHAPES);
    tcase_add_loop_test(whole, it_goes_on_where_it_was, 0, VOLUME_SHAPES);
    suite_add_tcase(s, whole);
    return s;
}

int main(void)
{
    return test_run(suite());
}
