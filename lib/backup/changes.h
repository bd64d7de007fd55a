/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists of what the pages of a volume were when a backup of it was made; envol(5) shows the same
 * table.  A head in the clear, then a nonce of 24 bytes for each page, sealed as a whole under a
 * key of the volume's DEK.
 *
 *   OFFSET   SIZE  FIELD
 *        0      8  magic "ENVOLCHG"
 *        8      4  version = 1
 *       12      4  epoch of the DEK
 *       16     16  UUID of the backup
 *       32     16  UUID of the volume
 *       48      8  number of pages
 *       56      8  0
 *
 * Zeros stand for a record of zeros, 0xff for a page that is to be taken as changed.
 */
#ifndef ENVOL_BACKUP_CHANGES_H
#define ENVOL_BACKUP_CHANGES_H

#include "backup/message.h"
#include "volume/volume.h"

#define ENVOL_CHANGES_MAGIC      "ENVOLCHG"
#define ENVOL_CHANGES_VERSION    1u
#define ENVOL_CHANGES_HEAD_BYTES 64u

#define ENVOL_CHANGES_AT_VERSION 8u
#define ENVOL_CHANGES_AT_EPOCH   12u
#define ENVOL_CHANGES_AT_BACKUP  16u
#define ENVOL_CHANGES_AT_VOLUME  32u
#define ENVOL_CHANGES_AT_PAGES   48u
#define ENVOL_CHANGES_AT_SPARE   56u

/* A list that is read or written; all zeros: there is none. */
struct envol_changes {
    bool is_open;
    struct envol_message message;
    uint64_t pages, next;
    uint8_t head[ENVOL_CHANGES_HEAD_BYTES];
};

/*
 * Opens the list of an earlier backup.  *rotated: it is of an older DEK, and says nothing.
 * ENVOL_E_FORMAT, ENVOL_E_VERSION, ENVOL_E_STATE (another volume's), ENVOL_E_STALE (a newer DEK
 * than this reader knows), ENVOL_E_CORRUPT, ENVOL_E_TRUNCATED.  Close it whatever is returned.
 */
enum envol_status envol_changes_read(struct envol_changes *changes, struct envol_volume *volume,
                                     bool *rotated);
const uint8_t *envol_changes_backup(const struct envol_changes *changes);
/* Of the next n pages; those that the list does not have are taken as changed. */
enum envol_status envol_changes_get(struct envol_changes *changes, uint8_t *nonces, size_t n);

/* Behind the last page: what is left of the list, and whether that was all of it.
 * ENVOL_E_TRUNCATED, ENVOL_E_CORRUPT. */
enum envol_status envol_changes_finish(struct envol_changes *changes);

/* Begins the list of a backup. */
enum envol_status envol_changes_write(struct envol_changes *changes, struct envol_volume *volume,
                                      const uint8_t backup[ENVOL_UUID_BYTES], uint64_t pages);
enum envol_status envol_changes_put(struct envol_changes *changes, const uint8_t *nonces, size_t n);
/* Writes the end of it. */
enum envol_status envol_changes_end(struct envol_changes *changes);

void envol_changes_close(struct envol_changes *changes);

#endif
