/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One HTTP exchange over libcurl: a connection of its own, nothing kept and nothing followed, TLS
 * 1.2 at least and verified, bounded in size and time, and cancelled within 100 ms.
 */
#ifndef ENVOL_KMS_HTTP_H
#define ENVOL_KMS_HTTP_H

#include "kms/patience.h"
#include <stdbool.h>

enum {
    ENVOL_KMS_HEADERS_MAX = 8,
    ENVOL_KMS_TIMEOUT_MS = 10000,
};

struct envol_kms_exchange {
    const char *method;
    const char *url;
    const char *headers[ENVOL_KMS_HEADERS_MAX]; /* "Name: value"; NULL ends them */
    const char *body;                           /* NULL: none */
    size_t body_bytes;
    const char *ca_file; /* NULL: the system's */
    bool is_local;       /* no proxy, and plain http allowed: the caller has judged the host */
    char *answer;        /* room for the answer's body and a NUL */
    size_t capacity;
    size_t answer_bytes; /* out */
    long code;           /* out: the HTTP status */
};

/* libcurl is initialised, once for the process, and has TLS: else ENVOL_E_UNSUPPORTED. */
enum envol_status envol_kms_http_begin(struct envol_error *error);

/*
 * An endpoint that may be spoken to: https, or http on a loopback address; no user, query or
 * fragment.  Cuts slashes at its end.  False if it is none.
 */
bool envol_kms_is_endpoint(char *url);
/* Such an endpoint, or a URL on one, whose host is a loopback address, whatever its scheme. */
bool envol_kms_is_loopback_url(const char *url);
/* An http or https URL whose host is one of a list of literal addresses, or a loopback address. */
bool envol_kms_is_local_url(const char *url, const char *const *hosts, size_t count);

/*
 * ENVOL_OK for any HTTP status.  ENVOL_E_UNREACHABLE, ENVOL_E_TIMEOUT, ENVOL_E_CANCELLED,
 * ENVOL_E_PROVIDER (certificate, no HTTP, answer too long), ENVOL_E_NO_MEMORY, ENVOL_E_ARGUMENT.
 */
enum envol_status envol_kms_http(const struct envol_kms_patience *patience,
                                 struct envol_kms_exchange *exchange, struct envol_error *error);

#endif
