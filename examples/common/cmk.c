/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URIs of CMKs: a table of the key services that this build knows, with what checks a URI before
 * anything is opened, and what opens a provider for it.
 */
#include "cmk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scheme {
    const char *name;  /* with its colon */
    const char *usage; /* as messages and help show it */
    /* What a URI that ends at the colon lacks; NULL: nothing. */
    const char *missing;
    enum envol_status (*check)(const char *rest, struct envol_error *error); /* or NULL */
    enum envol_status (*open)(struct cmk_source *source, const char *rest,
                              struct envol_error *error);
    /* A file that rest names and that holds a secret; NULL: there is none. */
    const char *(*secret_file)(const char *rest);
    /* One provider has all keys of the service; URIs of one query are opened alike. */
    bool has_all_keys;
};

/* A key file holds one key: no reference is needed to pin it. */
static enum envol_status open_file(struct cmk_source *source, const char *rest,
                                   struct envol_error *error)
{
    (void)error; /* the status says it all */
    return envol_file_provider_open(rest, &source->provider);
}

static const char *file_itself(const char *rest)
{
    return rest;
}

static const struct scheme schemes[] = {
    {"file:", "file:PATH", "the path is missing: file:PATH", NULL, open_file, file_itself, false},
    {"passphrase:", "passphrase:[memory=N,][passes=N,][label=TEXT,][env=NAME|file=PATH]", NULL,
     passphrase_check, passphrase_open, passphrase_file, false},
#if defined(ENVOL_WITH_KMS)
    {"aws-kms:", "aws-kms:ARN", "the key is missing: aws-kms:ARN", NULL, aws_kms_open, NULL, true},
    {"vault:", "vault:MOUNT/KEY", "the key is missing: vault:MOUNT/KEY", NULL, vault_open, NULL,
     true},
#endif
#if defined(ENVOL_WITH_PKCS11)
    {"pkcs11:", "pkcs11:object=LABEL[;token=LABEL][?module-path=/PATH] (RFC 7512)",
     "the key is missing: pkcs11:object=LABEL", NULL, pkcs11_open, NULL, false},
#endif
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

enum envol_status cmk_fail(struct envol_error *error, enum envol_status status, const char *format,
                           ...)
{
    va_list arguments;

    *error = (struct envol_error)ENVOL_ERROR_INIT;
    error->status = status;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

static const struct scheme *find_scheme(const char *uri)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        if (strncmp(uri, schemes[i].name, strlen(schemes[i].name)) == 0)
            return &schemes[i];
    }
    return NULL;
}

static const char *rest_of(const struct scheme *scheme, const char *uri)
{
    return uri + strlen(scheme->name);
}

const char *cmk_usage(size_t i)
{
    return i < SCHEMES ? schemes[i].usage : NULL;
}

const char *cmk_file(const char *uri)
{
    const struct scheme *scheme = find_scheme(uri);

    return scheme == &schemes[0] ? rest_of(scheme, uri) : NULL;
}

const char *cmk_secret_file(const char *uri)
{
    const struct scheme *scheme = find_scheme(uri);

    return scheme != NULL && scheme->secret_file != NULL ? scheme->secret_file(rest_of(scheme, uri))
                                                         : NULL;
}

static const char *query_of(const char *uri)
{
    const char *query = strchr(uri, '?');

    return query != NULL ? query : "";
}

bool cmk_is_served_by(const char *uri, const char *opened)
{
    const struct scheme *scheme = find_scheme(uri);

    return strcmp(uri, opened) == 0 ||
           (scheme != NULL && scheme->has_all_keys && scheme == find_scheme(opened) &&
            strcmp(query_of(uri), query_of(opened)) == 0);
}

static enum envol_status refuse(const char *uri, struct envol_error *error)
{
    char known[sizeof error->message];
    size_t used = 0;

    /* A name without a scheme is a mistake that is easily made, and easily put right. */
    if (strchr(uri, ':') == NULL)
        return cmk_fail(error, ENVOL_E_ARGUMENT, "no key service named; is file:%s meant?", uri);
    for (size_t i = 0; i < SCHEMES && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                 schemes[i].usage);
    known[sizeof known - 32] = '\0'; /* room for the words before it */
    return cmk_fail(error, ENVOL_E_ARGUMENT, "unknown key service; known: %s", known);
}

enum envol_status cmk_check(const char *uri, struct envol_error *error)
{
    const struct scheme *scheme = find_scheme(uri);
    const char *rest;

    if (scheme == NULL)
        return refuse(uri, error);
    rest = rest_of(scheme, uri);
    if (*rest == '\0' && scheme->missing != NULL)
        return cmk_fail(error, ENVOL_E_ARGUMENT, "%s", scheme->missing);
    return scheme->check != NULL ? scheme->check(rest, error) : ENVOL_OK;
}

enum envol_status cmk_open(struct cmk_source *source, const char *uri, cmk_ask *ask,
                           struct envol_error *error)
{
    enum envol_status status = cmk_check(uri, error);
    const struct scheme *scheme = find_scheme(uri);

    *source = (struct cmk_source){.ask = ask};
    if (status == ENVOL_OK)
        status = scheme->open(source, rest_of(scheme, uri), error);
    source->cmk.provider = source->provider;
    return status;
}

void cmk_close(struct cmk_source *source)
{
    envol_provider_close(source->provider);
    passphrase_drop(source->passphrase);
    free(source->key_ref);
    *source = (struct cmk_source){.provider = NULL};
}

/* 0 for anything that is no number of bytes, which nothing takes. */
uint32_t parse_bytes(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long long number = digits < 11 ? strtoull(text, NULL, 10) : 0;
    const char *unit = text + digits;

    if (strcmp(unit, "K") == 0 || strcmp(unit, "k") == 0)
        number <<= 10;
    else if (strcmp(unit, "M") == 0 || strcmp(unit, "m") == 0)
        number <<= 20;
    else if (*unit != '\0')
        number = 0;
    return number <= UINT32_MAX ? (uint32_t)number : 0;
}
