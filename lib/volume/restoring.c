/* SPDX-License-Identifier: BSD-2-Clause */
/* How far a restore into the volume has come: on disk after the pages that it speaks of. */
#include "base/error.h"
#include "header/header.h"
#include "volume/area.h"
#include "volume/volume.h"

enum envol_status envol_volume_set_restore(struct envol_volume *volume,
                                           const struct envol_restore_record *record,
                                           struct envol_error *error)
{
    struct envol_restore_record before;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_ALONE);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    before = volume->header->restore;
    status = envol_area_settle(volume, error);
    if (status == ENVOL_OK)
        status = envol_volume_flush(volume, error);
    if (status != ENVOL_OK)
        goto out;
    envol_header_set_restore(volume->header, record);
    status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    if (status != ENVOL_OK) /* whatever commits next says no more than is known */
        envol_header_set_restore(volume->header, &before);
out:
    envol_volume_leave(volume);
    return status;
}
