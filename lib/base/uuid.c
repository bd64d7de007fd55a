/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UUIDs name volumes, key files and backups: random, as a time or a host would tell on the owner.
 */
#include "base/uuid.h"

#include "base/random.h"

#include <stdbool.h>
#include <string.h>

enum envol_status envol_uuid_make(uint8_t uuid[ENVOL_UUID_BYTES])
{
    enum envol_status status = envol_random(uuid, ENVOL_UUID_BYTES);

    if (status != ENVOL_OK)
        return status;
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* version, RFC 9562, 4.2 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80); /* variant, RFC 9562, 4.1 */
    return ENVOL_OK;
}

/* Whether a dash is before that byte's digits. */
static bool follows_dash(size_t at)
{
    return at == 4 || at == 6 || at == 8 || at == 10;
}

const char *envol_uuid_format(const uint8_t uuid[ENVOL_UUID_BYTES],
                              char text[ENVOL_UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *to = text;

    for (size_t i = 0; i < ENVOL_UUID_BYTES; i++) {
        if (follows_dash(i))
            *to++ = '-';
        *to++ = digits[uuid[i] >> 4];
        *to++ = digits[uuid[i] & 15];
    }
    *to = '\0';
    return text;
}

/* By hand, as isxdigit goes by the locale.  -1: no digit. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse(const char *text, uint8_t *uuid)
{
    for (size_t i = 0; i < ENVOL_UUID_BYTES; i++) {
        int high, low;
        if (follows_dash(i) && *text++ != '-')
            return false;
        high = digit(*text);
        low = high < 0 ? -1 : digit(text[1]); /* text may end in between */
        if (low < 0)
            return false;
        uuid[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return *text == '\0';
}

enum envol_status envol_uuid_parse(const char *text, uint8_t uuid[ENVOL_UUID_BYTES])
{
    if (text != NULL && uuid != NULL && parse(text, uuid))
        return ENVOL_OK;
    if (uuid != NULL)
        memset(uuid, 0, ENVOL_UUID_BYTES);
    return ENVOL_E_ARGUMENT;
}
