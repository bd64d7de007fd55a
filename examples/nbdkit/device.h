/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block device that nbdkit serves: a volume, its pages as bytes.
 *
 *     config.c   the command line
 *     device.c   the volume's life: created, opened, its lease, unlocked again, closed
 *     bytes.c    reads and writes of any bytes, in whole pages and parts of them
 *     ranges.c   what keeps two requests on one page apart
 *     plugin.c   nbdkit's callbacks
 *
 * Functions that return int return 0, or -1 after nbdkit_error and nbdkit_set_error.
 */
#ifndef DEVICE_H
#define DEVICE_H

#define NBDKIT_API_VERSION 2

#include "common/cmk.h"
#include "ranges.h"

#include <nbdkit-plugin.h>
#include <stdatomic.h>

enum { DEVICE_PAGE_BYTES = 4096 };

/* Snapshots of this label are of clients, and go with them. */
#define DEVICE_SNAPSHOT_LABEL "nbdkit"

/* The command line.  Strings live as long as nbdkit does. */
struct device_config {
    const char *volume;
    const char *cmks[ENVOL_SLOTS_MAX];
    size_t cmk_count;
    const char *space;   /* directory of the volume's snapshots, or NULL */
    bool create;         /* a new file */
    int64_t size;        /* bytes that the device has at least; -1: what is there */
    bool xts;            /* the rest is for create */
    uint32_t page_bytes; /* 0: DEVICE_PAGE_BYTES */
    bool sparse;
    bool tears;        /* GCM without atomic_pages */
    uint32_t lease_ms; /* between checks; 0: the library's default */
    uint32_t grace_ms;
    bool no_lease, no_grace;
};

#define DEVICE_CONFIG_INIT                                                                         \
    {                                                                                              \
        .size = -1                                                                                 \
    }

#define CONFIG_HELP                                                                                \
    "volume=PATH  (required) The volume.\n"                                                        \
    "cmk=URI      (required) A CMK of its slots, as of envol(1); more than one may be given.\n"    \
    "create=true  Make the volume, of size=SIZE, suite=aes-256-gcm or aes-256-xts,\n"              \
    "             page=BYTES (4096), sparse=true, atomic=false.\n"                                 \
    "size=SIZE    Make the device that large; never smaller than it is.\n"                         \
    "space=DIR    Where snapshots are kept; offers the export \"snapshot\".\n"                     \
    "lease=SECS   Ask for the key so often (300); 0: never.\n"                                     \
    "grace=SECS   Go on for so long after it was refused (7200)."

/* config.c: one parameter; and, when there are no more, whether they are enough. */
int config_take(struct device_config *config, const char *key, const char *value);
int config_check(struct device_config *config);

struct device {
    const struct device_config *config;
    struct cmk_source sources[ENVOL_SLOTS_MAX];
    struct envol_cmk cmks[ENVOL_SLOTS_MAX];
    struct envol_store *store;
    struct envol_space *space;
    struct envol_volume *volume;
    struct envol_lease *lease;
    struct envol_volume_info about; /* as it was opened */
    struct ranges ranges;
    pthread_mutex_t opening;
    atomic_bool told_dark; /* that the keys are gone, once and not for every request */
};

#define DEVICE_INIT                                                                                \
    {                                                                                              \
        .ranges = RANGES_INIT, .opening = PTHREAD_MUTEX_INITIALIZER                                \
    }

/* Makes the volume, and closes it again; no file is left of it on failure. */
int device_create(const struct device_config *config);
/* Whether there is a volume, without any key. */
int device_inspect(const struct device_config *config);
/* Opens the volume with one call of a key service and starts the lease, if it is not open; brings
 * the keys back, with one call too, if the lease took them.  Else it does nothing.  Any thread. */
int device_ready(struct device *device);
int device_close(struct device *device);

/* Bytes of a volume of the device: its own, or a snapshot's image.  All within its pages. */
int bytes_read(struct device *device, struct envol_volume *volume, void *buffer, uint32_t count,
               uint64_t offset);
int bytes_write(struct device *device, const void *buffer, uint32_t count, uint64_t offset);
/* Makes them zeros; frees is whether pages may give up their space. */
int bytes_zero(struct device *device, uint32_t count, uint64_t offset, bool frees);
/* The same for the whole pages in it; the rest stays as it is. */
int bytes_trim(struct device *device, uint32_t count, uint64_t offset);
int bytes_flush(struct device *device);

/* Says that `what` failed, and sets the errno that the client is told.  -1.  error may be NULL. */
int device_fail(struct device *device, const char *what, enum envol_status status,
                const struct envol_error *error);

#endif
