/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said of slots: their list, what key services say of their CMKs, and what an open that
 * fails tells of each; and changes beside threads that write, and beside a service that hangs.
 */
#include "base/memory.h"
#include "slot_fixture.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- The list --- */

START_TEST(the_list)
{
    struct slot_fixture s;
    const struct envol_slot_info *slots;
    size_t count;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 2);
    ck_ok(envol_volume_add_slot(s.f.volume, &s.other, NULL, NULL, &s.f.error));
    slots = slot_list(&s, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert(slots[0].opened && !slots[1].opened && !slots[2].opened);
    ck_assert_str_eq(slots[0].provider, "fake-kms");
    ck_assert_str_eq(slots[0].key_version, "1");
    ck_assert_uint_gt(slots[0].wrapped_bytes, 64);
    ck_assert_uint_gt(slots[0].created_at_s, 1700000000);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(slots[i].described, ENVOL_E_NO_PROVIDER);
        ck_assert_int_eq((int)slots[i].state, 0);
        ck_assert_str_eq(slots[i].newest_version, "");
    }
    slot_fixture_end(&s);
}
END_TEST

static struct envol_slot_info slots[ENVOL_SLOTS_MAX];

static void ask(struct slot_fixture *s, const struct envol_cmk *cmks, size_t cmk_count)
{
    size_t count;

    slots[0].struct_size = sizeof(slots[0]);
    ck_ok(envol_volume_slots(s->f.volume, cmks, cmk_count, NULL, slots, ENVOL_SLOTS_MAX, &count,
                             &s->f.error));
    ck_assert_uint_eq(count, 3);
}

START_TEST(what_the_services_say)
{
    struct slot_fixture s;
    unsigned described;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 3);
    described = fake_kms_calls(s.f.kms, FAKE_DESCRIBE);
    fake_kms_rotate(s.f.kms, s.cmks[1].key_ref);
    fake_kms_set_state(s.f.kms, s.cmks[2].key_ref, FAKE_KEY_DISABLED);
    ask(&s, s.cmks, 3);
    ck_assert_uint_eq(fake_kms_calls(s.f.kms, FAKE_DESCRIBE), described + 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(slots[i].described, ENVOL_OK);
    ck_assert_int_eq(slots[0].state, ENVOL_KEY_ENABLED);
    ck_assert_int_eq(slots[2].state, ENVOL_KEY_DISABLED);
    ck_assert_str_eq(slots[0].newest_version, "1");
    ck_assert_str_eq(slots[1].newest_version, "2");
    ck_assert_str_eq(slots[1].key_version, "1");
    ck_assert(!slots[0].outdated && slots[1].outdated && !slots[2].outdated);
    ask(&s, &s.cmks[1], 1); /* the others are not this CMK's */
    ck_assert_int_eq(slots[0].described, ENVOL_E_NO_PROVIDER);
    ck_assert(slots[1].outdated);
    fake_kms_fail(s.f.kms, FAKE_DESCRIBE, 2, ENVOL_E_KEY_DENIED);
    ask(&s, s.cmks, 3);
    ck_assert_int_eq(slots[0].described, ENVOL_OK);
    ck_assert_int_eq(slots[1].described, ENVOL_E_KEY_DENIED);
    ck_assert(!slots[1].outdated);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(arrays_of_other_sizes)
{
    struct slot_fixture s;
    struct longer {
        struct envol_slot_info info;
        char more[64];
    } array[3];
    size_t count;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 3);
    memset(array, 0xee, sizeof(array));
    array[0].info.struct_size = sizeof(array[0]);
    ck_status(envol_volume_slots(s.f.volume, NULL, 0, NULL, &array[0].info, 2, &count, &s.f.error),
              ENVOL_E_RANGE);
    ck_assert_uint_eq(count, 3);
    ck_assert(envol_is_zero((const char *)&array[1].info + sizeof(size_t),
                            sizeof(array[1].info) - sizeof(size_t)));
    ck_assert_uint_eq((uint8_t)array[2].info.provider[0], 0xee);
    ck_ok(envol_volume_slots(s.f.volume, NULL, 0, NULL, &array[0].info, 3, &count, &s.f.error));
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(array[i].info.id, i + 1);
        ck_assert_uint_eq(array[i].info.struct_size, sizeof(array[0]));
        ck_assert_uint_eq((uint8_t)array[i].more[0], 0);
    }
    slot_fixture_end(&s);
}
END_TEST

START_TEST(arguments)
{
    struct slot_fixture s;
    struct envol_volume_options bad = {.struct_size = sizeof(bad), .flags = ENVOL_OPEN_READ_ONLY};
    struct envol_cmk none = {NULL, NULL};
    size_t count = 9;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slots[0].struct_size = sizeof(slots[0]);
    ck_status(envol_volume_slots(NULL, NULL, 0, NULL, slots, 8, &count, NULL), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(count, 0);
    ck_status(envol_volume_slots(s.f.volume, NULL, 0, NULL, NULL, 8, &count, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_volume_slots(s.f.volume, NULL, 0, NULL, slots, 0, &count, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_volume_slots(s.f.volume, NULL, 0, NULL, slots, 8, NULL, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_volume_slots(s.f.volume, NULL, 1, NULL, slots, 8, &count, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_volume_slots(s.f.volume, &none, 1, NULL, slots, 8, &count, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_volume_slots(s.f.volume, NULL, 0, &bad, slots, 8, &count, NULL),
              ENVOL_E_ARGUMENT);
    slots[0].struct_size--;
    ck_status(envol_volume_slots(s.f.volume, NULL, 0, NULL, slots, 8, &count, NULL),
              ENVOL_E_ARGUMENT);
    slot_fixture_end(&s);
}
END_TEST

/* A reader lists what it has read, and the rest after a refresh. */
START_TEST(readers_follow)
{
    struct slot_fixture s;
    struct envol_store *store;
    struct envol_volume *reader;
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .flags = ENVOL_OPEN_READ_ONLY};
    size_t count;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    store = watched_store_share(s.f.watched);
    ck_ok(envol_volume_open(store, s.cmks, 1, &options, &reader, &s.f.error));
    slot_fixture_fill(&s, 2);
    slots[0].struct_size = sizeof(slots[0]);
    ck_ok(envol_volume_slots(reader, NULL, 0, NULL, slots, 8, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_ok(envol_volume_refresh(reader, &s.f.error));
    ck_ok(envol_volume_slots(reader, NULL, 0, NULL, slots, 8, &count, NULL));
    ck_assert_uint_eq(count, 2);
    ck_ok(envol_volume_close(reader));
    envol_store_close(store);
    slot_fixture_end(&s);
}
END_TEST

/* --- Outcomes of an open --- */

static struct envol_slot_outcomes outcomes;

static enum envol_status open_with(struct slot_fixture *s, const struct envol_cmk *cmks, size_t n)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .outcomes = &outcomes};

    if (s->f.volume != NULL)
        volume_fixture_close(&s->f);
    memset(&outcomes, 0xee, sizeof(outcomes));
    outcomes.struct_size = sizeof(outcomes);
    return ck_note(envol_volume_open(s->f.store, cmks, n, &options, &s->f.volume, &s->f.error));
}

static void ck_outcome(size_t index, uint32_t slot, enum envol_status status, const char *message)
{
    const struct envol_slot_outcome *outcome = &outcomes.outcome[index];

    ck_assert_uint_eq(outcome->slot, slot);
    ck_assert_int_eq(outcome->status, status);
    ck_assert_str_eq(outcome->provider, "fake-kms");
    ck_assert_msg(message[0] == '\0' ? outcome->message[0] == '\0'
                                     : strstr(outcome->message, message) != NULL,
                  "%s", outcome->message);
}

START_TEST(an_open_says_why_each_slot_did_not)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    slot_fixture_fill(&s, 4);
    fake_kms_set_state(s.f.kms, s.cmks[0].key_ref, FAKE_KEY_DISABLED);
    fake_kms_set_state(s.f.kms, s.cmks[2].key_ref, FAKE_KEY_GONE);
    ck_assert_int_eq(open_with(&s, s.cmks, 4), ENVOL_OK);
    ck_assert_uint_eq(outcomes.count, 4);
    ck_outcome(0, 1, ENVOL_E_KEY_DISABLED, "DisabledException");
    ck_assert_str_eq(outcomes.outcome[0].provider_code, "DisabledException");
    ck_outcome(1, 2, ENVOL_OK, "");
    ck_outcome(2, 3, ENVOL_E_NO_PROVIDER, "");
    fake_kms_set_state(s.f.kms, s.cmks[1].key_ref, FAKE_KEY_DENIED);
    ck_assert_int_eq(open_with(&s, s.cmks, 3), ENVOL_E_KEY_DISABLED);
    ck_assert_uint_eq(outcomes.count, 4);
    ck_outcome(0, 1, ENVOL_E_KEY_DISABLED, "DisabledException");
    ck_outcome(1, 2, ENVOL_E_KEY_DENIED, "AccessDenied");
    ck_outcome(2, 3, ENVOL_E_KEY_NOT_FOUND, "NotFound");
    ck_outcome(3, 4, ENVOL_E_NO_PROVIDER, ""); /* its CMK was not given */
    fake_kms_set_state(s.f.kms, s.cmks[0].key_ref, FAKE_KEY_ENABLED);
    ck_assert_int_eq(open_with(&s, s.cmks, 1), ENVOL_OK);
    ck_outcome(0, 1, ENVOL_OK, "");
    slot_fixture_end(&s);
}
END_TEST

START_TEST(an_open_that_did_not_come_to_the_slots)
{
    struct slot_fixture s;
    const uint8_t uuid[ENVOL_UUID_BYTES] = {1};
    const struct envol_pins pins = {.struct_size = sizeof(pins), .uuid = uuid};
    struct envol_volume_options options = {.struct_size = sizeof(options), .pins = &pins};
    struct envol_volume *volume;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    volume_fixture_close(&s.f);
    options.outcomes = &outcomes;
    outcomes.struct_size = sizeof(outcomes);
    outcomes.count = 5;
    ck_status(envol_volume_open(s.f.store, s.cmks, 1, &options, &volume, NULL), ENVOL_E_POLICY);
    ck_assert_uint_eq(outcomes.count, 0);
    outcomes.struct_size--;
    ck_status(envol_volume_open(s.f.store, s.cmks, 1, &options, &volume, NULL), ENVOL_E_ARGUMENT);
    slot_fixture_end(&s);
}
END_TEST

/* --- Beside other threads --- */

struct writer {
    struct slot_fixture *s;
    pthread_t thread;
    unsigned number, rounds;
    enum envol_status status;
    uint8_t *page;
};

static atomic_bool stop;

/* Grows the volume too: header updates of both kinds mix. */
static void *write_on(void *argument)
{
    struct writer *w = argument;
    struct volume_fixture *f = &w->s->f;

    while (w->status == ENVOL_OK && !atomic_load(&stop)) {
        uint64_t page_no = SLOT_PAGES + w->rounds * 2 + w->number;
        volume_page_fill(f, page_no, 2, w->page);
        w->status = envol_page_write(f->volume, page_no, w->page);
        if (w->status == ENVOL_OK && ++w->rounds % 64 == 0)
            w->status = envol_volume_sync(f->volume);
    }
    return NULL;
}

static void start(struct slot_fixture *s, struct writer *writers)
{
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 2; i++) {
        writers[i] = (struct writer){.s = s, .number = i, .page = malloc(s->f.page_bytes)};
        ck_assert_ptr_nonnull(writers[i].page);
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
}

static void finish(struct slot_fixture *s, struct writer *writers)
{
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(writers[i].thread, NULL);
        ck_assert_int_eq(writers[i].status, ENVOL_OK);
        free(writers[i].page);
    }
    volume_fixture_reopen(&s->f);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned round = 0; round < writers[i].rounds; round++)
            volume_page_expect(&s->f, SLOT_PAGES + round * 2 + i, 2);
}

START_TEST(beside_writers)
{
    struct slot_fixture s;
    struct writer writers[2];

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    start(&s, writers);
    for (int round = 0; round < 20; round++) {
        uint32_t id;
        ck_ok(envol_volume_add_slot(s.f.volume, &s.cmks[1 + round % 3], NULL, &id, &s.f.error));
        ck_ok(envol_volume_remove_slot(s.f.volume, id, &s.f.error));
    }
    finish(&s, writers);
    slot_fixture_end(&s);
}
END_TEST

static void *add_slowly(void *argument)
{
    struct slot_fixture *s = argument;
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .timeout_ms = 8000};
    struct envol_error error = ENVOL_ERROR_INIT;
    static enum envol_status status;

    status = envol_volume_add_slot(s->f.volume, &s->cmks[1], &options, NULL, &error);
    return &status;
}

/* Nobody waits for the key service but who asked it. */
START_TEST(beside_a_service_that_hangs)
{
    struct slot_fixture s;
    pthread_t thread;
    void *status;
    unsigned calls;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    calls = fake_kms_calls(s.f.kms, FAKE_WRAP);
    fake_kms_hang(s.f.kms, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, add_slowly, &s), 0);
    while (fake_kms_calls(s.f.kms, FAKE_WRAP) == calls)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    volume_page_put(&s.f, 3, 2);
    ck_ok(envol_volume_truncate(s.f.volume, SLOT_PAGES + 5, &s.f.error));
    ck_ok(envol_volume_sync(s.f.volume));
    ck_ok(envol_volume_truncate(s.f.volume, SLOT_PAGES, &s.f.error));
    fake_kms_hang(s.f.kms, false);
    pthread_join(thread, &status);
    ck_assert_int_eq(*(enum envol_status *)status, ENVOL_OK);
    slot_reopen(&s, &s.cmks[1], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("slot_list");
    TCase *tcase = tcase_create("slot_list");

    tcase_add_test(tcase, the_list);
    tcase_add_test(tcase, what_the_services_say);
    tcase_add_test(tcase, arrays_of_other_sizes);
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, readers_follow);
    tcase_add_test(tcase, an_open_says_why_each_slot_did_not);
    tcase_add_test(tcase, an_open_that_did_not_come_to_the_slots);
    tcase_add_loop_test(tcase, beside_writers, 0, 2);
    tcase_add_test(tcase, beside_a_service_that_hangs);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
