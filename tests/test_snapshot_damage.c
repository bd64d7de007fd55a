/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of snapshots that were changed, cut, mixed up or lost, and stores that fail: what is not
 * right is said not to be, and no page of an image is ever another one. */
#include "base/bytes.h"
#include "crash_space.h"
#include "snapshot_fixture.h"
#include "store/space.h"
#include "support.h"
#include "volume/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Chunks of two pages. */
static const struct volume_shape damage_shapes[] = {
    {"gcm 128 KiB", ENVOL_SUITE_AES_256_GCM, 0, 131072, 0},
    {"xts 128 KiB", ENVOL_SUITE_AES_256_XTS, 131072, 0, 0},
};
enum { SHAPES = sizeof(damage_shapes) / sizeof(damage_shapes[0]), ENTRIES = 4, PAGES = 7 };

struct file {
    char name[ENVOL_SNAPSHOT_NAME_BYTES];
    uint8_t *bytes;
    size_t size;
    size_t at[ENTRIES + 1]; /* of entries, and the end */
};

static void get_file(struct snapshot_fixture *s, const uint8_t *uuid, struct file *file)
{
    struct envol_store *store;

    envol_snapshot_name(uuid, file->name);
    ck_assert_int_eq(envol_space_store(s->space, file->name, 0, &store, NULL), ENVOL_OK);
    file->size = (size_t)volume_store_bytes(store);
    file->bytes = malloc(file->size);
    ck_assert_ptr_nonnull(file->bytes);
    volume_store_get(store, 0, file->bytes, file->size);
    envol_store_close(store);
    for (size_t i = 0, at = 0; i <= ENTRIES && at <= file->size; i++) {
        file->at[i] = at;
        if (at < file->size)
            at += (size_t)envol_chain_bytes(envol_load64(file->bytes + at + 32));
    }
}

static void put_file(struct snapshot_fixture *s, const struct file *file, const uint8_t *bytes,
                     size_t size)
{
    struct envol_store *store;

    ck_assert_int_eq(envol_space_store(s->space, file->name, 0, &store, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_resize(store, size, NULL), ENVOL_OK);
    volume_store_put(store, 0, bytes, size);
    envol_store_close(store);
}

/* A closed volume, whose snapshot's file has a manifest and three chunks. */
static bool begin(struct snapshot_fixture *s, int i, uint8_t *uuid, struct snapshot_model *model,
                  struct file *file)
{
    if (!snapshot_fixture_create(s, &damage_shapes[i], false))
        return false;
    snapshot_put(s, 0, PAGES);
    snapshot_make(s, uuid);
    *model = s->model;
    for (uint64_t page_no = 0; page_no < 6; page_no += 2)
        snapshot_put(s, page_no, 1);
    volume_fixture_close(&s->f);
    get_file(s, uuid, file);
    ck_assert_uint_eq(file->at[ENTRIES], file->size);
    return true;
}

static void end(struct snapshot_fixture *s, struct file *file)
{
    free(file->bytes);
    snapshot_fixture_free(s);
}

/* Neither a reader of the image nor a writer takes it. */
static void expect_refusal(struct snapshot_fixture *s, const uint8_t *uuid, const char *story)
{
    enum envol_status status = snapshot_image_try(s, s->f.store, s->space, uuid, &s->f.volume);

    ck_assert_msg(status == ENVOL_E_CORRUPT, "%s: %s: %s", s->f.shape->name, story,
                  envol_status_name(status));
    snapshot_fixture_open(s, 0, ENVOL_E_CORRUPT);
}

static void expect_image(struct snapshot_fixture *s, const uint8_t *uuid,
                         const struct snapshot_model *model)
{
    ck_assert_int_eq(snapshot_image_try(s, s->f.store, s->space, uuid, &s->f.volume), ENVOL_OK);
    snapshot_expect(s, s->f.volume, model, "whole again");
    volume_fixture_close(&s->f);
}

START_TEST(every_bit_of_heads)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct file file;
    uint8_t uuid[ENVOL_UUID_BYTES];
    unsigned step = crash_store_sample(61, 13, 3), count = 0;

    if (!begin(&s, _i, uuid, &model, &file))
        return;
    for (size_t i = 0; i < ENTRIES; i++) {
        size_t bits = (96 + (i == 0 ? 144u : 16u)) * 8;
        for (size_t bit = 0; bit < bits; bit++) {
            uint8_t *byte = &file.bytes[file.at[i] + bit / 8];
            if (count++ % step != 0)
                continue;
            *byte ^= (uint8_t)(1 << bit % 8);
            put_file(&s, &file, file.bytes, file.size);
            expect_refusal(&s, uuid, "a bit");
            *byte ^= (uint8_t)(1 << bit % 8);
        }
    }
    put_file(&s, &file, file.bytes, file.size);
    expect_image(&s, uuid, &model);
    end(&s, &file);
}
END_TEST

/* Entries in another order or number. */
static void try_order(struct snapshot_fixture *s, const struct file *file, const uint8_t *uuid,
                      const size_t *order, size_t count, const char *story)
{
    uint8_t *bytes = malloc(2 * file->size);
    size_t size = 0;

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < count; i++) {
        size_t one = file->at[order[i] + 1] - file->at[order[i]];
        memcpy(bytes + size, file->bytes + file->at[order[i]], one);
        size += one;
    }
    put_file(s, file, bytes, size);
    expect_refusal(s, uuid, story);
    free(bytes);
}

START_TEST(entries_mixed_up)
{
    static const size_t dropped[][3] = {{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}};
    static const size_t doubled[][5] = {
        {0, 0, 1, 2, 3}, {0, 1, 1, 2, 3}, {0, 1, 2, 2, 3}, {0, 1, 2, 3, 3}};
    static const size_t swapped[][4] = {{1, 0, 2, 3}, {0, 2, 1, 3}, {0, 1, 3, 2}};
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct file file;
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(&s, _i, uuid, &model, &file))
        return;
    for (size_t i = 0; i < 4; i++)
        try_order(&s, &file, uuid, dropped[i], 3, "dropped");
    for (size_t i = 0; i < 3; i++) /* what follows the last one is cut as torn */
        try_order(&s, &file, uuid, doubled[i], 5, "doubled");
    for (size_t i = 0; i < 3; i++)
        try_order(&s, &file, uuid, swapped[i], 4, "swapped");
    for (size_t i = 0; i < ENTRIES; i++) {
        put_file(&s, &file, file.bytes, file.at[i]);
        expect_refusal(&s, uuid, "cut between entries");
        put_file(&s, &file, file.bytes, file.at[i + 1] - 1);
        expect_refusal(&s, uuid, "cut in an entry");
    }
    put_file(&s, &file, file.bytes, file.size);
    expect_image(&s, uuid, &model);
    end(&s, &file);
}
END_TEST

START_TEST(another_ones_file)
{
    struct snapshot_fixture s, t;
    struct snapshot_model model, other_model;
    struct file file, other;
    uint8_t uuid[ENVOL_UUID_BYTES], second[ENVOL_UUID_BYTES];

    if (!begin(&s, _i, uuid, &model, &file))
        return;
    snapshot_fixture_open(&s, 0, ENVOL_OK);
    snapshot_make(&s, second);
    snapshot_put(&s, 0, PAGES);
    volume_fixture_close(&s.f);
    get_file(&s, second, &other);
    put_file(&s, &file, other.bytes, other.size);
    expect_refusal(&s, uuid, "another snapshot's");
    free(other.bytes);
    ck_assert(begin(&t, _i, second, &other_model, &other));
    put_file(&s, &file, other.bytes, other.size);
    expect_refusal(&s, uuid, "another volume's");
    end(&t, &other);
    end(&s, &file);
}
END_TEST

/* What is behind the extents is the pages' own: authentic, or corrupt. */
START_TEST(damaged_records)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct file file;
    uint8_t uuid[ENVOL_UUID_BYTES];
    size_t at;

    if (!begin(&s, 0, uuid, &model, &file))
        return;
    at = file.at[1] + 96 + 16 + 131072 + 5000;
    file.bytes[at] ^= 4;
    put_file(&s, &file, file.bytes, file.size);
    ck_assert_int_eq(snapshot_image_try(&s, s.f.store, s.space, uuid, &s.f.volume), ENVOL_OK);
    for (uint64_t i = 0; i < PAGES; i++)
        if (i == 1)
            volume_page_expect_status(&s.f, i, ENVOL_E_CORRUPT);
        else
            volume_page_expect(&s.f, i, model.version[i]);
    ck_status(envol_volume_verify(s.f.volume, NULL, NULL, NULL, NULL), ENVOL_E_CORRUPT);
    volume_fixture_close(&s.f);
    end(&s, &file);
}
END_TEST

/* A writer that was killed told the header nothing: what is damaged in the middle is found all the
 * same, and a torn end is cut off. */
START_TEST(damaged_after_a_crash)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct file file;
    uint8_t uuid[ENVOL_UUID_BYTES], *longer;

    if (!snapshot_fixture_create(&s, &damage_shapes[_i], false))
        return;
    snapshot_put(&s, 0, PAGES);
    snapshot_make(&s, uuid);
    model = s.model;
    for (uint64_t page_no = 0; page_no < 6; page_no += 2)
        snapshot_put(&s, page_no, 1);
    ck_ok(envol_volume_sync(s.f.volume));
    volume_fixture_kill(&s.f);
    get_file(&s, uuid, &file);
    file.bytes[file.at[2] + 40] ^= 1;
    put_file(&s, &file, file.bytes, file.size);
    expect_refusal(&s, uuid, "in the middle");
    file.bytes[file.at[2] + 40] ^= 1;
    longer = calloc(1, file.size + 5000);
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, file.bytes, file.size);
    memcpy(longer + file.size, file.bytes, 50);
    put_file(&s, &file, longer, file.size + 5000);
    free(longer);
    expect_image(&s, uuid, &model);
    snapshot_fixture_open(&s, 0, ENVOL_OK);
    snapshot_put(&s, 6, 1);
    snapshot_expect_image(&s, uuid, &model, "after the cut");
    end(&s, &file);
}
END_TEST

/* The way out: the volume is worth more than its snapshots. */
START_TEST(lost_files)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct file file;
    struct envol_store *reader;
    struct envol_volume *reading;
    const struct envol_volume_options read_only = {.struct_size = sizeof(read_only),
                                                   .flags = ENVOL_OPEN_READ_ONLY};
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(&s, _i, uuid, &model, &file))
        return;
    ck_assert_int_eq(envol_space_remove(s.space, file.name, NULL), ENVOL_OK);
    snapshot_fixture_open(&s, 0, ENVOL_E_STATE);
    ck_assert_int_eq(snapshot_image_try(&s, s.f.store, s.space, uuid, &s.f.volume), ENVOL_E_RANGE);
    volume_fixture_open(&s.f, 0, ENVOL_E_STATE);
    ck_assert_int_eq(envol_memory_store_share(s.f.store, &reader), ENVOL_OK);
    ck_ok(envol_volume_open(reader, &s.f.cmk, 1, &read_only, &reading, NULL));
    snapshot_fixture_open(&s, ENVOL_OPEN_ABANDON_SNAPSHOTS, ENVOL_E_BUSY);
    ck_ok(envol_volume_close(reading));
    envol_store_close(reader);
    snapshot_fixture_open(&s, ENVOL_OPEN_ABANDON_SNAPSHOTS, ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&s.f).header.snapshots, 0);
    snapshot_expect(&s, s.f.volume, &s.model, "abandoned");
    end(&s, &file);
}
END_TEST

static enum envol_status abandon_one(struct snapshot_fixture *s, const uint8_t *uuid)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .flags = ENVOL_OPEN_ABANDON_SNAPSHOTS,
                                                 .space = s->space,
                                                 .snapshot = uuid};

    return ck_note(
        envol_volume_open(s->f.store, &s->f.cmk, 1, &options, &s->f.volume, &s->f.error));
}

/* One of three that is damaged or lost: the others stay. */
START_TEST(one_is_abandoned)
{
    struct snapshot_fixture s;
    struct snapshot_model models[3];
    struct file file = {.bytes = NULL};
    uint8_t uuids[3][ENVOL_UUID_BYTES], unknown[ENVOL_UUID_BYTES] = {1};
    unsigned files = 0;

    if (!snapshot_fixture_create(&s, &damage_shapes[_i / 2], false))
        return;
    for (size_t i = 0; i < 3; i++) {
        snapshot_put(&s, 0, PAGES);
        snapshot_make(&s, uuids[i]);
        models[i] = s.model;
    }
    snapshot_put(&s, 2, 3);
    volume_fixture_close(&s.f);
    get_file(&s, uuids[1], &file);
    if (_i % 2 == 0)
        ck_assert_int_eq(envol_space_remove(s.space, file.name, NULL), ENVOL_OK);
    else
        put_file(&s, &file, file.bytes, file.at[1] - 8); /* its manifest, even */
    snapshot_fixture_open(&s, 0, _i % 2 == 0 ? ENVOL_E_STATE : ENVOL_E_CORRUPT);
    ck_assert_int_eq(abandon_one(&s, unknown), ENVOL_E_RANGE);
    ck_assert_int_eq(abandon_one(&s, uuids[1]), ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&s.f).header.snapshots, 2);
    ck_assert_int_eq(envol_space_list(s.space, snapshot_count_name, &files, NULL), ENVOL_OK);
    ck_assert_uint_eq(files, 2);
    snapshot_put(&s, 0, PAGES);
    snapshot_fixture_reopen(&s);
    snapshot_expect_image(&s, uuids[0], &models[0], "the first");
    snapshot_expect_image(&s, uuids[2], &models[2], "the last");
    end(&s, &file);
}
END_TEST

/* With the space, their files go too; those of other volumes do not. */
START_TEST(abandoned_files)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct file file;
    struct envol_store *store;
    uint8_t uuid[ENVOL_UUID_BYTES];
    unsigned files = 0;

    if (!begin(&s, _i, uuid, &model, &file))
        return;
    for (size_t i = 0; i < 2; i++) { /* torn; and a whole one of nobody knows whom */
        const char *names[] = {"snapshot-00000000-0000-4000-8000-000000000001",
                               "snapshot-00000000-0000-4000-8000-000000000002"};
        ck_assert_int_eq(envol_space_store(s.space, names[i], ENVOL_SPACE_CREATE, &store, NULL),
                         ENVOL_OK);
        volume_store_put(store, 0, file.bytes, i == 0 ? 100 : file.at[1]);
        envol_store_close(store);
    }
    snapshot_fixture_open(&s, ENVOL_OPEN_ABANDON_SNAPSHOTS, ENVOL_OK);
    ck_assert_int_eq(envol_space_list(s.space, snapshot_count_name, &files, NULL), ENVOL_OK);
    ck_assert_uint_eq(files, 1);
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, 0, ENVOL_OK);
    end(&s, &file);
}
END_TEST

/* --- Calls that fail --- */

enum operation { WRITE, TRIM, CUT, MAKE, DELETE, OPERATIONS };

struct failing {
    struct snapshot_fixture s;
    struct crash_store *crash;
    struct snapshot_model model;
    uint8_t uuid[ENVOL_UUID_BYTES];
};

static bool begin_failing(struct failing *x, int i, bool atomic)
{
    struct envol_store *store;
    struct envol_space *space;

    x->crash = crash_store_new(NULL, 0, &store);
    space = crash_space_new(x->crash, NULL);
    if (!snapshot_fixture_create_on(&x->s, &damage_shapes[i], atomic, store, space))
        return false;
    snapshot_put(&x->s, 0, PAGES);
    snapshot_make(&x->s, x->uuid);
    x->model = x->s.model;
    snapshot_put(&x->s, 0, 1);
    return true;
}

static enum envol_status operate(struct failing *x, enum operation operation)
{
    struct volume_fixture *f = &x->s.f;
    struct envol_page_io io = {.page_no = 3, .page = f->page};
    uint8_t uuid[ENVOL_UUID_BYTES];

    switch (operation) {
    case WRITE:
        volume_page_fill(f, 3, 9, f->page);
        return ck_note(envol_page_write_batch(f->volume, &io, 1, &f->error));
    case TRIM:
        return ck_note(envol_page_trim(f->volume, 3, 1));
    case CUT:
        return ck_note(envol_volume_truncate(f->volume, 3, &f->error));
    case MAKE:
        return ck_note(envol_snapshot_create(f->volume, NULL, uuid, &f->error));
    default:
        return ck_note(envol_snapshot_delete(f->volume, x->uuid, &f->error));
    }
}

static bool is_there(struct failing *x)
{
    struct envol_volume_info info = volume_info_of(&x->s.f);

    for (uint32_t i = 0; i < info.header.snapshots; i++)
        if (memcmp(info.header.snapshot[i].uuid, x->uuid, ENVOL_UUID_BYTES) == 0)
            return true;
    return false;
}

static void expect_all(struct failing *x, enum operation operation, const char *story)
{
    struct volume_fixture *f = &x->s.f;
    struct envol_volume *image;

    for (uint64_t i = 0; i < PAGES; i++) {
        enum envol_status status;
        if ((operation == WRITE || operation == TRIM) && i == 3)
            continue;
        if (operation == CUT && i >= 3)
            continue;
        status = ck_note(envol_page_read(f->volume, i, f->other));
        ck_assert_msg(status == ENVOL_OK &&
                          volume_page_version(f, i, 200, f->other) == x->s.model.version[i],
                      "%s: page %u: %s", story, (unsigned)i, envol_status_name(status));
    }
    if (operation == DELETE && !is_there(x))
        return;
    ck_ok(envol_snapshot_open(f->volume, x->uuid, &image, &f->error));
    snapshot_expect(&x->s, image, &x->model, story);
    ck_ok(envol_volume_close(image));
}

/* Whether the call came. */
static bool fail_one(int i, bool atomic, enum operation operation, unsigned nth,
                     enum crash_fault fault)
{
    struct failing x;
    enum envol_status status;
    bool failed;

    if (!begin_failing(&x, i, atomic))
        return false;
    crash_store_fail(x.crash, nth, fault);
    status = operate(&x, operation);
    failed = crash_store_failed(x.crash);
    if (!failed) {
        ck_assert_int_eq(status, ENVOL_OK);
        crash_store_fail(x.crash, 0, CRASH_FAULT_NOTHING);
    } else if (operation == WRITE || operation == TRIM) {
        ck_assert_msg(status == ENVOL_OK || status == ENVOL_E_IO, "%s", envol_status_name(status));
        if (operation == WRITE && status != ENVOL_OK)
            ck_assert_int_eq(x.s.f.error.os_errno, EIO);
    }
    expect_all(&x, operation, "after the failure");
    (void)envol_volume_close(x.s.f.volume);
    snapshot_fixture_open(&x.s, 0, ENVOL_OK);
    expect_all(&x, operation, "opened again");
    if (operation != DELETE || is_there(&x)) {
        snapshot_put(&x.s, 0, 3);
        expect_all(&x, operation == CUT ? CUT : WRITE, "overwritten");
    }
    snapshot_fixture_free(&x.s);
    return failed;
}

START_TEST(failing_calls)
{
    enum operation operation = (enum operation)(_i % OPERATIONS);
    unsigned n = 1;

    for (unsigned k = 0; k < 3; k++)
        for (n = 1; fail_one(k == 2, k == 1, operation, n, (enum crash_fault)(n % 3)); n++)
            ck_assert_uint_lt(n, 200);
    ck_assert_uint_gt(n, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *made = suite_create("snapshot_damage");
    TCase *damage = tcase_create("damage"), *failures = tcase_create("failures");

    tcase_set_timeout(damage, 120);
    tcase_set_timeout(failures, 120);
    tcase_add_loop_test(damage, every_bit_of_heads, 0, SHAPES);
    tcase_add_loop_test(damage, entries_mixed_up, 0, SHAPES);
    tcase_add_loop_test(damage, another_ones_file, 0, SHAPES);
    tcase_add_test(damage, damaged_records);
    tcase_add_loop_test(damage, damaged_after_a_crash, 0, SHAPES);
    tcase_add_loop_test(damage, lost_files, 0, SHAPES);
    tcase_add_loop_test(damage, one_is_abandoned, 0, 2 * SHAPES);
    tcase_add_loop_test(damage, abandoned_files, 0, SHAPES);
    tcase_add_loop_test(failures, failing_calls, 0, OPERATIONS);
    suite_add_tcase(made, damage);
    suite_add_tcase(made, failures);
    return made;
}

int main(void)
{
    return test_run(suite());
}
