/* SPDX-License-Identifier: BSD-2-Clause */
/* struct envol_error is built whole here and copied as far as the caller's struct_size goes. */
#include "kms/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cut in the middle of a UTF-8 sequence, a text would not be valid: its first bytes go too. */
static void cut(char *text, size_t capacity)
{
    size_t length = strnlen(text, capacity - 1);
    size_t start = length;

    text[length] = '\0';
    if (length + 1 < capacity)
        return;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)text[start - 1] >= 0xc0)
        text[start - 1] = '\0';
}

static void make_one_line(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
        else if ((unsigned char)text[0] == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80)
            text[0] = text[1] = '?'; /* U+0080 to U+009F, of which one begins what ESC [ does */
    }
}

static void give(struct envol_error *error, struct envol_error *filled)
{
    const size_t head = sizeof(error->struct_size);
    size_t bytes;

    if (error == NULL)
        return;
    cut(filled->message, sizeof(filled->message));
    make_one_line(filled->message);
    make_one_line(filled->provider_code);
    bytes = error->struct_size < sizeof(*filled) ? error->struct_size : sizeof(*filled);
    if (bytes > head)
        memcpy((char *)error + head, (const char *)filled + head, bytes - head);
}

enum envol_status envol_kms_fail(struct envol_error *error, enum envol_status status,
                                 const char *code, const char *format, ...)
{
    struct envol_error filled = ENVOL_ERROR_INIT;
    va_list arguments;

    filled.status = status;
    va_start(arguments, format);
    vsnprintf(filled.message, sizeof(filled.message), format, arguments);
    va_end(arguments);
    snprintf(filled.provider_code, sizeof(filled.provider_code), "%s", code);
    give(error, &filled);
    return status;
}

enum envol_status envol_kms_succeed(struct envol_error *error)
{
    struct envol_error clear = ENVOL_ERROR_INIT;

    give(error, &clear);
    return ENVOL_OK;
}

enum envol_status envol_kms_fail_errno(struct envol_error *error, enum envol_status status,
                                       int os_errno, const char *what)
{
    struct envol_error filled = ENVOL_ERROR_INIT;

    filled.status = status;
    filled.os_errno = os_errno;
    errno = os_errno;
    snprintf(filled.message, sizeof(filled.message), "%s: %m", what);
    give(error, &filled);
    return status;
}
