/* SPDX-License-Identifier: BSD-2-Clause */
/* What an open volume says of itself, and what a header says without any key. */
#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "header/header.h"
#include "page/revoke.h"
#include "volume/lease.h"
#include "volume/snapshot.h"

#include <string.h>

static void lock_growth(struct envol_volume *volume)
{
    if (envol_volume_is_own(volume))
        pthread_mutex_lock(&volume->growth);
}

static void unlock_growth(struct envol_volume *volume)
{
    if (envol_volume_is_own(volume))
        pthread_mutex_unlock(&volume->growth);
}

/*
 * A struct within a struct moves what is behind it when it grows: what the caller's version has
 * there begins where the caller's header information ends.
 */
enum {
    HEAD_BYTES = offsetof(struct envol_volume_info, header),
    REST_AT = offsetof(struct envol_volume_info, pages),
    REST_BYTES = sizeof(struct envol_volume_info) - REST_AT,
    REST_FIRST = ENVOL_FIRST_volume_info - HEAD_BYTES - ENVOL_FIRST_header_info
};
_Static_assert(REST_AT == HEAD_BYTES + sizeof(struct envol_header_info), "no padding between");

static bool fits(const struct envol_volume_info *info)
{
    return ENVOL_FITS(volume_info, info) && ENVOL_FITS(header_info, &info->header) &&
           info->struct_size >= HEAD_BYTES + info->header.struct_size + REST_FIRST;
}

static void clear(struct envol_volume_info *info)
{
    size_t header_bytes = info->header.struct_size;

    envol_sized_clear(info);
    info->header.struct_size = header_bytes;
}

static void give(struct envol_volume_info *info, const struct envol_volume_info *whole)
{
    size_t at = HEAD_BYTES + info->header.struct_size;
    size_t bytes = info->struct_size - at;

    ENVOL_GIVE(header_info, &info->header, &whole->header);
    memcpy((char *)info + at, (const char *)whole + REST_AT,
           bytes < REST_BYTES ? bytes : REST_BYTES);
}

/* Holds growth.  In a child the lease is the parent's, and only the end of it is known here. */
static void show_lease(struct envol_volume *volume, struct envol_volume_info *info)
{
    struct envol_lease_info lease = {.struct_size = sizeof(lease)};

    if (volume->lease != NULL && envol_lease_info(volume->lease, &lease) != ENVOL_OK)
        lease.state = ENVOL_LEASE_AVAILABLE;
    if (envol_keyring_check(volume->keyring) == ENVOL_E_KEY_REVOKED)
        lease.state = ENVOL_LEASE_INACCESSIBLE;
    info->lease_state = lease.state;
    info->lease_status = lease.last_status;
    info->lease_next_ms = lease.next_check_ms;
    info->lease_checked_ms = lease.last_check_ms;
    info->lease_checked_at_s = lease.last_check_at_s;
    info->lease_deadline_ms = lease.deadline_ms;
}

enum envol_status envol_volume_info(struct envol_volume *volume, struct envol_volume_info *info)
{
    struct envol_volume_info whole = {.header.struct_size = sizeof(whole.header)};
    enum envol_status status;

    if (!fits(info))
        return ENVOL_E_ARGUMENT;
    clear(info);
    status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);
    if (status != ENVOL_OK)
        return status;
    lock_growth(volume);
    status = envol_header_info(volume->header, &whole.header);
    show_lease(volume, &whole);
    unlock_growth(volume);
    if (status == ENVOL_OK) {
        whole.pages = atomic_load(&volume->pages);
        whole.opened_slot = volume->opened_slot;
        whole.read_only = volume->read_only;
        /* Lanes and objects of a keyring are not known to it. */
        whole.keys_locked = envol_keyring_locked(volume->keyring) &&
                            !envol_arena_uses_unlocked(volume->keyring->flags);
        whole.kernel = volume->keyring->kernel->name;
        if (volume->image != NULL)
            memcpy(whole.snapshot, volume->image->snapshot->record.uuid, ENVOL_UUID_BYTES);
        give(info, &whole);
    }
    envol_volume_leave(volume);
    return status;
}

uint64_t envol_volume_pages(struct envol_volume *volume)
{
    return atomic_load_explicit(&volume->pages, memory_order_acquire);
}

const struct envol_keyring *envol_volume_keyring(const struct envol_volume *volume)
{
    return volume->keyring;
}

/* Pages that are overwritten in place and synced leave the header as it is: an anchor of it would
 * allow the way back to before they were written. */
enum envol_status envol_volume_anchor(struct envol_volume *volume, struct envol_anchor *anchor)
{
    enum envol_status status;
    bool writes;

    if (!ENVOL_FITS(anchor, anchor))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(anchor);
    status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);
    writes = status == ENVOL_OK;
    if (status == ENVOL_E_READ_ONLY || status == ENVOL_E_KEY_REVOKED)
        status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);
    if (status != ENVOL_OK)
        return status;
    lock_growth(volume);
    if (writes && envol_volume_is_own(volume))
        status = envol_volume_commit(volume, volume->mark, volume->clean, NULL);
    if (status == ENVOL_OK)
        status = envol_header_anchor(volume->header, anchor);
    unlock_growth(volume);
    envol_volume_leave(volume);
    return status;
}

/* Growth keeps the header's lock from being taken twice by one handle. */
static enum envol_status copy_bytes(struct envol_volume *volume, void *bytes,
                                    struct envol_error *error)
{
    uint8_t *aligned = envol_alloc(ENVOL_HEADER_BYTES, ENVOL_BUFFER_ALIGN);
    size_t got = 0;
    enum envol_status status;

    if (aligned == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    pthread_mutex_lock(&volume->growth);
    status = envol_volume_read_copies(volume->store, true, aligned, &got, error);
    pthread_mutex_unlock(&volume->growth);
    if (status == ENVOL_OK && got < ENVOL_HEADER_BYTES)
        status = envol_fail(error, ENVOL_E_TRUNCATED, "the store ends within the header");
    if (status == ENVOL_OK)
        memcpy(bytes, aligned, ENVOL_HEADER_BYTES);
    envol_free(aligned);
    return status;
}

enum envol_status envol_volume_header_bytes(struct envol_volume *volume, void *bytes,
                                            struct envol_error *error)
{
    enum envol_status status;

    if (bytes == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "NULL bytes");
    memset(bytes, 0, ENVOL_HEADER_BYTES);
    if (volume != NULL && envol_image_is_own(volume)) /* the writer's store, and so its locks */
        volume = volume->image->of;
    status = envol_volume_enter(volume, ENVOL_ACCESS_LOOK);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_is_own(volume) ? copy_bytes(volume, bytes, error)
                                         : envol_fail(error, ENVOL_E_FORKED, NULL);
    envol_volume_leave(volume);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

enum envol_status envol_volume_inspect(struct envol_store *store, struct envol_header_info *info,
                                       struct envol_header **header, struct envol_error *error)
{
    struct envol_header *read = NULL;
    enum envol_status status;

    if (header != NULL)
        *header = NULL;
    if (!ENVOL_FITS(header_info, info))
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL info, or its struct_size is too small");
    envol_sized_clear(info);
    if (store == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    status = envol_store_check_owner(store, error);
    if (status == ENVOL_OK)
        status = envol_volume_read_header(store, 0, !envol_store_is_claimed(store), &read, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_header_info(read, info);
    if (header != NULL)
        *header = read;
    else
        envol_header_free(read);
    envol_error_clear(error);
    return status;
}
