/* SPDX-License-Identifier: BSD-2-Clause */
/* What the caller knows from elsewhere: UUID, suites, CMKs, and anchors against rollback. */
#include "header_fixture.h"
#include "page_fixture.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static struct header_fixture f;

static struct envol_pins pins_of(const struct envol_pin *cmks, size_t count)
{
    return (struct envol_pins){
        .struct_size = sizeof(struct envol_pins), .cmks = cmks, .cmk_count = count};
}

static void setup(void)
{
    header_fixture_open(&f, 0);
}

static void teardown(void)
{
    header_fixture_close(&f);
}

static void expect_check(const struct envol_pins *pins, enum envol_status expected)
{
    struct envol_error error = ENVOL_ERROR_INIT;

    error.status = ENVOL_E_IO;
    ck_status(envol_header_check(f.header, pins, &error), expected);
    ck_assert_int_eq(error.status, expected);
    ck_assert_int_eq(error.message[0] == '\0', expected == ENVOL_OK);
    ck_status(envol_header_check(f.header, pins, NULL), expected);
}

START_TEST(uuid_and_suites)
{
    struct envol_pins pins = pins_of(NULL, 0);
    uint8_t uuid[ENVOL_UUID_BYTES];

    expect_check(&pins, ENVOL_OK);
    pins.uuid = f.uuid;
    expect_check(&pins, ENVOL_OK);
    for (unsigned i = 0; i < ENVOL_UUID_BYTES; i++) {
        memcpy(uuid, f.uuid, sizeof(uuid));
        uuid[i] ^= 0x10;
        pins.uuid = uuid;
        expect_check(&pins, ENVOL_E_POLICY);
    }
    pins.uuid = NULL;
    pins.suites = 1u << ENVOL_SUITE_AES_256_GCM;
    expect_check(&pins, ENVOL_OK);
    pins.suites |= 1u << ENVOL_SUITE_AES_256_XTS;
    expect_check(&pins, ENVOL_OK);
    pins.suites = 1u << ENVOL_SUITE_AES_256_XTS;
    expect_check(&pins, ENVOL_E_POLICY);
    pins.suites = 1u << 31;
    expect_check(&pins, ENVOL_E_POLICY);
}
END_TEST

/* CVE-2025-59054 and its kin: the header that says XTS is not opened where GCM is pinned. */
START_TEST(suite_downgrade)
{
    struct envol_pins pins = pins_of(NULL, 0);

    if (!page_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    header_fixture_close(&f);
    header_fixture_open(&f, ENVOL_SUITE_AES_256_XTS);
    pins.suites = 1u << ENVOL_SUITE_AES_256_GCM;
    expect_check(&pins, ENVOL_E_POLICY);
    pins.suites = 1u << ENVOL_SUITE_AES_256_XTS;
    expect_check(&pins, ENVOL_OK);
}
END_TEST

START_TEST(pins_that_are_none)
{
    struct envol_pins pins = pins_of(NULL, 0);
    struct envol_anchor anchor = {.struct_size = sizeof(anchor) - 1};

    expect_check(NULL, ENVOL_E_ARGUMENT);
    ck_status(envol_header_check(NULL, &pins, NULL), ENVOL_E_ARGUMENT);
    pins.struct_size--;
    expect_check(&pins, ENVOL_E_ARGUMENT);
    pins = pins_of(NULL, 1);
    expect_check(&pins, ENVOL_E_ARGUMENT);
    pins = pins_of(NULL, 0);
    pins.anchor = &anchor;
    expect_check(&pins, ENVOL_E_ARGUMENT);
}
END_TEST

/* --- Which slots may be sent ------------------------------------------------------------------ */

struct offer {
    const char *provider, *key_ref;
};

static const struct offer offers[] = {
    {"file", "A"},         {"aws-kms", "arn:1"}, {"aws-kms", "arn:2"},
    {"aws-kms", "arn:22"}, {"vault", "A"},
};

static void setup_slots(void)
{
    setup();
    for (unsigned i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        struct envol_slot slot = header_slot(offers[i].key_ref, 10 + i);
        slot.provider = offers[i].provider;
        ck_ok(envol_header_add_slot(f.header, &slot, NULL));
    }
}

/* The slots that come, as ids and indices of pins: "2/0 3/1 ". */
static const char *slots_for(const struct envol_pin *cmks, size_t count)
{
    static char list[128];
    struct envol_pins pins = pins_of(cmks, count);
    struct envol_slot slot = {.struct_size = sizeof(slot)};
    uint32_t cursor = 0;
    size_t pin = 99;
    enum envol_status status;

    list[0] = '\0';
    while ((status = ck_note(envol_header_next_slot(f.header, &pins, &cursor, &slot, &pin))) ==
           ENVOL_OK)
        sprintf(list + strlen(list), "%u/%zu ", slot.id, pin);
    ck_assert_int_eq(status, ENVOL_E_NO_PROVIDER);
    ck_assert_ptr_null(slot.provider);
    ck_assert_ptr_null(slot.wrapped);
    ck_assert_uint_eq(slot.wrapped_bytes, 0);
    ck_assert_uint_eq(slot.struct_size, sizeof(slot));
    ck_assert_uint_eq(pin, 0);
    /* The end stays the end. */
    ck_status(envol_header_next_slot(f.header, &pins, &cursor, &slot, NULL), ENVOL_E_NO_PROVIDER);
    return list;
}

START_TEST(only_pinned_slots)
{
    const struct envol_pin exact[] = {{"aws-kms", "arn:2"}, {"file", "A"}};
    const struct envol_pin none[] = {
        {"aws-kms", "arn:"}, {"aws-kms", "arn:222"}, {"aws", "arn:2"}, {"AWS-KMS", "arn:2"},
        {"file", "a"},       {"file", ""},           {"", "A"},        {NULL, "A"},
        {NULL, NULL}};
    const struct envol_pin any[] = {{"aws-kms", NULL}};
    const struct envol_pin both[] = {{"aws-kms", "arn:2"}, {"aws-kms", NULL}};

    ck_assert_str_eq(slots_for(NULL, 0), "");
    ck_assert_str_eq(slots_for(exact, 2), "2/1 4/0 ");
    ck_assert_str_eq(slots_for(none, sizeof(none) / sizeof(none[0])), "");
    ck_assert_str_eq(slots_for(any, 1), "3/0 4/0 5/0 ");
    ck_assert_str_eq(slots_for(both, 2), "3/1 4/0 5/1 ");
}
END_TEST

START_TEST(what_to_unwrap)
{
    const struct envol_pin pin = {"vault", "A"};
    const struct envol_pins pins = pins_of(&pin, 1);
    struct {
        struct envol_slot slot;
        uint64_t later; /* a field of a newer version of the struct */
    } newer = {.slot.struct_size = sizeof(newer), .later = 77};
    struct envol_slot bad = {.struct_size = sizeof(bad) - 1};
    uint32_t cursor = 0;

    ck_ok(envol_header_next_slot(f.header, &pins, &cursor, &newer.slot, NULL));
    ck_assert_uint_eq(newer.slot.struct_size, sizeof(newer));
    ck_assert_uint_eq(newer.later, 0);
    ck_assert_uint_eq(newer.slot.id, 6);
    ck_assert_str_eq(newer.slot.provider, "vault");
    ck_assert_str_eq(newer.slot.key_ref, "A");
    ck_assert_str_eq(newer.slot.key_version, "1");
    ck_assert_uint_eq(newer.slot.wrapped_bytes, 14);
    ck_assert_mem_eq(newer.slot.wrapped, header_slot("A", 14).wrapped, 14);
    ck_assert_uint_eq(newer.slot.created_at_s, HEADER_TIME_S);
    ck_status(envol_header_next_slot(f.header, &pins, &cursor, &bad, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_next_slot(f.header, &pins, &cursor, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_next_slot(f.header, &pins, NULL, &newer.slot, NULL), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(newer.slot.wrapped);
    ck_status(envol_header_next_slot(f.header, NULL, &cursor, &newer.slot, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_next_slot(NULL, &pins, &cursor, &newer.slot, NULL), ENVOL_E_ARGUMENT);
    cursor = UINT32_MAX;
    ck_status(envol_header_next_slot(f.header, &pins, &cursor, &newer.slot, NULL),
              ENVOL_E_NO_PROVIDER);
}
END_TEST

/* --- Anchors ---------------------------------------------------------------------------------- */

static struct envol_anchor anchor;

static void setup_anchor(void)
{
    setup();
    header_update(&f);
    anchor.struct_size = sizeof(anchor);
    ck_ok(envol_header_anchor(f.header, &anchor));
}

/* Of the bytes: by check, and by unlock alone, which nobody can forget. */
static void expect_anchor(enum envol_status checking, enum envol_status unlocking)
{
    struct envol_pins pins = pins_of(NULL, 0);
    struct envol_header *header;
    struct envol_keyring *keyring;

    pins.anchor = &anchor;
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    ck_status(envol_header_check(header, &pins, NULL), checking);
    ck_status(envol_header_unlock(header, f.dek, 0, &anchor, &keyring), unlocking);
    ck_assert_int_eq(header->verified, unlocking == ENVOL_OK);
    envol_keyring_close(keyring);
    envol_header_free(header);
}

START_TEST(newer_than_the_anchor)
{
    expect_anchor(ENVOL_OK, ENVOL_OK);
    header_update(&f);
    expect_anchor(ENVOL_OK, ENVOL_OK);
}
END_TEST

START_TEST(older_than_the_anchor)
{
    anchor.generation++;
    expect_anchor(ENVOL_E_STALE, ENVOL_E_STALE);
    anchor.generation = UINT64_MAX;
    expect_anchor(ENVOL_E_STALE, ENVOL_E_STALE);
    anchor.generation = 1;
    anchor.epoch = 2;
    expect_anchor(ENVOL_E_STALE, ENVOL_E_STALE);
}
END_TEST

/* The pair of copies that was there before: rolled back whole, with good MACs. */
START_TEST(an_old_pair_restored)
{
    static uint8_t old[ENVOL_HEADER_BYTES];

    memcpy(old, f.bytes, sizeof(old));
    header_update(&f);
    ck_ok(envol_header_anchor(f.header, &anchor));
    expect_anchor(ENVOL_OK, ENVOL_OK);
    memcpy(f.bytes, old, sizeof(old));
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK); /* nothing but the anchor tells */
    expect_anchor(ENVOL_E_STALE, ENVOL_E_STALE);
}
END_TEST

START_TEST(another_history)
{
    anchor.mac[31] ^= 1;
    expect_anchor(ENVOL_OK, ENVOL_E_STALE);
    /* A later generation has another MAC anyway. */
    header_update(&f);
    expect_anchor(ENVOL_OK, ENVOL_OK);
}
END_TEST

START_TEST(an_anchor_of_another_volume)
{
    anchor.uuid[0] ^= 1;
    expect_anchor(ENVOL_E_POLICY, ENVOL_E_POLICY);
    anchor.generation = 1;
    expect_anchor(ENVOL_E_POLICY, ENVOL_E_POLICY);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_pins");
    TCase *c = tcase_create("pins");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, uuid_and_suites);
    tcase_add_test(c, suite_downgrade);
    tcase_add_test(c, pins_that_are_none);
    suite_add_tcase(s, c);
    c = tcase_create("slots");
    tcase_add_checked_fixture(c, setup_slots, teardown);
    tcase_add_test(c, only_pinned_slots);
    tcase_add_test(c, what_to_unwrap);
    suite_add_tcase(s, c);
    c = tcase_create("anchor");
    tcase_add_checked_fixture(c, setup_anchor, teardown);
    tcase_add_test(c, newer_than_the_anchor);
    tcase_add_test(c, older_than_the_anchor);
    tcase_add_test(c, an_old_pair_restored);
    tcase_add_test(c, another_history);
    tcase_add_test(c, an_anchor_of_another_volume);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
