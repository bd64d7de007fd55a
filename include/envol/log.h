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
 * header says), ENVOL_E_ARGUMENT. */
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

#ifdef __cplusplus
}
#endif
#endif
