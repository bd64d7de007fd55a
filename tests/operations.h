/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that can be done with a volume, as a table: for tests that make each of them fail. */
#ifndef ENVOL_TESTS_OPERATIONS_H
#define ENVOL_TESTS_OPERATIONS_H

#include "volume_fixture.h"

/* Pages that are synced before an operation begins, and how far beyond them `append far` writes. */
enum { BASE = 40, MARGIN = 3000 };

/* A volume of BASE pages, version 1, on a failing store (faults.h), and what it is about. */
struct subject {
    struct volume_fixture f;
    struct envol_cmk cmks[2];
    uint64_t first_changed, end_changed;  /* pages that the operation may change */
    size_t idle_allocations, idle_locked; /* with no volume open */
};

/* False: this build has no kernel for the suite. */
bool subject_begin(struct subject *s, bool xts);
/* Another store, an empty one. */
void subject_forget(struct subject *s);
/* Asserts that what was synced is there, but for what the operation may change. */
void subject_expect_base(struct subject *s);

struct operation {
    const char *name;
    void (*prepare)(struct subject *s);
    enum envol_status (*run)(struct subject *s); /* may be repeated after a failure */
    void (*check)(struct subject *s);            /* asserts what a success means */
    unsigned traits;
};

/* Traits: f.volume is its output; f.volume is gone afterwards; f.error is filled; it is
 * envol_volume_create; under XTS it does nothing; it reads pages in runs, and those of a run that
 * fails again by themselves, so that a fault that does not stay is none. */
enum { OPENS = 1, CLOSES = 2, TELLS = 4, CREATES = 8, GCM_ONLY = 16, RUNS = 32 };

enum { OPERATIONS = 18 };
extern const struct operation operations[OPERATIONS];

/* Some of them by themselves. */
enum envol_status subject_create(struct subject *s);
enum envol_status subject_open(struct subject *s);
enum envol_status subject_read(struct subject *s);
enum envol_status subject_write(struct subject *s);
enum envol_status subject_append(struct subject *s);
enum envol_status subject_append_far(struct subject *s);
enum envol_status subject_trim(struct subject *s);
enum envol_status subject_sync(struct subject *s);
enum envol_status subject_close(struct subject *s);

#endif
