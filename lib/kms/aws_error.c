/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the errors of AWS KMS and STS mean.  The exception decides and not the HTTP status: models
 * say 409 for DisabledException, and the service answers 400.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include <string.h>

/*
 * The first row that fits counts.  A row with words fits messages that hold them.  Sources: the
 * service model of KMS (2014-11-01), "Common Error Types", the STS model, "Key states".
 */
static const struct {
    const char *type;
    const char *words;
    struct envol_aws_outcome outcome;
} errors[] = {
    {"ThrottlingException", NULL, {ENVOL_E_THROTTLED, false}},
    {"Throttling", NULL, {ENVOL_E_THROTTLED, false}},
    {"TooManyRequestsException", NULL, {ENVOL_E_THROTTLED, false}},
    {"RequestLimitExceeded", NULL, {ENVOL_E_THROTTLED, false}},
    {"KMSInternalException", NULL, {ENVOL_E_UNREACHABLE, false}},
    {"DependencyTimeoutException", NULL, {ENVOL_E_UNREACHABLE, false}},
    {"KeyUnavailableException", NULL, {ENVOL_E_UNREACHABLE, false}},
    {"InternalFailure", NULL, {ENVOL_E_UNREACHABLE, false}},
    {"InternalServerError", NULL, {ENVOL_E_UNREACHABLE, false}},
    {"ServiceUnavailable", NULL, {ENVOL_E_UNREACHABLE, false}},
    {"ServiceUnavailableException", NULL, {ENVOL_E_UNREACHABLE, false}},
    {"IDPCommunicationError", NULL, {ENVOL_E_UNREACHABLE, false}},
    /* Credentials: fresh ones may do. */
    {"ExpiredTokenException", NULL, {ENVOL_E_CREDENTIALS, true}},
    {"ExpiredToken", NULL, {ENVOL_E_CREDENTIALS, true}},
    {"UnrecognizedClientException", NULL, {ENVOL_E_CREDENTIALS, true}},
    {"InvalidClientTokenId", NULL, {ENVOL_E_CREDENTIALS, true}},
    {"InvalidIdentityToken", NULL, {ENVOL_E_CREDENTIALS, true}},
    {"InvalidSignatureException", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"SignatureDoesNotMatch", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"RequestExpired", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"MissingAuthenticationToken", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"MissingAuthenticationTokenException", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"IncompleteSignature", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"IncompleteSignatureException", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"OptInRequired", NULL, {ENVOL_E_CREDENTIALS, false}},
    {"IDPRejectedClaim", NULL, {ENVOL_E_CREDENTIALS, false}},
    /* Access to the key is lost, and can come back. */
    {"DisabledException", "pending deletion", {ENVOL_E_KEY_PENDING_DELETION, false}},
    {"DisabledException", NULL, {ENVOL_E_KEY_DISABLED, false}},
    {"KMSInvalidStateException", "deletion", {ENVOL_E_KEY_PENDING_DELETION, false}},
    {"KMSInvalidStateException", "creating", {ENVOL_E_UNREACHABLE, false}},
    {"KMSInvalidStateException", "updating", {ENVOL_E_UNREACHABLE, false}},
    {"KMSInvalidStateException", NULL, {ENVOL_E_KEY_DISABLED, false}},
    {"AccessDeniedException", NULL, {ENVOL_E_KEY_DENIED, false}},
    {"AccessDenied", NULL, {ENVOL_E_KEY_DENIED, false}},
    {"NotAuthorized", NULL, {ENVOL_E_KEY_DENIED, false}},
    {"NotAuthorizedException", NULL, {ENVOL_E_KEY_DENIED, false}},
    {"NotFoundException", NULL, {ENVOL_E_KEY_NOT_FOUND, false}},
    {"InvalidCiphertextException", NULL, {ENVOL_E_WRONG_KEY, false}},
    {"IncorrectKeyException", NULL, {ENVOL_E_WRONG_KEY, false}},
    /* Configuration. */
    {"InvalidKeyUsageException", NULL, {ENVOL_E_ARGUMENT, false}},
    {"InvalidArnException", NULL, {ENVOL_E_ARGUMENT, false}},
    {"InvalidGrantTokenException", NULL, {ENVOL_E_ARGUMENT, false}},
    {"ValidationException", NULL, {ENVOL_E_ARGUMENT, false}},
    {"ValidationError", NULL, {ENVOL_E_ARGUMENT, false}},
    {"UnsupportedOperationException", NULL, {ENVOL_E_UNSUPPORTED, false}},
    {"DryRunOperationException", NULL, {ENVOL_E_PROVIDER, false}},
    {"LimitExceededException", NULL, {ENVOL_E_PROVIDER, false}},
};

/* What no row names: by the HTTP status. */
static struct envol_aws_outcome by_code(long code)
{
    if (code == 429)
        return (struct envol_aws_outcome){ENVOL_E_THROTTLED, false};
    if (code >= 500)
        return (struct envol_aws_outcome){ENVOL_E_UNREACHABLE, false};
    return (struct envol_aws_outcome){ENVOL_E_PROVIDER, false};
}

struct envol_aws_outcome envol_kms_aws_classify(long code, const char *type, const char *message)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(errors[i].type, type) == 0 &&
            (errors[i].words == NULL || strcasestr(message, errors[i].words) != NULL))
            return errors[i].outcome;
    }
    return by_code(code);
}

/* "com.amazonaws.kms#NotFoundException:http://...": the name alone. */
static void bare_type(const char *type, char *out, size_t capacity)
{
    const char *hash = strrchr(type, '#');
    struct envol_kms_text text = envol_kms_text(out, capacity);
    size_t length;

    type = hash == NULL ? type : hash + 1;
    length = strcspn(type, ":");
    envol_kms_text_bytes(&text, type, length < capacity ? length : capacity - 1);
}

/* Messages are sentences, ours are not: without the full stop. */
static int message_length(const char *message)
{
    size_t length = message == NULL ? 0 : strnlen(message, 160);

    return (int)(length > 0 && message[length - 1] == '.' ? length - 1 : length);
}

struct envol_aws_outcome envol_kms_aws_failure(long code, char *answer, size_t bytes,
                                               struct envol_error *error)
{
    struct envol_kms_json json = {.root = NULL};
    struct envol_aws_outcome outcome;
    const char *type = NULL, *message = NULL;
    char name[64] = "";

    /* An error has no secret: one that has is not read. */
    if (envol_kms_json_parse(answer, bytes, NULL, 0, &json)) {
        type = envol_kms_json_string(json.root, "__type");
        message = envol_kms_json_string(json.root, "message");
        if (message == NULL)
            message = envol_kms_json_string(json.root, "Message");
    }
    if (type != NULL)
        bare_type(type, name, sizeof(name));
    outcome = envol_kms_aws_classify(code, name, message == NULL ? "" : message);
    envol_kms_fail(error, outcome.status, name, "AWS KMS: %s (HTTP %ld)%s%.*s",
                   name[0] == '\0' ? "an error without a name" : name, code,
                   message == NULL ? "" : ": ", message_length(message),
                   message == NULL ? "" : message);
    envol_kms_json_free(&json);
    return outcome;
}
