/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message of chunks (page/chunked.h) on its way to a sink or from a source: a head in the clear,
 * which is the context, then the chunks.  What is read was authenticated; a message counts when
 * envol_message_finish says that it is whole.
 */
#ifndef ENVOL_BACKUP_MESSAGE_H
#define ENVOL_BACKUP_MESSAGE_H

#include "page/chunked.h"

#include <envol/backup.h>
#include <stdbool.h>

struct envol_message {
    const char *name; /* "the backup": for what is said of failures */
    envol_backup_sink *sink;
    envol_backup_source *source;
    void *ctx;
    struct envol_error *error;
    struct envol_chunked *chunked; /* arena */
    uint8_t *plain, *sealed;       /* a chunk */
    size_t filled, at;             /* bytes in plain; of them taken */
    uint64_t bytes;                /* that went through the callback */
    bool callback_failed;          /* the status that was answered is the callback's */
};

/* What a callback that failed answered: an errno, or a status made negative.  name: of the message;
 * what: "written", "read". */
enum envol_status envol_callback_fail(int answer, const char *name, const char *what,
                                      struct envol_error *error);

/* The rest of the message is filled in by the caller before.  flags: of the arena. */
enum envol_status envol_message_open(struct envol_message *message, uint32_t flags);
/* Also of one that was not opened. */
void envol_message_close(struct envol_message *message);

/* Writing: head, body, end. */
enum envol_status envol_message_begin(struct envol_message *message, const uint8_t key[32],
                                      const void *head, size_t head_bytes);
enum envol_status envol_message_put(struct envol_message *message, const void *data, size_t bytes);
enum envol_status envol_message_end(struct envol_message *message);

/* Reading: bytes of the head (ENVOL_E_TRUNCATED), body, and whether that was all. */
enum envol_status envol_message_take(struct envol_message *message, void *head, size_t bytes);
/* ENVOL_E_WRONG_KEY. */
enum envol_status envol_message_start(struct envol_message *message, const uint8_t key[32],
                                      const void *head, size_t head_bytes);
/* ENVOL_E_CORRUPT, ENVOL_E_TRUNCATED; nothing that was not authenticated. */
enum envol_status envol_message_get(struct envol_message *message, void *data, size_t bytes);
enum envol_status envol_message_finish(struct envol_message *message);

#endif
