/* SPDX-License-Identifier: BSD-2-Clause */
/* XAES-256-GCM: the published vectors, the accumulated tests, a reference, and kernels that fail.
 */
#include "base/memory.h"
#include "kernels.h"
#include "page/xaes.h"
#include "reference_aes.h"
#include "shake128.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* Text and associated data of the accumulated test are at most 255 bytes. */
#define LENGTH_MAX 255u

struct message {
    uint8_t key[32], nonce[ENVOL_XAES_NONCE_BYTES];
    uint8_t plain[LENGTH_MAX], aad[LENGTH_MAX];
    uint8_t bytes, aad_bytes;
};

struct sealed {
    uint8_t cipher[LENGTH_MAX], tag[16];
};

/* A job of what sealing gave is one for opening it, in place. */
static struct envol_gcm_job job_of(const struct message *m, const uint8_t *in, struct sealed *out)
{
    return (struct envol_gcm_job){.nonce = m->nonce + ENVOL_XAES_SALT_BYTES,
                                  .aad = m->aad,
                                  .aad_bytes = m->aad_bytes,
                                  .in = in,
                                  .out = out->cipher,
                                  .bytes = m->bytes,
                                  .tag = out->tag};
}

static void derive(const struct envol_aes_kernel *kernel, const struct message *m, void *gcm_key)
{
    struct envol_xaes_key xaes;

    ck_assert_int_eq(envol_xaes_init(kernel, &xaes, m->key), ENVOL_OK);
    ck_assert_int_eq(envol_xaes_derive(kernel, &xaes, m->nonce, gcm_key), ENVOL_OK);
}

static void seal(const struct envol_aes_kernel *kernel, const struct message *m,
                 struct sealed *sealed)
{
    _Alignas(64) uint8_t gcm_key[ENVOL_AES_KEY_MAX];
    struct envol_gcm_job job = job_of(m, m->plain, sealed);

    derive(kernel, m, gcm_key);
    ck_assert_int_eq(kernel->gcm_seal(gcm_key, &job, 1), ENVOL_OK);
}

static void open_again(const struct envol_aes_kernel *kernel, const struct message *m,
                       struct sealed *sealed)
{
    _Alignas(64) uint8_t gcm_key[ENVOL_AES_KEY_MAX];
    struct envol_gcm_job job = job_of(m, sealed->cipher, sealed);

    derive(kernel, m, gcm_key);
    ck_assert_int_eq(kernel->gcm_open(gcm_key, &job, 1), ENVOL_OK);
    ck_assert(!job.failed);
    ck_assert_mem_eq(sealed->cipher, m->plain, m->bytes);
}

/* --- c2sp.org/XAES-256-GCM, "Test vectors" --- */

struct vector {
    uint8_t key_byte;
    const char *aad, *k1, *cipher, *tag;
};

/* The first has the top bit of L clear, the second has it set. */
static const struct vector vectors[] = {
    {0x01, "", "e531954aca063d5b8d9c47a47d4cc6f0", "ce546ef63c9cc60765923609",
     "b33a9a1974e96e52daf2fcf7075e2271"},
    {0x03, "c2sp.org/XAES-256-GCM", "23810ec50edb99f374409466ed1f4b7b", "986ec1832593df5443a17943",
     "7fd083bf3fdb41abd740a21f71eb769d"},
};

static void message_of(const struct vector *vector, struct message *m)
{
    m->bytes = 12;
    m->aad_bytes = (uint8_t)strlen(vector->aad);
    memset(m->key, vector->key_byte, sizeof(m->key));
    memcpy(m->nonce, "ABCDEFGHIJKLMNOPQRSTUVWX", sizeof(m->nonce));
    memcpy(m->plain, "XAES-256-GCM", m->bytes);
    memcpy(m->aad, vector->aad, m->aad_bytes);
}

START_TEST(published_vectors)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    struct envol_xaes_key xaes;
    struct message m;
    struct sealed sealed;

    if (kernel == NULL)
        return;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        message_of(&vectors[i], &m);
        ck_assert_int_eq(envol_xaes_init(kernel, &xaes, m.key), ENVOL_OK);
        ck_mem_hex(xaes.k1, vectors[i].k1);
        seal(kernel, &m, &sealed);
        ck_mem_hex(sealed.cipher, vectors[i].cipher);
        ck_mem_hex(sealed.tag, vectors[i].tag);
        open_again(kernel, &m, &sealed);
    }
}
END_TEST

/* --- "Accumulated randomized tests" --- */

START_TEST(shake128)
{
    struct shake128 empty = {.at = 0}, long_input = {.at = 0};
    uint8_t out[200];

    shake128_squeeze(&empty, out, 16);
    ck_mem_hex(out, "7f9c2ba4e88f827d616045507605853e");
    /* NIST's example of 1,600 bits of input */
    memset(out, 0xa3, sizeof(out));
    shake128_absorb(&long_input, out, 1);
    shake128_absorb(&long_input, out, 199);
    shake128_squeeze(&long_input, out, 7);
    shake128_squeeze(&long_input, out + 7, 25);
    ck_mem_hex(out, "131ab8d2b594946b9c81333f9bb6e0ce75c3b93104fa3469d3917457385da037");
}
END_TEST

static void message_draw(struct shake128 *random, struct message *m)
{
    shake128_squeeze(random, m->key, sizeof(m->key));
    shake128_squeeze(random, m->nonce, sizeof(m->nonce));
    shake128_squeeze(random, &m->bytes, 1);
    shake128_squeeze(random, m->plain, m->bytes);
    shake128_squeeze(random, &m->aad_bytes, 1);
    shake128_squeeze(random, m->aad, m->aad_bytes);
}

static void accumulate(const struct envol_aes_kernel *kernel, size_t rounds, const char *expected)
{
    struct shake128 random = {.at = 0}, hash = {.at = 0};
    struct message m;
    struct sealed sealed;
    uint8_t result[32];

    for (size_t i = 0; i < rounds; i++) {
        message_draw(&random, &m);
        seal(kernel, &m, &sealed);
        shake128_absorb(&hash, sealed.cipher, m.bytes);
        shake128_absorb(&hash, sealed.tag, sizeof(sealed.tag));
        open_again(kernel, &m, &sealed);
    }
    shake128_squeeze(&hash, result, sizeof(result));
    ck_mem_hex(result, expected);
}

START_TEST(accumulated_10_000)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);

    if (kernel != NULL)
        accumulate(kernel, 10000,
                   "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
}
END_TEST

START_TEST(accumulated_1_000_000)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);

    if (kernel != NULL)
        accumulate(kernel, 1000000,
                   "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15");
}
END_TEST

/* --- against a reference, with the salt apart from the nonce --- */

/* The same by NIST SP 800-108 and 800-38B, with blocks of the reference. */
static void reference_derive(const struct message *m, uint8_t derived[32])
{
    uint8_t k1[16] = {0}, carry;

    reference_encrypt(m->key, k1, k1);
    carry = k1[0] >> 7;
    for (size_t i = 0; i < 16; i++)
        k1[i] = (uint8_t)(k1[i] << 1 | (i < 15 ? k1[i + 1] >> 7 : 0));
    k1[15] ^= carry ? 0x87 : 0;
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t *block = derived + 16 * i;
        memset(block, 0, 4);
        block[1] = (uint8_t)(i + 1);
        block[2] = 'X';
        memcpy(block + 4, m->nonce, ENVOL_XAES_SALT_BYTES);
        for (size_t j = 0; j < 16; j++)
            block[j] ^= k1[j];
        reference_encrypt(m->key, block, block);
    }
}

START_TEST(equals_the_reference)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    struct message m;
    struct sealed sealed, expected;
    uint8_t derived[32];

    if (kernel == NULL)
        return;
    for (int round = 0; round < 100; round++) {
        test_fill(&m, sizeof(m));
        reference_derive(&m, derived);
        reference_gcm(derived, m.nonce + ENVOL_XAES_SALT_BYTES, m.aad, m.aad_bytes, m.plain,
                      m.bytes, expected.cipher, expected.tag);
        seal(kernel, &m, &sealed);
        ck_assert_mem_eq(sealed.cipher, expected.cipher, m.bytes);
        ck_assert_mem_eq(sealed.tag, expected.tag, sizeof(sealed.tag));
    }
}
END_TEST

/* --- kernels that fail --- */

static enum envol_status works(void *key, const uint8_t raw[32])
{
    memcpy(key, raw, 32);
    return ENVOL_OK;
}

static enum envol_status fails(void *key, const uint8_t raw[32])
{
    memcpy(key, raw, 32);
    return ENVOL_E_NO_MEMORY;
}

static enum envol_status encrypts(const void *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    (void)key;
    memmove(out, in, blocks * 16);
    return ENVOL_OK;
}

static enum envol_status fails_to_encrypt(const void *key, const uint8_t *in, uint8_t *out,
                                          size_t blocks)
{
    encrypts(key, in, out, blocks);
    return ENVOL_E_NO_MEMORY;
}

#define FAKE(init, encrypt, gcm)                                                                   \
    {                                                                                              \
        .name = "fake", .block_key_bytes = 32, .gcm_key_bytes = 32, .block_init = (init),          \
        .block_encrypt = (encrypt), .gcm_init = (gcm)                                              \
    }

START_TEST(init_fails_and_leaves_nothing)
{
    static const struct envol_aes_kernel fakes[] = {FAKE(fails, encrypts, works),
                                                    FAKE(works, fails_to_encrypt, works)};
    struct envol_xaes_key xaes;
    uint8_t raw[32];

    test_fill(raw, sizeof(raw));
    for (size_t i = 0; i < 2; i++) {
        test_fill(&xaes, sizeof(xaes));
        ck_assert_int_eq(envol_xaes_init(&fakes[i], &xaes, raw), ENVOL_E_NO_MEMORY);
        ck_assert(envol_is_zero(&xaes, sizeof(xaes)));
    }
}
END_TEST

START_TEST(derive_fails_and_leaves_nothing)
{
    static const struct envol_aes_kernel good = FAKE(works, encrypts, works);
    static const struct envol_aes_kernel fakes[] = {FAKE(works, fails_to_encrypt, works),
                                                    FAKE(works, encrypts, fails)};
    struct envol_xaes_key xaes;
    uint8_t raw[32], salt[ENVOL_XAES_SALT_BYTES], gcm_key[32];

    test_fill(raw, sizeof(raw));
    test_fill(salt, sizeof(salt));
    ck_assert_int_eq(envol_xaes_init(&good, &xaes, raw), ENVOL_OK);
    ck_assert_int_eq(envol_xaes_derive(&good, &xaes, salt, gcm_key), ENVOL_OK);
    ck_assert(!envol_is_zero(gcm_key, sizeof(gcm_key)));
    for (size_t i = 0; i < 2; i++) {
        test_fill(gcm_key, sizeof(gcm_key));
        ck_assert_int_eq(envol_xaes_derive(&fakes[i], &xaes, salt, gcm_key), ENVOL_E_NO_MEMORY);
        ck_assert(envol_is_zero(gcm_key, sizeof(gcm_key)));
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("xaes");
    TCase *published = tcase_create("published"), *million = tcase_create("million");
    TCase *derivation = tcase_create("derivation");
    int n = test_all_kernel_count();

    tcase_add_loop_test(published, published_vectors, 0, n);
    tcase_add_test(published, shake128);
    tcase_add_loop_test(published, accumulated_10_000, 0, n);
    if (getenv("ENVOL_TEST_LONG") != NULL)
        tcase_add_loop_test(million, accumulated_1_000_000, 0, n);
    else
        test_skip("xaes accumulated 1,000,000 times", "ENVOL_TEST_LONG is not set");
    tcase_add_loop_test(derivation, equals_the_reference, 0, n);
    tcase_add_test(derivation, init_fails_and_leaves_nothing);
    tcase_add_test(derivation, derive_fails_and_leaves_nothing);
    tcase_set_timeout(million, 600);
    suite_add_tcase(s, published);
    suite_add_tcase(s, million);
    suite_add_tcase(s, derivation);
    return s;
}

int main(void)
{
    return test_run(suite());
}
