/* SPDX-License-Identifier: BSD-2-Clause */
/* Locked pages, an allocation each: a call needs one or two, so that no arena is called for. */
#include "kms/secret.h"

#include <envol/provider.h>
#include <sodium.h>
#include <sys/mman.h>

enum envol_status envol_kms_secret_alloc(size_t bytes, uint32_t flags, void **secret)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *secret = NULL;
    if (pages == MAP_FAILED)
        return ENVOL_E_NO_MEMORY;
    if (mlock(pages, bytes) != 0 && (flags & ENVOL_KEY_ALLOW_UNLOCKED) == 0) {
        munmap(pages, bytes);
        return ENVOL_E_LOCKED_MEMORY;
    }
    /* Best effort: kernels before 4.14 know no wiping on fork. */
    madvise(pages, bytes, MADV_DONTDUMP);
    madvise(pages, bytes, MADV_WIPEONFORK);
    *secret = pages;
    return ENVOL_OK;
}

void envol_kms_secret_free(void *secret, size_t bytes)
{
    if (secret == NULL)
        return;
    sodium_memzero(secret, bytes);
    munmap(secret, bytes);
}
