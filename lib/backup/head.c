/* SPDX-License-Identifier: BSD-2-Clause */
/* The head of a backup: struct to bytes and back. */
#include "backup/head.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"

#include <string.h>
#include <time.h>

/* What the wrappings of a backup's DEK are bound to. */
static void set_purpose(struct envol_header *header)
{
    header->context[1].value = "backup";
}

static enum envol_status make_header(struct envol_backup_head *head,
                                     const struct envol_header_params *params)
{
    enum envol_status status = ENVOL_OK;

    head->bytes = envol_alloc(ENVOL_HEAD_BYTES_MAX, 64);
    if (head->bytes == NULL)
        return ENVOL_E_NO_MEMORY;
    status = envol_header_new(params, &head->header);
    if (status == ENVOL_OK)
        set_purpose(head->header);
    return status;
}

enum envol_status envol_backup_head_new(struct envol_backup_head *head,
                                        const struct envol_header *volume, uint64_t pages,
                                        struct envol_error *error)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params),
        .suite = volume->suite,
        .page_bytes = volume->page_bytes,
        .stride_bytes = volume->stride_bytes,
        .sparse = (volume->incompatible & ENVOL_FEATURE_SPARSE) != 0,
        .atomic_pages = (volume->incompatible & ENVOL_FEATURE_ATOMIC_PAGES) != 0,
    };
    enum envol_status status;

    *head = (struct envol_backup_head){.pages = pages, .created_at_s = (uint64_t)time(NULL)};
    status = make_header(head, &params);
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

void envol_backup_head_free(struct envol_backup_head *head)
{
    envol_header_free(head->header);
    envol_free(head->bytes);
    head->header = NULL;
    head->bytes = NULL;
}

static uint32_t flags_of(const struct envol_header *header)
{
    uint32_t flags = 0;

    if ((header->incompatible & ENVOL_FEATURE_SPARSE) != 0)
        flags |= ENVOL_HEAD_SPARSE;
    if ((header->incompatible & ENVOL_FEATURE_ATOMIC_PAGES) != 0)
        flags |= ENVOL_HEAD_ATOMIC;
    return flags;
}

void envol_backup_head_encode(struct envol_backup_head *head)
{
    const struct envol_header *header = head->header;
    uint8_t *bytes = head->bytes;

    head->count =
        ENVOL_HEAD_FIXED_BYTES + envol_slots_encode(header, bytes + ENVOL_HEAD_FIXED_BYTES);
    memcpy(bytes, ENVOL_BACKUP_MAGIC, 8);
    envol_store32(bytes + ENVOL_HEAD_AT_VERSION, ENVOL_BACKUP_VERSION);
    envol_store32(bytes + ENVOL_HEAD_AT_BYTES, (uint32_t)head->count);
    memcpy(bytes + ENVOL_HEAD_AT_UUID, header->uuid, ENVOL_UUID_BYTES);
    memcpy(bytes + ENVOL_HEAD_AT_PARENT, head->parent, ENVOL_UUID_BYTES);
    envol_store16(bytes + ENVOL_HEAD_AT_SUITE, (uint16_t)header->suite);
    envol_store16(bytes + ENVOL_HEAD_AT_SPARE_16, 0);
    envol_store32(bytes + ENVOL_HEAD_AT_PAGE, header->page_bytes);
    envol_store32(bytes + ENVOL_HEAD_AT_STRIDE, header->stride_bytes);
    envol_store32(bytes + ENVOL_HEAD_AT_FLAGS, flags_of(header));
    envol_store64(bytes + ENVOL_HEAD_AT_PAGES, head->pages);
    envol_store64(bytes + ENVOL_HEAD_AT_CREATED, head->created_at_s);
    envol_store32(bytes + ENVOL_HEAD_AT_SLOTS, header->slot_count);
    envol_store32(bytes + ENVOL_HEAD_AT_SPARE_32, 0);
}

/* Magic, version, and a length that is within bounds. */
static enum envol_status read_start(struct envol_backup_head *head, struct envol_message *message)
{
    enum envol_status status = envol_message_take(message, head->bytes, ENVOL_HEAD_START_BYTES);
    uint32_t version = envol_load32(head->bytes + ENVOL_HEAD_AT_VERSION);

    if (status != ENVOL_OK)
        return status;
    if (memcmp(head->bytes, ENVOL_BACKUP_MAGIC, 8) != 0)
        return envol_fail(message->error, ENVOL_E_FORMAT, "this is no backup");
    if (version != ENVOL_BACKUP_VERSION)
        return envol_fail(message->error, ENVOL_E_VERSION, "the backup has version %u, not %u",
                          version, ENVOL_BACKUP_VERSION);
    head->count = envol_load32(head->bytes + ENVOL_HEAD_AT_BYTES);
    if (head->count < ENVOL_HEAD_FIXED_BYTES || head->count > ENVOL_HEAD_BYTES_MAX)
        return ENVOL_E_CORRUPT;
    return envol_message_take(message, head->bytes + ENVOL_HEAD_START_BYTES,
                              head->count - ENVOL_HEAD_START_BYTES);
}

static enum envol_status read_geometry(struct envol_backup_head *head)
{
    const uint8_t *bytes = head->bytes;
    uint32_t flags = envol_load32(bytes + ENVOL_HEAD_AT_FLAGS);
    const struct envol_header_params params = {
        .struct_size = sizeof(params),
        .suite = (enum envol_suite)envol_load16(bytes + ENVOL_HEAD_AT_SUITE),
        .page_bytes = envol_load32(bytes + ENVOL_HEAD_AT_PAGE),
        .stride_bytes = envol_load32(bytes + ENVOL_HEAD_AT_STRIDE),
        .sparse = (flags & ENVOL_HEAD_SPARSE) != 0,
        .atomic_pages = (flags & ENVOL_HEAD_ATOMIC) != 0,
        .uuid = bytes + ENVOL_HEAD_AT_UUID,
    };
    enum envol_status status;

    /* Zeros would stand for defaults. */
    if (params.suite == 0 || params.page_bytes == 0 || params.stride_bytes == 0 ||
        (flags & ~(ENVOL_HEAD_SPARSE | ENVOL_HEAD_ATOMIC)) != 0 ||
        envol_load16(bytes + ENVOL_HEAD_AT_SPARE_16) != 0 ||
        envol_load32(bytes + ENVOL_HEAD_AT_SPARE_32) != 0)
        return ENVOL_E_CORRUPT;
    status = envol_header_new(&params, &head->header);
    if (status != ENVOL_OK)
        return status == ENVOL_E_ARGUMENT ? ENVOL_E_CORRUPT : status;
    set_purpose(head->header);
    return ENVOL_OK;
}

static enum envol_status read_rest(struct envol_backup_head *head)
{
    const uint8_t *bytes = head->bytes;
    size_t slot_bytes = head->count - ENVOL_HEAD_FIXED_BYTES;
    struct envol_header *header;
    enum envol_status status = read_geometry(head);

    if (status != ENVOL_OK)
        return status;
    header = head->header;
    memcpy(head->parent, bytes + ENVOL_HEAD_AT_PARENT, ENVOL_UUID_BYTES);
    head->pages = envol_load64(bytes + ENVOL_HEAD_AT_PAGES);
    head->created_at_s = envol_load64(bytes + ENVOL_HEAD_AT_CREATED);
    if (head->pages > ((UINT64_C(1) << 63) - 1 - header->data_offset) / header->stride_bytes ||
        envol_is_zero(header->uuid, ENVOL_UUID_BYTES) ||
        memcmp(header->uuid, head->parent, ENVOL_UUID_BYTES) == 0)
        return ENVOL_E_CORRUPT;
    status = envol_slots_decode(bytes + ENVOL_HEAD_FIXED_BYTES, slot_bytes,
                                envol_load32(bytes + ENVOL_HEAD_AT_SLOTS), header);
    if (status == ENVOL_OK && envol_slots_encode(header, NULL) != slot_bytes)
        status = ENVOL_E_CORRUPT;
    return status;
}

enum envol_status envol_backup_head_read(struct envol_backup_head *head,
                                         struct envol_message *message)
{
    enum envol_status status = ENVOL_E_NO_MEMORY;

    *head = (struct envol_backup_head){.bytes = envol_alloc(ENVOL_HEAD_BYTES_MAX, 64)};
    if (head->bytes != NULL) {
        status = read_start(head, message);
        if (status == ENVOL_OK)
            status = read_rest(head);
        else if (status != ENVOL_E_CORRUPT || message->callback_failed)
            return status; /* it was told */
    }
    if (status != ENVOL_OK)
        envol_fail(message->error, status,
                   status == ENVOL_E_CORRUPT ? "the head of the backup is malformed" : NULL);
    return status;
}

void envol_backup_head_show(const struct envol_backup_head *head,
                            struct envol_backup_result *result)
{
    const struct envol_header *header = head->header;

    memcpy(result->uuid, header->uuid, ENVOL_UUID_BYTES);
    memcpy(result->parent, head->parent, ENVOL_UUID_BYTES);
    result->incremental = !envol_is_zero(head->parent, ENVOL_UUID_BYTES);
    result->suite = header->suite;
    result->page_bytes = header->page_bytes;
    result->stride_bytes = header->stride_bytes;
    result->sparse = (header->incompatible & ENVOL_FEATURE_SPARSE) != 0;
    result->atomic_pages = (header->incompatible & ENVOL_FEATURE_ATOMIC_PAGES) != 0;
    result->created_at_s = head->created_at_s;
    result->volume_pages = head->pages;
}
