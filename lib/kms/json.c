/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass finds where strings begin and end, which needs no grammar: a quote that no backslash
 * escapes.  It bounds the depth, and moves each secret away, leaving its number and asterisks; then
 * jansson judges the whole text.
 */
#include "kms/json.h"

#include <jansson.h>
#include <sodium.h>
#include <string.h>

/* AWS KMS; the credentials of STS, containers, instances and processes; Transit; a Vault login. */
static const char *const secret_names[] = {
    "Plaintext", "SecretAccessKey", "Token", "SessionToken", "plaintext", "client_token",
};

struct scan {
    char *text;
    size_t bytes;
    size_t at;
    size_t depth;
    char *room;
    size_t room_bytes;
    struct envol_kms_json *json;
};

static bool is_secret_name(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
        if (strlen(secret_names[i]) == length && memcmp(secret_names[i], text, length) == 0)
            return true;
    }
    return false;
}

/* From behind an opening quote to behind its closing one. */
static bool skip_string(struct scan *scan)
{
    for (; scan->at < scan->bytes; scan->at++) {
        if (scan->text[scan->at] == '\\')
            scan->at++;
        else if (scan->text[scan->at] == '"') {
            scan->at++;
            return true;
        }
    }
    return false;
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->bytes && strchr(" \t\r\n", scan->text[scan->at]) != NULL &&
           scan->text[scan->at] != '\0')
        scan->at++;
}

/* "\u003d" and its like: the character, if it is one of ASCII's that can be seen; else '\0'. */
static char escaped_ascii(const char *from, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    int code = 0;

    if (length < 6 || from[1] != 'u')
        return '\0';
    for (size_t i = 2; i < 6; i++) {
        const char *digit = memchr(digits, from[i] >= 'A' ? from[i] | 0x20 : from[i], 16);

        if (digit == NULL)
            return '\0';
        code = code << 4 | (int)(digit - digits);
    }
    return code > 0x20 && code < 0x7f ? (char)code : '\0';
}

/*
 * Some servers write a slash of base64 as "\/", and "=" as "\u003d".  Any other escape stays, and
 * its backslash is refused later: no secret has one.
 */
static size_t copy_out(char *to, const char *from, size_t length)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        char escaped = from[i] == '\\' ? escaped_ascii(from + i, length - i) : '\0';

        if (escaped != '\0')
            i += 5;
        else if (from[i] == '\\' && i + 1 < length && from[i + 1] == '/')
            escaped = from[++i];
        to[count++] = escaped != '\0' ? escaped : from[i];
    }
    return count;
}

static bool lift(struct scan *scan, size_t from, size_t length)
{
    struct envol_kms_json *json = scan->json;

    if (length == 0)
        return true; /* no secret, and refused as none */
    if (json->count == ENVOL_KMS_JSON_SECRETS || length > scan->room_bytes)
        return false;
    json->secrets[json->count] = scan->room;
    json->lengths[json->count] = copy_out(scan->room, scan->text + from, length);
    scan->room += length;
    scan->room_bytes -= length;
    memset(scan->text + from, '*', length);
    scan->text[from] = (char)('0' + json->count++);
    return true;
}

/* Behind a member's name: where its value is a string, that is the secret. */
static bool lift_value(struct scan *scan)
{
    size_t from;

    skip_space(scan);
    if (scan->at == scan->bytes || scan->text[scan->at] != ':')
        return true;
    scan->at++;
    skip_space(scan);
    if (scan->at == scan->bytes || scan->text[scan->at] != '"')
        return true;
    from = ++scan->at;
    return skip_string(scan) && lift(scan, from, scan->at - 1 - from);
}

static bool take_string(struct scan *scan)
{
    size_t from = scan->at;

    if (!skip_string(scan))
        return false;
    if (!is_secret_name(scan->text + from, scan->at - 1 - from))
        return true;
    return lift_value(scan);
}

static bool step(struct scan *scan)
{
    switch (scan->text[scan->at++]) {
    case '"':
        return take_string(scan);
    case '{':
    case '[':
        return ++scan->depth <= ENVOL_KMS_JSON_DEPTH;
    case '}':
    case ']':
        return scan->depth-- > 0;
    default:
        return true;
    }
}

bool envol_kms_json_parse(char *text, size_t bytes, char *room, size_t room_bytes,
                          struct envol_kms_json *json)
{
    struct scan scan = {
        .text = text, .bytes = bytes, .room = room, .room_bytes = room_bytes, .json = json};

    *json = (struct envol_kms_json){.root = NULL};
    while (scan.at < scan.bytes) {
        if (!step(&scan))
            return false;
    }
    json->root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (json->root != NULL && !json_is_object(json->root))
        envol_kms_json_free(json);
    return json->root != NULL;
}

void envol_kms_json_free(struct envol_kms_json *json)
{
    json_decref(json->root);
    *json = (struct envol_kms_json){.root = NULL};
}

const char *envol_kms_json_string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

bool envol_kms_json_secret(const struct envol_kms_json *json, const json_t *object,
                           const char *name, const char **secret, size_t *length)
{
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);

    if (text == NULL || text[0] < '0' || text[0] >= (char)('0' + json->count))
        return false;
    if (text[1 + strspn(text + 1, "*")] != '\0')
        return false;
    *secret = json->secrets[text[0] - '0'];
    *length = json->lengths[text[0] - '0'];
    return true;
}

bool envol_kms_base64_decode(const char *text, size_t length, void *out, size_t capacity,
                             size_t *bytes)
{
    const char *end = NULL;

    if (sodium_base642bin(out, capacity, text, length, NULL, bytes, &end,
                          sodium_base64_VARIANT_ORIGINAL) == 0 &&
        end == text + length)
        return true;
    sodium_memzero(out, capacity);
    *bytes = 0;
    return false;
}
