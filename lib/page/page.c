/* SPDX-License-Identifier: BSD-2-Clause */
/* The public page calls: arguments, ranges, and the suite's hands. */
#include "page/seal.h"

#include <string.h>

enum envol_status envol_ops_status(const struct envol_page_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].status != ENVOL_OK)
            return ops[i].status;
    return ENVOL_OK;
}

static bool is_gcm(const struct envol_object *object)
{
    return object->keyring->suite == ENVOL_SUITE_AES_256_GCM;
}

static size_t record_bytes(const struct envol_object *object, const struct envol_page_op *op)
{
    return op->trailer != NULL ? object->keyring->page_bytes : object->keyring->stride_bytes;
}

static enum envol_status check_op(const struct envol_object *object, const struct envol_page_op *op)
{
    if (op->page == NULL || op->record == NULL)
        return ENVOL_E_ARGUMENT;
    if (op->page_no >= (UINT64_C(1) << 63) / object->keyring->stride_bytes)
        return ENVOL_E_RANGE;
    return ENVOL_OK;
}

enum action { SEAL, UNSEAL };

static void zero_outputs(const struct envol_object *object, enum action action,
                         struct envol_page_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (action == UNSEAL && ops[i].page != NULL)
            memset(ops[i].page, 0, object->keyring->page_bytes);
        if (action == SEAL && ops[i].record != NULL)
            memset(ops[i].record, 0, record_bytes(object, &ops[i]));
        if (action == SEAL && ops[i].trailer != NULL && is_gcm(object))
            memset(ops[i].trailer, 0, ENVOL_TRAILER_BYTES);
    }
}

static void act(const struct envol_object *object, struct envol_lane *lane, enum action action,
                struct envol_page_op *ops, size_t count)
{
    if (action == SEAL && is_gcm(object))
        envol_gcm_seal_pages(object, lane, ENVOL_RECORD_PAGE, ops, count);
    else if (action == SEAL)
        envol_xts_seal_pages(object, lane, object->epoch, ops, count);
    else if (is_gcm(object))
        envol_gcm_unseal_pages(object, lane, ops, count);
    else
        envol_xts_unseal_pages(object, lane, object->epoch, ops, count);
}

/* Runs of valid ops go to the suite together; an invalid one fails alone. */
static enum envol_status run_ops(const struct envol_object *object, struct envol_lane *lane,
                                 enum action action, struct envol_page_op *ops, size_t count)
{
    enum envol_status status = envol_lane_enter(object, lane);
    size_t first = 0;

    if (status != ENVOL_OK) {
        for (size_t i = 0; i < count; i++)
            ops[i].status = status;
        if (object != NULL)
            zero_outputs(object, action, ops, count);
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        status = check_op(object, &ops[i]);
        if (status == ENVOL_OK)
            continue;
        act(object, lane, action, ops + first, i - first);
        ops[i].status = status;
        zero_outputs(object, action, &ops[i], 1);
        first = i + 1;
    }
    act(object, lane, action, ops + first, count - first);
    envol_lane_leave(object, lane);
    return envol_ops_status(ops, count);
}

enum envol_status envol_page_seal_batch(const struct envol_object *object, struct envol_lane *lane,
                                        struct envol_page_op *ops, size_t count)
{
    if (ops == NULL && count > 0)
        return ENVOL_E_ARGUMENT;
    return run_ops(object, lane, SEAL, ops, count);
}

enum envol_status envol_page_unseal_batch(const struct envol_object *object,
                                          struct envol_lane *lane, struct envol_page_op *ops,
                                          size_t count)
{
    if (ops == NULL && count > 0)
        return ENVOL_E_ARGUMENT;
    return run_ops(object, lane, UNSEAL, ops, count);
}

enum envol_status envol_page_seal(const struct envol_object *object, struct envol_lane *lane,
                                  uint64_t page_no, const void *page, void *record)
{
    struct envol_page_op op = {.page_no = page_no, .page = (void *)page, .record = record};

    return run_ops(object, lane, SEAL, &op, 1);
}

enum envol_status envol_page_unseal(const struct envol_object *object, struct envol_lane *lane,
                                    uint64_t page_no, const void *record, void *page)
{
    struct envol_page_op op = {.page_no = page_no, .page = page, .record = (void *)record};

    return run_ops(object, lane, UNSEAL, &op, 1);
}

enum envol_status envol_page_seal_detached(const struct envol_object *object,
                                           struct envol_lane *lane, uint64_t page_no,
                                           const void *page, void *ciphertext, void *trailer)
{
    struct envol_page_op op = {
        .page_no = page_no, .page = (void *)page, .record = ciphertext, .trailer = trailer};

    if (object != NULL && trailer == NULL && is_gcm(object)) {
        if (ciphertext != NULL)
            memset(ciphertext, 0, object->keyring->page_bytes);
        return ENVOL_E_ARGUMENT;
    }
    return run_ops(object, lane, SEAL, &op, 1);
}

enum envol_status envol_page_unseal_detached(const struct envol_object *object,
                                             struct envol_lane *lane, uint64_t page_no,
                                             const void *ciphertext, const void *trailer,
                                             void *page)
{
    struct envol_page_op op = {
        .page_no = page_no, .page = page, .record = (void *)ciphertext, .trailer = (void *)trailer};

    if (object != NULL && trailer == NULL && is_gcm(object)) {
        zero_outputs(object, UNSEAL, &op, 1);
        return ENVOL_E_ARGUMENT;
    }
    return run_ops(object, lane, UNSEAL, &op, 1);
}

enum envol_status envol_page_seal_hole(const struct envol_object *object, struct envol_lane *lane,
                                       uint64_t page_no, void *record)
{
    struct envol_page_op op = {.page_no = page_no, .page = record, .record = record};
    enum envol_status status = envol_lane_enter(object, lane);

    if (object != NULL && record != NULL)
        memset(record, 0, object->keyring->stride_bytes);
    if (status != ENVOL_OK)
        return status;
    status = check_op(object, &op);
    if (status == ENVOL_OK && !is_gcm(object))
        status = ENVOL_E_UNSUPPORTED;
    if (status == ENVOL_OK) {
        envol_gcm_seal_pages(object, lane, ENVOL_RECORD_HOLE, &op, 1);
        status = op.status;
    }
    envol_lane_leave(object, lane);
    return status;
}
