/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of the crash store share: the log of a store's calls. */
#ifndef ENVOL_TESTS_CRASH_LOG_H
#define ENVOL_TESTS_CRASH_LOG_H

#include "crash_store.h"

#include <pthread.h>
#include <stdbool.h>

enum crash_call_kind { CRASH_WRITE, CRASH_RESIZE, CRASH_DISCARD, CRASH_SYNC, CRASH_FAILED_SYNC };

struct crash_call {
    enum crash_call_kind kind;
    uint64_t offset; /* CRASH_RESIZE: the new size */
    size_t bytes;
    uint8_t *data;
};

struct crash_store {
    pthread_mutex_t lock;
    struct envol_store *inner; /* a handle of the log's own */
    unsigned handles;
    uint8_t *base; /* stable before the first call */
    size_t base_bytes;
    struct crash_call *calls;
    size_t count, capacity;
    unsigned fail_in;
    enum crash_fault fault;
    bool failed;
};

/* Zeroed memory; fails the test if there is none. */
void *crash_alloc(size_t bytes);

#endif
