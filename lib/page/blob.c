/* SPDX-License-Identifier: BSD-2-Clause */
/* Blobs: data of any length under XAES-256-GCM, with the caller's associated data. */
#include "page/seal.h"

#include <string.h>

/* The library's 64 bytes and the caller's, put together; neither is secret. */
struct blob_aad {
    uint8_t bytes[ENVOL_AAD_BYTES + ENVOL_BLOB_AAD_MAX];
    size_t used;
};

static enum envol_status check(const void *aad, size_t aad_bytes, const void *plain,
                               uint64_t plain_bytes, const void *sealed)
{
    if (sealed == NULL || (plain == NULL && plain_bytes > 0) || (aad == NULL && aad_bytes > 0))
        return ENVOL_E_ARGUMENT;
    if (aad_bytes > ENVOL_BLOB_AAD_MAX || plain_bytes > ENVOL_BLOB_BYTES_MAX)
        return ENVOL_E_RANGE;
    return ENVOL_OK;
}

/* A length beyond the bound is no promise about the buffer: nothing is touched then. */
static void zero_output(void *output, uint64_t bytes, uint64_t plain_bytes)
{
    if (output != NULL && plain_bytes <= ENVOL_BLOB_BYTES_MAX)
        memset(output, 0, bytes);
}

static void make_aad(const struct envol_object *object, const struct envol_trailer *trailer,
                     uint64_t plain_bytes, const void *aad, size_t aad_bytes, struct blob_aad *out)
{
    envol_blob_aad(object, plain_bytes, aad_bytes, trailer, out->bytes);
    if (aad_bytes > 0)
        memcpy(out->bytes + ENVOL_AAD_BYTES, aad, aad_bytes);
    out->used = ENVOL_AAD_BYTES + aad_bytes;
}

/* The record of that number under the key. */
static enum envol_status seal_one(const struct envol_object *object,
                                  const struct envol_seal_key *key, uint32_t number,
                                  const struct envol_blob_op *op)
{
    const struct envol_keyring *keyring = object->keyring;
    const struct envol_trailer trailer = {.epoch = keyring->epoch, .type = ENVOL_RECORD_BLOB};
    uint8_t *bytes = (uint8_t *)op->sealed + op->plain_bytes;
    struct blob_aad all;

    make_aad(object, &trailer, op->plain_bytes, op->aad, op->aad_bytes, &all);
    envol_trailer_encode(&trailer, bytes);
    envol_nonce_add(key->nonce, number, bytes + ENVOL_TRAILER_NONCE);
    struct envol_gcm_job job = {
        .nonce = bytes + ENVOL_TRAILER_NONCE + ENVOL_XAES_SALT_BYTES,
        .aad = all.bytes,
        .aad_bytes = all.used,
        .in = op->plain,
        .out = op->sealed,
        .bytes = op->plain_bytes,
        .tag = bytes + ENVOL_TRAILER_TAG,
    };
    return keyring->kernel->gcm_seal(key->gcm_key, &job, 1);
}

/* As many as one draw serves; what is left has the status of a draw that failed. */
static void seal(const struct envol_object *object, struct envol_lane *lane,
                 struct envol_blob_op *ops, size_t count)
{
    struct envol_scratch scratch;
    struct envol_seal_key key;

    if (count == 0)
        return;
    for (size_t done = 0; done < count; done += key.records) {
        enum envol_status status = envol_lane_seal_key(object->keyring, lane, ENVOL_USE_BLOB,
                                                       count - done, &scratch, &key);

        if (status == ENVOL_OK)
            envol_lane_count(object->keyring, lane, key.records);
        for (size_t i = 0; i < key.records; i++)
            ops[done + i].status =
                status == ENVOL_OK ? seal_one(object, &key, (uint32_t)i, &ops[done + i]) : status;
    }
    envol_scratch_wipe(lane, &scratch);
}

/* Runs of valid blobs are sealed together; an invalid one fails alone. */
static void seal_valid(const struct envol_object *object, struct envol_lane *lane,
                       struct envol_blob_op *ops, size_t count)
{
    size_t first = 0;

    for (size_t i = 0; i < count; i++) {
        ops[i].status =
            check(ops[i].aad, ops[i].aad_bytes, ops[i].plain, ops[i].plain_bytes, ops[i].sealed);
        if (ops[i].status == ENVOL_OK)
            continue;
        seal(object, lane, ops + first, i - first);
        first = i + 1;
    }
    seal(object, lane, ops + first, count - first);
}

static enum envol_status run_seal(const struct envol_object *object, struct envol_lane *lane,
                                  struct envol_blob_op *ops, size_t count)
{
    enum envol_status status = envol_lane_enter(object, lane), first = status;

    if (status == ENVOL_OK) {
        seal_valid(object, lane, ops, count);
        envol_lane_leave(object, lane);
    }
    for (size_t i = 0; i < count; i++) {
        if (status != ENVOL_OK)
            ops[i].status = status;
        if (ops[i].status != ENVOL_OK)
            zero_output(ops[i].sealed, (uint64_t)ops[i].plain_bytes + ENVOL_TRAILER_BYTES,
                        ops[i].plain_bytes);
        if (first == ENVOL_OK)
            first = ops[i].status;
    }
    return first;
}

enum envol_status envol_blob_seal_batch(const struct envol_object *object, struct envol_lane *lane,
                                        struct envol_blob_op *ops, size_t count)
{
    if (ops == NULL && count > 0)
        return ENVOL_E_ARGUMENT;
    return run_seal(object, lane, ops, count);
}

enum envol_status envol_blob_seal(const struct envol_object *object, struct envol_lane *lane,
                                  const void *aad, size_t aad_bytes, const void *plain,
                                  size_t plain_bytes, void *sealed)
{
    struct envol_blob_op op = {.aad = aad,
                               .aad_bytes = aad_bytes,
                               .plain = plain,
                               .plain_bytes = plain_bytes,
                               .sealed = sealed};

    return run_seal(object, lane, &op, 1);
}

static enum envol_status unseal(const struct envol_object *object, struct envol_lane *lane,
                                const void *aad, size_t aad_bytes, const uint8_t *sealed,
                                size_t plain_bytes, uint8_t *plain)
{
    const struct envol_keyring *keyring = object->keyring;
    const uint8_t *bytes = sealed + plain_bytes;
    const struct envol_epoch_keys *keys;
    struct envol_trailer trailer;
    struct envol_scratch scratch;
    struct blob_aad all;
    const void *gcm_key;
    enum envol_status status;

    if (!envol_trailer_decode(bytes, &trailer) || trailer.type != ENVOL_RECORD_BLOB)
        return ENVOL_E_CORRUPT;
    status = envol_keyring_lookup(keyring, trailer.epoch, &keys);
    if (status != ENVOL_OK)
        return status;
    status = envol_lane_open_key(keyring, lane, ENVOL_USE_BLOB, trailer.epoch, keys,
                                 bytes + ENVOL_TRAILER_NONCE, &scratch, &gcm_key);
    if (status == ENVOL_OK) {
        make_aad(object, &trailer, plain_bytes, aad, aad_bytes, &all);
        struct envol_gcm_job job = {
            .nonce = bytes + ENVOL_TRAILER_NONCE + ENVOL_XAES_SALT_BYTES,
            .aad = all.bytes,
            .aad_bytes = all.used,
            .in = sealed,
            .out = plain,
            .bytes = plain_bytes,
            .tag = (uint8_t *)bytes + ENVOL_TRAILER_TAG,
        };
        status = keyring->kernel->gcm_open(gcm_key, &job, 1);
        if (status == ENVOL_OK && job.failed)
            status = ENVOL_E_CORRUPT;
    }
    envol_scratch_wipe(lane, &scratch);
    return status;
}

enum envol_status envol_blob_unseal(const struct envol_object *object, struct envol_lane *lane,
                                    const void *aad, size_t aad_bytes, const void *sealed,
                                    size_t sealed_bytes, void *plain)
{
    size_t plain_bytes =
        sealed_bytes > ENVOL_TRAILER_BYTES ? sealed_bytes - ENVOL_TRAILER_BYTES : 0;
    enum envol_status status = envol_lane_enter(object, lane);

    if (status == ENVOL_OK) {
        status = check(aad, aad_bytes, plain, plain_bytes, sealed);
        if (status == ENVOL_OK && sealed_bytes < ENVOL_TRAILER_BYTES)
            status = ENVOL_E_CORRUPT;
        if (status == ENVOL_OK)
            status = unseal(object, lane, aad, aad_bytes, sealed, plain_bytes, plain);
        envol_lane_leave(object, lane);
    }
    if (status != ENVOL_OK)
        zero_output(plain, plain_bytes, plain_bytes);
    return status;
}

enum envol_status envol_blob_reseal(const struct envol_object *object, struct envol_lane *lane,
                                    const void *aad, size_t aad_bytes, const void *sealed_in,
                                    size_t sealed_bytes, void *sealed_out)
{
    size_t plain_bytes =
        sealed_bytes > ENVOL_TRAILER_BYTES ? sealed_bytes - ENVOL_TRAILER_BYTES : 0;
    enum envol_status status = sealed_out == NULL ? ENVOL_E_ARGUMENT : ENVOL_OK;

    if (status == ENVOL_OK)
        status =
            envol_blob_unseal(object, lane, aad, aad_bytes, sealed_in, sealed_bytes, sealed_out);
    if (status == ENVOL_OK)
        status = envol_blob_seal(object, lane, aad, aad_bytes, sealed_out, plain_bytes, sealed_out);
    if (status != ENVOL_OK)
        zero_output(sealed_out, sealed_bytes, plain_bytes);
    return status;
}
