/* SPDX-License-Identifier: BSD-2-Clause */
/* Forked children: a provider of the parent's is none of theirs, whatever it was doing. */
#include "children.h"
#include "key_server.h"
#include "kms_fixture.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define VAULT_KEY "transit/one"

static struct envol_aws_kms_options aws;
static struct envol_vault_options vault;
static struct envol_provider *providers[2];
static const char *const keys[2] = {AWS_KEY, VAULT_KEY};
static struct envol_wrapped_dek wrapped[2];
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error = ENVOL_ERROR_INIT;

static enum envol_status open_one(int i)
{
    return i == 0 ? envol_aws_kms_provider_open(&aws, &providers[i], &error)
                  : envol_vault_provider_open(&vault, &providers[i], &error);
}

static void begin_test(void)
{
    aws = aws_options();
    vault = vault_options();
    error.struct_size = sizeof(error);
    key_server_say("key one derived");
    for (int i = 0; i < 2; i++) {
        struct envol_key_request request = kms_request(keys[i], NULL);

        wrapped[i].struct_size = sizeof(wrapped[i]);
        ck_ok(open_one(i));
        ck_ok(envol_provider_generate(providers[i], &request, dek, &wrapped[i], &error));
    }
    key_server_say("reset");
}

static void end_test(void)
{
    envol_provider_close(providers[0]);
    envol_provider_close(providers[1]);
}

static enum envol_status unwrap_with(int i)
{
    struct envol_key_request request = kms_request(keys[i], wrapped[i].key_version);
    uint8_t out[ENVOL_DEK_BYTES];

    request.deadline_ms = clock_ms() + 10000;
    return envol_provider_unwrap(providers[i], &request, wrapped[i].wrapped,
                                 wrapped[i].wrapped_bytes, out, &error);
}

static int is_refused(void *argument)
{
    int i = *(int *)argument;
    struct envol_key_request request = kms_request(keys[i], NULL);
    struct envol_key_request slot = kms_request(keys[i], wrapped[i].key_version);
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};
    struct envol_key_info info = {.struct_size = sizeof(info)};
    uint8_t in[ENVOL_DEK_BYTES] = {1}, out[ENVOL_DEK_BYTES];

    child_expects(unwrap_with(i) == ENVOL_E_FORKED);
    child_expects(strstr(error.message, "opened by the parent") != NULL);
    child_expects(envol_provider_generate(providers[i], &request, out, &other, &error) ==
                  ENVOL_E_FORKED);
    child_expects(envol_provider_wrap(providers[i], &request, in, &other, &error) ==
                  ENVOL_E_FORKED);
    child_expects(envol_provider_rewrap(providers[i], &slot, wrapped[i].wrapped,
                                        wrapped[i].wrapped_bytes, &request, &other,
                                        &error) == ENVOL_E_FORKED);
    child_expects(envol_provider_describe(providers[i], &request, &info, &error) == ENVOL_E_FORKED);
    envol_provider_close(providers[i]);
    return 0;
}

START_TEST(a_childs_calls_are_refused)
{
    ck_assert_int_eq(test_in_child(is_refused, &_i), 0);
    ck_assert_int_eq(test_in_raw_child(is_refused, &_i), 0);
    ck_assert_int_eq(key_server_count("all"), 0);
    ck_assert_int_eq(unwrap_with(_i), ENVOL_OK);
}
END_TEST

static int opens_its_own(void *argument)
{
    int i = *(int *)argument;

    envol_provider_close(providers[i]);
    child_expects(open_one(i) == ENVOL_OK);
    child_expects(unwrap_with(i) == ENVOL_OK);
    envol_provider_close(providers[i]);
    return 0;
}

START_TEST(a_child_opens_its_own)
{
    ck_assert_int_eq(test_in_child(opens_its_own, &_i), 0);
}
END_TEST

static void *log_in(void *status)
{
    *(enum envol_status *)status = unwrap_with(1);
    return NULL;
}

/* The other thread logs in, under the lock; in the child nobody would ever unlock it. */
START_TEST(a_lock_that_was_held_at_the_fork)
{
    enum envol_status status = ENVOL_OK;
    int which = 1;
    pthread_t thread;

    if (test_tool() != NULL && strcmp(test_tool(), "valgrind") == 0) {
        test_skip("a lock that was held at the fork", "what the other thread had is lost there");
        return;
    }
    envol_provider_close(providers[1]);
    vault.token = NULL;
    vault.role_id = "the-role";
    vault.secret_id = "the-secret";
    ck_ok(open_one(1));
    key_server_say("fault slow 1500");
    ck_assert_int_eq(pthread_create(&thread, NULL, log_in, &status), 0);
    while (key_server_count("all") == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_int_eq(test_in_child(is_refused, &which), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(status, ENVOL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kms_fork");
    TCase *c = key_server_case(suite, "children", key_server_begin);

    tcase_add_checked_fixture(c, begin_test, end_test);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_childs_calls_are_refused, 0, 2);
    tcase_add_loop_test(c, a_child_opens_its_own, 0, 2);
    tcase_add_test(c, a_lock_that_was_held_at_the_fork);
    return test_run(suite);
}
