/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorting nonces. */
#include "nonces.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, NONCE_BYTES);
}

const uint8_t *nonces_repeated(uint8_t (*nonces)[NONCE_BYTES], size_t count, size_t bytes)
{
    qsort(nonces, count, NONCE_BYTES, compare);
    for (size_t i = 1; i < count; i++)
        if (memcmp(nonces[i - 1], nonces[i], bytes) == 0)
            return nonces[i];
    return NULL;
}

size_t nonces_salts(uint8_t (*nonces)[NONCE_BYTES], size_t count, size_t *most)
{
    size_t salts = 0, run = 0;

    *most = 0;
    qsort(nonces, count, NONCE_BYTES, compare);
    for (size_t i = 0; i < count; i++) {
        bool is_new = i == 0 || memcmp(nonces[i - 1], nonces[i], SALT_BYTES) != 0;

        salts += is_new;
        run = is_new ? 1 : run + 1;
        *most = run > *most ? run : *most;
    }
    return salts;
}
