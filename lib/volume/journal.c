/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing and opening the journal of an XTS rotation. */
#include "volume/journal.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "page/derive.h"
#include "page/revoke.h"

#include <string.h>

/* "ENVOLJN1", UUID, old epoch, new epoch, first page, number of pages. */
#define CONTEXT_BYTES 48u

size_t envol_journal_bytes(size_t records_bytes)
{
    size_t bytes = (size_t)envol_chunked_bytes(records_bytes);

    return (bytes + ENVOL_JOURNAL_ALIGN - 1) / ENVOL_JOURNAL_ALIGN * ENVOL_JOURNAL_ALIGN;
}

static void context_of(const struct envol_keyring *keyring, const struct envol_journal_run *run,
                       uint8_t context[CONTEXT_BYTES])
{
    memcpy(context, "ENVOLJN1", 8);
    memcpy(context + 8, keyring->uuid, ENVOL_UUID_BYTES);
    envol_store32(context + 24, run->from_epoch);
    envol_store32(context + 28, run->epoch);
    envol_store64(context + 32, run->first);
    envol_store64(context + 40, run->count);
}

/* The key of a rotation's journal; the caller wipes it. */
static enum envol_status derive_key(const struct envol_keyring *keyring, uint32_t epoch,
                                    uint8_t key[32])
{
    enum envol_status status = envol_keyring_hold(keyring, NULL);

    if (status != ENVOL_OK)
        return status;
    if (keyring->epoch == epoch)
        envol_derive(keyring->entry[0].keys->dek,
                     &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_JOURNAL,
                                                      .uuid = keyring->uuid,
                                                      .suite = keyring->suite,
                                                      .epoch = epoch},
                     key, 32);
    else
        status = ENVOL_E_STALE;
    envol_keyring_release(keyring, NULL);
    return status;
}

enum envol_status envol_journal_seal(const struct envol_keyring *keyring,
                                     const struct envol_journal_run *run, const void *records,
                                     size_t records_bytes, void *message,
                                     uint8_t commitment[ENVOL_CHUNKED_COMMITMENT_BYTES])
{
    uint8_t key[32], context[CONTEXT_BYTES];
    size_t bytes = (size_t)envol_chunked_bytes(records_bytes);
    enum envol_status status = derive_key(keyring, run->epoch, key);

    if (status != ENVOL_OK)
        return status;
    context_of(keyring, run, context);
    status = envol_chunked_seal(key, context, sizeof(context), records, records_bytes, message);
    envol_wipe(key, sizeof(key));
    if (status != ENVOL_OK)
        return status;
    memset((uint8_t *)message + bytes, 0, envol_journal_bytes(records_bytes) - bytes);
    memcpy(commitment, (const uint8_t *)message + ENVOL_CHUNKED_SALT_BYTES,
           ENVOL_CHUNKED_COMMITMENT_BYTES);
    return ENVOL_OK;
}

enum envol_status envol_journal_open(const struct envol_keyring *keyring,
                                     const struct envol_journal_run *run, const void *message,
                                     const uint8_t commitment[ENVOL_CHUNKED_COMMITMENT_BYTES],
                                     void *records, size_t records_bytes)
{
    uint8_t key[32], context[CONTEXT_BYTES];
    size_t got;
    enum envol_status status;

    memset(records, 0, records_bytes);
    /* The header's MAC stands for the commitment, and so for the message: no older one will do. */
    if (memcmp((const uint8_t *)message + ENVOL_CHUNKED_SALT_BYTES, commitment,
               ENVOL_CHUNKED_COMMITMENT_BYTES) != 0)
        return ENVOL_E_CORRUPT;
    status = derive_key(keyring, run->epoch, key);
    if (status != ENVOL_OK)
        return status;
    context_of(keyring, run, context);
    status = envol_chunked_open(key, context, sizeof(context), message,
                                (size_t)envol_chunked_bytes(records_bytes), records, &got);
    envol_wipe(key, sizeof(key));
    return status == ENVOL_E_WRONG_KEY || status == ENVOL_E_TRUNCATED ? ENVOL_E_CORRUPT : status;
}
