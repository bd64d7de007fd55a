/* SPDX-License-Identifier: BSD-2-Clause */
/* Transit on the event loop: requests, answers, and what its errors mean. */
#include "transit.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An engine's own policy; this one does not retry either. */
enum { TIMEOUT_MS = 10000, DEK_BASE64_MAX = 128, CONTEXT_MAX = 512 };

static enum envol_status fail(struct transit *transit, enum envol_status status, const char *what)
{
    snprintf(transit->message, sizeof transit->message, "Transit: %s", what);
    /* The service's own words go to a terminal. */
    for (char *at = transit->message; *at != '\0'; at++) {
        if (*at < ' ' || *at >= 0x7f)
            *at = '?';
    }
    return status;
}

/* --- Requests ----------------------------------------------------------------------------------*/

/* What goes into a URL as it is. */
static int is_key_ref(const char *key_ref)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const char *slash = strchr(key_ref, '/');

    return slash != NULL && slash != key_ref && slash[1] != '\0' && strlen(key_ref) <= 512 &&
           strspn(key_ref, plain) == (size_t)(slash - key_ref) &&
           strspn(slash + 1, plain) == strlen(slash + 1) && strstr(key_ref, "..") == NULL;
}

/* "vault:vN:" and base64: anything else would not be Transit's, and might not be JSON. */
static int is_wrapped(const char *text, char *version, size_t capacity)
{
    static const char prefix[] = "vault:v";
    const char *number = text + sizeof prefix - 1;
    size_t digits;

    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return 0;
    digits = strspn(number, "0123456789");
    if (digits == 0 || digits >= capacity || number[digits] != ':')
        return 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < 0x21 || *at > 0x7e || *at == '"' || *at == '\\')
            return 0;
    }
    memcpy(version, number, digits);
    version[digits] = '\0';
    return 1;
}

enum envol_status transit_take(struct transit *transit, const struct envol_slot *slot)
{
    if (slot->wrapped_bytes > TRANSIT_WRAPPED_MAX)
        return fail(transit, ENVOL_E_WRONG_KEY, "the wrapped DEK is too long");
    memcpy(transit->wrapped, slot->wrapped, slot->wrapped_bytes);
    transit->wrapped[slot->wrapped_bytes] = '\0';
    if (strlen(transit->wrapped) != slot->wrapped_bytes ||
        !is_wrapped(transit->wrapped, transit->version, sizeof transit->version))
        return fail(transit, ENVOL_E_WRONG_KEY, "the wrapped DEK is not Transit's");
    return ENVOL_OK;
}

static enum envol_status write_body(struct transit *transit, const struct envol_header *header)
{
    uint8_t encoded[CONTEXT_MAX];
    char context[2 * CONTEXT_MAX], dek[DEK_BASE64_MAX];
    size_t pairs, bytes;
    const struct envol_context_pair *context_pairs = envol_header_context(header, &pairs);
    enum envol_status status =
        envol_context_encode(context_pairs, pairs, encoded, sizeof encoded, &bytes);

    if (status != ENVOL_OK)
        return fail(transit, status, "the encryption context");
    sodium_bin2base64(context, sizeof context, encoded, bytes, sodium_base64_VARIANT_ORIGINAL);
    if (transit->verb == TRANSIT_DATAKEY) {
        snprintf(transit->body, sizeof transit->body, "{\"bits\":%d,\"context\":\"%s\"}",
                 8 * ENVOL_DEK_BYTES, context);
    } else if (transit->verb == TRANSIT_ENCRYPT) {
        sodium_bin2base64(dek, sizeof dek, transit->dek, ENVOL_DEK_BYTES,
                          sodium_base64_VARIANT_ORIGINAL);
        snprintf(transit->body, sizeof transit->body, "{\"plaintext\":\"%s\",\"context\":\"%s\"}",
                 dek, context);
        sodium_memzero(dek, sizeof dek);
    } else {
        snprintf(transit->body, sizeof transit->body, "{\"ciphertext\":\"%s\",\"context\":\"%s\"}",
                 transit->wrapped, context);
    }
    return ENVOL_OK;
}

enum envol_status transit_ask(struct transit *transit, enum transit_verb verb, const char *key_ref,
                              const struct envol_header *header)
{
    static const char *const paths[] = {"keys", "datakey/plaintext", "encrypt", "decrypt",
                                        "rewrap"};
    CURL *easy = transit->transfer.easy;
    const char *name = strchr(key_ref, '/');
    enum envol_status status;
    int length;

    if (!is_key_ref(key_ref))
        return fail(transit, ENVOL_E_ARGUMENT, "MOUNT/KEY is needed");
    transit->verb = verb;
    transit->answer_bytes = 0;
    status = verb == TRANSIT_KEY ? ENVOL_OK : write_body(transit, header);
    if (status != ENVOL_OK)
        return status;
    length = snprintf(transit->url, sizeof transit->url, "%s/v1/%.*s/%s%s", getenv("VAULT_ADDR"),
                      (int)(name - key_ref), key_ref, paths[verb], name);
    if (length < 0 || (size_t)length >= sizeof transit->url)
        return fail(transit, ENVOL_E_ARGUMENT, "VAULT_ADDR is too long");
    curl_easy_setopt(easy, CURLOPT_URL, transit->url);
    if (verb == TRANSIT_KEY) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transit->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(transit->body));
    }
    return loop_fetch(transit->loop, &transit->transfer) == 0
               ? ENVOL_OK
               : fail(transit, ENVOL_E_NO_MEMORY, "no memory");
}

/* --- Answers -----------------------------------------------------------------------------------*/

static size_t collect(char *data, size_t one, size_t bytes, void *ctx)
{
    struct transit *transit = ctx;

    (void)one;
    if (bytes > sizeof transit->answer - transit->answer_bytes)
        return 0;
    memcpy(transit->answer + transit->answer_bytes, data, bytes);
    transit->answer_bytes += bytes;
    return bytes;
}

/* Most errors are HTTP 400 or 500 and a text: it decides first. */
static enum envol_status classify(long code, const char *text)
{
    static const struct {
        const char *words;
        enum envol_status status;
    } texts[] = {
        {"message authentication failed", ENVOL_E_WRONG_KEY},
        {"too old", ENVOL_E_KEY_DISABLED},
        {"soft-deleted", ENVOL_E_KEY_DISABLED},
        {"key not found", ENVOL_E_KEY_NOT_FOUND},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strstr(text, texts[i].words) != NULL)
            return texts[i].status;
    }
    switch (code) {
    case 403:
        return ENVOL_E_KEY_DENIED;
    case 404:
        return ENVOL_E_KEY_NOT_FOUND;
    case 429:
        return ENVOL_E_THROTTLED;
    default:
        return code >= 500 ? ENVOL_E_UNREACHABLE : ENVOL_E_PROVIDER;
    }
}

static enum envol_status read_failure(struct transit *transit, long code, const json_t *root)
{
    const char *text = json_string_value(json_array_get(json_object_get(root, "errors"), 0));
    char what[200];

    text = text == NULL ? "" : text;
    snprintf(what, sizeof what, "HTTP %ld %.160s", code, text);
    return fail(transit, classify(code, text), what);
}

static enum envol_status read_wrapped(struct transit *transit, const json_t *data)
{
    const char *text = json_string_value(json_object_get(data, "ciphertext"));

    if (text == NULL || strlen(text) > TRANSIT_WRAPPED_MAX ||
        !is_wrapped(text, transit->version, sizeof transit->version))
        return fail(transit, ENVOL_E_PROVIDER, "the answer has no valid ciphertext");
    strcpy(transit->wrapped, text);
    return ENVOL_OK;
}

static enum envol_status read_dek(struct transit *transit, const json_t *data)
{
    const char *text = json_string_value(json_object_get(data, "plaintext"));
    size_t bytes = 0;

    if (text == NULL ||
        sodium_base642bin(transit->dek, sizeof transit->dek, text, strlen(text), NULL, &bytes, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        bytes != ENVOL_DEK_BYTES)
        return fail(transit, ENVOL_E_PROVIDER, "the answer has no DEK of 64 bytes");
    return ENVOL_OK;
}

static enum envol_status read_data(struct transit *transit, const json_t *data)
{
    enum envol_status status = ENVOL_OK;

    if (transit->verb == TRANSIT_KEY)
        return json_is_true(json_object_get(data, "derived"))
                   ? ENVOL_OK
                   : fail(transit, ENVOL_E_UNSUPPORTED,
                          "the key is not derived, and cannot bind the encryption context");
    if (transit->verb != TRANSIT_DECRYPT)
        status = read_wrapped(transit, data);
    if (status == ENVOL_OK &&
        (transit->verb == TRANSIT_DATAKEY || transit->verb == TRANSIT_DECRYPT))
        status = read_dek(transit, data);
    return status;
}

static enum envol_status read_answer(struct transit *transit, CURLcode result)
{
    enum envol_status status;
    long code = 0;
    json_t *root;

    if (result != CURLE_OK)
        return fail(transit,
                    result == CURLE_OPERATION_TIMEDOUT ? ENVOL_E_TIMEOUT : ENVOL_E_UNREACHABLE,
                    curl_easy_strerror(result));
    curl_easy_getinfo(transit->transfer.easy, CURLINFO_RESPONSE_CODE, &code);
    root = json_loadb(transit->answer, transit->answer_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (code != 200)
        status = read_failure(transit, code, root);
    else
        status = read_data(transit, json_object_get(root, "data"));
    json_decref(root);
    return status;
}

static void transfer_done(struct loop_transfer *transfer, CURLcode result)
{
    struct transit *transit = (struct transit *)transfer;
    enum envol_status status = read_answer(transit, result);

    sodium_memzero(transit->answer, sizeof transit->answer);
    sodium_memzero(transit->body, sizeof transit->body);
    transit->done(transit->ctx, status);
}

/* --- The client --------------------------------------------------------------------------------*/

/* DEKs travel in these requests: https, or http that does not leave the machine. */
static int is_loopback(const char *address)
{
    static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        size_t length = strlen(hosts[i]);
        if (strncmp(address, hosts[i], length) == 0 &&
            strspn(address + length, ":0123456789") == strlen(address + length))
            return 1;
    }
    return 0;
}

static void add_header(struct transit *transit, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transit->headers, line);

    if (longer != NULL)
        transit->headers = longer;
}

enum envol_status transit_open(struct transit *transit, struct loop *loop)
{
    const char *address = getenv("VAULT_ADDR"), *token = getenv("VAULT_TOKEN");
    CURL *easy = transit->transfer.easy = curl_easy_init();

    transit->loop = loop;
    transit->transfer.done = transfer_done;
    if (easy == NULL || sodium_init() < 0)
        return fail(transit, ENVOL_E_NO_MEMORY, "no memory");
    if (address == NULL || token == NULL || strpbrk(token, "\r\n") != NULL)
        return fail(transit, ENVOL_E_ARGUMENT, "VAULT_ADDR and VAULT_TOKEN are needed");
    if (!is_loopback(address) && strncmp(address, "https://", 8) != 0)
        return fail(transit, ENVOL_E_ARGUMENT, "VAULT_ADDR is not https");
    /* In the body's room, which is locked; libcurl's copy is wiped when it is freed. */
    snprintf(transit->body, sizeof transit->body, "X-Vault-Token: %s", token);
    add_header(transit, transit->body);
    add_header(transit, "X-Vault-Request: true");
    add_header(transit, "Content-Type: application/json");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transit->headers);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, is_loopback(address) ? "http" : "https");
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (getenv("VAULT_CACERT") != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, getenv("VAULT_CACERT"));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transit);
    return ENVOL_OK;
}

void transit_close(struct transit *transit)
{
    curl_easy_cleanup(transit->transfer.easy);
    curl_slist_free_all(transit->headers);
}
