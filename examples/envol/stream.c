/* SPDX-License-Identifier: BSD-2-Clause */
/* Files and standard input as sources of backups, and the CMKs of one. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { STEP_MS = 100 };

void stream_init(struct stream *stream)
{
    *stream = (struct stream){.fd = -1};
}

int stream_open(struct stream *stream, const struct options *options, const char *path)
{
    struct stat about;

    stream->name = strcmp(path, "-") == 0 ? "standard input" : path;
    stream->fd =
        strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (stream->fd < 0 || fstat(stream->fd, &about) != 0)
        return fail_errno(options, stream->name, errno);
    if (S_ISDIR(about.st_mode))
        return fail_errno(options, stream->name, EISDIR);
    stream->bytes = S_ISREG(about.st_mode) ? (uint64_t)about.st_size : 0;
    return STATUS_OK;
}

void stream_close(struct stream *stream)
{
    if (stream->fd > STDIN_FILENO)
        close(stream->fd);
    stream_init(stream);
}

void stream_show(struct stream *stream, struct progress *progress, const char *verb)
{
    stream->progress = progress;
    progress_start(progress, verb, stream->bytes);
}

/* In steps: a signal may come between the look at it and a wait that nothing else ends. */
ssize_t read_until_signal(int fd, void *bytes, size_t capacity)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t n = -1;

    errno = EINTR;
    while (n < 0 && errno == EINTR && !is_cancelled()) {
        int found = poll(&ready, 1, STEP_MS);

        if (found > 0)
            n = read(fd, bytes, capacity);
        else if (found == 0)
            errno = EINTR;
    }
    return n;
}

int stream_read(void *ctx, void *bytes, size_t capacity, size_t *count)
{
    struct stream *stream = ctx;
    ssize_t n = read_until_signal(stream->fd, bytes, capacity);

    if (n < 0)
        return errno;
    *count = (size_t)n;
    if (stream->progress != NULL)
        progress_add(stream->progress, (uint64_t)n);
    return 0;
}

size_t stream_peek(const struct stream *stream, void *bytes, size_t count)
{
    ssize_t n = pread(stream->fd, bytes, count, 0);

    return n > 0 ? (size_t)n : 0;
}

int cmk_sources_open(struct cmk_sources *sources, const struct options *options,
                     const char *const *uris, size_t count)
{
    int exit_status = STATUS_OK;

    for (size_t i = 0; exit_status == STATUS_OK && i < count; i++) {
        exit_status = uri_open(&sources->sources[i], options, uris[i]);
        sources->cmks[i] = sources->sources[i].cmk;
        sources->count = i + 1;
    }
    return exit_status;
}

void cmk_sources_close(struct cmk_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++)
        cmk_close(&sources->sources[i]);
    sources->count = 0;
}
