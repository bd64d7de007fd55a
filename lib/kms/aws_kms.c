/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The provider "aws-kms": its operations as JSON.  KeyId is sent with Decrypt too, although KMS
 * does not ask for it: a blob of another key must not be opened by whatever key it names.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include "kms/options.h"
#include "kms/secret.h"
#include <jansson.h>
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the first version, which ends with flags. */
#define FIRST_OPTIONS_BYTES                                                                        \
    (offsetof(struct envol_aws_kms_options, flags) +                                               \
     sizeof(((struct envol_aws_kms_options *)0)->flags))

/* DEKs are asked for as EBS asks: 64 bytes, not a KeySpec. */
#define NUMBER_OF_BYTES "64"
_Static_assert(ENVOL_DEK_BYTES == 64, "NUMBER_OF_BYTES");

static void add_string(struct envol_kms_text *body, const char *name, const char *value)
{
    envol_kms_text_format(body, "%s\"%s\":", body->length > 1 ? "," : "", name);
    envol_kms_text_json(body, value);
}

static void add_blob(struct envol_kms_text *body, const char *name, const void *blob, size_t bytes)
{
    envol_kms_text_format(body, "%s\"%s\":\"", body->length > 1 ? "," : "", name);
    envol_kms_text_base64(body, blob, bytes);
    envol_kms_text_add(body, "\"");
}

static void add_context(struct envol_kms_text *body, const char *name,
                        const struct envol_key_request *request)
{
    if (request->context_pairs == 0)
        return;
    envol_kms_text_format(body, ",\"%s\":{", name);
    for (size_t i = 0; i < request->context_pairs; i++) {
        envol_kms_text_add(body, i > 0 ? "," : "");
        envol_kms_text_json(body, request->context[i].key);
        envol_kms_text_add(body, ":");
        envol_kms_text_json(body, request->context[i].value);
    }
    envol_kms_text_add(body, "}");
}

static void add_grants(struct envol_kms_text *body, const struct envol_aws_settings *settings)
{
    if (settings->grant_token_count == 0)
        return;
    envol_kms_text_add(body, ",\"GrantTokens\":[");
    for (size_t i = 0; i < settings->grant_token_count; i++) {
        envol_kms_text_add(body, i > 0 ? "," : "");
        envol_kms_text_json(body, settings->grant_tokens[i]);
    }
    envol_kms_text_add(body, "]");
}

/* Memory of a call, and the key that it is for.  NULL on failure. */
static struct envol_aws_call *begin(struct envol_aws *aws, const struct envol_key_request *request,
                                    enum envol_status *status, struct envol_error *error)
{
    void *room = NULL;
    struct envol_aws_call *call;

    *status = envol_kms_secret_alloc(sizeof(*call), request->flags, &room);
    if (*status != ENVOL_OK) {
        envol_kms_fail(error, *status, "", "%s", envol_status_message(*status));
        return NULL;
    }
    call = room;
    *status = envol_kms_aws_key(&aws->settings, request->key_ref, &call->key, error);
    if (*status == ENVOL_OK)
        return call;
    envol_kms_secret_free(call, sizeof(*call));
    return NULL;
}

static void end(struct envol_aws_call *call)
{
    if (call != NULL)
        envol_kms_json_free(&call->json);
    envol_kms_secret_free(call, sizeof(*call));
}

static enum envol_status ask(struct envol_aws *aws, const struct envol_key_request *request,
                             const char *operation, struct envol_kms_text *body,
                             struct envol_aws_call *call, struct envol_error *error)
{
    add_grants(body, &aws->settings);
    envol_kms_text_add(body, "}");
    if (body->full)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "%s: the request is too long",
                              operation);
    return envol_kms_aws_call(aws, request, operation, body->length, call, error);
}

static enum envol_status bad_answer(struct envol_error *error, const char *what)
{
    return envol_kms_fail(error, ENVOL_E_PROVIDER, "", "AWS KMS: the answer has no valid %s", what);
}

/* A text of the answer into an array of an output struct; absent ones stay "". */
static bool copy_out(const json_t *object, const char *name, char *out, size_t capacity)
{
    const char *text = envol_kms_json_string(object, name);

    if (text == NULL || strlen(text) >= capacity)
        return false;
    strcpy(out, text);
    return true;
}

static enum envol_status check_key(const struct envol_aws_call *call, const char *asked,
                                   const char *name, struct envol_error *error)
{
    const char *answered = envol_kms_json_string(call->json.root, name);

    if (answered == NULL || strlen(answered) > ENVOL_KEY_REF_MAX)
        return bad_answer(error, name);
    if (!envol_kms_aws_same_key(asked, answered))
        return envol_kms_fail(error, ENVOL_E_PROVIDER, "",
                              "AWS KMS answered for another key: %.160s", answered);
    return ENVOL_OK;
}

static enum envol_status read_wrapped(const struct envol_aws_call *call, const char *asked,
                                      const char *version, struct envol_wrapped_dek *wrapped,
                                      struct envol_error *error)
{
    const char *blob = envol_kms_json_string(call->json.root, "CiphertextBlob");
    enum envol_status status = check_key(call, asked, "KeyId", error);

    if (status != ENVOL_OK)
        return status;
    if (blob == NULL || !envol_kms_base64_decode(blob, strlen(blob), wrapped->wrapped,
                                                 sizeof(wrapped->wrapped), &wrapped->wrapped_bytes))
        return bad_answer(error, "CiphertextBlob");
    copy_out(call->json.root, "KeyId", wrapped->key_ref, sizeof(wrapped->key_ref));
    copy_out(call->json.root, version, wrapped->key_version, sizeof(wrapped->key_version));
    return ENVOL_OK;
}

static enum envol_status read_plaintext(const struct envol_aws_call *call, uint8_t *dek,
                                        size_t capacity, size_t *bytes, struct envol_error *error)
{
    const char *text = NULL;
    size_t length = 0;

    if (!envol_kms_json_secret(&call->json, call->json.root, "Plaintext", &text, &length) ||
        !envol_kms_base64_decode(text, length, dek, capacity, bytes))
        return bad_answer(error, "Plaintext");
    return ENVOL_OK;
}

static enum envol_status generate(void *state, const struct envol_key_request *request,
                                  uint8_t dek[ENVOL_DEK_BYTES], struct envol_wrapped_dek *wrapped,
                                  struct envol_error *error)
{
    enum envol_status status;
    struct envol_aws_call *call = begin(state, request, &status, error);
    struct envol_kms_text body;
    size_t bytes = 0;

    if (call == NULL)
        return status;
    body = envol_kms_text(call->body, sizeof(call->body));
    envol_kms_text_add(&body, "{");
    add_string(&body, "KeyId", call->key.id);
    envol_kms_text_add(&body, ",\"NumberOfBytes\":" NUMBER_OF_BYTES);
    add_context(&body, "EncryptionContext", request);
    status = ask(state, request, "GenerateDataKey", &body, call, error);
    if (status == ENVOL_OK)
        status = read_wrapped(call, call->key.id, "KeyMaterialId", wrapped, error);
    if (status == ENVOL_OK)
        status = read_plaintext(call, dek, ENVOL_DEK_BYTES, &bytes, error);
    if (status == ENVOL_OK && bytes != ENVOL_DEK_BYTES)
        status =
            envol_kms_fail(error, ENVOL_E_PROVIDER, "", "AWS KMS: a data key of %zu bytes", bytes);
    end(call);
    return status;
}

static enum envol_status wrap(void *state, const struct envol_key_request *request,
                              const uint8_t dek[ENVOL_DEK_BYTES], struct envol_wrapped_dek *wrapped,
                              struct envol_error *error)
{
    enum envol_status status;
    struct envol_aws_call *call = begin(state, request, &status, error);
    struct envol_kms_text body;

    if (call == NULL)
        return status;
    body = envol_kms_text(call->body, sizeof(call->body));
    envol_kms_text_add(&body, "{");
    add_string(&body, "KeyId", call->key.id);
    add_blob(&body, "Plaintext", dek, ENVOL_DEK_BYTES);
    add_context(&body, "EncryptionContext", request);
    status = ask(state, request, "Encrypt", &body, call, error);
    if (status == ENVOL_OK)
        status = read_wrapped(call, call->key.id, "KeyMaterialId", wrapped, error);
    end(call);
    return status;
}

static enum envol_status unwrap(void *state, const struct envol_key_request *request,
                                const void *blob, size_t blob_bytes, uint8_t *dek,
                                size_t dek_capacity, size_t *dek_bytes, struct envol_error *error)
{
    enum envol_status status;
    struct envol_aws_call *call = begin(state, request, &status, error);
    struct envol_kms_text body;

    if (call == NULL)
        return status;
    body = envol_kms_text(call->body, sizeof(call->body));
    envol_kms_text_add(&body, "{");
    add_string(&body, "KeyId", call->key.id);
    add_blob(&body, "CiphertextBlob", blob, blob_bytes);
    add_context(&body, "EncryptionContext", request);
    status = ask(state, request, "Decrypt", &body, call, error);
    if (status == ENVOL_OK)
        status = check_key(call, call->key.id, "KeyId", error);
    if (status == ENVOL_OK)
        status = read_plaintext(call, dek, dek_capacity, dek_bytes, error);
    end(call);
    return status;
}

/* ReEncrypt runs in one Region; across two, the library unwraps and wraps. */
static enum envol_status rewrap(void *state, const struct envol_key_request *from, const void *blob,
                                size_t blob_bytes, const struct envol_key_request *to,
                                struct envol_wrapped_dek *rewrapped, struct envol_error *error)
{
    struct envol_aws *aws = state;
    enum envol_status status;
    struct envol_aws_call *call = begin(aws, from, &status, error);
    struct envol_aws_key target;
    struct envol_kms_text body;

    if (call == NULL)
        return status;
    status = envol_kms_aws_key(&aws->settings, to->key_ref, &target, error);
    if (status == ENVOL_OK && strcmp(call->key.region, target.region) != 0)
        status = envol_kms_fail(error, ENVOL_E_UNSUPPORTED, "", "ReEncrypt across two Regions");
    if (status != ENVOL_OK)
        goto out;
    body = envol_kms_text(call->body, sizeof(call->body));
    envol_kms_text_add(&body, "{");
    add_string(&body, "SourceKeyId", call->key.id);
    add_string(&body, "DestinationKeyId", target.id);
    add_blob(&body, "CiphertextBlob", blob, blob_bytes);
    add_context(&body, "SourceEncryptionContext", from);
    add_context(&body, "DestinationEncryptionContext", to);
    status = ask(aws, from, "ReEncrypt", &body, call, error);
    if (status == ENVOL_OK)
        status = check_key(call, call->key.id, "SourceKeyId", error);
    if (status == ENVOL_OK)
        status = read_wrapped(call, target.id, "DestinationKeyMaterialId", rewrapped, error);
out:
    end(call);
    return status;
}

/* KeyState of the service's model.  What is none of these cannot be used now. */
static enum envol_key_state state_of(const char *name)
{
    if (strcmp(name, "Enabled") == 0 || strcmp(name, "Updating") == 0)
        return ENVOL_KEY_ENABLED;
    if (strcmp(name, "PendingDeletion") == 0 || strcmp(name, "PendingReplicaDeletion") == 0)
        return ENVOL_KEY_PENDING_DELETION;
    return ENVOL_KEY_DISABLED;
}

static enum envol_status describe(void *state, const struct envol_key_request *request,
                                  struct envol_key_info *info, struct envol_error *error)
{
    enum envol_status status;
    struct envol_aws_call *call = begin(state, request, &status, error);
    struct envol_kms_text body;
    const json_t *metadata;
    const char *name;

    if (call == NULL)
        return status;
    body = envol_kms_text(call->body, sizeof(call->body));
    envol_kms_text_add(&body, "{");
    add_string(&body, "KeyId", call->key.id);
    status = ask(state, request, "DescribeKey", &body, call, error);
    if (status != ENVOL_OK)
        goto out;
    metadata = json_object_get(call->json.root, "KeyMetadata");
    name = envol_kms_json_string(metadata, "KeyState");
    if (name == NULL || !copy_out(metadata, "Arn", info->key_ref, sizeof(info->key_ref))) {
        status = bad_answer(error, "KeyMetadata");
        goto out;
    }
    info->state = state_of(name);
    copy_out(metadata, "CurrentKeyMaterialId", info->key_version, sizeof(info->key_version));
out:
    end(call);
    return status;
}

static void close_aws(void *state)
{
    struct envol_aws *aws = state;

    envol_kms_secret_free(aws->fixed, sizeof(*aws->fixed));
    envol_kms_secret_free(aws->fetched, sizeof(*aws->fetched));
    pthread_mutex_destroy(&aws->lock);
    sodium_memzero(&aws->settings, sizeof(aws->settings)); /* grants, a container's token */
    free(aws);
}

static const struct envol_provider_vtable aws_vtable = {
    .struct_size = sizeof(aws_vtable),
    .name = "aws-kms",
    .capabilities =
        ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_REWRAPS | ENVOL_PROVIDER_GENERATES,
    .generate = generate,
    .wrap = wrap,
    .unwrap = unwrap,
    .rewrap = rewrap,
    .describe = describe,
    .close = close_aws,
};

static enum envol_status start(const struct envol_aws_kms_options *options, struct envol_aws *aws,
                               struct envol_error *error)
{
    void *fetched = NULL;
    enum envol_status status = envol_kms_aws_settings(options, &aws->settings, error);

    if (status == ENVOL_OK)
        status = envol_kms_aws_fixed(options, &aws->fixed, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_kms_secret_alloc(sizeof(*aws->fetched), ENVOL_KEY_ALLOW_UNLOCKED, &fetched);
    aws->fetched = fetched;
    return status == ENVOL_OK ? ENVOL_OK : envol_kms_fail(error, status, "", "out of memory");
}

enum envol_status envol_aws_kms_provider_open(const struct envol_aws_kms_options *options,
                                              struct envol_provider **provider,
                                              struct envol_error *error)
{
    struct envol_aws_kms_options whole;
    struct envol_aws *aws;
    enum envol_status status;

    if (provider == NULL)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "provider: NULL");
    *provider = NULL;
    status = envol_kms_options_take(options, &whole, sizeof(whole), FIRST_OPTIONS_BYTES, error);
    if (status == ENVOL_OK)
        status = envol_kms_http_begin(error);
    if (status != ENVOL_OK)
        return status;
    aws = calloc(1, sizeof(*aws));
    if (aws == NULL)
        return envol_kms_fail(error, ENVOL_E_NO_MEMORY, "", "out of memory");
    pthread_mutex_init(&aws->lock, NULL);
    aws->process = getpid();
    status = start(&whole, aws, error);
    if (status != ENVOL_OK) {
        close_aws(aws);
        return status;
    }
    status = envol_provider_open(&aws_vtable, aws, provider);
    return status == ENVOL_OK ? envol_kms_succeed(error)
                              : envol_kms_fail(error, status, "", "out of memory");
}
