/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: the caller's allocator for what is not secret, and figures on the locked arena in which
 * every key lives.  envol_memory(3).
 */
#ifndef ENVOL_MEMORY_H
#define ENVOL_MEMORY_H

#include <envol/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * alloc returns memory of at least bytes, aligned to align (a power of two, at most 4096), or NULL;
 * free takes what alloc returned, never NULL.  Both are called from any thread.
 */
struct envol_allocator {
    size_t struct_size;
    void *ctx;
    void *(*alloc)(void *ctx, size_t bytes, size_t align);
    void (*free)(void *ctx, void *memory);
};

/*
 * Sets the allocator of the process for memory that holds no key.  The struct is borrowed and must
 * outlive every handle; NULL restores the C library's.  Call it before any other call of the
 * library: while a handle is open it must not change.  ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_set_allocator(const struct envol_allocator *allocator);

/* What the arena holds now, in bytes.  struct_size is the caller's. */
struct envol_memory_stats {
    size_t struct_size;
    size_t used_bytes;     /* given out to keys, lanes and objects */
    size_t locked_bytes;   /* mapped and locked, guard pages not counted */
    size_t unlocked_bytes; /* mapped under ENVOL_OPEN_ALLOW_UNLOCKED because locking failed */
};

/* Any thread.  ENVOL_E_ARGUMENT for a NULL or short struct. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_memory_stats(struct envol_memory_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
