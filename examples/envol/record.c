/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Import records: how `envol import` lays bytes of any number out in the pages of a volume.
 *
 * Page 0 holds the record, pages 1 to ceil(length / page_bytes) the content, the last of them
 * filled up with zeros.  Pages behind them are nobody's and not looked at.  Numbers are
 * little-endian (envol(5) shows the same table):
 *
 *   offset  size
 *        0     8  "ENVOLIMP"
 *        8     4  layout version: 2 if the import is of a log, else 1
 *       12     4  state: 1 begun, 2 whole
 *       16     8  length of the content in bytes; 0 while the state is 1
 *       24    16  id of the log (2), zeros (1)
 *       40     8  LSN: changes of its records up to this one are in the pages (2), zeros (1)
 *       48     8  state 2: LSN of the record that ended this import, at most the one above;
 *                 state 1: LSN up to which a replay may have come; 0: none began (2), zeros (1)
 *       56     4  zeros
 *       60     4  CRC-32C of bytes 0 to 59
 *       64        zeros to the end of the page
 *
 * Order without a log (with one: import_log.c): the volume is cut to no pages, the record is
 * written with state 1, then the content; that is synced; only then the record is written again,
 * with state 2, and synced.  So whatever stops an import, no record says whole before its content
 * is on stable storage.  The record is not in the last page, where content that was cut short could
 * pass for one.
 *
 * Under aes-256-gcm the pages are authentic.  Under aes-256-xts the CRC tells an accident from a
 * record; against tampering there is nothing (envol(7)).
 */
#include "command.h"
#include "common/bytes.h"

#include <stdlib.h>
#include <string.h>

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_STATE = 12,
    AT_LENGTH = 16,
    AT_LOG_ID = 24,
    AT_LSN = 40,
    AT_MARK = 48,
    AT_ZERO = 56,
    AT_CRC = 60,
    RECORD_BYTES = 64,
    LAYOUT_VERSION = 1,
    LAYOUT_VERSION_LOGGED = 2,
    STATE_BEGUN = 1,
    STATE_WHOLE = 2
};

static const uint8_t magic[8] = {'E', 'N', 'V', 'O', 'L', 'I', 'M', 'P'};

/* CRC-32C (RFC 3720, 12.1), bit by bit: 60 bytes at a time are all it is for. */
static uint32_t crc32c(const uint8_t *at, size_t bytes)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static bool is_zero(const uint8_t *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != 0)
            return false;
    }
    return true;
}

static bool is_sound_position(const uint8_t *page)
{
    uint64_t lsn = load(page + AT_LSN, 8), mark = load(page + AT_MARK, 8);

    if (load(page + AT_VERSION, 4) == LAYOUT_VERSION)
        return is_zero(page + AT_LOG_ID, AT_ZERO - AT_LOG_ID);
    if (load(page + AT_STATE, 4) == STATE_WHOLE)
        return mark > 0 && mark <= lsn;
    return mark == 0 || mark > lsn;
}

static bool is_sound(const uint8_t *page, size_t page_bytes)
{
    uint64_t state = load(page + AT_STATE, 4);
    bool is_state = state == STATE_WHOLE || (state == STATE_BEGUN && is_zero(page + AT_LENGTH, 8));

    return is_state && is_sound_position(page) && is_zero(page + AT_ZERO, AT_CRC - AT_ZERO) &&
           is_zero(page + RECORD_BYTES, page_bytes - RECORD_BYTES) &&
           load(page + AT_CRC, 4) == crc32c(page, AT_CRC);
}

static enum envol_status decode(const uint8_t *page, size_t page_bytes,
                                struct import_record *record)
{
    uint64_t version = load(page + AT_VERSION, 4);

    record->content = CONTENT_FOREIGN;
    if (memcmp(page + AT_MAGIC, magic, sizeof magic) != 0)
        return ENVOL_OK;
    if (version != LAYOUT_VERSION && version != LAYOUT_VERSION_LOGGED)
        return ENVOL_E_VERSION;
    if (!is_sound(page, page_bytes))
        return ENVOL_E_CORRUPT;
    record->content = load(page + AT_STATE, 4) == STATE_WHOLE ? CONTENT_WHOLE : CONTENT_PARTIAL;
    record->bytes = load(page + AT_LENGTH, 8);
    record->is_logged = version == LAYOUT_VERSION_LOGGED;
    memcpy(record->log_id, page + AT_LOG_ID, sizeof record->log_id);
    record->lsn = load(page + AT_LSN, 8);
    record->mark = load(page + AT_MARK, 8);
    return ENVOL_OK;
}

/* Whether there is a page 0 is for the read to say: after a crash a reader finds more pages than
 * the header tells of. */
enum envol_status record_read(struct session *session, struct import_record *record)
{
    size_t page_bytes = session->geometry.page_bytes;
    uint8_t *page = malloc(page_bytes);
    enum envol_status status;

    *record = (struct import_record){.content = CONTENT_NONE};
    if (page == NULL)
        return ENVOL_E_NO_MEMORY;
    status = envol_page_read(session->volume, 0, page);
    if (status == ENVOL_OK)
        status = decode(page, page_bytes, record);
    else if (status == ENVOL_E_RANGE)
        status = ENVOL_OK;
    else if (status == ENVOL_E_UNWRITTEN) {
        record->content = CONTENT_FOREIGN;
        status = ENVOL_OK;
    }
    free(page);
    return status;
}

enum envol_status record_write(struct session *session, const struct import_record *record)
{
    bool is_whole = record->content == CONTENT_WHOLE;
    uint8_t *page = calloc(1, session->geometry.page_bytes);
    enum envol_status status;

    if (page == NULL)
        return ENVOL_E_NO_MEMORY;
    memcpy(page + AT_MAGIC, magic, sizeof magic);
    store(page + AT_VERSION, 4, record->is_logged ? LAYOUT_VERSION_LOGGED : LAYOUT_VERSION);
    store(page + AT_STATE, 4, is_whole ? STATE_WHOLE : STATE_BEGUN);
    store(page + AT_LENGTH, 8, is_whole ? record->bytes : 0);
    if (record->is_logged) {
        memcpy(page + AT_LOG_ID, record->log_id, sizeof record->log_id);
        store(page + AT_LSN, 8, record->lsn);
        store(page + AT_MARK, 8, record->mark);
    }
    store(page + AT_CRC, 4, crc32c(page, AT_CRC));
    status = envol_page_write(session->volume, 0, page);
    free(page);
    return status;
}

uint64_t content_pages(const struct session *session, uint64_t bytes)
{
    uint64_t page_bytes = session->geometry.page_bytes;

    return bytes / page_bytes + (bytes % page_bytes != 0);
}
