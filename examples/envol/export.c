/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol export: exactly the bytes that were imported, into a file that appears whole or not at all,
 * or to standard output.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct export
{
    const struct options *options;
    struct session session;
    struct batch batch;
    struct progress progress;
    uint64_t bytes; /* of the import */
    const char *target_name;
    int target;
    char temporary[PATH_MAX]; /* "" if the target is written to directly */
};

static int fail_target(struct export *export, int os_errno)
{
    progress_hide(&export->progress);
    return fail_errno(export->options, export->target_name, os_errno);
}

static int find_content(struct export *export)
{
    enum content content;
    enum envol_status status = record_read(&export->session, &content, &export->bytes);

    if (status != ENVOL_OK)
        return fail(export->options, status, NULL);
    if (content == CONTENT_NONE)
        return fail_text(export->options, ENVOL_E_STATE,
                         "the volume is empty; fill it with envol import");
    if (content == CONTENT_FOREIGN)
        return fail_text(export->options, ENVOL_E_STATE,
                         "the volume's pages are not an import; read them with their own program");
    if (content == CONTENT_PARTIAL)
        return fail_text(export->options, ENVOL_E_STATE,
                         "the import was cut off, or still runs; run envol import again");
    return STATUS_OK;
}

/* A plain file is replaced by a new one; devices, pipes and standard output are written to. */
static int check_target(struct export *export, bool *direct)
{
    const struct options *options = export->options;
    struct stat about;
    int found = options->file == NULL ? fstat(STDOUT_FILENO, &about) : stat(options->file, &about);

    *direct = options->file == NULL;
    export->target_name = options->file == NULL ? "standard output" : options->file;
    if (found != 0)
        return options->file != NULL && errno == ENOENT ? STATUS_OK : fail_target(export, errno);
    if (is_named_file(options, &about))
        return fail_usage(options, "%s is the volume itself or its key", export->target_name);
    if (S_ISDIR(about.st_mode))
        return fail_target(export, EISDIR);
    *direct = *direct || !S_ISREG(about.st_mode);
    if (!*direct && !(options->given & TAKES_FORCE))
        return fail_text(options, ENVOL_E_STATE, "%s exists; --force replaces it", options->file);
    return STATUS_OK;
}

/* Beside FILE, so that the rename stays within one file system.  mkostemp makes it mode 0600. */
static int open_temporary(struct export *export)
{
    const char *file = export->options->file;
    const char *slash = strrchr(file, '/');
    int directory = slash == NULL ? 0 : (int)(slash + 1 - file);
    int length = snprintf(export->temporary, sizeof export->temporary, "%.*s.envol-export-XXXXXX",
                          directory, file);

    if (length < 0 || (size_t)length >= sizeof export->temporary) {
        export->temporary[0] = '\0';
        return fail_target(export, ENAMETOOLONG);
    }
    export->target = mkostemp(export->temporary, O_CLOEXEC);
    if (export->target >= 0)
        return STATUS_OK;
    export->temporary[0] = '\0';
    return fail_target(export, errno);
}

static int open_target(struct export *export)
{
    bool direct;
    int exit_status = check_target(export, &direct);

    if (exit_status != STATUS_OK)
        return exit_status;
    if (!direct)
        return open_temporary(export);
    export->target = export->options->file == NULL
                         ? STDOUT_FILENO
                         : open(export->options->file, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return export->target < 0 ? fail_target(export, errno) : STATUS_OK;
}

static int fail_page(struct export *export, enum envol_status status,
                     const struct envol_error *error)
{
    progress_hide(&export->progress);
    if (status == ENVOL_E_RANGE || status == ENVOL_E_TRUNCATED)
        return fail_text(export->options, ENVOL_E_TRUNCATED,
                         "page %" PRIu64 ": the volume ends before the import of %" PRIu64
                         " bytes does; restore it from a backup",
                         error->page_no, export->bytes);
    if (error->page_no == ENVOL_NO_PAGE)
        return fail(export->options, status, error);
    return fail_text(export->options, status, "page %" PRIu64 ": %s; restore it from a backup",
                     error->page_no, envol_status_message(status));
}

static int read_batch(struct export *export, uint64_t first, size_t pages)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct batch *batch = &export->batch;
    enum envol_status status;
    size_t i = 0;

    batch_aim(batch, first, pages);
    status = envol_page_read_batch(export->session.volume, batch->ios, pages, &error);
    if (status == ENVOL_OK)
        return STATUS_OK;
    while (i < pages && batch->ios[i].status == ENVOL_OK)
        i++;
    if (i < pages)
        error.page_no = batch->ios[i].page_no;
    return fail_page(export, status, &error);
}

static int write_all(struct export *export, const uint8_t *from, size_t bytes)
{
    while (bytes > 0 && !is_cancelled()) {
        ssize_t n = write(export->target, from, bytes);
        if (n < 0 && errno != EINTR)
            return fail_target(export, errno);
        from += n > 0 ? n : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    if (is_cancelled())
        progress_hide(&export->progress);
    return check_cancelled(export->options);
}

static int copy_content(struct export *export)
{
    struct batch *batch = &export->batch;
    size_t room = batch->capacity * batch->page_bytes;
    uint64_t left = export->bytes;
    uint64_t first = CONTENT_FIRST_PAGE;
    int exit_status = STATUS_OK;

    while (exit_status == STATUS_OK && left > 0) {
        size_t bytes = left < room ? (size_t)left : room;
        size_t pages = (size_t)content_pages(&export->session, bytes);
        exit_status = read_batch(export, first, pages);
        if (exit_status == STATUS_OK)
            exit_status = write_all(export, batch->bytes, bytes);
        first += pages;
        left -= bytes;
        progress_add(&export->progress, bytes);
    }
    return exit_status;
}

/* Without --force, a file that came into being meanwhile is not replaced either. */
static bool put_in_place(const struct export *export)
{
    const char *file = export->options->file;

    if (export->options->given & TAKES_FORCE)
        return rename(export->temporary, file) == 0;
    if (renameat2(AT_FDCWD, export->temporary, AT_FDCWD, file, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    /* A file system that knows no such flag: a link never replaces. */
    return link(export->temporary, file) == 0 && unlink(export->temporary) == 0;
}

static int sync_directory(const struct export *export)
{
    char path[PATH_MAX];
    char *slash;
    int fd;
    int result;

    strcpy(path, export->temporary);
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

static int publish(struct export *export)
{
    int os_errno;

    if (export->temporary[0] == '\0')
        return STATUS_OK;
    if (fsync(export->target) != 0 || !put_in_place(export))
        return fail_target(export, errno);
    os_errno = sync_directory(export);
    export->temporary[0] = '\0';
    return os_errno == 0 ? STATUS_OK : fail_target(export, os_errno);
}

static int export_content(struct export *export)
{
    int exit_status = find_content(export);

    if (exit_status == STATUS_OK)
        exit_status =
            batch_alloc(&export->batch, export->options, export->session.geometry.page_bytes);
    if (exit_status == STATUS_OK)
        exit_status = open_target(export);
    if (exit_status != STATUS_OK)
        return exit_status;
    progress_start(&export->progress, "export", export->bytes);
    exit_status = copy_content(export);
    if (exit_status == STATUS_OK)
        exit_status = publish(export);
    if (exit_status == STATUS_OK)
        progress_done(&export->progress);
    return exit_status;
}

int run_export(const struct options *options)
{
    struct export export = {.options = options, .target = -1};
    int exit_status = session_open(&export.session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status == STATUS_OK)
        exit_status = export_content(&export);
    if (export.temporary[0] != '\0')
        unlink(export.temporary);
    if (options->file != NULL && export.target >= 0 && close(export.target) != 0 &&
        exit_status == STATUS_OK)
        exit_status = fail_target(&export, errno);
    exit_status = session_finish(&export.session, options, exit_status);
    batch_free(&export.batch);
    return exit_status;
}
