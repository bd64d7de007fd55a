/* SPDX-License-Identifier: BSD-2-Clause */
/* Contestants of the benchmark's kernel rows: kernels of the library, and others' in their form. */
#ifndef ENVOL_TESTS_BENCH_KERNELS_H
#define ENVOL_TESTS_BENCH_KERNELS_H

#include "aes/kernel.h"

struct bench_contestant {
    char name[32]; /* in rows */
    const struct envol_aes_kernel *kernel;
    void (*forget)(void *key); /* frees what lies behind an expanded key; may be NULL */
};

/*
 * Other libraries as their own users call them, NULL where this build has none.  An expanded key of
 * libcrypto's is a pair of contexts, made at its first init (from a key that is all zeros) and kept
 * through later ones; a message costs it no more than setting the nonce.
 */
const struct bench_contestant *bench_direct_libcrypto(void);
const struct bench_contestant *bench_direct_libsodium(void);

#endif
