/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal of an XTS rotation: the new records of a run of pages, which nothing in the records
 * themselves would tell from the old ones, as a message of Cobblestone-256 under a key of the new
 * DEK (envol(5)).  No I/O.
 */
#ifndef ENVOL_VOLUME_JOURNAL_H
#define ENVOL_VOLUME_JOURNAL_H

#include "page/chunked.h"
#include "page/keyring.h"

/* Journals begin and end where a store of any alignment can write. */
#define ENVOL_JOURNAL_ALIGN 4096u

/* What a journal is bound to, beside the volume. */
struct envol_journal_run {
    uint32_t from_epoch, epoch;
    uint64_t first, count; /* pages */
};

/* Room for the message, a multiple of ENVOL_JOURNAL_ALIGN. */
size_t envol_journal_bytes(size_t records_bytes);

/*
 * Seals records (records_bytes) into message (envol_journal_bytes); what is left of its room holds
 * zeros.  commitment becomes what the header keeps of it.  keyring: run->epoch is its current one.
 * ENVOL_E_STALE (it is not), ENVOL_E_RANDOM, and those of envol_keyring_hold.
 */
enum envol_status envol_journal_seal(const struct envol_keyring *keyring,
                                     const struct envol_journal_run *run, const void *records,
                                     size_t records_bytes, void *message,
                                     uint8_t commitment[ENVOL_CHUNKED_COMMITMENT_BYTES]);
/*
 * Opens what the header committed to, all of it or nothing.  ENVOL_E_CORRUPT: it is another
 * message, or was changed; records then holds zeros.
 */
enum envol_status envol_journal_open(const struct envol_keyring *keyring,
                                     const struct envol_journal_run *run, const void *message,
                                     const uint8_t commitment[ENVOL_CHUNKED_COMMITMENT_BYTES],
                                     void *records, size_t records_bytes);

#endif
