/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for key bytes. */
#include "secret.h"

#include <curl/curl.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void wiping_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

/* The C library's own may leave a copy behind when it moves a block. */
static void *wiping_realloc(void *memory, size_t bytes)
{
    size_t had = memory == NULL ? 0 : malloc_usable_size(memory);
    void *moved = malloc(bytes);

    if (moved == NULL)
        return NULL;
    if (had > 0)
        memcpy(moved, memory, had < bytes ? had : bytes);
    wiping_free(memory);
    return moved;
}

int secret_libraries(void)
{
    json_set_alloc_funcs(malloc, wiping_free);
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup,
                                calloc) == CURLE_OK
               ? 0
               : -1;
}

void *secret_alloc(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    if (mlock(memory, bytes) != 0) {
        munmap(memory, bytes);
        return NULL;
    }
    (void)madvise(memory, bytes, MADV_DONTDUMP);
    return memory;
}

void secret_free(void *memory, size_t bytes)
{
    if (memory == NULL)
        return;
    explicit_bzero(memory, bytes);
    munmap(memory, bytes);
}
