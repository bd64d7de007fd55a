/* SPDX-License-Identifier: BSD-2-Clause */
/* Blobs: lengths, associated data, what is bound in, bounds, and re-sealing. */
#include "base/bytes.h"
#include "base/memory.h"
#include "page_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define PLAIN  200u
#define SEALED (PLAIN + ENVOL_TRAILER_BYTES)
#define AAD    20u

static const struct page_wish plain_wish = {.epoch = 5, .retained = 1};

struct blob {
    struct page_fixture f;
    uint8_t plain[PLAIN], aad[AAD], sealed[SEALED + 1];
};

static void blob_open(struct blob *b)
{
    page_fixture_open(&b->f, &plain_wish);
    test_fill(b->plain, PLAIN);
    test_fill(b->aad, AAD);
    ck_ok(envol_blob_seal(b->f.object, b->f.lane, b->aad, AAD, b->plain, PLAIN, b->sealed));
}

/* With a lane and without: zeros, and nothing beyond them. */
static void check_unseal(const struct blob *b, size_t aad_bytes, size_t sealed_bytes,
                         enum envol_status expected)
{
    size_t plain_bytes =
        sealed_bytes > ENVOL_TRAILER_BYTES ? sealed_bytes - ENVOL_TRAILER_BYTES : 0;
    uint8_t got[SEALED + 2];

    for (int i = 0; i < 2; i++) {
        memset(got, 0xee, sizeof(got));
        ck_status(envol_blob_unseal(b->f.object, i ? NULL : b->f.lane, b->aad, aad_bytes, b->sealed,
                                    sealed_bytes, got),
                  expected);
        if (expected == ENVOL_OK)
            ck_assert_mem_eq(got, b->plain, PLAIN);
        else
            ck_assert(envol_is_zero(got, plain_bytes));
        ck_assert_uint_eq(got[plain_bytes], 0xee);
    }
}

/* --- what is bound in --- */

START_TEST(every_flipped_bit_is_detected)
{
    struct blob b;

    blob_open(&b);
    check_unseal(&b, AAD, SEALED, ENVOL_OK);
    for (size_t bit = 0; bit < 8 * SEALED; bit++) {
        bool newer = bit >= 8 * PLAIN && bit < 8 * (PLAIN + 4);

        b.sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* 5 with bit 0 or 2 cleared is 4 or 1: an older epoch. */
        newer = newer && bit != 8 * PLAIN && bit != 8 * PLAIN + 2;
        check_unseal(&b, AAD, SEALED, newer ? ENVOL_E_STALE : ENVOL_E_CORRUPT);
        b.sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * AAD; bit++) {
        b.aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_unseal(&b, AAD, SEALED, ENVOL_E_CORRUPT);
        b.aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    check_unseal(&b, AAD, SEALED, ENVOL_OK);
    page_fixture_close(&b.f);
}
END_TEST

START_TEST(other_lengths_are_corrupt)
{
    struct blob b;

    blob_open(&b);
    for (size_t bytes = 0; bytes <= SEALED + 1; bytes++)
        check_unseal(&b, AAD, bytes, bytes == SEALED ? ENVOL_OK : ENVOL_E_CORRUPT);
    for (size_t bytes = 0; bytes < AAD; bytes++)
        check_unseal(&b, bytes, SEALED, ENVOL_E_CORRUPT);
    page_fixture_close(&b.f);
}
END_TEST

/* Bytes cut off the ciphertext, the trailer moved up: the length is bound in as well. */
START_TEST(shortened_blobs_are_corrupt)
{
    struct blob b;

    blob_open(&b);
    memmove(b.sealed + PLAIN - 16, b.sealed + PLAIN, ENVOL_TRAILER_BYTES);
    check_unseal(&b, AAD, SEALED - 16, ENVOL_E_CORRUPT);
    page_fixture_close(&b.f);
}
END_TEST

START_TEST(other_volumes_and_objects_are_corrupt)
{
    struct blob b, other;
    struct envol_object *object;
    uint8_t id[ENVOL_OBJECT_BYTES], got[PLAIN];

    blob_open(&b);
    for (size_t byte = 0; byte < ENVOL_OBJECT_BYTES; byte++) {
        memcpy(id, b.f.id, sizeof(id));
        id[byte] ^= 1;
        ck_ok(envol_object_open(b.f.keyring, id, &object));
        ck_status(envol_blob_unseal(object, b.f.lane, b.aad, AAD, b.sealed, SEALED, got),
                  ENVOL_E_CORRUPT);
        envol_object_close(object);
    }
    other = b;
    other.f.uuid[15] ^= 1;
    page_fixture_again(&other.f, &other.f, &plain_wish);
    check_unseal(&other, AAD, SEALED, ENVOL_E_CORRUPT);
    page_fixture_close(&other.f);
    page_fixture_close(&b.f);
}
END_TEST

/* Trailers that say something unknown, or that it is a page, and authenticate. */
START_TEST(other_types_are_corrupt)
{
    struct blob b;
    struct oracle o;

    blob_open(&b);
    o = page_fixture_oracle(&b.f, 0);
    for (int type = 0; type < 256; type++) {
        o.type = (uint8_t)type;
        oracle_blob(&o, b.aad, AAD, b.plain, PLAIN, b.sealed);
        check_unseal(&b, AAD, SEALED, type == ORACLE_BLOB ? ENVOL_OK : ENVOL_E_CORRUPT);
    }
    o.type = ORACLE_BLOB;
    for (int bit = 0; bit < 16; bit++) {
        o.flags = (uint16_t)(1 << bit);
        oracle_blob(&o, b.aad, AAD, b.plain, PLAIN, b.sealed);
        check_unseal(&b, AAD, SEALED, ENVOL_E_CORRUPT);
    }
    o.flags = 0;
    o.format = 2;
    oracle_blob(&o, b.aad, AAD, b.plain, PLAIN, b.sealed);
    check_unseal(&b, AAD, SEALED, ENVOL_E_CORRUPT);
    page_fixture_close(&b.f);
}
END_TEST

START_TEST(epochs)
{
    struct blob b;
    struct oracle o;

    blob_open(&b);
    o = page_fixture_oracle_of(&b.f, 0, 1);
    o.type = ORACLE_BLOB;
    oracle_blob(&o, b.aad, AAD, b.plain, PLAIN, b.sealed);
    check_unseal(&b, AAD, SEALED, ENVOL_OK);
    b.sealed[PLAIN] = 5;
    check_unseal(&b, AAD, SEALED, ENVOL_E_CORRUPT);
    b.sealed[PLAIN] = 6;
    check_unseal(&b, AAD, SEALED, ENVOL_E_STALE);
    for (uint32_t epoch = 0; epoch < 4; epoch++) {
        o.epoch = epoch;
        oracle_blob(&o, b.aad, AAD, b.plain, PLAIN, b.sealed);
        check_unseal(&b, AAD, SEALED, ENVOL_E_CORRUPT);
    }
    page_fixture_close(&b.f);
}
END_TEST

/* --- lengths and places --- */

START_TEST(any_length_and_alignment)
{
    const size_t lengths[] = {1, 4095, 4096, 4097, 65536, 1000003, (16u << 20) + 5};
    struct page_fixture f;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    page_fixture_open(&f, &plain_wish);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t bytes = lengths[i], sealed_bytes = bytes + ENVOL_TRAILER_BYTES;
        uint8_t *plain = page_buffer(bytes + i), *buffer = page_buffer(sealed_bytes + 7 - i);

        test_fill(plain + i, bytes);
        memcpy(buffer + 7 - i, plain + i, bytes);
        ck_ok(envol_blob_seal(f.object, f.lane, &i, sizeof(i), buffer + 7 - i, bytes,
                              buffer + 7 - i));
        ck_assert(bytes == 1 || memcmp(buffer + 7 - i, plain + i, bytes) != 0);
        ck_ok(envol_blob_unseal(f.object, f.lane, &i, sizeof(i), buffer + 7 - i, sealed_bytes,
                                buffer + 7 - i));
        ck_assert(memcmp(buffer + 7 - i, plain + i, bytes) == 0);
        ck_ok(envol_blob_seal(f.object, f.lane, NULL, 0, plain + i, bytes, buffer + 7 - i));
        buffer[7 - i + bytes / 2] ^= 1;
        ck_status(envol_blob_unseal(f.object, f.lane, NULL, 0, buffer + 7 - i, sealed_bytes,
                                    buffer + 7 - i),
                  ENVOL_E_CORRUPT);
        ck_assert(envol_is_zero(buffer + 7 - i, bytes));
        free(plain);
        free(buffer);
    }
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

START_TEST(empty_blobs)
{
    uint8_t sealed[ENVOL_TRAILER_BYTES], again[ENVOL_TRAILER_BYTES];
    struct page_fixture f;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    page_fixture_open(&f, &plain_wish);
    ck_ok(envol_blob_seal(f.object, f.lane, NULL, 0, NULL, 0, sealed));
    ck_ok(envol_blob_unseal(f.object, f.lane, NULL, 0, sealed, sizeof(sealed), NULL));
    ck_ok(envol_blob_reseal(f.object, f.lane, NULL, 0, sealed, sizeof(sealed), again));
    ck_ok(envol_blob_unseal(f.object, NULL, NULL, 0, again, sizeof(again), NULL));
    ck_status(envol_blob_unseal(f.object, NULL, "a", 1, again, sizeof(again), NULL),
              ENVOL_E_CORRUPT);
    again[40] ^= 1;
    ck_status(envol_blob_unseal(f.object, NULL, NULL, 0, again, sizeof(again), NULL),
              ENVOL_E_CORRUPT);
    page_fixture_close(&f);
    envol_aes_kernel_force(NULL);
}
END_TEST

/* --- bounds and arguments --- */

START_TEST(associated_data_is_bounded)
{
    uint8_t aad[ENVOL_BLOB_AAD_MAX + 1] = {1}, sealed[SEALED];
    struct blob b;

    blob_open(&b);
    memcpy(sealed, b.sealed, SEALED);
    ck_status(envol_blob_seal(b.f.object, b.f.lane, aad, sizeof(aad), b.plain, PLAIN, b.sealed),
              ENVOL_E_RANGE);
    ck_assert(envol_is_zero(b.sealed, SEALED));
    ck_status(envol_blob_unseal(b.f.object, b.f.lane, aad, SIZE_MAX, sealed, SEALED, b.plain),
              ENVOL_E_RANGE);
    ck_assert(envol_is_zero(b.plain, PLAIN));
    ck_status(envol_blob_reseal(b.f.object, b.f.lane, aad, sizeof(aad), sealed, SEALED, b.sealed),
              ENVOL_E_RANGE);
    ck_assert(envol_is_zero(b.sealed, SEALED));
    page_fixture_close(&b.f);
}
END_TEST

/* A buffer of such a length cannot be the caller's: it is not touched. */
START_TEST(length_is_bounded)
{
    const size_t max = (size_t)ENVOL_BLOB_BYTES_MAX;
    const size_t lengths[] = {max + 1, SIZE_MAX - ENVOL_TRAILER_BYTES, SIZE_MAX - 1, SIZE_MAX};
    struct blob b;
    uint8_t out[SEALED];

    blob_open(&b);
    memset(out, 0xee, sizeof(out));
    for (size_t i = 0; i < 4; i++) {
        size_t sealed_bytes = i < 2 ? lengths[i] + ENVOL_TRAILER_BYTES : lengths[i];

        ck_status(envol_blob_seal(b.f.object, b.f.lane, NULL, 0, b.plain, lengths[i], out),
                  ENVOL_E_RANGE);
        ck_status(envol_blob_unseal(b.f.object, b.f.lane, NULL, 0, b.sealed, sealed_bytes, out),
                  ENVOL_E_RANGE);
        ck_status(envol_blob_reseal(b.f.object, b.f.lane, NULL, 0, b.sealed, sealed_bytes, out),
                  ENVOL_E_RANGE);
    }
    for (size_t i = 0; i < sizeof(out); i++)
        ck_assert_uint_eq(out[i], 0xee);
    page_fixture_close(&b.f);
}
END_TEST

START_TEST(wrong_arguments)
{
    struct blob b;
    uint8_t out[SEALED] = {1};

    blob_open(&b);
    ck_status(envol_blob_seal(b.f.object, b.f.lane, NULL, 1, b.plain, PLAIN, out),
              ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(out, SEALED));
    out[0] = 1;
    ck_status(envol_blob_unseal(b.f.object, b.f.lane, NULL, AAD, b.sealed, SEALED, out),
              ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(out, PLAIN));
    ck_status(envol_blob_reseal(b.f.object, b.f.lane, NULL, AAD, b.sealed, SEALED, out),
              ENVOL_E_ARGUMENT);
    ck_status(envol_blob_seal(b.f.object, b.f.lane, NULL, 0, NULL, 1, out), ENVOL_E_ARGUMENT);
    ck_status(envol_blob_seal(b.f.object, b.f.lane, NULL, 0, b.plain, PLAIN, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_blob_unseal(b.f.object, b.f.lane, NULL, 0, b.sealed, SEALED, NULL),
              ENVOL_E_ARGUMENT);
    ck_status(envol_blob_unseal(b.f.object, b.f.lane, NULL, 0, NULL, SEALED, out),
              ENVOL_E_ARGUMENT);
    page_fixture_close(&b.f);
}
END_TEST

/* --- batches --- */

#define BATCH 5u

/* Blob i is i x 50 bytes long, bound to the first i bytes of aad. */
static void batch_of(const struct blob *b, uint8_t sealed[BATCH][SEALED], struct envol_blob_op *ops)
{
    memset(sealed, 0xee, BATCH * SEALED);
    for (size_t i = 0; i < BATCH; i++)
        ops[i] = (struct envol_blob_op){.aad = b->aad,
                                        .aad_bytes = i,
                                        .plain = b->plain,
                                        .plain_bytes = i * 50,
                                        .sealed = sealed[i],
                                        .status = ENVOL_E_STATE};
}

static void check_op(const struct blob *b, const struct envol_blob_op *op)
{
    size_t sealed_bytes = op->plain_bytes + ENVOL_TRAILER_BYTES;
    const uint8_t *sealed = op->sealed;
    uint8_t got[PLAIN + 1];

    ck_ok(op->status);
    ck_ok(envol_blob_unseal(b->f.object, b->f.lane, op->aad, op->aad_bytes, sealed, sealed_bytes,
                            got));
    ck_assert(memcmp(got, b->plain, op->plain_bytes) == 0);
    ck_assert(sealed_bytes == SEALED || sealed[sealed_bytes] == 0xee);
}

/* Nonce, as far as it counts: of one draw each is one more than the one before. */
static uint64_t low_nonce(const struct envol_blob_op *op)
{
    return envol_load64be((const uint8_t *)op->sealed + op->plain_bytes + 8 + 16);
}

START_TEST(batches)
{
    struct blob b;
    uint8_t sealed[BATCH][SEALED];
    struct envol_blob_op ops[BATCH];

    blob_open(&b);
    for (int i = 0; i < 2; i++) {
        batch_of(&b, sealed, ops);
        ck_ok(envol_blob_seal_batch(b.f.object, i ? NULL : b.f.lane, ops, BATCH));
        for (size_t k = 0; k < BATCH; k++) {
            check_op(&b, &ops[k]);
            ck_assert(k == 0 || low_nonce(&ops[k]) == low_nonce(&ops[k - 1]) + 1);
        }
    }
    ck_ok(envol_blob_seal_batch(b.f.object, b.f.lane, NULL, 0));
    ck_status(envol_blob_seal_batch(b.f.object, b.f.lane, NULL, 1), ENVOL_E_ARGUMENT);
    page_fixture_close(&b.f);
}
END_TEST

/* It is zeroed; the others are delivered. */
START_TEST(a_wrong_blob_of_a_batch_fails_alone)
{
    struct blob b;
    uint8_t sealed[BATCH][SEALED];
    struct envol_blob_op ops[BATCH];

    blob_open(&b);
    for (size_t i = 2; i < 2 * BATCH; i++) {
        size_t wrong = i / 2;
        enum envol_status expected = i % 2 ? ENVOL_E_RANGE : ENVOL_E_ARGUMENT;
        batch_of(&b, sealed, ops);
        if (expected == ENVOL_E_RANGE)
            ops[wrong].aad_bytes = ENVOL_BLOB_AAD_MAX + 1;
        else
            ops[wrong].aad = NULL;
        ck_status(envol_blob_seal_batch(b.f.object, b.f.lane, ops, BATCH), expected);
        for (size_t k = 0; k < BATCH; k++) {
            if (k != wrong)
                check_op(&b, &ops[k]);
        }
        ck_status(ops[wrong].status, expected);
        ck_assert(envol_is_zero(sealed[wrong], wrong * 50 + ENVOL_TRAILER_BYTES));
    }
    page_fixture_close(&b.f);
}
END_TEST

/* --- re-sealing --- */

static void check_reseal(struct blob *b, bool in_place)
{
    uint8_t apart[SEALED + 1], *out = in_place ? b->sealed : apart;
    struct oracle o = page_fixture_oracle_of(&b->f, 0, 1);
    uint32_t epoch;

    o.type = ORACLE_BLOB;
    oracle_blob(&o, b->aad, AAD, b->plain, PLAIN, b->sealed);
    ck_ok(envol_blob_reseal(b->f.object, b->f.lane, b->aad, AAD, b->sealed, SEALED, out));
    ck_ok(envol_trailer_epoch(out + PLAIN, &epoch));
    ck_assert_uint_eq(epoch, 5);
    memcpy(b->sealed, out, SEALED);
    check_unseal(b, AAD, SEALED, ENVOL_OK);
    b->sealed[3] ^= 1;
    ck_status(envol_blob_reseal(b->f.object, b->f.lane, b->aad, AAD, b->sealed, SEALED, out),
              ENVOL_E_CORRUPT);
    ck_assert(envol_is_zero(out, SEALED));
}

START_TEST(resealed_under_the_current_epoch)
{
    struct blob b;

    blob_open(&b);
    check_reseal(&b, true);
    check_reseal(&b, false);
    /* Too short to be one. */
    ck_status(envol_blob_reseal(b.f.object, b.f.lane, NULL, 0, b.sealed, 47, b.sealed),
              ENVOL_E_CORRUPT);
    page_fixture_close(&b.f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blob");
    TCase *tcase = tcase_create("blob");

    tcase_add_test(tcase, every_flipped_bit_is_detected);
    tcase_add_test(tcase, other_lengths_are_corrupt);
    tcase_add_test(tcase, shortened_blobs_are_corrupt);
    tcase_add_test(tcase, other_volumes_and_objects_are_corrupt);
    tcase_add_test(tcase, other_types_are_corrupt);
    tcase_add_test(tcase, epochs);
    tcase_add_loop_test(tcase, any_length_and_alignment, 0, page_kernels());
    tcase_add_loop_test(tcase, empty_blobs, 0, page_kernels());
    tcase_add_test(tcase, associated_data_is_bounded);
    tcase_add_test(tcase, length_is_bounded);
    tcase_add_test(tcase, wrong_arguments);
    tcase_add_test(tcase, batches);
    tcase_add_test(tcase, a_wrong_blob_of_a_batch_fails_alone);
    tcase_add_test(tcase, resealed_under_the_current_epoch);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
