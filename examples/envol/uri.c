/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URIs of CMKs: a table of the key services that the command knows, with what checks a URI while
 * the command line is read, and what opens a provider for it afterwards.
 */
#include "command.h"

#include <stdlib.h>
#include <string.h>

struct scheme {
    const char *name;  /* with its colon */
    const char *usage; /* as messages and the help show it */
    /* STATUS_OK, or STATUS_USAGE and its line.  rest is what stands behind the colon. */
    int (*check)(const struct options *options, const char *option, const char *uri,
                 const char *rest);
    int (*open)(struct cmk_source *source, const struct options *options, const char *rest);
    /* A file that rest names and that holds a secret, or NULL. */
    const char *(*secret_file)(const char *rest);
    /* One provider has all keys of the service; URIs of one query are opened alike. */
    bool has_all_keys;
};

static int check_file(const struct options *options, const char *option, const char *uri,
                      const char *rest)
{
    return *rest != '\0'
               ? STATUS_OK
               : fail_usage(options, "--%s %s: the path is missing: file:PATH", option, uri);
}

/* A key file holds one key: no reference is needed to pin it. */
static int open_file(struct cmk_source *source, const struct options *options, const char *rest)
{
    enum envol_status status = envol_file_provider_open(rest, &source->provider);

    return status == ENVOL_OK ? STATUS_OK : fail(options, status, NULL);
}

static const char *file_itself(const char *rest)
{
    return rest;
}

#if defined(ENVOL_WITH_KMS) || defined(ENVOL_WITH_PKCS11)
static const char *no_file(const char *rest)
{
    (void)rest;
    return NULL;
}
#endif

static const struct scheme schemes[] = {
    {"file:", "file:PATH", check_file, open_file, file_itself, false},
    {"passphrase:", "passphrase:[memory=N,][passes=N,][label=TEXT,][env=NAME|file=PATH]",
     passphrase_check, passphrase_open, passphrase_file, false},
#if defined(ENVOL_WITH_KMS)
    {"aws-kms:", "aws-kms:ARN", aws_kms_check, aws_kms_open, no_file, true},
    {"vault:", "vault:MOUNT/KEY", vault_check, vault_open, no_file, true},
#endif
#if defined(ENVOL_WITH_PKCS11)
    {"pkcs11:", "pkcs11:object=LABEL[;token=LABEL][?module-path=/PATH] (RFC 7512)", pkcs11_check,
     pkcs11_open, no_file, false},
#endif
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

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

const char *uri_file(const char *uri)
{
    const struct scheme *scheme = find_scheme(uri);

    return scheme == &schemes[0] ? rest_of(scheme, uri) : NULL;
}

const char *uri_secret_file(const char *uri)
{
    const struct scheme *scheme = find_scheme(uri);

    return scheme != NULL ? scheme->secret_file(rest_of(scheme, uri)) : NULL;
}

static const char *query_of(const char *uri)
{
    const char *query = strchr(uri, '?');

    return query != NULL ? query : "";
}

bool uri_is_served_by(const char *uri, const char *opened)
{
    const struct scheme *scheme = find_scheme(uri);

    return strcmp(uri, opened) == 0 ||
           (scheme != NULL && scheme->has_all_keys && scheme == find_scheme(opened) &&
            strcmp(query_of(uri), query_of(opened)) == 0);
}

static int refuse(const struct options *options, const char *option, const char *uri)
{
    char known[512];
    size_t used = 0;

    /* A name without a scheme is a mistake that is easily made, and easily put right. */
    if (strchr(uri, ':') == NULL)
        return fail_usage(options, "--%s %s: no key service named; is file:%s meant?", option, uri,
                          uri);
    for (size_t i = 0; i < SCHEMES && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                 schemes[i].usage);
    return fail_usage(options, "--%s %s: unknown key service; known: %s", option, uri, known);
}

int uri_check(const struct options *options, const char *option, const char *uri)
{
    const struct scheme *scheme = find_scheme(uri);

    return scheme == NULL ? refuse(options, option, uri)
                          : scheme->check(options, option, uri, rest_of(scheme, uri));
}

void uri_print_usage(void)
{
    for (size_t i = 0; i < SCHEMES; i++)
        printf("%-10s%s\n", i == 0 ? "URI" : "", schemes[i].usage);
}

int cmk_open(struct cmk_source *source, const struct options *options, const char *uri)
{
    const struct scheme *scheme = find_scheme(uri);
    int exit_status;

    *source = (struct cmk_source){.provider = NULL};
    if (scheme == NULL)
        return refuse(options, "cmk", uri);
    exit_status = scheme->open(source, options, rest_of(scheme, uri));
    source->cmk.provider = source->provider;
    if (exit_status == STATUS_OK && audit_attach(source->provider) != ENVOL_OK)
        exit_status = fail(options, ENVOL_E_ARGUMENT, NULL);
    return exit_status;
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
