/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A profile's credentials: its own keys, a role assumed with those of another source, a web
 * identity, or what a process prints.  The files are read anew each time, as tools rewrite them.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include <stdio.h>
#include <string.h>

/* Roles that are assumed one after the other; more is a mistake, or a circle. */
enum { PROFILES_MAX = 4 };

struct files {
    struct envol_aws_file config, credentials;
};

/* A setting of a profile: the credentials file goes before the config file. */
static bool get(const struct files *files, const char *profile, const char *name, char *out,
                size_t capacity)
{
    char section[ENVOL_AWS_NAME_MAX + 16];

    out[0] = '\0';
    if (envol_kms_ini_get(files->credentials.text, profile, name, out, capacity))
        return true;
    snprintf(section, sizeof(section), "profile %s", profile);
    return envol_kms_ini_get(files->config.text,
                             strcmp(profile, "default") == 0 ? profile : section, name, out,
                             capacity);
}

static enum envol_status static_keys(struct envol_aws_fetch *fetch, const struct files *files,
                                     const char *profile)
{
    struct envol_aws_credentials *out = fetch->credentials;
    bool has_id =
        get(files, profile, "aws_access_key_id", out->access_key_id, sizeof(out->access_key_id));
    bool has_secret = get(files, profile, "aws_secret_access_key", out->secret_access_key,
                          sizeof(out->secret_access_key));

    if (has_id != has_secret)
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "profile %s: aws_access_key_id and aws_secret_access_key go together",
                              profile);
    if (!has_id) {
        fetch->is_there = false;
        return ENVOL_E_CREDENTIALS;
    }
    (void)get(files, profile, "aws_session_token", out->session_token, sizeof(out->session_token));
    out->expires = 0;
    return ENVOL_OK;
}

static enum envol_status environment_keys(struct envol_aws_fetch *fetch, const char *source)
{
    if (strcmp(source, "Ec2InstanceMetadata") == 0)
        return envol_kms_aws_from_instance(fetch);
    if (strcmp(source, "EcsContainer") == 0)
        return envol_kms_aws_from_container(fetch);
    return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                          "credential_source %.64s: Ec2InstanceMetadata or EcsContainer", source);
}

static enum envol_status from(struct envol_aws_fetch *fetch, const struct files *files,
                              const char *profile, unsigned depth);

/* What a role is assumed with. */
static enum envol_status role_source(struct envol_aws_fetch *fetch, const struct files *files,
                                     const char *profile, unsigned depth)
{
    char source[ENVOL_AWS_NAME_MAX + 1];

    if (get(files, profile, "credential_source", source, sizeof(source)))
        return environment_keys(fetch, source);
    if (!get(files, profile, "source_profile", source, sizeof(source)))
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "profile %s: role_arn without source_profile", profile);
    if (strcmp(source, profile) == 0)
        return static_keys(fetch, files, profile);
    return from(fetch, files, source, depth + 1);
}

static enum envol_status role(struct envol_aws_fetch *fetch, const struct files *files,
                              const char *profile, unsigned depth)
{
    char arn[ENVOL_AWS_TEXT_MAX + 1], token_file[ENVOL_AWS_TEXT_MAX + 1];
    char name[ENVOL_AWS_NAME_MAX + 1], external[ENVOL_AWS_TEXT_MAX + 1], duration[16];
    char region[ENVOL_AWS_NAME_MAX + 1];
    struct envol_aws_role assumed = {arn, name, external, duration, region};
    enum envol_status status;

    (void)get(files, profile, "role_arn", arn, sizeof(arn));
    (void)get(files, profile, "role_session_name", name, sizeof(name));
    (void)get(files, profile, "external_id", external, sizeof(external));
    (void)get(files, profile, "duration_seconds", duration, sizeof(duration));
    if (!get(files, profile, "region", region, sizeof(region)))
        snprintf(region, sizeof(region), "%s",
                 fetch->settings->region[0] == '\0' ? "us-east-1" : fetch->settings->region);
    if (get(files, profile, "web_identity_token_file", token_file, sizeof(token_file)))
        return envol_kms_aws_assume_web_role(fetch, &assumed, token_file);
    if (get(files, profile, "mfa_serial", token_file, sizeof(token_file)))
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "profile %s: mfa_serial needs a person; use another profile",
                              profile);
    status = role_source(fetch, files, profile, depth);
    if (status == ENVOL_OK)
        return envol_kms_aws_assume_role(fetch, &assumed);
    /* The search would go on, and find another principal than the one that is asked for. */
    if (!fetch->is_there) {
        fetch->is_there = true;
        return envol_kms_fail(fetch->error, status, "",
                              "profile %s: the source of its role has no credentials", profile);
    }
    return status;
}

static enum envol_status from(struct envol_aws_fetch *fetch, const struct files *files,
                              const char *profile, unsigned depth)
{
    char text[ENVOL_AWS_TEXT_MAX + 1];
    enum envol_status status;

    if (depth >= PROFILES_MAX)
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "profile %s: source_profile goes in a circle, or too deep", profile);
    if (get(files, profile, "role_arn", text, sizeof(text)))
        return role(fetch, files, profile, depth);
    status = static_keys(fetch, files, profile);
    if (status != ENVOL_OK && !fetch->is_there &&
        get(files, profile, "credential_process", text, sizeof(text))) {
        fetch->is_there = true;
        status = envol_kms_aws_from_process(fetch, text);
    }
    /* Nothing in a profile that another names is a mistake; nothing in the first one is nothing. */
    if (status != ENVOL_OK && !fetch->is_there && depth > 0) {
        fetch->is_there = true;
        return envol_kms_fail(fetch->error, status, "", "profile %s: no credentials", profile);
    }
    return status;
}

enum envol_status envol_kms_aws_from_profile(struct envol_aws_fetch *fetch)
{
    const struct envol_aws_settings *settings = fetch->settings;
    struct files files = {.config.text = NULL};
    enum envol_status status =
        envol_kms_aws_file_read(settings->config_file, &files.config, fetch->error);

    if (status == ENVOL_OK)
        status =
            envol_kms_aws_file_read(settings->credentials_file, &files.credentials, fetch->error);
    if (status != ENVOL_OK)
        goto out;
    status = from(fetch, &files, settings->profile, 0);
    if (status != ENVOL_OK && !fetch->is_there && settings->named_profile) {
        fetch->is_there = true;
        envol_kms_fail(fetch->error, status, "", "profile %s: no credentials", settings->profile);
    }
out:
    envol_kms_aws_file_free(&files.config);
    envol_kms_aws_file_free(&files.credentials);
    return status;
}

enum envol_status envol_kms_aws_from_web_identity(struct envol_aws_fetch *fetch)
{
    const struct envol_aws_settings *settings = fetch->settings;
    struct envol_aws_role assumed = {
        .arn = settings->role_arn,
        .session_name = settings->role_session_name,
        .region = settings->region[0] == '\0' ? "us-east-1" : settings->region,
    };

    if (settings->web_identity_token_file[0] == '\0' || settings->role_arn[0] == '\0') {
        fetch->is_there = false;
        return ENVOL_E_CREDENTIALS;
    }
    return envol_kms_aws_assume_web_role(fetch, &assumed, settings->web_identity_token_file);
}
