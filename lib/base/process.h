/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the arena and the process generation; everybody else uses base/arena.h. */
#ifndef ENVOL_BASE_PROCESS_H
#define ENVOL_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* What the child handler of fork calls when the kernel does not wipe by itself. */
void envol_process_forget(void);

/* Registers the fork handlers of the arena, once.  False: out of memory. */
bool envol_arena_guard_fork(void);
/* In a child, by any number of threads at once, without a lock: false if a memory lock is lost. */
bool envol_arena_relock(uint64_t generation);

#endif
