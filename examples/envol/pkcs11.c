/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URIs of keys in tokens, where this build has libenvol-pkcs11.  The PIN: as the URI says, else
 * from ENVOL_PKCS11_PIN, else typed on the terminal.
 */
#include "command.h"

#if defined(ENVOL_WITH_PKCS11)
#include <envol-pkcs11.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum envol_status give_pin(void *unused, const char *token, char *pin, size_t capacity,
                                  size_t *pin_bytes)
{
    const char *given = getenv("ENVOL_PKCS11_PIN");
    enum envol_status status;
    int tty;

    (void)unused;
    if (given != NULL && *given != '\0') {
        *pin_bytes = strlen(given);
        if (*pin_bytes > capacity)
            return ENVOL_E_CREDENTIALS;
        memcpy(pin, given, *pin_bytes);
        return ENVOL_OK;
    }
    tty = terminal_open();
    if (tty < 0)
        return ENVOL_E_CREDENTIALS;
    status = terminal_ask(tty, "PIN", token, pin, capacity, pin_bytes);
    close(tty);
    return status;
}

int pkcs11_check(const struct options *options, const char *option, const char *uri,
                 const char *rest)
{
    return *rest != '\0' ? STATUS_OK
                         : fail_usage(options, "--%s %s: the key is missing: pkcs11:object=LABEL",
                                      option, uri);
}

/* The URI may hold a PIN, and is not printed. */
int pkcs11_open(struct cmk_source *source, const struct options *options, const char *rest)
{
    const struct envol_pkcs11_options how = {
        .struct_size = sizeof how,
        .uri = rest - strlen("pkcs11:"),
        .pin = give_pin,
        .flags = ENVOL_PKCS11_CONFIGURED_MODULES,
    };
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = envol_pkcs11_provider_open(&how, &source->provider, &error);

    if (status == ENVOL_E_ARGUMENT)
        return fail_usage(options, "--cmk pkcs11: %s", error.message);
    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}
#endif
