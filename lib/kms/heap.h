/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * free and realloc for libcurl, which frees what it sent as it is: requests hold tokens, and a DEK
 * where one is wrapped.  Blocks are malloc's: whoever gets one of libcurl's may free it.
 */
#ifndef ENVOL_KMS_HEAP_H
#define ENVOL_KMS_HEAP_H

#include <stddef.h>

/* Wipes the block, in the case of resize the old one. */
void envol_kms_heap_free(void *block);
void *envol_kms_heap_resize(void *block, size_t bytes);

#endif
