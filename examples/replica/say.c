/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines for people, and the wish to stop. */
#include "say.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static atomic_bool stopping;

void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    flockfile(stdout);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    funlockfile(stdout);
    va_end(arguments);
}

enum envol_status fail(struct envol_error *error, enum envol_status status, const char *format, ...)
{
    int os_errno = status == ENVOL_E_IO ? errno : 0;
    va_list arguments;

    *error = (struct envol_error)ENVOL_ERROR_INIT;
    error->status = status;
    error->os_errno = os_errno;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

void complain(const char *what, enum envol_status status, const struct envol_error *error)
{
    fprintf(stderr, "replica: %s: %s%s%s (%s)\n", what,
            error->message[0] != '\0' ? error->message : envol_status_message(status),
            error->os_errno != 0 ? ": " : "", error->os_errno != 0 ? strerror(error->os_errno) : "",
            envol_status_name(status));
}

static void stop(int number)
{
    (void)number;
    stopping = true;
}

void stop_on_signals(void)
{
    const struct sigaction action = {.sa_handler = stop};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool is_stopping(void)
{
    return stopping;
}

void pause_ms(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&pause, NULL);
}

/* Retryable as it is, ENVOL_E_BUSY says that another process has the volume: people should know. */
bool is_key_away(enum envol_status status)
{
    return status == ENVOL_E_KEY_REVOKED || status == ENVOL_E_KEY_DISABLED ||
           status == ENVOL_E_KEY_PENDING_DELETION || status == ENVOL_E_KEY_DENIED ||
           (status != ENVOL_E_BUSY && envol_status_is_retryable(status));
}
