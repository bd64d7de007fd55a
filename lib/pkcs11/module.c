/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules, loaded and initialised by p11-kit: a process has one copy of each, with one state that
 * other libraries in it may share.  p11-kit counts who uses it, initialises it for several threads
 * (CKF_OS_LOCKING_OK), takes CKR_CRYPTOKI_ALREADY_INITIALIZED for what it is, and does not finalise
 * what somebody else initialised.
 */
#include "pkcs11/pkcs11.h"

#include <stdlib.h>
#include <unistd.h>

static enum envol_status load_one(struct envol_pkcs11 *state, const char *path,
                                  struct envol_error *error)
{
    const char *why;

    state->modules = calloc(2, sizeof(CK_FUNCTION_LIST *));
    if (state->modules == NULL)
        return envol_pkcs11_fail(error, ENVOL_E_NO_MEMORY, "PKCS#11 module: no memory");
    state->modules[0] = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
    if (state->modules[0] != NULL)
        return ENVOL_OK;
    why = p11_kit_message();
    return envol_pkcs11_fail(error, ENVOL_E_PROVIDER, "PKCS#11 module: %s",
                             why == NULL ? path : why);
}

static enum envol_status load_configured(struct envol_pkcs11 *state, struct envol_error *error)
{
    state->configured = true;
    state->modules = p11_kit_modules_load(NULL, 0);
    if (state->modules != NULL)
        return ENVOL_OK;
    return envol_pkcs11_fail(error, ENVOL_E_PROVIDER, "the PKCS#11 modules of p11-kit: %s",
                             p11_kit_message() == NULL ? "none loads" : p11_kit_message());
}

enum envol_status envol_pkcs11_modules_load(struct envol_pkcs11 *state,
                                            const struct envol_pkcs11_options *options,
                                            struct envol_error *error)
{
    const char *path = options->module_path;

    if (path == NULL)
        path = p11_kit_uri_get_module_path(state->uri);
    return path != NULL ? load_one(state, path, error) : load_configured(state, error);
}

/* p11-kit skips C_Finalize in a process other than the one that called C_Initialize: in a forked
 * child it could end the parent's sessions, over a connection that both have. */
static void finalise(struct envol_pkcs11 *state)
{
    if (state->initialised_in == 0)
        return;
    for (size_t i = 0; state->modules[i] != NULL; i++)
        p11_kit_module_finalize(state->modules[i]);
}

void envol_pkcs11_modules_unload(struct envol_pkcs11 *state)
{
    if (state->modules == NULL)
        return;
    finalise(state);
    if (state->configured) {
        p11_kit_modules_release(state->modules);
    } else {
        if (state->modules[0] != NULL)
            p11_kit_module_release(state->modules[0]);
        free(state->modules);
    }
    state->modules = NULL;
}

/* One of several configured modules may fail: its tokens are then not found. */
enum envol_status envol_pkcs11_modules_initialise(struct envol_pkcs11_call *call)
{
    struct envol_pkcs11 *state = call->state;
    CK_RV last = CKR_OK;
    bool any = false;

    finalise(state);
    for (size_t i = 0; state->modules[i] != NULL; i++) {
        CK_RV answer = p11_kit_module_initialize(state->modules[i]);

        if (answer == CKR_OK || answer == CKR_CRYPTOKI_ALREADY_INITIALIZED)
            any = true;
        else
            last = answer;
    }
    if (!any && last != CKR_OK)
        return envol_pkcs11_refuse(call, "C_Initialize", last);
    if (!any)
        return envol_pkcs11_fail(call->error, ENVOL_E_PROVIDER,
                                 "p11-kit is configured with no PKCS#11 module");
    state->initialised_in = getpid();
    return ENVOL_OK;
}
