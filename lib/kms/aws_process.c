/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * credential_process: a program that the user's profile names prints credentials as JSON.  It runs
 * without a shell; words are divided at blanks, and quotes and backslashes keep them together.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { WORDS_MAX = 64, PROCESS_TIMEOUT_MS = 60000 };

/* One character into the word, or the state that it changes; '\0' keeps nothing. */
static char quoted(const char **from, char *quote)
{
    char c = *(*from)++;

    if (c == '\\' && *quote != '\'' && **from != '\0')
        return *(*from)++;
    if (c == *quote || (*quote == '\0' && (c == '"' || c == '\''))) {
        *quote = *quote == '\0' ? c : '\0';
        return '\0';
    }
    return c;
}

/* Divides text in place: a word is never longer than what it was written as. */
static bool divide(char *text, char *words[WORDS_MAX + 1])
{
    const char *from = text;
    char *to = text;
    size_t count = 0;

    for (;;) {
        char quote = '\0';

        while (*from == ' ' || *from == '\t')
            from++;
        if (*from == '\0' || count == WORDS_MAX)
            break;
        words[count++] = to;
        while (*from != '\0' && (quote != '\0' || (*from != ' ' && *from != '\t'))) {
            char c = quoted(&from, &quote);

            if (c != '\0')
                *to++ = c;
        }
        if (quote != '\0')
            return false;
        from += *from != '\0';
        *to++ = '\0';
    }
    words[count] = NULL;
    return count > 0 && *from == '\0';
}

/* The library's own threads block all signals, and many programs ignore SIGPIPE; a process that
 * inherited that could not be stopped, and would not see that nobody reads it. */
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, pipes;
    int failed;

    sigemptyset(&none);
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    failed = posix_spawnattr_setsigmask(attributes, &none);
    if (failed == 0)
        failed = posix_spawnattr_setsigdefault(attributes, &pipes);
    if (failed == 0)
        failed =
            posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return failed;
}

static int set_files(posix_spawn_file_actions_t *actions, int output)
{
    int failed = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);

    if (failed != 0)
        return failed;
    return posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
}

static int start(char *words[], int output, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);

    if (failed != 0)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed != 0)
        goto out;
    failed = set_files(&actions, output);
    if (failed == 0)
        failed = set_signals(&attributes);
    if (failed == 0)
        failed = posix_spawnp(child, words[0], &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
out:
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static enum envol_status check_time(const struct envol_aws_fetch *fetch, uint64_t end_ms)
{
    enum envol_status status = envol_kms_patience_check(fetch->patience, fetch->error);

    if (status == ENVOL_OK && envol_kms_now_ms() >= end_ms)
        status = envol_kms_fail(fetch->error, ENVOL_E_TIMEOUT, "", "credential_process hangs");
    return status;
}

/* Until it closes its output. */
static enum envol_status collect(struct envol_aws_fetch *fetch, int input, uint64_t end_ms,
                                 size_t *bytes)
{
    for (;;) {
        struct pollfd ready = {.fd = input, .events = POLLIN};
        enum envol_status status = check_time(fetch, end_ms);
        ssize_t count;

        if (status != ENVOL_OK)
            return status;
        if (poll(&ready, 1, ENVOL_KMS_POLL_MS) <= 0)
            continue;
        count = read(input, fetch->room + *bytes, ENVOL_AWS_ANSWER_MAX - 1 - *bytes);
        if (count == 0)
            return ENVOL_OK;
        if (count < 0 && errno != EINTR)
            return envol_kms_fail_errno(fetch->error, ENVOL_E_CREDENTIALS, errno,
                                        "credential_process");
        *bytes += count > 0 ? (size_t)count : 0;
        if (*bytes == ENVOL_AWS_ANSWER_MAX - 1)
            return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                                  "credential_process prints too much");
    }
}

static void stop(pid_t child)
{
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* Its output is closed, so it mostly ends within a moment; if not, it is stopped in time. */
static enum envol_status reap(const struct envol_aws_fetch *fetch, pid_t child, uint64_t end_ms,
                              const char *name)
{
    int how = 0, pause_ms = 1;

    while (waitpid(child, &how, WNOHANG) == 0) {
        enum envol_status status = check_time(fetch, end_ms);

        if (status != ENVOL_OK) {
            stop(child);
            return status;
        }
        poll(NULL, 0, pause_ms);
        pause_ms = 2 * pause_ms < ENVOL_KMS_POLL_MS ? 2 * pause_ms : ENVOL_KMS_POLL_MS;
    }
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return ENVOL_OK;
    return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "", "%.64s failed", name);
}

static enum envol_status run(struct envol_aws_fetch *fetch, char *words[], size_t *bytes)
{
    uint64_t end_ms = envol_kms_now_ms() + PROCESS_TIMEOUT_MS;
    int ends[2], failed;
    pid_t child = 0;
    enum envol_status status;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return envol_kms_fail_errno(fetch->error, ENVOL_E_CREDENTIALS, errno, "pipe");
    failed = start(words, ends[1], &child);
    close(ends[1]);
    status = failed != 0 ? envol_kms_fail_errno(fetch->error, ENVOL_E_CREDENTIALS, failed, words[0])
                         : collect(fetch, ends[0], end_ms, bytes);
    close(ends[0]);
    if (status == ENVOL_OK)
        return reap(fetch, child, end_ms, words[0]);
    if (failed == 0)
        stop(child);
    return status;
}

enum envol_status envol_kms_aws_from_process(struct envol_aws_fetch *fetch, const char *command)
{
    char text[ENVOL_AWS_TEXT_MAX + 2], *words[WORDS_MAX + 1];
    size_t bytes = 0;
    enum envol_status status;

    strcpy(text, command);
    if (!divide(text, words))
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "credential_process: not a command");
    status = run(fetch, words, &bytes);
    return status == ENVOL_OK
               ? envol_kms_aws_read_json(fetch, bytes, "SessionToken", "credential_process")
               : status;
}
