/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealing and unsealing for engines that do their own I/O: keyrings, objects, lanes, pages, blobs.
 * envol_keyring(3), envol_page_seal(3), envol_blob_seal(3).
 *
 * A keyring holds the keys of the live epochs of one volume, in locked memory.  An object is one of
 * many files under a keyring: a const context, used by any number of threads at once.  A lane is
 * one thread's scratch: it keeps derived keys from one call to the next.  Nothing in this header,
 * the open, close and adopt calls apart, allocates, locks, or makes a system call other than
 * getrandom (but for libcrypto's kernel where more than 64 calls run at once: envol_page_seal(3));
 * calls that meet an envol_keyring_adopt sleep until it is done.
 */
#ifndef ENVOL_PAGE_H
#define ENVOL_PAGE_H

#include <envol/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct envol_keyring;
struct envol_object;
struct envol_lane;

/* What a page looks like on disk; fixed when the volume is created. */
struct envol_geometry {
    size_t struct_size;
    enum envol_suite suite;
    uint32_t page_bytes;    /* plaintext of a page */
    uint32_t stride_bytes;  /* its record: page_bytes, zeros, trailer (GCM); page_bytes (XTS) */
    uint32_t trailer_bytes; /* ENVOL_TRAILER_BYTES (GCM), 0 (XTS) */
};

/*
 * A keyring comes from envol_header_unlock (the caller closes it) or from envol_volume_keyring (the
 * volume does).  Close lanes and objects first.  NULL is ignored.
 */
ENVOL_API void envol_keyring_close(struct envol_keyring *keyring);
ENVOL_API ENVOL_NONNULL(1) ENVOL_NODISCARD enum envol_status
    envol_keyring_geometry(const struct envol_keyring *keyring, struct envol_geometry *geometry);

/* The epoch that new records are sealed under, and the lowest one that is still accepted. */
ENVOL_API ENVOL_NONNULL(1) uint32_t envol_keyring_epoch(const struct envol_keyring *keyring);
ENVOL_API ENVOL_NONNULL(1) uint32_t envol_keyring_lowest_epoch(const struct envol_keyring *keyring);

/*
 * Seals of the current epoch that went through this keyring, an estimate: a lane reports its own
 * every 1,024 and at its close.  A DEK is due for rotation before 2^45 (envol(7)).
 */
ENVOL_API ENVOL_NONNULL(1) uint64_t envol_keyring_seals(const struct envol_keyring *keyring);

/*
 * Makes keyring hold the epochs of from, a keyring of the same volume and with the same flags from
 * a newer or equal header, while other threads seal and unseal: each call runs under the one or the
 * other, and after the return none is in the middle of a seal under an older epoch.  Calls that
 * begin meanwhile wait.  GCM objects and lanes go on; XTS objects keep their epoch.  The count of
 * seals starts over with a new epoch.  from gets what keyring had, and is only to be closed then,
 * which wipes it; nobody else may use it.  Forked children keep what they have until they adopt.
 * On failure nothing has changed.  ENVOL_E_STALE (from is of an older epoch), ENVOL_E_WRONG_KEY (an
 * epoch's DEK is not the same in both), ENVOL_E_KEY_REVOKED, ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY
 * (in a forked child), ENVOL_E_ARGUMENT (a NULL; another volume or other flags).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_keyring_adopt(struct envol_keyring *keyring,
                                                                struct envol_keyring *from);

/*
 * Opens the object named id (16 bytes; all zero names the volume's own page space).  Costs no
 * provider call and at most 64 bytes of locked memory.  The keyring is borrowed and must outlive
 * the object.  *object is NULL on failure.
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_object_open(const struct envol_keyring *keyring,
                                                              const uint8_t id[ENVOL_OBJECT_BYTES],
                                                              struct envol_object **object);
/*
 * The same at an epoch that the keyring holds; 0: the current one.  An XTS object stays at the
 * epoch at which it was opened, as no record tells its own: what it seals after a rotation is under
 * that epoch still, and once the keyring has no such epoch its page calls answer ENVOL_E_STALE.
 * GCM objects follow the keyring: epoch 0 only.
 * ENVOL_E_STALE (no such epoch in the keyring), ENVOL_E_UNSUPPORTED (GCM), and the above.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_object_open_at(const struct envol_keyring *keyring, const uint8_t id[ENVOL_OBJECT_BYTES],
                     uint32_t epoch, struct envol_object **object);
ENVOL_API void envol_object_close(struct envol_object *object);

/*
 * Opens a lane for objects of the keyring, which it borrows.  One thread at a time may use it; it
 * takes a few KiB of locked memory.  *lane is NULL on failure.
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_lane_open(const struct envol_keyring *keyring,
                                                            struct envol_lane **lane);
ENVOL_API void envol_lane_close(struct envol_lane *lane);

/*
 * Page calls.  page is page_bytes of plaintext, record is stride_bytes, and page == record works in
 * place; buffers that overlap in any other way do not.  No alignment is asked for.  lane may be
 * NULL: the keys are then derived anew.  A record must not change while it is being unsealed: copy
 * it out of shared memory first.  Any threads, each with its own lane.
 *
 * On failure the output holds zeros.  ENVOL_E_ARGUMENT (a NULL; a lane of another keyring),
 * ENVOL_E_RANGE (the record would end beyond 2^63), ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY (a child
 * that cannot lock inherited keys), ENVOL_E_KEY_REVOKED (envol_lease(3): the keys were wiped),
 * ENVOL_E_NO_MEMORY (libcrypto failed); seal: ENVOL_E_RANDOM;
 * unseal: ENVOL_E_CORRUPT, ENVOL_E_UNWRITTEN (a hole), ENVOL_E_STALE (an epoch newer than the
 * keyring's).  Under XTS an unseal cannot fail on content, and both answer ENVOL_E_STALE when the
 * object's epoch is no longer in the keyring.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_seal(const struct envol_object *object,
                                                            struct envol_lane *lane,
                                                            uint64_t page_no, const void *page,
                                                            void *record);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_unseal(const struct envol_object *object,
                                                              struct envol_lane *lane,
                                                              uint64_t page_no, const void *record,
                                                              void *page);

/* The same with ciphertext (page_bytes) and trailer (trailer_bytes; NULL under XTS) apart. */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_page_seal_detached(const struct envol_object *object, struct envol_lane *lane,
                         uint64_t page_no, const void *page, void *ciphertext, void *trailer);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_page_unseal_detached(const struct envol_object *object, struct envol_lane *lane,
                           uint64_t page_no, const void *ciphertext, const void *trailer,
                           void *page);

/*
 * Seals a hole: a record that authenticates, and that unseals to ENVOL_E_UNWRITTEN and zeros.
 * ENVOL_E_UNSUPPORTED under XTS.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_seal_hole(const struct envol_object *object,
                                                                 struct envol_lane *lane,
                                                                 uint64_t page_no, void *record);

/* One page of a batch.  trailer NULL: inside the record; else record is ciphertext alone. */
struct envol_page_op {
    uint64_t page_no;
    void *page;   /* plaintext: read by seal, written by unseal */
    void *record; /* written by seal, read by unseal */
    void *trailer;
    enum envol_status status; /* out: the outcome of this page */
};

/*
 * Pages of one object in one go, in any order; pages may be given twice.  A page that fails is
 * zeroed, the others are delivered.  Returns ENVOL_OK or the first page's status that is not.
 * One draw of randomness serves the whole batch, or as many pages as a salt has left (2^20), or
 * those up to a page whose op is invalid.  ENVOL_E_ARGUMENT (ops NULL, count not 0) and the above.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_seal_batch(const struct envol_object *object,
                                                                  struct envol_lane *lane,
                                                                  struct envol_page_op *ops,
                                                                  size_t count);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_page_unseal_batch(const struct envol_object *object, struct envol_lane *lane,
                        struct envol_page_op *ops, size_t count);

/*
 * Epoch that a GCM record claims; not authenticated until it is unsealed.  trailer is the last 48
 * bytes of the record.  ENVOL_E_CORRUPT if they cannot be a trailer of format 1.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_trailer_epoch(const void *trailer,
                                                                uint32_t *epoch);

/*
 * Re-seals a record under the object's epoch (GCM: the current one), in place or into another
 * buffer (which holds plaintext meanwhile, and zeros on failure).  from_epoch: the record's epoch
 * under XTS, which no record tells; under GCM 0, or what the trailer must say.  What does not
 * authenticate is never re-sealed. A hole stays one.  Statuses as for seal and unseal, but for
 * ENVOL_E_UNWRITTEN; ENVOL_E_ARGUMENT under XTS for epoch 0 too, and ENVOL_E_CORRUPT for one that
 * is not retained.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_page_reseal(const struct envol_object *object, struct envol_lane *lane, uint64_t page_no,
                  uint32_t from_epoch, const void *record_in, void *record_out);

/* Longest associated data of a blob, and longest blob (SP 800-38D, 5.2.1.1: 2^36 - 32). */
#define ENVOL_BLOB_AAD_MAX   1024u
#define ENVOL_BLOB_BYTES_MAX ((UINT64_C(1) << 36) - 32)

/*
 * Blobs: data of any length (0 included), always XAES-256-GCM whatever the volume's suite, bound to
 * volume, object, length and the caller's aad (position in the file, say).  sealed is plain_bytes +
 * ENVOL_TRAILER_BYTES; plain == sealed works in place.  unseal is given sealed_bytes and writes
 * sealed_bytes - ENVOL_TRAILER_BYTES.  What is 0 bytes long may be NULL.
 * Statuses as for pages, but for ENVOL_E_UNWRITTEN; ENVOL_E_RANGE for a length beyond the bounds
 * above (beyond ENVOL_BLOB_BYTES_MAX the output is not touched).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_blob_seal(const struct envol_object *object, struct envol_lane *lane, const void *aad,
                size_t aad_bytes, const void *plain, size_t plain_bytes, void *sealed);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_blob_unseal(const struct envol_object *object, struct envol_lane *lane, const void *aad,
                  size_t aad_bytes, const void *sealed, size_t sealed_bytes, void *plain);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_blob_reseal(const struct envol_object *object, struct envol_lane *lane, const void *aad,
                  size_t aad_bytes, const void *sealed_in, size_t sealed_bytes, void *sealed_out);

/* One blob of a batch. */
struct envol_blob_op {
    const void *aad;
    size_t aad_bytes;
    const void *plain;
    size_t plain_bytes;
    void *sealed;
    enum envol_status status; /* out: the outcome of this blob */
};

/*
 * Seals blobs of one object in one go, of any lengths; each unseals by itself.  A blob that fails
 * is zeroed, the others are delivered.  Returns ENVOL_OK or the first blob's status that is not.
 * One draw of randomness serves the whole batch, or as many blobs as a salt has left (2^20).
 * ENVOL_E_ARGUMENT (ops NULL, count not 0) and the above.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_blob_seal_batch(const struct envol_object *object,
                                                                  struct envol_lane *lane,
                                                                  struct envol_blob_op *ops,
                                                                  size_t count);

#ifdef __cplusplus
}
#endif
#endif
