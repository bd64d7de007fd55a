/* SPDX-License-Identifier: BSD-2-Clause */
/* "permission denied" of Vault: whether it is the key that is denied, or the token that is bad. */
#include "key_server.h"
#include "kms_fixture.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define KEY "transit/one"

static struct envol_provider *provider;
static struct envol_wrapped_dek wrapped;
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error = ENVOL_ERROR_INIT;

static void begin_test(void)
{
    struct envol_vault_options options = vault_options();
    struct envol_key_request request = kms_request(KEY, NULL);

    wrapped.struct_size = sizeof(wrapped);
    error.struct_size = sizeof(error);
    provider = vault_open(&options);
    key_server_say("key one derived");
    ck_ok(envol_provider_generate(provider, &request, dek, &wrapped, &error));
}

static void end_test(void)
{
    envol_provider_close(provider);
}

static enum envol_status unwrap_with(uint64_t deadline_ms, const int *cancel_flag)
{
    struct envol_key_request request = kms_request(KEY, wrapped.key_version);

    request.deadline_ms = deadline_ms;
    request.cancel_flag = cancel_flag;
    return ck_note(envol_provider_unwrap(provider, &request, wrapped.wrapped, wrapped.wrapped_bytes,
                                         dek, &error));
}

START_TEST(a_policy_and_a_bad_token_are_told_apart)
{
    key_server_say("token test-token none");
    ck_assert_int_eq(unwrap_with(0, NULL), ENVOL_E_KEY_DENIED);
    ck_assert_ptr_nonnull(strstr(error.message, "permission denied"));
    key_server_say("token another-token");
    ck_assert_int_eq(unwrap_with(0, NULL), ENVOL_E_CREDENTIALS);
    /* One that may not look at itself may be either: a lease must not take it for a refusal. */
    key_server_say("token test-token nothing");
    ck_assert_int_eq(unwrap_with(0, NULL), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "lookup-self"));
}
END_TEST

/* What the question about the token gets, after the policy has refused the first one. */
static const struct {
    const char *fault;
    enum envol_status status;
} lookups[] = {
    {"error 429 rate limit quota exceeded", ENVOL_E_THROTTLED},
    {"error 503 Vault is sealed", ENVOL_E_UNREACHABLE},
    {"fault cut", ENVOL_E_UNREACHABLE},
    {"fault hang", ENVOL_E_TIMEOUT},
    {"error 404 unsupported path", ENVOL_E_KEY_DENIED},
    {"fault garbage", ENVOL_E_KEY_DENIED},
};

/* While nobody knows whether the token is good, it is no refusal of the key. */
START_TEST(a_denial_that_is_not_explained)
{
    key_server_say("token test-token none");
    key_server_say("%s", lookups[_i].fault);
    key_server_say("after 1");
    ck_assert_msg(unwrap_with(clock_ms() + (test_tool() == NULL ? 1500 : 6000), NULL) ==
                      lookups[_i].status,
                  "%s: %s", lookups[_i].fault, error.message);
    ck_assert_int_eq(error.status, lookups[_i].status);
    key_server_say("reset");
    ck_assert_int_eq(unwrap_with(0, NULL), ENVOL_E_KEY_DENIED);
}
END_TEST

static int cancel_flag;

static void *cancel_soon(void *nothing)
{
    usleep(300000);
    __atomic_store_n(&cancel_flag, 1, __ATOMIC_RELEASE);
    return nothing;
}

START_TEST(a_denial_whose_explanation_is_cancelled)
{
    pthread_t thread;

    key_server_say("token test-token none");
    key_server_say("fault hang");
    key_server_say("after 1");
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
    ck_assert_int_eq(unwrap_with(0, &cancel_flag), ENVOL_E_CANCELLED);
    pthread_join(thread, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kms_denied");
    TCase *c = key_server_case(suite, "denials", key_server_begin);

    tcase_add_checked_fixture(c, begin_test, end_test);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_policy_and_a_bad_token_are_told_apart);
    tcase_add_loop_test(c, a_denial_that_is_not_explained, 0, sizeof(lookups) / sizeof(lookups[0]));
    tcase_add_test(c, a_denial_whose_explanation_is_cancelled);
    return test_run(suite);
}
