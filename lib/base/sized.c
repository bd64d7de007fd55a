/* SPDX-License-Identifier: BSD-2-Clause */
/* Structs that begin with their size, between the caller's version and the library's. */
#include "base/sized.h"

#include "base/memory.h"

#include <string.h>

/* No struct grows by more: what says so was never set, and is not read to its end. */
#define EXCESS_MAX 4096u

static size_t size_of(const void *given)
{
    size_t size;

    memcpy(&size, given, sizeof(size));
    return size;
}

bool envol_sized_fits(const void *given, size_t known, size_t least)
{
    size_t size = given == NULL ? 0 : size_of(given);

    return size >= least && size <= known + EXCESS_MAX;
}

bool envol_sized_take(const void *given, void *whole, size_t known, size_t least)
{
    size_t size = given == NULL ? known : size_of(given);

    memset(whole, 0, known);
    if (given != NULL && !envol_sized_fits(given, known, least))
        return false;
    if (size > known && !envol_is_zero((const char *)given + known, size - known))
        return false;
    if (given != NULL)
        memcpy(whole, given, size < known ? size : known);
    memcpy(whole, &known, sizeof(known));
    return true;
}

void envol_sized_give(void *given, const void *whole, size_t known)
{
    const size_t head = sizeof(size_t);
    size_t size = size_of(given);
    size_t bytes = size < known ? size : known;

    memcpy((char *)given + head, (const char *)whole + head, bytes - head);
    memset((char *)given + bytes, 0, size - bytes);
}

void envol_sized_clear(void *given)
{
    const size_t head = sizeof(size_t);

    memset((char *)given + head, 0, size_of(given) - head);
}
