/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast a key service is called: a client-side rate that adapts to what the service throttles,
 * as the "adaptive" mode of the AWS SDKs does.  Pure: time is given, nothing waits in here, so that
 * a simulation runs the very code.
 *
 * Before the first throttling nothing is known of the service: a window of calls may be in flight,
 * which each success widens by one, so that it doubles with each round trip.  The first throttling
 * turns what was tried into a rate, which is too high.  From then on calls are spaced by it; a
 * throttling that is more than chance cuts it, once for all calls that began before the cut, but
 * not below what the service has just done in a second; successes of calls that had to wait raise
 * it, quickly up to where it was, then slowly, and faster the longer nothing was throttled. A
 * minute without throttling, and the rate is forgotten.
 */
#ifndef ENVOL_PROVIDER_PACE_H
#define ENVOL_PROVIDER_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define ENVOL_PACE_WINDOW       32.0      /* calls in flight at first */
#define ENVOL_PACE_RATE_MIN     1.0       /* calls a second */
#define ENVOL_PACE_FORGET_US    60000000u /* after so long without throttling */
#define ENVOL_PACE_WAIT_FOR_END UINT64_MAX

enum { ENVOL_PACE_BUCKETS = 10 }; /* of the last second */

struct envol_pace {
    double rate;    /* calls a second; 0: none known, the window counts */
    double window;  /* most calls in flight; 0: ENVOL_PACE_WINDOW */
    double best;    /* the rate that the last cut was made from */
    double next_us; /* when the next call may begin */
    uint32_t in_flight;
    uint32_t begun; /* calls since first_us */
    uint64_t first_us;
    uint64_t cut_us, throttled_us;
    uint64_t bucket_no; /* of the newest bucket: time in tenths of a second */
    uint32_t served[ENVOL_PACE_BUCKETS];
    uint32_t refused[ENVOL_PACE_BUCKETS];
};

enum envol_pace_outcome {
    ENVOL_PACE_SERVED,    /* the service answered, whatever it said */
    ENVOL_PACE_THROTTLED, /* it refused to */
    ENVOL_PACE_LOST       /* nobody knows */
};

/* A zeroed struct is a new one. */
/* Microseconds until the next call may begin; 0: now.  ENVOL_PACE_WAIT_FOR_END: when another ends.
 */
uint64_t envol_pace_wait_us(struct envol_pace *pace, uint64_t now_us);
void envol_pace_begin(struct envol_pace *pace, uint64_t now_us);
/* waited: the call did not begin at once, so that the rate was what held it. */
void envol_pace_end(struct envol_pace *pace, uint64_t begun_us, uint64_t now_us,
                    enum envol_pace_outcome outcome, bool waited);

#endif
