/* SPDX-License-Identifier: BSD-2-Clause */
/* With the DEK: the MAC first, then every field behind it, then the keyring. */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "base/sized.h"
#include "header/header.h"
#include "page/derive.h"
#include "page/revoke.h"

#include <string.h>

/* Context of a retained DEK's wrapping: "ENVOLOD1", UUID, its epoch, the current epoch. */
#define RETAINED_CONTEXT_BYTES 32u

enum envol_status envol_header_verify_mac(const struct envol_header *header,
                                          const uint8_t dek[ENVOL_DEK_BYTES])
{
    uint8_t mac[ENVOL_HEADER_MAC_BYTES];
    int equal;

    envol_image_mac(header, header->epoch, dek, header->image, mac);
    equal = envol_equal(mac, header->rotated ? header->proof : header->id.mac, sizeof(mac));
    envol_wipe(mac, sizeof(mac));
    return equal ? ENVOL_OK : ENVOL_E_WRONG_KEY;
}

/* All of the anchor: nobody can forget envol_header_check. */
static enum envol_status check_anchor(const struct envol_header *header,
                                      const struct envol_anchor *anchor)
{
    enum envol_status status = anchor == NULL ? ENVOL_OK : envol_anchor_check(header, anchor, NULL);

    if (anchor == NULL || status != ENVOL_OK || anchor->generation != header->id.generation)
        return status;
    return memcmp(anchor->mac, header->id.mac, sizeof(anchor->mac)) == 0 ? ENVOL_OK : ENVOL_E_STALE;
}

/* Pages of a volume whose DEK is being rotated cannot be read without knowing how: a kind that this
 * library lacks, or a field of one, is a feature that it lacks. */
static enum envol_status check_features(const struct envol_header *header)
{
    enum envol_status status;

    if ((header->incompatible & ~ENVOL_FEATURES_INCOMPATIBLE) != 0)
        return ENVOL_E_VERSION;
    if (!envol_is_zero(header->image + ENVOL_AT_ROTATION + ENVOL_ROTATION_AT_SPARE,
                       ENVOL_ROTATION_BYTES - ENVOL_ROTATION_AT_SPARE))
        return ENVOL_E_VERSION;
    status = envol_rotation_check(header, &header->rotation);
    return status == ENVOL_OK ? envol_restore_check(header) : status;
}

/* Of a log, too: a writer that does not know all of the seal would break it. */
static enum envol_status check_log(const struct envol_header *header)
{
    const uint8_t *record = header->image + ENVOL_AT_LOG_SEAL;

    if (envol_load32(record + ENVOL_LOG_SEAL_AT_SPARE_32) != 0 ||
        !envol_is_zero(record + ENVOL_LOG_SEAL_AT_SPARE,
                       ENVOL_LOG_SEAL_BYTES - ENVOL_LOG_SEAL_AT_SPARE))
        return ENVOL_E_VERSION;
    return envol_log_seal_check(header, &header->log_seal);
}

/* A feature that this library lacks may use bytes that are zero without it; updates keep them. */
static enum envol_status check_spare(const struct envol_header *header)
{
    static const struct {
        size_t at, bytes;
    } spare[] = {
        {ENVOL_AT_SPARE_16, 2},
        {ENVOL_AT_SPARE_32, 4},
        {ENVOL_AT_SPARE, ENVOL_AT_SNAPSHOTS - ENVOL_AT_SPARE},
        {ENVOL_AT_SPARE_2, ENVOL_AT_SLOT_AREA - ENVOL_AT_SPARE_2},
    };

    if (header->compatible != 0 ||
        (header->read_only_compatible & ~ENVOL_FEATURES_READ_ONLY_COMPATIBLE) != 0)
        return ENVOL_OK;
    for (size_t i = 0; i < sizeof(spare) / sizeof(spare[0]); i++)
        if (!envol_is_zero(header->image + spare[i].at, spare[i].bytes))
            return ENVOL_E_CORRUPT;
    return ENVOL_OK;
}

static bool may_retain(const struct envol_header *header, uint32_t old_epoch)
{
    for (uint32_t i = 0; i < header->retained_count; i++)
        if (header->retained[i].epoch == old_epoch)
            return false;
    return old_epoch >= header->lowest_epoch && old_epoch < header->epoch;
}

static void retained_key(const struct envol_header *header, const uint8_t dek[ENVOL_DEK_BYTES],
                         uint32_t old_epoch, uint8_t key[32],
                         uint8_t context[RETAINED_CONTEXT_BYTES])
{
    envol_derive(dek,
                 &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_OLD_DEK,
                                                  .uuid = header->uuid,
                                                  .suite = header->suite,
                                                  .epoch = header->epoch},
                 key, 32);
    memcpy(context, "ENVOLOD1", 8);
    memcpy(context + 8, header->uuid, ENVOL_UUID_BYTES);
    envol_store32(context + 24, old_epoch);
    envol_store32(context + 28, header->epoch);
}

enum envol_status envol_header_retain(struct envol_header *header,
                                      const uint8_t dek[ENVOL_DEK_BYTES], uint32_t old_epoch,
                                      const uint8_t old_dek[ENVOL_DEK_BYTES])
{
    uint8_t key[32], context[RETAINED_CONTEXT_BYTES];
    struct envol_retained *entry;
    enum envol_status status;

    if (!may_retain(header, old_epoch))
        return ENVOL_E_ARGUMENT;
    if (header->retained_count == ENVOL_RETAINED_MAX)
        return ENVOL_E_RANGE;
    entry = &header->retained[header->retained_count];
    retained_key(header, dek, old_epoch, key, context);
    status =
        envol_chunked_seal(key, context, sizeof(context), old_dek, ENVOL_DEK_BYTES, entry->wrap);
    envol_wipe(key, sizeof(key));
    if (status != ENVOL_OK)
        return status;
    entry->epoch = old_epoch;
    header->retained_count++;
    return ENVOL_OK;
}

static enum envol_status add_retained(const struct envol_header *header,
                                      const uint8_t dek[ENVOL_DEK_BYTES],
                                      const struct envol_retained *retained,
                                      struct envol_keyring *keyring)
{
    uint8_t key[32], context[RETAINED_CONTEXT_BYTES], old_dek[ENVOL_DEK_BYTES];
    size_t bytes;
    enum envol_status status;

    retained_key(header, dek, retained->epoch, key, context);
    status = envol_chunked_open(key, context, sizeof(context), retained->wrap,
                                sizeof(retained->wrap), old_dek, &bytes);
    if (status == ENVOL_OK)
        status = envol_keyring_add(keyring, retained->epoch, old_dek);
    else if (status == ENVOL_E_WRONG_KEY || status == ENVOL_E_TRUNCATED)
        status = ENVOL_E_CORRUPT; /* behind a MAC that was right */
    envol_wipe(key, sizeof(key));
    envol_wipe(old_dek, sizeof(old_dek));
    return status;
}

enum envol_status envol_header_make_keyring(const struct envol_header *header,
                                            const uint8_t dek[ENVOL_DEK_BYTES], uint32_t flags,
                                            struct envol_keyring **keyring)
{
    const struct envol_keyring_params params = {
        .uuid = header->uuid,
        .suite = header->suite,
        .page_bytes = header->page_bytes,
        .stride_bytes = header->stride_bytes,
        .flags = flags,
        .epoch = header->epoch,
        .lowest = header->lowest_epoch,
    };
    enum envol_status status = envol_keyring_make(&params, dek, keyring);

    for (uint32_t i = 0; status == ENVOL_OK && i < header->retained_count; i++)
        status = add_retained(header, dek, &header->retained[i], *keyring);
    if (status != ENVOL_OK) {
        envol_keyring_close(*keyring);
        *keyring = NULL;
    }
    return status;
}

enum envol_status envol_header_unlock(struct envol_header *header,
                                      const uint8_t dek[ENVOL_DEK_BYTES], uint32_t flags,
                                      const struct envol_anchor *anchor,
                                      struct envol_keyring **keyring)
{
    struct envol_anchor whole;
    enum envol_status status;

    if (keyring == NULL)
        return ENVOL_E_ARGUMENT;
    *keyring = NULL;
    if (header == NULL || dek == NULL ||
        (flags & ~(ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED)) != 0 ||
        !ENVOL_TAKE(anchor, anchor, &whole))
        return ENVOL_E_ARGUMENT;
    if (!header->sealed)
        return ENVOL_E_STATE;
    status = envol_header_verify_mac(header, dek);
    if (status == ENVOL_OK)
        status = check_anchor(header, anchor == NULL ? NULL : &whole);
    if (status == ENVOL_OK)
        status = check_features(header);
    if (status == ENVOL_OK)
        status = check_log(header);
    if (status == ENVOL_OK)
        status = check_spare(header);
    if (status == ENVOL_OK)
        status = envol_snapshots_check(header);
    if (status == ENVOL_OK)
        status = envol_catalog_record_check(header);
    if (status == ENVOL_OK)
        status = envol_header_make_keyring(header, dek, flags, keyring);
    if (status == ENVOL_OK)
        header->verified = true;
    return status;
}

enum envol_status envol_header_unlock_with(struct envol_header *header,
                                           const struct envol_keyring *keyring,
                                           const struct envol_anchor *anchor,
                                           struct envol_keyring **again)
{
    enum envol_status status;

    if (again == NULL)
        return ENVOL_E_ARGUMENT;
    *again = NULL;
    if (header == NULL || keyring == NULL)
        return ENVOL_E_ARGUMENT;
    status = envol_keyring_hold(keyring, NULL);
    if (status != ENVOL_OK)
        return status;
    if (memcmp(header->uuid, keyring->uuid, ENVOL_UUID_BYTES) != 0)
        status = ENVOL_E_STATE;
    else if (header->epoch != keyring->epoch)
        status = ENVOL_E_STALE;
    else
        status =
            envol_header_unlock(header, keyring->entry[0].keys->dek, keyring->flags, anchor, again);
    envol_keyring_release(keyring, NULL);
    return status;
}
