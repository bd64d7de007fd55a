/* SPDX-License-Identifier: BSD-2-Clause */
/* Exchanges with Vault: one, and one with a token that is renewed where the old one is refused. */
#include "kms/vault.h"

#include "kms/fail.h"
#include "kms/process.h"
#include "kms/secret.h"
#include <sodium.h>
#include <string.h>

enum envol_status envol_kms_vault_call_new(uint32_t flags, size_t capacity,
                                           struct envol_vault_call **call,
                                           struct envol_error *error)
{
    void *room = NULL;
    enum envol_status status = envol_kms_secret_alloc(sizeof(**call) + capacity, flags, &room);

    *call = room;
    if (status != ENVOL_OK)
        return envol_kms_fail(error, status, "", "%s", envol_status_message(status));
    (*call)->answer = (char *)room + sizeof(**call);
    (*call)->capacity = capacity;
    return ENVOL_OK;
}

void envol_kms_vault_call_free(struct envol_vault_call *call)
{
    if (call == NULL)
        return;
    envol_kms_json_free(&call->json);
    envol_kms_secret_free(call, sizeof(*call) + call->capacity);
}

struct headers {
    char token[ENVOL_VAULT_TOKEN_MAX + 32];
    char name_space[ENVOL_VAULT_TEXT_MAX + 32];
};

static void set_headers(const struct envol_vault *vault, const struct envol_vault_call *call,
                        struct headers *headers, struct envol_kms_exchange *exchange)
{
    struct envol_kms_text token = envol_kms_text(headers->token, sizeof(headers->token));
    struct envol_kms_text space = envol_kms_text(headers->name_space, sizeof(headers->name_space));
    size_t next = 0;

    exchange->headers[next++] = "X-Vault-Request: true";
    exchange->headers[next++] = "Content-Type: application/json";
    if (call->token[0] != '\0') {
        envol_kms_text_add(&token, "X-Vault-Token: ");
        envol_kms_text_add(&token, call->token);
        exchange->headers[next++] = headers->token;
    }
    if (vault->settings.name_space[0] != '\0') {
        envol_kms_text_format(&space, "X-Vault-Namespace: %s", vault->settings.name_space);
        exchange->headers[next] = headers->name_space;
    }
}

/* An answer without a body is one only if it is 204; a failure's may be anything. */
static enum envol_status read_answer(struct envol_vault_call *call, size_t bytes,
                                     struct envol_error *error)
{
    bool is_json =
        envol_kms_json_parse(call->answer, bytes, call->room, sizeof(call->room), &call->json);

    if (call->code == 204 || (call->code == 200 && is_json))
        return ENVOL_OK;
    if (call->code == 200)
        return envol_kms_fail(error, ENVOL_E_PROVIDER, "", "Vault: the answer is not JSON");
    return envol_kms_vault_failure(call, error);
}

enum envol_status envol_kms_vault_once(const struct envol_vault *vault,
                                       const struct envol_kms_patience *patience, const char *path,
                                       const struct envol_kms_text *body,
                                       struct envol_vault_call *call, struct envol_error *error)
{
    const struct envol_vault_settings *settings = &vault->settings;
    struct envol_kms_text url = envol_kms_text(call->url, sizeof(call->url));
    struct headers headers;
    struct envol_kms_exchange exchange = {
        .method = body == NULL ? "GET" : "POST",
        .url = call->url,
        .body = body == NULL ? NULL : body->data,
        .body_bytes = body == NULL ? 0 : body->length,
        .ca_file = settings->ca_file[0] == '\0' ? NULL : settings->ca_file,
        .is_local = envol_kms_is_loopback_url(settings->address),
        .answer = call->answer,
        .capacity = call->capacity,
    };
    enum envol_status status;

    envol_kms_json_free(&call->json);
    envol_kms_text_format(&url, "%s/v1/%s", settings->address, path);
    if (url.full || (body != NULL && body->full))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "Vault: the request is too long");
    set_headers(vault, call, &headers, &exchange);
    status = envol_kms_http(patience, &exchange, error);
    sodium_memzero(&headers, sizeof(headers));
    call->code = exchange.code;
    return status == ENVOL_OK ? read_answer(call, exchange.answer_bytes, error) : status;
}

/*
 * "permission denied" is what a policy says, and of older servers an expired token too.  Looking at
 * itself is what the policy "default" lets a token do: where it may, the key's policy is at fault.
 * Where it may not, the token is taken to be, as a lease must not believe a refusal that may be
 * none.
 */
static enum envol_status explain_denial(const struct envol_vault *vault,
                                        const struct envol_kms_patience *patience,
                                        struct envol_vault_call *call, struct envol_error *error)
{
    struct envol_error failure = ENVOL_ERROR_INIT;
    enum envol_status status =
        envol_kms_vault_once(vault, patience, "auth/token/lookup-self", NULL, call, &failure);

    if (status == ENVOL_E_KEY_DENIED || status == ENVOL_E_CREDENTIALS)
        return envol_kms_fail(error, ENVOL_E_CREDENTIALS, "403",
                              "Vault: the token is not valid, or has expired, or its policies do "
                              "not allow auth/token/lookup-self");
    /* Nothing is known of the token then. */
    if (status == ENVOL_E_CANCELLED || status == ENVOL_E_NO_MEMORY ||
        envol_status_is_retryable(status))
        return envol_kms_fail(error, status, failure.provider_code, "%s", failure.message);
    return ENVOL_E_KEY_DENIED;
}

enum envol_status envol_kms_vault_ask(struct envol_vault *vault,
                                      const struct envol_key_request *request, const char *path,
                                      const struct envol_kms_text *body,
                                      struct envol_vault_call *call, struct envol_error *error)
{
    const struct envol_kms_patience patience = {request->deadline_ms, request->cancel_flag,
                                                vault->settings.timeout_ms};
    enum envol_status status = envol_kms_process_check(vault->process, error);

    if (status == ENVOL_OK)
        status = envol_kms_vault_token(vault, &patience, false, call, error);
    if (status == ENVOL_OK)
        status = envol_kms_vault_once(vault, &patience, path, body, call, error);
    if (status == ENVOL_E_KEY_DENIED)
        status = explain_denial(vault, &patience, call, error);
    if (status != ENVOL_E_CREDENTIALS || vault->secrets->role_id[0] == '\0')
        return status;
    status = envol_kms_vault_token(vault, &patience, true, call, error);
    if (status == ENVOL_OK)
        status = envol_kms_vault_once(vault, &patience, path, body, call, error);
    return status;
}
