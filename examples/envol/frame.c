/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames: records of a log in a pipe, for programs.  A frame is 16 bytes and the record's data;
 * numbers are little-endian (envol(1) shows the same table):
 *
 *   offset  size
 *        0     8  LSN; to append: 0 for the next number
 *        8     4  n, bytes of data
 *       12     4  flags: 2 last of a batch; others are 0
 *       16     n  data
 */
#include "log.h"

#include "common/bytes.h"

void frame_encode(uint8_t head[FRAME_HEAD_BYTES], const struct envol_log_record *record)
{
    store(head, 8, record->lsn);
    store(head + 8, 4, record->bytes);
    store(head + 12, 4, record->flags & ENVOL_LOG_LAST);
}

bool frame_decode(const uint8_t *bytes, struct envol_log_record *record)
{
    *record = (struct envol_log_record){
        .lsn = load(bytes, 8),
        .bytes = (size_t)load(bytes + 8, 4),
        .flags = (uint32_t)load(bytes + 12, 4),
        .data = bytes + FRAME_HEAD_BYTES,
    };
    return record->bytes <= ENVOL_LOG_DATA_MAX && (record->flags & ~ENVOL_LOG_LAST) == 0;
}
