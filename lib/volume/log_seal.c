/* SPDX-License-Identifier: BSD-2-Clause */
/* What the header says of the volume's log, as the floor above asks for it and changes it. */
#include "base/error.h"
#include "header/header.h"
#include "volume/volume.h"

enum envol_status envol_volume_log_seal(struct envol_volume *volume, struct envol_log_seal *seal)
{
    bool own = envol_volume_is_own(volume);
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_READ);

    if (status != ENVOL_OK)
        return status;
    if (own)
        pthread_mutex_lock(&volume->growth);
    *seal = volume->header->log_seal;
    seal->struct_size = sizeof(*seal);
    if (own)
        pthread_mutex_unlock(&volume->growth);
    envol_volume_leave(volume);
    return ENVOL_OK;
}

/* Holds growth. */
static enum envol_status commit(struct envol_volume *volume, const struct envol_log_seal *seal,
                                struct envol_error *error)
{
    const struct envol_log_seal old = volume->header->log_seal;
    enum envol_status status = envol_header_set_log_seal(volume->header, seal);

    if (status != ENVOL_OK)
        return envol_fail(error, status, "what the log says of itself does not fit the header");
    status = envol_volume_commit(volume, volume->mark, volume->clean, error);
    if (status != ENVOL_OK)
        volume->header->log_seal = old;
    return status;
}

enum envol_status envol_volume_set_log_seal(struct envol_volume *volume,
                                            const struct envol_log_seal *seal,
                                            struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (!envol_volume_is_own(volume)) {
        envol_volume_leave(volume);
        return envol_fail(error, ENVOL_E_FORKED, "a forked child cannot change the header");
    }
    pthread_mutex_lock(&volume->growth);
    status = commit(volume, seal, error);
    pthread_mutex_unlock(&volume->growth);
    envol_volume_leave(volume);
    return status;
}
