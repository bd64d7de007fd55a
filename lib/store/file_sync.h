/* SPDX-License-Identifier: BSD-2-Clause */
/* The syncs of one open file, by any number of threads. */
#ifndef ENVOL_STORE_FILE_SYNC_H
#define ENVOL_STORE_FILE_SYNC_H

#include <envol/status.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct envol_file_syncs {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint64_t generation;      /* of the process that opened it, whose threads take the lock */
    bool busy;                /* a thread syncs; lock */
    uint64_t begun;           /* syncs that were; lock */
    _Atomic uint64_t resizes; /* how many there were */
    _Atomic uint64_t resizes_synced; /* how many of them a sync covered */
    _Atomic int failed_errno;        /* of the first sync that failed */
};

/* False: out of memory. */
bool envol_file_syncs_open(struct envol_file_syncs *syncs);
void envol_file_syncs_close(struct envol_file_syncs *syncs);
/* After the file's size was changed. */
void envol_file_syncs_note_resize(struct envol_file_syncs *syncs);
/* Makes durable what was written before the call.  ENVOL_E_IO and errno: that, or an earlier sync,
 * failed. */
enum envol_status envol_file_sync(struct envol_file_syncs *syncs, int fd);

#endif
