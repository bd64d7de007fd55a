/* SPDX-License-Identifier: BSD-2-Clause */
/* The caller's allocator, or the C library's, for memory that holds no key. */
#ifndef ENVOL_BASE_MEMORY_H
#define ENVOL_BASE_MEMORY_H

#include <envol/memory.h>

/* Zeroed memory aligned to align (a power of two, at most 4096), or NULL. */
void *envol_alloc(size_t bytes, size_t align);
/* NULL is ignored. */
void envol_free(void *memory);

/* Overwrites memory in a way that the compiler keeps. */
void envol_wipe(void *memory, size_t bytes);
/* Constant time in the contents. */
int envol_equal(const void *a, const void *b, size_t bytes);
/* Tells early whether all bytes are zero: for public data only. */
int envol_is_zero(const void *memory, size_t bytes);

#endif
