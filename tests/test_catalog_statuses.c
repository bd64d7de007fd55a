/* SPDX-License-Identifier: BSD-2-Clause */
/* Each call on the catalog of backups under each circumstance that has a status of its own. */
#include "base/memory.h"
#include "catalog_fixture.h"
#include "children.h"
#include "failing_mlock.h"
#include "failing_random.h"
#include "faults.h"
#include "page/revoke.h"
#include "store/space.h"
#include "support.h"

#include <errno.h>

enum { HEADER = 65536 };

/* --- A volume that knows of two backups --- */

static struct snapshot_fixture s;
static struct watched_store *watched;
static uint8_t old_header[HEADER];
static uint8_t uuids[2][ENVOL_UUID_BYTES], made[ENVOL_UUID_BYTES];

static bool begin(void)
{
    struct envol_store *store;
    struct envol_space *space;

    watched = watched_store_new(&store);
    ck_ok(envol_memory_space_open(&space));
    if (!snapshot_fixture_create_on(&s, &volume_shapes[0], false, store, space))
        return false;
    snapshot_put(&s, 0, 3);
    catalog_note(&s.f, uuids[0]);
    volume_store_get(store, 0, old_header, HEADER);
    catalog_note(&s.f, uuids[1]);
    return true;
}

static void finish(void)
{
    volume_fixture_kill(&s.f);
    snapshot_fixture_free(&s);
}

/* --- The calls --- */

enum call { LIST, NOTE, FORGET, FORGET_ALL, CALLS };
static const char *const names[CALLS] = {"list", "note_raw", "forget", "forget all"};

static enum envol_status run_note(void)
{
    enum envol_status status = ck_note(envol_backup_note_raw(s.f.volume, "x", made, &s.f.error));

    ck_assert_int_eq(envol_is_zero(made, sizeof(made)), status != ENVOL_OK);
    return status;
}

static enum envol_status run(enum call call)
{
    static struct catalog_seen seen;

    switch (call) {
    case LIST:
        return catalog_list(s.f.volume, &seen, &s.f.error);
    case NOTE:
        return run_note();
    case FORGET:
        return ck_note(envol_backup_forget(s.f.volume, uuids[0], &s.f.error));
    default:
        return ck_note(envol_backup_forget(s.f.volume, NULL, &s.f.error));
    }
}

/* Nothing was changed, also for a handle that is opened now. */
static void expect_both(void)
{
    const uint8_t(*const both)[ENVOL_UUID_BYTES] = (const uint8_t(*)[ENVOL_UUID_BYTES])uuids;

    catalog_expect(s.f.volume, both, 2, "after a failure");
    snapshot_fixture_reopen(&s);
    catalog_expect(s.f.volume, both, 2, "opened anew after a failure");
    ck_assert_uint_eq(catalog_files(s.space), 1);
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

static enum envol_status failing_open(void *state, const char *name, uint32_t flags,
                                      struct envol_store **store, struct envol_error *error)
{
    (void)state;
    (void)name;
    (void)flags;
    (void)store;
    (void)error;
    errno = EIO;
    return ENVOL_E_IO;
}

static void align(void)
{
    usual = s.space->vtable.open;
    s.space->vtable.open = aligned_open;
}

static void fail_open(void)
{
    align();
    s.space->vtable.open = failing_open;
}

static void read_only(void)
{
    volume_fixture_close(&s.f);
    snapshot_fixture_open(&s, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
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
    enum envol_status expected[CALLS];
    bool is_final; /* for this handle, or what failed may be done */
} circumstances[] = {
    {"read-only",
     read_only,
     {ENVOL_OK, ENVOL_E_READ_ONLY, ENVOL_E_READ_ONLY, ENVOL_E_READ_ONLY},
     true},
    {"revoked",
     take_keys,
     {ENVOL_E_KEY_REVOKED, ENVOL_E_KEY_REVOKED, ENVOL_E_KEY_REVOKED, ENVOL_E_KEY_REVOKED},
     true},
    {"another header", roll_back, {ENVOL_OK, ENVOL_E_STALE, ENVOL_E_STALE, ENVOL_E_STALE}, true},
    {"a header that does not stay",
     tear,
     {ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_E_CORRUPT, ENVOL_E_CORRUPT},
     true},
    {"a header that is locked",
     lock_header,
     {ENVOL_OK, ENVOL_E_BUSY, ENVOL_E_BUSY, ENVOL_E_BUSY},
     true},
    {"aligned",
     align,
     {ENVOL_E_UNSUPPORTED, ENVOL_E_UNSUPPORTED, ENVOL_E_UNSUPPORTED, ENVOL_OK},
     false},
    {"no file", fail_open, {ENVOL_E_IO, ENVOL_E_IO, ENVOL_E_IO, ENVOL_OK}, false},
    {"no random bytes", fail_random, {ENVOL_OK, ENVOL_E_RANDOM, ENVOL_OK, ENVOL_OK}, false},
};
enum { CIRCUMSTANCES = sizeof(circumstances) / sizeof(circumstances[0]) };

START_TEST(statuses)
{
    const enum envol_status *expected = circumstances[_i].expected;

    for (enum call call = 0; call < CALLS; call++) {
        enum envol_status status;

        if (!begin())
            return;
        circumstances[_i].apply();
        status = run(call);
        lift();
        ck_assert_msg(status == expected[call], "%s, %s: %s", names[call], circumstances[_i].name,
                      envol_status_name(status));
        if (status != ENVOL_OK && !circumstances[_i].is_final) {
            ck_assert_int_eq(s.f.error.status, status);
            expect_both();
            ck_assert_int_eq(run(call), ENVOL_OK);
        }
        finish();
    }
}
END_TEST

/* Each allocation of each call fails once; what was to be done can be done then. */
START_TEST(out_of_memory)
{
    enum call call = (enum call)_i;
    bool failed = true;

    faults_set_allocator();
    for (unsigned nth = 1; failed; nth++) {
        enum envol_status status;

        if (!begin())
            return;
        faults_arm(FAULT_ALLOC, nth, false);
        status = run(call);
        failed = faults_disarm() != FAULT_AT_NOTHING;
        ck_assert_msg(status == (failed ? ENVOL_E_NO_MEMORY : ENVOL_OK), "%s, allocation %u: %s",
                      names[call], nth, envol_status_name(status));
        if (failed) {
            /* An entry may be in the file before the header says so. */
            status = run(call);
            ck_assert(status == ENVOL_OK || (call == FORGET && status == ENVOL_E_RANGE));
        }
        finish();
        ck_assert_uint_eq(faults_allocations(), 0);
    }
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
    enum envol_status expected = _i == 0 ? ENVOL_E_FORKED : ENVOL_E_LOCKED_MEMORY;

    if (!begin())
        return;
    volume_fixture_close(&s.f);
    snapshot_fixture_open(&s, _i == 0 ? 0 : ENVOL_OPEN_INHERIT, ENVOL_OK);
    ck_assert_int_eq(test_in_child(in_a_child, &expected), 0);
    catalog_expect(s.f.volume, (const uint8_t(*)[ENVOL_UUID_BYTES])uuids, 2, "the parent");
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catalog_statuses");
    TCase *tcase = tcase_create("catalog_statuses");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, statuses, 0, CIRCUMSTANCES);
    tcase_add_loop_test(tcase, out_of_memory, 0, CALLS);
    tcase_add_loop_test(tcase, forked, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
