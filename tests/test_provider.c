/* SPDX-License-Identifier: BSD-2-Clause */
/* Providers as handles, the encryption context, and calls that go well or are refused early. */
#include "kms_fixture.h"

#include "base/memory.h"
#include "base/uuid.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Handles. */

static unsigned closed_states;

static void count_close(void *state)
{
    (void)state;
    closed_states++;
}

static enum envol_status no_generate(void *state, const struct envol_key_request *request,
                                     uint8_t out[ENVOL_DEK_BYTES], struct envol_wrapped_dek *blob,
                                     struct envol_error *details)
{
    (void)state, (void)request, (void)out, (void)blob, (void)details;
    return ENVOL_E_UNREACHABLE;
}

static enum envol_status no_wrap(void *state, const struct envol_key_request *request,
                                 const uint8_t in[ENVOL_DEK_BYTES], struct envol_wrapped_dek *blob,
                                 struct envol_error *details)
{
    (void)state, (void)request, (void)in, (void)blob, (void)details;
    return ENVOL_E_UNREACHABLE;
}

static enum envol_status no_unwrap(void *state, const struct envol_key_request *request,
                                   const void *blob, size_t blob_bytes, uint8_t *out,
                                   size_t capacity, size_t *bytes, struct envol_error *details)
{
    (void)state, (void)request, (void)blob, (void)blob_bytes;
    (void)out, (void)capacity, (void)bytes, (void)details;
    return ENVOL_E_UNREACHABLE;
}

static enum envol_status no_rewrap(void *state, const struct envol_key_request *from,
                                   const void *blob, size_t blob_bytes,
                                   const struct envol_key_request *to,
                                   struct envol_wrapped_dek *out, struct envol_error *details)
{
    (void)state, (void)from, (void)blob, (void)blob_bytes, (void)to, (void)out, (void)details;
    return ENVOL_E_UNSUPPORTED;
}

static enum envol_status no_describe(void *state, const struct envol_key_request *request,
                                     struct envol_key_info *info, struct envol_error *details)
{
    (void)state, (void)request, (void)info, (void)details;
    return ENVOL_E_UNREACHABLE;
}

static struct envol_provider_vtable silent_vtable(void)
{
    return (struct envol_provider_vtable){
        .struct_size = sizeof(struct envol_provider_vtable),
        .name = "silent",
        .generate = no_generate,
        .wrap = no_wrap,
        .unwrap = no_unwrap,
        .rewrap = no_rewrap,
        .describe = no_describe,
        .close = count_close,
    };
}

static void ck_refused(const struct envol_provider_vtable *vtable)
{
    struct envol_provider *made = (struct envol_provider *)&closed_states;
    unsigned before = closed_states;

    ck_status(envol_provider_open(vtable, NULL, &made), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(made);
    ck_assert_uint_eq(closed_states, before + 1);
}

START_TEST(open_refuses_bad_names)
{
    static const char *const bad[] = {
        "", "AWS", "a b", "a_b", "a/b", "\xc3\xa4", "a23456789012345678901234567890123"};
    struct envol_provider_vtable vtable = silent_vtable();
    struct envol_provider *made;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        vtable.name = bad[i];
        ck_refused(&vtable);
    }
    vtable.name = NULL;
    ck_refused(&vtable);
    vtable.name = "a2345678901234567890123456789-12";
    ck_ok(envol_provider_open(&vtable, NULL, &made));
    ck_assert_str_eq(envol_provider_name(made), vtable.name);
    envol_provider_close(made);
}
END_TEST

START_TEST(open_refuses_missing_functions)
{
    struct envol_provider_vtable vtable;

    vtable = silent_vtable();
    vtable.generate = NULL;
    ck_refused(&vtable);
    vtable = silent_vtable();
    vtable.wrap = NULL;
    ck_refused(&vtable);
    vtable = silent_vtable();
    vtable.unwrap = NULL;
    ck_refused(&vtable);
    vtable = silent_vtable();
    vtable.describe = NULL;
    ck_refused(&vtable);
    vtable = silent_vtable();
    vtable.rewrap = NULL;
    vtable.capabilities = ENVOL_PROVIDER_REWRAPS;
    ck_refused(&vtable);
}
END_TEST

START_TEST(open_refuses_short_or_no_vtable)
{
    struct envol_provider_vtable vtable = silent_vtable();
    struct envol_provider *made;

    ck_status(envol_provider_open(NULL, NULL, &made), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(made);
    ck_status(envol_provider_open(&vtable, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(closed_states, 1);
    vtable.struct_size = sizeof(vtable) - 1;
    ck_status(envol_provider_open(&vtable, NULL, &made), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(made);
    ck_assert_uint_eq(closed_states, 1); /* a struct that short has no close */
}
END_TEST

static void *no_memory(void *ctx, size_t bytes, size_t align)
{
    (void)ctx, (void)bytes, (void)align;
    return NULL;
}

static void free_nothing(void *ctx, void *memory)
{
    (void)ctx, (void)memory;
}

START_TEST(open_without_memory_closes_the_state)
{
    struct envol_allocator allocator = {sizeof(allocator), NULL, no_memory, free_nothing};
    struct envol_provider_vtable vtable = silent_vtable();
    struct envol_provider *made = (struct envol_provider *)&allocator;

    ck_assert_int_eq(envol_set_allocator(&allocator), ENVOL_OK);
    ck_status(envol_provider_open(&vtable, NULL, &made), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(made);
    ck_assert_uint_eq(closed_states, 1);
    made = (struct envol_provider *)&allocator;
    ck_status(envol_file_provider_open("key", &made), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(made);
    ck_assert_int_eq(envol_set_allocator(NULL), ENVOL_OK);
}
END_TEST

START_TEST(close_closes_once_and_takes_null)
{
    struct envol_provider *another = fake_kms_open_without_rewrap(kms.fake);

    ck_assert_uint_eq(envol_provider_capabilities(another), ENVOL_PROVIDER_BINDS_CONTEXT |
                                                                ENVOL_PROVIDER_GENERATES |
                                                                ENVOL_PROVIDER_LOCAL);
    envol_provider_close(another);
    ck_assert_uint_eq(fake_kms_closed(kms.fake), 1);
    envol_provider_close(NULL);
}
END_TEST

/* Encryption context. */

START_TEST(context_is_encoded_to_the_byte)
{
    static const struct envol_context_pair two[] = {{"a", "xyz"}, {"b", ""}};
    uint8_t out[64];
    size_t bytes;

    ck_ok(envol_context_encode(two, 2, out, sizeof(out), &bytes));
    ck_assert_uint_eq(bytes, 21);
    ck_mem_hex(out, "010000006103000000"
                    "78797a"
                    "0100000062"
                    "00000000");
    ck_ok(envol_context_encode(NULL, 0, NULL, 0, &bytes));
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

START_TEST(context_that_does_not_fit_says_what_it_needs)
{
    size_t needed, bytes;
    uint8_t out[256];

    ck_status(envol_context_encode(kms_pairs, 3, NULL, 0, &needed), ENVOL_E_RANGE);
    ck_assert_uint_eq(needed, 6 * 4 + 11 + 1 + 13 + 3 + 12 + 36);
    for (size_t capacity = 0; capacity < needed; capacity++) {
        memset(out, 0xee, sizeof(out));
        ck_status(envol_context_encode(kms_pairs, 3, out, capacity, &bytes), ENVOL_E_RANGE);
        ck_assert_uint_eq(bytes, needed);
        ck_zero(out, capacity);
        ck_assert_uint_eq(out[capacity], 0xee);
    }
    ck_ok(envol_context_encode(kms_pairs, 3, out, needed, &bytes));
    ck_assert_uint_eq(bytes, needed);
}
END_TEST

START_TEST(context_must_be_canonical)
{
    static const struct envol_context_pair bad[][2] = {
        {{"b", "1"}, {"a", "1"}},  {{"a", "1"}, {"a", "2"}}, {{NULL, "1"}, {"a", "1"}},
        {{"a", NULL}, {"b", "1"}}, {{"", "1"}, {"a", "1"}},  {{"\xc3\xa4", "1"}, {"z", "1"}},
    };
    uint8_t out[64];
    size_t bytes;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(out, 0xee, sizeof(out));
        bytes = 7;
        ck_status(envol_context_encode(bad[i], 2, out, sizeof(out), &bytes), ENVOL_E_ARGUMENT);
        ck_assert_uint_eq(bytes, 0);
        ck_zero(out, sizeof(out));
    }
    ck_status(envol_context_encode(NULL, 1, out, sizeof(out), &bytes), ENVOL_E_ARGUMENT);
    ck_status(envol_context_encode(kms_pairs, 3, NULL, 8, &bytes), ENVOL_E_ARGUMENT);
    ck_status(envol_context_encode(kms_pairs, 3, out, sizeof(out), NULL), ENVOL_E_ARGUMENT);
}
END_TEST

/* UUIDs, which providers and headers name things by. */

START_TEST(uuids_are_random_and_well_formed)
{
    static const uint8_t known[ENVOL_UUID_BYTES] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                                    0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    uint8_t uuid[2][ENVOL_UUID_BYTES];
    char text[ENVOL_UUID_TEXT_BYTES];

    envol_uuid_format(known, text);
    ck_assert_str_eq(text, "01234567-89ab-cdef-fedc-ba9876543210");
    ck_assert_int_eq(envol_uuid_make(uuid[0]), ENVOL_OK);
    ck_assert_int_eq(envol_uuid_make(uuid[1]), ENVOL_OK);
    ck_assert_mem_ne(uuid[0], uuid[1], ENVOL_UUID_BYTES);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(uuid[i][6] >> 4, 4);
        ck_assert_uint_eq(uuid[i][8] >> 6, 2);
    }
}
END_TEST

/* Calls that succeed. */

START_TEST(generate_wrap_unwrap)
{
    struct envol_key_request to = kms_request(OTHER, NULL), from;
    uint8_t again[ENVOL_DEK_BYTES], told[ENVOL_DEK_BYTES];

    kms_generate();
    ck_assert_str_eq(kms.wrapped.key_ref, REF);
    ck_assert_str_eq(kms.wrapped.key_version, "1");
    ck_assert(fake_kms_last_dek(kms.fake, told));
    ck_assert_mem_eq(kms.dek, told, sizeof(kms.dek));
    from = kms_request(REF, "1");
    ck_ok(envol_provider_unwrap(kms.provider, &from, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                again, NULL));
    ck_assert_mem_eq(kms.dek, again, sizeof(kms.dek));
    ck_ok(envol_provider_wrap(kms.provider, &to, kms.dek, &kms.second, NULL));
    ck_assert_str_eq(kms.second.key_ref, OTHER);
    from = kms_request(OTHER, "1");
    ck_ok(envol_provider_unwrap(kms.provider, &from, kms.second.wrapped, kms.second.wrapped_bytes,
                                again, &kms.error));
    ck_assert_mem_eq(kms.dek, again, sizeof(kms.dek));
    ck_assert_int_eq(kms.error.status, ENVOL_OK);
    ck_assert_uint_eq(fake_kms_calls(kms.fake, FAKE_ANY), 4);
}
END_TEST

START_TEST(the_default_key_is_used_for_null)
{
    struct envol_key_request request = kms_request(NULL, NULL);

    ck_ok(envol_provider_generate(kms.provider, &request, kms.dek, &kms.wrapped, &kms.error));
    ck_assert_str_eq(kms.wrapped.key_ref, REF);
    ck_assert_str_eq(fake_kms_last_key_ref(kms.fake), "");
}
END_TEST

static void rewrap_and_open(enum fake_operation expected, unsigned calls)
{
    struct envol_key_request from = kms_request(REF, "1"), to = kms_request(OTHER, NULL);
    uint8_t again[ENVOL_DEK_BYTES];

    ck_ok(envol_provider_rewrap(kms.provider, &from, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                &to, &kms.second, &kms.error));
    ck_assert_uint_eq(fake_kms_calls(kms.fake, expected), 1);
    ck_assert_uint_eq(fake_kms_calls(kms.fake, FAKE_ANY), 1 + calls);
    ck_assert_str_eq(kms.second.key_ref, OTHER);
    from = kms_request(OTHER, kms.second.key_version);
    ck_ok(envol_provider_unwrap(kms.provider, &from, kms.second.wrapped, kms.second.wrapped_bytes,
                                again, &kms.error));
    ck_assert_mem_eq(kms.dek, again, sizeof(kms.dek));
}

START_TEST(rewrap_inside_the_service)
{
    kms_generate();
    rewrap_and_open(FAKE_REWRAP, 1);
}
END_TEST

START_TEST(rewrap_falls_back_where_there_is_none)
{
    envol_provider_close(kms.provider);
    kms.provider = fake_kms_open_without_rewrap(kms.fake);
    kms_generate();
    rewrap_and_open(FAKE_WRAP, 2);
}
END_TEST

START_TEST(rewrap_falls_back_where_these_keys_cannot)
{
    kms_generate();
    fake_kms_fail(kms.fake, FAKE_REWRAP, 1, ENVOL_E_UNSUPPORTED);
    rewrap_and_open(FAKE_WRAP, 3);
}
END_TEST

START_TEST(describe_tells_state_and_version)
{
    struct envol_key_request request = kms_request(OTHER, NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    fake_kms_rotate(kms.fake, OTHER);
    ck_ok(envol_provider_describe(kms.provider, &request, &info, &kms.error));
    ck_assert_int_eq(info.state, ENVOL_KEY_ENABLED);
    ck_assert_str_eq(info.key_ref, OTHER);
    ck_assert_str_eq(info.key_version, "2");
    fake_kms_set_state(kms.fake, OTHER, FAKE_KEY_DISABLED);
    ck_ok(envol_provider_describe(kms.provider, &request, &info, &kms.error));
    ck_assert_int_eq(info.state, ENVOL_KEY_DISABLED);
    fake_kms_set_state(kms.fake, OTHER, FAKE_KEY_PENDING_DELETION);
    ck_ok(envol_provider_describe(kms.provider, &request, &info, &kms.error));
    ck_assert_int_eq(info.state, ENVOL_KEY_PENDING_DELETION);
}
END_TEST

START_TEST(longest_reference_and_blob_pass)
{
    char longest[ENVOL_KEY_REF_MAX + 1];
    struct envol_key_request request;
    uint8_t again[ENVOL_DEK_BYTES];

    memset(longest, 'k', ENVOL_KEY_REF_MAX);
    longest[ENVOL_KEY_REF_MAX] = '\0';
    fake_kms_add_key(kms.fake, longest);
    fake_kms_misbehave(kms.fake, FAKE_BLOB_6144);
    request = kms_request(longest, NULL);
    ck_ok(envol_provider_generate(kms.provider, &request, kms.dek, &kms.wrapped, &kms.error));
    ck_assert_uint_eq(kms.wrapped.wrapped_bytes, ENVOL_WRAPPED_MAX);
    ck_assert_uint_eq(strlen(kms.wrapped.key_ref), ENVOL_KEY_REF_MAX);
    request = kms_request(longest, kms.wrapped.key_version);
    ck_ok(envol_provider_unwrap(kms.provider, &request, kms.wrapped.wrapped,
                                kms.wrapped.wrapped_bytes, again, &kms.error));
    ck_assert_mem_eq(kms.dek, again, sizeof(kms.dek));
}
END_TEST

/* Arguments: refused before the service is called. */

START_TEST(requests_are_bounded)
{
    char too_long[ENVOL_KEY_REF_MAX + 2] = "";
    struct envol_key_request slot = kms_request(REF, "1"), fresh = kms_request(REF, NULL);

    memset(too_long, 'k', ENVOL_KEY_REF_MAX + 1);
    slot.key_ref = fresh.key_ref = too_long;
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    slot.key_ref = fresh.key_ref = "";
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    slot.key_ref = fresh.key_ref = "a\r\nX-Header: b";
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    slot = kms_request(REF, too_long);
    fresh = kms_request(REF, too_long);
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    slot = kms_request(REF, NULL); /* a slot has a version, if only "" */
    fresh = kms_request(REF, "1"); /* a new wrapping takes the newest */
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    ck_request_refused(NULL, NULL, ENVOL_E_ARGUMENT);
    slot = kms_request(REF, "1");
    fresh = kms_request(REF, NULL);
    slot.flags = fresh.flags = 4;
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    slot.flags = fresh.flags = 0;
    slot.struct_size = fresh.struct_size = sizeof(slot) - 1;
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
}
END_TEST

START_TEST(contexts_are_checked)
{
    static const struct envol_context_pair unsorted[] = {{"b", "1"}, {"a", "1"}};
    static char large[ENVOL_CONTEXT_BYTES_MAX + 1];
    struct envol_context_pair one = {"a", large};
    struct envol_key_request slot = kms_request(REF, "1"), fresh = kms_request(REF, NULL);

    slot.context = fresh.context = unsorted;
    slot.context_pairs = fresh.context_pairs = 2;
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    slot.context = fresh.context = NULL;
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    slot.context = fresh.context = &one;
    slot.context_pairs = fresh.context_pairs = 1;
    memset(large, 'v', ENVOL_CONTEXT_BYTES_MAX - 9 + 1);
    ck_request_refused(&slot, &fresh, ENVOL_E_ARGUMENT);
    large[ENVOL_CONTEXT_BYTES_MAX - 9] = '\0';
    ck_ok(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error));
}
END_TEST

START_TEST(outputs_and_inputs_are_checked)
{
    struct envol_key_request fresh = kms_request(REF, NULL), slot = kms_request(REF, "1");
    struct envol_key_info info = {.struct_size = sizeof(info) - 1};
    uint8_t zero[ENVOL_DEK_BYTES] = {0};

    kms_generate();
    ck_status(envol_provider_generate(NULL, &fresh, kms.dek, &kms.wrapped, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_generate(kms.provider, &fresh, NULL, &kms.wrapped, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, NULL, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_wrap(kms.provider, &fresh, zero, &kms.wrapped, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_wrap(kms.provider, &fresh, NULL, &kms.wrapped, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_unwrap(kms.provider, &slot, NULL, 8, kms.dek, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_unwrap(kms.provider, &slot, zero, 0, kms.dek, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_unwrap(kms.provider, &slot, zero, 6145, kms.dek, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_unwrap(kms.provider, &slot, zero, 8, NULL, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_rewrap(kms.provider, &slot, zero, 8, NULL, &kms.second, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_rewrap(kms.provider, &slot, zero, 8, &fresh, NULL, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_provider_describe(kms.provider, &fresh, NULL, &kms.error), ENVOL_E_ARGUMENT);
    ck_status(envol_provider_describe(kms.provider, &fresh, &info, &kms.error), ENVOL_E_ARGUMENT);
    kms.wrapped.struct_size = sizeof(kms.wrapped) - 1;
    ck_status(envol_provider_generate(kms.provider, &fresh, kms.dek, &kms.wrapped, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(fake_kms_calls(kms.fake, FAKE_ANY), 1);
}
END_TEST

START_TEST(rewrap_in_place_keeps_the_only_wrapping)
{
    struct envol_key_request from = kms_request(REF, "1"), to = kms_request(OTHER, NULL);
    uint8_t again[ENVOL_DEK_BYTES];

    kms_generate();
    ck_status(envol_provider_rewrap(kms.provider, &from, kms.wrapped.wrapped,
                                    kms.wrapped.wrapped_bytes, &to, &kms.wrapped, &kms.error),
              ENVOL_E_ARGUMENT);
    ck_ok(envol_provider_unwrap(kms.provider, &from, kms.wrapped.wrapped, kms.wrapped.wrapped_bytes,
                                again, &kms.error));
    ck_assert_mem_eq(kms.dek, again, sizeof(kms.dek));
}
END_TEST

START_TEST(a_silent_failure_gets_a_message)
{
    struct envol_provider_vtable vtable = silent_vtable();
    struct envol_key_request fresh = kms_request(REF, NULL), slot = kms_request(REF, "1");
    struct envol_key_info info = {.struct_size = sizeof(info)};
    struct envol_provider *silent;
    uint8_t in[ENVOL_DEK_BYTES] = {1};

    ck_ok(envol_provider_open(&vtable, NULL, &silent));
    ck_status(envol_provider_describe(silent, &fresh, &info, &kms.error), ENVOL_E_UNREACHABLE);
    ck_assert_msg(strncmp(kms.error.message, "silent: ", 8) == 0, "%s", kms.error.message);
    ck_status(envol_provider_generate(silent, &fresh, kms.dek, &kms.wrapped, NULL),
              ENVOL_E_UNREACHABLE);
    ck_status(envol_provider_wrap(silent, &fresh, in, &kms.wrapped, NULL), ENVOL_E_UNREACHABLE);
    ck_status(
        envol_provider_rewrap(silent, &slot, in, sizeof(in), &fresh, &kms.wrapped, &kms.error),
        ENVOL_E_UNREACHABLE); /* by unwrap, to which it falls back */
    envol_provider_close(silent);
}
END_TEST

/* Threads share a provider. */

static void *use_provider(void *unused)
{
    struct envol_key_request fresh = kms_request(REF, NULL), slot = kms_request(REF, "1");
    struct envol_wrapped_dek *blob = calloc(1, sizeof(*blob));
    uint8_t one[ENVOL_DEK_BYTES], two[ENVOL_DEK_BYTES];
    bool good = blob != NULL;

    for (int i = 0; good && i < 50; i++) {
        blob->struct_size = sizeof(*blob);
        good = envol_provider_generate(kms.provider, &fresh, one, blob, NULL) == ENVOL_OK &&
               envol_provider_unwrap(kms.provider, &slot, blob->wrapped, blob->wrapped_bytes, two,
                                     NULL) == ENVOL_OK &&
               memcmp(one, two, sizeof(one)) == 0;
    }
    free(blob);
    return good ? unused : NULL;
}

START_TEST(four_threads_share_a_provider)
{
    pthread_t threads[4];
    int mark;

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_provider, &mark), 0);
    for (int i = 0; i < 4; i++) {
        void *result = NULL;

        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_eq(result, &mark);
    }
    ck_assert_uint_eq(fake_kms_calls(kms.fake, FAKE_ANY), 400);
}
END_TEST

static void add_handles(Suite *suite)
{
    TCase *tests = kms_case(suite, "handles and context");

    tcase_add_test(tests, open_refuses_bad_names);
    tcase_add_test(tests, open_refuses_missing_functions);
    tcase_add_test(tests, open_refuses_short_or_no_vtable);
    tcase_add_test(tests, open_without_memory_closes_the_state);
    tcase_add_test(tests, close_closes_once_and_takes_null);
    tcase_add_test(tests, context_is_encoded_to_the_byte);
    tcase_add_test(tests, context_that_does_not_fit_says_what_it_needs);
    tcase_add_test(tests, context_must_be_canonical);
    tcase_add_test(tests, uuids_are_random_and_well_formed);
}

static void add_calls(Suite *suite)
{
    TCase *tests = kms_case(suite, "calls");

    tcase_add_test(tests, generate_wrap_unwrap);
    tcase_add_test(tests, the_default_key_is_used_for_null);
    tcase_add_test(tests, rewrap_inside_the_service);
    tcase_add_test(tests, rewrap_falls_back_where_there_is_none);
    tcase_add_test(tests, rewrap_falls_back_where_these_keys_cannot);
    tcase_add_test(tests, describe_tells_state_and_version);
    tcase_add_test(tests, longest_reference_and_blob_pass);
    tcase_add_test(tests, requests_are_bounded);
    tcase_add_test(tests, contexts_are_checked);
    tcase_add_test(tests, outputs_and_inputs_are_checked);
    tcase_add_test(tests, rewrap_in_place_keeps_the_only_wrapping);
    tcase_add_test(tests, a_silent_failure_gets_a_message);
    tcase_add_test(tests, four_threads_share_a_provider);
}

int main(void)
{
    Suite *suite = suite_create("provider");

    add_handles(suite);
    add_calls(suite);
    return test_run(suite);
}
