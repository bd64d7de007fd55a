/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each allocation, each provider call and each call of a sink or source failing in turn; and what
 * must not be found in streams, lists and restored volumes.
 */
#include "backup_fixture.h"
#include "base/memory.h"
#include "faults.h"
#include "page/trailer.h"
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 60 };

static struct backup_fixture b;
static struct tape full, next, list, scratch, scratch_list;
static struct envol_store *quiet; /* a copy of the volume that nobody has open */

static void copy_quiet(void)
{
    size_t bytes = (size_t)volume_store_bytes(b.f.store);
    uint8_t *image = malloc(bytes);

    ck_assert_ptr_nonnull(image);
    ck_assert_int_eq(envol_memory_store_open(&quiet), ENVOL_OK);
    volume_store_get(b.f.store, 0, image, bytes);
    volume_store_put(quiet, 0, image, bytes);
    free(image);
}

static bool begin(int shape)
{
    faults_set_allocator();
    if (!backup_fixture_create(&b, &volume_shapes[shape], 0))
        return false;
    for (uint64_t i = 0; i < PAGES; i++)
        if (i % 9 != 4)
            volume_page_put(&b.f, i, 1);
    backup_take(&b, &full, NULL, b.f.gcm ? &list : NULL);
    for (uint64_t i = 0; b.f.gcm && i < PAGES; i += 7)
        volume_page_put(&b.f, i, 2);
    if (b.f.gcm)
        backup_take(&b, &next, &list, NULL);
    copy_quiet();
    return true;
}

static void finish(void)
{
    envol_store_close(quiet);
    tape_clear(&full);
    tape_clear(&next);
    tape_clear(&list);
    tape_clear(&scratch);
    tape_clear(&scratch_list);
    backup_fixture_free(&b);
}

/* --- Things that can be done --- */

static enum envol_status write_backup(void)
{
    struct envol_backup_options options = {.struct_size = sizeof(options)};
    struct envol_cmk cmks[2] = {b.backup_cmk, b.g.cmk};

    if (b.f.gcm) {
        options.changes = tape_source;
        options.changes_ctx = &list;
        options.new_changes = tape_sink;
        options.new_changes_ctx = &scratch_list;
    }
    return ck_note(envol_backup_write(b.f.volume, cmks, 2, &options, tape_sink, &scratch, &b.result,
                                      &b.f.error));
}

static enum envol_status verify(void)
{
    return ck_note(
        envol_backup_verify(&b.backup_cmk, 1, NULL, tape_source, &full, &b.result, &b.f.error));
}

static enum envol_status restore(void)
{
    struct envol_restore *going;
    enum envol_status status = restore_begin(&b, &going);

    if (status != ENVOL_OK) {
        ck_assert_ptr_null(going);
        return status;
    }
    status = ck_note(
        envol_restore_apply(going, &b.backup_cmk, 1, tape_source, &full, &b.result, &b.f.error));
    if (status == ENVOL_OK && b.f.gcm)
        status = ck_note(envol_restore_apply(going, &b.backup_cmk, 1, tape_source, &next, &b.result,
                                             &b.f.error));
    if (status == ENVOL_OK)
        status = ck_note(envol_restore_finish(going, &b.f.error));
    envol_restore_close(going);
    return status;
}

static enum envol_status raw(void)
{
    return ck_note(envol_backup_raw(quiet, tape_sink, &scratch, NULL, NULL, &b.f.error));
}

static const struct {
    const char *name;
    enum envol_status (*run)(void);
} things[] = {{"write", write_backup}, {"verify", verify}, {"restore", restore}, {"raw", raw}};
enum { THINGS = sizeof(things) / sizeof(things[0]) };

static void reset(void)
{
    struct envol_store *store;

    tape_rewind(&full);
    tape_rewind(&next);
    tape_rewind(&list);
    tape_clear(&scratch);
    tape_clear(&scratch_list);
    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    backup_fixture_empty(&b, store);
}

/* What is left must be refused, or right: it may be finished although the last step failed. */
static void check_after(const char *name, enum envol_status status)
{
    if (scratch.count > 0 && strcmp(name, "write") == 0)
        ck_assert_int_eq(backup_verify(&b, &scratch) == ENVOL_OK, status == ENVOL_OK);
    if (strcmp(name, "restore") != 0)
        return;
    if (volume_store_bytes(b.g.store) == 0)
        return;
    if (status == ENVOL_OK ||
        envol_volume_open(b.g.store, &b.g.cmk, 1, NULL, &b.g.volume, NULL) != ENVOL_E_STATE) {
        if (b.g.volume == NULL)
            volume_fixture_open(&b.g, 0, ENVOL_OK);
        backup_expect_same(&b);
    }
}

START_TEST(each_allocation_fails)
{
    size_t allocations, locked;
    bool struck = true;

    if (!begin(_i % 2 == 0 ? 0 : 5))
        return;
    for (unsigned nth = 1; struck; nth++) {
        enum envol_status status;
        reset();
        envol_volume_close_lanes(b.f.volume);
        allocations = faults_allocations();
        locked = faults_locked_bytes();
        faults_arm(FAULT_ALLOC, nth, false);
        status = things[_i / 2].run();
        struck = faults_disarm() == FAULT_AT_MEMORY;
        envol_volume_close_lanes(b.f.volume);
        ck_assert_msg(status == (struck ? ENVOL_E_NO_MEMORY : ENVOL_OK) || status == ENVOL_OK,
                      "%s, allocation %u: %s", things[_i / 2].name, nth, envol_status_name(status));
        if (strcmp(things[_i / 2].name, "restore") != 0) /* whose store has grown */
            ck_assert_uint_eq(faults_allocations(), allocations);
        ck_assert_uint_le(faults_locked_bytes(), locked);
        check_after(things[_i / 2].name, status);
    }
    finish();
}
END_TEST

START_TEST(each_provider_call_fails)
{
    static const enum envol_status answers[] = {ENVOL_E_THROTTLED, ENVOL_E_KEY_DENIED,
                                                ENVOL_E_UNREACHABLE};
    unsigned calls, least[] = {4, 1, 4};

    if (!begin(0))
        return;
    for (unsigned nth = 1;; nth++) {
        enum envol_status status;
        reset();
        calls = fake_kms_calls(b.f.kms, FAKE_ANY);
        fake_kms_fail(b.f.kms, FAKE_ANY, nth, answers[nth % 3]);
        status = things[_i].run();
        calls = fake_kms_calls(b.f.kms, FAKE_ANY) - calls;
        fake_kms_fail(b.f.kms, FAKE_ANY, 0, ENVOL_OK);
        if (calls < nth) {
            ck_assert_int_eq(status, ENVOL_OK);
            ck_assert_uint_eq(calls, least[_i]);
            break;
        }
        ck_assert_int_eq(status, answers[nth % 3]);
        ck_assert_int_eq(b.f.error.status == status || b.g.error.status == status, 1);
        if (_i == 0)
            ck_assert_uint_eq(scratch.count, 0); /* keys first */
        check_after(things[_i].name, status);
    }
    finish();
}
END_TEST

START_TEST(misbehaving_providers)
{
    static const enum fake_misbehaviour bad[] = {
        FAKE_DEK_UNSET, FAKE_DEK_ZERO,   FAKE_DEK_GARBAGE, FAKE_DEK_OTHER,      FAKE_BLOB_EMPTY,
        FAKE_BLOB_6145, FAKE_REF_ESCAPE, FAKE_NO_OUTPUT,   FAKE_STATUS_FOREIGN,
    };

    if (!begin(0))
        return;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        reset();
        fake_kms_misbehave(b.f.kms, bad[i]);
        ck_assert_int_eq(write_backup(), ENVOL_E_PROVIDER);
        ck_assert_uint_eq(scratch.count, 0);
        ck_assert_int_ne(restore(), ENVOL_OK);
        fake_kms_misbehave(b.f.kms, FAKE_HONEST);
    }
    reset(); /* the longest wrappings there are */
    fake_kms_misbehave(b.f.kms, FAKE_BLOB_6144);
    ck_assert_int_eq(write_backup(), ENVOL_OK);
    fake_kms_misbehave(b.f.kms, FAKE_HONEST);
    ck_assert_int_eq(backup_verify(&b, &scratch), ENVOL_OK);
    finish();
}
END_TEST

/* A status of a callback's is passed on, and no number that is none. */
START_TEST(what_a_tape_answers)
{
    static const struct {
        int answer;
        enum envol_status expected;
        int os_errno;
    } answers[] = {
        {EPIPE, ENVOL_E_IO, EPIPE},
        {-(int)ENVOL_E_CANCELLED, ENVOL_E_CANCELLED, 0},
        {-(int)ENVOL_E_CORRUPT, ENVOL_E_CORRUPT, 0},
        {-(int)ENVOL_E_POLICY - 1, ENVOL_E_IO, 0},
        {INT_MIN, ENVOL_E_IO, 0},
    };
    struct tape *const tapes[] = {&scratch, &scratch_list, &list, &full, &full, &scratch};
    static const size_t thing[] = {0, 0, 0, 1, 2, 3};

    if (!begin(0))
        return;
    for (size_t i = 0; i < sizeof(tapes) / sizeof(tapes[0]); i++)
        for (size_t k = 0; k < sizeof(answers) / sizeof(answers[0]); k++) {
            if (answers[k].expected == ENVOL_E_CORRUPT && thing[i] == 3)
                continue; /* raw copies have no such status of their own */
            reset();
            tapes[i]->fail_at = 1;
            tapes[i]->answer = answers[k].answer;
            ck_assert_int_eq(things[thing[i]].run(), answers[k].expected);
            ck_assert_int_eq(b.f.error.status, answers[k].expected);
            ck_assert_int_eq(b.f.error.os_errno, answers[k].os_errno);
            ck_assert_ptr_nonnull(strstr(b.f.error.message, " could not be "));
        }
    finish();
}
END_TEST

/* Each call of the tapes, and short reads of all lengths. */
START_TEST(each_call_of_a_tape_fails)
{
    static const size_t steps[] = {1, 7, 4096, 16400, 0};
    struct tape *const tapes[] = {&scratch, &scratch_list, &list, &full, &next};

    if (!begin(0))
        return;
    for (size_t i = 0; i < sizeof(tapes) / sizeof(tapes[0]); i++) {
        bool writes = i < 3, failed = true;
        for (unsigned nth = 1; failed; nth++) {
            enum envol_status status;
            reset();
            tapes[i]->fail_at = nth;
            status = writes ? write_backup() : restore();
            failed = tapes[i]->calls >= nth;
            ck_assert_int_eq(status, failed ? ENVOL_E_IO : ENVOL_OK);
            tapes[i]->fail_at = 0;
            if (i == 1 && failed) /* a list that failed says nothing against its backup */
                continue;
            check_after(writes ? "write" : "restore", status);
        }
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        reset();
        full.step = next.step = list.step = steps[i];
        ck_assert_int_eq(write_backup(), ENVOL_OK);
        ck_assert_int_eq(restore(), ENVOL_OK);
        check_after("restore", ENVOL_OK);
    }
    finish();
}
END_TEST

/* A source that lies about what it gave. */
static int generous(void *ctx, void *bytes, size_t capacity, size_t *count)
{
    int failed = tape_source(ctx, bytes, capacity, count);

    *count = capacity + 1;
    return failed;
}

START_TEST(a_source_that_gives_too_much)
{
    if (!begin(0))
        return;
    ck_status(envol_backup_verify(&b.backup_cmk, 1, NULL, generous, tape_rewind(&full), NULL, NULL),
              ENVOL_E_IO);
    finish();
}
END_TEST

/* --- What must not be there --- */

static bool holds(const struct tape *tape, const void *what, size_t bytes)
{
    return tape->count >= bytes && memmem(tape->bytes, tape->count, what, bytes) != NULL;
}

START_TEST(no_plaintext_and_no_key)
{
    static const char canary[] = "a canary that must not be in the clear";
    const struct envol_backup_options options = {.struct_size = sizeof(options),
                                                 .note = canary,
                                                 .note_bytes = sizeof(canary),
                                                 .new_changes = b.f.gcm ? tape_sink : NULL,
                                                 .new_changes_ctx = &scratch_list};
    struct envol_backup_options how = options;
    struct tape *const tapes[] = {&scratch};
    struct tape raw_tape = {.count = 0};
    uint8_t dek[ENVOL_DEK_BYTES];

    if (!begin(_i == 0 ? 0 : 5))
        return;
    how.new_changes = b.f.gcm ? tape_sink : NULL;
    for (uint64_t i = 0; i < PAGES; i += 3) {
        memset(b.f.page, 'c', b.f.page_bytes);
        memcpy(b.f.page + 100, canary, sizeof(canary));
        ck_ok(envol_page_write(b.f.volume, i, b.f.page));
    }
    tape_clear(&scratch);
    ck_ok(envol_backup_write(b.f.volume, &b.backup_cmk, 1, &how, tape_sink, &scratch, &b.result,
                             NULL));
    ck_assert(fake_kms_last_dek(b.f.kms, dek));
    for (size_t at = 0; at + 16 <= sizeof(dek); at += 16) {
        ck_assert(!holds(&scratch, dek + at, 16));
        ck_assert(!holds(&scratch_list, dek + at, 16));
    }
    ck_assert(!holds(&scratch, canary, 16));
    ck_assert(!holds(&scratch_list, canary, 16));
    restore_whole(&b, tapes, 1);
    volume_fixture_close(&b.g);
    ck_ok(envol_backup_raw(b.g.store, tape_sink, &raw_tape, NULL, NULL, NULL));
    ck_assert(!holds(&raw_tape, canary, 16));
    tape_clear(&raw_tape);
    finish();
}
END_TEST

static int compare_nonces(const void *a, const void *c)
{
    return memcmp(a, c, ENVOL_NONCE_BYTES);
}

/* Of two restores of one backup and of the volume itself, no two records share a nonce, and no two
 * volumes a DEK. */
START_TEST(nonces_are_not_repeated)
{
    static uint8_t nonces[3 * PAGES][ENVOL_NONCE_BYTES];
    struct tape *const tapes[] = {&full};
    uint8_t deks[2][ENVOL_DEK_BYTES];
    size_t count = 0;

    if (!begin(2))
        return;
    for (uint64_t i = 0; i < PAGES; i += b.f.volume->run, count += b.f.volume->run)
        ck_assert_int_eq(envol_volume_read_nonces(b.f.volume, i,
                                                  PAGES - i < b.f.volume->run ? (size_t)(PAGES - i)
                                                                              : b.f.volume->run,
                                                  nonces[i], NULL),
                         ENVOL_OK);
    for (size_t copy = 0; copy < 2; copy++) {
        reset();
        restore_whole(&b, tapes, 1);
        ck_assert(fake_kms_last_dek(b.f.kms, deks[copy]));
        for (uint64_t i = 0; i < PAGES; i++)
            ck_assert_int_eq(
                envol_volume_read_nonces(b.g.volume, i, 1, nonces[(copy + 1) * PAGES + i], NULL),
                ENVOL_OK);
    }
    ck_assert_mem_ne(deks[0], deks[1], ENVOL_DEK_BYTES);
    qsort(nonces, 3 * PAGES, ENVOL_NONCE_BYTES, compare_nonces);
    for (size_t i = 1; i < 3 * PAGES; i++)
        ck_assert_mem_ne(nonces[i - 1], nonces[i], ENVOL_NONCE_BYTES);
    ck_assert(!envol_is_zero(nonces[0], ENVOL_NONCE_BYTES));
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup_faults");
    TCase *tcase = tcase_create("faults");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, each_allocation_fails, 0, 2 * THINGS);
    tcase_add_loop_test(tcase, each_provider_call_fails, 0, THINGS - 1);
    tcase_add_test(tcase, misbehaving_providers);
    tcase_add_test(tcase, what_a_tape_answers);
    tcase_add_test(tcase, each_call_of_a_tape_fails);
    tcase_add_test(tcase, a_source_that_gives_too_much);
    tcase_add_loop_test(tcase, no_plaintext_and_no_key, 0, 2);
    tcase_add_test(tcase, nonces_are_not_repeated);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
