/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One region of the arena: 64 KiB of slabs between two guard pages, and its bookkeeping in a page
 * of ordinary memory before them.  Regions are never unmapped, so that a list of them can be walked
 * without a lock; an idle one gives its pages and its lock back.
 *
 * Whoever calls must hold the arena's lock, but for the functions that say otherwise.
 */
#ifndef ENVOL_BASE_REGION_H
#define ENVOL_BASE_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENVOL_SLAB_BYTES = 64,
    ENVOL_REGION_BYTES = 65536,
    ENVOL_REGION_SLABS = ENVOL_REGION_BYTES / ENVOL_SLAB_BYTES
};

/*
 * LOCKED: locked, and left out of core dumps.  UNLOCKED: that failed, and callers agreed.  LOST:
 * was locked in the parent, and could not be locked again in this child.  IDLE: empty, and not
 * locked.
 */
enum envol_region_kind {
    ENVOL_REGION_IDLE,
    ENVOL_REGION_LOCKED,
    ENVOL_REGION_UNLOCKED,
    ENVOL_REGION_LOST
};

struct envol_region {
    _Atomic(struct envol_region *) next;
    uint8_t *payload;
    bool inherit;      /* contents stay in a forked child */
    bool wipe_by_hand; /* the kernel knows no MADV_WIPEONFORK */
    /* Kind, and the process generation for which it holds: a child inherits no memory lock. */
    _Atomic uint64_t state;
    size_t used_slabs;
    uint64_t used[ENVOL_REGION_SLABS / 64];
};

/* An idle region, or NULL. */
struct envol_region *envol_region_map(bool inherit);

/* Any thread.  What was set in a parent process answers as what became of it here. */
enum envol_region_kind envol_region_kind(const struct envol_region *region, uint64_t generation);

/*
 * Makes region one that is locked in this process, or says false.  When it cannot be locked it is
 * left as it was, or, with accept_unlocked, used as it is, UNLOCKED or LOST.
 */
bool envol_region_ready(struct envol_region *region, uint64_t generation, bool accept_unlocked);

/*
 * In a child: locks again what was locked in the parent; false if that failed.  Needs no lock: any
 * number of threads may do it at once.
 */
bool envol_region_relock(struct envol_region *region, uint64_t generation);

/* First run of free slabs, marked as used; NULL if there is none. */
void *envol_region_take(struct envol_region *region, size_t slabs);
/* Memory must be wiped. */
void envol_region_give(struct envol_region *region, void *memory, size_t slabs);
/* Gives the pages of an empty region back to the system. */
void envol_region_retire(struct envol_region *region);

/* Any thread. */
bool envol_region_holds(const struct envol_region *region, const void *memory);

#endif
