/* SPDX-License-Identifier: BSD-2-Clause */
/* Holding, revoking, restoring and exchanging keys: see revoke.h for the order of things. */
#include "page/revoke.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "base/shared.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/*
 * A word of who is inside: the process's number above, how many calls below.  A forked child finds
 * in it threads of its parent's, which are not inside here: their number is another one.
 */
#define CALLS_BITS 16u
#define CALLS_MASK ((UINT64_C(1) << CALLS_BITS) - 1)
/* Between two looks at calls that are still inside: a call on a page takes microseconds. */
#define PAUSE_NS 20000
/* In `valid` while keys are exchanged, with the number of the process whose threads do it. */
#define EXCHANGE (UINT64_C(1) << 63)

/* Protects the tenants of all keyrings.  Taken when lanes, objects and runs come and go, and held
 * over fork, so that a child finds whole lists. */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static bool fork_is_guarded;

static void before_fork(void)
{
    pthread_mutex_lock(&registry);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&registry);
}

static void guard_fork(void)
{
    fork_is_guarded = pthread_atfork(before_fork, after_fork, after_fork) == 0;
}

bool envol_revocation_init(struct envol_keyring *keyring)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct envol_revocation *state = &keyring->revocation;

    if (pthread_once(&once, guard_fork) != 0 || !fork_is_guarded)
        return false;
    state->ended = keyring->flags & ENVOL_OPEN_INHERIT ? envol_shared_word() : &state->own;
    return state->ended != NULL;
}

void envol_revocation_end(struct envol_keyring *keyring)
{
    if (keyring->revocation.ended != &keyring->revocation.own)
        envol_shared_word_free(keyring->revocation.ended);
}

/* --- Holding --- */

static struct envol_revocation *state_of(const struct envol_keyring *keyring)
{
    return &((struct envol_keyring *)keyring)->revocation;
}

static uint64_t here(void)
{
    return envol_process_generation() << CALLS_BITS;
}

/* Threads have their own storage pages, so they differ in these bits. */
static _Atomic uint64_t *place(struct envol_revocation *state)
{
    static _Thread_local char thread;

    return &state->places[((uintptr_t)&thread >> 12) % ENVOL_HOLD_PLACES].inside;
}

static void enter_place(_Atomic uint64_t *inside)
{
    uint64_t mine = here();
    uint64_t seen = atomic_load_explicit(inside, memory_order_relaxed);
    uint64_t next;

    do
        next = (seen & ~CALLS_MASK) == mine ? seen + 1 : mine + 1;
    while (!atomic_compare_exchange_weak(inside, &seen, next));
}

enum keys { KEYS_HERE, KEYS_AWAY, KEYS_IN_EXCHANGE };

/* After the word of who is inside was written, never before. */
static enum keys look(const struct envol_revocation *state)
{
    uint64_t ended = atomic_load(state->ended);
    uint64_t valid = atomic_load(&state->valid);

    if (ended == valid)
        return KEYS_HERE;
    return (valid & EXCHANGE) != 0 ? KEYS_IN_EXCHANGE : KEYS_AWAY;
}

static void pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    nanosleep(&pause, NULL);
}

/* A forked child finds the mark of an exchange that goes on in its parent: here it never began. */
static void await_exchange(struct envol_revocation *state)
{
    uint64_t mark = atomic_load(&state->valid);

    if (mark == (EXCHANGE | envol_process_generation()))
        pause_a_little();
    else if ((mark & EXCHANGE) != 0)
        (void)atomic_compare_exchange_strong(&state->valid, &mark, atomic_load(&state->before));
}

void envol_keyring_release(const struct envol_keyring *keyring, struct envol_tenant *tenant)
{
    if (tenant != NULL)
        atomic_store_explicit(&tenant->inside, 0, memory_order_release);
    else
        atomic_fetch_sub_explicit(place(state_of(keyring)), 1, memory_order_release);
}

/* --- Wiping --- */

static bool is_inside(const _Atomic uint64_t *word, uint64_t mine)
{
    uint64_t seen = atomic_load(word);

    return (seen & ~CALLS_MASK) == mine && (seen & CALLS_MASK) != 0;
}

static bool anyone_is_inside(const struct envol_revocation *state)
{
    uint64_t mine = here();

    for (size_t i = 0; i < ENVOL_HOLD_PLACES; i++)
        if (is_inside(&state->places[i].inside, mine))
            return true;
    for (const struct envol_tenant *tenant = state->tenants; tenant != NULL; tenant = tenant->next)
        if (is_inside(&tenant->inside, mine))
            return true;
    return false;
}

static void wipe_keys(struct envol_keyring *keyring)
{
    struct envol_tenant *tenant = keyring->revocation.tenants;

    for (uint32_t i = 0; i < keyring->entries; i++)
        envol_wipe(keyring->entry[i].keys, sizeof(struct envol_epoch_keys));
    for (; tenant != NULL; tenant = tenant->next)
        envol_wipe(tenant->keys, tenant->key_bytes);
}

/* Wipes if nobody is inside, and nobody else is at it.  Whether this process has no keys now. */
static bool sweep(struct envol_keyring *keyring)
{
    struct envol_revocation *state = &keyring->revocation;
    uint64_t ended = atomic_load(state->ended);
    bool done = atomic_load(&state->wiped) == ended;

    if (done || pthread_mutex_trylock(&registry) != 0)
        return done;
    /* They may have come back since: then there is nothing to do.  An exchange gives up first. */
    done = look(state) == KEYS_HERE || atomic_load(&state->wiped) == ended;
    if (!done && look(state) == KEYS_AWAY && !anyone_is_inside(state)) {
        wipe_keys(keyring);
        atomic_store(&state->wiped, ended);
        done = true;
    }
    pthread_mutex_unlock(&registry);
    return done;
}

enum envol_status envol_keyring_hold(const struct envol_keyring *keyring,
                                     struct envol_tenant *tenant)
{
    struct envol_revocation *state = state_of(keyring);
    enum envol_status status = envol_keyring_usable(keyring);
    enum keys keys;

    if (status != ENVOL_OK)
        return status;
    for (;;) {
        if (tenant != NULL)
            (void)atomic_exchange(&tenant->inside, here() + 1);
        else
            enter_place(place(state));
        keys = look(state);
        if (keys == KEYS_HERE)
            return ENVOL_OK;
        envol_keyring_release(keyring, tenant);
        if (keys == KEYS_AWAY)
            break;
        await_exchange(state);
    }
    (void)sweep((struct envol_keyring *)keyring);
    return ENVOL_E_KEY_REVOKED;
}

/* HERE or AWAY. */
static enum keys look_settled(struct envol_revocation *state)
{
    enum keys keys;

    while ((keys = look(state)) == KEYS_IN_EXCHANGE)
        await_exchange(state);
    return keys;
}

enum envol_status envol_keyring_check(const struct envol_keyring *keyring)
{
    enum envol_status status = envol_keyring_usable(keyring);

    if (status != ENVOL_OK || look_settled(state_of(keyring)) == KEYS_HERE)
        return status;
    (void)sweep((struct envol_keyring *)keyring);
    return ENVOL_E_KEY_REVOKED;
}

void envol_keyring_revoke(struct envol_keyring *keyring)
{
    if (look_settled(&keyring->revocation) == KEYS_HERE)
        (void)atomic_fetch_add(keyring->revocation.ended, 1);
    while (!sweep(keyring))
        pause_a_little();
}

/* --- Restoring --- */

/* Takes the registry's lock when no exchange goes on. */
static enum keys lock_settled(struct envol_revocation *state)
{
    enum keys keys;

    for (;;) {
        pthread_mutex_lock(&registry);
        keys = look(state);
        if (keys != KEYS_IN_EXCHANGE)
            return keys;
        pthread_mutex_unlock(&registry);
        await_exchange(state);
    }
}

static enum envol_status bring_back(struct envol_keyring *keyring, const struct envol_keyring *from)
{
    enum envol_status status = ENVOL_OK;

    for (uint32_t i = 0; status == ENVOL_OK && i < keyring->entries; i++) {
        const struct envol_epoch_keys *keys = envol_keyring_find(from, keyring->entry[i].epoch);
        status = keys == NULL ? ENVOL_E_STALE : envol_keyring_fill(keyring, i, keys->dek);
    }
    for (struct envol_tenant *tenant = keyring->revocation.tenants;
         status == ENVOL_OK && tenant != NULL; tenant = tenant->next)
        if (tenant->fill != NULL)
            tenant->fill(tenant->owner);
    return status;
}

enum envol_status envol_keyring_restore(struct envol_keyring *keyring,
                                        const struct envol_keyring *from)
{
    struct envol_revocation *state = &keyring->revocation;
    enum envol_status status = ENVOL_OK;

    if (lock_settled(state) == KEYS_AWAY) {
        status = bring_back(keyring, from);
        if (status == ENVOL_OK) {
            (void)atomic_fetch_add(&state->fills, 1);
            atomic_store(&state->valid, atomic_load(state->ended));
        } else {
            wipe_keys(keyring);
        }
    }
    pthread_mutex_unlock(&registry);
    return status;
}

/* --- Exchanging --- */

/* Memory of another kind would not be there, or would be zeros, in a forked child. */
static bool is_like(const struct envol_keyring *keyring, const struct envol_keyring *from)
{
    return keyring != from && keyring->suite == from->suite && keyring->flags == from->flags &&
           keyring->page_bytes == from->page_bytes && keyring->stride_bytes == from->stride_bytes &&
           memcmp(keyring->uuid, from->uuid, ENVOL_UUID_BYTES) == 0;
}

/* Objects keep what they derived from a DEK, so an epoch has one. */
static enum envol_status check_epochs(const struct envol_keyring *keyring,
                                      const struct envol_keyring *from)
{
    if (from->epoch < keyring->epoch || from->lowest < keyring->lowest)
        return ENVOL_E_STALE;
    for (uint32_t i = 0; i < from->entries; i++) {
        const struct envol_epoch_keys *keys = envol_keyring_find(keyring, from->entry[i].epoch);
        if (keys != NULL && !envol_equal(keys->dek, from->entry[i].keys->dek, ENVOL_DEK_BYTES))
            return ENVOL_E_WRONG_KEY;
    }
    return ENVOL_OK;
}

static void swap_keys(struct envol_keyring *keyring, struct envol_keyring *from)
{
    struct envol_epoch_entry entry[ENVOL_EPOCHS_MAX];
    uint32_t entries = keyring->entries, epoch = keyring->epoch, lowest = keyring->lowest;

    memcpy(entry, keyring->entry, sizeof(entry));
    memcpy(keyring->entry, from->entry, sizeof(entry));
    memcpy(from->entry, entry, sizeof(entry));
    keyring->entries = from->entries;
    from->entries = entries;
    if (from->epoch != epoch)
        atomic_store(&keyring->seals, 0);
    keyring->epoch = from->epoch;
    from->epoch = epoch;
    keyring->lowest = from->lowest;
    from->lowest = lowest;
}

/* Nobody is inside.  What lanes derived goes with the keys that it may come from. */
static void exchange(struct envol_keyring *keyring, struct envol_keyring *from)
{
    struct envol_tenant *tenant = keyring->revocation.tenants;

    swap_keys(keyring, from);
    for (; tenant != NULL; tenant = tenant->next)
        if (tenant->fill == NULL)
            envol_wipe(tenant->keys, tenant->key_bytes);
        else
            tenant->fill(tenant->owner);
    (void)atomic_fetch_add(&keyring->revocation.fills, 1);
}

/* Holds the registry's lock at first and in the end, and lets go of it while it waits. */
static enum envol_status exchange_when_empty(struct envol_keyring *keyring,
                                             struct envol_keyring *from)
{
    struct envol_revocation *state = &keyring->revocation;
    uint64_t valid = atomic_load(&state->valid);
    enum envol_status status = ENVOL_OK;

    atomic_store(&state->before, valid);
    atomic_store(&state->valid, EXCHANGE | envol_process_generation());
    while (anyone_is_inside(state)) {
        pthread_mutex_unlock(&registry);
        pause_a_little();
        pthread_mutex_lock(&registry);
    }
    if (atomic_load(state->ended) == valid)
        exchange(keyring, from);
    else
        status = ENVOL_E_KEY_REVOKED;
    atomic_store(&state->valid, valid);
    return status;
}

enum envol_status envol_keyring_adopt(struct envol_keyring *keyring, struct envol_keyring *from)
{
    enum envol_status status;
    enum keys keys;

    if (keyring == NULL || from == NULL || !is_like(keyring, from))
        return ENVOL_E_ARGUMENT;
    status = envol_keyring_check(from);
    if (status == ENVOL_OK)
        status = envol_keyring_check(keyring);
    if (status != ENVOL_OK)
        return status;
    keys = lock_settled(&keyring->revocation);
    if (keys == KEYS_AWAY || look(&from->revocation) != KEYS_HERE)
        status = ENVOL_E_KEY_REVOKED;
    if (status == ENVOL_OK)
        status = check_epochs(keyring, from);
    if (status == ENVOL_OK)
        status = exchange_when_empty(keyring, from);
    pthread_mutex_unlock(&registry);
    return status;
}

/* --- Tenants --- */

void envol_tenant_add(const struct envol_keyring *keyring, struct envol_tenant *tenant)
{
    struct envol_revocation *state = state_of(keyring);

    pthread_mutex_lock(&registry);
    tenant->next = state->tenants;
    tenant->link = &state->tenants;
    if (tenant->next != NULL)
        tenant->next->link = &tenant->next;
    state->tenants = tenant;
    pthread_mutex_unlock(&registry);
}

void envol_tenant_remove(struct envol_tenant *tenant)
{
    if (tenant->keys == NULL)
        return;
    pthread_mutex_lock(&registry);
    *tenant->link = tenant->next;
    if (tenant->next != NULL)
        tenant->next->link = tenant->link;
    pthread_mutex_unlock(&registry);
}
