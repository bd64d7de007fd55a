/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of kernels, and the choice among them. */
#include "aes/kernels.h"

#include <stdatomic.h>
#include <string.h>

/* Fastest first; a new kernel goes in front of those it beats. */
const struct envol_aes_kernel *const envol_aes_kernels[] = {
#if defined(__x86_64__)
    &envol_aes_vaes512,
    &envol_aes_vaes256,
    &envol_aes_aesni,
#elif defined(ENVOL_AES_ARMV8)
    &envol_aes_armv8,
#endif
#if ENVOL_WITH_LIBCRYPTO
    &envol_aes_libcrypto,
#endif
#if defined(__x86_64__)
    &envol_aes_libsodium,
#endif
    NULL,
};

static _Atomic(const struct envol_aes_kernel *) forced;

static bool fits(const struct envol_aes_kernel *kernel, bool xts)
{
    return kernel->block_key_bytes > 0 && kernel->gcm_key_bytes > 0 &&
           (!xts || kernel->xts_key_bytes > 0) && kernel->usable();
}

const struct envol_aes_kernel *envol_aes_kernel(bool xts)
{
    const struct envol_aes_kernel *only = atomic_load_explicit(&forced, memory_order_acquire);

    if (only != NULL)
        return fits(only, xts) ? only : NULL;
    for (size_t i = 0; envol_aes_kernels[i] != NULL; i++)
        if (fits(envol_aes_kernels[i], xts))
            return envol_aes_kernels[i];
    return NULL;
}

bool envol_aes_kernel_force(const char *name)
{
    const struct envol_aes_kernel *found = NULL;

    for (size_t i = 0; name != NULL && found == NULL && envol_aes_kernels[i] != NULL; i++)
        if (strcmp(envol_aes_kernels[i]->name, name) == 0)
            found = envol_aes_kernels[i];
    if (name != NULL && (found == NULL || !found->usable()))
        return false;
    atomic_store_explicit(&forced, found, memory_order_release);
    return true;
}

const char *envol_kernel_name(void)
{
    const struct envol_aes_kernel *kernel = envol_aes_kernel(false);

    return kernel != NULL ? kernel->name : "none";
}
