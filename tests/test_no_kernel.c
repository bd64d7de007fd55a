/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine without AES: no instructions for it, and a libcrypto, if there is one, without
 * algorithms.  Volumes of both suites are neither made nor opened; there is no weaker way.
 */
#include "aes/kernel.h"
#include "base/cpu.h"
#include "children.h"
#include "fake_provider.h"
#include "store/store.h"
#include "support.h"

#include <envol/header_keys.h>
#include <string.h>
#include <unistd.h>
#if ENVOL_WITH_LIBCRYPTO
#include <openssl/provider.h>
#endif

#define KEY "arn:fake:key/1"

static const enum envol_suite suites[] = {ENVOL_SUITE_AES_256_GCM, ENVOL_SUITE_AES_256_XTS};
static const char *const names[] = {"gcm.vol", "xts.vol"};

struct machine {
    struct fake_kms *kms;
    struct envol_provider *provider;
    struct envol_cmk cmk;
};

static enum envol_status create(const struct machine *m, enum envol_suite suite,
                                struct envol_store *store, struct envol_volume **volume,
                                struct envol_error *error)
{
    const struct envol_header_params params = {.struct_size = sizeof(params), .suite = suite};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};

    return ck_note(envol_volume_create(store, &m->cmk, 1, &options, volume, error));
}

/* A build without libcrypto has no XTS where the processor does not help. */
static bool can_make(enum envol_suite suite)
{
    return envol_aes_kernel(suite == ENVOL_SUITE_AES_256_XTS) != NULL;
}

/* In a process of its own, so that nothing of its kernels is left in others. */
static int makes_volumes(void *argument)
{
    const struct machine *m = argument;
    struct envol_store *store;
    struct envol_volume *volume;
    uint8_t page[ENVOL_STRIDE_BYTES_DEFAULT] = "a page";

    for (size_t i = 0; i < 2; i++) {
        if (!can_make(suites[i]))
            continue;
        child_expects(envol_file_store_open(test_path(names[i]), ENVOL_FILE_CREATE, &store, NULL) ==
                      ENVOL_OK);
        child_expects(create(m, suites[i], store, &volume, NULL) == ENVOL_OK);
        child_expects(envol_page_write(volume, 0, page) == ENVOL_OK);
        child_expects(envol_volume_close(volume) == ENVOL_OK);
        envol_store_close(store);
    }
    return 0;
}

static bool take_aes_away(void)
{
    envol_cpu_mask(0);
#if ENVOL_WITH_LIBCRYPTO
    /* Before anything else uses libcrypto here: then the default provider is not loaded. */
    if (OSSL_PROVIDER_load(NULL, "null") == NULL)
        return false;
#endif
    return envol_aes_kernel(false) == NULL && envol_aes_kernel(true) == NULL;
}

/* Nothing is written, and no handle given. */
static int cannot_create(struct machine *m)
{
    struct envol_keyring *keyring;

    for (size_t i = 0; i < 2; i++) {
        struct envol_error error = ENVOL_ERROR_INIT;
        struct envol_volume *volume = (void *)m;
        struct envol_store *store;
        uint64_t bytes = 1;

        child_expects(envol_memory_store_open(&store) == ENVOL_OK);
        child_expects(create(m, suites[i], store, &volume, &error) == ENVOL_E_UNSUPPORTED);
        child_expects(volume == NULL && error.status == ENVOL_E_UNSUPPORTED);
        child_expects(envol_store_size(store, &bytes, NULL) == ENVOL_OK && bytes == 0);
        envol_store_close(store);
    }
    child_expects(ck_note(envol_keyring_temporary(NULL, 0, &keyring)) == ENVOL_E_UNSUPPORTED);
    return 0;
}

/* For writing and for reading; the volume is as it was. */
static int cannot_open(const struct machine *m, const char *name)
{
    static uint8_t before[1 << 17], after[1 << 17];
    const struct envol_volume_options reader = {.struct_size = sizeof(reader),
                                                .flags = ENVOL_OPEN_READ_ONLY};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_volume *volume;
    struct envol_store *store;
    uint64_t bytes;

    child_expects(envol_file_store_open(test_path(name), 0, &store, NULL) == ENVOL_OK);
    child_expects(envol_store_size(store, &bytes, NULL) == ENVOL_OK && bytes <= sizeof(before));
    child_expects(envol_store_read_full(store, 0, before, bytes, NULL) == ENVOL_OK);
    for (int read_only = 0; read_only <= 1; read_only++) {
        volume = (void *)&error;
        child_expects(ck_note(envol_volume_open(store, &m->cmk, 1, read_only ? &reader : NULL,
                                                &volume, &error)) == ENVOL_E_UNSUPPORTED);
        child_expects(volume == NULL && error.status == ENVOL_E_UNSUPPORTED);
    }
    child_expects(envol_store_read_full(store, 0, after, bytes, NULL) == ENVOL_OK);
    child_expects(memcmp(before, after, bytes) == 0);
    envol_store_close(store);
    return 0;
}

static int has_no_aes(void *argument)
{
    struct machine *m = argument;
    int result;

    if (!take_aes_away())
        return 1;
    result = cannot_create(m);
    for (size_t i = 0; result == 0 && i < 2; i++)
        if (access(test_path(names[i]), F_OK) == 0)
            result = cannot_open(m, names[i]);
    return result;
}

static int has_aes(void *argument)
{
    const struct machine *m = argument;
    uint8_t page[ENVOL_STRIDE_BYTES_DEFAULT];
    struct envol_volume *volume;
    struct envol_store *store;

    for (size_t i = 0; i < 2; i++) {
        if (!can_make(suites[i]))
            continue;
        child_expects(envol_file_store_open(test_path(names[i]), 0, &store, NULL) == ENVOL_OK);
        child_expects(envol_volume_open(store, &m->cmk, 1, NULL, &volume, NULL) == ENVOL_OK);
        child_expects(envol_page_read(volume, 0, page) == ENVOL_OK);
        child_expects(strcmp((const char *)page, "a page") == 0);
        child_expects(envol_volume_close(volume) == ENVOL_OK);
        envol_store_close(store);
    }
    return 0;
}

/* All in children: this process uses no kernel, so that each of them starts anew. */
START_TEST(no_volume_without_aes)
{
    struct machine m = {.kms = fake_kms_new()};

    fake_kms_add_key(m.kms, KEY);
    m.provider = fake_kms_open(m.kms);
    m.cmk = (struct envol_cmk){m.provider, KEY};
    ck_assert(test_path("")[0] != '\0');
    ck_assert_int_eq(test_in_child(makes_volumes, &m), 0);
    ck_assert_int_eq(test_in_child(has_no_aes, &m), 0);
    ck_assert_int_eq(test_in_child(has_aes, &m), 0);
    envol_provider_close(m.provider);
    fake_kms_free(m.kms);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("no_kernel");
    TCase *tcase = tcase_create("volumes");

    tcase_add_test(tcase, no_volume_without_aes);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
