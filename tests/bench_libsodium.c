/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libsodium in the form of a kernel, as an application uses it: AES-256-GCM with the key expanded
 * beforehand.  It has no XTS, and gives no single AES blocks: those of a new salt's key are ours.
 */
#include "bench_kernels.h"

#if defined(__x86_64__)

#include "aes/aesni_block.h"

#include <sodium.h>

static bool usable(void)
{
    return sodium_init() >= 0 && crypto_aead_aes256gcm_is_available() == 1;
}

static enum envol_status block_init(void *key, const uint8_t raw[32])
{
    envol_aesni_expand(key, raw);
    return ENVOL_OK;
}

static enum envol_status block_encrypt(const void *key, const uint8_t *in, uint8_t *out,
                                       size_t blocks)
{
    envol_aesni_encrypt(key, in, out, blocks);
    return ENVOL_OK;
}

static enum envol_status gcm_init(void *key, const uint8_t raw[32])
{
    return crypto_aead_aes256gcm_beforenm(key, raw) == 0 ? ENVOL_OK : ENVOL_E_NO_MEMORY;
}

static enum envol_status gcm_seal(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (crypto_aead_aes256gcm_encrypt_detached_afternm(
                jobs[i].out, jobs[i].tag, NULL, jobs[i].in, jobs[i].bytes, jobs[i].aad,
                jobs[i].aad_bytes, NULL, jobs[i].nonce, key) != 0)
            return ENVOL_E_NO_MEMORY;
    return ENVOL_OK;
}

static enum envol_status gcm_open(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        jobs[i].failed = crypto_aead_aes256gcm_decrypt_detached_afternm(
                             jobs[i].out, NULL, jobs[i].in, jobs[i].bytes, jobs[i].tag, jobs[i].aad,
                             jobs[i].aad_bytes, jobs[i].nonce, key) != 0;
    return ENVOL_OK;
}

const struct bench_contestant *bench_direct_libsodium(void)
{
    static const struct envol_aes_kernel kernel = {
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
    static const struct bench_contestant contestant = {"libsodium", &kernel, NULL};

    return &contestant;
}

#else

const struct bench_contestant *bench_direct_libsodium(void)
{
    return NULL;
}

#endif
