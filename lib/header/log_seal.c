/* SPDX-License-Identifier: BSD-2-Clause */
/* The log seal: what a header says of the volume's transaction log, and which DEKs that needs. */
#include "base/bytes.h"
#include "base/memory.h"
#include "base/sized.h"
#include "header/header.h"

#include <string.h>

/* As it stands: what it means is looked at behind the MAC. */
void envol_log_seal_decode(const uint8_t *record, struct envol_log_seal *seal)
{
    seal->struct_size = sizeof(*seal);
    seal->kind = envol_load32(record + ENVOL_LOG_SEAL_AT_KIND);
    seal->lowest_epoch = envol_load32(record + ENVOL_LOG_SEAL_AT_LOWEST_EPOCH);
    memcpy(seal->log_id, record + ENVOL_LOG_SEAL_AT_ID, sizeof(seal->log_id));
    seal->oldest_segment = envol_load64(record + ENVOL_LOG_SEAL_AT_OLDEST);
    seal->newest_segment = envol_load64(record + ENVOL_LOG_SEAL_AT_NEWEST);
    seal->last_run = envol_load64(record + ENVOL_LOG_SEAL_AT_RUN);
    seal->next_lsn = envol_load64(record + ENVOL_LOG_SEAL_AT_NEXT_LSN);
    seal->end_offset = envol_load64(record + ENVOL_LOG_SEAL_AT_END);
    seal->last_run_records = envol_load32(record + ENVOL_LOG_SEAL_AT_RECORDS);
    memcpy(seal->last_tag, record + ENVOL_LOG_SEAL_AT_TAG, sizeof(seal->last_tag));
    seal->first_lsn = envol_load64(record + ENVOL_LOG_SEAL_AT_FIRST_LSN);
}

void envol_log_seal_encode(const struct envol_log_seal *seal, uint8_t *record)
{
    memset(record, 0, ENVOL_LOG_SEAL_BYTES);
    envol_store32(record + ENVOL_LOG_SEAL_AT_KIND, seal->kind);
    envol_store32(record + ENVOL_LOG_SEAL_AT_LOWEST_EPOCH, seal->lowest_epoch);
    memcpy(record + ENVOL_LOG_SEAL_AT_ID, seal->log_id, sizeof(seal->log_id));
    envol_store64(record + ENVOL_LOG_SEAL_AT_OLDEST, seal->oldest_segment);
    envol_store64(record + ENVOL_LOG_SEAL_AT_NEWEST, seal->newest_segment);
    envol_store64(record + ENVOL_LOG_SEAL_AT_RUN, seal->last_run);
    envol_store64(record + ENVOL_LOG_SEAL_AT_NEXT_LSN, seal->next_lsn);
    envol_store64(record + ENVOL_LOG_SEAL_AT_END, seal->end_offset);
    envol_store32(record + ENVOL_LOG_SEAL_AT_RECORDS, seal->last_run_records);
    memcpy(record + ENVOL_LOG_SEAL_AT_TAG, seal->last_tag, sizeof(seal->last_tag));
    envol_store64(record + ENVOL_LOG_SEAL_AT_FIRST_LSN, seal->first_lsn);
}

/* The end of a log that is open is where its files end, no sooner than in its last run. */
static bool is_open_record(const uint8_t *record)
{
    return envol_is_zero(record + ENVOL_LOG_SEAL_AT_NEXT_LSN,
                         ENVOL_LOG_SEAL_AT_FIRST_LSN - ENVOL_LOG_SEAL_AT_NEXT_LSN);
}

static bool end_is_sound(const struct envol_log_seal *seal)
{
    return seal->last_run != 0 && seal->next_lsn != 0 && seal->first_lsn <= seal->next_lsn &&
           seal->end_offset % 16 == 0 && seal->end_offset != 0 &&
           seal->end_offset < UINT64_C(1) << 63;
}

static bool is_live(const struct envol_header *header, uint32_t epoch)
{
    for (uint32_t i = 0; i < header->retained_count; i++)
        if (header->retained[i].epoch == epoch)
            return true;
    return header->epoch == epoch;
}

enum envol_status envol_log_seal_check(const struct envol_header *header,
                                       const struct envol_log_seal *seal)
{
    uint8_t record[ENVOL_LOG_SEAL_BYTES];

    envol_log_seal_encode(seal, record);
    if (seal->kind == ENVOL_LOG_SEAL_NONE)
        return envol_is_zero(record, sizeof(record)) ? ENVOL_OK : ENVOL_E_CORRUPT;
    if (seal->kind != ENVOL_LOG_SEAL_OPEN && seal->kind != ENVOL_LOG_SEAL_SEALED)
        return ENVOL_E_VERSION;
    if (!is_live(header, seal->lowest_epoch) || seal->oldest_segment == 0 ||
        seal->newest_segment < seal->oldest_segment)
        return ENVOL_E_CORRUPT;
    if (seal->kind == ENVOL_LOG_SEAL_OPEN ? !is_open_record(record) : !end_is_sound(seal))
        return ENVOL_E_CORRUPT;
    return ENVOL_OK;
}

bool envol_log_seal_needs(const struct envol_header *header, uint32_t epoch)
{
    return header->log_seal.kind != ENVOL_LOG_SEAL_NONE && epoch >= header->log_seal.lowest_epoch;
}

enum envol_status envol_header_set_log_seal(struct envol_header *header,
                                            const struct envol_log_seal *seal)
{
    struct envol_log_seal copy;

    if (header == NULL || seal == NULL || !ENVOL_TAKE(log_seal, seal, &copy))
        return ENVOL_E_ARGUMENT;
    if (copy.kind != ENVOL_LOG_SEAL_NONE && !is_live(header, copy.lowest_epoch))
        return ENVOL_E_RANGE;
    if (envol_log_seal_check(header, &copy) != ENVOL_OK)
        return ENVOL_E_ARGUMENT;
    header->log_seal = copy;
    return ENVOL_OK;
}

enum envol_status envol_header_log_seal(const struct envol_header *header,
                                        struct envol_log_seal *seal)
{
    if (!ENVOL_FITS(log_seal, seal))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(seal);
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    ENVOL_GIVE(log_seal, seal, &header->log_seal);
    return ENVOL_OK;
}
