/* SPDX-License-Identifier: BSD-2-Clause */
/* The catalog of backups: what goes into it and out of it, under which DEK, and what the ledger
 * makes of it. */
#include "base/memory.h"
#include "catalog_fixture.h"
#include "faults.h"
#include "support.h"
#include "volume/catalog.h"

#include <envol/rotate.h>
#include <envol/slots.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_KEY "arn:fake:key/second"

static struct snapshot_fixture s;
static struct envol_cmk backup_cmks[2];
static struct catalog_seen seen;
static struct envol_ledger ledger;

/* False: this build has no kernel for the suite. */
static bool begin(int shape)
{
    if (!snapshot_fixture_create(&s, &volume_shapes[shape], false))
        return false;
    fake_kms_add_key(s.f.kms, BACKUP_KEY);
    fake_kms_add_key(s.f.kms, SECOND_KEY);
    backup_cmks[0] = (struct envol_cmk){s.f.provider, BACKUP_KEY};
    backup_cmks[1] = (struct envol_cmk){s.f.provider, SECOND_KEY};
    snapshot_put(&s, 0, 20);
    return true;
}

static void end(void)
{
    snapshot_fixture_free(&s);
}

static struct envol_header_info header_info(void)
{
    return volume_info_of(&s.f).header;
}

static const struct envol_ledger *take_ledger(void)
{
    ledger = (struct envol_ledger){.struct_size = sizeof(ledger)};
    ck_ok(envol_volume_ledger(s.f.volume, &ledger, &s.f.error));
    return &ledger;
}

/* A recorded backup under so many CMKs; lists may be NULL. */
static enum envol_status back_up(size_t cmks, struct tape *tape, struct tape *before,
                                 struct tape *after, struct envol_backup_result *result)
{
    const struct envol_backup_options options = {
        .struct_size = sizeof(options),
        .flags = ENVOL_BACKUP_RECORD,
        .label = "shelf 3",
        .changes = before != NULL ? tape_source : NULL,
        .changes_ctx = before,
        .new_changes = after != NULL ? tape_sink : NULL,
        .new_changes_ctx = after,
    };

    *result = (struct envol_backup_result){.struct_size = sizeof(*result)};
    return ck_note(envol_backup_write(s.f.volume, backup_cmks, cmks, &options, tape_sink, tape,
                                      result, &s.f.error));
}

static void take_one(uint8_t uuid[ENVOL_UUID_BYTES])
{
    struct tape tape = {.count = 0};
    struct envol_backup_result result;

    ck_assert_msg(back_up(1, &tape, NULL, NULL, &result) == ENVOL_OK, "%s", s.f.error.message);
    ck_assert_int_eq(result.recorded, ENVOL_OK);
    memcpy(uuid, result.uuid, ENVOL_UUID_BYTES);
    tape_clear(&tape);
}

static void rotate_to_end(uint32_t flags)
{
    ck_ok(envol_volume_rotate_begin(s.f.volume, &s.f.cmk, 1, 0, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_finish(s.f.volume, flags, &s.f.error));
}

static void open_without_space(void)
{
    volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, 0, ENVOL_OK);
}

/* --- Its entries --- */

START_TEST(what_an_entry_tells)
{
    struct tape tapes[2] = {{.count = 0}}, lists[2] = {{.count = 0}};
    struct envol_backup_result results[2];
    const struct envol_backup_entry *entry;
    uint8_t raw[ENVOL_UUID_BYTES];

    if (!begin(0))
        return;
    ck_assert_int_eq(back_up(2, &tapes[0], NULL, &lists[0], &results[0]), ENVOL_OK);
    snapshot_put(&s, 3, 2);
    ck_assert_int_eq(back_up(1, &tapes[1], tape_rewind(&lists[0]), &lists[1], &results[1]),
                     ENVOL_OK);
    ck_ok(envol_backup_note_raw(s.f.volume, NULL, raw, &s.f.error));
    snapshot_fixture_reopen(&s);
    ck_assert_int_eq(catalog_list(s.f.volume, &seen, &s.f.error), ENVOL_OK);
    ck_assert_uint_eq(seen.count, 3);
    for (size_t i = 0; i < 2; i++) {
        entry = &seen.one[i].entry;
        ck_assert_mem_eq(entry->uuid, results[i].uuid, ENVOL_UUID_BYTES);
        ck_assert_mem_eq(entry->parent, results[i].parent, ENVOL_UUID_BYTES);
        ck_assert_uint_eq(entry->form, ENVOL_BACKUP_STREAM);
        ck_assert_int_eq(entry->finished, 1);
        ck_assert_uint_eq(entry->created_at_s, results[i].created_at_s);
        ck_assert_uint_eq(entry->volume_pages, 20);
        ck_assert_uint_eq(entry->pages, i == 0 ? 20 : 2);
        ck_assert_uint_eq(entry->bytes, tapes[i].count);
        ck_assert_uint_eq(entry->epoch, 1);
        ck_assert_uint_eq(entry->lowest_epoch, 0);
        ck_assert_str_eq(seen.one[i].label, "shelf 3");
        ck_assert_uint_eq(entry->cmk_count, i == 0 ? 2 : 1);
        ck_assert_str_eq(seen.one[i].key_ref[0], BACKUP_KEY);
    }
    ck_assert_mem_eq(seen.one[1].entry.parent, results[0].uuid, ENVOL_UUID_BYTES);
    ck_assert_str_eq(seen.one[0].key_ref[1], SECOND_KEY);
    ck_assert_uint_lt(seen.one[0].entry.generation, seen.one[1].entry.generation);
    entry = &seen.one[2].entry;
    ck_assert_mem_eq(entry->uuid, raw, ENVOL_UUID_BYTES);
    ck_assert_uint_eq(entry->form, ENVOL_BACKUP_RAW);
    ck_assert_int_eq(entry->finished, 0);
    ck_assert_uint_eq(entry->epoch, 1);
    ck_assert_uint_eq(entry->lowest_epoch, 1);
    ck_assert_uint_eq(entry->volume_pages, 20);
    ck_assert_uint_eq(entry->cmk_count, 1);
    ck_assert_str_eq(seen.one[2].key_ref[0], VOLUME_KEY);
    ck_assert_str_eq(seen.one[2].label, "");
    for (size_t i = 0; i < 2; i++) {
        tape_clear(&tapes[i]);
        tape_clear(&lists[i]);
    }
    end();
}
END_TEST

START_TEST(forgetting)
{
    uint8_t uuids[3][ENVOL_UUID_BYTES];

    if (!begin(0))
        return;
    catalog_expect(s.f.volume, NULL, 0, "a new volume");
    ck_ok(envol_backup_forget(s.f.volume, NULL, &s.f.error));
    for (size_t i = 0; i < 3; i++)
        take_one(uuids[i]);
    ck_status(envol_backup_forget(s.f.volume, s.f.volume->header->uuid, &s.f.error), ENVOL_E_RANGE);
    ck_ok(envol_backup_forget(s.f.volume, uuids[0], &s.f.error));
    catalog_expect(s.f.volume, (const uint8_t(*)[ENVOL_UUID_BYTES])uuids + 1, 2, "one less");
    ck_status(envol_backup_forget(s.f.volume, uuids[0], &s.f.error), ENVOL_E_RANGE);
    ck_ok(envol_backup_forget(s.f.volume, uuids[2], &s.f.error));
    ck_assert_uint_ne(header_info().catalog_serial, 0);
    ck_ok(envol_backup_forget(s.f.volume, uuids[1], &s.f.error));
    ck_assert_uint_eq(header_info().catalog_serial, 0);
    ck_assert_uint_eq(s.f.volume->header->read_only_compatible, 0);
    ck_assert_uint_eq(catalog_files(s.space), 0);
    take_one(uuids[0]);
    take_one(uuids[1]);
    ck_ok(envol_backup_forget(s.f.volume, NULL, &s.f.error));
    ck_assert_uint_eq(catalog_files(s.space), 0);
    snapshot_fixture_reopen(&s);
    catalog_expect(s.f.volume, NULL, 0, "all are gone");
    end();
}
END_TEST

/* What fails is not recorded, and what cannot be recorded is not made. */
START_TEST(backups_that_fail)
{
    struct tape tape = {.fail_at = 1};
    struct envol_backup_result result;

    if (!begin(0))
        return;
    for (unsigned nth = 1; nth < 4; nth++) {
        tape = (struct tape){.fail_at = nth};
        ck_assert_int_eq(back_up(1, &tape, NULL, NULL, &result), ENVOL_E_IO);
        tape_clear(&tape);
        catalog_expect(s.f.volume, NULL, 0, "the sink failed");
    }
    fake_kms_set_state(s.f.kms, BACKUP_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(back_up(1, &tape, NULL, NULL, &result), ENVOL_E_KEY_DISABLED);
    fake_kms_set_state(s.f.kms, BACKUP_KEY, FAKE_KEY_ENABLED);
    catalog_expect(s.f.volume, NULL, 0, "the CMK is disabled");
    open_without_space();
    ck_assert_int_eq(back_up(1, &tape, NULL, NULL, &result), ENVOL_E_STATE);
    ck_assert_uint_eq(tape.count, 0);
    end();
}
END_TEST

/* Entries that do not count any more do not pile up. */
START_TEST(the_file_stays_small)
{
    uint8_t kept[2][ENVOL_UUID_BYTES], uuid[ENVOL_UUID_BYTES];
    uint64_t largest = 0;
    unsigned files = 0;

    if (!begin(0))
        return;
    catalog_note(&s.f, kept[0]);
    catalog_note(&s.f, kept[1]);
    for (unsigned i = 0; i < 150; i++) {
        struct catalog_file file;
        uint64_t serial = header_info().catalog_serial;
        catalog_note(&s.f, uuid);
        ck_ok(envol_backup_forget(s.f.volume, uuid, &s.f.error));
        files += header_info().catalog_serial != serial;
        catalog_file_get(&s, header_info().catalog_serial, &file);
        largest = file.size > largest ? file.size : largest;
        free(file.bytes);
    }
    ck_assert_uint_ge(files, 3);
    ck_assert_uint_lt(largest, 80 * 320);
    ck_assert_uint_eq(catalog_files(s.space), 1);
    catalog_expect(s.f.volume, (const uint8_t(*)[ENVOL_UUID_BYTES])kept, 2, "those that count");
    end();
}
END_TEST

/* The file may have more than the header says: a crash came in between. */
static void add_entries(uint32_t kind, unsigned count)
{
    struct envol_backup_entry entry = {.form = ENVOL_BACKUP_RAW,
                                       .epoch = s.f.volume->header->epoch,
                                       .lowest_epoch = 1,
                                       .label = ""};
    struct envol_catalog catalog;

    envol_catalog_take_cmks(s.f.volume->header, &entry);
    ck_assert_int_eq(envol_catalog_read(s.f.volume, true, &catalog, NULL), ENVOL_OK);
    for (unsigned i = 0; i < count; i++) {
        struct envol_catalog_item *item;
        uint8_t *bytes;
        memcpy(entry.uuid, &i, sizeof(i));
        item = envol_catalog_item_new(&entry);
        ck_assert_ptr_nonnull(item);
        bytes = envol_alloc((size_t)envol_chain_bytes(item->payload_bytes), ENVOL_CHAIN_ALIGN);
        ck_assert_ptr_nonnull(bytes);
        memcpy(bytes + ENVOL_CHAIN_HEAD_BYTES, item->payload, item->payload_bytes);
        ck_assert_int_eq(envol_chain_add(&catalog.chain, kind, entry.epoch, bytes,
                                         item->payload_bytes, item->payload_bytes, NULL),
                         ENVOL_OK);
        envol_free(bytes);
        envol_free(item);
    }
    envol_catalog_free(&catalog);
}

START_TEST(as_many_as_there_may_be)
{
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(0))
        return;
    catalog_note(&s.f, uuid);
    add_entries(ENVOL_CATALOG_BACKUP, ENVOL_BACKUPS_MAX - 1);
    ck_status(envol_backup_note_raw(s.f.volume, NULL, uuid, &s.f.error), ENVOL_E_RANGE);
    ck_assert(envol_is_zero(uuid, sizeof(uuid)));
    ck_assert_uint_eq(take_ledger()->backups, ENVOL_BACKUPS_MAX);
    end();
}
END_TEST

START_TEST(a_kind_to_come)
{
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(0))
        return;
    catalog_note(&s.f, uuid);
    add_entries(9, 1);
    ck_assert_int_eq(catalog_list(s.f.volume, &seen, &s.f.error), ENVOL_E_VERSION);
    ck_status(envol_backup_note_raw(s.f.volume, NULL, uuid, &s.f.error), ENVOL_E_VERSION);
    ck_status(envol_backup_forget(s.f.volume, uuid, &s.f.error), ENVOL_E_VERSION);
    ck_assert_int_eq(take_ledger()->catalog, ENVOL_E_VERSION);
    ck_ok(envol_backup_forget(s.f.volume, NULL, &s.f.error));
    end();
}
END_TEST

/* --- The ledger --- */

START_TEST(which_cmks_are_needed)
{
    uint8_t uuids[2][ENVOL_UUID_BYTES];

    if (!begin(_i))
        return;
    ck_ok(envol_volume_add_slot(s.f.volume, &backup_cmks[0], NULL, NULL, &s.f.error));
    ck_assert_uint_eq(take_ledger()->slot_count, 2);
    ck_assert_int_eq(ledger.catalog, ENVOL_OK);
    ck_assert_int_eq(ledger.slots[0].may_retire && ledger.slots[1].may_retire, 1);
    take_one(uuids[0]);
    ck_assert_uint_eq(take_ledger()->backups, 1);
    ck_assert_int_eq(ledger.slots[0].may_retire, 1);
    ck_assert_int_eq(ledger.slots[1].may_retire, 0);
    ck_assert_uint_eq(ledger.slots[1].backups, 1);
    ck_assert_uint_eq(ledger.epochs[0].raw_copies, 0);
    catalog_note(&s.f, uuids[1]);
    ck_assert_uint_eq(take_ledger()->backups, 2);
    ck_assert_uint_eq(ledger.slots[0].backups, 1);
    ck_assert_uint_eq(ledger.slots[1].backups, 2);
    ck_assert_int_eq(ledger.slots[0].may_retire || ledger.slots[1].may_retire, 0);
    ck_assert_uint_eq(ledger.epochs[0].raw_copies, 1);
    open_without_space();
    ck_assert_int_eq(take_ledger()->catalog, ENVOL_E_STATE);
    ck_assert_int_eq(ledger.slots[0].may_retire || ledger.slots[1].may_retire, 0);
    snapshot_fixture_reopen(&s);
    for (size_t i = 0; i < 2; i++)
        ck_ok(envol_backup_forget(s.f.volume, uuids[i], &s.f.error));
    ck_assert_uint_eq(take_ledger()->backups, 0);
    ck_assert_int_eq(ledger.slots[0].may_retire && ledger.slots[1].may_retire, 1);
    end();
}
END_TEST

/* --- Rotations --- */

START_TEST(it_moves_to_the_new_dek)
{
    uint8_t uuids[3][ENVOL_UUID_BYTES];
    const uint8_t(*const all)[ENVOL_UUID_BYTES] = (const uint8_t(*)[ENVOL_UUID_BYTES])uuids;

    if (!begin(_i))
        return;
    take_one(uuids[0]);
    catalog_note(&s.f, uuids[1]);
    ck_ok(envol_volume_rotate_begin(s.f.volume, &s.f.cmk, 1, 0, NULL, &s.f.error));
    catalog_expect(s.f.volume, all, 2, "begun");
    ck_assert_uint_eq(header_info().catalog_epoch, 1);
    ck_assert_int_eq(take_ledger()->epochs[1].catalog_needs, 1);
    ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_finish(s.f.volume, 0, &s.f.error));
    ck_assert_uint_eq(header_info().catalog_epoch, 2);
    ck_assert_uint_eq(header_info().retained_epochs, 0);
    ck_assert_uint_eq(catalog_files(s.space), 1);
    snapshot_fixture_reopen(&s);
    catalog_expect(s.f.volume, all, 2, "finished");
    ck_assert_int_eq(catalog_list(s.f.volume, &seen, &s.f.error), ENVOL_OK);
    ck_assert_int_eq(seen.one[0].entry.finished, 1);
    /* A change moves it, too. */
    ck_ok(envol_volume_rotate_begin(s.f.volume, &s.f.cmk, 1, 0, NULL, &s.f.error));
    catalog_note(&s.f, uuids[2]);
    ck_assert_uint_eq(header_info().catalog_epoch, 3);
    catalog_expect(s.f.volume, all, 3, "changed");
    ck_assert_int_eq(take_ledger()->epochs[1].catalog_needs, 0);
    ck_assert_uint_eq(ledger.epochs[1].raw_copies, 1);
    ck_assert_uint_eq(ledger.epochs[0].raw_copies, 1);
    end();
}
END_TEST

/* Who finishes without the space leaves the DEK for whoever has it. */
START_TEST(without_the_space_the_dek_stays)
{
    uint8_t uuids[1][ENVOL_UUID_BYTES];

    if (!begin(_i))
        return;
    take_one(uuids[0]);
    open_without_space();
    rotate_to_end(0);
    ck_assert_uint_eq(header_info().retained_epochs, 1);
    ck_assert_int_eq(take_ledger()->epochs[1].catalog_needs, 1);
    ck_assert_int_eq(ledger.epochs[1].may_retire, 0);
    ck_status(envol_volume_rotate_finish(s.f.volume, ENVOL_ROTATE_ABANDON_BAD, &s.f.error),
              ENVOL_E_STATE);
    ck_status(envol_backup_list(s.f.volume, NULL, NULL, &s.f.error), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(catalog_list(s.f.volume, &seen, &s.f.error), ENVOL_E_STATE);
    snapshot_fixture_reopen(&s);
    catalog_expect(s.f.volume, (const uint8_t(*)[ENVOL_UUID_BYTES])uuids, 1, "retained");
    ck_ok(envol_volume_rotate_finish(s.f.volume, ENVOL_ROTATE_ABANDON_BAD, &s.f.error));
    ck_assert_uint_eq(header_info().retained_epochs, 0);
    catalog_expect(s.f.volume, (const uint8_t(*)[ENVOL_UUID_BYTES])uuids, 1, "moved");
    end();
}
END_TEST

/* --- Readers --- */

static int stop(void *ctx, const struct envol_backup_entry *entry)
{
    unsigned *calls = ctx;

    (void)entry;
    return ++*calls == 2;
}

START_TEST(readers_and_callbacks)
{
    uint8_t uuids[3][ENVOL_UUID_BYTES];
    struct envol_volume *reader;
    struct envol_store *store;
    struct envol_volume_options options = {.struct_size = sizeof(options),
                                           .flags = ENVOL_OPEN_READ_ONLY};
    unsigned calls = 0;

    if (!begin(0))
        return;
    options.space = s.space;
    for (size_t i = 0; i < 3; i++)
        take_one(uuids[i]);
    ck_status(envol_backup_list(s.f.volume, stop, &calls, &s.f.error), ENVOL_E_CANCELLED);
    ck_assert_uint_eq(calls, 2);
    ck_assert_int_eq(envol_memory_store_share(s.f.store, &store), ENVOL_OK);
    ck_ok(envol_volume_open(store, &s.f.cmk, 1, &options, &reader, &s.f.error));
    catalog_expect(reader, (const uint8_t(*)[ENVOL_UUID_BYTES])uuids, 3, "a reader");
    ck_status(envol_backup_forget(reader, uuids[0], &s.f.error), ENVOL_E_READ_ONLY);
    ck_status(envol_backup_note_raw(reader, NULL, uuids[0], &s.f.error), ENVOL_E_READ_ONLY);
    rotate_to_end(0);
    ck_assert_int_eq(catalog_list(reader, &seen, &s.f.error), ENVOL_E_STATE);
    ck_ok(envol_volume_refresh(reader, &s.f.error));
    ck_assert_int_eq(catalog_list(reader, &seen, &s.f.error), ENVOL_OK);
    ck_assert_uint_eq(seen.count, 3);
    ck_ok(envol_volume_close(reader));
    envol_store_close(store);
    end();
}
END_TEST

START_TEST(arguments)
{
    uint8_t uuid[ENVOL_UUID_BYTES];
    char label[ENVOL_BACKUP_LABEL_BYTES + 1];
    struct envol_backup_options options = {.struct_size = sizeof(options), .label = label};

    if (!begin(0))
        return;
    memset(label, 'x', sizeof(label));
    label[ENVOL_BACKUP_LABEL_BYTES] = 0;
    ck_status(envol_backup_note_raw(s.f.volume, label, uuid, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_backup_note_raw(s.f.volume, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_backup_note_raw(NULL, NULL, uuid, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_backup_list(NULL, stop, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_backup_forget(NULL, uuid, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_backup_write(s.f.volume, backup_cmks, 1, &options, tape_sink, NULL, NULL, NULL),
              ENVOL_E_ARGUMENT);
    label[ENVOL_BACKUP_LABEL_BYTES - 1] = 0;
    ck_ok(envol_backup_note_raw(s.f.volume, label, uuid, NULL));
    ck_assert_int_eq(catalog_list(s.f.volume, &seen, &s.f.error), ENVOL_OK);
    ck_assert_str_eq(seen.one[0].label, label);
    end();
}
END_TEST

static Suite *suite(void)
{
    Suite *made = suite_create("catalog");
    TCase *tcase = tcase_create("catalog");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_an_entry_tells);
    tcase_add_test(tcase, forgetting);
    tcase_add_test(tcase, backups_that_fail);
    tcase_add_test(tcase, the_file_stays_small);
    tcase_add_test(tcase, as_many_as_there_may_be);
    tcase_add_test(tcase, a_kind_to_come);
    tcase_add_loop_test(tcase, which_cmks_are_needed, 0, 1);
    tcase_add_loop_test(tcase, it_moves_to_the_new_dek, 0, 1);
    tcase_add_loop_test(tcase, it_moves_to_the_new_dek, 5, 6);
    tcase_add_loop_test(tcase, without_the_space_the_dek_stays, 0, 1);
    tcase_add_loop_test(tcase, without_the_space_the_dek_stays, 5, 6);
    tcase_add_test(tcase, readers_and_callbacks);
    tcase_add_test(tcase, arguments);
    suite_add_tcase(made, tcase);
    return made;
}

int main(void)
{
    return test_run(suite());
}
