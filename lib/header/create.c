/* SPDX-License-Identifier: BSD-2-Clause */
/* New headers: geometry, context, first sealing. */
#include "base/memory.h"
#include "base/sized.h"
#include "header/header.h"

#include <stdio.h>
#include <string.h>

/* Some threads write home while others fill the next slots. */
#define AREA_SLOTS_DEFAULT 4u

/* The least stride of a page whose creator names no stride. */
static uint32_t default_stride(const struct envol_header *header)
{
    if (header->suite == ENVOL_SUITE_AES_256_XTS)
        return header->page_bytes;
    return header->page_bytes + ENVOL_TRAILER_BYTES;
}

static uint32_t page_in_stride(const struct envol_header *header)
{
    if (header->suite == ENVOL_SUITE_AES_256_XTS || header->stride_bytes < ENVOL_TRAILER_BYTES)
        return header->stride_bytes;
    return (header->stride_bytes - ENVOL_TRAILER_BYTES) / 16 * 16;
}

static void set_geometry(const struct envol_header_params *params, struct envol_header *header)
{
    header->suite = params->suite == 0 ? ENVOL_SUITE_AES_256_GCM : params->suite;
    header->page_bytes = params->page_bytes;
    header->stride_bytes = params->stride_bytes;
    if (header->page_bytes == 0 && header->stride_bytes == 0)
        header->stride_bytes = ENVOL_STRIDE_BYTES_DEFAULT;
    if (header->page_bytes == 0)
        header->page_bytes = page_in_stride(header);
    /* Beyond the bound the sum below could wrap; the check refuses such a page in any case. */
    if (header->stride_bytes == 0 && header->page_bytes <= ENVOL_PAGE_BYTES_MAX)
        header->stride_bytes = default_stride(header);
    header->incompatible = params->sparse ? ENVOL_FEATURE_SPARSE : 0;
    header->data_offset = ENVOL_HEADER_BYTES;
    if (params->atomic_pages) {
        header->incompatible |= ENVOL_FEATURE_ATOMIC_PAGES;
        header->data_offset += AREA_SLOTS_DEFAULT * envol_area_slot_bytes(header->stride_bytes);
    }
    if (params->data_offset != 0)
        header->data_offset = params->data_offset;
}

enum envol_status envol_header_new(const struct envol_header_params *params,
                                   struct envol_header **header)
{
    struct envol_header_params whole;
    struct envol_header *made;
    enum envol_status status = ENVOL_OK;

    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    *header = NULL;
    if (!ENVOL_TAKE(header_params, params, &whole))
        return ENVOL_E_ARGUMENT;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_header));
    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    set_geometry(&whole, made);
    made->epoch = made->lowest_epoch = 1;
    made->clean = true;
    status = envol_geometry_check(made);
    if (status == ENVOL_OK && whole.uuid != NULL)
        memcpy(made->uuid, whole.uuid, ENVOL_UUID_BYTES);
    else if (status == ENVOL_OK)
        status = envol_uuid_make(made->uuid);
    if (status != ENVOL_OK) {
        envol_header_free(made);
        return status;
    }
    envol_header_refresh_context(made);
    *header = made;
    return ENVOL_OK;
}

void envol_header_refresh_context(struct envol_header *header)
{
    envol_uuid_format(header->uuid, header->uuid_text);
    snprintf(header->epoch_text, sizeof(header->epoch_text), "%u", header->epoch);
    /* In byte order of the keys, as the canonical encoding wants them. */
    header->context[0] = (struct envol_context_pair){"envol:epoch", header->epoch_text};
    header->context[1] = (struct envol_context_pair){"envol:purpose", "dek"};
    header->context[2] = (struct envol_context_pair){"envol:volume", header->uuid_text};
}

const struct envol_context_pair *envol_header_context(const struct envol_header *header,
                                                      size_t *pairs)
{
    if (pairs != NULL)
        *pairs = sizeof(header->context) / sizeof(header->context[0]);
    return header->context;
}

static enum envol_status seal(struct envol_header *header, const uint8_t *dek, uint32_t flags,
                              uint8_t *bytes, struct envol_keyring **keyring)
{
    enum envol_status status = envol_image_encode(header, 1, dek, bytes);

    if (status != ENVOL_OK)
        return status;
    memcpy(bytes + ENVOL_HEADER_COPY_BYTES, bytes, ENVOL_HEADER_COPY_BYTES);
    memcpy(header->image, bytes, sizeof(header->image));
    header->id = envol_image_id(header->image);
    header->sealed = true;
    header->whole_copies = 2;
    status = envol_header_unlock(header, dek, flags, NULL, keyring);
    if (status != ENVOL_OK) {
        memset(&header->id, 0, sizeof(header->id));
        header->sealed = false;
        header->whole_copies = 0;
    }
    return status;
}

enum envol_status envol_header_seal(struct envol_header *header, const uint8_t dek[ENVOL_DEK_BYTES],
                                    uint32_t flags, void *bytes, struct envol_keyring **keyring)
{
    static const uint8_t no_dek[ENVOL_DEK_BYTES];
    enum envol_status status = ENVOL_OK;

    if (keyring != NULL)
        *keyring = NULL;
    /* A DEK of zeros is one that nobody filled in. */
    if (header == NULL || dek == NULL || bytes == NULL || keyring == NULL ||
        envol_equal(dek, no_dek, ENVOL_DEK_BYTES))
        status = ENVOL_E_ARGUMENT;
    else if (header->sealed || header->id.generation != 0 || header->slot_count == 0)
        status = ENVOL_E_STATE;
    if (status == ENVOL_OK)
        status = seal(header, dek, flags, bytes, keyring);
    if (status != ENVOL_OK && bytes != NULL)
        memset(bytes, 0, ENVOL_HEADER_BYTES);
    return status;
}
