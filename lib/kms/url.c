/* SPDX-License-Identifier: BSD-2-Clause */
/* Which URLs may be spoken to.  Read by libcurl's own parser, so that both see the same host. */
#include "kms/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <string.h>

/* A literal of 127.0.0.0/8 or ::1, or "localhost", which libcurl never asks a name server for. */
static bool is_loopback(const char *host)
{
    unsigned char address[4];

    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, address) == 1 && address[0] == 127;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

/* What decides is the host; *is_https is what the scheme says.  NULL: no URL of ours. */
static char *parse_host(const char *text, bool *is_https, bool allow_query)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL;

    if (url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        !has_part(url, CURLUPART_USER) && !has_part(url, CURLUPART_PASSWORD) &&
        !has_part(url, CURLUPART_FRAGMENT) && (allow_query || !has_part(url, CURLUPART_QUERY)) &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
        *is_https = strcmp(scheme, "https") == 0;
        curl_url_get(url, CURLUPART_HOST, &host, 0);
    }
    curl_free(scheme);
    curl_url_cleanup(url);
    return host;
}

bool envol_kms_is_endpoint(char *url)
{
    bool is_https = false;
    char *host = parse_host(url, &is_https, false);
    bool allowed = host != NULL && (is_https || is_loopback(host));

    curl_free(host);
    for (size_t length = strlen(url); length > 0 && url[length - 1] == '/'; length--)
        url[length - 1] = '\0';
    return allowed;
}

bool envol_kms_is_loopback_url(const char *url)
{
    bool is_https = false;
    char *host = parse_host(url, &is_https, true);
    bool is_local = host != NULL && is_loopback(host);

    curl_free(host);
    return is_local;
}

bool envol_kms_is_local_url(const char *url, const char *const *hosts, size_t count)
{
    bool is_https = false;
    char *host = parse_host(url, &is_https, true);
    bool allowed = host != NULL && (is_https || is_loopback(host));

    for (size_t i = 0; host != NULL && i < count; i++)
        allowed = allowed || strcmp(host, hosts[i]) == 0;
    curl_free(host);
    return allowed;
}
