/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing a header: edits, the race check, the next generation. */
#include "header/header.h"
#include "page/revoke.h"

#include <string.h>

enum envol_status envol_header_set_pages(struct envol_header *header, uint64_t high_water,
                                         int clean, uint64_t seals)
{
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    if (high_water > ((UINT64_C(1) << 63) - 1 - header->data_offset) / header->stride_bytes)
        return ENVOL_E_RANGE;
    header->high_water = high_water;
    header->clean = clean != 0;
    header->seal_estimate =
        seals > UINT64_MAX - header->seal_estimate ? UINT64_MAX : header->seal_estimate + seals;
    return ENVOL_OK;
}

static bool same_id(const struct envol_header_id *a, const struct envol_header_id *b)
{
    return a->generation == b->generation && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/*
 * What is on disk must be what this header last knew, or an update of its own that failed half-way:
 * the last one, or one before it that was found there since.
 */
static bool is_known(const struct envol_header *header, const struct envol_header_id *id)
{
    return same_id(id, &header->id) ||
           (header->attempt.generation != 0 && same_id(id, &header->attempt)) ||
           (header->seen.generation != 0 && same_id(id, &header->seen));
}

static bool is_of(const struct envol_keyring *keyring, const struct envol_header *header)
{
    return (header->verified || header->rotated) && header->slot_count > 0 &&
           keyring->epoch == header->epoch &&
           memcmp(keyring->uuid, header->uuid, ENVOL_UUID_BYTES) == 0;
}

enum envol_status envol_header_check_keyring(const struct envol_header *header,
                                             const struct envol_keyring *keyring)
{
    if (!is_of(keyring, header))
        return ENVOL_E_STATE;
    if ((header->read_only_compatible & ~ENVOL_FEATURES_READ_ONLY_COMPATIBLE) != 0)
        return ENVOL_E_VERSION;
    return envol_header_verify_mac(header, keyring->entry[0].keys->dek);
}

static enum envol_status prepare(struct envol_header *header, const struct envol_keyring *keyring,
                                 const uint8_t *current, uint8_t *copy, uint32_t *first)
{
    int newest = envol_image_newest(current);
    struct envol_header_id id;
    enum envol_status status = envol_header_check_keyring(header, keyring);

    if (status != ENVOL_OK)
        return status;
    if (newest < 0)
        return ENVOL_E_STALE;
    id = envol_image_id(current + (size_t)newest * ENVOL_HEADER_COPY_BYTES);
    if (!is_known(header, &id))
        return ENVOL_E_STALE;
    if (id.generation == UINT64_MAX)
        return ENVOL_E_RANGE;
    status = envol_image_encode(header, id.generation + 1, keyring->entry[0].keys->dek, copy);
    if (status != ENVOL_OK)
        return status;
    if (!same_id(&id, &header->id))
        header->seen = id;
    header->attempt = envol_image_id(copy);
    header->settled = false;
    *first = (uint32_t)(1 - newest);
    return ENVOL_OK;
}

enum envol_status envol_header_prepare(struct envol_header *header,
                                       const struct envol_keyring *keyring, const void *current,
                                       void *copy, uint32_t *first)
{
    enum envol_status status = ENVOL_E_ARGUMENT;

    if (first != NULL)
        *first = 0;
    if (header != NULL && keyring != NULL && current != NULL && copy != NULL && first != NULL)
        status = is_of(keyring, header) ? envol_keyring_hold(keyring, NULL) : ENVOL_E_STATE;
    if (status == ENVOL_OK) {
        status = prepare(header, keyring, current, copy, first);
        envol_keyring_release(keyring, NULL);
    }
    if (status != ENVOL_OK && copy != NULL)
        memset(copy, 0, ENVOL_HEADER_COPY_BYTES);
    return status;
}

enum envol_status envol_header_committed(struct envol_header *header, const void *copy)
{
    struct envol_header_id id;

    if (header == NULL || copy == NULL)
        return ENVOL_E_ARGUMENT;
    id = envol_image_id(copy);
    if (header->attempt.generation == 0 || !same_id(&id, &header->attempt) ||
        !envol_image_is_whole(copy))
        return ENVOL_E_STATE;
    memcpy(header->image, copy, sizeof(header->image));
    header->id = id;
    header->sealed = header->verified = true;
    header->rotated = false;
    header->settled = true;
    header->whole_copies = 2;
    header->copies_differ = false;
    memset(&header->attempt, 0, sizeof(header->attempt));
    memset(&header->seen, 0, sizeof(header->seen));
    return ENVOL_OK;
}
