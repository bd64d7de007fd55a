/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The provider "vault": Transit.  What binds the encryption context is a derived key, whose keys
 * are derived from it: `associated_data` is ignored by rewrap in both products, by datakey in
 * Vault, and by servers that are too old to know it, without a word.
 */
#include "kms/vault.h"

#include "kms/fail.h"
#include "kms/options.h"
#include "kms/secret.h"
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the first version, which ends with flags. */
#define FIRST_OPTIONS_BYTES                                                                        \
    (offsetof(struct envol_vault_options, flags) + sizeof(((struct envol_vault_options *)0)->flags))

/* What is sent and read of a DEK fits easily; a key's description may be long. */
enum { SHORT_ANSWER_MAX = 16384 };

/* "a/b/key" is the key in the mount a/b; slashes at both ends do not count. */
struct key {
    char mount[ENVOL_KEY_REF_MAX + 1];
    char name[ENVOL_KEY_REF_MAX + 1];
};

static enum envol_status read_ref(const char *key_ref, struct key *key, struct envol_error *error)
{
    size_t length;
    char *slash;

    if (key_ref == NULL)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "vault: no key is named");
    key_ref += strspn(key_ref, "/");
    length = strlen(key_ref);
    while (length > 0 && key_ref[length - 1] == '/')
        length--;
    if (length > ENVOL_KEY_REF_MAX)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "vault: the key reference is too long");
    memcpy(key->mount, key_ref, length);
    key->mount[length] = '\0';
    slash = strrchr(key->mount, '/');
    if (slash == NULL || strstr(key->mount, "//") != NULL || strstr(key->mount, "..") != NULL)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "%.128s: MOUNT/KEY is needed", key_ref);
    strcpy(key->name, slash + 1);
    *slash = '\0';
    return ENVOL_OK;
}

static void write_ref(const struct key *key, char *out, size_t capacity)
{
    struct envol_kms_text text = envol_kms_text(out, capacity);

    envol_kms_text_format(&text, "%s/%s", key->mount, key->name);
}

struct path {
    char text[3 * ENVOL_KEY_REF_MAX + 32];
};

static struct path path_of(const struct key *key, const char *verb)
{
    struct path path;
    struct envol_kms_text text = envol_kms_text(path.text, sizeof(path.text));

    envol_kms_text_uri(&text, key->mount, true);
    envol_kms_text_add(&text, "/");
    envol_kms_text_add(&text, verb);
    envol_kms_text_add(&text, "/");
    envol_kms_text_uri(&text, key->name, false);
    return path;
}

/* Sent always: a key that is not derived ignores it. */
static enum envol_status add_context(struct envol_kms_text *body,
                                     const struct envol_key_request *request,
                                     struct envol_error *error)
{
    uint8_t context[ENVOL_CONTEXT_BYTES_MAX];
    size_t bytes = 0;
    enum envol_status status = envol_context_encode(request->context, request->context_pairs,
                                                    context, sizeof(context), &bytes);

    if (status != ENVOL_OK)
        return envol_kms_fail(error, status, "", "encryption context");
    if (bytes == 0)
        return ENVOL_OK;
    envol_kms_text_add(body, body->length > 1 ? ",\"context\":\"" : "\"context\":\"");
    envol_kms_text_base64(body, context, bytes);
    envol_kms_text_add(body, "\"");
    return ENVOL_OK;
}

/* The number in "vault:v12:...", as text. */
static bool version_of(const char *blob, size_t bytes, char *out, size_t capacity)
{
    static const char prefix[] = "vault:v";
    const size_t skip = sizeof(prefix) - 1;
    size_t digits = 0;

    if (bytes <= skip || memcmp(blob, prefix, skip) != 0)
        return false;
    while (skip + digits < bytes && blob[skip + digits] >= '0' && blob[skip + digits] <= '9')
        digits++;
    if (digits == 0 || digits >= capacity || digits > 10 || skip + digits == bytes ||
        blob[skip + digits] != ':')
        return false;
    memcpy(out, blob + skip, digits);
    out[digits] = '\0';
    return true;
}

static enum envol_status bad_answer(struct envol_error *error, const char *what)
{
    return envol_kms_fail(error, ENVOL_E_PROVIDER, "", "Vault: the answer has no valid %s", what);
}

static const json_t *data_of(const struct envol_vault_call *call)
{
    return json_object_get(call->json.root, "data");
}

static enum envol_status read_wrapped(const struct envol_vault_call *call, const struct key *key,
                                      struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    const char *blob = envol_kms_json_string(data_of(call), "ciphertext");
    size_t bytes = blob == NULL ? 0 : strlen(blob);

    if (bytes > sizeof(wrapped->wrapped) ||
        !version_of(blob, bytes, wrapped->key_version, sizeof(wrapped->key_version)))
        return bad_answer(error, "ciphertext");
    memcpy(wrapped->wrapped, blob, bytes);
    wrapped->wrapped_bytes = bytes;
    write_ref(key, wrapped->key_ref, sizeof(wrapped->key_ref));
    return ENVOL_OK;
}

static enum envol_status read_plaintext(const struct envol_vault_call *call, uint8_t *dek,
                                        size_t capacity, size_t *bytes, struct envol_error *error)
{
    const char *text = NULL;
    size_t length = 0;

    if (!envol_kms_json_secret(&call->json, data_of(call), "plaintext", &text, &length) ||
        !envol_kms_base64_decode(text, length, dek, capacity, bytes))
        return bad_answer(error, "plaintext");
    return ENVOL_OK;
}

static enum envol_status read_key(struct envol_vault *vault,
                                  const struct envol_key_request *request, const struct key *key,
                                  const json_t **data, struct envol_vault_call *call,
                                  struct envol_error *error)
{
    struct path path = path_of(key, "keys");
    enum envol_status status = envol_kms_vault_ask(vault, request, path.text, NULL, call, error);

    *data = data_of(call);
    if (status == ENVOL_OK && !json_is_object(*data))
        return bad_answer(error, "data");
    return status;
}

/* Before a DEK is wrapped: a wrapping that does not bind the context must not come about. */
static enum envol_status check_derived(struct envol_vault *vault,
                                       const struct envol_key_request *request,
                                       const struct key *key, struct envol_error *error)
{
    struct envol_vault_call *call = NULL;
    const json_t *data;
    enum envol_status status;

    if ((vault->settings.flags & ENVOL_VAULT_ALLOW_UNBOUND) != 0)
        return ENVOL_OK;
    status =
        envol_kms_vault_call_new(ENVOL_KEY_ALLOW_UNLOCKED, ENVOL_VAULT_ANSWER_MAX, &call, error);
    if (status == ENVOL_OK)
        status = read_key(vault, request, key, &data, call, error);
    if (status == ENVOL_OK && !json_is_true(json_object_get(data, "derived")))
        status = envol_kms_fail(error, ENVOL_E_UNSUPPORTED, "",
                                "the key %.96s is not derived, so it cannot bind the encryption "
                                "context: create it with derived=true",
                                key->name);
    envol_kms_vault_call_free(call);
    return status;
}

/* All calls but describe: the reference is read and there is memory for the exchange. */
static enum envol_status begin(const struct envol_key_request *request, struct key *key,
                               struct envol_vault_call **call, struct envol_kms_text *body,
                               struct envol_error *error)
{
    enum envol_status status = read_ref(request->key_ref, key, error);

    *call = NULL;
    if (status == ENVOL_OK)
        status = envol_kms_vault_call_new(request->flags, SHORT_ANSWER_MAX, call, error);
    if (status != ENVOL_OK)
        return status;
    *body = envol_kms_text((*call)->body, sizeof((*call)->body));
    envol_kms_text_add(body, "{");
    return ENVOL_OK;
}

static enum envol_status ask(struct envol_vault *vault, const struct envol_key_request *request,
                             const struct key *key, const char *verb, struct envol_kms_text *body,
                             struct envol_vault_call *call, struct envol_error *error)
{
    struct path path = path_of(key, verb);
    enum envol_status status = add_context(body, request, error);

    envol_kms_text_add(body, "}");
    return status == ENVOL_OK ? envol_kms_vault_ask(vault, request, path.text, body, call, error)
                              : status;
}

static enum envol_status generate(void *state, const struct envol_key_request *request,
                                  uint8_t dek[ENVOL_DEK_BYTES], struct envol_wrapped_dek *wrapped,
                                  struct envol_error *error)
{
    struct envol_vault_call *call;
    struct envol_kms_text body;
    struct key key;
    size_t bytes = 0;
    enum envol_status status = begin(request, &key, &call, &body, error);

    if (status == ENVOL_OK)
        status = check_derived(state, request, &key, error);
    if (status != ENVOL_OK)
        goto out;
    envol_kms_text_add(&body, "\"bits\":512");
    status = ask(state, request, &key, "datakey/plaintext", &body, call, error);
    if (status == ENVOL_OK)
        status = read_wrapped(call, &key, wrapped, error);
    if (status == ENVOL_OK)
        status = read_plaintext(call, dek, ENVOL_DEK_BYTES, &bytes, error);
    if (status == ENVOL_OK && bytes != ENVOL_DEK_BYTES)
        status =
            envol_kms_fail(error, ENVOL_E_PROVIDER, "", "Vault: a data key of %zu bytes", bytes);
out:
    envol_kms_vault_call_free(call);
    return status;
}

static enum envol_status wrap(void *state, const struct envol_key_request *request,
                              const uint8_t dek[ENVOL_DEK_BYTES], struct envol_wrapped_dek *wrapped,
                              struct envol_error *error)
{
    struct envol_vault_call *call;
    struct envol_kms_text body;
    struct key key;
    enum envol_status status = begin(request, &key, &call, &body, error);

    if (status == ENVOL_OK)
        status = check_derived(state, request, &key, error);
    if (status != ENVOL_OK)
        goto out;
    envol_kms_text_add(&body, "\"plaintext\":\"");
    envol_kms_text_base64(&body, dek, ENVOL_DEK_BYTES);
    envol_kms_text_add(&body, "\"");
    status = ask(state, request, &key, "encrypt", &body, call, error);
    if (status == ENVOL_OK)
        status = read_wrapped(call, &key, wrapped, error);
out:
    envol_kms_vault_call_free(call);
    return status;
}

/* A blob is text that goes into JSON: one that Transit did not write is not sent. */
static enum envol_status add_blob(struct envol_kms_text *body, const void *blob, size_t bytes,
                                  struct envol_error *error)
{
    const char *text = blob;
    char version[16];

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\')
            bytes = 0;
    }
    if (!version_of(text, bytes, version, sizeof(version)))
        return envol_kms_fail(error, ENVOL_E_WRONG_KEY, "", "the wrapped DEK is not Transit's");
    envol_kms_text_add(body, "\"ciphertext\":\"");
    envol_kms_text_bytes(body, text, bytes);
    envol_kms_text_add(body, "\"");
    return ENVOL_OK;
}

static enum envol_status unwrap(void *state, const struct envol_key_request *request,
                                const void *blob, size_t blob_bytes, uint8_t *dek,
                                size_t dek_capacity, size_t *dek_bytes, struct envol_error *error)
{
    struct envol_vault_call *call;
    struct envol_kms_text body;
    struct key key;
    enum envol_status status = begin(request, &key, &call, &body, error);

    if (status == ENVOL_OK)
        status = add_blob(&body, blob, blob_bytes, error);
    if (status == ENVOL_OK)
        status = ask(state, request, &key, "decrypt", &body, call, error);
    if (status == ENVOL_OK)
        status = read_plaintext(call, dek, dek_capacity, dek_bytes, error);
    envol_kms_vault_call_free(call);
    return status;
}

static bool same_context(const struct envol_key_request *a, const struct envol_key_request *b)
{
    if (a->context_pairs != b->context_pairs)
        return false;
    for (size_t i = 0; i < a->context_pairs; i++) {
        if (strcmp(a->context[i].key, b->context[i].key) != 0 ||
            strcmp(a->context[i].value, b->context[i].value) != 0)
            return false;
    }
    return true;
}

/* Transit rewraps to the newest version of the same key, under the same context. */
static enum envol_status rewrap(void *state, const struct envol_key_request *from, const void *blob,
                                size_t blob_bytes, const struct envol_key_request *to,
                                struct envol_wrapped_dek *rewrapped, struct envol_error *error)
{
    struct envol_vault_call *call;
    struct envol_kms_text body;
    struct key key, target;
    enum envol_status status = begin(from, &key, &call, &body, error);

    if (status == ENVOL_OK)
        status = read_ref(to->key_ref, &target, error);
    if (status == ENVOL_OK && (strcmp(key.mount, target.mount) != 0 ||
                               strcmp(key.name, target.name) != 0 || !same_context(from, to)))
        status = envol_kms_fail(error, ENVOL_E_UNSUPPORTED, "", "Transit rewraps within one key");
    if (status == ENVOL_OK)
        status = check_derived(state, from, &key, error);
    if (status == ENVOL_OK)
        status = add_blob(&body, blob, blob_bytes, error);
    if (status == ENVOL_OK)
        status = ask(state, from, &key, "rewrap", &body, call, error);
    if (status == ENVOL_OK)
        status = read_wrapped(call, &key, rewrapped, error);
    envol_kms_vault_call_free(call);
    return status;
}

static enum envol_status describe(void *state, const struct envol_key_request *request,
                                  struct envol_key_info *info, struct envol_error *error)
{
    struct envol_vault_call *call = NULL;
    const json_t *data = NULL, *latest;
    struct key key;
    struct envol_kms_text version = envol_kms_text(info->key_version, sizeof(info->key_version));
    enum envol_status status = read_ref(request->key_ref, &key, error);

    if (status == ENVOL_OK)
        status = envol_kms_vault_call_new(ENVOL_KEY_ALLOW_UNLOCKED, ENVOL_VAULT_ANSWER_MAX, &call,
                                          error);
    if (status == ENVOL_OK)
        status = read_key(state, request, &key, &data, call, error);
    if (status != ENVOL_OK)
        goto out;
    latest = json_object_get(data, "latest_version");
    if (!json_is_integer(latest) || json_integer_value(latest) < 1) {
        status = bad_answer(error, "latest_version");
        goto out;
    }
    envol_kms_text_format(&version, "%lld", (long long)json_integer_value(latest));
    info->state = json_is_true(json_object_get(data, "soft_deleted")) ? ENVOL_KEY_DISABLED
                                                                      : ENVOL_KEY_ENABLED;
    write_ref(&key, info->key_ref, sizeof(info->key_ref));
out:
    envol_kms_vault_call_free(call);
    return status;
}

static void close_vault(void *state)
{
    struct envol_vault *vault = state;

    envol_kms_secret_free(vault->secrets, sizeof(*vault->secrets));
    pthread_mutex_destroy(&vault->lock);
    free(vault);
}

#define VTABLE(bits)                                                                               \
    {                                                                                              \
        .struct_size = sizeof(struct envol_provider_vtable), .name = "vault",                      \
        .capabilities = (bits) | ENVOL_PROVIDER_REWRAPS | ENVOL_PROVIDER_GENERATES,                \
        .generate = generate, .wrap = wrap, .unwrap = unwrap, .rewrap = rewrap,                    \
        .describe = describe, .close = close_vault,                                                \
    }

static const struct envol_provider_vtable bound_vtable = VTABLE(ENVOL_PROVIDER_BINDS_CONTEXT);
static const struct envol_provider_vtable unbound_vtable = VTABLE(0u);

enum envol_status envol_vault_provider_open(const struct envol_vault_options *options,
                                            struct envol_provider **provider,
                                            struct envol_error *error)
{
    struct envol_vault_options whole;
    struct envol_vault *vault;
    enum envol_status status;
    bool is_bound;

    if (provider == NULL)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "provider: NULL");
    *provider = NULL;
    status = envol_kms_options_take(options, &whole, sizeof(whole), FIRST_OPTIONS_BYTES, error);
    if (status == ENVOL_OK)
        status = envol_kms_http_begin(error);
    if (status != ENVOL_OK)
        return status;
    vault = calloc(1, sizeof(*vault));
    if (vault == NULL)
        return envol_kms_fail(error, ENVOL_E_NO_MEMORY, "", "out of memory");
    pthread_mutex_init(&vault->lock, NULL);
    vault->process = getpid();
    status = envol_kms_vault_settings(&whole, vault, error);
    if (status != ENVOL_OK) {
        close_vault(vault);
        return status;
    }
    is_bound = (vault->settings.flags & ENVOL_VAULT_ALLOW_UNBOUND) == 0;
    status = envol_provider_open(is_bound ? &bound_vtable : &unbound_vtable, vault, provider);
    return status == ENVOL_OK ? envol_kms_succeed(error)
                              : envol_kms_fail(error, status, "", "out of memory");
}
