/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake key service: its keys, and what tests order it to do. */
#include "fake_provider_state.h"

#include <check.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

const enum envol_status fake_statuses[FAKE_STATUSES] = {
    ENVOL_E_ARGUMENT,
    ENVOL_E_NO_MEMORY,
    ENVOL_E_LOCKED_MEMORY,
    ENVOL_E_IO,
    ENVOL_E_RANDOM,
    ENVOL_E_FORKED,
    ENVOL_E_FORMAT,
    ENVOL_E_VERSION,
    ENVOL_E_CORRUPT,
    ENVOL_E_WRONG_KEY,
    ENVOL_E_KEY_NOT_FOUND,
    ENVOL_E_KEY_DISABLED,
    ENVOL_E_KEY_PENDING_DELETION,
    ENVOL_E_KEY_DENIED,
    ENVOL_E_THROTTLED,
    ENVOL_E_UNREACHABLE,
    ENVOL_E_TIMEOUT,
    ENVOL_E_CANCELLED,
    ENVOL_E_CREDENTIALS,
    ENVOL_E_PROVIDER,
    ENVOL_E_UNSUPPORTED,
};

/* A child that was killed in here must not hold up its parent. */
void fake_kms_take(struct fake_kms *fake)
{
    if (pthread_mutex_lock(&fake->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&fake->lock);
}

void fake_kms_give(struct fake_kms *fake)
{
    pthread_mutex_unlock(&fake->lock);
}

struct fake_kms *fake_kms_new(void)
{
    static atomic_uint made;
    pthread_mutexattr_t attributes;
    struct fake_kms *fake =
        mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(fake, MAP_FAILED);
    ck_assert_int_ge(sodium_init(), 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&fake->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    fake->number = atomic_fetch_add(&made, 1);
    return fake;
}

void fake_kms_free(struct fake_kms *fake)
{
    if (fake == NULL)
        return;
    pthread_mutex_destroy(&fake->lock);
    munmap(fake, sizeof(*fake));
}

struct fake_key *fake_kms_find(struct fake_kms *fake, const char *key_ref)
{
    for (size_t i = 0; i < fake->key_count; i++) {
        if (key_ref == NULL || strcmp(fake->keys[i].ref, key_ref) == 0)
            return &fake->keys[i];
    }
    return NULL;
}

static struct fake_key *own_key(struct fake_kms *fake, const char *key_ref)
{
    struct fake_key *key = fake_kms_find(fake, key_ref);

    ck_assert_msg(key != NULL, "fake-kms has no key %.80s", key_ref);
    return key;
}

void fake_kms_add_key(struct fake_kms *fake, const char *key_ref)
{
    struct fake_key *key = &fake->keys[fake->key_count];

    ck_assert_uint_lt(fake->key_count, FAKE_KEYS_MAX);
    ck_assert_uint_le(strlen(key_ref), ENVOL_KEY_REF_MAX);
    fake_kms_take(fake);
    strcpy(key->ref, key_ref);
    key->versions = 1;
    key->state = FAKE_KEY_ENABLED;
    fake->key_count++;
    fake_kms_give(fake);
}

void fake_kms_set_state(struct fake_kms *fake, const char *key_ref, enum fake_key_state state)
{
    fake_kms_take(fake);
    own_key(fake, key_ref)->state = state;
    fake_kms_give(fake);
}

void fake_kms_rotate(struct fake_kms *fake, const char *key_ref)
{
    fake_kms_take(fake);
    own_key(fake, key_ref)->versions++;
    fake_kms_give(fake);
}

unsigned fake_kms_calls(struct fake_kms *fake, enum fake_operation operation)
{
    unsigned calls;

    fake_kms_take(fake);
    calls = fake->calls[operation];
    fake_kms_give(fake);
    return calls;
}

unsigned fake_kms_closed(struct fake_kms *fake)
{
    unsigned closed;

    fake_kms_take(fake);
    closed = fake->closed;
    fake_kms_give(fake);
    return closed;
}

void fake_kms_fail(struct fake_kms *fake, enum fake_operation operation, unsigned nth,
                   enum envol_status status)
{
    fake_kms_take(fake);
    fake->fail_operation = operation;
    fake->fail_in = nth;
    fake->fail_status = status;
    fake_kms_give(fake);
}

void fake_kms_misbehave(struct fake_kms *fake, enum fake_misbehaviour how)
{
    atomic_store(&fake->how, (int)how);
}

void fake_kms_hang(struct fake_kms *fake, bool hang)
{
    atomic_store(&fake->hang, hang);
}

void fake_kms_before(struct fake_kms *fake, void (*before)(void *ctx), void *ctx)
{
    fake_kms_take(fake);
    fake->before = before;
    fake->before_ctx = ctx;
    fake_kms_give(fake);
}

bool fake_kms_last_dek(struct fake_kms *fake, uint8_t dek[ENVOL_DEK_BYTES])
{
    bool has;

    fake_kms_take(fake);
    has = fake->has_last;
    for (size_t i = 0; i < ENVOL_DEK_BYTES; i++)
        dek[i] = has ? fake->last_masked[i] ^ FAKE_MASK : 0;
    fake_kms_give(fake);
    return has;
}

const char *fake_kms_last_key_ref(struct fake_kms *fake)
{
    static char ref[ENVOL_KEY_REF_MAX + 1];

    fake_kms_take(fake);
    strcpy(ref, fake->last_ref);
    fake_kms_give(fake);
    return ref;
}

static struct envol_provider *open_as(struct fake_kms *fake,
                                      const struct envol_provider_vtable *vtable)
{
    struct envol_provider *provider;

    ck_assert_int_eq(envol_provider_open(vtable, fake, &provider), ENVOL_OK);
    return provider;
}

struct envol_provider *fake_kms_open(struct fake_kms *fake)
{
    return open_as(fake, &fake_kms_vtable);
}

struct envol_provider *fake_kms_open_without_rewrap(struct fake_kms *fake)
{
    return open_as(fake, &fake_kms_vtable_without_rewrap);
}
