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

static int start(char *words[], int output, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);

    if (failed != 0)
        return failed;
    failed = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (failed == 0)
        failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (failed == 0)
        failed = posix_spawnp(child, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* Until it closes its output. */
static enum envol_status collect(struct envol_aws_fetch *fetch, int input, size_t *bytes)
{
    uint64_t end_ms = envol_kms_now_ms() + PROCESS_TIMEOUT_MS;

    for (;;) {
        struct pollfd ready = {.fd = input, .events = POLLIN};
        enum envol_status status = envol_kms_patience_check(fetch->patience, fetch->error);
        ssize_t count;

        if (status != ENVOL_OK)
            return status;
        if (envol_kms_now_ms() >= end_ms)
            return envol_kms_fail(fetch->error, ENVOL_E_TIMEOUT, "", "credential_process hangs");
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

/* A process that did not end by itself is not waited for any longer. */
static bool reap(pid_t child, bool is_done)
{
    int how = 0;

    if (!is_done)
        kill(child, SIGKILL);
    while (waitpid(child, &how, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

enum envol_status envol_kms_aws_from_process(struct envol_aws_fetch *fetch, const char *command)
{
    char text[ENVOL_AWS_TEXT_MAX + 2], *words[WORDS_MAX + 1];
    int ends[2], failed;
    size_t bytes = 0;
    pid_t child = 0;
    enum envol_status status;

    strcpy(text, command);
    if (!divide(text, words))
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "credential_process: not a command");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return envol_kms_fail_errno(fetch->error, ENVOL_E_CREDENTIALS, errno, "pipe");
    failed = start(words, ends[1], &child);
    close(ends[1]);
    status = failed != 0 ? envol_kms_fail_errno(fetch->error, ENVOL_E_CREDENTIALS, failed, words[0])
                         : collect(fetch, ends[0], &bytes);
    close(ends[0]);
    if (failed == 0 && !reap(child, status == ENVOL_OK) && status == ENVOL_OK)
        status = envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "", "%.64s failed", words[0]);
    return status == ENVOL_OK
               ? envol_kms_aws_read_json(fetch, bytes, "SessionToken", "credential_process")
               : status;
}
