/* SPDX-License-Identifier: BSD-2-Clause */
/* The rate of a key service's calls, as the header says. */
#include "provider/pace.h"

#include <string.h>

#define SECOND_US 1e6
#define BUCKET_US 100000u
/* What a service that was idle lets through at once: a tenth of a second's calls. */
#define BURST_US  100000.0
#define CUT       0.8  /* of the rate, at a throttling */
#define FLOOR     0.9  /* of what was served in the last second: no cut goes below it */
#define START     0.7  /* of what was tried per second until the first throttling */
#define CHANCE    0.04 /* of calls refused in a second: no reason for a cut */
#define RECOVER   2.0  /* of what is missing to the best rate, per second */
#define PROBE     0.1  /* calls a second more for each success: 10 % a second, */
#define PROBE_S   2.0  /* as much again for every so many seconds without throttling, */
#define PROBE_MAX 1.0  /* but not more than doubling in a second */

static double max(double a, double b)
{
    return a > b ? a : b;
}

/* Empties the buckets of the time that has passed. */
static void turn_buckets(struct envol_pace *pace, uint64_t now_us)
{
    uint64_t number = now_us / BUCKET_US;

    if (number - pace->bucket_no > ENVOL_PACE_BUCKETS)
        pace->bucket_no = number - ENVOL_PACE_BUCKETS;
    while (pace->bucket_no < number) {
        pace->bucket_no++;
        pace->served[pace->bucket_no % ENVOL_PACE_BUCKETS] = 0;
        pace->refused[pace->bucket_no % ENVOL_PACE_BUCKETS] = 0;
    }
}

/* How many in the last second. */
static double sum(const uint32_t bucket[ENVOL_PACE_BUCKETS])
{
    uint32_t all = 0;

    for (int i = 0; i < ENVOL_PACE_BUCKETS; i++)
        all += bucket[i];
    return all;
}

/* Calls do not arrive as evenly as they are sent: a service refuses some of a rate that it serves.
 */
static bool is_chance(const struct envol_pace *pace)
{
    double refused = sum(pace->refused);

    return refused <= CHANCE * (refused + sum(pace->served));
}

static void forget(struct envol_pace *pace)
{
    uint32_t in_flight = pace->in_flight;

    memset(pace, 0, sizeof(*pace));
    pace->in_flight = in_flight;
}

uint64_t envol_pace_wait_us(struct envol_pace *pace, uint64_t now_us)
{
    double window = max(pace->window, ENVOL_PACE_WINDOW);

    if (pace->rate > 0 && now_us - pace->throttled_us > ENVOL_PACE_FORGET_US)
        forget(pace);
    if (pace->rate <= 0)
        return pace->in_flight < window ? 0 : ENVOL_PACE_WAIT_FOR_END;
    return (double)now_us >= pace->next_us ? 0 : (uint64_t)(pace->next_us - (double)now_us) + 1;
}

void envol_pace_begin(struct envol_pace *pace, uint64_t now_us)
{
    if (pace->first_us == 0)
        pace->first_us = now_us;
    pace->in_flight++;
    pace->begun++;
    if (pace->rate > 0)
        pace->next_us = max(pace->next_us, (double)now_us - BURST_US) + SECOND_US / pace->rate;
}

/*
 * The window's end.  How many were served says little: a service that was idle serves more than it
 * can go on with, and one without reserves has served a few.  Cuts find the rate from above.
 */
static void find_rate(struct envol_pace *pace, uint64_t now_us)
{
    double elapsed_us = max((double)(now_us - pace->first_us), 1000.0);

    pace->rate = max(START * pace->begun * SECOND_US / elapsed_us, sum(pace->served));
}

static void cut(struct envol_pace *pace, uint64_t begun_us, uint64_t now_us)
{
    pace->throttled_us = now_us;
    turn_buckets(pace, now_us);
    pace->refused[pace->bucket_no % ENVOL_PACE_BUCKETS]++;
    /* Begun before the rate was cut, it says nothing about this one. */
    if (pace->rate > 0 && (begun_us <= pace->cut_us || is_chance(pace)))
        return;
    if (pace->rate > 0) {
        pace->best = pace->rate;
        pace->rate = max(pace->rate * CUT, FLOOR * sum(pace->served));
    } else {
        find_rate(pace, now_us);
        pace->best = pace->rate;
    }
    pace->rate = max(pace->rate, ENVOL_PACE_RATE_MIN);
    pace->cut_us = now_us;
    pace->next_us = (double)now_us + SECOND_US / pace->rate;
}

static void raise(struct envol_pace *pace, uint64_t now_us)
{
    double calm_s = (double)(now_us - pace->throttled_us) / SECOND_US;
    double probe = PROBE * (1 + calm_s / PROBE_S);

    if (pace->rate < pace->best)
        pace->rate += RECOVER * (pace->best - pace->rate) / pace->rate;
    pace->rate += probe < PROBE_MAX ? probe : PROBE_MAX;
}

void envol_pace_end(struct envol_pace *pace, uint64_t begun_us, uint64_t now_us,
                    enum envol_pace_outcome outcome, bool waited)
{
    if (pace->in_flight > 0)
        pace->in_flight--;
    if (outcome == ENVOL_PACE_THROTTLED)
        cut(pace, begun_us, now_us);
    if (outcome != ENVOL_PACE_SERVED)
        return;
    turn_buckets(pace, now_us);
    pace->served[pace->bucket_no % ENVOL_PACE_BUCKETS]++;
    if (pace->rate <= 0)
        pace->window = max(pace->window, ENVOL_PACE_WINDOW) + 1;
    else if (waited)
        raise(pace, now_us);
}
