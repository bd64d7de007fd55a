/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arena: the only memory in which keys live longer than one call.  Private mappings between
 * guard pages, locked, left out of core dumps, in slabs of 64 bytes; wiped in a forked child unless
 * asked for otherwise.  It also tells a forked child from its parent.
 */
#ifndef ENVOL_BASE_ARENA_H
#define ENVOL_BASE_ARENA_H

#include <envol/header.h>
#include <stdbool.h>

#define ENVOL_ARENA_ALIGN 64u

/*
 * flags are ENVOL_OPEN_INHERIT and ENVOL_OPEN_ALLOW_UNLOCKED.  *memory is zeroed and aligned to 64
 * bytes, NULL on failure.  Takes a lock: never on the page path.
 * ENVOL_E_LOCKED_MEMORY (RLIMIT_MEMLOCK, without ALLOW_UNLOCKED), ENVOL_E_NO_MEMORY, ENVOL_E_RANGE
 * (more than a region holds, 60 KiB).
 */
enum envol_status envol_arena_alloc(size_t bytes, uint32_t flags, void **memory);
/*
 * Wipes and gives back; bytes as they were asked for.  NULL is ignored.  One empty region of each
 * class is kept locked for the next caller; others give their pages and their lock back.
 */
void envol_arena_free(void *memory, size_t bytes);
/* False for memory in a region that could not be locked, or not again in this child. */
bool envol_arena_is_locked(const void *memory);

/* Whether memory that is not locked is in use among what was allocated with such flags. */
bool envol_arena_uses_unlocked(uint32_t flags);

/*
 * Number of this process: differs, in every forked child and however it was forked, from all that
 * its ancestors had been told before.  Two loads, no lock and no system call, but for the first
 * call in a process.  0, which is no process's number: the arena's first page could not be mapped.
 */
uint64_t envol_process_generation(void);

/*
 * May a handle of process `generation`, opened with flags, be used here?  ENVOL_E_FORKED in a child
 * without ENVOL_OPEN_INHERIT; ENVOL_E_LOCKED_MEMORY in a child whose copy of the arena could not be
 * locked again, without ENVOL_OPEN_ALLOW_UNLOCKED.  ENVOL_E_NO_MEMORY: the generation is 0.
 */
enum envol_status envol_process_check(uint64_t generation, uint32_t flags);

#endif
