/* SPDX-License-Identifier: BSD-2-Clause */
/* A header and the CMKs of its slots: sealed, unlocked, given a slot, given the next DEK; and keys
 * without either. */
#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "header/header.h"
#include "page/revoke.h"
#include "volume/keys.h"
#include "volume/rotation.h"

#include <envol/header_keys.h>
#include <string.h>

#define CALL_FLAGS (ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED | ENVOL_OPEN_DISCOVER)

/* The call's DEK, in the arena until end_dek. */
static enum envol_status begin_dek(const struct envol_key_call *call, void **dek,
                                   struct envol_error *error)
{
    enum envol_status status =
        envol_arena_alloc(ENVOL_DEK_BYTES, call->flags & ENVOL_KEYRING_FLAGS, dek);

    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

static void end_dek(void *dek)
{
    envol_arena_free(dek, ENVOL_DEK_BYTES);
}

/* --- For volumes as well --- */

enum envol_status envol_keys_seal(const struct envol_key_call *call, struct envol_header *header,
                                  void *bytes, struct envol_keyring **keyring,
                                  struct envol_error *error)
{
    void *dek;
    enum envol_status status = begin_dek(call, &dek, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_keys_create(call, header, dek, error);
    if (status == ENVOL_OK) {
        status = envol_header_seal(header, dek, call->flags & ENVOL_KEYRING_FLAGS, bytes, keyring);
        if (status != ENVOL_OK)
            envol_fail(error, status,
                       status == ENVOL_E_UNSUPPORTED
                           ? "the suite needs an AES kernel that this build lacks"
                           : NULL);
    }
    end_dek(dek);
    return status;
}

enum envol_status envol_keys_unlock(const struct envol_key_call *call, struct envol_header *header,
                                    const struct envol_anchor *anchor, uint32_t *slot_id,
                                    struct envol_keyring **keyring, struct envol_error *error)
{
    void *dek;
    enum envol_status status = begin_dek(call, &dek, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_keys_unwrap(call, header, dek, slot_id, error);
    if (status == ENVOL_OK) {
        status =
            envol_header_unlock(header, dek, call->flags & ENVOL_KEYRING_FLAGS, anchor, keyring);
        if (status != ENVOL_OK) {
            envol_fail(error, status,
                       status == ENVOL_E_UNSUPPORTED
                           ? "the volume's suite needs an AES kernel that this build lacks"
                       : status == ENVOL_E_STATE
                           ? "an unfinished restore: go on with it, or delete it and begin again"
                           : NULL);
            envol_error_set_slot(error, (int32_t)*slot_id);
        }
    }
    end_dek(dek);
    return status;
}

/* --- Of an engine's header --- */

static enum envol_status make_call(const struct envol_cmk *cmks, size_t cmk_count,
                                   const struct envol_volume_options *options,
                                   struct envol_key_call *call, struct envol_error *error)
{
    struct envol_volume_options whole;

    if (!envol_volume_options_take(options, CALL_FLAGS, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    return envol_key_call_make(cmks, cmk_count, &whole, call, error);
}

enum envol_status envol_header_seal_by(struct envol_header *header, const struct envol_cmk *cmks,
                                       size_t cmk_count, const struct envol_volume_options *options,
                                       void *bytes, struct envol_keyring **keyring,
                                       struct envol_error *error)
{
    struct envol_key_call call;
    enum envol_status status;

    if (bytes != NULL)
        memset(bytes, 0, ENVOL_HEADER_BYTES);
    if (keyring != NULL)
        *keyring = NULL;
    if (header == NULL || bytes == NULL || keyring == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (header->slot_count > 0 || header->id.generation != 0)
        return envol_fail(error, ENVOL_E_STATE, "a header that has slots already");
    status = make_call(cmks, cmk_count, options, &call, error);
    if (status == ENVOL_OK)
        status = envol_keys_seal(&call, header, bytes, keyring, error);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

enum envol_status envol_header_unlock_by(struct envol_header *header, const struct envol_cmk *cmks,
                                         size_t cmk_count,
                                         const struct envol_volume_options *options,
                                         struct envol_keyring **keyring, struct envol_error *error)
{
    const struct envol_pins *pins = options != NULL ? options->pins : NULL;
    struct envol_key_call call;
    uint32_t slot_id = 0;
    enum envol_status status;

    if (keyring != NULL)
        *keyring = NULL;
    if (header == NULL || keyring == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    status = make_call(cmks, cmk_count, options, &call, error);
    if (status == ENVOL_OK && pins != NULL)
        status = envol_header_check(header, pins, error);
    if (status == ENVOL_OK)
        status = envol_keys_unlock(&call, header, pins != NULL ? pins->anchor : NULL, &slot_id,
                                   keyring, error);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* The keyring's DEK, if it is the header's. */
static enum envol_status copy_dek(const struct envol_header *header,
                                  const struct envol_keyring *keyring, void *dek,
                                  struct envol_error *error)
{
    enum envol_status status = envol_keyring_hold(keyring, NULL);

    if (status == ENVOL_OK) {
        status = envol_header_check_keyring(header, keyring);
        if (status == ENVOL_OK)
            memcpy(dek, keyring->entry[0].keys->dek, ENVOL_DEK_BYTES);
        envol_keyring_release(keyring, NULL);
    }
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

static enum envol_status add_slot(const struct envol_key_call *call, struct envol_header *header,
                                  const struct envol_keyring *keyring, uint32_t *id,
                                  struct envol_error *error)
{
    const struct envol_slot *added;
    void *dek;
    enum envol_status status = begin_dek(call, &dek, error);

    if (status != ENVOL_OK)
        return status;
    status = copy_dek(header, keyring, dek, error);
    if (status == ENVOL_OK)
        status = envol_keys_wrap(call, header, dek, error);
    end_dek(dek);
    if (status != ENVOL_OK)
        return status;
    added = header->slots[header->slot_count - 1];
    if (id != NULL)
        *id = added->id;
    return ENVOL_OK;
}

enum envol_status envol_header_add_slot_by(struct envol_header *header,
                                           const struct envol_keyring *keyring,
                                           const struct envol_cmk *cmk,
                                           const struct envol_volume_options *options, uint32_t *id,
                                           struct envol_error *error)
{
    struct envol_key_call call;
    enum envol_status status;

    if (id != NULL)
        *id = 0;
    if (header == NULL || keyring == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    status = make_call(cmk, cmk == NULL ? 0 : 1, options, &call, error);
    if (status == ENVOL_OK)
        status = add_slot(&call, header, keyring, id, error);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

static enum envol_status rotate(struct envol_rotation_draft *draft,
                                const struct envol_keyring *keyring,
                                struct envol_keyring **new_keyring, struct envol_error *error)
{
    void *dek;
    enum envol_status status = begin_dek(&draft->call, &dek, error);

    if (status != ENVOL_OK)
        return status;
    draft->dek = dek;
    status = envol_rotation_wrap(draft, error);
    if (status == ENVOL_OK) {
        status = envol_header_rotate(draft->header, keyring, dek,
                                     draft->call.flags & ENVOL_KEYRING_FLAGS, new_keyring);
        if (status != ENVOL_OK)
            envol_fail(error, status, NULL);
    }
    end_dek(dek);
    return status;
}

enum envol_status
envol_header_rotate_by(struct envol_header *next, const struct envol_header *header,
                       const struct envol_keyring *keyring, const struct envol_cmk *cmks,
                       size_t cmk_count, const struct envol_volume_options *options,
                       struct envol_keyring **new_keyring, struct envol_error *error)
{
    struct envol_rotation_draft draft = {.header = next};
    enum envol_status status;

    if (new_keyring != NULL)
        *new_keyring = NULL;
    if (next == NULL || header == NULL || keyring == NULL || new_keyring == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (next->slot_count > 0)
        return envol_fail(error, ENVOL_E_STATE, "a header that has slots already");
    status = make_call(cmks, cmk_count, options, &draft.call, error);
    if (status != ENVOL_OK)
        return status;
    draft.wrapped = envol_alloc(sizeof(*draft.wrapped), _Alignof(struct envol_wrapped_dek));
    if (draft.wrapped == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    draft.old_count = header->slot_count; /* borrowed: nothing here changes or frees them */
    memcpy(draft.old, header->slots, sizeof(draft.old));
    status = rotate(&draft, keyring, new_keyring, error);
    envol_free(draft.wrapped);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

enum envol_status envol_keyring_temporary(const struct envol_header_params *params, uint32_t flags,
                                          struct envol_keyring **keyring)
{
    struct envol_header *header;
    void *dek;
    enum envol_status status;

    if (keyring == NULL)
        return ENVOL_E_ARGUMENT;
    *keyring = NULL;
    if ((flags & ~ENVOL_KEYRING_FLAGS) != 0)
        return ENVOL_E_ARGUMENT;
    status = envol_header_new(params, &header); /* what the keys are bound to; nobody sees it */
    if (status != ENVOL_OK)
        return status;
    status = envol_arena_alloc(ENVOL_DEK_BYTES, flags, &dek);
    if (status == ENVOL_OK) {
        status = envol_random(dek, ENVOL_DEK_BYTES);
        if (status == ENVOL_OK)
            status = envol_header_make_keyring(header, dek, flags, keyring);
        end_dek(dek);
    }
    envol_header_free(header);
    return status;
}
