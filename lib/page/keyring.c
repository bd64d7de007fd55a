/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyrings: made from DEKs, asked for the keys of an epoch, closed. */
#include "page/keyring.h"

#include "base/arena.h"
#include "base/memory.h"
#include "base/sized.h"
#include "page/derive.h"
#include "page/revoke.h"

#include <string.h>

_Static_assert(sizeof(struct envol_epoch_keys) + 256 <= 1024,
               "an idle open volume takes at most 1 KiB of locked memory");

static enum envol_status derive_xaes(const struct envol_keyring *keyring, uint32_t epoch,
                                     const char *purpose, const uint8_t *dek,
                                     struct envol_xaes_key *key)
{
    uint8_t raw[32];

    envol_derive(
        dek,
        &(const struct envol_derivation){
            .purpose = purpose, .uuid = keyring->uuid, .suite = keyring->suite, .epoch = epoch},
        raw, sizeof(raw));
    enum envol_status status = envol_xaes_init(keyring->kernel, key, raw);
    envol_wipe(raw, sizeof(raw));
    return status;
}

enum envol_status envol_keyring_fill(struct envol_keyring *keyring, uint32_t i,
                                     const uint8_t dek[ENVOL_DEK_BYTES])
{
    uint32_t epoch = keyring->entry[i].epoch;
    struct envol_epoch_keys *keys = keyring->entry[i].keys;
    enum envol_status status =
        derive_xaes(keyring, epoch, ENVOL_PURPOSE_PAGE_GCM, dek, &keys->xaes[ENVOL_USE_PAGE]);

    if (status == ENVOL_OK)
        status =
            derive_xaes(keyring, epoch, ENVOL_PURPOSE_BLOB_GCM, dek, &keys->xaes[ENVOL_USE_BLOB]);
    if (status == ENVOL_OK)
        memcpy(keys->dek, dek, ENVOL_DEK_BYTES);
    return status;
}

enum envol_status envol_keyring_add(struct envol_keyring *keyring, uint32_t epoch,
                                    const uint8_t dek[ENVOL_DEK_BYTES])
{
    void *memory;
    enum envol_status status;

    if (keyring->entries == ENVOL_EPOCHS_MAX)
        return ENVOL_E_RANGE;
    status = envol_arena_alloc(sizeof(struct envol_epoch_keys), keyring->flags, &memory);
    if (status != ENVOL_OK)
        return status;
    keyring->entry[keyring->entries] = (struct envol_epoch_entry){epoch, memory};
    status = envol_keyring_fill(keyring, keyring->entries, dek);
    if (status == ENVOL_OK)
        keyring->entries++;
    else
        envol_arena_free(memory, sizeof(struct envol_epoch_keys));
    return status;
}

enum envol_status envol_keyring_make(const struct envol_keyring_params *params,
                                     const uint8_t dek[ENVOL_DEK_BYTES],
                                     struct envol_keyring **keyring)
{
    const struct envol_aes_kernel *kernel =
        envol_aes_kernel(params->suite == ENVOL_SUITE_AES_256_XTS);
    struct envol_keyring *made;
    enum envol_status status;

    *keyring = NULL;
    if (kernel == NULL)
        return ENVOL_E_UNSUPPORTED;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_keyring));
    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    made->kernel = kernel;
    memcpy(made->uuid, params->uuid, ENVOL_UUID_BYTES);
    made->suite = params->suite;
    made->page_bytes = params->page_bytes;
    made->stride_bytes = params->stride_bytes;
    made->flags = params->flags;
    made->epoch = params->epoch;
    made->lowest = params->lowest;
    made->generation = envol_process_generation();
    status = envol_revocation_init(made) ? ENVOL_OK : ENVOL_E_NO_MEMORY;
    if (status == ENVOL_OK)
        status = envol_keyring_add(made, params->epoch, dek);
    if (status != ENVOL_OK) {
        envol_keyring_close(made);
        return status;
    }
    *keyring = made;
    return ENVOL_OK;
}

void envol_keyring_close(struct envol_keyring *keyring)
{
    if (keyring == NULL)
        return;
    for (uint32_t i = 0; i < keyring->entries; i++)
        envol_arena_free(keyring->entry[i].keys, sizeof(struct envol_epoch_keys));
    envol_revocation_end(keyring);
    envol_free(keyring);
}

const struct envol_epoch_keys *envol_keyring_find(const struct envol_keyring *keyring,
                                                  uint32_t epoch)
{
    for (uint32_t i = 0; i < keyring->entries; i++)
        if (keyring->entry[i].epoch == epoch)
            return keyring->entry[i].keys;
    return NULL;
}

enum envol_status envol_keyring_lookup(const struct envol_keyring *keyring, uint32_t epoch,
                                       const struct envol_epoch_keys **keys)
{
    *keys = NULL;
    if (epoch > keyring->epoch)
        return ENVOL_E_STALE;
    if (epoch < keyring->lowest)
        return ENVOL_E_CORRUPT;
    *keys = envol_keyring_find(keyring, epoch);
    return *keys == NULL ? ENVOL_E_CORRUPT : ENVOL_OK;
}

enum envol_status envol_keyring_usable(const struct envol_keyring *keyring)
{
    return envol_process_check(keyring->generation, keyring->flags);
}

bool envol_keyring_locked(const struct envol_keyring *keyring)
{
    for (uint32_t i = 0; i < keyring->entries; i++)
        if (!envol_arena_is_locked(keyring->entry[i].keys))
            return false;
    return true;
}

enum envol_status envol_keyring_geometry(const struct envol_keyring *keyring,
                                         struct envol_geometry *geometry)
{
    const struct envol_geometry whole = {
        .suite = keyring->suite,
        .page_bytes = keyring->page_bytes,
        .stride_bytes = keyring->stride_bytes,
        .trailer_bytes = keyring->suite == ENVOL_SUITE_AES_256_GCM ? ENVOL_TRAILER_BYTES : 0,
    };

    if (!ENVOL_FITS(geometry, geometry))
        return ENVOL_E_ARGUMENT;
    ENVOL_GIVE(geometry, geometry, &whole);
    return ENVOL_OK;
}

uint32_t envol_keyring_epoch(const struct envol_keyring *keyring)
{
    return keyring->epoch;
}

uint32_t envol_keyring_lowest_epoch(const struct envol_keyring *keyring)
{
    return keyring->lowest;
}

uint64_t envol_keyring_seals(const struct envol_keyring *keyring)
{
    return atomic_load_explicit(&keyring->seals, memory_order_relaxed);
}
