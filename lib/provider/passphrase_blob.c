/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passphrase to key to wrapped DEK.  What a blob asks for is checked before anything is allocated:
 * it comes from a header that nobody has authenticated.
 */
#include "provider/passphrase.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "page/chunked.h"
#include <sodium.h>
#include <string.h>

enum {
    AT_VERSION = 0,
    AT_ZERO = 1,
    AT_MEMORY = 4,
    AT_PASSES = 8,
    AT_LANES = 12,
    AT_SALT = 16,
    AT_WRAP = 32,
    BLOB_VERSION = 1,
    LANES = 1, /* all that libsodium does */
    KEY_BYTES = 32
};

_Static_assert(AT_SALT + crypto_pwhash_argon2id_SALTBYTES == AT_WRAP, "a salt of 16 bytes");
_Static_assert(AT_WRAP + ENVOL_LOCAL_WRAP_BYTES == ENVOL_PASSPHRASE_BLOB_BYTES, "the whole blob");

int envol_passphrase_cost_fits(const struct envol_passphrase_cost *cost)
{
    return cost->memory_kib >= ENVOL_PASSPHRASE_MEMORY_KIB_MIN &&
           cost->memory_kib <= ENVOL_PASSPHRASE_MEMORY_KIB_MAX &&
           cost->passes >= ENVOL_PASSPHRASE_PASSES_MIN &&
           cost->passes <= ENVOL_PASSPHRASE_PASSES_MAX;
}

enum envol_status envol_passphrase_read_cost(const uint8_t *blob, size_t blob_bytes,
                                             struct envol_passphrase_cost *cost,
                                             struct envol_error *error)
{
    if (blob_bytes != ENVOL_PASSPHRASE_BLOB_BYTES)
        return envol_fail(error, ENVOL_E_CORRUPT, "wrapped DEK of %zu bytes, not %u", blob_bytes,
                          ENVOL_PASSPHRASE_BLOB_BYTES);
    if (blob[AT_VERSION] != BLOB_VERSION)
        return envol_fail(error, ENVOL_E_VERSION, "wrapped DEK of version %u, not %d",
                          blob[AT_VERSION], BLOB_VERSION);
    cost->memory_kib = envol_load32(blob + AT_MEMORY);
    cost->passes = envol_load32(blob + AT_PASSES);
    if (!envol_is_zero(blob + AT_ZERO, AT_MEMORY - AT_ZERO) ||
        envol_load32(blob + AT_LANES) != LANES || !envol_passphrase_cost_fits(cost))
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "wrapped DEK asks for %u KiB and %u passes of Argon2id in %u lanes, "
                          "which is out of bounds",
                          cost->memory_kib, cost->passes, envol_load32(blob + AT_LANES));
    return ENVOL_OK;
}

/* sodium_init chooses the fastest Argon2id; what it needs of memory, libsodium maps and unmaps. */
static enum envol_status stretch(const struct envol_passphrase *passphrase,
                                 const struct envol_passphrase_cost *cost, const uint8_t *salt,
                                 uint8_t *key, struct envol_error *error)
{
    if (sodium_init() < 0)
        return envol_fail(error, ENVOL_E_UNSUPPORTED, "libsodium does not start");
    if (crypto_pwhash_argon2id(key, KEY_BYTES, (const char *)passphrase->bytes, passphrase->size,
                               salt, cost->passes, (size_t)cost->memory_kib * 1024,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0)
        return envol_fail(error, ENVOL_E_NO_MEMORY, "no memory for Argon2id, which needs %u KiB",
                          cost->memory_kib);
    return ENVOL_OK;
}

static enum envol_status encode_context(const struct envol_key_request *request, uint8_t *context,
                                        size_t *bytes, struct envol_error *error)
{
    enum envol_status status = envol_context_encode(request->context, request->context_pairs,
                                                    context, ENVOL_CONTEXT_BYTES_MAX, bytes);

    return status == ENVOL_OK ? ENVOL_OK : envol_fail(error, status, "encryption context");
}

static enum envol_status fill(const struct envol_passphrase_cost *cost, uint8_t *blob)
{
    memset(blob, 0, AT_WRAP);
    blob[AT_VERSION] = BLOB_VERSION;
    envol_store32(blob + AT_MEMORY, cost->memory_kib);
    envol_store32(blob + AT_PASSES, cost->passes);
    envol_store32(blob + AT_LANES, LANES);
    return envol_random(blob + AT_SALT, AT_WRAP - AT_SALT);
}

enum envol_status envol_passphrase_seal(const struct envol_passphrase *passphrase,
                                        const struct envol_passphrase_cost *cost, uint32_t flags,
                                        const struct envol_key_request *request,
                                        const uint8_t dek[ENVOL_DEK_BYTES], uint8_t *blob,
                                        struct envol_error *error)
{
    uint8_t context[ENVOL_CONTEXT_BYTES_MAX];
    size_t context_bytes = 0;
    void *key = NULL;
    enum envol_status status = encode_context(request, context, &context_bytes, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_arena_alloc(KEY_BYTES, flags, &key);
    if (status == ENVOL_OK)
        status = fill(cost, blob);
    if (status != ENVOL_OK) {
        envol_fail(error, status, NULL);
        goto out;
    }
    status = stretch(passphrase, cost, blob + AT_SALT, key, error);
    if (status != ENVOL_OK)
        goto out;
    status = envol_chunked_seal(key, context, context_bytes, dek, ENVOL_DEK_BYTES, blob + AT_WRAP);
    if (status != ENVOL_OK)
        envol_fail(error, status, NULL);
out:
    envol_arena_free(key, KEY_BYTES);
    return status;
}

/* What does not verify: another passphrase, another context, or a changed blob. */
static enum envol_status unwrap(const uint8_t *key, const uint8_t *context, size_t context_bytes,
                                const uint8_t *wrap, uint8_t *dek, struct envol_error *error)
{
    size_t dek_bytes = 0;
    enum envol_status status = envol_chunked_open(key, context, context_bytes, wrap,
                                                  ENVOL_LOCAL_WRAP_BYTES, dek, &dek_bytes);

    if (status == ENVOL_E_WRONG_KEY || status == ENVOL_E_CORRUPT || status == ENVOL_E_TRUNCATED)
        return envol_fail(error, ENVOL_E_WRONG_KEY,
                          "the passphrase is not the one that wrapped this DEK");
    return status == ENVOL_OK ? ENVOL_OK : envol_fail(error, status, NULL);
}

enum envol_status envol_passphrase_open(const struct envol_passphrase *passphrase,
                                        const struct envol_passphrase_cost *cost, uint32_t flags,
                                        const struct envol_key_request *request,
                                        const uint8_t *blob, uint8_t dek[ENVOL_DEK_BYTES],
                                        struct envol_error *error)
{
    uint8_t context[ENVOL_CONTEXT_BYTES_MAX];
    size_t context_bytes = 0;
    void *key = NULL;
    enum envol_status status = encode_context(request, context, &context_bytes, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_arena_alloc(KEY_BYTES, flags, &key);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = stretch(passphrase, cost, blob + AT_SALT, key, error);
    if (status == ENVOL_OK)
        status = unwrap(key, context, context_bytes, blob + AT_WRAP, dek, error);
    envol_arena_free(key, KEY_BYTES);
    return status;
}
