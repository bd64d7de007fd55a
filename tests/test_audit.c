/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit: an event for each use of a provider, what it says, and what it never holds. */
#include "base/memory.h"
#include "kms_fixture.h"

#include <envol/audit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 64 };

/* What the callback was told, copied. */
static struct {
    struct envol_audit_event event;
    char key_ref[128], key_version[32], to_key_ref[128], provider_code[64];
} heard[EVENTS];
static atomic_uint count;

static void listen(void *ctx, const struct envol_audit_event *event)
{
    unsigned i = atomic_fetch_add(&count, 1);

    ck_assert_ptr_eq(ctx, &count);
    ck_assert_uint_eq(event->struct_size, sizeof(*event));
    if (i >= EVENTS)
        return;
    heard[i].event = *event;
    strncpy(heard[i].key_ref, event->key_ref, sizeof(heard[i].key_ref) - 1);
    strncpy(heard[i].key_version, event->key_version, sizeof(heard[i].key_version) - 1);
    strncpy(heard[i].to_key_ref, event->to_key_ref, sizeof(heard[i].to_key_ref) - 1);
    strncpy(heard[i].provider_code, event->provider_code, sizeof(heard[i].provider_code) - 1);
}

static void hear(void)
{
    memset(heard, 0, sizeof(heard));
    atomic_store(&count, 0);
    ck_ok(envol_provider_set_audit(kms.provider, listen, &count));
}

static void ck_heard(unsigned i, enum envol_key_operation operation, enum envol_status status,
                     const char *key_ref, const char *key_version)
{
    const struct envol_audit_event *event = &heard[i].event;

    ck_assert_uint_gt(atomic_load(&count), i);
    ck_assert_int_eq(event->operation, operation);
    ck_assert_int_eq(event->status, status);
    ck_assert_str_eq(event->provider, "fake-kms");
    ck_assert_str_eq(heard[i].key_ref, key_ref);
    ck_assert_str_eq(heard[i].key_version, key_version);
}

START_TEST(every_operation)
{
    struct envol_key_request fresh = kms_request(NULL, NULL), slot = kms_request(REF, "1");
    struct envol_key_request other = kms_request(OTHER, NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};
    struct envol_provider *plain = fake_kms_open_without_rewrap(kms.fake);
    uint8_t dek[ENVOL_DEK_BYTES];

    hear();
    ck_ok(envol_provider_set_audit(plain, listen, &count));
    ck_ok(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error));
    ck_ok(envol_provider_wrap(kms.provider, &other, kms.dek, &kms.second, &kms.error));
    ck_ok(envol_provider_unwrap(kms.provider, &slot, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                dek, &kms.error));
    ck_ok(envol_provider_rewrap(kms.provider, &slot, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                &other, &kms.second, &kms.error));
    ck_ok(envol_provider_describe(kms.provider, &fresh, &info, &kms.error));
    ck_ok(envol_provider_rewrap(plain, &slot, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                &other, &kms.second, &kms.error));
    ck_assert_uint_eq(count, 7);
    ck_heard(0, ENVOL_KEY_GENERATE, ENVOL_OK, REF, "1");
    ck_heard(1, ENVOL_KEY_WRAP, ENVOL_OK, OTHER, "1");
    ck_heard(2, ENVOL_KEY_UNWRAP, ENVOL_OK, REF, "1");
    ck_heard(3, ENVOL_KEY_REWRAP, ENVOL_OK, REF, "1");
    ck_assert_str_eq(heard[3].to_key_ref, OTHER);
    ck_heard(4, ENVOL_KEY_DESCRIBE, ENVOL_OK, REF, "1");
    ck_heard(5, ENVOL_KEY_UNWRAP, ENVOL_OK, REF, "1"); /* what stands in for a rewrap */
    ck_heard(6, ENVOL_KEY_WRAP, ENVOL_OK, OTHER, "1");
    for (unsigned i = 0; i < 7; i++) {
        ck_assert_uint_eq(heard[i].event.attempts, 1);
        ck_assert_uint_eq(heard[i].event.context_pairs, 3);
        ck_assert_ptr_eq(heard[i].event.context, kms_pairs);
        ck_assert_uint_lt(heard[i].event.duration_us, 60000000);
        ck_assert_str_eq(heard[i].provider_code, "");
    }
    envol_provider_close(plain);
}
END_TEST

START_TEST(failures)
{
    struct envol_key_request fresh = kms_request(REF, NULL);
    int cancelled = 1;

    hear();
    fake_kms_set_state(kms.fake, REF, FAKE_KEY_DISABLED);
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, NULL),
              ENVOL_E_KEY_DISABLED);
    ck_heard(0, ENVOL_KEY_GENERATE, ENVOL_E_KEY_DISABLED, REF, "");
    ck_assert_str_eq(heard[0].provider_code, "DisabledException");
    fake_kms_set_state(kms.fake, REF, FAKE_KEY_ENABLED);
    fake_kms_misbehave(kms.fake, FAKE_REF_ESCAPE);
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, NULL),
              ENVOL_E_PROVIDER);
    ck_heard(1, ENVOL_KEY_GENERATE, ENVOL_E_PROVIDER, REF, "");
    fresh.cancel_flag = &cancelled;
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, NULL),
              ENVOL_E_CANCELLED);
    ck_heard(2, ENVOL_KEY_GENERATE, ENVOL_E_CANCELLED, REF, "");
    ck_assert_uint_eq(heard[2].event.attempts, 0);
    ck_assert_uint_eq(count, 3);
    fresh.context_pairs = 9999;
    fresh.context = NULL;
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, NULL),
              ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(count, 3); /* no use */
    ck_ok(envol_provider_set_audit(kms.provider, NULL, NULL));
    fresh = kms_request(REF, NULL);
    fake_kms_misbehave(kms.fake, FAKE_HONEST);
    ck_ok(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, NULL));
    ck_assert_uint_eq(count, 3);
    ck_status(envol_provider_set_audit(NULL, listen, NULL), ENVOL_E_ARGUMENT);
}
END_TEST

/* Whole volumes: each use is heard, and nothing that was heard is a secret. */
START_TEST(a_volume)
{
    struct envol_cmk cmks[2] = {{kms.provider, REF}, {kms.provider, OTHER}};
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_error error = ENVOL_ERROR_INIT;

    hear();
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_volume_create(store, cmks, 2, NULL, &volume, &error));
    ck_assert_uint_eq(count, fake_kms_calls(kms.fake, FAKE_ANY));
    ck_assert_uint_eq(count, 4);
    ck_ok(envol_volume_close(volume));
    ck_ok(envol_volume_open(store, &cmks[1], 1, NULL, &volume, &error));
    ck_assert_uint_eq(count, 5);
    ck_heard(4, ENVOL_KEY_UNWRAP, ENVOL_OK, OTHER, "1");
    ck_ok(envol_volume_rewrap(volume, 0, &cmks[1], &cmks[1], NULL, &error));
    ck_assert_uint_eq(count, 7);
    ck_assert(fake_kms_last_dek(kms.fake, dek));
    for (size_t i = 0; i + 8 <= ENVOL_DEK_BYTES; i++)
        ck_assert_ptr_null(memmem(heard, sizeof(heard), dek + i, 8));
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
}
END_TEST

static void *generate(void *unused)
{
    struct envol_key_request fresh = kms_request(REF, NULL);
    struct envol_wrapped_dek *wrapped = calloc(1, sizeof(*wrapped));
    uint8_t dek[ENVOL_DEK_BYTES];

    (void)unused;
    for (int i = 0; wrapped != NULL && i < 10; i++) {
        wrapped->struct_size = sizeof(*wrapped);
        (void)test_note("envol_provider_generate",
                        envol_provider_generate(kms.provider, &fresh, dek, wrapped, NULL));
    }
    free(wrapped);
    return NULL;
}

START_TEST(several_threads)
{
    pthread_t threads[4];

    hear();
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, generate, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(count, 40);
}
END_TEST

START_TEST(names)
{
    ck_assert_str_eq(envol_key_operation_name(ENVOL_KEY_GENERATE), "generate");
    ck_assert_str_eq(envol_key_operation_name(ENVOL_KEY_WRAP), "wrap");
    ck_assert_str_eq(envol_key_operation_name(ENVOL_KEY_UNWRAP), "unwrap");
    ck_assert_str_eq(envol_key_operation_name(ENVOL_KEY_REWRAP), "rewrap");
    ck_assert_str_eq(envol_key_operation_name(ENVOL_KEY_DESCRIBE), "describe");
    ck_assert_str_eq(envol_key_operation_name((enum envol_key_operation)6), "?");
    ck_assert_str_eq(envol_key_operation_name((enum envol_key_operation) - 1), "?");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("audit");
    TCase *tests = kms_case(suite, "audit");

    tcase_add_test(tests, every_operation);
    tcase_add_test(tests, failures);
    tcase_add_test(tests, a_volume);
    tcase_add_test(tests, several_threads);
    tcase_add_test(tests, names);
    return test_run(suite);
}
