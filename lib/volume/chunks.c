/* SPDX-License-Identifier: BSD-2-Clause */
/* A hash table of chunk numbers: linear probing, at most half full. */
#include "volume/chunks.h"

#include "base/memory.h"

enum { FIRST_CAPACITY = 64 };

/* Fibonacci hashing: consecutive numbers are spread, whatever their stride. */
static size_t place_of(const struct envol_chunks *chunks, uint64_t number)
{
    uint64_t hash = number * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(hash >> 32) & (chunks->capacity - 1);

    while (chunks->places[i].at != 0 && chunks->places[i].number != number)
        i = (i + 1) & (chunks->capacity - 1);
    return i;
}

uint64_t envol_chunks_find(const struct envol_chunks *chunks, uint64_t number)
{
    return chunks->capacity == 0 ? 0 : chunks->places[place_of(chunks, number)].at;
}

bool envol_chunks_reserve(struct envol_chunks *chunks, size_t more)
{
    struct envol_chunks wider = {.capacity = chunks->capacity};

    if (more > SIZE_MAX / 8 / sizeof(struct envol_chunk) - chunks->count)
        return false;
    if (wider.capacity == 0)
        wider.capacity = FIRST_CAPACITY;
    while (wider.capacity / 2 < chunks->count + more)
        wider.capacity *= 2;
    if (wider.capacity == chunks->capacity)
        return true;
    wider.places =
        envol_alloc(wider.capacity * sizeof(wider.places[0]), _Alignof(struct envol_chunk));
    if (wider.places == NULL)
        return false;
    for (size_t i = 0; i < chunks->capacity; i++)
        if (chunks->places[i].at != 0)
            envol_chunks_put(&wider, chunks->places[i].number, chunks->places[i].at);
    envol_free(chunks->places);
    *chunks = wider;
    return true;
}

void envol_chunks_put(struct envol_chunks *chunks, uint64_t number, uint64_t at)
{
    struct envol_chunk *place = &chunks->places[place_of(chunks, number)];

    if (place->at != 0)
        return;
    *place = (struct envol_chunk){.number = number, .at = at};
    chunks->count++;
}

void envol_chunks_free(struct envol_chunks *chunks)
{
    envol_free(chunks->places);
    *chunks = (struct envol_chunks){.capacity = 0};
}
