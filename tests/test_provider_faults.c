/* SPDX-License-Identifier: BSD-2-Clause */
/* Providers that fail, hang, or break their contract: what the checked call makes of it. */
#include "kms_fixture.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* Statuses. */

/* What becomes of a status of the fake's in each of the five calls. */
static void ck_status_becomes(enum envol_status planned, enum envol_status expected)
{
    struct envol_key_request fresh = kms_request(REF, NULL), slot = kms_request(REF, "1");
    struct envol_key_info info = {.struct_size = sizeof(info)};
    uint8_t in[ENVOL_DEK_BYTES] = {1}, blob[100] = {1};

    kms_fill_outputs();
    fake_kms_fail(kms.fake, FAKE_GENERATE, 1, planned);
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error),
              expected);
    ck_zero(kms.dek, sizeof(kms.dek));
    ck_wrapped_empty(&kms.wrapped);
    ck_assert_str_eq(kms.error.provider_code, "PlannedFailure");
    fake_kms_fail(kms.fake, FAKE_WRAP, 1, planned);
    ck_status(envol_provider_wrap(kms.provider, &fresh, in, &kms.wrapped, &kms.error), expected);
    ck_wrapped_empty(&kms.wrapped);
    kms_fill_outputs();
    fake_kms_fail(kms.fake, FAKE_UNWRAP, 1, planned);
    ck_status(envol_provider_unwrap(kms.provider, &slot, blob, sizeof(blob), kms.dek, &kms.error),
              expected);
    ck_zero(kms.dek, sizeof(kms.dek));
    fake_kms_fail(kms.fake, FAKE_DESCRIBE, 1, planned);
    ck_status(envol_provider_describe(kms.provider, &fresh, &info, &kms.error), expected);
    ck_assert_int_eq(kms.error.status, expected);
    ck_assert_uint_gt(strlen(kms.error.message), 0);
    if (planned == ENVOL_E_UNSUPPORTED)
        return; /* of rewrap: the library does it itself */
    fake_kms_fail(kms.fake, FAKE_REWRAP, 1, planned);
    ck_status(envol_provider_rewrap(kms.provider, &slot, blob, sizeof(blob), &fresh, &kms.second,
                                    &kms.error),
              expected);
    ck_wrapped_empty(&kms.second);
}

static bool is_passed(enum envol_status status)
{
    for (size_t i = 0; i < FAKE_STATUSES; i++) {
        if (fake_statuses[i] == status)
            return true;
    }
    return false;
}

START_TEST(every_status_passes_or_becomes_the_providers_fault)
{
    unsigned named = 0;

    for (int status = 1; status < 64; status++) {
        bool passes = is_passed((enum envol_status)status);

        ck_status_becomes((enum envol_status)status,
                          passes ? (enum envol_status)status : ENVOL_E_PROVIDER);
        named += passes;
    }
    ck_assert_uint_eq(named, FAKE_STATUSES);
    ck_status_becomes((enum envol_status) - 1, ENVOL_E_PROVIDER);
}
END_TEST

START_TEST(states_of_keys_have_their_statuses)
{
    static const struct {
        enum fake_key_state state;
        enum envol_status status;
        const char *code;
    } cases[] = {
        {FAKE_KEY_DISABLED, ENVOL_E_KEY_DISABLED, "DisabledException"},
        {FAKE_KEY_PENDING_DELETION, ENVOL_E_KEY_PENDING_DELETION, "KMSInvalidStateException"},
        {FAKE_KEY_DENIED, ENVOL_E_KEY_DENIED, "AccessDeniedException"},
        {FAKE_KEY_GONE, ENVOL_E_KEY_NOT_FOUND, "NotFoundException"},
    };
    struct envol_key_request request = kms_request(REF, "1");
    uint8_t again[ENVOL_DEK_BYTES];

    kms_generate();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_kms_set_state(kms.fake, REF, cases[i].state);
        ck_status(envol_provider_unwrap(kms.provider, &request, kms.wrapped.wrapped,
                                        kms.wrapped.wrapped_bytes, again, &kms.error),
                  cases[i].status);
        ck_assert_str_eq(kms.error.provider_code, cases[i].code);
        ck_zero(again, sizeof(again));
    }
    fake_kms_set_state(kms.fake, REF, FAKE_KEY_ENABLED);
    ck_ok(envol_provider_unwrap(kms.provider, &request, kms.wrapped.wrapped,
                                kms.wrapped.wrapped_bytes, again, &kms.error));
    ck_assert_mem_eq(kms.dek, again, sizeof(kms.dek));
}
END_TEST

START_TEST(other_context_or_key_is_the_wrong_key)
{
    struct envol_key_request request = kms_request(REF, "1");
    uint8_t again[ENVOL_DEK_BYTES];

    kms_generate();
    request.context_pairs = 2;
    ck_status(envol_provider_unwrap(kms.provider, &request, kms.wrapped.wrapped,
                                    kms.wrapped.wrapped_bytes, again, &kms.error),
              ENVOL_E_WRONG_KEY);
    request = kms_request(OTHER, "1");
    ck_status(envol_provider_unwrap(kms.provider, &request, kms.wrapped.wrapped,
                                    kms.wrapped.wrapped_bytes, again, &kms.error),
              ENVOL_E_WRONG_KEY);
    ck_zero(again, sizeof(again));
}
END_TEST

/* Contracts broken: ENVOL_E_PROVIDER, and nothing of the output is left. */

static void ck_generate_fails(enum fake_misbehaviour how, enum envol_status expected)
{
    struct envol_key_request fresh = kms_request(REF, NULL);

    fake_kms_misbehave(kms.fake, how);
    kms_fill_outputs();
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error),
              expected);
    ck_zero(kms.dek, sizeof(kms.dek));
    ck_wrapped_empty(&kms.wrapped);
    fake_kms_misbehave(kms.fake, FAKE_HONEST);
}

static void ck_wrap_fails(enum fake_misbehaviour how, enum envol_status expected)
{
    struct envol_key_request fresh = kms_request(REF, NULL), slot = kms_request(REF, "1");
    uint8_t in[ENVOL_DEK_BYTES] = {1};

    kms_generate();
    fake_kms_misbehave(kms.fake, how);
    ck_status(envol_provider_wrap(kms.provider, &fresh, in, &kms.second, &kms.error), expected);
    ck_wrapped_empty(&kms.second);
    ck_status(envol_provider_rewrap(kms.provider, &slot, kms.wrapped.wrapped,
                                    kms.wrapped.wrapped_bytes, &fresh, &kms.second, &kms.error),
              expected);
    ck_wrapped_empty(&kms.second);
    fake_kms_misbehave(kms.fake, FAKE_HONEST);
}

static void ck_unwrap_fails(enum fake_misbehaviour how, enum envol_status expected)
{
    struct envol_key_request slot = kms_request(REF, "1");
    struct {
        uint8_t dek[ENVOL_DEK_BYTES];
        uint8_t behind[64];
    } out;

    kms_generate();
    fake_kms_misbehave(kms.fake, how);
    memset(&out, 0xee, sizeof(out));
    ck_status(envol_provider_unwrap(kms.provider, &slot, kms.wrapped.wrapped,
                                    kms.wrapped.wrapped_bytes, out.dek, &kms.error),
              expected);
    ck_zero(out.dek, sizeof(out.dek));
    for (size_t i = 0; i < sizeof(out.behind); i++)
        ck_assert_uint_eq(out.behind[i], 0xee);
    fake_kms_misbehave(kms.fake, FAKE_HONEST);
}

static void ck_describe_fails(enum fake_misbehaviour how, enum envol_status expected)
{
    struct envol_key_request fresh = kms_request(REF, NULL);
    struct envol_key_info info;

    memset(&info, 0xee, sizeof(info));
    info.struct_size = sizeof(info);
    fake_kms_misbehave(kms.fake, how);
    ck_status(envol_provider_describe(kms.provider, &fresh, &info, &kms.error), expected);
    ck_assert_uint_eq(info.struct_size, sizeof(info));
    ck_zero((char *)&info + sizeof(info.struct_size), sizeof(info) - sizeof(info.struct_size));
    fake_kms_misbehave(kms.fake, FAKE_HONEST);
}

START_TEST(bad_wrappings_are_refused)
{
    static const enum fake_misbehaviour how[] = {
        FAKE_BLOB_EMPTY,           FAKE_BLOB_6145,  FAKE_REF_EMPTY,
        FAKE_REF_UNTERMINATED,     FAKE_REF_ESCAPE, FAKE_NO_OUTPUT,
        FAKE_VERSION_UNTERMINATED,
    };

    for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
        ck_generate_fails(how[i], ENVOL_E_PROVIDER);
        ck_wrap_fails(how[i], ENVOL_E_PROVIDER);
    }
}
END_TEST

START_TEST(bad_deks_are_refused)
{
    ck_generate_fails(FAKE_DEK_ZERO, ENVOL_E_PROVIDER);
    ck_generate_fails(FAKE_DEK_UNSET, ENVOL_E_PROVIDER);
    ck_unwrap_fails(FAKE_DEK_ZERO, ENVOL_E_PROVIDER);
    ck_unwrap_fails(FAKE_DEK_31, ENVOL_E_PROVIDER);
    ck_unwrap_fails(FAKE_DEK_65, ENVOL_E_PROVIDER);
    ck_unwrap_fails(FAKE_NO_OUTPUT, ENVOL_E_PROVIDER);
}
END_TEST

START_TEST(bad_descriptions_are_refused)
{
    ck_describe_fails(FAKE_STATE_UNKNOWN, ENVOL_E_PROVIDER);
    ck_describe_fails(FAKE_NO_OUTPUT, ENVOL_E_PROVIDER);
    ck_describe_fails(FAKE_REF_EMPTY, ENVOL_E_PROVIDER);
    ck_describe_fails(FAKE_REF_UNTERMINATED, ENVOL_E_PROVIDER);
    ck_describe_fails(FAKE_VERSION_UNTERMINATED, ENVOL_E_PROVIDER);
}
END_TEST

START_TEST(bad_statuses_are_refused)
{
    static const enum fake_misbehaviour how[] = {FAKE_STATUS_UNKNOWN, FAKE_STATUS_FOREIGN,
                                                 FAKE_STATUS_REVOKED};

    for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
        ck_generate_fails(how[i], ENVOL_E_PROVIDER);
        ck_wrap_fails(how[i], ENVOL_E_PROVIDER);
        ck_unwrap_fails(how[i], ENVOL_E_PROVIDER);
        ck_describe_fails(how[i], ENVOL_E_PROVIDER);
        ck_assert_ptr_nonnull(strstr(kms.error.message, "not a provider's status"));
    }
}
END_TEST

START_TEST(outputs_of_failures_are_wiped)
{
    ck_generate_fails(FAKE_OUTPUT_AND_FAILURE, ENVOL_E_UNREACHABLE);
    ck_wrap_fails(FAKE_OUTPUT_AND_FAILURE, ENVOL_E_UNREACHABLE);
    ck_unwrap_fails(FAKE_OUTPUT_AND_FAILURE, ENVOL_E_UNREACHABLE);
    ck_describe_fails(FAKE_OUTPUT_AND_FAILURE, ENVOL_E_UNREACHABLE);
}
END_TEST

START_TEST(messages_end_and_fit_the_callers_struct)
{
    struct envol_key_request fresh = kms_request(REF, NULL);
    struct {
        struct envol_error error;
        uint8_t behind[64];
    } out = {.error = ENVOL_ERROR_INIT};

    memset(out.behind, 0xee, sizeof(out.behind));
    fake_kms_misbehave(kms.fake, FAKE_ERROR_UNTERMINATED);
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &out.error),
              ENVOL_E_UNREACHABLE);
    ck_assert_uint_eq(strlen(out.error.message), sizeof(out.error.message) - 1);
    ck_assert_uint_eq(strlen(out.error.provider_code), sizeof(out.error.provider_code) - 1);
    ck_assert_uint_eq(out.error.struct_size, sizeof(out.error));
    ck_assert_uint_eq(out.error.page_no, ENVOL_NO_PAGE);
    ck_assert_int_eq(out.error.slot, ENVOL_NO_SLOT);
    for (size_t i = 0; i < sizeof(out.behind); i++)
        ck_assert_uint_eq(out.behind[i], 0xee);
    out.error.struct_size = offsetof(struct envol_error, message);
    strcpy(out.error.message, "mine");
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &out.error),
              ENVOL_E_UNREACHABLE);
    ck_assert_str_eq(out.error.message, "mine");
}
END_TEST

/* The library cannot know a foreign plaintext here: it passes, and the header's MAC refuses it. */
START_TEST(a_foreign_dek_is_the_callers_to_refuse)
{
    struct envol_key_request slot = kms_request(REF, "1");
    uint8_t again[ENVOL_DEK_BYTES];

    kms_generate();
    fake_kms_misbehave(kms.fake, FAKE_DEK_GARBAGE);
    ck_ok(envol_provider_unwrap(kms.provider, &slot, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                again, &kms.error));
    ck_assert_mem_ne(kms.dek, again, sizeof(kms.dek));
    fake_kms_misbehave(kms.fake, FAKE_DEK_OTHER);
    ck_ok(envol_provider_unwrap(kms.provider, &slot, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                again, &kms.error));
    ck_assert_mem_ne(kms.dek, again, sizeof(kms.dek));
}
END_TEST

/* Time. */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

START_TEST(cancel_and_deadline_before_the_call)
{
    struct envol_key_request slot = kms_request(REF, "1"), fresh = kms_request(REF, NULL);
    int cancelled = 1;

    slot.deadline_ms = fresh.deadline_ms = now_ms();
    ck_request_refused(&slot, &fresh, ENVOL_E_TIMEOUT);
    slot.cancel_flag = fresh.cancel_flag = &cancelled;
    ck_request_refused(&slot, &fresh, ENVOL_E_CANCELLED);
    cancelled = 0;
    slot.deadline_ms = fresh.deadline_ms = now_ms() + 60000;
    ck_ok(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error));
}
END_TEST

START_TEST(deadline_during_the_call)
{
    struct envol_key_request fresh = kms_request(REF, NULL);
    uint64_t start = now_ms();

    fresh.deadline_ms = start + 50;
    fake_kms_hang(kms.fake, true);
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error),
              ENVOL_E_TIMEOUT);
    ck_assert_uint_ge(now_ms() - start, 50);
    ck_assert_uint_eq(fake_kms_calls(kms.fake, FAKE_GENERATE), 1);
}
END_TEST

static void *cancel_soon(void *flag)
{
    const struct timespec pause = {.tv_nsec = 30000000};

    nanosleep(&pause, NULL);
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELEASE);
    return NULL;
}

START_TEST(cancel_during_the_call)
{
    struct envol_key_request fresh = kms_request(REF, NULL);
    int flag = 0;
    pthread_t thread;

    fresh.cancel_flag = &flag;
    fake_kms_hang(kms.fake, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, &flag), 0);
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error),
              ENVOL_E_CANCELLED);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(the_nth_call_fails_and_the_others_do_not)
{
    struct envol_key_request fresh = kms_request(REF, NULL);

    fake_kms_fail(kms.fake, FAKE_ANY, 3, ENVOL_E_THROTTLED);
    for (int i = 1; i <= 4; i++)
        ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error),
                  i == 3 ? ENVOL_E_THROTTLED : ENVOL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("provider faults");
    TCase *tests = kms_case(suite, "failures");

    tcase_add_test(tests, every_status_passes_or_becomes_the_providers_fault);
    tcase_add_test(tests, states_of_keys_have_their_statuses);
    tcase_add_test(tests, other_context_or_key_is_the_wrong_key);
    tcase_add_test(tests, bad_wrappings_are_refused);
    tcase_add_test(tests, bad_deks_are_refused);
    tcase_add_test(tests, bad_descriptions_are_refused);
    tcase_add_test(tests, bad_statuses_are_refused);
    tcase_add_test(tests, outputs_of_failures_are_wiped);
    tcase_add_test(tests, messages_end_and_fit_the_callers_struct);
    tcase_add_test(tests, a_foreign_dek_is_the_callers_to_refuse);
    tcase_add_test(tests, cancel_and_deadline_before_the_call);
    tcase_add_test(tests, deadline_during_the_call);
    tcase_add_test(tests, cancel_during_the_call);
    tcase_add_test(tests, the_nth_call_fails_and_the_others_do_not);
    return test_run(suite);
}
