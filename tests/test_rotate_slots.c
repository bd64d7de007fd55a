/* SPDX-License-Identifier: BSD-2-Clause */
/* A rotation of a volume with slots of several key services. */
#include "rotate_fixture.h"
#include "support.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* Slots 1 to 3 of one service, slot 4 of another. */
static bool begin_slots(struct slot_fixture *s, struct envol_cmk cmks[4])
{
    if (!slot_fixture_begin(s, false, NULL))
        return false;
    slot_fixture_fill(s, 3);
    ck_ok(envol_volume_add_slot(s->f.volume, &s->other, NULL, NULL, &s->f.error));
    memcpy(cmks, s->cmks, 3 * sizeof(*cmks));
    cmks[3] = s->other;
    return true;
}

static const char *const four_refs[] = {VOLUME_KEY, "arn:fake:key/2", "arn:fake:key/3",
                                        "arn:elsewhere:key/1"};

START_TEST(each_slot_is_wrapped)
{
    struct slot_fixture s;
    struct envol_cmk cmks[4];
    struct envol_slot_outcomes outcomes = {.struct_size = sizeof(outcomes)};
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .outcomes = &outcomes};
    unsigned before;

    if (!begin_slots(&s, cmks))
        return;
    before = fake_kms_calls(s.f.kms, FAKE_ANY) + fake_kms_calls(s.elsewhere, FAKE_ANY);
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 4, 0, &options), ENVOL_OK);
    ck_assert_uint_eq(fake_kms_calls(s.f.kms, FAKE_ANY) + fake_kms_calls(s.elsewhere, FAKE_ANY),
                      before + 8);
    ck_assert_uint_eq(outcomes.count, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(outcomes.outcome[i].slot, i + 1);
        ck_assert_int_eq(outcomes.outcome[i].status, ENVOL_OK);
        ck_assert_str_eq(outcomes.outcome[i].message, "");
    }
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 4, 0}, four_refs);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    for (size_t i = 0; i < 4; i++)
        slot_reopen(&s, &cmks[i], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

/* A service that cannot be reached: nothing has changed, until the caller consents. */
START_TEST(a_slot_may_be_dropped)
{
    struct slot_fixture s;
    struct envol_cmk cmks[4];
    struct envol_slot_outcomes outcomes = {.struct_size = sizeof(outcomes)};
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .outcomes = &outcomes};

    if (!begin_slots(&s, cmks))
        return;
    fake_kms_fail(s.elsewhere, FAKE_WRAP, 1, ENVOL_E_UNREACHABLE);
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 4, 0, &options), ENVOL_E_UNREACHABLE);
    ck_assert_int_eq(s.f.error.slot, 4);
    ck_assert_int_eq(outcomes.outcome[0].status, ENVOL_OK);
    ck_assert_int_eq(outcomes.outcome[3].status, ENVOL_E_UNREACHABLE);
    ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_NONE);
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 4, 0}, four_refs);
    fake_kms_set_state(s.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 4, 0, &options), ENVOL_E_KEY_DISABLED);
    fake_kms_fail(s.elsewhere, FAKE_WRAP, 1, ENVOL_E_UNREACHABLE);
    ck_assert_int_eq(rotate_begin_with(&s, cmks + 1, 3, ENVOL_ROTATE_DROP_SLOTS, &options),
                     ENVOL_OK);
    ck_assert_int_eq(outcomes.outcome[0].status, ENVOL_E_NO_PROVIDER);
    ck_assert_int_eq(outcomes.outcome[1].status, ENVOL_OK);
    ck_assert_int_eq(outcomes.outcome[2].status, ENVOL_OK);
    ck_assert_int_eq(outcomes.outcome[3].status, ENVOL_E_UNREACHABLE);
    ck_assert_str_ne(outcomes.outcome[3].message, "");
    slot_expect(&s, (const uint32_t[]){2, 3, 0}, four_refs + 1);
    ck_assert_uint_eq(volume_info_of(&s.f).opened_slot, 2);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    slot_reopen(&s, &cmks[3], ENVOL_E_NO_PROVIDER);
    slot_reopen(&s, &cmks[2], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(no_slot_is_left)
{
    struct slot_fixture s;
    struct envol_cmk cmks[4];

    if (!begin_slots(&s, cmks))
        return;
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 3, 0, NULL), ENVOL_E_NO_PROVIDER);
    ck_assert_int_eq(s.f.error.slot, 4);
    for (size_t i = 0; i < 3; i++)
        fake_kms_set_state(s.f.kms, four_refs[i], FAKE_KEY_DENIED);
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 3, ENVOL_ROTATE_DROP_SLOTS, NULL),
                     ENVOL_E_KEY_DENIED);
    ck_assert_int_eq(s.f.error.slot, 1);
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 4, 0}, four_refs);
    rotate_expect_all(&s);
    slot_fixture_end(&s);
}
END_TEST

/* What a service does not give back does not count, nor a DEK that was made with it. */
START_TEST(wrappings_are_proven)
{
    struct slot_fixture s;
    struct envol_cmk cmks[4];

    if (!begin_slots(&s, cmks))
        return;
    fake_kms_misbehave(s.f.kms, FAKE_DEK_GARBAGE);
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 4, 0, NULL), ENVOL_E_PROVIDER);
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 4, ENVOL_ROTATE_DROP_SLOTS, NULL), ENVOL_OK);
    slot_expect(&s, (const uint32_t[]){4, 0}, four_refs + 3);
    fake_kms_misbehave(s.f.kms, FAKE_HONEST);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    slot_reopen(&s, &cmks[3], ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

/* Consent is for slots, not for a call that is to end. */
START_TEST(a_call_can_be_ended)
{
    struct slot_fixture s;
    struct envol_cmk cmks[4];
    const int cancelled = 1;
    struct envol_volume_options options = {.struct_size = sizeof(options), .timeout_ms = 50};

    if (!begin_slots(&s, cmks))
        return;
    fake_kms_hang(s.f.kms, true);
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 4, ENVOL_ROTATE_DROP_SLOTS, &options),
                     ENVOL_E_TIMEOUT);
    options.timeout_ms = 0;
    options.cancel_flag = &cancelled;
    ck_assert_int_eq(rotate_begin_with(&s, cmks, 4, ENVOL_ROTATE_DROP_SLOTS, &options),
                     ENVOL_E_CANCELLED);
    fake_kms_hang(s.f.kms, false);
    slot_expect(&s, (const uint32_t[]){1, 2, 3, 4, 0}, four_refs);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(what_services_answer)
{
    static const enum envol_status answers[] = {ENVOL_E_KEY_NOT_FOUND, ENVOL_E_KEY_PENDING_DELETION,
                                                ENVOL_E_THROTTLED,     ENVOL_E_CREDENTIALS,
                                                ENVOL_E_UNSUPPORTED,   ENVOL_E_WRONG_KEY};
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        fake_kms_fail(s.f.kms, FAKE_ANY, answers[i] == ENVOL_E_WRONG_KEY ? 2 : 1, answers[i]);
        ck_assert_int_eq(rotate_begin(&s), answers[i]);
    }
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

struct slow_begin {
    struct slot_fixture *s;
    pthread_t thread;
    enum envol_status status;
};

static void *begin_slowly(void *argument)
{
    struct slow_begin *b = argument;
    struct envol_error error = ENVOL_ERROR_INIT;

    b->status = test_note("envol_volume_rotate_begin",
                          envol_volume_rotate_begin(b->s->f.volume, b->s->cmks, 3,
                                                    ENVOL_ROTATE_DROP_SLOTS, NULL, &error));
    return NULL;
}

/* While the service thinks, page I/O goes on, and a slot goes: it does not come back. */
START_TEST(slots_change_meanwhile)
{
    struct slot_fixture s;
    struct slow_begin b = {.s = &s};
    unsigned before;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    slot_fixture_fill(&s, 3);
    before = fake_kms_calls(s.f.kms, FAKE_GENERATE);
    fake_kms_hang(s.f.kms, true);
    ck_assert_int_eq(pthread_create(&b.thread, NULL, begin_slowly, &b), 0);
    while (fake_kms_calls(s.f.kms, FAKE_GENERATE) == before)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    volume_page_put(&s.f, SLOT_PAGES, 1);
    ck_ok(envol_volume_sync(s.f.volume));
    ck_ok(envol_volume_remove_slot(s.f.volume, 2, &s.f.error));
    fake_kms_hang(s.f.kms, false);
    pthread_join(b.thread, NULL);
    ck_assert_int_eq(b.status, ENVOL_E_STALE);
    ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_NONE);
    slot_expect(&s, (const uint32_t[]){1, 3, 0},
                (const char *const[]){VOLUME_KEY, "arn:fake:key/3"});
    slot_fixture_end(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate slots");
    TCase *slots = tcase_create("slots");

    tcase_set_timeout(slots, 60);
    tcase_add_test(slots, each_slot_is_wrapped);
    tcase_add_test(slots, a_slot_may_be_dropped);
    tcase_add_test(slots, no_slot_is_left);
    tcase_add_test(slots, wrappings_are_proven);
    tcase_add_test(slots, a_call_can_be_ended);
    tcase_add_test(slots, what_services_answer);
    tcase_add_loop_test(slots, slots_change_meanwhile, 0, 2);
    suite_add_tcase(s, slots);
    return s;
}

int main(void)
{
    return test_run(suite());
}
