/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The double-write area as bytes.  A slot's head, 4,096 bytes (envol(5) shows the same table):
 *
 *   OFFSET   SIZE  FIELD
 *        0      8  magic "ENVOLDW1"
 *        8      4  CRC-32C of the head, this field taken as zero, and of the records behind it
 *       12      4  kind: 1 records, 2 zeros, 3 mark
 *       16      8  sequence, from 1 to 2^62
 *       24     16  volume UUID
 *       40      4  number of extents
 *       44      4  0
 *       48         extents: first page u64, number of pages u64; then zeros
 *
 * The CRC tells a torn slot from a whole one, as the header's does.  A MAC would prove no more that
 * matters: whoever can write the area can write the pages themselves, and under GCM a record of the
 * area authenticates by itself before it replaces anything.
 */
#include "volume/area.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "header/header.h"

#include <string.h>

#define MAGIC       "ENVOLDW1"
#define AT_CRC      8u
#define AT_KIND     12u
#define AT_SEQUENCE 16u
#define AT_UUID     24u
#define AT_EXTENTS  40u
#define AT_ZERO     44u
#define AT_EXTENT   48u

_Static_assert(ENVOL_RUN_BYTES == ENVOL_AREA_RUN_BYTES && ENVOL_RUN_MAX == ENVOL_AREA_RUN_MAX,
               "what is transferred in one go fits a slot");
_Static_assert(AT_EXTENT + 16u * ENVOL_AREA_EXTENTS_MAX <= ENVOL_AREA_HEAD_BYTES,
               "an extent for each record fits the head");

static enum envol_status init_locks(struct envol_area *area)
{
    if (pthread_mutex_init(&area->lock, NULL) != 0)
        return ENVOL_E_NO_MEMORY;
    if (pthread_cond_init(&area->change, NULL) == 0)
        return ENVOL_OK;
    pthread_mutex_destroy(&area->lock);
    return ENVOL_E_NO_MEMORY;
}

enum envol_status envol_area_open(struct envol_volume *volume)
{
    const struct envol_header *header = volume->header;
    struct envol_area *area;
    uint32_t slots;

    if (volume->read_only || (header->incompatible & ENVOL_FEATURE_ATOMIC_PAGES) == 0)
        return ENVOL_OK;
    slots = envol_area_slots(header);
    area = envol_alloc(sizeof(*area) + slots * sizeof(area->slot[0]), _Alignof(struct envol_area));
    if (area == NULL)
        return ENVOL_E_NO_MEMORY;
    area->slots = slots;
    area->records = envol_area_records(header->stride_bytes);
    area->slot_bytes = envol_area_slot_bytes(header->stride_bytes);
    area->head = envol_alloc(ENVOL_AREA_HEAD_BYTES, ENVOL_BUFFER_ALIGN);
    if (area->head == NULL || init_locks(area) != ENVOL_OK) {
        envol_free(area->head);
        envol_free(area);
        return ENVOL_E_NO_MEMORY;
    }
    volume->area = area;
    return ENVOL_OK;
}

void envol_area_free(struct envol_area *area, bool own)
{
    if (area == NULL)
        return;
    if (own) {
        pthread_cond_destroy(&area->change);
        pthread_mutex_destroy(&area->lock);
    }
    envol_free(area->head);
    envol_free(area);
}

uint64_t envol_area_offset(const struct envol_area *area, uint32_t slot)
{
    return ENVOL_HEADER_BYTES + slot * area->slot_bytes;
}

size_t envol_area_bytes(const struct envol_volume *volume, const struct envol_area_slot *slot)
{
    uint64_t records = 0;

    if (slot->kind != ENVOL_AREA_RECORDS)
        return 0;
    for (uint32_t i = 0; i < slot->extents; i++)
        records += slot->extent[i].count;
    return (size_t)records * volume->stride_bytes;
}

uint8_t *envol_area_buffer(const struct envol_area *area)
{
    return envol_alloc((size_t)area->slot_bytes, ENVOL_BUFFER_ALIGN);
}

uint32_t envol_area_encode(const struct envol_volume *volume, const struct envol_area_slot *slot)
{
    uint8_t *head = volume->area->head;

    memset(head, 0, ENVOL_AREA_HEAD_BYTES);
    memcpy(head, MAGIC, 8);
    envol_store32(head + AT_KIND, (uint32_t)slot->kind);
    envol_store64(head + AT_SEQUENCE, slot->sequence);
    memcpy(head + AT_UUID, volume->header->uuid, ENVOL_UUID_BYTES);
    envol_store32(head + AT_EXTENTS, slot->extents);
    for (uint32_t i = 0; i < slot->extents; i++) {
        envol_store64(head + AT_EXTENT + (size_t)i * 16, slot->extent[i].first);
        envol_store64(head + AT_EXTENT + (size_t)i * 16 + 8, slot->extent[i].count);
    }
    return envol_crc32c(0, head, ENVOL_AREA_HEAD_BYTES);
}

void envol_area_seal_head(struct envol_area *area, uint32_t crc)
{
    envol_store32(area->head + AT_CRC, crc);
}

bool envol_area_is_whole(const uint8_t *slot, size_t records_bytes)
{
    static const uint8_t zero[4] = {0};
    uint32_t crc = envol_crc32c(0, slot, AT_CRC);

    crc = envol_crc32c(crc, zero, sizeof(zero));
    crc = envol_crc32c(crc, slot + AT_CRC + 4, ENVOL_AREA_HEAD_BYTES - AT_CRC - 4 + records_bytes);
    return crc == envol_load32(slot + AT_CRC);
}

/* Each number bounded before anything is computed from it. */
static bool extents_fit(const struct envol_volume *volume, const struct envol_area_slot *slot)
{
    uint64_t records = 0, most = volume->area->records;

    if (slot->kind == ENVOL_AREA_MARK)
        return slot->extents == 0;
    if (slot->kind == ENVOL_AREA_ZEROS) {
        if (!volume->sparse || slot->extents != 1)
            return false;
        most = volume->page_max;
    }
    for (uint32_t i = 0; i < slot->extents; i++) {
        const struct envol_extent *extent = &slot->extent[i];
        if (extent->count == 0 || extent->count > most - records ||
            extent->first > volume->page_max || extent->count > volume->page_max - extent->first)
            return false;
        records += extent->count;
    }
    return records > 0;
}

static bool decode(const struct envol_volume *volume, const uint8_t *head,
                   struct envol_area_slot *slot)
{
    uint32_t kind = envol_load32(head + AT_KIND), extents = envol_load32(head + AT_EXTENTS);
    size_t used = AT_EXTENT + 16u * (size_t)extents;

    if (memcmp(head, MAGIC, 8) != 0 ||
        memcmp(head + AT_UUID, volume->header->uuid, ENVOL_UUID_BYTES) != 0)
        return false;
    if (kind < ENVOL_AREA_RECORDS || kind > ENVOL_AREA_MARK || extents > ENVOL_AREA_EXTENTS_MAX ||
        envol_load32(head + AT_ZERO) != 0 ||
        !envol_is_zero(head + used, ENVOL_AREA_HEAD_BYTES - used))
        return false;
    slot->kind = (enum envol_area_kind)kind;
    slot->extents = extents;
    for (uint32_t i = 0; i < extents; i++)
        slot->extent[i] = (struct envol_extent){
            .first = envol_load64(head + AT_EXTENT + (size_t)i * 16),
            .count = envol_load64(head + AT_EXTENT + (size_t)i * 16 + 8),
        };
    slot->sequence = envol_load64(head + AT_SEQUENCE);
    return slot->sequence > 0 && slot->sequence <= ENVOL_AREA_SEQUENCE_MAX &&
           extents_fit(volume, slot);
}

bool envol_area_decode(const struct envol_volume *volume, const uint8_t *head,
                       struct envol_area_slot *slot)
{
    memset(slot, 0, sizeof(*slot));
    if (decode(volume, head, slot))
        return true;
    slot->sequence = 0;
    return false;
}

bool envol_area_overlaps(const struct envol_area_slot *slot, const struct envol_extent *extent)
{
    for (uint32_t i = 0; i < slot->extents; i++)
        if (slot->extent[i].first < extent->first + extent->count &&
            extent->first < slot->extent[i].first + slot->extent[i].count)
            return true;
    return false;
}
