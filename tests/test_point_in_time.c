/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery to a point in time: a backup that notes an LSN, an archive of log segments and a copy of
 * the header.  The volume is gone, its DEK was rotated meanwhile; what is made of them is the
 * volume as it was at each LSN.
 */
#include "backup_fixture.h"
#include "base/bytes.h"
#include "store/space.h"
#include "support.h"

#include <envol/log.h>
#include <envol/rotate.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 8, CHANGES = 40, HALF = CHANGES / 2 };

/* A record: which page got which version. */
struct change {
    uint64_t page_no;
    unsigned version;
};

static struct backup_fixture b;
static struct envol_space *space, *archive;
static struct envol_log *wal;
static struct change changes[CHANGES + 1]; /* by LSN, from 1 */
static uint8_t header[ENVOL_HEADER_BYTES];
static unsigned base[PAGES];

/* Log first, then the page, as an engine does. */
static void change(uint64_t lsn)
{
    uint8_t record[12];

    changes[lsn] = (struct change){lsn * 3 % PAGES, (unsigned)lsn + 10};
    envol_store64(record, changes[lsn].page_no);
    envol_store32(record + 8, changes[lsn].version);
    ck_ok(envol_log_append(wal, record, sizeof(record), NULL, NULL));
    ck_ok(envol_log_sync(wal, lsn, NULL));
    volume_page_put(&b.f, changes[lsn].page_no, changes[lsn].version);
}

static void copy_file(const char *name)
{
    struct envol_store *from, *to;
    uint8_t *bytes;
    size_t size;

    ck_assert_int_eq(envol_space_store(space, name, ENVOL_SPACE_READ_ONLY, &from, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_space_remove(archive, name, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_space_store(archive, name, ENVOL_SPACE_CREATE, &to, NULL), ENVOL_OK);
    size = (size_t)volume_store_bytes(from);
    bytes = malloc(size);
    ck_assert_ptr_nonnull(bytes);
    volume_store_get(from, 0, bytes, size);
    volume_store_put(to, 0, bytes, size);
    free(bytes);
    envol_store_close(from);
    envol_store_close(to);
}

static enum envol_status collect(const char *name, void *ctx)
{
    char(*names)[ENVOL_SPACE_NAME_MAX + 1] = ctx;

    while (**names != 0)
        names++;
    strcpy(*names, name);
    return ENVOL_OK;
}

static void archive_segments(void)
{
    char names[8][ENVOL_SPACE_NAME_MAX + 1] = {{0}};

    ck_assert_int_eq(envol_space_list(space, collect, names, NULL), ENVOL_OK);
    for (size_t i = 0; names[i][0] != 0; i++)
        copy_file(names[i]);
    ck_ok(envol_volume_header_bytes(b.f.volume, header, NULL));
}

/* The backup is of the moment before LSN 1; its note says so. */
static void take_backup(void)
{
    const uint64_t next = 1;
    const struct envol_backup_options options = {
        .struct_size = sizeof(options), .note = &next, .note_bytes = sizeof(next)};

    ck_ok(envol_backup_write(b.f.volume, &b.backup_cmk, 1, &options, tape_sink, &b.tape, NULL,
                             &b.f.error));
}

static bool begin(int shape)
{
    if (!backup_fixture_create(&b, &volume_shapes[shape], 0))
        return false;
    ck_assert_int_eq(envol_memory_space_open(&space), ENVOL_OK);
    ck_assert_int_eq(envol_memory_space_open(&archive), ENVOL_OK);
    for (uint64_t i = 0; i < PAGES; i++) {
        base[i] = (unsigned)i % 3;
        volume_page_put(&b.f, i, base[i]);
    }
    ck_ok(envol_log_create(b.f.volume, space, NULL, &wal, NULL));
    take_backup();
    for (uint64_t lsn = 1; lsn <= CHANGES; lsn++) {
        if (lsn == HALF) { /* the records after it are of another DEK */
            ck_ok(envol_volume_rotate_begin(b.f.volume, &b.f.cmk, 1, 0, NULL, NULL));
            ck_ok(envol_volume_rotate_run(b.f.volume, 0, NULL, NULL, NULL, NULL));
            ck_ok(envol_volume_rotate_finish(b.f.volume, 0, NULL));
        }
        change(lsn);
        if (lsn == HALF / 2 || lsn == HALF + 5)
            ck_ok(envol_log_next_segment(wal, NULL));
    }
    archive_segments();
    ck_ok(envol_log_close(wal, NULL));
    volume_fixture_close(&b.f);
    envol_store_close(b.f.store); /* and all is lost */
    b.f.store = NULL;
    envol_space_close(space);
    return true;
}

/* The engine talks to the key service itself (envol_header(3)). */
static struct envol_keyring *open_archived_header(void)
{
    const struct envol_pin pin = {envol_provider_name(b.f.provider), VOLUME_KEY};
    const struct envol_pins pins = {.struct_size = sizeof(pins), .cmks = &pin, .cmk_count = 1};
    struct envol_key_request request = {.struct_size = sizeof(request)};
    struct envol_slot slot = {.struct_size = sizeof(slot)};
    struct envol_keyring *keyring;
    struct envol_header *decoded;
    uint8_t dek[ENVOL_DEK_BYTES];
    uint32_t cursor = 0;

    ck_ok(envol_header_decode(header, 0, &decoded, NULL));
    ck_ok(envol_header_next_slot(decoded, &pins, &cursor, &slot, NULL));
    request.context = envol_header_context(decoded, &request.context_pairs);
    request.key_ref = slot.key_ref;
    request.key_version = slot.key_version;
    ck_ok(
        envol_provider_unwrap(b.f.provider, &request, slot.wrapped, slot.wrapped_bytes, dek, NULL));
    ck_ok(envol_header_unlock(decoded, dek, 0, NULL, &keyring));
    envol_header_free(decoded);
    return keyring;
}

static uint64_t restore_backup(void)
{
    uint64_t next = 0;
    struct envol_backup_result result = {
        .struct_size = sizeof(result), .note = &next, .note_capacity = sizeof(next)};
    struct envol_restore *restore;

    ck_ok(envol_restore_begin(b.g.store, &b.g.cmk, 1, NULL, &restore, NULL));
    ck_ok(envol_restore_apply(restore, &b.backup_cmk, 1, tape_source, tape_rewind(&b.tape), &result,
                              NULL));
    ck_ok(envol_restore_finish(restore, NULL));
    envol_restore_close(restore);
    volume_fixture_open(&b.g, 0, ENVOL_OK);
    return next;
}

static void replay(const struct envol_keyring *keyring, uint64_t from, uint64_t to)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;

    ck_ok(envol_log_reader_open_archive(keyring, archive, from, &reader, NULL));
    for (uint64_t lsn = from; lsn <= to; lsn++) {
        const uint8_t *data;
        ck_ok(envol_log_reader_next(reader, 0, &record, NULL));
        ck_assert_uint_eq(record.lsn, lsn);
        ck_assert_uint_eq(record.bytes, 12);
        data = record.data;
        volume_page_put(&b.g, envol_load64(data), envol_load32(data + 8));
    }
    if (to == CHANGES)
        ck_status(envol_log_reader_next(reader, 0, &record, NULL), ENVOL_E_TIMEOUT);
    envol_log_reader_close(reader);
}

static void expect_state(uint64_t lsn)
{
    unsigned versions[PAGES];

    memcpy(versions, base, sizeof(versions));
    for (uint64_t i = 1; i <= lsn; i++)
        versions[changes[i].page_no] = changes[i].version;
    for (uint64_t i = 0; i < PAGES; i++)
        volume_page_expect(&b.g, i, versions[i]);
}

/* 0: the backup alone. */
START_TEST(to_each_lsn)
{
    static const uint64_t points[] = {0, 1, HALF - 1, HALF, HALF + 1, CHANGES};
    struct envol_keyring *keyring;

    if (!begin(_i))
        return;
    keyring = open_archived_header();
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct envol_store *store;
        uint64_t next;
        ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
        backup_fixture_empty(&b, store);
        next = restore_backup();
        ck_assert_uint_eq(next, 1);
        if (points[i] > 0)
            replay(keyring, next, points[i]);
        expect_state(points[i]);
        volume_fixture_reopen(&b.g);
        expect_state(points[i]);
    }
    envol_keyring_close(keyring);
    envol_space_close(archive);
    backup_fixture_free(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("point_in_time");
    TCase *tcase = tcase_create("point_in_time");

    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, to_each_lsn, 0, 1);
    tcase_add_loop_test(tcase, to_each_lsn, 6, 7);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
