/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider vault against a Transit of the tests' own: operations, binding, tokens, errors. */
#include "key_server.h"
#include "kms_fixture.h"

#include "kms/vault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY   "transit/one"
#define PLAIN "transit/plain"

static struct envol_provider *provider;
static struct envol_wrapped_dek wrapped, second;
static uint8_t dek[ENVOL_DEK_BYTES], again[ENVOL_DEK_BYTES];
static struct envol_error error = ENVOL_ERROR_INIT;

static void open_default(void)
{
    struct envol_vault_options options = vault_options();

    provider = vault_open(&options);
    wrapped.struct_size = sizeof(wrapped);
    second.struct_size = sizeof(second);
    error.struct_size = sizeof(error);
    key_server_say("key one derived");
    key_server_say("key plain plain");
}

static void close_default(void)
{
    envol_provider_close(provider);
}

static void reopen(const struct envol_vault_options *options)
{
    envol_provider_close(provider);
    provider = vault_open(options);
}

static enum envol_status generate(const char *key_ref)
{
    struct envol_key_request request = kms_request(key_ref, NULL);

    return ck_note(envol_provider_generate(provider, &request, dek, &wrapped, &error));
}

static enum envol_status unwrap(const char *key_ref)
{
    struct envol_key_request request = kms_request(key_ref, wrapped.key_version);

    return ck_note(envol_provider_unwrap(provider, &request, wrapped.wrapped, wrapped.wrapped_bytes,
                                         again, &error));
}

START_TEST(generates_and_unwraps)
{
    ck_assert_int_eq(generate("/" KEY "/"), ENVOL_OK);
    ck_assert_str_eq(wrapped.key_ref, KEY);
    ck_assert_str_eq(wrapped.key_version, "1");
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
    ck_assert_uint_eq(envol_provider_capabilities(provider), ENVOL_PROVIDER_BINDS_CONTEXT |
                                                                 ENVOL_PROVIDER_REWRAPS |
                                                                 ENVOL_PROVIDER_GENERATES);
    ck_assert_str_eq(envol_provider_name(provider), "vault");
}
END_TEST

START_TEST(wraps)
{
    struct envol_key_request request = kms_request(KEY, NULL);

    memset(dek, 0x5a, sizeof(dek));
    ck_ok(envol_provider_wrap(provider, &request, dek, &wrapped, &error));
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
}
END_TEST

START_TEST(rewraps_to_the_newest_version)
{
    struct envol_key_request from = kms_request(KEY, "1"), to = kms_request(KEY, NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    key_server_say("rotate one");
    ck_ok(envol_provider_describe(provider, &to, &info, &error));
    ck_assert_str_eq(info.key_version, "2");
    ck_assert_str_eq(info.key_ref, KEY);
    ck_ok(envol_provider_rewrap(provider, &from, wrapped.wrapped, wrapped.wrapped_bytes, &to,
                                &second, &error));
    ck_assert_str_eq(second.key_version, "2");
    ck_assert_int_eq(key_server_count("rewrap"), 1);
    key_server_say("floor one 2");
    ck_assert_int_eq(unwrap(KEY), ENVOL_E_KEY_DISABLED);
    wrapped = second;
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
}
END_TEST

/* To another key it is decrypted and encrypted. */
START_TEST(rewraps_to_another_key)
{
    struct envol_key_request from = kms_request(KEY, "1"), to = kms_request("transit/two", NULL);

    key_server_say("key two derived");
    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    ck_ok(envol_provider_rewrap(provider, &from, wrapped.wrapped, wrapped.wrapped_bytes, &to,
                                &second, &error));
    ck_assert_int_eq(key_server_count("rewrap"), 0);
    wrapped = second;
    ck_assert_int_eq(unwrap("transit/two"), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
}
END_TEST

START_TEST(binds_the_context)
{
    struct envol_key_request request = kms_request(KEY, "1");
    struct envol_key_request to = kms_request(KEY, NULL);

    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    request.context_pairs = 2;
    ck_status(envol_provider_unwrap(provider, &request, wrapped.wrapped, wrapped.wrapped_bytes,
                                    again, &error),
              ENVOL_E_WRONG_KEY);
    to.context_pairs = 2;
    /* The service answers 500 here. */
    ck_status(envol_provider_rewrap(provider, &request, wrapped.wrapped, wrapped.wrapped_bytes, &to,
                                    &second, &error),
              ENVOL_E_WRONG_KEY);
}
END_TEST

START_TEST(a_key_that_does_not_bind)
{
    struct envol_vault_options options = vault_options();
    struct envol_key_request request = kms_request(PLAIN, NULL);

    ck_assert_int_eq(generate(PLAIN), ENVOL_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "derived"));
    memset(dek, 1, sizeof(dek));
    ck_status(envol_provider_wrap(provider, &request, dek, &wrapped, &error), ENVOL_E_UNSUPPORTED);
    ck_assert_int_eq(key_server_count("datakey"), 0);
    ck_assert_int_eq(key_server_count("encrypt"), 0);
    options.flags = ENVOL_VAULT_ALLOW_UNBOUND;
    reopen(&options);
    ck_assert_uint_eq(envol_provider_capabilities(provider) & ENVOL_PROVIDER_BINDS_CONTEXT, 0);
    ck_assert_int_eq(generate(PLAIN), ENVOL_OK);
    ck_assert_int_eq(unwrap(PLAIN), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
}
END_TEST

START_TEST(references)
{
    static const char *const bad[] = {"one", "transit/../sys", "a//b", "/", "transit/"};
    struct envol_key_request none = kms_request(NULL, NULL);

    ck_status(envol_provider_generate(provider, &none, dek, &wrapped, &error), ENVOL_E_ARGUMENT);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(generate(bad[i]) == ENVOL_E_ARGUMENT, "%s", bad[i]);
    ck_assert_int_eq(key_server_count("all"), 0);
    ck_assert_int_eq(generate("other/mount/key"), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_str_eq(key_server_say("last path"), "/v1/other/mount/keys/key");
    ck_assert_int_eq(generate("transit/with space?"), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_str_eq(key_server_say("last path"), "/v1/transit/keys/with%20space%3F");
}
END_TEST

START_TEST(blobs_that_are_not_transits)
{
    static const char *const blobs[] = {"x",
                                        "vault:v",
                                        "vault:v1",
                                        "vault:vx:AA",
                                        "vault:v1:\"",
                                        "vault:v1:\n",
                                        "vault:v12345678901:AA"};
    struct envol_key_request request = kms_request(KEY, "1");

    for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++)
        ck_status(
            envol_provider_unwrap(provider, &request, blobs[i], strlen(blobs[i]), again, &error),
            ENVOL_E_WRONG_KEY);
    ck_assert_int_eq(key_server_count("all"), 0);
}
END_TEST

START_TEST(states_of_a_key)
{
    struct envol_key_request request = kms_request(KEY, NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    key_server_say("state one Disabled");
    ck_assert_int_eq(unwrap(KEY), ENVOL_E_KEY_DISABLED);
    ck_ok(envol_provider_describe(provider, &request, &info, &error));
    ck_assert_int_eq(info.state, ENVOL_KEY_DISABLED);
    key_server_say("state one Enabled");
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_int_eq(unwrap("transit/unknown"), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_int_eq(generate("transit/unknown"), ENVOL_E_KEY_NOT_FOUND);
}
END_TEST

static enum envol_status open_volume(struct envol_store *store)
{
    const struct envol_cmk cmk = {provider, KEY};
    struct envol_volume *volume = NULL;
    enum envol_status status = envol_volume_open(store, &cmk, 1, NULL, &volume, &error);

    envol_volume_close(volume);
    return status;
}

START_TEST(a_volumes_life)
{
    const struct envol_cmk cmk = {provider, KEY};
    struct envol_volume *volume = NULL;
    struct envol_store *store = NULL;

    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_volume_create(store, &cmk, 1, NULL, &volume, &error));
    ck_ok(envol_volume_close(volume));
    ck_assert_int_eq(open_volume(store), ENVOL_OK);
    key_server_say("state one Disabled");
    ck_assert_int_eq(open_volume(store), ENVOL_E_KEY_DISABLED);
    key_server_say("state one Enabled");
    ck_assert_int_eq(open_volume(store), ENVOL_OK);
    key_server_say("rotate one");
    ck_assert_int_eq(open_volume(store), ENVOL_OK);
    key_server_say("floor one 2");
    ck_assert_int_eq(open_volume(store), ENVOL_E_KEY_DISABLED);
    key_server_say("floor one 1");
    key_server_say("fault other");
    ck_assert_int_eq(open_volume(store), ENVOL_E_WRONG_KEY);
    key_server_say("reset");
    ck_assert_int_eq(open_volume(store), ENVOL_OK);
    envol_store_close(store);
}
END_TEST

START_TEST(sends_the_namespace)
{
    struct envol_vault_options options = vault_options();

    options.name_space = "team/a";
    reopen(&options);
    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    ck_assert_str_eq(key_server_say("last namespace"), "team/a");
}
END_TEST

START_TEST(environments)
{
    static const char *const variables[][2] = {{"VAULT_ADDR", "VAULT_TOKEN"},
                                               {"BAO_ADDR", "BAO_TOKEN"}};

    for (int i = 0; i < 2; i++) {
        key_environment_clear();
        setenv(variables[i][0], key_server.url, 1);
        setenv(variables[i][1], "test-token", 1);
        reopen(NULL);
        ck_assert_int_eq(generate(KEY), ENVOL_OK);
    }
}
END_TEST

START_TEST(the_file_of_vault_login)
{
    char path[600];
    FILE *file;

    key_environment_clear();
    setenv("VAULT_ADDR", key_server.url, 1);
    setenv("HOME", test_path("home"), 1);
    mkdir(getenv("HOME"), 0700);
    reopen(NULL);
    ck_assert_int_eq(generate(KEY), ENVOL_E_CREDENTIALS);
    snprintf(path, sizeof(path), "%s/.vault-token", getenv("HOME"));
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("test-token\n", file);
    fclose(file);
    ck_assert_int_eq(generate(KEY), ENVOL_OK);
}
END_TEST

static struct envol_vault_options role_options(void)
{
    struct envol_vault_options options = vault_options();

    options.token = NULL;
    options.role_id = "the-role";
    options.secret_id = "the-secret";
    return options;
}

START_TEST(logs_in_with_a_role)
{
    struct envol_vault_options options = role_options();

    key_server_say("lease 3600");
    reopen(&options);
    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_int_eq(key_server_count("login"), 1);
    /* A token that is refused is replaced by a new login, once. */
    key_server_say("token fresh-token");
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_int_eq(key_server_count("login"), 2);
    /* A policy's refusal is not. */
    key_server_say("token fresh-token none");
    ck_assert_int_eq(unwrap(KEY), ENVOL_E_KEY_DENIED);
    ck_assert_int_eq(key_server_count("login"), 2);
}
END_TEST

START_TEST(a_role_that_is_refused)
{
    struct envol_vault_options options = role_options();

    options.secret_id = "wrong";
    reopen(&options);
    ck_assert_int_eq(generate(KEY), ENVOL_E_CREDENTIALS);
    options = role_options();
    options.approle_mount = "elsewhere";
    reopen(&options);
    ck_assert_int_eq(generate(KEY), ENVOL_E_CREDENTIALS);
    /* What it gives is no line of a request. */
    options = role_options();
    key_server_say("token no\177line");
    reopen(&options);
    ck_assert_int_eq(generate(KEY), ENVOL_E_CREDENTIALS);
    key_server_say("token fresh-token");
}
END_TEST

START_TEST(renews_its_token)
{
    struct envol_vault_options options = role_options();

    key_server_say("lease 6");
    reopen(&options);
    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    usleep(4300000);
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_int_eq(key_server_count("renew"), 1);
    ck_assert_int_eq(key_server_count("login"), 1);
    usleep(6100000);
    ck_assert_int_eq(unwrap(KEY), ENVOL_OK);
    ck_assert_int_eq(key_server_count("login"), 2);
    key_server_say("lease 3600");
}
END_TEST

static const struct {
    int code;
    const char *text;
    enum envol_status status;
} rows[] = {
    {400, "cipher: message authentication failed", ENVOL_E_WRONG_KEY},
    {500, "1 error occurred:\t* cipher: message authentication failed", ENVOL_E_WRONG_KEY},
    {400, "invalid ciphertext: no prefix", ENVOL_E_WRONG_KEY},
    {400, "invalid ciphertext: version is too new", ENVOL_E_WRONG_KEY},
    {400, "unable to decrypt", ENVOL_E_WRONG_KEY},
    {400, "ciphertext or signature version is disallowed by policy (too old)",
     ENVOL_E_KEY_DISABLED},
    {400, "the key is soft-deleted", ENVOL_E_KEY_DISABLED},
    {400, "the key was soft deleted", ENVOL_E_KEY_DISABLED},
    {400, "encryption key not found", ENVOL_E_KEY_NOT_FOUND},
    {404, "no handler for route \"transit/decrypt/x\". route entry not found.",
     ENVOL_E_KEY_NOT_FOUND},
    {404, "unsupported path", ENVOL_E_KEY_NOT_FOUND},
    {404, "", ENVOL_E_KEY_NOT_FOUND},
    {400, "message decryption not supported for key type rsa", ENVOL_E_UNSUPPORTED},
    {405, "unsupported operation", ENVOL_E_UNSUPPORTED},
    {405, "", ENVOL_E_UNSUPPORTED},
    {400, "missing 'context' for key derivation; the key was created", ENVOL_E_ARGUMENT},
    {403, "2 errors occurred: * permission denied * invalid token", ENVOL_E_CREDENTIALS},
    {403, "bad token", ENVOL_E_CREDENTIALS},
    {400, "missing client token", ENVOL_E_CREDENTIALS},
    {400, "invalid role or secret ID", ENVOL_E_CREDENTIALS},
    {400, "invalid secret id", ENVOL_E_CREDENTIALS},
    {400, "invalid role ID", ENVOL_E_CREDENTIALS},
    {403, "permission denied", ENVOL_E_KEY_DENIED},
    {403, "", ENVOL_E_KEY_DENIED},
    {503, "Vault is sealed", ENVOL_E_UNREACHABLE},
    {500, "Vault is sealed", ENVOL_E_UNREACHABLE},
    {412, "required index state not present", ENVOL_E_UNREACHABLE},
    {429, "request path: rate limit quota exceeded", ENVOL_E_THROTTLED},
    {472, "", ENVOL_E_UNREACHABLE},
    {473, "", ENVOL_E_UNREACHABLE},
    {500, "internal error", ENVOL_E_UNREACHABLE},
    {502, "", ENVOL_E_UNREACHABLE},
    {400, "something new", ENVOL_E_PROVIDER},
    {418, "", ENVOL_E_PROVIDER},
};

START_TEST(errors_mean_what_the_table_says)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_msg(envol_kms_vault_classify(rows[i].code, rows[i].text) == rows[i].status,
                      "%d %s", rows[i].code, rows[i].text);
}
END_TEST

/* The same over the wire, but for those that ask for more than one answer. */
START_TEST(errors_come_over_the_wire)
{
    ck_assert_int_eq(generate(KEY), ENVOL_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char code[16];

        if (rows[i].code == 403 || rows[i].text[0] == '\0')
            continue;
        key_server_say("error %d %s", rows[i].code, rows[i].text);
        snprintf(code, sizeof(code), "%d", rows[i].code);
        ck_assert_msg(unwrap(KEY) == rows[i].status, "%s: %s", rows[i].text, error.message);
        ck_assert_str_eq(error.provider_code, code);
    }
}
END_TEST

START_TEST(every_row_of_the_table_is_tested)
{
    static char source[65536];
    FILE *file = fopen("lib/kms/vault_error.c", "r");
    int named = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(source, 1, sizeof(source) - 1, file), 0);
    fclose(file);
    for (char *at = strstr(source, "{\""); at != NULL; at = strstr(at + 2, "{\"")) {
        bool found = false;

        at[2 + strcspn(at + 2, "\"")] = '\0';
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            found = found || strstr(rows[i].text, at + 2) != NULL;
        ck_assert_msg(found, "no test for %s", at + 2);
        at += strlen(at);
        *at = '"';
        named++;
    }
    ck_assert_int_ge(named, 19);
}
END_TEST

START_TEST(options_of_a_newer_program)
{
    struct {
        struct envol_vault_options known;
        uint64_t newer;
    } options = {.known = vault_options()};
    struct envol_provider *opened;

    options.known.struct_size = sizeof(options);
    ck_ok(envol_vault_provider_open(&options.known, &opened, &error));
    envol_provider_close(opened);
    options.newer = 1;
    ck_status(envol_vault_provider_open(&options.known, &opened, &error), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(opened);
}
END_TEST

START_TEST(options_that_are_refused)
{
    struct envol_vault_options good = vault_options(), bad;
    struct envol_provider *none = (struct envol_provider *)&bad;

    ck_status(envol_vault_provider_open(&good, NULL, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.struct_size = 0;
    ck_status(envol_vault_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(none);
    bad = good, bad.flags = 4;
    ck_status(envol_vault_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.address = NULL;
    ck_status(envol_vault_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.address = "http://vault.example.org:8200";
    ck_status(envol_vault_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.token = "two\r\nX-Evil: lines";
    ck_status(envol_vault_provider_open(&bad, &none, NULL), ENVOL_E_ARGUMENT);
}
END_TEST

static void *no_memory(void *ctx, size_t bytes, size_t align)
{
    (void)ctx, (void)bytes, (void)align;
    return NULL;
}

static void no_free(void *ctx, void *memory)
{
    (void)ctx, (void)memory;
}

START_TEST(opening_without_memory)
{
    static const struct envol_allocator none = {sizeof(none), NULL, no_memory, no_free};
    struct envol_vault_options options = vault_options();

    envol_provider_close(provider);
    ck_ok(envol_set_allocator(&none));
    ck_status(envol_vault_provider_open(&options, &provider, &error), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(provider);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kms_vault");
    TCase *c = key_server_case(s, "operations", key_server_begin);

    tcase_add_checked_fixture(c, open_default, close_default);
    tcase_add_test(c, generates_and_unwraps);
    tcase_add_test(c, wraps);
    tcase_add_test(c, rewraps_to_the_newest_version);
    tcase_add_test(c, rewraps_to_another_key);
    tcase_add_test(c, binds_the_context);
    tcase_add_test(c, a_key_that_does_not_bind);
    tcase_add_test(c, references);
    tcase_add_test(c, blobs_that_are_not_transits);
    tcase_add_test(c, states_of_a_key);
    tcase_add_test(c, a_volumes_life);
    tcase_add_test(c, sends_the_namespace);
    tcase_add_test(c, environments);
    tcase_add_test(c, the_file_of_vault_login);
    tcase_add_test(c, logs_in_with_a_role);
    tcase_add_test(c, a_role_that_is_refused);
    tcase_add_test(c, renews_its_token);
    tcase_add_test(c, errors_mean_what_the_table_says);
    tcase_add_test(c, errors_come_over_the_wire);
    tcase_add_test(c, every_row_of_the_table_is_tested);
    tcase_add_test(c, options_that_are_refused);
    tcase_add_test(c, options_of_a_newer_program);
    tcase_add_test(c, opening_without_memory);
    return s;
}

int main(void)
{
    return test_run(suite());
}
