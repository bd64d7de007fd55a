/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a verb writes to: a file that appears whole or not at all, or a device, a pipe or standard
 * output, which are written to as they are.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void target_init(struct target *target, struct progress *progress)
{
    *target = (struct target){.progress = progress, .fd = -1};
}

int target_fail(const struct target *target, int os_errno)
{
    progress_hide(target->progress);
    return fail_errno(target->options, target->name, os_errno);
}

/* The directory that a path's last component is in. */
static bool stat_directory(const char *path, struct stat *about)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 0 : (int)(slash + 1 - path);

    if ((size_t)length >= sizeof directory)
        return false;
    snprintf(directory, sizeof directory, "%.*s", length, path);
    return stat(length == 0 ? "." : directory, about) == 0;
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

bool is_one_file(const char *a, const char *b)
{
    struct stat first, second;
    bool there = stat(a, &first) == 0 && stat(b, &second) == 0;

    if (!there && strcmp(last_component(a), last_component(b)) == 0)
        there = stat_directory(a, &first) && stat_directory(b, &second);
    return there && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static bool replaces(const struct target *target)
{
    return target->replaces || (target->options->given & TAKES_FORCE) != 0;
}

/* A plain file is replaced by a new one; devices, pipes and standard output are written to. */
static int check_target(struct target *target, bool *direct)
{
    const struct options *options = target->options;
    struct stat about;
    int found = target->file == NULL ? fstat(STDOUT_FILENO, &about) : stat(target->file, &about);

    *direct = target->file == NULL;
    target->name = target->file == NULL ? "standard output" : target->file;
    if (found != 0)
        return target->file != NULL && errno == ENOENT ? STATUS_OK : target_fail(target, errno);
    if (is_named_file(options, &about))
        return fail_usage(options, "%s is the volume itself or its key", target->name);
    if (S_ISDIR(about.st_mode))
        return target_fail(target, EISDIR);
    *direct = *direct || !S_ISREG(about.st_mode);
    if (!*direct && !replaces(target))
        return fail_text(options, ENVOL_E_STATE, "%s exists; --force replaces it", target->file);
    return STATUS_OK;
}

/* Beside FILE, so that the rename stays within one file system.  mkostemp makes it mode 0600. */
static int open_temporary(struct target *target)
{
    const char *file = target->file;
    const char *slash = strrchr(file, '/');
    int directory = slash == NULL ? 0 : (int)(slash + 1 - file);
    int length = snprintf(target->temporary, sizeof target->temporary, "%.*s.envol-%s-XXXXXX",
                          directory, file, target->options->verb);

    if (length < 0 || (size_t)length >= sizeof target->temporary) {
        target->temporary[0] = '\0';
        return target_fail(target, ENAMETOOLONG);
    }
    target->fd = mkostemp(target->temporary, O_CLOEXEC);
    if (target->fd >= 0)
        return STATUS_OK;
    target->temporary[0] = '\0';
    return target_fail(target, errno);
}

int target_open(struct target *target, const struct options *options, const char *file)
{
    bool direct;
    int exit_status;

    target->options = options;
    target->file = file;
    exit_status = check_target(target, &direct);
    if (exit_status != STATUS_OK)
        return exit_status;
    if (!direct)
        return open_temporary(target);
    target->fd =
        target->file == NULL ? STDOUT_FILENO : open(target->file, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return target->fd < 0 ? target_fail(target, errno) : STATUS_OK;
}

/* Without --force, a file that came into being meanwhile is not replaced either. */
static bool put_in_place(const struct target *target)
{
    const char *file = target->file;

    if (replaces(target))
        return rename(target->temporary, file) == 0;
    if (renameat2(AT_FDCWD, target->temporary, AT_FDCWD, file, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    /* A file system that knows no such flag: a link never replaces. */
    return link(target->temporary, file) == 0 && unlink(target->temporary) == 0;
}

static int sync_directory(const struct target *target)
{
    char path[PATH_MAX];
    char *slash;
    int fd;
    int result;

    strcpy(path, target->temporary);
    slash = strrchr(path, '/');
    if (slash != NULL)
        slash[1] = '\0';
    fd = open(slash == NULL ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems know no fsync of directories, some directories may not be read. */
    if (fd < 0)
        return 0;
    result = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return result;
}

int target_publish(struct target *target)
{
    int os_errno;

    if (target->temporary[0] == '\0')
        return STATUS_OK;
    if (fsync(target->fd) != 0 || !put_in_place(target))
        return target_fail(target, errno);
    os_errno = sync_directory(target);
    target->temporary[0] = '\0';
    target->is_in_place = true;
    return os_errno == 0 ? STATUS_OK : target_fail(target, os_errno);
}

int target_put(struct target *target, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;

    while (count > 0 && !is_cancelled()) {
        ssize_t n = write(target->fd, from, count);
        if (n < 0 && errno != EINTR)
            return errno;
        from += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    return is_cancelled() ? EINTR : 0;
}

int target_write(struct target *target, const void *bytes, size_t count)
{
    int os_errno = target_put(target, bytes, count);

    if (is_cancelled()) {
        progress_hide(target->progress);
        return check_cancelled(target->options);
    }
    return os_errno == 0 ? STATUS_OK : target_fail(target, os_errno);
}

int target_close(struct target *target, int exit_status)
{
    if (target->temporary[0] != '\0')
        unlink(target->temporary);
    if (target->file != NULL && target->fd >= 0 && close(target->fd) != 0 &&
        exit_status == STATUS_OK)
        exit_status = target_fail(target, errno);
    target->fd = -1;
    return exit_status;
}
