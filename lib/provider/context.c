/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The canonical encoding of an encryption context.  Strings carry their lengths, and keys are in
 * order and unique, so that no two contexts have the same encoding.
 */
#include <envol/provider.h>

#include "base/bytes.h"
#include <stdbool.h>
#include <string.h>

enum { LENGTH_BYTES = 4 };

static bool is_canonical(const struct envol_context_pair *pairs, size_t count)
{
    if (pairs == NULL && count > 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].key == NULL || pairs[i].value == NULL || pairs[i].key[0] == '\0')
            return false;
        if (i > 0 && strcmp(pairs[i - 1].key, pairs[i].key) >= 0)
            return false;
    }
    return true;
}

/*
 * Adds a string behind the first `used` bytes; goes on counting where there is no room, and to
 * SIZE_MAX where no encoding exists.
 */
static bool add(const char *text, uint8_t *out, size_t capacity, size_t *used)
{
    size_t length = strlen(text);
    size_t at = *used;

    if (length > UINT32_MAX || length > SIZE_MAX - LENGTH_BYTES - at) {
        *used = SIZE_MAX;
        return false;
    }
    *used = at + LENGTH_BYTES + length;
    if (*used > capacity)
        return true;
    envol_store32(out + at, (uint32_t)length);
    memcpy(out + at + LENGTH_BYTES, text, length);
    return true;
}

static enum envol_status encode(const struct envol_context_pair *pairs, size_t count, uint8_t *out,
                                size_t capacity, size_t *used)
{
    for (size_t i = 0; i < count; i++) {
        if (!add(pairs[i].key, out, capacity, used) || !add(pairs[i].value, out, capacity, used))
            return ENVOL_E_RANGE;
    }
    return *used <= capacity ? ENVOL_OK : ENVOL_E_RANGE;
}

enum envol_status envol_context_encode(const struct envol_context_pair *pairs, size_t count,
                                       void *out, size_t capacity, size_t *bytes)
{
    enum envol_status status = ENVOL_E_ARGUMENT;

    if (bytes != NULL)
        *bytes = 0;
    if (out == NULL && capacity > 0)
        return ENVOL_E_ARGUMENT;
    if (bytes != NULL && is_canonical(pairs, count))
        status = encode(pairs, count, out, capacity, bytes);
    if (status != ENVOL_OK && capacity > 0)
        memset(out, 0, capacity);
    return status;
}
