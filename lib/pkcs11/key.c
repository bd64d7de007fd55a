/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key: looked up at each call, so that one that was deleted, disabled or replaced is seen as
 * such at once.  It has to be one object, an AES-256 key that stays in the token.
 */
#include "pkcs11/pkcs11.h"

#include <string.h>

/* What is read of a key.  Optional ones may be missing (CK_UNAVAILABLE_INFORMATION). */
struct attributes {
    CK_KEY_TYPE type;
    CK_ULONG value_bytes; /* 0: the token does not say */
    CK_BBOOL encrypts, decrypts;
    uint8_t id[ENVOL_PKCS11_ID_MAX], label[ENVOL_PKCS11_ID_MAX];
    size_t id_bytes, label_bytes;
};

/* A token may lack an attribute, and then refuses the whole list: one at a time. */
static CK_RV read_one(const struct envol_pkcs11_session *session, CK_OBJECT_HANDLE object,
                      CK_ATTRIBUTE_TYPE type, void *value, size_t room, size_t *bytes)
{
    CK_ATTRIBUTE attribute = {type, value, room};
    CK_RV answer = session->functions->C_GetAttributeValue(session->handle, object, &attribute, 1);
    bool absent = answer == CKR_ATTRIBUTE_TYPE_INVALID || answer == CKR_ATTRIBUTE_SENSITIVE ||
                  (answer == CKR_OK && attribute.ulValueLen == (CK_ULONG)-1);

    if (answer == CKR_OK && !absent && attribute.ulValueLen > room)
        answer = CKR_BUFFER_TOO_SMALL;
    *bytes = answer == CKR_OK && !absent ? attribute.ulValueLen : 0;
    return absent ? CKR_OK : answer;
}

static CK_RV read_attributes(const struct envol_pkcs11_session *session, CK_OBJECT_HANDLE object,
                             struct attributes *key)
{
    struct {
        CK_ATTRIBUTE_TYPE type;
        void *value;
        size_t room;
        size_t *bytes;
    } wanted[] = {
        {CKA_KEY_TYPE, &key->type, sizeof(key->type), NULL},
        {CKA_VALUE_LEN, &key->value_bytes, sizeof(key->value_bytes), NULL},
        {CKA_ENCRYPT, &key->encrypts, sizeof(key->encrypts), NULL},
        {CKA_DECRYPT, &key->decrypts, sizeof(key->decrypts), NULL},
        {CKA_ID, key->id, sizeof(key->id), &key->id_bytes},
        {CKA_LABEL, key->label, sizeof(key->label), &key->label_bytes},
    };

    *key = (struct attributes){.type = (CK_KEY_TYPE)-1};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        size_t bytes;
        CK_RV answer = read_one(session, object, wanted[i].type, wanted[i].value, wanted[i].room,
                                wanted[i].bytes == NULL ? &bytes : wanted[i].bytes);

        if (answer != CKR_OK)
            return answer;
    }
    return CKR_OK;
}

static CK_RV search(P11KitUri *uri, const struct envol_pkcs11_session *session,
                    CK_OBJECT_HANDLE objects[2], CK_ULONG *count)
{
    CK_OBJECT_CLASS kind = CKO_SECRET_KEY;
    CK_BBOOL yes = CK_TRUE;
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(uri, CKA_ID);
    /* An object of the session's would be gone with it, and the data with that. */
    CK_ATTRIBUTE wanted[4] = {{CKA_CLASS, &kind, sizeof(kind)}, {CKA_TOKEN, &yes, sizeof(yes)}};
    CK_ULONG given = 2;
    CK_RV answer;

    if (label != NULL)
        wanted[given++] = *label;
    if (id != NULL)
        wanted[given++] = *id;
    *count = 0;
    answer = session->functions->C_FindObjectsInit(session->handle, wanted, given);
    if (answer != CKR_OK)
        return answer;
    answer = session->functions->C_FindObjects(session->handle, objects, 2, count);
    session->functions->C_FindObjectsFinal(session->handle);
    return answer;
}

static enum envol_status find_one(struct envol_pkcs11_call *call,
                                  const struct envol_pkcs11_session *session,
                                  CK_OBJECT_HANDLE *object)
{
    CK_OBJECT_HANDLE objects[2] = {0};
    CK_ULONG count;
    CK_RV answer = search(call->state->uri, session, objects, &count);

    if (answer != CKR_OK)
        return envol_pkcs11_refuse(call, "C_FindObjects", answer);
    *object = objects[0];
    if (count == 1)
        return ENVOL_OK;
    if (count > 1)
        return envol_pkcs11_fail(call->error, ENVOL_E_ARGUMENT,
                                 "token %s: several keys match the PKCS#11 URI", session->token);
    /* Private objects cannot be seen by who was logged out: no proof that the key is gone. */
    if (session->needs_login && !envol_pkcs11_is_logged_in(session))
        return envol_pkcs11_refuse(call, "C_FindObjects", CKR_USER_NOT_LOGGED_IN);
    return envol_pkcs11_fail(call->error, ENVOL_E_KEY_NOT_FOUND,
                             "token %s: no secret key matches the PKCS#11 URI", session->token);
}

static enum envol_status check_attributes(struct envol_pkcs11_call *call,
                                          const struct envol_pkcs11_session *session,
                                          const struct attributes *found)
{
    if (found->type != CKK_AES)
        return envol_pkcs11_fail(call->error, ENVOL_E_ARGUMENT, "token %s: not an AES key",
                                 session->token);
    if (found->value_bytes != 0 && found->value_bytes != 32)
        return envol_pkcs11_fail(call->error, ENVOL_E_ARGUMENT,
                                 "token %s: an AES key of %lu bits, not 256", session->token,
                                 8 * found->value_bytes);
    return ENVOL_OK;
}

/*
 * Another key is refused by its name: it must not look like a wrong key.  Where the application's
 * URI names the serial number of the token, the slot's may differ: that is how a key that was
 * restored to another token is used.
 */
static bool is_asked_for(struct envol_pkcs11_call *call, const char *ref)
{
    const char *asked = call->request->key_ref;

    if (asked == NULL || strcmp(asked, ref) == 0)
        return true;
    if (!envol_pkcs11_uri_names_serial(call->state->uri))
        return false;
    asked = strchr(asked, ';');
    ref = strchr(ref, ';');
    return asked != NULL && ref != NULL && strcmp(asked, ref) == 0;
}

static enum envol_status check_request(struct envol_pkcs11_call *call,
                                       const struct envol_pkcs11_key *key)
{
    const char *version = call->request->key_version;

    if (!is_asked_for(call, key->ref))
        return envol_pkcs11_fail(call->error, ENVOL_E_KEY_NOT_FOUND,
                                 "the PKCS#11 URI names key %.90s, not %.90s", key->ref,
                                 call->request->key_ref);
    if (version != NULL && version[0] != '\0')
        return envol_pkcs11_fail(call->error, ENVOL_E_KEY_NOT_FOUND,
                                 "keys in tokens have no versions, and no \"%.64s\"", version);
    return ENVOL_OK;
}

enum envol_status envol_pkcs11_find_key(struct envol_pkcs11_call *call,
                                        const struct envol_pkcs11_session *session,
                                        struct envol_pkcs11_key *key)
{
    struct attributes found;
    enum envol_status status = find_one(call, session, &key->handle);
    CK_RV answer;

    if (status != ENVOL_OK)
        return status;
    answer = read_attributes(session, key->handle, &found);
    if (answer != CKR_OK)
        return envol_pkcs11_refuse(call, "C_GetAttributeValue", answer);
    status = check_attributes(call, session, &found);
    if (status != ENVOL_OK)
        return status;
    key->decrypts = found.decrypts != CK_FALSE;
    key->encrypts = found.encrypts != CK_FALSE;
    if (!envol_pkcs11_uri_canonical(session, found.id, found.id_bytes, found.label,
                                    found.label_bytes, key->ref))
        return envol_pkcs11_fail(call->error, ENVOL_E_UNSUPPORTED, "token %s: id too long",
                                 session->token);
    return check_request(call, key);
}

enum envol_status envol_pkcs11_check_use(struct envol_pkcs11_call *call,
                                         const struct envol_pkcs11_key *key,
                                         enum envol_pkcs11_use use)
{
    if (use == ENVOL_PKCS11_DESCRIBES)
        return ENVOL_OK;
    if (!key->decrypts)
        return envol_pkcs11_fail(call->error, ENVOL_E_KEY_DISABLED,
                                 "%.160s: the key is disabled (CKA_DECRYPT is false)", key->ref);
    if (use == ENVOL_PKCS11_ENCRYPTS && !key->encrypts)
        return envol_pkcs11_fail(call->error, ENVOL_E_KEY_DENIED,
                                 "%.160s: the key may not wrap (CKA_ENCRYPT is false)", key->ref);
    return ENVOL_OK;
}
