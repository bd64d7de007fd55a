/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading answers: what is lifted out, what is refused, and the fuzzer's harness over mutations. */
#include "kms_harness.h"
#include "support.h"

#include "kms/aws.h"
#include "kms/json.h"
#include "kms/text.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 20000, INPUT_MAX = 1024 };

static struct envol_kms_json json;
static char text[65536], room[65536];

static bool parse(const char *what)
{
    snprintf(text, sizeof(text), "%s", what);
    return envol_kms_json_parse(text, strlen(text), room, sizeof(room), &json);
}

START_TEST(lifts_secrets_before_they_are_parsed)
{
    const char *secret = NULL;
    size_t length = 0;

    ck_assert(parse("{\"KeyId\": \"k\", \"Plaintext\" :\t\"c2VjcmV0\", \"n\": {\"Token\":\"t\"}}"));
    ck_assert_ptr_null(strstr(text, "c2VjcmV0"));
    ck_assert(envol_kms_json_secret(&json, json.root, "Plaintext", &secret, &length));
    ck_assert_uint_eq(length, 8);
    ck_assert_mem_eq(secret, "c2VjcmV0", 8);
    ck_assert_str_eq(envol_kms_json_string(json.root, "KeyId"), "k");
    ck_assert(
        envol_kms_json_secret(&json, json_object_get(json.root, "n"), "Token", &secret, &length));
    ck_assert_mem_eq(secret, "t", 1);
    ck_assert(!envol_kms_json_secret(&json, json.root, "KeyId", &secret, &length));
    envol_kms_json_free(&json);
}
END_TEST

/* Of base64 and its like; what no such text holds keeps its backslash, and is refused by it. */
START_TEST(undoes_escapes_of_what_secrets_are_made_of)
{
    static const char *const texts[][2] = {
        {"a\\/b\\/c=", "a/b/c="},
        {"a\\u002Fb\\u002f\\u003d\\u003D", "a/b/=="},
        {"\\u0041\\u007e\\u0021", "A~!"},
        {"\\u0020\\u007f\\u0000\\u00e4\\u1041", "\\u0020\\u007f\\u0000\\u00e4\\u1041"},
        {"\\u003", "\\u003"},
        {"\\u003g\\u 3d", "\\u003g\\u 3d"},
        {"\\n\\\"\\\\", "\\n\\\"\\\\"},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *secret = NULL, *expected = texts[i][1];
        size_t length = 0;
        char whole[128];

        snprintf(whole, sizeof(whole), "{\"Plaintext\":\"%s\"}", texts[i][0]);
        ck_assert(parse(whole));
        ck_assert(envol_kms_json_secret(&json, json.root, "Plaintext", &secret, &length));
        ck_assert_msg(length == strlen(expected) && memcmp(secret, expected, length) == 0, "%.*s",
                      (int)length, secret);
        envol_kms_json_free(&json);
    }
}
END_TEST

/* A name with an escape is none that is lifted; then it is not taken for a secret either. */
START_TEST(takes_no_secret_that_was_not_lifted)
{
    const char *secret = NULL;
    size_t length = 0;
    static const char *const texts[] = {
        "{\"Pl\\u0061intext\":\"AAAA\"}", "{\"Plaintext\":\"\"}", "{\"Plaintext\":4}",
        "{\"Plaintext\":null}",           "{\"Plaintext\":{}}",   "{}",
        "{\"Plaintext\":[\"AAAA\"]}",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_msg(parse(texts[i]), "%s", texts[i]);
        ck_assert_msg(!envol_kms_json_secret(&json, json.root, "Plaintext", &secret, &length), "%s",
                      texts[i]);
        envol_kms_json_free(&json);
    }
}
END_TEST

START_TEST(refuses)
{
    static const char *const texts[] = {
        "",
        " ",
        "[]",
        "\"Plaintext\"",
        "{",
        "{\"a\":1}}",
        "{\"a\":1} x",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\xff\"}",
        "{\"Plaintext\":\"AAAA",
        "{\"a\":1,\"a\":2}",
        "{\"Plaintext\":\"AAAA\",\"Plaintext\":\"BBBB\"}",
        "{'a':1}",
        "{\"a\":NaN}",
        "{\"a\":1e999}",
        "]{",
        ("{\"Token\":\"1\",\"a\":{\"Token\":\"2\"},\"b\":{\"Token\":\"3\"},\"c\":{\"Token\":\"4\"},"
         "\"d\":{\"Token\":\"5\"}}"),
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_msg(!parse(texts[i]), "accepted: %s", texts[i]);
        ck_assert_ptr_null(json.root);
    }
}
END_TEST

START_TEST(bounds_the_depth_and_the_room)
{
    static const char open[] = "[[[[[[[[[[[[[[[[[[[[", close[] = "]]]]]]]]]]]]]]]]]]]]";
    char deep[64];

    for (int arrays = ENVOL_KMS_JSON_DEPTH - 1; arrays <= ENVOL_KMS_JSON_DEPTH; arrays++) {
        snprintf(deep, sizeof(deep), "{\"a\":%.*s%.*s}", arrays, open, arrays, close);
        ck_assert_int_eq(parse(deep), arrays < ENVOL_KMS_JSON_DEPTH);
        envol_kms_json_free(&json);
    }

    snprintf(text, sizeof(text), "{\"Plaintext\":\"AAAA\"}");
    ck_assert(!envol_kms_json_parse(text, strlen(text), room, 3, &json));
    snprintf(text, sizeof(text), "{\"Plaintext\":\"AAAA\"}");
    ck_assert(envol_kms_json_parse(text, strlen(text), room, 4, &json));
    envol_kms_json_free(&json);
}
END_TEST

START_TEST(decodes_base64)
{
    uint8_t out[8];
    size_t bytes = 9;
    static const char *const bad[] = {"AAA",
                                      "AAAA\n",
                                      "AA==AA==",
                                      "A A=",
                                      "AAAA====",
                                      "*AAA",
                                      "AAB=" /* bits behind the end */,
                                      "AAAAAAAAAAAAAAAA"};

    ck_assert(envol_kms_base64_decode("YWJj", 4, out, sizeof(out), &bytes));
    ck_assert_uint_eq(bytes, 3);
    ck_assert_mem_eq(out, "abc", 3);
    ck_assert(envol_kms_base64_decode("YQ==", 4, out, sizeof(out), &bytes));
    ck_assert_uint_eq(bytes, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!envol_kms_base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &bytes),
                      "%s", bad[i]);
        ck_assert_uint_eq(bytes, 0);
    }
}
END_TEST

START_TEST(writes_text)
{
    char small[16];
    struct envol_kms_text out = envol_kms_text(text, sizeof(text));

    envol_kms_text_json(&out, "a\"b\\c\n\x7f\xc3\xa4");
    ck_assert_str_eq(text, "\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa4\"");
    out = envol_kms_text(text, sizeof(text));
    envol_kms_text_uri(&out, "a/b c~\xc3", true);
    envol_kms_text_uri(&out, "/=", false);
    ck_assert_str_eq(text, "a/b%20c~%C3%2F%3D");
    out = envol_kms_text(small, sizeof(small));
    envol_kms_text_add(&out, "123456789012345");
    ck_assert(!out.full);
    envol_kms_text_add(&out, "6");
    ck_assert(out.full);
    ck_assert_str_eq(small, "123456789012345");
    out = envol_kms_text(small, sizeof(small));
    envol_kms_text_format(&out, "%s", "1234567890123456");
    ck_assert(out.full && small[0] == '\0');
    out = envol_kms_text(small, sizeof(small));
    envol_kms_text_base64(&out, "123456789012", 12);
    ck_assert(out.full);
    out = envol_kms_text(small, sizeof(small));
    envol_kms_text_hex(&out, "\x01\xab", 2);
    ck_assert_str_eq(small, "01ab");
}
END_TEST

START_TEST(known_inputs)
{
    static const struct {
        const char *input;
        enum kms_depth depth;
    } known[] = {
        {"", KMS_REFUSED},
        {"0{}", KMS_PARSED},
        {"0[]", KMS_REFUSED},
        {"0{\"Plaintext\":\"AAAA\"}", KMS_PLAINTEXT},
        {"0{\"Plaintext\":\"AAA\"}", KMS_PARSED},
        {"2{\"__type\":\"x#y:z\",\"message\":\"m\",\"errors\":[\"e\"]}", KMS_PARSED},
        {"3[default]\nregion=x\nservices=s\n[profile one]\nkms=\n endpoint_url=y\n", KMS_REFUSED},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        ck_assert_msg(kms_harness((const uint8_t *)known[i].input, strlen(known[i].input)) ==
                          known[i].depth,
                      "input %zu", i);
}
END_TEST

static const char *const seeds[] = {
    "0{\"CiphertextBlob\":\"AQID\",\"Plaintext\":\"AAAAAAAA\",\"KeyId\":\"arn:aws:kms:a:b:key/c\"}",
    "0{\"data\":{\"plaintext\":\"AAAA\",\"ciphertext\":\"vault:v1:AA==\"},\"auth\":null}",
    "2{\"__type\":\"com.amazonaws.kms#NotFoundException:http://x\",\"message\":\"gone\"}",
    "2{\"errors\":[\"permission denied\",{}],\"Token\":\"a\\/b\"}",
    "3[profile one]\nrole_arn = a # b\nkms =\n  endpoint_url = http://x\n[default]\nregion=r\n",
};

static size_t mutate(uint8_t *input)
{
    const char *seed = seeds[test_random() % (sizeof(seeds) / sizeof(seeds[0]))];
    size_t bytes = strlen(seed);

    memcpy(input, seed, bytes);
    for (uint64_t changes = test_random() % 5; changes > 0; changes--) {
        size_t at = test_random() % bytes;

        switch (test_random() % 4) {
        case 0:
            input[at] = (uint8_t)test_random();
            break;
        case 1:
            input[at] = (uint8_t) "\"\\{}[]:,*0/\n"[test_random() % 12];
            break;
        case 2:
            bytes = at + 1;
            break;
        default:
            memmove(input + at + 1, input + at, bytes - at);
            bytes++;
        }
    }
    return bytes;
}

START_TEST(mutated)
{
    uint8_t input[INPUT_MAX];
    unsigned depths[3] = {0};
    unsigned inputs = test_tool() == NULL ? INPUTS : INPUTS / 20;

    for (unsigned i = 0; i < inputs; i++)
        depths[kms_harness(input, mutate(input))]++;
    for (int i = 0; i < 3; i++)
        ck_assert_msg(depths[i] > inputs / 100, "%u of %u inputs came to depth %d", depths[i],
                      inputs, i);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kms_response");
    TCase *c = tcase_create("answers");

    tcase_add_test(c, lifts_secrets_before_they_are_parsed);
    tcase_add_test(c, undoes_escapes_of_what_secrets_are_made_of);
    tcase_add_test(c, takes_no_secret_that_was_not_lifted);
    tcase_add_test(c, refuses);
    tcase_add_test(c, bounds_the_depth_and_the_room);
    tcase_add_test(c, decodes_base64);
    tcase_add_test(c, writes_text);
    tcase_add_test(c, known_inputs);
    tcase_add_test(c, mutated);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
