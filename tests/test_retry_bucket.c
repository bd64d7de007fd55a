/* SPDX-License-Identifier: BSD-2-Clause */
/* What retries cost: the tokens of one bucket for the process, in simulated time. */
#include "kms_fixture.h"
#include "limited_service.h"
#include "provider/clock.h"
#include "provider/line.h"
#include "simulated_clock.h"

static struct limited_service service;
static struct envol_provider *provider;
static struct envol_wrapped_dek wrapped;
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error;

static void set_up(void)
{
    envol_line_forget();
    limited_service_init(&service);
    provider = limited_service_open(&service);
    wrapped = (struct envol_wrapped_dek){.struct_size = sizeof(wrapped)};
    error = (struct envol_error)ENVOL_ERROR_INIT;
    simulate();
}

static void tear_down(void)
{
    envol_provider_close(provider);
    envol_clock_set(NULL);
}

static enum envol_status generate(struct envol_key_request *request)
{
    return ck_note(envol_provider_generate(provider, request, dek, &wrapped, &error));
}

/* When the service is down, the process stops asking twice. */
START_TEST(the_bucket_is_the_process_s)
{
    static const enum envol_status down = ENVOL_E_UNREACHABLE;
    struct envol_key_request fresh = kms_request(NULL, NULL);

    service.always = ENVOL_E_UNREACHABLE;
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(generate(&fresh), ENVOL_E_UNREACHABLE);
    ck_assert_uint_eq(service.calls, 150);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(generate(&fresh), ENVOL_E_UNREACHABLE);
    ck_assert_uint_eq(service.calls, 200);
    service.always = ENVOL_OK;
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(generate(&fresh), ENVOL_OK);
    service.script = &down;
    service.script_length = 1;
    atomic_store(&service.calls, 0);
    ck_assert_int_eq(generate(&fresh), ENVOL_OK); /* five tokens: one retry */
}
END_TEST

/* The bucket holds 100 retries.  None is made here, so that all of them are left. */
START_TEST(a_retry_that_is_not_made_costs_nothing)
{
    struct envol_key_request fresh = kms_request(NULL, NULL);

    service.always = ENVOL_E_UNREACHABLE;
    fresh.deadline_ms = simulated_us / 1000 + 400;
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(generate(&fresh), ENVOL_E_UNREACHABLE);
    ck_assert_uint_eq(service.calls, 200);
    fresh.deadline_ms = 0;
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(generate(&fresh), ENVOL_E_UNREACHABLE);
    ck_assert_uint_eq(service.calls, 350);
    /* ... and of a call whose second retry does not fit, the first one is paid for. */
    envol_line_forget();
    simulated_us += 1000000;
    atomic_store(&service.calls, 0);
    for (int i = 0; i < 101; i++) {
        fresh.deadline_ms = simulated_us / 1000 + 600;
        ck_assert_int_eq(generate(&fresh), ENVOL_E_UNREACHABLE);
    }
    ck_assert_uint_eq(service.calls, 201);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retry_bucket");
    TCase *tests = tcase_create("retry_bucket");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, the_bucket_is_the_process_s);
    tcase_add_test(tests, a_retry_that_is_not_made_costs_nothing);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
