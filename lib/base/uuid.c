/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UUIDs name volumes, key files and backups: random, as a time or a host would tell on the owner.
 */
#include "base/uuid.h"

#include "base/random.h"

enum envol_status envol_uuid_make(uint8_t uuid[ENVOL_UUID_BYTES])
{
    enum envol_status status = envol_random(uuid, ENVOL_UUID_BYTES);

    if (status != ENVOL_OK)
        return status;
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* version, RFC 9562, 4.2 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80); /* variant, RFC 9562, 4.1 */
    return ENVOL_OK;
}

void envol_uuid_text(const uint8_t uuid[ENVOL_UUID_BYTES], char text[ENVOL_UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < ENVOL_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *text++ = '-';
        *text++ = digits[uuid[i] >> 4];
        *text++ = digits[uuid[i] & 15];
    }
    *text = '\0';
}
