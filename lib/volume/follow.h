/* SPDX-License-Identifier: BSD-2-Clause */
/* A reader's following of a rotation that a writer began in another handle. */
#ifndef ENVOL_VOLUME_FOLLOW_H
#define ENVOL_VOLUME_FOLLOW_H

#include "volume/keys.h"
#include "volume/volume.h"

/* What a header that was read again turned out to be. */
struct envol_newer {
    struct envol_header *header; /* NULL: of the DEK that is in use */
    const struct envol_provider *provider;
    char *key_ref; /* of the slot that opened the volume */
};

/*
 * Reads the header again.  If it is of the DEK in use, takes it over if it may.  If it is of a
 * newer one, newer has what envol_volume_follow needs and ends.  Not a word of it is verified then.
 */
enum envol_status envol_volume_look(struct envol_volume *volume, bool may_take,
                                    struct envol_newer *newer, struct envol_error *error);
/*
 * Has the provider that opened the volume unwrap the newer DEK, from the slot of the same CMK, and
 * takes keys and header over.  No lock is held while it works.  ENVOL_E_STALE: no such slot, or it
 * is not a later header of the same volume.
 */
enum envol_status envol_volume_follow(struct envol_volume *volume, struct envol_newer *newer,
                                      uint64_t deadline_ms, const int *cancel_flag,
                                      struct envol_error *error);

#endif
