/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening: locks, pins, which slots are tried with which CMKs, and what a header may not do. */
#include "handles.h"
#include "header/header.h"
#include "support.h"
#include "volume_fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OPEN(f, options)                                                                           \
    envol_volume_open((f)->store, &(f)->cmk, 1, options, &(f)->volume, &(f)->error)

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- Locks --- */

START_TEST(one_writer_any_readers)
{
    const struct envol_volume_options reader = {.struct_size = sizeof(reader),
                                                .flags = ENVOL_OPEN_READ_ONLY};
    struct envol_store *store = test_store_new(_i), *other;
    struct envol_volume *readers[3], *second;
    struct volume_fixture f;
    struct envol_error error = ENVOL_ERROR_INIT;
    uint64_t start;

    if (store == NULL || !volume_fixture_create_on(&f, &volume_shapes[2], store))
        return;
    volume_page_put(&f, 0, 1);
    volume_fixture_reopen(&f);
    other = test_store_again(_i, store);
    start = now_ms();
    ck_status(envol_volume_open(other, &f.cmk, 1, NULL, &second, &error), ENVOL_E_BUSY);
    ck_assert_uint_lt(now_ms() - start, 2000);
    ck_assert_int_eq(error.status, ENVOL_E_BUSY);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_UNWRAP), 2);
    envol_store_close(other);
    for (int i = 0; i < 3; i++) {
        other = test_store_again(_i, store);
        ck_ok(envol_volume_open(other, &f.cmk, 1, &reader, &readers[i], &error));
        ck_ok(envol_page_read(readers[i], 0, f.other));
        ck_status(envol_page_write(readers[i], 0, f.page), ENVOL_E_READ_ONLY);
        ck_status(envol_page_trim(readers[i], 0, 1), ENVOL_E_READ_ONLY);
        ck_status(envol_volume_truncate(readers[i], 0, &error), ENVOL_E_READ_ONLY);
        ck_ok(envol_volume_sync(readers[i]));
        volume_page_put(&f, 0, (unsigned)i);
    }
    /* A dead writer's lock goes with its handle, readers or not. */
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    for (int i = 0; i < 3; i++) {
        other = readers[i]->store;
        ck_ok(envol_volume_close(readers[i]));
        envol_store_close(other);
    }
    volume_fixture_free(&f);
}
END_TEST

START_TEST(failed_opens_keep_no_lock)
{
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_fixture_close(&f);
    fake_kms_set_state(f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    volume_fixture_open(&f, 0, ENVOL_E_KEY_DISABLED);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_E_KEY_DISABLED);
    fake_kms_set_state(f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    for (int call = 0; call < WATCHED_CALLS; call++) {
        watched_fail(f.watched, (enum watched_call)call, 1, ENVOL_E_IO);
        (void)ck_note(OPEN(&f, NULL));
        watched_fail(f.watched, WATCHED_READ, 0, ENVOL_OK);
        if (f.volume != NULL)
            volume_fixture_close(&f);
    }
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(read_only_store)
{
    struct volume_fixture f;
    struct envol_store *store = test_store_new(1);

    if (!volume_fixture_create_on(&f, &volume_shapes[2], store))
        return;
    volume_page_put(&f, 0, 1);
    volume_fixture_close(&f);
    envol_store_close(f.store);
    ck_ok(envol_file_store_open(test_path("file"), ENVOL_FILE_READ_ONLY, &f.store, &f.error));
    volume_fixture_open(&f, 0, ENVOL_E_READ_ONLY);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_page_expect(&f, 0, 1);
    ck_assert_int_eq(volume_info_of(&f).read_only, 1);
    volume_fixture_free(&f);
}
END_TEST

/* --- Pins --- */

START_TEST(pinned_volume)
{
    struct volume_fixture f;
    struct envol_pins pins = {.struct_size = sizeof(pins)};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .pins = &pins};
    uint8_t uuid[ENVOL_UUID_BYTES];
    unsigned calls;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    memcpy(uuid, volume_info_of(&f).header.uuid, sizeof(uuid));
    volume_fixture_close(&f);
    pins.uuid = uuid;
    pins.suites = 1u << f.shape->suite;
    ck_ok(OPEN(&f, &options));
    volume_fixture_close(&f);
    calls = fake_kms_calls(f.kms, FAKE_ANY);
    pins.suites ^= 1u << ENVOL_SUITE_AES_256_GCM | 1u << ENVOL_SUITE_AES_256_XTS;
    ck_status(OPEN(&f, &options), ENVOL_E_POLICY);
    pins.suites = 0;
    uuid[15] ^= 1;
    ck_status(OPEN(&f, &options), ENVOL_E_POLICY);
    pins.struct_size--;
    ck_status(OPEN(&f, &options), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(wrong_arguments)
{
    struct volume_fixture f;
    struct envol_volume_options options = {.struct_size = sizeof(options)};
    struct envol_cmk cmks[ENVOL_SLOTS_MAX + 1];

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    volume_fixture_close(&f);
    for (size_t i = 0; i <= ENVOL_SLOTS_MAX; i++)
        cmks[i] = f.cmk;
    ck_status(envol_volume_open(f.store, cmks, ENVOL_SLOTS_MAX + 1, NULL, &f.volume, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_volume_open(f.store, cmks, 0, NULL, &f.volume, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_open(f.store, NULL, 1, NULL, &f.volume, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_open(NULL, cmks, 1, NULL, &f.volume, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_open(f.store, cmks, 1, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    options.flags = ENVOL_OPEN_OTHER_COPY; /* which is for reading only */
    ck_status(OPEN(&f, &options), ENVOL_E_ARGUMENT);
    options.flags = 1u << 31;
    ck_status(OPEN(&f, &options), ENVOL_E_ARGUMENT);
    options.flags = 0;
    options.struct_size--;
    ck_status(OPEN(&f, &options), ENVOL_E_ARGUMENT);
    f.cmk.key_ref = NULL;
    ck_status(OPEN(&f, NULL), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(f.volume);
    volume_fixture_free(&f);
}
END_TEST

/* --- Slots and CMKs --- */

/* A volume of three keys. */
static bool create_with_three(struct volume_fixture *f, struct envol_cmk cmks[3])
{
    if (!volume_fixture_create(f, &volume_shapes[0]))
        return false;
    volume_fixture_close(f);
    fake_kms_add_key(f->kms, "key/2");
    fake_kms_add_key(f->kms, "key/3");
    cmks[0] = f->cmk;
    cmks[1] = (struct envol_cmk){f->provider, "key/2"};
    cmks[2] = (struct envol_cmk){f->provider, "key/3"};
    ck_assert_int_eq(envol_store_resize(f->store, 0, NULL), ENVOL_OK);
    ck_ok(envol_volume_create(f->store, cmks, 3, NULL, &f->volume, &f->error));
    volume_fixture_close(f);
    return true;
}

START_TEST(slots_are_tried_in_their_order)
{
    struct volume_fixture f;
    struct envol_cmk cmks[3], reversed[3];
    unsigned calls;

    if (!create_with_three(&f, cmks))
        return;
    for (int i = 0; i < 3; i++)
        reversed[i] = cmks[2 - i];
    for (unsigned disabled = 0; disabled < 3; disabled++) {
        calls = fake_kms_calls(f.kms, FAKE_ANY);
        ck_ok(envol_volume_open(f.store, reversed, 3, NULL, &f.volume, &f.error));
        ck_assert_uint_eq(volume_info_of(&f).opened_slot, disabled + 1);
        ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls + disabled + 1);
        volume_fixture_close(&f);
        fake_kms_set_state(f.kms, cmks[disabled].key_ref, FAKE_KEY_DISABLED);
    }
    ck_status(envol_volume_open(f.store, cmks, 3, NULL, &f.volume, &f.error), ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(f.error.slot, 1);
    fake_kms_set_state(f.kms, cmks[0].key_ref, FAKE_KEY_GONE);
    ck_status(envol_volume_open(f.store, cmks, 3, NULL, &f.volume, &f.error), ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(f.error.slot, 2); /* "not found" says less */
    fake_kms_set_state(f.kms, cmks[1].key_ref, FAKE_KEY_GONE);
    fake_kms_set_state(f.kms, cmks[2].key_ref, FAKE_KEY_GONE);
    ck_status(envol_volume_open(f.store, cmks, 3, NULL, &f.volume, &f.error),
              ENVOL_E_KEY_NOT_FOUND);
    ck_assert_int_eq(f.error.slot, 1);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(what_is_not_pinned_is_never_sent)
{
    struct volume_fixture f;
    struct envol_cmk cmks[3], unknown;
    const struct envol_volume_options discover = {.struct_size = sizeof(discover),
                                                  .flags = ENVOL_OPEN_DISCOVER};
    struct envol_provider *file;
    unsigned calls;

    if (!create_with_three(&f, cmks))
        return;
    calls = fake_kms_calls(f.kms, FAKE_ANY);
    unknown = (struct envol_cmk){f.provider, "arn:fake:key/11"};
    ck_status(envol_volume_open(f.store, &unknown, 1, NULL, &f.volume, &f.error),
              ENVOL_E_NO_PROVIDER);
    unknown.key_ref = "arn:fake:key/";
    ck_status(envol_volume_open(f.store, &unknown, 1, NULL, &f.volume, &f.error),
              ENVOL_E_NO_PROVIDER);
    ck_ok(envol_file_provider_open(test_path("no-such-key"), &file));
    unknown = (struct envol_cmk){file, NULL};
    ck_status(envol_volume_open(f.store, &unknown, 1, &discover, &f.volume, &f.error),
              ENVOL_E_NO_PROVIDER);
    ck_assert_int_eq(f.error.slot, ENVOL_NO_SLOT);
    envol_provider_close(file);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls);
    /* Only the second slot's key is given: one call, for that key. */
    ck_ok(envol_volume_open(f.store, &cmks[1], 1, NULL, &f.volume, &f.error));
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls + 1);
    ck_assert_str_eq(fake_kms_last_key_ref(f.kms), "key/2");
    volume_fixture_close(&f);
    unknown = (struct envol_cmk){f.provider, NULL};
    ck_ok(envol_volume_open(f.store, &unknown, 1, &discover, &f.volume, &f.error));
    ck_assert_str_eq(fake_kms_last_key_ref(f.kms), VOLUME_KEY);
    volume_fixture_free(&f);
}
END_TEST

/* A DEK that came back and does not fit the header's MAC: no other slot is asked. */
START_TEST(a_wrong_dek_ends_it)
{
    struct volume_fixture f;
    struct envol_cmk cmks[3];
    unsigned calls;

    if (!create_with_three(&f, cmks))
        return;
    calls = fake_kms_calls(f.kms, FAKE_ANY);
    fake_kms_misbehave(f.kms, FAKE_DEK_GARBAGE);
    ck_status(envol_volume_open(f.store, cmks, 3, NULL, &f.volume, &f.error), ENVOL_E_WRONG_KEY);
    ck_assert_int_eq(f.error.slot, 1);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls + 1);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(disabled_and_enabled)
{
    static const struct {
        enum fake_key_state state;
        enum envol_status status;
    } rounds[] = {{FAKE_KEY_DISABLED, ENVOL_E_KEY_DISABLED},
                  {FAKE_KEY_PENDING_DELETION, ENVOL_E_KEY_PENDING_DELETION},
                  {FAKE_KEY_DENIED, ENVOL_E_KEY_DENIED},
                  {FAKE_KEY_GONE, ENVOL_E_KEY_NOT_FOUND}};
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
        fake_kms_set_state(f.kms, VOLUME_KEY, rounds[i].state);
        volume_page_expect(&f, 0, 1); /* no call of the service on the page path */
        volume_fixture_close(&f);
        volume_fixture_open(&f, 0, rounds[i].status);
        ck_assert_int_eq(f.error.slot, 1);
        fake_kms_set_state(f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
        volume_fixture_open(&f, 0, ENVOL_OK);
        volume_page_expect(&f, 0, 1);
    }
    volume_fixture_free(&f);
}
END_TEST

static void *cancel_soon(void *flag)
{
    usleep(30000);
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELEASE);
    return NULL;
}

START_TEST(deadlines_and_cancelling)
{
    struct volume_fixture f;
    struct envol_cmk cmks[3];
    struct envol_volume_options options = {.struct_size = sizeof(options), .timeout_ms = 60};
    int cancel = 0;
    pthread_t canceller;
    uint64_t start;

    if (!create_with_three(&f, cmks))
        return;
    fake_kms_hang(f.kms, true);
    start = now_ms();
    ck_status(envol_volume_open(f.store, cmks, 3, &options, &f.volume, &f.error), ENVOL_E_TIMEOUT);
    ck_assert_uint_ge(now_ms() - start, 59);
    ck_assert_uint_lt(now_ms() - start, 5000); /* and not one timeout for each slot */
    options.timeout_ms = 0;
    options.cancel_flag = &cancel;
    ck_assert_int_eq(pthread_create(&canceller, NULL, cancel_soon, &cancel), 0);
    ck_status(envol_volume_open(f.store, cmks, 3, &options, &f.volume, &f.error),
              ENVOL_E_CANCELLED);
    pthread_join(canceller, NULL);
    ck_assert_int_eq(envol_store_resize(f.store, 0, NULL), ENVOL_OK);
    ck_status(envol_volume_create(f.store, cmks, 3, &options, &f.volume, &f.error),
              ENVOL_E_CANCELLED);
    cancel = 0;
    options.timeout_ms = 20;
    ck_status(envol_volume_create(f.store, cmks, 3, &options, &f.volume, &f.error),
              ENVOL_E_TIMEOUT);
    fake_kms_hang(f.kms, false);
    ck_ok(envol_volume_create(f.store, cmks, 3, NULL, &f.volume, &f.error));
    volume_fixture_free(&f);
}
END_TEST

/* Local key files name themselves: without a reference each is asked for its own slot. */
START_TEST(two_key_files)
{
    struct volume_fixture f;
    struct envol_provider *files[2];
    struct envol_cmk cmks[2];
    struct envol_error error = ENVOL_ERROR_INIT;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_fixture_close(&f);
    ck_assert_int_eq(envol_store_resize(f.store, 0, NULL), ENVOL_OK);
    for (int i = 0; i < 2; i++) {
        const char *path = test_path(i == 0 ? "first.key" : "second.key");
        ck_ok(envol_key_file_create(path, &error));
        ck_ok(envol_file_provider_open(path, &files[i]));
        cmks[i] = (struct envol_cmk){files[i], NULL};
    }
    ck_ok(envol_volume_create(f.store, cmks, 2, NULL, &f.volume, &error));
    volume_fixture_close(&f);
    for (int i = 0; i < 2; i++) {
        ck_ok(envol_volume_open(f.store, &cmks[i], 1, NULL, &f.volume, &error));
        ck_assert_uint_eq(volume_info_of(&f).opened_slot, (unsigned)i + 1);
        volume_fixture_close(&f);
    }
    ck_ok(envol_key_file_set_state(test_path("first.key"), ENVOL_KEY_DISABLED, &error));
    ck_status(envol_volume_open(f.store, &cmks[0], 1, NULL, &f.volume, &error),
              ENVOL_E_KEY_DISABLED);
    ck_ok(envol_volume_open(f.store, cmks, 2, NULL, &f.volume, &error));
    ck_assert_uint_eq(volume_info_of(&f).opened_slot, 2);
    volume_fixture_free(&f);
    envol_provider_close(files[0]);
    envol_provider_close(files[1]);
}
END_TEST

/* --- Headers that are not as they should be --- */

/* Seals a changed header with the right DEK, as one who holds it could. */
static void forge(struct volume_fixture *f, void (*change)(struct envol_header *), int copies)
{
    struct envol_keyring *keyring;
    struct envol_header *header;
    uint8_t dek[ENVOL_DEK_BYTES], *bytes = malloc(ENVOL_HEADER_BYTES);

    ck_assert_ptr_nonnull(bytes);
    ck_assert(fake_kms_last_dek(f->kms, dek));
    volume_store_get(f->store, 0, bytes, ENVOL_HEADER_BYTES);
    ck_ok(envol_header_decode(bytes, 0, &header, NULL));
    ck_ok(envol_header_unlock(header, dek, 0, NULL, &keyring));
    change(header);
    ck_assert_int_eq(envol_image_encode(header, header->id.generation + 1, dek, bytes), ENVOL_OK);
    for (int i = 0; i < copies; i++)
        volume_store_put(f->store, (unsigned)i * ENVOL_HEADER_COPY_BYTES, bytes,
                         ENVOL_HEADER_COPY_BYTES);
    envol_keyring_close(keyring);
    envol_header_free(header);
    free(bytes);
}

static void add_read_only_feature(struct envol_header *header)
{
    header->read_only_compatible = 1u << 31;
}

static void add_feature(struct envol_header *header)
{
    header->incompatible |= 1u << 31;
}

static void change_nothing(struct envol_header *header)
{
    (void)header;
}

START_TEST(unknown_features)
{
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    volume_fixture_close(&f);
    forge(&f, add_read_only_feature, 2);
    volume_fixture_open(&f, 0, ENVOL_E_VERSION);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_page_expect(&f, 0, 1);
    volume_fixture_close(&f);
    forge(&f, add_feature, 2);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_E_VERSION);
    volume_fixture_free(&f);
}
END_TEST

/* The newest whole copy is the header; if it fails, the older one is for the caller to choose. */
START_TEST(the_other_copy)
{
    const uint32_t other = ENVOL_OPEN_READ_ONLY | ENVOL_OPEN_OTHER_COPY;
    struct volume_fixture f;
    uint8_t dek[ENVOL_DEK_BYTES] = {7}, *bytes = malloc(ENVOL_HEADER_BYTES);
    struct envol_header *header;

    ck_assert_ptr_nonnull(bytes);
    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    volume_fixture_close(&f);
    forge(&f, change_nothing, 1); /* newer, and right */
    volume_fixture_open(&f, other, ENVOL_OK);
    volume_page_expect(&f, 0, 1);
    volume_fixture_close(&f);
    volume_store_get(f.store, 0, bytes, ENVOL_HEADER_BYTES);
    ck_ok(envol_header_decode(bytes, 0, &header, NULL));
    ck_assert_int_eq(envol_image_encode(header, header->id.generation + 1, dek, bytes), ENVOL_OK);
    volume_store_put(f.store, 0, bytes, ENVOL_HEADER_COPY_BYTES);
    envol_header_free(header);
    volume_fixture_open(&f, 0, ENVOL_E_WRONG_KEY); /* whole, newest, of another DEK */
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_E_WRONG_KEY);
    volume_fixture_open(&f, other, ENVOL_OK);
    volume_page_expect(&f, 0, 1);
    volume_fixture_close(&f);
    bytes[ENVOL_HEADER_COPY_BYTES] ^= 1;
    volume_store_put(f.store, ENVOL_HEADER_COPY_BYTES, bytes + ENVOL_HEADER_COPY_BYTES, 1);
    volume_fixture_open(&f, other, ENVOL_E_CORRUPT);
    volume_fixture_free(&f);
    free(bytes);
}
END_TEST

START_TEST(no_header)
{
    static const uint8_t zeros[ENVOL_HEADER_BYTES];
    struct volume_fixture f;
    uint8_t *bytes = malloc(ENVOL_HEADER_BYTES);

    ck_assert_ptr_nonnull(bytes);
    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    volume_fixture_close(&f);
    volume_store_get(f.store, 0, bytes, ENVOL_HEADER_BYTES);
    volume_store_put(f.store, 100, "x", 1);
    volume_fixture_open(&f, 0, ENVOL_OK); /* the second copy is whole */
    volume_fixture_close(&f);
    volume_store_put(f.store, 0, bytes, ENVOL_HEADER_BYTES);
    volume_store_put(f.store, 100, "x", 1);
    volume_store_put(f.store, ENVOL_HEADER_COPY_BYTES + 100, "x", 1);
    volume_fixture_open(&f, 0, ENVOL_E_CORRUPT);
    volume_store_put(f.store, 0, zeros, sizeof(zeros));
    volume_fixture_open(&f, 0, ENVOL_E_FORMAT);
    volume_store_put(f.store, 0, bytes, ENVOL_HEADER_BYTES);
    ck_assert_int_eq(envol_store_resize(f.store, ENVOL_HEADER_COPY_BYTES, NULL), ENVOL_OK);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_fixture_close(&f);
    ck_assert_int_eq(envol_store_resize(f.store, ENVOL_HEADER_COPY_BYTES - 1, NULL), ENVOL_OK);
    volume_fixture_open(&f, 0, ENVOL_E_TRUNCATED);
    ck_assert_int_eq(envol_store_resize(f.store, 0, NULL), ENVOL_OK);
    volume_fixture_open(&f, 0, ENVOL_E_FORMAT);
    volume_fixture_free(&f);
    free(bytes);
}
END_TEST

/* --- O_DIRECT --- */

START_TEST(direct_io)
{
    const struct volume_shape odd = {"gcm 8192 in 8256", ENVOL_SUITE_AES_256_GCM, 8192, 8256, 0};
    const struct envol_header_params params = {
        .struct_size = sizeof(params), .page_bytes = 8192, .stride_bytes = 8256};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};
    static const int shapes[] = {2, 4, 6, 8};
    struct envol_store *store = test_store_new(2);
    struct volume_fixture f;
    uint8_t *odd_place;

    if (store == NULL || !volume_fixture_create_on(&f, &volume_shapes[shapes[_i]], store))
        return;
    odd_place = malloc(f.page_bytes + 1);
    ck_assert_ptr_nonnull(odd_place);
    for (uint64_t i = 0; i < 40; i++)
        volume_page_put(&f, i, 1);
    volume_page_fill(&f, 60, 1, f.page);
    memcpy(odd_place + 1, f.page, f.page_bytes);
    ck_ok(envol_page_write(f.volume, 60, odd_place + 1));
    volume_fixture_reopen(&f);
    ck_ok(envol_page_read(f.volume, 60, odd_place + 1));
    ck_assert_mem_eq(odd_place + 1, f.page, f.page_bytes);
    for (uint64_t i = 0; i < 40; i++)
        volume_page_expect(&f, i, 1);
    ck_ok(envol_page_trim(f.volume, 3, 20));
    ck_ok(envol_volume_truncate(f.volume, 30, &f.error));
    volume_page_put(&f, 2000, 1);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_expect(&f, 2000, 1);
    volume_page_expect(&f, 29, 1);
    volume_fixture_close(&f);
    envol_store_close(f.store);
    unlink(test_path("direct"));
    f.store = test_store_new(2);
    ck_status(envol_volume_create(f.store, &f.cmk, 1, &options, &f.volume, &f.error),
              ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(volume_store_bytes(f.store), 0);
    volume_fixture_free(&f);
    free(odd_place);
    unlink(test_path("file"));
    ck_assert(volume_fixture_create_on(&f, &odd, test_store_new(1)));
    volume_fixture_close(&f);
    envol_store_close(f.store);
    ck_ok(envol_file_store_open(test_path("file"), ENVOL_FILE_DIRECT, &f.store, NULL));
    volume_fixture_open(&f, 0, ENVOL_E_ARGUMENT);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("volume_open");
    TCase *tcase = tcase_create("volume_open");

    tcase_add_loop_test(tcase, one_writer_any_readers, 0, TEST_STORES);
    tcase_add_loop_test(tcase, failed_opens_keep_no_lock, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, read_only_store);
    tcase_add_loop_test(tcase, pinned_volume, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, wrong_arguments);
    tcase_add_test(tcase, slots_are_tried_in_their_order);
    tcase_add_test(tcase, what_is_not_pinned_is_never_sent);
    tcase_add_test(tcase, a_wrong_dek_ends_it);
    tcase_add_loop_test(tcase, disabled_and_enabled, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, deadlines_and_cancelling);
    tcase_add_loop_test(tcase, two_key_files, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, unknown_features, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, the_other_copy, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, no_header);
    tcase_add_loop_test(tcase, direct_io, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
