/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking for a secret on the terminal of the process, wherever its standard streams lead. */
#include "command.h"

#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

int terminal_open(void)
{
    return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

static void say(int tty, const char *question, const char *label)
{
    int copy = dup(tty);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

    if (out == NULL)
        return;
    fprintf(out, "%s (", question);
    print_text(out, label);
    fputs("): ", out);
    fclose(out);
}

/* What was typed in line mode: at most one line, and what does not fit is refused. */
static enum envol_status read_line(int tty, char *text, size_t capacity, size_t *bytes)
{
    ssize_t got = read_until_signal(tty, text, capacity);

    if (is_cancelled())
        return ENVOL_E_CANCELLED;
    if (got < 0)
        return ENVOL_E_IO;
    if (got < 2 || text[got - 1] != '\n')
        return ENVOL_E_CREDENTIALS; /* nothing, its end, or more than there is room for */
    *bytes = (size_t)got - 1;
    return ENVOL_OK;
}

/* Without echo and without being stopped in the middle, which would leave the terminal like that.
 * What was typed ahead is thrown away, before and after. */
enum envol_status terminal_ask(int tty, const char *question, const char *label, char *text,
                               size_t capacity, size_t *bytes)
{
    struct termios before, silent;
    enum envol_status status;

    if (tcgetattr(tty, &before) != 0)
        return ENVOL_E_IO;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    silent.c_lflag |= ICANON | ISIG;
    silent.c_cc[VSUSP] = _POSIX_VDISABLE;
    if (tcsetattr(tty, TCSAFLUSH, &silent) != 0)
        return ENVOL_E_IO;
    say(tty, question, label);
    status = read_line(tty, text, capacity, bytes);
    tcsetattr(tty, TCSAFLUSH, &before);
    if (write(tty, "\n", 1) != 1 && status == ENVOL_OK)
        status = ENVOL_E_IO;
    return status;
}
