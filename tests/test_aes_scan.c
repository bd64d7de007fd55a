/* SPDX-License-Identifier: BSD-2-Clause */
/* No round key, GHASH key or derived key is left in the process's memory by what uses kernels. */
#include "aes_calls.h"
#include "base/memory.h"
#include "kernels.h"
#include "needles.h"
#include "page/chunked.h"
#include "page/xaes.h"
#include "reference_aes.h"
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if ENVOL_WITH_LIBCRYPTO
#include <openssl/evp.h>
#endif

/* What is looked for lies with the keys in one mapping, where no scan looks. */
struct secrets {
    struct vault vault;
    uint8_t derived[32];
    struct needles needles;
};

static struct secrets *secrets_new(void)
{
    return vault_new(sizeof(struct secrets));
}

/* What the test itself left on the stack while it computed. */
__attribute__((noinline)) static void clear_stack(void)
{
    uint8_t frames[65536];

    envol_wipe(frames, sizeof(frames));
}

static void needles_of(struct secrets *secrets, const uint8_t raw[32])
{
    needles_add_aes(&secrets->needles, raw);
    clear_stack();
}

/* --- the scanner --- */

/* A mapping, but for what the secrets take of it: the kernel merges neighbours. */
static const uint8_t *scan_mapping(const struct secrets *secrets, uintptr_t from, uintptr_t to)
{
    uintptr_t first = (uintptr_t)secrets, last = (uintptr_t)(secrets + 1);
    const uint8_t *found = NULL;

    if (first < from || first >= to)
        return needles_find(&secrets->needles, (const uint8_t *)from, (const uint8_t *)to);
    found = needles_find(&secrets->needles, (const uint8_t *)from, (const uint8_t *)first);
    return found != NULL
               ? found
               : needles_find(&secrets->needles, (const uint8_t *)last, (const uint8_t *)to);
}

/* All writable memory but the secrets: name of the mapping where a needle was found last, or "". */
static const char *scan(const struct secrets *secrets)
{
    static char line[512], where[600];
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t from, to;
    char mode[5];

    ck_assert_ptr_nonnull(maps);
    where[0] = '\0';
    while (fgets(line, sizeof(line), maps) != NULL) {
        const uint8_t *found = NULL;
        ck_assert_int_eq(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode), 3);
        if (strncmp(mode, "rw", 2) == 0)
            found = scan_mapping(secrets, from, to);
        if (found != NULL)
            snprintf(where, sizeof(where), "%p in %s", (const void *)found, line);
    }
    fclose(maps);
    return where;
}

/* So far below its caller's frame the call's own frames lie, out of reach of what a scan leaves. */
#define DEPTH_BYTES 8192u

__attribute__((noinline)) static void deep(void (*call)(struct calls *), struct calls *c)
{
    uint8_t depth[DEPTH_BYTES];

    envol_wipe(depth, sizeof(depth));
    call(c);
    /* A call here would write over what is looked for. */
    __asm__ volatile("" : : "r"(depth) : "memory");
}

/* The stack below deep's frame, before any other call can overwrite it. */
static bool left_on_stack(const struct secrets *secrets, struct calls *c,
                          void (*call)(struct calls *))
{
    const uint8_t *frame = __builtin_frame_address(0);

    deep(call, c);
    return needles_find(&secrets->needles, frame - 5 * DEPTH_BYTES, frame - DEPTH_BYTES) != NULL;
}

/* --- the scanner finds what is there --- */

START_TEST(scan_finds_what_is_kept)
{
    struct secrets *secrets = secrets_new();
    uint8_t *copy = malloc(16);
    uint8_t on_stack[16];

    ck_assert_ptr_nonnull(copy);
    needles_of(secrets, secrets->vault.raw);
    ck_assert_str_eq(scan(secrets), "");
    memcpy(copy, secrets->needles.needle[7], 16);
    ck_assert_str_ne(scan(secrets), "");
    envol_wipe(copy, 16);
    ck_assert_str_eq(scan(secrets), "");
    memcpy(on_stack, secrets->needles.needle[28], 16);
    ck_assert_str_ne(scan(secrets), "");
    envol_wipe(on_stack, 16);
    ck_assert_str_eq(scan(secrets), "");
    free(copy);
}
END_TEST

/* A function that leaves a round key in its frame, as libraries do. */
static void careless(struct calls *c)
{
    const struct secrets *secrets = (const struct secrets *)c->vault;
    uint8_t frame[512];

    memcpy(frame, secrets->needles.needle[5], 16);
    __asm__ volatile("" : : "r"(frame) : "memory");
}

START_TEST(scan_finds_what_a_frame_leaves)
{
    struct secrets *secrets = secrets_new();
    struct calls c = {.vault = &secrets->vault};

    needles_of(secrets, secrets->vault.raw);
    ck_assert(left_on_stack(secrets, &c, careless));
    clear_stack();
    ck_assert_str_eq(scan(secrets), "");
}
END_TEST

#if ENVOL_WITH_LIBCRYPTO
START_TEST(scan_finds_a_kept_context)
{
    static const char *const names[] = {"AES-256-ECB", "AES-256-GCM", "AES-256-XTS"};
    struct secrets *secrets = secrets_new();

    needles_of(secrets, secrets->vault.raw);
    for (size_t i = 0; i < 3; i++)
        for (int encrypt = 0; encrypt <= 1; encrypt++) {
            EVP_CIPHER_CTX *kept = EVP_CIPHER_CTX_new();
            EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[i], NULL);
            ck_assert_int_eq(
                EVP_CipherInit_ex2(kept, cipher, secrets->vault.raw, NULL, encrypt, NULL), 1);
            clear_stack();
            ck_assert_str_ne(scan(secrets), "");
            EVP_CIPHER_CTX_free(kept);
            EVP_CIPHER_free(cipher);
            clear_stack();
            ck_assert_str_eq(scan(secrets), "");
        }
}
END_TEST
#endif

/* --- kernels, and what is built on them --- */

START_TEST(calls_leave_no_key)
{
    struct secrets *secrets = secrets_new();
    struct calls c = {.kernel = test_kernel(_i), .vault = &secrets->vault};

    if (c.kernel == NULL)
        return;
    needles_of(secrets, secrets->vault.raw);
    needles_of(secrets, secrets->vault.raw + 32);
    ck_assert_str_eq(scan(secrets), "");
    ck_assert(!left_on_stack(secrets, &c, call_all));
    ck_assert_str_eq(scan(secrets), "");
    ck_assert_uint_eq(c.failures, 0);
}
END_TEST

/* One call after the other: what one leaves, the next might overwrite. */
static void expand_block_key(struct calls *c)
{
    c->failures += c->kernel->block_init(c->vault->block_key, c->vault->raw) != ENVOL_OK;
}

static void encrypt_blocks(struct calls *c)
{
    c->failures += c->kernel->block_encrypt(c->vault->block_key, c->text, c->text, 6) != ENVOL_OK;
}

static void expand_gcm_key(struct calls *c)
{
    c->failures += c->kernel->gcm_init(c->vault->gcm_key, c->vault->raw) != ENVOL_OK;
}

static void seal(struct calls *c)
{
    struct envol_gcm_job job = {
        .nonce = c->nonce, .in = c->text, .out = c->text, .bytes = CALLS_TEXT_BYTES, .tag = c->tag};

    c->failures += c->kernel->gcm_seal(c->vault->gcm_key, &job, 1) != ENVOL_OK;
}

START_TEST(no_single_call_leaves_a_key)
{
    static void (*const steps[])(struct calls *) = {expand_block_key, encrypt_blocks,
                                                    expand_gcm_key, seal};
    struct secrets *secrets = secrets_new();
    struct calls c = {.kernel = test_kernel(_i), .vault = &secrets->vault};

    if (c.kernel == NULL)
        return;
    needles_of(secrets, secrets->vault.raw);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        ck_assert_msg(!left_on_stack(secrets, &c, steps[i]), "%s: step %zu", c.kernel->name, i);
        clear_stack();
    }
    ck_assert_uint_eq(c.failures, 0);
}
END_TEST

static void derive_all(struct calls *c)
{
    struct vault *v = c->vault;
    uint8_t message[ENVOL_CHUNKED_HEADER_BYTES + CALLS_TEXT_BYTES + ENVOL_CHUNKED_TAG_BYTES];
    size_t bytes;

    c->failures += envol_xaes_init(c->kernel, &v->xaes, v->raw) != ENVOL_OK;
    c->failures += envol_xaes_derive(c->kernel, &v->xaes, c->nonce, v->gcm_key) != ENVOL_OK;
    c->failures +=
        envol_chunked_seal(v->raw, "c", 1, c->text, CALLS_TEXT_BYTES, message) != ENVOL_OK;
    c->failures +=
        envol_chunked_open(v->raw, "c", 1, message, sizeof(message), c->text, &bytes) != ENVOL_OK;
}

/* CMAC by hand: the derived key is two blocks of counter, label and salt, each with K1. */
static void derive_by_hand(struct secrets *secrets, const uint8_t salt[12])
{
    for (size_t i = 0; i < 2; i++) {
        uint8_t *block = secrets->derived + 16 * i;
        memcpy(block, secrets->vault.xaes.k1, 16);
        block[1] ^= (uint8_t)(i + 1);
        block[2] ^= 'X';
        for (size_t j = 0; j < 12; j++)
            block[4 + j] ^= salt[j];
        reference_encrypt(secrets->vault.raw, block, block);
    }
}

/* The keys that XAES-256-GCM and Cobblestone-256 derive on their way. */
START_TEST(derivations_leave_no_key)
{
    struct secrets *secrets = secrets_new();
    struct vault *v = &secrets->vault;
    struct calls c = {.kernel = test_kernel(_i), .vault = v, .nonce = {1, 2, 3}};

    if (c.kernel == NULL)
        return;
    ck_assert(envol_aes_kernel_force(c.kernel->name));
    ck_assert_int_eq(envol_xaes_init(c.kernel, &v->xaes, v->raw), ENVOL_OK);
    derive_by_hand(secrets, c.nonce);
    needles_of(secrets, v->raw);
    needles_of(secrets, secrets->derived);
    needles_add(&secrets->needles, v->xaes.k1);
    ck_assert_str_eq(scan(secrets), "");
    ck_assert(!left_on_stack(secrets, &c, derive_all));
    ck_assert_str_eq(scan(secrets), "");
    ck_assert_uint_eq(c.failures, 0);
    ck_assert(envol_aes_kernel_force(NULL));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("aes_scan");
    TCase *scanner = tcase_create("scanner"), *kernels = tcase_create("kernels");
    int n = test_kernel_count();

    suite_add_tcase(s, scanner);
    suite_add_tcase(s, kernels);
    /* Shadow memory and emulation make a scan of everything too long, or an error of its own. */
    if (test_tool() != NULL) {
        test_skip("scans for key bytes", "not under a sanitizer or emulator");
        return s;
    }
    tcase_add_test(scanner, scan_finds_what_is_kept);
    tcase_add_test(scanner, scan_finds_what_a_frame_leaves);
#if ENVOL_WITH_LIBCRYPTO
    tcase_add_test(scanner, scan_finds_a_kept_context);
#endif
    tcase_add_loop_test(kernels, calls_leave_no_key, 0, n);
    tcase_add_loop_test(kernels, no_single_call_leaves_a_key, 0, n);
    tcase_add_loop_test(kernels, derivations_leave_no_key, 0, n);
    return s;
}

int main(void)
{
    return test_run(suite());
}
