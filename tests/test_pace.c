/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pace of calls in simulated time: the very code that the lines of lib/provider/line.c run,
 * under services of several kinds, and a hundred thousand volumes that are opened at once.
 */
#include "provider/pace.h"
#include "provider/retry.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Services --- */

enum kind {
    RESERVE, /* a bucket that a second fills: what was not used may be made up for */
    SHALLOW, /* a bucket of five: whoever comes in a crowd is refused */
    WINDOWS  /* so many in each second of the clock */
};

struct service {
    enum kind kind;
    double rate, tokens, asked_s;
    double window; /* WINDOWS: which second, and what was used of it */
    unsigned used;
};

static bool serves(struct service *s, double now_s)
{
    double burst = s->kind == RESERVE ? s->rate : 5;

    if (s->kind == WINDOWS) {
        double window = (double)(uint64_t)now_s;
        if (window > s->window)
            s->used = 0;
        s->window = window;
        return s->used < s->rate && ++s->used > 0;
    }
    s->tokens += (now_s - s->asked_s) * s->rate;
    s->tokens = s->tokens < burst ? s->tokens : burst;
    s->asked_s = now_s;
    if (s->tokens < 1)
        return false;
    s->tokens -= 1;
    return true;
}

/* --- Calls in flight, the next to end first --- */

struct flight {
    double ends_us, begun_us;
    uint32_t caller;
    bool is_served;
    bool is_back; /* no call: a throttled caller comes back to the line */
};

struct simulation {
    struct service service;
    struct envol_pace pace;
    struct envol_retry_bucket bucket;
    struct flight *heap;
    size_t flights, capacity;
    uint32_t *line; /* a ring */
    size_t first, waiting, callers;
    struct envol_retry *retries; /* of each caller */
    unsigned most_throttles;
    uint64_t throttled;
    size_t opened;
    double now_us, latency_us;
};

static void push(struct simulation *s, struct flight flight)
{
    size_t at = s->flights++;

    ck_assert_uint_lt(at, s->capacity);
    while (at > 0 && s->heap[(at - 1) / 2].ends_us > flight.ends_us) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = flight;
}

static struct flight pop(struct simulation *s)
{
    struct flight first = s->heap[0], last = s->heap[--s->flights];
    size_t at = 0, child;

    while ((child = 2 * at + 1) < s->flights) {
        child += child + 1 < s->flights && s->heap[child + 1].ends_us < s->heap[child].ends_us;
        if (s->heap[child].ends_us >= last.ends_us)
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return first;
}

static void stand_in_line(struct simulation *s, uint32_t caller)
{
    s->line[(s->first + s->waiting++) % s->callers] = caller;
}

static void begin(struct simulation *s)
{
    double back_us = s->latency_us * (double)(test_random() % 1000) / 1000;
    struct flight flight = {.begun_us = s->now_us, .caller = s->line[s->first]};

    s->first = (s->first + 1) % s->callers;
    s->waiting--;
    envol_pace_begin(&s->pace, (uint64_t)s->now_us);
    /* Calls arrive in the order in which they are sent; answers do not. */
    flight.ends_us = s->now_us + s->latency_us / 2 + back_us;
    flight.is_served = serves(&s->service, (s->now_us + s->latency_us / 2) / 1e6);
    push(s, flight);
}

static void end(struct simulation *s)
{
    struct flight flight = pop(s);
    struct envol_retry *retry = &s->retries[flight.caller];
    double chance = (double)(test_random() % 1000) / 1000;
    uint64_t wait_us;

    s->now_us = flight.ends_us;
    if (flight.is_back) {
        stand_in_line(s, flight.caller);
        return;
    }
    envol_pace_end(&s->pace, (uint64_t)flight.begun_us, (uint64_t)s->now_us,
                   flight.is_served ? ENVOL_PACE_SERVED : ENVOL_PACE_THROTTLED, true);
    if (flight.is_served) {
        s->opened++;
        return;
    }
    s->throttled++;
    ck_assert(envol_retry_again(retry, &s->bucket, ENVOL_E_THROTTLED, chance, &wait_us));
    if (retry->throttles > s->most_throttles)
        s->most_throttles = retry->throttles;
    flight.is_back = true;
    flight.ends_us = s->now_us + (double)wait_us;
    push(s, flight);
}

static void step(struct simulation *s)
{
    uint64_t wait_us =
        s->waiting > 0 ? envol_pace_wait_us(&s->pace, (uint64_t)s->now_us) : UINT64_MAX;

    if (wait_us == 0)
        begin(s);
    else if (s->flights > 0 && s->heap[0].ends_us <= s->now_us + (double)wait_us)
        end(s);
    else
        s->now_us += (double)wait_us;
}

/* All at once; the time they took, of what the service's rate allows. */
static double open_all(struct simulation *s, enum kind kind, double rate, size_t callers,
                       double latency_us)
{
    double begun_us = 1e9 + (double)(test_random() % 1000000);

    *s = (struct simulation){.service = {.kind = kind, .rate = rate, .tokens = rate},
                             .callers = callers,
                             .capacity = callers,
                             .now_us = begun_us,
                             .latency_us = latency_us};
    s->service.asked_s = begun_us / 1e6;
    s->heap = calloc(callers, sizeof(*s->heap));
    s->line = calloc(callers, sizeof(*s->line));
    s->retries = calloc(callers, sizeof(*s->retries));
    ck_assert(s->heap != NULL && s->line != NULL && s->retries != NULL);
    for (uint32_t i = 0; i < callers; i++)
        stand_in_line(s, i);
    while (s->opened < callers) {
        step(s);
        ck_assert_msg((s->now_us - begun_us) / 1e6 < 3 * (double)callers / rate,
                      "%zu of %zu opened in three times the time, rate %.1f", s->opened, callers,
                      s->pace.rate);
    }
    free(s->heap);
    free(s->line);
    free(s->retries);
    return (s->now_us - begun_us) / 1e6 / ((double)callers / rate);
}

/* "1,000 volumes opened at once through a service limited to 100 calls a second all open, in at
 * most 1.3 times the ideal time, with no failure", and a hundred times as many. */
START_TEST(many_at_once)
{
    static const double latencies_us[] = {1000, 10000, 50000, 200000};
    static const size_t callers[] = {1000, 10000, 100000};

    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 3; j++) {
            struct simulation s;
            double ratio = open_all(&s, (enum kind)_i, 100, callers[j], latencies_us[i]);
            ck_assert_msg(ratio <= 1.3, "kind %d, %zu callers, %.0f us: %.2f times the ideal", _i,
                          callers[j], latencies_us[i], ratio);
            ck_assert_uint_lt(s.most_throttles, ENVOL_RETRY_THROTTLES - 3);
            /* Politeness: what is refused beyond the beginning is a few of a hundred. */
            ck_assert_uint_lt(s.throttled, callers[j] / 7 + 500);
        }
    }
}
END_TEST

START_TEST(nobody_limits)
{
    struct envol_pace pace = {.rate = 0};
    uint64_t now = 1000000;
    unsigned in_flight = 0;

    /* The window opens by one for each success: it doubles with each round. */
    for (unsigned round = 0; round < 6; round++) {
        while (envol_pace_wait_us(&pace, now) == 0) {
            envol_pace_begin(&pace, now);
            in_flight++;
        }
        ck_assert_uint_eq(in_flight, 32u << round);
        ck_assert_uint_eq(envol_pace_wait_us(&pace, now), ENVOL_PACE_WAIT_FOR_END);
        now += 10000;
        while (in_flight > 0) {
            envol_pace_end(&pace, now - 10000, now, ENVOL_PACE_SERVED, false);
            in_flight--;
        }
    }
    ck_assert(pace.rate <= 0);
    /* What is lost says nothing of a limit. */
    envol_pace_begin(&pace, now);
    envol_pace_end(&pace, now, now + 5, ENVOL_PACE_LOST, false);
    ck_assert(pace.rate <= 0 && pace.in_flight == 0);
}
END_TEST

START_TEST(a_lone_caller)
{
    struct envol_pace pace = {.rate = 0};
    uint64_t now = 1000000, begun = now, wait_us;

    /* Throttled for good: once a second at the slowest. */
    for (int i = 0; i < 100; i++) {
        wait_us = envol_pace_wait_us(&pace, now);
        ck_assert_uint_le(wait_us, 1000001);
        now += wait_us;
        envol_pace_begin(&pace, now);
        begun = now;
        now += 20000;
        envol_pace_end(&pace, begun, now, ENVOL_PACE_THROTTLED, wait_us > 0);
    }
    ck_assert(pace.rate >= 1 && pace.rate < 1.01);
    /* A minute later it is forgotten. */
    ck_assert_uint_eq(envol_pace_wait_us(&pace, now + ENVOL_PACE_FORGET_US + 1), 0);
    ck_assert(pace.rate <= 0);
}
END_TEST

/* Calls that began before a cut do not cut again. */
START_TEST(one_cut_for_a_crowd)
{
    struct envol_pace pace = {.rate = 100, .throttled_us = 5000000};
    double once;

    for (int i = 0; i < 10; i++)
        envol_pace_begin(&pace, 5000000);
    envol_pace_end(&pace, 5000000, 5020000, ENVOL_PACE_THROTTLED, true);
    once = pace.rate;
    ck_assert(once > 79 && once < 81);
    for (int i = 1; i < 10; i++)
        envol_pace_end(&pace, 5000000, 5020000 + (uint64_t)i, ENVOL_PACE_THROTTLED, true);
    ck_assert(pace.rate >= once && pace.rate <= once);
    envol_pace_begin(&pace, 5040000);
    envol_pace_end(&pace, 5040000, 5050000, ENVOL_PACE_THROTTLED, true);
    ck_assert(pace.rate < once);
}
END_TEST

/* --- The policy --- */

START_TEST(three_attempts)
{
    static const enum envol_status passing[] = {ENVOL_E_UNREACHABLE, ENVOL_E_TIMEOUT,
                                                ENVOL_E_RANDOM};
    uint64_t wait_us;

    for (size_t i = 0; i < 3; i++) {
        struct envol_retry retry = {.failures = 0};
        struct envol_retry_bucket bucket = {.spent = 0};
        unsigned cost = passing[i] == ENVOL_E_TIMEOUT ? 10 : 5;
        ck_assert(envol_retry_again(&retry, &bucket, passing[i], 0.5, &wait_us));
        ck_assert_uint_eq(wait_us, 500000);
        ck_assert_uint_eq(bucket.spent, cost);
        ck_assert(envol_retry_again(&retry, &bucket, passing[i], 0.5, &wait_us));
        ck_assert_uint_eq(wait_us, 1000000);
        ck_assert_uint_eq(bucket.spent, 2 * cost);
        ck_assert(!envol_retry_again(&retry, &bucket, passing[i], 0.5, &wait_us));
        ck_assert_uint_eq(bucket.spent, 2 * cost);
        envol_retry_succeeded(&retry, &bucket);
        ck_assert_uint_eq(bucket.spent, cost);
    }
}
END_TEST

START_TEST(what_is_not_retried)
{
    struct envol_retry_bucket bucket = {.spent = 0};
    uint64_t wait_us;

    for (int status = 0; status <= ENVOL_E_POLICY; status++) {
        struct envol_retry retry = {.failures = 0};
        bool again = envol_retry_again(&retry, &bucket, (enum envol_status)status, 0, &wait_us);
        ck_assert_int_eq(again, envol_status_is_retryable((enum envol_status)status));
    }
}
END_TEST

START_TEST(the_bucket)
{
    struct envol_retry_bucket bucket = {.spent = 0};
    const struct envol_retry first = {.failures = 0};
    uint64_t wait_us;
    unsigned retries = 0;

    for (;; retries++) {
        struct envol_retry retry = {.failures = 0};
        if (!envol_retry_again(&retry, &bucket, ENVOL_E_UNREACHABLE, 0, &wait_us))
            break;
    }
    ck_assert_uint_eq(retries, 100); /* 500 tokens, 5 each */
    for (unsigned i = 0; i < 4; i++)
        envol_retry_succeeded(&first, &bucket);
    {
        struct envol_retry retry = {.failures = 0};
        ck_assert(!envol_retry_again(&retry, &bucket, ENVOL_E_UNREACHABLE, 0, &wait_us));
        envol_retry_succeeded(&first, &bucket);
        ck_assert(envol_retry_again(&retry, &bucket, ENVOL_E_UNREACHABLE, 0, &wait_us));
    }
    for (unsigned i = 0; i < 1000; i++)
        envol_retry_succeeded(&first, &bucket);
    ck_assert_uint_eq(bucket.spent, 0);
}
END_TEST

START_TEST(throttling_costs_nothing)
{
    struct envol_retry retry = {.failures = 0};
    struct envol_retry_bucket bucket = {.spent = ENVOL_RETRY_TOKENS};
    uint64_t wait_us;
    unsigned again = 0;

    while (envol_retry_again(&retry, &bucket, ENVOL_E_THROTTLED, 0.9, &wait_us)) {
        again++;
        ck_assert_uint_eq(wait_us, again < 7 ? 90000u << (again - 1) : 4500000u);
    }
    ck_assert_uint_eq(again, ENVOL_RETRY_THROTTLES - 1);
    ck_assert_uint_eq(bucket.spent, ENVOL_RETRY_TOKENS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pace");
    TCase *tests = tcase_create("pace");

    tcase_add_loop_test(tests, many_at_once, RESERVE, WINDOWS + 1);
    tcase_add_test(tests, nobody_limits);
    tcase_add_test(tests, a_lone_caller);
    tcase_add_test(tests, one_cut_for_a_crowd);
    tcase_add_test(tests, three_attempts);
    tcase_add_test(tests, what_is_not_retried);
    tcase_add_test(tests, the_bucket);
    tcase_add_test(tests, throttling_costs_nothing);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
