/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A header that the engine keeps itself, in a file of its own: the DEK, wrapped by each CMK.  The
 * library reads and makes its bytes and speaks to the key services (envol_header(3)); the file, its
 * lock and the order of writes are here.
 *
 * The bytes and the locks are those of a volume without pages (envol(5)), so that `envol info`,
 * `envol slot` and `envol rewrap` work on the file.  An engine that wants none of that can keep
 * the two copies wherever it likes, as long as one can be written without the other.
 */
#ifndef TABLES_HEADER_H
#define TABLES_HEADER_H

#include <envol.h>
#include <stdbool.h>

/* The CMKs of the caller's choice.  A header names others as it likes: they are not asked. */
struct cmks {
    struct envol_cmk cmk[ENVOL_SLOTS_MAX];
    size_t count;
};

struct header {
    int fd; /* from 0 on: open, and locked */
    const struct cmks *cmks;
    struct envol_error *error; /* what failed, where there is more to say than a status */
    struct envol_header *header;
    struct envol_keyring *keyring;
    uint64_t noted_seals;    /* of the keyring's, those that are in the header's estimate */
    bool is_unknown_on_disk; /* after a commit that failed: open it again */
};

/* A new file, synced but for its name; one that is there.  ENVOL_E_BUSY if somebody has it open.
 * params and pins are the caller's.  Close it after a failure too. */
enum envol_status header_create(struct header *header, int dir, const char *name,
                                const struct envol_header_params *params);
enum envol_status header_open(struct header *header, int dir, const char *name,
                              const struct envol_pins *pins);
/* Adds what was sealed to the estimate in the header.  Lanes are closed by then. */
enum envol_status header_close(struct header *header);

/* A rotation that is to be gone on with: the keyring has the older DEKs too. */
bool header_is_rotating(const struct header *header);
/* A new DEK: from the return on, the keyring seals under it. */
enum envol_status header_rotate(struct header *header);
/* Why a rotation is unfinished, for `envol info`: in numbers of the engine's own. */
enum envol_status header_note_sweep(struct header *header, uint64_t visited, uint64_t bad);
/* The older DEKs are gone from the keyring and from the file.  All that is to be read again was
 * sealed under the new one, and synced. */
enum envol_status header_retire(struct header *header);

#endif
