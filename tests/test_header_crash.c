/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every header update, cut off by a crash at every moment: one copy always opens, it holds the
 * state before or after the update, and the next update goes through.
 */
#include "base/memory.h"
#include "crash_store.h"
#include "header_store.h"
#include "store/store.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* What a state is told by: generation, high_water, slots, retained epochs. */
struct state {
    uint64_t generation, high_water;
    uint32_t slots, retained;
    size_t calls; /* from then on it was promised */
};

enum { STATES = 8 };

static struct header_fixture f;
static struct envol_store *store;
static struct crash_store *crash;
static struct state states[STATES];
static unsigned state_count;
static size_t opened, unopened;

static struct state state_of(const struct envol_header *header, size_t calls)
{
    return (struct state){header->id.generation, header->high_water, header->slot_count,
                          header->retained_count, calls};
}

static bool same_state(const struct state *a, const struct state *b)
{
    return a->generation == b->generation && a->high_water == b->high_water &&
           a->slots == b->slots && a->retained == b->retained;
}

/* What f.header says now is on disk from this call on. */
static void promise(void)
{
    ck_assert_uint_lt(state_count, STATES);
    states[state_count++] = state_of(f.header, crash_store_calls(crash));
}

/* An update whose outcome is not known: it may be there from now on. */
static void allow(const struct envol_header *header, uint64_t generation)
{
    ck_assert_uint_lt(state_count, STATES);
    states[state_count] = state_of(header, SIZE_MAX);
    states[state_count++].generation = generation;
}

static void setup(void)
{
    memset(&f, 0, sizeof(f));
    test_fill(f.dek, sizeof(f.dek));
    test_fill(f.uuid, sizeof(f.uuid));
    f.header = header_new(&f, 0);
    f.header->epoch = 3;
    header_add_slot(f.header, HEADER_KEY_REF, 136);
    ck_ok(envol_header_seal(f.header, f.dek, 0, f.bytes, &f.keyring));
    crash = crash_store_new(NULL, 0, &store);
    header_put(store, f.bytes);
    crash_store_settle(crash);
    promise();
}

static void teardown(void)
{
    envol_store_close(store);
    header_fixture_close(&f);
}

/* The state must be one that was there, and not one before the last that was promised. */
static void check_state(const struct envol_header *header, const struct crash_image *image)
{
    const struct state got = state_of(header, 0);
    unsigned oldest = 0;

    for (unsigned i = 0; i < state_count; i++)
        if (image->calls >= states[i].calls)
            oldest = i;
    for (unsigned i = oldest; i < state_count; i++)
        if (same_state(&got, &states[i]))
            return;
    ck_abort_msg("%s: generation %llu, high_water %llu", image->story,
                 (unsigned long long)got.generation, (unsigned long long)got.high_water);
}

/* The next writer after the crash: its update must go through and leave two good copies. */
static void check_next_update(const struct crash_image *image, struct envol_header *header,
                              struct envol_keyring *keyring)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct envol_store *next;

    crash_store_new(image->bytes, image->size, &next);
    ck_ok(envol_header_set_pages(header, 4242, 1, 1));
    ck_assert_msg(header_commit(header, keyring, next) == ENVOL_OK, "%s", image->story);
    header_get(next, bytes);
    ck_assert_mem_eq(bytes, bytes + ENVOL_HEADER_COPY_BYTES, ENVOL_HEADER_COPY_BYTES);
    ck_assert_int_eq(header_try(&f, bytes), ENVOL_OK);
    envol_store_close(next);
}

static void check_image(const struct crash_image *image, void *ctx)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct envol_header *header;
    struct envol_keyring *keyring;

    (void)ctx;
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, image->bytes, image->size < sizeof(bytes) ? image->size : sizeof(bytes));
    ck_assert_msg(header_load(&f, bytes, &header, &keyring) == ENVOL_OK, "%s", image->story);
    check_state(header, image);
    check_next_update(image, header, keyring);
    envol_keyring_close(keyring);
    envol_header_free(header);
}

/* Under a tool that makes all this slow, writes tear at fewer places. */
static struct crash_options options(size_t sector_bytes)
{
    return (struct crash_options){.sector_bytes = test_tool() == NULL ? sector_bytes : 8192};
}

static void replay(size_t sector_bytes)
{
    const struct crash_options chosen = options(sector_bytes);
    size_t images = crash_store_replay(crash, &chosen, check_image, NULL);

    ck_assert_uint_gt(images, 10);
}

static void commit(void)
{
    ck_assert_int_eq(header_commit(f.header, f.keyring, store), ENVOL_OK);
    promise();
}

/* The process ends; another one opens what is read, be it on the disk or in a cache. */
static void restart(void)
{
    header_fixture_close(&f);
    header_get(store, f.bytes);
    ck_assert_int_eq(header_load(&f, f.bytes, &f.header, &f.keyring), ENVOL_OK);
}

/* --- Each kind of update ---------------------------------------------------------------------- */

static void grow_pages(void)
{
    ck_ok(envol_header_set_pages(f.header, 1024, 0, 100));
}

static void add_slot(void)
{
    header_add_slot(f.header, "another key", 3000);
}

/* CMK rotation: a new wrapping, and the old one gone. */
static void replace_slot(void)
{
    const struct envol_slot slot = header_slot("new key", 500);
    uint32_t id;

    ck_ok(envol_header_add_slot(f.header, &slot, &id));
    ck_ok(envol_header_remove_slot(f.header, 1));
}

static void retain(void)
{
    uint8_t old_dek[ENVOL_DEK_BYTES] = {7};

    ck_assert_int_eq(envol_header_retain(f.header, f.dek, 2, old_dek), ENVOL_OK);
}

static void nothing(void)
{
}

static void (*const edits[])(void) = {grow_pages, add_slot, replace_slot, retain, nothing};
enum { EDITS = sizeof(edits) / sizeof(edits[0]) };

START_TEST(one_update)
{
    edits[_i]();
    commit();
    replay(512);
}
END_TEST

START_TEST(one_update_of_a_reopened_header)
{
    restart();
    edits[_i]();
    commit();
    replay(2048);
}
END_TEST

START_TEST(updates_in_a_row)
{
    grow_pages();
    commit();
    add_slot();
    commit();
    ck_ok(envol_header_set_pages(f.header, 1500, 1, 0));
    commit();
    replay(2048);
}
END_TEST

/* Nothing was there before: either there is a header, or none. */
static void check_created(const struct crash_image *image, void *ctx)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    const size_t *promised = ctx;
    enum envol_status status;

    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, image->bytes, image->size < sizeof(bytes) ? image->size : sizeof(bytes));
    status = header_try(&f, bytes);
    opened += status == ENVOL_OK;
    unopened += status != ENVOL_OK;
    if (image->calls >= *promised)
        ck_assert_msg(status == ENVOL_OK, "%s", image->story);
    else
        ck_assert_msg(status == ENVOL_OK || status == ENVOL_E_FORMAT || status == ENVOL_E_CORRUPT,
                      "%s: %s", image->story, envol_status_name(status));
}

START_TEST(create)
{
    const struct crash_options chosen = options(512);
    struct envol_store *fresh;
    struct crash_store *created = crash_store_new(NULL, 0, &fresh);
    size_t promised;

    header_put(fresh, f.bytes);
    promised = crash_store_calls(created);
    opened = unopened = 0;
    crash_store_replay(created, &chosen, check_created, &promised);
    ck_assert_uint_gt(opened, 4);
    ck_assert_uint_gt(unopened, 4);
    envol_store_close(fresh);
}
END_TEST

/* --- Updates that were cut short before the crash --------------------------------------------- */

/* The n-th store call fails; the same handle, or a process after it, makes up for it. */
static void fail_then(unsigned nth, enum crash_fault fault, bool restarts)
{
    uint64_t generation = f.header->id.generation;

    ck_ok(envol_header_set_pages(f.header, 1024, 0, 100));
    crash_store_fail(crash, nth, fault);
    (void)header_commit(f.header, f.keyring, store);
    ck_assert(crash_store_failed(crash));
    allow(f.header, generation + 1);
    if (restarts)
        restart();
    ck_ok(envol_header_set_pages(f.header, 2000, 0, 0));
    allow(f.header, generation + 1);
    allow(f.header, generation + 2);
    crash_store_fail(crash, 0, fault);
    ck_assert_int_eq(header_commit(f.header, f.keyring, store), ENVOL_OK);
    allow(f.header, f.header->id.generation);
    states[state_count - 1].calls = crash_store_calls(crash);
    replay(4096);
}

/* Read both; write the newer one again, sync; write, sync, read; write, sync. */
static const struct {
    unsigned call;
    enum crash_fault fault;
} faults[] = {
    {1, CRASH_FAULT_NOTHING}, {2, CRASH_FAULT_NOTHING}, {3, CRASH_FAULT_NOTHING},
    {3, CRASH_FAULT_HALF},    {3, CRASH_FAULT_ALL},     {4, CRASH_FAULT_NOTHING},
    {5, CRASH_FAULT_NOTHING}, {5, CRASH_FAULT_HALF},    {5, CRASH_FAULT_ALL},
    {6, CRASH_FAULT_NOTHING}, {7, CRASH_FAULT_NOTHING}, {8, CRASH_FAULT_NOTHING},
    {8, CRASH_FAULT_HALF},    {8, CRASH_FAULT_ALL},     {9, CRASH_FAULT_NOTHING},
};
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

START_TEST(a_failed_call_and_the_next_attempt)
{
    fail_then(faults[_i].call, faults[_i].fault, false);
}
END_TEST

START_TEST(a_failed_call_and_the_next_process)
{
    fail_then(faults[_i].call, faults[_i].fault, true);
}
END_TEST

/* A handle that has updated before leaves out the first write, and its sync. */
START_TEST(a_failed_call_of_a_later_update)
{
    ck_ok(envol_header_set_pages(f.header, 512, 0, 0));
    commit();
    fail_then((unsigned)_i, CRASH_FAULT_ALL, false);
}
END_TEST

START_TEST(there_is_no_tenth_call)
{
    crash_store_fail(crash, 10, CRASH_FAULT_ALL);
    commit();
    ck_assert(!crash_store_failed(crash));
}
END_TEST

/*
 * A process is killed after its first write: the newer copy is in a cache alone, and the next
 * process finds it there.  Overwriting the older copy now would leave none if the power failed.
 */
START_TEST(killed_before_the_sync)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    uint32_t first;

    grow_pages();
    header_get(store, f.bytes);
    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    ck_assert_int_eq(envol_store_write(store, first * (uint64_t)sizeof(copy), copy,
                                       _i == 0 ? sizeof(copy) : sizeof(copy) / 2, NULL),
                     ENVOL_OK);
    allow(f.header, 2);
    restart();
    ck_ok(envol_header_set_pages(f.header, 3000, 1, 0));
    allow(f.header, 2);
    commit();
    replay(2048);
}
END_TEST

/* --- The tests themselves --------------------------------------------------------------------- */

static void count_unopened(const struct crash_image *image, void *ctx)
{
    (void)ctx;
    ck_assert_uint_ge(image->size, ENVOL_HEADER_BYTES);
    unopened += header_try(&f, image->bytes) != ENVOL_OK;
}

/* An update that is wrong on purpose: the replay must find the crash that loses the header. */
START_TEST(a_careless_update_is_found)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    uint32_t first;

    grow_pages();
    ck_ok(envol_header_prepare(f.header, f.keyring, f.bytes, copy, &first));
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t which = i == 0 ? first : 1 - first;
        ck_assert_int_eq(
            envol_store_write(store, which * (uint64_t)sizeof(copy), copy, sizeof(copy), NULL),
            ENVOL_OK);
        if (_i == 1) /* with a sync in between it is right */
            ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    }
    unopened = 0;
    crash_store_replay(crash, NULL, count_unopened, NULL);
    ck_assert_int_eq(unopened > 0, _i == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_crash");
    TCase *c = tcase_create("crash");

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, one_update, 0, EDITS);
    tcase_add_loop_test(c, one_update_of_a_reopened_header, 0, EDITS);
    tcase_add_test(c, updates_in_a_row);
    tcase_add_test(c, create);
    tcase_add_loop_test(c, killed_before_the_sync, 0, 2);
    tcase_add_loop_test(c, a_careless_update_is_found, 0, 2);
    suite_add_tcase(s, c);
    c = tcase_create("failures");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, a_failed_call_and_the_next_attempt, 0, FAULTS);
    tcase_add_loop_test(c, a_failed_call_and_the_next_process, 0, FAULTS);
    tcase_add_loop_test(c, a_failed_call_of_a_later_update, 1, 8);
    tcase_add_test(c, there_is_no_tenth_call);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
