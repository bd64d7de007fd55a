/* SPDX-License-Identifier: BSD-2-Clause */
/* One message is one record; its data begins with the type and an LSN. */
#include "wire.h"
#include "common/bytes.h"
#include "net.h"
#include "say.h"

#include <stdlib.h>

/* In front of a message's data: type u32, 0 u32, lsn u64. */
enum { HEAD_BYTES = 16, SEALED_HEAD = ENVOL_LOG_RECORD_HEADER_BYTES };

const uint8_t wire_to_follower[] = "replica/follower";
const uint8_t wire_to_primary[] = "replica/primary\0";
_Static_assert(sizeof wire_to_follower == ENVOL_LOG_ID_BYTES + 1 &&
                   sizeof wire_to_primary == ENVOL_LOG_ID_BYTES + 1,
               "an id is 16 bytes");

/* A session's keys serve one run in each direction. */
static struct envol_log_run_params run_of(const uint8_t *direction)
{
    struct envol_log_run_params params = {.struct_size = sizeof params, .run = 1, .start_lsn = 1};

    for (size_t i = 0; i < ENVOL_LOG_ID_BYTES; i++)
        params.log_id[i] = direction[i];
    return params;
}

static enum envol_status init(struct channel *channel, int fd, struct envol_error *error)
{
    *channel = (struct channel){.fd = fd};
    channel->buffer = malloc(envol_log_record_bytes(HEAD_BYTES + MESSAGE_MAX));
    return channel->buffer != NULL ? ENVOL_OK : fail(error, ENVOL_E_NO_MEMORY, "a session");
}

enum envol_status wire_begin(struct channel *channel, int fd, const struct envol_keyring *keyring,
                             const uint8_t *direction, struct envol_error *error)
{
    const struct envol_log_run_params params = run_of(direction);
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    enum envol_status status = init(channel, fd, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_log_run_begin(keyring, &params, header, &channel->run);
    if (status != ENVOL_OK)
        return fail(error, status, "the keys of a direction");
    return net_send(fd, header, sizeof header, error);
}

enum envol_status wire_open(struct channel *channel, int fd, const struct envol_keyring *keyring,
                            const uint8_t *direction, struct envol_error *error)
{
    const struct envol_log_run_params params = run_of(direction);
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    enum envol_status status = init(channel, fd, error);

    if (status == ENVOL_OK)
        status = net_receive(fd, header, sizeof header, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_log_run_open(keyring, header, &params, &channel->run);
    return status == ENVOL_OK ? ENVOL_OK : fail(error, status, "what begins a direction");
}

void wire_close(struct channel *channel)
{
    envol_log_run_close(channel->run);
    free(channel->buffer);
    *channel = (struct channel){.fd = -1};
}

enum envol_status wire_send(struct channel *channel, const struct message *message,
                            struct envol_error *error)
{
    uint8_t *plain = channel->buffer + SEALED_HEAD;
    const struct envol_log_record record = {.lsn = (uint64_t)channel->index + 1,
                                            .index = channel->index,
                                            .data = plain,
                                            .bytes = HEAD_BYTES + message->bytes};
    size_t sealed_bytes = envol_log_record_bytes(record.bytes);
    enum envol_status status;

    if (message->bytes > MESSAGE_MAX || channel->bytes + sealed_bytes > ENVOL_LOG_RUN_BYTES_MAX)
        return fail(error, ENVOL_E_RANGE, "a message is too long, or a session");
    store(plain, 4, message->type);
    store(plain + 4, 4, 0);
    store(plain + 8, 8, message->lsn);
    for (size_t i = 0; i < message->bytes; i++)
        plain[HEAD_BYTES + i] = message->data[i];
    status = envol_log_record_seal(channel->run, &record, channel->buffer);
    if (status != ENVOL_OK)
        return fail(error, status, "a message to send");
    channel->index++;
    channel->bytes += sealed_bytes;
    return net_send(channel->fd, channel->buffer, sealed_bytes, error);
}

/* Nothing of the header is believed but that so many bytes should be there. */
static enum envol_status receive_sealed(struct channel *channel, size_t *sealed_bytes,
                                        struct envol_error *error)
{
    struct envol_log_record record;
    enum envol_status status = net_receive(channel->fd, channel->buffer, SEALED_HEAD, error);

    if (status != ENVOL_OK)
        return status;
    if (envol_log_record_peek(channel->buffer, &record) != ENVOL_OK || record.bytes < HEAD_BYTES ||
        record.bytes > HEAD_BYTES + MESSAGE_MAX)
        return fail(error, ENVOL_E_CORRUPT, "what came is no message");
    *sealed_bytes = envol_log_record_bytes(record.bytes);
    return net_receive(channel->fd, channel->buffer + SEALED_HEAD, *sealed_bytes - SEALED_HEAD,
                       error);
}

enum envol_status wire_receive(struct channel *channel, struct message *message,
                               struct envol_error *error)
{
    uint8_t *plain = channel->buffer + SEALED_HEAD;
    struct envol_log_record record;
    size_t sealed_bytes = 0;
    enum envol_status status = receive_sealed(channel, &sealed_bytes, error);

    *message = (struct message){0};
    if (status != ENVOL_OK)
        return status;
    status = envol_log_record_unseal(channel->run, channel->index, channel->buffer, sealed_bytes,
                                     plain, &record);
    if (status != ENVOL_OK)
        return fail(error, status, "message %u", channel->index);
    channel->index++;
    message->type = (enum message_type)load(plain, 4);
    message->lsn = load(plain + 8, 8);
    message->data = plain + HEAD_BYTES;
    message->bytes = record.bytes - HEAD_BYTES;
    return ENVOL_OK;
}
