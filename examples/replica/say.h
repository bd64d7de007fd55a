/* SPDX-License-Identifier: BSD-2-Clause */
/* What the program tells people, what it was told to stop, and which failures are worth waiting. */
#ifndef REPLICA_SAY_H
#define REPLICA_SAY_H

#include <envol.h>
#include <stdbool.h>

/* A line on standard output, at once.  Any thread. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fills error, with errno where status is ENVOL_E_IO; returns status. */
enum envol_status fail(struct envol_error *error, enum envol_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A line on standard error: what, and why it failed. */
void complain(const char *what, enum envol_status status, const struct envol_error *error);

/* SIGINT and SIGTERM ask for an orderly end; SIGKILL is survived too. */
void stop_on_signals(void);
bool is_stopping(void);
void pause_ms(unsigned ms);

/* The key is away, or its service is: the same call may succeed when it is back. */
bool is_key_away(enum envol_status status);

#endif
