/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernels share among themselves: their list, bounds of jobs, and cleaning up. */
#ifndef ENVOL_AES_KERNELS_H
#define ENVOL_AES_KERNELS_H

#include "aes/kernel.h"

/*
 * One per file.  A kernel whose code needs its expanded keys aligned makes their sizes multiples of
 * that alignment: callers lay keys one behind the other.
 */
#if ENVOL_WITH_LIBCRYPTO
extern const struct envol_aes_kernel envol_aes_libcrypto;
#endif
#if defined(__x86_64__)
extern const struct envol_aes_kernel envol_aes_vaes512;
extern const struct envol_aes_kernel envol_aes_vaes256;
extern const struct envol_aes_kernel envol_aes_aesni;
extern const struct envol_aes_kernel envol_aes_libsodium;
#endif
/* clang has the intrinsics of Armv8's AES only in files that are compiled for it as a whole. */
#if defined(__AARCH64EL__) && (!defined(__clang__) || defined(__ARM_FEATURE_AES))
#define ENVOL_AES_ARMV8 1
extern const struct envol_aes_kernel envol_aes_armv8;
#endif

/*
 * ENVOL_E_RANGE, before any buffer is touched, for a length that the mode does not allow: such a
 * buffer cannot be the caller's, so it is not zeroed either.
 */
enum envol_status envol_gcm_jobs_check(const struct envol_gcm_job *jobs, size_t count);
enum envol_status envol_xts_jobs_check(const struct envol_xts_job *jobs, size_t count);

/* Zeroes every output, and marks the jobs failed, when a library below gave up on one of them. */
void envol_gcm_seal_fail(struct envol_gcm_job *jobs, size_t count);
void envol_gcm_open_fail(struct envol_gcm_job *jobs, size_t count);
void envol_xts_fail(const struct envol_xts_job *jobs, size_t count);

/*
 * Overwrites the stack below the caller's frame, where functions of other libraries that it called
 * have left round keys and powers of H, and the vector registers.
 */
void envol_stack_wipe(void);

#endif
