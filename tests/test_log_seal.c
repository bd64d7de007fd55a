/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log seal of a header: where its fields stand, that a forged one is never looked at, what one
 * is refused for that has a MAC, and the DEKs that stay for it when a rotation ends.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "crash_store.h"
#include "header_rotation.h"
#include "header_store.h"
#include "rotate_fixture.h"
#include "support.h"
#include "volume/volume.h"

#include <string.h>

static struct header_fixture f;

static struct envol_log_seal seal_open(void)
{
    struct envol_log_seal seal = {.struct_size = sizeof(seal),
                                  .kind = ENVOL_LOG_SEAL_OPEN,
                                  .lowest_epoch = 1,
                                  .oldest_segment = 0x0102,
                                  .newest_segment = 0x030405};

    for (unsigned i = 0; i < sizeof(seal.log_id); i++)
        seal.log_id[i] = (uint8_t)(0x40 + i);
    return seal;
}

static struct envol_log_seal seal_sealed(void)
{
    struct envol_log_seal seal = seal_open();

    seal.kind = ENVOL_LOG_SEAL_SEALED;
    seal.last_run = 0x1112131415161718;
    seal.next_lsn = 0x2122232425262728;
    seal.end_offset = 0x3132333435363730;
    seal.last_run_records = 0x41424344;
    seal.first_lsn = 0x0122232425262728;
    for (unsigned i = 0; i < sizeof(seal.last_tag); i++)
        seal.last_tag[i] = (uint8_t)(0x80 + i);
    return seal;
}

static void put(struct envol_log_seal seal)
{
    ck_ok(envol_header_set_log_seal(f.header, &seal));
    header_update(&f);
}

static void ck_seal(const struct envol_header *header, const struct envol_log_seal *expected)
{
    struct envol_log_seal got = {.struct_size = sizeof(got)};
    struct envol_header_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_header_log_seal(header, &got));
    ck_assert_uint_eq(got.struct_size, sizeof(got));
    ck_assert_uint_eq(got.kind, expected->kind);
    ck_assert_uint_eq(got.lowest_epoch, expected->lowest_epoch);
    ck_assert_mem_eq(got.log_id, expected->log_id, sizeof(got.log_id));
    ck_assert_uint_eq(got.oldest_segment, expected->oldest_segment);
    ck_assert_uint_eq(got.newest_segment, expected->newest_segment);
    ck_assert_uint_eq(got.last_run, expected->last_run);
    ck_assert_uint_eq(got.next_lsn, expected->next_lsn);
    ck_assert_uint_eq(got.end_offset, expected->end_offset);
    ck_assert_uint_eq(got.last_run_records, expected->last_run_records);
    ck_assert_mem_eq(got.last_tag, expected->last_tag, sizeof(got.last_tag));
    ck_assert_uint_eq(got.first_lsn, expected->first_lsn);
    ck_ok(envol_header_info(header, &info));
    ck_assert_uint_eq(info.log_seal, expected->kind);
    ck_assert_uint_eq(info.log_lowest_epoch, expected->lowest_epoch);
}

static void ck_read_back(const struct envol_log_seal *expected)
{
    struct envol_keyring *keyring;
    struct envol_header *header = header_again(&f, &keyring);

    ck_seal(header, expected);
    envol_keyring_close(keyring);
    envol_header_free(header);
}

/* --- Layout --- */

START_TEST(to_the_byte)
{
    static const char open[] = "01000000"
                               "01000000"
                               "404142434445464748494a4b4c4d4e4f"
                               "0201000000000000"
                               "0504030000000000"
                               "0000000000000000000000000000000000000000000000000000000000000000"
                               "00000000000000000000000000000000"
                               "0000000000000000"
                               "0000000000000000000000000000000000000000000000000000000000000000";
    static const char sealed[] = "02000000"
                                 "01000000"
                                 "404142434445464748494a4b4c4d4e4f"
                                 "0201000000000000"
                                 "0504030000000000"
                                 "1817161514131211"
                                 "2827262524232221"
                                 "3037363534333231"
                                 "44434241"
                                 "00000000"
                                 "808182838485868788898a8b8c8d8e8f"
                                 "2827262524232201"
                                 "0000000000000000000000000000000000000000000000000000000000000000";
    const struct envol_log_seal seal = _i == 0 ? seal_open() : seal_sealed();
    const struct envol_log_seal none = {.struct_size = sizeof(none)};

    header_fixture_open(&f, 0);
    ck_read_back(&none);
    put(seal);
    ck_mem_hex(f.bytes + 240, _i == 0 ? open : sealed);
    ck_read_back(&seal);
    /* Other updates keep it; NONE removes it. */
    ck_ok(envol_header_set_pages(f.header, 9, 1, 0));
    header_update(&f);
    ck_read_back(&seal);
    put(none);
    ck_read_back(&none);
    ck_assert(envol_is_zero(f.bytes + 240, 128));
    header_fixture_close(&f);
}
END_TEST

/* --- Without the DEK --- */

START_TEST(every_byte_flipped)
{
    header_fixture_open(&f, 0);
    put(_i == 0 ? seal_open() : seal_sealed());
    for (size_t at = 240; at < 368; at++) {
        for (size_t copy = 0; copy < sizeof(f.bytes); copy += ENVOL_HEADER_COPY_BYTES) {
            f.bytes[copy + at] ^= (uint8_t)(1u << at % 8);
            header_make_crc(f.bytes + copy);
        }
        ck_assert_msg(header_try(&f, f.bytes) == ENVOL_E_WRONG_KEY, "byte %zu", at);
        for (size_t copy = 0; copy < sizeof(f.bytes); copy += ENVOL_HEADER_COPY_BYTES) {
            f.bytes[copy + at] ^= (uint8_t)(1u << at % 8);
            header_make_crc(f.bytes + copy);
        }
    }
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_fixture_close(&f);
}
END_TEST

static void write_a_seal(uint8_t *copy)
{
    const struct envol_log_seal seal = seal_sealed();

    envol_log_seal_encode(&seal, copy + ENVOL_AT_LOG_SEAL);
}

static void clear_the_seal(uint8_t *copy)
{
    memset(copy + ENVOL_AT_LOG_SEAL, 0, ENVOL_LOG_SEAL_BYTES);
}

START_TEST(written_or_cleared_by_anybody)
{
    header_fixture_open(&f, 0);
    header_forge(&f, write_a_seal, false);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_WRONG_KEY);
    header_forge(&f, clear_the_seal, false);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    put(seal_sealed());
    header_forge(&f, clear_the_seal, false);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_E_WRONG_KEY);
    header_fixture_close(&f);
}
END_TEST

/* A header of before, whole: an anchor of the newer one refuses it. */
START_TEST(replayed)
{
    static uint8_t before[ENVOL_HEADER_BYTES];
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    struct envol_header *header;
    struct envol_keyring *keyring;

    header_fixture_open(&f, 0);
    put(seal_sealed());
    memcpy(before, f.bytes, sizeof(before));
    put(seal_open());
    ck_ok(envol_header_anchor(f.header, &anchor));
    ck_ok(envol_header_decode(before, 0, &header, NULL));
    ck_status(envol_header_unlock(header, f.dek, 0, &anchor, &keyring), ENVOL_E_STALE);
    envol_header_free(header);
    header_fixture_close(&f);
}
END_TEST

/* --- With the DEK --- */

static const struct bad {
    const char *what;
    uint32_t kind;
    size_t at, bytes;
    uint64_t value;
    enum envol_status status;
} bads[] = {
    {"kind 3", 1, 0, 4, 3, ENVOL_E_VERSION},
    {"the last kind", 2, 0, 4, UINT32_MAX, ENVOL_E_VERSION},
    {"kind 0 and an id", 1, 0, 4, 0, ENVOL_E_CORRUPT},
    {"a spare number", 2, 68, 4, 1, ENVOL_E_VERSION},
    {"spare", 1, 96, 1, 1, ENVOL_E_VERSION},
    {"the last spare", 2, 127, 1, 0x80, ENVOL_E_VERSION},
    {"no epoch", 1, 4, 4, 0, ENVOL_E_CORRUPT},
    {"an epoch to come", 2, 4, 4, 2, ENVOL_E_CORRUPT},
    {"no oldest segment", 1, 24, 8, 0, ENVOL_E_CORRUPT},
    {"an oldest behind the newest", 2, 24, 8, 0x030406, ENVOL_E_CORRUPT},
    {"open, and a run", 1, 40, 8, 1, ENVOL_OK},
    {"open, and an LSN", 1, 55, 1, 1, ENVOL_E_CORRUPT},
    {"open, and an end", 1, 56, 8, 16, ENVOL_E_CORRUPT},
    {"open, and records", 1, 64, 4, 1, ENVOL_E_CORRUPT},
    {"open, and a tag", 1, 87, 1, 1, ENVOL_E_CORRUPT},
    {"sealed, and no run", 2, 40, 8, 0, ENVOL_E_CORRUPT},
    {"sealed, and no LSN", 2, 48, 8, 0, ENVOL_E_CORRUPT},
    {"sealed, and no end", 2, 56, 8, 0, ENVOL_E_CORRUPT},
    {"an end between", 2, 56, 8, 8, ENVOL_E_CORRUPT},
    {"an end beyond 2^63", 2, 56, 8, UINT64_C(1) << 63, ENVOL_E_CORRUPT},
    {"kept beyond the end", 2, 88, 8, UINT64_MAX, ENVOL_E_CORRUPT},
};
enum { BADS = sizeof(bads) / sizeof(bads[0]) };

static const struct bad *bad;

static void apply_bad(uint8_t *copy)
{
    uint8_t *at = copy + ENVOL_AT_LOG_SEAL + bad->at;

    if (bad->bytes == 1)
        *at = (uint8_t)bad->value;
    else if (bad->bytes == 4)
        envol_store32(at, (uint32_t)bad->value);
    else
        envol_store64(at, bad->value);
}

START_TEST(out_of_bounds)
{
    bad = &bads[_i];
    header_fixture_open(&f, 0);
    put(bad->kind == ENVOL_LOG_SEAL_OPEN ? seal_open() : seal_sealed());
    header_forge(&f, apply_bad, true);
    ck_assert_msg(header_try(&f, f.bytes) == bad->status, "%s", bad->what);
    header_fixture_close(&f);
}
END_TEST

START_TEST(set_refuses)
{
    struct envol_log_seal seal, got = {.struct_size = sizeof(got)};

    header_fixture_open(&f, 0);
    seal = seal_open();
    ck_status(envol_header_set_log_seal(NULL, &seal), ENVOL_E_ARGUMENT);
    ck_status(envol_header_set_log_seal(f.header, NULL), ENVOL_E_ARGUMENT);
    seal.struct_size--;
    ck_status(envol_header_set_log_seal(f.header, &seal), ENVOL_E_ARGUMENT);
    seal = seal_open();
    seal.lowest_epoch = 2;
    ck_status(envol_header_set_log_seal(f.header, &seal), ENVOL_E_RANGE);
    seal = seal_open();
    seal.kind = 3;
    ck_status(envol_header_set_log_seal(f.header, &seal), ENVOL_E_ARGUMENT);
    seal.kind = ENVOL_LOG_SEAL_NONE;
    ck_status(envol_header_set_log_seal(f.header, &seal), ENVOL_E_ARGUMENT);
    seal = seal_open();
    seal.last_tag[15] = 1;
    ck_status(envol_header_set_log_seal(f.header, &seal), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(f.header->log_seal.kind, ENVOL_LOG_SEAL_NONE);
    got.struct_size--;
    ck_status(envol_header_log_seal(f.header, &got), ENVOL_E_ARGUMENT);
    ck_status(envol_header_log_seal(f.header, NULL), ENVOL_E_ARGUMENT);
    got = seal_sealed();
    ck_status(envol_header_log_seal(NULL, &got), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(got.kind, 0);
    header_fixture_close(&f);
}
END_TEST

/* --- Crashes --- */

static size_t sealed_at;

static void check_image(const struct crash_image *image, void *ctx)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    const struct envol_log_seal open = seal_open(), sealed = seal_sealed();
    struct envol_header *header;
    struct envol_keyring *keyring;

    (void)ctx;
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, image->bytes, image->size < sizeof(bytes) ? image->size : sizeof(bytes));
    ck_assert_msg(header_load(&f, bytes, &header, &keyring) == ENVOL_OK, "%s", image->story);
    if (header->log_seal.kind == ENVOL_LOG_SEAL_SEALED)
        ck_seal(header, &sealed);
    else
        ck_seal(header, &open);
    if (image->calls >= sealed_at)
        ck_assert_msg(header->log_seal.kind == ENVOL_LOG_SEAL_SEALED, "%s", image->story);
    envol_keyring_close(keyring);
    envol_header_free(header);
}

START_TEST(sealed_in_a_crash)
{
    const struct crash_options options = {.sector_bytes = test_tool() == NULL ? 4096 : 16384};
    const struct envol_log_seal sealed = seal_sealed();
    struct crash_store *crash;
    struct envol_store *store;

    header_fixture_open(&f, 0);
    put(seal_open());
    crash = crash_store_new(NULL, 0, &store);
    header_put(store, f.bytes);
    crash_store_settle(crash);
    ck_ok(envol_header_set_log_seal(f.header, &sealed));
    ck_assert_int_eq(header_commit(f.header, f.keyring, store), ENVOL_OK);
    sealed_at = crash_store_calls(crash);
    ck_assert_uint_gt(crash_store_replay(crash, &options, check_image, NULL), 10);
    envol_store_close(store);
    header_fixture_close(&f);
}
END_TEST

/* --- Rotations --- */

/* The epochs that are retained, and no other. */
static void ck_retained(const struct envol_header *header, uint32_t lowest, uint32_t count)
{
    ck_assert_uint_eq(header->retained_count, count);
    ck_assert_uint_eq(header->lowest_epoch, lowest);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_uint_ge(header->retained[i].epoch, lowest);
}

/* The log needs epoch 2 of 1, 2, 3. */
START_TEST(retire_keeps_what_the_log_needs)
{
    struct envol_log_seal seal = seal_open();
    struct envol_keyring *keyring;

    header_fixture_open(&f, 0);
    header_rotate_all(&f);
    ck_ok(envol_header_retire(f.header, ENVOL_RETIRE_KEEP));
    header_update(&f);
    header_rotate_all(&f);
    ck_retained(f.header, 1, 2);
    seal.lowest_epoch = 2;
    put(seal);
    ck_ok(envol_header_retire(f.header, 0));
    header_update(&f);
    ck_retained(f.header, 2, 1);
    ck_seal(f.header, &seal);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    ck_ok(envol_header_unlock_with(f.header, f.keyring, NULL, &keyring));
    ck_assert_ptr_nonnull(envol_keyring_find(keyring, 2));
    ck_assert_ptr_null(envol_keyring_find(keyring, 1));
    envol_keyring_close(keyring);
    /* There is nothing that may go, until the log has moved on. */
    ck_status(envol_header_retire(f.header, 0), ENVOL_E_STATE);
    seal.lowest_epoch = 1;
    ck_status(envol_header_set_log_seal(f.header, &seal), ENVOL_E_RANGE);
    seal.lowest_epoch = 3;
    put(seal);
    ck_ok(envol_header_retire(f.header, 0));
    header_update(&f);
    ck_retained(f.header, 3, 0);
    ck_assert_int_eq(header_try(&f, f.bytes), ENVOL_OK);
    header_fixture_close(&f);
}
END_TEST

/* As the log's writer will do it. */
static void set_on_volume(struct slot_fixture *s, struct envol_log_seal seal)
{
    struct envol_volume *volume = s->f.volume;

    ck_ok(envol_header_set_log_seal(volume->header, &seal));
    ck_assert_int_eq(envol_volume_commit(volume, volume->mark, volume->clean, NULL), ENVOL_OK);
}

START_TEST(a_rotation_of_a_volume_with_a_log)
{
    struct envol_log_seal seal = seal_open();
    const struct envol_ledger *ledger;
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    set_on_volume(&s, seal);
    ck_assert_int_eq(rotate_ledger(&s)->epochs[0].log_needs, 1);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    rotate_expect_all(&s);
    ck_assert_ptr_nonnull(envol_keyring_find(s.f.volume->keyring, 1));
    ledger = rotate_ledger(&s);
    ck_assert_uint_eq(ledger->epoch_count, 2);
    ck_assert_uint_eq(ledger->epochs[1].epoch, 1);
    ck_assert_uint_eq(ledger->epochs[1].pages, 0);
    ck_assert_int_eq(ledger->epochs[1].log_needs, 1);
    ck_assert_int_eq(ledger->epochs[1].may_retire, 0);
    volume_fixture_reopen(&s.f);
    ck_assert_ptr_nonnull(envol_keyring_find(s.f.volume->keyring, 1));
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_E_STATE);
    ck_assert_str_eq(s.f.error.message, "every older DEK is needed still");
    seal.lowest_epoch = 2;
    set_on_volume(&s, seal);
    ck_assert_int_eq(rotate_ledger(&s)->epochs[1].log_needs, 0);
    ck_assert_int_eq(rotate_ledger(&s)->epochs[1].may_retire, 1);
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_OK);
    ck_assert_ptr_null(envol_keyring_find(s.f.volume->keyring, 1));
    ck_assert_uint_eq(rotate_ledger(&s)->epoch_count, 1);
    slot_fixture_end(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_seal");
    TCase *tcase = tcase_create("record");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, to_the_byte, 0, 2);
    tcase_add_loop_test(tcase, every_byte_flipped, 0, 2);
    tcase_add_test(tcase, written_or_cleared_by_anybody);
    tcase_add_test(tcase, replayed);
    tcase_add_loop_test(tcase, out_of_bounds, 0, BADS);
    tcase_add_test(tcase, set_refuses);
    tcase_add_test(tcase, sealed_in_a_crash);
    tcase_add_test(tcase, retire_keeps_what_the_log_needs);
    tcase_add_loop_test(tcase, a_rotation_of_a_volume_with_a_log, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
