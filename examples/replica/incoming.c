/* SPDX-License-Identifier: BSD-2-Clause */
/* A follower's beginning: its greeting, and a backup that it may get as an answer. */
#include "common/bytes.h"
#include "net.h"
#include "say.h"
#include "sides.h"

#include <errno.h>
#include <string.h>

/* has pages u32 | 0 u32 | history16 */
void hello_encode(const struct hello *hello, uint8_t bytes[HELLO_BYTES])
{
    memset(bytes, 0, HELLO_BYTES);
    store(bytes, 4, hello->has_pages);
    memcpy(bytes + 8, hello->history, HISTORY_BYTES);
}

bool hello_decode(const struct message *message, struct hello *hello)
{
    if (message->type != MESSAGE_HELLO || message->bytes != HELLO_BYTES ||
        message->lsn == UINT64_MAX || load(message->data, 8) > 1)
        return false;
    hello->has_pages = load(message->data, 4) == 1;
    memcpy(hello->history, message->data + 8, HISTORY_BYTES);
    return true;
}

enum envol_status follower_join(struct session *session, int fd, const struct envol_cmk *cmk,
                                struct engine *engine, struct envol_error *error)
{
    uint8_t bytes[HELLO_BYTES];
    struct hello hello = {.has_pages = engine != NULL};
    struct message message = {.type = MESSAGE_HELLO, .data = bytes, .bytes = HELLO_BYTES};
    enum envol_status status = session_join(session, fd, cmk, error);

    if (status != ENVOL_OK)
        return status;
    if (engine != NULL) {
        memcpy(hello.history, engine->control.history, HISTORY_BYTES);
        message.lsn = engine->lsn;
    }
    hello_encode(&hello, bytes);
    return wire_send(&session->out, &message, error);
}

/* The next message of the backup, or its end. */
static enum envol_status receive(struct incoming *incoming)
{
    enum envol_status status =
        incoming->engine != NULL ? engine_status(incoming->engine) : ENVOL_OK;

    if (status == ENVOL_OK && is_stopping())
        status = ENVOL_E_CANCELLED;
    if (status != ENVOL_OK)
        return fail(incoming->error, status, "a backup was not received to its end");
    status = wire_receive(&incoming->session->in, &incoming->message, incoming->error);
    if (status != ENVOL_OK)
        return status;
    if (incoming->message.type == MESSAGE_BACKUP_END)
        incoming->ended = true;
    else if (incoming->message.type != MESSAGE_BACKUP)
        return fail(incoming->error, ENVOL_E_FORMAT, "what came is no backup");
    return ENVOL_OK;
}

int incoming_read(void *ctx, void *bytes, size_t capacity, size_t *count)
{
    struct incoming *incoming = ctx;
    struct message *message = &incoming->message;

    while (message->bytes == 0 && !incoming->ended) {
        incoming->status = receive(incoming);
        if (incoming->status != ENVOL_OK)
            return EPIPE;
    }
    *count = message->bytes < capacity ? message->bytes : capacity;
    if (*count > 0)
        memcpy(bytes, message->data, *count);
    message->data += *count;
    message->bytes -= *count;
    return 0;
}
