/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots: an image holds exactly what the pages held at its moment, whatever comes after. */
#include "snapshot_fixture.h"
#include "store/space.h"
#include "support.h"

#include <string.h>

/* Both suites, sparse ones, several chunks; and with atomic pages. */
static const int shapes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static bool begin(struct snapshot_fixture *s, int i)
{
    return snapshot_fixture_create(s, &volume_shapes[shapes[i % SHAPES]], i >= SHAPES);
}

/* Three chunks and a part of one, with a hole, and synced or not. */
static void fill(struct snapshot_fixture *s)
{
    snapshot_put(s, 0, 2 * s->chunk + 1);
    snapshot_put(s, 2 * s->chunk + 3, s->chunk);
}

static uint64_t kept_of(struct snapshot_fixture *s, const uint8_t uuid[ENVOL_UUID_BYTES])
{
    struct envol_snapshot_info infos[ENVOL_SNAPSHOTS_MAX] = {{.struct_size = sizeof(infos[0])}};
    size_t count;

    ck_ok(envol_snapshot_list(s->f.volume, infos, ENVOL_SNAPSHOTS_MAX, &count, &s->f.error));
    for (size_t i = 0; i < count; i++)
        if (memcmp(infos[i].uuid, uuid, ENVOL_UUID_BYTES) == 0)
            return infos[i].kept_pages;
    ck_abort_msg("no such snapshot");
}

START_TEST(an_image_is_of_its_moment)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(&s, _i))
        return;
    fill(&s);
    snapshot_make(&s, uuid);
    model = s.model;
    snapshot_expect_image(&s, uuid, &model, "at once");
    ck_assert_uint_eq(kept_of(&s, uuid), 0);
    snapshot_put(&s, 1, 1);
    ck_assert_uint_eq(kept_of(&s, uuid), s.chunk);
    snapshot_expect_image(&s, uuid, &model, "one page overwritten");
    snapshot_put(&s, 0, 1);
    snapshot_put(&s, 1, 1);
    ck_assert_uint_eq(kept_of(&s, uuid), s.chunk > 1 ? s.chunk : 2);
    snapshot_put(&s, model.pages - 1, 20);
    snapshot_expect_image(&s, uuid, &model, "grown");
    snapshot_trim(&s, s.chunk, 2);
    snapshot_expect_image(&s, uuid, &model, "trimmed");
    snapshot_expect(&s, s.f.volume, &s.model, "the volume itself");
    snapshot_fixture_reopen(&s);
    snapshot_expect_image(&s, uuid, &model, "reopened");
    snapshot_truncate(&s, s.chunk / 2 + 1);
    snapshot_expect_image(&s, uuid, &model, "truncated");
    ck_assert_uint_eq(kept_of(&s, uuid), model.pages);
    snapshot_put(&s, 3 * s.chunk, 5);
    snapshot_expect_image(&s, uuid, &model, "grown again");
    snapshot_fixture_reopen(&s);
    snapshot_expect_image(&s, uuid, &model, "reopened again");
    snapshot_expect(&s, s.f.volume, &s.model, "the volume itself, at last");
    ck_ok(envol_snapshot_delete(s.f.volume, uuid, &s.f.error));
    snapshot_expect(&s, s.f.volume, &s.model, "without the snapshot");
    snapshot_fixture_free(&s);
}
END_TEST

static unsigned files_of(struct snapshot_fixture *s)
{
    unsigned count = 0;

    ck_assert_int_eq(envol_space_list(s->space, snapshot_count_name, &count, NULL), ENVOL_OK);
    return count;
}

START_TEST(each_has_its_own)
{
    struct snapshot_fixture s;
    struct snapshot_model model[ENVOL_SNAPSHOTS_MAX];
    uint8_t uuid[ENVOL_SNAPSHOTS_MAX][ENVOL_UUID_BYTES], other[ENVOL_UUID_BYTES];

    if (!begin(&s, _i))
        return;
    for (unsigned i = 0; i < ENVOL_SNAPSHOTS_MAX; i++) {
        snapshot_make(&s, uuid[i]);
        model[i] = s.model;
        if (i % 3 == 2)
            snapshot_truncate(&s, s.chunk + i);
        else
            snapshot_put(&s, i * (s.chunk / 2) + i, s.chunk);
        if (i % 3 == 1)
            snapshot_trim(&s, i, s.chunk / 2 + 1);
    }
    ck_status(envol_snapshot_create(s.f.volume, NULL, other, &s.f.error), ENVOL_E_RANGE);
    ck_assert_uint_eq(files_of(&s), ENVOL_SNAPSHOTS_MAX);
    snapshot_fixture_reopen(&s);
    snapshot_put(&s, 0, 2 * s.chunk);
    for (unsigned i = 0; i < ENVOL_SNAPSHOTS_MAX; i++)
        snapshot_expect_image(&s, uuid[i], &model[i], "one of eight");
    /* In an order that leaves gaps. */
    for (unsigned i = 0; i < ENVOL_SNAPSHOTS_MAX; i++) {
        ck_ok(envol_snapshot_delete(s.f.volume, uuid[i * 3 % ENVOL_SNAPSHOTS_MAX], &s.f.error));
        snapshot_put(&s, i, 1);
        for (unsigned k = i + 1; k < ENVOL_SNAPSHOTS_MAX; k++)
            snapshot_expect_image(&s, uuid[k * 3 % ENVOL_SNAPSHOTS_MAX],
                                  &model[k * 3 % ENVOL_SNAPSHOTS_MAX], "others went");
        ck_assert_uint_eq(files_of(&s), ENVOL_SNAPSHOTS_MAX - 1 - i);
    }
    ck_assert_uint_eq(volume_info_of(&s.f).header.snapshots, 0);
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, 0, ENVOL_OK); /* no space is needed any more */
    snapshot_expect(&s, s.f.volume, &s.model, "without snapshots");
    snapshot_fixture_free(&s);
}
END_TEST

START_TEST(they_are_listed)
{
    struct snapshot_fixture s;
    struct envol_snapshot_info infos[ENVOL_SNAPSHOTS_MAX] = {{.struct_size = sizeof(infos[0])}};
    struct envol_volume_info info;
    uint8_t first[ENVOL_UUID_BYTES], second[ENVOL_UUID_BYTES];
    size_t count = 9;

    if (!snapshot_fixture_create(&s, &volume_shapes[2], false))
        return;
    ck_ok(envol_snapshot_list(s.f.volume, infos, ENVOL_SNAPSHOTS_MAX, &count, &s.f.error));
    ck_assert_uint_eq(count, 0);
    fill(&s);
    snapshot_make(&s, first);
    snapshot_put(&s, 0, 1);
    snapshot_put(&s, s.model.pages, 4);
    ck_ok(envol_snapshot_create(s.f.volume, NULL, second, &s.f.error));
    ck_ok(envol_snapshot_list(s.f.volume, infos, ENVOL_SNAPSHOTS_MAX, &count, &s.f.error));
    ck_assert_uint_eq(count, 2);
    ck_assert_mem_eq(infos[0].uuid, first, sizeof(first));
    ck_assert_mem_eq(infos[1].uuid, second, sizeof(second));
    ck_assert_str_eq(infos[0].label, "before the change");
    ck_assert_str_eq(infos[1].label, "");
    ck_assert_uint_eq(infos[0].pages, s.model.pages - 4);
    ck_assert_uint_eq(infos[1].pages, s.model.pages);
    ck_assert_uint_eq(infos[0].kept_pages, s.chunk);
    ck_assert_uint_eq(infos[1].kept_pages, 0);
    ck_assert_uint_gt(infos[0].file_bytes, s.chunk * s.f.stride_bytes);
    ck_assert_uint_lt(infos[0].generation, infos[1].generation);
    ck_assert_uint_gt(infos[0].created_at_s, 1600000000);
    ck_assert_uint_eq(infos[0].epoch, 1);
    info = volume_info_of(&s.f);
    ck_assert_uint_eq(info.header.snapshots, 2);
    ck_assert_mem_eq(info.header.snapshot[1].uuid, second, sizeof(second));
    ck_assert_uint_eq(info.header.snapshot[1].generation, infos[1].generation);
    ck_status(envol_snapshot_list(s.f.volume, infos, 1, &count, &s.f.error), ENVOL_E_RANGE);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(infos[0].pages, 0);
    ck_status(envol_snapshot_list(s.f.volume, NULL, 0, &count, NULL), ENVOL_E_RANGE);
    snapshot_fixture_reopen(&s);
    ck_ok(envol_snapshot_list(s.f.volume, infos, ENVOL_SNAPSHOTS_MAX, &count, &s.f.error));
    ck_assert_str_eq(infos[0].label, "before the change");
    ck_assert_uint_eq(infos[0].kept_pages, s.chunk);
    volume_fixture_close(&s.f);
    /* A reader without the space knows what the header says. */
    volume_fixture_open(&s.f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_ok(envol_snapshot_list(s.f.volume, infos, ENVOL_SNAPSHOTS_MAX, &count, &s.f.error));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(infos[0].label, "");
    ck_assert_uint_eq(infos[0].kept_pages, 0);
    ck_assert_uint_eq(infos[1].pages, s.model.pages);
    snapshot_fixture_free(&s);
}
END_TEST

/* A writer goes on, in steps, under images that were opened at the beginning. */
START_TEST(open_images_stay_as_they_are)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct snapshot_image other;
    struct envol_volume *own;
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(&s, _i))
        return;
    fill(&s);
    snapshot_make(&s, uuid);
    model = s.model;
    ck_ok(envol_snapshot_open(s.f.volume, uuid, &own, &s.f.error));
    snapshot_image_open(&s, uuid, &other);
    for (unsigned i = 0; i < 6; i++) {
        snapshot_put(&s, i * s.chunk / 2, s.chunk / 2 + 1);
        if (i == 3)
            snapshot_truncate(&s, s.chunk);
        snapshot_expect(&s, own, &model, "the writer's");
        snapshot_expect(&s, other.volume, &model, "another process's");
        ck_ok(envol_volume_refresh(own, &s.f.error));
        ck_ok(envol_volume_refresh(other.volume, &s.f.error));
        ck_status(envol_snapshot_delete(s.f.volume, uuid, &s.f.error), ENVOL_E_BUSY);
    }
    ck_ok(envol_volume_close(own));
    ck_status(envol_snapshot_delete(s.f.volume, uuid, &s.f.error), ENVOL_E_BUSY);
    snapshot_fixture_reopen(&s); /* beside the other's */
    snapshot_put(&s, 0, s.chunk);
    snapshot_expect(&s, other.volume, &model, "after the writer came back");
    snapshot_image_close(&other);
    ck_ok(envol_snapshot_delete(s.f.volume, uuid, &s.f.error));
    snapshot_fixture_free(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *made = suite_create("snapshot");
    TCase *images = tcase_create("images");

    tcase_set_timeout(images, 60);
    tcase_add_loop_test(images, an_image_is_of_its_moment, 0, 2 * SHAPES);
    tcase_add_loop_test(images, each_has_its_own, 0, 2 * SHAPES);
    tcase_add_loop_test(images, open_images_stay_as_they_are, 0, 2 * SHAPES);
    tcase_add_test(images, they_are_listed);
    suite_add_tcase(made, images);
    return made;
}

int main(void)
{
    return test_run(suite());
}
