/* SPDX-License-Identifier: BSD-2-Clause */
/* A catalog of backups that was changed, cut, mixed up or lost: it is said to be, the ledger lets
 * no CMK go, and the volume's pages are not concerned. */
#include "base/bytes.h"
#include "catalog_fixture.h"
#include "crash_store.h"
#include "store/space.h"
#include "support.h"
#include "volume/catalog.h"

#include <envol/rotate.h>
#include <envol/slots.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 4 };

static struct snapshot_fixture s;
static struct catalog_file file;
static size_t at[ENTRIES + 1]; /* of entries, and the end */
static uint8_t uuids[2][ENVOL_UUID_BYTES];

/* Three backups, of which one was forgotten. */
static bool begin(void)
{
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!snapshot_fixture_create(&s, &volume_shapes[0], false))
        return false;
    snapshot_put(&s, 0, 5);
    catalog_note(&s.f, uuids[0]);
    catalog_note(&s.f, uuid);
    catalog_note(&s.f, uuids[1]);
    ck_ok(envol_backup_forget(s.f.volume, uuid, &s.f.error));
    catalog_file_get(&s, volume_info_of(&s.f).header.catalog_serial, &file);
    for (size_t i = 0; i < ENTRIES; i++)
        at[i + 1] = at[i] + (size_t)envol_chain_bytes(envol_load64(file.bytes + at[i] + 32));
    ck_assert_uint_eq(at[ENTRIES], file.size);
    return true;
}

static void end(void)
{
    free(file.bytes);
    snapshot_fixture_free(&s);
}

static enum envol_status list(void)
{
    static struct catalog_seen seen;

    return catalog_list(s.f.volume, &seen, &s.f.error);
}

static void expect_both(const char *story)
{
    catalog_expect(s.f.volume, (const uint8_t(*)[ENVOL_UUID_BYTES])uuids, 2, story);
}

/* Zeros between an entry and the next one say nothing. */
static bool is_padding(size_t byte)
{
    for (size_t i = 0; i < ENTRIES; i++)
        if (byte < at[i + 1])
            return byte >= at[i] + ENVOL_CHAIN_HEAD_BYTES + envol_load64(file.bytes + at[i] + 32);
    return true;
}

START_TEST(every_bit)
{
    unsigned step = crash_store_sample(61, 13, 3), count = 0;

    if (!begin())
        return;
    for (size_t bit = 0; bit < file.size * 8; bit++) {
        enum envol_status status;
        if (is_padding(bit / 8) || count++ % step != 0)
            continue;
        file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        catalog_file_put(&s, &file, file.bytes, file.size);
        status = list();
        ck_assert_msg(status == ENVOL_E_CORRUPT, "bit %zu: %s", bit, envol_status_name(status));
        file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    catalog_file_put(&s, &file, file.bytes, file.size);
    expect_both("whole again");
    end();
}
END_TEST

/* At every byte; bytes behind its end are what a crash may leave. */
START_TEST(cut)
{
    static const uint8_t more[100] = "not an entry";
    uint8_t *longer;

    if (!begin())
        return;
    for (size_t size = 0; size < file.size; size += 1 + size % 7) {
        catalog_file_put(&s, &file, file.bytes, size);
        ck_assert_int_eq(list(), ENVOL_E_CORRUPT);
    }
    for (size_t i = 0; i < ENTRIES; i++) {
        catalog_file_put(&s, &file, file.bytes, at[i]);
        ck_assert_int_eq(list(), ENVOL_E_CORRUPT);
    }
    longer = malloc(file.size + sizeof(more));
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, file.bytes, file.size);
    memcpy(longer + file.size, more, sizeof(more));
    catalog_file_put(&s, &file, longer, file.size + sizeof(more));
    free(longer);
    expect_both("with a torn end");
    ck_ok(envol_backup_forget(s.f.volume, uuids[1], &s.f.error));
    catalog_expect(s.f.volume, (const uint8_t(*)[ENVOL_UUID_BYTES])uuids, 1, "appended");
    end();
}
END_TEST

static void put_order(const size_t *order, size_t count)
{
    uint8_t *bytes = malloc(2 * file.size);
    size_t size = 0;

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < count; i++) {
        size_t one = at[order[i] + 1] - at[order[i]];
        memcpy(bytes + size, file.bytes + at[order[i]], one);
        size += one;
    }
    catalog_file_put(&s, &file, bytes, size);
    free(bytes);
}

START_TEST(mixed_up)
{
    static const size_t orders[][ENTRIES + 1] = {
        {1, 0, 2, 3, 0}, {0, 2, 1, 3, 0}, {0, 1, 1, 2, 3}, {0, 1, 2, 2, 3}, {1, 2, 3, 0, 0}};

    if (!begin())
        return;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        put_order(orders[i], ENTRIES + (i == 2 || i == 3));
        ck_assert_int_eq(list(), ENVOL_E_CORRUPT);
    }
    end();
}
END_TEST

/* Of another volume, of the same one under an older DEK, and an older one of the same DEK. */
START_TEST(another_file)
{
    struct catalog_file older = file, other;
    struct snapshot_fixture another;
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin())
        return;
    older = file;
    ck_assert(snapshot_fixture_create(&another, &volume_shapes[0], false));
    snapshot_put(&another, 0, 5);
    catalog_note(&another.f, uuid);
    catalog_file_get(&another, volume_info_of(&another.f).header.catalog_serial, &other);
    snapshot_fixture_free(&another);
    catalog_file_put(&s, &file, other.bytes, other.size);
    ck_assert_int_eq(list(), ENVOL_E_CORRUPT);
    free(other.bytes);
    catalog_file_put(&s, &file, file.bytes, file.size);
    ck_ok(envol_volume_rotate_begin(s.f.volume, &s.f.cmk, 1, 0, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_finish(s.f.volume, 0, &s.f.error));
    catalog_file_get(&s, volume_info_of(&s.f).header.catalog_serial, &file);
    catalog_file_put(&s, &file, older.bytes, older.size);
    ck_assert_int_eq(list(), ENVOL_E_CORRUPT);
    catalog_file_put(&s, &file, file.bytes, file.size);
    expect_both("its own");
    catalog_note(&s.f, uuid);
    catalog_file_put(&s, &file, file.bytes, file.size);
    ck_assert_int_eq(list(), ENVOL_E_CORRUPT); /* it had more entries */
    free(older.bytes);
    end();
}
END_TEST

/* Nothing goes on as if there were no backups; the pages go on; and there is a way out. */
START_TEST(what_it_stops)
{
    struct envol_ledger ledger = {.struct_size = sizeof(ledger)};
    enum envol_status expected = _i == 0 ? ENVOL_E_CORRUPT : ENVOL_E_STATE;
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin())
        return;
    fake_kms_add_key(s.f.kms, BACKUP_KEY);
    ck_ok(envol_volume_add_slot(s.f.volume, &(const struct envol_cmk){s.f.provider, BACKUP_KEY},
                                NULL, NULL, &s.f.error));
    if (_i == 0)
        catalog_file_put(&s, &file, file.bytes, file.size - 1);
    else
        ck_assert_int_eq(envol_space_remove(s.space, file.name, NULL), ENVOL_OK);
    snapshot_fixture_reopen(&s);
    snapshot_put(&s, 2, 2);
    snapshot_expect(&s, s.f.volume, &s.model, "pages");
    ck_assert_int_eq(list(), expected);
    ck_status(envol_backup_note_raw(s.f.volume, NULL, uuid, &s.f.error), expected);
    ck_status(envol_backup_forget(s.f.volume, uuids[0], &s.f.error), expected);
    ck_ok(envol_volume_ledger(s.f.volume, &ledger, &s.f.error));
    ck_assert_int_eq(ledger.catalog, expected);
    ck_assert_int_eq(ledger.slots[0].may_retire || ledger.slots[1].may_retire, 0);
    ck_assert_uint_eq(ledger.backups, 0);
    ck_ok(envol_volume_rotate_begin(
        s.f.volume,
        (const struct envol_cmk[]){{s.f.provider, VOLUME_KEY}, {s.f.provider, BACKUP_KEY}}, 2, 0,
        NULL, &s.f.error));
    ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, NULL, &s.f.error));
    ck_status(envol_volume_rotate_finish(s.f.volume, 0, &s.f.error), expected);
    ck_ok(envol_backup_forget(s.f.volume, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_finish(s.f.volume, 0, &s.f.error));
    ck_assert_uint_eq(catalog_files(s.space), 0);
    catalog_expect(s.f.volume, NULL, 0, "a new beginning");
    snapshot_expect(&s, s.f.volume, &s.model, "pages");
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catalog_damage");
    TCase *tcase = tcase_create("catalog_damage");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_bit);
    tcase_add_test(tcase, cut);
    tcase_add_test(tcase, mixed_up);
    tcase_add_test(tcase, another_file);
    tcase_add_loop_test(tcase, what_it_stops, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
