/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Template: a whole kernel over the vectors of a tier.  The includer has included them, and defines
 * TIER_KERNEL, the vtable's name, TIER_NAME, and TIER_FEATURES, the ENVOL_CPU_* bits it needs.
 *
 * Key material is in the expanded keys, in registers, and where the compiler spills them below the
 * frames of the functions here, which wipe that before they return.
 */
#include "aes/kernels.h"
#include "base/cpu.h"
#include "base/memory.h"

/*
 * Functions that handle secrets: each has a frame of its own below the one that wipes, and empties
 * the registers that it used where the compiler knows how.
 */
#if !defined(__has_attribute)
#define __has_attribute(name) 0
#endif
#if __has_attribute(zero_call_used_regs)
#define WORK TARGET __attribute__((noinline, zero_call_used_regs("used"))) static
#else
#define WORK TARGET __attribute__((noinline)) static
#endif
#if __has_attribute(no_stack_protector)
#define NO_CANARY __attribute__((no_stack_protector))
#else
#define NO_CANARY
#endif

/*
 * What the frames of those functions need, and some: the compiler spills at most a few stripes of
 * vectors.  Without optimisation every value has a place of its own.
 */
#if defined(__OPTIMIZE__)
#define FRAMES_WIPE_BYTES 1024u
#else
#define FRAMES_WIPE_BYTES 262144u
#endif

#include "aes/cipher.h"

#include "aes/ghash.h"

#include "aes/gcm.h"
#include "aes/xts.h"

#define KEY_BYTES(type) ((sizeof(type) + 63) / 64 * 64)

_Static_assert(KEY_BYTES(struct gcm_key) <= ENVOL_AES_KEY_MAX, "ENVOL_AES_KEY_MAX is too small");
_Static_assert(KEY_BYTES(struct xts_key) <= ENVOL_AES_KEY_MAX, "ENVOL_AES_KEY_MAX is too small");

static bool usable(void)
{
    return (envol_cpu_features() & TIER_FEATURES) == TIER_FEATURES;
}

/*
 * Called where those functions were, so that its frame covers theirs: no canary, and no alignment
 * beyond the stack's own, keeps its array from where their first values lay.
 */
NO_CANARY TARGET __attribute__((noinline)) static void wipe_frames(void)
{
    uint8_t frames[FRAMES_WIPE_BYTES];
    vec zero = vec_zero();

    /* Hidden, lest the loop become a call or a string instruction, which take longer to start. */
    vec_pin(&zero);
    for (size_t i = 0; i < sizeof(frames); i += VEC_BYTES)
        vec_store(frames + i, zero);
    __asm__ volatile("" : : "r"(frames) : "memory");
}

WORK void expand(struct cipher *key, const uint8_t raw[32])
{
    cipher_expand(key, block_load(raw), block_load(raw + 16));
}

static enum envol_status block_init(void *key, const uint8_t raw[32])
{
    expand(key, raw);
    wipe_frames();
    return ENVOL_OK;
}

WORK void encrypt_blocks(const struct cipher *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    for (; blocks > 0; blocks--, in += 16, out += 16)
        block_store(out, cipher_block(key, block_load(in)));
}

static enum envol_status block_encrypt(const void *key, const uint8_t *in, uint8_t *out,
                                       size_t blocks)
{
    encrypt_blocks(key, in, out, blocks);
    wipe_frames();
    return ENVOL_OK;
}

static enum envol_status gcm_init(void *key, const uint8_t raw[32])
{
    gcm_expand_raw(key, raw);
    wipe_frames();
    return ENVOL_OK;
}

static enum envol_status gcm_derive(void *key, const void *block_key, const uint8_t in[32])
{
    gcm_expand_derived(key, block_key, in);
    wipe_frames();
    return ENVOL_OK;
}

static enum envol_status gcm_seal(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    enum envol_status status = envol_gcm_jobs_check(jobs, count);

    for (size_t i = 0; status == ENVOL_OK && i < count; i++)
        gcm_seal_job(key, &jobs[i]);
    wipe_frames();
    return status;
}

static enum envol_status gcm_open(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    enum envol_status status = envol_gcm_jobs_check(jobs, count);

    for (size_t i = 0; status == ENVOL_OK && i < count; i++) {
        gcm_open_job(key, &jobs[i]);
        if (jobs[i].failed)
            envol_gcm_open_fail(&jobs[i], 1);
    }
    wipe_frames();
    return status;
}

static enum envol_status xts_init(void *key, const uint8_t raw[64])
{
    if (envol_equal(raw, raw + 32, 32))
        return ENVOL_E_ARGUMENT;
    xts_expand(key, raw);
    wipe_frames();
    return ENVOL_OK;
}

static enum envol_status xts_run(const void *key, const struct envol_xts_job *jobs, size_t count,
                                 void (*run)(const struct xts_key *, const struct envol_xts_job *,
                                             size_t))
{
    enum envol_status status = envol_xts_jobs_check(jobs, count);

    for (size_t n; status == ENVOL_OK && count > 0; jobs += n, count -= n) {
        n = count < XTS_AHEAD ? count : XTS_AHEAD;
        run(key, jobs, n);
    }
    wipe_frames();
    return status;
}

static enum envol_status xts_encrypt(const void *key, const struct envol_xts_job *jobs,
                                     size_t count)
{
    return xts_run(key, jobs, count, xts_encrypt_jobs);
}

static enum envol_status xts_decrypt(const void *key, const struct envol_xts_job *jobs,
                                     size_t count)
{
    return xts_run(key, jobs, count, xts_decrypt_jobs);
}

const struct envol_aes_kernel TIER_KERNEL = {
    .name = TIER_NAME,
    .usable = usable,
    .block_key_bytes = KEY_BYTES(struct cipher),
    .gcm_key_bytes = KEY_BYTES(struct gcm_key),
    .xts_key_bytes = KEY_BYTES(struct xts_key),
    .block_init = block_init,
    .block_encrypt = block_encrypt,
    .gcm_init = gcm_init,
    .gcm_derive = gcm_derive,
    .gcm_seal = gcm_seal,
    .gcm_open = gcm_open,
    .xts_init = xts_init,
    .xts_encrypt = xts_encrypt,
    .xts_decrypt = xts_decrypt,
};
