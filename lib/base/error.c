/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct envol_error is built whole here and then copied as far as the caller's struct_size goes,
 * so that a program compiled against an older, shorter struct is not overrun.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void give(struct envol_error *error, const struct envol_error *filled)
{
    size_t head = sizeof(error->struct_size);
    size_t bytes = error->struct_size;

    if (bytes > sizeof(*filled))
        bytes = sizeof(*filled);
    if (bytes <= head)
        return;
    memcpy((char *)error + head, (const char *)filled + head, bytes - head);
}

static struct envol_error empty(enum envol_status status, int os_errno)
{
    struct envol_error blank = ENVOL_ERROR_INIT;

    blank.status = status;
    blank.os_errno = os_errno;
    return blank;
}

/* A cut in the middle of a UTF-8 sequence would make the whole message invalid: drop its rest. */
static void drop_partial_sequence(char *text, size_t length)
{
    size_t start = length;
    size_t wanted = 1;
    unsigned char lead;

    while (start > 0 && length - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    lead = (unsigned char)text[start - 1];
    if (lead >= 0xf0)
        wanted = 4;
    else if (lead >= 0xe0)
        wanted = 3;
    else if (lead >= 0xc0)
        wanted = 2;
    if (length - (start - 1) < wanted)
        text[start - 1] = '\0';
}

/* Messages quote paths and key services: a control character there must not reach a terminal. */
static void make_one_line(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
        else if ((unsigned char)text[0] == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80)
            text[0] = text[1] = '?'; /* U+0080 to U+009F, of which one begins what ESC [ does */
    }
}

static void tidy(char *text, size_t capacity, int wanted)
{
    if (wanted < 0)
        text[0] = '\0';
    else if ((size_t)wanted >= capacity)
        drop_partial_sequence(text, capacity - 1);
    make_one_line(text);
}

static void say(struct envol_error *filled, const char *format, va_list arguments)
{
    int wanted;

    if (format == NULL)
        wanted = snprintf(filled->message, sizeof(filled->message), "%s",
                          envol_status_message(filled->status));
    else
        wanted = vsnprintf(filled->message, sizeof(filled->message), format, arguments);
    tidy(filled->message, sizeof(filled->message), wanted);
}

static void say_errno(struct envol_error *filled, int os_errno)
{
    size_t used = strlen(filled->message);
    size_t room = sizeof(filled->message) - used;
    int wanted;

    errno = os_errno;
    wanted = snprintf(filled->message + used, room, "%s%m", used > 0 ? ": " : "");
    tidy(filled->message + used, room, wanted);
}

enum envol_status envol_fail(struct envol_error *error, enum envol_status status,
                             const char *format, ...)
{
    int kept = errno;
    va_list arguments;
    struct envol_error filled;

    if (error == NULL)
        return status;
    filled = empty(status, 0);
    va_start(arguments, format);
    say(&filled, format, arguments);
    va_end(arguments);
    give(error, &filled);
    errno = kept;
    return status;
}

enum envol_status envol_fail_errno(struct envol_error *error, enum envol_status status,
                                   int os_errno, const char *format, ...)
{
    int kept = errno;
    va_list arguments;
    struct envol_error filled;

    if (error == NULL)
        return status;
    filled = empty(status, os_errno);
    va_start(arguments, format);
    say(&filled, format, arguments);
    va_end(arguments);
    if (os_errno != 0)
        say_errno(&filled, os_errno);
    give(error, &filled);
    errno = kept;
    return status;
}

void envol_error_clear(struct envol_error *error)
{
    struct envol_error blank;

    /* Calls that take no time end here, mostly with NULL. */
    if (error == NULL)
        return;
    blank = empty(ENVOL_OK, 0);
    give(error, &blank);
}

static int holds(const struct envol_error *error, size_t end)
{
    return error != NULL && error->struct_size >= end;
}

#define END_OF(field)                                                                              \
    (offsetof(struct envol_error, field) + sizeof(((struct envol_error *)0)->field))

void envol_error_set_page(struct envol_error *error, uint64_t page_no)
{
    if (holds(error, END_OF(page_no)))
        error->page_no = page_no;
}

void envol_error_set_slot(struct envol_error *error, int32_t slot)
{
    if (holds(error, END_OF(slot)))
        error->slot = slot;
}

void envol_error_set_errno(struct envol_error *error, int os_errno)
{
    if (holds(error, END_OF(os_errno)))
        error->os_errno = os_errno;
}

void envol_error_set_provider_code(struct envol_error *error, const char *code)
{
    size_t room = sizeof(error->provider_code);
    int wanted;

    if (!holds(error, END_OF(provider_code)))
        return;
    wanted = snprintf(error->provider_code, room, "%s", code == NULL ? "" : code);
    tidy(error->provider_code, room, wanted);
}
