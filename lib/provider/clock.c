/* SPDX-License-Identifier: BSD-2-Clause */
/* The real clock, and the pointer that tests move. */
#include "provider/clock.h"

#include "base/random.h"
#include <stdatomic.h>
#include <time.h>

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static struct timespec timespec_of(uint64_t us)
{
    return (struct timespec){.tv_sec = (time_t)(us / 1000000u),
                             .tv_nsec = (long)(us % 1000000u) * 1000};
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us)
{
    const struct timespec until = timespec_of(until_us);

    pthread_cond_timedwait(cond, lock, &until);
}

static void sleep_until(uint64_t until_us)
{
    const struct timespec until = timespec_of(until_us);

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* Without randomness every wait is as long as it may be: slow, and harmless. */
static double chance(void)
{
    uint64_t word = UINT64_MAX;

    if (envol_random(&word, sizeof(word)) != ENVOL_OK)
        word = UINT64_MAX;
    return (double)(word >> 11) / (double)(UINT64_C(1) << 53);
}

static const struct envol_clock real = {now_us, wait_until, sleep_until, chance};
static _Atomic(const struct envol_clock *) current = &real;

void envol_clock_set(const struct envol_clock *clock)
{
    atomic_store(&current, clock != NULL ? clock : &real);
}

const struct envol_clock *envol_clock(void)
{
    return atomic_load(&current);
}

int envol_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);

    if (failed != 0)
        return 0;
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (failed == 0)
        failed = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return failed == 0;
}
