/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volume headers without I/O and without a provider, for engines that keep the header bytes
 * themselves and talk to the key service on their own event loop.  envol_header(3).
 *
 * Opening: envol_header_decode the bytes, envol_header_next_slot names what to unwrap, unwrap it,
 * envol_header_unlock with the DEK.  Creating: envol_header_new, have the key service generate a
 * DEK under envol_header_context, envol_header_add_slot, envol_header_seal, and write the result.
 * Changing: edit, then envol_header_commit, or envol_header_prepare for engines that do the steps.
 */
#ifndef ENVOL_HEADER_H
#define ENVOL_HEADER_H

#include <envol/page.h>
#include <envol/provider.h>
#include <envol/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A header is two copies of 32 KiB, at offsets 0 and 32 KiB (envol(5)). */
#define ENVOL_HEADER_COPY_BYTES 32768u
#define ENVOL_HEADER_BYTES      65536u
#define ENVOL_SLOTS_MAX         8u
#define ENVOL_RETAINED_MAX      4u
#define ENVOL_SNAPSHOTS_MAX     8u

struct envol_header;

/* What the caller knows of a volume from elsewhere; a header that says otherwise is refused. */
struct envol_anchor {
    size_t struct_size;
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint64_t generation;
    uint32_t epoch;
    uint8_t mac[32];
};

/* A CMK that a slot may name.  key_ref NULL allows any key of that provider: discovery. */
struct envol_pin {
    const char *provider;
    const char *key_ref;
};

struct envol_pins {
    size_t struct_size;
    const uint8_t *uuid;               /* expected volume, or NULL */
    uint32_t suites;                   /* allowed ones, bits 1 << enum envol_suite; 0: both */
    const struct envol_anchor *anchor; /* older headers are refused; or NULL */
    const struct envol_pin *cmks;      /* CMKs whose slots may be used; volumes: ignored */
    size_t cmk_count;
};

/* Geometry of a new volume; zeros stand for defaults. */
struct envol_header_params {
    size_t struct_size;
    enum envol_suite suite; /* 0: ENVOL_SUITE_AES_256_GCM */
    uint32_t page_bytes;    /* 0: all that the stride holds */
    uint32_t stride_bytes;  /* 0: page_bytes and what it needs, or ENVOL_STRIDE_BYTES_DEFAULT */
    uint64_t data_offset;   /* where pages start, a multiple of 4096; 0: as low as may be */
    int sparse;             /* non-zero: all-zero records are unwritten pages (envol(7)) */
    const uint8_t *uuid;    /* NULL: a random one (RFC 9562 version 4) */
    int atomic_pages;       /* non-zero: no crash tears a page that was there (envol(7)) */
};

/* What sweeps an unfinished rotation of the DEK: by the epoch in each record, or in the engine's
 * own way; or page by page through the volume's own page space under AES-256-XTS. */
#define ENVOL_ROTATION_SWEEP 1u
#define ENVOL_ROTATION_PAGES 2u

/* A snapshot that a header names (envol_snapshot(3)). */
struct envol_header_snapshot {
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint64_t generation; /* of the header that named it first */
    uint64_t pages;
    uint64_t created_at_s;        /* Unix time, seconds */
    uint32_t epoch, lowest_epoch; /* that its records may be of */
};

/* What a header says.  Before envol_header_unlock nothing of it is verified. */
struct envol_header_info {
    size_t struct_size;
    int verified; /* 1: the MAC was checked under the DEK */
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint64_t generation;
    enum envol_suite suite;
    uint32_t page_bytes;
    uint32_t stride_bytes;
    uint64_t data_offset;
    int sparse;
    uint32_t epoch;
    uint32_t lowest_epoch;
    uint32_t retained_epochs; /* how many older DEKs are kept */
    uint32_t slots;
    uint64_t high_water;    /* pages known to exist */
    int clean;              /* high_water is exact */
    uint64_t seal_estimate; /* records sealed under the epoch, about */
    uint32_t whole_copies;  /* of the two in the bytes read or committed; fewer than 2: damaged */
    uint32_t rotation;      /* an unfinished one: ENVOL_ROTATION_SWEEP or _PAGES; 0: none */
    uint32_t rotation_from_epoch; /* the epoch that is being left */
    uint64_t rotation_next_page;  /* the sweep goes on here */
    uint64_t rotation_bad_pages;  /* were not sealed anew: they did not authenticate */
    uint64_t rotation_first_bad;  /* the first of them, if there are any */
    int atomic_pages;
    uint32_t log_seal;          /* ENVOL_LOG_SEAL_...: more of it by envol_header_log_seal */
    uint32_t log_lowest_epoch;  /* that segments of the log need; 0: there is no log */
    int restoring;              /* a restore into the volume is unfinished */
    uint64_t restore_next_page; /* pages before it are there */
    uint8_t restore_applying[ENVOL_UUID_BYTES]; /* the backup in progress; zeros: none */
    uint8_t restore_applied[ENVOL_UUID_BYTES];  /* the last one that is whole; zeros: none */
    uint32_t snapshots;
    struct envol_header_snapshot snapshot[ENVOL_SNAPSHOTS_MAX];
    uint64_t catalog_serial; /* of the catalog of backups, which names its file; 0: there is none */
    uint32_t catalog_epoch;  /* of the DEK that it is under */
};

/* A slot: one provider's wrapping of the DEK.  Pointers live as long as the header is not changed.
 */
struct envol_slot {
    size_t struct_size;
    uint32_t id; /* out; unique in the header, never 0 */
    const char *provider;
    const char *key_ref;
    const char *key_version;
    const void *wrapped;
    size_t wrapped_bytes;
    uint64_t created_at_s; /* Unix time, seconds */
};

/* A new header without slots, generation 0, epoch 1.  *header is NULL on failure.
 * ENVOL_E_ARGUMENT (geometry), ENVOL_E_NO_MEMORY, ENVOL_E_RANDOM. */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_new(const struct envol_header_params *params, struct envol_header **header);

/* Flags of envol_header_decode. */
#define ENVOL_HEADER_OTHER_COPY 1u /* take the copy that is not the newest, on purpose */

/*
 * Reads the two copies (65,536 bytes): magic, version, bounds and CRC of each, and picks the
 * newest. Nothing is authenticated yet.  *header is NULL on failure. ENVOL_E_FORMAT (neither copy
 * is a header), ENVOL_E_VERSION, ENVOL_E_CORRUPT (CRC or bounds of both; two whole copies of one
 * generation that differ), ENVOL_E_NO_MEMORY, ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_decode(const void *bytes, uint32_t flags,
                                                                struct envol_header **header,
                                                                struct envol_error *error);
ENVOL_API void envol_header_free(struct envol_header *header);

/*
 * Compares UUID, suite and anchor with the pins; envol_header_unlock compares the anchor's MAC.
 * ENVOL_E_POLICY, ENVOL_E_STALE (older than the anchor), ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_check(const struct envol_header *header,
                                                               const struct envol_pins *pins,
                                                               struct envol_error *error);

/*
 * The next slot that the pins allow to be sent to a provider.  *cursor starts at 0 and is advanced;
 * *pin (may be NULL) becomes the index of the CMK that matched.  ENVOL_E_NO_PROVIDER at the end,
 * ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_next_slot(const struct envol_header *header, const struct envol_pins *pins,
                       uint32_t *cursor, struct envol_slot *slot, size_t *pin);

/* Slot number index, 0 to slots - 1.  ENVOL_E_RANGE, ENVOL_E_ARGUMENT. */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_slot(const struct envol_header *header, uint32_t index, struct envol_slot *slot);

/* The three pairs that every wrapping of this header's DEK is bound to; they live in the header. */
ENVOL_API ENVOL_NONNULL(1) const
    struct envol_context_pair *envol_header_context(const struct envol_header *header,
                                                    size_t *pairs);

/* Flags of envol_header_unlock, and of volumes. */
#define ENVOL_OPEN_INHERIT        1u /* keys survive fork (envol(7)) */
#define ENVOL_OPEN_ALLOW_UNLOCKED 2u /* go on where keys cannot be locked in memory */

/*
 * Completes the header with the DEK of any of its slots: verifies the MAC, then the fields behind
 * it, unwraps the retained DEKs, and returns the keyring.  The DEK is copied; wipe yours.
 * On success the header is verified; *keyring is NULL on failure.  anchor may be NULL.
 * ENVOL_E_WRONG_KEY, ENVOL_E_VERSION (a feature this library lacks), ENVOL_E_CORRUPT,
 * ENVOL_E_STALE (older than the anchor, or its generation under another MAC), ENVOL_E_POLICY (the
 * anchor is of another volume), ENVOL_E_STATE (a new header that was not sealed; a restore is
 * unfinished: envol_restore(3)),
 * ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_UNSUPPORTED (no AES kernel), ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_unlock(struct envol_header *header, const uint8_t dek[ENVOL_DEK_BYTES], uint32_t flags,
                    const struct envol_anchor *anchor, struct envol_keyring **keyring);

/*
 * The same with the DEK that keyring holds, and its flags, without a call to the key service: for a
 * header that was decoded again, or after envol_header_retire.  *again is NULL on failure.
 * ENVOL_E_STALE (the header is of another epoch), ENVOL_E_STATE (of another volume, too),
 * ENVOL_E_KEY_REVOKED, ENVOL_E_FORKED, and what envol_header_unlock returns.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_unlock_with(struct envol_header *header, const struct envol_keyring *keyring,
                         const struct envol_anchor *anchor, struct envol_keyring **again);

/* What the header says now; struct_size is the caller's.  ENVOL_E_ARGUMENT. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_info(const struct envol_header *header,
                                                              struct envol_header_info *info);

/* What to keep elsewhere against rollback.  ENVOL_E_STATE before the header was sealed or unlocked,
 * ENVOL_E_ARGUMENT. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_anchor(const struct envol_header *header,
                                                                struct envol_anchor *anchor);

/*
 * Edits; they count when the header is committed.  add_slot copies the slot (provider name, key
 * reference, version, wrapped DEK) and answers its id; the caller has unwrapped it once to prove
 * it. remove_slot refuses the last one (ENVOL_E_STATE).  set_pages is for engines that keep pages
 * in the volume's own page space; seals is added to the estimate.  ENVOL_E_ARGUMENT (all),
 * ENVOL_E_NO_MEMORY (add_slot), ENVOL_E_RANGE (add_slot: more than 8, or they do not fit;
 * set_pages: pages beyond 2^63 - 1).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_add_slot(struct envol_header *header, const struct envol_slot *slot, uint32_t *id);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_remove_slot(struct envol_header *header,
                                                                     uint32_t id);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_set_pages(struct envol_header *header, uint64_t high_water, int clean, uint64_t seals);

/* Kinds of a log seal. */
#define ENVOL_LOG_SEAL_NONE   0u /* the volume has no log */
#define ENVOL_LOG_SEAL_OPEN   1u /* a writer has it open, or did not close it: look for its end */
#define ENVOL_LOG_SEAL_SEALED 2u /* it ends exactly where this says */

/* What a header says of the volume's transaction log (envol_log(3)).  Segments and LSNs count from
 * 1.  The fields from next_lsn to last_tag are of a sealed log, and zeros while it is open;
 * last_run then is a run that has begun: the log does not end before it. */
struct envol_log_seal {
    size_t struct_size;
    uint32_t kind;
    uint32_t lowest_epoch; /* that its segments need: such DEKs are kept */
    uint8_t log_id[16];
    uint64_t oldest_segment, newest_segment;
    uint64_t first_lsn; /* that is kept; 0: nothing was truncated */
    uint64_t last_run;
    uint64_t next_lsn;
    uint64_t end_offset; /* in the newest segment, a multiple of 16 */
    uint32_t last_run_records;
    uint8_t last_tag[16];
};

/*
 * Edits and tells it, for engines that have a log of their own.  A seal of kind NONE is zeros but
 * for struct_size.  set copies.  ENVOL_E_RANGE (set: no DEK of that lowest epoch is in the header),
 * ENVOL_E_ARGUMENT (a NULL; set: a seal that is not sound).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_set_log_seal(struct envol_header *header, const struct envol_log_seal *seal);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_log_seal(const struct envol_header *header,
                                                                  struct envol_log_seal *seal);

/*
 * First writing: seals a new header, generation 1, into 65,536 bytes that the caller then writes
 * and syncs.  dek is the plaintext that the slots wrap.  The header is unlocked afterwards as by
 * envol_header_unlock, which gives the keyring.  On failure bytes holds zeros.
 * ENVOL_E_STATE (no slot, or sealed before), ENVOL_E_ARGUMENT (a DEK of zeros, too),
 * ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_UNSUPPORTED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_seal(struct envol_header *header,
                                                              const uint8_t dek[ENVOL_DEK_BYTES],
                                                              uint32_t flags, void *bytes,
                                                              struct envol_keyring **keyring);

/*
 * An update, step by step.  Under the caller's lock, re-read both copies and give them as current:
 * ENVOL_E_STALE if they are not what this header last knew.  Otherwise the edited header, one
 * generation up, is sealed into copy (32,768 bytes), and *first says which copy (0, 1) to write
 * first.  Write it, sync, read it back, compare; then the other copy, sync; then
 * envol_header_committed.  Should a step fail, the header keeps its edits and its old generation.
 * Unless this very handle committed it, the newer copy in current may not be on stable storage yet:
 * before all that, write it back as it was read (it is copy 1 - *first), and sync.
 * Buffers do not overlap; on failure copy holds zeros.  prepare: ENVOL_E_STALE, ENVOL_E_STATE (not
 * unlocked, or the keyring of another volume or epoch), ENVOL_E_WRONG_KEY (the keyring of another
 * DEK), ENVOL_E_VERSION (a feature that lets this library only read), ENVOL_E_RANGE (the last
 * generation there is), ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY (in a forked child),
 * ENVOL_E_KEY_REVOKED, ENVOL_E_ARGUMENT.  committed: ENVOL_E_STATE (not what was prepared),
 * ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_prepare(struct envol_header *header, const struct envol_keyring *keyring,
                     const void *current, void *copy, uint32_t *first);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_committed(struct envol_header *header,
                                                                   const void *copy);

/*
 * The caller's hands for envol_header_commit; each returns a status.  copy is 0 or 1, buffers are
 * 32,768 bytes aligned to 4,096.  lock may fail with ENVOL_E_BUSY; unlock is called once for every
 * lock that succeeded.
 */
struct envol_header_io {
    size_t struct_size;
    void *ctx;
    enum envol_status (*lock)(void *ctx);
    void (*unlock)(void *ctx);
    enum envol_status (*read)(void *ctx, uint32_t copy, void *buffer);
    enum envol_status (*write)(void *ctx, uint32_t copy, const void *buffer);
    enum envol_status (*sync)(void *ctx);
};

/*
 * The whole update: lock, re-read, prepare, write, sync, read back and verify, write the other
 * copy, sync, unlock; the first time, what prepare says of the newer copy comes before the writes.
 * A crash at any point leaves one copy that opens.  After a failed step the header on disk may be
 * the old or the new one: commit again, or decode it again.
 * What envol_header_prepare returns, ENVOL_E_NO_MEMORY, ENVOL_E_CORRUPT (what was read back is not
 * what was written), what the callbacks return (ENVOL_E_IO, ENVOL_E_BUSY).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_commit(struct envol_header *header,
                                                                const struct envol_keyring *keyring,
                                                                const struct envol_header_io *io,
                                                                struct envol_error *error);

/*
 * Rotating the DEK, 1.  A copy of a header that was unlocked, of the next epoch and without slots;
 * its context is what the new DEK's wrappings are bound to.  *next is NULL on failure; the caller
 * frees it.  ENVOL_E_STATE (not unlocked, a rotation is unfinished, or XTS and there are
 * snapshots), ENVOL_E_RANGE (no room for one more retained DEK, or the last epoch there is),
 * ENVOL_E_NO_MEMORY, ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_header_next_epoch(const struct envol_header *header, struct envol_header **next);

/*
 * 2.  dek is the new DEK (copied; wipe yours), keyring that of the header that next was made from,
 * whose DEKs are retained under the new one.  Then envol_header_add_slot for each wrapping of it,
 * envol_header_commit of next with *new_keyring over the header that it was made from, and not
 * before that envol_keyring_adopt(keyring, *new_keyring), for which flags are those of keyring.
 * From the commit on a rotation is unfinished.  On failure next is as before, *new_keyring NULL.
 * ENVOL_E_STATE (next has its DEK, or is no header of envol_header_next_epoch; the keyring of
 * another header), ENVOL_E_WRONG_KEY (the keyring of another DEK), ENVOL_E_ARGUMENT (a DEK that is
 * all zeros or not new, too), ENVOL_E_KEY_REVOKED, ENVOL_E_FORKED, ENVOL_E_NO_MEMORY,
 * ENVOL_E_RANDOM, ENVOL_E_LOCKED_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_rotate(struct envol_header *next,
                                                                const struct envol_keyring *keyring,
                                                                const uint8_t dek[ENVOL_DEK_BYTES],
                                                                uint32_t flags,
                                                                struct envol_keyring **new_keyring);

/*
 * 3.  Edits: how far the sweep has come (in numbers of the engine's own, if it keeps its own
 * files), how many pages it could not seal anew, the first of them.  Commit after what they cover
 * is on stable storage.  ENVOL_E_STATE (no sweep is unfinished), ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_set_sweep(struct envol_header *header,
                                                                   uint64_t next_page,
                                                                   uint64_t bad_pages,
                                                                   uint64_t first_bad);

/* Flag of envol_header_retire. */
#define ENVOL_RETIRE_KEEP 1u /* the older DEKs stay: records under them open */

/*
 * 4.  An edit: the rotation is finished.  Without ENVOL_RETIRE_KEEP the older DEKs go but for
 * those that the log and snapshots need, and records under them never open again once it is
 * committed; then envol_header_unlock_with gives the keyring to adopt.  DEKs that were kept may go
 * later, without a rotation: envol_header_info says how many there are.
 * ENVOL_E_STATE (nothing to finish, or pages that are not swept; without a rotation, no DEK that
 * may go), ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_header_retire(struct envol_header *header,
                                                                uint32_t flags);

#ifdef __cplusplus
}
#endif
#endif
