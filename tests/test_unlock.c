/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Headers completed with a DEK, as engines do that talk to the key service themselves; retained
 * epochs; every allocation failed.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "failing_mlock.h"
#include "header_fixture.h"
#include "page_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static const enum envol_suite suites[] = {ENVOL_SUITE_AES_256_GCM, ENVOL_SUITE_AES_256_XTS};

/* What the engine's own key service does: it knows one wrapped DEK, and looks at the context. */
static bool service_unwraps(const struct header_fixture *f, const struct envol_slot *slot,
                            const struct envol_context_pair *context, size_t pairs, uint8_t *dek)
{
    if (strcmp(slot->provider, HEADER_PROVIDER) != 0 || strcmp(slot->key_ref, "second") != 0 ||
        slot->wrapped_bytes != 77 || pairs != 3 || strcmp(context[0].value, "1") != 0)
        return false;
    memcpy(dek, f->dek, ENVOL_DEK_BYTES);
    return true;
}

/* All of way 3, with pages at the end of it. */
START_TEST(an_engine_with_a_service_of_its_own)
{
    static struct header_fixture f;
    const uint8_t object_id[ENVOL_OBJECT_BYTES] = "an object";
    const struct envol_pin pin = {HEADER_PROVIDER, "second"};
    const struct envol_pins pins = {.struct_size = sizeof(pins),
                                    .uuid = f.uuid,
                                    .suites = 1u << suites[_i],
                                    .cmks = &pin,
                                    .cmk_count = 1};
    struct envol_slot slot = {.struct_size = sizeof(slot)};
    uint8_t dek[ENVOL_DEK_BYTES], page[4096] = "Alice", record[4096 + ENVOL_TRAILER_BYTES];
    const struct envol_context_pair *context;
    struct envol_header *header;
    struct envol_keyring *keyring;
    struct envol_object *object;
    uint32_t cursor = 0;
    size_t pairs;

    if (!page_suite(suites[_i]))
        return;
    header_fixture_open(&f, suites[_i]);
    header_add_slot(f.header, "second", 77);
    header_update(&f);
    ck_ok(envol_object_open(f.keyring, object_id, &object));
    ck_ok(envol_page_seal(object, NULL, 5, page, record));
    envol_object_close(object);
    header_fixture_close(&f);

    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_ok(envol_header_check(header, &pins, NULL));
    ck_ok(envol_header_next_slot(header, &pins, &cursor, &slot, NULL));
    context = envol_header_context(header, &pairs);
    ck_assert(service_unwraps(&f, &slot, context, pairs, dek));
    ck_ok(envol_header_unlock(header, dek, 0, NULL, &keyring));
    ck_ok(envol_object_open(keyring, object_id, &object));
    memset(page, 0, sizeof(page));
    ck_ok(envol_page_unseal(object, NULL, 5, record, page));
    ck_assert_str_eq((const char *)page, "Alice");
    envol_object_close(object);
    /* The keyring has all it needs without the header. */
    envol_header_free(header);
    ck_assert_uint_eq(envol_keyring_epoch(keyring), 1);
    envol_keyring_close(keyring);
}
END_TEST

START_TEST(refused)
{
    struct header_fixture f;
    struct envol_anchor anchor = {.struct_size = sizeof(anchor) - 1};
    struct envol_header *header;
    struct envol_keyring *keyring = (struct envol_keyring *)1;

    header_fixture_open(&f, 0);
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_status(envol_header_unlock(NULL, f.dek, 0, NULL, &keyring), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(keyring);
    ck_status(envol_header_unlock(header, NULL, 0, NULL, &keyring), ENVOL_E_ARGUMENT);
    ck_status(envol_header_unlock(header, f.dek, 0, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_unlock(header, f.dek, 0, &anchor, &keyring), ENVOL_E_ARGUMENT);
    for (uint32_t bit = 2; bit < 32; bit++)
        ck_status(envol_header_unlock(header, f.dek, 1u << bit, NULL, &keyring), ENVOL_E_ARGUMENT);
    ck_assert(!header->verified);
    envol_header_free(header);
    header = header_new(&f, 0);
    ck_status(envol_header_unlock(header, f.dek, 0, NULL, &keyring), ENVOL_E_STATE);
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

/* A wrong key after the right one takes nothing away. */
START_TEST(unlocked_again)
{
    struct header_fixture f;
    struct envol_keyring *keyring;
    uint8_t wrong[ENVOL_DEK_BYTES] = {1};

    header_fixture_open(&f, 0);
    ck_status(envol_header_unlock(f.header, wrong, 0, NULL, &keyring), ENVOL_E_WRONG_KEY);
    ck_ok(envol_header_unlock(f.header, f.dek, ENVOL_OPEN_INHERIT, NULL, &keyring));
    envol_keyring_close(keyring);
    header_update(&f);
    header_fixture_close(&f);
}
END_TEST

START_TEST(no_kernel)
{
    static struct header_fixture f;
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct envol_header *header;
    struct envol_keyring *keyring = (struct envol_keyring *)1;

    if (!page_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    header_fixture_open(&f, ENVOL_SUITE_AES_256_XTS);
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    if (!envol_aes_kernel_force("libsodium")) {
        test_skip("headers without a kernel", "libsodium's, which has no XTS, does not run here");
    } else {
        ck_status(envol_header_unlock(header, f.dek, 0, NULL, &keyring), ENVOL_E_UNSUPPORTED);
        ck_assert_ptr_null(keyring);
        envol_header_free(header);
        header = header_new(&f, ENVOL_SUITE_AES_256_XTS);
        header_add_slot(header, "key", 1);
        ck_status(envol_header_seal(header, f.dek, 0, bytes, &keyring), ENVOL_E_UNSUPPORTED);
        ck_assert(envol_is_zero(bytes, sizeof(bytes)));
        ck_assert(envol_aes_kernel_force(NULL));
        ck_ok(envol_header_seal(header, f.dek, 0, bytes, &keyring));
        envol_keyring_close(keyring);
    }
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

START_TEST(no_locked_memory)
{
    static struct header_fixture f;
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct envol_header *header;
    struct envol_keyring *keyring = (struct envol_keyring *)1;

    test_fill(f.dek, sizeof(f.dek));
    mlock_fails = true;
    header = header_new(&f, 0);
    header_add_slot(header, "key", 1);
    ck_status(envol_header_seal(header, f.dek, 0, bytes, &keyring), ENVOL_E_LOCKED_MEMORY);
    ck_assert_ptr_null(keyring);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
    ck_ok(envol_header_seal(header, f.dek, ENVOL_OPEN_ALLOW_UNLOCKED, bytes, &keyring));
    ck_assert(!envol_keyring_locked(keyring));
    envol_keyring_close(keyring);
    ck_status(envol_header_unlock(header, f.dek, ENVOL_OPEN_INHERIT, NULL, &keyring),
              ENVOL_E_LOCKED_MEMORY);
    ck_assert_ptr_null(keyring);
    envol_header_free(header);
}
END_TEST

/* --- Retained epochs -------------------------------------------------------------------------- */

enum { CURRENT = 9, LOWEST = 4 };

static uint8_t old_dek[ENVOL_RETAINED_MAX][ENVOL_DEK_BYTES];

/* A header of epoch 9 that keeps the DEKs of some epochs. */
static void open_retaining(struct header_fixture *f, unsigned count)
{
    struct envol_header *header;

    memset(f, 0, sizeof(*f));
    test_fill(f->dek, sizeof(f->dek));
    test_fill(f->uuid, sizeof(f->uuid));
    test_fill(old_dek, sizeof(old_dek));
    header = f->header = header_new(f, 0);
    header_add_slot(header, HEADER_KEY_REF, 136);
    header->epoch = CURRENT;
    header->lowest_epoch = LOWEST;
    envol_header_refresh_context(header);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_int_eq(envol_header_retain(header, f->dek, CURRENT - 1 - i, old_dek[i]),
                         ENVOL_OK);
    ck_ok(envol_header_seal(header, f->dek, 0, f->bytes, &f->keyring));
}

START_TEST(retained_deks_come_back)
{
    static struct header_fixture f;
    struct envol_header *header;
    struct envol_keyring *keyring;

    open_retaining(&f, (unsigned)_i);
    header = header_again(&f, &keyring);
    ck_assert_uint_eq(header->retained_count, (unsigned)_i);
    ck_assert_uint_eq(envol_keyring_epoch(keyring), CURRENT);
    ck_assert_uint_eq(envol_keyring_lowest_epoch(keyring), LOWEST);
    ck_assert_mem_eq(envol_keyring_find(keyring, CURRENT)->dek, f.dek, ENVOL_DEK_BYTES);
    for (uint32_t i = 0; i < ENVOL_RETAINED_MAX; i++) {
        const struct envol_epoch_keys *keys = envol_keyring_find(keyring, CURRENT - 1 - i);
        ck_assert_int_eq(keys != NULL, i < (unsigned)_i);
        if (keys != NULL)
            ck_assert_mem_eq(keys->dek, old_dek[i], ENVOL_DEK_BYTES);
    }
    ck_assert_str_eq(envol_header_context(header, NULL)[0].value, "9");
    /* No DEK stands in the bytes. */
    for (uint32_t i = 0; i < ENVOL_RETAINED_MAX; i++)
        ck_assert_ptr_null(memmem(f.bytes, sizeof(f.bytes), old_dek[i], 16));
    ck_assert_ptr_null(memmem(f.bytes, sizeof(f.bytes), f.dek, 16));
    envol_keyring_close(keyring);
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

START_TEST(retain_refuses)
{
    static struct header_fixture f;
    static const uint32_t bad[] = {0, 1, LOWEST - 1, CURRENT, CURRENT + 1, UINT32_MAX, CURRENT - 1};

    open_retaining(&f, 1);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(envol_header_retain(f.header, f.dek, bad[i], old_dek[0]),
                         ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(f.header->retained_count, 1);
    for (uint32_t i = 1; i < ENVOL_RETAINED_MAX; i++)
        ck_assert_int_eq(envol_header_retain(f.header, f.dek, CURRENT - 1 - i, old_dek[i]),
                         ENVOL_OK);
    ck_assert_int_eq(envol_header_retain(f.header, f.dek, LOWEST, old_dek[0]), ENVOL_E_RANGE);
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_fixture_close(&f);
}
END_TEST

static size_t the_byte;

static void flip(uint8_t *copy)
{
    copy[the_byte] ^= 0x10;
}

/* By somebody who has the DEK, or a writer that was broken. */
START_TEST(a_retained_dek_that_does_not_open)
{
    static struct header_fixture f;
    static uint8_t before[ENVOL_HEADER_BYTES];

    open_retaining(&f, 2);
    memcpy(before, f.bytes, sizeof(before));
    for (size_t i = 8; i < ENVOL_RETAINED_BYTES; i++) {
        the_byte = ENVOL_AT_RETAINED + ENVOL_RETAINED_BYTES + i;
        header_forge(&f, flip, true);
        ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_CORRUPT);
        memcpy(f.bytes, before, sizeof(before));
    }
    header_fixture_close(&f);
}
END_TEST

/* A wrapping is bound to its epoch and to the current one. */
static void swap_epochs(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_RETAINED, CURRENT - 2);
    envol_store32(copy + ENVOL_AT_RETAINED + ENVOL_RETAINED_BYTES, CURRENT - 1);
}

static void double_epoch(uint8_t *copy)
{
    memcpy(copy + ENVOL_AT_RETAINED + ENVOL_RETAINED_BYTES, copy + ENVOL_AT_RETAINED,
           ENVOL_RETAINED_BYTES);
}

static void current_epoch(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_RETAINED, CURRENT);
}

static void low_epoch(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_RETAINED, LOWEST - 1);
}

static void reserved(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_RETAINED + 4, 1);
}

static void next_epoch(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_EPOCH, CURRENT + 1);
}

START_TEST(retained_epochs_forged)
{
    static void (*const edits[])(uint8_t * copy) = {swap_epochs, double_epoch, current_epoch,
                                                    low_epoch,   reserved,     next_epoch};
    static struct header_fixture f;

    open_retaining(&f, 2);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_forge(&f, edits[_i], true);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_CORRUPT);
    header_fixture_close(&f);
}
END_TEST

/* --- Memory ----------------------------------------------------------------------------------- */

static unsigned allocations, fail_at, blocks;

static void *failing_alloc(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    if (++allocations == fail_at)
        return NULL;
    blocks++;
    return aligned_alloc(align < 16 ? 16 : align, (bytes + 4095) / 4096 * 4096);
}

static void counting_free(void *ctx, void *memory)
{
    (void)ctx;
    blocks--;
    free(memory);
}

static struct header_fixture frugal;

static enum envol_status make_and_read(void)
{
    const struct envol_header_params params = {.struct_size = sizeof(params), .uuid = frugal.uuid};
    const struct envol_slot slot = header_slot("key", 100);
    struct envol_header *header = NULL, *again = NULL;
    struct envol_keyring *keyring = NULL, *second = NULL;
    enum envol_status status = ck_note(envol_header_new(&params, &header));

    if (status == ENVOL_OK)
        status = ck_note(envol_header_add_slot(header, &slot, NULL));
    if (status == ENVOL_OK)
        status = ck_note(envol_header_seal(header, frugal.dek, 0, frugal.bytes, &keyring));
    if (status == ENVOL_OK)
        status = ck_note(envol_header_decode(frugal.bytes, 0, &again, NULL));
    if (status == ENVOL_OK)
        status = ck_note(envol_header_unlock(again, frugal.dek, 0, NULL, &second));
    envol_keyring_close(keyring);
    envol_keyring_close(second);
    envol_header_free(header);
    envol_header_free(again);
    return status;
}

START_TEST(each_allocation_fails)
{
    static const struct envol_allocator allocator = {
        .struct_size = sizeof(allocator), .alloc = failing_alloc, .free = counting_free};
    enum envol_status status;

    frugal.dek[0] = 1;
    ck_ok(envol_set_allocator(&allocator));
    for (fail_at = 1;; fail_at++) {
        allocations = 0;
        status = make_and_read();
        ck_assert_uint_eq(blocks, 0);
        if (status == ENVOL_OK)
            break;
        ck_assert_int_eq(status, ENVOL_E_NO_MEMORY);
    }
    ck_assert_uint_ge(fail_at, 7); /* two headers, two slots, two keyrings, none */
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("unlock");
    TCase *c = tcase_create("unlock");

    tcase_add_loop_test(c, an_engine_with_a_service_of_its_own, 0, 2);
    tcase_add_test(c, refused);
    tcase_add_test(c, unlocked_again);
    tcase_add_test(c, no_kernel);
    tcase_add_test(c, no_locked_memory);
    tcase_add_test(c, each_allocation_fails);
    suite_add_tcase(s, c);
    c = tcase_create("retained");
    tcase_add_loop_test(c, retained_deks_come_back, 0, ENVOL_RETAINED_MAX + 1);
    tcase_add_test(c, retain_refuses);
    tcase_add_test(c, a_retained_dek_that_does_not_open);
    tcase_add_loop_test(c, retained_epochs_forged, 0, 6);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
