/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Atomic replacement.  The new file has no name while it is written (O_TMPFILE), so that a killed
 * process leaves nothing behind but in the instant between linkat and renameat; what is left then,
 * or on file systems without O_TMPFILE, the next writer removes.
 */
#include "provider/replace.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = S_IRUSR | S_IWUSR, RANDOM_DIGITS = 16 };

struct put {
    const char *path; /* for messages */
    const char *base; /* last part of path */
    int dir;
    int fd;
    bool refused;                 /* files without a name do not work here */
    bool named;                   /* temporary is the name of a file of ours */
    char temporary[NAME_MAX + 1]; /* .BASE.0123456789abcdef.new */
};

static enum envol_status fail(const struct put *put, const char *what, struct envol_error *error)
{
    enum envol_status status =
        errno == EACCES || errno == EPERM || errno == EROFS ? ENVOL_E_KEY_DENIED : ENVOL_E_IO;

    return envol_fail_errno(error, status, errno, "%s: %s", put->path, what);
}

/* Everything happens relative to the directory, which may be renamed meanwhile. */
static enum envol_status open_directory(struct put *put, struct envol_error *error)
{
    const char *slash = strrchr(put->path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - put->path) + 1;
    char name[PATH_MAX] = ".";

    put->base = put->path + length;
    if (put->base[0] == '\0' || strcmp(put->base, ".") == 0 || strcmp(put->base, "..") == 0)
        return envol_fail(error, ENVOL_E_ARGUMENT, "%s: names no file", put->path);
    if (length >= sizeof(name))
        return envol_fail_errno(error, ENVOL_E_IO, ENAMETOOLONG, "directory of the key file");
    if (length > 0) {
        memcpy(name, put->path, length);
        name[length] = '\0';
    }
    put->dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return put->dir < 0 ? fail(put, "directory", error) : ENVOL_OK;
}

static enum envol_status choose_name(struct put *put, struct envol_error *error)
{
    uint8_t number[RANDOM_DIGITS / 2];
    int wanted;

    if (envol_random(number, sizeof(number)) != ENVOL_OK)
        return envol_fail(error, ENVOL_E_RANDOM, "%s: name of a temporary file", put->path);
    wanted = snprintf(put->temporary, sizeof(put->temporary), ".%s.%016llx.new", put->base,
                      (unsigned long long)envol_load64(number));
    if (wanted < 0 || (size_t)wanted >= sizeof(put->temporary))
        return envol_fail_errno(error, ENVOL_E_IO, ENAMETOOLONG, "%s: temporary file", put->path);
    return ENVOL_OK;
}

/* Is it a name that choose_name makes for this base? */
static bool is_leftover(const struct put *put, const char *name)
{
    size_t base = strlen(put->base);

    return strlen(name) == base + RANDOM_DIGITS + strlen("...new") && name[0] == '.' &&
           memcmp(name + 1, put->base, base) == 0 && name[1 + base] == '.' &&
           strspn(name + 2 + base, "0123456789abcdef") == RANDOM_DIGITS &&
           strcmp(name + 2 + base + RANDOM_DIGITS, ".new") == 0;
}

/* A copy of an older key file must not outlive a change.  Failures show at the next change. */
static void remove_leftovers(const struct put *put)
{
    int fd = openat(put->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (list == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(list)) != NULL) {
        if (is_leftover(put, entry->d_name))
            unlinkat(put->dir, entry->d_name, 0);
    }
    closedir(list);
}

static enum envol_status open_file(struct put *put, bool unnamed, struct envol_error *error)
{
    if (unnamed) {
        put->fd = openat(put->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, MODE);
        put->refused = put->fd < 0;
    } else {
        put->fd = openat(put->dir, put->temporary,
                         O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, MODE);
        put->named = put->fd >= 0;
    }
    /* A umask may have taken the owner's own bits. */
    if (put->fd < 0 || fchmod(put->fd, MODE) != 0)
        return fail(put, "temporary file", error);
    return ENVOL_OK;
}

static enum envol_status write_all(const struct put *put, const uint8_t *from, size_t size,
                                   struct envol_error *error)
{
    while (size > 0) {
        ssize_t done = write(put->fd, from, size);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail(put, "write", error);
        from += done;
        size -= (size_t)done;
    }
    return fsync(put->fd) == 0 ? ENVOL_OK : fail(put, "fsync", error);
}

/* Gives the nameless file a name; needs no privilege, but /proc (open(2), O_TMPFILE). */
static int link_unnamed(struct put *put, const char *name)
{
    char self[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", put->fd);
    if (linkat(AT_FDCWD, self, put->dir, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    put->refused = errno != EEXIST;
    return -1;
}

/* Where a file system knows no RENAME_NOREPLACE, a second link does as well. */
static int move_new(struct put *put)
{
    if (renameat2(put->dir, put->temporary, put->dir, put->base, RENAME_NOREPLACE) == 0) {
        put->named = false;
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    return linkat(put->dir, put->temporary, put->dir, put->base, 0);
}

static int move_over(struct put *put)
{
    if (!put->named && link_unnamed(put, put->temporary) != 0)
        return -1;
    put->named = true;
    if (renameat(put->dir, put->temporary, put->dir, put->base) != 0)
        return -1;
    put->named = false;
    return 0;
}

static enum envol_status publish(struct put *put, enum envol_put how, struct envol_error *error)
{
    int done;

    if (how == ENVOL_PUT_OVER)
        done = move_over(put);
    else
        done = put->named ? move_new(put) : link_unnamed(put, put->base);
    if (done == 0)
        return ENVOL_OK;
    if (how == ENVOL_PUT_NEW && errno == EEXIST)
        return envol_fail_errno(error, ENVOL_E_STATE, EEXIST, "%s", put->path);
    return fail(put, "rename", error);
}

static void discard(struct put *put)
{
    if (put->fd >= 0)
        close(put->fd);
    if (put->named)
        unlinkat(put->dir, put->temporary, 0);
    put->fd = -1;
    put->named = false;
}

static enum envol_status attempt(struct put *put, enum envol_put how, bool unnamed,
                                 const void *bytes, size_t size, struct envol_error *error)
{
    enum envol_status status = open_file(put, unnamed, error);

    if (status == ENVOL_OK)
        status = write_all(put, bytes, size, error);
    if (status == ENVOL_OK)
        status = publish(put, how, error);
    discard(put);
    return status;
}

/* Some file systems cannot sync a directory, and say EINVAL: nothing more can be done there. */
static enum envol_status sync_directory(const struct put *put, struct envol_error *error)
{
    if (fsync(put->dir) == 0 || errno == EINVAL)
        return ENVOL_OK;
    return fail(put, "fsync of the directory", error);
}

enum envol_status envol_file_put(const char *path, enum envol_put how, const void *bytes,
                                 size_t size, struct envol_error *error)
{
    struct put put = {.path = path, .dir = -1, .fd = -1};
    enum envol_status status = open_directory(&put, error);

    if (status == ENVOL_OK)
        status = choose_name(&put, error);
    if (status != ENVOL_OK)
        goto out;
    if (how == ENVOL_PUT_OVER)
        remove_leftovers(&put);
    status = attempt(&put, how, true, bytes, size, error);
    if (status != ENVOL_OK && put.refused)
        status = attempt(&put, how, false, bytes, size, error);
    if (status == ENVOL_OK)
        status = sync_directory(&put, error);
out:
    if (put.dir >= 0)
        close(put.dir);
    return status;
}

enum envol_status envol_file_tidy(const char *path, struct envol_error *error)
{
    struct put put = {.path = path, .dir = -1, .fd = -1};
    enum envol_status status = open_directory(&put, error);

    if (status == ENVOL_OK) {
        remove_leftovers(&put);
        close(put.dir);
    }
    return status;
}
