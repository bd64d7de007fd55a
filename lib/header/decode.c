/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a header: magic, CRC, newest copy, bounds.  Nothing here is authenticated yet. */
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"

#include <string.h>

void envol_header_free(struct envol_header *header)
{
    if (header == NULL)
        return;
    for (uint32_t i = 0; i < header->slot_count; i++)
        envol_free(header->slots[i]);
    envol_free(header);
}

static bool has_magic(const uint8_t *copy)
{
    return memcmp(copy + ENVOL_AT_MAGIC, ENVOL_HEADER_MAGIC, 8) == 0;
}

/* Why neither copy is whole. */
static enum envol_status fail_no_copy(const uint8_t *bytes, struct envol_error *error)
{
    if (!has_magic(bytes) && !has_magic(bytes + ENVOL_HEADER_COPY_BYTES))
        return envol_fail(error, ENVOL_E_FORMAT, "there is no volume header");
    return envol_fail(error, ENVOL_E_CORRUPT, "no copy of the header is whole");
}

static enum envol_status choose_copy(const uint8_t *bytes, uint32_t flags, const uint8_t **copy,
                                     struct envol_error *error)
{
    int newest = envol_image_newest(bytes);

    if (newest == -1)
        return fail_no_copy(bytes, error);
    if (newest == -2)
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "two copies of the header have one generation and differ");
    if ((flags & ENVOL_HEADER_OTHER_COPY) != 0)
        newest = 1 - newest;
    *copy = bytes + (size_t)newest * ENVOL_HEADER_COPY_BYTES;
    if ((flags & ENVOL_HEADER_OTHER_COPY) != 0 && !envol_image_is_whole(*copy))
        return envol_fail(error, ENVOL_E_CORRUPT, "the other copy of the header is not whole");
    return ENVOL_OK;
}

enum envol_status envol_header_decode(const void *bytes, uint32_t flags,
                                      struct envol_header **header, struct envol_error *error)
{
    struct envol_header *made;
    const uint8_t *copy = NULL;
    enum envol_status status;

    if (header != NULL)
        *header = NULL;
    if (header == NULL || bytes == NULL || (flags & ~ENVOL_HEADER_OTHER_COPY) != 0)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    status = choose_copy(bytes, flags, &copy, error);
    if (status != ENVOL_OK)
        return status;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_header));
    if (made == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_image_decode(copy, made, error);
    if (status != ENVOL_OK) {
        envol_header_free(made);
        return status;
    }
    made->whole_copies =
        (uint32_t)envol_image_is_whole(bytes) +
        (uint32_t)envol_image_is_whole((const uint8_t *)bytes + ENVOL_HEADER_COPY_BYTES);
    made->copies_differ = memcmp(bytes, (const uint8_t *)bytes + ENVOL_HEADER_COPY_BYTES,
                                 ENVOL_HEADER_COPY_BYTES) != 0;
    envol_error_clear(error);
    *header = made;
    return ENVOL_OK;
}
