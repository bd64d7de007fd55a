/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lease, and what its parts do for one another.  The volume's turn is held by whoever checks,
 * judges, unlocks or calls back; lock protects what others may ask for meanwhile, and is held for
 * moments only.  Order: turn, access, growth, lock.
 */
#ifndef ENVOL_VOLUME_LEASE_H
#define ENVOL_VOLUME_LEASE_H

#include "volume/volume.h"

#include <envol/lease.h>

struct envol_lease {
    struct envol_volume *volume;
    struct envol_lease_options options; /* defaults filled in */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread's: it is to stop, or the schedule changed */
    pthread_t thread;
    bool has_thread;
    bool scheduled;               /* lock; false: the next run starts the clock */
    bool stop;                    /* lock */
    int cancel;                   /* given to providers; atomic */
    struct envol_lease_info info; /* lock */
};

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t envol_lease_clock(void);

/* lease_state.c; all hold turn */
/* Does what is due at now_ms, 0: now. */
void envol_lease_run(struct envol_lease *lease, uint64_t now_ms);
/* The volume was unlocked: as after a check that succeeded. */
void envol_lease_renew(struct envol_lease *lease);

/* lease_check.c: one provider call, by whoever holds turn.  ENVOL_OK: it gave the DEK. */
enum envol_status envol_lease_check(struct envol_lease *lease, struct envol_error *error);
/* Whether an answer is about the key, and not about the way to it. */
bool envol_lease_is_refusal(enum envol_status status);

/* lease_thread.c */
/* ENVOL_E_NO_MEMORY: no thread. */
enum envol_status envol_lease_thread_start(struct envol_lease *lease);
/* False: called by the thread itself, which cannot wait for its own end. */
bool envol_lease_thread_stop(struct envol_lease *lease);

#endif
