/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a store of a vtable, and the checked calls around it. */
#include "store/store.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { ALIGNMENT_BYTES_MAX = 4096 };

static bool is_usable(const struct envol_store_vtable *vtable)
{
    return vtable->name != NULL && vtable->read != NULL && vtable->write != NULL &&
           vtable->sync != NULL && vtable->size != NULL && vtable->resize != NULL &&
           vtable->lock != NULL;
}

static bool is_alignment(uint32_t bytes)
{
    return bytes > 0 && bytes <= ALIGNMENT_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

static void close_state(const struct envol_store_vtable *vtable, void *state)
{
    if (vtable->close != NULL)
        vtable->close(state);
}

enum envol_status envol_store_open(const struct envol_store_vtable *vtable, void *state,
                                   uint32_t alignment_bytes, struct envol_store **store)
{
    enum envol_status status = ENVOL_E_ARGUMENT;
    struct envol_store_vtable whole;
    struct envol_store *opened;

    if (store != NULL)
        *store = NULL;
    /* A vtable that is too short has no close that could be called. */
    if (vtable == NULL || !ENVOL_TAKE(store_vtable, vtable, &whole))
        return ENVOL_E_ARGUMENT;
    if (store == NULL || !is_usable(&whole) || !is_alignment(alignment_bytes))
        goto out;
    status = ENVOL_E_NO_MEMORY;
    opened = envol_alloc(sizeof(*opened), _Alignof(struct envol_store));
    if (opened == NULL)
        goto out;
    opened->vtable = whole;
    opened->state = state;
    opened->alignment_bytes = alignment_bytes;
    opened->generation = envol_process_generation();
    if (opened->generation == 0) {
        envol_free(opened);
        goto out;
    }
    *store = opened;
    return ENVOL_OK;
out:
    close_state(&whole, state);
    return status;
}

void envol_store_close(struct envol_store *store)
{
    if (store == NULL)
        return;
    close_state(&store->vtable, store->state);
    envol_free(store);
}

/* errno means something only beside ENVOL_E_IO, and there always something. */
static enum envol_status failed(const struct envol_store *store, enum envol_status status,
                                const char *what, struct envol_error *error)
{
    int os_errno = errno != 0 ? errno : EIO;

    if (status == ENVOL_E_IO)
        return envol_fail_errno(error, status, os_errno, "%s store: %s", store->vtable.name, what);
    return envol_fail(error, status, "%s store: %s: %s", store->vtable.name, what,
                      envol_status_message(status));
}

static enum envol_status failed_range(const struct envol_store *store, enum envol_status status,
                                      const char *verb, uint64_t offset, uint64_t bytes,
                                      struct envol_error *error)
{
    int os_errno = errno != 0 ? errno : EIO;

    if (status == ENVOL_E_IO)
        return envol_fail_errno(error, status, os_errno,
                                "%s store: %s of %" PRIu64 " bytes at %" PRIu64, store->vtable.name,
                                verb, bytes, offset);
    return envol_fail(error, status, "%s store: %s of %" PRIu64 " bytes at %" PRIu64 ": %s",
                      store->vtable.name, verb, bytes, offset, envol_status_message(status));
}

static enum envol_status check_range(const struct envol_store *store, const char *verb,
                                     uint64_t offset, uint64_t bytes, struct envol_error *error)
{
    if (offset >= ENVOL_STORE_END || bytes >= ENVOL_STORE_END - offset)
        return failed_range(store, ENVOL_E_RANGE, verb, offset, bytes, error);
    if ((offset | bytes) & (store->alignment_bytes - 1))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "%s store: %s of %" PRIu64 " bytes at %" PRIu64
                          " is not aligned to %" PRIu32 " bytes",
                          store->vtable.name, verb, bytes, offset, store->alignment_bytes);
    return ENVOL_OK;
}

static enum envol_status check_transfer(const struct envol_store *store, const char *verb,
                                        uint64_t offset, const void *buffer, size_t bytes,
                                        struct envol_error *error)
{
    if ((buffer == NULL && bytes > 0) || (uintptr_t)buffer & (store->alignment_bytes - 1))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "%s store: the buffer of a %s is not aligned to %" PRIu32 " bytes",
                          store->vtable.name, verb, store->alignment_bytes);
    return check_range(store, verb, offset, bytes, error);
}

enum envol_status envol_store_read(struct envol_store *store, uint64_t offset, void *buffer,
                                   size_t bytes, size_t *got, struct envol_error *error)
{
    size_t count = 0;
    enum envol_status status = check_transfer(store, "read", offset, buffer, bytes, error);

    *got = 0;
    if (status == ENVOL_OK && bytes > 0) {
        errno = 0;
        status = store->vtable.read(store->state, offset, buffer, bytes, &count);
        if (status == ENVOL_OK && count > bytes) {
            errno = EOVERFLOW;
            status = ENVOL_E_IO;
        }
        if (status != ENVOL_OK)
            failed_range(store, status, "read", offset, bytes, error);
    }
    if (status != ENVOL_OK)
        count = 0;
    if (buffer != NULL)
        memset((char *)buffer + count, 0, bytes - count);
    *got = count;
    return status;
}

enum envol_status envol_store_read_full(struct envol_store *store, uint64_t offset, void *buffer,
                                        size_t bytes, struct envol_error *error)
{
    size_t got;
    enum envol_status status = envol_store_read(store, offset, buffer, bytes, &got, error);

    if (status != ENVOL_OK || got == bytes)
        return status;
    memset(buffer, 0, bytes);
    return failed_range(store, ENVOL_E_TRUNCATED, "read", offset, bytes, error);
}

enum envol_status envol_store_write(struct envol_store *store, uint64_t offset, const void *buffer,
                                    size_t bytes, struct envol_error *error)
{
    enum envol_status status = check_transfer(store, "write", offset, buffer, bytes, error);

    if (status != ENVOL_OK || bytes == 0)
        return status;
    errno = 0;
    status = store->vtable.write(store->state, offset, buffer, bytes);
    if (status != ENVOL_OK)
        failed_range(store, status, "write", offset, bytes, error);
    return status;
}

enum envol_status envol_store_sync(struct envol_store *store, struct envol_error *error)
{
    enum envol_status status;

    errno = 0;
    status = store->vtable.sync(store->state);
    return status == ENVOL_OK ? status : failed(store, status, "sync", error);
}

enum envol_status envol_store_size(struct envol_store *store, uint64_t *bytes,
                                   struct envol_error *error)
{
    uint64_t size = 0;
    enum envol_status status;

    *bytes = 0;
    errno = 0;
    status = store->vtable.size(store->state, &size);
    if (status == ENVOL_OK && size >= ENVOL_STORE_END)
        status = ENVOL_E_RANGE;
    if (status != ENVOL_OK)
        return failed(store, status, "size", error);
    *bytes = size;
    return ENVOL_OK;
}

enum envol_status envol_store_resize(struct envol_store *store, uint64_t bytes,
                                     struct envol_error *error)
{
    enum envol_status status;

    if (bytes >= ENVOL_STORE_END)
        return failed(store, ENVOL_E_RANGE, "resize", error);
    errno = 0;
    status = store->vtable.resize(store->state, bytes);
    return status == ENVOL_OK ? status : failed(store, status, "resize", error);
}

enum envol_status envol_store_discard(struct envol_store *store, uint64_t offset, uint64_t bytes,
                                      struct envol_error *error)
{
    uint64_t size;
    enum envol_status status = check_range(store, "discard", offset, bytes, error);

    if (status != ENVOL_OK)
        return status;
    if (store->vtable.discard == NULL)
        return failed(store, ENVOL_E_UNSUPPORTED, "discard", error);
    status = envol_store_size(store, &size, error);
    if (status != ENVOL_OK)
        return status;
    if (offset + bytes > size)
        return failed_range(store, ENVOL_E_RANGE, "discard", offset, bytes, error);
    if (bytes == 0)
        return ENVOL_OK;
    errno = 0;
    status = store->vtable.discard(store->state, offset, bytes);
    if (status != ENVOL_OK)
        failed_range(store, status, "discard", offset, bytes, error);
    return status;
}

enum envol_status envol_store_check_owner(const struct envol_store *store,
                                          struct envol_error *error)
{
    if (store->generation == envol_process_generation())
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_FORKED,
                      "the %s store was opened before a fork: a child opens its own",
                      store->vtable.name);
}

enum envol_status envol_store_lock(struct envol_store *store, enum envol_store_lock lock,
                                   enum envol_lock_mode mode, int wait, struct envol_error *error)
{
    enum envol_status status;

    if ((unsigned)lock > ENVOL_LOCK_HEADER || (unsigned)mode > ENVOL_LOCK_EXCLUSIVE)
        return failed(store, ENVOL_E_ARGUMENT, "lock", error);
    status = envol_store_check_owner(store, mode == ENVOL_LOCK_NONE ? NULL : error);
    if (status != ENVOL_OK)
        return mode == ENVOL_LOCK_NONE ? ENVOL_OK : status;
    errno = 0;
    status = store->vtable.lock(store->state, lock, mode, wait);
    return status == ENVOL_OK ? status : failed(store, status, "lock", error);
}

bool envol_store_claim(struct envol_store *store)
{
    return !atomic_exchange(&store->claimed, true);
}

void envol_store_release(struct envol_store *store)
{
    atomic_store(&store->claimed, false);
}

bool envol_store_is_claimed(const struct envol_store *store)
{
    return atomic_load(&store->claimed);
}
