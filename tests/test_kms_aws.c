/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider aws-kms against a service that checks signatures: operations, options, errors. */
#include "key_server.h"
#include "kms_fixture.h"

#include "kms/aws.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct envol_provider *provider;
static struct envol_wrapped_dek wrapped, second;
static uint8_t dek[ENVOL_DEK_BYTES], again[ENVOL_DEK_BYTES];
static struct envol_error error = ENVOL_ERROR_INIT;

static void open_default(void)
{
    struct envol_aws_kms_options options = aws_options();

    provider = aws_open(&options);
    wrapped.struct_size = sizeof(wrapped);
    second.struct_size = sizeof(second);
    error.struct_size = sizeof(error);
}

static void close_default(void)
{
    envol_provider_close(provider);
}

static void generate(const char *key_ref)
{
    struct envol_key_request request = kms_request(key_ref, NULL);

    ck_ok(envol_provider_generate(provider, &request, dek, &wrapped, &error));
}

static enum envol_status unwrap(const char *key_ref)
{
    struct envol_key_request request = kms_request(key_ref, wrapped.key_version);

    return ck_note(envol_provider_unwrap(provider, &request, wrapped.wrapped, wrapped.wrapped_bytes,
                                         again, &error));
}

START_TEST(generates_and_unwraps)
{
    generate(AWS_KEY);
    ck_assert_str_eq(wrapped.key_ref, AWS_KEY);
    ck_assert_str_eq(wrapped.key_version, "material-1");
    ck_assert_int_eq(unwrap(AWS_KEY), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
    ck_assert_str_eq(key_server_say("last region"), "eu-central-1");
    ck_assert_ptr_nonnull(strstr(key_server_say("last body"),
                                 "\"EncryptionContext\":{\"envol:epoch"
                                 "\":\"1\",\"envol:purpose\":\"dek\","));
    ck_assert_ptr_nonnull(strstr(key_server_say("last body"), "\"KeyId\":\"" AWS_KEY "\""));
}
END_TEST

START_TEST(wraps)
{
    struct envol_key_request request = kms_request(AWS_KEY, NULL);

    memset(dek, 0x5a, sizeof(dek));
    ck_ok(envol_provider_wrap(provider, &request, dek, &wrapped, &error));
    ck_assert_int_eq(unwrap(AWS_KEY), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
}
END_TEST

START_TEST(rewraps_inside_one_region)
{
    struct envol_key_request from = kms_request(AWS_KEY, "material-1");
    struct envol_key_request to = kms_request(AWS_OTHER, NULL);

    generate(AWS_KEY);
    ck_ok(envol_provider_rewrap(provider, &from, wrapped.wrapped, wrapped.wrapped_bytes, &to,
                                &second, &error));
    ck_assert_str_eq(second.key_ref, AWS_OTHER);
    ck_assert_str_eq(second.key_version, "material-2");
    ck_assert_int_eq(key_server_count("ReEncrypt"), 1);
    ck_assert_int_eq(key_server_count("Decrypt"), 0);
    wrapped = second;
    ck_assert_int_eq(unwrap(AWS_OTHER), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
}
END_TEST

/* ReEncrypt does not cross Regions: Decrypt in one, Encrypt in the other. */
START_TEST(rewraps_across_regions)
{
    static const char far[] = "arn:aws:kms:us-east-1:111122223333:key/far";
    struct envol_key_request from = kms_request(AWS_KEY, "material-1");
    struct envol_key_request to = kms_request(far, NULL);

    generate(AWS_KEY);
    ck_ok(envol_provider_rewrap(provider, &from, wrapped.wrapped, wrapped.wrapped_bytes, &to,
                                &second, &error));
    ck_assert_str_eq(second.key_ref, far);
    ck_assert_int_eq(key_server_count("ReEncrypt"), 0);
    ck_assert_str_eq(key_server_say("last region"), "us-east-1");
}
END_TEST

START_TEST(describes)
{
    static const struct {
        const char *name;
        enum envol_key_state state;
    } states[] = {
        {"Enabled", ENVOL_KEY_ENABLED},
        {"Updating", ENVOL_KEY_ENABLED},
        {"Disabled", ENVOL_KEY_DISABLED},
        {"PendingImport", ENVOL_KEY_DISABLED},
        {"Unavailable", ENVOL_KEY_DISABLED},
        {"Creating", ENVOL_KEY_DISABLED},
        {"PendingDeletion", ENVOL_KEY_PENDING_DELETION},
        {"PendingReplicaDeletion", ENVOL_KEY_PENDING_DELETION},
    };
    struct envol_key_request request = kms_request("alias/mine", NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        key_server_say("state aliased %s", states[i].name);
        ck_ok(envol_provider_describe(provider, &request, &info, &error));
        ck_assert_int_eq(info.state, states[i].state);
        ck_assert_str_eq(info.key_ref, "arn:aws:kms:eu-central-1:111122223333:key/aliased");
        ck_assert_str_eq(info.key_version, "material-1");
    }
    key_server_say("state aliased Enabled");
}
END_TEST

/* What a slot holds is the key's ARN, whatever the caller called it. */
START_TEST(stores_arns)
{
    static const char *const names[] = {"one", "alias/mine",
                                        "arn:aws:kms:eu-central-1:111122223333:alias/mine"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        generate(names[i]);
        ck_assert_msg(strncmp(wrapped.key_ref, "arn:aws:kms:eu-central-1:111122223333:key/", 42) ==
                          0,
                      "%s", wrapped.key_ref);
        ck_assert_int_eq(unwrap(wrapped.key_ref), ENVOL_OK);
    }
}
END_TEST

START_TEST(an_arn_names_its_region)
{
    generate("arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/one");
    ck_assert_str_eq(key_server_say("last region"), "us-gov-west-1");
}
END_TEST

START_TEST(bad_references)
{
    static const char *const names[] = {
        "arn:aws:kms:eu-central-1:111122223333",
        "arn:aws:s3:eu-central-1:1:key/one",
        "arn:aws:kms::1:key/one",
        "arn:aws:kms:EU:1:key/one",
        "arn:aws:kms:a/../b:1:key/one",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct envol_key_request request = kms_request(names[i], NULL);

        ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error),
                  ENVOL_E_ARGUMENT);
    }
    ck_assert_int_eq(key_server_count("all"), 0);
}
END_TEST

START_TEST(binds_the_context)
{
    struct envol_key_request request = kms_request(AWS_KEY, "");

    generate(AWS_KEY);
    request.context_pairs = 2;
    ck_status(envol_provider_unwrap(provider, &request, wrapped.wrapped, wrapped.wrapped_bytes,
                                    again, &error),
              ENVOL_E_WRONG_KEY);
    ck_assert_str_eq(error.provider_code, "InvalidCiphertextException");
    ck_zero(again, sizeof(again));
}
END_TEST

/* Multi-Region keys: the ARN of the slot, the replica of this Region. */
START_TEST(uses_the_local_replica)
{
    static const char primary[] = "arn:aws:kms:us-east-1:111122223333:key/mrk-1";
    struct envol_aws_kms_options options = aws_options();

    generate(primary);
    close_default();
    options.flags = ENVOL_AWS_KMS_LOCAL_REPLICA;
    provider = aws_open(&options);
    ck_assert_int_eq(unwrap(primary), ENVOL_OK);
    ck_assert_mem_eq(dek, again, sizeof(dek));
    ck_assert_str_eq(key_server_say("last region"), "eu-central-1");
    /* Other keys have no replica: they stay where they are. */
    ck_assert_int_eq(unwrap("arn:aws:kms:us-east-1:111122223333:key/one"), ENVOL_E_WRONG_KEY);
    ck_assert_str_eq(key_server_say("last region"), "us-east-1");
    generate(primary);
    ck_assert_str_eq(wrapped.key_ref, "arn:aws:kms:eu-central-1:111122223333:key/mrk-1");
}
END_TEST

START_TEST(sends_grant_tokens)
{
    static const char *const tokens[] = {"grant-1", "grant-2"};
    struct envol_aws_kms_options options = aws_options();

    close_default();
    options.grant_tokens = tokens;
    options.grant_token_count = 2;
    provider = aws_open(&options);
    generate(AWS_KEY);
    ck_assert_ptr_nonnull(
        strstr(key_server_say("last body"), "\"GrantTokens\":[\"grant-1\",\"grant-2\"]"));
}
END_TEST

START_TEST(states_of_a_key)
{
    generate(AWS_KEY);
    key_server_say("state one Disabled");
    ck_assert_int_eq(unwrap(AWS_KEY), ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(error.status, ENVOL_E_KEY_DISABLED);
    ck_assert_str_eq(error.provider_code, "DisabledException");
    key_server_say("state one PendingDeletion");
    ck_assert_int_eq(unwrap(AWS_KEY), ENVOL_E_KEY_PENDING_DELETION);
    key_server_say("state one Enabled");
    ck_assert_int_eq(unwrap(AWS_KEY), ENVOL_OK);
    ck_assert_int_eq(unwrap("gone"), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_int_eq(unwrap(AWS_OTHER), ENVOL_E_WRONG_KEY);
    ck_assert_str_eq(error.provider_code, "IncorrectKeyException");
}
END_TEST

/* Each row of the table, as it comes over the wire. */
static const struct {
    int code;
    const char *type;
    const char *message;
    enum envol_status status;
} rows[] = {
    {400, "ThrottlingException", "", ENVOL_E_THROTTLED},
    {400, "Throttling", "", ENVOL_E_THROTTLED},
    {400, "TooManyRequestsException", "", ENVOL_E_THROTTLED},
    {400, "RequestLimitExceeded", "", ENVOL_E_THROTTLED},
    {500, "KMSInternalException", "", ENVOL_E_UNREACHABLE},
    {500, "DependencyTimeoutException", "", ENVOL_E_UNREACHABLE},
    {500, "KeyUnavailableException", "", ENVOL_E_UNREACHABLE},
    {500, "InternalFailure", "", ENVOL_E_UNREACHABLE},
    {500, "InternalServerError", "", ENVOL_E_UNREACHABLE},
    {503, "ServiceUnavailable", "", ENVOL_E_UNREACHABLE},
    {503, "ServiceUnavailableException", "", ENVOL_E_UNREACHABLE},
    {400, "IDPCommunicationError", "", ENVOL_E_UNREACHABLE},
    {400, "ExpiredTokenException", "", ENVOL_E_CREDENTIALS},
    {400, "ExpiredToken", "", ENVOL_E_CREDENTIALS},
    {400, "UnrecognizedClientException", "", ENVOL_E_CREDENTIALS},
    {403, "InvalidClientTokenId", "", ENVOL_E_CREDENTIALS},
    {400, "InvalidIdentityToken", "", ENVOL_E_CREDENTIALS},
    {400, "InvalidSignatureException", "Signature expired", ENVOL_E_CREDENTIALS},
    {403, "SignatureDoesNotMatch", "", ENVOL_E_CREDENTIALS},
    {400, "RequestExpired", "", ENVOL_E_CREDENTIALS},
    {403, "MissingAuthenticationToken", "", ENVOL_E_CREDENTIALS},
    {400, "MissingAuthenticationTokenException", "", ENVOL_E_CREDENTIALS},
    {400, "IncompleteSignature", "", ENVOL_E_CREDENTIALS},
    {400, "IncompleteSignatureException", "", ENVOL_E_CREDENTIALS},
    {403, "OptInRequired", "", ENVOL_E_CREDENTIALS},
    {403, "IDPRejectedClaim", "", ENVOL_E_CREDENTIALS},
    {400, "DisabledException", "arn:... is disabled", ENVOL_E_KEY_DISABLED},
    {409, "DisabledException", "", ENVOL_E_KEY_DISABLED},
    {400, "DisabledException", "arn is pending deletion", ENVOL_E_KEY_PENDING_DELETION},
    {400, "KMSInvalidStateException", "arn is pending deletion", ENVOL_E_KEY_PENDING_DELETION},
    {409, "KMSInvalidStateException", "is pending replica deletion", ENVOL_E_KEY_PENDING_DELETION},
    {400, "KMSInvalidStateException", "arn is pending import", ENVOL_E_KEY_DISABLED},
    {400, "KMSInvalidStateException", "arn is unavailable", ENVOL_E_KEY_DISABLED},
    {400, "KMSInvalidStateException", "arn is Creating", ENVOL_E_UNREACHABLE},
    {400, "KMSInvalidStateException", "arn is Updating", ENVOL_E_UNREACHABLE},
    {400, "AccessDeniedException", "User is not authorized", ENVOL_E_KEY_DENIED},
    {403, "AccessDenied", "", ENVOL_E_KEY_DENIED},
    {400, "NotAuthorized", "", ENVOL_E_KEY_DENIED},
    {400, "NotAuthorizedException", "", ENVOL_E_KEY_DENIED},
    {400, "NotFoundException", "", ENVOL_E_KEY_NOT_FOUND},
    {404, "NotFoundException", "", ENVOL_E_KEY_NOT_FOUND},
    {400, "InvalidCiphertextException", "", ENVOL_E_WRONG_KEY},
    {400, "IncorrectKeyException", "", ENVOL_E_WRONG_KEY},
    {400, "InvalidKeyUsageException", "", ENVOL_E_ARGUMENT},
    {400, "InvalidArnException", "", ENVOL_E_ARGUMENT},
    {400, "InvalidGrantTokenException", "", ENVOL_E_ARGUMENT},
    {400, "ValidationException", "", ENVOL_E_ARGUMENT},
    {400, "ValidationError", "", ENVOL_E_ARGUMENT},
    {400, "UnsupportedOperationException", "", ENVOL_E_UNSUPPORTED},
    {412, "DryRunOperationException", "", ENVOL_E_PROVIDER},
    {400, "LimitExceededException", "", ENVOL_E_PROVIDER},
    {400, "NeverHeardOf", "", ENVOL_E_PROVIDER},
    {500, "NeverHeardOf", "", ENVOL_E_UNREACHABLE},
    {502, "NeverHeardOf", "", ENVOL_E_UNREACHABLE},
    {429, "NeverHeardOf", "", ENVOL_E_THROTTLED},
};

START_TEST(errors_mean_what_the_table_says)
{
    generate(AWS_KEY);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        key_server_say("error %d %s %s", rows[i].code, rows[i].type, rows[i].message);
        ck_assert_msg(unwrap(AWS_KEY) == rows[i].status, "%s \"%s\": %s", rows[i].type,
                      rows[i].message, envol_status_name(error.status));
        ck_assert_str_eq(error.provider_code, rows[i].type);
        ck_assert_ptr_nonnull(strstr(error.message, rows[i].type));
        ck_assert_ptr_nonnull(strstr(error.message, rows[i].message));
        ck_zero(again, sizeof(again));
    }
}
END_TEST

/* A row of the library's table that no line above covers would be a row that nothing tests. */
START_TEST(every_row_of_the_table_is_tested)
{
    static char source[65536];
    int covered = 0, named = 0;

    ck_assert(envol_kms_read_file("lib/kms/aws_error.c", source, sizeof(source)) > 0);
    for (char *at = strstr(source, "{\""); at != NULL; at = strstr(at + 2, "{\"")) {
        size_t length = strcspn(at + 2, "\"");
        bool found = false;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            found = found ||
                    (strlen(rows[i].type) == length && strncmp(rows[i].type, at + 2, length) == 0);
        ck_assert_msg(found, "no test for %.*s", (int)length, at + 2);
        named++;
        covered += found;
    }
    ck_assert_int_ge(named, 40);
    ck_assert_int_eq(covered, named);
}
END_TEST

START_TEST(options_of_a_newer_program)
{
    struct {
        struct envol_aws_kms_options known;
        uint64_t newer;
    } options = {.known = aws_options()};
    struct envol_provider *opened;

    options.known.struct_size = sizeof(options);
    ck_ok(envol_aws_kms_provider_open(&options.known, &opened, &error));
    envol_provider_close(opened);
    options.newer = 1;
    ck_status(envol_aws_kms_provider_open(&options.known, &opened, &error), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(opened);
}
END_TEST

START_TEST(options_that_are_refused)
{
    struct envol_aws_kms_options good = aws_options(), bad;
    struct envol_provider *none = (struct envol_provider *)&bad;
    static const char *const endpoints[] = {
        "http://kms.example.org",       "ftp://127.0.0.1",    "x",
        "http://user:secret@127.0.0.1", "http://10.0.0.1:80", "https://kms.example.org/?a=b"};
    static char too_long[4096];

    ck_status(envol_aws_kms_provider_open(&good, NULL, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.struct_size = 0;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(none);
    bad = good, bad.struct_size = sizeof(bad) - 1;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.struct_size = SIZE_MAX;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.flags = 0x80000000u;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        bad = good, bad.endpoint = endpoints[i];
        ck_status(envol_aws_kms_provider_open(&bad, &none, NULL), ENVOL_E_ARGUMENT);
    }
    bad = good, bad.region = "eu/../evil";
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.secret_access_key = NULL;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.access_key_id = NULL;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.session_token = "two\nlines";
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    memset(too_long, 'a', sizeof(too_long) - 1);
    bad = good, bad.ca_file = too_long;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.grant_token_count = 11;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    bad = good, bad.grant_token_count = 1;
    ck_status(envol_aws_kms_provider_open(&bad, &none, &error), ENVOL_E_ARGUMENT);
    ck_assert_uint_gt(strlen(error.message), 0);
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
    struct envol_aws_kms_options options = aws_options();
    struct envol_provider *got = provider;

    close_default();
    provider = NULL;
    ck_ok(envol_set_allocator(&none));
    ck_status(envol_aws_kms_provider_open(&options, &got, &error), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(got);
}
END_TEST

START_TEST(a_key_must_be_named)
{
    struct envol_key_request request = kms_request(NULL, NULL);
    struct envol_aws_kms_options options = aws_options();

    ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error), ENVOL_E_ARGUMENT);
    close_default();
    options.region = NULL;
    provider = aws_open(&options);
    request = kms_request("alias/mine", NULL);
    ck_status(envol_provider_generate(provider, &request, dek, &wrapped, &error), ENVOL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "Region"));
}
END_TEST

START_TEST(endpoints_of_partitions)
{
    static const struct {
        const char *region, *url;
    } known[] = {
        {"eu-central-1", "https://kms.eu-central-1.amazonaws.com"},
        {"us-gov-west-1", "https://kms.us-gov-west-1.amazonaws.com"},
        {"cn-north-1", "https://kms.cn-north-1.amazonaws.com.cn"},
        {"us-iso-east-1", "https://kms.us-iso-east-1.c2s.ic.gov"},
        {"us-isob-east-1", "https://kms.us-isob-east-1.sc2s.sgov.gov"},
    };
    static struct envol_aws_settings settings;
    char url[128];

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        ck_assert(envol_kms_aws_endpoint(&settings, "kms", known[i].region, url, sizeof(url)));
        ck_assert_str_eq(url, known[i].url);
    }
    ck_assert(!envol_kms_aws_endpoint(&settings, "kms", "us-east-2", url, 10));
}
END_TEST

/* By the option, the environment, the profile; what goes before says no as well. */
static const struct {
    uint32_t flags;
    const char *environment, *profile;
    bool fips;
} fips[] = {
    {0, NULL, NULL, false},
    {ENVOL_AWS_KMS_FIPS, NULL, NULL, true},
    {0, "true", NULL, true},
    {0, "false", NULL, false},
    {0, NULL, "true", true},
    {0, NULL, "false", false},
    {0, "false", "true", false},
    {0, "true", "false", true},
    {ENVOL_AWS_KMS_FIPS, "false", "false", true},
};

START_TEST(fips_endpoints)
{
    static struct envol_aws_settings settings;
    const struct envol_aws_kms_options options = {
        .struct_size = sizeof(options), .profile = "p", .flags = fips[_i].flags};
    const char *part = fips[_i].fips ? "-fips" : "";
    char config[100] = "[profile p]\n", url[128], expected[128];

    if (fips[_i].environment != NULL)
        setenv("AWS_USE_FIPS_ENDPOINT", fips[_i].environment, 1);
    if (fips[_i].profile != NULL)
        snprintf(config, sizeof(config), "[profile p]\nuse_fips_endpoint = %s\n", fips[_i].profile);
    setenv("AWS_CONFIG_FILE", key_file_write("config", config), 1);
    ck_assert_int_eq(envol_kms_aws_settings(&options, &settings, &error), ENVOL_OK);
    for (int sts = 0; sts < 2; sts++) {
        const char *service = sts ? "sts" : "kms";

        ck_assert(envol_kms_aws_endpoint(&settings, service, "us-east-2", url, sizeof(url)));
        snprintf(expected, sizeof(expected), "https://%s%s.us-east-2.amazonaws.com", service, part);
        ck_assert_str_eq(url, expected);
    }
    ck_assert(envol_kms_aws_endpoint(&settings, "kms", "us-gov-west-1", url, sizeof(url)));
    snprintf(expected, sizeof(expected), "https://kms%s.us-gov-west-1.amazonaws.com", part);
    ck_assert_str_eq(url, expected);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kms_aws");
    TCase *c = key_server_case(s, "operations", key_server_begin);

    tcase_add_checked_fixture(c, open_default, close_default);
    tcase_add_test(c, generates_and_unwraps);
    tcase_add_test(c, wraps);
    tcase_add_test(c, rewraps_inside_one_region);
    tcase_add_test(c, rewraps_across_regions);
    tcase_add_test(c, describes);
    tcase_add_test(c, stores_arns);
    tcase_add_test(c, an_arn_names_its_region);
    tcase_add_test(c, bad_references);
    tcase_add_test(c, binds_the_context);
    tcase_add_test(c, uses_the_local_replica);
    tcase_add_test(c, sends_grant_tokens);
    tcase_add_test(c, states_of_a_key);
    tcase_add_test(c, errors_mean_what_the_table_says);
    tcase_add_test(c, every_row_of_the_table_is_tested);
    tcase_add_test(c, options_that_are_refused);
    tcase_add_test(c, options_of_a_newer_program);
    tcase_add_test(c, opening_without_memory);
    tcase_add_test(c, a_key_must_be_named);
    tcase_add_test(c, endpoints_of_partitions);
    tcase_add_loop_test(c, fips_endpoints, 0, sizeof(fips) / sizeof(fips[0]));
    return s;
}

int main(void)
{
    return test_run(suite());
}
