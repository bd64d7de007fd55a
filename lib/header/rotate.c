/* SPDX-License-Identifier: BSD-2-Clause */
/* Rotating the DEK, on header bytes alone: the next epoch's header, progress, and the end. */
#include "base/memory.h"
#include "header/header.h"
#include "page/revoke.h"

#include <string.h>

enum envol_status envol_header_next_epoch(const struct envol_header *header,
                                          struct envol_header **next)
{
    struct envol_header *made;

    if (next == NULL)
        return ENVOL_E_ARGUMENT;
    *next = NULL;
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    if (!header->verified || header->rotation.kind != 0)
        return ENVOL_E_STATE;
    if (header->suite == ENVOL_SUITE_AES_256_XTS && header->snapshot_count > 0)
        return ENVOL_E_STATE; /* nothing in a record would tell its epoch */
    if (header->retained_count == ENVOL_RETAINED_MAX || header->epoch == UINT32_MAX)
        return ENVOL_E_RANGE;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_header));
    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    *made = *header;
    made->sealed = made->verified = false;
    made->slot_count = 0;
    memset(made->slots, 0, sizeof(made->slots));
    made->epoch = header->epoch + 1;
    envol_header_refresh_context(made);
    *next = made;
    return ENVOL_OK;
}

/* A DEK of zeros is one that nobody filled in; one that is there already is no new one. */
static bool is_new_dek(const struct envol_keyring *keyring, const uint8_t dek[ENVOL_DEK_BYTES])
{
    static const uint8_t no_dek[ENVOL_DEK_BYTES];
    bool known = envol_equal(dek, no_dek, ENVOL_DEK_BYTES);

    for (uint32_t i = 0; i < keyring->entries; i++)
        known |= envol_equal(dek, keyring->entry[i].keys->dek, ENVOL_DEK_BYTES);
    return !known;
}

/* Every DEK of the header that next was made from, wrapped directly under the new one. */
static enum envol_status retain_all(struct envol_header *next, const struct envol_keyring *keyring,
                                    const uint8_t dek[ENVOL_DEK_BYTES])
{
    uint32_t older = next->retained_count, epoch[ENVOL_RETAINED_MAX];
    enum envol_status status;

    for (uint32_t i = 0; i < older; i++)
        epoch[i] = next->retained[i].epoch;
    next->retained_count = 0;
    memset(next->retained, 0, sizeof(next->retained));
    status = envol_header_retain(next, dek, keyring->epoch, keyring->entry[0].keys->dek);
    for (uint32_t i = 0; status == ENVOL_OK && i < older; i++) {
        const struct envol_epoch_keys *keys = envol_keyring_find(keyring, epoch[i]);
        status = keys == NULL ? ENVOL_E_STATE : envol_header_retain(next, dek, epoch[i], keys->dek);
    }
    return status;
}

/* Holds the keys of keyring.  next's fields may be half-way there after a failure. */
static enum envol_status rotate(struct envol_header *next, const struct envol_keyring *keyring,
                                const uint8_t dek[ENVOL_DEK_BYTES], uint32_t flags,
                                struct envol_keyring **new_keyring)
{
    uint8_t mac[ENVOL_HEADER_MAC_BYTES];
    enum envol_status status;

    envol_image_mac(next, keyring->epoch, keyring->entry[0].keys->dek, next->image, mac);
    if (!envol_equal(mac, next->id.mac, sizeof(mac)))
        return ENVOL_E_WRONG_KEY;
    if (!is_new_dek(keyring, dek))
        return ENVOL_E_ARGUMENT;
    status = retain_all(next, keyring, dek);
    if (status == ENVOL_OK)
        status = envol_header_make_keyring(next, dek, flags, new_keyring);
    if (status != ENVOL_OK)
        return status;
    envol_image_mac(next, next->epoch, dek, next->image, next->proof);
    next->rotation =
        (struct envol_rotation_record){.kind = ENVOL_ROTATION_SWEEP, .from_epoch = keyring->epoch};
    next->seal_estimate = 0;
    next->rotated = true;
    return ENVOL_OK;
}

static bool may_rotate(const struct envol_header *next, const struct envol_keyring *keyring)
{
    return !next->sealed && !next->rotated && next->id.generation != 0 &&
           keyring->epoch == next->epoch - 1 &&
           memcmp(keyring->uuid, next->uuid, ENVOL_UUID_BYTES) == 0;
}

enum envol_status envol_header_rotate(struct envol_header *next,
                                      const struct envol_keyring *keyring,
                                      const uint8_t dek[ENVOL_DEK_BYTES], uint32_t flags,
                                      struct envol_keyring **new_keyring)
{
    struct envol_retained retained[ENVOL_RETAINED_MAX];
    uint32_t count;
    enum envol_status status;

    if (new_keyring == NULL)
        return ENVOL_E_ARGUMENT;
    *new_keyring = NULL;
    if (next == NULL || keyring == NULL || dek == NULL ||
        (flags & ~(ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED)) != 0)
        return ENVOL_E_ARGUMENT;
    status = envol_keyring_hold(keyring, NULL);
    if (status != ENVOL_OK)
        return status;
    count = next->retained_count;
    memcpy(retained, next->retained, sizeof(retained));
    status =
        may_rotate(next, keyring) ? rotate(next, keyring, dek, flags, new_keyring) : ENVOL_E_STATE;
    envol_keyring_release(keyring, NULL);
    if (status != ENVOL_OK) {
        next->retained_count = count;
        memcpy(next->retained, retained, sizeof(retained));
    }
    return status;
}

enum envol_status envol_header_set_rotation(struct envol_header *header,
                                            const struct envol_rotation_record *record)
{
    if (header->rotation.kind == 0 || record->kind == 0)
        return ENVOL_E_STATE;
    if (envol_rotation_check(header, record) != ENVOL_OK)
        return ENVOL_E_RANGE;
    header->rotation = *record;
    return ENVOL_OK;
}

enum envol_status envol_header_set_sweep(struct envol_header *header, uint64_t next_page,
                                         uint64_t bad_pages, uint64_t first_bad)
{
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    if (header->rotation.kind != ENVOL_ROTATION_SWEEP)
        return ENVOL_E_STATE;
    header->rotation.next_page = next_page;
    header->rotation.bad_pages = bad_pages;
    header->rotation.first_bad = bad_pages == 0 ? 0 : first_bad;
    return ENVOL_OK;
}

/* The epochs that something else than the volume's pages needs stay; how many there are. */
static uint32_t keep_needed(const struct envol_header *header,
                            struct envol_retained kept[ENVOL_RETAINED_MAX])
{
    uint32_t count = 0;

    memset(kept, 0, ENVOL_RETAINED_MAX * sizeof(kept[0]));
    for (uint32_t i = 0; i < header->retained_count; i++)
        if (envol_log_seal_needs(header, header->retained[i].epoch) ||
            envol_snapshots_need(header, header->retained[i].epoch) > 0 ||
            envol_catalog_needs(header, header->retained[i].epoch))
            kept[count++] = header->retained[i];
    return count;
}

static uint32_t lowest_of(const struct envol_header *header)
{
    uint32_t lowest = header->epoch;

    for (uint32_t i = 0; i < header->retained_count; i++)
        if (header->retained[i].epoch < lowest)
            lowest = header->retained[i].epoch;
    return lowest;
}

/* Pages of the volume's own space that are not swept have no record that tells their epoch. */
static bool may_retire(const struct envol_header *header, uint32_t flags)
{
    const struct envol_rotation_record *record = &header->rotation;
    struct envol_retained kept[ENVOL_RETAINED_MAX];

    if (record->kind == 0)
        return (flags & ENVOL_RETIRE_KEEP) == 0 &&
               header->retained_count > keep_needed(header, kept);
    return record->kind != ENVOL_ROTATION_PAGES ||
           (record->hot_count == 0 && record->next_page == record->pages);
}

enum envol_status envol_header_retire(struct envol_header *header, uint32_t flags)
{
    struct envol_retained kept[ENVOL_RETAINED_MAX];

    if (header == NULL || (flags & ~ENVOL_RETIRE_KEEP) != 0)
        return ENVOL_E_ARGUMENT;
    if (!may_retire(header, flags))
        return ENVOL_E_STATE;
    memset(&header->rotation, 0, sizeof(header->rotation));
    if ((flags & ENVOL_RETIRE_KEEP) != 0)
        return ENVOL_OK;
    header->retained_count = keep_needed(header, kept);
    memcpy(header->retained, kept, sizeof(kept));
    header->lowest_epoch = lowest_of(header);
    return ENVOL_OK;
}
