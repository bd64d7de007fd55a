/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that ends, and the file that its memory and registers get into. */
#ifndef ENVOL_TESTS_CORES_H
#define ENVOL_TESTS_CORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct core {
    uint8_t *bytes;
    size_t size;
};

/* Whether a core can be had here, made by the kernel or by gdb's gcore; else a counted skip. */
bool core_possible(bool by_debugger);

/*
 * Runs body in a forked child, which dies (or is stopped, for the debugger) at once when body
 * returns 0, and maps the core, which must be whole.  What else body returns fails the test.
 * False, after a counted skip, where the debugger may not trace.
 */
bool core_of(int (*body)(void *), void *argument, bool by_debugger, struct core *core);
/* Wipes the part of the mapping that registers are in. */
void core_forget_registers(struct core *core);
void core_free(struct core *core);

#endif
