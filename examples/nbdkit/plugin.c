/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbdkit-envol-plugin(1): an nbdkit plugin that serves an encrypted volume as a block device.  One
 * volume for the process, any number of clients, requests of all of them in parallel.
 */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define TEXT(number)                 #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

static struct device_config config = DEVICE_CONFIG_INIT;
static struct device device = DEVICE_INIT;

/* A client: of the device itself, or of a snapshot that lives as long as the connection. */
struct client {
    struct envol_volume *volume; /* the device's, or the image of the snapshot */
    uint8_t snapshot[ENVOL_UUID_BYTES];
};

static bool has_snapshot(const struct client *client)
{
    return client->volume != device.volume;
}

/* --- Start and end --- */

static int envol_config(const char *key, const char *value)
{
    return config_take(&config, key, value);
}

static int envol_config_complete(void)
{
    return config_check(&config);
}

static int envol_get_ready(void)
{
    /* What can be said before the fork is seen by whoever started it. */
    return config.create ? device_create(&config) : device_inspect(&config);
}

/* A key that is refused now is asked for again when a client comes: nobody reads the exit status of
 * a daemon, and a client would wait for an answer of a process that is gone. */
static int envol_after_fork(void)
{
    device.config = &config;
    (void)device_ready(&device);
    return 0;
}

static void envol_cleanup(void)
{
    device_close(&device);
}

static void envol_dump_plugin(void)
{
    printf("envol_version=%s\nenvol_kernel=%s\n", envol_version(), envol_kernel_name());
}

/* --- Connections --- */

static const char device_export[] = "", snapshot_export[] = "snapshot";

static int envol_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    (void)readonly;
    (void)is_tls;
    if (nbdkit_add_export(exports, device_export, "the device") != 0)
        return -1;
    if (device.space == NULL)
        return 0;
    return nbdkit_add_export(exports, snapshot_export, "the device as it is now, read-only");
}

static void close_snapshot(struct client *client)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;

    (void)envol_volume_close(client->volume); /* a reader has nothing to lose */
    status = envol_snapshot_delete(device.volume, client->snapshot, &error);
    if (status != ENVOL_OK)
        device_fail(&device, "snapshot: it stays", status, &error);
}

static int open_snapshot(struct client *client)
{
    const struct envol_snapshot_options options = {.struct_size = sizeof options,
                                                   .label = DEVICE_SNAPSHOT_LABEL};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status =
        envol_snapshot_create(device.volume, &options, client->snapshot, &error);

    if (status != ENVOL_OK)
        return device_fail(&device, snapshot_export, status, &error);
    status = envol_snapshot_open(device.volume, client->snapshot, &client->volume, &error);
    if (status == ENVOL_OK)
        return 0;
    device_fail(&device, snapshot_export, status, &error);
    close_snapshot(client);
    return -1;
}

static void *envol_open(int readonly)
{
    const char *name = nbdkit_export_name();
    struct client *client;

    (void)readonly;
    if (name == NULL)
        return NULL;
    if (strcmp(name, device_export) != 0 && strcmp(name, snapshot_export) != 0) {
        nbdkit_error("there is no such export"); /* its name is the client's to choose */
        return NULL;
    }
    if (device_ready(&device) != 0)
        return NULL;
    client = calloc(1, sizeof *client);
    if (client == NULL) {
        nbdkit_error("calloc: %m");
        return NULL;
    }
    client->volume = device.volume;
    if (strcmp(name, snapshot_export) == 0 && open_snapshot(client) != 0) {
        free(client);
        return NULL;
    }
    return client;
}

static void envol_close(void *handle)
{
    if (has_snapshot(handle))
        close_snapshot(handle);
    free(handle);
}

/* --- What the device is --- */

static int64_t envol_get_size(void *handle)
{
    const struct client *client = handle;

    return (int64_t)(envol_volume_pages(client->volume) * device.about.header.page_bytes);
}

/* Pages of another size than a power of two have no block size in the protocol's terms. */
static int envol_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    uint32_t page_bytes = device.about.header.page_bytes;
    bool is_power = (page_bytes & (page_bytes - 1)) == 0;

    (void)handle;
    *minimum = *preferred = *maximum = 0;
    if (!is_power || page_bytes > 65536)
        return 0;
    *preferred = page_bytes;
    *minimum = device.about.header.suite == ENVOL_SUITE_AES_256_GCM ? page_bytes : 512;
    *maximum = UINT32_MAX;
    return 0;
}

static int envol_can_write(void *handle)
{
    return !has_snapshot(handle);
}

/* Each connection to the snapshot has one of its own. */
static int envol_can_multi_conn(void *handle)
{
    return !has_snapshot(handle);
}

static int envol_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

/* --- Requests --- */

static int flush_if(uint32_t flags)
{
    return (flags & NBDKIT_FLAG_FUA) != 0 ? bytes_flush(&device) : 0;
}

static int envol_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    const struct client *client = handle;

    (void)flags;
    return bytes_read(&device, client->volume, buffer, count, offset);
}

static int envol_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset,
                        uint32_t flags)
{
    (void)handle;
    if (bytes_write(&device, buffer, count, offset) != 0)
        return -1;
    return flush_if(flags);
}

/* A zeroed page is sealed like any other, unless the volume is sparse. */
static int envol_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    bool frees = (flags & NBDKIT_FLAG_MAY_TRIM) != 0;

    (void)handle;
    if ((flags & NBDKIT_FLAG_FAST_ZERO) != 0 && !(frees && device.about.header.sparse)) {
        nbdkit_set_error(EOPNOTSUPP);
        return -1;
    }
    if (bytes_zero(&device, count, offset, frees) != 0)
        return -1;
    return flush_if(flags);
}

static int envol_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    if (bytes_trim(&device, count, offset) != 0)
        return -1;
    return flush_if(flags);
}

/* Pages that are asked about at a time: a client that wants one extent waits for their records. */
enum { EXTENT_PAGES = 16384 };

static int envol_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                         struct nbdkit_extents *extents)
{
    const struct client *client = handle;
    uint32_t page_bytes = device.about.header.page_bytes;
    uint64_t next = offset / page_bytes;

    while (next * page_bytes < offset + count) {
        struct envol_error error = ENVOL_ERROR_INIT;
        uint64_t left = (offset + count - 1) / page_bytes - next + 1, pages;
        int unwritten;
        enum envol_status status =
            envol_page_extent(client->volume, next, left < EXTENT_PAGES ? left : EXTENT_PAGES,
                              &pages, &unwritten, &error);
        if (status != ENVOL_OK)
            return device_fail(&device, "block status", status, &error);
        if (nbdkit_add_extent(extents, next * page_bytes, pages * page_bytes,
                              unwritten ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0) != 0)
            return -1;
        next += pages;
        if ((flags & NBDKIT_FLAG_REQ_ONE) != 0)
            break;
    }
    return 0;
}

static int envol_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return bytes_flush(&device);
}

static struct nbdkit_plugin plugin = {
    .name = "envol",
    .longname = "encrypted volume (libenvol)",
    .description = "serves a volume of libenvol as a block device",
    .version = VERSION(ENVOL_VERSION_MAJOR, ENVOL_VERSION_MINOR, ENVOL_VERSION_PATCH),
    .config = envol_config,
    .config_complete = envol_config_complete,
    .config_help = CONFIG_HELP,
    .magic_config_key = "volume",
    .dump_plugin = envol_dump_plugin,
    .get_ready = envol_get_ready,
    .after_fork = envol_after_fork,
    .cleanup = envol_cleanup,
    .list_exports = envol_list_exports,
    .open = envol_open,
    .close = envol_close,
    .get_size = envol_get_size,
    .block_size = envol_block_size,
    .can_write = envol_can_write,
    .can_flush = yes,
    .can_trim = yes,
    .can_zero = yes,
    .can_fast_zero = yes,
    .can_fua = envol_can_fua,
    .can_multi_conn = envol_can_multi_conn,
    .can_extents = yes,
    .pread = envol_pread,
    .pwrite = envol_pwrite,
    .zero = envol_zero,
    .trim = envol_trim,
    .extents = envol_extents,
    .flush = envol_flush,
};

/* The one function that is exported, which nbdkit's header defines without a prototype. */
struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
