/* SPDX-License-Identifier: BSD-2-Clause */
/* The snapshot table: bytes to struct and back, what it may say, and which epochs it needs. */
#include "base/bytes.h"
#include "base/memory.h"
#include "header/header.h"

#include <string.h>

static bool is_empty(const uint8_t *entry)
{
    return envol_is_zero(entry, ENVOL_SNAPSHOT_BYTES);
}

/* As it stands: what it means is looked at behind the MAC. */
void envol_snapshots_decode(const uint8_t *table, struct envol_header *header)
{
    uint32_t count = 0;

    while (count < ENVOL_SNAPSHOTS_MAX && !is_empty(table + count * ENVOL_SNAPSHOT_BYTES)) {
        const uint8_t *entry = table + count * ENVOL_SNAPSHOT_BYTES;
        struct envol_snapshot_record *record = &header->snapshots[count++];
        memcpy(record->uuid, entry, ENVOL_UUID_BYTES);
        record->generation = envol_load64(entry + ENVOL_SNAPSHOT_AT_GENERATION);
        record->pages = envol_load64(entry + ENVOL_SNAPSHOT_AT_PAGES);
        record->created_at_s = envol_load64(entry + ENVOL_SNAPSHOT_AT_CREATED);
        record->epoch = envol_load32(entry + ENVOL_SNAPSHOT_AT_EPOCH);
        record->lowest_epoch = envol_load32(entry + ENVOL_SNAPSHOT_AT_LOWEST_EPOCH);
        record->entries = envol_load64(entry + ENVOL_SNAPSHOT_AT_ENTRIES);
    }
    header->snapshot_count = count;
}

static bool has_unknown_features(const struct envol_header *header)
{
    return (header->read_only_compatible & ~ENVOL_FEATURES_READ_ONLY_COMPATIBLE) != 0;
}

/* table is as it was read.  Nobody who lacks a feature updates a header, and none of it is lost. */
void envol_snapshots_encode(const struct envol_header *header, uint8_t *table)
{
    if (has_unknown_features(header))
        return;
    memset(table, 0, ENVOL_SNAPSHOTS_MAX * ENVOL_SNAPSHOT_BYTES);
    for (uint32_t i = 0; i < header->snapshot_count; i++) {
        uint8_t *entry = table + i * ENVOL_SNAPSHOT_BYTES;
        const struct envol_snapshot_record *record = &header->snapshots[i];
        memcpy(entry, record->uuid, ENVOL_UUID_BYTES);
        envol_store64(entry + ENVOL_SNAPSHOT_AT_GENERATION, record->generation);
        envol_store64(entry + ENVOL_SNAPSHOT_AT_PAGES, record->pages);
        envol_store64(entry + ENVOL_SNAPSHOT_AT_CREATED, record->created_at_s);
        envol_store32(entry + ENVOL_SNAPSHOT_AT_EPOCH, record->epoch);
        envol_store32(entry + ENVOL_SNAPSHOT_AT_LOWEST_EPOCH, record->lowest_epoch);
        envol_store64(entry + ENVOL_SNAPSHOT_AT_ENTRIES, record->entries);
    }
}

/* The DEKs of its records are all there. */
static bool epochs_are_kept(const struct envol_header *header,
                            const struct envol_snapshot_record *record)
{
    if (record->epoch == header->epoch)
        return true;
    for (uint32_t i = 0; i < header->retained_count; i++)
        if (header->retained[i].epoch == record->epoch)
            return true;
    return false;
}

static bool is_sound(const struct envol_header *header, const struct envol_snapshot_record *record)
{
    uint64_t pages_max = ((UINT64_C(1) << 63) - 1 - header->data_offset) / header->stride_bytes;

    return record->generation != 0 && record->generation <= header->id.generation &&
           record->pages <= pages_max && record->lowest_epoch >= header->lowest_epoch &&
           record->lowest_epoch <= record->epoch && record->epoch <= header->epoch &&
           record->entries != 0 && epochs_are_kept(header, record);
}

/* Under XTS no record tells its epoch: there is one. */
static bool fits_rotation(const struct envol_header *header)
{
    if (header->suite != ENVOL_SUITE_AES_256_XTS || header->snapshot_count == 0)
        return true;
    return header->rotation.kind != ENVOL_ROTATION_PAGES;
}

enum envol_status envol_snapshots_check(const struct envol_header *header)
{
    const uint8_t *table = header->image + ENVOL_AT_SNAPSHOTS;
    bool is_marked = (header->read_only_compatible & ENVOL_FEATURE_SNAPSHOTS) != 0;

    /* A feature that this library lacks may use what it takes for zeros. */
    if (has_unknown_features(header))
        return ENVOL_OK;
    if (is_marked != (header->snapshot_count > 0) || !fits_rotation(header))
        return ENVOL_E_CORRUPT;
    for (uint32_t i = header->snapshot_count; i < ENVOL_SNAPSHOTS_MAX; i++)
        if (!is_empty(table + i * ENVOL_SNAPSHOT_BYTES))
            return ENVOL_E_CORRUPT;
    for (uint32_t i = 0; i < header->snapshot_count; i++) {
        const uint8_t *spare = table + i * ENVOL_SNAPSHOT_BYTES + ENVOL_SNAPSHOT_AT_SPARE;
        if (!envol_is_zero(spare, ENVOL_SNAPSHOT_BYTES - ENVOL_SNAPSHOT_AT_SPARE) ||
            !is_sound(header, &header->snapshots[i]) ||
            envol_snapshots_find(header, header->snapshots[i].uuid) != &header->snapshots[i])
            return ENVOL_E_CORRUPT;
    }
    return ENVOL_OK;
}

const struct envol_snapshot_record *envol_snapshots_find(const struct envol_header *header,
                                                         const uint8_t uuid[ENVOL_UUID_BYTES])
{
    for (uint32_t i = 0; i < header->snapshot_count; i++)
        if (memcmp(header->snapshots[i].uuid, uuid, ENVOL_UUID_BYTES) == 0)
            return &header->snapshots[i];
    return NULL;
}

enum envol_status envol_snapshots_add(struct envol_header *header,
                                      const struct envol_snapshot_record *record)
{
    if (header->snapshot_count == ENVOL_SNAPSHOTS_MAX)
        return ENVOL_E_RANGE;
    header->snapshots[header->snapshot_count++] = *record;
    header->read_only_compatible |= ENVOL_FEATURE_SNAPSHOTS;
    return ENVOL_OK;
}

void envol_snapshots_remove(struct envol_header *header, const uint8_t uuid[ENVOL_UUID_BYTES])
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < header->snapshot_count; i++)
        if (memcmp(header->snapshots[i].uuid, uuid, ENVOL_UUID_BYTES) != 0)
            header->snapshots[kept++] = header->snapshots[i];
    header->snapshot_count = kept;
    if (kept == 0)
        header->read_only_compatible &= ~ENVOL_FEATURE_SNAPSHOTS;
}

uint32_t envol_snapshots_need(const struct envol_header *header, uint32_t epoch)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < header->snapshot_count; i++)
        count += header->snapshots[i].lowest_epoch <= epoch && epoch <= header->snapshots[i].epoch;
    return count;
}
