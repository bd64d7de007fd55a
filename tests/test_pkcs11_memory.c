/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of the provider pkcs11: secrets that a call leaves behind, allocations that fail.  Apart
 * from the other suites because it replaces calloc.
 */
#include "pkcs11_fixture.h"

#include "pkcs11/pkcs11.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- calloc --- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_CALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_CALLOC 0
#endif
#endif
#ifndef OWN_CALLOC
#define OWN_CALLOC 1
#endif

/* The allocation that is to fail, by its two arguments: p11-kit's go on. */
static volatile size_t failing_count, failing_bytes;
static volatile unsigned failed;

#if OWN_CALLOC
void *__libc_calloc(size_t count, size_t bytes);

void *calloc(size_t count, size_t bytes)
{
    if (count == failing_count && bytes == failing_bytes) {
        failed++;
        return NULL;
    }
    return __libc_calloc(count, bytes);
}
#endif

static void fail_calloc(size_t count, size_t bytes)
{
    failing_count = count;
    failing_bytes = bytes;
    failed = 0;
}

static bool can_fail(void)
{
    if (OWN_CALLOC && test_tool() == NULL)
        return true;
    test_skip("allocations that fail", "the tool has a calloc of its own");
    return false;
}

START_TEST(opening_without_memory)
{
    const struct envol_pkcs11_options options = {
        .struct_size = sizeof(options), .uri = "pkcs11:id=%01%02", .module_path = pkcs11.module};
    struct envol_provider *provider = pkcs11.provider;

    if (!can_fail())
        return;
    fail_calloc(1, sizeof(struct envol_pkcs11));
    ck_status(envol_pkcs11_provider_open(&options, &provider, &pkcs11.error), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(provider);
    ck_assert_uint_eq(failed, 1);
    fail_calloc(2, sizeof(CK_FUNCTION_LIST *));
    ck_status(envol_pkcs11_provider_open(&options, &provider, &pkcs11.error), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(provider);
    ck_assert_uint_eq(failed, 1);
    fail_calloc(0, 0);
    ck_ok(envol_pkcs11_provider_open(&options, &provider, &pkcs11.error));
    envol_provider_close(provider);
}
END_TEST

START_TEST(listing_slots_without_memory)
{
    if (!can_fail())
        return;
    pkcs11.token->tokens = 3;
    fail_calloc(3, sizeof(CK_SLOT_ID));
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_NO_MEMORY);
    ck_assert_uint_eq(failed, 1);
    fail_calloc(0, 0);
    pkcs11.token->tokens = 1;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
}
END_TEST

/* --- secrets --- */

enum { NEEDLE = 16, MASK = 0x5c, DEPTH_BYTES = 65536 };

/* A needle, masked: a scan that has it in its hands does not find that. */
static uint8_t masked[NEEDLE];
/* Where a secret may lie: a page of the test's own. */
static uint8_t *vault;

static bool is_in(const uint8_t *from, const uint8_t *to)
{
    for (const uint8_t *at = from; at + NEEDLE <= to; at++) {
        size_t same = 0;

        while (same < NEEDLE && (at[same] ^ MASK) == masked[same])
            same++;
        if (same == NEEDLE)
            return true;
    }
    return false;
}

/* All that is private and writable, but for the vault. */
static bool is_in_memory(void)
{
    static char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t from, to;
    char mode[5];
    bool found = false;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        ck_assert_int_eq(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode), 3);
        if (strncmp(mode, "rw", 2) != 0 || from == (uintptr_t)vault)
            continue;
        found = found || is_in((const uint8_t *)from, (const uint8_t *)to);
    }
    fclose(maps);
    return found;
}

static bool begin_scan(void)
{
    if (test_tool() != NULL) {
        test_skip("secrets in memory", "the tool has memory of its own");
        return false;
    }
    vault = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(vault, MAP_FAILED);
    return true;
}

static void set_needle(const uint8_t *secret)
{
    for (size_t i = 0; i < NEEDLE; i++)
        masked[i] = secret[i] ^ MASK;
}

/* So far below that what is called after it overwrites nothing. */
__attribute__((noinline)) static void deep(void (*body)(void))
{
    volatile uint8_t depth[DEPTH_BYTES];

    depth[0] = depth[DEPTH_BYTES - 1] = 0;
    body();
}

static void do_generate(void)
{
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
}

/* Digits, and nobody's copy but the vault's: the token's own is masked. */
static void make_pin(void)
{
    for (size_t i = 0; i < NEEDLE; i++) {
        vault[i] = (uint8_t)('0' + test_random() % 10);
        pkcs11.token->pin[i] = (char)(vault[i] ^ MASK);
    }
    vault[NEEDLE] = '\0';
    pkcs11.token->pin_mask = MASK;
    pkcs11.token->pin_bytes = NEEDLE;
    pkcs11.token->needs_login = true;
    set_needle(vault);
}

START_TEST(the_scan_finds_what_is_there)
{
    static volatile uint8_t copy[NEEDLE];

    if (!begin_scan())
        return;
    make_pin();
    ck_assert(!is_in_memory());
    for (size_t i = 0; i < NEEDLE; i++)
        copy[i] = vault[i];
    ck_assert(is_in_memory());
    ck_assert_int_eq(copy[0], vault[0]);
}
END_TEST

START_TEST(a_callbacks_pin_is_wiped)
{
    if (!begin_scan())
        return;
    make_pin();
    pkcs11.pin = (const char *)vault;
    deep(do_generate);
    ck_assert(!is_in_memory());
    ck_assert_uint_eq(pkcs11.pins_asked, 1);
    /* A refused one too, which is remembered by its hash. */
    vault[0] ^= 1;
    set_needle(vault);
    pkcs11.token->logged_in = false;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    ck_assert_uint_eq(pkcs11.pins_asked, 2);
    ck_assert(!is_in_memory());
}
END_TEST

START_TEST(a_files_pin_is_wiped)
{
    char path[PATH_MAX], uri[PATH_MAX + 64];
    int fd;

    if (!begin_scan())
        return;
    fd = open(test_path("pin"), O_WRONLY | O_CREAT | O_EXCL, 0600);
    make_pin();
    ck_assert_int_eq(write(fd, vault, NEEDLE), NEEDLE);
    close(fd);
    ck_assert_ptr_nonnull(realpath(test_path("pin"), path));
    snprintf(uri, sizeof(uri), "pkcs11:id=%%01%%02?pin-source=file:%s", path);
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open(uri);
    deep(do_generate);
    ck_assert_uint_eq(pkcs11.token->calls[FAKE_LOGIN], 1);
    ck_assert(!is_in_memory());
}
END_TEST

/* Into the vault, as a caller's locked memory. */
static void generate_and_unwrap(void)
{
    struct envol_key_request fresh = pkcs11_request(NULL), slot = pkcs11_request("");

    ck_ok(envol_provider_generate(pkcs11.provider, &fresh, vault, &pkcs11.wrapped, &pkcs11.error));
    ck_ok(envol_provider_unwrap(pkcs11.provider, &slot, pkcs11.wrapped.wrapped,
                                pkcs11.wrapped.wrapped_bytes, vault + ENVOL_DEK_BYTES,
                                &pkcs11.error));
    ck_assert_mem_eq(vault, vault + ENVOL_DEK_BYTES, ENVOL_DEK_BYTES);
}

START_TEST(a_dek_is_where_the_caller_wants_it_alone)
{
    if (!begin_scan())
        return;
    deep(generate_and_unwrap);
    for (size_t at = 0; at < ENVOL_DEK_BYTES; at += NEEDLE) {
        set_needle(vault + at);
        ck_assert(!is_in_memory());
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pkcs11 memory");
    TCase *tests = pkcs11_case(suite, "memory");

    tcase_add_test(tests, opening_without_memory);
    tcase_add_test(tests, listing_slots_without_memory);
    tcase_add_test(tests, the_scan_finds_what_is_there);
    tcase_add_test(tests, a_callbacks_pin_is_wiped);
    tcase_add_test(tests, a_files_pin_is_wiped);
    tcase_add_test(tests, a_dek_is_where_the_caller_wants_it_alone);
    return test_run(suite);
}
