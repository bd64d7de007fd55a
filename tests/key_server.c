/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting and telling the tests' own key service, and providers that speak to it. */
#include "key_server.h"

#include "provider/clock.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct key_server key_server;
static FILE *to_server, *from_server;
static char certificates[512];

extern char **environ;

/* Check's timeouts do not end the parent, whose child this is: the end of its input does. */
static void start(const char *python, const char *script, const char *directory)
{
    int in[2], out[2], fields;

    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    key_server.pid = fork();
    if (key_server.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execlp(python, python, script, directory, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    to_server = fdopen(in[1], "w");
    from_server = fdopen(out[0], "r");
    ck_assert(to_server != NULL && from_server != NULL);
    fields = fscanf(from_server, "%d", &key_server.ports[0]);
    for (int i = 1; directory != NULL && i < 5; i++)
        fields += fscanf(from_server, "%d", &key_server.ports[i]);
    ck_assert_msg(fields == (directory == NULL ? 1 : 5), "%s did not start", script);
    fgetc(from_server);
    snprintf(key_server.url, sizeof(key_server.url), "http://127.0.0.1:%d", key_server.ports[0]);
}

void key_server_begin(void)
{
    start("python3", "tests/kms_server.py", NULL);
}

void key_server_begin_tls(void)
{
    char command[1200];

    snprintf(certificates, sizeof(certificates), "%s/tests/certificates.%d", test_build(),
             getpid());
    snprintf(command, sizeof(command), "sh tests/kms_certificates.sh '%s' >/dev/null 2>&1",
             certificates);
    ck_assert_msg(system(command) == 0, "tests/kms_certificates.sh failed");
    start("python3", "tests/kms_server.py", certificates);
}

const char *key_server_moto(void)
{
    static char path[512];
    const char *directory = getenv("ENVOL_TEST_MOTO");

    snprintf(path, sizeof(path), "%s/bin/python3", directory == NULL ? "build/moto" : directory);
    return path;
}

void key_server_begin_moto(void)
{
    start(key_server_moto(), "tests/moto_kms.py", NULL);
}

void key_server_end(void)
{
    char command[600];

    fclose(to_server);
    fclose(from_server);
    waitpid(key_server.pid, NULL, 0);
    if (certificates[0] == '\0')
        return;
    snprintf(command, sizeof(command), "rm -rf '%s'", certificates);
    ck_assert_int_eq(system(command), 0);
}

const char *key_server_ca(void)
{
    static char path[600];

    snprintf(path, sizeof(path), "%s/ca.pem", certificates);
    return path;
}

const char *key_server_say(const char *format, ...)
{
    static char line[65536];
    va_list arguments;

    va_start(arguments, format);
    vfprintf(to_server, format, arguments);
    va_end(arguments);
    fputc('\n', to_server);
    fflush(to_server);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), from_server));
    line[strcspn(line, "\n")] = '\0';
    ck_assert_msg(strcmp(line, "unknown") != 0, "the server does not know: %s", format);
    return line;
}

int key_server_count(const char *what)
{
    return atoi(key_server_say("count %s", what));
}

static double no_jitter(void)
{
    return 0;
}

/* Calls that fail are made again, but without a pause. */
static void hurry(void)
{
    static struct envol_clock clock;

    clock = *envol_clock();
    clock.chance = no_jitter;
    envol_clock_set(&clock);
}

static void begin_test(void)
{
    hurry();
    key_environment_clear();
    key_server_say("reset");
}

TCase *key_server_case(Suite *suite, const char *name, void (*begin)(void))
{
    TCase *tests = tcase_create(name);

    tcase_add_unchecked_fixture(tests, begin, key_server_end);
    tcase_add_checked_fixture(tests, begin_test, NULL);
    suite_add_tcase(suite, tests);
    return tests;
}

static bool is_ours(const char *variable)
{
    static const char *const prefixes[] = {"AWS_", "VAULT_", "BAO_"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return strncasecmp(variable, "http_proxy=", 11) == 0 ||
           strncasecmp(variable, "https_proxy=", 12) == 0;
}

void key_environment_clear(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[128];
        size_t length = strcspn(environ[i], "=");

        if (!is_ours(environ[i]) || length >= sizeof(name)) {
            i++;
            continue;
        }
        memcpy(name, environ[i], length);
        name[length] = '\0';
        unsetenv(name);
    }
    setenv("HOME", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

const char *key_file_write(const char *name, const char *text)
{
    const char *path = test_path(name);
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

struct envol_aws_kms_options aws_options(void)
{
    key_server_say("accept AKIDEXAMPLE wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    return (struct envol_aws_kms_options){
        .struct_size = sizeof(struct envol_aws_kms_options),
        .region = AWS_REGION_OF_TESTS,
        .endpoint = key_server.url,
        .access_key_id = "AKIDEXAMPLE",
        .secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    };
}

struct envol_provider *aws_open(const struct envol_aws_kms_options *options)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_provider *provider = NULL;

    ck_ok(envol_aws_kms_provider_open(options, &provider, &error));
    ck_assert_ptr_nonnull(provider);
    return provider;
}

struct envol_vault_options vault_options(void)
{
    key_server_say("token test-token");
    return (struct envol_vault_options){
        .struct_size = sizeof(struct envol_vault_options),
        .address = key_server.url,
        .token = "test-token",
    };
}

struct envol_provider *vault_open(const struct envol_vault_options *options)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_provider *provider = NULL;

    ck_ok(envol_vault_provider_open(options, &provider, &error));
    ck_assert_ptr_nonnull(provider);
    return provider;
}

uint64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}
