/* SPDX-License-Identifier: BSD-2-Clause */
/* Lanes: a small cache of expanded keys in the arena, and the drawing of salts and nonces. */
#include "page/lane.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "base/random.h"

#include <string.h>

/* A reader meets many salts at once: a salt is kept for as long as a writer's lane lived. */
#define READ_SALTS 4u
#define XTS_KEYS   4u
/* Seals that a lane keeps to itself before it adds them to the keyring's count. */
#define SEALS_REPORT 1024u

struct gcm_entry {
    bool valid;
    enum envol_gcm_use use;
    uint32_t epoch;
    uint32_t records; /* sealed under it */
    uint8_t salt[ENVOL_XAES_SALT_BYTES];
    uint64_t last_draw; /* under this salt: lanes go from thread to thread */
    void *key;
};

struct xts_entry {
    bool valid;
    uint32_t epoch;
    uint64_t segment;
    uint8_t object[ENVOL_OBJECT_BYTES];
    void *key;
};

struct envol_lane {
    _Alignas(
        64) struct envol_tenant tenant; /* of all keys; its first word is written at each call */
    const struct envol_keyring *keyring;
    uint64_t generation;
    uint64_t fills; /* the keyring's revocation.fills when the keys were derived */
    uint32_t epoch; /* which the seals belong to */
    uint64_t seals;
    uint32_t next_read, next_xts;
    struct gcm_entry write[2]; /* by enum envol_gcm_use */
    struct gcm_entry read[READ_SALTS];
    struct xts_entry xts[XTS_KEYS];
};

/* Kernels are promised keys that begin a line of cache, whatever their size. */
static size_t aligned(size_t key_bytes)
{
    return (key_bytes + ENVOL_ARENA_ALIGN - 1) / ENVOL_ARENA_ALIGN * ENVOL_ARENA_ALIGN;
}

static void place_keys(struct envol_lane *lane)
{
    size_t gcm_bytes = aligned(lane->keyring->kernel->gcm_key_bytes);
    size_t xts_bytes = aligned(lane->keyring->kernel->xts_key_bytes);
    uint8_t *next = lane->tenant.keys;

    for (size_t i = 0; i < 2; i++, next += gcm_bytes)
        lane->write[i].key = next;
    for (size_t i = 0; i < READ_SALTS; i++, next += gcm_bytes)
        lane->read[i].key = next;
    if (lane->keyring->suite != ENVOL_SUITE_AES_256_XTS)
        return;
    for (size_t i = 0; i < XTS_KEYS; i++, next += xts_bytes)
        lane->xts[i].key = next;
}

static size_t keys_bytes(const struct envol_keyring *keyring)
{
    size_t bytes = (2 + READ_SALTS) * aligned(keyring->kernel->gcm_key_bytes);

    if (keyring->suite == ENVOL_SUITE_AES_256_XTS)
        bytes += XTS_KEYS * aligned(keyring->kernel->xts_key_bytes);
    return bytes;
}

enum envol_status envol_lane_open(const struct envol_keyring *keyring, struct envol_lane **lane)
{
    struct envol_lane *made;
    void *memory;
    enum envol_status status;

    if (lane == NULL)
        return ENVOL_E_ARGUMENT;
    *lane = NULL;
    if (keyring == NULL)
        return ENVOL_E_ARGUMENT;
    status = envol_keyring_check(keyring);
    if (status != ENVOL_OK)
        return status;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_lane));
    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    made->keyring = keyring;
    made->epoch = keyring->epoch;
    made->tenant.key_bytes = keys_bytes(keyring);
    status = envol_arena_alloc(made->tenant.key_bytes, keyring->flags, &memory);
    if (status != ENVOL_OK) {
        envol_free(made);
        return status;
    }
    made->tenant.keys = memory;
    made->generation = envol_process_generation();
    place_keys(made);
    envol_tenant_add(keyring, &made->tenant);
    *lane = made;
    return ENVOL_OK;
}

static void report_seals(struct envol_lane *lane)
{
    struct envol_keyring *keyring = (struct envol_keyring *)lane->keyring;

    if (lane->epoch == keyring->epoch)
        atomic_fetch_add_explicit(&keyring->seals, lane->seals, memory_order_relaxed);
    lane->seals = 0;
}

void envol_lane_close(struct envol_lane *lane)
{
    if (lane == NULL)
        return;
    report_seals(lane);
    envol_tenant_remove(&lane->tenant);
    envol_arena_free(lane->tenant.keys, lane->tenant.key_bytes);
    envol_free(lane);
}

void envol_lane_count(const struct envol_keyring *keyring, struct envol_lane *lane, size_t records)
{
    if (lane == NULL) {
        atomic_fetch_add_explicit(&((struct envol_keyring *)keyring)->seals, records,
                                  memory_order_relaxed);
        return;
    }
    lane->seals += records;
    if (lane->seals >= SEALS_REPORT)
        report_seals(lane);
}

static void drop_keys(struct envol_lane *lane)
{
    for (size_t i = 0; i < 2; i++)
        lane->write[i].valid = false;
    for (size_t i = 0; i < READ_SALTS; i++)
        lane->read[i].valid = false;
    for (size_t i = 0; i < XTS_KEYS; i++)
        lane->xts[i].valid = false;
}

/* A forked child never seals under its parent's salt.  Keys for opening go too: the thread that
 * the lane belonged to may have been in the middle of filling one.  What a revocation or an
 * exchange of the keyring's keys wiped is derived anew as well. */
static void refresh(struct envol_lane *lane, uint64_t generation, uint64_t fills)
{
    if (lane->generation == generation && lane->fills == fills)
        return;
    drop_keys(lane);
    if (lane->generation != generation || lane->epoch != lane->keyring->epoch)
        lane->seals = 0;
    lane->generation = generation;
    lane->fills = fills;
    lane->epoch = lane->keyring->epoch;
}

enum envol_status envol_lane_enter(const struct envol_object *object, struct envol_lane *lane)
{
    enum envol_status status;

    if (object == NULL || (lane != NULL && lane->keyring != object->keyring))
        return ENVOL_E_ARGUMENT;
    status = envol_keyring_hold(object->keyring, lane == NULL ? NULL : &lane->tenant);
    if (status == ENVOL_OK && lane != NULL)
        refresh(lane, envol_process_generation(),
                atomic_load_explicit(&object->keyring->revocation.fills, memory_order_relaxed));
    return status;
}

void envol_lane_leave(const struct envol_object *object, struct envol_lane *lane)
{
    envol_keyring_release(object->keyring, lane == NULL ? NULL : &lane->tenant);
}

void envol_scratch_wipe(const struct envol_lane *lane, struct envol_scratch *scratch)
{
    if (lane == NULL)
        envol_wipe(scratch, sizeof(*scratch));
}

void envol_nonce_add(const uint8_t nonce[ENVOL_XAES_NONCE_BYTES], uint32_t i,
                     uint8_t out[ENVOL_XAES_NONCE_BYTES])
{
    uint64_t low = envol_load64be(nonce + 16);
    uint32_t high = envol_load32be(nonce + 12);

    memcpy(out, nonce, ENVOL_XAES_SALT_BYTES);
    envol_store64be(out + 16, low + i);
    envol_store32be(out + 12, high + (low + i < low));
}

static enum envol_status seal_key_alone(const struct envol_keyring *keyring, enum envol_gcm_use use,
                                        struct envol_scratch *scratch, struct envol_seal_key *key)
{
    enum envol_status status = envol_random(key->nonce, sizeof(key->nonce));

    if (status == ENVOL_OK)
        status = envol_xaes_derive(keyring->kernel, &keyring->entry[0].keys->xaes[use], key->nonce,
                                   scratch->key);
    key->gcm_key = scratch->key;
    return status;
}

/* Draws salt and nonce together: a new salt costs no second system call. */
static enum envol_status new_salt(const struct envol_keyring *keyring, struct gcm_entry *entry,
                                  enum envol_gcm_use use, struct envol_seal_key *key)
{
    enum envol_status status =
        envol_random_first(key->nonce, sizeof(key->nonce), &entry->last_draw);

    entry->valid = false;
    if (status == ENVOL_OK)
        status = envol_xaes_derive(keyring->kernel, &keyring->entry[0].keys->xaes[use], key->nonce,
                                   entry->key);
    if (status != ENVOL_OK)
        return status;
    memcpy(entry->salt, key->nonce, sizeof(entry->salt));
    entry->use = use;
    entry->epoch = keyring->epoch;
    entry->records = 0;
    entry->valid = true;
    return ENVOL_OK;
}

enum envol_status envol_lane_seal_key(const struct envol_keyring *keyring, struct envol_lane *lane,
                                      enum envol_gcm_use use, size_t records,
                                      struct envol_scratch *scratch, struct envol_seal_key *key)
{
    struct gcm_entry *entry;
    enum envol_status status;

    key->records = records < ENVOL_SALT_RECORDS_MAX ? records : ENVOL_SALT_RECORDS_MAX;
    if (lane == NULL)
        return seal_key_alone(keyring, use, scratch, key);
    entry = &lane->write[use];
    if (entry->valid && entry->records < ENVOL_SALT_RECORDS_MAX) {
        memcpy(key->nonce, entry->salt, sizeof(entry->salt));
        status =
            envol_random_next(key->nonce + ENVOL_XAES_SALT_BYTES,
                              ENVOL_XAES_NONCE_BYTES - ENVOL_XAES_SALT_BYTES, &entry->last_draw);
    } else {
        status = new_salt(keyring, entry, use, key);
    }
    if (status != ENVOL_OK)
        return status;
    if (key->records > ENVOL_SALT_RECORDS_MAX - entry->records)
        key->records = ENVOL_SALT_RECORDS_MAX - entry->records;
    entry->records += (uint32_t)key->records;
    key->gcm_key = entry->key;
    return ENVOL_OK;
}

static bool entry_is(const struct gcm_entry *entry, enum envol_gcm_use use, uint32_t epoch,
                     const uint8_t *salt)
{
    return entry->valid && entry->use == use && entry->epoch == epoch &&
           memcmp(entry->salt, salt, sizeof(entry->salt)) == 0;
}

static const void *find_key(const struct envol_lane *lane, enum envol_gcm_use use, uint32_t epoch,
                            const uint8_t *salt)
{
    if (entry_is(&lane->write[use], use, epoch, salt))
        return lane->write[use].key;
    for (size_t i = 0; i < READ_SALTS; i++)
        if (entry_is(&lane->read[i], use, epoch, salt))
            return lane->read[i].key;
    return NULL;
}

enum envol_status envol_lane_open_key(const struct envol_keyring *keyring, struct envol_lane *lane,
                                      enum envol_gcm_use use, uint32_t epoch,
                                      const struct envol_epoch_keys *keys, const uint8_t salt[12],
                                      struct envol_scratch *scratch, const void **gcm_key)
{
    struct gcm_entry *entry;
    enum envol_status status;

    if (lane == NULL) {
        *gcm_key = scratch->key;
        return envol_xaes_derive(keyring->kernel, &keys->xaes[use], salt, scratch->key);
    }
    *gcm_key = find_key(lane, use, epoch, salt);
    if (*gcm_key != NULL)
        return ENVOL_OK;
    entry = &lane->read[lane->next_read++ % READ_SALTS];
    entry->valid = false;
    status = envol_xaes_derive(keyring->kernel, &keys->xaes[use], salt, entry->key);
    if (status != ENVOL_OK)
        return status;
    memcpy(entry->salt, salt, sizeof(entry->salt));
    entry->use = use;
    entry->epoch = epoch;
    entry->valid = true;
    *gcm_key = entry->key;
    return ENVOL_OK;
}

static enum envol_status expand_xts(const struct envol_object *object, uint32_t epoch,
                                    uint64_t segment, void *key)
{
    uint8_t raw[64];
    enum envol_status status = envol_object_xts_raw(object, epoch, segment, raw);

    if (status == ENVOL_OK)
        status = object->keyring->kernel->xts_init(key, raw);
    envol_wipe(raw, sizeof(raw));
    return status;
}

enum envol_status envol_lane_xts_key(const struct envol_object *object, struct envol_lane *lane,
                                     uint32_t epoch, uint64_t segment,
                                     struct envol_scratch *scratch, const void **xts_key)
{
    struct xts_entry *entry;
    enum envol_status status;

    if (lane == NULL) {
        *xts_key = scratch->key;
        return expand_xts(object, epoch, segment, scratch->key);
    }
    for (size_t i = 0; i < XTS_KEYS; i++) {
        entry = &lane->xts[i];
        if (entry->valid && entry->epoch == epoch && entry->segment == segment &&
            memcmp(entry->object, object->id, sizeof(entry->object)) == 0) {
            *xts_key = entry->key;
            return ENVOL_OK;
        }
    }
    entry = &lane->xts[lane->next_xts++ % XTS_KEYS];
    entry->valid = false;
    status = expand_xts(object, epoch, segment, entry->key);
    if (status != ENVOL_OK)
        return status;
    entry->epoch = epoch;
    entry->segment = segment;
    memcpy(entry->object, object->id, sizeof(entry->object));
    entry->valid = true;
    *xts_key = entry->key;
    return ENVOL_OK;
}
