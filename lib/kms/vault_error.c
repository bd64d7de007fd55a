/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the errors of Transit mean.  Most are HTTP 400 with a text, and a GCM failure is 400 from
 * decrypt and 500 from rewrap: so the text decides first, and then the HTTP status.
 */
#include "kms/vault.h"

#include "kms/fail.h"
#include <jansson.h>
#include <string.h>

/* Texts of Vault 1.x and OpenBao 2.x (builtin/logical/transit, sdk/helper/keysutil, vault/). */
static const struct {
    const char *words;
    enum envol_status status;
} texts[] = {
    {"message authentication failed", ENVOL_E_WRONG_KEY},
    {"invalid ciphertext", ENVOL_E_WRONG_KEY},
    {"unable to decrypt", ENVOL_E_WRONG_KEY},
    /* The version is archived: lowering min_decryption_version brings it back. */
    {"disallowed by policy (too old)", ENVOL_E_KEY_DISABLED},
    {"soft-deleted", ENVOL_E_KEY_DISABLED},
    {"soft deleted", ENVOL_E_KEY_DISABLED},
    {"encryption key not found", ENVOL_E_KEY_NOT_FOUND},
    {"no handler for route", ENVOL_E_KEY_NOT_FOUND},
    {"unsupported path", ENVOL_E_KEY_NOT_FOUND},
    {"not supported for key type", ENVOL_E_UNSUPPORTED},
    {"unsupported operation", ENVOL_E_UNSUPPORTED},
    {"missing 'context' for key derivation", ENVOL_E_ARGUMENT},
    {"invalid token", ENVOL_E_CREDENTIALS},
    {"bad token", ENVOL_E_CREDENTIALS},
    {"missing client token", ENVOL_E_CREDENTIALS},
    {"invalid role or secret ID", ENVOL_E_CREDENTIALS},
    {"invalid secret id", ENVOL_E_CREDENTIALS},
    {"invalid role ID", ENVOL_E_CREDENTIALS},
    {"is sealed", ENVOL_E_UNREACHABLE},
};

static const struct {
    long code;
    enum envol_status status;
} codes[] = {
    {400, ENVOL_E_PROVIDER},    {403, ENVOL_E_KEY_DENIED},  {404, ENVOL_E_KEY_NOT_FOUND},
    {405, ENVOL_E_UNSUPPORTED}, {412, ENVOL_E_UNREACHABLE}, /* a replica that is behind */
    {429, ENVOL_E_THROTTLED},   {472, ENVOL_E_UNREACHABLE}, /* a disaster recovery secondary */
    {473, ENVOL_E_UNREACHABLE},                             /* a performance standby */
};

enum envol_status envol_kms_vault_classify(long code, const char *message)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcasestr(message, texts[i].words) != NULL)
            return texts[i].status;
    }
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].code == code)
            return codes[i].status;
    }
    return code >= 500 ? ENVOL_E_UNREACHABLE : ENVOL_E_PROVIDER;
}

enum envol_status envol_kms_vault_failure(const struct envol_vault_call *call,
                                          struct envol_error *error)
{
    const json_t *errors = json_object_get(call->json.root, "errors");
    const char *message = json_string_value(json_array_get(errors, 0));
    enum envol_status status = envol_kms_vault_classify(call->code, message == NULL ? "" : message);
    char code[16];
    struct envol_kms_text text = envol_kms_text(code, sizeof(code));

    envol_kms_text_format(&text, "%ld", call->code);
    return envol_kms_fail(error, status, code, "Vault: HTTP %ld%s%.180s", call->code,
                          message == NULL ? "" : ": ", message == NULL ? "" : message);
}
