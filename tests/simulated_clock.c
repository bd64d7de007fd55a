/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting without waiting. */
#include "simulated_clock.h"

#include "provider/clock.h"

uint64_t simulated_us;

static uint64_t simulated_now(void)
{
    return simulated_us;
}

static void simulated_sleep(uint64_t until_us)
{
    if (until_us > simulated_us)
        simulated_us = until_us;
}

static void simulated_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us)
{
    (void)cond;
    (void)lock;
    simulated_sleep(until_us);
}

static double simulated_draw(void)
{
    return 0.5;
}

void simulate(void)
{
    static const struct envol_clock simulated = {simulated_now, simulated_wait, simulated_sleep,
                                                 simulated_draw};

    simulated_us = 5000000000;
    envol_clock_set(&simulated);
}
