/* SPDX-License-Identifier: BSD-2-Clause */
/* Signature Version 4 against the examples that AWS publishes. */
#include "support.h"

#include "kms/sigv4.h"
#include <string.h>

#define ACCESS_KEY "AKIDEXAMPLE"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define MOMENT     "20150830T123600Z"

/* The aws-sig-v4-test-suite; all of 2015-08-30, us-east-1, service "service". */
static const struct {
    const char *name;
    const char *method;
    const char *query;
    const char *headers[6]; /* name, value, ... */
    const char *body;
    const char *signed_names;
    const char *signature;
} published[] = {
    {"get-vanilla",
     "GET",
     "",
     {"host", "example.amazonaws.com", "x-amz-date", MOMENT},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "Param1=value1&Param2=value2",
     {"host", "example.amazonaws.com", "x-amz-date", MOMENT},
     "",
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"post-vanilla",
     "POST",
     "",
     {"host", "example.amazonaws.com", "x-amz-date", MOMENT},
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-header-key-sort",
     "POST",
     "",
     {"host", "example.amazonaws.com", "my-header1", "value1", "x-amz-date", MOMENT},
     "",
     "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-x-www-form-urlencoded",
     "POST",
     "",
     {"content-type", "application/x-www-form-urlencoded", "host", "example.amazonaws.com",
      "x-amz-date", MOMENT},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
};

static struct envol_kms_signed request_of(size_t i)
{
    struct envol_kms_signed request = {
        .access_key_id = ACCESS_KEY,
        .secret_access_key = SECRET_KEY,
        .region = "us-east-1",
        .service = "service",
        .date = MOMENT,
        .method = published[i].method,
        .path = "/",
        .query = published[i].query,
        .body = published[i].body,
        .body_bytes = strlen(published[i].body),
    };

    for (size_t h = 0; h < 6 && published[i].headers[h] != NULL; h += 2) {
        request.headers[h / 2].name = published[i].headers[h];
        request.headers[h / 2].value = published[i].headers[h + 1];
        request.header_count = h / 2 + 1;
    }
    return request;
}

START_TEST(signs_as_published)
{
    struct envol_kms_signed request = request_of((size_t)_i);
    char got[512], expected[512];
    struct envol_kms_text out = envol_kms_text(got, sizeof(got));
    struct envol_kms_text want = envol_kms_text(expected, sizeof(expected));

    envol_kms_sigv4_sign(&request, &out);
    ck_assert(!out.full);
    envol_kms_text_format(
        &want,
        "AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
        "/20150830/us-east-1/service/aws4_request, SignedHeaders=%s, Signature=%s",
        published[_i].signed_names, published[_i].signature);
    ck_assert_str_eq(got, expected);
}
END_TEST

/* "Deriving the signing key with other languages" of the AWS General Reference. */
START_TEST(derives_the_documented_key)
{
    struct envol_kms_signed request = {
        .secret_access_key = SECRET_KEY,
        .region = "us-east-1",
        .service = "iam",
        .date = MOMENT,
    };
    unsigned char key[32];

    envol_kms_sigv4_key(&request, key);
    ck_mem_hex(key, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
}
END_TEST

/* The example of "Signing AWS requests": GET of IAM's ListUsers. */
START_TEST(signs_the_documented_request)
{
    struct envol_kms_signed request = {
        .access_key_id = ACCESS_KEY,
        .secret_access_key = SECRET_KEY,
        .region = "us-east-1",
        .service = "iam",
        .date = MOMENT,
        .method = "GET",
        .path = "/",
        .query = "Action=ListUsers&Version=2010-05-08",
        .headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
                    {"host", "iam.amazonaws.com"},
                    {"x-amz-date", MOMENT}},
        .header_count = 3,
        .body = "",
    };
    char got[512];
    struct envol_kms_text out = envol_kms_text(got, sizeof(got));

    envol_kms_sigv4_sign(&request, &out);
    ck_assert_ptr_nonnull(strstr(got,
                                 "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06"
                                 "b5924a6f2b5d7"));
}
END_TEST

START_TEST(writes_dates)
{
    char date[ENVOL_KMS_DATE_BYTES];

    envol_kms_sigv4_date(1440938160, date);
    ck_assert_str_eq(date, MOMENT);
}
END_TEST

START_TEST(says_what_does_not_fit)
{
    struct envol_kms_signed request = request_of(0);
    char got[64], long_region[300];
    struct envol_kms_text out = envol_kms_text(got, sizeof(got));

    envol_kms_sigv4_sign(&request, &out);
    ck_assert(out.full);
    memset(long_region, 'a', sizeof(long_region) - 1);
    long_region[sizeof(long_region) - 1] = '\0';
    request.region = long_region;
    out = envol_kms_text(got, sizeof(got));
    envol_kms_sigv4_sign(&request, &out);
    ck_assert(out.full);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kms_sigv4");
    TCase *c = tcase_create("signatures");

    tcase_add_loop_test(c, signs_as_published, 0, sizeof(published) / sizeof(published[0]));
    tcase_add_test(c, derives_the_documented_key);
    tcase_add_test(c, signs_the_documented_request);
    tcase_add_test(c, writes_dates);
    tcase_add_test(c, says_what_does_not_fit);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
