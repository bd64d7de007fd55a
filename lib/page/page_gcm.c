/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages under the AES-256-GCM suite.  Record = ciphertext | zeros | trailer; the trailer may also
 * lie apart.
 */
#include "base/memory.h"
#include "page/seal.h"

#include <string.h>

/* Everything a group of pages needs on the stack; none of it is secret. */
struct group {
    struct envol_gcm_job jobs[ENVOL_SEAL_GROUP];
    struct envol_page_op *ops[ENVOL_SEAL_GROUP];
    uint8_t aad[ENVOL_SEAL_GROUP][ENVOL_AAD_BYTES];
    size_t count;
};

static uint8_t *trailer_of(const struct envol_keyring *keyring, const struct envol_page_op *op)
{
    if (op->trailer != NULL)
        return op->trailer;
    return (uint8_t *)op->record + keyring->stride_bytes - ENVOL_TRAILER_BYTES;
}

/* Bytes between ciphertext and trailer: none when the trailer lies apart. */
static size_t gap_bytes(const struct envol_keyring *keyring, const struct envol_page_op *op)
{
    return op->trailer != NULL ? 0
                               : keyring->stride_bytes - ENVOL_TRAILER_BYTES - keyring->page_bytes;
}

static void add_job(struct group *group, const struct envol_object *object,
                    struct envol_page_op *op, const struct envol_trailer *trailer, uint8_t *bytes)
{
    size_t i = group->count++;

    group->ops[i] = op;
    envol_page_aad(object, op->page_no, trailer, group->aad[i]);
    group->jobs[i] = (struct envol_gcm_job){
        .nonce = bytes + ENVOL_TRAILER_NONCE + ENVOL_XAES_SALT_BYTES,
        .aad = group->aad[i],
        .aad_bytes = ENVOL_AAD_BYTES,
        .bytes = object->keyring->page_bytes,
        .tag = bytes + ENVOL_TRAILER_TAG,
    };
}

static void fail_seal(const struct envol_keyring *keyring, struct envol_page_op *op,
                      enum envol_status status)
{
    op->status = status;
    memset(op->record, 0, op->trailer != NULL ? keyring->page_bytes : keyring->stride_bytes);
    if (op->trailer != NULL)
        memset(op->trailer, 0, ENVOL_TRAILER_BYTES);
}

static void seal_group(const struct envol_object *object, enum envol_record_type type,
                       const struct envol_seal_key *key, uint32_t first, struct envol_page_op *ops,
                       size_t count)
{
    const struct envol_keyring *keyring = object->keyring;
    const struct envol_trailer trailer = {.epoch = keyring->epoch, .type = type};
    struct group group;
    enum envol_status status;

    group.count = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes = trailer_of(keyring, &ops[i]);
        /* The page is still in the record when it is sealed in place: nothing of the record but
         * the trailer and the gap behind the page may be written before the kernel ran. */
        memset((uint8_t *)ops[i].record + keyring->page_bytes, 0, gap_bytes(keyring, &ops[i]));
        envol_trailer_encode(&trailer, bytes);
        envol_nonce_add(key->nonce, first + (uint32_t)i, bytes + ENVOL_TRAILER_NONCE);
        add_job(&group, object, &ops[i], &trailer, bytes);
        group.jobs[i].in = ops[i].page;
        group.jobs[i].out = ops[i].record;
    }
    status = keyring->kernel->gcm_seal(key->gcm_key, group.jobs, group.count);
    for (size_t i = 0; i < count; i++) {
        ops[i].status = status;
        if (status != ENVOL_OK)
            fail_seal(keyring, &ops[i], status);
    }
}

void envol_gcm_seal_pages(const struct envol_object *object, struct envol_lane *lane,
                          enum envol_record_type type, struct envol_page_op *ops, size_t count)
{
    struct envol_scratch scratch;
    struct envol_seal_key key;
    enum envol_status status;

    while (count > 0) {
        status = envol_lane_seal_key(object->keyring, lane, ENVOL_USE_PAGE, count, &scratch, &key);
        if (status != ENVOL_OK)
            break;
        for (size_t done = 0; done < key.records;) {
            size_t n = key.records - done;
            n = n < ENVOL_SEAL_GROUP ? n : ENVOL_SEAL_GROUP;
            seal_group(object, type, &key, (uint32_t)done, ops + done, n);
            done += n;
        }
        envol_lane_count(object->keyring, lane, key.records);
        ops += key.records;
        count -= key.records;
    }
    for (size_t i = 0; i < count; i++)
        fail_seal(object->keyring, &ops[i], status);
    envol_scratch_wipe(lane, &scratch);
}

static void fail_unseal(const struct envol_keyring *keyring, struct envol_page_op *op,
                        enum envol_status status)
{
    op->status = status;
    memset(op->page, 0, keyring->page_bytes);
}

static void unseal_group(const struct envol_keyring *keyring, const void *gcm_key,
                         struct group *group)
{
    enum envol_status status = keyring->kernel->gcm_open(gcm_key, group->jobs, group->count);

    for (size_t i = 0; i < group->count; i++) {
        struct envol_page_op *op = group->ops[i];
        bool hole = group->aad[i][55] == ENVOL_RECORD_HOLE;
        op->status = ENVOL_OK;
        if (status != ENVOL_OK || group->jobs[i].failed)
            fail_unseal(keyring, op, status != ENVOL_OK ? status : ENVOL_E_CORRUPT);
        else if (hole)
            fail_unseal(keyring, op, ENVOL_E_UNWRITTEN);
    }
    group->count = 0;
}

/* Checks what can be checked before any decryption. */
static enum envol_status examine(const struct envol_keyring *keyring,
                                 const struct envol_page_op *op, struct envol_trailer *trailer,
                                 const struct envol_epoch_keys **keys)
{
    if (!envol_trailer_decode(trailer_of(keyring, op), trailer) ||
        trailer->type == ENVOL_RECORD_BLOB)
        return ENVOL_E_CORRUPT;
    if (!envol_is_zero((const uint8_t *)op->record + keyring->page_bytes, gap_bytes(keyring, op)))
        return ENVOL_E_CORRUPT;
    return envol_keyring_lookup(keyring, trailer->epoch, keys);
}

void envol_gcm_unseal_pages(const struct envol_object *object, struct envol_lane *lane,
                            struct envol_page_op *ops, size_t count)
{
    const struct envol_keyring *keyring = object->keyring;
    const void *gcm_key = NULL;
    uint8_t salt[ENVOL_XAES_SALT_BYTES] = {0};
    uint32_t epoch = 0;
    struct envol_scratch scratch;
    struct group group;

    group.count = 0;
    for (size_t i = 0; i < count; i++) {
        struct envol_page_op *op = &ops[i];
        struct envol_trailer trailer;
        const struct envol_epoch_keys *keys;
        uint8_t *bytes = trailer_of(keyring, op);
        enum envol_status status = examine(keyring, op, &trailer, &keys);

        /* A group shares a key: it ends where epoch or salt change. */
        if (status == ENVOL_OK && (gcm_key == NULL || epoch != trailer.epoch ||
                                   memcmp(salt, bytes + ENVOL_TRAILER_NONCE, sizeof(salt)) != 0)) {
            if (group.count > 0)
                unseal_group(keyring, gcm_key, &group);
            epoch = trailer.epoch;
            memcpy(salt, bytes + ENVOL_TRAILER_NONCE, sizeof(salt));
            status = envol_lane_open_key(keyring, lane, ENVOL_USE_PAGE, epoch, keys, salt, &scratch,
                                         &gcm_key);
            if (status != ENVOL_OK)
                gcm_key = NULL;
        }
        if (status != ENVOL_OK) {
            fail_unseal(keyring, op, status);
            continue;
        }
        add_job(&group, object, op, &trailer, bytes);
        group.jobs[group.count - 1].in = op->record;
        group.jobs[group.count - 1].out = op->page;
        if (group.count == ENVOL_SEAL_GROUP)
            unseal_group(keyring, gcm_key, &group);
    }
    if (group.count > 0)
        unseal_group(keyring, gcm_key, &group);
    envol_scratch_wipe(lane, &scratch);
}
