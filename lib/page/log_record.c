/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of a run: sealed and unsealed by any number of threads, each index sealed once. */
#include "page/log_run.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "page/revoke.h"

#include <string.h>

#define HEAD_BYTES ENVOL_LOG_RECORD_HEADER_BYTES
#define TAG_BYTES  ENVOL_LOG_TAG_BYTES
/* Records that go to the kernel in one call; their jobs lie on the stack. */
#define GROUP 16u

/* Without the tag. */
static size_t body_bytes(size_t data_bytes)
{
    return (HEAD_BYTES + data_bytes + 15) / 16 * 16;
}

size_t envol_log_record_bytes(size_t data_bytes)
{
    return data_bytes <= ENVOL_LOG_DATA_MAX ? body_bytes(data_bytes) + TAG_BYTES : 0;
}

static void encode(const struct envol_log_record *record, uint8_t head[HEAD_BYTES])
{
    envol_store32(head, (uint32_t)record->bytes);
    envol_store32(head + 4, record->flags);
    envol_store64(head + 8, record->lsn);
    envol_store32(head + 16, record->index);
    envol_store32(head + 20, record->durable);
}

static void decode(const uint8_t head[HEAD_BYTES], struct envol_log_record *record)
{
    *record = (struct envol_log_record){
        .bytes = envol_load32(head),
        .flags = envol_load32(head + 4),
        .lsn = envol_load64(head + 8),
        .index = envol_load32(head + 16),
        .durable = envol_load32(head + 20),
    };
}

/* The two bytes behind the flags are zero, as the flags above them are unknown. */
static bool is_sound(const struct envol_log_record *record)
{
    return record->bytes <= ENVOL_LOG_DATA_MAX && (record->flags & ~ENVOL_LOG_FLAGS) == 0 &&
           record->lsn > 0 && record->index < ENVOL_LOG_RECORDS_MAX &&
           record->durable <= record->index;
}

enum envol_status envol_log_record_peek(const void *sealed, struct envol_log_record *record)
{
    if (sealed == NULL || record == NULL)
        return ENVOL_E_ARGUMENT;
    decode(sealed, record);
    if (is_sound(record))
        return ENVOL_OK;
    *record = (struct envol_log_record){0};
    return ENVOL_E_CORRUPT;
}

static void make_nonce(const struct envol_log_run *run, uint32_t index, uint8_t nonce[12])
{
    memcpy(nonce, run->keys->base, 12);
    envol_store32be(nonce + 8, envol_load32be(nonce + 8) ^ index);
}

/* --- Sealing --- */

enum envol_status envol_log_record_check(const struct envol_log_run *run,
                                         const struct envol_log_record *record)
{
    if (record->bytes > ENVOL_LOG_DATA_MAX || record->index >= ENVOL_LOG_RECORDS_MAX)
        return ENVOL_E_RANGE;
    if (!is_sound(record) || record->lsn < run->start_lsn ||
        (record->data == NULL && record->bytes > 0))
        return ENVOL_E_ARGUMENT;
    return ENVOL_OK;
}

struct group {
    struct envol_gcm_job jobs[GROUP];
    uint8_t nonces[GROUP][12];
};

/* Header and zeros of a record, and what the kernel has to do. */
static size_t prepare(const struct envol_log_run *run, const struct envol_log_record *record,
                      uint8_t *out, uint8_t nonce[12], struct envol_gcm_job *job)
{
    size_t body = body_bytes(record->bytes);
    uint8_t *end = out + HEAD_BYTES + record->bytes;

    encode(record, out);
    memset(end, 0, (size_t)(out + body - end));
    make_nonce(run, record->index, nonce);
    job->nonce = nonce;
    job->aad = out;
    job->aad_bytes = HEAD_BYTES;
    job->in = record->data;
    job->out = out + HEAD_BYTES;
    job->bytes = record->bytes;
    job->tag = out + body;
    return body + TAG_BYTES;
}

static size_t all_bytes(const struct envol_log_record *records, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += body_bytes(records[i].bytes) + TAG_BYTES;
    return bytes;
}

enum envol_status envol_log_records_seal_held(const struct envol_log_run *run,
                                              const struct envol_log_record *records, size_t count,
                                              uint8_t *out)
{
    const struct envol_aes_kernel *kernel = run->keyring->kernel;
    enum envol_status status = run->state;
    struct group group;

    while (status == ENVOL_OK && count > 0) {
        size_t n = count < GROUP ? count : GROUP;
        for (size_t i = 0; i < n; i++)
            out += prepare(run, &records[i], out, group.nonces[i], &group.jobs[i]);
        status = kernel->gcm_seal(run->keys->gcm_key, group.jobs, n);
        records += n;
        count -= n;
    }
    return status;
}

/* A child has the same keys and would use the same nonces for other data. */
static enum envol_status enter(const struct envol_log_run *run)
{
    if (run->generation == 0)
        return ENVOL_E_STATE;
    if (run->generation != envol_process_generation())
        return ENVOL_E_FORKED;
    return envol_keyring_hold(run->keyring, NULL);
}

enum envol_status envol_log_records_seal(const struct envol_log_run *run,
                                         const struct envol_log_record *records, size_t count,
                                         uint8_t *out)
{
    enum envol_status status = enter(run);

    if (status == ENVOL_OK) {
        status = envol_log_records_seal_held(run, records, count, out);
        envol_keyring_release(run->keyring, NULL);
    }
    if (status != ENVOL_OK)
        memset(out, 0, all_bytes(records, count));
    return status;
}

/* Each place of the window says which index it takes next: an index passes once.  The last round
 * ends with an index that no record has. */
static bool claim(struct envol_log_run *run, uint32_t index)
{
    uint32_t seen = index;
    uint32_t after = index < UINT32_MAX - ENVOL_LOG_WINDOW ? index + ENVOL_LOG_WINDOW : UINT32_MAX;

    return atomic_compare_exchange_strong_explicit(&run->next[index % ENVOL_LOG_WINDOW], &seen,
                                                   after, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static bool claim_bytes(struct envol_log_run *run, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&run->bytes, bytes, memory_order_relaxed);

    if (before + bytes <= ENVOL_LOG_RUN_BYTES_MAX)
        return true;
    atomic_fetch_sub_explicit(&run->bytes, bytes, memory_order_relaxed);
    return false;
}

static enum envol_status claim_all(struct envol_log_run *run,
                                   const struct envol_log_record *records, size_t count)
{
    if (!claim_bytes(run, all_bytes(records, count)))
        return ENVOL_E_RANGE;
    for (size_t i = 0; i < count; i++)
        if (!claim(run, records[i].index))
            return ENVOL_E_STATE;
    return ENVOL_OK;
}

static enum envol_status check_all(const struct envol_log_run *run,
                                   const struct envol_log_record *records, size_t count)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < count; i++)
        status = envol_log_record_check(run, &records[i]);
    return status;
}

/* A length beyond the bound is no promise about the buffer. */
static void zero_output(const struct envol_log_record *records, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++)
        if (records[i].bytes > ENVOL_LOG_DATA_MAX)
            return;
    memset(out, 0, all_bytes(records, count));
}

enum envol_status envol_log_record_seal_batch(struct envol_log_run *run,
                                              const struct envol_log_record *records, size_t count,
                                              void *out)
{
    enum envol_status status;

    if (out == NULL || records == NULL)
        return count == 0 && run != NULL ? ENVOL_OK : ENVOL_E_ARGUMENT;
    status = run == NULL ? ENVOL_E_ARGUMENT : enter(run);
    if (status == ENVOL_OK) {
        status = check_all(run, records, count);
        if (status == ENVOL_OK)
            status = run->state;
        if (status == ENVOL_OK)
            status = claim_all(run, records, count);
        if (status == ENVOL_OK)
            status = envol_log_records_seal_held(run, records, count, out);
        envol_keyring_release(run->keyring, NULL);
    }
    if (status != ENVOL_OK)
        zero_output(records, count, out);
    return status;
}

enum envol_status envol_log_record_seal(struct envol_log_run *run,
                                        const struct envol_log_record *record, void *out)
{
    if (record == NULL)
        return ENVOL_E_ARGUMENT;
    return envol_log_record_seal_batch(run, record, 1, out);
}

/* --- Unsealing --- */

/* What is known before any key is used. */
static enum envol_status examine(const struct envol_log_run *run, uint32_t index,
                                 const uint8_t *sealed, size_t sealed_bytes,
                                 const struct envol_log_record *record)
{
    size_t body = body_bytes(record->bytes), end = HEAD_BYTES + record->bytes;

    if (record->index != index || record->lsn < run->start_lsn)
        return ENVOL_E_CORRUPT;
    if (sealed_bytes < body + TAG_BYTES)
        return ENVOL_E_TRUNCATED;
    return envol_is_zero(sealed + end, body - end) ? ENVOL_OK : ENVOL_E_CORRUPT;
}

static enum envol_status unseal_held(const struct envol_log_run *run, const uint8_t *head,
                                     const uint8_t *sealed, uint8_t *plain,
                                     const struct envol_log_record *record)
{
    uint8_t nonce[12];
    struct envol_gcm_job job = {
        .nonce = nonce,
        .aad = head,
        .aad_bytes = HEAD_BYTES,
        .in = sealed + HEAD_BYTES,
        .out = plain,
        .bytes = record->bytes,
        .tag = (uint8_t *)sealed + body_bytes(record->bytes),
    };
    enum envol_status status = run->state;

    if (status != ENVOL_OK)
        return status;
    make_nonce(run, record->index, nonce);
    status = run->keyring->kernel->gcm_open(run->keys->gcm_key, &job, 1);
    return status == ENVOL_OK && job.failed ? ENVOL_E_CORRUPT : status;
}

static enum envol_status unseal(const struct envol_log_run *run, uint32_t index,
                                const uint8_t *sealed, size_t sealed_bytes, uint8_t *plain,
                                struct envol_log_record *record)
{
    uint8_t head[HEAD_BYTES];
    enum envol_status status;

    memcpy(head, sealed, HEAD_BYTES);
    status = envol_log_record_peek(head, record);
    if (status != ENVOL_OK)
        return status;
    if (plain == NULL && record->bytes > 0)
        return ENVOL_E_ARGUMENT;
    status = examine(run, index, sealed, sealed_bytes, record);
    if (status == ENVOL_OK)
        status = envol_keyring_hold(run->keyring, NULL);
    if (status == ENVOL_OK) {
        status = unseal_held(run, head, sealed, plain, record);
        envol_keyring_release(run->keyring, NULL);
    }
    if (status != ENVOL_OK && record->bytes > 0)
        memset(plain, 0, record->bytes);
    return status;
}

enum envol_status envol_log_record_unseal(const struct envol_log_run *run, uint32_t index,
                                          const void *sealed, size_t sealed_bytes, void *plain,
                                          struct envol_log_record *record)
{
    struct envol_log_record read = {0};
    enum envol_status status = ENVOL_OK;

    if (run == NULL || sealed == NULL)
        status = ENVOL_E_ARGUMENT;
    else if (sealed_bytes < HEAD_BYTES)
        status = ENVOL_E_TRUNCATED;
    else
        status = unseal(run, index, sealed, sealed_bytes, plain, &read);
    if (status == ENVOL_OK)
        read.data = plain;
    if (record != NULL)
        *record = status == ENVOL_OK ? read : (struct envol_log_record){0};
    return status;
}
