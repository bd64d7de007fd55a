/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of the device as pages of its volume.  Whole pages go between the client's buffer and the
 * volume in batches; of a page at either end of a request that is not whole, a part is copied out,
 * or changed and written back.
 */
#include "device.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_PAGES = 256 };

/* The part of a request that lies in one page, or a run of whole pages. */
struct piece {
    uint64_t page_no;
    uint32_t skip;  /* bytes of the page before it */
    uint32_t bytes; /* a part of a page, or pages x page_bytes */
    uint32_t pages; /* 0: a part of one */
};

static struct piece first_piece(uint32_t page_bytes, uint32_t count, uint64_t offset)
{
    struct piece piece = {.page_no = offset / page_bytes, .skip = (uint32_t)(offset % page_bytes)};

    if (piece.skip == 0 && count >= page_bytes) {
        piece.pages = count / page_bytes < BATCH_PAGES ? count / page_bytes : BATCH_PAGES;
        piece.bytes = piece.pages * page_bytes;
    } else {
        piece.bytes = page_bytes - piece.skip < count ? page_bytes - piece.skip : count;
    }
    return piece;
}

static uint32_t page_bytes_of(const struct device *device)
{
    return device->about.header.page_bytes;
}

/* --- Reading --- */

/* A page that was never written has been read: its buffer holds zeros.  If another one of its batch
 * is worse off, the call tells of that. */
static enum envol_status settled(enum envol_status status)
{
    return status == ENVOL_E_UNWRITTEN ? ENVOL_OK : status;
}

static void aim(struct envol_page_io *ios, const struct piece *piece, uint8_t *bytes,
                uint32_t page_bytes)
{
    for (uint32_t i = 0; i < piece->pages; i++)
        ios[i] = (struct envol_page_io){.page_no = piece->page_no + i,
                                        .page = bytes + (size_t)i * page_bytes};
}

static enum envol_status read_whole(struct envol_volume *volume, const struct piece *piece,
                                    uint8_t *bytes, uint32_t page_bytes, struct envol_error *error)
{
    struct envol_page_io ios[BATCH_PAGES];

    aim(ios, piece, bytes, page_bytes);
    return settled(envol_page_read_batch(volume, ios, piece->pages, error));
}

/* One page, as a batch: that tells what the store's failure was. */
static enum envol_status read_page(struct envol_volume *volume, uint64_t page_no, uint8_t *page,
                                   struct envol_error *error)
{
    struct envol_page_io io = {.page_no = page_no, .page = page};

    return settled(envol_page_read_batch(volume, &io, 1, error));
}

static enum envol_status write_page(struct envol_volume *volume, uint64_t page_no, uint8_t *page,
                                    struct envol_error *error)
{
    struct envol_page_io io = {.page_no = page_no, .page = page};

    return envol_page_write_batch(volume, &io, 1, error);
}

static enum envol_status read_part(struct envol_volume *volume, const struct piece *piece,
                                   uint8_t *bytes, uint32_t page_bytes, struct envol_error *error)
{
    uint8_t *page = malloc(page_bytes);
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (page != NULL)
        status = read_page(volume, piece->page_no, page, error);
    if (status == ENVOL_OK)
        memcpy(bytes, page + piece->skip, piece->bytes);
    free(page);
    return status;
}

int bytes_read(struct device *device, struct envol_volume *volume, void *buffer, uint32_t count,
               uint64_t offset)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    uint32_t page_bytes = page_bytes_of(device);
    enum envol_status status = ENVOL_OK;
    uint8_t *bytes = buffer;

    while (count > 0 && status == ENVOL_OK) {
        struct piece piece = first_piece(page_bytes, count, offset);
        status = piece.pages > 0 ? read_whole(volume, &piece, bytes, page_bytes, &error)
                                 : read_part(volume, &piece, bytes, page_bytes, &error);
        bytes += piece.bytes;
        count -= piece.bytes;
        offset += piece.bytes;
    }
    return status == ENVOL_OK ? 0 : device_fail(device, "read", status, &error);
}

/* --- Writing --- */

/* What becomes of the bytes of a request: data, or zeros where there is none. */
struct change {
    const uint8_t *data; /* NULL: zeros */
    bool frees;          /* zeros: whole pages may become unwritten, and give up their space */
};

static enum envol_status change_part(struct device *device, const struct piece *piece,
                                     const struct change *change, struct envol_error *error)
{
    uint8_t *page = malloc(page_bytes_of(device));
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (page != NULL)
        status = read_page(device->volume, piece->page_no, page, error);
    if (status == ENVOL_OK) {
        if (change->data != NULL)
            memcpy(page + piece->skip, change->data, piece->bytes);
        else
            memset(page + piece->skip, 0, piece->bytes);
        status = write_page(device->volume, piece->page_no, page, error);
    }
    free(page);
    return status;
}

static enum envol_status write_whole(struct device *device, const struct piece *piece,
                                     const uint8_t *data, struct envol_error *error)
{
    struct envol_page_io ios[BATCH_PAGES];

    aim(ios, piece, (uint8_t *)data, page_bytes_of(device)); /* a write only reads it */
    return envol_page_write_batch(device->volume, ios, piece->pages, error);
}

/* The same page of zeros again and again. */
static enum envol_status write_zeros(struct device *device, const struct piece *piece,
                                     struct envol_error *error)
{
    uint8_t *zeros = calloc(1, page_bytes_of(device));
    struct envol_page_io ios[BATCH_PAGES];
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (zeros != NULL) {
        aim(ios, piece, zeros, 0);
        status = envol_page_write_batch(device->volume, ios, piece->pages, error);
    }
    free(zeros);
    return status;
}

static enum envol_status change_piece(struct device *device, const struct piece *piece,
                                      const struct change *change, struct envol_error *error)
{
    if (piece->pages == 0)
        return change_part(device, piece, change, error);
    if (change->data != NULL)
        return write_whole(device, piece, change->data, error);
    /* Unwritten pages read as zeros, and only in a sparse volume do they give up their space. */
    if (change->frees || !device->about.header.sparse)
        return envol_page_trim(device->volume, piece->page_no, piece->pages);
    return write_zeros(device, piece, error);
}

static int change_bytes(struct device *device, const char *what, struct change change,
                        uint32_t count, uint64_t offset)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    uint32_t page_bytes = page_bytes_of(device);
    enum envol_status status = ENVOL_OK;
    struct range range = {
        .first = offset / page_bytes,
        .last = (offset + count - 1) / page_bytes,
        .alone = offset % page_bytes != 0 || (offset + count) % page_bytes != 0,
    };

    if (count == 0)
        return 0;
    ranges_take(&device->ranges, &range);
    while (count > 0 && status == ENVOL_OK) {
        struct piece piece = first_piece(page_bytes, count, offset);
        status = change_piece(device, &piece, &change, &error);
        if (change.data != NULL)
            change.data += piece.bytes;
        count -= piece.bytes;
        offset += piece.bytes;
    }
    ranges_give(&device->ranges, &range);
    return status == ENVOL_OK ? 0 : device_fail(device, what, status, &error);
}

int bytes_write(struct device *device, const void *buffer, uint32_t count, uint64_t offset)
{
    return change_bytes(device, "write", (struct change){.data = buffer}, count, offset);
}

int bytes_zero(struct device *device, uint32_t count, uint64_t offset, bool frees)
{
    return change_bytes(device, "zero", (struct change){.frees = frees}, count, offset);
}

int bytes_trim(struct device *device, uint32_t count, uint64_t offset)
{
    uint32_t page_bytes = page_bytes_of(device);
    uint64_t first = (offset + page_bytes - 1) / page_bytes;
    uint64_t end = (offset + count) / page_bytes;

    if (first >= end)
        return 0;
    return change_bytes(device, "trim", (struct change){.frees = true},
                        (uint32_t)((end - first) * page_bytes), first * page_bytes);
}

int bytes_flush(struct device *device)
{
    enum envol_status status = envol_volume_sync(device->volume);

    return status == ENVOL_OK ? 0 : device_fail(device, "flush", status, NULL);
}
