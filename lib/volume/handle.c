/* SPDX-License-Identifier: BSD-2-Clause */
/* A volume in memory: put together from header, keyring and store, and taken apart. */
#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "volume/area.h"
#include "volume/rotation.h"
#include "volume/snapshot.h"

#include <inttypes.h>

const uint8_t envol_volume_own_pages[ENVOL_OBJECT_BYTES];

static uint32_t run_of(uint32_t stride_bytes)
{
    uint32_t run = ENVOL_RUN_BYTES / stride_bytes;

    run = run < ENVOL_RUN_MAX ? run : ENVOL_RUN_MAX;
    return run > 0 ? run : 1;
}

static void take_geometry(struct envol_volume *volume)
{
    const struct envol_header *header = volume->header;

    volume->gcm = header->suite == ENVOL_SUITE_AES_256_GCM;
    volume->sparse = (header->incompatible & ENVOL_FEATURE_SPARSE) != 0;
    volume->page_bytes = header->page_bytes;
    volume->stride_bytes = header->stride_bytes;
    volume->data_offset = header->data_offset;
    volume->run = run_of(header->stride_bytes);
    volume->page_max = (ENVOL_STORE_END - 1 - header->data_offset) / header->stride_bytes;
}

/* Under XTS nothing marks a page as written: every record that the store holds is one. */
static enum envol_status count_records(const struct envol_volume *volume, uint64_t *pages,
                                       struct envol_error *error)
{
    uint64_t bytes;
    enum envol_status status = envol_store_size(volume->store, &bytes, error);

    if (status == ENVOL_OK)
        *pages =
            bytes < volume->data_offset ? 0 : (bytes - volume->data_offset) / volume->stride_bytes;
    return status;
}

/*
 * A reader finds what a writer has put above the mark as the writer itself would after a crash.
 * What was found before under this mark need not be looked at again.
 */
static enum envol_status find_pages(struct envol_volume *volume, uint64_t *pages,
                                    struct envol_error *error)
{
    uint64_t mark = volume->header->high_water;
    uint64_t known = atomic_load(&volume->pages);

    if (volume->header->id.generation != volume->measured || known < mark)
        known = mark;
    return envol_volume_find_end(volume, mark, known, pages, error);
}

enum envol_status envol_volume_measure(struct envol_volume *volume, struct envol_error *error)
{
    const struct envol_header *header = volume->header;
    bool is_open = volume->gcm && volume->read_only && !header->clean;
    uint64_t pages = header->high_water;
    uint64_t limit;
    enum envol_status status = ENVOL_OK;

    if (volume->image != NULL) {
        is_open = false;
        pages = volume->image->snapshot->record.pages;
    } else if (is_open)
        status = find_pages(volume, &pages, error);
    else if (envol_rotation_is_xts(volume))
        pages = header->rotation.pages; /* a journal may follow them */
    else if (!volume->gcm)
        status = count_records(volume, &pages, error);
    if (status == ENVOL_OK)
        status = envol_rotation_measure(volume, error);
    if (status != ENVOL_OK)
        return status;
    limit = is_open ? header->high_water + envol_volume_window(header->high_water) : pages;
    volume->mark = volume->image != NULL ? pages : header->high_water;
    volume->clean = header->clean;
    volume->measured = header->id.generation;
    atomic_store(&volume->pages, pages);
    atomic_store(&volume->limit, limit < volume->page_max ? limit : volume->page_max);
    return ENVOL_OK;
}

enum envol_status envol_volume_lock_store(struct envol_store *store, bool read_only,
                                          struct envol_error *error)
{
    enum envol_status status = envol_store_check_owner(store, error);

    if (status != ENVOL_OK)
        return status;
    if (!envol_store_claim(store))
        return envol_fail(error, ENVOL_E_BUSY,
                          "a volume is open on this store handle, or an inherited one was");
    if (read_only)
        status = envol_store_lock(store, ENVOL_LOCK_READERS, ENVOL_LOCK_SHARED, 0, error);
    else
        status = envol_store_lock(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0, error);
    if (status != ENVOL_OK)
        envol_store_release(store);
    return status;
}

void envol_volume_unlock_store(struct envol_store *store, bool read_only)
{
    (void)envol_store_lock(store, read_only ? ENVOL_LOCK_READERS : ENVOL_LOCK_WRITER,
                           ENVOL_LOCK_NONE, 0, NULL);
    envol_store_release(store);
}

/* Page I/O never stops in a busy process: who wants to be alone must not wait for that. */
static int init_access(pthread_rwlock_t *access)
{
    pthread_rwlockattr_t attributes;
    int failed = pthread_rwlockattr_init(&attributes);

    if (failed != 0)
        return failed;
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    failed = pthread_rwlock_init(access, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return failed;
}

/* Its holder calls back into the application, which may call what takes it. */
static int init_turn(pthread_mutex_t *turn)
{
    pthread_mutexattr_t attributes;
    int failed = pthread_mutexattr_init(&attributes);

    if (failed != 0)
        return failed;
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    failed = pthread_mutex_init(turn, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return failed;
}

/* The locks of a rotation. */
static bool init_sweep(struct envol_sweep *sweep)
{
    if (pthread_mutex_init(&sweep->turn, NULL) != 0)
        return false;
    if (envol_hot_init(&sweep->hot))
        return true;
    pthread_mutex_destroy(&sweep->turn);
    return false;
}

static enum envol_status init_locks(struct envol_volume *volume)
{
    if (init_access(&volume->access) != 0)
        return ENVOL_E_NO_MEMORY;
    if (pthread_mutex_init(&volume->growth, NULL) != 0) {
        pthread_rwlock_destroy(&volume->access);
        return ENVOL_E_NO_MEMORY;
    }
    if (!init_sweep(&volume->sweep)) {
        pthread_mutex_destroy(&volume->growth);
        pthread_rwlock_destroy(&volume->access);
        return ENVOL_E_NO_MEMORY;
    }
    if (init_turn(&volume->turn) != 0) {
        envol_hot_destroy(&volume->sweep.hot);
        pthread_mutex_destroy(&volume->sweep.turn);
        pthread_mutex_destroy(&volume->growth);
        pthread_rwlock_destroy(&volume->access);
        return ENVOL_E_NO_MEMORY;
    }
    volume->has_locks = true;
    return ENVOL_OK;
}

static enum envol_status check_alignment(const struct envol_volume *volume,
                                         struct envol_error *error)
{
    uint32_t alignment = volume->store->alignment_bytes;

    if (volume->stride_bytes % alignment == 0 && volume->data_offset % alignment == 0)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_ARGUMENT,
                      "records of %" PRIu32 " bytes in a store that is aligned to %" PRIu32,
                      volume->stride_bytes, alignment);
}

/* Of store, header, keyring, and what else was set; frees it on failure. */
static enum envol_status set_up(struct envol_volume *made, struct envol_volume **volume,
                                struct envol_error *error)
{
    enum envol_status status;

    made->generation = envol_process_generation();
    made->patience_ms = made->image == NULL ? ENVOL_PATIENCE_MS : 0;
    take_geometry(made);
    status = check_alignment(made, error);
    if (status != ENVOL_OK)
        goto out;
    status = init_locks(made);
    if (status == ENVOL_OK)
        status = envol_area_open(made);
    if (status == ENVOL_OK)
        status = envol_object_open(made->keyring, envol_volume_own_pages, &made->object);
    if (status != ENVOL_OK) {
        envol_fail(error, status, NULL);
        goto out;
    }
    status = envol_volume_measure(made, error);
    envol_volume_close_lanes(made); /* nobody uses it yet: no locked memory for that */
out:
    if (status != ENVOL_OK)
        envol_volume_free(made);
    else
        *volume = made;
    return status;
}

enum envol_status envol_volume_make(struct envol_store *store, struct envol_header *header,
                                    struct envol_keyring *keyring, bool read_only,
                                    struct envol_volume **volume, struct envol_error *error)
{
    struct envol_volume *made = envol_alloc(sizeof(*made), _Alignof(struct envol_volume));

    *volume = NULL;
    if (made == NULL) {
        envol_keyring_close(keyring);
        envol_header_free(header);
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    }
    made->store = store;
    made->header = header;
    made->keyring = keyring;
    made->read_only = read_only;
    return set_up(made, volume, error);
}

enum envol_status envol_volume_make_image(struct envol_volume *of, struct envol_header *header,
                                          struct envol_image *image, struct envol_volume **volume,
                                          struct envol_error *error)
{
    struct envol_volume *made = envol_alloc(sizeof(*made), _Alignof(struct envol_volume));

    *volume = NULL;
    if (made == NULL) {
        envol_image_close(image, true);
        envol_header_free(header);
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    }
    made->store = of->store;
    made->header = header;
    made->keyring = of->keyring;
    made->read_only = true;
    made->image = image;
    made->opened_slot = of->opened_slot;
    made->opened_by = of->opened_by;
    return set_up(made, volume, error);
}

/*
 * In a child the store's locks are the parent's, and its mutexes may be held by a thread that does
 * not exist.  Children that inherited a volume may go on using it: nobody else is let in, on this
 * store handle or another, until the last of the processes has closed the handle.
 */
void envol_volume_free(struct envol_volume *volume)
{
    bool own = envol_volume_is_own(volume);
    bool is_inherited = (volume->keyring->flags & ENVOL_OPEN_INHERIT) != 0;

    envol_volume_close_lanes(volume);
    envol_area_free(volume->area, own);
    envol_object_close(volume->object);
    envol_object_close(volume->sweep.swept);
    envol_free(volume->sweep.memory);
    if (volume->image == NULL || volume->image->of == NULL)
        envol_keyring_close(volume->keyring);
    envol_image_close(volume->image, own);
    envol_snapshots_close(volume->snapshots, own);
    envol_header_free(volume->header);
    if (own)
        envol_sweep_unlock_readers(volume);
    if (volume->holds_lock && own && !is_inherited)
        envol_volume_unlock_store(volume->store, volume->read_only);
    if (volume->has_locks && own) {
        pthread_mutex_destroy(&volume->turn);
        envol_hot_destroy(&volume->sweep.hot);
        pthread_mutex_destroy(&volume->sweep.turn);
        pthread_mutex_destroy(&volume->growth);
        pthread_rwlock_destroy(&volume->access);
    }
    envol_free(volume);
}
