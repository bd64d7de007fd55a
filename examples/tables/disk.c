/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole reads and writes, and files that are replaced atomically. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum envol_status disk_read(int fd, void *bytes, size_t count, uint64_t offset)
{
    char *to = bytes;
    ssize_t got;

    for (; count > 0; to += got, offset += (uint64_t)got, count -= (size_t)got) {
        do
            got = pread(fd, to, count, (off_t)offset);
        while (got < 0 && errno == EINTR);
        if (got <= 0)
            return got == 0 ? ENVOL_E_TRUNCATED : ENVOL_E_IO;
    }
    return ENVOL_OK;
}

enum envol_status disk_write(int fd, const void *bytes, size_t count, uint64_t offset)
{
    const char *from = bytes;
    ssize_t put;

    for (; count > 0; from += put, offset += (uint64_t)put, count -= (size_t)put) {
        do
            put = pwrite(fd, from, count, (off_t)offset);
        while (put < 0 && errno == EINTR);
        if (put < 0)
            return ENVOL_E_IO;
    }
    return ENVOL_OK;
}

enum envol_status disk_sync(int fd)
{
    return fsync(fd) == 0 ? ENVOL_OK : ENVOL_E_IO;
}

enum envol_status disk_size(int fd, uint64_t *bytes)
{
    struct stat file;

    if (fstat(fd, &file) != 0)
        return ENVOL_E_IO;
    *bytes = (uint64_t)file.st_size;
    return ENVOL_OK;
}

enum envol_status disk_load(int dir, const char *name, void **bytes, size_t *count)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    uint64_t size = 0;
    enum envol_status status = fd < 0 ? ENVOL_E_IO : disk_size(fd, &size);

    /* Nobody vouches for the length before it is read. */
    if (status == ENVOL_OK && size > DISK_LOAD_MAX)
        status = ENVOL_E_CORRUPT;
    *bytes = NULL;
    *count = (size_t)size;
    if (status == ENVOL_OK && (*bytes = malloc(*count + 1)) == NULL)
        status = ENVOL_E_NO_MEMORY;
    if (status == ENVOL_OK)
        status = disk_read(fd, *bytes, *count, 0);
    if (status != ENVOL_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    if (fd >= 0)
        close(fd);
    return status;
}

enum envol_status disk_replace(int dir, const char *name, const void *bytes, size_t count)
{
    char temporary[64];
    enum envol_status status;
    int fd;

    snprintf(temporary, sizeof temporary, "%s.new", name);
    fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return ENVOL_E_IO;
    status = disk_write(fd, bytes, count, 0);
    if (status == ENVOL_OK)
        status = disk_sync(fd); /* before the name: else an empty file might bear it */
    if (close(fd) != 0 && status == ENVOL_OK)
        status = ENVOL_E_IO;
    if (status == ENVOL_OK && renameat(dir, temporary, dir, name) != 0)
        status = ENVOL_E_IO;
    return status == ENVOL_OK ? disk_sync(dir) : status;
}
