/* SPDX-License-Identifier: BSD-2-Clause */
/* What the provider pkcs11 is opened with: URIs, modules, flags, and PINs that a URI names. */
#include "pkcs11_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static enum envol_status try_open(const char *uri, const char *module, uint32_t flags)
{
    const struct envol_pkcs11_options options = {
        .struct_size = sizeof(options), .uri = uri, .module_path = module, .flags = flags};
    struct envol_provider *provider = pkcs11.provider;
    enum envol_status status =
        ck_note(envol_pkcs11_provider_open(&options, &provider, &pkcs11.error));

    ck_assert_int_eq(pkcs11.error.status, status);
    ck_assert_int_eq(provider == NULL, status != ENVOL_OK);
    ck_assert_int_eq(pkcs11.error.message[0] == '\0', status == ENVOL_OK);
    envol_provider_close(provider);
    return status;
}

START_TEST(a_provider_says_what_it_is)
{
    ck_assert_str_eq(envol_provider_name(pkcs11.provider), "pkcs11");
    ck_assert_uint_eq(envol_provider_capabilities(pkcs11.provider),
                      ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_GENERATES |
                          ENVOL_PROVIDER_SINGLE_KEY | ENVOL_PROVIDER_LOCAL);
}
END_TEST

START_TEST(uris_name_one_secret_key)
{
    static const char *const good[] = {
        "pkcs11:id=%01",
        "pkcs11:object=cmk",
        "pkcs11:object=cmk;type=secret-key",
        "pkcs11:token=a%20b;serial=01;manufacturer=m;model=n;id=x",
        "pkcs11:id=%01?x-vendor=anything",
        "pkcs11:id=%01?pin-value=1234",
        "pkcs11:id=%01?pin-source=file:/run/pin",
        "pkcs11:id=%01?pin-source=/run/pin",
    };
    static const char *const bad[] = {
        "",
        "pkcs11",
        "file:/cmk",
        "pkcs11:",
        "pkcs11:token=a",
        "pkcs11:id=",
        "pkcs11:object=",
        "pkcs11:id=%0",
        "pkcs11:id=%zz",
        "pkcs11:id=%01;type=private",
        "pkcs11:id=%01;type=public",
        "pkcs11:id=%01;type=cert",
        "pkcs11:id=%01;type=nothing",
        "pkcs11:id=%01;colour=red",
        "pkcs11:id=%01?pin-value=1&pin-source=file:/run/pin",
        "pkcs11:id=%01?pin-source=%7Ccat%20/run/pin",
        "pkcs11:id=%01?pin-source=pin",
        "pkcs11:id=%01?pin-source=file:pin",
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_msg(try_open(good[i], pkcs11.module, 0) == ENVOL_OK, "%s: %s", good[i],
                      pkcs11.error.message);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(try_open(bad[i], pkcs11.module, 0) == ENVOL_E_ARGUMENT, "%s", bad[i]);
}
END_TEST

START_TEST(arguments_are_checked)
{
    struct envol_pkcs11_options options = {
        .struct_size = sizeof(options), .uri = "pkcs11:id=%01", .module_path = pkcs11.module};
    struct envol_provider *provider = pkcs11.provider;

    ck_status(envol_pkcs11_provider_open(NULL, &provider, &pkcs11.error), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(provider);
    ck_status(envol_pkcs11_provider_open(&options, NULL, &pkcs11.error), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(pkcs11.error.status, ENVOL_E_ARGUMENT);
    options.struct_size--;
    ck_status(envol_pkcs11_provider_open(&options, &provider, NULL), ENVOL_E_ARGUMENT);
    options.struct_size = sizeof(options);
    options.flags = 2;
    ck_status(envol_pkcs11_provider_open(&options, &provider, NULL), ENVOL_E_ARGUMENT);
    options.flags = 0;
    options.uri = NULL;
    ck_status(envol_pkcs11_provider_open(&options, &provider, NULL), ENVOL_E_ARGUMENT);
    options.uri = "pkcs11:id=%01";
    ck_ok(envol_pkcs11_provider_open(&options, &provider, &pkcs11.error));
    ck_assert_int_eq(pkcs11.error.status, ENVOL_OK);
    envol_provider_close(provider);
}
END_TEST

START_TEST(options_of_a_newer_program)
{
    struct {
        struct envol_pkcs11_options known;
        uint64_t newer;
    } options = {.known = {.struct_size = sizeof(options),
                           .uri = "pkcs11:id=%01",
                           .module_path = pkcs11.module}};
    struct envol_provider *provider;

    ck_ok(envol_pkcs11_provider_open(&options.known, &provider, &pkcs11.error));
    envol_provider_close(provider);
    options.newer = 1;
    ck_status(envol_pkcs11_provider_open(&options.known, &provider, NULL), ENVOL_E_ARGUMENT);
    options.known.struct_size = SIZE_MAX;
    ck_status(envol_pkcs11_provider_open(&options.known, &provider, NULL), ENVOL_E_ARGUMENT);
}
END_TEST

/* A program of an older header has a shorter struct. */
START_TEST(a_short_error_is_not_overrun)
{
    const struct envol_pkcs11_options options = {.struct_size = sizeof(options), .uri = "x"};
    struct envol_provider *provider = NULL;
    struct envol_error error;

    memset(&error, 0xee, sizeof(error));
    error.struct_size = offsetof(struct envol_error, page_no);
    ck_status(envol_pkcs11_provider_open(&options, &provider, &error), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(error.status, ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(error.page_no, UINT64_C(0xeeeeeeeeeeeeeeee));
}
END_TEST

/* Modules. */

START_TEST(modules_are_absolute_paths)
{
    char uri[PATH_MAX + 64];

    ck_assert_int_eq(try_open("pkcs11:id=%01", NULL, 0), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(try_open("pkcs11:id=%01?module-name=fake", NULL, 0), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(try_open("pkcs11:id=%01", "fake_pkcs11.so", 0), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(try_open("pkcs11:id=%01?module-path=libc.so.6", NULL, 0), ENVOL_E_ARGUMENT);
    snprintf(uri, sizeof(uri), "pkcs11:id=%%01?module-path=%s", pkcs11.module);
    ck_assert_int_eq(try_open(uri, NULL, 0), ENVOL_OK);
    /* The application's word counts more than the URI's. */
    ck_assert_int_eq(try_open("pkcs11:id=%01?module-path=/nowhere", pkcs11.module, 0), ENVOL_OK);
}
END_TEST

START_TEST(what_is_no_module_does_not_load)
{
    const char *text = test_path("module.so");
    FILE *file = fopen(text, "w");

    ck_assert_ptr_nonnull(file);
    fputs("no module", file);
    fclose(file);
    ck_assert_int_eq(try_open("pkcs11:id=%01", "/nowhere/module.so", 0), ENVOL_E_PROVIDER);
    ck_assert_ptr_nonnull(strstr(pkcs11.error.message, "/nowhere/module.so"));
    ck_assert_ptr_nonnull(realpath(text, pkcs11.module));
    ck_assert_int_eq(try_open("pkcs11:id=%01", pkcs11.module, 0), ENVOL_E_PROVIDER);
}
END_TEST

/* PINs of the URI. */

static void open_with_pin(const char *attribute, const char *value)
{
    char uri[PATH_MAX + 64];

    envol_provider_close(pkcs11.provider);
    snprintf(uri, sizeof(uri), "pkcs11:id=%%01%%02?%s=%s", attribute, value);
    pkcs11.provider = pkcs11_open(uri);
    pkcs11.token->needs_login = true;
}

static const char *write_pin(const char *text, size_t bytes)
{
    static char path[PATH_MAX];
    FILE *file = fopen(test_path("pin"), "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
    fclose(file);
    chmod(test_path("pin"), 0600);
    ck_assert_ptr_nonnull(realpath(test_path("pin"), path));
    return path;
}

static enum envol_status use_pin(const char *text, size_t bytes)
{
    open_with_pin("pin-source", write_pin(text, bytes));
    return pkcs11_generate();
}

START_TEST(a_pin_value_is_used)
{
    open_with_pin("pin-value", "1234");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    open_with_pin("pin-value", "%31%32%33%34");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    open_with_pin("pin-value", "4321");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    ck_assert_uint_eq(pkcs11.pins_asked, 0);
}
END_TEST

START_TEST(a_pin_file_is_read_at_each_login)
{
    char source[PATH_MAX + 8];

    ck_assert_int_eq(use_pin("1234", 4), ENVOL_OK);
    ck_assert_int_eq(use_pin("1234\n", 5), ENVOL_OK);
    ck_assert_int_eq(use_pin("1234\r\n", 6), ENVOL_OK);
    ck_assert_int_eq(use_pin("1234\n\n", 6), ENVOL_E_CREDENTIALS);
    snprintf(source, sizeof(source), "file:%s", write_pin("4321", 4));
    open_with_pin("pin-source", source);
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    write_pin("1234", 4);
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
}
END_TEST

START_TEST(pin_files_are_private_small_and_regular)
{
    char large[ENVOL_PKCS11_PIN_MAX + 2];
    static const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0610, 0644};

    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        open_with_pin("pin-source", write_pin("1234", 4));
        ck_assert_int_eq(chmod(test_path("pin"), open_modes[i]), 0);
        ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    }
    memset(large, '1', sizeof(large));
    ck_assert_int_eq(use_pin(large, ENVOL_PKCS11_PIN_MAX + 2), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(pkcs11.error.message, "too long"));
    ck_assert_int_eq(use_pin("", 0), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(pkcs11.error.message, "empty"));
    ck_assert_int_eq(use_pin("\n", 1), ENVOL_E_CREDENTIALS);
    ck_assert_uint_eq(pkcs11.token->calls[FAKE_LOGIN], 0);
    open_with_pin("pin-source", "/nowhere/pin");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    open_with_pin("pin-source", "/");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    write_pin("1234", 4);
    unlink(test_path("pin"));
    ck_assert_int_eq(mkfifo(test_path("pin"), 0600), 0);
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS); /* and does not wait for a writer */
}
END_TEST

START_TEST(pin_files_belong_to_us)
{
    open_with_pin("pin-source", write_pin("1234", 4));
    if (geteuid() != 0) {
        test_skip("PIN files of other users", "only root can make one");
        return;
    }
    ck_assert_int_eq(chown(test_path("pin"), NOBODY, NOBODY), 0);
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
}
END_TEST

static void add_uris(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "URIs");

    tcase_add_test(tests, a_provider_says_what_it_is);
    tcase_add_test(tests, uris_name_one_secret_key);
    tcase_add_test(tests, arguments_are_checked);
    tcase_add_test(tests, options_of_a_newer_program);
    tcase_add_test(tests, a_short_error_is_not_overrun);
}

static void add_modules(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "modules");

    tcase_add_test(tests, modules_are_absolute_paths);
    tcase_add_test(tests, what_is_no_module_does_not_load);
}

static void add_pins(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "PINs");

    tcase_add_test(tests, a_pin_value_is_used);
    tcase_add_test(tests, a_pin_file_is_read_at_each_login);
    tcase_add_test(tests, pin_files_are_private_small_and_regular);
    tcase_add_test(tests, pin_files_belong_to_us);
}

int main(void)
{
    Suite *suite = suite_create("pkcs11 URIs");

    add_uris(suite);
    add_modules(suite);
    add_pins(suite);
    return test_run(suite);
}
