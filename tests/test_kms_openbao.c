/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume's life with a key of a real Vault or OpenBao, at ENVOL_TEST_VAULT_ADDR with the token
 * ENVOL_TEST_VAULT_TOKEN, which may write ENVOL_TEST_VAULT_MOUNT ("transit"): a server in
 * development mode will do.  Without the address it is a skip that is counted.
 */
#include "key_server.h"
#include "kms_fixture.h"

#include <envol/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { USES_BYTES = 64 };

static char ref[256];
static struct envol_provider *provider;
static struct envol_store *store;
static struct envol_error error = ENVOL_ERROR_INIT;

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value == NULL || *value == '\0' ? otherwise : value;
}

/* Administration, which the provider has no calls for, with curl. */
static int administrate(const char *method, const char *path, const char *body)
{
    char command[2048];

    snprintf(command, sizeof(command),
             "curl -sf -X %s -H 'X-Vault-Token: %s' -d '%s' '%s/v1/%s' >/dev/null", method,
             setting("ENVOL_TEST_VAULT_TOKEN", "root"), body, getenv("ENVOL_TEST_VAULT_ADDR"),
             path);
    return system(command);
}

static void begin_test(void)
{
    struct envol_vault_options options = {
        .struct_size = sizeof(options),
        .address = getenv("ENVOL_TEST_VAULT_ADDR"),
        .token = setting("ENVOL_TEST_VAULT_TOKEN", "root"),
    };
    const char *mount = setting("ENVOL_TEST_VAULT_MOUNT", "transit");
    char path[512];

    snprintf(path, sizeof(path), "sys/mounts/%s", mount);
    (void)administrate("POST", path, "{\"type\":\"transit\"}"); /* it may be there already */
    snprintf(ref, sizeof(ref), "%s/envol-test-%d", mount, getpid());
    snprintf(path, sizeof(path), "%s/keys/envol-test-%d", mount, getpid());
    ck_assert_int_eq(administrate("POST", path, "{\"derived\":true}"), 0);
    provider = vault_open(&options);
    ck_ok(envol_memory_store_open(&store));
}

static void end_test(void)
{
    envol_store_close(store);
    envol_provider_close(provider);
}

static enum envol_status open_it(void)
{
    const struct envol_cmk cmk = {provider, ref};
    struct envol_volume *volume = NULL;
    enum envol_status status = envol_volume_open(store, &cmk, 1, NULL, &volume, &error);

    envol_volume_close(volume);
    return status;
}

static int change(const char *verb, const char *body)
{
    char path[512];
    const char *slash = strrchr(ref, '/');

    snprintf(path, sizeof(path), "%.*s/keys/%s/%s", (int)(slash - ref), ref, slash + 1, verb);
    return administrate("POST", path, body);
}

static void note_use(void *ctx, const struct envol_audit_event *event)
{
    char *uses = ctx;
    size_t length = strlen(uses);

    snprintf(uses + length, USES_BYTES - length, "%s ", envol_key_operation_name(event->operation));
}

START_TEST(a_volumes_life)
{
    const struct envol_cmk cmk = {provider, ref};
    char uses[USES_BYTES] = "";
    struct envol_volume *volume;

    ck_ok(envol_volume_create(store, &cmk, 1, NULL, &volume, &error));
    ck_ok(envol_volume_close(volume));
    ck_assert_int_eq(open_it(), ENVOL_OK);
    ck_assert_int_eq(change("rotate", "{}"), 0);
    ck_assert_int_eq(open_it(), ENVOL_OK);
    ck_assert_int_eq(change("config", "{\"min_decryption_version\":2}"), 0);
    ck_assert_int_eq(open_it(), ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(change("config", "{\"min_decryption_version\":1}"), 0);
    ck_assert_int_eq(open_it(), ENVOL_OK);
    /* To the newest version, inside the service; then the old one is needed no more. */
    ck_ok(envol_volume_open(store, &cmk, 1, NULL, &volume, &error));
    ck_ok(envol_provider_set_audit(provider, note_use, uses));
    ck_ok(envol_volume_rewrap(volume, 0, &cmk, &cmk, NULL, &error));
    ck_ok(envol_provider_set_audit(provider, NULL, NULL));
    ck_assert_str_eq(uses, "rewrap unwrap ");
    ck_ok(envol_volume_close(volume));
    ck_assert_int_eq(change("config", "{\"min_decryption_version\":2}"), 0);
    ck_assert_int_eq(open_it(), ENVOL_OK);
}
END_TEST

START_TEST(operations)
{
    struct envol_key_request request = kms_request(ref, NULL), from = kms_request(ref, "1");
    struct envol_wrapped_dek first = {.struct_size = sizeof(first)};
    struct envol_wrapped_dek second = {.struct_size = sizeof(second)};
    struct envol_key_info info = {.struct_size = sizeof(info)};
    uint8_t dek[ENVOL_DEK_BYTES], again[ENVOL_DEK_BYTES];

    ck_ok(envol_provider_generate(provider, &request, dek, &first, &error));
    ck_assert_int_eq(change("rotate", "{}"), 0);
    ck_ok(envol_provider_describe(provider, &request, &info, &error));
    ck_assert_str_eq(info.key_version, "2");
    ck_ok(envol_provider_rewrap(provider, &from, first.wrapped, first.wrapped_bytes, &request,
                                &second, &error));
    ck_assert_str_eq(second.key_version, "2");
    from.key_version = "2";
    ck_ok(envol_provider_unwrap(provider, &from, second.wrapped, second.wrapped_bytes, again,
                                &error));
    ck_assert_mem_eq(dek, again, sizeof(dek));
    from.context_pairs = 2;
    ck_status(
        envol_provider_unwrap(provider, &from, second.wrapped, second.wrapped_bytes, again, &error),
        ENVOL_E_WRONG_KEY);
    request = kms_request("transit/envol-test-unknown", NULL);
    ck_status(envol_provider_generate(provider, &request, dek, &first, &error),
              ENVOL_E_KEY_NOT_FOUND);
}
END_TEST

static Suite *suite(bool has_server)
{
    Suite *s = suite_create("kms_openbao");
    TCase *c = tcase_create("server");

    suite_add_tcase(s, c);
    if (!has_server)
        return s;
    tcase_add_checked_fixture(c, begin_test, end_test);
    tcase_add_test(c, a_volumes_life);
    tcase_add_test(c, operations);
    return s;
}

int main(void)
{
    bool has_server = getenv("ENVOL_TEST_VAULT_ADDR") != NULL;

    if (!has_server)
        test_skip("a real Vault or OpenBao", "ENVOL_TEST_VAULT_ADDR is not set");
    return test_run(suite(has_server));
}
