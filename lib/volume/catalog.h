/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The catalog of the backups that a volume knows of (envol(5), CATALOG OF BACKUPS).
 *
 * Its file, "backups-" and the serial in 16 hexadecimal digits, is a chain whose id is the first 8
 * bytes of the volume's UUID and the serial.  All entries are under one epoch, which the header
 * names with the serial: the DEK of that epoch is kept.  Once the DEK was rotated, or when more
 * entries are void than count, what counts is written into a new file; the header goes over to
 * that, and the old one is removed.  An entry's payload, all of it taken in by the MAC:
 *
 *   kind 1, a backup
 *        0     16  UUID
 *       16     16  UUID of the backup that it follows; zeros: it is full
 *       32      4  form: 1 a stream, 2 a raw copy
 *       36      4  1 if it was finished, else 0
 *       40      8  Unix time, seconds
 *       48      8  generation of the volume's header then
 *       56      8  pages of the volume then
 *       64      8  pages in the backup; 0: not known
 *       72      8  bytes of the backup; 0: not known
 *       80      4  epoch that was the current one then
 *       84      4  lowest epoch that its records may be of; 0: a stream has none
 *       88     64  label, then zeros
 *      152      4  number of CMKs, 1 to 8; each of them opens it
 *      156      4  0
 *      160         CMKs
 *
 *   a CMK, at a multiple of 8
 *        0      2  length of the provider name, 1 to 32
 *        2      2  length of the key reference, 1 to 2048
 *        4      2  length of the key version, 0 to 128
 *        6      2  0
 *        8         provider name, key reference, key version, each with a zero behind it; zeros
 *
 *   kind 2, a backup was finished
 *        0     16  UUID
 *       16      8  pages in the backup
 *       24      8  bytes of the backup
 *
 *   kind 3, a backup was forgotten
 *        0     16  UUID
 */
#ifndef ENVOL_VOLUME_CATALOG_H
#define ENVOL_VOLUME_CATALOG_H

#include "header/header.h"
#include "volume/chain.h"
#include "volume/volume.h"

#include <envol/backup.h>

#define ENVOL_CATALOG_BACKUP    1u
#define ENVOL_CATALOG_FINISHED  2u
#define ENVOL_CATALOG_FORGOTTEN 3u

#define ENVOL_CATALOG_FINISHED_BYTES 32u
#define ENVOL_CATALOG_NAME_BYTES     25

/* A backup; the entry's strings lie in the payload. */
struct envol_catalog_item {
    struct envol_backup_entry entry;
    uint32_t payload_bytes;
    uint8_t payload[];
};

struct envol_catalog {
    struct envol_chain chain; /* its store is NULL: the volume has no catalog */
    uint8_t *covered;
    size_t count, room;
    struct envol_catalog_item **items; /* those that count, oldest first */
};

/* catalog_entry.c: payloads, and what they make of a catalog */
/* A backup's item; its strings are copied.  NULL: no memory. */
struct envol_catalog_item *envol_catalog_item_new(const struct envol_backup_entry *entry);
/* Changes a catalog as an entry says.  ENVOL_E_CORRUPT, ENVOL_E_VERSION, ENVOL_E_NO_MEMORY. */
enum envol_status envol_catalog_apply(struct envol_catalog *catalog, uint32_t kind,
                                      const uint8_t *payload, uint64_t bytes);
/* count if there is none. */
size_t envol_catalog_find(const struct envol_catalog *catalog,
                          const uint8_t uuid[ENVOL_UUID_BYTES]);
/* How many of the backups a CMK opens. */
uint32_t envol_catalog_count_cmk(const struct envol_catalog *catalog, const char *provider,
                                 const char *key_ref);
/* How many raw copies may have records of the epoch. */
uint32_t envol_catalog_count_epoch(const struct envol_catalog *catalog, uint32_t epoch);

/* catalog_file.c */
/* The name of the file of a serial. */
void envol_catalog_name(uint64_t serial, char name[ENVOL_CATALOG_NAME_BYTES]);
/* The chain of a serial's file, of which nothing was read. */
enum envol_status envol_catalog_begin(const struct envol_volume *volume, uint64_t serial,
                                      struct envol_store *store, struct envol_catalog *catalog,
                                      struct envol_error *error);
/*
 * Reads it, to be changed or not; access is held.  Free it whatever is returned.  ENVOL_E_STATE (it
 * is in no space, or not in the one that the volume was opened with), ENVOL_E_CORRUPT,
 * ENVOL_E_VERSION, ENVOL_E_NO_MEMORY, those of the space and its stores.
 */
enum envol_status envol_catalog_read(const struct envol_volume *volume, bool writes,
                                     struct envol_catalog *catalog, struct envol_error *error);
void envol_catalog_free(struct envol_catalog *catalog);
/* Removes what a crash left of files that the header does not name; a failure is for another time.
 */
void envol_catalog_remove_orphans(const struct envol_volume *volume);

/* catalog.c: a writer's, with access alone, which these take, or hold where it says so */
/* The CMKs of a header's slots, whose strings are borrowed. */
void envol_catalog_take_cmks(const struct envol_header *header, struct envol_backup_entry *entry);
/*
 * Fills in what the volume is now, of a raw copy its pages and CMKs too, and adds the entry.
 * ENVOL_E_STATE (no space), ENVOL_E_RANGE (too many).
 */
enum envol_status envol_catalog_add(struct envol_volume *volume, struct envol_backup_entry *entry,
                                    struct envol_error *error);
/* ENVOL_E_RANGE: there is no such backup. */
enum envol_status envol_catalog_finish(struct envol_volume *volume,
                                       const uint8_t uuid[ENVOL_UUID_BYTES], uint64_t pages,
                                       uint64_t bytes, struct envol_error *error);
/* NULL: all of them, and the file, which need not be sound. */
enum envol_status envol_catalog_forget(struct envol_volume *volume,
                                       const uint8_t uuid[ENVOL_UUID_BYTES],
                                       struct envol_error *error);
/* Writes it under the current DEK, if it is not: holds access alone.  Without a space it stays. */
enum envol_status envol_catalog_move(struct envol_volume *volume, struct envol_error *error);

#endif
