/* SPDX-License-Identifier: BSD-2-Clause */
/* Known answers of GCM, XAES-256-GCM and XTS: both directions, in place and apart, unaligned too.
 */
#include "kat.h"
#include "page/xaes.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64u

/* Where text comes from and goes to, as distances from aligned addresses. */
static const struct placement {
    size_t in, out;
    bool in_place;
} placements[] = {
    {0, 0, false},
    {1, 3, false},
    {0, 0, true},
    {5, 5, true},
};
#define PLACEMENTS (sizeof(placements) / sizeof(placements[0]))

/* Two buffers that hold the text at any placement, and a byte that nobody may write. */
struct text {
    uint8_t *memory, *in, *out;
    size_t bytes;
};

static struct text text_new(size_t bytes)
{
    size_t each = (ALIGN + bytes + ALIGN) / ALIGN * ALIGN;
    struct text text = {.memory = kat_allocate(2 * each + ALIGN), .bytes = bytes};

    text.in = text.memory + (ALIGN - (uintptr_t)text.memory % ALIGN);
    text.out = text.in + each;
    return text;
}

static struct text text_placed(const struct text *text, const struct placement *at,
                               const struct kat_field *content)
{
    struct text placed = *text;

    placed.in = text->in + at->in;
    placed.out = at->in_place ? placed.in : text->out + at->out;
    memset(placed.out, 0xa5, placed.bytes + 1);
    if (content->bytes > 0)
        memcpy(placed.in, content->data, content->bytes);
    return placed;
}

/* The output is as expected, and what follows it is untouched. */
static bool holds(const struct text *text, const struct kat_field *expected)
{
    return text->out[text->bytes] == 0xa5 &&
           (text->bytes == 0 || memcmp(text->out, expected->data, text->bytes) == 0);
}

static bool holds_zeros(const struct text *text)
{
    size_t i = 0;

    while (i < text->bytes && text->out[i] == 0)
        i++;
    return i == text->bytes && text->out[text->bytes] == 0xa5;
}

/* An AES-256-GCM key, expanded, and the nonce of 12 bytes that goes with it. */
struct gcm {
    const struct envol_aes_kernel *kernel;
    const uint8_t *nonce;
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
};

static struct envol_gcm_job job_of(const struct gcm *gcm, const struct kat_line *line,
                                   const struct text *text, uint8_t tag[16])
{
    return (struct envol_gcm_job){.nonce = gcm->nonce,
                                  .aad = line->aad.data,
                                  .aad_bytes = line->aad.bytes,
                                  .in = text->in,
                                  .out = text->out,
                                  .bytes = text->bytes,
                                  .tag = tag};
}

static const char *seal(const struct gcm *gcm, const struct kat_line *line, const struct text *text)
{
    uint8_t tag[16] = {0};
    struct envol_gcm_job job = job_of(gcm, line, text, tag);

    if (gcm->kernel->gcm_seal(gcm->key, &job, 1) != ENVOL_OK)
        return "sealing fails";
    if (!holds(text, &line->cipher))
        return "sealing gives another ciphertext";
    return memcmp(tag, line->tag.data, sizeof(tag)) == 0 ? NULL : "sealing gives another tag";
}

static const char *open_valid(const struct gcm *gcm, const struct kat_line *line,
                              const struct text *text)
{
    struct envol_gcm_job job = job_of(gcm, line, text, line->tag.data);

    if (gcm->kernel->gcm_open(gcm->key, &job, 1) != ENVOL_OK)
        return "opening fails";
    if (job.failed)
        return "opening refuses the tag";
    return holds(text, &line->plain) ? NULL : "opening gives another plaintext";
}

static const char *open_invalid(const struct gcm *gcm, const struct kat_line *line,
                                const struct text *text)
{
    struct envol_gcm_job job = job_of(gcm, line, text, line->tag.data);

    if (gcm->kernel->gcm_open(gcm->key, &job, 1) != ENVOL_OK)
        return "opening fails";
    if (!job.failed)
        return "opening accepts the tag";
    return holds_zeros(text) ? NULL : "opening refuses the tag, and leaves more than zeros";
}

static const char *check_gcm_at(const struct gcm *gcm, const struct kat_line *line,
                                const struct text *text, const struct placement *at)
{
    struct text placed;
    const char *wrong = NULL;

    if (line->valid) {
        placed = text_placed(text, at, &line->plain);
        wrong = seal(gcm, line, &placed);
    }
    if (wrong != NULL)
        return wrong;
    placed = text_placed(text, at, &line->cipher);
    return line->valid ? open_valid(gcm, line, &placed) : open_invalid(gcm, line, &placed);
}

static const char *check_gcm(const struct gcm *gcm, const struct kat_line *line)
{
    struct text text = text_new(line->cipher.bytes);
    const char *wrong = NULL;

    for (size_t i = 0; i < PLACEMENTS && wrong == NULL; i++)
        wrong = check_gcm_at(gcm, line, &text, &placements[i]);
    free(text.memory);
    return wrong;
}

const char *kat_check_gcm(const struct envol_aes_kernel *kernel, const struct kat_line *line)
{
    struct gcm gcm = {.kernel = kernel, .nonce = line->nonce.data};

    if (kernel->gcm_init(gcm.key, line->key.data) != ENVOL_OK)
        return "the key is refused";
    return check_gcm(&gcm, line);
}

const char *kat_check_xaes(const struct envol_aes_kernel *kernel, const struct kat_line *line)
{
    struct gcm gcm = {.kernel = kernel, .nonce = line->nonce.data + ENVOL_XAES_SALT_BYTES};
    struct envol_xaes_key key;

    if (envol_xaes_init(kernel, &key, line->key.data) != ENVOL_OK ||
        envol_xaes_derive(kernel, &key, line->nonce.data, gcm.key) != ENVOL_OK)
        return "the key is refused";
    return check_gcm(&gcm, line);
}

static const char *check_xts_at(const struct envol_aes_kernel *kernel, const void *key,
                                const struct kat_line *line, const struct text *text,
                                const struct placement *at)
{
    struct text placed = text_placed(text, at, &line->plain);
    struct envol_xts_job unit = {.in = placed.in, .out = placed.out, .bytes = placed.bytes};

    memcpy(unit.tweak, line->nonce.data, sizeof(unit.tweak));
    if (kernel->xts_encrypt(key, &unit, 1) != ENVOL_OK)
        return "encryption refuses the length";
    if (!holds(&placed, &line->cipher))
        return "encryption gives another ciphertext";
    placed = text_placed(text, at, &line->cipher);
    if (kernel->xts_decrypt(key, &unit, 1) != ENVOL_OK)
        return "decryption refuses the length";
    return holds(&placed, &line->plain) ? NULL : "decryption gives another plaintext";
}

const char *kat_check_xts(const struct envol_aes_kernel *kernel, const struct kat_line *line)
{
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    struct text text;
    const char *wrong = NULL;

    if (kernel->xts_init(key, line->key.data) != ENVOL_OK)
        return "the key is refused";
    text = text_new(line->cipher.bytes);
    for (size_t i = 0; i < PLACEMENTS && wrong == NULL; i++)
        wrong = check_xts_at(kernel, key, line, &text, &placements[i]);
    free(text.memory);
    return wrong;
}
