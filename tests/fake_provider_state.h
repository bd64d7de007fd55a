/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the fake key service share: fake_provider.c takes the tests' orders,
 * fake_provider_calls.c answers the library.
 */
#ifndef ENVOL_TESTS_FAKE_PROVIDER_STATE_H
#define ENVOL_TESTS_FAKE_PROVIDER_STATE_H

#include "fake_provider.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    FAKE_KEYS_MAX = 8,
    FAKE_MASK = 0xa5 /* over the DEK that is remembered */
};

struct fake_key {
    char ref[ENVOL_KEY_REF_MAX + 1];
    unsigned versions;
    enum fake_key_state state;
};

struct fake_kms {
    pthread_mutex_t lock;
    unsigned number; /* of this service in the process: two of them generate different DEKs */
    struct fake_key keys[FAKE_KEYS_MAX];
    size_t key_count;
    unsigned calls[FAKE_ANY + 1];
    unsigned closed;
    enum fake_operation fail_operation;
    unsigned fail_in; /* calls until the one that fails; 0: none */
    enum envol_status fail_status;
    atomic_int how; /* enum fake_misbehaviour */
    atomic_bool hang;
    void (*before)(void *ctx); /* the next unwrapping is answered; NULL: nothing is done */
    void *before_ctx;
    uint32_t generated; /* DEKs so far: the counter that they are made of */
    uint32_t sealed;    /* the same for nonces */
    bool has_last;
    uint8_t last_masked[ENVOL_DEK_BYTES];
    char last_ref[ENVOL_KEY_REF_MAX + 1];
};

void fake_kms_take(struct fake_kms *fake);
void fake_kms_give(struct fake_kms *fake);
/* NULL: the first one.  NULL if there is none of that reference. */
struct fake_key *fake_kms_find(struct fake_kms *fake, const char *key_ref);

extern const struct envol_provider_vtable fake_kms_vtable;
extern const struct envol_provider_vtable fake_kms_vtable_without_rewrap;

#endif
