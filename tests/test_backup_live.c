/* SPDX-License-Identifier: BSD-2-Clause */
/* Backups of a volume that is being written: they are of the moment at which they began. */
#include "backup_fixture.h"
#include "snapshot_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 400 };

/* A volume with a space, whose tapes and restored volume are a backup fixture's. */
struct live {
    struct snapshot_fixture s;
    struct backup_fixture b;
    struct tape lists[3], backups[3];
    struct snapshot_model models[3];
    struct snapshot_model *then; /* as the backup in progress must be */
    unsigned turns;
};

static bool begin(struct live *l, int shape, bool atomic)
{
    struct envol_store *store;

    memset(l, 0, sizeof(*l));
    if (!snapshot_fixture_create(&l->s, &volume_shapes[shape], atomic))
        return false;
    fake_kms_add_key(l->s.f.kms, BACKUP_KEY);
    fake_kms_add_key(l->s.f.kms, RESTORE_KEY);
    l->b.f = l->b.g = l->s.f;
    l->b.g.volume = NULL;
    l->b.g.cmk.key_ref = RESTORE_KEY;
    l->b.backup_cmk = (struct envol_cmk){l->s.f.provider, BACKUP_KEY};
    l->b.result.struct_size = sizeof(l->b.result);
    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    l->b.g.store = store;
    for (uint64_t i = 0; i < PAGES; i += 50)
        snapshot_put(&l->s, i, 50);
    return true;
}

static void finish(struct live *l)
{
    for (size_t i = 0; i < 3; i++) {
        tape_clear(&l->lists[i]);
        tape_clear(&l->backups[i]);
    }
    if (l->b.g.volume != NULL)
        volume_fixture_close(&l->b.g);
    envol_store_close(l->b.g.store);
    snapshot_fixture_free(&l->s);
}

/* Pages before and behind where the backup is are written, trimmed, cut off and added. */
static int write_meanwhile(void *ctx, uint64_t done, uint64_t pages)
{
    struct live *l = ctx;

    ck_assert_uint_eq(pages, l->then->pages);
    switch (l->turns++ % 4) {
    case 0:
        snapshot_put(&l->s, (done + 97) % 300, 20);
        break;
    case 1:
        snapshot_put(&l->s, l->s.model.pages + 3, 2);
        break;
    case 2:
        snapshot_trim(&l->s, (done + 41) % 290, 7);
        break;
    default:
        snapshot_truncate(&l->s, l->s.model.pages > 350 ? l->s.model.pages - 30 : 360);
        break;
    }
    return 0;
}

static size_t snapshots(struct live *l)
{
    struct envol_snapshot_info infos[ENVOL_SNAPSHOTS_MAX] = {{.struct_size = sizeof(infos[0])}};
    size_t count;

    ck_ok(envol_snapshot_list(l->s.f.volume, infos, ENVOL_SNAPSHOTS_MAX, &count, NULL));
    return count;
}

static void take(struct live *l, size_t i, bool lists)
{
    const struct envol_backup_options options = {
        .struct_size = sizeof(options),
        .progress = write_meanwhile,
        .progress_ctx = l,
        .changes = lists && i > 0 ? tape_source : NULL,
        .changes_ctx = i > 0 ? tape_rewind(&l->lists[i - 1]) : NULL,
        .new_changes = lists ? tape_sink : NULL,
        .new_changes_ctx = &l->lists[i],
    };

    l->models[i] = l->s.model;
    l->then = &l->models[i];
    ck_ok(envol_backup_write(l->s.f.volume, &l->b.backup_cmk, 1, &options, tape_sink,
                             &l->backups[i], &l->b.result, &l->s.f.error));
    ck_assert_int_eq(l->b.result.incremental, lists && i > 0);
    ck_assert_uint_gt(l->turns, 4);
    ck_assert_uint_eq(snapshots(l), 0);
}

static const int shapes[] = {0, 2, 4, 5, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), GCM_SHAPES = 3 };

START_TEST(of_one_moment)
{
    struct live l;
    struct tape *const tapes[] = {&l.backups[0]};

    if (!begin(&l, shapes[_i % SHAPES], _i >= SHAPES))
        return;
    take(&l, 0, false);
    restore_whole(&l.b, tapes, 1);
    snapshot_expect(&l.s, l.b.g.volume, &l.models[0], "restored");
    snapshot_expect(&l.s, l.s.f.volume, &l.s.model, "the volume itself");
    finish(&l);
}
END_TEST

START_TEST(incremental_ones)
{
    struct live l;
    struct tape *const tapes[] = {&l.backups[0], &l.backups[1], &l.backups[2]};

    if (!begin(&l, shapes[_i % GCM_SHAPES], _i >= GCM_SHAPES))
        return;
    for (size_t i = 0; i < 3; i++)
        take(&l, i, true);
    restore_whole(&l.b, tapes, 3);
    snapshot_expect(&l.s, l.b.g.volume, &l.models[2], "restored");
    finish(&l);
}
END_TEST

/* Of an image that another process has open, beside its writer. */
START_TEST(of_an_image)
{
    struct live l;
    struct snapshot_image image;
    struct tape *const tapes[] = {&l.backups[0]};
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(&l, shapes[_i], false))
        return;
    snapshot_make(&l.s, uuid);
    l.models[0] = l.s.model;
    snapshot_put(&l.s, 100, 50);
    snapshot_image_open(&l.s, uuid, &image);
    l.then = &l.models[0];
    ck_ok(envol_backup_write(image.volume, &l.b.backup_cmk, 1, NULL, tape_sink, &l.backups[0],
                             &l.b.result, &l.s.f.error));
    snapshot_image_close(&image);
    restore_whole(&l.b, tapes, 1);
    snapshot_expect(&l.s, l.b.g.volume, &l.models[0], "restored");
    ck_assert_uint_eq(snapshots(&l), 1);
    finish(&l);
}
END_TEST

/* The snapshot goes whatever becomes of the backup. */
START_TEST(one_that_fails)
{
    struct live l;

    if (!begin(&l, 0, false))
        return;
    for (unsigned nth = 1; nth < 12; nth++) {
        tape_clear(&l.backups[0]);
        l.backups[0].fail_at = nth;
        ck_status(envol_backup_write(l.s.f.volume, &l.b.backup_cmk, 1, NULL, tape_sink,
                                     &l.backups[0], &l.b.result, &l.s.f.error),
                  ENVOL_E_IO);
        ck_assert_uint_eq(snapshots(&l), 0);
    }
    fake_kms_set_state(l.s.f.kms, BACKUP_KEY, FAKE_KEY_DISABLED);
    ck_status(envol_backup_write(l.s.f.volume, &l.b.backup_cmk, 1, NULL, tape_sink, &l.backups[0],
                                 &l.b.result, &l.s.f.error),
              ENVOL_E_KEY_DISABLED);
    ck_assert_uint_eq(snapshots(&l), 0);
    finish(&l);
}
END_TEST

START_TEST(no_room_for_a_snapshot)
{
    struct live l;
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(&l, 0, false))
        return;
    for (unsigned i = 0; i < ENVOL_SNAPSHOTS_MAX; i++)
        snapshot_make(&l.s, uuid);
    ck_status(envol_backup_write(l.s.f.volume, &l.b.backup_cmk, 1, NULL, tape_sink, &l.backups[0],
                                 &l.b.result, &l.s.f.error),
              ENVOL_E_RANGE);
    ck_assert_uint_eq(l.backups[0].count, 0);
    finish(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup_live");
    TCase *tcase = tcase_create("live");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, of_one_moment, 0, 2 * SHAPES);
    tcase_add_loop_test(tcase, incremental_ones, 0, 2 * GCM_SHAPES);
    tcase_add_loop_test(tcase, of_an_image, 0, SHAPES);
    tcase_add_test(tcase, one_that_fails);
    tcase_add_test(tcase, no_room_for_a_snapshot);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
