/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Credentials of a provider: fixed ones, or fetched ones that are kept until shortly before they
 * expire.  One thread fetches, the others wait for it, each no longer than its own deadline.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include "kms/secret.h"
#include <errno.h>
#include <sodium.h>
#include <string.h>

/* The SDKs' margin: a fetch that fails leaves a quarter of an hour in which another may succeed. */
enum { REFRESH_BEFORE_S = 15 * 60 };

bool envol_kms_aws_is_set(const struct envol_aws_credentials *credentials)
{
    return credentials != NULL && credentials->access_key_id[0] != '\0';
}

/* The order of botocore, but for what it does not share with other SDKs. */
static enum envol_status search(struct envol_aws_fetch *fetch)
{
    static enum envol_status (*const sources[])(struct envol_aws_fetch *) = {
        envol_kms_aws_from_profile,
        envol_kms_aws_from_web_identity,
        envol_kms_aws_from_container,
        envol_kms_aws_from_instance,
    };

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        enum envol_status status;

        fetch->is_there = true;
        status = sources[i](fetch);
        if (status == ENVOL_OK || fetch->is_there)
            return status;
    }
    return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                          "no AWS credentials: not in the environment, the profile \"%s\", a "
                          "container's or an instance's role",
                          fetch->settings->profile);
}

/* Into memory of its own, so that a fetch that fails leaves what was there. */
static enum envol_status fetch_anew(struct envol_aws *aws,
                                    const struct envol_kms_patience *patience,
                                    struct envol_error *error)
{
    const size_t bytes = sizeof(struct envol_aws_credentials) + 2 * ENVOL_AWS_ANSWER_MAX;
    void *secret = NULL;
    enum envol_status status = envol_kms_secret_alloc(bytes, ENVOL_KEY_ALLOW_UNLOCKED, &secret);
    struct envol_aws_fetch fetch = {
        .settings = &aws->settings, .patience = patience, .credentials = secret, .error = error};

    if (status != ENVOL_OK)
        return envol_kms_fail(error, status, "", "out of memory");
    fetch.room = (char *)secret + sizeof(struct envol_aws_credentials);
    fetch.room2 = fetch.room + ENVOL_AWS_ANSWER_MAX;
    status = search(&fetch);
    if (status == ENVOL_OK)
        memcpy(aws->fetched, secret, sizeof(*aws->fetched));
    envol_kms_secret_free(secret, bytes);
    return status;
}

static enum envol_status renew(struct envol_aws *aws, const struct envol_kms_patience *patience,
                               bool refresh, struct envol_error *error)
{
    bool is_set = envol_kms_aws_is_set(aws->fetched);
    time_t left = is_set && aws->fetched->expires != 0 ? aws->fetched->expires - time(NULL)
                                                       : REFRESH_BEFORE_S + 1;
    enum envol_status status;

    if (is_set && !refresh && left > REFRESH_BEFORE_S)
        return ENVOL_OK;
    status = fetch_anew(aws, patience, error);
    /* Old ones that are still good are better than none. */
    if (status != ENVOL_OK && status != ENVOL_E_CANCELLED && is_set && !refresh && left > 0)
        return ENVOL_OK;
    return status;
}

enum envol_status envol_kms_aws_credentials(struct envol_aws *aws,
                                            const struct envol_kms_patience *patience, bool refresh,
                                            struct envol_aws_credentials *credentials,
                                            struct envol_error *error)
{
    enum envol_status status;

    if (aws->fixed != NULL) {
        *credentials = *aws->fixed;
        return refresh ? ENVOL_E_CREDENTIALS : ENVOL_OK;
    }
    status = envol_kms_patience_lock(patience, &aws->lock, error);
    if (status != ENVOL_OK)
        return status;
    status = renew(aws, patience, refresh, error);
    if (status == ENVOL_OK)
        *credentials = *aws->fetched;
    pthread_mutex_unlock(&aws->lock);
    return status;
}

time_t envol_kms_aws_time(const char *text)
{
    struct tm utc = {.tm_year = 0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);

    /* A fraction of a second, and "Z" or "+00:00", may follow. */
    return end == NULL ? 0 : timegm(&utc);
}

/* A backslash is one of an escape that was not undone. */
static bool copy(char *out, size_t capacity, const char *text, size_t length)
{
    if (length >= capacity || memchr(text, '\n', length) != NULL ||
        memchr(text, '\r', length) != NULL || memchr(text, '\\', length) != NULL)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static bool read_members(const struct envol_kms_json *json, const char *token_name,
                         struct envol_aws_credentials *out)
{
    const char *id = envol_kms_json_string(json->root, "AccessKeyId");
    const char *expiration = envol_kms_json_string(json->root, "Expiration");
    const char *secret = "", *token = "";
    size_t secret_bytes = 0, token_bytes = 0;

    if (id == NULL || id[0] == '\0' ||
        !envol_kms_json_secret(json, json->root, "SecretAccessKey", &secret, &secret_bytes))
        return false;
    (void)envol_kms_json_secret(json, json->root, token_name, &token, &token_bytes);
    out->expires = expiration == NULL ? 0 : envol_kms_aws_time(expiration);
    return (expiration == NULL || out->expires != 0) &&
           copy(out->access_key_id, sizeof(out->access_key_id), id, strlen(id)) &&
           copy(out->secret_access_key, sizeof(out->secret_access_key), secret, secret_bytes) &&
           copy(out->session_token, sizeof(out->session_token), token, token_bytes);
}

enum envol_status envol_kms_aws_read_json(struct envol_aws_fetch *fetch, size_t bytes,
                                          const char *token_name, const char *source)
{
    struct envol_kms_json json = {.root = NULL};
    bool is_read =
        envol_kms_json_parse(fetch->room, bytes, fetch->room2, ENVOL_AWS_ANSWER_MAX, &json) &&
        read_members(&json, token_name, fetch->credentials);

    envol_kms_json_free(&json);
    if (is_read)
        return ENVOL_OK;
    sodium_memzero(fetch->credentials, sizeof(*fetch->credentials));
    return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                          "%s: the answer holds no valid credentials", source);
}
