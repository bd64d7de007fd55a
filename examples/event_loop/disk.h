/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volume's file, by means of the engine's own.  These calls wait for disks and locks: they run
 * in a thread (loop_offload).  Statuses of all: ENVOL_E_IO; what else is said.
 */
#ifndef EVENT_LOOP_DISK_H
#define EVENT_LOOP_DISK_H

#include <envol.h>

enum envol_status disk_size(const char *path, uint64_t *bytes);

/* Both copies of the header, ENVOL_HEADER_BYTES.  ENVOL_E_BUSY while it is being changed. */
enum envol_status disk_load(const char *path, void *bytes);

/* ENVOL_E_TRUNCATED: the file ends before. */
enum envol_status disk_read(const char *path, uint64_t offset, void *record, size_t bytes);

struct disk_volume {
    const char *path;
    const void *header; /* as envol_header_seal made it */
    const struct envol_keyring *keyring;
    uint64_t data_offset;
    const char *source; /* its bytes become the pages, the last one filled up with zeros */
    uint64_t pages;
};

/* A new file, synced; it is gone again on failure.  Statuses of envol_page_seal. */
enum envol_status disk_create(const struct disk_volume *volume);

/* envol_header_commit, under the locks of envol(5).  ENVOL_E_BUSY: the volume has a writer. */
enum envol_status disk_commit(const char *path, struct envol_header *header,
                              const struct envol_keyring *keyring, struct envol_error *error);

#endif
