/* SPDX-License-Identifier: BSD-2-Clause */
/* Directories: made, replaced as a whole, removed. */
#include "engine.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *path_in(const char *path, const char *name)
{
    char *whole;

    return asprintf(&whole, "%s/%s", path, name) >= 0 ? whole : NULL;
}

bool path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Names in a directory are safe when it was synced. */
static enum envol_status sync_parent(const char *path, struct envol_error *error)
{
    char *copy = strdup(path);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum envol_status status = ENVOL_OK;

    if (fd < 0 || fsync(fd) != 0)
        status = fail(error, ENVOL_E_IO, "the directory of %.200s", path);
    if (fd >= 0)
        close(fd);
    free(copy);
    return status;
}

enum envol_status path_make(const char *path, struct envol_error *error)
{
    return mkdir(path, 0700) == 0 ? sync_parent(path, error)
                                  : fail(error, ENVOL_E_IO, "%.200s", path);
}

static int remove_one(const char *path, const struct stat *file, int type, struct FTW *place)
{
    (void)file, (void)type, (void)place;
    return remove(path);
}

enum envol_status path_remove(const char *path, struct envol_error *error)
{
    if (nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return fail(error, ENVOL_E_IO, "removing %.200s", path);
    return ENVOL_OK;
}

/* At every moment one whole directory is at `to`. */
enum envol_status path_replace(const char *from, const char *to, struct envol_error *error)
{
    enum envol_status status;

    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, path_exists(to) ? RENAME_EXCHANGE : 0) != 0)
        return fail(error, ENVOL_E_IO, "%.200s in the place of another", to);
    status = sync_parent(to, error);
    return status == ENVOL_OK ? path_remove(from, error) : status;
}
