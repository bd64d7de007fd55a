/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command prints when it fails: always one line, which says what is wrong, what to do, and
 * the status by its name; and the printing of text that nobody has authenticated.
 */
#include "command.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

enum { LINE_BYTES = 1024 };

/* What to do, where the status alone settles that; NULL where the message has to say it all. */
static const char *advice(enum envol_status status)
{
    switch (status) {
    case ENVOL_E_STALE:
        return "the volume was changed by another; run it again";
    case ENVOL_E_LOCKED_MEMORY:
        return "raise the limit on locked memory (ulimit -l)";
    case ENVOL_E_BUSY:
        return "wait until the other has finished, and run it again";
    case ENVOL_E_FORMAT:
        return "is this the right file?";
    case ENVOL_E_VERSION:
        return "use a newer envol";
    case ENVOL_E_CORRUPT:
    case ENVOL_E_TRUNCATED:
        return "restore it from a backup";
    case ENVOL_E_WRONG_KEY:
    case ENVOL_E_NO_PROVIDER:
        return "give the CMK that envol info names";
    case ENVOL_E_RANDOM:
        return "run it again";
    default:
        return NULL;
    }
}

/* The same where it depends on where the CMK is; the verbs of keys have key files. */
static const char *key_advice(const struct options *options, enum envol_status status)
{
    bool is_file = true;

    for (size_t i = 0; i < options->cmk_count; i++)
        is_file = is_file && cmk_file(options->cmks[i]) != NULL;
    switch (status) {
    case ENVOL_E_KEY_NOT_FOUND:
        return is_file ? "check the key file's name; envol info says which key a volume needs"
                       : "check the key's name; envol info says which key a volume needs";
    case ENVOL_E_KEY_DISABLED:
        return is_file ? "enable it with: envol key enable FILE" : "enable it in its key service";
    case ENVOL_E_KEY_PENDING_DELETION:
        return is_file ? "take that back with: envol key enable FILE"
                       : "take that back in its key service";
    case ENVOL_E_KEY_DENIED:
        return is_file ? "check owner and mode of the key file"
                       : "check the policies of the key and of this role";
    default:
        return NULL;
    }
}

/* As many bytes of text as are one character of UTF-8 (RFC 3629, section 4); 0 if none is. */
static size_t utf8_bytes(const unsigned char *text)
{
    unsigned char lead = text[0], low = 0x80, high = 0xbf;
    size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4)
        return 0;
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < bytes; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return bytes;
}

/* C0, DEL, and C1 in its UTF-8 form: terminals obey all of them. */
static bool is_control(const unsigned char *text, size_t bytes)
{
    return text[0] < 0x20 || text[0] == 0x7f || (bytes == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

void print_text(FILE *to, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at != '\0') {
        size_t bytes = utf8_bytes(at);
        if (bytes == 0 || is_control(at, bytes))
            fputc('?', to);
        else
            fwrite(at, 1, bytes, to);
        at += bytes > 0 ? bytes : 1;
    }
}

void write_json_string(FILE *to, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    fputc('"', to);
    while (*at != '\0') {
        size_t bytes = utf8_bytes(at);
        if (bytes == 0)
            fputs("\\ufffd", to);
        else if (*at == '"' || *at == '\\')
            fprintf(to, "\\%c", *at);
        else if (is_control(at, bytes))
            fprintf(to, "\\u%04x", bytes == 2 ? at[1] : at[0]);
        else
            fwrite(at, 1, bytes, to);
        at += bytes > 0 ? bytes : 1;
    }
    fputc('"', to);
}

void print_json_string(const char *text)
{
    write_json_string(stdout, text);
}

/* Whether the message names the path: as a word, since a path may be as short as "v". */
static bool names(const char *message, const char *path)
{
    size_t bytes = strlen(path);

    for (const char *at = message; (at = strstr(at, path)) != NULL; at++) {
        bool begins = at == message || at[-1] == ' ';
        if (begins && (at[bytes] == '\0' || at[bytes] == ':' || at[bytes] == ' '))
            return true;
    }
    return false;
}

static void print_failure(const struct options *options, const char *message)
{
    fputs("envol: ", stderr);
    if (options->verb != NULL) {
        fputs(options->verb, stderr);
        if (!names(message, options->path)) {
            fputc(' ', stderr);
            print_text(stderr, options->path);
        }
        fputs(": ", stderr);
    }
    print_text(stderr, message);
}

static int fail_line(const struct options *options, enum envol_status status, const char *message,
                     const char *what_to_do)
{
    print_failure(options, message);
    if (what_to_do != NULL)
        fprintf(stderr, "; %s", what_to_do);
    fprintf(stderr, " (%s)\n", envol_status_name(status));
    return STATUS_FAULT;
}

int fail(const struct options *options, enum envol_status status, const struct envol_error *error)
{
    bool has_message = error != NULL && error->message[0] != '\0';
    const char *what_to_do = key_advice(options, status);

    return fail_line(options, status, has_message ? error->message : envol_status_message(status),
                     what_to_do != NULL ? what_to_do : advice(status));
}

int fail_errno(const struct options *options, const char *what, int os_errno)
{
    return fail_text(options, ENVOL_E_IO, "%s: %s", what,
                     os_errno != 0 ? strerror(os_errno) : "input/output error");
}

int fail_text(const struct options *options, enum envol_status status, const char *format, ...)
{
    char message[LINE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return fail_line(options, status, message, NULL);
}

int fail_usage(const struct options *options, const char *format, ...)
{
    char message[LINE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fputs("envol: ", stderr);
    if (options != NULL)
        fprintf(stderr, "%s: ", options->verb);
    print_text(stderr, message);
    fputc('\n', stderr);
    return STATUS_USAGE;
}

const char *suite_name(enum envol_suite suite)
{
    return suite == ENVOL_SUITE_AES_256_XTS ? "aes-256-xts" : "aes-256-gcm";
}

void print_uuid(FILE *to, const uint8_t uuid[ENVOL_UUID_BYTES])
{
    char text[ENVOL_UUID_TEXT_BYTES];

    fputs(envol_uuid_format(uuid, text), to);
}

bool format_time(uint64_t unix_s, char text[TIME_BYTES])
{
    time_t when = (time_t)unix_s;
    struct tm parts;

    return unix_s < (UINT64_C(1) << 37) && gmtime_r(&when, &parts) != NULL &&
           strftime(text, TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0;
}
