/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store that remembers what a crash could have left of it.
 *
 * It is a store in memory that records every write, resize, discard and sync in order.  Nothing is
 * on stable storage before a sync has returned; until then each call may be lost, done, or (a
 * write) done in part, each on its own, whatever came after it.  A sync that fails leaves what it
 * should have synced in that state for good, as Linux does since the pages count as clean
 * afterwards: it is still read back, no later sync saves it, only writing it again does.
 *
 *     struct envol_store *store;
 *     struct crash_store *crash = crash_store_new(NULL, 0, &store);
 *     ... use the store, as a whole program would ...
 *     crash_store_replay(crash, &options, check, &ctx);
 *     envol_store_close(store);
 *
 * crash_store_replay calls check with every image that a crash at any moment of this history could
 * have left.  A check opens the image (crash_store_new makes a new store of it, locks and cache of
 * the dead process gone) and asserts what must hold.  crash_store_calls, taken while the history is
 * made, tells a check what had been promised by then:
 *
 *     ck_ok(envol_volume_sync(volume));
 *     promised = crash_store_calls(crash);
 *     ... and in check: if (image->calls >= promised) the pages must be there.
 *
 * Images of one moment:
 *
 *     all that was synced, and of the calls that were not:
 *     - up to 4: each lost, done, torn in its first or in its last half, in all combinations;
 *     - more: all lost, all done, each one lost alone, each one done alone, each done up to a call;
 *     - the last one torn at every sector, its front or its back done, the others all lost or done.
 *
 * Sectors lie at multiples of their size in the store, and are never torn.  Any thread may use the
 * store; only one at a time replays it.
 */
#ifndef ENVOL_TESTS_CRASH_STORE_H
#define ENVOL_TESTS_CRASH_STORE_H

#include <envol/store.h>

struct crash_store;

/* A new history that begins with these bytes on stable storage.  Closing the last handle ends it.
 * Fails the test if there is no memory. */
struct crash_store *crash_store_new(const uint8_t *image, size_t bytes, struct envol_store **store);
/* Another handle to the same bytes, with locks of its own, in the same history. */
struct envol_store *crash_store_share(struct crash_store *crash);

/* How many writes, resizes, discards, syncs and changes of names there were. */
size_t crash_store_calls(const struct crash_store *crash);
/* Forgets the history: what is there now counts as synced.  Only when no sync has failed. */
void crash_store_settle(struct crash_store *crash);

/* How much of a failing write, resize or discard is done nevertheless. */
enum crash_fault { CRASH_FAULT_NOTHING, CRASH_FAULT_HALF, CRASH_FAULT_ALL };

/* The n-th call of read, write, resize, discard or sync, or of a space beside it, from now on (1:
 * the next; 0: none) fails, once, with ENVOL_E_IO and errno EIO. */
void crash_store_fail(struct crash_store *crash, unsigned nth, enum crash_fault fault);
/* Whether the call that was to fail has come. */
int crash_store_failed(const struct crash_store *crash);

/* A file of a space beside the store: crash_space.h. */
struct crash_image_file {
    const char *name;
    const uint8_t *bytes;
    size_t size;
};

struct crash_image {
    const uint8_t *bytes;
    size_t size;
    const struct crash_image_file *files;
    size_t file_count;
    size_t calls;      /* that had begun; the last of them may be in progress */
    const char *story; /* which moment, and what became of what was not synced */
};

struct crash_options {
    size_t sector_bytes; /* 0: 512 */
    size_t first_call;   /* moments before that many calls are left out */
};

/* Tools make each image many times as slow: a check looks at one of so many, natively at each. */
unsigned crash_store_sample(unsigned valgrind, unsigned tsan, unsigned other);

/* Each image once and more; the count.  options may be NULL. */
size_t crash_store_replay(struct crash_store *crash, const struct crash_options *options,
                          void (*check)(const struct crash_image *image, void *ctx), void *ctx);

#endif
