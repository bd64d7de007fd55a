/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values that are too long for a page: blobs one behind the other, each bound to its offset.  A row
 * says where and how long.  Rows that go leave their blob behind, and so does a crash between an
 * append and its commit; an engine for more than an example would copy the others together.
 */
#include "common/bytes.h"
#include "disk.h"
#include "engine.h"

#include <stdlib.h>

enum envol_status values_append(struct engine *engine, const void *value, size_t bytes,
                                uint64_t *offset)
{
    uint8_t *blob = malloc(bytes + ENVOL_TRAILER_BYTES), place[8];
    enum envol_status status = ENVOL_E_NO_MEMORY;

    *offset = engine->values_end;
    store(place, 8, *offset);
    if (blob != NULL)
        status =
            envol_blob_seal(engine->values, engine->lane, place, sizeof place, value, bytes, blob);
    if (status == ENVOL_OK)
        status = disk_write(engine->values_fd, blob, bytes + ENVOL_TRAILER_BYTES, *offset);
    if (status == ENVOL_OK) {
        engine->values_end += bytes + ENVOL_TRAILER_BYTES;
        engine->values_unsynced = true;
    }
    free(blob);
    return status == ENVOL_OK ? ENVOL_OK : engine_fail(engine, status, "a long value");
}

enum envol_status values_reseal(const struct engine *engine, const struct row *row,
                                uint8_t **record, uint32_t *epoch)
{
    size_t bytes = row->value_bytes + ENVOL_TRAILER_BYTES;
    uint8_t place[8];
    enum envol_status status;

    *record = malloc(bytes);
    if (*record == NULL)
        return ENVOL_E_NO_MEMORY;
    store(place, 8, row->offset);
    status = disk_read(engine->values_fd, *record, bytes, row->offset);
    if (status == ENVOL_OK)
        status = envol_trailer_epoch(*record + row->value_bytes, epoch);
    if (status == ENVOL_OK)
        status = envol_blob_reseal(engine->values, engine->lane, place, sizeof place, *record,
                                   bytes, *record);
    if (status != ENVOL_OK) {
        free(*record);
        *record = NULL;
    }
    return status;
}

enum envol_status values_read(const struct engine *engine, struct envol_lane *lane,
                              const struct row *row, void **value)
{
    size_t bytes = row->value_bytes + ENVOL_TRAILER_BYTES;
    uint8_t place[8];
    enum envol_status status;

    *value = malloc(bytes);
    if (*value == NULL)
        return ENVOL_E_NO_MEMORY;
    store(place, 8, row->offset);
    status = disk_read(engine->values_fd, *value, bytes, row->offset);
    if (status == ENVOL_OK)
        status =
            envol_blob_unseal(engine->values, lane, place, sizeof place, *value, bytes, *value);
    if (status != ENVOL_OK) {
        free(*value);
        *value = NULL;
    }
    return status;
}
