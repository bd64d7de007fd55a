/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stores as the library calls them: ranges and alignment are checked before, what a vtable answers
 * after, and failures are put into words.  Nothing in lib/ calls a store's vtable but store.c.
 */
#ifndef ENVOL_STORE_STORE_H
#define ENVOL_STORE_STORE_H

#include <envol/store.h>
#include <stdatomic.h>
#include <stdbool.h>

/* The first offset that no store has: file offsets are signed. */
#define ENVOL_STORE_END (UINT64_C(1) << 63)

/* How long a lock that is asked for with `wait` is waited for; then ENVOL_E_BUSY. */
#define ENVOL_LOCK_WAIT_MS 10000u

struct envol_store {
    struct envol_store_vtable vtable; /* whole, whatever version the caller's is of */
    void *state;
    uint32_t alignment_bytes;
    uint64_t generation;  /* of the process that opened it */
    _Atomic bool claimed; /* a volume is open on it, or being opened */
};

/*
 * All of these: error may be NULL, is filled on failure, and not touched on success.  A range that
 * ends beyond 2^63 - 1 is ENVOL_E_RANGE; an offset, length or buffer that is not aligned is
 * ENVOL_E_ARGUMENT.  Any thread.
 */

/* *got bytes, fewer than asked for only at the end; the rest of the buffer is zeroed. */
enum envol_status envol_store_read(struct envol_store *store, uint64_t offset, void *buffer,
                                   size_t bytes, size_t *got, struct envol_error *error);
/* All bytes, or ENVOL_E_TRUNCATED and zeros. */
enum envol_status envol_store_read_full(struct envol_store *store, uint64_t offset, void *buffer,
                                        size_t bytes, struct envol_error *error);
enum envol_status envol_store_write(struct envol_store *store, uint64_t offset, const void *buffer,
                                    size_t bytes, struct envol_error *error);
enum envol_status envol_store_sync(struct envol_store *store, struct envol_error *error);
/* 0 on failure. */
enum envol_status envol_store_size(struct envol_store *store, uint64_t *bytes,
                                   struct envol_error *error);
enum envol_status envol_store_resize(struct envol_store *store, uint64_t bytes,
                                     struct envol_error *error);
/* The range must lie within the store (ENVOL_E_RANGE).  ENVOL_E_UNSUPPORTED: it cannot discard. */
enum envol_status envol_store_discard(struct envol_store *store, uint64_t offset, uint64_t bytes,
                                      struct envol_error *error);
/*
 * Locks belong to the handle: two volumes on one handle would share each other's.  A volume claims
 * its store first; false if another one has it.
 */
bool envol_store_claim(struct envol_store *store);
void envol_store_release(struct envol_store *store);
bool envol_store_is_claimed(const struct envol_store *store);
/*
 * ENVOL_E_FORKED in a forked child: the handle is the parent's.  A child shares its parent's file
 * description or connection, so that a lock would exclude neither from the other.
 */
enum envol_status envol_store_check_owner(const struct envol_store *store,
                                          struct envol_error *error);
/*
 * In a forked child ENVOL_E_FORKED, and ENVOL_LOCK_NONE does nothing: it would drop the parent's.
 * ENVOL_E_BUSY leaves the lock as it was.  Two handles that hold a lock shared and both wait for it
 * exclusively wait in vain: ask for the exclusive lock at once.
 */
enum envol_status envol_store_lock(struct envol_store *store, enum envol_store_lock lock,
                                   enum envol_lock_mode mode, int wait, struct envol_error *error);

#endif
