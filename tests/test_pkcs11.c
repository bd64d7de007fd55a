/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider pkcs11 with SoftHSM 2: wrapping, revocation and recovery, volumes, threads, fork. */
#include "children.h"
#include "cmk_life.h"
#include "softhsm_fixture.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct envol_context_pair pairs[3] = {
    {"envol:epoch", "1"},
    {"envol:purpose", "dek"},
    {"envol:volume", "0b3f1e5a-7d4c-4a8e-9a57-8b6f0d1c2e3f"},
};

static uint8_t dek[ENVOL_DEK_BYTES];
static struct envol_wrapped_dek wrapped;

static struct envol_key_request make_request(const char *key_version)
{
    return (struct envol_key_request){
        .struct_size = sizeof(struct envol_key_request),
        .key_version = key_version,
        .context = pairs,
        .context_pairs = 3,
    };
}

static enum envol_status unwrap_with(struct envol_provider *provider,
                                     const struct envol_key_request *request)
{
    uint8_t back[ENVOL_DEK_BYTES];
    enum envol_status status = ck_note(envol_provider_unwrap(
        provider, request, wrapped.wrapped, wrapped.wrapped_bytes, back, &softhsm.error));

    if (status == ENVOL_OK)
        ck_assert_mem_eq(back, dek, sizeof(dek));
    else
        ck_assert(envol_is_zero(back, sizeof(back)));
    return status;
}

static enum envol_status unwrap(void)
{
    struct envol_key_request request = make_request("");

    return unwrap_with(softhsm.provider, &request);
}

static void generate(void)
{
    struct envol_key_request request = make_request(NULL);

    wrapped.struct_size = sizeof(wrapped);
    ck_ok(envol_provider_generate(softhsm.provider, &request, dek, &wrapped, &softhsm.error));
}

/* Wrapping. */

START_TEST(end_to_end)
{
    struct envol_key_request fresh = make_request(NULL), slot = make_request("");
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};

    generate();
    ck_assert_uint_eq(wrapped.wrapped_bytes, 94);
    ck_assert_int_eq(strncmp(wrapped.key_ref, "pkcs11:serial=", 14), 0);
    ck_assert_str_eq(strchr(wrapped.key_ref, ';'), ";id=%01");
    ck_assert_str_eq(wrapped.key_version, "");
    ck_assert_int_eq(unwrap(), ENVOL_OK);
    slot.key_ref = wrapped.key_ref;
    ck_ok(envol_provider_rewrap(softhsm.provider, &slot, wrapped.wrapped, wrapped.wrapped_bytes,
                                &fresh, &other, &softhsm.error));
    ck_assert_mem_ne(other.wrapped, wrapped.wrapped, 94);
    wrapped = other;
    ck_assert_int_eq(unwrap(), ENVOL_OK);
    ck_ok(envol_provider_wrap(softhsm.provider, &fresh, dek, &wrapped, &softhsm.error));
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

START_TEST(a_key_is_found_by_label_too)
{
    struct envol_key_request request = make_request("");
    struct envol_provider *provider = softhsm_open("object=cmk");

    generate();
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_OK);
    envol_provider_close(provider);
    softhsm_add_key(2, 32, CK_TRUE, CK_TRUE); /* of the same label */
    provider = softhsm_open("object=cmk");
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_E_ARGUMENT);
    envol_provider_close(provider);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

START_TEST(the_context_is_bound)
{
    struct envol_context_pair other[3];
    struct envol_key_request request = make_request("");

    generate();
    request.context = other;
    for (size_t i = 0; i < 3; i++) {
        memcpy(other, pairs, sizeof(other));
        other[i].value = "2";
        ck_assert_int_eq(unwrap_with(softhsm.provider, &request), ENVOL_E_WRONG_KEY);
    }
    request.context_pairs = 2;
    memcpy(other, pairs, sizeof(other));
    ck_assert_int_eq(unwrap_with(softhsm.provider, &request), ENVOL_E_WRONG_KEY);
    request.context_pairs = 0;
    ck_assert_int_eq(unwrap_with(softhsm.provider, &request), ENVOL_E_WRONG_KEY);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

START_TEST(a_changed_blob_is_the_wrong_key)
{
    /* Under valgrind a few have to do. */
    unsigned step = test_tool() == NULL ? 1 : 47;

    generate();
    for (unsigned bit = 0; bit < 94 * 8; bit += step) {
        wrapped.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(unwrap(), ENVOL_E_WRONG_KEY);
        wrapped.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

START_TEST(another_key_is_the_wrong_key_or_not_the_one)
{
    struct envol_key_request request = make_request("");
    struct envol_provider *provider;

    generate();
    softhsm_add_key(2, 32, CK_TRUE, CK_TRUE);
    provider = softhsm_open("id=%02");
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_E_WRONG_KEY);
    request.key_ref = wrapped.key_ref;
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_E_KEY_NOT_FOUND);
    envol_provider_close(provider);
    softhsm_add_key(3, 16, CK_TRUE, CK_TRUE);
    provider = softhsm_open("id=%03");
    request.key_ref = NULL;
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_E_ARGUMENT);
    envol_provider_close(provider);
}
END_TEST

/* The least that a running service needs. */
START_TEST(a_key_that_only_decrypts_opens)
{
    struct envol_key_request fresh = make_request(NULL);
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};

    generate();
    softhsm_set(1, CKA_ENCRYPT, CK_FALSE);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
    ck_status(envol_provider_wrap(softhsm.provider, &fresh, dek, &other, &softhsm.error),
              ENVOL_E_KEY_DENIED);
    /* SoftHSM's CKR_GENERAL_ERROR could now be anything: only an exact refusal is a wrong key. */
    wrapped.wrapped[40] ^= 1;
    ck_assert_int_ne(unwrap(), ENVOL_OK);
    ck_assert(softhsm.error.status == ENVOL_E_PROVIDER ||
              strcmp(softhsm.error.provider_code, "CKR_ENCRYPTED_DATA_INVALID") == 0);
}
END_TEST

START_TEST(a_wrong_pin_is_told_from_a_missing_one)
{
    struct envol_pkcs11_options options = {.struct_size = sizeof(options),
                                           .module_path = softhsm.module};
    struct envol_key_request request = make_request("");
    struct envol_provider *provider = NULL;

    generate();
    envol_provider_close(softhsm.provider); /* its login is the process's */
    options.uri = "pkcs11:id=%01?pin-value=00000000";
    ck_ok(envol_pkcs11_provider_open(&options, &provider, &softhsm.error));
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_E_CREDENTIALS);
    ck_assert_str_eq(softhsm.error.provider_code, "CKR_PIN_INCORRECT");
    envol_provider_close(provider);
    options.uri = "pkcs11:id=%01";
    ck_ok(envol_pkcs11_provider_open(&options, &provider, &softhsm.error));
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_E_CREDENTIALS);
    ck_assert_str_eq(softhsm.error.provider_code, "");
    envol_provider_close(provider);
    options.uri = "pkcs11:id=%01?pin-value=" SOFTHSM_PIN;
    ck_ok(envol_pkcs11_provider_open(&options, &softhsm.provider, &softhsm.error));
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

/* The softhsm2 package configures p11-kit with its module. */
START_TEST(configured_modules_are_used_on_request_alone)
{
    struct envol_pkcs11_options options = {
        .struct_size = sizeof(options),
        .uri = "pkcs11:id=%01?module-name=softhsm2&pin-value=" SOFTHSM_PIN};
    struct envol_key_request request = make_request("");
    struct envol_provider *provider = NULL;

    if (access("/usr/share/p11-kit/modules/softhsm2.module", R_OK) != 0) {
        test_skip("modules of p11-kit's configuration", "it does not know SoftHSM");
        return;
    }
    generate();
    ck_status(envol_pkcs11_provider_open(&options, &provider, &softhsm.error), ENVOL_E_ARGUMENT);
    options.flags = ENVOL_PKCS11_CONFIGURED_MODULES;
    ck_ok(envol_pkcs11_provider_open(&options, &provider, &softhsm.error));
    ck_assert_msg(unwrap_with(provider, &request) == ENVOL_OK, "%s", softhsm.error.message);
    envol_provider_close(provider);
    options.uri = "pkcs11:id=%01?module-name=another&pin-value=" SOFTHSM_PIN;
    ck_ok(envol_pkcs11_provider_open(&options, &provider, &softhsm.error));
    ck_assert_int_eq(unwrap_with(provider, &request), ENVOL_E_UNREACHABLE);
    envol_provider_close(provider);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

/* Revoking, and taking it back. */

START_TEST(a_disabled_key_is_seen_at_once_and_comes_back)
{
    struct envol_key_request request = make_request(NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    generate();
    softhsm_set(1, CKA_DECRYPT, CK_FALSE);
    ck_assert_int_eq(unwrap(), ENVOL_E_KEY_DISABLED);
    ck_ok(envol_provider_describe(softhsm.provider, &request, &info, &softhsm.error));
    ck_assert_int_eq(info.state, ENVOL_KEY_DISABLED);
    ck_status(envol_provider_generate(softhsm.provider, &request, dek, &wrapped, &softhsm.error),
              ENVOL_E_KEY_DISABLED);
    softhsm_set(1, CKA_DECRYPT, CK_TRUE);
    generate();
    ck_assert_int_eq(unwrap(), ENVOL_OK);
    ck_ok(envol_provider_describe(softhsm.provider, &request, &info, &softhsm.error));
    ck_assert_int_eq(info.state, ENVOL_KEY_ENABLED);
    ck_assert_str_eq(info.key_ref, wrapped.key_ref);
}
END_TEST

START_TEST(a_destroyed_key_is_not_found_and_can_be_restored)
{
    generate();
    softhsm_destroy_key(1);
    ck_assert_int_eq(unwrap(), ENVOL_E_KEY_NOT_FOUND);
    softhsm_add_key(1, 32, CK_TRUE, CK_TRUE);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

/* Volumes. */

static struct envol_store *store;
static uint8_t page[65536], read_back[65536];

static enum envol_status open_volume(struct envol_volume **volume)
{
    struct envol_cmk cmk = {softhsm.provider, NULL};

    return ck_note(envol_volume_open(store, &cmk, 1, NULL, volume, &softhsm.error));
}

static void create_volume(void)
{
    struct envol_cmk cmk = {softhsm.provider, NULL};
    struct envol_volume *volume = NULL;

    ck_ok(envol_file_store_open(test_path("volume"), ENVOL_FILE_CREATE, &store, NULL));
    ck_ok(envol_volume_create(store, &cmk, 1, NULL, &volume, &softhsm.error));
    test_fill(page, sizeof(page));
    ck_ok(envol_page_write(volume, 0, page));
    ck_ok(envol_volume_close(volume));
}

static void ck_page_is_there(void)
{
    struct envol_volume *volume = NULL;

    ck_assert_msg(open_volume(&volume) == ENVOL_OK, "%s", softhsm.error.message);
    memset(read_back, 0, sizeof(read_back));
    ck_ok(envol_page_read(volume, 0, read_back));
    ck_assert_mem_eq(read_back, page, ENVOL_STRIDE_BYTES_DEFAULT - ENVOL_TRAILER_BYTES);
    ck_ok(envol_volume_close(volume));
}

START_TEST(a_volume_goes_dark_with_its_key_and_comes_back)
{
    struct envol_volume *volume = NULL;

    create_volume();
    ck_page_is_there();
    softhsm_set(1, CKA_DECRYPT, CK_FALSE);
    ck_assert_int_eq(open_volume(&volume), ENVOL_E_KEY_DISABLED);
    ck_assert_ptr_null(volume);
    softhsm_set(1, CKA_DECRYPT, CK_TRUE);
    ck_page_is_there();
    softhsm_destroy_key(1);
    ck_assert_int_eq(open_volume(&volume), ENVOL_E_KEY_NOT_FOUND);
    softhsm_add_key(1, 32, CK_TRUE, CK_TRUE);
    ck_page_is_there();
    envol_store_close(store);
}
END_TEST

static void destroy_key(const struct envol_cmk *cmk)
{
    softhsm_destroy_key(cmk->provider == softhsm.provider ? 1 : 2);
}

static void restore_key(const struct envol_cmk *cmk)
{
    softhsm_add_key(cmk->provider == softhsm.provider ? 1 : 2, 32, CK_TRUE, CK_TRUE);
}

static void forbid_key(const struct envol_cmk *cmk)
{
    softhsm_set(cmk->provider == softhsm.provider ? 1 : 2, CKA_DECRYPT, CK_FALSE);
}

static void allow_key(const struct envol_cmk *cmk)
{
    softhsm_set(cmk->provider == softhsm.provider ? 1 : 2, CKA_DECRYPT, CK_TRUE);
}

/* A token has no call that rewraps: the DEK in memory is wrapped, and unwrapped once to prove it.
 */
START_TEST(a_volume_is_rewrapped_under_a_lease)
{
    struct cmk_life life = {
        .providers = {softhsm.provider},
        .revoke = forbid_key,
        .restore = allow_key,
        .revoked = ENVOL_E_KEY_DISABLED,
        .left = ENVOL_E_KEY_NOT_FOUND,
        .rewrap = "wrap unwrap ",
    };

    softhsm_add_key(2, 32, CK_TRUE, CK_TRUE);
    life.providers[1] = softhsm_open("id=%02");
    cmk_life(&life);
    allow_key(&(struct envol_cmk){softhsm.provider, NULL});
    life.revoke = destroy_key;
    life.restore = restore_key;
    life.revoked = ENVOL_E_KEY_NOT_FOUND;
    cmk_life(&life);
    envol_provider_close(life.providers[1]);
}
END_TEST

/* Either opens; with the token's key gone for good the file's is left, and wraps for a new key. */
START_TEST(a_slot_beside_a_key_file)
{
    struct envol_provider *key_file = NULL;
    struct envol_cmk file = {NULL, NULL}, token = {softhsm.provider, NULL};
    struct envol_volume *volume = NULL;
    uint32_t id = 0;

    ck_ok(envol_key_file_create(test_path("cmk.key"), &softhsm.error));
    ck_ok(envol_file_provider_open(test_path("cmk.key"), &key_file));
    file.provider = key_file;
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_volume_create(store, &file, 1, NULL, &volume, &softhsm.error));
    test_fill(page, sizeof(page));
    ck_ok(envol_page_write(volume, 0, page));
    ck_ok(envol_volume_add_slot(volume, &token, NULL, &id, &softhsm.error));
    ck_assert_uint_eq(id, 2);
    ck_ok(envol_volume_close(volume));
    ck_page_is_there();
    destroy_key(&token);
    ck_assert_int_eq(open_volume(&volume), ENVOL_E_KEY_NOT_FOUND);
    ck_ok(envol_volume_open(store, &file, 1, NULL, &volume, &softhsm.error));
    softhsm_add_key(2, 32, CK_TRUE, CK_TRUE);
    envol_provider_close(softhsm.provider);
    token.provider = softhsm.provider = softhsm_open("id=%02");
    ck_ok(envol_volume_rewrap(volume, id, NULL, &token, NULL, &softhsm.error));
    ck_ok(envol_volume_close(volume));
    ck_page_is_there();
    envol_store_close(store);
    envol_provider_close(key_file);
}
END_TEST

static bool holds(const char *text, const uint8_t *bytes, size_t count)
{
    return memmem(bytes, count, text, strlen(text)) != NULL;
}

/* What a header says must not make anybody load a module, and is no place for a PIN. */
START_TEST(a_header_names_neither_module_nor_pin)
{
    static uint8_t header[65536];
    char uri[512];
    const struct envol_pkcs11_options options = {.struct_size = sizeof(options), .uri = uri};
    FILE *file;

    envol_provider_close(softhsm.provider);
    snprintf(uri, sizeof(uri), "pkcs11:id=%%01?pin-value=%s&module-path=%s", SOFTHSM_PIN,
             softhsm.module);
    ck_ok(envol_pkcs11_provider_open(&options, &softhsm.provider, &softhsm.error));
    create_volume();
    ck_page_is_there();
    envol_store_close(store);
    file = fopen(test_path("volume"), "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(header, 1, sizeof(header), file), sizeof(header));
    fclose(file);
    ck_assert(holds("pkcs11:serial=", header, sizeof(header)));
    ck_assert(!holds(SOFTHSM_PIN, header, sizeof(header)));
    ck_assert(!holds("module", header, sizeof(header)));
    ck_assert(!holds("libsofthsm2", header, sizeof(header)));
}
END_TEST

/* Threads and processes. */

enum { THREADS = 4, ROUNDS = 25 };

static void *work(void *unused)
{
    struct envol_key_request fresh = make_request(NULL), slot = make_request("");

    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct envol_wrapped_dek mine = {.struct_size = sizeof(mine)};
        uint8_t one[ENVOL_DEK_BYTES], back[ENVOL_DEK_BYTES];

        if (envol_provider_generate(softhsm.provider, &fresh, one, &mine, NULL) != ENVOL_OK ||
            envol_provider_unwrap(softhsm.provider, &slot, mine.wrapped, mine.wrapped_bytes, back,
                                  NULL) != ENVOL_OK ||
            memcmp(one, back, sizeof(one)) != 0)
            return (void *)work;
    }
    return NULL;
}

START_TEST(threads_use_one_provider)
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
END_TEST

static int unwrap_in_child(void *unused)
{
    struct envol_key_request request = make_request("");
    uint8_t back[ENVOL_DEK_BYTES];
    enum envol_status status = envol_provider_unwrap(softhsm.provider, &request, wrapped.wrapped,
                                                     wrapped.wrapped_bytes, back, &softhsm.error);

    (void)unused;
    if (status != ENVOL_OK || memcmp(back, dek, sizeof(dek)) != 0)
        return 1;
    envol_provider_close(softhsm.provider);
    return 0;
}

START_TEST(parent_and_child_both_use_it)
{
    generate();
    ck_assert_int_eq(test_in_child(unwrap_in_child, NULL), 0);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
    ck_assert_int_eq(test_in_child(unwrap_in_child, NULL), 0);
    ck_assert_int_eq(unwrap(), ENVOL_OK);
}
END_TEST

static void add_wrapping(Suite *suite)
{
    TCase *tests = softhsm_case(suite, "wrapping");

    tcase_add_test(tests, end_to_end);
    tcase_add_test(tests, a_key_is_found_by_label_too);
    tcase_add_test(tests, the_context_is_bound);
    tcase_add_test(tests, a_changed_blob_is_the_wrong_key);
    tcase_add_test(tests, another_key_is_the_wrong_key_or_not_the_one);
    tcase_add_test(tests, a_key_that_only_decrypts_opens);
    tcase_add_test(tests, a_wrong_pin_is_told_from_a_missing_one);
    tcase_add_test(tests, configured_modules_are_used_on_request_alone);
}

static void add_use(Suite *suite)
{
    TCase *tests = softhsm_case(suite, "use");

    tcase_add_test(tests, a_disabled_key_is_seen_at_once_and_comes_back);
    tcase_add_test(tests, a_destroyed_key_is_not_found_and_can_be_restored);
    tcase_add_test(tests, a_volume_goes_dark_with_its_key_and_comes_back);
    tcase_add_test(tests, a_volume_is_rewrapped_under_a_lease);
    tcase_add_test(tests, a_slot_beside_a_key_file);
    tcase_add_test(tests, a_header_names_neither_module_nor_pin);
    tcase_add_test(tests, threads_use_one_provider);
    tcase_add_test(tests, parent_and_child_both_use_it);
}

int main(void)
{
    Suite *suite = suite_create("pkcs11");

    add_wrapping(suite);
    add_use(suite);
    return test_run(suite);
}
