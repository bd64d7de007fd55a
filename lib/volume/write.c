/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing pages: page -> record -> store. */
#include "base/error.h"
#include "volume/rotation.h"

/* A run is sealed in one go, before any lock is taken that other writers wait for. */
static enum envol_status seal_run(struct envol_volume *volume, struct envol_volume_lane *lane,
                                  const struct envol_page_io *ios, size_t n)
{
    struct envol_page_op ops[ENVOL_RUN_MAX];

    for (size_t i = 0; i < n; i++)
        ops[i] = (struct envol_page_op){.page_no = ios[i].page_no,
                                        .page = ios[i].page,
                                        .record = lane->records + i * volume->stride_bytes};
    return envol_volume_seal(volume, lane->lane, ops, n);
}

static enum envol_status write_run(struct envol_volume *volume, struct envol_volume_lane *lane,
                                   struct envol_page_io *ios, size_t n, struct envol_error *error)
{
    struct envol_hot_guest guest;
    enum envol_status status = envol_volume_visit(volume, &guest, ios[0].page_no, n);

    if (status == ENVOL_OK)
        status = seal_run(volume, lane, ios, n);
    if (status != ENVOL_OK)
        envol_fail(error, status, NULL);
    else
        status = envol_volume_place(volume, lane->records, ios[0].page_no, n, error);
    envol_volume_depart(volume, &guest);
    for (size_t i = 0; i < n; i++)
        ios[i].status = status;
    if (status != ENVOL_OK)
        envol_error_set_page(error, ios[0].page_no);
    return status;
}

enum envol_status envol_page_write_batch(struct envol_volume *volume, struct envol_page_io *ios,
                                         size_t count, struct envol_error *error)
{
    return envol_volume_batch(volume, ENVOL_ACCESS_WRITE, write_run, ios, count, error);
}

enum envol_status envol_page_write(struct envol_volume *volume, uint64_t page_no, const void *page)
{
    struct envol_page_io io = {.page_no = page_no, .page = (void *)page};

    return envol_volume_batch(volume, ENVOL_ACCESS_WRITE, write_run, &io, 1, NULL);
}
