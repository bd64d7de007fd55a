/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A key service that is slow, hangs, hangs up, talks rubbish or lies; and memory that cannot be
 * locked.
 */
#include "key_server.h"
#include "kms_fixture.h"
#include "prompt.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define VAULT_KEY "transit/one"

/* Both providers have their own parsers: each fault goes to both. */
static struct envol_provider *providers[2];
static const char *const keys[2] = {AWS_KEY, VAULT_KEY};
static struct envol_wrapped_dek wrapped[2], other;
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error = ENVOL_ERROR_INIT;

/* Under a tool everything takes longer. */
static unsigned slack(void)
{
    return test_tool() == NULL ? 1 : 10;
}

static void begin_both(void)
{
    struct envol_aws_kms_options aws = aws_options();
    struct envol_vault_options vault = vault_options();

    aws.timeout_ms = vault.timeout_ms = 400 * slack();
    providers[0] = aws_open(&aws);
    providers[1] = vault_open(&vault);
    key_server_say("key one derived");
    other.struct_size = sizeof(other);
    for (int i = 0; i < 2; i++) {
        struct envol_key_request request = kms_request(keys[i], NULL);

        wrapped[i].struct_size = sizeof(wrapped[i]);
        ck_ok(envol_provider_generate(providers[i], &request, dek, &wrapped[i], &error));
    }
}

static void end_both(void)
{
    envol_provider_close(providers[0]);
    envol_provider_close(providers[1]);
}

static enum envol_status unwrap_with(int i, uint64_t deadline_ms, const int *cancel_flag)
{
    struct envol_key_request request = kms_request(keys[i], wrapped[i].key_version);

    request.deadline_ms = deadline_ms;
    request.cancel_flag = cancel_flag;
    return ck_note(envol_provider_unwrap(providers[i], &request, wrapped[i].wrapped,
                                         wrapped[i].wrapped_bytes, dek, &error));
}

static enum envol_status generate_with(int i)
{
    struct envol_key_request request = kms_request(keys[i], NULL);

    return ck_note(envol_provider_generate(providers[i], &request, dek, &other, &error));
}

static enum envol_status describe_with(int i)
{
    struct envol_key_request request = kms_request(keys[i], NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    return ck_note(envol_provider_describe(providers[i], &request, &info, &error));
}

static const struct {
    const char *fault;
    enum envol_status unwrap, generate, describe;
} faults[] = {
    {"hang", ENVOL_E_TIMEOUT, ENVOL_E_TIMEOUT, ENVOL_E_TIMEOUT},
    {"drip", ENVOL_E_TIMEOUT, ENVOL_E_TIMEOUT, ENVOL_E_TIMEOUT},
    {"cut", ENVOL_E_UNREACHABLE, ENVOL_E_UNREACHABLE, ENVOL_E_UNREACHABLE},
    {"cut-body", ENVOL_E_UNREACHABLE, ENVOL_E_UNREACHABLE, ENVOL_E_UNREACHABLE},
    {"garbage", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"redirect", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"html", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"empty", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"array", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"deep", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"oversized", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"half", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"nul", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"members", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_E_PROVIDER},
    {"short", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_OK},
    {"long", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_OK},
    {"zeros", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_OK},
    {"number", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_OK},
    {"base64", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_OK},
    {"twice", ENVOL_E_PROVIDER, ENVOL_E_PROVIDER, ENVOL_OK},
    {"big-blob", ENVOL_OK, ENVOL_E_PROVIDER, ENVOL_OK},
    {"escaped", ENVOL_OK, ENVOL_OK, ENVOL_OK},
};

/* Vault asks whether the key is derived before it generates: that answer gets the fault as well. */
START_TEST(each_fault_has_its_status)
{
    for (int i = 0; i < 2; i++) {
        /* KMS's DescribeKey has no such member twice, Vault's has "data" in each answer. */
        enum envol_status describe = faults[_i].describe;
        const char *fault = faults[_i].fault;

        if (i == 1 && strcmp(fault, "twice") == 0)
            describe = ENVOL_E_PROVIDER;
        key_server_say("fault %s", fault);
        memset(dek, 0xee, sizeof(dek));
        ck_assert_msg(unwrap_with(i, 0, NULL) == faults[_i].unwrap, "%s, unwrap %d: %s", fault, i,
                      error.message);
        if (faults[_i].unwrap != ENVOL_OK)
            ck_zero(dek, sizeof(dek));
        ck_assert_msg(generate_with(i) == faults[_i].generate, "%s, generate %d: %s", fault, i,
                      error.message);
        if (faults[_i].generate != ENVOL_OK)
            ck_wrapped_empty(&other);
        ck_assert_msg(describe_with(i) == describe, "%s, describe %d: %s", fault, i, error.message);
    }
}
END_TEST

/* It would be a header that does not open: the library compares what it has with the MAC. */
START_TEST(another_keys_plaintext)
{
    uint8_t good[ENVOL_DEK_BYTES];

    ck_assert_int_eq(unwrap_with(0, 0, NULL), ENVOL_OK);
    memcpy(good, dek, sizeof(good));
    key_server_say("fault other");
    ck_assert_int_eq(unwrap_with(0, 0, NULL), ENVOL_OK);
    ck_assert_mem_ne(good, dek, sizeof(good));
}
END_TEST

START_TEST(answers_for_another_key)
{
    key_server_say("fault other-key");
    ck_assert_int_eq(unwrap_with(0, 0, NULL), ENVOL_E_PROVIDER);
    ck_assert_int_eq(generate_with(0), ENVOL_E_PROVIDER);
}
END_TEST

START_TEST(the_longest_blob)
{
    key_server_say("fault full-blob");
    ck_assert_int_eq(generate_with(0), ENVOL_OK);
    ck_assert_uint_eq(other.wrapped_bytes, 6144);
    key_server_say("fault prefix");
    ck_assert_int_eq(generate_with(1), ENVOL_E_PROVIDER);
}
END_TEST

START_TEST(a_slow_answer_is_an_answer)
{
    key_server_say("fault slow 200");
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(unwrap_with(i, 0, NULL), ENVOL_OK);
}
END_TEST

/* libcurl wakes up by itself 200 ms after it began: nobody is to be rescued by that. */
enum { BEFORE_MS = 230 };

START_TEST(keeps_deadlines)
{
    for (int i = 0; i < 2; i++) {
        struct prompt prompt = {0};
        uint64_t deadline_ms;

        key_server_say("fault hang");
        do {
            deadline_ms = clock_ms() + BEFORE_MS;
            ck_assert_int_eq(unwrap_with(i, deadline_ms, NULL), ENVOL_E_TIMEOUT);
            ck_assert_uint_ge(clock_ms(), deadline_ms);
        } while (prompt_is_late(&prompt, clock_ms() - deadline_ms));
    }
}
END_TEST

static int cancel_flag;

/* Says when it was. */
static void *cancel_soon(void *cancelled_ms)
{
    usleep(BEFORE_MS * 1000);
    *(uint64_t *)cancelled_ms = clock_ms();
    __atomic_store_n(&cancel_flag, 1, __ATOMIC_RELEASE);
    return NULL;
}

static uint64_t cancel_late_ms(int i)
{
    uint64_t cancelled_ms, ended_ms;
    pthread_t thread;

    cancel_flag = 0;
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, &cancelled_ms), 0);
    ck_assert_int_eq(unwrap_with(i, 0, &cancel_flag), ENVOL_E_CANCELLED);
    ended_ms = clock_ms();
    pthread_join(thread, NULL);
    return ended_ms - cancelled_ms;
}

START_TEST(is_cancelled)
{
    for (int i = 0; i < 2; i++) {
        struct prompt prompt = {0};

        key_server_say("fault hang");
        while (prompt_is_late(&prompt, cancel_late_ms(i)))
            ;
    }
}
END_TEST

START_TEST(nobody_listens)
{
    struct envol_aws_kms_options aws = aws_options();
    struct envol_vault_options vault = vault_options();

    end_both();
    aws.endpoint = vault.address = "http://127.0.0.1:1";
    providers[0] = aws_open(&aws);
    providers[1] = vault_open(&vault);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(unwrap_with(i, 0, NULL), ENVOL_E_UNREACHABLE);
        ck_assert(envol_status_is_retryable(error.status));
    }
}
END_TEST

/* A fault that passes: the same provider is good again. */
START_TEST(recovers)
{
    for (int i = 0; i < 2; i++) {
        key_server_say("fault cut");
        key_server_say("times 3"); /* a call is made three times */
        ck_assert_int_eq(unwrap_with(i, 0, NULL), ENVOL_E_UNREACHABLE);
        ck_assert_int_eq(unwrap_with(i, 0, NULL), ENVOL_OK);
        key_server_say("times 2");
        ck_assert_int_eq(unwrap_with(i, 0, NULL), ENVOL_OK);
    }
}
END_TEST

static void *unwrap_often(void *argument)
{
    int i = *(int *)argument;
    struct envol_key_request request = kms_request(keys[i], wrapped[i].key_version);
    uint8_t out[ENVOL_DEK_BYTES];

    for (int n = 0; n < 20; n++) {
        if (envol_provider_unwrap(providers[i], &request, wrapped[i].wrapped,
                                  wrapped[i].wrapped_bytes, out, NULL) != ENVOL_OK)
            return argument;
    }
    return NULL;
}

START_TEST(many_threads)
{
    static int which[2] = {0, 1};
    pthread_t threads[8];
    void *failed = NULL;

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, unwrap_often, &which[i % 2]), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

static bool no_room;

/* Stands before libcurl's own. */
CURLMcode curl_multi_add_handle(CURLM *multi, CURL *curl)
{
    CURLMcode (*real)(CURLM *, CURL *) = NULL;

    if (no_room)
        return CURLM_OUT_OF_MEMORY;
    /* The symbol's type is not what dlsym returns (POSIX, dlsym, application usage). */
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_add_handle");
    return real(multi, curl);
}

START_TEST(a_libcurl_without_memory)
{
    no_room = true;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(unwrap_with(i, 0, NULL), ENVOL_E_NO_MEMORY);
    no_room = false;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(unwrap_with(i, 0, NULL), ENVOL_OK);
}
END_TEST

/* An error of before is not this call's. */
START_TEST(opening_clears_the_error)
{
    struct envol_aws_kms_options aws = aws_options();
    struct envol_vault_options vault = vault_options();

    for (int i = 0; i < 2; i++) {
        struct envol_provider *provider = NULL;

        memset(&error, 0xee, sizeof(error));
        error.struct_size = sizeof(error);
        ck_ok(i == 0 ? envol_aws_kms_provider_open(&aws, &provider, &error)
                     : envol_vault_provider_open(&vault, &provider, &error));
        ck_assert_int_eq(error.status, ENVOL_OK);
        ck_assert_str_eq(error.message, "");
        ck_assert_str_eq(error.provider_code, "");
        envol_provider_close(provider);
    }
}
END_TEST

START_TEST(memory_that_cannot_be_locked)
{
    struct rlimit none = {0, 0};
    struct envol_key_request request = kms_request(AWS_KEY, "");
    uint8_t out[ENVOL_DEK_BYTES];

    if (test_tool() != NULL) {
        test_skip("memory that cannot be locked", "the tool locks nothing");
        return;
    }
    if (geteuid() == 0) {
        /* Root may lock what it likes: another user it is, in this forked test. */
        ck_assert_int_eq(setgid(65534), 0);
        ck_assert_int_eq(setuid(65534), 0);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    ck_status(envol_provider_unwrap(providers[0], &request, wrapped[0].wrapped,
                                    wrapped[0].wrapped_bytes, out, &error),
              ENVOL_E_LOCKED_MEMORY);
    request.flags = ENVOL_KEY_ALLOW_UNLOCKED;
    ck_ok(envol_provider_unwrap(providers[0], &request, wrapped[0].wrapped,
                                wrapped[0].wrapped_bytes, out, &error));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kms_faults");
    TCase *c = key_server_case(s, "faults", key_server_begin);
    TCase *threads = key_server_case(s, "threads", key_server_begin);

    tcase_add_checked_fixture(c, begin_both, end_both);
    tcase_add_checked_fixture(threads, begin_both, end_both);
    tcase_set_timeout(threads, 300);
    /* A service that hangs is given its time 18 times, and more of it under a tool. */
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, each_fault_has_its_status, 0, sizeof(faults) / sizeof(faults[0]));
    tcase_add_test(c, another_keys_plaintext);
    tcase_add_test(c, answers_for_another_key);
    tcase_add_test(c, the_longest_blob);
    tcase_add_test(c, a_slow_answer_is_an_answer);
    tcase_add_test(c, keeps_deadlines);
    tcase_add_test(threads, is_cancelled);
    tcase_add_test(c, nobody_listens);
    tcase_add_test(c, recovers);
    tcase_add_test(threads, many_threads);
    tcase_add_test(c, a_libcurl_without_memory);
    tcase_add_test(c, opening_clears_the_error);
    tcase_add_test(c, memory_that_cannot_be_locked);
    return s;
}

int main(void)
{
    return test_run(suite());
}
