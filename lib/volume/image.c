/* SPDX-License-Identifier: BSD-2-Clause */
/* Images of snapshots: read-only volumes whose records come from two places (snapshot.h). */
#include "base/error.h"
#include "base/memory.h"
#include "volume/snapshot.h"

#include <string.h>

static struct envol_image *make(struct envol_snapshot *snapshot)
{
    struct envol_image *image = envol_alloc(sizeof(*image), _Alignof(struct envol_image));

    if (image == NULL)
        return NULL;
    image->snapshot = snapshot;
    image->lock = &image->own;
    if (pthread_mutex_init(&image->own, NULL) == 0)
        return image;
    envol_free(image);
    return NULL;
}

bool envol_image_is_own(const struct envol_volume *volume)
{
    return volume->image != NULL && volume->image->of != NULL;
}

/* In a child the mutexes may be held by threads that do not exist. */
void envol_image_close(struct envol_image *image, bool own)
{
    if (image == NULL)
        return;
    if (image->of == NULL) {
        envol_snapshot_close(image->snapshot);
    } else if (own) {
        pthread_mutex_lock(image->lock);
        image->snapshot->images--;
        pthread_mutex_unlock(image->lock);
    }
    if (own)
        pthread_mutex_destroy(&image->own);
    envol_free(image);
}

/* --- Another process's --- */

enum envol_status envol_image_take(struct envol_volume *volume, struct envol_store *store,
                                   const uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error)
{
    const struct envol_snapshot_record *record = envol_snapshots_find(volume->header, uuid);
    struct envol_snapshot *snapshot;
    enum envol_status status;

    if (record == NULL) {
        envol_store_close(store);
        return envol_fail(error, ENVOL_E_RANGE, "the volume has no such snapshot");
    }
    status = envol_snapshot_open_file(volume, store, record, &snapshot, error);
    if (status != ENVOL_OK)
        return status;
    volume->image = make(snapshot);
    if (volume->image == NULL) {
        envol_snapshot_close(snapshot);
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    }
    /* No record of an image is being written: what is torn by now is kept by then. */
    atomic_store(&volume->patience_ms, 0);
    return envol_volume_measure(volume, error);
}

/* --- The writer's own --- */

/* A copy for a handle of its own: the writer's changes under growth. */
static enum envol_status copy_header(struct envol_volume *volume, struct envol_header **copy)
{
    struct envol_header *made = envol_alloc(sizeof(*made), _Alignof(struct envol_header));
    enum envol_status status = ENVOL_OK;

    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    pthread_mutex_lock(&volume->growth);
    *made = *volume->header;
    made->slot_count = 0;
    memset(made->slots, 0, sizeof(made->slots));
    envol_header_refresh_context(made);
    for (uint32_t i = 0; status == ENVOL_OK && i < volume->header->slot_count; i++) {
        status = envol_slot_copy(volume->header->slots[i], &made->slots[i]);
        made->slot_count += status == ENVOL_OK;
    }
    pthread_mutex_unlock(&volume->growth);
    if (status != ENVOL_OK) {
        envol_header_free(made);
        return status;
    }
    *copy = made;
    return ENVOL_OK;
}

/* Holds access: the snapshot stays while it is counted. */
static enum envol_status open_own(struct envol_volume *volume, struct envol_snapshot *snapshot,
                                  struct envol_volume **made, struct envol_error *error)
{
    struct envol_image *image = make(snapshot);
    struct envol_header *header = NULL;
    enum envol_status status = image == NULL ? ENVOL_E_NO_MEMORY : copy_header(volume, &header);

    if (image == NULL)
        return envol_fail(error, status, NULL);
    image->of = volume;
    image->lock = &volume->snapshots->lock;
    pthread_mutex_lock(image->lock);
    snapshot->images++;
    pthread_mutex_unlock(image->lock);
    if (status != ENVOL_OK) {
        envol_image_close(image, true);
        return envol_fail(error, status, NULL);
    }
    return envol_volume_make_image(volume, header, image, made, error);
}

enum envol_status envol_snapshot_open(struct envol_volume *volume,
                                      const uint8_t uuid[ENVOL_UUID_BYTES],
                                      struct envol_volume **image, struct envol_error *error)
{
    struct envol_snapshot *snapshot;
    enum envol_status status;

    if (image != NULL)
        *image = NULL;
    if (image == NULL || uuid == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL uuid or image");
    status = envol_volume_enter(volume, ENVOL_ACCESS_READ);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (!envol_volume_is_own(volume))
        status = envol_fail(error, ENVOL_E_FORKED, NULL);
    else if (volume->snapshots == NULL)
        status = envol_fail(error, ENVOL_E_STATE, "not a writer's handle that has a space");
    else if ((snapshot = envol_snapshots_get(volume->snapshots, uuid)) == NULL)
        status = envol_fail(error, ENVOL_E_RANGE, "there is no such snapshot");
    else
        status = open_own(volume, snapshot, image, error);
    envol_volume_leave(volume);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

/* --- Reading --- */

/* Where the file has the records of a chunk; 0: it has not.  follows: new entries are read first.
 */
static enum envol_status find(const struct envol_image *image, uint64_t chunk, bool follows,
                              uint64_t *at, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(image->lock);
    *at = envol_chunks_find(&image->snapshot->chunks, chunk);
    if (*at == 0 && follows && image->of == NULL) {
        status = envol_snapshot_follow(image->snapshot, error);
        *at = envol_chunks_find(&image->snapshot->chunks, chunk);
    }
    pthread_mutex_unlock(image->lock);
    return status;
}

/* Records of one chunk.  What the volume answers counts only if the chunk is not kept by then. */
static enum envol_status read_piece(struct envol_volume *volume, uint64_t first, uint64_t n,
                                    uint8_t *records, size_t *got, struct envol_error *error)
{
    const struct envol_image *image = volume->image;
    const struct envol_snapshot *snapshot = image->snapshot;
    uint64_t chunk = first / snapshot->chunk_pages, at;
    size_t bytes = (size_t)n * volume->stride_bytes;
    enum envol_status live = ENVOL_OK, status = find(image, chunk, false, &at, error);

    *got = 0;
    if (status == ENVOL_OK && at == 0) {
        live = envol_store_read(volume->store, envol_volume_offset(volume, first), records, bytes,
                                got, error);
        status = find(image, chunk, true, &at, error);
    }
    if (status != ENVOL_OK || at == 0)
        return status != ENVOL_OK ? status : live;
    *got = bytes;
    return envol_store_read_full(
        snapshot->store, at + (first - chunk * snapshot->chunk_pages) * volume->stride_bytes,
        records, bytes, error);
}

enum envol_status envol_image_read(struct envol_volume *volume, uint64_t first, size_t n,
                                   uint8_t *records, size_t *got, struct envol_error *error)
{
    uint32_t chunk_pages = volume->image->snapshot->chunk_pages;
    bool whole = true;

    *got = 0;
    while (n > 0) {
        uint64_t room = chunk_pages - first % chunk_pages, step = n < room ? n : room;
        size_t piece;
        enum envol_status status = read_piece(volume, first, step, records, &piece, error);
        if (status != ENVOL_OK)
            return status;
        /* Only what lies before a gap is there, for whoever asks for all of it. */
        if (whole)
            *got += piece;
        whole = whole && piece == step * volume->stride_bytes;
        records += step * volume->stride_bytes;
        first += step;
        n -= (size_t)step;
    }
    return ENVOL_OK;
}
