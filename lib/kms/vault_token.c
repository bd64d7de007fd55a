/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tokens: a given one, the file of `vault login`, or an AppRole login's, which is renewed when two
 * thirds of its time are over and replaced by a new login when renewing fails.
 */
#include "kms/vault.h"

#include "kms/fail.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

static void set_lease(struct envol_vault_secrets *secrets, const json_t *auth)
{
    json_int_t seconds = json_integer_value(json_object_get(auth, "lease_duration"));
    uint64_t now_ms = envol_kms_now_ms();

    /* Ten years and more are for ever. */
    if (seconds <= 0 || seconds > 315360000) {
        secrets->expires_ms = secrets->renew_ms = 0;
        return;
    }
    secrets->expires_ms = now_ms + (uint64_t)seconds * 1000u;
    secrets->renew_ms = now_ms + (uint64_t)seconds * 2000u / 3u;
}

/* It goes into a line of a request. */
static bool is_clean(const char *token, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (token[i] <= ' ' || token[i] >= 0x7f || token[i] == '\\')
            return false;
    }
    return true;
}

static enum envol_status read_login(struct envol_vault *vault, const struct envol_vault_call *call,
                                    struct envol_error *error)
{
    const json_t *auth = json_object_get(call->json.root, "auth");
    struct envol_vault_secrets *secrets = vault->secrets;
    const char *token = NULL;
    size_t length = 0;

    if (!envol_kms_json_secret(&call->json, auth, "client_token", &token, &length) ||
        length >= sizeof(secrets->token) || !is_clean(token, length))
        return envol_kms_fail(error, ENVOL_E_CREDENTIALS, "", "Vault: the login gave no token");
    memcpy(secrets->token, token, length);
    secrets->token[length] = '\0';
    set_lease(secrets, auth);
    return ENVOL_OK;
}

static enum envol_status login(struct envol_vault *vault, const struct envol_kms_patience *patience,
                               struct envol_vault_call *call, struct envol_error *error)
{
    char room[2 * ENVOL_VAULT_TOKEN_MAX + 64];
    char path[ENVOL_VAULT_TEXT_MAX + 32];
    struct envol_kms_text body = envol_kms_text(room, sizeof(room));
    struct envol_kms_text where = envol_kms_text(path, sizeof(path));
    enum envol_status status;

    envol_kms_text_add(&where, "auth/");
    envol_kms_text_uri(&where, vault->settings.approle_mount, true);
    envol_kms_text_add(&where, "/login");
    envol_kms_text_add(&body, "{\"role_id\":");
    envol_kms_text_json(&body, vault->secrets->role_id);
    envol_kms_text_add(&body, ",\"secret_id\":");
    envol_kms_text_json(&body, vault->secrets->secret_id);
    envol_kms_text_add(&body, "}");
    call->token[0] = '\0';
    status = envol_kms_vault_once(vault, patience, path, &body, call, error);
    sodium_memzero(room, sizeof(room));
    /* A role that is refused is no key that is denied. */
    if (status == ENVOL_E_KEY_DENIED || status == ENVOL_E_KEY_NOT_FOUND ||
        (status == ENVOL_E_PROVIDER && call->code == 400))
        status = envol_kms_fail(error, ENVOL_E_CREDENTIALS, "", "Vault: the AppRole login failed");
    return status == ENVOL_OK ? read_login(vault, call, error) : status;
}

static bool renew(struct envol_vault *vault, const struct envol_kms_patience *patience,
                  struct envol_vault_call *call, struct envol_error *error)
{
    char room[4];
    struct envol_kms_text body = envol_kms_text(room, sizeof(room));

    envol_kms_text_add(&body, "{}");
    strcpy(call->token, vault->secrets->token);
    return envol_kms_vault_once(vault, patience, "auth/token/renew-self", &body, call, error) ==
               ENVOL_OK &&
           read_login(vault, call, error) == ENVOL_OK;
}

static enum envol_status role_token(struct envol_vault *vault,
                                    const struct envol_kms_patience *patience, bool fresh,
                                    struct envol_vault_call *call, struct envol_error *error)
{
    struct envol_vault_secrets *secrets = vault->secrets;
    uint64_t now_ms = envol_kms_now_ms();
    bool is_good = secrets->token[0] != '\0' && !fresh &&
                   (secrets->expires_ms == 0 || now_ms < secrets->expires_ms);

    if (is_good && secrets->renew_ms != 0 && now_ms >= secrets->renew_ms)
        is_good = renew(vault, patience, call, error);
    return is_good ? ENVOL_OK : login(vault, patience, call, error);
}

/* Its first line; the file is looked at anew, as an agent replaces it. */
static enum envol_status file_token(const char *path, struct envol_vault_call *call,
                                    struct envol_error *error)
{
    int fd = path[0] == '\0' ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t bytes = fd < 0 ? -1 : read(fd, call->token, sizeof(call->token) - 1);

    if (fd >= 0)
        close(fd);
    call->token[bytes < 0 ? 0 : bytes] = '\0';
    call->token[strcspn(call->token, "\r\n")] = '\0';
    if (call->token[0] != '\0')
        return ENVOL_OK;
    return envol_kms_fail(error, ENVOL_E_CREDENTIALS, "",
                          "no Vault token: VAULT_TOKEN, VAULT_ROLE_ID or ~/.vault-token");
}

enum envol_status envol_kms_vault_token(struct envol_vault *vault,
                                        const struct envol_kms_patience *patience, bool fresh,
                                        struct envol_vault_call *call, struct envol_error *error)
{
    enum envol_status status;

    if (vault->secrets->role_id[0] == '\0' && vault->secrets->token[0] == '\0')
        return file_token(vault->settings.token_file, call, error);
    status = envol_kms_patience_lock(patience, &vault->lock, error);
    if (status != ENVOL_OK)
        return status;
    if (vault->secrets->role_id[0] != '\0')
        status = role_token(vault, patience, fresh, call, error);
    if (status == ENVOL_OK)
        strcpy(call->token, vault->secrets->token);
    pthread_mutex_unlock(&vault->lock);
    return status;
}
