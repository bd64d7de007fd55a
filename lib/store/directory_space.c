/* SPDX-License-Identifier: BSD-2-Clause */
/* A space in a directory: each store a file in it, each change of a name synced. */
#include "store/space.h"

#include "base/error.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct directory {
    int fd;
    char *path; /* absolute */
    size_t path_bytes;
};

static int sync_again(int fd)
{
    int result;

    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    /* Some network file systems know no fsync of directories. */
    return result != 0 && errno == EINVAL ? 0 : result;
}

static char *path_of(const struct directory *directory, const char *name)
{
    size_t name_bytes = strlen(name);
    char *path = envol_alloc(directory->path_bytes + 1 + name_bytes + 1, 1);

    if (path == NULL)
        return NULL;
    memcpy(path, directory->path, directory->path_bytes);
    path[directory->path_bytes] = '/';
    memcpy(path + directory->path_bytes + 1, name, name_bytes);
    return path;
}

/* A file store syncs the directory itself when it creates. */
static enum envol_status directory_open(void *state, const char *name, uint32_t flags,
                                        struct envol_store **store, struct envol_error *error)
{
    const struct directory *directory = state;
    char *path = path_of(directory, name);
    uint32_t file_flags = 0;
    enum envol_status status;

    if (path == NULL)
        return ENVOL_E_NO_MEMORY;
    file_flags |= flags & ENVOL_SPACE_CREATE ? ENVOL_FILE_CREATE : 0;
    file_flags |= flags & ENVOL_SPACE_READ_ONLY ? ENVOL_FILE_READ_ONLY : 0;
    if (!(flags & ENVOL_SPACE_CREATE) && faccessat(directory->fd, name, F_OK, 0) != 0 &&
        errno == ENOENT)
        status = ENVOL_E_RANGE;
    else
        status = envol_file_store_open(path, file_flags, store, error);
    envol_free(path);
    return status;
}

static enum envol_status directory_remove(void *state, const char *name)
{
    const struct directory *directory = state;

    if (unlinkat(directory->fd, name, 0) != 0 && errno != ENOENT)
        return ENVOL_E_IO;
    /* Also when it was gone: a removal before this one may not have been synced. */
    return sync_again(directory->fd) == 0 ? ENVOL_OK : ENVOL_E_IO;
}

/* File systems that lack RENAME_NOREPLACE: a look before the leap, which one writer can afford. */
static int rename_looking(int fd, const char *from, const char *to)
{
    if (faccessat(fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? renameat(fd, from, fd, to) : -1;
}

static enum envol_status directory_rename(void *state, const char *from, const char *to)
{
    const struct directory *directory = state;
    int fd = directory->fd;
    int result = renameat2(fd, from, fd, to, RENAME_NOREPLACE);

    if (result != 0 && (errno == EINVAL || errno == ENOSYS))
        result = rename_looking(fd, from, to);
    if (result != 0)
        return errno == EEXIST ? ENVOL_E_STATE : errno == ENOENT ? ENVOL_E_RANGE : ENVOL_E_IO;
    return sync_again(fd) == 0 ? ENVOL_OK : ENVOL_E_IO;
}

/* A stream of its own each time: the position of one descriptor is shared. */
static enum envol_status
directory_list(void *state, enum envol_status (*callback)(const char *name, void *ctx), void *ctx)
{
    const struct directory *directory = state;
    enum envol_status status = ENVOL_OK;
    DIR *stream = opendir(directory->path);
    const struct dirent *at;
    int os_errno;

    if (stream == NULL)
        return ENVOL_E_IO;
    do {
        errno = 0;
        at = readdir(stream);
        os_errno = errno;
        if (at != NULL && at->d_type != DT_DIR)
            status = callback(at->d_name, ctx);
    } while (at != NULL && status == ENVOL_OK);
    closedir(stream);
    if (at == NULL && os_errno != 0) {
        errno = os_errno;
        return ENVOL_E_IO;
    }
    return status;
}

static void directory_close(void *state)
{
    struct directory *directory = state;

    if (directory->fd >= 0)
        close(directory->fd);
    envol_free(directory->path);
    envol_free(directory);
}

static const struct envol_space_vtable directory_vtable = {
    .struct_size = sizeof(struct envol_space_vtable),
    .name = "directory",
    .open = directory_open,
    .remove = directory_remove,
    .rename = directory_rename,
    .list = directory_list,
    .close = directory_close,
};

static int open_directory(const char *path)
{
    int fd;

    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Its own name must survive a crash as well. */
static enum envol_status sync_parent(int fd, const char *path, struct envol_error *error)
{
    int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = parent >= 0 ? sync_again(parent) : -1;
    int os_errno = errno;

    if (parent >= 0)
        close(parent);
    return result == 0 ? ENVOL_OK
                       : envol_fail_errno(error, ENVOL_E_IO, os_errno, "sync above %s", path);
}

/* The absolute path, so that a change of the working directory moves nothing. */
static enum envol_status resolve(struct directory *directory, const char *path,
                                 struct envol_error *error)
{
    char *resolved = realpath(path, NULL);

    if (resolved == NULL)
        return envol_fail_errno(error, ENVOL_E_IO, errno, "open directory %s", path);
    directory->path_bytes = strlen(resolved);
    directory->path = envol_alloc(directory->path_bytes + 1, 1);
    if (directory->path != NULL)
        memcpy(directory->path, resolved, directory->path_bytes);
    free(resolved);
    return directory->path != NULL ? ENVOL_OK : envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
}

static enum envol_status enter(struct directory *directory, const char *path, uint32_t flags,
                               struct envol_error *error)
{
    bool made = false;
    enum envol_status status;

    if (flags & ENVOL_SPACE_CREATE_DIRECTORY) {
        made = mkdir(path, S_IRWXU) == 0;
        if (!made && errno != EEXIST)
            return envol_fail_errno(error, ENVOL_E_IO, errno, "make directory %s", path);
    }
    directory->fd = open_directory(path);
    if (directory->fd < 0)
        return envol_fail_errno(error, ENVOL_E_IO, errno, "open directory %s", path);
    status = made ? sync_parent(directory->fd, path, error) : ENVOL_OK;
    return status == ENVOL_OK ? resolve(directory, path, error) : status;
}

enum envol_status envol_directory_space_open(const char *path, uint32_t flags,
                                             struct envol_space **space, struct envol_error *error)
{
    struct directory *directory;
    enum envol_status status;

    if (space == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    *space = NULL;
    if (path == NULL || *path == '\0')
        return envol_fail(error, ENVOL_E_ARGUMENT, "a directory space needs a path");
    if (flags & ~ENVOL_SPACE_CREATE_DIRECTORY)
        return envol_fail(error, ENVOL_E_ARGUMENT, "unknown flags of a directory space: %#x",
                          (unsigned)(flags & ~ENVOL_SPACE_CREATE_DIRECTORY));
    directory = envol_alloc(sizeof(*directory), _Alignof(struct directory));
    if (directory == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    directory->fd = -1;
    status = enter(directory, path, flags, error);
    if (status != ENVOL_OK) {
        directory_close(directory);
        return status;
    }
    status = envol_space_open(&directory_vtable, directory, space);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    envol_error_clear(error);
    return ENVOL_OK;
}
