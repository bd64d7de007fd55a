/* SPDX-License-Identifier: BSD-2-Clause */
/* What a header says, for people and for anchors. */
#include "base/sized.h"
#include "header/header.h"

#include <string.h>

/* What it shows is part of the ABI, what the header keeps is not. */
static void show_snapshots(const struct envol_header *header, struct envol_header_info *info)
{
    info->snapshots = header->snapshot_count;
    for (uint32_t i = 0; i < header->snapshot_count; i++) {
        const struct envol_snapshot_record *record = &header->snapshots[i];
        struct envol_header_snapshot *shown = &info->snapshot[i];
        memcpy(shown->uuid, record->uuid, ENVOL_UUID_BYTES);
        shown->generation = record->generation;
        shown->pages = record->pages;
        shown->created_at_s = record->created_at_s;
        shown->epoch = record->epoch;
        shown->lowest_epoch = record->lowest_epoch;
    }
}

enum envol_status envol_header_info(const struct envol_header *header,
                                    struct envol_header_info *info)
{
    struct envol_header_info whole;

    if (!ENVOL_FITS(header_info, info))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(info);
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    whole = (struct envol_header_info){
        .verified = header->verified,
        .generation = header->id.generation,
        .suite = header->suite,
        .page_bytes = header->page_bytes,
        .stride_bytes = header->stride_bytes,
        .data_offset = header->data_offset,
        .sparse = (header->incompatible & ENVOL_FEATURE_SPARSE) != 0,
        .epoch = header->epoch,
        .lowest_epoch = header->lowest_epoch,
        .retained_epochs = header->retained_count,
        .slots = header->slot_count,
        .high_water = header->high_water,
        .clean = header->clean,
        .seal_estimate = header->seal_estimate,
        .whole_copies = header->whole_copies,
        .rotation = header->rotation.kind,
        .rotation_from_epoch = header->rotation.from_epoch,
        .rotation_next_page = header->rotation.next_page,
        .rotation_bad_pages = header->rotation.bad_pages,
        .rotation_first_bad = header->rotation.first_bad,
        .atomic_pages = (header->incompatible & ENVOL_FEATURE_ATOMIC_PAGES) != 0,
        .log_seal = header->log_seal.kind,
        .log_lowest_epoch = header->log_seal.lowest_epoch,
        .restoring = header->restore.kind != 0,
        .restore_next_page = header->restore.next_page,
        .catalog_serial = header->catalog.serial,
        .catalog_epoch = header->catalog.epoch,
    };
    memcpy(whole.restore_applying, header->restore.applying, ENVOL_UUID_BYTES);
    memcpy(whole.restore_applied, header->restore.applied, ENVOL_UUID_BYTES);
    memcpy(whole.uuid, header->uuid, ENVOL_UUID_BYTES);
    show_snapshots(header, &whole);
    ENVOL_GIVE(header_info, info, &whole);
    return ENVOL_OK;
}

enum envol_status envol_header_anchor(const struct envol_header *header,
                                      struct envol_anchor *anchor)
{
    struct envol_anchor whole = {0};

    if (!ENVOL_FITS(anchor, anchor))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(anchor);
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    if (!header->verified)
        return ENVOL_E_STATE;
    memcpy(whole.uuid, header->uuid, ENVOL_UUID_BYTES);
    whole.generation = header->id.generation;
    whole.epoch = header->epoch;
    memcpy(whole.mac, header->id.mac, sizeof(whole.mac));
    ENVOL_GIVE(anchor, anchor, &whole);
    return ENVOL_OK;
}
