/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header updates of a rotation, cut off by a crash at every moment: one copy always opens with
 * a DEK that its slots wrap, records of before open under it, and the next update goes through.
 */
#include "base/memory.h"
#include "crash_store.h"
#include "header_rotation.h"
#include "header_store.h"
#include "support.h"

#include <string.h>

enum { PAGE = 4096, RECORD = PAGE + ENVOL_TRAILER_BYTES, STATES = 8 };

/* What a state is told by, and which DEK it opens with. */
struct state {
    uint8_t dek[ENVOL_DEK_BYTES];
    uint64_t generation, next_page;
    uint32_t epoch, kind, retained;
    size_t calls; /* from then on it was promised */
};

static struct header_fixture f;
static struct envol_store *store;
static struct crash_store *crash;
static struct state states[STATES];
static unsigned state_count;
static size_t old_epochs, new_epochs;
static uint8_t page[PAGE], record[RECORD];
static const uint8_t object_id[ENVOL_OBJECT_BYTES] = {9};

static void note(const struct envol_header *header, const uint8_t *dek, size_t calls)
{
    struct state *state = &states[state_count++];

    ck_assert_uint_le(state_count, STATES);
    *state = (struct state){.generation = header->id.generation,
                            .next_page = header->rotation.next_page,
                            .epoch = header->epoch,
                            .kind = header->rotation.kind,
                            .retained = header->retained_count,
                            .calls = calls};
    memcpy(state->dek, dek, ENVOL_DEK_BYTES);
}

static void promise(void)
{
    note(f.header, f.dek, crash_store_calls(crash));
}

/* An update that may or may not be there from now on. */
static void allow(const struct envol_header *header, const uint8_t *dek)
{
    note(header, dek, SIZE_MAX);
    states[state_count - 1].generation++;
}

static void setup(void)
{
    struct envol_object *object;

    header_fixture_open(&f, 0);
    test_fill(page, sizeof(page));
    ck_ok(envol_object_open(f.keyring, object_id, &object));
    ck_ok(envol_page_seal(object, NULL, 4, page, record));
    envol_object_close(object);
    crash = crash_store_new(NULL, 0, &store);
    header_put(store, f.bytes);
    crash_store_settle(crash);
    state_count = 0;
    promise();
}

static void teardown(void)
{
    envol_store_close(store);
    header_fixture_close(&f);
}

static bool is_like(const struct state *state, const struct envol_header *header)
{
    return state->generation == header->id.generation && state->epoch == header->epoch &&
           state->kind == header->rotation.kind && state->next_page == header->rotation.next_page &&
           state->retained == header->retained_count;
}

/* Opens the image in the state that it is in, which is not one before the last that was promised.
 * Two attempts at a rotation differ in nothing but their DEK. */
static const struct state *open_state(struct envol_header *header, struct envol_keyring **keyring,
                                      const struct crash_image *image)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < state_count; i++)
        if (image->calls >= states[i].calls)
            oldest = i;
    for (unsigned i = oldest; i < state_count; i++)
        if (is_like(&states[i], header) &&
            ck_note(envol_header_unlock(header, states[i].dek, 0, NULL, keyring)) == ENVOL_OK)
            return &states[i];
    ck_abort_msg("%s: generation %llu, epoch %u", image->story,
                 (unsigned long long)header->id.generation, header->epoch);
    return NULL;
}

static void check_record(const struct envol_keyring *keyring, const struct crash_image *image)
{
    uint8_t got[PAGE];
    struct envol_object *object;
    enum envol_status status;
    bool is_kept = envol_keyring_lowest_epoch(keyring) == 1;

    ck_ok(envol_object_open(keyring, object_id, &object));
    status = envol_page_unseal(object, NULL, 4, record, got);
    ck_assert_msg(status == (is_kept ? ENVOL_OK : ENVOL_E_CORRUPT), "%s", image->story);
    ck_assert(!is_kept || memcmp(got, page, PAGE) == 0);
    envol_object_close(object);
}

/* The process after the crash goes on from there, be it with a rotation of its own. */
static void check_next_update(const struct crash_image *image, struct envol_header *header,
                              struct envol_keyring *keyring, const uint8_t *dek)
{
    struct header_fixture next = {.header = header, .keyring = keyring};
    struct header_rotation r = {.next = header, .keyring = keyring};
    struct envol_store *again;

    crash_store_new(image->bytes, image->size, &again);
    memcpy(r.dek, dek, sizeof(r.dek));
    if (header->rotation.kind == 0)
        header_rotation_begin(&next, &r);
    else
        ck_ok(envol_header_set_sweep(header, 4242, 0, 0));
    ck_assert_msg(header_commit(r.next, r.keyring, again) == ENVOL_OK, "%s", image->story);
    header_get(again, next.bytes);
    ck_assert_mem_eq(next.bytes, next.bytes + ENVOL_HEADER_COPY_BYTES, ENVOL_HEADER_COPY_BYTES);
    memcpy(next.dek, r.dek, sizeof(next.dek));
    ck_assert_int_eq(header_try(&next, next.bytes), ENVOL_OK);
    if (r.next != header)
        header_rotation_drop(&r);
    envol_store_close(again);
}

static void check_image(const struct crash_image *image, void *ctx)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    const struct state *state;
    struct envol_header *header;
    struct envol_keyring *keyring;

    (void)ctx;
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, image->bytes, image->size < sizeof(bytes) ? image->size : sizeof(bytes));
    ck_assert_msg(envol_header_decode(bytes, 0, &header, NULL) == ENVOL_OK, "%s", image->story);
    state = open_state(header, &keyring, image);
    old_epochs += state->epoch == 1;
    new_epochs += state->epoch == 2;
    check_record(keyring, image);
    check_next_update(image, header, keyring, state->dek);
    envol_keyring_close(keyring);
    envol_header_free(header);
}

/* Under a tool that makes all this slow, writes tear at fewer places. */
static void replay(size_t sector_bytes)
{
    const struct crash_options options = {.sector_bytes =
                                              test_tool() == NULL ? sector_bytes : 8192};

    old_epochs = new_epochs = 0;
    ck_assert_uint_gt(crash_store_replay(crash, &options, check_image, NULL), 10);
    ck_assert_uint_gt(old_epochs, 2);
    ck_assert_uint_gt(new_epochs, 2);
}

/* The commit with a DEK that changes, on what both processes have open. */
static void commit_rotation(void)
{
    struct header_rotation r;

    header_rotation_begin(&f, &r);
    ck_assert_int_eq(header_commit(r.next, r.keyring, store), ENVOL_OK);
    header_rotation_adopt(&f, &r);
    promise();
}

START_TEST(the_commit_of_a_rotation)
{
    commit_rotation();
    replay(_i == 0 ? 512 : 4096);
}
END_TEST

START_TEST(from_begin_to_end)
{
    commit_rotation();
    ck_ok(envol_header_set_sweep(f.header, 100, 0, 0));
    ck_assert_int_eq(header_commit(f.header, f.keyring, store), ENVOL_OK);
    promise();
    ck_ok(envol_header_retire(f.header, _i == 0 ? 0 : ENVOL_RETIRE_KEEP));
    ck_assert_int_eq(header_commit(f.header, f.keyring, store), ENVOL_OK);
    promise();
    replay(4096);
}
END_TEST

/* --- Commits that failed before the crash --- */

/* The n-th store call fails.  The same process tries again, or one after it. */
static void fail_then(unsigned nth, enum crash_fault fault, bool restarts)
{
    struct header_rotation r;

    header_rotation_begin(&f, &r);
    allow(r.next, r.dek);
    crash_store_fail(crash, nth, fault);
    ck_assert_int_ne(header_commit(r.next, r.keyring, store), ENVOL_OK);
    ck_assert(crash_store_failed(crash));
    crash_store_fail(crash, 0, fault);
    if (!restarts) {
        ck_assert_int_eq(header_commit(r.next, r.keyring, store), ENVOL_OK);
        header_rotation_adopt(&f, &r);
        promise();
        replay(8192);
        return;
    }
    /* What is read may be the old header or the new one, whichever it is it opens. */
    header_fixture_close(&f);
    header_get(store, f.bytes);
    ck_ok(envol_header_decode(f.bytes, 0, &f.header, NULL));
    memcpy(f.dek, f.header->epoch == 2 ? r.dek : states[0].dek, sizeof(f.dek));
    header_rotation_drop(&r);
    ck_ok(envol_header_unlock(f.header, f.dek, 0, NULL, &f.keyring));
    if (f.header->rotation.kind == 0) {
        header_rotation_begin(&f, &r);
        allow(r.next, r.dek);
        ck_assert_int_eq(header_commit(r.next, r.keyring, store), ENVOL_OK);
        header_rotation_adopt(&f, &r);
    } else {
        ck_ok(envol_header_set_sweep(f.header, 100, 0, 0));
        allow(f.header, f.dek);
        ck_assert_int_eq(header_commit(f.header, f.keyring, store), ENVOL_OK);
    }
    promise();
    replay(8192);
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

static Suite *suite(void)
{
    Suite *s = suite_create("rotation_crash");
    TCase *c = tcase_create("crash");

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, the_commit_of_a_rotation, 0, 2);
    tcase_add_loop_test(c, from_begin_to_end, 0, 2);
    tcase_add_loop_test(c, a_failed_call_and_the_next_attempt, 0, FAULTS);
    tcase_add_loop_test(c, a_failed_call_and_the_next_process, 0, FAULTS);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
