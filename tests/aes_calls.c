/* SPDX-License-Identifier: BSD-2-Clause */
/* Every call of a kernel once, with keys in a mapping of their own. */
#include "aes_calls.h"

#include "support.h"
#include <sys/mman.h>

void *vault_new(size_t bytes)
{
    struct vault *vault =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_uint_ge(bytes, sizeof(*vault));
    ck_assert_ptr_ne(vault, MAP_FAILED);
    test_fill(vault->raw, sizeof(vault->raw));
    test_fill(vault->other, sizeof(vault->other));
    return vault;
}

static void call_gcm(struct calls *c)
{
    const struct envol_aes_kernel *k = c->kernel;
    struct envol_gcm_job job = {.nonce = c->nonce,
                                .aad = c->nonce,
                                .aad_bytes = 12,
                                .in = c->text,
                                .out = c->text,
                                .bytes = CALLS_TEXT_BYTES,
                                .tag = c->tag};

    c->failures += k->gcm_init(c->vault->gcm_key, c->vault->raw) != ENVOL_OK;
    c->failures += k->gcm_seal(c->vault->gcm_key, &job, 1) != ENVOL_OK;
    c->failures += k->gcm_open(c->vault->gcm_key, &job, 1) != ENVOL_OK || job.failed;
    c->tag[0] ^= 1;
    c->failures += k->gcm_open(c->vault->gcm_key, &job, 1) != ENVOL_OK || !job.failed;
}

void call_all(struct calls *c)
{
    const struct envol_aes_kernel *k = c->kernel;
    struct envol_xts_job unit = {.in = c->text, .out = c->text, .bytes = CALLS_TEXT_BYTES};

    c->failures += k->block_init(c->vault->block_key, c->vault->raw) != ENVOL_OK;
    c->failures += k->block_encrypt(c->vault->block_key, c->text, c->text, 6) != ENVOL_OK;
    call_gcm(c);
    if (k->xts_key_bytes == 0)
        return;
    c->failures += k->xts_init(c->vault->xts_key, c->vault->raw) != ENVOL_OK;
    c->failures += k->xts_encrypt(c->vault->xts_key, &unit, 1) != ENVOL_OK;
    c->failures += k->xts_decrypt(c->vault->xts_key, &unit, 1) != ENVOL_OK;
}
