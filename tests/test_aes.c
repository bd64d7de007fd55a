/* SPDX-License-Identifier: BSD-2-Clause */
/* AES kernels: the reference they are held against, the choice among them, blocks, and bounds. */
#include "aes/kernel.h"
#include "base/cpu.h"
#include "kernels.h"
#include "page/xaes.h"
#include "reference_aes.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if ENVOL_WITH_LIBCRYPTO
#include <openssl/provider.h>
#endif

/* --- what kernels are compared with --- */

START_TEST(reference_block)
{
    uint8_t key[32], in[16], out[16];

    /* FIPS 197, C.3 */
    test_unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", key, 32);
    test_unhex("00112233445566778899aabbccddeeff", in, 16);
    reference_encrypt(key, in, out);
    ck_mem_hex(out, "8ea2b7ca516745bfeafc49904b496089");
    reference_decrypt(key, out, out);
    ck_assert_mem_eq(out, in, 16);
}
END_TEST

START_TEST(reference_gcm_vector)
{
    uint8_t key[32] = {0}, nonce[12] = {0}, text[16] = {0}, tag[16];

    /* McGrew and Viega, test cases 13 and 14 */
    reference_gcm(key, nonce, NULL, 0, NULL, 0, NULL, tag);
    ck_mem_hex(tag, "530f8afbc74536b9a963b4f1c4cb738b");
    reference_gcm(key, nonce, NULL, 0, text, 16, text, tag);
    ck_mem_hex(text, "cea7403d4d606b6e074ec5d3baf39d18");
    ck_mem_hex(tag, "d0d1c8a799996bf0265b98b5d48ab919");
}
END_TEST

START_TEST(reference_xts_vector)
{
    uint8_t key[64], tweak[16] = {0xff}, text[512];

    /* IEEE 1619, annex B, vector 10 */
    test_unhex("2718281828459045235360287471352662497757247093699959574966967627"
               "3141592653589793238462643383279502884197169399375105820974944592",
               key, 64);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)i;
    reference_xts(key, tweak, text, sizeof(text), text);
    ck_mem_hex(text, "1c3b3a102f770386e4836c99e370cf9b");
}
END_TEST

/* --- table and choice --- */

START_TEST(table_is_sound)
{
    const struct envol_aes_kernel *kernel = test_kernel_at(_i);

    ck_assert_uint_gt(kernel->block_key_bytes, 0);
    ck_assert_uint_gt(kernel->gcm_key_bytes, 0);
    ck_assert_uint_le(kernel->gcm_key_bytes, ENVOL_AES_KEY_MAX);
    ck_assert_uint_le(kernel->xts_key_bytes, ENVOL_AES_KEY_MAX);
    ck_assert_uint_le(kernel->block_key_bytes, sizeof(((struct envol_xaes_key *)0)->block_key));
    ck_assert_int_eq(kernel->xts_key_bytes > 0, kernel->xts_encrypt != NULL);
}
END_TEST

START_TEST(forced_kernel_is_the_only_one)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);

    if (kernel == NULL)
        return;
    ck_assert(envol_aes_kernel_force(kernel->name));
    ck_assert_ptr_eq(envol_aes_kernel(false), kernel);
    ck_assert_ptr_eq(envol_aes_kernel(true), kernel->xts_key_bytes > 0 ? kernel : NULL);
    ck_assert_str_eq(envol_kernel_name(), kernel->name);
    ck_assert(envol_aes_kernel_force(NULL));
}
END_TEST

START_TEST(unknown_kernel_cannot_be_forced)
{
    const struct envol_aes_kernel *before = envol_aes_kernel(false);

    ck_assert(!envol_aes_kernel_force("no-such-kernel"));
    ck_assert(!envol_aes_kernel_force(""));
    ck_assert_ptr_eq(envol_aes_kernel(false), before);
}
END_TEST

START_TEST(choice_is_the_first_usable)
{
    const struct envol_aes_kernel *gcm = envol_aes_kernel(false), *xts = envol_aes_kernel(true);

    for (int i = 0; envol_aes_kernels[i] != NULL && envol_aes_kernels[i] != gcm; i++)
        ck_assert(!envol_aes_kernels[i]->usable());
    for (int i = 0; envol_aes_kernels[i] != NULL && envol_aes_kernels[i] != xts; i++)
        ck_assert(envol_aes_kernels[i]->xts_key_bytes == 0 || !envol_aes_kernels[i]->usable());
    ck_assert_str_eq(envol_kernel_name(), gcm != NULL ? gcm->name : "none");
}
END_TEST

#if defined(__x86_64__)
START_TEST(libsodium_needs_aes_instructions)
{
    const struct envol_aes_kernel *kernel = test_kernel_named("libsodium");

    ck_assert_ptr_nonnull(kernel);
    ck_assert_int_eq(kernel->usable(), (envol_cpu_features() & ENVOL_CPU_AESNI) != 0);
    envol_cpu_mask(0);
    ck_assert(!kernel->usable());
    ck_assert(!envol_aes_kernel_force("libsodium"));
#if ENVOL_WITH_LIBCRYPTO
    ck_assert_str_eq(envol_kernel_name(), "libcrypto");
    ck_assert_str_eq(envol_aes_kernel(true)->name, "libcrypto");
#else
    ck_assert_ptr_null(envol_aes_kernel(false));
    ck_assert_str_eq(envol_kernel_name(), "none");
#endif
    envol_cpu_mask(UINT32_MAX);
    ck_assert_int_eq(kernel->usable(), (envol_cpu_features() & ENVOL_CPU_AESNI) != 0);
}
END_TEST

START_TEST(forced_kernel_that_became_unusable)
{
    if (!envol_aes_kernel_force("libsodium")) {
        test_skip("libsodium", "this machine cannot run it");
        return;
    }
    envol_cpu_mask(0);
    ck_assert_ptr_null(envol_aes_kernel(false));
    ck_assert_str_eq(envol_kernel_name(), "none");
    envol_cpu_mask(UINT32_MAX);
    ck_assert_str_eq(envol_kernel_name(), "libsodium");
    ck_assert(envol_aes_kernel_force(NULL));
}
END_TEST
#endif

#if ENVOL_WITH_LIBCRYPTO
/*
 * OpenSSL without algorithms: its "null" provider is loaded before anything else, so the default
 * one is not.  Returns a step that failed, or 0.
 */
static int without_algorithms(void)
{
    const struct envol_aes_kernel *libcrypto = test_kernel_named("libcrypto");
    uint8_t key[64] = {1};

    envol_cpu_mask(0);
    if (OSSL_PROVIDER_load(NULL, "null") == NULL)
        return 1;
    if (envol_aes_kernel(false) != NULL || envol_aes_kernel(true) != NULL)
        return 2;
    if (strcmp(envol_kernel_name(), "none") != 0 || envol_aes_kernel_force("libcrypto"))
        return 3;
    if (libcrypto->gcm_init(key, key) != ENVOL_E_NO_MEMORY ||
        libcrypto->xts_init(key, key) != ENVOL_E_NO_MEMORY)
        return 4;
    return 0;
}

/* In a child, and as the first test: nobody has used OpenSSL in this process before. */
START_TEST(no_kernel_at_all)
{
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(without_algorithms());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST
#endif

/* --- blocks --- */

START_TEST(blocks_equal_the_reference)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    uint8_t raw[32], in[1 + 20 * 16], expected[20 * 16], out[3 + 20 * 16 + 1];

    if (kernel == NULL)
        return;
    test_fill(raw, sizeof(raw));
    test_fill(in, sizeof(in));
    for (size_t i = 0; i < 20; i++)
        reference_encrypt(raw, in + 1 + 16 * i, expected + 16 * i);
    ck_assert_int_eq(kernel->block_init(key, raw), ENVOL_OK);
    for (size_t blocks = 0; blocks <= 20; blocks++) {
        memset(out, 0xa5, sizeof(out));
        ck_assert_int_eq(kernel->block_encrypt(key, in + 1, out + 3, blocks), ENVOL_OK);
        ck_assert_mem_eq(out + 3, expected, blocks * 16);
        ck_assert_uint_eq(out[2], 0xa5);
        ck_assert_uint_eq(out[3 + blocks * 16], 0xa5);
        memcpy(out, in + 1, blocks * 16);
        ck_assert_int_eq(kernel->block_encrypt(key, out, out, blocks), ENVOL_OK);
        ck_assert_mem_eq(out, expected, blocks * 16);
    }
}
END_TEST

START_TEST(aes_key_schedule)
{
    uint8_t raw[32], expected[15][16];
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];

    /* Of the kernels, those that keep FIPS 197's schedule in the caller's memory. */
    if (kernel == NULL || kernel->block_key_bytes < sizeof(expected))
        return;
    test_fill(raw, sizeof(raw));
    reference_expand(raw, expected);
    ck_assert_int_eq(kernel->block_init(key, raw), ENVOL_OK);
    ck_assert_mem_eq(key, expected, sizeof(expected));
}
END_TEST

/* --- bounds --- */

START_TEST(equal_xts_keys_are_refused)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    uint8_t raw[64];

    if (kernel == NULL || kernel->xts_key_bytes == 0)
        return;
    test_fill(raw, 32);
    memcpy(raw + 32, raw, 32);
    ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_E_ARGUMENT);
    memset(raw, 0, sizeof(raw));
    ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_E_ARGUMENT);
    raw[63] ^= 1;
    ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_OK);
}
END_TEST

/* Lengths beyond the modes' bounds: refused before a byte is read or written. */
START_TEST(lengths_out_of_range)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    uint8_t raw[64] = {1}, tag[16] = {0}, nonce[12] = {0}, few[16] = {7};
    struct envol_gcm_job jobs[2] = {
        {.nonce = nonce, .in = few, .out = few, .bytes = 16, .tag = tag},
        {.nonce = nonce, .in = few, .out = few, .bytes = ((size_t)1 << 36) - 31, .tag = tag},
    };
    struct envol_xts_job xts = {.in = few, .out = few, .bytes = 15};

    if (kernel == NULL)
        return;
    ck_assert_int_eq(kernel->gcm_init(key, raw), ENVOL_OK);
    ck_assert_int_eq(kernel->gcm_seal(key, jobs, 2), ENVOL_E_RANGE);
    ck_assert_int_eq(kernel->gcm_open(key, jobs, 2), ENVOL_E_RANGE);
    ck_assert_uint_eq(few[0], 7);
    if (kernel->xts_key_bytes == 0)
        return;
    ck_assert_int_eq(kernel->xts_init(key, raw), ENVOL_OK);
    ck_assert_int_eq(kernel->xts_encrypt(key, &xts, 1), ENVOL_E_RANGE);
    ck_assert_int_eq(kernel->xts_decrypt(key, &xts, 1), ENVOL_E_RANGE);
    xts.bytes = (16u << 20) + 1;
    ck_assert_int_eq(kernel->xts_encrypt(key, &xts, 1), ENVOL_E_RANGE);
    ck_assert_uint_eq(few[0], 7);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("aes");
    TCase *none = tcase_create("none"), *reference = tcase_create("reference");
    TCase *choice = tcase_create("choice"), *kernels = tcase_create("kernels");
    int n = test_kernel_count(), all = test_all_kernel_count();

#if ENVOL_WITH_LIBCRYPTO
    tcase_add_test(none, no_kernel_at_all);
#endif
    tcase_add_test(reference, reference_block);
    tcase_add_test(reference, reference_gcm_vector);
    tcase_add_test(reference, reference_xts_vector);
    tcase_add_loop_test(choice, table_is_sound, 0, all);
    tcase_add_loop_test(choice, forced_kernel_is_the_only_one, 0, n);
    tcase_add_test(choice, unknown_kernel_cannot_be_forced);
    tcase_add_test(choice, choice_is_the_first_usable);
#if defined(__x86_64__)
    tcase_add_test(choice, libsodium_needs_aes_instructions);
    tcase_add_test(choice, forced_kernel_that_became_unusable);
#endif
    tcase_add_loop_test(kernels, blocks_equal_the_reference, 0, all);
    tcase_add_loop_test(kernels, aes_key_schedule, 0, all);
    tcase_add_loop_test(kernels, equal_xts_keys_are_refused, 0, all);
    tcase_add_loop_test(kernels, lengths_out_of_range, 0, all);
    suite_add_tcase(s, none);
    suite_add_tcase(s, reference);
    suite_add_tcase(s, choice);
    suite_add_tcase(s, kernels);
    return s;
}

int main(void)
{
    return test_run(suite());
}
