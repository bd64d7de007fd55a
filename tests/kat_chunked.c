/* SPDX-License-Identifier: BSD-2-Clause */
/* Known answers of Cobblestone-256: opened whole, and taken apart and put together in chunks. */
#include "kat.h"
#include "page/chunked.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES    32u
#define SEALED_CHUNK (ENVOL_CHUNK_BYTES + ENVOL_CHUNKED_TAG_BYTES)

static const char *check_opened(const struct kat_line *line, enum envol_status status,
                                const uint8_t *plain, size_t bytes)
{
    uint8_t hash[crypto_hash_sha512_BYTES];

    if (status != ENVOL_OK)
        return envol_status_name(status);
    crypto_hash_sha512(hash, plain, bytes);
    return memcmp(hash, line->plain.data, sizeof(hash)) == 0 ? NULL
                                                             : "opening gives another plaintext";
}

/* A refusal says what is wrong with the message; anything else is a failure of ours. */
static const char *check_refused(enum envol_status status, const uint8_t *plain, size_t room,
                                 size_t bytes)
{
    size_t i = 0;

    if (status == ENVOL_OK)
        return "opening accepts it";
    if (status != ENVOL_E_WRONG_KEY && status != ENVOL_E_CORRUPT && status != ENVOL_E_TRUNCATED)
        return envol_status_name(status);
    while (i < room && plain[i] == 0)
        i++;
    return i == room && bytes == 0 ? NULL : "opening refuses it, and leaves more than zeros";
}

/* Opened as a whole, from and to addresses that are so far from aligned ones. */
static const char *open_whole(const struct kat_line *line, size_t shift)
{
    size_t room = line->cipher.bytes, bytes = 0;
    uint8_t *message = kat_allocate(room + shift), *plain = kat_allocate(room + shift);
    const char *wrong;
    enum envol_status status;

    if (room > 0)
        memcpy(message + shift, line->cipher.data, room);
    /* Zeros, so that whatever a refused message leaves shows. */
    memset(plain, 0, room + shift);
    status = envol_chunked_open(line->key.data, line->aad.data, line->aad.bytes, message + shift,
                                room, plain + shift, &bytes);
    wrong = line->valid ? check_opened(line, status, plain + shift, bytes)
                        : check_refused(status, plain + shift, room, bytes);
    free(message);
    free(plain);
    return wrong;
}

/*
 * Each chunk opened and sealed again in one buffer: a message that was started for opening knows
 * the key and the nonces of the original, so the same bytes must come out.
 */
static const char *reseal_chunks(struct envol_chunked *opening, struct envol_chunked *sealing,
                                 const struct kat_line *line)
{
    const uint8_t *sealed = line->cipher.data + ENVOL_CHUNKED_HEADER_BYTES;
    size_t left = line->cipher.bytes - ENVOL_CHUNKED_HEADER_BYTES;
    uint8_t chunk[SEALED_CHUNK];

    while (!opening->ended) {
        size_t bytes = left < SEALED_CHUNK ? left : SEALED_CHUNK;
        memcpy(chunk, sealed, bytes);
        if (envol_chunk_open(opening, chunk, bytes, chunk) != ENVOL_OK)
            return "a chunk cannot be opened in place";
        if (envol_chunk_seal(sealing, chunk, bytes - ENVOL_CHUNKED_TAG_BYTES, chunk) != ENVOL_OK)
            return "a chunk cannot be sealed in place";
        if (memcmp(chunk, sealed, bytes) != 0)
            return "sealing gives another message";
        sealed += bytes;
        left -= bytes;
    }
    return left == 0 ? NULL : "it goes on after its last chunk";
}

static const char *reseal(const struct kat_line *line)
{
    struct envol_chunked opening, sealing;

    if (envol_chunked_open_start(&opening, line->key.data, line->aad.data, line->aad.bytes,
                                 line->cipher.data) != ENVOL_OK ||
        envol_chunked_open_start(&sealing, line->key.data, line->aad.data, line->aad.bytes,
                                 line->cipher.data) != ENVOL_OK)
        return "the header is refused";
    return reseal_chunks(&opening, &sealing, line);
}

const char *kat_check_chunked(const struct envol_aes_kernel *kernel, const struct kat_line *line)
{
    const char *wrong;

    /* The library has no way to pass such a key. */
    if (line->key.bytes != KEY_BYTES)
        return line->valid ? "KEY is not 32 bytes" : NULL;
    if (!envol_aes_kernel_force(kernel->name))
        return "the kernel cannot be forced";
    wrong = open_whole(line, 0);
    if (wrong == NULL)
        wrong = open_whole(line, 1);
    if (wrong == NULL && line->valid)
        wrong = reseal(line);
    return wrong;
}
