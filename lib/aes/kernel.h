/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AES kernels: const vtables over caller-owned expanded keys.  A kernel has no state of its own
 * that callers see; every function may run in any number of threads, takes no lock and makes no
 * system call.  An expanded key is opaque, holds key material, is aligned to 64 bytes and never
 * moves between kernels.
 *
 * Work comes as an array of jobs under one key, so that a kernel can keep the AES units busy across
 * page borders; a single page is an array of one.
 */
#ifndef ENVOL_AES_KERNEL_H
#define ENVOL_AES_KERNEL_H

#include <envol/status.h>
#include <stdbool.h>

/* No kernel's expanded keys are larger: what a caller needs to keep one on its stack. */
#define ENVOL_AES_KEY_MAX 1536u

/* One AES-256-GCM message (SP 800-38D; 96-bit nonce, 128-bit tag).  in == out works in place. */
struct envol_gcm_job {
    const uint8_t *nonce; /* 12 bytes */
    const uint8_t *aad;
    size_t aad_bytes;
    const uint8_t *in;
    uint8_t *out;
    size_t bytes; /* at most 2^36 - 32 */
    uint8_t *tag; /* 16 bytes: written by seal, read by open */
    bool failed;  /* out, open: the tag does not match; out holds zeros */
};

/* One AES-256-XTS data unit (IEEE 1619).  At least 16 bytes; a last partial block is stolen. */
struct envol_xts_job {
    uint8_t tweak[16]; /* data unit number, 128-bit little-endian */
    const uint8_t *in;
    uint8_t *out;
    size_t bytes;
};

/*
 * Functions return ENVOL_OK, or ENVOL_E_NO_MEMORY where a library below fails; every job's output
 * is then zeroed.  open returns ENVOL_OK whether tags match or not: each job says.
 */
struct envol_aes_kernel {
    const char *name;
    bool (*usable)(void);

    size_t block_key_bytes, gcm_key_bytes, xts_key_bytes; /* of expanded keys; 0: not supported */

    enum envol_status (*block_init)(void *key, const uint8_t raw[32]);
    /* ECB: blocks of 16 bytes, in == out allowed. */
    enum envol_status (*block_encrypt)(const void *key, const uint8_t *in, uint8_t *out,
                                       size_t blocks);

    enum envol_status (*gcm_init)(void *key, const uint8_t raw[32]);
    /* gcm_init of what block_encrypt makes of two blocks.  NULL: no better than those two. */
    enum envol_status (*gcm_derive)(void *key, const void *block_key, const uint8_t in[32]);
    enum envol_status (*gcm_seal)(const void *key, struct envol_gcm_job *jobs, size_t count);
    enum envol_status (*gcm_open)(const void *key, struct envol_gcm_job *jobs, size_t count);

    /* raw is K1 (data) and K2 (tweak); equal halves: ENVOL_E_ARGUMENT (FIPS 140 IG C.I). */
    enum envol_status (*xts_init)(void *key, const uint8_t raw[64]);
    enum envol_status (*xts_encrypt)(const void *key, const struct envol_xts_job *jobs,
                                     size_t count);
    enum envol_status (*xts_decrypt)(const void *key, const struct envol_xts_job *jobs,
                                     size_t count);
};

/* All kernels of this build, fastest first, up to a NULL. */
extern const struct envol_aes_kernel *const envol_aes_kernels[];

/*
 * The fastest usable kernel that does block, GCM and (if xts) XTS; NULL if there is none.  A forced
 * one is the only candidate.
 */
const struct envol_aes_kernel *envol_aes_kernel(bool xts);

/* For tests: only the kernel of that name is chosen from now on; NULL: free choice again.  False if
 * this build has none of that name, or the machine cannot run it. */
bool envol_aes_kernel_force(const char *name);

#endif
