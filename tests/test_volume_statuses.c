/* SPDX-License-Identifier: BSD-2-Clause */
/* Statuses that volume calls pass on from below: the key service, memory, randomness, kernels. */
#include "aes/kernel.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "children.h"
#include "failing_mlock.h"
#include "failing_random.h"
#include "header/layout.h"
#include "support.h"
#include "volume_fixture.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* An allocator whose n-th allocation from now on fails, and all that follow it. */
static _Atomic long allocations_left = -1;

static void *limited_alloc(void *ctx, size_t bytes, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    if (atomic_load(&allocations_left) == 0)
        return NULL;
    if (atomic_load(&allocations_left) > 0)
        atomic_fetch_sub(&allocations_left, 1);
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes) != 0)
        return NULL;
    return memory;
}

static void limited_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static const struct envol_allocator limited = {sizeof(limited), NULL, limited_alloc, limited_free};

/* --- Calls that a table can make --- */

enum call {
    READ,
    WRITE,
    APPEND,
    READ_BATCH,
    WRITE_BATCH,
    EXTENT,
    TRIM,
    SYNC,
    GROW,
    SHRINK,
    REFRESH,
    VERIFY,
    INSPECT,
    ANCHOR,
    OPEN,
    CALLS
};

static enum envol_status make_call(struct volume_fixture *f, enum call call)
{
    struct envol_page_io io = {.page_no = 0, .page = f->other};
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    uint64_t pages;
    int unwritten;

    switch (call) {
    case READ:
        return ck_note(envol_page_read(f->volume, 0, f->other));
    case WRITE:
        return ck_note(envol_page_write(f->volume, 0, f->other));
    case APPEND:
        return ck_note(envol_page_write(f->volume, 3, f->other));
    case READ_BATCH:
        return ck_note(envol_page_read_batch(f->volume, &io, 1, &f->error));
    case WRITE_BATCH:
        return ck_note(envol_page_write_batch(f->volume, &io, 1, &f->error));
    case EXTENT:
        return ck_note(envol_page_extent(f->volume, 0, 1, &pages, &unwritten, &f->error));
    case TRIM:
        return ck_note(envol_page_trim(f->volume, 0, 1));
    case SYNC:
        return ck_note(envol_volume_sync(f->volume));
    case GROW:
        return ck_note(envol_volume_truncate(f->volume, 9, &f->error));
    case SHRINK:
        return ck_note(envol_volume_truncate(f->volume, 1, &f->error));
    case REFRESH:
        return ck_note(envol_volume_refresh(f->volume, &f->error));
    case VERIFY:
        return ck_note(envol_volume_verify(f->volume, NULL, NULL, NULL, &f->error));
    case INSPECT:
        return ck_note(envol_volume_inspect(f->store, &info, NULL, &f->error));
    case ANCHOR:
        return ck_note(envol_volume_anchor(f->volume, &anchor));
    default:
        return ck_note(envol_volume_open(f->store, &f->cmk, 1, NULL, &f->volume, &f->error));
    }
}

static const enum call all_calls[] = {READ,    WRITE,  APPEND,  READ_BATCH, WRITE_BATCH,
                                      EXTENT,  TRIM,   SYNC,    GROW,       SHRINK,
                                      REFRESH, VERIFY, INSPECT, ANCHOR,     OPEN};
_Static_assert(sizeof(all_calls) / sizeof(all_calls[0]) == CALLS, "all of them");

/* A volume of three pages, opened anew: no lane is open. */
static bool begin(struct volume_fixture *f, int shape, uint32_t flags, enum call call)
{
    if (!volume_fixture_create(f, &volume_shapes[shape]))
        return false;
    for (uint64_t i = 0; i < 3; i++)
        volume_page_put(f, i, 1);
    volume_fixture_close(f);
    if (call != OPEN)
        volume_fixture_open(f, flags, ENVOL_OK);
    return true;
}

static const int shapes[] = {0, 4, 5, 8};
enum { ROUNDS = CALLS * sizeof(shapes) / sizeof(shapes[0]) };

/* --- The key service --- */

START_TEST(statuses_of_the_key_service)
{
    struct volume_fixture f;

    if (!begin(&f, 0, 0, OPEN))
        return;
    for (size_t i = 0; i < FAKE_STATUSES; i++) {
        struct watched_store *empty;
        struct envol_store *store;
        fake_kms_fail(f.kms, FAKE_UNWRAP, 1, fake_statuses[i]);
        ck_status(envol_volume_open(f.store, &f.cmk, 1, NULL, &f.volume, &f.error),
                  fake_statuses[i]);
        ck_assert_int_eq(f.error.status, fake_statuses[i]);
        ck_assert_int_eq(f.error.slot, 1);
        ck_assert_str_eq(f.error.provider_code, "PlannedFailure");
        ck_assert_ptr_nonnull(strstr(f.error.message, "PlannedFailure"));
        empty = watched_store_new(&store);
        fake_kms_fail(f.kms, FAKE_ANY, 1 + (unsigned)i % 2, fake_statuses[i]);
        ck_status(envol_volume_create(store, &f.cmk, 1, NULL, &f.volume, &f.error),
                  fake_statuses[i]);
        ck_assert_int_eq(f.error.status, fake_statuses[i]);
        ck_assert_str_eq(f.error.provider_code, "PlannedFailure");
        ck_assert_uint_eq(watched_header_writes(empty), 0);
        envol_store_close(store);
    }
    volume_fixture_free(&f);
}
END_TEST

/* --- Randomness --- */

/* Under XTS only the fall of a hole's record needs none: nothing does. */
static bool draws(enum call call, const struct volume_fixture *f)
{
    if (!f->gcm)
        return false;
    if (f->shape->sparse && (call == TRIM || call == GROW))
        return false;
    return call == WRITE || call == APPEND || call == WRITE_BATCH || call == TRIM || call == GROW;
}

START_TEST(no_randomness)
{
    struct volume_fixture f;
    enum call call = all_calls[_i % CALLS];
    enum envol_status status;

    if (!begin(&f, shapes[_i / CALLS], 0, call))
        return;
    volume_page_fill(&f, 0, 1, f.other);
    random_fails = true;
    status = make_call(&f, call);
    random_fails = false;
    if (call == VERIFY && !f.gcm)
        ck_assert_int_eq(status, ENVOL_E_UNSUPPORTED);
    else
        ck_assert_int_eq(status, draws(call, &f) ? ENVOL_E_RANDOM : ENVOL_OK);
    if (call != TRIM || status != ENVOL_OK)
        volume_page_expect(&f, 0, 1);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(creating_without_randomness)
{
    struct volume_fixture f;
    struct envol_store *store;
    struct envol_volume *volume;

    if (!begin(&f, 0, 0, READ))
        return;
    watched_store_new(&store);
    random_fails = true;
    ck_status(envol_volume_create(store, &f.cmk, 1, NULL, &volume, &f.error), ENVOL_E_RANDOM);
    random_fails = false;
    ck_assert_uint_eq(volume_store_bytes(store), 0);
    envol_store_close(store);
    volume_fixture_free(&f);
}
END_TEST

/* --- Memory --- */

/* Each call with its n-th allocation failing, for all n, until it needs no more. */
START_TEST(out_of_memory)
{
    enum call call = all_calls[_i % CALLS];

    ck_ok(envol_set_allocator(&limited));
    for (long n = 0;; n++) {
        struct volume_fixture f;
        enum envol_status status;

        if (!begin(&f, shapes[_i / CALLS], 0, call))
            return;
        volume_page_fill(&f, 0, 1, f.other);
        atomic_store(&allocations_left, n);
        status = make_call(&f, call);
        atomic_store(&allocations_left, -1);
        if (status == ENVOL_E_NO_MEMORY && call != OPEN) {
            ck_assert_uint_le(envol_volume_pages(f.volume), 9);
            /* The size of the store decides under XTS: it was cut before the header. */
            volume_page_expect(&f, call == SHRINK ? 0 : 1, 1);
        }
        volume_fixture_free(&f);
        if (status == ENVOL_OK || status == ENVOL_E_UNSUPPORTED)
            break;
        ck_assert_int_eq(status, ENVOL_E_NO_MEMORY);
    }
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

START_TEST(creating_out_of_memory)
{
    struct volume_fixture f;
    struct envol_volume *volume;
    struct envol_store *store;

    ck_ok(envol_set_allocator(&limited));
    if (!begin(&f, 0, 0, READ))
        return;
    for (long n = 0;; n++) {
        enum envol_status status;
        watched_store_new(&store);
        atomic_store(&allocations_left, n);
        status = ck_note(envol_volume_create(store, &f.cmk, 1, NULL, &volume, &f.error));
        atomic_store(&allocations_left, -1);
        if (status == ENVOL_OK)
            ck_ok(envol_volume_close(volume));
        else
            ck_assert_ptr_null(volume);
        if (status != ENVOL_OK)
            ck_assert_uint_eq(volume_store_bytes(store), 0);
        envol_store_close(store);
        if (status == ENVOL_OK)
            break;
        ck_assert_int_eq(status, ENVOL_E_NO_MEMORY);
    }
    volume_fixture_free(&f);
}
END_TEST

static bool takes_a_lane(enum call call)
{
    return call != SYNC && call != ANCHOR && call != SHRINK && call != INSPECT && call != REFRESH;
}

START_TEST(no_locked_memory)
{
    struct volume_fixture f;
    enum call call = all_calls[_i % CALLS];
    enum envol_status status, expected;

    if (call == OPEN || call == REFRESH || !begin(&f, shapes[_i / CALLS], 0, call))
        return;
    volume_page_fill(&f, 0, 1, f.other);
    envol_volume_close_lanes(f.volume);
    mlock_fails = true;
    status = make_call(&f, call);
    mlock_fails = false;
    expected = takes_a_lane(call) ? ENVOL_E_LOCKED_MEMORY : ENVOL_OK;
    if (call == VERIFY && !f.gcm)
        expected = ENVOL_E_UNSUPPORTED;
    /* The arena keeps a locked region that the writing before made empty. */
    ck_assert(status == expected || status == ENVOL_OK);
    volume_fixture_free(&f);
}
END_TEST

/* In a process that has no locked memory yet. */
START_TEST(opening_without_locked_memory)
{
    struct volume_fixture f;
    struct envol_volume *volume;
    struct envol_store *store;
    const struct envol_volume_options allowed = {.struct_size = sizeof(allowed),
                                                 .flags = ENVOL_OPEN_ALLOW_UNLOCKED};

    f.kms = fake_kms_new();
    fake_kms_add_key(f.kms, VOLUME_KEY);
    f.provider = fake_kms_open(f.kms);
    f.cmk = (struct envol_cmk){f.provider, VOLUME_KEY};
    f.error = (struct envol_error)ENVOL_ERROR_INIT;
    watched_store_new(&store);
    mlock_fails = true;
    ck_status(envol_volume_create(store, &f.cmk, 1, NULL, &volume, &f.error),
              ENVOL_E_LOCKED_MEMORY);
    ck_ok(envol_volume_create(store, &f.cmk, 1, &allowed, &volume, &f.error));
    f.volume = volume;
    ck_assert_int_eq(volume_info_of(&f).keys_locked, 0);
    f.page = calloc(1, volume->page_bytes);
    ck_ok(envol_page_write(volume, 0, f.page));
    ck_ok(envol_volume_close(volume));
    ck_status(envol_volume_open(store, &f.cmk, 1, NULL, &volume, &f.error), ENVOL_E_LOCKED_MEMORY);
    ck_ok(envol_volume_open(store, &f.cmk, 1, &allowed, &volume, &f.error));
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    envol_provider_close(f.provider);
    fake_kms_free(f.kms);
    free(f.page);
}
END_TEST

static int lock_again(void *argument)
{
    struct volume_fixture *f = argument;
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    static uint8_t bytes[ENVOL_HEADER_BYTES];

    mlock_fails = true;
    for (size_t i = 0; i < CALLS; i++) {
        if (all_calls[i] != OPEN && all_calls[i] != INSPECT)
            child_expects(make_call(f, all_calls[i]) == ENVOL_E_LOCKED_MEMORY);
    }
    child_expects(ck_note(envol_volume_info(f->volume, &info)) == ENVOL_E_LOCKED_MEMORY);
    child_expects(ck_note(envol_volume_anchor(f->volume, &anchor)) == ENVOL_E_LOCKED_MEMORY);
    child_expects(ck_note(envol_volume_header_bytes(f->volume, bytes, NULL)) ==
                  ENVOL_E_LOCKED_MEMORY);
    child_expects(envol_is_zero(f->other, f->page_bytes));
    return 0;
}

/* A child that inherits keys, and cannot lock them. */
START_TEST(a_child_without_locked_memory)
{
    struct volume_fixture f;

    if (!begin(&f, shapes[_i], ENVOL_OPEN_INHERIT, READ))
        return;
    ck_assert_int_eq(test_in_child(lock_again, &f), 0);
    volume_page_expect(&f, 0, 1);
    volume_fixture_free(&f);
}
END_TEST

/* --- Kernels --- */

START_TEST(no_kernel_for_xts)
{
    struct volume_fixture f;
    const struct envol_header_params params = {.struct_size = sizeof(params),
                                               .suite = ENVOL_SUITE_AES_256_XTS};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};
    struct envol_store *store;

    if (!begin(&f, 5, 0, OPEN))
        return;
    if (!envol_aes_kernel_force("libsodium")) {
        test_skip("no kernel for XTS", "libsodium's is not usable here");
        volume_fixture_free(&f);
        return;
    }
    volume_fixture_open(&f, 0, ENVOL_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(f.error.message, "this build lacks"));
    watched_store_new(&store);
    ck_status(envol_volume_create(store, &f.cmk, 1, &options, &f.volume, &f.error),
              ENVOL_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(f.error.message, "this build lacks"));
    ck_assert_uint_eq(volume_store_bytes(store), 0);
    envol_store_close(store);
    envol_aes_kernel_force(NULL);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_fixture_free(&f);
}
END_TEST

/* --- Headers --- */

/* A call that must update the header; what it takes for that was done before. */
static enum envol_status updating_call(struct volume_fixture *f, enum call call)
{
    struct envol_page_io io = {.page_no = 3, .page = f->other};
    struct envol_volume *volume = f->volume;

    switch (call) {
    case WRITE_BATCH:
        return ck_note(envol_page_write_batch(f->volume, &io, 1, &f->error));
    case TRIM: /* a synced page above the mark */
        return ck_note(envol_page_trim(f->volume, 3, 1));
    case CALLS:
        f->volume = NULL;
        return ck_note(envol_volume_close(volume));
    default:
        return make_call(f, call);
    }
}

static void prepare_update(struct volume_fixture *f, enum call call)
{
    if (call == TRIM || call == CALLS)
        volume_page_put(f, 3, 1);
    if (call == TRIM)
        ck_ok(envol_volume_sync(f->volume));
    if (call != SYNC)
        return;
    watched_fail(f->watched, WATCHED_WRITE, 2, ENVOL_E_IO);
    ck_status(envol_page_write(f->volume, 3, f->other), ENVOL_E_IO);
}

/* Overtaken by somebody who wrote an older header; what was written does not read back; or somebody
 * holds the header's lock. */
START_TEST(updates_that_cannot_be)
{
    static const enum envol_status results[] = {ENVOL_E_STALE, ENVOL_E_CORRUPT, ENVOL_E_BUSY};
    static const enum call updating[] = {APPEND, WRITE_BATCH, TRIM,   SYNC,
                                         ANCHOR, GROW,        SHRINK, CALLS};

    for (size_t i = 0; i < sizeof(updating) / sizeof(updating[0]); i++) {
        struct volume_fixture f;
        enum call call = updating[i];
        uint8_t *old = malloc(ENVOL_HEADER_BYTES);
        enum envol_status expected = results[_i];

        ck_assert_ptr_nonnull(old);
        if (!volume_fixture_create(&f, &volume_shapes[0]))
            return;
        volume_store_get(f.store, 0, old, ENVOL_HEADER_BYTES);
        for (uint64_t page_no = 0; page_no < 3; page_no++)
            volume_page_put(&f, page_no, 1);
        volume_fixture_reopen(&f);
        prepare_update(&f, call);
        if (expected == ENVOL_E_STALE)
            volume_store_put(f.store, 0, old, ENVOL_HEADER_BYTES);
        else if (expected == ENVOL_E_CORRUPT)
            watched_tear_reads(f.watched, ENVOL_HEADER_COPY_BYTES, 100, 2);
        else
            watched_fail(f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
        ck_assert_int_eq(updating_call(&f, call), expected);
        if (f.volume != NULL) {
            volume_page_expect(&f, 1, 1);
            volume_fixture_kill(&f);
        }
        volume_fixture_free(&f);
        free(old);
    }
}
END_TEST

/* --- Batches --- */

/* In both copies of the header, as a rotation does before it seals a page; their MAC is wrong. */
static void begin_epoch(struct volume_fixture *f, uint32_t epoch)
{
    uint8_t *copy = malloc(ENVOL_HEADER_COPY_BYTES);

    ck_assert_ptr_nonnull(copy);
    volume_store_get(f->store, 0, copy, ENVOL_HEADER_COPY_BYTES);
    envol_store32(copy + ENVOL_AT_EPOCH, epoch);
    envol_store32(copy + ENVOL_AT_CRC, 0);
    envol_store32(copy + ENVOL_AT_CRC, envol_crc32c(0, copy, ENVOL_HEADER_COPY_BYTES));
    for (uint64_t i = 0; i < 2; i++)
        volume_store_put(f->store, i * ENVOL_HEADER_COPY_BYTES, copy, ENVOL_HEADER_COPY_BYTES);
    free(copy);
}

START_TEST(batches_of_one)
{
    struct volume_fixture f;
    struct envol_page_io io = {.page_no = 0};
    uint32_t epoch = 2;

    if (!begin(&f, 0, ENVOL_OPEN_READ_ONLY, READ))
        return;
    io.page = f.other;
    ck_assert_int_eq(make_call(&f, WRITE_BATCH), ENVOL_E_READ_ONLY);
    io.page_no = 3;
    ck_status(envol_page_read_batch(f.volume, &io, 1, &f.error), ENVOL_E_RANGE);
    volume_store_put(f.store, volume_record_at(&f, 1) - ENVOL_TRAILER_BYTES, &epoch, 4);
    ck_assert_int_eq(make_call(&f, READ), ENVOL_E_CORRUPT); /* no header says so */
    ck_assert_int_eq(make_call(&f, VERIFY), ENVOL_E_CORRUPT);
    begin_epoch(&f, epoch);
    ck_assert_int_eq(make_call(&f, READ_BATCH), ENVOL_E_STALE);
    ck_assert_int_eq(make_call(&f, READ), ENVOL_E_STALE);
    ck_assert_int_eq(make_call(&f, VERIFY), ENVOL_E_STALE);
    begin_epoch(&f, 1);
    ck_assert_int_eq(envol_store_resize(f.store, volume_record_at(&f, 0), NULL), ENVOL_OK);
    ck_assert_int_eq(make_call(&f, READ_BATCH), ENVOL_E_TRUNCATED);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    ck_assert_int_eq(make_call(&f, REFRESH), ENVOL_E_IO);
    volume_fixture_close(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    io.page_no = UINT64_MAX;
    ck_status(envol_page_write_batch(f.volume, &io, 1, &f.error), ENVOL_E_RANGE);
    ck_assert_int_eq(io.status, ENVOL_E_RANGE);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("volume_statuses");
    TCase *tcase = tcase_create("volume_statuses");

    tcase_add_test(tcase, statuses_of_the_key_service);
    tcase_add_loop_test(tcase, no_randomness, 0, ROUNDS);
    tcase_add_test(tcase, creating_without_randomness);
    tcase_add_loop_test(tcase, out_of_memory, 0, ROUNDS);
    tcase_add_test(tcase, creating_out_of_memory);
    tcase_add_loop_test(tcase, no_locked_memory, 0, ROUNDS);
    tcase_add_test(tcase, opening_without_locked_memory);
    tcase_add_loop_test(tcase, a_child_without_locked_memory, 0, 4);
    tcase_add_test(tcase, no_kernel_for_xts);
    tcase_add_loop_test(tcase, updates_that_cannot_be, 0, 3);
    tcase_add_test(tcase, batches_of_one);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
