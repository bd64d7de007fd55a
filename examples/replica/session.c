/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys for one connection, by way of a volume that is nothing but its header. */
#include "session.h"
#include "common/bytes.h"
#include "net.h"
#include "say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { VERSION = 1, OPENING_BYTES = 16 + ENVOL_UUID_BYTES };
static const char magic[] = "ENVOLREP";

/* --- A store of 64 KiB, in memory that both sides can send and receive ---*/

static enum envol_status header_read(void *state, uint64_t offset, void *buffer, size_t bytes,
                                     size_t *got)
{
    size_t there = offset < ENVOL_HEADER_BYTES ? ENVOL_HEADER_BYTES - (size_t)offset : 0;

    *got = bytes < there ? bytes : there;
    if (*got > 0)
        memcpy(buffer, (const uint8_t *)state + offset, *got);
    return ENVOL_OK;
}

static enum envol_status header_write(void *state, uint64_t offset, const void *buffer,
                                      size_t bytes)
{
    if (offset > ENVOL_HEADER_BYTES || bytes > ENVOL_HEADER_BYTES - offset)
        return ENVOL_E_RANGE;
    memcpy((uint8_t *)state + offset, buffer, bytes);
    return ENVOL_OK;
}

static enum envol_status header_sync(void *state)
{
    (void)state;
    return ENVOL_OK;
}

/* Empty as long as nothing was written, as a new volume wants it. */
static enum envol_status header_size(void *state, uint64_t *bytes)
{
    *bytes = memcmp(state, (const uint8_t[8]){0}, 8) == 0 ? 0 : ENVOL_HEADER_BYTES;
    return ENVOL_OK;
}

static enum envol_status header_resize(void *state, uint64_t bytes)
{
    if (bytes > ENVOL_HEADER_BYTES)
        return ENVOL_E_RANGE;
    memset((uint8_t *)state + bytes, 0, ENVOL_HEADER_BYTES - bytes);
    return ENVOL_OK;
}

/* One handle, of one thread. */
static enum envol_status header_lock(void *state, enum envol_store_lock lock,
                                     enum envol_lock_mode mode, int wait)
{
    (void)state, (void)lock, (void)mode, (void)wait;
    return ENVOL_OK;
}

static const struct envol_store_vtable header_store = {
    .struct_size = sizeof header_store,
    .name = "session",
    .read = header_read,
    .write = header_write,
    .sync = header_sync,
    .size = header_size,
    .resize = header_resize,
    .lock = header_lock,
};

static enum envol_status open_store(struct session *session, struct envol_error *error)
{
    enum envol_status status;

    *session = (struct session){.header = calloc(1, ENVOL_HEADER_BYTES)};
    if (session->header == NULL)
        return fail(error, ENVOL_E_NO_MEMORY, "a session");
    status = envol_store_open(&header_store, session->header, 1, &session->store);
    return status == ENVOL_OK ? ENVOL_OK : fail(error, status, "a session");
}

/* --- The primary ---*/

static enum envol_status receive_opening(int fd, uint8_t uuid[ENVOL_UUID_BYTES],
                                         struct envol_error *error)
{
    uint8_t opening[OPENING_BYTES];
    enum envol_status status = net_receive(fd, opening, sizeof opening, error);

    if (status != ENVOL_OK)
        return status;
    if (memcmp(opening, magic, 8) != 0)
        return fail(error, ENVOL_E_FORMAT, "what connected is no follower");
    if (load(opening + 8, 8) != VERSION)
        return fail(error, ENVOL_E_VERSION, "a follower of version %u",
                    (unsigned)load(opening + 8, 4));
    memcpy(uuid, opening + 16, ENVOL_UUID_BYTES);
    return ENVOL_OK;
}

static enum envol_status make_keys(struct session *session, const struct envol_cmk *cmk,
                                   const uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error)
{
    const struct envol_header_params params = {.struct_size = sizeof params, .uuid = uuid};
    const struct envol_volume_options options = {
        .struct_size = sizeof options, .params = &params, .timeout_ms = NET_TIMEOUT_MS};

    return envol_volume_create(session->store, cmk, 1, &options, &session->volume, error);
}

enum envol_status session_accept(struct session *session, int fd, const struct envol_cmk *cmk,
                                 struct envol_error *error)
{
    uint8_t uuid[ENVOL_UUID_BYTES];
    const struct envol_keyring *keyring;
    enum envol_status status = open_store(session, error);

    if (status == ENVOL_OK)
        status = receive_opening(fd, uuid, error);
    if (status == ENVOL_OK)
        status = make_keys(session, cmk, uuid, error);
    if (status == ENVOL_OK)
        status = net_send(fd, session->header, ENVOL_HEADER_BYTES, error);
    if (status != ENVOL_OK)
        return status;
    keyring = envol_volume_keyring(session->volume);
    status = wire_begin(&session->out, fd, keyring, wire_to_follower, error);
    if (status == ENVOL_OK)
        status = wire_open(&session->in, fd, keyring, wire_to_primary, error);
    return status;
}

/* --- The follower ---*/

static enum envol_status send_opening(int fd, uint8_t uuid[ENVOL_UUID_BYTES],
                                      struct envol_error *error)
{
    uint8_t opening[OPENING_BYTES];

    if (getrandom(uuid, ENVOL_UUID_BYTES, 0) != ENVOL_UUID_BYTES)
        return fail(error, ENVOL_E_RANDOM, "a session");
    memcpy(opening, magic, 8);
    store(opening + 8, 8, VERSION);
    memcpy(opening + 16, uuid, ENVOL_UUID_BYTES);
    return net_send(fd, opening, sizeof opening, error);
}

/* The header is a stranger's until it opened: pinned are the UUID, and the CMK by which it must. */
static enum envol_status open_keys(struct session *session, const struct envol_cmk *cmk,
                                   const uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error)
{
    const struct envol_pins pins = {
        .struct_size = sizeof pins, .uuid = uuid, .suites = 1u << ENVOL_SUITE_AES_256_GCM};
    const struct envol_volume_options options = {.struct_size = sizeof options,
                                                 .flags = ENVOL_OPEN_READ_ONLY,
                                                 .pins = &pins,
                                                 .timeout_ms = NET_TIMEOUT_MS};

    return envol_volume_open(session->store, cmk, 1, &options, &session->volume, error);
}

enum envol_status session_join(struct session *session, int fd, const struct envol_cmk *cmk,
                               struct envol_error *error)
{
    uint8_t uuid[ENVOL_UUID_BYTES];
    const struct envol_keyring *keyring;
    enum envol_status status = open_store(session, error);

    if (status == ENVOL_OK)
        status = send_opening(fd, uuid, error);
    if (status == ENVOL_OK)
        status = net_receive(fd, session->header, ENVOL_HEADER_BYTES, error);
    if (status == ENVOL_OK)
        status = open_keys(session, cmk, uuid, error);
    if (status != ENVOL_OK)
        return status;
    keyring = envol_volume_keyring(session->volume);
    status = wire_open(&session->in, fd, keyring, wire_to_follower, error);
    if (status == ENVOL_OK)
        status = wire_begin(&session->out, fd, keyring, wire_to_primary, error);
    return status;
}

/* The header that the peer was sent stays as it was: nobody reads what closing writes. */
void session_close(struct session *session)
{
    wire_close(&session->out);
    wire_close(&session->in);
    (void)envol_volume_close(session->volume);
    envol_store_close(session->store);
    free(session->header);
    *session = (struct session){0};
}
