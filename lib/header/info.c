/* SPDX-License-Identifier: BSD-2-Clause */
/* What a header says, for people and for anchors. */
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
    if (info == NULL || info->struct_size < sizeof(*info))
        return ENVOL_E_ARGUMENT;
    if (header == NULL) {
        *info = (struct envol_header_info){.struct_size = info->struct_size};
        return ENVOL_E_ARGUMENT;
    }
    *info = (struct envol_header_info){
        .struct_size = info->struct_size,
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
    memcpy(info->restore_applying, header->restore.applying, ENVOL_UUID_BYTES);
    memcpy(info->restore_applied, header->restore.applied, ENVOL_UUID_BYTES);
    memcpy(info->uuid, header->uuid, ENVOL_UUID_BYTES);
    show_snapshots(header, info);
    return ENVOL_OK;
}

enum envol_status envol_header_anchor(const struct envol_header *header,
                                      struct envol_anchor *anchor)
{
    if (anchor == NULL || anchor->struct_size < sizeof(*anchor))
        return ENVOL_E_ARGUMENT;
    *anchor = (struct envol_anchor){.struct_size = anchor->struct_size};
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    if (!header->verified)
        return ENVOL_E_STATE;
    memcpy(anchor->uuid, header->uuid, ENVOL_UUID_BYTES);
    anchor->generation = header->id.generation;
    anchor->epoch = header->epoch;
    memcpy(anchor->mac, header->id.mac, sizeof(anchor->mac));
    return ENVOL_OK;
}
