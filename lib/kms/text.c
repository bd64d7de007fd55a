/* SPDX-License-Identifier: BSD-2-Clause */
/* Text in fixed memory: JSON, base64, hexadecimal and percent encoding. */
#include "kms/text.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct envol_kms_text envol_kms_text(char *data, size_t capacity)
{
    data[0] = '\0';
    return (struct envol_kms_text){.data = data, .capacity = capacity};
}

/* Room for so many characters and the NUL, or NULL from now on. */
static char *reserve(struct envol_kms_text *text, size_t count)
{
    char *at = text->data + text->length;

    if (text->full || count >= text->capacity - text->length) {
        text->full = true;
        return NULL;
    }
    text->length += count;
    at[count] = '\0';
    return at;
}

void envol_kms_text_bytes(struct envol_kms_text *text, const void *bytes, size_t count)
{
    char *at = reserve(text, count);

    if (at != NULL && count > 0)
        memcpy(at, bytes, count);
}

void envol_kms_text_add(struct envol_kms_text *text, const char *string)
{
    envol_kms_text_bytes(text, string, strlen(string));
}

void envol_kms_text_format(struct envol_kms_text *text, const char *format, ...)
{
    size_t room = text->capacity - text->length;
    va_list arguments;
    int count;

    va_start(arguments, format);
    count = vsnprintf(text->data + text->length, room, format, arguments);
    va_end(arguments);
    if (count < 0 || (size_t)count >= room || text->full) {
        text->data[text->length] = '\0';
        text->full = true;
        return;
    }
    text->length += (size_t)count;
}

static void add_json_character(struct envol_kms_text *text, unsigned char c)
{
    if (c == '"' || c == '\\')
        envol_kms_text_format(text, "\\%c", c);
    else if (c < 0x20 || c == 0x7f)
        envol_kms_text_format(text, "\\u%04x", c);
    else
        envol_kms_text_bytes(text, &c, 1);
}

void envol_kms_text_json(struct envol_kms_text *text, const char *string)
{
    envol_kms_text_add(text, "\"");
    for (; *string != '\0'; string++)
        add_json_character(text, (unsigned char)*string);
    envol_kms_text_add(text, "\"");
}

void envol_kms_text_base64(struct envol_kms_text *text, const void *bytes, size_t count)
{
    size_t length = sodium_base64_ENCODED_LEN(count, sodium_base64_VARIANT_ORIGINAL) - 1;
    char *at = reserve(text, length);

    if (at != NULL)
        sodium_bin2base64(at, length + 1, bytes, count, sodium_base64_VARIANT_ORIGINAL);
}

void envol_kms_text_hex(struct envol_kms_text *text, const void *bytes, size_t count)
{
    char *at = reserve(text, 2 * count);

    if (at != NULL)
        sodium_bin2hex(at, 2 * count + 1, bytes, count);
}

static bool is_unreserved(char c)
{
    return c != '\0' && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789-._~",
                               c) != NULL;
}

void envol_kms_text_uri(struct envol_kms_text *text, const char *string, bool keep_slashes)
{
    for (; *string != '\0'; string++) {
        if (is_unreserved(*string) || (keep_slashes && *string == '/'))
            envol_kms_text_bytes(text, string, 1);
        else
            envol_kms_text_format(text, "%%%02X", (unsigned char)*string);
    }
}
