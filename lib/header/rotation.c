/* SPDX-License-Identifier: BSD-2-Clause */
/* The rotation record: what each kind of it says, and what must be zero. */
#include "base/memory.h"
#include "header/header.h"

#include <string.h>

static bool is_retained(const struct envol_header *header, uint32_t epoch)
{
    for (uint32_t i = 0; i < header->retained_count; i++)
        if (header->retained[i].epoch == epoch)
            return true;
    return false;
}

/* Pages that a header of this geometry may name: their offsets stay below 2^63. */
static uint64_t pages_max(const struct envol_header *header)
{
    return ((UINT64_C(1) << 63) - 1 - header->data_offset) / header->stride_bytes;
}

static bool sweep_is_sound(const struct envol_rotation_record *record)
{
    return record->hot_first == 0 && record->hot_count == 0 && record->pages == 0 &&
           record->journal_page == 0 &&
           envol_is_zero(record->commitment, sizeof(record->commitment));
}

/* The hot range, if there is one, begins where the sweep stands, and the journal behind the end. */
static bool pages_are_sound(const struct envol_header *header,
                            const struct envol_rotation_record *record)
{
    if (header->suite != ENVOL_SUITE_AES_256_XTS || record->pages > pages_max(header) ||
        record->journal_page > pages_max(header) || record->journal_page < record->pages ||
        record->next_page > record->pages)
        return false;
    if (record->hot_count == 0)
        return record->hot_first == 0 &&
               envol_is_zero(record->commitment, sizeof(record->commitment));
    return record->hot_first == record->next_page &&
           record->hot_count <= record->pages - record->hot_first;
}

enum envol_status envol_rotation_check(const struct envol_header *header,
                                       const struct envol_rotation_record *record)
{
    static const struct envol_rotation_record none;
    bool sound;

    if (record->kind == 0)
        return memcmp(record, &none, sizeof(none)) == 0 ? ENVOL_OK : ENVOL_E_CORRUPT;
    if (record->kind == ENVOL_ROTATION_SWEEP)
        sound = sweep_is_sound(record);
    else if (record->kind == ENVOL_ROTATION_PAGES)
        sound = pages_are_sound(header, record);
    else
        return ENVOL_E_VERSION;
    if (!sound || !is_retained(header, record->from_epoch) ||
        (record->bad_pages == 0 && record->first_bad != 0))
        return ENVOL_E_CORRUPT;
    return ENVOL_OK;
}
