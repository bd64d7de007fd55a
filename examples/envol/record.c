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
 *        8     4  layout version, 1
 *       12     4  state: 1 begun, 2 whole
 *       16     8  length of the content in bytes; 0 while the state is 1
 *       24    36  zeros
 *       60     4  CRC-32C of bytes 0 to 59
 *       64        zeros to the end of the page
 *
 * Order: the volume is cut to no pages, the record is written with state 1, then the content; that
 * is synced; only then the record is written again, with state 2, and synced.  So whatever stops an
 * import, no record says whole before its content is on stable storage.  The record is not in the
 * last page, where content that was cut short could pass for one.
 *
 * Under aes-256-gcm the pages are authentic.  Under aes-256-xts the CRC tells an accident from a
 * record; against tampering there is nothing (envol(7)).
 */
#include "command.h"

#include <stdlib.h>
#include <string.h>

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_STATE = 12,
    AT_LENGTH = 16,
    AT_ZERO = 24,
    AT_CRC = 60,
    RECORD_BYTES = 64,
    LAYOUT_VERSION = 1,
    STATE_BEGUN = 1,
    STATE_WHOLE = 2
};

static const uint8_t magic[8] = {'E', 'N', 'V', 'O', 'L', 'I', 'M', 'P'};

static void store_le(uint8_t *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load_le(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = bytes; i > 0; i--)
        value = value << 8 | at[i - 1];
    return value;
}

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

static bool is_sound(const uint8_t *page, size_t page_bytes)
{
    uint64_t state = load_le(page + AT_STATE, 4);
    bool is_state = state == STATE_WHOLE || (state == STATE_BEGUN && is_zero(page + AT_LENGTH, 8));

    return is_state && is_zero(page + AT_ZERO, AT_CRC - AT_ZERO) &&
           is_zero(page + RECORD_BYTES, page_bytes - RECORD_BYTES) &&
           load_le(page + AT_CRC, 4) == crc32c(page, AT_CRC);
}

static enum envol_status decode(const uint8_t *page, size_t page_bytes, enum content *content,
                                uint64_t *bytes)
{
    *content = CONTENT_FOREIGN;
    if (memcmp(page + AT_MAGIC, magic, sizeof magic) != 0)
        return ENVOL_OK;
    if (load_le(page + AT_VERSION, 4) != LAYOUT_VERSION)
        return ENVOL_E_VERSION;
    if (!is_sound(page, page_bytes))
        return ENVOL_E_CORRUPT;
    *content = load_le(page + AT_STATE, 4) == STATE_WHOLE ? CONTENT_WHOLE : CONTENT_PARTIAL;
    *bytes = load_le(page + AT_LENGTH, 8);
    return ENVOL_OK;
}

/* Whether there is a page 0 is for the read to say: after a crash a reader finds more pages than
 * the header tells of. */
enum envol_status record_read(struct session *session, enum content *content, uint64_t *bytes)
{
    size_t page_bytes = session->geometry.page_bytes;
    uint8_t *page = malloc(page_bytes);
    enum envol_status status;

    *content = CONTENT_NONE;
    *bytes = 0;
    if (page == NULL)
        return ENVOL_E_NO_MEMORY;
    status = envol_page_read(session->volume, 0, page);
    if (status == ENVOL_OK)
        status = decode(page, page_bytes, content, bytes);
    else if (status == ENVOL_E_RANGE)
        status = ENVOL_OK;
    else if (status == ENVOL_E_UNWRITTEN) {
        *content = CONTENT_FOREIGN;
        status = ENVOL_OK;
    }
    free(page);
    return status;
}

enum envol_status record_write(struct session *session, enum content content, uint64_t bytes)
{
    uint8_t *page = calloc(1, session->geometry.page_bytes);
    enum envol_status status;

    if (page == NULL)
        return ENVOL_E_NO_MEMORY;
    memcpy(page + AT_MAGIC, magic, sizeof magic);
    store_le(page + AT_VERSION, 4, LAYOUT_VERSION);
    store_le(page + AT_STATE, 4, content == CONTENT_WHOLE ? STATE_WHOLE : STATE_BEGUN);
    store_le(page + AT_LENGTH, 8, content == CONTENT_WHOLE ? bytes : 0);
    store_le(page + AT_CRC, 4, crc32c(page, AT_CRC));
    status = envol_page_write(session->volume, 0, page);
    free(page);
    return status;
}

uint64_t content_pages(const struct session *session, uint64_t bytes)
{
    uint64_t page_bytes = session->geometry.page_bytes;

    return bytes / page_bytes + (bytes % page_bytes != 0);
}
