/* SPDX-License-Identifier: BSD-2-Clause */
/* A volume with a lease that goes by a clock of the test's, and a record of what it told. */
#ifndef ENVOL_TESTS_LEASE_FIXTURE_H
#define ENVOL_TESTS_LEASE_FIXTURE_H

#include "volume_fixture.h"

/* Of leases that lease_fixture_begin starts, in milliseconds. */
enum { LEASE_INTERVAL = 1000, LEASE_GRACE = 5000, LEASE_PAGES = 8, LEASE_CHANGES = 16 };

struct lease_told {
    enum envol_lease_state from, to;
    enum envol_status status;
    uint64_t deadline_ms;
};

struct lease_fixture {
    struct volume_fixture f; /* of LEASE_PAGES pages, version 1, synced */
    struct envol_lease *lease;
    struct envol_lease_options options;
    uint64_t now_ms, next_ms; /* the test's clock, and what the last poll said */
    struct lease_told told[LEASE_CHANGES];
    size_t changes;
    /* What the callback does besides; may be NULL. */
    void (*during)(struct lease_fixture *l, const struct envol_lease_change *change);
    enum envol_status during_status[4];
};

/* A volume opened with these flags, without a lease.  False: no kernel for the suite. */
bool lease_fixture_open(struct lease_fixture *l, int shape, uint32_t flags);
/* The same, and its lease: no jitter, the callback above. */
bool lease_fixture_begin(struct lease_fixture *l, int shape, uint32_t flags);
/* Starts l->lease with l->options. */
void lease_fixture_start(struct lease_fixture *l);
void lease_fixture_free(struct lease_fixture *l);

/* The clock goes on, and the lease is polled. */
enum envol_status lease_tick(struct lease_fixture *l, uint64_t ms);
/* Disables the key, and polls until all is dark. */
void lease_go_dark(struct lease_fixture *l);
/* Enables the key, and unlocks. */
void lease_come_back(struct lease_fixture *l);

struct envol_lease_info lease_info_of(struct lease_fixture *l);
/* Asserts that one more change was told, and which. */
void lease_expect_told(struct lease_fixture *l, enum envol_lease_state from,
                       enum envol_lease_state to, enum envol_status status);

/* Asserts that no key of the volume is where keys are kept. */
void lease_expect_wiped(const struct envol_keyring *keyring);
bool lease_is_wiped(const struct envol_keyring *keyring);

#endif
