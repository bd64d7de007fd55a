/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call on a log under each circumstance that has a status of its own: keys that are gone, a
 * forked child, a header that others changed or hold, memory, random bytes and I/O that fail.
 */
#include "children.h"
#include "crash_space.h"
#include "failing_mlock.h"
#include "failing_random.h"
#include "faults.h"
#include "log_fixture.h"
#include "page/revoke.h"
#include "support.h"

#include <stdlib.h>

enum { SMALL = 64 << 10, HEADER = 65536, RUNS = 300 };

/* --- A space in memory whose stores may be aligned --- */

static bool aligned;

static enum envol_status aligned_open(void *state, const char *name, uint32_t flags,
                                      struct envol_store **store, struct envol_error *error)
{
    enum envol_status status = envol_space_store(state, name, flags, store, error);

    if (status == ENVOL_OK && aligned)
        (*store)->alignment_bytes = 512;
    return status;
}

static enum envol_status aligned_remove(void *state, const char *name)
{
    return envol_space_remove(state, name, NULL);
}

static enum envol_status aligned_rename(void *state, const char *from, const char *to)
{
    return envol_space_rename(state, from, to, NULL);
}

static enum envol_status
aligned_list(void *state, enum envol_status (*callback)(const char *name, void *ctx), void *ctx)
{
    return envol_space_list(state, callback, ctx, NULL);
}

static void aligned_close(void *state)
{
    envol_space_close(state);
}

static const struct envol_space_vtable aligned_vtable = {
    .struct_size = sizeof(aligned_vtable),
    .name = "aligned",
    .open = aligned_open,
    .remove = aligned_remove,
    .rename = aligned_rename,
    .list = aligned_list,
    .close = aligned_close,
};

/* --- The log: three segments, and a reader at the end of the first --- */

static struct log_fixture f;
static struct watched_store *watched; /* the volume's store, or */
static struct crash_store *crash;     /* that of the volume and the space */
static uint8_t old_header[HEADER];
static struct envol_log_reader *reader;
static uint8_t data[60000];

static void fill(void)
{
    struct envol_log_record record;

    log_put_many(&f, 3, 1000);
    ck_ok(envol_log_next_segment(f.log, NULL));
    log_put_many(&f, 3, 1000);
    ck_ok(envol_log_next_segment(f.log, NULL));
    log_put_many(&f, 10, 1000);
    ck_ok(envol_log_reader_open(f.v.volume, f.space, 0, &reader, NULL));
    for (unsigned i = 0; i < 3; i++)
        ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
}

static void begin(bool crashing)
{
    struct envol_store *store;
    struct envol_space *space, *inner;

    faults_set_allocator();
    if (crashing) {
        crash = crash_store_new(NULL, 0, &store);
        space = crash_space_new(crash, NULL);
    } else {
        watched = watched_store_new(&store);
        ck_ok(envol_memory_space_open(&inner));
        ck_ok(envol_space_open(&aligned_vtable, inner, &space));
    }
    log_fixture_create_on(&f, SMALL, store, space);
    volume_store_get(f.v.store, 0, old_header, HEADER);
    fill();
}

static void finish(void)
{
    envol_log_reader_close(reader);
    reader = NULL;
    if (f.log != NULL)
        log_fixture_kill(&f);
    volume_fixture_kill(&f.v);
    log_fixture_free(&f);
}

/* --- The calls --- */

static void close_it(void)
{
    log_fixture_close(&f);
}

static void delete_it(void)
{
    log_fixture_close(&f);
    ck_ok(envol_log_delete(f.v.volume, f.space, NULL));
}

static enum envol_status run_create(void)
{
    return ck_note(envol_log_create(f.v.volume, f.space, &f.options, &f.log, &f.error));
}

static enum envol_status run_open(void)
{
    return ck_note(envol_log_open(f.v.volume, f.space, &f.options, &f.log, &f.error));
}

static enum envol_status run_delete(void)
{
    return ck_note(envol_log_delete(f.v.volume, f.space, &f.error));
}

static enum envol_status run_close(void)
{
    struct envol_log *log = f.log;

    f.log = NULL;
    return ck_note(envol_log_close(log, &f.error));
}

/* Goes over to a new segment. */
static enum envol_status run_append(void)
{
    return ck_note(envol_log_append(f.log, data, sizeof(data), NULL, &f.error));
}

static enum envol_status run_batch(void)
{
    struct envol_log_entry entries[2] = {{.data = data, .bytes = sizeof(data) / 2},
                                         {.data = data, .bytes = sizeof(data) / 2}};

    return ck_note(envol_log_append_batch(f.log, entries, 2, &f.error));
}

static enum envol_status run_next_segment(void)
{
    return ck_note(envol_log_next_segment(f.log, &f.error));
}

static enum envol_status run_truncate(void)
{
    return ck_note(envol_log_truncate(f.log, 7, &f.error));
}

static enum envol_status run_sync(void)
{
    return ck_note(envol_log_sync(f.log, 0, &f.error));
}

static enum envol_status run_status(void)
{
    struct envol_log_info info = {.struct_size = sizeof(info)};

    return ck_note(envol_log_status(f.log, &info));
}

static enum envol_status run_reader_open(void)
{
    struct envol_log_reader *other;
    enum envol_status status =
        ck_note(envol_log_reader_open(f.v.volume, f.space, 1, &other, &f.error));

    envol_log_reader_close(other);
    return status;
}

static enum envol_status run_archive(void)
{
    const struct envol_keyring *keyring = envol_volume_keyring(f.v.volume);
    struct envol_log_reader *other;
    enum envol_status status =
        ck_note(envol_log_reader_open_archive(keyring, f.space, 1, &other, &f.error));

    envol_log_reader_close(other);
    return status;
}

static enum envol_status run_reader_next(void)
{
    struct envol_log_record record;

    return ck_note(envol_log_reader_next(reader, 0, &record, &f.error));
}

static int go_on(void *ctx, const struct envol_log_record *record)
{
    (void)ctx;
    (void)record;
    return 0;
}

static enum envol_status run_replay(void)
{
    return ck_note(envol_log_replay(f.v.volume, f.space, 1, 0, go_on, NULL, &f.error));
}

static const struct {
    const char *name;
    void (*prepare)(void);
    enum envol_status (*run)(void);
} calls[] = {
    {"create", delete_it, run_create},
    {"open", close_it, run_open},
    {"delete", close_it, run_delete},
    {"close", NULL, run_close},
    {"append", NULL, run_append},
    {"append_batch", NULL, run_batch},
    {"next_segment", NULL, run_next_segment},
    {"truncate", NULL, run_truncate},
    {"sync", NULL, run_sync},
    {"status", NULL, run_status},
    {"reader_open", NULL, run_reader_open},
    {"reader_open_archive", NULL, run_archive},
    {"reader_next", NULL, run_reader_next},
    {"replay", NULL, run_replay},
};
enum {
    CREATE = 1 << 0,
    OPEN = 1 << 1,
    DELETE = 1 << 2,
    CLOSE = 1 << 3,
    APPEND = 1 << 4 | 1 << 5,
    NEXT_SEGMENT = 1 << 6,
    TRUNCATE = 1 << 7,
    SYNC = 1 << 8,
    STATUS = 1 << 9,
    READER_OPEN = 1 << 10,
    ARCHIVE = 1 << 11,
    READER_NEXT = 1 << 12,
    REPLAY = 1 << 13,
    HEADER_CHANGES = CREATE | OPEN | DELETE | CLOSE | APPEND | NEXT_SEGMENT | TRUNCATE,
    READS = READER_OPEN | ARCHIVE | READER_NEXT | REPLAY,
    CALLS = sizeof(calls) / sizeof(calls[0]),
};

/* --- The circumstances --- */

static void read_only(void)
{
    envol_log_reader_close(reader);
    reader = NULL;
    volume_fixture_close(&f.v);
    volume_fixture_open(&f.v, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
}

static void take_keys(void)
{
    envol_keyring_revoke(f.v.volume->keyring);
}

static void roll_back(void)
{
    volume_store_put(f.v.store, 0, old_header, HEADER);
}

static void tear(void)
{
    watched_tear_reads(watched, 4096, 64, 255);
}

static void lock_header(void)
{
    watched_fail(watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
}

static void align(void)
{
    aligned = true;
}

static void fail_memory(void)
{
    faults_arm(FAULT_ALLOC, 1, true);
}

static struct envol_log_run *runs[RUNS];

/* Takes all that is locked already. */
static void fail_locking(void)
{
    const struct envol_log_run_params params = {
        .struct_size = sizeof(params), .run = 1, .start_lsn = 1};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    enum envol_status status = ENVOL_OK;

    mlock_fails = true;
    for (size_t i = 0; i < RUNS && status == ENVOL_OK; i++)
        status = ck_note(
            envol_log_run_begin(envol_volume_keyring(f.v.volume), &params, header, &runs[i]));
    ck_assert_int_eq(status, ENVOL_E_LOCKED_MEMORY);
}

static void fail_random(void)
{
    random_fails = true;
}

static void fail_io(void)
{
    crash_store_fail(crash, 1, CRASH_FAULT_NOTHING);
}

static void drop_log(void)
{
    delete_it();
}

static void drop_records(void)
{
    ck_ok(envol_log_truncate(f.log, 7, NULL));
}

static void damage(void)
{
    log_segment_flip(f.space, 1, 64, 1);
    log_segment_flip(f.space, 2, 64, 1);
}

static void ask_too_much(void)
{
    f.options.segment_bytes = 1;
}

static void lift(void)
{
    (void)faults_disarm();
    aligned = mlock_fails = random_fails = false;
    for (size_t i = 0; i < RUNS; i++) {
        envol_log_run_close(runs[i]);
        runs[i] = NULL;
    }
    if (crash != NULL)
        crash_store_fail(crash, 0, CRASH_FAULT_NOTHING);
    else
        watched_tear_reads(watched, 4096, 64, 0);
}

static const struct {
    const char *name;
    void (*apply)(void);
    enum envol_status expected;
    unsigned calls;
} circumstances[] = {
    {"read-only", read_only, ENVOL_E_READ_ONLY, CREATE | OPEN | DELETE},
    {"revoked", take_keys, ENVOL_E_KEY_REVOKED, HEADER_CHANGES | READS},
    {"another header", roll_back, ENVOL_E_STALE, HEADER_CHANGES},
    {"a header that does not stay", tear, ENVOL_E_CORRUPT, HEADER_CHANGES},
    {"a header that is locked", lock_header, ENVOL_E_BUSY, HEADER_CHANGES},
    {"aligned", align, ENVOL_E_UNSUPPORTED,
     CREATE | OPEN | DELETE | APPEND | NEXT_SEGMENT | TRUNCATE | READS},
    {"no memory", fail_memory, ENVOL_E_NO_MEMORY, HEADER_CHANGES | READS},
    {"no locked memory", fail_locking, ENVOL_E_LOCKED_MEMORY,
     CREATE | OPEN | APPEND | NEXT_SEGMENT | TRUNCATE | READS},
    {"no random bytes", fail_random, ENVOL_E_RANDOM, CREATE | OPEN | APPEND | NEXT_SEGMENT},
    {"no I/O", fail_io, ENVOL_E_IO, HEADER_CHANGES | SYNC | READS},
    {"no log", drop_log, ENVOL_E_STATE, READER_OPEN | READER_NEXT | REPLAY},
    {"truncated", drop_records, ENVOL_E_RANGE, READER_OPEN | READER_NEXT | REPLAY},
    {"damaged", damage, ENVOL_E_CORRUPT, TRUNCATE | READS},
    {"bad options", ask_too_much, ENVOL_E_RANGE, CREATE | OPEN},
};
enum { CIRCUMSTANCES = sizeof(circumstances) / sizeof(circumstances[0]) };

START_TEST(statuses)
{
    for (size_t i = 0; i < CALLS; i++) {
        enum envol_status status;

        if ((circumstances[_i].calls & 1u << i) == 0)
            continue;
        begin(circumstances[_i].apply == fail_io);
        if (calls[i].prepare != NULL)
            calls[i].prepare();
        else if (circumstances[_i].apply == read_only)
            close_it();
        circumstances[_i].apply();
        status = calls[i].run();
        lift();
        ck_assert_msg(status == circumstances[_i].expected, "%s, %s: %s", calls[i].name,
                      circumstances[_i].name, envol_status_name(status));
        finish();
    }
}
END_TEST

/* --- A child --- */

static int in_a_child(void *argument)
{
    size_t i = *(const size_t *)argument;

    child_expects(calls[i].run() == ENVOL_E_FORKED);
    finish();
    return 0;
}

START_TEST(forked)
{
    for (size_t i = 0; i < CALLS; i++) {
        if ((1u << i & CLOSE) != 0) /* only frees */
            continue;
        begin(false);
        if (calls[i].prepare != NULL)
            calls[i].prepare();
        ck_assert_msg(test_in_child(in_a_child, &i) == 0, "%s", calls[i].name);
        finish();
    }
}
END_TEST

/* --- A DEK that the handle does not know yet --- */

START_TEST(of_a_newer_dek)
{
    struct volume_fixture v;
    struct envol_log_reader *other;

    begin(false);
    v = f.v;
    v.store = watched_store_share(watched);
    volume_fixture_open(&v, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_ok(envol_log_truncate(f.log, 7, NULL));
    ck_ok(envol_volume_rotate_begin(f.v.volume, &f.v.cmk, 1, 0, NULL, NULL));
    ck_ok(envol_log_next_segment(f.log, NULL));
    log_put_many(&f, 3, 100);
    ck_ok(envol_log_truncate(f.log, 17, NULL));
    ck_status(
        envol_log_reader_open_archive(envol_volume_keyring(v.volume), f.space, 0, &other, NULL),
        ENVOL_E_STALE);
    volume_fixture_kill(&v);
    envol_store_close(v.store);
    finish();
}
END_TEST

/* Segments that begin before the rotation, so that the replay comes to the newer one. */
START_TEST(replayed_to_a_newer_dek)
{
    struct volume_fixture v;

    begin(false);
    v = f.v;
    v.store = watched_store_share(watched);
    volume_fixture_open(&v, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_ok(envol_volume_rotate_begin(f.v.volume, &f.v.cmk, 1, 0, NULL, NULL));
    log_put_many(&f, 3, 100);
    ck_status(envol_log_replay(v.volume, f.space, 1, 0, go_on, NULL, NULL), ENVOL_E_STALE);
    volume_fixture_kill(&v);
    envol_store_close(v.store);
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_statuses");
    TCase *tcase = tcase_create("log_statuses");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, statuses, 0, CIRCUMSTANCES);
    tcase_add_test(tcase, forked);
    tcase_add_test(tcase, of_a_newer_dek);
    tcase_add_test(tcase, replayed_to_a_newer_dek);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
