/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run of pages that a sweep is at.  A sweep reads records, seals them again and writes them
 * back: who writes such a page meanwhile would have it undone.  So the sweep claims the run, which
 * waits for those who are inside it and lets nobody else in, and releases it afterwards.
 *
 * Where readers have to be told apart from the sweep, too, they need not wait for its syncs: a
 * claim of writes lets them in.  They read the store as long as nothing is written there, and a
 * copy of what is going to be there from then on.
 *
 * Guests may overlap one another.  Claims are made by one thread at a time.  Both are made and
 * ended within one hold of the volume's access lock, and outside of growth.
 */
#ifndef ENVOL_VOLUME_HOT_H
#define ENVOL_VOLUME_HOT_H

#include <envol/status.h>
#include <pthread.h>
#include <stdbool.h>

/* Records of pages in memory, end not included. */
struct envol_hot_copy {
    const uint8_t *records; /* NULL: there is none */
    uint64_t first, end;
};

/* Who is at pages from first on, end not included.  On the stack of the call. */
struct envol_hot_guest {
    bool inside; /* the guest's own to know */
    bool reads;
    struct envol_hot_copy copy; /* to be read in place of the store, until it leaves */
    uint64_t first, end;
    struct envol_hot_guest *next;
    struct envol_hot_guest **link; /* what points here */
};

struct envol_hot {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t first, end; /* claimed; equal for none */
    bool is_shared;      /* readers are let in */
    struct envol_hot_copy copy;
    /* The claim's owner failed half-way: nobody knows what the pages hold, and what is beyond the
     * last page is needed to mend it. */
    bool stuck;
    struct envol_hot_guest *guests;
};

/* False: no memory. */
bool envol_hot_init(struct envol_hot *hot);
void envol_hot_destroy(struct envol_hot *hot);

/* Waits while a claim overlaps that does not let the guest in; end is UINT64_MAX for guests beyond
 * the last page.  ENVOL_E_IO: the claim is stuck; the guest is not inside then. */
enum envol_status envol_hot_enter(struct envol_hot *hot, struct envol_hot_guest *guest,
                                  uint64_t first, uint64_t end, bool reads);
/* A guest that is not inside is ignored. */
void envol_hot_leave(struct envol_hot *hot, struct envol_hot_guest *guest);

/* Claims a run, in place of a stuck claim too, and waits for the guests in it. */
void envol_hot_claim(struct envol_hot *hot, uint64_t first, uint64_t end);
/* The same of writers alone. */
void envol_hot_claim_writes(struct envol_hot *hot, uint64_t first, uint64_t end);
/* Has readers read the claimed run's records here from now on, and waits for those who are at the
 * store.  The records stay as they are until the claim is released or kept. */
void envol_hot_serve(struct envol_hot *hot, const uint8_t *records);
/* Lets everybody in again, and waits for those who read a copy. */
void envol_hot_release(struct envol_hot *hot);
/* Keeps the claim, and waits likewise: guests fail until the next claim is released. */
void envol_hot_keep(struct envol_hot *hot);

#endif
