/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame of every call of the provider: session, key, work; and all of it once more with a new
 * session where the first was lost (token pulled out and put back, connection to an HSM cut). */
#include "pkcs11/pkcs11.h"

static enum envol_status once(struct envol_pkcs11_call *call, const struct envol_pkcs11_work *work)
{
    struct envol_pkcs11_session session;
    struct envol_pkcs11_key key;
    enum envol_status status;

    status = envol_pkcs11_take(call, &session);
    if (status != ENVOL_OK)
        return status;
    call->refusal = CKR_OK;
    call->round = session.round;
    status = envol_pkcs11_find_key(call, &session, &key);
    if (status == ENVOL_OK)
        status = envol_pkcs11_check_use(call, &key, work->use);
    if (status == ENVOL_OK)
        status = work->run(call, &session, &key, work->arguments);
    envol_pkcs11_give_back(call, &session, call->refusal == CKR_OK);
    return status;
}

enum envol_status envol_pkcs11_run(struct envol_pkcs11 *state,
                                   const struct envol_key_request *request,
                                   const struct envol_pkcs11_work *work, struct envol_error *error)
{
    struct envol_pkcs11_call call = {.state = state, .request = request, .error = error};
    enum envol_status status = envol_pkcs11_enter(error);

    if (status != ENVOL_OK)
        return status;
    status = once(&call, work);
    if (status != ENVOL_OK && envol_pkcs11_is_lost(call.refusal)) {
        if (call.refusal == CKR_CRYPTOKI_NOT_INITIALIZED)
            envol_pkcs11_note_finalised(&call);
        envol_pkcs11_drop_idle(state);
        status = once(&call, work);
    }
    envol_pkcs11_leave();
    return status;
}
