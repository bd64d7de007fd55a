/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of a log run to the byte, both ways; what is bound into them; and each index once. */
#include "base/bytes.h"
#include "base/memory.h"
#include "log_run_fixture.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 1100, ROOM = LENGTH_MAX + 64 };

static struct log_run_fixture l;
static uint8_t data[LENGTH_MAX], sealed[ROOM], expected[ROOM], plain[ROOM];

static void setup(void)
{
    log_run_fixture_open(&l, NULL);
    test_fill(data, sizeof(data));
}

static void teardown(void)
{
    log_run_fixture_close(&l);
}

/* Seals record `index` of so many bytes into sealed; its size. */
static size_t seal(uint32_t index, size_t bytes)
{
    const struct envol_log_record record = log_record(index, data, bytes);

    ck_ok(envol_log_record_seal(l.run, &record, sealed));
    return envol_log_record_bytes(bytes);
}

/* Where it was not touched, and where it holds zeros. */
static bool is_filled(const uint8_t *bytes, size_t count, uint8_t with)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != with)
            return false;
    return true;
}

/* --- Format --- */

/* Every length, each kernel of the build against the reference; opened in place, too. */
START_TEST(known_answers)
{
    struct log_oracle oracle;
    struct envol_log_record got;

    if (!page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    setup();
    oracle = log_run_fixture_oracle(&l);
    ck_assert_mem_eq(l.header + 104, oracle.commitment, 32);
    for (uint32_t i = 0; i <= LENGTH_MAX; i++) {
        const struct log_fields fields = {.bytes = i, .lsn = 100 + i, .index = i, .durable = i / 2};
        size_t bytes = seal(i, i);

        ck_assert_uint_eq(log_oracle_record(&oracle, &fields, i, data, expected), bytes);
        ck_assert_mem_eq(sealed, expected, bytes);
        memset(plain, 0xee, sizeof(plain));
        ck_ok(envol_log_record_unseal(l.reader, i, sealed, bytes, plain, &got));
        ck_assert_mem_eq(plain, data, i);
        ck_assert_msg(is_filled(plain + i, sizeof(plain) - i, 0xee), "length %u", i);
        ck_assert_uint_eq(got.lsn, 100 + i);
        ck_assert_uint_eq(got.index, i);
        ck_assert_uint_eq(got.durable, i / 2);
        ck_assert_uint_eq(got.flags, 0);
        ck_assert_uint_eq(got.bytes, i);
        ck_assert_ptr_eq(got.data, plain);
        ck_ok(envol_log_record_unseal(l.run, i, sealed, bytes, sealed + 24, NULL));
        ck_assert_mem_eq(sealed + 24, data, i);
    }
    teardown();
    ck_assert(envol_aes_kernel_force(NULL));
}
END_TEST

START_TEST(in_place)
{
    struct log_oracle oracle = log_run_fixture_oracle(&l);

    for (uint32_t i = 0; i < 300; i++) {
        const struct log_fields fields = {.bytes = i, .lsn = 100 + i, .index = i, .durable = i / 2};
        const struct envol_log_record record = log_record(i, sealed + 24, i);
        size_t bytes = log_oracle_record(&oracle, &fields, i, data, expected);

        memset(sealed, 0xee, sizeof(sealed));
        memcpy(sealed + 24, data, i);
        ck_ok(envol_log_record_seal(l.run, &record, sealed));
        ck_assert_mem_eq(sealed, expected, bytes);
        ck_assert(is_filled(sealed + bytes, sizeof(sealed) - bytes, 0xee));
    }
}
END_TEST

/* More than a kernel gets in one call; and flags, high LSNs, gaps in LSNs. */
START_TEST(batches)
{
    static uint8_t out[40 * (LENGTH_MAX + 64)];
    struct envol_log_record records[40], got;
    struct log_oracle oracle = log_run_fixture_oracle(&l);
    size_t at = 0;

    for (uint32_t i = 0; i < 40; i++) {
        records[i] = log_record(i, data + i, i * 25);
        records[i].lsn = UINT64_MAX - 1000 + i * 3;
        records[i].flags = i % 8;
        records[i].durable = i;
    }
    ck_ok(envol_log_record_seal_batch(l.run, records, 40, out));
    for (uint32_t i = 0; i < 40; i++) {
        const struct log_fields fields = {.bytes = i * 25,
                                          .flags = (uint16_t)(i % 8),
                                          .lsn = records[i].lsn,
                                          .index = i,
                                          .durable = i};
        size_t bytes = log_oracle_record(&oracle, &fields, i, data + i, expected);
        ck_assert_mem_eq(out + at, expected, bytes);
        ck_ok(envol_log_record_unseal(l.reader, i, out + at, sizeof(out) - at, plain, &got));
        ck_assert_uint_eq(got.flags, i % 8);
        ck_assert_uint_eq(got.lsn, records[i].lsn);
        at += bytes;
    }
    ck_ok(envol_log_record_seal_batch(l.run, NULL, 0, NULL));
}
END_TEST

/* The longest there is; one kernel's is opened by each other one. */
START_TEST(sixty_four_mebibytes)
{
    size_t bytes = envol_log_record_bytes(ENVOL_LOG_DATA_MAX);
    struct envol_log_record record = log_record(0, NULL, ENVOL_LOG_DATA_MAX);
    uint8_t *out = calloc(1, bytes), *from = out + ENVOL_LOG_RECORD_HEADER_BYTES;

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(bytes, (64u << 20) + 24 + 8 + 16);
    for (size_t i = 0; i < ENVOL_LOG_DATA_MAX; i += 4096)
        envol_store64(from + i, i);
    record.data = from;
    ck_ok(envol_log_record_seal(l.run, &record, out));
    ck_ok(envol_log_record_unseal(l.reader, 0, out, bytes, from, NULL));
    for (size_t i = 0; i < ENVOL_LOG_DATA_MAX; i += 4096)
        ck_assert_uint_eq(envol_load64(from + i), i);
    record.bytes++;
    record.index = 1;
    out[0] = 0x77;
    ck_status(envol_log_record_seal(l.run, &record, out), ENVOL_E_RANGE);
    ck_status(envol_log_record_seal_batch(l.run, &record, 1, out), ENVOL_E_RANGE);
    ck_assert_uint_eq(out[0], 0x77);
    ck_assert_uint_eq(envol_log_record_bytes(ENVOL_LOG_DATA_MAX + 1), 0);
    free(out);
}
END_TEST

START_TEST(sizes)
{
    static const size_t table[][2] = {{0, 48}, {1, 48}, {8, 48}, {9, 64}, {24, 64}, {256, 304}};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        ck_assert_uint_eq(envol_log_record_bytes(table[i][0]), table[i][1]);
    ck_assert_uint_eq(envol_log_record_bytes(SIZE_MAX), 0);
}
END_TEST

/* --- What is bound --- */

/* The output of a failure: zeros where the header told how many, else nothing. */
static void ck_corrupt(size_t bytes, uint32_t index, const char *what, size_t where)
{
    struct envol_log_record got = {.lsn = 1}, zeros = {0}, peeked;
    enum envol_status status;
    bool says = ck_note(envol_log_record_peek(sealed, &peeked)) == ENVOL_OK;

    memset(plain, 0xee, sizeof(plain));
    status = ck_note(envol_log_record_unseal(l.reader, index, sealed, bytes, plain, &got));
    ck_assert_msg(status == ENVOL_E_CORRUPT || (status == ENVOL_E_TRUNCATED && says), "%s %zu: %d",
                  what, where, status);
    ck_assert_mem_eq(&got, &zeros, sizeof(got));
    if (says && peeked.bytes <= ROOM)
        ck_assert_msg(is_filled(plain, peeked.bytes, 0), "%s %zu", what, where);
    else
        ck_assert_msg(is_filled(plain, sizeof(plain), 0xee), "%s %zu", what, where);
}

/* Header, ciphertext, zeros, tag.  A length that no buffer here has room for never gets far: the
 * caller would have seen it. */
START_TEST(every_bit_flipped)
{
    static uint8_t long_plain[1u << 17];
    size_t bytes = seal(0, 41);

    ck_assert_uint_eq(bytes, 24 + 41 + 15 + 16);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        struct envol_log_record peeked;

        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (ck_note(envol_log_record_peek(sealed, &peeked)) == ENVOL_OK && peeked.bytes > ROOM) {
            ck_assert_uint_lt(bit, 32);
            if (peeked.bytes <= sizeof(long_plain))
                ck_status(envol_log_record_unseal(l.reader, 0, sealed, bytes, long_plain, NULL),
                          ENVOL_E_TRUNCATED);
        } else {
            ck_corrupt(bytes, 0, "bit", bit);
        }
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_ok(envol_log_record_unseal(l.reader, 0, sealed, bytes, plain, NULL));
}
END_TEST

START_TEST(another_place)
{
    size_t bytes = seal(0, 41);
    struct log_oracle oracle = log_run_fixture_oracle(&l);
    const struct log_fields moved = {.bytes = 41, .lsn = 101, .index = 1};

    /* Asked for as another one, and with another one's index in its header. */
    ck_corrupt(bytes, 1, "asked for", 1);
    envol_store32(sealed + 16, 1);
    ck_corrupt(bytes, 1, "index", 1);
    ck_corrupt(bytes, 0, "index", 0);
    /* Under the nonce of another one. */
    ck_assert_uint_eq(log_oracle_record(&oracle, &moved, 0, data, sealed), bytes);
    ck_corrupt(bytes, 1, "nonce", 0);
    (void)log_oracle_record(&oracle, &moved, 1, data, sealed);
    ck_ok(envol_log_record_unseal(l.reader, 1, sealed, bytes, plain, NULL));
}
END_TEST

/* An authentic record that no writer of the library makes. */
START_TEST(authentic_but_unsound)
{
    static const struct log_fields bad[] = {
        {.bytes = 3, .lsn = 100, .index = 1, .durable = 2},
        {.bytes = 3, .lsn = 99, .index = 1},
        {.bytes = 3, .lsn = 0, .index = 1},
        {.bytes = 3, .lsn = 100, .index = 1, .flags = 8},
        {.bytes = 3, .lsn = 100, .index = 1, .flags = 0x8000},
        {.bytes = 3, .lsn = 100, .index = 1, .spare = 1},
        {.bytes = 3, .lsn = 100, .index = UINT32_MAX},
    };
    struct log_oracle oracle = log_run_fixture_oracle(&l);
    size_t bytes = log_oracle_record(&oracle, &bad[_i], bad[_i].index, data, sealed);

    ck_corrupt(bytes, bad[_i].index, "case", (size_t)_i);
}
END_TEST

static void of_another_run(struct log_run_fixture *other)
{
    const struct envol_log_record record = log_record(0, data, 41);

    ck_ok(envol_log_record_seal(other->run, &record, sealed));
    ck_ok(envol_log_record_unseal(other->reader, 0, sealed, sizeof(sealed), plain, NULL));
    ck_corrupt(sizeof(sealed), 0, "run", 0);
}

/* The same header fields but for the salt, which was drawn; another volume; another epoch. */
START_TEST(another_run)
{
    static struct log_run_fixture other;
    const struct page_wish wish = {.epoch = 2};
    struct envol_log_run *none;

    other = l;
    if (_i == 1)
        page_fixture_open(&other.f, NULL);
    if (_i == 2)
        page_fixture_again(&other.f, &l.f, &wish);
    ck_ok(envol_log_run_begin(other.f.keyring, &l.params, other.header, &other.run));
    ck_ok(envol_log_run_open(other.f.keyring, other.header, &l.params, &other.reader));
    ck_assert_mem_ne(other.header + 64, l.header + 64, 24);
    of_another_run(&other);
    if (_i > 0)
        ck_status(envol_log_run_open(l.f.keyring, other.header, NULL, &none),
                  _i == 1 ? ENVOL_E_CORRUPT : ENVOL_E_STALE);
    envol_log_run_close(other.reader);
    envol_log_run_close(other.run);
    if (_i > 0)
        page_fixture_close(&other.f);
}
END_TEST

START_TEST(cut_anywhere)
{
    size_t bytes = seal(0, 41);
    struct envol_log_record got;

    for (size_t n = 0; n < bytes; n++) {
        uint8_t *cut = page_buffer(n);

        memcpy(cut, sealed, n);
        memset(plain, 0xee, sizeof(plain));
        ck_status(envol_log_record_unseal(l.reader, 0, cut, n, plain, &got), ENVOL_E_TRUNCATED);
        ck_assert(is_filled(plain, 41, n < 24 ? 0xee : 0));
        free(cut);
    }
}
END_TEST

START_TEST(zeros_are_no_record)
{
    struct envol_log_record got = {.lsn = 1}, none = {0};
    static const uint8_t zeros[64];

    ck_status(envol_log_record_peek(zeros, &got), ENVOL_E_CORRUPT);
    ck_assert_mem_eq(&got, &none, sizeof(got));
    ck_status(envol_log_record_unseal(l.reader, 0, zeros, sizeof(zeros), plain, NULL),
              ENVOL_E_CORRUPT);
}
END_TEST

START_TEST(peek_tells_the_header)
{
    struct envol_log_record record = log_record(0, data, 41), got;

    record.flags = ENVOL_LOG_FILLER | ENVOL_LOG_END;
    record.lsn = UINT64_C(0x0102030405060708);
    ck_ok(envol_log_record_seal(l.run, &record, sealed));
    ck_ok(envol_log_record_peek(sealed, &got));
    ck_assert_uint_eq(got.lsn, record.lsn);
    ck_assert_uint_eq(got.flags, record.flags);
    ck_assert_uint_eq(got.bytes, 41);
    ck_assert_ptr_null(got.data);
}
END_TEST

/* --- Each index once --- */

static enum envol_status try_seal(uint32_t index)
{
    const struct envol_log_record record = log_record(index, data, 5);

    memset(sealed, 0xee, sizeof(sealed));
    return ck_note(envol_log_record_seal(l.run, &record, sealed));
}

static void ck_used(uint32_t index)
{
    ck_assert_int_eq(try_seal(index), ENVOL_E_STATE);
    ck_assert(is_filled(sealed, 48, 0));
    ck_assert(is_filled(sealed + 48, sizeof(sealed) - 48, 0xee));
}

START_TEST(an_index_is_sealed_once)
{
    struct envol_log_record two[2] = {log_record(4, data, 5), log_record(3, data, 5)};

    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_eq(try_seal(i), ENVOL_OK);
    for (uint32_t i = 0; i < 4; i++)
        ck_used(i);
    /* With one that was used in it, a batch fails as a whole, and uses up the others. */
    ck_status(envol_log_record_seal_batch(l.run, two, 2, sealed), ENVOL_E_STATE);
    ck_assert(is_filled(sealed, 96, 0));
    ck_used(4);
}
END_TEST

START_TEST(any_order_within_the_window)
{
    for (uint32_t i = ENVOL_LOG_WINDOW; i-- > 1;)
        ck_assert_int_eq(try_seal(i), ENVOL_OK);
    ck_used(ENVOL_LOG_WINDOW);
    ck_assert_int_eq(try_seal(ENVOL_LOG_WINDOW + 1), ENVOL_OK);
    ck_assert_int_eq(try_seal(0), ENVOL_OK);
    ck_assert_int_eq(try_seal(ENVOL_LOG_WINDOW), ENVOL_OK);
    ck_used(0);
    ck_used(ENVOL_LOG_WINDOW);
    ck_used(2 * ENVOL_LOG_WINDOW + 2);
}
END_TEST

/* The last indices there are: none of them comes round again. */
START_TEST(the_end_of_the_indices)
{
    uint32_t last = ENVOL_LOG_RECORDS_MAX - 1;

    for (uint32_t i = 0; i < ENVOL_LOG_WINDOW; i++)
        l.run->next[i] = UINT32_MAX - ENVOL_LOG_WINDOW + 1 + i;
    ck_assert_int_eq(try_seal(last - 1), ENVOL_OK);
    ck_assert_int_eq(try_seal(last), ENVOL_OK);
    ck_used(last - 1);
    ck_used(last);
    ck_used((last + ENVOL_LOG_WINDOW) % ENVOL_LOG_WINDOW);
    ck_assert_int_eq(try_seal(UINT32_MAX), ENVOL_E_RANGE);
    ck_assert(is_filled(sealed, 48, 0));
}
END_TEST

START_TEST(the_bytes_of_a_run)
{
    l.run->bytes = ENVOL_LOG_RUN_BYTES_MAX - 48;
    ck_assert_int_eq(try_seal(0), ENVOL_OK);
    ck_assert_int_eq(try_seal(1), ENVOL_E_RANGE);
    ck_assert(is_filled(sealed, 48, 0));
    l.run->bytes -= 48;
    ck_assert_int_eq(try_seal(1), ENVOL_OK);
}
END_TEST

/* Threads take every fourth index; all that they seal opens. */
enum { THREADS = 4, EACH = 200 };
static uint8_t by_threads[THREADS * EACH][304];

static void *seal_each_fourth(void *from)
{
    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t index = i * THREADS + (uint32_t)(uintptr_t)from;
        const struct envol_log_record record = log_record(index, data, 256);
        if (envol_log_record_seal(l.run, &record, by_threads[index]) != ENVOL_OK)
            return NULL;
    }
    return from;
}

START_TEST(sealed_by_threads)
{
    pthread_t thread[THREADS];
    void *result;

    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, seal_each_fourth, (void *)i), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_uint_eq((uintptr_t)result, i);
    }
    for (uint32_t i = 0; i < THREADS * EACH; i++)
        ck_ok(envol_log_record_unseal(l.reader, i, by_threads[i], 304, plain, NULL));
}
END_TEST

/* --- Statuses --- */

START_TEST(bad_arguments)
{
    struct envol_log_record record = log_record(3, data, 5), got;
    size_t bytes = seal(0, 41);

    ck_status(envol_log_record_seal(NULL, &record, sealed), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_seal(l.run, NULL, sealed), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_seal(l.run, &record, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_seal_batch(l.run, NULL, 1, sealed), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_seal_batch(NULL, NULL, 0, sealed), ENVOL_E_ARGUMENT);
    (void)seal(1, 41);
    ck_status(envol_log_record_peek(NULL, &got), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_peek(sealed, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_unseal(NULL, 1, sealed, bytes, plain, &got), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_unseal(l.run, 1, NULL, bytes, plain, &got), ENVOL_E_ARGUMENT);
    ck_status(envol_log_record_unseal(l.run, 1, sealed, bytes, NULL, &got), ENVOL_E_ARGUMENT);
    /* No data, no buffer. */
    record = log_record(2, NULL, 0);
    ck_ok(envol_log_record_seal(l.run, &record, sealed));
    ck_ok(envol_log_record_unseal(l.reader, 2, sealed, 48, NULL, &got));
    ck_assert_uint_eq(got.bytes, 0);
}
END_TEST

/* What a record may not say; nothing of it uses up the index. */
START_TEST(bad_records)
{
    const struct {
        struct envol_log_record record;
        enum envol_status status;
    } bad[] = {
        {{.lsn = 100, .index = 0, .durable = 1}, ENVOL_E_ARGUMENT},
        {{.lsn = 99, .index = 0}, ENVOL_E_ARGUMENT},
        {{.lsn = 0, .index = 0}, ENVOL_E_ARGUMENT},
        {{.lsn = 100, .index = 0, .flags = 8}, ENVOL_E_ARGUMENT},
        {{.lsn = 100, .index = 0, .flags = UINT32_C(1) << 31}, ENVOL_E_ARGUMENT},
        {{.lsn = 100, .index = 0, .bytes = 1}, ENVOL_E_ARGUMENT},
        {{.lsn = 100, .index = UINT32_MAX}, ENVOL_E_RANGE},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(sealed, 0xee, sizeof(sealed));
        ck_status(envol_log_record_seal(l.run, &bad[i].record, sealed), bad[i].status);
        ck_assert(is_filled(sealed, 48, 0));
        ck_assert(is_filled(sealed + 48, sizeof(sealed) - 48, 0xee));
    }
    ck_assert_int_eq(try_seal(0), ENVOL_OK);
}
END_TEST

START_TEST(a_reader_never_seals)
{
    const struct envol_log_record record = log_record(0, data, 5);

    memset(sealed, 0xee, sizeof(sealed));
    ck_status(envol_log_record_seal(l.reader, &record, sealed), ENVOL_E_STATE);
    ck_assert(is_filled(sealed, 48, 0));
}
END_TEST

static TCase *with_fixture(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("log_record");
    TCase *tcase = tcase_create("kernels");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, known_answers, 0, page_kernels());
    suite_add_tcase(suite, tcase);
    tcase = with_fixture(suite, "format");
    tcase_add_test(tcase, in_place);
    tcase_add_test(tcase, batches);
    tcase_add_test(tcase, sixty_four_mebibytes);
    tcase_add_test(tcase, sizes);
    tcase = with_fixture(suite, "bound");
    tcase_add_test(tcase, every_bit_flipped);
    tcase_add_test(tcase, another_place);
    tcase_add_loop_test(tcase, authentic_but_unsound, 0, 7);
    tcase_add_loop_test(tcase, another_run, 0, 3);
    tcase_add_test(tcase, cut_anywhere);
    tcase_add_test(tcase, zeros_are_no_record);
    tcase_add_test(tcase, peek_tells_the_header);
    tcase = with_fixture(suite, "once");
    tcase_add_test(tcase, an_index_is_sealed_once);
    tcase_add_test(tcase, any_order_within_the_window);
    tcase_add_test(tcase, the_end_of_the_indices);
    tcase_add_test(tcase, the_bytes_of_a_run);
    tcase_add_test(tcase, sealed_by_threads);
    tcase = with_fixture(suite, "statuses");
    tcase_add_test(tcase, bad_arguments);
    tcase_add_test(tcase, bad_records);
    tcase_add_test(tcase, a_reader_never_seals);
    return test_run(suite);
}
