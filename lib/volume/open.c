/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening: lock, header, pins, one unwrapping, MAC; only then is anything else of the header
 * believed (envol(5), ORDER OF TRUST).
 */
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "volume/area.h"
#include "volume/keys.h"
#include "volume/snapshot.h"

#define OPEN_FLAGS                                                                                 \
    (ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED | ENVOL_OPEN_READ_ONLY |                       \
     ENVOL_OPEN_OTHER_COPY | ENVOL_OPEN_DISCOVER | ENVOL_OPEN_ABANDON_SNAPSHOTS)

static bool has(const struct envol_volume_options *options, uint32_t flag)
{
    return options != NULL && (options->flags & flag) != 0;
}

/* An image is read only, and of what the volume is now; a writer may name one to give it up. */
static bool snapshot_is_sound(const struct envol_volume_options *options)
{
    if (has(options, ENVOL_OPEN_ABANDON_SNAPSHOTS))
        return !has(options, ENVOL_OPEN_READ_ONLY);
    return options->snapshot == NULL ||
           (has(options, ENVOL_OPEN_READ_ONLY) && !has(options, ENVOL_OPEN_OTHER_COPY) &&
            options->space != NULL);
}

static bool options_are_sound(const struct envol_volume_options *options)
{
    return snapshot_is_sound(options) &&
           (!has(options, ENVOL_OPEN_OTHER_COPY) || has(options, ENVOL_OPEN_READ_ONLY));
}

static enum envol_status read_and_check(struct envol_store *store,
                                        const struct envol_volume_options *options,
                                        struct envol_header **header, struct envol_error *error)
{
    uint32_t flags = 0;
    enum envol_status status;

    if (has(options, ENVOL_OPEN_OTHER_COPY))
        flags = ENVOL_HEADER_OTHER_COPY;
    status = envol_volume_read_header(store, flags, true, header, error);
    if (status == ENVOL_OK && options->pins != NULL)
        status = envol_header_check(*header, options->pins, error);
    return status;
}

static enum envol_status check_writable(const struct envol_header *header, bool read_only,
                                        struct envol_error *error)
{
    if (read_only || (header->read_only_compatible & ~ENVOL_FEATURES_READ_ONLY_COMPATIBLE) == 0)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_VERSION,
                      "the volume has a feature that allows this library to read it only");
}

/*
 * Of two copies that differ the newer one may be in a cache and not on the disk, after a process
 * that was killed or a sync that failed.  Should a crash bring the older one back, what was done on
 * the word of the newer one could not be undone: pages sealed under a DEK that no header has, a
 * journal or a file cut that it names.  So both are written first, and a damaged one with them.
 * Equal ones are there: the second is written only when the first one was synced.
 */
static enum envol_status settle_header(struct envol_volume *volume, struct envol_error *error)
{
    return volume->header->copies_differ
               ? envol_volume_commit(volume, volume->mark, volume->clean, error)
               : ENVOL_OK;
}

/* What the last writer left goes first, before any page is changed. */
static enum envol_status prepare_writer(struct envol_volume *volume,
                                        const struct envol_volume_options *options,
                                        struct envol_error *error)
{
    enum envol_status status = settle_header(volume, error);

    if (status == ENVOL_OK)
        status =
            envol_snapshots_open(volume, options->space, has(options, ENVOL_OPEN_ABANDON_SNAPSHOTS),
                                 options->snapshot, error);
    if (status == ENVOL_OK)
        status = envol_area_replay(volume, error);
    return status == ENVOL_OK ? envol_volume_recover(volume, error) : status;
}

/* The store is locked; takes header and keyring into the volume. */
static enum envol_status open_locked(struct envol_store *store, const struct envol_key_call *call,
                                     const struct envol_volume_options *options, bool read_only,
                                     bool for_restore, struct envol_volume **volume,
                                     struct envol_error *error)
{
    const struct envol_anchor *anchor = options->pins != NULL ? options->pins->anchor : NULL;
    struct envol_header *header = NULL;
    struct envol_keyring *keyring = NULL;
    const struct envol_provider *opened_by = NULL;
    struct envol_key_call asked = *call;
    uint32_t slot_id = 0;
    enum envol_status status = read_and_check(store, options, &header, error);

    asked.winner = &opened_by;
    if (status == ENVOL_OK && for_restore && header->restore.kind == 0)
        status = envol_fail(error, ENVOL_E_STATE, "no restore into the volume is unfinished");
    if (status == ENVOL_OK) {
        header->for_restore = for_restore;
        status = envol_keys_unlock(&asked, header, anchor, &slot_id, &keyring, error);
    }
    if (status == ENVOL_OK)
        status = check_writable(header, read_only, error);
    if (status != ENVOL_OK) {
        envol_keyring_close(keyring);
        envol_header_free(header);
        return status;
    }
    status = envol_volume_make(store, header, keyring, read_only, volume, error);
    if (status != ENVOL_OK)
        return status;
    (*volume)->opened_slot = slot_id;
    (*volume)->opened_by = opened_by;
    (*volume)->space = options->space;
    if (!read_only)
        status = prepare_writer(*volume, options, error);
    if (status != ENVOL_OK) {
        envol_volume_free(*volume);
        *volume = NULL;
    }
    return status;
}

/* The file first: while it is held, a header that names the snapshot goes on to. */
static enum envol_status open_image(struct envol_store *store, const struct envol_key_call *call,
                                    const struct envol_volume_options *options,
                                    struct envol_volume **volume, struct envol_error *error)
{
    struct envol_store *file;
    enum envol_status status = envol_snapshot_hold(options->space, options->snapshot, &file, error);

    if (status == ENVOL_E_RANGE)
        return envol_fail(error, status, "the space has no such snapshot");
    if (status != ENVOL_OK)
        return status;
    status = open_locked(store, call, options, true, false, volume, error);
    if (status != ENVOL_OK) {
        envol_store_close(file);
        return status;
    }
    status = envol_image_take(*volume, file, options->snapshot, error);
    if (status != ENVOL_OK) {
        envol_volume_free(*volume);
        *volume = NULL;
    }
    return status;
}

static enum envol_status open_volume(struct envol_store *store, const struct envol_cmk *cmks,
                                     size_t cmk_count, const struct envol_volume_options *given,
                                     bool for_restore, struct envol_volume **volume,
                                     struct envol_error *error)
{
    struct envol_volume_options whole;
    const struct envol_volume_options *options = &whole;
    struct envol_key_call call;
    bool read_only;
    enum envol_status status;

    if (volume != NULL)
        *volume = NULL;
    if (volume == NULL || store == NULL || !envol_volume_options_take(given, OPEN_FLAGS, &whole) ||
        !options_are_sound(options))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL store or volume, or options of another size or with flags that "
                          "open does not know");
    read_only = has(options, ENVOL_OPEN_READ_ONLY);
    if (options->outcomes != NULL)
        options->outcomes->count = 0;
    status = envol_key_call_make(cmks, cmk_count, options, &call, error);
    if (status == ENVOL_OK)
        status = envol_volume_lock_store(store, read_only, error);
    if (status != ENVOL_OK)
        return status;
    if (read_only && options->snapshot != NULL)
        status = open_image(store, &call, options, volume, error);
    else
        status = open_locked(store, &call, options, read_only, for_restore, volume, error);
    if (status != ENVOL_OK) {
        envol_volume_unlock_store(store, read_only);
        return status;
    }
    (*volume)->holds_lock = true;
    envol_error_clear(error);
    return ENVOL_OK;
}

enum envol_status envol_volume_open(struct envol_store *store, const struct envol_cmk *cmks,
                                    size_t cmk_count, const struct envol_volume_options *options,
                                    struct envol_volume **volume, struct envol_error *error)
{
    return open_volume(store, cmks, cmk_count, options, false, volume, error);
}

enum envol_status envol_volume_open_restoring(struct envol_store *store,
                                              const struct envol_cmk *cmks, size_t cmk_count,
                                              const struct envol_volume_options *options,
                                              struct envol_volume **volume,
                                              struct envol_error *error)
{
    return open_volume(store, cmks, cmk_count, options, true, volume, error);
}
