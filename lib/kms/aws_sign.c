/* SPDX-License-Identifier: BSD-2-Clause */
/* The headers of a signed POST.  All that are signed are set here, so that libcurl adds none. */
#include "kms/aws.h"

#include "kms/sigv4.h"
#include <stdio.h>
#include <string.h>

/* "https://host:port/path": host and port as they are sent, and the path, "/" if there is none. */
static const char *split(const char *url, char *host, size_t capacity)
{
    const char *begin = strstr(url, "://");
    struct envol_kms_text text = envol_kms_text(host, capacity);
    size_t length;

    begin = begin == NULL ? url : begin + 3;
    length = strcspn(begin, "/");
    envol_kms_text_bytes(&text, begin, length);
    return begin[length] == '\0' ? "/" : begin + length;
}

static bool header(char *out, size_t capacity, const char *name, const char *value)
{
    struct envol_kms_text text = envol_kms_text(out, capacity);

    envol_kms_text_add(&text, name);
    envol_kms_text_add(&text, ": ");
    envol_kms_text_add(&text, value);
    return !text.full;
}

/* In byte order of their names, as they are signed. */
static void list_signed(struct envol_kms_signed *request, const struct envol_aws_signing *signing,
                        const char *host, const char *token)
{
    const struct {
        const char *name;
        const char *value;
    } all[] = {
        {"content-type", signing->content_type},
        {"host", host},
        {"x-amz-date", request->date},
        {"x-amz-security-token", token[0] == '\0' ? NULL : token},
        {"x-amz-target", signing->target},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].value == NULL)
            continue;
        request->headers[request->header_count].name = all[i].name;
        request->headers[request->header_count++].value = all[i].value;
    }
}

static bool set_headers(struct envol_aws_signing *signing, const char *host, const char *date,
                        const char *token, struct envol_kms_exchange *exchange)
{
    size_t next = 0;
    bool fits = header(signing->type_header, sizeof(signing->type_header), "Content-Type",
                       signing->content_type) &&
                header(signing->host_header, sizeof(signing->host_header), "Host", host) &&
                header(signing->date_header, sizeof(signing->date_header), "X-Amz-Date", date) &&
                header(signing->token_header, sizeof(signing->token_header), "X-Amz-Security-Token",
                       token) &&
                header(signing->target_header, sizeof(signing->target_header), "X-Amz-Target",
                       signing->target == NULL ? "" : signing->target);

    exchange->headers[next++] = signing->type_header;
    exchange->headers[next++] = signing->host_header;
    exchange->headers[next++] = signing->date_header;
    exchange->headers[next++] = signing->authorization;
    if (token[0] != '\0')
        exchange->headers[next++] = signing->token_header;
    if (signing->target != NULL)
        exchange->headers[next] = signing->target_header;
    return fits;
}

bool envol_kms_aws_sign(const struct envol_aws_credentials *credentials,
                        struct envol_aws_signing *signing, struct envol_kms_exchange *exchange)
{
    char date[ENVOL_KMS_DATE_BYTES], host[ENVOL_AWS_TEXT_MAX - 16];
    struct envol_kms_text text =
        envol_kms_text(signing->authorization, sizeof(signing->authorization));
    struct envol_kms_signed request = {
        .access_key_id = credentials->access_key_id,
        .secret_access_key = credentials->secret_access_key,
        .region = signing->region,
        .service = signing->service,
        .date = date,
        .method = exchange->method,
        .path = split(exchange->url, host, sizeof(host)),
        .query = "",
        .body = exchange->body,
        .body_bytes = exchange->body_bytes,
    };

    envol_kms_sigv4_date(time(NULL), date);
    list_signed(&request, signing, host, credentials->session_token);
    envol_kms_text_add(&text, "Authorization: ");
    envol_kms_sigv4_sign(&request, &text);
    return set_headers(signing, host, date, credentials->session_token, exchange) && !text.full;
}
