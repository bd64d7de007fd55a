/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The catalog of backups, volume and space together, at a crash at any moment and with any call
 * that fails: a backup that was recorded is there until somebody began to forget it.
 */
#include "catalog_fixture.h"
#include "crash_space.h"
#include "support.h"
#include "volume/catalog.h"

#include <envol/rotate.h>
#include <stdlib.h>
#include <string.h>

static const struct volume_shape crash_shapes[] = {
    {"gcm 512", ENVOL_SUITE_AES_256_GCM, 512, 0, 0},
    {"xts 4096", ENVOL_SUITE_AES_256_XTS, 4096, 0, 0},
};
enum { SHAPES = sizeof(crash_shapes) / sizeof(crash_shapes[0]), BACKUPS = 80, PAGES = 4 };

struct life {
    uint8_t uuid[ENVOL_UUID_BYTES];
    size_t made, forgetting, forgotten; /* calls: when it had been recorded, and so on; 0: never */
};

struct history {
    struct snapshot_fixture s;
    struct crash_store *crash;
    struct life lives[BACKUPS];
    size_t born;
    unsigned images, checked;
};

/* --- A history --- */

static struct history *history_new(int i)
{
    struct history *h = calloc(1, sizeof(*h));
    struct envol_store *store;
    struct envol_space *space;

    ck_assert_ptr_nonnull(h);
    h->crash = crash_store_new(NULL, 0, &store);
    space = crash_space_new(h->crash, NULL);
    if (!snapshot_fixture_create_on(&h->s, &crash_shapes[i], false, store, space)) {
        free(h);
        return NULL;
    }
    snapshot_put(&h->s, 0, PAGES);
    ck_ok(envol_volume_sync(h->s.f.volume));
    return h;
}

/* What was forgotten by now is no part of the history that begins here. */
static void settle(struct history *h)
{
    size_t kept = 0;

    ck_ok(envol_volume_sync(h->s.f.volume));
    crash_store_settle(h->crash);
    for (size_t i = 0; i < h->born; i++)
        if (h->lives[i].forgotten == 0)
            h->lives[kept++] = h->lives[i];
    h->born = kept;
    for (size_t i = 0; i < kept; i++)
        h->lives[i].made = crash_store_calls(h->crash);
}

static struct life *record(struct history *h)
{
    struct life *life = &h->lives[h->born++];

    ck_assert_uint_le(h->born, BACKUPS);
    catalog_note(&h->s.f, life->uuid);
    life->made = crash_store_calls(h->crash);
    return life;
}

static void forget(struct history *h, struct life *life)
{
    life->forgetting = crash_store_calls(h->crash);
    ck_ok(envol_backup_forget(h->s.f.volume, life->uuid, &h->s.f.error));
    life->forgotten = crash_store_calls(h->crash);
}

static void begin_rotation(struct history *h)
{
    struct volume_fixture *f = &h->s.f;

    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
    ck_ok(envol_volume_rotate_run(f->volume, 0, NULL, NULL, NULL, &f->error));
}

static void finish_rotation(struct history *h)
{
    ck_ok(envol_volume_rotate_finish(h->s.f.volume, 0, &h->s.f.error));
}

/* --- Holding an image against it --- */

static bool is_listed(const struct catalog_seen *seen, const struct life *life)
{
    for (size_t i = 0; i < seen->count; i++)
        if (memcmp(seen->one[i].entry.uuid, life->uuid, ENVOL_UUID_BYTES) == 0)
            return true;
    return false;
}

static void check_list(const struct history *h, struct snapshot_fixture *g,
                       const struct crash_image *image)
{
    static struct catalog_seen seen;
    enum envol_status status = catalog_list(g->f.volume, &seen, &g->f.error);
    size_t known = 0;

    ck_assert_msg(status == ENVOL_OK, "%s: %s; %s", envol_status_name(status), g->f.error.message,
                  image->story);
    for (size_t i = 0; i < h->born; i++) {
        const struct life *life = &h->lives[i];
        bool listed = is_listed(&seen, life);
        known += listed;
        if (life->made <= image->calls &&
            (life->forgotten == 0 || image->calls <= life->forgetting))
            ck_assert_msg(listed, "backup %zu is not there; %s", i, image->story);
        if (life->forgotten != 0 && life->forgotten <= image->calls)
            ck_assert_msg(!listed, "backup %zu is still there; %s", i, image->story);
    }
    ck_assert_uint_eq(seen.count, known);
}

/* Nothing is left behind, and it can be gone on with. */
static void go_on(struct snapshot_fixture *g, const struct crash_image *image)
{
    uint64_t serial = volume_info_of(&g->f).header.catalog_serial;
    unsigned files = catalog_files(g->space);
    uint8_t uuid[ENVOL_UUID_BYTES];

    ck_assert_msg(files == (serial != 0), "%u files; %s", files, image->story);
    catalog_note(&g->f, uuid);
    ck_ok(envol_backup_forget(g->f.volume, uuid, &g->f.error));
}

static void check_image(const struct crash_image *image, void *ctx)
{
    struct history *h = ctx;
    struct snapshot_fixture g = h->s;
    struct crash_store *crash;
    unsigned mode = h->images++;

    if (mode % crash_store_sample(97, 23, 5) != 0)
        return;
    crash = crash_store_new(image->bytes, image->size, &g.f.store);
    g.space = crash_space_new(crash, image);
    if (++h->checked % 4 == 1) { /* before a writer mended anything */
        snapshot_fixture_open(&g, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
        check_list(h, &g, image);
        volume_fixture_close(&g.f);
    }
    snapshot_fixture_open(&g, 0, ENVOL_OK);
    check_list(h, &g, image);
    go_on(&g, image);
    check_list(h, &g, image);
    snapshot_fixture_reopen(&g);
    check_list(h, &g, image);
    volume_fixture_close(&g.f);
    envol_space_close(g.space);
    envol_store_close(g.f.store);
}

static void replay(struct history *h)
{
    const struct crash_options options = {.sector_bytes = 4096};

    ck_assert_uint_gt(crash_store_replay(h->crash, &options, check_image, h), 20);
    snapshot_fixture_free(&h->s);
    free(h);
}

/* --- Histories --- */

START_TEST(recording_and_forgetting)
{
    struct history *h = history_new(_i);
    struct life *first;

    if (h == NULL)
        return;
    settle(h);
    first = record(h);
    record(h);
    forget(h, first);
    forget(h, &h->lives[1]);
    record(h);
    replay(h);
}
END_TEST

START_TEST(moving_to_another_dek)
{
    struct history *h = history_new(_i);

    if (h == NULL)
        return;
    record(h);
    record(h);
    begin_rotation(h);
    settle(h);
    finish_rotation(h);
    record(h);
    replay(h);
}
END_TEST

START_TEST(changing_in_the_middle_of_a_rotation)
{
    struct history *h = history_new(_i);

    if (h == NULL)
        return;
    record(h);
    begin_rotation(h);
    settle(h);
    record(h);
    forget(h, &h->lives[0]);
    finish_rotation(h);
    replay(h);
}
END_TEST

/* Entries that do not count go with their file. */
START_TEST(a_smaller_file)
{
    struct history *h = history_new(_i);

    if (h == NULL)
        return;
    record(h);
    for (size_t i = 1; i < 33; i++)
        forget(h, record(h));
    settle(h);
    for (size_t i = 0; i < 2; i++)
        forget(h, record(h));
    replay(h);
}
END_TEST

/* --- Calls that fail --- */

enum step { STEP_RECORD, STEP_FORGET, STEP_MOVE, STEPS };

static enum envol_status take_step(struct history *h, enum step step, uint8_t *uuid)
{
    struct volume_fixture *f = &h->s.f;

    if (step == STEP_RECORD)
        return ck_note(envol_backup_note_raw(f->volume, NULL, uuid, &f->error));
    if (step == STEP_FORGET)
        return ck_note(envol_backup_forget(f->volume, h->lives[0].uuid, &f->error));
    return ck_note(envol_volume_rotate_finish(f->volume, 0, &f->error));
}

static size_t count(struct history *h)
{
    static struct catalog_seen seen;

    ck_assert_msg(catalog_list(h->s.f.volume, &seen, &h->s.f.error) == ENVOL_OK, "%s",
                  h->s.f.error.message);
    return seen.count;
}

/* As if the process ended then; the store's handle stays. */
static void open_again(struct history *h)
{
    volume_fixture_kill(&h->s.f);
    snapshot_fixture_open(&h->s, 0, ENVOL_OK);
}

/* What failed is done or not, all of it; doing it again does it. */
static bool try_nth(int shape, enum step step, unsigned nth, enum crash_fault fault, bool reopens)
{
    static const size_t expected[STEPS] = {3, 1, 2};
    struct history *h = history_new(shape);
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status status;
    bool struck;
    size_t there;

    if (h == NULL)
        return false;
    record(h);
    record(h);
    if (step == STEP_MOVE)
        begin_rotation(h);
    crash_store_fail(h->crash, nth, fault);
    status = take_step(h, step, uuid);
    struck = crash_store_failed(h->crash);
    crash_store_fail(h->crash, 0, fault);
    if (status != ENVOL_OK)
        ck_assert_int_eq(status, ENVOL_E_IO);
    if (reopens)
        open_again(h);
    there = count(h);
    ck_assert_msg(there == expected[step] || (status != ENVOL_OK && there == 2),
                  "step %d, call %u: %zu backups", step, nth, there);
    if (reopens && status != ENVOL_OK && there != expected[step])
        ck_assert_int_eq(take_step(h, step, uuid), ENVOL_OK);
    if (h->s.f.volume != NULL)
        volume_fixture_kill(&h->s.f);
    snapshot_fixture_free(&h->s);
    free(h);
    return struck;
}

START_TEST(each_call_fails)
{
    enum step step = (enum step)(_i / 2);
    unsigned nth = 1;

    for (int fault = CRASH_FAULT_NOTHING; fault <= CRASH_FAULT_ALL; fault++)
        for (nth = 1; try_nth(0, step, nth, (enum crash_fault)fault, _i % 2 != 0); nth++)
            ck_assert_uint_lt(nth, 200);
    ck_assert_uint_gt(nth, 8);
}
END_TEST

static Suite *suite(void)
{
    Suite *made = suite_create("catalog_crash");
    TCase *crashes = tcase_create("crashes");

    tcase_set_timeout(crashes, 120);
    tcase_add_loop_test(crashes, recording_and_forgetting, 0, SHAPES);
    tcase_add_loop_test(crashes, moving_to_another_dek, 0, SHAPES);
    tcase_add_loop_test(crashes, changing_in_the_middle_of_a_rotation, 0, SHAPES);
    tcase_add_loop_test(crashes, a_smaller_file, 0, 1);
    tcase_add_loop_test(crashes, each_call_fails, 0, 2 * STEPS);
    suite_add_tcase(made, crashes);
    return made;
}

int main(void)
{
    return test_run(suite());
}
