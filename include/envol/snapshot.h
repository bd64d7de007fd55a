/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots: the pages of a volume as they were at one moment, readable while writers go on.
 * envol_snapshot(3).
 *
 * What a snapshot needs is kept in a file of the volume's space (envol_space(3)): before records
 * are overwritten for the first time since, they are copied there as they are, in chunks of 256
 * KiB.  So a snapshot is made in moments, and takes as much room as was changed since.
 */
#ifndef ENVOL_SNAPSHOT_H
#define ENVOL_SNAPSHOT_H

#include <envol/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a label, its final NUL included. */
#define ENVOL_SNAPSHOT_LABEL_BYTES 64

struct envol_snapshot_options {
    size_t struct_size;
    const char *label; /* for people; at most 63 bytes; NULL: none */
};

/*
 * Makes a snapshot of all that was written before: pages are synced, and nobody is at them
 * meanwhile.  The volume is a writer's, opened with options.space.  uuid (16 bytes) becomes its
 * name, zeros on failure.  options and error may be NULL.  From here on a page write fails as the
 * space does, if records have to be kept first and cannot be.
 * ENVOL_E_STATE (no space; ENVOL_OPEN_INHERIT; XTS and an unfinished rotation), ENVOL_E_RANGE
 * (ENVOL_SNAPSHOTS_MAX there are), ENVOL_E_UNSUPPORTED (stores of the space are aligned to more
 * than 16 bytes), ENVOL_E_BUSY (the header's lock was held for 10 s), ENVOL_E_STALE (somebody else
 * changed the header), ENVOL_E_CORRUPT (it does not read back), ENVOL_E_ARGUMENT,
 * ENVOL_E_READ_ONLY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED, ENVOL_E_RANDOM, ENVOL_E_NO_MEMORY,
 * ENVOL_E_LOCKED_MEMORY, ENVOL_E_IO, those of the space.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_snapshot_create(struct envol_volume *volume, const struct envol_snapshot_options *options,
                      uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error);

/*
 * Gives a snapshot up: the header forgets it, then its file is removed.  Should only that fail, the
 * snapshot is gone, and the next writer's open removes the file.
 * ENVOL_E_RANGE (there is no such snapshot), ENVOL_E_BUSY (an image of it is open, here or in
 * another process; the header's lock was held for 10 s), ENVOL_E_STATE (no space), ENVOL_E_STALE,
 * ENVOL_E_CORRUPT (as above), ENVOL_E_ARGUMENT, ENVOL_E_READ_ONLY, ENVOL_E_FORKED,
 * ENVOL_E_KEY_REVOKED, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_IO, those of the space.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_snapshot_delete(struct envol_volume *volume, const uint8_t uuid[ENVOL_UUID_BYTES],
                      struct envol_error *error);

struct envol_snapshot_info {
    size_t struct_size;
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint64_t generation; /* of the header that named it first */
    uint64_t pages;
    uint64_t created_at_s;        /* Unix time, seconds */
    uint32_t epoch, lowest_epoch; /* of DEKs that its records may be under */
    /* The rest is in its file, which only a writer with the space has open; else "" and 0. */
    char label[ENVOL_SNAPSHOT_LABEL_BYTES];
    uint64_t kept_pages; /* whose records are in the file */
    uint64_t file_bytes;
};

/*
 * Lists the snapshots, oldest first; of any handle.  infos is an array of capacity structs; the
 * struct_size of the first is the size of each.  *count is how many there are, 0 on failure.  On
 * failure the structs hold zeros but for struct_size.
 * ENVOL_E_RANGE (more than capacity: *count says how many; ENVOL_SNAPSHOTS_MAX is enough),
 * ENVOL_E_ARGUMENT, ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_snapshot_list(struct envol_volume *volume,
                                                                struct envol_snapshot_info *infos,
                                                                size_t capacity, size_t *count,
                                                                struct envol_error *error);

/*
 * Opens the image of a snapshot in the process whose writer handle volume is: a read-only volume of
 * its own, to be closed before volume is, which shares volume's store and keys: no provider is
 * called, and a lease of volume's takes its keys too (it can have none of its own).  In other
 * processes envol_volume_open does it, with options.space and options.snapshot.  An image answers
 * ENVOL_E_FORKED in a forked child.  *image is NULL on failure.
 * ENVOL_E_RANGE (there is no such snapshot), ENVOL_E_STATE (no space, or a reader's handle),
 * ENVOL_E_ARGUMENT, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_snapshot_open(struct envol_volume *volume, const uint8_t uuid[ENVOL_UUID_BYTES],
                    struct envol_volume **image, struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
