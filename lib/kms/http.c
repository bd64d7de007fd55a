/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exchanges.  A handle per exchange: providers are called seldom and from any thread, and a
 * connection that is kept would be shared with forked children.
 */
#include "kms/http.h"

#include "kms/fail.h"
#include "kms/heap.h"
#include <curl/curl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct receipt {
    struct envol_kms_exchange *exchange;
    bool too_long;
};

static pthread_once_t begun = PTHREAD_ONCE_INIT;
static bool has_tls;

/*
 * The counterpart, curl_global_cleanup, is never called: other users of libcurl may be left.  Where
 * one of them was first, libcurl keeps its allocator, and wipes nothing.
 */
static void begin(void)
{
    const curl_version_info_data *about;

    if (sodium_init() < 0 ||
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, envol_kms_heap_free,
                             envol_kms_heap_resize, strdup, calloc) != CURLE_OK)
        return;
    about = curl_version_info(CURLVERSION_NOW);
    has_tls = (about->features & CURL_VERSION_SSL) != 0;
}

enum envol_status envol_kms_http_begin(struct envol_error *error)
{
    pthread_once(&begun, begin);
    if (has_tls)
        return ENVOL_OK;
    return envol_kms_fail(error, ENVOL_E_UNSUPPORTED, "", "this libcurl has no TLS");
}

/*
 * libcurl hands out its own buffer (a char *, not const).  It does not read what it has delivered
 * again, nor wipe it: an answer's DEK would stay in the heap.
 */
static size_t receive(char *bytes, size_t size, size_t count, void *ctx)
{
    struct receipt *receipt = ctx;
    struct envol_kms_exchange *exchange = receipt->exchange;
    size_t length = size * count;

    receipt->too_long = length >= exchange->capacity - exchange->answer_bytes;
    if (!receipt->too_long) {
        memcpy(exchange->answer + exchange->answer_bytes, bytes, length);
        exchange->answer_bytes += length;
        exchange->answer[exchange->answer_bytes] = '\0';
    }
    sodium_memzero(bytes, length);
    return receipt->too_long ? 0 : length;
}

static struct curl_slist *make_headers(const struct envol_kms_exchange *exchange)
{
    struct curl_slist *list = NULL;

    for (size_t i = 0; i < ENVOL_KMS_HEADERS_MAX && exchange->headers[i] != NULL; i++) {
        struct curl_slist *longer = curl_slist_append(list, exchange->headers[i]);

        if (longer == NULL) {
            curl_slist_free_all(list);
            return NULL;
        }
        list = longer;
    }
    return list;
}

/* They may hold tokens, and libcurl frees them as they are. */
static void free_headers(struct curl_slist *list)
{
    for (struct curl_slist *header = list; header != NULL; header = header->next)
        sodium_memzero(header->data, strlen(header->data));
    curl_slist_free_all(list);
}

/* Any CURLcode but CURLE_OK: an option that this libcurl does not have must not be left out. */
static CURLcode set_policy(CURL *curl, const struct envol_kms_exchange *exchange)
{
    CURLcode failed = CURLE_OK;

#define SET(option, value)                                                                         \
    failed = failed != CURLE_OK ? failed : curl_easy_setopt(curl, option, value)
    SET(CURLOPT_PROTOCOLS_STR, exchange->is_local ? "http,https" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "libenvol-kms");
    if (exchange->ca_file != NULL) {
        SET(CURLOPT_CAINFO, exchange->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (exchange->is_local)
        SET(CURLOPT_NOPROXY, "*");
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A name server that hangs must not make a cancelled call wait for the resolving thread. */
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    return failed;
}

static CURLcode set_request(CURL *curl, const struct envol_kms_exchange *exchange,
                            struct curl_slist *headers, struct receipt *receipt)
{
    CURLcode failed = CURLE_OK;

    SET(CURLOPT_URL, exchange->url);
    SET(CURLOPT_CUSTOMREQUEST, exchange->method);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_WRITEFUNCTION, receive);
    SET(CURLOPT_WRITEDATA, receipt);
    if (exchange->body != NULL) {
        SET(CURLOPT_POSTFIELDS, exchange->body);
        SET(CURLOPT_POSTFIELDSIZE, (long)exchange->body_bytes);
    }
    return failed;
}
#undef SET

/* What is to be said of a failed exchange: some of them heal themselves, others never will. */
static enum envol_status classify(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ENVOL_E_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return ENVOL_E_NO_MEMORY;
    case CURLE_URL_MALFORMAT:
        return ENVOL_E_ARGUMENT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_UNSUPPORTED_PROTOCOL: /* no HTTP at all, or 0.9 */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_NOT_BUILT_IN:
        return ENVOL_E_PROVIDER;
    default:
        return ENVOL_E_UNREACHABLE;
    }
}

static enum envol_status fail_curl(CURLcode code, const char *detail, const struct receipt *receipt,
                                   struct envol_error *error)
{
    const char *why = detail[0] != '\0' ? detail : curl_easy_strerror(code);

    if (receipt->too_long)
        return envol_kms_fail(error, ENVOL_E_PROVIDER, "",
                              "the answer of %s is longer than %zu bytes", receipt->exchange->url,
                              receipt->exchange->capacity - 1);
    return envol_kms_fail(error, classify(code), "", "%s: %s", receipt->exchange->url, why);
}

static CURLcode result_of(CURLM *multi)
{
    int left = 0;
    CURLMsg *message = curl_multi_info_read(multi, &left);

    return message != NULL && message->msg == CURLMSG_DONE ? message->data.result
                                                           : CURLE_OUT_OF_MEMORY;
}

/* Until it is done, cancelled or too late; *code is the outcome in the first case. */
static enum envol_status drive(const struct envol_kms_patience *patience, CURLM *multi,
                               CURLcode *code, struct envol_error *error)
{
    uint64_t timeout_ms = patience->timeout_ms != 0 ? patience->timeout_ms : ENVOL_KMS_TIMEOUT_MS;
    uint64_t end_ms = envol_kms_now_ms() + timeout_ms;
    int running = 1;

    for (;;) {
        enum envol_status status = envol_kms_patience_check(patience, error);

        if (status != ENVOL_OK)
            return status;
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            break;
        if (running == 0) {
            *code = result_of(multi);
            return ENVOL_OK;
        }
        if (envol_kms_now_ms() >= end_ms)
            return envol_kms_fail(error, ENVOL_E_TIMEOUT, "", "no answer within %llu ms",
                                  (unsigned long long)timeout_ms);
        if (curl_multi_poll(multi, NULL, 0, ENVOL_KMS_POLL_MS, NULL) != CURLM_OK)
            break;
    }
    return envol_kms_fail(error, ENVOL_E_NO_MEMORY, "", "libcurl: out of memory");
}

enum envol_status envol_kms_http(const struct envol_kms_patience *patience,
                                 struct envol_kms_exchange *exchange, struct envol_error *error)
{
    struct receipt receipt = {.exchange = exchange};
    char detail[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    CURLM *multi = curl_multi_init();
    struct curl_slist *headers = make_headers(exchange);
    CURLcode code;
    enum envol_status status = ENVOL_E_NO_MEMORY;

    exchange->answer_bytes = 0;
    exchange->answer[0] = '\0';
    exchange->code = 0;
    if (curl == NULL || multi == NULL || (headers == NULL && exchange->headers[0] != NULL)) {
        envol_kms_fail(error, status, "", "libcurl: out of memory");
        goto out;
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    code = set_policy(curl, exchange);
    if (code == CURLE_OK)
        code = set_request(curl, exchange, headers, &receipt);
    status = ENVOL_OK;
    if (code == CURLE_OK && curl_multi_add_handle(multi, curl) != CURLM_OK)
        status = envol_kms_fail(error, ENVOL_E_NO_MEMORY, "", "libcurl: out of memory");
    else if (code == CURLE_OK)
        status = drive(patience, multi, &code, error);
    if (status == ENVOL_OK && code != CURLE_OK)
        status = fail_curl(code, detail, &receipt, error);
    if (status == ENVOL_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &exchange->code);
    curl_multi_remove_handle(multi, curl);
out:
    curl_easy_cleanup(curl);
    curl_multi_cleanup(multi);
    free_headers(headers);
    return status;
}
