/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call on snapshots under each circumstance that has a status of its own: keys that are gone,
 * a forked child, a header that others changed or hold, memory and random bytes that fail.
 */
#include "base/memory.h"
#include "children.h"
#include "failing_mlock.h"
#include "failing_random.h"
#include "faults.h"
#include "page/revoke.h"
#include "snapshot_fixture.h"
#include "store/space.h"
#include "support.h"

enum { HEADER = 65536 };

/* --- A volume with one snapshot, and a page that was changed since --- */

static const int shapes[] = {0, 6}; /* GCM and XTS */
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static struct snapshot_fixture s;
static struct snapshot_model before;
static struct watched_store *watched;
static uint8_t old_header[HEADER];
static uint8_t uuid[ENVOL_UUID_BYTES], made[ENVOL_UUID_BYTES];

/* False: this build has no kernel for the suite. */
static bool begin(int shape)
{
    struct envol_store *store;
    struct envol_space *space;

    watched = watched_store_new(&store);
    ck_ok(envol_memory_space_open(&space));
    if (!snapshot_fixture_create_on(&s, &volume_shapes[shape], false, store, space))
        return false;
    snapshot_put(&s, 0, 3);
    volume_store_get(store, 0, old_header, HEADER);
    snapshot_make(&s, uuid);
    before = s.model;
    snapshot_put(&s, 1, 1);
    return true;
}

static void finish(void)
{
    volume_fixture_kill(&s.f);
    snapshot_fixture_free(&s);
}

/* --- The calls --- */

enum call { CREATE, DELETE, LIST, OPEN, CALLS };
static const char *const names[CALLS] = {"create", "delete", "list", "open"};

static enum envol_status run_open(void)
{
    struct envol_volume *image;
    enum envol_status status = ck_note(envol_snapshot_open(s.f.volume, uuid, &image, &s.f.error));

    if (status == ENVOL_OK)
        ck_ok(envol_volume_close(image));
    else
        ck_assert_ptr_null(image);
    return status;
}

static enum envol_status run_list(void)
{
    struct envol_snapshot_info info = {.struct_size = sizeof(info)};
    size_t count;
    enum envol_status status =
        ck_note(envol_snapshot_list(s.f.volume, &info, 1, &count, &s.f.error));

    ck_assert_uint_eq(count, status == ENVOL_OK);
    ck_assert_int_eq(envol_is_zero(info.uuid, sizeof(info.uuid)), status != ENVOL_OK);
    return status;
}

static enum envol_status run_create(void)
{
    enum envol_status status = ck_note(envol_snapshot_create(s.f.volume, NULL, made, &s.f.error));

    ck_assert_int_eq(envol_is_zero(made, sizeof(made)), status != ENVOL_OK);
    return status;
}

static enum envol_status run(enum call call)
{
    switch (call) {
    case CREATE:
        return run_create();
    case DELETE:
        return ck_note(envol_snapshot_delete(s.f.volume, uuid, &s.f.error));
    case LIST:
        return run_list();
    default:
        return run_open();
    }
}

static void expect_image(const char *story)
{
    struct envol_volume *image;

    ck_assert_int_eq(run_list(), ENVOL_OK);
    ck_ok(envol_snapshot_open(s.f.volume, uuid, &image, &s.f.error));
    snapshot_expect(&s, image, &before, story);
    ck_ok(envol_volume_close(image));
}

/* The snapshot is as it was, also for a handle that is opened now, and its file the only one. */
static void expect_snapshot(void)
{
    unsigned files = 0;

    expect_image("after a failure");
    snapshot_fixture_reopen(&s);
    expect_image("opened anew after a failure");
    ck_assert_int_eq(envol_space_list(s.space, snapshot_count_name, &files, NULL), ENVOL_OK);
    ck_assert_uint_eq(files, 1);
    snapshot_expect(&s, s.f.volume, &s.model, "after a failure");
}

/* --- The circumstances --- */

static enum envol_status (*usual)(void *state, const char *name, uint32_t flags,
                                  struct envol_store **store, struct envol_error *error);

static enum envol_status aligned_open(void *state, const char *name, uint32_t flags,
                                      struct envol_store **store, struct envol_error *error)
{
    enum envol_status status = usual(state, name, flags, store, error);

    if (status == ENVOL_OK)
        (*store)->alignment_bytes = 512;
    return status;
}

static void align(void)
{
    usual = s.space->vtable.open;
    s.space->vtable.open = aligned_open;
}

static void read_only(void)
{
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
}

static void take_keys(void)
{
    envol_keyring_revoke(s.f.volume->keyring);
}

static void roll_back(void)
{
    volume_store_put(s.f.store, 0, old_header, HEADER);
}

static void tear(void)
{
    watched_tear_reads(watched, 4096, 64, 255);
}

static void lock_header(void)
{
    watched_fail(watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
}

static void fail_random(void)
{
    random_fails = true;
}

static void fail_io(void)
{
    watched_fail(watched, WATCHED_READ, 1, ENVOL_E_IO);
}

static void lift(void)
{
    random_fails = false;
    watched_tear_reads(watched, 4096, 64, 0);
    if (usual != NULL)
        s.space->vtable.open = usual;
    usual = NULL;
}

static const struct {
    const char *name;
    void (*apply)(void);
    bool is_final; /* for this handle */
    enum envol_status expected[CALLS];
} circumstances[] = {
    {"read-only", read_only, true, {ENVOL_E_READ_ONLY, ENVOL_E_READ_ONLY, ENVOL_OK, ENVOL_E_STATE}},
    {"revoked",
     take_keys,
     true,
     {ENVOL_E_KEY_REVOKED, ENVOL_E_KEY_REVOKED, ENVOL_OK, ENVOL_E_KEY_REVOKED}},
    {"another header", roll_back, true, {ENVOL_E_STALE, ENVOL_E_STALE, ENVOL_OK, ENVOL_OK}},
    {"a header that does not stay",
     tear,
     false,
     {ENVOL_E_CORRUPT, ENVOL_E_CORRUPT, ENVOL_OK, ENVOL_OK}},
    {"a header that is locked",
     lock_header,
     false,
     {ENVOL_E_BUSY, ENVOL_E_BUSY, ENVOL_OK, ENVOL_OK}},
    {"aligned", align, false, {ENVOL_E_UNSUPPORTED, ENVOL_OK, ENVOL_OK, ENVOL_OK}},
    {"no random bytes", fail_random, false, {ENVOL_E_RANDOM, ENVOL_OK, ENVOL_OK, ENVOL_OK}},
    {"no I/O", fail_io, false, {ENVOL_E_IO, ENVOL_E_IO, ENVOL_OK, ENVOL_OK}},
};
enum { CIRCUMSTANCES = sizeof(circumstances) / sizeof(circumstances[0]) };

START_TEST(statuses)
{
    const enum envol_status *expected = circumstances[_i / SHAPES].expected;

    for (enum call call = 0; call < CALLS; call++) {
        enum envol_status status;

        if (!begin(shapes[_i % SHAPES]))
            return;
        circumstances[_i / SHAPES].apply();
        status = run(call);
        lift();
        ck_assert_msg(status == expected[call], "%s, %s: %s", names[call],
                      circumstances[_i / SHAPES].name, envol_status_name(status));
        if (status != ENVOL_OK && !circumstances[_i / SHAPES].is_final) {
            ck_assert_int_eq(s.f.error.status, status);
            expect_snapshot();
            ck_assert_int_eq(run(call), ENVOL_OK);
        }
        finish();
    }
}
END_TEST

/* Each allocation of each call fails once; what was to be done can be done then. */
START_TEST(out_of_memory)
{
    enum call call = (enum call)(_i / SHAPES);
    bool failed = true;

    faults_set_allocator();
    for (unsigned nth = 1; failed; nth++) {
        enum envol_status status;

        if (!begin(shapes[_i % SHAPES]))
            return;
        faults_arm(FAULT_ALLOC, nth, false);
        status = run(call);
        failed = faults_disarm() != FAULT_AT_NOTHING;
        ck_assert_msg(status == (failed ? ENVOL_E_NO_MEMORY : ENVOL_OK), "%s, allocation %u: %s",
                      names[call], nth, envol_status_name(status));
        ck_assert(call == LIST || failed || nth > 1);
        if (failed) {
            expect_snapshot();
            ck_assert_int_eq(run(call), ENVOL_OK);
        }
        finish();
        ck_assert_uint_eq(faults_allocations(), 0);
    }
}
END_TEST

START_TEST(sharing_a_space_without_memory)
{
    struct envol_space *space, *shared;

    faults_set_allocator();
    ck_ok(envol_memory_space_open(&space));
    faults_arm(FAULT_ALLOC, 1, false);
    ck_status(envol_memory_space_share(space, &shared), ENVOL_E_NO_MEMORY);
    (void)faults_disarm();
    ck_assert_ptr_null(shared);
    ck_ok(envol_memory_space_share(space, &shared));
    envol_space_close(space);
    envol_space_close(shared);
    ck_assert_uint_eq(faults_allocations(), 0);
}
END_TEST

/* --- Children --- */

static int in_a_child(void *argument)
{
    enum envol_status expected = *(const enum envol_status *)argument;

    mlock_fails = expected == ENVOL_E_LOCKED_MEMORY;
    for (enum call call = 0; call < CALLS; call++)
        child_expects(run(call) == expected);
    finish();
    return 0;
}

START_TEST(forked)
{
    enum envol_status expected = ENVOL_E_FORKED;

    if (!begin(shapes[_i]))
        return;
    ck_assert_int_eq(test_in_child(in_a_child, &expected), 0);
    expect_snapshot();
    finish();
}
END_TEST

/* A child that inherits keys, and cannot lock them. */
START_TEST(forked_without_locked_memory)
{
    enum envol_status expected = ENVOL_E_LOCKED_MEMORY;

    if (!begin(shapes[_i]))
        return;
    volume_fixture_close(&s.f);
    snapshot_fixture_open(&s, ENVOL_OPEN_INHERIT, ENVOL_OK);
    ck_assert_int_eq(test_in_child(in_a_child, &expected), 0);
    expect_image("the child's parent");
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_statuses");
    TCase *tcase = tcase_create("snapshot_statuses");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, statuses, 0, CIRCUMSTANCES * SHAPES);
    tcase_add_loop_test(tcase, out_of_memory, 0, CALLS * SHAPES);
    tcase_add_test(tcase, sharing_a_space_without_memory);
    tcase_add_loop_test(tcase, forked, 0, SHAPES);
    tcase_add_loop_test(tcase, forked_without_locked_memory, 0, SHAPES);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
