/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots: up to eight, packed, padded, copied, bounded. */
#include "base/bytes.h"
#include "base/memory.h"
#include "header_fixture.h"
#include "support.h"

#include <string.h>

static struct header_fixture f;

static void setup(void)
{
    header_fixture_open(&f, 0);
}

static void teardown(void)
{
    header_fixture_close(&f);
}

static struct envol_slot slot_at(const struct envol_header *header, uint32_t index)
{
    struct envol_slot slot = {.struct_size = sizeof(slot)};

    ck_ok(envol_header_slot(header, index, &slot));
    return slot;
}

/* A string of n times a character; lives until eight more were asked for. */
static const char *text_of(size_t n, char character)
{
    static char texts[8][ENVOL_KEY_REF_MAX + 2];
    static unsigned next;
    char *text = texts[next++ % 8];

    memset(text, 0, sizeof(texts[0]));
    return memset(text, character, n);
}

static void add(const struct envol_slot *slot, enum envol_status expected)
{
    uint32_t id = 99, count = f.header->slot_count;

    ck_status(envol_header_add_slot(f.header, slot, &id), expected);
    ck_assert_int_eq(id != 0, expected == ENVOL_OK);
    ck_assert_uint_eq(f.header->slot_count, count + (expected == ENVOL_OK));
}

START_TEST(eight_and_no_more)
{
    struct envol_header *header;
    struct envol_keyring *keyring;
    struct envol_slot slot = header_slot("x", 1);

    for (uint32_t i = 1; i < ENVOL_SLOTS_MAX; i++) {
        slot = header_slot(text_of(i, 'k'), 100 + i);
        slot.created_at_s = i;
        add(&slot, ENVOL_OK);
    }
    add(&slot, ENVOL_E_RANGE);
    header_update(&f);
    header = header_again(&f, &keyring);
    ck_assert_uint_eq(header->slot_count, ENVOL_SLOTS_MAX);
    for (uint32_t i = 0; i < ENVOL_SLOTS_MAX; i++) {
        slot = slot_at(header, i);
        ck_assert_uint_eq(slot.id, i + 1);
        ck_assert_uint_eq(slot.wrapped_bytes, i == 0 ? 136 : 100 + i);
        ck_assert_str_eq(slot.key_ref, i == 0 ? HEADER_KEY_REF : text_of(i, 'k'));
        ck_assert_uint_eq(slot.created_at_s, i == 0 ? HEADER_TIME_S : i);
        ck_assert_mem_eq(slot.wrapped, header_slot("x", 1).wrapped, slot.wrapped_bytes);
    }
    slot = (struct envol_slot){.struct_size = sizeof(slot), .id = 4};
    ck_status(envol_header_slot(header, ENVOL_SLOTS_MAX, &slot), ENVOL_E_RANGE);
    ck_assert_uint_eq(slot.id, 0);
    ck_status(envol_header_slot(header, UINT32_MAX, &slot), ENVOL_E_RANGE);
    envol_keyring_close(keyring);
    envol_header_free(header);
}
END_TEST

/* The entry of one slot, with every length of padding. */
START_TEST(packed_and_padded)
{
    const uint8_t *area = f.bytes + ENVOL_AT_SLOT_AREA;
    struct envol_slot slot = header_slot("ref", 30 + (size_t)_i);
    size_t first = envol_load32(area), filled = 24 + 4 + 3 + 1 + 30 + (size_t)_i;
    const uint8_t *entry = area + first;

    slot.created_at_s = UINT64_C(0x0102030405060708);
    add(&slot, ENVOL_OK);
    header_update(&f);
    ck_assert_uint_eq(first % 8, 0);
    ck_assert_uint_eq(envol_load32(entry), (filled + 7) / 8 * 8);
    ck_assert_uint_eq(envol_load32(entry + 4), 2);
    ck_assert_uint_eq(envol_load64(entry + 8), UINT64_C(0x0102030405060708));
    ck_assert_uint_eq(envol_load16(entry + 16), 4);
    ck_assert_uint_eq(envol_load16(entry + 18), 3);
    ck_assert_uint_eq(envol_load16(entry + 20), 1);
    ck_assert_uint_eq(envol_load16(entry + 22), 30 + (unsigned)_i);
    ck_assert_mem_eq(entry + 24, "fileref1", 8);
    ck_assert_mem_eq(entry + 32, slot.wrapped, slot.wrapped_bytes);
    ck_assert(envol_is_zero(entry + filled, ENVOL_SLOT_AREA_BYTES - first - filled));
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
}
END_TEST

/* To the last byte of the area: 24 + 4 + 9 + 1 + n, padded to 8. */
START_TEST(a_full_area)
{
    size_t left;
    struct envol_slot slot;

    for (uint32_t i = 0; i < 4; i++) {
        slot = header_slot("reference", ENVOL_WRAPPED_MAX);
        add(&slot, ENVOL_OK);
    }
    left = ENVOL_SLOT_AREA_BYTES - envol_slots_encode(f.header, NULL);
    ck_assert_uint_gt(left, 48);
    slot = header_slot("reference", left - 38 + 1);
    add(&slot, ENVOL_E_RANGE);
    slot = header_slot("reference", left - 38);
    add(&slot, ENVOL_OK);
    ck_assert_uint_eq(envol_slots_encode(f.header, NULL), ENVOL_SLOT_AREA_BYTES);
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    ck_assert_uint_eq(f.bytes[ENVOL_AT_MAC - 1], 0x5a);
    slot = header_slot("r", 1);
    add(&slot, ENVOL_E_RANGE);
}
END_TEST

START_TEST(bounds)
{
    const struct envol_slot good = header_slot("ref", 1);
    struct envol_slot slot = good;

    slot.provider = text_of(32, 'z');
    slot.key_ref = text_of(2048, 'r');
    slot.key_version = text_of(128, 'v');
    slot.wrapped_bytes = 6144;
    add(&slot, ENVOL_OK);
    slot.key_version = NULL;
    add(&slot, ENVOL_OK);
    ck_assert_str_eq(slot_at(f.header, 2).key_version, "");
    slot.provider = text_of(33, 'z');
    add(&slot, ENVOL_E_ARGUMENT);
    slot.provider = "";
    add(&slot, ENVOL_E_ARGUMENT);
    slot = good;
    slot.key_ref = text_of(2049, 'r');
    add(&slot, ENVOL_E_ARGUMENT);
    slot.key_ref = "";
    add(&slot, ENVOL_E_ARGUMENT);
    slot = good;
    slot.key_version = text_of(129, 'v');
    add(&slot, ENVOL_E_ARGUMENT);
    slot = good;
    slot.wrapped_bytes = 6145;
    add(&slot, ENVOL_E_ARGUMENT);
    slot.wrapped_bytes = SIZE_MAX - 100;
    add(&slot, ENVOL_E_ARGUMENT);
    slot.wrapped_bytes = 0;
    add(&slot, ENVOL_E_ARGUMENT);
    slot = good;
    slot.struct_size--;
    add(&slot, ENVOL_E_ARGUMENT);
}
END_TEST

START_TEST(characters)
{
    struct envol_slot slot;

    for (int i = 1; i < 256; i++) {
        const char text[] = {'a', (char)i, '\0'};
        bool name = (i >= 'a' && i <= 'z') || (i >= '0' && i <= '9') || i == '-';
        bool control = i < 0x20 || i == 0x7f;
        slot = header_slot("ref", 1);
        slot.provider = text;
        ck_status(envol_header_add_slot(f.header, &slot, NULL), name ? ENVOL_OK : ENVOL_E_ARGUMENT);
        if (name)
            ck_ok(envol_header_remove_slot(f.header, 2));
        slot = header_slot(text, 1);
        slot.key_version = text;
        ck_status(envol_header_add_slot(f.header, &slot, NULL),
                  control ? ENVOL_E_ARGUMENT : ENVOL_OK);
        if (!control)
            ck_ok(envol_header_remove_slot(f.header, 2));
    }
}
END_TEST

START_TEST(nothing_given)
{
    const struct envol_slot good = header_slot("ref", 1);
    struct envol_slot slot = good, bad = {.struct_size = sizeof(bad) - 1};

    slot.provider = NULL;
    add(&slot, ENVOL_E_ARGUMENT);
    slot = good;
    slot.key_ref = NULL;
    add(&slot, ENVOL_E_ARGUMENT);
    slot = good;
    slot.wrapped = NULL;
    add(&slot, ENVOL_E_ARGUMENT);
    ck_status(envol_header_add_slot(f.header, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_add_slot(NULL, &good, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_slot(f.header, 0, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_slot(f.header, 0, &bad), ENVOL_E_ARGUMENT);
    ck_status(envol_header_slot(NULL, 0, &slot), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(slot.key_ref);
    ck_status(envol_header_remove_slot(NULL, 1), ENVOL_E_ARGUMENT);
}
END_TEST

/* The slot that was given may go: all of it was copied. */
START_TEST(slots_are_copies)
{
    char provider[] = "vault", ref[] = "mount/key", version[] = "v7";
    uint8_t wrapped[16] = "sixteen bytes ..";
    const struct envol_slot slot = {.struct_size = sizeof(slot),
                                    .provider = provider,
                                    .key_ref = ref,
                                    .key_version = version,
                                    .wrapped = wrapped,
                                    .wrapped_bytes = sizeof(wrapped)};

    add(&slot, ENVOL_OK);
    memset(provider, 'x', 5);
    memset(ref, 'x', 9);
    memset(version, 'x', 2);
    memset(wrapped, 'x', sizeof(wrapped));
    ck_assert_str_eq(slot_at(f.header, 1).provider, "vault");
    ck_assert_str_eq(slot_at(f.header, 1).key_ref, "mount/key");
    ck_assert_str_eq(slot_at(f.header, 1).key_version, "v7");
    ck_assert_mem_eq(slot_at(f.header, 1).wrapped, "sixteen bytes ..", 16);
}
END_TEST

START_TEST(removed)
{
    struct envol_slot slot = header_slot("new", 9);
    uint32_t id;

    ck_status(envol_header_remove_slot(f.header, 1), ENVOL_E_STATE);
    for (uint32_t i = 0; i < 3; i++)
        header_add_slot(f.header, text_of(i + 1, 'k'), 50);
    ck_status(envol_header_remove_slot(f.header, 0), ENVOL_E_ARGUMENT);
    ck_status(envol_header_remove_slot(f.header, 5), ENVOL_E_ARGUMENT);
    ck_ok(envol_header_remove_slot(f.header, 2));
    ck_ok(envol_header_remove_slot(f.header, 1));
    ck_assert_uint_eq(slot_at(f.header, 0).id, 3);
    ck_assert_uint_eq(slot_at(f.header, 1).id, 4);
    ck_ok(envol_header_add_slot(f.header, &slot, &id));
    ck_assert_uint_eq(id, 1);
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    /* Not a byte of the old wrappings is left, in either copy. */
    ck_assert_ptr_null(memmem(f.bytes, sizeof(f.bytes), HEADER_KEY_REF, 36));
    ck_assert_ptr_nonnull(memmem(f.bytes, sizeof(f.bytes), "new", 3));
    ck_ok(envol_header_remove_slot(f.header, 3));
    ck_ok(envol_header_remove_slot(f.header, 4));
    ck_status(envol_header_remove_slot(f.header, 1), ENVOL_E_STATE);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_slots");
    TCase *c = tcase_create("slots");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, eight_and_no_more);
    tcase_add_loop_test(c, packed_and_padded, 0, 9);
    tcase_add_test(c, a_full_area);
    tcase_add_test(c, bounds);
    tcase_add_test(c, characters);
    tcase_add_test(c, nothing_given);
    tcase_add_test(c, slots_are_copies);
    tcase_add_test(c, removed);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
