/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transaction logs: runs and records, for engines that have a log file of their own.
 * envol_log_run(3).
 *
 * A log is a sequence of runs, a run a header and records.  Whenever a writer opens its log it
 * begins a new run, under keys of its own, and never appends to an old one: so no crash, copy or
 * rollback makes two records share a nonce.  A record tells its place (index) and how many of the
 * run were durable when it was made, by which a torn tail and a tampered one are told apart.
 *
 * Nothing here does I/O.  Nothing but begin and open allocates, locks or makes a system call;
 * calls that meet an envol_keyring_adopt sleep until it is done.
 */
#ifndef ENVOL_LOG_H
#define ENVOL_LOG_H

#include <envol/page.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ENVOL_LOG_ID_BYTES            16u
#define ENVOL_LOG_TAG_BYTES           16u
#define ENVOL_LOG_RUN_HEADER_BYTES    144u
#define ENVOL_LOG_RECORD_HEADER_BYTES 24u
/* Longest record: 64 MiB of data. */
#define ENVOL_LOG_DATA_MAX (64u << 20)
/* Most records of a run, indices 0 to 2^32 - 2; and most bytes of sealed records, 64 GiB. */
#define ENVOL_LOG_RECORDS_MAX   UINT32_MAX
#define ENVOL_LOG_RUN_BYTES_MAX (UINT64_C(1) << 36)

/* Keys of a run, in locked memory. */
struct envol_log_run;

/* Where a run stands in its log. */
struct envol_log_run_params {
    size_t struct_size;
    uint8_t log_id[ENVOL_LOG_ID_BYTES];        /* any 16 bytes, one value a log */
    uint64_t run;                              /* from 1, one up each */
    uint64_t start_lsn;                        /* from 1: no record has a lower one */
    uint8_t previous_tag[ENVOL_LOG_TAG_BYTES]; /* of the previous run's end; zeros for run 1 */
};

/* What a run header says; not authenticated before envol_log_run_open. */
struct envol_log_run_info {
    size_t struct_size;
    uint8_t uuid[ENVOL_UUID_BYTES]; /* volume */
    uint8_t log_id[ENVOL_LOG_ID_BYTES];
    uint64_t run;
    uint64_t start_lsn;
    uint32_t epoch;
    uint8_t previous_tag[ENVOL_LOG_TAG_BYTES];
    uint8_t tag[ENVOL_LOG_TAG_BYTES]; /* stands for the last tag while the run has no record */
};

/* Flags of a record.  The library binds them to the record; they have a meaning to who reads. */
#define ENVOL_LOG_FILLER 1u /* its data is nothing but a gap in the file */
#define ENVOL_LOG_LAST   2u /* last one of records that belong together */
#define ENVOL_LOG_END    4u /* nothing follows in this file: the next run is in the next one */

struct envol_log_record {
    uint64_t lsn;     /* log sequence number, from 1, ascending; what it counts is the caller's */
    uint32_t index;   /* in its run, from 0 without a gap */
    uint32_t durable; /* how many records of the run were known to be durable: at most index */
    uint32_t flags;
    const void *data;
    size_t bytes; /* of data */
};

/*
 * Begins a run under the keyring's current epoch, which it stays at: begin another one when the
 * epoch changes (envol_keyring_epoch), and before a bound above is met.  Draws a salt, writes
 * ENVOL_LOG_RUN_HEADER_BYTES of header.  The keyring is borrowed and must outlive the run.  On
 * failure *run is NULL and header holds zeros.
 * ENVOL_E_ARGUMENT (a NULL, run or start_lsn 0), ENVOL_E_RANDOM, ENVOL_E_NO_MEMORY,
 * ENVOL_E_LOCKED_MEMORY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_run_begin(const struct envol_keyring *keyring, const struct envol_log_run_params *params,
                    void *header, struct envol_log_run **run);

/*
 * Opens a run for reading from its header, which is authenticated.  expected is what the header
 * must say, or NULL: then compare what envol_log_run_peek tells.  *run is NULL on failure.
 * ENVOL_E_FORMAT (no run header), ENVOL_E_STALE (of an epoch newer than the keyring's),
 * ENVOL_E_CORRUPT (does not authenticate, not what was expected, of another volume, or of an epoch
 * that the keyring no longer holds), ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY,
 * ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_run_open(const struct envol_keyring *keyring, const void *header,
                   const struct envol_log_run_params *expected, struct envol_log_run **run);
/* Wipes the keys.  No call may be under way.  NULL is ignored. */
ENVOL_API void envol_log_run_close(struct envol_log_run *run);

/* Reads a run header without a key.  ENVOL_E_FORMAT (no magic), ENVOL_E_CORRUPT (what no run
 * header says; info has it all the same), ENVOL_E_ARGUMENT. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_run_peek(const void *header,
                                                               struct envol_log_run_info *info);

/* Bytes of a sealed record with so much data: header, ciphertext, zeros up to a multiple of 16,
 * tag.  0 for more than ENVOL_LOG_DATA_MAX. */
ENVOL_API size_t envol_log_record_bytes(size_t data_bytes);

/*
 * Seals a record into out, envol_log_record_bytes(record->bytes) long.  The data may lie at out +
 * ENVOL_LOG_RECORD_HEADER_BYTES already; otherwise it must not overlap.  Data of 0 bytes may be
 * NULL.  Any threads at once, in any order of indices, but each index once, whatever became of the
 * record: an index that was used, or that is 1,024 or more ahead of one that was not, is
 * ENVOL_E_STATE.  Write what was sealed, again and again if need be; never seal another record in
 * its place.  A process forked off never seals under its parent's run.
 *
 * On failure out holds zeros (but for ENVOL_E_RANGE of bytes: it is not touched).
 * ENVOL_E_STATE (an index as above; a run that was opened, not begun), ENVOL_E_RANGE (index or
 * bytes beyond the bounds above), ENVOL_E_ARGUMENT (a NULL, an LSN below the run's first, durable
 * above index, an unknown flag), ENVOL_E_STALE (the run's epoch is no longer in the keyring),
 * ENVOL_E_WRONG_KEY (keys that came back are of another DEK), ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED,
 * ENVOL_E_NO_MEMORY (libcrypto failed).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_record_seal(struct envol_log_run *run, const struct envol_log_record *record, void *out);
/*
 * The same for records of any number, one behind the other in out: cheaper than one by one.  On
 * failure all of out holds zeros, and indices may be used up: begin a new run.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_record_seal_batch(struct envol_log_run *run, const struct envol_log_record *records,
                            size_t count, void *out);

/*
 * Reads a record's header, ENVOL_LOG_RECORD_HEADER_BYTES, without a key; record->data is NULL.
 * ENVOL_E_CORRUPT: no record begins so.  ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_record_peek(const void *sealed,
                                                                  struct envol_log_record *record);

/*
 * Unseals record `index` of a run from the sealed_bytes that there are from its start on, which may
 * be more than its own.  plain has room for what envol_log_record_peek says of its bytes; plain may
 * be sealed + ENVOL_LOG_RECORD_HEADER_BYTES, otherwise it must not overlap.  record (may be NULL)
 * is filled, data pointing to plain.  sealed must not change meanwhile.  Any threads at once.
 *
 * On failure *record is zeros, and so is plain, unless the header itself told no length: then it is
 * not touched.  ENVOL_E_CORRUPT (does not authenticate as that record of this run),
 * ENVOL_E_TRUNCATED (sealed_bytes ends before the record does), ENVOL_E_ARGUMENT, ENVOL_E_STALE
 * (the run's epoch is no longer in the keyring), ENVOL_E_WRONG_KEY (keys that came back are of
 * another DEK), ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY (in a child that cannot lock inherited keys),
 * ENVOL_E_KEY_REVOKED, ENVOL_E_NO_MEMORY (libcrypto failed).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_record_unseal(const struct envol_log_run *run, uint32_t index, const void *sealed,
                        size_t sealed_bytes, void *plain, struct envol_log_record *record);

/* --- Logs: the library does the I/O.  envol_log(3). --- */

/*
 * A volume has at most one log.  It lies in segments, stores of a space; one writer appends, any
 * number of readers follow, in the writer's process and in others.  A record is known by its LSN.
 */
struct envol_volume;
struct envol_space;

/* A log that is open for writing.  Any number of threads may use it. */
struct envol_log;
/* A place in a log that is being read.  One thread at a time. */
struct envol_log_reader;

#define ENVOL_LOG_SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define ENVOL_LOG_SEGMENT_BYTES_MIN     (UINT64_C(64) << 10)
#define ENVOL_LOG_SEGMENT_BYTES_MAX     (UINT64_C(16) << 30)
/* Most bytes that may be appended and not synced, sealed; and most of one batch. */
#define ENVOL_LOG_UNSYNCED_MAX (UINT32_C(128) << 20)

struct envol_log_options {
    size_t struct_size;
    uint64_t segment_bytes;  /* a new segment begins before this; 0: the default */
    uint32_t unsynced_bytes; /* an append syncs when more would wait for it; 0: the most */
    uint32_t recycle;        /* how many truncated segments are kept to be used again */
    uint64_t first_lsn; /* create: no record has a lower one; below 2^64 - 1; 0: 1; open: ignored */
};

/*
 * Makes the volume's log, empty, and opens it; files of an earlier log of this volume are removed.
 * The volume (a writer's) and the space are borrowed and must outlive the log.  options and error
 * may be NULL.  *log is NULL on failure.
 * ENVOL_E_STATE (there is a log, or the space holds that of another volume), ENVOL_E_BUSY (it is
 * open), ENVOL_E_ARGUMENT, ENVOL_E_RANGE (options), ENVOL_E_READ_ONLY, ENVOL_E_FORKED,
 * ENVOL_E_KEY_REVOKED, ENVOL_E_RANDOM, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY,
 * ENVOL_E_UNSUPPORTED (a store of the space that is aligned to more than 1 byte), those of the
 * space and its stores, and of a header update: ENVOL_E_STALE, ENVOL_E_CORRUPT, ENVOL_E_BUSY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_create(struct envol_volume *volume, struct envol_space *space,
                 const struct envol_log_options *options, struct envol_log **log,
                 struct envol_error *error);

/*
 * Opens the log for writing, and begins a run.  After a crash it ends behind the last whole batch:
 * what was synced, or more, never less.  What was torn is cut off; what may not have reached the
 * disk is written again and synced first.
 * ENVOL_E_STATE (there is no log), ENVOL_E_CORRUPT (a segment is missing, or does not read and is
 * no torn end), ENVOL_E_STALE too if segments hold what only a newer header knows of; otherwise as
 * envol_log_create.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_open(struct envol_volume *volume,
                                                           struct envol_space *space,
                                                           const struct envol_log_options *options,
                                                           struct envol_log **log,
                                                           struct envol_error *error);

/*
 * Syncs, tells the volume's header where the log ends, and frees the handle in any case.  Without
 * keys, or after a failure, the end is not told, and the next open searches it.  No other call may
 * be under way; close the readers' and the log before the volume.  NULL is ignored.  In a forked
 * child only memory is freed.
 * ENVOL_E_KEY_REVOKED, ENVOL_E_IO and what else made the log fail, those of a header update.
 */
ENVOL_API enum envol_status envol_log_close(struct envol_log *log, struct envol_error *error);

/* Removes the log: from the volume's header, then its files.  ENVOL_E_STATE (there is none, or the
 * space holds that of another volume: nothing is changed), ENVOL_E_BUSY (it is open),
 * ENVOL_E_ARGUMENT, ENVOL_E_READ_ONLY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED, ENVOL_E_NO_MEMORY,
 * ENVOL_E_UNSUPPORTED (an aligned store), those of the space and of a header update. */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_delete(struct envol_volume *volume, struct envol_space *space, struct envol_error *error);

/*
 * Appends a record; 0 to ENVOL_LOG_DATA_MAX bytes, data may be NULL for 0.  *lsn: in, its LSN,
 * above that of the last record and below 2^64 - 1, or 0 for the next number; out, its LSN, so
 * set it to 0 again before the next call.  lsn may be NULL.  The record is safe after
 * envol_log_sync.  An append syncs by itself when unsynced_bytes are waiting, and goes over to a
 * new segment when one is full.
 *
 * On failure nothing was appended and *lsn is what it was.  A write or sync that fails makes the
 * log fail: all calls answer that from then on; close it and open it again.
 *
 * ENVOL_E_ARGUMENT, ENVOL_E_RANGE (too long; an LSN as above), ENVOL_E_IO, ENVOL_E_KEY_REVOKED
 * (nothing is lost: appends go on after envol_volume_unlock), ENVOL_E_FORKED, ENVOL_E_NO_MEMORY,
 * ENVOL_E_LOCKED_MEMORY, ENVOL_E_RANDOM, ENVOL_E_UNSUPPORTED (an aligned store), those of a header
 * update at a segment's end.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_append(struct envol_log *log,
                                                             const void *data, size_t bytes,
                                                             uint64_t *lsn,
                                                             struct envol_error *error);

/* One record of a batch. */
struct envol_log_entry {
    uint64_t lsn; /* in and out, as envol_log_append's */
    const void *data;
    size_t bytes;
};

/*
 * Appends records that belong together, 1 or more, in one write: after a crash all of them are
 * there, or none, and readers get none before the last.  The last one has the flag ENVOL_LOG_LAST,
 * as every record has that was appended alone.  Statuses as envol_log_append's; ENVOL_E_RANGE too
 * if they need more than ENVOL_LOG_UNSYNCED_MAX bytes sealed.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_append_batch(struct envol_log *log,
                                                                   struct envol_log_entry *entries,
                                                                   size_t count,
                                                                   struct envol_error *error);

/*
 * Returns when every record up to lsn (0: all there are) is on stable storage.  Threads that call
 * it together share one sync.  Needs no keys.
 * ENVOL_E_RANGE (no record has that LSN yet), ENVOL_E_IO, ENVOL_E_FORKED, ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_sync(struct envol_log *log, uint64_t lsn,
                                                           struct envol_error *error);

struct envol_log_info {
    size_t struct_size;
    enum envol_status failed; /* what every call answers; ENVOL_OK: the log works */
    uint8_t log_id[ENVOL_LOG_ID_BYTES];
    uint64_t oldest_segment, newest_segment; /* their numbers, from 1 */
    uint64_t first_lsn;   /* records below it were truncated, or never were; 0: none are missing */
    uint64_t next_lsn;    /* what an append of LSN 0 gets */
    uint64_t durable_lsn; /* all records up to it are synced; 0: none is known */
    uint64_t run;         /* its number, from 1 */
    uint64_t segment_bytes; /* so far, of the newest */
    uint32_t epoch;         /* of the DEK that this run is under */
};
/* ENVOL_E_ARGUMENT, ENVOL_E_FORKED. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_status(struct envol_log *log,
                                                             struct envol_log_info *info);

/* Syncs, and goes over to a new segment; nothing if the newest has no record yet and its run is
 * under the current DEK.  Statuses as envol_log_append's, but for ENVOL_E_RANGE. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_next_segment(struct envol_log *log,
                                                                   struct envol_error *error);

/*
 * Gives up records below an LSN: whole segments that have no other, never the newest one.  The
 * header is told first, then they are removed, or kept for new segments (options.recycle); what a
 * failure leaves behind goes at the next open.  Statuses as envol_log_append's, but for
 * ENVOL_E_RANGE and ENVOL_E_RANDOM; ENVOL_E_CORRUPT too if a segment is missing.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_truncate(struct envol_log *log, uint64_t below_lsn, struct envol_error *error);

/*
 * Reads from the first record whose LSN is from_lsn or above (0: the oldest).  volume may be a
 * writer's or a reader's, whose handle is refreshed if it is from before a truncation; both are
 * borrowed.  *reader is NULL on failure.
 * ENVOL_E_STATE (the volume has no log), ENVOL_E_RANGE (records from there on were truncated),
 * ENVOL_E_CORRUPT, ENVOL_E_STALE (of a DEK newer than the volume handle knows: refresh it),
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_KEY_REVOKED, ENVOL_E_FORKED,
 * those of the space and its stores.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_reader_open(struct envol_volume *volume, struct envol_space *space, uint64_t from_lsn,
                      struct envol_log_reader **reader, struct envol_error *error);
/*
 * The same of segments without their volume, an archive of them, say: any run of consecutive ones.
 * That their beginning or end is missing cannot be told, so there is no ENVOL_E_RANGE.
 * ENVOL_E_STATE: there is no segment.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_log_reader_open_archive(const struct envol_keyring *keyring, struct envol_space *space,
                              uint64_t from_lsn, struct envol_log_reader **reader,
                              struct envol_error *error);
/* NULL is ignored. */
ENVOL_API void envol_log_reader_close(struct envol_log_reader *reader);

/*
 * The next record; waits for one for wait_ms at most.  Its data is valid until the next call, and
 * may be NULL for 0 bytes.  Records that are not synced yet are read as well.  On failure *record
 * is zeros, and the reader stands where it stood: the call may be repeated.
 * ENVOL_E_TIMEOUT (there is no more, yet), ENVOL_E_CORRUPT (changed, missing or replaced, and not
 * the torn end of a log), ENVOL_E_RANGE (the log was truncated beyond this place), ENVOL_E_STALE
 * (of a DEK newer than the volume handle knows: refresh it), ENVOL_E_KEY_REVOKED, ENVOL_E_ARGUMENT,
 * ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_FORKED, those of the space and its stores.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_reader_next(struct envol_log_reader *reader,
                                                                  uint32_t wait_ms,
                                                                  struct envol_log_record *record,
                                                                  struct envol_error *error);

/* Called for each record; return 0 to go on, another number to stop. */
typedef int envol_log_replay_callback(void *ctx, const struct envol_log_record *record);

/*
 * Hands every record from from_lsn (0: the oldest) to to_lsn (0: the end) to the callback, which
 * may not use the log.  ENVOL_E_CANCELLED: the callback stopped it; otherwise the statuses of
 * envol_log_reader_open and _next, but for ENVOL_E_TIMEOUT, which is the end.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_log_replay(struct envol_volume *volume,
                                                             struct envol_space *space,
                                                             uint64_t from_lsn, uint64_t to_lsn,
                                                             envol_log_replay_callback *callback,
                                                             void *ctx, struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
