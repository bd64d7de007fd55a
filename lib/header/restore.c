/* SPDX-License-Identifier: BSD-2-Clause */
/* The restore record: while it says that a restore is unfinished, the volume's pages are no volume.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "header/header.h"

#include <string.h>

void envol_restore_decode(const uint8_t *record, struct envol_restore_record *restore)
{
    restore->kind = envol_load32(record + ENVOL_RESTORE_AT_KIND);
    memcpy(restore->applying, record + ENVOL_RESTORE_AT_APPLYING, sizeof(restore->applying));
    memcpy(restore->applied, record + ENVOL_RESTORE_AT_APPLIED, sizeof(restore->applied));
    restore->next_page = envol_load64(record + ENVOL_RESTORE_AT_NEXT);
}

void envol_restore_encode(const struct envol_restore_record *restore, uint8_t *record)
{
    memset(record, 0, ENVOL_RESTORE_BYTES);
    envol_store32(record + ENVOL_RESTORE_AT_KIND, restore->kind);
    memcpy(record + ENVOL_RESTORE_AT_APPLYING, restore->applying, sizeof(restore->applying));
    memcpy(record + ENVOL_RESTORE_AT_APPLIED, restore->applied, sizeof(restore->applied));
    envol_store64(record + ENVOL_RESTORE_AT_NEXT, restore->next_page);
}

enum envol_status envol_restore_check(const struct envol_header *header)
{
    const uint8_t *record = header->image + ENVOL_AT_RESTORE;

    if ((header->incompatible & ENVOL_FEATURE_RESTORING) == 0)
        return envol_is_zero(record, ENVOL_RESTORE_BYTES) ? ENVOL_OK : ENVOL_E_CORRUPT;
    if (header->restore.kind != ENVOL_RESTORE_UNFINISHED)
        return header->restore.kind == 0 ? ENVOL_E_CORRUPT : ENVOL_E_VERSION;
    if (!envol_is_zero(record + ENVOL_RESTORE_AT_SPARE_32, 4) ||
        !envol_is_zero(record + ENVOL_RESTORE_AT_SPARE,
                       ENVOL_RESTORE_BYTES - ENVOL_RESTORE_AT_SPARE))
        return ENVOL_E_CORRUPT;
    return header->for_restore ? ENVOL_OK : ENVOL_E_STATE;
}

void envol_header_set_restore(struct envol_header *header,
                              const struct envol_restore_record *record)
{
    header->restore = *record;
    header->incompatible &= ~ENVOL_FEATURE_RESTORING;
    if (record->kind != 0)
        header->incompatible |= ENVOL_FEATURE_RESTORING;
}
