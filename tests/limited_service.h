/* SPDX-License-Identifier: BSD-2-Clause */
/* "limited": a key service over a network that is not there: it throttles, fails by a script, takes
 * its time, and counts.  Its wrapping is no encryption. */
#ifndef ENVOL_TESTS_LIMITED_SERVICE_H
#define ENVOL_TESTS_LIMITED_SERVICE_H

#include <envol/provider.h>
#include <pthread.h>
#include <stdatomic.h>

struct limited_service {
    pthread_mutex_t lock;
    double rate, burst; /* calls a second, and how many at once; 0: no limit */
    double tokens;
    uint64_t refilled_us;
    unsigned latency_us;
    const enum envol_status *script; /* answers of the first calls; then ENVOL_OK */
    unsigned script_length;
    atomic_int always; /* a status, if not ENVOL_OK: of all calls */
    atomic_uint calls, throttled, in_flight, most_in_flight;
};

void limited_service_init(struct limited_service *service);
/* Any number of handles.  The service must outlive them. */
struct envol_provider *limited_service_open(struct limited_service *service);

#endif
