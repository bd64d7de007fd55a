/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for a lock in slices, with a look at deadline and cancel flag between them. */
#include "volume/wait.h"

#include "base/clock.h"

#include <errno.h>
#include <time.h>

/* How long a cancel flag may go unseen. */
#define SLICE_MS 50u

/* The thread sanitizer knows only the calls that go by the other clock, which somebody may set. */
#ifdef __SANITIZE_THREAD__
#define CLOCK                    CLOCK_REALTIME
#define LOCK_MUTEX(lock, until)  pthread_mutex_timedlock(lock, until)
#define LOCK_SHARED(lock, until) pthread_rwlock_timedrdlock(lock, until)
#else
#define CLOCK                    CLOCK_MONOTONIC
#define LOCK_MUTEX(lock, until)  pthread_mutex_clocklock(lock, CLOCK, until)
#define LOCK_SHARED(lock, until) pthread_rwlock_clockrdlock(lock, CLOCK, until)
#endif

static int lock_mutex(void *lock, const struct timespec *until)
{
    return LOCK_MUTEX(lock, until);
}

static int lock_shared(void *lock, const struct timespec *until)
{
    return LOCK_SHARED(lock, until);
}

static enum envol_status check(const struct envol_patience *patience)
{
    if (patience->cancel_flag != NULL && __atomic_load_n(patience->cancel_flag, __ATOMIC_ACQUIRE))
        return ENVOL_E_CANCELLED;
    if (patience->deadline_ms != 0 && envol_now_ms() >= patience->deadline_ms)
        return ENVOL_E_TIMEOUT;
    return ENVOL_OK;
}

static struct timespec slice_end(const struct envol_patience *patience)
{
    uint64_t now_ms = envol_now_ms(), ms = SLICE_MS;
    struct timespec end;

    if (patience->deadline_ms != 0 && patience->deadline_ms < now_ms + ms)
        ms = patience->deadline_ms > now_ms ? patience->deadline_ms - now_ms : 0;
    clock_gettime(CLOCK, &end);
    end.tv_nsec += (long)ms * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return end;
}

static enum envol_status wait_for(int (*lock)(void *, const struct timespec *), void *what,
                                  const struct envol_patience *patience)
{
    for (;;) {
        const struct timespec until = slice_end(patience);
        int failed = lock(what, &until);
        enum envol_status status;

        if (failed == 0)
            return ENVOL_OK;
        if (failed == EDEADLK)
            return ENVOL_E_STATE;
        status = check(patience);
        if (status != ENVOL_OK)
            return status;
    }
}

enum envol_status envol_wait_mutex(pthread_mutex_t *mutex, const struct envol_patience *patience)
{
    return wait_for(lock_mutex, mutex, patience);
}

enum envol_status envol_wait_shared(pthread_rwlock_t *lock, const struct envol_patience *patience)
{
    return wait_for(lock_shared, lock, patience);
}
