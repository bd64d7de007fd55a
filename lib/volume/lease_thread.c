/* SPDX-License-Identifier: BSD-2-Clause */
/* The thread of a lease that polls by itself. */
#include "volume/lease.h"
#include "volume/wait.h"

#include <signal.h>
#include <time.h>

/* Holds lock.  A lease without a schedule gets one from the first run. */
static bool must_wait(const struct envol_lease *lease)
{
    if (!lease->scheduled)
        return false;
    return lease->info.state == ENVOL_LEASE_INACCESSIBLE ||
           envol_lease_clock() < lease->info.next_check_ms;
}

static void wait_for_more(struct envol_lease *lease)
{
    uint64_t until_ms = lease->info.next_check_ms;
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000) * 1000000};

    if (lease->info.state == ENVOL_LEASE_INACCESSIBLE)
        pthread_cond_wait(&lease->wake, &lease->lock);
    else
        (void)pthread_cond_timedwait(&lease->wake, &lease->lock, &until);
}

/* It may have been stopped while it waited: a check would keep who stops it waiting, too. */
static void run_in_turn(struct envol_lease *lease)
{
    const struct envol_patience patience = {.cancel_flag = &lease->cancel};

    if (envol_wait_mutex(&lease->volume->turn, &patience) != ENVOL_OK)
        return;
    if (!__atomic_load_n(&lease->cancel, __ATOMIC_ACQUIRE))
        envol_lease_run(lease, 0);
    pthread_mutex_unlock(&lease->volume->turn);
}

static void *body(void *argument)
{
    struct envol_lease *lease = argument;

    pthread_setname_np(pthread_self(), "envol-lease");
    pthread_mutex_lock(&lease->lock);
    while (!lease->stop) {
        if (must_wait(lease)) {
            wait_for_more(lease);
            continue;
        }
        pthread_mutex_unlock(&lease->lock);
        run_in_turn(lease);
        pthread_mutex_lock(&lease->lock);
    }
    pthread_mutex_unlock(&lease->lock);
    return NULL;
}

/* Signals are the application's: its handlers must not run here. */
enum envol_status envol_lease_thread_start(struct envol_lease *lease)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&lease->thread, NULL, body, lease);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    lease->has_thread = failed == 0;
    return failed == 0 ? ENVOL_OK : ENVOL_E_NO_MEMORY;
}

bool envol_lease_thread_stop(struct envol_lease *lease)
{
    if (!lease->has_thread)
        return true;
    if (pthread_equal(pthread_self(), lease->thread))
        return false;
    __atomic_store_n(&lease->cancel, 1, __ATOMIC_RELEASE);
    pthread_mutex_lock(&lease->lock);
    lease->stop = true;
    pthread_cond_signal(&lease->wake);
    pthread_mutex_unlock(&lease->lock);
    pthread_join(lease->thread, NULL);
    return true;
}
