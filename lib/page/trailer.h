/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trailer of a GCM record or blob, and the associated data that binds it to its place.
 *
 *   OFFSET  SIZE  TRAILER                    OFFSET  SIZE  ASSOCIATED DATA OF A PAGE
 *        0     4  epoch                           0     8  "ENVOLPG1"
 *        4     1  format = 1                      8    16  volume UUID
 *        5     1  type                           24    16  object
 *        6     2  flags = 0                      40     8  page number
 *        8    24  nonce                          48     4  epoch
 *       32    16  tag                            52     2  suite
 *                                                54     1  format
 *                                                55     1  type
 *                                                56     4  page_bytes
 *                                                60     2  flags
 *                                                62     2  0
 *
 * Associated data of a blob: "ENVOLBL1", UUID, object, epoch (at 40), suite (44), format (46), type
 * (47), length of the plaintext u64 (48), length of the caller's aad u64 (56), and that aad.
 */
#ifndef ENVOL_PAGE_TRAILER_H
#define ENVOL_PAGE_TRAILER_H

#include "page/keyring.h"

#define ENVOL_TRAILER_FORMAT 1u
#define ENVOL_TRAILER_NONCE  8u
#define ENVOL_TRAILER_TAG    32u
#define ENVOL_AAD_BYTES      64u

enum envol_record_type { ENVOL_RECORD_PAGE = 0, ENVOL_RECORD_HOLE = 1, ENVOL_RECORD_BLOB = 2 };

struct envol_trailer {
    uint32_t epoch;
    enum envol_record_type type;
};

/* Writes all but nonce and tag. */
void envol_trailer_encode(const struct envol_trailer *trailer, uint8_t bytes[ENVOL_TRAILER_BYTES]);
/* False for an unknown format, type or flag, and for epoch 0. */
bool envol_trailer_decode(const uint8_t bytes[ENVOL_TRAILER_BYTES], struct envol_trailer *trailer);

void envol_page_aad(const struct envol_object *object, uint64_t page_no,
                    const struct envol_trailer *trailer, uint8_t aad[ENVOL_AAD_BYTES]);
void envol_blob_aad(const struct envol_object *object, uint64_t plain_bytes, uint64_t aad_bytes,
                    const struct envol_trailer *trailer, uint8_t aad[ENVOL_AAD_BYTES]);

#endif
