/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keyrings and objects: the keys of a volume's live epochs, and one file's view of them.  Const
 * after creation for whoever holds the keys, but for a counter (page/revoke.h).
 */
#ifndef ENVOL_PAGE_KEYRING_H
#define ENVOL_PAGE_KEYRING_H

#include "aes/kernel.h"
#include "page/xaes.h"

#include <envol/page.h>
#include <stdatomic.h>

/* The current epoch and the retained ones (ENVOL_RETAINED_MAX). */
#define ENVOL_EPOCHS_MAX 5u

/* What GCM keys are for; an index. */
enum envol_gcm_use { ENVOL_USE_PAGE = 0, ENVOL_USE_BLOB = 1 };

/* Arena memory of a lane, an object or a log run, wiped with its keyring's keys (page/revoke.h). */
struct envol_tenant {
    _Atomic uint64_t inside; /* who holds keys: written at each call of its lane's */
    struct envol_tenant *next;
    struct envol_tenant **link; /* what points here */
    /* Derives them anew from the keyring's, or wipes them; NULL: a lane's, which does it later. */
    void (*fill)(void *owner);
    void *owner;   /* whose keys these are */
    uint8_t *keys; /* NULL: not in the list */
    size_t key_bytes;
};

/* Calls without a lane that hold keys, counted by thread: 8 lines of cache, so that few of them
 * meet on one. */
#define ENVOL_HOLD_PLACES 8u
struct envol_hold_place {
    _Alignas(64) _Atomic uint64_t inside;
};

struct envol_revocation {
    _Atomic uint64_t *ended; /* how often the keys were taken away; children may share it */
    _Atomic uint64_t own;    /* what ended points to if they do not */
    _Atomic uint64_t valid;  /* what ended was when this process last got its keys; or a mark */
    _Atomic uint64_t before; /* what valid was when the mark took its place */
    _Atomic uint64_t wiped;  /* what ended was when this process last wiped its keys */
    _Atomic uint64_t fills;  /* how often it got keys: lanes derive theirs anew */
    struct envol_tenant *tenants;
    struct envol_hold_place places[ENVOL_HOLD_PLACES];
};

/* Keys of one epoch; in the arena. */
struct envol_epoch_keys {
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_xaes_key xaes[2]; /* by enum envol_gcm_use */
};

struct envol_epoch_entry {
    uint32_t epoch;
    struct envol_epoch_keys *keys;
};

struct envol_keyring {
    const struct envol_aes_kernel *kernel;
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_suite suite;
    uint32_t page_bytes;
    uint32_t stride_bytes;
    uint32_t flags;          /* ENVOL_OPEN_INHERIT, ENVOL_OPEN_ALLOW_UNLOCKED */
    _Atomic uint32_t epoch;  /* current */
    _Atomic uint32_t lowest; /* accepted */
    uint64_t generation;     /* of the process that made it (base/arena.h) */
    uint32_t entries;
    struct envol_epoch_entry entry[ENVOL_EPOCHS_MAX]; /* entry[0]: the current epoch */
    _Atomic uint64_t seals;
    struct envol_revocation revocation;
};

struct envol_keyring_params {
    const uint8_t *uuid;
    enum envol_suite suite;
    uint32_t page_bytes;
    uint32_t stride_bytes;
    uint32_t flags;
    uint32_t epoch;
    uint32_t lowest;
};

/* A keyring with its current epoch's DEK.  ENVOL_E_UNSUPPORTED without a fitting AES kernel. */
enum envol_status envol_keyring_make(const struct envol_keyring_params *params,
                                     const uint8_t dek[ENVOL_DEK_BYTES],
                                     struct envol_keyring **keyring);
/* Adds a retained epoch; before the keyring is shared with other threads. */
enum envol_status envol_keyring_add(struct envol_keyring *keyring, uint32_t epoch,
                                    const uint8_t dek[ENVOL_DEK_BYTES]);
/* Derives the keys of entry i from its DEK, into the memory that it has.  ENVOL_E_NO_MEMORY. */
enum envol_status envol_keyring_fill(struct envol_keyring *keyring, uint32_t i,
                                     const uint8_t dek[ENVOL_DEK_BYTES]);
/* NULL if the keyring lacks that epoch. */
const struct envol_epoch_keys *envol_keyring_find(const struct envol_keyring *keyring,
                                                  uint32_t epoch);
/* Whether this process may use it (envol_process_check). */
enum envol_status envol_keyring_usable(const struct envol_keyring *keyring);
/* Whether every key of it lies in locked memory. */
bool envol_keyring_locked(const struct envol_keyring *keyring);

struct envol_object {
    const struct envol_keyring *keyring;
    uint8_t id[ENVOL_OBJECT_BYTES];
    uint32_t epoch;             /* XTS: the object's own; GCM: 0, the keyring's current one */
    uint8_t *xts_raw;           /* XTS: K1 and K2 of its epoch's first segment, in the arena */
    struct envol_tenant tenant; /* of xts_raw */
};

/* Raw XTS keys of any epoch and segment of an object.  For an epoch that is not in the ring
 * ENVOL_E_STALE, if it is the object's own, or ENVOL_E_CORRUPT. */
enum envol_status envol_object_xts_raw(const struct envol_object *object, uint32_t epoch,
                                       uint64_t segment, uint8_t raw[64]);

/* Turns an epoch that a record claims into its keys: ENVOL_E_STALE if newer than the keyring,
 * ENVOL_E_CORRUPT if no longer accepted. */
enum envol_status envol_keyring_lookup(const struct envol_keyring *keyring, uint32_t epoch,
                                       const struct envol_epoch_keys **keys);

#endif
