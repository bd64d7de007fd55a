/* SPDX-License-Identifier: BSD-2-Clause */
/* XAES-256-GCM's keys: SP 800-108 in counter mode with CMAC, each output block one AES block. */
#include "page/xaes.h"
#include "base/bytes.h"
#include "base/memory.h"

/* Doubling in GF(2^128), SP 800-38B, 6.1, without a branch on the key's bits. */
static void double_block(uint8_t block[16])
{
    uint8_t carry = (uint8_t)(0x87 & -(block[0] >> 7));

    for (size_t i = 0; i < 15; i++)
        block[i] = (uint8_t)(block[i] << 1 | block[i + 1] >> 7);
    block[15] = (uint8_t)(block[15] << 1 ^ carry);
}

enum envol_status envol_xaes_init(const struct envol_aes_kernel *kernel, struct envol_xaes_key *key,
                                  const uint8_t raw[32])
{
    static const uint8_t zeros[16];
    enum envol_status status = kernel->block_init(key->block_key, raw);

    if (status == ENVOL_OK)
        status = kernel->block_encrypt(key->block_key, zeros, key->k1, 1);
    if (status == ENVOL_OK)
        double_block(key->k1);
    else
        envol_wipe(key, sizeof(*key));
    return status;
}

/* M1 or M2 of the specification, counter, label "X", separator, salt, plus K1 of CMAC: the block
 * that CMAC encrypts. */
static void message(uint32_t counter, const uint8_t salt[12], const uint8_t k1[16], uint8_t out[16])
{
    uint64_t prefix = counter << 8 | (uint32_t)'X' << 16;

    envol_store64(out, (prefix | (uint64_t)envol_load32(salt) << 32) ^ envol_load64(k1));
    envol_store64(out + 8, envol_load64(salt + 4) ^ envol_load64(k1 + 8));
}

enum envol_status envol_xaes_derive(const struct envol_aes_kernel *kernel,
                                    const struct envol_xaes_key *key, const uint8_t salt[12],
                                    void *gcm_key)
{
    uint8_t derived[32];
    enum envol_status status;

    message(1, salt, key->k1, derived);
    message(2, salt, key->k1, derived + 16);
    if (kernel->gcm_derive != NULL) {
        status = kernel->gcm_derive(gcm_key, key->block_key, derived);
    } else {
        status = kernel->block_encrypt(key->block_key, derived, derived, 2);
        if (status == ENVOL_OK)
            status = kernel->gcm_init(gcm_key, derived);
    }
    if (status != ENVOL_OK)
        envol_wipe(gcm_key, kernel->gcm_key_bytes);
    envol_wipe(derived, sizeof(derived));
    return status;
}
