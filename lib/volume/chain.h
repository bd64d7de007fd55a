/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A chain: a file of a volume's space that entries are appended to, each under a MAC that takes in
 * the one before.  Snapshots and the catalog of backups are such files (envol(5), CHAINS).
 *
 * An entry, at a multiple of 16; numbers are little-endian:
 *
 *   OFFSET   SIZE  FIELD
 *        0      8  magic "ENVOLCHN"
 *        8     16  id of the file
 *       24      4  kind, from 1
 *       28      4  epoch whose DEK the MAC is under
 *       32      8  bytes of payload, at most 2^40
 *       40      8  sequence, from 1
 *       48      4  CRC-32C of the payload
 *       52      4  bytes of the payload's beginning that the MAC takes in, at most 32 KiB
 *       56      8  0
 *       64     32  MAC
 *       96         payload, then zeros to a multiple of 16
 *
 * MAC = HMAC-SHA-512, first 32 bytes, over the 64 bytes before it, the MAC of the entry before
 * (zeros for the first) and the beginning of the payload, under the key `snapshot` of the file's id
 * and the epoch.  What lies behind that beginning has but a CRC, which tells a torn entry.
 *
 * Whoever appends writes one entry, syncs, and only then writes the next one, but to a new file
 * that nobody knows of: of a file that a crash left, the last entry alone can be torn.  A chain has
 * one writer; readers may follow it from other processes.
 */
#ifndef ENVOL_VOLUME_CHAIN_H
#define ENVOL_VOLUME_CHAIN_H

#include "page/keyring.h"
#include "store/store.h"

#define ENVOL_CHAIN_HEAD_BYTES  96u
#define ENVOL_CHAIN_ALIGN       16u
#define ENVOL_CHAIN_MAC_BYTES   32u
#define ENVOL_CHAIN_PAYLOAD_MAX (UINT64_C(1) << 40)
#define ENVOL_CHAIN_COVERED_MAX 32768u

struct envol_chain {
    struct envol_store *store;           /* borrowed */
    const struct envol_keyring *keyring; /* borrowed */
    uint8_t id[ENVOL_UUID_BYTES];
    uint8_t *covered;     /* borrowed: what the MAC takes in of the payload that was read last */
    size_t covered_bytes; /* its room */
    uint64_t entries;     /* whole ones that were read or appended */
    uint64_t last;        /* where the last of them begins */
    uint64_t end;         /* where the next one goes */
    uint8_t mac[ENVOL_CHAIN_MAC_BYTES]; /* of the last one */
    uint64_t searched; /* a store of so many bytes has no entry behind its torn end */
    bool cut_due;      /* behind the end may lie, on the disk, what an append that failed left */
    bool failed;       /* a sync failed: nobody knows what is on the disk */
};

struct envol_chain_entry {
    uint32_t kind, epoch;
    uint64_t sequence;
    uint64_t at; /* of the payload, in the store */
    uint64_t bytes;
    uint32_t covered; /* of them are in the chain's buffer, and authentic */
};

/* Bytes that an entry takes. */
uint64_t envol_chain_bytes(uint64_t payload_bytes);

/*
 * A chain that nothing was read of.  covered is room for what the MAC takes in of each payload.
 * ENVOL_E_UNSUPPORTED: the store is aligned to more than 16.
 */
enum envol_status envol_chain_begin(struct envol_chain *chain, struct envol_store *store,
                                    const struct envol_keyring *keyring,
                                    const uint8_t id[ENVOL_UUID_BYTES], void *covered,
                                    size_t covered_bytes, struct envol_error *error);
/*
 * Reads the next entry's head; of an entry that nothing follows the payload too, for its CRC.
 * ENVOL_E_RANGE: there is none, or one that is not all there (yet).  ENVOL_E_CORRUPT: whole ones
 * follow something that is none, or more is covered than there is room for.  Else those of the
 * store, and of envol_keyring_hold.
 */
enum envol_status envol_chain_next(struct envol_chain *chain, struct envol_chain_entry *entry,
                                   struct envol_error *error);
/*
 * A writer's, when all entries were read: cuts off what is torn, and writes the last entry again as
 * it is, which after a failed sync may be read and yet not be on the disk.  Syncs.
 */
enum envol_status envol_chain_settle(struct envol_chain *chain, struct envol_error *error);
/*
 * Appends an entry without a sync, to a file that nobody knows of yet: as envol_chain_append, but
 * that after a failure nothing can be appended any more.  envol_chain_settle then syncs all.
 */
enum envol_status envol_chain_add(struct envol_chain *chain, uint32_t kind, uint32_t epoch,
                                  uint8_t *bytes, uint64_t payload_bytes, uint32_t covered,
                                  struct envol_error *error);
/*
 * Appends an entry and syncs.  bytes: ENVOL_CHAIN_HEAD_BYTES of room, the payload, and room up to
 * envol_chain_bytes; covered: how much of the payload the MAC takes in.  After a failure the chain
 * is as it was; after one of the sync nothing can be appended any more (ENVOL_E_IO).
 */
enum envol_status envol_chain_append(struct envol_chain *chain, uint32_t kind, uint32_t epoch,
                                     uint8_t *bytes, uint64_t payload_bytes, uint32_t covered,
                                     struct envol_error *error);

#endif
