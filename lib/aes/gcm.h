/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Template, over a tier's vectors: AES-256-GCM (SP 800-38D) with 96-bit nonces.
 *
 * Stripes of GROUP vectors are encrypted side by side, and between their rounds a stripe of
 * ciphertext is hashed: when sealing the one before, when opening the same.  Messages do not wait
 * for each other: while the last stripe of one is hashed, the first of the next is encrypted.
 */
#define STRIPE_BYTES (GROUP * VEC_BYTES)

struct gcm_key {
    struct cipher cipher;
    struct ghash_key hash;
};

/* 0, 1, ... in the counters of a vector's blocks. */
static const uint32_t counter_places[4][4] = {{0}, {0, 0, 0, 1}, {0, 0, 0, 2}, {0, 0, 0, 3}};
static const uint32_t counter_step[4][4] = {
    {0, 0, 0, VEC_BLOCKS}, {0, 0, 0, VEC_BLOCKS}, {0, 0, 0, VEC_BLOCKS}, {0, 0, 0, VEC_BLOCKS}};
/* The same as big-endian numbers: of use where no sum is over 255. */
static const uint32_t counter_places_big[4][4] = {
    {0}, {0, 0, 0, 1u << 24}, {0, 0, 0, 2u << 24}, {0, 0, 0, 3u << 24}};
static const uint32_t counter_step_big[4][4] = {{0, 0, 0, VEC_BLOCKS << 24},
                                                {0, 0, 0, VEC_BLOCKS << 24},
                                                {0, 0, 0, VEC_BLOCKS << 24},
                                                {0, 0, 0, VEC_BLOCKS << 24}};

/* A vector of counter blocks from `counter` on, its counters little-endian. */
INLINE vec counters(block nonce, uint32_t counter)
{
    return vec_add32(vec_repeat(block_set_counter(nonce, counter)), vec_load(counter_places));
}

/* The counter blocks of a stripe.  Seven of eight stripes have no carry out of a counter's last
 * byte, and need not turn bytes round. */
INLINE void stripe_counters(block nonce, uint32_t counter, vec state[GROUP])
{
    vec next;

    if ((counter & 0xff) + GROUP * VEC_BLOCKS <= 256) {
        next = vec_add32(vec_repeat(block_set_counter(nonce, __builtin_bswap32(counter))),
                         vec_load(counter_places_big));
#pragma GCC unroll 8
        for (size_t j = 0; j < GROUP; j++) {
            state[j] = next;
            next = vec_add32(next, vec_load(counter_step_big));
        }
        return;
    }
    next = counters(nonce, counter);
#pragma GCC unroll 8
    for (size_t j = 0; j < GROUP; j++) {
        state[j] = vec_turn_counter(next);
        next = vec_add32(next, vec_load(counter_step));
    }
}

/* What is hashed in round i of a stripe: ghash_group, spread over the rounds. */
INLINE void hash_in_round(const struct ghash_key *key, size_t i, const uint8_t *hashed,
                          struct product *sum, vec *hash)
{
    if (i == 1)
        ghash_step(key, sum, *hash, GROUP);
    else if (i <= GROUP)
        ghash_step(key, sum, vec_reverse(vec_load(hashed + (i - 2) * VEC_BYTES)), GROUP + 1 - i);
    else if (i == GROUP + 1)
        *hash =
            vec_xor(product_reduce(sum), vec_reverse(vec_load(hashed + STRIPE_BYTES - VEC_BYTES)));
}

/* hashed may be NULL, and may be `in`, which may be out: it is read before out is written. */
INLINE void gcm_stripe(const struct gcm_key *key, block nonce, uint32_t counter, const uint8_t *in,
                       uint8_t *out, const uint8_t *hashed, vec *hash)
{
    struct product sum = {vec_zero(), vec_zero(), vec_zero()};
    vec state[GROUP], before, last;

    __asm__ volatile("" : "+r"(key));
    stripe_counters(nonce, counter, state);
#pragma GCC unroll 8
    for (size_t j = 0; j < GROUP; j++)
        state[j] = vec_begin(state[j], cipher_key(&key->cipher, 0));
#pragma GCC unroll 16
    for (size_t i = 1; i < ROUNDS; i++) {
        cipher_round(&key->cipher, i, true, state, GROUP);
        if (hashed != NULL)
            hash_in_round(&key->hash, i, hashed, &sum, hash);
        vec_pin(&sum.low);
        vec_pin(&sum.high);
        vec_pin(&sum.cross);
    }
    before = cipher_key(&key->cipher, ROUNDS - 1);
    last = cipher_key(&key->cipher, ROUNDS);
#pragma GCC unroll 8
    for (size_t j = 0; j < GROUP; j++)
        vec_store(out + j * VEC_BYTES,
                  vec_end(state[j], before, vec_xor(last, vec_load(in + j * VEC_BYTES))));
}

/* Blocks of associated data end with a vector's last place, so that the text begins with a first.
 */
INLINE vec hash_aad(const struct ghash_key *key, const uint8_t *aad, size_t bytes)
{
    size_t blocks = (bytes + 15) / 16, head = blocks % VEC_BLOCKS * 16, n;
    uint8_t first[VEC_BYTES] = {0};
    vec hash = vec_zero();

    if (bytes == 0) /* aad may be NULL then, and nothing is added to that */
        return hash;
    if (head > 0) {
        n = head < bytes ? head : bytes;
        memcpy(first + VEC_BYTES - head, aad, n);
        hash = vec_reverse(vec_load(first));
    } else if (bytes >= VEC_BYTES) {
        n = VEC_BYTES;
        hash = vec_reverse(vec_load(aad));
    } else {
        n = 0;
    }
    for (aad += n, bytes -= n; bytes >= VEC_BYTES; aad += n, bytes -= n) {
        size_t vectors = bytes / VEC_BYTES < GROUP ? bytes / VEC_BYTES : GROUP;
        hash = ghash_group(key, hash, aad, vectors);
        n = vectors * VEC_BYTES;
    }
    if (bytes > 0)
        hash = ghash_vector(key, hash, vec_reverse(vec_load_part(aad, bytes)));
    return hash;
}

/* All ones, then zeros: read so that `bytes` ones are at the start. */
static const uint8_t ones[2 * VEC_BYTES] = {[0 ... VEC_BYTES - 1] = 0xff};

INLINE vec vec_keep(vec a, size_t bytes)
{
    return vec_and(a, vec_load(ones + VEC_BYTES - bytes));
}

/* Text of less than a vector; gives what is hashed of it. */
INLINE vec gcm_part(const struct gcm_key *key, bool sealing, vec counter, const uint8_t *in,
                    uint8_t *out, size_t bytes)
{
    vec text = vec_load_part(in, bytes);
    vec other = cipher_vector(&key->cipher, true, counter, text);

    vec_store_part(out, other, bytes);
    return vec_reverse(sealing ? vec_keep(other, bytes) : text);
}

/* Less than a stripe, and the end of the hash. */
INLINE block gcm_tail(const struct gcm_key *key, bool sealing, block nonce, uint32_t counter,
                      const uint8_t *in, uint8_t *out, size_t bytes, vec hash, block lengths)
{
    const uint8_t *hashed = sealing ? out : in;
    vec next = counters(nonce, counter), last = vec_zero();
    size_t vectors = bytes / VEC_BYTES, places = (bytes % VEC_BYTES + 15) / 16;

    if (!sealing && vectors > 0)
        hash = ghash_group(&key->hash, hash, hashed, vectors);
    for (; bytes >= VEC_BYTES; bytes -= VEC_BYTES, in += VEC_BYTES, out += VEC_BYTES) {
        vec_store(out, cipher_vector(&key->cipher, true, vec_turn_counter(next), vec_load(in)));
        next = vec_add32(next, vec_load(counter_step));
    }
    if (sealing && vectors > 0)
        hash = ghash_group(&key->hash, hash, hashed, vectors);
    if (bytes > 0)
        last = gcm_part(key, sealing, vec_turn_counter(next), in, out, bytes);
    if (places == VEC_BLOCKS) {
        hash = ghash_vector(&key->hash, hash, last);
        last = vec_zero();
        places = 0;
    }
    return ghash_end(&key->hash, hash, vec_put(last, lengths, places), places + 1);
}

/* Seals or opens the text of a job; the tag that it has, or ought to have. */
INLINE block gcm_text(const struct gcm_key *key, bool sealing, const struct envol_gcm_job *job)
{
    block nonce = block_load_part(job->nonce, 12);
    block mask = cipher_block(&key->cipher, block_set_counter(nonce, __builtin_bswap32(1)));
    block lengths = block_of((uint64_t)job->aad_bytes * 8, (uint64_t)job->bytes * 8);
    vec hash = hash_aad(&key->hash, job->aad, job->aad_bytes);
    const uint8_t *in = job->in;
    uint8_t *out = job->out;
    size_t bytes = job->bytes;
    uint32_t counter = 2;

    if (sealing && bytes >= STRIPE_BYTES) {
        gcm_stripe(key, nonce, counter, in, out, NULL, &hash);
        for (;;) {
            counter += GROUP * VEC_BLOCKS;
            in += STRIPE_BYTES;
            out += STRIPE_BYTES;
            bytes -= STRIPE_BYTES;
            if (bytes < STRIPE_BYTES)
                break;
            gcm_stripe(key, nonce, counter, in, out, out - STRIPE_BYTES, &hash);
        }
        hash = ghash_group(&key->hash, hash, out - STRIPE_BYTES, GROUP);
    }
    for (; !sealing && bytes >= STRIPE_BYTES; bytes -= STRIPE_BYTES) {
        gcm_stripe(key, nonce, counter, in, out, in, &hash);
        counter += GROUP * VEC_BLOCKS;
        in += STRIPE_BYTES;
        out += STRIPE_BYTES;
    }
    return block_xor(mask, gcm_tail(key, sealing, nonce, counter, in, out, bytes, hash, lengths));
}

INLINE void gcm_expand(struct gcm_key *key, block first, block second)
{
    cipher_expand(&key->cipher, first, second);
    ghash_init(&key->hash, cipher_block(&key->cipher, block_zero()));
}

WORK void gcm_expand_raw(struct gcm_key *key, const uint8_t raw[32])
{
    gcm_expand(key, block_load(raw), block_load(raw + 16));
}

/* The key is two blocks, side by side, under another key: XAES. */
WORK void gcm_expand_derived(struct gcm_key *key, const struct cipher *from, const uint8_t in[32])
{
    gcm_expand(key, cipher_block(from, block_load(in)), cipher_block(from, block_load(in + 16)));
}

WORK void gcm_seal_job(const struct gcm_key *key, struct envol_gcm_job *job)
{
    block_store(job->tag, gcm_text(key, true, job));
}

WORK void gcm_open_job(const struct gcm_key *key, struct envol_gcm_job *job)
{
    block wanted = block_load(job->tag);

    job->failed = !block_is_zero(block_xor(wanted, gcm_text(key, false, job)));
}
