/* SPDX-License-Identifier: BSD-2-Clause */
/* Backups and restores that go well, and those that are refused or stopped. */
#include "backup_fixture.h"
#include "base/memory.h"
#include "children.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 150 };

/* Shapes but those of 1 MiB, for what is the same in all. */
static const int shapes[] = {0, 1, 2, 4, 5, 6, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), GCM_SHAPES = 4 };

/* Pages, a gap, pages again, and some that were trimmed. */
static void fill(struct backup_fixture *b)
{
    for (uint64_t i = 0; i < PAGES; i++)
        if (i < 20 || i >= 90)
            volume_page_put(&b->f, i, (unsigned)(i % 7));
    ck_ok(envol_page_trim(b->f.volume, 5, 3));
    volume_page_put(&b->f, 6, 9);
}

static void check_geometry(struct backup_fixture *b)
{
    struct envol_volume_info was = volume_info_of(&b->f), is = volume_info_of(&b->g);

    ck_assert_int_eq(is.header.suite, was.header.suite);
    ck_assert_uint_eq(is.header.page_bytes, was.header.page_bytes);
    ck_assert_uint_eq(is.header.stride_bytes, was.header.stride_bytes);
    ck_assert_int_eq(is.header.sparse, was.header.sparse);
    ck_assert_int_eq(is.header.atomic_pages, was.header.atomic_pages);
    ck_assert_int_eq(is.header.restoring, 0);
    ck_assert_mem_ne(is.header.uuid, was.header.uuid, ENVOL_UUID_BYTES);
}

/* The volume's own CMK does not open what was restored, nor the backup's. */
static void check_keys(struct backup_fixture *b)
{
    struct envol_cmk own = b->g.cmk;

    volume_fixture_close(&b->g);
    b->g.cmk = b->f.cmk;
    volume_fixture_open(&b->g, 0, ENVOL_E_NO_PROVIDER);
    b->g.cmk = b->backup_cmk;
    volume_fixture_open(&b->g, 0, ENVOL_E_NO_PROVIDER);
    b->g.cmk = own;
    volume_fixture_open(&b->g, 0, ENVOL_OK);
}

static void round_trip(const struct volume_shape *shape, int atomic)
{
    struct backup_fixture b;
    struct tape *const tapes[] = {&b.tape};

    if (!backup_fixture_create(&b, shape, atomic))
        return;
    fill(&b);
    backup_take(&b, &b.tape, NULL, NULL);
    ck_assert_uint_eq(b.result.volume_pages, PAGES);
    ck_assert_uint_eq(b.result.pages + b.result.holes, PAGES);
    ck_assert_uint_eq(b.result.bad, 0);
    ck_assert_uint_eq(b.result.first_bad, ENVOL_NO_PAGE);
    ck_assert_int_eq(b.result.incremental, 0);
    ck_assert(envol_is_zero(b.result.parent, ENVOL_UUID_BYTES));
    restore_whole(&b, tapes, 1);
    backup_expect_same(&b);
    check_geometry(&b);
    check_keys(&b);
    volume_page_put(&b.g, 3, 4);
    volume_page_put(&b.g, PAGES + 4, 4);
    volume_fixture_reopen(&b.g);
    volume_page_expect(&b.g, 3, 4);
    backup_fixture_free(&b);
}

START_TEST(every_shape)
{
    round_trip(&volume_shapes[_i], 0);
}
END_TEST

START_TEST(atomic_pages)
{
    round_trip(&volume_shapes[shapes[_i]], 1);
}
END_TEST

START_TEST(an_empty_volume)
{
    struct backup_fixture b;
    struct tape *const tapes[] = {&b.tape};

    if (!backup_fixture_create(&b, &volume_shapes[shapes[_i]], 0))
        return;
    backup_take(&b, &b.tape, NULL, NULL);
    restore_whole(&b, tapes, 1);
    ck_assert_uint_eq(envol_volume_pages(b.g.volume), 0);
    backup_fixture_free(&b);
}
END_TEST

/* A reader beside nobody, and holes alone. */
START_TEST(of_a_reader)
{
    struct backup_fixture b;
    struct tape *const tapes[] = {&b.tape};

    if (!backup_fixture_create(&b, &volume_shapes[shapes[_i]], 0))
        return;
    ck_ok(envol_volume_truncate(b.f.volume, 300, &b.f.error));
    volume_fixture_close(&b.f);
    volume_fixture_open(&b.f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    backup_take(&b, &b.tape, NULL, NULL);
    restore_whole(&b, tapes, 1);
    backup_expect_same(&b);
    backup_fixture_free(&b);
}
END_TEST

/* --- Notes --- */

static enum envol_status write_note(struct backup_fixture *b, const void *note, size_t bytes)
{
    const struct envol_backup_options options = {
        .struct_size = sizeof(options), .note = note, .note_bytes = bytes};

    tape_clear(&b->tape);
    return ck_note(envol_backup_write(b->f.volume, &b->backup_cmk, 1, &options, tape_sink, &b->tape,
                                      &b->result, &b->f.error));
}

START_TEST(notes)
{
    static uint8_t note[ENVOL_BACKUP_NOTE_MAX + 1], back[ENVOL_BACKUP_NOTE_MAX];
    static const size_t lengths[] = {1, 16, 511, 512, 513, 16384, ENVOL_BACKUP_NOTE_MAX};
    struct backup_fixture b;
    struct envol_restore *restore;

    if (!backup_fixture_create(&b, &volume_shapes[0], 0))
        return;
    test_fill(note, sizeof(note));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        ck_assert_int_eq(write_note(&b, note, lengths[i]), ENVOL_OK);
        ck_assert_uint_eq(b.result.note_bytes, lengths[i]);
        b.result.note = back;
        b.result.note_capacity = sizeof(back);
        ck_assert_int_eq(backup_verify(&b, &b.tape), ENVOL_OK);
        ck_assert_uint_eq(b.result.note_bytes, lengths[i]);
        ck_assert_mem_eq(back, note, lengths[i]);
        ck_assert(envol_is_zero(back + lengths[i], sizeof(back) - lengths[i]));
        b.result.note_capacity = lengths[i] / 2;
        memset(back, 0xee, sizeof(back));
        ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_OK);
        ck_assert_int_eq(restore_apply(&b, restore, &b.tape), i == 0 ? ENVOL_OK : ENVOL_E_STATE);
        envol_restore_close(restore);
        ck_assert_int_eq(back[lengths[i] / 2], 0xee);
        b.result.note_capacity = 0;
        b.result.note = NULL;
    }
    ck_assert_int_eq(write_note(&b, note, ENVOL_BACKUP_NOTE_MAX + 1), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(write_note(&b, NULL, 1), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(b.tape.count, 0);
    backup_fixture_free(&b);
}
END_TEST

/* --- Keys --- */

START_TEST(of_the_backups_cmk)
{
    static const struct {
        enum fake_key_state state;
        enum envol_status status;
    } states[] = {
        {FAKE_KEY_DISABLED, ENVOL_E_KEY_DISABLED},
        {FAKE_KEY_PENDING_DELETION, ENVOL_E_KEY_PENDING_DELETION},
        {FAKE_KEY_DENIED, ENVOL_E_KEY_DENIED},
        {FAKE_KEY_GONE, ENVOL_E_KEY_NOT_FOUND},
    };
    struct backup_fixture b;
    struct envol_restore *restore;
    struct tape other = {.count = 0};

    if (!backup_fixture_create(&b, &volume_shapes[2], 0))
        return;
    fill(&b);
    backup_take(&b, &b.tape, NULL, NULL);
    fake_kms_set_state(b.f.kms, VOLUME_KEY, FAKE_KEY_GONE); /* is of no consequence */
    ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_OK);
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        fake_kms_set_state(b.f.kms, BACKUP_KEY, states[i].state);
        ck_assert_int_eq(backup_verify(&b, &b.tape), states[i].status);
        ck_assert_int_eq(restore_apply(&b, restore, &b.tape), states[i].status);
        ck_status(envol_backup_write(b.f.volume, &b.backup_cmk, 1, NULL, tape_sink, &other,
                                     &b.result, &b.f.error),
                  states[i].status);
        ck_assert_uint_eq(other.count, 0);
        ck_assert_uint_eq(volume_store_bytes(b.g.store), 0);
    }
    fake_kms_set_state(b.f.kms, BACKUP_KEY, FAKE_KEY_ENABLED);
    b.backup_cmk.key_ref = VOLUME_KEY;
    ck_assert_int_eq(backup_verify(&b, &b.tape), ENVOL_E_NO_PROVIDER);
    b.backup_cmk.key_ref = BACKUP_KEY;
    ck_assert_int_eq(restore_apply(&b, restore, &b.tape), ENVOL_OK);
    envol_restore_close(restore);
    backup_fixture_free(&b);
}
END_TEST

START_TEST(several_cmks)
{
    struct backup_fixture b;
    struct envol_cmk cmks[3];

    if (!backup_fixture_create(&b, &volume_shapes[0], 0))
        return;
    fill(&b);
    cmks[0] = b.backup_cmk;
    cmks[1] = b.g.cmk;
    cmks[2] = b.f.cmk;
    ck_ok(envol_backup_write(b.f.volume, cmks, 3, NULL, tape_sink, &b.tape, &b.result, NULL));
    for (size_t i = 0; i < 3; i++) {
        b.backup_cmk = cmks[i];
        ck_assert_int_eq(backup_verify(&b, &b.tape), ENVOL_OK);
    }
    cmks[1] = cmks[0];
    ck_status(envol_backup_write(b.f.volume, cmks, 2, NULL, tape_sink, &b.tape, &b.result, NULL),
              ENVOL_E_STATE);
    ck_assert(envol_is_zero(b.result.uuid, ENVOL_UUID_BYTES));
    backup_fixture_free(&b);
}
END_TEST

/* --- A pipe --- */

static int pipe_sink(void *ctx, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;

    while (count > 0) {
        ssize_t n = write(*(int *)ctx, from, count);
        if (n <= 0)
            return 1;
        from += n;
        count -= (size_t)n;
    }
    return 0;
}

static int pipe_source(void *ctx, void *bytes, size_t capacity, size_t *count)
{
    ssize_t n = read(*(int *)ctx, bytes, capacity);

    *count = n > 0 ? (size_t)n : 0;
    return n < 0;
}

static int back_up_into(struct backup_fixture *b, int end)
{
    struct envol_volume *volume;
    enum envol_status status =
        envol_volume_open(b->f.store, &b->f.cmk, 1, NULL, &volume, &b->f.error);

    if (status == ENVOL_OK)
        status = envol_backup_write(volume, &b->backup_cmk, 1, NULL, pipe_sink, &end, NULL, NULL);
    return status == ENVOL_OK && envol_volume_close(volume) == ENVOL_OK ? 0 : 1;
}

START_TEST(through_a_pipe)
{
    const char *path = test_path("volume");
    struct backup_fixture b;
    struct envol_restore *restore;
    int ends[2], exit_status;
    pid_t child;

    if (!backup_fixture_create(&b, &volume_shapes[2], 0))
        return;
    volume_fixture_close(&b.f);
    envol_store_close(b.f.store);
    ck_assert_int_eq(envol_file_store_open(path, ENVOL_FILE_CREATE, &b.f.store, NULL), ENVOL_OK);
    ck_ok(envol_volume_create(b.f.store, &b.f.cmk, 1, NULL, &b.f.volume, &b.f.error));
    fill(&b);
    volume_fixture_close(&b.f);
    envol_store_close(b.f.store);
    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(ends[0]);
        if (envol_file_store_open(path, 0, &b.f.store, NULL) != ENVOL_OK)
            _exit(2);
        _exit(back_up_into(&b, ends[1]));
    }
    close(ends[1]);
    ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_OK);
    ck_ok(envol_restore_apply(restore, &b.backup_cmk, 1, pipe_source, &ends[0], &b.result,
                              &b.g.error));
    ck_ok(envol_restore_finish(restore, NULL));
    envol_restore_close(restore);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &exit_status, 0), child);
    ck_assert_int_eq(exit_status, 0);
    ck_assert_int_eq(envol_file_store_open(path, 0, &b.f.store, NULL), ENVOL_OK);
    volume_fixture_open(&b.f, 0, ENVOL_OK);
    volume_fixture_open(&b.g, 0, ENVOL_OK);
    backup_expect_same(&b);
    backup_fixture_free(&b);
}
END_TEST

/* --- Stopping, and pages that do not read --- */

static int stop_at(void *ctx, uint64_t done, uint64_t pages)
{
    ck_assert_uint_le(done, pages);
    return done >= *(const uint64_t *)ctx;
}

START_TEST(cancelling)
{
    uint64_t limit = _i == 0 ? 0 : 70;
    int cancel = 1;
    struct envol_backup_options how = {
        .struct_size = sizeof(how), .progress = stop_at, .progress_ctx = &limit};
    struct envol_restore_options options = {
        .struct_size = sizeof(options), .progress = stop_at, .progress_ctx = &limit};
    struct backup_fixture b;
    struct envol_restore *restore;
    struct tape part = {.count = 0};

    if (!backup_fixture_create(&b, &volume_shapes[0], 0))
        return;
    fill(&b);
    ck_status(envol_backup_write(b.f.volume, &b.backup_cmk, 1, &how, tape_sink, &part, &b.result,
                                 &b.f.error),
              ENVOL_E_CANCELLED);
    ck_assert_int_ne(backup_verify(&b, &part), ENVOL_OK);
    backup_take(&b, &b.tape, NULL, NULL);
    ck_status(envol_backup_verify(&b.backup_cmk, 1, &options, tape_source, tape_rewind(&b.tape),
                                  NULL, NULL),
              ENVOL_E_CANCELLED);
    ck_ok(envol_restore_begin(b.g.store, &b.g.cmk, 1, &options, &restore, NULL));
    ck_assert_int_eq(restore_apply(&b, restore, &b.tape), ENVOL_E_CANCELLED);
    ck_status(envol_restore_finish(restore, &b.g.error), ENVOL_E_STATE);
    envol_restore_close(restore);
    volume_fixture_open(&b.g, 0, ENVOL_E_STATE);
    how = (struct envol_backup_options){.struct_size = sizeof(how), .cancel_flag = &cancel};
    tape_clear(&part);
    ck_status(envol_backup_write(b.f.volume, &b.backup_cmk, 1, &how, tape_sink, &part, NULL, NULL),
              ENVOL_E_CANCELLED);
    tape_clear(&part);
    backup_fixture_free(&b);
}
END_TEST

static void damage(struct volume_fixture *f, uint64_t page_no)
{
    uint8_t byte;

    volume_store_get(f->store, volume_record_at(f, page_no), &byte, 1);
    byte ^= 1;
    volume_store_put(f->store, volume_record_at(f, page_no), &byte, 1);
}

START_TEST(bad_pages)
{
    const struct envol_backup_options skip = {.struct_size = sizeof(skip),
                                              .flags = ENVOL_BACKUP_SKIP_BAD};
    struct backup_fixture b;
    struct tape *const tapes[] = {&b.tape};

    if (!backup_fixture_create(&b, &volume_shapes[shapes[_i]], 0))
        return;
    fill(&b);
    damage(&b.f, 11);
    damage(&b.f, 12);
    damage(&b.f, 130);
    ck_status(envol_backup_write(b.f.volume, &b.backup_cmk, 1, NULL, tape_sink, &b.tape, &b.result,
                                 &b.f.error),
              ENVOL_E_CORRUPT);
    ck_assert_uint_eq(b.f.error.page_no, 11);
    tape_clear(&b.tape);
    ck_ok(envol_backup_write(b.f.volume, &b.backup_cmk, 1, &skip, tape_sink, &b.tape, &b.result,
                             &b.f.error));
    ck_assert_uint_eq(b.result.bad, 3);
    ck_assert_uint_eq(b.result.first_bad, 11);
    restore_whole(&b, tapes, 1);
    ck_assert_uint_eq(b.result.bad, 3);
    ck_assert_uint_eq(b.result.first_bad, 11);
    volume_page_expect_status(&b.g, 11, ENVOL_E_UNWRITTEN);
    volume_page_expect_status(&b.g, 130, ENVOL_E_UNWRITTEN);
    volume_page_expect(&b.g, 13, 13 % 7);
    backup_fixture_free(&b);
}
END_TEST

/* --- States and arguments --- */

START_TEST(states)
{
    struct backup_fixture b;
    struct envol_restore *restore, *second;
    struct tape again = {.count = 0};

    if (!backup_fixture_create(&b, &volume_shapes[shapes[_i]], 0))
        return;
    fill(&b);
    backup_take(&b, &b.tape, NULL, NULL);
    backup_take(&b, &again, NULL, NULL);
    ck_status(envol_restore_begin(b.f.store, &b.g.cmk, 1, NULL, &restore, &b.f.error),
              ENVOL_E_STATE);
    ck_assert_ptr_null(restore);
    ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_OK);
    ck_status(envol_restore_finish(restore, NULL), ENVOL_E_STATE);
    ck_assert_int_eq(restore_apply(&b, restore, &b.tape), ENVOL_OK);
    ck_assert_int_eq(restore_begin(&b, &second), ENVOL_E_BUSY);
    ck_assert_int_eq(restore_apply(&b, restore, &again), ENVOL_E_STATE);
    volume_fixture_open(&b.g, ENVOL_OPEN_READ_ONLY, ENVOL_E_BUSY);
    envol_restore_close(restore);
    volume_fixture_open(&b.g, ENVOL_OPEN_READ_ONLY, ENVOL_E_STATE);
    ck_assert_ptr_nonnull(strstr(b.g.error.message, "unfinished restore"));
    volume_fixture_open(&b.g, 0, ENVOL_E_STATE);
    ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_OK);
    ck_ok(envol_restore_finish(restore, NULL));
    ck_status(envol_restore_finish(restore, NULL), ENVOL_E_STATE);
    ck_assert_int_eq(restore_apply(&b, restore, &b.tape), ENVOL_E_STATE);
    envol_restore_close(restore);
    ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_E_STATE);
    volume_fixture_open(&b.g, 0, ENVOL_OK);
    backup_expect_same(&b);
    tape_clear(&again);
    backup_fixture_free(&b);
}
END_TEST

START_TEST(arguments)
{
    struct envol_backup_options how = {.struct_size = 1};
    struct envol_restore_options options = {.struct_size = sizeof(options), .flags = 1u << 30};
    struct envol_backup_result small = {.struct_size = 1};
    struct backup_fixture b;
    struct envol_restore *restore;

    if (!backup_fixture_create(&b, &volume_shapes[0], 0))
        return;
    ck_status(envol_backup_write(NULL, &b.backup_cmk, 1, NULL, tape_sink, &b.tape, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_backup_write(b.f.volume, NULL, 0, NULL, tape_sink, &b.tape, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_backup_write(b.f.volume, &b.backup_cmk, 1, NULL, NULL, NULL, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(
        envol_backup_write(b.f.volume, &b.backup_cmk, 1, &how, tape_sink, &b.tape, NULL, NULL),
        ENVOL_E_ARGUMENT);
    ck_status(
        envol_backup_write(b.f.volume, &b.backup_cmk, 1, NULL, tape_sink, &b.tape, &small, NULL),
        ENVOL_E_ARGUMENT);
    ck_status(envol_backup_verify(&b.backup_cmk, 1, NULL, NULL, NULL, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_backup_verify(&b.backup_cmk, 1, &options, tape_source, &b.tape, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_backup_verify(&b.backup_cmk, 9, NULL, tape_source, &b.tape, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_restore_begin(NULL, &b.g.cmk, 1, NULL, &restore, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_restore_begin(b.g.store, &b.g.cmk, 1, &options, &restore, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_restore_begin(b.g.store, &b.g.cmk, 1, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_restore_apply(NULL, &b.backup_cmk, 1, tape_source, &b.tape, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_restore_finish(NULL, NULL), ENVOL_E_ARGUMENT);
    envol_restore_close(NULL);
    ck_status(envol_backup_raw(NULL, tape_sink, &b.tape, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_backup_raw(b.f.store, NULL, NULL, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(b.tape.count, 0);
    backup_fixture_free(&b);
}
END_TEST

/* --- Raw copies --- */

static int copy_in_child(void *argument)
{
    struct backup_fixture *b = argument;

    child_expects(ck_note(envol_backup_raw(b->f.store, tape_sink, &b->tape, NULL, NULL, NULL)) ==
                  ENVOL_E_FORKED);
    return 0;
}

/* By a child, and of a volume whose header is no more. */
START_TEST(raw_copies_that_are_refused)
{
    const uint8_t wrong = 1;
    struct backup_fixture b;

    if (!backup_fixture_create(&b, &volume_shapes[shapes[_i]], 0))
        return;
    fill(&b);
    volume_fixture_close(&b.f);
    ck_assert_int_eq(test_in_child(copy_in_child, &b), 0);
    for (uint64_t copy = 0; copy < 2; copy++)
        volume_store_put(b.f.store, copy * 32768 + 200, &wrong, 1);
    ck_status(envol_backup_raw(b.f.store, tape_sink, &b.tape, NULL, NULL, NULL), ENVOL_E_CORRUPT);
    ck_assert_uint_eq(b.tape.count, 0);
    backup_fixture_free(&b);
}
END_TEST

START_TEST(raw_copies)
{
    struct backup_fixture b;
    struct envol_store *reader;
    uint64_t limit = 0;

    if (!backup_fixture_create(&b, &volume_shapes[shapes[_i]], 0))
        return;
    fill(&b);
    ck_assert_int_eq(envol_memory_store_share(b.f.store, &reader), ENVOL_OK);
    ck_status(envol_backup_raw(reader, tape_sink, &b.tape, NULL, NULL, &b.f.error), ENVOL_E_BUSY);
    ck_status(envol_backup_raw(b.g.store, tape_sink, &b.tape, NULL, NULL, NULL), ENVOL_E_FORMAT);
    volume_fixture_close(&b.f);
    ck_status(envol_backup_raw(reader, tape_sink, &b.tape, stop_at, &limit, NULL),
              ENVOL_E_CANCELLED);
    tape_clear(&b.tape);
    ck_ok(envol_backup_raw(reader, tape_sink, &b.tape, NULL, NULL, &b.f.error));
    ck_assert_uint_eq(b.tape.count, volume_store_bytes(b.f.store));
    volume_store_put(b.g.store, 0, b.tape.bytes, b.tape.count);
    b.g.cmk = b.f.cmk;
    volume_fixture_open(&b.f, 0, ENVOL_OK);
    volume_fixture_open(&b.g, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    backup_expect_same(&b);
    tape_rewind(&b.tape)->fail_at = 1;
    volume_fixture_close(&b.f);
    ck_status(envol_backup_raw(reader, tape_sink, &b.tape, NULL, NULL, NULL), ENVOL_E_IO);
    envol_store_close(reader);
    backup_fixture_free(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup");
    TCase *trip = tcase_create("trip"), *calls = tcase_create("calls");

    tcase_set_timeout(trip, 60);
    tcase_add_loop_test(trip, every_shape, 0, VOLUME_SHAPES);
    tcase_add_loop_test(trip, atomic_pages, 0, SHAPES);
    tcase_add_loop_test(trip, an_empty_volume, 0, SHAPES);
    tcase_add_loop_test(trip, of_a_reader, 0, SHAPES);
    tcase_add_test(trip, through_a_pipe);
    suite_add_tcase(suite, trip);
    tcase_set_timeout(calls, 60);
    tcase_add_test(calls, notes);
    tcase_add_test(calls, of_the_backups_cmk);
    tcase_add_test(calls, several_cmks);
    tcase_add_loop_test(calls, cancelling, 0, 2);
    tcase_add_loop_test(calls, bad_pages, 0, GCM_SHAPES);
    tcase_add_loop_test(calls, states, 0, SHAPES);
    tcase_add_test(calls, arguments);
    tcase_add_loop_test(calls, raw_copies_that_are_refused, 0, SHAPES);
    tcase_add_loop_test(calls, raw_copies, 0, SHAPES);
    suite_add_tcase(suite, calls);
    return test_run(suite);
}
