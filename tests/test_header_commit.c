/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole update through the caller's hands: what it calls, races, and failures of each step. */
#include "base/bytes.h"
#include "base/memory.h"
#include "children.h"
#include "crash_store.h"
#include "failing_mlock.h"
#include "header_store.h"
#include "store/store.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static struct header_fixture f;
static struct envol_store *store;
static struct crash_store *crash;
static struct header_hands hands;
static struct envol_header_io io;

static void setup(void)
{
    header_fixture_open(&f, 0);
    crash = crash_store_new(f.bytes, sizeof(f.bytes), &store);
    hands = (struct header_hands){.store = store};
    io = header_io(&hands);
}

static void teardown(void)
{
    envol_store_close(store);
    header_fixture_close(&f);
}

static void expect_commit(enum envol_status expected)
{
    struct envol_error error = ENVOL_ERROR_INIT;

    error.status = ENVOL_E_STATE;
    ck_status(envol_header_commit(f.header, f.keyring, &io, &error), expected);
    ck_assert_int_eq(error.status, expected);
    ck_assert_int_eq(error.message[0] == '\0', expected == ENVOL_OK);
    ck_assert_uint_eq(hands.locks, hands.unlocks);
    ck_assert(!hands.unaligned);
}

static uint64_t generation_on_disk(void)
{
    struct envol_header *header;
    struct envol_keyring *keyring;
    uint64_t generation;

    header_get(store, f.bytes);
    ck_assert_int_eq(header_load(&f, f.bytes, &header, &keyring), ENVOL_OK);
    generation = header->id.generation;
    envol_keyring_close(keyring);
    envol_header_free(header);
    return generation;
}

START_TEST(what_it_calls)
{
    expect_commit(ENVOL_OK);
    ck_assert_uint_eq(hands.locks, 1);
    ck_assert_uint_eq(hands.reads, 3);
    ck_assert_uint_eq(hands.writes, 3); /* the copy that was found, once */
    ck_assert_uint_eq(hands.syncs, 3);
    ck_assert_uint_eq(generation_on_disk(), 2);
    expect_commit(ENVOL_OK);
    ck_assert_uint_eq(hands.reads, 6);
    ck_assert_uint_eq(hands.writes, 5);
    ck_assert_uint_eq(hands.syncs, 5);
    ck_assert_uint_eq(generation_on_disk(), 3);
    ck_assert_mem_eq(f.bytes, f.bytes + ENVOL_HEADER_COPY_BYTES, ENVOL_HEADER_COPY_BYTES);
}
END_TEST

START_TEST(arguments)
{
    struct envol_header_io bad;

    ck_status(envol_header_commit(NULL, f.keyring, &io, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_commit(f.header, NULL, &io, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_commit(f.header, f.keyring, NULL, NULL), ENVOL_E_ARGUMENT);
    bad = io;
    bad.struct_size--;
    ck_status(envol_header_commit(f.header, f.keyring, &bad, NULL), ENVOL_E_ARGUMENT);
    bad = io;
    bad.lock = NULL;
    ck_status(envol_header_commit(f.header, f.keyring, &bad, NULL), ENVOL_E_ARGUMENT);
    bad = io;
    bad.unlock = NULL;
    ck_status(envol_header_commit(f.header, f.keyring, &bad, NULL), ENVOL_E_ARGUMENT);
    bad = io;
    bad.read = NULL;
    ck_status(envol_header_commit(f.header, f.keyring, &bad, NULL), ENVOL_E_ARGUMENT);
    bad = io;
    bad.write = NULL;
    ck_status(envol_header_commit(f.header, f.keyring, &bad, NULL), ENVOL_E_ARGUMENT);
    bad = io;
    bad.sync = NULL;
    ck_status(envol_header_commit(f.header, f.keyring, &bad, NULL), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(hands.locks + hands.reads, 0);
}
END_TEST

START_TEST(refused_before_a_byte_is_written)
{
    struct envol_header *locked;

    hands.lock_status = ENVOL_E_BUSY;
    expect_commit(ENVOL_E_BUSY);
    ck_assert_uint_eq(hands.unlocks, 0);
    hands.lock_status = ENVOL_OK;
    ck_ok(envol_header_decode(f.bytes, 0, &locked, NULL));
    ck_status(envol_header_commit(locked, f.keyring, &io, NULL), ENVOL_E_STATE);
    envol_header_free(locked);
    f.keyring->epoch = 2;
    expect_commit(ENVOL_E_STATE);
    f.keyring->epoch = 1;
    f.header->read_only_compatible = 8;
    expect_commit(ENVOL_E_VERSION);
    f.header->read_only_compatible = 0;
    ck_assert_uint_eq(hands.writes, 0);
    ck_assert_uint_eq(crash_store_calls(crash), 0);
    expect_commit(ENVOL_OK);
}
END_TEST

static void *no_alloc(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    (void)bytes;
    (void)align;
    return NULL;
}

static void c_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

START_TEST(no_memory)
{
    static const struct envol_allocator none = {
        .struct_size = sizeof(none), .alloc = no_alloc, .free = c_free};

    ck_ok(envol_set_allocator(&none));
    expect_commit(ENVOL_E_NO_MEMORY);
    ck_ok(envol_set_allocator(NULL));
    ck_assert_uint_eq(hands.locks, 0);
    expect_commit(ENVOL_OK);
}
END_TEST

static int commit_in_child(void *argument)
{
    enum envol_status expected = *(const enum envol_status *)argument;

    mlock_fails = expected == ENVOL_E_LOCKED_MEMORY;
    hands.store = crash_store_share(crash); /* the parent's takes no locks here */
    child_expects(ck_note(envol_header_commit(f.header, f.keyring, &io, NULL)) == expected);
    /* A lock of the parent's must not be touched. */
    child_expects(hands.locks == (expected == ENVOL_OK) && hands.unlocks == hands.locks);
    envol_store_close(hands.store);
    return 0;
}

static void expect_in_child(uint32_t flags, enum envol_status expected)
{
    envol_keyring_close(f.keyring);
    ck_ok(envol_header_unlock(f.header, f.dek, flags, NULL, &f.keyring));
    ck_assert_int_eq(test_in_child(commit_in_child, &expected), 0);
}

START_TEST(in_a_forked_child)
{
    expect_in_child(0, ENVOL_E_FORKED);
    expect_in_child(ENVOL_OPEN_INHERIT, ENVOL_E_LOCKED_MEMORY);
    expect_in_child(ENVOL_OPEN_INHERIT, ENVOL_OK);
    expect_commit(ENVOL_OK);
}
END_TEST

static void last_generation(uint8_t *copy)
{
    envol_store64(copy + ENVOL_AT_GENERATION, UINT64_MAX);
}

START_TEST(what_prepare_answers)
{
    f.keyring->entry[0].keys->dek[0] ^= 1;
    expect_commit(ENVOL_E_WRONG_KEY);
    header_forge(&f, last_generation, true);
    header_put(store, f.bytes);
    expect_commit(ENVOL_E_WRONG_KEY);
    header_fixture_close(&f);
    ck_assert_int_eq(header_load(&f, f.bytes, &f.header, &f.keyring), ENVOL_OK);
    expect_commit(ENVOL_E_RANGE);
    ck_assert_uint_eq(hands.writes, 0);
}
END_TEST

/* --- Races ------------------------------------------------------------------------------------ */

/* Another handle of the same header, on a handle of its own to the same bytes. */
static void open_other(struct header_fixture *other, struct envol_store **other_store)
{
    *other_store = crash_store_share(crash);
    memcpy(other, &f, sizeof(*other));
    header_get(*other_store, other->bytes);
    ck_assert_int_eq(header_load(&f, other->bytes, &other->header, &other->keyring), ENVOL_OK);
}

START_TEST(the_second_is_stale)
{
    static struct header_fixture other;
    struct envol_store *other_store;

    open_other(&other, &other_store);
    ck_ok(envol_header_set_pages(f.header, 1, 0, 0));
    ck_ok(envol_header_set_pages(other.header, 2, 0, 0));
    ck_assert_int_eq(header_commit(other.header, other.keyring, other_store), ENVOL_OK);
    expect_commit(ENVOL_E_STALE);
    expect_commit(ENVOL_E_STALE); /* and stays so */
    ck_assert_uint_eq(hands.writes, 0);
    ck_assert_uint_eq(generation_on_disk(), 2);
    header_fixture_close(&f);
    ck_assert_int_eq(header_load(&f, f.bytes, &f.header, &f.keyring), ENVOL_OK);
    ck_assert_uint_eq(f.header->high_water, 2);
    expect_commit(ENVOL_OK);
    ck_assert_int_eq(header_commit(other.header, other.keyring, other_store), ENVOL_E_STALE);
    header_fixture_close(&other);
    envol_store_close(other_store);
}
END_TEST

START_TEST(one_holds_the_lock)
{
    static struct header_fixture other;
    struct envol_store *other_store;
    struct header_hands held;
    struct envol_header_io held_io;

    open_other(&other, &other_store);
    held = (struct header_hands){.store = other_store};
    held_io = header_io(&held);
    ck_assert_int_eq(held_io.lock(&held), ENVOL_OK);
    expect_commit(ENVOL_E_BUSY);
    held_io.unlock(&held);
    expect_commit(ENVOL_OK);
    ck_assert_int_eq(held_io.lock(&held), ENVOL_OK); /* it was given back */
    held_io.unlock(&held);
    header_fixture_close(&other);
    envol_store_close(other_store);
}
END_TEST

/* A handle whose update failed half-way, and another one that came first. */
START_TEST(overtaken_after_a_failure)
{
    static struct header_fixture other;
    struct envol_store *other_store;

    ck_ok(envol_header_set_pages(f.header, 1, 0, 0));
    crash_store_fail(crash, 8, CRASH_FAULT_HALF);
    expect_commit(ENVOL_E_IO);
    open_other(&other, &other_store);
    ck_assert_uint_eq(other.header->id.generation, 2); /* half an update is one */
    ck_assert_int_eq(header_commit(other.header, other.keyring, other_store), ENVOL_OK);
    expect_commit(ENVOL_E_STALE);
    header_fixture_close(&other);
    envol_store_close(other_store);
}
END_TEST

/* --- Failures --------------------------------------------------------------------------------- */

enum { COMMIT_CALLS = 9, TRIES = 3 };

/* Each step fails, once or several times running at any step; then all goes well. */
START_TEST(each_step_fails_and_is_made_up_for)
{
    static const unsigned after[] = {1, 3, 4, 5, 8, 9};
    enum crash_fault fault = (enum crash_fault)(_i % 3);

    for (unsigned second = 0; second < sizeof(after) / sizeof(after[0]); second++) {
        const unsigned failing[TRIES] = {(unsigned)_i / 3 + 1, after[second], 5};
        for (unsigned i = 0; i < TRIES; i++) {
            ck_ok(envol_header_set_pages(f.header, i, 0, 0));
            crash_store_fail(crash, failing[i], fault);
            expect_commit(ENVOL_E_IO);
            ck_assert(crash_store_failed(crash));
            (void)generation_on_disk(); /* one opens */
        }
        ck_ok(envol_header_set_pages(f.header, 77, 0, 0));
        expect_commit(ENVOL_OK);
        ck_assert_uint_eq(generation_on_disk(), f.header->id.generation);
        ck_assert_mem_eq(f.bytes, f.bytes + ENVOL_HEADER_COPY_BYTES, ENVOL_HEADER_COPY_BYTES);
        /* As a fresh handle finds it: all nine calls. */
        header_fixture_close(&f);
        ck_assert_int_eq(header_load(&f, f.bytes, &f.header, &f.keyring), ENVOL_OK);
        ck_assert_uint_eq(f.header->high_water, 77);
    }
}
END_TEST

START_TEST(what_is_read_back_differs)
{
    hands.lie_at = 3;
    expect_commit(ENVOL_E_CORRUPT);
    ck_assert_uint_eq(hands.writes, 2); /* the older copy stays */
    ck_assert_uint_eq(generation_on_disk(), 2);
    hands.lie_at = 0;
    expect_commit(ENVOL_OK);
    ck_assert_uint_eq(generation_on_disk(), 3);
}
END_TEST

/* A copy that is torn counts as absent, two that are torn are nothing to build on. */
START_TEST(torn_before)
{
    for (uint64_t torn = 0; torn < 2; torn++) {
        ck_assert_int_eq(
            envol_store_write(store, torn * ENVOL_HEADER_COPY_BYTES + 512, "torn", 4, NULL),
            ENVOL_OK);
        expect_commit(ENVOL_OK);
    }
    ck_assert_int_eq(envol_store_write(store, 512, "torn", 4, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_write(store, ENVOL_HEADER_COPY_BYTES + 512, "torn", 4, NULL),
                     ENVOL_OK);
    expect_commit(ENVOL_E_STALE);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_commit");
    TCase *c = tcase_create("commit");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_it_calls);
    tcase_add_test(c, arguments);
    tcase_add_test(c, refused_before_a_byte_is_written);
    tcase_add_test(c, no_memory);
    tcase_add_test(c, in_a_forked_child);
    tcase_add_test(c, what_prepare_answers);
    tcase_add_test(c, the_second_is_stale);
    tcase_add_test(c, one_holds_the_lock);
    tcase_add_test(c, overtaken_after_a_failure);
    tcase_add_loop_test(c, each_step_fails_and_is_made_up_for, 0, 3 * COMMIT_CALLS);
    tcase_add_test(c, what_is_read_back_differs);
    tcase_add_test(c, torn_before);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
