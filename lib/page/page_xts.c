/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages under the AES-256-XTS suite: record = ciphertext, tweak = page number (IEEE 1619: 128-bit
 * little-endian data unit number), a key pair for each segment of 1 TiB.
 */
#include "base/bytes.h"
#include "page/seal.h"

#include <string.h>

/* 2^40 bytes = 2^36 blocks, the most that one key should encrypt (IEEE 1619-2025, 5.1). */
#define SEGMENT_SHIFT 40u

enum direction { ENCRYPT, DECRYPT };

static uint64_t segment_of(const struct envol_keyring *keyring, uint64_t page_no)
{
    return page_no * keyring->page_bytes >> SEGMENT_SHIFT;
}

/* Length of the run at the start of ops that lies in one segment, at most a group. */
static size_t run_length(const struct envol_keyring *keyring, const struct envol_page_op *ops,
                         size_t count)
{
    uint64_t segment = segment_of(keyring, ops[0].page_no);
    size_t n = 1;

    while (n < count && n < ENVOL_SEAL_GROUP && segment_of(keyring, ops[n].page_no) == segment)
        n++;
    return n;
}

static void finish(const struct envol_keyring *keyring, enum direction direction,
                   enum envol_status status, struct envol_page_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ops[i].status = status;
        if (status != ENVOL_OK)
            memset(direction == ENCRYPT ? ops[i].record : ops[i].page, 0, keyring->page_bytes);
    }
}

static enum envol_status run(const struct envol_keyring *keyring, enum direction direction,
                             const void *key, struct envol_page_op *ops, size_t count)
{
    struct envol_xts_job jobs[ENVOL_SEAL_GROUP];

    for (size_t i = 0; i < count; i++) {
        jobs[i].in = direction == ENCRYPT ? ops[i].page : ops[i].record;
        jobs[i].out = direction == ENCRYPT ? ops[i].record : ops[i].page;
        jobs[i].bytes = keyring->page_bytes;
        envol_store64(jobs[i].tweak, ops[i].page_no);
        envol_store64(jobs[i].tweak + 8, 0);
    }
    if (direction == ENCRYPT)
        return keyring->kernel->xts_encrypt(key, jobs, count);
    return keyring->kernel->xts_decrypt(key, jobs, count);
}

static void crypt_pages(const struct envol_object *object, struct envol_lane *lane,
                        enum direction direction, uint32_t epoch, struct envol_page_op *ops,
                        size_t count)
{
    const struct envol_keyring *keyring = object->keyring;
    struct envol_scratch scratch;

    while (count > 0) {
        size_t n = run_length(keyring, ops, count);
        const void *key;
        enum envol_status status = envol_lane_xts_key(
            object, lane, epoch, segment_of(keyring, ops[0].page_no), &scratch, &key);

        if (status == ENVOL_OK)
            status = run(keyring, direction, key, ops, n);
        finish(keyring, direction, status, ops, n);
        ops += n;
        count -= n;
    }
    envol_scratch_wipe(lane, &scratch);
}

void envol_xts_seal_pages(const struct envol_object *object, struct envol_lane *lane,
                          uint32_t epoch, struct envol_page_op *ops, size_t count)
{
    crypt_pages(object, lane, ENCRYPT, epoch, ops, count);
    envol_lane_count(object->keyring, lane, count);
}

void envol_xts_unseal_pages(const struct envol_object *object, struct envol_lane *lane,
                            uint32_t epoch, struct envol_page_op *ops, size_t count)
{
    crypt_pages(object, lane, DECRYPT, epoch, ops, count);
}
