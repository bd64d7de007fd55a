/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers of an engine's own whose DEKs the library has made, wrapped and unwrapped. */
#include "base/memory.h"
#include "fake_provider.h"
#include "header/header.h"
#include "page/revoke.h"
#include "store/store.h"
#include "support.h"

#include <envol/header_keys.h>
#include <stdio.h>
#include <string.h>

#define KEY_ONE "arn:one"
#define KEY_TWO "arn:two"

enum { PAGE = 4096, RECORD = PAGE + ENVOL_TRAILER_BYTES };

static struct fake_kms *kms;
static struct envol_provider *provider;
static struct envol_cmk both[2];
static struct envol_header *header;
static struct envol_keyring *keyring;
static struct envol_error error;
static _Alignas(4096) uint8_t bytes[ENVOL_HEADER_BYTES];

static void setup(void)
{
    kms = fake_kms_new();
    fake_kms_add_key(kms, KEY_ONE);
    fake_kms_add_key(kms, KEY_TWO);
    provider = fake_kms_open(kms);
    both[0] = (struct envol_cmk){provider, KEY_ONE};
    both[1] = (struct envol_cmk){provider, KEY_TWO};
    error = (struct envol_error)ENVOL_ERROR_INIT;
    ck_ok(envol_header_new(
        &(struct envol_header_params){.struct_size = sizeof(struct envol_header_params),
                                      .page_bytes = PAGE,
                                      .stride_bytes = RECORD},
        &header));
    keyring = NULL;
}

static void teardown(void)
{
    envol_keyring_close(keyring);
    envol_header_free(header);
    envol_provider_close(provider);
    fake_kms_free(kms);
}

static void seal(size_t cmks)
{
    ck_ok(envol_header_seal_by(header, both, cmks, NULL, bytes, &keyring, &error));
}

/* What another process makes of the bytes, with one of the CMKs. */
static enum envol_status open_with(const struct envol_cmk *cmk,
                                   const struct envol_volume_options *options)
{
    struct envol_keyring *theirs;
    struct envol_header *read;
    enum envol_status status;

    ck_ok(envol_header_decode(bytes, 0, &read, NULL));
    status = ck_note(envol_header_unlock_by(read, cmk, 1, options, &theirs, &error));
    ck_assert((status == ENVOL_OK) == (theirs != NULL));
    ck_assert_int_eq(error.status, status);
    envol_keyring_close(theirs);
    envol_header_free(read);
    return status;
}

static void commit(struct envol_header *edited, const struct envol_keyring *keys)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    uint32_t first;

    ck_ok(envol_header_prepare(edited, keys, bytes, copy, &first));
    memcpy(bytes, copy, sizeof(copy));
    memcpy(bytes + sizeof(copy), copy, sizeof(copy));
    ck_ok(envol_header_committed(edited, copy));
}

static uint32_t slots_of(const struct envol_header *of)
{
    struct envol_header_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_header_info(of, &info));
    return info.slots;
}

/* --- Sealing and unlocking --- */

START_TEST(each_cmk_opens_what_was_sealed)
{
    seal(2);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_GENERATE), 1);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_WRAP), 1);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_UNWRAP), 2); /* each is proven */
    ck_ok(open_with(&both[0], NULL));
    ck_ok(open_with(&both[1], NULL));
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_UNWRAP), 4); /* an open is one call */
    fake_kms_set_state(kms, KEY_ONE, FAKE_KEY_DISABLED);
    ck_status(open_with(&both[0], NULL), ENVOL_E_KEY_DISABLED);
    ck_ok(open_with(&both[1], NULL));
}
END_TEST

/* The library's own volumes are of the same bytes: who opens one to change its slots leaves alone
 * what the engine has behind them, until somebody writes pages there. */
START_TEST(a_volume_opens_them)
{
    static const uint8_t own[3 * RECORD] = "the engine's own", page[PAGE];
    struct envol_store *store;
    struct envol_volume *volume;
    uint8_t kept[sizeof(own)];
    uint64_t size;

    seal(1);
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_store_write(store, 0, bytes, sizeof(bytes), NULL));
    ck_ok(envol_store_write(store, sizeof(bytes), own, sizeof(own), NULL));
    ck_ok(envol_volume_open(store, both, 1, NULL, &volume, &error));
    ck_ok(envol_volume_add_slot(volume, &both[1], NULL, NULL, &error));
    ck_ok(envol_volume_sync(volume));
    ck_ok(envol_volume_close(volume));
    ck_ok(envol_store_read_full(store, sizeof(bytes), kept, sizeof(kept), NULL));
    ck_assert_mem_eq(kept, own, sizeof(own));

    ck_ok(envol_volume_open(store, &both[1], 1, NULL, &volume, &error));
    ck_ok(envol_page_write(volume, 0, page));
    ck_ok(envol_volume_close(volume));
    ck_ok(envol_store_size(store, &size, NULL));
    ck_assert_uint_eq(size, sizeof(bytes) + RECORD);
    envol_store_close(store);
}
END_TEST

START_TEST(pins_come_before_the_key_service)
{
    static const uint8_t other[ENVOL_UUID_BYTES] = {1};
    const struct envol_pins pins = {.struct_size = sizeof(pins), .uuid = other};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .pins = &pins};
    unsigned calls;

    seal(1);
    calls = fake_kms_calls(kms, FAKE_ANY);
    ck_status(open_with(&both[0], &options), ENVOL_E_POLICY);
    ck_status(open_with(&both[1], NULL), ENVOL_E_NO_PROVIDER);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_ANY), calls);
}
END_TEST

START_TEST(an_older_header_than_the_anchor)
{
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    const struct envol_pins pins = {.struct_size = sizeof(pins), .anchor = &anchor};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .pins = &pins};
    static uint8_t old[ENVOL_HEADER_BYTES];

    seal(1);
    memcpy(old, bytes, sizeof(bytes));
    commit(header, keyring);
    ck_ok(envol_header_anchor(header, &anchor));
    ck_ok(open_with(&both[0], &options));
    memcpy(bytes, old, sizeof(bytes));
    ck_status(open_with(&both[0], &options), ENVOL_E_STALE);
}
END_TEST

START_TEST(what_does_not_prove_is_no_slot)
{
    memset(bytes, 0xff, sizeof(bytes));
    fake_kms_misbehave(kms, FAKE_DEK_GARBAGE);
    ck_status(envol_header_seal_by(header, both, 2, NULL, bytes, &keyring, &error),
              ENVOL_E_PROVIDER);
    ck_assert_ptr_null(keyring);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
    ck_assert_uint_eq(slots_of(header), 0);
}
END_TEST

/* Each call of a seal fails once. */
START_TEST(a_key_service_that_fails)
{
    fake_kms_fail(kms, FAKE_ANY, (unsigned)_i, ENVOL_E_UNREACHABLE);
    ck_status(envol_header_seal_by(header, both, 2, NULL, bytes, &keyring, &error),
              ENVOL_E_UNREACHABLE);
    ck_assert_ptr_null(keyring);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
}
END_TEST

START_TEST(what_cannot_be_sealed)
{
    const struct envol_cmk twice[2] = {both[0], both[0]};
    const struct envol_volume_options odd = {.struct_size = sizeof(odd),
                                             .flags = ENVOL_OPEN_READ_ONLY};
    struct envol_keyring *again;

    ck_status(envol_header_seal_by(header, both, 0, NULL, bytes, &keyring, &error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal_by(header, both, 1, &odd, bytes, &keyring, &error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal_by(NULL, both, 1, NULL, bytes, &keyring, &error), ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal_by(header, both, 1, NULL, NULL, &keyring, &error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal_by(header, both, 1, NULL, bytes, NULL, &error), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_ANY), 0);
    ck_status(envol_header_seal_by(header, twice, 2, NULL, bytes, &keyring, &error), ENVOL_E_STATE);
    /* Its slots are of a DEK that is gone. */
    ck_status(envol_header_seal_by(header, both, 1, NULL, bytes, &again, &error), ENVOL_E_STATE);
    ck_status(envol_header_unlock_by(NULL, both, 1, NULL, &again, &error), ENVOL_E_ARGUMENT);
    ck_status(envol_header_unlock_by(header, both, 1, NULL, NULL, &error), ENVOL_E_ARGUMENT);
}
END_TEST

/* --- Slots --- */

START_TEST(one_more_slot)
{
    uint32_t id;

    seal(1);
    ck_ok(envol_header_add_slot_by(header, keyring, &both[1], NULL, &id, &error));
    ck_assert_uint_eq(id, 2);
    ck_status(open_with(&both[1], NULL), ENVOL_E_NO_PROVIDER); /* it was not committed */
    commit(header, keyring);
    ck_ok(open_with(&both[1], NULL));
    ck_status(envol_header_add_slot_by(header, keyring, &both[1], NULL, &id, &error),
              ENVOL_E_STATE);
    ck_assert_uint_eq(id, 0);
    ck_assert_uint_eq(slots_of(header), 2);
}
END_TEST

START_TEST(a_rewrap)
{
    seal(1);
    ck_ok(envol_header_add_slot_by(header, keyring, &both[1], NULL, NULL, &error));
    ck_ok(envol_header_remove_slot(header, 1));
    commit(header, keyring);
    ck_ok(open_with(&both[1], NULL));
    ck_status(open_with(&both[0], NULL), ENVOL_E_NO_PROVIDER);
}
END_TEST

START_TEST(a_slot_that_cannot_be_added)
{
    static uint8_t others_bytes[ENVOL_HEADER_BYTES];
    struct envol_header *other;
    struct envol_keyring *others;
    uint32_t id;

    seal(1);
    fake_kms_misbehave(kms, FAKE_DEK_GARBAGE);
    ck_status(envol_header_add_slot_by(header, keyring, &both[1], NULL, &id, &error),
              ENVOL_E_PROVIDER);
    fake_kms_misbehave(kms, FAKE_HONEST);
    fake_kms_set_state(kms, KEY_TWO, FAKE_KEY_DENIED);
    ck_status(envol_header_add_slot_by(header, keyring, &both[1], NULL, &id, &error),
              ENVOL_E_KEY_DENIED);
    ck_status(envol_header_add_slot_by(header, keyring, NULL, NULL, &id, &error), ENVOL_E_ARGUMENT);
    ck_status(envol_header_add_slot_by(header, NULL, &both[1], NULL, &id, &error),
              ENVOL_E_ARGUMENT);
    fake_kms_set_state(kms, KEY_TWO, FAKE_KEY_ENABLED);

    /* Another header's DEK: whoever opens with that slot would get nowhere. */
    ck_ok(envol_header_new(NULL, &other));
    ck_status(envol_header_add_slot_by(other, keyring, &both[1], NULL, &id, &error), ENVOL_E_STATE);
    ck_ok(envol_header_seal_by(other, both, 1, NULL, others_bytes, &others, &error));
    ck_status(envol_header_add_slot_by(header, others, &both[1], NULL, &id, &error), ENVOL_E_STATE);
    ck_assert_uint_eq(slots_of(header), 1);
    envol_keyring_close(others);
    envol_header_free(other);
}
END_TEST

START_TEST(keys_that_are_gone)
{
    struct envol_header *next;
    struct envol_keyring *newer;
    uint32_t id;

    seal(1);
    ck_ok(envol_header_next_epoch(header, &next));
    envol_keyring_revoke(keyring);
    ck_status(envol_header_add_slot_by(header, keyring, &both[1], NULL, &id, &error),
              ENVOL_E_KEY_REVOKED);
    ck_status(envol_header_rotate_by(next, header, keyring, both, 1, NULL, &newer, &error),
              ENVOL_E_KEY_REVOKED);
    envol_header_free(next);
}
END_TEST

/* --- The next DEK --- */

static void seal_page(const struct envol_keyring *ring, uint8_t *record)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = {7}, page[PAGE] = {1, 2, 3};
    struct envol_object *object;

    ck_ok(envol_object_open(ring, id, &object));
    ck_ok(envol_page_seal(object, NULL, 3, page, record));
    envol_object_close(object);
}

static enum envol_status read_page(const struct envol_keyring *ring, const uint8_t *record)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = {7};
    uint8_t page[PAGE];
    struct envol_object *object;
    enum envol_status status;

    ck_ok(envol_object_open(ring, id, &object));
    status = ck_note(envol_page_unseal(object, NULL, 3, record, page));
    envol_object_close(object);
    return status;
}

START_TEST(every_slot_has_the_next_dek)
{
    struct envol_header *next;
    struct envol_keyring *newer;
    uint8_t record[RECORD];
    unsigned unwraps;

    seal(2);
    seal_page(keyring, record);
    unwraps = fake_kms_calls(kms, FAKE_UNWRAP);
    ck_ok(envol_header_next_epoch(header, &next));
    ck_ok(envol_header_rotate_by(next, header, keyring, both, 2, NULL, &newer, &error));
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_GENERATE), 2);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_UNWRAP), unwraps + 2);
    commit(next, newer);
    ck_ok(envol_keyring_adopt(keyring, newer));
    envol_keyring_close(newer);
    envol_header_free(header);
    header = next;
    ck_ok(open_with(&both[0], NULL));
    ck_ok(open_with(&both[1], NULL));
    ck_assert_uint_eq(envol_keyring_epoch(keyring), 2);
    ck_ok(read_page(keyring, record)); /* the old DEK is retained */

    ck_ok(envol_header_retire(header, 0));
    commit(header, keyring);
    ck_ok(envol_header_unlock_with(header, keyring, NULL, &newer));
    ck_status(read_page(newer, record), ENVOL_E_CORRUPT);
    envol_keyring_close(newer);
}
END_TEST

START_TEST(a_slot_without_its_cmk)
{
    struct envol_slot_outcomes outcomes = {.struct_size = sizeof(outcomes)};
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .outcomes = &outcomes};
    struct envol_header *next;
    struct envol_keyring *newer;

    seal(2);
    ck_ok(envol_header_next_epoch(header, &next));
    ck_status(envol_header_rotate_by(next, header, keyring, both, 1, &options, &newer, &error),
              ENVOL_E_NO_PROVIDER);
    ck_assert_ptr_null(newer);
    ck_assert_uint_eq(outcomes.count, 2);
    ck_assert_int_eq(outcomes.outcome[0].status, ENVOL_OK);
    ck_assert_int_eq(outcomes.outcome[1].status, ENVOL_E_NO_PROVIDER);
    /* It has a slot by now, of a DEK that is gone. */
    ck_status(envol_header_rotate_by(next, header, keyring, both, 2, NULL, &newer, &error),
              ENVOL_E_STATE);
    envol_header_free(next);
}
END_TEST

START_TEST(what_is_not_rotated)
{
    struct envol_header *next;
    struct envol_keyring *newer;

    seal(1);
    ck_ok(envol_header_next_epoch(header, &next));
    ck_status(envol_header_rotate_by(next, NULL, keyring, both, 1, NULL, &newer, &error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_header_rotate_by(next, header, NULL, both, 1, NULL, &newer, &error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_header_rotate_by(NULL, header, keyring, both, 1, NULL, &newer, &error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_header_rotate_by(next, header, keyring, both, 1, NULL, NULL, &error),
              ENVOL_E_ARGUMENT);
    /* A header that is no next one. */
    ck_status(envol_header_rotate_by(header, header, keyring, both, 1, NULL, &newer, &error),
              ENVOL_E_STATE);
    ck_ok(envol_header_rotate_by(next, header, keyring, both, 1, NULL, &newer, &error));
    envol_keyring_close(newer);
    envol_header_free(next);
    ck_ok(open_with(&both[0], NULL)); /* nothing was committed */
}
END_TEST

/* --- Keys of a process --- */

/* Two of them have nothing in common, and nothing of a key service's. */
START_TEST(temporary_keys)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params), .page_bytes = PAGE, .stride_bytes = RECORD};
    const struct envol_header_params odd = {.struct_size = sizeof(odd), .page_bytes = 7};
    struct envol_keyring *one, *other;
    uint8_t record[RECORD];

    ck_ok(envol_keyring_temporary(&params, 0, &one));
    ck_ok(envol_keyring_temporary(&params, 0, &other));
    seal_page(one, record);
    ck_ok(read_page(one, record));
    ck_status(read_page(other, record), ENVOL_E_CORRUPT);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_ANY), 0);
    envol_keyring_close(one);
    envol_keyring_close(other);
    ck_status(envol_keyring_temporary(&odd, 0, &one), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(one);
    ck_status(envol_keyring_temporary(NULL, ENVOL_OPEN_DISCOVER, &one), ENVOL_E_ARGUMENT);
    ck_status(envol_keyring_temporary(NULL, 0, NULL), ENVOL_E_ARGUMENT);
}
END_TEST

/* --- What a provider says comes through --- */

static const enum envol_status provider_says[] = {
    ENVOL_E_ARGUMENT,      ENVOL_E_NO_MEMORY,
    ENVOL_E_LOCKED_MEMORY, ENVOL_E_IO,
    ENVOL_E_RANDOM,        ENVOL_E_FORKED,
    ENVOL_E_FORMAT,        ENVOL_E_VERSION,
    ENVOL_E_CORRUPT,       ENVOL_E_WRONG_KEY,
    ENVOL_E_KEY_NOT_FOUND, ENVOL_E_KEY_DISABLED,
    ENVOL_E_KEY_DENIED,    ENVOL_E_KEY_PENDING_DELETION,
    ENVOL_E_THROTTLED,     ENVOL_E_UNREACHABLE,
    ENVOL_E_TIMEOUT,       ENVOL_E_CANCELLED,
    ENVOL_E_CREDENTIALS,   ENVOL_E_PROVIDER,
    ENVOL_E_UNSUPPORTED,
};

static void fail_next(enum envol_status status)
{
    fake_kms_fail(kms, FAKE_ANY, 1, status);
}

START_TEST(a_provider_that_fails)
{
    const enum envol_status says = provider_says[_i];
    static uint8_t other_bytes[ENVOL_HEADER_BYTES];
    struct envol_header *other, *next;
    struct envol_keyring *none;
    uint32_t id;

    seal(1);
    fail_next(says);
    ck_status(open_with(&both[0], NULL), says);
    fail_next(says);
    ck_status(envol_header_add_slot_by(header, keyring, &both[1], NULL, &id, &error), says);
    ck_ok(envol_header_next_epoch(header, &next));
    fail_next(says);
    ck_status(envol_header_rotate_by(next, header, keyring, both, 2, NULL, &none, &error), says);
    envol_header_free(next);
    ck_ok(envol_header_new(NULL, &other));
    fail_next(says);
    ck_status(envol_header_seal_by(other, both, 1, NULL, other_bytes, &none, &error), says);
    envol_header_free(other);
}
END_TEST

/* Eight wrappings of 6 KiB do not fit 28 KiB. */
START_TEST(wrappings_that_do_not_fit)
{
    struct envol_cmk eight[ENVOL_SLOTS_MAX];
    static char refs[ENVOL_SLOTS_MAX][8];
    struct envol_header *next;
    struct envol_keyring *newer;
    uint32_t id;

    for (unsigned i = 0; i < ENVOL_SLOTS_MAX; i++) {
        snprintf(refs[i], sizeof(refs[i]), "key%u", i);
        if (i < ENVOL_SLOTS_MAX - 2)
            fake_kms_add_key(kms, refs[i]);
        eight[i] = (struct envol_cmk){provider, refs[i]};
    }
    eight[6].key_ref = KEY_ONE;
    eight[7].key_ref = KEY_TWO;
    ck_ok(envol_header_seal_by(header, eight, 5, NULL, bytes, &keyring, &error));
    ck_ok(envol_header_next_epoch(header, &next));
    fake_kms_misbehave(kms, FAKE_BLOB_6144);
    ck_status(envol_header_rotate_by(next, header, keyring, eight, 5, NULL, &newer, &error),
              ENVOL_E_RANGE);
    envol_header_free(next);
    envol_keyring_close(keyring);
    envol_header_free(header);

    ck_ok(envol_header_new(NULL, &header));
    ck_ok(envol_header_seal_by(header, eight, 4, NULL, bytes, &keyring, &error));
    ck_status(envol_header_add_slot_by(header, keyring, &eight[4], NULL, &id, &error),
              ENVOL_E_RANGE);
    ck_assert_uint_eq(slots_of(header), 4);
    envol_keyring_close(keyring);
    envol_header_free(header);
    ck_ok(envol_header_new(NULL, &header));
    ck_status(envol_header_seal_by(header, eight, 8, NULL, bytes, &keyring, &error), ENVOL_E_RANGE);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_keys");
    TCase *c = tcase_create("header_keys");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, each_cmk_opens_what_was_sealed);
    tcase_add_test(c, a_volume_opens_them);
    tcase_add_test(c, pins_come_before_the_key_service);
    tcase_add_test(c, an_older_header_than_the_anchor);
    tcase_add_test(c, what_does_not_prove_is_no_slot);
    tcase_add_loop_test(c, a_key_service_that_fails, 1, 5);
    tcase_add_test(c, what_cannot_be_sealed);
    tcase_add_test(c, one_more_slot);
    tcase_add_test(c, a_rewrap);
    tcase_add_test(c, a_slot_that_cannot_be_added);
    tcase_add_test(c, keys_that_are_gone);
    tcase_add_test(c, every_slot_has_the_next_dek);
    tcase_add_test(c, a_slot_without_its_cmk);
    tcase_add_test(c, what_is_not_rotated);
    tcase_add_test(c, temporary_keys);
    tcase_add_loop_test(c, a_provider_that_fails, 0,
                        sizeof(provider_says) / sizeof(provider_says[0]));
    tcase_add_test(c, wrappings_that_do_not_fit);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
