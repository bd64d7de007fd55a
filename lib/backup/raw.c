/* SPDX-License-Identifier: BSD-2-Clause */
/* Raw copies: a store's bytes, while nobody writes them. */
#include "backup/message.h"
#include "base/error.h"
#include "base/memory.h"
#include "store/store.h"

#include <envol/backup.h>

#define PIECE_BYTES ((size_t)1 << 20)

static enum envol_status give(envol_backup_sink *sink, void *ctx, const void *bytes, size_t count,
                              struct envol_error *error)
{
    int answer = sink(ctx, bytes, count);

    return answer == 0 ? ENVOL_OK : envol_callback_fail(answer, "the copy", "written", error);
}

static enum envol_status copy_all(struct envol_store *store, envol_backup_sink *sink, void *ctx,
                                  envol_backup_progress *progress, void *progress_ctx,
                                  uint8_t *piece, struct envol_error *error)
{
    uint64_t bytes;
    size_t got = 1;
    enum envol_status status = envol_store_size(store, &bytes, error);

    for (uint64_t at = 0; status == ENVOL_OK && at < bytes; at += got) {
        status = envol_store_read(store, at, piece, PIECE_BYTES, &got, error);
        if (status == ENVOL_OK && got == 0)
            status = envol_fail(error, ENVOL_E_IO, "the store gave fewer bytes than it holds");
        if (status == ENVOL_OK)
            status = give(sink, ctx, piece, got, error);
        if (status == ENVOL_OK && progress != NULL && progress(progress_ctx, at + got, bytes) != 0)
            status = envol_fail(error, ENVOL_E_CANCELLED, "cancelled");
    }
    return status;
}

/* The writer's lock, shared: other copies and readers may go on. */
static enum envol_status keep_writers_out(struct envol_store *store, struct envol_error *error)
{
    enum envol_status status = envol_store_check_owner(store, error);

    if (status != ENVOL_OK)
        return status;
    if (!envol_store_claim(store))
        return envol_fail(error, ENVOL_E_BUSY, "a volume is open on this store handle");
    status = envol_store_lock(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_SHARED, 0, error);
    if (status != ENVOL_OK)
        envol_store_release(store);
    return status;
}

enum envol_status envol_backup_raw(struct envol_store *store, envol_backup_sink *sink, void *ctx,
                                   envol_backup_progress *progress, void *progress_ctx,
                                   struct envol_error *error)
{
    struct envol_header_info info = {.struct_size = sizeof(info)};
    uint8_t *piece;
    enum envol_status status;

    if (store == NULL || sink == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    status = envol_volume_inspect(store, &info, NULL, error);
    if (status != ENVOL_OK)
        return status;
    piece = envol_alloc(PIECE_BYTES, 4096);
    if (piece == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = keep_writers_out(store, error);
    if (status == ENVOL_OK) {
        status = copy_all(store, sink, ctx, progress, progress_ctx, piece, error);
        (void)envol_store_lock(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_NONE, 0, NULL);
        envol_store_release(store);
    }
    envol_free(piece);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
