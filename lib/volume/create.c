/* SPDX-License-Identifier: BSD-2-Clause */
/* Creating: a DEK from the first CMK, a slot for each, both header copies, an empty volume. */
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "volume/keys.h"
#include "volume/snapshot.h"

#include <string.h>

#define CREATE_FLAGS (ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED | ENVOL_OPEN_DISCOVER)

/* A device has a size before it has a volume: nothing may be where file systems and partition
 * tables have their marks, which is within the first MiB. */
#define BLANK_BYTES (1u << 20)

static enum envol_status check_empty(struct envol_store *store, struct envol_error *error)
{
    uint64_t bytes;
    uint8_t *start = NULL;
    size_t got;
    enum envol_status status = envol_store_size(store, &bytes, error);

    if (status != ENVOL_OK || bytes == 0)
        return status;
    start = envol_alloc(BLANK_BYTES, ENVOL_BUFFER_ALIGN);
    if (start == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_store_read(store, 0, start, BLANK_BYTES, &got, error);
    if (status == ENVOL_OK && !envol_is_zero(start, BLANK_BYTES))
        status = envol_fail(error, ENVOL_E_STATE, "the store is not empty");
    envol_free(start);
    return status;
}

/* A new header with its slots, sealed into bytes. */
static enum envol_status make_header(const struct envol_key_call *call,
                                     const struct envol_header_params *params, bool for_restore,
                                     void *bytes, struct envol_header **header,
                                     struct envol_keyring **keyring, struct envol_error *error)
{
    enum envol_status status = envol_header_new(params, header);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    (*header)->for_restore = for_restore;
    if (for_restore)
        envol_header_set_restore(
            *header, &(const struct envol_restore_record){.kind = ENVOL_RESTORE_UNFINISHED});
    return envol_keys_seal(call, *header, bytes, keyring, error);
}

/* Written, synced, and read back: what the store then holds is what opens. */
static enum envol_status write_header(struct envol_store *store, const uint8_t *bytes,
                                      struct envol_error *error)
{
    uint8_t *again = envol_alloc(ENVOL_HEADER_BYTES, ENVOL_BUFFER_ALIGN);
    enum envol_status status;

    if (again == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_store_write(store, 0, bytes, ENVOL_HEADER_BYTES, error);
    if (status == ENVOL_OK)
        status = envol_store_sync(store, error);
    if (status == ENVOL_OK)
        status = envol_store_read_full(store, 0, again, ENVOL_HEADER_BYTES, error);
    if (status == ENVOL_OK && memcmp(again, bytes, ENVOL_HEADER_BYTES) != 0)
        status = envol_fail(error, ENVOL_E_CORRUPT,
                            "the store gave back another header than was written");
    envol_free(again);
    return status;
}

/* A store that was empty is empty again, or at least holds no header. */
static void take_back(struct envol_store *store, uint8_t *bytes, uint64_t size)
{
    memset(bytes, 0, ENVOL_HEADER_BYTES);
    if (size > 0 || envol_store_resize(store, 0, NULL) != ENVOL_OK)
        (void)envol_store_write(store, 0, bytes, ENVOL_HEADER_BYTES, NULL);
}

/* Frees the volume on failure. */
static enum envol_status take_space(struct envol_volume *volume, struct envol_space *space,
                                    struct envol_error *error)
{
    enum envol_status status = envol_snapshots_begin(volume, space);

    volume->space = space;
    if (status == ENVOL_OK)
        return status;
    envol_volume_free(volume);
    return envol_fail(error, status, NULL);
}

static enum envol_status create_locked(struct envol_store *store, const struct envol_key_call *call,
                                       const struct envol_header_params *params, bool for_restore,
                                       struct envol_space *space, struct envol_volume **volume,
                                       struct envol_error *error)
{
    struct envol_header *header = NULL;
    struct envol_keyring *keyring = NULL;
    uint8_t *bytes = envol_alloc(ENVOL_HEADER_BYTES, ENVOL_BUFFER_ALIGN);
    uint64_t size = 0;
    enum envol_status status;

    if (bytes == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_store_size(store, &size, error);
    if (status == ENVOL_OK)
        status = make_header(call, params, for_restore, bytes, &header, &keyring, error);
    if (status != ENVOL_OK)
        goto out;
    status = write_header(store, bytes, error);
    if (status == ENVOL_OK) {
        header->settled = true;
        status = envol_volume_make(store, header, keyring, false, volume, error);
        if (status == ENVOL_OK)
            status = take_space(*volume, space, error);
        if (status != ENVOL_OK)
            *volume = NULL;
        header = NULL; /* taken, whatever became of the volume */
        keyring = NULL;
    }
    if (status != ENVOL_OK)
        take_back(store, bytes, size);
out:
    envol_keyring_close(keyring);
    envol_header_free(header);
    envol_free(bytes);
    return status;
}

static enum envol_status create(struct envol_store *store, const struct envol_cmk *cmks,
                                size_t cmk_count, const struct envol_volume_options *options,
                                bool for_restore, struct envol_volume **volume,
                                struct envol_error *error)
{
    struct envol_volume_options whole;
    struct envol_key_call call;
    enum envol_status status;

    if (volume != NULL)
        *volume = NULL;
    if (volume == NULL || store == NULL ||
        !envol_volume_options_take(options, CREATE_FLAGS, &whole) || whole.snapshot != NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL store or volume, or options of another size or with flags that "
                          "create does not know");
    status = envol_key_call_make(cmks, cmk_count, &whole, &call, error);
    if (status == ENVOL_OK)
        status = envol_volume_lock_store(store, false, error);
    if (status != ENVOL_OK)
        return status;
    status = check_empty(store, error);
    if (status == ENVOL_OK)
        status = create_locked(store, &call, whole.params, for_restore, whole.space, volume, error);
    if (status != ENVOL_OK) {
        envol_volume_unlock_store(store, false);
        return status;
    }
    (*volume)->holds_lock = true;
    (*volume)->opened_slot = 1;
    (*volume)->opened_by = cmks[0].provider;
    envol_error_clear(error);
    return ENVOL_OK;
}

enum envol_status envol_volume_create(struct envol_store *store, const struct envol_cmk *cmks,
                                      size_t cmk_count, const struct envol_volume_options *options,
                                      struct envol_volume **volume, struct envol_error *error)
{
    return create(store, cmks, cmk_count, options, false, volume, error);
}

enum envol_status envol_volume_create_restoring(struct envol_store *store,
                                                const struct envol_cmk *cmks, size_t cmk_count,
                                                const struct envol_volume_options *options,
                                                struct envol_volume **volume,
                                                struct envol_error *error)
{
    return create(store, cmks, cmk_count, options, true, volume, error);
}
