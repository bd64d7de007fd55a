/* SPDX-License-Identifier: BSD-2-Clause */
/* CLOCK_MONOTONIC as one number. */
#ifndef ENVOL_BASE_CLOCK_H
#define ENVOL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t envol_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t envol_now_ms(void)
{
    return envol_now_ns() / 1000000u;
}

#endif
