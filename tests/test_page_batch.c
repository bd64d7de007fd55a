/* SPDX-License-Identifier: BSD-2-Clause */
/* Batches: equal to single calls, one draw each, and a page that fails fails alone. */
#include "base/memory.h"
#include "page_fixture.h"
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE   512u
#define STRIDE 576u
#define PAGES  50u /* three groups and a rest */

static struct {
    int draws;
    const uint8_t *next; /* what the next draw answers, once; NULL: honest */
} source;

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    source.draws++;
    if (source.next == NULL)
        return syscall(SYS_getrandom, out, bytes, flags);
    memcpy(out, source.next, bytes);
    source.next = NULL;
    return (ssize_t)bytes;
}

struct batch {
    struct page_fixture f;
    uint8_t page[PAGES][PAGE], record[PAGES][STRIDE], trailer[PAGES][ENVOL_TRAILER_BYTES];
    uint8_t got[PAGES][PAGE];
    struct envol_page_op ops[PAGES];
};

static const struct page_wish gcm = {.page_bytes = PAGE, .gap_bytes = 16, .epoch = 3};
static const struct page_wish xts = {.suite = ENVOL_SUITE_AES_256_XTS, .page_bytes = PAGE};

/* For looped tests: GCM, then XTS where there is one. */
static const struct page_wish *wish_of(int i)
{
    return i % 2 == 1 && page_suite(ENVOL_SUITE_AES_256_XTS) ? &xts : &gcm;
}

/* Page numbers in no order; every third page with its trailer apart. */
static struct batch *batch_new(const struct page_wish *wish)
{
    struct batch *b = calloc(1, sizeof(*b));

    ck_assert_ptr_nonnull(b);
    page_fixture_open(&b->f, wish);
    test_fill(b->page, sizeof(b->page));
    for (size_t i = 0; i < PAGES; i++)
        b->ops[i] = (struct envol_page_op){
            .page_no = test_random() >> 12,
            .page = b->page[i],
            .record = b->record[i],
            .trailer = i % 3 == 1 ? b->trailer[i] : NULL,
            .status = ENVOL_E_STATE,
        };
    return b;
}

static void batch_free(struct batch *b)
{
    page_fixture_close(&b->f);
    free(b);
}

static void seal_all(struct batch *b, struct envol_lane *lane)
{
    ck_ok(envol_page_seal_batch(b->f.object, lane, b->ops, PAGES));
    for (size_t i = 0; i < PAGES; i++)
        ck_assert_int_eq(b->ops[i].status, ENVOL_OK);
}

/* From now on the ops unseal into got. */
static void turn_round(struct batch *b)
{
    memset(b->got, 0xee, sizeof(b->got));
    for (size_t i = 0; i < PAGES; i++) {
        b->ops[i].page = b->got[i];
        b->ops[i].status = ENVOL_E_STATE;
    }
}

/* All but those that hold another status are delivered; those hold zeros. */
static void check_delivery(const struct batch *b, const enum envol_status expected[PAGES])
{
    for (size_t i = 0; i < PAGES; i++) {
        ck_assert_msg(b->ops[i].status == expected[i], "page %zu: %s", i,
                      envol_status_name(b->ops[i].status));
        if (expected[i] == ENVOL_OK)
            ck_assert_mem_eq(b->got[i], b->page[i], PAGE);
        else
            ck_assert(envol_is_zero(b->got[i], PAGE));
    }
}

static void unseal_all(struct batch *b, struct envol_lane *lane)
{
    const enum envol_status all_well[PAGES] = {ENVOL_OK};

    turn_round(b);
    ck_ok(envol_page_unseal_batch(b->f.object, lane, b->ops, PAGES));
    check_delivery(b, all_well);
}

static void check_one_by_one(struct batch *b)
{
    uint8_t got[PAGE];

    for (size_t i = 0; i < PAGES; i++) {
        const struct envol_page_op *op = &b->ops[i];
        if (op->trailer != NULL)
            ck_ok(envol_page_unseal_detached(b->f.object, b->f.lane, op->page_no, op->record,
                                             op->trailer, got));
        else
            ck_ok(envol_page_unseal(b->f.object, b->f.lane, op->page_no, op->record, got));
        ck_assert_mem_eq(got, b->page[i], PAGE);
    }
}

START_TEST(batches_equal_single_calls)
{
    bool is_xts = _i % 2;
    struct batch *b;

    if (!page_kernel_force(_i / 2, is_xts ? ENVOL_SUITE_AES_256_XTS : ENVOL_SUITE_AES_256_GCM))
        return;
    b = batch_new(is_xts ? &xts : &gcm);
    for (int with_lane = 0; with_lane < 2; with_lane++) {
        struct envol_lane *lane = with_lane ? b->f.lane : NULL;

        for (size_t i = 0; i < PAGES; i++)
            b->ops[i].page = b->page[i];
        source.draws = 0;
        seal_all(b, lane);
        ck_assert_int_eq(source.draws, is_xts ? 0 : 1);
        check_one_by_one(b);
        unseal_all(b, lane);
    }
    batch_free(b);
    envol_aes_kernel_force(NULL);
}
END_TEST

START_TEST(every_length)
{
    struct batch *b = batch_new(wish_of(_i));

    for (size_t count = 0; count <= PAGES; count++) {
        memset(b->record, 0xee, sizeof(b->record));
        for (size_t i = 0; i < PAGES; i++) {
            b->ops[i].status = ENVOL_E_STATE;
            b->ops[i].page = b->page[i];
        }
        ck_ok(envol_page_seal_batch(b->f.object, b->f.lane, b->ops, count));
        for (size_t i = 0; i < PAGES; i++) {
            ck_assert_int_eq(b->ops[i].status, i < count ? ENVOL_OK : ENVOL_E_STATE);
            ck_assert((b->record[i][0] == 0xee && b->record[i][1] == 0xee &&
                       b->record[i][2] == 0xee) == (i >= count));
        }
        turn_round(b);
        ck_ok(envol_page_unseal_batch(b->f.object, b->f.lane, b->ops, count));
        for (size_t i = 0; i < count; i++)
            ck_assert_mem_eq(b->got[i], b->page[i], PAGE);
    }
    ck_ok(envol_page_seal_batch(b->f.object, b->f.lane, NULL, 0));
    ck_ok(envol_page_unseal_batch(b->f.object, b->f.lane, NULL, 0));
    ck_status(envol_page_seal_batch(b->f.object, b->f.lane, NULL, 1), ENVOL_E_ARGUMENT);
    ck_status(envol_page_unseal_batch(b->f.object, b->f.lane, NULL, 1), ENVOL_E_ARGUMENT);
    ck_status(envol_page_seal_batch(NULL, b->f.lane, NULL, 0), ENVOL_E_ARGUMENT);
    batch_free(b);
}
END_TEST

/* --- bad pages --- */

enum fault { BIT, HOLE, NEWER, OLDER, NO_PAGE, NO_RECORD, FAR, FAULTS };

static enum envol_status spoil(struct batch *b, size_t i, enum fault fault)
{
    struct envol_page_op *op = &b->ops[i];
    uint8_t *trailer =
        op->trailer != NULL ? op->trailer : (uint8_t *)op->record + STRIDE - ENVOL_TRAILER_BYTES;
    uint8_t hole[STRIDE];

    switch (fault) {
    case BIT:
        b->record[i][i * 10] ^= 1;
        return ENVOL_E_CORRUPT;
    case HOLE:
        ck_ok(envol_page_seal_hole(b->f.object, b->f.lane, op->page_no, hole));
        memcpy(op->record, hole, PAGE);
        memcpy(trailer, hole + STRIDE - ENVOL_TRAILER_BYTES, ENVOL_TRAILER_BYTES);
        return ENVOL_E_UNWRITTEN;
    case NEWER:
        trailer[0] = 4;
        return ENVOL_E_STALE;
    case OLDER:
        trailer[0] = 2;
        return ENVOL_E_CORRUPT;
    case NO_PAGE:
        op->page = NULL;
        return ENVOL_E_ARGUMENT;
    case NO_RECORD:
        op->record = NULL;
        return ENVOL_E_ARGUMENT;
    default:
        op->page_no = (UINT64_C(1) << 63) / b->f.stride_bytes;
        return ENVOL_E_RANGE;
    }
}

START_TEST(one_bad_page_fails_alone)
{
    enum fault fault = (enum fault)(_i % FAULTS);

    for (size_t bad = 0; bad < PAGES; bad += 7) {
        struct batch *b = batch_new(&gcm);
        enum envol_status expected[PAGES] = {ENVOL_OK};

        seal_all(b, b->f.lane);
        turn_round(b);
        expected[bad] = spoil(b, bad, fault);
        if (fault == NO_PAGE)
            memset(b->got[bad], 0, PAGE);
        ck_status(
            envol_page_unseal_batch(b->f.object, _i < FAULTS ? b->f.lane : NULL, b->ops, PAGES),
            expected[bad]);
        check_delivery(b, expected);
        batch_free(b);
    }
}
END_TEST

START_TEST(the_first_bad_page_names_the_outcome)
{
    struct batch *b = batch_new(&gcm);
    enum envol_status expected[PAGES] = {ENVOL_OK};

    seal_all(b, b->f.lane);
    turn_round(b);
    expected[49] = spoil(b, 49, FAR);
    expected[30] = spoil(b, 30, BIT);
    expected[31] = spoil(b, 31, NEWER);
    expected[7] = spoil(b, 7, HOLE);
    ck_status(envol_page_unseal_batch(b->f.object, b->f.lane, b->ops, PAGES), ENVOL_E_UNWRITTEN);
    check_delivery(b, expected);
    batch_free(b);
}
END_TEST

/* Sealing: the bad op's own outputs are zeroed, the other pages are sealed. */
START_TEST(bad_ops_are_not_sealed)
{
    const struct page_wish *wish = wish_of(_i);
    struct batch *b = batch_new(wish);
    enum envol_status expected[PAGES] = {ENVOL_OK};

    memset(b->record, 0xee, sizeof(b->record));
    memset(b->trailer, 0xee, sizeof(b->trailer));
    expected[4] = spoil(b, 4, _i / 2 ? FAR : NO_PAGE);
    expected[20] = spoil(b, 20, NO_RECORD);
    ck_status(envol_page_seal_batch(b->f.object, b->f.lane, b->ops, PAGES), expected[4]);
    ck_assert_int_eq(b->ops[4].status, expected[4]);
    ck_assert_int_eq(b->ops[20].status, ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(b->record[4], PAGE));
    ck_assert(envol_is_zero(b->trailer[4], ENVOL_TRAILER_BYTES) == (wish == &gcm));
    b->ops[4] = b->ops[5];
    b->ops[20] = b->ops[5];
    b->ops[4].record = b->record[5];
    turn_round(b);
    ck_ok(envol_page_unseal_batch(b->f.object, b->f.lane, b->ops, PAGES));
    ck_assert_mem_eq(b->got[4], b->page[5], PAGE);
    ck_assert_mem_eq(b->got[20], b->page[5], PAGE);
    ck_assert_mem_eq(b->got[49], b->page[49], PAGE);
    batch_free(b);
}
END_TEST

/* --- kernels that fail in the middle --- */

static struct {
    const struct envol_aes_kernel *whole;
    int calls_left;
} failing;

static enum envol_status seal_or_fail(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    return failing.calls_left-- == 0 ? ENVOL_E_NO_MEMORY
                                     : failing.whole->gcm_seal(key, jobs, count);
}

static enum envol_status open_or_fail(const void *key, struct envol_gcm_job *jobs, size_t count)
{
    return failing.calls_left-- == 0 ? ENVOL_E_NO_MEMORY
                                     : failing.whole->gcm_open(key, jobs, count);
}

static void check_groups(const struct batch *b, int failed_group)
{
    for (size_t i = 0; i < PAGES; i++)
        ck_assert_int_eq(b->ops[i].status,
                         (int)i / 16 == failed_group ? ENVOL_E_NO_MEMORY : ENVOL_OK);
}

START_TEST(a_group_that_fails_fails_alone)
{
    struct batch *b = batch_new(&gcm);
    struct envol_aes_kernel kernel = *b->f.keyring->kernel;

    failing.whole = b->f.keyring->kernel;
    kernel.gcm_seal = seal_or_fail;
    kernel.gcm_open = open_or_fail;
    b->f.keyring->kernel = &kernel;
    failing.calls_left = _i;
    memset(b->record, 0xee, sizeof(b->record));
    ck_status(envol_page_seal_batch(b->f.object, b->f.lane, b->ops, PAGES), ENVOL_E_NO_MEMORY);
    check_groups(b, _i);
    for (size_t i = 0; i < PAGES; i++)
        if (b->ops[i].status != ENVOL_OK)
            ck_assert(envol_is_zero(b->record[i], i % 3 == 1 ? PAGE : STRIDE));
    failing.calls_left = -1;
    seal_all(b, b->f.lane);
    failing.calls_left = _i;
    turn_round(b);
    ck_status(envol_page_unseal_batch(b->f.object, b->f.lane, b->ops, PAGES), ENVOL_E_NO_MEMORY);
    check_groups(b, _i);
    for (size_t i = 0; i < PAGES; i++)
        ck_assert(b->ops[i].status == ENVOL_OK ? memcmp(b->got[i], b->page[i], PAGE) == 0
                                               : envol_is_zero(b->got[i], PAGE));
    b->f.keyring->kernel = failing.whole;
    batch_free(b);
}
END_TEST

/* --- nonces --- */

static const uint8_t *nonce_of(const struct batch *b, size_t i)
{
    const uint8_t *trailer = b->ops[i].trailer;

    return (trailer != NULL ? trailer : b->record[i] + STRIDE - ENVOL_TRAILER_BYTES) + 8;
}

/* first + i, big-endian, mod 2^96. */
static void count_up(uint8_t n[12])
{
    for (int at = 11; at >= 0 && ++n[at] == 0; at--)
        ;
}

START_TEST(nonces_count_up)
{
    /* Carries out of 64 bits, and out of 96. */
    static const char *const starts[] = {"00112233445566778899aabbccddeeff0011223344556677",
                                         "00112233445566778899aabb00000000fffffffffffffffa",
                                         "00112233445566778899aabbfffffffffffffffffffffff0"};
    struct batch *b = batch_new(&gcm);
    uint8_t drawn[24], expected[24];

    test_unhex(starts[_i], drawn, sizeof(drawn));
    memcpy(expected, drawn, sizeof(drawn));
    source.next = drawn;
    seal_all(b, _i == 0 ? NULL : b->f.lane);
    for (size_t i = 0; i < PAGES; i++) {
        ck_assert_mem_eq(nonce_of(b, i), expected, sizeof(expected));
        count_up(expected + 12);
    }
    check_one_by_one(b);
    unseal_all(b, b->f.lane);
    batch_free(b);
}
END_TEST

/* --- salts and places mixed --- */

/* More salts than a lane remembers, in every order. */
START_TEST(records_of_many_lanes)
{
    struct batch *b = batch_new(&gcm);

    for (size_t i = 0; i < PAGES; i++) {
        struct envol_lane *lane;

        ck_ok(envol_lane_open(b->f.keyring, &lane));
        ck_ok(envol_page_seal_batch(b->f.object, lane, &b->ops[i], 1));
        if (i % 4 == 3)
            ck_ok(envol_page_seal_batch(b->f.object, lane, &b->ops[i - 1], 1));
        envol_lane_close(lane);
    }
    unseal_all(b, b->f.lane);
    unseal_all(b, NULL);
    for (int round = 0; round < 20; round++) {
        size_t i = test_random() % PAGES, j = test_random() % PAGES;
        struct envol_page_op op = b->ops[i];

        b->ops[i] = b->ops[j];
        b->ops[j] = op;
        ck_ok(envol_page_unseal_batch(b->f.object, b->f.lane, b->ops, PAGES));
    }
    batch_free(b);
}
END_TEST

START_TEST(pages_given_twice)
{
    struct batch *b = batch_new(wish_of(_i));
    uint8_t first[2][PAGE];

    b->ops[1] = b->ops[0];
    b->ops[1].record = b->record[1];
    seal_all(b, b->f.lane);
    ck_assert((memcmp(b->record[0], b->record[1], PAGE) == 0) ==
              (b->f.wish.suite == ENVOL_SUITE_AES_256_XTS));
    b->ops[1].record = b->record[0];
    b->ops[0].page = first[0];
    b->ops[1].page = first[1];
    ck_ok(envol_page_unseal_batch(b->f.object, b->f.lane, b->ops, 2));
    ck_assert_mem_eq(first[0], b->page[0], PAGE);
    ck_assert_mem_eq(first[1], b->page[0], PAGE);
    batch_free(b);
}
END_TEST

START_TEST(in_place)
{
    struct batch *b = batch_new(wish_of(_i));

    for (size_t i = 0; i < PAGES; i++) {
        memcpy(b->record[i], b->page[i], PAGE);
        b->ops[i].page = b->record[i];
    }
    seal_all(b, b->f.lane);
    ck_assert(memcmp(b->record[7], b->page[7], PAGE) != 0);
    ck_ok(envol_page_unseal_batch(b->f.object, b->f.lane, b->ops, PAGES));
    for (size_t i = 0; i < PAGES; i++)
        ck_assert_mem_eq(b->record[i], b->page[i], PAGE);
    batch_free(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_batch");
    TCase *tcase = tcase_create("batch");

    tcase_add_loop_test(tcase, batches_equal_single_calls, 0, 2 * page_kernels());
    tcase_add_loop_test(tcase, every_length, 0, 2);
    tcase_add_loop_test(tcase, one_bad_page_fails_alone, 0, 2 * FAULTS);
    tcase_add_test(tcase, the_first_bad_page_names_the_outcome);
    tcase_add_loop_test(tcase, bad_ops_are_not_sealed, 0, 4);
    tcase_add_loop_test(tcase, a_group_that_fails_fails_alone, 0, 4);
    tcase_add_loop_test(tcase, nonces_count_up, 0, 3);
    tcase_add_test(tcase, records_of_many_lanes);
    tcase_add_loop_test(tcase, pages_given_twice, 0, 2);
    tcase_add_loop_test(tcase, in_place, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
