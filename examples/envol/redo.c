/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redo records: what `envol import --log` writes to the volume's log, and `envol log replay` reads.
 * Numbers are little-endian (envol(5) shows the same table):
 *
 *   offset  size
 *        0     8  "ENVOLRDO"
 *        8     4  version, 1
 *       12     4  kind: 1 begin, 2 page, 3 end
 *       16     8  begin: LSN of the end whose content the import goes on from; 0: pages are cut
 * away page:  its number end:   length of the content in bytes 24        page: its image,
 * page_bytes; begin, end: nothing
 *
 * They are physical: a page is set to what its record says, whatever it was before, so that a
 * replay may be repeated.
 */
#include "log.h"

#include "common/bytes.h"

#include <string.h>

enum { AT_VERSION = 8, AT_KIND = 12, AT_NUMBER = 16, VERSION = 1 };

static const uint8_t magic[8] = {'E', 'N', 'V', 'O', 'L', 'R', 'D', 'O'};

void redo_encode(uint8_t head[REDO_HEAD_BYTES], enum redo_kind kind, uint64_t number)
{
    memcpy(head, magic, sizeof magic);
    store(head + AT_VERSION, 4, VERSION);
    store(head + AT_KIND, 4, kind);
    store(head + AT_NUMBER, 8, number);
}

bool is_redo(const void *data, size_t bytes)
{
    return bytes >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
}

enum envol_status redo_decode(const struct envol_log_record *record, size_t page_bytes,
                              struct redo *redo)
{
    const uint8_t *data = record->data;
    uint64_t kind;
    size_t bytes;

    *redo = (struct redo){.kind = REDO_NONE};
    if (!is_redo(data, record->bytes))
        return ENVOL_OK;
    if (record->bytes < REDO_HEAD_BYTES)
        return ENVOL_E_FORMAT;
    if (load(data + AT_VERSION, 4) != VERSION)
        return ENVOL_E_VERSION;
    kind = load(data + AT_KIND, 4);
    bytes = REDO_HEAD_BYTES + (kind == REDO_PAGE ? page_bytes : 0);
    if (kind < REDO_BEGIN || kind > REDO_END || record->bytes != bytes)
        return ENVOL_E_FORMAT;
    *redo = (struct redo){(enum redo_kind)kind, load(data + AT_NUMBER, 8), data + REDO_HEAD_BYTES};
    /* Page 0 is never logged: it says how far the log was replayed. */
    return kind == REDO_PAGE && redo->number < CONTENT_FIRST_PAGE ? ENVOL_E_FORMAT : ENVOL_OK;
}
