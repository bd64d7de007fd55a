/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for key bytes: locked pages, and allocators that wipe for libcurl and jansson. */
#ifndef EVENT_LOOP_SECRET_H
#define EVENT_LOOP_SECRET_H

#include <stddef.h>

/*
 * Both libraries keep answers, with the DEK in base64, in memory of their own: from now on what
 * they free is wiped.  Before any other use of them; -1 if libcurl cannot start.
 */
int secret_libraries(void);

/* Zeros, locked, and in no core dump; NULL if no more memory can be locked. */
void *secret_alloc(size_t bytes);
void secret_free(void *memory, size_t bytes);

#endif
