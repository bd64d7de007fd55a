/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Syncs of a file.  Linux reports a failed write-back once for each open file description and then
 * forgets the pages: a later fsync that succeeds says nothing about them, and of two at once only
 * one is told.  So the first failure is the answer from then on, and one thread at a time syncs.
 * Those that come meanwhile share the next sync, which begins after all of them asked.
 */
#include "store/file_sync.h"

#include "base/arena.h"
#include <errno.h>
#include <unistd.h>

bool envol_file_syncs_open(struct envol_file_syncs *syncs)
{
    if (pthread_mutex_init(&syncs->lock, NULL) != 0)
        return false;
    if (pthread_cond_init(&syncs->ended, NULL) != 0) {
        pthread_mutex_destroy(&syncs->lock);
        return false;
    }
    syncs->generation = envol_process_generation();
    return true;
}

/* A thread of the parent may have held the lock, or waited, when a child was forked. */
static bool is_own(const struct envol_file_syncs *syncs)
{
    return syncs->generation == envol_process_generation();
}

void envol_file_syncs_close(struct envol_file_syncs *syncs)
{
    if (!is_own(syncs))
        return;
    pthread_cond_destroy(&syncs->ended);
    pthread_mutex_destroy(&syncs->lock);
}

void envol_file_syncs_note_resize(struct envol_file_syncs *syncs)
{
    atomic_fetch_add(&syncs->resizes, 1);
}

/*
 * fdatasync covers what is needed to read the data back, a larger size included; that it covers a
 * smaller size too is no promise, so a resize asks for fsync: of each sync that begins before one
 * has returned, as threads of a child sync side by side.
 */
static int call_kernel(struct envol_file_syncs *syncs, int fd)
{
    uint64_t resizes = atomic_load(&syncs->resizes);
    uint64_t synced = atomic_load(&syncs->resizes_synced);
    int result;

    do
        result = synced < resizes ? fsync(fd) : fdatasync(fd);
    while (result != 0 && errno == EINTR);
    while (result == 0 && synced < resizes &&
           !atomic_compare_exchange_weak(&syncs->resizes_synced, &synced, resizes))
        ;
    return result;
}

static void sync_once(struct envol_file_syncs *syncs, int fd)
{
    if (atomic_load(&syncs->failed_errno) == 0 && call_kernel(syncs, fd) != 0)
        atomic_store(&syncs->failed_errno, errno);
}

/* Holds the lock, but for the sync. */
static void lead(struct envol_file_syncs *syncs, int fd)
{
    syncs->busy = true;
    syncs->begun++;
    pthread_mutex_unlock(&syncs->lock);
    sync_once(syncs, fd);
    pthread_mutex_lock(&syncs->lock);
    syncs->busy = false;
    pthread_cond_broadcast(&syncs->ended);
}

/* One that is under way may have begun before what this thread wrote: the one after it counts. */
static void sync_in_turn(struct envol_file_syncs *syncs, int fd)
{
    uint64_t wanted;

    pthread_mutex_lock(&syncs->lock);
    wanted = syncs->begun + 1;
    while (syncs->begun - syncs->busy < wanted) {
        if (syncs->busy)
            pthread_cond_wait(&syncs->ended, &syncs->lock);
        else
            lead(syncs, fd);
    }
    pthread_mutex_unlock(&syncs->lock);
}

enum envol_status envol_file_sync(struct envol_file_syncs *syncs, int fd)
{
    int failed;

    if (is_own(syncs))
        sync_in_turn(syncs, fd);
    else
        sync_once(syncs, fd);
    failed = atomic_load(&syncs->failed_errno);
    if (failed == 0)
        return ENVOL_OK;
    errno = failed;
    return ENVOL_E_IO;
}
