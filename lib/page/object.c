/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects: one file among many under a keyring.  GCM needs no key of its own; XTS has a pair. */
#include "base/arena.h"
#include "base/memory.h"
#include "page/derive.h"
#include "page/revoke.h"

#include <string.h>

#define XTS_RAW_BYTES 64u

static void derive(const struct envol_object *object, const struct envol_epoch_keys *keys,
                   uint32_t epoch, uint64_t segment, uint8_t raw[XTS_RAW_BYTES])
{
    const struct envol_keyring *keyring = object->keyring;

    envol_derive(keys->dek,
                 &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_PAGE_XTS,
                                                  .uuid = keyring->uuid,
                                                  .object = object->id,
                                                  .suite = keyring->suite,
                                                  .epoch = epoch,
                                                  .aux = segment},
                 raw, XTS_RAW_BYTES);
}

enum envol_status envol_object_xts_raw(const struct envol_object *object, uint32_t epoch,
                                       uint64_t segment, uint8_t raw[XTS_RAW_BYTES])
{
    const struct envol_keyring *keyring = object->keyring;
    const struct envol_epoch_keys *keys = envol_keyring_find(keyring, epoch);

    if (keys == NULL)
        return epoch == object->epoch ? ENVOL_E_STALE : ENVOL_E_CORRUPT;
    if (segment == 0 && epoch == object->epoch)
        memcpy(raw, object->xts_raw, XTS_RAW_BYTES);
    else
        derive(object, keys, epoch, segment, raw);
    return ENVOL_OK;
}

/* From the keyring's keys; wiped if the object's epoch is not among them. */
static void fill(void *owner)
{
    struct envol_object *object = owner;
    const struct envol_epoch_keys *keys = envol_keyring_find(object->keyring, object->epoch);

    if (keys == NULL)
        envol_wipe(object->xts_raw, XTS_RAW_BYTES);
    else
        derive(object, keys, object->epoch, 0, object->xts_raw);
}

/* The keyring's keys are held until this one can be found to be wiped.  epoch 0: the current one.
 */
static enum envol_status keep_xts_raw(struct envol_object *object, uint32_t epoch)
{
    void *memory;
    enum envol_status status = envol_arena_alloc(XTS_RAW_BYTES, object->keyring->flags, &memory);

    if (status != ENVOL_OK)
        return status;
    object->xts_raw = memory;
    status = envol_keyring_hold(object->keyring, NULL);
    if (status != ENVOL_OK)
        return status;
    object->epoch = epoch != 0 ? epoch : object->keyring->epoch;
    if (envol_keyring_find(object->keyring, object->epoch) == NULL)
        status = ENVOL_E_STALE;
    if (status == ENVOL_OK) {
        fill(object);
        object->tenant = (struct envol_tenant){
            .fill = fill, .owner = object, .keys = memory, .key_bytes = XTS_RAW_BYTES};
        envol_tenant_add(object->keyring, &object->tenant);
    }
    envol_keyring_release(object->keyring, NULL);
    return status;
}

enum envol_status envol_object_open_at(const struct envol_keyring *keyring,
                                       const uint8_t id[ENVOL_OBJECT_BYTES], uint32_t epoch,
                                       struct envol_object **object)
{
    struct envol_object *made;
    enum envol_status status;

    if (object == NULL)
        return ENVOL_E_ARGUMENT;
    *object = NULL;
    if (keyring == NULL || id == NULL)
        return ENVOL_E_ARGUMENT;
    if (epoch != 0 && keyring->suite != ENVOL_SUITE_AES_256_XTS)
        return ENVOL_E_UNSUPPORTED;
    status = envol_keyring_check(keyring);
    if (status != ENVOL_OK)
        return status;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_object));
    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    made->keyring = keyring;
    memcpy(made->id, id, ENVOL_OBJECT_BYTES);
    if (keyring->suite == ENVOL_SUITE_AES_256_XTS)
        status = keep_xts_raw(made, epoch);
    if (status != ENVOL_OK) {
        envol_object_close(made);
        return status;
    }
    *object = made;
    return ENVOL_OK;
}

enum envol_status envol_object_open(const struct envol_keyring *keyring,
                                    const uint8_t id[ENVOL_OBJECT_BYTES],
                                    struct envol_object **object)
{
    return envol_object_open_at(keyring, id, 0, object);
}

void envol_object_close(struct envol_object *object)
{
    if (object == NULL)
        return;
    envol_tenant_remove(&object->tenant);
    envol_arena_free(object->xts_raw, XTS_RAW_BYTES);
    envol_free(object);
}
