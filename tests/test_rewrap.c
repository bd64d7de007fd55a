/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CMK rotation: how many provider calls, what opens the volume afterwards, where the old wrapping
 * is, and what is left when any call on the way fails or the machine crashes.
 */
#include "base/memory.h"
#include "children.h"
#include "crash_store.h"
#include "faults.h"
#include "header/header.h"
#include "slot_fixture.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const key_refs[] = {VOLUME_KEY, "arn:fake:key/2", "arn:fake:key/3"};

static enum envol_status rewrap(struct slot_fixture *s, uint32_t id, const struct envol_cmk *from,
                                const struct envol_cmk *to)
{
    enum envol_status status =
        ck_note(envol_volume_rewrap(s->f.volume, id, from, to, NULL, &s->f.error));

    ck_assert_int_eq(s->f.error.status, status);
    return status;
}

/* How often each function of a provider ran since the last call. */
static void ck_calls(struct fake_kms *kms, unsigned wraps, unsigned unwraps, unsigned rewraps)
{
    static const enum fake_operation all[] = {FAKE_WRAP, FAKE_UNWRAP, FAKE_REWRAP, FAKE_ANY};
    static unsigned before[4];
    unsigned since[4];

    for (size_t i = 0; i < 4; i++) {
        since[i] = fake_kms_calls(kms, all[i]) - before[i];
        before[i] += since[i];
    }
    if (wraps == UINT32_MAX)
        return;
    ck_assert_uint_eq(since[0], wraps);
    ck_assert_uint_eq(since[1], unwraps);
    ck_assert_uint_eq(since[2], rewraps);
    ck_assert_uint_eq(since[3], wraps + unwraps + rewraps);
}

static void count_from_here(struct fake_kms *kms)
{
    ck_calls(kms, UINT32_MAX, 0, 0);
}

static struct envol_slot *copy_of(const struct slot_fixture *s, uint32_t index)
{
    struct envol_slot *copy;

    ck_assert_int_eq(envol_slot_copy(s->f.volume->header->slots[index], &copy), ENVOL_OK);
    return copy;
}

/* --- Rotation --- */

START_TEST(a_new_version_of_the_same_key)
{
    struct slot_fixture s;
    struct envol_slot *old;
    const struct envol_slot_info *slots;
    size_t count;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    slot_fixture_fill(&s, 3);
    old = copy_of(&s, 0);
    fake_kms_rotate(s.f.kms, VOLUME_KEY);
    count_from_here(s.f.kms);
    ck_assert_int_eq(rewrap(&s, 0, &s.cmks[0], &s.cmks[0]), ENVOL_OK);
    ck_calls(s.f.kms, 0, 1, 1);
    ck_assert_uint_eq(slot_store_holds(&s, old->wrapped, old->wrapped_bytes), 0);
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 0}, key_refs);
    slots = slot_list(&s, &count);
    ck_assert_str_eq(slots[0].key_version, "2");
    slot_reopen(&s, &s.cmks[0], ENVOL_OK);
    envol_free(old);
    slot_fixture_end(&s);
}
END_TEST

/* With the right to ask the old CMK or without; wherever the new one is. */
START_TEST(another_key)
{
    struct slot_fixture s;
    struct envol_provider *plain;
    struct envol_cmk to;
    unsigned records;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    records = watched_calls(s.f.watched, WATCHED_WRITE);
    count_from_here(s.f.kms);
    ck_assert_int_eq(rewrap(&s, 1, &s.cmks[0], &s.cmks[1]), ENVOL_OK);
    ck_calls(s.f.kms, 0, 1, 1);
    /* Two copies, and no page: O(1). */
    ck_assert_uint_eq(watched_calls(s.f.watched, WATCHED_WRITE), records + 2);
    ck_assert_int_eq(rewrap(&s, 1, NULL, &s.cmks[2]), ENVOL_OK);
    ck_calls(s.f.kms, 1, 1, 0);
    fake_kms_fail(s.f.kms, FAKE_REWRAP, 1, ENVOL_E_UNSUPPORTED);
    ck_assert_int_eq(rewrap(&s, 1, &s.cmks[2], &s.cmks[3]), ENVOL_OK);
    ck_calls(s.f.kms, 1, 1, 1);
    plain = fake_kms_open_without_rewrap(s.f.kms);
    to = (struct envol_cmk){plain, s.cmks[4].key_ref};
    ck_assert_int_eq(rewrap(&s, 1, &s.cmks[3], &to), ENVOL_OK);
    ck_calls(s.f.kms, 1, 1, 0);
    to.key_ref = s.cmks[5].key_ref;
    s.cmks[4].provider = plain;
    ck_assert_int_eq(rewrap(&s, 1, &s.cmks[4], &to), ENVOL_OK);
    ck_calls(s.f.kms, 1, 1, 0);
    ck_assert_int_eq(rewrap(&s, 0, &s.cmks[5], &s.other), ENVOL_OK);
    ck_calls(s.f.kms, 0, 0, 0);
    slot_expect(&s, (const uint32_t[]){1, 0}, &s.other.key_ref);
    slot_reopen(&s, &s.other, ENVOL_OK);
    for (size_t i = 0; i < 6; i++)
        slot_reopen(&s, &s.cmks[i], ENVOL_E_NO_PROVIDER);
    envol_provider_close(plain);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(the_old_key_is_disabled)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    fake_kms_set_state(s.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(rewrap(&s, 0, &s.cmks[0], &s.cmks[1]), ENVOL_E_KEY_DISABLED);
    slot_expect(&s, (const uint32_t[]){1, 0}, key_refs);
    ck_assert_int_eq(rewrap(&s, 0, NULL, &s.cmks[1]), ENVOL_OK);
    slot_reopen(&s, &s.cmks[1], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

/* The slot that opened the volume, unless another one is named. */
START_TEST(which_slot)
{
    struct slot_fixture s;
    static const char *const first[] = {VOLUME_KEY, "arn:fake:key/4", "arn:fake:key/3"};
    static const char *const both[] = {VOLUME_KEY, "arn:fake:key/4", "arn:fake:key/5"};

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 3);
    slot_reopen(&s, &s.cmks[1], ENVOL_OK);
    ck_assert_int_eq(rewrap(&s, 0, &s.cmks[1], &s.cmks[3]), ENVOL_OK);
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 0}, first);
    ck_assert_int_eq(rewrap(&s, 3, NULL, &s.cmks[4]), ENVOL_OK);
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 0}, both);
    slot_reopen(&s, &s.cmks[4], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(refused)
{
    struct slot_fixture s;
    struct envol_cmk unpinned = {NULL, NULL}, nobody = {NULL, "key"};
    struct envol_volume_options bad = {.struct_size = sizeof(bad), .flags = 1};

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    unpinned.provider = s.f.provider;
    slot_fixture_fill(&s, 3);
    count_from_here(s.f.kms);
    ck_assert_int_eq(rewrap(&s, 9, NULL, &s.cmks[3]), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rewrap(&s, 1, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rewrap(&s, 1, NULL, &unpinned), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rewrap(&s, 1, &unpinned, &s.cmks[3]), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rewrap(&s, 1, &nobody, &s.cmks[3]), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rewrap(NULL, 1, NULL, &s.cmks[3], NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_rewrap(s.f.volume, 1, NULL, &s.cmks[3], &bad, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(rewrap(&s, 1, &s.cmks[1], &s.cmks[3]), ENVOL_E_NO_PROVIDER);
    ck_assert_int_eq(rewrap(&s, 1, &s.other, &s.cmks[3]), ENVOL_E_NO_PROVIDER);
    ck_calls(s.f.kms, 0, 0, 0);
    ck_assert_int_eq(rewrap(&s, 1, NULL, &s.cmks[1]), ENVOL_E_STATE);
    ck_assert_int_eq(s.f.error.slot, 2);
    fake_kms_misbehave(s.f.kms, FAKE_BLOB_6144);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(rewrap(&s, i + 1, NULL, &s.cmks[i]), ENVOL_OK);
    ck_ok(envol_volume_add_slot(s.f.volume, &s.cmks[3], NULL, NULL, &s.f.error));
    fake_kms_misbehave(s.f.kms, FAKE_HONEST);
    ck_ok(envol_volume_add_slot(s.f.volume, &s.cmks[4], NULL, NULL, &s.f.error));
    fake_kms_misbehave(s.f.kms, FAKE_BLOB_6144);
    ck_assert_int_eq(rewrap(&s, 5, NULL, &s.cmks[5]), ENVOL_E_RANGE);
    fake_kms_misbehave(s.f.kms, FAKE_HONEST);
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_assert_int_eq(rewrap(&s, 1, NULL, &s.cmks[5]), ENVOL_E_READ_ONLY);
    slot_fixture_end(&s);
}
END_TEST

static int rewrap_in_child(void *fixture)
{
    struct slot_fixture *s = fixture;

    child_expects(rewrap(s, 1, NULL, &s->cmks[1]) == ENVOL_E_FORKED);
    return 0;
}

START_TEST(forked_children)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    ck_assert_int_eq(test_in_child(rewrap_in_child, &s), 0);
    slot_fixture_end(&s);
}
END_TEST

/* --- Failing --- */

static const enum envol_status provider_says[] = {
    ENVOL_E_ARGUMENT,     ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_IO,
    ENVOL_E_RANDOM,       ENVOL_E_FORKED,    ENVOL_E_FORMAT,        ENVOL_E_VERSION,
    ENVOL_E_CORRUPT,      ENVOL_E_WRONG_KEY, ENVOL_E_KEY_DENIED,    ENVOL_E_KEY_NOT_FOUND,
    ENVOL_E_KEY_DISABLED, ENVOL_E_THROTTLED, ENVOL_E_UNREACHABLE,   ENVOL_E_KEY_PENDING_DELETION,
    ENVOL_E_TIMEOUT,      ENVOL_E_CANCELLED, ENVOL_E_CREDENTIALS,   ENVOL_E_PROVIDER,
    ENVOL_E_UNSUPPORTED,
};
enum { SAYINGS = sizeof(provider_says) / sizeof(provider_says[0]) };

START_TEST(what_the_key_service_says)
{
    static const enum fake_misbehaviour broken[] = {FAKE_DEK_OTHER, FAKE_DEK_GARBAGE, FAKE_DEK_31,
                                                    FAKE_BLOB_EMPTY, FAKE_REF_ESCAPE};
    struct slot_fixture s;
    const struct envol_cmk *from;
    unsigned writes;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    from = _i == 0 ? &s.cmks[0] : NULL;
    slot_reopen(&s, &s.cmks[0], ENVOL_OK);
    writes = watched_calls(s.f.watched, WATCHED_WRITE);
    for (size_t i = 0; i < SAYINGS; i++) {
        fake_kms_fail(s.f.kms, FAKE_UNWRAP, 1, provider_says[i]);
        ck_assert_int_eq(rewrap(&s, 1, from, &s.cmks[1]), provider_says[i]);
        if (from != NULL && provider_says[i] == ENVOL_E_UNSUPPORTED)
            continue; /* is done in another way then */
        fake_kms_fail(s.f.kms, from != NULL ? FAKE_REWRAP : FAKE_WRAP, 1, provider_says[i]);
        ck_assert_int_eq(rewrap(&s, 1, from, &s.cmks[1]), provider_says[i]);
    }
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        fake_kms_misbehave(s.f.kms, broken[i]);
        ck_assert_int_eq(rewrap(&s, 1, from, &s.cmks[1]), ENVOL_E_PROVIDER);
    }
    fake_kms_misbehave(s.f.kms, FAKE_HONEST);
    ck_assert_uint_eq(watched_calls(s.f.watched, WATCHED_WRITE), writes);
    slot_expect(&s, (const uint32_t[]){1, 0}, key_refs);
    ck_assert_int_eq(rewrap(&s, 1, from, &s.cmks[1]), ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(what_the_store_says)
{
    static const enum watched_call failing[] = {WATCHED_READ, WATCHED_WRITE, WATCHED_SYNC};

    for (size_t i = 0; i < 3; i++) {
        enum envol_status status = ENVOL_E_IO;
        for (unsigned nth = 1; status != ENVOL_OK; nth++) {
            struct slot_fixture s;
            enum envol_status old, new;
            if (!slot_fixture_begin(&s, false, NULL))
                return;
            watched_fail(s.f.watched, failing[i], nth, ENVOL_E_IO);
            status = rewrap(&s, 1, NULL, &s.cmks[1]);
            watched_fail(s.f.watched, failing[i], 0, ENVOL_OK);
            if (status != ENVOL_OK)
                slot_expect(&s, (const uint32_t[]){1, 0}, key_refs);
            if (failing[i] == WATCHED_SYNC)
                volume_fixture_kill(&s.f);
            else
                volume_fixture_close(&s.f); /* settles which */
            old =
                ck_note(envol_volume_open(s.f.store, &s.cmks[0], 1, NULL, &s.f.volume, &s.f.error));
            if (old == ENVOL_OK)
                volume_fixture_close(&s.f);
            new =
                ck_note(envol_volume_open(s.f.store, &s.cmks[1], 1, NULL, &s.f.volume, &s.f.error));
            ck_assert_int_ne(old == ENVOL_OK, new == ENVOL_OK);
            if (failing[i] != WATCHED_SYNC || status == ENVOL_OK)
                ck_assert_int_eq(new, status == ENVOL_OK ? ENVOL_OK : ENVOL_E_NO_PROVIDER);
            slot_fixture_end(&s);
        }
    }
}
END_TEST

START_TEST(updates_that_cannot_be)
{
    struct slot_fixture s;
    static uint8_t old[ENVOL_HEADER_BYTES];

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    volume_store_get(s.f.store, 0, old, sizeof(old));
    slot_fixture_fill(&s, 2);
    if (_i == 0)
        volume_store_put(s.f.store, 0, old, sizeof(old));
    else
        watched_tear_reads(s.f.watched, ENVOL_HEADER_COPY_BYTES, 100, 2);
    ck_assert_int_eq(rewrap(&s, 1, NULL, &s.cmks[2]), _i == 0 ? ENVOL_E_STALE : ENVOL_E_CORRUPT);
    volume_fixture_kill(&s.f);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(each_allocation_fails)
{
    struct slot_fixture s;
    enum envol_status status = ENVOL_E_NO_MEMORY;
    size_t held;
    unsigned nth;

    faults_set_allocator();
    if (!slot_fixture_begin(&s, false, NULL))
        return;
    held = faults_allocations();
    for (nth = 1; status != ENVOL_OK; nth++) {
        faults_arm(FAULT_ALLOC, nth, false);
        status = rewrap(&s, 1, &s.cmks[0], &s.cmks[1]);
        faults_disarm();
        ck_assert(status == ENVOL_OK || status == ENVOL_E_NO_MEMORY);
        ck_assert_uint_eq(faults_allocations(), held);
    }
    ck_assert_uint_gt(nth, 4);
    slot_fixture_end(&s);
}
END_TEST

/* --- Crashes --- */

struct crash {
    struct slot_fixture *s;
    size_t changed;
    unsigned old, new;
};

static enum envol_status open_image(const struct crash_image *image, const struct envol_cmk *cmk)
{
    struct volume_fixture f = ((struct volume_fixture){.error = ENVOL_ERROR_INIT});
    enum envol_status status;

    crash_store_new(image->bytes, image->size, &f.store);
    status = ck_note(envol_volume_open(f.store, cmk, 1, NULL, &f.volume, &f.error));
    if (status == ENVOL_OK)
        ck_ok(envol_volume_close(f.volume));
    envol_store_close(f.store);
    return status;
}

static void check_image(const struct crash_image *image, void *ctx)
{
    struct crash *crash = ctx;
    bool old = open_image(image, &crash->s->cmks[0]) == ENVOL_OK;
    bool new = open_image(image, &crash->s->cmks[1]) == ENVOL_OK;

    crash->old += old;
    crash->new += new;
    ck_assert_msg(old != new, "%s: %s", old ? "both" : "neither", image->story);
    if (image->calls >= crash->changed)
        ck_assert_msg(new, "%s", image->story);
}

START_TEST(crashes)
{
    struct slot_fixture s;
    struct envol_store *store;
    struct crash_store *log = crash_store_new(NULL, 0, &store);
    struct crash crash = {.s = &s};
    const struct crash_options options = {.sector_bytes = 4096};

    if (!slot_fixture_begin(&s, _i == 1, store))
        return;
    crash_store_settle(log);
    ck_assert_int_eq(rewrap(&s, 0, &s.cmks[0], &s.cmks[1]), ENVOL_OK);
    crash.changed = crash_store_calls(log);
    crash_store_replay(log, &options, check_image, &crash);
    ck_assert_uint_gt(crash.old, 3);
    ck_assert_uint_gt(crash.new, 3);
    slot_fixture_end(&s);
}
END_TEST

/* --- Beside others --- */

struct other_thread {
    struct slot_fixture *s;
    pthread_t thread;
    enum envol_status status;
    atomic_bool stop;
    unsigned written;
};

static void *write_on(void *argument)
{
    struct other_thread *t = argument;
    struct volume_fixture *f = &t->s->f;
    uint8_t *page = malloc(f->page_bytes);

    while (page != NULL && t->status == ENVOL_OK && !atomic_load(&t->stop)) {
        volume_page_fill(f, SLOT_PAGES + t->written, 2, page);
        t->status = envol_page_write(f->volume, SLOT_PAGES + t->written, page);
        if (++t->written % 50 == 0 && t->status == ENVOL_OK)
            t->status = envol_volume_sync(f->volume);
    }
    free(page);
    return NULL;
}

START_TEST(beside_a_writer)
{
    struct slot_fixture s;
    struct other_thread t = {.s = &s};

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_assert_int_eq(pthread_create(&t.thread, NULL, write_on, &t), 0);
    for (int round = 0; round < 30; round++)
        ck_assert_int_eq(rewrap(&s, 1, &s.cmks[round % 2], &s.cmks[1 - round % 2]), ENVOL_OK);
    atomic_store(&t.stop, true);
    pthread_join(t.thread, NULL);
    ck_assert_int_eq(t.status, ENVOL_OK);
    slot_reopen(&s, &s.cmks[0], ENVOL_OK);
    for (unsigned i = 0; i < t.written; i++)
        volume_page_expect(&s.f, SLOT_PAGES + i, 2);
    slot_fixture_end(&s);
}
END_TEST

static void *rewrap_slowly(void *argument)
{
    struct other_thread *t = argument;
    struct envol_error error = ENVOL_ERROR_INIT;

    t->status = test_note("envol_volume_rewrap", envol_volume_rewrap(t->s->f.volume, 2, NULL,
                                                                     &t->s->cmks[3], NULL, &error));
    return NULL;
}

/* While the service thinks, somebody else changes the slot: neither change is lost. */
START_TEST(two_changes_of_one_slot)
{
    struct slot_fixture s;
    struct other_thread t = {.s = &s};
    unsigned calls;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 3);
    calls = fake_kms_calls(s.f.kms, FAKE_WRAP);
    fake_kms_hang(s.f.kms, true);
    ck_assert_int_eq(pthread_create(&t.thread, NULL, rewrap_slowly, &t), 0);
    while (fake_kms_calls(s.f.kms, FAKE_WRAP) == calls)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_ok(envol_volume_remove_slot(s.f.volume, 2, &s.f.error));
    fake_kms_hang(s.f.kms, false);
    pthread_join(t.thread, NULL);
    ck_assert_int_eq(t.status, ENVOL_E_STALE);
    slot_expect(&s, (const uint32_t[]){1, 3, 0},
                (const char *const[]){VOLUME_KEY, "arn:fake:key/3"});
    slot_fixture_end(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("rewrap");
    TCase *tcase = tcase_create("rewrap");

    tcase_add_loop_test(tcase, a_new_version_of_the_same_key, 0, 2);
    tcase_add_test(tcase, another_key);
    tcase_add_test(tcase, the_old_key_is_disabled);
    tcase_add_test(tcase, which_slot);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, forked_children);
    tcase_add_loop_test(tcase, what_the_key_service_says, 0, 2);
    tcase_add_test(tcase, what_the_store_says);
    tcase_add_loop_test(tcase, updates_that_cannot_be, 0, 2);
    tcase_add_test(tcase, each_allocation_fails);
    tcase_add_loop_test(tcase, crashes, 0, 2);
    tcase_add_loop_test(tcase, beside_a_writer, 0, 2);
    tcase_add_test(tcase, two_changes_of_one_slot);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
