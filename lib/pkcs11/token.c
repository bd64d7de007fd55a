/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding the one token that the URI names, and a session with it that is logged in. */
#include "pkcs11/pkcs11.h"

#include <stdlib.h>
#include <string.h>

/* A token that was found: where, and what it says of itself. */
struct found {
    CK_FUNCTION_LIST *functions;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO token;
    size_t matches;
};

/* Fixed-width fields, padded with blanks (PKCS#11 section 3.2). */
static void cut_blanks(const unsigned char *field, size_t width, char *text)
{
    while (width > 0 && (field[width - 1] == ' ' || field[width - 1] == '\0'))
        width--;
    for (size_t i = 0; i < width; i++)
        text[i] = field[i] < 0x20 || field[i] == 0x7f ? '?' : (char)field[i];
    text[width] = '\0';
}

static bool slot_matches(P11KitUri *uri, CK_FUNCTION_LIST *functions, CK_SLOT_ID slot,
                         CK_TOKEN_INFO *token)
{
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri);
    CK_SLOT_INFO about;

    if (wanted != (CK_SLOT_ID)-1 && wanted != slot)
        return false;
    /* A token that was pulled out since the list was made is one that is not there. */
    if (functions->C_GetSlotInfo(slot, &about) != CKR_OK ||
        !p11_kit_uri_match_slot_info(uri, &about))
        return false;
    return functions->C_GetTokenInfo(slot, token) == CKR_OK &&
           (token->flags & CKF_TOKEN_INITIALIZED) != 0 &&
           p11_kit_uri_match_token_info(uri, token) != 0;
}

static bool module_matches(const struct envol_pkcs11 *state, CK_FUNCTION_LIST *functions)
{
    const char *wanted = p11_kit_uri_get_module_name(state->uri);
    char *name;
    CK_INFO about;
    bool same = true;

    if (functions->C_GetInfo(&about) == CKR_OK &&
        !p11_kit_uri_match_module_info(state->uri, &about))
        return false;
    /* A module that was named by its path has no name in p11-kit's configuration. */
    if (wanted == NULL || !state->configured)
        return true;
    name = p11_kit_module_get_name(functions);
    same = name != NULL && strcmp(name, wanted) == 0;
    free(name);
    return same;
}

/* The list may grow between the question for its length and the question for it. */
static CK_RV list_slots(CK_FUNCTION_LIST *functions, CK_SLOT_ID **slots, CK_ULONG *count)
{
    CK_RV answer;

    *slots = NULL;
    do {
        free(*slots);
        *slots = NULL;
        answer = functions->C_GetSlotList(CK_TRUE, NULL, count);
        if (answer != CKR_OK || *count == 0)
            return answer;
        *slots = calloc(*count, sizeof(**slots));
        if (*slots == NULL)
            return CKR_HOST_MEMORY;
        answer = functions->C_GetSlotList(CK_TRUE, *slots, count);
    } while (answer == CKR_BUFFER_TOO_SMALL);
    return answer;
}

static CK_RV search(P11KitUri *uri, CK_FUNCTION_LIST *functions, struct found *found)
{
    CK_SLOT_ID *slots = NULL;
    CK_ULONG count = 0;
    CK_RV answer = list_slots(functions, &slots, &count);

    for (CK_ULONG i = 0; answer == CKR_OK && i < count; i++) {
        CK_TOKEN_INFO token;

        if (!slot_matches(uri, functions, slots[i], &token))
            continue;
        if (found->matches++ == 0)
            *found = (struct found){functions, slots[i], token, 1};
    }
    free(slots);
    return answer;
}

static enum envol_status find_token(struct envol_pkcs11_call *call, struct found *found)
{
    struct envol_pkcs11 *state = call->state;
    CK_RV last = CKR_OK;

    *found = (struct found){.matches = 0};
    for (size_t i = 0; state->modules[i] != NULL; i++) {
        CK_RV answer = CKR_OK;

        if (module_matches(state, state->modules[i]))
            answer = search(state->uri, state->modules[i], found);
        if (answer != CKR_OK)
            last = answer;
    }
    if (found->matches == 1)
        return ENVOL_OK;
    if (found->matches > 1)
        return envol_pkcs11_fail(call->error, ENVOL_E_ARGUMENT,
                                 "the PKCS#11 URI matches %zu tokens: name one by its serial",
                                 found->matches);
    if (last != CKR_OK)
        return envol_pkcs11_refuse(call, "C_GetSlotList", last);
    return envol_pkcs11_fail(call->error, ENVOL_E_UNREACHABLE,
                             "no token that is present matches the PKCS#11 URI");
}

bool envol_pkcs11_is_logged_in(const struct envol_pkcs11_session *session)
{
    CK_SESSION_INFO about;

    return session->functions->C_GetSessionInfo(session->handle, &about) == CKR_OK &&
           (about.state == CKS_RO_USER_FUNCTIONS || about.state == CKS_RW_USER_FUNCTIONS);
}

static enum envol_status open_session(struct envol_pkcs11_call *call, const struct found *found,
                                      struct envol_pkcs11_session *session)
{
    enum envol_status status = ENVOL_OK;
    CK_RV answer;

    *session = (struct envol_pkcs11_session){
        .functions = found->functions,
        .round = call->round,
        .needs_login = (found->token.flags & CKF_LOGIN_REQUIRED) != 0,
    };
    cut_blanks(found->token.label, sizeof(found->token.label), session->token);
    cut_blanks(found->token.serialNumber, sizeof(found->token.serialNumber), session->serial);
    answer = found->functions->C_OpenSession(found->slot, CKF_SERIAL_SESSION, NULL, NULL,
                                             &session->handle);
    if (answer != CKR_OK)
        return envol_pkcs11_refuse(call, "C_OpenSession", answer);
    if (session->needs_login && !envol_pkcs11_is_logged_in(session))
        status = envol_pkcs11_login(call, session, &found->token);
    if (status != ENVOL_OK)
        found->functions->C_CloseSession(session->handle);
    return status;
}

enum envol_status envol_pkcs11_connect(struct envol_pkcs11_call *call,
                                       struct envol_pkcs11_session *session)
{
    struct found found;
    bool initialise;
    enum envol_status status = envol_pkcs11_begin_round(call, &initialise);

    if (status == ENVOL_OK && initialise)
        status = envol_pkcs11_modules_initialise(call);
    if (status == ENVOL_OK)
        status = find_token(call, &found);
    if (status == ENVOL_OK)
        status = open_session(call, &found, session);
    return status;
}
