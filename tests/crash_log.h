/* SPDX-License-Identifier: BSD-2-Clause */
/* What the halves of the crash store share: the log of the calls of a store, and of a space beside
 * it. */
#ifndef ENVOL_TESTS_CRASH_LOG_H
#define ENVOL_TESTS_CRASH_LOG_H

#include "crash_store.h"

#include <envol/space.h>
#include <pthread.h>
#include <stdbool.h>

enum crash_call_kind {
    CRASH_WRITE,
    CRASH_RESIZE,
    CRASH_DISCARD,
    CRASH_SYNC,
    CRASH_FAILED_SYNC,
    CRASH_NAME /* a file gets the name in data, or, without data, loses the one it has */
};

struct crash_call {
    enum crash_call_kind kind;
    size_t file;
    uint64_t offset; /* CRASH_RESIZE: the new size */
    size_t bytes;
    uint8_t *data;
};

/* File 0 is the store itself, and has no name; those of a space live on nameless. */
struct crash_file {
    size_t number;
    struct envol_store *inner; /* a handle of the log's own */
    char name[ENVOL_SPACE_NAME_MAX + 1];
    char base_name[ENVOL_SPACE_NAME_MAX + 1];
    uint8_t *base; /* stable before the first call */
    size_t base_bytes;
};

struct crash_store {
    pthread_mutex_t lock;
    unsigned handles;
    struct crash_file **files;
    size_t file_count;
    struct crash_call *calls;
    size_t count, capacity;
    unsigned fail_in;
    enum crash_fault fault;
    bool failed;
};

/* Zeroed memory; fails the test if there is none. */
void *crash_alloc(size_t bytes);

/* With the lock held.  A call to the log, its data copied; and whether it is the one to fail. */
void crash_append(struct crash_store *crash, const struct crash_call *call, const void *data);
bool crash_is_faulty(struct crash_store *crash);
/* A new file, without a name yet, with these bytes on stable storage. */
struct crash_file *crash_add_file(struct crash_store *crash, const uint8_t *image, size_t bytes);

/* A handle to a file; one user more, and one less. */
struct envol_store *crash_open_file(struct crash_store *crash, struct crash_file *file);
void crash_hold(struct crash_store *crash);
void crash_let_go(struct crash_store *crash);

#endif
