/* SPDX-License-Identifier: BSD-2-Clause */
/* The fixture of the suites on PKCS#11, in builds that have it. */
#if defined(ENVOL_WITH_PKCS11)
#include "pkcs11_fixture.h"

#include "base/memory.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct envol_context_pair pkcs11_pairs[3] = {
    {"envol:epoch", "1"},
    {"envol:purpose", "dek"},
    {"envol:volume", "0b3f1e5a-7d4c-4a8e-9a57-8b6f0d1c2e3f"},
};

struct pkcs11_fixture pkcs11;

enum envol_status pkcs11_give_pin(void *ctx, const char *token, char *pin, size_t capacity,
                                  size_t *pin_bytes)
{
    ck_assert_ptr_eq(ctx, &pkcs11);
    ck_assert_uint_eq(capacity, ENVOL_PKCS11_PIN_MAX);
    pkcs11.pins_asked++;
    snprintf(pkcs11.pin_token, sizeof(pkcs11.pin_token), "%s", token);
    if (pkcs11.pin == NULL)
        return pkcs11.pin_status;
    *pin_bytes = strlen(pkcs11.pin);
    memcpy(pin, pkcs11.pin, *pin_bytes < capacity ? *pin_bytes : capacity);
    return ENVOL_OK;
}

struct envol_provider *pkcs11_open(const char *uri)
{
    const struct envol_pkcs11_options options = {
        .struct_size = sizeof(options),
        .uri = uri,
        .module_path = strstr(uri, "module-path") == NULL ? pkcs11.module : NULL,
        .pin = pkcs11_give_pin,
        .pin_ctx = &pkcs11,
    };
    struct envol_provider *provider = NULL;

    ck_ok(envol_pkcs11_provider_open(&options, &provider, &pkcs11.error));
    return provider;
}

/* The symbol's type is not what dlsym returns (POSIX, dlsym, application usage). */
static struct fake_token *load_token(void)
{
    void *module = dlopen(pkcs11.module, RTLD_NOW | RTLD_LOCAL);
    struct fake_token *(*get)(void);

    ck_assert_msg(module != NULL, "%s", dlerror());
    *(void **)&get = dlsym(module, "fake_pkcs11");
    ck_assert_ptr_nonnull((void *)(uintptr_t)get);
    return get();
}

static void set_up(void)
{
    char path[1024];

    memset(&pkcs11, 0, sizeof(pkcs11));
    pkcs11.error = (struct envol_error)ENVOL_ERROR_INIT;
    pkcs11.wrapped.struct_size = sizeof(pkcs11.wrapped);
    pkcs11.pin = "1234";
    snprintf(path, sizeof(path), "%s/tests/fake_pkcs11.so", test_build());
    ck_assert_msg(realpath(path, pkcs11.module) != NULL, "%s", path);
    pkcs11.token = load_token();
    pkcs11.provider = pkcs11_open("pkcs11:id=%01%02");
}

static void tear_down(void)
{
    envol_provider_close(pkcs11.provider);
}

TCase *pkcs11_case(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    suite_add_tcase(suite, tests);
    return tests;
}

struct envol_key_request pkcs11_request(const char *key_version)
{
    return (struct envol_key_request){
        .struct_size = sizeof(struct envol_key_request),
        .key_version = key_version,
        .context = pkcs11_pairs,
        .context_pairs = 3,
    };
}

enum envol_status pkcs11_generate(void)
{
    struct envol_key_request request = pkcs11_request(NULL);

    return ck_note(envol_provider_generate(pkcs11.provider, &request, pkcs11.dek, &pkcs11.wrapped,
                                           &pkcs11.error));
}

enum envol_status pkcs11_wrap(void)
{
    struct envol_key_request request = pkcs11_request(NULL);
    uint8_t dek[ENVOL_DEK_BYTES] = {1, 2, 3};

    return ck_note(
        envol_provider_wrap(pkcs11.provider, &request, dek, &pkcs11.wrapped, &pkcs11.error));
}

/* Without a DEK that was generated before, of a blob that is none of the token's. */
enum envol_status pkcs11_unwrap(void)
{
    struct envol_key_request request = pkcs11_request("");
    uint8_t dek[ENVOL_DEK_BYTES];
    enum envol_status status =
        ck_note(envol_provider_unwrap(pkcs11.provider, &request, pkcs11.wrapped.wrapped,
                                      pkcs11.wrapped.wrapped_bytes, dek, &pkcs11.error));

    if (status == ENVOL_OK)
        ck_assert_mem_eq(dek, pkcs11.dek, sizeof(dek));
    else
        ck_assert(envol_is_zero(dek, sizeof(dek)));
    return status;
}

enum envol_status pkcs11_describe(struct envol_key_info *info)
{
    struct envol_key_request request = pkcs11_request(NULL);

    *info = (struct envol_key_info){.struct_size = sizeof(*info)};
    return ck_note(envol_provider_describe(pkcs11.provider, &request, info, &pkcs11.error));
}

void pkcs11_unwraps(void)
{
    ck_assert_msg(pkcs11_unwrap() == ENVOL_OK, "%s", pkcs11.error.message);
}

void pkcs11_refuse(enum fake_call call, CK_RV code, int times)
{
    pkcs11.token->refuse[call].code = code;
    pkcs11.token->refuse[call].times = times;
}
#endif
