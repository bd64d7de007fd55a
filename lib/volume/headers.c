/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header on a store: reading both copies, and the update protocol of envol(5), UPDATES.  A
 * crash at any point of it leaves one copy that opens.
 */
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "header/header.h"
#include "page/revoke.h"
#include "volume/snapshot.h"

#include <string.h>

/* What an update holds: both copies as they were found, and the one to be written. */
struct update {
    const struct envol_header_io *io;
    uint8_t *current;
    uint8_t *copy;
    struct envol_error *error;
};

static enum envol_status step_failed(const struct update *update, enum envol_status status,
                                     const char *what)
{
    return envol_fail(update->error, status, "header update: %s: %s", what,
                      envol_status_message(status));
}

static enum envol_status read_both(const struct update *update)
{
    for (uint32_t i = 0; i < 2; i++) {
        enum envol_status status =
            update->io->read(update->io->ctx, i, update->current + i * ENVOL_HEADER_COPY_BYTES);
        if (status != ENVOL_OK)
            return step_failed(update, status, "reading");
    }
    return ENVOL_OK;
}

static enum envol_status write_copy(const struct update *update, uint32_t which,
                                    const uint8_t *copy)
{
    enum envol_status status = update->io->write(update->io->ctx, which, copy);

    if (status != ENVOL_OK)
        return step_failed(update, status, "writing");
    status = update->io->sync(update->io->ctx);
    return status == ENVOL_OK ? status : step_failed(update, status, "syncing");
}

/* The second copy is overwritten only when the first one is known to be there. */
static enum envol_status prove_copy(const struct update *update, uint32_t which)
{
    enum envol_status status = update->io->read(update->io->ctx, which, update->current);

    if (status != ENVOL_OK)
        return step_failed(update, status, "reading back");
    if (memcmp(update->current, update->copy, ENVOL_HEADER_COPY_BYTES) != 0)
        return step_failed(update, ENVOL_E_CORRUPT, "reading back");
    return ENVOL_OK;
}

/*
 * A process that was killed, or a sync that failed, may have left the newer copy in a cache and not
 * on the disk.  The older one must not be overwritten before the newer one is there: it is written
 * again as it was found, which a crash cannot make worse, and synced.
 */
static enum envol_status settle(const struct update *update, uint32_t newest)
{
    return write_copy(update, newest, update->current + newest * ENVOL_HEADER_COPY_BYTES);
}

static enum envol_status run_update(const struct update *update, struct envol_header *header,
                                    const struct envol_keyring *keyring)
{
    bool settled = header->settled;
    uint32_t first;
    enum envol_status status = read_both(update);

    if (status != ENVOL_OK)
        return status;
    status = envol_header_prepare(header, keyring, update->current, update->copy, &first);
    if (status != ENVOL_OK)
        return step_failed(update, status, "preparing");
    if (!settled)
        status = settle(update, 1 - first);
    if (status == ENVOL_OK)
        status = write_copy(update, first, update->copy);
    if (status == ENVOL_OK)
        status = prove_copy(update, first);
    if (status == ENVOL_OK)
        status = write_copy(update, 1 - first, update->copy);
    return status == ENVOL_OK ? envol_header_committed(header, update->copy) : status;
}

static bool take_io(const struct envol_header_io *given, struct envol_header_io *io)
{
    return given != NULL && ENVOL_TAKE(header_io, given, io) && io->lock != NULL &&
           io->unlock != NULL && io->read != NULL && io->write != NULL && io->sync != NULL;
}

enum envol_status envol_header_commit(struct envol_header *header,
                                      const struct envol_keyring *keyring,
                                      const struct envol_header_io *io, struct envol_error *error)
{
    struct envol_header_io whole;
    struct update update = {.io = &whole, .error = error};
    enum envol_status status;

    if (header == NULL || keyring == NULL || !take_io(io, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL header or keyring, or callbacks that are missing");
    /* Before the lock: a forked child shares its parent's, and would drop it. */
    status = envol_keyring_check(keyring);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    update.current = envol_alloc(ENVOL_HEADER_BYTES + ENVOL_HEADER_COPY_BYTES, ENVOL_BUFFER_ALIGN);
    if (update.current == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    update.copy = update.current + ENVOL_HEADER_BYTES;
    status = whole.lock(whole.ctx);
    if (status != ENVOL_OK) {
        step_failed(&update, status, "locking");
        goto out;
    }
    status = run_update(&update, header, keyring);
    whole.unlock(whole.ctx);
out:
    envol_free(update.current);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

enum envol_status envol_volume_read_copies(struct envol_store *store, bool locked, uint8_t *bytes,
                                           size_t *got, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (locked)
        status = envol_store_lock(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED, 1, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_store_read(store, 0, bytes, ENVOL_HEADER_BYTES, got, error);
    if (locked)
        (void)envol_store_lock(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_NONE, 0, NULL);
    return status;
}

enum envol_status envol_volume_read_header(struct envol_store *store, uint32_t decode_flags,
                                           bool locked, struct envol_header **header,
                                           struct envol_error *error)
{
    uint8_t *bytes = envol_alloc(ENVOL_HEADER_BYTES, ENVOL_BUFFER_ALIGN);
    size_t got = 0;
    enum envol_status status;

    if (bytes == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_volume_read_copies(store, locked, bytes, &got, error);
    /* A store that ends within the second copy may still hold the first. */
    if (status == ENVOL_OK)
        status = envol_header_decode(bytes, decode_flags, header, error);
    if (status == ENVOL_E_CORRUPT && got < ENVOL_HEADER_BYTES)
        status = envol_fail(error, ENVOL_E_TRUNCATED, "the store ends within the header");
    envol_free(bytes);
    return status;
}

/* The store's hands for envol_header_commit. */
struct hands {
    struct envol_volume *volume;
    struct envol_error error; /* of the step that failed: it knows the errno */
};

/* Whoever waited in vain only asks from then on: every call that writes would wait again, one after
 * the other. */
static enum envol_status hand_lock(void *ctx)
{
    struct hands *hands = ctx;
    struct envol_volume *volume = hands->volume;
    enum envol_status status =
        envol_store_lock(volume->store, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE,
                         !volume->header_busy, &hands->error);

    volume->header_busy = status == ENVOL_E_BUSY;
    return status;
}

static void hand_unlock(void *ctx)
{
    struct hands *hands = ctx;

    (void)envol_store_lock(hands->volume->store, ENVOL_LOCK_HEADER, ENVOL_LOCK_NONE, 0, NULL);
}

static enum envol_status hand_read(void *ctx, uint32_t copy, void *buffer)
{
    struct hands *hands = ctx;
    size_t got;

    return envol_store_read(hands->volume->store, (uint64_t)copy * ENVOL_HEADER_COPY_BYTES, buffer,
                            ENVOL_HEADER_COPY_BYTES, &got, &hands->error);
}

static enum envol_status hand_write(void *ctx, uint32_t copy, const void *buffer)
{
    struct hands *hands = ctx;

    return envol_store_write(hands->volume->store, (uint64_t)copy * ENVOL_HEADER_COPY_BYTES, buffer,
                             ENVOL_HEADER_COPY_BYTES, &hands->error);
}

static enum envol_status hand_sync(void *ctx)
{
    struct hands *hands = ctx;

    return envol_volume_flush(hands->volume, &hands->error);
}

/* Before the sync: who writes a page while it goes on may find the page synced. */
static void note_sync(struct envol_volume *volume)
{
    uint64_t pages = atomic_load(&volume->pages);
    uint64_t known = atomic_load(&volume->synced);

    while (known < pages && !atomic_compare_exchange_weak(&volume->synced, &known, pages))
        ;
}

enum envol_status envol_volume_flush(struct envol_volume *volume, struct envol_error *error)
{
    enum envol_status status;

    if (atomic_load(&volume->sync_failed))
        return envol_fail(error, ENVOL_E_IO,
                          "an earlier sync failed: open the volume again to see what is there");
    note_sync(volume);
    status = envol_store_sync(volume->store, error);
    if (status != ENVOL_OK)
        atomic_store(&volume->sync_failed, true);
    return status;
}

enum envol_status envol_volume_write_header(struct envol_volume *volume,
                                            struct envol_header *header,
                                            const struct envol_keyring *keyring,
                                            struct envol_error *error)
{
    struct hands hands = {.volume = volume, .error = ENVOL_ERROR_INIT};
    const struct envol_header_io io = {
        .struct_size = sizeof(io),
        .ctx = &hands,
        .lock = hand_lock,
        .unlock = hand_unlock,
        .read = hand_read,
        .write = hand_write,
        .sync = hand_sync,
    };
    enum envol_status status = envol_header_commit(header, keyring, &io, error);

    if (status != ENVOL_OK)
        envol_error_set_errno(error, hands.error.os_errno);
    return status;
}

enum envol_status envol_volume_commit(struct envol_volume *volume, uint64_t high_water, bool clean,
                                      struct envol_error *error)
{
    uint64_t seals = envol_keyring_seals(volume->keyring);
    enum envol_status status =
        envol_header_set_pages(volume->header, high_water, clean, seals - volume->seals);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    volume->seals = seals;
    envol_snapshots_note(volume);
    status = envol_volume_write_header(volume, volume->header, volume->keyring, error);
    if (status != ENVOL_OK) {
        atomic_store(&volume->header_due, true);
        volume->header->high_water = volume->mark;
        volume->header->clean = volume->clean;
        return status;
    }
    volume->mark = high_water;
    volume->clean = clean;
    atomic_store(&volume->header_due, false);
    return ENVOL_OK;
}
