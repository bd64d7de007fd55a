/* SPDX-License-Identifier: BSD-2-Clause */
/* Incremental backups: what changed and nothing else, in their order, on the right base. */
#include "backup/changes.h"
#include "backup_fixture.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "header/header.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 200, STEPS = 6 };

/* A volume, the backups of it so far, and the list of each. */
struct chain {
    struct backup_fixture b;
    struct tape backups[STEPS], lists[STEPS];
    size_t count;
};

static bool begin(struct chain *c, const struct volume_shape *shape, int atomic)
{
    memset(c, 0, sizeof(*c));
    if (!backup_fixture_create(&c->b, shape, atomic))
        return false;
    for (uint64_t i = 0; i < PAGES; i++)
        if (i % 64 != 9)
            volume_page_put(&c->b.f, i, 1);
    return true;
}

static void finish(struct chain *c)
{
    for (size_t i = 0; i < STEPS; i++) {
        tape_clear(&c->backups[i]);
        tape_clear(&c->lists[i]);
    }
    backup_fixture_free(&c->b);
}

static struct envol_backup_result *take(struct chain *c)
{
    size_t i = c->count++;

    ck_assert_uint_lt(i, STEPS);
    backup_take(&c->b, &c->backups[i], i > 0 ? &c->lists[i - 1] : NULL, &c->lists[i]);
    return &c->b.result;
}

static void restore(struct chain *c)
{
    struct tape *tapes[STEPS];

    for (size_t i = 0; i < c->count; i++)
        tapes[i] = &c->backups[i];
    restore_whole(&c->b, tapes, c->count);
    backup_expect_same(&c->b);
}

/* Not those of 1 MiB: there is nothing about them that is not true of all. */
static const int shapes[] = {0, 1, 2, 4};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

START_TEST(changes)
{
    struct chain c;
    struct envol_backup_result *result;
    uint8_t parent[ENVOL_UUID_BYTES];

    if (!begin(&c, &volume_shapes[shapes[_i % SHAPES]], _i >= SHAPES))
        return;
    result = take(&c);
    ck_assert_int_eq(result->incremental, 0);
    memcpy(parent, result->uuid, sizeof(parent));
    result = take(&c); /* of nothing */
    ck_assert_int_eq(result->incremental, 1);
    ck_assert_mem_eq(result->parent, parent, sizeof(parent));
    ck_assert_uint_eq(result->pages + result->holes, 0);
    for (uint64_t i = 0; i < PAGES; i += 17)
        volume_page_put(&c.b.f, i, 2);
    ck_ok(envol_page_trim(c.b.f.volume, 30, 5)); /* 34 among them */
    volume_page_put(&c.b.f, 9, 2);
    result = take(&c);
    ck_assert_uint_eq(result->pages, 12);
    ck_assert_uint_eq(result->holes, 5);
    for (uint64_t i = PAGES; i < PAGES + 70; i++) /* growth, with a gap */
        if (i % 10 != 3)
            volume_page_put(&c.b.f, i, 3);
    result = take(&c);
    ck_assert_uint_eq(result->pages, 63);
    ck_assert_uint_eq(result->holes, 7);
    ck_assert_uint_eq(result->volume_pages, PAGES + 70);
    ck_ok(envol_volume_truncate(c.b.f.volume, 150, NULL));
    volume_page_put(&c.b.f, 149, 4);
    result = take(&c);
    ck_assert_uint_eq(result->pages, 1);
    ck_assert_uint_eq(result->volume_pages, 150);
    volume_page_put(&c.b.f, 160, 5); /* pages that were there before, and are others now */
    result = take(&c);
    ck_assert_uint_eq(result->pages, 1);
    ck_assert_uint_eq(result->holes, 10);
    restore(&c);
    finish(&c);
}
END_TEST

/* Unchanged pages are not decrypted: it goes unnoticed that they cannot be.  Not the sparse shape,
 * where a record of zeros is damaged to no record. */
START_TEST(only_what_changed_is_decrypted)
{
    struct chain c;
    struct volume_fixture *f = &c.b.f;
    uint8_t byte;

    if (!begin(&c, &volume_shapes[shapes[_i]], 0))
        return;
    take(&c);
    volume_page_put(f, 20, 2);
    volume_page_put(f, 21, 2);
    volume_page_put(f, 150, 2);
    for (uint64_t i = 0; i < PAGES; i++) {
        if (i == 20 || i == 21 || i == 150)
            continue;
        volume_store_get(f->store, volume_record_at(f, i), &byte, 1);
        byte ^= 1;
        volume_store_put(f->store, volume_record_at(f, i), &byte, 1);
    }
    ck_assert_uint_eq(take(&c)->pages, 3);
    ck_status(envol_backup_write(f->volume, &c.b.backup_cmk, 1, NULL, tape_sink, &c.backups[2],
                                 &c.b.result, &f->error),
              ENVOL_E_CORRUPT);
    finish(&c);
}
END_TEST

/* A page that was written meanwhile, torn, is noticed. */
START_TEST(a_changed_page_that_does_not_read)
{
    const struct envol_backup_options skip = {.struct_size = sizeof(skip),
                                              .flags = ENVOL_BACKUP_SKIP_BAD};
    struct envol_backup_options how = skip;
    struct chain c;
    struct volume_fixture *f = &c.b.f;
    uint8_t zeros[16] = {0};

    if (!begin(&c, &volume_shapes[2], 0))
        return;
    take(&c);
    volume_store_put(f->store, volume_record_at(f, 33) + f->stride_bytes - 16, zeros, 16);
    volume_store_put(f->store, volume_record_at(f, 34) + f->stride_bytes - 48, zeros, 16);
    how.changes = tape_source;
    how.changes_ctx = tape_rewind(&c.lists[0]);
    how.new_changes = tape_sink;
    how.new_changes_ctx = &c.lists[1];
    ck_ok(envol_backup_write(f->volume, &c.b.backup_cmk, 1, &how, tape_sink, &c.backups[1],
                             &c.b.result, &f->error));
    ck_assert_uint_eq(c.b.result.bad, 1); /* the tag alone tells nothing without the key */
    ck_assert_uint_eq(c.b.result.first_bad, 34);
    volume_page_put(f, 33, 1);
    volume_page_put(f, 34, 1);
    c.count = 2;
    ck_assert_uint_eq(take(&c)->pages, 2);
    restore(&c);
    finish(&c);
}
END_TEST

/* --- Rotations --- */

static void rotate(struct chain *c)
{
    struct volume_fixture *f = &c->b.f;

    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
    ck_ok(envol_volume_rotate_run(f->volume, 0, NULL, NULL, NULL, &f->error));
    ck_ok(envol_volume_rotate_finish(f->volume, 0, &f->error));
}

START_TEST(a_rotation_makes_the_next_one_full)
{
    struct chain c;
    struct envol_backup_result *result;

    if (!begin(&c, &volume_shapes[2], 0))
        return;
    take(&c);
    rotate(&c);
    volume_page_put(&c.b.f, 3, 2);
    result = take(&c);
    ck_assert_int_eq(result->rotated, 1);
    ck_assert_int_eq(result->incremental, 0);
    ck_assert_uint_eq(result->pages + result->holes, PAGES);
    volume_page_put(&c.b.f, 4, 2);
    result = take(&c);
    ck_assert_int_eq(result->rotated, 0);
    ck_assert_int_eq(result->incremental, 1);
    ck_assert_uint_eq(result->pages, 1);
    tape_clear(&c.backups[0]);
    memmove(&c.backups[0], &c.backups[1], 2 * sizeof(c.backups[0]));
    memset(&c.backups[2], 0, sizeof(c.backups[2]));
    c.count = 2;
    restore(&c);
    finish(&c);
}
END_TEST

/* In the middle of a sweep: pages that it sealed anew are changes. */
START_TEST(beside_an_unfinished_rotation)
{
    struct chain c;
    struct volume_fixture *f = &c.b.f;

    if (!begin(&c, &volume_shapes[0], 0))
        return;
    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
    ck_ok(envol_volume_rotate_step(f->volume, 64, NULL, &f->error));
    take(&c);
    ck_ok(envol_volume_rotate_step(f->volume, 64, NULL, &f->error));
    volume_page_put(f, 5, 2);
    ck_assert_uint_eq(take(&c)->pages, 64); /* 63 and a hole of the sweep, and page 5 */
    ck_ok(envol_volume_rotate_run(f->volume, 0, NULL, NULL, NULL, &f->error));
    ck_ok(envol_volume_rotate_finish(f->volume, 0, &f->error));
    ck_assert_int_eq(take(&c)->incremental, 1);
    restore(&c);
    finish(&c);
}
END_TEST

/* --- Lists --- */

static enum envol_status take_with(struct chain *c, struct tape *list)
{
    const struct envol_backup_options options = {
        .struct_size = sizeof(options), .changes = tape_source, .changes_ctx = tape_rewind(list)};
    struct tape tape = {.count = 0};
    enum envol_status status =
        ck_note(envol_backup_write(c->b.f.volume, &c->b.backup_cmk, 1, &options, tape_sink, &tape,
                                   &c->b.result, &c->b.f.error));

    struct envol_error error = c->b.f.error;

    ck_assert(status == ENVOL_OK || backup_verify(&c->b, &tape) != ENVOL_OK);
    c->b.f.error = error;
    tape_clear(&tape);
    return status;
}

START_TEST(damaged_lists)
{
    struct chain c;
    struct tape bad;

    if (!begin(&c, &volume_shapes[0], 0))
        return;
    take(&c);
    bad = tape_copy(&c.lists[0]);
    ck_assert_int_eq(take_with(&c, &bad), ENVOL_OK);
    for (size_t at = 0; at < bad.count; at += at < 140 ? 1 : 97) {
        enum envol_status expected = ENVOL_E_CORRUPT, status;
        bool older = at >= ENVOL_CHANGES_AT_EPOCH && at < ENVOL_CHANGES_AT_BACKUP;
        bad.bytes[at] ^= 0x40;
        if (at < ENVOL_CHANGES_AT_VERSION)
            expected = ENVOL_E_FORMAT;
        else if (at < ENVOL_CHANGES_AT_EPOCH)
            expected = ENVOL_E_VERSION;
        else if (older)
            expected = ENVOL_E_STALE;
        else if (at >= ENVOL_CHANGES_AT_VOLUME && at < ENVOL_CHANGES_AT_PAGES)
            expected = ENVOL_E_STATE;
        status = take_with(&c, &bad);
        ck_assert_msg(status == expected, "byte %zu: %s", at, envol_status_name(status));
        bad.bytes[at] ^= 0x40;
    }
    for (size_t at = 0; at < c.lists[0].count; at += 31) {
        bad.count = at;
        ck_assert_int_ne(take_with(&c, &bad), ENVOL_OK);
    }
    tape_clear(&bad);
    finish(&c);
}
END_TEST

/* The last chunk of a list of whole chunks is empty: no page asks for it.  Nor do those that the
 * volume has no more ask for theirs. */
START_TEST(lists_that_end_elsewhere)
{
    struct chain c;
    struct tape bad;

    if (!begin(&c, &volume_shapes[0], 0))
        return;
    volume_page_put(&c.b.f, 2047, 1);
    take(&c);
    bad = tape_copy(&c.lists[0]);
    for (unsigned i = 0; i < 2; i++) {
        bad.count = c.lists[0].count;
        ck_assert_int_eq(take_with(&c, &bad), ENVOL_OK);
        for (size_t cut = 1; cut <= 17; cut += 8) {
            bad.count = c.lists[0].count - cut;
            ck_assert_int_eq(take_with(&c, &bad), cut < 17 ? ENVOL_E_TRUNCATED : ENVOL_E_CORRUPT);
        }
        bad.count = c.lists[0].count + 1; /* there is room for it */
        ck_assert_int_eq(take_with(&c, &bad), ENVOL_E_CORRUPT);
        ck_ok(envol_volume_truncate(c.b.f.volume, 100, NULL));
    }
    tape_clear(&bad);
    finish(&c);
}
END_TEST

START_TEST(lists_of_others)
{
    struct chain c, other;

    if (!begin(&c, &volume_shapes[0], 0))
        return;
    take(&c);
    ck_assert(begin(&other, &volume_shapes[0], 0));
    take(&other);
    ck_assert_int_eq(take_with(&c, &other.lists[0]), ENVOL_E_STATE);
    ck_assert_ptr_nonnull(strstr(c.b.f.error.message, "another volume"));
    ck_assert_int_eq(take_with(&c, &c.backups[0]), ENVOL_E_FORMAT);
    finish(&other);
    finish(&c);
}
END_TEST

START_TEST(lists_of_a_newer_dek)
{
    struct chain c;
    struct envol_store *shared;
    struct volume_fixture reader;

    if (!begin(&c, &volume_shapes[0], 0))
        return;
    ck_ok(envol_volume_sync(c.b.f.volume));
    ck_assert_int_eq(envol_memory_store_share(c.b.f.store, &shared), ENVOL_OK);
    reader = c.b.f;
    reader.store = shared;
    volume_fixture_open(&reader, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    rotate(&c);
    take(&c);
    c.b.g.volume = c.b.f.volume;
    c.b.f.volume = reader.volume;
    ck_assert_int_eq(take_with(&c, &c.lists[0]), ENVOL_E_STALE);
    c.b.f.volume = c.b.g.volume;
    c.b.g.volume = NULL;
    volume_fixture_close(&reader);
    envol_store_close(shared);
    finish(&c);
}
END_TEST

/* A list that ends before its backup did is not taken for whole. */
START_TEST(a_list_of_a_backup_that_failed)
{
    struct envol_backup_options options = {.struct_size = sizeof(options),
                                           .new_changes = tape_sink};
    struct chain c;

    if (!begin(&c, &volume_shapes[0], 0))
        return;
    options.new_changes_ctx = &c.lists[0];
    c.backups[0].fail_at = 6;
    ck_status(envol_backup_write(c.b.f.volume, &c.b.backup_cmk, 1, &options, tape_sink,
                                 &c.backups[0], &c.b.result, &c.b.f.error),
              ENVOL_E_IO);
    ck_assert_int_ne(take_with(&c, &c.lists[0]), ENVOL_OK);
    tape_clear(&c.lists[0]);
    tape_clear(&c.backups[0]);
    c.lists[0].fail_at = 3;
    ck_status(envol_backup_write(c.b.f.volume, &c.b.backup_cmk, 1, &options, tape_sink,
                                 &c.backups[0], &c.b.result, &c.b.f.error),
              ENVOL_E_IO);
    finish(&c);
}
END_TEST

START_TEST(xts_has_none)
{
    struct envol_backup_options options = {.struct_size = sizeof(options)};
    struct backup_fixture b;

    if (!backup_fixture_create(&b, &volume_shapes[5], 0))
        return;
    options.new_changes = tape_sink;
    options.new_changes_ctx = &b.tape;
    ck_status(envol_backup_write(b.f.volume, &b.backup_cmk, 1, &options, tape_sink, &b.tape, NULL,
                                 &b.f.error),
              ENVOL_E_UNSUPPORTED);
    options.new_changes = NULL;
    options.changes = tape_source;
    options.changes_ctx = &b.tape;
    ck_status(envol_backup_write(b.f.volume, &b.backup_cmk, 1, &options, tape_sink, &b.tape, NULL,
                                 &b.f.error),
              ENVOL_E_UNSUPPORTED);
    backup_fixture_free(&b);
}
END_TEST

/* --- Order --- */

START_TEST(the_wrong_base)
{
    struct chain c;
    struct envol_restore *going;

    if (!begin(&c, &volume_shapes[2], 0))
        return;
    take(&c);
    for (unsigned i = 2; i < 5; i++) {
        volume_page_put(&c.b.f, i, i);
        take(&c);
    }
    ck_assert_int_eq(restore_begin(&c.b, &going), ENVOL_OK);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[1]), ENVOL_E_STATE);
    ck_assert_uint_eq(volume_store_bytes(c.b.g.store), 0);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[0]), ENVOL_OK);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[2]), ENVOL_E_STALE);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[1]), ENVOL_OK);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[1]), ENVOL_E_STALE);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[0]), ENVOL_E_STATE);
    envol_restore_close(going); /* and another process goes on */
    ck_assert_int_eq(restore_begin(&c.b, &going), ENVOL_OK);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[3]), ENVOL_E_STALE);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[2]), ENVOL_OK);
    tape_rewind(&c.backups[3])->fail_at = 3;
    ck_status(envol_restore_apply(going, &c.b.backup_cmk, 1, tape_source, &c.backups[3], NULL,
                                  &c.b.g.error),
              ENVOL_E_IO);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[3]), ENVOL_OK);
    ck_ok(envol_restore_finish(going, NULL));
    envol_restore_close(going);
    volume_fixture_open(&c.b.g, 0, ENVOL_OK);
    backup_expect_same(&c.b);
    finish(&c);
}
END_TEST

/* One that is half applied, and another one of the same parent. */
START_TEST(another_of_the_same_parent)
{
    struct chain c;
    struct envol_restore *going;

    if (!begin(&c, &volume_shapes[0], 0))
        return;
    take(&c);
    for (uint64_t i = 0; i < PAGES; i++)
        volume_page_put(&c.b.f, i, 2);
    backup_take(&c.b, &c.backups[1], &c.lists[0], NULL);
    backup_take(&c.b, &c.backups[2], &c.lists[0], NULL);
    ck_assert_int_eq(restore_begin(&c.b, &going), ENVOL_OK);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[0]), ENVOL_OK);
    tape_rewind(&c.backups[1])->fail_at = 6;
    ck_status(envol_restore_apply(going, &c.b.backup_cmk, 1, tape_source, &c.backups[1], NULL,
                                  &c.b.g.error),
              ENVOL_E_IO);
    ck_status(envol_restore_finish(going, NULL), ENVOL_E_STATE);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[2]), ENVOL_E_STATE);
    ck_assert_int_eq(restore_apply(&c.b, going, &c.backups[1]), ENVOL_OK);
    ck_ok(envol_restore_finish(going, NULL));
    envol_restore_close(going);
    volume_fixture_open(&c.b.g, 0, ENVOL_OK);
    backup_expect_same(&c.b);
    finish(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup_incremental");
    TCase *tcase = tcase_create("incremental");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, changes, 0, 2 * SHAPES);
    tcase_add_loop_test(tcase, only_what_changed_is_decrypted, 0, SHAPES - 1);
    tcase_add_test(tcase, a_changed_page_that_does_not_read);
    tcase_add_test(tcase, a_rotation_makes_the_next_one_full);
    tcase_add_test(tcase, beside_an_unfinished_rotation);
    tcase_add_test(tcase, damaged_lists);
    tcase_add_test(tcase, lists_that_end_elsewhere);
    tcase_add_test(tcase, lists_of_others);
    tcase_add_test(tcase, lists_of_a_newer_dek);
    tcase_add_test(tcase, a_list_of_a_backup_that_failed);
    tcase_add_test(tcase, xts_has_none);
    tcase_add_test(tcase, the_wrong_base);
    tcase_add_test(tcase, another_of_the_same_parent);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
