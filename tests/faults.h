/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults on order: the n-th allocation, or the n-th call of a store, and a count of what is held.
 */
#ifndef ENVOL_TESTS_FAULTS_H
#define ENVOL_TESTS_FAULTS_H

#include <envol/store.h>
#include <stdbool.h>

enum fault {
    FAULT_ALLOC,        /* the caller's allocator answers NULL */
    FAULT_MALLOC,       /* for a test's own posix_memalign, which asks faults_strike */
    FAULT_EIO,          /* any store call; a write has written its first half */
    FAULT_ENOSPC,       /* write, resize or discard; nothing is done */
    FAULT_SHORT,        /* read: half of the bytes, as if the store ended there */
    FAULT_EMPTY,        /* read: none */
    FAULT_HEADER_WRITE, /* write within the header: EIO, nothing is done */
    FAULTS
};

/* What was struck. */
enum fault_place {
    FAULT_AT_NOTHING,
    FAULT_AT_MEMORY,
    FAULT_AT_PROVIDER, /* for tests that count those calls elsewhere */
    FAULT_AT_READ,
    FAULT_AT_WRITE,
    FAULT_AT_SYNC,
    FAULT_AT_SIZE,
    FAULT_AT_RESIZE,
    FAULT_AT_DISCARD,
    FAULT_AT_LOCK,
    FAULT_AT_UNLOCK /* it is unlocked all the same, as a closed descriptor would be */
};

/* The n-th from now on (1: the next); with for_good all that follow it as well. */
void faults_arm(enum fault fault, unsigned nth, bool for_good);
/* Nothing fails any more.  Where it struck first since it was armed. */
enum fault_place faults_disarm(void);
/* One more of these happens: does it fail?  Any thread. */
bool faults_strike(enum fault fault, enum fault_place place);

/* The allocator that fails and counts.  Set it before the first handle. */
void faults_set_allocator(void);
/* What it gave out and did not get back; what the arena holds. */
size_t faults_allocations(void);
size_t faults_locked_bytes(void);

/* A store that fails, over one in memory. */
struct envol_store *faults_store_new(void);

#endif
