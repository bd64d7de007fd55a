/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place where keys are derived.  HKDF info, 64 bytes:
 *
 *   OFFSET  SIZE  FIELD
 *        0     8  "ENVOLv1\0"
 *        8     8  purpose
 *       16    16  volume UUID
 *       32    16  object
 *       48     2  suite
 *       50     2  0
 *       52     4  epoch
 *       56     8  aux
 */
#include "page/derive.h"

#include "base/bytes.h"
#include "base/kdf.h"

#include <string.h>

#define INFO_BYTES 64

void envol_derive(const uint8_t dek[ENVOL_DEK_BYTES], const struct envol_derivation *what,
                  uint8_t *key, size_t bytes)
{
    uint8_t info[INFO_BYTES] = {0};

    memcpy(info, "ENVOLv1", 8);
    memcpy(info + 8, what->purpose, 8);
    memcpy(info + 16, what->uuid, ENVOL_UUID_BYTES);
    if (what->object != NULL)
        memcpy(info + 32, what->object, ENVOL_OBJECT_BYTES);
    envol_store16(info + 48, (uint16_t)what->suite);
    envol_store32(info + 52, what->epoch);
    envol_store64(info + 56, what->aux);
    envol_hkdf_expand(dek, ENVOL_DEK_BYTES,
                      &(const struct envol_part){.data = info, .bytes = sizeof(info)}, 1, key,
                      bytes);
}
