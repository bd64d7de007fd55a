/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a transaction log, inside.  Numbers are little-endian.
 *
 *   OFFSET  SIZE  RUN HEADER                     OFFSET  SIZE  RECORD
 *        0     8  "ENVOLLOG"                          0     4  n: bytes of data
 *        8    16  volume UUID                         4     2  flags
 *       24    16  log id                              6     2  0
 *       40     8  run, from 1                         8     8  LSN
 *       48     8  start LSN                          16     4  index
 *       56     4  epoch                              20     4  durable
 *       60     4  0                                  24     n  ciphertext
 *       64    24  salt                             24+n        zeros to a multiple of 16
 *       88    16  last tag of the previous run              16  tag
 *      104    32  commitment
 *      136     8  0
 *
 * key 32 | base 12 | commitment 32 = HKDF-Expand-SHA512(log-root, "ENVOLLG1" | bytes 0 to 103).
 * AES-256-GCM under the key; nonce: base, its last four bytes XORed with the index, big-endian;
 * associated data: the record's 24 bytes of header.
 */
#ifndef ENVOL_PAGE_LOG_RUN_H
#define ENVOL_PAGE_LOG_RUN_H

#include "page/keyring.h"

#include <envol/log.h>

#define ENVOL_LOG_AT_UUID       8u
#define ENVOL_LOG_AT_ID         24u
#define ENVOL_LOG_AT_RUN        40u
#define ENVOL_LOG_AT_START      48u
#define ENVOL_LOG_AT_EPOCH      56u
#define ENVOL_LOG_AT_SPARE_32   60u
#define ENVOL_LOG_AT_SALT       64u
#define ENVOL_LOG_AT_PREVIOUS   88u
#define ENVOL_LOG_AT_COMMITMENT 104u
#define ENVOL_LOG_AT_SPARE      136u

#define ENVOL_LOG_SALT_BYTES       24u
#define ENVOL_LOG_COMMITMENT_BYTES 32u
#define ENVOL_LOG_FLAGS            (ENVOL_LOG_FILLER | ENVOL_LOG_LAST | ENVOL_LOG_END)

/* Indices that may be sealed out of order. */
#define ENVOL_LOG_WINDOW 1024u

/* In the arena; the expanded key of the keyring's kernel follows. */
struct envol_log_keys {
    _Alignas(64) uint8_t base[12];
    _Alignas(64) uint8_t gcm_key[];
};

struct envol_log_run {
    struct envol_tenant tenant; /* of keys */
    const struct envol_keyring *keyring;
    struct envol_log_keys *keys;
    enum envol_status state; /* ENVOL_OK while keys are those of the run */
    uint64_t generation;     /* of the process that began it; 0: opened */
    uint64_t start_lsn;
    uint32_t epoch;
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    _Atomic uint64_t bytes; /* sealed by the public calls */
    /* By index modulo the window: the one that may be sealed next.  Only where it was begun. */
    _Atomic uint32_t next[];
};

/*
 * Seals records that lie one behind the other in out, as the public call does, for callers that
 * give out each index once by themselves and keep to the bounds of a run.  records are sound
 * (envol_log_record_check).
 */
enum envol_status envol_log_records_seal(const struct envol_log_run *run,
                                         const struct envol_log_record *records, size_t count,
                                         uint8_t *out);
/* The same for who holds the keyring's keys already and was the one to begin the run.  Only a
 * kernel that fails makes it fail where run->state was ENVOL_OK; out is undefined then. */
enum envol_status envol_log_records_seal_held(const struct envol_log_run *run,
                                              const struct envol_log_record *records, size_t count,
                                              uint8_t *out);
/* ENVOL_E_ARGUMENT or ENVOL_E_RANGE for what envol_log_record_seal refuses of a record. */
enum envol_status envol_log_record_check(const struct envol_log_run *run,
                                         const struct envol_log_record *record);

#endif
