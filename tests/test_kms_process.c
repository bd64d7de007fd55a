/* SPDX-License-Identifier: BSD-2-Clause */
/* credential_process: how the program is started, what it prints, and when it is given up. */
#include "key_server.h"
#include "kms_fixture.h"
#include "prompt.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error = ENVOL_ERROR_INIT;

static void begin_test(void)
{
    key_server_say("accept ASIAGIVEN given-secret given/token==");
    setenv("AWS_ENDPOINT_URL", key_server.url, 1);
    setenv("AWS_REGION", AWS_REGION_OF_TESTS, 1);
}

static void write_config(const char *config)
{
    setenv("AWS_CONFIG_FILE", key_file_write("config", config), 1);
}

static enum envol_status call_once(void)
{
    struct envol_key_request request = kms_request(AWS_KEY, NULL);
    struct envol_provider *provider = aws_open(NULL);
    enum envol_status status =
        ck_note(envol_provider_generate(provider, &request, dek, &wrapped, &error));

    envol_provider_close(provider);
    return status;
}

#define PRINT_KEYS                                                                                 \
    "echo '{\"Version\":1,\"AccessKeyId\":\"ASIAGIVEN\",\"SecretAccessKey\":"                      \
    "\"given-secret\",\"SessionToken\":\"given/token==\"}'\n"

START_TEST(asks_a_process)
{
    char config[1200];
    const char *script =
        key_file_write("print", "test \"$1\" = 'two words' || exit 1\n" PRINT_KEYS);

    snprintf(config, sizeof(config), "[default]\ncredential_process = sh %s \"two\\ words\"\n",
             script);
    write_config(config);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    snprintf(config, sizeof(config), "[default]\ncredential_process = sh %s 'other words'\n",
             script);
    write_config(config);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    write_config("[default]\ncredential_process = /nonexistent\n");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    /* Under valgrind posix_spawn cannot tell the parent, and the child exits with 127. */
    if (test_tool() == NULL)
        ck_assert_ptr_nonnull(strstr(error.message, "No such file"));
    write_config("[default]\ncredential_process = sh 'open\n");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    write_config("[default]\ncredential_process = echo '{\"AccessKeyId\":\"a\"}'\n");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    write_config("[default]\ncredential_process = cat /dev/zero\n");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "too much"));
}
END_TEST

/* As Java's JSON libraries write it. */
START_TEST(escapes_of_what_is_printed)
{
    write_config("[default]\ncredential_process = printf %s '{\"AccessKeyId\":\"ASIAGIVEN\","
                 "\"SecretAccessKey\":\"given-secret\","
                 "\"SessionToken\":\"given\\/token\\u003d\\u003D\"}'\n");
    ck_assert_int_eq(call_once(), ENVOL_OK);
    /* Nothing that is sent may have another meaning than what was printed. */
    write_config("[default]\ncredential_process = printf %s '{\"AccessKeyId\":\"ASIAGIVEN\","
                 "\"SecretAccessKey\":\"given-secret\","
                 "\"SessionToken\":\"given/token\\u00e4==\"}'\n");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "no valid credentials"));
}
END_TEST

START_TEST(a_process_that_hangs_is_given_up)
{
    struct envol_key_request request = kms_request(AWS_KEY, NULL);
    struct envol_provider *provider;
    struct prompt prompt = {0};

    write_config("[default]\ncredential_process = sleep 30\n");
    provider = aws_open(NULL);
    do {
        request.deadline_ms = clock_ms() + 100;
        ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error),
                  ENVOL_E_TIMEOUT);
    } while (prompt_is_late(&prompt, clock_ms() - request.deadline_ms));
    envol_provider_close(provider);
}
END_TEST

/* What has printed all it has to say may go on for ever: the last word was not its end. */
START_TEST(a_process_that_does_not_end_is_given_up)
{
    struct envol_key_request request = kms_request(AWS_KEY, NULL);
    struct envol_provider *provider;
    struct prompt prompt = {0};
    char config[1200];

    snprintf(config, sizeof(config), "[default]\ncredential_process = sh %s\n",
             key_file_write("print", PRINT_KEYS "exec >&-\nexec sleep 30\n"));
    write_config(config);
    provider = aws_open(NULL);
    do {
        request.deadline_ms = clock_ms() + 300;
        ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error),
                  ENVOL_E_TIMEOUT);
    } while (prompt_is_late(&prompt, clock_ms() - request.deadline_ms));
    envol_provider_close(provider);
}
END_TEST

/* The library's own threads block all signals, and programs ignore SIGPIPE: a process that is asked
 * shall not, or it could not be ended, nor notice that nobody reads. */
START_TEST(a_process_starts_with_signals_as_they_are_by_default)
{
    char config[1200];
    sigset_t all;

    snprintf(config, sizeof(config), "[default]\ncredential_process = sh %s\n",
             key_file_write(
                 "print",
                 "grep -q '^SigBlk:.0*$' /proc/self/status || exit 1\n"
                 /* 1 << (SIGPIPE - 1) */
                 "grep -q '^SigIgn:.*[02468ace]...$' /proc/self/status || exit 1\n" PRINT_KEYS));
    write_config(config);
    sigfillset(&all);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(call_once(), ENVOL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kms_process");
    TCase *c = key_server_case(suite, "processes", key_server_begin);

    tcase_add_checked_fixture(c, begin_test, NULL);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, asks_a_process);
    tcase_add_test(c, escapes_of_what_is_printed);
    tcase_add_test(c, a_process_that_hangs_is_given_up);
    tcase_add_test(c, a_process_that_does_not_end_is_given_up);
    tcase_add_test(c, a_process_starts_with_signals_as_they_are_by_default);
    return test_run(suite);
}
