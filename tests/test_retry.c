/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of providers with a service behind them, in simulated time and in real time with threads:
 * attempts and waits, deadlines and cancel flags, one call in flight per wrapped DEK, a crowd.
 */
#include "base/memory.h"
#include "children.h"
#include "kms_fixture.h"
#include "limited_service.h"
#include "prompt.h"
#include "provider/clock.h"
#include "provider/line.h"
#include "simulated_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct limited_service service;
static struct envol_provider *provider;
static struct envol_wrapped_dek wrapped;
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error;

static void set_up(void)
{
    envol_clock_set(NULL);
    envol_line_forget();
    limited_service_init(&service);
    provider = limited_service_open(&service);
    wrapped = (struct envol_wrapped_dek){.struct_size = sizeof(wrapped)};
    error = (struct envol_error)ENVOL_ERROR_INIT;
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

static void follow(const enum envol_status *script, unsigned length)
{
    service.script = script;
    service.script_length = length;
    atomic_store(&service.calls, 0);
}

/* --- Attempts --- */

static const enum envol_status down_twice[] = {ENVOL_E_UNREACHABLE, ENVOL_E_TIMEOUT};
static uint32_t attempts;

static void count_attempts(void *ctx, const struct envol_audit_event *event)
{
    (void)ctx;
    attempts = event->attempts;
}

START_TEST(the_third_attempt_succeeds)
{
    struct envol_key_request fresh = kms_request(NULL, NULL), slot = kms_request("key", "");
    uint8_t out[ENVOL_DEK_BYTES];
    uint64_t begun;

    simulate();
    ck_ok(envol_provider_set_audit(provider, count_attempts, NULL));
    begun = simulated_us;
    follow(down_twice, 2);
    ck_assert_int_eq(generate(&fresh), ENVOL_OK);
    ck_assert_uint_eq(service.calls, 3);
    ck_assert_uint_eq(attempts, 3);
    ck_assert_uint_eq(simulated_us - begun, 1500000); /* half of a second, and of two */
    follow(down_twice, 2);
    ck_ok(envol_provider_unwrap(provider, &slot, wrapped.wrapped, wrapped.wrapped_bytes, out,
                                &error));
    ck_assert_mem_eq(out, dek, sizeof(dek));
    ck_assert_uint_eq(service.calls, 3);
    follow(down_twice, 2);
    ck_ok(envol_provider_wrap(provider, &fresh, dek, &wrapped, &error));
    ck_assert_uint_eq(service.calls, 3);
}
END_TEST

START_TEST(no_fourth_attempt)
{
    struct envol_key_request fresh = kms_request(NULL, NULL);

    simulate();
    service.always = ENVOL_E_UNREACHABLE;
    ck_assert_int_eq(generate(&fresh), ENVOL_E_UNREACHABLE);
    ck_assert_uint_eq(service.calls, 3);
    ck_assert(envol_is_zero(dek, sizeof(dek)));
    ck_wrapped_empty(&wrapped);
}
END_TEST

START_TEST(definite_answers_come_once)
{
    static const enum envol_status definite[] = {
        ENVOL_E_KEY_DISABLED,
        ENVOL_E_KEY_DENIED,
        ENVOL_E_KEY_NOT_FOUND,
        ENVOL_E_WRONG_KEY,
        ENVOL_E_CREDENTIALS,
        ENVOL_E_PROVIDER,
        ENVOL_E_ARGUMENT,
        ENVOL_E_CANCELLED,
        ENVOL_E_NO_MEMORY,
        ENVOL_E_UNSUPPORTED,
        ENVOL_E_KEY_PENDING_DELETION,
    };
    struct envol_key_request fresh = kms_request(NULL, NULL);

    simulate();
    for (size_t i = 0; i < sizeof(definite) / sizeof(definite[0]); i++) {
        service.always = definite[i];
        atomic_store(&service.calls, 0);
        ck_assert_int_eq(generate(&fresh), definite[i]);
        ck_assert_uint_eq(service.calls, 1);
    }
}
END_TEST

START_TEST(a_deadline_that_a_wait_would_pass)
{
    struct envol_key_request fresh = kms_request(NULL, NULL);
    uint64_t begun;

    simulate();
    begun = simulated_us;
    service.always = ENVOL_E_UNREACHABLE;
    fresh.deadline_ms = simulated_us / 1000 + 400;
    ck_assert_int_eq(generate(&fresh), ENVOL_E_UNREACHABLE);
    ck_assert_uint_eq(service.calls, 1);
    ck_assert_uint_eq(simulated_us, begun);
    service.always = ENVOL_E_THROTTLED;
    fresh.deadline_ms = simulated_us / 1000 + 2500;
    ck_assert_int_eq(generate(&fresh), ENVOL_E_THROTTLED); /* what was answered last */
    ck_assert_uint_le(simulated_us - begun, 2600000);
    fresh.deadline_ms = simulated_us / 1000;
    ck_assert_int_eq(generate(&fresh), ENVOL_E_TIMEOUT);
}
END_TEST

START_TEST(throttled_for_good)
{
    struct envol_key_request fresh = kms_request(NULL, NULL);
    uint64_t begun;

    simulate();
    begun = simulated_us;
    service.always = ENVOL_E_THROTTLED;
    ck_assert_int_eq(generate(&fresh), ENVOL_E_THROTTLED);
    ck_assert_uint_eq(service.calls, 10);
    ck_assert_uint_gt(simulated_us - begun, 5000000);
    ck_assert_uint_lt(simulated_us - begun, 25000000);
    service.always = ENVOL_OK;
    ck_assert_int_eq(generate(&fresh), ENVOL_OK);
}
END_TEST

/* --- Threads --- */

enum { CROWD = 40 };

struct caller {
    pthread_t thread;
    struct envol_key_request request;
    const struct envol_wrapped_dek *wrapped;
    enum envol_status status;
    uint64_t ended_us;
    uint8_t dek[ENVOL_DEK_BYTES];
    pthread_barrier_t *together; /* to begin at; NULL: at once */
};

static void *unwrap(void *argument)
{
    struct caller *caller = argument;
    struct envol_error own = ENVOL_ERROR_INIT;

    if (caller->together != NULL)
        pthread_barrier_wait(caller->together);
    caller->status =
        test_note("envol_provider_unwrap",
                  envol_provider_unwrap(provider, &caller->request, caller->wrapped->wrapped,
                                        caller->wrapped->wrapped_bytes, caller->dek, &own));
    caller->ended_us = envol_clock()->now_us();
    return NULL;
}

static void start(struct caller *caller)
{
    caller->request = caller->request.struct_size != 0 ? caller->request : kms_request("key", "");
    caller->wrapped = caller->wrapped != NULL ? caller->wrapped : &wrapped;
    ck_assert_int_eq(pthread_create(&caller->thread, NULL, unwrap, caller), 0);
}

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

static void make_wrapping(void)
{
    struct envol_key_request fresh = kms_request(NULL, NULL);

    ck_assert_int_eq(generate(&fresh), ENVOL_OK);
    atomic_store(&service.calls, 0);
    atomic_store(&service.most_in_flight, 0);
}

/* A crowd that calls at one moment, while the service takes its time. */
static void run_crowd(struct caller *callers)
{
    pthread_barrier_t together;

    service.latency_us = 1000000;
    ck_assert_int_eq(pthread_barrier_init(&together, NULL, CROWD), 0);
    for (size_t i = 0; i < CROWD; i++) {
        callers[i].together = &together;
        start(&callers[i]);
    }
    for (size_t i = 0; i < CROWD; i++)
        pthread_join(callers[i].thread, NULL);
    pthread_barrier_destroy(&together);
    ck_assert_uint_eq(service.most_in_flight, 1);
    /* One, and another for those that were late: a busy machine lets some wait. */
    ck_assert_uint_le(service.calls, 5);
}

START_TEST(one_call_for_a_crowd)
{
    static struct caller callers[CROWD];

    make_wrapping();
    run_crowd(callers);
    for (size_t i = 0; i < CROWD; i++) {
        ck_assert_int_eq(callers[i].status, ENVOL_OK);
        ck_assert_mem_eq(callers[i].dek, dek, sizeof(dek));
    }
}
END_TEST

START_TEST(a_refusal_is_shared_too)
{
    static struct caller callers[CROWD];

    make_wrapping();
    service.always = ENVOL_E_KEY_DISABLED;
    run_crowd(callers);
    for (size_t i = 0; i < CROWD; i++) {
        ck_assert_int_eq(callers[i].status, ENVOL_E_KEY_DISABLED);
        ck_assert(envol_is_zero(callers[i].dek, sizeof(dek)));
    }
}
END_TEST

/* Whatever differs makes another call. */
START_TEST(other_calls_are_not_held_up)
{
    static const struct envol_context_pair context[] = {{"a", "b"}};
    static struct caller callers[5];
    struct envol_wrapped_dek other;

    make_wrapping();
    other = wrapped;
    other.wrapped[0] ^= 1;
    service.latency_us = 400000;
    callers[1].wrapped = &other;
    for (size_t i = 2; i < 5; i++)
        callers[i].request = kms_request("key", "");
    callers[2].request.key_version = "2";
    callers[3].request.key_ref = "other";
    callers[4].request.context = context;
    callers[4].request.context_pairs = 1;
    for (size_t i = 0; i < 5; i++)
        start(&callers[i]);
    for (size_t i = 0; i < 5; i++)
        pthread_join(callers[i].thread, NULL);
    ck_assert_uint_eq(service.calls, 5);
    ck_assert_uint_ge(service.most_in_flight, 2);
}
END_TEST

/* The first caller's impatience is not the others'. */
START_TEST(the_first_one_gives_up)
{
    static struct caller callers[3];
    int cancel = 0;

    make_wrapping();
    service.always = ENVOL_E_UNREACHABLE; /* it waits between attempts */
    callers[0].request = kms_request("key", "");
    callers[0].request.cancel_flag = &cancel;
    start(&callers[0]);
    while (atomic_load(&service.calls) == 0)
        pause_ms(1);
    start(&callers[1]);
    start(&callers[2]);
    service.always = ENVOL_OK;
    pause_ms(30);
    __atomic_store_n(&cancel, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 3; i++)
        pthread_join(callers[i].thread, NULL);
    /* By chance its wait may have been so short that it was served. */
    ck_assert(callers[0].status == ENVOL_E_CANCELLED || callers[0].status == ENVOL_OK);
    ck_assert_int_eq(callers[1].status, ENVOL_OK);
    ck_assert_int_eq(callers[2].status, ENVOL_OK);
}
END_TEST

struct wavering {
    int flag;
    atomic_bool is_over;
};

static void *waver(void *argument)
{
    struct wavering *wavering = argument;

    for (int set = 1; !atomic_load(&wavering->is_over); set = !set)
        __atomic_store_n(&wavering->flag, set, __ATOMIC_RELEASE);
    return NULL;
}

/* Whoever sets the flag and clears it at once gets what was cancelled, or what failed. */
START_TEST(a_flag_that_is_cleared_again)
{
    static struct wavering wavering;
    struct envol_key_request fresh = kms_request(NULL, NULL);
    pthread_t thread;

    simulate();
    service.always = ENVOL_E_UNREACHABLE;
    fresh.cancel_flag = &wavering.flag;
    ck_assert_int_eq(pthread_create(&thread, NULL, waver, &wavering), 0);
    for (int i = 0; i < 20000; i++) {
        enum envol_status status = generate(&fresh);

        ck_assert_msg(status == ENVOL_E_CANCELLED || status == ENVOL_E_UNREACHABLE, "call %d: %s",
                      i, envol_status_name(status));
        envol_line_forget();
    }
    atomic_store(&wavering.is_over, true);
    pthread_join(thread, NULL);
}
END_TEST

static double always_long(void)
{
    return 0.999;
}

/* Somebody else's call, for which the same call waits. */
static void start_long_call(struct caller *first)
{
    service.latency_us = 1500000;
    atomic_store(&service.calls, 0);
    start(first);
    while (atomic_load(&service.calls) == 0)
        pause_ms(1);
}

/* Where it waits: between attempts, in the line, for another's call. */
static uint64_t cancel_late_ms(int where)
{
    static struct caller first, caller;
    static int cancel;
    uint64_t cancelled_us;

    __atomic_store_n(&cancel, 0, __ATOMIC_RELEASE);
    caller.request = kms_request("key", "");
    caller.request.cancel_flag = &cancel;
    if (where == 2)
        start_long_call(&first);
    else
        service.always = where == 0 ? ENVOL_E_UNREACHABLE : ENVOL_E_THROTTLED;
    start(&caller);
    pause_ms(where == 1 ? 600 : 150);
    cancelled_us = envol_clock()->now_us();
    __atomic_store_n(&cancel, 1, __ATOMIC_RELEASE);
    pthread_join(caller.thread, NULL);
    if (where == 2)
        pthread_join(first.thread, NULL);
    ck_assert_int_eq(caller.status, ENVOL_E_CANCELLED);
    return (caller.ended_us - cancelled_us) / 1000;
}

START_TEST(cancelled_within_a_tenth_of_a_second)
{
    struct envol_clock patient = *envol_clock();
    struct prompt prompt = {0};

    patient.chance = always_long;
    envol_clock_set(&patient);
    make_wrapping();
    while (prompt_is_late(&prompt, cancel_late_ms(_i)))
        ;
    envol_clock_set(NULL);
}
END_TEST

static uint64_t deadline_late_ms(void)
{
    static struct caller first, caller;
    uint64_t deadline_ms;

    start_long_call(&first);
    deadline_ms = envol_clock()->now_us() / 1000 + 200;
    caller.request = kms_request("key", "");
    caller.request.deadline_ms = deadline_ms;
    start(&caller);
    pthread_join(caller.thread, NULL);
    pthread_join(first.thread, NULL);
    ck_assert_int_eq(caller.status, ENVOL_E_TIMEOUT);
    ck_assert_int_eq(first.status, ENVOL_OK);
    ck_assert_uint_ge(caller.ended_us / 1000, deadline_ms);
    return caller.ended_us / 1000 - deadline_ms;
}

START_TEST(deadlines_of_those_who_wait)
{
    struct prompt prompt = {0};

    make_wrapping();
    while (prompt_is_late(&prompt, deadline_late_ms()))
        ;
}
END_TEST

static int call_in_child(void *argument)
{
    struct envol_key_request fresh = kms_request(NULL, NULL), slot = kms_request("key", "");
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};
    uint8_t out[ENVOL_DEK_BYTES];

    (void)argument;
    service.latency_us = 0;
    child_expects(envol_provider_generate(provider, &fresh, out, &other, &error) == ENVOL_OK);
    child_expects(envol_provider_unwrap(provider, &slot, wrapped.wrapped, wrapped.wrapped_bytes,
                                        out, &error) == ENVOL_OK);
    return 0;
}

/* The parent's calls are under way, and its callers in line: none of that is the child's. */
START_TEST(children)
{
    static struct caller callers[8];

    make_wrapping();
    service.latency_us = 800000;
    for (size_t i = 0; i < 8; i++)
        start(&callers[i]);
    while (atomic_load(&service.calls) == 0)
        pause_ms(1);
    pause_ms(50);
    ck_assert_int_eq(test_in_child(call_in_child, NULL), 0);
    for (size_t i = 0; i < 8; i++) {
        pthread_join(callers[i].thread, NULL);
        ck_assert_int_eq(callers[i].status, ENVOL_OK);
    }
}
END_TEST

/* --- A crowd of volumes, in real time --- */

/* As many as is promised, where there is time (ENVOL_TEST_LONG): that takes ten seconds. */
enum { VOLUMES = 1000, RATE = 100, SHORT_VOLUMES = 400, SHORT_RATE = 200 };

struct opener {
    pthread_t thread;
    struct envol_store *store;
    enum envol_status status;
};

static const struct envol_cmk *crowd_cmk;

static void *open_one(void *argument)
{
    struct opener *opener = argument;
    struct envol_error own = ENVOL_ERROR_INIT;
    struct envol_volume *volume = NULL;

    opener->status = test_note("envol_volume_open",
                               envol_volume_open(opener->store, crowd_cmk, 1, NULL, &volume, &own));
    if (opener->status == ENVOL_OK)
        opener->status = envol_volume_close(volume);
    return NULL;
}

/* How long they take, in microseconds. */
static uint64_t open_crowd(struct opener *openers, unsigned volumes)
{
    pthread_attr_t small;
    uint64_t begun_us;

    envol_line_forget();
    atomic_store(&service.calls, 0);
    atomic_store(&service.throttled, 0);
    ck_assert_int_eq(pthread_attr_init(&small), 0);
    pthread_attr_setstacksize(&small, 256 << 10);
    begun_us = envol_clock()->now_us();
    for (size_t i = 0; i < volumes; i++)
        ck_assert_int_eq(pthread_create(&openers[i].thread, &small, open_one, &openers[i]), 0);
    for (size_t i = 0; i < volumes; i++) {
        pthread_join(openers[i].thread, NULL);
        ck_assert_msg(openers[i].status == ENVOL_OK, "volume %zu: %s", i,
                      envol_status_name(openers[i].status));
    }
    pthread_attr_destroy(&small);
    return envol_clock()->now_us() - begun_us;
}

/* A busy machine has three tries. */
START_TEST(a_crowd_of_volumes)
{
    static struct opener openers[VOLUMES];
    const struct envol_cmk cmk = {provider, "key"};
    const bool is_long = getenv("ENVOL_TEST_LONG") != NULL;
    const unsigned volumes = is_long ? VOLUMES : SHORT_VOLUMES, rate = is_long ? RATE : SHORT_RATE;
    uint64_t took_us, ideal_us = UINT64_C(1000000) * volumes / rate;
    unsigned tries = 0;

    crowd_cmk = &cmk;
    for (size_t i = 0; i < volumes; i++) {
        struct envol_volume *volume;
        ck_ok(envol_memory_store_open(&openers[i].store));
        ck_ok(envol_volume_create(openers[i].store, &cmk, 1, NULL, &volume, &error));
        ck_ok(envol_volume_close(volume));
    }
    service.rate = rate;
    service.burst = rate / 10;
    service.latency_us = 5000;
    do
        took_us = open_crowd(openers, volumes);
    while (test_tool() == NULL && took_us * 10 > ideal_us * 13 && ++tries < 3);
    printf("%u volumes at %u/s: %.2f times the ideal time, %u calls of %u refused\n", volumes, rate,
           (double)took_us / (double)ideal_us, atomic_load(&service.throttled),
           atomic_load(&service.calls));
    ck_assert_uint_lt(tries, 3);
    ck_assert_uint_ge(atomic_load(&service.calls) - atomic_load(&service.throttled), volumes);
    for (size_t i = 0; i < volumes; i++)
        envol_store_close(openers[i].store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retry");
    TCase *tests = tcase_create("retry");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, the_third_attempt_succeeds);
    tcase_add_test(tests, no_fourth_attempt);
    tcase_add_test(tests, definite_answers_come_once);
    tcase_add_test(tests, a_deadline_that_a_wait_would_pass);
    tcase_add_test(tests, throttled_for_good);
    tcase_add_test(tests, one_call_for_a_crowd);
    tcase_add_test(tests, a_refusal_is_shared_too);
    tcase_add_test(tests, other_calls_are_not_held_up);
    tcase_add_test(tests, the_first_one_gives_up);
    tcase_add_test(tests, a_flag_that_is_cleared_again);
    tcase_add_loop_test(tests, cancelled_within_a_tenth_of_a_second, 0, 3);
    tcase_add_test(tests, deadlines_of_those_who_wait);
    tcase_add_test(tests, children);
    tcase_add_test(tests, a_crowd_of_volumes);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
