/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume's life with a CMK in moto's AWS KMS: create, open, disable, enable, deletion scheduled
 * and cancelled, another key.  ENVOL_TEST_MOTO names the virtual environment of `make deps-kms`;
 * where it is set and not there the suite fails, else it is a skip that is counted.
 */
#include "cmk_life.h"
#include "key_server.h"
#include "kms_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char key[256], other_key[256];
static struct envol_provider *provider;
static struct envol_store *store;
static struct envol_error error = ENVOL_ERROR_INIT;

static char page[ENVOL_STRIDE_BYTES_DEFAULT - ENVOL_TRAILER_BYTES];

static void begin_test(void)
{
    struct envol_aws_kms_options options = {
        .struct_size = sizeof(options),
        .endpoint = key_server.url,
        .region = AWS_REGION_OF_TESTS,
        .access_key_id = "test",
        .secret_access_key = "test",
    };

    snprintf(key, sizeof(key), "%s", key_server_say("create"));
    snprintf(other_key, sizeof(other_key), "%s", key_server_say("create"));
    provider = aws_open(&options);
    ck_ok(envol_memory_store_open(&store));
}

static void end_test(void)
{
    envol_store_close(store);
    envol_provider_close(provider);
}

static void create(const char *key_ref)
{
    const struct envol_cmk cmk = {provider, key_ref};
    struct envol_volume *volume;

    ck_ok(envol_volume_create(store, &cmk, 1, NULL, &volume, &error));
    snprintf(page, sizeof(page), "INSERT INTO users VALUES ('Alice')");
    ck_ok(envol_page_write(volume, 0, page));
    ck_ok(envol_volume_close(volume));
}

static enum envol_status read_back(const char *key_ref)
{
    const struct envol_cmk cmk = {provider, key_ref};
    struct envol_volume *volume = NULL;
    enum envol_status status = envol_volume_open(store, &cmk, 1, NULL, &volume, &error);

    if (status != ENVOL_OK)
        return status;
    memset(page, 0, sizeof(page));
    ck_ok(envol_page_read(volume, 0, page));
    ck_assert_str_eq(page, "INSERT INTO users VALUES ('Alice')");
    return envol_volume_close(volume);
}

START_TEST(a_volumes_life)
{
    create(key);
    ck_assert_int_eq(read_back(key), ENVOL_OK);
    key_server_say("disable %s", key);
    ck_assert_int_eq(read_back(key), ENVOL_E_KEY_DISABLED);
    ck_assert_str_eq(error.provider_code, "DisabledException");
    key_server_say("enable %s", key);
    ck_assert_int_eq(read_back(key), ENVOL_OK);
    key_server_say("schedule %s", key);
    ck_assert_int_eq(read_back(key), ENVOL_E_KEY_PENDING_DELETION);
    key_server_say("cancel %s", key);
    ck_assert_int_eq(read_back(key), ENVOL_E_KEY_DISABLED);
    key_server_say("enable %s", key);
    ck_assert_int_eq(read_back(key), ENVOL_OK);
}
END_TEST

START_TEST(created_by_an_alias)
{
    const struct envol_cmk any = {provider, "alias/mine"};
    struct envol_volume *volume = NULL;

    key_server_say("alias alias/mine %s", key);
    create("alias/mine");
    ck_assert_int_eq(read_back(key), ENVOL_OK);
    /* The slot holds the ARN: an alias pins nothing. */
    ck_status(envol_volume_open(store, &any, 1, NULL, &volume, &error), ENVOL_E_NO_PROVIDER);
}
END_TEST

START_TEST(reencrypts_to_a_second_key)
{
    struct envol_key_request request = kms_request(key, NULL), from = kms_request(key, "");
    struct envol_key_request to = kms_request(other_key, NULL);
    struct envol_wrapped_dek first = {.struct_size = sizeof(first)};
    struct envol_wrapped_dek second = {.struct_size = sizeof(second)};
    uint8_t dek[ENVOL_DEK_BYTES], again[ENVOL_DEK_BYTES];

    ck_ok(envol_provider_generate(provider, &request, dek, &first, &error));
    ck_ok(envol_provider_rewrap(provider, &from, first.wrapped, first.wrapped_bytes, &to, &second,
                                &error));
    ck_assert_str_eq(second.key_ref, other_key);
    key_server_say("disable %s", key);
    from = kms_request(other_key, "");
    ck_ok(envol_provider_unwrap(provider, &from, second.wrapped, second.wrapped_bytes, again,
                                &error));
    ck_assert_mem_eq(dek, again, sizeof(dek));
}
END_TEST

static void disable(const struct envol_cmk *cmk)
{
    key_server_say("disable %s", cmk->key_ref);
}

static void enable(const struct envol_cmk *cmk)
{
    key_server_say("enable %s", cmk->key_ref);
}

static void schedule(const struct envol_cmk *cmk)
{
    key_server_say("schedule %s", cmk->key_ref);
}

/* A key whose deletion is cancelled is disabled. */
static void cancel(const struct envol_cmk *cmk)
{
    key_server_say("cancel %s", cmk->key_ref);
    enable(cmk);
}

START_TEST(rewrapped_under_a_lease)
{
    const struct envol_cmk first = {provider, key};
    struct cmk_life life = {
        .providers = {provider, provider},
        .key_refs = {key, other_key},
        .revoke = disable,
        .restore = enable,
        .revoked = ENVOL_E_KEY_DISABLED,
        .left = ENVOL_E_NO_PROVIDER,
        .rewrap = "rewrap unwrap ",
    };

    cmk_life(&life);
    enable(&first);
    life.revoke = schedule;
    life.restore = cancel;
    life.revoked = ENVOL_E_KEY_PENDING_DELETION;
    cmk_life(&life);
}
END_TEST

START_TEST(states_and_refusals)
{
    struct envol_key_request request = kms_request(key, NULL), from = kms_request(key, "");
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
    struct envol_key_info info = {.struct_size = sizeof(info)};
    uint8_t dek[ENVOL_DEK_BYTES];

    ck_ok(envol_provider_describe(provider, &request, &info, &error));
    ck_assert_int_eq(info.state, ENVOL_KEY_ENABLED);
    ck_assert_str_eq(info.key_ref, key);
    ck_ok(envol_provider_generate(provider, &request, dek, &wrapped, &error));
    from.context_pairs = 2;
    ck_status(
        envol_provider_unwrap(provider, &from, wrapped.wrapped, wrapped.wrapped_bytes, dek, &error),
        ENVOL_E_WRONG_KEY);
    request.key_ref = "arn:aws:kms:eu-central-1:123456789012:key/"
                      "00000000-0000-0000-0000-000000000000";
    ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error),
              ENVOL_E_KEY_NOT_FOUND);
    key_server_say("schedule %s", key);
    request.key_ref = key;
    ck_ok(envol_provider_describe(provider, &request, &info, &error));
    ck_assert_int_eq(info.state, ENVOL_KEY_PENDING_DELETION);
}
END_TEST

static Suite *suite(bool with_moto)
{
    Suite *s = suite_create("kms_moto");
    TCase *c;

    if (!with_moto)
        return s;
    c = key_server_case(s, "moto", key_server_begin_moto);
    tcase_add_checked_fixture(c, begin_test, end_test);
    tcase_add_test(c, a_volumes_life);
    tcase_add_test(c, created_by_an_alias);
    tcase_add_test(c, reencrypts_to_a_second_key);
    tcase_add_test(c, rewrapped_under_a_lease);
    tcase_add_test(c, states_and_refusals);
    return s;
}

int main(void)
{
    bool with_moto = access(key_server_moto(), X_OK) == 0 || getenv("ENVOL_TEST_MOTO") != NULL;

    if (!with_moto)
        test_skip("AWS KMS of moto", "not installed: make deps-kms");
    return test_run(suite(with_moto));
}
