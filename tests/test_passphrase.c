/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The provider "passphrase": its format against another implementation, bounds before costs, and
 * every status.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "children.h"
#include "faults.h"
#include "kms_fixture.h"
#include "passphrase_fixture.h"

#include <string.h>

enum { BLOB = 168 };

/* envol(5), EXAMPLES: made by another implementation of Argon2id, HKDF and GCM. */
static const char golden_blob[] = "01000000004c00000200000001000000e0e1e2e3e4e5e6e7e8e9eaebecedeeef"
                                  "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7"
                                  "fe512769ac4d50192a39ec085baa5f19cdff780605c6d1d8f1dd3e1a957ee329"
                                  "c68533b88a802aa559078a2515c3471de053c72bb67b202429db6f442d3dd67f"
                                  "85dbefb35d72a05e2cb483dd235d1a07df5dbb048cd9ef71e098ffbe7fba57ec"
                                  "7c4d416daa26c9dc20114e5965ec2d6c";

static struct envol_provider *provider;
static struct envol_wrapped_dek wrapped;
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error;

static void set_up(void)
{
    memset(&person, 0, sizeof(person));
    memset(&wrapped, 0, sizeof(wrapped));
    wrapped.struct_size = sizeof(wrapped);
    error = (struct envol_error)ENVOL_ERROR_INIT;
    provider = passphrase_open(NULL);
    passphrase_stretched = 0;
}

static void tear_down(void)
{
    envol_provider_close(provider);
}

static enum envol_status generate(void)
{
    struct envol_key_request request = kms_request(NULL, NULL);

    return ck_note(envol_provider_generate(provider, &request, dek, &wrapped, &error));
}

static enum envol_status unwrap_as(const char *key_ref, uint8_t out[ENVOL_DEK_BYTES])
{
    struct envol_key_request request = kms_request(key_ref, "");
    enum envol_status status = ck_note(envol_provider_unwrap(provider, &request, wrapped.wrapped,
                                                             wrapped.wrapped_bytes, out, &error));

    if (status != ENVOL_OK)
        ck_assert(envol_is_zero(out, ENVOL_DEK_BYTES));
    return status;
}

static enum envol_status unwrap(void)
{
    uint8_t out[ENVOL_DEK_BYTES];
    enum envol_status status = unwrap_as(ENVOL_PASSPHRASE_LABEL, out);

    if (status == ENVOL_OK)
        ck_assert_mem_eq(out, dek, sizeof(dek));
    return status;
}

/* --- Wrapping --- */

START_TEST(end_to_end)
{
    struct envol_key_request request = kms_request(NULL, NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};

    ck_assert_str_eq(envol_provider_name(provider), "passphrase");
    ck_assert_uint_eq(envol_provider_capabilities(provider),
                      ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_SINGLE_KEY |
                          ENVOL_PROVIDER_LOCAL | ENVOL_PROVIDER_ONE_TRY);
    ck_assert_int_eq(generate(), ENVOL_OK);
    ck_assert_int_eq(person.use, ENVOL_PASSPHRASE_NEW);
    ck_assert_str_eq(person.label, ENVOL_PASSPHRASE_LABEL);
    ck_assert_uint_eq(wrapped.wrapped_bytes, BLOB);
    ck_assert_str_eq(wrapped.key_ref, ENVOL_PASSPHRASE_LABEL);
    ck_assert_str_eq(wrapped.key_version, "");
    ck_assert_int_eq(unwrap(), ENVOL_OK);
    ck_assert_int_eq(person.use, ENVOL_PASSPHRASE_UNLOCK);
    ck_ok(envol_provider_wrap(provider, &request, dek, &other, &error));
    ck_assert_mem_ne(other.wrapped + 16, wrapped.wrapped + 16, 16);
    ck_assert_mem_ne(other.wrapped + 32, wrapped.wrapped + 32, 136);
    wrapped = other;
    ck_assert_int_eq(unwrap(), ENVOL_OK);
    ck_assert_uint_eq(person.asked, 4);
    ck_assert_uint_eq(passphrase_stretched, 4);
    ck_ok(envol_provider_describe(provider, &request, &info, &error));
    ck_assert_int_eq(info.state, ENVOL_KEY_ENABLED);
    ck_assert_str_eq(info.key_ref, ENVOL_PASSPHRASE_LABEL);
    ck_assert_str_eq(info.key_version, "");
    ck_assert_uint_eq(person.asked, 4);
}
END_TEST

/* There is no service that could do it: the library unwraps and wraps. */
START_TEST(rewrapping)
{
    struct envol_key_request from = kms_request("old", ""), to = kms_request("new", NULL);
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};
    uint8_t out[ENVOL_DEK_BYTES];

    ck_assert_int_eq(generate(), ENVOL_OK);
    ck_ok(envol_provider_rewrap(provider, &from, wrapped.wrapped, BLOB, &to, &other, &error));
    ck_assert_str_eq(other.key_ref, "new");
    wrapped = other;
    ck_assert_int_eq(unwrap_as("new", out), ENVOL_OK);
    ck_assert_mem_eq(out, dek, sizeof(dek));
}
END_TEST

START_TEST(the_format_is_that_of_another_implementation)
{
    static const struct envol_context_pair pairs[] = {
        {"envol:epoch", "1"},
        {"envol:purpose", "dek"},
        {"envol:volume", "00112233-4455-4677-8899-aabbccddeeff"},
    };
    struct envol_key_request request = kms_request(NULL, "");
    uint8_t blob[BLOB], out[ENVOL_DEK_BYTES];

    ck_assert_uint_eq(test_unhex(golden_blob, blob, sizeof(blob)), BLOB);
    request.context = pairs;
    ck_ok(envol_provider_unwrap(provider, &request, blob, sizeof(blob), out, &error));
    for (size_t i = 0; i < sizeof(out); i++)
        ck_assert_uint_eq(out[i], i);
}
END_TEST

START_TEST(given_bytes_may_be_any)
{
    struct envol_passphrase_options options = passphrase_options("any");
    uint8_t bytes[ENVOL_PASSPHRASE_BYTES_MAX], out[ENVOL_DEK_BYTES];

    envol_provider_close(provider);
    memset(bytes, 0, sizeof(bytes));
    bytes[5] = 7;
    options.callback = NULL;
    options.passphrase = bytes;
    options.passphrase_bytes = sizeof(bytes);
    ck_ok(envol_passphrase_provider_open(&options, &provider));
    memset(bytes, 0xee, sizeof(bytes)); /* it was copied */
    ck_assert_int_eq(generate(), ENVOL_OK);
    ck_assert_int_eq(unwrap_as("any", out), ENVOL_OK);
    ck_assert_mem_eq(out, dek, sizeof(dek));
    envol_provider_close(provider);
    options.passphrase_bytes--;
    ck_ok(envol_passphrase_provider_open(&options, &provider));
    ck_assert_int_eq(unwrap_as("any", out), ENVOL_E_WRONG_KEY);
    ck_assert_uint_eq(person.asked, 0);
}
END_TEST

START_TEST(what_does_not_fit_is_the_wrong_key)
{
    static const struct envol_context_pair other[] = {{"envol:epoch", "2"}};
    struct envol_key_request request = kms_request(NULL, "");
    uint8_t out[ENVOL_DEK_BYTES];

    ck_assert_int_eq(generate(), ENVOL_OK);
    person.answer = "correct horse battery stapl";
    ck_assert_int_eq(unwrap(), ENVOL_E_WRONG_KEY);
    person.answer = PASSPHRASE " ";
    ck_assert_int_eq(unwrap(), ENVOL_E_WRONG_KEY);
    person.answer = PASSPHRASE;
    request.context = other;
    request.context_pairs = 1;
    ck_status(envol_provider_unwrap(provider, &request, wrapped.wrapped, BLOB, out, &error),
              ENVOL_E_WRONG_KEY);
    for (size_t byte = 16; byte < BLOB; byte += 15) {
        wrapped.wrapped[byte] ^= 0x40;
        ck_assert_int_eq(unwrap(), ENVOL_E_WRONG_KEY);
        wrapped.wrapped[byte] ^= 0x40;
    }
    envol_store32(wrapped.wrapped + 4, LEAST_MEMORY + 1024);
    ck_assert_int_eq(unwrap(), ENVOL_E_WRONG_KEY);
    envol_store32(wrapped.wrapped + 4, LEAST_MEMORY);
    envol_store32(wrapped.wrapped + 8, LEAST_PASSES + 1);
    ck_assert_int_eq(unwrap(), ENVOL_E_WRONG_KEY);
    envol_store32(wrapped.wrapped + 8, LEAST_PASSES);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

START_TEST(labels_name_slots)
{
    struct envol_key_request request = kms_request("elsewhere", NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};
    uint8_t out[ENVOL_DEK_BYTES];

    envol_provider_close(provider);
    provider = passphrase_open("recovery");
    ck_assert_int_eq(generate(), ENVOL_OK);
    ck_assert_str_eq(wrapped.key_ref, "recovery");
    ck_assert_str_eq(person.label, "recovery");
    ck_assert_int_eq(unwrap_as("recovery", out), ENVOL_OK);
    ck_assert_int_eq(unwrap_as(NULL, out), ENVOL_OK);
    passphrase_stretched = person.asked = 0;
    ck_assert_int_eq(unwrap_as("elsewhere", out), ENVOL_E_KEY_NOT_FOUND);
    ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error),
              ENVOL_E_KEY_NOT_FOUND);
    ck_status(envol_provider_describe(provider, &request, &info, &error), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_uint_eq(passphrase_stretched + person.asked, 0);
}
END_TEST

/* --- Bounds --- */

static void ck_refused(enum envol_status expected)
{
    struct envol_memory_stats before = {.struct_size = sizeof(before)}, after = before;
    unsigned asked = person.asked, calls = passphrase_stretched;

    ck_ok(envol_memory_stats(&before));
    ck_assert_int_eq(unwrap(), expected);
    ck_ok(envol_memory_stats(&after));
    ck_assert_uint_eq(person.asked, asked);
    ck_assert_uint_eq(passphrase_stretched, calls);
    ck_assert_uint_eq(before.locked_bytes, after.locked_bytes);
}

START_TEST(costs_are_checked_before_anything_is_spent)
{
    static const uint32_t memory[] = {0, 1, 8, 19455, 1048577, 1u << 30, UINT32_MAX};
    static const uint32_t passes[] = {0, 1, 17, 1u << 20, UINT32_MAX};
    static const uint32_t lanes[] = {0, 2, 4, UINT32_MAX};

    ck_assert_int_eq(generate(), ENVOL_OK);
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
        envol_store32(wrapped.wrapped + 4, memory[i]);
        ck_refused(ENVOL_E_CORRUPT);
    }
    ck_assert_ptr_nonnull(strstr(error.message, "4294967295 KiB"));
    envol_store32(wrapped.wrapped + 4, LEAST_MEMORY);
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        envol_store32(wrapped.wrapped + 8, passes[i]);
        ck_refused(ENVOL_E_CORRUPT);
    }
    envol_store32(wrapped.wrapped + 8, LEAST_PASSES);
    for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
        envol_store32(wrapped.wrapped + 12, lanes[i]);
        ck_refused(ENVOL_E_CORRUPT);
    }
    envol_store32(wrapped.wrapped + 12, 1);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

START_TEST(other_blobs_are_refused)
{
    ck_assert_int_eq(generate(), ENVOL_OK);
    for (unsigned version = 0; version < 256; version++) {
        wrapped.wrapped[0] = (uint8_t)version;
        if (version != 1)
            ck_refused(ENVOL_E_VERSION);
    }
    wrapped.wrapped[0] = 1;
    for (size_t byte = 1; byte < 4; byte++) {
        wrapped.wrapped[byte] = 1;
        ck_refused(ENVOL_E_CORRUPT);
        wrapped.wrapped[byte] = 0;
    }
    for (wrapped.wrapped_bytes = 1; wrapped.wrapped_bytes < 200; wrapped.wrapped_bytes++) {
        if (wrapped.wrapped_bytes != BLOB)
            ck_refused(ENVOL_E_CORRUPT);
    }
    wrapped.wrapped_bytes = ENVOL_WRAPPED_MAX;
    ck_refused(ENVOL_E_CORRUPT);
}
END_TEST

START_TEST(options_that_no_provider_has)
{
    const struct envol_passphrase_options good = passphrase_options("label");
    struct envol_passphrase_options bad[13];
    struct envol_provider *made;
    char long_label[ENVOL_KEY_REF_MAX + 2];

    memset(long_label, 'l', sizeof(long_label));
    long_label[sizeof(long_label) - 1] = '\0';
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        bad[i] = good;
    bad[0].struct_size--;
    bad[1].callback = NULL;
    bad[2].passphrase = "both";
    bad[2].passphrase_bytes = 4;
    bad[3].callback = NULL;
    bad[3].passphrase = "";
    bad[4].callback = NULL;
    bad[4].passphrase = long_label;
    bad[4].passphrase_bytes = ENVOL_PASSPHRASE_BYTES_MAX + 1;
    bad[5].label = "";
    bad[6].label = "two\nlines";
    bad[7].label = long_label;
    bad[8].memory_kib = LEAST_MEMORY - 1;
    bad[9].memory_kib = ENVOL_PASSPHRASE_MEMORY_KIB_MAX + 1;
    bad[10].passes = 1;
    bad[11].passes = 17;
    bad[12].flags = 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        made = provider;
        ck_status(envol_passphrase_provider_open(&bad[i], &made), ENVOL_E_ARGUMENT);
        ck_assert_ptr_null(made);
    }
    ck_status(envol_passphrase_provider_open(NULL, &made), ENVOL_E_ARGUMENT);
    ck_status(envol_passphrase_provider_open(&good, NULL), ENVOL_E_ARGUMENT);
}
END_TEST

START_TEST(defaults_are_those_of_the_manual)
{
    struct envol_passphrase_options options = passphrase_options(NULL);

    envol_provider_close(provider);
    options.memory_kib = options.passes = 0;
    ck_ok(envol_passphrase_provider_open(&options, &provider));
    if (test_tool() != NULL) {
        test_skip("passphrases at the default cost", "too slow under this tool");
        return;
    }
    ck_assert_int_eq(generate(), ENVOL_OK);
    ck_assert_uint_eq(envol_load32(wrapped.wrapped + 4), 262144);
    ck_assert_uint_eq(envol_load32(wrapped.wrapped + 8), 3);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

/* --- What goes wrong around it --- */

START_TEST(what_the_callback_says)
{
    static const enum envol_status said[] = {ENVOL_E_CANCELLED, ENVOL_E_CREDENTIALS, ENVOL_E_IO,
                                             ENVOL_E_KEY_DENIED};

    ck_assert_int_eq(generate(), ENVOL_OK);
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        person.status = said[i];
        ck_assert_int_eq(unwrap(), said[i]);
        ck_assert_int_eq(error.status, said[i]);
    }
    person.status = ENVOL_E_STALE; /* no provider's */
    ck_assert_int_eq(unwrap(), ENVOL_E_PROVIDER);
    person.status = ENVOL_OK;
    person.bytes = ENVOL_PASSPHRASE_BYTES_MAX + 1;
    ck_assert_int_eq(unwrap(), ENVOL_E_ARGUMENT);
    person.bytes = 0;
    person.answer = "";
    ck_assert_int_eq(unwrap(), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(generate(), ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(dek, sizeof(dek)));
    ck_assert_uint_eq(passphrase_stretched, 1);
}
END_TEST

static int cancel;

START_TEST(people_who_take_their_time)
{
    struct envol_key_request request = kms_request(NULL, NULL);

    request.cancel_flag = person.cancel = &cancel;
    ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error),
              ENVOL_E_CANCELLED);
    ck_assert_uint_eq(person.asked, 1);
    ck_assert_uint_eq(passphrase_stretched, 0);
    cancel = 0;
}
END_TEST

START_TEST(no_memory_for_argon2)
{
    ck_assert_int_eq(generate(), ENVOL_OK);
    passphrase_no_memory = true;
    ck_assert_int_eq(unwrap(), ENVOL_E_NO_MEMORY);
    ck_assert_int_eq(generate(), ENVOL_E_NO_MEMORY);
    passphrase_no_memory = false;
}
END_TEST

START_TEST(passphrases_are_wiped)
{
    static const char given[] = "a passphrase that was given";
    struct envol_passphrase_options options = passphrase_options(NULL);
    struct envol_memory_stats before = {.struct_size = sizeof(before)}, after = before;

    ck_ok(envol_memory_stats(&before));
    ck_assert_int_eq(generate(), ENVOL_OK);
    ck_assert(envol_is_zero(person.room, ENVOL_PASSPHRASE_BYTES_MAX));
    person.answer = "another";
    ck_assert_int_eq(unwrap_as(NULL, dek), ENVOL_E_WRONG_KEY);
    ck_assert(envol_is_zero(person.room, ENVOL_PASSPHRASE_BYTES_MAX));
    person.status = ENVOL_E_CANCELLED;
    ck_assert_int_eq(generate(), ENVOL_E_CANCELLED);
    ck_assert(envol_is_zero(person.room, ENVOL_PASSPHRASE_BYTES_MAX));
    envol_provider_close(provider);
    options.callback = NULL;
    options.passphrase = given;
    options.passphrase_bytes = sizeof(given);
    ck_ok(envol_passphrase_provider_open(&options, &provider));
    envol_provider_close(provider);
    provider = NULL;
    ck_ok(envol_memory_stats(&after));
    ck_assert_uint_eq(before.used_bytes, after.used_bytes);
}
END_TEST

static int use_in_child(void *given)
{
    struct envol_key_request fresh = kms_request(NULL, NULL);
    struct envol_wrapped_dek none = {.struct_size = sizeof(none)};

    child_expects(ck_note(envol_provider_generate(given, &fresh, dek, &none, &error)) ==
                  ENVOL_E_FORKED);
    child_expects(unwrap_as(NULL, dek) == ENVOL_OK); /* the one with a callback */
    return 0;
}

START_TEST(given_bytes_do_not_reach_a_child)
{
    struct envol_passphrase_options options = passphrase_options(NULL);
    struct envol_provider *given;

    options.callback = NULL;
    options.passphrase = PASSPHRASE;
    options.passphrase_bytes = strlen(PASSPHRASE);
    ck_ok(envol_passphrase_provider_open(&options, &given));
    ck_assert_int_eq(generate(), ENVOL_OK);
    ck_assert_int_eq(test_in_child(use_in_child, given), 0);
    ck_assert_int_eq(test_in_raw_child(use_in_child, given), 0);
    envol_provider_close(given);
}
END_TEST

/* In a process that has not locked anything yet. */
START_TEST(nothing_can_be_locked)
{
    struct envol_passphrase_options options = passphrase_options(NULL);
    struct envol_key_request request = kms_request(NULL, NULL);
    struct envol_provider *made = NULL;

    error = (struct envol_error)ENVOL_ERROR_INIT;
    wrapped.struct_size = sizeof(wrapped);
    passphrase_no_lock = true;
    ck_ok(envol_passphrase_provider_open(&options, &made));
    ck_status(envol_provider_generate(made, &request, dek, &wrapped, &error),
              ENVOL_E_LOCKED_MEMORY);
    ck_assert_uint_eq(person.asked, 0);
    request.flags = ENVOL_KEY_ALLOW_UNLOCKED;
    ck_ok(envol_provider_generate(made, &request, dek, &wrapped, &error));
    envol_provider_close(made);
    options.callback = NULL;
    options.passphrase = PASSPHRASE;
    options.passphrase_bytes = strlen(PASSPHRASE);
    ck_status(envol_passphrase_provider_open(&options, &made), ENVOL_E_LOCKED_MEMORY);
    ck_assert_ptr_null(made);
    options.flags = ENVOL_KEY_ALLOW_UNLOCKED;
    ck_ok(envol_passphrase_provider_open(&options, &made));
    envol_provider_close(made);
}
END_TEST

START_TEST(each_allocation_of_open_fails)
{
    const struct envol_passphrase_options options = passphrase_options("label");
    struct envol_provider *made = NULL;
    enum envol_status status = ENVOL_E_NO_MEMORY;
    unsigned nth = 0;

    faults_set_allocator();
    while (status != ENVOL_OK) {
        faults_arm(FAULT_ALLOC, ++nth, false);
        status = ck_note(envol_passphrase_provider_open(&options, &made));
        faults_disarm();
        ck_assert(status == ENVOL_OK || (status == ENVOL_E_NO_MEMORY && made == NULL));
    }
    ck_assert_uint_ge(nth, 3);
    envol_provider_close(made);
    ck_assert_uint_eq(faults_allocations(), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
    TCase *tests = tcase_create("passphrase");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, end_to_end);
    tcase_add_test(tests, rewrapping);
    tcase_add_test(tests, the_format_is_that_of_another_implementation);
    tcase_add_test(tests, given_bytes_may_be_any);
    tcase_add_test(tests, what_does_not_fit_is_the_wrong_key);
    tcase_add_test(tests, labels_name_slots);
    tcase_add_test(tests, costs_are_checked_before_anything_is_spent);
    tcase_add_test(tests, other_blobs_are_refused);
    tcase_add_test(tests, options_that_no_provider_has);
    tcase_add_test(tests, defaults_are_those_of_the_manual);
    tcase_add_test(tests, what_the_callback_says);
    tcase_add_test(tests, people_who_take_their_time);
    tcase_add_test(tests, no_memory_for_argon2);
    tcase_add_test(tests, passphrases_are_wiped);
    tcase_add_test(tests, given_bytes_do_not_reach_a_child);
    suite_add_tcase(suite, tests);
}

int main(void)
{
    Suite *suite = suite_create("passphrase");
    TCase *memory = tcase_create("memory");

    add_tests(suite);
    tcase_add_test(memory, nothing_can_be_locked);
    tcase_add_test(memory, each_allocation_of_open_fails);
    suite_add_tcase(suite, memory);
    return test_run(suite);
}
