/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AssumeRole and AssumeRoleWithWebIdentity of STS, whose answers are XML (Query protocol,
 * 2011-06-15).  Only leaf elements with one name and no attributes are read.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is between <name> and </name>, the first there is; no entity may be in it. */
static bool element(const char *xml, const char *name, char *out, size_t capacity)
{
    char tag[40];
    const char *begin, *end;
    size_t length;

    snprintf(tag, sizeof(tag), "<%s>", name);
    begin = strstr(xml, tag);
    if (begin == NULL)
        return false;
    begin += strlen(tag);
    end = strchr(begin, '<');
    length = end == NULL ? capacity : (size_t)(end - begin);
    if (length >= capacity || memchr(begin, '&', length) != NULL)
        return false;
    memcpy(out, begin, length);
    out[length] = '\0';
    return true;
}

static enum envol_status fail_sts(const struct envol_kms_exchange *exchange,
                                  struct envol_error *error)
{
    char code[64] = "", message[160] = "";
    struct envol_aws_outcome outcome;

    (void)element(exchange->answer, "Code", code, sizeof(code));
    (void)element(exchange->answer, "Message", message, sizeof(message));
    outcome = envol_kms_aws_classify(exchange->code, code, message);
    /* It is the role that is denied, gone or misnamed, and not the CMK. */
    if (outcome.status != ENVOL_E_THROTTLED && outcome.status != ENVOL_E_UNREACHABLE)
        outcome.status = ENVOL_E_CREDENTIALS;
    return envol_kms_fail(error, outcome.status, code, "STS: %s (HTTP %ld): %s", code,
                          exchange->code, message);
}

static enum envol_status read_answer(struct envol_aws_fetch *fetch,
                                     const struct envol_kms_exchange *exchange)
{
    struct envol_aws_credentials *out = fetch->credentials;
    char expiration[64] = "";

    if (exchange->code != 200)
        return fail_sts(exchange, fetch->error);
    sodium_memzero(out, sizeof(*out));
    if (element(exchange->answer, "AccessKeyId", out->access_key_id, sizeof(out->access_key_id)) &&
        element(exchange->answer, "SecretAccessKey", out->secret_access_key,
                sizeof(out->secret_access_key)) &&
        element(exchange->answer, "SessionToken", out->session_token, sizeof(out->session_token)) &&
        element(exchange->answer, "Expiration", expiration, sizeof(expiration))) {
        out->expires = envol_kms_aws_time(expiration);
        if (out->expires != 0)
            return ENVOL_OK;
    }
    sodium_memzero(out, sizeof(*out));
    return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "", "STS: no credentials came back");
}

static void add_parameter(struct envol_kms_text *body, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    envol_kms_text_format(body, "&%s=", name);
    envol_kms_text_uri(body, value, false);
}

static void add_role(struct envol_kms_text *body, const char *action,
                     const struct envol_aws_role *role)
{
    char name[ENVOL_AWS_NAME_MAX];

    snprintf(name, sizeof(name), "libenvol-%ld", (long)getpid());
    envol_kms_text_format(body, "Action=%s&Version=2011-06-15", action);
    add_parameter(body, "RoleArn", role->arn);
    add_parameter(body, "RoleSessionName",
                  role->session_name == NULL || role->session_name[0] == '\0' ? name
                                                                              : role->session_name);
    add_parameter(body, "ExternalId", role->external_id);
    add_parameter(body, "DurationSeconds", role->duration_s);
}

#define CONTENT_TYPE "application/x-www-form-urlencoded; charset=utf-8"

/* One POST to STS with the body in room2; the answer goes to room. */
static enum envol_status post(struct envol_aws_fetch *fetch, const struct envol_aws_role *role,
                              const struct envol_kms_text *body, bool is_signed)
{
    const struct envol_aws_settings *settings = fetch->settings;
    char url[ENVOL_AWS_TEXT_MAX + 2] = "";
    struct envol_aws_signing signing = {
        .service = "sts", .region = role->region, .content_type = CONTENT_TYPE};
    struct envol_kms_exchange exchange = {
        .method = "POST",
        .url = url,
        .headers = {"Content-Type: " CONTENT_TYPE},
        .body = body->data,
        .body_bytes = body->length,
        .ca_file = settings->ca_file[0] == '\0' ? NULL : settings->ca_file,
        .answer = fetch->room,
        .capacity = ENVOL_AWS_ANSWER_MAX,
    };
    bool fits = envol_kms_aws_endpoint(settings, "sts", role->region, url, sizeof(url));
    enum envol_status status;

    fits = fits && !body->full;
    exchange.is_local = envol_kms_is_loopback_url(url);
    if (fits && is_signed)
        fits = envol_kms_aws_sign(fetch->credentials, &signing, &exchange);
    if (!fits)
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "STS: the request is too long");
    status = envol_kms_http(fetch->patience, &exchange, fetch->error);
    sodium_memzero(&signing, sizeof(signing));
    return status == ENVOL_OK ? read_answer(fetch, &exchange) : status;
}

enum envol_status envol_kms_aws_assume_role(struct envol_aws_fetch *fetch,
                                            const struct envol_aws_role *role)
{
    struct envol_kms_text body = envol_kms_text(fetch->room2, ENVOL_AWS_ANSWER_MAX);

    add_role(&body, "AssumeRole", role);
    return post(fetch, role, &body, true);
}

enum envol_status envol_kms_aws_assume_web_role(struct envol_aws_fetch *fetch,
                                                const struct envol_aws_role *role,
                                                const char *token_file)
{
    struct envol_kms_text body = envol_kms_text(fetch->room2, ENVOL_AWS_ANSWER_MAX);

    if (envol_kms_read_file(token_file, fetch->room, ENVOL_AWS_ANSWER_MAX) < 0)
        return envol_kms_fail_errno(fetch->error, ENVOL_E_CREDENTIALS, errno, token_file);
    fetch->room[strcspn(fetch->room, "\r\n")] = '\0';
    add_role(&body, "AssumeRoleWithWebIdentity", role);
    add_parameter(&body, "WebIdentityToken", fetch->room);
    return post(fetch, role, &body, false);
}
