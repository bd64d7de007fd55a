/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes' lives with the providers aws-kms and vault, against the tests' own services. */
#include "cmk_life.h"
#include "key_server.h"

#include <string.h>

#define KEY   "transit/one"
#define OTHER "transit/two"

static struct envol_provider *provider, *elsewhere; /* two handles on one service */
static struct cmk_life life;
static struct envol_cmk first;
static struct envol_error error = ENVOL_ERROR_INIT;

static void set_state(const struct envol_cmk *cmk, const char *state)
{
    key_server_say("state %s %s", strrchr(cmk->key_ref, '/') + 1, state);
}

static void disable(const struct envol_cmk *cmk)
{
    set_state(cmk, "Disabled");
}

static void schedule_deletion(const struct envol_cmk *cmk)
{
    set_state(cmk, "PendingDeletion");
}

static void enable(const struct envol_cmk *cmk)
{
    set_state(cmk, "Enabled");
}

static void begin_life(const char *key_ref, const char *other_ref)
{
    error.struct_size = sizeof(error);
    first = (struct envol_cmk){provider, key_ref};
    life = (struct cmk_life){
        .providers = {provider, provider},
        .key_refs = {key_ref, other_ref},
        .revoke = disable,
        .restore = enable,
        .revoked = ENVOL_E_KEY_DISABLED,
        .left = ENVOL_E_NO_PROVIDER,
    };
}

static void begin_aws(void)
{
    struct envol_aws_kms_options options = aws_options();

    provider = aws_open(&options);
    elsewhere = aws_open(&options);
    begin_life(AWS_KEY, AWS_OTHER);
    enable(&first);
}

static void begin_vault(void)
{
    struct envol_vault_options options = vault_options();

    provider = vault_open(&options);
    elsewhere = vault_open(&options);
    begin_life(KEY, OTHER);
    key_server_say("key one derived");
    key_server_say("key two derived");
}

static void end_test(void)
{
    envol_provider_close(provider);
    envol_provider_close(elsewhere);
}

/* The DEK does not leave the service. */
START_TEST(aws_reencrypts)
{
    life.rewrap = "rewrap unwrap ";
    cmk_life(&life);
    ck_assert_int_eq(key_server_count("GenerateDataKey"), 1);
    ck_assert_int_eq(key_server_count("ReEncrypt"), 1);
    ck_assert_int_eq(key_server_count("Encrypt"), 0);
}
END_TEST

/* Two handles may be two accounts: the DEK is wrapped anew. */
START_TEST(aws_to_another_handle)
{
    life.providers[1] = elsewhere;
    life.revoke = schedule_deletion;
    life.revoked = ENVOL_E_KEY_PENDING_DELETION;
    life.rewrap = "wrap unwrap ";
    cmk_life(&life);
    ck_assert_int_eq(key_server_count("ReEncrypt"), 0);
    ck_assert_int_eq(key_server_count("Encrypt"), 1);
}
END_TEST

/* Transit rewraps within one key: that another one is asked for is seen before the service is. */
START_TEST(vault_to_another_key)
{
    life.providers[1] = _i == 0 ? provider : elsewhere;
    life.rewrap = _i == 0 ? "rewrap wrap unwrap " : "wrap unwrap ";
    cmk_life(&life);
    ck_assert_int_eq(key_server_count("datakey"), 1);
    ck_assert_int_eq(key_server_count("rewrap"), 0);
    ck_assert_int_eq(key_server_count("encrypt"), 1);
}
END_TEST

/* Inside the service; then the old version is archived. */
START_TEST(vault_to_the_newest_version)
{
    struct envol_volume *volume = NULL;
    struct envol_store *store = NULL;

    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_volume_create(store, &first, 1, NULL, &volume, &error));
    key_server_say("rotate one");
    if (_i == 1)
        ck_ok(envol_volume_rewrap(volume, 0, &first, &first, NULL, &error));
    ck_ok(envol_volume_close(volume));
    ck_assert_int_eq(key_server_count("rewrap"), _i);
    ck_assert_int_eq(key_server_count("encrypt"), 0);
    key_server_say("floor one 2");
    volume = NULL;
    ck_status(envol_volume_open(store, &first, 1, NULL, &volume, &error),
              _i == 1 ? ENVOL_OK : ENVOL_E_KEY_DISABLED);
    if (volume != NULL)
        ck_ok(envol_volume_close(volume));
    envol_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kms_life");
    TCase *aws = key_server_case(suite, "aws", key_server_begin);
    TCase *vault = key_server_case(suite, "vault", key_server_begin);

    tcase_add_checked_fixture(aws, begin_aws, end_test);
    tcase_add_test(aws, aws_reencrypts);
    tcase_add_test(aws, aws_to_another_handle);
    tcase_add_checked_fixture(vault, begin_vault, end_test);
    tcase_add_loop_test(vault, vault_to_another_key, 0, 2);
    tcase_add_loop_test(vault, vault_to_the_newest_version, 0, 2);
    return test_run(suite);
}
