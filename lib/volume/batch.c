/* SPDX-License-Identifier: BSD-2-Clause */
/* Any pages in one call: runs of consecutive ones travel together. */
#include "base/error.h"
#include "volume/volume.h"

#include <string.h>

static enum envol_status check_io(const struct envol_page_io *io, uint64_t limit)
{
    if (io->page == NULL)
        return ENVOL_E_ARGUMENT;
    return io->page_no < limit ? ENVOL_OK : ENVOL_E_RANGE;
}

static size_t run_length(const struct envol_volume *volume, const struct envol_page_io *ios,
                         size_t count, uint64_t limit)
{
    size_t n = 1;

    while (n < count && n < volume->run && ios[n].page_no == ios[0].page_no + n &&
           check_io(&ios[n], limit) == ENVOL_OK)
        n++;
    return n;
}

static enum envol_status refuse(const struct envol_volume *volume, enum envol_access access,
                                struct envol_page_io *io, enum envol_status status,
                                struct envol_error *error)
{
    io->status = status;
    if (access == ENVOL_ACCESS_READ && io->page != NULL && volume != NULL)
        memset(io->page, 0, volume->page_bytes);
    envol_fail(error, status, NULL);
    envol_error_set_page(error, io->page_no);
    return status;
}

/* A page that was never written has been read, in a way: whatever else befell one is told first. */
bool envol_volume_is_graver(enum envol_status status, enum envol_status so_far)
{
    return so_far == ENVOL_OK ||
           (so_far == ENVOL_E_UNWRITTEN && status != ENVOL_OK && status != ENVOL_E_UNWRITTEN);
}

static enum envol_status transfer_all(struct envol_volume *volume, enum envol_access access,
                                      envol_volume_transfer *transfer,
                                      struct envol_volume_lane *lane, struct envol_page_io *ios,
                                      size_t count, struct envol_error *error)
{
    uint64_t limit = access == ENVOL_ACCESS_READ
                         ? atomic_load_explicit(&volume->limit, memory_order_acquire)
                         : volume->page_max;
    struct envol_error said = ENVOL_ERROR_INIT;
    struct envol_error *details = error != NULL ? &said : NULL;
    enum envol_status told = ENVOL_OK;
    size_t n;

    for (size_t i = 0; i < count; i += n) {
        enum envol_status status = check_io(&ios[i], limit);
        n = 1;
        if (status != ENVOL_OK) {
            refuse(volume, access, &ios[i], status, details);
        } else {
            n = run_length(volume, ios + i, count - i, limit);
            status = transfer(volume, lane, ios + i, n, details);
        }
        if (!envol_volume_is_graver(status, told))
            continue;
        told = status;
        if (told != ENVOL_OK)
            envol_volume_tell(&(const struct envol_page_io){said.page_no, NULL, told}, &said,
                              error);
    }
    return told;
}

static enum envol_status refuse_all(const struct envol_volume *volume, enum envol_access access,
                                    struct envol_page_io *ios, size_t count,
                                    enum envol_status status, struct envol_error *error)
{
    for (size_t i = count; i > 0; i--)
        refuse(volume, access, &ios[i - 1], status, error);
    return count > 0 ? status : envol_fail(error, status, NULL);
}

enum envol_status envol_volume_batch(struct envol_volume *volume, enum envol_access access,
                                     envol_volume_transfer *transfer, struct envol_page_io *ios,
                                     size_t count, struct envol_error *error)
{
    struct envol_volume_lane *lane;
    enum envol_status status;

    if (ios == NULL && count > 0)
        return envol_fail(error, ENVOL_E_ARGUMENT, "ios is NULL");
    status = envol_volume_enter(volume, access);
    if (status != ENVOL_OK)
        return refuse_all(volume, access, ios, count, status, error);
    status = envol_volume_lane_take(volume, &lane);
    if (status != ENVOL_OK) {
        refuse_all(volume, access, ios, count, status, error);
        goto out;
    }
    if (access == ENVOL_ACCESS_WRITE)
        atomic_fetch_add(&volume->writes_begun, 1);
    status = transfer_all(volume, access, transfer, lane, ios, count, error);
    if (access == ENVOL_ACCESS_WRITE)
        atomic_fetch_add(&volume->writes_done, 1);
    envol_volume_lane_give(volume, lane);
    if (status == ENVOL_OK)
        envol_error_clear(error);
out:
    envol_volume_leave(volume);
    return status;
}
