/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store in memory that is watched: it counts calls, fails the n-th, plays a device of a fixed
 * size, and holds every write of a record against the header that was synced before it (envol(7),
 * CRASHES: the two rules of growth).
 */
#ifndef ENVOL_TESTS_WATCHED_STORE_H
#define ENVOL_TESTS_WATCHED_STORE_H

#include <envol/store.h>
#include <stdbool.h>

enum watched_call {
    WATCHED_READ,
    WATCHED_WRITE,
    WATCHED_SYNC,
    WATCHED_SIZE,
    WATCHED_RESIZE,
    WATCHED_DISCARD,
    WATCHED_LOCK,
    WATCHED_CALLS
};

struct watched_store;

/* Lives as long as its store.  Fails the test if there is no memory. */
struct watched_store *watched_store_new(struct envol_store **store);
/* Another handle to the same bytes, with locks of its own. */
struct envol_store *watched_store_share(struct watched_store *watched);

unsigned watched_calls(const struct watched_store *watched, enum watched_call call);
/* How often a header copy was written. */
unsigned watched_header_writes(const struct watched_store *watched);
/* The n-th call from now on (1: the next) fails with a status; then all work again.  A write that
 * fails has written its first half. */
void watched_fail(struct watched_store *watched, enum watched_call call, unsigned nth,
                  enum envol_status status);
/* From now on the size cannot be changed. */
void watched_fix_size(struct watched_store *watched);
/* From now on it has no discard. */
void watched_drop_discard(struct watched_store *watched);
/* From now on a write or cut that breaks the rules of a GCM volume fails the test. */
void watched_hold_rules(struct watched_store *watched);
/* From now on reads of a record see its first half in a later version, for a few times. */
void watched_tear_reads(struct watched_store *watched, uint64_t offset, size_t bytes,
                        unsigned times);
/* Each time another version, at most 255 times, or the same. */
void watched_tear_anew(struct watched_store *watched, bool anew);
/* From now on reads that touch this byte fail (EIO); 0: none does. */
void watched_bad_sector(struct watched_store *watched, uint64_t offset);
/* From now on a write of a record waits in its middle; 0: no more. */
void watched_slow_writes(struct watched_store *watched, unsigned ms);
/* Whether one waits, or has waited. */
bool watched_has_waited(const struct watched_store *watched);

/* The n-th call from now on (1: the next) stays where it is until watched_go_on: a write in its
 * middle, a read when the bytes were read, and others before they do anything.  A halt is one of a
 * kind of call. */
void watched_halt(struct watched_store *watched, enum watched_call call, unsigned nth);
/* Waits until it is there; false: `done` became true first. */
bool watched_await_halt(struct watched_store *watched, enum watched_call call,
                        const _Atomic bool *done);
/* Lets it go on, or forgets the halt if none came. */
void watched_go_on(struct watched_store *watched, enum watched_call call);

#endif
