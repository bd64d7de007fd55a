/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcrypto in the form of a kernel, as an application with a context of its own uses it: the key
 * is set once, each message sets its nonce.  (The library's kernel "libcrypto" must not leave keys
 * in OpenSSL's heap, and sets the key at each call.)
 */
#include "bench_kernels.h"

#if ENVOL_WITH_LIBCRYPTO

#include <openssl/evp.h>

/* GCM has one key schedule for both directions, and one context then. */
struct contexts {
    EVP_CIPHER_CTX *encrypt, *decrypt;
};

static enum envol_status context_init(EVP_CIPHER_CTX **ctx, const EVP_CIPHER *cipher,
                                      const uint8_t *raw, int encrypt)
{
    if (*ctx != NULL) /* a new key for a context that is there */
        return EVP_CipherInit_ex(*ctx, NULL, NULL, raw, NULL, encrypt) == 1 ? ENVOL_OK
                                                                            : ENVOL_E_NO_MEMORY;
    *ctx = EVP_CIPHER_CTX_new();
    return *ctx != NULL && EVP_CipherInit_ex(*ctx, cipher, NULL, raw, NULL, encrypt) == 1
               ? ENVOL_OK
               : ENVOL_E_NO_MEMORY;
}

static void forget(void *key)
{
    struct contexts *contexts = key;

    EVP_CIPHER_CTX_free(contexts->encrypt);
    EVP_CIPHER_CTX_free(contexts->decrypt);
    *contexts = (struct contexts){NULL, NULL};
}

static enum envol_status block_init(void *key, const uint8_t raw[32])
{
    return context_init(&((struct contexts *)key)->encrypt, EVP_aes_256_ecb(), raw, 1);
}

static enum envol_status block_encrypt(const void *key, const uint8_t *in, uint8_t *out,
                                       size_t blocks)
{
    const struct contexts *contexts = key;
    int written;

    return EVP_EncryptUpdate(contexts->encrypt, out, &written, in, (int)(blocks * 16)) == 1
               ? ENVOL_OK
               : ENVOL_E_NO_MEMORY;
}

static enum envol_status gcm_init(void *key, const uint8_t raw[32])
{
    return context_init(&((struct contexts *)key)->encrypt, EVP_aes_256_gcm(), raw, 1);
}

static enum envol_status gcm_seal(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    EVP_CIPHER_CTX *ctx = ((const struct contexts *)key)->encrypt;
    uint8_t rest[16];
    int written;

    for (size_t i = 0; i < count; i++)
        if (EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, jobs[i].nonce) != 1 ||
            EVP_EncryptUpdate(ctx, NULL, &written, jobs[i].aad, (int)jobs[i].aad_bytes) != 1 ||
            EVP_EncryptUpdate(ctx, jobs[i].out, &written, jobs[i].in, (int)jobs[i].bytes) != 1 ||
            EVP_EncryptFinal_ex(ctx, rest, &written) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, jobs[i].tag) != 1)
            return ENVOL_E_NO_MEMORY;
    return ENVOL_OK;
}

static enum envol_status gcm_open(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    EVP_CIPHER_CTX *ctx = ((const struct contexts *)key)->encrypt;
    uint8_t rest[16];
    int written;

    for (size_t i = 0; i < count; i++) {
        if (EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, jobs[i].nonce) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, jobs[i].tag) != 1 ||
            EVP_DecryptUpdate(ctx, NULL, &written, jobs[i].aad, (int)jobs[i].aad_bytes) != 1 ||
            EVP_DecryptUpdate(ctx, jobs[i].out, &written, jobs[i].in, (int)jobs[i].bytes) != 1)
            return ENVOL_E_NO_MEMORY;
        jobs[i].failed = EVP_DecryptFinal_ex(ctx, rest, &written) != 1;
    }
    return ENVOL_OK;
}

static enum envol_status xts_init(void *key, const uint8_t raw[64])
{
    struct contexts *contexts = key;
    enum envol_status status = context_init(&contexts->encrypt, EVP_aes_256_xts(), raw, 1);

    return status == ENVOL_OK ? context_init(&contexts->decrypt, EVP_aes_256_xts(), raw, 0)
                              : status;
}

static enum envol_status xts_run(EVP_CIPHER_CTX *ctx, const struct envol_xts_job *jobs,
                                 size_t count)
{
    int written;

    for (size_t i = 0; i < count; i++)
        if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, jobs[i].tweak, -1) != 1 ||
            EVP_CipherUpdate(ctx, jobs[i].out, &written, jobs[i].in, (int)jobs[i].bytes) != 1)
            return ENVOL_E_NO_MEMORY;
    return ENVOL_OK;
}

static enum envol_status xts_encrypt(const void *key, const struct envol_xts_job *jobs,
                                     size_t count)
{
    return xts_run(((const struct contexts *)key)->encrypt, jobs, count);
}

static enum envol_status xts_decrypt(const void *key, const struct envol_xts_job *jobs,
                                     size_t count)
{
    return xts_run(((const struct contexts *)key)->decrypt, jobs, count);
}

static bool usable(void)
{
    return true;
}

static const struct envol_aes_kernel kernel = {
    .name = "libcrypto",
    .usable = usable,
    .block_key_bytes = sizeof(struct contexts),
    .gcm_key_bytes = sizeof(struct contexts),
    .xts_key_bytes = sizeof(struct contexts),
    .block_init = block_init,
    .block_encrypt = block_encrypt,
    .gcm_init = gcm_init,
    .gcm_seal = gcm_seal,
    .gcm_open = gcm_open,
    .xts_init = xts_init,
    .xts_encrypt = xts_encrypt,
    .xts_decrypt = xts_decrypt,
};

const struct bench_contestant *bench_direct_libcrypto(void)
{
    static const struct bench_contestant contestant = {"libcrypto", &kernel, forget};

    return &contestant;
}

#else

const struct bench_contestant *bench_direct_libcrypto(void)
{
    return NULL;
}

#endif
