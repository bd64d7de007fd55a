/* SPDX-License-Identifier: BSD-2-Clause */
/* The AES kernels that a test can be run with. */
#include "kernels.h"

#include "support.h"
#include <stdlib.h>
#include <string.h>

static const struct envol_aes_kernel *const emulated[] = {
#if defined(__x86_64__)
    &test_emulated256,
    &test_emulated512,
#endif
    NULL,
};

static int count(const struct envol_aes_kernel *const *kernels)
{
    int n = 0;

    while (kernels[n] != NULL)
        n++;
    return n;
}

int test_kernel_count(void)
{
    return count(envol_aes_kernels);
}

int test_all_kernel_count(void)
{
    return test_kernel_count() + count(emulated);
}

const struct envol_aes_kernel *test_kernel_at(int i)
{
    int n = test_kernel_count();

    if (i < n)
        return envol_aes_kernels[i];
    return i < test_all_kernel_count() ? emulated[i - n] : NULL;
}

/* ENVOL_TEST_KERNEL: the only one to be run, where a machine is too slow to run all. */
static bool is_left_out(const struct envol_aes_kernel *kernel)
{
    const char *only = getenv("ENVOL_TEST_KERNEL");

    return only != NULL && strcmp(kernel->name, only) != 0;
}

const struct envol_aes_kernel *test_kernel(int i)
{
    const struct envol_aes_kernel *kernel = test_kernel_at(i);

    if (is_left_out(kernel))
        return NULL;
    if (kernel->usable())
        return kernel;
    test_skip(kernel->name, "this machine cannot run it");
    return NULL;
}

const struct envol_aes_kernel *test_xts_kernel(int i)
{
    return test_kernel_at(i)->xts_key_bytes > 0 ? test_kernel(i) : NULL;
}

const struct envol_aes_kernel *test_kernel_named(const char *name)
{
    const struct envol_aes_kernel *kernel;

    for (int i = 0; (kernel = test_kernel_at(i)) != NULL; i++)
        if (strcmp(kernel->name, name) == 0)
            return kernel;
    return NULL;
}
