/* SPDX-License-Identifier: BSD-2-Clause */
/* Trailers and associated data: numbers to bytes and back. */
#include "page/trailer.h"

#include "base/bytes.h"

#include <string.h>

void envol_trailer_encode(const struct envol_trailer *trailer, uint8_t bytes[ENVOL_TRAILER_BYTES])
{
    envol_store32(bytes, trailer->epoch);
    bytes[4] = ENVOL_TRAILER_FORMAT;
    bytes[5] = (uint8_t)trailer->type;
    envol_store16(bytes + 6, 0);
}

bool envol_trailer_decode(const uint8_t bytes[ENVOL_TRAILER_BYTES], struct envol_trailer *trailer)
{
    trailer->epoch = envol_load32(bytes);
    trailer->type = (enum envol_record_type)bytes[5];
    return trailer->epoch != 0 && bytes[4] == ENVOL_TRAILER_FORMAT &&
           bytes[5] <= ENVOL_RECORD_BLOB && envol_load16(bytes + 6) == 0;
}

enum envol_status envol_trailer_epoch(const void *trailer, uint32_t *epoch)
{
    struct envol_trailer decoded;

    if (epoch == NULL)
        return ENVOL_E_ARGUMENT;
    *epoch = 0;
    if (trailer == NULL)
        return ENVOL_E_ARGUMENT;
    if (!envol_trailer_decode(trailer, &decoded))
        return ENVOL_E_CORRUPT;
    *epoch = decoded.epoch;
    return ENVOL_OK;
}

void envol_page_aad(const struct envol_object *object, uint64_t page_no,
                    const struct envol_trailer *trailer, uint8_t aad[ENVOL_AAD_BYTES])
{
    const struct envol_keyring *keyring = object->keyring;

    memcpy(aad, "ENVOLPG1", 8);
    memcpy(aad + 8, keyring->uuid, ENVOL_UUID_BYTES);
    memcpy(aad + 24, object->id, ENVOL_OBJECT_BYTES);
    envol_store64(aad + 40, page_no);
    envol_store32(aad + 48, trailer->epoch);
    envol_store16(aad + 52, (uint16_t)keyring->suite);
    aad[54] = ENVOL_TRAILER_FORMAT;
    aad[55] = (uint8_t)trailer->type;
    envol_store32(aad + 56, keyring->page_bytes);
    envol_store32(aad + 60, 0);
}

void envol_blob_aad(const struct envol_object *object, uint64_t plain_bytes, uint64_t aad_bytes,
                    const struct envol_trailer *trailer, uint8_t aad[ENVOL_AAD_BYTES])
{
    const struct envol_keyring *keyring = object->keyring;

    memcpy(aad, "ENVOLBL1", 8);
    memcpy(aad + 8, keyring->uuid, ENVOL_UUID_BYTES);
    memcpy(aad + 24, object->id, ENVOL_OBJECT_BYTES);
    envol_store32(aad + 40, trailer->epoch);
    envol_store16(aad + 44, (uint16_t)keyring->suite);
    aad[46] = ENVOL_TRAILER_FORMAT;
    aad[47] = (uint8_t)trailer->type;
    envol_store64(aad + 48, plain_bytes);
    envol_store64(aad + 56, aad_bytes);
}
