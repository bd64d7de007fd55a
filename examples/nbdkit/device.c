/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of the volume behind the device.  It is opened after nbdkit has forked: keys do not go
 * over a fork, and one call of a key service is all that a start costs.
 */
#include "device.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- Failures --- */

static int errno_of(enum envol_status status, const struct envol_error *error)
{
    switch (status) {
    case ENVOL_E_NO_MEMORY:
        return ENOMEM;
    case ENVOL_E_READ_ONLY:
        return EROFS;
    case ENVOL_E_IO:
        return error != NULL && error->os_errno == ENOSPC ? ENOSPC : EIO;
    default:
        return EIO;
    }
}

int device_fail(struct device *device, const char *what, enum envol_status status,
                const struct envol_error *error)
{
    const char *message = error != NULL ? error->message : "";
    char where[48] = "";

    if (error != NULL && error->page_no != ENVOL_NO_PAGE)
        snprintf(where, sizeof where, ", page %llu", (unsigned long long)error->page_no);
    if (*message == '\0')
        message = envol_status_message(status);
    /* In the dark every request fails: said once, until the keys are back. */
    if (status == ENVOL_E_KEY_REVOKED && atomic_exchange(&device->told_dark, true))
        nbdkit_debug("%s%s: %s", what, where, envol_status_name(status));
    else
        nbdkit_error("%s%s: %s (%s)", what, where, message, envol_status_name(status));
    nbdkit_set_error(errno_of(status, error));
    return -1;
}

/* --- Key services --- */

static void key_was_used(void *ctx, const struct envol_audit_event *event)
{
    (void)ctx;
    nbdkit_debug("key service: %s: %s %s: %s", event->provider,
                 envol_key_operation_name(event->operation), event->key_ref,
                 envol_status_name(event->status));
}

static enum envol_status open_cmks(struct device *device, struct envol_error *error)
{
    const struct device_config *config = device->config;
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; i < config->cmk_count && status == ENVOL_OK; i++) {
        status = cmk_open(&device->sources[i], config->cmks[i], NULL, error);
        if (status == ENVOL_OK)
            status = envol_provider_set_audit(device->sources[i].provider, key_was_used, NULL);
        device->cmks[i] = device->sources[i].cmk;
    }
    return status;
}

static void key_changed(void *ctx, const struct envol_lease_change *change)
{
    struct device *device = ctx;

    if (change->to == ENVOL_LEASE_SUSPECT)
        nbdkit_error("the key service refuses the key: %s (%s)", change->answer->message,
                     envol_status_name(change->answer->status));
    else if (change->to == ENVOL_LEASE_INACCESSIBLE)
        nbdkit_error("the lease is over, the keys are wiped: requests fail until the key is "
                     "enabled and a client connects");
    else
        nbdkit_debug("the key is available again");
    if (change->to == ENVOL_LEASE_AVAILABLE)
        atomic_store(&device->told_dark, false);
}

static enum envol_status start_lease(struct device *device, struct envol_error *error)
{
    const struct device_config *config = device->config;
    const struct envol_lease_options options = {
        .struct_size = sizeof options,
        .flags = ENVOL_LEASE_THREAD | (config->no_grace ? ENVOL_LEASE_NO_GRACE : 0),
        .interval_ms = config->lease_ms,
        .grace_ms = config->grace_ms,
        .callback = key_changed,
        .ctx = device,
    };

    if (config->no_lease)
        return ENVOL_OK;
    return envol_lease_start(device->volume, &options, &device->lease, error);
}

static bool is_dark(struct device *device)
{
    struct envol_lease_info info = {.struct_size = sizeof info};

    return device->lease != NULL && envol_lease_info(device->lease, &info) == ENVOL_OK &&
           info.state == ENVOL_LEASE_INACCESSIBLE;
}

/* --- Opening --- */

/* Where snapshots are kept: the directory that was named, or the command's default if there is one
 * already. */
static enum envol_status open_space(struct device *device, struct envol_error *error)
{
    const char *space = device->config->space;
    char path[PATH_MAX];
    enum envol_status status;

    if (space != NULL)
        return envol_directory_space_open(space, ENVOL_SPACE_CREATE_DIRECTORY, &device->space,
                                          error);
    snprintf(path, sizeof path, "%s.d", device->config->volume);
    status = envol_directory_space_open(path, 0, &device->space, error);
    return status == ENVOL_E_IO && error->os_errno == ENOENT ? ENVOL_OK : status;
}

static enum envol_status make_volume(struct device *device, struct envol_error *error)
{
    const struct device_config *config = device->config;
    const struct envol_header_params params = {
        .struct_size = sizeof params,
        .suite = config->xts ? ENVOL_SUITE_AES_256_XTS : ENVOL_SUITE_AES_256_GCM,
        .page_bytes = config->page_bytes != 0 ? config->page_bytes : DEVICE_PAGE_BYTES,
        .sparse = config->sparse,
        /* An XTS page that is torn is torn as a disk's sector is, cell by cell. */
        .atomic_pages = !config->xts && !config->tears,
    };
    const struct envol_volume_options options = {.struct_size = sizeof options, .params = &params};

    return envol_volume_create(device->store, device->cmks, config->cmk_count, &options,
                               &device->volume, error);
}

static enum envol_status open_volume(struct device *device, struct envol_error *error)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof options,
        .space = device->space,
    };

    return envol_volume_open(device->store, device->cmks, device->config->cmk_count, &options,
                             &device->volume, error);
}

static enum envol_status complain(struct envol_error *error, enum envol_status status,
                                  const char *message)
{
    snprintf(error->message, sizeof error->message, "%s", message);
    return status;
}

/* The device's size is that of the volume's pages: unwritten ones count. */
static enum envol_status size_up(struct device *device, struct envol_error *error)
{
    uint64_t page_bytes, wanted, pages = envol_volume_pages(device->volume);
    enum envol_status status;

    device->about = (struct envol_volume_info){.struct_size = sizeof device->about};
    device->about.header.struct_size = sizeof device->about.header;
    status = envol_volume_info(device->volume, &device->about);
    if (status != ENVOL_OK)
        return status;
    page_bytes = device->about.header.page_bytes;
    wanted = device->config->size < 0 ? pages : (uint64_t)device->config->size / page_bytes;
    if (device->config->size >= 0 && (uint64_t)device->config->size % page_bytes != 0)
        return complain(error, ENVOL_E_ARGUMENT, "size: not a multiple of the volume's pages");
    if (wanted < pages)
        return complain(error, ENVOL_E_ARGUMENT, "size: the volume is larger, and is never cut");
    if (wanted == 0)
        return complain(error, ENVOL_E_STATE, "the volume has no pages; give size=SIZE");
    return wanted == pages ? ENVOL_OK : envol_volume_truncate(device->volume, wanted, error);
}

int device_create(const struct device_config *config)
{
    struct device device = DEVICE_INIT;
    struct envol_error error = ENVOL_ERROR_INIT;
    bool made = false;
    int closed;
    enum envol_status status;

    device.config = config;
    status = open_cmks(&device, &error);
    if (status == ENVOL_OK)
        status = envol_file_store_open(config->volume, ENVOL_FILE_CREATE, &device.store, &error);
    made = status == ENVOL_OK;
    if (status == ENVOL_E_STATE)
        status = complain(&error, status, "the file exists, and is never overwritten");
    if (status == ENVOL_OK)
        status = make_volume(&device, &error);
    if (status == ENVOL_OK)
        status = size_up(&device, &error);
    if (status != ENVOL_OK)
        device_fail(&device, config->volume, status, &error);
    closed = device_close(&device);
    if (status == ENVOL_OK && closed == 0)
        return 0;
    if (made)
        unlink(config->volume);
    return -1;
}

int device_inspect(const struct device_config *config)
{
    struct device device = DEVICE_INIT;
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_header_info info = {.struct_size = sizeof info};
    enum envol_status status =
        envol_file_store_open(config->volume, ENVOL_FILE_READ_ONLY, &device.store, &error);

    if (status == ENVOL_OK)
        status = envol_volume_inspect(device.store, &info, NULL, &error);
    envol_store_close(device.store);
    return status == ENVOL_OK ? 0 : device_fail(&device, config->volume, status, &error);
}

static void release(struct device *device)
{
    envol_store_close(device->store);
    envol_space_close(device->space);
    for (size_t i = 0; i < ENVOL_SLOTS_MAX; i++)
        cmk_close(&device->sources[i]);
    device->lease = NULL;
    device->volume = NULL;
    device->store = NULL;
    device->space = NULL;
}

/* Of clients that a crash ended, or that left in the dark; one that is being read stays. */
static void drop_left_over_snapshots(struct device *device)
{
    struct envol_snapshot_info infos[ENVOL_SNAPSHOTS_MAX] = {{.struct_size = sizeof infos[0]}};
    struct envol_error error = ENVOL_ERROR_INIT;
    size_t count = 0;
    enum envol_status status = ENVOL_OK;

    if (device->space != NULL)
        status = envol_snapshot_list(device->volume, infos, ENVOL_SNAPSHOTS_MAX, &count, &error);
    for (size_t i = 0; i < count && status == ENVOL_OK; i++) {
        if (strcmp(infos[i].label, DEVICE_SNAPSHOT_LABEL) == 0)
            status = envol_snapshot_delete(device->volume, infos[i].uuid, &error);
        if (status == ENVOL_E_BUSY)
            status = ENVOL_OK;
    }
    if (status != ENVOL_OK)
        nbdkit_debug("snapshots of clients that are gone: %s: %s", envol_status_name(status),
                     error.message);
}

static enum envol_status open_all(struct device *device, struct envol_error *error)
{
    enum envol_status status = open_cmks(device, error);

    if (status == ENVOL_OK)
        status = envol_file_store_open(device->config->volume, 0, &device->store, error);
    if (status == ENVOL_OK)
        status = open_space(device, error);
    if (status == ENVOL_OK)
        status = open_volume(device, error);
    if (status == ENVOL_OK)
        status = size_up(device, error);
    if (status == ENVOL_OK)
        status = start_lease(device, error);
    if (status != ENVOL_OK) {
        (void)envol_volume_close(device->volume); /* nothing was written */
        release(device);
    }
    return status;
}

int device_ready(struct device *device)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = ENVOL_OK;
    bool is_opened;

    pthread_mutex_lock(&device->opening); /* one client asks, the others wait for its answer */
    is_opened = device->volume == NULL || is_dark(device);
    if (device->volume == NULL)
        status = open_all(device, &error);
    else if (is_opened)
        status = envol_volume_unlock(device->volume, device->cmks, device->config->cmk_count, NULL,
                                     &error);
    if (status == ENVOL_OK && is_opened)
        drop_left_over_snapshots(device);
    pthread_mutex_unlock(&device->opening);
    return status == ENVOL_OK ? 0 : device_fail(device, device->config->volume, status, &error);
}

int device_close(struct device *device)
{
    enum envol_status status = envol_volume_close(device->volume); /* its lease too */

    release(device);
    return status == ENVOL_OK ? 0 : device_fail(device, "close", status, NULL);
}
