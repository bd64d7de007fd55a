/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume of format 1 with all that is beside it, as once written: a snapshot and a log under a
 * DEK that is retained for them, a catalog, two backups and a list of changes.  Run with
 * `--make DIRECTORY` it writes a new set; the one in tests/golden/ is never replaced.
 */
#include "backup_fixture.h"
#include "golden.h"
#include "kernels.h"
#include "store/space.h"
#include "support.h"
#include "volume/catalog.h"
#include "volume/snapshot.h"

#include <envol/log.h>
#include <envol/rotate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 512, PAGES = 6, HOLE = 3, CHANGED = 1, LAST_CHANGED = 4, RECORDS = 5 };

static const char *const record_texts[RECORDS] = {"one", "two", "", "four", "the last"};
static const char note_text[] = "golden note";

static struct envol_provider *provider;
static struct envol_cmk cmk;
static struct envol_store *store;
static struct envol_space *space;
static struct envol_volume *volume;

static void fill(uint64_t page_no, unsigned version, uint8_t *page)
{
    for (size_t i = 0; i < PAGE_BYTES; i++)
        page[i] = (uint8_t)(page_no * 31 + i * 7 + i / 256 + version * 101);
}

static void open_provider(const char *path)
{
    test_golden_unpack("cmk", path);
    ck_ok(envol_file_provider_open(path, &provider));
    cmk = (struct envol_cmk){.provider = provider};
}

static enum envol_status open_volume(uint32_t flags, const uint8_t *snapshot)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof(options), .flags = flags, .space = space, .snapshot = snapshot};

    return envol_volume_open(store, &cmk, 1, &options, &volume, NULL);
}

/* --- Making a set --- */

static const char *directory;

static void put(uint64_t page_no, unsigned version)
{
    uint8_t page[PAGE_BYTES];

    fill(page_no, version, page);
    ck_ok(envol_page_write(volume, page_no, page));
}

static void make_log(void)
{
    struct envol_log_entry entries[2] = {{.data = record_texts[3], .bytes = 4},
                                         {.data = record_texts[4], .bytes = 8}};
    struct envol_log *log;

    ck_ok(envol_log_create(volume, space, NULL, &log, NULL));
    for (size_t i = 0; i < 3; i++)
        ck_ok(envol_log_append(log, record_texts[i], strlen(record_texts[i]), NULL, NULL));
    ck_ok(envol_log_append_batch(log, entries, 2, NULL));
    ck_ok(envol_log_close(log, NULL));
}

static void make_backup(struct tape *tape, struct tape *before, struct tape *after,
                        const char *label)
{
    const struct envol_backup_options options = {
        .struct_size = sizeof(options),
        .flags = ENVOL_BACKUP_RECORD,
        .label = label,
        .note = note_text,
        .note_bytes = sizeof(note_text) - 1,
        .changes = before != NULL ? tape_source : NULL,
        .changes_ctx = before,
        .new_changes = tape_sink,
        .new_changes_ctx = after,
    };

    ck_ok(envol_backup_write(volume, &cmk, 1, &options, tape_sink, tape, NULL, NULL));
}

static void save(const char *name, struct envol_store *from)
{
    size_t bytes = (size_t)volume_store_bytes(from);
    uint8_t *image = malloc(bytes);

    ck_assert_ptr_nonnull(image);
    volume_store_get(from, 0, image, bytes);
    ck_assert_int_eq(test_golden_save(directory, name, image, bytes), 0);
    free(image);
}

/* "snapshot-UUID" as "space-snapshot", and so on. */
static void save_file(const char *name)
{
    char short_name[32];
    struct envol_store *file;

    snprintf(short_name, sizeof(short_name), "space-%.*s", (int)strcspn(name, "-"), name);
    ck_assert_int_eq(envol_space_store(space, name, ENVOL_SPACE_READ_ONLY, &file, NULL), ENVOL_OK);
    save(short_name, file);
    envol_store_close(file);
}

struct names {
    size_t count;
    char name[8][ENVOL_SPACE_NAME_MAX + 1];
};

static enum envol_status collect(const char *name, void *ctx)
{
    struct names *names = ctx;

    ck_assert_uint_lt(names->count, 8);
    snprintf(names->name[names->count++], sizeof(names->name[0]), "%s", name);
    return ENVOL_OK;
}

static void make_volume(void)
{
    static const struct envol_header_params params = {
        .struct_size = sizeof(params), .suite = ENVOL_SUITE_AES_256_GCM, .page_bytes = PAGE_BYTES};
    const struct envol_volume_options options = {
        .struct_size = sizeof(options), .params = &params, .space = space};
    uint8_t uuid[ENVOL_UUID_BYTES];

    ck_ok(envol_volume_create(store, &cmk, 1, &options, &volume, NULL));
    for (uint64_t i = 0; i < PAGES; i++)
        if (i != HOLE)
            put(i, 1);
    make_log();
    ck_ok(envol_snapshot_create(
        volume,
        &(const struct envol_snapshot_options){.struct_size = sizeof(struct envol_snapshot_options),
                                               .label = "golden"},
        uuid, NULL));
    put(CHANGED, 2);
    ck_ok(envol_volume_rotate_begin(volume, &cmk, 1, 0, NULL, NULL));
    ck_ok(envol_volume_rotate_run(volume, 0, NULL, NULL, NULL, NULL));
    ck_ok(envol_volume_rotate_finish(volume, 0, NULL));
}

START_TEST(make_set)
{
    struct tape full = {.count = 0}, incremental = full, lists[2] = {{.count = 0}};
    struct names names = {.count = 0};
    uint8_t uuid[ENVOL_UUID_BYTES];
    char path[256];

    snprintf(path, sizeof(path), "%s/cmk", directory);
    open_provider(path);
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_memory_space_open(&space));
    make_volume();
    make_backup(&full, NULL, &lists[0], "full");
    put(LAST_CHANGED, 2);
    make_backup(&incremental, tape_rewind(&lists[0]), &lists[1], "incremental");
    ck_ok(envol_backup_note_raw(volume, "raw", uuid, NULL));
    ck_ok(envol_volume_close(volume));
    save("space-volume", store);
    ck_ok(envol_space_list(space, collect, &names, NULL));
    for (size_t i = 0; i < names.count; i++)
        save_file(names.name[i]);
    ck_assert_int_eq(test_golden_save(directory, "backup-full", full.bytes, full.count), 0);
    ck_assert_int_eq(
        test_golden_save(directory, "backup-incremental", incremental.bytes, incremental.count), 0);
    ck_assert_int_eq(test_golden_save(directory, "backup-changes", lists[1].bytes, lists[1].count),
                     0);
}
END_TEST

/* --- Reading the one that is kept --- */

static uint8_t snapshot_uuid[ENVOL_UUID_BYTES];

static void load(const char *golden, struct envol_store *to)
{
    size_t bytes;
    uint8_t *image = test_golden_load(golden, &bytes);

    volume_store_put(to, 0, image, bytes);
    free(image);
}

static void load_file(const char *golden, const char *name)
{
    struct envol_store *file;

    ck_assert_int_eq(envol_space_store(space, name, ENVOL_SPACE_CREATE, &file, NULL), ENVOL_OK);
    load(golden, file);
    envol_store_close(file);
}

static struct tape load_tape(const char *golden)
{
    struct tape tape = {.count = 0};

    tape.bytes = test_golden_load(golden, &tape.count);
    return tape;
}

static void begin(void)
{
    struct envol_header_info info = {.struct_size = sizeof(info)};
    char name[64];

    open_provider(test_path("cmk"));
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_memory_space_open(&space));
    load("space-volume", store);
    ck_ok(envol_volume_inspect(store, &info, NULL, NULL));
    ck_assert_uint_eq(info.snapshots, 1);
    memcpy(snapshot_uuid, info.snapshot[0].uuid, sizeof(snapshot_uuid));
    envol_snapshot_name(snapshot_uuid, name);
    load_file("space-snapshot", name);
    envol_catalog_name(info.catalog_serial, name);
    load_file("space-backups", name);
    load_file("space-log", "log-0000000000000001");
}

static void end(void)
{
    ck_ok(envol_volume_close(volume));
    envol_space_close(space);
    envol_store_close(store);
    envol_provider_close(provider);
}

static void check_pages(struct envol_volume *of, bool image)
{
    uint8_t page[PAGE_BYTES], want[PAGE_BYTES];

    ck_assert_uint_eq(envol_volume_pages(of), PAGES);
    for (uint64_t i = 0; i < PAGES; i++) {
        bool changed = !image && (i == CHANGED || i == LAST_CHANGED);
        memset(want, 0, sizeof(want));
        if (i != HOLE)
            fill(i, changed ? 2 : 1, want);
        ck_status(envol_page_read(of, i, page), i == HOLE ? ENVOL_E_UNWRITTEN : ENVOL_OK);
        ck_assert_mem_eq(page, want, sizeof(page));
    }
}

START_TEST(volume_and_image)
{
    begin();
    ck_assert_int_eq(open_volume(ENVOL_OPEN_READ_ONLY, snapshot_uuid), ENVOL_OK);
    check_pages(volume, true);
    ck_ok(envol_volume_close(volume));
    ck_assert_int_eq(open_volume(0, NULL), ENVOL_OK);
    check_pages(volume, false);
    end();
}
END_TEST

static int check_record(void *ctx, const struct envol_log_record *record)
{
    size_t *count = ctx;

    ck_assert_uint_lt(*count, RECORDS);
    ck_assert_uint_eq(record->lsn, *count + 1);
    ck_assert_uint_eq(record->bytes, strlen(record_texts[*count]));
    if (record->bytes > 0)
        ck_assert_mem_eq(record->data, record_texts[*count], record->bytes);
    (*count)++;
    return 0;
}

START_TEST(its_log)
{
    size_t count = 0;

    begin();
    ck_assert_int_eq(open_volume(ENVOL_OPEN_READ_ONLY, NULL), ENVOL_OK);
    ck_ok(envol_log_replay(volume, space, 0, 0, check_record, &count, NULL));
    ck_assert_uint_eq(count, RECORDS);
    end();
}
END_TEST

static int check_entry(void *ctx, const struct envol_backup_entry *entry)
{
    static const char *const labels[] = {"full", "incremental", "raw"};
    size_t *count = ctx;

    ck_assert_uint_lt(*count, 3);
    ck_assert_str_eq(entry->label, labels[*count]);
    ck_assert_int_eq(entry->finished, *count < 2);
    ck_assert_uint_eq(entry->form, *count < 2 ? ENVOL_BACKUP_STREAM : ENVOL_BACKUP_RAW);
    ck_assert_uint_eq(entry->epoch, 2);
    ck_assert_uint_eq(entry->lowest_epoch, *count < 2 ? 0 : 1);
    ck_assert_uint_eq(entry->volume_pages, PAGES);
    ck_assert_uint_eq(entry->cmk_count, 1);
    (*count)++;
    return 0;
}

START_TEST(its_catalog_and_ledger)
{
    struct envol_ledger ledger = {.struct_size = sizeof(ledger)};
    size_t count = 0;

    begin();
    ck_assert_int_eq(open_volume(ENVOL_OPEN_READ_ONLY, NULL), ENVOL_OK);
    ck_ok(envol_backup_list(volume, check_entry, &count, NULL));
    ck_assert_uint_eq(count, 3);
    ck_ok(envol_volume_ledger(volume, &ledger, NULL));
    ck_assert_uint_eq(ledger.epoch_count, 2);
    ck_assert_uint_eq(ledger.epochs[1].pages, 0);
    ck_assert_int_eq(ledger.epochs[1].log_needs, 1);
    ck_assert_uint_eq(ledger.epochs[1].snapshots, 1);
    ck_assert_uint_eq(ledger.backups, 3);
    ck_assert_uint_eq(ledger.slots[0].backups, 3);
    end();
}
END_TEST

START_TEST(its_backups)
{
    struct tape tapes[2] = {load_tape("backup-full"), load_tape("backup-incremental")};
    char note[sizeof(note_text)];
    struct envol_backup_result result = {
        .struct_size = sizeof(result), .note = note, .note_capacity = sizeof(note)};
    struct envol_restore *restore;
    struct envol_store *target;

    begin();
    ck_ok(envol_memory_store_open(&target));
    ck_ok(envol_restore_begin(target, &cmk, 1, NULL, &restore, NULL));
    for (size_t i = 0; i < 2; i++) {
        ck_ok(envol_backup_verify(&cmk, 1, NULL, tape_source, &tapes[i], &result, NULL));
        ck_assert_int_eq(result.incremental, i == 1);
        ck_assert_uint_eq(result.pages, i == 0 ? PAGES - 1 : 1);
        ck_assert_mem_eq(note, note_text, sizeof(note_text) - 1);
        ck_ok(
            envol_restore_apply(restore, &cmk, 1, tape_source, tape_rewind(&tapes[i]), NULL, NULL));
        tape_clear(&tapes[i]);
    }
    ck_ok(envol_restore_finish(restore, NULL));
    envol_restore_close(restore);
    ck_ok(envol_volume_open(target, &cmk, 1, NULL, &volume, NULL));
    check_pages(volume, false);
    end();
    envol_store_close(target);
}
END_TEST

START_TEST(its_list_of_changes)
{
    struct tape list = load_tape("backup-changes"), tape = {.count = 0};
    const struct envol_backup_options options = {
        .struct_size = sizeof(options), .changes = tape_source, .changes_ctx = &list};
    struct envol_backup_result result = {.struct_size = sizeof(result)};

    begin();
    ck_assert_int_eq(open_volume(0, NULL), ENVOL_OK);
    put(0, 3);
    ck_ok(envol_backup_write(volume, &cmk, 1, &options, tape_sink, &tape, &result, NULL));
    ck_assert_int_eq(result.incremental, 1);
    ck_assert_uint_eq(result.pages, 1);
    tape_clear(&tape);
    tape_clear(&list);
    end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("golden_space");
    TCase *tcase = tcase_create("format 1");

    suite_add_tcase(suite, tcase);
    if (argc == 3 && strcmp(argv[1], "--make") == 0) {
        directory = argv[2];
        tcase_add_test(tcase, make_set);
        return test_run(suite);
    }
    tcase_add_test(tcase, volume_and_image);
    tcase_add_test(tcase, its_log);
    tcase_add_test(tcase, its_catalog_and_ledger);
    tcase_add_test(tcase, its_backups);
    tcase_add_test(tcase, its_list_of_changes);
    return test_run(suite);
}
