/* SPDX-License-Identifier: BSD-2-Clause */
/* URIs of CMKs on the command line: failure lines, secrets that are typed, and the audit. */
#include "command.h"

#include <string.h>
#include <unistd.h>

static enum envol_status ask_terminal(const char *question, const char *label, char *text,
                                      size_t capacity, size_t *bytes)
{
    int tty = terminal_open();
    enum envol_status status;

    if (tty < 0)
        return ENVOL_E_UNSUPPORTED;
    status = terminal_ask(tty, question, label, text, capacity, bytes);
    close(tty);
    return status;
}

int uri_check(const struct options *options, const char *option, const char *uri)
{
    struct envol_error error = ENVOL_ERROR_INIT;

    return cmk_check(uri, &error) == ENVOL_OK
               ? STATUS_OK
               : fail_usage(options, "--%s %s: %s", option, uri, error.message);
}

void uri_print_usage(void)
{
    for (size_t i = 0; cmk_usage(i) != NULL; i++)
        printf("%-10s%s\n", i == 0 ? "URI" : "", cmk_usage(i));
}

int uri_open(struct cmk_source *source, const struct options *options, const char *uri)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = cmk_open(source, uri, ask_terminal, &error);

    /* Of what a URI says, not of what is behind it.  Whole it may hold a PIN. */
    if (status == ENVOL_E_ARGUMENT)
        return fail_usage(options, "--cmk %.*s: %s", (int)strcspn(uri, ":"), uri, error.message);
    if (status == ENVOL_OK)
        status = audit_attach(source->provider);
    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}
