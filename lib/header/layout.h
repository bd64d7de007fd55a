/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A header copy, byte by byte; envol(5) shows the same table.  Numbers are little-endian.  What is
 * said to be zero is, unless the bit of a feature that uses it is set.
 *
 *   OFFSET   SIZE  FIELD
 *        0      8  magic "ENVOLVOL"
 *        8      4  format version = 1
 *       12      4  CRC-32C of the copy, this field taken as zero
 *       16      8  generation, from 1
 *       24     16  volume UUID
 *       40      2  suite
 *       42      2  0
 *       44      4  page_bytes
 *       48      4  stride_bytes
 *       52      4  current epoch, from 1
 *       56      4  lowest live epoch
 *       60      4  clean: 1 if high_water is exact, else 0
 *       64      8  data offset
 *       72      8  high_water
 *       80      8  seal estimate
 *       88      4  compatible features
 *       92      4  read-only-compatible features
 *       96      4  incompatible features
 *      100      4  number of slots, 1 to 8
 *      104      4  number of retained epochs, 0 to 4
 *      108      4  0
 *      112    128  rotation record; zeros while no rotation runs
 *      240    128  log seal; zeros while there is none
 *      368    576  retained epochs, 4 x 144: epoch u32, 0 u32, wrapped DEK 136
 *      944     80  zeros
 *     1024    512  snapshot table, 8 x 64, packed; zeros while there is no snapshot
 *     1536     64  restore record; zeros once a restore is finished
 *     1600     32  catalog record; zeros while there is no catalog of backups
 *     1632   2464  zeros
 *     4096  28640  slots, packed, then zeros
 *    32736     32  MAC
 *
 * A slot:
 *
 *        0      4  length of the entry, padding included: a multiple of 8
 *        4      4  slot id, from 1
 *        8      8  Unix time of the wrapping, seconds
 *       16      2  length of the provider name, 1 to 32
 *       18      2  length of the key reference, 1 to 2048
 *       20      2  length of the key version, 0 to 128
 *       22      2  length of the wrapped DEK, 1 to 6144
 *       24         provider name, key reference, key version, wrapped DEK, zeros
 *
 * The rotation record.  Fields that a kind does not use are zero: 32 to 95 of a sweep.
 *
 *        0      4  kind: 0 none, 1 a sweep, 2 the volume's own pages under AES-256-XTS
 *        4      4  epoch that is being left, a retained one
 *        8      8  next page: those before it are of the current epoch
 *       16      8  bad pages, which were not sealed anew
 *       24      8  first bad page, if there is any
 *       32      8  hot range: first page, which is the next one; 0 if there is none
 *       40      8  hot range: how many pages
 *       48      8  pages that there are
 *       56      8  page whose place the journal begins at, behind the last one
 *       64     32  commitment of the journal of the hot range
 *       96     32  zeros
 *
 * The log seal.  48 to 87 are zero while the log is open: its end is where its files end.
 *
 *        0      4  kind: 0 none, 1 the log is open, or was not closed, 2 sealed
 *        4      4  lowest epoch that its segments need
 *        8     16  log id
 *       24      8  oldest segment, from 1
 *       32      8  newest segment
 *       40      8  last run; of an open log, one that has begun
 *       48      8  next LSN
 *       56      8  offset of the end in the newest segment
 *       64      4  records of the last run
 *       68      4  0
 *       72     16  last tag
 *       88      8  first LSN that is kept
 *       96     32  zeros
 *
 * The restore record.
 *
 *        0      4  kind: 0 none, 1 a restore is unfinished
 *        4      4  0
 *        8     16  UUID of the backup that is being applied; zeros: none is
 *       24     16  UUID of the last backup that was applied whole; zeros: none was
 *       40      8  next page of the backup that is being applied: those before it are there
 *       48     16  zeros
 *
 * An entry of the snapshot table.  With the first of them the read-only-compatible feature 1 is
 * set, with the last it goes.
 *
 *        0     16  UUID of the snapshot
 *       16      8  generation of the header that has it first
 *       24      8  pages of its image
 *       32      8  Unix time of its creation, seconds
 *       40      4  epoch that was the current one then
 *       44      4  lowest epoch that its records may be of
 *       48      8  entries that its file has at least, from 1
 *       56      8  zeros
 *
 * The catalog record.  While it is not zeros the read-only-compatible feature 2 is set.
 *
 *        0      8  serial, from 1, which the file's name has
 *        8      8  entries that the file has at least, from 1
 *       16      4  epoch that they are under
 *       20     12  zeros
 */
#ifndef ENVOL_HEADER_LAYOUT_H
#define ENVOL_HEADER_LAYOUT_H

#define ENVOL_AT_MAGIC                0u
#define ENVOL_AT_VERSION              8u
#define ENVOL_AT_CRC                  12u
#define ENVOL_AT_GENERATION           16u
#define ENVOL_AT_UUID                 24u
#define ENVOL_AT_SUITE                40u
#define ENVOL_AT_PAGE_BYTES           44u
#define ENVOL_AT_STRIDE_BYTES         48u
#define ENVOL_AT_EPOCH                52u
#define ENVOL_AT_LOWEST_EPOCH         56u
#define ENVOL_AT_CLEAN                60u
#define ENVOL_AT_DATA_OFFSET          64u
#define ENVOL_AT_HIGH_WATER           72u
#define ENVOL_AT_SEAL_ESTIMATE        80u
#define ENVOL_AT_COMPATIBLE           88u
#define ENVOL_AT_READ_ONLY_COMPATIBLE 92u
#define ENVOL_AT_INCOMPATIBLE         96u
#define ENVOL_AT_SLOTS                100u
#define ENVOL_AT_RETAINED_COUNT       104u
#define ENVOL_AT_ROTATION             112u
#define ENVOL_AT_LOG_SEAL             240u
#define ENVOL_AT_RETAINED             368u
#define ENVOL_AT_RESTORE              1536u
#define ENVOL_AT_SNAPSHOTS            1024u
#define ENVOL_AT_CATALOG              1600u
#define ENVOL_AT_SLOT_AREA            4096u
#define ENVOL_AT_MAC                  32736u
/* Zeros, for features to come. */
#define ENVOL_AT_SPARE_16 42u
#define ENVOL_AT_SPARE_32 108u
#define ENVOL_AT_SPARE    944u
#define ENVOL_AT_SPARE_2  (ENVOL_AT_CATALOG + ENVOL_CATALOG_BYTES)

#define ENVOL_ROTATION_AT_KIND       0u
#define ENVOL_ROTATION_AT_FROM       4u
#define ENVOL_ROTATION_AT_NEXT       8u
#define ENVOL_ROTATION_AT_BAD        16u
#define ENVOL_ROTATION_AT_FIRST_BAD  24u
#define ENVOL_ROTATION_AT_HOT_FIRST  32u
#define ENVOL_ROTATION_AT_HOT_COUNT  40u
#define ENVOL_ROTATION_AT_PAGES      48u
#define ENVOL_ROTATION_AT_JOURNAL    56u
#define ENVOL_ROTATION_AT_COMMITMENT 64u
#define ENVOL_ROTATION_AT_SPARE      96u
#define ENVOL_ROTATION_BYTES         128u

#define ENVOL_LOG_SEAL_AT_KIND         0u
#define ENVOL_LOG_SEAL_AT_LOWEST_EPOCH 4u
#define ENVOL_LOG_SEAL_AT_ID           8u
#define ENVOL_LOG_SEAL_AT_OLDEST       24u
#define ENVOL_LOG_SEAL_AT_NEWEST       32u
#define ENVOL_LOG_SEAL_AT_RUN          40u
#define ENVOL_LOG_SEAL_AT_NEXT_LSN     48u
#define ENVOL_LOG_SEAL_AT_END          56u
#define ENVOL_LOG_SEAL_AT_RECORDS      64u
#define ENVOL_LOG_SEAL_AT_SPARE_32     68u
#define ENVOL_LOG_SEAL_AT_TAG          72u
#define ENVOL_LOG_SEAL_AT_FIRST_LSN    88u
#define ENVOL_LOG_SEAL_AT_SPARE        96u
#define ENVOL_LOG_SEAL_BYTES           128u

#define ENVOL_RESTORE_AT_KIND     0u
#define ENVOL_RESTORE_AT_SPARE_32 4u
#define ENVOL_RESTORE_AT_APPLYING 8u
#define ENVOL_RESTORE_AT_APPLIED  24u
#define ENVOL_RESTORE_AT_NEXT     40u
#define ENVOL_RESTORE_AT_SPARE    48u
#define ENVOL_RESTORE_BYTES       64u

#define ENVOL_SNAPSHOT_AT_GENERATION   16u
#define ENVOL_SNAPSHOT_AT_PAGES        24u
#define ENVOL_SNAPSHOT_AT_CREATED      32u
#define ENVOL_SNAPSHOT_AT_EPOCH        40u
#define ENVOL_SNAPSHOT_AT_LOWEST_EPOCH 44u
#define ENVOL_SNAPSHOT_AT_ENTRIES      48u
#define ENVOL_SNAPSHOT_AT_SPARE        56u
#define ENVOL_SNAPSHOT_BYTES           64u

#define ENVOL_CATALOG_AT_ENTRIES 8u
#define ENVOL_CATALOG_AT_EPOCH   16u
#define ENVOL_CATALOG_AT_SPARE   20u
#define ENVOL_CATALOG_BYTES      32u

#define ENVOL_HEADER_MAGIC     "ENVOLVOL"
#define ENVOL_HEADER_VERSION   1u
#define ENVOL_HEADER_MAC_BYTES 32u
#define ENVOL_RETAINED_BYTES   144u
#define ENVOL_SLOT_AREA_BYTES  (ENVOL_AT_MAC - ENVOL_AT_SLOT_AREA)
#define ENVOL_SLOT_HEAD_BYTES  24u

/* The double-write area (envol(5), ATOMIC PAGES): a slot is a head and at least one record, up to
 * as many as fit these bytes, at most so many. */
#define ENVOL_AREA_HEAD_BYTES 4096u
#define ENVOL_AREA_RUN_BYTES  262144u
#define ENVOL_AREA_RUN_MAX    64u

/* Incompatible features: whoever lacks one may not open the volume. */
#define ENVOL_FEATURE_SPARSE       1u
#define ENVOL_FEATURE_ATOMIC_PAGES 2u
#define ENVOL_FEATURE_RESTORING    4u
#define ENVOL_FEATURES_INCOMPATIBLE                                                                \
    (ENVOL_FEATURE_SPARSE | ENVOL_FEATURE_ATOMIC_PAGES | ENVOL_FEATURE_RESTORING)
/* Read-only-compatible features: whoever lacks one may read, not write. */
#define ENVOL_FEATURE_SNAPSHOTS             1u
#define ENVOL_FEATURE_CATALOG               2u
#define ENVOL_FEATURES_READ_ONLY_COMPATIBLE (ENVOL_FEATURE_SNAPSHOTS | ENVOL_FEATURE_CATALOG)

#endif
