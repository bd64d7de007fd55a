/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of known answers, taken apart. */
#include "kat.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ANY        SIZE_MAX
#define FIELDS_MAX 6u

struct field {
    const char *name;
    size_t offset; /* in struct kat_line */
    size_t bytes;  /* or ANY */
};

#define FIELD(text, member, length)                                                                \
    {                                                                                              \
        .name = (text), .offset = offsetof(struct kat_line, member), .bytes = (length)             \
    }

static const struct format {
    struct kat_mode mode;
    struct field fields[FIELDS_MAX + 1]; /* up to one without a name */
    bool always_valid;
} formats[] = {
    {{"gcm", kat_check_gcm},
     {FIELD("KEY", key, 32), FIELD("NONCE", nonce, 12), FIELD("AAD", aad, ANY),
      FIELD("PLAIN", plain, ANY), FIELD("CIPHER", cipher, ANY), FIELD("TAG", tag, 16)},
     false},
    {{"xaes", kat_check_xaes},
     {FIELD("KEY", key, 32), FIELD("NONCE", nonce, 24), FIELD("AAD", aad, ANY),
      FIELD("PLAIN", plain, ANY), FIELD("CIPHER", cipher, ANY), FIELD("TAG", tag, 16)},
     false},
    {{"xts", kat_check_xts},
     {FIELD("KEY", key, 64), FIELD("TWEAK", nonce, 16), FIELD("PLAIN", plain, ANY),
      FIELD("CIPHER", cipher, ANY)},
     true},
    {{"chunked", kat_check_chunked},
     {FIELD("KEY", key, ANY), FIELD("CONTEXT", aad, ANY), FIELD("SHA512", plain, ANY),
      FIELD("MESSAGE", cipher, ANY)},
     false},
};

/* What is wrong, in one buffer: kat has one thread, and prints it at once. */
__attribute__((format(printf, 1, 2))) static const char *complain(const char *format, ...)
{
    static char text[160];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return text;
}

/* The next word, with its end cut off; NULL after the last one. */
static char *word(char **text)
{
    char *start = *text + strspn(*text, " \t\r\n");
    char *end = start + strcspn(start, " \t\r\n");

    *text = *end != '\0' ? end + 1 : end;
    *end = '\0';
    return *start != '\0' ? start : NULL;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Bytes go where their digits were: never ahead of the reader. */
static bool unhex(char *hex, struct kat_field *field)
{
    size_t digits = strcmp(hex, "-") == 0 ? 0 : strlen(hex);

    *field = (struct kat_field){.data = (uint8_t *)hex, .bytes = digits / 2};
    for (size_t i = 0; i < digits / 2; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        field->data[i] = (uint8_t)(high << 4 | low);
    }
    return digits % 2 == 0;
}

static const char *parse_field(const struct field *field, char *hex, struct kat_line *line)
{
    struct kat_field *value = (struct kat_field *)(void *)((char *)line + field->offset);

    if (hex == NULL)
        return complain("%s is missing", field->name);
    if (!unhex(hex, value))
        return complain("%s is not hex", field->name);
    if (field->bytes != ANY && value->bytes != field->bytes)
        return complain("%s has %zu bytes, not %zu", field->name, value->bytes, field->bytes);
    return NULL;
}

static const char *parse_verdict(const struct format *format, const char *verdict,
                                 struct kat_line *line)
{
    if (verdict == NULL)
        return "neither valid nor invalid at its end";
    line->valid = strcmp(verdict, "valid") == 0;
    if (line->valid || (strcmp(verdict, "invalid") == 0 && !format->always_valid))
        return NULL;
    return complain("'%.20s' where %s is expected", verdict,
                    format->always_valid ? "valid" : "valid or invalid");
}

/* What fields must have in common, where the line says that they belong together. */
static const char *check_lengths(const struct kat_line *line)
{
    if (!line->valid)
        return NULL;
    if (line->mode->check == kat_check_chunked)
        return line->plain.bytes == 64 ? NULL : "SHA512 of a valid line is not 64 bytes";
    return line->plain.bytes == line->cipher.bytes ? NULL : "PLAIN and CIPHER differ in length";
}

static const struct format *find(const char *name)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(formats[i].mode.name, name) == 0)
            return &formats[i];
    return NULL;
}

const char *kat_parse(char *text, struct kat_line *line)
{
    const char *name = word(&text), *wrong = NULL;
    const struct format *format = name != NULL ? find(name) : NULL;

    memset(line, 0, sizeof(*line));
    if (format == NULL)
        return complain("'%.20s' is not gcm, xaes, xts or chunked", name != NULL ? name : "");
    line->mode = &format->mode;
    for (const struct field *field = format->fields; field->name != NULL && wrong == NULL; field++)
        wrong = parse_field(field, word(&text), line);
    if (wrong == NULL)
        wrong = parse_verdict(format, word(&text), line);
    if (wrong == NULL && word(&text) != NULL)
        wrong = "there are too many fields";
    return wrong != NULL ? wrong : check_lengths(line);
}
