/* SPDX-License-Identifier: BSD-2-Clause */
/* Creating, closing and describing volumes: provider calls, slots, anchors, what is left behind. */
#include "base/memory.h"
#include "support.h"
#include "volume_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Life of a volume --- */

START_TEST(create_write_close_open_read)
{
    struct volume_fixture f;
    struct envol_volume_info info;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_GENERATE), 1);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_UNWRAP), 1);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), 2);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 0);
    for (uint64_t i = 0; i < 5; i++)
        volume_page_put(&f, i, 1);
    volume_fixture_reopen(&f);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_UNWRAP), 2);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), 3);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 5);
    for (uint64_t i = 0; i < 5; i++)
        volume_page_expect(&f, i, 1);
    volume_page_expect_status(&f, 5, ENVOL_E_RANGE);
    info = volume_info_of(&f);
    ck_assert_int_eq(info.header.verified, 1);
    ck_assert_int_eq(info.header.suite, f.shape->suite);
    ck_assert_int_eq(info.header.sparse, f.shape->sparse);
    ck_assert_uint_eq(info.header.page_bytes, f.page_bytes);
    ck_assert_uint_eq(info.header.stride_bytes, f.stride_bytes);
    ck_assert_uint_eq(info.header.high_water, 5);
    ck_assert_int_eq(info.header.clean, 1);
    ck_assert_uint_eq(info.header.slots, 1);
    ck_assert_uint_eq(info.header.seal_estimate, 5);
    ck_assert_uint_eq(info.pages, 5);
    ck_assert_uint_eq(info.opened_slot, 1);
    ck_assert_int_eq(info.read_only, 0);
    ck_assert_int_eq(info.keys_locked, 1);
    ck_assert_str_eq(info.kernel, envol_volume_keyring(f.volume)->kernel->name);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(no_plaintext_in_the_store)
{
    struct volume_fixture f;
    uint64_t bytes;
    uint8_t *image;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    memset(f.page, 'A', f.page_bytes);
    ck_ok(envol_page_write(f.volume, 0, f.page));
    bytes = volume_store_bytes(f.store);
    image = malloc(bytes);
    ck_assert_ptr_nonnull(image);
    volume_store_get(f.store, 0, image, bytes);
    ck_assert_ptr_null(memmem(image, bytes, f.page, 16));
    free(image);
    volume_fixture_free(&f);
}
END_TEST

/* Nothing changed: nothing is written. */
START_TEST(an_idle_writer_leaves_the_header_alone)
{
    struct volume_fixture f;
    unsigned writes;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    volume_fixture_reopen(&f);
    writes = watched_header_writes(f.watched);
    volume_page_expect(&f, 0, 1);
    ck_ok(envol_volume_sync(f.volume));
    volume_fixture_reopen(&f);
    ck_assert_uint_eq(watched_header_writes(f.watched), writes);
    volume_page_put(&f, 0, 2);
    volume_fixture_reopen(&f);
    /* The first update of a handle writes the copy that it found once more. */
    ck_assert_uint_eq(watched_header_writes(f.watched), writes + 3);
    ck_assert_uint_eq(volume_info_of(&f).header.seal_estimate, 2);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(close_tells_of_a_failure_and_is_done)
{
    struct volume_fixture f;
    struct envol_volume *volume;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    ck_ok(envol_volume_sync(f.volume));
    volume = f.volume;
    watched_fail(f.watched, WATCHED_SYNC, 1, ENVOL_E_IO);
    f.volume = NULL;
    ck_status(envol_volume_close(volume), ENVOL_E_IO);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_expect(&f, 0, 1);
    volume_fixture_free(&f);
    ck_ok(envol_volume_close(NULL));
}
END_TEST

START_TEST(data_may_start_later)
{
    const struct envol_header_params params = {.struct_size = sizeof(params),
                                               .data_offset = 1 << 20};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[2]))
        return;
    volume_fixture_close(&f);
    envol_store_close(f.store);
    ck_ok(envol_memory_store_open(&f.store));
    ck_ok(envol_volume_create(f.store, &f.cmk, 1, &options, &f.volume, &f.error));
    volume_page_put(&f, 1, 1);
    volume_fixture_reopen(&f);
    volume_page_expect(&f, 1, 1);
    volume_page_expect_status(&f, 0, ENVOL_E_UNWRITTEN);
    ck_assert_uint_eq(volume_store_bytes(f.store), (1 << 20) + 2 * 16384);
    volume_fixture_free(&f);
}
END_TEST

/* --- Creating --- */

/* What a creation needs beside a volume. */
struct scene {
    struct fake_kms *kms;
    struct envol_provider *provider;
    struct envol_cmk cmks[ENVOL_SLOTS_MAX + 1];
    struct watched_store *watched;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_error error;
};

static struct scene scene_new(void)
{
    static char refs[ENVOL_SLOTS_MAX + 1][16];
    struct scene s = {.error = ENVOL_ERROR_INIT};

    s.kms = fake_kms_new();
    s.provider = fake_kms_open(s.kms);
    for (size_t i = 0; i <= ENVOL_SLOTS_MAX; i++) {
        snprintf(refs[i], sizeof(refs[i]), "key/%zu", i + 1);
        if (i < ENVOL_SLOTS_MAX)
            fake_kms_add_key(s.kms, refs[i]);
        s.cmks[i] = (struct envol_cmk){s.provider, refs[i]};
    }
    s.watched = watched_store_new(&s.store);
    return s;
}

static void scene_free(struct scene *s)
{
    ck_ok(envol_volume_close(s->volume));
    envol_store_close(s->store);
    envol_provider_close(s->provider);
    fake_kms_free(s->kms);
}

static void expect_create(struct scene *s, size_t cmks, const struct envol_volume_options *options,
                          enum envol_status expected)
{
    struct envol_volume *volume = (struct envol_volume *)s;

    s->error.status = (enum envol_status)99;
    ck_status(envol_volume_create(s->store, s->cmks, cmks, options, &volume, &s->error), expected);
    ck_assert_int_eq(s->error.status, expected);
    ck_assert_int_eq(volume == NULL, expected != ENVOL_OK);
    s->volume = volume;
}

START_TEST(each_cmk_gets_a_slot)
{
    unsigned cmks = (unsigned)_i;
    struct scene s = scene_new();
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};

    expect_create(&s, cmks, NULL, ENVOL_OK);
    ck_assert_uint_eq(fake_kms_calls(s.kms, FAKE_GENERATE), 1);
    ck_assert_uint_eq(fake_kms_calls(s.kms, FAKE_WRAP), cmks - 1);
    ck_assert_uint_eq(fake_kms_calls(s.kms, FAKE_UNWRAP), cmks);
    ck_assert_uint_eq(fake_kms_calls(s.kms, FAKE_ANY), 2 * cmks);
    ck_ok(envol_volume_info(s.volume, &info));
    ck_assert_uint_eq(info.header.slots, cmks);
    ck_ok(envol_volume_close(s.volume));
    s.volume = NULL;
    for (unsigned i = 0; i < cmks; i++) {
        unsigned before = fake_kms_calls(s.kms, FAKE_ANY);
        ck_ok(envol_volume_open(s.store, &s.cmks[i], 1, NULL, &s.volume, &s.error));
        ck_assert_uint_eq(fake_kms_calls(s.kms, FAKE_ANY), before + 1);
        ck_ok(envol_volume_info(s.volume, &info));
        ck_assert_uint_eq(info.opened_slot, i + 1);
        ck_ok(envol_volume_close(s.volume));
        s.volume = NULL;
    }
    scene_free(&s);
}
END_TEST

START_TEST(wrong_arguments)
{
    struct scene s = scene_new();
    struct envol_volume_options options = {.struct_size = sizeof(options)};
    struct envol_header_params params = {.struct_size = sizeof(params), .page_bytes = 513};

    expect_create(&s, 0, NULL, ENVOL_E_ARGUMENT);
    expect_create(&s, ENVOL_SLOTS_MAX + 1, NULL, ENVOL_E_ARGUMENT);
    ck_status(envol_volume_create(NULL, s.cmks, 1, NULL, &s.volume, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_create(s.store, NULL, 1, NULL, &s.volume, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_create(s.store, s.cmks, 1, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    options.struct_size--;
    expect_create(&s, 1, &options, ENVOL_E_ARGUMENT);
    options.struct_size++;
    options.flags = ENVOL_OPEN_READ_ONLY;
    expect_create(&s, 1, &options, ENVOL_E_ARGUMENT);
    options.flags = 0;
    options.params = &params;
    expect_create(&s, 1, &options, ENVOL_E_ARGUMENT);
    params.page_bytes = 0;
    params.struct_size--;
    expect_create(&s, 1, &options, ENVOL_E_ARGUMENT);
    s.cmks[0].key_ref = NULL; /* of a provider that has many keys */
    expect_create(&s, 1, NULL, ENVOL_E_ARGUMENT);
    s.cmks[0].provider = NULL;
    expect_create(&s, 1, NULL, ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(fake_kms_calls(s.kms, FAKE_ANY), 0);
    ck_assert_uint_eq(volume_store_bytes(s.store), 0);
    scene_free(&s);
}
END_TEST

START_TEST(a_default_key_on_request)
{
    struct scene s = scene_new();
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .flags = ENVOL_OPEN_DISCOVER};

    s.cmks[0].key_ref = NULL;
    expect_create(&s, 1, &options, ENVOL_OK);
    scene_free(&s);
}
END_TEST

START_TEST(only_on_an_empty_store)
{
    struct scene s = scene_new();
    uint8_t byte = 1, *header = malloc(ENVOL_HEADER_BYTES), *again = malloc(ENVOL_HEADER_BYTES);

    ck_assert(header != NULL && again != NULL);
    expect_create(&s, 1, NULL, ENVOL_OK);
    ck_ok(envol_volume_close(s.volume));
    volume_store_get(s.store, 0, header, ENVOL_HEADER_BYTES);
    expect_create(&s, 1, NULL, ENVOL_E_STATE);
    volume_store_get(s.store, 0, again, ENVOL_HEADER_BYTES);
    ck_assert_mem_eq(header, again, ENVOL_HEADER_BYTES);
    ck_assert_int_eq(envol_store_resize(s.store, 0, NULL), ENVOL_OK);
    volume_store_put(s.store, (1 << 20) - 1, &byte, 1);
    expect_create(&s, 1, NULL, ENVOL_E_STATE);
    ck_assert_int_eq(envol_store_resize(s.store, (1 << 20) - 1, NULL), ENVOL_OK);
    expect_create(&s, 1, NULL, ENVOL_OK);
    scene_free(&s);
    free(header);
    free(again);
}
END_TEST

/* Creating discards nothing: that number stands for calls of the provider. */
#define THE_PROVIDER WATCHED_DISCARD

/* Whatever fails, the store is as empty as before, unlocked, and takes a volume at the next try. */
START_TEST(a_failed_creation_leaves_nothing)
{
    for (int device = 0; device < 2; device++) {
        for (unsigned nth = 1;; nth++) {
            struct scene s = scene_new();
            uint8_t *image = malloc(4 << 20);
            enum envol_status status;

            ck_assert_ptr_nonnull(image);
            if (device) {
                ck_assert_int_eq(envol_store_resize(s.store, 4 << 20, NULL), ENVOL_OK);
                watched_fix_size(s.watched);
            }
            if (_i == THE_PROVIDER)
                fake_kms_fail(s.kms, FAKE_ANY, nth, ENVOL_E_IO);
            else
                watched_fail(s.watched, (enum watched_call)_i, nth, ENVOL_E_IO);
            status = ck_note(envol_volume_create(s.store, s.cmks, 2, NULL, &s.volume, &s.error));
            ck_assert_int_eq(s.error.status, status);
            watched_fail(s.watched, WATCHED_SYNC, 0, ENVOL_OK);
            if (status == ENVOL_OK)
                nth = 0;
            else
                ck_assert_int_eq(status, ENVOL_E_IO);
            if (status != ENVOL_OK && device) {
                volume_store_get(s.store, 0, image, 4 << 20);
                ck_assert(envol_is_zero(image, 4 << 20));
            } else if (status != ENVOL_OK) {
                ck_assert_uint_eq(volume_store_bytes(s.store), 0);
            }
            if (status != ENVOL_OK)
                expect_create(&s, 2, NULL, ENVOL_OK);
            scene_free(&s);
            free(image);
            if (nth == 0)
                break;
        }
    }
}
END_TEST

START_TEST(a_wrapping_is_proved)
{
    static const enum fake_misbehaviour how[] = {
        FAKE_DEK_31,      FAKE_DEK_65,        FAKE_DEK_UNSET, FAKE_DEK_ZERO,
        FAKE_DEK_GARBAGE, FAKE_BLOB_EMPTY,    FAKE_BLOB_6145, FAKE_REF_UNTERMINATED,
        FAKE_REF_ESCAPE,  FAKE_STATUS_REVOKED};

    for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
        struct scene s = scene_new();
        fake_kms_misbehave(s.kms, how[i]);
        expect_create(&s, 1, NULL, ENVOL_E_PROVIDER);
        ck_assert_uint_eq(volume_store_bytes(s.store), 0);
        scene_free(&s);
    }
}
END_TEST

/* Four blobs of 6 KiB and their references fit the header, five do not. */
START_TEST(slots_that_do_not_fit)
{
    struct scene s = scene_new();

    fake_kms_misbehave(s.kms, FAKE_BLOB_6144);
    expect_create(&s, 5, NULL, ENVOL_E_RANGE);
    ck_assert_uint_eq(volume_store_bytes(s.store), 0);
    expect_create(&s, 4, NULL, ENVOL_OK);
    scene_free(&s);
}
END_TEST

/* --- One volume for a store handle --- */

START_TEST(a_store_handle_serves_one_volume)
{
    struct volume_fixture f;
    struct envol_volume *second = NULL;
    struct envol_store *elsewhere;
    const struct envol_volume_options reader = {.struct_size = sizeof(reader),
                                                .flags = ENVOL_OPEN_READ_ONLY};

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    ck_status(envol_volume_open(f.store, &f.cmk, 1, NULL, &second, NULL), ENVOL_E_BUSY);
    ck_status(envol_volume_open(f.store, &f.cmk, 1, &reader, &second, NULL), ENVOL_E_BUSY);
    ck_status(envol_volume_create(f.store, &f.cmk, 1, NULL, &second, NULL), ENVOL_E_BUSY);
    /* The first one's lock is untouched by that. */
    elsewhere = watched_store_share(f.watched);
    ck_status(envol_volume_open(elsewhere, &f.cmk, 1, NULL, &second, NULL), ENVOL_E_BUSY);
    volume_fixture_close(&f);
    ck_ok(envol_volume_open(elsewhere, &f.cmk, 1, NULL, &second, NULL));
    ck_ok(envol_volume_close(second));
    envol_store_close(elsewhere);
    volume_fixture_free(&f);
}
END_TEST

/* --- Describing --- */

START_TEST(inspect_needs_no_key)
{
    struct volume_fixture f;
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_header *header = NULL;
    struct envol_slot slot = {.struct_size = sizeof(slot)};
    unsigned calls;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    calls = fake_kms_calls(f.kms, FAKE_ANY);
    for (int open = 1; open >= 0; open--) {
        ck_ok(envol_volume_inspect(f.store, &info, &header, &f.error));
        ck_assert_int_eq(info.verified, 0);
        ck_assert_uint_eq(info.page_bytes, f.page_bytes);
        ck_ok(envol_header_slot(header, 0, &slot));
        ck_assert_str_eq(slot.key_ref, VOLUME_KEY);
        envol_header_free(header);
        ck_ok(envol_volume_inspect(f.store, &info, NULL, NULL));
        if (open)
            volume_fixture_close(&f);
    }
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls);
    ck_assert_int_eq(envol_store_resize(f.store, 0, NULL), ENVOL_OK);
    ck_status(envol_volume_inspect(f.store, &info, &header, &f.error), ENVOL_E_FORMAT);
    ck_assert_ptr_null(header);
    ck_assert_uint_eq(info.page_bytes, 0);
    info.struct_size--;
    ck_status(envol_volume_inspect(f.store, &info, &header, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_inspect(f.store, NULL, &header, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_inspect(NULL, &info, &header, NULL), ENVOL_E_ARGUMENT);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(info_of_a_short_struct)
{
    struct volume_fixture f;
    struct envol_volume_info info = {.struct_size = sizeof(info) - 1,
                                     .header.struct_size = sizeof(info.header)};

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    ck_status(envol_volume_info(f.volume, &info), ENVOL_E_ARGUMENT);
    info.struct_size = sizeof(info);
    info.header.struct_size--;
    ck_status(envol_volume_info(f.volume, &info), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_info(f.volume, NULL), ENVOL_E_ARGUMENT);
    info.header.struct_size++;
    ck_status(envol_volume_info(NULL, &info), ENVOL_E_ARGUMENT);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(the_keyring_serves_objects)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = "another file";
    struct volume_fixture f;
    struct envol_geometry geometry = {.struct_size = sizeof(geometry)};
    struct envol_object *object;
    uint8_t *record;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    ck_ok(envol_keyring_geometry(envol_volume_keyring(f.volume), &geometry));
    ck_assert_uint_eq(geometry.page_bytes, f.page_bytes);
    ck_assert_uint_eq(geometry.stride_bytes, f.stride_bytes);
    record = malloc(f.stride_bytes);
    ck_assert_ptr_nonnull(record);
    ck_ok(envol_object_open(envol_volume_keyring(f.volume), id, &object));
    volume_page_fill(&f, 3, 1, f.page);
    ck_ok(envol_page_seal(object, NULL, 3, f.page, record));
    ck_ok(envol_page_unseal(object, NULL, 3, record, f.other));
    ck_assert_mem_eq(f.page, f.other, f.page_bytes);
    envol_object_close(object);
    volume_fixture_free(&f);
    free(record);
}
END_TEST

/* A caller built against an older header has a shorter error struct. */
START_TEST(a_short_error_is_not_overrun)
{
    struct volume_fixture f;
    uint8_t room[sizeof(struct envol_error)];
    struct envol_error *error;
    struct envol_volume *volume;

    if (!volume_fixture_create(&f, &volume_shapes[2]))
        return;
    volume_fixture_close(&f);
    fake_kms_set_state(f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    error = (struct envol_error *)(void *)f.other;
    for (size_t bytes = 0; bytes <= sizeof(*error); bytes++) {
        memset(room, 0xee, sizeof(room));
        memcpy(room, &bytes, sizeof(bytes));
        memcpy(f.other, room, sizeof(room));
        ck_status(envol_volume_open(f.store, &f.cmk, 1, NULL, &volume, error),
                  ENVOL_E_KEY_DISABLED);
        for (size_t at = bytes > sizeof(bytes) ? bytes : sizeof(bytes); at < sizeof(room); at++)
            ck_assert_uint_eq(f.other[at], 0xee);
    }
    ck_assert_int_eq(error->slot, 1);
    ck_assert_str_eq(error->provider_code, "DisabledException");
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("volume");
    TCase *tcase = tcase_create("volume");

    tcase_add_loop_test(tcase, create_write_close_open_read, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, no_plaintext_in_the_store, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, an_idle_writer_leaves_the_header_alone, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, close_tells_of_a_failure_and_is_done, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, data_may_start_later);
    tcase_add_loop_test(tcase, each_cmk_gets_a_slot, 1, ENVOL_SLOTS_MAX + 1);
    tcase_add_test(tcase, wrong_arguments);
    tcase_add_test(tcase, a_default_key_on_request);
    tcase_add_test(tcase, only_on_an_empty_store);
    tcase_add_loop_test(tcase, a_failed_creation_leaves_nothing, 0, WATCHED_CALLS);
    tcase_add_test(tcase, a_wrapping_is_proved);
    tcase_add_test(tcase, slots_that_do_not_fit);
    tcase_add_test(tcase, a_store_handle_serves_one_volume);
    tcase_add_loop_test(tcase, inspect_needs_no_key, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, info_of_a_short_struct);
    tcase_add_loop_test(tcase, the_keyring_serves_objects, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, a_short_error_is_not_overrun);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
