/* SPDX-License-Identifier: BSD-2-Clause */
/* The benchmark's clocks, and what it takes from many samples. */
#include "bench.h"

#include <stdlib.h>
#include <time.h>

double bench_now(enum bench_clock clock)
{
    struct timespec now;

    clock_gettime(clock == BENCH_CPU ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

double bench_median(double *samples, size_t count)
{
    qsort(samples, count, sizeof(*samples), compare);
    return count % 2 == 1 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
}
