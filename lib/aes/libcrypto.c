/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel "libcrypto": OpenSSL 3's EVP, in the default library context, so that an application's
 * choice of providers (FIPS) holds here too.
 *
 * EVP contexts live in OpenSSL's heap, where a key of ours may be while a call runs, and no longer.
 * So an expanded key is the raw key in the caller's memory, and a pool of contexts is made once: a
 * call takes one, sets the key, works, and sets a key of no meaning, which overwrites round keys
 * and GHASH tables, before it gives the context back.  Nothing is allocated or locked then, unless
 * more than POOL_CONTEXTS calls run at once: such a call makes a context for itself.
 *
 * The pool is never freed.  At exit it would have to go before OpenSSL's own atexit handler, and a
 * volume that is closed by an earlier handler of the application would find nothing to close with.
 * A forked child has a copy.  Contexts that other threads held at the fork keep their keys in it
 * until calls of the child take them over.
 */
#if ENVOL_WITH_LIBCRYPTO

#include "aes/kernels.h"
#include "base/arena.h"
#include "base/memory.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>

enum use { USE_BLOCK, USE_GCM, USE_XTS, USES };

static const char *const cipher_names[USES] = {"AES-256-ECB", "AES-256-GCM", "AES-256-XTS"};

/* As many calls of one kind at once go without allocating: threads in the middle of one. */
#define POOL_CONTEXTS 64u
/* EVP takes lengths as int; a multiple of the block, so that only a last part has a rest. */
#define UPDATE_BYTES_MAX (1u << 30)
/* Two lines of cache: neighbours are taken by different cores. */
#define SLOT_BYTES 128u

/*
 * holder is 0, or the generation of the process in which a call has the slot.  What was held by a
 * process that this one was forked from is free: that call is not going on here.  (It would be
 * after a signal handler that interrupts a call, forks, and returns in the child.  fork(2) allows
 * that to no program with threads.)
 */
struct slot {
    _Atomic uint64_t holder;
    EVP_CIPHER_CTX *ctx; /* of whoever holds the slot; NULL after one that had to be freed */
    char apart[SLOT_BYTES - 2 * sizeof(void *)];
};

struct pool {
    EVP_CIPHER *cipher[USES];
    struct slot slots[USES][POOL_CONTEXTS];
};

static _Atomic(struct pool *) published;

/* A context in use.  slot is NULL where the context was made for this call alone. */
struct lease {
    EVP_CIPHER_CTX *ctx;
    struct slot *slot;
};

/* Leaves nothing of the last key in a context.  XTS refuses equal halves, whatever they are. */
static bool forget_key(EVP_CIPHER_CTX *ctx)
{
    static const uint8_t no_key[64] = {[32] = 1};

    return EVP_CipherInit_ex2(ctx, NULL, no_key, NULL, 1, NULL) == 1;
}

/* Without a key; NULL without memory. */
static EVP_CIPHER_CTX *context_try(const struct pool *pool, enum use use)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    /* The first key makes OpenSSL allocate all that the context will ever need. */
    if (ctx != NULL && EVP_CipherInit_ex2(ctx, pool->cipher[use], NULL, NULL, 1, NULL) == 1 &&
        EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 && forget_key(ctx))
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

/* What fails is ours to report: the application's queue of OpenSSL's errors stays as it was. */
static EVP_CIPHER_CTX *context_new(const struct pool *pool, enum use use)
{
    EVP_CIPHER_CTX *ctx;

    ERR_set_mark();
    ctx = context_try(pool, use);
    ERR_pop_to_mark();
    return ctx;
}

static void pool_free(struct pool *pool)
{
    for (size_t use = 0; use < USES; use++) {
        for (size_t i = 0; i < POOL_CONTEXTS; i++)
            EVP_CIPHER_CTX_free(pool->slots[use][i].ctx);
        EVP_CIPHER_free(pool->cipher[use]);
    }
    OPENSSL_free(pool);
}

static bool pool_fill(struct pool *pool, enum use use)
{
    ERR_set_mark();
    pool->cipher[use] = EVP_CIPHER_fetch(NULL, cipher_names[use], NULL);
    ERR_pop_to_mark();
    for (size_t i = 0; pool->cipher[use] != NULL && i < POOL_CONTEXTS; i++) {
        pool->slots[use][i].ctx = context_new(pool, use);
        if (pool->slots[use][i].ctx == NULL)
            return false;
    }
    return pool->cipher[use] != NULL;
}

/* From OpenSSL's allocator, not from the caller's, which may go once all handles are closed. */
static struct pool *pool_new(void)
{
    struct pool *pool = OPENSSL_zalloc(sizeof(*pool));
    bool made = pool != NULL;

    for (enum use use = 0; made && use < USES; use++)
        made = pool_fill(pool, use);
    if (made || pool == NULL)
        return pool;
    pool_free(pool);
    return NULL;
}

static struct pool *pool_get(void)
{
    struct pool *pool = atomic_load_explicit(&published, memory_order_acquire);
    struct pool *other = NULL;

    if (pool != NULL)
        return pool;
    pool = pool_new();
    if (pool != NULL && !atomic_compare_exchange_strong(&published, &other, pool)) {
        pool_free(pool);
        pool = other;
    }
    return pool;
}

/*
 * Where to begin the search: stacks of threads lie apart, so that each mostly finds the context it
 * had before, in its own cache.  2^64 over the golden ratio spreads addresses.
 */
static size_t first_slot(const void *frame)
{
    uint64_t page = (uint64_t)(uintptr_t)frame >> 16;

    return (size_t)(page * UINT64_C(0x9e3779b97f4a7c15) >> 32) % POOL_CONTEXTS;
}

static bool slot_try(struct slot *slot, uint64_t here)
{
    uint64_t holder = atomic_load_explicit(&slot->holder, memory_order_relaxed);

    return holder != here &&
           atomic_compare_exchange_strong_explicit(&slot->holder, &holder, here,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* NULL where all are in use, or where nobody can tell which process this is. */
static struct slot *slot_take(struct pool *pool, enum use use)
{
    size_t first = first_slot(&pool);
    uint64_t here = envol_process_generation();

    for (size_t i = 0; here != 0 && i < POOL_CONTEXTS; i++) {
        struct slot *slot = &pool->slots[use][(first + i) % POOL_CONTEXTS];
        if (slot_try(slot, here))
            return slot;
    }
    return NULL;
}

static bool lease_take(struct lease *lease, enum use use, const uint8_t *raw, bool encrypt)
{
    struct pool *pool = pool_get();

    *lease = (struct lease){.ctx = NULL};
    if (pool == NULL)
        return false;
    lease->slot = slot_take(pool, use);
    if (lease->slot != NULL)
        lease->ctx = lease->slot->ctx;
    if (lease->ctx == NULL)
        lease->ctx = context_new(pool, use);
    return lease->ctx != NULL &&
           EVP_CipherInit_ex2(lease->ctx, NULL, raw, NULL, encrypt, NULL) == 1;
}

/* A context that will not forget its key is cleansed by freeing it; its slot then gets another. */
static void lease_give(struct lease *lease)
{
    bool keep = lease->slot != NULL && lease->ctx != NULL && forget_key(lease->ctx);

    if (lease->slot != NULL)
        lease->slot->ctx = keep ? lease->ctx : NULL;
    if (!keep)
        EVP_CIPHER_CTX_free(lease->ctx);
    if (lease->slot != NULL)
        atomic_store_explicit(&lease->slot->holder, 0, memory_order_release);
}

/* Associated data has no output. */
static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t bytes)
{
    bool good = true;
    int written;

    for (size_t part; good && bytes > 0; bytes -= part) {
        part = bytes < UPDATE_BYTES_MAX ? bytes : UPDATE_BYTES_MAX;
        good = EVP_CipherUpdate(ctx, out, &written, in, (int)part) == 1;
        in += part;
        if (out != NULL)
            out += part;
    }
    return good;
}

/* With the pool made, no later call has to make it. */
static bool usable(void)
{
    return pool_get() != NULL;
}

static enum envol_status keep_raw(void *key, const uint8_t *raw, size_t bytes)
{
    if (pool_get() == NULL)
        return ENVOL_E_NO_MEMORY;
    memcpy(key, raw, bytes);
    return ENVOL_OK;
}

static enum envol_status key_init(void *key, const uint8_t raw[32])
{
    return keep_raw(key, raw, 32);
}

static enum envol_status block_encrypt(const void *key, const uint8_t *in, uint8_t *out,
                                       size_t blocks)
{
    struct lease lease;
    bool good = lease_take(&lease, USE_BLOCK, key, true) && update(lease.ctx, out, in, blocks * 16);

    lease_give(&lease);
    envol_stack_wipe();
    if (!good)
        memset(out, 0, blocks * 16);
    return good ? ENVOL_OK : ENVOL_E_NO_MEMORY;
}

/* Nonce, associated data and text: what sealing and opening have in common. */
static bool gcm_run(EVP_CIPHER_CTX *ctx, const struct envol_gcm_job *job)
{
    return update(ctx, NULL, job->aad, job->aad_bytes) &&
           update(ctx, job->out, job->in, job->bytes);
}

static bool gcm_set_nonce(EVP_CIPHER_CTX *ctx, const struct envol_gcm_job *job)
{
    return EVP_CipherInit_ex2(ctx, NULL, NULL, job->nonce, -1, NULL) == 1;
}

static bool gcm_seal_job(EVP_CIPHER_CTX *ctx, struct envol_gcm_job *job)
{
    uint8_t rest[16];
    int written;

    return gcm_set_nonce(ctx, job) && gcm_run(ctx, job) &&
           EVP_CipherFinal_ex(ctx, rest, &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, job->tag) == 1;
}

/* The expected tag can be set only after the nonce, and is compared, in constant time, at the end.
 */
static bool gcm_open_job(EVP_CIPHER_CTX *ctx, struct envol_gcm_job *job)
{
    uint8_t rest[16];
    int written;

    if (!gcm_set_nonce(ctx, job) ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, job->tag) != 1 || !gcm_run(ctx, job))
        return false;
    job->failed = EVP_CipherFinal_ex(ctx, rest, &written) != 1;
    if (job->failed)
        envol_gcm_open_fail(job, 1);
    return true;
}

static enum envol_status gcm_seal(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    enum envol_status status = envol_gcm_jobs_check(jobs, count);
    struct lease lease;
    bool good;

    if (status != ENVOL_OK)
        return status;
    good = lease_take(&lease, USE_GCM, key, true);
    for (size_t i = 0; good && i < count; i++)
        good = gcm_seal_job(lease.ctx, &jobs[i]);
    lease_give(&lease);
    envol_stack_wipe();
    if (!good)
        envol_gcm_seal_fail(jobs, count);
    return good ? ENVOL_OK : ENVOL_E_NO_MEMORY;
}

static enum envol_status gcm_open(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    enum envol_status status = envol_gcm_jobs_check(jobs, count);
    struct lease lease;
    bool good;

    if (status != ENVOL_OK)
        return status;
    good = lease_take(&lease, USE_GCM, key, false);
    for (size_t i = 0; good && i < count; i++)
        good = gcm_open_job(lease.ctx, &jobs[i]);
    lease_give(&lease);
    envol_stack_wipe();
    if (!good)
        envol_gcm_open_fail(jobs, count);
    return good ? ENVOL_OK : ENVOL_E_NO_MEMORY;
}

static enum envol_status xts_init(void *key, const uint8_t raw[64])
{
    if (envol_equal(raw, raw + 32, 32))
        return ENVOL_E_ARGUMENT;
    return keep_raw(key, raw, 64);
}

static enum envol_status xts_run(const void *key, const struct envol_xts_job *jobs, size_t count,
                                 bool encrypt)
{
    enum envol_status status = envol_xts_jobs_check(jobs, count);
    struct lease lease;
    bool good;

    if (status != ENVOL_OK)
        return status;
    good = lease_take(&lease, USE_XTS, key, encrypt);
    for (size_t i = 0; good && i < count; i++)
        good = EVP_CipherInit_ex2(lease.ctx, NULL, NULL, jobs[i].tweak, -1, NULL) == 1 &&
               update(lease.ctx, jobs[i].out, jobs[i].in, jobs[i].bytes);
    lease_give(&lease);
    envol_stack_wipe();
    if (!good)
        envol_xts_fail(jobs, count);
    return good ? ENVOL_OK : ENVOL_E_NO_MEMORY;
}

static enum envol_status xts_encrypt(const void *key, const struct envol_xts_job *jobs,
                                     size_t count)
{
    return xts_run(key, jobs, count, true);
}

static enum envol_status xts_decrypt(const void *key, const struct envol_xts_job *jobs,
                                     size_t count)
{
    return xts_run(key, jobs, count, false);
}

const struct envol_aes_kernel envol_aes_libcrypto = {
    .name = "libcrypto",
    .usable = usable,
    .block_key_bytes = 32,
    .gcm_key_bytes = 32,
    .xts_key_bytes = 64,
    .block_init = key_init,
    .block_encrypt = block_encrypt,
    .gcm_init = key_init,
    .gcm_seal = gcm_seal,
    .gcm_open = gcm_open,
    .xts_init = xts_init,
    .xts_encrypt = xts_encrypt,
    .xts_decrypt = xts_decrypt,
};

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int envol_libcrypto_absent;

#endif
