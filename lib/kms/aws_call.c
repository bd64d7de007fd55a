/* SPDX-License-Identifier: BSD-2-Clause */
/* One operation of AWS KMS: credentials, signature, exchange, and once more with fresh ones. */
#include "kms/aws.h"

#include "kms/fail.h"
#include "kms/process.h"
#include <sodium.h>
#include <stdio.h>

#define CONTENT_TYPE "application/x-amz-json-1.1"

/* Credentials are in call; what is left is one exchange. */
static enum envol_status exchange_once(struct envol_aws *aws,
                                       const struct envol_kms_patience *patience,
                                       const char *target, size_t body_bytes,
                                       struct envol_aws_call *call, bool *refresh,
                                       struct envol_error *error)
{
    struct envol_kms_exchange exchange = {
        .method = "POST",
        .url = call->url,
        .body = call->body,
        .body_bytes = body_bytes,
        .ca_file = aws->settings.ca_file[0] == '\0' ? NULL : aws->settings.ca_file,
        .is_local = envol_kms_is_loopback_url(call->url),
        .answer = call->answer,
        .capacity = sizeof(call->answer),
    };
    struct envol_aws_outcome outcome;
    enum envol_status status;

    call->signing = (struct envol_aws_signing){.service = "kms",
                                               .region = call->key.region,
                                               .content_type = CONTENT_TYPE,
                                               .target = target};
    if (!envol_kms_aws_sign(&call->credentials, &call->signing, &exchange))
        return envol_kms_fail(error, ENVOL_E_CREDENTIALS, "", "the credentials are too long");
    status = envol_kms_http(patience, &exchange, error);
    call->answer_bytes = exchange.answer_bytes;
    if (status != ENVOL_OK || exchange.code == 200)
        return status;
    outcome = envol_kms_aws_failure(exchange.code, call->answer, call->answer_bytes, error);
    *refresh = outcome.refresh;
    return outcome.status;
}

static enum envol_status parse(struct envol_aws_call *call, const char *operation,
                               struct envol_error *error)
{
    if (envol_kms_json_parse(call->answer, call->answer_bytes, call->room, sizeof(call->room),
                             &call->json))
        return ENVOL_OK;
    return envol_kms_fail(error, ENVOL_E_PROVIDER, "", "AWS KMS: %s: the answer is not JSON",
                          operation);
}

enum envol_status envol_kms_aws_call(struct envol_aws *aws, const struct envol_key_request *request,
                                     const char *operation, size_t body_bytes,
                                     struct envol_aws_call *call, struct envol_error *error)
{
    const struct envol_kms_patience patience = {request->deadline_ms, request->cancel_flag,
                                                aws->settings.timeout_ms};
    char target[64];
    bool refresh = false;
    enum envol_status status = envol_kms_process_check(aws->process, error);

    if (status != ENVOL_OK)
        return status;
    snprintf(target, sizeof(target), "TrentService.%s", operation);
    if (!envol_kms_aws_endpoint(&aws->settings, "kms", call->key.region, call->url,
                                sizeof(call->url)))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "the endpoint's URL is too long");
    status = envol_kms_aws_credentials(aws, &patience, false, &call->credentials, error);
    if (status == ENVOL_OK)
        status = exchange_once(aws, &patience, target, body_bytes, call, &refresh, error);
    if (status == ENVOL_E_CREDENTIALS && refresh) {
        refresh = false;
        status = envol_kms_aws_credentials(aws, &patience, true, &call->credentials, error);
        if (status == ENVOL_OK)
            status = exchange_once(aws, &patience, target, body_bytes, call, &refresh, error);
    }
    return status == ENVOL_OK ? parse(call, operation, error) : status;
}
