/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of a log as handles: their headers, golden bytes, and what they need. */
#include "base/bytes.h"
#include "base/memory.h"
#include "faults.h"
#include "log_run_fixture.h"
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool random_fails;
/* What the next draw answers; NULL: honest. */
static const uint8_t *script;

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    if (random_fails) {
        errno = EIO;
        return -1;
    }
    if (script == NULL)
        return syscall(SYS_getrandom, out, bytes, flags);
    memcpy(out, script, bytes);
    script = NULL;
    return (ssize_t)bytes;
}

static struct log_run_fixture l;
static uint8_t data[256], sealed[320], plain[256];

static void setup(void)
{
    log_run_fixture_open(&l, NULL);
    test_fill(data, sizeof(data));
}

static void teardown(void)
{
    log_run_fixture_close(&l);
}

static enum envol_status try_seal(struct envol_log_run *run, uint32_t index)
{
    const struct envol_log_record record = log_record(index, data, sizeof(data));

    return ck_note(envol_log_record_seal(run, &record, sealed));
}

static enum envol_status try_unseal(const struct envol_log_run *run, uint32_t index)
{
    memset(plain, 0xee, sizeof(plain));
    return ck_note(envol_log_record_unseal(run, index, sealed, 304, plain, NULL));
}

/* --- The header --- */

START_TEST(where_its_fields_stand)
{
    static const uint8_t zeros[16];
    struct envol_log_run_info info = {.struct_size = sizeof(info)};

    ck_assert_mem_eq(l.header, "ENVOLLOG", 8);
    ck_assert_mem_eq(l.header + 8, l.f.uuid, 16);
    ck_assert_mem_eq(l.header + 24, l.params.log_id, 16);
    ck_assert_uint_eq(envol_load64(l.header + 40), 7);
    ck_assert_uint_eq(envol_load64(l.header + 48), LOG_START_LSN);
    ck_assert_uint_eq(envol_load32(l.header + 56), 1);
    ck_assert_mem_eq(l.header + 60, zeros, 4);
    ck_assert_mem_eq(l.header + 88, l.params.previous_tag, 16);
    ck_assert_mem_eq(l.header + 136, zeros, 8);
    ck_ok(envol_log_run_peek(l.header, &info));
    ck_assert_mem_eq(info.uuid, l.f.uuid, 16);
    ck_assert_mem_eq(info.log_id, l.params.log_id, 16);
    ck_assert_uint_eq(info.run, 7);
    ck_assert_uint_eq(info.start_lsn, LOG_START_LSN);
    ck_assert_uint_eq(info.epoch, 1);
    ck_assert_mem_eq(info.previous_tag, l.params.previous_tag, 16);
    ck_assert_mem_eq(info.tag, l.header + 104, 16);
}
END_TEST

START_TEST(every_bit_of_it_flipped)
{
    struct envol_log_run *run;

    for (size_t bit = 0; bit < ENVOL_LOG_RUN_HEADER_BYTES * 8; bit++) {
        enum envol_status status;

        l.header[bit / 8] ^= (uint8_t)(1u << bit % 8);
        status = ck_note(envol_log_run_open(l.f.keyring, l.header, NULL, &run));
        ck_assert_ptr_null(run);
        if (bit / 8 < 8)
            ck_assert_int_eq(status, ENVOL_E_FORMAT);
        else if (bit / 8 >= 56 && bit / 8 < 60 && bit != 56 * 8)
            ck_assert_int_eq(status, ENVOL_E_STALE);
        else
            ck_assert_msg(status == ENVOL_E_CORRUPT, "bit %zu: %d", bit, status);
        l.header[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_ok(envol_log_run_open(l.f.keyring, l.header, NULL, &run));
    envol_log_run_close(run);
}
END_TEST

START_TEST(what_was_expected)
{
    struct envol_log_run_params other;
    struct envol_log_run *run;

    for (int i = 0; i < 4; i++) {
        other = l.params;
        other.run += i == 0;
        other.start_lsn += i == 1;
        other.log_id[15] ^= i == 2;
        other.previous_tag[0] ^= i == 3;
        ck_status(envol_log_run_open(l.f.keyring, l.header, &other, &run), ENVOL_E_CORRUPT);
    }
}
END_TEST

/* Fields of zero, which no run has, whoever holds the key. */
START_TEST(unsound_headers)
{
    static const struct {
        size_t at, bytes;
    } zeroed[] = {{40, 8}, {48, 8}, {56, 4}};
    struct envol_log_run_info info = {.struct_size = sizeof(info)};

    for (size_t i = 0; i < 3; i++) {
        uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];

        memcpy(header, l.header, sizeof(header));
        memset(header + zeroed[i].at, 0, zeroed[i].bytes);
        ck_status(envol_log_run_peek(header, &info), ENVOL_E_CORRUPT);
    }
    memset(l.header, 0, sizeof(l.header));
    ck_status(envol_log_run_peek(l.header, &info), ENVOL_E_FORMAT);
}
END_TEST

/* Two runs of the same place in a log have nothing in common. */
START_TEST(each_run_draws_a_salt)
{
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES], first[320];
    struct envol_log_run *again;

    ck_ok(envol_log_run_begin(l.f.keyring, &l.params, header, &again));
    ck_assert_mem_eq(header, l.header, 64);
    ck_assert_mem_ne(header + 64, l.header + 64, 24);
    ck_assert_mem_ne(header + 104, l.header + 104, 32);
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    memcpy(first, sealed, sizeof(first));
    ck_assert_int_eq(try_seal(again, 0), ENVOL_OK);
    ck_assert_mem_eq(sealed, first, 24);
    ck_assert_mem_ne(sealed + 24, first + 24, 16);
    envol_log_run_close(again);
}
END_TEST

/*
 * DEK 00 01 .. 3f, UUID f0 .. ff, log id "golden log id 01", run 3, start LSN 1000, epoch 7, salt
 * a0 .. b7, previous tag c0 .. cf; record 0: LSN 1000, no data, flags 4; record 1: LSN 1004,
 * durable 1, data "BEGIN; UPDATE t; COMMIT".  Computed by another program, in another language,
 * from envol(5) and with the AES of another library.
 */
static const char golden_header[] =
    "454e564f4c4c4f47f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff676f6c64656e206c6f6720696420303103000000"
    "00000000e8030000000000000700000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7"
    "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd809cae41b71daa9f11e1f3fb62eba66d6359dff755599592d53295f"
    "df67a2a60000000000000000";
static const char golden_records[] =
    "0000000004000000e803000000000000000000000000000000000000000000006cee20905a944522dc940340"
    "e3986f221700000000000000ec030000000000000100000001000000e272cfba0dc94848fda3a8fbb5c30582"
    "febd08f7e9c1ff009656c55415e99b2fbc1386ed81789bf9";

START_TEST(golden_run)
{
    const struct page_wish wish = {.epoch = 7};
    struct envol_log_run_params params = {
        .struct_size = sizeof(params), .log_id = "golden log id 0", .run = 3, .start_lsn = 1000};
    struct envol_log_record records[2] = {
        {.lsn = 1000, .flags = ENVOL_LOG_END},
        {.lsn = 1004, .index = 1, .durable = 1, .data = "BEGIN; UPDATE t; COMMIT", .bytes = 23}};
    uint8_t salt[24], header[ENVOL_LOG_RUN_HEADER_BYTES], out[48 + 64];
    struct page_fixture any = l.f, golden;
    struct envol_log_run *run;

    params.log_id[15] = '1';
    for (size_t i = 0; i < 64; i++)
        any.dek[0][i] = (uint8_t)i;
    for (size_t i = 0; i < 16; i++) {
        any.uuid[i] = (uint8_t)(0xf0 + i);
        params.previous_tag[i] = (uint8_t)(0xc0 + i);
    }
    for (size_t i = 0; i < 24; i++)
        salt[i] = (uint8_t)(0xa0 + i);
    page_fixture_again(&golden, &any, &wish);
    script = salt;
    ck_ok(envol_log_run_begin(golden.keyring, &params, header, &run));
    ck_mem_hex(header, golden_header);
    ck_ok(envol_log_record_seal_batch(run, records, 2, out));
    ck_mem_hex(out, golden_records);
    envol_log_run_close(run);
    page_fixture_close(&golden);
}
END_TEST

/* --- What it takes, and what fails --- */

START_TEST(random_source_fails)
{
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;

    memset(header, 0xee, sizeof(header));
    random_fails = true;
    ck_status(envol_log_run_begin(l.f.keyring, &l.params, header, &run), ENVOL_E_RANDOM);
    ck_assert_ptr_null(run);
    ck_assert(envol_is_zero(header, sizeof(header)));
    /* Nothing is drawn for a record. */
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    ck_ok(envol_log_run_open(l.f.keyring, l.header, NULL, &run));
    envol_log_run_close(run);
}
END_TEST

START_TEST(allocations_fail)
{
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;
    size_t allocations, locked;

    faults_set_allocator();
    log_run_fixture_open(&l, NULL);
    allocations = faults_allocations();
    locked = faults_locked_bytes();
    faults_arm(FAULT_ALLOC, 1, true);
    ck_status(envol_log_run_begin(l.f.keyring, &l.params, header, &run), ENVOL_E_NO_MEMORY);
    ck_status(envol_log_run_open(l.f.keyring, l.header, NULL, &run), ENVOL_E_NO_MEMORY);
    /* A record needs none. */
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    ck_assert_int_eq(try_unseal(l.reader, 0), ENVOL_OK);
    ck_assert_int_eq(faults_disarm(), FAULT_AT_MEMORY);
    ck_assert_uint_eq(faults_allocations(), allocations);
    ck_assert_uint_eq(faults_locked_bytes(), locked);
    log_run_fixture_close(&l);
    ck_assert_uint_eq(faults_allocations(), 0);
}
END_TEST

START_TEST(bad_arguments)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    struct envol_log_run_params bad = l.params;
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;

    ck_status(envol_log_run_begin(NULL, &l.params, header, &run), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_begin(l.f.keyring, NULL, header, &run), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_begin(l.f.keyring, &l.params, NULL, &run), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_begin(l.f.keyring, &l.params, header, NULL), ENVOL_E_ARGUMENT);
    bad.run = 0;
    ck_status(envol_log_run_begin(l.f.keyring, &bad, header, &run), ENVOL_E_ARGUMENT);
    bad = l.params;
    bad.start_lsn = 0;
    ck_status(envol_log_run_begin(l.f.keyring, &bad, header, &run), ENVOL_E_ARGUMENT);
    bad = l.params;
    bad.struct_size--;
    ck_status(envol_log_run_begin(l.f.keyring, &bad, header, &run), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_open(l.f.keyring, l.header, &bad, &run), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_open(NULL, l.header, NULL, &run), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_open(l.f.keyring, NULL, NULL, &run), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_open(l.f.keyring, l.header, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_peek(NULL, &info), ENVOL_E_ARGUMENT);
    ck_status(envol_log_run_peek(l.header, NULL), ENVOL_E_ARGUMENT);
    info.struct_size--;
    ck_status(envol_log_run_peek(l.header, &info), ENVOL_E_ARGUMENT);
    envol_log_run_close(NULL);
}
END_TEST

/* Under XTS, too: a log is AES-256-GCM whatever the pages are, and the suite is in its keys. */
START_TEST(either_suite)
{
    const struct page_wish wish = {.suite = ENVOL_SUITE_AES_256_XTS};

    if (!page_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    log_run_fixture_open(&l, &wish);
    ck_assert_int_eq(try_seal(l.run, 0), ENVOL_OK);
    ck_assert_int_eq(try_unseal(l.reader, 0), ENVOL_OK);
    log_run_fixture_close(&l);
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
    Suite *suite = suite_create("log_run");
    TCase *tcase = with_fixture(suite, "header");

    tcase_add_test(tcase, where_its_fields_stand);
    tcase_add_test(tcase, every_bit_of_it_flipped);
    tcase_add_test(tcase, what_was_expected);
    tcase_add_test(tcase, unsound_headers);
    tcase_add_test(tcase, each_run_draws_a_salt);
    tcase_add_test(tcase, golden_run);
    tcase = with_fixture(suite, "needs");
    tcase_add_test(tcase, random_source_fails);
    tcase_add_test(tcase, bad_arguments);
    tcase = tcase_create("alone");
    tcase_add_test(tcase, allocations_fail);
    tcase_add_test(tcase, either_suite);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
