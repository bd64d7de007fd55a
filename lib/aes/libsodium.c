/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel "libsodium": its AES-256-GCM over a state in the caller's memory, and single blocks by our
 * own AES-NI code, as libsodium gives none.  No XTS.
 */
#if defined(__x86_64__)

#include "aes/aesni_block.h"
#include "aes/kernels.h"
#include "base/cpu.h"

#include <sodium.h>

/* crypto_aead_aes256gcm_is_available says no before sodium_init, which may be called any number of
 * times, from any thread; no key exists before the choice. */
static bool usable(void)
{
    return (envol_cpu_features() & ENVOL_CPU_AESNI) != 0 && sodium_init() >= 0 &&
           crypto_aead_aes256gcm_is_available() == 1;
}

/* Single blocks are ours, but a compiler that does not optimise keeps round keys in their frames.
 */
static enum envol_status block_init(void *key, const uint8_t raw[32])
{
    envol_aesni_expand(key, raw);
    envol_stack_wipe();
    return ENVOL_OK;
}

static enum envol_status block_encrypt(const void *key, const uint8_t *in, uint8_t *out,
                                       size_t blocks)
{
    envol_aesni_encrypt(key, in, out, blocks);
    envol_stack_wipe();
    return ENVOL_OK;
}

static enum envol_status gcm_init(void *key, const uint8_t raw[32])
{
    int failed = crypto_aead_aes256gcm_beforenm(key, raw);

    envol_stack_wipe();
    return failed ? ENVOL_E_NO_MEMORY : ENVOL_OK;
}

static enum envol_status gcm_seal(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    /* Checked first: libsodium ends the process over a message that is too long. */
    enum envol_status status = envol_gcm_jobs_check(jobs, count);

    if (status != ENVOL_OK)
        return status;
    for (size_t i = 0; i < count && status == ENVOL_OK; i++)
        if (crypto_aead_aes256gcm_encrypt_detached_afternm(
                jobs[i].out, jobs[i].tag, NULL, jobs[i].in, jobs[i].bytes, jobs[i].aad,
                jobs[i].aad_bytes, NULL, jobs[i].nonce, key) != 0)
            status = ENVOL_E_NO_MEMORY;
    envol_stack_wipe();
    if (status != ENVOL_OK)
        envol_gcm_seal_fail(jobs, count);
    return status;
}

static enum envol_status gcm_open(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    enum envol_status status = envol_gcm_jobs_check(jobs, count);

    if (status != ENVOL_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        jobs[i].failed = crypto_aead_aes256gcm_decrypt_detached_afternm(
                             jobs[i].out, NULL, jobs[i].in, jobs[i].bytes, jobs[i].tag, jobs[i].aad,
                             jobs[i].aad_bytes, jobs[i].nonce, key) != 0;
        if (jobs[i].failed)
            envol_gcm_open_fail(&jobs[i], 1);
    }
    envol_stack_wipe();
    return ENVOL_OK;
}

const struct envol_aes_kernel envol_aes_libsodium = {
    .name = "libsodium",
    .usable = usable,
    .block_key_bytes = ENVOL_AESNI_KEY_BYTES,
    .gcm_key_bytes = sizeof(crypto_aead_aes256gcm_state),
    .block_init = block_init,
    .block_encrypt = block_encrypt,
    .gcm_init = gcm_init,
    .gcm_seal = gcm_seal,
    .gcm_open = gcm_open,
};

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int envol_libsodium_absent;

#endif
