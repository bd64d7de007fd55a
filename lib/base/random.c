/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * getrandom(2), with short and interrupted reads completed, and a source that repeats itself
 * refused: a stuck source would otherwise repeat nonces.
 */
#include "base/random.h"

#include "base/memory.h"
#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

enum { WORD_BYTES = 8, EQUAL_BYTES = 12 };

/* Of the process's last draw: a source that is stuck must not give two threads the same. */
static _Atomic uint64_t last_word;

/*
 * Not cut into pieces of 256 bytes, which the kernel serves without looking at signals: longer
 * draws may come back short after a signal, and the loop goes on with the rest.
 */
static bool draw(uint8_t *out, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = getrandom(out, bytes, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || (size_t)got > bytes)
            return false;
        out += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool all_equal(const uint8_t *data, size_t bytes)
{
    return memcmp(data, data + 1, bytes - 1) == 0;
}

/* Of the first word of a draw.  A fingerprint, because that word may have been part of a key. */
static uint64_t fingerprint(const uint8_t *data)
{
    static const uint8_t public_key[crypto_shorthash_KEYBYTES] = "envol last word";
    uint64_t word;

    _Static_assert(sizeof(word) == crypto_shorthash_BYTES, "a fingerprint is a word");
    crypto_shorthash((uint8_t *)&word, data, WORD_BYTES, public_key);
    return word;
}

static enum envol_status refuse(void *out, size_t bytes)
{
    envol_wipe(out, bytes);
    return ENVOL_E_RANDOM;
}

enum envol_status envol_random_next(void *out, size_t bytes, uint64_t *last)
{
    uint64_t before = *last;

    if (!draw(out, bytes) || (bytes >= EQUAL_BYTES && all_equal(out, bytes)))
        return refuse(out, bytes);
    *last = fingerprint(out);
    return *last != before ? ENVOL_OK : refuse(out, bytes);
}

/* A draw shorter than a word says too little: equal ones are not rare enough. */
enum envol_status envol_random_first(void *out, size_t bytes, uint64_t *last)
{
    if (!draw(out, bytes) || (bytes >= EQUAL_BYTES && all_equal(out, bytes)))
        return refuse(out, bytes);
    if (bytes < WORD_BYTES)
        return ENVOL_OK;
    *last = fingerprint(out);
    return atomic_exchange(&last_word, *last) != *last ? ENVOL_OK : refuse(out, bytes);
}

enum envol_status envol_random(void *out, size_t bytes)
{
    uint64_t last;

    return envol_random_first(out, bytes, &last);
}
