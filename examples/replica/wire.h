/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealed messages.  What one side sends is a run of log records (envol_log_run(3)): each is bound
 * to the run's key and to its index, so bytes that were changed, dropped, doubled, swapped or made
 * up are ENVOL_E_CORRUPT, and so is a message of the other direction or of another session.
 */
#ifndef REPLICA_WIRE_H
#define REPLICA_WIRE_H

#include <envol.h>

/* Values are never used for anything else. */
enum message_type {
    MESSAGE_HELLO = 1,      /* follower: what it has */
    MESSAGE_BACKUP = 2,     /* primary: bytes of a backup stream */
    MESSAGE_BACKUP_END = 3, /* primary: that was all of it */
    MESSAGE_LOG = 4,        /* primary: a record of its log */
    MESSAGE_PING = 5,       /* primary: nothing new; lsn is its last */
    MESSAGE_ACK = 6         /* follower: it has all up to lsn, durably */
};

/* Most data of a message; that of a peer is not allocated for before it is authenticated. */
enum { MESSAGE_MAX = 65536 };

struct message {
    enum message_type type;
    uint64_t lsn;
    const uint8_t *data; /* received: in the channel, until the next call */
    size_t bytes;
};

/* One direction. */
struct channel {
    int fd;
    struct envol_log_run *run;
    uint32_t index;
    uint64_t bytes; /* so far, of the bound of a run */
    uint8_t *buffer;
};

/* Names of the directions, as log ids. */
extern const uint8_t wire_to_follower[ENVOL_LOG_ID_BYTES + 1];
extern const uint8_t wire_to_primary[ENVOL_LOG_ID_BYTES + 1];

/* Begins the direction, and sends the header of its run; receives and opens it.  The keyring is the
 * session's.  Close channels before it. */
enum envol_status wire_begin(struct channel *channel, int fd, const struct envol_keyring *keyring,
                             const uint8_t *direction, struct envol_error *error);
enum envol_status wire_open(struct channel *channel, int fd, const struct envol_keyring *keyring,
                            const uint8_t *direction, struct envol_error *error);
void wire_close(struct channel *channel);

/* After a failure the channel is of no use: a session ends with it.  ENVOL_E_RANGE: the run is
 * full, after 64 GiB; the next session has a new one. */
enum envol_status wire_send(struct channel *channel, const struct message *message,
                            struct envol_error *error);
enum envol_status wire_receive(struct channel *channel, struct message *message,
                               struct envol_error *error);

#endif
