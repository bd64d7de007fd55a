/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PKCS#11 URIs (RFC 7512): the application's, parsed by p11-kit and checked, and the canonical one
 * that slots store.  One that a header holds is only ever compared as text: what a header says
 * names no module, no PIN and no file.
 */
#include "pkcs11/pkcs11.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* pin-value is a secret; p11-kit frees its copy as it is. */
void envol_pkcs11_uri_free(P11KitUri *uri)
{
    const char *pin = uri == NULL ? NULL : p11_kit_uri_get_pin_value(uri);

    if (pin != NULL)
        sodium_memzero((void *)(uintptr_t)pin, strlen(pin));
    p11_kit_uri_free(uri);
}

static const char *module_path(const struct envol_pkcs11_options *options, P11KitUri *uri)
{
    return options->module_path != NULL ? options->module_path : p11_kit_uri_get_module_path(uri);
}

/* A bare name would be looked for in directories that the environment names. */
static enum envol_status check_module(const struct envol_pkcs11_options *options, P11KitUri *uri,
                                      struct envol_error *error)
{
    const char *path = module_path(options, uri);

    if (path == NULL && (options->flags & ENVOL_PKCS11_CONFIGURED_MODULES) == 0)
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "PKCS#11 URI: names no module; add ?module-path=/PATH");
    if (path != NULL && path[0] != '/')
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "PKCS#11 module %s: the path is not absolute", path);
    return ENVOL_OK;
}

static enum envol_status check_key(P11KitUri *uri, struct envol_error *error)
{
    const CK_ATTRIBUTE *kind = p11_kit_uri_get_attribute(uri, CKA_CLASS);
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(uri, CKA_ID);
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
    CK_OBJECT_CLASS wanted = CKO_SECRET_KEY;

    if (kind != NULL &&
        (kind->ulValueLen != sizeof(wanted) || memcmp(kind->pValue, &wanted, sizeof(wanted)) != 0))
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "PKCS#11 URI: only type=secret-key can be used");
    if ((id == NULL || id->ulValueLen == 0) && (label == NULL || label->ulValueLen == 0))
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "PKCS#11 URI: names no key; add object=LABEL or id=%%ID");
    return ENVOL_OK;
}

/* RFC 7512, section 2.4: pin-source may be a file or a command.  Commands are not run. */
static enum envol_status check_pin(P11KitUri *uri, struct envol_error *error)
{
    const char *source = p11_kit_uri_get_pin_source(uri);

    if (source == NULL)
        return ENVOL_OK;
    if (p11_kit_uri_get_pin_value(uri) != NULL)
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "PKCS#11 URI: pin-value and pin-source exclude each other");
    if (source[0] != '/' && strncmp(source, "file:/", 6) != 0)
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "PKCS#11 URI: pin-source is file:/PATH, and nothing else");
    return ENVOL_OK;
}

static enum envol_status parse(const char *text, P11KitUri *uri, struct envol_error *error)
{
    int result = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri);

    if (result == P11_KIT_URI_UNEXPECTED)
        return envol_pkcs11_fail(error, ENVOL_E_NO_MEMORY, "PKCS#11 URI: no memory");
    if (result != P11_KIT_URI_OK)
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT, "PKCS#11 URI: %s",
                                 p11_kit_uri_message(result));
    /* Such a URI matches nothing (RFC 7512, section 2.3): better said now than as "not found". */
    if (p11_kit_uri_any_unrecognized(uri))
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "PKCS#11 URI: an attribute that is not known");
    return ENVOL_OK;
}

/* No struct grows by more: a larger size was never set, and there is nothing to read there. */
#define EXCESS_MAX 4096u

/* The rule of envol(7), VERSIONS: what a newer program asks for behind all that is known here must
 * be nothing. */
static bool is_known(const struct envol_pkcs11_options *options)
{
    size_t bytes = options->struct_size;

    return bytes >= sizeof(*options) && bytes <= sizeof(*options) + EXCESS_MAX &&
           sodium_is_zero((const unsigned char *)(options + 1), bytes - sizeof(*options));
}

enum envol_status envol_pkcs11_uri_parse(const struct envol_pkcs11_options *options,
                                         P11KitUri **uri, struct envol_error *error)
{
    enum envol_status status;

    *uri = NULL;
    if (options == NULL || !is_known(options) || options->uri == NULL)
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT,
                                 "options or URI: NULL, or struct_size not of this version");
    if ((options->flags & ~ENVOL_PKCS11_CONFIGURED_MODULES) != 0)
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT, "options: unknown flags 0x%x",
                                 options->flags);
    *uri = p11_kit_uri_new();
    if (*uri == NULL)
        return envol_pkcs11_fail(error, ENVOL_E_NO_MEMORY, "PKCS#11 URI: no memory");
    status = parse(options->uri, *uri, error);
    if (status == ENVOL_OK)
        status = check_module(options, *uri, error);
    if (status == ENVOL_OK)
        status = check_key(*uri, error);
    if (status == ENVOL_OK)
        status = check_pin(*uri, error);
    if (status != ENVOL_OK) {
        envol_pkcs11_uri_free(*uri);
        *uri = NULL;
    }
    return status;
}

/* p11-kit leaves what the URI does not name as zeros; what it does name is padded with blanks. */
bool envol_pkcs11_uri_names_serial(P11KitUri *uri)
{
    return p11_kit_uri_get_token_info(uri)->serialNumber[0] != 0;
}

struct text {
    char *to;
    size_t room; /* for characters, the final NUL not counted */
    bool fits;
};

static void append(struct text *text, const char *from)
{
    size_t length = strlen(from);

    if (length > text->room) {
        text->fits = false;
        return;
    }
    memcpy(text->to, from, length + 1);
    text->to += length;
    text->room -= length;
}

/* Unreserved characters (RFC 3986) as they are, but those of an id, as RFC 7512 recommends. */
static void append_encoded(struct text *text, const void *bytes, size_t count, bool all)
{
    const uint8_t *from = bytes;

    for (size_t i = 0; i < count; i++) {
        bool plain = !all && from[i] < 0x80 && (isalnum(from[i]) || strchr("-._~", from[i]));
        char one[4] = {(char)from[i]};

        if (from[i] == 0 || !plain)
            snprintf(one, sizeof(one), "%%%02X", from[i]);
        append(text, one);
    }
}

bool envol_pkcs11_uri_canonical(const struct envol_pkcs11_session *session, const uint8_t *id,
                                size_t id_bytes, const uint8_t *label, size_t label_bytes,
                                char ref[ENVOL_KEY_REF_MAX + 1])
{
    struct text text = {ref, ENVOL_KEY_REF_MAX, true};
    bool by_serial = session->serial[0] != '\0';
    const char *token = by_serial ? session->serial : session->token;

    append(&text, by_serial ? "pkcs11:serial=" : "pkcs11:token=");
    append_encoded(&text, token, strlen(token), false);
    append(&text, id_bytes > 0 ? ";id=" : ";object=");
    if (id_bytes > 0)
        append_encoded(&text, id, id_bytes, true);
    else
        append_encoded(&text, label, label_bytes, false);
    return text.fits;
}
