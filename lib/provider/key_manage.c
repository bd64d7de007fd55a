/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making and changing key files.  Whoever changes one holds an exclusive lock on the file that its
 * path names; as each change puts another file there, the lock is worth something only if the path
 * still names the locked file.
 */
#include "provider/key_file.h"
#include "provider/replace.h"

#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static enum envol_status check_path(const char *path, struct envol_error *error)
{
    if (path == NULL || path[0] == '\0')
        return envol_fail(error, ENVOL_E_ARGUMENT, "path of the key file: NULL or empty");
    return ENVOL_OK;
}

static enum envol_status finish(enum envol_status status, struct envol_error *error)
{
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}

enum envol_status envol_key_file_create(const char *path, struct envol_error *error)
{
    struct envol_key_file file = {.image = NULL};
    enum envol_status status = check_path(path, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_key_file_make(&file);
    if (status != ENVOL_OK)
        return envol_fail(error, status, "%s: %s", path, envol_status_message(status));
    status = envol_file_put(path, ENVOL_PUT_NEW, file.image, file.image_bytes, error);
    envol_key_file_drop(&file);
    return finish(status, error);
}

/* For writing, as an exclusive lock needs that.  The file itself is never written to. */
static enum envol_status open_to_change(const char *path, int *fd, struct envol_error *error)
{
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (*fd >= 0)
        return ENVOL_OK;
    if (errno == ELOOP) {
        envol_fail(error, ENVOL_E_STATE, "%s: a symbolic link; name the key file itself", path);
        envol_error_set_errno(error, ELOOP);
        return ENVOL_E_STATE;
    }
    if (errno == EISDIR || errno == ENXIO)
        return envol_fail_errno(error, ENVOL_E_KEY_DENIED, errno, "%s: not a regular file", path);
    return envol_key_file_no_open(errno, path, error);
}

static bool is_at(int fd, const char *path)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

/* The lock goes with the descriptor; no other of this process can drop it (fcntl(2), OFD). */
static enum envol_status lock(int fd, const char *path, struct envol_error *error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            return envol_fail(error, ENVOL_E_BUSY, "%s: is being changed by another", path);
        return envol_fail_errno(error, ENVOL_E_IO, errno, "%s: lock", path);
    }
    if (!is_at(fd, path))
        return envol_fail(error, ENVOL_E_BUSY, "%s: was changed by another just now", path);
    return ENVOL_OK;
}

/* No state: what rotate asks of edit. */
#define ADD_VERSION ((enum envol_key_state)0)

static enum envol_status edit(struct envol_key_file *file, enum envol_key_state state,
                              const char *path, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (state != ADD_VERSION)
        envol_key_file_put_state(file, state);
    else
        status = envol_key_file_add_version(file);
    if (status == ENVOL_E_RANGE)
        return envol_fail(error, status, "%s: holds %u versions, and no more fit", path,
                          ENVOL_KEY_FILE_VERSIONS_MAX);
    if (status != ENVOL_OK)
        return envol_fail(error, status, "%s: %s", path, envol_status_message(status));
    return ENVOL_OK;
}

/*
 * The change would replace one of the names, and leave the old state behind the others.  A creator
 * that was killed in between may have left a second name; that one is ours to remove.
 */
static enum envol_status check_links(int fd, const char *path, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;
    struct stat about;

    if (fstat(fd, &about) == 0 && about.st_nlink > 1)
        status = envol_file_tidy(path, error);
    if (status != ENVOL_OK)
        return status;
    if (fstat(fd, &about) != 0)
        return envol_fail_errno(error, ENVOL_E_IO, errno, "%s: stat", path);
    if (about.st_nlink > 1)
        return envol_fail(error, ENVOL_E_STATE,
                          "%s: has %lu names (hard links); the others would keep the key as it is",
                          path, (unsigned long)about.st_nlink);
    return ENVOL_OK;
}

static enum envol_status change(const char *path, enum envol_key_state state,
                                struct envol_error *error)
{
    struct envol_key_file file = {.image = NULL};
    int fd = -1;
    enum envol_status status = open_to_change(path, &fd, error);

    if (status == ENVOL_OK)
        status = lock(fd, path, error);
    if (status == ENVOL_OK)
        status = check_links(fd, path, error);
    if (status == ENVOL_OK)
        status = envol_key_file_read(fd, path, 0, &file, error);
    if (status == ENVOL_OK)
        status = edit(&file, state, path, error);
    if (status == ENVOL_OK)
        status = envol_file_put(path, ENVOL_PUT_OVER, file.image, file.image_bytes, error);
    envol_key_file_drop(&file);
    if (fd >= 0)
        close(fd);
    return finish(status, error);
}

enum envol_status envol_key_file_set_state(const char *path, enum envol_key_state state,
                                           struct envol_error *error)
{
    enum envol_status status = check_path(path, error);

    if (status != ENVOL_OK)
        return status;
    if ((int)state < ENVOL_KEY_ENABLED || (int)state > ENVOL_KEY_PENDING_DELETION)
        return envol_fail(error, ENVOL_E_ARGUMENT, "key state %d: there is none of that number",
                          (int)state);
    return change(path, state, error);
}

enum envol_status envol_key_file_rotate(const char *path, struct envol_error *error)
{
    enum envol_status status = check_path(path, error);

    return status == ENVOL_OK ? change(path, ADD_VERSION, error) : status;
}
