/* SPDX-License-Identifier: BSD-2-Clause */
/* Re-sealing: a record of an older epoch, opened and sealed again under the object's. */
#include "page/seal.h"

#include <string.h>

static enum envol_status reseal_gcm(const struct envol_object *object, struct envol_lane *lane,
                                    uint32_t from_epoch, struct envol_page_op *op,
                                    const void *record_in)
{
    const uint8_t *trailer =
        (const uint8_t *)record_in + object->keyring->stride_bytes - ENVOL_TRAILER_BYTES;
    struct envol_trailer old;
    enum envol_record_type type = ENVOL_RECORD_PAGE;

    if (!envol_trailer_decode(trailer, &old) || (from_epoch != 0 && old.epoch != from_epoch))
        return ENVOL_E_CORRUPT;
    op->record = (void *)record_in;
    envol_gcm_unseal_pages(object, lane, op, 1);
    if (op->status == ENVOL_E_UNWRITTEN)
        type = ENVOL_RECORD_HOLE;
    else if (op->status != ENVOL_OK)
        return op->status;
    op->record = op->page;
    envol_gcm_seal_pages(object, lane, type, op, 1);
    return op->status;
}

static enum envol_status reseal_xts(const struct envol_object *object, struct envol_lane *lane,
                                    uint32_t from_epoch, struct envol_page_op *op,
                                    const void *record_in)
{
    const struct envol_epoch_keys *keys;
    enum envol_status status;

    if (from_epoch == 0)
        return ENVOL_E_ARGUMENT;
    status = envol_keyring_lookup(object->keyring, from_epoch, &keys);
    if (status != ENVOL_OK)
        return status;
    op->record = (void *)record_in;
    envol_xts_unseal_pages(object, lane, from_epoch, op, 1);
    if (op->status != ENVOL_OK)
        return op->status;
    op->record = op->page;
    envol_xts_seal_pages(object, lane, object->epoch, op, 1);
    return op->status;
}

/* Keys are held. */
static enum envol_status reseal(const struct envol_object *object, struct envol_lane *lane,
                                uint32_t from_epoch, struct envol_page_op *op,
                                const void *record_in)
{
    if (record_in == NULL || op->page == NULL)
        return ENVOL_E_ARGUMENT;
    if (op->page_no >= (UINT64_C(1) << 63) / object->keyring->stride_bytes)
        return ENVOL_E_RANGE;
    if (object->keyring->suite == ENVOL_SUITE_AES_256_GCM)
        return reseal_gcm(object, lane, from_epoch, op, record_in);
    return reseal_xts(object, lane, from_epoch, op, record_in);
}

enum envol_status envol_page_reseal(const struct envol_object *object, struct envol_lane *lane,
                                    uint64_t page_no, uint32_t from_epoch, const void *record_in,
                                    void *record_out)
{
    struct envol_page_op op = {.page_no = page_no, .page = record_out};
    enum envol_status status = envol_lane_enter(object, lane);

    if (status == ENVOL_OK) {
        status = reseal(object, lane, from_epoch, &op, record_in);
        envol_lane_leave(object, lane);
    }
    if (status != ENVOL_OK && object != NULL && record_out != NULL)
        memset(record_out, 0, object->keyring->stride_bytes);
    return status;
}
