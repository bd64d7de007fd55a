/* SPDX-License-Identifier: BSD-2-Clause */
/* The catalog record: which file has the backups that the volume knows of, and under which DEK. */
#include "base/bytes.h"
#include "base/memory.h"
#include "header/header.h"

#include <string.h>

/* As it stands: what it means is looked at behind the MAC. */
void envol_catalog_record_decode(const uint8_t *record, struct envol_catalog_record *catalog)
{
    catalog->serial = envol_load64(record);
    catalog->entries = envol_load64(record + ENVOL_CATALOG_AT_ENTRIES);
    catalog->epoch = envol_load32(record + ENVOL_CATALOG_AT_EPOCH);
}

static bool has_unknown_features(const struct envol_header *header)
{
    return header->compatible != 0 ||
           (header->read_only_compatible & ~ENVOL_FEATURES_READ_ONLY_COMPATIBLE) != 0;
}

/* record is as it was read: without the bit, what a feature to come has there is kept. */
void envol_catalog_record_encode(const struct envol_header *header, uint8_t *record)
{
    bool is_marked = (header->read_only_compatible & ENVOL_FEATURE_CATALOG) != 0;

    if (!is_marked && has_unknown_features(header))
        return;
    memset(record, 0, ENVOL_CATALOG_BYTES);
    envol_store64(record, header->catalog.serial);
    envol_store64(record + ENVOL_CATALOG_AT_ENTRIES, header->catalog.entries);
    envol_store32(record + ENVOL_CATALOG_AT_EPOCH, header->catalog.epoch);
}

/* The DEK that its entries are under is there. */
static bool epoch_is_kept(const struct envol_header *header, uint32_t epoch)
{
    for (uint32_t i = 0; i < header->retained_count; i++)
        if (header->retained[i].epoch == epoch)
            return true;
    return header->epoch == epoch;
}

enum envol_status envol_catalog_record_check(const struct envol_header *header)
{
    const struct envol_catalog_record *catalog = &header->catalog;
    const uint8_t *record = header->image + ENVOL_AT_CATALOG;

    if ((header->read_only_compatible & ENVOL_FEATURE_CATALOG) == 0)
        return has_unknown_features(header) || envol_is_zero(record, ENVOL_CATALOG_BYTES)
                   ? ENVOL_OK
                   : ENVOL_E_CORRUPT;
    if (catalog->serial == 0 || catalog->entries == 0 || !epoch_is_kept(header, catalog->epoch) ||
        !envol_is_zero(record + ENVOL_CATALOG_AT_SPARE,
                       ENVOL_CATALOG_BYTES - ENVOL_CATALOG_AT_SPARE))
        return ENVOL_E_CORRUPT;
    return ENVOL_OK;
}

void envol_header_set_catalog(struct envol_header *header,
                              const struct envol_catalog_record *record)
{
    header->catalog = *record;
    header->read_only_compatible &= ~ENVOL_FEATURE_CATALOG;
    if (record->serial != 0)
        header->read_only_compatible |= ENVOL_FEATURE_CATALOG;
}

bool envol_catalog_needs(const struct envol_header *header, uint32_t epoch)
{
    return header->catalog.serial != 0 && header->catalog.epoch == epoch;
}
