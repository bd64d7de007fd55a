/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks on ranges of pages.  Requests on other pages run side by side; on the same ones, those that
 * replace whole pages share them, and whoever reads a page, changes a part and writes it back has
 * it alone: otherwise it would write back what another one replaced meanwhile.
 */
#ifndef RANGES_H
#define RANGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* One request's pages, on its thread's stack from take to give. */
struct range {
    uint64_t first, last;
    bool alone;
    struct range *next;
};

/* Those that are held or waited for, in the order in which they came. */
struct ranges {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct range *list;
};

#define RANGES_INIT                                                                                \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL                                  \
    }

void ranges_take(struct ranges *ranges, struct range *range);
void ranges_give(struct ranges *ranges, struct range *range);

#endif
