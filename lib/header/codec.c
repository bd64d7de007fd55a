/* SPDX-License-Identifier: BSD-2-Clause */
/* Header copies: bytes to struct and back, CRC and MAC.  The layout stands in layout.h. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/kdf.h"
#include "base/memory.h"
#include "header/header.h"
#include "page/derive.h"

#include <string.h>

/* CRC over the copy with the field itself taken as zero. */
static uint32_t image_crc(const uint8_t *copy)
{
    static const uint8_t zero[4] = {0};
    uint32_t crc = envol_crc32c(0, copy, ENVOL_AT_CRC);

    crc = envol_crc32c(crc, zero, sizeof(zero));
    return envol_crc32c(crc, copy + ENVOL_AT_CRC + 4, ENVOL_HEADER_COPY_BYTES - ENVOL_AT_CRC - 4);
}

bool envol_image_is_whole(const uint8_t *copy)
{
    return memcmp(copy + ENVOL_AT_MAGIC, ENVOL_HEADER_MAGIC, 8) == 0 &&
           envol_load32(copy + ENVOL_AT_CRC) == image_crc(copy);
}

struct envol_header_id envol_image_id(const uint8_t *copy)
{
    struct envol_header_id id = {.generation = envol_load64(copy + ENVOL_AT_GENERATION)};

    memcpy(id.mac, copy + ENVOL_AT_MAC, sizeof(id.mac));
    return id;
}

int envol_image_newest(const uint8_t *bytes)
{
    const uint8_t *second = bytes + ENVOL_HEADER_COPY_BYTES;
    bool whole0 = envol_image_is_whole(bytes), whole1 = envol_image_is_whole(second);
    uint64_t generation0 = envol_load64(bytes + ENVOL_AT_GENERATION);
    uint64_t generation1 = envol_load64(second + ENVOL_AT_GENERATION);

    if (!whole0 || !whole1)
        return whole0 ? 0 : whole1 ? 1 : -1;
    if (generation0 == generation1)
        return memcmp(bytes, second, ENVOL_HEADER_COPY_BYTES) == 0 ? 0 : -2;
    return generation0 > generation1 ? 0 : 1;
}

static void decode_fields(const uint8_t *copy, struct envol_header *header)
{
    header->id = envol_image_id(copy);
    memcpy(header->uuid, copy + ENVOL_AT_UUID, ENVOL_UUID_BYTES);
    header->suite = (enum envol_suite)envol_load16(copy + ENVOL_AT_SUITE);
    header->page_bytes = envol_load32(copy + ENVOL_AT_PAGE_BYTES);
    header->stride_bytes = envol_load32(copy + ENVOL_AT_STRIDE_BYTES);
    header->epoch = envol_load32(copy + ENVOL_AT_EPOCH);
    header->lowest_epoch = envol_load32(copy + ENVOL_AT_LOWEST_EPOCH);
    header->clean = envol_load32(copy + ENVOL_AT_CLEAN) == 1;
    header->data_offset = envol_load64(copy + ENVOL_AT_DATA_OFFSET);
    header->high_water = envol_load64(copy + ENVOL_AT_HIGH_WATER);
    header->seal_estimate = envol_load64(copy + ENVOL_AT_SEAL_ESTIMATE);
    header->compatible = envol_load32(copy + ENVOL_AT_COMPATIBLE);
    header->read_only_compatible = envol_load32(copy + ENVOL_AT_READ_ONLY_COMPATIBLE);
    header->incompatible = envol_load32(copy + ENVOL_AT_INCOMPATIBLE);
    header->retained_count = envol_load32(copy + ENVOL_AT_RETAINED_COUNT);
}

/* As it stands: what it means is looked at behind the MAC (envol_rotation_check). */
static void decode_rotation(const uint8_t *record, struct envol_rotation_record *rotation)
{
    rotation->kind = envol_load32(record + ENVOL_ROTATION_AT_KIND);
    rotation->from_epoch = envol_load32(record + ENVOL_ROTATION_AT_FROM);
    rotation->next_page = envol_load64(record + ENVOL_ROTATION_AT_NEXT);
    rotation->bad_pages = envol_load64(record + ENVOL_ROTATION_AT_BAD);
    rotation->first_bad = envol_load64(record + ENVOL_ROTATION_AT_FIRST_BAD);
    rotation->hot_first = envol_load64(record + ENVOL_ROTATION_AT_HOT_FIRST);
    rotation->hot_count = envol_load64(record + ENVOL_ROTATION_AT_HOT_COUNT);
    rotation->pages = envol_load64(record + ENVOL_ROTATION_AT_PAGES);
    rotation->journal_page = envol_load64(record + ENVOL_ROTATION_AT_JOURNAL);
    memcpy(rotation->commitment, record + ENVOL_ROTATION_AT_COMMITMENT,
           sizeof(rotation->commitment));
}

/* Bounds of every number that something is computed from. */
static bool fields_fit(const uint8_t *copy, const struct envol_header *header)
{
    return header->id.generation != 0 && header->epoch != 0 && header->lowest_epoch != 0 &&
           header->lowest_epoch <= header->epoch && envol_load32(copy + ENVOL_AT_CLEAN) <= 1 &&
           header->retained_count <= ENVOL_RETAINED_MAX &&
           envol_geometry_check(header) == ENVOL_OK &&
           header->high_water <=
               ((UINT64_C(1) << 63) - 1 - header->data_offset) / header->stride_bytes;
}

static bool decode_retained(const uint8_t *copy, struct envol_header *header)
{
    size_t used = (size_t)header->retained_count * ENVOL_RETAINED_BYTES;

    if (!envol_is_zero(copy + ENVOL_AT_RETAINED + used,
                       (size_t)ENVOL_RETAINED_MAX * ENVOL_RETAINED_BYTES - used))
        return false;
    for (uint32_t i = 0; i < header->retained_count; i++) {
        const uint8_t *entry = copy + ENVOL_AT_RETAINED + (size_t)i * ENVOL_RETAINED_BYTES;
        header->retained[i].epoch = envol_load32(entry);
        memcpy(header->retained[i].wrap, entry + 8, ENVOL_LOCAL_WRAP_BYTES);
        if (header->retained[i].epoch < header->lowest_epoch ||
            header->retained[i].epoch >= header->epoch || envol_load32(entry + 4) != 0)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (header->retained[j].epoch == header->retained[i].epoch)
                return false;
    }
    return true;
}

enum envol_status envol_image_decode(const uint8_t *copy, struct envol_header *header,
                                     struct envol_error *error)
{
    uint32_t version = envol_load32(copy + ENVOL_AT_VERSION);
    enum envol_status status;

    if (version != ENVOL_HEADER_VERSION)
        return envol_fail(error, ENVOL_E_VERSION, "the header has format version %u, not %u",
                          version, ENVOL_HEADER_VERSION);
    decode_fields(copy, header);
    decode_rotation(copy + ENVOL_AT_ROTATION, &header->rotation);
    envol_log_seal_decode(copy + ENVOL_AT_LOG_SEAL, &header->log_seal);
    envol_restore_decode(copy + ENVOL_AT_RESTORE, &header->restore);
    envol_snapshots_decode(copy + ENVOL_AT_SNAPSHOTS, header);
    envol_catalog_record_decode(copy + ENVOL_AT_CATALOG, &header->catalog);
    if (!fields_fit(copy, header) || !decode_retained(copy, header))
        return envol_fail(error, ENVOL_E_CORRUPT, "a field of the header is out of bounds");
    status = envol_slots_decode(copy + ENVOL_AT_SLOT_AREA, ENVOL_SLOT_AREA_BYTES,
                                envol_load32(copy + ENVOL_AT_SLOTS), header);
    if (status != ENVOL_OK)
        return envol_fail(error, status,
                          status == ENVOL_E_CORRUPT ? "the key slots of the header are malformed"
                                                    : NULL);
    memcpy(header->image, copy, sizeof(header->image));
    header->sealed = true;
    envol_header_refresh_context(header);
    return ENVOL_OK;
}

void envol_image_mac(const struct envol_header *header, uint32_t epoch,
                     const uint8_t dek[ENVOL_DEK_BYTES], const uint8_t *copy,
                     uint8_t mac[ENVOL_HEADER_MAC_BYTES])
{
    static const uint8_t zero[4] = {0};
    const struct envol_part parts[] = {
        {copy, ENVOL_AT_CRC},
        {zero, sizeof(zero)},
        {copy + ENVOL_AT_CRC + 4, ENVOL_AT_MAC - ENVOL_AT_CRC - 4},
    };
    uint8_t key[32], full[64];

    envol_derive(dek,
                 &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_HEADER_MAC,
                                                  .uuid = header->uuid,
                                                  .suite = header->suite,
                                                  .epoch = epoch},
                 key, sizeof(key));
    envol_hmac_sha512(key, sizeof(key), parts, 3, full);
    memcpy(mac, full, ENVOL_HEADER_MAC_BYTES);
    envol_wipe(key, sizeof(key));
    envol_wipe(full, sizeof(full));
}

static void encode_fields(const struct envol_header *header, uint64_t generation, uint8_t *copy)
{
    memcpy(copy + ENVOL_AT_MAGIC, ENVOL_HEADER_MAGIC, 8);
    envol_store32(copy + ENVOL_AT_VERSION, ENVOL_HEADER_VERSION);
    envol_store64(copy + ENVOL_AT_GENERATION, generation);
    memcpy(copy + ENVOL_AT_UUID, header->uuid, ENVOL_UUID_BYTES);
    envol_store16(copy + ENVOL_AT_SUITE, (uint16_t)header->suite);
    envol_store32(copy + ENVOL_AT_PAGE_BYTES, header->page_bytes);
    envol_store32(copy + ENVOL_AT_STRIDE_BYTES, header->stride_bytes);
    envol_store32(copy + ENVOL_AT_EPOCH, header->epoch);
    envol_store32(copy + ENVOL_AT_LOWEST_EPOCH, header->lowest_epoch);
    envol_store32(copy + ENVOL_AT_CLEAN, header->clean);
    envol_store64(copy + ENVOL_AT_DATA_OFFSET, header->data_offset);
    envol_store64(copy + ENVOL_AT_HIGH_WATER, header->high_water);
    envol_store64(copy + ENVOL_AT_SEAL_ESTIMATE, header->seal_estimate);
    envol_store32(copy + ENVOL_AT_COMPATIBLE, header->compatible);
    envol_store32(copy + ENVOL_AT_READ_ONLY_COMPATIBLE, header->read_only_compatible);
    envol_store32(copy + ENVOL_AT_INCOMPATIBLE, header->incompatible);
    envol_store32(copy + ENVOL_AT_SLOTS, header->slot_count);
    envol_store32(copy + ENVOL_AT_RETAINED_COUNT, header->retained_count);
}

static void encode_rotation(const struct envol_rotation_record *rotation, uint8_t *record)
{
    envol_store32(record + ENVOL_ROTATION_AT_KIND, rotation->kind);
    envol_store32(record + ENVOL_ROTATION_AT_FROM, rotation->from_epoch);
    envol_store64(record + ENVOL_ROTATION_AT_NEXT, rotation->next_page);
    envol_store64(record + ENVOL_ROTATION_AT_BAD, rotation->bad_pages);
    envol_store64(record + ENVOL_ROTATION_AT_FIRST_BAD, rotation->first_bad);
    envol_store64(record + ENVOL_ROTATION_AT_HOT_FIRST, rotation->hot_first);
    envol_store64(record + ENVOL_ROTATION_AT_HOT_COUNT, rotation->hot_count);
    envol_store64(record + ENVOL_ROTATION_AT_PAGES, rotation->pages);
    envol_store64(record + ENVOL_ROTATION_AT_JOURNAL, rotation->journal_page);
    memcpy(record + ENVOL_ROTATION_AT_COMMITMENT, rotation->commitment,
           sizeof(rotation->commitment));
    memset(record + ENVOL_ROTATION_AT_SPARE, 0, ENVOL_ROTATION_BYTES - ENVOL_ROTATION_AT_SPARE);
}

static void encode_retained(const struct envol_header *header, uint8_t *copy)
{
    memset(copy + ENVOL_AT_RETAINED, 0, (size_t)ENVOL_RETAINED_MAX * ENVOL_RETAINED_BYTES);
    for (uint32_t i = 0; i < header->retained_count; i++) {
        uint8_t *entry = copy + ENVOL_AT_RETAINED + (size_t)i * ENVOL_RETAINED_BYTES;
        envol_store32(entry, header->retained[i].epoch);
        memcpy(entry + 8, header->retained[i].wrap, ENVOL_LOCAL_WRAP_BYTES);
    }
}

enum envol_status envol_image_encode(const struct envol_header *header, uint64_t generation,
                                     const uint8_t dek[ENVOL_DEK_BYTES], uint8_t *copy)
{
    if (envol_slots_encode(header, NULL) > ENVOL_SLOT_AREA_BYTES)
        return ENVOL_E_RANGE;
    memcpy(copy, header->image, ENVOL_HEADER_COPY_BYTES);
    encode_fields(header, generation, copy);
    encode_retained(header, copy);
    encode_rotation(&header->rotation, copy + ENVOL_AT_ROTATION);
    envol_log_seal_encode(&header->log_seal, copy + ENVOL_AT_LOG_SEAL);
    envol_restore_encode(&header->restore, copy + ENVOL_AT_RESTORE);
    envol_snapshots_encode(header, copy + ENVOL_AT_SNAPSHOTS);
    envol_catalog_record_encode(header, copy + ENVOL_AT_CATALOG);
    envol_slots_encode(header, copy + ENVOL_AT_SLOT_AREA);
    envol_image_mac(header, header->epoch, dek, copy, copy + ENVOL_AT_MAC);
    envol_store32(copy + ENVOL_AT_CRC, image_crc(copy));
    return ENVOL_OK;
}
