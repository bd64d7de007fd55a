/* SPDX-License-Identifier: BSD-2-Clause */
/* What all sealing and unsealing calls answer to the same faults, and that they leave zeros. */
#include "base/memory.h"
#include "children.h"
#include "failing_mlock.h"
#include "failing_random.h"
#include "page_calls.h"
#include "page_fixture.h"
#include "support.h"

#include <string.h>

/* Every test runs for each call under each suite. */
struct round {
    enum page_call call;
    enum envol_suite suite;
    struct page_fixture f;
    struct page_io io;
};

#define ROUNDS (2 * CALLS)

static bool has_holes(const struct round *r)
{
    return r->suite == ENVOL_SUITE_AES_256_GCM || r->call != CALL_SEAL_HOLE;
}

static bool begin_with_flags(struct round *r, int i, uint32_t flags)
{
    struct page_wish wish = {.page_bytes = 1024, .flags = flags, .epoch = 7};

    r->call = (enum page_call)(i % CALLS);
    r->suite = i < CALLS ? ENVOL_SUITE_AES_256_GCM : ENVOL_SUITE_AES_256_XTS;
    if (!has_holes(r) || !page_suite(r->suite))
        return false;
    wish.suite = r->suite;
    page_fixture_open(&r->f, &wish);
    r->io = page_io_new(r->call, &r->f, 12);
    return true;
}

static bool begin(struct round *r, int i)
{
    return begin_with_flags(r, i, 0);
}

static void end(struct round *r)
{
    page_io_free(&r->io);
    page_fixture_close(&r->f);
}

/* The same with and without a lane; the whole output holds zeros, and nothing beyond it changed. */
static void expect(const struct round *r, const struct page_io *io, enum envol_status expected)
{
    size_t out_bytes = page_call_out_bytes(r->call, io);
    size_t room = r->f.page_bytes + ENVOL_TRAILER_BYTES;
    struct page_io with[2] = {*io, *io};

    with[1].lane = NULL;
    for (int i = 0; i < 2; i++) {
        enum envol_status got;

        if (io->out != NULL)
            memset(io->out, 0xee, room);
        got = page_call(r->call, &with[i]);
        ck_assert_msg(got == expected, "%s: %s, expected %s", page_call_name(r->call),
                      envol_status_name(got), envol_status_name(expected));
        if (io->out == NULL || io->object == NULL)
            continue;
        if (expected != ENVOL_OK)
            ck_assert_msg(envol_is_zero(io->out, out_bytes), "%s: output", page_call_name(r->call));
        for (size_t at = out_bytes; at < room; at++)
            ck_assert_uint_eq(io->out[at], 0xee);
    }
}

START_TEST(all_work)
{
    struct round r;

    if (!begin(&r, _i))
        return;
    expect(&r, &r.io, ENVOL_OK);
    end(&r);
}
END_TEST

START_TEST(wrong_arguments)
{
    struct page_fixture other;
    struct page_io io;
    struct round r;

    if (!begin(&r, _i))
        return;
    io = r.io;
    io.object = NULL;
    expect(&r, &io, ENVOL_E_ARGUMENT);
    io = r.io;
    io.out = NULL;
    expect(&r, &io, ENVOL_E_ARGUMENT);
    io = r.io;
    io.in = NULL;
    expect(&r, &io, r.call == CALL_SEAL_HOLE ? ENVOL_OK : ENVOL_E_ARGUMENT);
    page_fixture_again(&other, &r.f, &r.f.wish);
    io = r.io;
    io.lane = other.lane;
    ck_assert_int_eq(page_call(r.call, &io), ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(io.out, page_call_out_bytes(r.call, &io)));
    expect(&r, &r.io, ENVOL_OK);
    page_fixture_close(&other);
    end(&r);
}
END_TEST

START_TEST(page_numbers_end_at_2_to_the_63)
{
    uint64_t last;
    struct round r;

    if (!begin(&r, _i))
        return;
    last = (UINT64_C(1) << 63) / r.f.stride_bytes - 1;
    page_io_free(&r.io);
    r.io = page_io_new(r.call, &r.f, last);
    expect(&r, &r.io, ENVOL_OK);
    if (!page_call_is_blob(r.call)) {
        r.io.page_no = last + 1;
        expect(&r, &r.io, ENVOL_E_RANGE);
        r.io.page_no = UINT64_MAX;
        expect(&r, &r.io, ENVOL_E_RANGE);
        /* Times the stride it is small again, modulo 2^64. */
        r.io.page_no = UINT64_MAX / r.f.stride_bytes + 1;
        expect(&r, &r.io, ENVOL_E_RANGE);
    }
    end(&r);
}
END_TEST

START_TEST(no_randomness)
{
    struct round r;

    if (!begin(&r, _i))
        return;
    for (int used_before = 0; used_before < 2; used_before++) {
        random_fails = true;
        expect(&r, &r.io, page_call_draws(r.call, r.suite) ? ENVOL_E_RANDOM : ENVOL_OK);
        random_fails = false;
        expect(&r, &r.io, ENVOL_OK);
    }
    end(&r);
}
END_TEST

/* --- a kernel that fails --- */

static enum envol_status no_init(void *key, const uint8_t *raw)
{
    (void)key;
    (void)raw;
    return ENVOL_E_NO_MEMORY;
}

static enum envol_status no_block(const void *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    (void)key;
    (void)in;
    memset(out, 0, 16 * blocks);
    return ENVOL_E_NO_MEMORY;
}

static enum envol_status no_derive(void *key, const void *block_key, const uint8_t *in)
{
    (void)block_key;
    (void)in;
    memset(key, 0xee, 16);
    return ENVOL_E_NO_MEMORY;
}

/* Leaves the outputs as a library might that gave up in the middle. */
static enum envol_status no_gcm(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    (void)key;
    for (size_t i = 0; i < count; i++)
        jobs[i].failed = false;
    return ENVOL_E_NO_MEMORY;
}

static enum envol_status no_xts(const void *key, const struct envol_xts_job *jobs, size_t count)
{
    (void)key;
    (void)jobs;
    (void)count;
    return ENVOL_E_NO_MEMORY;
}

/* One function of a kernel after the other; does the call use it with no key at hand? */
static bool break_one(struct envol_aes_kernel *kernel, int which, const struct round *r)
{
    bool gcm = r->suite == ENVOL_SUITE_AES_256_GCM || page_call_is_blob(r->call);

    switch (which) {
    case 0:
        kernel->gcm_derive = NULL; /* block_encrypt and gcm_init then do it */
        kernel->block_encrypt = no_block;
        return gcm;
    case 1:
        kernel->gcm_derive = NULL;
        kernel->gcm_init = no_init;
        return gcm;
    case 7:
        kernel->gcm_derive = no_derive;
        return gcm;
    case 2:
        kernel->gcm_seal = no_gcm;
        return gcm && page_call_seals(r->call);
    case 3:
        kernel->gcm_open = no_gcm;
        return gcm && page_call_unseals(r->call);
    case 4:
        kernel->xts_init = no_init;
        return !gcm;
    case 5:
        kernel->xts_encrypt = no_xts;
        return !gcm && page_call_seals(r->call);
    default:
        kernel->xts_decrypt = no_xts;
        return !gcm && page_call_unseals(r->call);
    }
}

START_TEST(kernels_that_fail)
{
    struct round r;

    for (int which = 0; which < 8; which++) {
        const struct envol_aes_kernel *whole;
        struct envol_aes_kernel broken;
        struct envol_lane *fresh;
        bool used;

        if (!begin(&r, _i))
            return;
        whole = r.f.keyring->kernel;
        broken = *whole;
        used = break_one(&broken, which, &r);
        r.f.keyring->kernel = &broken;
        ck_ok(envol_lane_open(r.f.keyring, &fresh));
        r.io.lane = fresh;
        expect(&r, &r.io, used ? ENVOL_E_NO_MEMORY : ENVOL_OK);
        r.f.keyring->kernel = whole;
        expect(&r, &r.io, ENVOL_OK);
        envol_lane_close(fresh);
        end(&r);
    }
}
END_TEST

/* --- children --- */

static int uses_the_parents(void *argument)
{
    struct round *r = argument;
    enum envol_status expected = ENVOL_E_FORKED;
    struct envol_object *object = (void *)r;
    struct envol_lane *lane = (void *)r;
    size_t out_bytes = page_call_out_bytes(r->call, &r->io);

    if (r->f.wish.flags & ENVOL_OPEN_INHERIT)
        expected = mlock_fails ? ENVOL_E_LOCKED_MEMORY : ENVOL_OK;
    for (int i = 0; i < 2; i++) {
        memset(r->io.out, 0xee, out_bytes);
        child_expects(page_call(r->call, &r->io) == expected);
        child_expects(expected == ENVOL_OK || envol_is_zero(r->io.out, out_bytes));
        r->io.lane = NULL;
    }
    child_expects(ck_note(envol_object_open(r->f.keyring, r->f.id, &object)) == expected);
    child_expects((object == NULL) == (expected != ENVOL_OK));
    child_expects(ck_note(envol_lane_open(r->f.keyring, &lane)) == expected);
    child_expects((lane == NULL) == (expected != ENVOL_OK));
    envol_lane_close(lane);
    envol_object_close(object);
    /* A child may close what it inherited. */
    page_fixture_close(&r->f);
    return 0;
}

START_TEST(children)
{
    struct round r;

    for (int i = 0; i < 3; i++) {
        if (!begin_with_flags(&r, _i, i == 0 ? 0 : ENVOL_OPEN_INHERIT))
            return;
        expect(&r, &r.io, ENVOL_OK);
        mlock_fails = i == 2;
        ck_assert_int_eq(test_in_child(uses_the_parents, &r), 0);
        mlock_fails = false;
        expect(&r, &r.io, ENVOL_OK);
        end(&r);
    }
}
END_TEST

static int goes_on_without_locks(void *argument)
{
    struct round *r = argument;

    child_expects(page_call(r->call, &r->io) == ENVOL_OK);
    child_expects(!envol_keyring_locked(r->f.keyring));
    return 0;
}

START_TEST(children_that_accept_unlocked_memory)
{
    struct round r;

    if (!begin_with_flags(&r, _i, ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED))
        return;
    ck_assert(envol_keyring_locked(r.f.keyring));
    mlock_fails = true;
    ck_assert_int_eq(test_in_child(goes_on_without_locks, &r), 0);
    mlock_fails = false;
    ck_assert_int_eq(test_in_child(uses_the_parents, &r), 0);
    end(&r);
}
END_TEST

/* --- records that are not as they should be --- */

/* Byte number at of the trailer of what io reads. */
static uint8_t *trailer_byte(const struct round *r, size_t at)
{
    size_t end =
        page_call_is_blob(r->call) ? r->f.page_bytes + ENVOL_TRAILER_BYTES : r->f.stride_bytes;

    return (uint8_t *)r->io.in + end - ENVOL_TRAILER_BYTES + at;
}

START_TEST(records_that_are_not_as_they_should_be)
{
    struct round r;

    if (!begin(&r, _i))
        return;
    if (page_call_unseals(r.call) &&
        (r.suite == ENVOL_SUITE_AES_256_GCM || page_call_is_blob(r.call))) {
        *trailer_byte(&r, 0) = 8;
        expect(&r, &r.io, ENVOL_E_STALE);
        *trailer_byte(&r, 0) = 6;
        expect(&r, &r.io, ENVOL_E_CORRUPT);
        *trailer_byte(&r, 0) = 7;
        *trailer_byte(&r, 40) ^= 4;
        expect(&r, &r.io, ENVOL_E_CORRUPT);
        *trailer_byte(&r, 40) ^= 4;
        expect(&r, &r.io, ENVOL_OK);
    }
    end(&r);
}
END_TEST

START_TEST(holes)
{
    struct page_io hole;
    struct round r;

    if (!begin(&r, _i))
        return;
    hole = r.io;
    hole.out = (uint8_t *)r.io.in;
    if (r.suite == ENVOL_SUITE_AES_256_GCM && page_call_unseals(r.call) &&
        !page_call_is_blob(r.call)) {
        ck_assert_int_eq(page_call(CALL_SEAL_HOLE, &hole), ENVOL_OK);
        expect(&r, &r.io, r.call == CALL_RESEAL ? ENVOL_OK : ENVOL_E_UNWRITTEN);
    } else if (r.suite == ENVOL_SUITE_AES_256_XTS) {
        ck_assert_int_eq(page_call(CALL_SEAL_HOLE, &hole), ENVOL_E_UNSUPPORTED);
        ck_assert(envol_is_zero(hole.out, r.f.stride_bytes));
    }
    end(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_statuses");
    TCase *tcase = tcase_create("statuses");

    tcase_add_loop_test(tcase, all_work, 0, ROUNDS);
    tcase_add_loop_test(tcase, wrong_arguments, 0, ROUNDS);
    tcase_add_loop_test(tcase, page_numbers_end_at_2_to_the_63, 0, ROUNDS);
    tcase_add_loop_test(tcase, no_randomness, 0, ROUNDS);
    tcase_add_loop_test(tcase, kernels_that_fail, 0, ROUNDS);
    tcase_add_loop_test(tcase, children, 0, ROUNDS);
    tcase_add_loop_test(tcase, children_that_accept_unlocked_memory, 0, ROUNDS);
    tcase_add_loop_test(tcase, records_that_are_not_as_they_should_be, 0, ROUNDS);
    tcase_add_loop_test(tcase, holes, 0, ROUNDS);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
