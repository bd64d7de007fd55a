/* SPDX-License-Identifier: BSD-2-Clause */
/* The two sides of a replication, and what a backup alone is good for. */
#ifndef REPLICA_SIDES_H
#define REPLICA_SIDES_H

#include "engine.h"
#include "session.h"

struct side_options {
    const char *path;             /* DIR */
    const char *address;          /* to listen at, or to connect to */
    struct engine_options engine; /* with this side's own CMK */
    struct envol_cmk other_cmk;   /* primary: the follower's; recover: that of the log */
    uint64_t load;                /* primary: puts of its own making */
    const char *log_of;           /* recover: DIR whose log goes on where the backup ends */
    uint64_t until;               /* recover: the last LSN; 0: all there are */
};

/* What a follower says first: message.lsn is its last, data is this. */
struct hello {
    bool has_pages;
    uint8_t history[HISTORY_BYTES];
};
enum { HELLO_BYTES = 8 + HISTORY_BYTES };
void hello_encode(const struct hello *hello, uint8_t bytes[HELLO_BYTES]);
/* Whether it is one. */
bool hello_decode(const struct message *message, struct hello *hello);

/* Run until a signal asks for the end (ENVOL_OK), or something fails that waiting does not cure. */
enum envol_status primary_run(const struct side_options *options, struct envol_error *error);
enum envol_status follower_run(const struct side_options *options, struct envol_error *error);

/* Joins a session and says what it has; its pages' engine, or NULL. */
enum envol_status follower_join(struct session *session, int fd, const struct envol_cmk *cmk,
                                struct engine *engine, struct envol_error *error);

/* A backup as it comes: an envol_backup_source whose context is this. */
struct incoming {
    struct session *session;
    struct engine *engine;  /* whose lease ends the backup, too; or NULL */
    struct message message; /* what is not taken of it */
    bool ended;
    enum envol_status status; /* why the source failed, if it did */
    struct envol_error *error;
};
int incoming_read(void *ctx, void *bytes, size_t capacity, size_t *count);

/* Saves the primary's backup, as it came, as a file. */
enum envol_status backup_save(const struct side_options *options, struct envol_error *error);
/* A backup from a file, and a log behind it: a primary of its own, at an LSN of the past. */
enum envol_status backup_recover(const struct side_options *options, const char *file,
                                 struct envol_error *error);

/* --- load.c: a thread that puts ---*/

struct load {
    pthread_t thread;
    struct engine *engine;
    uint64_t left; /* records to put */
    bool runs;
};
enum envol_status load_start(struct load *load, struct engine *engine, struct envol_error *error);
/* After the engine has failed, or a signal: waits for it. */
void load_join(struct load *load);

#endif
