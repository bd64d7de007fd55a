/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealing a DEK with CKM_AES_GCM (PKCS#11 current mechanisms 2.40, section 2.12.3; NIST SP
 * 800-38D): the encryption context is the associated data, so that the token binds it.  The blob:
 *
 *     OFFSET  SIZE  FIELD
 *          0     1  version = 1
 *          1     1  mechanism = 1: CKM_AES_GCM, 96-bit IV, 128-bit tag
 *          2    12  IV
 *         14    64  encrypted DEK
 *         78    16  tag
 */
#include "pkcs11/pkcs11.h"

#include <string.h>

enum { VERSION = 1, MECHANISM = 1, AT_IV = 2, AT_SEALED = AT_IV + ENVOL_PKCS11_IV_BYTES };

/* The encryption context in its canonical encoding. */
struct aad {
    size_t bytes;
    uint8_t text[ENVOL_CONTEXT_BYTES_MAX];
};

static enum envol_status encode_context(struct envol_pkcs11_call *call, struct aad *aad)
{
    enum envol_status status =
        envol_context_encode(call->request->context, call->request->context_pairs, aad->text,
                             sizeof(aad->text), &aad->bytes);

    if (status == ENVOL_OK)
        return ENVOL_OK;
    return envol_pkcs11_fail(call->error, ENVOL_E_ARGUMENT, "encryption context out of bounds");
}

/* The form with six fields, as the headers have it: the text of 2.40 forgot ulIvBits. */
static CK_GCM_PARAMS make_parameters(uint8_t iv[ENVOL_PKCS11_IV_BYTES], struct aad *aad)
{
    return (CK_GCM_PARAMS){
        .pIv = iv,
        .ulIvLen = ENVOL_PKCS11_IV_BYTES,
        .ulIvBits = 8 * ENVOL_PKCS11_IV_BYTES,
        .pAAD = aad->text,
        .ulAADLen = aad->bytes,
        .ulTagBits = 8 * ENVOL_PKCS11_TAG_BYTES,
    };
}

static CK_RV encrypt(const struct envol_pkcs11_session *session, CK_OBJECT_HANDLE key,
                     struct aad *aad, const uint8_t *dek, uint8_t *iv, uint8_t *sealed,
                     CK_ULONG *sealed_bytes)
{
    CK_GCM_PARAMS parameters = make_parameters(iv, aad);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &parameters, sizeof(parameters)};
    CK_RV answer = session->functions->C_EncryptInit(session->handle, &mechanism, key);

    if (answer != CKR_OK)
        return answer;
    return session->functions->C_Encrypt(session->handle, (CK_BYTE_PTR)(uintptr_t)dek,
                                         ENVOL_DEK_BYTES, sealed, sealed_bytes);
}

/*
 * Tokens that insist on an IV of their own take a buffer of zeros, and write it there during
 * C_Encrypt (AWS CloudHSM).  One that left the zeros would have used them as the IV: twice that
 * would give the key away, so such a blob never leaves here.
 */
static bool wants_own_iv(CK_RV answer)
{
    return answer == CKR_MECHANISM_PARAM_INVALID || answer == CKR_ARGUMENTS_BAD;
}

static enum envol_status seal_with(struct envol_pkcs11_call *call,
                                   const struct envol_pkcs11_session *session,
                                   const struct envol_pkcs11_key *key, struct aad *aad,
                                   const uint8_t *dek, uint8_t *blob)
{
    CK_ULONG bytes = ENVOL_PKCS11_SEALED_BYTES;
    uint8_t *iv = blob + AT_IV;
    CK_RV answer;

    if (!envol_pkcs11_random(iv, ENVOL_PKCS11_IV_BYTES))
        return envol_pkcs11_fail(call->error, ENVOL_E_RANDOM, "no random bytes for an IV");
    answer = encrypt(session, key->handle, aad, dek, iv, blob + AT_SEALED, &bytes);
    if (wants_own_iv(answer)) {
        CK_RV first = answer;

        memset(iv, 0, ENVOL_PKCS11_IV_BYTES);
        bytes = ENVOL_PKCS11_SEALED_BYTES;
        answer = encrypt(session, key->handle, aad, dek, iv, blob + AT_SEALED, &bytes);
        if (answer == CKR_OK && sodium_is_zero(iv, ENVOL_PKCS11_IV_BYTES))
            return envol_pkcs11_refuse(call, "C_Encrypt", first);
    }
    if (answer != CKR_OK)
        return envol_pkcs11_refuse(call, "C_Encrypt", answer);
    if (bytes != ENVOL_PKCS11_SEALED_BYTES)
        return envol_pkcs11_fail(call->error, ENVOL_E_UNSUPPORTED,
                                 "the token's CKM_AES_GCM gives %lu bytes, not %d", bytes,
                                 ENVOL_PKCS11_SEALED_BYTES);
    blob[0] = VERSION;
    blob[1] = MECHANISM;
    return ENVOL_OK;
}

/* A blob to be opened, and what came of it. */
struct opening {
    const uint8_t *blob;
    uint8_t *dek;
    CK_ULONG room, dek_bytes;
    bool began; /* C_DecryptInit succeeded */
};

/* The buffer must hold the tag too: SoftHSM says so even where 64 bytes come out. */
static CK_RV decrypt(const struct envol_pkcs11_session *session, CK_OBJECT_HANDLE key,
                     struct aad *aad, struct opening *opening)
{
    uint8_t iv[ENVOL_PKCS11_IV_BYTES];
    CK_GCM_PARAMS parameters = make_parameters(iv, aad);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &parameters, sizeof(parameters)};
    CK_RV answer;

    memcpy(iv, opening->blob + AT_IV, sizeof(iv));
    opening->began = false;
    answer = session->functions->C_DecryptInit(session->handle, &mechanism, key);
    if (answer != CKR_OK)
        return answer;
    opening->began = true;
    opening->dek_bytes = opening->room;
    return session->functions->C_Decrypt(
        session->handle, (CK_BYTE_PTR)(uintptr_t)opening->blob + AT_SEALED,
        ENVOL_PKCS11_SEALED_BYTES, opening->dek, &opening->dek_bytes);
}

/* Whether key and token work: a block that is no secret goes through both. */
static bool is_healthy(struct envol_pkcs11_call *call, const struct envol_pkcs11_session *session,
                       const struct envol_pkcs11_key *key, struct aad *aad)
{
    static const uint8_t probe[ENVOL_DEK_BYTES] = "libenvol: is this token healthy?";
    uint8_t blob[ENVOL_PKCS11_BLOB_BYTES], back[ENVOL_PKCS11_SEALED_BYTES];
    struct envol_error unused = ENVOL_ERROR_INIT;
    struct envol_pkcs11_call quiet = {
        .state = call->state, .request = call->request, .error = &unused, .round = call->round};
    struct opening opening = {.blob = blob, .dek = back, .room = sizeof(back)};

    return key->encrypts && seal_with(&quiet, session, key, aad, probe, blob) == ENVOL_OK &&
           decrypt(session, key->handle, aad, &opening) == CKR_OK &&
           opening.dek_bytes == sizeof(probe) && memcmp(back, probe, sizeof(probe)) == 0;
}

static enum envol_status mismatch(struct envol_pkcs11_call *call)
{
    char code[sizeof(call->error->provider_code)];
    enum envol_status status;

    /* The session did what it was asked to. */
    call->refusal = CKR_OK;
    memcpy(code, call->error->provider_code, sizeof(code));
    status = envol_pkcs11_fail(call->error, ENVOL_E_WRONG_KEY,
                               "wrapped DEK does not verify under this key and context (%s)", code);
    memcpy(call->error->provider_code, code, sizeof(code));
    return status;
}

/*
 * What a module answers to a tag that does not verify, some answer to any failure; and a failure
 * must not be taken for a wrong key, which would say that the data is lost to it.  Such an answer
 * counts when the blob gets it before and after the token has proved to work.
 */
static CK_RV decrypt_for_sure(struct envol_pkcs11_call *call,
                              const struct envol_pkcs11_session *session,
                              const struct envol_pkcs11_key *key, struct aad *aad,
                              struct opening *opening, bool *is_sure)
{
    CK_RV answer = decrypt(session, key->handle, aad, opening);

    *is_sure = opening->began && envol_pkcs11_is_mismatch(answer);
    if (!opening->began || !envol_pkcs11_may_be_mismatch(answer) ||
        !is_healthy(call, session, key, aad))
        return answer;
    answer = decrypt(session, key->handle, aad, opening);
    *is_sure = opening->began &&
               (envol_pkcs11_is_mismatch(answer) || envol_pkcs11_may_be_mismatch(answer));
    return answer;
}

enum envol_status envol_pkcs11_seal(struct envol_pkcs11_call *call,
                                    const struct envol_pkcs11_session *session,
                                    const struct envol_pkcs11_key *key, const uint8_t *dek,
                                    uint8_t *blob)
{
    struct aad aad;
    enum envol_status status = encode_context(call, &aad);

    return status == ENVOL_OK ? seal_with(call, session, key, &aad, dek, blob) : status;
}

enum envol_status envol_pkcs11_open(struct envol_pkcs11_call *call,
                                    const struct envol_pkcs11_session *session,
                                    const struct envol_pkcs11_key *key, const uint8_t *blob,
                                    size_t blob_bytes, uint8_t *dek, size_t room, size_t *dek_bytes)
{
    struct aad aad;
    struct opening opening = {.blob = blob, .dek = dek, .room = room};
    enum envol_status status = encode_context(call, &aad);
    bool is_sure;
    CK_RV answer;

    if (status != ENVOL_OK)
        return status;
    if (blob_bytes != ENVOL_PKCS11_BLOB_BYTES || blob[0] != VERSION || blob[1] != MECHANISM)
        return envol_pkcs11_fail(call->error, ENVOL_E_WRONG_KEY,
                                 "wrapped DEK of %zu bytes: not one of a PKCS#11 token",
                                 blob_bytes);
    answer = decrypt_for_sure(call, session, key, &aad, &opening, &is_sure);
    if (answer == CKR_OK) {
        *dek_bytes = opening.dek_bytes;
        return ENVOL_OK;
    }
    status = envol_pkcs11_refuse(call, opening.began ? "C_Decrypt" : "C_DecryptInit", answer);
    return is_sure ? mismatch(call) : status;
}
