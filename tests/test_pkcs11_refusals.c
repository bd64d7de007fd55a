/* SPDX-License-Identifier: BSD-2-Clause */
/* What a module refuses with, code by code, and from each of its functions. */
#include "pkcs11_fixture.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The table of envol_pkcs11_provider(3), written down a second time. */
static const struct expectation {
    CK_RV code;
    const char *name;
    enum envol_status status; /* of a function other than C_Decrypt */
} expectations[] = {
    {0x1, "CKR_CANCEL", ENVOL_E_CANCELLED},
    {0x2, "CKR_HOST_MEMORY", ENVOL_E_NO_MEMORY},
    {0x3, "CKR_SLOT_ID_INVALID", ENVOL_E_UNREACHABLE},
    {0x5, "CKR_GENERAL_ERROR", ENVOL_E_PROVIDER},
    {0x6, "CKR_FUNCTION_FAILED", ENVOL_E_PROVIDER},
    {0x7, "CKR_ARGUMENTS_BAD", ENVOL_E_PROVIDER},
    {0x9, "CKR_NEED_TO_CREATE_THREADS", ENVOL_E_UNSUPPORTED},
    {0xa, "CKR_CANT_LOCK", ENVOL_E_UNSUPPORTED},
    {0x11, "CKR_ATTRIBUTE_SENSITIVE", ENVOL_E_PROVIDER},
    {0x12, "CKR_ATTRIBUTE_TYPE_INVALID", ENVOL_E_PROVIDER},
    {0x13, "CKR_ATTRIBUTE_VALUE_INVALID", ENVOL_E_PROVIDER},
    {0x1b, "CKR_ACTION_PROHIBITED", ENVOL_E_KEY_DENIED},
    {0x20, "CKR_DATA_INVALID", ENVOL_E_PROVIDER},
    {0x21, "CKR_DATA_LEN_RANGE", ENVOL_E_PROVIDER},
    {0x30, "CKR_DEVICE_ERROR", ENVOL_E_UNREACHABLE},
    {0x31, "CKR_DEVICE_MEMORY", ENVOL_E_PROVIDER},
    {0x32, "CKR_DEVICE_REMOVED", ENVOL_E_UNREACHABLE},
    {0x40, "CKR_ENCRYPTED_DATA_INVALID", ENVOL_E_WRONG_KEY},
    {0x41, "CKR_ENCRYPTED_DATA_LEN_RANGE", ENVOL_E_WRONG_KEY},
    {0x42, "CKR_AEAD_DECRYPT_FAILED", ENVOL_E_WRONG_KEY},
    {0x50, "CKR_FUNCTION_CANCELED", ENVOL_E_CANCELLED},
    {0x51, "CKR_FUNCTION_NOT_PARALLEL", ENVOL_E_UNSUPPORTED},
    {0x54, "CKR_FUNCTION_NOT_SUPPORTED", ENVOL_E_UNSUPPORTED},
    {0x60, "CKR_KEY_HANDLE_INVALID", ENVOL_E_KEY_NOT_FOUND},
    {0x62, "CKR_KEY_SIZE_RANGE", ENVOL_E_ARGUMENT},
    {0x63, "CKR_KEY_TYPE_INCONSISTENT", ENVOL_E_ARGUMENT},
    {0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED", ENVOL_E_KEY_DISABLED},
    {0x70, "CKR_MECHANISM_INVALID", ENVOL_E_UNSUPPORTED},
    {0x71, "CKR_MECHANISM_PARAM_INVALID", ENVOL_E_UNSUPPORTED},
    {0x82, "CKR_OBJECT_HANDLE_INVALID", ENVOL_E_KEY_NOT_FOUND},
    {0x90, "CKR_OPERATION_ACTIVE", ENVOL_E_PROVIDER},
    {0x91, "CKR_OPERATION_NOT_INITIALIZED", ENVOL_E_PROVIDER},
    {0xa0, "CKR_PIN_INCORRECT", ENVOL_E_CREDENTIALS},
    {0xa1, "CKR_PIN_INVALID", ENVOL_E_CREDENTIALS},
    {0xa2, "CKR_PIN_LEN_RANGE", ENVOL_E_CREDENTIALS},
    {0xa3, "CKR_PIN_EXPIRED", ENVOL_E_CREDENTIALS},
    {0xa4, "CKR_PIN_LOCKED", ENVOL_E_CREDENTIALS},
    {0xb0, "CKR_SESSION_CLOSED", ENVOL_E_UNREACHABLE},
    {0xb1, "CKR_SESSION_COUNT", ENVOL_E_THROTTLED},
    {0xb3, "CKR_SESSION_HANDLE_INVALID", ENVOL_E_UNREACHABLE},
    {0xb4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", ENVOL_E_UNSUPPORTED},
    {0xb7, "CKR_SESSION_READ_ONLY_EXISTS", ENVOL_E_CREDENTIALS},
    {0xb8, "CKR_SESSION_READ_WRITE_SO_EXISTS", ENVOL_E_CREDENTIALS},
    {0xd1, "CKR_TEMPLATE_INCONSISTENT", ENVOL_E_PROVIDER},
    {0xe0, "CKR_TOKEN_NOT_PRESENT", ENVOL_E_UNREACHABLE},
    {0xe1, "CKR_TOKEN_NOT_RECOGNIZED", ENVOL_E_UNREACHABLE},
    {0x101, "CKR_USER_NOT_LOGGED_IN", ENVOL_E_CREDENTIALS},
    {0x102, "CKR_USER_PIN_NOT_INITIALIZED", ENVOL_E_CREDENTIALS},
    {0x103, "CKR_USER_TYPE_INVALID", ENVOL_E_CREDENTIALS},
    {0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", ENVOL_E_CREDENTIALS},
    {0x105, "CKR_USER_TOO_MANY_TYPES", ENVOL_E_CREDENTIALS},
    {0x121, "CKR_RANDOM_NO_RNG", ENVOL_E_UNSUPPORTED},
    {0x150, "CKR_BUFFER_TOO_SMALL", ENVOL_E_PROVIDER},
    {0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", ENVOL_E_UNREACHABLE},
    {0x1c1, "CKR_FIPS_SELF_TEST_FAILED", ENVOL_E_PROVIDER},
    {0x1c2, "CKR_LIBRARY_LOAD_FAILED", ENVOL_E_PROVIDER},
    {0x200, "CKR_FUNCTION_REJECTED", ENVOL_E_KEY_DENIED},
    {0x201, "CKR_TOKEN_RESOURCE_EXCEEDED", ENVOL_E_THROTTLED},
    {0x203, "CKR_KEY_EXHAUSTED", ENVOL_E_KEY_DENIED},
    /* Not in the table: a code of no version, and a vendor's. */
    {0x7777, "CKR_0x7777", ENVOL_E_PROVIDER},
    {0x80000123, "CKR_0x80000123", ENVOL_E_PROVIDER},
};
enum { EXPECTATIONS = sizeof(expectations) / sizeof(expectations[0]) };

static void ck_refused(enum envol_status got, const struct expectation *expected,
                       const char *function)
{
    ck_assert_msg(got == expected->status, "%s, %s: %s (%s)", function, expected->name,
                  envol_status_name(got), pkcs11.error.message);
    ck_assert_int_eq(pkcs11.error.status, expected->status);
    ck_assert_str_eq(pkcs11.error.provider_code, expected->name);
    ck_assert_ptr_nonnull(strstr(pkcs11.error.message, function));
    ck_assert_ptr_nonnull(strstr(pkcs11.error.message, expected->name));
}

/* Each code from a function that has no codes with a meaning of their own. */
START_TEST(each_code_has_its_status)
{
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        pkcs11_refuse(FAKE_RANDOM, expectations[i].code, FAKE_ALWAYS);
        ck_refused(pkcs11_generate(), &expectations[i], "C_GenerateRandom");
    }
    pkcs11_refuse(FAKE_RANDOM, CKR_OK, 0);
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
}
END_TEST

START_TEST(each_code_from_decrypt_has_its_status)
{
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        pkcs11_refuse(FAKE_DECRYPT, expectations[i].code, FAKE_ALWAYS);
        ck_assert_msg(pkcs11_unwrap() == expectations[i].status, "%s: %s", expectations[i].name,
                      pkcs11.error.message);
        ck_assert_str_eq(pkcs11.error.provider_code, expectations[i].name);
    }
    pkcs11_refuse(FAKE_DECRYPT, CKR_OK, 0);
    pkcs11_unwraps();
}
END_TEST

START_TEST(each_code_from_a_login_has_its_status)
{
    pkcs11.token->needs_login = true;
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        char pin[16];

        snprintf(pin, sizeof(pin), "%zu", i); /* one that was not refused before */
        pkcs11.pin = pin;
        pkcs11_refuse(FAKE_LOGIN, expectations[i].code, FAKE_ALWAYS);
        ck_refused(pkcs11_generate(), &expectations[i], "C_Login");
    }
    pkcs11.pin = "1234";
    pkcs11_refuse(FAKE_LOGIN, CKR_OK, 0);
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
}
END_TEST

/* One code from each function, in each call of the provider that makes it. */
START_TEST(each_function_may_refuse)
{
    static const struct {
        enum fake_call call;
        const char *function;
        bool wraps, unwraps, describes;
    } functions[] = {
        {FAKE_INITIALIZE, "C_Initialize", true, true, true},
        {FAKE_GET_SLOT_LIST, "C_GetSlotList", true, true, true},
        {FAKE_OPEN_SESSION, "C_OpenSession", true, true, true},
        {FAKE_FIND_INIT, "C_FindObjects", true, true, true},
        {FAKE_FIND, "C_FindObjects", true, true, true},
        {FAKE_GET_ATTRIBUTE, "C_GetAttributeValue", true, true, true},
        {FAKE_ENCRYPT_INIT, "C_Encrypt", true, false, false},
        {FAKE_ENCRYPT, "C_Encrypt", true, false, false},
        {FAKE_DECRYPT_INIT, "C_Decrypt", false, true, false},
        {FAKE_DECRYPT, "C_Decrypt", false, true, false},
    };
    static const struct expectation refusal = {0x31, "CKR_DEVICE_MEMORY", ENVOL_E_PROVIDER};
    struct envol_wrapped_dek good;
    struct envol_key_info info;

    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    good = pkcs11.wrapped;
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        envol_provider_close(pkcs11.provider);
        pkcs11.provider = pkcs11_open("pkcs11:id=%01%02");
        pkcs11.wrapped = good;
        pkcs11_refuse(functions[i].call, refusal.code, FAKE_ALWAYS);
        if (functions[i].unwraps)
            ck_refused(pkcs11_unwrap(), &refusal, functions[i].function);
        if (functions[i].describes)
            ck_refused(pkcs11_describe(&info), &refusal, functions[i].function);
        if (functions[i].wraps)
            ck_refused(pkcs11_wrap(), &refusal, functions[i].function);
        pkcs11_refuse(functions[i].call, CKR_OK, 0);
        pkcs11.wrapped = good;
        pkcs11_unwraps();
    }
}
END_TEST

/* What SoftHSM answers to a tag that does not verify is what others answer to any failure. */
START_TEST(a_vague_refusal_is_a_wrong_key_only_if_the_token_works)
{
    static const CK_RV vague[] = {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED};

    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    for (size_t i = 0; i < sizeof(vague) / sizeof(vague[0]); i++) {
        /* This blob alone. */
        pkcs11.token->mismatch = vague[i];
        pkcs11.wrapped.wrapped[20] ^= 1;
        ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_WRONG_KEY);
        ck_assert_ptr_nonnull(strstr(pkcs11.error.message, "does not verify"));
        pkcs11.wrapped.wrapped[20] ^= 1;
        /* This one time. */
        pkcs11_refuse(FAKE_DECRYPT, vague[i], 1);
        pkcs11_unwraps();
        /* Every blob, or only what encrypts. */
        pkcs11_refuse(FAKE_DECRYPT, vague[i], FAKE_ALWAYS);
        ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_PROVIDER);
        pkcs11_refuse(FAKE_DECRYPT, vague[i], 1);
        pkcs11_refuse(FAKE_ENCRYPT, vague[i], FAKE_ALWAYS);
        pkcs11.wrapped.wrapped[20] ^= 1;
        ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_PROVIDER);
        pkcs11.wrapped.wrapped[20] ^= 1;
        pkcs11_refuse(FAKE_ENCRYPT, CKR_OK, 0);
        /* A key that may not encrypt leaves it open. */
        pkcs11.token->encrypts = CK_FALSE;
        pkcs11.wrapped.wrapped[20] ^= 1;
        ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_PROVIDER);
        pkcs11.wrapped.wrapped[20] ^= 1;
        pkcs11.token->encrypts = CK_TRUE;
        pkcs11_unwraps();
    }
}
END_TEST

/* The key's own attributes. */

START_TEST(a_key_that_does_not_decrypt_is_disabled)
{
    struct envol_key_info info;

    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    pkcs11.token->decrypts = CK_FALSE;
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(pkcs11_describe(&info), ENVOL_OK);
    ck_assert_int_eq(info.state, ENVOL_KEY_DISABLED);
    ck_assert_int_eq(pkcs11_wrap(), ENVOL_E_KEY_DISABLED);
    pkcs11.token->decrypts = CK_TRUE;
    ck_assert_int_eq(pkcs11_describe(&info), ENVOL_OK);
    ck_assert_int_eq(info.state, ENVOL_KEY_ENABLED);
    ck_assert_str_eq(info.key_ref, FAKE_REF);
    ck_assert_str_eq(info.key_version, "");
}
END_TEST

START_TEST(a_key_that_does_not_encrypt_opens_and_does_not_wrap)
{
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    pkcs11.token->encrypts = CK_FALSE;
    pkcs11_unwraps();
    ck_assert_int_eq(pkcs11_wrap(), ENVOL_E_KEY_DENIED);
}
END_TEST

START_TEST(only_aes_256_keys_are_used)
{
    struct envol_key_info info;

    pkcs11.token->value_bytes = 16;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(pkcs11_describe(&info), ENVOL_E_ARGUMENT);
    pkcs11.token->value_bytes = 0; /* the token does not say */
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    pkcs11.token->type = CKK_GENERIC_SECRET;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_ARGUMENT);
}
END_TEST

START_TEST(exactly_one_key_has_to_match)
{
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    pkcs11.token->keys = 0;
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_KEY_NOT_FOUND);
    pkcs11.token->keys = 2;
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_ARGUMENT);
    pkcs11.token->keys = 1;
    pkcs11_unwraps();
}
END_TEST

START_TEST(a_key_is_looked_for_by_all_that_the_uri_says)
{
    const CK_ATTRIBUTE *wanted = pkcs11.token->wanted;
    CK_OBJECT_CLASS kind = CKO_SECRET_KEY;

    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open("pkcs11:object=a%20key;id=%01%02;type=secret-key");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    ck_assert_uint_eq(pkcs11.token->wanted_count, 4);
    ck_assert_uint_eq(wanted[0].type, CKA_CLASS);
    ck_assert_mem_eq(wanted[0].pValue, &kind, sizeof(kind));
    ck_assert_uint_eq(wanted[1].type, CKA_TOKEN);
    ck_assert_uint_eq(*(CK_BBOOL *)wanted[1].pValue, CK_TRUE);
    ck_assert_uint_eq(wanted[2].type, CKA_LABEL);
    ck_assert_uint_eq(wanted[2].ulValueLen, 5);
    ck_assert_mem_eq(wanted[2].pValue, "a key", 5);
    ck_assert_uint_eq(wanted[3].type, CKA_ID);
    ck_assert_uint_eq(wanted[3].ulValueLen, 2);
    ck_assert_mem_eq(wanted[3].pValue, "\1\2", 2);
}
END_TEST

/* The mechanism. */

START_TEST(parameters_are_in_the_six_field_form)
{
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    ck_assert_uint_eq(pkcs11.token->gcm.ulIvLen, 12);
    ck_assert_uint_eq(pkcs11.token->gcm.ulIvBits, 96);
    ck_assert_uint_eq(pkcs11.token->gcm.ulTagBits, 128);
    /* 4 + 11 + 4 + 1, 4 + 13 + 4 + 3, 4 + 12 + 4 + 36 (envol(5)). */
    ck_assert_uint_eq(pkcs11.token->gcm.ulAADLen, 100);
    pkcs11_unwraps();
    ck_assert_uint_eq(pkcs11.token->gcm.ulIvBits, 96);
    ck_assert_uint_ge(pkcs11.token->decrypt_room, 80);
}
END_TEST

START_TEST(the_blob_is_laid_out_as_the_manual_says)
{
    uint8_t dek[ENVOL_DEK_BYTES] = {1, 2, 3};

    ck_assert_int_eq(pkcs11_wrap(), ENVOL_OK);
    ck_assert_uint_eq(pkcs11.wrapped.wrapped_bytes, 94);
    ck_assert_uint_eq(pkcs11.wrapped.wrapped[0], 1);
    ck_assert_uint_eq(pkcs11.wrapped.wrapped[1], 1);
    for (size_t i = 0; i < sizeof(dek); i++)
        ck_assert_uint_eq(pkcs11.wrapped.wrapped[14 + i], dek[i] ^ 0xa5);
    ck_assert_str_eq(pkcs11.wrapped.key_ref, FAKE_REF);
    ck_assert_str_eq(pkcs11.wrapped.key_version, "");
}
END_TEST

START_TEST(no_iv_is_used_twice)
{
    uint8_t ivs[64][12];

    for (size_t i = 0; i < 64; i++) {
        ck_assert_int_eq(pkcs11_wrap(), ENVOL_OK);
        memcpy(ivs[i], pkcs11.wrapped.wrapped + 2, 12);
        for (size_t j = 0; j < i; j++)
            ck_assert_mem_ne(ivs[i], ivs[j], 12);
    }
}
END_TEST

START_TEST(a_token_may_insist_on_an_iv_of_its_own)
{
    pkcs11.token->own_iv = true;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    for (size_t i = 0; i < 12; i++)
        ck_assert_uint_eq(pkcs11.wrapped.wrapped[2 + i], 0x77);
    pkcs11_unwraps();
}
END_TEST

START_TEST(an_iv_of_zeros_is_refused)
{
    pkcs11.token->zero_iv = true;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_UNSUPPORTED);
    ck_assert_str_eq(pkcs11.error.provider_code, "CKR_MECHANISM_PARAM_INVALID");
    ck_assert_uint_eq(pkcs11.wrapped.wrapped_bytes, 0);
}
END_TEST

START_TEST(a_token_that_appends_its_iv_is_not_supported)
{
    pkcs11.token->appends_iv = true;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_UNSUPPORTED);
}
END_TEST

/* DEKs. */

/* The fake's random source is as bad as can be. */
START_TEST(the_kernel_has_its_part_in_a_dek)
{
    uint8_t first[ENVOL_DEK_BYTES];

    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    memcpy(first, pkcs11.dek, sizeof(first));
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    ck_assert_mem_ne(pkcs11.dek, first, sizeof(first));
    ck_assert_uint_eq(pkcs11.token->calls[FAKE_RANDOM], 2);
    pkcs11.token->random = 0;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_PROVIDER);
}
END_TEST

START_TEST(blobs_of_another_form_never_reach_the_token)
{
    unsigned before;

    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    before = pkcs11.token->calls[FAKE_DECRYPT_INIT];
    for (size_t at = 0; at < 2; at++) {
        pkcs11.wrapped.wrapped[at] = 2;
        ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_WRONG_KEY);
        pkcs11.wrapped.wrapped[at] = 1;
    }
    for (size_t bytes = 1; bytes <= ENVOL_WRAPPED_MAX; bytes += bytes < 100 ? 1 : 751) {
        pkcs11.wrapped.wrapped_bytes = bytes;
        if (bytes != 94)
            ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_WRONG_KEY);
    }
    pkcs11.wrapped.wrapped_bytes = 94;
    ck_assert_uint_eq(pkcs11.token->calls[FAKE_DECRYPT_INIT], before);
    pkcs11_unwraps();
}
END_TEST

START_TEST(a_key_in_a_slot_is_refused_by_its_name)
{
    static const char *const others[] = {"pkcs11:serial=0001;id=%03",
                                         "pkcs11:serial=0002;id=%01%02", "pkcs11:id=%01%02", "x",
                                         "pkcs11:serial=0001;id=%01%02 "};
    struct envol_key_request request = pkcs11_request("");
    uint8_t dek[ENVOL_DEK_BYTES];

    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    request.key_ref = FAKE_REF;
    ck_ok(envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped, 94, dek, NULL));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request.key_ref = others[i];
        ck_status(
            envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped, 94, dek, NULL),
            ENVOL_E_KEY_NOT_FOUND);
    }
    request.key_ref = FAKE_REF;
    request.key_version = "1";
    ck_status(
        envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped, 94, dek, NULL),
        ENVOL_E_KEY_NOT_FOUND);
}
END_TEST

/* A header is anybody's: what it names is not loaded. */
START_TEST(a_key_in_a_slot_names_no_module)
{
    struct envol_key_request request = pkcs11_request("");
    uint8_t dek[ENVOL_DEK_BYTES];
    char ref[ENVOL_KEY_REF_MAX];
    FILE *evil = fopen(test_path("evil.so"), "w"), *fake = fopen(pkcs11.module, "r");
    int byte;

    ck_assert(evil != NULL && fake != NULL);
    while ((byte = fgetc(fake)) != EOF)
        fputc(byte, evil);
    fclose(evil);
    fclose(fake);
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    snprintf(ref, sizeof(ref), "%s?module-path=%s", FAKE_REF, test_path("evil.so"));
    request.key_ref = ref;
    ck_status(
        envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped, 94, dek, NULL),
        ENVOL_E_KEY_NOT_FOUND);
    ck_assert_ptr_null(dlopen(test_path("evil.so"), RTLD_NOW | RTLD_NOLOAD));
    ck_assert_ptr_nonnull(dlopen(pkcs11.module, RTLD_NOW | RTLD_NOLOAD));
}
END_TEST

/* A key that was restored to another token: the application names it. */
START_TEST(a_uri_with_a_serial_number_stands_for_slots_of_another)
{
    struct envol_key_request request = pkcs11_request("");
    uint8_t dek[ENVOL_DEK_BYTES];

    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open("pkcs11:serial=0001;id=%01%02");
    request.key_ref = "pkcs11:serial=9999;id=%01%02";
    ck_ok(envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped, 94, dek, NULL));
    request.key_ref = "pkcs11:serial=9999;id=%01%03";
    ck_status(
        envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped, 94, dek, NULL),
        ENVOL_E_KEY_NOT_FOUND);
}
END_TEST

START_TEST(names_of_keys_are_canonical)
{
    pkcs11.token->id_bytes = 0;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    ck_assert_str_eq(pkcs11.wrapped.key_ref, "pkcs11:serial=0001;object=a%20key");
    pkcs11.token->blank_serial = true;
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open("pkcs11:id=%01%02");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    ck_assert_str_eq(pkcs11.wrapped.key_ref, "pkcs11:token=fake%20token;object=a%20key");
    memcpy(pkcs11.token->id, "k1;?\n\xff", 6);
    pkcs11.token->id_bytes = 6;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    ck_assert_str_eq(pkcs11.wrapped.key_ref, "pkcs11:token=fake%20token;id=%6B%31%3B%3F%0A%FF");
    pkcs11.token->id_bytes = 255;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_OK);
    pkcs11.token->id_bytes = 256;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_PROVIDER);
}
END_TEST

static void add_codes(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "codes");

    tcase_add_test(tests, each_code_has_its_status);
    tcase_add_test(tests, each_code_from_decrypt_has_its_status);
    tcase_add_test(tests, each_code_from_a_login_has_its_status);
    tcase_add_test(tests, each_function_may_refuse);
    tcase_add_test(tests, a_vague_refusal_is_a_wrong_key_only_if_the_token_works);
}

static void add_keys(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "keys");

    tcase_add_test(tests, a_key_that_does_not_decrypt_is_disabled);
    tcase_add_test(tests, a_key_that_does_not_encrypt_opens_and_does_not_wrap);
    tcase_add_test(tests, only_aes_256_keys_are_used);
    tcase_add_test(tests, exactly_one_key_has_to_match);
    tcase_add_test(tests, a_key_is_looked_for_by_all_that_the_uri_says);
    tcase_add_test(tests, a_key_in_a_slot_is_refused_by_its_name);
    tcase_add_test(tests, a_key_in_a_slot_names_no_module);
    tcase_add_test(tests, a_uri_with_a_serial_number_stands_for_slots_of_another);
    tcase_add_test(tests, names_of_keys_are_canonical);
}

static void add_blobs(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "blobs");

    tcase_add_test(tests, parameters_are_in_the_six_field_form);
    tcase_add_test(tests, the_blob_is_laid_out_as_the_manual_says);
    tcase_add_test(tests, no_iv_is_used_twice);
    tcase_add_test(tests, a_token_may_insist_on_an_iv_of_its_own);
    tcase_add_test(tests, an_iv_of_zeros_is_refused);
    tcase_add_test(tests, a_token_that_appends_its_iv_is_not_supported);
    tcase_add_test(tests, the_kernel_has_its_part_in_a_dek);
    tcase_add_test(tests, blobs_of_another_form_never_reach_the_token);
}

int main(void)
{
    Suite *suite = suite_create("pkcs11 refusals");

    add_codes(suite);
    add_keys(suite);
    add_blobs(suite);
    return test_run(suite);
}
