/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's random source.  libsodium's would end the process where it fails. */
#include "pkcs11/pkcs11.h"

#include <errno.h>
#include <sys/random.h>

bool envol_pkcs11_random(void *out, size_t bytes)
{
    uint8_t *to = out;

    while (bytes > 0) {
        ssize_t got = getrandom(to, bytes, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        bytes -= (size_t)got;
    }
    return true;
}
