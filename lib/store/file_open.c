/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and creating the file or block device of a file store. */
#include "base/error.h"
#include "base/memory.h"
#include "store/file_store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A program that was started without its standard descriptors must not print into a volume: the
 * first free descriptor above them.
 */
static int above_standard(int fd)
{
    int moved, os_errno;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    os_errno = errno;
    close(fd);
    errno = os_errno;
    return moved;
}

static int open_again(const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return above_standard(fd);
}

static enum envol_status refuse_kind(const char *path, struct envol_error *error)
{
    return envol_fail(error, ENVOL_E_UNSUPPORTED, "%s is neither a file nor a block device", path);
}

static enum envol_status open_failed(const char *path, int os_errno, struct envol_error *error)
{
    switch (os_errno) {
    case EEXIST:
        return envol_fail_errno(error, ENVOL_E_STATE, os_errno, "create %s", path);
    case ENOMEM:
        return envol_fail_errno(error, ENVOL_E_NO_MEMORY, os_errno, "open %s", path);
    case EISDIR: /* a directory, for writing */
    case ENXIO:  /* a socket */
        return refuse_kind(path, error);
    default:
        return envol_fail_errno(error, ENVOL_E_IO, os_errno, "open %s", path);
    }
}

/*
 * O_DIRECT is set here, and not at open, where a file system that lacks it may create the file and
 * then fail.  The other flags go: O_NONBLOCK was for the open alone.
 */
static enum envol_status set_mode(int fd, const char *path, uint32_t flags,
                                  struct envol_error *error)
{
    if (fcntl(fd, F_SETFL, flags & ENVOL_FILE_DIRECT ? O_DIRECT : 0) == 0)
        return ENVOL_OK;
    if (errno == EINVAL)
        return envol_fail_errno(error, ENVOL_E_UNSUPPORTED, errno, "O_DIRECT on %s", path);
    return envol_fail_errno(error, ENVOL_E_IO, errno, "open %s", path);
}

static enum envol_status check_kind(int fd, const char *path, bool *is_device,
                                    struct envol_error *error)
{
    struct stat about;

    if (fstat(fd, &about) != 0)
        return envol_fail_errno(error, ENVOL_E_IO, errno, "stat %s", path);
    *is_device = S_ISBLK(about.st_mode);
    return S_ISREG(about.st_mode) || *is_device ? ENVOL_OK : refuse_kind(path, error);
}

/* "a/b" -> "a", "/b" -> "/", "b" -> ".": NULL is out of memory. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL || slash == path ? 1 : (size_t)(slash - path);
    char *directory = envol_alloc(length + 1, 1);

    if (directory != NULL)
        memcpy(directory, slash == NULL ? "." : path, length);
    return directory;
}

static int sync_descriptor(int fd)
{
    int result;

    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    /* Some network file systems know no fsync of directories. */
    return result != 0 && errno == EINVAL ? 0 : result;
}

/* Without it a crash may lose the name of a file whose contents were synced. */
static enum envol_status sync_directory(const char *path, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;
    char *directory = directory_of(path);
    int fd;

    if (directory == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    fd = open_again(directory, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || sync_descriptor(fd) != 0)
        status = envol_fail_errno(error, ENVOL_E_IO, errno, "sync directory %s", directory);
    if (fd >= 0)
        close(fd);
    envol_free(directory);
    return status;
}

enum envol_status envol_file_open(const char *path, uint32_t flags, int *opened, bool *is_device,
                                  struct envol_error *error)
{
    /* Opening a FIFO would wait for its other end. */
    int os_flags = O_NOCTTY | O_NONBLOCK;
    bool create = (flags & ENVOL_FILE_CREATE) != 0;
    enum envol_status status;
    int fd;

    os_flags |= flags & ENVOL_FILE_READ_ONLY ? O_RDONLY : O_RDWR;
    os_flags |= create ? O_CREAT | O_EXCL : 0;
    fd = open_again(path, os_flags, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return open_failed(path, errno, error);
    status = check_kind(fd, path, is_device, error);
    if (status == ENVOL_OK)
        status = set_mode(fd, path, flags, error);
    if (status == ENVOL_OK && create)
        status = sync_directory(path, error);
    if (status == ENVOL_OK) {
        *opened = fd;
        return ENVOL_OK;
    }
    if (create)
        unlink(path);
    close(fd);
    return status;
}
