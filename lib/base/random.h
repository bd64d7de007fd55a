/* SPDX-License-Identifier: BSD-2-Clause */
/* Random bytes from the kernel, drawn when they are used: nothing is buffered, nothing left over.
 */
#ifndef ENVOL_BASE_RANDOM_H
#define ENVOL_BASE_RANDOM_H

#include <envol/status.h>
#include <stdint.h>

/*
 * Fills out, which holds zeros on failure.  Interrupted and short reads go on; a failed one, or a
 * source that repeats itself (two draws running, of whatever thread, begin with the same 8 bytes,
 * or all bytes of a draw of 12 or more are equal; each by chance about once in 2^63), is
 * ENVOL_E_RANDOM.
 */
enum envol_status envol_random(void *out, size_t bytes);

/*
 * The same for draws that may not repeat one another, of one thread at a time and too many to share
 * a word of memory with all others: _first is envol_random and begins such a sequence, _next
 * compares with the draw before it in the sequence alone.
 */
enum envol_status envol_random_first(void *out, size_t bytes, uint64_t *last);
enum envol_status envol_random_next(void *out, size_t bytes, uint64_t *last);

#endif
