/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS: which certificates are believed, which versions are spoken, and a libcurl without TLS. */
#include "key_server.h"
#include "kms_fixture.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct envol_error error = ENVOL_ERROR_INIT;
static bool without_tls;

/* Stands before libcurl's own, which the library takes its features from. */
curl_version_info_data *curl_version_info(CURLversion age)
{
    static curl_version_info_data about;

    (void)age;
    about.features = without_tls ? 0 : CURL_VERSION_SSL;
    return &about;
}

static enum envol_status call(int port, const char *ca_file)
{
    struct envol_aws_kms_options options = aws_options();
    struct envol_key_request request = kms_request(AWS_KEY, NULL);
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
    struct envol_provider *provider;
    uint8_t dek[ENVOL_DEK_BYTES];
    char url[64];
    enum envol_status status;

    snprintf(url, sizeof(url), "https://127.0.0.1:%d", port);
    options.endpoint = url;
    options.ca_file = ca_file;
    provider = aws_open(&options);
    status = ck_note(envol_provider_generate(provider, &request, dek, &wrapped, &error));
    envol_provider_close(provider);
    return status;
}

START_TEST(a_good_certificate)
{
    ck_assert_int_eq(call(key_server.ports[1], key_server_ca()), ENVOL_OK);
    setenv("AWS_CA_BUNDLE", key_server_ca(), 1);
    ck_assert_int_eq(call(key_server.ports[1], NULL), ENVOL_OK);
    ck_assert_int_eq(key_server_count("GenerateDataKey"), 2);
}
END_TEST

START_TEST(no_proxy_to_a_loopback_address)
{
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    ck_assert_int_eq(call(key_server.ports[1], key_server_ca()), ENVOL_OK);
}
END_TEST

static void is_refused(int port, const char *ca_file)
{
    ck_assert_int_eq(call(port, ca_file), ENVOL_E_PROVIDER);
    ck_assert(!envol_status_is_retryable(error.status));
    ck_assert_int_eq(key_server_count("all"), 0);
}

START_TEST(an_authority_that_nobody_trusts)
{
    is_refused(key_server.ports[1], NULL);
}
END_TEST

START_TEST(another_authority)
{
    char stranger[700];

    snprintf(stranger, sizeof(stranger), "%.*s/stranger.pem",
             (int)(strlen(key_server_ca()) - strlen("/ca.pem")), key_server_ca());
    is_refused(key_server.ports[1], stranger);
}
END_TEST

START_TEST(an_authority_that_is_not_there)
{
    is_refused(key_server.ports[1], "/nonexistent");
}
END_TEST

START_TEST(an_expired_certificate)
{
    is_refused(key_server.ports[2], key_server_ca());
}
END_TEST

START_TEST(another_hosts_certificate)
{
    is_refused(key_server.ports[3], key_server_ca());
}
END_TEST

START_TEST(no_tls_at_the_port)
{
    ck_assert_int_eq(call(key_server.ports[0], key_server_ca()), ENVOL_E_UNREACHABLE);
}
END_TEST

/* Many systems' configurations refuse old versions by themselves.  This one takes them, and the
 * server has been spoken to by TLS 1.1: what refuses is the library. */
START_TEST(tls_below_1_2)
{
    setenv("OPENSSL_CONF",
           key_file_write("openssl.cnf", "openssl_conf = all\n[all]\nssl_conf = ssl\n"
                                         "[ssl]\nsystem_default = any\n[any]\n"
                                         "MinProtocol = TLSv1\n"
                                         "CipherString = DEFAULT@SECLEVEL=0\n"),
           1);
    if (key_server.ports[4] == 0) {
        test_skip("TLS 1.1", "this machine's OpenSSL and Python do not speak it");
        return;
    }
    ck_assert_int_eq(call(key_server.ports[4], key_server_ca()), ENVOL_E_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(error.message, "protocol version"));
    ck_assert_int_eq(key_server_count("all"), 0);
}
END_TEST

START_TEST(vault_over_tls)
{
    struct envol_vault_options options = vault_options();
    struct envol_key_request request = kms_request("transit/tls", NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};
    struct envol_provider *provider;
    char url[64];

    key_server_say("key tls derived");
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", key_server.ports[1]);
    options.address = url;
    options.ca_file = key_server_ca();
    provider = vault_open(&options);
    ck_ok(envol_provider_describe(provider, &request, &info, &error));
    envol_provider_close(provider);
    options.ca_file = NULL;
    provider = vault_open(&options);
    ck_status(envol_provider_describe(provider, &request, &info, &error), ENVOL_E_PROVIDER);
    envol_provider_close(provider);
}
END_TEST

START_TEST(a_libcurl_without_tls)
{
    struct envol_aws_kms_options aws = aws_options();
    struct envol_vault_options vault = vault_options();
    struct envol_provider *provider = NULL;

    without_tls = true;
    ck_status(envol_aws_kms_provider_open(&aws, &provider, &error), ENVOL_E_UNSUPPORTED);
    ck_assert_ptr_null(provider);
    ck_status(envol_vault_provider_open(&vault, &provider, &error), ENVOL_E_UNSUPPORTED);
    ck_assert_ptr_null(provider);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kms_tls");
    TCase *c = key_server_case(s, "certificates", key_server_begin_tls);

    tcase_add_test(c, a_good_certificate);
    tcase_add_test(c, no_proxy_to_a_loopback_address);
    tcase_add_test(c, an_authority_that_nobody_trusts);
    tcase_add_test(c, another_authority);
    tcase_add_test(c, an_authority_that_is_not_there);
    tcase_add_test(c, an_expired_certificate);
    tcase_add_test(c, another_hosts_certificate);
    tcase_add_test(c, no_tls_at_the_port);
    tcase_add_test(c, tls_below_1_2);
    tcase_add_test(c, vault_over_tls);
    tcase_add_test(c, a_libcurl_without_tls);
    return s;
}

int main(void)
{
    return test_run(suite());
}
