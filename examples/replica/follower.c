/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The follower: connects, says what it has, and takes what comes: a backup, if the primary cannot
 * go on from there, and the records of the log.  Whatever ends a session, it begins another.
 */
#include "net.h"
#include "say.h"
#include "sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Attempts that end alike come at longer and longer intervals. */
enum { TICK_MS = 100, RETRY_MS = 50, RETRY_MS_MAX = 400 };

struct follower {
    const struct side_options *options;
    char *incoming; /* where a backup is restored */
    struct engine engine;
    bool is_open;
    bool has_heard; /* of the primary, in this session */
    unsigned silent_ms;
    struct batch batch; /* records that came and are not put yet */
};

/* --- the engine ---*/

static void close_engine(struct follower *follower)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status =
        follower->is_open ? engine_close(&follower->engine, &error) : ENVOL_OK;

    follower->is_open = false;
    if (status != ENVOL_OK)
        complain(follower->options->path, status, &error);
}

/* Without a directory there is nothing to open: the primary sends one. */
static enum envol_status open_engine(struct follower *follower, struct envol_error *error)
{
    const struct side_options *options = follower->options;
    enum envol_status status;

    if (follower->is_open || !path_exists(options->path))
        return ENVOL_OK;
    follower->is_open = true;
    status = engine_open(&follower->engine, options->path, &options->engine, error);
    if (status != ENVOL_OK)
        close_engine(follower);
    else
        say("follower at LSN %llu", (unsigned long long)follower->engine.lsn);
    return status;
}

/* --- a backup ---*/

/* What readers have open stays what it was: they open again to see the new one. */
static enum envol_status take_backup(struct follower *follower, struct session *session,
                                     const struct message *first, struct envol_error *error)
{
    const struct side_options *options = follower->options;
    struct envol_error receive_error = ENVOL_ERROR_INIT;
    struct incoming incoming = {.session = session,
                                .engine = follower->is_open ? &follower->engine : NULL,
                                .message = *first,
                                .error = &receive_error};
    enum envol_status status = path_remove(follower->incoming, error);

    if (status == ENVOL_OK)
        status =
            engine_restore(follower->incoming, &options->engine, incoming_read, &incoming, error);
    if (status != ENVOL_OK && incoming.status != ENVOL_OK) {
        *error = receive_error;
        return incoming.status;
    }
    if (status != ENVOL_OK)
        return status;
    close_engine(follower);
    status = path_replace(follower->incoming, options->path, error);
    if (status == ENVOL_OK)
        say("restored a backup");
    return status == ENVOL_OK ? open_engine(follower, error) : status;
}

/* --- the log ---*/

static enum envol_status acknowledge(struct follower *follower, struct session *session,
                                     struct envol_error *error)
{
    const struct message ack = {.type = MESSAGE_ACK, .lsn = follower->engine.lsn};

    return wire_send(&session->out, &ack, error);
}

/* One sync for all that came meanwhile. */
static enum envol_status put_records(struct follower *follower, struct session *session,
                                     struct envol_error *error)
{
    enum envol_status status = batch_put(&follower->batch, &follower->engine, error);

    return status == ENVOL_OK ? acknowledge(follower, session, error) : status;
}

static enum envol_status take_message(struct follower *follower, struct session *session,
                                      struct envol_error *error)
{
    struct message message;
    enum envol_status status = wire_receive(&session->in, &message, error);

    if (status != ENVOL_OK)
        return status;
    if (message.type == MESSAGE_LOG && follower->is_open) {
        status = batch_add(&follower->batch, message.lsn, message.data, message.bytes, error);
        if (status != ENVOL_OK ||
            (follower->batch.count < PUT_MAX && net_has_input(session->in.fd, 0)))
            return status;
        return put_records(follower, session, error);
    }
    if (message.type == MESSAGE_PING && follower->is_open)
        return put_records(follower, session, error);
    if (message.type == MESSAGE_BACKUP)
        return take_backup(follower, session, &message, error);
    return fail(error, ENVOL_E_FORMAT, "a message that does not belong here");
}

static enum envol_status wait_for_message(struct follower *follower, struct session *session,
                                          struct envol_error *error)
{
    if (!net_has_input(session->in.fd, TICK_MS)) {
        follower->silent_ms += TICK_MS;
        return follower->silent_ms > NET_TIMEOUT_MS
                   ? fail(error, ENVOL_E_TIMEOUT, "the primary is silent")
                   : ENVOL_OK;
    }
    follower->silent_ms = 0;
    follower->has_heard = true;
    return take_message(follower, session, error);
}

/* The lease's word is looked for between messages: nothing is taken in the dark. */
static enum envol_status follow(struct follower *follower, struct session *session,
                                struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && !is_stopping()) {
        if (follower->is_open) {
            status = engine_status(&follower->engine);
            if (status != ENVOL_OK)
                return fail(error, status, "the engine");
            status = follower->batch.count == 0 ? engine_idle(&follower->engine, error) : ENVOL_OK;
        }
        if (status == ENVOL_OK)
            status = wait_for_message(follower, session, error);
    }
    return status;
}

static enum envol_status follow_once(struct follower *follower, struct envol_error *error)
{
    const struct side_options *options = follower->options;
    struct session session = {0};
    int fd;
    enum envol_status status = net_connect(options->address, &fd, error);

    follower->batch.count = 0;
    follower->silent_ms = 0;
    if (status != ENVOL_OK)
        return status;
    status = follower_join(&session, fd, &options->engine.cmk,
                           follower->is_open ? &follower->engine : NULL, error);
    if (status == ENVOL_OK)
        status = follow(follower, &session, error);
    session_close(&session);
    close(fd);
    return status;
}

/*
 * What a peer sent, or that there is none, never ends a follower: it says so, once, and tries
 * again. What is wrong with its own directory does, unless it is only that the key is away.
 */
static enum envol_status run(struct follower *follower, struct envol_error *error)
{
    enum envol_status said = ENVOL_OK, status;
    unsigned wait_ms = RETRY_MS;

    for (; !is_stopping(); pause_ms(wait_ms)) {
        follower->has_heard = false;
        status = open_engine(follower, error);
        if (status != ENVOL_OK && !is_key_away(status))
            return status;
        if (status == ENVOL_OK)
            status = follow_once(follower, error);
        if (status != ENVOL_OK && (status != said || follower->has_heard)) {
            complain("following", status, error);
            wait_ms = RETRY_MS;
        } else if (2 * wait_ms <= RETRY_MS_MAX) {
            wait_ms *= 2;
        }
        said = status;
        if (follower->is_open && engine_status(&follower->engine) != ENVOL_OK)
            close_engine(follower);
    }
    return ENVOL_OK;
}

enum envol_status follower_run(const struct side_options *options, struct envol_error *error)
{
    struct follower *follower = calloc(1, sizeof *follower);
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (follower != NULL && asprintf(&follower->incoming, "%s.incoming", options->path) >= 0) {
        follower->options = options;
        status = run(follower, error);
        close_engine(follower);
        free(follower->incoming);
    }
    free(follower);
    return status;
}
