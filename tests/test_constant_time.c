/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No branch and no address depends on a secret: memcheck is told that keys and plaintexts are
 * undefined, and with them all that is computed from them (GHASH's key, tags), and reports every
 * decision made on them.  The suite runs itself under valgrind, once for each kernel.
 *
 * Two answers about secrets are public: whether a tag matches, and whether K1 equals K2.  A probe
 * counts those that it asks for, and there must be one report for each of them and no other.
 */
#include "base/kdf.h"
#include "base/memory.h"
#include "kernels.h"
#include "page/chunked.h"
#include "page/log_run.h"
#include "page/xaes.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HAVE_MEMCHECK 1
#endif
#endif

#define PROBE_ARGUMENT "--probe"

/* Exit statuses of a probing process. */
enum { PROBE_GOOD = 0, PROBE_BAD = 1, PROBE_BLIND = 2, PROBE_UNUSABLE = 3, NO_VALGRIND = 127 };

#ifdef HAVE_MEMCHECK
/* More than two stripes of the widest vectors; and lengths that end in each part of the text. */
#define TEXT_BYTES 1100u
#define BATCH      17u
static const size_t lengths[] = {0, 1, 16, 17, 31, 64, 100, 192, 511, 512, 640, TEXT_BYTES};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static uint8_t key[64], text[TEXT_BYTES], out[BATCH][TEXT_BYTES], tags[BATCH][16];
/* Public answers that a probe has asked for. */
static unsigned verdicts;

static void conceal(void)
{
    memset(key, 0x5a, 32);
    memset(key + 32, 0xa7, 32);
    memset(text, 0xc3, sizeof(text));
    VALGRIND_MAKE_MEM_UNDEFINED(key, sizeof(key));
    VALGRIND_MAKE_MEM_UNDEFINED(text, sizeof(text));
    verdicts = 0;
}

static bool probe_blocks(const struct envol_aes_kernel *kernel)
{
    _Alignas(64) uint8_t expanded[ENVOL_AES_KEY_MAX];

    return kernel->block_init(expanded, key) == ENVOL_OK &&
           kernel->block_encrypt(expanded, text, text, 7) == ENVOL_OK;
}

/* --- GCM --- */

/* Sealed from the text, each to a place of its own; associated data is of several lengths. */
static bool seal(const struct envol_aes_kernel *kernel, const void *expanded,
                 struct envol_gcm_job *jobs, size_t count, size_t bytes)
{
    static const uint8_t nonce[12], aad[16 * BATCH];

    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct envol_gcm_job){.nonce = nonce,
                                         .aad = aad,
                                         .aad_bytes = i * 13,
                                         .in = text,
                                         .out = out[i],
                                         .bytes = bytes,
                                         .tag = tags[i]};
    return kernel->gcm_seal(expanded, jobs, count) == ENVOL_OK;
}

/* Opened where it was sealed.  The tag of one job may be wrong, or that of none. */
static bool open_sealed(const struct envol_aes_kernel *kernel, const void *expanded,
                        struct envol_gcm_job *jobs, size_t count, size_t wrong)
{
    bool good;

    for (size_t i = 0; i < count; i++) {
        jobs[i].in = out[i];
        tags[i][i % 16] ^= i == wrong;
    }
    verdicts += (unsigned)count;
    good = kernel->gcm_open(expanded, jobs, count) == ENVOL_OK;
    for (size_t i = 0; i < count; i++) {
        VALGRIND_MAKE_MEM_DEFINED(&jobs[i].failed, sizeof(jobs[i].failed));
        good &= jobs[i].failed == (i == wrong);
    }
    return good;
}

/* Seals and opens messages of all lengths, alone and in batches, authentic and not. */
static bool gcm_round_trips(const struct envol_aes_kernel *kernel, const void *expanded)
{
    struct envol_gcm_job jobs[BATCH];
    bool good = true;

    for (size_t i = 0; i < LENGTHS; i++)
        for (size_t count = 1; count <= 5; count += 4)
            for (size_t wrong = 0; wrong <= count; wrong += count)
                good &= seal(kernel, expanded, jobs, count, lengths[i]) &&
                        open_sealed(kernel, expanded, jobs, count, wrong);
    return good;
}

static bool probe_gcm(const struct envol_aes_kernel *kernel)
{
    _Alignas(64) uint8_t expanded[ENVOL_AES_KEY_MAX];

    return kernel->gcm_init(expanded, key) == ENVOL_OK && gcm_round_trips(kernel, expanded);
}

/* A tag that an attacker chose, over a text that is theirs as well. */
static bool probe_forgery(const struct envol_aes_kernel *kernel)
{
    static const uint8_t nonce[12], cipher[40];
    uint8_t tag[16] = {1};
    struct envol_gcm_job job = {
        .nonce = nonce, .in = cipher, .out = out[0], .bytes = sizeof(cipher), .tag = tag};
    _Alignas(64) uint8_t expanded[ENVOL_AES_KEY_MAX];

    verdicts++;
    if (kernel->gcm_init(expanded, key) != ENVOL_OK ||
        kernel->gcm_open(expanded, &job, 1) != ENVOL_OK)
        return false;
    VALGRIND_MAKE_MEM_DEFINED(&job.failed, sizeof(job.failed));
    return job.failed;
}

/* By gcm_derive, where the kernel has it. */
static bool probe_xaes(const struct envol_aes_kernel *kernel)
{
    static const uint8_t salt[ENVOL_XAES_SALT_BYTES];
    _Alignas(64) uint8_t expanded[ENVOL_AES_KEY_MAX];
    struct envol_xaes_key xaes;

    return envol_xaes_init(kernel, &xaes, key) == ENVOL_OK &&
           envol_xaes_derive(kernel, &xaes, salt, expanded) == ENVOL_OK &&
           gcm_round_trips(kernel, expanded);
}

static bool probe_chunked(const struct envol_aes_kernel *kernel)
{
    static uint8_t message[ENVOL_CHUNKED_HEADER_BYTES + sizeof(text) + ENVOL_CHUNKED_TAG_BYTES];

    if (!envol_aes_kernel_force(kernel->name))
        return true; /* an emulated one, which the library knows nothing of */
    return envol_chunked_seal(key, "c", 1, text, sizeof(text), message) == ENVOL_OK;
}

/* A run of a log, the DEK a secret: its salt is drawn, and its commitment is published. */
static bool probe_log(const struct envol_aes_kernel *kernel)
{
    static uint8_t sealed[1200], uuid[ENVOL_UUID_BYTES];
    const struct envol_keyring_params ring = {.uuid = uuid,
                                              .suite = ENVOL_SUITE_AES_256_GCM,
                                              .page_bytes = 4096,
                                              .stride_bytes = 4144,
                                              .epoch = 1,
                                              .lowest = 1};
    const struct envol_log_run_params params = {
        .struct_size = sizeof(params), .run = 1, .start_lsn = 1};
    uint8_t dek[ENVOL_DEK_BYTES], header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_keyring *keyring;
    struct envol_log_run *run = NULL;
    bool good;

    if (!envol_aes_kernel_force(kernel->name))
        return true; /* an emulated one, which the library knows nothing of */
    memcpy(dek, key, 32);
    memcpy(dek + 32, key + 32, 32);
    good = envol_keyring_make(&ring, dek, &keyring) == ENVOL_OK &&
           envol_log_run_begin(keyring, &params, header, &run) == ENVOL_OK;
    for (uint32_t i = 0; good && i < LENGTHS; i++) {
        const struct envol_log_record record = {
            .lsn = 1 + i, .index = i, .data = text, .bytes = lengths[i]};
        good = envol_log_record_seal(run, &record, sealed) == ENVOL_OK;
    }
    envol_log_run_close(run);
    envol_keyring_close(keyring);
    return good;
}

/* --- XTS --- */

/* OpenSSL compares the halves again whenever it is given a key to encrypt with. */
static bool compares_at_each_call(const struct envol_aes_kernel *kernel)
{
    return strcmp(kernel->name, "libcrypto") == 0;
}

static bool xts_round_trip(const struct envol_aes_kernel *kernel, const void *expanded,
                           size_t count, size_t bytes)
{
    struct envol_xts_job jobs[BATCH];
    bool good;

    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct envol_xts_job){
            .tweak = {(uint8_t)i}, .in = text, .out = out[i], .bytes = bytes};
    verdicts += compares_at_each_call(kernel);
    good = kernel->xts_encrypt(expanded, jobs, count) == ENVOL_OK;
    for (size_t i = 0; i < count; i++)
        jobs[i].in = out[i];
    return good && kernel->xts_decrypt(expanded, jobs, count) == ENVOL_OK;
}

static bool probe_xts(const struct envol_aes_kernel *kernel)
{
    static const size_t counts[] = {1, 3, BATCH};
    _Alignas(64) uint8_t expanded[ENVOL_AES_KEY_MAX];
    bool good;

    if (kernel->xts_key_bytes == 0)
        return true;
    verdicts++;
    good = kernel->xts_init(expanded, key) == ENVOL_OK;
    for (size_t i = 0; i < LENGTHS; i++)
        for (size_t j = 0; lengths[i] >= 16 && j < sizeof(counts) / sizeof(counts[0]); j++)
            good &= xts_round_trip(kernel, expanded, counts[j], lengths[i]);
    return good;
}

static bool probe_equal_xts_keys(const struct envol_aes_kernel *kernel)
{
    _Alignas(64) uint8_t expanded[ENVOL_AES_KEY_MAX];

    if (kernel->xts_key_bytes == 0)
        return true;
    memcpy(key + 32, key, 32);
    verdicts++;
    return kernel->xts_init(expanded, key) == ENVOL_E_ARGUMENT;
}

/* --- comparison --- */

/* The answer alone is public. */
static bool probe_equal(const struct envol_aes_kernel *kernel)
{
    uint8_t same[32];
    int equal, other = envol_equal(key, key + 32, 32);

    (void)kernel;
    memcpy(same, key, sizeof(same));
    equal = envol_equal(key, same, sizeof(same));
    VALGRIND_MAKE_MEM_DEFINED(&equal, sizeof(equal));
    VALGRIND_MAKE_MEM_DEFINED(&other, sizeof(other));
    return equal == 1 && other == 0;
}

/* What a leak looks like: a table that is read at a secret place. */
static bool probe_control(const struct envol_aes_kernel *kernel)
{
    static const volatile uint8_t table[256] = {1, 2, 3};

    (void)kernel;
    return table[key[0]] < 4;
}

static bool complains(const char *name, bool (*probe)(const struct envol_aes_kernel *),
                      const struct envol_aes_kernel *kernel)
{
    unsigned reports = (unsigned)VALGRIND_COUNT_ERRORS;
    bool good;

    conceal();
    good = probe(kernel);
    VALGRIND_MAKE_MEM_DEFINED(&good, sizeof(good));
    reports = (unsigned)VALGRIND_COUNT_ERRORS - reports;
    if (good && reports == verdicts)
        return false;
    fprintf(stderr, "%s: %s: %s, %u reports by memcheck for %u verdicts\n", kernel->name, name,
            good ? "works" : "fails", reports, verdicts);
    return true;
}

static int probe_all(const char *name)
{
    static const struct {
        const char *name;
        bool (*probe)(const struct envol_aes_kernel *);
    } probes[] = {{"blocks", probe_blocks},
                  {"gcm", probe_gcm},
                  {"forgery", probe_forgery},
                  {"xaes", probe_xaes},
                  {"chunked", probe_chunked},
                  {"log", probe_log},
                  {"xts", probe_xts},
                  {"equal", probe_equal},
                  {"equal xts keys", probe_equal_xts_keys}};
    const struct envol_aes_kernel *kernel = test_kernel_named(name);
    int verdict = PROBE_GOOD;

    if (kernel == NULL || !kernel->usable())
        return PROBE_UNUSABLE;
    if (!complains("control, which should", probe_control, kernel))
        return PROBE_BLIND;
    for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
        if (complains(probes[i].name, probes[i].probe, kernel))
            verdict = PROBE_BAD;
    return verdict;
}
#else
static int probe_all(const char *name)
{
    (void)name;
    return PROBE_BLIND;
}
#endif

/* This program again, under valgrind. */
static int run_under_valgrind(const char *kernel)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int status;
    pid_t child;

    ck_assert_int_gt(length, 0);
    self[length] = '\0';
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        execlp("valgrind", "valgrind", "-q", self, PROBE_ARGUMENT, kernel, (char *)NULL);
        _exit(NO_VALGRIND);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(nothing_depends_on_a_secret)
{
    const char *kernel = test_kernel_at(_i)->name;
    int verdict = run_under_valgrind(kernel);

    if (verdict == NO_VALGRIND)
        test_skip("constant time", "valgrind is not installed");
    else if (verdict == PROBE_UNUSABLE)
        test_skip(kernel, "this machine, or valgrind's, cannot run it");
    else
        ck_assert_int_eq(verdict, PROBE_GOOD);
}
END_TEST

static const char *why_not(void)
{
#ifndef HAVE_MEMCHECK
    return "built without valgrind's headers";
#else
    return test_tool() != NULL ? "it runs valgrind itself, not under another tool" : NULL;
#endif
}

static Suite *suite(void)
{
    Suite *s = suite_create("constant_time");
    TCase *kernels = tcase_create("kernels");

    suite_add_tcase(s, kernels);
    if (why_not() != NULL)
        test_skip("constant time", why_not());
    else
        tcase_add_loop_test(kernels, nothing_depends_on_a_secret, 0, test_all_kernel_count());
    tcase_set_timeout(kernels, 120);
    return s;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], PROBE_ARGUMENT) == 0)
        return probe_all(argv[2]);
    return test_run(suite());
}
