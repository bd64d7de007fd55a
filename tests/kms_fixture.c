/* SPDX-License-Identifier: BSD-2-Clause */
/* The fixture of the suites on providers. */
#include "kms_fixture.h"

#include "base/memory.h"
#include <string.h>

const struct envol_context_pair kms_pairs[3] = {
    {"envol:epoch", "1"},
    {"envol:purpose", "dek"},
    {"envol:volume", "0b3f1e5a-7d4c-4a8e-9a57-8b6f0d1c2e3f"},
};

struct kms_fixture kms;

static void set_up(void)
{
    kms = (struct kms_fixture){
        .wrapped.struct_size = sizeof(kms.wrapped),
        .second.struct_size = sizeof(kms.second),
        .error = ENVOL_ERROR_INIT,
    };
    kms.fake = fake_kms_new();
    fake_kms_add_key(kms.fake, REF);
    fake_kms_add_key(kms.fake, OTHER);
    kms.provider = fake_kms_open(kms.fake);
}

static void tear_down(void)
{
    envol_provider_close(kms.provider);
    fake_kms_free(kms.fake);
}

TCase *kms_case(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    suite_add_tcase(suite, tests);
    return tests;
}

struct envol_key_request kms_request(const char *key_ref, const char *key_version)
{
    return (struct envol_key_request){
        .struct_size = sizeof(struct envol_key_request),
        .key_ref = key_ref,
        .key_version = key_version,
        .context = kms_pairs,
        .context_pairs = 3,
    };
}

void kms_generate(void)
{
    struct envol_key_request request = kms_request(REF, NULL);

    ck_ok(envol_provider_generate(kms.provider, &request, kms.dek, &kms.wrapped, &kms.error));
}

void kms_fill_outputs(void)
{
    memset(kms.dek, 0xee, sizeof(kms.dek));
    memset(&kms.wrapped, 0xee, sizeof(kms.wrapped));
    kms.wrapped.struct_size = sizeof(kms.wrapped);
}

void ck_zero(const void *memory, size_t bytes)
{
    ck_assert_msg(envol_is_zero(memory, bytes), "an output of a failed call is not zeroed");
}

void ck_wrapped_empty(const struct envol_wrapped_dek *wrapped)
{
    ck_assert_uint_eq(wrapped->struct_size, sizeof(*wrapped));
    ck_zero((const char *)wrapped + sizeof(wrapped->struct_size),
            sizeof(*wrapped) - sizeof(wrapped->struct_size));
}

void ck_request_refused(const struct envol_key_request *slot, const struct envol_key_request *fresh,
                        enum envol_status expected)
{
    struct envol_key_request good = kms_request(REF, NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};
    unsigned calls = fake_kms_calls(kms.fake, FAKE_ANY);
    uint8_t in[ENVOL_DEK_BYTES] = {1}, blob[100] = {1};

    kms_fill_outputs();
    ck_status(envol_provider_unwrap(kms.provider, slot, blob, sizeof(blob), kms.dek, &kms.error),
              expected);
    ck_zero(kms.dek, sizeof(kms.dek));
    kms_fill_outputs();
    ck_status(
        envol_provider_rewrap(kms.provider, slot, blob, sizeof(blob), &good, &kms.wrapped, NULL),
        expected);
    ck_wrapped_empty(&kms.wrapped);
    kms_fill_outputs();
    ck_status(envol_provider_generate(kms.provider, fresh, kms.dek, &kms.wrapped, &kms.error),
              expected);
    ck_zero(kms.dek, sizeof(kms.dek));
    ck_wrapped_empty(&kms.wrapped);
    kms_fill_outputs();
    ck_status(envol_provider_wrap(kms.provider, fresh, in, &kms.wrapped, NULL), expected);
    ck_wrapped_empty(&kms.wrapped);
    ck_status(envol_provider_describe(kms.provider, fresh, &info, &kms.error), expected);
    ck_assert_int_eq(kms.error.status, expected);
    ck_assert_uint_gt(strlen(kms.error.message), 0);
    ck_assert_uint_eq(fake_kms_calls(kms.fake, FAKE_ANY), calls);
}
