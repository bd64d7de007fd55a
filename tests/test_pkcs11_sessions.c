/* SPDX-License-Identifier: BSD-2-Clause */
/* Modules, sessions and logins of the provider pkcs11: shared, lost, few, in threads, over a fork.
 */
#include "pkcs11_fixture.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

static unsigned calls(enum fake_call call)
{
    return pkcs11.token->calls[call];
}

static void ck_all_work(void)
{
    struct envol_key_info info;

    ck_assert_msg(pkcs11_generate() == ENVOL_OK, "%s", pkcs11.error.message);
    pkcs11_unwraps();
    ck_assert_int_eq(pkcs11_describe(&info), ENVOL_OK);
}

/* The module's own functions, as another user of it in this process has them. */
static CK_FUNCTION_LIST *raw_module(void)
{
    void *module = dlopen(pkcs11.module, RTLD_NOW | RTLD_LOCAL);
    CK_FUNCTION_LIST *functions = NULL;
    CK_C_GetFunctionList get;

    ck_assert_ptr_nonnull(module);
    *(void **)&get = dlsym(module, "C_GetFunctionList");
    ck_assert_uint_eq(get(&functions), CKR_OK);
    return functions;
}

/* Modules. */

START_TEST(opening_calls_nothing_in_the_module)
{
    for (unsigned call = 0; call < FAKE_CALLS; call++)
        ck_assert_uint_eq(calls(call), 0);
    envol_provider_close(pkcs11.provider);
    for (unsigned call = 0; call < FAKE_CALLS; call++)
        ck_assert_uint_eq(calls(call), 0);
    pkcs11.provider = NULL;
}
END_TEST

START_TEST(a_module_is_initialised_once_and_for_threads)
{
    struct envol_provider *second = pkcs11_open("pkcs11:object=a%20key");
    struct envol_key_request request = pkcs11_request(NULL);

    ck_all_work();
    ck_ok(envol_provider_generate(second, &request, pkcs11.dek, &pkcs11.wrapped, NULL));
    ck_assert_uint_eq(calls(FAKE_INITIALIZE), 1);
    ck_assert_uint_eq(pkcs11.token->initialised_with, CKF_OS_LOCKING_OK);
    envol_provider_close(second);
    ck_assert_uint_eq(calls(FAKE_FINALIZE), 0);
    pkcs11_unwraps();
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = NULL;
    ck_assert_uint_eq(calls(FAKE_FINALIZE), 1);
    ck_assert_uint_eq(pkcs11.token->sessions, 0);
}
END_TEST

START_TEST(what_another_initialised_is_used_and_not_finalised)
{
    ck_assert_uint_eq(raw_module()->C_Initialize(NULL), CKR_OK);
    ck_all_work();
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = NULL;
    ck_assert_int_eq(pkcs11.token->initialised, getpid());
    ck_assert_uint_eq(calls(FAKE_FINALIZE), 0);
}
END_TEST

START_TEST(a_module_that_another_finalised_is_initialised_again)
{
    ck_all_work();
    ck_assert_uint_eq(raw_module()->C_Finalize(NULL), CKR_OK);
    pkcs11_unwraps();
    ck_assert_uint_eq(calls(FAKE_INITIALIZE), 2);
    ck_all_work();
}
END_TEST

/* Tokens. */

START_TEST(an_absent_token_is_unreachable_until_it_is_back)
{
    struct envol_key_info info;

    pkcs11.token->tokens = 0;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_UNREACHABLE);
    ck_assert_int_eq(pkcs11_describe(&info), ENVOL_E_UNREACHABLE);
    pkcs11.token->tokens = 1;
    ck_all_work();
}
END_TEST

START_TEST(exactly_one_token_has_to_match)
{
    pkcs11.token->tokens = 3;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_ARGUMENT);
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open("pkcs11:serial=0002;id=%01%02");
    ck_all_work();
    ck_assert_str_eq(pkcs11.wrapped.key_ref, "pkcs11:serial=0002;id=%01%02");
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open("pkcs11:slot-id=42;id=%01%02");
    ck_all_work();
    ck_assert_str_eq(pkcs11.wrapped.key_ref, "pkcs11:serial=0003;id=%01%02");
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open("pkcs11:token=another;id=%01%02");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_UNREACHABLE);
    envol_provider_close(pkcs11.provider);
    pkcs11.provider = pkcs11_open("pkcs11:library-description=another;id=%01%02");
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_UNREACHABLE);
}
END_TEST

/* Sessions. */

START_TEST(sessions_are_kept)
{
    for (unsigned i = 0; i < 20; i++)
        ck_all_work();
    ck_assert_uint_eq(calls(FAKE_OPEN_SESSION), 1);
    ck_assert_uint_eq(pkcs11.token->sessions, 1);
}
END_TEST

/* A session that failed may be in any state. */
START_TEST(a_session_that_failed_is_closed)
{
    ck_all_work();
    pkcs11_refuse(FAKE_DECRYPT_INIT, CKR_DEVICE_MEMORY, 1);
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_PROVIDER);
    ck_assert_uint_eq(pkcs11.token->sessions, 0);
    ck_all_work();
    /* One that told of a wrong key did its work: no new login for that. */
    pkcs11.wrapped.wrapped[20] ^= 1;
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_WRONG_KEY);
    ck_assert_uint_eq(pkcs11.token->sessions, 1);
}
END_TEST

static const CK_RV lost[] = {
    CKR_SESSION_HANDLE_INVALID,   CKR_SESSION_CLOSED,     CKR_DEVICE_REMOVED,
    CKR_TOKEN_NOT_PRESENT,        CKR_DEVICE_ERROR,       CKR_SLOT_ID_INVALID,
    CKR_USER_NOT_LOGGED_IN,       CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID,
    CKR_CRYPTOKI_NOT_INITIALIZED, CKR_OPERATION_ACTIVE};

START_TEST(a_lost_session_is_replaced_once)
{
    static const enum fake_call where[] = {FAKE_FIND_INIT, FAKE_GET_ATTRIBUTE, FAKE_DECRYPT_INIT};

    pkcs11.token->needs_login = true;
    ck_all_work();
    for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
        for (size_t j = 0; j < sizeof(where) / sizeof(where[0]); j++) {
            unsigned before = calls(FAKE_OPEN_SESSION);

            pkcs11_refuse(where[j], lost[i], 1);
            pkcs11_unwraps();
            ck_assert_uint_eq(calls(FAKE_OPEN_SESSION), before + 1);
            pkcs11_refuse(where[j], lost[i], 2);
            ck_assert_int_ne(pkcs11_unwrap(), ENVOL_OK);
            ck_assert_uint_eq(calls(FAKE_OPEN_SESSION), before + 2);
            ck_assert_int_eq(pkcs11.token->refuse[where[j]].times, 0);
            pkcs11_unwraps();
        }
    }
    ck_all_work();
}
END_TEST

/* What is not lost is not tried again: a refusal may cost the token something. */
START_TEST(other_refusals_are_not_repeated)
{
    ck_all_work();
    pkcs11_refuse(FAKE_DECRYPT_INIT, CKR_FUNCTION_REJECTED, 1);
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_KEY_DENIED);
    pkcs11_unwraps();
}
END_TEST

/* Private keys cannot be seen then: that is no proof that the key is gone. */
START_TEST(a_logout_of_another_is_no_deleted_key)
{
    pkcs11.token->needs_login = true;
    ck_all_work();
    pkcs11.token->logged_in = false;
    pkcs11_unwraps();
    ck_assert_uint_eq(calls(FAKE_LOGIN), 2);
    pkcs11.token->keys = 0;
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_KEY_NOT_FOUND);
}
END_TEST

/* Logins. */

START_TEST(the_pin_is_asked_for_once)
{
    pkcs11.token->needs_login = true;
    for (unsigned i = 0; i < 5; i++)
        ck_all_work();
    ck_assert_uint_eq(pkcs11.pins_asked, 1);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 1);
    ck_assert_str_eq(pkcs11.pin_token, "fake token");
}
END_TEST

START_TEST(a_login_of_another_counts)
{
    ck_assert_uint_eq(raw_module()->C_Initialize(NULL), CKR_OK);
    pkcs11.token->needs_login = true;
    pkcs11.token->logged_in = true;
    ck_all_work();
    ck_assert_uint_eq(pkcs11.pins_asked, 0);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 0);
}
END_TEST

static void log_in_before(enum fake_call call)
{
    if (call == FAKE_LOGIN)
        pkcs11.token->logged_in = true;
}

START_TEST(a_login_of_another_may_come_in_between)
{
    pkcs11.token->needs_login = true;
    pkcs11.token->before = log_in_before;
    pkcs11.pin = "any"; /* not looked at any more */
    ck_all_work();
    ck_assert_uint_eq(calls(FAKE_LOGIN), 1);
}
END_TEST

/* Three wrong ones lock most tokens. */
START_TEST(a_refused_pin_is_not_tried_again)
{
    pkcs11.token->needs_login = true;
    pkcs11.pin = "4321";
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    ck_assert_str_eq(pkcs11.error.provider_code, "CKR_PIN_INCORRECT");
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 1);
    ck_assert_ptr_null(strstr(pkcs11.error.message, "4321"));
    pkcs11.pin = "432";
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 2);
    pkcs11.pin = "1234";
    ck_all_work();
    ck_assert_uint_eq(calls(FAKE_LOGIN), 3);
    ck_assert_uint_eq(pkcs11.token->sessions, 1);
}
END_TEST

START_TEST(the_callback_may_refuse)
{
    pkcs11.token->needs_login = true;
    pkcs11.pin = NULL;
    pkcs11.pin_status = ENVOL_E_CREDENTIALS;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    pkcs11.pin_status = ENVOL_E_CANCELLED;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CANCELLED);
    pkcs11.pin_status = ENVOL_E_STALE; /* no status of a provider's */
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_PROVIDER);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 0);
}
END_TEST

START_TEST(pins_are_bounded)
{
    char pin[ENVOL_PKCS11_PIN_MAX + 2];

    pkcs11.token->needs_login = true;
    memset(pin, '7', sizeof(pin));
    pin[ENVOL_PKCS11_PIN_MAX + 1] = '\0';
    pkcs11.pin = pin;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_CREDENTIALS);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 0);
    pin[ENVOL_PKCS11_PIN_MAX] = '\0';
    memcpy(pkcs11.token->pin, pin, ENVOL_PKCS11_PIN_MAX);
    pkcs11.token->pin_bytes = ENVOL_PKCS11_PIN_MAX;
    ck_all_work();
}
END_TEST

START_TEST(a_token_with_a_keypad_asks_itself)
{
    pkcs11.token->needs_login = true;
    pkcs11.token->keypad = true;
    ck_all_work();
    ck_assert_uint_eq(pkcs11.pins_asked, 0);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 1);
}
END_TEST

START_TEST(no_pin_at_all_is_said_so)
{
    const struct envol_pkcs11_options options = {
        .struct_size = sizeof(options), .uri = "pkcs11:id=%01%02", .module_path = pkcs11.module};

    envol_provider_close(pkcs11.provider);
    ck_ok(envol_pkcs11_provider_open(&options, &pkcs11.provider, NULL));
    ck_all_work();
    pkcs11.token->needs_login = true;
    pkcs11_refuse(FAKE_FIND_INIT, CKR_USER_NOT_LOGGED_IN, 1);
    ck_assert_int_eq(pkcs11_unwrap(), ENVOL_E_CREDENTIALS);
}
END_TEST

static void add_modules(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "modules and tokens");

    tcase_add_test(tests, opening_calls_nothing_in_the_module);
    tcase_add_test(tests, a_module_is_initialised_once_and_for_threads);
    tcase_add_test(tests, what_another_initialised_is_used_and_not_finalised);
    tcase_add_test(tests, a_module_that_another_finalised_is_initialised_again);
    tcase_add_test(tests, an_absent_token_is_unreachable_until_it_is_back);
    tcase_add_test(tests, exactly_one_token_has_to_match);
}

static void add_sessions(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "sessions");

    tcase_add_test(tests, sessions_are_kept);
    tcase_add_test(tests, a_session_that_failed_is_closed);
    tcase_add_test(tests, a_lost_session_is_replaced_once);
    tcase_add_test(tests, other_refusals_are_not_repeated);
    tcase_add_test(tests, a_logout_of_another_is_no_deleted_key);
}

static void add_logins(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "logins");

    tcase_add_test(tests, the_pin_is_asked_for_once);
    tcase_add_test(tests, a_login_of_another_counts);
    tcase_add_test(tests, a_login_of_another_may_come_in_between);
    tcase_add_test(tests, a_refused_pin_is_not_tried_again);
    tcase_add_test(tests, the_callback_may_refuse);
    tcase_add_test(tests, pins_are_bounded);
    tcase_add_test(tests, a_token_with_a_keypad_asks_itself);
    tcase_add_test(tests, no_pin_at_all_is_said_so);
}

int main(void)
{
    Suite *suite = suite_create("pkcs11 sessions");

    add_modules(suite);
    add_sessions(suite);
    add_logins(suite);
    return test_run(suite);
}
