/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key leases: an open volume asks its key service again, now and then, and goes dark when the CMK
 * is disabled.  envol_lease(3).
 *
 * A check unwraps the slot that opened the volume and compares the DEK.  A definite refusal
 * (KEY_DISABLED, KEY_DENIED, KEY_PENDING_DELETION, KEY_NOT_FOUND, WRONG_KEY) makes the lease
 * suspect; if the key is not back when the grace is over, all keys of the volume are wiped, and
 * calls that need one answer ENVOL_E_KEY_REVOKED until envol_volume_unlock.  Time-outs, throttling,
 * networks and credentials say nothing about the key: they change nothing, unless max_unchecked_ms
 * is set.  No check is ever made on the page path.
 */
#ifndef ENVOL_LEASE_H
#define ENVOL_LEASE_H

#include <envol/provider.h>
#include <envol/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct envol_lease;
struct envol_volume;
struct envol_volume_options;

enum envol_lease_state {
    ENVOL_LEASE_NONE = 0,        /* the volume has no lease */
    ENVOL_LEASE_AVAILABLE = 1,   /* the key service gave the DEK when it was asked last */
    ENVOL_LEASE_SUSPECT = 2,     /* it refused; calls still work, until the deadline */
    ENVOL_LEASE_INACCESSIBLE = 3 /* the keys are wiped */
};

/* What a callback is told. */
struct envol_lease_change {
    size_t struct_size;
    enum envol_lease_state from, to;
    uint64_t deadline_ms;             /* to SUSPECT: when keys are wiped; else 0 */
    const struct envol_error *answer; /* of the check that led to it; cleared if that succeeded */
};

/*
 * Called at each change, by the thread that polls, unlocks, or is the library's.  It may use the
 * volume's pages, objects and lanes, sync it, and ask for information: at SUSPECT an engine writes
 * its checkpoint.  It must not stop the lease or close the volume; polling and unlocking in it
 * answer ENVOL_E_STATE.  The next check, and the wiping, wait for its return.
 */
typedef void envol_lease_callback(void *ctx, const struct envol_lease_change *change);

/* Flags of a lease. */
#define ENVOL_LEASE_THREAD    1u /* the library's own thread polls */
#define ENVOL_LEASE_NO_GRACE  2u /* wipe at the first definite refusal */
#define ENVOL_LEASE_NO_JITTER 4u /* checks exactly at the interval */
#define ENVOL_LEASE_AT_ONCE   8u /* the first check is due at once, not after an interval */

/* Zeros stand for the defaults in brackets; envol_lease(3) has their reasons. */
struct envol_lease_options {
    size_t struct_size;
    uint32_t flags;            /* ENVOL_LEASE_* */
    uint32_t interval_ms;      /* between checks [5 minutes]; each comes up to a tenth earlier */
    uint32_t grace_ms;         /* from the first refusal to the wiping [2 hours] */
    uint32_t max_unchecked_ms; /* so long without a success is a refusal [never] */
    uint32_t timeout_ms;       /* of one check [10 seconds] */
    envol_lease_callback *callback; /* may be NULL */
    void *ctx;
};

/*
 * Starts the lease of a volume, which has one at most.  Provider and volume are borrowed.
 * options and error may be NULL.  *lease is NULL on failure.
 * ENVOL_E_ARGUMENT, ENVOL_E_STATE (there is one), ENVOL_E_KEY_REVOKED (unlock first),
 * ENVOL_E_FORKED, ENVOL_E_NO_MEMORY (no thread, too).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_lease_start(struct envol_volume *volume, const struct envol_lease_options *options,
                  struct envol_lease **lease, struct envol_error *error);

/*
 * Does what is due at now_ms: CLOCK_MONOTONIC in milliseconds, and must not go back; 0: now.  Until
 * a check is due that is nothing; else one provider call, at most timeout_ms long.  *next_ms (may
 * be NULL) becomes when to call again, UINT64_MAX when only unlocking helps.  Any thread, one after
 * the other.  The outcome of the check is in envol_lease_info.
 * ENVOL_OK while keys are there, ENVOL_E_KEY_REVOKED once they are wiped; ENVOL_E_ARGUMENT,
 * ENVOL_E_STATE (the lease has a thread; or called by the callback), ENVOL_E_FORKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_lease_poll(struct envol_lease *lease,
                                                             uint64_t now_ms, uint64_t *next_ms);

/* Times are CLOCK_MONOTONIC in milliseconds, 0 for none yet. */
struct envol_lease_info {
    size_t struct_size;
    enum envol_lease_state state;
    enum envol_status last_status; /* of the last check; ENVOL_OK before the first */
    uint64_t checks;               /* how many there were */
    uint64_t last_check_ms;
    uint64_t last_success_ms; /* or when the volume was last unlocked, or the lease started */
    uint64_t last_check_at_s; /* Unix time of the last check, for people */
    uint64_t next_check_ms;   /* 0 while INACCESSIBLE too */
    uint64_t deadline_ms;     /* SUSPECT: when keys are wiped */
};

/* Any thread, and never long, even while a check waits.  ENVOL_E_ARGUMENT, ENVOL_E_FORKED. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_lease_info(struct envol_lease *lease,
                                                             struct envol_lease_info *info);

/*
 * Ends the lease; its thread stops within 100 ms if the provider honours its cancel flag.  Keys
 * that were wiped stay wiped.  No poll may be in progress.  Closing the volume does this first,
 * and the handle is gone then.  NULL is ignored.
 */
ENVOL_API void envol_lease_stop(struct envol_lease *lease);

/*
 * Brings the keys of a volume back: reads its header again, unwraps with any of cmks as
 * envol_volume_open does (options: ENVOL_OPEN_DISCOVER of the flags, time-out and cancel flag; may
 * be NULL), verifies the MAC.  Objects, lanes and the keyring that the caller holds work again; the
 * lease is AVAILABLE, and follows the slot that unwrapped.  Where keys were never wiped it does the
 * same and changes nothing else.
 * What the provider says; ENVOL_E_NO_PROVIDER, ENVOL_E_WRONG_KEY, ENVOL_E_STALE (the header is of
 * another DEK, or older than this handle's: close, and open again), ENVOL_E_STATE (called by the
 * callback), what reading the header answers.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_unlock(struct envol_volume *volume, const struct envol_cmk *cmks, size_t cmk_count,
                    const struct envol_volume_options *options, struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
