/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages as engines have them, 512 bytes to 1 MiB: every kernel against every other, and the choice
 * of a kernel as features of the processor go away one after the other. */
#include "aes/kernels.h"
#include "base/cpu.h"
#include "kernels.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_MAX = 1 << 20, PAGES = 20 };

/* What one kernel makes of a batch; all kernels are given the same. */
struct batch {
    uint8_t *plain, *cipher, *back;
    uint8_t raw[64], nonces[PAGES][12], aad[64], tags[PAGES][16];
    size_t bytes, count;
};

static void batch_new(struct batch *b)
{
    b->plain = malloc(3 * (size_t)PAGE_MAX);
    ck_assert_ptr_nonnull(b->plain);
    b->cipher = b->plain + PAGE_MAX;
    b->back = b->cipher + PAGE_MAX;
}

/* As many pages of one size as a mebibyte holds. */
static void batch_fill(struct batch *b, size_t bytes)
{
    b->bytes = bytes;
    b->count = PAGE_MAX / bytes < PAGES ? PAGE_MAX / bytes : PAGES;
    test_fill(b->plain, b->count * bytes);
    test_fill(b->raw, sizeof(b->raw));
    test_fill(b->nonces, sizeof(b->nonces));
    test_fill(b->aad, sizeof(b->aad));
}

static void gcm_run(const struct envol_aes_kernel *kernel, struct batch *b, const uint8_t *in,
                    uint8_t *out, bool seal)
{
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    struct envol_gcm_job jobs[PAGES];

    for (size_t i = 0; i < b->count; i++)
        jobs[i] = (struct envol_gcm_job){.nonce = b->nonces[i],
                                         .aad = b->aad,
                                         .aad_bytes = sizeof(b->aad),
                                         .in = in + i * b->bytes,
                                         .out = out + i * b->bytes,
                                         .bytes = b->bytes,
                                         .tag = b->tags[i]};
    ck_assert_int_eq(kernel->gcm_init(key, b->raw), ENVOL_OK);
    ck_assert_int_eq((seal ? kernel->gcm_seal : kernel->gcm_open)(key, jobs, b->count), ENVOL_OK);
    for (size_t i = 0; !seal && i < b->count; i++)
        ck_assert_msg(!jobs[i].failed, "%s: page %zu of %zu bytes", kernel->name, i, b->bytes);
}

static void xts_run(const struct envol_aes_kernel *kernel, struct batch *b, const uint8_t *in,
                    uint8_t *out, bool encrypt)
{
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
    struct envol_xts_job jobs[PAGES];

    for (size_t i = 0; i < b->count; i++) {
        jobs[i] = (struct envol_xts_job){
            .in = in + i * b->bytes, .out = out + i * b->bytes, .bytes = b->bytes};
        memcpy(jobs[i].tweak, b->nonces[i], 12);
    }
    ck_assert_int_eq(kernel->xts_init(key, b->raw), ENVOL_OK);
    ck_assert_int_eq((encrypt ? kernel->xts_encrypt : kernel->xts_decrypt)(key, jobs, b->count),
                     ENVOL_OK);
}

typedef void run_function(const struct envol_aes_kernel *, struct batch *, const uint8_t *,
                          uint8_t *, bool);

/* What one kernel made apart, another unmakes in place, and makes again in place. */
static void both_ways(run_function *run, struct batch *b, const struct envol_aes_kernel *one,
                      const struct envol_aes_kernel *other)
{
    size_t bytes = b->count * b->bytes;

    run(one, b, b->plain, b->cipher, true);
    memcpy(b->back, b->cipher, bytes);
    run(other, b, b->back, b->back, false);
    ck_assert_msg(memcmp(b->back, b->plain, bytes) == 0, "%s to %s, %zu bytes", one->name,
                  other->name, b->bytes);
    run(other, b, b->back, b->back, true);
    ck_assert_msg(memcmp(b->back, b->cipher, bytes) == 0, "%s and %s, %zu bytes", one->name,
                  other->name, b->bytes);
}

/* Each kernel against the one behind it in the table, where libraries' are among them. */
static void all_pairs(run_function *run, struct batch *b, bool xts)
{
    const struct envol_aes_kernel *last = NULL;

    for (int i = 0; test_kernel_at(i) != NULL; i++) {
        const struct envol_aes_kernel *kernel = test_kernel_at(i);
        if (!kernel->usable() || (xts && kernel->xts_key_bytes == 0))
            continue;
        if (last != NULL)
            both_ways(run, b, last, kernel);
        last = kernel;
    }
}

START_TEST(pages_of_every_size)
{
    const int rounds = test_tool() == NULL ? 4 : 1;
    struct batch b;

    batch_new(&b);
    for (size_t bytes = 512; bytes <= PAGE_MAX; bytes *= 2) {
        for (int round = 0; round < rounds; round++) {
            batch_fill(&b, bytes);
            all_pairs(xts_run, &b, true);
            all_pairs(gcm_run, &b, false);
            /* A record of the power of two, with its trailer; and any multiple of a block. */
            batch_fill(&b, bytes - 48);
            all_pairs(gcm_run, &b, false);
            batch_fill(&b, bytes - 16 * (test_random() % (bytes / 32)));
            all_pairs(gcm_run, &b, false);
            all_pairs(xts_run, &b, true);
        }
    }
    free(b.plain);
}
END_TEST

#if defined(__x86_64__)
/* The fastest kernel goes with its feature, and the next one is chosen. */
START_TEST(features_go_one_after_the_other)
{
    static const struct {
        uint32_t feature;
        const char *kernel;
    } tiers[] = {
        {ENVOL_CPU_VAES512, "vaes512"}, {ENVOL_CPU_VAES256, "vaes256"}, {ENVOL_CPU_AESNI, "aesni"}};
    uint32_t mask = UINT32_MAX;

    for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++) {
        const struct envol_aes_kernel *chosen;

        envol_cpu_mask(mask);
        chosen = envol_aes_kernel(true);
        if (envol_cpu_features() & tiers[i].feature) {
            ck_assert_ptr_nonnull(chosen);
            ck_assert_str_eq(chosen->name, tiers[i].kernel);
            ck_assert_str_eq(envol_kernel_name(), tiers[i].kernel);
        } else {
            test_skip(tiers[i].kernel, "this machine cannot run it");
        }
        mask &= ~tiers[i].feature;
    }
    envol_cpu_mask(mask);
#if ENVOL_WITH_LIBCRYPTO
    ck_assert_str_eq(envol_kernel_name(), "libcrypto");
#else
    ck_assert_str_eq(envol_kernel_name(), "none");
#endif
    envol_cpu_mask(UINT32_MAX);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("aes_pages");
    TCase *tcase = tcase_create("pages");

    tcase_add_test(tcase, pages_of_every_size);
#if defined(__x86_64__)
    tcase_add_test(tcase, features_go_one_after_the_other);
#endif
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
