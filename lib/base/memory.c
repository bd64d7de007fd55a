/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that holds no key, from the caller's allocator; and wiping and comparing memory that does.
 */
#include "base/memory.h"
#include "base/sized.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *ctx, size_t bytes, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    return posix_memalign(&memory, align, bytes) == 0 ? memory : NULL;
}

static void default_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static const struct envol_allocator c_library = {
    .struct_size = sizeof(struct envol_allocator),
    .alloc = default_alloc,
    .free = default_free,
};

static _Atomic(const struct envol_allocator *) allocator = &c_library;

enum envol_status envol_set_allocator(const struct envol_allocator *chosen)
{
    struct envol_allocator whole;

    if (chosen == NULL)
        chosen = &c_library;
    if (!ENVOL_TAKE(allocator, chosen, &whole) || chosen->alloc == NULL || chosen->free == NULL)
        return ENVOL_E_ARGUMENT;
    atomic_store_explicit(&allocator, chosen, memory_order_release);
    return ENVOL_OK;
}

void *envol_alloc(size_t bytes, size_t align)
{
    const struct envol_allocator *from = atomic_load_explicit(&allocator, memory_order_acquire);
    void *memory;

    /* posix_memalign asks for a multiple of a pointer's size; no allocator should see zero bytes.
     */
    if (align < sizeof(void *))
        align = sizeof(void *);
    if (bytes == 0)
        bytes = 1;
    memory = from->alloc(from->ctx, bytes, align);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

void envol_free(void *memory)
{
    const struct envol_allocator *to = atomic_load_explicit(&allocator, memory_order_acquire);

    if (memory != NULL)
        to->free(to->ctx, memory);
}

void envol_wipe(void *memory, size_t bytes)
{
    if (bytes > 0)
        explicit_bzero(memory, bytes);
}

int envol_equal(const void *a, const void *b, size_t bytes)
{
    return sodium_memcmp(a, b, bytes) == 0;
}

int envol_is_zero(const void *memory, size_t bytes)
{
    const unsigned char *first = memory;

    /* All bytes equal their successor, and the first is zero: memcmp runs at memory speed. */
    return bytes == 0 || (first[0] == 0 && memcmp(first, first + 1, bytes - 1) == 0);
}
