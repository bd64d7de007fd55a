/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What modules refuse with, and what that means here: one line of a table each (PKCS#11 2.40,
 * section 5.1, and four codes of 3.0).  What is not in it, vendors' codes above all, is
 * ENVOL_E_PROVIDER.
 */
#include "pkcs11/pkcs11.h"

#include <stdio.h>
#include <string.h>

/* What a refusal says beside its status. */
enum {
    LOST = 1,     /* of the session, not of the token or key: a new session may do better */
    MISMATCH = 2, /* from C_Decrypt: the tag does not verify */
    VAGUE = 4     /* from C_Decrypt: that (SoftHSM before 2.7), or anything else */
};

struct refusal {
    CK_RV code;
    const char *name;
    enum envol_status status;
    unsigned says;
    const char *hint; /* "" where the name says it all */
};

#define ROW(code, status, says, hint)                                                              \
    {                                                                                              \
        code, #code, status, says, hint                                                            \
    }

static const struct refusal refusals[] = {
    ROW(CKR_CANCEL, ENVOL_E_CANCELLED, 0, ""),
    ROW(CKR_FUNCTION_CANCELED, ENVOL_E_CANCELLED, 0, ""),
    ROW(CKR_HOST_MEMORY, ENVOL_E_NO_MEMORY, 0, ""),

    ROW(CKR_SLOT_ID_INVALID, ENVOL_E_UNREACHABLE, LOST, "the token is gone"),
    ROW(CKR_DEVICE_ERROR, ENVOL_E_UNREACHABLE, LOST, "the token has a problem"),
    ROW(CKR_DEVICE_REMOVED, ENVOL_E_UNREACHABLE, LOST, "the token was removed"),
    ROW(CKR_TOKEN_NOT_PRESENT, ENVOL_E_UNREACHABLE, LOST, "the token is not there"),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, ENVOL_E_UNREACHABLE, 0, ""),
    ROW(CKR_SESSION_CLOSED, ENVOL_E_UNREACHABLE, LOST, "sessions are lost again and again"),
    ROW(CKR_SESSION_HANDLE_INVALID, ENVOL_E_UNREACHABLE, LOST, "sessions are lost again and again"),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, ENVOL_E_UNREACHABLE, LOST,
        "somebody in this process finalises the module"),

    ROW(CKR_SESSION_COUNT, ENVOL_E_THROTTLED, 0, "the token has no session left"),
    {0x201, "CKR_TOKEN_RESOURCE_EXCEEDED", ENVOL_E_THROTTLED, 0, ""},

    ROW(CKR_PIN_INCORRECT, ENVOL_E_CREDENTIALS, 0, "it is not tried again"),
    ROW(CKR_PIN_INVALID, ENVOL_E_CREDENTIALS, 0, "it is not tried again"),
    ROW(CKR_PIN_LEN_RANGE, ENVOL_E_CREDENTIALS, 0, "it is not tried again"),
    ROW(CKR_PIN_EXPIRED, ENVOL_E_CREDENTIALS, 0, "set a new PIN"),
    ROW(CKR_PIN_LOCKED, ENVOL_E_CREDENTIALS, 0, "the security officer has to unlock it"),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, ENVOL_E_CREDENTIALS, 0, "the token has no user PIN yet"),
    ROW(CKR_USER_NOT_LOGGED_IN, ENVOL_E_CREDENTIALS, LOST, ""),
    ROW(CKR_USER_TYPE_INVALID, ENVOL_E_CREDENTIALS, 0, ""),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, ENVOL_E_CREDENTIALS, 0,
        "the security officer is logged in"),
    ROW(CKR_USER_TOO_MANY_TYPES, ENVOL_E_CREDENTIALS, 0, ""),
    ROW(CKR_SESSION_READ_ONLY_EXISTS, ENVOL_E_CREDENTIALS, 0, ""),
    ROW(CKR_SESSION_READ_WRITE_SO_EXISTS, ENVOL_E_CREDENTIALS, 0,
        "the security officer is logged in"),

    ROW(CKR_KEY_HANDLE_INVALID, ENVOL_E_KEY_NOT_FOUND, LOST, "the key was deleted"),
    ROW(CKR_OBJECT_HANDLE_INVALID, ENVOL_E_KEY_NOT_FOUND, LOST, "the key was deleted"),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, ENVOL_E_KEY_DISABLED, 0, "CKA_DECRYPT or CKA_ENCRYPT"),
    ROW(CKR_ACTION_PROHIBITED, ENVOL_E_KEY_DENIED, 0, ""),
    ROW(CKR_FUNCTION_REJECTED, ENVOL_E_KEY_DENIED, 0, "the token's user said no"),
    {0x203, "CKR_KEY_EXHAUSTED", ENVOL_E_KEY_DENIED, 0, ""},
    ROW(CKR_KEY_TYPE_INCONSISTENT, ENVOL_E_ARGUMENT, 0, "not an AES key"),
    ROW(CKR_KEY_SIZE_RANGE, ENVOL_E_ARGUMENT, 0, "not a 256-bit key"),

    ROW(CKR_ENCRYPTED_DATA_INVALID, ENVOL_E_WRONG_KEY, MISMATCH, ""),
    ROW(CKR_ENCRYPTED_DATA_LEN_RANGE, ENVOL_E_WRONG_KEY, MISMATCH, ""),
    {0x42, "CKR_AEAD_DECRYPT_FAILED", ENVOL_E_WRONG_KEY, MISMATCH, ""},

    ROW(CKR_MECHANISM_INVALID, ENVOL_E_UNSUPPORTED, 0, "the token has no CKM_AES_GCM"),
    ROW(CKR_MECHANISM_PARAM_INVALID, ENVOL_E_UNSUPPORTED, 0, "the token's CKM_AES_GCM differs"),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, ENVOL_E_UNSUPPORTED, 0, ""),
    ROW(CKR_FUNCTION_NOT_PARALLEL, ENVOL_E_UNSUPPORTED, 0, ""),
    ROW(CKR_SESSION_PARALLEL_NOT_SUPPORTED, ENVOL_E_UNSUPPORTED, 0, ""),
    ROW(CKR_RANDOM_NO_RNG, ENVOL_E_UNSUPPORTED, 0, "the token has no random source"),
    ROW(CKR_CANT_LOCK, ENVOL_E_UNSUPPORTED, 0, "the module is not for several threads"),
    ROW(CKR_NEED_TO_CREATE_THREADS, ENVOL_E_UNSUPPORTED, 0, ""),

    ROW(CKR_GENERAL_ERROR, ENVOL_E_PROVIDER, VAGUE, ""),
    ROW(CKR_FUNCTION_FAILED, ENVOL_E_PROVIDER, VAGUE, ""),
    ROW(CKR_ARGUMENTS_BAD, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_ATTRIBUTE_SENSITIVE, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_BUFFER_TOO_SMALL, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_DATA_INVALID, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_DATA_LEN_RANGE, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_DEVICE_MEMORY, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_FIPS_SELF_TEST_FAILED, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_LIBRARY_LOAD_FAILED, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_OPERATION_ACTIVE, ENVOL_E_PROVIDER, LOST, ""),
    ROW(CKR_OPERATION_NOT_INITIALIZED, ENVOL_E_PROVIDER, 0, ""),
    ROW(CKR_TEMPLATE_INCONSISTENT, ENVOL_E_PROVIDER, 0, ""),
};

static const struct refusal *find(CK_RV code)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (refusals[i].code == code)
            return &refusals[i];
    }
    return NULL;
}

static bool says(CK_RV code, unsigned what)
{
    const struct refusal *known = find(code);

    return known != NULL && (known->says & what) != 0;
}

bool envol_pkcs11_is_lost(CK_RV refusal)
{
    return says(refusal, LOST);
}

bool envol_pkcs11_is_mismatch(CK_RV refusal)
{
    return says(refusal, MISMATCH);
}

bool envol_pkcs11_may_be_mismatch(CK_RV refusal)
{
    return says(refusal, VAGUE);
}

enum envol_status envol_pkcs11_refuse(struct envol_pkcs11_call *call, const char *function,
                                      CK_RV refusal)
{
    const struct refusal *known = find(refusal);
    enum envol_status status = known == NULL ? ENVOL_E_PROVIDER : known->status;
    char name[sizeof("CKR_0x") + 2 * sizeof(refusal)];

    call->refusal = refusal;
    snprintf(name, sizeof(name), "CKR_0x%lx", refusal);
    envol_pkcs11_fail(
        call->error, status, "%s: %s%s%s", function, known == NULL ? name : known->name,
        known == NULL || known->hint[0] == '\0' ? "" : ": ", known == NULL ? "" : known->hint);
    snprintf(call->error->provider_code, sizeof(call->error->provider_code), "%s",
             known == NULL ? name : known->name);
    return status;
}
