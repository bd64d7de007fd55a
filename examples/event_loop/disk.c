/* SPDX-License-Identifier: BSD-2-Clause */
/* The volume's file: the header's callbacks, locks that other users of the library respect, pages.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes that are locked (envol(5)): one for whoever writes the volume, one for its header. */
#define WRITER_LOCK ((off_t)1 << 62)
#define HEADER_LOCK (WRITER_LOCK + 2)
enum { LOCK_WAIT_MS = 10, LOCK_ATTEMPTS = 500 };

static enum envol_status read_all(int fd, void *buffer, size_t bytes, uint64_t offset)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t got = pread(fd, (char *)buffer + done, bytes - done, (off_t)(offset + done));

        if (got == 0)
            return ENVOL_E_TRUNCATED;
        if (got < 0 && errno != EINTR)
            return ENVOL_E_IO;
        done += got > 0 ? (size_t)got : 0;
    }
    return ENVOL_OK;
}

static enum envol_status write_all(int fd, const void *buffer, size_t bytes, uint64_t offset)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t put = pwrite(fd, (const char *)buffer + done, bytes - done, (off_t)(offset + done));

        if (put < 0 && errno != EINTR)
            return ENVOL_E_IO;
        done += put > 0 ? (size_t)put : 0;
    }
    return ENVOL_OK;
}

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

enum envol_status disk_size(const char *path, uint64_t *bytes)
{
    struct stat file;

    if (stat(path, &file) != 0 || !S_ISREG(file.st_mode))
        return ENVOL_E_IO;
    *bytes = (uint64_t)file.st_size;
    return ENVOL_OK;
}

/* The locks go with the descriptor. */
enum envol_status disk_load(const char *path, void *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum envol_status status;

    if (fd < 0)
        return ENVOL_E_IO;
    status = lock_byte(fd, F_RDLCK, HEADER_LOCK, LOCK_ATTEMPTS);
    if (status == ENVOL_OK)
        status = read_all(fd, bytes, ENVOL_HEADER_BYTES, 0);
    close(fd);
    return status;
}

enum envol_status disk_read(const char *path, uint64_t offset, void *record, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum envol_status status;

    if (fd < 0)
        return ENVOL_E_IO;
    status = read_all(fd, record, bytes, offset);
    close(fd);
    return status;
}

/* --- A new volume ------------------------------------------------------------------------------*/

static enum envol_status seal_pages(int fd, int source, const struct disk_volume *volume,
                                    const struct envol_geometry *geometry,
                                    const struct envol_object *object)
{
    uint8_t *record = malloc(geometry->stride_bytes);
    enum envol_status status = record == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;

    for (uint64_t page_no = 0; status == ENVOL_OK && page_no < volume->pages; page_no++) {
        memset(record, 0, geometry->stride_bytes);
        status = read_all(source, record, geometry->page_bytes, page_no * geometry->page_bytes);
        if (status == ENVOL_OK || status == ENVOL_E_TRUNCATED)
            status = envol_page_seal(object, NULL, page_no, record, record);
        if (status == ENVOL_OK)
            status = write_all(fd, record, geometry->stride_bytes,
                               volume->data_offset + page_no * geometry->stride_bytes);
    }
    if (record != NULL)
        explicit_bzero(record, geometry->stride_bytes);
    free(record);
    return status;
}

static enum envol_status write_pages(int fd, const struct disk_volume *volume)
{
    static const uint8_t own_pages[ENVOL_OBJECT_BYTES] = {0};
    struct envol_geometry geometry = {.struct_size = sizeof geometry};
    struct envol_object *object = NULL;
    int source = open(volume->source, O_RDONLY | O_CLOEXEC);
    enum envol_status status = source < 0 ? ENVOL_E_IO : ENVOL_OK;

    if (status == ENVOL_OK)
        status = envol_keyring_geometry(volume->keyring, &geometry);
    if (status == ENVOL_OK)
        status = envol_object_open(volume->keyring, own_pages, &object);
    if (status == ENVOL_OK)
        status = seal_pages(fd, source, volume, &geometry, object);
    envol_object_close(object);
    if (source >= 0)
        close(source);
    return status;
}

/* A new name is on stable storage when its directory is. */
static enum envol_status sync_directory(const char *path)
{
    char *copy = strdup(path);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    free(copy);
    return result == 0 ? ENVOL_OK : ENVOL_E_IO;
}

/* Pages before the header that counts them. */
enum envol_status disk_create(const struct disk_volume *volume)
{
    int fd = open(volume->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum envol_status status;

    if (fd < 0)
        return ENVOL_E_IO;
    status = write_pages(fd, volume);
    if (status == ENVOL_OK && fsync(fd) != 0)
        status = ENVOL_E_IO;
    if (status == ENVOL_OK)
        status = write_all(fd, volume->header, ENVOL_HEADER_BYTES, 0);
    if (status == ENVOL_OK && fsync(fd) != 0)
        status = ENVOL_E_IO;
    if (status == ENVOL_OK)
        status = sync_directory(volume->path);
    if (status != ENVOL_OK)
        unlink(volume->path);
    close(fd);
    return status;
}

/* --- A changed header --------------------------------------------------------------------------*/

static void unlock(void *ctx)
{
    const int *fd = ctx;

    (void)lock_byte(*fd, F_UNLCK, HEADER_LOCK, 1);
    (void)lock_byte(*fd, F_UNLCK, WRITER_LOCK, 1);
}

/* A writer elsewhere knows the header that it read: it is not to be changed under its hands. */
static enum envol_status lock(void *ctx)
{
    const int *fd = ctx;
    enum envol_status status = lock_byte(*fd, F_WRLCK, WRITER_LOCK, 1);

    if (status == ENVOL_OK)
        status = lock_byte(*fd, F_WRLCK, HEADER_LOCK, LOCK_ATTEMPTS);
    if (status != ENVOL_OK)
        unlock(ctx);
    return status;
}

static enum envol_status read_copy(void *ctx, uint32_t copy, void *buffer)
{
    return read_all(*(const int *)ctx, buffer, ENVOL_HEADER_COPY_BYTES,
                    (uint64_t)copy * ENVOL_HEADER_COPY_BYTES);
}

static enum envol_status write_copy(void *ctx, uint32_t copy, const void *buffer)
{
    return write_all(*(const int *)ctx, buffer, ENVOL_HEADER_COPY_BYTES,
                     (uint64_t)copy * ENVOL_HEADER_COPY_BYTES);
}

static enum envol_status sync_file(void *ctx)
{
    return fsync(*(const int *)ctx) == 0 ? ENVOL_OK : ENVOL_E_IO;
}

enum envol_status disk_commit(const char *path, struct envol_header *header,
                              const struct envol_keyring *keyring, struct envol_error *error)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    const struct envol_header_io io = {sizeof io, &fd,        lock,     unlock,
                                       read_copy, write_copy, sync_file};
    enum envol_status status;

    if (fd < 0)
        return ENVOL_E_IO;
    status = envol_header_commit(header, keyring, &io, error);
    close(fd);
    return status;
}
