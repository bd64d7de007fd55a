/* SPDX-License-Identifier: BSD-2-Clause */
/* Cobblestone-256: derivation, chunks in order, and whole messages (c2sp.org/chunked-encryption).
 */
#include "page/chunked.h"
#include "base/bytes.h"
#include "base/kdf.h"
#include "base/memory.h"
#include "base/random.h"

#include <string.h>

#define SEALED_CHUNK_BYTES (ENVOL_CHUNK_BYTES + ENVOL_CHUNKED_TAG_BYTES)
/* "Message chunking": 4 PiB, which stays below the wear-out of a key in counter mode. */
#define CHUNKS_MAX (UINT64_C(1) << 38)

/* What the KDF gives, in its order. */
struct derived {
    uint8_t key[32];
    uint8_t base_nonce[12];
    uint8_t commitment[ENVOL_CHUNKED_COMMITMENT_BYTES];
};
_Static_assert(sizeof(struct derived) == 76, "the KDF's output has no gaps");

uint64_t envol_chunked_bytes(uint64_t plain_bytes)
{
    /* Never a full last chunk: an empty one follows instead. */
    uint64_t chunks = plain_bytes / ENVOL_CHUNK_BYTES + 1;

    return ENVOL_CHUNKED_HEADER_BYTES + plain_bytes + chunks * ENVOL_CHUNKED_TAG_BYTES;
}

static void derive(const uint8_t key[32], const uint8_t *salt, const void *context,
                   size_t context_bytes, struct derived *derived)
{
    /* The NUL that ends the string literal is the separator. */
    static const char prefix[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM";
    const struct envol_part info[] = {
        {prefix, sizeof(prefix)},
        {salt, ENVOL_CHUNKED_SALT_BYTES},
        {context, context_bytes},
    };

    envol_hkdf_expand(key, 32, info, 3, derived, sizeof(*derived));
}

static enum envol_status start(struct envol_chunked *message, const struct derived *derived)
{
    message->kernel = envol_aes_kernel(false);
    if (message->kernel == NULL)
        return ENVOL_E_UNSUPPORTED;
    message->next = 0;
    message->ended = false;
    memcpy(message->base_nonce, derived->base_nonce, sizeof(message->base_nonce));
    return message->kernel->gcm_init(message->gcm_key, derived->key);
}

enum envol_status envol_chunked_seal_start(struct envol_chunked *message, const uint8_t key[32],
                                           const void *context, size_t context_bytes,
                                           uint8_t header[ENVOL_CHUNKED_HEADER_BYTES])
{
    struct derived derived;
    enum envol_status status = envol_random(header, ENVOL_CHUNKED_SALT_BYTES);

    if (status == ENVOL_OK) {
        derive(key, header, context, context_bytes, &derived);
        memcpy(header + ENVOL_CHUNKED_SALT_BYTES, derived.commitment, sizeof(derived.commitment));
        status = start(message, &derived);
        envol_wipe(&derived, sizeof(derived));
    }
    if (status != ENVOL_OK) {
        envol_wipe(message, sizeof(*message));
        memset(header, 0, ENVOL_CHUNKED_HEADER_BYTES);
    }
    return status;
}

enum envol_status envol_chunked_open_start(struct envol_chunked *message, const uint8_t key[32],
                                           const void *context, size_t context_bytes,
                                           const uint8_t header[ENVOL_CHUNKED_HEADER_BYTES])
{
    struct derived derived;
    enum envol_status status = ENVOL_E_WRONG_KEY;

    derive(key, header, context, context_bytes, &derived);
    if (envol_equal(derived.commitment, header + ENVOL_CHUNKED_SALT_BYTES,
                    sizeof(derived.commitment)))
        status = start(message, &derived);
    envol_wipe(&derived, sizeof(derived));
    if (status != ENVOL_OK)
        envol_wipe(message, sizeof(*message));
    return status;
}

/* Whether a chunk of so many bytes of plaintext may come next. */
static enum envol_status check_next(const struct envol_chunked *message, size_t bytes)
{
    /* A message that failed to start has no kernel. */
    if (message->ended || message->kernel == NULL)
        return ENVOL_E_STATE;
    if (bytes > ENVOL_CHUNK_BYTES)
        return ENVOL_E_ARGUMENT;
    return message->next < CHUNKS_MAX ? ENVOL_OK : ENVOL_E_RANGE;
}

static void nonce_of_next(const struct envol_chunked *message, uint8_t nonce[12])
{
    memcpy(nonce, message->base_nonce, 12);
    envol_store64be(nonce + 4, envol_load64be(nonce + 4) ^ message->next);
}

/* A short chunk was the last one: its key is of no use any more. */
static void advance(struct envol_chunked *message, size_t bytes)
{
    message->next++;
    if (bytes == ENVOL_CHUNK_BYTES)
        return;
    message->ended = true;
    envol_wipe(message->base_nonce, sizeof(message->base_nonce));
    envol_wipe(message->gcm_key, sizeof(message->gcm_key));
}

enum envol_status envol_chunk_seal(struct envol_chunked *message, const uint8_t *in, size_t bytes,
                                   uint8_t *out)
{
    uint8_t nonce[12];
    struct envol_gcm_job job = {
        .nonce = nonce, .in = in, .out = out, .bytes = bytes, .tag = out + bytes};
    enum envol_status status = check_next(message, bytes);

    if (status == ENVOL_OK) {
        nonce_of_next(message, nonce);
        status = message->kernel->gcm_seal(message->gcm_key, &job, 1);
    }
    if (status == ENVOL_OK)
        advance(message, bytes);
    else
        memset(out, 0, bytes + ENVOL_CHUNKED_TAG_BYTES);
    return status;
}

enum envol_status envol_chunk_open(struct envol_chunked *message, const uint8_t *in,
                                   size_t sealed_bytes, uint8_t *out)
{
    uint8_t nonce[12], tag[ENVOL_CHUNKED_TAG_BYTES];
    size_t bytes = sealed_bytes - ENVOL_CHUNKED_TAG_BYTES;
    struct envol_gcm_job job = {.nonce = nonce, .in = in, .out = out, .bytes = bytes, .tag = tag};
    enum envol_status status;

    if (sealed_bytes < ENVOL_CHUNKED_TAG_BYTES)
        return ENVOL_E_TRUNCATED;
    status = check_next(message, bytes);
    if (status == ENVOL_OK) {
        nonce_of_next(message, nonce);
        memcpy(tag, in + bytes, sizeof(tag));
        status = message->kernel->gcm_open(message->gcm_key, &job, 1);
    }
    if (status == ENVOL_OK && job.failed)
        status = ENVOL_E_CORRUPT;
    if (status == ENVOL_OK)
        advance(message, bytes);
    else if (bytes > 0)
        memset(out, 0, bytes);
    return status;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum envol_status envol_chunked_seal(const uint8_t key[32], const void *context,
                                     size_t context_bytes, const void *plain, size_t plain_bytes,
                                     void *message)
{
    struct envol_chunked chunked;
    const uint8_t *in = plain;
    uint8_t *out = message;
    size_t left = plain_bytes;
    enum envol_status status = envol_chunked_seal_start(&chunked, key, context, context_bytes, out);

    out += ENVOL_CHUNKED_HEADER_BYTES;
    while (status == ENVOL_OK && !chunked.ended) {
        size_t bytes = smaller(left, ENVOL_CHUNK_BYTES);
        status = envol_chunk_seal(&chunked, in, bytes, out);
        in = bytes > 0 ? in + bytes : in;
        out += bytes + ENVOL_CHUNKED_TAG_BYTES;
        left -= bytes;
    }
    envol_wipe(&chunked, sizeof(chunked));
    if (status != ENVOL_OK)
        memset(message, 0, (size_t)envol_chunked_bytes(plain_bytes));
    return status;
}

/*
 * Plaintext of a message of so many bytes, tags of full chunks taken off; *whole says whether a
 * last chunk shorter than 16 KiB is there, at least its tag.
 */
static size_t plain_bytes_of(size_t message_bytes, bool *whole)
{
    size_t body, last;

    *whole = false;
    if (message_bytes < ENVOL_CHUNKED_HEADER_BYTES)
        return 0;
    body = message_bytes - ENVOL_CHUNKED_HEADER_BYTES;
    last = body % SEALED_CHUNK_BYTES;
    *whole = last >= ENVOL_CHUNKED_TAG_BYTES;
    return body / SEALED_CHUNK_BYTES * ENVOL_CHUNK_BYTES +
           (*whole ? last - ENVOL_CHUNKED_TAG_BYTES : 0);
}

static enum envol_status open_chunks(struct envol_chunked *chunked, const uint8_t *in,
                                     size_t sealed_bytes, uint8_t *out)
{
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && !chunked->ended) {
        size_t bytes = smaller(sealed_bytes, SEALED_CHUNK_BYTES);
        status = envol_chunk_open(chunked, in, bytes, out);
        in += bytes;
        sealed_bytes -= bytes;
        /* A message of no bytes may come without a buffer. */
        if (bytes > ENVOL_CHUNKED_TAG_BYTES)
            out += bytes - ENVOL_CHUNKED_TAG_BYTES;
    }
    return status;
}

enum envol_status envol_chunked_open(const uint8_t key[32], const void *context,
                                     size_t context_bytes, const void *message,
                                     size_t message_bytes, void *plain, size_t *plain_bytes)
{
    struct envol_chunked chunked;
    bool whole;
    size_t expected = plain_bytes_of(message_bytes, &whole);
    enum envol_status status = ENVOL_E_TRUNCATED;

    *plain_bytes = 0;
    if (whole)
        status = envol_chunked_open_start(&chunked, key, context, context_bytes, message);
    if (status == ENVOL_OK) {
        status = open_chunks(&chunked, (const uint8_t *)message + ENVOL_CHUNKED_HEADER_BYTES,
                             message_bytes - ENVOL_CHUNKED_HEADER_BYTES, plain);
        envol_wipe(&chunked, sizeof(chunked));
    }
    if (status == ENVOL_OK)
        *plain_bytes = expected;
    else if (expected > 0)
        memset(plain, 0, expected);
    return status;
}
