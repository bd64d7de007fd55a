/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider pkcs11 in several threads, and in forked children. */
#include "children.h"
#include "pkcs11_fixture.h"
#include "prompt.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static unsigned calls(enum fake_call call)
{
    return pkcs11.token->calls[call];
}

static void ck_all_work(void)
{
    ck_assert_msg(pkcs11_generate() == ENVOL_OK, "%s", pkcs11.error.message);
    pkcs11_unwraps();
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Threads. */

enum { THREADS = 8, ROUNDS = 50 };

static void *work(void *unused)
{
    struct envol_key_request fresh = pkcs11_request(NULL), slot = pkcs11_request("");

    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
        uint8_t dek[ENVOL_DEK_BYTES], back[ENVOL_DEK_BYTES];

        if (envol_provider_generate(pkcs11.provider, &fresh, dek, &wrapped, NULL) != ENVOL_OK ||
            envol_provider_unwrap(pkcs11.provider, &slot, wrapped.wrapped, wrapped.wrapped_bytes,
                                  back, NULL) != ENVOL_OK ||
            memcmp(dek, back, sizeof(dek)) != 0)
            return (void *)work;
    }
    return NULL;
}

static void run_threads(void)
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *failed;

        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
}

static void pause_in_login(enum fake_call call)
{
    if (call == FAKE_LOGIN)
        usleep(50000);
}

START_TEST(threads_share_one_login)
{
    pkcs11.token->needs_login = true;
    pkcs11.token->before = pause_in_login;
    run_threads();
    ck_assert_uint_eq(pkcs11.pins_asked, 1);
    ck_assert_uint_eq(calls(FAKE_LOGIN), 1);
    ck_assert_uint_le(pkcs11.token->sessions, 8);
}
END_TEST

START_TEST(threads_wait_for_the_one_session_of_a_token)
{
    pkcs11.token->sessions_max = 1;
    run_threads();
    ck_assert_uint_eq(pkcs11.token->sessions, 1);
}
END_TEST

/* A thread that is within C_Encrypt until it is let go. */
static _Atomic bool inside, let_go;

static void hold_encrypt(enum fake_call call)
{
    if (call != FAKE_ENCRYPT || atomic_exchange(&inside, true))
        return;
    while (!let_go)
        usleep(1000);
}

static void *hold(void *unused)
{
    struct envol_key_request request = pkcs11_request(NULL);
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
    uint8_t dek[ENVOL_DEK_BYTES];

    (void)unused;
    return envol_provider_generate(pkcs11.provider, &request, dek, &wrapped, NULL) == ENVOL_OK
               ? NULL
               : (void *)hold;
}

static pthread_t start_holding(void)
{
    pthread_t holder;

    pkcs11.token->before = hold_encrypt;
    ck_assert_int_eq(pthread_create(&holder, NULL, hold, NULL), 0);
    while (!inside)
        usleep(1000);
    return holder;
}

static void end_holding(pthread_t holder)
{
    void *failed;

    let_go = true;
    ck_assert_int_eq(pthread_join(holder, &failed), 0);
    ck_assert_ptr_null(failed);
}

struct cancelling {
    int flag;
    uint64_t at_ms;
};

static void *cancel_soon(void *argument)
{
    struct cancelling *cancelling = argument;

    usleep(100000);
    cancelling->at_ms = now_ms();
    __atomic_store_n(&cancelling->flag, 1, __ATOMIC_RELEASE);
    return NULL;
}

static uint64_t deadline_late_ms(void)
{
    struct envol_key_request request = pkcs11_request(NULL);
    uint64_t ended_ms;

    request.deadline_ms = now_ms() + 200;
    ck_status(envol_provider_generate(pkcs11.provider, &request, pkcs11.dek, &pkcs11.wrapped, NULL),
              ENVOL_E_TIMEOUT);
    ended_ms = now_ms();
    ck_assert_uint_ge(ended_ms, request.deadline_ms);
    return ended_ms - request.deadline_ms;
}

static uint64_t cancel_late_ms(void)
{
    struct envol_key_request request = pkcs11_request(NULL);
    struct cancelling cancelling = {0};
    pthread_t canceller;
    uint64_t ended_ms;

    request.cancel_flag = &cancelling.flag;
    ck_assert_int_eq(pthread_create(&canceller, NULL, cancel_soon, &cancelling), 0);
    ck_status(envol_provider_generate(pkcs11.provider, &request, pkcs11.dek, &pkcs11.wrapped, NULL),
              ENVOL_E_CANCELLED);
    ended_ms = now_ms();
    pthread_join(canceller, NULL);
    return ended_ms - cancelling.at_ms;
}

START_TEST(waiting_ends_with_deadline_and_cancel_flag)
{
    struct prompt deadline = {0}, cancel = {0};
    pthread_t holder;

    pkcs11.token->sessions_max = 1;
    holder = start_holding();
    while (prompt_is_late(&deadline, deadline_late_ms()))
        ;
    while (prompt_is_late(&cancel, cancel_late_ms()))
        ;
    end_holding(holder);
    ck_all_work();
}
END_TEST

START_TEST(no_session_at_all_is_throttling)
{
    pkcs11.token->sessions_max = 0;
    ck_assert_int_eq(pkcs11_generate(), ENVOL_E_THROTTLED);
    ck_assert_int_eq(envol_status_is_retryable(ENVOL_E_THROTTLED), 1);
    pkcs11.token->sessions_max = 1;
    ck_all_work();
}
END_TEST

/* Fork. */

static int use_in_child(void *unused)
{
    struct envol_key_request request = pkcs11_request("");
    uint8_t dek[ENVOL_DEK_BYTES];
    unsigned closed = calls(FAKE_CLOSE_SESSION), initialised = calls(FAKE_INITIALIZE);

    (void)unused;
    for (unsigned i = 0; i < 3; i++) {
        if (envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped,
                                  pkcs11.wrapped.wrapped_bytes, dek, NULL) != ENVOL_OK)
            return 1;
    }
    if (pkcs11.token->initialised != getpid() || calls(FAKE_INITIALIZE) != initialised + 1)
        return 2;
    /* The parent's sessions are the parent's to close, and its module's state to end. */
    if (calls(FAKE_CLOSE_SESSION) != closed || calls(FAKE_FINALIZE) != 0)
        return 3;
    envol_provider_close(pkcs11.provider);
    return calls(FAKE_FINALIZE) == 1 ? 0 : 4;
}

static int close_in_child(void *unused)
{
    (void)unused;
    envol_provider_close(pkcs11.provider);
    return calls(FAKE_CLOSE_SESSION) == 0 && calls(FAKE_FINALIZE) == 0 ? 0 : 1;
}

static _Atomic unsigned decrypting, closing;
static _Atomic bool gone;

/* Two calls are in the module when another user ends it; the second one hears of it late. */
static void before_the_end(enum fake_call call)
{
    if (call == FAKE_DECRYPT_INIT && atomic_fetch_add(&decrypting, 1) < 2) {
        for (int i = 0; !atomic_load(&gone) && i < 10000; i++)
            usleep(1000);
    } else if (call == FAKE_CLOSE_SESSION && atomic_fetch_add(&closing, 1) == 1) {
        for (int i = 0; calls(FAKE_INITIALIZE) < 2 && i < 300; i++)
            usleep(1000);
    }
}

static void *unwrap_once(void *status)
{
    struct envol_key_request slot = pkcs11_request("");
    uint8_t dek[ENVOL_DEK_BYTES];

    *(enum envol_status *)status = envol_provider_unwrap(
        pkcs11.provider, &slot, pkcs11.wrapped.wrapped, pkcs11.wrapped.wrapped_bytes, dek, NULL);
    return NULL;
}

/* Neither initialises what the other one has just initialised, and works in. */
START_TEST(a_module_that_ends_under_two_calls)
{
    enum envol_status statuses[2];
    pthread_t threads[2];
    void *module = dlopen(pkcs11.module, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *functions;

    ck_all_work();
    ck_assert_ptr_nonnull(module);
    *(void **)&get = dlsym(module, "C_GetFunctionList");
    ck_assert_uint_eq(get(&functions), CKR_OK);
    pkcs11.token->before = before_the_end;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, unwrap_once, &statuses[i]), 0);
    for (int i = 0; atomic_load(&decrypting) < 2; i++) {
        ck_assert_int_lt(i, 10000);
        usleep(1000);
    }
    ck_assert_uint_eq(functions->C_Finalize(NULL), CKR_OK);
    atomic_store(&gone, true);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(statuses[i], ENVOL_OK);
    }
    pkcs11.token->before = NULL;
    ck_all_work();
    ck_assert_uint_eq(calls(FAKE_INITIALIZE), 2);
    dlclose(module);
}
END_TEST

START_TEST(a_child_initialises_and_logs_in_anew)
{
    pkcs11.token->needs_login = true;
    ck_all_work();
    ck_assert_int_eq(test_in_child(use_in_child, NULL), 0);
    ck_assert_int_eq(test_in_child(close_in_child, NULL), 0);
    ck_all_work();
    ck_assert_uint_eq(calls(FAKE_OPEN_SESSION), 1);
}
END_TEST

static int fail_in_child(void *unused)
{
    struct envol_key_request request = pkcs11_request("");
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_provider *another = NULL;
    const struct envol_pkcs11_options options = {
        .struct_size = sizeof(options), .uri = "pkcs11:id=%01", .module_path = pkcs11.module};
    uint8_t dek[ENVOL_DEK_BYTES], blob[94] = {1, 1};

    (void)unused;
    if (ck_note(envol_provider_unwrap(pkcs11.provider, &request, blob, sizeof(blob), dek,
                                      &error)) != ENVOL_E_FORKED)
        return 1;
    if (ck_note(envol_pkcs11_provider_open(&options, &another, &error)) != ENVOL_E_FORKED)
        return 2;
    envol_provider_close(pkcs11.provider);
    return another == NULL ? 0 : 3;
}

/* Locks that the other thread held are held in the child for ever. */
START_TEST(a_child_of_a_fork_within_a_call_is_told_so)
{
    pthread_t holder = start_holding();

    ck_assert_int_eq(test_in_child(fail_in_child, NULL), 0);
    end_holding(holder);
    ck_all_work();
}
END_TEST

static void add_threads(Suite *suite)
{
    TCase *tests = pkcs11_case(suite, "threads and processes");

    tcase_add_test(tests, threads_share_one_login);
    tcase_add_test(tests, threads_wait_for_the_one_session_of_a_token);
    tcase_add_test(tests, waiting_ends_with_deadline_and_cancel_flag);
    tcase_add_test(tests, no_session_at_all_is_throttling);
    tcase_add_test(tests, a_module_that_ends_under_two_calls);
    tcase_add_test(tests, a_child_initialises_and_logs_in_anew);
    tcase_add_test(tests, a_child_of_a_fork_within_a_call_is_told_so);
}

int main(void)
{
    Suite *suite = suite_create("pkcs11 threads");

    add_threads(suite);
    return test_run(suite);
}
