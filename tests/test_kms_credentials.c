/* SPDX-License-Identifier: BSD-2-Clause */
/* Where credentials of AWS come from, when they are fetched anew, and what configures the rest. */
#include "key_server.h"
#include "kms_fixture.h"

#include "kms/aws.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_error error = ENVOL_ERROR_INIT;

#define GOOD_KEYS                                                                                  \
    "aws_access_key_id = AKIDEXAMPLE\n"                                                            \
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n"

static void begin_test(void)
{
    key_server_say("accept AKIDEXAMPLE wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    key_server_say("give ASIAGIVEN given-secret given/token== 3600");
    setenv("AWS_ENDPOINT_URL", key_server.url, 1);
    setenv("AWS_REGION", AWS_REGION_OF_TESTS, 1);
}

/* One call with everything from the environment. */
static enum envol_status call(struct envol_provider *provider)
{
    struct envol_key_request request = kms_request(AWS_KEY, NULL);

    return ck_note(envol_provider_generate(provider, &request, dek, &wrapped, &error));
}

static enum envol_status call_once(void)
{
    struct envol_provider *provider = aws_open(NULL);
    enum envol_status status = call(provider);

    envol_provider_close(provider);
    return status;
}

static void write_files(const char *credentials, const char *config)
{
    setenv("AWS_SHARED_CREDENTIALS_FILE", key_file_write("credentials", credentials), 1);
    setenv("AWS_CONFIG_FILE", key_file_write("config", config), 1);
}

START_TEST(from_the_environment)
{
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    key_server_say("accept AKIDEXAMPLE wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY the/token");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_str_eq(error.provider_code, "ExpiredTokenException");
    setenv("AWS_SESSION_TOKEN", "the/token", 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_str_eq(error.provider_code, "InvalidSignatureException");
}
END_TEST

START_TEST(there_are_none)
{
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "no AWS credentials"));
    ck_assert_int_eq(key_server_count("all"), 0);
}
END_TEST

START_TEST(from_a_profile)
{
    write_files("# comment\n[other]\naws_access_key_id=x\naws_secret_access_key=y\n"
                "[default]\n" GOOD_KEYS,
                "");
    ck_assert_int_eq(call_once(), ENVOL_OK);
    setenv("AWS_PROFILE", "other", 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_str_eq(error.provider_code, "UnrecognizedClientException");
    setenv("AWS_PROFILE", "missing", 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "missing"));
}
END_TEST

START_TEST(from_the_config_file_of_the_home)
{
    char path[600];
    FILE *file;

    setenv("HOME", test_path("home"), 1);
    ck_assert_int_eq(mkdir(getenv("HOME"), 0700), 0);
    snprintf(path, sizeof(path), "%s/.aws", getenv("HOME"));
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/.aws/config", getenv("HOME"));
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("[profile mine]\n" GOOD_KEYS, file);
    fclose(file);
    setenv("AWS_PROFILE", "mine", 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
}
END_TEST

START_TEST(an_option_names_the_profile)
{
    struct envol_aws_kms_options options = {.struct_size = sizeof(options), .profile = "mine"};
    struct envol_provider *provider;

    write_files("[mine]\n" GOOD_KEYS, "");
    setenv("AWS_ACCESS_KEY_ID", "nobody", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "nothing", 1);
    provider = aws_open(&options);
    ck_assert_int_eq(call(provider), ENVOL_OK);
    envol_provider_close(provider);
}
END_TEST

START_TEST(assumes_a_role)
{
    write_files("[base]\n" GOOD_KEYS, "[profile role]\nrole_arn = arn:aws:iam::1:role/r\n"
                                      "source_profile = base\nexternal_id = ext/1\n"
                                      "role_session_name = me\nduration_seconds = 900\n");
    setenv("AWS_PROFILE", "role", 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    ck_assert_str_eq(key_server_say("last role"), "arn:aws:iam::1:role/r");
    ck_assert_str_eq(key_server_say("last external"), "ext/1");
    ck_assert_str_eq(key_server_say("last session"), "me");
    ck_assert_int_eq(key_server_count("AssumeRole"), 1);
}
END_TEST

#define NO_SOURCE "profile p: the source of its role has no credentials"

START_TEST(roles_that_go_wrong)
{
    static const struct {
        const char *config, *why;
    } wrong[] = {
        {"[profile p]\nrole_arn=arn:aws:iam::1:role/denied\nsource_profile=base\n", "AccessDenied"},
        {"[profile p]\nrole_arn=a\nsource_profile=q\n[profile q]\nrole_arn=b\nsource_profile=p\n",
         "circle"},
        {"[profile p]\nrole_arn=a\n", "source_profile"},
        {"[profile p]\nrole_arn=a\nsource_profile=none\n", "none"},
        {"[profile p]\nrole_arn=a\nsource_profile=base\nmfa_serial=m\n", "mfa_serial"},
        {"[profile p]\nrole_arn=a\ncredential_source=Environment2\n", "credential_source"},
        {"[profile p]\nrole_arn=a\nweb_identity_token_file=/nonexistent\n", "/nonexistent"},
        {"[profile p]\nrole_arn=a\ncredential_source=EcsContainer\n", NO_SOURCE},
        {"[profile p]\nrole_arn=a\ncredential_source=Ec2InstanceMetadata\n", NO_SOURCE},
        {"[profile p]\nrole_arn=a\nsource_profile=p\n", NO_SOURCE},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        write_files("[base]\n" GOOD_KEYS, wrong[i].config);
        setenv("AWS_PROFILE", "p", 1);
        ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
        ck_assert_msg(strstr(error.message, wrong[i].why) != NULL, "%s", error.message);
    }
}
END_TEST

START_TEST(assumes_a_role_with_a_web_identity)
{
    key_server_say("accept ASIAGIVEN given-secret given/token==");
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/web", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", key_file_write("token", "the.web/token\n"), 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    ck_assert_str_eq(key_server_say("last identity"), "the.web/token");
    ck_assert_int_eq(key_server_count("AssumeRoleWithWebIdentity"), 1);
    ck_assert_ptr_nonnull(strstr(key_server_say("last session"), "libenvol-"));
}
END_TEST

START_TEST(from_a_container)
{
    char url[128];

    snprintf(url, sizeof(url), "%s/container", key_server.url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    key_server_say("accept ASIAGIVEN given-secret given/token==");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token", 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", key_file_write("t", "container-token\n"), 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent", 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
}
END_TEST

/* A plain URL may name the container agents' addresses and no other. */
START_TEST(hosts_of_containers)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    static const struct {
        const char *url;
        bool allowed;
    } urls[] = {
        {"http://169.254.170.2/x", true},
        {"http://169.254.170.23/x?y", true},
        {"http://[fd00:ec2::23]/x", true},
        {"http://127.0.0.1:80/x", true},
        {"http://localhost/x", true},
        {"https://example.org/x", true},
        {"http://example.org/x", false},
        {"http://169.254.170.3/x", false},
        {"http://10.0.0.1/", false},
        {"http://127.0.0.1.example.org/", false},
        {"http://169.254.170.2@evil/", false},
        {"file:///etc/passwd", false},
        {"", false},
    };

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        ck_assert_msg(envol_kms_is_local_url(urls[i].url, hosts, 3) == urls[i].allowed, "%s",
                      urls[i].url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.org/", 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
}
END_TEST

/* What is on this machine is spoken to directly, however its URL is written. */
START_TEST(no_proxy_to_a_loopback_address)
{
    struct envol_vault_options options = vault_options();
    struct envol_key_request request = kms_request("transit/one", NULL);
    struct envol_provider *vault;
    char url[64];

    snprintf(url, sizeof(url), "HTTP://%s", key_server.url + strlen("http://"));
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("AWS_ENDPOINT_URL", url, 1);
    write_files("[base]\n" GOOD_KEYS,
                "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n");
    setenv("AWS_PROFILE", "role", 1);
    ck_assert_int_eq(call_once(), ENVOL_OK);
    ck_assert_int_eq(key_server_count("AssumeRole"), 1);
    options.address = url;
    vault = vault_open(&options);
    key_server_say("key one derived");
    ck_ok(envol_provider_generate(vault, &request, dek, &wrapped, &error));
    envol_provider_close(vault);
}
END_TEST

START_TEST(loopback_addresses)
{
    static const char *const here[] = {"http://127.0.0.1:80", "HTTPS://127.1.2.3/x?y",
                                       "https://[::1]:1/", "https://localhost"};
    static const char *const elsewhere[] = {"https://example.org", "https://127.0.0.1.example.org",
                                            "https://128.0.0.1",   "https://[::2]",
                                            "127.0.0.1",           ""};

    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
        ck_assert_msg(envol_kms_is_loopback_url(here[i]), "%s", here[i]);
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        ck_assert_msg(!envol_kms_is_loopback_url(elsewhere[i]), "%s", elsewhere[i]);
}
END_TEST

START_TEST(from_an_instance)
{
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", key_server.url, 1);
    key_server_say("accept ASIAGIVEN given-secret given/token==");
    ck_assert_int_eq(call_once(), ENVOL_OK);
    ck_assert_int_eq(key_server_count("imds-token"), 1);
    /* Nobody there is no credentials, and says so in a second. */
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "no AWS credentials"));
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://example.org", 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
}
END_TEST

/* The instance has a role, but it is not what the profile asks for. */
START_TEST(no_other_principal)
{
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", key_server.url, 1);
    key_server_say("accept ASIAGIVEN given-secret given/token==");
    write_files("", "[default]\nrole_arn=arn:aws:iam::1:role/r\ncredential_source=EcsContainer\n");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "profile default: the source of its role"));
    write_files("[default]\naws_access_key_id = AKIDEXAMPLE\n", "");
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "go together"));
    ck_assert_int_eq(key_server_count("imds-token"), 0);
}
END_TEST

static struct envol_provider *open_instance(int seconds)
{
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", key_server.url, 1);
    key_server_say("give ASIAGIVEN given-secret given/token== %d", seconds);
    key_server_say("accept ASIAGIVEN given-secret given/token==");
    return aws_open(NULL);
}

/* Fetched when first needed, kept, and fetched again within 15 minutes of their end. */
START_TEST(are_kept_while_they_are_good)
{
    struct envol_provider *provider = open_instance(3600);

    ck_assert_int_eq(key_server_count("imds-token"), 0);
    ck_assert_int_eq(call(provider), ENVOL_OK);
    ck_assert_int_eq(call(provider), ENVOL_OK);
    ck_assert_int_eq(key_server_count("imds-token"), 1);
    envol_provider_close(provider);
    provider = open_instance(14 * 60);
    ck_assert_int_eq(call(provider), ENVOL_OK);
    ck_assert_int_eq(call(provider), ENVOL_OK);
    ck_assert_int_eq(key_server_count("imds-token"), 3);
    envol_provider_close(provider);
}
END_TEST

/* A refusal is answered with fresh credentials, once. */
START_TEST(are_fetched_anew_when_refused)
{
    struct envol_provider *provider = open_instance(3600);

    ck_assert_int_eq(call(provider), ENVOL_OK);
    key_server_say("give ASIASECOND second-secret second/token== 3600");
    key_server_say("accept ASIASECOND second-secret second/token==");
    ck_assert_int_eq(call(provider), ENVOL_OK);
    ck_assert_int_eq(key_server_count("imds-token"), 2);
    key_server_say("accept ASIATHIRD third third");
    ck_assert_int_eq(call(provider), ENVOL_E_CREDENTIALS);
    ck_assert_int_eq(key_server_count("imds-token"), 3);
    envol_provider_close(provider);
}
END_TEST

/* ... and expired ones come back under the same key id. */
START_TEST(expired_tokens_are_replaced)
{
    struct envol_provider *provider = open_instance(3600);

    ck_assert_int_eq(call(provider), ENVOL_OK);
    key_server_say("error 400 ExpiredTokenException expired");
    key_server_say("times 1");
    ck_assert_int_eq(call(provider), ENVOL_OK);
    ck_assert_int_eq(key_server_count("imds-token"), 2);
    envol_provider_close(provider);
}
END_TEST

static void *call_from_thread(void *provider)
{
    struct envol_key_request request = kms_request(AWS_KEY, NULL);
    struct envol_wrapped_dek own = {.struct_size = sizeof(own)};
    uint8_t key[ENVOL_DEK_BYTES];

    return envol_provider_generate(provider, &request, key, &own, NULL) == ENVOL_OK ? NULL
                                                                                    : provider;
}

START_TEST(one_thread_fetches_for_all)
{
    struct envol_provider *provider = open_instance(3600);
    pthread_t threads[8];
    void *failed = NULL;

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_from_thread, provider), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(key_server_count("imds-token"), 1);
    envol_provider_close(provider);
}
END_TEST

START_TEST(region_and_endpoint_of_the_config_file)
{
    char config[600];
    struct envol_key_request request = kms_request("alias/mine", NULL);
    struct envol_provider *provider;

    unsetenv("AWS_REGION");
    unsetenv("AWS_ENDPOINT_URL");
    snprintf(config, sizeof(config),
             "[default]\nregion = ap-south-1 # here\nservices = local\n"
             "endpoint_url = http://127.0.0.1:1\n"
             "[services local]\nkms =\n  endpoint_url = %s\n",
             key_server.url);
    write_files("[default]\n" GOOD_KEYS, config);
    provider = aws_open(NULL);
    ck_ok(envol_provider_generate(provider, &request, dek, &wrapped, &error));
    ck_assert_str_eq(key_server_say("last region"), "ap-south-1");
    envol_provider_close(provider);
    setenv("AWS_DEFAULT_REGION", "eu-west-3", 1);
    provider = aws_open(NULL);
    ck_ok(envol_provider_generate(provider, &request, dek, &wrapped, &error));
    ck_assert_str_eq(key_server_say("last region"), "eu-west-3");
    envol_provider_close(provider);
    setenv("AWS_REGION", "eu-west-2", 1);
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    setenv("AWS_ENDPOINT_URL_KMS", key_server.url, 1);
    provider = aws_open(NULL);
    ck_ok(envol_provider_generate(provider, &request, dek, &wrapped, &error));
    ck_assert_str_eq(key_server_say("last region"), "eu-west-2");
    envol_provider_close(provider);
}
END_TEST

/* A file of so many bytes of comments, and then text. */
static const char *long_file(const char *name, size_t bytes, const char *text)
{
    static char whole[2 << 20];
    size_t length = 0;

    while (length < bytes)
        length += (size_t)sprintf(whole + length, "# %061d\n", 0);
    strcpy(whole + length, text);
    return key_file_write(name, whole);
}

/* Of hundreds of profiles. */
START_TEST(long_files)
{
    setenv("AWS_CONFIG_FILE", long_file("config", 900000, "[profile mine]\nregion=eu-west-3\n"), 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", long_file("credentials", 32768, "[mine]\n" GOOD_KEYS), 1);
    setenv("AWS_PROFILE", "mine", 1);
    unsetenv("AWS_REGION");
    ck_assert_int_eq(call_once(), ENVOL_OK);
}
END_TEST

/* One that is not read might have said who this is: it is not as good as none. */
START_TEST(files_that_are_too_long)
{
    struct envol_provider *provider = NULL;

    setenv("AWS_SHARED_CREDENTIALS_FILE",
           long_file("credentials", 1 << 20, "[default]\n" GOOD_KEYS), 1);
    ck_assert_int_eq(call_once(), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_nonnull(strstr(error.message, "/credentials: longer than"));
    setenv("AWS_CONFIG_FILE", long_file("config", 1 << 20, "[default]\n"), 1);
    ck_status(envol_aws_kms_provider_open(NULL, &provider, &error), ENVOL_E_CREDENTIALS);
    ck_assert_ptr_null(provider);
    ck_assert_ptr_nonnull(strstr(error.message, "/config: longer than"));
}
END_TEST

START_TEST(times)
{
    ck_assert_int_eq(envol_kms_aws_time("1970-01-02T00:00:01Z"), 86401);
    ck_assert_int_eq(envol_kms_aws_time("2030-01-02T03:04:05.678Z"), 1893553445);
    ck_assert_int_eq(envol_kms_aws_time("tomorrow"), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kms_credentials");
    TCase *c = key_server_case(s, "credentials", key_server_begin);

    tcase_add_checked_fixture(c, begin_test, NULL);
    tcase_add_test(c, from_the_environment);
    tcase_add_test(c, there_are_none);
    tcase_add_test(c, from_a_profile);
    tcase_add_test(c, from_the_config_file_of_the_home);
    tcase_add_test(c, an_option_names_the_profile);
    tcase_add_test(c, assumes_a_role);
    tcase_add_test(c, roles_that_go_wrong);
    tcase_add_test(c, assumes_a_role_with_a_web_identity);
    tcase_add_test(c, from_a_container);
    tcase_add_test(c, hosts_of_containers);
    tcase_add_test(c, no_proxy_to_a_loopback_address);
    tcase_add_test(c, loopback_addresses);
    tcase_add_test(c, from_an_instance);
    tcase_add_test(c, no_other_principal);
    tcase_add_test(c, are_kept_while_they_are_good);
    tcase_add_test(c, are_fetched_anew_when_refused);
    tcase_add_test(c, expired_tokens_are_replaced);
    tcase_add_test(c, one_thread_fetches_for_all);
    tcase_add_test(c, region_and_endpoint_of_the_config_file);
    tcase_add_test(c, long_files);
    tcase_add_test(c, files_that_are_too_long);
    tcase_add_test(c, times);
    return s;
}

int main(void)
{
    return test_run(suite());
}
