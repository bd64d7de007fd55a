/* SPDX-License-Identifier: BSD-2-Clause */
/* The header's file: what is written when, so that a crash at any point leaves a copy that opens.
 */
#include "header.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* --- Locks ---*/

/* Bytes that users of the library lock (envol(5)): one for as long as somebody writes under the
 * DEK, one while the header is read or changed. */
#define WRITER_LOCK ((off_t)1 << 62)
#define HEADER_LOCK (WRITER_LOCK + 2)
enum { LOCK_WAIT_MS = 10, LOCK_ATTEMPTS = 500 };

static enum envol_status lock_byte(int fd, short kind, off_t offset, int attempts)
{
    const struct timespec pause = {.tv_nsec = LOCK_WAIT_MS * 1000000L};
    struct flock range = {.l_type = kind, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};

    while (fcntl(fd, F_OFD_SETLK, &range) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return ENVOL_E_IO;
        if (--attempts <= 0)
            return ENVOL_E_BUSY;
        nanosleep(&pause, NULL);
    }
    return ENVOL_OK;
}

/* Until the file is closed. */
static enum envol_status open_file(struct header *header, int dir, const char *name, int flags)
{
    header->fd = openat(dir, name, O_RDWR | O_CLOEXEC | flags, 0600);
    return header->fd < 0 ? ENVOL_E_IO : lock_byte(header->fd, F_WRLCK, WRITER_LOCK, 1);
}

/* --- A change of the header: envol_header_commit gives the order, these do it ---*/

static enum envol_status lock(void *ctx)
{
    const struct header *header = ctx;

    return lock_byte(header->fd, F_WRLCK, HEADER_LOCK, LOCK_ATTEMPTS);
}

static void unlock(void *ctx)
{
    const struct header *header = ctx;

    (void)lock_byte(header->fd, F_UNLCK, HEADER_LOCK, 1);
}

static enum envol_status read_copy(void *ctx, uint32_t copy, void *buffer)
{
    const struct header *header = ctx;

    return disk_read(header->fd, buffer, ENVOL_HEADER_COPY_BYTES,
                     (uint64_t)copy * ENVOL_HEADER_COPY_BYTES);
}

static enum envol_status write_copy(void *ctx, uint32_t copy, const void *buffer)
{
    const struct header *header = ctx;

    return disk_write(header->fd, buffer, ENVOL_HEADER_COPY_BYTES,
                      (uint64_t)copy * ENVOL_HEADER_COPY_BYTES);
}

static enum envol_status sync_file(void *ctx)
{
    const struct header *header = ctx;

    return disk_sync(header->fd);
}

/* Until it has succeeded nothing has changed for anybody; after a failure nobody knows which header
 * is on the disk, and this one is not written any more. */
static enum envol_status commit(struct header *header, struct envol_header *edited,
                                const struct envol_keyring *keyring)
{
    const struct envol_header_io io = {sizeof io, header,     lock,     unlock,
                                       read_copy, write_copy, sync_file};
    enum envol_status status = header->is_unknown_on_disk
                                   ? ENVOL_E_STATE
                                   : envol_header_commit(edited, keyring, &io, header->error);

    header->is_unknown_on_disk = status != ENVOL_OK;
    return status;
}

/* --- Making and opening ---*/

enum envol_status header_create(struct header *header, int dir, const char *name,
                                const struct envol_header_params *params)
{
    void *bytes = malloc(ENVOL_HEADER_BYTES);
    enum envol_status status = bytes == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;

    if (status == ENVOL_OK)
        status = open_file(header, dir, name, O_CREAT | O_EXCL);
    if (status == ENVOL_OK)
        status = envol_header_new(params, &header->header);
    if (status == ENVOL_OK)
        status = envol_header_seal_by(header->header, header->cmks->cmk, header->cmks->count, NULL,
                                      bytes, &header->keyring, header->error);
    if (status == ENVOL_OK)
        status = disk_write(header->fd, bytes, ENVOL_HEADER_BYTES, 0);
    if (status == ENVOL_OK)
        status = disk_sync(header->fd); /* before anything is sealed under its DEK */
    free(bytes);
    return status;
}

static enum envol_status load(struct header *header, void *bytes)
{
    enum envol_status status = lock(header);

    if (status != ENVOL_OK)
        return status;
    status = disk_read(header->fd, bytes, ENVOL_HEADER_BYTES, 0);
    unlock(header);
    return status;
}

/* The order of trust: the bytes' own sum, what the caller knows, the key service, the MAC under the
 * DEK; only then is any other field believed. */
enum envol_status header_open(struct header *header, int dir, const char *name,
                              const struct envol_pins *pins)
{
    const struct envol_volume_options options = {.struct_size = sizeof options, .pins = pins};
    void *bytes = malloc(ENVOL_HEADER_BYTES);
    enum envol_status status = bytes == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;

    if (status == ENVOL_OK)
        status = open_file(header, dir, name, 0);
    if (status == ENVOL_OK)
        status = load(header, bytes);
    if (status == ENVOL_OK)
        status = envol_header_decode(bytes, 0, &header->header, header->error);
    if (status == ENVOL_OK)
        status = envol_header_unlock_by(header->header, header->cmks->cmk, header->cmks->count,
                                        &options, &header->keyring, header->error);
    free(bytes);
    return status;
}

/* An engine that runs for months does this now and then, and not only at its end. */
static enum envol_status note_seals(struct header *header)
{
    uint64_t seals = envol_keyring_seals(header->keyring), news = seals - header->noted_seals;
    enum envol_status status = ENVOL_OK;

    if (news == 0 || header->is_unknown_on_disk)
        return ENVOL_OK;
    status = envol_header_set_pages(header->header, 0, 1, news);
    if (status == ENVOL_OK)
        status = commit(header, header->header, header->keyring);
    if (status == ENVOL_OK)
        header->noted_seals = seals;
    return status;
}

enum envol_status header_close(struct header *header)
{
    enum envol_status status;

    header->error = NULL; /* what failed before is what the caller wants to know */
    status = header->keyring == NULL ? ENVOL_OK : note_seals(header);
    envol_keyring_close(header->keyring);
    envol_header_free(header->header);
    if (header->fd >= 0)
        close(header->fd);
    return status;
}

/* --- Rotating ---*/

bool header_is_rotating(const struct header *header)
{
    struct envol_header_info info = {.struct_size = sizeof info};

    return envol_header_info(header->header, &info) == ENVOL_OK && info.rotation != 0;
}

/* The keyring goes over to what is on the disk by now. */
static enum envol_status adopt(struct header *header, struct envol_keyring *newer)
{
    enum envol_status status = envol_keyring_adopt(header->keyring, newer);

    header->is_unknown_on_disk |= status != ENVOL_OK; /* the keyring is another header's */
    header->noted_seals = envol_keyring_seals(header->keyring);
    return status;
}

enum envol_status header_rotate(struct header *header)
{
    struct envol_header *next = NULL;
    struct envol_keyring *newer = NULL;
    enum envol_status status = envol_header_next_epoch(header->header, &next);

    if (status == ENVOL_OK)
        status = envol_header_rotate_by(next, header->header, header->keyring, header->cmks->cmk,
                                        header->cmks->count, NULL, &newer, header->error);
    if (status == ENVOL_OK)
        status = commit(header, next, newer);
    if (status == ENVOL_OK) {
        envol_header_free(header->header);
        header->header = next;
        next = NULL;
        status = adopt(header, newer); /* not sooner: a crash could have lost the new DEK */
    }
    envol_keyring_close(newer);
    envol_header_free(next);
    return status;
}

enum envol_status header_note_sweep(struct header *header, uint64_t visited, uint64_t bad)
{
    enum envol_status status = envol_header_set_sweep(header->header, visited, bad, 0);

    return status == ENVOL_OK ? commit(header, header->header, header->keyring) : status;
}

enum envol_status header_retire(struct header *header)
{
    struct envol_keyring *newer = NULL;
    enum envol_status status = envol_header_retire(header->header, 0);

    if (status == ENVOL_OK)
        status = commit(header, header->header, header->keyring);
    if (status == ENVOL_OK)
        status = envol_header_unlock_with(header->header, header->keyring, NULL, &newer);
    if (status == ENVOL_OK)
        status = adopt(header, newer);
    envol_keyring_close(newer); /* wipes the older DEKs, which it has now */
    return status;
}
