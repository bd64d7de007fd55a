/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks that are wiped when they are freed, and when they move. */
#include "kms/heap.h"

#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void envol_kms_heap_free(void *block)
{
    if (block != NULL)
        sodium_memzero(block, malloc_usable_size(block));
    free(block);
}

/* realloc would leave the old block as it is. */
void *envol_kms_heap_resize(void *block, size_t bytes)
{
    size_t old = block == NULL ? 0 : malloc_usable_size(block);
    void *moved = malloc(bytes);

    if (moved == NULL)
        return NULL;
    if (block != NULL)
        memcpy(moved, block, old < bytes ? old : bytes);
    envol_kms_heap_free(block);
    return moved;
}
