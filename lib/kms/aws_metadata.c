/* SPDX-License-Identifier: BSD-2-Clause */
/* Credentials of a container's role and of an instance's (IMDSv2, never version 1). */
#include "kms/aws.h"

#include "kms/fail.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST  "http://169.254.169.254"

/* An address that nobody answers must not hold up a call that has no other credentials either. */
enum { METADATA_TIMEOUT_MS = 1000 };

/* ECS and EKS Pod Identity: the addresses that a plain URL may name. */
static const char *const container_hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
static const char *const instance_hosts[] = {"169.254.169.254", "[fd00:ec2::254]"};

static enum envol_status get(struct envol_aws_fetch *fetch, const char *method, const char *url,
                             const char *header, struct envol_kms_exchange *exchange)
{
    struct envol_kms_patience patience = *fetch->patience;

    if (patience.timeout_ms == 0 || patience.timeout_ms > METADATA_TIMEOUT_MS)
        patience.timeout_ms = METADATA_TIMEOUT_MS;
    *exchange = (struct envol_kms_exchange){
        .method = method,
        .url = url,
        .headers = {header},
        .ca_file = fetch->settings->ca_file[0] == '\0' ? NULL : fetch->settings->ca_file,
        .is_local = true,
        .answer = fetch->room,
        .capacity = ENVOL_AWS_ANSWER_MAX,
    };
    return envol_kms_http(&patience, exchange, fetch->error);
}

/* The token of EKS is in a file that is rewritten, that of others in the environment. */
static enum envol_status container_token(struct envol_aws_fetch *fetch, char *header,
                                         size_t capacity)
{
    const char *file = fetch->settings->container_token_file;
    const char *token = fetch->settings->container_token;
    struct envol_kms_text text = envol_kms_text(header, capacity);

    if (file[0] != '\0') {
        if (envol_kms_read_file(file, fetch->room, ENVOL_AWS_ANSWER_MAX) < 0)
            return envol_kms_fail_errno(fetch->error, ENVOL_E_CREDENTIALS, errno, file);
        fetch->room[strcspn(fetch->room, "\r\n")] = '\0';
        token = fetch->room;
    }
    if (token[0] != '\0') {
        envol_kms_text_add(&text, "Authorization: ");
        envol_kms_text_add(&text, token);
    }
    if (text.full || strpbrk(header, "\r\n") != NULL)
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "the container's authorization token is not valid");
    return ENVOL_OK;
}

static enum envol_status ask_container(struct envol_aws_fetch *fetch, const char *url)
{
    char header[sizeof("Authorization: ") + ENVOL_AWS_TOKEN_MAX];
    struct envol_kms_exchange exchange;
    enum envol_status status = container_token(fetch, header, sizeof(header));

    if (status == ENVOL_OK)
        status = get(fetch, "GET", url, header[0] == '\0' ? NULL : header, &exchange);
    sodium_memzero(header, sizeof(header));
    if (status != ENVOL_OK)
        return status;
    if (exchange.code != 200)
        return envol_kms_fail(fetch->error,
                              exchange.code >= 500 ? ENVOL_E_UNREACHABLE : ENVOL_E_CREDENTIALS, "",
                              "container credentials: HTTP %ld", exchange.code);
    return envol_kms_aws_read_json(fetch, exchange.answer_bytes, "Token", "container credentials");
}

enum envol_status envol_kms_aws_from_container(struct envol_aws_fetch *fetch)
{
    const struct envol_aws_settings *settings = fetch->settings;
    char url[sizeof(CONTAINER_HOST) + ENVOL_AWS_TEXT_MAX];

    if (settings->container_relative_uri[0] == '/') {
        snprintf(url, sizeof(url), "%s%s", CONTAINER_HOST, settings->container_relative_uri);
        return ask_container(fetch, url);
    }
    if (settings->container_full_uri[0] == '\0') {
        fetch->is_there = false;
        return ENVOL_E_CREDENTIALS;
    }
    if (!envol_kms_is_local_url(settings->container_full_uri, container_hosts,
                                sizeof(container_hosts) / sizeof(container_hosts[0])))
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "AWS_CONTAINER_CREDENTIALS_FULL_URI names a host that http may not "
                              "be spoken to");
    return ask_container(fetch, settings->container_full_uri);
}

/* One path of the metadata service; the answer is one line in fetch->room. */
static enum envol_status ask_instance(struct envol_aws_fetch *fetch, const char *method,
                                      const char *path, const char *header,
                                      struct envol_kms_exchange *exchange)
{
    const char *host = fetch->settings->metadata_endpoint;
    char url[2 * ENVOL_AWS_TEXT_MAX];
    enum envol_status status;

    snprintf(url, sizeof(url), "%s%s", host[0] == '\0' ? INSTANCE_HOST : host, path);
    if (!envol_kms_is_local_url(url, instance_hosts,
                                sizeof(instance_hosts) / sizeof(instance_hosts[0])))
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "AWS_EC2_METADATA_SERVICE_ENDPOINT is no metadata service");
    status = get(fetch, method, url, header, exchange);
    if (status == ENVOL_OK && exchange->code != 200)
        status = envol_kms_fail(fetch->error,
                                exchange->code >= 500 ? ENVOL_E_UNREACHABLE : ENVOL_E_CREDENTIALS,
                                "", "instance metadata: HTTP %ld", exchange->code);
    return status;
}

#define CREDENTIALS_PATH "/latest/meta-data/iam/security-credentials/"

static enum envol_status ask_role(struct envol_aws_fetch *fetch, const char *header)
{
    struct envol_kms_exchange exchange;
    char path[sizeof(CREDENTIALS_PATH) + ENVOL_AWS_NAME_MAX];
    struct envol_kms_text text = envol_kms_text(path, sizeof(path));
    enum envol_status status = ask_instance(fetch, "GET", CREDENTIALS_PATH, header, &exchange);

    if (status != ENVOL_OK)
        return status;
    fetch->room[strcspn(fetch->room, "\r\n")] = '\0';
    envol_kms_text_add(&text, CREDENTIALS_PATH);
    envol_kms_text_uri(&text, fetch->room, false);
    if (text.full)
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "instance metadata: the role has no valid name");
    status = ask_instance(fetch, "GET", path, header, &exchange);
    if (status != ENVOL_OK)
        return status;
    return envol_kms_aws_read_json(fetch, exchange.answer_bytes, "Token", "instance metadata");
}

/* A host that is no instance does not answer: that is no credentials, and no failure to reach. */
enum envol_status envol_kms_aws_from_instance(struct envol_aws_fetch *fetch)
{
    struct envol_kms_exchange exchange;
    char header[64 + 256] = "X-aws-ec2-metadata-token: ";
    size_t used = strlen(header);
    enum envol_status status;

    if (fetch->settings->no_metadata) {
        fetch->is_there = false;
        return ENVOL_E_CREDENTIALS;
    }
    status = ask_instance(fetch, "PUT", "/latest/api/token",
                          "X-aws-ec2-metadata-token-ttl-seconds: 21600", &exchange);
    if (status == ENVOL_E_UNREACHABLE || status == ENVOL_E_TIMEOUT) {
        /* But where the caller's own patience ended, that is the answer. */
        fetch->is_there = envol_kms_patience_check(fetch->patience, fetch->error) != ENVOL_OK;
        return fetch->is_there ? status : ENVOL_E_CREDENTIALS;
    }
    if (status != ENVOL_OK)
        return status;
    fetch->room[strcspn(fetch->room, "\r\n")] = '\0';
    if (strlen(fetch->room) >= sizeof(header) - used)
        return envol_kms_fail(fetch->error, ENVOL_E_CREDENTIALS, "",
                              "instance metadata: the token is too long");
    strcpy(header + used, fetch->room);
    status = ask_role(fetch, header);
    sodium_memzero(header, sizeof(header));
    return status;
}
