/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers made, sealed, decoded and described; which geometries there are. */
#include "base/bytes.h"
#include "base/memory.h"
#include "children.h"
#include "failing_random.h"
#include "header_fixture.h"
#include "page_fixture.h"
#include "support.h"

#include <envol/header_keys.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

struct geometry {
    enum envol_suite suite;
    uint32_t page_bytes, stride_bytes;
    uint64_t data_offset;
};

static struct envol_header_params params_of(const struct geometry *g)
{
    return (struct envol_header_params){.struct_size = sizeof(struct envol_header_params),
                                        .suite = g->suite,
                                        .page_bytes = g->page_bytes,
                                        .stride_bytes = g->stride_bytes,
                                        .data_offset = g->data_offset};
}

static struct envol_header_info info_of(const struct envol_header *header)
{
    struct envol_header_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_header_info(header, &info));
    return info;
}

static const struct {
    struct geometry asked, got;
} fitting[] = {
    {{0, 0, 0, 0}, {ENVOL_SUITE_AES_256_GCM, 16336, 16384, 65536}},
    {{ENVOL_SUITE_AES_256_XTS, 0, 0, 0}, {ENVOL_SUITE_AES_256_XTS, 16384, 16384, 65536}},
    {{0, 8192, 0, 0}, {ENVOL_SUITE_AES_256_GCM, 8192, 8240, 65536}},
    {{0, 0, 4096, 0}, {ENVOL_SUITE_AES_256_GCM, 4048, 4096, 65536}},
    {{0, 0, 4095, 0}, {ENVOL_SUITE_AES_256_GCM, 4032, 4095, 65536}},
    {{0, 8192, 8256, 0}, {ENVOL_SUITE_AES_256_GCM, 8192, 8256, 65536}},
    {{0, 512, 0, 0}, {ENVOL_SUITE_AES_256_GCM, 512, 560, 65536}},
    {{0, 512, 512 + 48 + 4095, 0}, {ENVOL_SUITE_AES_256_GCM, 512, 512 + 48 + 4095, 65536}},
    {{0, 16 << 20, 0, 0}, {ENVOL_SUITE_AES_256_GCM, 16 << 20, (16 << 20) + 48, 65536}},
    {{ENVOL_SUITE_AES_256_XTS, 512, 0, 0}, {ENVOL_SUITE_AES_256_XTS, 512, 512, 65536}},
    {{ENVOL_SUITE_AES_256_XTS, 0, 4096, 0}, {ENVOL_SUITE_AES_256_XTS, 4096, 4096, 65536}},
    {{ENVOL_SUITE_AES_256_XTS, 16 << 20, 16 << 20, 0},
     {ENVOL_SUITE_AES_256_XTS, 16 << 20, 16 << 20, 65536}},
    {{0, 4096, 0, MIB}, {ENVOL_SUITE_AES_256_GCM, 4096, 4144, MIB}},
    {{0, 4096, 0, UINT64_C(1) << 62}, {ENVOL_SUITE_AES_256_GCM, 4096, 4144, UINT64_C(1) << 62}},
};

START_TEST(geometry_that_fits)
{
    const struct envol_header_params params = params_of(&fitting[_i].asked);
    const struct geometry *want = &fitting[_i].got;
    struct envol_header *header;
    struct envol_header_info info;

    ck_ok(envol_header_new(&params, &header));
    info = info_of(header);
    ck_assert_uint_eq(info.suite, want->suite);
    ck_assert_uint_eq(info.page_bytes, want->page_bytes);
    ck_assert_uint_eq(info.stride_bytes, want->stride_bytes);
    ck_assert_uint_eq(info.data_offset, want->data_offset);
    envol_header_free(header);
}
END_TEST

static const struct geometry unfitting[] = {
    {(enum envol_suite)3, 0, 0, 0},
    {(enum envol_suite) - 1, 0, 0, 0},
    {(enum envol_suite)0x10001, 0, 0, 0},
    {0, 511, 0, 0},
    {0, 496, 0, 0},
    {0, 520, 0, 0},
    {0, (16 << 20) + 16, 0, 0},
    {0, UINT32_MAX, 0, 0},
    {0, UINT32_MAX - 47, 0, 0},
    {0, UINT32_MAX - 15, UINT32_MAX, 0},
    {0, 0, UINT32_MAX, 0},
    {0, 0, 47, 0},
    {0, 0, 48, 0},
    {0, 0, 559, 0},
    {0, 8192, 8192, 0},
    {0, 8192, 8239, 0},
    {0, 512, 512 + 48 + 4096, 0},
    {ENVOL_SUITE_AES_256_XTS, 256, 0, 0},
    {ENVOL_SUITE_AES_256_XTS, 513, 0, 0},
    {ENVOL_SUITE_AES_256_XTS, 1536, 0, 0},
    {ENVOL_SUITE_AES_256_XTS, 32 << 20, 0, 0},
    {ENVOL_SUITE_AES_256_XTS, 4096, 8192, 0},
    {ENVOL_SUITE_AES_256_XTS, 4096, 2048, 0},
    {ENVOL_SUITE_AES_256_XTS, 0, 12288, 0},
    {0, 0, 0, 1},
    {0, 0, 0, 61440},
    {0, 0, 0, 65537},
    {0, 0, 0, 65536 + 512},
    {0, 0, 0, (UINT64_C(1) << 62) + 4096},
    {0, 0, 0, UINT64_MAX - 4095},
};

/* The area of atomic pages takes what it needs, and no less than two slots. */
static const struct {
    struct geometry asked;
    uint64_t data_offset; /* 0: refused */
} atomic[] = {
    {{0, 0, 0, 0}, 65536 + 4 * (4096 + 262144)},
    {{0, 512, 0, 0}, 65536 + 4 * (4096 + 36864)}, /* 64 records of 560, in whole blocks */
    {{0, 1 << 20, 0, 0}, 65536 + 4 * (4096 + (1 << 20) + 4096)},
    {{ENVOL_SUITE_AES_256_XTS, 512, 0, 0}, 65536 + 4 * (4096 + 32768)},
    {{ENVOL_SUITE_AES_256_XTS, 16 << 20, 0, 0}, 65536 + 4 * (4096 + (16 << 20))},
    {{0, 0, 0, 65536 + 2 * (4096 + 262144)}, 65536 + 2 * (4096 + 262144)},
    {{0, 0, 0, UINT64_C(1) << 62}, UINT64_C(1) << 62},
    {{0, 0, 0, 61440 + 2 * (4096 + 262144)}, 0},
    {{0, 0, 0, 65536}, 0},
    {{0, UINT32_MAX, 0, 0}, 0},
    {{0, 0, UINT32_MAX, 0}, 0},
};

START_TEST(geometry_of_atomic_pages)
{
    struct envol_header_params params = params_of(&atomic[_i].asked);
    uint64_t want = atomic[_i].data_offset;
    struct envol_header *header;

    params.atomic_pages = 1;
    ck_status(envol_header_new(&params, &header), want > 0 ? ENVOL_OK : ENVOL_E_ARGUMENT);
    if (want == 0)
        return;
    ck_assert_uint_eq(info_of(header).data_offset, want);
    ck_assert_int_eq(info_of(header).atomic_pages, 1);
    envol_header_free(header);
}
END_TEST

START_TEST(geometry_that_does_not)
{
    const struct envol_header_params params = params_of(&unfitting[_i]);
    struct envol_header *header = (struct envol_header *)1;

    ck_status(envol_header_new(&params, &header), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(header);
}
END_TEST

START_TEST(a_new_header)
{
    struct envol_header_params params = {.struct_size = sizeof(params) - 1};
    struct envol_header *header = (struct envol_header *)1, *other;
    struct envol_header_info info, other_info;

    ck_status(envol_header_new(NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_new(&params, &header), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(header);
    ck_ok(envol_header_new(NULL, &header));
    ck_ok(envol_header_new(NULL, &other));
    info = info_of(header);
    other_info = info_of(other);
    ck_assert_mem_ne(info.uuid, other_info.uuid, ENVOL_UUID_BYTES);
    ck_assert_uint_eq(info.uuid[6] >> 4, 4);
    ck_assert_uint_eq(info.uuid[8] >> 6, 2);
    ck_assert_int_eq(info.verified, 0);
    ck_assert_uint_eq(info.generation, 0);
    ck_assert_uint_eq(info.epoch, 1);
    ck_assert_uint_eq(info.lowest_epoch, 1);
    ck_assert_uint_eq(info.slots, 0);
    ck_assert_uint_eq(info.high_water, 0);
    ck_assert_int_eq(info.clean, 1);
    envol_header_free(header);
    envol_header_free(other);
    envol_header_free(NULL);
}
END_TEST

START_TEST(no_random_uuid)
{
    const uint8_t uuid[ENVOL_UUID_BYTES] = {1};
    struct envol_header_params params = {.struct_size = sizeof(params), .uuid = uuid};
    struct envol_header *header = (struct envol_header *)1;
    struct envol_keyring *keyring = (struct envol_keyring *)1;

    random_fails = true;
    ck_status(envol_keyring_temporary(&params, 0, &keyring), ENVOL_E_RANDOM);
    ck_assert_ptr_null(keyring);
    ck_status(envol_header_new(NULL, &header), ENVOL_E_RANDOM);
    ck_assert_ptr_null(header);
    ck_ok(envol_header_new(&params, &header));
    ck_assert_mem_eq(info_of(header).uuid, uuid, sizeof(uuid));
    envol_header_free(header);
    random_fails = false;
}
END_TEST

START_TEST(the_context)
{
    struct header_fixture f;
    const struct envol_context_pair *context;
    size_t pairs = 0;

    memset(&f, 0, sizeof(f));
    memcpy(f.uuid, "\x01\x23\x45\x67\x89\xab\x4d\xef\x80\x12\x34\x56\x78\x9a\xbc\xde", 16);
    f.header = header_new(&f, 0);
    context = envol_header_context(f.header, &pairs);
    ck_assert_uint_eq(pairs, 3);
    ck_assert_str_eq(context[0].key, "envol:epoch");
    ck_assert_str_eq(context[0].value, "1");
    ck_assert_str_eq(context[1].key, "envol:purpose");
    ck_assert_str_eq(context[1].value, "dek");
    ck_assert_str_eq(context[2].key, "envol:volume");
    ck_assert_str_eq(context[2].value, "01234567-89ab-4def-8012-3456789abcde");
    ck_assert_ptr_eq(envol_header_context(f.header, NULL), context);
    f.header->epoch = UINT32_MAX;
    envol_header_refresh_context(f.header);
    ck_assert_str_eq(context[0].value, "4294967295");
    envol_header_free(f.header);
}
END_TEST

static const enum envol_suite suites[] = {ENVOL_SUITE_AES_256_GCM, ENVOL_SUITE_AES_256_XTS};

START_TEST(sealed_and_read_again)
{
    struct header_fixture f;
    struct envol_header *header;
    struct envol_keyring *keyring;
    struct envol_header_info made, read;
    struct envol_error error = ENVOL_ERROR_INIT;

    if (!page_suite(suites[_i]))
        return;
    header_fixture_open(&f, suites[_i]);
    made = info_of(f.header);
    ck_assert_int_eq(made.verified, 1);
    ck_assert_uint_eq(made.generation, 1);
    ck_assert_mem_eq(f.bytes, f.bytes + ENVOL_HEADER_COPY_BYTES, ENVOL_HEADER_COPY_BYTES);
    error.status = ENVOL_E_IO;
    ck_ok(envol_header_decode(f.bytes, 0, &header, &error));
    ck_assert_int_eq(error.status, ENVOL_OK);
    read = info_of(header);
    ck_assert_int_eq(read.verified, 0);
    ck_ok(envol_header_unlock(header, f.dek, 0, NULL, &keyring));
    read = info_of(header);
    ck_assert_mem_eq(&read, &made, sizeof(read));
    ck_assert_uint_eq(envol_keyring_epoch(keyring), 1);
    ck_assert_uint_eq(envol_keyring_lowest_epoch(keyring), 1);
    envol_keyring_close(keyring);
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

/* Every field through bytes and back, at values whose bytes differ. */
START_TEST(every_field_survives)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES], again[ENVOL_HEADER_COPY_BYTES];
    struct header_fixture f;
    struct envol_header *header, *read;

    header_fixture_open(&f, 0);
    header = f.header;
    header->epoch = 0x01020304;
    header->lowest_epoch = 0x01020300;
    header->high_water = UINT64_C(0x0000050607080910);
    header->seal_estimate = UINT64_C(0x1112131415161718);
    header->clean = false;
    header->compatible = 0x21222324;
    header->read_only_compatible = 0x31323334;
    header->incompatible = 0x41424344;
    ck_assert_int_eq(envol_header_retain(header, f.dek, 0x01020303, f.dek), ENVOL_OK);
    ck_assert_int_eq(envol_image_encode(header, UINT64_C(0x5152535455565758), f.dek, copy),
                     ENVOL_OK);
    read = envol_alloc(sizeof(*read), 64);
    ck_assert_int_eq(envol_image_decode(copy, read, NULL), ENVOL_OK);
    ck_assert_uint_eq(read->id.generation, UINT64_C(0x5152535455565758));
    ck_assert_uint_eq(read->epoch, header->epoch);
    ck_assert_uint_eq(read->lowest_epoch, header->lowest_epoch);
    ck_assert_uint_eq(read->high_water, header->high_water);
    ck_assert_uint_eq(read->seal_estimate, header->seal_estimate);
    ck_assert(!read->clean);
    ck_assert_uint_eq(read->compatible, header->compatible);
    ck_assert_uint_eq(read->read_only_compatible, header->read_only_compatible);
    ck_assert_uint_eq(read->incompatible, header->incompatible);
    ck_assert_uint_eq(read->retained_count, 1);
    ck_assert_uint_eq(read->retained[0].epoch, 0x01020303);
    ck_assert_mem_eq(read->retained[0].wrap, header->retained[0].wrap, ENVOL_LOCAL_WRAP_BYTES);
    ck_assert_int_eq(envol_image_encode(read, read->id.generation, f.dek, again), ENVOL_OK);
    ck_assert_mem_eq(again, copy, sizeof(copy));
    envol_header_free(read);
    header_fixture_close(&f);
}
END_TEST

static void set_spare(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_COMPATIBLE, 1u << 31);
    memset(copy + ENVOL_AT_SPARE, 0xa5, ENVOL_AT_SNAPSHOTS - ENVOL_AT_SPARE);
    memset(copy + ENVOL_AT_SPARE_2, 0xa5, ENVOL_AT_SLOT_AREA - ENVOL_AT_SPARE_2);
    copy[ENVOL_AT_SPARE_16] = copy[ENVOL_AT_SPARE_32] = 0xa7;
}

/* What a newer library keeps in bytes that are spare here is not lost by an update. */
START_TEST(an_update_keeps_what_it_does_not_know)
{
    struct header_fixture f;
    uint8_t before[ENVOL_AT_SLOT_AREA];

    header_fixture_open(&f, 0);
    header_forge(&f, set_spare, true);
    memcpy(before, f.bytes, sizeof(before));
    header_fixture_close(&f);
    f.header = header_again(&f, &f.keyring);
    ck_ok(envol_header_set_pages(f.header, 7, 0, 0));
    header_update(&f);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    ck_assert_uint_eq(envol_load64(f.bytes + ENVOL_AT_HIGH_WATER), 7);
    ck_assert_mem_eq(f.bytes + ENVOL_AT_SPARE, before + ENVOL_AT_SPARE,
                     ENVOL_AT_SLOT_AREA - ENVOL_AT_SPARE);
    ck_assert_uint_eq(f.bytes[ENVOL_AT_SPARE_16], 0xa7);
    ck_assert_uint_eq(f.bytes[ENVOL_AT_SPARE_32], 0xa7);
    ck_assert_uint_eq(envol_load32(f.bytes + ENVOL_AT_COMPATIBLE), 1u << 31);
    header_fixture_close(&f);
}
END_TEST

START_TEST(seal_refuses)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    const uint8_t no_dek[ENVOL_DEK_BYTES] = {0};
    struct header_fixture f;
    struct envol_header *header;
    struct envol_keyring *keyring = (struct envol_keyring *)1;

    header_fixture_open(&f, 0);
    header = header_new(&f, 0);
    bytes[5] = 1;
    ck_status(envol_header_seal(header, f.dek, 0, bytes, &keyring), ENVOL_E_STATE);
    ck_assert_ptr_null(keyring);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
    header_add_slot(header, "key", 1);
    ck_status(envol_header_seal(header, f.dek, 0, bytes, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal(header, f.dek, 0, NULL, &keyring), ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal(header, NULL, 0, bytes, &keyring), ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal(NULL, f.dek, 0, bytes, &keyring), ENVOL_E_ARGUMENT);
    ck_status(envol_header_seal(header, no_dek, 0, bytes, &keyring), ENVOL_E_ARGUMENT);
    bytes[5] = 1;
    ck_status(envol_header_seal(header, f.dek, 4, bytes, &keyring), ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
    ck_assert_uint_eq(info_of(header).generation, 0);
    /* None of that spoils it. */
    ck_ok(envol_header_seal(header, f.dek, ENVOL_OPEN_INHERIT, bytes, &keyring));
    ck_assert_int_eq(header_try(&f, bytes), ENVOL_OK);
    envol_keyring_close(keyring);
    ck_status(envol_header_seal(header, f.dek, 0, bytes, &keyring), ENVOL_E_STATE);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

START_TEST(info_and_anchor_refuse)
{
    struct header_fixture f;
    struct envol_header_info info = {.struct_size = sizeof(info) - 1};
    struct envol_anchor anchor = {.struct_size = sizeof(anchor) - 1, .epoch = 3};
    struct envol_header *header;

    header_fixture_open(&f, 0);
    ck_status(envol_header_info(f.header, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_info(f.header, &info), ENVOL_E_ARGUMENT);
    info = (struct envol_header_info){.struct_size = sizeof(info), .generation = 5};
    ck_status(envol_header_info(NULL, &info), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(info.generation, 0);
    ck_status(envol_header_anchor(f.header, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_header_anchor(f.header, &anchor), ENVOL_E_ARGUMENT);
    anchor.struct_size = sizeof(anchor);
    ck_status(envol_header_anchor(NULL, &anchor), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(anchor.epoch, 0);
    ck_ok(envol_header_decode(f.bytes, 0, &header, NULL));
    anchor.epoch = 3;
    ck_status(envol_header_anchor(header, &anchor), ENVOL_E_STATE);
    ck_assert_uint_eq(anchor.epoch, 0);
    ck_ok(envol_header_anchor(f.header, &anchor));
    ck_assert_uint_eq(anchor.epoch, 1);
    ck_assert_uint_eq(anchor.generation, 1);
    ck_assert_mem_eq(anchor.uuid, f.uuid, sizeof(f.uuid));
    ck_assert_mem_eq(anchor.mac, f.bytes + ENVOL_AT_MAC, sizeof(anchor.mac));
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("header");
    TCase *c = tcase_create("header");

    tcase_add_loop_test(c, geometry_that_fits, 0, sizeof(fitting) / sizeof(fitting[0]));
    tcase_add_loop_test(c, geometry_of_atomic_pages, 0, sizeof(atomic) / sizeof(atomic[0]));
    tcase_add_loop_test(c, geometry_that_does_not, 0, sizeof(unfitting) / sizeof(unfitting[0]));
    tcase_add_test(c, a_new_header);
    tcase_add_test(c, no_random_uuid);
    tcase_add_test(c, the_context);
    tcase_add_loop_test(c, sealed_and_read_again, 0, 2);
    tcase_add_test(c, every_field_survives);
    tcase_add_test(c, an_update_keeps_what_it_does_not_know);
    tcase_add_test(c, seal_refuses);
    tcase_add_test(c, info_and_anchor_refuse);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
