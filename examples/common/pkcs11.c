/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URIs of keys in tokens, where this build has libenvol-pkcs11.  The PIN: as the URI says, else
 * from ENVOL_PKCS11_PIN, else a person is asked.
 */
#include "cmk.h"

#if defined(ENVOL_WITH_PKCS11)
#include <envol-pkcs11.h>
#include <stdlib.h>
#include <string.h>

static enum envol_status give_pin(void *ctx, const char *token, char *pin, size_t capacity,
                                  size_t *pin_bytes)
{
    const struct cmk_source *source = ctx;
    const char *given = getenv("ENVOL_PKCS11_PIN");
    enum envol_status status;

    if (given != NULL && *given != '\0') {
        *pin_bytes = strlen(given);
        if (*pin_bytes > capacity)
            return ENVOL_E_CREDENTIALS;
        memcpy(pin, given, *pin_bytes);
        return ENVOL_OK;
    }
    if (source->ask == NULL)
        return ENVOL_E_CREDENTIALS;
    status = source->ask("PIN", token, pin, capacity, pin_bytes);
    return status == ENVOL_E_UNSUPPORTED ? ENVOL_E_CREDENTIALS : status;
}

/* The URI may hold a PIN, and is not printed. */
enum envol_status pkcs11_open(struct cmk_source *source, const char *rest,
                              struct envol_error *error)
{
    const struct envol_pkcs11_options how = {
        .struct_size = sizeof how,
        .uri = rest - strlen("pkcs11:"),
        .pin = give_pin,
        .pin_ctx = source,
        .flags = ENVOL_PKCS11_CONFIGURED_MODULES,
    };

    return envol_pkcs11_provider_open(&how, &source->provider, error);
}

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int pkcs11_absent;

#endif
