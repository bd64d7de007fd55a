/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A header in memory.  Only codec.c crosses between this struct and the bytes of layout.h; the
 * image that was read is kept, so that what a newer library put into spare bytes survives an
 * update.
 */
#ifndef ENVOL_HEADER_HEADER_H
#define ENVOL_HEADER_HEADER_H

#include "base/uuid.h"
#include "header/layout.h"
#include "page/chunked.h"
#include "page/keyring.h"

#include <envol/header.h>

struct envol_retained {
    uint32_t epoch;
    uint8_t wrap[ENVOL_LOCAL_WRAP_BYTES];
};

/* Where a rotation of the DEK stands; kind 0: none goes on.  All zeros but for what layout.h says.
 */
struct envol_rotation_record {
    uint32_t kind; /* ENVOL_ROTATION_SWEEP, ENVOL_ROTATION_PAGES */
    uint32_t from_epoch;
    uint64_t next_page;
    uint64_t bad_pages, first_bad;
    uint64_t hot_first, hot_count;
    uint64_t pages, journal_page;
    uint8_t commitment[ENVOL_CHUNKED_COMMITMENT_BYTES];
};

/* How far a restore has come; kind 0: none is unfinished, and the rest is zeros. */
struct envol_restore_record {
    uint32_t kind;                      /* ENVOL_RESTORE_UNFINISHED */
    uint8_t applying[ENVOL_UUID_BYTES]; /* zeros: none */
    uint8_t applied[ENVOL_UUID_BYTES];  /* zeros: none */
    uint64_t next_page;
};
#define ENVOL_RESTORE_UNFINISHED 1u

/* A snapshot as the header names it. */
struct envol_snapshot_record {
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint64_t generation, pages, created_at_s;
    uint32_t epoch, lowest_epoch;
    uint64_t entries; /* of its file: fewer are a file that was cut */
};

/* The catalog of backups as the header names it; serial 0: there is none, and the rest is zeros. */
struct envol_catalog_record {
    uint64_t serial;
    uint64_t entries; /* of its file: fewer are a file that was cut */
    uint32_t epoch;   /* that they are under */
};

/* What an update is compared with: a generation and its MAC. */
struct envol_header_id {
    uint64_t generation;
    uint8_t mac[ENVOL_HEADER_MAC_BYTES];
};

struct envol_header {
    bool sealed;      /* has a MAC: it was read from bytes, or sealed */
    bool verified;    /* its MAC was checked */
    bool for_restore; /* may be unlocked although a restore is unfinished */
    bool rotated;     /* the DEK is another one than on disk: not committed yet */
    /* What the MAC of image would be under that DEK: who holds it may commit. */
    uint8_t proof[ENVOL_HEADER_MAC_BYTES];
    uint32_t whole_copies;
    bool copies_differ; /* as they were read: the newer one may be in a cache only */
    bool settled;       /* this handle committed what is on disk: both copies are synced */
    struct envol_header_id id;
    struct envol_header_id attempt; /* of an update that may or may not have reached the disk */
    struct envol_header_id seen;    /* of an earlier attempt that was found there */
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_suite suite;
    uint32_t page_bytes, stride_bytes;
    uint64_t data_offset;
    uint32_t epoch, lowest_epoch;
    uint64_t high_water, seal_estimate;
    bool clean;
    uint32_t compatible, read_only_compatible, incompatible;
    uint32_t retained_count;
    struct envol_retained retained[ENVOL_RETAINED_MAX];
    struct envol_rotation_record rotation;
    struct envol_log_seal log_seal;
    struct envol_restore_record restore;
    uint32_t snapshot_count;
    struct envol_snapshot_record snapshots[ENVOL_SNAPSHOTS_MAX];
    struct envol_catalog_record catalog;
    uint32_t slot_count;
    struct envol_slot *slots[ENVOL_SLOTS_MAX]; /* each one allocation, strings included */
    char uuid_text[ENVOL_UUID_TEXT_BYTES];
    char epoch_text[11];
    struct envol_context_pair context[3];
    uint8_t image[ENVOL_HEADER_COPY_BYTES];
};

/* codec.c */
/* Whole: magic and CRC are right. */
bool envol_image_is_whole(const uint8_t *copy);
struct envol_header_id envol_image_id(const uint8_t *copy);
/* Reads a whole copy into a fresh header.  ENVOL_E_VERSION, ENVOL_E_CORRUPT, ENVOL_E_NO_MEMORY. */
enum envol_status envol_image_decode(const uint8_t *copy, struct envol_header *header,
                                     struct envol_error *error);
/* Writes the header as the generation given, MAC and CRC included.  ENVOL_E_RANGE: slots. */
enum envol_status envol_image_encode(const struct envol_header *header, uint64_t generation,
                                     const uint8_t dek[ENVOL_DEK_BYTES], uint8_t *copy);
/* The MAC of a copy under the DEK of an epoch, for the header's UUID and suite. */
void envol_image_mac(const struct envol_header *header, uint32_t epoch,
                     const uint8_t dek[ENVOL_DEK_BYTES], const uint8_t *copy,
                     uint8_t mac[ENVOL_HEADER_MAC_BYTES]);
/* Newest whole copy of two: 0 or 1; -1: none; -2: two of one generation that differ. */
int envol_image_newest(const uint8_t *bytes);

/* slots.c */
/* Exactly these bytes, but for zeros behind the slots. */
enum envol_status envol_slots_decode(const uint8_t *area, size_t bytes, uint32_t count,
                                     struct envol_header *header);
/* Bytes that the slots take; area (may be NULL to count only) is zeroed behind them. */
size_t envol_slots_encode(const struct envol_header *header, uint8_t *area);
/* Copies a slot into one allocation.  ENVOL_E_ARGUMENT (names, bounds), ENVOL_E_NO_MEMORY. */
enum envol_status envol_slot_copy(const struct envol_slot *from, struct envol_slot **copy);
/* The lowest id that no slot has. */
uint32_t envol_slot_unused_id(const struct envol_header *header);
/* Fills a caller's struct, whose struct_size stays. */
void envol_slot_show(const struct envol_slot *from, struct envol_slot *slot);

/* pins.c */
/* All but the MAC.  ENVOL_E_POLICY: another volume's anchor; ENVOL_E_STALE: an older header. */
enum envol_status envol_anchor_check(const struct envol_header *header,
                                     const struct envol_anchor *anchor, struct envol_error *error);
bool envol_pin_allows(const struct envol_pin *pin, const struct envol_slot *slot);

/* geometry.c */
enum envol_status envol_geometry_check(const struct envol_header *header);
/* The double-write area of atomic pages: what a slot of it holds, its size, and how many there are
 * between the header and the pages. */
uint32_t envol_area_records(uint32_t stride_bytes);
uint64_t envol_area_slot_bytes(uint32_t stride_bytes);
uint32_t envol_area_slots(const struct envol_header *header);

/* update.c */
/* Whether the keyring, whose keys are held, has the header's DEK: a MAC under another one would
 * lock everybody out.  ENVOL_E_STATE, ENVOL_E_WRONG_KEY, ENVOL_E_VERSION (it may only be read). */
enum envol_status envol_header_check_keyring(const struct envol_header *header,
                                             const struct envol_keyring *keyring);

/* unlock.c */
/* Whether this is the DEK that the image's MAC, or a rotation of it, is under: ENVOL_E_WRONG_KEY.
 */
enum envol_status envol_header_verify_mac(const struct envol_header *header,
                                          const uint8_t dek[ENVOL_DEK_BYTES]);
/*
 * Keeps an older DEK, wrapped under the current one.  ENVOL_E_RANGE when the table is full,
 * ENVOL_E_ARGUMENT for an epoch that is kept already or not between the lowest and the current one.
 */
enum envol_status envol_header_retain(struct envol_header *header,
                                      const uint8_t dek[ENVOL_DEK_BYTES], uint32_t old_epoch,
                                      const uint8_t old_dek[ENVOL_DEK_BYTES]);

/* The keyring of the header's epochs: the retained ones unwrapped with the DEK. */
enum envol_status envol_header_make_keyring(const struct envol_header *header,
                                            const uint8_t dek[ENVOL_DEK_BYTES], uint32_t flags,
                                            struct envol_keyring **keyring);

/* rotation.c */
/* Whether a record fits the header.  ENVOL_E_VERSION: a kind that is not known; ENVOL_E_CORRUPT. */
enum envol_status envol_rotation_check(const struct envol_header *header,
                                       const struct envol_rotation_record *record);

/* rotate.c */
/* Replaces the record of an unfinished rotation, to be committed.  ENVOL_E_STATE (there is none),
 * ENVOL_E_RANGE (the new one is not sound). */
enum envol_status envol_header_set_rotation(struct envol_header *header,
                                            const struct envol_rotation_record *record);

/* log_seal.c */
void envol_log_seal_decode(const uint8_t *record, struct envol_log_seal *seal);
void envol_log_seal_encode(const struct envol_log_seal *seal, uint8_t *record);
/* Whether a seal fits the header.  ENVOL_E_VERSION: a kind that is not known; ENVOL_E_CORRUPT. */
enum envol_status envol_log_seal_check(const struct envol_header *header,
                                       const struct envol_log_seal *seal);
/* Whether segments of the log may be of the epoch. */
bool envol_log_seal_needs(const struct envol_header *header, uint32_t epoch);

/* restore.c */
/* Whether the record of the image is one.  ENVOL_E_VERSION: a kind that is not known;
 * ENVOL_E_CORRUPT; ENVOL_E_STATE: a restore is unfinished, and the header is not for_restore. */
enum envol_status envol_restore_check(const struct envol_header *header);
void envol_restore_decode(const uint8_t *record, struct envol_restore_record *restore);
void envol_restore_encode(const struct envol_restore_record *restore, uint8_t *record);
/* Replaces the record, to be committed. */
void envol_header_set_restore(struct envol_header *header,
                              const struct envol_restore_record *record);

/* snapshots.c */
void envol_snapshots_decode(const uint8_t *table, struct envol_header *header);
void envol_snapshots_encode(const struct envol_header *header, uint8_t *table);
/* Whether the table fits the header, whose MAC was checked.  ENVOL_E_CORRUPT. */
enum envol_status envol_snapshots_check(const struct envol_header *header);
/* NULL: there is none. */
const struct envol_snapshot_record *envol_snapshots_find(const struct envol_header *header,
                                                         const uint8_t uuid[ENVOL_UUID_BYTES]);
/* Edits, to be committed.  ENVOL_E_RANGE: the table is full. */
enum envol_status envol_snapshots_add(struct envol_header *header,
                                      const struct envol_snapshot_record *record);
void envol_snapshots_remove(struct envol_header *header, const uint8_t uuid[ENVOL_UUID_BYTES]);
/* How many snapshots may have records of the epoch. */
uint32_t envol_snapshots_need(const struct envol_header *header, uint32_t epoch);

/* catalog.c */
void envol_catalog_record_decode(const uint8_t *record, struct envol_catalog_record *catalog);
void envol_catalog_record_encode(const struct envol_header *header, uint8_t *record);
/* Whether the record of the image, whose MAC was checked, fits the header.  ENVOL_E_CORRUPT. */
enum envol_status envol_catalog_record_check(const struct envol_header *header);
/* Replaces the record, to be committed. */
void envol_header_set_catalog(struct envol_header *header,
                              const struct envol_catalog_record *record);
/* Whether the catalog is of the epoch. */
bool envol_catalog_needs(const struct envol_header *header, uint32_t epoch);

/* create.c */
/* UUID and epoch as text, and the pairs that point at them. */
void envol_header_refresh_context(struct envol_header *header);

#endif
