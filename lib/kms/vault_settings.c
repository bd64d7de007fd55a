/* SPDX-License-Identifier: BSD-2-Clause */
/* Options first, then the environment of Vault, then that of OpenBao.  Read once. */
#include "kms/vault.h"

#include "kms/fail.h"
#include "kms/secret.h"
#include <stdlib.h>
#include <string.h>

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Values go into headers, request lines and file names. */
static bool copy(char *out, size_t capacity, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    if (length >= capacity)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

struct source {
    char *out;
    size_t capacity;
    const char *option;
    const char *name;
    const char *other_name; /* OpenBao's */
};

static bool take(const struct source *source)
{
    const char *names[] = {source->name, source->other_name};

    if (is_given(source->option))
        return copy(source->out, source->capacity, source->option);
    for (size_t i = 0; i < 2 && names[i] != NULL; i++) {
        const char *value = secure_getenv(names[i]);

        if (is_given(value))
            return copy(source->out, source->capacity, value);
    }
    return true;
}

#define TO(field) field, sizeof(field)

static enum envol_status take_all(const struct envol_vault_options *options,
                                  struct envol_vault *vault, struct envol_error *error)
{
    struct envol_vault_settings *settings = &vault->settings;
    struct envol_vault_secrets *secrets = vault->secrets;
    /* A caller's token is not to be overruled by a role that lies in the environment. */
    bool has_token = is_given(options->token);
    const struct source sources[] = {
        {TO(settings->address), options->address, "VAULT_ADDR", "BAO_ADDR"},
        {TO(settings->name_space), options->name_space, "VAULT_NAMESPACE", "BAO_NAMESPACE"},
        {TO(settings->ca_file), options->ca_file, "VAULT_CACERT", "BAO_CACERT"},
        {TO(settings->approle_mount), options->approle_mount, NULL, NULL},
        {TO(secrets->token), options->token, "VAULT_TOKEN", "BAO_TOKEN"},
        {TO(secrets->role_id), options->role_id, has_token ? NULL : "VAULT_ROLE_ID", NULL},
        {TO(secrets->secret_id), options->secret_id, has_token ? NULL : "VAULT_SECRET_ID", NULL},
    };

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        if (!take(&sources[i]))
            return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "%s, or its option: not valid",
                                  sources[i].name == NULL ? "approle_mount" : sources[i].name);
    }
    return ENVOL_OK;
}

/* A role goes before a token, and both before the file that `vault login` writes. */
static void choose(struct envol_vault *vault)
{
    struct envol_vault_secrets *secrets = vault->secrets;
    const char *home = secure_getenv("HOME");
    struct envol_kms_text path = envol_kms_text(TO(vault->settings.token_file));

    if (secrets->role_id[0] != '\0')
        secrets->token[0] = '\0';
    else if (secrets->token[0] == '\0' && is_given(home))
        envol_kms_text_format(&path, "%s/.vault-token", home);
    if (vault->settings.approle_mount[0] == '\0')
        memcpy(vault->settings.approle_mount, "approle", sizeof("approle"));
}

static enum envol_status check(struct envol_vault *vault, struct envol_error *error)
{
    struct envol_vault_settings *settings = &vault->settings;

    if (settings->address[0] == '\0')
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "no address: VAULT_ADDR is not set");
    if (!envol_kms_is_endpoint(settings->address))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "",
                              "address %s: https, or http on a loopback address, is needed",
                              settings->address);
    return ENVOL_OK;
}

enum envol_status envol_kms_vault_settings(const struct envol_vault_options *options,
                                           struct envol_vault *vault, struct envol_error *error)
{
    void *secrets = NULL;
    enum envol_status status;

    if ((options->flags & ~ENVOL_VAULT_ALLOW_UNBOUND) != 0)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "unknown flags");
    status = envol_kms_secret_alloc(sizeof(*vault->secrets), ENVOL_KEY_ALLOW_UNLOCKED, &secrets);
    if (status != ENVOL_OK)
        return envol_kms_fail(error, status, "", "out of memory");
    vault->secrets = secrets;
    vault->settings.timeout_ms = options->timeout_ms;
    vault->settings.flags = options->flags;
    status = take_all(options, vault, error);
    if (status != ENVOL_OK)
        return status;
    choose(vault);
    return check(vault, error);
}
