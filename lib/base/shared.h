/* SPDX-License-Identifier: BSD-2-Clause */
/* A word of memory that stays one and the same in forked children: news that reaches them. */
#ifndef ENVOL_BASE_SHARED_H
#define ENVOL_BASE_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

/* 0 at first, in a page of its own; NULL: out of memory.  Never for a secret: it is not locked. */
_Atomic uint64_t *envol_shared_word(void);
/* In a child only the child's view of it goes.  NULL is ignored. */
void envol_shared_word_free(_Atomic uint64_t *word);

#endif
