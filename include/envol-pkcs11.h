/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libenvol-pkcs11: customer managed keys in tokens with a PKCS#11 module, from smart cards to
 * network HSMs.  envol_pkcs11_provider(3) says how it behaves, envol-pkcs11(7) how to set up a
 * token.
 */
#ifndef ENVOL_PKCS11_H
#define ENVOL_PKCS11_H

#include <envol/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest PIN that a callback or a PIN file may give, in bytes. */
#define ENVOL_PKCS11_PIN_MAX 256

/* Flag: where neither module_path nor the URI names a module, look for the token in the modules
 * that p11-kit is configured with (the URI's module-name narrows that down). */
#define ENVOL_PKCS11_CONFIGURED_MODULES 1u

struct envol_pkcs11_options {
    size_t struct_size;
    const char *uri;         /* RFC 7512: the token and, by object or id, the AES-256 key in it */
    const char *module_path; /* absolute; goes before the URI's module-path; may be NULL */
    /*
     * Asked for the user PIN when a token wants a login and the URI has neither pin-source nor
     * pin-value; in the thread of the call that needs it, never twice at once for one provider. May
     * be NULL.  Writes at most capacity (ENVOL_PKCS11_PIN_MAX) bytes
     * without a final NUL to pin, which the library wipes, and their number to *pin_bytes.  token
     * is the token's label, for a prompt: one line.  Any status but ENVOL_OK ends the call:
     * ENVOL_E_CREDENTIALS and ENVOL_E_CANCELLED fit.
     */
    enum envol_status (*pin)(void *pin_ctx, const char *token, char *pin, size_t capacity,
                             size_t *pin_bytes);
    void *pin_ctx;
    uint32_t flags; /* ENVOL_PKCS11_CONFIGURED_MODULES */
};

/*
 * Makes a provider, "pkcs11", for the one key that the URI names.  Strings are copied; options is
 * not kept, pin_ctx is.  Loads the module, but calls nothing in it: the token may still be absent.
 * *provider is NULL on failure; error may be NULL.  envol_provider_close closes it.  Any thread.
 * ENVOL_E_ARGUMENT (a NULL, a URI that names no key or no module, unknown flags), ENVOL_E_PROVIDER
 * (the module cannot be loaded), ENVOL_E_NO_MEMORY, ENVOL_E_RANDOM.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_pkcs11_provider_open(const struct envol_pkcs11_options *options,
                           struct envol_provider **provider, struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
