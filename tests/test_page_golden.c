/* SPDX-License-Identifier: BSD-2-Clause */
/* Records and blobs of format 1 to the byte: golden ones, and those of the oracle, both ways. */
#include "base/random.h"
#include "page_fixture.h"
#include "page_oracle.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * DEK 00 01 .. 3f; UUID f0 .. ff; object "golden object 01"; epoch 7; nonce a0 .. b7; page number
 * 0x123456789; 512 bytes of page, byte i = 7 i + 3; stride 576.  Computed by another program, in
 * another language, from envol(5) and with the AES of another library.
 */
static const char golden_gcm[] =
    "0c5fc46719d9a768912da33f4fcb716669a01fe80640d9e5b72c4e62a6386e5b234584b8ea62d30b036bfac1"
    "78cdfc3f5943776545ad7aa357438b3bce923cf009d4540f11c4af73d623a9b8308a8c5c8e4e7296c2b7e8ce"
    "b4c6454b6c79257a8a1f8877387006606ab768a0bfbfae533fc418c615b415a2fa79c8d78c20172ee9320d99"
    "82c93599ca874fb1fc509993aeecc75ff6e13ae8b9b5ca006c9efbb61701a32247ea876aab1753775170b7cc"
    "8934faba204b54ae168d789f3a989a94b9c779289a7767b86e96510997aac115193f03d8ae22b153a37b12c8"
    "08104b4fe58de8b7cbb6b23cc5871bba21507c146494a01836a2595dfdfec909ca62348a54fa6d5b772d4b38"
    "8249c8ab49f50a10b61d86bc31d2febed9c20d413694775cd74b66d6e162e932a607c8254979b7c83b722410"
    "48434959b14ceb39e5877351fb6f791422ea3ebd0760e53c1e4ca2601b04d3ba3c546f1eef8c0e0f26c3861e"
    "191a572bcdfaf399e8a69bf1b98f4c1c70c7ab5d1327b9bada79cff22ee8cc6bfa4558dffd060bd8c7758743"
    "3895f9ae67a9b7d104d33b140e34f6f7e710600aa2883ce4e0e33cea915cf81c508774ee7639624637352589"
    "9495fdc040c4109940b412681e8d14a1de43797eb1e069ac21ad066f39ea312eba2867da6599821eef5b6312"
    "80fcc60fcfbd841a2aea2362bcef830a2eb07b5a00a3537c861c88dc00000000000000000000000000000000"
    "0700000001000000a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7979b6a5bdc629a74ba06f858"
    "793ba03e";
static const char golden_hole[] =
    "000000000000000000000000000000000700000001010000a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3"
    "b4b5b6b706fbc2ca7ddb8a48c294e933f0151265";
static const char golden_xts[] =
    "aa8c51beb52fcf1729484b8e75e954bbff980191bcdbf0e4d5ae6ad7f0da095d51947619232ddfc8413a4989"
    "63496306f8e91e556dd55f35513c1cfc225483872d34d7e5488b7ed51b0ab10bf1305ebda91e24205245d465"
    "c83793479fd63fffeada3337c46140917ed025a64359f829224a3bd950deaeaa775aca0e1a4e90da79a6bef4"
    "cb679829929e3298c81bb59d488703ef1cbd6de1a9b2d922c3487637f76508bf818326ab12beb9bb9c7c6b9e"
    "2716f4e1aca419db53fb304149c42f730f4f2b4dc374c791aec6bd80230918215a02e5f159dd8e98997d7426"
    "e2c16c94670a52c42a4c6f8b4d632d44015c35d14132f840840106a15b87c8d3cd9633b5aa4b8c00c7d24b01"
    "54dbe25621c4a4933978ca23b23949bc0dae1222f2dabcff9a65cd7d7febf9d72d93bea85eeddaeaa1d83acd"
    "87756cfbadf4ce2ed7ad9dc811a3998f01d128d2556cff7de0af0a4b1283b0ea6f60dab30ba8f3fb734484e8"
    "03adee0ea74bbd8769e01c9d0794e52cc9a34d85f194edc36286f6f321810c0a2b0b63d80d2fea6dba25e6a6"
    "038484cefb06d3e6a2a6dc3ff1b7c8360cd9d49bced351bef525651fdde3bc16803a71386e93c39781adbf82"
    "2c0137c877d374aef91106c8a40db00d6b97bd1e9c0ae182bcf0b2fc7bd3c3ae98959999c27c6aa700b82e40"
    "6d0d2dad015aee327813fb605e36652e6d134cfd2d008e79e748d26d";
static const char golden_xts_segment_0[] =
    "9c5b625ef13d23329a2891dfe180865b11ea21044794d3474ac7d92cfa780ef753517893608112af4f63b34b"
    "35b02a4fa7839df4205105a6e94dad8fc411c578";
static const char golden_xts_segment_1[] =
    "b088489c027893daab12ce1989479ede33290c690302c96da1ab306cfd2a85c549193375066df382b9b27c66"
    "60e470c116e8f22ec9a040cd1d9d0b7847ce9aa7";
static const char golden_blob[] =
    "be7699bb510dab09ae0ec2cab932ce17235a287d583e51511b0700000001020000a0a1a2a3a4a5a6a7a8a9aa"
    "abacadaeafb0b1b2b3b4b5b6b72aabbfa635ebc74b1d68f40521ec0ba4";
static const char golden_blob_empty[] =
    "0700000001020000a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b763ffb70a5dc6e39ce59142d0"
    "37671480";

#define GOLDEN_PAGE_NO   UINT64_C(0x123456789)
#define GOLDEN_PAGE      512u
#define GOLDEN_STRIDE    576u
#define GOLDEN_PLAINTEXT "a block of a sorted table"
#define GOLDEN_AAD       "offset 4096"

/* What the next draws answer, one byte after the other; NULL: honest. */
static const uint8_t *script;

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    if (script == NULL)
        return syscall(SYS_getrandom, out, bytes, flags);
    memcpy(out, script, bytes);
    script += bytes;
    return (ssize_t)bytes;
}

/* An honest draw first: a source that gives the same twice running is refused. */
static void play(const uint8_t *bytes)
{
    uint8_t drawn[24];

    script = NULL;
    ck_assert_int_eq(envol_random(drawn, sizeof(drawn)), ENVOL_OK);
    script = bytes;
}

static void golden_page(uint8_t page[GOLDEN_PAGE])
{
    for (size_t i = 0; i < GOLDEN_PAGE; i++)
        page[i] = (uint8_t)(7 * i + 3);
}

static void golden_nonce(uint8_t nonce[24])
{
    for (size_t i = 0; i < 24; i++)
        nonce[i] = (uint8_t)(0xa0 + i);
}

static struct page_fixture golden_fixture(enum envol_suite suite)
{
    const struct page_wish wish = {
        .suite = suite, .page_bytes = GOLDEN_PAGE, .gap_bytes = 16, .epoch = 7};
    struct page_fixture any, f;

    page_fixture_open(&any, &wish);
    f = any;
    for (size_t i = 0; i < ENVOL_DEK_BYTES; i++)
        f.dek[0][i] = (uint8_t)i;
    for (size_t i = 0; i < ENVOL_UUID_BYTES; i++)
        f.uuid[i] = (uint8_t)(0xf0 + i);
    memcpy(f.id, "golden object 01", sizeof(f.id));
    page_fixture_close(&any);
    any = f;
    page_fixture_again(&f, &any, &wish);
    return f;
}

/* --- golden --- */

START_TEST(oracle_makes_the_golden_records)
{
    struct page_fixture f = golden_fixture(ENVOL_SUITE_AES_256_GCM);
    struct oracle o = page_fixture_oracle(&f, GOLDEN_PAGE_NO);
    uint8_t page[GOLDEN_PAGE], record[GOLDEN_STRIDE];

    golden_page(page);
    golden_nonce(o.nonce);
    oracle_gcm_record(&o, page, record);
    ck_mem_hex(record, golden_gcm);
    o.type = ORACLE_BLOB;
    oracle_blob(&o, (const uint8_t *)GOLDEN_AAD, strlen(GOLDEN_AAD),
                (const uint8_t *)GOLDEN_PLAINTEXT, strlen(GOLDEN_PLAINTEXT), record);
    ck_mem_hex(record, golden_blob);
    o.suite = ORACLE_XTS;
    oracle_xts_record(&o, page, record);
    ck_mem_hex(record, golden_xts);
    page_fixture_close(&f);
}
END_TEST

static void check_gcm_golden(const struct page_fixture *f, struct envol_lane *lane)
{
    uint8_t page[GOLDEN_PAGE], got[GOLDEN_PAGE], nonce[24];
    uint8_t record[GOLDEN_STRIDE], golden[GOLDEN_STRIDE], zeros[GOLDEN_PAGE] = {0};

    golden_page(page);
    golden_nonce(nonce);
    ck_assert_uint_eq(test_unhex(golden_gcm, golden, sizeof(golden)), GOLDEN_STRIDE);
    play(nonce);
    ck_ok(envol_page_seal(f->object, lane, GOLDEN_PAGE_NO, page, record));
    ck_assert_ptr_eq(script, nonce + 24);
    ck_assert_mem_eq(record, golden, GOLDEN_STRIDE);
    ck_ok(envol_page_unseal(f->object, lane, GOLDEN_PAGE_NO, golden, got));
    ck_assert_mem_eq(got, page, GOLDEN_PAGE);
    /* The ciphertext of a hole is the key stream: only the end is typed in. */
    golden_nonce(nonce);
    play(nonce + (lane != NULL ? 12 : 0));
    ck_ok(envol_page_seal_hole(f->object, lane, GOLDEN_PAGE_NO, record));
    ck_mem_hex(record + GOLDEN_PAGE, golden_hole);
    script = NULL;
    ck_status(envol_page_unseal(f->object, lane, GOLDEN_PAGE_NO, record, got), ENVOL_E_UNWRITTEN);
    ck_assert_mem_eq(got, zeros, GOLDEN_PAGE);
}

START_TEST(golden_gcm_records)
{
    struct page_fixture f;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    f = golden_fixture(ENVOL_SUITE_AES_256_GCM);
    check_gcm_golden(&f, NULL);
    check_gcm_golden(&f, f.lane);
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

static void check_xts_golden(const struct page_fixture *f, struct envol_lane *lane)
{
    uint8_t page[GOLDEN_PAGE], record[GOLDEN_PAGE], got[GOLDEN_PAGE];
    const uint64_t edge = (UINT64_C(1) << 40) / GOLDEN_PAGE;

    golden_page(page);
    ck_ok(envol_page_seal(f->object, lane, GOLDEN_PAGE_NO, page, record));
    ck_mem_hex(record, golden_xts);
    ck_ok(envol_page_unseal(f->object, lane, GOLDEN_PAGE_NO, record, got));
    ck_assert_mem_eq(got, page, GOLDEN_PAGE);
    ck_ok(envol_page_seal(f->object, lane, edge - 1, page, record));
    ck_mem_hex(record, golden_xts_segment_0);
    ck_ok(envol_page_seal(f->object, lane, edge, page, record));
    ck_mem_hex(record, golden_xts_segment_1);
}

START_TEST(golden_xts_records)
{
    struct page_fixture f;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_XTS))
        return;
    f = golden_fixture(ENVOL_SUITE_AES_256_XTS);
    check_xts_golden(&f, NULL);
    check_xts_golden(&f, f.lane);
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

START_TEST(golden_blobs)
{
    struct page_fixture f = golden_fixture(ENVOL_SUITE_AES_256_GCM);
    const size_t plain_bytes = strlen(GOLDEN_PLAINTEXT), aad_bytes = strlen(GOLDEN_AAD);
    uint8_t sealed[128], golden[128], got[128], nonce[24];

    golden_nonce(nonce);
    play(nonce);
    ck_ok(envol_blob_seal(f.object, f.lane, GOLDEN_AAD, aad_bytes, GOLDEN_PLAINTEXT, plain_bytes,
                          sealed));
    script = NULL;
    ck_mem_hex(sealed, golden_blob);
    ck_assert_uint_eq(test_unhex(golden_blob, golden, sizeof(golden)), plain_bytes + 48);
    ck_ok(
        envol_blob_unseal(f.object, f.lane, GOLDEN_AAD, aad_bytes, golden, plain_bytes + 48, got));
    ck_assert_mem_eq(got, GOLDEN_PLAINTEXT, plain_bytes);
    page_fixture_close(&f);
}
END_TEST

/* The volume's suite is bound in, and is not the blob's. */
START_TEST(golden_blob_of_an_xts_volume)
{
    struct page_fixture f;
    uint8_t sealed[48], nonce[24];

    if (!page_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    f = golden_fixture(ENVOL_SUITE_AES_256_XTS);
    golden_nonce(nonce);
    play(nonce);
    ck_ok(envol_blob_seal(f.object, NULL, NULL, 0, NULL, 0, sealed));
    script = NULL;
    ck_mem_hex(sealed, golden_blob_empty);
    ck_ok(envol_blob_unseal(f.object, f.lane, NULL, 0, sealed, 48, NULL));
    page_fixture_close(&f);
}
END_TEST

/* --- the oracle, at many geometries --- */

static const struct page_wish geometries[] = {
    {.page_bytes = 512},
    {.page_bytes = 528, .gap_bytes = 4095},
    {.page_bytes = 4048},
    {.page_bytes = 8192, .gap_bytes = 16, .epoch = UINT32_MAX, .lowest = 1},
    {.page_bytes = 16336, .epoch = 0x80000000, .lowest = 0x80000000},
    {.suite = ENVOL_SUITE_AES_256_XTS, .page_bytes = 512},
    {.suite = ENVOL_SUITE_AES_256_XTS, .page_bytes = 4096, .epoch = 3},
    {.suite = ENVOL_SUITE_AES_256_XTS, .page_bytes = 16384, .epoch = UINT32_MAX},
};

#define GEOMETRIES ((int)(sizeof(geometries) / sizeof(geometries[0])))

/* Small, above 2^32, and the last one that a file of 2^63 bytes holds. */
static uint64_t some_page_no(const struct page_fixture *f, int i)
{
    const uint64_t last = (UINT64_C(1) << 63) / f->stride_bytes - 1;
    const uint64_t numbers[] = {0, 1, UINT64_C(0xffffffff), UINT64_C(0x100000000), last};

    return i < 5 ? numbers[i] : test_random() % last;
}

static void oracle_record(struct oracle *o, const uint8_t *page, uint8_t *record)
{
    if (o->suite == ORACLE_XTS) {
        oracle_xts_record(o, page, record);
        return;
    }
    test_fill(o->nonce, sizeof(o->nonce));
    oracle_gcm_record(o, page, record);
}

/* What the library seals, the oracle seals to the same bytes; what the oracle seals, unseals. */
static void check_both_ways(const struct page_fixture *f, struct envol_lane *lane, uint64_t page_no)
{
    struct oracle o = page_fixture_oracle(f, page_no);
    uint8_t *page = page_buffer(f->page_bytes), *got = page_buffer(f->page_bytes);
    uint8_t *record = page_buffer(f->stride_bytes), *expected = page_buffer(f->stride_bytes);

    test_fill(page, f->page_bytes);
    ck_ok(envol_page_seal(f->object, lane, page_no, page, record));
    if (o.suite == ORACLE_XTS)
        oracle_xts_record(&o, page, expected);
    else {
        memcpy(o.nonce, record + f->stride_bytes - 40, sizeof(o.nonce));
        oracle_gcm_record(&o, page, expected);
    }
    ck_assert_mem_eq(record, expected, f->stride_bytes);
    oracle_record(&o, page, expected);
    ck_ok(envol_page_unseal(f->object, lane, page_no, expected, got));
    ck_assert_mem_eq(got, page, f->page_bytes);
    free(page);
    free(got);
    free(record);
    free(expected);
}

START_TEST(pages_equal_the_oracle)
{
    const struct page_wish *wish = &geometries[_i % GEOMETRIES];
    enum envol_suite suite = wish->suite != 0 ? wish->suite : ENVOL_SUITE_AES_256_GCM;
    struct page_fixture f;

    if (!page_kernel_force(_i / GEOMETRIES, suite))
        return;
    page_fixture_open(&f, wish);
    for (int i = 0; i < 7; i++)
        check_both_ways(&f, i % 2 ? NULL : f.lane, some_page_no(&f, i));
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

static void check_blob_both_ways(const struct page_fixture *f, size_t plain_bytes, size_t aad_bytes)
{
    struct oracle o = page_fixture_oracle(f, 0);
    size_t bytes = plain_bytes + ENVOL_TRAILER_BYTES;
    uint8_t *plain = page_buffer(plain_bytes), *aad = page_buffer(aad_bytes);
    uint8_t *sealed = page_buffer(bytes), *expected = page_buffer(bytes);

    o.type = ORACLE_BLOB;
    test_fill(plain, plain_bytes);
    test_fill(aad, aad_bytes);
    ck_ok(envol_blob_seal(f->object, f->lane, aad, aad_bytes, plain, plain_bytes, sealed));
    memcpy(o.nonce, sealed + plain_bytes + 8, sizeof(o.nonce));
    oracle_blob(&o, aad, aad_bytes, plain, plain_bytes, expected);
    ck_assert_mem_eq(sealed, expected, bytes);
    test_fill(o.nonce, sizeof(o.nonce));
    oracle_blob(&o, aad, aad_bytes, plain, plain_bytes, expected);
    ck_ok(envol_blob_unseal(f->object, f->lane, aad, aad_bytes, expected, bytes, sealed));
    if (plain_bytes > 0)
        ck_assert_mem_eq(sealed, plain, plain_bytes);
    free(plain);
    free(aad);
    free(sealed);
    free(expected);
}

START_TEST(blobs_equal_the_oracle)
{
    static const size_t aads[] = {0, 1, 15, 16, 17, 63, 64, 1023, 1024};
    struct page_wish wish = {.suite = _i % 2 ? ENVOL_SUITE_AES_256_XTS : ENVOL_SUITE_AES_256_GCM,
                             .epoch = 9};
    struct page_fixture f;

    if (!page_kernel_force(_i / 2, wish.suite))
        return;
    page_fixture_open(&f, &wish);
    for (size_t bytes = 0; bytes <= 272; bytes++)
        check_blob_both_ways(&f, bytes, aads[bytes % 9]);
    for (size_t i = 0; i < 9; i++)
        check_blob_both_ways(&f, 1000 + test_random() % 8000, aads[i]);
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_golden");
    TCase *tcase = tcase_create("golden");

    tcase_add_test(tcase, oracle_makes_the_golden_records);
    tcase_add_loop_test(tcase, golden_gcm_records, 0, page_kernels());
    tcase_add_loop_test(tcase, golden_xts_records, 0, page_kernels());
    tcase_add_test(tcase, golden_blobs);
    tcase_add_test(tcase, golden_blob_of_an_xts_volume);
    tcase_add_loop_test(tcase, pages_equal_the_oracle, 0, GEOMETRIES * page_kernels());
    tcase_add_loop_test(tcase, blobs_equal_the_oracle, 0, 2 * page_kernels());
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
