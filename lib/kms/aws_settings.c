/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options first, then the environment, then the profile's section of the config file.  Read once,
 * as getenv is no function to call beside threads; secure_getenv, as the caller may be setuid.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include "kms/secret.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Values go into headers and request lines. */
static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

static bool copy(char *out, size_t capacity, const char *text)
{
    size_t length = strlen(text);

    if (length >= capacity || !is_clean(text))
        return false;
    memcpy(out, text, length + 1);
    return true;
}

struct source {
    char *out;
    size_t capacity;
    const char *option;   /* the caller's; goes first */
    const char *names[2]; /* of the environment */
};

#define TO(field) settings->field, sizeof(settings->field)

static bool take(const struct source *source)
{
    if (is_given(source->option))
        return copy(source->out, source->capacity, source->option);
    for (size_t i = 0; i < 2 && source->names[i] != NULL; i++) {
        const char *value = secure_getenv(source->names[i]);

        if (is_given(value))
            return copy(source->out, source->capacity, value);
    }
    return true;
}

static bool is_true(const char *text)
{
    return text != NULL && strcasecmp(text, "true") == 0;
}

static enum envol_status take_all(const struct envol_aws_kms_options *options,
                                  struct envol_aws_settings *settings, struct envol_error *error)
{
    const struct source sources[] = {
        {TO(region), options->region, {"AWS_REGION", "AWS_DEFAULT_REGION"}},
        {TO(profile), options->profile, {"AWS_PROFILE", NULL}},
        {TO(kms_endpoint), options->endpoint, {"AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"}},
        {TO(sts_endpoint), NULL, {"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"}},
        {TO(ca_file), options->ca_file, {"AWS_CA_BUNDLE", NULL}},
        {TO(config_file), NULL, {"AWS_CONFIG_FILE", NULL}},
        {TO(credentials_file), NULL, {"AWS_SHARED_CREDENTIALS_FILE", NULL}},
        {TO(role_arn), NULL, {"AWS_ROLE_ARN", NULL}},
        {TO(role_session_name), NULL, {"AWS_ROLE_SESSION_NAME", NULL}},
        {TO(web_identity_token_file), NULL, {"AWS_WEB_IDENTITY_TOKEN_FILE", NULL}},
        {TO(container_relative_uri), NULL, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL}},
        {TO(container_full_uri), NULL, {"AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL}},
        {TO(container_token), NULL, {"AWS_CONTAINER_AUTHORIZATION_TOKEN", NULL}},
        {TO(container_token_file), NULL, {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NULL}},
        {TO(metadata_endpoint), NULL, {"AWS_EC2_METADATA_SERVICE_ENDPOINT", NULL}},
    };

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        const char *name = sources[i].names[0];

        if (!take(&sources[i]))
            return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "%s, or its option: not valid",
                                  name);
    }
    return ENVOL_OK;
}

/* Files of the user's home, where nothing names others. */
static void name_files(struct envol_aws_settings *settings)
{
    const char *home = secure_getenv("HOME");
    struct envol_kms_text path;

    if (!is_given(home))
        return;
    if (settings->config_file[0] == '\0') {
        path = envol_kms_text(TO(config_file));
        envol_kms_text_format(&path, "%s/.aws/config", home);
    }
    if (settings->credentials_file[0] == '\0') {
        path = envol_kms_text(TO(credentials_file));
        envol_kms_text_format(&path, "%s/.aws/credentials", home);
    }
}

struct config {
    const char *text;
    char section[ENVOL_AWS_NAME_MAX + 16];
    char services[ENVOL_AWS_NAME_MAX + 16]; /* section [services NAME]; "": none */
};

static void name_sections(const struct envol_aws_settings *settings, struct config *config)
{
    struct envol_kms_text text = envol_kms_text(config->section, sizeof(config->section));
    char name[ENVOL_AWS_NAME_MAX + 1];

    if (strcmp(settings->profile, "default") == 0)
        envol_kms_text_add(&text, "default");
    else
        envol_kms_text_format(&text, "profile %s", settings->profile);
    if (!envol_kms_ini_get(config->text, config->section, "services", name, sizeof(name)))
        return;
    text = envol_kms_text(config->services, sizeof(config->services));
    envol_kms_text_format(&text, "services %s", name);
}

static void from_config(const struct config *config, const char *name, char *out, size_t capacity)
{
    if (out[0] == '\0')
        (void)envol_kms_ini_get(config->text, config->section, name, out, capacity);
}

/* A service's own endpoint goes before the one for all services. */
static void endpoint_from_config(const struct config *config, const char *name, char *out,
                                 size_t capacity)
{
    if (out[0] == '\0' && config->services[0] != '\0')
        (void)envol_kms_ini_get(config->text, config->services, name, out, capacity);
    from_config(config, "endpoint_url", out, capacity);
}

static enum envol_status read_config(struct envol_aws_settings *settings, struct envol_error *error)
{
    struct envol_aws_file file = {.text = NULL};
    struct config config = {.text = NULL};
    char flag[8] = "";
    enum envol_status status = envol_kms_aws_file_read(settings->config_file, &file, error);

    if (status != ENVOL_OK)
        return status;
    config.text = file.text;
    name_sections(settings, &config);
    from_config(&config, "region", TO(region));
    from_config(&config, "ca_bundle", TO(ca_file));
    if (!is_given(secure_getenv("AWS_USE_FIPS_ENDPOINT")))
        from_config(&config, "use_fips_endpoint", flag, sizeof(flag));
    settings->use_fips = settings->use_fips || is_true(flag);
    if (!is_true(secure_getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))) {
        endpoint_from_config(&config, "kms.endpoint_url", TO(kms_endpoint));
        endpoint_from_config(&config, "sts.endpoint_url", TO(sts_endpoint));
    }
    envol_kms_aws_file_free(&file);
    return ENVOL_OK;
}

static enum envol_status check(struct envol_aws_settings *settings, struct envol_error *error)
{
    if (settings->kms_endpoint[0] != '\0' && !envol_kms_is_endpoint(settings->kms_endpoint))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "",
                              "endpoint %s: https, or http on a loopback address, is needed",
                              settings->kms_endpoint);
    if (settings->sts_endpoint[0] != '\0' && !envol_kms_is_endpoint(settings->sts_endpoint))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "",
                              "endpoint %s: https, or http on a loopback address, is needed",
                              settings->sts_endpoint);
    if (strspn(settings->region, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
        strlen(settings->region))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "Region %s: not valid",
                              settings->region);
    return ENVOL_OK;
}

static enum envol_status take_grant_tokens(const struct envol_aws_kms_options *options,
                                           struct envol_aws_settings *settings,
                                           struct envol_error *error)
{
    if (options->grant_token_count > ENVOL_AWS_GRANT_TOKENS_MAX)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "more than %d grant tokens",
                              ENVOL_AWS_GRANT_TOKENS_MAX);
    for (size_t i = 0; i < options->grant_token_count; i++) {
        if (options->grant_tokens == NULL || !is_given(options->grant_tokens[i]) ||
            !copy(TO(grant_tokens[i]), options->grant_tokens[i]))
            return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "a grant token is not valid");
    }
    settings->grant_token_count = options->grant_token_count;
    return ENVOL_OK;
}

enum envol_status envol_kms_aws_settings(const struct envol_aws_kms_options *options,
                                         struct envol_aws_settings *settings,
                                         struct envol_error *error)
{
    const uint32_t known = ENVOL_AWS_KMS_FIPS | ENVOL_AWS_KMS_LOCAL_REPLICA;
    enum envol_status status;

    if ((options->flags & ~known) != 0)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "unknown flags");
    settings->timeout_ms = options->timeout_ms;
    settings->local_replica = (options->flags & ENVOL_AWS_KMS_LOCAL_REPLICA) != 0;
    settings->use_fips = (options->flags & ENVOL_AWS_KMS_FIPS) != 0 ||
                         is_true(secure_getenv("AWS_USE_FIPS_ENDPOINT"));
    settings->no_metadata = is_true(secure_getenv("AWS_EC2_METADATA_DISABLED"));
    status = take_all(options, settings, error);
    if (status == ENVOL_OK)
        status = take_grant_tokens(options, settings, error);
    if (status != ENVOL_OK)
        return status;
    settings->named_profile = settings->profile[0] != '\0';
    if (!settings->named_profile)
        memcpy(settings->profile, "default", sizeof("default"));
    name_files(settings);
    status = read_config(settings, error);
    return status == ENVOL_OK ? check(settings, error) : status;
}

static bool copy_fixed(const char *id, const char *secret, const char *token,
                       struct envol_aws_credentials *out)
{
    return is_given(secret) && copy(out->access_key_id, sizeof(out->access_key_id), id) &&
           copy(out->secret_access_key, sizeof(out->secret_access_key), secret) &&
           copy(out->session_token, sizeof(out->session_token), token == NULL ? "" : token);
}

enum envol_status envol_kms_aws_fixed(const struct envol_aws_kms_options *options,
                                      struct envol_aws_credentials **fixed,
                                      struct envol_error *error)
{
    const char *id = options->access_key_id, *secret = options->secret_access_key;
    const char *token = options->session_token;
    void *room = NULL;
    enum envol_status status;

    if (!is_given(id) && !is_given(secret)) {
        id = secure_getenv("AWS_ACCESS_KEY_ID");
        secret = secure_getenv("AWS_SECRET_ACCESS_KEY");
        token = secure_getenv("AWS_SESSION_TOKEN");
        /* A profile that the caller names goes before the environment. */
        if (!is_given(id) || is_given(options->profile))
            return ENVOL_OK;
    }
    if (!is_given(id))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "access_key_id is missing");
    status = envol_kms_secret_alloc(sizeof(**fixed), ENVOL_KEY_ALLOW_UNLOCKED, &room);
    if (status != ENVOL_OK)
        return envol_kms_fail(error, status, "", "out of memory");
    *fixed = room;
    if (!copy_fixed(id, secret, token, *fixed))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "the AWS credentials are not valid");
    return ENVOL_OK;
}
