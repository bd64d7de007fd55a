/* SPDX-License-Identifier: BSD-2-Clause */
/* envol log replay --apply: an engine's own program, which takes records as frames on its standard
 * input, and says by its exit status that it took them all. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static enum envol_status fail_program(struct envol_error *error, enum envol_status status,
                                      const char *what)
{
    error->status = status;
    snprintf(error->message, sizeof error->message, "--apply: %s", what);
    return status;
}

/* What this process ignores is not for the program to ignore. */
static int spawn(struct applier *applier, int input)
{
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)applier->program, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int result;

    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGXFSZ);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    result = posix_spawn(&applier->pid, "/bin/sh", &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

enum envol_status applier_start(struct applier *applier, const char *program,
                                struct envol_error *error)
{
    int ends[2], result;

    *applier = (struct applier){.program = program, .pipe = -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail_program(error, ENVOL_E_IO, strerror(errno));
    result = spawn(applier, ends[0]);
    close(ends[0]);
    if (result != 0) {
        close(ends[1]);
        return fail_program(error, ENVOL_E_IO, strerror(result));
    }
    applier->pipe = ends[1];
    return ENVOL_OK;
}

static enum envol_status put(const struct applier *applier, const void *bytes, size_t count,
                             struct envol_error *error)
{
    const uint8_t *from = bytes;

    while (count > 0) {
        ssize_t n = is_cancelled() ? -1 : write(applier->pipe, from, count);
        if (is_cancelled())
            return fail_program(error, ENVOL_E_CANCELLED, "stopped by a signal");
        if (n < 0 && errno != EINTR)
            return fail_program(error, ENVOL_E_IO,
                                errno == EPIPE ? "it ended before the records did"
                                               : strerror(errno));
        from += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    return ENVOL_OK;
}

enum envol_status applier_hand(struct applier *applier, const struct envol_log_record *record,
                               struct envol_error *error)
{
    uint8_t head[FRAME_HEAD_BYTES];
    enum envol_status status;

    frame_encode(head, record);
    status = put(applier, head, sizeof head, error);
    return status == ENVOL_OK ? put(applier, record->data, record->bytes, error) : status;
}

enum envol_status applier_finish(struct applier *applier, struct envol_error *error)
{
    char text[64];
    int end = 0;

    if (applier->pipe < 0)
        return ENVOL_OK;
    close(applier->pipe);
    applier->pipe = -1;
    while (waitpid(applier->pid, &end, 0) < 0) {
        if (errno != EINTR)
            return fail_program(error, ENVOL_E_IO, strerror(errno));
    }
    if (WIFEXITED(end) && WEXITSTATUS(end) == 0)
        return ENVOL_OK;
    if (WIFEXITED(end))
        snprintf(text, sizeof text, "it ended with %d", WEXITSTATUS(end));
    else
        snprintf(text, sizeof text, "signal %d ended it", WTERMSIG(end));
    return fail_program(error, ENVOL_E_CANCELLED, text);
}
