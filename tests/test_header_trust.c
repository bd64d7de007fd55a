/* SPDX-License-Identifier: BSD-2-Clause */
/* What is believed of hostile header bytes, in which order, and what is answered. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "header_fixture.h"
#include "support.h"

#include <string.h>

static struct header_fixture f;

static void setup(void)
{
    header_fixture_open(&f, 0);
    header_add_slot(f.header, "second", 40);
    ck_ok(envol_header_set_pages(f.header, 1000, 1, 5000));
    header_update(&f);
}

static void teardown(void)
{
    header_fixture_close(&f);
}

/* --- Each byte changed ------------------------------------------------------------------------ */

enum { MAYBE = 100 }; /* ENVOL_E_CORRUPT out of bounds, ENVOL_E_WRONG_KEY within */

/* Answers to a changed byte of a copy whose CRC was made right: bounds come before the MAC. */
static const struct {
    size_t to; /* from the end of the row before */
    int status;
} answers[] = {
    {ENVOL_AT_VERSION, ENVOL_E_FORMAT},
    {ENVOL_AT_CRC, ENVOL_E_VERSION},
    {ENVOL_AT_GENERATION, ENVOL_OK},
    {ENVOL_AT_UUID, MAYBE}, /* generation */
    {ENVOL_AT_SUITE, ENVOL_E_WRONG_KEY},
    {ENVOL_AT_SPARE_16, ENVOL_E_CORRUPT},
    {ENVOL_AT_PAGE_BYTES, ENVOL_E_WRONG_KEY},
    {ENVOL_AT_EPOCH, MAYBE}, /* page_bytes, stride_bytes */
    {ENVOL_AT_LOWEST_EPOCH, MAYBE},
    {ENVOL_AT_CLEAN, ENVOL_E_CORRUPT},          /* the lowest epoch, which is the current one */
    {ENVOL_AT_SEAL_ESTIMATE, MAYBE},            /* clean, data offset, high_water */
    {ENVOL_AT_INCOMPATIBLE, ENVOL_E_WRONG_KEY}, /* seal estimate, features */
    {ENVOL_AT_SLOTS, MAYBE},                    /* incompatible ones: atomic pages need room */
    {ENVOL_AT_SPARE_32, ENVOL_E_CORRUPT},       /* numbers of slots and epochs */
    {ENVOL_AT_RETAINED, ENVOL_E_WRONG_KEY},     /* rotation, log seal */
    {ENVOL_AT_SPARE, ENVOL_E_CORRUPT},          /* retained epochs, of which there are none */
    {ENVOL_AT_SLOT_AREA, ENVOL_E_WRONG_KEY},    /* spare */
};

static int answer_at(size_t at)
{
    size_t row = 0;

    while (at >= answers[row].to)
        row++;
    return answers[row].status;
}

/* One copy in a header whose other one is no header. */
static enum envol_status try_alone(const uint8_t *copy)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];

    memcpy(bytes, copy, ENVOL_HEADER_COPY_BYTES);
    return header_try(&f, bytes);
}

static void expect_answer(size_t at, enum envol_status status)
{
    int expected = answer_at(at);

    if (expected == MAYBE)
        expected = status == ENVOL_E_CORRUPT ? ENVOL_E_CORRUPT : ENVOL_E_WRONG_KEY;
    ck_assert_msg((int)status == expected, "byte %zu: %s", at, envol_status_name(status));
}

/* All bits of the fields, one of each byte of what lies between them. */
START_TEST(each_byte_with_a_right_crc)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];

    for (size_t at = 0; at < ENVOL_AT_SLOT_AREA; at++) {
        bool is_field = at < ENVOL_AT_ROTATION;
        for (unsigned bit = is_field ? 0 : at % 8; bit <= (is_field ? 7 : at % 8); bit++) {
            memcpy(copy, f.bytes, sizeof(copy));
            copy[at] ^= (uint8_t)(1u << bit);
            header_make_crc(copy);
            expect_answer(at, try_alone(copy));
        }
    }
}
END_TEST

START_TEST(each_byte_as_found_on_a_bad_disk)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];

    for (size_t at = 0; at < ENVOL_AT_SLOT_AREA; at++) {
        memcpy(bytes, f.bytes, ENVOL_HEADER_COPY_BYTES);
        bytes[at] ^= (uint8_t)(1u << at % 8);
        ck_assert_int_eq(header_try(&f, bytes), at < 8 ? ENVOL_E_FORMAT : ENVOL_E_CORRUPT);
    }
    /* The other copy is there for that. */
    memcpy(bytes + ENVOL_HEADER_COPY_BYTES, f.bytes, ENVOL_HEADER_COPY_BYTES);
    ck_assert_int_eq(header_try(&f, bytes), ENVOL_OK);
}
END_TEST

/* Slots and MAC: nothing of them may be changed either. */
START_TEST(slots_and_mac)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    size_t end = ENVOL_AT_SLOT_AREA + envol_slots_encode(f.header, NULL);

    for (size_t at = ENVOL_AT_SLOT_AREA; at < ENVOL_HEADER_COPY_BYTES; at++) {
        enum envol_status status;
        if (at >= end + 64 && at < ENVOL_AT_MAC && at % 101 != 0)
            continue;
        memcpy(copy, f.bytes, sizeof(copy));
        copy[at] ^= (uint8_t)(1u << at % 8);
        header_make_crc(copy);
        status = try_alone(copy);
        if (at >= ENVOL_AT_MAC)
            ck_assert_int_eq(status, ENVOL_E_WRONG_KEY);
        else if (at >= end)
            ck_assert_int_eq(status, ENVOL_E_CORRUPT);
        else
            ck_assert_msg(status == ENVOL_E_CORRUPT || status == ENVOL_E_WRONG_KEY, "byte %zu: %s",
                          at, envol_status_name(status));
    }
}
END_TEST

/* The MAC field itself may hold anything: a copy is whole by its CRC alone. */
START_TEST(wrong_key)
{
    struct envol_header *header;
    struct envol_keyring *keyring = (struct envol_keyring *)1;
    uint8_t dek[ENVOL_DEK_BYTES];

    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    for (unsigned bit = 0; bit < 8 * ENVOL_DEK_BYTES; bit++) {
        memcpy(dek, f.dek, sizeof(dek));
        dek[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_status(envol_header_unlock(header, dek, 0, NULL, &keyring), ENVOL_E_WRONG_KEY);
        ck_assert_ptr_null(keyring);
        ck_assert(!header->verified);
    }
    envol_header_free(header);
}
END_TEST

/* --- Fields out of bounds, by somebody who has the DEK ---------------------------------------- */

struct patch {
    const char *name;
    size_t at, bytes;
    uint64_t value;
};

#define SLOT      ENVOL_AT_SLOT_AREA
#define KEPT(i)   (ENVOL_AT_RETAINED + (i)*ENVOL_RETAINED_BYTES)
#define CONTENT   (SLOT + ENVOL_SLOT_HEAD_BYTES)
#define FILLED    (ENVOL_SLOT_HEAD_BYTES + 4 + 36 + 1 + 136) /* file, a UUID, "1", DEK */
#define ENTRY     ((FILLED + 7) / 8 * 8)
#define NEXT_SLOT (SLOT + ENTRY)

static const struct patch hostile[] = {
    {"generation 0", ENVOL_AT_GENERATION, 8, 0},
    {"suite 0", ENVOL_AT_SUITE, 2, 0},
    {"suite 3", ENVOL_AT_SUITE, 2, 3},
    {"suite 0xffff", ENVOL_AT_SUITE, 2, 0xffff},
    {"page_bytes 0", ENVOL_AT_PAGE_BYTES, 4, 0},
    {"page_bytes 2^32 - 16", ENVOL_AT_PAGE_BYTES, 4, UINT32_MAX - 15},
    {"page_bytes over 16 MiB", ENVOL_AT_PAGE_BYTES, 4, (16 << 20) + 16},
    {"stride 0", ENVOL_AT_STRIDE_BYTES, 4, 0},
    {"stride 2^32 - 1", ENVOL_AT_STRIDE_BYTES, 4, UINT32_MAX},
    {"stride of the page", ENVOL_AT_STRIDE_BYTES, 4, 4096},
    {"data offset 0", ENVOL_AT_DATA_OFFSET, 8, 0},
    {"data offset in the header", ENVOL_AT_DATA_OFFSET, 8, 32768},
    {"data offset unaligned", ENVOL_AT_DATA_OFFSET, 8, 65536 + 512},
    {"data offset 2^63", ENVOL_AT_DATA_OFFSET, 8, UINT64_C(1) << 63},
    {"data offset 2^64 - 4096", ENVOL_AT_DATA_OFFSET, 8, UINT64_MAX - 4095},
    {"high_water 2^64 - 1", ENVOL_AT_HIGH_WATER, 8, UINT64_MAX},
    {"high_water, one too many", ENVOL_AT_HIGH_WATER, 8,
     ((UINT64_C(1) << 63) - 1 - 65536) / 4144 + 1},
    {"clean 2", ENVOL_AT_CLEAN, 4, 2},
    {"epoch 0", ENVOL_AT_EPOCH, 4, 0},
    {"lowest epoch 0", ENVOL_AT_LOWEST_EPOCH, 4, 0},
    {"lowest epoch above the current one", ENVOL_AT_LOWEST_EPOCH, 4, 2},
    {"5 retained epochs", ENVOL_AT_RETAINED_COUNT, 4, 5},
    {"2^32 - 1 retained epochs", ENVOL_AT_RETAINED_COUNT, 4, UINT32_MAX},
    {"2^31 retained epochs", ENVOL_AT_RETAINED_COUNT, 4, UINT64_C(1) << 31},
    {"a retained epoch of zeros", ENVOL_AT_RETAINED_COUNT, 4, 1},
    {"an unused retained epoch", KEPT(0), 4, 1},
    {"an unused retained DEK", KEPT(3) + ENVOL_RETAINED_BYTES - 1, 1, 1},
    {"no slot", ENVOL_AT_SLOTS, 4, 0},
    {"one slot fewer", ENVOL_AT_SLOTS, 4, 1},
    {"one slot more", ENVOL_AT_SLOTS, 4, 3},
    {"9 slots", ENVOL_AT_SLOTS, 4, 9},
    {"2^32 - 1 slots", ENVOL_AT_SLOTS, 4, UINT32_MAX},
    {"entry of 0 bytes", SLOT, 4, 0},
    {"entry of 8 bytes", SLOT, 4, 8},
    {"entry 8 bytes short", SLOT, 4, ENTRY - 8},
    {"entry 8 bytes long", SLOT, 4, ENTRY + 8},
    {"entry not padded", SLOT, 4, FILLED},
    {"entry of all the area", SLOT, 4, ENVOL_SLOT_AREA_BYTES},
    {"entry of 2^32 - 8 bytes", SLOT, 4, UINT32_MAX - 7},
    {"slot id 0", SLOT + 4, 4, 0},
    {"two slots of one id", SLOT + 4, 4, 2},
    {"provider of 0 bytes", SLOT + 16, 2, 0},
    {"provider of 33 bytes", SLOT + 16, 2, 33},
    {"provider of 65535 bytes", SLOT + 16, 2, UINT16_MAX},
    {"key reference of 0 bytes", SLOT + 18, 2, 0},
    {"key reference of 2049 bytes", SLOT + 18, 2, 2049},
    {"key reference of 65535 bytes", SLOT + 18, 2, UINT16_MAX},
    {"key version of 129 bytes", SLOT + 20, 2, 129},
    {"wrapped DEK of 0 bytes", SLOT + 22, 2, 0},
    {"wrapped DEK of 6145 bytes", SLOT + 22, 2, 6145},
    {"wrapped DEK a byte longer", SLOT + 22, 2, 144},
    {"capital in the provider", CONTENT, 1, 'F'},
    {"slash in the provider", CONTENT + 1, 1, '/'},
    {"NUL in the provider", CONTENT + 3, 1, 0},
    {"NUL in the key reference", CONTENT + 4, 1, 0},
    {"escape in the key reference", CONTENT + 20, 1, 0x1b},
    {"DEL in the key version", CONTENT + 40, 1, 0x7f},
    {"padding", SLOT + ENTRY - 1, 1, 1},
    {"bytes behind the slots", ENVOL_AT_MAC - 1, 1, 1},
    {"second slot of no bytes", NEXT_SLOT, 4, 0},
};

static void put(uint8_t *to, const struct patch *patch)
{
    for (size_t i = 0; i < patch->bytes; i++)
        to[patch->at + i] = (uint8_t)(patch->value >> 8 * i);
}

static const struct patch *the_patch;

static void apply_patch(uint8_t *copy)
{
    put(copy, the_patch);
}

START_TEST(out_of_bounds)
{
    struct envol_header *header = (struct envol_header *)1;
    struct envol_error error = ENVOL_ERROR_INIT;

    ck_assert_uint_eq(envol_load32(f.bytes + SLOT), ENTRY);
    ck_assert_uint_ne(ENTRY, FILLED);
    the_patch = &hostile[_i];
    header_forge(&f, apply_patch, true);
    mark_point();
    ck_assert_msg(ck_note(envol_header_decode(f.bytes, 0, &header, &error)) == ENVOL_E_CORRUPT,
                  "%s: %s", the_patch->name, envol_status_name(error.status));
    ck_assert_ptr_null(header);
    ck_assert_int_eq(error.status, ENVOL_E_CORRUPT);
    ck_assert_str_ne(error.message, "");
}
END_TEST

/* The limits themselves are within. */
static const struct patch within[] = {
    {"the last generation", ENVOL_AT_GENERATION, 8, UINT64_MAX},
    {"the last page", ENVOL_AT_HIGH_WATER, 8, ((UINT64_C(1) << 63) - 1 - 65536) / 4144},
    {"the largest estimate", ENVOL_AT_SEAL_ESTIMATE, 8, UINT64_MAX},
    {"the last epoch", ENVOL_AT_EPOCH, 4, UINT32_MAX},
    {"the last offset", ENVOL_AT_DATA_OFFSET, 8, UINT64_C(1) << 62},
    {"the longest gap", ENVOL_AT_STRIDE_BYTES, 4, 4096 + 48 + 4095},
    {"not clean", ENVOL_AT_CLEAN, 4, 0},
    {"the last slot id", SLOT + 4, 4, UINT32_MAX},
    {"no time", SLOT + 8, 8, 0},
    {"UTF-8 in the key reference", CONTENT + 4, 2, 0xa9c3},
};

START_TEST(within_bounds)
{
    the_patch = &within[_i];
    header_forge(&f, apply_patch, true);
    ck_assert_msg(header_try(&f, f.bytes) == ENVOL_OK, "%s", the_patch->name);
    ck_assert_msg(memcmp(f.bytes, f.bytes + ENVOL_HEADER_COPY_BYTES, ENVOL_HEADER_COPY_BYTES) == 0,
                  "%s", the_patch->name);
}
END_TEST

/* A change that the MAC does not cover does not exist. */
START_TEST(within_bounds_without_the_dek)
{
    the_patch = &within[_i];
    header_forge(&f, apply_patch, false);
    ck_assert_msg(header_try(&f, f.bytes) == ENVOL_E_WRONG_KEY, "%s", the_patch->name);
}
END_TEST

/* --- Versions and features -------------------------------------------------------------------- */

enum { PATCHES = 4 };

static const struct {
    struct patch patch[PATCHES];
    enum envol_status decoding, unlocking, updating;
} features[] = {
    {{{"version 0", ENVOL_AT_VERSION, 4, 0}}, ENVOL_E_VERSION, ENVOL_OK, ENVOL_OK},
    {{{"version 2", ENVOL_AT_VERSION, 4, 2}}, ENVOL_E_VERSION, ENVOL_OK, ENVOL_OK},
    {{{"version 2^32 - 1", ENVOL_AT_VERSION, 4, UINT32_MAX}}, ENVOL_E_VERSION, ENVOL_OK, ENVOL_OK},
    {{{"compatible", ENVOL_AT_COMPATIBLE, 4, UINT32_MAX}}, ENVOL_OK, ENVOL_OK, ENVOL_OK},
    {{{"snapshots without one", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 1}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"a snapshot without its feature", ENVOL_AT_SNAPSHOTS, 1, 1}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"spare", ENVOL_AT_SPARE_2, 1, 1}}, ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_OK},
    {{{"read-only-compatible", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 4}},
     ENVOL_OK,
     ENVOL_OK,
     ENVOL_E_VERSION},
    {{{"a catalog without its record", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 2}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"its record alone", ENVOL_AT_CATALOG, 8, 1}}, ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_OK},
    {{{"a catalog", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 2},
      {"serial", ENVOL_AT_CATALOG, 8, 1},
      {"entries", ENVOL_AT_CATALOG + 8, 8, 1},
      {"epoch", ENVOL_AT_CATALOG + 16, 4, 1}},
     ENVOL_OK,
     ENVOL_OK,
     ENVOL_OK},
    {{{"a catalog", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 2},
      {"serial", ENVOL_AT_CATALOG, 8, 1},
      {"epoch", ENVOL_AT_CATALOG + 16, 4, 1}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"a catalog", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 2},
      {"entries", ENVOL_AT_CATALOG + 8, 8, 1},
      {"epoch", ENVOL_AT_CATALOG + 16, 4, 1}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"a catalog", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 2},
      {"serial", ENVOL_AT_CATALOG, 8, 1},
      {"entries", ENVOL_AT_CATALOG + 8, 8, 1},
      {"an epoch that is not kept", ENVOL_AT_CATALOG + 16, 4, 2}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"a catalog", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 2},
      {"serial", ENVOL_AT_CATALOG, 8, 1},
      {"entries", ENVOL_AT_CATALOG + 8, 8, 1},
      {"epoch, spare", ENVOL_AT_CATALOG + 16, 8, UINT64_C(1) << 32 | 1}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"incompatible", ENVOL_AT_INCOMPATIBLE, 4, 8}}, ENVOL_OK, ENVOL_E_VERSION, ENVOL_OK},
    {{{"restoring without a record", ENVOL_AT_INCOMPATIBLE, 4, 4}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"a restore record alone", ENVOL_AT_RESTORE, 4, 1}}, ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_OK},
    {{{"restoring", ENVOL_AT_INCOMPATIBLE, 4, 4}, {"its record", ENVOL_AT_RESTORE, 4, 1}},
     ENVOL_OK,
     ENVOL_E_STATE,
     ENVOL_OK},
    {{{"restoring", ENVOL_AT_INCOMPATIBLE, 4, 4}, {"another kind", ENVOL_AT_RESTORE, 4, 2}},
     ENVOL_OK,
     ENVOL_E_VERSION,
     ENVOL_OK},
    {{{"restoring", ENVOL_AT_INCOMPATIBLE, 4, 4},
      {"spare", ENVOL_AT_RESTORE, 8, UINT64_C(1) << 32 | 1}},
     ENVOL_OK,
     ENVOL_E_CORRUPT,
     ENVOL_OK},
    {{{"atomic pages without room", ENVOL_AT_INCOMPATIBLE, 4, 2}},
     ENVOL_E_CORRUPT,
     ENVOL_OK,
     ENVOL_OK},
    {{{"atomic pages", ENVOL_AT_INCOMPATIBLE, 4, 2},
      {"their room", ENVOL_AT_DATA_OFFSET, 8, UINT64_C(1) << 20}},
     ENVOL_OK,
     ENVOL_OK,
     ENVOL_OK},
    {{{"incompatible, the last", ENVOL_AT_INCOMPATIBLE, 4, UINT64_C(1) << 31}},
     ENVOL_OK,
     ENVOL_E_VERSION,
     ENVOL_OK},
    {{{"sparse", ENVOL_AT_INCOMPATIBLE, 4, 1}}, ENVOL_OK, ENVOL_OK, ENVOL_OK},
    {{{"rotation", ENVOL_AT_ROTATION + 127, 1, 1}}, ENVOL_OK, ENVOL_E_VERSION, ENVOL_OK},
    {{{"log seal", ENVOL_AT_LOG_SEAL + 127, 1, 1}}, ENVOL_OK, ENVOL_E_VERSION, ENVOL_OK},
    {{{"spare", ENVOL_AT_SLOT_AREA - 1, 1, 1}}, ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_OK},
    {{{"spare", ENVOL_AT_SPARE, 1, 1}}, ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_OK},
    {{{"spare 42", ENVOL_AT_SPARE_16, 2, 0x8000}}, ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_OK},
    {{{"spare 108", ENVOL_AT_SPARE_32, 4, 1}}, ENVOL_OK, ENVOL_E_CORRUPT, ENVOL_OK},
    {{{"spare", ENVOL_AT_SPARE, 1, 1}, {"its feature", ENVOL_AT_COMPATIBLE, 4, 4}},
     ENVOL_OK,
     ENVOL_OK,
     ENVOL_OK},
    {{{"spare", ENVOL_AT_SPARE, 1, 1}, {"its", ENVOL_AT_READ_ONLY_COMPATIBLE, 4, 4}},
     ENVOL_OK,
     ENVOL_OK,
     ENVOL_E_VERSION},
};

static void apply_all(uint8_t *copy)
{
    for (size_t i = 0; i < PATCHES; i++)
        put(copy, &the_patch[i]);
}

START_TEST(versions_and_features)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    struct envol_header *header;
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_keyring *keyring;
    uint32_t first;

    the_patch = features[_i].patch;
    header_forge(&f, apply_all, true);
    ck_status(envol_header_decode(f.bytes, 0, &header, NULL), features[_i].decoding);
    if (features[_i].decoding != ENVOL_OK)
        return;
    ck_status(envol_header_unlock(header, f.dek, 0, NULL, &keyring), features[_i].unlocking);
    ck_assert_int_eq(header->verified, features[_i].unlocking == ENVOL_OK);
    ck_ok(envol_header_info(header, &info));
    ck_assert_int_eq(info.sparse, (header->incompatible & 1) != 0);
    ck_assert_int_eq(info.atomic_pages, (header->incompatible & 2) != 0);
    if (features[_i].unlocking == ENVOL_OK)
        ck_status(envol_header_prepare(header, keyring, f.bytes, copy, &first),
                  features[_i].updating);
    envol_keyring_close(keyring);
    envol_header_free(header);
}
END_TEST

/* --- Two copies ------------------------------------------------------------------------------- */

static uint8_t *second(void)
{
    return f.bytes + ENVOL_HEADER_COPY_BYTES;
}

static uint64_t generation_of(uint32_t flags, enum envol_status expected)
{
    struct envol_header *header;
    struct envol_header_info info = {.struct_size = sizeof(info)};

    ck_status(envol_header_decode(f.bytes, flags, &header, NULL), expected);
    if (expected != ENVOL_OK)
        return 0;
    ck_ok(envol_header_info(header, &info));
    envol_header_free(header);
    return info.generation;
}

/* One generation further in the copy given alone. */
static void age(unsigned newer)
{
    static uint8_t old[ENVOL_HEADER_COPY_BYTES];

    memcpy(old, f.bytes, sizeof(old));
    ck_ok(envol_header_set_pages(f.header, 2000, 0, 0));
    header_update(&f);
    memcpy(newer == 0 ? second() : f.bytes, old, sizeof(old));
}

START_TEST(the_newest_whole_copy)
{
    uint8_t *newer = _i == 0 ? f.bytes : second();

    age((unsigned)_i);
    ck_assert_uint_eq(generation_of(0, ENVOL_OK), 3);
    ck_assert_uint_eq(generation_of(ENVOL_HEADER_OTHER_COPY, ENVOL_OK), 2);
    newer[9000] ^= 1; /* torn */
    ck_assert_uint_eq(generation_of(0, ENVOL_OK), 2);
    generation_of(ENVOL_HEADER_OTHER_COPY, ENVOL_E_CORRUPT);
    memset(newer, 0, ENVOL_HEADER_COPY_BYTES);
    ck_assert_uint_eq(generation_of(0, ENVOL_OK), 2);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
}
END_TEST

/* Whole, and a lie: the older copy is not taken unasked. */
START_TEST(a_forged_newest_copy)
{
    struct envol_header *header;
    struct envol_keyring *keyring;
    uint8_t *newer = _i == 0 ? f.bytes : second();

    envol_store64(newer + ENVOL_AT_GENERATION, 99);
    header_make_crc(newer);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_WRONG_KEY);
    ck_ok(envol_header_decode(f.bytes, ENVOL_HEADER_OTHER_COPY, &header, NULL));
    ck_ok(envol_header_unlock(header, f.dek, 0, NULL, &keyring));
    envol_keyring_close(keyring);
    envol_header_free(header);
    envol_store32(newer + ENVOL_AT_EPOCH, 0);
    header_make_crc(newer);
    generation_of(0, ENVOL_E_CORRUPT);
    ck_assert_uint_eq(generation_of(ENVOL_HEADER_OTHER_COPY, ENVOL_OK), 2);
}
END_TEST

START_TEST(one_generation_twice)
{
    envol_store64(second() + ENVOL_AT_HIGH_WATER, 7);
    header_make_mac(second(), f.dek);
    generation_of(0, ENVOL_E_CORRUPT);
    generation_of(ENVOL_HEADER_OTHER_COPY, ENVOL_E_CORRUPT);
    memcpy(second(), f.bytes, ENVOL_HEADER_COPY_BYTES);
    ck_assert_uint_eq(generation_of(ENVOL_HEADER_OTHER_COPY, ENVOL_OK), 2);
}
END_TEST

START_TEST(no_copy)
{
    struct envol_header *header;

    memset(f.bytes, 0, 8);
    f.bytes[ENVOL_HEADER_COPY_BYTES + 8] ^= 1;
    generation_of(0, ENVOL_E_CORRUPT);
    memset(second(), 0, 8);
    generation_of(0, ENVOL_E_FORMAT);
    memset(f.bytes, 0, sizeof(f.bytes));
    generation_of(0, ENVOL_E_FORMAT);
    generation_of(2, ENVOL_E_ARGUMENT);
    ck_status(envol_header_decode(NULL, 0, &header, NULL), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(header);
    ck_status(envol_header_decode(f.bytes, 0, NULL, NULL), ENVOL_E_ARGUMENT);
}
END_TEST

/* Both volumes may even have one CMK: the header of one says nothing under the DEK of the other. */
START_TEST(the_header_of_another_volume)
{
    static struct header_fixture other;

    header_fixture_open(&other, 0);
    ck_assert_int_eq(header_try(&f, other.bytes), ENVOL_E_WRONG_KEY);
    memcpy(second(), other.bytes, ENVOL_HEADER_COPY_BYTES);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK); /* generation 2 against 1 */
    header_update(&other);
    memcpy(second(), other.bytes, ENVOL_HEADER_COPY_BYTES);
    generation_of(0, ENVOL_E_CORRUPT);
    header_update(&other);
    memcpy(second(), other.bytes, ENVOL_HEADER_COPY_BYTES);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_WRONG_KEY);
    header_fixture_close(&other);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header_trust");
    TCase *c = tcase_create("bytes");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, each_byte_with_a_right_crc);
    tcase_add_test(c, each_byte_as_found_on_a_bad_disk);
    tcase_add_test(c, slots_and_mac);
    tcase_add_test(c, wrong_key);
    tcase_add_loop_test(c, out_of_bounds, 0, sizeof(hostile) / sizeof(hostile[0]));
    tcase_add_loop_test(c, within_bounds, 0, sizeof(within) / sizeof(within[0]));
    tcase_add_loop_test(c, within_bounds_without_the_dek, 0, sizeof(within) / sizeof(within[0]));
    tcase_add_loop_test(c, versions_and_features, 0, sizeof(features) / sizeof(features[0]));
    suite_add_tcase(s, c);
    c = tcase_create("copies");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, the_newest_whole_copy, 0, 2);
    tcase_add_loop_test(c, a_forged_newest_copy, 0, 2);
    tcase_add_test(c, one_generation_twice);
    tcase_add_test(c, no_copy);
    tcase_add_test(c, the_header_of_another_volume);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
