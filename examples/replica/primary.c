/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The primary: an engine that goes on by itself, and a thread for each follower that reads the
 * engine's log and sends it.  Only what is durable here is sent: else a follower could be ahead of
 * a primary that has lost its last moments.
 */
#include "net.h"
#include "say.h"
#include "sides.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

/* Records sent before it is looked for acknowledgements; a sign of life when there is none. */
enum { SEND_MAX = 64, TICK_MS = 100, PING_MS = 500 };

struct serving {
    struct engine *engine;
    struct envol_cmk cmk; /* the follower's */
    pthread_t thread;
    int fd; /* -1: this place is free */
    atomic_bool has_ended;
};

/* One follower, while its thread serves it. */
struct feed {
    struct serving *serving;
    struct session session;
    unsigned slot;
    struct envol_log_reader *reader;
    uint64_t next;      /* LSN to send next */
    uint64_t sent_ms;   /* when something was sent last */
    uint64_t heard_ms;  /* and when something came */
    uint64_t acked_lsn; /* the follower has it */
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- what a follower begins with ---*/

static int send_backup_bytes(void *ctx, const void *bytes, size_t count)
{
    struct feed *feed = ctx;
    struct envol_error error;
    const uint8_t *from = bytes;

    while (count > 0) {
        struct message message = {.type = MESSAGE_BACKUP, .data = from};

        message.bytes = count < MESSAGE_MAX ? count : MESSAGE_MAX;
        if (wire_send(&feed->session.out, &message, &error) != ENVOL_OK)
            return error.os_errno != 0 ? error.os_errno : EPIPE;
        from += message.bytes;
        count -= message.bytes;
    }
    return 0;
}

static enum envol_status send_backup(struct feed *feed, struct envol_error *error)
{
    const struct message end = {.type = MESSAGE_BACKUP_END};
    uint64_t lsn = 0;
    enum envol_status status = engine_backup(feed->serving->engine, feed->slot, &feed->serving->cmk,
                                             send_backup_bytes, feed, &lsn, error);

    if (status == ENVOL_OK)
        status = wire_send(&feed->session.out, &end, error);
    if (status != ENVOL_OK)
        return status;
    say("sent a backup of LSN %llu", (unsigned long long)lsn);
    feed->next = lsn + 1;
    return ENVOL_OK;
}

static enum envol_status open_reader(struct feed *feed, struct envol_error *error)
{
    return envol_log_reader_open(feed->serving->engine->volume, feed->serving->engine->space,
                                 feed->next, &feed->reader, error);
}

/* It goes on where it is, if the log still has what comes next; else it begins with a backup. */
static enum envol_status greet(struct feed *feed, struct envol_error *error)
{
    struct message message;
    struct hello hello;
    bool goes_on;
    enum envol_status status = wire_receive(&feed->session.in, &message, error);

    if (status != ENVOL_OK)
        return status;
    if (!hello_decode(&message, &hello))
        return fail(error, ENVOL_E_FORMAT, "what came is no greeting");
    feed->next = message.lsn + 1;
    goes_on = hello.has_pages && engine_knows(feed->serving->engine, hello.history, message.lsn);
    engine_hold_move(feed->serving->engine, feed->slot, feed->next);
    if (goes_on) {
        say("a follower is at LSN %llu", (unsigned long long)message.lsn);
        status = open_reader(feed, error);
    }
    if (!goes_on || status == ENVOL_E_RANGE) {
        status = send_backup(feed, error);
        if (status == ENVOL_OK)
            status = open_reader(feed, error);
    }
    return status;
}

/* --- the log ---*/

static enum envol_status send_record(struct feed *feed, struct envol_error *error)
{
    struct envol_log_record record;
    struct message message = {.type = MESSAGE_LOG};
    enum envol_status status = envol_log_reader_next(feed->reader, 0, &record, error);

    if (status != ENVOL_OK)
        return status;
    if (record.lsn != feed->next)
        return fail(error, ENVOL_E_STATE, "LSN %llu comes after %llu",
                    (unsigned long long)record.lsn, (unsigned long long)feed->next - 1);
    message.lsn = record.lsn;
    message.data = record.data;
    message.bytes = record.bytes;
    feed->next++;
    return wire_send(&feed->session.out, &message, error);
}

static enum envol_status send_news(struct feed *feed, struct envol_error *error)
{
    uint64_t last = engine_wait(feed->serving->engine, feed->next - 1, TICK_MS);
    struct message ping = {.type = MESSAGE_PING, .lsn = last};
    enum envol_status status = ENVOL_OK;

    if (last < feed->next) {
        if (now_ms() - feed->sent_ms < PING_MS)
            return ENVOL_OK;
        status = wire_send(&feed->session.out, &ping, error);
    }
    for (int i = 0; status == ENVOL_OK && i < SEND_MAX && feed->next <= last; i++)
        status = send_record(feed, error);
    feed->sent_ms = now_ms();
    return status;
}

/* Every record and sign of life is answered, though not one by one. */
static enum envol_status take_answers(struct feed *feed, struct envol_error *error)
{
    struct message message;
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && net_has_input(feed->serving->fd, 0)) {
        status = wire_receive(&feed->session.in, &message, error);
        if (status == ENVOL_OK && (message.type != MESSAGE_ACK || message.lsn >= feed->next))
            status = fail(error, ENVOL_E_FORMAT, "what came is no acknowledgement");
        if (status != ENVOL_OK)
            return status;
        feed->heard_ms = now_ms();
        feed->acked_lsn = message.lsn;
        engine_hold_move(feed->serving->engine, feed->slot, message.lsn + 1);
    }
    if (now_ms() - feed->heard_ms > NET_TIMEOUT_MS)
        status = fail(error, ENVOL_E_TIMEOUT, "the follower is silent");
    return status;
}

static enum envol_status serve(struct feed *feed, struct envol_error *error)
{
    struct engine *engine = feed->serving->engine;
    enum envol_status status =
        session_accept(&feed->session, feed->serving->fd, &feed->serving->cmk, error);

    if (status == ENVOL_OK)
        status = greet(feed, error);
    feed->sent_ms = feed->heard_ms = now_ms();
    while (status == ENVOL_OK && !is_stopping() && engine_status(engine) == ENVOL_OK) {
        status = send_news(feed, error);
        if (status == ENVOL_OK)
            status = take_answers(feed, error);
    }
    return status;
}

static void *serve_thread(void *argument)
{
    struct feed feed = {.serving = argument};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = engine_hold(feed.serving->engine, UINT64_MAX, &feed.slot);

    if (status != ENVOL_OK) {
        complain("a follower too many", status, &error);
    } else {
        status = serve(&feed, &error);
        if (status != ENVOL_OK)
            complain("a session", status, &error);
        engine_hold_drop(feed.serving->engine, feed.slot);
    }
    envol_log_reader_close(feed.reader);
    session_close(&feed.session);
    close(feed.serving->fd);
    feed.serving->has_ended = true;
    return NULL;
}

/* --- all of them ---*/

static void reap(struct serving *servings, bool all)
{
    for (size_t i = 0; i < FOLLOWERS_MAX; i++) {
        if (servings[i].fd < 0 || (!all && !servings[i].has_ended))
            continue;
        pthread_join(servings[i].thread, NULL);
        servings[i].fd = -1;
    }
}

static void start_serving(struct serving *servings, const struct serving *one)
{
    for (size_t i = 0; i < FOLLOWERS_MAX; i++) {
        if (servings[i].fd >= 0)
            continue;
        servings[i] = *one;
        if (pthread_create(&servings[i].thread, NULL, serve_thread, &servings[i]) == 0)
            return;
        servings[i].fd = -1;
        break;
    }
    close(one->fd); /* it will try again */
}

static enum envol_status accept_all(struct engine *engine, int listener,
                                    const struct envol_cmk *cmk, struct envol_error *error)
{
    struct serving servings[FOLLOWERS_MAX], one = {.engine = engine, .cmk = *cmk};
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; i < FOLLOWERS_MAX; i++)
        servings[i].fd = -1;
    while (!is_stopping() && (status = engine_status(engine)) == ENVOL_OK) {
        if (net_accept(listener, TICK_MS, &one.fd, error) == ENVOL_OK)
            start_serving(servings, &one);
        reap(servings, false);
        status = engine_idle(engine, error);
        if (status != ENVOL_OK)
            break;
    }
    reap(servings, true);
    return status == ENVOL_OK ? ENVOL_OK : fail(error, status, "the engine");
}

/* Between an open and what makes a close due. */
static enum envol_status run_once(struct engine *engine, const struct side_options *options,
                                  struct load *load, struct envol_error *error)
{
    int listener;
    enum envol_status status = net_listen(options->address, &listener, error);

    if (status != ENVOL_OK)
        return status;
    say("primary at LSN %llu", (unsigned long long)engine->lsn);
    status = load_start(load, engine, error);
    if (status == ENVOL_OK)
        status = accept_all(engine, listener, &options->other_cmk, error);
    load_join(load);
    close(listener);
    return status;
}

/* A key that is away takes the engine down, and nothing else: it is opened again when it is back.
 */
enum envol_status primary_run(const struct side_options *options, struct envol_error *error)
{
    struct load load = {.left = options->load};
    bool was_dark = false;
    enum envol_status status = ENVOL_OK;

    while (!is_stopping()) {
        struct envol_error close_error = ENVOL_ERROR_INIT;
        struct engine engine;
        enum envol_status closed;

        status = engine_open(&engine, options->path, &options->engine, error);
        if (status == ENVOL_OK) {
            was_dark = false;
            status = run_once(&engine, options, &load, error);
        }
        closed = engine_close(&engine, &close_error);
        if (status == ENVOL_OK && (status = closed) != ENVOL_OK)
            *error = close_error;
        if (status == ENVOL_OK || !is_key_away(status))
            break;
        if (!was_dark)
            say("dark: %s", envol_status_message(status));
        was_dark = true;
        pause_ms(TICK_MS);
    }
    return is_key_away(status) ? ENVOL_OK : status;
}
