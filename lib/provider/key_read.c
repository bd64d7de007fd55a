/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading key files.  What is checked is checked on the file that was opened, so that a name that
 * changes meanwhile changes nothing; the content goes into the arena and nowhere else.
 */
#include "provider/key_file.h"

#include "base/arena.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room to see that a file goes on where the longest key file ends. */
enum { READ_MAX = ENVOL_KEY_FILE_BYTES_MAX + 1 };

static enum envol_status check_access(int fd, const char *path, off_t *bytes,
                                      struct envol_error *error)
{
    struct stat is;

    if (fstat(fd, &is) != 0)
        return envol_fail_errno(error, ENVOL_E_IO, errno, "%s", path);
    if (!S_ISREG(is.st_mode))
        return envol_fail(error, ENVOL_E_KEY_DENIED, "%s: not a regular file", path);
    if (is.st_uid != geteuid() && is.st_uid != 0)
        return envol_fail(error, ENVOL_E_KEY_DENIED,
                          "%s: belongs to user %lu, and must be user %lu's or root's", path,
                          (unsigned long)is.st_uid, (unsigned long)geteuid());
    if ((is.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return envol_fail(error, ENVOL_E_KEY_DENIED,
                          "%s: mode is 0%o, and must be 0600 or 0400: closed to group and others",
                          path, (unsigned)(is.st_mode & 07777));
    *bytes = is.st_size;
    return ENVOL_OK;
}

/* Up to capacity bytes, fewer only at the end of the file. */
static enum envol_status read_all(int fd, const char *path, uint8_t *to, size_t capacity,
                                  size_t *bytes, struct envol_error *error)
{
    *bytes = 0;
    while (*bytes < capacity) {
        ssize_t got = pread(fd, to + *bytes, capacity - *bytes, (off_t)*bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return envol_fail_errno(error, ENVOL_E_IO, errno, "%s", path);
        if (got == 0)
            break;
        *bytes += (size_t)got;
    }
    return ENVOL_OK;
}

enum envol_status envol_key_file_read(int fd, const char *path, uint32_t flags,
                                      struct envol_key_file *file, struct envol_error *error)
{
    size_t capacity = 0, bytes = 0;
    void *image = NULL;
    off_t size = 0;
    enum envol_status status = check_access(fd, path, &size, error);

    *file = (struct envol_key_file){.image = NULL};
    if (status != ENVOL_OK)
        return status;
    capacity = size < READ_MAX ? (size_t)size : READ_MAX;
    status = capacity > 0 ? envol_arena_alloc(capacity, flags, &image) : ENVOL_E_FORMAT;
    if (status != ENVOL_OK)
        return envol_fail(error, status, capacity > 0 ? NULL : "%s: empty", path);
    status = read_all(fd, path, image, capacity, &bytes, error);
    if (status == ENVOL_OK)
        status = bytes == capacity
                     ? envol_key_file_decode(path, image, bytes, file, error)
                     : envol_fail(error, ENVOL_E_CORRUPT, "%s: cut while it was read", path);
    if (status != ENVOL_OK)
        envol_arena_free(image, capacity);
    return status;
}

enum envol_status envol_key_file_no_open(int os_errno, const char *path, struct envol_error *error)
{
    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
        return envol_fail_errno(error, ENVOL_E_KEY_NOT_FOUND, os_errno, "%s", path);
    case EACCES:
    case EPERM:
        return envol_fail_errno(error, ENVOL_E_KEY_DENIED, os_errno, "%s", path);
    default:
        return envol_fail_errno(error, ENVOL_E_IO, os_errno, "%s", path);
    }
}

/* O_NONBLOCK: a FIFO in the file's place must not hold the caller up. */
enum envol_status envol_key_file_load(const char *path, uint32_t flags, struct envol_key_file *file,
                                      struct envol_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    enum envol_status status;

    *file = (struct envol_key_file){.image = NULL};
    if (fd < 0)
        return envol_key_file_no_open(errno, path, error);
    status = envol_key_file_read(fd, path, flags, file, error);
    close(fd);
    return status;
}
