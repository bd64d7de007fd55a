/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a snapshot's file has the records of which chunk: an open table of numbers. */
#ifndef ENVOL_VOLUME_CHUNKS_H
#define ENVOL_VOLUME_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct envol_chunk {
    uint64_t number;
    uint64_t at; /* of its first record in the file; 0: an empty place */
};

struct envol_chunks {
    struct envol_chunk *places;
    size_t capacity; /* 0, or a power of two */
    size_t count;
};

/* 0 if it is not there. */
uint64_t envol_chunks_find(const struct envol_chunks *chunks, uint64_t number);
/* Makes room for so many more: what is put then cannot fail.  False: no memory. */
bool envol_chunks_reserve(struct envol_chunks *chunks, size_t more);
/* A number that is there keeps its place.  at is not 0. */
void envol_chunks_put(struct envol_chunks *chunks, uint64_t number, uint64_t at);
void envol_chunks_free(struct envol_chunks *chunks);

#endif
