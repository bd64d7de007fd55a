/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages: bytes gathered into chunks, chunks taken apart. */
#include "backup/message.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"

#include <string.h>

#define SEALED_BYTES (ENVOL_CHUNK_BYTES + ENVOL_CHUNKED_TAG_BYTES)

enum envol_status envol_message_open(struct envol_message *message, uint32_t flags)
{
    void *memory;
    enum envol_status status = envol_arena_alloc(sizeof(*message->chunked), flags, &memory);

    if (status == ENVOL_OK) {
        message->chunked = memory;
        message->plain = envol_alloc(ENVOL_CHUNK_BYTES, 64);
        message->sealed = envol_alloc(SEALED_BYTES, 64);
        if (message->plain == NULL || message->sealed == NULL)
            status = ENVOL_E_NO_MEMORY;
    }
    return status == ENVOL_OK ? status : envol_fail(message->error, status, NULL);
}

void envol_message_close(struct envol_message *message)
{
    if (message->plain != NULL)
        envol_wipe(message->plain, ENVOL_CHUNK_BYTES);
    envol_free(message->plain);
    envol_free(message->sealed);
    envol_arena_free(message->chunked, sizeof(*message->chunked));
    message->plain = message->sealed = NULL;
    message->chunked = NULL;
}

/* --- Callbacks --- */

/* No number that is none of a status leaves the library. */
enum envol_status envol_callback_fail(int answer, const char *name, const char *what,
                                      struct envol_error *error)
{
    enum envol_status status = ENVOL_E_IO;

    if (answer > 0)
        return envol_fail_errno(error, status, answer, "%s could not be %s", name, what);
    if (answer >= -(int)ENVOL_E_POLICY)
        status = (enum envol_status) - answer;
    return envol_fail(error, status, "%s could not be %s: %s", name, what,
                      envol_status_message(status));
}

static enum envol_status fail_callback(struct envol_message *message, int answer, const char *what)
{
    message->callback_failed = true;
    return envol_callback_fail(answer, message->name, what, message->error);
}

/* --- Writing --- */

static enum envol_status give(struct envol_message *message, const void *bytes, size_t count)
{
    int answer = message->sink(message->ctx, bytes, count);

    if (answer != 0)
        return fail_callback(message, answer, "written");
    message->bytes += count;
    return ENVOL_OK;
}

enum envol_status envol_message_begin(struct envol_message *message, const uint8_t key[32],
                                      const void *head, size_t head_bytes)
{
    uint8_t start[ENVOL_CHUNKED_HEADER_BYTES];
    enum envol_status status =
        envol_chunked_seal_start(message->chunked, key, head, head_bytes, start);

    if (status != ENVOL_OK)
        return envol_fail(message->error, status, NULL);
    status = give(message, head, head_bytes);
    return status == ENVOL_OK ? give(message, start, sizeof(start)) : status;
}

static enum envol_status put_chunk(struct envol_message *message)
{
    enum envol_status status =
        envol_chunk_seal(message->chunked, message->plain, message->filled, message->sealed);
    size_t bytes = message->filled + ENVOL_CHUNKED_TAG_BYTES;

    message->filled = 0;
    if (status != ENVOL_OK)
        return envol_fail(message->error, status, NULL);
    return give(message, message->sealed, bytes);
}

enum envol_status envol_message_put(struct envol_message *message, const void *data, size_t bytes)
{
    const uint8_t *from = data;
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && bytes > 0) {
        size_t room = ENVOL_CHUNK_BYTES - message->filled;
        size_t n = bytes < room ? bytes : room;
        memcpy(message->plain + message->filled, from, n);
        message->filled += n;
        from += n;
        bytes -= n;
        if (message->filled == ENVOL_CHUNK_BYTES)
            status = put_chunk(message);
    }
    return status;
}

/* What is left is a short chunk, even if it is nothing: that says that the message ends. */
enum envol_status envol_message_end(struct envol_message *message)
{
    return put_chunk(message);
}

/* --- Reading --- */

/* As many bytes as there are, up to count. */
static enum envol_status fetch(struct envol_message *message, uint8_t *bytes, size_t count,
                               size_t *got)
{
    *got = 0;
    while (*got < count) {
        size_t n = 0;
        int answer = message->source(message->ctx, bytes + *got, count - *got, &n);
        if (answer != 0)
            return fail_callback(message, answer, "read");
        if (n == 0)
            break;
        if (n > count - *got)
            return envol_fail(message->error, ENVOL_E_IO, "%s: the source gave more than asked for",
                              message->name);
        *got += n;
        message->bytes += n;
    }
    return ENVOL_OK;
}

static enum envol_status fail_cut(const struct envol_message *message)
{
    return envol_fail(message->error, ENVOL_E_TRUNCATED, "%s is cut short", message->name);
}

static enum envol_status fail_damaged(const struct envol_message *message)
{
    return envol_fail(message->error, ENVOL_E_CORRUPT, "%s is damaged or cut short", message->name);
}

enum envol_status envol_message_take(struct envol_message *message, void *head, size_t bytes)
{
    size_t got;
    enum envol_status status = fetch(message, head, bytes, &got);

    if (status == ENVOL_OK && got < bytes)
        status = fail_cut(message);
    if (status != ENVOL_OK)
        memset(head, 0, bytes);
    return status;
}

enum envol_status envol_message_start(struct envol_message *message, const uint8_t key[32],
                                      const void *head, size_t head_bytes)
{
    uint8_t start[ENVOL_CHUNKED_HEADER_BYTES];
    enum envol_status status = envol_message_take(message, start, sizeof(start));

    if (status != ENVOL_OK)
        return status;
    status = envol_chunked_open_start(message->chunked, key, head, head_bytes, start);
    return status == ENVOL_OK
               ? status
               : envol_fail(message->error, status,
                            status == ENVOL_E_WRONG_KEY ? "%s: its head does not fit its key"
                                                        : NULL,
                            message->name);
}

static enum envol_status get_chunk(struct envol_message *message)
{
    size_t got;
    enum envol_status status = fetch(message, message->sealed, SEALED_BYTES, &got);

    message->at = message->filled = 0;
    if (status != ENVOL_OK)
        return status;
    if (got < ENVOL_CHUNKED_TAG_BYTES)
        return fail_cut(message);
    status = envol_chunk_open(message->chunked, message->sealed, got, message->plain);
    if (status == ENVOL_E_CORRUPT)
        return fail_damaged(message);
    if (status != ENVOL_OK)
        return envol_fail(message->error, status, NULL);
    message->filled = got - ENVOL_CHUNKED_TAG_BYTES;
    return ENVOL_OK;
}

enum envol_status envol_message_get(struct envol_message *message, void *data, size_t bytes)
{
    uint8_t *to = data;

    while (bytes > 0) {
        size_t left = message->filled - message->at;
        size_t n = bytes < left ? bytes : left;
        enum envol_status status = ENVOL_OK;
        memcpy(to, message->plain + message->at, n);
        message->at += n;
        to += n;
        bytes -= n;
        if (bytes == 0)
            break;
        /* Sealed by somebody who has the key, and yet not what it should be. */
        status = message->chunked->ended ? fail_damaged(message) : get_chunk(message);
        if (status != ENVOL_OK)
            return status;
    }
    return ENVOL_OK;
}

enum envol_status envol_message_finish(struct envol_message *message)
{
    uint8_t more;
    size_t got = 0;
    enum envol_status status = ENVOL_OK;

    if (message->at == message->filled && !message->chunked->ended)
        status = get_chunk(message);
    if (status != ENVOL_OK)
        return status;
    if (message->at != message->filled || !message->chunked->ended)
        return fail_damaged(message);
    status = fetch(message, &more, 1, &got);
    if (status == ENVOL_OK && got > 0)
        status = envol_fail(message->error, ENVOL_E_CORRUPT, "bytes follow the end of %s",
                            message->name);
    return status;
}
