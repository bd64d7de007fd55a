/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session: keys that exist in two processes, for one connection.
 *
 *     follower -> primary   "ENVOLREP" | version u32 | 0 u32 | a random UUID
 *     primary -> follower   the 64 KiB header of a volume of this UUID, without pages, whose only
 *                           slot is wrapped by the follower's CMK; the header of a run
 *     follower -> primary   the header of a run
 *
 * and from there on sealed messages (wire.h) both ways.  The header is no secret: whoever may not
 * unwrap under the follower's CMK learns nothing from it, and can say nothing that the primary
 * takes.  The UUID is the follower's choice, so that yesterday's session cannot be played to it.
 * Whoever may generate or wrap DEKs under the follower's CMK can pose as a primary: give that right
 * to the primary alone.  The primary may unwrap there too, as it proves what it made; a condition
 * on the encryption context can keep it from the follower's own DEK.  Whoever can connect makes the
 * primary ask the key service: listen where followers alone can reach.
 *
 * The keys of the volumes on either side are not touched, nor are their CMKs: the primary's CMK and
 * DEK are unknown to the follower, and the follower's DEK to the primary.
 */
#ifndef REPLICA_SESSION_H
#define REPLICA_SESSION_H

#include "wire.h"

struct session {
    uint8_t *header; /* the volume's store */
    struct envol_store *store;
    struct envol_volume *volume; /* a keyring and nothing else */
    struct channel out, in;
};

/* The primary's side: makes the keys, one round of provider calls.  cmk is the follower's. */
enum envol_status session_accept(struct session *session, int fd, const struct envol_cmk *cmk,
                                 struct envol_error *error);
/* The follower's side: opens them, one provider call. */
enum envol_status session_join(struct session *session, int fd, const struct envol_cmk *cmk,
                               struct envol_error *error);
/* After a failure of the two above, too; fd stays the caller's. */
void session_close(struct session *session);

#endif
