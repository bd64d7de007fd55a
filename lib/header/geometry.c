/* SPDX-License-Identifier: BSD-2-Clause */
/* Which page sizes, strides and offsets go together; the same rule for new and for read headers. */
#include "header/header.h"

/* Pages must start on a block of the device, and their offsets stay below 2^63. */
#define DATA_ALIGN      4096u
#define DATA_OFFSET_MAX (UINT64_C(1) << 62)
#define GAP_LIMIT       4096u
/* With one slot alone each write would wait for two syncs; 64 of them are read in no time. */
#define AREA_SLOTS_MIN 2u
#define AREA_SLOTS_MAX 64u

static bool is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool gcm_fits(uint32_t page_bytes, uint32_t stride_bytes)
{
    return page_bytes % 16 == 0 && stride_bytes >= page_bytes + ENVOL_TRAILER_BYTES &&
           stride_bytes - page_bytes - ENVOL_TRAILER_BYTES < GAP_LIMIT;
}

uint32_t envol_area_records(uint32_t stride_bytes)
{
    uint32_t records = stride_bytes > 0 ? ENVOL_AREA_RUN_BYTES / stride_bytes : 0;

    records = records < ENVOL_AREA_RUN_MAX ? records : ENVOL_AREA_RUN_MAX;
    return records > 0 ? records : 1;
}

uint64_t envol_area_slot_bytes(uint32_t stride_bytes)
{
    uint64_t bytes = (uint64_t)envol_area_records(stride_bytes) * stride_bytes;

    return ENVOL_AREA_HEAD_BYTES + (bytes + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
}

uint32_t envol_area_slots(const struct envol_header *header)
{
    uint64_t slots =
        (header->data_offset - ENVOL_HEADER_BYTES) / envol_area_slot_bytes(header->stride_bytes);

    return slots < AREA_SLOTS_MAX ? (uint32_t)slots : AREA_SLOTS_MAX;
}

enum envol_status envol_geometry_check(const struct envol_header *header)
{
    bool fits;

    if (header->page_bytes < ENVOL_PAGE_BYTES_MIN || header->page_bytes > ENVOL_PAGE_BYTES_MAX)
        return ENVOL_E_ARGUMENT;
    if (header->suite == ENVOL_SUITE_AES_256_GCM)
        fits = gcm_fits(header->page_bytes, header->stride_bytes);
    else if (header->suite == ENVOL_SUITE_AES_256_XTS)
        fits = is_power_of_two(header->page_bytes) && header->stride_bytes == header->page_bytes;
    else
        fits = false;
    if (!fits || header->data_offset < ENVOL_HEADER_BYTES ||
        header->data_offset > DATA_OFFSET_MAX || header->data_offset % DATA_ALIGN != 0)
        return ENVOL_E_ARGUMENT;
    if ((header->incompatible & ENVOL_FEATURE_ATOMIC_PAGES) != 0 &&
        envol_area_slots(header) < AREA_SLOTS_MIN)
        return ENVOL_E_ARGUMENT;
    return ENVOL_OK;
}
