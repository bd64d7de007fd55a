/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a test once for each AES kernel, as a loop of the Check framework.  Behind the kernels of
 * the build come emulated ones, which are none of the library's and cannot be chosen or forced:
 * tests that call a kernel themselves loop over all.
 */
#ifndef ENVOL_TESTS_KERNELS_H
#define ENVOL_TESTS_KERNELS_H

#include "aes/kernel.h"

#if defined(__x86_64__)
/* The text of vaes256 and vaes512 without their instructions: see vector_emulated.h. */
extern const struct envol_aes_kernel test_emulated256, test_emulated512;
#endif

/* How many kernels this build has. */
int test_kernel_count(void);

/* The same, and the emulated ones. */
int test_all_kernel_count(void);

/* The i-th of all, whether this machine can run it or not; NULL behind the last. */
const struct envol_aes_kernel *test_kernel_at(int i);

/* The i-th of all, or NULL and a counted skip where this machine cannot run it. */
const struct envol_aes_kernel *test_kernel(int i);

/* The same; NULL also for a kernel that has no XTS. */
const struct envol_aes_kernel *test_xts_kernel(int i);

/* By name, of all; NULL if there is none of that name. */
const struct envol_aes_kernel *test_kernel_named(const char *name);

#endif
