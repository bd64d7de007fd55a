/* SPDX-License-Identifier: BSD-2-Clause */
/* Filling struct envol_error from outside libenvol.  Text is made one line, whoever wrote it. */
#include "pkcs11/pkcs11.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum envol_status envol_pkcs11_fail(struct envol_error *error, enum envol_status status,
                                    const char *format, ...)
{
    struct envol_error filled = ENVOL_ERROR_INIT;
    va_list arguments;

    if (error == NULL)
        return status;
    filled.status = status;
    va_start(arguments, format);
    vsnprintf(filled.message, sizeof(filled.message), format, arguments);
    va_end(arguments);
    for (char *at = filled.message; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
    envol_pkcs11_give(error, &filled);
    return status;
}

void envol_pkcs11_give(struct envol_error *error, const struct envol_error *filled)
{
    const size_t head = sizeof(error->struct_size);
    size_t bytes;

    if (error == NULL)
        return;
    bytes = error->struct_size < sizeof(*filled) ? error->struct_size : sizeof(*filled);
    if (bytes > head)
        memcpy((char *)error + head, (const char *)filled + head, bytes - head);
}
